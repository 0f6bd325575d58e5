"""Age spots go from who is made younger; wrinkles, moles, wide shade and features stay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from agetransformer import AgeEditor
from agetransformer.face_outline import BROWS, EYES, LIPS, NOSE_END
from agetransformer.shading import luma
from agetransformer.spots import roundness, spots_gone, spots_mask, without_spots
from tests.test_skin_maps import portrait_square

SIDE, MIDDLE = 384, 192
SKIN = torch.tensor([0.5, 0.1, -0.1])[:, None, None].expand(3, SIDE, SIDE)
EVERYWHERE, NO_CHANGE = torch.ones(SIDE, SIDE), torch.zeros(3, SIDE, SIDE)
Colour = tuple[float, float, float]


def darkened(shape: Tensor, depth: float, colour: Colour = (1, 1, 1)) -> Tensor:
    """`SKIN` that loses so much of its light where a shape [SIDE, SIDE] is 1."""
    return (SKIN + 1) * (1 - depth * shape * torch.tensor(colour)[:, None, None]) - 1


def spot(deviation: float, depth: float, colour: Colour = (1, 1, 1)) -> Tensor:
    """A round spot at the middle, so wide in pixels."""
    rows = torch.arange(SIDE) - MIDDLE
    return darkened(torch.exp(-0.5 * (rows[:, None] ** 2 + rows**2) / deviation**2), depth, colour)


def line_shape(slope: float) -> Tensor:
    """A line three pixels wide through the middle."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    away = (columns - MIDDLE - slope * (rows - MIDDLE)) / (1 + slope**2) ** 0.5
    return torch.exp(-0.5 * (away / 1.5) ** 2)


def healed(face: Tensor, share: float = 1.0, mask: Tensor = EVERYWHERE) -> Tensor:
    return face + without_spots(NO_CHANGE, face, mask * torch.from_numpy(roundness(face)), share)[0]


def depth_left(face: Tensor, share: float = 1.0, mask: Tensor = EVERYWHERE) -> float:
    """How much of what the middle is darker than the skin by is left."""
    before, after = (
        (luma(x[None]) - luma(SKIN[None]))[0, MIDDLE, MIDDLE].item() for x in (face, healed(face, share, mask))
    )
    return after / before


def test_spots_go_and_all_else_stays() -> None:
    for deviation in (1.5, 2, 2.5):
        assert depth_left(spot(deviation, 0.1)) < 0.45, deviation
    assert depth_left(spot(2, 0.1), share=0.5) == pytest.approx((1 + depth_left(spot(2, 0.1))) / 2, abs=0.05)
    assert torch.equal(healed(spot(2, 0.1), mask=0 * EVERYWHERE), spot(2, 0.1))
    assert depth_left(spot(2, 0.5)) > 0.95, "a mole"
    assert depth_left(spot(2, 0.27)) > 0.15 + depth_left(spot(2, 0.18)), "nearly one"
    assert depth_left(spot(6, 0.1)) > 0.6 and depth_left(spot(30, 0.1)) > 0.95, "wider than a spot, and a shade"
    assert depth_left(spot(2, -0.1)) == pytest.approx(1, abs=0.01), "a shine"
    assert depth_left(spot(2, 0.008)) == pytest.approx(1, abs=0.01), "a pore"


def test_no_line_is_a_spot_whatever_its_direction_and_where_it_meets_others() -> None:
    for slope in (0.0, 0.2, 0.5, 0.8, 1.0, -0.4):
        assert depth_left(darkened(line_shape(slope), 0.1)) > 0.9, "a wrinkle is the network's"
    crossing = torch.maximum(line_shape(0.1), line_shape(-1.0))
    assert depth_left(darkened(crossing, 0.1)) > 0.9
    rows = torch.arange(SIDE) - MIDDLE
    away = torch.hypot(rows[:, None].float(), rows.float() + 24)  # a rim of glasses, which passes through the middle
    assert depth_left(darkened(torch.exp(-0.5 * ((away - 24) / 1.2) ** 2), 0.12)) > 0.8


def test_grain_is_no_spot() -> None:
    noise = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    grainy = SKIN + 5 / 127.5 * noise
    lifted = 127.5 * luma((healed(grainy) - grainy)[None])
    assert lifted.mean() < 1


def test_no_spot_gets_lighter_than_the_skin_and_what_is_beside_stays() -> None:
    face = spot(2, 0.1)
    made = healed(face)
    assert (luma(made[None]) - luma(SKIN[None])).max() < 0.004
    far = torch.ones(SIDE, SIDE, dtype=torch.bool)
    far[172:212, 172:212] = False
    assert torch.allclose(made[:, far], face[:, far], atol=1e-5)


