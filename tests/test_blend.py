"""Two generators averaged: between them in weights, refused where they are not of a kind."""

from dataclasses import replace

import pytest
import torch

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig
from train import blend as command
from train.blend import blend


def make(seed: int, **changes) -> Generator:
    torch.manual_seed(seed)
    return Generator(replace(GeneratorConfig(resolution=64), **changes))


def test_weights_lie_between(tmp_path, monkeypatch, capsys):
    save_checkpoint(make(0), tmp_path / "a")
    save_checkpoint(make(1), tmp_path / "b")
    given = ["train.blend", str(tmp_path / "a"), str(tmp_path / "b"), "--share", "0.25", "--out", str(tmp_path / "c")]
    monkeypatch.setattr("sys.argv", given)
    command.main()
    blended = load_checkpoint(Generator, GeneratorConfig, tmp_path / "c").state_dict()
    a, b = make(0).state_dict(), make(1).state_dict()
    for name, value in blended.items():
        torch.testing.assert_close(value, 0.75 * a[name] + 0.25 * b[name])
    assert str(tmp_path / "c") in capsys.readouterr().out


def test_half_the_size_in_float16(tmp_path, monkeypatch):
    for seed, name in enumerate("ab"):
        save_checkpoint(make(seed), tmp_path / name)
    given = ["train.blend", str(tmp_path / "a"), str(tmp_path / "b"), "--half", "--out", str(tmp_path / "c")]
    monkeypatch.setattr("sys.argv", given)
    command.main()
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in "ac")
    assert half < 0.52 * whole
    blended = load_checkpoint(Generator, GeneratorConfig, tmp_path / "c").state_dict()
    for name, value in blend(make(0), make(1), 0.5).state_dict().items():
        torch.testing.assert_close(blended[name], value, rtol=1e-3, atol=1e-6)


def test_what_cannot_be_blended_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not of the same kind"):
        blend(make(0), make(1, residual=not GeneratorConfig().residual), 0.5)
    with pytest.raises(ValueError, match=r"share: 1\.5 is outside"):
        blend(make(0), make(1), 1.5)
    monkeypatch.setattr("sys.argv", ["train.blend", str(tmp_path / "no"), str(tmp_path), "--out", str(tmp_path / "c")])
    with pytest.raises(SystemExit, match=r"train\.blend: .*no config\.json"):
        command.main()
    assert not (tmp_path / "c").exists()
