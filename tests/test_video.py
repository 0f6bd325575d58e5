"""Videos: timing, sound and rotation survive, the edit is steady, and what cannot be done is said in a sentence."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from clips import camera_path, moved, write_clip
from PIL import Image

from agetransformer import AgeEditor
from agetransformer.__main__ import main
from agetransformer.alignment import DEFAULT_MODEL, FaceGeometry
from agetransformer.footage import VideoError, frame_rate
from agetransformer.imageio import DIGITAL_SOURCE_TYPE
from agetransformer.video import FlickerMeter, VideoConfig, edit_video

pytestmark = pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason="needs the face landmarker in checkpoints/")

SIZE = (320, 258)


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return moved(camera_path(8, SIZE), SIZE)


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def sound_packets(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.dts is not None]
        return [(bytes(packet), packet.pts * packet.time_base) for packet in packets]


def pixels(frames: Sequence[av.VideoFrame]) -> np.ndarray:
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]).astype(int)


def test_timing_sound_and_disclosure(editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path) -> None:
    pts = [0, 24, 30, 90, 91, 140, 200, 260]  # a variable frame rate
    source = write_clip(
        tmp_path / "in.mov", frames, pts=pts, metadata={"title": "Secret", "location": "+21.0285+105.8542/"}
    )
    assert b"Secret" in source.read_bytes() and b"+21.0285" in source.read_bytes()
    told: list[float] = []
    report = edit_video(editor, source, tmp_path / "out.mp4", 65, progress=told.append)
    assert (report.frames, report.edited) == (8, 8)
    assert told == sorted(told) and told[0] >= 0 and told[-1] == 1
    before, after = decoded(source), decoded(tmp_path / "out.mp4")
    assert [frame.pts * frame.time_base for frame in after] == [frame.pts * frame.time_base for frame in before]
    assert [frame.pts * frame.time_base for frame in after] == [Fraction(one, 600) for one in pts]
    packets = sound_packets(source)
    assert len(packets) > 10 and sound_packets(tmp_path / "out.mp4") == packets
    with av.open(str(tmp_path / "out.mp4")) as container:
        video, audio = container.streams
        assert (video.codec.name, video.pix_fmt, audio.codec.name) == ("h264", "yuv420p", "aac")
        assert container.metadata["comment"].startswith("AI-edited: the apparent age was changed to 65 by ")
    data = (tmp_path / "out.mp4").read_bytes()
    assert b"Secret" not in data and b"+21.0285" not in data
    assert data.count(DIGITAL_SOURCE_TYPE.encode()) == 2  # the comment and the XMP packet
    # Only the face changes; the rest is the input up to its encoding. An even size stays.
    assert (after[0].width, after[0].height) == SIZE
    difference = np.abs(pixels(after) - pixels(before)).mean(axis=(0, 3))
    assert difference[:, :50].mean() < 3 and difference[60:190, 100:220].mean() > 1.2 * difference[:, :50].mean()


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_phone_videos_come_out_upright(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path, rotation: int
) -> None:
    stored = [np.rot90(frame, -rotation // 90) for frame in frames[:3]]
    source = write_clip(tmp_path / "in.mp4", stored, rotation=rotation)
    assert (decoded(source)[0].rotation - rotation) % 360 == 0
    report = edit_video(editor, source, tmp_path / "out.mp4", 65)
    assert report.edited == 3
    result = decoded(tmp_path / "out.mp4")
    assert result[0].rotation == 0
    assert np.abs(pixels(result)[:, :, :60] - np.stack(frames[:3])[:, :, :60]).mean() < 6


def test_hair_turns_grey_steadily_unless_told_otherwise(
    embedded: None, generator_of_192: Path, frames: list[np.ndarray], tmp_path: Path
) -> None:
    editor = AgeEditor.from_pretrained(str(generator_of_192), device="cpu")
    source = write_clip(tmp_path / "in.mp4", frames[:4], audio=None)
    results = []
    for hair in (True, False):
        edit_video(editor, source, tmp_path / f"{hair}.mp4", 65, VideoConfig(hair=hair))
        results.append(pixels(decoded(tmp_path / f"{hair}.mp4")).mean(axis=3))
    change = results[0] - results[1]
    hair = change.mean(axis=0) > 10
    assert 0.02 < hair.mean() < 0.25 and hair[200:].mean() < 1e-3  # above her chin alone
    assert np.abs(np.diff(change, axis=0)).mean(axis=0)[hair].mean() < 0.25 * change.mean(axis=0)[hair].mean()


def test_frames_without_a_face_stay(editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path) -> None:
    wall = np.full_like(frames[0], 110)
    wall[:, ::16] = 60
    source = write_clip(tmp_path / "in.mp4", [wall] * 3 + frames[:3] + [wall] * 8, audio=None)
    report = edit_video(editor, source, tmp_path / "out.mp4", 65)
    assert (report.frames, report.edited) == (14, 3)
    difference = np.abs(pixels(decoded(tmp_path / "out.mp4")) - pixels(decoded(source))).mean(axis=(1, 2, 3))
    assert difference[[0, 1, 2, *range(6, 14)]].max() < 1.5


def later(source: Path, target: Path, seconds: int) -> Path:
    """The same video, all of it so much later: broadcasts that are recorded begin at any time."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        streams = {one.index: output.add_stream_from_template(one) for one in container.streams}
        for packet in container.demux():
            if packet.dts is not None:
                packet.pts += round(seconds / packet.time_base)
                packet.dts += round(seconds / packet.time_base)
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


