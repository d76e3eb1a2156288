"""Views by sizes and strides, sliding windows, copies with a part replaced, and methods that change a tensor's own shape."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..autograd.layers import LAYERS, LayerArray
from ..autograd.modes import enable_grad
from ..autograd.node import LEAF
from ..tensor import Tensor, wrap
from . import shape as _shape
from .complex import by_parts
from .convert import clone
from .creation import zeros_like
from .inplace import check_history, follow
from .join import split, unbind
from .matrix import diagonal
from .reduce import require_tensor
from .registry import Op, method

_view = np.lib.stride_tricks.as_strided


# ---- as_strided, of a vector ----
def _strided_cpu(x, *, size, stride, offset):
    return _view(x[offset:], size, [s * x.itemsize for s in stride])


def _strided_cuda(x, *, size, stride, offset):
    return x.as_strided(size, stride, offset)


def _positions(n: int, size: tuple, stride: tuple, offset: int) -> np.ndarray:
    """Where in a vector of length n each element of the view lies."""
    return np.ascontiguousarray(_strided_cpu(np.arange(n), size=size, stride=stride, offset=offset))


def _strided_backward_cpu(g, *, n, size, stride, offset):
    kind = g.dtype
    wide = np.dtype(np.float32) if kind.itemsize == 2 else kind
    made = np.zeros(n, wide)
    np.add.at(made, _positions(n, size, stride, offset).reshape(-1), g.reshape(-1).astype(wide, copy=False))
    return made.astype(kind, copy=False)


def _strided_backward_cuda(g, *, n, size, stride, offset):
    from ..cuda.array import from_host, zeros
    from ..cuda.indexing import add_rows

    places = from_host(_positions(n, size, stride, offset).reshape(-1), g.device)
    return add_rows("as_strided", zeros((n,), g.dtype, g.device), places, g.reshape((g.size,)), 0, False)


strided_op = Op(
    "as_strided",
    _strided_cpu,
    _strided_cuda,
    {
        "x": lambda g, x_shape, *, size, stride, offset: strided_backward_op(
            g, n=x_shape[0], size=size, stride=stride, offset=offset
        )
    },
    view=True,
)
# zeros (n,) with the elements of g added where the view has them
strided_backward_op = Op(
    "as_strided_backward",
    _strided_backward_cpu,
    _strided_backward_cuda,
    {
        "g": lambda g0, *, size, stride, offset: strided_op(g0, size=size, stride=stride, offset=offset),
    },
)


def _in_memory_order(x: Any) -> Any:
    """The elements as a vector in the order of memory, as a view; None if they do not fill a block of memory."""
    strides = x.stride()
    order = tuple(sorted(range(x.ndim), key=lambda d: (-strides[d], d)))
    turned = x if order == tuple(range(x.ndim)) else _shape.permute_op(x, dims=order)
    if not turned.is_contiguous():
        return None
    return _shape.reshape_op(turned, shape=(x.numel(),))


@method
def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A view of the tensor's memory with the sizes and strides given; elements may overlap.

    Args:
        stride: steps between elements along each dimension, in elements, not negative.
        storage_offset: where the view starts, counted from the start of the memory; where `input` starts by default.

    A view that reaches beyond `input` is taken of the tensor that `input` is a view of; its gradient goes there.

    Raises:
        RuntimeError: sizes and strides that do not match, are negative, or reach beyond the memory.

    >>> import gradgpu as gg
    >>> gg.as_strided(gg.arange(5), (3, 2), (1, 2))
    tensor([[0, 2],
            [1, 3],
            [2, 4]])
    """
    require_tensor("as_strided", input)
    size, stride = tuple([int(n) for n in size]), tuple([int(s) for s in stride])
    if len(size) != len(stride):
        raise RuntimeError(
            f"as_strided: mismatch in length of strides and shape: {list(stride)} and {list(size)}"
        )
    if any(s < 0 for s in stride) or any(n < 0 for n in size):
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides {list(stride)} and sizes {list(size)}"
        )
    input._materialise()
    own = input.storage_offset()
    start = own if storage_offset is None else int(storage_offset)
    reach = sum([(n - 1) * s for n, s in zip(size, stride)]) + 1 if prod(size) else 0
    for x in (input, input._base):
        if x is None:
            continue
        flat = _in_memory_order(x)
        offset = start - (own if x is input else x.storage_offset())
        if flat is not None and 0 <= offset and offset + reach <= flat.numel():
            return strided_op(flat, size=size, stride=stride, offset=offset)
    raise RuntimeError(
        f"as_strided: sizes {list(size)}, strides {list(stride)} and storage offset {start} are out of bounds for a tensor of "
        f"shape {tuple(input.shape)} with strides {input.stride()} at offset {own}; use input.contiguous() first"
    )


