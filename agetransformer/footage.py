"""A video file as upright RGB frames, whatever camera or program wrote it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from av.video.stream import VideoStream

from agetransformer.mp4 import Colour, to_pixels

# Containers of cameras and editors. Playlists and the like, which name further files to open, are not among them.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"
_HD_HEIGHT = 720  # px: from here on, pixels without a tag are read as BT.709, below as BT.601
_UNSPECIFIED = 2  # of matrix, primaries and transfer (ITU-T H.273)


class VideoError(ValueError):
    """The video cannot be used; the message is a sentence for the person who gave it."""


@dataclass(frozen=True)
class Still:
    """One frame of a video, upright."""

    pixels: np.ndarray  # RGB [H, W, 3] uint8
    pts: int  # when it is shown, in units of the stream's time base


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first video stream.

    Raises:
        VideoError: no such file, not a video, or damaged.
    """
    if not Path(path).is_file():
        raise VideoError("There is no such file. Please check its name and folder.")
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{os.fspath(path)}", options=options) as container:
            streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError("The file has no video in it. Please use a clip that shows a face.")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]
    except av.FFmpegError as error:
        raise VideoError(
            "The file is not a video that can be read here, or it is damaged. Please use MP4, MOV, WebM, MKV or AVI."
        ) from error


def frame_rate(stream: VideoStream) -> Fraction:
    """Frames a second on average."""
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def duration(container: InputContainer, stream: VideoStream) -> float:
    """Length in seconds as the file states it; 0 where it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def colour_of(frame: av.VideoFrame) -> Colour:
    """How the frame's pixels are to be read; without tags as browsers do."""
    matrix = {1: Colorspace.ITU709, 9: Colorspace.BT2020, 10: Colorspace.BT2020}.get(int(frame.colorspace))
    if matrix is None:
        tagged = int(frame.colorspace) != _UNSPECIFIED
        matrix = Colorspace.ITU601 if tagged or frame.height < _HD_HEIGHT else Colorspace.ITU709
    return Colour(int(matrix), _known(frame.color_primaries, ColorPrimaries), _known(frame.color_trc, ColorTrc))


def still(frame: av.VideoFrame, pts: int, max_side: int) -> Still:
    """A decoded frame as RGB, turned as its display matrix says, shrunk to `max_side` if it is larger."""
    colour = colour_of(frame)
    scale = min(1.0, max_side / max(frame.width, frame.height))
    if scale < 1:
        width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
        frame_small = frame.reformat(width, height, interpolation="AREA")
        frame_small.colorspace = frame.colorspace
        return Still(_upright(to_pixels(frame_small, colour), _turn(frame)), pts)
    return Still(_upright(to_pixels(frame, colour), _turn(frame)), pts)


def stamped(frames: Iterator[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, int]]:
    """Frames with strictly increasing time stamps; those that repeat an earlier time are dropped."""
    last, step = None, 1
    for frame in frames:
        pts = frame.pts if frame.pts is not None else (0 if last is None else last + step)
        if last is not None:
            if pts <= last:
                continue
            step = pts - last
        last = pts
        yield frame, pts


def _known(value: int, names: type[IntEnum]) -> int:
    return int(value) if int(value) in {int(name) for name in names} else _UNSPECIFIED


def _turn(frame: av.VideoFrame) -> np.ndarray:
    """[2, 2] of -1, 0, 1: from stored to shown coordinates, x right, y down (ISO/IEC 14496-12, section 6.2.2)."""
    for data in cast(Iterable[SideData], frame.side_data):
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5] / 65536
            if abs(a * d) > abs(b * c):
                return np.array([[np.sign(a), 0], [0, np.sign(d)]], int)
            if b and c:
                return np.array([[0, np.sign(c)], [np.sign(b), 0]], int)
    return np.eye(2, dtype=int)


def _upright(pixels: np.ndarray, turn: np.ndarray) -> np.ndarray:
    if turn[0, 0] == 0:
        pixels = pixels.transpose(1, 0, 2)
    across, down = turn.sum(axis=1)
    return np.ascontiguousarray(pixels[::down, ::across])
