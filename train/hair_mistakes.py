"""What the face parser calls hair and is none, as somebody saw by eye: a table such as `train/hair_mistakes.csv`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.archives import table_reader

COLUMNS = "file, left, top, right, bottom and mistake"
# Headwear, clothes and fur; somebody else's hair; flowers, glasses, hands, jewels and what is behind the head.
NOT_HAIR = ("cloth", "person", "other")
MISSED = "missing"  # most of the hair, of a row without a box


class Box(NamedTuple):
    """A part of a face's square in which nothing is its hair; in 0..1, from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


def read_mistakes(path: Path) -> dict[str, list[Box] | None]:
    """File name without folder and ending -> where the parser is mistaken; None where it missed most of the hair.

    Raises:
        FileNotFoundError, ValueError: no such table.
    """
    mistakes: dict[str, list[Box] | None] = {}
    for number, row in enumerate(table_reader(path.read_bytes(), path), 2):
        name, kind = Path(row.get("file") or "").stem, row.get("mistake")
        if name and kind == MISSED:
            mistakes[name] = None
            continue
        try:
            box = Box(*(float(row[edge]) for edge in Box._fields))
        except (KeyError, TypeError, ValueError):
            box = Box(0, 0, 0, 0)
        if not name or kind not in NOT_HAIR or not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
            raise ValueError(
                f"{path}, line {number}: a row is a file, a box (left, top, right and bottom in 0..1) and one of "
                f"{', '.join(NOT_HAIR)}; or a file and {MISSED}"
            )
        boxes = mistakes.setdefault(name, [])
        if boxes is not None:
            boxes.append(box)
    return mistakes


def without_boxes(hair: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """A map of hair [S, S] without what some boxes hold of it."""
    hair, side = hair.copy(), len(hair)
    for left, top, right, bottom in boxes:
        hair[round(top * side) : round(bottom * side), round(left * side) : round(right * side)] = 0
    return hair
