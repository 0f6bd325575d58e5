"""Folds that are no scratches: where somebody grows older, what darkens by more than a fold does is darkened by less.

In one face out of some the network draws a fold, beside a nostril above all, as a narrow line that takes half of the
light. In real faces a fold takes a fifth of it or so.
"""

import torch
from torch import Tensor

from agetransformer.shading import luma, share_of_light

_FOLD = 0.16  # of the light: what a fold may take in full,
_BEYOND = 0.35  # and how much of what it would take beyond that


def soften_folds(change: Tensor, faces: Tensor) -> Tensor:
    """A change of faces [N, 3, R, R] in [-1, 1] -> the same, weaker where it takes more than a fold."""
    taken = -share_of_light(luma(change), luma(faces))[:, None]
    kept = _FOLD + _BEYOND * (taken - _FOLD)
    return change * torch.where(taken > _FOLD, kept / taken.clamp(min=_FOLD), 1.0)