# ---- sliding windows of one dimension ----
def _windows_cpu(x, *, dim, size, step):
    x = np.asarray(x)
    count = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
    strides = (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :], x.strides[dim])
    return _view(x, shape, strides)


def _windows_cuda(x, *, dim, size, step):
    count = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
    return x.as_strided(
        shape, (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :], x.strides[dim])
    )


def _windows_backward_cpu(g, *, dim, step, n):
    kind = g.dtype
    made = np.zeros((*g.shape[:dim], n, *g.shape[dim + 1 : -1]), np.float32 if kind.itemsize == 2 else kind)
    rows = np.moveaxis(made, dim, -1)
    parts = np.moveaxis(g, dim, -1)  # (…, size, windows)
    for k in range(g.shape[-1]):
        rows[..., k : k + (g.shape[dim] - 1) * step + 1 : step] += parts[..., k, :]
    return made.astype(kind, copy=False)


def _windows_backward_cuda(g, *, dim, step, n):
    from ..cuda.array import contiguous, from_host, zeros
    from ..cuda.indexing import add_rows

    count, size = g.shape[dim], g.shape[-1]
    order = (*range(dim + 1), g.ndim - 1, *range(dim + 1, g.ndim - 1))
    turned = contiguous(_shape.permute_op.cuda(g, dims=order))
    places = from_host(np.arange(count)[:, None] * step + np.arange(size), g.device)
    made = zeros((*g.shape[:dim], n, *g.shape[dim + 1 : -1]), g.dtype, g.device)
    return add_rows("unfold", made, places, turned, dim, False)


windows_op = Op(
    "windows",
    _windows_cpu,
    _windows_cuda,
    {"x": lambda g, x_shape, *, dim, step: windows_backward_op(g, dim=dim, step=step, n=x_shape[dim])},
    view=True,
)
windows_op.node_name = "UnfoldBackward0"
windows_backward_op = Op(
    "windows_backward",
    _windows_backward_cpu,
    _windows_backward_cuda,
    {"g": lambda g0, g_shape, *, dim, step: windows_op(g0, dim=dim, size=g_shape[-1], step=step)},
)


for _op in (strided_op, windows_op):
    _op.complex = _op.cpu, _op.cuda  # they move no element
for _op in (strided_backward_op, windows_backward_op):
    _op.composite = by_parts(_op)


@method("unfold")
def windows(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The windows of `size` entries that slide along a dimension by `step`, as a view with a new last dimension.

    Raises:
        RuntimeError: a window longer than the dimension, or a step that is not positive. IndexError: no such dimension.

    >>> import gradgpu as gg
    >>> gg.arange(5).unfold(0, 3, 1)
    tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]])
    """
    d = _shape.canonical_dim(dimension, self.ndim, "unfold")
    x = self if self.ndim else self.reshape((1,))
    if size < 0 or size > x.shape[d]:
        raise RuntimeError(
            f"unfold: maximum size for tensor at dimension {d} is {x.shape[d]} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"unfold: step is {step} but must be > 0")
    made = windows_op(x, dim=d, size=int(size), step=int(step))
    return made if self.ndim else made.reshape((size,))


# ---- copies with a part replaced ----
def _replaced(name: str, input: Tensor, src: Any, part: Any) -> Tensor:
    require_tensor(name, src)
    made = clone(input)
    if LAYERS and isinstance(src._a, LayerArray):
        made = made + zeros_like(src).sum().to(made.dtype)  # vmap's dimension, for the values to come
    hole = part(made)
    if tuple(hole.shape) != tuple(src.shape):
        raise RuntimeError(
            f"{name}: expected src to have a size equal to the slice of self. src size = {list(src.shape)}, "
            f"slice size = {list(hole.shape)}"
        )
    hole.copy_(src)
    return made


@method
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` in which `input.select(dim, index)` is replaced by `src`.

    Raises:
        RuntimeError: src has another shape than the slice. IndexError: no such dimension or index.

    >>> import gradgpu as gg
    >>> gg.select_scatter(gg.zeros(2, 2), gg.ones(2), 0, 1)
    tensor([[0., 0.],
            [1., 1.]])
    """
    return _replaced("select_scatter", input, src, lambda x: x.select(dim, index))


