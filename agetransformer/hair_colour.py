"""Hair that turns grey with the years, and grey hair that was brown once: a rule, and no part of the network.

Grey strands are light and colourless, in the light that is there; what tells strand from strand stays or grows, and the
shadows stay. What colour grey hair had, nobody can see: it becomes brown, as dark as the brows.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from agetransformer.faces import HairChange
from agetransformer.hair_masks import (
    COLOURLESS,
    LUMA,
    STRAND,
    beside_hair,
    blurred,
    filled,
    light_and_saturation,
    mean_around,
    rising,
)
from agetransformer.hair_matting import Matte, matte_hair
from agetransformer.strands import draw_strands

_MOST, _HALF_AGE, _YEARS = 0.75, 55.0, 6.0  # the share of grey: a logistic curve of the age
_GREY_BY_AGE = 0.3  # a share from which on hair without colour is grey by age; below it may be bleached, in proportion
_TONE = 1 / 64  # of the face's square: the Gaussian that parts the hair's tone from its strands
_LOCKS = 1 / 16  # the same for how grey a lock is
_LIGHT = 1.1  # how light grey hair is, as a multiple of the skin's lightness in the photo,
_LEAST_LIGHT, _MOST_LIGHT = 0.4, 0.75  # and within these bounds, as multiples of what is white in the photo:
_WHITE, _WHITEST = 0.98, 0.85  # this quantile of its lightness, up to that
_DARKEST_PARTS, _BLACKS = 0.01, (0.03, 0.12)  # so much of the photo tells its black; what that is lighter than the
# first, up to the second, all that is dark is too light by, as in faded prints
_SHADES, _SHADING = 1.5, 0.8  # the new colour is as light by place as the old one, up to this and by this power,
_DARK_SHADING, _DARK = 0.6, (0.15, 0.5)  # or this one for hair up to the first of so many times the skin's lightness:
# of black hair the light parts shine
_LIT = (0.0, 0.03)  # of 0..1: where the tone of hair is less than the second in good light, little of it falls,
_UNSEEN, _LIT_AROUND = 0.75, (0.4, 0.8)  # but so much on dark hair beside what has these shares of the skin's or more
_LAMPS = (2.0, 3.0)  # times the skin's lightness: what has more is a window or a lamp, and tells nothing
_NEAR, _FEW = 1 / 5, 0.02  # of the face's square: the Gaussian for that; of its pixels, so few tell nothing
_GROUND, _BLACK_GROUND = (0.03, 0.1), (0.3, 0.6)  # of 0..1: black is what is no lighter than the first; black hair is
# told from what is behind while no more than the third share of that is black, and from the last on not,
_AS_BLACK = (0.01, 0.03)  # if its tone is no lighter than this first
_SHINES = 2.0  # times the mean tone: what is as light counts half, and less beyond: a jewel, or a lamp's reflection
_COLOUR_LOST = 0.85  # of the colour, where all is grey,
_FADES = 2.0  # and what is left goes by this power of the share that is not: half grey, red hair would be pink
_GREY_STRANDS = 0.2  # of its tone, how much strands of grey hair differ: those that differ by more gain less,
_LEAST_GAIN, _MOST_GAIN = (0.6, 2.2), (0.8, 3.2)  # of these two, each a power of the tone's gain up to a limit;
_DARK_STRANDS = 0.15  # made brown they differ by this power of it: of white hair they do by less than of dark
# Golden is hair that is as colourful and as light as skin, as multiples of it, and yellower, as a share of its light;
_GOLDEN_COLOUR, _GOLDEN_LIGHT, _YELLOW = (0.7, 1.0), (0.6, 0.8), (-0.1, 0.05)
_SOME = 3  # of so many pixels one tells it;
_BLOND = (0.03, 0.11)  # hair is blond from this second share of golden on, and up to the first not
_BLACK, _BURNT = (0.02, 0.06), (0.85, 0.95)  # of 0..1: hair of a tone up to the first, or from the last on, shows no
# strands; of its new tone, how much those differ that are drawn there: as grey strands do,
_DRAWN_BROWN = 0.25  # or by so much in brown;
_SHARE_UNSEEN = (0.02, 0.05)  # of the hair: up to the first none are drawn, from the second on all
_BROWN_STRANDS, _MOST_BROWN_STRANDS = 0.4, 2.5  # of its tone, how much those of brown hair differ; gained at most
_LEAST_TONE = 0.02  # of 0..1: no hair is so dark that its ratios become noise
_BROWN = np.array([0.26, -0.08, -0.30], np.float32)  # R, G, B of brown hair beyond its tone, as shares of it
_SATURATED = 0.25  # skin of less saturation is in a paler photo, where brown is paler too
_DARKEST, _USUAL, _LIGHTEST = 0.22, 0.32, 0.42  # how light brown hair is, as multiples of the skin's lightness
_COVERED = 1.3  # how much faster than its tone grey hair loses its colourlessness
_MOSTLY = (0.6, 0.85)  # a head is grey from the second mean greyness on, and up to the first not
_GREY_LIGHT = (0.45, 0.65)  # times the skin's lightness: up to the first hair is dark, and of no colour that it lost
_LIGHT_LOCK, _DYED = (0.6, 0.85), (1.3, 2.0)  # times the skin's lightness and saturation: white hair in coloured light
_LIGHT_BEARD = (0.65, 0.9)  # times the skin's lightness: so light and a little paler than the skin, a beard is white
_THICK = 0.45  # so much darker than skin, or more colourful, of 1, strands of a beard hide the skin below
_STUBBLE = (0.6, 0.95)  # of the way from skin to brown hair: up to the first it is stubble, from the second on a beard
_LIFTS = (1.4, 4.4)  # times its tone, how light each of these can turn: of stubble most is skin
_BESIDE = 1 / 10  # of the face's square: the Gaussian for how light the skin beside a beard is
_SHOWS = 0.35  # how much of the skin's colour is in a grey beard
_DENSE = 0.3  # how much it counts for a pixel that others around it are strands
_REDDEST, _BLUE = 1.75, (0.68, 1.05)  # of skin R / G at most, and B / G, in light that is white: nine FFHQ faces in ten
_USUAL_BLUE, _DOUBT = 0.86, 0.35  # B / G of most skin; by this power of what it has less
_WARM, _USUAL_RED = 0.7, 1.4  # R / G of a lamp by this power of its G / B, about; and R / G of most skin
_OVEREXPOSED, _ENOUGH = 250, 0.5  # levels; of the photo: so much of it has to be less bright to tell the light
_GRAIN = (0.01, 0.025)  # of 0..1: what differs by less than the first is a camera's noise
_LEAST_SHARE = 0.01  # nobody sees less


@dataclass(frozen=True, eq=False)
class Hair:
    """The hair in a picture of a face, as it is: the square around it."""

    pixels: np.ndarray  # [H, H, 3] uint8 RGB, where hair of the head ends of that hair alone
    mask: np.ndarray  # [H, H] float32 in 0..1, how much of each pixel changes with the hair
    tone: np.ndarray  # [H, H] float32, the luma of the hair around each pixel, 0..1
    strands: np.ndarray  # [H, H] float32, how much the luma of the hair differs from it there, standard deviation
    greyness: np.ndarray  # [H, H] float32 in 0..1, how colourless it is around each pixel; a light beard may have some
    cover: np.ndarray  # [H, H] float32 in 0..1, how much of each pixel can turn grey: below a beard skin shows through
    shades: np.ndarray  # [H, H] float32, how light the hair is by the light that falls there, 1 usually
    most: np.ndarray  # [H, H] float32, the tone that it may have at most where it turns grey
    drawn: np.ndarray  # [H, H] float32, strands where the photo shows none, of deviation 1; 0 where it shows some
    left: float  # of the upper left pixel, in pixels of the face's square; may be negative
    top: float
    grey: float  # the mean tone that it has when all of it is grey
    brown: float  # and when nothing is
    colour: float  # of the photo: 1 usual, 0 black and white
    tint: np.ndarray  # [3] float32 RGB of luma 1, what is grey in its light; in a beard, with some of the skin's colour


def grey_share(age: float) -> float:
    """How much of the hair is grey at an age in years, 0..1."""
    return _MOST / (1 + float(np.exp((_HALF_AGE - age) / _YEARS)))


def grown_grey(age: float, target: float) -> float:
    """Of the hair that is not grey at `age`, the share that is at `target`, 0..1; 0 for who grows younger."""
    before = grey_share(age)
    return max(0.0, (grey_share(target) - before) / (1 - before))


def lost_grey(age: float, target: float) -> float:
    """Of the hair that is grey at `age`, the share that was not at `target`, 0..1; 0 for who grows older.

    Of the young it is less: what is light and colourless on their heads has not turned grey.
    """
    before = grey_share(age)
    return max(0.0, (before - grey_share(target)) / before) * min(1.0, before / _GREY_BY_AGE)


def measure_hair(
    pixels: np.ndarray,
    mask: np.ndarray,
    skin: np.ndarray,
    brows: np.ndarray,
    side: int,
    corner: tuple[float, float] = (0, 0),
    beard: bool = False,
    changing: np.ndarray | None = None,
    exposure: float = 1.0,
) -> Hair:
    """What `hair_change` needs to know.

    Args: of the surroundings of a face, F pixels wide,
        pixels: [F, F, 3] uint8 RGB.
        mask: [F, F] float32 in 0..1, how likely each pixel is hair.
        skin: [F, F] bool, pixels of the face.
        brows: [F, F] bool, pixels of the brows; where there are none, those of most people are taken.
        side: of the face's square, in pixels.
        corner: x and y of its upper left pixel.
        beard: the skin shows through, and turns no greyer.
        changing: [F, F] float32 in 0..1, how much of each pixel's change is made; None: all.
        exposure: how many times brighter the photo would be if it were not too dark (`agetransformer.exposure`).
    """
    photo_light, photo_saturation = light_and_saturation(pixels)
    face = skin if skin.any() else np.ones_like(skin)
    skin_light, skin_saturation = (float(np.median(values[face])) for values in (photo_light, photo_saturation))
    white = min(float(np.quantile(photo_light, _WHITE)), _WHITEST)
    faded = _fadedness(exposure * photo_light) / exposure
    grey = float(np.clip(_LIGHT * photo_light[face].mean(), _LEAST_LIGHT * white, _MOST_LIGHT * white))
    brow = float(np.quantile(photo_light[brows], 0.25)) if brows.any() else _USUAL * skin_light
    brown = float(np.clip(brow, _DARKEST * skin_light, _LIGHTEST * skin_light))

    if beard:
        matte, light, saturation = Matte(mask, pixels), photo_light, photo_saturation
    else:
        matte = matte_hair(pixels, mask, side)
        light, saturation = light_and_saturation(matte.colours)

    def around(what: np.ndarray, reach: float) -> np.ndarray:
        return _blurred_within(matte.mask, what, reach * side)

    tone = around(light, _TONE)
    strands = np.sqrt(around((light - tone) ** 2, _LOCKS))
    usual_saturation = max(skin_saturation, _SATURATED / 3)
    colourful = around(saturation, _LOCKS) / usual_saturation
    greyness = 1 - rising(colourful, *COLOURLESS)
    if not beard:
        greyness = _all_grey(greyness, matte, tone / max(skin_light, 1e-3), colourful)
    changed = matte.mask if changing is None else matte.mask * changing
    left, top, extent = _square_around(changed)
    box = (slice(top, top + extent), slice(left, left + extent))
    usual = _usual(tone[box], matte.mask[box])
    bare = (1 - mask) ** 2
    light_hair = 1.0 if beard else float(rising(usual / max(skin_light, 1e-3), *_DARK))
    power = _DARK_SHADING + light_hair * (_SHADING - _DARK_SHADING)
    shades = cv2.pow((tone[box] / max(usual, 1e-3)).clip(max=_SHADES), power) * rising(
        exposure * (tone[box] - faded), *_LIT
    )
    cover = np.ones((extent, extent), np.float32)
    most, drawn = np.full_like(cover, np.inf), np.zeros_like(cover)
    if beard:
        more_colourful = around(saturation, _TONE) / max(skin_saturation, _SATURATED) - 1
        covered, lit = _measure_strands(light, tone, more_colourful, face * bare, skin_light, side)
        cover = covered[box].copy()
        hidden = rising((1 - tone / (skin_light * lit).clip(1e-3)) / (1 - brown / max(skin_light, 1e-3)), *_STUBBLE)
        most = (tone * (_LIFTS[0] + (_LIFTS[1] - _LIFTS[0]) * hidden))[box].astype(np.float32)
        shades = np.minimum(shades, lit[box])  # no lighter than the light that falls there
        light_enough = rising(tone / max(skin_light, 1e-3), *_LIGHT_BEARD)
        paler = 1 - rising(colourful, COLOURLESS[1], 1)  # than skin, which shows through
        greyness = np.maximum(greyness, light_enough * paler)
    else:
        some, colours, light_there, saturation_there = (
            values[::_SOME, ::_SOME] for values in (matte.mask, matte.colours, light, saturation)
        )
        golden = _golden(colours, light_there / max(skin_light, 1e-3), saturation_there / usual_saturation)
        greyness *= 1 - rising(_mean(golden, some), *_BLOND)  # what is white there shines
        told = np.ones_like(cover)
        if exposure * (tone[box].min() - faded) < _AS_BLACK[1]:
            told = _told_from_ground(
                exposure * (photo_light - faded), exposure * (tone - faded), skin * bare, mask, side
            )[box]
        if light_hair < 1:
            lit = _lit(photo_light / max(skin_light, 1e-3), skin, bare, side)[box]
            shades = np.maximum(shades, _UNSEEN * (1 - light_hair) * lit)
        shades = told * shades
        place = round(left - corner[0]), round(top - corner[1])
        drawn = told * _missing_strands(light[box], tone[box], matte.mask[box], side, place, exposure, faded)
    skin_colour, bright = (np.median(pixels[where], axis=0) for where in (face, _bright(pixels, photo_light)))
    tint = _illuminant(skin_colour, bright)
    if beard:
        own = skin_colour.astype(np.float32) + 1
        tint = tint + _SHOWS * (own / (own @ LUMA) - tint)
    return Hair(  # copies, or what is kept would keep the whole picture
        matte.colours[box].copy(),
        changed[box].copy(),
        tone[box].copy(),
        strands[box].copy(),
        greyness[box].copy(),
        cover,
        shades,
        most,
        drawn,
        left - corner[0],
        top - corner[1],
        grey,
        brown,
        min(1.0, skin_saturation / _SATURATED),
        tint,
    )


def _fadedness(light: np.ndarray) -> float:
    """How much lighter than black the darkest parts of a photo [F, F] are, of 0..1; 0 where it has black in it.

    By the mean of them, or one more dark pixel would make a film flicker.
    """
    values = light[::_SOME, ::_SOME].ravel()
    some = max(1, round(_DARKEST_PARTS * values.size))
    darkest = np.partition(values, some - 1)[:some].clip(*_BLACKS)
    return max(0.0, float(darkest.mean()) - _BLACKS[0])


def _all_grey(greyness: np.ndarray, matte: Matte, light: np.ndarray, colourful: np.ndarray) -> np.ndarray:
    """How grey hair is around each pixel, where most of a head's is grey: light locks are then, too, in coloured light.

    Args: [F, F] float32 each,
        greyness: in 0..1, by the colour alone, which black hair has too.
        light, colourful: as multiples of the skin's.
    """
    mostly = float(rising(_mean(greyness * rising(light, *_GREY_LIGHT), matte.mask), *_MOSTLY))
    return np.maximum(greyness, mostly * rising(light, *_LIGHT_LOCK) * (1 - rising(colourful, *_DYED)))


def _lit(light: np.ndarray, skin: np.ndarray, bare: np.ndarray, side: int) -> np.ndarray:
    """How much of the skin's usual light falls around each pixel, [F, F] in 0..1: on the skin there, or on all that is
    no hair, if that is more.

    Args:
        light: [F, F], as a multiple of the skin's; what has several times as much is a window, or a lamp.
        skin: [F, F] bool.
        bare: [F, F] in 0..1, how much of each pixel is no hair.
        side: of the face's square, in pixels.
    """
    shape = light.shape
    light, skin, bare = (np.ascontiguousarray(values[::_SOME, ::_SOME]) for values in (light, skin, bare))
    seen, lamps = light.clip(max=1), rising(light, *_LAMPS).astype(np.float32)
    near = [mean_around(seen, where, _NEAR * side / _SOME, _FEW) for where in (skin * bare, bare * (1 - lamps))]
    lit = rising(np.maximum(*near), *_LIT_AROUND).astype(np.float32)
    return cv2.resize(lit, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _told_from_ground(light: np.ndarray, tone: np.ndarray, bare: np.ndarray, hair: np.ndarray, side: int) -> np.ndarray:
    """Whether hair can be told from what is behind, [F, F] in 0..1: black before black it ends where nobody can see.

    Args:
        light, tone: [F, F], of each pixel and of the hair around it.
        bare, hair: [F, F] in 0..1, how much of each pixel is skin, or hair.
        side: of the face's square, in pixels.
    """
    black = mean_around(1 - rising(light, *_GROUND), (1 - hair) * (1 - bare), _BESIDE * side, _FEW)
    return np.maximum(1 - rising(black, *_BLACK_GROUND), rising(tone, *_AS_BLACK))


def _missing_strands(
    light: np.ndarray,
    tone: np.ndarray,
    hair: np.ndarray,
    side: int,
    corner: tuple[int, int],
    exposure: float,
    faded: float,
) -> np.ndarray:
    """Strands where hair is so dark or so light that a photo shows none: [H, H] float32 of deviation 1, else 0.

    Args:
        light, tone: [H, H], of each pixel and around it.
        hair: [H, H] in 0..1, how much of each pixel it is.
        corner: column and row of the upper left pixel in the face's square.
        exposure: how many times brighter the photo would be if it were not too dark.
        faded: `_fadedness` of the photo.
    """
    differ = exposure * np.sqrt(_blurred_within(hair, (light - tone) ** 2, _TONE * side))
    hidden = np.maximum(1 - rising(exposure * (tone - faded), *_BLACK), rising(tone, *_BURNT))
    unseen = hidden * (1 - rising(differ, *_GRAIN)) * (hair > 0)
    unseen = unseen * float(rising(_mean(unseen, hair), *_SHARE_UNSEEN))
    if not unseen.any():
        return np.zeros_like(light)
    return draw_strands(light, hair * (1 - unseen), unseen, side, corner)


def _golden(colours: np.ndarray, light: np.ndarray, saturation: np.ndarray) -> np.ndarray:
    """How golden hair [H, W, 3] uint8 RGB is, [H, W] in 0..1: scalp and brown hair are redder, or darker.

    Args:
        light, saturation: [H, W], as multiples of the skin's.
    """
    red, green, blue = cv2.split(colours.astype(np.float32))
    yellow = 3 * (2 * green - red - blue) / (red + green + blue + 1)
    return rising(saturation, *_GOLDEN_COLOUR) * rising(light, *_GOLDEN_LIGHT) * rising(yellow, *_YELLOW)


def _measure_strands(
    light: np.ndarray, tone: np.ndarray, more_colourful: np.ndarray, bare: np.ndarray, skin_light: float, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of a beard, how much of each pixel is strands, and how much of the face's light falls there; [F, F] in 0..1 each.

    By the skin beside it, or a cheek in the shade would be a beard.

    Args:
        light, tone: [F, F], of each pixel and around it.
        more_colourful: [F, F], than the skin, as a share of its saturation.
        bare: [F, F] in 0..1, how much of each pixel is skin.
        skin_light: of the face, which counts where none is near.
        side: of the face's square, in pixels.
    """
    beside = beside_hair(light, bare, skin_light, _BESIDE * side).clip(1e-3)
    strands = 1 - cv2.GaussianBlur(light, (0, 0), STRAND * side) / beside
    thick = np.maximum(1 - tone / beside, more_colourful).clip(0)
    return ((strands + _DENSE * thick) / _THICK).clip(0, 1), beside / max(skin_light, 1e-3)


