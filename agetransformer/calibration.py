"""How much of an edit to add, so that the face looks its target age to V.

The network draws about as much on every face. On soft or flatly lit skin the same wrinkles stand out, and a face that
should be 65 looks 80; on others it looks 55. V, which sees that, tells how much of the change is enough.

Of old faces that are made young, all of the change may not be enough: deep folds are still there. A second pass, over
what the first has made, takes them for those of a younger face and smooths them too. So a share of 1.7 is 1.2 of the
first pass and half of the second.
"""

READINGS = 3  # at most; a reading does not quite move in proportion to the change, so the first one alone stops short
LEAST, MOST = 0.5, 1.2  # of the change: V may be wrong, and what is drawn too strongly looks drawn
MOST_OLDER = 1.5  # where it makes older: `agetransformer.shade` takes out of it what would look drawn
MOST_TWICE = 1.9  # beyond MOST it is the change of a second pass, over the face as the first has made it: see above
_TOLERATED = 3.0  # years beside the target; V errs by more than five on average
_FAR = 8.0  # years, and those, between own age and target: nearer, V's error says more than its reading
_FAR_TWICE = 16.0  # years more, from which on all of a second pass may be added
_AT_ZERO, _A_YEAR = 4.2, 0.91  # V's mean reading of real faces as a line, fitted to the held-out ones of FFHQ


def expected_reading(age: float) -> float:
    """What V reads of faces of this age on average, both in years: the young look older to it and the old younger."""
    return _AT_ZERO + _A_YEAR * age


def calibrated_share(own: float, target: float, read: float, share: float = 1.0) -> float:
    """How much of a change to add, as if readings moved in proportion to it.

    That is LEAST..MOST_OLDER where it makes older, LEAST..MOST where it makes younger, and up to MOST_TWICE where it
    makes much younger.

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
    twice = min(max((wanted - _TOLERATED - _FAR) / _FAR_TWICE, 0.0), 1.0)
    most = MOST_OLDER if target > own else MOST + twice * (MOST_TWICE - MOST)
    right = share * goal / moved if moved > 0 else most
    return share + (min(max(right, LEAST), most) - share) * min(1.0, (wanted - _TOLERATED) / _FAR)


def first_pass(share: float, older: bool) -> float:
    """How much of a share is of the first pass; the rest is of the second, which nobody who grows older gets."""
    return share if older else min(share, MOST)
