"""The skin above the lip is not darkened, and nothing else is touched."""

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer.alignment import DEFAULT_MODEL, FaceFinder
from agetransformer.shading import luma
from agetransformer.upper_lip import upper_lip_mask, without_shadow

SIDE = 128


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    if not DEFAULT_MODEL.is_file():
        pytest.skip("needs the face landmarker in checkpoints/")
    with FaceFinder() as finder:
        return finder.find(Image.open("assets/astronaut.jpg").convert("RGB"))[0].landmarks_in_square


def test_the_mask_lies_between_nose_and_mouth(landmarks: np.ndarray) -> None:
    mask = upper_lip_mask(landmarks, SIDE)
    assert mask.shape == (SIDE, SIDE) and mask.min() >= 0 and mask.max() > 0.9

    def at(*points: int) -> float:
        x, y = (landmarks[list(points)].mean(axis=0) * SIDE).astype(int)
        return mask[y, x].item()

    assert at(0, 2) > 0.9  # half way from the nose to the lip
    # Mouth, lower lip, nose, cheeks, chin.
    assert max(at(13, 14), at(17), at(5), at(50), at(280), at(152)) < 0.1
    assert 0.005 < mask.mean() < 0.04


def test_what_darkens_there_stays_light_and_keeps_its_colour() -> None:
    mask = torch.zeros(SIDE, SIDE)
    mask[40:60] = 1
    change = 0.2 * torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    made = without_shadow(change, mask)
    assert torch.equal(made[:, :40], change[:, :40]) and torch.equal(made[:, 60:], change[:, 60:])
    before, after = (luma(x[None])[0, 40:60] for x in (change, made))
    assert torch.allclose(after, before.clamp(min=-2 / 127.5), atol=1e-6)
    for one, other in ((0, 1), (1, 2)):
        assert torch.allclose(made[one] - made[other], change[one] - change[other], atol=1e-6)
