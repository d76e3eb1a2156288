"""Differences, numerical derivatives and integrals of sampled functions."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from .. import dtypes as dt
from ..tensor import Tensor
from .join import cat, span
from .pointwise import logical_xor
from .reduce import require_tensor
from .registry import method
from .scan import cumsum
from .shape import basic_index_op, canonical_dim


def _part(x: Tensor, dim: int, start: int | None, stop: int | None) -> Tensor:
    n = x.shape[dim]
    first, last, _ = slice(start, stop).indices(n)
    return basic_index_op(x, index=span(dim, first, max(first, last)))


@method
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The n-th differences along a dimension: out[i] = x[i + 1] - x[i], n times (of bools whether they differ).

    Args:
        prepend, append: tensors put before and behind `input` along `dim` first.

    Raises:
        RuntimeError: a 0-dim input, n < 0, or shapes that do not fit. IndexError: no such dimension.

    >>> import gradgpu as gg
    >>> gg.diff(gg.tensor([1, 3, 6])), gg.diff(gg.tensor([1, 3, 6]), n=2)
    (tensor([2, 3]), tensor([1]))
    """
    require_tensor("diff", input)
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"diff: order must be non-negative but got {n}")
    d = canonical_dim(dim, input.ndim, "diff")
    if not n:
        return input.clone()
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[d])):
        left, right = _part(x, d, 0, -1), _part(x, d, 1, None)
        x = logical_xor(right, left) if x.dtype is dt.bool else right - left
    return x


