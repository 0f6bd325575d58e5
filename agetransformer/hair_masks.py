"""Where the hair of a face is, and its beard: what the segmenter says, fitted to the picture, and what it leaves out of
white beards and dark moustaches."""

from collections.abc import Sequence

import cv2
import numpy as np

from agetransformer.face_outline import INNER, fill_outline, raised_outline

_EDGE, _CONTRAST = 1 / 72, 0.04  # of the picture's side; of 0..1: a weaker edge is none
_FAINT, _SURE = 0.15, 0.9  # of 0..1: a fitted mask is 0 where it is less than the first, 1 from the second on: no halos
_UNLIKELY, _HALF = 0.25, 0.5  # of 0..1: what is less likely hair than the first is none
_SURE_HAIR = (0.35, 0.65)  # from how likely hair on it is sure, and quite sure; softly, or films would flicker
_HAZE = 1 / 48  # of the picture's side: what is neither that nor so near to it is a shadow, or a hand
COLOURLESS = (0.6, 0.85)  # times the skin's saturation: less than the first is grey or white, beyond the second not
_DARK_HAIR = (0.5, 0.7)  # times the skin's lightness: hair up to the first is dark, and skin is told from it;
_AS_LIGHT = (0.55, 0.75)  # by its lightness, from the second on as the same multiple of it,
_AS_COLOURED = (1.5, 3.0)  # and its colour, up to the first of so many deviations: from the second on it is another
_LEAST_DEVIATION = 0.06  # of the logarithm of a ratio of channels
_DOUBTED = (0.88, 1.0)  # how likely hair what looks like skin has to be: up to the first it is none
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_LIGHT = (0.65, 0.85)  # times the skin's lightness: from the first on a beard may be white, from the second on it is
_DARK = (0.6, 0.78)  # times how light skin is there: a dark moustache is less than the first, skin more than the second
_REDDER = (0.75, 1.0)  # times that skin's red beyond green: hair on lips has less than the first, they the second
_LEAST_RED = 4  # levels: of greyer skin lips are not told from hair
_BESIDE = 1 / 16  # of the face's square: the Gaussian for how light and red skin is beside a moustache
_LEAST_SIGMA = 3  # px: a picture is shrunk before a wider blur, down to this one
STRAND = 1 / 400  # of the face's square: the Gaussian for what is a strand of a beard
_ROUGH = (0.3, 0.5)  # times as rough as what was found: up to the first it is shining skin, from the second on beard;
_SNOW = (0.3, 0.45)  # times the skin's saturation: with less than the first it is beard unless it is as smooth as
_SMOOTH = (0.1, 0.25)  # these: skin in white light from the side
_LEAST_ROUGH = 0.002  # of the light: what is smoother has no strands to tell, as in a small face
_BLACK = 0.02  # of 0..1: no light is so little that its ratios become noise
_PALE = (0.1, 0.2)  # skin of less saturation does not tell itself from a white beard
_FOUND = (0.35, 0.7)  # from how likely a beard on its rest is looked for, and all of it; softly, or films would flicker
_REACH = 1 / 10  # of the face's square: so far
_FINE = 1 / 128  # of the face's square: the Gaussian that joins the strands of a beard
_AROUND_MOUTH, _ELSEWHERE = (0.004, 0.008), (0.012, 0.03)  # of the face's square: less than the first is no beard,
_BLENDED = 1 / 48  # of the face's square: and by this Gaussian the one passes into the other
_STEP = 4  # px: the rest is looked for on a smaller picture


