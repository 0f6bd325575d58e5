"""Intake: a corpus of every format and defect is made here and must come back upright and right, or be refused."""

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin, TiffTags
from PIL.PngImagePlugin import PngInfo

from agetransformer.imageio import DIGITAL_SOURCE_TYPE, PhotoError, load_photo, save_png

SIZE = (96, 64)
# The corners of the picture, upright: top left, top right, bottom left, bottom right.
CORNERS = ((200, 40, 40), (40, 180, 40), (40, 40, 200), (210, 200, 50))
# Where row 0 and column 0 of the stored pixels lie, and the numpy operation that stores an upright picture that way.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def picture() -> Image.Image:
    """Four plain quarters, a different colour each: shows any flip, turn or colour error."""
    width, height = SIZE
    pixels = np.zeros((height, width, 3), np.uint8)
    for index, colour in enumerate(CORNERS):
        top, left = index // 2 * height // 2, index % 2 * width // 2
        pixels[top : top + height // 2, left : left + width // 2] = colour
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def assert_is_picture(image: Image.Image, tolerance: int, corners: tuple = CORNERS) -> None:
    assert (image.mode, image.size, image.info) == ("RGB", SIZE, {})
    assert len(image.getexif()) == 0
    for index, colour in enumerate(corners):
        row, column = divmod(index, 2)
        centre = (SIZE[0] // 4 + column * SIZE[0] // 2, SIZE[1] // 4 + row * SIZE[1] // 2)
        difference = np.abs(np.array(image.getpixel(centre)) - colour).max()
        assert difference <= tolerance, (centre, image.getpixel(centre), colour)


def grey_corners() -> tuple:
    grey = picture().convert("L")
    return tuple((grey.getpixel(point),) * 3 for point in ((9, 9), (80, 9), (9, 60), (80, 60)))


def png_16_bit_rgb() -> bytes:
    """Pillow cannot write 16-bit RGB PNG: written by hand."""
    rows = (np.asarray(picture()).astype(np.uint16) * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", *SIZE, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def plain_formats() -> dict[str, tuple[bytes, int]]:
    """Name -> (file, how far a pixel may be off)."""
    upright = picture()
    second = Image.new("RGB", SIZE, "black")
    return {
        "jpeg": (encode(upright, "JPEG", quality=95), 6),
        "progressive.jpeg": (encode(upright, "JPEG", quality=95, progressive=True), 6),
        "mpo.jpeg": (encode(upright, "MPO", quality=95, save_all=True, append_images=[second]), 6),
        "png": (encode(upright, "PNG"), 0),
        "16 bit rgb.png": (png_16_bit_rgb(), 0),
        "webp": (encode(upright, "WEBP", lossless=True), 0),
        "animated.webp": (encode(upright, "WEBP", lossless=True, save_all=True, append_images=[second]), 0),
        "avif": (encode(upright, "AVIF", quality=95), 8),
        "heic": (encode(upright, "HEIF", quality=95), 8),
        "tiff": (encode(upright, "TIFF"), 0),
        "lzw.tiff": (encode(upright, "TIFF", compression="tiff_lzw"), 0),
        "gif": (encode(upright, "GIF"), 12),
        "animated.gif": (encode(upright, "GIF", save_all=True, append_images=[second]), 12),
        "palette.png": (encode(upright.quantize(8), "PNG"), 0),
    }


@pytest.mark.parametrize("name", plain_formats())
def test_every_format(name: str) -> None:
    data, tolerance = plain_formats()[name]
    assert_is_picture(load_photo(data), tolerance)


def test_grey() -> None:
    corners = grey_corners()
    grey = picture().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    for data in (encode(grey, "PNG"), encode(deep, "PNG"), encode(deep, "TIFF"), encode(grey.convert("LA"), "PNG")):
        assert_is_picture(load_photo(data), 0, corners)
    bits = load_photo(encode(Image.new("1", SIZE, 1), "PNG"))
    assert bits.getpixel((3, 3)) == (255, 255, 255)


def test_alpha_is_laid_on_white() -> None:
    half = picture().convert("RGBA")
    half.putalpha(Image.fromarray(np.pad(np.full((64, 48), 255, np.uint8), ((0, 0), (0, 48)))))
    expected = (CORNERS[0], (255, 255, 255), CORNERS[2], (255, 255, 255))
    for kind in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert_is_picture(load_photo(encode(half, kind, **options)), 0, expected)
    palette = picture().quantize(8)
    index = palette.getpixel((80, 9))
    loaded = load_photo(encode(palette, "PNG", transparency=index))
    assert_is_picture(loaded, 0, (CORNERS[0], (255, 255, 255), *CORNERS[2:]))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_orientation(kind: str, orientation: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(picture()))))
    exif = Image.Exif()
    exif[274] = orientation
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        data = encode(stored, kind, tiffinfo=tags)
    else:
        data = encode(stored, kind, exif=exif.tobytes())
    assert_is_picture(load_photo(data), 40)  # chroma subsampling: the hue must be right, not the value
    assert_is_picture(load_photo(Image.open(io.BytesIO(data))), 40)


def test_orientation_operations_agree_with_exif() -> None:
    """Row 0 / column 0 of the stored pixels, from the EXIF standard: the visual side that each one is."""
    sides = {1: "TL", 2: "TR", 3: "BR", 4: "BL", 5: "LT", 6: "RT", 7: "RB", 8: "LB"}
    upright = np.zeros((4, 6, 1), int)
    upright[0] += 1
    upright[-1] += 2
    upright[:, 0] += 4
    upright[:, -1] += 8
    value = {"T": 1, "B": 2, "L": 4, "R": 8}
    for orientation, (row, column) in sides.items():
        stored = STORED[orientation](upright)
        assert (stored[0] & value[row]).all() and (stored[:, 0] & value[column]).all(), orientation


def test_cmyk_jpeg_and_tiff() -> None:
    cmyk = picture().convert("CMYK")
    assert_is_picture(load_photo(encode(cmyk, "JPEG", quality=95)), 12)
    assert_is_picture(load_photo(encode(cmyk, "TIFF")), 2)


def test_icc_profile_is_converted_to_srgb() -> None:
    """A picture stored in a made-up wide gamut (red and green swapped) comes back with its colours."""
    swapped = swapped_primaries_profile()
    stored = Image.fromarray(np.asarray(picture())[..., [1, 0, 2]].copy())
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
        assert_is_picture(load_photo(encode(stored, kind, icc_profile=swapped, **options)), 10)
    unchanged = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert_is_picture(load_photo(encode(picture(), "PNG", icc_profile=unchanged)), 0)
    linear = linear_profile()
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(linear))).startswith("sRGB")
    light = ((np.asarray(picture()) / 255) ** 2.2 * 255).round().astype(np.uint8)
    assert_is_picture(load_photo(encode(Image.fromarray(light), "PNG", icc_profile=linear)), 12)
    assert_is_picture(load_photo(encode(picture(), "PNG", icc_profile=b"not a profile")), 0)
    assert_is_picture(load_photo(encode(picture(), "PNG", icc_profile=swapped[:200])), 0)


