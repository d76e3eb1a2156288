"""Distances between the rows of two matrices."""

from __future__ import annotations

import numpy as np

from ..cuda.elementwise import broadcast_shapes
from ..tensor import Tensor
from . import pointwise as _pw
from .linalg import matmul_op
from .moments import mean_op, norm
from .reduce import require_floating, sum_op
from .registry import Op
from .shape import expand, unsqueeze


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
    return norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)


__all__ = ["cdist"]
