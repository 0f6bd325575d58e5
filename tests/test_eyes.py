"""In the eyes of who grows older little changes, and nothing is held back beside them."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from agetransformer import AgeEditor
from agetransformer.eyes import eyes_mask, with_clear_eyes

SIDE = 384


def test_the_mask_holds_both_irises_and_nothing_beside_the_eyes(landmarks: np.ndarray) -> None:
    mask = eyes_mask(landmarks, SIDE)
    assert mask.shape == (SIDE, SIDE) and mask.dtype == torch.float32 and mask.min() >= 0 and mask.max() < 1 + 1e-5

    def at(point: int) -> float:
        x, y = (landmarks[point] * SIDE).astype(int)
        return mask[y, x].item()

    assert min(at(468), at(473)) > 0.95  # the irises
    assert max(at(point) for point in (105, 334, 6, 50, 280, 230, 450)) < 0.02  # brows, nose, cheeks, bags
    assert 0.002 < mask.mean() < 0.02


def test_little_changes_in_the_eyes_and_the_rest_as_before() -> None:
    mask = torch.zeros(SIDE, SIDE)
    mask[100:120] = 1
    change = 0.2 * torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    made = with_clear_eyes(change, mask)
    assert torch.allclose(made[:, 100:120], 0.3 * change[:, 100:120])
    assert torch.equal(made[:, 120:], change[:, 120:]) and torch.equal(made[:, :100], change[:, :100])


def test_in_the_app_eyes_stay_clear_in_who_grows_older_alone(embedded: None) -> None:
    with closing(AgeEditor.from_pretrained(device="cpu")) as editor:
        face = editor.find_faces("assets/astronaut.jpg")[0]
        encoding = editor.encode(replace(face, age=45.0))
        ages = (25.0, 65.0)
        made = editor.decode(encoding, ages, hair=False, shares=[1.0, 1.0])
        drawn = editor.engine.decode(encoding.encoding, torch.tensor(ages)) - encoding.reduced
        eyes = eyes_mask(face.geometry.landmarks_in_square, editor.resolution) > 0.99
    scale = 127.5 / encoding.exposure
    younger, older = (
        np.abs(one.change[eyes.numpy()]).mean() / (scale * plain[:, eyes].abs().mean().item())
        for one, plain in zip(made, drawn, strict=True)
    )
    assert younger == pytest.approx(1, abs=0.02) and older == pytest.approx(0.3, abs=0.06)


def test_a_film_passes_the_own_age_without_a_jump_in_the_eyes(embedded: None) -> None:
    with closing(AgeEditor.from_pretrained(device="cpu")) as editor:
        face = replace(editor.find_faces("assets/astronaut.jpg")[0], age=32.0)
        ages = (31.99, 32.01)
        before, after = editor.decode(editor.encode(face, hair=False), ages, shares=[1.0, 1.0])
    assert np.abs(after.change - before.change).max() < 1  # of 255
