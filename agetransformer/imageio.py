"""Safe intake of any photo, and output that says it was edited and carries nothing of the uploader's metadata."""

import functools
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin
from PIL.TiffImagePlugin import TiffImageFile
from pillow_heif import register_heif_opener

from agetransformer.colour_spaces import is_hdr, named_profile
from agetransformer.cpus import usable_cpus
from agetransformer.files import written_whole
from agetransformer.png import PngPixels, compress_pixels, png_bytes

Image.init()  # Image.open(formats=...) only knows the formats that were registered before
register_heif_opener()

MAX_BYTES = 500_000_000  # a 16-bit TIFF of MAX_PIXELS; the page takes less
MAX_PIXELS = 52_000_000  # cameras that are sold as 50 megapixels have up to 51.3
_MEGAPIXELS = 50  # what a refusal says

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF")
_FORMAT_NAMES = "JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF"
_RAW = "a raw file of a camera"
_IMAGE_BRANDS = (
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"hevm",
    b"hevs",
    b"mif1",
    b"msf1",
    b"avif",
    b"avis",
)
_DNG_VERSION, _NEW_SUBFILE, _SUB_IFDS = 50706, 254, 330  # tags of TIFF; bit 0 of the second: a smaller copy
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # and these; 0 of the second: white is 0
_ALIKE = 4  # levels: sRGB profiles differ by rounding
_CHANNELS = (
    "The TIFF is damaged, or has channels that cannot be read here. Please save it with 8 or 16 bits a channel, in RGB."
)
_HDR = "The photo has a high dynamic range (PQ or HLG). Please export it as an ordinary JPEG."
_DAMAGED = "The photo is damaged or was cut short, so it cannot be read. Please export or download it again."

# EXIF tag 274 -> how to bring the picture upright.
_ORIENTATION_TAG = 274
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# IPTC NewsCodes: a real picture of which parts were made by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


class PhotoError(ValueError):
    """The photo cannot be used; the message is a sentence for the person who gave it."""


