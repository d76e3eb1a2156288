"""Distances between the rows of two matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd.modes import SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.elementwise import broadcast_shapes
from ..dtypes import int64
from ..tensor import Tensor, wrap
from . import pointwise as _pw
from .choice import kept
from .fused import through_composed
from .index import index_select
from .linalg import matmul_op
from .moments import mean_op, norm
from .reduce import require_floating, sum_op
from .registry import Op
from .saved import Saving, unpack
from .shape import expand, unsqueeze
from .sums import float_max, float_sum


# ---- Euclidean, by a product of matrices: |a - b|² = |a|² + |b|² - 2 a·b, of rows less their mean, which loses fewer digits ----
def _euclidean_cpu(a, b):
    centre = np.add.reduce(b, axis=-2, keepdims=True) / b.shape[-2]
    a, b = a - centre, b - centre
    made = np.matmul(a, np.swapaxes(b, -1, -2))
    made *= -2
    made += np.add.reduce(a * a, axis=-1, keepdims=True)
    made += np.add.reduce(b * b, axis=-1)[..., None, :]
    return np.sqrt(np.maximum(made, 0, out=made), out=made)


def _euclidean_cuda(a, b):
    last = a.ndim - 1
    centre = mean_op(b, dims=(last - 1,), keepdim=True)
    a, b = _pw.sub(a, centre), _pw.sub(b, centre)
    rows = sum_op(_pw.mul(a, a), dims=(last,), keepdim=True)
    columns = sum_op(_pw.mul(b, b), dims=(last,), keepdim=False)
    columns = columns.reshape((*columns.shape[:-1], 1, columns.shape[-1]))
    products = _pw.mul(matmul_op(a, b, tb=True), 2.0)
    return _pw.sqrt(_pw.maximum(_pw.sub(rows + columns, products), 0.0))


def _euclidean_rule(g, a, b, y):
    """Of equal rows no direction is better than another: their gradient is 0."""
    last = len(a.shape) - 1
    same = _pw.eq(y, 0.0)
    weight = _pw.where_op(same, 0.0, g / _pw.where_op(same, 1.0, y))
    rows = sum_op(weight, dims=(last,), keepdim=True)
    columns = sum_op(weight, dims=(last - 1,), keepdim=False).reshape((*b.shape[:-1], 1))
    return a * rows - matmul_op(weight, b), b * columns - matmul_op(weight, a, ta=True)


euclidean_op = Op("euclidean_distances", _euclidean_cpu, _euclidean_cuda, grads=_euclidean_rule)

# ---- norms 1, 2 and infinity on the CPU: differences block by block; Euclidean ones in float32 by products in float64 ----
_BLOCK = 1 << 18  # differences at a time
_FEW = 1 << 17  # differences up to which their squares are summed
_NEAR = (
    1e-7  # squares of distances below this part of the squares they are made of are computed from differences
)


def _blocks(a: np.ndarray, b: np.ndarray, triangle: bool) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """(rows of a, rows of b, their differences, coordinates last or, where rows of b are many, first).

    `triangle`: only pairs with a greater second number are needed.
    """
    count, m = b.shape
    first = count >= m
    if first:
        a, b = np.ascontiguousarray(a.T)[:, :, None], np.ascontiguousarray(b.T)[:, None, :]
    else:
        a, b = a[:, None, :], b[None]
    step = max(1, _BLOCK // max(1, count * m))
    for start in range(0, a.shape[first], step):
        rows, columns = slice(start, start + step), slice(start if triangle else 0, count)
        yield rows, columns, a[:, rows] - b[:, :, columns] if first else a[rows] - b[:, columns]


def _by_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances of float32 rows: |a|² + |b|² - 2 a·b has digits enough in float64, but for near rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    centre = np.add.reduce(b, axis=0) / len(b)
    a -= centre
    b -= centre
    sums = np.vecdot(a, a)[:, None] + np.vecdot(b, b)
    made = np.dot(a, b.T)
    made *= -2.0
    made += sums
    sums *= _NEAR
    near = np.flatnonzero(~(made >= sums))  # also where something is not finite
    flat = made.reshape(-1)
    step = max(1, _BLOCK // a.shape[1])
    for start in range(0, near.size, step):
        at = near[start : start + step]
        rows, columns = np.divmod(at, len(b))
        difference = a[rows] - b[columns]
        flat[at] = np.vecdot(difference, difference)
    return np.sqrt(made, made)


def _all_distances(a: np.ndarray, b: np.ndarray, p: float, triangle: bool) -> np.ndarray:
    """(rows of a, rows of b); below the diagonal of a triangle anything."""
    if p == 2 and a.dtype.itemsize == 4 and a.size * len(b) > _FEW:
        return _by_products(a, b).astype(np.float32)
    if p == 2 and a.size * len(b) <= 4096:
        d = a[:, None] - b
        return np.sqrt(np.vecdot(d, d))
    made = np.zeros((len(a), len(b)), a.dtype)
    axis = 0 if len(b) >= b.shape[1] else 2
    for rows, columns, d in _blocks(a, b, triangle):
        if p == math.inf:
            np.abs(d, d)
            made[rows, columns] = np.maximum.reduce(d, axis=0) if axis == 0 else float_max(d, 2)[..., 0]
        else:
            np.abs(d, d) if p == 1 else np.multiply(d, d, d)
            made[rows, columns] = float_sum(d, (axis,))
    return np.sqrt(made, made) if p == 2 else made


def _slopes(d: np.ndarray, y: np.ndarray, g: np.ndarray, p: float, axis: int) -> np.ndarray:
    """What differences get of the gradient g of their norms y."""
    if p == 2:
        d *= np.expand_dims(np.divide(g, y, out=np.zeros_like(g), where=y != 0), axis)
        return d
    signs = np.sign(d) if np.isnan(y).any() else None
    if p == 1:
        g = np.expand_dims(g, axis)
        if signs is not None:
            return signs * g
        return kept(_with_signs(g, d), d != 0)
    most = np.abs(d) == np.expand_dims(y, axis)
    most &= d != 0
    count = np.add.reduce(most, axis=axis, dtype=d.dtype)
    g = np.expand_dims(g / np.maximum(count, 1), axis)
    return signs * (g * most) if signs is not None else kept(_with_signs(g, d), most)


def _with_signs(g: np.ndarray, d: np.ndarray) -> np.ndarray:
    """g with the signs of d: the sign bits, as products with signs take longer."""
    bits = np.dtype(f"i{d.itemsize}")
    made = d.view(bits) & np.array(np.iinfo(bits).min, bits)
    made ^= np.ascontiguousarray(g).view(bits)
    return made.view(d.dtype)


def _distances_backward(
    g: np.ndarray, a: np.ndarray, b: np.ndarray, y: np.ndarray, p: float, triangle: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of the rows."""
    if p == 2 and a.dtype.itemsize == 4:
        wide = [v.astype(np.float64) for v in (a, b, g, y)]
        centre = np.add.reduce(wide[1], axis=0) / max(len(b), 1)
        left, right, g, y = wide[0] - centre, wide[1] - centre, wide[2], wide[3]
        weight = np.divide(g, y, out=np.zeros_like(g), where=y != 0)
        of_a = left * np.add.reduce(weight, axis=1)[:, None] - np.dot(weight, right)
        of_b = right * np.add.reduce(weight, axis=0)[:, None] - np.dot(weight.T, left)
        return of_a.astype(np.float32), of_b.astype(np.float32)
    of_a, of_b = np.zeros_like(a), np.zeros_like(b)
    first = len(b) >= b.shape[1]
    for rows, columns, d in _blocks(a, b, triangle):
        part = _slopes(d, y[rows, columns], g[rows, columns], p, 0 if first else 2)
        if first:
            of_a[rows] += float_sum(part, (2,)).T
            of_b[columns] -= float_sum(part, (1,)).T
        else:
            of_a[rows] += float_sum(part, (1,))
            of_b[columns] -= float_sum(part, (0,))
    return of_a, of_b


