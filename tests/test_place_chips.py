"""Chips in squares: where they lie, which are chosen, and that the generator's data takes them."""

import csv
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, chip
from train.data import Faces, is_held_out, load_faces
from train.place_chips import (
    SIDE,
    choose_chips,
    choose_evenly,
    find_fitting,
    main,
    measure_sharpness,
    place_chip,
    place_chips,
)


def photo(seed: int, side: int = 144) -> np.ndarray:
    """Something with edges in colour."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.NEAREST))


def faces(images: np.ndarray, ages: list[float], female: list[float]) -> Faces:
    count = len(ages)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    names = tuple(f"{index}.webp" for index in range(count))
    zeros = torch.zeros(count)
    return Faces(pixels, torch.tensor(ages), torch.tensor(female), names, zeros.long(), zeros)


def test_a_chip_lies_where_v_looks_for_it():
    image = photo(1)
    square = place_chip(image)
    assert square.shape == (SIDE, SIDE, 3) and square.dtype == np.uint8
    seen = chip(torch.from_numpy(square).permute(2, 0, 1)[None].float(), 144)[0].permute(1, 2, 0).numpy()
    assert np.abs(seen - image).mean() < 5
    edges = np.abs(np.diff(square.astype(float), axis=1)).mean(axis=(0, 2))
    assert edges[:20].mean() < 0.4 * edges[100:160].mean(), "around it everything is blurred"


def test_blur_is_measured_whatever_the_contrast():
    image = torch.from_numpy(photo(2)).permute(2, 0, 1)[None]
    blurred = torch.nn.functional.avg_pool2d(image.float(), 9, 1, 4).to(torch.uint8)
    sharp, dim, soft = (float(measure_sharpness(one)) for one in (image, image // 2, blurred))
    assert dim == pytest.approx(sharp, rel=0.05)
    assert soft < 0.3 * sharp


def test_cells_are_emptied_evenly():
    cells = np.array([0] * 50 + [1] * 5 + [2] * 20)
    chosen = choose_evenly(cells, 25)
    assert np.bincount(cells[chosen]).tolist() == [10, 5, 10]
    assert (np.diff(chosen) > 0).all()
    assert (choose_evenly(cells, 25, seed=1) != chosen).any()
    assert choose_evenly(cells, 100).tolist() == list(range(75))


def test_chips_that_are_grey_or_blurred_or_doubtful_or_children_stay_out():
    images = np.stack([photo(seed) for seed in range(10)])
    images[1] = images[1].mean(axis=2, keepdims=True).astype(np.uint8)
    images[2:6] = images[2:6].mean(axis=(1, 2), keepdims=True).astype(np.uint8)
    ages = [30.0, 30, 30, 30, 30, 30, 12, 30, 69, 70]
    read = torch.tensor([31.0, 30, 30, 30, 30, 30, 12, 50, 66, 70])
    chips = faces(images, ages, [0.0] * 10)
    fitting = find_fitting(chips)
    assert fitting.tolist() == [0, 7, 8]
    assert choose_chips(chips, fitting, read[fitting], 10).tolist() == [0, 8]
    assert choose_chips(chips, fitting, read[fitting] + 40, 10).tolist() == []


def test_tones_ages_and_genders_come_alike():
    images = np.stack([photo(0).clip(0, 255) // (1 + index % 3) for index in range(120)])
    ages = [22.0 if index % 10 else 62.0 for index in range(120)]
    female = [float(index % 4 == 0) for index in range(120)]
    chosen = choose_chips(faces(images, ages, female), torch.arange(120), torch.tensor(ages), 12)
    old = [ages[index] > 60 for index in chosen]
    assert sum(old) == 6, "a tenth of the chips, half of what is taken"
    assert sorted({index % 3 for index in chosen}) == [0, 1, 2]


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    torch.manual_seed(0)
    model = AgeClassifier(ClassifierConfig(resolution=64)).eval()
    with torch.no_grad():
        model.age.weight.zero_()
        model.age.bias.copy_(-(((torch.arange(101) - 40) / 2.0) ** 2))  # says 40 of everything
    save_checkpoint(model, folder / "classifier")
    return folder


def archive(path: Path, ages: list[int], side: int = 144) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for index in range(len(ages)):
            data = io.BytesIO()
            Image.fromarray(photo(index, side)).save(data, "PNG")
            file.writestr(f"{index:05d}.png", data.getvalue())
        rows = [f"{index:05d}.png,{age},{'female' if index % 2 else 'male'}" for index, age in enumerate(ages)]
        file.writestr("labels.csv", "\n".join(["file,age,gender", *rows]))
    return path


def test_the_archive_is_one_that_training_takes(tmp_path, readers):
    a, b = archive(tmp_path / "a.zip", [40] * 20), archive(tmp_path / "b.zip", [41] * 20)
    out = tmp_path / "made" / "chips.zip"
    classifier = readers / "classifier"
    taken = place_chips([a, b], classifier, classifier, out, 16, str(tmp_path / "cache"))
    assert taken == 16
    with zipfile.ZipFile(out) as file:
        rows = list(csv.DictReader(io.StringIO(file.read("labels.csv").decode())))
    assert {row["glasses"] for row in rows} == {"NoGlasses"}  # 40 of 100
    assert len({row["file"] for row in rows}) == 16
    assert {row["file"].split("/")[0] for row in rows} == {"a", "b"}, "both archives have a 00000.png"
    assert all(is_held_out(row["file"]) == is_held_out(Path(row["file"]).name) for row in rows)
    squares = load_faces((str(out),), 128, False, str(tmp_path / "cache"), need_glasses=True)
    assert squares.images.shape == (16, 3, 128, 128)
    assert set(squares.ages.tolist()) == {40.0, 41.0}


def test_what_is_wrong_is_said(tmp_path, readers, monkeypatch):
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["place_chips", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return str(stopped.value)

    classifier = readers / "classifier"
    children = archive(tmp_path / "children.zip", [9] * 6)
    options = ["--classifier", classifier, "--glasses", classifier, "--cache", tmp_path / "cache"]
    out = tmp_path / "chips.zip"
    assert "none of the 6 chips" in run("--data", children, "--out", out, *options)
    assert "no such archive" in run("--data", tmp_path / "missing.zip", "--out", out, *options)
    assert not out.exists()
    assert run("--data", children, "--out", tmp_path / "chips.npz", *options) == "2"
    assert run("--data", children, "--out", out, *options, "--count", 0) == "2"
