"""Results by group: gender and decade of age, as the labels of the unedited faces say.

The labels know two genders and no skin tone, ethnicity or origin; so does everything here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from train.tables import markdown_table

ALL = "all"
GENDERS = ("female", "male")
DECADES = tuple(range(20, 70, 10))  # Q of the paper; younger and older faces are groups of their own
FEW = 10  # groups of fewer faces say little


class Judged(Protocol):
    """What is read here of a measured picture."""

    @property
    def age(self) -> float: ...
    @property
    def gender(self) -> str: ...
    @property
    def identity(self) -> float: ...


def age_group(age: float) -> str:
    """The decade of an age in years: "20-29", and so on; "under 20" and "70 and over" outside Q."""
    if age < DECADES[0]:
        return f"under {DECADES[0]}"
    if age >= DECADES[-1] + 10:
        return f"{DECADES[-1] + 10} and over"
    decade = int(age // 10) * 10
    return f"{decade}-{decade + 9}"


def groups(ages: Sequence[float], genders: Sequence[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Every group that has a face, with its mask [N]: everyone, each gender, each age group, and both together."""
    of_age, of_gender = np.array([age_group(age) for age in ages]), np.array(genders)
    names = [age_group(age) for age in (0, *DECADES, 100)]
    for gender in (ALL, *GENDERS):
        for name in (ALL, *names):
            mask = ((of_gender == gender) | (gender == ALL)) & ((of_age == name) | (name == ALL))
            if mask.any():
                yield gender, name, mask


def generator_groups(
    ages: Sequence[float],
    genders: Sequence[str],
    unedited: Sequence[Judged],
    edited: Mapping[int, Sequence[Judged]],
) -> list[dict]:
    """How well each group is served by a generator.

    Args:
        ages, genders: labels of the unedited faces, years and "female" or "male".
        unedited, edited: measurements in the same order of faces; those of the edits by target age.
    Returns:
        For each group its number of faces, the judge's error on the unedited faces against their labels, and for each
        target: mean absolute error of the judged age (also before the edit) and its standard error, mean judged minus
        target age, share 0..1 whose judged gender stays, identity distance.
    """
    before = np.array([m.age for m in unedited])
    rows = []
    for gender, name, mask in groups(ages, genders):
        targets = {}
        for target, measured in sorted(edited.items()):
            judged = np.array([m.age for m in measured])[mask]
            error = np.abs(judged - target)
            kept = np.array([m.gender == u.gender for m, u in zip(measured, unedited, strict=True)])[mask]
            targets[str(target)] = {
                "age_error": _rounded(error.mean()),
                "age_error_se": _rounded(error.std(ddof=1) / np.sqrt(len(error))) if len(error) > 1 else None,
                "age_error_unedited": _rounded(np.abs(before[mask] - target).mean()),
                "age_offset": _rounded((judged - target).mean()),
                "gender_kept": _rounded(kept.mean()),
                "identity": _rounded(np.array([m.identity for m in measured])[mask].mean()),
            }
        judge_error = np.abs(before[mask] - np.array(ages)[mask]).mean()
        row = {"gender": gender, "ages": name, "faces": int(mask.sum()), "judge_error": _rounded(judge_error)}
        rows.append(row | {"targets": targets})
    return rows


def classifier_groups(predicted: Tensor, labels: Tensor, female: Tensor, right: Tensor) -> list[dict]:
    """How well each group is read by an age classifier.

    Args:
        predicted, labels: ages in years, [N].
        female: the label, 1 or 0, [N].
        right: whether the gender head agrees with the label, [N] bool.
    Returns:
        For each group its number of images, mean absolute error and its standard error, mean error, share 0..1 of
        right genders.
    """
    genders = [GENDERS[0] if value else GENDERS[1] for value in female.tolist()]
    rows = []
    for gender, name, selected in groups(labels.tolist(), genders):
        mask = torch.from_numpy(selected)
        difference = (predicted - labels)[mask]
        error = difference.abs()
        rows.append(
            {
                "gender": gender,
                "ages": name,
                "images": len(error),
                "mae": _rounded(error.mean().item()),
                "mae_se": _rounded(error.std().item() / len(error) ** 0.5) if len(error) > 1 else None,
                "offset": _rounded(difference.mean().item()),
                "gender_accuracy": _rounded(right[mask].float().mean().item()),
            }
        )
    return rows


def generator_table(rows: Sequence[dict]) -> str:
    """`generator_groups` as a Markdown table: a row a group, the age error at each target, gender kept at all."""
    targets = list(rows[0]["targets"])
    headings = [
        "gender", "age", "faces", "judge off", *(f"error at {t}" for t in targets),
        f"gender kept at {', '.join(targets)}, %", "identity",
    ]  # fmt: skip
    lines = []
    for row in rows:
        measured = [row["targets"][target] for target in targets]
        errors = [f"{m['age_error']:.1f}{_spread(m['age_error_se'])} ({m['age_offset']:+.1f})" for m in measured]
        kept = ", ".join(f"{100 * m['gender_kept']:.0f}" for m in measured)
        identity = np.mean([m["identity"] for m in measured])
        lines.append([*_names(row, "faces"), f"{row['judge_error']:.1f}", *errors, kept, f"{identity:.2f}"])
    return markdown_table(headings, lines)


def classifier_table(rows: Sequence[dict]) -> str:
    """`classifier_groups` as a Markdown table."""
    headings = ["gender", "age", "images", "mean absolute error", "mean error", "gender right"]
    lines = [
        [
            *_names(row, "images"),
            f"{row['mae']:.1f}{_spread(row['mae_se'])}",
            f"{row['offset']:+.1f}",
            f"{100 * row['gender_accuracy']:.0f} %",
        ]
        for row in rows
    ]
    return markdown_table(headings, lines)


def _names(row: dict, count: str) -> list[str]:
    few = " (few)" if row[count] < FEW else ""
    return [row["gender"], row["ages"], f"{row[count]}{few}"]


def _spread(error: float | None) -> str:
    return "" if error is None else f" ± {error:.1f}"


def _rounded(value: float) -> float:
    return round(float(value), 4)
