"""Hair that turns grey: the rule, and what the editor makes of it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer import AgeEditor
from agetransformer.alignment import FaceGeometry
from agetransformer.compositing import paste
from agetransformer.face_outline import BROWS, EYES, OVAL, around_eyes, fill_outline, mean_outline
from agetransformer.faces import SURROUNDINGS, EditedFace, Face, HairChange, see_neighbour, surroundings_side
from agetransformer.hair_colour import (
    Hair,
    brown_change,
    grey_change,
    grey_share,
    grown_grey,
    hair_change,
    lost_grey,
    measure_hair,
)
from agetransformer.hair_masks import doubt_skin, fit_mask, own_part, share_of_beard, whole_beard, without_haze
from agetransformer.hair_matting import Matte
from agetransformer.imageio import load_photo
from tests.test_editor import geometry
from tests.test_hair_training import paint_beard
from tests.test_skin_maps import portrait_square
from train.data import to_unit

ROOT = Path(__file__).parent.parent


def test_grey_comes_with_the_years_and_does_not_go():
    shares = [grey_share(age) for age in (20, 35, 45, 55, 65, 69)]
    assert shares == sorted(shares) and shares[1] < 0.05 and 0.3 < shares[3] < 0.45 and shares[4] > 0.6
    assert grown_grey(30, 65) > 0.6 and 0 < grown_grey(60, 65) < 0.4
    assert grown_grey(60, 60) == grown_grey(60, 25) == 0


def test_grey_goes_with_the_years_that_it_came_with():
    assert lost_grey(70, 25) > 0.95 and 0.3 < lost_grey(70, 55) < 0.6
    assert lost_grey(70, 70) == lost_grey(25, 70) == 0
    assert lost_grey(30, 20) < 0.15  # it may be bleached


def test_the_mean_outline_is_where_faces_are():
    outline = mean_outline()
    assert outline.shape == (len(OVAL), 2)
    region = fill_outline(outline, 256, 0.85)
    assert region[140, 128] and not region[40, 128] and not region[140, 20] and not region[250, 128]


def test_hair_of_people_behind_is_left_out():
    mask: np.ndarray = np.full((96, 96), 0.1, np.float32)
    mask[10:40, 28:68] = 0.9  # above the face
    mask[10:40, 80:96] = 0.9  # of somebody else
    own = own_part(mask, mean_outline())
    assert (own[12:20, 30:66] == 1).all() and own[:, 70:].max() == 0 and own[60:].max() == 0
    assert own_part(np.full((96, 96), 0.2, np.float32), mean_outline()).max() == 0


def test_a_hand_at_a_cheek_that_may_be_hair_is_none():
    mask: np.ndarray = np.zeros((96, 96), np.float32)
    mask[20:44, 28:68] = 0.9
    mask[20:80, 68:72] = 0.45  # the soft edge of hair, and of a cheek
    mask[60:80, 68:90] = 0.45  # a hand
    own = without_haze(own_part(mask, mean_outline()))
    assert own[30, 30:66].min() == 1 and own[30, 69] > 0.25 and own[62:].max() < 0.2
    mask[60:80, 68:90] = 0.9  # or a lock
    assert without_haze(own_part(mask, mean_outline()))[62:78, 70:88].min() == 1


def test_skin_beside_dark_hair_has_to_be_surer_to_be_hair() -> None:
    """A hand that the segmenter takes for hair, in front of hair; and a light strand, which it is sure of."""
    pixels = np.full((96, 96, 3), (200, 150, 130), np.uint8)
    mask: np.ndarray = np.zeros((96, 96), np.float32)
    mask[:24], mask[24:60, 80:], mask[60:, 80:] = 1, 1, 0.9
    hair = mask == 1
    for colour, left in (((50, 40, 35), 0.3), ((185, 150, 105), 0.9)):  # fair hair is as light as skin
        pixels[hair] = colour
        pixels[:24, 40:50] = (200, 160, 140)
        made = doubt_skin(mask, pixels, mean_outline())
        assert np.allclose(made[:58], mask[:58], atol=1e-6)
        assert made[70:90, 84:92].max() <= left + 1e-6
        assert made[70:90, 84:92].min() >= left - 0.15
    flat = np.zeros_like(mask)
    assert np.array_equal(doubt_skin(flat, pixels, mean_outline()), flat)


def test_hair_that_is_half_likely_does_not_flicker():
    random = np.random.default_rng(0)
    mask: np.ndarray = np.zeros((96, 96), np.float32)
    mask[20:44, 28:68] = 0.9
    mask[20:80, 68:80] = 0.45
    frames = [mask + (mask == np.float32(0.45)) * random.normal(0, 0.02, mask.shape).astype(np.float32) for _ in "ab"]
    one, other = (without_haze(own_part(frame, mean_outline()))[20:80, 68:80] for frame in frames)
    plain = np.abs(frames[0] - frames[1])[20:80, 68:80].mean()
    assert np.abs(one - other).mean() < 2.5 * plain  # 0.25 to 0.75 become 0 to 1, so 2 alone


def test_hair_between_two_faces_is_of_the_nearer_one():
    mask: np.ndarray = np.zeros((96, 96), np.float32)
    mask[30:40] = 0.9
    own = own_part(mask, mean_outline(), [(1.1, 0.58, 1.0)])
    assert own[35, 5:74].min() == 1 and own[35, 78:].max() == 0  # half way is 0.8 of the side
    larger = own_part(mask, mean_outline(), [(1.1, 0.58, 2.0)])
    assert larger[35, 5:60].min() == 1 and larger[35, 70:].max() == 0


def test_a_face_sees_where_its_neighbour_is():
    one, other = geometry((200, 200), 100), geometry((320, 150), 50)
    seen = see_neighbour(one, other)
    assert (seen.x, seen.y, seen.size) == pytest.approx((0.5 + 1.2, 0.5 - 0.5 + 0.035, 0.5), abs=0.01)


def test_a_mask_takes_the_edge_of_the_picture():
    pixels = np.full((288, 288, 3), 200, np.uint8)
    pixels[:123] = 30  # hair
    rough: np.ndarray = np.zeros((36, 36), np.float32)
    rough[:15] = 1  # 120 pixels
    mask = fit_mask(rough, pixels)
    assert mask.shape == (288, 288) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    plain = fit_mask(rough, np.full((288, 288, 3), 90, np.uint8))
    assert plain[122, 144] - plain[123, 144] < 0.15  # without an edge it stays soft
    assert mask[122, 144] - mask[123, 144] > 0.3


def strands(light: float = 1.0) -> Hair:
    """Brown hair of dark and light strands above skin, in this light, 64 px."""
    pixels = np.tile(np.float32([0.3, 0.2, 0.1]), (64, 64, 1))
    pixels[:, ::2] *= 1.3
    pixels[32:] = (0.8, 0.6, 0.5)
    mask: np.ndarray = np.zeros((64, 64), np.float32)
    mask[:32] = 1
    pixels = np.rint(255 * light * pixels).astype(np.uint8)
    return measure_hair(pixels, mask, mask == 0, np.zeros_like(mask, bool), 64)


def test_hair_turns_light_and_colourless_and_keeps_its_strands():
    hair = strands()
    before = hair.pixels.astype(np.float32)
    after = before + grey_change(hair, 0.6)
    assert np.array_equal(after[32:], before[32:])  # the skin
    top = slice(8, 24)
    assert after[top].mean() > before[top].mean() + 38
    red_to_blue = [(x[top, :, 0] - x[top, :, 2]).mean() for x in (before, after)]
    assert red_to_blue[1] < 0.6 * red_to_blue[0]
    contrast = [(x[top, ::2] - x[top, 1::2]).mean() for x in (before, after)]
    assert contrast[1] > contrast[0] > 0
    assert np.abs(grey_change(hair, 0.0)).max() < 1e-3


def dark_hair(differ: float) -> Hair:
    """Dark hair above skin, 128 px, whose strands differ by so many levels of light."""
    rows, columns = np.mgrid[:128, :128]
    pixels = np.where((rows < 48)[..., None], (50, 46, 42), (200, 160, 140)).astype(np.float32)
    pixels += (np.where(columns // 2 % 2 == 0, 1, -1) * np.where(rows < 48, differ, 0))[..., None]
    mask = (rows < 48).astype(np.float32)
    return measure_hair(pixels.round().astype(np.uint8), mask, rows > 64, rows < 0, 128)


def test_strands_of_grey_hair_are_neither_fog_nor_metal() -> None:
    def contrast(picture: np.ndarray) -> float:
        light = picture[12:32, 16:112].mean(axis=(0, 2))
        return float(light.std() / light.mean())

    flat, rich = dark_hair(5), dark_hair(22)
    plain = [contrast(hair.pixels.astype(np.float32)) for hair in (flat, rich)]
    grey = [contrast(hair.pixels + grey_change(hair, 0.7)) for hair in (flat, rich)]
    assert 0.76 * plain[0] < grey[0] < plain[0] and 0.5 * plain[1] < grey[1] < 0.72 * plain[1]
    noise = dark_hair(1)
    assert contrast(noise.pixels + grey_change(noise, 0.7)) < 0.75 * contrast(noise.pixels.astype(np.float32))


def test_red_hair_that_is_half_grey_is_not_pink() -> None:
    rows = np.mgrid[:64, :64][0]
    red = np.where((rows < 32)[..., None], (150, 50, 20), (220, 170, 150)).astype(np.uint8)
    hair = measure_hair(red, (rows < 32).astype(np.float32), rows >= 32, rows < 0, 64)
    after = (hair.pixels + grey_change(hair, 0.6))[8:24].mean(axis=(0, 1))
    assert after[0] - after[2] < 0.35 * 130


def greyness_of(first: tuple[int, int, int], other: tuple[int, int, int], share: float, skin: float = 1.0) -> float:
    """How grey hair is, of which a share has the other colour, above skin so many times as light as usual."""
    rows, columns = np.mgrid[:128, :128]
    pixels = np.where((rows < 56)[..., None], first, np.float32([200, 150, 130]) * skin)
    pixels[(rows < 56) & (columns % 20 < 20 * share)] = other
    hair = measure_hair(pixels.astype(np.uint8), (rows < 56).astype(np.float32), rows > 64, rows < 0, 128)
    return float(hair.greyness[8:48, 20:108].mean())


def test_what_shines_in_blond_hair_is_not_grey() -> None:
    white, blond = (240, 238, 234), (210, 170, 90)
    assert greyness_of(white, blond, 0.3) < 0.05
    assert greyness_of(white, (50, 40, 30), 0.3) > 0.95, "nor is dark hair that turns white blond"
    assert greyness_of(white, (130, 100, 80), 0.3) > 0.8 and greyness_of(white, (200, 150, 130), 0.25) > 0.9  # scalp
    shades = [greyness_of(white, (200, 165, 110), 0.1, skin) for skin in np.linspace(0.95, 1.05, 11)]
    assert np.abs(np.diff(shades)).max() < 0.15, "in a film the light changes a little"


def test_skin_shows_through_a_grey_beard_and_its_edge_is_no_lighter() -> None:
    rows = np.mgrid[:256, :256][0]
    for spills in (0, 4):
        pixels = np.where((rows < 128)[..., None], (150, 95, 70), (32, 28, 26)).astype(np.uint8)
        mask = ((rows - 128 + spills) / 8 + 0.5).clip(0, 1).astype(np.float32)
        hair = measure_hair(pixels, mask, rows < 110, rows < 0, 256, beard=True)
        change = grey_change(hair, 0.7)
        top, left = int(hair.top), int(hair.left)
        after = pixels[top:, left:][: len(change), : len(change)] + change
        light = (after @ np.float32([0.299, 0.587, 0.114])).mean(axis=1)
        red, _, blue = after[200 - top : 240 - top].mean(axis=(0, 1))
        assert 1.1 < red / blue < 1.6, "neutral grey looks blue on tan skin"
        assert light[: 128 - top].max() < 121 and light[128 - top : 140 - top].max() < 1.1 * light[200 - top]  # of 109


def test_white_hair_stays_and_the_dark_does_not_glow():
    white, full = np.full((64, 64, 3), 204, np.uint8), np.ones((64, 64), np.float32)
    assert np.abs(grey_change(measure_hair(white, full, full > 0, full < 0, 64), 0.7)).max() < 3
    assert strands(light=0.25).grey < 0.5 * strands().grey
    hair = strands(light=0.25)
    assert (hair.pixels + grey_change(hair, 0.7))[8:24].mean() < 92


def test_a_black_ground_that_the_mask_takes_for_hair_is_no_fog() -> None:
    columns = np.mgrid[:128, :128][1]
    pixels = np.where((columns < 64)[..., None], (90, 60, 40), (4, 4, 4)).astype(np.uint8)
    pixels[100:] = (200, 160, 140)
    mask = np.where(columns < 90, 1, 0).astype(np.float32)
    mask[100:] = 0
    change = turned_grey(pixels, mask, np.mgrid[:128, :128][0] >= 100)
    assert change[20:80, 10:54].mean() > 30
    assert change[10:45, 76:90].max() < 9, "15 levels and more are seen on black"


def test_black_hair_in_the_dark_is_no_fog_and_beside_lit_skin_it_is_grey() -> None:
    mask: np.ndarray = np.zeros((128, 128), np.float32)
    mask[:80] = 1

    def lighter(hair: int, shaded: int = 0) -> np.ndarray:
        pixels = np.full((128, 128, 3), hair, np.uint8)
        pixels[80:] = (130, 90, 75)
        pixels[80:, :shaded] = (20, 14, 12)
        pixels[120:, 112:] = 0  # the photo has black in it
        return turned_grey(pixels, mask, mask == 0)

    far, near = (slice(4, 16), slice(8, 120)), (slice(60, 74), slice(8, 120))
    assert lighter(2)[far].mean() < 0.3 * lighter(16)[far].mean()
    assert lighter(8)[far].mean() > 0.9 * lighter(16)[far].mean() > 30
    assert lighter(2)[near].mean() > 0.5 * lighter(16)[near].mean()
    shade = slice(60, 74), slice(0, 30)
    assert lighter(2, shaded=60)[shade].mean() < 0.5 * lighter(2)[shade].mean()
    dark, lit = (np.full((128, 128, 3), hair, np.uint8) for hair in (4, 8))
    dark[80:], lit[80:] = (65, 45, 37), (130, 90, 75)  # the same photo, half as bright
    brightened = measure_hair(dark, mask, mask == 0, mask < 0, 128, exposure=2.0)
    assert np.allclose(brightened.shades, measure_hair(lit, mask, mask == 0, mask < 0, 128).shades, atol=0.02)


def test_black_hair_far_from_skin_is_grey_before_what_is_lit() -> None:
    mask: np.ndarray = np.zeros((128, 128), np.float32)
    mask[24:112] = 1

    def lighter(ground: int) -> float:
        pixels = np.full((128, 128, 3), 2, np.uint8)
        pixels[:24] = ground
        pixels[112:] = (75, 60, 50) if ground == 250 else (130, 90, 75)
        return float(turned_grey(pixels, mask, np.mgrid[:128, :128][0] >= 112)[28:40, 40:88].mean())

    assert lighter(150) > 2 * lighter(30) > 5, "told from it in both"
    assert lighter(250) < 1.2 * lighter(30), "before a window all of it is in the shade"


def test_black_hair_before_black_ends_where_nobody_sees_it() -> None:
    mask: np.ndarray = np.zeros((128, 128), np.float32)
    mask[40:100, 20:60] = 1
    bare = np.zeros_like(mask, bool)
    bare[40:100, 60:110] = True

    def lighter(hair: int, ground: int) -> float:
        pixels = np.full((128, 128, 3), ground, np.uint8)
        pixels[bare] = (200, 160, 140)
        pixels[mask > 0] = hair
        return float(turned_grey(pixels, mask, bare)[50:90, 30:50].mean())

    assert lighter(2, ground=1) < 0.2 * lighter(2, ground=120)
    assert lighter(12, ground=1) > 0.8 * lighter(12, ground=120) > 30


def test_one_bright_jewel_leaves_black_hair_grey() -> None:
    mask: np.ndarray = np.zeros((128, 128), np.float32)
    mask[:80] = 1
    pixels = np.full((128, 128, 3), 20, np.uint8)
    pixels[80:] = (200, 160, 140)
    plain = turned_grey(pixels, mask, mask == 0)[50:76, 8:120].mean()
    pixels[10:26, 20:108] = 250  # a band in it, which the mask has
    assert turned_grey(pixels, mask, mask == 0)[50:76, 8:120].mean() > 0.85 * plain > 40


def test_of_black_hair_the_light_parts_shine() -> None:
    """So that its dark parts turn nearly as light, and those of brown hair stay in the shade."""

    def darker(light: float) -> float:
        pixels = np.full((128, 128, 3), (200, 160, 140), np.uint8)
        pixels[:64, :64], pixels[:64, 64:] = round(1.5 * light), round(0.5 * light)
        mask = np.repeat(np.float32([1, 0]), 64)[:, None] + np.zeros((1, 128), np.float32)
        hair = measure_hair(pixels, mask, mask == 0, mask < 0, 128)
        return float(hair.shades[20:40, 90:110].mean() / hair.shades[20:40, 20:40].mean())

    assert darker(24) > 1.15 * darker(90)


@pytest.mark.parametrize(("light", "dark_strand", "differ"), [(1, 25, 20), (254, 90, 50)])
def test_hair_without_detail_gets_strands_along_those_that_are_seen(light: int, dark_strand: int, differ: int) -> None:
    rows, columns = np.mgrid[:128, :128]
    slope = (rows + columns) // 3 % 2  # strands from the lower left to the upper right
    pixels = np.where(rows < 64, dark_strand + differ * slope, 170)[..., None] + np.zeros(3, int)
    pixels[64:, :, 1:] -= 30
    hidden = cv2.GaussianBlur(((rows < 40) & (columns > 64)).astype(np.float32), (0, 0), 4)[..., None]
    pixels = pixels + hidden * (light - pixels)
    mask = (rows < 64).astype(np.float32)
    hair = measure_hair(pixels.astype(np.uint8), mask, rows > 70, rows < 0, 128)
    change = grey_change(hair, 0.9) if light == 1 else brown_change(hair, 1.0)
    made = (hair.pixels + change).mean(axis=2)
    fine = (made - cv2.GaussianBlur(made, (0, 0), 4))[4:32, 76:120]
    assert fine.std() > 0.03 * made[4:32, 76:120].mean()
    here = fine[4:-4, 4:-4].ravel()
    along, across = (np.corrcoef(here, fine[6:-2, x].ravel())[0, 1] for x in (slice(2, -6), slice(6, -2)))
    assert along > 0.5 and along > across + 0.3
    assert np.abs(hair.drawn[4:60, 4:50]).max() < 1e-3, "none where the photo shows some"
    assert hair.drawn.dtype == np.float32
    left, top = 9, 4  # of the face's square, and a frame later, of which a little less is seen
    one, later = (
        measure_hair(pixels.astype(np.uint8)[y:, y:], mask[y:, y:], (rows > 70)[y:, y:], mask[y:, y:] < 0, 128, corner)
        for y, corner in ((0, (left, top)), (3, (left - 3, top - 3)))
    )
    inside = one.drawn[10:30, 80:110], later.drawn[7:27, 77:107]
    assert np.corrcoef(inside[0].ravel(), inside[1].ravel())[0, 1] > 0.9, "they stay on the face"


def test_of_a_dark_photo_only_what_shows_no_strands_gets_some() -> None:
    rows, columns = np.mgrid[:128, :128]
    pixels = np.where(rows < 64, 16 + 8 * (columns // 2 % 2), 200)[..., None] + np.zeros(3, int)
    pixels[124:, 60:] = 0  # the photo has black in it
    mask = (rows < 64).astype(np.float32)
    for exposure in (1.0, 2.0, 4.0):
        dark = (pixels / exposure).astype(np.uint8)
        hair = measure_hair(dark, mask, rows > 70, rows < 0, 128, exposure=exposure)
        assert hair.drawn.std() < 0.05
    dark[:64] = 1
    assert measure_hair(dark, mask, rows > 70, rows < 0, 128, exposure=4.0).drawn[8:56].std() > 0.5
    black = np.where(rows < 64, 4 + 14 * (columns // 2 % 2), 200)[..., None] + np.zeros(3, int)
    assert measure_hair(black.astype(np.uint8), mask, rows > 70, rows < 0, 128).drawn.std() < 0.15, "it shows strands"


@pytest.mark.parametrize("black", [0, 20, 30])
def test_in_a_faded_photo_black_hair_gets_strands_too(black: int) -> None:
    """Whose black is as light as this; what is light and flat in another photo is no black."""
    rows, columns = np.mgrid[:128, :128]
    pixels = np.where(rows < 64, 2 + 20 * ((rows + columns) // 3 % 2), 150)[..., None] + np.zeros(3, int)
    pixels[64:, :, 1:] -= 30
    pixels[:40, 64:] = 2
    mask = (rows < 64).astype(np.float32)
    faded = (pixels + black).astype(np.uint8)
    assert measure_hair(faded, mask, rows > 70, rows < 0, 128).drawn[8:32, 76:120].std() > 0.4
    faded[124:, 60:] = 0
    assert black == 0 or measure_hair(faded, mask, rows > 70, rows < 0, 128).drawn[8:32, 76:120].std() < 0.3


def test_how_faded_a_photo_is_does_not_jump_with_a_few_dark_pixels() -> None:
    """Or films would flicker: a jacket comes into view from one frame to the next."""
    rows, columns = np.mgrid[:384, :384]
    pixels = np.where(rows < 192, 22 + 20 * ((rows + columns) // 3 % 2), 150)[..., None] + np.zeros(3, int)
    pixels[192:, :, 1:] -= 30
    pixels[:128, 192:] = 22
    mask = (rows < 192).astype(np.float32)
    spread: list[float] = []
    for side in range(0, 60, 3):
        darker = pixels.astype(np.uint8)
        darker[384 - side :, 384 - side :] = 0
        spread.append(measure_hair(darker, mask, (rows > 200) & (rows < 300), rows < 0, 384).drawn.std().item())
    assert spread[0] > 0.25 and spread[-1] < 0.1
    assert np.abs(np.diff(spread)).max() < 0.2


def test_two_tones_of_hair_change_softly_with_how_much_is_dark() -> None:
    """So that the frames of a film do not flicker."""
    rows, columns = np.mgrid[:128, :128]
    mask = (rows < 80).astype(np.float32)

    def dark_part(share: float) -> float:
        pixels = np.full((128, 128, 3), 180, np.uint8)
        pixels[:80] = np.where(columns[:80] < 128 * share, 25, 150)[..., None]
        return float(turned_grey(pixels, mask, mask == 0)[20:60, 8:40].mean())

    shares = [dark_part(share) for share in np.linspace(0.42, 0.58, 9)]
    assert max(np.abs(np.diff(shares))) < 4


def test_skin_that_shows_through_a_beard_stays() -> None:
    skin, dark, ginger = (200, 150, 125), (90, 70, 60), (190, 120, 50)
    pixels: np.ndarray = np.full((64, 64, 3), skin, np.uint8)
    pixels[40:50], pixels[50:] = dark, ginger
    rows = np.arange(64)[:, None] + np.zeros((64, 64), int)
    mask = (rows >= 32).astype(np.float32)
    change = np.abs(grey_change(measure_hair(pixels, mask, rows < 32, rows < 0, 64, beard=True), 0.7)).max(axis=2)
    at = 64 - len(change)  # the square around the mask begins here
    assert change[34 - at : 38 - at].max() < 3
    assert change[43 - at : 47 - at].min() > 10 and change[54 - at :].min() > 10


def test_a_cheek_in_the_shade_is_no_beard() -> None:
    """Half of a face in the shade, and short dark strands along the jaw: the strands turn grey, the shade does not."""
    rows, columns = np.mgrid[:128, :128]
    pixels = np.tile(np.float32([200, 150, 125]), (128, 128, 1))
    strands = (rows >= 80) & (rows % 8 < 4) & (columns % 8 < 4)
    pixels[strands] *= 0.3
    pixels[:, :64] *= 0.65
    mask = (rows >= 72).astype(np.float32)
    hair = measure_hair(pixels.astype(np.uint8), mask, rows < 110, rows < 0, 128, beard=True)
    change = np.zeros((128, 128))
    top, left = int(hair.top), int(hair.left)
    change[top:, left:] = grey_change(hair, 0.7).max(axis=2)[: 128 - top, : 128 - left]
    shade, inside = (rows > 82) & (columns < 48) & (rows < 104), strands & (rows > 82) & (rows < 104)
    skin_between = shade & (rows % 8 == 6) & (columns % 8 == 6)
    assert change[inside & (columns < 48)].mean() > 8
    assert np.abs(change[skin_between]).mean() < change[inside & (columns < 48)].mean() / 3
    assert (pixels.max(axis=2) + change)[shade].max() < 1.15 * 130  # it stays in the shade


def test_a_beard_turns_as_grey_on_dark_skin_as_the_head() -> None:
    """Dark skin before a white wall: what is grey is lighter than the skin."""
    rows = np.mgrid[:128, :128][0]
    pixels: np.ndarray = np.full((128, 128, 3), (62, 46, 38), np.uint8)
    pixels[90:] = (22, 18, 16)
    pixels[:8] = 230
    mask = (rows >= 90).astype(np.float32)
    beard, head = (
        measure_hair(pixels, mask, (rows > 20) & (rows < 90), rows < 0, 128, beard=is_beard)
        for is_beard in (True, False)
    )
    at = 100 - int(head.top)
    one, other = (grey_change(hair, 0.7)[at : at + 20].mean() for hair in (beard, head))
    assert other > 20 and one == pytest.approx(other, rel=0.15)


def test_stubble_turns_less_light_than_a_beard() -> None:
    rows = np.mgrid[:128, :128][0]

    def turned(colour: tuple) -> float:
        """By how many times a beard of this colour becomes lighter; before a white wall, so that grey may be light."""
        chin = (rows > 90) & (rows < 120)
        pixels = np.where(chin[..., None], colour, (200, 160, 140)).astype(np.uint8)
        pixels[:8] = 235
        hair = measure_hair(pixels, chin.astype(np.float32), (rows > 10) & (rows < 80), rows < 0, 128, beard=True)
        inner = hair.mask > 0.5
        return float((hair.pixels + grey_change(hair, 0.7))[inner].mean() / hair.pixels[inner].mean())

    assert 1.05 < turned((120, 92, 78)) < 1.42 < 1.8 < turned((60, 46, 38))  # 1.47 if nothing bounded it


def test_skin_between_the_strands_of_stubble_keeps_most_of_its_colour() -> None:
    rows, columns = np.mgrid[:384, :384]
    chin = (rows > 270) & (rows < 360)
    pixels = np.where((chin & (columns % 6 < 2))[..., None], (70, 54, 46), (200, 160, 140)).astype(np.uint8)
    hair = measure_hair(pixels, chin.astype(np.float32), (rows > 30) & (rows < 240), rows < 0, 384, beard=True)
    after = hair.pixels + grey_change(hair, 0.7)
    between = (slice(20, 70), columns[0, : len(after)] % 6 == 4)
    red_to_blue = [float((x[..., 0] - x[..., 2])[between].mean()) for x in (hair.pixels.astype(np.float32), after)]
    assert red_to_blue[1] > 0.75 * red_to_blue[0]


def test_a_patch_is_no_beard_and_around_the_mouth_one_may_be_smaller() -> None:
    rows, columns = np.mgrid[:384, :384]
    around_mouth = (rows > 220) & (rows < 260) & (columns > 120) & (columns < 260)

    def sure(height: int, width: int, top: int) -> float:
        beard: np.ndarray = np.zeros((384, 384), np.float32)
        beard[top : top + height, 150 : 150 + width] = 0.9
        share = share_of_beard(beard, around_mouth, 384)
        assert np.abs(np.diff(share, axis=0)).max() < 0.06, (
            "a beard has no edge where the mouth's surroundings have one"
        )
        return float(share[top + height // 2, 150 + width // 2])

    assert sure(24, 60, 228) > 0.8 and sure(24, 60, 310) < 0.02
    assert sure(80, 80, 290) > 0.9 and sure(12, 40, 230) < 0.1
    assert 0.1 < sure(50, 60, 310) < 0.8, "a film flickers where the one turns into the other at once"


def test_of_a_beard_that_is_not_sure_part_of_the_change_is_made() -> None:
    rows = np.mgrid[:128, :128][0]
    pixels = np.where((rows < 90)[..., None], (200, 160, 140), (60, 46, 38)).astype(np.uint8)
    mask = (rows >= 90).astype(np.float32)
    whole, half = (
        grey_change(measure_hair(pixels, mask, rows < 80, rows < 0, 128, beard=True, changing=changing), 0.7)
        for changing in (None, np.full_like(mask, 0.4))
    )
    assert np.allclose(half, 0.4 * whole, atol=1e-3) and whole.max() > 20


def test_what_the_app_finds_of_a_beard_fades_and_does_not_jump(
    editor: AgeEditor, portrait: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As more of a cheek is taken for a beard, more of it changes, from nothing on and by no step."""
    (face,) = editor.find_faces(portrait)
    found: list[float] = []
    for extent in range(0, 100, 2):

        def predict(picture: torch.Tensor, extent: int = extent) -> torch.Tensor:
            parts = torch.zeros(1, 2, *picture.shape[-2:])
            middle, unit = picture.shape[-1] // 2, picture.shape[-1] / 384
            size, lower, left = round(extent / 2 * unit), middle + round(40 * unit), middle - round(60 * unit)
            parts[0, 1, lower : lower + size, left : left + size] = 1
            return parts

        monkeypatch.setattr(editor.segmenter, "predict", predict)
        hairs = editor.encode(face).hair
        found.append(float(max((hair.mask.max() for hair in hairs), default=0.0)))
    assert found[0] == 0 and max(found) > 0.9
    assert max(np.diff(found)) < 0.4


