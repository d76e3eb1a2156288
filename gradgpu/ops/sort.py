"""Order: sort, argsort, topk, unique, searchsorted, bincount."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import return_types as rt
from ..tensor import Tensor, wrap
from . import shape as _shape
from .index import flat_offsets, gather_op, index_add_op, index_tensor, scatter_add_op
from .pointwise import isnan, where
from .registry import Op, method, refuse_others


def _sort_keys(x):
    """What numpy can compare: float32 for the half types."""
    keys = np.asarray(x)
    return keys.astype(np.float32) if keys.dtype.itemsize == 2 and keys.dtype.kind in "fV" else keys


def _flipped(x, dim):
    return x[(*(slice(None),) * dim, slice(None, None, -1))]


_MANY = 1024  # elements from which on packing them pays


def _packed(keys, dim, descending):
    """Keys and their positions in one int64 each, whose order is that of the keys, equal ones by their positions; None if
    they do not fit in.

    To sort (or divide) values is several times as fast as to sort positions by them.
    """
    kind = keys.dtype
    if keys.size < _MANY or kind.itemsize > 4 or kind == np.uint32:
        return None
    if kind.kind == "f":
        if np.isnan(np.minimum.reduce(keys, axis=None)):
            return None
        bits = (keys + np.float32(0)).view(np.int32)  # no -0
        keys = bits ^ (bits >> np.int32(31) & np.int32(0x7FFFFFFF))
    made = keys.astype(np.int64)
    if descending:
        np.invert(made, made)
    made <<= 32
    n = keys.shape[dim]
    made |= np.arange(n).reshape((n,) + (1,) * (keys.ndim - 1 - dim))
    return made


def _order(x, dim, descending):
    """The positions that sort along a dimension; equal elements keep their order."""
    keys = _sort_keys(x)
    packed = _packed(keys, dim, descending)
    if packed is not None:
        packed.sort(axis=dim)
        packed &= 0xFFFFFFFF
        return packed
    if descending and keys.dtype.kind == "f" and keys.size <= _MANY:
        flat = keys.reshape(-1)
        if not np.isnan(np.dot(flat, flat)):  # as it is if there is one
            return np.negative(keys).argsort(axis=dim, kind="stable")
    if descending:  # stable: turned round twice
        return x.shape[dim] - 1 - _flipped(_flipped(keys, dim).argsort(axis=dim, kind="stable"), dim)
    return keys.argsort(axis=dim, kind="stable")


def _at(x, order, dim):
    """The elements at positions along a dimension, and the positions."""
    order = np.ascontiguousarray(order)
    if x.ndim == 1:
        return x.take(order), order
    return x.reshape(-1).take(flat_offsets(order, x.shape, dim)), order


def _sort_cpu(x, *, dim, descending):
    return _at(x, _order(x, dim, descending), dim)


def _sort_cuda(x, *, dim, descending):
    from ..cuda.indexing import sort

    last = x.ndim - 1
    if dim == last:
        return sort(x, descending)
    swap = list(range(x.ndim))
    swap[dim], swap[last] = last, dim
    turned = _shape.permute_op.cuda(x, dims=tuple(swap))
    return tuple([_shape.permute_op.cuda(made, dims=tuple(swap)).copy() for made in sort(turned, descending)])


# Values in order and where they came from: stable, NaN counts as the largest.
sort_op = Op(
    "sort",
    _sort_cpu,
    _sort_cuda,
    {"x": lambda g0, y1, x_shape, *, dim: scatter_add_op(None, y1, g0, dim=dim, shape=x_shape, unique=True)},
    differentiable=(True, False),
)


def _topk_cpu(x, *, k, dim, largest):
    n, keys = x.shape[dim], _sort_keys(x)
    first = (*(slice(None),) * dim, slice(k))
    if k == 1 and keys.size:
        at = np.expand_dims(keys.argmax(dim) if largest else keys.argmin(dim), dim)
        values, at = _at(x, at, dim)
        if largest or keys.dtype.kind != "f" or not np.isnan(_sort_keys(values)).any():
            return values, at
    if n >= 256 and keys.size and 1 < k <= n // _group(n) // 4:
        chosen = _few_of_many(np.moveaxis(keys, dim, -1), k, largest)
        if chosen is not None:
            return _at(x, np.moveaxis(chosen, -1, dim), dim)
    packed = None
    if n >= 64 and 0 < k <= n // 4:  # divide once, then sort the chosen
        packed = _packed(keys, dim, largest)
    if packed is None:
        return _at(x, _order(x, dim, largest)[first], dim)
    packed.partition(k - 1, axis=dim)
    chosen = packed[first].copy()
    chosen.sort(axis=dim)
    chosen &= 0xFFFFFFFF
    return _at(x, chosen, dim)


def _group(n: int) -> int:
    """Numbers a group of a row of n."""
    return max(2, min(64, n // 256))


def _few_of_many(keys, k, largest):
    """Where the first k along the last dimension are, in order; None if there are NaNs.

    The k-th of the groups' extremes bounds the k-th of all, so that only the few beyond it need to be sorted.
    """
    n = keys.shape[-1]
    rows = np.ascontiguousarray(keys).reshape(-1, n)
    size = _group(n)
    groups = n // size
    extreme, beyond = (np.maximum, np.greater_equal) if largest else (np.minimum, np.less_equal)
    found = extreme.reduce(rows[:, : groups * size].reshape(len(rows), size, groups), axis=1)
    rest = found[:, : n - groups * size]
    extreme(rest, rows[:, groups * size :], out=rest)
    if keys.dtype.kind == "f" and np.isnan(extreme.reduce(found, axis=None)):
        return None
    place = groups - k if largest else k - 1
    found.partition(place, axis=1)
    chosen = np.flatnonzero(beyond(rows, found[:, place : place + 1]))
    values = rows.reshape(-1)[chosen]
    row = chosen // n
    if len(rows) == 1:
        order = _order(values, 0, largest)[:k]
    else:
        if largest:  # in the opposite order
            values = np.negative(values) if values.dtype.kind == "f" else np.invert(values)
        starts = row.searchsorted(np.arange(len(rows)))
        order = np.lexsort((values, row))[starts[:, None] + np.arange(k)]
    return (chosen[order] - row[order] * n).reshape(*keys.shape[:-1], k)


def _topk_cuda(x, *, k, dim, largest):
    first = (*(slice(None),) * dim, slice(k))
    return tuple(
        [
            _shape.basic_index_op.cuda(made, index=first).copy()
            for made in _sort_cuda(x, dim=dim, descending=largest)
        ]
    )


topk_op = Op(
    "topk",
    _topk_cpu,
    _topk_cuda,
    {"x": lambda g0, y1, x_shape, *, dim: scatter_add_op(None, y1, g0, dim=dim, shape=x_shape, unique=True)},
    differentiable=(True, False),
)


@method
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> rt.sort:
    """The entries along a dimension in ascending (or descending) order, and their positions; always stable.

    >>> import gradgpu as gg
    >>> values, indices = gg.sort(gg.tensor([3., 1., 2.]))
    >>> values, indices
    (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    d = _shape.canonical_dim(dim, input.ndim, "sort")
    if not input.ndim:
        return rt.sort(input.clone(), wrap(np.zeros((), np.int64)).to(input.device))
    return rt.sort(*sort_op(input, dim=d, descending=bool(descending)))


@method
def msort(input: Any) -> Any:
    """`sort` along the first dimension, values only."""
    return sort(input, 0).values


@method
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The positions that sort a dimension."""
    return sort(input.detach(), dim, descending).indices


@method
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> rt.topk:
    """The `k` largest (or smallest) entries along a dimension, in order, and their positions.

    >>> import gradgpu as gg
    >>> gg.topk(gg.tensor([1., 5., 3.]), 2).indices
    tensor([1, 2])
    """
    try:
        d = _shape.canonical_dim(dim, input._a.ndim, "topk")
    except AttributeError:
        refuse_others("topk", input=input)
        raise
    n = input._a.shape[d] if input.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: selected index k out of range: k={k} for dimension {d} of size {n}")
    if not input.ndim:
        return rt.topk(*sort(input))
    return rt.topk(*topk_op(input, k=k, dim=d, largest=bool(largest)))


@method
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> rt.kthvalue:
    """The `k`-th smallest entry along a dimension (k counts from 1), and its position."""
    d = _shape.canonical_dim(dim, input.ndim, "kthvalue")
    n = input._a.shape[d] if input.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}: k={k}, size {n}")
    at = None if not input.ndim else place_op(input.detach(), k=k - 1, dim=d)
    return _picked(rt.kthvalue, input, at, d, keepdim)


def _place_cpu(x, *, k, dim):
    parts = np.argpartition(_sort_keys(x), k, axis=dim)
    return np.ascontiguousarray(parts[(*(slice(None),) * dim, slice(k, k + 1))])


def _place_cuda(x, *, k, dim):
    order = _sort_cuda(x, dim=dim, descending=False)[1]
    return _shape.basic_index_op.cuda(order, index=(*(slice(None),) * dim, slice(k, k + 1))).copy()


# Where the k-th smallest entry along a dimension is; one of several if there are equal ones.
place_op = Op("place", _place_cpu, _place_cuda, differentiable=False)


@method
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or (values, indices) along a dimension; NaN where there is one.

    >>> import gradgpu as gg
    >>> gg.median(gg.tensor([4., 1., 3., 2.]))
    tensor(2.)
    """
    if dim is None:
        flat = input.reshape((-1,))
        if not flat.numel():
            raise RuntimeError("median: an empty tensor has no median")
        return _median(flat, 0, False).values
    d = _shape.canonical_dim(dim, input.ndim, "median")
    n = input._a.shape[d] if input.ndim else 1
    if not n:
        raise IndexError(f"median(): Expected reduction dim {d} to have non-zero size.")
    return _median(input, d, keepdim)


def _median(input: Any, d: int, keepdim: bool) -> rt.median:
    """The lower median along a dimension; the first NaN where there is one."""
    at = None
    if input.ndim:
        x = input.detach()
        at = place_op(x, k=(x.shape[d] - 1) // 2, dim=d)
        if x.is_floating_point():
            nan = isnan(x)
            at = where(nan.any(d, keepdim=True), nan.to(dt.uint8).argmax(d, keepdim=True), at)
    return _picked(rt.median, input, at, d, keepdim)


def _picked(kind: Any, input: Any, at: Any, d: int, keepdim: bool) -> Any:
    """The entries at one place along a dimension (None: of a 0-dim tensor), with that place."""
    if at is None:
        return kind(*sort(input))
    values = gather_op(input, at, dim=d)
    return kind(values, at) if keepdim else kind(values.squeeze(d), at.squeeze(d))


@method
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements, in ascending order; on request where each element went, and how often each occurs.

    Computed on the host, whatever the device: the length of the result depends on the values.

    >>> import gradgpu as gg
    >>> gg.unique(gg.tensor([2, 1, 2]), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    a = np.asarray(input.detach()._host())
    kind = a.dtype
    if kind.kind == "V":
        a = a.astype(np.float32)
    numpys: Any = np.unique
    found = numpys(a, return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    values, *more = found if return_inverse or return_counts else (found,)
    made = [values.astype(kind, copy=False), *more]
    if return_inverse:
        made[1] = made[1].reshape(a.shape if dim is None else (a.shape[dim],))
    tensors = tuple([wrap(m).to(input.device) for m in made])
    return tensors if len(tensors) > 1 else tensors[0]


@method
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number 0, 1, … occurs in a 1-D integer tensor, or the sum of their `weights`.

    On cuda the host waits for the largest number.

    >>> import gradgpu as gg
    >>> gg.bincount(gg.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    index = index_tensor("bincount", input)
    if index.ndim != 1:
        raise RuntimeError(
            f"bincount only supports 1-d non-negative integral inputs, got shape {tuple(index.shape)}"
        )
    if index.numel() and int(index.min()) < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs, got a negative number")
    size = max(int(index.max()) + 1 if index.numel() else 0, minlength)
    if weights is None:
        weights = index.new_ones((index.shape[0],))
    elif weights.shape != index.shape:
        raise RuntimeError(
            f"bincount: weights {tuple(weights.shape)} and input {tuple(index.shape)} must have the same length"
        )
    elif not weights.is_floating_point():
        weights = weights.to(dt.float64)
    return index_add_op(None, index, weights.detach(), dim=0, negative=False, op="bincount", size=size)


def _search_cpu(sequence, values, *, right):
    if sequence.ndim == 1:
        return np.searchsorted(sequence, values, side="right" if right else "left")
    rows = prod(sequence.shape[:-1])
    flat, queries = sequence.reshape(rows, sequence.shape[-1]), values.reshape(rows, values.shape[-1])
    found = [np.searchsorted(s, v, side="right" if right else "left") for s, v in zip(flat, queries)]
    return np.stack(found).reshape(values.shape) if found else np.zeros(values.shape, np.int64)


def _search_cuda(sequence, values, *, right):
    from ..cuda.indexing import search

    return search(sequence, values, right)


searchsorted_op = Op("searchsorted", _search_cpu, _search_cuda, differentiable=False)


def searchsorted(
    sorted_sequence: Any,
    values: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each value would go in a sequence sorted along its last dimension: before equal elements, or after (`right`).

    Args:
        sorted_sequence: 1-D, or with the leading dimensions of `values`.
        values: a tensor, or a number (with a 1-D sequence).
        out_int32: whether the result is int32 rather than int64.
        side: 'left' or 'right', another way to give `right`.
        sorter: the order (as `argsort` gives it) in which an unsorted sequence is sorted.

    >>> import gradgpu as gg
    >>> gg.searchsorted(gg.tensor([1, 3, 5]), gg.tensor([3, 6]))
    tensor([1, 3])
    """
    if not isinstance(values, Tensor):
        from .creation import tensor

        values = tensor(values, device=sorted_sequence.device)
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
        if right and side == "left":
            raise RuntimeError(
                "searchsorted(): side and right can't be set to opposites, got side of left while right was True"
            )
        right = side == "right"
    if sorter is not None:
        if tuple(sorter.shape) != tuple(sorted_sequence.shape):
            raise RuntimeError(
                f"searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(sorted_sequence.shape)} and sorter tensor {list(sorter.shape)}"
            )
        sorted_sequence = gather_op(
            sorted_sequence.detach(), index_tensor("searchsorted", sorter), dim=sorter.ndim - 1
        )
    s, v = sorted_sequence.detach(), values.detach()
    if s.ndim != 1 and tuple(s.shape[:-1]) != tuple(v.shape[:-1]):
        raise RuntimeError(
            f"searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and "
            f"input value tensor must match, but we got boundaries {list(s.shape)} and input value {list(v.shape)}"
        )
    d = dt.promote_types(s.dtype, v.dtype)
    d = dt.float32 if d in (dt.float16, dt.bfloat16) else dt.int64 if d is dt.bool else d
    found = searchsorted_op(s.to(d), v.to(d), right=bool(right))
    return found.to(dt.int32) if out_int32 else found


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The bucket of each element, as `searchsorted(boundaries, input)`.

    >>> import gradgpu as gg
    >>> gg.bucketize(gg.tensor([3, 6, 9]), gg.tensor([1, 3, 5, 7, 9]))
    tensor([1, 3, 4])
    """
    if boundaries.ndim != 1:
        raise RuntimeError(
            f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


__all__ = [
    "argsort", "bincount", "bucketize", "kthvalue", "median", "msort", "searchsorted", "sort", "topk", "unique",
]  # fmt: skip