def converted(matrix: list[list[float]], gamma: float | None) -> Image.Image:
    """The picture as a camera with other primaries stores it: linear sRGB by `matrix`, then that space's curve."""
    values = np.asarray(picture()) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ np.array(matrix).T
    curve = 1.055 * light ** (1 / 2.4) - 0.055 if gamma is None else light ** (1 / gamma)
    if gamma is None:
        curve = np.where(light <= 0.0031308, 12.92 * light, curve)
    return Image.fromarray((255 * curve).round().clip(0, 255).astype(np.uint8))


def test_colour_spaces_without_a_profile() -> None:
    """Adobe RGB (1998) and Display P3; the matrices are of their specifications, D65 to D65."""
    adobe = converted([[0.71512, 0.28488, 0], [0, 1, 0], [0, 0.04117, 0.95883]], 563 / 256)
    tag = struct.Struct("<HHI4s")
    entries = [(0x8769, 4, 26), (0xA005, 4, 44), (1, 2, b"R03\0")]  # each folder has one entry: that of the next
    folders = (
        tag.pack(kind, of, 4 if of == 2 else 1, v if of == 2 else struct.pack("<I", v)) for kind, of, v in entries
    )
    interoperability = b"Exif\0\0II*\0\x08\0\0\0" + b"".join(b"\1\0" + folder + bytes(4) for folder in folders)
    colour_space = Image.Exif()
    colour_space[274] = 1  # or Pillow would write none
    colour_space.get_ifd(0x8769)[0xA001] = 2
    for exif in (interoperability, colour_space):
        stored = encode(adobe, "PNG", exif=exif)
        assert_is_picture(load_photo(stored), 3)
        assert np.abs(np.asarray(adobe).astype(int) - np.asarray(picture())).max() > 10  # so it is no small matter
    p3 = converted([[0.82246, 0.17754, 0], [0.03319, 0.96681, 0], [0.01708, 0.07240, 0.91052]], None)
    stored = encode(p3, "HEIF", color_primaries=12, quality=-1, chroma=444)
    assert_is_picture(load_photo(stored), 6)


