"""A second attribute by the same recipe: its labels, its targets, its bins, the same loop."""

import csv
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import Generator, GeneratorConfig
from train.attributes import ATTRIBUTES, find_attribute
from train.batches import age_balance, draw_targets
from train.classifier import ClassifierTraining, load_split, summarise_presence
from train.data import load_faces
from train.generator import GeneratorTraining, Phase, train_generator

SMILE = ATTRIBUTES["smile"]


@pytest.fixture
def smiling_faces(tmp_path):
    """40 squares, of which every fourth does not smile."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", "age", "gender", "smile"])
    random = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for index in range(40):
            data = io.BytesIO()
            small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            small.resize((96, 96), Image.Resampling.BICUBIC).save(data, "PNG")
            archive.writestr(f"x{index:03d}.png", data.getvalue())
            writer.writerow([f"x{index:03d}.png", 20 + index, ("male", "female")[index % 2], 0.9 * (index % 4 > 0)])
        archive.writestr("labels.csv", table.getvalue())
    return tmp_path / "faces.zip"


def test_labels_become_numbers_on_the_scale_of_v(smiling_faces, tiny_faces, tmp_path):
    faces = load_faces((str(smiling_faces),), 32, chips=False, cache=str(tmp_path), attribute=SMILE)
    assert faces.ages.tolist() == [0.0, 100, 100, 100] * 10
    gender = load_faces((str(smiling_faces),), 32, chips=False, cache=str(tmp_path), attribute=ATTRIBUTES["gender"])
    assert gender.ages.tolist() == [0.0, 100.0] * 20
    with pytest.raises(ValueError, match="the columns file, smile, gender"):
        load_faces((str(tiny_faces),), 32, chips=False, cache=str(tmp_path), attribute=SMILE)


def test_targets_are_the_other_state_and_both_are_drawn_equally_often():
    labels = torch.tensor([0.0, 100, 100, 100] * 10)
    targets = draw_targets(labels, 10, torch.Generator().manual_seed(0), SMILE)
    assert torch.equal(targets, 100 - labels)
    weights = age_balance(labels, SMILE)
    assert weights[labels == 0].sum().item() == pytest.approx(weights[labels == 100].sum().item())


def test_the_same_loop_trains_it(smiling_faces, tmp_path):
    torch.manual_seed(0)
    classifier = save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32, gender=False)), tmp_path / "smile")
    config = GeneratorTraining(
        data=(str(smiling_faces),),
        classifier=str(classifier),
        label_by_classifier=False,
        attribute="smile",
        min_gap=10,
        modulation_lr=20.0,
        phases=(Phase(8, 64, 2, 1e-3),),
        sample_every=4,
    )
    train_generator(config, tmp_path / "run", cache=str(tmp_path))
    generator = load_checkpoint(Generator, GeneratorConfig, tmp_path / "run" / "generator")
    with torch.no_grad():
        assert not torch.equal(*generator.modulation(torch.tensor([0.0, 100.0])))
    picture = Image.open(next((tmp_path / "run" / "samples").glob("*.png")))
    assert picture.width == 2 + 3 * (64 + 2)  # input, without, with


def test_unknown_attribute_is_named():
    with pytest.raises(ValueError, match="attribute: expected one of age, smile, glasses, gender, found 'hat'"):
        find_attribute("hat")


def test_v_of_a_smile_is_judged_by_how_often_it_is_right(smiling_faces, tmp_path):
    config = ClassifierTraining(
        data=(str(smiling_faces),), attribute="smile", model=ClassifierConfig(resolution=32, gender=False)
    )
    faces = load_faces((str(smiling_faces),), 36, chips=True, cache=str(tmp_path), attribute=SMILE)
    assert summarise_presence(torch.full((40,), 60.0), faces) == {
        "images": 40, "accuracy": 0.75, "accuracy_guess": 0.75,
    }  # fmt: skip
    assert summarise_presence(faces.ages * 0.2 + 41, faces)["accuracy"] == 1
    train, test = load_split(config, str(tmp_path))
    assert len(train) + len(test) == 40 and set(train.ages.tolist()) == {0.0, 100.0}
    with pytest.raises(ValueError, match=r"model\.gender: V of smile has no gender head"):
        load_split(replace(config, model=ClassifierConfig(resolution=32)), str(tmp_path))
