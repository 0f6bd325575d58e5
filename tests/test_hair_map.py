"""Maps of hair, and hair that turns grey."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from agetransformer.shading import luma
from tests.test_skin_maps import HAIR, MOUTH, OVAL, SKIN, at, ellipse
from train.grey_hair import grey_share, grown_grey, turn_grey
from train.hair_map import draw_hair_map
from train.map_skin import draw_skin_map
from train.skin_maps import SIDE

WALL, SHIRT = (150, 170, 190), (70, 110, 60)
HEAD = ellipse((0.5, 0.5), (0.34, 0.42))  # hair and all


def draw(outlines: list[tuple[np.ndarray, tuple[int, int, int]]]) -> np.ndarray:
    image = Image.new("RGB", (256, 256), WALL)
    for outline, colour in outlines:
        ImageDraw.Draw(image).polygon([tuple(point) for point in (outline * 256).tolist()], fill=colour)
    noise = np.random.default_rng(0).normal(0, 3, (256, 256, 1))
    return (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)


SHOULDERS = np.array([[0.1, 1.0], [0.25, 0.9], [0.75, 0.9], [0.9, 1.0]])
PERSON = (draw([(HEAD, (0, 0, 0)), (SHOULDERS, (0, 0, 0))]).sum(axis=2) < 100).astype(np.float32)


def hair_of(crown: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The hair map and the skin map of a head whose hair, or what is in its place, has this colour."""
    face = ellipse((0.5, 0.57), (0.25, 0.34))
    image = draw([(SHOULDERS, SHIRT), (HEAD, crown), (face, SKIN)])
    skin = draw_skin_map(image, OVAL, MOUTH)
    return draw_hair_map(image, OVAL, PERSON, skin), skin


def test_hair_is_what_is_above_and_beside_the_face():
    hair, _ = hair_of(HAIR)
    assert hair.shape == (SIDE, SIDE) and hair.dtype == np.uint8
    for x, y in ((0.5, 0.12), (0.3, 0.25), (0.7, 0.25), (0.2, 0.5), (0.8, 0.5)):
        assert at(hair, x, y) > 0.9, (x, y)
    for x, y in ((0.5, 0.6), (0.4, 0.5), (0.5, 0.45), (0.05, 0.5), (0.95, 0.2), (0.5, 0.97), (0.2, 0.95)):
        assert at(hair, x, y) < 0.1, (x, y)  # face, wall, shirt


def test_no_seam_is_left_between_hair_and_skin():
    hair, skin = hair_of(HAIR)
    column = np.maximum(hair, skin)[round(0.12 * SIDE) : round(0.6 * SIDE), SIDE // 2]
    assert column.min() > 0.75 * 255


@pytest.mark.parametrize("crown", [SKIN, (40, 60, 160), (190, 20, 40)], ids=["bald", "blue hat", "red hat"])
def test_what_is_no_hair_is_left_out(crown):
    assert hair_of(crown)[0].max() < 0.1 * 255


def test_nobody_has_no_hair():
    image = draw([(HEAD, HAIR)])
    skin = np.zeros((SIDE, SIDE), np.uint8)
    assert draw_hair_map(image, OVAL, np.zeros((256, 256), np.float32), skin).max() == 0


def test_grey_comes_with_the_years_and_does_not_go():
    shares = grey_share(torch.tensor([20.0, 35, 45, 55, 65, 69]))
    assert (shares.diff() > 0).all() and shares[1] < 0.05 and 0.3 < shares[3] < 0.45 and shares[4] > 0.6
    grown = grown_grey(torch.tensor([30.0, 60, 60, 60]), torch.tensor([65.0, 65, 60, 25]))
    assert grown[0] > 0.6 and 0 < grown[1] < 0.4 and (grown[2:] == 0).all()


@pytest.fixture
def strands():
    """Brown hair of dark and light strands above skin [1, 3, 64, 64], and the masks of both."""
    brown = torch.tensor([0.3, 0.2, 0.1])[None, :, None, None].expand(1, 3, 64, 64).clone()
    brown[..., ::2] *= 1.3
    brown[:, :, 32:] = torch.tensor([0.8, 0.6, 0.5])[None, :, None, None]
    hair, skin = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    hair[:, :, :32], skin[:, :, 32:] = 1, 1
    return 2 * brown - 1, hair, skin


def test_hair_turns_light_and_colourless_and_keeps_its_strands(strands):
    images, hair, skin = strands
    grey = turn_grey(images, hair, skin, torch.tensor([0.6]))
    assert torch.equal(grey[:, :, 32:], images[:, :, 32:])  # the skin
    top = slice(8, 24)
    before, after = (luma(x)[:, top].mean() for x in (images, grey))
    assert after > before + 0.3
    colour = [(x[:, 0] - x[:, 2])[:, top].mean() for x in (images, grey)]
    assert colour[1] < 0.6 * colour[0]
    strand = [(luma(x)[:, top, ::2] - luma(x)[:, top, 1::2]).mean() for x in (images, grey)]
    assert strand[1] > strand[0] > 0
    torch.testing.assert_close(turn_grey(images, hair, skin, torch.zeros(1)), images, rtol=0, atol=1e-5)


def test_white_hair_stays_and_the_dark_does_not_glow(strands):
    images, hair, skin = strands
    white = images.clone()
    white[:, :, :32] = 0.6
    assert (turn_grey(white, hair, skin, torch.tensor([0.7])) - white).abs().max() < 0.02
    night = images * 0.25 - 0.75  # a quarter of the light
    grey = turn_grey(night, hair, skin, torch.tensor([0.7]))
    assert luma(grey)[:, 8:24].mean() < 2 * 0.36 - 1
