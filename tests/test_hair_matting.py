"""Tests of where hair ends: what is beside it stays, and strands beyond a mask's edge are found."""

import cv2
import numpy as np
import pytest

from agetransformer.hair_matting import matte_hair

SIDE = 384  # of a face's square, and here of the picture
BLACK, BLOND, WHITE = (30.0, 25.0, 22.0), (205.0, 170.0, 120.0), (215.0, 213.0, 210.0)
WALL, FOREHEAD = (120.0, 140.0, 160.0), (200.0, 160.0, 140.0)


def noise(strength: float, seed: int) -> np.ndarray:
    """Texture [S, S, 3], grey: of this standard deviation in levels."""
    random = np.random.default_rng(seed)
    return cv2.GaussianBlur(random.normal(0, strength * 3.5, (SIDE, SIDE)), (0, 0), 1)[..., None]


def strands_before(hair: tuple, ground: tuple) -> tuple[np.ndarray, np.ndarray]:
    """A picture of hair on the left that ends in strands up to 6 px long, and how much of each pixel is hair."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    longer = 6 * (np.sin(rows / 1.7) > 0.2)
    share = cv2.GaussianBlur((columns < 190 + longer).astype(np.float32), (0, 0), 0.7)
    pixels = share[..., None] * (hair + noise(6, 1)) + (1 - share[..., None]) * (ground + noise(4, 2))
    return pixels.round().clip(0, 255).astype(np.uint8), share


def soft_mask(edge: float, width: float) -> np.ndarray:
    """Hair up to a column, by a ramp of so many pixels; the same in each row."""
    columns = np.mgrid[:SIDE, :SIDE][1]
    return ((edge - columns) / width + 0.5).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("hair", [BLACK, BLOND])
@pytest.mark.parametrize("ground", [WALL, FOREHEAD])
@pytest.mark.parametrize("beyond", [-4, 0, 7])
def test_strands_are_told_from_what_is_between_them(hair: tuple, ground: tuple, beyond: int) -> None:
    pixels, share = strands_before(hair, ground)
    mask = soft_mask(193 + beyond, 8)
    matte = matte_hair(pixels, mask, SIDE)
    edge = (slice(40, -40), slice(180, 206))
    before, after = (np.abs(found[edge] - share[edge]).mean() for found in (mask, matte.mask))
    assert after < 0.6 * before and after < 0.14
    assert matte.mask[40:-40, 203:].max() < 0.12, "beyond the longest strand is the wall alone"
    assert matte.mask[40:-40, :170].min() > 0.9


def test_mixed_pixels_count_with_the_colour_of_their_hair() -> None:
    pixels, share = strands_before(BLACK, WALL)
    matte = matte_hair(pixels, soft_mask(193, 8), SIDE)
    mixed = (share > 0.3) & (share < 0.7)
    mixed[:40] = mixed[-40:] = False
    assert pixels[mixed].mean() > 70
    assert matte.colours[mixed].mean() < 42
    away = np.abs(np.arange(SIDE) - 193) > 40
    assert np.array_equal(matte.colours[:, away], pixels[:, away])


def test_where_hair_and_ground_look_alike_the_mask_stays() -> None:
    pixels, _ = strands_before(BLACK, (32.0, 27.0, 25.0))
    mask = soft_mask(193, 8)
    assert np.abs(matte_hair(pixels, mask, SIDE).mask - mask).max() < 0.05


@pytest.mark.parametrize("mask", [np.zeros((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)])
def test_without_an_edge_nothing_changes(mask: np.ndarray) -> None:
    pixels, _ = strands_before(BLACK, WALL)
    matte = matte_hair(pixels, mask, SIDE)
    assert np.array_equal(matte.mask, mask) and np.array_equal(matte.colours, pixels)


def test_skin_that_is_seen_through_dark_hair_is_a_gap_and_light_on_white_hair_is_none() -> None:
    for hair, gap, stays in ((BLACK, FOREHEAD, False), (WHITE, FOREHEAD, True)):
        pixels, _ = strands_before(hair, FOREHEAD)
        pixels[180:200, 170:186] = gap
        matte = matte_hair(pixels, soft_mask(193, 8), SIDE)
        assert (matte.mask[186:194, 178:184] > 0.9).all() == stays
        assert (matte.mask[186:194, 178:184] < 0.1).all() != stays


def test_a_narrow_lock_that_the_mask_half_finds_is_hair() -> None:
    columns = np.mgrid[:SIDE, :SIDE][1]
    lock = np.abs(columns - 190) < 9
    pixels = np.where(lock[..., None], WHITE + noise(6, 1), WALL + noise(4, 2))
    mask = np.where(lock, 1.0, 0.0).astype(np.float32)
    mask[178:202] *= 0.5
    matte = matte_hair(pixels.round().clip(0, 255).astype(np.uint8), mask, SIDE)
    assert matte.mask[180:200, 186:194].min() > 0.75
    assert matte.mask[:, 204:].max() < 0.05


def test_a_picture_may_be_small_and_need_not_be_square() -> None:
    pixels, _ = strands_before(BLACK, WALL)
    mask = soft_mask(193, 8)
    for height, width, side in ((16, 16, 16), (384, 200, 384), (1, 1, 1)):
        matte = matte_hair(pixels[:height, :width], mask[:height, :width], side)
        assert matte.mask.shape == (height, width) and matte.colours.shape == (height, width, 3)
        assert matte.mask.min() >= 0 and matte.mask.max() <= 1
