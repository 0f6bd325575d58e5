"""Labelled faces streamed from tar shards (WebDataset), for data sets that fit neither memory nor disk.

A shard is a tar file with, for each face, `KEY.webp` (or .jpg, .png) and `KEY.json`: its labels, under the names of the
columns of labels.csv, and `file`, by which faces are held out. `python -m train.shards` writes them.

Every loader process draws shards at random, with replacement, and reads them from end to end, so that any number of
shards serves any number of processes, machines and steps, and each face is read equally often in the long run.

The draw is balanced without a pass over the data: each loader keeps a buffer for each bin of age (of the attribute).
For each face that it gives, it reads one face of the stream, which takes the place of a random one of its bin, and then
gives a random face of a random bin. So the bins are equally likely, as they are from memory; faces of rare ages come
again and again until others of their bin replace them. With `balance_traits` each bin has a buffer for each trait
(gender and glasses), and these are as likely as the trait has been frequent so far: see train.batches.age_balance.
"""

import itertools
import json
import random
import signal
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import webdataset
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from agetransformer.cpus import usable_cpus
from train.archives import open_image, require_square
from train.attributes import Attribute, read_female, read_glasses
from train.data import Faces, is_held_out

IMAGE_ENDINGS = ("webp", "jpg", "jpeg", "png")
FAULTS = 10  # so many in a row stop a run
TRAITS = 4  # with and without glasses, of both genders
TEST_FACES = 64  # held-out faces that a run's samples are chosen from
TEST_SEARCH = 5_000  # faces that are read to find them


@dataclass(frozen=True)
class Face:
    """One face of a shard, still encoded."""

    data: bytes
    label: float  # of the attribute, 0..100
    female: float
    name: str  # by which it is held out
    where: str  # for error messages
    glasses: float = 0.0

    @property
    def trait(self) -> int:
        """Gender and glasses as one number, below TRAITS."""
        return int(self.female + 2 * self.glasses)


def expand(entries: tuple[str, ...]) -> list[str]:
    """`data` entries with their {000000..000009} written out."""
    return [url for entry in entries for url in webdataset.shardlists.expand_urls(entry)]


class Faults:
    """What to do about a shard or a face that cannot be read: say so and go on, but not for ever."""

    def __init__(self, limit: int):
        self.limit = limit
        self.row = 0  # faults since the last good face

    def __call__(self, error: Exception) -> bool:
        """WebDataset's handler; True: go on."""
        where = next((str(part) for part in reversed(error.args) if isinstance(part, str)), "")
        known = isinstance(error, BrokenFace)
        sentence = str(error) if known else f"{where}: cannot be read as a tar shard ({_reason(error)})"
        self.row += 1
        if self.row >= self.limit:
            raise ValueError(sentence) from error
        warnings.warn(f"skipped {sentence}", stacklevel=2)
        return True


class BrokenFace(ValueError):
    """A face of a shard has no image or no labels; the message says which."""


def _reason(error: Exception) -> str:
    said = [str(part) for part in error.args[:1]]
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def read_faces(
    urls: Iterable[dict[str, str]], attribute: Attribute, faults: Faults, need_glasses: bool = False
) -> Iterator[Face]:
    """The faces of shards in order, what is broken left out."""
    for sample in webdataset.tariterators.tarfile_samples(urls, handler=faults):
        try:
            face = parse_face(sample, attribute, need_glasses)
        except BrokenFace as error:
            faults(error)
            continue
        faults.row = 0
        yield face


def parse_face(sample: dict, attribute: Attribute, need_glasses: bool = False) -> Face:
    """A sample of WebDataset -> Face.

    Args:
        need_glasses: whether the label `glasses` has to be there; an empty one, which says nothing, is.
    Raises:
        BrokenFace: no image, or not the labels that it takes.
    """
    where = f"{sample['__url__']}: {sample['__key__']}"
    ending = next((ending for ending in IMAGE_ENDINGS if ending in sample), None)
    if ending is None or "json" not in sample:
        missing = "image (.webp, .jpg or .png)" if ending is None else ".json with its labels"
        raise BrokenFace(f"{where} has no {missing}; `python -m train.shards` writes shards as they should be")
    try:
        labels = {name: _as_in_a_table(value) for name, value in json.loads(sample["json"]).items()}
        label, female = attribute.read(labels[attribute.column]), read_female(labels["gender"])
    except (ValueError, KeyError, AttributeError) as error:
        raise BrokenFace(f"{where}.json needs the labels {attribute.column} and gender ({error!r})") from error
    if need_glasses and "glasses" not in labels:
        raise BrokenFace(
            f"{where}.json has no label glasses, which balance_traits and glasses_classifier need: write the shards "
            "anew with `python -m train.shards` from archives whose labels.csv has it, or set balance_traits to false "
            'and glasses_classifier to ""'
        )
    name = labels.get("file") or f"{sample['__key__']}.{ending}"
    return Face(sample[ending], label, female, name, where, read_glasses(labels.get("glasses", "")))


