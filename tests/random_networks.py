"""Generators whose every weight counts, which untrained ones are not."""

import torch
from torch import nn

from agetransformer.networks import Generator, GeneratorConfig


def random_generator(
    resolution: int, residual: bool = False, shading: bool = False, gains: tuple[float, float] = (0.3, 1.7)
) -> Generator:
    """Every weight random, the norms' within `gains`, and the ages' channel weights far apart."""
    torch.manual_seed(resolution)
    generator = Generator(GeneratorConfig(resolution, residual, age_sigma=4.0, shading=shading))
    for module in generator.modules():
        if isinstance(module, nn.InstanceNorm2d):
            nn.init.uniform_(module.weight, *gains)
            nn.init.normal_(module.bias)
    nn.init.normal_(generator.modulation.linear.weight, std=8.0)
    return generator.eval()
