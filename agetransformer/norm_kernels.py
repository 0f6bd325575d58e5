"""Instance norm, LeakyReLU and the border of the next convolution as two kernels for NVIDIA GPUs, in Triton.

PyTorch passes over a map for the statistics, the product, the activation and the sum with a skip, each apart; these
read it twice and write it once. They also read maps that lie in another order, as convolutions make them that fill
the matrix units better (`Layout`). Triton comes with PyTorch's builds for CUDA; on a CPU it can interpret the kernels
(TRITON_INTERPRET=1), which is how the tests run them.
"""

from enum import IntEnum

import torch
import triton
import triton.language as tl
from torch import Tensor

from agetransformer.rewrites import FastNorm

_SLOPE = 0.2  # of LeakyReLU
BLOCK = 4  # side of a block of pixels
_VALUES = 4096  # of a tile
_TILES = 8  # that a program of `_moments` reads one after the other


class Layout(IntEnum):
    """How a map of H x W pixels and C channels lies in a channels-last tensor."""

    PIXELS = 0  # [N, C, H, W]
    BLOCKS = 1  # [N, 16 C, H / 4, W / 4], the channels in order (row of the block, column, channel)
    WINDOWS = (
        2  # [N, 4 C, H / 2 + 1, W / 2 + 1]: the 2x2 pixels around each corner, (even rows, odd rows) of (odd, even
    )
    # columns): what `quantization.window_kernels` make


def to_blocks(x: Tensor) -> Tensor:
    """[N, C, 4 h, 4 w] -> the same as `Layout.BLOCKS`, [N, 16 C, h, w] channels last; a kernel too."""
    parts = x.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).permute(0, 3, 5, 1, 2, 4)
    return parts.flatten(1, 3).contiguous(memory_format=torch.channels_last)


def pixels_of(x: Tensor, layout: Layout) -> tuple[int, int, int]:
    """(C, H, W) of the map that lies in x."""
    channels, height, width = x.shape[1:]
    if layout is Layout.BLOCKS:
        return channels // 16, height * 4, width * 4
    if layout is Layout.WINDOWS:
        return channels // 4, 2 * (height - 1), 2 * (width - 1)
    return channels, height, width


