"""Detail that is finer than the network sees: in who grows younger it follows what the network does to the finest that
it sees.

The change is made at the network's resolution and added to the photo at its own, so of a large face the finest wrinkles
would be left where the network smooths all coarser ones. Detail of neighbouring scales is alike in skin: where the
network takes half of the finest that it sees, half of what is finer goes too.
"""

import cv2
import numpy as np
from torch import Tensor

from agetransformer.shading import luma

_FINE, _COARSE = 0.6, 1.2  # px, standard deviations: between them lies the finest that the network sees
_AROUND = 3.0  # px: how wide around a pixel its strength is measured
_LEAST = 0.4  # is left: skin has pores at any age
_NOISE = 0.004  # of the light: what is weaker tells nothing
_BLACK = 0.05  # of the range 2


def kept_detail(face: Tensor, change: Tensor) -> np.ndarray:
    """How much of the finer detail of a face stays with a change of it that makes it younger.

    Args:
        face: [3, R, R] in [-1, 1].
        change: [3, R, R].
    Returns:
        [R, R] float32 in 0.4..1.
    """
    before, after = (_strength(luma(x[None])[0].numpy()) for x in (face, face + change))
    return np.clip(after / before, _LEAST, 1)


def finer_detail(pixels: np.ndarray, side: int) -> np.ndarray:
    """What a picture [S, S, 3] uint8 loses where it shrinks to `side` pixels: [S, S, 3] float32 in levels of 255."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    seen = cv2.resize(small, pixels.shape[:2], interpolation=cv2.INTER_CUBIC)
    return cv2.subtract(pixels, seen, dtype=cv2.CV_32F)


def _strength(light: np.ndarray) -> np.ndarray:
    """How much of its light a picture's finest detail varies by around each pixel, [R, R]; luma in [-1, 1]."""
    band = _blur(light, _FINE) - _blur(light, _COARSE)
    share = _blur(band**2, _AROUND) / (_blur(light + 1, _AROUND).clip(0) + _BLACK) ** 2
    return np.sqrt(share + _NOISE**2)


def _blur(x: np.ndarray, deviation: float) -> np.ndarray:
    return cv2.GaussianBlur(x, (0, 0), deviation)
