"""Samples of cummax, cummin and logcumsumexp."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample
from tests.samples.sort import different

KINDS = (*FLOATS, "int64", "int16", "uint8", "bool")


def _running(better: Any) -> Any:
    def run(x: Any, dim: int) -> tuple:
        if not np.ndim(x):
            return x, np.int64(0)
        values, places = np.array(np.moveaxis(x, dim, -1)), np.zeros(np.moveaxis(x, dim, -1).shape, np.int64)
        for line in np.ndindex(values.shape[:-1]):
            for k in range(1, values.shape[-1]):
                new, old = values[(*line, k)], values[(*line, k - 1)]
                follows = new != new or old == old and better(new, old)
                places[(*line, k)] = k if follows else places[(*line, k - 1)]
                values[(*line, k)] = new if follows else old
        return np.moveaxis(values, -1, dim), np.moveaxis(places, -1, dim)

    return run


def _extremum(name: str, better: Any) -> OpSamples:
    return OpSamples(
        name,
        getattr(gg, name),
        samples=[
            Sample(different(7), 0),
            Sample(different(3, 5), -1),
            Sample(different(2, 4, 3), 1),
            Sample(In(values=np.arange(2500) * 7 % 11, grad=False), 0),
            Sample(In(values=[1.0, 2.0, 2.0, 1.0, 0.0, 0.0], grad=False), 0),
            Sample(In(), 0),
            Sample(In(0, 3), 0),
            Sample(In(2, 0), 1),
        ],
        reference=_running(better),
        dtypes=KINDS,
        layouts=False,  # an expanded input has ties
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    )


def _logcumsumexp(x: Any, dim: int) -> Any:
    return np.logaddexp.accumulate(x, axis=dim) if np.ndim(x) else x


FAR = In(values=[[-800.0, 800.0, 0.0], [1000.0, -1000.0, 1000.0]], dtype="float64")

OPS = [
    _extremum("cummax", np.greater_equal),
    _extremum("cummin", np.less_equal),
    OpSamples(
        "cummax_nan",
        lambda x, dim: (gg.cummax(x, dim), gg.cummin(x, dim)),
        samples=[
            Sample(In(values=[1.0, np.nan, 2.0, np.nan, 0.0, np.inf], grad=False), 0),
            Sample(In(0, grad=False), 0),
        ],
        reference=lambda x, dim: (*_running(np.greater_equal)(x, dim), *_running(np.less_equal)(x, dim)),
        differentiable=False,
        layouts=False,
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "logcumsumexp",
        gg.logcumsumexp,
        samples=[
            Sample(In(7, low=-3, high=3), 0),
            Sample(In(3, 5), -1),
            Sample(In(2, 4, 3, low=-5, high=5), 1),
            Sample(In(300), 0),
            Sample(FAR, 1),
            Sample(In(values=[-np.inf, -np.inf, 0.5, -np.inf, np.inf, 1.0], grad=False), 0),
            Sample(In(), 0),
            Sample(In(0, 3), 0),
            Sample(In(2, 0), 1),
        ],
        reference=_logcumsumexp,
        errors=[
            Bad(In(3), 1, raises=IndexError, match="out of range"),
            Bad(In(3, dtype="int64"), 0, raises=RuntimeError, match="floating-point"),
        ],
    ),
]
