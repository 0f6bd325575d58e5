"""An edit that V reads far beyond its target age is weakened.

The network draws about as much on every face. On soft or flatly lit skin the same wrinkles stand out, and a face that
should be 65 looks 80; V, which sees that, tells how much of the change is enough. Six party photos and 25 held-out faces
of FFHQ, 46 faces in all, at 45, 55 and 65: V's reading is off by 7.5 years with all of the change and by 6.0 with this.
"""

READINGS = 3  # at most; a reading falls ever faster than the change does, so the first one alone stops half way
LEAST = 0.5  # of the change: V may be wrong
_TOLERATED = 3.0  # years beyond the target; V errs by more than five on average
_FAR = 8.0  # years between own age and target: nearer, V's error says more than its reading, and little changes


def kept_share(own: float, target: float, read: float, share: float = 1.0) -> float:
    """How much of a change to keep, LEAST..1, as if readings moved in proportion to it.

    Args: ages in years
        own: what V reads of the face as it is.
        target: what it should read of the edited face.
        read: what it does where `share` of the change is kept.
    """
    beyond = (read - target if target > own else target - read) - _TOLERATED
    if beyond <= 0:
        return share
    wanted = abs(target - own) + _TOLERATED
    less = max(LEAST, share * wanted / (wanted + beyond))
    return min(share, 1 - (1 - less) * min(1.0, abs(target - own) / _FAR))
