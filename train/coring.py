"""Coring of a change of the face: where a band of its detail is weak, it goes; where it is strong, it stays.

A lesson's folds are strong, and few. The dirt that is left in the mean of several generators is weak, and everywhere.
"""

import torch.nn.functional as F
from torch import Tensor

from agetransformer.shading import luma

_LEVELS = 5  # of the pyramid, each half as wide as the one before; what is coarser is shading, and stays
_NEIGHBOURHOOD = 5  # pixels of a level: what is weak or strong is decided for so many together


def core_change(change: Tensor, weak: float) -> Tensor:
    """A change [N, 3, R, R] without the weak detail of its luma, [N, 3, R, R] float32.

    Each band of a Laplacian pyramid (Burt and Adelson 1983) is multiplied by e / (e + weak^2), where e is its mean
    square around the pixel: Wiener's rule for a noise of the standard deviation `weak`.

    Args:
        change: of the range 2; R at least 64 and a multiple of 32.
        weak: of the range 2.
    """
    lightness = luma(change)[:, None]
    fine, bands = lightness, []
    for _ in range(_LEVELS):
        coarse = F.interpolate(fine, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
        band = fine - _enlarged(coarse)
        energy = F.avg_pool2d(band.square(), _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2, count_include_pad=False)
        bands.append(band * energy / (energy + weak**2))
        fine = coarse
    for band in reversed(bands):
        fine = _enlarged(fine) + band
    return change + (fine - lightness)


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
