"""Weak detail of a change goes, strong detail and shading stay."""

import torch

from agetransformer.shading import luma
from train.coring import core_change


def change_of(lightness: torch.Tensor) -> torch.Tensor:
    """[R, R] -> a grey change [1, 3, R, R]."""
    return lightness.expand(1, 3, *lightness.shape)


def dirt(strength: float) -> torch.Tensor:
    return strength * torch.randn(128, 128, generator=torch.Generator().manual_seed(0))


def test_weak_dirt_goes_beside_a_fold_that_stays() -> None:
    fold = torch.zeros(128, 128)
    fold[:, 96:100] = -0.3
    made = luma(core_change(change_of(fold + dirt(0.004)), 0.012))[0]
    assert made[:, :64].std() < 0.0015  # a third of it
    assert -0.31 < made[:, 96:100].mean() < -0.27  # but for a few parts of it that are wide and weak
    assert made[:, 95].mean() > -0.03 and made[:, 100].mean() > -0.03  # as narrow as before


def test_shading_stays_and_so_does_strong_detail() -> None:
    slope = torch.linspace(-0.2, 0.2, 128).expand(128, 128)
    made = luma(core_change(change_of(slope), 0.012))[0]
    assert (made - slope)[:, 16:112].abs().max() < 0.01
    strong = dirt(0.2)
    assert (luma(core_change(change_of(strong), 0.012))[0] - strong).abs().mean() < 0.02


def test_colour_of_the_change_stays() -> None:
    generator = torch.Generator().manual_seed(1)
    change = 0.01 * torch.randn(2, 3, 64, 64, generator=generator)
    made = core_change(change, 0.012)
    assert made.shape == change.shape and not torch.allclose(made, change, atol=1e-3)
    differences = [x[:, ::2] - luma(x)[:, None] for x in (made, change)]  # R - Y, B - Y
    torch.testing.assert_close(*differences, atol=1e-5, rtol=0)
    torch.testing.assert_close(core_change(change[1:], 0.012), made[1:])  # each face for itself


def test_of_any_size_that_is_a_multiple_of_32() -> None:
    for side in (64, 96, 384):
        assert core_change(torch.zeros(1, 3, side, side), 0.012).abs().max() == 0
