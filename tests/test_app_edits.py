"""Held-out faces as the app writes them."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agetransformer import AgeEditor

pytest.importorskip("scipy", reason="measuring needs requirements-train.txt")

from benchmarks import app_edits
from benchmarks.app_edits import find_own_face, write_edits
from train.data import held_out

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def square(editor: AgeEditor) -> Image.Image:
    """An aligned square of a face."""
    with Image.open(PORTRAIT) as photo:
        return editor.find_faces(photo)[0].image.resize((256, 256))


def test_the_face_of_the_square_is_edited_as_in_a_photo(editor, square, tmp_path):
    assert write_edits(editor, square, "01234.webp", (25, 65), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01234_age_25.png", "01234_age_65.png"]
    young, old = (np.asarray(Image.open(path), float) for path in sorted(tmp_path.iterdir()))
    assert young.shape == old.shape == (256, 256, 3)
    assert np.abs(young - old)[90:220, 70:190].mean() > 2
    (face,) = editor.find_faces(square)
    expected = editor.paste(square, editor.decode(editor.encode(face), [65])[0])
    assert np.abs(old - np.asarray(expected, float)).max() <= 1  # threads add in another order


def test_a_face_beside_the_middle_is_not_the_squares_own(editor, square):
    beside = Image.new("RGB", (512, 512), "grey")
    beside.paste(square, (0, 0))
    assert len(editor.find_faces(beside)) == 1
    assert find_own_face(editor, beside).geometry is None
    assert find_own_face(editor, square).geometry is not None


def test_the_command_takes_held_out_faces_alone(square, tmp_path, monkeypatch, capsys):
    names = [f"{index:05d}.png" for index in range(80)]
    unseen = [name for name, kept in zip(names, held_out(tuple(names)).tolist(), strict=True) if kept]
    assert len(unseen) > 1
    square.save(tmp_path / "face.png")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "face.png", name)
        archive.writestr("labels.csv", "file,age,gender\n" + "".join(f"{name},33,female\n" for name in names))
    options = ["--data", str(tmp_path / "faces.zip"), "--faces", "1", "--ages", "25", "--out", str(tmp_path / "app")]
    monkeypatch.setattr(sys, "argv", ["app_edits", *options])
    app_edits.main()
    assert [path.name for path in (tmp_path / "app").iterdir()] == [f"{Path(unseen[0]).stem}_age_25.png"]
    assert "1 faces at 1 ages" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["app_edits", *options, "--data", str(tmp_path / "none.zip")])
    with pytest.raises(SystemExit, match=r"none\.zip"):
        app_edits.main()
