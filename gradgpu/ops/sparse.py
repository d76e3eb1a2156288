"""Products with sparse matrices: `spmm`, sparse by dense, and `sampled_product`, the entries of a dense product that a
sparse matrix has. Each is the other's gradient. What is sparse is a `Pattern`, which both read; the values are a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor
from .creation import arange
from .index import index_add_op, take_op
from .registry import Op
from .sort import searchsorted, sort

_ROWS = 1024  # rows that numpy sums at a time
_HEAVY = 64  # entries of a row from which on it is summed by itself
_AT_ONCE = 1 << 15  # elements of looked-up rows at a time: they fit a cache


class Pattern:
    """Where the entries of a sparse matrix are, and in which order to visit them by rows and by columns.

    Attributes:
        at: int64 (2, entries), rows and columns.
        shape: of the matrix.
        ordered: whether entries are sorted by row.
    """

    __slots__ = ("at", "shape", "ordered", "_sides", "_visits")

    def __init__(self, at: Tensor, shape: tuple[int, ...], ordered: bool):
        self.at, self.shape, self.ordered = at, shape, ordered
        self._sides: dict[bool, tuple] = {}
        self._visits: dict[bool, _Visits] = {}

    def by(self, columns: bool) -> tuple[Tensor, Any, Tensor]:
        """(where each row begins in the entries sorted by row, that order or None, their columns); or of the transpose."""
        found = self._sides.get(columns)
        if found is None:
            keys, others, order = self.at[int(columns)].contiguous(), self.at[1 - int(columns)], None
            if columns or not self.ordered:
                keys, order = sort(keys, stable=True)
                others = take_op(others, order, dim=0, negative=False, op="sparse")
            ends = arange(self.shape[int(columns)] + 1, device=keys.device)
            found = self._sides[columns] = searchsorted(keys, ends), order, others.contiguous()
        return found

    def arrays(self, columns: bool) -> Any:
        """`by` as arrays."""
        return [None if t is None else t._a for t in self.by(columns)]

    def visits(self, columns: bool) -> _Visits:
        """The order in which numpy takes the entries."""
        found = self._visits.get(columns)
        if found is None:
            found = self._visits[columns] = _Visits(*self.arrays(columns))
        return found

    def turned(self) -> Pattern:
        """The pattern of the transpose."""
        made = Pattern(self.at.flip(0), (self.shape[1], self.shape[0]), False)
        made._sides = {not columns: side for columns, side in self._sides.items()}
        made._visits = {not columns: visits for columns, visits in self._visits.items()}
        return made


class _Visits:
    """An order in which numpy visits the entries of a matrix: not row after row, but the first entry of each of many rows, then
    the second of those that have one, …, so that each step is a few long operations. Rows are taken by how many
    entries they have; those with very many are done one by one."""

    __slots__ = ("blocks", "entries", "heavy", "others")

    def __init__(self, ptr: Any, order: Any, other: Any):
        counts = np.diff(ptr)
        rows = np.argsort(-counts, kind="stable")
        heavy = int(np.count_nonzero(counts > _HEAVY))
        self.heavy = [(r, slice(ptr[r], ptr[r + 1])) for r in rows[:heavy].tolist()]
        rows = rows[heavy : np.count_nonzero(counts)]
        self.blocks: list[tuple[Any, list[int]]] = []
        places = [np.zeros(0, np.int64)]
        for start in range(0, rows.size, _ROWS):
            some = rows[start : start + _ROWS]
            begins, most = ptr[some], -counts[some]
            steps = np.searchsorted(
                most, -np.arange(-most[0])
            ).tolist()  # how many rows have more than 0, 1, … entries
            places += [begins[:n] + k for k, n in enumerate(steps)]
            self.blocks.append((some, steps))
        visited = np.concatenate(places)
        self.others, self.entries = other[visited], visited if order is None else order[visited]


def _wide(x: Any) -> Any:
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _spmm_cpu(v, x, *, pattern, columns):
    ptr, order, other = pattern.arrays(columns)
    visits = pattern.visits(columns)
    dtype, v, x = x.dtype, _wide(v), _wide(x)
    y = np.zeros((ptr.size - 1, x.shape[1]), x.dtype)
    weights = v[visits.entries].reshape(-1, 1)
    at = 0
    for rows, steps in visits.blocks:
        total = None
        for n in steps:
            part = x.take(visits.others[at : at + n], 0)
            part *= weights[at : at + n]
            if total is None:
                total = part
            else:
                total[:n] += part
            at += n
        y[rows] = total
    for row, run in visits.heavy:
        y[row] = np.dot(v[run] if order is None else v[order[run]], x.take(other[run], 0))
    return y.astype(dtype, copy=False)


def _spmm_cuda(v, x, *, pattern, columns):
    from ..cuda.sparse import spmm

    ptr, order, other = pattern.arrays(columns)
    return spmm(v, x, ptr, order, other)


def _sampled_cpu(a, b, *, pattern, columns):
    at = pattern.at._a
    row, column = at[int(columns)], at[1 - int(columns)]
    dtype, a, b = a.dtype, _wide(a), _wide(b)
    step = max(_AT_ONCE // max(a.shape[1], 1), 1)
    v = np.empty(row.size, a.dtype)
    for k in range(0, row.size, step):
        np.einsum("kj,kj->k", a[row[k : k + step]], b[column[k : k + step]], out=v[k : k + step])
    return v.astype(dtype, copy=False)


def _sampled_cuda(a, b, *, pattern, columns):
    from ..cuda.sparse import sampled_product

    at = pattern.at._a
    row, column = (at.as_strided((at.shape[1],), (at.strides[1],), k * at.strides[0]) for k in (0, 1))
    return sampled_product(a, b, *((column, row) if columns else (row, column)))


# The product of the matrix with entries `v` in the places of a pattern (`columns`: of its transpose) and the dense `x`.
spmm_op = Op(
    "spmm",
    _spmm_cpu,
    _spmm_cuda,
    {
        "v": lambda g, x, *, pattern, columns: sampled_product_op(g, x, pattern=pattern, columns=columns),
        "x": lambda g, v, *, pattern, columns: spmm_op(v, g, pattern=pattern, columns=not columns),
    },
)
# The entries of a bᵀ in the places of a pattern (`columns`: of its transpose).
sampled_product_op = Op(
    "sampled_product",
    _sampled_cpu,
    _sampled_cuda,
    {
        "a": lambda g, b, *, pattern, columns: spmm_op(g, b, pattern=pattern, columns=columns),
        "b": lambda g, a, *, pattern, columns: spmm_op(g, a, pattern=pattern, columns=not columns),
    },
)


def rows_of(pattern: Pattern, columns: bool) -> tuple[Tensor, Tensor]:
    """(rows, columns) of the entries, or of the transpose's."""
    at = pattern.at
    return (at[1], at[0]) if columns else (at[0], at[1])


def spmm_by_rows(v: Tensor, x: Tensor, *, pattern: Pattern, columns: bool) -> Tensor:
    """`spmm` made of looking up, multiplying and adding rows, for transforms."""
    row, column = rows_of(pattern, columns)
    taken = take_op(x, column, dim=0, negative=False, op="spmm")
    size = pattern.shape[int(columns)]
    return index_add_op(None, row, taken * v.unsqueeze(-1), dim=0, negative=False, op="spmm", size=size)


def sampled_by_rows(a: Tensor, b: Tensor, *, pattern: Pattern, columns: bool) -> Tensor:
    """`sampled_product` made of looking up and multiplying rows, for transforms."""
    row, column = rows_of(pattern, columns)
    return (
        take_op(a, row, dim=0, negative=False, op="sampled_product")
        * take_op(b, column, dim=0, negative=False, op="sampled_product")
    ).sum(-1)


__all__: list[str] = []
