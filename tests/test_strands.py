"""Strands that are drawn follow the hair, and stay where they are."""

import numpy as np
import pytest

from agetransformer.strands import draw_strands

SIDE = 256
FULL = np.ones((SIDE, SIDE), np.float32)


def stripes(slope: float) -> np.ndarray:
    """Light and dark strands [SIDE, SIDE] that go down by so many pixels in one to the right."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (0.4 + 0.1 * np.sin((rows - slope * columns) / 2)).astype(np.float32)


def alike(strands: np.ndarray, across: int, down: int) -> float:
    """How alike strands are with those so many pixels away, -1..1."""
    inside, there = strands[20:-20, 20:-20], np.roll(strands, (-down, -across), axis=(0, 1))[20:-20, 20:-20]
    return float(np.corrcoef(inside.ravel(), there.ravel())[0, 1])


@pytest.mark.parametrize(("slope", "along", "across"), [(0.0, (5, 0), (0, 5)), (1.0, (4, 4), (4, -4))])
def test_strands_are_as_long_as_hair_along_its_flow_and_thin_across(
    slope: float, along: tuple[int, int], across: tuple[int, int]
) -> None:
    strands = draw_strands(stripes(slope), FULL, FULL, SIDE, (0, 0))
    assert strands.dtype == np.float32 and abs(strands.mean()) < 0.05 and 0.85 < strands.std() < 1.15
    assert alike(strands, *along) > 0.7 and alike(strands, *across) < 0.3


def test_what_shows_no_flow_takes_that_of_the_hair_around() -> None:
    light = stripes(1.0)
    light[60:200, 60:200] = 0
    middle = draw_strands(light, FULL, FULL, SIDE, (0, 0))[70:190, 70:190]
    assert alike(middle, 3, 3) > 0.5 and alike(middle, 3, -3) < 0.25


def test_strands_stay_in_place_when_the_hair_found_around_them_is_more() -> None:
    """As in the frames of a film."""
    light = stripes(0.5)
    where = np.zeros_like(FULL)
    where[120:180, 120:180] = 1
    whole = draw_strands(light, FULL, where, SIDE, (-7, 12))
    where[100:180, 110:180] = 1
    part = draw_strands(light[30:, 50:].copy(), FULL[30:, 50:], where[30:, 50:], SIDE, (43, 42))
    assert part.dtype == np.float32
    inside = whole[130:170, 130:170], part[100:140, 80:120]
    assert np.corrcoef(inside[0].ravel(), inside[1].ravel())[0, 1] > 0.95


def test_nothing_is_drawn_elsewhere() -> None:
    where = np.zeros_like(FULL)
    where[100:110, 100:110] = 0.5
    strands = draw_strands(stripes(0.0), FULL, where, SIDE, (0, 0))
    assert np.array_equal(strands != 0, where > 0) and 0.3 < strands[where > 0].std() < 0.7
    flat = draw_strands(np.zeros_like(FULL), FULL, FULL, SIDE, (0, 0))  # and no flow to follow
    assert np.isfinite(flat).all()
