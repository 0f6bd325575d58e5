"""A running page with an editor whose edits can be checked to the pixel.

Faces are drawn as squares of one pure colour; an edit paints the square in a grey that tells the age. So a test can
say where an edit must be, which age it is, whose it is, and that nothing else moved. "Hair and neck" are a margin
around the square.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from agetransformer.alignment import FaceGeometry
from agetransformer.editor import MOST_FACES
from agetransformer.faces import Face, Neighbour
from agetransformer.imageio import load_photo
from agetransformer.page.config import PageConfig

BACKGROUND = (120, 140, 160)
COLOURS = {(255, 0, 0): 33.0, (0, 255, 0): 52.0, (0, 0, 255): 24.0}  # of a face -> its detected age


def draw_photo(path: Path, size: tuple[int, int], *faces: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Path:
    """A photo with a square for each face: (colour, (left, top, side))."""
    photo = Image.new("RGB", size, BACKGROUND)
    for colour, (left, top, side) in faces:
        photo.paste(colour, (left, top, left + side, top + side))
    photo.save(path)
    return path


MARGIN = 24  # pixels at the border of the square that stay without the hair


def grey_of(age: float) -> int:
    return round(age * 3)


@dataclass(frozen=True)
class SquareEncoding:
    face: Face


@dataclass(frozen=True)
class EditedSquare:
    face: Face
    masked: Image.Image
    hair: bool


class SquareEditor:
    """What the page needs of an AgeEditor."""

    name = "squares@test"

    def find_faces(self, photo: Image.Image | str, most: int = MOST_FACES) -> list[Face]:
        image = load_photo(photo)
        pixels = np.asarray(image)
        found = []
        for colour, age in COLOURS.items():
            near = np.abs(pixels.astype(int) - colour).max(axis=2) <= 8  # photos in lossy formats are welcome
            rows, columns = np.nonzero(near)
            if len(rows):
                left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                quad = np.array([[left, top], [left, bottom], [right, bottom], [right, top]], dtype=np.float64)
                geometry = FaceGeometry(_oval(quad), quad, {})
                found.append(Face(geometry, image.crop((left, top, right, bottom)), age))
        others = (Neighbour(0, 0, 1),) * (len(found) - 1)
        return [replace(face, neighbours=others) for face in sorted(found, key=lambda face: -face.image.width)][:most]

    def encode(self, face: Face, hair: bool = True) -> SquareEncoding:
        return SquareEncoding(face)

    def decode(
        self, encoding: SquareEncoding, ages: Sequence[float], strength: float = 1.0, hair: bool = True
    ) -> list["EditedSquare"]:
        image = encoding.face.image
        greys = (Image.new("RGB", image.size, (grey_of(age),) * 3) for age in ages)
        return [EditedSquare(encoding.face, Image.blend(image, grey, strength), hair) for grey in greys]

    def paste(self, photo: Image.Image, edited: "EditedSquare") -> Image.Image:
        margin = 0 if edited.hair else -MARGIN
        quad = edited.face.geometry.quad
        left, top = (round(float(value)) - margin for value in quad.min(axis=0))
        right, bottom = (round(float(value)) + margin for value in quad.max(axis=0))
        result = photo.copy()
        result.paste(edited.masked.resize((right - left, bottom - top)), (left, top))
        return result

    def paste_pixels(self, photo: np.ndarray, edited: "EditedSquare") -> np.ndarray:
        return np.asarray(self.paste(Image.fromarray(photo), edited))


class SlowEditor(SquareEditor):
    """Takes its time to find faces, so that requests pile up."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    def find_faces(self, photo: Image.Image | str, most: int = MOST_FACES) -> list[Face]:
        time.sleep(self._seconds)
        return super().find_faces(photo, most)


class HeldEditor(SquareEditor):
    """Finds no face before it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def find_faces(self, photo: Image.Image | str, most: int = MOST_FACES) -> list[Face]:
        assert self.go_on.wait(120)
        return super().find_faces(photo, most)


class SlowDecoder(SquareEditor):
    """Takes its time for each age, so that requests overtake its answers."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    def decode(self, *arguments, **named) -> list["EditedSquare"]:
        time.sleep(self._seconds)
        return super().decode(*arguments, **named)


def _oval(quad: np.ndarray) -> np.ndarray:
    """Landmarks [478, 2] on an ellipse inside a face's square."""
    angles = np.linspace(0, 2 * np.pi, 478)
    side = np.ptp(quad[:, 0])
    oval = np.column_stack([0.3 * np.cos(angles), 0.07 + 0.32 * np.sin(angles)])
    return (oval * side + quad.mean(axis=0)).astype(np.float32)


@contextmanager
def running_page(editor: object, files: Path, config: PageConfig | None = None) -> Iterator[str]:
    """The real server on a free port of this machine, with its files under `files`; gives its address."""
    previous = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(files)
    try:
        from app import build_app, launch_app

        config = config or PageConfig()
        page = build_app(editor, config)
        try:
            yield launch_app(page, config)
        finally:
            page.close()
    finally:
        if previous is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = previous
