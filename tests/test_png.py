"""PNG files against other readers: Pillow and OpenCV for the pixels, zlib for the checksums."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from agetransformer import png
from agetransformer.imageio import save_png, save_pngs


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def written(picture: png.PngPixels) -> bytes:
    return b"".join(png.png_bytes(picture))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk, its checksum verified with zlib."""
    position, found = 8, []
    while position < len(data):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        body = data[position + 8 : position + 8 + length]
        assert int.from_bytes(data[position + 8 + length : position + 12 + length]) == zlib.crc32(kind + body)
        found.append((kind, body))
        position += 12 + length
    return found


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (3, 400_000), (900, 1300)])
def test_other_readers_see_the_same_pixels(size):
    pixels = noise(*size)
    data = written(png.compress_pixels(pixels))
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), pixels)
    # zlib checks the Adler-32 of the whole stream.
    stream = b"".join(body for kind, body in chunks(data) if kind == b"IDAT")
    assert len(zlib.decompress(stream)) == size[0] * (1 + 3 * size[1])


def test_an_image_that_is_no_contiguous_array():
    pixels = noise(40, 60)[::-1, ::2]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(written(png.compress_pixels(pixels))))), pixels)


def test_equal_blocks_are_compressed_once(monkeypatch):
    first = noise(2000, 1000)
    second = first.copy()
    second[1000:1010, 300:400] += 1
    known = png.compress_pixels(first)
    compressed: list[int] = []
    original = png._compress_block

    def counted(pixels: np.ndarray, first: bool) -> tuple[bytes, int]:
        compressed.append(len(pixels))
        return original(pixels, first)

    monkeypatch.setattr(png, "_compress_block", counted)
    reused = png.compress_pixels(second, known)
    assert len(known.blocks) > 4 and len(compressed) <= 2
    assert written(reused) == written(png.compress_pixels(second))
    other_size = png.compress_pixels(noise(1000, 2000), known)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(written(other_size)))), noise(1000, 2000))


def test_no_larger_than_zlib_makes_it():
    """A photo-like picture: smooth with grain. Pillow's own encoder at its default level is the yardstick."""
    smooth = cv2.resize(noise(20, 30), (1500, 1000), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    pixels = (smooth + np.random.default_rng(1).normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(written(png.compress_pixels(pixels))) < 1.1 * len(buffer.getvalue())


def test_saved_pictures_of_one_series(tmp_path):
    first, second = noise(300, 2000), noise(300, 2000)
    second[250:260] = 0
    known = save_png(Image.fromarray(first), tmp_path / "25.png", age=25, model="m")
    save_png(Image.fromarray(second), tmp_path / "65.png", age=65, model="m", alike=known)
    for name, pixels in (("25", first), ("65", second)):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert np.array_equal(np.asarray(image), pixels)
            assert f"age was changed to {name} by m" in image.text["Description"]


def test_a_series_is_written_while_the_next_is_made(tmp_path):
    made: list[float] = []

    def results():
        for age in (25.0, 45.0, 65.0):
            made.append(age)
            yield Image.fromarray(noise(64, 64, int(age))), tmp_path / f"{age:g}.png", age

    for path in save_pngs(results(), "m"):
        assert path.is_file()
    assert made == [25.0, 45.0, 65.0] and len(list(tmp_path.iterdir())) == 3
    with Image.open(tmp_path / "45.png") as image:
        assert np.array_equal(np.asarray(image), noise(64, 64, 45)) and "to 45 by m" in image.text["Description"]
    with pytest.raises(OSError):
        list(save_pngs([(Image.fromarray(noise(4, 4)), tmp_path / "missing" / "1.png", 1.0)], "m"))
