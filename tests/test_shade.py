"""What somebody who grows older is shaded by: folds stay, bruises do not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.shade import (
    colour_around,
    directedness,
    redden_shade,
    soften_ageing,
    soften_blotches,
    soften_ridges,
    soften_shade,
    warm_shade,
    without_glow,
)
from agetransformer.shading import luma

SIDE = 192
SKIN = torch.tensor([0.5, 0.1, -0.1])[None, :, None, None].expand(1, 3, SIDE, SIDE)


def spot(deviation: float, depth: float) -> Tensor:
    """What takes so much of the light at the middle, so wide in pixels: the change of `SKIN`, [1, 3, SIDE, SIDE]."""
    rows = torch.arange(SIDE) - SIDE / 2 + 0.5
    shape = torch.exp(-0.5 * (rows[:, None] ** 2 + rows**2) / deviation**2)
    return -depth * shape * (SKIN + 1)


def line(depth: float) -> Tensor:
    """The same, of a vertical line of two pixels."""
    change = torch.zeros(1, 3, SIDE, SIDE)
    change[..., SIDE // 2 - 1 : SIDE // 2 + 1] = -depth * (SKIN[..., :2] + 1)
    return change


def left(change: Tensor) -> float:
    """The share of the light that is taken at the middle after softening, of that before."""
    made = soften_shade(change, SKIN)
    middle = (0, SIDE // 2, SIDE // 2)
    return (luma(made)[middle] / luma(change)[middle]).item()


def test_wide_shade_is_softened_and_lines_and_light_stay() -> None:
    assert left(spot(12, 0.25)) < 0.35
    assert left(line(0.15)) > 0.8
    assert left(spot(12, 0.01)) == pytest.approx(1)  # hardly there
    assert left(-spot(12, 0.25)) == pytest.approx(1)  # a highlight
    flat = soften_shade(-0.3 * (SKIN + 1), SKIN)
    once = 0.02 + 0.18 * (0.3 - 0.02)
    assert torch.allclose(luma(flat), -(0.012 + 0.18 * (once - 0.012)) * (luma(SKIN) + 1), atol=0.005)


@pytest.mark.parametrize(("width", "kept"), [(1, 0.8), (1.5, 0.6)])
def test_a_fold_keeps_most_of_its_depth(width: float, kept: float) -> None:
    """A fold of 2 or 3 px of 384, by its standard deviation, that takes 0.15 of the light."""
    across = torch.arange(SIDE) - SIDE / 2 + 0.5
    fold = -0.15 * torch.exp(-0.5 * (across / width) ** 2) * (SKIN + 1)
    assert left(fold) > kept


def test_a_soft_edge_of_a_shade_is_no_ring() -> None:
    across = torch.arange(SIDE) - SIDE / 2 + 0.5
    away = (across[:, None] ** 2 + across**2).sqrt()
    disc = -0.1 * torch.sigmoid((16 - away) / 2) * (SKIN + 1)
    made = -luma(soften_shade(disc, SKIN)) / (luma(SKIN) + 1)
    assert made.max() - made[0, SIDE // 2, SIDE // 2] < 0.015


def test_the_wider_a_shade_the_less_of_it_stays() -> None:
    kept = [left(spot(deviation, 0.1)) for deviation in (1, 2, 4, 8, 16)]
    assert kept == sorted(kept, reverse=True) and kept[0] > 0.75 and kept[-1] < 0.3


def test_a_deeper_shade_stays_deeper() -> None:
    depths = [luma(soften_shade(spot(12, depth), SKIN)).min().item() for depth in (0.05, 0.15, 0.3, 0.6)]
    assert depths == sorted(depths, reverse=True)


def test_a_wrinkle_in_a_bag_is_as_deep_below_the_bag_as_before() -> None:
    bag, wrinkled = spot(12, 0.2), spot(12, 0.2) + line(0.1)
    before, after = (luma(x)[0, SIDE // 2, SIDE // 2] for x in (wrinkled - bag, soften_shade(wrinkled, SKIN)))
    below = after - luma(soften_shade(bag, SKIN))[0, SIDE // 2, SIDE // 2]
    assert below.item() == pytest.approx(before.item(), rel=0.25)


def blotches(depth: float, size: int = 4) -> Tensor:
    """What takes up to so much of the light in patches of so many pixels without a direction: [1, 3, SIDE, SIDE]."""
    noise = torch.randn(1, 1, SIDE // size, SIDE // size, generator=torch.Generator().manual_seed(0))
    shape = F.interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 1)
    return -depth * shape * (SKIN + 1)


def kept(change: Tensor) -> float:
    """How much of what darkens is left of blotches, of all that did."""
    return (luma(soften_blotches(change, SKIN)).sum() / luma(change).sum()).item()


def test_blotches_fade_and_lines_get_deeper() -> None:
    assert kept(blotches(0.1)) < 0.65 and kept(spot(3, 0.1)) < 0.5
    assert 1.15 < kept(line(0.1)) < 1.5 and kept(line(0.1).transpose(2, 3)) == pytest.approx(kept(line(0.1)))
    slanted = (line(0.1) + line(0.1).roll(1, dims=3)).clone()
    for row in range(SIDE):
        slanted[:, :, row] = slanted[:, :, row].roll((row - SIDE // 2) // 2, dims=-1)
    assert kept(slanted) > 1.15
    nets = torch.minimum(line(0.1), line(0.1).transpose(2, 3))
    assert kept(nets) > 1, "wrinkles may cross"


def test_what_is_faint_flat_or_light_is_no_blotch() -> None:
    faint = blotches(0.012)
    assert torch.allclose(soften_blotches(faint, SKIN), faint, atol=1e-6)
    flat = -0.1 * (SKIN + 1)
    assert torch.allclose(soften_blotches(flat, SKIN), flat, atol=1e-3), "nothing tells what it is"
    lighter = -blotches(0.2)
    assert torch.equal(soften_blotches(lighter, SKIN), lighter)
    made = soften_blotches(blotches(0.2), SKIN)
    assert made.max() <= 0, "nothing gets lighter than it was"
    share = made / (SKIN + 1)
    assert torch.allclose(share.amax(dim=1), share.amin(dim=1), atol=1e-6), "its hue stays"


def test_the_app_fades_blotches_too_and_the_more_there_is_the_more_is_left() -> None:
    left = [-luma(soften_ageing(blotches(depth), SKIN)).sum().item() for depth in (0.03, 0.06, 0.12, 0.24)]
    assert left == sorted(left)
    before = -luma(blotches(0.12)).sum().item()
    assert left[2] < 0.45 * before


def test_directions_are_told_at_any_size() -> None:
    """Of a face of 192 px and of the same twice and four times as large, and in parts of a batch."""
    lines, patches = (-luma(x) / (luma(SKIN) + 1) for x in (line(0.1), blotches(0.1)))
    told = directedness(torch.cat([lines, patches]))
    assert told[0, :, SIDE // 2 - 4 : SIDE // 2 + 4].min() > 0.9
    assert told[1].median() < 0.35
    assert torch.allclose(told[1:], directedness(patches), atol=1e-6)
    assert directedness(torch.zeros(1, SIDE, SIDE)).numpy() == pytest.approx(0.575, abs=1e-3)
    for times in (2, 4):
        larger = patches.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
        again = directedness(larger)[:, times // 2 :: times, times // 2 :: times]
        assert (again - told[1:]).abs().mean() < 0.02


@pytest.mark.parametrize("softness", [1, 6])
def test_the_edge_of_a_wide_shade_gets_no_deeper_than_its_middle(softness: float) -> None:
    across = torch.arange(SIDE) - SIDE / 2 + 0.5
    away = (across[:, None] ** 2 + across**2).sqrt()
    disc = -0.1 * torch.sigmoid((48 - away) / softness) * (SKIN + 1)
    made = -luma(soften_blotches(disc, SKIN)) / (luma(SKIN) + 1)
    assert made.max() < 1.12 * made[0, SIDE // 2, SIDE // 2] and made.max() < 0.113


def test_small_blotches_fade_most_and_wide_ones_get_no_deeper() -> None:
    made = [kept(F.avg_pool2d(blotches(0.1, size=size), 3, 1, 1)) for size in (2, 4, 8, 16)]
    assert made == sorted(made) and made[0] < 0.5 and made[-1] < 1.03


def test_shade_is_no_bluer_than_green_and_as_dark_as_before() -> None:
    purple = torch.tensor([0.84, 0.80, 0.84])[None, :, None, None]
    change = (purple - 1) * (SKIN + 1)
    made = warm_shade(change, SKIN)
    assert torch.allclose(luma(made), luma(change), atol=1e-5)
    red, green, blue = ((SKIN + made + 1) / (SKIN + 1))[0, :, 0, 0].tolist()
    assert blue < green < red
    assert blue == pytest.approx(0.80 - 0.7 * 0.04 + (green - 0.80), abs=0.02)


def test_wrinkles_in_overexposed_skin_are_red_and_as_dark_as_before() -> None:
    white = torch.tensor([1.0, 0.7, 0.6])[None, :, None, None].expand(1, 3, SIDE, SIDE)
    wrinkle = -0.15 * (white + 1) * (line(1) < 0)
    made, middle = redden_shade(wrinkle, white), (0, slice(None), SIDE // 2, SIDE // 2)
    assert torch.allclose(luma(made), luma(wrinkle), atol=1e-5)
    red, green, blue = (made / wrinkle)[middle].tolist()
    assert 0.4 < red < 0.6 and 1.15 < green == pytest.approx(blue, abs=0.03)
    assert torch.allclose(redden_shade(line(0.15), SKIN), line(0.15)), "other skin shows all of its red"
    wide = -0.15 * torch.exp(-0.5 * ((torch.arange(SIDE) - SIDE / 2) / 30) ** 2) * (white + 1)
    assert (redden_shade(wide, white) / wide)[middle][0] > 0.9, "a cheek is no wrinkle"
    assert torch.equal(redden_shade(-wrinkle, white), -wrinkle), "what gets lighter stays"
    for grey in (torch.ones_like(white), white.flip(1)):
        plain = -0.15 * (grey + 1) * (line(1) < 0)
        assert torch.allclose(redden_shade(plain, grey), plain), "white hair, or under a blue lamp"
    shown = soften_ageing(wrinkle, white)[middle] / (white + 1)[middle]
    assert shown[0] > 0.6 * shown[1], "in the app too"


def test_a_bruise_becomes_a_light_and_warm_shade() -> None:
    bruise = spot(12, 0.3) * torch.tensor([1.0, 1.05, 0.85])[None, :, None, None]
    made = soften_ageing(bruise, SKIN)
    middle = (0, slice(None), SIDE // 2, SIDE // 2)
    red, green, blue = ((made + SKIN + 1) / (SKIN + 1))[middle].tolist()
    assert blue < green < red
    assert luma(made).min() > 0.25 * luma(bruise).min()
    plain = soften_ageing(spot(12, 0.3), SKIN)[middle] / (SKIN + 1)[middle]
    assert plain.max() - plain.min() < 1e-3, "what has the hue of its skin keeps it"


def test_nothing_beside_a_shade_gets_lighter() -> None:
    half = torch.zeros(1, 3, SIDE, SIDE)
    half[..., : SIDE // 2] = -0.3 * (SKIN[..., : SIDE // 2] + 1)
    made = soften_shade(half, SKIN)
    assert torch.equal(made[..., SIDE // 2 :], half[..., SIDE // 2 :]) and made.max() <= 0


def test_a_ridge_beside_a_fold_is_lower_and_the_fold_as_deep() -> None:
    fold, ridge = line(0.12), -line(0.12).roll(3, dims=3)
    made = soften_ridges(fold + ridge, SKIN)
    light, fold_at = luma(SKIN)[0, 0, 0] + 1, SIDE // 2
    before, after = (luma(x)[0, 10] / light for x in (fold + ridge, made))
    assert before[fold_at + 3] == pytest.approx(0.12, abs=0.001)
    assert 0.01 < after[fold_at + 3] < 0.07, "it still stands out"
    assert torch.allclose(after[: fold_at + 1], before[: fold_at + 1], atol=1e-6)
    both = soften_ageing(fold + ridge, SKIN)
    assert luma(both)[0, 10, fold_at + 3] < 0.07 * light, "in the app and in lessons"
    hue = (SKIN + made + 1) / (SKIN + 1)
    assert torch.allclose(hue.amax(dim=1), hue.amin(dim=1), atol=1e-5)


def test_what_gets_as_light_as_its_surroundings_is_no_ridge() -> None:
    brow = SKIN + line(0.5)
    assert torch.allclose(soften_ridges(-line(0.45), brow), -line(0.45), atol=1e-6), "a brow turns grey"
    glossy = SKIN - line(0.3)
    brighter = torch.full_like(SKIN, 0.1)
    assert torch.allclose(soften_ridges(brighter, glossy), brighter, atol=1e-6), "a shine was there before"
    for change in (spot(12, 0.2), line(0.2)):
        assert torch.equal(soften_ridges(change, SKIN), change), "nothing got lighter"


@pytest.mark.parametrize(("pixel", "change"), [((200, 2, 150), (-20, -5, -15)), ((60, 2, 220), (-6, -3, -20))])
def test_under_coloured_lamps_no_colour_is_made_up(pixel: tuple[int, ...], change: tuple[int, ...]) -> None:
    face, changes = (torch.tensor(x)[None, :, None, None].expand(1, 3, 8, 8) / 127.5 for x in (pixel, change))
    moved = 127.5 * (warm_shade(changes, face - 1) - changes)
    assert moved.abs().max() < 25


def test_what_is_warm_or_light_keeps_its_colour() -> None:
    for ratios in ((0.84, 0.80, 0.74), (1.1, 1.1, 1.2), (0.995, 0.99, 0.995), (1.0, 1.0, 1.0)):
        change = (torch.tensor(ratios)[None, :, None, None] - 1) * (SKIN + 1)
        assert torch.allclose(warm_shade(change, SKIN), change, atol=1e-6), ratios


def test_each_face_of_a_batch_is_its_own_and_black_is_no_division_by_zero() -> None:
    changes, faces = torch.cat([spot(12, 0.3), line(0.3)]), SKIN.repeat(2, 1, 1, 1)
    for rule in (soften_shade, warm_shade, redden_shade, soften_ridges, soften_blotches):
        both = rule(changes, faces)
        assert torch.allclose(both[1:], rule(changes[1:], faces[1:]), atol=1e-6)
        assert rule(changes, torch.full_like(faces, -1.0)).isfinite().all()
        assert rule(changes[..., :37, :37], faces[..., :37, :37]).shape == (2, 3, 37, 37)


def test_skin_in_the_shade_does_not_glow_where_it_gets_lighter() -> None:
    """A warm shade as below an eye, made as light as the skin around."""
    warm = torch.tensor([-0.1, -0.35, -0.45])[:, None, None]  # of the light: it loses less red
    face = SKIN[0].clone()
    eye = (slice(None), slice(92, 100), slice(80, 112))
    face[eye] += (warm * (SKIN[0] + 1))[eye]
    lit = torch.zeros_like(face)
    lit[eye] = 0.2 * (face[eye] + 1)
    bare = torch.zeros(SIDE, SIDE)
    made = without_glow(lit, face, colour_around(face), bare)
    assert torch.allclose(luma(made[None]), luma(lit[None]), atol=1e-5)

    def colourful(change: Tensor) -> float:
        colour = (face + change + 1)[:, 96, 96]
        return ((colour.max() - colour.min()) / luma(colour[None, :, None, None])).item()

    around = colourful(SKIN[0] - face)
    assert colourful(made) < around + 0.4 * (colourful(lit) - around)
    assert torch.equal(without_glow(lit, face, colour_around(face), bare + 1), lit), "lips stay red"
    darker = -0.2 * (face + 1)
    assert torch.allclose(without_glow(darker, face, colour_around(face), bare), darker, atol=1e-6)
    shine = 0.2 * (SKIN[0] + 1)
    assert torch.allclose(without_glow(shine, SKIN[0], colour_around(SKIN[0]), bare), shine, atol=1e-3), (
        "of the skin's own colour"
    )
    paler = face.clone()
    paler[eye] = (0.9 * SKIN[0] + 0.1 * luma(SKIN))[eye]
    lit = 0.2 * (paler + 1)
    assert torch.allclose(without_glow(lit, paler, colour_around(paler), bare)[eye], lit[eye], atol=1e-3), (
        "no more colourful than the others"
    )
    black = torch.full_like(face, -1.0)
    assert without_glow(lit, black, colour_around(black), bare).isfinite().all()
    dark = SKIN[0].clone()
    dark[:, 90:100, 90:100] = torch.tensor([11, 3, 0])[:, None, None] / 127.5 - 1
    assert torch.equal(without_glow(0 * dark, dark, colour_around(dark), bare), 0 * dark), (
        "what does not get lighter stays"
    )
