"""No shadow above the lip of who is made younger.

The young have fuller lips, so the network darkens the skin along the upper lip's edge. But it may hardly change
colours, and a lip without its red is a shadow.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import UPPER_LIP
from agetransformer.shading import luma

_SHADE = 2 / 127.5  # of the range 2: what may stay of it
_WIDER, _SOFT = 0.005, 0.008  # of the side: beyond the line, and the standard deviation of its edge


def upper_lip_mask(landmarks: np.ndarray, side: int) -> Tensor:
    """Where the skin between nose and mouth is.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        side: of the square in pixels.
    Returns:
        [side, side] float32 in 0..1.
    """
    mask: np.ndarray = np.zeros((side, side), np.float32)
    cv2.fillPoly(mask, [np.round(landmarks[list(UPPER_LIP)] * side).astype(np.int32)], 1.0)
    reach = 2 * round(_WIDER * side) + 1
    return torch.from_numpy(cv2.GaussianBlur(cv2.dilate(mask, np.ones((reach, reach))), (0, 0), _SOFT * side))


def without_shadow(change: Tensor, mask: Tensor) -> Tensor:
    """A change [3, R, R] of a face in [-1, 1] -> the same, but that it darkens next to nothing where the mask is 1."""
    shade = (-luma(change[None])[0] - _SHADE).clamp(min=0)
    return change + mask * shade
