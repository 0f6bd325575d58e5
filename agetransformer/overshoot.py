"""An edit that V reads far beyond its target age is weakened.

The network draws about as much on every face. On soft or flatly lit skin the same wrinkles stand out, and a face that
should be 65 looks 80; V, which sees that, tells how much of the change is enough.
"""

_TOLERATED = 3.0  # years beyond the target; V errs by more than five on average
_LEAST = 0.6  # of the change: V may be wrong
_FAR = 8.0  # years between own age and target: nearer, V's error says more than its reading, and little changes


def kept_share(own: float, target: float, read: float) -> float:
    """How much of a change to keep, 0.6..1; the reading moves about in proportion to it.

    Args: in years
        own: what V reads of the face as it is.
        target: what it should read of the edited face.
        read: what it does.
    """
    beyond = (read - target if target > own else target - read) - _TOLERATED
    if beyond <= 0:
        return 1.0
    wanted = abs(target - own) + _TOLERATED
    share = max(_LEAST, wanted / (wanted + beyond))
    return 1 - (1 - share) * min(1.0, abs(target - own) / _FAR)
