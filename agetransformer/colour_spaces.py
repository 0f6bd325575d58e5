"""Colour spaces that a photo names without an ICC profile: Adobe RGB by EXIF, Display P3 by HEIF's nclx box."""

import functools
import struct

from PIL import ExifTags, Image, ImageCms

# X, Y, Z of the primaries red, green and blue, adapted to D50 as ICC wants them.
_ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
_DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
_ADOBE_GAMMA = 563 / 256  # Adobe RGB (1998), section 4.3.4.2; Display P3 has the curve of sRGB
_COLOUR_SPACE, _INTEROPERABILITY = 0xA001, 0x0001  # tags of EXIF
_P3_PRIMARIES, _HDR_TRANSFERS = 12, (16, 18)  # ITU-T H.273, tables 2 and 3: PQ and HLG


def named_profile(image: Image.Image) -> bytes | None:
    """The ICC profile of the colour space that a photo names by other means; None: it names none, or sRGB."""
    try:
        exif = image.getexif()
        camera = exif.get_ifd(ExifTags.IFD.Exif)
        more = exif.get_ifd(ExifTags.IFD.Interop) if ExifTags.IFD.Interop in camera else {}
        if camera.get(_COLOUR_SPACE) == 2 or more.get(_INTEROPERABILITY) == "R03":  # DCF 2.0's optional colour space
            return _profile(_ADOBE_RGB, _ADOBE_GAMMA)
    except Exception:  # broken EXIF must not cost the photo
        pass
    return _profile(_DISPLAY_P3) if _nclx(image).get("color_primaries") == _P3_PRIMARIES else None


def is_hdr(image: Image.Image) -> bool:
    """Whether a HEIF's values are those of a high dynamic range (PQ or HLG), which no screen shows as they are."""
    return _nclx(image).get("transfer_characteristics") in _HDR_TRANSFERS


def _nclx(image: Image.Image) -> dict:
    return image.info.get("nclx_profile") or {}


@functools.cache
def _profile(primaries: tuple[tuple[float, ...], ...], gamma: float | None = None) -> bytes:
    """sRGB's profile with other primaries, and with another curve where `gamma` says so."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    offsets = {name: at for name, at, _ in struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])}
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        struct.pack_into(">3i", profile, offsets[name] + 8, *(round(65536 * value) for value in xyz))
    if gamma is not None:
        for name in (b"rTRC", b"gTRC", b"bTRC"):  # a parametric curve of type 0: the exponent alone
            struct.pack_into(">HHi", profile, offsets[name] + 8, 0, 0, round(65536 * gamma))
    return bytes(profile)
