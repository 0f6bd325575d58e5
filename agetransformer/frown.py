"""No frown for who is made older.

The network folds the skin between the brows, as V asks for, and there a fold is read as anger before it is read as age.
"""

import numpy as np
import torch
from torch import Tensor

from agetransformer.folds import kept_of_folds

_FOLD = 0.05  # of the light: what a fold between the brows may take in full,
_BEYOND = 0.25  # and how much of what it would take beyond that
_BETWEEN = (107, 336, 55, 285, 9, 8)  # MediaPipe's landmarks: both brows' inner ends, above and below, and the middle
_NOSE = (8, 2)  # from between the eyes to its end
_WIDTH, _HEIGHT = 1.24, 0.83  # of the place: times the distance of the brows' inner ends, and times the nose's length


def frown_mask(landmarks: np.ndarray, side: int) -> Tensor:
    """Where somebody frowns: between the brows and a little above and below.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        side: of the square in pixels.
    Returns:
        [side, side] float32 in 0..1, softly.
    """
    points = landmarks[list(_BETWEEN)] * side
    across = points[1] - points[0]
    distance = max(1.0, float(np.linalg.norm(across)))
    nose = max(1.0, float(np.linalg.norm(np.subtract(*landmarks[list(_NOSE)])) * side))  # not shorter in a turned face
    x, y = across / distance
    rows, columns = np.mgrid[:side, :side] + 0.5
    right, down = columns - points[:, 0].mean(), rows - points[:, 1].mean()
    along = (right * x + down * y) / (_WIDTH / 2 * distance)
    upright = (down * x - right * y) / (_HEIGHT / 2 * nose)
    return torch.from_numpy(np.exp(-((along**2 + upright**2) ** 2)).astype(np.float32))


def without_frown(change: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """A change [3, R, R] of a face [3, R, R] in [-1, 1] -> the same with light folds where the mask [R, R] is 1."""
    kept = kept_of_folds(change[None], face[None], _FOLD, _BEYOND)[0]
    return change * (1 - mask * (1 - kept))
