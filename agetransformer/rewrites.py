"""The generator rewritten for inference: fewer operations, the same output up to float rounding.

1. The encoder runs once for all ages.
2. A convolution over a concatenation is a sum of two: the half that sees a skip does not depend on the age, so the
   encoder computes it.
3. Nearest x2, reflection padding and a 3x3 convolution are replicate padding on the small map and one transposed 4x4
   convolution of stride 2: 16 taps instead of 36.
4. Spectral norm is folded into the weights; a bias before an instance norm has no effect and is dropped.
5. The last 9x9 convolution to 3 channels leaves most lanes of a vector unit empty. It is a 1x9 convolution to 27
   channels, one for each output channel and row of the kernel, and a sum of nine rows of those.
6. The 3x3 convolutions of the residual blocks share products between each two output rows: Winograd's minimal
   filtering F(2, 3) along the columns (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
   section 4.1), 12 instead of 18 products. Between them the maps keep their even rows above their odd ones, so that no
   row is moved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.networks import ConvBlock, Generator


@dataclass(frozen=True)
class RewriteConfig:
    """The rewrites that suit CPUs, where they save operations, and not GPUs, where they cost launches and memory."""

    row_pairs: bool = True  # the sixth
    row_sums: bool = True  # the fifth; otherwise a convolution that makes blocks of pixels
    block: int = 2  # their side: for 2, a 10x10 convolution of stride 2 to 12 channels and a pixel shuffle


class FastEncoding(NamedTuple):
    """All of an image that does not depend on the target age."""

    features: Tensor  # [1, 128, H/4 + 2, W/4 + 2], padded by replication
    skip2: Tensor  # [1, 64, H/2, W/2], what skip 2 adds to the first decoder convolution
    skip1: Tensor  # [1, 32, H, W], what skip 1 adds to the second


def upsampling_kernel(weight: Tensor) -> Tensor:
    """Weights of a 3x3 convolution after nearest x2 [O, I, 3, 3] -> of the transposed convolution [I, O, 4, 4].

    A small pixel i fills 2i and 2i+1 of the large map, so it reaches output 2i+d, d = -1..2, with the taps 1-d and 2-d.
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    return reduce(torch.add, (F.pad(flipped, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1)))


def blocked_kernel(weight: Tensor, block: int = 2) -> Tensor:
    """Weights of a KxK convolution [O, I, K, K] -> of one of stride B for BxB output pixels [BB O, I, K+B-1, K+B-1]."""
    far = block - 1
    copies = [F.pad(weight, (dx, far - dx, dy, far - dy)) for dy in range(block) for dx in range(block)]
    return torch.stack(copies, dim=1).flatten(0, 1)


def rows_kernel(weight: Tensor) -> Tensor:
    """Weights of a KxK convolution [O, I, K, K] -> of a 1xK one to a channel for each output and row [O K, I, 1, K]."""
    return weight.transpose(1, 2).flatten(0, 1)[:, :, None]


def row_sums_kernel(outputs: int, size: int, stride: int = 4) -> Tensor:
    """Weights of the convolution that sums those rows [stride O, O K, K + stride - 1, 1], ones and zeros.

    Its stride is (stride, 1); each result holds `stride` output rows, as channels [stride, O].
    """
    kernel = torch.zeros(stride, outputs, outputs, size, size + stride - 1)
    for shift in range(stride):
        for row in range(size):
            kernel[shift, range(outputs), range(outputs), row, row + shift] = 1
    return kernel.flatten(2, 3).flatten(0, 1)[..., None]


def row_pair_kernels(weight: Tensor) -> list[Tensor]:
    """Weights of a 3x3 convolution [O, I, 3, 3] -> of the four 1x3 ones of `convolve_row_pairs`."""
    top, middle, bottom = weight.split(1, dim=2)
    return [top, (top + middle + bottom) / 2, (top - middle + bottom) / 2, bottom]


