"""Ageing sweeps: ages, frames that equal the editor's own results, and files that any player reads."""

import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from agetransformer import AgeEditor, Face
from agetransformer.alignment import FaceGeometry, align
from agetransformer.animation import SweepConfig, save_sweep, sweep_ages, sweep_frames
from agetransformer.imageio import DIGITAL_SOURCE_TYPE
from agetransformer.mp4 import Colour, to_pixels

SHORT = SweepConfig(frames=4)
MODEL = "owner/repo@0123"


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(0).integers(40, 216, (height // 16, width // 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def face_in(photo: Image.Image, centre: tuple[float, float], side: float) -> Face:
    angles = np.linspace(0, 2 * np.pi, 478)
    oval = np.column_stack([0.3 * np.cos(angles), 0.07 + 0.32 * np.sin(angles)]) * side + centre
    corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]) * side + centre
    geometry = FaceGeometry(oval.astype(np.float32), corners, {})
    return Face(geometry, Image.fromarray(align(np.asarray(photo), geometry, round(side))), 40.0)


def discs(width: int, height: int, count: int) -> list[Image.Image]:
    """A soft background that stays, and a disc on it whose brightness changes."""
    y, x = np.mgrid[:height, :width]
    still = np.stack([60 + 120 * x / width, 70 + 100 * y / height, 140 - 50 * x / width], axis=2)
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
    return [Image.fromarray((still + 8 * index * inside[..., None]).astype(np.uint8)) for index in range(count)]


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Top-level boxes of an ISO base media file: type and content."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        assert 8 <= size <= len(data) - at
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def test_ages_of_the_default_loop() -> None:
    config = SweepConfig()
    ages = sweep_ages(config)
    assert (ages[0], max(ages), min(ages)) == (20, 69, 20)
    assert 3 <= len(ages) / config.frames_per_second <= 5  # seconds
    out, back = np.array(ages[: config.frames]), np.array(ages[config.frames :])
    assert (np.diff(out) > 0).all() and (np.diff(back) < 0).all()
    steps = np.abs(np.diff([*ages, ages[0]]))
    assert steps.max() < 4 and steps[0] == pytest.approx(steps[-1])  # the loop closes without a jump
    assert sweep_ages(replace(config, there_and_back=False)) == ages[: config.frames]


@pytest.mark.parametrize(
    "wrong", [{"youngest": 10}, {"oldest": 70}, {"youngest": 50, "oldest": 50}, {"frames": 1}, {"frames_per_second": 0}]
)
def test_bad_config(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"age|sweep"):
        SweepConfig(**wrong)


def test_frames_are_what_the_editor_pastes(editor: AgeEditor) -> None:
    photo = picture(320, 240)
    face = face_in(photo, (170, 120), 150)
    encoding = editor.encode(face)
    frames = list(sweep_frames(editor, photo, encoding, SHORT))
    ages = sweep_ages(SHORT)
    assert len(frames) == len(ages) == 6
    for age, frame in zip(ages, frames, strict=True):
        expected = editor.paste(photo, editor.decode(encoding, [age])[0])
        assert np.array_equal(np.asarray(frame), np.asarray(expected))
    assert (np.asarray(frames[0]) != np.asarray(frames[3])).any()


def test_a_large_photo_is_shrunk_and_its_face_lands_in_the_same_place(editor: AgeEditor) -> None:
    photo = picture(1600, 1067)
    encoding = editor.encode(face_in(photo, (1000, 500), 600))
    config = replace(SHORT, max_side=401)
    frames = list(sweep_frames(editor, photo, encoding, config))
    small = np.asarray(photo.resize((401, 267), Image.Resampling.LANCZOS)).astype(int)
    change = np.abs(np.asarray(frames[3]).astype(int) - small).sum(axis=2)
    assert frames[0].size == (401, 267)
    left, top, right, bottom = (round(n * 401 / 1600) for n in (700, 200, 1300, 800))
    assert change[top:bottom, left:right].any()
    change[top:bottom, left:right] = 0
    assert not change.any()
    # The full-size edit, shrunk, is the same picture up to resampling.
    whole = editor.paste(photo, editor.decode(encoding, [69])[0]).resize((401, 267))
    assert np.abs(np.asarray(frames[3]).astype(int) - np.asarray(whole)).mean() < 1