def test_grey_hair_has_the_colour_of_its_light() -> None:
    hair, top = strands(), slice(8, 24)
    assert np.allclose(hair.tint, 1, atol=0.1)  # skin of the usual colour
    pixels = hair.pixels * np.float32([1, 0.5, 0.4])
    mask: np.ndarray = np.zeros((64, 64), np.float32)
    mask[:32] = 1
    red = measure_hair(pixels.astype(np.uint8), mask, mask == 0, mask < 0, 64)
    after = red.pixels + grey_change(red, 0.7)
    assert after[top, ..., 0].mean() > 1.5 * after[top, ..., 1].mean()
    in_white = hair.pixels + grey_change(hair, 0.7)
    assert in_white[top, ..., 0].mean() < 1.3 * in_white[top, ..., 1].mean()

    window = pixels.astype(np.uint8)
    window[60:, :40] = (244, 245, 246)
    before_window = measure_hair(window, mask, (mask == 0) & (window.max(axis=2) < 240), mask < 0, 64)
    assert np.allclose(before_window.tint, 1, atol=0.1), "red skin before a white wall is not in red light"
    window[60:, :40] = 255
    lamp = measure_hair(window, mask, (mask == 0) & (window.max(axis=2) < 240), mask < 0, 64)
    assert np.allclose(lamp.tint, red.tint, atol=0.02), "what is overexposed tells no colour"

    lamplit = (hair.pixels * np.float32([1, 0.83, 0.45])).astype(np.uint8)
    tint = measure_hair(lamplit, mask, mask == 0, mask < 0, 64).tint
    assert tint[2] < 0.75 * tint[1] and 1.08 * tint[1] < tint[0] < 1.25 * tint[1], "grey in a lamp's light is no olive"


