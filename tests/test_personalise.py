"""Fine-tuning on one person: it fits them, keeps a photo unseen, and refuses too few photos with a sentence."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("dlib", reason="measuring needs requirements-train.txt")

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig
from train.data import Faces
from train.personalise import main, read_ages, split
from train.prepare import PrepareError

ROOT = Path(__file__).parent.parent
V = ROOT / "checkpoints" / "classifier"


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(resolution=64, residual=True, age_sigma=4.0))
    network.decoder.conv3.weight.data.mul_(10)  # a change that shows
    return save_checkpoint(network, tmp_path_factory.mktemp("generator"))


def portraits(folder: Path, ages: list[int]) -> Path:
    """Eileen Collins (NASA, public domain) in frames that differ."""
    folder.mkdir()
    photo = Image.open(ROOT / "assets" / "astronaut.jpg")
    for index, age in enumerate(ages):
        photo.crop((4 * index, 0, 512, 400)).save(folder / f"frame{index}_age_{age}.png")
    return folder


def run(folder: Path, out: Path, generator: Path, *more: object) -> int:
    arguments = [folder, "--out", out, "--checkpoint", generator, "--classifier", V, "--robust-classifier", V]
    return main([str(argument) for argument in (*arguments, "--device", "cpu", *more)])


def test_it_fits_the_person(tmp_path, generator, capsys):
    folder = portraits(tmp_path / "photos", [30, 32, 36, 40, 45, 75])
    Image.new("RGB", (200, 200), "green").save(folder / "meadow_age_33.png")
    assert run(folder, tmp_path / "out", generator, "--images", 100, "--lr", 2e-3) == 0
    printed = capsys.readouterr()
    assert "frame5_age_75.png: left out, 75 years is outside 20..69" in printed.err
    assert "meadow_age_33.png: left out, no face" in printed.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    # An untrained residual generator adds noise to the face; to the photo that it never saw it has to add less.
    assert metrics["after"]["reconstruction"] < 0.7 * metrics["before"]["reconstruction"]
    assert metrics["after"]["identity"] < metrics["before"]["identity"]
    tuned = load_checkpoint(Generator, GeneratorConfig, tmp_path / "out" / "generator")
    assert tuned.config == load_checkpoint(Generator, GeneratorConfig, generator).config
    card = (tmp_path / "out" / "generator" / "README.md").read_text()
    assert "4 photos of one person" in card and str(metrics["after"]["identity"]) in card
    before, after = (Image.open(tmp_path / "out" / name) for name in ("before.png", "after.png"))
    assert before.size == after.size and before.width >= 6 * 64 and before.tobytes() != after.tobytes()
    assert run(folder, tmp_path / "out", generator) == 2
    assert "holds a generator already" in capsys.readouterr().err


@pytest.mark.parametrize("ages", [[30, 32, 36, 40], [30, 32, 36, 40, 12, 75]])
def test_fewer_than_five_photos_are_refused(ages, tmp_path, generator, capsys):
    folder = portraits(tmp_path / "photos", ages)
    assert run(folder, tmp_path / "out", generator) == 2
    error = capsys.readouterr().err
    assert "at least 5 photos of known age between 20 and 69 years, and there are 4: add photos" in error


def test_five_photos_without_faces_are_refused(tmp_path, generator, capsys):
    folder = portraits(tmp_path / "photos", [30, 32, 36, 40])
    Image.new("RGB", (200, 200), "green").save(folder / "meadow_age_33.png")
    assert run(folder, tmp_path / "out", generator) == 2
    assert "at least 5 photos with a face" in capsys.readouterr().err
    assert not (tmp_path / "out" / "generator").exists()


def test_a_missing_checkpoint_is_named(tmp_path, capsys):
    folder = portraits(tmp_path / "photos", [30, 32, 36, 40, 45])
    assert run(folder, tmp_path / "out", tmp_path / "none") == 2
    assert "no config.json here" in capsys.readouterr().err


def test_ages_from_names_and_from_a_table(tmp_path):
    names = ["a_age_34.jpg", "b/c_age_40.5.png", "IMG_2034.jpg"]
    with pytest.raises(PrepareError, match=r"IMG_2034\.jpg has no age: name it like IMG_2034_age_34\.jpg"):
        read_ages(tmp_path, names)
    with (tmp_path / "ages.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "age"), ("IMG_2034.jpg", 50), ("a_age_34.jpg", 35)])
    assert read_ages(tmp_path, names) == {"a_age_34.jpg": 35, "b/c_age_40.5.png": 40.5, "IMG_2034.jpg": 50}
    (tmp_path / "ages.csv").write_text("file,age\nIMG_2034.jpg,fifty\n")
    with pytest.raises(PrepareError, match="'fifty' is not an age"):
        read_ages(tmp_path, names)
    (tmp_path / "ages.csv").write_text("file,age\nnone.jpg,50\n")
    with pytest.raises(PrepareError, match=r"none\.jpg is not in"):
        read_ages(tmp_path, names)
    (tmp_path / "ages.csv").write_bytes("file,age\nZoë.jpg,50\n".encode("cp1252"))
    with pytest.raises(PrepareError, match=r"ages\.csv: not UTF-8 .*CSV UTF-8"):
        read_ages(tmp_path, names)
    (tmp_path / "ages.csv").write_text("name;years\n")
    with pytest.raises(PrepareError, match="columns file, age"):
        read_ages(tmp_path, names)


def test_the_photo_of_middle_age_is_kept_unseen():
    ages = torch.tensor([20.0, 30, 40, 50, 60])
    names = tuple("abcde")
    faces = Faces(
        torch.zeros(5, 3, 8, 8, dtype=torch.uint8), ages, ages * 0, names, torch.zeros(5, dtype=torch.int64), ages * 0
    )
    train, test = split(faces)
    assert test.names == ("c",) and train.names == ("a", "b", "d", "e")
