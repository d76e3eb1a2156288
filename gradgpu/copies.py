"""Copies of numpy arrays, at the speed of memory.

glibc copies 4 KiB to 512 KiB by the instruction `rep movsb`. On AMD's processors that takes up to twelve times as long
where the target lies 1 to 31 bytes behind the source, but for multiples of 4 KiB (glibc's bug 30994). So lie two arrays of
2ᵏ bytes that malloc gave one after the other. Operations on the bits copy as fast as memory allows, wherever they lie.

To turn a matrix, memory is read down its columns. Where its rows are multiples of 512 bytes long, the entries of a column
fall on the same few lines of the cache and drive each other out: such a matrix gets longer rows first.
"""

from __future__ import annotations

import numpy as np

SMALLEST, _LARGEST = 1 << 15, 1 << 19  # bytes; for fewer, the calls cost more than may be lost
_MANY = 1 << 14  # elements
BITS = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}  # by bytes


def copied(x: np.ndarray) -> np.ndarray:
    """A copy, its elements in row-major order."""
    if not x.flags.c_contiguous:
        if x.size >= _MANY and x.ndim > 1 and x.strides[-2] == x.itemsize and not x.strides[-1] % 512:
            x = _with_longer_rows(x.swapaxes(-1, -2)).swapaxes(-1, -2)
        return np.array(x, order="C")
    bits = BITS.get(x.itemsize) if SMALLEST <= x.nbytes < _LARGEST else None
    if bits is None:
        return np.array(x)
    v = x.view(bits)
    return np.bitwise_or(v, v).view(x.dtype)


def _with_longer_rows(x: np.ndarray) -> np.ndarray:
    """A copy with a gap of a line of the cache behind each row."""
    *lead, n = x.shape
    y = np.empty((*lead, n + 64 // x.itemsize), x.dtype)[..., :n]
    y[...] = x
    return y
