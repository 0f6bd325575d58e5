"""Labelled faces in memory: zip archives or folders of images with a labels.csv -> uint8 tensors.

The archives are small enough to live decoded in memory (3,276 faces at 256 px: 0.6 GB), on the GPU where there is one:
no loader processes, no start-up cost beyond the first decoding, which is cached on disk.
"""

import hashlib
import os
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
from train.archives import fingerprint, is_sharded, open_archive, open_image, read_table, require_square
from train.attributes import AGE, Attribute, read_female, read_glasses

_MOST_OF_A_GPU = 0.7  # of its free memory that the images may take; a step needs the rest


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

    Args:
        archives: zip files or folders, each with images and a labels.csv (columns file, age, gender).
        size: side of the images in pixels.
        chips: whether the result is V's tight chip instead of the whole square; an archive whose images are
            smaller than 256 px is taken to hold chips already.
        cache: folder for the decoded copy.
        attribute: whose labels become `Faces.ages`.
        need_glasses: whether labels.csv must have the column glasses; an empty cell there says nothing.
    Raises:
        FileNotFoundError, ValueError: an archive is missing, broken, empty, or without its labels.
    """
    if sharded := [entry for entry in archives if is_sharded(entry)]:
        raise ValueError(
            f"{sharded[0]}: tar shards are for train.generator alone, and not beside archives; name zips or folders"
        )
    parts = [_load_archive(Path(path), size, chips, Path(cache), attribute, need_glasses) for path in archives]
    if not parts:
        raise ValueError("no data: name at least one archive under `data` in the config or with --data")
    images, ages, female, names, glasses = zip(*parts, strict=True)
    source = torch.cat([torch.full((len(n),), i) for i, n in enumerate(names)])
    names = tuple(x for n in names for x in n)
    whole = images[0] if len(images) == 1 else torch.cat(images)
    return Faces(whole, torch.cat(ages), torch.cat(female), names, source, torch.cat(glasses))


def move_images(faces: Faces, device: torch.device) -> Faces:
    """The same faces, their images on the device.

    Raises:
        ValueError: a GPU has no room for them.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what PyTorch keeps of the last phase counts as taken
        free, _ = torch.cuda.mem_get_info(device)
        if faces.images.nbytes > _MOST_OF_A_GPU * free:
            size, room, side = faces.images.nbytes / 1e9, free / 1e9, faces.images.shape[-1]
            raise ValueError(
                f"{len(faces)} faces of {side} px take {size:.1f} GB, and {device} has {room:.1f} free: name tar shards"
                " of them under `data`, which are streamed (train/README.md), or make resolution smaller"
            )
    return replace(faces, images=faces.images.to(device))


def _load_archive(
    path: Path, size: int, chips: bool, cache: Path, attribute: Attribute, need_glasses: bool
) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...], Tensor]:
    rows = read_table(path)
    columns = dict.fromkeys(["file", attribute.column, "gender"])
    if not rows or not columns.keys() <= rows[0].keys():
        raise ValueError(f"{path}: labels.csv needs rows with the columns {', '.join(columns)}")
    if need_glasses and "glasses" not in rows[0]:
        raise ValueError(
            f"{path}: labels.csv has no column glasses, which balance_traits and glasses_classifier need: add it, or "
            'set balance_traits to false and glasses_classifier to ""'
        )
    labels = []
    for row in rows:
        try:
            labels.append((attribute.read(row[attribute.column]), read_female(row["gender"])))
        except ValueError as error:
            raise ValueError(f"{path}: labels.csv, {row['file']}: {error}") from error
    ages, female = torch.tensor(labels).T
    glasses = torch.tensor([read_glasses(row.get("glasses", "")) for row in rows])
    names = tuple(row["file"] for row in rows)

    key = hashlib.sha256(f"{fingerprint(path)} {size} {chips}".encode()).hexdigest()[:16]
    stored = cache / f"{path.stem}-{size}-{key}.npy"
    if not stored.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        images = _decode(path, names, size, chips)
        with written_whole(stored) as aside, aside.open("wb") as file:
            np.save(file, images)
    return torch.from_numpy(np.load(stored, mmap_mode="c")), ages, female, names, glasses


def _decode(path: Path, names: tuple[str, ...], size: int, chips: bool) -> np.ndarray:
    images = np.empty((len(names), 3, size, size), np.uint8)
    with open_archive(path) as read:
        encoded = [read(name) for name in names]

    def decode(index: int) -> None:
        image = open_image(encoded[index], f"{path}: {names[index]}")
        require_square(image, f"{path}: {names[index]}")
        box = None
        if chips and image.width >= 256:
            (x0, x1), (y0, y1) = CHIP_X, CHIP_Y
            box = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
        if image.size != (size, size) or box:
            image = image.resize((size, size), Image.Resampling.LANCZOS, box)
        images[index] = np.asarray(image).transpose(2, 0, 1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(decode, range(len(names))), total=len(names), desc=f"decode {path.name}", disable=None))
    return images
