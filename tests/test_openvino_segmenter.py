"""The hair segmenter in OpenVINO against the module that it is made of."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from agetransformer import AgeEditor, openvino_models
from agetransformer.checkpoint import load_checkpoint
from agetransformer.hair_segmenter import HairSegmenter, HairSegmenterConfig
from agetransformer.hub import HAIR_SEGMENTER_FOLDER
from agetransformer.openvino_segmenter import OpenVinoSegmenter

pytestmark = pytest.mark.skipif(not openvino_models.available(), reason="OpenVINO is not installed")

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
_FACE = (140, 10, 310, 180)  # left, top, right and bottom, in its pixels


@pytest.fixture(scope="module")
def segmenter(embedded: None) -> HairSegmenter:
    return load_checkpoint(HairSegmenter, HairSegmenterConfig, HAIR_SEGMENTER_FOLDER).eval()


@pytest.fixture(scope="module")
def compiled(segmenter: HairSegmenter) -> OpenVinoSegmenter:
    return OpenVinoSegmenter(segmenter)


def portrait(width: int, height: int) -> Tensor:
    """[1, 3, H, W] in [-1, 1]; from Pillow's layout, so not contiguous."""
    with Image.open(PORTRAIT) as file:
        pixels = np.array(file.convert("RGB").crop(_FACE).resize((width, height)))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.mark.parametrize(("width", "height"), [(256, 256), (512, 512), (256, 320)])
def test_it_finds_the_same_hair(segmenter, compiled, width, height):
    picture = portrait(width, height)
    with torch.inference_mode():
        expected = segmenter(picture).sigmoid()
    found = compiled.predict(picture)
    assert found.shape == (1, 2, height, width) and found.dtype == torch.float32
    assert expected[0, 0].amax() > 0.9 and expected[0, 0].amin() < 0.1
    # bfloat16 has 8 bits; a hair's edge is steep.
    assert (found - expected).abs().mean() < 0.005 and (found - expected).abs().amax() < 0.25


def test_in_float32_it_finds_them_exactly(segmenter, monkeypatch):
    monkeypatch.setattr("agetransformer.openvino_segmenter.has_bfloat16", lambda: False)
    picture = portrait(256, 256)
    with torch.inference_mode():
        expected = segmenter(picture).sigmoid()
    torch.testing.assert_close(OpenVinoSegmenter(segmenter).predict(picture), expected, rtol=0, atol=1e-4)


def test_it_may_be_asked_from_several_threads(compiled):
    pictures = [portrait(side, side) for side in (96, 128, 160, 192)] * 4
    alone = [compiled.predict(each) for each in pictures]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(compiled.predict, pictures), alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_it_is_compiled_once(segmenter, tmp_path, monkeypatch):
    first = OpenVinoSegmenter(segmenter, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name.startswith(("openvino-bf16-hair-segmenter-256-", "openvino-f32-hair-segmenter-256-"))
    monkeypatch.setattr(openvino_models.import_openvino(), "convert_model", lambda *_, **__: pytest.fail("compiled"))
    again, picture = OpenVinoSegmenter(segmenter, cache=tmp_path), portrait(128, 128)
    assert torch.equal(again.predict(picture), first.predict(picture))


def test_the_editor_looks_with_it_on_a_cpu(embedded, monkeypatch):
    assert isinstance(AgeEditor.from_pretrained(device="cpu").segmenter, OpenVinoSegmenter)
    monkeypatch.setattr(openvino_models, "available", lambda: False)
    assert isinstance(AgeEditor.from_pretrained(device="cpu").segmenter, HairSegmenter)
