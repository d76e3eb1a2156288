"""Copies of numpy arrays, at the speed of memory.

glibc copies 4 KiB to 512 KiB by the instruction `rep movsb`. On AMD's processors that takes up to twelve times as long
where the target lies 1 to 31 bytes behind the source, but for multiples of 4 KiB (glibc's bug 30994). So lie two arrays of
2ᵏ bytes that malloc gave one after the other. Operations on the bits copy as fast as memory allows, wherever they lie.
"""

from __future__ import annotations

import numpy as np

_SMALLEST, _LARGEST = 1 << 15, 1 << 19  # bytes; for fewer, the calls cost more than may be lost
_BITS = {size: np.dtype(f"i{size}") for size in (2, 4, 8)}


def copied(x: np.ndarray) -> np.ndarray:
    """A copy, its elements in row-major order."""
    bits = _BITS.get(x.itemsize) if _SMALLEST <= x.nbytes < _LARGEST else None
    if bits is None or not x.flags.c_contiguous:
        return np.array(x, order="C")
    v = x.view(bits)
    return np.bitwise_or(v, v).view(x.dtype)
