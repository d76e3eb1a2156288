"""Extrema: max, min, amax, amin, argmax, argmin, aminmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import return_types as rt
from ..cuda.reduction import reduce_cuda
from ..tensor import Tensor
from . import pointwise as _pw
from .index import flat_offsets, scatter_add_op
from .reduce import keep, kept_shape, reduced_dims, require_tensor, spread, sum_array
from .registry import Op, method

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]

_INT64 = np.dtype(np.int64)


# ---- gradients ----
def _tie_share_cpu(x, y, *, dims):
    ties = x == y
    if x.dtype.itemsize > 2:
        count = np.add.reduce(ties, axis=dims, keepdims=True, dtype=x.dtype)
        return np.divide(ties, count, dtype=x.dtype)
    count = np.add.reduce(ties, axis=dims, keepdims=True, dtype=np.float32)
    return np.divide(ties, count, dtype=np.float32).astype(x.dtype)


def _tie_share_cuda(x, y, *, dims):
    from ..cuda.elementwise import cast

    ties = cast(_pw.eq(x, y), x.dtype)
    return _pw.div(ties, sum_array(ties, dims, True))


# 1/n at the n elements of x that equal the extremum y, 0 elsewhere: constant almost everywhere.
tie_share_op = Op("tie_share", cpu=_tie_share_cpu, cuda=_tie_share_cuda, differentiable=False)


def _shared(g, x, y, *, dims, keepdim):
    y = keep(y, x.shape, dims, keepdim)
    return spread(g, x.shape, dims, keepdim) * tie_share_op(x, y, dims=dims)


def _selected(g0, y1, x_shape, *, dim, keepdim):
    if not x_shape:
        return g0
    if not keepdim:
        kept = kept_shape(x_shape, (dim,))
        g0, y1 = g0.reshape(kept), y1.reshape(kept)
    return scatter_add_op(None, y1, g0, dim=dim, shape=x_shape, unique=True)  # one index a line


# ---- the ops ----
def _reducer(ufunc: np.ufunc, find: Any) -> Any:
    def reduce(x, *, dims, keepdim):
        if len(dims) == x.ndim and x.size and not keepdim:  # to find takes half the time of a reduction
            flat = x.ravel("K")
            return flat[find(flat)]
        return ufunc.reduce(x, axis=None if len(dims) == x.ndim else dims, keepdims=keepdim)

    return reduce


def _dim_reducer(ufunc: np.ufunc, find: Any) -> Any:
    def reduce(x, *, dim, keepdim):
        if not x.ndim:
            return x, np.int64(0)
        if x.ndim == 1 and not keepdim:
            at = find(x)
            return x[at], at
        if dim != x.ndim - 1 or not x.size:
            return ufunc.reduce(x, axis=dim, keepdims=keepdim), find(x, axis=dim, keepdims=keepdim)
        # Reading what was found costs less than a reduction of many short rows.
        at = find(x, axis=dim, keepdims=True)
        y = x.reshape(-1).take(flat_offsets(at, x.shape, dim))
        return (y, at) if keepdim else (y.reshape(x.shape[:-1]), at.reshape(x.shape[:-1]))

    return reduce


def _arg_cpu(find: Any) -> Any:
    def arg(x, *, dim, keepdim):
        if not x.ndim:
            return np.int64(0)
        return find(x, axis=dim, keepdims=keepdim)

    return arg


def _dim_cuda(name: str) -> Any:
    def reduce(x, *, dim, keepdim):
        dims = (dim,) if x.ndim else ()
        return reduce_cuda(name, x, dims, keepdim, (x.dtype, _INT64))

    return reduce


def _arg_cuda(name: str) -> Any:
    def find(x, *, dim, keepdim):
        dims = tuple(range(x.ndim)) if dim is None else (dim,) if x.ndim else ()
        return reduce_cuda(name, x, dims, keepdim, (x.dtype, _INT64))[1]

    return find


amax_op = Op(
    "amax",
    cpu=_reducer(np.maximum, np.ndarray.argmax),
    cuda=lambda x, *, dims, keepdim: reduce_cuda("amax", x, dims, keepdim, (x.dtype,)),
    grad={"x": _shared},
)
amin_op = Op(
    "amin",
    cpu=_reducer(np.minimum, np.ndarray.argmin),
    cuda=lambda x, *, dims, keepdim: reduce_cuda("amin", x, dims, keepdim, (x.dtype,)),
    grad={"x": _shared},
)
max_op = Op(
    "max",
    cpu=_dim_reducer(np.maximum, np.ndarray.argmax),
    cuda=_dim_cuda("max"),
    grad={"x": _selected},
    differentiable=(True, False),
)
min_op = Op(
    "min",
    cpu=_dim_reducer(np.minimum, np.ndarray.argmin),
    cuda=_dim_cuda("min"),
    grad={"x": _selected},
    differentiable=(True, False),
)
argmax_op = Op("argmax", cpu=_arg_cpu(np.ndarray.argmax), cuda=_arg_cuda("max"), differentiable=False)
argmin_op = Op("argmin", cpu=_arg_cpu(np.ndarray.argmin), cuda=_arg_cuda("min"), differentiable=False)


def _refuse_empty(op: str, x: Tensor, dims: tuple[int, ...], given: bool) -> None:
    if x._a.size:
        return
    shape = x._a.shape
    if not given:
        raise RuntimeError(
            f"{op}: Expected reduction dim to be specified for input.numel() == 0 (shape {shape}). "
            "Specify the reduction dim with the 'dim' argument."
        )
    for d in dims:
        if shape[d] == 0:
            raise IndexError(f"{op}: Expected reduction dim {d} to have non-zero size, got shape {shape}")


@method
def amax(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
    """The greatest element over `dim` (all dimensions by default); NaN wins.

    The gradient is shared evenly among equal greatest elements.

    >>> import gradgpu as gg
    >>> gg.amax(gg.tensor([[1., 5.], [7., 2.]]), dim=1)
    tensor([5., 7.])
    """
    return _amax("amax", amax_op, input, dim, keepdim)


@method
def amin(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
    """The least element over `dim` (all dimensions by default); NaN wins.

    The gradient is shared evenly among equal least elements.

    >>> import gradgpu as gg
    >>> gg.amin(gg.tensor([[1., 5.], [7., 2.]]), dim=1)
    tensor([1., 2.])
    """
    return _amax("amin", amin_op, input, dim, keepdim)


def _amax(name: str, op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    require_tensor(name, input)
    dims = reduced_dims(name, dim, input.ndim)
    _refuse_empty(name, input, dims, given=dim != ())
    return op(input, dims=dims, keepdim=keepdim)


@method
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> rt.aminmax:
    """The least and the greatest element over `dim` (all dimensions by default), as (min, max).

    >>> import gradgpu as gg
    >>> gg.aminmax(gg.tensor([3., 1., 2.])).max
    tensor(3.)
    """
    dims: Any = () if dim is None else dim
    return rt.aminmax(amin(input, dims, keepdim), amax(input, dims, keepdim))


def _max(name: str, ops: tuple, input: Tensor, dim: Any, keepdim: bool, result: Any) -> Any:
    require_tensor(name, input)
    all_op, dim_op, pairwise = ops
    if isinstance(dim, Tensor):
        return pairwise(input, dim)
    if dim is None:
        dims = reduced_dims(name, None, input.ndim)
        _refuse_empty(name, input, dims, given=False)
        return all_op(input, dims=dims, keepdim=False)
    if not hasattr(dim, "__index__"):
        raise TypeError(
            f"{name}: the second argument must be a Tensor or an int (dim), got {type(dim).__name__}"
        )
    dims = reduced_dims(name, dim, input.ndim)
    _refuse_empty(name, input, dims, given=True)
    return result(*dim_op(input, dim=dims[0] if dims else 0, keepdim=keepdim))


@method
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The greatest element: `max(x)` of all; `max(x, dim)` along a dimension, as (values, indices);
    `max(x, other)` of two tensors, elementwise.

    NaN wins; the index is that of the first greatest element. The gradient of `max(x)` is shared
    evenly among equal elements, that of `max(x, dim)` goes to the element at the index.

    >>> import gradgpu as gg
    >>> gg.max(gg.tensor([[1., 5.], [7., 2.]]), dim=1).indices
    tensor([1, 0])
    """
    return _max(
        "max", (amax_op, max_op, _pw.maximum), input, dim if other is None else other, keepdim, rt.max
    )


