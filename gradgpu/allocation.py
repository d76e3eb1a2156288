"""Keeps freed memory in the process, so that the arrays of the next step need no new pages.

glibc returns large blocks to the system when they are freed and gets them back zeroed, page by page, at the next
allocation of the same size: half the time of a training step on the CPU whose arrays have some hundred kilobytes.
With these limits blocks up to 32 MiB come from the heap, which keeps up to 256 MiB of free memory at its end.
"""

from __future__ import annotations

import ctypes
import os

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # parameters of mallopt(3)


def keep_freed_memory() -> bool:
    """Sets the limits where the C library is glibc, unless the environment sets its own; whether it did."""
    chosen = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if os.name != "posix" or any(name in os.environ for name in chosen):
        return False
    library = ctypes.CDLL(None)
    # Another C library may have a mallopt that means something else.
    if not (hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt")):
        return False
    return bool(library.mallopt(MMAP_THRESHOLD, 32 << 20)) and bool(
        library.mallopt(TRIM_THRESHOLD, 256 << 20)
    )


KEPT = keep_freed_memory()
