"""A discriminator on the features of a network that has seen the world (Projected GAN, Sauer et al. 2021).

From scratch, D learns nothing in the few thousand images that a CPU has time for, and a generator that only V corrects
draws scars where wrinkles should be. On frozen ImageNet features (EfficientNet-Lite0, the same network that the paper
above found best) it tells them from skin within a few hundred images. Each score is conditional on the age by
projection (Miyato & Koyama 2018), so "real" means "looks like a real face of this age"; and on gender and glasses, or
beards and rims that come with the years would look real to it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from agetransformer.classifier import NUM_AGES, AgeClassifier
from agetransformer.efficientnet import fold_norms
from train.classifier import imagenet_weights
from train.losses import soft_labels

TAPS = ((3, 24), (5, 40), (11, 112), (16, 320))  # number of MBConv blocks before each tap, its channels; strides 4..32
TRAITS = 2  # gender, glasses


@dataclass(frozen=True)
class FeatureDiscriminatorConfig:
    mixed: int = 64  # channels of each tap after the random mixing
    code_sigma: float = 5.0  # years: how far faces of other ages count as examples of an age


class FrozenFeatures(nn.Module):
    """EfficientNet-Lite0 up to its last block, never trained, and a fixed random mixing of its channels and scales."""

    def __init__(self, mixed: int = FeatureDiscriminatorConfig.mixed):
        super().__init__()
        network = AgeClassifier()
        imagenet_weights(network)
        fold_norms(network)  # with ImageNet's statistics, for good
        self.stem, self.blocks = network.stem, network.blocks
        random = torch.Generator().manual_seed(0)
        channels = [count for _, count in TAPS]
        self.across_channels = nn.ModuleList(nn.Conv2d(count, mixed, 1, bias=False) for count in channels)
        self.across_scales = nn.ModuleList(nn.Conv2d(mixed, mixed, 3, padding=1, bias=False) for _ in channels[1:])
        for conv in (*self.across_channels, *self.across_scales):
            fan_in = conv.weight[0].numel()
            conv.weight.data.normal_(std=fan_in**-0.5, generator=random)
        _leave_out_of_state(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [N, 3, H, W] in [-1, 1] -> maps [N, 64, H/4, W/4] .. [N, 64, H/32, W/32], each of variance 1."""
        x = F.relu6(self.stem(images))
        taps, done = [], 0
        for blocks, _ in TAPS:
            x = self.blocks[done:blocks](x)
            taps.append(x)
            done = blocks
        mixed = [conv(tap) for conv, tap in zip(self.across_channels, taps, strict=True)]
        for index in range(len(mixed) - 2, -1, -1):  # from coarse to fine
            coarse = self.across_scales[index](mixed[index + 1])
            coarse = F.interpolate(coarse, mixed[index].shape[-2:], mode="bilinear", align_corners=False)
            mixed[index] = mixed[index] + coarse
        return [F.layer_norm(x, x.shape[1:]) for x in mixed]  # of each image: what is large is seen, not how large


class Head(nn.Module):
    """From one tap's map to a score for each 32 x 32 patch of the image."""

    def __init__(self, mixed: int, halvings: int):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [spectral_norm(nn.Conv2d(mixed, mixed, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Conv2d(mixed, mixed, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.phi = nn.Sequential(*layers)
        self.psi = spectral_norm(nn.Conv2d(mixed, 1, 1))
        self.condition = spectral_norm(nn.Linear(NUM_AGES + TRAITS, mixed, bias=False))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Map [N, mixed, h, w] and code [N, 103] -> scores [N, 1, H/32, W/32]: psi(phi) + <v, phi>."""
        phi = self.phi(features)
        v = self.condition(code)[:, :, None, None]
        return self.psi(phi) + (v * phi).sum(dim=1, keepdim=True)


class FeatureDiscriminator(nn.Module):
    """Images [N, 3, H, W] in [-1, 1], H and W multiples of 32, ages and traits [N] -> scores [N, 4, H/32, W/32].

    Its state is that of its heads: the frozen features are made anew, the same each time.
    """

    def __init__(self, config: FeatureDiscriminatorConfig | None = None):
        super().__init__()
        self.config = config or FeatureDiscriminatorConfig()
        self.features = FrozenFeatures(self.config.mixed)
        self.heads = nn.ModuleList(Head(self.config.mixed, len(TAPS) - 1 - index) for index in range(len(TAPS)))

    def forward(self, images: Tensor, ages: Tensor, traits: Tensor) -> Tensor:
        """See above; LSGAN: 1 is a real face of that age, that gender, and with or without glasses, 0 is not."""
        code = torch.cat([F.normalize(soft_labels(ages, self.config.code_sigma), dim=1), trait_code(traits)], dim=1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
            maps = self.features(images)
        return torch.cat([head(x, code) for head, x in zip(self.heads, maps, strict=True)], dim=1)


def trait_code(traits: Tensor) -> Tensor:
    """`Faces.traits` [N] -> [N, 2]: -0.5 or 0.5 for gender and for glasses."""
    return torch.stack([traits % 2, traits // 2], dim=1).float() - 0.5


def _leave_out_of_state(module: nn.Module) -> None:
    """Nothing of it is a parameter any more, which an optimizer and requires_grad_ could reach, nor in a state_dict."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach(), persistent=False)
        for name, buffer in list(part.named_buffers(recurse=False)):
            part.register_buffer(name, buffer, persistent=False)