@triton.jit
def _offset(image, row, column, height, width, channels: tl.constexpr, layout: tl.constexpr):
    """Where a pixel's first channel lies."""
    if layout == 1:
        block = (image * (height // 4) + row // 4) * (width // 4) + column // 4
        return (block * 16 + row % 4 * 4 + column % 4) * channels
    if layout == 2:
        odd_row, odd_column = row % 2, column % 2
        corner = (image * (height // 2 + 1) + row // 2 + odd_row) * (width // 2 + 1) + column // 2 + odd_column
        return (corner * 4 + odd_row * 2 + 1 - odd_column) * channels
    return ((image * height + row) * width + column) * channels


@triton.jit
def _read(
    x, skip, image, row, column, inside, height, width, c: tl.constexpr, layout: tl.constexpr, skips: tl.constexpr
):
    """A tile [pixels, C] in float32: of x, and of a skip that all images share."""
    channel = tl.arange(0, c)[None, :]
    at = _offset(image, row, column, height, width, c, layout)
    value = tl.load(x + at[:, None] + channel, mask=inside[:, None], other=0.0).to(tl.float32)
    if skips:
        at = (row * width + column) * c
        value += tl.load(skip + at[:, None] + channel, mask=inside[:, None], other=0.0).to(tl.float32)
    return value


@triton.jit
def _moments(
    x,
    skip,
    parts,
    height,
    width,
    c: tl.constexpr,
    layout: tl.constexpr,
    skips: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
):
    """Sums and sums of squares of each channel over `tiles` tiles of an image, to parts [N, programs, 2, C]."""
    image = tl.program_id(1).to(tl.int64)
    sums = tl.zeros((c,), tl.float32)
    squares = tl.zeros((c,), tl.float32)
    for index in range(tiles):
        pixel = (tl.program_id(0) * tiles + index) * tile + tl.arange(0, tile)
        inside = pixel < height * width
        value = _read(x, skip, image, pixel // width, pixel % width, inside, height, width, c, layout, skips)
        sums += tl.sum(value, 0)
        squares += tl.sum(value * value, 0)
    at = (image * tl.num_programs(0) + tl.program_id(0)) * 2 * c + tl.arange(0, c)
    tl.store(parts + at, sums)
    tl.store(parts + at + c, squares)


@triton.jit
def _apply(
    x,
    skip,
    plus,
    y,
    sums,
    weight,
    bias,
    eps,
    slope,
    height,
    width,
    border: tl.constexpr,
    reflected: tl.constexpr,
    c: tl.constexpr,
    layout: tl.constexpr,
    skips: tl.constexpr,
    adds: tl.constexpr,
    made: tl.constexpr,
    tile: tl.constexpr,
):
    """The norm and LeakyReLU of a tile of y [N, C, H + 2 border, W + 2 border], whose border repeats its inside."""
    image = tl.program_id(1).to(tl.int64)
    wide = width + 2 * border
    pixel = tl.program_id(0) * tile + tl.arange(0, tile)
    inside = pixel < (height + 2 * border) * wide
    row, column = pixel // wide, pixel % wide
    out = _offset(image, row, column, height + 2 * border, wide, c, made)
    row, column = row - border, column - border
    if reflected:
        row = height - 1 - tl.abs(height - 1 - tl.abs(row))
        column = width - 1 - tl.abs(width - 1 - tl.abs(column))
    else:
        row = tl.minimum(tl.maximum(row, 0), height - 1)
        column = tl.minimum(tl.maximum(column, 0), width - 1)
    value = _read(x, skip, image, row, column, inside, height, width, c, layout, skips)
    channel = tl.arange(0, c)
    mean = tl.load(sums + image * 2 * c + channel) / (height * width)
    square = tl.load(sums + image * 2 * c + c + channel) / (height * width)
    scale = tl.load(weight + channel) / tl.sqrt(tl.maximum(square - mean * mean, 0.0) + eps)
    value = value * scale[None, :] + (tl.load(bias + channel) - mean * scale)[None, :]
    value = tl.where(value > 0, value, value * slope)
    if adds:  # a map of each image, with a border of one pixel
        at = ((image * (height + 2) + row + 1) * (width + 2) + column + 1) * c
        value += tl.load(plus + at[:, None] + channel[None, :], mask=inside[:, None], other=0.0).to(tl.float32)
    tl.store(y + out[:, None] + channel[None, :], value.to(y.dtype.element_ty), mask=inside[:, None])


def norm_act(
    x: Tensor,
    norm: FastNorm,
    border: int = 0,
    reflected: bool = True,
    skip: Tensor | None = None,
    plus: Tensor | None = None,
    layout: Layout = Layout.PIXELS,
    blocked: bool = False,
) -> Tensor:
    """Instance norm of x + skip, LeakyReLU(0.2), plus another map, padded.

    Args:
        x: a map of C channels, a power of two, and H x W pixels, channels last in a layout.
        norm: its weights float32.
        border: of the result.
        reflected: it mirrors the inside at the outermost pixels; otherwise it repeats those.
        skip: [1, C, H, W], channels last, for all images.
        plus: [N, C, H + 2, W + 2], channels last; what is around its middle does not count.
        blocked: the result lies as `Layout.BLOCKS`.
    Returns:
        [N, C, H + 2 border, W + 2 border], or its blocks, channels last, in x's precision; sums are float32.
    Raises:
        ValueError: a map is not channels last, or the result is not of whole blocks.
    """
    channels, height, width = pixels_of(x, layout)
    for each in (x, skip, plus):
        if each is not None and not each.is_contiguous(memory_format=torch.channels_last):
            raise ValueError(f"a map of {tuple(each.shape)} is not channels last")
    tall, wide = height + 2 * border, width + 2 * border
    if blocked and (tall % BLOCK or wide % BLOCK):
        raise ValueError(f"{tall} x {wide} pixels are no blocks of {BLOCK} x {BLOCK}")
    tile = _VALUES // channels
    programs = triton.cdiv(height * width, tile * _TILES)
    parts = torch.empty(len(x), programs, 2, channels, device=x.device)
    shared = {"c": channels, "layout": int(layout), "skips": skip is not None}
    with torch.cuda.device_of(x):
        _moments[(programs, len(x))](x, skip, parts, height, width, **shared, tile=tile, tiles=_TILES)
    sums = parts.sum(1)
    made = Layout.BLOCKS if blocked else Layout.PIXELS
    shape = (channels * BLOCK**2, tall // BLOCK, wide // BLOCK) if blocked else (channels, tall, wide)
    y = torch.empty((len(x), *shape), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(tall * wide, tile), len(x))
    kind = shared | {"border": border, "reflected": reflected, "adds": plus is not None, "made": int(made)}
    with torch.cuda.device_of(x):
        _apply[grid](x, skip, plus, y, sums, norm.weight, norm.bias, norm.eps, _SLOPE, height, width, **kind, tile=tile)
    return y
