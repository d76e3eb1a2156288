"""Samples of quantiles, medians and means without NaN, the mode, histograms and correlation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample
from tests.samples.sort import different

WIDE = ("float32", "float64")
NAN = np.nan
HOLES = In(values=[[4.0, NAN, 1.0, 3.0], [NAN, NAN, NAN, NAN]], grad=False)


def q(*values: float) -> In:
    return In(values=values, grad=False)


def quietly(function: Any, *args: Any, **kwargs: Any) -> Any:
    """numpy warns of rows that hold nothing but NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def _quantile(function: Any) -> Any:
    def reference(
        x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear"
    ) -> Any:
        return quietly(function, x, q, axis=dim, keepdims=keepdim, method=interpolation)

    return reference


def _nanmedian(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return _nanmedian(x.reshape(-1), 0)[0]
    if not np.ndim(x):
        return x, np.int64(0)
    count = np.sum(~np.isnan(x), dim, keepdims=True)
    at = np.take_along_axis(np.argsort(x, dim, kind="stable"), np.maximum(count - 1, 0) // 2, dim)
    made = np.take_along_axis(x, at, dim), at
    return made if keepdim else tuple(part.squeeze(dim) for part in made)


def _mode(x: Any, dim: int = -1, keepdim: bool = False) -> Any:
    if not np.ndim(x):
        return x, np.int64(0)

    def places(line: Any) -> Any:
        values, counts = np.unique(line, return_counts=True)
        return np.flatnonzero(line == values[counts.argmax()])[-1]

    at = np.expand_dims(np.apply_along_axis(places, dim, x), dim)
    made = np.take_along_axis(x, at, dim), at
    return made if keepdim else tuple(part.squeeze(dim) for part in made)


def _nanmean(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return quietly(np.nanmean, x, axis=dim, keepdims=keepdim)


def _histogram(x: Any, bins: Any = 100, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    if weight is not None:
        weight = weight.reshape(-1)
    found, edges = np.histogram(x.reshape(-1), bins, range, weights=weight, density=density)
    return found.astype(x.dtype), edges


def _histogramdd(x: Any, bins: Any, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    limits = None if range is None else np.reshape(range, (-1, 2))
    weight = None if weight is None else weight.reshape(-1)
    found, edges = np.histogramdd(x.reshape(-1, x.shape[-1]), bins, limits, weights=weight, density=density)
    return (found.astype(x.dtype), *edges)


EXACT = In(values=np.arange(24).reshape(4, 6) * 7 % 16 / 16, grad=False)
WEIGHTS = In(values=np.arange(24).reshape(4, 6) / 8, grad=False)
BAD_QUANTILES = [
    Bad(In(3, dtype="int64"), 0.5, raises=RuntimeError, match="float or double"),
    Bad(In(0), 0.5, raises=RuntimeError, match="non-empty"),
    Bad(In(3), In(1, 1), raises=RuntimeError, match="scalar or 1D"),
    Bad(In(3), In(1, dtype="float64"), raises=RuntimeError, match="same dtype"),
    Bad(In(3), 0.5, interpolation="cubic", raises=RuntimeError, match="interpolation must be"),
    Bad(In(3), 0.5, 1, raises=IndexError, match="out of range"),
]

OPS = [
    OpSamples(
        "quantile",
        gg.quantile,
        samples=[
            Sample(different(7), 0.3),
            Sample(different(3, 5), q(0.0, 0.25, 0.6, 1.0), 1),
            Sample(different(3, 5), q(0.5), 0, True),
            Sample(different(2, 3, 4), 0.7, -2, keepdim=True),
            Sample(different(2, 3), q(0.1, 0.9), keepdim=True),
            *[Sample(different(7), q(0.3, 0.5), 0, interpolation=how) for how in ("lower", "higher", "midpoint", "nearest")],
            Sample(HOLES, 0.5, 1),
            Sample(In(), 0.5),
            Sample(different(4), In(0, grad=False)),
        ],
        reference=_quantile(np.quantile),
        dtypes=WIDE,
        layouts=False,  # an expanded input has ties
        errors=BAD_QUANTILES,
    ),
    OpSamples(
        "nanquantile",
        gg.nanquantile,
        samples=[
            Sample(HOLES, q(0.2, 0.7), 1),
            Sample(HOLES, 0.5),
            Sample(different(3, 5), 0.4, 0, True),
            Sample(In(), 0.5),
        ],
        reference=_quantile(np.nanquantile),
        dtypes=WIDE,
        layouts=False,
        errors=BAD_QUANTILES,
    ),
    OpSamples(
        "nanmedian",
        gg.nanmedian,
        samples=[
            Sample(different(7)),
            Sample(different(3, 4), 0, True),
            Sample(HOLES),
            Sample(HOLES, 1),
            Sample(In(), 0),
            Sample(In(2, 0), 0),
        ],
        reference=_nanmedian,
        layouts=False,
        errors=[
            Bad(In(0), raises=RuntimeError, match="empty"),
            Bad(In(0), 0, raises=IndexError, match="non-zero"),
            Bad(In(3), 1, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "mode",
        gg.mode,
        samples=[
            Sample(In(values=[3, 1, 3, 1, 2], grad=False)),
            Sample(In(4, 50, low=0, high=6, dtype="int64"), 1),
            Sample(In(values=np.arange(24).reshape(6, 4) * 5 % 3, grad=False), 0, True),
            Sample(different(1, 3), 0),
            Sample(In(1)),
            Sample(In()),
        ],
        reference=_mode,
        dtypes=(*FLOATS, "int64", "int16"),
        layouts=False,
        errors=[
            Bad(In(0), raises=IndexError, match="non-zero"),
            Bad(In(3), 1, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "nanmean",
        gg.nanmean,
        samples=[
            Sample(In(3, 4)),
            Sample(In(3, 4), 0, True),
            Sample(In(2, 3, 4), (0, -1)),
            Sample(HOLES),
            Sample(HOLES, 1),
            Sample(In()),
            Sample(In(0, 3), 1),
        ],
        reference=_nanmean,
        errors=[
            Bad(In(3, dtype="int64"), raises=RuntimeError, match="floating"),
            Bad(In(3), 1, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "corrcoef",
        gg.corrcoef,
        samples=[Sample(In(3, 6)), Sample(In(2, 4)), Sample(In(5, grad=False)), Sample(In(values=[[0.0, 1.0, 3.0], [1.0, 2.0, -1.0]]))],
        reference=np.corrcoef,
        dtypes=WIDE,
        layouts=False,  # an expanded input has no variance across
        errors=[Bad(In(2, 2, 2), raises=RuntimeError, match="two or fewer dimensions")],
    ),
    OpSamples(
        "corrcoef_scalar",
        gg.corrcoef,
        samples=[Sample(In(grad=False))],
        reference=lambda x: np.float64(np.nan),
        dtypes=WIDE,
        errors=[Bad(In(2, 2, 2), raises=RuntimeError, match="two or fewer dimensions")],
    ),
    OpSamples(
        "histogram",
        gg.histogram,
        samples=[
            Sample(EXACT, 4, range=(0.0, 1.0)),
            Sample(EXACT, 8, range=(0.25, 0.75)),
            Sample(EXACT, In(values=[0.0, 0.125, 0.5, 0.5625], grad=False)),
            Sample(EXACT, 5, weight=WEIGHTS),
            Sample(EXACT, 4, range=(0.0, 1.0), density=True),
            Sample(EXACT, range=(0.0, 1.0)),
            Sample(In(0), 3, range=(0.0, 3.0)),
            Sample(In(values=[2.0, 2.0], grad=False), 4),
        ],
        reference=_histogram,
        dtypes=WIDE,
        differentiable=False,
        layouts=False,
        errors=[
            Bad(In(3, dtype="int64"), 3, raises=RuntimeError, match="floating"),
            Bad(In(3), 0, raises=RuntimeError, match="bins must be > 0"),
            Bad(In(3), 3, range=(1.0, 0.0), raises=RuntimeError, match="finite and ascending"),
            Bad(In(3), 3, weight=In(2), raises=RuntimeError, match="shape"),
            Bad(In(3), In(2, 2), raises=RuntimeError, match="vector of edges"),
        ],
    ),
    OpSamples(
        "histogramdd",
        gg.histogramdd,
        samples=[
            Sample(EXACT, 2, range=[0.0, 1.0] * 6),
            Sample(In(values=[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], grad=False), [2, 3]),
            Sample(In(values=[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], grad=False), [2, 3], density=True, weight=In(values=[1.0, 2.0, 0.5])),
            Sample(In(0, 2), [2, 2], range=[0.0, 1.0, 0.0, 1.0]),
        ],
        reference=_histogramdd,
        dtypes=WIDE,
        differentiable=False,
        layouts=False,
        errors=[
            Bad(In(3), 2, raises=RuntimeError, match="at least 2 dimensions"),
            Bad(In(3, 2), [2], raises=RuntimeError, match="expected bins for 2"),
        ],
    ),
]  # fmt: skip
