"""Labelled faces in memory: zip archives or folders of images with a labels.csv -> uint8 tensors.

The archives are small enough to live decoded in memory (3,276 faces at 256 px: 0.6 GB), on the GPU where there is one:
no loader processes, no start-up cost beyond the first decoding, which is cached on disk.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from agetransformer.classifier import CHIP_X, CHIP_Y
from agetransformer.files import written_whole
from train.archives import (
    LabelledRow,
    fingerprint,
    is_sharded,
    open_archive,
    open_image,
    read_labels,
    require_square,
)
from train.attributes import AGE, Attribute, read_glasses
from train.memory import physical_memory

_MOST_OF_A_GPU = 0.7  # of its free memory that the images may take; a step needs the rest
_MOST_OF_THE_MEMORY = 0.8  # of all: of what an earlier phase gave back nobody knows (train/memory.py)
_DECODED_AT_ONCE = 256  # faces: the others wait in the archive, or on the disk


@dataclass(frozen=True)
class Faces:
    """A labelled set of equal-sized square face images."""

    images: Tensor  # [N, 3, S, S] uint8
    ages: Tensor  # [N] float32, years; or another attribute's labels, 0..100
    female: Tensor  # [N] float32: 1 female, 0 male
    names: tuple[str, ...]  # file names in the archives
    source: Tensor  # [N] int64: index of the archive
    glasses: Tensor  # [N] float32: 1 with glasses; 0 without, or where the labels do not say
    skin: Tensor | None = None  # [N, 1, M, M] uint8, where each face may age: train/skin_maps.py

    def __len__(self) -> int:
        return len(self.names)

    @property
    def traits(self) -> Tensor:
        """Gender and glasses as one number, [N] int64 in 0..3: `female` + 2 `glasses`."""
        return (self.female + 2 * self.glasses).long()

    def select(self, mask: Tensor) -> "Faces":
        """The faces where the boolean mask [N] is true."""
        index = mask.nonzero().squeeze(1)
        names = tuple(self.names[i] for i in index.tolist())
        images, ages, female = self.images[index], self.ages[index], self.female[index]
        skin = None if self.skin is None else self.skin[index]
        return Faces(images, ages, female, names, self.source[index], self.glasses[index], skin)


def held_out(names: tuple[str, ...]) -> Tensor:
    """Boolean mask [N]: the fixed 5 % of the files that no training ever sees (paper: 95/5), by a hash of the name."""
    return torch.tensor([is_held_out(name) for name in names])


def is_held_out(name: str) -> bool:
    """`held_out` for one file, whatever its folder and format: a data set may be there as PNG and as WebP."""
    return hashlib.md5(f"{Path(name).stem}.webp".encode()).digest()[0] < 13


def to_unit(images: Tensor) -> Tensor:
    """uint8 images -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def load_faces(
    archives: tuple[str, ...],
    size: int,
    chips: bool,
    cache: str = ".cache",
    attribute: Attribute = AGE,
    need_glasses: bool = False,
) -> Faces:
    """Decode archives into memory.

    Args, Raises: as of `open_faces`.
    """
    stored = open_faces(archives, size, chips, cache, attribute, need_glasses)
    return stored.take(torch.ones(len(stored.labels), dtype=torch.bool))


@dataclass(frozen=True)
class StoredFaces:
    """Faces that lie decoded on the disk: `take` reads those that are wanted, so that none is in memory twice."""

    labels: Faces  # of all, with images of size 0
    archives: tuple[Tensor, ...]  # [N, 3, S, S] uint8 each, mapped

    def take(self, mask: Tensor) -> Faces:
        """The faces where the boolean mask [N] is true, in memory."""
        labels = self.labels.select(mask)
        images = torch.empty(len(labels), *self.archives[0].shape[1:], dtype=torch.uint8)
        done = 0
        parts = mask.split([len(archive) for archive in self.archives])
        for archive, part in zip(self.archives, parts, strict=True):
            index = part.nonzero().squeeze(1)
            torch.index_select(archive, 0, index, out=images[done : done + len(index)])
            done += len(index)
        return replace(labels, images=images)


