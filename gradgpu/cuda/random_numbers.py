"""Launchers of random.cu, random_int.cu and multinomial.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from .array import Array, contiguous, empty, on_device
from .joining import grid
from .launch import Kernel

_THREADS = 256
_kinds = {
    kind: Kernel("random.cu", f"random_{kind}", "PQQqdd", T=dt.FLOATS)
    for kind in ("uniform", "normal", "exponential")
}
_bernoulli = Kernel("random.cu", "random_bernoulli", "PPQQqd", T=dt.FLOATS)
_dropout = Kernel("random.cu", "dropout", "PPQQqQd", T=dt.FLOATS)
_integers = Kernel("random_int.cu", "random_int", "PQQqqQ", T=dt.ALL)
_multinomial = Kernel("multinomial.cu", "multinomial", "PPQQqqq", T=(dt.float32, dt.float64))


def draw(
    kind: str, shape: Any, dtype: np.dtype, device: int | None, seed: int, first: int, a: float, b: float
) -> Array:
    """a * number + b for numbers of a distribution: 'uniform' in [0, 1), 'normal' or 'exponential'."""
    y = empty(shape, dtype, device)
    if y.size:
        with on_device(y.device):
            _kinds[kind][y.dtype](grid(-(-y.size // 2)), _THREADS, y.ptr, seed, first, y.size, a, b)
    return y


def integers(
    shape: Any, dtype: np.dtype, device: int | None, seed: int, first: int, low: int, high: int
) -> Array:
    """Integers in [low, high)."""
    y = empty(shape, dtype, device)
    if y.size:
        with on_device(y.device):
            _integers[y.dtype](grid(-(-y.size // 2)), _THREADS, y.ptr, seed, first, y.size, low, high - low)
    return y


def bernoulli(probability: Array | None, like: Any, seed: int, first: int, p: float) -> Array:
    """1 where a uniform number is below its probability (an array, or `p`), else 0."""
    shape, dtype, device = like
    y = empty(shape, dtype, device)
    if y.size:
        dense = None if probability is None else contiguous(probability)
        with on_device(y.device):
            _bernoulli[y.dtype](
                grid(-(-y.size // 4)),
                _THREADS,
                0 if dense is None else dense.ptr,
                y.ptr,
                seed,
                first,
                y.size,
                p,
            )
    return y


def dropout(x: Array, seed: int, first: int, threshold: int, scale: float) -> Array:
    """x * scale where the word of an element is below `threshold`, x * 0 elsewhere."""
    x = contiguous(x)
    y = empty(x.shape, x.dtype, x.device)
    if y.size:
        _dropout[x.dtype](
            grid(-(-x.size // 4)), _THREADS, x.ptr, y.ptr, seed, first, x.size, threshold, scale
        )
    return y


def multinomial(sums: Array, draws: int, seed: int, first: int) -> Array:
    """Categories [rows, draws] drawn with replacement, from cumulative weights [rows, categories]."""
    sums = contiguous(sums)
    rows, categories = sums.shape
    y = empty((rows, draws), np.dtype(np.int64), sums.device)
    if y.size:
        with on_device(y.device):
            _multinomial[sums.dtype](
                grid(y.size), _THREADS, sums.ptr, y.ptr, seed, first, y.size, draws, categories
            )
    return y