def hair_change(hair: Hair, age: float, target: float) -> HairChange | None:
    """What the hair of somebody who is `age` changes by at the age `target`, both in years; None: by nothing."""
    if (share := grown_grey(age, target)) > _LEAST_SHARE:
        change = grey_change(hair, share)
    elif (share := lost_grey(age, target)) > _LEAST_SHARE:
        change = brown_change(hair, share)
    else:
        return None
    return HairChange(change, hair.left, hair.top)


def grey_change(hair: Hair, share: float) -> np.ndarray:
    """What this share of the hair, 0..1, changes by turning grey: [H, H, 3] float32 to add, in levels of 255."""
    pixels, light = _values(hair)
    goal = hair.tone + share * (np.minimum(hair.grey * hair.shades, hair.most) - hair.tone).clip(0)
    gain = 1 + (_strand_gain(hair, goal) - 1) * hair.cover
    lighter = goal + gain * (light - hair.tone) + _GREY_STRANDS * (goal - hair.tone) * hair.drawn - light
    lost = _COLOUR_LOST * (1 - (1 - share) ** _FADES) * hair.cover[..., None]
    tint = 1 + lost * (hair.tint - 1)
    grey = (light + hair.cover * lighter)[..., None] * tint + (1 - lost) * (pixels - light[..., None])
    return 255 * hair.mask[..., None] * (grey.clip(0, 1) - pixels)


