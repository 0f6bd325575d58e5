"""No fuller lips for who is made younger, and no white ones for who is made older.

The young have fuller lips, so the network draws a light line along their edges and darkens the skin beyond them. But
it may hardly change colours, and a lip without its red is a pale line with a shadow. So is the moustache that it draws
on a shaved upper lip. Around the mouth only what is finer, the wrinkles, and what is much coarser, the light of the
face, change, and the latter may hardly darken.

The old have paler lips. In the dark the network paints them, and what is above them, as if with chalk; and skin above
the lips gets lighter in most faces, in a fair or made-up one so light that it is a white moustache on a woman.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from agetransformer.face_outline import EYES, INNER, LIPS, OVAL, UPPER_LIP, fill_outline
from agetransformer.folds import kept_of_folds
from agetransformer.hair_masks import blurred, box_around, rising
from agetransformer.shading import add_change, luma

_SHADE = 2 / 127.5  # of the range 2: by how much the coarse part of the change may darken
_AROUND, _SOFT = 0.03, 0.008  # of the side: beyond the lips, and the standard deviation of the mask's edge
_FINE, _COARSE = 0.004, 0.03  # of the side, standard deviations: what lies between them is what draws lips
_PALER, _BEYOND_PALER = 0.3, 0.3  # of the light: lips may get so much paler in full, and this part of what is beyond
_CHALK, _BEYOND_CHALK = 1.08, 0.25  # so many times as light as skin around may skin above lips get, and part of more
_SKIN, _TONE = 0.06, 0.01  # of the side, standard deviations: for the skin around, and for that above the lips
_FEW = 0.02  # of the pixels around: where less is other skin, it counts less
_STUBBLE = (0.8, 0.95)  # times the light of the skin around: skin above lips up to the first is dark by hair, or shade
_BLACK = 0.05  # of the range 2: no skin is so dark that its ratios become noise


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


def chalk_masks(landmarks: np.ndarray, side: int) -> tuple[Tensor, Tensor]:
    """Where the skin between nose and lips is, and the other skin of the face: as `lips_mask`, each."""

    def inside(line: Sequence[int], scale: float = 1.0) -> np.ndarray:
        return fill_outline(landmarks[list(line)], side, scale)

    above = inside(UPPER_LIP)
    other = inside(OVAL, INNER) & ~above & ~inside(LIPS) & ~inside(EYES[0]) & ~inside(EYES[1])
    soft = cv2.GaussianBlur(above.astype(np.float32), (0, 0), _SOFT * side)
    return torch.from_numpy(soft), torch.from_numpy(other.astype(np.float32))


def without_fuller_lips(change: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """A change of a face in [-1, 1], [3, R, R] each, without the lips that it draws where the mask [R, R] is 1.

    Where it darkens less than before, the face gets back the colour that `add_change` took with the light.
    """
    if not mask.any():
        return change
    side = change.shape[-1]
    down, across = box_around(mask.numpy(), round(4 * _COARSE * side))
    made, part, where = change.clone(), face[:, down, across], mask[down, across]
    plain = _without_shading(change[:, down, across], part)
    fine, coarse = _bands(plain, side)
    kept = _SHADE / (-luma(coarse[None])).clamp(min=_SHADE)
    made[:, down, across] = _shaded(torch.lerp(plain, fine + kept * coarse, where), part)
    return made


def without_white_lips(change: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """A change of a face in [-1, 1], [3, R, R] each, weaker where it brightens much and the mask [R, R] is 1."""
    kept = kept_of_folds(-change[None], face[None], _PALER, _BEYOND_PALER)[0]
    return change * (1 - mask * (1 - kept))


def chalk_room(face: Tensor, above: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """How bare the skin above the lips is, [R, R] in 0..1, and by how much of the range 2 it may get lighter in full.

    Args:
        face: [3, R, R] in [-1, 1].
        above, other: of `chalk_masks`, [R, R] each.
    """
    bare, room = torch.zeros_like(above), torch.zeros_like(above)
    if not above.any():
        return bare, room
    side = face.shape[-1]
    box = box_around(above.numpy(), round(3 * _SKIN * side))
    light, skin = luma(face[None, :, *box]) + 1, other[None, *box]
    near = _blur(skin, _SKIN * side)
    around = _blur(light * skin, _SKIN * side) / near.clamp(min=1e-3)
    before = _blur(light, _TONE * side)
    unshaded = torch.from_numpy(rising((before / around.clamp(min=_BLACK)).numpy(), *_STUBBLE))
    bare[box] = (above[box] * unshaded * (near / _FEW).clamp(max=1))[0]
    room[box] = (_CHALK * around - before).clamp(min=0)[0]
    return bare, room


def without_chalk(change: Tensor, bare: Tensor, room: Tensor) -> Tensor:
    """A change of a face [3, R, R] in [-1, 1] that makes skin above the lips hardly lighter than other skin.

    What is finer than the face's light there stays.

    Args:
        bare, room: of `chalk_room`, [R, R] each.
    """
    if not bare.any():
        return change
    side = change.shape[-1]
    down, across = box_around(bare.numpy(), round(4 * _TONE * side))
    lighter = _blur(luma(change[None, :, down, across]), _TONE * side)
    made = change.clone()
    beyond = (lighter - room[down, across]).clamp(min=0)
    made[:, down, across] -= (1 - _BEYOND_CHALK) * bare[down, across] * beyond
    return made


def _shaded(change: Tensor, face: Tensor) -> Tensor:
    """What `add_change` makes of a change [3, H, W] that keeps the colour of what it darkens: the change in all."""
    return add_change(face[None], change[None], shading=True)[0] - face


def _without_shading(change: Tensor, face: Tensor) -> Tensor:
    """The change [3, H, W] of which `_shaded` makes this one, which is as dark."""
    light = luma(change[None]).expand_as(change)
    return change + light - _shaded(light, face)


def _bands(x: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Of [C, H, W] what is finer than lips, and what is coarser."""
    without_fine = _blur(x, _FINE * side)
    return x - without_fine, _blur(without_fine, _COARSE * side)


def _blur(x: Tensor, deviation: float) -> Tensor:
    """[C, H, W] float32."""
    return torch.from_numpy(np.stack([blurred(one, deviation) for one in x.numpy()]))
