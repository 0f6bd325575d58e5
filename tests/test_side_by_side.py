"""The sheet of several generators: the right faces, each generator's own pictures, mistakes in words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig

pytest.importorskip("scipy", reason="measuring needs requirements-train.txt")

from train import side_by_side as command
from train.data import is_held_out
from train.evaluate import generator_editor, list_faces
from train.sheet import CAPTION_HEIGHT
from train.side_by_side import choose_faces


def test_faces_are_held_out_and_of_all_ages(tiny_faces):
    faces = list_faces([tiny_faces])
    unseen = [face for face in faces if is_held_out(face.name)]
    assert len(unseen) > 1  # or the test says nothing
    chosen = choose_faces(faces, count=2)
    assert all(is_held_out(face.name) for face in chosen)
    assert chosen[0].age < chosen[1].age
    assert len(choose_faces(faces, count=1000)) == len(unseen)
    assert [face.name for face in choose_faces(faces, ["x003.png", "x001.png"])] == ["x003.png", "x001.png"]
    with pytest.raises(ValueError, match=r"--faces: no who\.png in the data"):
        choose_faces(faces, ["who.png"])
    with pytest.raises(ValueError, match="no face of it is held out"):
        choose_faces([face for face in faces if not is_held_out(face.name)])


def test_each_cell_is_its_generators_edit_at_its_age(tiny_faces, untrained_generator, tmp_path, monkeypatch, capsys):
    torch.manual_seed(1)
    other = Generator(GeneratorConfig(resolution=32, residual=True, age_sigma=4.0))
    other.modulation.linear.weight.data.mul_(100)
    folders = [untrained_generator, save_checkpoint(other, tmp_path / "other")]
    out = tmp_path / "sheet.png"
    given = ["train.side_by_side", *map(str, folders), "--data", str(tiny_faces), "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*given, "--faces", "x002.png", "--size", "64", "--ages", "30", "60"])
    command.main()
    assert "x002.png" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out))
    image = choose_faces(list_faces([tiny_faces]), ["x002.png"])[0].read(64)
    expected = [image]
    cpu, ages = torch.device("cpu"), [30, 60]
    generators = [load_checkpoint(Generator, GeneratorConfig, folder) for folder in folders]
    with torch.no_grad():
        edits = [generator_editor(generator, ages, cpu)(image, "x002.png") for generator in generators]
    expected += [edits[generator][age].image for age in (0, 1) for generator in (0, 1)]
    assert np.array_equal(sheet[CAPTION_HEIGHT:], np.concatenate(expected, axis=1))
    assert not np.array_equal(expected[1], expected[2]) and not np.array_equal(expected[1], expected[3])


def test_a_folder_without_a_generator_is_named(tiny_faces, tmp_path, monkeypatch):
    given = ["train.side_by_side", str(tmp_path), "--data", str(tiny_faces), "--out", str(Path(tmp_path) / "x.png")]
    monkeypatch.setattr("sys.argv", given)
    with pytest.raises(SystemExit, match=r"train\.side_by_side: .*no config\.json"):
        command.main()
    assert not (tmp_path / "x.png").exists()
