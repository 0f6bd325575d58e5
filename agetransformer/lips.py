"""No fuller lips for who is made younger.

The young have fuller lips, so the network draws a light line along their edges and darkens the skin beyond them. But
it may hardly change colours, and a lip without its red is a pale line with a shadow. Around the mouth only what is
finer, the wrinkles, and what is much coarser, the light of the face, change, and the latter may hardly darken.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import LIPS, UPPER_LIP, fill_outline
from agetransformer.shading import luma

_SHADE = 2 / 127.5  # of the range 2: by how much the coarse part of the change may darken
_AROUND, _SOFT = 0.03, 0.008  # of the side: beyond the lips, and the standard deviation of the mask's edge
_FINE, _COARSE = 0.004, 0.03  # of the side, standard deviations: what lies between them is what draws lips


def lips_mask(landmarks: np.ndarray, side: int) -> Tensor:
    """Where the lips are, with the skin around them and up to the nose.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        side: of the square in pixels.
    Returns:
        [side, side] float32 in 0..1.
    """
    lips, skin_above = (fill_outline(landmarks[list(line)], side) for line in (LIPS, UPPER_LIP))
    reach = 2 * round(_AROUND * side) + 1
    around = cv2.dilate(lips.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    mask = np.maximum(around, skin_above).astype(np.float32)
    return torch.from_numpy(cv2.GaussianBlur(mask, (0, 0), _SOFT * side))


def without_fuller_lips(change: Tensor, mask: Tensor) -> Tensor:
    """A change [3, R, R] of a face in [-1, 1] -> the same, but that it draws no lips where the mask [R, R] is 1.

    Its colour differences stay.
    """
    side = change.shape[-1]
    light = luma(change[None])[0]
    without_fine = _blur(light, _FINE * side)
    coarse = _blur(without_fine, _COARSE * side).clamp(min=-_SHADE)
    return change + mask * (coarse - without_fine)


def _blur(x: Tensor, deviation: float) -> Tensor:
    """[R, R] float32, repeated beyond its edge."""
    return torch.from_numpy(cv2.GaussianBlur(x.numpy(), (0, 0), deviation, borderType=cv2.BORDER_REPLICATE))
