"""How the learning rate goes over a run."""

import math

WARM_UP = 0.03  # of the steps


def cosine_rate(step: int, steps: int) -> float:
    """A linear warm-up, then half a cosine down to 0: the learning rate of a step as a share of its peak, 0..1."""
    return min((step + 1) / (WARM_UP * steps + 1), 0.5 * (1 + math.cos(math.pi * step / steps)))
