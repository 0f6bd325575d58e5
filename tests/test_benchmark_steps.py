"""The steps around the network and a whole request, as the benchmarks time them."""

import io

import pytest
from PIL import Image

from agetransformer import AgeEditor
from agetransformer.alignment import DEFAULT_MODEL
from benchmarks.photo import PORTRAIT
from benchmarks.request import measure, ours, with_side
from benchmarks.steps import describe_steps, time_steps


@pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason="needs the face landmarker in checkpoints/")
def test_every_step_is_timed() -> None:
    times = time_steps(128, rounds=1)
    assert all(step.median > 0 for step in (times.find, times.align, times.paste, times.png))
    assert describe_steps(times).startswith(" 128 px face in a photo of ")


def test_a_request_is_timed_at_another_resolution(embedded: None) -> None:
    editor = with_side(AgeEditor.from_pretrained(device="cpu"), 128)
    assert editor.resolution == 128
    with Image.open(PORTRAIT) as photo, io.BytesIO() as file:
        photo.convert("RGB").resize((400, 400)).save(file, "JPEG")
        result = measure("ours", ours, editor, file.getvalue(), rounds=1)
    assert result.side == 128 and result.total.median > 0 and result.png_mb > 0
    assert {"check the ages", "estimate the age", "composite"} <= {
        name for name, value in result.stages.items() if value > 0
    }
