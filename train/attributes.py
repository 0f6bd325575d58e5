"""Face attributes that the same recipe edits: one classifier V, one modulation, one set of targets for each.

Every attribute lives on V's scale of 0..100. For age that is years; for one that is present or absent, 100 and 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

_OLDEST = 119
NO_GLASSES = ("NoGlasses", "")  # Face API's word in the column "glasses", and nothing said


def read_glasses(label: str) -> float:
    """A label as it stands in the column "glasses" -> 1 with glasses; 0 without, or where it does not say."""
    return float(label not in NO_GLASSES)


def read_age(label: str) -> float:
    """A label as it stands in the column "age" -> years.

    Raises:
        ValueError: no age.
    """
    years = float(label)
    if not 0 <= years <= _OLDEST:
        raise ValueError(f"age is years from 0 to {_OLDEST}, not {label!r}")
    return years


def read_female(label: str) -> float:
    """A label as it stands in the column "gender" -> 1 for female, 0 for male.

    Raises:
        ValueError: another word.
    """
    if label not in ("female", "male"):
        raise ValueError(f"gender is female or male, not {label!r}")
    return float(label == "female")


@dataclass(frozen=True)
class Attribute:
    """What to edit."""

    column: str  # of labels.csv
    read: Callable[[str], float]  # a label as it stands there -> 0..100
    targets: tuple[int, ...]  # Q, rising: what training asks for
    samples: tuple[int, ...]  # what the pictures of a run show
    bin: float  # faces are drawn so that bins of this width are equally likely, ten bins at most


ATTRIBUTES = {
    "age": Attribute("age", read_age, tuple(range(20, 70)), (25, 35, 45, 55, 65), 5),
    "smile": Attribute("smile", lambda text: 100.0 * (float(text) >= 0.5), (0, 100), (0, 100), 50),
    "glasses": Attribute("glasses", lambda text: 100.0 * read_glasses(text), (0, 100), (0, 100), 50),
    "gender": Attribute("gender", lambda text: 100.0 * read_female(text), (0, 100), (0, 100), 50),
}
AGE = ATTRIBUTES["age"]


def find_attribute(name: str) -> Attribute:
    """
    Raises:
        ValueError: no such attribute.
    """
    if name not in ATTRIBUTES:
        raise ValueError(f"attribute: expected one of {', '.join(ATTRIBUTES)}, found '{name}'")
    return ATTRIBUTES[name]
