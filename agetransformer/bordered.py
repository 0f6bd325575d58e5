"""The rewritten generator for GPUs, where memory binds: maps stay channels last and are written once.

PyTorch's instance norm and its paddings work channel by channel: around each of them a map is turned around twice, and
a padding is one more copy. Here a norm's result is written into the middle of a map that has room for the border which
the next convolution wants, and the border is filled from there.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.rewrites import (
    FastBlock,
    FastDecoder,
    FastEncoder,
    FastEncoding,
    FastNorm,
    reflect,
    upsample_padded,
)

_SLOPE = 0.2  # of LeakyReLU


def moments(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation of each channel of each image: [N, C, H, W] -> [N, C] each, in float32."""
    if x.is_cuda:  # those of a batch of one image: unlike others, their kernels read channels last as it lies
        parts = [torch.batch_norm_stats(image, eps) for image in x.split(1)]
        mean, inverse = (torch.stack(each) for each in zip(*parts, strict=True))
    else:
        variance, mean = torch.var_mean(x.float(), (2, 3), correction=0)
        inverse = (variance + eps).rsqrt()
    return mean, inverse


def with_room(x: Tensor, border: int) -> Tensor:
    """An empty map of x's kind [N, C, H + 2 border, W + 2 border], channels last."""
    count, channels, height, width = x.shape
    shape = (count, channels, height + 2 * border, width + 2 * border)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def middle(x: Tensor, border: int) -> Tensor:
    """x without its border."""
    return x[:, :, border : x.shape[2] - border, border : x.shape[3] - border]


def fill_reflected(x: Tensor, border: int) -> Tensor:
    """Fill the border of x in place: its middle, mirrored at the pixels of its edge."""
    for dim in (3, 2):
        inner = x.shape[dim] - border
        x.narrow(dim, 0, border).copy_(x.narrow(dim, border + 1, border).flip(dim))
        x.narrow(dim, inner, border).copy_(x.narrow(dim, inner - border - 1, border).flip(dim))
    return x


def fill_replicated(x: Tensor) -> Tensor:
    """Fill a border of one pixel in place: the pixels of the edge once more."""
    for dim in (3, 2):
        last = x.shape[dim] - 1
        x.select(dim, 0).copy_(x.select(dim, 1))
        x.select(dim, last).copy_(x.select(dim, last - 1))
    return x


def norm_act(x: Tensor, norm: FastNorm, border: int = 0) -> Tensor:
    """`norm` of x [N, C, H, W] -> [N, C, H + 2 border, W + 2 border]; the border is not filled yet."""
    mean, inverse = moments(x, norm.eps)
    scale = inverse * norm.weight
    shift, scale = (factor.to(x.dtype)[..., None, None] for factor in (norm.bias - mean * scale, scale))
    y = with_room(x, border)
    inside = middle(y, border)
    # In float32 the factors would take PyTorch's kernel for mixed types, which is slower by half.
    torch.addcmul(shift, x, scale, out=inside)
    torch.ops.aten.leaky_relu_(inside, _SLOPE)
    return y


def as_encoding(features: Tensor, skip2: Tensor, skip1: Tensor, plain: FastEncoder) -> FastEncoding:
    """What an encoder has made, each with a border of one pixel, which is filled here."""
    return FastEncoding(
        fill_replicated(features),
        upsample_padded(fill_replicated(skip2), plain.skip2),
        upsample_padded(fill_replicated(skip1), plain.skip1),
    )


class BorderedEncoder(nn.Module):
    """A FastEncoder without pairs of rows; image [1, 3, H, W] -> FastEncoding."""

    def __init__(self, encoder: FastEncoder):
        """
        Raises:
            ValueError: the encoder has pairs of rows.
        """
        super().__init__()
        if encoder.in_pairs:
            raise ValueError("the encoder has pairs of rows; rewrite with RewriteConfig(row_pairs=False)")
        self.plain = encoder

    def forward(self, image: Tensor) -> FastEncoding:
        plain = self.plain
        x = reflect(image, 4).contiguous(memory_format=torch.channels_last)
        x = fill_reflected(norm_act(convolve(x, plain.conv0), plain.conv0.norm, 1), 1)
        skip1 = norm_act(convolve(x, plain.conv1), plain.conv1.norm, 1)
        skip2 = norm_act(convolve(fill_reflected(skip1, 1), plain.conv2), plain.conv2.norm, 1)
        x = skip2.clone()
        for block in plain.blocks:
            first, second = cast(Sequence[FastBlock], block)
            y = fill_reflected(norm_act(convolve(fill_reflected(x, 1), first), first.norm, 1), 1)
            middle(x, 1).add_(norm_act(convolve(y, second), second.norm))
        return as_encoding(x, skip2, skip1, plain)


class BorderedDecoder(nn.Module):
    """A FastDecoder whose last convolution makes blocks of pixels; its inputs and its output."""

    def __init__(self, decoder: FastDecoder):
        super().__init__()
        self.plain = decoder

    def forward(self, features: Tensor, skip2: Tensor, skip1: Tensor, w: Tensor) -> Tensor:
        plain = self.plain
        x = plain.conv1(features, w).add_(skip2)
        x = fill_replicated(norm_act(x, plain.norm1, 1))
        x = upsample_padded(x, plain.conv2).add_(skip1)
        return plain.conv3(fill_reflected(norm_act(x, plain.norm2, 4), 4))


def convolve(x: Tensor, block: FastBlock) -> Tensor:
    """The convolution of a block, of a map with its border."""
    return F.conv2d(x, block.weight, stride=block.stride)
