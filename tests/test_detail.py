"""Detail that is finer than the network sees goes where the network smooths, and stays elsewhere."""

from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from agetransformer import AgeEditor
from agetransformer.detail import finer_detail, kept_detail
from agetransformer.faces import EditedFace, Face

SIDE = 96
LEFT, RIGHT = slice(16, 32), slice(64, 80)  # columns


def wrinkles() -> Tensor:
    """Fine lines all over grey skin of luma 0.2, [3, SIDE, SIDE] in [-1, 1]."""
    lines = torch.zeros(SIDE, SIDE)
    lines[::4] = -0.15
    return (0.2 + lines).expand(3, SIDE, SIDE)


def half(change: Tensor) -> Tensor:
    """A change on the left half alone."""
    return torch.cat([change[..., : SIDE // 2], 0 * change[..., SIDE // 2 :]], dim=-1)


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 0.4, 0.41), (0.5, 0.45, 0.55), (-0.5, 1.0, 1.0)])
def test_detail_goes_as_far_as_the_network_smooths(share: float, least: float, most: float) -> None:
    face = wrinkles()
    kept = kept_detail(face, half(share * (0.2 - face)))
    assert kept.shape == (SIDE, SIDE) and kept.dtype == np.float32
    assert least - 1e-4 <= kept[8:-8, LEFT].min() and kept[8:-8, LEFT].max() <= most
    assert (kept[:, RIGHT] == 1).all()


def test_light_alone_takes_no_detail() -> None:
    face = wrinkles()
    for skin in (face, 0.1 * (face + 1) - 1):  # and dark skin
        assert kept_detail(skin, 0.1 * (skin + 1)).min() > 0.97  # brighter, and the lines with it
        assert kept_detail(skin, torch.full_like(skin, 0.1)).min() > 0.97
    black, smooth = torch.full((3, SIDE, SIDE), -1.0), torch.full((3, SIDE, SIDE), 0.2)
    assert np.isfinite(kept_detail(black, 0 * black)).all()
    assert (kept_detail(smooth, 0.002 * torch.randn(3, SIDE, SIDE)) > 0.98).all()  # noise tells nothing


def test_finer_detail_is_what_shrinking_loses() -> None:
    rows = np.mgrid[: 4 * SIDE, : 4 * SIDE][0]
    fine, coarse = np.sin(2 * np.pi * rows / 4), np.sin(2 * np.pi * rows / 64)
    pictures = [
        Image.fromarray(np.repeat((128 + 60 * x).round().astype(np.uint8)[..., None], 3, 2)) for x in (fine, coarse)
    ]
    made = [finer_detail(picture, SIDE) for picture in pictures]
    inner = slice(16, -16)
    assert np.allclose(made[0][inner, inner, 0], 60 * fine[inner, inner], atol=3)
    assert np.abs(made[1][inner, inner]).max() < 4


def edited(size: int, kept: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A face of fine lines, [size, size, 3], and itself with a change of 10 levels at 96 px."""
    picture = np.full((size, size, 3), 120, np.uint8)
    picture[::4] = 60
    change = np.full((SIDE, SIDE, 3), 10, np.float32)
    face = Face(None, Image.fromarray(picture), 60.0)
    return picture, np.asarray(EditedFace(face, 25.0, change, kept=kept).image)


def contrast(picture: np.ndarray) -> float:
    return float(picture[100:-100, 100:-100].astype(float).std())


def test_what_stays_is_left_in_the_face_at_its_own_resolution() -> None:
    before, after = edited(4 * SIDE, np.full((SIDE, SIDE), 0.4, np.float32))
    assert contrast(after) == pytest.approx(0.4 * contrast(before), rel=0.06)
    assert after.mean() == pytest.approx(before.mean() + 10, abs=1)
    for kept in (None, np.ones((SIDE, SIDE), np.float32)):
        before, after = edited(4 * SIDE, kept)
        assert np.array_equal(after, before + 10)
    before, after = edited(SIDE, np.full((SIDE, SIDE), 0.4, np.float32))  # the network saw all of it
    assert np.array_equal(after, before + 10)


def test_in_the_app_fine_wrinkles_go_with_the_coarse_ones_in_who_grows_younger_alone(
    embedded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(AgeEditor.from_pretrained(device="cpu")) as editor:
        face = editor.find_faces("assets/astronaut.jpg")[0]
        large = face.image.resize((1024, 1024), Image.Resampling.BICUBIC)
        texture = np.zeros((1024, 1024, 1), np.float32)
        texture[::4] = -12
        large = Image.fromarray((np.asarray(large) + texture).clip(0, 255).astype(np.uint8))
        encoding = editor.encode(replace(face, image=large, age=60.0), hair=False)
        smooth = F.avg_pool2d(encoding.reduced, 5, stride=1, padding=2, count_include_pad=False)
        monkeypatch.setattr(editor.engine, "decode", lambda _, ages: smooth.expand(len(ages), -1, -1, -1))
        younger, beside, older = editor.decode(encoding, [25.0, 59.95, 65.0], hair=False, shares=[1.0, 1.0, 1.0])
        (same,) = editor.decode(encoding, [25.0], strength=0.0, hair=False, shares=[1.0])
    assert older.kept is None and beside.kept.min() > 0.98, "no film jumps at the own age"
    assert younger.kept.shape == (editor.resolution,) * 2 and younger.kept.min() < 0.7
    assert np.array_equal(np.asarray(same.image), np.asarray(large))

    def fine(picture: Image.Image) -> np.ndarray:
        light = np.asarray(picture.convert("L")).astype(np.float32)
        return cv2.GaussianBlur((light - cv2.GaussianBlur(light, (0, 0), 2)) ** 2, (0, 0), 8)

    smoothed = cv2.resize(younger.kept, (1024, 1024)) < 0.6
    assert fine(younger.image)[smoothed].mean() < 0.6 * fine(large)[smoothed].mean()
    assert fine(older.image)[smoothed].mean() > 0.9 * fine(large)[smoothed].mean()