def part_rows(x: Tensor) -> Tensor:
    """[N, C, H, W] -> the same with its even rows above its odd ones; H is even."""
    return torch.cat([x[:, :, 0::2], x[:, :, 1::2]], dim=2)


def join_rows(x: Tensor) -> Tensor:
    """The inverse of `part_rows`."""
    return torch.stack(x.chunk(2, dim=2), dim=3).flatten(2, 3)


def convolve_row_pairs(x: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """Reflection padding and a 3x3 convolution of a map of parted rows, to such a map.

    Args:
        x: [N, I, H, W], from `part_rows`.
        kernels: of `row_pair_kernels`.
    """
    even, odd = F.pad(x, (1, 1, 0, 0), mode="reflect").chunk(2, dim=2)
    above = torch.cat([odd[:, :, :1], odd[:, :, :-1]], dim=2)  # of each even row
    below = torch.cat([even[:, :, 1:], even[:, :, -1:]], dim=2)  # of each odd row
    maps = (above - odd, even + odd, odd - even, even - below)
    one, two, three, four = (F.conv2d(part, kernel) for part, kernel in zip(maps, kernels, strict=True))
    return torch.cat([one + two + three, two - three - four], dim=2)


def modulate(features: Tensor, w: Tensor) -> Tensor:
    """[1, C, h, w] times [A, C]; written for channels last, which is how the decoder of OpenVINO gets its features."""
    return (features.movedim(1, 3) * w[:, None, None]).movedim(3, 1)


def reflect(x: Tensor, width: int) -> Tensor:
    return F.pad(x, (width, width, width, width), mode="reflect")


def replicate(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="replicate")


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """[N, I, h, w] and a kernel of `upsampling_kernel` [I, O, 4, 4] -> [N, O, 2h, 2w]."""
    return upsample_padded(replicate(x), kernel)


def upsample_padded(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same from a map that is padded already [N, I, h + 2, w + 2]."""
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=3)


def frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(), requires_grad=False)


class FastNorm(nn.Module):
    """Instance norm and LeakyReLU(0.2)."""

    def __init__(self, norm: nn.InstanceNorm2d):
        super().__init__()
        self.weight = frozen(norm.weight)
        self.bias = frozen(norm.bias)
        self.eps = norm.eps

    def activate(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps))


class FastBlock(nn.Module):
    """A ConvBlock with its spectral norm folded and without its bias."""

    def __init__(self, block: ConvBlock):
        super().__init__()
        self.weight = frozen(block.conv.weight)
        self.stride = block.conv.stride
        self.norm = FastNorm(block.norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(reflect(x, self.weight.shape[-1] // 2), self.weight, stride=self.stride))


class RowPairBlock(nn.Module):
    """A FastBlock with a 3x3 kernel and stride 1, on maps of parted rows."""

    def __init__(self, block: ConvBlock):
        super().__init__()
        self.kernels = nn.ParameterList(map(frozen, row_pair_kernels(block.conv.weight)))
        self.norm = FastNorm(block.norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(convolve_row_pairs(x, list(self.kernels)))


class RowSums(nn.Module):
    """The last convolution, 9x9 to 3 channels, as rows and their sums; its input is padded, its height 4 n + 8."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.rows = frozen(rows_kernel(conv.weight))
        self.sums = frozen(row_sums_kernel(*conv.weight.shape[::3]))
        self.bias = frozen(torch.zeros(3) if conv.bias is None else conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        blocks = F.conv2d(F.conv2d(x, self.rows), self.sums, self.bias.repeat(4), stride=(4, 1))  # [A, 4 x 3, H/4, W]
        return blocks.unflatten(1, (4, 3)).permute(0, 2, 3, 1, 4).flatten(2, 3)


class PixelBlocks(nn.Module):
    """The last convolution as one for blocks of pixels; its input is padded, its sides are multiples of a block's."""

    def __init__(self, conv: nn.Conv2d, block: int):
        super().__init__()
        self.block = block
        self.weight = frozen(blocked_kernel(conv.weight, block))
        self.bias = frozen((torch.zeros(3) if conv.bias is None else conv.bias).repeat_interleave(block**2))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, stride=self.block), self.block)


class FastEncoder(nn.Module):
    """Image [1, 3, H, W] -> FastEncoding."""

    def __init__(self, generator: Generator, config: RewriteConfig):
        super().__init__()
        encoder, decoder = generator.encoder, generator.decoder
        self.conv0 = FastBlock(encoder.conv0)
        self.conv1 = FastBlock(encoder.conv1)
        self.conv2 = FastBlock(encoder.conv2)
        # Where the residual blocks have an odd number of rows they have no pairs.
        self.in_pairs = config.row_pairs and generator.config.resolution % 8 == 0
        kind = RowPairBlock if self.in_pairs else FastBlock
        self.blocks = nn.ModuleList(
            nn.Sequential(kind(cast(ConvBlock, block.conv1)), kind(cast(ConvBlock, block.conv2)))
            for block in encoder.blocks
        )
        self.skip2 = frozen(upsampling_kernel(decoder.conv1.conv.weight[:, 128:]))
        self.skip1 = frozen(upsampling_kernel(decoder.conv2.conv.weight[:, 64:]))

    def forward(self, image: Tensor) -> FastEncoding:
        skip1 = self.conv1(self.conv0(image))
        skip2 = self.conv2(skip1)
        x = part_rows(skip2) if self.in_pairs else skip2
        for block in self.blocks:
            x = x + block(x)
        features = replicate(join_rows(x) if self.in_pairs else x)
        return FastEncoding(features, upsample(skip2, self.skip2), upsample(skip1, self.skip1))


class ModulatedUpsampling(nn.Module):
    """Features padded by replication [1, I, h + 2, w + 2] and weights of their channels [A, I] -> [A, O, 2h, 2w]."""

    def __init__(self, kernel: Tensor):
        """
        Args:
            kernel: of `upsampling_kernel`, [I, O, 4, 4].
        """
        super().__init__()
        self.kernel = frozen(kernel)

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        return upsample_padded(modulate(features, w), self.kernel)


class FastDecoder(nn.Module):
    """A FastEncoding and channel weights w [A, 128] -> the decoder's output [A, 3, H, W]."""

    def __init__(
        self,
        generator: Generator,
        config: RewriteConfig,
        first: Callable[[Tensor], nn.Module] = ModulatedUpsampling,
    ):
        """
        Args:
            first: makes the first convolution, what `ModulatedUpsampling` is, of its kernel.
        """
        super().__init__()
        decoder = generator.decoder
        self.conv1 = first(upsampling_kernel(decoder.conv1.conv.weight[:, :128]))
        self.conv2 = frozen(upsampling_kernel(decoder.conv2.conv.weight[:, :64]))
        self.conv3 = RowSums(decoder.conv3) if config.row_sums else PixelBlocks(decoder.conv3, config.block)
        self.norm1 = FastNorm(decoder.conv1.norm)
        self.norm2 = FastNorm(decoder.conv2.norm)

    def forward(self, features: Tensor, skip2: Tensor, skip1: Tensor, w: Tensor) -> Tensor:
        x = self.norm1(self.conv1(features, w) + skip2)
        x = self.norm2(upsample(x, self.conv2) + skip1)
        return self.conv3(reflect(x, 4))


def require_evaluation_mode(generator: Generator) -> None:
    """
    Raises:
        ValueError: the generator is in training mode, where reading a spectrally normalised weight changes it.
    """
    if generator.training:
        raise ValueError("the generator is in training mode; call generator.eval() first")


def rewrite(generator: Generator, config: RewriteConfig = RewriteConfig()) -> tuple[FastEncoder, FastDecoder]:
    """The two halves of a generator for inference, without its modulation and residual; they share nothing with it.

    Raises:
        ValueError: the generator is in training mode, where reading a spectrally normalised weight changes it.
    """
    require_evaluation_mode(generator)
    return FastEncoder(generator, config).eval(), FastDecoder(generator, config).eval()
