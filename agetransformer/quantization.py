"""The encoder and the decoder's first convolution in 8-bit integers.

Processors with VNNI multiply these twice as fast as bfloat16.

Each convolution takes whole numbers from 0 to 255 (levels) and weights of 8 bits, one scale for each output channel.
Each input channel has a range of levels of its own, whose scale goes into the weights (Nagel et al. 2021, "A White
Paper on Neural Network Quantization", sections 2.2 and 3.1). The range is measured on each map: some channels answer to
a small spot, an eye for one, and reach five times as far as the others, but not the same ones on each face. So the
weights are rounded anew for each map. What level 0 stands for changes an output channel by a constant; that is left
out, because an instance norm follows each convolution and takes it away.

PyTorch computes these modules in float32, with what the rounding does; OpenVINO makes integer kernels of them.
"""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.networks import Generator, ResidualBlock
from agetransformer.rewrites import (
    FastDecoder,
    FastNorm,
    RewriteConfig,
    frozen,
    reflect,
    replicate,
    require_evaluation_mode,
    upsampling_kernel,
)


def window_kernels(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """A kernel of `rewrites.upsampling_kernel` [I, O, 4, 4] -> two of 2x2 convolutions [2 O, I, 2, 2].

    On small rows i - 1 and i the first makes the large row 2i, the second 2i - 1. Likewise their first O channels are
    the odd columns and their last the even ones.
    """
    odd, even = [2, 0], [3, 1]  # taps of the window's first and second row or column

    def window(rows: list[int]) -> Tensor:
        return torch.cat([kernel[:, :, rows][..., columns].transpose(0, 1) for columns in (odd, even)])

    return window(even), window(odd)


def whole_levels(x: Tensor) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, 1.0, 0, 0, 255)


def whole_weights(x: Tensor) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, 1.0, 0, -127, 127)


def scale_channels(x: Tensor, scale: Tensor) -> Tensor:
    """[1, C, H, W] times [C], as a depthwise convolution: OpenVINO keeps the map channels last then."""
    return F.conv2d(x, scale[:, None, None, None], groups=len(scale))


