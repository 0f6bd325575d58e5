"""The command line's sweep and --mark."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agetransformer import AgeEditor
from agetransformer.__main__ import main
from agetransformer.imageio import load_photo


def square(path: Path, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(60, 200, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).save(path)
    return path


def run(command: str, *arguments: object) -> int:
    return main([command, *map(str, arguments)])


def test_sweep(embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "text.jpg"
    bad.write_text("not a photo")
    photos, out = [square(tmp_path / "a.png"), bad, square(tmp_path / "b.png", 1)], tmp_path / "out"
    assert run("sweep", *photos, "--aligned", "--format", "webp", "--out", out) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(out / "a_sweep.webp"), str(out / "b_sweep.webp")]
    assert printed.err.startswith(f"{bad}: The file is not a photo")
    with Image.open(out / "a_sweep.webp") as animation:
        assert animation.size == (96, 96) and animation.n_frames > 20
    assert run("sweep", photos[0], "--aligned", "--out", out) == 0  # MP4 unless told otherwise
    assert (out / "a_sweep.mp4").is_file()


def test_sweep_never_writes_over_its_input(embedded: None, tmp_path: Path) -> None:
    photo, other = square(tmp_path / "a_sweep.png"), square(tmp_path / "a.png")
    photo.rename(tmp_path / "a_sweep.gif")
    before = (tmp_path / "a_sweep.gif").read_bytes()
    run("sweep", tmp_path / "a_sweep.gif", other, "--aligned", "--format", "gif", "--out", tmp_path)
    assert (tmp_path / "a_sweep.gif").read_bytes() == before
    assert (tmp_path / "a_2_sweep.gif").is_file()


def test_sweep_without_a_face(
    embedded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AgeEditor, "find_faces", lambda editor, photo, most: [])
    assert run("sweep", square(tmp_path / "wall.png"), "--out", tmp_path / "out") == 2
    assert "No face was found" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_mark(embedded: None, tmp_path: Path) -> None:
    photo = square(tmp_path / "a.png")
    for folder, options in (("plain", []), ("marked", ["--mark"])):
        assert run("edit", photo, "--ages", "60", "--aligned", "--out", tmp_path / folder, *options) == 0
    plain, marked = (np.asarray(load_photo(tmp_path / folder / "a_age_60.png")) for folder in ("plain", "marked"))
    changed = (plain != marked).any(axis=2)
    assert changed[60:].any() and not changed[:60].any()
    with Image.open(tmp_path / "marked" / "a_age_60.png") as result:
        assert "AI-edited" in result.text["Description"]
