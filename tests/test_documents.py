"""Every command and every Python example in a document is run.

The documents' own commands run word for word in a folder where every name that they use exists, but is tiny. Those that
install, publish or take hours have an entry in REDUCED that says what is checked instead. A command with no entry in
either table fails: put it into one of them.
"""

import importlib
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from app_fixtures import SquareEditor, draw_photo, running_page
from clips import camera_path, moved, write_clip
from packaging.requirements import Requirement
from PIL import Image

from agetransformer import hub
from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig

pytest.importorskip("dlib", reason="the training's commands need requirements-train.txt")

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "train/*.md", "benchmarks/*.md", "assets/*.md", "checkpoints/*.md", "checkpoints/*/*.md")
    for path in ROOT.glob(pattern)
)
NOT_COMMANDS = {"bibtex", "text", "json", "yaml"}  # languages of code blocks with nothing to run
FACES = "--data data/mine.zip"
ONE_FACE = {"train.evaluate": "train.evaluate --count 1 --size 256"}


@dataclass(frozen=True)
class Run:
    """Run as it stands, in the tiny workspace, with `swap` for what would take long or write over a file."""

    makes: tuple[str, ...] = ()  # files that must be there afterwards
    swap: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reduced:
    """Not run: its --help must know every option of it."""

    reason: str


