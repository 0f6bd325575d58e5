"""What somebody who grows older is shaded by: folds stay, bruises do not."""

import pytest
import torch
from torch import Tensor

from agetransformer.shade import soften_shade, warm_shade
from agetransformer.shading import luma

SIDE = 192
SKIN = torch.tensor([0.5, 0.1, -0.1])[None, :, None, None].expand(1, 3, SIDE, SIDE)


def spot(deviation: float, depth: float) -> Tensor:
    """What takes so much of the light at the middle, so wide in pixels: the change of `SKIN`, [1, 3, SIDE, SIDE]."""
    rows = torch.arange(SIDE) - SIDE / 2 + 0.5
    shape = torch.exp(-0.5 * (rows[:, None] ** 2 + rows**2) / deviation**2)
    return -depth * shape * (SKIN + 1)


def line(depth: float) -> Tensor:
    """The same, of a vertical line of two pixels."""
    change = torch.zeros(1, 3, SIDE, SIDE)
    change[..., SIDE // 2 - 1 : SIDE // 2 + 1] = -depth * (SKIN[..., :2] + 1)
    return change


def left(change: Tensor) -> float:
    """The share of the light that is taken at the middle after softening, of that before."""
    made = soften_shade(change, SKIN)
    middle = (0, SIDE // 2, SIDE // 2)
    return (luma(made)[middle] / luma(change)[middle]).item()


def test_wide_shade_is_softened_and_lines_and_light_stay() -> None:
    assert left(spot(12, 0.25)) < 0.55
    assert left(line(0.15)) > 0.8
    assert left(spot(12, 0.03)) == pytest.approx(1)  # hardly there
    assert left(-spot(12, 0.25)) == pytest.approx(1)  # a highlight
    flat = soften_shade(-0.3 * (SKIN + 1), SKIN)
    assert torch.allclose(luma(flat), -(0.04 + 0.3 * (0.3 - 0.04)) * (luma(SKIN) + 1), atol=0.01)


def test_a_deeper_shade_stays_deeper() -> None:
    depths = [luma(soften_shade(spot(12, depth), SKIN)).min().item() for depth in (0.05, 0.15, 0.3, 0.6)]
    assert depths == sorted(depths, reverse=True)


def test_a_wrinkle_in_a_bag_is_as_deep_below_the_bag_as_before() -> None:
    bag, wrinkled = spot(12, 0.2), spot(12, 0.2) + line(0.1)
    before, after = (luma(x)[0, SIDE // 2, SIDE // 2] for x in (wrinkled - bag, soften_shade(wrinkled, SKIN)))
    below = after - luma(soften_shade(bag, SKIN))[0, SIDE // 2, SIDE // 2]
    assert below.item() == pytest.approx(before.item(), rel=0.25)


def test_shade_is_no_bluer_than_green_and_as_dark_as_before() -> None:
    purple = torch.tensor([0.84, 0.80, 0.84])[None, :, None, None]
    change = (purple - 1) * (SKIN + 1)
    made = warm_shade(change, SKIN)
    assert torch.allclose(luma(made), luma(change), atol=1e-5)
    red, green, blue = ((SKIN + made + 1) / (SKIN + 1))[0, :, 0, 0].tolist()
    assert blue < green < red
    assert blue == pytest.approx(0.80 - 0.7 * 0.04 + (green - 0.80), abs=0.02)


def test_what_is_warm_or_light_keeps_its_colour() -> None:
    for ratios in ((0.84, 0.80, 0.74), (1.1, 1.1, 1.2), (0.995, 0.99, 0.995), (1.0, 1.0, 1.0)):
        change = (torch.tensor(ratios)[None, :, None, None] - 1) * (SKIN + 1)
        assert torch.allclose(warm_shade(change, SKIN), change, atol=1e-6), ratios


def test_each_face_of_a_batch_is_its_own_and_black_is_no_division_by_zero() -> None:
    changes, faces = torch.cat([spot(12, 0.3), line(0.3)]), SKIN.repeat(2, 1, 1, 1)
    for rule in (soften_shade, warm_shade):
        both = rule(changes, faces)
        assert torch.allclose(both[1:], rule(changes[1:], faces[1:]), atol=1e-6)
        assert rule(changes, torch.full_like(faces, -1.0)).isfinite().all()
        assert rule(changes[..., :37, :37], faces[..., :37, :37]).shape == (2, 3, 37, 37)
