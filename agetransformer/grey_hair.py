"""Hair that turns grey with the years: a rule, and no part of the network.

Grey strands are light and colourless, in the light that is there, and what tells strand from strand stays. Nobody's
hair grows dark again: whoever grows younger keeps it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_MOST, _HALF_AGE, _YEARS = 0.75, 55.0, 6.0  # the share of grey: a logistic curve of the age
_TONE = 1 / 64  # of the side: the Gaussian that parts the hair's tone from its strands
_LIGHT = 1.1  # how light grey hair is, as a multiple of the skin's lightness in the photo,
_LEAST_LIGHT, _MOST_LIGHT = 0.35, 0.65  # and within these bounds, of 0..1
_COLOUR_LOST = 0.85  # of the colour, where all is grey
_STRANDS, _MOST_STRANDS = 0.6, 2.2  # strands gain contrast by this power of the tone's gain, up to so many times
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


@dataclass(frozen=True, eq=False)
class Hair:
    """The hair of one square, as it is."""

    mask: np.ndarray  # [R, R] float32 in 0..1, where hair is
    tone: np.ndarray  # [R, R] float32, the luma of the hair around each pixel, 0..1
    grey: float  # the tone of grey hair in this photo


def grey_share(age: float) -> float:
    """How much of the hair is grey at an age in years, 0..1."""
    return _MOST / (1 + float(np.exp((_HALF_AGE - age) / _YEARS)))


def grown_grey(age: float, target: float) -> float:
    """Of the hair that is not grey at `age`, the share that is at `target`, 0..1; 0 for who grows younger."""
    before = grey_share(age)
    return max(0.0, (grey_share(target) - before) / (1 - before))


def measure_hair(pixels: np.ndarray, mask: np.ndarray, face: np.ndarray) -> Hair:
    """What `grey_change` needs to know.

    Args:
        pixels: [R, R, 3] float32 RGB in 0..1.
        mask: [M, M] float32 in 0..1, how much of each pixel is hair.
        face: [R, R] bool, where skin is.
    """
    side = len(pixels)
    light = pixels @ _LUMA
    mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR)
    weight = mask + np.float32(1e-4)  # what is beside the hair is no part of its tone
    tone = cv2.GaussianBlur(light * weight, (0, 0), _TONE * side) / cv2.GaussianBlur(weight, (0, 0), _TONE * side)
    skin = light[face].mean() if face.any() else light.mean()
    return Hair(mask, tone, float(np.clip(_LIGHT * skin, _LEAST_LIGHT, _MOST_LIGHT)))


def grey_change(pixels: np.ndarray, hair: Hair, share: float) -> np.ndarray:
    """What this share of the hair changes by turning grey.

    Args:
        pixels: [R, R, 3] float32 in 0..1, those that were measured.
        share: 0..1.
    Returns:
        [R, R, 3] float32, to add to the pixels.
    """
    light = pixels @ _LUMA
    goal = hair.tone + share * (hair.grey - hair.tone).clip(0)
    gain = (((goal + 0.02) / (hair.tone + 0.02)) ** _STRANDS).clip(max=_MOST_STRANDS)
    grey = (goal + gain * (light - hair.tone))[..., None] + (1 - _COLOUR_LOST * share) * (pixels - light[..., None])
    return hair.mask[..., None] * (grey.clip(0, 1) - pixels)
