"""Strong augmentation for V, whole batches at once: the generator will learn from V's gradient."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg

from train.data import to_unit
from train.parallel import WHOLE, Share


def augment(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random JPEG, scale, rotation, shift, flip, colour, blur and noise.

    Args:
        images: [N, 3, S, S] uint8.
        size: side of the result.
        generator: the source of randomness, on the CPU.
    Returns:
        [N, 3, size, size] float32, about [-1, 1].
    """
    images = random_jpeg(images, 0.25, generator)
    x = random_affine(to_unit(images), size, generator)
    x = random_blur(x, 0.3, generator)
    x = random_colour(x, generator)
    sigma = 0.06 * torch.rand(len(x), 1, 1, 1, generator=generator) ** 2
    return (x + sigma * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


def random_jpeg(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Send a share of uint8 images through JPEG at quality 20..90."""
    images = images.clone()
    for index in (torch.rand(len(images), generator=generator) < share).nonzero().flatten().tolist():
        quality = int(torch.randint(20, 91, (), generator=generator))
        images[index] = decode_jpeg(encode_jpeg(images[index], quality))
    return images


def random_affine(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Scale by 0.85..1.18, rotate by up to 15 degrees, shift by up to 6 % of the side, flip half of them."""
    n = len(x)
    draw = torch.rand(5, n, generator=generator) * 2 - 1
    scale = torch.exp(0.165 * draw[0])
    angle = draw[1] * math.radians(15)
    flip = torch.where(draw[4] < 0, -1.0, 1.0)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    theta = torch.stack(
        [torch.stack([cos * flip, -sin, 0.12 * draw[2]], 1), torch.stack([sin * flip, cos, 0.12 * draw[3]], 1)], 1
    )
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_blur(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Lose resolution, by a factor of 1.3 to 3, in a share of the images."""
    chosen = (torch.rand(len(x), generator=generator) < share).nonzero().flatten()
    if len(chosen) == 0:
        return x
    factor = 1.3 + 1.7 * float(torch.rand((), generator=generator))
    x = x.clone()
    x[chosen] = down_and_up(x[chosen], factor)
    return x


def down_and_up(x: Tensor, factor: float) -> Tensor:
    """Images [N, 3, H, W] shrunk by `factor` and enlarged again."""
    small = F.interpolate(x, scale_factor=1 / factor, mode="bilinear", antialias=True)
    return F.interpolate(small, size=x.shape[-2:], mode="bicubic", align_corners=False)


def random_colour(x: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation (a tenth become grey) and a colour cast."""
    n = len(x)
    draw = torch.rand(4, n, 1, 1, 1, generator=generator)
    grey = x.mean(dim=1, keepdim=True)
    saturation = torch.where(draw[0] < 0.1, 0.0, 0.6 + 0.8 * torch.rand(n, 1, 1, 1, generator=generator))
    x = grey + saturation * (x - grey)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (0.65 + 0.7 * draw[1]) * (x - mean) + 0.5 * (draw[2] - 0.5)
    cast = 1 + 0.16 * (torch.rand(n, 3, 1, 1, generator=generator) - 0.5)
    return (x + 1) * cast - 1


def jitter_view(x: Tensor, strength: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Shift, scale, turn and mirror V's view a little, differentiably: what fools V at one pixel grid only is no age.

    Args:
        x: chips [N, 3, S, S].
        strength: 1 is up to 4 % shift, 8 % scale and 6 degrees.
        generator: the source of randomness, on the CPU.
        share: which part of the whole batch `x` is; the draws are for the whole.
    """
    draw = share.of(torch.rand(5, len(x) * share.count, generator=generator), 1) * 2 - 1
    scale = torch.exp(0.08 * strength * draw[0])
    angle = math.radians(6) * strength * draw[1]
    flip = torch.where(draw[4] < 0, -1.0, 1.0)
    shift = 0.08 * strength * draw[2:4]
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    theta = torch.stack([torch.stack([cos * flip, -sin, shift[0]], 1), torch.stack([sin * flip, cos, shift[1]], 1)], 1)
    grid = F.affine_grid(theta.to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def lose_resolution(x: Tensor, chance: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Some images [N, 3, H, W] go down by a factor of 1.3 to 3 and back: small faces of large photos look like that.

    Args:
        x: in [-1, 1].
        chance: of each image.
        generator: the source of randomness, on the CPU.
        share: which part of the whole batch `x` is; the draws are for the whole.
    """
    chosen, factor = share.of(torch.rand(2, len(x) * share.count, generator=generator), 1)
    x = x.clone()
    for index in (chosen < chance).nonzero().flatten().tolist():
        x[index] = down_and_up(x[index, None], 1.3 + 1.7 * float(factor[index]))[0].clamp(-1, 1)
    return x