def test_a_brown_or_red_spot_takes_the_colour_of_the_skin() -> None:
    for colour in ((0.6, 1.2, 1.6), (0.2, 1.4, 1.2)):
        face = spot(2, 0.12, colour)
        before, after = (((x + 1) / (SKIN + 1))[:, MIDDLE, MIDDLE] for x in (face, healed(face)))
        assert after.max() - after.min() < 0.5 * (before.max() - before.min())


def test_what_is_healed_in_part_takes_its_colour_in_part() -> None:
    """Or a fold that stays dark would turn as pale as skin: green."""
    face = spot(2, 0.3, (0.5, 1.2, 1.6))
    change, part = without_spots(NO_CHANGE, face, 0.3 * EVERYWHERE, 1.0)
    middle = (slice(None), MIDDLE, MIDDLE)
    assert 0 < part[MIDDLE, MIDDLE] < 0.3 and change[middle].min() >= -1e-4, "no channel gets darker"


def test_how_much_is_healed_is_told() -> None:
    _, part = without_spots(NO_CHANGE, spot(2, 0.1), EVERYWHERE, 1.0)
    assert part[MIDDLE, MIDDLE] == pytest.approx(1 - depth_left(spot(2, 0.1)), abs=0.2) and part[:100].max() == 0


def test_in_the_dark_no_spot_gets_darker() -> None:
    for level in (-0.99, -0.96, -0.92, -0.8):
        rows = torch.arange(SIDE) - MIDDLE
        shape = torch.exp(-0.5 * (rows[:, None] ** 2 + rows**2) / 4)
        face = (torch.full((3, SIDE, SIDE), level) + 1) * (1 - 0.15 * shape) - 1
        for share in (1e-6, 1.0):
            assert (luma((healed(face, share) - face)[None]) > -1e-4).all(), (level, share)


def test_what_is_of_another_colour_than_most_of_the_face_stays() -> None:
    """A microphone, or a scarf; told where the face is."""
    skin, grey = spot(2, 0.1), (spot(2, 0.1) + 1) / (SKIN + 1) - 1
    face = torch.where(torch.arange(SIDE) < 130, skin.roll(-100, dims=2), grey)
    mask = (torch.arange(SIDE) < 220).float().expand(SIDE, SIDE)
    assert luma((healed(face, mask=mask) - face)[None])[0, MIDDLE, MIDDLE - 100] > 0.05
    assert (healed(face, mask=mask) - face)[:, MIDDLE, MIDDLE].abs().max() < 0.003


def test_what_the_network_changes_stays_and_counts() -> None:
    face, change = spot(2, 0.1), SKIN - spot(2, 0.1)  # it heals the spot itself
    assert torch.allclose(without_spots(change, face, EVERYWHERE, 1.0)[0], change, atol=0.003)
    darker = torch.full_like(face, -0.2)
    made = without_spots(darker, face, EVERYWHERE, 1.0)[0]
    assert torch.allclose(made[:, :100], darker[:, :100], atol=1e-5)
    assert luma(made[None])[0, MIDDLE, MIDDLE] > -0.2 + 0.05


@pytest.mark.parametrize("side", [37, 64, 256])
def test_any_size_and_black_are_no_error(side: int) -> None:
    for level in (-1.0, 1.0):
        face = torch.full((3, side, side), level)
        made, _ = without_spots(torch.zeros_like(face), face, torch.from_numpy(roundness(face)), 1.0)
        assert made.shape == face.shape and made.abs().max() < 1e-5


def test_spots_come_with_the_years_after_forty() -> None:
    assert [spots_gone(65, target) for target in (20, 25, 40, 45, 55, 60, 65, 69)] == [1, 1, 1, 1, 0.5, 0.25, 0, 0]
    assert [spots_gone(age, 25) for age in (20, 30, 40, 45, 50, 60, 80)] == [0, 0, 0, 0.25, 0.5, 1, 1]


def test_spots_are_looked_for_on_bare_skin(landmarks: np.ndarray) -> None:
    hair: np.ndarray = np.zeros((SIDE, SIDE), np.float32)
    y = round(float(landmarks[10, 1]) * SIDE)
    hair[: y - 20] = 1
    masks = [spots_mask(SKIN, landmarks, known) for known in (hair, 0 * hair, None)]

    def at(mask: Tensor, *points: int, above: int = 0) -> float:
        x, y = (landmarks[list(points)].mean(axis=0) * SIDE).astype(int)
        return float(mask[y - above, x])

    for mask in masks:
        assert mask.dtype == torch.float32 and mask.min() >= 0 and mask.max() <= 1.000001
        assert min(at(mask, 205), at(mask, 425), at(mask, 50), at(mask, 280)) > 0.95, "cheeks and cheek bones"
        assert at(mask, 195) > 0.9, "the bridge of the nose"
        assert all(
            at(mask, *points) == 0 for points in (*EYES, *BROWS, LIPS, (61,), (291,), (NOSE_END,), (98,), (327,))
        )
    above_hair, bald, unknown = masks
    assert above_hair[: y - 18].max() == 0, "and beside hair"
    assert at(bald, 10, above=24) > 0.9 and at(unknown, 10, above=24) == at(unknown, 10) == 0, "may be below hair"


