"""Hair that turns grey with the years: a rule, and no part of the network.

Grey strands are light and colourless, in the light that is there, and what tells strand from strand stays. Nobody's
hair grows dark again: whoever grows younger keeps it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from agetransformer.face_outline import raised_outline

_MOST, _HALF_AGE, _YEARS = 0.75, 55.0, 6.0  # the share of grey: a logistic curve of the age
_TONE = 1 / 64  # of the face's square: the Gaussian that parts the hair's tone from its strands
_LIGHT = 1.1  # how light grey hair is, as a multiple of the skin's lightness in the photo,
_LEAST_LIGHT, _MOST_LIGHT = 0.35, 0.65  # and within these bounds, of 0..1
_SHADES, _SHADING = (0.3, 1.5), 0.7  # grey hair has the shadows of the hair it was, so far and by this power
_COLOUR_LOST = 0.85  # of the colour, where all is grey
_STRANDS, _MOST_STRANDS = 0.6, 2.2  # strands gain contrast by this power of the tone's gain, up to so many times
_EDGE, _CONTRAST = 1 / 72, 0.04  # of the picture's side; of 0..1: a weaker edge is none
_UNLIKELY, _HALF = 0.25, 0.5  # of 0..1: what is less likely hair than the first is none
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


@dataclass(frozen=True, eq=False)
class Hair:
    """The hair in a picture of a face, as it is."""

    pixels: np.ndarray  # [F, F, 3] uint8 RGB, the picture
    mask: np.ndarray  # [F, F] float32 in 0..1, where hair is
    tone: np.ndarray  # [F, F] float32, the luma of the hair around each pixel, 0..1
    goal: np.ndarray  # [F, F] float32, its tone where all of it is grey


def own_part(mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Of a mask of hair what hangs together with a face: that of people behind it is left out.

    Args:
        mask: [M, M] float32 in 0..1, how likely each pixel is hair.
        outline: of the face by MediaPipe, closed [K, 2], fractions of the side.
    Returns:
        [M, M] float32 in 0..1.
    """
    side = len(mask)
    mask = ((mask - _UNLIKELY) / (1 - 2 * _UNLIKELY)).clip(0, 1)
    head = cv2.dilate(fill_outline(raised_outline(outline), side, 1).astype(np.uint8), np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=4)
    return mask * np.isin(parts, parts[(head > 0) & (mask > _HALF)])


def fit_mask(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A mask of hair at the size of its picture, its edge drawn to the picture's own (He et al. 2013, "Guided Image
    Filtering").

    Args:
        mask: [M, M] float32 in 0..1.
        pixels: [F, F, 3] uint8 RGB.
    Returns:
        [F, F] float32 in 0..1.
    """
    side = len(pixels)
    large = cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR)
    radius = max(1, round(_EDGE * side))
    return cv2.ximgproc.guidedFilter(pixels, large, radius, (255 * _CONTRAST) ** 2).clip(0, 1)


def fill_outline(outline: np.ndarray, side: int, scale: float) -> np.ndarray:
    """[side, side] bool: inside a closed line [K, 2] of fractions of the side, scaled about its middle."""
    centre = outline.mean(axis=0)
    mask: np.ndarray = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round((centre + scale * (outline - centre)) * side).astype(np.int32)], 1)
    return mask > 0


def grey_share(age: float) -> float:
    """How much of the hair is grey at an age in years, 0..1."""
    return _MOST / (1 + float(np.exp((_HALF_AGE - age) / _YEARS)))


def grown_grey(age: float, target: float) -> float:
    """Of the hair that is not grey at `age`, the share that is at `target`, 0..1; 0 for who grows younger."""
    before = grey_share(age)
    return max(0.0, (grey_share(target) - before) / (1 - before))


def measure_hair(pixels: np.ndarray, mask: np.ndarray, skin: np.ndarray, side: float) -> Hair:
    """What `grey_change` needs to know.

    Args:
        pixels: [F, F, 3] uint8 RGB.
        mask: [F, F] float32 in 0..1, how much of each pixel is hair.
        skin: [F, F] bool, pixels of the face.
        side: of the face's square, in pixels.
    """
    light = pixels @ (_LUMA / 255)
    weight = mask + np.float32(1e-4)  # what is beside the hair is no part of its tone
    tone = cv2.GaussianBlur(light * weight, (0, 0), _TONE * side) / cv2.GaussianBlur(weight, (0, 0), _TONE * side)
    around = light[skin].mean() if skin.any() else light.mean()
    grey = np.clip(_LIGHT * around, _LEAST_LIGHT, _MOST_LIGHT)
    usual = max((tone * mask).sum() / max(mask.sum(), 1e-6), 1e-3)
    goal = grey * (tone / usual).clip(*_SHADES) ** _SHADING
    return Hair(pixels, mask, tone, goal.astype(np.float32))


def grey_change(hair: Hair, share: float) -> np.ndarray:
    """What this share of the hair changes by turning grey.

    Args:
        share: 0..1.
    Returns:
        [F, F, 3] float32, to add to the picture, in levels of 255.
    """
    pixels = hair.pixels.astype(np.float32) / 255
    light = pixels @ _LUMA
    goal = hair.tone + share * (hair.goal - hair.tone).clip(0)
    gain = (((goal + 0.02) / (hair.tone + 0.02)) ** _STRANDS).clip(max=_MOST_STRANDS)
    grey = (goal + gain * (light - hair.tone))[..., None] + (1 - _COLOUR_LOST * share) * (pixels - light[..., None])
    return 255 * hair.mask[..., None] * (grey.clip(0, 1) - pixels)
