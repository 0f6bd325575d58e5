"""The age classifier in OpenVINO against the module that it is made of."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
import torch.nn.functional as F

from agetransformer import AgeEditor, openvino_models
from agetransformer.checkpoint import load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.hub import CLASSIFIER_FOLDER
from agetransformer.openvino_classifier import OpenVinoClassifier

pytestmark = pytest.mark.skipif(not openvino_models.available(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def classifier(embedded: None) -> AgeClassifier:
    return load_checkpoint(AgeClassifier, ClassifierConfig, CLASSIFIER_FOLDER).eval()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def compiled(classifier: AgeClassifier, cache: Path) -> OpenVinoClassifier:
    return OpenVinoClassifier(classifier, cache=cache)


def squares(count: int, side: int) -> torch.Tensor:
    """Blurred noise, each another."""
    noise = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(count)) * 2 - 1
    return F.interpolate(noise, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


@pytest.mark.parametrize(("count", "side"), [(1, 200), (5, 384), (3, 384), (5, 61)])
def test_it_reads_the_same_ages(classifier, compiled, count, side):
    images = squares(count, side)
    expected = classifier.predict(images)
    assert count == 1 or expected.std() > 0.5
    torch.testing.assert_close(compiled.predict(images), expected, rtol=0, atol=1e-3)
    turned = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    torch.testing.assert_close(compiled.predict(turned), expected, rtol=0, atol=1e-3)


def test_it_may_be_asked_from_several_threads(compiled):
    images = [squares(count, 100) for count in (1, 2, 3, 4)] * 4
    alone = [compiled.predict(each) for each in images]
    with ThreadPoolExecutor(4) as pool:
        for ages, expected in zip(pool.map(compiled.predict, images), alone, strict=True):
            torch.testing.assert_close(ages, expected, rtol=0, atol=1e-4)


def test_it_is_compiled_once(classifier, compiled, cache, monkeypatch):
    (file,) = cache.iterdir()
    assert file.name.startswith("openvino-f32-classifier-128-")
    monkeypatch.setattr(openvino_models.import_openvino(), "convert_model", lambda *_, **__: pytest.fail("compiled"))
    images = squares(2, 128)
    for utime in (os.utime, MagicMock(side_effect=PermissionError)):  # the second: files of somebody else
        monkeypatch.setattr(os, "utime", utime)
        again = OpenVinoClassifier(classifier, cache=cache)
        assert torch.equal(again.predict(images), compiled.predict(images))


def test_the_editor_reads_with_it_on_a_cpu(embedded, monkeypatch):
    assert isinstance(AgeEditor.from_pretrained(device="cpu").classifier, OpenVinoClassifier)
    monkeypatch.setattr(openvino_models, "available", lambda: False)
    assert isinstance(AgeEditor.from_pretrained(device="cpu").classifier, AgeClassifier)