@pytest.mark.parametrize(("wall", "warm"), [((222, 188, 143), True), ((200,) * 3, False), ((150, 180, 220), False)])
def test_grey_hair_is_not_blue_where_skin_and_wall_have_little_blue(wall: tuple[int, int, int], warm: bool) -> None:
    rows = np.mgrid[:64, :64][0]
    pixels = np.where(rows < 24, 60, 0)[..., None] + np.zeros(3, int)
    pixels[24:48], pixels[48:] = (189, 121, 91), wall
    mask = (rows < 24).astype(np.float32)
    hair = measure_hair(pixels.astype(np.uint8), mask, (rows >= 24) & (rows < 48), rows < 0, 64)
    red, green, blue = hair.tint
    if warm:
        assert 0.9 < blue / green < 0.97 and 1.01 < red / green < 1.08
    else:
        assert np.allclose(hair.tint, 1, atol=0.02)


def moustache(colour: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A white moustache on skin, 256 px, with this much colour: pixels, where it is, skin, where a beard may be."""
    rows, columns = np.mgrid[:256, :256]
    pixels = np.full((256, 256, 3), (190, 140, 115), np.float32)
    where_it_is = (rows >= 140) & (rows < 164) & (columns >= 80) & (columns < 176)
    teeth = (rows >= 164) & (rows < 176) & (columns >= 96) & (columns < 160)
    pixels[where_it_is] = (205, 200, 196)
    pixels[where_it_is & (columns // 2 % 2 == 0)] -= 24
    pixels[teeth | (columns >= 232)] = (230, 228, 220)  # and the wall
    pixels[184:192, 120:132] = (215, 210, 206)  # a light on the chin
    pixels[144:160, 176:224] = (205, 200, 196)  # a moustache so wide is none
    grey = pixels @ np.float32([0.299, 0.587, 0.114])
    pixels = grey[..., None] + colour * (pixels - grey[..., None])
    where = (rows >= 132) & ~teeth & (columns < 230)
    return np.rint(pixels).astype(np.uint8), where_it_is, (rows < 220) & (columns < 230), where


NOWHERE = np.zeros((256, 256), bool)


def test_the_rest_of_a_white_moustache_is_found_and_nothing_else() -> None:
    pixels, white, skin, where = moustache()
    columns = np.mgrid[:256, :256][1]
    found = np.where(white & (np.abs(columns - 128) < 32), np.float32(0.9), np.float32(0))
    whole = whole_beard(found, pixels, skin, where, NOWHERE, NOWHERE, 256)
    assert whole.dtype == np.float32 and (whole >= found).all()
    assert whole[148:156, 84:172].min() > 0.9
    assert whole[:132].max() == whole[164:176, 96:160].max() == whole[:, 200:].max() == 0
    assert whole[180:].max() < 0.03
    shining = np.where((white & (columns >= 128))[..., None], np.uint8([233, 203, 183]), pixels)
    of_skin = whole_beard(found, shining, skin, where, NOWHERE, NOWHERE, 256)
    assert of_skin[148:156, 84:112].min() > 0.9
    assert of_skin[150:154, 162:168].max() < 0.05, "what has no strands is skin"
    smooth = np.where((white & (columns >= 128))[..., None], np.uint8([205, 200, 196]), pixels)
    in_white_light = whole_beard(found, smooth, skin, where, NOWHERE, NOWHERE, 256)
    assert in_white_light[148:156, 84:112].min() > 0.9
    assert in_white_light[150:154, 164:170].max() < 0.1, "what is smooth is skin in light without colour"
    partly = whole_beard(found, pixels, skin, where * np.float32(0.5), NOWHERE, NOWHERE, 256)
    assert partly[148:156, 84:90].max() < 0.5 < whole[148:156, 84:90].min()
    dark = np.where(white[..., None], np.uint8(60), pixels)
    own = whole_beard(found, dark, skin, where, NOWHERE, NOWHERE, 256)
    assert own[:, :90].max() < 0.2 and own[148:156, :90].max() < 0.05, "what is dark may be a shadow"
    assert np.array_equal(whole_beard(0 * found, pixels, skin, where, NOWHERE, NOWHERE, 256), 0 * found)
    grey, _, _, _ = moustache(colour=0.02)
    assert np.array_equal(whole_beard(found, grey, skin, where, NOWHERE, NOWHERE, 256), found), (
        "in grey photos skin is colourless too"
    )


FAIR, RED, PALE = (190, 140, 115), (125, 62, 62), (115, 66, 64)


@pytest.mark.parametrize(
    ("skin", "lip", "hair", "shaded", "colour"),
    [
        (FAIR, RED, (75, 50, 40), 128, 1.0),
        (FAIR, RED, (75, 50, 40), 140, 1.0),
        (FAIR, PALE, (70, 60, 55), 256, 1.0),
        (FAIR, RED, (110, 66, 42), 256, 1.0),  # a brown one
        ((110, 75, 55), (80, 42, 38), (30, 24, 22), 110, 1.0),
        (FAIR, RED, (75, 50, 40), 128, 0.0),
    ],
)
def test_the_rest_of_a_dark_moustache_is_found_and_no_lips(
    skin: tuple[int, ...], lip: tuple[int, ...], hair: tuple[int, ...], shaded: int, colour: float
) -> None:
    """It reaches the end of the upper lip on both sides, and a part of the face is in the shade."""
    rows, columns = np.mgrid[:256, :256]
    pixels = np.full((256, 256, 3), skin, np.float32)
    dark, lips = ((rows >= top) & (rows < top + 16) & (columns >= 84) & (columns < 172) for top in (140, 156))
    pixels[dark], pixels[lips] = hair, lip
    pixels[:, shaded:] *= 0.6
    grey = pixels @ np.float32([0.299, 0.587, 0.114])
    pixels = np.rint(grey[..., None] + colour * (pixels - grey[..., None])).astype(np.uint8)
    found = np.where(dark & (np.abs(columns - 128) < 28), np.float32(0.9), np.float32(0))
    moustache = (rows >= 124) & (rows < 176)
    whole = whole_beard(found, pixels, ~dark & ~lips, rows >= 124, moustache, lips, 256)
    assert whole[146:150, 90:166].min() > 0.6
    assert whole[162:170].max() < 0.15, "lips are as dark"
    assert whole[124:135].max() < 0.15, "nor is skin in the shade a moustache"


@pytest.mark.parametrize("blur", [0.0, 2.0, 4.0])
def test_the_rest_of_a_full_white_beard_is_found_and_no_cheek_that_shines(blur: float) -> None:
    """The segmenter finds the chin. What is beard fills most of what is near, and a photo may be out of focus."""
    rows, columns = np.mgrid[:256, :256]
    pixels = np.full((256, 256, 3), (190, 140, 115), np.float32)
    beard = (rows >= 150) & (rows < 240) & (columns >= 60) & (columns < 196)
    shining = (rows >= 130) & (rows < 150) & (columns >= 60) & (columns < 196)
    pixels[beard], pixels[shining] = (215, 208, 202), (233, 203, 183)
    strands = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 60, (256, 256)).astype(np.float32), (0, 0), 1)
    pixels += (beard * strands)[..., None]
    if blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    found = ((np.abs(columns - 128) < 16) & (rows >= 205) & (rows < 235)).astype(np.float32)
    picture, skin, where = pixels.clip(0, 255).round().astype(np.uint8), (found == 0) & (columns < 200), rows >= 120
    whole = whole_beard(found, picture, skin, where, NOWHERE, NOWHERE, 256)
    assert whole[195:225, 100:156].mean() > 0.8
    chin = ((np.abs(columns - 128) < 40) & (rows >= 160) & (rows < 180)).astype(np.float32)
    whole = whole_beard(chin, picture, skin, where, NOWHERE, NOWHERE, 256)
    assert whole[156:166, 100:156].mean() > 0.8 and whole[134:141, 100:156].mean() < 0.2


def test_a_white_moustache_does_not_come_and_go_in_a_film() -> None:
    """The more likely the segmenter finds its middle, the more of the rest is there: no step at any likelihood."""
    pixels, white, skin, where = moustache()
    columns = np.mgrid[:256, :256][1]
    middle = white & (np.abs(columns - 128) < 32)
    shown = [
        float(
            whole_beard(middle * np.float32(likely), pixels, skin, where, NOWHERE, NOWHERE, 256)[148:156, 84:90].mean()
        )
        for likely in np.arange(0.3, 0.8, 0.05)
    ]
    assert shown[0] == 0 and shown[-1] > 0.9 and np.diff(shown).min() >= 0 and np.diff(shown).max() < 0.2


def test_the_editor_knows_where_a_beard_may_be(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(beard: np.ndarray, *rest: object) -> np.ndarray:
        asked.append(rest)
        return beard

    monkeypatch.setattr("agetransformer.editor.whole_beard", note)
    (face,) = editor.find_faces(load_photo(ROOT / "assets" / "astronaut.jpg"))
    editor.encode(face)
    ((_, skin, where, moustache, lips, side),) = asked
    size, landmarks = len(where), (face.geometry.landmarks_in_square - SURROUNDINGS[:2]) / SURROUNDINGS[2]
    points = {"nose": landmarks[1], "lip": landmarks[[2, 0, 0]].mean(axis=0), "teeth": landmarks[13:15].mean(axis=0)}
    points |= {"chin": landmarks[199], "brow": landmarks[105]}
    may = {name: bool(where[tuple((size * point[::-1]).astype(int))]) for name, point in points.items()}
    assert side == editor.resolution
    assert may == {"nose": False, "lip": True, "teeth": False, "chin": True, "brow": False}
    wall = where[int(size * points["chin"][1]), : size // 4]
    assert not wall.any() and skin.any()

    def dark_at(name: str) -> bool:
        return bool(moustache[tuple((size * points[name][::-1]).astype(int))])

    assert dark_at("lip") and not dark_at("chin") and not dark_at("teeth") and (where[moustache] == 1).all()
    assert where.dtype == np.float32 and where[tuple((size * points["chin"][::-1]).astype(int))] == 1
    assert np.diff(where[:, int(size * landmarks[50, 0])]).max() < 0.15, "on a cheek it begins softly"
    assert lips.any() and not (lips & skin).any()


def test_the_editor_lets_no_skin_glow_and_leaves_lips_and_hair(
    editor: AgeEditor, portrait: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def note(change: torch.Tensor, _face: object, _around: object, other_colours: torch.Tensor) -> torch.Tensor:
        asked.append(other_colours)
        return torch.zeros_like(change)

    monkeypatch.setattr("agetransformer.editor.without_glow", note)
    (face,) = editor.find_faces(portrait)
    encoding = editor.encode(face)
    (older,) = editor.decode(encoding, [65], hair=False)
    assert np.abs(older.change).max() < 1e-4, "it is asked last, of a face that grows older"
    count = len(asked)
    editor.decode(encoding, [20], hair=False)
    assert len(asked) == count, "and not of one that grows younger"
    landmarks, side = face.geometry.landmarks_in_square, encoding.reduced.shape[-1]

    def at(*points: int) -> float:
        column, row = (side * landmarks[list(points)].mean(axis=0)).astype(int)
        return asked[0][row, column].item()

    assert at(0) > 0.9 and at(17) > 0.9, "lips"
    assert at(50) < 0.05 and at(280) < 0.05 and at(1) < 0.1, "cheeks and nose"
    assert asked[0][: side // 12, side // 2].min() > 0.9, "hair"


def old_hair(colour: float = 1.0) -> Hair:
    """Grey hair of light and dark strands above skin with dark brows, 64 px; at 0 in black and white."""
    pixels = np.tile(np.float32([0.62, 0.6, 0.58]), (64, 64, 1))
    pixels[:, ::2] *= 1.2
    pixels[32:] = (0.8, 0.6, 0.5)
    pixels[40:44] = 0.2
    grey = pixels @ np.float32([0.299, 0.587, 0.114])
    pixels = grey[..., None] + colour * (pixels - grey[..., None])
    rows = np.arange(64)[:, None] + np.zeros((64, 64), int)
    brows = (rows >= 40) & (rows < 44)
    mask = (rows < 32).astype(np.float32)
    return measure_hair(np.rint(255 * pixels).astype(np.uint8), mask, (rows >= 32) & ~brows, brows, 64)


def test_grey_hair_turns_brown_and_keeps_its_strands():
    hair, top = old_hair(), slice(8, 24)
    before = hair.pixels.astype(np.float32)
    after = before + brown_change(hair, 1.0)
    assert np.array_equal(after[32:], before[32:])  # the skin
    assert 40 < after[top].mean() < 70  # as dark as the brows
    red, green, blue = after[top].mean(axis=(0, 1))
    assert red > 1.15 * green > 1.3 * blue
    assert (after[top, ::2] - after[top, 1::2]).mean() > 5
    half = before + brown_change(hair, 0.5)
    assert half.dtype == np.float32
    assert after[top].mean() + 15 < half[top].mean() < before[top].mean() - 15
    pale = old_hair(colour=0.0)
    shades = (pale.pixels + brown_change(pale, 1.0))[top]
    assert np.ptp(shades, axis=-1).max() < 1 and shades.mean() < 70  # a black and white photo stays one


def white_hair(differ: float) -> Hair:
    """White hair above skin, 128 px, whose strands differ by so many levels of light."""
    rows, columns = np.mgrid[:128, :128]
    strand = np.where(columns // 2 % 2 == 0, 1, -1)
    pixels = np.where((rows < 40)[..., None], (215, 213, 210), (200, 160, 140)).astype(np.float32)
    pixels += (strand * np.where(rows < 40, differ, 0))[..., None]
    mask = ((56 - rows) / 16).clip(0, 1).astype(np.float32)
    return measure_hair(pixels.round().astype(np.uint8), mask, rows > 64, rows < 0, 128)


def test_white_hair_that_shows_few_strands_is_no_felt_in_brown() -> None:
    flat, rich = white_hair(6), white_hair(40)

    def contrast(picture: np.ndarray) -> float:
        light = picture[8:24, 16:112].mean(axis=(0, 2))
        return float(light.std() / light.mean())

    made = [contrast(hair.pixels + brown_change(hair, 0.95)) for hair in (flat, rich)]
    plain = [contrast(hair.pixels.astype(np.float32)) for hair in (flat, rich)]
    assert made[0] > 4 * plain[0] and made[0] > 0.1
    assert made[1] < 4.5 * plain[1], "strands that are seen are not made more"
    noise = white_hair(1)
    assert contrast(noise.pixels + brown_change(noise, 0.95)) < 5 * contrast(noise.pixels.astype(np.float32))


def test_gaps_in_white_hair_are_dark_in_brown_and_not_black() -> None:
    rows, columns = np.mgrid[:128, :128]
    pixels = np.where((rows < 40)[..., None], (215, 213, 210), (200, 160, 140)).astype(np.float32)
    pixels[(rows < 40) & (columns % 12 < 2)] -= 90
    mask = ((56 - rows) / 16).clip(0, 1).astype(np.float32)
    hair = measure_hair(pixels.astype(np.uint8), mask, rows > 64, rows < 0, 128)
    made = (hair.pixels + brown_change(hair, 0.95))[8:24, 16:112].mean(axis=2)
    assert 0.15 * np.median(made) < made.min() < 0.7 * np.median(made)


def test_hair_that_is_not_grey_keeps_its_colour():
    blond = np.tile(np.float32([190, 150, 100]), (64, 64, 1))
    blond[32:] = (204, 153, 128)
    black = np.full((64, 64, 3), 30, np.uint8)
    black[32:] = (204, 153, 128)
    mask: np.ndarray = np.zeros((64, 64), np.float32)
    mask[:32] = 1
    for pixels in (blond.astype(np.uint8), black):
        hair = measure_hair(pixels, mask, mask == 0, np.zeros_like(mask, bool), 64)
        assert np.abs(brown_change(hair, 1.0)).max() < 3


def test_light_locks_of_a_grey_head_are_grey_in_coloured_light_too() -> None:
    mask: np.ndarray = np.zeros((128, 128), np.float32)
    mask[:64] = 1

    def greyness_right(
        right: tuple[int, int, int],
        left: tuple[int, int, int],
        columns: int = 96,
        skin: tuple[int, int, int] = (204, 153, 128),
    ) -> float:
        pixels = np.empty((128, 128, 3), np.uint8)
        pixels[:64, :columns], pixels[:64, columns:], pixels[64:] = left, right, skin
        hair = measure_hair(pixels, mask, mask == 0, mask < 0, 128)
        return float(hair.greyness[20:44, 118:126].mean())

    white, brown, rosy, lilac = (225, 222, 218), (120, 90, 66), (210, 172, 152), (185, 150, 205)
    assert greyness_right(rosy, white) > 0.9 and greyness_right(lilac, white) > 0.9
    assert greyness_right(brown, white) < 0.1, "what is dark is not grey"
    assert greyness_right((225, 70, 150), white) < 0.1, "nor what is dyed"
    for most in (brown, (30, 28, 27), (60, 55, 51)):
        assert greyness_right(lilac, most) < 0.35, "nor where most is dark"
    assert greyness_right(lilac, white, 32) < 0.35, "nor where little is white"
    assert greyness_right((85, 64, 48), (36, 34, 33), skin=(90, 58, 44)) < 0.4, "nor on dark skin"


def test_a_white_beard_turns_brown_though_the_skin_shines_through() -> None:
    """As colourful as the skin, or nearly, and as light: no dark beard, and no hair of the head."""
    rows = np.mgrid[:64, :64][0]
    pixels = np.where((rows < 32)[..., None], (200, 150, 125), (185, 152, 136)).astype(np.uint8)
    dark = np.where((rows < 32)[..., None], (200, 150, 125), (70, 54, 44)).astype(np.uint8)
    mask = (rows >= 36).astype(np.float32)
    white, head = (measure_hair(pixels, mask, rows < 32, rows < 0, 64, beard=is_beard) for is_beard in (True, False))
    inner = white.mask > 0.5
    assert np.array_equal(white.mask, head.mask)
    assert white.greyness[inner].min() > 0.9 and head.greyness[inner].max() < 0.8
    assert brown_change(white, 1.0)[inner].mean() < -60
    others = [np.where((rows < 32)[..., None], (200, 150, 125), beard) for beard in [(190, 142, 118), (200, 170, 120)]]
    for picture in (dark, *others):  # skin alone, as below stubble or where the mask is wrong; a blond beard
        own = measure_hair(picture.astype(np.uint8), mask, rows < 32, rows < 0, 64, beard=True)
        assert own.greyness[own.mask > 0.5].max() < 0.1


def test_where_nothing_is_lost_nothing_changes():
    for hair in (old_hair(), strands()):
        assert np.abs(brown_change(hair, 0.0)).max() < 0.01
    assert np.abs(hair_change(old_hair(), 65, 64).values).max() < 12  # no jump where the years begin to go


def test_the_age_says_which_way_the_hair_goes():
    hair = old_hair()
    younger, same, older = (hair_change(hair, 60, target) for target in (30, 60, 69))
    assert younger.values[8:24].mean() < -50 and same is None and older is not None
    assert np.abs(older.values).max() < 40  # most of it is grey already


def test_of_a_picture_the_square_around_the_hair_is_kept():
    mask: np.ndarray = np.zeros((60, 60), np.float32)
    mask[4:12, 20:40] = 1
    pixels = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    hair = measure_hair(pixels, mask, mask == 0, mask < 0, 40, (10, 7))
    assert hair.mask.shape == (22, 22) and (hair.left, hair.top) == (19 - 10, 3 - 7)
    assert np.array_equal(hair.pixels, pixels[3:25, 19:41]) and np.array_equal(hair.mask, mask[3:25, 19:41])


@pytest.mark.parametrize(("left", "top"), [(2, 1), (-2, -3), (6, 5), (-9, 0), (12, 3)])
def test_the_hair_is_where_it_says(left: int, top: int) -> None:
    """In the face's square, and in the photo that the square is all of."""
    image = Image.new("RGB", (8, 8), (100, 100, 100))
    corners = np.array([[0.0, 0], [0, 8], [8, 8], [8, 0]])
    values: np.ndarray = np.zeros((6, 6, 3), np.float32)
    values[1:5, 1:5] = 40
    face = Face(FaceGeometry(geometry((4, 4), 8).landmarks, corners, {}), image, 30.0)
    edited = EditedFace(face, 65.0, np.zeros((8, 8, 3), np.float32), (HairChange(values, left, top),))
    expected: np.ndarray = np.full((30, 30), 100)
    expected[10 + top + 1 : 10 + top + 5, 10 + left + 1 : 10 + left + 5] = 140
    expected = expected[10:18, 10:18]
    for square in (edited.image, edited.masked):
        assert (np.asarray(square) == expected[..., None]).all()
    pasted = paste(np.asarray(image), edited.placed_changes())
    assert np.abs(pasted.astype(int) - expected[..., None]).max() <= 1


def test_little_hair_in_a_small_square_is_a_pixel_at_least() -> None:
    image = Image.new("RGB", (12, 12), (100, 100, 100))
    values: np.ndarray = np.full((3, 3, 3), 40, np.float32)
    face = Face(geometry((6, 6), 12), image, 30.0)
    edited = EditedFace(face, 65.0, np.zeros((384, 384, 3), np.float32), (HairChange(values, 100, 100),))
    assert paste(np.asarray(image), edited.placed_changes()).shape == (12, 12, 3)


def test_surroundings_are_twice_as_wide() -> None:
    assert [surroundings_side(side) for side in (384, 512, 250)] == [768, 1024, 500]


@pytest.fixture(scope="module")
def editor(embedded: None, generator_of_192: Path) -> AgeEditor:
    return AgeEditor.from_pretrained(str(generator_of_192), device="cpu")


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return portrait_square(256)


def test_the_editor_turns_hair_grey_in_older_faces_alone(editor: AgeEditor, portrait: Image.Image) -> None:
    face = replace(editor.face_from_aligned(portrait), age=32.0)
    encoding = editor.encode(face)
    assert len(encoding.hair) == 1  # and no beard

    def change(age: float, strength: float = 1.0) -> np.ndarray:
        grey, plain = (
            np.asarray(editor.decode(encoding, [age], strength, hair)[0].image).astype(float).mean(axis=2)
            for hair in (True, False)
        )
        return grey - plain

    old = change(65)
    assert old[30:60, 100:150].mean() > 20  # her fringe
    assert np.abs(old[130:200, 100:150]).max() <= 3 and np.abs(old[:, :8]).max() <= 3  # her face, the wall
    assert np.abs(change(25)).max() == 0
    half = change(65, 0.5)[30:60, 100:150].mean()
    assert half == pytest.approx(old[30:60, 100:150].mean() / 2, rel=0.1)
    (most,), (usual,) = (editor.decode(encoding, [65], strength) for strength in (1.5, 1.0))
    assert np.array_equal(most.hair[0].values, usual.hair[0].values), "there is no more than all of a colour"
    assert np.abs(most.change).mean() > 1.1 * np.abs(usual.change).mean()


def test_a_beard_turns_grey_and_the_face_above_it_does_not(editor: AgeEditor, portrait: Image.Image) -> None:
    painted = paint_beard(to_unit(torch.from_numpy(np.asarray(portrait).copy()).permute(2, 0, 1)[None]))
    bearded = Image.fromarray(((painted[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())
    encoding = editor.encode(replace(editor.face_from_aligned(bearded), age=32.0))
    _, beard = encoding.hair
    assert beard.top > 0.5 * editor.resolution
    (old,), (plain,) = (editor.decode(encoding, [65], hair=hair) for hair in (True, False))
    assert len(old.hair) == 2 and old.hair[1].values.mean() > 5 and plain.hair == ()
    change = np.asarray(old.image).astype(int) - np.asarray(plain.image)
    assert change[218:232, 110:146].mean() > 8  # her chin
    assert np.abs(change[130:155, 100:150]).max() <= 3  # her nose


def test_lids_do_not_turn_grey_with_a_fringe(
    editor: AgeEditor, portrait: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hair down to the brows, whose matte goes on over an eye."""
    (face,) = editor.find_faces(portrait)
    assert face.geometry is not None
    corner, squares = np.array(SURROUNDINGS[:2]), SURROUNDINGS[2]
    landmarks = (face.geometry.landmarks_in_square - corner) / squares
    lines = around_eyes(landmarks)
    for line, brow, eye in zip(lines, BROWS, EYES, strict=True):
        x, y = (256 * landmarks[[*brow, *eye]].mean(axis=0)).astype(int)
        assert fill_outline(line, 256)[y, x] and 0.003 < fill_outline(line, 256).mean() < 0.03

    def predict(picture: torch.Tensor) -> torch.Tensor:
        parts = torch.zeros(1, 2, *picture.shape[-2:])
        parts[0, 0, : int(lines[0][:, 1].min() * picture.shape[-1])] = 1
        return parts

    def everywhere(pixels: np.ndarray, mask: np.ndarray, side: int) -> Matte:
        return Matte(np.ones_like(mask), pixels)

    monkeypatch.setattr(editor.segmenter, "predict", predict)
    monkeypatch.setattr("agetransformer.hair_colour.matte_hair", everywhere)
    (hair,) = editor.encode(face).hair
    whole: np.ndarray = np.zeros((surroundings_side(192),) * 2, np.float32)
    top, left = (round(float(at + 192 * place)) for at, place in ((hair.top, -corner[1]), (hair.left, -corner[0])))
    whole[top : top + len(hair.mask), left : left + len(hair.mask)] = hair.mask
    for eye in EYES:
        x, y = (len(whole) * landmarks[list(eye)].mean(axis=0)).astype(int)
        assert whole[y, x] < 0.1 and whole[y + 40, x] > 0.9


def test_hair_turns_grey_up_to_the_crown(editor: AgeEditor) -> None:
    photo = load_photo(ROOT / "assets" / "astronaut.jpg")
    (face,) = editor.find_faces(photo)
    assert face.surroundings is not None and face.surroundings.width == surroundings_side(editor.resolution)
    face = replace(face, age=32.0)
    grey, plain = (
        editor.paste_pixels(np.asarray(photo), editor.decode(editor.encode(face), [65], hair=hair)[0]).astype(int)
        for hair in (True, False)
    )
    change = np.abs(grey - plain).max(axis=2)
    left, top, right, _ = (*face.position.quad.min(axis=0).astype(int), *face.position.quad.max(axis=0).astype(int))
    crown = change[top + 4 : top + 16, left:right]  # along the border of her square
    assert (crown > 15).mean() > 0.3
    assert change[300:].max() == 0 and change[:, :60].max() == 0


def test_surroundings_of_another_resolution_are_taken_for_what_they_are(editor: AgeEditor) -> None:
    (face,) = editor.find_faces(load_photo(ROOT / "assets" / "astronaut.jpg"))
    other = replace(face, surroundings=face.surroundings.resize((800, 800), Image.Resampling.LANCZOS))
    (hair,), (same,) = (editor.encode(one).hair for one in (face, other))
    assert abs(hair.left - same.left) <= 2 and abs(len(hair.mask) - len(same.mask)) <= 3


def test_hair_that_was_not_looked_for_stays(editor: AgeEditor, portrait: Image.Image) -> None:
    encoding = editor.encode(replace(editor.face_from_aligned(portrait), age=32.0), hair=False)
    grey, plain = (np.asarray(editor.decode(encoding, [65], hair=hair)[0].image) for hair in (True, False))
    assert encoding.hair == () and np.array_equal(grey, plain)


def test_where_there_is_no_hair_none_turns_grey(editor: AgeEditor) -> None:
    face = replace(editor.face_from_aligned(Image.new("RGB", (128, 128), "white")), age=30.0)
    assert editor.encode(face).hair == ()


def test_skin_beside_dark_hair_does_not_glow_where_the_mask_goes_too_far():
    rows = np.mgrid[:128, :128][0]
    pixels = np.where((rows < 40)[..., None], (40, 30, 25), (200, 160, 140)).astype(np.uint8)
    mask = ((48 - rows) / 4).clip(0, 1).astype(np.float32)  # into the forehead
    change = turned_grey(pixels, mask, rows > 60)
    assert np.abs(change[42:]).max() < 3
    assert change[5:39].mean() > 30  # the hair itself turns grey


def test_a_fringe_keeps_no_colour_where_light_falls_on_it_and_the_skin_below_does() -> None:
    """Dark brown hair, which ends in strands as light as the skin, some of them orange, and in skin between them."""
    rows, columns = np.mgrid[:384, :384]
    pixels = np.where((rows < 120)[..., None], (60, 30, 20), (200, 160, 140)).astype(np.uint8)
    ends = (rows >= 120) & (rows < 144)
    orange, lit = (ends & (columns // 24 % 2 == part) for part in range(2))
    pixels[orange] = (240, 150, 90)
    mask = ((156 - rows) / 12).clip(0, 1).astype(np.float32)

    after = pixels + turned_grey(pixels, mask, rows > 180)

    def colour(picture: np.ndarray, where: np.ndarray) -> float:
        """Red beyond blue, where it is sure to be one of the two."""
        inner = where & (rows >= 126) & (rows < 138) & (columns % 24 > 6) & (columns % 24 < 18)
        return float((picture[inner][:, 0].astype(float) - picture[inner][:, 2]).mean())

    assert colour(after, orange) < 0.45 * colour(pixels, orange)
    assert colour(after, lit) > 0.62 * colour(pixels, lit)


def turned_grey(pixels: np.ndarray, mask: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """What a picture [F, F, 3] changes by where 0.7 of its hair turns grey: [F, F, 3]."""
    hair = measure_hair(pixels, mask, skin, np.zeros_like(skin), len(pixels))
    changed: np.ndarray = np.zeros(pixels.shape, np.float32)
    made = grey_change(hair, 0.7)
    changed[int(hair.top) :, int(hair.left) :][: len(made), : len(made)] = made
    return changed