def brown_change(hair: Hair, share: float) -> np.ndarray:
    """What this share of the grey in the hair, 0..1, changes by turning brown: as `grey_change`."""
    pixels, light = _values(hair)
    lost = share * hair.greyness
    goal = hair.tone + lost * (hair.brown * hair.shades - hair.tone).clip(max=0)
    tone_gain = _tone_gain(hair, goal)
    gain = cv2.pow(tone_gain, _DARK_STRANDS)
    darker = 1 - tone_gain  # dark hair needs no colour
    covered = (_COVERED * darker).clip(0, 1) * hair.greyness
    own = gain * (1 - covered / 2)
    gain = gain * (1 + (_missing_contrast(hair, light) - 1) * darker.clip(0))
    strands = gain * (light - hair.tone)
    least, gaps = goal.clip(_LEAST_TONE), strands.clip(max=0)  # what is darker than white hair would be black in brown
    strands += darker.clip(0) * (least * np.expm1(gaps / least) - gaps)
    strands += _DRAWN_BROWN * darker.clip(0) * goal * hair.drawn
    brown = (goal + strands)[..., None] * (1 + hair.colour * covered[..., None] * _BROWN)
    return 255 * hair.mask[..., None] * ((brown + own[..., None] * (pixels - light[..., None])).clip(0, 1) - pixels)


