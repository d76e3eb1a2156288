"""Running extrema and the running log of a sum of exponentials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import return_types as rt
from ..tensor import Tensor
from .index import scatter_add_op
from .pointwise import eq, exp, isfinite, log, where_op
from .reduce import require_tensor
from .registry import Op, method
from .scan import _shifted, recurrence_op
from .shape import canonical_dim


def _extremum_cpu(x, *, dim, smallest):
    wide = x.astype(np.float32) if x.dtype.kind == "V" else x
    values = (np.minimum if smallest else np.maximum).accumulate(wide, axis=dim)
    places = np.arange(x.shape[dim]).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
    # The last element that equals the extremum so far; a NaN stays, and later ones follow it.
    found = np.where((wide == values) | (wide != wide), places, 0)
    return values.astype(x.dtype, copy=False), np.maximum.accumulate(found, axis=dim)


def _extremum_cuda(x, *, dim, smallest):
    from ..cuda.indexing import running_extremum

    return running_extremum(x, dim, smallest)


running_extremum_op = Op(
    "running_extremum",
    _extremum_cpu,
    _extremum_cuda,
    {"x": lambda g0, y1, x_shape, *, dim: scatter_add_op(None, y1, g0, dim=dim, shape=x_shape)},
    differentiable=(True, False),
)


def _running(name: str, input: Any, dim: int, smallest: bool, result: Any) -> Any:
    require_tensor(name, input)
    d = canonical_dim(dim, input.ndim, name)
    x = input if input.ndim else input.reshape((1,))
    values, indices = running_extremum_op(x, dim=d, smallest=smallest)
    return result(values, indices) if input.ndim else result(values.reshape(()), indices.reshape(()))


@method
def cummax(input: Tensor, dim: int) -> rt.cummax:
    """The greatest of the first 1, 2, … entries along a dimension and where it is, as (values, indices).

    Of equal entries the last is named; NaN wins. The gradient goes to the entry at the index.

    >>> import gradgpu as gg
    >>> values, indices = gg.cummax(gg.tensor([1., 3., 2., 3.]), 0)
    >>> values, indices
    (tensor([1., 3., 3., 3.]), tensor([0, 1, 1, 3]))
    """
    return _running("cummax", input, dim, False, rt.cummax)


@method
def cummin(input: Tensor, dim: int) -> rt.cummin:
    """The least of the first 1, 2, … entries along a dimension and where it is, as (values, indices).

    Of equal entries the last is named; NaN wins. The gradient goes to the entry at the index.

    >>> import gradgpu as gg
    >>> gg.cummin(gg.tensor([3., 1., 2.]), 0).values
    tensor([3., 1., 1.])
    """
    return _running("cummin", input, dim, True, rt.cummin)


@method
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(exp(x₀) + … + exp(xₖ)) for every k along a dimension, without overflow or loss of digits.

    With mₖ the greatest of the first k + 1 entries, the sum of exp(xⱼ - mₖ) follows the recurrence
    sₖ = exp(xₖ - mₖ) + exp(mₖ₋₁ - mₖ) sₖ₋₁, whose factors are at most 1.

    Raises:
        RuntimeError: a tensor of integers. IndexError: no such dimension.

    >>> import gradgpu as gg
    >>> gg.logcumsumexp(gg.tensor([1000., 1000., -1000.]), 0)
    tensor([1000.0000, 1000.6932, 1000.6932])
    """
    require_tensor("logcumsumexp", input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            f"logcumsumexp: expected a floating-point tensor, got {input.dtype}; use input.float()"
        )
    d = canonical_dim(dim, input.ndim, "logcumsumexp")
    if not input.ndim:
        return input.clone()
    x = input.float() if input.itemsize == 2 else input
    top = running_extremum_op(x.detach(), dim=d, smallest=False)[0]
    before = _shifted(top, d, 1)
    factor = where_op(eq(before, top), 1.0, exp(before - top))
    top = where_op(isfinite(top), top, 0.0)
    total = recurrence_op(factor, exp(x - top), dim=d, reverse=False)
    none = eq(total, 0.0)
    made = where_op(none, -math.inf, log(where_op(none, 1.0, total)) + top)
    return made.to(input.dtype) if made.dtype is not input.dtype else made


__all__ = ["cummax", "cummin", "logcumsumexp"]
