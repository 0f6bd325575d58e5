"""What a `data` entry names: an archive, which is a zip or a folder of images with a labels.csv; or tar shards."""

import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from train.attributes import AGE, Attribute, read_female

LABELS = "labels.csv"
_SHARD_ENDINGS = (".tar", ".tar.gz", ".tgz")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)  # what zipfile says of bytes that were lost or changed


def is_sharded(entry: str) -> bool:
    """Whether a `data` entry names tar shards: faces-{000000..000009}.tar, a URL, or pipe: and a command."""
    return entry.startswith("pipe:") or "://" in entry or entry.endswith(_SHARD_ENDINGS)


class LabelledRow(NamedTuple):
    """A row of labels.csv."""

    cells: dict[str, str]  # by column, as they stand there
    label: float  # of the attribute: years, or 0..100
    female: float  # 1 female, 0 male


def read_labels(path: Path, attribute: Attribute = AGE) -> list[LabelledRow]:
    """The rows of an archive's labels.csv with what they say of the attribute and of the gender.

    Raises:
        FileNotFoundError, ValueError: see `read_table`; or a label is none, and the message names its file.
    """
    columns = tuple(dict.fromkeys(("file", attribute.column, "gender")))
    rows = []
    for cells in read_table(path, columns):
        with naming_the_file(path, cells):
            rows.append(LabelledRow(cells, attribute.read(cells[attribute.column]), read_female(cells["gender"])))
    return rows


def read_table(path: Path, columns: Sequence[str] = ("file",)) -> list[dict[str, str]]:
    """The rows of an archive's labels.csv.

    Args:
        columns: those that it has to have.
    Raises:
        FileNotFoundError, ValueError: the archive is missing or broken, has no labels.csv, or that lacks a column.
    """
    if path.is_dir():
        if not (path / LABELS).is_file():
            raise ValueError(f"{path}: no {LABELS} in this folder; see train/README.md for what it holds")
        table = (path / LABELS).read_bytes()
    elif path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                table = archive.read(LABELS)
        except (*_DAMAGED, KeyError) as error:
            raise ValueError(f"{path}: not a zip archive with a {LABELS} inside ({error})") from error
    else:
        raise FileNotFoundError(f"{path}: no such archive or folder; see train/README.md for how to make one")
    reader = table_reader(table, f"{path}: {LABELS}")
    if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise ValueError(
            f"{path}: {LABELS} needs the columns {', '.join(columns)}, and has no {', '.join(missing)}: its first line "
            "names them, with commas between"
        )
    rows = list(reader)
    for number, row in enumerate(rows, 2):
        if None in row.values():
            raise ValueError(f"{path}: {LABELS}, line {number}: fewer cells than there are columns")
    return rows


def table_reader(data: bytes, where: str | Path) -> csv.DictReader:
    """The rows of a CSV file, whose name `where` is, by the columns of its first line.

    Raises:
        ValueError: it is not UTF-8, as what spreadsheets call plain CSV is not.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 ({error}); save it as what spreadsheets call CSV UTF-8") from error
    return csv.DictReader(io.StringIO(text, newline=""))


@contextmanager
def naming_the_file(path: Path, cells: dict[str, str]) -> Iterator[None]:
    """What is wrong with a row of an archive's labels.csv is said with the file that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {LABELS}, {cells['file']}: {error}") from error


class Archive:
    """The images of a zip or a folder, as they are stored; a zip's own table is read once, here."""

    def __init__(self, path: Path):
        self.path = path
        self._zip = None if path.is_dir() else zipfile.ZipFile(path)

    def read(self, name: str) -> bytes:
        """
        Raises:
            ValueError: there is no such image, or it is damaged.
        """
        try:
            return (self.path / name).read_bytes() if self._zip is None else self._zip.read(name)
        except (KeyError, FileNotFoundError) as error:
            raise ValueError(f"{self.path}: {LABELS} names {name}, which is not there") from error
        except _DAMAGED as error:
            raise ValueError(f"{self.path}: {name} is damaged ({error}): copy or download the archive anew") from error

    def close(self) -> None:
        """A zip that nobody closes is closed with the last that refers to this."""
        if self._zip is not None:
            self._zip.close()


@contextmanager
def open_archive(path: Path) -> Iterator[Callable[[str], bytes]]:
    """What reads an image of the archive, as it is stored, by its name; see `Archive.read`."""
    with closing(Archive(path)) as archive:
        yield archive.read


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
