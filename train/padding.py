"""Paddings that leave channels last as they are, forward and backward, for training on a GPU.

PyTorch's own work channel by channel there: around each of them a map, and its gradient, is turned around twice.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from agetransformer import rewrites
from agetransformer.bordered import fill_reflected, fill_replicated, middle, with_room


class Reflect(torch.autograd.Function):
    """[N, C, H, W] -> [N, C, H + 2 width, W + 2 width], mirrored at the pixels of its edge; channels last."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, width: int) -> Tensor:
        ctx.width = width
        return fill_reflected(_bordered(x, width), width)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        width = ctx.width
        for dim in (2, 3):
            last = gradient.shape[dim] - width
            inner = gradient.narrow(dim, width, last - width).clone(memory_format=torch.channels_last)
            inner.narrow(dim, 1, width).add_(gradient.narrow(dim, 0, width).flip(dim))
            inner.narrow(dim, last - 2 * width - 1, width).add_(gradient.narrow(dim, last, width).flip(dim))
            gradient = inner
        return gradient, None


class Replicate(torch.autograd.Function):
    """[N, C, H, W] -> [N, C, H + 2, W + 2], the pixels of its edge once more; channels last."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return fill_replicated(_bordered(x, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        for dim in (2, 3):
            last = gradient.shape[dim] - 1
            inner = gradient.narrow(dim, 1, last - 1).clone(memory_format=torch.channels_last)
            inner.select(dim, 0).add_(gradient.select(dim, 0))
            inner.select(dim, last - 2).add_(gradient.select(dim, last))
            gradient = inner
        return gradient


def _bordered(x: Tensor, width: int) -> Tensor:
    """x in the middle of a larger map, channels last, whose border is not filled yet."""
    padded = with_room(x, width)
    middle(padded, width).copy_(x)
    return padded


def reflect(x: Tensor, width: int) -> Tensor:
    """`rewrites.reflect`, in the way that suits the device."""
    return rewrites.reflect(x, width) if x.device.type == "cpu" else Reflect.apply(x, width)


def replicate(x: Tensor) -> Tensor:
    """`rewrites.replicate`, in the way that suits the device."""
    return rewrites.replicate(x) if x.device.type == "cpu" else Replicate.apply(x)
