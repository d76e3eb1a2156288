"""Sums and maxima of numpy arrays over some of their dimensions.

numpy's `reduce` treats the innermost dimension one row at a time, and a short row costs more than its additions. A
product with a vector of ones is the same sum, in BLAS, at a tenth of the time.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

_add: Any = np.add.reduce
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
# A product adds in few running sums. Beyond these lengths numpy, which adds pairwise in rows, is as fast or more exact.
_LONGEST_ROW, _LONGEST_COLUMN = 1024, 65536
_MANY, _PIECE = 1 << 15, 512  # elements from which on a sum of all is made of products, of pieces of so many


@lru_cache(maxsize=64)
def ones(n: int, dtype: np.dtype) -> np.ndarray:
    """n ones, to multiply with."""
    return np.ones(n, dtype)


@lru_cache(maxsize=4096)
def _plan(shape: tuple[int, ...], dims: tuple[int, ...], keepdims: bool, dtype: np.dtype) -> tuple | None:
    """(whether the ones stand right, the shape to multiply, ones, the shape of the sum); None if numpy shall add."""
    n = len(shape)
    if dtype not in FLOATS or not dims or len(dims) >= n:
        return None
    first, behind = dims[0], dims[-1] + 1
    before, length, after = prod(shape[:first]), prod(shape[first:behind]), prod(shape[behind:])
    if not before * length * after or length > (_LONGEST_ROW if behind == n else _LONGEST_COLUMN):
        return None
    middle = (1,) * len(dims) if keepdims else ()
    made = (*shape[:first], *middle, *shape[behind:])
    if behind == n:
        return True, (before, length), ones(length, dtype), made
    inner = (length, after) if first == 0 else (before, length, after)
    return False, inner, ones(length, dtype), made


def _in_order(strides: tuple[int, ...]) -> bool:
    """Whether memory is passed in the order of the dimensions, with gaps."""
    return all(a >= b > 0 for a, b in itertools.pairwise(strides))


def float_sum(x: np.ndarray, dims: tuple[int, ...], keepdims: bool = False) -> Any:
    """`np.add.reduce(x, dims, keepdims=keepdims)` for ascending `dims`."""
    if len(dims) > 1 and dims[-1] - dims[0] >= len(dims):  # not side by side: first the last ones that are
        k = next(k for k in range(len(dims) - 1, 0, -1) if dims[k] - dims[k - 1] > 1)
        return float_sum(float_sum(x, dims[k:], keepdims), dims[:k], keepdims)
    if x.size >= _MANY and len(dims) == x.ndim and x.dtype in FLOATS and x.flags.c_contiguous:
        total = _sum_of_all(x.reshape(-1))
        return total.reshape((1,) * x.ndim) if keepdims else total
    plan = _plan(x.shape, dims, keepdims, x.dtype)
    if plan is not None and not x.flags.c_contiguous:
        if x.size >= 4096 and _in_order(x.strides):
            x = np.ascontiguousarray(x)  # a part of a larger array
        else:
            plan = None
    if plan is None:
        return _add(x, axis=None if len(dims) == x.ndim else dims, keepdims=keepdims)
    right, inner, vector, shape = plan
    if right:
        return np.dot(x.reshape(inner), vector).reshape(shape)
    if len(inner) == 2:
        return np.dot(vector, x.reshape(inner)).reshape(shape)
    return np.matmul(vector, x.reshape(inner)).reshape(shape)


def _sum_of_all(x: np.ndarray) -> Any:
    head = x.size - x.size % _PIECE
    total = _add(np.dot(x[:head].reshape(-1, _PIECE), ones(_PIECE, x.dtype)))
    return total if head == x.size else total + _add(x[head:])


def in_range(sums: np.ndarray, limit: float = 1e30) -> bool:
    """Whether these sums of exponentials lie between 1 / limit and limit. Within the default, float32 holds all that counts
    in them: then none of the exponents needs their largest taken away."""
    return bool(1 / limit < np.minimum.reduce(sums, axis=None) and np.maximum.reduce(sums, axis=None) < limit)


def float_max(x: np.ndarray, dim: int) -> Any:
    """`np.maximum.reduce(x, dim, keepdims=True)`."""
    n = x.shape[-1] if dim == x.ndim - 1 else 0
    if not 1 < n <= 32 or x.size < 64 * n:
        return np.maximum.reduce(x, axis=dim, keepdims=True)
    columns = np.ascontiguousarray(x.reshape(-1, n).T)  # whose rows numpy compares at a stroke
    return np.maximum.reduce(columns, axis=0).reshape((*x.shape[:-1], 1))
