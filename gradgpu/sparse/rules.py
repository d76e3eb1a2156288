"""What an operation does that meets a sparse tensor; see `dispatch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..meta import HANDLERS, SparseArray
from ..ops.convert import clone_op, move_op
from ..ops.creation import arange, zeros
from ..ops.join import cat, stack
from ..ops.masks import nonzero
from ..ops.shape import permute
from ..ops.sort import sort
from ..tensor import Tensor
from .construct import _picked
from .functions import _both_sparse, _mm, sum
from .tensor import SparseTensor, _flat, _like, _made, _rows


# ---- what operations do to sparse tensors ----
def _cast(x: SparseTensor, *, dtype: Any) -> SparseTensor:
    return _like(x, x._entries.to(dt.from_numpy_dtype(np.dtype(dtype))))


def _move(x: SparseTensor, **where: Any) -> SparseTensor:
    at, entries = move_op(x._pattern.at, **where), move_op(x._entries, **where)
    return _made(at, entries, tuple(x.shape), x._unique, kind=type(x))


def _permuted(x: SparseTensor, *, dims: tuple) -> SparseTensor:
    n = x.sparse_dim()
    if any((d < n) is not (k < n) for k, d in enumerate(dims)):
        raise RuntimeError(
            f"transpose: cannot exchange sparse and dense dimensions ({n} sparse of {x.ndim}, dims {dims})"
        )
    shape = tuple(x.shape[d] for d in dims)
    entries = x._entries if x.dense_dim() < 2 else permute(x._entries, 0, *[d - n + 1 for d in dims[n:]])
    if dims[:n] == tuple(range(n)):
        return _made(x._pattern, entries, shape, x._unique)
    if n == 2:
        return _made(x._pattern.turned(), entries, shape, False)
    return _made(stack([x._pattern.at[d] for d in dims[:n]]), entries, shape, False)


def _sum(x: SparseTensor, *, dims: tuple, keepdim: bool) -> Tensor:
    made = sum(x, None if len(dims) == x.ndim else dims)
    if keepdim:
        raise NotImplementedError(
            "sum: keepdim=True is not implemented for sparse tensors; use sparse.sum(x, dim)"
        )
    return made


def _cat(*xs: Any, dim: int, sizes: Any) -> SparseTensor:
    if not all(isinstance(x, SparseTensor) for x in xs):
        raise RuntimeError("cat: sparse and dense tensors cannot be joined; use x.to_dense()")
    first = xs[0]
    n = first.sparse_dim()
    if any(x.sparse_dim() != n for x in xs) or dim >= n:
        raise NotImplementedError(
            "cat: sparse tensors are joined along sparse dimensions, and must have as many of them"
        )
    parts, offset = [], 0
    for x in xs:
        at = x._pattern.at
        shift = at.new_zeros(n, 1)
        shift[dim] = offset
        parts.append(at + shift)
        offset += x.shape[dim]
    shape = (*first.shape[:dim], offset, *first.shape[dim + 1 :])
    return _made(cat(parts, 1), cat([x._entries for x in xs]), shape, False)


def _selected(x: SparseTensor, index: Tensor, *, dim: int, negative: bool, op: str) -> SparseTensor:
    """Rows of a sparse tensor: `index_select`."""
    n = x.sparse_dim()
    if dim >= n or index.ndim != 1:
        raise NotImplementedError(f"{op}: of a sparse tensor, a 1-D index selects along a sparse dimension")
    chosen = _made(
        stack([arange(index.shape[0], device=x.device), index]),
        x._entries.new_ones(index.shape[0]), (index.shape[0], x.shape[dim]), False,
    )  # fmt: skip
    at = x._pattern.at
    # For each selected row the entries that lie in it, as in a product of sparse matrices.
    lines = _made(
        stack([at[dim], arange(x._nnz(), device=x.device)]),
        x._entries.new_ones(x._nnz()),
        (x.shape[dim], x._nnz()),
        False,
    )
    found = _both_sparse(chosen.detach(), lines.detach())._pattern.at
    rows = [found[0] if d == dim else at[d][found[1]] for d in range(n)]
    shape = (*x.shape[:dim], index.shape[0], *x.shape[dim + 1 :])
    return _made(stack(rows), _rows(x._entries, found[1]), shape, False).coalesce()


def _sliced(x: SparseTensor, *, index: tuple) -> Tensor:
    """Entries in the range of a basic index of ints, slices and None: a sparse tensor, or a number if nothing is left of
    its dimensions. The host waits for how many there are."""
    n = x.sparse_dim()
    steps = [i for i in index if i is not Ellipsis]
    used = len([i for i in steps if i is not None])
    where = index.index(Ellipsis) if Ellipsis in index else len(index)
    full = (*steps[:where], *[slice(None)] * (x.ndim - used), *steps[where:])
    at, keep = x._pattern.at, None
    rows: list[Any] = []
    shape: list[int] = []
    dense: list[Any] = [slice(None)]
    d = 0
    for i in full:
        if i is None:
            if d > n:
                raise NotImplementedError(
                    "indexing: new dimensions of a sparse tensor stand before its dense ones"
                )
            rows.append(at.new_zeros(at.shape[1]))
            shape.append(1)
            continue
        if d >= n:
            dense.append(i)
        elif isinstance(i, slice):
            start, stop, step = i.indices(x.shape[d])
            if step < 1:
                raise NotImplementedError("indexing: slices of a sparse tensor have positive steps")
            inside = None
            if (start, stop, step) != (0, x.shape[d], 1):
                inside = (at[d] >= start) & (at[d] < stop) & ((at[d] - start) % step == 0)
            rows.append((at[d] - start) // step)
            shape.append(len(range(start, stop, step)))
        else:
            inside = at[d] == i % x.shape[d]
        if d < n and inside is not None:
            keep = inside if keep is None else keep & inside
        d += 1
    entries = x._entries
    if keep is not None:
        chosen = nonzero(keep).squeeze(1)
        rows, entries = [_rows(r, chosen) for r in rows], _rows(entries, chosen)
    if len(dense) > 1:
        entries = entries[tuple(dense)]
    if not rows:
        return entries.sum(0)
    return _made(stack(rows), entries, (*shape, *entries.shape[1:]), x._unique)


def _stack(*xs: Any, dim: int) -> SparseTensor:
    return _cat(*[x.unsqueeze(dim) for x in xs], dim=dim, sizes=None)


def _clone(x: SparseTensor) -> SparseTensor:
    return _like(x, clone_op(x._entries))


RULES: dict[str, Callable] = {
    "cast": _cast, "to_device": _move, "permute": _permuted, "sum": _sum, "cat": _cat, "index_select": _selected, "clone": _clone, "mm": _mm,
    "slice": _sliced, "stack": _stack,
}  # fmt: skip

# Pointwise operations that leave zeros zero; those that are not linear want each position once.
_LINEAR = frozenset(["neg", "positive", "deg2rad", "rad2deg", "real", "imag", "conj"])
_FROM_ZERO = frozenset(
    "abs sqrt square sin sinh tan tanh asin asinh atan atanh expm1 log1p erf erfinv relu sign sgn floor ceil round trunc frac "
    "isnan isinf".split()
)  # fmt: skip


def _pointwise(op: Any, inputs: tuple, attrs: dict) -> Tensor:
    name = op.name
    first = inputs[0]
    if len(inputs) == 1:
        if name in _LINEAR:
            return _like(first, op(first._entries, **attrs))
        if name in _FROM_ZERO:
            x = first.coalesce()
            return _like(x, op(x._entries, **attrs))
    elif len(inputs) == 2:
        other = inputs[1]
        plain = not isinstance(other, Tensor) or not isinstance(other, SparseTensor) and not other.ndim
        if isinstance(first, SparseTensor) and plain:
            if name in ("mul", "div"):
                return _like(first, op(first._entries, other, **attrs))
            if name == "pow" and not isinstance(other, Tensor) and other > 0:
                x = first.coalesce()
                return _like(x, op(x._entries, other, **attrs))
        elif name == "mul" and (
            not isinstance(first, Tensor) or not isinstance(first, SparseTensor) and not first.ndim
        ):
            return _like(other, op(first, other._entries, **attrs))
        elif name in ("add", "sub"):
            return _combined(op, first, other, attrs)
        elif name in ("mul", "div"):
            return _scaled(op, first, other, attrs)
    raise SparseArray((), np.dtype(np.float32)).refusal(name)


def _combined(op: Any, a: Any, b: Any, attrs: dict) -> Tensor:
    """Sums and differences: sparse of two sparse tensors, dense if the first is."""
    if isinstance(a, SparseTensor) and isinstance(b, SparseTensor):
        if a.shape != b.shape or a.sparse_dim() != b.sparse_dim():
            raise RuntimeError(
                f"{op.name}: sparse tensors must have the same sizes, got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        d = dt.promote_types(a.dtype, b.dtype)
        x, y = a.to(d), b.to(d)
        at = x._pattern.at if x._pattern is y._pattern else None
        if at is not None:
            return _made(x._pattern, op(x._entries, y._entries, **attrs), tuple(a.shape), x._unique)
        minus = op(zeros(1, dtype=d, device=y.device), y._entries, **attrs)
        both = cat([x._pattern.at, y._pattern.at], 1)
        return _made(both, cat([x._entries, minus]), tuple(a.shape), False).coalesce()
    if isinstance(a, SparseTensor) and op.name == "add":
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if not isinstance(a, Tensor) or isinstance(a, SparseTensor):
        raise RuntimeError(
            f"{op.name}: a sparse tensor and a dense one, or a number, have no sparse {op.name}; use x.to_dense()"
        )
    return op(a, b.to_dense(), **attrs)


def _scaled(op: Any, a: Any, b: Any, attrs: dict) -> Tensor:
    """Products (and quotients by dense tensors), which are zero where the sparse factor is."""
    if isinstance(a, SparseTensor) and isinstance(b, SparseTensor):
        if op.name == "div":
            raise RuntimeError("Sparse division requires the divisor to be a scalar or a dense tensor")
        if a.shape != b.shape:
            raise RuntimeError(
                f"mul: sparse tensors must have the same sizes, got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        x, y = a.coalesce(), b.coalesce()
        if x._pattern is y._pattern:
            return _like(x, op(x._entries, y._entries))
        n = x.sparse_dim()
        keys = [_flat(t._pattern.at, tuple(t.shape[:n])) for t in (x, y)]
        both, order = sort(cat(keys), stable=True)
        twice = nonzero(both[1:] == both[:-1]).squeeze(1)
        left, right = order[twice], order[twice + 1] - x._nnz()
        return _made(
            x._pattern.at[:, left],
            op(_rows(x._entries, left), _rows(y._entries, right)),
            tuple(a.shape),
            True,
        )
    sparse, dense = (a, b) if isinstance(a, SparseTensor) else (b, a)
    if op.name == "div" and sparse is b:
        raise RuntimeError("div: a sparse tensor has zeros to divide by; use x.to_dense()")
    x = sparse.coalesce() if sparse.dense_dim() else sparse
    picked = _picked(dense.expand(sparse.shape), x)
    return _like(x, op(x._entries, picked, **attrs) if sparse is a else op(picked, x._entries, **attrs))


def dispatch(op: Any, inputs: tuple, attrs: dict) -> Any:
    """An operation that meets a sparse tensor."""
    from ..ops.pointwise_op import Pointwise

    if isinstance(op, Pointwise):
        return _pointwise(op, inputs, attrs)
    rule = RULES.get(op.name)
    if rule is None:
        raise SparseArray((), np.dtype(np.float32)).refusal(op.name)
    return rule(*inputs, **attrs)


HANDLERS[SparseArray] = dispatch
