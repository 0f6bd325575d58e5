"""Strong augmentation for V, whole batches at once: the generator will learn from V's gradient."""

import math
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg

from agetransformer.cpus import usable_cpus
from train.data import to_unit
from train.parallel import WHOLE, Share

_TEXTURE = 0.1  # of the range 2: what varies by less within a few pixels is texture, by more an edge


def augment(images: Tensor, size: int, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Random JPEG, scale, rotation, shift, flip, colour, blur and noise.

    Args:
        images: [N, 3, S, S] uint8, on any device.
        size: side of the result.
        generator: the source of randomness, on the CPU.
        share: which part of the whole batch `images` is; the draws are for the whole, here and below.
    Returns:
        [N, 3, size, size] float32, about [-1, 1].
    """
    images = random_jpeg(images, 0.25, generator, share)
    x = random_affine(to_unit(images), size, generator, share)
    x = random_blur(x, 0.3, generator, share)
    x = random_colour(x, generator, share)
    sigma = 0.06 * share.of(torch.rand(len(x) * share.count, 1, 1, 1, generator=generator)) ** 2
    return (x + _moved(sigma, x) * draw_noise(x, generator, share)).clamp(-1, 1)


def draw_noise(x: Tensor, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Standard normal noise of the shape of x [N, ...]; a GPU draws it itself, from a seed that `generator` gives."""
    if x.device.type != "cpu":
        seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator(x.device).manual_seed(seed)
    return share.of(torch.randn(len(x) * share.count, *x.shape[1:], generator=generator, device=x.device))


def random_jpeg(images: Tensor, chance: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Send some of the uint8 images, each with this chance, through JPEG at quality 20..90, on the CPU."""
    chosen = torch.rand(len(images) * share.count, generator=generator) < chance
    quality = torch.zeros(len(chosen), dtype=torch.int64)  # 0: left as it is
    quality[chosen] = torch.randint(20, 91, (int(chosen.sum()),), generator=generator)
    quality = share.of(quality)
    index = quality.nonzero().flatten()
    images = images.clone()
    if len(index) > 0:
        plain = images[index.to(images.device)].cpu()
        with ThreadPoolExecutor(usable_cpus()) as pool:
            coded = list(pool.map(_through_jpeg, plain, quality[index].tolist()))
        images[index.to(images.device)] = torch.stack(coded).to(images.device)
    return images


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    return decode_jpeg(encode_jpeg(image, quality))


def random_affine(x: Tensor, size: int, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Scale by 0.85..1.18, rotate by up to 15 degrees, shift by up to 6 % of the side, flip half of them."""
    draw = share.of(torch.rand(5, len(x) * share.count, generator=generator), 1) * 2 - 1
    scale = torch.exp(0.165 * draw[0])
    angle = draw[1] * math.radians(15)
    flip = torch.where(draw[4] < 0, -1.0, 1.0)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    theta = torch.stack(
        [torch.stack([cos * flip, -sin, 0.12 * draw[2]], 1), torch.stack([sin * flip, cos, 0.12 * draw[3]], 1)], 1
    )
    grid = F.affine_grid(_moved(theta, x), [len(x), 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_place(x: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Images [N, C, S, S] shifted by up to `most` of the side, less than 1: beyond their edge they are mirrored.

    So are surroundings of a face that reach beyond the edge of its photo.
    """
    side, reach = x.shape[-1], round(most * x.shape[-1])
    wide = F.pad(x, (reach,) * 4, mode="reflect")
    places = torch.randint(2 * reach + 1, (len(x), 2), generator=generator).tolist()
    return torch.stack(
        [one[:, top : top + side, left : left + side] for one, (top, left) in zip(wide, places, strict=True)]
    )


def random_blur(x: Tensor, chance: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Lose resolution, by one factor of 1.3 to 3, in some of the images, each with this chance."""
    chosen = torch.rand(len(x) * share.count, generator=generator) < chance
    if not chosen.any():
        return x
    factor = 1.3 + 1.7 * float(torch.rand((), generator=generator))
    index = _moved(share.of(chosen).nonzero().flatten(), x)
    if len(index) == 0:
        return x
    x = x.clone()
    x[index] = down_and_up(x[index], factor)
    return x


def down_and_up(x: Tensor, factor: float) -> Tensor:
    """Images [N, 3, H, W] shrunk by `factor` and enlarged again."""
    small = F.interpolate(x, scale_factor=1 / factor, mode="bilinear", antialias=True)
    return F.interpolate(small, size=x.shape[-2:], mode="bicubic", align_corners=False)


def random_colour(x: Tensor, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Brightness, contrast, saturation (a tenth become grey) and a colour cast."""
    n = len(x) * share.count
    draw = torch.rand(4, n, 1, 1, 1, generator=generator)
    saturation = torch.where(draw[0] < 0.1, 0.0, 0.6 + 0.8 * torch.rand(n, 1, 1, 1, generator=generator))
    cast = 1 + 0.16 * (torch.rand(n, 3, 1, 1, generator=generator) - 0.5)
    draw, saturation, cast = (_moved(part, x) for part in (share.of(draw, 1), share.of(saturation), share.of(cast)))
    grey = x.mean(dim=1, keepdim=True)
    x = grey + saturation * (x - grey)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (0.65 + 0.7 * draw[1]) * (x - mean) + 0.5 * (draw[2] - 0.5)
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
    grid = F.affine_grid(_moved(theta, x), list(x.shape), align_corners=False)
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


def relight(x: Tensor, chance: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Some images [N, 3, H, W] under other light: a gamma of 0.7 to 1.9, down to half the light from one side, a third
    of them each channel by itself as under coloured lamps, and down to half the contrast.

    Args:
        x: in [-1, 1].
        chance: of each image.
        generator: the source of randomness, on the CPU.
        share: which part of the whole batch `x` is; the draws are for the whole.
    """
    draw = torch.rand(7, len(x) * share.count, 1, 1, 1, generator=generator)
    lamps = torch.rand(len(x) * share.count, 3, 1, 1, generator=generator)
    draw, lamps = _moved(share.of(draw, 1), x), _moved(share.of(lamps), x)
    chosen, gamma, angle = draw[0] < chance, torch.exp(draw[1] - 0.36), 2 * math.pi * draw[2]
    across, down = (torch.linspace(-1, 1, side, device=x.device) for side in (x.shape[3], x.shape[2]))
    position = torch.cos(angle) * across + torch.sin(angle) * down[:, None]  # -1.4..1.4 along the light
    lost = 0.5 * torch.where(draw[6] < 1 / 3, lamps, draw[3])
    shadow = lost * torch.sigmoid(position * (2 + 4 * draw[4]))
    lit = ((x + 1) / 2).clamp(min=0) ** gamma * (1 - shadow)
    mean = lit.mean(dim=(1, 2, 3), keepdim=True)
    lit = mean + (1 - 0.5 * draw[5]) * (lit - mean)
    return torch.where(chosen, 2 * lit - 1, x)


def whiten_beards(x: Tensor, beards: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Some images [N, 3, H, W] with their beards gone grey or white, in part or whole.

    They come 0.4 to all of the way to 0.8 to 1.3 times the cheeks' lightness, and lose colour in proportion.

    Args:
        x: in [-1, 1].
        beards: [N, 1, H, W] in 0..1, where they are.
        chance: of each image.
        generator: the source of randomness, on the CPU.
    """
    draw = _moved(torch.rand(5, len(x), 1, 1, 1, generator=generator), x)
    share, colour = 0.4 + 0.6 * draw[1], 0.3 * draw[2]
    light = (x + 1).mean(dim=1, keepdim=True)  # 0..2
    side, width = x.shape[-1], 2 * round(x.shape[-1] / 48) + 1
    tone = _box_blur(light, width)
    cheeks = light[..., round(0.45 * side) : round(0.62 * side), round(0.3 * side) : round(0.7 * side)]
    white = cheeks.mean(dim=(2, 3), keepdim=True) * (0.8 + 0.5 * draw[3])
    strands = (1 + draw[4]) * (light - tone)
    grey = torch.lerp(tone, white, share) + strands + (1 - share * (1 - colour)) * (x + 1 - light)
    return torch.lerp(x, grey.clamp(0, 2) - 1, beards * (draw[0] < chance))


def retouch(x: Tensor, chance: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """Some images [N, 3, H, W] lose up to all of their fine texture and keep their edges, as retouched portraits do.

    By a guided filter with the image as its own guide (He et al. 2010).

    Args:
        x: in [-1, 1].
        chance: of each image.
        generator: the source of randomness, on the CPU.
        share: which part of the whole batch `x` is; the draws are for the whole.
    """
    chosen, amount = share.of(torch.rand(2, len(x) * share.count, 1, 1, 1, generator=generator), 1)
    index = (chosen.flatten() < chance).nonzero().squeeze(1)
    if len(index) == 0:
        return x
    amount, index = _moved(amount[index], x), _moved(index, x)
    width = 2 * round(x.shape[-1] / 96) + 1
    plain = x[index]
    mean = _box_blur(plain, width)
    variance = (_box_blur(plain * plain, width) - mean * mean).clamp(min=0)
    kept = variance / (variance + _TEXTURE**2)
    smooth = _box_blur(kept, width) * plain + _box_blur((1 - kept) * mean, width)
    x = x.clone()
    x[index] = torch.lerp(plain, smooth, amount)
    return x


def _box_blur(x: Tensor, width: int) -> Tensor:
    """Means over squares of this odd width, of what of them lies inside; by columns and then rows, which is quicker."""
    for size in ((width, 1), (1, width)):
        x = F.avg_pool2d(x, size, stride=1, padding=(size[0] // 2, size[1] // 2), count_include_pad=False)
    return x


def _moved(drawn: Tensor, x: Tensor) -> Tensor:
    """What was drawn on the CPU, on the device of x, whose queue it does not wait for."""
    return drawn.to(x.device, non_blocking=True)