def load_photo(
    source: str | os.PathLike[str] | bytes | BinaryIO | Image.Image, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Read a photo, whatever camera or program wrote it.

    Orientation is applied, colours are brought to sRGB, transparency is laid on white, an animation gives its first
    frame, and all metadata is dropped.

    Args:
        source: a path, the bytes of a file, an open binary file, or a Pillow image.
        max_bytes: larger files are refused.
    Returns:
        An upright RGB image, 8 bits a channel, sRGB, with empty `info`. A Pillow image that is so already is returned
        itself.
    Raises:
        PhotoError: no such file, not a photo, damaged, a camera raw file, over max_bytes or over MAX_PIXELS.
    """
    data = b"" if isinstance(source, Image.Image) else _read(source, max_bytes)
    try:
        if isinstance(source, Image.Image):
            _check_pixels(source.size)
            source.load()  # one that was opened may be damaged
            if source.mode == "RGB" and not source.info and not source.getexif():
                return source  # a copy of 12 megapixels takes longer than an edit
            return _normalise(source)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_pixels(image.size)
            if image.format == "TIFF" and _is_raw(cast(TiffImageFile, image), data):
                raise PhotoError(_refusal(_RAW))
            return _normalise(image)
    except PhotoError:
        raise
    except Image.UnidentifiedImageError as error:
        raise PhotoError(_what_it_is_instead(data[:1024])) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(_too_many_pixels()) from error
    except Exception as error:  # decoders of damaged files raise anything from struct.error to RuntimeError
        raise PhotoError(_DAMAGED) from error


def save_png(
    image: Image.Image | np.ndarray,
    path: str | os.PathLike[str],
    *,
    age: float | Sequence[float],
    model: str,
    alike: PngPixels | None = None,
) -> PngPixels:
    """Write a PNG that says it was edited by AI; nothing from `image.info` is written.

    Args:
        image: a picture, or its RGB pixels [H, W, 3] uint8.
        age: target age in years, or all of them when the picture shows several.
        model: name and revision of the checkpoint.
        alike: what this function returned for another picture; where the two are equal, nothing is compressed again.
    """
    ages = [age] if isinstance(age, (int, float)) else list(age)
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", disclosure(ages, model))
    text.add_text("Software", f"agetransformer, model {model}")
    text.add_itxt("XML:com.adobe.xmp", disclosure_xmp(ages, model))
    if isinstance(image, Image.Image):
        image = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    pixels = compress_pixels(image, alike)
    with written_whole(path) as aside, aside.open("wb") as file:  # a reader never sees half a picture
        file.writelines(png_bytes(pixels, [(kind, data) for kind, data, *_ in text.chunks]))
    return pixels


def save_pngs(results: Iterable[tuple[Image.Image | np.ndarray, Path, float]], model: str) -> Iterator[Path]:
    """`save_png` for several ages of one photo: each is written while `results` makes the next one.

    Args:
        results: picture, file and age of each.
    Yields:
        each file, once it is written.
    """
    with ThreadPoolExecutor(1) as pool:
        pending: Future[PngPixels] | None = None
        last = Path()
        for image, path, age in results:
            alike = None
            if pending is not None:
                alike = pending.result()
                yield last
            pending, last = pool.submit(save_png, image, path, age=age, model=model, alike=alike), path
        if pending is not None:
            pending.result()
            yield last


def disclosure(ages: Sequence[float], model: str) -> str:
    """The sentence that every result carries."""
    return f"AI-edited: the apparent age was changed to {', '.join(f'{age:g}' for age in ages)} by {model}."


def disclosure_xmp(ages: Sequence[float], model: str) -> str:
    """An XMP packet with IPTC's DigitalSourceType and AI system (IPTC Photo Metadata 2025.1)."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        f" Iptc4xmpExt:DigitalSourceType={quoteattr(DIGITAL_SOURCE_TYPE)}"
        f" Iptc4xmpExt:AISystemUsed={quoteattr(f'agetransformer, model {model}')}"
        f" photoshop:Instructions={quoteattr(disclosure(ages, model))}"
        ' xmp:CreatorTool="agetransformer"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _read(source: str | os.PathLike[str] | bytes | BinaryIO, max_bytes: int) -> bytes:
    """The whole file, but never more than one byte over the limit."""
    if isinstance(source, (str, os.PathLike)):
        try:
            with open(source, "rb") as file:
                data = file.read(max_bytes + 1)
        except FileNotFoundError as error:
            raise PhotoError("There is no such file. Please check its name and folder.") from error
        except IsADirectoryError as error:
            raise PhotoError("This is a folder, not a photo. Please name the photos in it.") from error
        except (OSError, ValueError) as error:
            raise PhotoError(f"The file cannot be opened ({getattr(error, 'strerror', None) or error}).") from error
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        start = source.tell() if source.seekable() else None
        data = source.read(max_bytes + 1)
        if start is not None:
            source.seek(start)  # who gave it may give it again
    if not data:
        raise PhotoError("The file is empty. Please export or download the photo again.")
    if len(data) > max_bytes:
        raise PhotoError(
            f"The file is larger than {max_bytes // 1_000_000} MB. Please save a smaller copy of the photo."
        )
    return data


def _too_many_pixels() -> str:
    return f"The photo has more than {_MEGAPIXELS} megapixels. Please save a smaller copy of it."


def _check_pixels(size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise PhotoError(_DAMAGED)
    if size[0] * size[1] > MAX_PIXELS:
        raise PhotoError(_too_many_pixels())


def _what_it_is_instead(head: bytes) -> str:
    """A sentence about a file that no photo reader knows."""
    brand, signatures = head[8:12], (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8")
    if head.startswith((b"II*\0", b"MM\0*")):
        return _CHANNELS
    container = head[4:8] == b"ftyp"
    if (
        head.startswith(signatures)
        or (container and brand in _IMAGE_BRANDS)
        or (head[:4] == b"RIFF" and brand == b"WEBP")
    ):
        return _DAMAGED
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = {
        "a PDF document": start.startswith(b"%pdf"),
        "a PostScript (EPS) drawing": start.startswith((b"%!ps", b"\xc5\xd0\xd3\xc6")),
        _RAW: (container and brand == b"crx ") or head.startswith((b"IIRO", b"IIU\0", b"FUJIFILMCCD-RAW")),
        "a video": container or brand == b"AVI " or head.startswith((b"\x1aE\xdf\xa3", b"\0\0\x01\xba")),
        "an SVG drawing": start.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in start,
    }
    kind = next((name for name, matches in kinds.items() if matches), "not a photo that can be read here")
    return _refusal(kind)


def _refusal(kind: str) -> str:
    return f"The file is {kind}. Please use a photo saved as {_FORMAT_NAMES}."


def _is_raw(image: TiffImageFile, data: bytes) -> bool:
    """Whether a TIFF is a camera's raw file (CR2, DNG, NEF, ARW), of which Pillow knows a small copy only."""
    tags = image.tag_v2
    return data[8:10] == b"CR" or _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE, 0) & 1 == 1 and _SUB_IFDS in tags)


def _normalise(image: Image.Image) -> Image.Image:
    """Any Pillow image -> upright, 8-bit sRGB on white, without metadata; the input is left as it is."""
    image.load()
    if is_hdr(image):
        raise PhotoError(_HDR)
    orientation, profile = _orientation(image), image.info.get("icc_profile") or named_profile(image)
    picture = _eight_bit(image)
    alpha = picture.getchannel("A") if picture.mode in ("RGBA", "LA") else None
    if alpha is not None:
        picture = picture.convert(picture.mode[:-1])
    picture = _to_srgb(picture, profile)
    if alpha is not None:
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=alpha)
        picture = white
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    return _without_info(picture)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF must not cost the photo
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    """Any mode -> L, RGB, LA, RGBA, CMYK or LAB."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        most, inverted = _sixteen_bit_scale(image)
        if values.min() < 0 or values.max() > most:
            raise PhotoError("The photo has 32 bits a channel. Please save it with 8 or 16 bits.")
        grey = (255 * values + most // 2) // most
        return Image.fromarray((255 - grey if inverted else grey).astype(np.uint8))
    if image.mode == "F":
        raise PhotoError("The photo has floating-point pixels. Please save it with 8 or 16 bits a channel.")
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("L", "LA", "La", "1") else "RGBA")
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _sixteen_bit_scale(image: Image.Image) -> tuple[int, bool]:
    """The white of a grey image of up to 16 bits, and whether it is 0 instead, as a TIFF may say."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0] if image.mode.startswith("I;16") else 16
    return 2**bits - 1, tags.get(_PHOTOMETRIC) == 0


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """L, RGB, CMYK or LAB pixels with their ICC profile (if any) -> RGB pixels in sRGB."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            fits = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space) == picture.mode
            if fits and not (picture.mode == "RGB" and _is_srgb(profile)):
                return _converted(picture, source)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a broken profile: the pixels alone are still the best there is
    if picture.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(picture, lab, ImageCms.createProfile("sRGB"), outputMode="RGB") or picture
    return picture.convert("RGB")


def _converted(picture: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    """Pixels in sRGB, strip by strip on every CPU: on one, 12 megapixels take as long as five edits of their face."""
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        picture.mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    width, height = picture.size
    rows = max(1, -(-height // (4 * usable_cpus())))
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    result = Image.new("RGB", picture.size)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        strips = pool.map(lambda box: ImageCms.applyTransform(picture.crop(box), transform), boxes)
        for box, strip in zip(boxes, strips, strict=True):
            result.paste(cast(Image.Image, strip), box[:2])
    return result


@functools.lru_cache(maxsize=16)  # most photos have one of a few
def _is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile is sRGB: to convert 12 megapixels takes longer than an edit."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    steps = np.arange(0, 256, 51, dtype=np.uint8)  # not by its name: many have others, and a linear one has sRGB's
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    converted = ImageCms.profileToProfile(
        Image.fromarray(cube), source, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    return converted is not None and int(np.abs(np.asarray(converted).astype(int) - cube).max()) <= _ALIKE


def _without_info(image: Image.Image) -> Image.Image:
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    return clean
