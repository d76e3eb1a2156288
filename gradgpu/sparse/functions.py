"""Products, sums and softmax of sparse tensors."""

from __future__ import annotations

import math
from typing import Any

from ..ops.creation import arange
from ..ops.join import repeat_interleave, stack
from ..ops.linalg import mm as matrix_product
from ..ops.reduce import reduced_dims
from ..ops.sparse import spmm_op
from ..tensor import Tensor
from .tensor import SparseTensor, _added, _flat, _like, _made, _rows


# ---- products ----
def _matrix(name: str, a: Any) -> None:
    if a.sparse_dim() != 2 or a.dense_dim():
        raise RuntimeError(
            f"{name}: expected a sparse matrix with two sparse dimensions, got {a.sparse_dim()} and {a.dense_dim()} dense ones"
        )


def _fit(name: str, a: Tensor, b: Tensor, inner: tuple[int, int]) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: expected both of one dtype, got {a.dtype} and {b.dtype}; convert with .to(dtype)"
        )
    if a.device != b.device:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found {a.device}, {b.device}; "
            f"move them to one device, e.g. x.to('{a.device}')"
        )
    if not a.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name}: sparse products are of floating-point tensors, got {a.dtype}; use .float()"
        )
    if inner[0] != inner[1]:
        raise RuntimeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, a.shape))} and {'x'.join(map(str, b.shape))})"
        )


def _mm(a: Tensor, b: Tensor, ta: bool = False, tb: bool = False) -> Tensor:
    if ta:
        a = a.mT
    if tb:
        b = b.mT
    if a.ndim != 2 or b.ndim != 2:
        raise RuntimeError(
            f"mm: expected matrices, got {a.ndim}-D and {b.ndim}-D tensors, one of them sparse"
        )
    _fit("mm", a, b, (a.shape[1], b.shape[0]))
    if not isinstance(b, SparseTensor):
        _matrix("mm", a)
        return spmm_op(a._entries, b, pattern=a._pattern, columns=False)
    _matrix("mm", b)
    if not isinstance(a, SparseTensor):
        return spmm_op(b._entries, a.mT, pattern=b._pattern, columns=True).mT
    _matrix("mm", a)
    return _both_sparse(a, b)


def _both_sparse(a: Any, b: Any) -> SparseTensor:
    """The product of two sparse matrices, sparse: each entry (i, k) of `a` meets the entries of row k of `b` (Gustavson,
    "Two fast algorithms for sparse matrices", 1978)."""
    begin, order, columns = b._pattern.by(False)
    at = a._pattern.at
    meets = begin[1:][at[1]] - begin[:-1][at[1]]
    left = repeat_interleave(arange(a._nnz(), device=a.device), meets)
    place = arange(left.shape[0], device=a.device) - (meets.cumsum(0) - meets)[left]
    sorted_place = begin[:-1][at[1]][left] + place
    right = sorted_place if order is None else order[sorted_place]
    values = _rows(a._entries, left) * _rows(b._entries, right)
    return _made(
        stack([at[0][left], columns[sorted_place]]), values, (a.shape[0], b.shape[1]), False
    ).coalesce()


def mm(sparse: Tensor, dense: Tensor) -> Tensor:
    """The product of a sparse matrix (m, k) and a dense one (k, n), dense; of two sparse ones, sparse; of two dense ones, `mm`. Also `@`, `gg.mm` and
    `gg.matmul`. Gradients reach the values and the dense factor.

    On cuda a warp makes a row of the result, or 32 columns of it, in the order of the entries: reproducible. The order
    of the entries by rows, and by columns for the gradient, is found once for a tensor and kept with it.

    >>> import gradgpu as gg
    >>> a = gg.sparse_coo_tensor([[0, 1], [1, 0]], [2., 3.], (2, 2))
    >>> gg.sparse.mm(a, gg.tensor([[1.], [2.]]))
    tensor([[4.],
            [3.]])
    """
    for x in (sparse, dense):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"sparse.mm: expected two Tensors, got {type(sparse).__name__} and {type(dense).__name__}"
            )
    if not isinstance(sparse, SparseTensor) and not isinstance(dense, SparseTensor):
        return matrix_product(sparse, dense)
    return _mm(sparse, dense)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """`beta * mat + alpha * (mat1 @ mat2)` with a sparse `mat1`.

    >>> import gradgpu as gg
    >>> gg.sparse.addmm(gg.ones(2, 2), gg.eye(2).to_sparse(), gg.ones(2, 2))
    tensor([[2., 2.],
            [2., 2.]])
    """
    return mat * beta + mm(mat1, mat2) * alpha


