"""What several generators make of a face, on average: what only one of them draws is noise, and fades."""

import torch
from torch import Tensor

from agetransformer.networks import Generator
from train.forward import edit_at


@torch.no_grad()
def teach(
    teachers: tuple[Generator, ...],
    images: Tensor,
    targets: Tensor,
    random: torch.Generator,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """The mean of the teachers' edits; each sees the whole batch mirrored, or not, by chance.

    A student that follows it by its square error learns their mean over both sides.

    Args:
        teachers: one at least.
        images: [N, 3, R, R] in [-1, 1].
        targets: ages in years [N].
        random: the source of randomness, on the CPU.
        dtype: the precision of the convolutions.
    Returns:
        [N, 3, R, R] in the images' precision.
    """
    mirrored = torch.rand(len(teachers), generator=random) < 0.5
    total = torch.zeros_like(images)
    for teacher, mirror in zip(teachers, mirrored.tolist(), strict=True):
        (edited,) = edit_at(teacher, images.flip(3) if mirror else images, targets, dtype=dtype)
        total += edited.flip(3) if mirror else edited
    return total / len(teachers)
