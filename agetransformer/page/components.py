"""Gradio's components where they would open photos themselves, write them to disk, or refuse half a number."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.imageslider import SliderData
from gradio.data_classes import ImageData
from PIL import Image

from agetransformer.page import figures
from agetransformer.page.uploads import checked_upload, require_file


class PhotoInput(gr.Image):
    """An image input that hands over the uploaded file itself, whatever its format.

    gr.Image would open the file, and fail with an error page on all that Pillow alone cannot read.
    """

    is_template = True  # drawn by gr.Image's front end

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The path of the uploaded file; None when the photo was taken away."""
        return None if payload is None else checked_upload(payload.path)

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        require_file(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class FileInput(gr.File):
    """A file input that takes files alone, no addresses."""

    is_template = True  # drawn by gr.File's front end

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        require_file(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class BoundedSlider(gr.Slider):
    """A slider whose number can be typed: what is out of range on the way, as the 3 of 35 is, counts as the end."""

    is_template = True  # drawn by gr.Slider's front end

    def preprocess(self, payload: float | None) -> float:
        """The number within the range; the least where none is typed yet."""
        number = self.minimum if payload is None else payload
        return super().preprocess(min(max(number, self.minimum), self.maximum))


class PreviewSlider(gr.ImageSlider):
    """A before/after view whose pictures travel inside the message: no file is left on the server.

    Each is a picture, or what `figures.data_uri` made of it.
    """

    is_template = True  # drawn by gr.ImageSlider's front end

    def postprocess(self, value: tuple[Image.Image | str, Image.Image | str] | None) -> SliderData | None:
        """Two pictures of the same size."""
        if value is None:
            return None
        addresses = (
            image if isinstance(image, str) else figures.data_uri(image, figures.PREVIEW_QUALITY) for image in value
        )
        return SliderData(root=tuple(ImageData(path=None, url=address) for address in addresses))

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "two pictures as data URIs"}
