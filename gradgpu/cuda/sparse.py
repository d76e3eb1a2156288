"""Launchers of sparse.cu."""

from __future__ import annotations

from typing import Any

from .. import dtypes as dt
from .array import Array, contiguous, empty
from .launch import Kernel

_spmm = Kernel("sparse.cu", "spmm", "PPPPPP4qi", T=dt.FLOATS)
_sampled = Kernel("sparse.cu", "sampled_product", "PPPPP4qi", T=dt.FLOATS)
_THREADS = 128
_WARPS = _THREADS // 32


def _grid(warps: int) -> int:
    return min(-(-warps // _WARPS), 1 << 16)


def _lanes(width: int) -> int:
    """The lanes of a warp that share a row of so many columns: the next power of two, up to 32."""
    return min(32, 1 << max(width - 1, 0).bit_length())


def spmm(v: Array, x: Array, ptr: Array, order: Any, other: Array) -> Array:
    """The product with a dense matrix (n, columns) of the sparse one whose rows `ptr`, `order` and `other` describe."""
    v, x = contiguous(v), contiguous(x)
    rows, (count, columns) = ptr.size - 1, x.shape
    y = empty((rows, columns), x.dtype)
    if y.size:
        lanes = _lanes(columns)
        chunks = -(-columns // lanes)
        _spmm[x.dtype](
            _grid(rows * chunks), _THREADS, ptr.ptr, 0 if order is None else order.ptr, other.ptr, v.ptr, x.ptr, y.ptr,
            rows * chunks, chunks, columns, count, lanes,
        )  # fmt: skip
    return y


def sampled_product(a: Array, b: Array, row: Array, column: Array) -> Array:
    """The entries (row[k], column[k]) of a bᵀ."""
    a, b, row, column = contiguous(a), contiguous(b), contiguous(row), contiguous(column)
    v = empty((row.size,), a.dtype)
    if v.size:
        lanes = _lanes(a.shape[1])
        warps = -(-row.size // (32 // lanes))
        _sampled[a.dtype](
            _grid(warps), _THREADS, row.ptr, column.ptr, a.ptr, b.ptr, v.ptr, row.size, a.shape[1], a.shape[0], b.shape[0], lanes,
        )  # fmt: skip
    return v
