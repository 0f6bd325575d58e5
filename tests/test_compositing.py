"""Pasting: nothing but the face changes, no seam, and the change lands where the face is."""

import time

import cv2
import numpy as np
import pytest
from PIL import Image

from agetransformer.alignment import FaceGeometry, align
from agetransformer.compositing import add_change, crop_mask, face_mask, own_share, paste, paste_image


def turned_face(centre: tuple[float, float], side: float, degrees: float) -> FaceGeometry:
    """A face whose outline is an ellipse about where faces are in FFHQ's square, turned in the plane."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])
    angles = np.linspace(0, 2 * np.pi, 478)
    oval = np.column_stack([0.3 * np.cos(angles), 0.07 + 0.32 * np.sin(angles)])
    landmarks = (oval * side) @ rotation.T + centre
    return FaceGeometry(landmarks.astype(np.float32), (corners * side) @ rotation.T + centre, {})


def masked_change(original: np.ndarray, edited: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (edited.astype(np.float32) - original) * mask[..., None]


def noisy_photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(90, 140, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [64, 256, 512, 1000])
@pytest.mark.parametrize("face", ["found", "generic"])
def test_mask_covers_the_face_and_ends_before_the_border(face: str, size: int) -> None:
    geometry = turned_face((300, 200), 180, 25) if face == "found" else None
    mask = face_mask(geometry, size)
    assert mask.shape == (size, size) and mask.dtype == np.float32
    assert mask.min() >= 0 and mask.max() <= 1
    rim = max(round(0.015 * size), 1)
    assert not mask[:, :rim].any() and not mask[:, -rim:].any() and not mask[:rim].any() and not mask[-rim:].any()

    def at(x: float, y: float) -> float:
        return mask[int(y * size), int(x * size)]

    for x, y in ((0.38, 0.48), (0.62, 0.48), (0.5, 0.62), (0.5, 0.72), (0.5, 0.3), (0.3, 0.6), (0.7, 0.6)):
        assert at(x, y) > 0.98, (x, y)  # eyes, nose, mouth, forehead, cheeks
    assert at(0.5, 0.16) > 0.5  # hair line
    for x, y in ((0.06, 0.06), (0.94, 0.06), (0.06, 0.94), (0.94, 0.94), (0.03, 0.5), (0.5, 0.02)):
        assert at(x, y) < 0.02, (x, y)


@pytest.mark.parametrize("size", [64, 512, 1001])
def test_crop_mask_takes_all_but_the_border(size: int) -> None:
    mask = crop_mask(size)
    rim, inner = max(round(0.015 * size), 1), slice(round(0.16 * size), round(0.84 * size))
    assert mask.shape == (size, size) and mask.dtype == np.float32
    assert not mask[:, :rim].any() and not mask[:, -rim:].any() and not mask[:rim].any() and not mask[-rim:].any()
    assert (mask[inner, inner] == 1).all()
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)


def test_mask_follows_the_outline() -> None:
    """A face further left and narrower than usual has its mask there."""
    usual, moved = turned_face((100, 100), 100, 0), turned_face((100, 100), 100, 0)
    moved.landmarks[:, 0] = 85 + (moved.landmarks[:, 0] - 100) * 0.6
    centres = [np.average(np.arange(256), weights=face_mask(face, 256).sum(axis=0)) for face in (usual, moved)]
    assert centres[0] == pytest.approx(127.5, abs=1)
    assert centres[1] == pytest.approx(127.5 - 0.15 * 256, abs=4)


def test_cheek_to_cheek_each_face_keeps_its_own() -> None:
    """Two faces side by side: what is one's is not the other's, and between them they share everything."""
    left = own_share(np.array([0.5, 0.5]), [(1.1, 0.5, 1.0)], 200)
    right = own_share(np.array([0.5, 0.5]), [(-0.1, 0.5, 1.0)], 200)
    assert left[100, :140].min() == 1 and left[100, -18:].max() == 0
    assert left[100, 159:161].mean() == pytest.approx(0.5, abs=0.02)  # half way to the other is 0.8
    np.testing.assert_allclose(left[:, 120:] + right[:, :80], 1, atol=0.01)  # 0.6 of a side to the right
    assert np.abs(np.diff(left, axis=1)).max() < 0.06
    child = own_share(np.array([0.5, 0.5]), [(1.1, 0.5, 0.5)], 200)  # half the size: it reaches half as far
    assert child[100, 179:181].mean() == pytest.approx(0.5, abs=0.02)
    assert own_share(np.array([0.5, 0.5]), [(2.5, 0.5, 1.0)], 200).min() == 1


def test_outside_the_mask_every_bit_stays() -> None:
    photo = noisy_photo(900, 1200)
    face = turned_face((640, 430), 400, -30)
    original = align(photo, face, 512)
    edited = 255 - original
    mask = face_mask(face, 512)
    result = paste(photo, [(masked_change(original, edited, mask), face)])
    assert result.shape == photo.shape and result.dtype == np.uint8 and result is not photo
    y, x = np.mgrid[:900, :1200] + 0.5
    to_photo = face.crop_to_photo(512)
    in_crop = np.linalg.inv(to_photo[:, :2]) @ np.stack([x.ravel(), y.ravel()] - to_photo[:, 2:])
    in_crop = (in_crop - 0.5).reshape(2, 900, 1200).astype(np.float32)
    reach = cv2.dilate((mask > 0).astype(np.float32), np.ones((9, 9)))  # the warp's filter reaches 4 pixels
    inside = cv2.remap(reach, *in_crop, cv2.INTER_NEAREST)
    changed = (result != photo).any(axis=2)
    assert changed[430, 640] and not changed[inside == 0].any()
    assert (inside == 0).sum() > 0.8 * photo.shape[0] * photo.shape[1]
    no_edit = paste(photo, [(masked_change(original, original, mask), face)])
    assert np.array_equal(no_edit, photo)


@pytest.mark.parametrize("degrees", [0, 37])
@pytest.mark.parametrize("side", [420, 512, 900])
@pytest.mark.parametrize("mask", [face_mask(None, 512), crop_mask(512)], ids=["face", "hair"])
def test_no_seam_along_the_border(side: int, degrees: float, mask: np.ndarray) -> None:
    """A hard, even change of 60 of 255 over the whole square: the step to the photo stays under 2 of 255 a pixel."""
    photo = noisy_photo(1300, 1300)
    face = turned_face((650, 650), side, degrees)
    original = align(photo, face, 512)
    result = paste(photo, [(masked_change(original, original + 60, mask), face)])
    difference = result.astype(np.float32) - photo
    assert difference.max() == 60
    step = max(np.abs(np.diff(difference, axis=axis)).max() for axis in (0, 1))
    assert step <= 2


def test_change_lands_on_the_face() -> None:
    """A spot drawn in the square appears at its place in the photo, to a fraction of a pixel."""
    photo = np.full((700, 700, 3), 90, np.uint8)
    face = turned_face((380, 320), 333, 21)
    original = align(photo, face, 512)
    edited = original.copy()
    yy, xx = np.mgrid[:512, :512] + 0.5
    spot = 120 * np.exp(-((xx - 230) ** 2 + (yy - 300) ** 2) / (2 * 9**2))
    edited = (original + spot[..., None]).astype(np.uint8)
    change = (
        paste(photo, [(masked_change(original, edited, face_mask(face, 512)), face)]).astype(float).mean(axis=2) - 90
    )
    y, x = np.mgrid[:700, :700] + 0.5
    found = np.array([(x * change).sum(), (y * change).sum()]) / change.sum()
    expected = face.crop_to_photo(512) @ [230, 300, 1]
    assert np.abs(found - expected).max() < 0.25


def test_face_at_the_border_and_24_megapixels() -> None:
    photo = noisy_photo(4000, 6000)
    face = turned_face((40, 3900), 900, 12)  # most of the square lies outside the photo
    original = align(photo, face, 900)
    mask = face_mask(face, 900)
    start = time.perf_counter()
    result = paste(photo, [(masked_change(original, 255 - original, mask), face)])
    assert time.perf_counter() - start < 5
    assert (result[3700:, :200] != photo[3700:, :200]).any()
    assert np.array_equal(result[:3000], photo[:3000]) and np.array_equal(result[:, 1500:], photo[:, 1500:])


def test_detail_of_the_photo_survives_a_smaller_square() -> None:
    """A face of 1600 px edited in a square of 400: the photo's finest grain is still there."""
    photo = noisy_photo(2000, 2000)
    face = turned_face((1000, 1000), 1600, 0)
    original = align(photo, face, 400)
    result = paste(photo, [(masked_change(original, original + 20, face_mask(face, 400)), face)])
    centre = np.s_[900:1100, 900:1100]
    assert np.array_equal(result[centre], photo[centre] + 20)