def to_levels(x: Tensor) -> tuple[Tensor, Tensor]:
    """A map [1, C, H, W] -> itself in levels, each channel in its own range; what one of each is worth, [1, C]."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    steps = ((high - low) / 255).clamp_min(1e-8)  # of a channel that is the same everywhere, too
    return whole_levels((x - low) * (1 / steps)), steps.flatten(1)  # OpenVINO divides slowly


def weight_steps(reach: Tensor, steps: Tensor) -> Tensor:
    """Of weights [O, I, K, K] for a map in levels, [O].

    Args:
        reach: the largest magnitude of each of the weights for the map itself, [O, I].
        steps: of the levels, [1, I].
    """
    return (reach * steps).amax(1).clamp_min(1e-12) / 127


class LevelConv(nn.Module):
    """Reflection padding and a convolution of a map in levels [1, I, H, W] with their steps [1, I]."""

    def __init__(self, weight: Tensor, stride: int = 1):
        """
        Args:
            weight: [O, I, K, K], for the map itself.
        """
        super().__init__()
        self.stride = stride
        self.weight = frozen(weight)
        self.reach = frozen(weight.abs().amax((2, 3)))  # [O, I]

    def forward(self, levels: Tensor, steps: Tensor) -> Tensor:
        outputs = weight_steps(self.reach, steps)
        weight = whole_weights(self.weight * (steps / outputs[:, None])[:, :, None, None])
        return scale_channels(F.conv2d(reflect(levels, weight.shape[-1] // 2), weight, stride=self.stride), outputs)


class ImageConv(nn.Module):
    """Reflection padding and a convolution of an image in [-1, 1], in the levels of an 8-bit one."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = frozen(weight / 127.5)
        self.steps = frozen(self.weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127)
        self.zeros = nn.Parameter(torch.zeros(len(self.steps), dtype=torch.int32), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.steps, self.zeros, 0, -127, 127)
        return F.conv2d(reflect(whole_levels((image + 1) * 127.5), weight.shape[-1] // 2), weight)


class LevelUpsampling(nn.Module):
    """`rewrites.ModulatedUpsampling` of a map in levels.

    OpenVINO rounds weights that come at run time for convolutions, not for transposed ones. So the even and the odd
    output rows come from two convolutions of 2x2, with the odd and the even columns as channels: in a map that is
    channels last these are in their places already.
    """

    def __init__(self, kernel: Tensor):
        """
        Args:
            kernel: of `upsampling_kernel`, [I, O, 4, 4].
        """
        super().__init__()
        self.even, self.odd = (frozen(rows) for rows in window_kernels(kernel))
        self.reach = frozen(kernel.abs().amax((2, 3)).T)  # [O, I]

    def forward(self, levels: Tensor, w: Tensor) -> Tensor:
        """
        Args:
            levels: [1, I, h + 2, w + 2], as they come from memory.
            w: times their steps, [1, I].
        """
        whole = whole_levels(levels.movedim(1, 3))  # as it lies in memory, like all parts of it
        return self.from_rows(whole[:, :-1].movedim(3, 1), whole[:, 1:].movedim(3, 1), w)

    def from_rows(self, upper: Tensor, lower: Tensor, w: Tensor) -> Tensor:
        """
        Args:
            upper, lower: all of the levels but their last row, all but their first, [1, I, h + 1, w + 2].
        """
        outputs = weight_steps(self.reach, w)
        shares = (w / outputs[:, None]).repeat(2, 1)[:, :, None, None]
        parts = [F.conv2d(x, whole_weights(weight * shares)) for x, weight in ((upper, self.even), (lower, self.odd))]
        rows = [x.movedim(1, 3).unflatten(3, (2, -1)).flatten(2, 3)[:, :, 1:-1] for x in parts]  # [1, h, 2w, O]
        return scale_channels(torch.stack(rows, 2).flatten(1, 2).movedim(3, 1), outputs)


def padded_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """A map padded by replication [1, C, h + 2, w + 2]: all of it but its last row, all but its first."""
    return F.pad(x, (1, 1, 1, 0), mode="replicate"), F.pad(x, (1, 1, 0, 1), mode="replicate")


class StayShort(nn.Module):
    """A map as it is. OpenVINO computes in float32 what comes after the last convolution, so here is one."""

    def __init__(self, channels: int):
        super().__init__()
        self.ones = frozen(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return scale_channels(x, self.ones)


class Int8ResidualBlock(nn.Module):
    """A ResidualBlock, from and to a map that is no levels."""

    def __init__(self, block: ResidualBlock):
        super().__init__()
        self.conv1, self.conv2 = LevelConv(block.conv1.conv.weight), LevelConv(block.conv2.conv.weight)
        self.norm1, self.norm2 = FastNorm(block.conv1.norm), FastNorm(block.conv2.norm)

    def forward(self, x: Tensor) -> Tensor:
        change = self.norm1(self.conv1(*to_levels(x)))
        return x + self.norm2(self.conv2(*to_levels(change)))


class Int8Encoding(NamedTuple):
    """A FastEncoding whose features are in levels, and whose skips are off by a constant for each channel."""

    features: Tensor  # [1, 128, H/4 + 2, W/4 + 2]
    skip2: Tensor  # [1, 64, H/2, W/2]
    skip1: Tensor  # [1, 32, H, W]
    steps: Tensor  # [1, 128], what one level of each feature is worth; goes into w


class Int8Encoder(nn.Module):
    """`rewrites.FastEncoder` with all of its convolutions on levels."""

    def __init__(self, generator: Generator):
        """
        Raises:
            ValueError: the generator is in training mode, where reading a spectrally normalised weight changes it.
        """
        require_evaluation_mode(generator)
        super().__init__()
        encoder, decoder = generator.encoder, generator.decoder
        self.conv0 = ImageConv(encoder.conv0.conv.weight)
        self.conv1 = LevelConv(encoder.conv1.conv.weight, stride=2)
        self.conv2 = LevelConv(encoder.conv2.conv.weight, stride=2)
        self.norm0, self.norm1, self.norm2 = (FastNorm(c.norm) for c in (encoder.conv0, encoder.conv1, encoder.conv2))
        self.blocks = nn.Sequential(*(Int8ResidualBlock(cast(ResidualBlock, block)) for block in encoder.blocks))
        self.skip2 = LevelUpsampling(upsampling_kernel(decoder.conv1.conv.weight[:, 128:]))
        self.skip1 = LevelUpsampling(upsampling_kernel(decoder.conv2.conv.weight[:, 64:]))
        self.last = StayShort(128)

    def forward(self, image: Tensor) -> Int8Encoding:
        """Image [1, 3, H, W] in [-1, 1] -> Int8Encoding."""
        x = self.norm0(self.conv0(image))
        levels1, steps1 = to_levels(self.norm1(self.conv1(*to_levels(x))))
        x = self.norm2(self.conv2(levels1, steps1))
        levels2, steps2 = to_levels(x)
        features, steps = to_levels(self.last(self.blocks(x)))
        return Int8Encoding(
            replicate(features),
            self.skip2.from_rows(*padded_rows(levels2), steps2),
            self.skip1.from_rows(*padded_rows(levels1), steps1),
            steps,
        )


def quantize(generator: Generator) -> tuple[Int8Encoder, FastDecoder]:
    """`rewrites.rewrite` with 8-bit integers; the decoder takes the product of w and the encoding's steps for w.

    Raises:
        ValueError: the generator is in training mode, where reading a spectrally normalised weight changes it.
    """
    return Int8Encoder(generator).eval(), FastDecoder(generator, RewriteConfig(), LevelUpsampling).eval()
