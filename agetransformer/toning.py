"""Photos in which each lightness has one colour: black and white ones, sepia prints, cyanotypes.

What changes in them gets the colour that its new lightness has there, or hair that turns grey would be blue in a sepia
print.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from agetransformer.hair_masks import LUMA, rising

_SIDE = 128  # px: colours are compared at this size, where grain and what JPEG makes of it are gone
_DEGREE, _ROUNDS = 6, 8  # of the polynomial for each channel, and of its robust fit,
_NEAR = 4.0  # levels: what is beside it by more weighs little, as a stamp or a logo on a black and white photo
_STEPS = 33  # of lightness, between which colours are interpolated
_ENDS = 0.001  # of the pixels are beyond the first and the last
# Levels of 255 by which one pixel in twenty is of another colour than its lightness has: up to the first it is a toned
# photo, and from the second on none. Of 3276 photos in colour the least had 8.6.
_MOST, _OTHERS = 0.95, (3.0, 6.0)


@dataclass(frozen=True, eq=False)
class Toning:
    """What colour each lightness has in a photo."""

    light: np.ndarray  # [K] float64, rising: luma in levels of 255
    beyond: np.ndarray  # [K, 3] float64: red, green and blue of it, less the luma
    share: float  # 0..1, how much of a change it colours: 1 where all colours of the photo are its

    def colour_change(self, change: np.ndarray, light: np.ndarray) -> np.ndarray:
        """A change [H, W, 3] float32 in levels of 255 of what has the luma [H, W] -> the same in the photo's colours.

        Its luma stays.
        """
        lighter = cv2.transform(change, LUMA[None])
        steps = [
            np.interp(light + lighter, self.light, values) - np.interp(light, self.light, values)
            for values in self.beyond.T
        ]
        toned = lighter[..., None] + np.stack(steps, axis=-1)
        return (change + self.share * (toned - change)).astype(np.float32)


def find_toning(picture: np.ndarray, exposure: float = 1.0) -> Toning | None:
    """The toning of a photo by a picture [S, S, 3] uint8 RGB from it; None where it is in colour.

    Args:
        exposure: how many times brighter the photo would be if it were not too dark (`agetransformer.exposure`).
    """
    side = min(_SIDE, len(picture))
    colours = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float64)
    light = colours @ LUMA
    low, high = np.quantile(light, (_ENDS, 1 - _ENDS))
    steps = np.linspace(low, high, _STEPS) if high > low else np.array([low])

    def powers(values: np.ndarray) -> np.ndarray:
        return np.polynomial.legendre.legvander(2 * (values - low) / max(high - low, 1e-6) - 1, _DEGREE)

    terms, beyond = powers(light.clip(low, high)), colours - light[:, None]
    other = np.zeros_like(light)
    for _ in range(_ROUNDS):
        weighted = terms * ((1 + (exposure * other / _NEAR) ** 2) ** -2)[:, None]
        curve = np.linalg.lstsq(weighted.T @ terms, weighted.T @ beyond, rcond=1e-9)[0]
        other = np.sqrt(((beyond - terms @ curve) ** 2).mean(axis=1))
    share = 1 - float(rising(exposure * np.quantile(other, _MOST), *_OTHERS))
    return Toning(steps, powers(steps) @ curve, share) if share > 0 else None
