"""The generator for NVIDIA GPUs: norms and what stands around them as one operation (`agetransformer.norm_kernels`).

Convolutions at full size have few channels, which leaves most of a matrix unit empty. Between blocks of 4 x 4 pixels
the first and the last are 3x3 convolutions of 48 to 512 channels and back; nearest x2 and a 3x3 convolution are a 2x2
convolution that makes four pixels. The norms read and write these orders as they lie.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.bordered import as_encoding, convolve
from agetransformer.norm_kernels import BLOCK, Layout, norm_act, to_blocks
from agetransformer.quantization import window_kernels
from agetransformer.rewrites import (
    FastBlock,
    FastDecoder,
    FastEncoder,
    FastEncoding,
    PixelBlocks,
    blocked_kernel,
    frozen,
    modulate,
    reflect,
)


class FusedEncoder(nn.Module):
    """A FastEncoder without pairs of rows; image [1, 3, H, W] -> FastEncoding, as BorderedEncoder's."""

    def __init__(self, encoder: FastEncoder):
        super().__init__()
        self.plain = encoder
        kernel = blocked_kernel(encoder.conv0.weight, BLOCK).unflatten(0, (-1, BLOCK**2)).transpose(0, 1).flatten(0, 1)
        self.first = frozen(to_blocks(kernel))  # [512, 48, 3, 3]

    def forward(self, image: Tensor) -> FastEncoding:
        plain = self.plain
        x = F.conv2d(to_blocks(reflect(image, BLOCK)), self.first)
        x = norm_act(x, plain.conv0.norm, 1, layout=Layout.BLOCKS)
        skip1 = norm_act(convolve(x, plain.conv1), plain.conv1.norm, 1)
        x = skip2 = norm_act(convolve(skip1, plain.conv2), plain.conv2.norm, 1)
        for block in plain.blocks:
            first, second = cast(Sequence[FastBlock], block)
            y = norm_act(convolve(x, first), first.norm, 1)
            x = norm_act(convolve(y, second), second.norm, 1, plus=x)
        return as_encoding(x, skip2, skip1, plain)


class FusedDecoder(nn.Module):
    """A FastDecoder whose last convolution makes blocks of 4 x 4 pixels; its inputs and its output."""

    def __init__(self, decoder: FastDecoder):
        """
        Raises:
            ValueError: its last convolution makes other blocks, or none.
        """
        super().__init__()
        last = decoder.conv3
        if not isinstance(last, PixelBlocks) or last.block != BLOCK:
            raise ValueError(f"rewrite with RewriteConfig(row_sums=False, block={BLOCK})")
        self.norm1, self.norm2 = decoder.norm1, decoder.norm2
        self.conv1 = frozen(torch.cat(window_kernels(cast(Tensor, decoder.conv1.kernel))))  # [4 x 64, 128, 2, 2]
        self.conv2 = frozen(torch.cat(window_kernels(decoder.conv2)))
        self.conv3 = frozen(to_blocks(last.weight))  # [48, 512, 3, 3]
        self.bias3 = last.bias

    def forward(self, features: Tensor, skip2: Tensor, skip1: Tensor, w: Tensor) -> Tensor:
        x = F.conv2d(modulate(features, w), self.conv1)
        x = norm_act(x, self.norm1, 1, reflected=False, skip=skip2, layout=Layout.WINDOWS)
        x = norm_act(F.conv2d(x, self.conv2), self.norm2, BLOCK, skip=skip1, layout=Layout.WINDOWS, blocked=True)
        return F.pixel_shuffle(F.conv2d(x, self.conv3, self.bias3), BLOCK)
