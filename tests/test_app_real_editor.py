"""The running page with the real AgeEditor on a real portrait; the networks are untrained, the path is the users'."""

from pathlib import Path

import av
import gradio as gr
import numpy as np
import pytest
import torch
from app_fixtures import running_page
from clips import camera_path, moved, write_clip
from gradio_client import Client, handle_file
from PIL import Image

from agetransformer.classifier import AgeClassifier
from agetransformer.editor import AgeEditor
from agetransformer.hair_segmenter import HairSegmenter
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.page.config import PageConfig
from agetransformer.page.english import ENGLISH
from app import build_app

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT = ROOT / "assets" / "astronaut.jpg"
needs_files = pytest.mark.skipif(
    not (PORTRAIT.is_file() and (ROOT / "checkpoints" / "face_landmarker" / "face_landmarker.task").is_file()),
    reason="needs the example photo and the face landmarker",
)
FACE = (slice(60, 170), slice(170, 280))  # rows, columns: eyes to chin of the astronaut


@pytest.fixture(scope="module")
def editor() -> AgeEditor:
    torch.manual_seed(0)
    return AgeEditor(
        Generator(GeneratorConfig(resolution=64, residual=True, age_sigma=4.0)),
        AgeClassifier(),
        HairSegmenter(),
        name="untrained@0",
    )


@pytest.fixture(scope="module")
def client(editor, tmp_path_factory):
    with running_page(editor, tmp_path_factory.mktemp("server")) as url:
        yield Client(url, verbose=False, download_files=tmp_path_factory.mktemp("client"))


@needs_files
def test_one_face_is_found_in_the_portrait(client):
    ages = client.predict(photo=handle_file(PORTRAIT), api_name="/estimate_age")
    assert len(ages) == 1 and 0 <= ages[0] <= 100


@needs_files
def test_the_photo_comes_back_whole_with_only_the_face_changed(client):
    paths = client.predict(photo=handle_file(PORTRAIT), ages=[25, 65], api_name="/edit")
    original = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    young, old = (np.asarray(Image.open(path)) for path in paths)
    assert young.shape == old.shape == original.shape
    for edited in (young, old):
        assert (edited[FACE] != original[FACE]).any(axis=2).mean() > 0.5
        assert (edited[330:] == original[330:]).all()  # suit and helmet
        assert (edited[:, 400:] == original[:, 400:]).all()  # the shuttle
    assert (young[FACE] != old[FACE]).any()


@needs_files
def test_a_photo_without_a_face_has_no_ages(client, tmp_path):
    Image.new("RGB", (400, 300), (90, 120, 60)).save(tmp_path / "lawn.png")
    assert client.predict(photo=handle_file(tmp_path / "lawn.png"), api_name="/estimate_age") == []


@needs_files
def test_a_clip_comes_back_older_and_one_that_is_too_long_is_refused(editor, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    page = build_app(editor, PageConfig(clip_seconds=1))
    (make_clip,) = (one.fn for one in page.fns.values() if one.fn and one.fn.__name__ == "make_clip")
    size = (320, 258)
    frames = moved(camera_path(6, size), size)
    clip = write_clip(tmp_path / "clip.mp4", frames)
    status, shown, download = make_clip(str(clip), 65, True, True, "en", gr.Progress()).values()
    assert ENGLISH.video_done.format(edited=6, frames=6) in status and shown["visible"]
    with av.open(download["value"]) as video:
        made = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
    assert len(made) == 6 and all(frame.shape == (258, 320, 3) for frame in made)
    change = np.abs(np.stack(made) - np.stack(frames))
    assert change[:, 90:170, 130:190].mean() > change[:, :40, :40].mean() + 3  # the face, and a corner without it
    assert change[:, -12:, -60:].max() > 60  # the mark
    status, shown, download = make_clip(
        str(write_clip(tmp_path / "long.mp4", frames, pts=[240 * index for index in range(6)])), 65, True, True, "en",
        gr.Progress(),
    ).values()  # fmt: skip
    assert "longer than 1 seconds" in status and not shown["visible"] and not download["visible"]