def _values(hair: Hair) -> tuple[np.ndarray, np.ndarray]:
    """The picture in 0..1, and its luma."""
    pixels = hair.pixels.astype(np.float32) / 255
    return pixels, cv2.transform(pixels, LUMA[None])


def _square_around(mask: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side of the smallest square that holds all of a mask [F, F] and, where it can, a pixel around."""
    columns, rows = filled(mask)
    if len(columns) == 0:
        return 0, 0, 1
    extent = min(len(mask), int(max(np.ptp(columns), np.ptp(rows))) + 3)
    left, top = (int(np.clip(places[0] - 1, 0, len(mask) - extent)) for places in (columns, rows))
    return left, top, extent


def _blurred_within(hair: np.ndarray, values: np.ndarray, sigma: float) -> np.ndarray:
    """`_blurred` values of the hair alone: what is beside it is no part of it."""
    weight = hair + np.float32(1e-4)
    return blurred(values * weight, sigma) / blurred(weight, sigma)


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    """The weighted mean of values [H, W]; 0 where nothing has weight."""
    return float((weight * values).sum() / max(weight.sum(), 1e-6))


def _usual(tone: np.ndarray, weight: np.ndarray) -> float:
    """The weighted mean of tones [H, W] without the few that are much lighter; softly, or films would flicker."""
    much = _SHINES * max(_mean(tone, weight), 1e-3)
    return _mean(tone, weight / (1 + (tone / much) ** 4))


def _tone_gain(hair: Hair, goal: np.ndarray) -> np.ndarray:
    """[H, H]: how many times lighter hair is where its tone becomes `goal`."""
    return (goal + 0.02) / (hair.tone + 0.02)


def _strand_gain(hair: Hair, goal: np.ndarray) -> np.ndarray:
    """[H, H]: by how much strands differ more where the tone becomes `goal`, which is lighter.

    Hair whose strands hardly differ would be fog, and hair whose strands differ much metal; grain is no strand.
    """
    tone_gain = _tone_gain(hair, goal)
    least, most = (cv2.pow(tone_gain, power).clip(max=limit) for power, limit in (_LEAST_GAIN, _MOST_GAIN))
    wanted = np.minimum(most, np.maximum(least, _GREY_STRANDS * goal / (hair.strands + 1e-3)))
    return least + (wanted - least) * rising(hair.strands, *_GRAIN)


def _missing_contrast(hair: Hair, light: np.ndarray) -> float:
    """How many times more strands would have to differ to be those of brown hair, 1 at least.

    White hair is full of light, and of its strands little is seen: made brown as it is, it would be felt.
    """
    differs = np.sqrt(_mean((light - hair.tone) ** 2, hair.mask**2))
    more = np.clip(_BROWN_STRANDS * hair.brown / max(differs, 1e-3), 1, _MOST_BROWN_STRANDS)
    return float(1 + (more - 1) * rising(differs, *_GRAIN))


def _bright(pixels: np.ndarray, light: np.ndarray) -> np.ndarray:
    """[F, F] bool: the brightest pixels of a photo that tell the colour of its light, so not overexposed if there are
    others."""
    red, green, blue = cv2.split(pixels)
    tells = cv2.max(cv2.max(red, green), blue) < _OVEREXPOSED
    if tells.mean() < _ENOUGH:
        tells = np.ones_like(tells)
    return tells & (light >= np.quantile(light[tells], _WHITE))


def _illuminant(skin: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """What is grey in the light of a photo in which skin is of this colour [3], RGB: [3] float32 of luma 1.

    White, unless no skin has that colour in white light, and a little yellow where skin has less blue than most; and no
    more coloured than what is brightest in the photo [3].
    """

    def ratios(colour: np.ndarray) -> np.ndarray:
        red, green, blue = colour.astype(np.float32) + 1
        return np.array([red / green, 1.0, blue / green], np.float32)

    colour, most = ratios(skin), ratios(bright)
    red = colour[0]
    blue = np.clip(colour[2], *_BLUE)
    colour[2] *= min(blue / _USUAL_BLUE, 1) ** _DOUBT / blue
    warm = min(colour[2] ** -_WARM, red / _USUAL_RED)  # light with little blue is red, or grey would be olive in it
    colour[0] = max(red / _REDDEST, warm, 1)  # the least red is that of a black and white photo
    colour = colour.clip(np.minimum(most, 1), np.maximum(most, 1))
    return colour / (colour @ LUMA)
