"""People told from what is behind them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agetransformer.checkpoint import CheckpointError
from agetransformer.segmentation import PersonSegmenter

ASTRONAUT = Path(__file__).parent.parent / "assets" / "astronaut.jpg"


def test_a_portrait_is_told_from_its_wall():
    with Image.open(ASTRONAUT) as photo:
        side = photo.width / 512
        box = tuple(round(side * v) for v in (92, 0, 352, 260))
        image = np.asarray(photo.convert("RGB").crop(box).resize((260, 260)))
    with PersonSegmenter() as segmenter:
        person = segmenter.segment(image)
        again = segmenter.segment(image[:, ::-1])
    assert person.shape == (260, 260) and person.dtype == np.float32
    assert person[60:200, 90:160].mean() > 0.97  # hair and face
    assert person.min() >= 0 and person.max() <= 1 and person[:60, :20].mean() < 0.2
    assert np.abs(again[:, ::-1] - person).mean() < 0.05


def test_a_missing_or_broken_model_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"selfie_segmenter\.tflite belongs there"):
        PersonSegmenter(tmp_path / "none.tflite")
    (tmp_path / "broken.tflite").write_bytes(b"TFL3 cut short")
    with pytest.raises(CheckpointError, match="cut short"):
        PersonSegmenter(tmp_path / "broken.tflite")
