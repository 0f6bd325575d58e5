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
    return change * kept_of_folds(change, faces, _FOLD, _BEYOND)


def kept_of_folds(change: Tensor, faces: Tensor, fold: float, beyond: float) -> Tensor:
    """What part of a change of faces [N, 3, R, R] in [-1, 1] stays: [N, 1, R, R] in 0..1.

    Args:
        fold: the share of the light that it may take in full.
        beyond: how much of what it would take beyond that.
    """
    taken = -share_of_light(luma(change), luma(faces))[:, None]
    return torch.where(taken > fold, (fold + beyond * (taken - fold)) / taken.clamp(min=fold), 1.0)
