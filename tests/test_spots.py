"""Age spots go from who is made younger; wrinkles, moles, wide shade and features stay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from agetransformer import AgeEditor
from agetransformer.face_outline import EYES, LIPS, NOSE_END
from agetransformer.shading import luma
from agetransformer.spots import spots_gone, spots_mask, without_spots
from tests.test_skin_maps import portrait_square

SIDE = 384
SKIN = torch.tensor([0.5, 0.1, -0.1])[:, None, None].expand(3, SIDE, SIDE)
EVERYWHERE, NO_CHANGE = torch.ones(SIDE, SIDE), torch.zeros(3, SIDE, SIDE)


def spot(deviation: float, depth: float, colour: tuple[float, float, float] = (1, 1, 1)) -> Tensor:
    """`SKIN` with a round spot at the middle that takes so much of the light, so wide in pixels."""
    rows = torch.arange(SIDE) - SIDE / 2
    shape = torch.exp(-0.5 * (rows[:, None] ** 2 + rows**2) / deviation**2)
    return (SKIN + 1) * (1 - depth * shape * torch.tensor(colour)[:, None, None]) - 1


def line(depth: float, slope: float) -> Tensor:
    """`SKIN` with a wrinkle three pixels wide."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    away = (columns - SIDE / 2 - slope * (rows - SIDE / 2)) / (1 + slope**2) ** 0.5
    return (SKIN + 1) * (1 - depth * torch.exp(-0.5 * (away / 1.5) ** 2)) - 1


def left(face: Tensor, share: float = 1.0, mask: Tensor = EVERYWHERE) -> float:
    """How much of what the middle is darker than the skin by is left."""
    made = face + without_spots(NO_CHANGE, face, mask, share)
    middle = SIDE // 2
    before, after = ((luma(x[None]) - luma(SKIN[None]))[0, middle, middle].item() for x in (face, made))
    return after / before


def test_spots_go_and_all_else_stays() -> None:
    for deviation in (1.5, 2, 2.5):
        assert left(spot(deviation, 0.1)) < 0.4, deviation
    assert left(spot(2, 0.1), share=0.5) == pytest.approx((1 + left(spot(2, 0.1))) / 2, abs=0.05)
    assert left(spot(2, 0.1), mask=0 * EVERYWHERE) == 1
    for slope in (0.0, 0.5, 1.0):
        assert left(line(0.1, slope)) > 0.9, "a wrinkle is the network's"
    assert left(spot(2, 0.5)) > 0.95, "a mole"
    assert left(spot(30, 0.1)) > 0.95, "a shade"
    assert left(spot(2, -0.1)) == pytest.approx(1, abs=0.01), "a shine"
    assert left(spot(2, 0.008)) == pytest.approx(1, abs=0.01), "a pore"


def test_no_spot_gets_lighter_than_the_skin_and_what_is_beside_stays() -> None:
    face = spot(2, 0.1)
    made = face + without_spots(NO_CHANGE, face, EVERYWHERE, 1.0)
    assert (luma(made[None]) - luma(SKIN[None])).max() < 0.004
    far = torch.ones(SIDE, SIDE, dtype=torch.bool)
    far[172:212, 172:212] = False
    assert torch.allclose(made[:, far], face[:, far], atol=1e-6)


def test_a_brown_or_red_spot_takes_the_colour_of_the_skin() -> None:
    middle = SIDE // 2
    for colour in ((0.6, 1.2, 1.6), (0.2, 1.4, 1.2)):
        face = spot(2, 0.12, colour)
        made = face + without_spots(NO_CHANGE, face, EVERYWHERE, 1.0)
        before, after = (((x + 1) / (SKIN + 1))[:, middle, middle] for x in (face, made))
        assert after.max() - after.min() < 0.45 * (before.max() - before.min())


def test_what_is_of_another_colour_than_most_of_the_face_stays() -> None:
    """A microphone, or a scarf."""
    spotted, grey = spot(2, 0.1), torch.zeros(3, SIDE, SIDE)
    face = torch.where(
        torch.arange(SIDE) < 240, spotted.roll(-100, dims=2), (spotted + 1) / (SKIN + 1) * (grey + 1) - 1
    )
    face[:, :, 260:] = (spotted.roll(130, dims=2)[:, :, 260:] + 1) / (SKIN[:, :, 260:] + 1) - 1
    change = without_spots(NO_CHANGE, face, EVERYWHERE, 1.0)
    middle = SIDE // 2
    assert luma(change[None])[0, middle, middle - 100] > 0.05
    assert change[:, middle, middle + 130].abs().max() < 0.003 and luma(face[None])[0, middle, middle + 130] < -0.09