@method
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The least element: `min(x)` of all; `min(x, dim)` along a dimension, as (values, indices);
    `min(x, other)` of two tensors, elementwise.

    NaN wins; the index is that of the first least element. The gradient of `min(x)` is shared evenly
    among equal elements, that of `min(x, dim)` goes to the element at the index.

    >>> import gradgpu as gg
    >>> gg.min(gg.tensor([[1., 5.], [7., 2.]]), dim=1).values
    tensor([1., 2.])
    """
    return _max(
        "min", (amin_op, min_op, _pw.minimum), input, dim if other is None else other, keepdim, rt.min
    )


def _arg(name: str, op: Op, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    require_tensor(name, input)
    if input.dtype is dt.bool:
        raise RuntimeError(f"{name}: not implemented for bool tensors; convert them first, e.g. x.int()")
    if dim is None:
        if not input._a.size:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        return op(input, dim=None, keepdim=keepdim)
    dims = reduced_dims(name, dim, input.ndim)
    _refuse_empty(name, input, dims, given=True)
    return op(input, dim=dims[0] if dims else 0, keepdim=keepdim)


@method
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index (int64) of the first greatest element along `dim`, or in the flattened tensor; NaN wins.

    >>> import gradgpu as gg
    >>> gg.argmax(gg.tensor([[1., 5.], [7., 2.]]))
    tensor(2)
    """
    return _arg("argmax", argmax_op, input, dim, keepdim)


@method
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index (int64) of the first least element along `dim`, or in the flattened tensor; NaN wins.

    >>> import gradgpu as gg
    >>> gg.argmin(gg.tensor([[1., 5.], [7., 2.]]), dim=0)
    tensor([0, 1])
    """
    return _arg("argmin", argmin_op, input, dim, keepdim)
