"""The steps around the network, each alone: align a face, put five edits of it back, write them as PNGs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from agetransformer import compositing, png
from agetransformer.alignment import FaceFinder, align
from benchmarks.photo import PORTRAIT
from benchmarks.timing import Timing

EDITS = 5


@dataclass(frozen=True)
class StepTimes:
    """Seconds of each step, where the face's square has `size` pixels a side in the photo."""

    size: int
    photo: tuple[int, int]  # width, height in pixels
    find: Timing
    align: Timing
    paste: Timing  # five edits into their photo, with the face's mask
    png: Timing  # five photos to PNG bytes


def photo_with_face(finder: FaceFinder, size: int) -> Image.Image:
    """A photo whose face has a square of `size` pixels a side: a portrait, enlarged or reduced."""
    with Image.open(PORTRAIT) as file:
        portrait = file.convert("RGB")
    (face, *_) = finder.find(portrait)
    scale = size / face.side
    return portrait.resize((round(portrait.width * scale), round(portrait.height * scale)), Image.Resampling.LANCZOS)


def time_steps(size: int, rounds: int) -> StepTimes:
    """Each step `rounds` times, one after the other in each round, after one round that does not count."""
    with FaceFinder() as finder:
        photo = photo_with_face(finder, size)
        pixels = np.asarray(photo)
        geometry = finder.find(photo)[0]
        square = align(pixels, geometry, size)
        noise = np.random.default_rng(0).integers(-20, 21, (EDITS, size, size, 3))
        edits = (square + noise).clip(0, 255).astype(np.uint8)

        def paste_all() -> list[Image.Image]:
            mask = compositing.face_mask(geometry, size)[..., None]
            changes = ((edit.astype(np.float32) - square) * mask for edit in edits)
            return [compositing.paste_image(photo, [(change, geometry)]) for change in changes]

        pasted = [np.asarray(image) for image in paste_all()]

        def compress_all() -> None:
            alike = None
            for image in pasted:
                alike = png.compress_pixels(image, alike)

        steps: dict[str, Callable[[], object]] = {
            "find": lambda: finder.find(photo),
            "align": lambda: align(pixels, geometry, size),
            "paste": paste_all,
            "png": compress_all,
        }
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(rounds + 1):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)
    return StepTimes(size, photo.size, **{name: Timing.of(values[1:]) for name, values in seconds.items()})


def describe_steps(times: StepTimes) -> str:
    """One line."""
    parts = {"find": times.find, "align": times.align, "paste 5": times.paste, "5 PNGs": times.png}
    told = ", ".join(f"{name} {timing.median * 1e3:.1f} ms" for name, timing in parts.items())
    return f"{times.size:4d} px face in a photo of {times.photo[0]} x {times.photo[1]}: {told}"
