"""Lessons from several generators: in the mean of their edits the noise of each fades.

A student learns that mean from any one of them at a time, by its square error; to core it (`train.coring`) it has to be
there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.networks import Generator
from train.forward import edit_at
from train.parallel import WHOLE, Share


@torch.no_grad()
def teach(
    teachers: tuple[Generator, ...],
    images: Tensor,
    targets: Tensor,
    random: torch.Generator,
    dtype: torch.dtype = torch.bfloat16,
    share: Share = WHOLE,
) -> Tensor:
    """Each face as one of the teachers edits it, which sees it mirrored or not; both are drawn by chance.

    A teacher sees the faces at its own resolution, and what it changes is scaled to theirs.

    Args:
        teachers: one at least.
        images: [N, 3, R, R] in [-1, 1].
        targets: ages in years [N].
        random: the source of randomness, on the CPU.
        dtype: the precision of the convolutions.
        share: which part of the whole batch `images` is; the draws are for the whole.
    Returns:
        [N, 3, R, R] in the images' precision.
    """
    count = len(images) * share.count
    chosen = share.of(torch.randint(len(teachers), (count,), generator=random))
    mirrored = _draw_sides(images, random, share)
    seen, lessons = torch.where(mirrored, images.flip(3), images), torch.empty_like(images)
    for number in chosen.unique().tolist():
        own = (chosen == number).nonzero().flatten().to(images.device, non_blocking=True)
        lessons[own] = edit_at_own_resolution(teachers[number], seen[own], targets[own], dtype)
    return torch.where(mirrored, lessons.flip(3), lessons)


@torch.no_grad()
def teach_mean(
    teachers: tuple[Generator, ...],
    images: Tensor,
    targets: Tensor,
    random: torch.Generator,
    dtype: torch.dtype = torch.bfloat16,
    share: Share = WHOLE,
) -> Tensor:
    """Each face as all of the teachers edit it on average, each of which sees it mirrored or not by chance.

    Arguments and result are those of `teach`.
    """
    total = torch.zeros_like(images)
    for teacher in teachers:
        mirrored = _draw_sides(images, random, share)
        lessons = edit_at_own_resolution(teacher, torch.where(mirrored, images.flip(3), images), targets, dtype)
        total += torch.where(mirrored, lessons.flip(3), lessons)
    return total / len(teachers)


def _draw_sides(images: Tensor, random: torch.Generator, share: Share) -> Tensor:
    """Which of the images [N, ...] a teacher sees mirrored, [N, 1, 1, 1] on their device."""
    mirrored = torch.rand(len(images) * share.count, 1, 1, 1, generator=random) < 0.5
    return share.of(mirrored).to(images.device, non_blocking=True)


def edit_at_own_resolution(teacher: Generator, images: Tensor, ages: Tensor, dtype: torch.dtype) -> Tensor:
    """Images [N, 3, R, R] at the ages [N]; of another R than the teacher's they get its change, not its sharpness."""
    side = teacher.config.resolution
    if images.shape[-1] == side:
        return edit_at(teacher, images, ages, dtype=dtype)[0]
    small = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    change = edit_at(teacher, small, ages, dtype=dtype)[0] - small
    size = images.shape[-2:]
    return images + F.interpolate(change, size, mode="bilinear", antialias=True, align_corners=False)
