"""The One Euro filter: against the paper's formulas, and what it is for."""

import math

import numpy as np
import pytest

from agetransformer.one_euro import OneEuroConfig, one_euro, one_euro_both_ways


def test_at_rest_it_is_the_exponential_filter_of_its_cutoff() -> None:
    """beta = 0: the step response of a first-order low-pass, sampled: 1 - (1 - alpha)^n, alpha = 1 / (1 + tau / Te)."""
    times = np.arange(20) / 25
    response = one_euro(np.r_[0.0, np.ones(19)][:, None], times, OneEuroConfig(min_cutoff=1.5, beta=0))[:, 0]
    alpha = 1 / (1 + 1 / (2 * math.pi * 1.5) * 25)
    assert response == pytest.approx(1 - (1 - alpha) ** np.arange(20))


def test_adapts_to_speed_by_hand() -> None:
    """Two steps worked out with the paper's algorithm 1."""
    config = OneEuroConfig(min_cutoff=1, beta=2, derivative_cutoff=1)
    result = one_euro(np.array([0.0, 1.0, 3.0]), [0, 0.1, 0.3], config)

    def weight(cutoff: float, step: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau / step)

    speed = weight(1, 0.1) * 10
    first = weight(1 + 2 * speed, 0.1) * 1
    speed = weight(1, 0.2) * 10 + (1 - weight(1, 0.2)) * speed
    second = (a := weight(1 + 2 * speed, 0.2)) * 3 + (1 - a) * first
    assert result == pytest.approx([0, first, second])


def test_infinite_cutoff_changes_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3, 2))
    config = OneEuroConfig(min_cutoff=math.inf)
    assert one_euro_both_ways(values, np.arange(30) / 30, config) == pytest.approx(values)


def test_both_ways_there_is_no_lag_and_less_noise() -> None:
    times = np.arange(150) / 30
    truth = 0.3 * np.sin(2 * np.pi * 0.4 * times)
    noisy = truth + np.random.default_rng(0).normal(0, 0.005, truth.shape)
    config = OneEuroConfig(min_cutoff=0.8, beta=6)
    one_way, both = one_euro(noisy, times, config), one_euro_both_ways(noisy, times, config)

    def lag(signal: np.ndarray) -> float:
        """Frames by which the signal comes late, to first order."""
        slope = np.gradient(truth)
        return float(((truth - signal) * slope).sum() / (slope**2).sum())

    assert lag(one_way) > 0.5 and abs(lag(both)) < 0.1
    trembling = [np.abs(np.diff(signal - truth, 2)).mean() for signal in (both, noisy)]
    assert trembling[0] < 0.5 * trembling[1]
