"""Shade that is no dirt, and folds without ridges: where somebody grows older, wide shade is light, no shade is bluer
than skin's, what darkens runs along lines, nothing narrow gets much lighter than what is around it, and what gets
lighter does not glow.

In one face out of some, one turned away or in low light above all, the network makes an eye bag or a hollow beside the
nose as dark as a bruise, and purple, and lays brown patches and blotches on the cheeks of made-up skin; in others it
draws a light line along each fold, as scars have.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.folds import soften_folds
from agetransformer.shading import LUMA, luma, ramp, share_of_light

_WIDE = 0.013  # of the side: the standard deviation of what is wide
_SHRUNK = 4  # times smaller is the picture that is blurred
_SHADES = (  # standard deviation of what is wide; of the light, what it may take in full; how much of what is beyond
    (_WIDE, 0.02, 0.18),  # eye bags and smudges
    (0.03, 0.012, 0.18),  # cheeks
)
_TINTED = (0.02, 0.08)  # of the light: from what a pixel loses on its colour counts, and fully so
_BLACK = 0.1  # of the range 2: no pixel is so dark that its ratios become noise
_TOLD = 192  # px: lines are told from blotches on a picture of this side,
_NEAR = 3.2  # px: by the directions in a Gaussian of this standard deviation;
_HALVED = 64  # px: a larger picture of them is halved before;
_LINES = (0.35, 0.65)  # of 0..1, how much those agree: up to the first it is a blotch, from the second on a line
_FAINT = 0.012  # of the light: so much all may take,
_BLOTCH, _LINE = 0.1, 1.5  # and so much of what is beyond: wrinkles get deeper, or the age would not be reached
_NO_EDGE = 4e-6  # squares of shares of the light, over two pixels: where edges are weaker nothing tells which it is,
_NEITHER = 0.575  # and it is taken for this, of which as much stays as there was: within a wide shade
_RIDGE = 0.02  # of the light around: by how much more than before something narrow may stand out in full,
_BEYOND_RIDGE = 0.2  # and how much of what it would beyond that
_AROUND = 0.04  # of the side: the Gaussian for the colour of the skin around,
_LIT = (0.04, 0.15)  # which skin that gets so much lighter, as a share, has in part, and fully so
_MORE_COLOURFUL = 0.1  # of the light: if it would be more colourful by so much
_CLIPPED = (0.7, 0.96)  # of -1..1: from where on red may be brighter than a photo can show, and where it is
_REDNESS = (0.02, 0.08)  # of the light: what is by no more than the first redder than grey is no skin
_STAYS_RED = 0.6  # how much of what it would lose that red does not show
_WIDE_FOLD = 0.03  # of the side: the Gaussian of what is wider than folds
_WARM = 0.7  # in shade skin's blue loses more than its green by so much of what its green loses more than its red


def soften_ageing(change: Tensor, faces: Tensor) -> Tensor:
    """A change that makes faces [N, 3, R, R] in [-1, 1] older -> the same with folds and shade as skin has them."""
    softened = soften_shade(soften_folds(redden_shade(warm_shade(change, faces), faces), faces), faces)
    return soften_ridges(soften_blotches(softened, faces), faces)


def soften_shade(change: Tensor, faces: Tensor) -> Tensor:
    """A change of faces [N, 3, R, R] in [-1, 1] -> the same, lighter where it shades more than a fold's width.

    Its hue stays. Wrinkles, which are narrower, stay as deep below what is around them; a wide fold keeps two thirds of
    its depth or so. Nothing beside a shade gets lighter.
    """
    light = luma(faces)
    for sigma, full, beyond in _SHADES:
        taken = -share_of_light(luma(change), light).clamp(-1, 0)
        less = (1 - beyond) * (_wide(taken, sigma) - full).clamp(min=0)
        change = change + torch.minimum(less, taken)[:, None] * (faces + 1)
    return change


def soften_blotches(change: Tensor, faces: Tensor) -> Tensor:
    """A change of faces [N, 3, R, R] in [-1, 1] -> the same, weaker where it darkens in blotches and deeper in lines.

    Wrinkles and folds run one way, at least for a while; what darkens without a direction looks like dirt.
    """
    taken = -share_of_light(luma(change), luma(faces)).clamp(-1, 0)
    lines = ramp(directedness(taken), *_LINES)
    kept = _BLOTCH + (_LINE - _BLOTCH) * lines
    less = (1 - kept).clamp(min=0) * (taken - _FAINT).clamp(min=0)
    narrow = taken - _wide(taken).clamp(min=_FAINT)  # the edge of wide shade is no line
    more = (kept - 1).clamp(min=0) * narrow.clamp(min=0)
    return change + (less - more)[:, None] * (faces + 1)


def directedness(taken: Tensor) -> Tensor:
    """How much all edges around each pixel of pictures [N, R, R] run one way: [N, R, R] in 0..1.

    The coherence of the structure tensor (Bigün and Granlund 1987, "Optimal Orientation Detection of Linear Symmetry");
    where there are none, `_NEITHER`.
    """
    side = min(_TOLD, taken.shape[-1])
    small = F.pad(F.interpolate(taken[:, None], (side, side), mode="area"), (1,) * 4, mode="replicate")
    across = small[..., 1:-1, 2:] - small[..., 1:-1, :-2]
    down = small[..., 2:, 1:-1] - small[..., :-2, 1:-1]
    products = torch.cat([across**2 - down**2, 2 * across * down, across**2 + down**2])
    if side > _HALVED:  # which such a Gaussian hardly tells
        products = F.interpolate(products, (side // 2,) * 2, mode="area")
    even, odd, all_edges = _blurred(products, _NEAR * products.shape[-1] / side).chunk(3)
    directed = (torch.hypot(even, odd) + _NEITHER * _NO_EDGE) / (all_edges + _NO_EDGE)
    return F.interpolate(directed, taken.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def warm_shade(change: Tensor, faces: Tensor) -> Tensor:
    """A change of faces [N, 3, R, R] in [-1, 1] -> the same, of the same luma, whose shade has less blue.

    Blood takes more of the green than of the red from the light that comes out of skin, and skin more of the blue.
    """
    lit = (faces + 1).clamp(min=_BLACK)
    red, green, blue = (change / lit).unbind(dim=1)
    bluer = (blue - green + _WARM * (red - green).clamp(min=0)).clamp(min=0)
    lost = -share_of_light(luma(change), luma(faces)).clamp(-1, 0)
    less = torch.minimum(bluer, lost) * ramp(lost, *_TINTED) * lit[:, 2]
    made = change + LUMA[2] * less[:, None]
    made[:, 2] -= less
    return made


def redden_shade(change: Tensor, faces: Tensor) -> Tensor:
    """A change of faces [N, 3, R, R] in [-1, 1] -> the same, of the same luma, with redder shade in overexposed skin.

    Where the light was more than the photo could show, red clipped first: less light takes green and blue, and red as
    it is shown only at last. Without that, wrinkles look as if a brown pencil had drawn them. What is as bright and no
    redder than grey, as white hair, stays.
    """
    light = luma(faces)
    taken = -share_of_light(luma(change), light).clamp(-1, 0)
    narrow = ((taken - _wide(taken, _WIDE_FOLD)) / taken.clamp(min=_FAINT)).clamp(0, 1)
    clipped = ramp(faces[:, 0], *_CLIPPED)
    redness = _wide(faces[:, 0] + 1, _WIDE_FOLD) / _wide(light + 1, _WIDE_FOLD).clamp(min=_BLACK) - 1
    skin = ramp(redness, *_REDNESS)
    back = _STAYS_RED * clipped * narrow * skin * (-change[:, 0]).clamp(min=0)
    others = LUMA[0] / (LUMA[1] + LUMA[2]) * back
    return change + torch.stack([back, -others, -others], dim=1)


def soften_ridges(change: Tensor, faces: Tensor) -> Tensor:
    """A change of faces [N, 3, R, R] in [-1, 1] -> the same with lower ridges: narrow, and lighter than what is around.

    What gets as light as its surroundings and no lighter stays, as a brow that turns grey. No pixel gets darker than
    it was.
    """
    edited = faces + change
    light = luma(edited) + 1
    around = _wide(light).clamp(min=_BLACK)
    before = luma(faces) + 1
    stood_out = (before / _wide(before).clamp(min=_BLACK) - 1).clamp(min=0)
    beyond = (light / around - 1 - stood_out - _RIDGE).clamp(min=0)
    lower = torch.minimum((1 - _BEYOND_RIDGE) * beyond * around, luma(change).clamp(min=0))
    return change - (lower / light.clamp(min=_BLACK))[:, None] * (edited + 1)


def colour_around(face: Tensor) -> Tensor:
    """The colour around each pixel of a face [3, R, R] in [-1, 1], as multiples of its luma: [3, R, R]."""
    around = _wide(face + 1, _AROUND)
    return around / luma(around[None])[0].clamp(min=_BLACK)


def without_glow(change: Tensor, face: Tensor, around: Tensor, other_colours: Tensor) -> Tensor:
    """A change [3, R, R] of a face [3, R, R] in [-1, 1] -> the same, of the same luma, in which no skin glows.

    Skin in the shade, as below the eyes, is warmer than skin in the light. Made as light as that and as warm as it was
    it would glow, so it takes the colour of the skin around.

    Args:
        around: `colour_around` the face.
        other_colours: [R, R] in 0..1, where colours stay: on lips, and on hair, which turns grey by a rule of its own.
    """
    edited = face + change + 1
    light, made = (luma(x[None])[0].clamp(min=_BLACK) for x in (face + 1, edited))
    lighter = ramp(made / light - 1, *_LIT)
    ratios = edited / made
    more = ((_saturation(ratios) - _saturation(around)) / _MORE_COLOURFUL).clamp(0, 1)
    return change + lighter * more * (1 - other_colours) * made * (around - ratios)


def _saturation(colour: Tensor) -> Tensor:
    """[3, R, R], as multiples of their luma -> how far apart the channels are, [R, R]."""
    return colour.amax(dim=0) - colour.amin(dim=0)


def _wide(x: Tensor, sigma: float = _WIDE) -> Tensor:
    """[N, R, R] blurred by a Gaussian of so much of the side, at a fraction of its size."""
    side = x.shape[-1]
    small = F.interpolate(x[:, None], (max(1, side // _SHRUNK),) * 2, mode="area")
    blurred = _blurred(small, sigma * small.shape[-1])
    return F.interpolate(blurred, x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def _blurred(x: Tensor, deviation: float) -> Tensor:
    """[N, 1, R, R] blurred by a Gaussian of so many pixels."""
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.softmax(-0.5 * (offsets / deviation) ** 2, dim=0)
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])
