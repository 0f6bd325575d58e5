"""What somebody who grows older darkens by: folds as they are, scratches as folds."""

import pytest
import torch

from agetransformer.folds import soften_folds
from agetransformer.shading import luma


def taken(change: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    """The share of the light [N, R, R] that a change takes."""
    return -luma(change) / (luma(face) + 1)


def test_folds_stay_and_scratches_become_folds() -> None:
    face = torch.full((1, 3, 8, 8), 0.2)
    shares = torch.linspace(-0.5, 0.9, 64).view(8, 8)
    change = (-shares * 1.2).expand(1, 3, 8, 8)
    made = soften_folds(change, face)
    fold = shares < 0.15
    assert torch.equal(made[..., fold], change[..., fold])  # and what brightens
    left = taken(made, face)[0]
    assert (left[~fold] <= shares[~fold]).all() and left.max() < 0.45
    ordered = left.flatten()
    assert (ordered[1:] > ordered[:-1]).all()  # a deeper one stays deeper
    assert left[-1, -1].item() == pytest.approx(0.16 + 0.35 * (0.9 - 0.16), abs=0.02)


def test_the_colour_of_a_change_stays_and_black_is_no_division_by_zero() -> None:
    change = torch.tensor([-0.6, -0.4, -0.2])[:, None, None].expand(1, 3, 4, 4)
    made = soften_folds(change, torch.full((1, 3, 4, 4), 0.0))
    assert torch.allclose(made[:, 0] / made[:, 1], change[:, 0] / change[:, 1]) and (made > change).all()
    assert soften_folds(change, torch.full((1, 3, 4, 4), -1.0)).isfinite().all()
