"""`pip install .`: the package carries its weights and works away from the checkout."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EDIT = """
import sys
from PIL import Image
import agetransformer
from agetransformer import AgeEditor
from agetransformer.alignment import DEFAULT_MODEL

assert agetransformer.__file__.startswith(sys.argv[1]) and str(DEFAULT_MODEL).startswith(sys.argv[1])
editor = AgeEditor.from_pretrained()
faces = editor.find_faces(sys.argv[2])
assert len(faces) == 1 and 25 < faces[0].age < 40
assert editor.card.startswith("---")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package built from a copy, because setuptools leaves its own files beside the sources."""
    pytest.importorskip("setuptools", minversion="77", reason="needs requirements-dev.txt")
    copy = tmp_path_factory.mktemp("source")
    for name in ("agetransformer", "checkpoints"):
        ignored = shutil.ignore_patterns("__pycache__", "state-*", "part-*", "tensorboard")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, copy)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    made = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


def test_the_package_has_all_that_editing_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "agetransformer").rglob("*.py")}
    assert sources <= names
    weights = {f"agetransformer/checkpoints/{name}/model.safetensors" for name in ("generator", "classifier")}
    assert weights | {"agetransformer/checkpoints/LICENSE.md"} <= names
    assert not any(name.startswith(("train/", "tests/", "app.py")) or "robust" in name for name in names)
    wanted = {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Requires-Dist")}
    assert {line.split("#")[0].strip() for line in wanted} >= {"mediapipe<2,>=1.2", "gradio<7,>=6.31"}


@pytest.mark.skipif(importlib.util.find_spec("ensurepip") is None, reason="this Python makes no environments")
def test_make_begins_with_an_environment_that_has_pip(tmp_path):
    for name in ("Makefile", "packages.txt", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", f"PYTHON={sys.executable}"]
    assert subprocess.run([*command, ".venv/bin/pip"], cwd=tmp_path, capture_output=True).returncode == 0
    again = subprocess.run([*command, "--dry-run", "demo"], cwd=tmp_path, capture_output=True, text=True)
    assert (
        "-m venv" not in again.stdout and "pip install --disable-pip-version-check -r requirements.txt" in again.stdout
    )
    pip = [tmp_path / ".venv/bin/python", "-m", "pip", "--version"]
    assert subprocess.run(pip, capture_output=True).returncode == 0


def test_it_edits_away_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    command = [sys.executable, "-c", EDIT, str(tmp_path / "site"), str(ROOT / "assets" / "astronaut.jpg")]
    run = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)}, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()[-2000:]
