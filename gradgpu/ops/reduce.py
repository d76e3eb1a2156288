"""Sums and counts over any dimensions; what the other reductions build on.

A reduction op takes canonical attributes: `dims`, an ascending tuple of non-negative dimensions, and
`keepdim`. Sums of integers and bools accumulate in int64, sums of half types in float32 (rounded once).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.node import Node
from ..cuda.reduction import reduce_cuda
from ..tensor import Tensor
from .registry import Op, method
from .sums import float_sum

__all__ = ["all", "any", "count_nonzero", "nansum", "sum"]

ndarray = np.ndarray
_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)
_ALL_DIMS = [tuple(range(n)) for n in range(65)]
_builtin_any = any


def reduced_dims(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """`dim` as an ascending tuple of non-negative dimensions; None and () mean all of them."""
    if dim is None:
        return _ALL_DIMS[ndim]
    if type(dim) is int:
        if -ndim <= dim < ndim:
            return (dim % ndim,)
        dims: tuple[int, ...] = (dim,)
    elif isinstance(dim, (tuple, list)):
        dims = tuple(dim) or _ALL_DIMS[ndim]
    else:
        try:
            dims = (dim.__index__(),)  # type: ignore[union-attr]
        except AttributeError:
            raise TypeError(
                f"{op}: argument 'dim' must be an int or a tuple of ints, got {type(dim).__name__}"
            ) from None
    n = ndim or 1  # a 0-dim tensor accepts dim 0 and -1
    for d in dims:
        if not -n <= d < n:
            raise IndexError(
                f"{op}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})"
            )
    if ndim == 0:
        return ()
    found = tuple(sorted([d % n for d in dims]))
    if len(found) > 1 and len(set(found)) < len(found):
        raise RuntimeError(f"{op}: dim {found} holds a dimension multiple times; name each only once")
    return found


def require_tensor(op: str, x: Any) -> None:
    """TypeError unless `x` is a Tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: expected a Tensor, got {type(x).__name__}; make one with gradgpu.tensor(...)")


def require_floating(op: str, x: Any) -> None:
    """RuntimeError unless `x` is a floating-point Tensor."""
    require_tensor(op, x)
    if x._a.dtype.kind not in "fV":  # V: bfloat16
        raise RuntimeError(
            f"{op}: input must have a floating-point dtype, got {x.dtype}; convert it first, e.g. x.float()"
        )