def _as_in_a_table(value: object) -> str:
    """A label of a shard's JSON as labels.csv would have it: null and false say nothing."""
    return "" if value is None or value is False else str(value)


def decode(face: Face, size: int) -> Tensor:
    """[3, size, size] uint8.

    Raises:
        BrokenFace: it is no image.
    """
    try:
        image = open_image(face.data, face.where)
        require_square(image, face.where)
    except ValueError as error:
        raise BrokenFace(str(error)) from error
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def draw_balanced(
    faces: Iterator[Face], buffer: int, attribute: Attribute, draw: random.Random, balance_traits: bool = False
) -> Iterator[Face]:
    """An endless stream, balanced over the attribute's bins (see the top of this file)."""
    lowest, highest = attribute.targets[0], attribute.targets[-1]
    count = int((highest - lowest) // attribute.bin) + 1
    room = max(1, buffer // (count * TRAITS if balance_traits else count))
    cells: dict[tuple[int, int], list[Face]] = {}  # by bin and trait
    frequency: Counter[int] = Counter()  # of each trait
    for read, face in enumerate(faces, start=1):
        if lowest <= round(face.label) <= highest and not is_held_out(face.name):
            trait = face.trait if balance_traits else 0
            frequency[trait] += 1
            kept = cells.setdefault((min(int((round(face.label) - lowest) // attribute.bin), count - 1), trait), [])
            if len(kept) < room:
                kept.append(face)
            else:
                kept[draw.randrange(len(kept))] = face
        if read >= buffer and not cells:
            raise ValueError(f"none of {read} faces of the shards is of a label within {lowest}..{highest}")
        if read >= buffer:
            (kept,) = draw.choices(list(cells.values()), [frequency[trait] for _, trait in cells])
            yield draw.choice(kept)


@dataclass(frozen=True)
class FaceStream(IterableDataset):
    """An endless, balanced stream of (image [3, S, S] uint8, label, trait) for a DataLoader."""

    entries: tuple[str, ...]  # of `data`
    size: int
    attribute: Attribute
    buffer: int  # encoded faces, of all the loader's workers together
    seed: str
    balance_traits: bool = False

    def __iter__(self) -> Iterator[tuple[Tensor, float, int]]:
        worker = get_worker_info()
        index, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        draw = random.Random(f"{self.seed} {index}")
        shards = expand(self.entries)
        urls = ({"url": draw.choice(shards)} for _ in itertools.count())
        faces = read_faces(urls, self.attribute, Faults(FAULTS), self.balance_traits)
        undecodable = Faults(FAULTS)  # a row of its own: what is parsed well may still be no image
        buffer = max(1, self.buffer // workers)
        for face in draw_balanced(faces, buffer, self.attribute, draw, self.balance_traits):
            try:
                image = decode(face, self.size)
            except BrokenFace as error:
                undecodable(error)
                continue
            undecodable.row = 0
            yield image, face.label, face.trait


def load_stream(stream: FaceStream, batch: int, workers: int, device: torch.device) -> Iterator[list[Tensor]]:
    """Batches (images [N, 3, S, S] uint8, labels [N], traits [N]), decoded ahead in other processes."""
    workers = min(workers, usable_cpus())
    pinned = device.type == "cuda"
    return iter(DataLoader(stream, batch, num_workers=workers, pin_memory=pinned, worker_init_fn=_leave_interrupt))


def _leave_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the main one decides what it means (train/deadline.py)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def read_held_out(
    entries: tuple[str, ...], size: int, attribute: Attribute, need_glasses: bool = False, strict: bool = True
) -> Faces:
    """The first held-out faces of the shards: what a run's samples show.

    Args:
        strict: whether the first shard or face that cannot be read is an error; otherwise, as in the stream, many are.
    Raises:
        ValueError: what cannot be read, or lacks labels; or no face is held out.
    """
    urls, faults = expand(entries), Faults(1 if strict else FAULTS)
    found: list[Face] = []
    images: list[Tensor] = []
    faces = read_faces(({"url": url} for url in urls), attribute, faults, need_glasses)
    for face in itertools.islice(faces, TEST_SEARCH):
        if not is_held_out(face.name):
            continue
        try:
            images.append(decode(face, size))
        except BrokenFace as error:
            faults(error)
            continue
        found.append(face)
        if len(found) == TEST_FACES:
            break
    if not found:
        raise ValueError(f"{urls[0]}: none of the first {TEST_SEARCH} faces is held out by its name (one in twenty is)")
    labels, female, glasses = (
        torch.tensor([getattr(face, name) for face in found]) for name in ("label", "female", "glasses")
    )
    names, source = tuple(face.name for face in found), torch.zeros(len(found), dtype=torch.int64)
    return Faces(torch.stack(images), labels, female, names, source, glasses)
