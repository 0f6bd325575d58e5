"""benchmarks.precision: errors against plain PyTorch, and its command line."""

import json
import subprocess
import sys

import pytest
import torch

from agetransformer.checkpoint import save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig
from benchmarks.paths import path_names
from benchmarks.precision import Errors, measure_errors


def test_errors_are_in_levels_of_255():
    errors = Errors.of([torch.tensor([0.0, 1 / 127.5]), torch.tensor([2 / 127.5, 4 / 127.5])])
    assert errors.mean == pytest.approx(1.75)
    assert errors.worst_mean == pytest.approx(3.0)
    assert errors.largest == pytest.approx(4.0)
    assert errors.median_largest == pytest.approx(2.5)


def test_the_rewritten_generator_is_exact_and_fewer_bits_are_not(tmp_path):
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(resolution=64)).eval()
    save_checkpoint(generator, tmp_path / "generator", half=False)
    names = [name for name in path_names("cpu") if name.startswith("ours")]
    errors = measure_errors(generator, tmp_path / "generator", torch.rand(2, 3, 64, 64) * 2 - 1, names)
    assert list(errors) == names
    assert 0 < errors["ours, PyTorch"].largest < 1e-4 * 255
    assert errors["ours, PyTorch"].mean < errors["ours, PyTorch"].largest
    for coarse in ("ours, OpenVINO bf16", "ours, OpenVINO int8"):
        if coarse in errors:
            assert errors[coarse].mean > errors["ours, OpenVINO f32"].mean


def test_the_command_writes_its_report_and_names_a_missing_archive(tiny_faces, tmp_path):
    torch.manual_seed(0)
    save_checkpoint(Generator(GeneratorConfig(resolution=64)), tmp_path / "generator", half=False)
    command = [
        sys.executable,
        "-m",
        "benchmarks.precision",
        "--checkpoint",
        str(tmp_path / "generator"),
        "--faces",
        "1",
    ]
    command += ["--out", str(tmp_path / "results"), "--cache", str(tmp_path / "cache"), "--data"]
    done = subprocess.run([*command, str(tiny_faces)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "results/precision.json").read_text())
    assert report["faces"] == 1
    assert report["size"] == 64
    assert report["errors"]["ours, PyTorch"]["largest"] > 0
    missing = subprocess.run([*command, "none.zip"], capture_output=True, text=True, timeout=300)
    assert missing.returncode == 2
    assert "none.zip" in missing.stderr
    assert "Traceback" not in missing.stderr
