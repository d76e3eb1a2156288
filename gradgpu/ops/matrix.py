"""Triangles and diagonals of matrices; flip and roll."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..tensor import Tensor, wrap
from . import shape as _shape
from .choice import kept
from .creation import array_on, as_device
from .inplace import inplace
from .join import cat_op
from .registry import Op, method, refuse_others


# ---- triangles ----
@lru_cache(maxsize=256)
def _triangle_mask(rows: int, cols: int, diagonal: int, lower: bool) -> np.ndarray:
    mask = (
        np.tri(rows, cols, diagonal, dtype=bool) if lower else ~np.tri(rows, cols, diagonal - 1, dtype=bool)
    )
    mask.flags.writeable = False
    return mask


def _triangle_cpu(x, *, diagonal, lower):
    mask = _triangle_mask(x.shape[-2], x.shape[-1], diagonal, lower)
    return kept(x, mask)


def _triangle_cuda(x, *, diagonal, lower):
    from ..cuda.indexing import triangle

    return triangle(x, diagonal, lower)


triangle_op = Op(
    "triangle",
    _triangle_cpu,
    _triangle_cuda,
    {"x": lambda g, *, diagonal, lower: triangle_op(g, diagonal=diagonal, lower=lower)},
)


def _triangle(name: str, input: Any, diagonal: int, lower: bool) -> Any:
    if input.ndim < 2:
        raise RuntimeError(
            f"{name}: input tensor must have at least 2 dimensions, got shape {tuple(input.shape)}"
        )
    return triangle_op(input, diagonal=int(diagonal), lower=lower)


@method
def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle of a matrix or batch of matrices, zero elsewhere; `diagonal` > 0 keeps so many diagonals above.

    >>> import gradgpu as gg
    >>> gg.tril(gg.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _triangle("tril", input, diagonal, True)


@method
def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle of a matrix or batch of matrices, zero elsewhere; `diagonal` > 0 leaves out so many diagonals.

    >>> import gradgpu as gg
    >>> gg.triu(gg.ones(2, 2), diagonal=1)
    tensor([[0., 1.],
            [0., 0.]])
    """
    return _triangle("triu", input, diagonal, False)


@method
def tril_(self: Any, diagonal: int = 0) -> Any:
    """`tril` in place."""
    return inplace("tril_", self, tril(self, diagonal))


@method
def triu_(self: Any, diagonal: int = 0) -> Any:
    """`triu` in place."""
    return inplace("triu_", self, triu(self, diagonal))