@pytest.mark.parametrize(("bits", "inverted"), [(16, False), (16, True), (12, False)])
def test_grey_tiffs_of_many_levels(bits: int, inverted: bool) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64, dtype=np.uint16)[None].repeat(8, axis=0)
    stored = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0 if inverted else 1
    Image.fromarray(ramp).save(stored, "TIFF", tiffinfo=tags)
    data = stored.getvalue()
    if bits == 12:  # Pillow reads, but does not write it: three bytes hold two pixels
        pairs = ramp.reshape(-1, 2).astype(int)
        packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
        data = twelve_bit_tiff(packed.astype(np.uint8).tobytes(), 64, 8)
    read = np.asarray(load_photo(data))[:, :, 0].astype(int)
    expected = np.round(ramp * (255 / (2**bits - 1)))
    assert np.abs(read - (255 - expected if inverted else expected)).max() <= 1


def twelve_bit_tiff(data: bytes, width: int, height: int) -> bytes:
    entries = [
        (256, width),
        (257, height),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(data)),
    ]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + table + bytes(4)


def test_what_is_sold_as_50_megapixels_is_read() -> None:
    assert load_photo(encode(Image.new("L", (8272, 6200)), "PNG")).size == (8272, 6200)


def linear_profile() -> bytes:
    """sRGB's profile, name and all, but with a gamma of 1: each curve tag becomes a curve with nothing in it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        if bytes(profile[at : at + 4]) in (b"rTRC", b"gTRC", b"bTRC"):
            offset = struct.unpack(">I", profile[at + 4 : at + 8])[0]
            profile[offset : offset + 12] = b"curv" + bytes(8)
            profile[at + 8 : at + 12] = struct.pack(">I", 12)
    return bytes(profile)


def swapped_primaries_profile() -> bytes:
    """sRGB's profile with the red and the green primary exchanged: its tag table is edited in place."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        name = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(bytes(profile[at : at + 4]))
        if name:
            profile[at : at + 4] = name
        if profile[at : at + 4] == b"desc":
            offset, size = struct.unpack(">II", profile[at + 4 : at + 12])
            body = bytes(profile[offset : offset + size]).replace(
                "sRGB".encode("utf-16-be"), "test".encode("utf-16-be")
            )
            profile[offset : offset + size] = body
    return bytes(profile)


def test_sources(tmp_path: Path) -> None:
    data = encode(picture(), "PNG")
    path = tmp_path / "ảnh của tôi.png"
    path.write_bytes(data)
    given = picture()
    for source in (path, str(path), data, io.BytesIO(data), given):
        assert_is_picture(load_photo(source), 0)
    with path.open("rb") as file:
        for _ in range(2):  # where it is read from stays where it was
            assert_is_picture(load_photo(file), 0)


def eps() -> bytes:
    return encode(picture(), "EPS")


