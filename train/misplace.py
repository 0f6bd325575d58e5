"""Drawn detail on real faces: a D that sees the same photo with and without it learns what a stroke is."""

import math

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from train.parallel import WHOLE, Share

STROKES = 6  # that are drawn on a face at most, each there with even odds
FINE = 1 / 96  # of the side: the Gaussian's standard deviation; coarser than it, a change is shading and no stroke


def misplace_edits(edited: Tensor, images: Tensor, real: Tensor) -> Tensor:
    """`real` with the fine detail that the edits of other faces drew, mirrored, so that no wrinkle is where it belongs.

    Args:
        edited, images: edits and their faces [N, 3, H, W] in [-1, 1].
        real: real faces [N, 3, H, W] in [-1, 1].
    Returns:
        [N, 3, H, W] in [-1, 1].
    """
    change = coarse = edited.float() - images.float()
    sigma = FINE * images.shape[-1]
    size = 2 * round(2 * sigma) + 1
    for kernel in ([size, 1], [1, size]):  # in both directions at once it takes several times as long
        coarse = gaussian_blur(coarse, kernel, sigma)
    fine = change - coarse
    return (real + fine.flip(3)).clamp(-1, 1).to(real.dtype)


def draw_strokes(real: Tensor, random: torch.Generator, share: Share = WHOLE) -> Tensor:
    """`real` with a few bent strokes across the middle of each face, darker or brighter than the skin, soft or hard.

    What a generator draws is all that D learns of strokes otherwise; when the generator stops, D forgets them.

    Args:
        real: real faces [N, 3, H, W] in [-1, 1].
        random: the source of randomness, on the CPU.
        share: which part of the whole batch `real` is; the draws are for the whole.
    Returns:
        [N, 3, H, W] in [-1, 1].
    """
    drawn = share.of(torch.rand(10, len(real) * share.count, STROKES, 1, 1, generator=random), 1)
    drawn = drawn.to(real.device, non_blocking=True)
    down, across = (torch.linspace(0, 1, side, device=real.device) for side in real.shape[-2:])
    angle = math.pi * drawn[0]
    x, y = across - (0.25 + 0.5 * drawn[1]), down[:, None] - (0.3 + 0.55 * drawn[2])
    along, beside = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    beside = beside + 4 * (drawn[3] - 0.5) * along.square()
    length, width = 0.03 + 0.15 * drawn[4], 0.002 + 0.012 * drawn[5]  # halves, as shares of the side
    soft = 0.001 + 0.004 * drawn[6]
    covered = torch.sigmoid((width - beside.abs()) / soft) * torch.sigmoid((length - along.abs()) / 0.01)
    strength = torch.where(drawn[7] < 0.7, -0.1 - 0.5 * drawn[8], 0.1 + 0.3 * drawn[8])
    change = (covered * strength * (drawn[9] < 0.5)).sum(dim=1, keepdim=True)  # [N, 1, H, W]
    return (real + change).clamp(-1, 1).to(real.dtype)
