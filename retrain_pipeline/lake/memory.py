"""Memory that was freed and that the process still holds: a worker is killed for what it holds."""

import ctypes
from functools import cache

LARGE = 5_000_000
"""Cells of a frame (40 MB of numbers) from which on it is worth the milliseconds."""
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
_BLOCK = 4 * 1024 * 1024


def give_memory_back(cells: int) -> None:
    """Give freed memory back to the system, before or after work on a table of so many cells.

    Arrow's allocator keeps what was freed, and so does glibc's for blocks below 32 MB, such as a column of a million
    numbers: together about 1 GB after a few passes over 30 of them. From the first call on, glibc gives blocks of 4 MB
    and more back as they are freed.
    """
    if cells < LARGE:
        return
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_MMAP_THRESHOLD, _BLOCK)
    except (OSError, AttributeError):
        return None  # another C library: what it keeps is its own affair
    return libc
