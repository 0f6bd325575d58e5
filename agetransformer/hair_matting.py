"""How much of each pixel is hair where hair ends, and of what colour that hair is: a mask's soft edge knows neither.

What turns grey or brown with a mixed pixel is the hair in it alone; what shows through, a wall or a forehead, stays, or
it would glow around the head.
"""

from typing import NamedTuple

import cv2
import numpy as np

from agetransformer.hair_masks import LUMA, blurred, box_around, rising

_STEP = 1 / 96  # of the face's square: what is usual around a pixel is told from a picture of such pixels
_BAND = 1 / 32  # of the face's square: so far from a mask's edge on either side hair, or what is beside it, is sure
_SURELY, _SURELY_NOT = (0.8, 1.0), (0.0, 0.1)  # of the least and the most of the mask within that reach
_LIKELY = 0.2  # how much a pixel counts that is hair by the mask alone: a narrow lock has no others
_USUAL = 1 / 24  # of the face's square: the Gaussian for the usual colours of both
_NOISE = 0.03  # of 0..1: colours differ by so much more than is seen of them
_KNOWN = (0.003, 0.02)  # of 0..1, how much there is of either by that Gaussian: less than the first tells nothing
_APART = (3.0, 9.0)  # squared Mahalanobis distance of both: less than the first tells nothing, the second everything
_NOT_ALIKE = (0.3, 1.0)  # the same: from the second on a first look may sort them
_LIKE_HAIR = (0.2, 0.8)  # of the way from what is beside hair to hair: none up to the first, hair from the second on
_NEAR = 1 / 96  # of the face's square: the Gaussian of the mask that says how near its edge is
_PRIOR = 0.25  # how much that counts beside the colours, of the way between both
_PARTLY = (0.3, 1.0)  # of that way: up to the first a pixel has no hair, from the second on it is all hair
_INSIDE = (0.85, 0.97)  # by that Gaussian: no edge is near, and only dark hair can have gaps;
_GAP = (0.1, 0.7)  # there less of that way is enough, as light falls on strands: a gap up to the first
_DARKER = (0.15, 0.35)  # than what is beside it, as a share: from the second on hair is dark
_OWN = (0.3, 0.8)  # of 0..1: up to so much hair a pixel counts as usual hair, from the second on as it is

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # of R, G and B, and where each is behind these three:
_PAIR_OF = 3 + np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


class Matte(NamedTuple):
    """Hair without what shows through."""

    mask: np.ndarray  # [F, F] float32 in 0..1, how much of each pixel is hair
    colours: np.ndarray  # [F, F, 3] uint8 RGB: of that hair; elsewhere those of the picture


def matte_hair(pixels: np.ndarray, mask: np.ndarray, side: int) -> Matte:
    """The matte of hair in a picture.

    Near the mask's edge a pixel is hair by Fisher's linear discriminant (1936) of the colours that hair has around it
    and those that are beside the hair. Where both look alike, or one is missing, the mask stays.

    Args:
        pixels: [F, F, 3] uint8 RGB; height and width may differ.
        mask: [F, F] float32 in 0..1, how likely each pixel is hair.
        side: of the face's square in it, in pixels.
    """
    if not mask.any():
        return Matte(mask, pixels)
    box = box_around(mask, round((_BAND + 2 * _USUAL) * side))  # only around the hair
    found, whole = _matte(pixels[box], mask[box], side), Matte(mask.copy(), pixels.copy())
    whole.mask[box], whole.colours[box] = found
    return whole


