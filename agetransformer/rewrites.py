"""The generator rewritten for inference: fewer operations, the same output up to float rounding.

1. The encoder runs once for all ages.
2. A convolution over a concatenation is a sum of two: the half that sees a skip does not depend on the age, so the
   encoder computes it.
3. Nearest x2, reflection padding and a 3x3 convolution are replicate padding on the small map and one transposed 4x4
   convolution of stride 2: 16 taps instead of 36.
4. Spectral norm is folded into the weights; a bias before an instance norm has no effect and is dropped.
5. The last 9x9 convolution to 3 channels is a 10x10 convolution of stride 2 to 12 channels and a pixel shuffle, which
   fills the lanes of a vector unit.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.networks import ConvBlock, Generator


class FastEncoding(NamedTuple):
    """All of an image that does not depend on the target age."""

    features: Tensor  # [1, 128, H/4, W/4]
    skip2: Tensor  # [1, 64, H/2, W/2], what skip 2 adds to the first decoder convolution
    skip1: Tensor  # [1, 32, H, W], what skip 1 adds to the second


def upsampling_kernel(weight: Tensor) -> Tensor:
    """Weights of a 3x3 convolution after nearest x2 [O, I, 3, 3] -> of the transposed convolution [I, O, 4, 4].

    A small pixel i fills 2i and 2i+1 of the large map, so it reaches output 2i+d, d = -1..2, with the taps 1-d and 2-d.
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    return sum(F.pad(flipped, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1))


def blocked_kernel(weight: Tensor) -> Tensor:
    """Weights of a KxK convolution [O, I, K, K] -> of one of stride 2 for 2x2 output pixels [4 O, I, K+1, K+1]."""
    copies = [F.pad(weight, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1)]
    return torch.stack(copies, dim=1).flatten(0, 1)


def reflect(x: Tensor, width: int) -> Tensor:
    return F.pad(x, (width, width, width, width), mode="reflect")


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """[N, I, h, w] and a kernel of `upsampling_kernel` [I, O, 4, 4] -> [N, O, 2h, 2w]."""
    return F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, padding=3)


def frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(), requires_grad=False)


class FastNorm(nn.Module):
    """Instance norm and LeakyReLU(0.2)."""

    def __init__(self, norm: nn.InstanceNorm2d):
        super().__init__()
        self.weight = frozen(norm.weight)
        self.bias = frozen(norm.bias)
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps), 0.2)


class FastBlock(nn.Module):
    """A ConvBlock with its spectral norm folded and without its bias."""

    def __init__(self, block: ConvBlock):
        super().__init__()
        self.weight = frozen(block.conv.weight)
        self.stride = block.conv.stride
        self.norm = FastNorm(block.norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(reflect(x, self.weight.shape[-1] // 2), self.weight, stride=self.stride))


class FastEncoder(nn.Module):
    """Image [1, 3, H, W] -> FastEncoding."""

    def __init__(self, generator: Generator):
        super().__init__()
        encoder, decoder = generator.encoder, generator.decoder
        self.conv0 = FastBlock(encoder.conv0)
        self.conv1 = FastBlock(encoder.conv1)
        self.conv2 = FastBlock(encoder.conv2)
        self.blocks = nn.ModuleList(
            nn.Sequential(FastBlock(block.conv1), FastBlock(block.conv2)) for block in encoder.blocks
        )
        self.skip2 = frozen(upsampling_kernel(decoder.conv1.conv.weight[:, 128:]))
        self.skip1 = frozen(upsampling_kernel(decoder.conv2.conv.weight[:, 64:]))

    def forward(self, image: Tensor) -> FastEncoding:
        skip1 = self.conv1(self.conv0(image))
        skip2 = self.conv2(skip1)
        x = skip2
        for block in self.blocks:
            x = x + block(x)
        return FastEncoding(x, upsample(skip2, self.skip2), upsample(skip1, self.skip1))


class FastDecoder(nn.Module):
    """A FastEncoding and channel weights w [A, 128] -> the decoder's output [A, 3, H, W]."""

    def __init__(self, generator: Generator):
        super().__init__()
        decoder = generator.decoder
        self.conv1 = frozen(upsampling_kernel(decoder.conv1.conv.weight[:, :128]))
        self.conv2 = frozen(upsampling_kernel(decoder.conv2.conv.weight[:, :64]))
        self.conv3 = frozen(blocked_kernel(decoder.conv3.weight))
        self.bias3 = frozen(decoder.conv3.bias.repeat_interleave(4))
        self.norm1 = FastNorm(decoder.conv1.norm)
        self.norm2 = FastNorm(decoder.conv2.norm)

    def forward(self, features: Tensor, skip2: Tensor, skip1: Tensor, w: Tensor) -> Tensor:
        x = self.norm1(upsample(features * w[:, :, None, None], self.conv1) + skip2)
        x = self.norm2(upsample(x, self.conv2) + skip1)
        return F.pixel_shuffle(F.conv2d(reflect(x, 4), self.conv3, self.bias3, stride=2), 2)


def rewrite(generator: Generator) -> tuple[FastEncoder, FastDecoder]:
    """The two halves of a generator for inference, without its modulation and residual; they share nothing with it.

    Raises:
        ValueError: the generator is in training mode, where reading a spectrally normalised weight changes it.
    """
    if generator.training:
        raise ValueError("the generator is in training mode; call generator.eval() first")
    return FastEncoder(generator).eval(), FastDecoder(generator).eval()
