"""Where a face's hair is: what of the person is above and beside the face and has not the colour of its skin.

It is rough: a hat whose colour hair may have is taken for hair, and a beard is not.
"""

import cv2
import numpy as np

from agetransformer.face_outline import raised_outline

_SIDE = 192  # px: colours are compared at this size
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_SAMPLE = 6  # px: so far inside the outline lies what the skin's colour is taken from
_SKIN_SPREAD = (8.5, 2.5, 3.0)  # L, a, b: the least deviation that is no difference; light differs more than colour
_MOST_SPREAD = 1.5  # times that: the rest is glasses and shadows
_HAIR_SPREAD = (9.0, 3.0, 4.0)
_SAME, _OTHER = 2.0, 3.5  # deviations: up to the first the same, from the second on something else
_TONES = 3  # parts of the hair by its lightness, each with a colour of its own: highlights and shadows
_LEAST_HAIR = 150  # px: less of it is none
_LEAST_SEED = 40  # px: a part of the map without so much of what is hair for sure is none
_BALD = 0.4  # where less than this share of what is above the face differs from skin, the head is bald
_EYES = 0.35  # of the outline's height: above this line lies what is hair for sure
_CHIN, _CHEST = 0.95, 1.35  # of the outline's height: hair is left out softly from the one to the other,
_NECK = (0.8, 0.95)  # and earlier below the face, from the one to the other,
_CHEEK = (0.4, 0.6)  # and between these of its width, to either side of its middle
_FRINGE = 0.2  # of the outline's height: hair hangs into the face down to here
_BESIDE, _REACH = 0.95, 1.2  # of its width, to either side: what is hair for sure, and where hair ends
_EARS = (3.0, 4.5)  # deviations from skin: beside the face, what differs by less is an ear
_BLUE, _RED = -8.0, 30.0  # Lab's b and a beyond which no hair is, but hats and scarves are
_SEAM = 17  # px: what lies between hair and skin and is no wider is hair,
_FOREHEAD = 0.55  # above this height of the square
_STRANDS = 3  # px: hair reaches so far beyond its edge


