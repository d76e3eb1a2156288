"""Reductions through an index: sums, products, means and extrema of the elements that share a place.

Elements of one place are combined in the order of their positions on every device (kernels/segment.cu): no float atomics.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..tensor import Tensor
from .convert import cast_op
from .index import (
    _corner,
    _index_rows,
    _scatter_arguments,
    check_bounds,
    flat_offsets,
    gather_op,
    install_in_place,
    scatter_add_op,
    scatter_op,
)
from .pointwise import eq, floor_divide, where_op
from .registry import Op

_UFUNC = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _reduce_cpu(x, index, source, *, dim, reduce):
    check_bounds("scatter_reduce", index, x.shape[dim], False, dim)
    kind = x.dtype
    wide = np.dtype(np.float32) if kind.itemsize == 2 and kind.kind in "fV" else kind
    y = np.array(x, wide, order="C")
    offsets = flat_offsets(index, x.shape, dim).reshape(-1)
    _UFUNC[reduce].at(y.reshape(-1), offsets, source.reshape(-1).astype(wide, copy=False))
    return y.astype(kind, copy=False)


def _reduce_cuda(x, index, source, *, dim, reduce):
    from ..cuda.indexing import scatter

    return scatter("scatter_reduce", x, index, source, dim, reduce)


def _counts(mask_x, index, mask_source, kind, dim):
    """How many elements of each place are marked."""
    ones_x, ones_source = cast_op(mask_x, dtype=kind), cast_op(mask_source, dtype=kind)
    return scatter_add_op(ones_x, index, ones_source, dim=dim, shape=tuple(mask_x.shape))


def _extremum_rule(g, x, index, source, y, kind, dim):
    """The gradient of an extremum, shared evenly among the elements equal to it."""
    hit_x, hit_source = eq(x, y), eq(source, gather_op(y, index, dim=dim))
    share = g / _counts(hit_x, index, hit_source, kind, dim)
    return where_op(hit_x, share, 0.0), where_op(hit_source, gather_op(share, index, dim=dim), 0.0)


def _prod_rule(g, x, index, source, kind, dim):
    """g times the product of the other elements: by division, except where an element is zero."""
    zero_x, zero_source = eq(x, 0.0), eq(source, 0.0)
    some_x, some_source = where_op(zero_x, 1.0, x), where_op(zero_source, 1.0, source)
    product = reduce_op(some_x, index, some_source, dim=dim, reduce="prod") * g
    zeros = _counts(zero_x, index, zero_source, kind, dim)
    without_zero = where_op(eq(zeros, 0.0), product, 0.0)  # what elements that are not zero divide
    with_one = where_op(eq(zeros, 1.0), product, 0.0)  # what a single zero gets
    return (
        where_op(zero_x, with_one, without_zero / some_x),
        where_op(zero_source, gather_op(with_one, index, dim=dim), gather_op(without_zero, index, dim=dim) / some_source),
    )  # fmt: skip


def _rule(g, x, index, source, y, x_dtype, *, dim, reduce):
    if reduce == "prod":
        to_x, to_source = _prod_rule(g, x, index, source, x_dtype, dim)
    else:
        to_x, to_source = _extremum_rule(g, x, index, source, y, x_dtype, dim)
    return to_x, None, to_source


# y = x with the elements of source, of the shape of index, multiplied in, or compared ('amax', 'amin')
reduce_op = Op("scatter_reduce", _reduce_cpu, _reduce_cuda, grads=_rule)


def _identity(reduce: str, d: dt.dtype) -> Any:
    if reduce in ("sum", "mean", "prod"):
        return 1 if reduce == "prod" else 0
    if d.is_floating_point:
        return -float("inf") if reduce == "amax" else float("inf")
    return dt.iinfo(d).min if reduce == "amax" else dt.iinfo(d).max


def _reduced(x: Any, index: Any, source: Any, dim: int, reduce: str, include_self: bool) -> Any:
    """The result for a source of the shape of `index`."""
    shape = tuple(x.shape)
    if x.dtype is dt.bool:  # sums are whether any is True, products whether all are
        reduce = {"sum": "amax", "mean": "amax", "prod": "amin"}.get(reduce, reduce)
        made = _reduced(x.to(dt.uint8), index, source.to(dt.uint8), dim, reduce, include_self)
        return made.to(dt.bool)
    if not index.numel():
        return x.clone()
    if not include_self:
        touched = scatter_op(x.new_zeros(shape, dtype=dt.bool), index, None, dim=dim, value=True)
        x = where_op(touched, _identity(reduce, x.dtype), x)
    if reduce not in ("sum", "mean"):
        return reduce_op(x, index, source, dim=dim, reduce=reduce)
    total = scatter_add_op(x, index, source, dim=dim, shape=shape)
    if reduce == "sum":
        return total
    ones = index.new_ones(tuple(index.shape))
    count = scatter_add_op(None, index, ones, dim=dim, shape=shape)
    count = (count + 1 if include_self else count.clamp(min=1)).to(x.dtype)
    return total / count if x.dtype.is_floating_point else floor_divide(total, count)


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `input` in which the elements of `src` are reduced into the places that `index` names along `dim`.

    For dim 0: out[index[i][j]][j] is the reduction of all src[i][j] with that index and, with `include_self`, of
    input[index[i][j]][j].

    Args:
        index: int64, with the dimensions of `input` and no larger than `src`.
        src: of the dtype of `input`.
        reduce: 'sum', 'prod', 'mean' (of integers rounded down), 'amax' or 'amin'.
        include_self: whether the elements of `input` take part where something is written.

    The gradient of an extremum is shared evenly among equal elements. The second derivative of 'prod' is exact
    where no element is zero.

    Raises:
        IndexError: an index outside [0, input.shape[dim]). RuntimeError: an unknown reduction, or shapes or dtypes that do
        not fit.

    >>> import gradgpu as gg
    >>> x, at = gg.zeros(2), gg.tensor([0, 0, 1])
    >>> gg.scatter_reduce(x, 0, at, gg.tensor([3., 5., -2.]), "amax")
    tensor([5., 0.])
    >>> gg.scatter_reduce(x, 0, at, gg.tensor([3., 5., -2.]), "mean", include_self=False)
    tensor([ 4., -2.])
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"scatter_reduce(): reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if not isinstance(src, Tensor):
        raise TypeError(f"scatter_reduce(): src must be a Tensor, got {type(src).__name__}")
    x, index, source, dim = _scatter_arguments("scatter_reduce", input, dim, index, src)
    made = _reduced(x, index, _corner(source, index), dim, reduce, include_self)
    return made.reshape(tuple(input.shape)) if input.ndim == 0 else made


def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `input` in which the entries of `source` along `dim` are reduced into the entries at `index`.

    Args:
        index: a vector of int64, as long as `source` along `dim`.
        source: of the dtype of `input`, and of its shape in the other dimensions.
        reduce: 'prod', 'mean', 'amax' or 'amin'.
        include_self: whether the entries of `input` take part where something is written.

    Raises:
        IndexError: an index outside [0, input.shape[dim]), or shapes that do not fit. RuntimeError: an unknown reduction.

    >>> import gradgpu as gg
    >>> gg.index_reduce(gg.ones(2), 0, gg.tensor([1, 1]), gg.tensor([3., 5.]), "prod")
    tensor([ 1., 15.])
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    x, values = (t.reshape((1,)) if not t.ndim else t for t in (input, source))
    dim, index = _index_rows("index_reduce", x, dim, index, values)
    spread = index.reshape([-1 if d == dim else 1 for d in range(x.ndim)]).expand(tuple(values.shape))
    made = _reduced(x, spread, values, dim, reduce, include_self)
    return made if input.ndim else made.reshape(())


for _function in (scatter_reduce, index_reduce):
    install_in_place(_function)

_SEGMENTS = {
    "sum": ("sum", 0.0), "mean": ("mean", 0.0), "prod": ("prod", 1.0), "max": ("amax", -math.inf), "amax": ("amax", -math.inf),
    "min": ("amin", math.inf), "amin": ("amin", math.inf),
}  # fmt: skip


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """The reduction of each of the segments that lie one after the other along `axis`.

    Args:
        data: floating point.
        reduce: 'sum', 'mean', 'max', 'min' or 'prod'.
        lengths: how long the segments are: ints (…, segments), with data's dimensions before `axis` in front.
        offsets: instead of lengths, where the segments begin, and the end of the last.
        axis: the last dimension of lengths.
        unsafe: whether to leave out the check that lengths fit the data.
        initial: a number that takes part in each segment; what an empty one gives (else 0, NaN, ∓infinity or 1).

    Raises:
        RuntimeError: neither lengths nor offsets, or such that do not fit; an unknown reduction.
        NotImplementedError: data of ints.

    >>> import gradgpu as gg
    >>> gg.segment_reduce(gg.tensor([1., 2., 3.]), "max", lengths=gg.tensor([2, 0, 1]))
    tensor([2., -inf, 3.])
    """
    from .creation import arange, full
    from .join import repeat_interleave

    if reduce not in _SEGMENTS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if not data.is_floating_point():
        raise NotImplementedError(f"segment_reduce: not implemented for {data.dtype}; convert with .float()")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None:
        if offsets is None:
            raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
        lengths = offsets[..., 1:] - offsets[..., :-1]
    if lengths.dtype.is_floating_point:
        raise NotImplementedError(f"segment_reduce: lengths must be ints, got {lengths.dtype}")
    axis = data._dim(axis, "segment_reduce")
    if axis != lengths.dim() - 1:
        raise RuntimeError(
            f"segment_reduce(): Expected axis to be the last dimension of lengths but got {axis}."
        )
    lead, rest = tuple(data.shape[:axis]), tuple(data.shape[axis + 1 :])
    if not unsafe:
        if (lengths < 0).any():
            raise RuntimeError("lengths contains negative value!")
        if tuple(lengths.shape[:-1]) != lead or (lengths.sum(-1) != data.shape[axis]).any():
            raise RuntimeError(
                f"segment_reduce(): Expected all rows of lengths along axis to sum to data.size({axis}) when !unsafe."
            )
    how, identity = _SEGMENTS[reduce]
    counts = lengths.reshape(-1)
    where: dict[str, Any] = {"dtype": data.dtype, "device": data.device}
    start = full((counts.shape[0], *rest), identity if initial is None else initial, **where)
    index = repeat_interleave(arange(counts.shape[0], device=data.device), counts)
    rows = data.reshape((index.shape[0], *rest))
    if how in ("sum", "mean"):
        made = start.index_add(0, index, rows)
    else:
        made = index_reduce(start, 0, index, rows, how)
    if how == "mean":
        counts = counts.reshape((-1, *(1 for _ in rest)))
        made = where_op(counts > 0, made / counts.to(data.dtype), math.nan if initial is None else initial)
    return made.reshape((*lead, lengths.shape[-1], *rest))


__all__ = ["index_reduce", "scatter_reduce", "segment_reduce"]
