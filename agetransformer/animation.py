"""An ageing sweep: one face of a photo runs through the ages and back, as MP4, GIF or WebP."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from agetransformer.editor import AgeEditor, FaceEncoding, check_age
from agetransformer.files import written_whole
from agetransformer.imageio import DIGITAL_SOURCE_TYPE, disclosure, disclosure_xmp

if TYPE_CHECKING:
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".gif", ".webp")
_GIF_COLOURS = 255  # and one that Pillow needs for pixels that stay as they are
_PALETTE_SIDE = 192  # px: frames are shrunk to this to choose the GIF's palette


@dataclass(frozen=True)
class SweepConfig:
    """A loop of 48 frames in 3.8 seconds; 12.5 frames a second are 80 ms each, which a GIF can say exactly."""

    youngest: float = 20
    oldest: float = 69
    frames: int = 25  # from the youngest to the oldest
    frames_per_second: float = 12.5
    max_side: int = 768  # px of the longer side
    there_and_back: bool = True
    strength: float = 1.0  # of the change, as in `AgeEditor.decode`
    hair: bool = True  # its colour changes too

    def __post_init__(self) -> None:
        if check_age(self.youngest) >= check_age(self.oldest):
            raise ValueError(f"the sweep starts at {self.youngest:g}, so it must end later than at {self.oldest:g}")
        if self.frames < 2 or self.max_side < 16 or not 1 <= self.frames_per_second <= 60:
            raise ValueError("a sweep needs two frames or more, 16 pixels or more, and 1 to 60 frames a second")


def sweep_ages(config: SweepConfig) -> list[float]:
    """The age of each frame in years. It slows down at both ends, so that the turn is soft and the ends can be seen."""
    ages = [
        config.youngest + (config.oldest - config.youngest) * (1 - math.cos(math.pi * step / (config.frames - 1))) / 2
        for step in range(config.frames)
    ]
    return ages + ages[-2:0:-1] if config.there_and_back else ages


def sweep_frames(
    editor: AgeEditor, photo: Image.Image, encoding: FaceEncoding, config: SweepConfig
) -> Iterator[Image.Image]:
    """The photo, `max_side` pixels at most, with the face at each of `sweep_ages`.

    Every age is decoded once, and only the region of the face and its hair is drawn; the frames of the way back are
    those of the way out.

    Args:
        photo: RGB, the one that the face was found in.
        encoding: `editor.encode(face)`, at the photo's full size.
    Raises:
        ValueError: the photo does not belong to the face.
    """
    small, encoding = _fit(photo, encoding, config.max_side)
    pixels = np.asarray(small)
    frames: dict[float, Image.Image] = {}
    for age in sweep_ages(config):
        if age not in frames:
            (edited,) = editor.decode(encoding, [age], config.strength, config.hair)
            frames[age] = Image.fromarray(editor.paste_pixels(pixels, edited))
        yield frames[age]


def save_sweep(frames: Iterable[Image.Image], path: str | os.PathLike[str], config: SweepConfig, model: str) -> None:
    """Write frames as an endless animation that says it is AI-edited; nothing from the images' `info` is written.

    Args:
        frames: RGB, all of one size; odd sizes are fine.
        path: ends in .mp4 (H.264, yuv420p), .gif or .webp.
        model: name and revision of the checkpoint.
    Raises:
        ValueError: another ending, or no frames.
    """
    path = Path(path)
    writers = {".mp4": _save_mp4, ".gif": _save_gif, ".webp": _save_webp}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise ValueError(f"a sweep is saved as {', '.join(SUFFIXES)}, not as {path.suffix or path.name!r}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("a sweep needs at least one frame")
    writer(chain([first], frames), path, config, model)


def _fit(photo: Image.Image, encoding: FaceEncoding, max_side: int) -> tuple[Image.Image, FaceEncoding]:
    """Photo and face shrunk so that the longer side has `max_side` pixels at most; what is encoded stays the same."""
    scale = max_side / max(photo.size)
    if scale >= 1:
        return photo, encoding
    small = photo.resize([max(1, round(side * scale)) for side in photo.size], Image.Resampling.LANCZOS)
    return small, replace(encoding, face=encoding.face.scaled(np.array(small.size) / photo.size))


def _ages(config: SweepConfig) -> Sequence[float]:
    """What the disclosure names: the ends of the sweep."""
    return [config.youngest, config.oldest]


def _save_mp4(frames: Iterator[Image.Image], path: Path, config: SweepConfig, model: str) -> None:
    from agetransformer.mp4 import Colour, add_h264, to_frame, writing_mp4

    rate, colour = Fraction(config.frames_per_second).limit_denominator(1001), Colour()
    with writing_mp4(path, _ages(config), model) as container:
        stream: VideoStream | None = None
        for index, image in enumerate(frames):
            if stream is None:
                stream = add_h264(container, image.size, rate, 1 / rate, colour, crf=18, preset="medium")
            frame = to_frame(np.asarray(image.convert("RGB")), colour)
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))


def _save_webp(frames: Iterator[Image.Image], path: Path, config: SweepConfig, model: str) -> None:
    first = next(frames)
    with written_whole(path) as aside:
        first.save(
            aside,
            format="WEBP",
            save_all=True,
            append_images=frames,
            duration=round(1000 / config.frames_per_second),
            loop=0,
            quality=85,
            method=2,
            exif=b"",
            icc_profile=b"",
            xmp=disclosure_xmp(_ages(config), model).encode(),
        )


def _save_gif(frames: Iterator[Image.Image], path: Path, config: SweepConfig, model: str) -> None:
    first, *others = _in_one_palette(list(frames))
    comment = f"{disclosure(_ages(config), model)} DigitalSourceType: {DIGITAL_SOURCE_TYPE}"
    with written_whole(path) as aside:
        first.save(
            aside,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=round(100 / config.frames_per_second) * 10,  # GIF counts in hundredths of a second
            loop=0,
            disposal=1,
            comment=comment.encode(),
        )


def _in_one_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """RGB -> palette. What does not move keeps its dots; a dithered background would shimmer otherwise."""
    # Both ends and the middle, of a sweep that comes back as of one that does not.
    sample = [frames[index * (len(frames) - 1) // 4] for index in range(5)]
    sample = [frame.resize((_PALETTE_SIDE, _PALETTE_SIDE), Image.Resampling.NEAREST) for frame in sample]
    mosaic = Image.fromarray(np.hstack([np.asarray(frame) for frame in sample]))
    palette = mosaic.quantize(_GIF_COLOURS, Image.Quantize.MEDIANCUT, kmeans=2)
    still = np.asarray(frames[0])
    still_dots = np.asarray(frames[0].quantize(palette=palette))
    reduced: dict[int, Image.Image] = {}  # a frame of the way back is that of the way out
    for frame in frames:
        if id(frame) not in reduced:
            dots = np.asarray(frame.quantize(palette=palette))
            moved = (np.asarray(frame) != still).any(axis=2)
            result = Image.fromarray(np.where(moved, dots, still_dots))
            result.putpalette(palette.getpalette() or [])
            reduced[id(frame)] = result
    return [reduced[id(frame)] for frame in frames]
