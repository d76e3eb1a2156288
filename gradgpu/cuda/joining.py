"""Launchers of join.cu and join_sum.cu."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from .array import Array, contiguous, empty
from .launch import Kernel

_SIZES = (dt.uint8, dt.int16, dt.int32, dt.int64)
_BY_SIZE = {d.itemsize: d.np for d in _SIZES}
_cat = Kernel("join.cu", "cat", "32P33qP4q", T=_SIZES)
_pad = Kernel("join.cu", "pad", "PP6q", T=_SIZES)
_pad_backward = Kernel("join_sum.cu", "pad_backward", "PP6q", T=dt.FLOATS)
_AT_ONCE = 32  # inputs of one launch of cat
_THREADS = 256


def grid(n: int) -> int:
    """Blocks for a grid-stride loop over `n` > 0 elements."""
    return min(-(-n // _THREADS), 1 << 16)


def widest(itemsize: int, *multiples: int) -> int:
    """The largest element size, up to 8 bytes, in which addresses and lengths (in bytes) are whole numbers."""
    bits = 8
    for m in multiples:
        bits |= m
    return max(bits & -bits, itemsize)


def element_type(itemsize: int) -> np.dtype:
    """The dtype whose kernel moves elements of this size."""
    return _BY_SIZE[itemsize]


def cat(xs: Sequence[Array | None], sizes: Sequence[int], shape: Sequence[int], dim: int) -> Array:
    """Arrays joined along `dim` into a new one of `shape`; None stands for zeros."""
    dense: list[Any] = [x if x is None else contiguous(x) for x in xs]
    like = next(x for x in dense if x is not None)
    y = empty(shape, like.dtype, like.device)
    if not y.size:
        return y
    itemsize = like.layout.itemsize
    before, row = prod(shape[:dim]), prod(shape[dim + 1 :]) * itemsize
    parts = [(0 if x is None else x.ptr, size * row) for x, size in zip(dense, sizes) if size]
    step = widest(itemsize, y.ptr, *[m for part in parts for m in part])
    launch = _cat[element_type(step)]
    offset = 0
    for k in range(0, len(parts), _AT_ONCE):
        some = parts[k : k + _AT_ONCE]
        spare = _AT_ONCE - len(some)
        starts = [0, *accumulate(nbytes // step for _, nbytes in some)]
        total = before * starts[-1]
        launch(
            grid(total), _THREADS, *[p for p, _ in some], *(0,) * spare, *starts, *(0,) * spare,
            y.ptr, total, shape[dim] * row // step, offset, len(some),
        )  # fmt: skip
        offset += starts[-1]
    return y


def pad(x: Array, dim: int, left: int, right: int, mode: int) -> Array:
    """One dimension padded by reflection (1), replication (2) or wrapping (3)."""
    x = contiguous(x)
    n, after = x.shape[dim], prod(x.shape[dim + 1 :])
    y = empty((*x.shape[:dim], n + left + right, *x.shape[dim + 1 :]), x.dtype, x.device)
    if y.size:
        _pad[element_type(x.layout.itemsize)](
            grid(y.size), _THREADS, x.ptr, y.ptr, y.size, n, n + left + right, after, left, mode
        )
    return y


def pad_backward(g: Array, dim: int, left: int, right: int, mode: int) -> Array:
    """The gradient of `pad`."""
    g = contiguous(g)
    m, after = g.shape[dim], prod(g.shape[dim + 1 :])
    n = m - left - right
    dx = empty((*g.shape[:dim], n, *g.shape[dim + 1 :]), g.dtype, g.device)
    if dx.size:
        _pad_backward[g.dtype](grid(dx.size), _THREADS, g.ptr, dx.ptr, dx.size, n, m, after, left, mode)
    return dx
