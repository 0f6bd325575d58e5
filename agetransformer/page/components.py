"""Gradio's components where they would open photos themselves, write them to disk, or refuse half a number."""

import base64
from io import BytesIO
from typing import Any

import gradio as gr
from gradio.components.imageslider import SliderData
from gradio.data_classes import ImageData
from PIL import Image

from agetransformer.page.uploads import checked_upload

_PREVIEW_QUALITY = 90


class PhotoInput(gr.Image):
    """An image input that hands over the uploaded file itself, whatever its format.

    gr.Image would open the file, and fail with an error page on all that Pillow alone cannot read.
    """

    is_template = True  # drawn by gr.Image's front end

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The path of the uploaded file; None when the photo was taken away."""
        return None if payload is None else checked_upload(payload.path)


class BoundedSlider(gr.Slider):
    """A slider whose number can be typed: what is out of range on the way, as the 3 of 35 is, counts as the end."""

    is_template = True  # drawn by gr.Slider's front end

    def preprocess(self, payload: float | None) -> float:
        """The number within the range; the least where none is typed yet."""
        number = self.minimum if payload is None else payload
        return super().preprocess(min(max(number, self.minimum), self.maximum))


class PreviewSlider(gr.ImageSlider):
    """A before/after view whose pictures travel inside the message: no file is left on the server."""

    is_template = True  # drawn by gr.ImageSlider's front end

    def postprocess(self, value: tuple[Image.Image, Image.Image] | None) -> SliderData | None:
        """Two pictures of the same size."""
        if value is None:
            return None
        return SliderData(root=tuple(ImageData(path=None, url=_data_uri(image)) for image in value))

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "two pictures as data URIs"}


def _data_uri(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_PREVIEW_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
