"""The named API endpoints, shown by /info and used by gradio_client. They keep no state between two calls."""

import gradio as gr
from gradio.data_classes import FileDataDict

from agetransformer.imageio import load_photo
from agetransformer.page.errors import as_sentences
from agetransformer.page.gpu import on_gpu
from agetransformer.page.studio import Studio


def add_endpoints(studio: Studio, concurrency_id: str) -> None:
    """Register the endpoints in the gr.Blocks that is being built."""
    grid_ages = list(studio.config.grid_ages)

    @on_gpu
    def estimate_age(photo: FileDataDict) -> list[float]:
        """Estimate the apparent age of every face in a photo.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most.
        Returns the ages in years, largest face first; an empty list when there is no face.
        """
        with as_sentences():
            return [round(float(face.age), 1) for face in studio.editor.find_faces(load_photo(photo["path"]))]

    @on_gpu
    def edit(photo: FileDataDict, ages: list[float] | None = None, face: int = 0) -> list[FileDataDict]:
        """Change the age of one face in a photo, and keep the rest of the photo as it is.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most.
        ages: target ages in years, 20 to 69, fractions allowed, 10 at most; without it 25, 35, 45, 55 and 65.
        face: which face, counted from 0, largest first.
        Returns one PNG for each age, as large as the photo.
        """
        with as_sentences():
            targets = grid_ages if ages is None else ages
            visit = studio.open(photo["path"], face)
            try:
                photos = zip(targets, studio.photos_at(visit, targets), strict=True)
                return [_file(studio.save(image, f"age_{age:g}", age)) for age, image in photos]
            finally:
                studio.close(visit)

    @on_gpu
    def age_grid(photo: FileDataDict, face: int = 0) -> FileDataDict:
        """Draw one face at 25, 35, 45, 55 and 65 beside its original, the nearest age in a yellow frame.

        photo: an image file (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF), 20 MB and 50 megapixels at most.
        face: which face, counted from 0, largest first.
        Returns one PNG.
        """
        with as_sentences():
            visit = studio.open(photo["path"], face)
            try:
                return _file(studio.save(studio.grid(visit), "ages", grid_ages))
            finally:
                studio.close(visit)

    for function in (estimate_age, edit, age_grid):
        gr.api(function, api_name=function.__name__, concurrency_id=concurrency_id)


def _file(path: str) -> FileDataDict:
    return gr.FileData(path=path, orig_name=path.rsplit("/", 1)[-1], mime_type="image/png").model_dump()
