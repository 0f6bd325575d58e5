"""Age spots go from who is made younger: small, darker than the skin around, and of no direction, as no wrinkle is.

The network takes the wrinkles and leaves most of the spots, which tell a face's age as well.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.face_outline import LIPS, NOSE, OVAL, around_eyes, fill_outline, raised_outline
from agetransformer.shade import directedness
from agetransformer.shading import luma

_WIDE = 1 / 80  # of the side: a spot is no wider than twice that
_FINE = 1 / 480  # of the side: the Gaussian without which each pore would be a spot
_FAINT = 0.012  # of the light: what takes less is texture, and stays
_MOLE = (0.2, 0.35)  # of the light: what takes more is a mole, which stays, or a hair
_LINES = (
    0.35,
    0.6,
)  # of 0..1, how much the edges around agree: up to the first it is a spot, from the second on a line
_OTHER = 0.06  # of the light: what is healed by so much is of another colour too, and takes that of the skin around
_SKIN = (0.15, 0.25)  # of the light: what differs by less from most of the face is skin, by more a microphone
_FROM, _YEARS = 40.0, 20.0  # years: of spots that come after the first so many years undone take all
_SOFT = 1 / 96  # of the side: the Gaussian of the place's edge
_WIDER, _LIDS, _MOUTH = 1.25, 1.2, 1.25  # times nose, brow and eye, and lips, which have shade of their own
_BLACK = 0.1  # of the range 2


def spots_mask(landmarks: np.ndarray, hair: np.ndarray) -> Tensor:
    """Where skin may have spots: on the face, but not around eyes, nostrils and mouth, nor below hair.

    Args:
        landmarks: MediaPipe's, [478, 2] fractions of the square's side.
        hair: [R, R] in 0..1, how much of each pixel is hair or beard.
    Returns:
        [R, R] float32 in 0..1.
    """
    side = len(hair)
    skin = fill_outline(raised_outline(landmarks[list(OVAL)]), side)
    for line in around_eyes(landmarks):
        skin &= ~fill_outline(line, side, _LIDS)
    skin &= ~fill_outline(landmarks[list(LIPS)], side, _MOUTH)
    nose = fill_outline(landmarks[list(NOSE)], side, _WIDER)
    nose[: round(landmarks[4, 1] * side)] = False  # its bridge has spots
    skin &= ~nose
    mask = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), _SOFT * side)
    reach = 2 * max(1, round(_SOFT * side)) + 1
    covered = cv2.dilate(hair, np.ones((reach, reach), np.uint8))
    return torch.from_numpy((2 * mask - 1).clip(0, 1) * (1 - covered))


def spots_gone(age: float, target: float) -> float:
    """Of the spots of somebody who is `age`, the share that is not there yet at `target`, both in years: 0..1."""
    return min(1.0, max(0.0, age - max(target, _FROM)) / _YEARS)


def without_spots(change: Tensor, face: Tensor, mask: Tensor, share: float) -> Tensor:
    """A change [3, R, R] of a face [3, R, R] in [-1, 1] -> the same with so much of each spot healed.

    What is darker than the closing of the picture by a square (Serra 1982, "Image Analysis and Mathematical
    Morphology") is narrower than that.
    """
    side = face.shape[-1]
    edited = face + change + 1
    light = luma(edited[None])
    smooth = torch.from_numpy(cv2.GaussianBlur(light[0].numpy(), (0, 0), _FINE * side))[None]
    closed = _closed(smooth, 2 * max(1, round(_WIDE * side)) + 1)
    taken = (1 - smooth / closed.clamp(min=_BLACK)).clamp(0, 1)
    lines = ((directedness(taken) - _LINES[0]) / (_LINES[1] - _LINES[0])).clamp(0, 1)
    moles = ((taken - _MOLE[0]) / (_MOLE[1] - _MOLE[0])).clamp(0, 1)
    around = torch.from_numpy(cv2.GaussianBlur(edited.permute(1, 2, 0).numpy(), (0, 0), _WIDE * side)).permute(2, 0, 1)
    own, usual = (colour / luma(colour[None]).clamp(min=_BLACK) for colour in (edited, around))
    others = ((_apart(usual, mask) - _SKIN[0]) / (_SKIN[1] - _SKIN[0])).clamp(0, 1)
    healed = share * mask * (1 - lines) * (1 - moles) * (1 - others) * (taken - _FAINT).clamp(min=0)
    lighter = light / (1 - healed)
    colour = own + (healed / _OTHER).clamp(max=1) * (usual - own)
    return torch.where(healed > 0, lighter * colour - face - 1, change)


def _apart(colours: Tensor, mask: Tensor) -> Tensor:
    """How far colours [3, R, R], as multiples of their luma, are from the median where the mask [R, R] is 1: [R, R]."""
    there = colours[:, mask > 0.5]
    if there.shape[1] == 0:
        return torch.zeros_like(mask)
    return (colours - there.median(dim=1).values[:, None, None]).abs().amax(dim=0)


def _closed(x: Tensor, width: int) -> Tensor:
    """[N, R, R] after a greyscale closing by a square of so many pixels."""
    for sign in (1, -1):
        for window in ((1, width), (width, 1)):
            padding = (window[0] // 2, window[1] // 2)
            x = sign * F.max_pool2d(sign * x[:, None], window, stride=1, padding=padding)[:, 0]
    return x
