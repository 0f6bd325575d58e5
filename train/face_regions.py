"""What maps of a face are drawn from: its outlines as masks, and how far each pixel's colour is from the skin's."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.color import rgb2lab

WORKING_SIDE = 192  # px: the colours are compared at this size
SAME, OTHER = 2.0, 3.5  # deviations: up to the first the same, from the second on something else
_UP, _ACROSS, _DOWN = 1.45, 1.05, 1.08  # the outline ends at half the forehead: stretched about its centre
_SAMPLE = 6  # px: so far inside the outline lies what the skin's colour is taken from
_SPREAD = (8.5, 2.5, 3.0)  # L, a, b: the least deviation that is no difference; light differs more than colour


def smooth_lab(image: np.ndarray) -> np.ndarray:
    """An FFHQ-aligned square [S, S, 3] uint8 in Lab, single hairs smoothed away: [WORKING_SIDE, WORKING_SIDE, 3]."""
    small = Image.fromarray(image).resize((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    return ndimage.gaussian_filter(rgb2lab(np.asarray(small)), (1.5, 1.5, 0))


def fill_outline(outline: np.ndarray) -> np.ndarray:
    """A closed outline [K, 2], fractions of the side -> [WORKING_SIDE, WORKING_SIDE] bool, true inside."""
    mask = Image.new("1", (WORKING_SIDE, WORKING_SIDE))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in (outline * WORKING_SIDE).tolist()], fill=1)
    return np.array(mask)


def upper_face(oval: np.ndarray) -> np.ndarray:
    """MediaPipe's outline of a face [K, 2], raised to the hair line, as a mask."""
    centre = (oval.min(axis=0) + oval.max(axis=0)) / 2
    x, y = (oval - centre).T
    return fill_outline(centre + np.column_stack([x * _ACROSS, y * np.where(y < 0, _UP, _DOWN)]))


def inner_face(face: np.ndarray) -> np.ndarray:
    """Of the mask of a face, what is skin for sure but for eyes, brows and lips."""
    return ndimage.binary_erosion(face, iterations=_SAMPLE)


def colour_distance(lab: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """[H, W]: how many deviations each pixel's colour is from the median colour of the sample [H, W]."""
    if not sample.any():
        return np.zeros(sample.shape)
    difference = lab - np.median(lab[sample], axis=0)
    spread = 1.48 * np.median(np.abs(difference[sample]), axis=0)  # the standard deviation, of normal values
    return np.sqrt(((difference / np.maximum(spread, _SPREAD)) ** 2).sum(axis=-1))
