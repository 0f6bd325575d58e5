"""Somebody beside the face of a square: whose hair is whose, few photos show."""

import torch
import torch.nn.functional as F
from torch import Tensor

_CENTRE, _AXES = (0.5, 0.56), (0.29, 0.36)  # of the face in an aligned square, ears and forehead with it
_ASIDE = (0.4, 0.85)  # of the side: how far from the face a neighbour's is, either way
_HALF_WAY = 0.45  # of that: there the neighbour's picture begins
_SOFT = 0.02  # of the side: how soft its edge is
_LOWER, _LARGER = 0.2, 1.25  # of the side, how much lower or higher; how many times larger or smaller, at most


def add_neighbours(x: Tensor, parts: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Some images [N, 3, S, S] with the face of the one before at one side, behind their own face, hair and beard.

    It is up to 1.25 times as large or as small, and up to a fifth of the side higher or lower.

    Args:
        x: FFHQ-aligned squares in [-1, 1].
        parts: [N, P, S, S] in 0..1, their hair and beards.
        chance: of each image.
        generator: the source of randomness, on the CPU.
    """
    count, side = len(x), x.shape[-1]
    draw = torch.rand(6, count, 1, 1, 1, generator=generator).to(x.device)
    sign, flip = (torch.where(part < 0.5, -1.0, 1.0) for part in (draw[1], draw[2]))
    aside = sign * (_ASIDE[0] + (_ASIDE[1] - _ASIDE[0]) * draw[3])
    lower, size = _LOWER * (2 * draw[4] - 1), _LARGER ** (2 * draw[5] - 1)
    middles = (torch.arange(side, device=x.device) + 0.5) / side
    across, down = middles.view(1, 1, 1, -1), middles.view(1, 1, -1, 1)

    # Where in the neighbour's own square each pixel is; its face stays upright at its place.
    own_x = (_CENTRE[0] + flip * (across - _CENTRE[0] - aside) / size).expand(count, 1, side, side)
    own_y = (_CENTRE[1] + (down - _CENTRE[1] - lower) / size).expand(count, 1, side, side)
    grid = 2 * torch.cat([own_x, own_y], dim=1).permute(0, 2, 3, 1) - 1
    neighbours = F.grid_sample(x.roll(1, 0), grid, padding_mode="reflection", align_corners=False)

    beyond = torch.sigmoid((sign * (across - _CENTRE[0]) - _HALF_WAY * aside.abs()) / _SOFT)
    face = ((across - _CENTRE[0]) / _AXES[0]) ** 2 + ((down - _CENTRE[1]) / _AXES[1]) ** 2 < 1
    before = torch.maximum(parts.amax(dim=1, keepdim=True), face.float())
    return torch.lerp(x, neighbours, (draw[0] < chance) * beyond * (1 - before))
