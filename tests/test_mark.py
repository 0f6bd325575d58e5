"""The visible label: in the corner only, legible on any ground, in proportion."""

import numpy as np
import pytest
from PIL import Image

from agetransformer.mark import add_mark, mark_frames


def change(size: tuple[int, int], colour: tuple[int, int, int] | str) -> tuple[np.ndarray, np.ndarray]:
    """The marked picture as grey levels, and where it differs from the plain one."""
    plain = Image.new("RGB", size, colour)
    marked = add_mark(plain)
    assert marked.size == size and marked.mode == "RGB"
    assert np.array_equal(np.asarray(plain), np.asarray(Image.new("RGB", size, colour)))  # the input stays
    return np.asarray(marked.convert("L")).astype(int), (np.asarray(marked) != np.asarray(plain)).any(axis=2)


@pytest.mark.parametrize("size", [(512, 512), (768, 511), (1080, 1920), (3000, 2000)])
@pytest.mark.parametrize("colour", ["white", "black", "grey", (255, 220, 190)])
def test_small_in_the_corner_and_legible(size: tuple[int, int], colour: tuple[int, int, int] | str) -> None:
    levels, changed = change(size, colour)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert columns[0] > 0.7 * size[0] and rows[0] > 0.9 * size[1]
    assert columns[-1] < size[0] - 4 and rows[-1] < size[1] - 4
    assert changed.mean() < 0.01
    # WCAG 2.1 asks 4.5 : 1 of small text (success criterion 1.4.3).
    plate = levels[rows[0] : rows[-1], columns[0] : columns[-1]]
    ink, ground = ((np.percentile(plate, q) / 255) ** 2.2 for q in (99, 40))
    assert (ink + 0.05) / (ground + 0.05) > 4.5
    assert columns[-1] - columns[0] > 40  # px


def test_it_scales_with_the_photo() -> None:
    widths = [np.flatnonzero(change(size, "white")[1].any(axis=0)).size for size in ((1000, 1000), (4000, 4000))]
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.03)


@pytest.mark.parametrize("size", [(1, 1), (20, 9), (7, 90), (64, 64)])
def test_pictures_smaller_than_the_label(size: tuple[int, int]) -> None:
    _, changed = change(size, "white")
    assert changed.any()


def test_other_modes() -> None:
    assert add_mark(Image.new("L", (300, 200), 255)).mode == "RGB"


def test_frames_that_come_again_are_marked_once() -> None:
    one, other = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "white")
    first, second, third = mark_frames(iter((one, other, one)))
    assert first is third and first is not second
    assert np.array_equal(np.asarray(first), np.asarray(add_mark(one)))