def bomb() -> bytes:
    """A PNG of 40000 x 40000 pixels in a few kilobytes."""
    data = bytearray(encode(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 40000, 40000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def noise(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), kind)


def tiff(tags: dict[int, int | bytes]) -> bytes:
    """A photo as TIFF with these tags beside the usual ones."""
    file = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        file[tag] = value
        file.tagtype[tag] = TiffTags.BYTE if isinstance(value, bytes) else TiffTags.LONG
    data = io.BytesIO()
    picture().save(data, "TIFF", tiffinfo=file)
    return data.getvalue()


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = (
    {
        "empty": (lambda: b"", "empty"),
        "text renamed to .jpg": (lambda: b"Dear diary, this is not a photo.\n" * 50, "not a photo"),
        "eps": (eps, "PostScript"),
        "pdf": (lambda: encode(picture(), "PDF"), "PDF"),
        "svg": (lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG"),
        "bare svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG"),
        "ppm": (lambda: encode(picture(), "PPM"), "not a photo"),
        "53 megapixels": (lambda: encode(Image.new("1", (10000, 5300)), "PNG"), "50 megapixels"),
        "100 megapixels": (lambda: encode(Image.new("1", (10000, 10000)), "PNG"), "50 megapixels"),
        "decompression bomb": (bomb, "50 megapixels"),
        "video": (lambda: b"\0\0\0\x18ftypmp42" + bytes(64), "is a video"),
        "webm": (lambda: b"\x1aE\xdf\xa3" + bytes(64), "is a video"),
        "avi": (lambda: b"RIFF\0\0\0\0AVI LIST" + bytes(64), "is a video"),
        "wav": (lambda: b"RIFF\0\0\0\0WAVEfmt " + bytes(64), "not a photo"),
        "cr3": (lambda: b"\0\0\0\x18ftypcrx " + bytes(64), "raw file"),
        "dng": (lambda: tiff({50706: b"\1\4\0\0"}), "raw file"),
        "nef": (lambda: tiff({254: 1, 330: 8}), "raw file"),
        "float": (lambda: encode(Image.new("F", SIZE), "TIFF"), "8 or 16 bits"),
        "32 bit": (lambda: encode(Image.new("I", SIZE, 1 << 20), "TIFF"), "32 bits"),
    }
    | {
        f"truncated {kind}": (lambda kind=kind: noise(kind)[: len(noise(kind)) // 2], "damaged")
        for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF")
    }
    | {
        name: (lambda transfer=transfer: hdr(transfer), "high dynamic range")
        for name, transfer in {"pq": 16, "hlg": 18}.items()
    }
)


def hdr(transfer: int) -> bytes:
    return encode(picture(), "HEIF", transfer_characteristics=transfer, color_primaries=9, matrix_coefficients=9)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_sentence(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    path = tmp_path / "photo.jpg"
    path.write_bytes(make())
    with pytest.raises(PhotoError, match=words) as caught:
        load_photo(path)
    message = str(caught.value)
    assert message[0].isupper() and message.endswith(".") and "Error" not in message and str(tmp_path) not in message


def test_pictures_that_cannot_be_read_on_are_refused() -> None:
    half = noise("JPEG")[: len(noise("JPEG")) // 2]
    for image in (Image.open(io.BytesIO(half)), Image.new("RGB", (0, 0)), Image.new("RGB", (0, 9))):
        with pytest.raises(PhotoError, match="damaged"):
            load_photo(image)


def test_a_tiff_with_a_smaller_copy_inside_is_a_photo() -> None:
    assert load_photo(tiff({254: 0, 330: 8})).size == picture().size


def test_the_limit_of_the_file_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(picture(), "PNG") + bytes(20_000_000))
    assert load_photo(path).size == picture().size, "what we write ourselves may be larger than 20 MB"
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with pytest.raises(PhotoError, match="larger than 20 MB"):
            load_photo(source, 20_000_000)


def test_a_tiff_of_unknown_channels_is_refused_with_what_to_do() -> None:
    data = bytearray(twelve_bit_tiff(bytes(2 * 64 * 8), 64, 8))
    data[data.index(struct.pack("<HHI", 258, 4, 1)) + 8] = 24  # bits a channel
    with pytest.raises(PhotoError, match="8 or 16 bits a channel, in RGB"):
        load_photo(bytes(data))


def test_no_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such file"):
        load_photo(tmp_path / "missing.jpg")
    with pytest.raises(PhotoError, match="folder"):
        load_photo(tmp_path)
    with pytest.raises(PhotoError):
        load_photo("nul\0byte.jpg")


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_damaged_at_any_byte() -> None:
    """Whatever is flipped or cut: a photo or a PhotoError, never another exception."""
    rng = np.random.default_rng(1)
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF"):
        data = np.frombuffer(encode(picture(), kind), np.uint8)
        for _ in range(25):
            broken = data.copy()
            broken[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
            with contextlib.suppress(PhotoError):
                assert load_photo(broken[: rng.integers(1, len(data) + 1)].tobytes()).mode == "RGB"


def photo_with_gps() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "SecretCameraMaker"
    exif.get_ifd(0x8825).update({1: "N", 2: (21.0, 1.0, 42.0), 3: "E", 4: (105.0, 51.0, 15.0)})
    return encode(picture(), "JPEG", exif=exif, comment=b"SecretComment", quality=95)


def test_save_png_discloses_and_forgets(tmp_path: Path) -> None:
    assert b"SecretCameraMaker" in photo_with_gps()
    image = load_photo(photo_with_gps())
    image.info["comment"] = "SecretComment"
    image.info["icc_profile"] = b"SecretProfile"
    path = tmp_path / "out.png"
    save_png(image, path, age=65, model='owner/re<po"@0123')
    data = path.read_bytes()
    kinds = re.findall(rb"(?:IHDR|IDAT|IEND|tEXt|iTXt|zTXt|eXIf|iCCP|tIME)", data)
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND", b"tEXt", b"iTXt"}
    assert b"Secret" not in data
    with Image.open(path) as saved:
        saved.load()
        assert saved.text["Description"] == 'AI-edited: the apparent age was changed to 65 by owner/re<po"@0123.'
        description = ElementTree.fromstring(saved.text["XML:com.adobe.xmp"])[0][0].attrib
        iptc = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
        assert description[f"{iptc}DigitalSourceType"] == DIGITAL_SOURCE_TYPE
        assert description[f"{iptc}AISystemUsed"].endswith('owner/re<po"@0123')
        assert len(saved.getexif()) == 0
        assert np.array_equal(np.asarray(saved), np.asarray(image))
    save_png(image, path, age=[25, 40.5], model="m")
    with Image.open(path) as saved:
        assert "25, 40.5" in saved.text["Description"]
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_load_photo_drops_png_text() -> None:
    text = PngInfo()
    text.add_text("Author", "Secret")
    assert load_photo(encode(picture(), "PNG", pnginfo=text)).info == {}
