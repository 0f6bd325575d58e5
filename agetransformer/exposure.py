"""Dark photos: the networks learnt from well exposed ones, and what they draw in the dark is too strong for it."""

import numpy as np
from PIL import Image

_WHITE = 0.98  # this quantile of a picture's lightness is what is white in it
_EXPOSED = 0.7  # of 0..1: where that is lighter, the picture is bright enough
_MOST = 4.0  # times the light: beyond that noise is all that there is


def missing_exposure(picture: Image.Image) -> float:
    """By how much the light of an underexposed picture has to be multiplied, 1..4; 1 where it is bright enough."""
    white = float(np.quantile(np.asarray(picture.convert("L")), _WHITE)) / 255
    return float(np.clip(_EXPOSED / max(white, 1e-3), 1, _MOST))


def expose(picture: Image.Image, factor: float) -> Image.Image:
    """The picture with so many times the light; what gets too bright is white."""
    return picture.point(lambda value: min(255, round(value * factor))) if factor > 1 else picture
