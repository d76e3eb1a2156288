"""Reductions: sums, products, extrema, moments and norms over any dimensions.

A reduction op takes canonical attributes: `dims`, an ascending tuple of non-negative dimensions, and `keepdim`.
Sums of integers and bools accumulate in int64, sums of half types in float32 (rounded once).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..cuda.reduction import reduce_cuda
from . import shape as _shape
from .registry import Op


@lru_cache(maxsize=4096)
def kept_shape(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with size 1 at every dimension of `dims`."""
    return tuple(1 if i in dims else n for i, n in enumerate(shape))


def _sum_cpu(x, *, dims, keepdim):
    axis = None if len(dims) == x.ndim else dims
    dtype = x.dtype
    kind = dtype.kind
    if kind == "f" and dtype.itemsize > 2 or dtype == np.int64:
        return np.add.reduce(x, axis=axis, keepdims=keepdim)
    if kind in "biu":
        return np.add.reduce(x, axis=axis, keepdims=keepdim, dtype=np.int64)
    return np.add.reduce(x, axis=axis, keepdims=keepdim, dtype=np.float32).astype(dtype)


def _sum_cuda(x, *, dims, keepdim):
    return reduce_cuda("sum", x, dims, keepdim)


def spread(g, x_shape, dims, keepdim):
    """The gradient of a reduction's output, broadcast back over the dimensions that were reduced."""
    if not keepdim and g.ndim:
        g = g.reshape(kept_shape(x_shape, dims))
    return _shape.expand_op(g, shape=x_shape)


sum_op = Op(
    "sum",
    cpu=_sum_cpu,
    cuda=_sum_cuda,
    grad={"x": lambda g, x_shape, *, dims, keepdim: spread(g, x_shape, dims, keepdim)},
)


@lru_cache(maxsize=4096)
def _broadcast_axes(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """The axes along which `target` was broadcast to `shape`, and whether they are the leading ones only."""
    lead = len(shape) - len(target)
    axes = tuple(range(lead))
    stretched = tuple(i + lead for i, n in enumerate(target) if n == 1 and shape[i + lead] != 1)
    return axes + stretched, not stretched


def _sum_to_size_cpu(x, *, shape):
    if x.shape == shape:
        return x
    axes, leading = _broadcast_axes(x.shape, shape)
    total = _sum_cpu(x, dims=axes, keepdim=False)
    return total if leading else total.reshape(shape)


def _sum_to_size_cuda(x, *, shape):
    if x.shape == shape:
        return x
    axes, _ = _broadcast_axes(x.shape, shape)
    return reduce_cuda("sum", x, axes, False).reshape(shape)


sum_to_size_op = Op(
    "sum_to_size",
    cpu=_sum_to_size_cpu,
    cuda=_sum_to_size_cuda,
    grad={"x": lambda g, x_shape: _shape.expand_op(g, shape=x_shape)},
)
