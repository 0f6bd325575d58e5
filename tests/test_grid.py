"""The grid: every picture and age is in it, the frame is on the right one, at any size and number."""

import numpy as np
import pytest
from PIL import Image

from agetransformer.grid import age_grid, cell_side, stack_grids


def plain(value: int, side: int = 200) -> Image.Image:
    return Image.new("RGB", (side, side), (value, value, value))


def yellow(grid: Image.Image) -> np.ndarray:
    red, green, blue = np.asarray(grid).astype(int).transpose(2, 0, 1)
    return (red > 200) & (green > 170) & (blue < 80)


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("side", [40, 200, 1024])
def test_every_picture_is_there_with_a_label(count: int, side: int) -> None:
    values = [40 + 15 * index for index in range(count + 1)]
    ages = [20 + 4.5 * index for index in range(count)]
    grid = age_grid(plain(values[0], side), 33.4, [plain(value, side) for value in values[1:]], ages)
    pixels = np.asarray(grid.convert("L")).astype(int)
    shown = min(max(side, 128), 512)
    middle = pixels[shown // 2]
    runs = [value for index, value in enumerate(middle) if index == 0 or middle[index - 1] != value]
    for value in values:
        assert value in runs
        columns = np.flatnonzero(middle == value)
        assert np.ptp(columns) < shown  # one picture, not two
        under = pixels[round(shown * 1.05) :, columns.min() : columns.max()]
        assert under.min() < 140 and under.max() == 255  # letters on white
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edges == 255).all()  # nothing is cut off


@pytest.mark.parametrize(("age", "framed"), [(12, 0), (33, 1), (46.2, 2), (80, 4)])
def test_yellow_frame_is_on_the_nearest_age(age: float, framed: int) -> None:
    grid = age_grid(plain(100), age, [plain(100)] * 5, [25, 35, 45, 55, 65])
    columns = np.flatnonzero(yellow(grid).any(axis=0)) - 16
    assert columns.min() // 208 == columns.max() // 208 == framed + 1  # a picture and a gap are 208 px wide
    assert yellow(age_grid(plain(100), age, [plain(100)], [50])).any()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="one age for each picture"):
        age_grid(plain(1), 30, [plain(1)], [20, 30])
    with pytest.raises(ValueError, match="one age for each picture"):
        age_grid(plain(1), 30, [], [])


def test_stack() -> None:
    top, bottom = age_grid(plain(50), 30, [plain(60)], [40]), age_grid(plain(70), 60, [plain(80)] * 2, [25, 65])
    sheet = stack_grids([top, bottom])
    assert sheet.size == (bottom.width, top.height + bottom.height)
    assert np.array_equal(np.asarray(sheet)[: top.height, : top.width], np.asarray(top))
    assert np.array_equal(np.asarray(sheet)[top.height :], np.asarray(bottom))


def test_faces_of_different_sizes_stand_in_columns() -> None:
    faces = [plain(60, 200), plain(60, 420)]
    side = cell_side(max(face.width for face in faces))
    grids = [age_grid(face, 40, [face] * 3, [25, 45, 65], side) for face in faces]
    assert side == 420 and grids[0].size == grids[1].size
    assert stack_grids(grids).size == (grids[0].width, 2 * grids[0].height)
    assert [cell_side(width) for width in (20, 300, 1024)] == [128, 300, 512]
