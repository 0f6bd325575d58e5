"""How much memory there is; and freed memory stays with the process.

glibc maps each array of more than some megabytes anew and gives it back when it is freed, so that every first touch of
a 4 kB page is a fault. A training step frees and allocates the same arrays again and again: at 384 px on two cores a
fifth of its time went into faults, and elementwise operations ran four times slower than they do without. And pages
of 2 MB instead of 4 kB, where Linux gives them to who asks, spare a virtual machine most of its address translation.
"""

import ctypes
import os

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_MADV_HUGEPAGE, _LARGE_PAGE = 14, 2 << 20  # of Linux's mman.h, and bytes
_NEVER = 2**31 - 1  # bytes free at the top of the heap before any go back


def physical_memory() -> float:
    """Bytes that this machine has, taken or not; infinity where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return float("inf")


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
    kept = bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, _NEVER))
    if kept:
        _ask_for_large_pages(library, int(physical_memory()) // 2)
    return kept


def _ask_for_large_pages(library: ctypes.CDLL, size: int) -> None:
    """Let the heap grow by `size` bytes, or fewer, and ask for large pages there before any is touched."""
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    while size >= _LARGE_PAGE and not (block := library.malloc(size)):
        size //= 2
    if size >= _LARGE_PAGE:
        start = -(-block // _LARGE_PAGE) * _LARGE_PAGE
        library.madvise(start, (block + size - start) // _LARGE_PAGE * _LARGE_PAGE, _MADV_HUGEPAGE)
        library.malloc(16 * _LARGE_PAGE)  # above it, for good, untouched: the end of the heap would go back
        library.free(block)  # what is allocated next comes from it
