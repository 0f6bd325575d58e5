"""The encoder in 8-bit integers, which processors with VNNI multiply twice as fast as bfloat16.

Each convolution takes whole numbers from 0 to 255 (levels) and weights of 8 bits, one scale for each output channel.
The levels of a map need its range before any image is seen: after an instance norm it follows from gamma and beta, so
that nothing has to be stored, and a value beyond it is only clipped. Each channel has a range of its own;
its scale goes into the weights and its offset into the bias (Nagel et al. 2021, "A White Paper on Neural Network
Quantization", sections 2.2 and 3.1).

PyTorch computes these modules in float32, with what the rounding does; OpenVINO makes integer kernels of them.
"""

from dataclasses import dataclass
from functools import reduce
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.networks import Generator, ResidualBlock
from agetransformer.rewrites import (
    FastEncoding,
    FastNorm,
    frozen,
    reflect,
    replicate,
    require_evaluation_mode,
    upsample_padded,
    upsampling_kernel,
)


@dataclass(frozen=True)
class QuantizationConfig:
    # Half the width of a normalised map's range, in its standard deviations: a narrow range clips, a wide one has
    # coarse levels. Channels of the residual blocks answer to small spots, an eye for one, and reach further there
    # than the maps before them, which also go to the decoder, where coarse levels would show.
    spread: float = 16.0
    block_spread: float = 24.0
    # From this residual block on, where the spots are smallest, the range follows the map: 3 ms a block at 512 px.
    stretched_from: int = 2


@dataclass(frozen=True)
class MapRange:
    """The values that each channel of a map is given levels for, [C] each."""

    low: Tensor
    middle: Tensor
    high: Tensor


def norm_range(norm: FastNorm, spread: float) -> MapRange:
    """Of the map after an instance norm and LeakyReLU, `spread` standard deviations to either side."""
    reach = spread * norm.weight.abs()
    low, middle, high = (norm.activate(norm.bias + shift) for shift in (-reach, torch.zeros_like(reach), reach))
    return MapRange(low, middle, high)


def add_ranges(a: MapRange, b: MapRange) -> MapRange:
    """Of the sum of two maps whose extremes seldom meet: the distances from the middle add in quadrature."""
    middle = a.middle + b.middle
    return MapRange(
        middle - torch.hypot(a.middle - a.low, b.middle - b.low),
        middle,
        middle + torch.hypot(a.high - a.middle, b.high - b.middle),
    )


class Levels(nn.Module):
    """A map [N, C, H, W] -> whole numbers 0..255, as floats."""

    def __init__(self, values: MapRange, stretched: bool = False):
        super().__init__()
        self.stretched = stretched
        bounds = torch.stack([values.low, values.high])
        self.shares = frozen(1 / bounds.where(bounds != 0, torch.inf))
        steps = ((values.high - values.low) / 255).clamp_min(1e-8)  # of a channel that is always 0, too
        self.steps = frozen(steps)
        self.scale = frozen((1 / steps)[:, None, None])
        self.offset = frozen((-values.low / steps)[:, None, None])  # the level of 0

    def forward(self, x: Tensor) -> Tensor:
        if self.stretched:
            low, high = x.amin((2, 3)) * self.shares[0], x.amax((2, 3)) * self.shares[1]  # [1, C]
            x = x / torch.maximum(low, high).amax().clamp_min(1e-3)
        return torch.fake_quantize_per_tensor_affine(x * self.scale + self.offset, 1.0, 0, 0, 255)


