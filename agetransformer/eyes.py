"""Eyes that stay clear where somebody grows older.

The network may hardly change colours or move anything, so what it makes of lashes that thin and lids that droop is
light over all of the eye: a milky iris. An eye is what a face is known by, and it hardly ages.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import EYES, fill_outline

_KEPT = 0.3  # of the change in an eye
_SOFT = 0.003  # of the side: the standard deviation of the mask's edge
_FINER = 4  # times finer than the mask the outline is drawn


def eyes_mask(landmarks: np.ndarray, side: int) -> Tensor:
    """Where the eyes are, between their lids.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        side: of the square in pixels.
    Returns:
        [side, side] float32 in 0..1.
    """
    fine = np.maximum(*(fill_outline(landmarks[list(eye)], _FINER * side) for eye in EYES))
    mask = cv2.resize(fine.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(cv2.GaussianBlur(mask, (0, 0), _SOFT * side))


def with_clear_eyes(change: Tensor, mask: Tensor) -> Tensor:
    """A change [3, R, R] of a face -> the same, but little of it where the mask [R, R] is 1."""
    return change * (1 - (1 - _KEPT) * mask)
