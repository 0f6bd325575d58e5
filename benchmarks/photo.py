"""A 12-megapixel photo for measuring, made of a small public-domain portrait: real texture, camera-like grain."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
SIZE = (4000, 3000)
_FACE_SIDE = 2500  # px: the portrait in the photo; the square of its face is then about 1000 px
_WALL_FROM = 300  # row of 512 below which the portrait shows clothes only
_GRAIN = 5.0  # standard deviation; with it the JPEG has 3.7 MB, as phones' have


def make_photo(portrait: Path = PORTRAIT, size: tuple[int, int] = SIZE) -> bytes:
    """The bytes of a JPEG: the portrait enlarged, before a wall of copies of its lower part, which shows no face."""
    with Image.open(portrait) as file:
        picture = file.convert("RGB")
    width, height = size
    tile = np.asarray(picture.resize((512, 512)))[_WALL_FROM:]
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    wall = np.tile(tile, (-(-height // len(tile)), -(-width // tile.shape[1]), 1))[:height, :width]
    photo = Image.fromarray(wall)
    side = min(_FACE_SIDE, *size)
    photo.paste(picture.resize((side, side), Image.Resampling.LANCZOS), ((width - side) // 2, (height - side) // 2))
    noise = np.random.default_rng(0)
    grain = noise.normal(0, _GRAIN, (height, width, 1)) + noise.normal(0, 0.6 * _GRAIN, (height, width, 3))
    buffer = io.BytesIO()
    Image.fromarray((photo + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