@lru_cache(maxsize=4096)
def kept_shape(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with size 1 at every dimension of `dims`."""
    return tuple([1 if i in dims else n for i, n in enumerate(shape)])


def keep(g: Any, x_shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduction's output (or its gradient) with the reduced dimensions put back as 1."""
    return g if keepdim or not g.ndim else g.reshape(kept_shape(x_shape, dims))


def spread(g: Any, x_shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Any:
    """The gradient of a reduction's output, broadcast back over the dimensions that were reduced."""
    return broadcast_op(keep(g, x_shape, dims, keepdim), shape=x_shape)


# ---- sum ----
def _sum_cpu(x, *, dims, keepdim):
    axis = None if len(dims) == x.ndim else dims
    dtype = x.dtype
    kind = dtype.kind
    if kind == "f" and dtype.itemsize > 2:
        return float_sum(x, dims, keepdim)
    if kind == "b" and axis is None and not keepdim:
        return np.int64(np.count_nonzero(x))  # a tenth of the time that a sum takes
    if kind in "biu":
        return np.add.reduce(x, axis=axis, keepdims=keepdim, dtype=np.int64)
    if kind == "c":
        return np.add.reduce(x, axis=axis, keepdims=keepdim)
    return np.add.reduce(x, axis=axis, keepdims=keepdim, dtype=np.float32).astype(dtype)


def sum_dtype(d: np.dtype) -> np.dtype:
    """The numpy dtype of a sum or product: int64 for integers and bools."""
    return _INT64 if d.kind in "biu" else d


def sum_array(x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """The sum of a cuda Array."""
    return reduce_cuda("sum", x, dims, keepdim, (sum_dtype(x.dtype),))


class _Sum(Op):
    """The sum, whose gradient rule takes few steps where it can."""

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        saved = node.saved
        kind = type(g)
        if create_graph or kind is not ndarray and kind is not np.float32 or type(saved) is not tuple:
            return super().vjp(node, g, edges, create_graph)
        attrs = node.attrs
        shape = saved[0]
        if not attrs["keepdim"] and kind is ndarray:
            g = g.reshape(kept_shape(shape, attrs["dims"]))
        return (_broadcast_cpu(g, shape=shape),)


sum_op = _Sum(
    "sum",
    cpu=_sum_cpu,
    cuda=lambda x, *, dims, keepdim: sum_array(x, dims, keepdim),
    grad={"x": lambda g, x_shape, *, dims, keepdim: spread(g, x_shape, dims, keepdim)},
)


@lru_cache(maxsize=4096)
def _broadcast_axes(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """The axes along which `target` was broadcast to `shape`, and whether they are the leading ones only."""
    lead = len(shape) - len(target)
    axes = tuple(range(lead))
    stretched = tuple([i + lead for i, n in enumerate(target) if n == 1 and shape[i + lead] != 1])
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
    axes, leading = _broadcast_axes(x.shape, shape)
    total = sum_array(x, axes, False)
    return total if leading else total.reshape(shape)


sum_to_size_op = Op(
    "sum_to_size",
    cpu=_sum_to_size_cpu,
    cuda=_sum_to_size_cuda,
    grad={"x": lambda g, x_shape: broadcast_op(g, shape=x_shape)},
)


def _broadcast_cpu(x, *, shape):
    if prod(shape) > 4096:
        return np.broadcast_to(x, shape)
    # A third of what np.broadcast_to takes, and what follows runs on dense memory.
    made = np.empty(shape, x.dtype)
    made[...] = x
    return made


def _broadcast_cuda(x, *, shape):
    from ..cuda.elementwise import expanded

    return x.as_strided(shape, expanded(x.layout, shape))


# As expand, but a value rather than a view: the gradient of a sum.
broadcast_op = Op(
    "broadcast",
    cpu=_broadcast_cpu,
    cuda=_broadcast_cuda,
    grad={"x": lambda g, x_shape: sum_to_size_op(g, shape=x_shape)},
)


@method
def sum(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: dt.dtype | None = None,
) -> Tensor:
    """The sum of the elements over `dim` (an int, a tuple of ints, or None for all dimensions).

    Integers and bools give int64. With `dtype` the input is converted before it is summed.

    >>> import gradgpu as gg
    >>> gg.sum(gg.tensor([[1., 2.], [3., 4.]]), dim=0)
    tensor([4., 6.])
    """
    require_tensor("sum", input)
    if dtype is not None:
        dtype = dt.as_dtype(dtype)
        if input.dtype is not dtype:
            input = input.to(dtype)
    made = sum_op(input, dims=reduced_dims("sum", dim, input.ndim), keepdim=keepdim)
    return made if dtype is None or dtype.category >= dt.FLOAT else made.to(dtype)


@method
def nansum(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: dt.dtype | None = None,
) -> Tensor:
    """The sum over `dim`, NaN counted as zero; arguments as in `sum`.

    >>> import gradgpu as gg
    >>> gg.nansum(gg.tensor([1., float("nan"), 2.]))
    tensor(3.)
    """
    require_tensor("nansum", input)
    if input.dtype.is_floating_point:
        from .pointwise import isnan, where

        input = where(isnan(input), 0.0, input)
    return sum(input, dim, keepdim, dtype=dtype)


@method
def sum_to_size(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """Sums a tensor down to the shape `size`, which must be broadcastable to the tensor's shape."""
    sizes = sizes if size is None else (size,)
    shape = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    old = input._a.shape
    lead = len(old) - len(shape)
    if lead < 0 or _builtin_any(n not in (1, m) for n, m in zip(shape, old[lead:])):
        raise RuntimeError(
            f"sum_to_size: size {list(shape)} is not expandable to size {list(old)}; "
            "each of its sizes must be 1 or that of the tensor"
        )
    made = sum_to_size_op(input, shape=shape)
    return made.to(dt.int64) if not shape and input.dtype.category < dt.FLOAT else made


# ---- any, all, count_nonzero ----
def _axis(x: Any, dims: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if len(dims) == x.ndim else dims


def _any_cpu(x, *, dims, keepdim):
    if x.dtype.kind == "V":
        x = x != 0
    if x.dtype is _BOOL and len(dims) == x.ndim and not keepdim:
        return np.bool_(np.count_nonzero(x) > 0)
    return np.logical_or.reduce(x, axis=_axis(x, dims), keepdims=keepdim)


def _all_cpu(x, *, dims, keepdim):
    if x.dtype.kind == "V":
        x = x != 0
    if x.dtype is _BOOL and len(dims) == x.ndim and not keepdim:
        return np.bool_(np.count_nonzero(x) == x.size)
    return np.logical_and.reduce(x, axis=_axis(x, dims), keepdims=keepdim)


any_op = Op(
    "any",
    cpu=_any_cpu,
    cuda=lambda x, *, dims, keepdim: reduce_cuda("any", x, dims, keepdim, (_BOOL,)),
    differentiable=False,
)
all_op = Op(
    "all",
    cpu=_all_cpu,
    cuda=lambda x, *, dims, keepdim: reduce_cuda("all", x, dims, keepdim, (_BOOL,)),
    differentiable=False,
)
count_nonzero_op = Op(
    "count_nonzero",
    cpu=lambda x, *, dims: _sum_cpu(x != 0, dims=dims, keepdim=False),
    cuda=lambda x, *, dims: reduce_cuda("count_nonzero", x, dims, False, (_INT64,)),
    differentiable=False,
)


@method
def any(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Whether any element over `dim` is non-zero (NaN is): a bool tensor, uint8 for a uint8 input.

    >>> import gradgpu as gg
    >>> gg.any(gg.tensor([[0, 1], [0, 0]]), dim=1)
    tensor([ True, False])
    """
    require_tensor("any", input)
    found = any_op(input, dims=reduced_dims("any", dim, input.ndim), keepdim=keepdim)
    return found.to(dt.uint8) if input.dtype is dt.uint8 else found


@method
def all(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Whether every element over `dim` is non-zero (NaN is): a bool tensor, uint8 for a uint8 input.

    >>> import gradgpu as gg
    >>> gg.all(gg.tensor([[1, 1], [0, 1]]), dim=1)
    tensor([ True, False])
    """
    require_tensor("all", input)
    found = all_op(input, dims=reduced_dims("all", dim, input.ndim), keepdim=keepdim)
    return found.to(dt.uint8) if input.dtype is dt.uint8 else found


@method
def count_nonzero(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """How many elements over `dim` are non-zero, as int64.

    >>> import gradgpu as gg
    >>> gg.count_nonzero(gg.tensor([[0, 3], [5, 6]]), dim=0)
    tensor([1, 2])
    """
    require_tensor("count_nonzero", input)
    return count_nonzero_op(input, dims=reduced_dims("count_nonzero", dim, input.ndim))
