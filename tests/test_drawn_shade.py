"""Where somebody grows younger no shade is drawn beyond the eyes or on the forehead, and wrinkles go."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from agetransformer import AgeEditor
from agetransformer.drawn_shade import corners_mask, forehead_mask, without_drawn_shade
from agetransformer.eyes import eyes_mask
from agetransformer.face_outline import BROWS, EYES

SIDE = 384


def test_the_forehead_ends_at_the_brows_and_above_the_eyes(landmarks: np.ndarray) -> None:
    mask = forehead_mask(landmarks, SIDE)
    assert mask.shape == (SIDE, SIDE) and mask.dtype == torch.float32 and mask.min() >= 0 and mask.max() <= 1.00001

    def at(*points: int) -> float:
        x, y = (landmarks[list(points)].mean(axis=0) * SIDE).astype(int)
        return mask[y, x].item()

    assert min(at(10), at(151), at(9), at(104), at(333), at(54), at(284)) > 0.95  # up to the hair line, and temples
    brows = [at(point) for brow in BROWS for point in brow]
    assert max(brows) < 0.05 and max(at(*eye) for eye in EYES) == 0
    assert max(at(6), at(4), at(50), at(280), at(13), at(152)) == 0  # nose, cheeks, mouth, chin


def test_the_corners_are_beyond_the_eyes_and_below_the_brows(landmarks: np.ndarray) -> None:
    mask = corners_mask(landmarks, eyes_mask(landmarks, SIDE))
    assert mask[eyes_mask(landmarks, SIDE) > 0.99].max() < 0.01
    assert mask.shape == (SIDE, SIDE) and mask.min() >= 0 and mask.max() <= 1

    def at(*points: int) -> float:
        x, y = (landmarks[list(points)].mean(axis=0) * SIDE).astype(int)
        return mask[y, x].item()

    assert min(at(33, 226, 130, 35, 124), at(263, 446, 359, 265, 353)) > 0.8  # crow's feet
    assert (
        max(at(468), at(473), at(133), at(362), at(105), at(334), at(70, 46), at(300, 276)) < 0.1
    )  # irises, inner, brows
    assert max(at(6), at(50), at(280), at(10)) < 0.01  # nose, cheeks, forehead


def test_beyond_the_corners_no_wedge_is_drawn_and_wrinkles_go() -> None:
    rows = torch.arange(SIDE) - 190.0
    mask = torch.zeros(SIDE, SIDE)
    mask[:, 100:200] = 1

    def made(light: torch.Tensor) -> torch.Tensor:
        """What becomes of a change, [SIDE], where the mask is 1."""
        change = light[:, None].expand(3, SIDE, SIDE).contiguous()
        ruled = without_drawn_shade(change, mask)
        assert torch.equal(ruled[:, :, :100], change[:, :, :100])
        return ruled[0, :, 150]

    wedge, wrinkles = -0.3 * torch.exp(-0.5 * (rows / 5) ** 2), 0.06 * torch.cos(2.5 * rows)
    assert made(wedge)[190] / wedge[190] < 0.35 and torch.equal(made(-wedge), -wedge)
    assert torch.allclose(made(wedge + wrinkles) - made(wedge), wrinkles, atol=0.003)


def test_in_the_app_nothing_is_drawn_on_who_grows_younger_alone(
    embedded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_back: list[float] = []

    def hold_back(change: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        held_back.extend([mask[at(263, 446, 359)].item(), mask[at(151)].item(), 1 - mask[at(50)].item()])
        return 0 * change

    monkeypatch.setattr("agetransformer.editor.without_drawn_shade", hold_back)
    with closing(AgeEditor.from_pretrained(device="cpu")) as editor:
        face = editor.find_faces("assets/astronaut.jpg")[0]

        def at(*points: int) -> tuple[int, int]:
            x, y = (face.position.landmarks_in_square[list(points)].mean(axis=0) * editor.resolution).astype(int)
            return y, x

        encoding = editor.encode(replace(face, age=40.0))  # and has no age spots yet
        younger, older = editor.decode(encoding, (25.0, 65.0), hair=False, shares=[1.0, 1.0])
    assert held_back and min(held_back) > 0.8, "crow's feet and the forehead, and no cheek"
    assert np.abs(younger.change).max() == 0 and np.abs(older.change).max() > 1
