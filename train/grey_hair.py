"""What hair looks like when it has turned grey: the example that the generator learns from.

No age classifier sees much of the hair, and a discriminator that sees it tells young from old by nothing else. So hair
is no part of what they judge. It has a rule: grey strands are light and colourless, in the light that is there, and
what tells strand from strand stays.
"""

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from agetransformer.shading import luma

_MOST, _HALF_AGE, _YEARS = 0.75, 55.0, 6.0  # the share of grey: a logistic curve of the age
_TONE = 1 / 64  # of the side: the Gaussian that parts the hair's tone from its strands
_LIGHT = 1.1  # how light grey hair is, as a multiple of the skin's lightness in the photo,
_LEAST_LIGHT, _MOST_LIGHT = 0.35, 0.65  # and within these bounds, of 0..1
_COLOUR_LOST = 0.85  # of the colour, where all is grey
_STRANDS, _MOST_STRANDS = 0.6, 2.2  # strands gain contrast by this power of the tone's gain, up to so many times


def grey_share(ages: Tensor) -> Tensor:
    """Ages [N] in years -> how much of the hair is grey, 0..1."""
    return _MOST * torch.sigmoid((ages - _HALF_AGE) / _YEARS)


def grown_grey(ages: Tensor, targets: Tensor) -> Tensor:
    """Of the hair that is not grey at `ages`, the share that is at `targets`; 0 for who grows younger: [N], 0..1."""
    before, after = grey_share(ages), grey_share(targets)
    return ((after - before) / (1 - before)).clamp(min=0)


def turn_grey(images: Tensor, hair: Tensor, skin: Tensor, share: Tensor) -> Tensor:
    """The images with this share of their hair turned grey.

    Args:
        images: [N, 3, H, W] in [-1, 1].
        hair, skin: [N, 1, H, W] in 0..1, where each is.
        share: [N] in 0..1.
    Returns:
        [N, 3, H, W] in [-1, 1]; `images` where `hair` is 0.
    """
    pixels = (images.float() + 1) / 2
    light = luma(pixels)[:, None]
    sigma = _TONE * images.shape[-1]

    def blur(x: Tensor) -> Tensor:
        return gaussian_blur(x, 2 * round(2 * sigma) + 1, sigma)

    weight = hair + 1e-4  # what is beside the hair is no part of its tone
    tone = blur(light * weight) / blur(weight)
    on_skin = (light * skin).sum((1, 2, 3), keepdim=True) / skin.sum((1, 2, 3), keepdim=True).clamp(min=1)
    share = share.view(-1, 1, 1, 1)
    goal = tone + share * ((_LIGHT * on_skin).clamp(_LEAST_LIGHT, _MOST_LIGHT) - tone).clamp(min=0)
    gain = ((goal + 0.02) / (tone + 0.02)).pow(_STRANDS).clamp(max=_MOST_STRANDS)
    grey = goal + gain * (light - tone) + (1 - _COLOUR_LOST * share) * (pixels - light)
    return images + hair * (2 * grey.clamp(0, 1) - 1 - images)
