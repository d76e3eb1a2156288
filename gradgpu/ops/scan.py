"""Cumulative sums and products."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..tensor import Tensor
from . import shape as _shape
from .inplace import inplace
from .pad import constant_pad_op
from .registry import Op, method, refuse_others
from .sums import FLOATS


def _flipped(x: Any, dim: int) -> Any:
    return x[(*(slice(None),) * dim, slice(None, None, -1))]


_LONG_ROW = 128  # elements from which on an addition of whole rows costs less than numpy's `accumulate`


def _accumulate(ufunc: np.ufunc, x: Any, dim: int, reverse: bool) -> Any:
    half = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
    if dim != x.ndim - 1 and x.size > _LONG_ROW * x.shape[dim] and not half:
        return _accumulate_rows(ufunc, x, dim, reverse)
    if reverse:
        x = _flipped(x, dim)
    y = ufunc.accumulate(x, axis=dim, dtype=np.float32 if half else x.dtype)
    if half:
        y = y.astype(x.dtype)
    return _flipped(y, dim) if reverse else y


def _accumulate_rows(ufunc: np.ufunc, x: Any, dim: int, reverse: bool) -> Any:
    """Along any dimension but the last, row by row in memory that has that dimension first."""
    y = np.array(x.swapaxes(0, dim), order="C")
    before = None
    for row in reversed(y) if reverse else y:
        if before is not None:
            ufunc(before, row, row)
        before = row
    if dim == 0:
        return y
    made = np.empty(x.shape, x.dtype)
    made.swapaxes(0, dim)[...] = y
    return made


_MANY = 1 << 14  # elements


@lru_cache(maxsize=4096)
def _block(n: int) -> int:
    """The length of the pieces in which rows of n are added up, or 0."""
    return next((length for length in range(32, 7, -1) if n % length == 0), 0)


@lru_cache(maxsize=64)
def _triangle(n: int, dtype: np.dtype, reverse: bool) -> np.ndarray:
    return np.tri(n, dtype=dtype) if reverse else np.tri(n, dtype=dtype).T


def _cumsum_of_blocks(x: np.ndarray, reverse: bool) -> np.ndarray | None:
    """Along the last dimension: products of pieces of each row with a triangle of ones, to which the sums of the pieces
    before are added. Half the time of `np.add.accumulate`, whose additions wait for each other, and more exact. None if
    an infinity or NaN would spread over its piece."""
    n = x.shape[-1]
    length = _block(n)
    last = 0 if reverse else -1
    y = np.dot(x.reshape(-1, length), _triangle(length, x.dtype, reverse))
    sums = y[:, last]
    if not np.isfinite(sums).all():
        return None
    if length < n:
        y = y.reshape(-1, n // length, length)
        if reverse:
            y[:, :-1] += np.add.accumulate(y[:, :0:-1, last], axis=1)[:, ::-1, None]
        else:
            y[:, 1:] += np.add.accumulate(y[:, :-1, last], axis=1)[..., None]
    return y.reshape(x.shape)


def _cumsum_cpu(x, *, dim, reverse=False):
    if (
        x.size >= _MANY
        and dim == x.ndim - 1
        and x.dtype in FLOATS
        and x.flags.c_contiguous
        and _block(x.shape[-1])
    ):
        made = _cumsum_of_blocks(x, reverse)
        if made is not None:
            return made
    return _accumulate(np.add, x, dim, reverse)


def _cumsum_cuda(x, *, dim, reverse=False):
    from ..cuda.indexing import scan

    return scan("cumsum", x, dim, reverse)


cumsum_op = Op(
    "cumsum",
    _cumsum_cpu,
    _cumsum_cuda,
    {"x": lambda g, *, dim, reverse: cumsum_op(g, dim=dim, reverse=not reverse)},
)


# ---- s[k] = b[k] + a[k] s[k - 1]; with `reverse` s[k] = b[k] + a[k] s[k + 1]. No division: zeros are no special case. ----
def _recurrence_cpu(a, b, *, dim, reverse):
    kind = b.dtype
    half = kind.itemsize == 2
    s = np.array(b, np.float32 if half else kind)
    rows, factors = np.moveaxis(s, dim, 0), np.moveaxis(a, dim, 0)
    if reverse:
        rows, factors = rows[::-1], factors[::-1]
    for k in range(1, len(rows)):
        rows[k] += factors[k] * rows[k - 1]
    return s.astype(kind) if half else s


def _recurrence_cuda(a, b, *, dim, reverse):
    from ..cuda.indexing import linear_recurrence

    return linear_recurrence(a, b, dim, reverse)


def _shifted(x: Any, dim: int, step: int, value: float = 0) -> Any:
    """x moved by `step` places along a dimension; `value` comes in."""
    if not x.shape[dim]:
        return x
    pads = [(0, 0)] * x.ndim
    pads[dim] = (step, -step)
    return constant_pad_op(x, pads=tuple(pads), value=value)


def _adjoint(g: Any, a: Any, dim: int, reverse: bool) -> Any:
    """The gradient of b: the recurrence the other way round."""
    return recurrence_op(_shifted(a, dim, 1 if reverse else -1), g, dim=dim, reverse=not reverse)


recurrence_op = Op(
    "linear_recurrence",
    _recurrence_cpu,
    _recurrence_cuda,
    {
        "a": lambda g, a, y, *, dim, reverse: (
            _adjoint(g, a, dim, reverse) * _shifted(y, dim, -1 if reverse else 1)
        ),
        "b": lambda g, a, *, dim, reverse: _adjoint(g, a, dim, reverse),
    },
)


def _cumprod_cpu(x, *, dim):
    return _accumulate(np.multiply, x, dim, False)


def _cumprod_cuda(x, *, dim):
    from ..cuda.indexing import scan

    return scan("cumprod", x, dim, False)


# dx[k] = (product of x before k) * s[k], where s[k] = g[k] + x[k + 1] s[k + 1]
cumprod_op = Op(
    "cumprod",
    _cumprod_cpu,
    _cumprod_cuda,
    {
        "x": lambda g, x, y, *, dim: (
            _shifted(y, dim, 1, 1) * recurrence_op(_shifted(x, dim, -1), g, dim=dim, reverse=True)
        )
    },
)


def _cumulative(name: str, op: Op, input: Any, dim: int, dtype: Any) -> Any:
    if not isinstance(input, Tensor):
        refuse_others(name, input=input)
    d = (
        dt.as_dtype(dtype)
        if dtype is not None
        else input.dtype
        if input.dtype.category >= dt.FLOAT
        else dt.int64
    )
    if d is dt.bool:
        raise RuntimeError(f"{name}: cannot accumulate into {d}; use dtype=gradgpu.int64")
    x = input if input.dtype is d else input.to(d)
    axis = _shape.canonical_dim(dim, x.ndim, name)
    if not x.ndim:
        return x.clone()
    return op(x, dim=axis)


@method
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Sums of the first 1, 2, … entries along a dimension. Integers and bools give int64.

    >>> import gradgpu as gg
    >>> gg.cumsum(gg.tensor([1., 2., 3.]), 0)
    tensor([1., 3., 6.])
    """
    return _cumulative("cumsum", cumsum_op, input, dim, dtype)


@method
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Products of the first 1, 2, … entries along a dimension. Integers and bools give int64.

    >>> import gradgpu as gg
    >>> gg.cumprod(gg.tensor([2., 3., 4.]), 0)
    tensor([ 2.,  6., 24.])
    """
    return _cumulative("cumprod", cumprod_op, input, dim, dtype)


@method
def cumsum_(self: Any, dim: int, *, dtype: Any = None) -> Any:
    """`cumsum` in place."""
    return inplace("cumsum_", self, cumsum(self, dim, dtype=dtype or self.dtype))


@method
def cumprod_(self: Any, dim: int, *, dtype: Any = None) -> Any:
    """`cumprod` in place."""
    return inplace("cumprod_", self, cumprod(self, dim, dtype=dtype or self.dtype))


__all__ = ["cumprod", "cumsum"]