@pytest.mark.parametrize("centre", [(640, 430), (30, 880)])
def test_into_an_image_as_into_an_array(centre: tuple[float, float]) -> None:
    photo = noisy_photo(900, 1200)
    face = turned_face(centre, 400, -30)
    original = align(photo, face, 256)
    mask = face_mask(face, 256)
    image = Image.fromarray(photo)
    changes = [(masked_change(original, 255 - original, mask), face)]
    changes.append((20 * crop_mask(64)[..., None].repeat(3, axis=2), face.part(-0.25, -0.25, 1.5)))
    result = paste_image(image, changes)
    assert np.array_equal(np.asarray(result), paste(photo, changes))
    assert np.array_equal(np.asarray(image), photo) and not np.array_equal(np.asarray(result), photo)


def test_a_change_of_the_surroundings_reaches_beyond_the_square() -> None:
    photo = noisy_photo(1000, 1000)
    face = turned_face((500, 500), 400, 20)
    wide = face.part(-0.25, -0.25, 1.5)
    assert wide.side == pytest.approx(600) and np.array_equal(wide.landmarks, face.landmarks)
    np.testing.assert_allclose(wide.quad.mean(axis=0), (500, 500))
    result = paste(photo, [(30 * crop_mask(90)[..., None].repeat(3, axis=2), wide)])
    turn = np.deg2rad(20)
    for distance, expected in ((0, 30), (205, 30), (300, 0)):
        x, y = round(500 + distance * np.cos(turn)), round(500 + distance * np.sin(turn))
        assert (result[y, x].astype(int) - photo[y, x] == expected).all(), distance


def test_changes_are_rounded_and_stay_in_range() -> None:
    pixels = np.array([[[0, 100, 250]]], np.uint8)
    assert add_change(pixels, np.array([[[-5, 0.6, 9]]], np.float32)).tolist() == [[[0, 101, 255]]]
