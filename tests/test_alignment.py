"""Face finding and alignment, against known geometry: formulas, analytic images, transformed photos, FFHQ itself."""

import csv
import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from agetransformer.alignment import DEFAULT_MODEL, FaceFinder, FaceGeometry, align, ffhq_quad, unalign
from agetransformer.checkpoint import CheckpointError

ROOT = Path(__file__).parent.parent
FFHQ = ROOT.parent / "shared" / "data" / "ffhq-512-a.zip"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"

PHOTO_SIZE = (420, 300)  # width, height of the synthetic photo
# side, angle in degrees, centre: rotated, tilted, at the border, reaching beyond three borders
SQUARES = [
    (200, 0, (210, 150)),
    (60, 37, (100, 90)),
    (171.3, -12.6, (215.2, 140.9)),
    (150, 135, (40, 30)),
    (390, 80, (200.5, 149.25)),
]


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    with FaceFinder() as finder:
        yield finder


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB")


@pytest.fixture(scope="module")
def hopper() -> Image.Image:
    return Image.open(ROOT / "assets" / "grace_hopper.jpg").convert("RGB")


@pytest.fixture(scope="module")
def upright(finder: FaceFinder, astronaut: Image.Image) -> FaceGeometry:
    return finder.find(astronaut)[0]


def geometry_of(side: float, degrees: float, centre: tuple[float, float]) -> FaceGeometry:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * side / 2
    return FaceGeometry(np.zeros((478, 2), np.float32), corners @ turn.T + centre, {})


def pixel_centres(width: int, height: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=2)


def waves(points: np.ndarray) -> np.ndarray:
    """A smooth picture, 0..255, at points [..., 2]; reflection at the synthetic photo's border continues it."""
    across, down = (np.cos(np.pi * points[..., axis] * n / PHOTO_SIZE[axis]) for axis, n in ((0, 13), (1, 9)))
    return 127.5 + 110 * np.stack([across, down, across * down], axis=-1)


# The waves change by at most this many levels within half a pixel.
HALF_PIXEL = 110 * np.pi * 13 / PHOTO_SIZE[0] / 2


def quad_error(found: FaceGeometry, expected: np.ndarray) -> float:
    """Largest distance of a corner from where it should be, in sides."""
    return float(np.linalg.norm(found.quad - expected, axis=1).max() / found.side)


def test_model_is_the_published_one() -> None:
    assert hashlib.sha256(DEFAULT_MODEL.read_bytes()).hexdigest() == MODEL_SHA256
    assert MODEL_SHA256 in (DEFAULT_MODEL.parent / "README.md").read_text()


@pytest.mark.parametrize(
    ("mouth_below", "half_side"),
    [(90, 200), (150, 270)],  # 2.0 x the distance of the eyes; 1.8 x that from eyes to mouth
)
def test_quad_is_ffhqs(mouth_below: float, half_side: float) -> None:
    landmarks = np.zeros((478, 2), np.float32)
    landmarks[[33, 160, 158, 133, 153, 144]] = (250, 300)
    landmarks[[362, 385, 387, 263, 373, 380]] = (350, 300)
    landmarks[[61, 291]] = [(270, 300 + mouth_below), (330, 300 + mouth_below)]
    centre = np.array([300, 300 + 0.1 * mouth_below])
    expected = centre + half_side * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    np.testing.assert_allclose(ffhq_quad(landmarks), expected, atol=1e-4)


@pytest.mark.parametrize("square", SQUARES)
def test_crop_to_photo_maps_the_corners(square: tuple) -> None:
    geometry = geometry_of(*square)
    corners = np.array([(0, 0, 1), (0, 96, 1), (96, 96, 1), (96, 0, 1)])
    np.testing.assert_allclose(corners @ geometry.crop_to_photo(96).T, geometry.quad, atol=1e-9)
    assert geometry.side == pytest.approx(square[0])


