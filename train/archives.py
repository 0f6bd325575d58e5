"""What a `data` entry names: an archive, which is a zip or a folder of images with a labels.csv; or tar shards."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

LABELS = "labels.csv"
_SHARD_ENDINGS = (".tar", ".tar.gz", ".tgz")


def is_sharded(entry: str) -> bool:
    """Whether a `data` entry names tar shards: faces-{000000..000009}.tar, a URL, or pipe: and a command."""
    return entry.startswith("pipe:") or "://" in entry or entry.endswith(_SHARD_ENDINGS)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of an archive's labels.csv.

    Raises:
        FileNotFoundError, ValueError: the archive is missing or broken, or has no labels.csv.
    """
    if path.is_dir():
        if not (path / LABELS).is_file():
            raise ValueError(f"{path}: no {LABELS} in this folder; see train/README.md for what it holds")
        table = (path / LABELS).read_text(encoding="utf-8-sig")
    elif path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                table = archive.read(LABELS).decode("utf-8-sig")
        except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a zip archive with a {LABELS} inside ({error})") from error
    else:
        raise FileNotFoundError(f"{path}: no such archive or folder; see train/README.md for how to make one")
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    for number, row in enumerate(rows, 2):
        if None in row.values():
            raise ValueError(f"{path}: {LABELS}, line {number}: fewer cells than there are columns")
    return rows


@contextmanager
def open_archive(path: Path) -> Iterator[Callable[[str], bytes]]:
    """What reads an image of the archive, as it is stored, by its name; ValueError where there is none."""
    with ExitStack() as stack:
        archive = None if path.is_dir() else stack.enter_context(zipfile.ZipFile(path))

        def read(name: str) -> bytes:
            try:
                return (path / name).read_bytes() if archive is None else archive.read(name)
            except (KeyError, FileNotFoundError) as error:
                raise ValueError(f"{path}: {LABELS} names {name}, which is not there") from error

        yield read


def fingerprint(path: Path) -> str:
    """Changes when the archive does."""
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            members = "\n".join(f"{one.filename} {one.file_size} {one.CRC}" for one in archive.infolist())
        return f"{path.name} {hashlib.sha256(members.encode()).hexdigest()}"
    stats = [(str(file.relative_to(path)), file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    files = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    return f"{path.name} {hashlib.sha256(files.encode()).hexdigest()}"


def require_square(image: Image.Image, name: str) -> None:
    """
    Raises:
        ValueError: it is none, so no aligned face either.
    """
    if image.width != image.height:
        size = f"{image.width} x {image.height}"
        raise ValueError(f"{name}: {size}, no aligned square; `python -m train.prepare` makes squares of photos")


def open_image(data: bytes, name: str) -> Image.Image:
    """Decode an image to RGB.

    Raises:
        ValueError: it is broken.
    """
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{name}: broken, or not an image ({error})") from error