def own_part(mask: np.ndarray, outline: np.ndarray, others: Sequence[tuple[float, float, float]] = ()) -> np.ndarray:
    """Of a mask of hair what hangs together with a face and is nearer to it than to others.

    Args:
        mask: [M, M] float32 in 0..1, how likely each pixel is hair.
        outline: of the face by MediaPipe, closed [K, 2], fractions of the side.
        others: x and y of the middle of each other face, fractions of the side, and its size as a multiple of this one.
    Returns:
        [M, M] float32 in 0..1.
    """
    side = len(mask)
    mask = rising(mask, _UNLIKELY, 1 - _UNLIKELY)
    if not (mask > _HALF).any():
        return np.zeros_like(mask)
    head = cv2.dilate(fill_outline(raised_outline(outline), side).astype(np.uint8), np.ones((3, 3), np.uint8))
    across, down = np.meshgrid(*2 * [(np.arange(side) + 0.5) / side])
    own = np.hypot(across - outline[:, 0].mean(), down - outline[:, 1].mean())
    for x, y, size in others:
        mask = mask * (own <= np.hypot(across - x, down - y) / size)
    _, parts = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=4)
    return mask * np.isin(parts, parts[(head > 0) & (mask > _HALF)])


def without_haze(mask: np.ndarray) -> np.ndarray:
    """A mask [M, M] in 0..1 of the head's hair without what is only likely and far from any hair that is sure."""
    reach = 2 * max(1, round(_HAZE * len(mask))) + 1
    sure = rising(mask, *_SURE_HAIR).astype(np.float32)
    near = cv2.dilate(sure, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return mask * np.maximum(cv2.GaussianBlur(near, (0, 0), reach / 6), sure)


def doubt_skin(mask: np.ndarray, pixels: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """A mask of dark hair with less of what is as light as the skin and of its colour: a hand, or a bare forehead.

    Args:
        mask: [M, M] float32 in 0..1, how likely each pixel is hair.
        pixels: [M, M, 3] uint8 RGB.
        outline: of the face by MediaPipe, closed [K, 2], fractions of the side.
    Returns:
        [M, M] float32 in 0..1.
    """
    skin, hair = fill_outline(outline, len(mask), INNER) & (mask < _UNLIKELY), mask > 1 - _UNLIKELY
    if not skin.any() or not hair.any():
        return mask
    values = cv2.GaussianBlur(pixels, (0, 0), 1).astype(np.float32) + 1
    light = cv2.transform(values, LUMA[None])
    usual = float(np.median(light[skin]))
    dark = 1 - rising(float(np.median(light[hair])) / usual, *_DARK_HAIR)
    if dark == 0:
        return mask
    ratios = np.log(values[..., [0, 2]] / values[..., 1:2])
    middle = np.median(ratios[skin], axis=0)
    deviation = np.maximum(1.48 * np.median(np.abs(ratios[skin] - middle), axis=0), _LEAST_DEVIATION)
    apart = np.hypot(*np.moveaxis((ratios - middle) / deviation, -1, 0))
    alike = dark * rising(light / usual, *_AS_LIGHT) * (1 - rising(apart, *_AS_COLOURED))
    return (mask + alike * (rising(mask, *_DOUBTED) - mask)).astype(np.float32)


def fit_mask(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A mask of hair at the size of its picture, its edge drawn to the picture's own (He et al. 2013, "Guided Image
    Filtering").

    Args:
        mask: [M, M] float32 in 0..1.
        pixels: [F, F, 3] uint8 RGB.
    Returns:
        [F, F] float32 in 0..1.
    """
    side, scale = len(pixels), len(pixels) / len(mask)
    radius = max(1, round(_EDGE * side))
    fitted = np.zeros((side, side), np.float32)
    columns, rows = filled(mask)
    if len(rows) == 0:
        return fitted
    # Only around the hair: the filter looks twice its radius far.
    low, high = np.array([(ends[0], ends[-1] + 1) for ends in (rows, columns)]).T * scale
    top, left = (np.floor(low - scale) - 2 * radius).clip(0).astype(int)
    bottom, right = (np.ceil(high + scale) + 2 * radius).clip(max=side).astype(int)
    box = (slice(top, bottom), slice(left, right))
    large = cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR)[box]
    guide = np.ascontiguousarray(pixels[box])
    fitted[box] = cv2.ximgproc.guidedFilter(guide, large, radius, (255 * _CONTRAST) ** 2)
    return rising(fitted, _FAINT, _SURE)


def whole_beard(
    beard: np.ndarray,
    pixels: np.ndarray,
    skin: np.ndarray,
    where: np.ndarray,
    moustache: np.ndarray,
    lips: np.ndarray,
    side: int,
) -> np.ndarray:
    """A mask of a beard with the rest of it where it is white, and of a dark moustache: often the segmenter finds the
    middle.

    Args: of the surroundings of a face, F pixels wide,
        beard: [F, F] float32 in 0..1.
        pixels: [F, F, 3] uint8 RGB.
        skin: [F, F] bool, pixels of the face.
        where: [F, F] float32 in 0..1, where a beard may be: below the nose, and not in the mouth.
        moustache: [F, F] bool, and where one that is dark may be.
        lips: [F, F] bool, where it is less red than the skin beside it; in grey photos nowhere.
        side: of the face's square, in pixels.
    Returns:
        [F, F] float32 in 0..1, nowhere less than `beard`.
    """
    seeds = rising(beard, *_FOUND) * where
    if not seeds.any() or not skin.any():
        return beard
    light, saturation = light_and_saturation(pixels)
    usual_light, usual_saturation = (float(np.median(values[skin])) for values in (light, saturation))
    box = box_around(seeds, round((_REACH + 4 * _FINE) * side))  # only around the beard
    dark = _dark_moustache(pixels[box], skin[box], lips[box], side) * moustache[box]
    rough = _roughness(light[box], side)
    usual = float(np.median(rough[seeds[box] > _HALF * seeds.max()]))
    rough /= max(usual, _LEAST_ROUGH)  # both blur where a photo does
    light, saturation = (cv2.GaussianBlur(values[box], (0, 0), _FINE * side) for values in (light, saturation))
    white = rising(light / max(usual_light, 1e-3), *_LIGHT) * where[box] * rising(usual_saturation, *_PALE)
    colourful = saturation / max(usual_saturation, 1e-3)
    snow = (1 - rising(colourful, *_SNOW)) * rising(rough, *_SMOOTH)
    white *= (1 - rising(colourful, *COLOURLESS)) * np.maximum(rising(rough, *_ROUGH), snow)
    found = np.maximum(_grown(seeds[box], white, side), _grown(seeds[box], dark, side))
    whole = beard.copy()
    whole[box] = np.maximum(beard[box], cv2.GaussianBlur(found, (0, 0), _FINE * side) * where[box])
    return whole


def share_of_beard(beard: np.ndarray, around_mouth: np.ndarray, side: int) -> np.ndarray:
    """How sure what was found is a beard, and no shadow or patch of stubble, which are smaller: [F, F] float32 in 0..1.

    Args:
        beard: [F, F] float32 in 0..1.
        around_mouth: [F, F] bool, where moustaches and goatees are, smaller than other beards.
        side: of the face's square, in pixels.
    """
    near, far = (float((beard * where).sum()) / side**2 for where in (around_mouth, ~around_mouth))
    where = blurred(around_mouth.astype(np.float32), _BLENDED * side)
    return (where * rising(near, *_AROUND_MOUTH) + (1 - where) * rising(far, *_ELSEWHERE)).astype(np.float32)


def _roughness(light: np.ndarray, side: int) -> np.ndarray:
    """By what share light [H, W] differs from strand to strand around each pixel."""
    fine = np.square(light - cv2.GaussianBlur(light, (0, 0), max(STRAND * side, 0.5)))
    return np.sqrt(cv2.GaussianBlur(fine, (0, 0), _FINE * side)) / (light + _BLACK)


def _dark_moustache(pixels: np.ndarray, skin: np.ndarray, lips: np.ndarray, side: int) -> np.ndarray:
    """What is darker than the skin beside it and, on the lips, less red: [H, W] in 0..1.

    Args:
        pixels: [H, W, 3] uint8 RGB.
        skin, lips: [H, W] bool.
        side: of the face's square, in pixels.
    """
    if not skin.any():
        return np.zeros(skin.shape, np.float32)
    values, bare, reach = pixels.astype(np.float32), skin.astype(np.float32), _BESIDE * side
    light, red = cv2.transform(values, LUMA[None]), values[..., 0] - values[..., 1]
    beside, beside_red = (beside_hair(x, bare, float(np.median(x[skin])), reach) for x in (light, red))
    dark = 1 - rising(cv2.GaussianBlur(light, (0, 0), _FINE * side) / beside.clip(1), *_DARK)
    redder = rising(cv2.GaussianBlur(red, (0, 0), _FINE * side) / beside_red.clip(_LEAST_RED), *_REDDER)
    return dark * np.where(lips, (1 - redder) * (beside_red >= _LEAST_RED), 1)


def _grown(seeds: np.ndarray, allowed: np.ndarray, side: int) -> np.ndarray:
    """From the seeds through what is allowed, so far as `_REACH` of a face's square; all [H, W] in 0..1."""
    height, width = allowed.shape
    small = (max(1, width // _STEP), max(1, height // _STEP))
    most, grown = (
        cv2.resize(x.astype(np.float32), small, interpolation=cv2.INTER_AREA) for x in (allowed, seeds * allowed)
    )
    for _ in range(round(_REACH * side / _STEP)):
        grown = np.minimum(cv2.dilate(grown, np.ones((3, 3), np.uint8)), most)
    return np.minimum(cv2.resize(grown, (width, height), interpolation=cv2.INTER_LINEAR), allowed)


def beside_hair(values: np.ndarray, bare: np.ndarray, usual: float, sigma: float) -> np.ndarray:
    """What the skin around each pixel has of something, [H, W]: at most `usual`, which counts where none is near.

    Args:
        values: [H, W] float32.
        bare: [H, W] float32 in 0..1, how much of each pixel is skin.
        sigma: of the Gaussian, in pixels.
    """
    return np.minimum(mean_around(values, bare, sigma, 1e-3, usual), usual)


def mean_around(values: np.ndarray, weight: np.ndarray, sigma: float, few: float, usual: float = 0.0) -> np.ndarray:
    """The weighted mean of values [H, W] in a Gaussian of `sigma` pixels around each; `usual` where few weigh."""
    least = np.float32(few)
    return (blurred(values * weight, sigma) + least * usual) / (blurred(weight, sigma) + least)


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian of `sigma` pixels; a wide one on a smaller picture, which is quicker and hardly another."""
    height, width = values.shape
    shrink = max(1, sigma // _LEAST_SIGMA)
    small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    shrunk = cv2.resize(values, small, interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(shrunk, (0, 0), sigma / shrink)
    return cv2.resize(wide, (width, height), interpolation=cv2.INTER_LINEAR)


def rising(values: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on."""
    return np.clip((values - low) / (high - low), 0, 1)


def light_and_saturation(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[H, W, 3] uint8 RGB -> luma in 0..1, and how far from grey of that luma, as a multiple of it; [H, W] float32."""
    values = pixels.astype(np.float32)
    light = cv2.transform(values, LUMA[None] / 255)
    apart = cv2.transform(values, (np.eye(3, dtype=np.float32) - LUMA) / 255)
    saturation = cv2.transform(np.square(apart, out=apart), np.ones((1, 3), np.float32))
    return light, np.sqrt(saturation, out=saturation) / (light + np.float32(0.05))


def filled(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns and the rows in which a mask [H, W] is more than 0, in order."""
    return np.flatnonzero(mask.max(axis=0) > 0), np.flatnonzero(mask.max(axis=1) > 0)


def box_around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and the columns in which a mask [H, W] is more than 0, and so many pixels around; it is so somewhere."""
    columns, rows = filled(mask)
    down, across = (slice(max(0, ends[0] - margin), ends[-1] + margin + 1) for ends in (rows, columns))
    return down, across