# ---- sums, softmax ----
def sum(input: SparseTensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum over `dim`: sparse if sparse dimensions are left, dense otherwise; of all elements by default, 0-dim.

    >>> import gradgpu as gg
    >>> gg.sparse.sum(gg.eye(2).to_sparse(), 1).to_dense()
    tensor([1., 1.])
    """
    _need_sparse("sum", input)
    entries = input._entries if dtype is None else input._entries.to(dtype)
    if dim is None:
        return entries.sum()
    dims = reduced_dims("sparse.sum", dim, input.ndim)
    n = input.sparse_dim()
    dense = [d - n + 1 for d in dims if d >= n]
    if dense:
        entries = entries.sum(dense)
    kept = [d for d in range(n) if d not in dims]
    if not kept:
        return entries.sum(0)
    shape = tuple(size for d, size in enumerate(input.shape) if d not in dims)
    if len(kept) == n:
        return _made(input._pattern, entries, shape, input._unique)
    return _made(stack([input._pattern.at[d] for d in kept]), entries, shape, False).coalesce()


def _need_sparse(name: str, input: Any) -> None:
    if not isinstance(input, SparseTensor):
        raise RuntimeError(f"sparse.{name}: expected a sparse tensor; make one with x.to_sparse()")


def softmax(input: SparseTensor, dim: int, *, dtype: Any = None) -> SparseTensor:
    """The softmax along `dim` of the entries that are there: the others count as -inf and stay zero.

    >>> import gradgpu as gg
    >>> gg.sparse.softmax(gg.sparse_coo_tensor([[0, 0, 1], [0, 2, 1]], [1., 1., 5.], (2, 3)), 1).values()
    tensor([0.5000, 0.5000, 1.0000])
    """
    _need_sparse("softmax", input)
    x = input.coalesce() if dtype is None else input.to(dtype).coalesce()
    groups = _groups("softmax", x, dim)
    if groups is None:
        return _like(x, x._entries.softmax(_entry_dim(x, dim)))
    index, count = groups
    powers = (x._entries - _rows(_largest(x._entries, index, count), index)).exp()
    return _like(x, powers / _rows(_added(index, powers, count), index))


def log_softmax(input: SparseTensor, dim: int, *, dtype: Any = None) -> SparseTensor:
    """The logarithm of `softmax`, computed without it.

    >>> import gradgpu as gg
    >>> gg.sparse.log_softmax(gg.sparse_coo_tensor([[0, 0], [0, 2]], [1., 1.], (1, 3)), 1).values()
    tensor([-0.6931, -0.6931])
    """
    _need_sparse("log_softmax", input)
    x = input.coalesce() if dtype is None else input.to(dtype).coalesce()
    groups = _groups("log_softmax", x, dim)
    if groups is None:
        return _like(x, x._entries.log_softmax(_entry_dim(x, dim)))
    index, count = groups
    shifted = x._entries - _rows(_largest(x._entries, index, count), index)
    return _like(x, shifted - _rows(_added(index, shifted.exp(), count).log(), index))


def _entry_dim(x: SparseTensor, dim: int) -> int:
    return dim % x.ndim - x.sparse_dim() + 1


def _groups(name: str, x: SparseTensor, dim: int) -> Any:
    """(for each entry the number of the line along `dim` in which it lies, how many lines there are); None of a dense
    dimension."""
    (d,) = reduced_dims(f"sparse.{name}", dim, x.ndim)
    n = x.sparse_dim()
    if d >= n:
        return None
    others = [k for k in range(n) if k != d]
    sizes = [x.shape[k] for k in others]
    if not others:
        return x._pattern.at[0] * 0, 1
    return _flat(stack([x._pattern.at[k] for k in others]), sizes), math.prod(sizes)


def _largest(entries: Tensor, index: Tensor, count: int) -> Tensor:
    """The largest entries of each line, without a gradient; entries of lines without any do not matter."""
    from ..ops.scatter_reduce import index_reduce

    x = entries.detach()
    start = x.new_full((count, *x.shape[1:]), -math.inf)
    return index_reduce(start, 0, index, x, "amax")
