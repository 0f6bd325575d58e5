"""Results by group against numbers worked out by hand."""

from dataclasses import dataclass

import pytest
import torch

from train.groups import age_group, classifier_groups, classifier_table, generator_groups, generator_table


@dataclass(frozen=True)
class Judged:
    age: float
    gender: str
    identity: float


def only(rows: list[dict], gender: str, ages: str) -> dict:
    (row,) = [row for row in rows if (row["gender"], row["ages"]) == (gender, ages)]
    return row


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (0, "under 20"),
        (19.9, "under 20"),
        (20, "20-29"),
        (29.5, "20-29"),
        (30, "30-39"),
        (69.9, "60-69"),
        (70, "70 and over"),
        (100, "70 and over"),
    ],
)
def test_age_groups(age: float, name: str) -> None:
    assert age_group(age) == name


def test_generator_by_group() -> None:
    labels, genders = [22.0, 28.0, 25.0, 61.0], ["female", "female", "male", "male"]
    unedited = [Judged(24, "female", 0), Judged(28, "female", 0), Judged(35, "male", 0), Judged(58, "male", 0)]
    edited = {
        65: [Judged(61, "female", 0.3), Judged(67, "male", 0.5), Judged(45, "male", 0.4), Judged(65, "male", 0.1)],
        25: [Judged(25, "female", 0.1)] * 4,
    }
    rows = generator_groups(labels, genders, unedited, edited)
    assert [(row["gender"], row["ages"], row["faces"]) for row in rows] == [
        *(("all", "all", 4), ("all", "20-29", 3), ("all", "60-69", 1)),
        *(("female", "all", 2), ("female", "20-29", 2)),
        *(("male", "all", 2), ("male", "20-29", 1), ("male", "60-69", 1)),
    ]
    women = only(rows, "female", "20-29")
    assert women["judge_error"] == 1 and list(women["targets"]) == ["25", "65"]
    assert women["targets"]["65"] == {
        "age_error": 3, "age_error_se": 1, "age_error_unedited": 39, "age_offset": -1, "gender_kept": 0.5,
        "identity": 0.4,
    }  # fmt: skip
    young_man = only(rows, "male", "20-29")["targets"]["65"]
    assert (young_man["age_error"], young_man["age_offset"], young_man["age_error_se"]) == (20, -20, None)
    table = generator_table(rows).splitlines()
    assert len({line.count("|") for line in table}) == 1 and len(table) == 2 + len(rows)
    assert table[6].startswith(
        "| female | 20-29 | 2 (few) | 1.0 | 0.0 ± 0.0 (+0.0) | 3.0 ± 1.0 (-1.0) | 100, 50 | 0.25 |"
    )


def test_classifier_by_group() -> None:
    predicted, labels = torch.tensor([20.0, 32.0, 8.0, 75.0]), torch.tensor([24.0, 30.0, 5.0, 80.0])
    female, right = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([True, False, True, True])
    rows = classifier_groups(predicted, labels, female, right)
    women = only(rows, "female", "all")
    assert (women["images"], women["mae"], women["offset"], women["gender_accuracy"]) == (2, 3, -1, 0.5)
    assert women["mae_se"] == 1  # of the errors 4 and 2
    assert only(rows, "male", "under 20")["offset"] == 3 and only(rows, "male", "70 and over")["offset"] == -5
    assert only(rows, "all", "all")["mae"] == (4 + 2 + 3 + 5) / 4
    assert "| female | all | 2 (few) | 3.0 ± 1.0 | -1.0 | 50 % |" in classifier_table(rows)
