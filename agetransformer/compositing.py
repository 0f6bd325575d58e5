"""An edited face back into its photo: the change alone is warped and added, so the photo keeps its own pixels."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from agetransformer.alignment import FaceGeometry

# The hull of MediaPipe's landmarks ends at the middle of the forehead and at the jaw. Age also shows in the hair line,
# at the temples and on the neck, so the hull is stretched about its centre.
_STRETCH_UP, _STRETCH_SIDE, _STRETCH_DOWN = 1.45, 1.15, 1.12
_FEATHER = 0.035  # standard deviation of the soft edge, as a fraction of the square's side
_TAIL = 0.02  # the Gaussian's tail below this is cut to 0
_MARGIN = 0.092  # the outline keeps this distance from the square's border: 2 % of the side stays 0 (the tail, 2.05 sd)
_CROP_ZERO, _CROP_FEATHER = 0.02, 0.13  # of the side: `crop_mask` is 0 up to the first, then rises over the second
_REACH = 0.65  # of the side: no part of the mask is farther from the face's middle
_WORKING_SIDE = 256  # px; the mask is smooth, so it is made at this size and resized

# Where the stretched hull lies in an FFHQ-aligned square on average: centre and half axes, as fractions of the side.
_GENERIC_CENTRE, _GENERIC_AXES = (0.5, 0.53), (0.34, 0.41)


def face_mask(geometry: "FaceGeometry | None", size: int) -> np.ndarray:
    """How much of the edit each pixel of a face's square takes.

    Args:
        geometry: the face; None for an FFHQ-aligned square of which nothing else is known.
        size: side of the square in pixels.
    Returns:
        [size, size] float32 in 0..1: 1 on the face, softly 0 beyond hair line, temples and chin, 0 along the border.
    """
    side = _WORKING_SIDE
    mask: np.ndarray = np.zeros((side, side), np.float32)
    outline = _outline(geometry).clip(_MARGIN, 1 - _MARGIN)
    # fillPoly's coordinates have 4 fractional bits and count from the centre of the first pixel.
    cv2.fillPoly(mask, [np.round((outline * side - 0.5) * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    mask = cv2.GaussianBlur(mask, (0, 0), _FEATHER * side, borderType=cv2.BORDER_CONSTANT)
    mask = ((mask - _TAIL) / (1 - 2 * _TAIL)).clip(0, 1)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_LINEAR)


def own_share(centre: np.ndarray, others: Sequence[tuple[float, float, float]], size: int) -> np.ndarray:
    """How far each pixel of a face's square is this face's own, where another's cheek may be in it.

    Args:
        centre: [2] x and y of the face's middle, as fractions of the side.
        others: x, y and size of each other face's, the size as a multiple of this one.
        size: side of the square in pixels.
    Returns:
        [size, size] float32 in 0..1: 1 nearer to this face than to any other, in faces' sizes, with a soft edge to 0.
    """
    side = _WORKING_SIDE
    across, down = np.meshgrid(*2 * [(np.arange(side, dtype=np.float32) + 0.5) / side])
    own = np.hypot(across - centre[0], down - centre[1])
    share: np.ndarray = np.ones((side, side), np.float32)
    for x, y, other in others:
        if np.hypot(x - centre[0], y - centre[1]) < _REACH * (1 + other):  # else the line between them is beyond
            nearer = np.hypot(across - x, down - y) / other - own
            share *= _smooth_step(0.5 + nearer / (8 * _FEATHER))
    return cv2.resize(share, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_LINEAR)


def crop_mask(size: int) -> np.ndarray:
    """All of a square but for its border.

    Returns:
        [size, size] float32 in 0..1: 1 inside, a smooth step down to 0 towards the border, the last 2 % of the side 0.
    """
    distance = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / size
    ramp = _smooth_step((distance - _CROP_ZERO) / _CROP_FEATHER)
    return np.outer(ramp, ramp)


def add_change(pixels: np.ndarray, change: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Pixels uint8 and what is added to them, float32 in levels of 255 -> uint8, rounded and limited.

    Args:
        out: an array of theirs to write to, `pixels` itself for example; None makes a new one.
    """
    return cv2.add(pixels, change, dst=out, dtype=cv2.CV_8U)


def paste(photo: np.ndarray, changes: "Sequence[tuple[np.ndarray, FaceGeometry]]") -> np.ndarray:
    """Put a change of a face back where the face came from, at the photo's own resolution.

    A change is warped into the photo and added to its pixels: detail that the edit leaves alone stays the photo's own,
    even where the square is smaller than the face in the photo.

    Args:
        photo: [H, W, 3] uint8.
        changes: each [S, S, 3] float32 in levels of 255, 0 along its border, and the square that it is a change of;
            the face's own first.
    Returns:
        [H, W, 3] uint8, a new array; bit-identical to `photo` where nothing changes.
    Raises:
        ValueError: the face lies outside the photo.
    """
    result = photo.copy()
    for values, (left, top, right, bottom) in _placed(changes, photo.shape[1], photo.shape[0]):
        part = result[top:bottom, left:right]
        add_change(part, values, out=part)
    return result


def paste_image(photo: Image.Image, changes: "Sequence[tuple[np.ndarray, FaceGeometry]]") -> Image.Image:
    """`paste` for an RGB image; reads and writes only the parts of it that change, which is quicker."""
    result = photo.copy()
    for values, box in _placed(changes, photo.width, photo.height):
        result.paste(Image.fromarray(add_change(np.asarray(result.crop(box)), values)), box[:2])
    return result


def _placed(
    changes: "Sequence[tuple[np.ndarray, FaceGeometry]]", width: int, height: int
) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """The parts of each change as they are warped into the photo; the first is the face's, others may lie outside."""
    from agetransformer.alignment import unalign_parts  # here: it loads MediaPipe, which aligned squares never need

    for index, (change, geometry) in enumerate(changes):
        low, high = geometry.quad.min(axis=0), geometry.quad.max(axis=0)
        if index == 0 or ((high > 0).all() and (low < (width, height)).all()):
            yield from unalign_parts(change, geometry, (height, width))


def _smooth_step(values: np.ndarray) -> np.ndarray:
    """float32: 0 up to 0, 1 from 1 on, without a kink."""
    step = values.clip(0, 1)
    return (step * step * (3 - 2 * step)).astype(np.float32)


def _outline(geometry: "FaceGeometry | None") -> np.ndarray:
    """[K, 2]: the stretched hull of the landmarks, as fractions of the square's side; None is an average face."""
    if geometry is None:
        return _generic_outline()
    hull = cv2.convexHull(geometry.landmarks_in_square.astype(np.float32))[:, 0]
    centre = (hull.min(axis=0) + hull.max(axis=0)) / 2
    x, y = (hull - centre).T
    return centre + np.column_stack([x * _STRETCH_SIDE, y * np.where(y < 0, _STRETCH_UP, _STRETCH_DOWN)])


def _generic_outline() -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    return _GENERIC_CENTRE + np.column_stack([np.cos(angles), np.sin(angles)]) * _GENERIC_AXES
