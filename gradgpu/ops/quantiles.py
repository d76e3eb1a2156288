"""Quantiles, medians and means that leave NaN out, the most frequent value, histograms, correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from .. import dtypes as dt
from .. import return_types as rt
from ..tensor import Tensor
from .creation import arange, tensor, zeros_like
from .index import gather_op
from .join import cat
from .pointwise import isnan, lerp, ne, where
from .reduce import require_floating, require_tensor, sum
from .registry import method
from .shape import canonical_dim, movedim, permute_op
from .sort import bincount, searchsorted, sort
from .statistics import cov


# ---- quantiles ----
def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    require_tensor(name, input)
    if input.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"{name}() input tensor must be either float or double dtype, got {input.dtype}; use input.float()"
        )
    if not isinstance(q, Tensor):
        q = tensor(q, dtype=input.dtype, device=input.device)
    if q.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor, got {q.ndim} dimensions")
    if q.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}() q tensor must be same dtype as the input tensor, got {q.dtype} and {input.dtype}"
        )
    if not input.numel():
        raise RuntimeError(f"{name}() input tensor must be non-empty, got shape {tuple(input.shape)}")
    if q.is_cpu and q.numel() and not bool(((q >= 0) & (q <= 1)).all()):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1], got {q.tolist()}")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    kept: tuple[int, ...]
    if dim is None:
        x, kept = input.reshape((-1,)), (1,) * input.ndim
    else:
        d = canonical_dim(dim, input.ndim, name)
        x = movedim(input, d, -1) if input.ndim else input.reshape((1,))
        kept = tuple([1 if k == d else n for k, n in enumerate(input.shape)])
    ordered = sort(x, -1).values  # NaN are last
    n = x.shape[-1]
    missing = isnan(x.detach())
    ranks = q.reshape((-1,)).to(dt.float64)
    if skip_nan:
        last = (n - 1 - missing.to(dt.int64).sum(-1, keepdim=True)).clamp(min=0)
        ranks = ranks * last.to(dt.float64)
    else:  # where one is NaN, so is the result
        ranks = where(missing.any(-1, keepdim=True), float(n - 1), ranks * (n - 1))
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": ranks.floor, "higher": ranks.ceil, "nearest": ranks.round}[interpolation]()
    below = ranks.floor()
    made = gather_op(ordered, below.to(dt.int64), dim=x.ndim - 1)
    if interpolation in ("linear", "midpoint"):
        above = gather_op(ordered, ranks.ceil().to(dt.int64), dim=x.ndim - 1)
        weight = (ranks - below).to(input.dtype)
        if interpolation == "midpoint":
            weight = ne(weight, 0).to(input.dtype) * 0.5
        made = lerp(made, above, weight)
    made = permute_op(made, dims=(made.ndim - 1, *range(made.ndim - 1)))  # q comes first
    if keepdim:
        made = made.reshape((made.shape[0], *kept))
    return made if q.ndim else made[0]


@method
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-quantiles along a dimension (of all elements if None); NaN where an element is NaN.

    Args:
        input: float32 or float64.
        q: a number or a vector of numbers in [0, 1]; a vector's results are stacked along a new first dimension.
        interpolation: between the two nearest elements: 'linear', 'lower', 'higher', 'midpoint' or 'nearest'.

    Raises:
        RuntimeError: another dtype, no elements, or a q outside [0, 1] (checked on 'cpu').

    >>> import gradgpu as gg
    >>> gg.quantile(gg.tensor([0., 1., 2., 4.]), gg.tensor([0.5, 1.]))
    tensor([1.5000, 4.0000])
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@method
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are not NaN; NaN where all are.

    >>> import gradgpu as gg
    >>> gg.nanquantile(gg.tensor([1., float("nan"), 3.]), 0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


@method
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of the elements that are not NaN: of all, or (values, indices) along a dimension; NaN if all are.

    >>> import gradgpu as gg
    >>> gg.nanmedian(gg.tensor([4., float("nan"), 1., 3.]))
    tensor(3.)
    """
    require_tensor("nanmedian", input)
    if dim is None:
        if not input.numel():
            raise RuntimeError("nanmedian: an empty tensor has no median")
        return nanmedian(input.reshape((-1,)), 0).values
    d = canonical_dim(dim, input.ndim, "nanmedian")
    x = input if input.ndim else input.reshape((1,))
    if not x.shape[d]:
        raise IndexError(f"nanmedian(): Expected reduction dim {d} to have non-zero size.")
    count = (~isnan(x.detach())).to(dt.int64).sum(d, keepdim=True)
    order = sort(x.detach(), d).indices
    at = gather_op(order, (count - 1).clamp(min=0) // 2, dim=d)
    return _picked(rt.nanmedian, input, x, at, d, keepdim)


def _picked(kind: Any, input: Tensor, x: Tensor, at: Tensor, d: int, keepdim: bool) -> Any:
    """The entries of x at one place along a dimension, with the shape that a reduction of `input` has."""
    values = gather_op(x, at, dim=d)
    if not input.ndim:
        return kind(values.reshape(()), at.reshape(()))
    return kind(values, at) if keepdim else kind(values.squeeze(d), at.squeeze(d))


@method
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> rt.mode:
    """The value that occurs most often along a dimension (the least of several), and the last place where it does.

    >>> import gradgpu as gg
    >>> values, indices = gg.mode(gg.tensor([3, 1, 3, 1, 2]))
    >>> values, indices
    (tensor(1), tensor(3))
    """
    require_tensor("mode", input)
    d = canonical_dim(dim, input.ndim, "mode")
    x = input if input.ndim else input.reshape((1,))
    if not x.shape[d]:
        raise IndexError(f"mode(): Expected reduction dim {d} to have non-zero size.")
    found, order = sort(x.detach(), d)
    n = x.shape[d]
    places = arange(n, device=x.device).reshape([n if k == d else 1 for k in range(x.ndim)])
    one = (*(slice(None),) * d,)
    same = found[(*one, slice(1, None))] == found[(*one, slice(None, -1))]
    first = zeros_like(found[(*one, slice(1))], dtype=dt.int64)
    starts = cat([first, where(same, 0, places[(*one, slice(1, None))])], d)
    lengths = places - starts.cummax(d).values  # less 1; the longest run ends where this is greatest first
    at = gather_op(order, lengths.argmax(d, keepdim=True), dim=d)
    return _picked(rt.mode, input, x, at, d, keepdim)


@method
def nanmean(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: dt.dtype | None = None,
) -> Tensor:
    """The mean over `dim` of the elements that are not NaN; NaN where all are.

    Raises:
        RuntimeError: a tensor of integers.

    >>> import gradgpu as gg
    >>> gg.nanmean(gg.tensor([1., float("nan"), 3.]))
    tensor(2.)
    """
    require_floating("nanmean", input)
    x = input if dtype is None else input.to(dtype)
    missing = isnan(x)
    wide = x.float() if x.itemsize == 2 else x
    total = sum(where(missing, 0.0, wide), dim, keepdim)
    return (total / sum(~missing, dim, keepdim)).to(x.dtype)


# ---- correlation ----
@method
def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation coefficients of the rows of `input` (variables, observations); 1 for one variable.

    Raises:
        RuntimeError: more than two dimensions.

    >>> import gradgpu as gg
    >>> gg.corrcoef(gg.tensor([[0., 1., 2.], [4., 2., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    require_tensor("corrcoef", input)
    if input.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)


# ---- histograms ----
def _edges(name: str, x: Tensor, bins: Any, range: Any) -> Tensor:
    """The edges of the bins of a vector: those given, or of equal bins."""
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.shape[0] < 1:
            raise RuntimeError(
                f"{name}(): bins tensor must be a vector of edges, got shape {tuple(bins.shape)}"
            )
        if bins.dtype is not x.dtype:
            raise RuntimeError(
                f"{name}(): bins tensor and input must have the same dtype, got {bins.dtype} and {x.dtype}"
            )
        return bins.detach()
    if bins <= 0:
        raise RuntimeError(f"{name}(): bins must be > 0, but got {bins}")
    if range is None:
        low, high = (x.min().item(), x.max().item()) if x.numel() else (0.0, 0.0)
    else:
        low, high = float(range[0]), float(range[1])
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise RuntimeError(f"{name}(): range [{low}, {high}] must be finite and ascending")
    if low == high:
        low, high = low - 0.5, high + 0.5
    from .creation import linspace

    return linspace(low, high, int(bins) + 1, dtype=x.dtype, device=x.device)


def _places(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The bin of each element, and whether it lies in one; the last bin holds its right edge."""
    n = edges.shape[0] - 1
    inside = (x >= edges[0]) & (x <= edges[-1])
    return (searchsorted(edges, x, right=True) - 1).clamp(0, max(n - 1, 0)), inside


@method
def histogram(
    input: Tensor, bins: Any = 100, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> rt.histogram:
    """How many elements fall into each bin, as (hist, bin_edges). Carries no gradient.

    Args:
        bins: the number of equal bins, or their edges, an ascending vector of the dtype of `input`.
        range: (least, greatest) of the equal bins; the extrema of `input` by default, for which the host waits on cuda.
        weight: what each element counts, of the shape of `input`.
        density: divide by the total and by the width of each bin.

    A bin holds its left edge, the last one also its right; what lies outside is left out.

    Raises:
        RuntimeError: integers, no bins, a range that is not finite, or a weight of another shape.

    >>> import gradgpu as gg
    >>> gg.histogram(gg.tensor([1., 2., 1.]), bins=4, range=(0., 3.)).hist
    tensor([0., 2., 1., 0.])
    """
    require_floating("histogram", input)
    x = input.detach().reshape((-1,))
    found = _edges("histogram", x, bins, range)
    made = _histogram("histogram", [x], [found], weight, tuple(input.shape), density)
    return rt.histogram(made, found)


def histogramdd(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> rt.histogramdd:
    """How many points, the rows of `input` (…, D), fall into each cell of a grid, as (hist, bin_edges).

    Args:
        bins: the number of bins of every dimension, or for each one a number or edges.
        range: 2 D numbers: the least and the greatest coordinate of each dimension.
        weight, density: as in `histogram`; a weight for each point.

    >>> import gradgpu as gg
    >>> gg.histogramdd(gg.tensor([[0., 1.], [1., 0.], [1., 1.]]), bins=[2, 2]).hist
    tensor([[0., 1.],
            [1., 1.]])
    """
    require_floating("histogramdd", input)
    if input.ndim < 2:
        raise RuntimeError(f"histogramdd(): input tensor should have at least 2 dimensions, got {input.ndim}")
    d = input.shape[-1]
    counts = [int(bins)] * d if isinstance(bins, Integral) else list(bins)
    if len(counts) != d:
        raise RuntimeError(
            f"histogramdd(): expected bins for {d} dimensions, the last size of input, got {len(counts)}"
        )
    xs = [input.detach()[..., k].reshape((-1,)) for k in _count(d)]
    limits = [None if range is None else range[2 * k : 2 * k + 2] for k in _count(d)]
    edges = [_edges("histogramdd", x, n, limit) for x, n, limit in zip(xs, counts, limits)]
    made = _histogram("histogramdd", xs, edges, weight, tuple(input.shape[:-1]), density)
    return rt.histogramdd(made, tuple(edges))


_count = range  # which arguments hide


def _histogram(
    name: str, xs: list[Tensor], edges: list[Tensor], weight: Tensor | None, shape: tuple, density: bool
) -> Tensor:
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError(
            f"{name}(): if weight tensor is provided it should have the shape {shape} of the input, got {tuple(weight.shape)}"
        )
    sizes = [e.shape[0] - 1 for e in edges]
    place, inside = None, None
    for x, e, n in zip(xs, edges, sizes):
        at, within = _places(x, e)
        place, inside = (at, within) if place is None or inside is None else (place * n + at, inside & within)
    total = math.prod(sizes)
    assert place is not None and inside is not None
    kind = xs[0].dtype
    weights = None if weight is None else weight.detach().reshape((-1,)).to(kind)
    # what lies outside goes to a bin of its own, which is dropped
    made = bincount(where(inside, place, total), weights, minlength=total + 1)[:total].to(kind).reshape(sizes)
    if density:
        made = made / made.sum()
        for k, e in enumerate(edges):
            widths = e[1:] - e[:-1]
            made = made / widths.reshape([-1 if j == k else 1 for j in _count(len(sizes))])
    return made


__all__ = [
    "corrcoef", "histogram", "histogramdd", "mode", "nanmean", "nanmedian", "nanquantile", "quantile",
]  # fmt: skip
