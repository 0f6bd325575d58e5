"""How much of an edit to add, so that the face looks its target age to V.

The network draws about as much on every face. On soft or flatly lit skin the same wrinkles stand out, and a face that
should be 65 looks 80; on others it looks 55. V, which sees that, tells how much of the change is enough.
"""

READINGS = 3  # at most; a reading does not quite move in proportion to the change, so the first one alone stops short
LEAST, MOST = 0.5, 1.2  # of the change: V may be wrong, and what is drawn too strongly looks drawn
_TOLERATED = 3.0  # years beside the target; V errs by more than five on average
_FAR = 8.0  # years, and those, between own age and target: nearer, V's error says more than its reading
_AT_ZERO, _A_YEAR = 4.2, 0.91  # V's mean reading of real faces as a line, fitted to the held-out ones of FFHQ


def expected_reading(age: float) -> float:
    """What V reads of faces of this age on average, both in years: the young look older to it and the old younger."""
    return _AT_ZERO + _A_YEAR * age


def calibrated_share(own: float, target: float, read: float, share: float = 1.0) -> float:
    """How much of a change to add, LEAST..MOST, as if readings moved in proportion to it.

    Args: ages in years
        own: what V reads of the face as it is.
        target: what it should read of the edited face.
        read: what it does where `share` of the change is added.
    """
    wanted = abs(target - own)
    moved = read - own if target > own else own - read
    goal = min(max(moved, wanted - _TOLERATED), wanted + _TOLERATED)
    if goal == moved or wanted <= _TOLERATED:
        return share
    right = share * goal / moved if moved > 0 else MOST
    return share + (min(max(right, LEAST), MOST) - share) * min(1.0, (wanted - _TOLERATED) / _FAR)
