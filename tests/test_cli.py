"""The command line: files written, exit codes, and sentences instead of tracebacks."""

import errno
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agetransformer import AgeEditor, Face, hub
from agetransformer.__main__ import main
from agetransformer.alignment import DEFAULT_MODEL, FaceGeometry, align
from agetransformer.imageio import load_photo


def square(path: Path, side: int = 96, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(60, 200, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def run(*arguments: object) -> int:
    return main(["edit", *map(str, arguments)])


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finder that sees one face of 90 px and one of 60 px in every photo: this is about what is done with them."""

    def find_faces(editor: AgeEditor, photo: np.ndarray, most: int) -> list[Face]:
        faces = []
        for centre, side in (((70, 60), 90.0), ((220, 60), 60.0)):
            angles = np.linspace(0, 2 * np.pi, 478)
            oval = np.column_stack([0.3 * np.cos(angles), 0.07 + 0.32 * np.sin(angles)]) * side + centre
            corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]) * side + centre
            geometry = FaceGeometry(oval.astype(np.float32), corners, {})
            faces.append(Face(geometry, Image.fromarray(align(photo, geometry, 90)), 40.0))
        return faces[:most]

    monkeypatch.setattr(AgeEditor, "find_faces", find_faces)


def test_aligned_squares(embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = square(tmp_path / "in" / "Bà Tư.png")
    assert run(photo, "--aligned", "--out", tmp_path / "out" / "deep", "--device", "cpu") == 0
    out = tmp_path / "out" / "deep"
    assert names(out) == sorted([f"Bà Tư_age_{age}.png" for age in (25, 35, 45, 55, 65)] + ["Bà Tư_grid.png"])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(out / f"Bà Tư_age_{age}.png") for age in (25, 35, 45, 55, 65)] + [
        str(out / "Bà Tư_grid.png")
    ]
    pixels = []
    for age in (25, 65):
        with Image.open(out / f"Bà Tư_age_{age}.png") as result:
            assert (result.mode, result.size) == ("RGB", (96, 96))
            assert f"changed to {age} by" in result.text["Description"] and "@sha256:" in result.text["Description"]
            pixels.append(np.asarray(result))
    assert (pixels[0] != pixels[1]).any()
    with Image.open(out / "Bà Tư_grid.png") as grid:
        assert grid.width > 6 * 128 and "25, 35, 45, 55, 65" in grid.text["Description"]


def test_ages_once_each_and_fractional(embedded: None, tmp_path: Path) -> None:
    photo = square(tmp_path / "a.png")
    assert run(photo, "--ages", "30", "40.5", "30.0", "--aligned", "--out", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["a_age_30.png", "a_age_40.5.png", "a_grid.png"]


@pytest.mark.parametrize("which", ["largest", "all"])
def test_photo_with_two_faces(embedded: None, two_faces: None, tmp_path: Path, which: str) -> None:
    path = tmp_path / "pair.png"
    noise = np.random.default_rng(0).integers(0, 256, (120, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    assert run(path, "--ages", "65", "--faces", which, "--out", tmp_path / "out") == 0
    result = load_photo(tmp_path / "out" / "pair_age_65.png")
    changed = (np.asarray(result) != noise).any(axis=2)
    rows = load_photo(tmp_path / "out" / "pair_grid.png").height
    assert result.size == (300, 120)
    assert changed[:, :115].any() and not changed[:, 116:189].any()
    assert changed[:, 190:250].any() == (which == "all")
    assert not changed[:, 251:].any()
    assert (rows > 2 * 128) == (which == "all")


def test_one_bad_photo_does_not_stop_the_others(
    embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "text.jpg"
    bad.write_text("not a photo")
    wide = tmp_path / "wide.png"
    Image.new("RGB", (90, 60)).save(wide)
    photos = [bad, square(tmp_path / "good.png"), tmp_path / "missing.jpg", wide, square(tmp_path / "last.png", seed=1)]
    assert run(*photos, "--ages", "30", "--aligned", "--out", tmp_path / "out") == 2
    assert names(tmp_path / "out") == ["good_age_30.png", "good_grid.png", "last_age_30.png", "last_grid.png"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    for line, path, words in zip(
        errors, (bad, photos[2], wide), ("not a photo", "no such file", "square"), strict=True
    ):
        assert line.startswith(f"{path}: ") and words in line


def test_a_full_disk_is_told_without_the_name_of_a_file_aside(
    embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(aside: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(aside))

    monkeypatch.setattr("agetransformer.files.os.replace", fail)
    out = tmp_path / "out"
    assert run(square(tmp_path / "good.png"), "--ages", "30", "--aligned", "--out", out) == 2
    said = f"The result cannot be written to {out} (No space left on device)."
    assert capsys.readouterr().err.splitlines() == [f"{tmp_path / 'good.png'}: {said}"]
    assert names(out) == []


def test_a_folder_is_no_video(embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", str(tmp_path), "--age", "65"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_no_face(
    embedded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AgeEditor, "find_faces", lambda editor, photo, most: [])
    assert run(square(tmp_path / "wall.png"), "--out", tmp_path / "out") == 2
    assert "No face was found" in capsys.readouterr().err
    assert names(tmp_path / "out") == []


def test_a_folder_without_a_name_does_not_cost_the_other_photos(
    embedded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(".", square(tmp_path / "good.png"), "--aligned", "--out", ".") == 2
    assert "folder" in capsys.readouterr().err
    assert (tmp_path / "good_grid.png").is_file()


def test_same_stem_never_writes_over_anything(
    embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    photos = [
        square(tmp_path / "x" / "me.png", seed=0),
        square(tmp_path / "y" / "me.png", seed=1),
        square(tmp_path / "y" / "ME.PNG", seed=2),
        square(out / "cat_age_30.png", seed=3),  # an input where cat's result would go
        square(tmp_path / "cat.png", seed=4),
    ]
    before = photos[3].read_bytes()
    assert run(*photos, "--ages", "30", "--aligned", "--keep-hair", "--out", out) == 0
    assert photos[3].read_bytes() == before
    stems = ["me", "me_2", "ME_3", "cat_age_30", "cat_2"]
    assert names(out) == sorted(["cat_age_30.png", *(f"{s}_{w}.png" for s in stems for w in ("age_30", "grid"))])
    assert len(capsys.readouterr().err.splitlines()) == 3
    for photo, stem in zip(photos, stems, strict=True):
        corner = np.asarray(load_photo(out / f"{stem}_age_30.png"))[:2]
        assert np.array_equal(corner, np.asarray(load_photo(photo))[:2])  # outside the face it is that very photo


@pytest.mark.parametrize("age", ["12", "70", "old", "nan"])
def test_bad_age(tmp_path: Path, age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("a.png", "--ages", age, "--out", tmp_path)
    assert caught.value.code == 2
    assert "20..69" in (error := capsys.readouterr().err) or "not an age" in error


def test_bad_checkpoint_and_folder(embedded: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = square(tmp_path / "a.png")
    for folder in (tmp_path / "nowhere", tmp_path):
        assert run(photo, "--aligned", "--checkpoint", folder, "--out", tmp_path / "out") == 2
    assert run(photo, "--aligned", "--out", photo) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in errors] == ["checkpoint", "checkpoint", str(photo)]


def test_results_forget_the_camera(embedded: None, two_faces: None, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (21.0, 1.0, 42.0)})
    path = tmp_path / "gps.jpg"
    Image.new("RGB", (300, 120), "grey").save(path, exif=exif)
    assert b"SecretCamera" in path.read_bytes()
    assert run(path, "--ages", "65", "--out", tmp_path / "out") == 0
    for file in (tmp_path / "out").iterdir():
        assert b"Secret" not in file.read_bytes() and b"eXIf" not in file.read_bytes()
        with Image.open(io.BytesIO(file.read_bytes())) as image:
            assert not image.getexif()


@pytest.mark.skipif(
    not (DEFAULT_MODEL.is_file() and (hub.CLASSIFIER_FOLDER / "config.json").is_file()),
    reason="needs the classifier and the face landmarker in checkpoints/",
)
def test_a_real_portrait_in_a_process_of_its_own(untrained_generator: Path, tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    wall = tmp_path / "wall.png"
    Image.new("RGB", (320, 240), "green").save(wall)
    command = [sys.executable, "-m", "agetransformer", "edit", root / "assets" / "astronaut.jpg", wall]
    command += ["--ages", "25", "--out", tmp_path / "out", "--checkpoint", untrained_generator, "--device", "cpu"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"{wall}: No face was found" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(tmp_path / "out") == ["astronaut_age_25.png", "astronaut_grid.png"]
    photo = load_photo(root / "assets" / "astronaut.jpg")
    changed = (np.asarray(load_photo(tmp_path / "out" / "astronaut_age_25.png")) != np.asarray(photo)).any(axis=2)
    assert 0.01 < changed.mean() < 0.5


def test_help_starts_at_once_and_needs_no_model() -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "agetransformer", "edit", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    for option in ("--ages", "--out", "--aligned", "--faces", "--checkpoint", "--revision", "--device"):
        assert option in done.stdout
    assert subprocess.run(command[:-2], cwd=root, capture_output=True, check=False).returncode == 2
