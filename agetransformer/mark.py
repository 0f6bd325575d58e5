"""A small visible label for results: "AI-edited" in the lower right corner."""

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "AI-edited"
_HEIGHT = 0.026  # font size as a fraction of the picture's geometric mean side
_SMALLEST = 12  # px of the font, the least that is read easily
_ACROSS, _DOWN = 0.5, 0.28  # of the font size: from the letters to the plate's edge
_MARGIN = 0.6  # of the font size: from the plate to the picture's edge
_PLATE, _INK = (0, 0, 0, 150), (255, 255, 255, 240)  # white on a dark veil: legible on any photo
_SCALE = 4  # drawn so many times larger and shrunk, for smooth round corners


def add_mark(image: Image.Image | np.ndarray) -> Image.Image:
    """The picture with the label, as a new RGB image of the same size; nothing but the label's plate changes.

    The font is 2.6 % of the picture's side, but 12 pixels at least; in a picture too small for that it shrinks to fit.

    Args:
        image: a picture, or its RGB pixels [H, W, 3] uint8.
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    result = image.copy() if image.mode == "RGB" else image.convert("RGB")
    font = max(_SMALLEST, _HEIGHT * (result.width * result.height) ** 0.5)
    plate = _plate(round(font * _SCALE))
    width, height = plate.width / _SCALE, plate.height / _SCALE
    margin = _MARGIN * font
    shrink = min(1.0, result.width / (width + 2 * margin), result.height / (height + 2 * margin))
    size = [max(1, round(side * shrink)) for side in (width, height)]
    plate = plate.resize(size, Image.Resampling.LANCZOS)
    corner = [max(0, round(whole - margin * shrink) - side) for whole, side in zip(result.size, size, strict=True)]
    result.paste(plate, tuple(corner), plate)
    return result


def _plate(font_size: int) -> Image.Image:
    """RGBA: the letters on a dark plate with round ends."""
    font = ImageFont.load_default(font_size)
    left, top, right, bottom = font.getbbox(TEXT)
    across, down = round(_ACROSS * font_size), round(_DOWN * font_size)
    size = (round(right - left) + 2 * across, round(bottom - top) + 2 * down)
    plate = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(plate)
    draw.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), size[1] / 2, fill=_PLATE)
    draw.text((across - left, down - top), TEXT, _INK, font)
    return plate


def mark_frames(frames: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Frames of a film with the mark; one that comes again is the same picture again, which GIFs are smaller by."""
    made: dict[int, tuple[Image.Image, Image.Image]] = {}
    for frame in frames:
        if id(frame) not in made:
            made[id(frame)] = (frame, add_mark(frame))  # with the frame itself, so that its id stays its own
        yield made[id(frame)][1]
