"""A near-uniform distribution of ages (paper, section 4.1): full bins are cut, the others say what they miss."""

from collections.abc import Sequence

import numpy as np

YOUNGEST, OLDEST = 20, 69  # Q of the paper: one bin a year


def age_bin(age: float) -> int | None:
    """The bin of an age in years, rounded as the training rounds it (half to even); None outside of Q."""
    whole = round(age)
    return whole if YOUNGEST <= whole <= OLDEST else None


def choose_balanced(ages: Sequence[float], per_age: int, seed: int) -> list[int]:
    """Indices of the faces to keep, rising: all of a bin, or a random `per_age` of it. Ages outside of Q go."""
    bins: dict[int, list[int]] = {year: [] for year in range(YOUNGEST, OLDEST + 1)}
    for index, age in enumerate(ages):
        if (year := age_bin(age)) is not None:
            bins[year].append(index)
    kept: list[int] = []
    for year, indices in bins.items():
        order = np.random.default_rng([seed, year]).permutation(len(indices))[:per_age]
        kept += [indices[k] for k in order]
    return sorted(kept)


def count_ages(ages: Sequence[float]) -> dict[int, int]:
    """Bin of Q -> number of faces."""
    counts = dict.fromkeys(range(YOUNGEST, OLDEST + 1), 0)
    for age in ages:
        if (year := age_bin(age)) is not None:
            counts[year] += 1
    return counts
