"""Detail that is finer than the network sees: in who grows younger it follows what the network does to the finest that
it sees.

The change is made at the network's resolution and added to the photo at its own, so of a large face the finest wrinkles
would be left where the network smooths all coarser ones. Detail of neighbouring scales is alike in skin: where the
network takes half of the finest that it sees, half of what is finer goes too, down to the pixels of the face's square
(`Face.image`); what a photo has beyond those stays.
"""

import cv2
import numpy as np
from PIL import Image
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
    light = luma(face[None])[0].numpy()
    noise = _NOISE * (_blur(light + 1, _AROUND).clip(0) + _BLACK)
    before, after = (_strength(x) for x in (light, light + luma(change[None])[0].numpy()))
    return np.sqrt((after + noise**2) / (before + noise**2)).clip(_LEAST, 1)


def finer_detail(square: Image.Image, side: int) -> np.ndarray:
    """What a face's square of S pixels loses where the network sees it at `side`: [S, S, 3] float32, levels of 255."""
    small = np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))  # as `AgeEditor.encode`: nothing twice
    seen = cv2.resize(small, square.size, interpolation=cv2.INTER_CUBIC)
    return cv2.subtract(np.asarray(square), seen, dtype=cv2.CV_32F)


def _strength(light: np.ndarray) -> np.ndarray:
    """The mean square of the finest detail of a luma around each pixel, [R, R]."""
    return _blur((_blur(light, _FINE) - _blur(light, _COARSE)) ** 2, _AROUND)


def _blur(x: np.ndarray, deviation: float) -> np.ndarray:
    return cv2.GaussianBlur(x, (0, 0), deviation)
