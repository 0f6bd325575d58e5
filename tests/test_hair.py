"""Hair: where it is, and how it turns grey."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from agetransformer import AgeEditor, Face
from agetransformer.face_outline import OVAL, mean_outline
from agetransformer.grey_hair import Hair, grey_change, grey_share, grown_grey, measure_hair
from agetransformer.hair_map import face_region, map_hair
from tests.test_skin_maps import HAIR, SKIN, ellipse, portrait_square

WALL, SHIRT = (150, 170, 190), (70, 110, 60)
HEAD = ellipse((0.5, 0.5), (0.34, 0.42))  # hair and all
SHOULDERS = np.array([[0.1, 1.0], [0.25, 0.9], [0.75, 0.9], [0.9, 1.0]])
OUTLINE = ellipse((0.5, 0.57), (0.25, 0.3))


def draw(outlines: list[tuple[np.ndarray, tuple[int, int, int]]]) -> np.ndarray:
    image = Image.new("RGB", (256, 256), WALL)
    for outline, colour in outlines:
        ImageDraw.Draw(image).polygon([tuple(point) for point in (outline * 256).tolist()], fill=colour)
    noise = np.random.default_rng(0).normal(0, 3, (256, 256, 1))
    return (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)


PERSON = (draw([(HEAD, (0, 0, 0)), (SHOULDERS, (0, 0, 0))]).sum(axis=2) < 100).astype(np.float32)


def hair_of(crown: tuple[int, int, int]) -> np.ndarray:
    """The map of a head whose hair, or what is in its place, has this colour."""
    face = ellipse((0.5, 0.57), (0.25, 0.34))
    return map_hair(draw([(SHOULDERS, SHIRT), (HEAD, crown), (face, SKIN)]), OUTLINE, PERSON)


def at(mask: np.ndarray, x: float, y: float) -> float:
    return float(mask[int(y * len(mask)), int(x * len(mask))])


def test_hair_is_what_is_above_and_beside_the_face():
    hair = hair_of(HAIR)
    assert hair.dtype == np.float32 and hair.min() >= 0 and hair.max() <= 1
    for x, y in ((0.5, 0.12), (0.3, 0.25), (0.7, 0.25), (0.2, 0.5), (0.8, 0.5)):
        assert at(hair, x, y) > 0.9, (x, y)
    for x, y in ((0.5, 0.6), (0.4, 0.5), (0.5, 0.45), (0.05, 0.5), (0.95, 0.2), (0.5, 0.97), (0.2, 0.95)):
        assert at(hair, x, y) < 0.1, (x, y)  # face, wall, shirt


def test_hair_reaches_the_forehead():
    """No dark line is left between the two: somewhere it is half."""
    column = hair_of(HAIR)[:, 96]
    edge = np.flatnonzero(column > 0.5)[-1] / len(column)
    assert 0.2 < edge < 0.27  # the skin begins at 0.23


@pytest.mark.parametrize("crown", [SKIN, (40, 60, 160), (190, 20, 40)], ids=["bald", "blue hat", "red hat"])
def test_what_is_no_hair_is_left_out(crown):
    assert hair_of(crown).max() < 0.1


def test_nobody_has_no_hair():
    assert map_hair(draw([(HEAD, HAIR)]), OUTLINE, np.zeros((256, 256), np.float32)).max() == 0


def test_the_mean_outline_is_where_faces_are():
    outline = mean_outline()
    assert outline.shape == (len(OVAL), 2)
    region = face_region(outline, 256)
    assert region[140, 128] and not region[40, 128] and not region[140, 20] and not region[250, 128]


def test_grey_comes_with_the_years_and_does_not_go():
    shares = [grey_share(age) for age in (20, 35, 45, 55, 65, 69)]
    assert shares == sorted(shares) and shares[1] < 0.05 and 0.3 < shares[3] < 0.45 and shares[4] > 0.6
    assert grown_grey(30, 65) > 0.6 and 0 < grown_grey(60, 65) < 0.4
    assert grown_grey(60, 60) == grown_grey(60, 25) == 0


def strands(light: float = 1.0) -> tuple[np.ndarray, Hair]:
    """Brown hair of dark and light strands above skin, in this light: [64, 64, 3] in 0..1."""
    pixels = np.tile(np.float32([0.3, 0.2, 0.1]), (64, 64, 1))
    pixels[:, ::2] *= 1.3
    pixels[32:] = (0.8, 0.6, 0.5)
    image = np.rint(255 * light * pixels).astype(np.uint8)
    mask: np.ndarray = np.zeros((64, 64), np.float32)
    mask[:32] = 1
    pixels = image.astype(np.float32) / 255
    return pixels, measure_hair(pixels, mask, mask == 0)


def test_hair_turns_light_and_colourless_and_keeps_its_strands():
    before, hair = strands()
    after = before + grey_change(before, hair, 0.6)
    assert np.array_equal(after[32:], before[32:])  # the skin
    top = slice(8, 24)
    assert after[top].mean() > before[top].mean() + 0.15
    red_to_blue = [(x[top, :, 0] - x[top, :, 2]).mean() for x in (before, after)]
    assert red_to_blue[1] < 0.6 * red_to_blue[0]
    contrast = [(x[top, ::2] - x[top, 1::2]).mean() for x in (before, after)]
    assert contrast[1] > contrast[0] > 0
    assert np.abs(grey_change(before, hair, 0.0)).max() < 1e-6


def test_white_hair_stays_and_the_dark_does_not_glow():
    white, full = np.full((64, 64, 3), 0.8, np.float32), np.ones((64, 64), np.float32)
    assert np.abs(grey_change(white, measure_hair(white, full, full > 0), 0.7)).max() < 0.01
    before, hair = strands(light=0.25)
    assert (before + grey_change(before, hair, 0.7))[8:24].mean() < 0.36


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return portrait_square(256)


def test_the_editor_turns_hair_grey_in_older_faces_alone(editor: AgeEditor, portrait: Image.Image) -> None:
    face = replace(editor.face_from_aligned(portrait), age=32.0)
    encoding = editor.encode(face)
    assert encoding.hair is not None

    def change(age: float, strength: float = 1.0) -> np.ndarray:
        grey, plain = (
            np.asarray(editor.decode(encoding, [age], strength, hair)[0]).astype(float).mean(axis=2)
            for hair in (True, False)
        )
        return grey - plain

    old = change(65)
    assert old[30:60, 100:150].mean() > 20  # her fringe
    assert np.abs(old[130:200, 100:150]).max() <= 1 and np.abs(old[:, :10]).max() <= 1  # her face, the wall
    assert np.abs(change(25)).max() == 0
    half = change(65, 0.5)[30:60, 100:150].mean()
    assert half == pytest.approx(old[30:60, 100:150].mean() / 2, rel=0.1)


def test_hair_that_was_not_looked_for_stays(editor: AgeEditor, portrait: Image.Image) -> None:
    encoding = editor.encode(replace(editor.face_from_aligned(portrait), age=32.0), hair=False)
    grey, plain = (np.asarray(editor.decode(encoding, [65], hair=hair)[0]) for hair in (True, False))
    assert encoding.hair is None and np.array_equal(grey, plain)


def test_without_the_segmenter_a_square_keeps_its_hair_and_a_photo_is_refused(
    editor: AgeEditor, portrait: Image.Image, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from agetransformer.alignment import FaceGeometry
    from agetransformer.checkpoint import CheckpointError

    def missing(*arguments):
        raise CheckpointError("no such file")

    monkeypatch.setattr("agetransformer.segmentation.PersonSegmenter.__init__", missing)
    editor.close()
    square = editor.face_from_aligned(portrait)
    assert editor.encode(square).hair is None and "hair stays as it is" in caplog.text
    corners = np.array([[0.0, 0], [0, 256], [256, 256], [256, 0]])
    found = Face(FaceGeometry(np.zeros((478, 2), np.float32), corners, {}), portrait, 30.0)
    with pytest.raises(CheckpointError, match="no such file"):
        editor.encode(found)