def _spacings(input: Tensor, spacing: Any, dims: list[int]) -> list[Any]:
    """For each dimension the step (a number) or the coordinates (a vector)."""
    if spacing is None:
        spacing = 1.0
    if isinstance(spacing, (int, float)):
        return [float(spacing)] * len(dims)
    if isinstance(spacing, Tensor):
        spacing = [spacing]
    found = list(spacing)
    if len(found) != len(dims):
        raise RuntimeError(
            f"gradient: expected spacing to be unspecified, a scalar or a list of {len(dims)} entries, one a dimension, "
            f"got {len(found)}"
        )
    for at, d in zip(found, dims):
        if isinstance(at, Tensor) and at.ndim and tuple(at.shape) != (input.shape[d],):
            raise RuntimeError(
                f"gradient: expected coordinates of shape ({input.shape[d]},) for dimension {d}, got {tuple(at.shape)}"
            )
    return found


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Estimates of the derivatives of a function from its samples, one tensor for each dimension.

    Second-order accurate differences inside (Fornberg, 1988, for uneven steps), one-sided ones of `edge_order` at the ends.

    Args:
        spacing: the step, or for each dimension a step or a vector of coordinates.
        dim: the dimensions, all by default.
        edge_order: 1 or 2.

    Raises:
        RuntimeError: fewer than edge_order + 1 samples, or a spacing that does not fit.

    >>> import gradgpu as gg
    >>> gg.gradient(gg.tensor([1., 4., 9., 16.]))
    (tensor([3., 4., 6., 7.]),)
    """
    require_tensor("gradient", input)
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient only supports edge_order=1 and edge_order=2, got {edge_order}")
    named: Any = range(input.ndim) if dim is None else [dim] if isinstance(dim, Integral) else dim
    dims = [canonical_dim(d, input.ndim, "gradient") for d in named]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"gradient: dim {tuple(dims)} names a dimension twice")
    x = input if input.dtype.category >= dt.FLOAT else input.to(dt.get_default_dtype())
    made = []
    for d, step in zip(dims, _spacings(input, spacing, dims)):
        if x.shape[d] <= edge_order:
            raise RuntimeError(
                f"gradient expected each dimension size to be at least {edge_order + 1}, got {x.shape[d]} in dimension {d}"
            )
        made.append(_derivative(x, d, step, edge_order))
    return tuple(made)


def _derivative(x: Tensor, d: int, step: Any, edge_order: int) -> Tensor:
    n = x.shape[d]
    if isinstance(step, Tensor) and step.ndim:
        wide = step.to(x.dtype).reshape([n if k == d else 1 for k in range(x.ndim)])
        h = _part(wide, d, 1, None) - _part(wide, d, 0, -1)
    else:
        h = x.new_ones([n - 1 if k == d else 1 for k in range(x.ndim)]) * step
    slope = (_part(x, d, 1, None) - _part(x, d, 0, -1)) / h  # between neighbours
    left, right = _part(slope, d, 0, -1), _part(slope, d, 1, None)
    h0, h1 = _part(h, d, 0, -1), _part(h, d, 1, None)
    inside = (left * h1 + right * h0) / (h0 + h1)
    first, last = _part(slope, d, 0, 1), _part(slope, d, n - 2, None)
    if edge_order == 2:
        a, b = _part(h, d, 0, 1), _part(h, d, 1, 2)
        first = first + (first - _part(slope, d, 1, 2)) * (a / (a + b))
        a, b = _part(h, d, n - 2, None), _part(h, d, n - 3, n - 2)
        last = last + (last - _part(slope, d, n - 3, n - 2)) * (a / (a + b))
    return cat([first, inside, last], d)


def _areas(name: str, y: Tensor, x: Any, dx: Any, dim: int) -> tuple[Tensor, int]:
    """The areas of the trapezoids along `dim`."""
    require_tensor(name, y)
    if x is not None and dx is not None:
        raise TypeError(f"{name}: give x (coordinates) or dx (a step), not both")
    d = canonical_dim(dim, y.ndim, name)
    if not y.ndim:
        raise RuntimeError(f"{name}: expected at least one dimension, got a 0-dim tensor")
    sums = _part(y, d, 1, None) + _part(y, d, 0, -1)
    if isinstance(dx, Tensor) and dx.ndim:
        raise RuntimeError(f"{name}: dx must be a number, got a tensor of shape {tuple(dx.shape)}")
    if x is None:
        return sums * ((1.0 if dx is None else dx) / 2), d
    if x.ndim == 1:
        if x.shape[0] != y.shape[d]:
            raise RuntimeError(
                f"{name}: There must be one `x` value for each sample point, got {x.shape[0]} for {y.shape[d]}"
            )
        x = x.reshape([-1 if k == d else 1 for k in range(y.ndim)])
        along = d
    else:
        along = x.ndim - (y.ndim - d)
        if along < 0 or x.shape[along] != y.shape[d]:
            raise RuntimeError(
                f"{name}: There must be one `x` value for each sample point, got x {tuple(x.shape)} and y {tuple(y.shape)}"
            )
    widths = _part(x, along, 1, None) - _part(x, along, 0, -1)
    made = sums * widths / 2
    return made, made.ndim - (y.ndim - d)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples along a dimension by the trapezoidal rule.

    Args:
        x: the coordinates of the samples, a vector or a tensor that broadcasts with `y`; or
        dx: the step between them (1 by default).

    Raises:
        RuntimeError: coordinates that do not fit. TypeError: both `x` and `dx`.

    >>> import gradgpu as gg
    >>> gg.trapezoid(gg.tensor([1., 5., 10.])), gg.trapezoid(gg.tensor([1., 5.]), gg.tensor([0., 2.]))
    (tensor(10.5000), tensor(6.))
    """
    areas, d = _areas("trapezoid", y, x, dx, dim)
    return areas.sum(d)


trapz = trapezoid


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integrals from the first sample to the second, third, … along a dimension; arguments as in `trapezoid`.

    >>> import gradgpu as gg
    >>> gg.cumulative_trapezoid(gg.tensor([1., 5., 10.]))
    tensor([ 3.0000, 10.5000])
    """
    areas, d = _areas("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, d)


__all__ = ["cumulative_trapezoid", "diff", "gradient", "trapezoid", "trapz"]
