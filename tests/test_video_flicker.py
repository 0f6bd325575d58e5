"""What smoothed landmarks do to the edit's flicker, with the embedded weights on a clip whose motion is known."""

import math
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import camera_path, moved, write_clip

from agetransformer import AgeEditor, hub
from agetransformer.alignment import DEFAULT_MODEL
from agetransformer.one_euro import OneEuroConfig
from agetransformer.tracking import TrackConfig
from agetransformer.video import VideoConfig, VideoReport, edit_video

SIZE = (320, 258)
FACE = (slice(60, 165), slice(180, 265))  # of the photo


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.skipif(
    not (DEFAULT_MODEL.is_file() and (hub.GENERATOR_FOLDER / "model.safetensors").is_file()),
    reason="needs the checkpoints",
)
def test_smoothing_steadies_the_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stronger edit flickers more, and what V asks for is not quite the same for both.
    monkeypatch.setattr(AgeEditor, "calibrate", lambda self, encoding, ages, hair=True: [1.0] * len(ages))
    maps = camera_path(16, SIZE, speed=0.4)
    source = write_clip(tmp_path / "in.mp4", moved(maps, SIZE, noise=0.5), audio=None)
    editor = AgeEditor.from_pretrained(device="cpu")

    def measured(config: VideoConfig) -> tuple[VideoReport, float]:
        """The report, and the flicker of the edit once the photo's known motion is taken out of it."""
        report = edit_video(editor, source, tmp_path / "out.mp4", 65, config)
        edits = []
        for before, after, affine in zip(frames_of(source), frames_of(tmp_path / "out.mp4"), maps, strict=True):
            edit = after.astype(np.float32) - before
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            edits.append(cv2.warpAffine(edit, affine, (512, 512), flags=flags)[FACE])
        return report, float(np.abs(np.diff(edits, axis=0)).mean())

    smooth, still_smooth = measured(VideoConfig(crf=1))
    raw, still_raw = measured(VideoConfig(crf=1, track=TrackConfig(OneEuroConfig(min_cutoff=math.inf))))
    print(f"flicker {smooth.flicker:.2f} smoothed, {raw.flicker:.2f} not; input {smooth.motion:.2f}")
    print(f"without the motion {still_smooth:.2f} smoothed, {still_raw:.2f} not")
    assert smooth.edited == raw.edited == 16
    assert smooth.flicker < raw.flicker
    # What is left without the motion is the network's answer to the pixels; steadier landmarks do not change it.
    assert still_smooth < 1.05 * still_raw
