"""Fixtures that several test files share."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer import hub
from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import Generator, GeneratorConfig


def save_untrained_generator(folder: Path, resolution: int) -> Path:
    """A checkpoint folder of a residual generator with random weights."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(resolution=resolution, residual=True, age_sigma=4.0))
    generator.modulation.linear.weight.data.mul_(100)  # so that ages differ by more than a grey level
    return hub.save_pretrained(generator, folder, "# Untrained\n", half=True)


@pytest.fixture(scope="session")
def untrained_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one."""
    return save_untrained_generator(tmp_path_factory.mktemp("generator"), 64)


@pytest.fixture(scope="session")
def generator_of_192(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One in a size at which hair is told from what is beside it."""
    return save_untrained_generator(tmp_path_factory.mktemp("generator-192"), 192)


@pytest.fixture(scope="session")
def untrained_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of an age classifier with random weights."""
    torch.manual_seed(0)
    return save_checkpoint(AgeClassifier(ClassifierConfig(resolution=64)), tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def embedded(
    untrained_generator: Path, untrained_classifier: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Stand the random weights in for the embedded ones: these tests are about the path, not about the ages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "GENERATOR_FOLDER", untrained_generator)
        patch.setattr(hub, "CLASSIFIER_FOLDER", untrained_classifier)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))  # the engine's compiled models
        yield


@pytest.fixture(scope="session")
def tiny_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as the training reads it: 40 smooth random squares of 96 px with ages 20..59 and genders."""
    path = tmp_path_factory.mktemp("tiny") / "faces.zip"
    random = np.random.default_rng(0)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", "age", "gender"])
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(40):
            small = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            data = io.BytesIO()
            Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(data, "PNG")
            archive.writestr(f"x{index:03d}.png", data.getvalue())
            writer.writerow([f"x{index:03d}.png", 20 + index, ("male", "female")[index % 2]])
        archive.writestr("labels.csv", table.getvalue())
    return path


@pytest.fixture(scope="session")
def landmarks() -> np.ndarray:
    """MediaPipe's of the portrait in assets/, [478, 2] fractions of the side of its aligned square."""
    from agetransformer.alignment import DEFAULT_MODEL, FaceFinder  # here, because MediaPipe takes seconds to load

    if not DEFAULT_MODEL.is_file():
        pytest.skip("needs the face landmarker in checkpoints/")
    with FaceFinder() as finder:
        return finder.find(Image.open("assets/astronaut.jpg").convert("RGB"))[0].landmarks_in_square
