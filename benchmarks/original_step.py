"""A training step of the original recipe, for comparison: Yao et al. 2020, section 3, and its authors' description.

float32; the reconstruction and the edit are each a whole pass of encoder and decoder; the age classifier is a VGG-16
(DEX) that reads the image at 224 px; the discriminator's step makes the edit a third time, with gradients enabled, so
that its backward pass runs through the generator too. Weights do not change the cost, so they are random.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg16

from agetransformer.classifier import NUM_AGES
from agetransformer.networks import Generator, GeneratorConfig, PatchDiscriminator
from train.batches import Batch

LAMBDA_RECON, LAMBDA_CLASS, LEARNING_RATE = 10.0, 0.1, 1e-4  # section 4.2
VGG_SIDE = 224
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Original:
    """The networks and optimizers of the original recipe."""

    generator: Generator
    discriminator: PatchDiscriminator
    classifier: nn.Module  # VGG-16 with 101 outputs, frozen
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer


def build_original(resolution: int, device: torch.device) -> Original:
    """The networks with random weights, in PyTorch's default layout."""
    generator = Generator(GeneratorConfig(resolution=resolution)).to(device).train()
    discriminator = PatchDiscriminator().to(device).train()
    classifier = vgg16(num_classes=NUM_AGES).to(device).eval().requires_grad_(False)
    return Original(
        generator,
        discriminator,
        classifier,
        torch.optim.Adam(generator.parameters(), lr=LEARNING_RATE),
        torch.optim.Adam(discriminator.parameters(), lr=LEARNING_RATE),
    )


def original_step(nets: Original, batch: Batch) -> dict[str, float]:
    """One step of G and one of D; the losses by name."""
    ages, targets = batch.ages.long(), batch.targets.long()
    nets.discriminator.requires_grad_(False)
    reconstruction = nets.generator(batch.images, ages)
    edited = nets.generator(batch.images, targets)
    losses = {
        "recon": LAMBDA_RECON * (reconstruction - batch.images).abs().mean(),
        "age": LAMBDA_CLASS * F.cross_entropy(read_ages(nets.classifier, edited), targets),
        "gan": (nets.discriminator(edited) - 1).square().mean(),
    }
    nets.generator_optimizer.zero_grad()
    sum(losses.values()).backward()
    nets.generator_optimizer.step()

    nets.discriminator.requires_grad_(True)
    edited = nets.generator(batch.images, targets)
    losses["d_gan"] = nets.discriminator(edited).square().mean() + (nets.discriminator(batch.real) - 1).square().mean()
    nets.discriminator_optimizer.zero_grad()
    losses["d_gan"].backward()
    nets.discriminator_optimizer.step()
    return {name: value.item() for name, value in losses.items()}


def read_ages(classifier: nn.Module, images: Tensor) -> Tensor:
    """VGG-16's logits [N, 101] for images [N, 3, H, W] in [-1, 1]."""
    images = F.interpolate(images, (VGG_SIDE, VGG_SIDE), mode="bilinear", align_corners=False)
    mean, deviation = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return classifier(((images + 1) / 2 - mean) / deviation)