def test_what_the_network_changes_stays_and_counts() -> None:
    face, change = spot(2, 0.1), SKIN - spot(2, 0.1)  # it heals the spot itself
    assert torch.allclose(without_spots(change, face, EVERYWHERE, 1.0), change, atol=0.003)
    darker = torch.full_like(face, -0.2)
    made = without_spots(darker, face, EVERYWHERE, 1.0)
    assert torch.allclose(made[:, :100], darker[:, :100], atol=1e-6)
    assert luma(made[None])[0, SIDE // 2, SIDE // 2] > -0.2 + 0.05


@pytest.mark.parametrize("side", [37, 64, 256])
def test_any_size_and_black_are_no_error(side: int) -> None:
    for level in (-1.0, 1.0):
        face = torch.full((3, side, side), level)
        made = without_spots(torch.zeros_like(face), face, torch.ones(side, side), 1.0)
        assert made.shape == face.shape and made.abs().max() < 1e-5


def test_spots_come_with_the_years_after_forty() -> None:
    assert [spots_gone(65, target) for target in (20, 25, 40, 45, 55, 60, 65, 69)] == [1, 1, 1, 1, 0.5, 0.25, 0, 0]
    assert [spots_gone(age, 25) for age in (20, 30, 40, 45, 50, 60, 80)] == [0, 0, 0, 0.25, 0.5, 1, 1]


def test_spots_are_looked_for_on_bare_skin(landmarks: np.ndarray) -> None:
    hair: np.ndarray = np.zeros((SIDE, SIDE), np.float32)
    y = round(float(landmarks[10, 1]) * SIDE)
    hair[: y + 5] = 1
    mask = spots_mask(landmarks, hair)

    def at(*points: int) -> float:
        x, y = (landmarks[list(points)].mean(axis=0) * SIDE).astype(int)
        return float(mask[y, x])

    assert mask.dtype == torch.float32 and mask.min() >= 0 and mask.max() <= 1.000001
    assert min(at(205), at(425), at(50), at(280), at(199)) > 0.999  # cheeks, cheek bones, chin
    assert at(195) > 0.9, "the bridge of the nose"
    assert all(at(*points) == 0 for points in (*EYES, LIPS, (NOSE_END,), (98,), (327,)))
    assert mask[: y + 5].max() == 0 and mask[-1].max() == 0


def test_of_an_old_face_made_younger_spots_go_and_the_age_that_is_read_is_not_theirs(
    untrained_generator: Path, embedded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = AgeEditor.from_pretrained(str(untrained_generator), device="cpu")
    square = np.asarray(portrait_square(512)).astype(float)
    (found,) = editor.find_faces(Image.fromarray(square.astype(np.uint8)))
    assert found.geometry is not None
    rows, columns = np.mgrid[:512, :512]
    points = found.geometry.landmarks[[205, 425, 50, 280]]
    for x, y in points:
        square *= 1 - 0.1 * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / 9)[..., None]
    (face,) = editor.find_faces(Image.fromarray(square.astype(np.uint8)))
    old, young = (editor.encode(replace(face, age=age)) for age in (65.0, 38.0))
    shares = [1.0, 1.0]
    with_rule = [editor.decode(one, [25, 69], shares=shares) for one in (old, young)]
    calibrated = editor.calibrate(old, [25])
    less = editor.decode(old, [25], strength=0.5, shares=[1.0])[0]
    nothing = editor.decode(old, [25], strength=0, shares=[1.0])[0]
    monkeypatch.setattr("agetransformer.editor.spots_gone", lambda age, target: 0.0)
    plain = [editor.decode(one, [25, 69], shares=shares) for one in (old, young)]
    assert calibrated == editor.calibrate(old, [25])
    healed = with_rule[0][0].change - plain[0][0].change
    assert healed.max() > 3 and np.abs(nothing.change).max() == 0
    half = less.change - editor.decode(old, [25], strength=0.5, shares=[1.0])[0].change
    assert half.max() == pytest.approx(healed.max() / 2, rel=0.25)
    for one, other in ((with_rule[0][1], plain[0][1]), *zip(with_rule[1], plain[1], strict=True)):
        assert np.array_equal(one.change, other.change), "older, or young already"