def _indices(name: str, row: int, col: int, offset: int, dtype: Any, device: Any) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: row and col must be non-negative, got {row} and {col}")
    found = getattr(np, name)(row, offset, col)
    d = dt.int64 if dtype is None else dt.as_dtype(dtype)
    return wrap(array_on(np.stack(found).astype(d.np), as_device(device)))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The coordinates of the lower triangle of a row × col matrix: (2, count).

    >>> import gradgpu as gg
    >>> gg.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _indices("tril_indices", row, col, offset, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The coordinates of the upper triangle of a row × col matrix: (2, count)."""
    return _indices("triu_indices", row, col, offset, dtype, device)


# ---- diagonals of the last two dimensions ----
def _diagonal_cpu(x, *, offset):
    rows, cols = x.shape[-2:]
    length = _length(rows, cols, offset)
    row, col = max(-offset, 0), max(offset, 0)
    corner = x[..., row : row + length, col : col + length]
    steps = corner.strides
    return np.lib.stride_tricks.as_strided(corner, corner.shape[:-1], (*steps[:-2], steps[-2] + steps[-1]))


def _diagonal_cuda(x, *, offset):
    rows, cols = x.shape[-2:]
    length = _length(rows, cols, offset)
    down, right = x.strides[-2:]
    start = max(-offset, 0) * down + max(offset, 0) * right if length else 0
    return x.as_strided((*x.shape[:-2], length), (*x.strides[:-2], down + right), start)


def _length(rows: int, cols: int, offset: int) -> int:
    return max(min(rows, cols - offset) if offset >= 0 else min(rows + offset, cols), 0)


diagonal_op = Op(
    "diagonal",
    _diagonal_cpu,
    _diagonal_cuda,
    {
        "x": lambda g, x_shape, *, offset: diagonal_embed_op(
            g, offset=offset, rows=x_shape[-2], cols=x_shape[-1]
        ),
    },
    view=True,
)


def _diagonal_embed_cpu(x, *, offset, rows, cols):
    y = np.zeros((*x.shape[:-1], rows, cols), x.dtype)
    _diagonal_cpu(y, offset=offset)[...] = x
    return y


def _diagonal_embed_cuda(x, *, offset, rows, cols):
    from ..cuda.indexing import diagonal_embed

    return diagonal_embed(x, rows, cols, offset)


# zeros [*, rows, cols] with the last dimension of x on a diagonal
diagonal_embed_op = Op(
    "diagonal_embed",
    _diagonal_embed_cpu,
    _diagonal_embed_cuda,
    {"x": lambda g, *, offset: diagonal_op(g, offset=offset)},
)


def _two_dims(name: str, ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    a, b = _shape.canonical_dim(dim1, ndim, name), _shape.canonical_dim(dim2, ndim, name)
    if ndim < 2 or a == b:
        raise RuntimeError(
            f"{name}: diagonal dimensions cannot be identical: {dim1}, {dim2} (of {ndim} dimensions)"
        )
    return a, b


@method
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A view of the diagonal over two dimensions, as a new last dimension; `offset` > 0 lies above the main one.

    >>> import gradgpu as gg
    >>> gg.diagonal(gg.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    a, b = _two_dims("diagonal", input.ndim, dim1, dim2)
    rest = [d for d in range(input.ndim) if d not in (a, b)]
    x = input if (a, b) == (input.ndim - 2, input.ndim - 1) else _shape.permute_op(input, dims=(*rest, a, b))
    return diagonal_op(x, offset=int(offset))


@method
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices of zeros with the last dimension of `input` on a diagonal.

    >>> import gradgpu as gg
    >>> gg.diag_embed(gg.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    a, b = _two_dims("diag_embed", input.ndim + 1, dim1, dim2)
    n = input._a.shape[-1] + abs(offset)
    y = diagonal_embed_op(input, offset=int(offset), rows=n, cols=n)
    if (a, b) == (y.ndim - 2, y.ndim - 1):
        return y
    order: list[Any] = [None] * y.ndim
    order[a], order[b] = y.ndim - 2, y.ndim - 1
    rest = iter(range(y.ndim - 2))
    return _shape.permute_op(y, dims=tuple([next(rest) if d is None else d for d in order]))


@method
def diag(input: Any, diagonal: int = 0) -> Any:
    """The matrix with a vector on its diagonal, or a copy of the diagonal of a matrix.

    >>> import gradgpu as gg
    >>> gg.diag(gg.tensor([[1, 2], [3, 4]]), 1)
    tensor([2])
    """
    if not isinstance(input, Tensor):
        refuse_others("diag", input=input)
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return diagonal_op(input, offset=int(diagonal)).clone()


@method
def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return diagonal_op(input, offset=0).sum()


# ---- flip and roll ----
def _flip_cpu(x, *, dims):
    return np.flip(x, dims).copy()


def _flip_cuda(x, *, dims):
    from ..cuda.elementwise import copy

    shape, strides = x.shape, list(x.strides)
    if not x.size:
        return x.copy()
    start = 0
    for d in dims:
        start += (shape[d] - 1) * strides[d]
        strides[d] = -strides[d]
    return copy(x.as_strided(shape, strides, start))


flip_op = Op("flip", _flip_cpu, _flip_cuda, {"x": lambda g, *, dims: flip_op(g, dims=dims)})


@method
def flip(input: Any, *args: Any, dims: Any = ()) -> Any:
    """A copy with the order of entries reversed along dimensions.

    >>> import gradgpu as gg
    >>> gg.flip(gg.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    dims = args or dims
    if isinstance(dims, int):
        dims = (dims,)
    elif len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = tuple(dims[0])
    return flip_op(input, dims=_shape.canonical_dims(dims, input.ndim, "flip") if dims else ())


@method
def fliplr(input: Any) -> Any:
    """`flip` along the second dimension."""
    if input.ndim < 2:
        raise RuntimeError("fliplr: Input must be >= 2-d.")
    return flip(input, 1)


@method
def flipud(input: Any) -> Any:
    """`flip` along the first dimension."""
    if input.ndim < 1:
        raise RuntimeError("flipud: Input must be >= 1-d.")
    return flip(input, 0)


def _roll_parts(n: int, shift: int, dim: int) -> tuple[tuple, tuple]:
    """The last `shift` of n places along `dim`, and those before."""
    whole = (slice(None),) * dim
    return (*whole, slice(n - shift, None)), (*whole, slice(0, n - shift))


def _roll_cpu(x, *, shift, dim):
    last, before = _roll_parts(x.shape[dim], shift, dim)
    return np.concatenate((x[last], x[before]), dim)


def _roll_cuda(x, *, shift, dim):
    n = x.shape[dim]
    parts = [_shape.basic_index_op.cuda(x, index=at) for at in _roll_parts(n, shift, dim)]
    return cat_op.cuda(*parts, dim=dim, sizes=(shift, n - shift))


roll_op = Op(
    "roll",
    _roll_cpu,
    _roll_cuda,
    {"x": lambda g, *, shift, dim: roll_op(g, shift=g.shape[dim] - shift, dim=dim)},
)


@method
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Entries moved by `shifts` places along `dims` (the flattened tensor if None); those pushed out come in in front.

    >>> import gradgpu as gg
    >>> gg.roll(gg.tensor([1, 2, 3, 4]), 1)
    tensor([4, 1, 2, 3])
    """
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    if dims is None:
        if len(shifts) != 1:
            raise RuntimeError(f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims: 0")
        if input._a.ndim != 1:
            return roll(input.reshape((-1,)), shifts, 0).reshape(tuple(input.shape))
        dims = 0
    dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims: {len(dims)}"
        )
    out = input
    for shift, dim in zip(shifts, dims):
        d = _shape.canonical_dim(dim, input.ndim, "roll")
        n = input._a.shape[d]
        k = shift % n if n else 0
        if k:
            out = roll_op(out, shift=int(k), dim=d)
    return input.clone() if out is input else out


__all__ = [
    "diag", "diag_embed", "diagonal", "flip", "fliplr", "flipud", "roll", "trace", "tril", "tril_indices", "triu", "triu_indices",
]  # fmt: skip