RUN = {
    "python -m agetransformer edit assets/astronaut.jpg --ages 25 35 45 55 65 --out out": Run(
        (*(f"out/astronaut_age_{age}.png" for age in (25, 35, 45, 55, 65)), "out/astronaut_grid.png")
    ),
    "python -m agetransformer sweep assets/astronaut.jpg --out out --format mp4": Run(("out/astronaut_sweep.mp4",)),
    "python -m agetransformer video clip.mp4 --age 65 --out out/clip_at_65.mp4": Run(("out/clip_at_65.mp4",)),
    f"python -m train.generator --config train/configs/own-faces.yaml {FACES} --out runs/mine --minutes 60": Run(
        ("runs/mine/generator/model.safetensors", "runs/mine/discriminator/model.safetensors")
    ),
    f"python -m train.evaluate --checkpoint runs/mine/generator {FACES} --out runs/mine/evaluation": Run(
        ("runs/mine/evaluation/metrics.md", "runs/mine/evaluation/sheet.png"), ONE_FACE
    ),
    f"python -m train.side_by_side checkpoints/generator runs/mine/generator {FACES} --out "
    "runs/mine/side_by_side.png": Run(("runs/mine/side_by_side.png",), {"--out": "--size 64 --out"}),
    "python -m train.prepare data/photos --out data/mine.zip": Run(
        ("data/one.zip", "data/one-photos.csv"),
        {"data/mine.zip": "data/one.zip --size 64 --synthetic tiny_faces:draw --per-age 1 --synthetic-limit 60"},
    ),
    "python -m train.prepare data/photos --out data/mine.zip --size 512 --per-age 1000 --synthetic SOURCE": Run(
        ("data/two.zip", "data/two-photos.csv", "data/two-ages.csv", "data/two-ages.png"),
        {
            "data/mine.zip": "data/two.zip",
            "--size 512": "--size 64",
            "--per-age 1000": "--per-age 1 --synthetic-limit 60",
            "SOURCE": "tiny_faces:draw",
        },
    ),
    "python -m train.classifier --config train/configs/classifier.yaml --out runs/classifier": Run(
        ("runs/classifier/metrics.json",)
    ),
    "python -m train.classifier --config train/configs/classifier-robust.yaml --out runs/classifier-robust": Run(
        ("runs/classifier-robust/metrics.json",)
    ),
    "python -m train.classifier --config train/configs/classifier-glasses.yaml --out runs/classifier-glasses": Run(
        ("runs/classifier-glasses/metrics.json",)
    ),
    "python -m train.generator --config train/configs/cpu.yaml --out runs/cpu": Run(
        ("runs/cpu/generator/model.safetensors",)
    ),
    "python -m train.generator --config train/configs/cpu.yaml --out runs/cpu --resume --minutes 60": Run(),
    "python -m train.evaluate --checkpoint runs/cpu/generator --data FFHQ.zip --out runs/cpu/evaluation": Run(
        ("runs/cpu/evaluation/metrics.json",), ONE_FACE
    ),
    "python -m train.side_by_side checkpoints/generator runs/cpu/generator --data FFHQ.zip --out "
    "runs/cpu/side_by_side.png": Run(("runs/cpu/side_by_side.png",), {"--out": "--size 64 --out"}),
    "python -m train.blend runs/cpu/generator runs/later/generator --share 0.5 --out runs/blend/generator": Run(
        ("runs/blend/generator/model.safetensors",), {"runs/later": "runs/cpu"}
    ),
    "python -m train.card --checkpoint checkpoints/generator --metrics runs/evaluation/metrics.json": Run(
        ("checkpoints/generator/README.md",)
    ),
    "python -m train.evaluate --checkpoint checkpoints/generator --data FFHQ.zip --out runs/evaluation": Run(
        ("runs/evaluation/metrics.json",), ONE_FACE
    ),
    "python -m train.shards data/mine.zip --out data/mine": Run(("data/mine-000000.tar",)),
    "python -m benchmarks.architecture --photo assets/astronaut.jpg --out assets/how_it_works.png": Run(
        ("how_it_works.png",), {"assets/how_it_works.png": "how_it_works.png"}
    ),
    "python -m benchmarks.app_edits --data FFHQ.zip --out runs/app": Run(
        ("app",), {"--out runs/app": "--faces 1 --out app"}
    ),
    "python -m benchmarks.precision --data FFHQ.zip --out benchmarks/results": Run(
        ("precision/precision.json",), {"--out benchmarks/results": "--faces 1 --size 64 --out precision"}
    ),
}
REDUCED = {
    "python -m benchmarks.load --out benchmarks/results": Reduced(
        "three minutes of 64 users; tests/test_load.py has its parts, tests/test_app.py the server's"
    ),
    "python -m train.ablations --out runs/ablations --minutes 60": Reduced(
        "an hour; tests/test_ablations.py trains all of them for a moment"
    ),
    "python -m train.latent_optimisation --generator SOURCE --data FFHQ.zip --out runs/latents": Reduced(
        "wants a StyleGAN; tests/test_latent_optimisation.py has a tiny one"
    ),
    "python -m train.evaluate --checkpoint checkpoints/generator --data FFHQ.zip --out runs/compared --count 4 "
    "--ages 25 45 65 --compare latent=runs/latents/outputs": Reduced(
        "goes on from the one above; tests/test_evaluate.py compares with a folder"
    ),
    "python -m train.evaluate --checkpoint checkpoints/generator --data FFHQ.zip --out runs/evaluation "
    "--compare app=runs/app": Reduced(
        "goes on from benchmarks.app_edits; tests/test_evaluate.py compares with a folder"
    ),
    "python -m train.personalise data/me --out runs/me --minutes 10": Reduced(
        "ten minutes; tests/test_personalise.py fits a person with it"
    ),
    "python app.py --checkpoint runs/me/generator": Reduced("opens a page and stays; tests/test_app.py has it"),
    "mkdir -p runs/11b runs/12b runs/13a runs/14a runs/18a runs/22a runs/23c": Reduced(
        "makes folders for the next seven"
    ),
    **{
        f"git archive {commit} checkpoints/generator | tar -x --strip-components 2 -C runs/{run}": Reduced(
            "wants all of the history, which a copy of the checkout may lack"
        )
        for commit, run in (
            ("6aec1be", "11b"),
            ("156d8cf", "12b"),
            ("c1f7140", "13a"),
            ("077f7ee", "14a"),
            ("eb2bdc4", "18a"),
            ("73b85e9", "22a"),
            ("1df1e2c", "23c"),
        )
    },
    "cp runs/mine/generator/* checkpoints/generator/": Reduced("would change the checkpoint that others here use"),
    "python -m train.card --checkpoint checkpoints/generator --metrics runs/mine/evaluation/metrics.json": Reduced(
        "goes on from the one above; tests/test_card.py writes a card"
    ),
    "git commit -a -m Weights of my own": Reduced("there is no repository here"),
    "hf auth login": Reduced("asks for a token"),
    "python -m train.map_skin --data FFHQ.zip --out runs/skin.npz": Reduced(
        "wants faces that MediaPipe finds; tests/test_skin_maps.py maps one with it"
    ),
    "python -m train.map_skin --data FFHQ.zip runs/chips.zip --out runs/skin.npz": Reduced("see above"),
    "python -m train.place_chips --data UTKFace.zip All-Age-Faces.zip --glasses runs/classifier-glasses "
    "--out runs/chips.zip": Reduced("wants chips; tests/test_place_chips.py places some with it"),
    "python -m train.label_hair --data FFHQ.zip --mistakes train/hair_mistakes.csv --out runs/hair-labels.npz": Reduced(
        "wants another package's weights; tests/test_hair_training.py labels with a parser of its own"
    ),
    "python -m train.label_beards --data FFHQ.zip --out runs/beard-labels.npz": Reduced(
        "wants another package's weights; tests/test_beard_labels.py labels with a parser of its own"
    ),
    "python -m train.hair_segmenter --config train/configs/hair.yaml --out runs/hair-segmenter": Reduced(
        "wants those labels; tests/test_hair_training.py trains one"
    ),
    "python -m train.hair_segmenter --config train/configs/hair-fine.yaml --out runs/hair-segmenter-256": Reduced(
        "wants the one before it; tests/test_hair_training.py begins with another"
    ),
    "python -m benchmarks.inference --out benchmarks/results": Reduced("minutes, on a machine with nothing else to do"),
    "python -m benchmarks.inference --out benchmarks/results --device cuda": Reduced("wants a GPU"),
    "python -m benchmarks.request --out benchmarks/results": Reduced("minutes, on a machine with nothing else to do"),
    "python -m benchmarks.start --out benchmarks/results": Reduced("minutes, on a machine with nothing else to do"),
    "python -m benchmarks.train --out benchmarks/results": Reduced("minutes, on a machine with nothing else to do"),
    "python -m benchmarks.train --out benchmarks/results --profile": Reduced("see above"),
    "python -m benchmarks.train --out benchmarks/results --device cuda --size 512 --batch 8": Reduced("wants a GPU"),
    "python -m benchmarks.inference --out /tmp/benchmark --quick": Reduced(
        "half a minute; tests/test_engine.py runs the same paths"
    ),
    "python -m agetransformer.publish --space owner/name --model owner/name --dry-run": Reduced(
        "needs a checkout without changes; tests/test_publish.py publishes one"
    ),
    "python -m agetransformer.publish --space owner/name --model owner/name": Reduced("writes to the Hub; see above"),
    "python app.py --open": Reduced("opens a browser and stays; tests/test_app.py has the page"),
    "python app.py --checkpoint runs/mine/generator --open": Reduced("see above"),
    "pip install .": Reduced("tests/test_package.py builds the package and uses it"),
}


