"""No shade drawn on the skin of who grows younger.

Of crow's feet that go the network makes, in one face out of some, the dark wedge of a lid in make-up, and of wrinkles
that go from a forehead smudges beside the brows, as if they ended there.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import BROWS, EYES, OVAL, fill_eyes, fill_outline, raised_outline, softened_inwards
from agetransformer.shading import luma

_SHADE = 4 / 127.5  # of the range 2: by how much skin there may darken,
_WRINKLE = 0.007  # by a Gaussian of so much of the side: what is narrower is a wrinkle that goes
_BEYOND, _REACH = 0.45, 0.6  # of the eye's width: from the corner to the mask's middle, and from there to its end
_WIDER = 1.2  # times a brow, which has its own hair to darken
_SOFT, _FOREHEAD = 0.003, 0.01  # of the side: the standard deviations of the brows' edges and the forehead's


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


def forehead_mask(landmarks: np.ndarray, side: int) -> Tensor:
    """The forehead, the temples above the eyes, and between the brows.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        side: of the square in pixels.
    Returns:
        [side, side] float32 in 0..1.
    """
    skin = fill_outline(raised_outline(landmarks[list(OVAL)]), side)
    skin &= ~fill_eyes(landmarks, side, _WIDER)
    skin[round(landmarks[[*EYES[0], *EYES[1]], 1].min() * side) :] = False
    return torch.from_numpy(softened_inwards(skin, _FOREHEAD * side))


def without_drawn_shade(change: Tensor, mask: Tensor) -> Tensor:
    """A change [3, R, R] of a face in [-1, 1] -> the same, but that nothing wider than a wrinkle darkens by much where
    the mask [R, R] is 1."""
    wide = cv2.GaussianBlur(change.permute(1, 2, 0).numpy(), (0, 0), _WRINKLE * change.shape[-1])
    wider = torch.from_numpy(wide).permute(2, 0, 1)
    kept = _SHADE / (-luma(wider[None])[0]).clamp(min=_SHADE)
    return change - mask * (1 - kept) * wider
