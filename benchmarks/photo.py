"""A 12-megapixel photo for measuring, made of a small public-domain portrait: real texture, camera-like grain."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
SIZE = (4000, 3000)
_FACE_SIDE = 2500  # px: the portrait in the photo; the square of its face is then about 1000 px
_OUT_OF_FOCUS = 40  # px
_GRAIN = 5.0  # standard deviation; with it the JPEG has 3.1 MB, as phones' have


def make_photo(portrait: Path = PORTRAIT, size: tuple[int, int] = SIZE) -> bytes:
    """The bytes of a JPEG: the portrait enlarged, in front of itself out of focus."""
    with Image.open(portrait) as file:
        picture = file.convert("RGB")
    width, height = size
    photo = picture.resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(_OUT_OF_FOCUS))
    side = min(_FACE_SIDE, *size)
    photo.paste(picture.resize((side, side), Image.Resampling.LANCZOS), ((width - side) // 2, (height - side) // 2))
    noise = np.random.default_rng(0)
    grain = noise.normal(0, _GRAIN, (height, width, 1)) + noise.normal(0, 0.6 * _GRAIN, (height, width, 3))
    buffer = io.BytesIO()
    Image.fromarray((photo + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
