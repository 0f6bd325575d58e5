"""The load benchmark notices what it is there to notice."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.load import CORNER, LoadConfig, Tally, check_result, judge, make_photo, memory_growth


def encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def edited(pixels: np.ndarray) -> np.ndarray:
    """As if the face had been edited: a square in the middle is darker."""
    result = pixels.copy()
    result[40:60, 40:60] //= 2
    return result


def test_the_own_edited_photo_is_right():
    photo, sent = make_photo(3, 128)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(photo))), sent)
    assert check_result(encode(edited(sent)), sent) is None


def test_another_users_photo_is_noticed():
    (_, mine), (_, theirs) = make_photo(2, 128), make_photo(4, 128)  # the same portrait, another corner
    assert np.array_equal(mine[:-CORNER], theirs[:-CORNER])
    assert check_result(encode(edited(theirs)), mine) == "the result is another user's photo"


def test_an_untouched_face_and_another_size_are_noticed():
    _, sent = make_photo(0, 128)
    assert check_result(encode(sent), sent) == "the face is as it was"
    assert "the photo was (128, 128, 3)" in check_result(encode(sent[:100]), sent)


def test_memory_growth_compares_the_end_with_the_first_third():
    assert memory_growth([500.0] * 5 + [1000.0] * 85) == pytest.approx(1)  # caches that fill at first are no growth
    assert memory_growth(list(np.linspace(1000, 2000, 90))) > 1.3


def test_verdict():
    config = LoadConfig(users=2)
    assert judge(Tally(served=2, served_users={0, 1}, memory_mb=[900.0] * 30), config) == []
    faults = judge(Tally(served_users={0}, errors=["user 1: no"], memory_mb=[1.0 * i + 100 for i in range(90)]), config)
    assert [fault.split()[0] for fault in faults] == ["user", "1", "the"]
