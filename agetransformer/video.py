"""A person at another age through a whole video: every frame edited, sound and timing kept."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from agetransformer.alignment import FaceFinder, FaceGeometry
from agetransformer.editor import AgeEditor, check_age
from agetransformer.faces import Face
from agetransformer.footage import VideoError, colour_of, decoded, duration, frame_rate, opened, start_time, stills
from agetransformer.mark import add_mark
from agetransformer.mp4 import add_h264, to_frame, writing_mp4
from agetransformer.sound import Sound
from agetransformer.tracking import Track, TrackConfig, follow_face, smooth_track

_LARGEST_SQUARE = 1024  # px; all but what is taken of finer detail has the network's resolution
_READINGS = 5  # frames that V tells the age from
_TRACKING = 0.35  # about the part of the work that is done when the faces are found


@dataclass(frozen=True)
class VideoConfig:
    longest: float = 300.0  # seconds; longer videos are refused
    most_frames: float = math.inf  # videos with more are refused
    max_side: int = 3840  # px of the longer side; larger frames are shrunk
    track: TrackConfig = field(default_factory=TrackConfig)
    crf: int = 18  # x264's quality: visually lossless
    preset: str = "fast"  # x264's speed
    hair: bool = True  # its colour changes too
    mark: bool = False  # write "AI-edited" into a corner


@dataclass(frozen=True)
class VideoReport:
    """What was done. Flicker and motion are grey levels of 255, within the face, means over all edited frames."""

    frames: int
    edited: int  # frames with a face
    seconds: float
    flicker: float  # frame-to-frame absolute difference of the edit, that is edited minus input
    motion: float  # frame-to-frame absolute difference of the input


def edit_video(
    editor: AgeEditor,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    age: float,
    config: VideoConfig | None = None,
    progress: Callable[[float], None] | None = None,
) -> VideoReport:
    """Write `source` with the largest face at another age.

    The face is followed by its position. Frames without it stay as they are. Sound is copied, time stamps are kept, the
    picture is turned upright, and nothing of the source's metadata is written. The video is read twice: first the face
    is found in all frames, so that its landmarks can be smoothed, then they are edited one after the other; between the
    two, some of the first frames tell the age.

    Args:
        target: ends in .mp4; it appears when it is whole.
        age: years within 20..69.
        progress: called now and then with the part of the work that is done, 0..1.
    Raises:
        VideoError: not a video, too long, too many frames, or no face in any frame; a sentence.
        OSError: the target cannot be written.
        ValueError: an age outside 20..69, another ending than .mp4, or the target is the source; a sentence.
    """
    config = config or VideoConfig()
    age, source, target = check_age(age), Path(source), Path(target)
    if target.suffix.lower() != ".mp4":
        raise ValueError(f"the edited video is written as .mp4, not as {target.suffix or target.name!r}")
    if target.resolve() == source.resolve():
        raise ValueError("the result would replace the video; please name another file")
    report_progress = progress or (lambda done: None)
    track, seconds, rate = _track(source, config, lambda done: report_progress(_TRACKING * done))
    report = _write(
        editor,
        source,
        target,
        age,
        track,
        seconds,
        rate,
        config,
        lambda done: report_progress(_TRACKING + (1 - _TRACKING) * done),
    )
    report_progress(1.0)
    return report


def _track(source: Path, config: VideoConfig, progress: Callable[[float], None]) -> tuple[Track, float, Fraction]:
    """The smoothed face in every frame, the video's length in seconds, and its frames a second."""
    times: list[float] = []
    with opened(source) as (container, stream), FaceFinder() as finder:
        length = duration(container, stream)
        _check_length(length, config)

        def pictures() -> Iterator[np.ndarray]:
            for _, pts, pixels in stills(decoded(container.demux(stream)), container, stream, config.max_side):
                times.append(float(pts * cast(Fraction, stream.time_base)))
                _check_length(times[-1] - times[0], config)
                if len(times) > config.most_frames:
                    raise VideoError(
                        f"The video has more than {config.most_frames:.0f} frames. Please cut it, or save it with "
                        "fewer frames a second."
                    )
                progress(min(1.0, (times[-1] - times[0]) / (length or config.longest)))
                yield pixels

        found = list(follow_face(finder, pictures()))
        rate = frame_rate(stream, times)
    if not found:
        raise VideoError("The video has no frames that can be read. Please export it again.")
    if not any(found):
        raise VideoError(
            "No face was found in any frame. Please use a video in which a face is larger, sharper or less turned away."
        )
    return smooth_track(found, times, config.track), times[-1] - times[0] + float(1 / rate), rate


