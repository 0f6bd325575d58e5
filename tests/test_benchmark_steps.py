"""The steps around the network, as benchmarks.inference times them."""

import pytest

from agetransformer.alignment import DEFAULT_MODEL
from benchmarks.steps import describe_steps, time_steps


@pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason="needs the face landmarker in checkpoints/")
def test_every_step_is_timed() -> None:
    times = time_steps(128, rounds=1)
    assert all(step.median > 0 for step in (times.find, times.align, times.paste, times.png))
    assert describe_steps(times).startswith(" 128 px face in a photo of ")
