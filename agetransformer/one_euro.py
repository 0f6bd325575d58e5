"""The One Euro filter (Casiez, Roussel, Vogel, CHI 2012): smooth while still, without lag while moving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OneEuroConfig:
    """Cut-off frequency = min_cutoff + beta |speed| (equation 5 of the paper)."""

    min_cutoff: float = 1.5  # Hz; lower: less jitter at rest. Infinite: no smoothing at all
    beta: float = 30.0  # Hz per unit of speed; higher: less lag while moving
    derivative_cutoff: float = 1.0  # Hz


def one_euro(values: np.ndarray, times: Sequence[float], config: OneEuroConfig) -> np.ndarray:
    """Filter each column of a signal on its own.

    Args:
        values: [T, ...] float.
        times: [T] seconds, increasing; steps may differ.
    Returns:
        [T, ...] float64; every value depends on what came before it only.
    """
    values = np.asarray(values, np.float64)
    result = values.copy()
    speed = np.zeros_like(values[0])
    for now in range(1, len(values)):
        step = times[now] - times[now - 1]
        latest = (values[now] - values[now - 1]) / step
        speed += _weight(config.derivative_cutoff, step) * (latest - speed)
        weight = _weight(config.min_cutoff + config.beta * np.abs(speed), step)
        result[now] = result[now - 1] + weight * (values[now] - result[now - 1])
    return result


def one_euro_both_ways(values: np.ndarray, times: Sequence[float], config: OneEuroConfig) -> np.ndarray:
    """The mean of the filter run forwards and backwards, whose lags cancel; for signals that are known to the end."""
    forwards = one_euro(values, times, config)
    backwards = one_euro(values[::-1], [-time for time in reversed(times)], config)[::-1]
    return (forwards + backwards) / 2


def _weight(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """How much of a new value an exponential filter takes (equations 3 and 4 of the paper)."""
    return 1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff) * step))
