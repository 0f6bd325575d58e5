"""Freed memory stays with the process.

glibc maps each array of more than some megabytes anew and gives it back when it is freed, so that every first touch of
a 4 kB page is a fault. A training step frees and allocates the same arrays again and again: at 384 px on two cores a
fifth of its time went into faults, and elementwise operations ran four times slower than they do without.
"""

import ctypes

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_NEVER = 2**31 - 1  # bytes free at the top of the heap before any go back


def keep_freed_memory(device: str = "cpu") -> bool:
    """Tell the C library to keep what is freed; True where that is glibc, elsewhere nothing happens.

    Args:
        device: what computes; where it is not the CPU, nothing happens either.
    """
    if torch.device(device).type != "cpu":
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018, an AttributeError where it is another library
    except (AttributeError, OSError, TypeError):
        return False
    return bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, _NEVER))