def draw(count: int, seed: int) -> np.ndarray:
    """A source of synthetic faces for train.prepare: a ramp of greys, which V takes for some age or other."""
    greys = np.linspace(0, 255, count, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 64, 64, 3)).copy()


# --- what the documents say


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language ("" where none is named) and content of every fenced block."""
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield block[1], block[2]


def commands(text: str) -> list[str]:
    """The shell commands of every code block, without comments, one line each."""
    found = []
    for language, block in code_blocks(text):
        if language in ("", "bash", "sh"):
            lines = block.replace("\\\n", " ").splitlines()
            found += [" ".join(shlex.split(line, comments=True)) for line in lines if line.split("#")[0].strip()]
        else:
            assert language == "python" or language in NOT_COMMANDS, f"what is in a block of {language}?"
    return found


def inline_commands(text: str) -> list[str]:
    """Commands within sentences, such as `python -m train.evaluate`."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))
    return [span for span in spans if re.match(r"(python|pip|make|accelerate|docker|git|hf) ", span)]


# --- how each kind is run


@pytest.fixture
def workspace(
    tmp_path: Path, untrained_generator: Path, tiny_faces: Path, monkeypatch: pytest.MonkeyPatch, embedded: None
) -> Path:
    """The working folder of somebody who follows the documents, with tiny contents."""
    for name in ("assets", "requirements.txt", "requirements-train.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    torch.manual_seed(0)
    generator = shutil.copytree(untrained_generator, tmp_path / "checkpoints" / "generator")
    notes = {"sha256": hub.resolve(generator).sha256, "training": "Not.", "data": "None.", "seen": "noise."}
    (generator / "notes.yaml").write_text(yaml.safe_dump(notes))
    shutil.copytree(generator, tmp_path / "owner" / "name")
    shutil.copy(ROOT / "assets" / "astronaut.jpg", tmp_path / "portrait.jpg")
    for name in ("classifier", "classifier-robust", "classifier-robust-224", "classifier-robust-strong"):
        save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "checkpoints" / name)
    (tmp_path / "checkpoints" / "discriminator").symlink_to(ROOT / "checkpoints" / "discriminator")
    (tmp_path / "train" / "configs").mkdir(parents=True)
    for path in (ROOT / "train" / "configs").glob("*.yaml"):
        (tmp_path / "train" / "configs" / path.name).write_text(
            yaml.safe_dump(shrink(yaml.safe_load(path.read_text())))
        )
    copy_with_glasses(tiny_faces, tmp_path / "FFHQ.zip")
    (tmp_path / "data" / "photos").mkdir(parents=True)
    shutil.copy(tiny_faces, tmp_path / "data" / "mine.zip")
    write_clip(tmp_path / "clip.mp4", moved(camera_path(4, (240, 240)), (240, 240)))
    shutil.copy(ROOT / "assets" / "astronaut.jpg", tmp_path / "data" / "photos")
    (tmp_path / "tiny_faces.py").write_text(f"from {Path(__file__).stem} import draw\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def copy_with_glasses(archive: Path, to: Path) -> None:
    """The archive with another column in its labels.csv: every second face wears glasses."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(to, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "labels.csv":
                head, *rows = data.decode().splitlines()
                words = itertools.cycle(["NoGlasses", "ReadingGlasses"])
                rows = [f"{row},{word}" for row, word in zip(rows, words, strict=False)]
                data = "\n".join([f"{head},glasses", *rows]).encode()
            target.writestr(name, data)


def shrink(config: dict) -> dict:
    """A training config with everything as it is, but for the data and the amounts."""
    config |= {"data": ["FFHQ.zip"]}
    if "phases" in config:
        first = config["phases"][0] | {"images": 4, "resolution": 64, "batch": 2}
        model = config.get("model", {}) | {"resolution": 64}
        return config | {"phases": [first], "model": model}
    return config | {
        "images": 16,
        "batch": 8,
        "small": 32,
        "model": config.get("model", {}) | {"resolution": 32},
        "start": "" if "attribute" in config else "checkpoints/classifier",
    }


def run_module(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `python -m MODULE ...` command, in this process, which has loaded PyTorch already."""
    python, dash_m, module, *arguments = shlex.split(command)
    assert (python, dash_m) == ("python", "-m"), f"how is this run? {command}"
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    name = f"{module}.__main__" if (ROOT / module / "__main__.py").is_file() else module
    code = importlib.import_module(name).main()
    assert not code, f"{command} ends with {code}"


def check_options(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The module's --help works and knows every option of the command."""
    module, *arguments = shlex.split(re.sub(r"^python (-m )?", "", command.replace("app.py", "app")))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run_module(f"python -m {module} {'edit ' if 'edit' in arguments else ''}--help", monkeypatch)
    assert stopped.value.code == 0
    known = capsys.readouterr().out
    for option in (argument for argument in arguments if argument.startswith("-")):
        assert re.search(rf"{option}\b", known), f"{module} has no {option}"


def check_requirements(file: Path) -> None:
    """Every line of a requirements file is valid, and what is installed here satisfies it."""
    lines = [line.split("#")[0].strip() for line in file.read_text().splitlines()]
    for requirement in map(Requirement, filter(None, lines)):
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), requirement


def run_command(command: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    if install := re.fullmatch(r"pip install -r (\S+)", command):
        check_requirements(ROOT / install[1])
    elif target := re.fullmatch(r"make (\w+)", command):
        dry = subprocess.run(["make", "--dry-run", target[1]], cwd=ROOT, capture_output=True, text=True)
        assert dry.returncode == 0 and dry.stdout, dry.stderr
    elif command in RUN:
        run = RUN[command]
        shorter = command
        for part, replacement in run.swap.items():
            assert part in shorter
            shorter = shorter.replace(part, replacement)
        run_module(shorter, monkeypatch)
        missing = [name for name in run.makes if not (workspace / name).exists()]
        assert not missing, f"{command} did not make {missing}"
    else:
        assert command in REDUCED, f"a new command: `{command}`; say in {Path(__file__).name} how it is to be run"
        if command.startswith("python "):
            check_options(command, monkeypatch, capsys)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands(
    document: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for command in commands(text):
        run_command(command, workspace, monkeypatch, capsys)
    for command in inline_commands(text):
        if command.startswith("python -m "):
            check_options(command, monkeypatch, capsys)
        else:
            run_command(command, workspace, monkeypatch, capsys)


def test_no_entry_is_left_over() -> None:
    texts = [(ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS]
    said = {command for text in texts for command in (*commands(text), *inline_commands(text))}
    assert not (RUN.keys() | REDUCED.keys()) - said


# --- Python

PAGE_ADDRESS = "http://127.0.0.1:7860"


def python_examples(text: str) -> list[str]:
    return [block for language, block in code_blocks(text) if language == "python"]


def use_editor(namespace: dict, workspace: Path) -> None:
    """The API example of the README."""
    assert [face.image.size for face in namespace["faces"]] == [namespace["encoding"].face.image.size] * 3
    original = np.asarray(Image.open(workspace / "assets" / "astronaut.jpg").convert("RGB"))
    photo = np.asarray(namespace["photo"])
    assert photo.shape == original.shape and (photo != original).any()
    np.testing.assert_array_equal(photo[-50:], original[-50:])  # far below the face
    (estimate,) = namespace["estimates"]
    assert estimate == pytest.approx(namespace["encoding"].face.age, abs=0.1)
    assert [Image.open(file).size for file in namespace["files"]] == [original.shape[1::-1]] * 2
    assert Path(namespace["film"]).suffix == ".mp4" and Path(namespace["film"]).stat().st_size > 10_000


def use_card(namespace: dict, workspace: Path) -> None:
    """The model card's example, with a folder of the repository's name."""
    with Image.open(workspace / "at_65.png") as saved, Image.open(workspace / "portrait.jpg") as portrait:
        assert saved.size == portrait.size and "AI-edited" in saved.text["Description"]


class Synthesis:
    """What the StyleGAN example calls."""

    def eval(self) -> Callable:
        return self._draw

    @staticmethod
    def _draw(z: torch.Tensor, c: None, truncation_psi: float, noise_mode: str, force_fp32: bool) -> torch.Tensor:
        assert (truncation_psi, noise_mode, force_fp32) == (0.7, "const", True)
        return z[:, :1, None, None].expand(-1, 3, 64, 64).tanh()


def use_stylegan(namespace: dict, workspace: Path) -> None:
    """The traced generator is what `--synthetic stylegan.pt` takes."""
    from train.synthetic import draw as draw_from
    from train.synthetic import open_source

    faces = draw_from(open_source("stylegan.pt", torch.device("cpu")), 3, 1)
    assert faces.shape == (3, 64, 64, 3) and faces.dtype == np.uint8


# Of each document with Python in it: what its examples begin with, one after the other, and what checks the result.
EXAMPLES: dict[str, tuple[dict, Callable[[dict, Path], None]]] = {
    "README.md": ({}, use_editor),
    "train/README.md": ({"torch": torch, "G": Synthesis()}, use_stylegan),
    "checkpoints/generator/README.md": ({}, use_card),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_examples(document: str, workspace: Path) -> None:
    examples = python_examples((ROOT / document).read_text(encoding="utf-8"))
    if not examples:
        assert document not in EXAMPLES
        return
    assert document in EXAMPLES, f"say in {Path(__file__).name} how the Python examples of {document} are checked"
    start, check = EXAMPLES[document]
    namespace = dict(start)
    for code in examples:
        if PAGE_ADDRESS in code:  # a running page with the editor of the example before
            with running_page(namespace["editor"], workspace / "server") as address:
                exec(compile(code.replace(PAGE_ADDRESS, address), document, "exec"), namespace)
        else:
            exec(compile(code, document, "exec"), namespace)
    check(namespace, workspace)


def test_the_pages_own_example(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agetransformer.page.english import ENGLISH

    (code,) = python_examples(ENGLISH.api)
    photo = draw_photo(workspace / "portrait.png", (300, 200), ((255, 0, 0), (100, 40, 90)))
    photo.rename(workspace / "portrait.jpg")  # its squares are of pure colours, which a JPEG would not keep
    with running_page(SquareEditor(), workspace / "server") as address:
        assert code.count(PAGE_ADDRESS) == 1
        namespace: dict = {}
        exec(compile(code.replace(PAGE_ADDRESS, address), "ENGLISH.api", "exec"), namespace)
    assert len(namespace["ages"]) == 1 and len(namespace["files"]) == 2
    for file in (*namespace["files"], namespace["figure"]):
        assert Image.open(file).format == "PNG"
