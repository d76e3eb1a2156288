"""Other views of the same memory: reshape, transpose, permute, expand, squeeze, slices.

On the CPU a view is numpy's; on cuda it is new strides over the same memory. No number is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..autograd.layers import LAYERS, LayerArray
from ..tensor import Tensor
from . import reduce as _reduce
from .registry import Op, method

ndarray = np.ndarray


# ---- ops ----
reshape_op = Op(
    "view",
    lambda x, *, shape: x.reshape(shape),
    lambda x, *, shape: x.reshape(shape),
    {"x": lambda g, x_shape: reshape_op(g, shape=x_shape)},
    view=True,
)


def _permute_cuda(x: Any, *, dims: tuple) -> Any:
    layout = x.layout
    return x.as_strided([layout.shape[d] for d in dims], [layout.strides[d] for d in dims])


def _inverse(dims: tuple) -> tuple:
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return tuple(inverse)


permute_op = Op(
    "permute",
    lambda x, *, dims: np.asarray(x).transpose(dims),
    _permute_cuda,
    {"x": lambda g, *, dims: permute_op(g, dims=_inverse(dims))},
    view=True,
)


def _expand_cuda(x: Any, *, shape: tuple) -> Any:
    from ..cuda.elementwise import expanded

    return x.as_strided(shape, expanded(x.layout, shape))


expand_op = Op(
    "expand",
    lambda x, *, shape: np.broadcast_to(x, shape),
    _expand_cuda,
    {"x": lambda g, x_shape: _reduce.sum_to_size_op(g, shape=x_shape)},
    view=True,
)


def _index_cpu(x: Any, *, index: tuple) -> Any:
    return np.asarray(x)[(*index, ...)] if Ellipsis not in index else np.asarray(x)[index]


def _index_cuda(x: Any, *, index: tuple) -> Any:
    shape, strides, offset = basic_geometry(x.layout.shape, x.layout.strides, index)
    return x.as_strided(shape, strides, offset)


def basic_geometry(shape: Sequence[int], strides: Sequence[int], index: tuple) -> tuple[list, list, int]:
    """Shape, strides and offset after a basic index of ints, slices, None and one Ellipsis."""
    used = sum(1 for i in index if i is not None and i is not Ellipsis)
    rest = len(shape) - used
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    new_shape: list[int] = []
    new_strides: list[int] = []
    offset = d = 0
    for i in index:
        if i is None:
            new_shape.append(1)
            new_strides.append(0)
        elif i is Ellipsis:
            new_shape += shape[d : d + rest]
            new_strides += strides[d : d + rest]
            d += rest
        elif isinstance(i, slice):
            start, stop, step = i.indices(shape[d])
            count = len(range(start, stop, step))
            new_shape.append(count)
            new_strides.append(strides[d] * step)
            if count:
                offset += start * strides[d]
            d += 1
        else:
            offset += (i + shape[d] if i < 0 else i) * strides[d]
            d += 1
    if 0 in new_shape:
        offset = 0
    return new_shape, new_strides, offset


def _index_backward_cpu(g: Any, *, shape: tuple, index: tuple) -> Any:
    made = np.zeros(shape, g.dtype)
    made[index] = g
    return made


def _index_backward_cuda(g: Any, *, shape: tuple, index: tuple) -> Any:
    from ..cuda.array import zeros
    from ..cuda.elementwise import copy_into

    made = zeros(shape, g.dtype, g.device)
    copy_into(_index_cuda(made, index=index), g)
    return made


basic_index_op = Op(
    "slice",
    _index_cpu,
    _index_cuda,
    {"x": lambda g, x_shape, *, index: basic_index_backward_op(g, shape=x_shape, index=index)},
    view=True,
)
basic_index_backward_op = Op(
    "slice_backward",
    _index_backward_cpu,
    _index_backward_cuda,
    {"g": lambda g0, *, index: basic_index_op(g0, index=index)},
)


# ---- arguments ----
def canonical_dim(dim: Any, ndim: int, op: str) -> int:
    """A dimension as a non-negative int; IndexError if it is out of range."""
    try:
        dim = dim.__index__()
    except AttributeError:
        raise TypeError(f"{op}(): dim must be an int, got {type(dim).__name__}") from None
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(
            f"{op}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim + n if dim < 0 else dim


def canonical_dims(dims: Any, ndim: int, op: str) -> tuple[int, ...]:
    """Dimensions as an ascending tuple; None or an empty sequence means all."""
    if dims is None or isinstance(dims, (tuple, list)) and not dims:
        return tuple(range(ndim))
    found = [canonical_dim(d, ndim, op) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))]
    if len(set(found)) != len(found):
        raise RuntimeError(
            f"{op}: dim {next(d for d in found if found.count(d) > 1)} appears multiple times in the list of dims"
        )
    return tuple(sorted(found)) if ndim else ()


def _sizes(args: tuple) -> tuple:
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple([n if type(n) is int else int(n.__index__()) for n in args])


def infer_shape(shape: tuple, size: int, old: tuple, op: str) -> tuple[int, ...]:
    """The shape with its one -1 filled in."""
    known = prod(n for n in shape if n != -1)
    if shape.count(-1) > 1:
        raise RuntimeError(f"{op}: only one dimension can be inferred, got {shape}")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"{op}: invalid shape dimension in {shape}")
    if -1 in shape and known and size % known == 0:
        return tuple(size // known if n == -1 else n for n in shape)
    if -1 in shape and known == 0 and size == 0:
        raise RuntimeError(
            f"{op}: cannot reshape tensor of 0 elements into shape {list(shape)} because -1 is ambiguous"
        )
    if -1 in shape or known != size:
        raise RuntimeError(
            f"{op}: shape {list(shape)} is invalid for input of size {size} (shape {tuple(old)})"
        )
    return shape


def _viewable(t: Any, shape: tuple) -> bool:
    a = t._a
    if not isinstance(a, ndarray):
        if LAYERS and isinstance(a, LayerArray):
            return _viewable(a.inner, (*a.inner.shape[: a.inner.ndim - a.ndim], *shape))
        from ..cuda.array import reshape_strides

        if hasattr(a, "layout"):
            return reshape_strides(a.layout, shape) is not None
        t._materialise()
        return True
    return a.flags.c_contiguous or bool(np.may_share_memory(a, a.reshape(shape)))


@method
def view(self: Any, *shape: Any) -> Any:
    """A view of another shape (one entry may be -1), or, given a dtype of the same size, of other element type.

    Raises RuntimeError if the elements do not lie so that no copy is needed; use `reshape` then.
    """
    from ..dtypes import dtype as Dtype

    if len(shape) == 1 and isinstance(shape[0], Dtype):
        return _view_dtype(self, shape[0])
    a = self._a
    wanted = infer_shape(_sizes(shape), a.size, a.shape, "view")
    if not _viewable(self, wanted):
        raise RuntimeError(
            f"view: size {list(wanted)} is not compatible with input tensor's size {list(a.shape)} and stride {list(self.stride())} "
            "(at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return reshape_op(self, shape=wanted)


def _view_dtype(x: Any, d: Any) -> Any:
    if d.itemsize != x.itemsize:
        raise RuntimeError(
            f"view: {x.dtype} and {d} differ in size; only dtypes of the same size can be viewed as one another"
        )
    from ..tensor import wrap

    x._materialise()
    t = wrap(x._a.view(d.np) if isinstance(x._a, ndarray) else x._a.view_dtype(d.np))
    t._cell = x._version_cell()
    return t


@method
def reshape(input: Any, *shape: Any) -> Any:
    """The same elements in another shape, in row-major order; a view where possible, else a copy. One entry may be -1.

    >>> import gradgpu as gg
    >>> gg.arange(4).reshape(2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    a = input._a
    wanted = infer_shape(_sizes(shape), a.size, a.shape, "reshape")
    if not _viewable(input, wanted):
        input = input.clone()
    return reshape_op(input, shape=wanted)


@method
def view_as(self: Any, other: Any) -> Any:
    """`self.view(other.shape)`."""
    return view(self, other.shape)


@method
def reshape_as(self: Any, other: Any) -> Any:
    """`self.reshape(other.shape)`."""
    return reshape(self, other.shape)


@method
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Joins dimensions `start_dim` to `end_dim` into one."""
    shape = input._a.shape
    if not shape:
        return reshape(input, 1)
    start, end = (
        canonical_dim(start_dim, len(shape), "flatten"),
        canonical_dim(end_dim, len(shape), "flatten"),
    )
    if start > end:
        raise RuntimeError(
            f"flatten() has invalid args: start_dim {start_dim} cannot come after end_dim {end_dim}"
        )
    if start == end:
        return input
    return reshape(input, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


@method
def ravel(input: Any) -> Any:
    """The elements in one dimension."""
    return reshape(input, -1) if input.numel() else reshape(input, 0)


@method
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Splits dimension `dim` into `sizes` (one may be -1)."""
    shape = input._a.shape
    d = canonical_dim(dim, len(shape), "unflatten")
    parts = infer_shape(_sizes((sizes,)), shape[d], (shape[d],), "unflatten")
    return reshape(input, (*shape[:d], *parts, *shape[d + 1 :]))


@method
def permute(input: Any, *dims: Any) -> Any:
    """The dimensions in another order.

    >>> import gradgpu as gg
    >>> gg.permute(gg.zeros(2, 3, 4), (2, 0, 1)).shape
    gradgpu.Size([4, 2, 3])
    """
    n = input._a.ndim
    order = tuple([canonical_dim(d, n, "permute") for d in _sizes(dims)])
    if len(order) != n or len(set(order)) != n:
        raise RuntimeError(
            f"permute(dims={_sizes(dims)}): needs every one of the {n} dimensions exactly once"
        )
    return permute_op(input, dims=order)


@method
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Swaps two dimensions."""
    n = input._a.ndim
    a, b = canonical_dim(dim0, n, "transpose"), canonical_dim(dim1, n, "transpose")
    order = list(range(n))
    if n:
        order[a], order[b] = b, a
    return permute_op(input, dims=tuple(order))


swapdims = transpose


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """`transpose`.

    >>> import gradgpu as gg
    >>> gg.swapaxes(gg.zeros(2, 3), 0, 1).shape
    gradgpu.Size([3, 2])
    """
    return transpose(input, axis0, axis1)


@method
def t(input: Any) -> Any:
    """The transpose of a matrix; a tensor of fewer dimensions as it is."""
    n = input._a.ndim
    if n > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {n}D; use .mT or .transpose(-2, -1)"
        )
    return permute_op(input, dims=tuple(range(n))[::-1])


@method
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Moves dimensions from positions `source` to `destination`."""
    n = input._a.ndim
    src = [
        canonical_dim(d, n, "movedim") for d in (source if isinstance(source, (tuple, list)) else (source,))
    ]
    dst = [
        canonical_dim(d, n, "movedim")
        for d in (destination if isinstance(destination, (tuple, list)) else (destination,))
    ]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError(
            f"movedim: source {source} and destination {destination} must be as many different dimensions"
        )
    rest = iter([d for d in range(n) if d not in src])
    order = tuple([src[dst.index(d)] if d in dst else next(rest) for d in range(n)])
    return permute_op(input, dims=order)


moveaxis = movedim


@method
def expand(self: Any, *sizes: Any) -> Any:
    """A view in which dimensions of size 1 are repeated without copying; -1 keeps a size."""
    shape, wanted = self._a.shape, _sizes(sizes)
    pad = len(wanted) - len(shape)
    if pad < 0:
        raise RuntimeError(
            f"expand({list(wanted)}): the number of sizes must be at least the {len(shape)} dimensions of the tensor"
        )
    target = []
    for d, n in enumerate(wanted):
        old = shape[d - pad] if d >= pad else 1
        if n == -1:
            if d < pad:
                raise RuntimeError(f"expand: -1 is not allowed for the new leading dimension {d}")
            n = old
        elif n != old and old != 1:
            raise RuntimeError(
                f"expand: The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton dimension {d}. "
                f"Target sizes: {list(wanted)}. Tensor sizes: {list(shape)}"
            )
        target.append(n)
    return expand_op(self, shape=tuple(target))


@method
def expand_as(self: Any, other: Any) -> Any:
    """`self.expand(other.shape)`."""
    return expand(self, other.shape)


@method
def broadcast_to(input: Any, size: Any) -> Any:
    """`input.expand(size)`."""
    return expand(input, size)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes broadcast to."""
    from ..cuda.elementwise import broadcast_shapes as joined
    from ..tensor import Size

    return Size(
        joined("broadcast_shapes", *[(s,) if isinstance(s, int) else tuple(s) for s in shapes])
        if shapes
        else ()
    )


def broadcast_tensors(*tensors: Any) -> tuple:
    """Every tensor expanded to their common shape."""
    shape = broadcast_shapes(*[x.shape for x in tensors])
    return tuple(expand(x, shape) for x in tensors)


@method
def squeeze(input: Any, dim: Any = None) -> Any:
    """Drops dimensions of size 1: all, or those in `dim`."""
    shape = input._a.shape
    dims = (
        range(len(shape)) if dim is None else canonical_dims(dim, len(shape), "squeeze") if dim != () else ()
    )
    gone = [n == 1 and d in dims for d, n in enumerate(shape)]
    if input.is_contiguous():
        return reshape_op(input, shape=tuple([n for n, drop in zip(shape, gone) if not drop]))
    return basic_index_op(input, index=tuple([0 if drop else slice(None) for drop in gone]))


@method
def unsqueeze(input: Any, dim: int) -> Any:
    """Inserts a dimension of size 1 at `dim`."""
    shape = input._a.shape
    d = canonical_dim(dim, len(shape) + 1, "unsqueeze")
    if input.is_contiguous():
        return reshape_op(input, shape=(*shape[:d], 1, *shape[d:]))
    return basic_index_op(input, index=(*[slice(None)] * d, None))


@method
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` entries of dimension `dim` from `start` on, as a view."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = canonical_dim(dim, len(shape), "narrow")
    start = int(start)
    begin = start + shape[d] if start < 0 else start
    if not 0 <= begin <= shape[d]:
        raise IndexError(
            f"narrow: start out of range (expected to be in range of [{-shape[d]}, {shape[d]}], but got {start})"
        )
    if length < 0 or begin + length > shape[d]:
        raise RuntimeError(f"narrow: start ({start}) + length ({length}) exceeds dimension size ({shape[d]})")
    return basic_index_op(input, index=(*[slice(None)] * d, slice(begin, begin + length)))


@method
def select(input: Any, dim: int, index: int) -> Any:
    """The slice at `index` of dimension `dim`, as a view with one dimension less."""
    shape = input._a.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = canonical_dim(dim, len(shape), "select")
    if not -shape[d] <= index < shape[d]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {d}"
        )
    return basic_index_op(input, index=(*[slice(None)] * d, int(index)))


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dimension."""
    made = tuple([reshape(x, 1) if not x.ndim else x for x in _several(tensors)])
    return made if len(made) != 1 or isinstance(tensors[0], (tuple, list)) else made[0]


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions."""
    made = tuple(
        [reshape(x, (1,) * (2 - x.ndim) + tuple(x.shape)) if x.ndim < 2 else x for x in _several(tensors)]
    )
    return made if len(made) != 1 or isinstance(tensors[0], (tuple, list)) else made[0]


def _several(tensors: tuple) -> Sequence:
    return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors


def _reversed_dims(self: Any) -> Any:
    """All dimensions in reverse order."""
    return permute_op(self, dims=tuple(range(self._a.ndim))[::-1])


def _matrix_transpose(self: Any) -> Any:
    """The last two dimensions swapped."""
    if self._a.ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {self._a.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


Tensor.T = Tensor.H = property(_reversed_dims)  # type: ignore[attr-defined]
Tensor.mT = Tensor.mH = property(_matrix_transpose)  # type: ignore[attr-defined]
for _alias, _function in {"swapaxes": swapaxes, "swapdims": transpose, "moveaxis": movedim}.items():
    setattr(Tensor, _alias, _function)

__all__ = [
    "atleast_1d", "atleast_2d", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "flatten", "moveaxis", "movedim", "narrow",
    "permute", "ravel", "reshape", "select", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unflatten", "unsqueeze",
]  # fmt: skip
