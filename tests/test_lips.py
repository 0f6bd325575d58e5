"""Around the mouth no lips are drawn, and none turn white, and nothing else is touched."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from agetransformer import AgeEditor
from agetransformer.lips import (
    chalk_masks,
    chalk_room,
    lips_mask,
    without_chalk,
    without_fuller_lips,
    without_white_lips,
)
from agetransformer.shading import add_change, luma

SIDE = 384


def test_the_mask_holds_the_lips_and_what_is_above_them(landmarks: np.ndarray) -> None:
    mask = lips_mask(landmarks, SIDE)
    assert mask.shape == (SIDE, SIDE) and mask.min() >= 0 and mask.max() > 0.9

    def at(*points: int) -> float:
        x, y = (landmarks[list(points)].mean(axis=0) * SIDE).astype(int)
        return mask[y, x].item()

    assert min(at(0, 2), at(0), at(17), at(13, 14)) > 0.9  # half way from the nose to the lip; lips and mouth
    assert max(at(5), at(50), at(280), at(152)) < 0.1  # nose, cheeks, chin
    assert 0.01 < mask.mean() < 0.06


def line(deviation: float) -> torch.Tensor:
    """A light line along row 190, so wide in pixels, on [SIDE, SIDE]."""
    rows = torch.arange(SIDE) - 190.0
    return 0.2 * torch.exp(-0.5 * (rows / deviation) ** 2)[:, None].expand(SIDE, SIDE)


def test_lines_as_of_lips_go_and_wrinkles_and_the_light_of_the_face_stay() -> None:
    mask = torch.ones(SIDE, SIDE)

    def left(light: torch.Tensor) -> float:
        grey = torch.zeros(3, SIDE, SIDE)
        made = without_fuller_lips(light.expand(3, SIDE, SIDE).contiguous(), grey, mask)
        return (luma(made[None])[0, 190, 190] / light[190, 190]).item()

    assert left(line(4.0)) < 0.45 < 0.65 < left(line(0.6))
    assert left(line(40.0)) > 0.9
    assert left(-line(4.0)) < 0.45
    assert left(torch.full((SIDE, SIDE), -0.2)) == pytest.approx(2 / 127.5 / 0.2, rel=1e-3)  # a shadow as a whole
    assert left(torch.full((SIDE, SIDE), 0.2)) == pytest.approx(1, rel=1e-3)


def test_nothing_else_changes() -> None:
    mask = torch.zeros(SIDE, SIDE)
    mask[140:160] = 1
    random = torch.Generator().manual_seed(0)
    change, face = (0.2 * torch.randn(3, SIDE, SIDE, generator=random) for _ in range(2))
    made = without_fuller_lips(change, face, mask)
    for rows in (slice(0, 140), slice(160, None)):
        assert torch.allclose(made[:, rows], change[:, rows], atol=1e-6)
    assert (made[:, 140:160] - change[:, 140:160]).abs().max() > 0.01
    assert torch.equal(without_fuller_lips(change, face, torch.zeros_like(mask)), change)


def test_a_moustache_goes_with_all_of_its_colour() -> None:
    """What darkens takes the face's colour with it, as a shadow does; without that colour skin would be blue there."""
    skin = torch.tensor([0.5, 0.0, -0.2])[:, None, None].expand(3, SIDE, SIDE)
    drawn = (-line(4.0)).expand(3, SIDE, SIDE)
    change = add_change(skin[None], drawn[None], shading=True)[0] - skin
    made = without_fuller_lips(change, skin, torch.ones(SIDE, SIDE))
    left = made[:, 190, 190] / change[:, 190, 190]
    assert change[0, 190, 190] < 1.2 * change[2, 190, 190] < 0, "red loses more"
    assert left.max() < 0.45 and left.max() - left.min() < 0.02
    coloured = change + line(4.0) * torch.tensor([0.587, -0.299, 0.0])[:, None, None]  # of luma 0
    made = without_fuller_lips(coloured, skin, torch.ones(SIDE, SIDE))
    assert (made[:, 190, 190] / coloured[:, 190, 190]).max() < 0.45