def _matte(pixels: np.ndarray, mask: np.ndarray, side: int) -> Matte:
    """`matte_hair` in all of a picture."""
    step = max(1.0, _STEP * side)
    size = tuple(max(1, round(extent / step)) for extent in mask.shape[::-1])
    reach = 2 * max(1, round(_BAND * side / step)) + 1
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    most = cv2.dilate(small, around)
    surely, likely = (rising(values, *_SURELY).astype(np.float32) for values in (cv2.erode(small, around), small))
    surely = np.maximum(surely, _LIKELY * likely)
    surely_not = 1 - rising(most, *_SURELY_NOT).astype(np.float32)
    seen = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    for again in (True, False):
        hair, beside = (_usual_colours(seen, weight, _USUAL * side / step) for weight in (surely, surely_not))
        direction, apart = _discriminant(hair, beside, most > 0)
        if again:  # where a mask went farther than that too far, what looks like the other is no part of either
            way = (direction * (seen - beside.mean)).sum(axis=2)
            differs = rising(apart, *_NOT_ALIKE).astype(np.float32)
            surely *= 1 - differs * (1 - rising(way, *_LIKE_HAIR))
            surely_not *= 1 - differs * rising(way, *_LIKE_HAIR)
    sure = rising(apart, *_APART) * rising(np.minimum(hair.weight, beside.weight), *_KNOWN) * (most > 0)
    if not sure.any():
        return Matte(mask, pixels)

    def enlarged(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)

    light = cv2.transform(hair.mean, LUMA[None])
    dark = enlarged(rising(1 - light / cv2.transform(beside.mean, LUMA[None]).clip(1e-3), *_DARKER))
    near = blurred(mask, _NEAR * side)
    inside, sure = rising(near, *_INSIDE), enlarged(sure)
    own = pixels.astype(np.float32) / 255
    # 0 is what is beside hair, and 1 hair.
    way = cv2.transform(cv2.multiply(enlarged(direction), own), np.ones((1, 3), np.float32))
    way -= enlarged((direction * beside.mean).sum(axis=2))
    low, high = ((1 - inside) * edge + inside * deep for edge, deep in zip(_PARTLY, _GAP, strict=True))
    share = ((way + _PRIOR * (near - 0.5) * (1 - inside) - low) / (high - low)).clip(0, 1)
    sure *= 1 - inside * (1 - dark)
    share = (mask + sure * (share - mask)).astype(np.float32)

    colours, at = pixels.copy(), sure > 0
    mixed, usual, ground = own[at], enlarged(hair.mean)[at], enlarged(beside.mean)[at]
    part = share[at][:, None]
    alone = ((mixed - (1 - part) * ground) / part.clip(_OWN[0])).clip(0, 1)
    alone *= np.minimum(1, usual @ LUMA / (alone @ LUMA).clip(1e-3))[:, None]  # or the hair's edge would shine
    alone = usual + rising(part, *_OWN) * (alone - usual)
    colours[at] = (255 * (mixed + sure[at][:, None] * (alone - mixed))).round()
    return Matte(share, colours)


class _Colours(NamedTuple):
    """Which colours are usual around each pixel of a small picture [M, M]."""

    weight: np.ndarray  # [M, M] in 0..1, how much there is
    mean: np.ndarray  # [M, M, 3] RGB
    covariance: np.ndarray  # [M, M, 3, 3]


def _usual_colours(seen: np.ndarray, weight: np.ndarray, sigma: float) -> _Colours:
    """The colours of what has weight, by a Gaussian of `sigma` pixels."""
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    products = [seen[..., i] * seen[..., j] for i, j in _PAIRS]
    sums = (cv2.GaussianBlur(weight * values, (0, 0), sigma) for values in (*cv2.split(seen), *products))
    means = np.dstack([values / (total + np.float32(1e-6)) for values in sums])
    mean, squares = means[..., :3], means[..., _PAIR_OF]
    return _Colours(total, mean, squares - mean[..., :, None] * mean[..., None, :])


def _discriminant(hair: _Colours, beside: _Colours, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a colour less that beside the hair is multiplied by, [M, M, 3], to be 0 there and 1 for hair; and how far
    both are apart, [M, M], their squared Mahalanobis distance. 0 elsewhere.
    """
    direction, apart = np.zeros_like(hair.mean), np.zeros_like(hair.weight)
    between = (hair.mean - beside.mean)[where]
    within = (hair.covariance + beside.covariance)[where] + _NOISE**2 * np.eye(3, dtype=np.float32)
    towards = np.linalg.solve(within, between[..., None])[..., 0]
    apart[where] = (towards * between).sum(axis=1)
    direction[where] = towards / apart[where].clip(1e-6)[:, None]
    return direction, apart