@lru_cache(maxsize=8)
def _pairs(n: int) -> np.ndarray:
    """The flat places above the diagonal of (n, n)."""
    return np.flatnonzero(np.arange(n)[:, None] < np.arange(n))


def _above(n: int) -> np.ndarray:
    return _pairs(n) if n <= 512 else _pairs.__wrapped__(n)  # what is kept stays below a megabyte


class _Distances(Saving):
    """Distances of all rows of two matrices, or of the pairs of one, in few steps on the CPU."""

    def __init__(self, node_name: str, *inputs: str):
        self.node_name, self.inputs = node_name, inputs

    def of(self, tensors: tuple, p: float) -> Tensor:
        """The distances of the rows of two tensors; of one, as `pdist` has them."""
        arrays = tuple([t._a for t in tensors])
        pairs = len(arrays) == 1
        full = _all_distances(arrays[0], arrays[-1], p, pairs)
        output = wrap(full.reshape(-1).take(_above(len(full))) if pairs else full)
        if state.grad:
            edges = tuple([t if t._edge is LEAF else t._edge for t in tensors])
            if edges.count(None) < len(edges):
                cells = [t._version_cell() for t in (*tensors, output)]
                checks = tuple([part for cell in cells for part in (cell, cell[0])])
                output._edge = new_node(self, edges, (*arrays, output._a), checks, {"p": p})
        return output

    def _saves(self, node: Node) -> Sequence[tuple[str, int]]:
        return [*[("in", k) for k in range(len(self.inputs))], ("out", 0)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        *arrays, y = unpack(node)
        if create_graph:
            return through_composed(_composed, arrays, node, g, edges)
        p = node.attrs["p"]
        if len(arrays) == 2:
            return _distances_backward(g, arrays[0], arrays[1], y, p, False)
        x = arrays[0]
        n = len(x)
        square: Any = np.zeros((2, n, n), x.dtype)
        for values, whole in zip((g, y), square):
            whole.reshape(-1)[_above(n)] = values
        of_a, of_b = _distances_backward(square[0], x, x, square[1], p, True)
        return (of_a + of_b,)


def _composed(*tensors: Tensor, p: float) -> Tensor:
    if len(tensors) == 2:
        return norm(unsqueeze(tensors[0], -2) - unsqueeze(tensors[1], -3), p, -1)
    (x,) = tensors
    rows, columns = (
        x.new_tensor(v, dtype=int64) for v in np.divmod(_above(x._a.shape[0]), max(x._a.shape[0], 1))
    )
    return norm(index_select(x, 0, rows) - index_select(x, 0, columns), p, -1)


_of_two = _Distances("CdistBackward0", "x1", "x2").of
_of_pairs = _Distances("PdistBackward0", "self").of
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


def _directly(p: float, *tensors: Tensor) -> bool:
    """Whether these matrices' distances are made in few steps."""
    return (
        p in (1, 2, math.inf)
        and not (SPECIAL and state.special)
        and all(
            type(t._a) is np.ndarray and t._a.dtype in _DIRECT and t._a.ndim == 2 and t._a.size
            for t in tensors
        )
    )


def pair_distances(x: Tensor, p: float) -> Tensor:
    """What `pdist` gives, after its checks."""
    return _of_pairs((x,), float(p)) if _directly(p, x) else _composed(x, p=p)


_MODES = {
    "use_mm_for_euclid_dist_if_necessary": 25,  # by a product of matrices if there are more rows
    "use_mm_for_euclid_dist": 0,
    "donot_use_mm_for_euclid_dist": float("inf"),
}


def cdist(
    x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary"
) -> Tensor:
    """The distances of norm p between each row of `x1` (…, P, M) and each of `x2` (…, R, M): (…, P, R).

    Args:
        p: at least 0; 0 counts the coordinates that differ, `inf` takes the greatest difference.
        compute_mode: whether Euclidean distances come from a product of matrices, which needs less memory but loses
            digits of small distances: with more than 25 rows (the default), 'use_mm_for_euclid_dist' (always), or
            'donot_use_mm_for_euclid_dist' (never).

    Leading dimensions are broadcast. The gradient is 0 where a distance is.

    Raises:
        RuntimeError: fewer than two dimensions, different M, p < 0, or a dtype that is not floating point.
        ValueError: an unknown compute_mode.

    >>> import gradgpu as gg
    >>> gg.cdist(gg.tensor([[0., 0.], [3., 0.]]), gg.tensor([[0., 4.]]))
    tensor([[4.],
            [5.]])
    """
    require_floating("cdist", x1)
    require_floating("cdist", x2)
    if x1.ndim < 2 or x2.ndim < 2:
        raise RuntimeError(
            f"cdist only supports at least 2D tensors, got shapes {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if x1.dtype is not x2.dtype:
        raise RuntimeError(f"cdist: X1 ({x1.dtype}) and X2 ({x2.dtype}) must have the same dtype")
    if p < 0:
        raise RuntimeError(f"cdist only supports non-negative p values, got {p}")
    mode = "use_mm_for_euclid_dist_if_necessary" if compute_mode is None else compute_mode
    if mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode; use one of {list(_MODES)}")
    if p == 2 and max(x1.shape[-2], x2.shape[-2]) > _MODES[mode] and x1.numel() and x2.numel():
        batch = broadcast_shapes("cdist", tuple(x1.shape[:-2]), tuple(x2.shape[:-2]))
        a, b = (expand(t, (*batch, *t.shape[-2:])) if t.shape[:-2] != batch else t for t in (x1, x2))
        if a.itemsize == 2:
            return euclidean_op(a.float(), b.float()).to(x1.dtype)
        return euclidean_op(a, b)
    if _directly(p, x1, x2):
        return _of_two((x1, x2), float(p))
    return _composed(x1, x2, p=p)


__all__ = ["cdist"]