def map_hair(image: np.ndarray, outline: np.ndarray, person: np.ndarray) -> np.ndarray:
    """How much of each pixel is hair.

    Args:
        image: FFHQ-aligned square [S, S, 3] uint8 RGB.
        outline: of the face by MediaPipe, closed [K, 2], as fractions of the side.
        person: where people are, [S, S] in 0..1.
    Returns:
        [192, 192] float32 in 0..1, all 0 where no hair is found.
    """
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.GaussianBlur(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), (0, 0), 1.5)
    presence = cv2.resize(person.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    face, upper = _filled(outline), _filled(raised_outline(outline))
    sample = lab[_eroded(face, _SAMPLE)]
    from_skin = _deviations(lab, sample, _SKIN_SPREAD)
    if len(sample) > 0:
        from_skin[(face | upper) & (lab[..., 0] > np.median(sample[:, 0]))] = 0  # a forehead shines
    own = _largest_part_in(presence > 0.5, face)

    (left, top), (right, bottom) = outline.min(axis=0) * _SIDE, outline.max(axis=0) * _SIDE
    rows, columns = np.mgrid[:_SIDE, :_SIDE] + 0.5
    height = (rows - top) / (bottom - top)  # 0 at the outline's top, 1 at the chin
    aside = np.abs(columns - (left + right) / 2) / (right - left)

    around = own & (height < _EYES) & (aside < _BESIDE)
    seed = around & ~_dilated(face, 3) & (from_skin > _OTHER)
    tones = _hair_tones(lab[seed]) if seed.sum() >= _LEAST_HAIR else []
    if not tones:
        return np.zeros((_SIDE, _SIDE), np.float32)
    from_hair = np.min([_deviations(lab, tone, _HAIR_SPREAD) for tone in tones], axis=0)
    hair = _ramp(from_hair, _OTHER, _SAME) * _ramp(from_skin, _SAME, _OTHER)
    crown = around & ~upper
    if (seed & crown).sum() >= _BALD * crown.sum():
        hair[(height < _EYES) & ~upper] = 1  # fair and red hair has the colour of skin
    beside = (height >= _EYES) & (height < 1) & ~_dilated(face, 2)
    hair[beside] = np.maximum(hair, _ramp(from_skin, *_EARS))[beside]
    hair[(aside >= _REACH) | ~own] = 0
    inner = _eroded(face, 4) & (height >= _FRINGE)
    hair[inner] = 0
    hair = cv2.medianBlur(np.rint(255 * hair).astype(np.uint8), 5) / np.float32(255)
    hair *= _dilated(_parts_with(hair > 0.5, seed), 2)
    hair = np.maximum(hair, _without_holes(hair > 0.5) & ~face)
    hair *= presence * (1 - _ramp(height, _CHIN, _CHEST)) * (1 - _ramp(height, *_NECK) * (1 - _ramp(aside, *_CHEEK)))
    hair = hair.astype(np.float32)

    skin = np.maximum((1 - _ramp(from_skin, _SAME, _OTHER)) * (face | upper) * (hair < 0.5), inner)
    both = np.maximum(hair, skin).astype(np.float32)
    closed = cv2.morphologyEx(both, cv2.MORPH_CLOSE, np.ones((_SEAM, _SEAM), np.uint8))
    hair = np.where((closed > both + 0.15) & (rows < _FOREHEAD * _SIDE) & own, closed, hair)
    hair *= _dilated(_parts_with(hair > 0.5, seed), 2)
    hair = cv2.dilate(hair.astype(np.float32), np.ones((_STRANDS, _STRANDS), np.uint8)) * (1 - skin)
    return cv2.GaussianBlur(hair.astype(np.float32), (0, 0), 1.5).clip(0, 1)


def face_region(outline: np.ndarray, side: int) -> np.ndarray:
    """[side, side] bool: well inside the outline."""
    mask = _eroded(_filled(outline), _SAMPLE).astype(np.uint8)
    return cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST) > 0


def _hair_tones(colours: np.ndarray) -> list[np.ndarray]:
    """Lab colours [N, 3] -> those of each tone that hair can have; [] where most of them are no hair's."""
    by_light = np.array_split(colours[np.argsort(colours[:, 0])], _TONES)
    medians = [np.median(tone, axis=0) for tone in by_light]
    tones = [tone for tone, (_, a, b) in zip(by_light, medians, strict=True) if a < _RED and b > _BLUE]
    return tones if len(tones) > _TONES / 2 else []


def _deviations(lab: np.ndarray, sample: np.ndarray, least: tuple[float, float, float]) -> np.ndarray:
    """[H, W]: how many deviations each pixel's colour is from the median of the sample [N, 3]."""
    if len(sample) == 0:
        return np.zeros(lab.shape[:2])
    median = np.median(sample, axis=0)
    spread = 1.48 * np.median(np.abs(sample - median), axis=0)  # the standard deviation, of normal values
    spread = spread.clip(least, _MOST_SPREAD * np.array(least))
    return np.sqrt((((lab - median) / spread) ** 2).sum(axis=-1))


def _ramp(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 at `start`, 1 at `end` and beyond."""
    return ((values - start) / (end - start)).clip(0, 1)


def _filled(outline: np.ndarray) -> np.ndarray:
    mask: np.ndarray = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * _SIDE).astype(np.int32)], 1)
    return mask > 0


def _eroded(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), _CROSS, iterations=pixels) > 0


def _dilated(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), _CROSS, iterations=pixels) > 0


def _without_holes(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled: np.ndarray = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled > 0


def _largest_part_in(mask: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The connected part of a mask that holds most of the face."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    inside = np.bincount(parts[face], minlength=2)
    inside[0] = 0
    return parts == inside.argmax() if inside.any() else np.zeros(mask.shape, bool)


def _parts_with(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that hold enough of the seed."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    inside = np.bincount(parts[seed], minlength=count)
    inside[0] = 0
    return np.isin(parts, np.flatnonzero(inside > _LEAST_SEED))
