"""Where hair is: what of a person is above and beside the face and has not the colour of skin.

It is rough: a hat whose colour hair may have is taken for hair, a beard is not. It only weighs a loss.
"""

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from train.face_regions import (
    OTHER,
    SAME,
    WORKING_SIDE,
    colour_distance,
    fill_outline,
    inner_face,
    smooth_lab,
    upper_face,
)
from train.skin_maps import SIDE

_TONES = 3  # clusters of the hair's colour: lights and shadows
_LEAST_TONE = 0.08  # a cluster of fewer of the hair's pixels is something else
_SPREAD = (9.0, 3.0, 4.0)  # L, a, b: the least deviation of a tone that is no difference
_LEAST_HAIR = 150  # px: less of it is none
_BALD = 0.4  # where less than this share of what is above the face differs from skin, the head is bald
_EYES = 0.35  # of the outline's height: hair is looked for above this line first
_CHIN, _CHEST = 0.9, 1.15  # of the outline's height: hair is left out softly from the one to the other
_NECK = 0.88  # and between the first of the two cheeks from here on
_BESIDE, _REACH = 0.95, 1.2  # of the outline's width, to either side of its middle: where hair begins, and ends
_SHADE = (3.0, 4.5)  # deviations from skin: beside the face, what differs by less is an ear
_BLUE, _RED = -8.0, 30.0  # Lab's b and a beyond which no hair is, but hats and scarves are
_GAP = 9  # px of the map: a seam between skin and hair that is no wider becomes hair,
_FOREHEAD = 0.55  # above this height of the square


def draw_hair_map(image: np.ndarray, oval: np.ndarray, person: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The map of one face's hair.

    Args:
        image: FFHQ-aligned square [S, S, 3] uint8.
        oval: closed outline of the face [K, 2], fractions of the side.
        person: where people are, [S, S] in 0..1.
        skin: the face's skin map [SIDE, SIDE] uint8.
    Returns:
        [SIDE, SIDE] uint8: 255 on hair; all 0 where none is found.
    """
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    lab, face = smooth_lab(image), fill_outline(oval)
    presence = _resized(person, WORKING_SIDE)
    own = _part_with(presence > 0.5, face)
    (left, top), (right, bottom) = oval.min(axis=0) * WORKING_SIDE, oval.max(axis=0) * WORKING_SIDE
    rows, columns = np.mgrid[:WORKING_SIDE, :WORKING_SIDE] + 0.5
    height = (rows - top) / (bottom - top)  # 0 at the outline's top, 1 at the chin
    aside = np.abs(columns - (left + right) / 2) / (right - left)
    from_skin = colour_distance(lab, inner_face(face))

    around = own & (height < _EYES) & (aside < _BESIDE)
    crown = around & ~upper_face(oval)
    seed = around & ~ndimage.binary_dilation(face, iterations=3) & (from_skin > OTHER)
    tones = _tones(lab[seed]) if seed.sum() >= _LEAST_HAIR else []
    if not tones:
        return nothing
    from_hair = np.min([np.sqrt((((lab - tone) / spread) ** 2).sum(axis=-1)) for tone, spread in tones], axis=0)
    hair = _ramp(from_hair, OTHER, SAME) * _ramp(from_skin, SAME, OTHER)
    if (seed & crown).sum() >= _BALD * crown.sum():
        hair[(height < _EYES) & ~upper_face(oval)] = 1  # fair and red hair has the colour of skin
    beside = (height >= _EYES) & (height < 1) & ~ndimage.binary_dilation(face, iterations=2)
    hair = np.where(beside, np.maximum(hair, _ramp(from_skin, *_SHADE)), hair) * (aside < _REACH)
    hair[(height >= _NECK) & (aside < 0.5)] = 0
    hair *= own & (~ndimage.binary_erosion(face, iterations=4) | (height < 0.2))
    hair = ndimage.median_filter(hair, 5)
    hair *= ndimage.binary_dilation(_parts_with(hair > 0.5, seed), iterations=2)
    hair = np.maximum(hair, ndimage.binary_fill_holes(hair > 0.5) & ~face)
    hair = ndimage.gaussian_filter(hair * presence * (1 - _ramp(height, _CHIN, _CHEST)), 1)
    drawn = ndimage.maximum_filter(_resized(hair, SIDE), 3)  # its edge, as strands reach beyond it
    return (255 * _close_seam(drawn, skin / 255)).round().astype(np.uint8)


def _tones(colours: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Colours [N, 3] of Lab -> median and deviation of each tone that hair can have; [] where most can not."""
    _, label = kmeans2(colours, _TONES, minit="++", seed=0)
    tones, share = [], 0.0
    for index in range(_TONES):
        own = colours[label == index]
        if len(own) < _LEAST_TONE * len(colours):
            continue
        median = np.median(own, axis=0)
        if median[1] < _RED and median[2] > _BLUE:
            tones.append((median, np.maximum(1.48 * np.median(np.abs(own - median), axis=0), _SPREAD)))
            share += len(own) / len(colours)
    return tones if share > 0.5 else []


def _close_seam(hair: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Maps [SIDE, SIDE] in 0..1: hair with what is between it and the skin, which would stay dark as a line."""
    both = np.maximum(hair, skin)
    closed = ndimage.grey_closing(np.pad(both, _GAP, mode="edge"), (_GAP, _GAP))[_GAP:-_GAP, _GAP:-_GAP]
    seam = (closed > both + 0.15) & (np.arange(SIDE)[:, None] < _FOREHEAD * SIDE)
    return np.where(seam & (hair.max() > 0.5), closed, hair)


def _ramp(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 at `start`, 1 at `end` and beyond."""
    return ((values - start) / (end - start)).clip(0, 1)


def _part_with(mask: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The connected part of a mask that holds most of the face."""
    parts, count = ndimage.label(mask)
    if count == 0:
        return mask
    return parts == 1 + np.argmax(ndimage.sum(face, parts, range(1, count + 1)))


def _parts_with(mask: np.ndarray, seed: np.ndarray, least: int = 40) -> np.ndarray:
    """The connected parts of a mask that hold at least so many pixels of the seed."""
    parts, count = ndimage.label(mask)
    return np.isin(parts, 1 + np.flatnonzero(np.asarray(ndimage.sum(seed, parts, range(1, count + 1))) > least))


def _resized(values: np.ndarray, side: int) -> np.ndarray:
    """[S, S] in 0..1 -> [side, side]."""
    picture = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture).clip(0, 1)
