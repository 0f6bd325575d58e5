"""The named API endpoints, shown by /info and used by gradio_client. They keep no state between two calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import gradio as gr
from gradio.data_classes import FileDataDict
from PIL import Image

from agetransformer.animation import SUFFIXES
from agetransformer.page.errors import as_sentences
from agetransformer.page.gpu import on_gpu
from agetransformer.page.studio import Look, Studio, Visit
from agetransformer.page.uploads import checked_upload


def add_endpoints(studio: Studio, concurrency_id: str) -> None:
    """Register the endpoints in the gr.Blocks that is being built."""
    grid_ages = list(studio.config.grid_ages)

    @contextmanager
    def visiting(photo: FileDataDict, face: int, all_faces: bool) -> Iterator[tuple[Visit, Image.Image]]:
        _require_flags(all_faces=all_faces)
        if not all_faces and (not isinstance(face, int) or isinstance(face, bool)):
            raise gr.Error(f"face is a whole number, not {face!r}.", print_exception=False)
        path = _uploaded(photo)
        picture = studio.read(path)
        visit = studio.open(path, None if all_faces else face, picture)
        try:
            yield visit, picture
        finally:
            studio.close(visit)

    @on_gpu
    def estimate_age(photo: FileDataDict) -> list[float]:
        """Estimate the apparent age of the faces in a photo, the 8 largest at most.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most;
            in Python handle_file("portrait.jpg") of gradio_client.
        Returns the ages in years, largest face first; an empty list when there is no face.
        """
        with as_sentences():
            faces = studio.editor.find_faces(studio.read(_uploaded(photo)), studio.config.max_faces)
            return [round(float(face.age), 1) for face in faces]

    @on_gpu
    def edit(
        photo: FileDataDict,
        ages: list[float] | None = None,
        face: int = 0,
        all_faces: bool = False,
        strength: float = 1.0,
        hair: bool = True,
        mark: bool = False,
    ) -> list[FileDataDict]:
        """Change the age of one face in a photo, or of all, and keep the rest of the photo as it is.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most;
            in Python handle_file("portrait.jpg") of gradio_client.
        ages: target ages in years, 20 to 69, fractions allowed, 10 at most; without it 25, 35, 45, 55 and 65.
        face: which of the 8 largest faces, counted from 0, largest first.
        all_faces: edit every face (the 8 largest at most) instead of one.
        strength: of the change, 0 to 1.5; 1 is what the age asks for.
        hair: let the hair change too; otherwise the face alone.
        mark: write "AI-edited" into the lower right corner.
        Returns one PNG for each age, as large as the photo.
        """
        with as_sentences():
            _require_flags(hair=hair, mark=mark)
            targets = grid_ages if ages is None else _numbers(ages, "ages")
            look = Look(_number(strength, "strength"), hair)
            with visiting(photo, face, all_faces) as (visit, picture):
                return [_file(path, "image/png") for path in studio.save_photos(visit, targets, look, mark, picture)]

    @on_gpu
    def age_grid(
        photo: FileDataDict,
        face: int = 0,
        all_faces: bool = False,
        strength: float = 1.0,
        hair: bool = True,
        mark: bool = False,
    ) -> FileDataDict:
        """Draw a face at 25, 35, 45, 55 and 65 beside its original, the nearest age in a yellow frame.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most;
            in Python handle_file("portrait.jpg") of gradio_client.
        face: which of the 8 largest faces, counted from 0, largest first.
        all_faces: a row for every face (the 8 largest at most) instead of one.
        strength: of the change, 0 to 1.5; 1 is what the age asks for.
        hair: let the hair change too; otherwise the face alone.
        mark: write "AI-edited" into the lower right corner.
        Returns one PNG.
        """
        with as_sentences():
            _require_flags(hair=hair, mark=mark)
            look = Look(_number(strength, "strength"), hair)
            with visiting(photo, face, all_faces) as (visit, _):
                return _file(studio.save(studio.grid(visit, look), "ages", grid_ages, mark), "image/png")

    @on_gpu
    def sweep(
        photo: FileDataDict,
        format: Literal["mp4", "gif", "webp"] = "mp4",
        face: int = 0,
        all_faces: bool = False,
        youngest: float = 20.0,
        oldest: float = 69.0,
        strength: float = 1.0,
        hair: bool = True,
        mark: bool = False,
    ) -> FileDataDict:
        """Make a short film of the photo in which the face runs through the ages and back.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most;
            in Python handle_file("portrait.jpg") of gradio_client.
        format: of the film: "mp4", "gif" or "webp".
        face: which of the 8 largest faces, counted from 0, largest first.
        all_faces: every face ages (the 8 largest at most) instead of one.
        youngest: age in years that the film starts and ends with, 20 or more.
        oldest: age in years in the middle of the film, 69 or less.
        strength: of the change, 0 to 1.5; 1 is what the age asks for.
        hair: let the hair change too; otherwise the face alone.
        mark: write "AI-edited" into the lower right corner.
        Returns one film of 768 pixels at most.
        """
        with as_sentences():
            _require_flags(hair=hair, mark=mark)
            look, suffix = Look(_number(strength, "strength"), hair), f".{format}"
            if suffix not in SUFFIXES:
                raise gr.Error(f"The format is one of mp4, gif and webp, not {format!r}.", print_exception=False)
            config = studio.sweep(look, _number(youngest, "youngest"), _number(oldest, "oldest"))
            with visiting(photo, face, all_faces) as (visit, _):
                return _file(studio.save_film(studio.film(visit, config), suffix, config, mark), _MIME[suffix])

    for function in (estimate_age, edit, age_grid, sweep):
        gr.api(function, api_name=function.__name__, concurrency_id=concurrency_id)


def _uploaded(photo: FileDataDict) -> str:
    return checked_upload(photo.get("path") if isinstance(photo, dict) else None)


def _number(value: float, name: str) -> float:
    """gradio passes on whatever the client sends."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise gr.Error(f"{name} is a number, not {value!r}.", print_exception=False)
    return value


def _require_flags(**flags: object) -> None:
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise gr.Error(f"{name} is true or false, not {value!r}.", print_exception=False)


def _numbers(values: list[float], name: str) -> list[float]:
    if not isinstance(values, list):
        raise gr.Error(f"{name} is a list of numbers, not {values!r}.", print_exception=False)
    return [_number(value, f"each of {name}") for value in values]


_MIME = {".mp4": "video/mp4", ".gif": "image/gif", ".webp": "image/webp"}


def _file(path: str, mime_type: str) -> FileDataDict:
    data = gr.FileData(path=path, orig_name=path.rsplit("/", 1)[-1], mime_type=mime_type).model_dump()
    return cast(FileDataDict, data)
