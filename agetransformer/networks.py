"""The networks of "High Resolution Face Age Editing" (Yao et al. 2020): generator and discriminator.

Images are [N, 3, H, W] in [-1, 1], H and W multiples of 4. Ages are years, [N], within 0..100, fractions allowed.
"""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from agetransformer.classifier import NUM_AGES
from agetransformer.shading import add_change


@dataclass(frozen=True)
class GeneratorConfig:
    """What it takes to rebuild a generator from its weights."""

    resolution: int = 512  # side of the square that the generator was trained on, in pixels
    residual: bool = False  # the output is added to the input instead of replacing it
    age_sigma: float = 0.0  # width of the Gaussian age code in years; 0 is the paper's one-hot
    shading: bool = False  # where a residual darkens, it does so as a shadow does: see agetransformer/shading.py

    def __post_init__(self) -> None:
        if not 16 <= self.resolution <= 4096 or self.resolution % 4 != 0:
            raise ValueError(f"resolution: a multiple of 4 within 16..4096, not {self.resolution}")
        if not 0 <= self.age_sigma < 100:
            raise ValueError(f"age_sigma: years, 0 or more and below 100, not {self.age_sigma}")
        if self.shading and not self.residual:
            raise ValueError("shading: only of a residual; set residual: true too")


def finish(images: Tensor, output: Tensor, config: GeneratorConfig) -> Tensor:
    """The decoder's output [N, 3, H, W] for images [1 or N, 3, H, W] -> edited images; a residual is added to them."""
    return add_change(images, output, config.shading) if config.residual else output


class Encoding(NamedTuple):
    """What the encoder knows of an image; it does not depend on the target age."""

    image: Tensor  # [N, 3, H, W], the input itself
    skip1: Tensor  # [N, 64, H/2, W/2]
    skip2: Tensor  # [N, 128, H/4, W/4]
    features: Tensor  # [N, 128, H/4, W/4]


class ConvBlock(nn.Module):
    """Reflection padding, convolution with spectral norm, instance norm, LeakyReLU(0.2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect")
        self.conv = cast(nn.Conv2d, spectral_norm(conv))
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ConvBlock(channels, channels, 3)
        self.conv2 = ConvBlock(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class Encoder(nn.Module):
    """Image -> features at a quarter of its side, with the two skips on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = ConvBlock(3, 32, 9)
        self.conv1 = ConvBlock(32, 64, 3, stride=2)
        self.conv2 = ConvBlock(64, 128, 3, stride=2)
        self.blocks = nn.Sequential(*[ResidualBlock(128) for _ in range(4)])

    def forward(self, x: Tensor) -> Encoding:
        skip1 = self.conv1(self.conv0(x))
        skip2 = self.conv2(skip1)
        return Encoding(x, skip1, skip2, self.blocks(skip2))


class AgeModulation(nn.Module):
    """Age -> code -> one linear layer -> sigmoid: the channel weights w in [0, 1]^128."""

    def __init__(self, channels: int = 128, age_sigma: float = 0.0):
        super().__init__()
        self.age_sigma = age_sigma
        self.linear = nn.Linear(NUM_AGES, channels)

    def code(self, ages: Tensor) -> Tensor:
        """Whole ages [N] int64 -> [N, 101] of Euclidean norm 1: one-hot or a Gaussian."""
        if self.age_sigma == 0:
            return F.one_hot(ages, NUM_AGES).float()
        classes = torch.arange(NUM_AGES, device=ages.device)
        return F.normalize(torch.exp(-0.5 * ((classes - ages[:, None]) / self.age_sigma) ** 2), dim=1)

    def forward(self, ages: Tensor) -> Tensor:
        """Ages [N] in 0..100 -> w [N, 128]; between two whole years w is interpolated."""
        below = ages.floor().long()
        above = ages.ceil().long()
        weights = torch.sigmoid(self.linear(self.code(torch.cat([below, above]))))
        w_below, w_above = weights.chunk(2)
        return torch.lerp(w_below, w_above, (ages - below).to(weights.dtype)[:, None])


class Decoder(nn.Module):
    """Modulated features + skips -> RGB."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(256, 64, 3)
        self.conv2 = ConvBlock(128, 32, 3)
        self.conv3 = nn.Conv2d(32, 3, 9, padding=4, padding_mode="reflect")

    def forward(self, features: Tensor, skip1: Tensor, skip2: Tensor) -> Tensor:
        x = F.interpolate(torch.cat([features, skip2], dim=1), scale_factor=2, mode="nearest")
        x = self.conv1(x)
        x = F.interpolate(torch.cat([x, skip1], dim=1), scale_factor=2, mode="nearest")
        return self.conv3(self.conv2(x))


class Generator(nn.Module):
    """G(x0, a1): the person of image x0 at age a1."""

    def __init__(self, config: GeneratorConfig | None = None):
        super().__init__()
        self.config = config or GeneratorConfig()
        self.encoder = Encoder()
        self.modulation = AgeModulation(128, self.config.age_sigma)
        self.decoder = Decoder()
        if self.config.residual:  # start near the identity
            with torch.no_grad():
                self.decoder.conv3.weight.mul_(0.1)
                cast(Tensor, self.decoder.conv3.bias).zero_()

    def encode(self, images: Tensor) -> Encoding:
        """Images [N, 3, H, W] in [-1, 1] -> their encoding, to be decoded at any number of ages."""
        return self.encoder(images)

    def decode(self, encoding: Encoding, ages: Tensor) -> Tensor:
        """One age [N] for each encoded image -> edited images [N, 3, H, W], about [-1, 1], not clamped."""
        w = self.modulation(ages)[:, :, None, None]
        output = self.decoder(encoding.features * w, encoding.skip1, encoding.skip2)
        return finish(encoding.image, output, self.config)

    def forward(self, images: Tensor, ages: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] and target ages [N] -> edited images, same shape, not clamped."""
        return self.decode(self.encode(images), ages)


class PatchDiscriminator(nn.Module):
    """The unconditional PatchGAN D: real or not, for each 142 x 142 patch."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 32, 64, 128, 256, 512, 1)
        strides = (2, 2, 2, 2, 1, 1)
        layers: list[nn.Module] = []
        for index, stride in enumerate(strides):
            layers.append(spectral_norm(nn.Conv2d(channels[index], channels[index + 1], 4, stride, padding=1)))
            if 0 < index < len(strides) - 1:
                layers.append(nn.BatchNorm2d(channels[index + 1]))
            if index < len(strides) - 1:
                layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] -> scores [N, 1, h, w]; LSGAN: 1 is real, 0 is made."""
        return self.layers(images)