@pytest.mark.parametrize("size", [64, 256, 700])
@pytest.mark.parametrize("square", SQUARES)
def test_align_reads_the_right_places(square: tuple, size: int) -> None:
    photo = waves(pixel_centres(*PHOTO_SIZE)).round().astype(np.uint8)
    geometry = geometry_of(*square)
    crop = align(photo, geometry, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    affine = geometry.crop_to_photo(size)
    expected = waves(pixel_centres(size, size) @ affine[:, :2].T + affine[:, 2])
    error = abs(crop - expected)
    assert error.mean() < HALF_PIXEL / 4
    assert error.max() < HALF_PIXEL


@pytest.mark.parametrize("size", [64, 256, 700])
@pytest.mark.parametrize("square", SQUARES)
def test_unalign_is_the_inverse(square: tuple, size: int) -> None:
    """A crop that holds its own photo coordinates must come back as the photo's pixel grid."""
    geometry = geometry_of(*square)
    affine = geometry.crop_to_photo(size)
    crop = (pixel_centres(size, size) @ affine[:, :2].T + affine[:, 2]).astype(np.float32)
    values, (left, top, right, bottom) = unalign(crop, geometry, (PHOTO_SIZE[1], PHOTO_SIZE[0], 3))
    assert values.dtype == np.float32
    assert values.shape == (bottom - top, right - left, 2)
    grid = pixel_centres(*PHOTO_SIZE)
    within = inside(grid, geometry, margin=max(8 * square[0] / size, 4))
    assert not np.delete(np.delete(within, slice(top, bottom), 0), slice(left, right), 1).any()
    error = abs(values - grid[top:bottom, left:right])[within[top:bottom, left:right]]
    assert error.size
    assert error.max() < 0.25  # pixels


@pytest.mark.parametrize("size", [256, 700])
@pytest.mark.parametrize("square", SQUARES)
def test_round_trip_of_a_photo(square: tuple, size: int) -> None:
    photo = waves(pixel_centres(*PHOTO_SIZE)).round().astype(np.uint8)
    geometry = geometry_of(*square)
    values, (left, top, right, bottom) = unalign(align(photo, geometry, size), geometry, photo.shape)
    assert values.dtype == np.uint8
    within = inside(pixel_centres(*PHOTO_SIZE), geometry, margin=3)[top:bottom, left:right]
    error = abs(values.astype(int) - photo[top:bottom, left:right])[within]
    assert error.max() < HALF_PIXEL


def inside(points: np.ndarray, geometry: FaceGeometry, margin: float) -> np.ndarray:
    """Which points [H, W, 2] are in the square, at least `margin` photo pixels from its edge."""
    matrix = np.vstack([geometry.crop_to_photo(1), (0, 0, 1)])
    unit = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2) @ np.linalg.inv(matrix).T
    margin /= geometry.side
    return ((unit[..., :2] > margin) & (unit[..., :2] < 1 - margin)).all(axis=2)


def test_a_square_on_the_pixel_grid_is_copied_exactly() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    geometry = geometry_of(64, 0, (52, 42))
    crop = align(photo, geometry, 64)
    np.testing.assert_array_equal(crop, photo[10:74, 20:84])
    values, box = unalign(crop, geometry, photo.shape)
    assert box == (20, 10, 84, 74)
    np.testing.assert_array_equal(values, crop)


def test_shrinking_does_not_alias() -> None:
    """A checkerboard of single pixels becomes flat grey; sampling it would give black and white."""
    photo = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (200, 200))[..., None].repeat(3, axis=2)
    crop = align(photo, geometry_of(300, 20, (200, 200)), 50)
    assert abs(crop.astype(int) - 127).max() < 16


def test_unalign_keeps_masks_flat_and_two_dimensional() -> None:
    values, _ = unalign(np.full((50, 50), 0.25, np.float32), geometry_of(80, 30, (100, 100)), PHOTO_SIZE[::-1])
    assert values.ndim == 2
    np.testing.assert_allclose(values, 0.25, atol=1e-5)


def test_unalign_refuses_another_photo() -> None:
    with pytest.raises(ValueError, match="pass the photo that it was found in"):
        unalign(np.zeros((8, 8, 3), np.uint8), geometry_of(50, 0, (500, 500)), (100, 100, 3))


