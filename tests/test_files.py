"""Files that are whole or not there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agetransformer.files import written_whole


def test_two_who_write_the_same_file_each_write_it_whole(tmp_path: Path) -> None:
    def write(letter: str) -> None:
        for _ in range(50):
            with written_whole(tmp_path / "file") as aside:
                aside.write_text(letter * 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    text = (tmp_path / "file").read_text()
    assert len(text) == 1000 and len(set(text)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    with written_whole(path) as aside:
        aside.write_text("whole")
    assert path.read_text() == "whole"


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(RuntimeError), written_whole(tmp_path / "file") as aside:
        aside.write_text("half")
        raise RuntimeError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