@method
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A copy of `input` in which its entries start … end - 1, each step-th, along `dim` are replaced by `src`.

    Raises:
        RuntimeError: src has another shape than the slice, or a step that is not positive.

    >>> import gradgpu as gg
    >>> gg.slice_scatter(gg.zeros(4), gg.ones(2), 0, 1, 3)
    tensor([0., 1., 1., 0.])
    """
    if step <= 0:
        raise RuntimeError(f"slice_scatter: slice step must be positive, got {step}")
    d = _shape.canonical_dim(dim, input.ndim, "slice_scatter")
    at = (*(slice(None),) * d, slice(start, end, step))
    return _replaced("slice_scatter", input, src, lambda x: x[at])


@method
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of `input` in which `input.diagonal(offset, dim1, dim2)` is replaced by `src`.

    Raises:
        RuntimeError: src has another shape than the diagonal, or the dimensions are the same.

    >>> import gradgpu as gg
    >>> gg.diagonal_scatter(gg.zeros(2, 2), gg.tensor([1., 2.]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    return _replaced("diagonal_scatter", input, src, lambda x: diagonal(x, offset, dim1, dim2))


@method
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A copy of `input` in which `input.as_strided(size, stride, storage_offset)` is replaced by `src`.

    No two elements of the view may share memory.

    >>> import gradgpu as gg
    >>> gg.as_strided_scatter(gg.zeros(4), gg.ones(2), (2,), (2,))
    tensor([1., 0., 1., 0.])
    """
    return _replaced("as_strided_scatter", input, src, lambda x: as_strided(x, size, stride, storage_offset))


# ---- a tensor that becomes a view of itself ----
def _become(name: str, self: Tensor, view: Any) -> Tensor:
    """Gives a tensor the shape (and history) that `view` of it has."""
    check_history(name, self)
    if self._edge is LEAF:
        self._a = view(self.detach())._a
        return self
    self._materialise()
    source = self
    if self._base is None and any(ref() is not None for ref in self._views or ()):
        # Views know how they come from their base: a hidden tensor stays what this one was.
        source = wrap(self._a)
        source._edge, source._cell, source._shared = self._edge, self._version_cell(), self._shared
        for ref in self._shared:
            other = ref()
            if other is not None:
                other._shared = (source, *other._shared[1:])
        self._shared = None
    with enable_grad():
        made = view(source)
    self._a = made._a
    follow(self, made._edge)
    if source is not self:
        made._base._views.append(weakref.ref(self))
    if source is not self or self._base is not None:
        self._shared = made._base, made._chain, self._origin
    return self


@method
def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """`unsqueeze` in place: the tensor itself gets a dimension of size 1."""
    return _become("unsqueeze_", self, lambda x: _shape.unsqueeze(x, dim))


@method
def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """`squeeze` in place: the tensor itself loses dimensions of size 1."""
    return _become("squeeze_", self, lambda x: _shape.squeeze(x, dim))


@method
def t_(self: Tensor) -> Tensor:
    """`t` in place."""
    return _become("t_", self, _shape.t)


@method("transpose_", "swapdims_")
def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose` in place."""
    return _become("transpose_", self, lambda x: _shape.transpose(x, dim0, dim1))


@method
def swapaxes_(self: Tensor, axis0: int, axis1: int) -> Tensor:
    """`swapaxes` in place."""
    return transpose_(self, axis0, axis1)


@method
def as_strided_(
    self: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """`as_strided` in place."""
    return _become("as_strided_", self, lambda x: as_strided(x, size, stride, storage_offset))


# ---- copies of views ----
def _copying(name: str, view: Any) -> Any:
    def copied(*args: Any, **kwargs: Any) -> Any:
        made = view(*args, **kwargs)
        return clone(made) if isinstance(made, Tensor) else tuple([clone(part) for part in made])

    copied.__name__ = copied.__qualname__ = name
    copied.__doc__ = f"A copy of what `{name.removesuffix('_copy')}` gives a view of."
    return copied


def _slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    return input[(*(slice(None),) * _shape.canonical_dim(dim, input.ndim, "slice"), slice(start, end, step))]


as_strided_copy = _copying("as_strided_copy", as_strided)
detach_copy = _copying("detach_copy", Tensor.detach)
diagonal_copy = _copying("diagonal_copy", diagonal)
expand_copy = _copying("expand_copy", _shape.expand)
narrow_copy = method(_copying("narrow_copy", _shape.narrow))
permute_copy = _copying("permute_copy", _shape.permute)
select_copy = _copying("select_copy", _shape.select)
slice_copy = _copying("slice_copy", _slice)
split_copy = split_with_sizes_copy = _copying("split_copy", split)
squeeze_copy = _copying("squeeze_copy", _shape.squeeze)
t_copy = _copying("t_copy", _shape.t)
transpose_copy = _copying("transpose_copy", _shape.transpose)
unbind_copy = _copying("unbind_copy", unbind)
unfold_copy = _copying("unfold_copy", windows)
unsqueeze_copy = _copying("unsqueeze_copy", _shape.unsqueeze)
view_copy = _copying("view_copy", _shape.view)

__all__ = [
    "as_strided", "as_strided_copy", "as_strided_scatter", "detach_copy", "diagonal_copy", "diagonal_scatter", "expand_copy",
    "narrow_copy", "permute_copy", "select_copy", "select_scatter", "slice_copy", "slice_scatter", "split_copy",
    "split_with_sizes_copy", "squeeze_copy", "t_copy", "transpose_copy", "unbind_copy", "unfold_copy", "unsqueeze_copy", "view_copy",
]  # fmt: skip