def test_frontal_face_is_framed_upright(upright: FaceGeometry) -> None:
    left_eye, right_eye, chin = (upright.landmarks[i] for i in (468, 473, 152))
    affine = np.vstack([upright.crop_to_photo(1), (0, 0, 1)])
    left_eye, right_eye, chin = ((np.linalg.inv(affine) @ (*point, 1))[:2] for point in (left_eye, right_eye, chin))
    # where FFHQ has them
    np.testing.assert_allclose(left_eye, (0.38, 0.47), atol=0.03)
    np.testing.assert_allclose(right_eye, (0.62, 0.47), atol=0.03)
    assert 0.75 < chin[1] < 0.95
    assert len(upright.blendshapes) == 52
    assert upright.blendshapes["mouthSmileLeft"] > 0.5


@pytest.mark.parametrize("degrees", range(45, 360, 45))
def test_any_rotation(finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry, degrees: int) -> None:
    turned = astronaut.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(120, 120, 120))
    angle = -np.radians(degrees)  # Pillow turns counterclockwise; y points down
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (upright.quad - np.array(astronaut.size) / 2) @ turn.T + np.array(turned.size) / 2
    faces = finder.find(turned)
    assert len(faces) == 1
    assert quad_error(faces[0], expected) < 0.04


def test_mirrored(finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry) -> None:
    (face,) = finder.find(ImageOps.mirror(astronaut))
    expected = (upright.quad * (-1, 1) + (astronaut.width, 0))[[3, 2, 1, 0]]
    assert quad_error(face, expected) < 0.03


def test_grey_photo(finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry) -> None:
    (face,) = finder.find(astronaut.convert("L"))
    assert quad_error(face, upright.quad) < 0.03