def test_what_begins_late_in_a_recording_begins_at_once(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path
) -> None:
    source = later(write_clip(tmp_path / "in.mp4", frames), tmp_path / "in.ts", 7)
    with av.open(str(source)) as container:
        late = Fraction(container.start_time, av.time_base)
        first = {one.type: one.start_time * one.time_base for one in container.streams}
    assert late == pytest.approx(7, abs=0.1)
    edit_video(editor, source, tmp_path / "out.mp4", 65)
    with av.open(str(tmp_path / "out.mp4")) as container:
        for one in container.streams:
            assert one.start_time * one.time_base == pytest.approx(first[one.type] - late, abs=0.002), one.type
        assert container.duration / av.time_base < 0.5
    assert heard(tmp_path / "out.mp4")[0] == pytest.approx(440, abs=4)  # its packets have other headers than MP4's


def heard(path: Path) -> tuple[float, float]:
    """The loudest frequency of a file's sound in Hz, and its length in seconds."""
    with av.open(str(path)) as container:
        wave = np.concatenate([part.to_ndarray().astype(float)[0] for part in container.decode(audio=0)])
        rate = container.streams.audio[0].rate
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * rate / len(wave)), len(wave) / rate


def test_packets_that_cannot_be_decoded_are_left_out(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.webm", frames, audio=None)
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    data = source.read_bytes()
    assert data.count(packets[4]) == 1
    broken = tmp_path / "broken.webm"
    broken.write_bytes(data.replace(packets[4], b"\xff" * len(packets[4])))
    with pytest.raises(av.InvalidDataError):
        decoded(broken)
    report = edit_video(editor, broken, tmp_path / "out.mp4", 65)
    assert 6 <= report.frames < len(frames)


def test_a_rate_that_is_a_unit_of_time_is_measured() -> None:
    times = [0, 0.04, 0.08, 0.12]
    for told, shown, rate in (
        (Fraction(30000, 1001), times, Fraction(30000, 1001)),
        (Fraction(1000), times, 25),
        (None, times, 25),
        (None, [0.0], 25),
        (None, [0.0, 1e-5], 240),
    ):
        assert frame_rate(SimpleNamespace(average_rate=told), shown) == rate


@pytest.mark.parametrize(("suffix", "audio", "expected"), [(".avi", "pcm_s16le", "aac"), (".mkv", "flac", "flac")])
def test_other_containers_and_sounds(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path, suffix: str, audio: str, expected: str
) -> None:
    """PCM in MP4 is played by few, so it becomes AAC and is the same tone; what MP4 knows is copied."""
    pts = [24 * index for index in range(8)]
    source = write_clip(tmp_path / f"in{suffix}", frames, pts=pts, audio=audio)
    edit_video(editor, source, tmp_path / "out.mp4", 30)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec.name == expected
    frequency, seconds = heard(tmp_path / "out.mp4")
    assert frequency == pytest.approx(440, abs=4) and seconds == pytest.approx(8 / 25, abs=0.06)


def test_large_frames_shrink_and_odd_ones_gain_a_pixel(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mp4", [cv2.resize(frame, (640, 516)) for frame in frames[:2]])
    edit_video(editor, source, tmp_path / "small.mp4", 65, VideoConfig(max_side=320, mark=True))
    (frame, _) = decoded(tmp_path / "small.mp4")
    assert (frame.width, frame.height) == SIZE
    animation = [Image.fromarray(frame[:257, :319]) for frame in frames[:2]]
    animation[0].save(tmp_path / "odd.gif", save_all=True, append_images=animation[1:], duration=40)
    edit_video(editor, tmp_path / "odd.gif", tmp_path / "odd.mp4", 65)
    assert [(frame.width, frame.height) for frame in decoded(tmp_path / "odd.mp4")] == [SIZE] * 2


def woven(path: Path, moments: list[np.ndarray]) -> Path:
    """An interlaced video: each frame has one moment in its odd rows and the next in its even ones, as it is marked."""
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "flags": "+ilme+ildct"}
        video = container.add_stream("libx264", rate=25, options=options)
        video.height, video.width = moments[0].shape[:2]
        video.pix_fmt = "yuv420p"
        for first, second in zip(moments[::2], moments[1::2], strict=True):
            frame = second.copy()
            frame[1::2] = first[1::2]
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode(None))
    return path


