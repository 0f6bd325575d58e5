"""Age spots go from who is made younger: small, round, darker than the skin around, and no darker than moles.

The network takes the wrinkles and leaves most of the spots, which tell a face's age as well.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import (
    INNER,
    LIPS,
    NOSE,
    OVAL,
    fill_eyes,
    fill_outline,
    raised_outline,
    softened_inwards,
)
from agetransformer.hair_masks import rising
from agetransformer.shading import LUMA, luma, ramp

_WIDE = 1 / 80  # of the side: a spot is no wider than twice that
_LONG = 1 / 24  # of the side: what is as long in any direction is a line, a wrinkle or the rim of glasses,
_DIRECTIONS = 12  # of so many;
_ROUND = (0.3, 0.6)  # of what the square fills: a line's segments fill no more than the first, a spot's the second
_FINE = 1 / 480  # of the side: the Gaussian without which each pore would be a spot
_FAINT = 0.012  # of the light: what takes less is no spot,
_TEXTURE, _AROUND = 0.02, 1 / 32  # nor what takes no more beyond it than all around, up to this, by this Gaussian
_MOLE = (0.2, 0.35)  # of the light: what takes more is a mole, which stays, or a hair
_SKIN = (0.15, 0.25)  # of the light: what differs by less from most of the face is skin, by more a microphone
_FROM, _YEARS = 40.0, 20.0  # years: of spots that come after the first so many years undone take all
_SOFT = 1 / 96  # of the side: the Gaussian of the place's edge
_WIDER, _LIDS, _MOUTH = 1.25, 1.2, 1.25  # times nose, brow and eye, and lips, which have shade of their own
_NOSE_TIP = 4
_BLACK = 0.1  # of the range 2


def spots_gone(age: float, target: float) -> float:
    """Of the spots of somebody who is `age`, the share that is not there yet at `target`, both in years: 0..1."""
    return min(1.0, max(0.0, age - max(target, _FROM)) / _YEARS)


def spots_mask(face: Tensor, landmarks: np.ndarray, hair: np.ndarray | None) -> Tensor:
    """Where spots may be: on bare skin, but not around eyes, nostrils and mouth, nor on lines.

    Args:
        face: [3, R, R] in [-1, 1].
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        hair: [R, R] in 0..1, how much of each pixel is hair or beard; None: not known, so the forehead may be below it.
    Returns:
        [R, R] float32 in 0..1.
    """
    side, oval = face.shape[-1], landmarks[list(OVAL)]
    skin = fill_outline(oval, side, INNER) if hair is None else fill_outline(raised_outline(oval), side)
    skin &= ~fill_eyes(landmarks, side, _LIDS)
    skin &= ~fill_outline(landmarks[list(LIPS)], side, _MOUTH)
    nose = fill_outline(landmarks[list(NOSE)], side, _WIDER)
    nose[: round(landmarks[_NOSE_TIP, 1] * side)] = False  # its bridge has spots
    skin &= ~nose
    mask = softened_inwards(skin, _SOFT * side)
    if hair is not None:
        reach = 2 * max(1, round(_SOFT * side)) + 1
        mask *= 1 - cv2.dilate(hair, np.ones((reach, reach), np.uint8))
    return torch.from_numpy(mask * roundness(face))


def without_spots(change: Tensor, face: Tensor, mask: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """A change [3, R, R] of a face [3, R, R] in [-1, 1] -> the same with so much of each spot healed, and how much
    of what is darker around it was healed where, [R, R] in 0..1.

    What is darker than the closing of the picture by a square (Serra 1982, "Image Analysis and Mathematical
    Morphology") is narrower than that.

    Args:
        mask: where they may be, as `spots_mask` says.
        share: of them, 0..1.
    """
    side = face.shape[-1]
    edited = face + change + 1
    light = luma(edited[None])[0].clamp(min=_BLACK)
    smooth = _blurred(light.numpy(), _FINE * side)
    taken = torch.from_numpy(1 - smooth / _closed(smooth)).clamp(0, 1)
    texture = torch.from_numpy(_blurred(taken.clamp(max=_TEXTURE).numpy(), _AROUND * side))
    moles = ramp(taken, *_MOLE)
    around = torch.from_numpy(_blurred(edited.permute(1, 2, 0).numpy(), _WIDE * side)).permute(2, 0, 1)
    usual = around / luma(around[None])[0].clamp(min=_BLACK)
    others = ramp(_apart(usual, mask), *_SKIN)
    healed = share * mask * (1 - moles) * (1 - others) * (taken - _FAINT - texture).clamp(min=0)
    part = healed / taken.clamp(min=_FAINT)
    lighter = light / (1 - healed)
    own = edited / light
    return change + (lighter - light) * own + part * lighter * (usual - own), part


def roundness(face: Tensor) -> np.ndarray:
    """Where in a face [3, R, R] in [-1, 1] what is darker than around it is no line: [R, R] in 0..1.

    A segment along a line lies in it, so a closing by that leaves it as it is; a spot is filled by all.
    """
    side = face.shape[-1]
    light = cv2.transform((face + 1).permute(1, 2, 0).numpy(), np.array([LUMA])).clip(_BLACK)
    smooth = _blurred(light, _FINE * side)
    filled = least = _closed(smooth)
    for segment in _segments(2 * max(1, round(_LONG / 2 * side)) + 1):
        least = np.minimum(least, cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, segment))
    deep = (filled - smooth) / filled
    share = ((least - smooth) / filled + 1e-3) / (deep + 1e-3)  # where nothing is dark all of it
    return rising(share, *_ROUND)


def _segments(length: int) -> list[np.ndarray]:
    """Segments of so many pixels, an odd number, in `_DIRECTIONS` directions: [length, length] uint8 each."""
    middle = length // 2
    drawn = []
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        x, y = np.round(middle * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        segment: np.ndarray = np.zeros((length, length), np.uint8)
        cv2.line(segment, (int(middle - x), int(middle - y)), (int(middle + x), int(middle + y)), 1)
        drawn.append(segment)
    return drawn


def _apart(colours: Tensor, mask: Tensor) -> Tensor:
    """How far colours [3, R, R], as multiples of their luma, are from the median where the mask [R, R] is 1: [R, R]."""
    there = colours[:, mask > 0.5]
    if there.shape[1] == 0:
        return torch.zeros_like(mask)
    return (colours - there.median(dim=1).values[:, None, None]).abs().amax(dim=0)


def _closed(x: np.ndarray) -> np.ndarray:
    """[R, R] after a greyscale closing by a square as wide as a spot."""
    width = 2 * max(1, round(_WIDE * len(x))) + 1
    return cv2.morphologyEx(x, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))


def _blurred(x: np.ndarray, deviation: float) -> np.ndarray:
    return cv2.GaussianBlur(x, (0, 0), deviation)
