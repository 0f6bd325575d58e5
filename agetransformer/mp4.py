"""What the ageing sweep and the edited video share: H.264 for any browser, in an MP4 that says it is AI-edited."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from agetransformer.files import written_whole
from agetransformer.imageio import DIGITAL_SOURCE_TYPE, disclosure, disclosure_xmp

# Top-level box that holds an XMP packet (Adobe, XMP Specification Part 3, section 1.2.6 "MPEG-4").
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
# The default rounds chroma down by up to a grey level.
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True)
class Colour:
    """How the numbers of a video's pixels are to be read (ITU-T H.273)."""

    matrix: int = Colorspace.ITU709
    primaries: int = ColorPrimaries.BT709
    transfer: int = ColorTrc.BT709


@contextmanager
def writing_mp4(path: str | os.PathLike[str], ages: Sequence[float], model: str) -> Iterator[OutputContainer]:
    """An MP4 to add streams to; it appears under `path` only when it is whole, with the disclosure in it.

    Args:
        ages: target ages in years, for the disclosure.
        model: name and revision of the checkpoint.
    Raises:
        OSError: it cannot be written.
    """
    with written_whole(path) as aside:
        try:
            # file: a name with a colon is no protocol; faststart: the index first, so that it plays while it loads
            with av.open(f"file:{aside}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
                container.metadata["comment"] = f"{disclosure(ages, model)} DigitalSourceType: {DIGITAL_SOURCE_TYPE}"
                yield container
        except av.FFmpegError as error:
            raise OSError(error.errno, f"the video cannot be written ({error.strerror})") from error
        packet = disclosure_xmp(ages, model).encode()
        with open(aside, "ab") as file:
            file.write(struct.pack(">I", 24 + len(packet)) + b"uuid" + _XMP_BOX + packet)


def add_h264(
    container: OutputContainer,
    size: tuple[int, int],
    rate: Fraction,
    time_base: Fraction,
    colour: Colour,
    *,
    crf: int,
    preset: str,
) -> VideoStream:
    """A video stream for frames of `to_frame`.

    Args:
        size: (width, height) of the pixels in them.
        rate: frames a second, on average.
        time_base: unit of their time stamps in seconds.
        crf: x264's quality, 18 is visually lossless.
        preset: x264's speed.
    """
    stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": preset})
    stream.width, stream.height = (side + side % 2 for side in size)
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = time_base
    stream.colorspace = colour.matrix
    stream.color_primaries = colour.primaries
    stream.color_trc = colour.transfer
    stream.color_range = ColorRange.MPEG
    return stream


def to_frame(pixels: np.ndarray, colour: Colour) -> av.VideoFrame:
    """RGB [H, W, 3] uint8 -> yuv420p; an odd side gets its last pixels twice, because 4:2:0 has only even sides."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(
        format="yuv420p", dst_colorspace=colour.matrix, dst_color_range=ColorRange.MPEG, interpolation=_SCALER
    )
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def to_pixels(frame: av.VideoFrame, colour: Colour) -> np.ndarray:
    """A decoded frame -> RGB [H, W, 3] uint8, as it is stored (rotation not applied)."""
    return frame.to_ndarray(format="rgb24", src_colorspace=colour.matrix, interpolation=_SCALER)
