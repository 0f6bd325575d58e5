"""Contact sheets: one row a face, one column a picture, a caption over each column."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CAPTION_HEIGHT = 24


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], size: int) -> Image.Image:
    """Put square images [S, S, 3] uint8 on one sheet, `size` pixels each.

    Raises:
        ValueError: no rows, or a row that is not as long as the captions.
    """
    if not rows or any(len(row) != len(captions) for row in rows):
        raise ValueError(f"a contact sheet needs rows of {len(captions)} images each")
    sheet = Image.new("RGB", (size * len(captions), CAPTION_HEIGHT + size * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for column, caption in enumerate(captions):
        draw.text((size * (column + 0.5), CAPTION_HEIGHT / 2), caption, "black", font, anchor="mm")
    for line, row in enumerate(rows):
        for column, image in enumerate(row):
            picture = Image.fromarray(image)
            if picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.LANCZOS)
            sheet.paste(picture, (size * column, CAPTION_HEIGHT + size * line))
    return sheet


def save_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], size: int) -> None:
    """Write `contact_sheet` as a PNG."""
    contact_sheet(rows, captions, size).save(path)