class LevelConv(nn.Module):
    """A convolution of a map in levels that is padded already; with `transposed`, `rewrites.upsample_padded`."""

    def __init__(self, weight: Tensor, levels: Levels, stride: int = 1, transposed: bool = False):
        """
        Args:
            weight: [O, I, K, K], transposed [I, O, 4, 4], for the map itself.
            levels: of the map.
            stride: of a convolution that is not transposed.
        """
        super().__init__()
        self.stride = stride
        self.transposed = transposed
        self.axis = int(transposed)  # of the output channels
        others = [axis for axis in range(4) if axis != self.axis]
        inputs = (-1, 1, 1, 1) if transposed else (1, -1, 1, 1)
        self.weight = frozen(weight * levels.steps.view(inputs))
        self.steps = frozen(self.weight.abs().amax(others).clamp_min(1e-12) / 127)
        self.zeros = nn.Parameter(torch.zeros(len(self.steps), dtype=torch.int32), requires_grad=False)
        offsets = (self.rounded() * levels.offset.view(inputs)).sum(others)
        # Of 16 taps each output pixel sees 4. Rounded, the four sets differ a little; the error has not shown.
        self.bias = frozen(-offsets / 4 if transposed else -offsets)

    def rounded(self) -> Tensor:
        """The weights, each a whole multiple of its output channel's step."""
        return torch.fake_quantize_per_channel_affine(self.weight, self.steps, self.zeros, self.axis, -127, 127)

    def forward(self, levels: Tensor) -> Tensor:
        if self.transposed:
            return upsample_padded(levels, self.rounded(), self.bias)
        return F.conv2d(levels, self.rounded(), self.bias, self.stride)


class Int8ResidualBlock(nn.Module):
    """A ResidualBlock, from and to a map that is no levels."""

    def __init__(self, block: ResidualBlock, values: MapRange, spread: float, stretched: bool = False):
        super().__init__()
        self.norm1 = FastNorm(block.conv1.norm)
        self.norm2 = FastNorm(block.conv2.norm)
        self.levels1 = Levels(values, stretched)
        self.levels2 = Levels(norm_range(self.norm1, spread), stretched)
        self.conv1 = LevelConv(block.conv1.conv.weight, self.levels1)
        self.conv2 = LevelConv(block.conv2.conv.weight, self.levels2)

    def forward(self, x: Tensor) -> Tensor:
        change = self.norm1(self.conv1(reflect(self.levels1(x), 1)))
        return x + self.norm2(self.conv2(reflect(self.levels2(change), 1)))


class Int8Encoder(nn.Module):
    """`rewrites.FastEncoder` with all of its convolutions on levels."""

    def __init__(self, generator: Generator, config: QuantizationConfig = QuantizationConfig()):
        """
        Raises:
            ValueError: the generator is in training mode, where reading a spectrally normalised weight changes it.
        """
        require_evaluation_mode(generator)
        super().__init__()
        encoder, decoder = generator.encoder, generator.decoder
        one = torch.ones(3)
        self.image_levels = Levels(MapRange(-one, 0 * one, one))  # those of an 8-bit image
        self.norm0, self.norm1, self.norm2 = (FastNorm(c.norm) for c in (encoder.conv0, encoder.conv1, encoder.conv2))
        ranges = [norm_range(norm, config.spread) for norm in (self.norm0, self.norm1, self.norm2)]
        self.levels0, self.levels1, self.levels2 = (Levels(values) for values in ranges)
        self.conv0 = LevelConv(encoder.conv0.conv.weight, self.image_levels)
        self.conv1 = LevelConv(encoder.conv1.conv.weight, self.levels0, stride=2)
        self.conv2 = LevelConv(encoder.conv2.conv.weight, self.levels1, stride=2)
        blocks = [cast(ResidualBlock, block) for block in encoder.blocks]
        after = [norm_range(FastNorm(block.conv2.norm), config.block_spread) for block in blocks]
        self.blocks = nn.Sequential(
            *(
                Int8ResidualBlock(
                    block,
                    reduce(add_ranges, after[:index], ranges[2]),
                    config.block_spread,
                    index >= config.stretched_from,
                )
                for index, block in enumerate(blocks)
            )
        )
        self.skip2 = LevelConv(upsampling_kernel(decoder.conv1.conv.weight[:, 128:]), self.levels2, transposed=True)
        self.skip1 = LevelConv(upsampling_kernel(decoder.conv2.conv.weight[:, 64:]), self.levels1, transposed=True)

    def forward(self, image: Tensor) -> FastEncoding:
        """Image [1, 3, H, W] in [-1, 1] -> FastEncoding."""
        x = self.norm0(self.conv0(reflect(self.image_levels(image), 4)))
        skip1 = self.levels1(self.norm1(self.conv1(reflect(self.levels0(x), 1))))
        x = self.norm2(self.conv2(reflect(skip1, 1)))
        skip2 = self.levels2(x)
        features = self.blocks(x)
        return FastEncoding(replicate(features), self.skip2(replicate(skip2)), self.skip1(replicate(skip1)))