def test_lips_turn_a_little_paler_and_not_white() -> None:
    mask = torch.zeros(SIDE, SIDE)
    mask[:200] = 1
    face = torch.tensor([-0.6, -0.75, -0.8])[:, None, None].expand(3, SIDE, SIDE)
    light = (luma(face[None])[0] + 1)[0, 0].item()

    def made(share: float) -> torch.Tensor:
        """Of how much a change that brightens by a share of the light is left, in the mask and beside it, [3, 2]."""
        change = torch.tensor([0.9, 1.05, 1.0])[:, None, None].expand(3, SIDE, SIDE) * share * light
        return (without_white_lips(change, face, mask) / change)[:, [100, 300], 100]

    assert torch.allclose(made(0.25), torch.ones(3, 2))
    assert made(1.0)[:, 0].max() < 0.6 and made(1.0)[:, 0].std() < 1e-5, "with all of its colour"
    assert torch.allclose(made(1.0)[:, 1], torch.ones(3)) and torch.allclose(made(-0.5), torch.ones(3, 2))
    still = [0.1 * step * made(0.1 * step)[0, 0].item() for step in range(1, 12)]
    assert np.diff(still).min() > 0, "what would be paler is paler"


def test_skin_above_the_lips_turns_no_lighter_than_other_skin_and_hair_there_may(landmarks: np.ndarray) -> None:
    above, other = chalk_masks(landmarks, SIDE)
    assert above.shape == other.shape == (SIDE, SIDE) and above.max() > 0.9 and not (above * other > 0.6).any()
    x, y = (landmarks[[0, 2]].mean(axis=0) * SIDE).astype(int)
    face = torch.full((3, SIDE, SIDE), 0.2)

    def light(before: float, lighter: float) -> float:
        """How light the skin above the lips gets, times other skin's 1.2."""
        there = torch.where(above > 0.01, before, face)
        change = torch.full_like(face, lighter)
        made = without_chalk(change, *chalk_room(there, above, other))
        assert torch.equal(made[:, above == 0], change[:, above == 0])
        return ((there + made)[0, y, x].item() + 1) / 1.2

    assert light(0.2, 0.05) == pytest.approx(1.25 / 1.2, abs=1e-3)  # a little lighter
    assert light(0.2, 0.4) == pytest.approx(1.08 + 0.25 * (1.6 / 1.2 - 1.08), abs=0.02)
    assert light(0.2, 0.2) < light(0.2, 0.4) < light(0.2, 0.6)
    assert light(0.5, 0.05) == pytest.approx((1.5 + 0.25 * 0.05) / 1.2, abs=0.02)  # what is light stays so
    assert light(-0.2, -0.1) == pytest.approx(0.7 / 1.2, abs=1e-3)
    assert light(-0.3, 0.7) == pytest.approx(1.4 / 1.2, abs=1e-3), "a moustache that turns white"
    change = torch.full_like(face, 0.4)
    assert torch.equal(without_chalk(change, *chalk_room(face, torch.zeros_like(above), other)), change)
    alone = without_chalk(change, *chalk_room(face, above, torch.zeros_like(other)))
    assert torch.allclose(alone, change), "without other skin nothing is lighter than it"

    stripes = 0.05 * ((torch.arange(SIDE) // 2 % 2) * 2 - 1)[:, None] + torch.zeros(3, SIDE, SIDE)
    room = chalk_room(face + 0.3, above, other)
    fine = [without_chalk(stripes + coarse, *room)[0, y - 2 : y + 2, x] for coarse in (-0.01, 0.01)]
    assert np.ptp(fine[0]) > 0.09 and np.ptp(fine[1]) > 0.09, "wrinkles stay where it gets lighter too"


def test_in_the_app_lips_are_drawn_neither_in_the_younger_nor_white_in_the_older(
    embedded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agetransformer.editor.soften_ageing", lambda change, _: change)
    with closing(AgeEditor.from_pretrained(device="cpu")) as editor:
        face = editor.find_faces("assets/astronaut.jpg")[0]
        encoding = editor.encode(replace(face, age=45.0), hair=False)
        edits = editor._edits(encoding, [25.0, 65.0], False)
        lips = encoding.places.lips
        light = lips * (luma(encoding.reduced)[0] + 1)
        rows = torch.arange(len(lips))[:, None] // 4 % 2
        made = [luma(edits._ruled(index, (x * light).expand(3, -1, -1))[None])[0] for index, x in ((0, rows), (1, 1))]
        chalk = 0.6 * torch.ones_like(encoding.reduced[0])
        held_back = edits._ruled(1, chalk)
        monkeypatch.setattr("agetransformer.editor.without_chalk", lambda change, *_: change)
        above = encoding.places.above_lips > 0.9
        assert luma((edits._ruled(1, chalk) - held_back)[None])[0][above].mean() > 0.05
    held = (lips > 0.9) & (light > 0.1)
    stripes, paler = made[0], made[1][held] / light[held]
    assert stripes[held & (rows == 1)].mean() - stripes[held & (rows == 0)].mean() < 0.5 * light[held].mean()
    assert paler.mean() < 0.7