@pytest.mark.parametrize("corner", [(35, 1200), (1610, 480)])
def test_a_face_of_60_px_in_a_large_photo(
    finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry, corner: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(60, 200, (30, 40, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize((2000, 1500), Image.Resampling.BICUBIC)
    factor = 60 / np.ptp(upright.landmarks[:, 0])
    size = tuple(round(n * factor) for n in astronaut.size)
    photo.paste(astronaut.resize(size, Image.Resampling.LANCZOS), corner)
    (face,) = finder.find(photo)
    assert 50 < np.ptp(face.landmarks[:, 0]) < 70
    assert quad_error(face, upright.quad * factor + corner) < 0.08


@pytest.mark.parametrize("axis", [0, 1])
def test_a_face_cut_by_the_border(finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry, axis: int) -> None:
    """A third of the face's width or height is missing."""
    corner = [0, 0]
    corner[axis] = round(np.quantile((upright.landmarks[:, axis].min(), upright.landmarks[:, axis].max()), 1 / 3))
    cut = astronaut.crop((*corner, *astronaut.size))
    (face,) = finder.find(cut)
    assert face.quad[:, axis].min() < -20  # the square reaches beyond the photo
    assert quad_error(face, upright.quad - corner) < 0.1
    assert align(np.asarray(cut), face, 128).shape == (128, 128, 3)


def test_a_face_that_fills_the_photo(finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry) -> None:
    left, top = upright.landmarks.min(axis=0).astype(int)
    right, bottom = upright.landmarks.max(axis=0).astype(int)
    (face,) = finder.find(astronaut.crop((left, top, right, bottom)).resize((900, 1200)))
    assert face.side > 900


def test_a_face_at_the_end_of_a_long_photo(finder: FaceFinder, astronaut: Image.Image, upright: FaceGeometry) -> None:
    """So large that it is examined in the shrunken photo, whose sides are not shrunk by quite the same."""
    width, height = 32000, 341
    scale = 240 / np.ptp(upright.landmarks[:, 0])
    large = astronaut.resize((round(astronaut.width * scale), round(astronaut.height * scale)))
    left, top = (scale * upright.landmarks.mean(axis=0) - height / 2).astype(int)
    photo = Image.new("RGB", (width, height), (200, 190, 185))
    photo.paste(large.crop((left, top, left + height, top + height)), (width - height, 0))
    (found,) = finder.find(photo)
    expected = scale * upright.landmarks - (left, top) + (width - height, 0)
    assert np.abs(found.landmarks - expected).mean() < 2


def test_two_people_largest_first(finder: FaceFinder, astronaut: Image.Image, hopper: Image.Image) -> None:
    both = Image.new("RGB", (1024, 600))
    both.paste(astronaut, (0, 0))
    both.paste(hopper, (512, 0))
    one, other = finder.find(both)
    assert one.side > other.side
    assert one.quad.mean(axis=0)[0] > 512 > other.quad.mean(axis=0)[0]
    with FaceFinder(max_faces=1) as single:
        (largest,) = single.find(both)
    assert quad_error(largest, one.quad) < 0.01


def test_a_crowd_is_found_whole(finder: FaceFinder, astronaut: Image.Image) -> None:
    face = astronaut.crop((100, 0, 360, 260))
    crowd = Image.new("RGB", (5 * 260, 4 * 260))
    for place in range(20):
        crowd.paste(face, (place % 5 * 260, place // 5 * 260))
    assert len(finder.find(crowd)) == 20


def test_glasses_and_hat(finder: FaceFinder, hopper: Image.Image) -> None:
    (face,) = finder.find(hopper)
    assert 300 < face.side < 370


@pytest.mark.parametrize("size", [(1, 1), (40, 3000), (700, 500), (4_000_000, 1), (30, 400_000)])
def test_no_face_is_an_empty_list(finder: FaceFinder, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert finder.find(Image.fromarray(noise)) == []
    began = time.monotonic()
    assert finder.find(Image.new("RGB", size, (200, 170, 150))) == []
    assert time.monotonic() - began < 5  # a strip of pixels is not cut into a million tiles


def test_a_closed_finder_says_so(astronaut: Image.Image) -> None:
    finder = FaceFinder()
    finder.close()
    finder.close()
    with pytest.raises(RuntimeError, match="closed"):
        finder.find(astronaut)


def test_missing_or_broken_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        FaceFinder(tmp_path / "face_landmarker.task")
    broken = tmp_path / "broken.task"
    broken.write_bytes(DEFAULT_MODEL.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="cut short"):
        FaceFinder(broken)


def ffhq_faces(finder: FaceFinder, rows: list[dict[str, str]]) -> list[FaceGeometry | None]:
    """The face nearest to the middle of each FFHQ image; FFHQ's square is the image itself, so the truth is known."""
    found = []
    with zipfile.ZipFile(FFHQ) as images:
        for row in rows:
            faces = finder.find(Image.open(io.BytesIO(images.read(row["file"]))))
            found.append(min(faces, key=lambda face: np.linalg.norm(face.quad.mean(axis=0) - 256), default=None))
    return found


def ffhq_labels() -> list[dict[str, str]]:
    if not FFHQ.exists():
        pytest.skip("needs the FFHQ images in ../shared/data")
    with zipfile.ZipFile(FFHQ) as images:
        return list(csv.DictReader(io.StringIO(images.read("labels.csv").decode())))


def test_ffhq_gives_back_its_own_squares(finder: FaceFinder) -> None:
    faces = ffhq_faces(finder, ffhq_labels()[::37][:40])
    assert None not in faces
    centres = np.array([face.quad.mean(axis=0) for face in faces]) / 512 - 0.5
    sides = np.array([face.side for face in faces]) / 512
    assert abs(centres.mean(axis=0)).max() < 0.005
    assert abs(sides.mean() - 1) < 0.02
    assert np.percentile(abs(centres), 90) < 0.02
    assert np.percentile(abs(sides - 1), 90) < 0.06


def test_ffhq_profiles(finder: FaceFinder) -> None:
    rows = sorted(ffhq_labels(), key=lambda row: -abs(float(row["yaw"] or 0)))[:10]
    assert abs(float(rows[-1]["yaw"])) > 40  # degrees
    found = [
        face is not None and np.linalg.norm(face.quad.mean(axis=0) - 256) < 60 for face in ffhq_faces(finder, rows)
    ]
    assert sum(found) >= 9