def test_an_aligned_square(editor: AgeEditor) -> None:
    photo = picture(128, 128)
    frames = list(
        sweep_frames(editor, photo, editor.encode(editor.face_from_aligned(photo)), replace(SHORT, max_side=90))
    )
    assert {frame.size for frame in frames} == {(90, 90)}
    assert (np.asarray(frames[0]) != np.asarray(frames[3])).any()


@pytest.mark.parametrize("size", [(96, 64), (97, 63), (64, 97)])
def test_mp4(tmp_path: Path, size: tuple[int, int]) -> None:
    frames, path = discs(*size, 6), tmp_path / "sweep.mp4"
    save_sweep(iter(frames), path, SHORT, MODEL)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec.name, stream.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 12.5)
        decoded = list(container.decode(stream))
        assert [frame.time for frame in decoded] == pytest.approx([index / 12.5 for index in range(6)])
        assert container.duration / av.time_base == pytest.approx(6 / 12.5, abs=0.01)
        assert container.metadata["comment"].startswith("AI-edited: the apparent age was changed to 20, 69 by " + MODEL)
        assert DIGITAL_SOURCE_TYPE in container.metadata["comment"]
    for frame, image in zip(decoded, frames, strict=True):
        assert (frame.width, frame.height) == tuple(side + side % 2 for side in size)
        pixels = to_pixels(frame, Colour())[: size[1], : size[0]].astype(int)
        assert np.abs(pixels - np.asarray(image)).mean() < 2.5
        assert np.abs((pixels - np.asarray(image)).mean(axis=(0, 1))).max() < 1.5  # no colour shift
    found = boxes(path.read_bytes())
    kinds = [kind for kind, _ in found]
    assert kinds.index(b"moov") < kinds.index(b"mdat")  # plays while it loads
    assert kinds[-1] == b"uuid" and DIGITAL_SOURCE_TYPE.encode() in found[-1][1]
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.mp4"]


@pytest.mark.parametrize("suffix", [".gif", ".WebP"])
def test_gif_and_webp(tmp_path: Path, suffix: str) -> None:
    frames, path = discs(97, 63, 6), tmp_path / f"sweep{suffix}"
    save_sweep(iter(frames), path, SHORT, MODEL)
    with Image.open(path) as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (6, (97, 63), 0)
        note = animation.info["comment"] if suffix == ".gif" else animation.info["xmp"]
        assert b"AI-edited: the apparent age was changed to 20, 69 by owner/repo@0123" in note
        assert DIGITAL_SOURCE_TYPE.encode() in note
        decoded = []
        for index, image in enumerate(frames):
            animation.seek(index)
            animation.load()
            assert animation.info["duration"] == 80
            decoded.append(np.asarray(animation.convert("RGB")).astype(int))
            assert np.abs(decoded[-1] - np.asarray(image)).mean() < 4
            assert np.abs((decoded[-1] - np.asarray(image)).mean(axis=(0, 1))).max() < 1.5
    if suffix == ".gif":  # dither that moves would make the background shimmer
        still = (np.asarray(frames[0]) == np.asarray(frames[5])).all(axis=2)
        assert still.mean() > 0.5 and all(np.array_equal(frame[still], decoded[0][still]) for frame in decoded)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_nothing_of_the_uploader_is_written(tmp_path: Path, suffix: str) -> None:
    frames = discs(64, 48, 3)
    for frame in frames:
        frame.info.update(
            exif=b"Exif\0\0Secret", xmp=b"<Secret/>", comment=b"Secret", icc_profile=b"Secret", Author="Secret"
        )
    path = tmp_path / f"sweep{suffix}"
    save_sweep(frames, path, SHORT, MODEL)
    assert b"Secret" not in path.read_bytes() and b"AI-edited" in path.read_bytes()


def test_refusals_leave_no_file(tmp_path: Path) -> None:
    for name in ("sweep.avi", "sweep"):
        with pytest.raises(ValueError, match=r"\.mp4, \.gif, \.webp"):
            save_sweep(discs(64, 48, 2), tmp_path / name, SHORT, MODEL)
    with pytest.raises(ValueError, match="at least one frame"):
        save_sweep([], tmp_path / "sweep.mp4", SHORT, MODEL)

    def broken():
        yield from discs(64, 48, 2)
        raise RuntimeError("the decoder broke")

    for suffix in (".mp4", ".gif", ".webp"):
        with pytest.raises(RuntimeError, match="the decoder broke"):
            save_sweep(broken(), tmp_path / f"sweep{suffix}", SHORT, MODEL)
    assert not list(tmp_path.iterdir())
