"""Checkpoints of the past keep loading, and those of the future are refused; see tests/data/README.md."""

import errno
import json
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agetransformer.checkpoint import FORMAT_VERSION, CheckpointError, load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import Generator, GeneratorConfig

STORED = Path(__file__).parent / "data"


def unpack(name: str, folder: Path) -> dict[str, list]:
    with zipfile.ZipFile(STORED / f"{name}-format-1.zip") as archive:
        archive.extractall(folder)
    return json.loads((folder / "expected.json").read_text())


def pattern(side: int) -> Tensor:
    """[1, 3, side, side] in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([torch.sin(0.11 * x + 0.05 * y), torch.cos(0.07 * x - 0.13 * y), torch.sin(0.19 * (x - y))])[
        None
    ]


@torch.no_grad()
def test_a_generator_of_format_1_gives_the_same_faces(tmp_path: Path) -> None:
    expected = unpack("generator", tmp_path)
    generator = load_checkpoint(Generator, GeneratorConfig, tmp_path)
    config = generator.config
    assert (config.resolution, config.residual, config.age_sigma) == (64, True, 4.0)
    faces = {age: torch.tensor(values) for age, values in expected.items()}
    for age, face in faces.items():
        output = generator(pattern(64), torch.tensor([float(age)]))[0, :, 4::14, 4::14]
        torch.testing.assert_close(output, face, rtol=0, atol=1e-3)
    assert (faces["25"] - faces["65"]).abs().mean() > 0.05  # so the age counts in the comparison above
    assert (faces["25"] - pattern(64)[0, :, 4::14, 4::14]).abs().mean() > 0.05  # and so do the weights


@torch.no_grad()
def test_a_classifier_of_format_1_gives_the_same_age(tmp_path: Path) -> None:
    expected = unpack("classifier", tmp_path)
    classifier = load_checkpoint(AgeClassifier, ClassifierConfig, tmp_path)
    assert (classifier.config.resolution, classifier.config.gender) == (64, True)
    logits, gender = classifier(pattern(64))
    torch.testing.assert_close(logits[0], torch.tensor(expected["age_logits"]), rtol=0, atol=1e-3)
    assert gender.item() == pytest.approx(expected["gender_logit"], abs=1e-3)
    assert logits.std() > 0.1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"format_version": FORMAT_VERSION + 1},
            rf"format {FORMAT_VERSION + 1} is newer than .*upgrade agetransformer",
        ),
        ({"format_version": "two"}, "not a checkpoint's config"),
        ({"format_version": 0}, "not a checkpoint's config"),
        ({"format_version": None}, "not a checkpoint's config"),
        ({"wings": 2}, "unknown settings: wings"),
        ({"residual": False, "shading": True}, r"config\.json: shading: only of a residual"),
        ({"residual": "false"}, "residual: expected bool, found 'false'"),
        ({"resolution": "384"}, "resolution: expected int, found '384'"),
        ({"resolution": 383}, r"config\.json: resolution: a multiple of 4"),
        ({"resolution": 0}, "resolution: a multiple of 4"),
        ({"age_sigma": -1}, r"config\.json: age_sigma: years"),
        ({"age_sigma": float("nan")}, "age_sigma: years"),
    ],
)
def test_what_this_version_cannot_read_is_refused(tmp_path: Path, changed: dict, sentence: str) -> None:
    unpack("generator", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | changed
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(Generator, GeneratorConfig, tmp_path)


@pytest.mark.parametrize(
    "config", ["[]", "7", "{", '{"format_version": 1}', "[" * 10_000, '{"format_version": ' + "1" * 5000]
)
def test_what_is_no_config_is_refused(tmp_path: Path, config: str) -> None:
    unpack("generator", tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=r"config\.json: not a checkpoint's config"):
        load_checkpoint(Generator, GeneratorConfig, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    from safetensors.torch import load_file, save_file

    unpack("generator", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["decoder.conv3.bias"].index_fill_(0, torch.tensor([1]), value)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"decoder\.conv3\.bias has weights that are no numbers"):
        load_checkpoint(Generator, GeneratorConfig, tmp_path)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, torch.int8])
def test_weights_of_any_float_are_loaded(tmp_path: Path, kind: torch.dtype) -> None:
    from safetensors.torch import load_file, save_file

    unpack("generator", tmp_path)
    weights = {name: value.to(kind) for name, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors")
    if kind.is_floating_point:
        bias = load_checkpoint(Generator, GeneratorConfig, tmp_path).decoder.conv3.bias
        torch.testing.assert_close(bias, weights["decoder.conv3.bias"].float())
    else:
        with pytest.raises(CheckpointError, match=r"int8 where torch\.float32 is expected"):
            load_checkpoint(Generator, GeneratorConfig, tmp_path)


def test_a_setting_that_came_later_has_its_default(tmp_path: Path) -> None:
    unpack("generator", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["age_sigma"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_checkpoint(Generator, GeneratorConfig, tmp_path).config.age_sigma == GeneratorConfig.age_sigma


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_are_loaded_strictly(tmp_path: Path, change: str) -> None:
    from safetensors.torch import load_file, save_file

    unpack("generator", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    if change == "missing":
        del weights["decoder.conv3.bias"]
    elif change == "extra":
        weights["decoder.conv4.bias"] = torch.zeros(3)
    else:
        weights["decoder.conv3.bias"] = torch.zeros(4)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"weights do not fit the config.*conv[34]\.bias"):
        load_checkpoint(Generator, GeneratorConfig, tmp_path)


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(Generator(GeneratorConfig(resolution=64)), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_text

    def full(path: Path, text: str, encoding: str) -> int:
        write(path, "{")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)  # the config is written after the weights
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(Generator(GeneratorConfig(resolution=128)), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
