"""A video file as upright RGB frames, whatever camera or program wrote it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av import Packet
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from av.video.stream import VideoStream

from agetransformer.interlace import deinterlaced
from agetransformer.mp4 import Colour, to_pixels

# Containers of cameras and editors. Playlists and the like, which name further files to open, are not among them.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"
_NO_ORDER = {
    "avi"
}  # containers that store no time of showing; FFmpeg's guess runs backwards where frames are reordered
_FASTEST, _USUAL_RATE = Fraction(240), Fraction(25)  # frames a second; more is a unit of time taken for a rate
_HD_HEIGHT = 720  # px: from here on, pixels without a tag are read as BT.709, below as BT.601
_UNSPECIFIED = 2  # of matrix, primaries and transfer (ITU-T H.273)


class VideoError(ValueError):
    """The video cannot be used; the message is a sentence for the person who gave it."""


def require_file(path: str | os.PathLike[str]) -> None:
    """
    Raises:
        VideoError: no such file.
    """
    if not Path(path).is_file():
        raise VideoError("There is no such file. Please check its name and folder.")


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first video stream.

    Raises:
        VideoError: no such file, not a video, or damaged.
    """
    require_file(path)
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    with reading():
        container = av.open(f"file:{os.fspath(path)}", options=options)
    with container:
        streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
        if not streams:
            raise VideoError("The file has no video in it. Please use a clip that shows a face.")
        streams[0].thread_type = "AUTO"
        yield container, streams[0]


@contextmanager
def reading() -> Iterator[None]:
    """What FFmpeg says of a file that it cannot read becomes a VideoError."""
    try:
        yield
    except av.FFmpegError as error:
        raise VideoError(
            "The file is not a video that can be read here, or it is damaged. Please use MP4, MOV, WebM, MKV or AVI."
        ) from error


def frame_rate(stream: VideoStream, times: Sequence[float] = ()) -> Fraction:
    """Frames a second on average, as the file says, or as its frames say where it does not, or by their unit of time.

    Args:
        times: when the frames are shown, in seconds, where that is known.
    """
    told = stream.average_rate
    if told and told <= _FASTEST:
        return told
    if len(times) < 2:
        return _USUAL_RATE
    measured = (len(times) - 1) / (times[-1] - times[0])
    return Fraction(min(max(measured, 1.0), float(_FASTEST))).limit_denominator(1001)


def start_time(container: InputContainer) -> Fraction:
    """Seconds before the first picture or sound of a file: recordings of broadcasts begin at any time.

    0 where something begins before 0, as the sound of many an MP4 does, and of containers without times.
    """
    if container.format.name in _NO_ORDER:
        return Fraction(0)
    return max(Fraction(container.start_time or 0, av.time_base), Fraction(0))


def decoded(packets: Iterable[Packet]) -> Iterator[av.VideoFrame]:
    """The frames of a video stream's packets, without those that cannot be decoded, as players leave them out."""
    for packet in packets:
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        yield from frames


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


def stills(
    frames: Iterator[av.VideoFrame], container: InputContainer, stream: VideoStream, max_side: int
) -> Iterator[tuple[av.VideoFrame, int, np.ndarray]]:
    """Decoded frames, when each is shown in units of the stream's time base, and its pixels [H, W, 3] uint8 RGB.

    The pixels are square, turned as the display matrix says, shrunk where a side is longer than `max_side`, and all of
    the first frame's size: what has another later gets black bars. Of interlaced frames the first moment is shown.

    Raises:
        VideoError: the video is damaged.
    """
    aspect, size = stream.sample_aspect_ratio or Fraction(1), None
    with reading():
        for frame, pts in _stamped(deinterlaced(frames), container.format.name in _NO_ORDER):
            pixels = _still(frame, aspect, max_side)
            size = size or pixels.shape[:2]
            yield frame, pts, pixels if pixels.shape[:2] == size else _boxed(pixels, size)


def _still(frame: av.VideoFrame, aspect: Fraction, max_side: int) -> np.ndarray:
    """A decoded frame upright; `aspect` is the width of one of its pixels over their height."""
    colour, wide = colour_of(frame), float(aspect)
    width, height = frame.width * max(wide, 1.0), frame.height / min(wide, 1.0)
    scale = min(1.0, max_side / max(width, height))
    if scale < 1 or wide != 1:
        width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        frame_reshaped = frame.reformat(width, height, interpolation="AREA" if scale < 1 else "BICUBIC")
        frame_reshaped.colorspace = frame.colorspace
        return _upright(to_pixels(frame_reshaped, colour), _turn(frame))
    return _upright(to_pixels(frame, colour), _turn(frame))


def _boxed(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame in the middle of a black one of another size (height, width), as large as it fits."""
    scale = min(size[0] / pixels.shape[0], size[1] / pixels.shape[1])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    result: np.ndarray = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    result[top : top + height, left : left + width] = small
    return result


def _stamped(frames: Iterator[av.VideoFrame], by_decoding: bool) -> Iterator[tuple[av.VideoFrame, int]]:
    """Frames with strictly increasing time stamps; those that repeat an earlier time are dropped.

    Args:
        by_decoding: take the times of decoding, which are in order where those of showing are guesses.
    """
    last, step, first = None, 1, None
    for frame in frames:
        told = frame.dts if by_decoding else frame.pts
        if by_decoding and told is not None:
            first = told if first is None else first  # a decoder holds frames back before it gives the first
            told -= first
        pts = told if told is not None else (0 if last is None else last + step)
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
