"""Between the brows of who grows older folds are light, and nothing is held back beside them."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from agetransformer import AgeEditor
from agetransformer.frown import frown_mask, without_frown
from agetransformer.shading import luma

SIDE = 384
FACE = torch.tensor([0.5, 0.1, -0.1])[:, None, None].expand(3, SIDE, SIDE)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Landmarks turned about the square's middle, anticlockwise to the eye."""
    t = np.radians(degrees)
    return (points - 0.5) @ np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) + 0.5


@pytest.mark.parametrize("degrees", [0, 30, -30])
def test_the_mask_lies_between_the_brows(landmarks: np.ndarray, degrees: float) -> None:
    points = turned(landmarks, degrees)
    mask = frown_mask(points, SIDE)
    assert mask.shape == (SIDE, SIDE) and mask.dtype == torch.float32 and mask.min() >= 0 and mask.max() <= 1

    def at(point: int) -> float:
        x, y = (points[point] * SIDE).astype(int)
        return mask[y, x].item()

    assert at(9) > 0.9 and at(8) > 0.8  # between the brows
    for point in (105, 334, 468, 473, 10, 4, 50, 280):  # brows, eyes, upper forehead, nose, cheeks
        assert at(point) < 0.08, point


def test_the_mask_is_narrower_in_a_face_that_turns_away(landmarks: np.ndarray) -> None:
    narrow = 0.5 + (landmarks - 0.5) * (0.5, 1.0)
    turned_away, frontal = (frown_mask(points, SIDE) > 0.5 for points in (narrow, landmarks))
    assert 0 < turned_away.any(dim=0).sum() < 0.6 * frontal.any(dim=0).sum()
    assert turned_away.any(dim=1).sum() > 0.9 * frontal.any(dim=1).sum(), "a fold is as long as before"


def test_deep_folds_get_light_and_light_ones_and_grey_brows_stay() -> None:
    mask = torch.zeros(SIDE, SIDE)
    mask[:, 100:120] = 1
    for share, left in ((-0.15, 0.5), (-0.3, 0.375), (-0.04, 1.0), (0.2, 1.0)):
        change = share * (FACE + 1)
        made = without_frown(change, FACE, mask)
        ratio = (luma(made[None]) / luma(change[None]))[0]
        assert torch.allclose(ratio[:, 100:120], torch.tensor(left), atol=0.02), share
        assert torch.equal(made[:, :, 120:], change[:, :, 120:]) and torch.equal(made[:, :, :100], change[:, :, :100])
    assert without_frown(-0.1 * (FACE + 1), torch.full_like(FACE, -1.0), mask).isfinite().all()


def test_in_the_app_a_frown_is_held_back_in_who_grows_older(embedded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for other_rule in ("soften_ageing", "without_drawn_shade"):
        monkeypatch.setattr(f"agetransformer.editor.{other_rule}", lambda change, _: change)
    with closing(AgeEditor.from_pretrained(device="cpu")) as editor:
        face = editor.find_faces("assets/astronaut.jpg")[0]
        encoding = editor.encode(replace(face, age=45.0), hair=False)
        edits = editor._edits(encoding, [25.0, 65.0], False)
        fold = -0.2 * encoding.places.frown * (encoding.reduced[0] + 1)
        younger, older = (edits._ruled(index, fold) for index in (0, 1))
    held = encoding.places.frown > 0.9
    kept = [(luma(made[None])[0][held] / luma(fold[None])[0][held]).mean().item() for made in (younger, older)]
    assert kept[0] == pytest.approx(1, abs=0.01) and kept[1] < 0.6
