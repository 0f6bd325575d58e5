"""Black and white photos and sepia prints keep their colours, and photos in colour theirs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agetransformer import AgeEditor
from agetransformer.toning import find_toning
from tests.test_skin_maps import portrait_square

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return portrait_square(256)


def toned(picture: Image.Image, powers: tuple[float, float, float], black: float = 0.0) -> np.ndarray:
    """The picture as a print of one tone: each channel is a power of its lightness, from `black` of 1 on."""
    grey = np.asarray(picture.convert("L"))[..., None] / 255
    return np.rint(255 * (black + (1 - black) * grey ** np.array(powers))).astype(np.uint8)


SEPIA, CYANOTYPE, BLACK_AND_WHITE = (0.8, 1.0, 1.35), (1.6, 1.0, 0.7), (1.0, 1.0, 1.0)


def beside_the_tone(pixels: np.ndarray, powers: tuple[float, float, float]) -> float:
    """How far in levels a picture's colours are from those that the print has for their lightness: 99th percentile.

    Where a channel is white or black none can be told.
    """
    levels = np.arange(256) / 255
    colours = 255 * levels[:, None] ** np.array(powers)
    values = pixels.reshape(-1, 3).astype(float)
    usual = np.stack([np.interp(values @ LUMA, colours @ LUMA, channel) for channel in colours.T], axis=1)
    told = (values.max(axis=1) < 255) & (values.min(axis=1) > 0)
    return float(np.quantile(np.abs(values - usual).max(axis=1)[told], 0.99))


@pytest.mark.parametrize("powers", [SEPIA, CYANOTYPE, BLACK_AND_WHITE])
def test_what_changes_gets_the_colour_of_its_new_lightness(portrait: Image.Image, powers: tuple) -> None:
    picture = toned(portrait, powers)
    toning = find_toning(picture)
    assert toning is not None and toning.share == 1
    light = (picture @ LUMA).astype(np.float32)
    middle = (light > 40) & (light < 200)
    change = np.broadcast_to(np.float32([30, 10, -20]), picture.shape) * middle[..., None]
    made = toning.colour_change(change, light)
    assert made.dtype == np.float32
    assert np.allclose(made @ LUMA, change @ LUMA, atol=0.01), "as light as before"
    assert beside_the_tone((picture + made)[middle], powers) < 2.5
    assert beside_the_tone((picture + change)[middle], powers) > 10
    assert np.abs(toning.colour_change(np.zeros_like(change), light)).max() == 0


@pytest.mark.parametrize("side", [10, 30, 55])
@pytest.mark.parametrize("colour", [(220, 20, 20), (20, 40, 230)])
def test_a_stamp_on_a_print_is_none_of_its_tone(portrait: Image.Image, side: int, colour: tuple) -> None:
    picture = toned(portrait, BLACK_AND_WHITE)
    picture[:side, :side] = colour
    toning = find_toning(picture)
    assert toning is not None and toning.share == 1
    for light in range(10, 240, 5):
        made = toning.colour_change(np.full((1, 1, 3), 15, np.float32), np.full((1, 1), light, np.float32))
        assert np.allclose(made, 15, atol=0.5)


def test_a_print_in_the_dark_is_one(portrait: Image.Image) -> None:
    for powers in (SEPIA, CYANOTYPE):
        dark = np.rint(0.2 * toned(portrait, powers)).astype(np.uint8)
        toning = find_toning(dark, exposure=3.5)
        assert toning is not None and toning.share > 0.9


def test_photos_in_colour_have_no_tone(portrait: Image.Image) -> None:
    assert find_toning(np.asarray(portrait)) is None
    dim = np.rint(np.asarray(portrait) * 0.3).astype(np.uint8)
    assert find_toning(dim, exposure=1 / 0.3) is None, "in the dark colours are nearer to each other"


def test_grain_and_jpeg_are_no_colours(portrait: Image.Image, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 5, (portrait.height, portrait.width, 3))
    scan = (toned(portrait, SEPIA, black=0.1) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(scan).save(tmp_path / "scan.jpg", quality=70)
    toning = find_toning(np.asarray(Image.open(tmp_path / "scan.jpg")))
    assert toning is not None and toning.share > 0.8


def test_between_a_print_and_a_photo_in_colour_it_fades(portrait: Image.Image) -> None:
    """Or a film would flicker that is nearly of one tone."""
    print_, colour = toned(portrait, SEPIA).astype(float), np.asarray(portrait).astype(float)
    steps = [
        find_toning(np.rint(print_ + part * (colour - print_)).astype(np.uint8)) for part in np.linspace(0, 0.5, 26)
    ]
    shares = np.array([0.0 if toning is None else toning.share for toning in steps])
    assert shares[0] == 1 and shares[-1] == 0 and (np.diff(shares) <= 0).all()
    assert np.abs(np.diff(shares)).max() < 0.4
    change, light = np.array([[[30, 10, -20]]], np.float32), np.full((1, 1), 120, np.float32)
    full = steps[0].colour_change(change, light) - change
    half = next(toning for toning in steps if toning.share < 0.9)
    assert 0.1 < half.share < 0.9
    some = half.colour_change(change, light) - change
    assert np.allclose(some, half.share * full, rtol=0.2, atol=0.5)
    whole = replace(half, share=1.0).colour_change(change, light) - change
    assert np.allclose(some, half.share * whole, atol=1e-3) and np.abs(whole).max() > 3


def test_flat_tiny_and_black_pictures_are_no_error() -> None:
    for picture in (np.zeros((64, 64, 3)), np.full((1, 1, 3), 255), np.full((300, 300, 3), (200, 150, 90))):
        toning = find_toning(picture.astype(np.uint8))
        change = np.ones((2, 2, 3), np.float32)
        assert toning is not None
        assert np.allclose(toning.colour_change(change, np.full((2, 2), 128, np.float32)), change, atol=1e-5)


@pytest.mark.parametrize(("powers", "most", "without"), [(SEPIA, 6, 12), (BLACK_AND_WHITE, 0.5, 4)])
def test_a_print_stays_one_with_grey_hair_too(
    portrait: Image.Image, powers: tuple, most: float, without: float
) -> None:
    """By the embedded networks, which find her hair."""
    editor = AgeEditor.from_pretrained(device="cpu")
    square = Image.fromarray(toned(portrait, powers))
    encoding = editor.encode(replace(editor.face_from_aligned(square), age=32.0))
    (old,), (plain,) = (editor.decode(encoding, [65], hair=hair) for hair in (True, False))
    after = np.asarray(old.image)
    assert np.abs(after.astype(int) - np.asarray(plain.image))[30:60, 100:150].mean() > 10, "her fringe"
    assert np.abs(np.asarray(plain.image).astype(int) - square)[90:200, 90:170].max() > 10, "her face"
    assert beside_the_tone(after, powers) < most
    (unlike,) = editor.decode(replace(encoding, toning=None), [65])
    assert beside_the_tone(np.asarray(unlike.image), powers) > without


def test_a_dark_print_is_of_its_own_colours_and_not_of_those_that_the_network_saw(portrait: Image.Image) -> None:
    editor = AgeEditor.from_pretrained(device="cpu")
    square = Image.fromarray(np.rint(0.3 * toned(portrait, SEPIA)).astype(np.uint8))
    encoding = editor.encode(replace(editor.face_from_aligned(square), age=32.0))
    assert encoding.exposure > 2 and encoding.toning is not None and encoding.toning.share > 0.9
    assert np.abs(encoding.light - np.asarray(square.resize((384, 384))) @ LUMA).mean() < 1
    assert encoding.toning.light.max() < 100
    (old,) = editor.decode(encoding, [65])
    levels = 0.3 * 255 * (np.arange(256) / 255)[:, None] ** np.array(SEPIA)
    after = np.asarray(old.image).reshape(-1, 3).astype(float)
    usual = np.stack([np.interp(after @ LUMA, levels @ LUMA, channel) for channel in levels.T], axis=1)
    assert np.quantile(np.abs(after - usual).max(axis=1), 0.99) < 3