def open_faces(
    archives: tuple[str, ...],
    size: int,
    chips: bool,
    cache: str = ".cache",
    attribute: Attribute = AGE,
    need_glasses: bool = False,
) -> StoredFaces:
    """Decode archives to the cache, and read their labels.

    Args:
        archives: zip files or folders, each with images and a labels.csv (columns file, age, gender).
        size: side of the images in pixels.
        chips: whether the result is V's tight chip instead of the whole square; an archive whose images are
            smaller than 256 px is taken to hold chips already.
        cache: folder for the decoded copy.
        attribute: whose labels become `Faces.ages`.
        need_glasses: whether labels.csv must have the column glasses; an empty cell there says nothing.
    Raises:
        FileNotFoundError, ValueError: an archive is missing, broken, empty, or without its labels; or the memory has no
            room for all of them.
    """
    if sharded := [entry for entry in archives if is_sharded(entry)]:
        raise ValueError(
            f"{sharded[0]}: tar shards are for train.generator alone, and not beside archives; name zips or folders"
        )
    if not archives:
        raise ValueError("no data: name at least one archive under `data` in the config or with --data")
    paths = [Path(archive) for archive in archives]
    tables = [_read_labels(path, attribute, need_glasses) for path in paths]
    rows = [row for table in tables for row in table]
    memory = physical_memory()
    _require_room(len(rows), size, _MOST_OF_THE_MEMORY * memory, f"the memory is {memory / 1e9:.1f} GB")
    images = [_load_images(path, table, size, chips, Path(cache)) for path, table in zip(paths, tables, strict=True)]
    labels = Faces(
        torch.empty(len(rows), 0, dtype=torch.uint8),
        torch.tensor([row.label for row in rows]),
        torch.tensor([row.female for row in rows]),
        tuple(row.cells["file"] for row in rows),
        torch.cat([torch.full((len(table),), index) for index, table in enumerate(tables)]),
        torch.tensor([read_glasses(row.cells.get("glasses", "")) for row in rows]),
    )
    return StoredFaces(labels, tuple(images))


def move_images(faces: Faces, device: torch.device) -> Faces:
    """The same faces, their images on the device.

    Raises:
        ValueError: a GPU has no room for them.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what PyTorch keeps of the last phase counts as taken
        free, _ = torch.cuda.mem_get_info(device)
        room = f"{device} has {free / 1e9:.1f} free"
        _require_room(len(faces), faces.images.shape[-1], _MOST_OF_A_GPU * free, room)
    return replace(faces, images=faces.images.to(device))


def _require_room(faces: int, side: int, most: float, room: str) -> None:
    """
    Args:
        side: of the faces in pixels.
        most: bytes that they may take.
        room: what there is, for the message.
    Raises:
        ValueError: they would take more.
    """
    size = faces * 3 * side**2
    if size > most:
        raise ValueError(
            f"{faces} faces of {side} px take {size / 1e9:.1f} GB, and {room}: name tar shards of them under `data`, "
            "which are streamed (train/README.md), or make resolution smaller"
        )


def _read_labels(path: Path, attribute: Attribute, need_glasses: bool) -> list[LabelledRow]:
    rows = read_labels(path, attribute)
    if not rows:
        raise ValueError(f"{path}: labels.csv names no faces")
    if need_glasses and "glasses" not in rows[0].cells:
        raise ValueError(
            f"{path}: labels.csv has no column glasses, which balance_traits and glasses_classifier need: add it, or "
            'set balance_traits to false and glasses_classifier to ""'
        )
    return rows


def _load_images(path: Path, rows: Sequence[LabelledRow], size: int, chips: bool, cache: Path) -> Tensor:
    """[N, 3, size, size] uint8, mapped from their decoded copy in the cache, which is made where it is missing."""
    key = hashlib.sha256(f"{fingerprint(path)} {size} {chips}".encode()).hexdigest()[:16]
    stored = cache / f"{path.stem}-{size}-{key}.npy"
    if not stored.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with written_whole(stored) as aside:
            _decode(path, [row.cells["file"] for row in rows], size, chips, aside)
    return torch.from_numpy(np.load(stored, mmap_mode="c"))


def _decode(path: Path, names: Sequence[str], size: int, chips: bool, out: Path) -> None:
    """Write the images [N, 3, size, size] uint8 as NumPy's format has them, a few in memory at a time."""

    def decode(name: str, data: bytes) -> np.ndarray:
        image = open_image(data, f"{path}: {name}")
        require_square(image, f"{path}: {name}")
        box = None
        if chips and image.width >= 256:
            (x0, x1), (y0, y1) = CHIP_X, CHIP_Y
            box = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
        if image.size != (size, size) or box:
            image = image.resize((size, size), Image.Resampling.LANCZOS, box)
        return np.asarray(image).transpose(2, 0, 1)

    header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), 3, size, size)}
    with (
        open_archive(path) as read,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        out.open("wb") as file,
        tqdm(total=len(names), desc=f"decode {path.name}", disable=None) as progress,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(names), _DECODED_AT_ONCE):
            some = names[start : start + _DECODED_AT_ONCE]
            for image in pool.map(decode, some, [read(name) for name in some]):
                file.write(np.ascontiguousarray(image))
                progress.update()