def test_a_mark_that_is_round_is_told_from_a_line_in_the_mask(landmarks: np.ndarray) -> None:
    x, y = (landmarks[50] * SIDE).astype(int)
    for shape, least, most in ((spot(2, 0.1), 0.9, 1.01), (darkened(line_shape(0.3), 0.1), 0, 0.1)):
        mask = spots_mask(shape.roll((int(y) - MIDDLE, int(x) - MIDDLE), dims=(1, 2)), landmarks, None)
        assert least <= mask[y, x] <= most


def marked_portrait(side: int = 512) -> Image.Image:
    """With four marks on her cheeks."""
    from agetransformer.alignment import FaceFinder

    square = np.asarray(portrait_square(side)).astype(float)
    with FaceFinder() as finder:
        points = finder.find(square.astype(np.uint8))[0].landmarks[[205, 425, 50, 280]]
    rows, columns = np.mgrid[:side, :side]
    for x, y in points:
        away = ((columns - x) ** 2 + (rows - y) ** 2) * (512 / side) ** 2
        square *= 1 - 0.12 * np.exp(-0.5 * away / 12)[..., None]
    return Image.fromarray(square.round().astype(np.uint8))


@pytest.fixture(scope="module")
def editor(embedded: None, generator_of_192: Path) -> AgeEditor:
    return AgeEditor.from_pretrained(str(generator_of_192), device="cpu")


def test_of_an_old_face_made_younger_spots_go_and_the_age_that_is_read_is_not_theirs(
    editor: AgeEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = editor.find_faces(marked_portrait())
    old, young = (editor.encode(replace(face, age=age)) for age in (65.0, 38.0))
    at_192 = (face.position.landmarks_in_square * 192).astype(int)
    assert old.hair and old.hair_mask.max() > 0.9 and (old.spots * (old.hair_mask > 0.99)).max() < 0.02

    def changes(strength: float) -> list[np.ndarray]:
        decoded = [editor.decode(one, [25, 55, 69], strength, shares=[1.0] * 3) for one in (old, young)]
        return [one.change for one in (*decoded[0], *decoded[1])]

    with_rule = {strength: changes(strength) for strength in (0.0, 0.5, 1.0, 1.5)}
    calibrated = editor.calibrate(old, [25])
    monkeypatch.setattr("agetransformer.editor.spots_gone", lambda age, target: 0.0)
    assert calibrated == editor.calibrate(old, [25])
    plain = {strength: changes(strength) for strength in with_rule}

    def healed(strength: float, index: int) -> float:
        x, y = at_192[[205, 425, 50, 280]].T
        return float((with_rule[strength][index] - plain[strength][index])[y, x].mean())

    assert healed(1, 0) > 1 and healed(0, 0) == 0
    assert healed(0.5, 0) == pytest.approx(healed(1, 0) / 2, rel=0.25)
    assert healed(1.5, 0) == pytest.approx(healed(1, 0), rel=0.25), "there is no more than all of them"
    assert healed(1, 1) == pytest.approx(healed(1, 0) / 2, rel=0.25), "at 55 half are there"
    for index in (2, 3, 4, 5):
        assert np.array_equal(with_rule[1][index], plain[1][index]), "older, or young already"


def test_no_ring_of_a_spot_stays_in_a_large_face(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    (face,) = editor.find_faces(marked_portrait(1024))
    encoding = editor.encode(replace(face, age=65.0))
    (edited,) = editor.decode(encoding, [25], shares=[1.0])
    monkeypatch.setattr("agetransformer.editor.spots_gone", lambda age, target: 0.0)
    (plain,) = editor.decode(encoding, [25], shares=[1.0])
    x, y = (face.position.landmarks_in_square[50] * 192).astype(int)
    ring = [(y, x), (y, x + 2), (y, x - 2), (y + 2, x), (y - 2, x)]
    assert edited.kept is not None and plain.kept is not None
    assert all(edited.kept[at] < 0.8 * plain.kept[at] for at in ring)


def test_without_hair_known_or_landmarks_nothing_below_hair_is_touched(editor: AgeEditor) -> None:
    (face,) = editor.find_faces(marked_portrait())
    unknown = editor.encode(replace(face, age=65.0), hair=False)
    x, y = (face.position.landmarks_in_square[[10, 50]] * 192).astype(int).T
    assert not unknown.hair and unknown.spots[: y[0] + 3].max() == 0 and unknown.spots[y[1], x[1]] > 0.5
    aligned = editor.encode(replace(editor.face_from_aligned(marked_portrait()), age=65.0))
    assert aligned.spots.max() == 0
    (edited,) = editor.decode(aligned, [25], shares=[1.0])
    assert np.isfinite(edited.change).all()
