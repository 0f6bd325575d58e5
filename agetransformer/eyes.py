"""Eyes that stay clear where somebody grows older, and no line drawn beyond them where somebody grows younger.

The network may hardly change colours or move anything, so what it makes of lashes that thin and lids that droop is
light over all of the eye: a milky iris. An eye is what a face is known by, and it hardly ages. And of crow's feet that
go it makes, in one face out of some, the dark wedge of a lid in make-up.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import BROWS, EYES, fill_outline
from agetransformer.shading import luma

_KEPT = 0.3  # of the change in an eye
_SOFT = 0.003  # of the side: the standard deviation of the mask's edge
_FINER = 4  # times finer than the mask the outline is drawn
_SHADE = 4 / 127.5  # of the range 2: by how much skin beyond an eye's outer corner may darken,
_WRINKLE = 0.007  # by a Gaussian of so much of the side: what is narrower is a wrinkle that goes
_BEYOND, _REACH = 0.45, 0.6  # of the eye's width: from the corner to the mask's middle, and from there to its end
_WIDER = 1.2  # times a brow, which has its own hair to darken


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


def corners_mask(landmarks: np.ndarray, eyes: Tensor) -> Tensor:
    """Where crow's feet are, beyond the eyes' outer corners and below the brows.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        eyes: what `eyes_mask` says, [side, side].
    Returns:
        [side, side] float32 in 0..1.
    """
    side = len(eyes)
    middles = np.arange(side, dtype=np.float32) + 0.5
    mask: np.ndarray = np.zeros((side, side), np.float32)
    for eye in EYES:
        outer, inner = side * landmarks[[eye[0], eye[len(eye) // 2]]]
        reach = _REACH * max(1.0, float(np.linalg.norm(outer - inner)))
        x, y = (outer + _BEYOND * (outer - inner)).astype(np.float32)
        away = ((middles - x) ** 2 + (middles[:, None] - y) ** 2) / np.float32(reach**2)
        mask = np.maximum(mask, np.exp(-away * away))
    brows = np.maximum(*(fill_outline(landmarks[list(brow)], side, _WIDER) for brow in BROWS)).astype(np.float32)
    mask *= (1 - cv2.GaussianBlur(brows, (0, 0), _SOFT * side)).clip(0)
    return torch.from_numpy(mask) * (1 - eyes).clamp(0, 1)


def without_drawn_corners(change: Tensor, mask: Tensor) -> Tensor:
    """A change [3, R, R] of a face in [-1, 1] -> the same, but that nothing wider than a wrinkle darkens by much where
    the mask [R, R] is 1."""
    wide = cv2.GaussianBlur(change.permute(1, 2, 0).numpy(), (0, 0), _WRINKLE * change.shape[-1])
    wider = torch.from_numpy(wide).permute(2, 0, 1)
    kept = _SHADE / (-luma(wider[None])[0]).clamp(min=_SHADE)
    return change - mask * (1 - kept) * wider