def test_interlaced_frames_lose_their_comb(editor: AgeEditor, tmp_path: Path) -> None:
    size = (320, 256)
    moments = moved(camera_path(16, size, speed=8), size, noise=0)
    source = woven(tmp_path / "camcorder.mp4", moments)
    edit_video(editor, source, tmp_path / "out.mp4", 65)

    def comb(pictures: np.ndarray) -> float:
        """How far each row is from the mean of those above and below it, where nothing is edited."""
        rows = pictures.astype(float)[:, :, :90].mean(axis=3)
        return float(np.abs(2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:]).mean())

    given, made = decoded(source), decoded(tmp_path / "out.mp4")
    assert given[3].interlaced_frame and not made[3].interlaced_frame
    assert [frame.time for frame in made] == pytest.approx([frame.time for frame in given], abs=1e-3)
    assert comb(pixels(made)) < 1.3 * comb(np.stack(moments)) < 0.6 * comb(pixels(given))
    still = np.abs(pixels(made)[:, :, :90] - np.stack(moments[::2])[:, :, :90]).mean()
    assert still < 6  # the first moment of each, not the second


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), SIZE), (Fraction(3, 4), (240, 344))])
def test_pixels_become_square(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path, aspect: Fraction, size: tuple[int, int]
) -> None:
    narrow = [cv2.resize(frame, (240, 258), interpolation=cv2.INTER_AREA) for frame in frames[:2]]
    source = write_clip(tmp_path / "in.mp4", narrow, pixel_aspect=aspect, audio=None)
    assert decoded(source)[0].width == 240
    assert edit_video(editor, source, tmp_path / "out.mp4", 65).edited == 2
    (frame, _) = decoded(tmp_path / "out.mp4")
    assert (frame.width, frame.height) == size
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 0, 1)
    beside = np.s_[:, :, : size[0] // 6]  # of the face
    expected = cv2.resize(frames[0], size)[None]
    assert np.abs(pixels([frame])[beside] - expected[beside]).mean() < 6


def test_a_video_that_changes_its_size_keeps_the_first_one(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path
) -> None:
    """As a browser records it when a phone is turned."""
    turned = [cv2.resize(frame, SIZE[::-1]) for frame in frames]
    parts = [
        write_clip(tmp_path / f"{index}.webm", part, audio=None) for index, part in enumerate((frames[:3], turned[3:6]))
    ]
    with av.open(str(tmp_path / "in.webm"), "w") as target:
        with av.open(str(parts[0])) as first:
            stream = target.add_stream_from_template(first.streams.video[0])
        for index, part in enumerate(parts):
            with av.open(str(part)) as source:
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.pts += index * 120  # ms
                        packet.dts += index * 120
                        packet.stream = stream
                        target.mux(packet)
    report = edit_video(editor, tmp_path / "in.webm", tmp_path / "out.mp4", 65)
    result = decoded(tmp_path / "out.mp4")
    assert report.frames == 6 and [(frame.width, frame.height) for frame in result] == [SIZE] * 6
    last = pixels(result[-1:])[0]
    assert last[:, :40].mean() < 3 and last[:, 110:210].mean() > 40  # in the middle, between black bars


def test_frames_that_are_stored_out_of_order_are_all_there(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.avi", frames, audio="pcm_s16le", b_frames=2)
    report = edit_video(editor, source, tmp_path / "out.mp4", 65)
    result = decoded(tmp_path / "out.mp4")
    assert report.frames == len(result) == len(frames) and result[0].pts == 0  # as the sound begins
    beside = np.s_[:, :, :50]
    assert np.abs(pixels(result)[beside] - np.stack(frames)[beside]).mean() < 6  # and in order


@pytest.mark.parametrize("rate", [10_000, 96_000])
def test_sound_of_any_rate_becomes_aac(editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path, rate: int) -> None:
    source = write_clip(tmp_path / "in.avi", frames[:4], audio="pcm_s16le", sound_rate=rate)
    edit_video(editor, source, tmp_path / "out.mp4", 65)
    with av.open(str(tmp_path / "out.mp4")) as container:
        (sound,) = container.streams.audio
        assert sound.codec.name == "aac" and sound.rate == {10_000: 11_025, 96_000: 48_000}[rate]


def test_names_with_colons_are_names(
    embedded: None, frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", frames[:2], audio=None).rename("2024-05-01T12:30:00.mp4")
    assert main(["video", "2024-05-01T12:30:00.mp4", "--age", "65", "--device", "cpu"]) == 0
    assert Path("2024-05-01T12:30:00_age_65.mp4").is_file()


def test_a_video_that_cannot_be_written_is_not_said_to_be_damaged(
    editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_clip(tmp_path / "in.mp4", frames[:2], audio=None)

    def full(*_: object) -> None:
        raise av.error.OSError(28, "No space left on device")

    monkeypatch.setattr("agetransformer.video.to_frame", full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\)") as error:
        edit_video(editor, source, tmp_path / "out.mp4", 65)
    assert not isinstance(error.value, av.FFmpegError) and error.value.errno == 28
    assert not list(tmp_path.glob("*out*"))


def test_refusals(editor: AgeEditor, frames: list[np.ndarray], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames)
    wall = write_clip(tmp_path / "wall.mp4", [np.full_like(frames[0], 90)] * 2)
    text = tmp_path / "text.mp4"
    text.write_text("not a video" * 100)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:3000])
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{clip}\n#EXT-X-ENDLIST\n")
    photo = tmp_path / "photo.mp4"
    Image.fromarray(frames[0]).save(photo, "PNG")
    tone = tmp_path / "tone.mp4"
    with av.open(str(clip)) as source, av.open(str(tone), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    for path, words in (
        (tmp_path / "missing.mp4", "no such file"),
        (tmp_path, "no such file"),
        (text, "not a video"),
        (cut, "not a video"),
        (playlist, "not a video"),
        (photo, "not a video"),
        (tone, "no video in it"),
        (wall, "No face was found"),
    ):
        with pytest.raises(VideoError, match=words):
            edit_video(editor, path, tmp_path / "out.mp4", 65)
    with pytest.raises(VideoError, match=r"longer than 0.1 seconds"):
        long = write_clip(tmp_path / "long.mp4", frames * 3)
        edit_video(editor, long, tmp_path / "out.mp4", 65, VideoConfig(longest=0.1))
    with pytest.raises(VideoError, match="more than 5 frames"):
        edit_video(editor, clip, tmp_path / "out.mp4", 65, VideoConfig(most_frames=5))
    for age, target, words in ((70, "out.mp4", "outside 20..69"), (65, "out.avi", "mp4"), (65, "clip.mp4", "replace")):
        with pytest.raises(ValueError, match=words):
            edit_video(editor, clip, tmp_path / target, age)
    assert not list(tmp_path.glob("*out*"))


def test_flicker_meter_by_hand() -> None:
    """An edit that alternates between +0 and +8 inside the hull, on an input that brightens by 3 a frame."""
    landmarks = np.array([(20, 20), (60, 20), (60, 60), (20, 60)], np.float32)
    geometry = FaceGeometry(landmarks, np.zeros((4, 2)), {})
    meter = FlickerMeter()
    for index in range(5):
        original = np.full((80, 80, 3), 100 + 3 * index, np.uint8)
        edited = original.copy()
        edited[20:61, 20:61] += np.uint8(8 * (index % 2))
        edited[:10] = index * 40  # outside the face it does not count
        meter.add(original, edited, geometry)
    assert (meter.flicker, meter.motion) == pytest.approx((8, 3))
    meter.add(original, edited, None)
    meter.add(255 - original, edited, geometry)  # the first frame of a new shot has nothing before it
    assert meter.flicker == pytest.approx(8)


def test_command_line(
    embedded: None, frames: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(tmp_path / "clip.mov", frames[:3])
    assert main(["video", str(source), "--age", "65", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert (tmp_path / "clip_age_65.mp4").is_file()
    assert printed.out.startswith(str(tmp_path / "clip_age_65.mp4"))
    assert "3 of 3 frames" in printed.out and "Flicker" in printed.out
    assert "100%" in printed.err
    assert main(["video", str(tmp_path / "none.mp4"), "--age", "65", "--out", str(tmp_path / "x.mp4")]) == 2
    assert "no such file" in capsys.readouterr().err