def _write(
    editor: AgeEditor,
    source: Path,
    target: Path,
    age: float,
    track: Track,
    seconds: float,
    rate: Fraction,
    config: VideoConfig,
    progress: Callable[[float], None],
) -> VideoReport:
    meter = FlickerMeter()
    own_age, share = _first_readings(editor, source, track, age, config)
    with opened(source) as (container, stream), writing_mp4(target, [age], editor.name) as output:
        audible = [one for one in container.streams.audio if one.codec_context is not None]
        waiting: list[av.Packet] = []  # of sound, until the frames before them are written

        start = start_time(container)

        def pictures() -> Iterator[av.Packet]:
            for packet in container.demux(stream, *audible):
                if packet.stream is stream:
                    yield packet
                else:
                    waiting.append(_earlier(packet, start))

        video: VideoStream | None = None
        sounds: dict[int, Sound] = {}
        time_base = cast(Fraction, stream.time_base)  # that of a stream that is being read is known
        before = round(start / time_base)
        frames = stills(decoded(pictures()), container, stream, config.max_side)
        for done, ((frame, pts, original), geometry) in enumerate(zip(frames, track, strict=True)):
            result = (
                original if geometry is None else _edited(editor, original, geometry, own_age, age, share, config.hair)
            )
            meter.add(original, result, geometry)
            if config.mark:
                result = np.asarray(add_mark(result))
            if video is None:
                colour, size = colour_of(frame), (result.shape[1], result.shape[0])
                video = add_h264(output, size, rate, time_base, colour, crf=config.crf, preset=config.preset)
                sounds = {one.index: Sound(one, output) for one in audible}
            picture = to_frame(result, colour)
            picture.pts, picture.time_base = pts - before, time_base
            output.mux(video.encode(picture))
            _pass_on(waiting, sounds)
            progress((done + 1) / len(track))
        _pass_on(waiting, sounds)
        for sound in sounds.values():
            sound.finish()
        if video is not None:
            output.mux(video.encode(None))
    return VideoReport(len(track), sum(face is not None for face in track), seconds, meter.flicker, meter.motion)


def _earlier(packet: av.Packet, seconds: Fraction) -> av.Packet:
    """A packet that is shown or heard so much earlier."""
    ticks = round(seconds / packet.time_base)
    if packet.pts is not None:
        packet.pts -= ticks
    if packet.dts is not None:
        packet.dts -= ticks
    return packet


def _pass_on(waiting: list[av.Packet], sounds: dict[int, Sound]) -> None:
    for packet in waiting:
        sounds[packet.stream.index].add(packet)
    waiting.clear()


def _edited(
    editor: AgeEditor,
    pixels: np.ndarray,
    geometry: FaceGeometry,
    own_age: float,
    age: float,
    share: float,
    hair: bool,
) -> np.ndarray:
    """One frame with the face at another age; [H, W, 3] uint8."""
    face = editor.cut_face(pixels, geometry, min(_LARGEST_SQUARE, 2 * editor.resolution), own_age)
    (edited,) = editor.decode(editor.encode(face, hair), [age], shares=[share])
    return editor.paste_pixels(pixels, edited)


def _first_readings(
    editor: AgeEditor, source: Path, track: Track, age: float, config: VideoConfig
) -> tuple[float, float]:
    """How old the face is, in years, and how much of its change to add: medians of what V says of the first frames.

    For all frames the same, because what V says trembles.
    """
    faces: list[Face] = []
    with opened(source) as (container, stream):
        frames = stills(decoded(container.demux(stream)), container, stream, config.max_side)
        for (_, _, pixels), geometry in zip(frames, track, strict=False):
            if geometry is not None:
                faces.append(editor.cut_face(pixels, geometry))
            if len(faces) == _READINGS:
                break
    own_age = float(np.median([face.age for face in faces]))
    encodings = [editor.encode(replace(face, age=own_age), config.hair) for face in faces]
    shares = [editor.calibrate(encoding, [age], config.hair) for encoding in encodings]
    return own_age, float(np.median(shares))


def _check_length(seconds: float, config: VideoConfig) -> None:
    if seconds > config.longest + 0.5:  # files round their length up to a frame
        raise VideoError(
            f"The video is longer than {config.longest:g} seconds. Please cut it to the part that shows the face."
        )


class FlickerMeter:
    """Mean frame-to-frame absolute difference of edit and input, within the hull of the face's landmarks."""

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._sums, self._count = np.zeros(2), 0

    def add(self, original: np.ndarray, edited: np.ndarray, geometry: FaceGeometry | None) -> None:
        """The next frame before and after its edit, RGB [H, W, 3] uint8; None: there is no face in it."""
        if geometry is not None and self._last is not None:
            box, inside = _hull(geometry, original.shape)
            if inside.any():
                before, before_edited = (one[box][inside].astype(np.int16) for one in self._last)
                now, now_edited = original[box][inside].astype(np.int16), edited[box][inside].astype(np.int16)
                change = np.abs((now_edited - now) - (before_edited - before)).mean()
                self._sums += change, np.abs(now - before).mean()
                self._count += 1
        self._last = None if geometry is None else (original, edited)

    @property
    def flicker(self) -> float:
        """Of the edit, in grey levels of 255; 0 before two frames with a face were added."""
        return float(self._sums[0] / max(self._count, 1))

    @property
    def motion(self) -> float:
        """Of the input, in grey levels of 255."""
        return float(self._sums[1] / max(self._count, 1))


def _hull(geometry: FaceGeometry, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """The box [top:bottom, left:right] around the landmarks, and which of its pixels lie in their hull."""
    left, top = np.floor(geometry.landmarks.min(axis=0)).clip(0).astype(int)
    right, bottom = np.ceil(geometry.landmarks.max(axis=0)).clip(0, (shape[1], shape[0])).astype(int)
    inside = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.uint8)
    if inside.size:
        hull = cv2.convexHull(np.round(geometry.landmarks - (left, top)).astype(np.int32))
        cv2.fillConvexPoly(inside, hull, 1)
    return (slice(top, bottom), slice(left, right)), inside > 0
