"""Fixtures that several test files share."""

from pathlib import Path

import pytest
import torch

from agetransformer import hub
from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import Generator, GeneratorConfig


@pytest.fixture(scope="session")
def untrained_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of a small residual generator with random weights."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(resolution=64, residual=True, age_sigma=4.0))
    return hub.save_pretrained(generator, tmp_path_factory.mktemp("generator"), "# Untrained\n", half=True)


@pytest.fixture(scope="session")
def untrained_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of an age classifier with random weights."""
    torch.manual_seed(0)
    return save_checkpoint(AgeClassifier(ClassifierConfig(resolution=64)), tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def embedded(untrained_generator: Path, untrained_classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand the random weights in for the embedded ones: these tests are about the path, not about the ages."""
    monkeypatch.setattr(hub, "GENERATOR_FOLDER", untrained_generator)
    monkeypatch.setattr(hub, "CLASSIFIER_FOLDER", untrained_classifier)
