"""The closed line around a face as MediaPipe draws it, [K, 2] as fractions of an FFHQ-aligned square's side."""

import cv2
import numpy as np

# Its landmarks along it: FACE_LANDMARKS_FACE_OVAL.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

# And its landmarks around each brow, in order.
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)

# And along the lids of each eye.
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)

# And around the skin between nose and mouth: along the upper lip's edge, then over the wings of the nose.
UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 358, 327, 2, 98, 129)

# Around the open mouth, along the lips' inner edges, and around the lips.
MOUTH = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)

# Around the nose, from its bridge; and where it ends above the lip.
NOSE = (168, 129, 64, 98, 97, 2, 326, 327, 294, 358)
NOSE_END = 2

_CHIN = (61, 291, 152)  # the corners of the mouth, and the lowest point of the chin

INNER = 0.85  # of the line around a face: within it is skin for sure
_MEAN_CENTRE, _MEAN_AXES = (0.5, 0.58), (0.28, 0.32)
_UP, _ACROSS, _DOWN = 1.45, 1.05, 1.08  # the line ends at half the forehead: stretched about its centre


def mean_outline() -> np.ndarray:
    """Where the line lies on average, [36, 2]."""
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    return _MEAN_CENTRE + np.column_stack([np.sin(angles), -np.cos(angles)]) * _MEAN_AXES


def raised_outline(outline: np.ndarray) -> np.ndarray:
    """The line up to the hair line, [K, 2]."""
    centre = (outline.min(axis=0) + outline.max(axis=0)) / 2
    x, y = (outline - centre).T
    return centre + np.column_stack([x * _ACROSS, y * np.where(y < 0, _UP, _DOWN)])


def around_eyes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The line around each brow and the eye below it, [K, 2]. Of landmarks [478, 2]."""
    both = (landmarks[[*brow, *eye]].astype(np.float32) for brow, eye in zip(BROWS, EYES, strict=True))
    first, second = (cv2.convexHull(points)[:, 0] for points in both)
    return first, second


def chin(landmarks: np.ndarray) -> np.ndarray:
    """The line around lower lip and chin, as wide as the mouth, [4, 2]: where a goatee is. Of landmarks [478, 2]."""
    left, right, lowest = landmarks[list(_CHIN)]
    across = (right - left) / 2
    return np.array([left, right, lowest + across, lowest - across])


def fill_outline(outline: np.ndarray, side: int, scale: float = 1.0) -> np.ndarray:
    """[side, side] bool: inside a closed line [K, 2] of fractions of the side, scaled about its middle."""
    centre = outline.mean(axis=0)
    mask: np.ndarray = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round((centre + scale * (outline - centre)) * side).astype(np.int32)], 1)
    return mask > 0


def fill_eyes(landmarks: np.ndarray, side: int, scale: float = 1.0) -> np.ndarray:
    """[side, side] bool: inside the lines `around_eyes`. Of landmarks [478, 2]."""
    right, left = (fill_outline(line, side, scale) for line in around_eyes(landmarks))
    return right | left


def softened_inwards(region: np.ndarray, deviation: float) -> np.ndarray:
    """[S, S] bool -> float32 in 0..1: 0 outside, and up from there by a Gaussian of so many pixels."""
    return (2 * cv2.GaussianBlur(region.astype(np.float32), (0, 0), deviation) - 1).clip(0, 1)
