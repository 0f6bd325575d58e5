"""Strands drawn where a photo shows none: where hair is black without detail, or overexposed.

Made grey or brown such hair would be a flat patch. Noise is smeared along the flow of the hair that is seen around
(Cabral and Leedom 1993, "Imaging Vector Fields Using Line Integral Convolution"), as fine as strands are.
"""

from functools import cache

import cv2
import numpy as np

from agetransformer.hair_masks import STRAND, blurred, box_around

_FLOW = ((1 / 24, 1.0), (1 / 8, 0.03), (1 / 3, 0.001))  # of the side: Gaussians in which strands tell the flow, weights
_SMEARS = ((1, 5), (3, 4))  # px and steps, to each side: two short straight ones in turn follow the flow's bends
_WIDEST = 4  # times a strand: what differs over more is none
_FLAT = 0.05  # of 0..1, by Scharr's filter: what differs by less is flat
_TILE = 384  # px: the noise repeats
_SIZES = ((1, 1.0), (4, 0.4))  # px, and how much: strands, and locks of them
_EVEN = 1 / 40  # of the side: the Gaussian for how much strands differ there


def draw_strands(
    light: np.ndarray, hair: np.ndarray, where: np.ndarray, side: int, corner: tuple[int, int]
) -> np.ndarray:
    """Strands along the flow of hair, times `where`: [H, W] float32; of mean 0 and deviation 1 where that is 1.

    Args:
        light: [H, W] float32, luma.
        hair: [H, W] float32 in 0..1, how much of each pixel tells the flow.
        where: [H, W] float32 in 0..1, somewhere more than 0.
        side: of the face's square, in pixels.
        corner: column and row of the upper left pixel in that square: the same strands in each frame of a film.
    """
    scale = max(1.0, STRAND * side)
    far = sum(step * steps for step, steps in _SMEARS) * scale
    down, across = box_around(where, round(3 * _EVEN * side + far))
    along, against = _flow(light, hair, side, (down, across))
    rows, columns = np.arange(light.shape[0])[down], np.arange(light.shape[1])[across]
    strands = _noise(columns + corner[0], rows + corner[1])
    right, low = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in strands.shape[::-1]))
    for step, steps in _SMEARS:
        total = strands.copy()
        for reach in range(1, steps + 1):
            for to in (np.float32(sign * reach * step * scale) for sign in (1, -1)):
                x, y = right + to * along, low + to * against
                total += cv2.remap(strands, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        strands = total
    strands = cv2.GaussianBlur(strands, (0, 0), 0.5 * scale)
    strands -= blurred(strands, _EVEN * side)
    strands = strands / np.sqrt(blurred(strands**2, _EVEN * side)).clip(1e-6)
    drawn = np.zeros_like(light)
    drawn[down, across] = where[down, across] * strands
    return drawn


def _flow(light: np.ndarray, hair: np.ndarray, side: int, box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Along what hair flows, across its gradients: in a box, columns and rows of a vector of length 1 at each pixel."""
    strand = max(STRAND * side, 0.5)
    smooth = cv2.GaussianBlur(light, (0, 0), strand)
    fine = smooth - cv2.GaussianBlur(smooth, (0, 0), _WIDEST * strand)
    x, y = (cv2.Scharr(fine, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    told = hair / (np.hypot(x, y) + np.float32(_FLAT))  # or one edge would count more than many strands
    even, odd = ((x * x - y * y) * told, 2 * x * y * told)
    even, odd = (_told_around(part, side)[box] for part in (even, odd))
    angle = np.arctan2(odd, even) / 2 + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


def _told_around(part: np.ndarray, side: int) -> np.ndarray:
    """What is told [H, W] around each pixel, from further away the less is told near."""
    told = np.zeros_like(part)
    for reach, weight in _FLOW:
        told += weight * blurred(part, reach * side)
    return told


def _noise(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Noise [H, W] float32, fine and, weaker, coarse, at these places [W] and [H] of a plane."""
    return np.ascontiguousarray(_tile()[np.ix_(rows % _TILE, columns % _TILE)])


@cache
def _tile() -> np.ndarray:
    """[_TILE, _TILE] float32; tiles have no edges, as each is the middle of nine."""
    noise: np.ndarray = np.zeros((_TILE, _TILE), np.float32)
    middle = slice(_TILE, 2 * _TILE)
    for size, part in _SIZES:
        tile = np.random.default_rng(size).standard_normal((_TILE, _TILE)).astype(np.float32)
        smooth = cv2.GaussianBlur(np.tile(tile, (3, 3)), (0, 0), size / 2)[middle, middle]
        noise += part / smooth.std() * smooth
    return noise
