"""Samples of cumulative sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from gradgpu.ops.scan import recurrence_op
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int32", "uint8", "bool")
LOOSE = {"float16": (2e-2, 2e-2), "bfloat16": (6e-2, 6e-2)}


def _cumulative(function: Any) -> Any:
    def reference(x: Any, dim: int, dtype: Any = None) -> Any:
        if x.dtype.kind in "ub" or dtype is not None:
            x = x.astype(np.int64 if dtype is None else dtype.np)
        return function(x, dim) if x.ndim else x

    return reference


def _recurrence(a: Any, b: Any, *, dim: int, reverse: bool) -> Any:
    s = np.array(b)
    for k in range(1, s.shape[dim]):
        at, before = ([slice(None)] * s.ndim for _ in range(2))
        at[dim], before[dim] = (-1 - k, -k) if reverse else (k, k - 1)
        s[tuple(at)] += a[tuple(at)] * s[tuple(before)]
    return s


OPS = [
    OpSamples(
        "cumsum",
        gg.cumsum,
        samples=[
            Sample(In(5), 0),
            Sample(In(3, 4, 2), 1),
            Sample(In(3, 4), -1),
            Sample(In(2, 5000, low=0, high=2), 1),
            Sample(In(3, 4), 0, dtype=gg.float64),
            Sample(In(), 0),
            Sample(In(0, 3), 1),
            Sample(In(2, 0), 1),
        ],
        reference=_cumulative(np.cumsum),
        dtypes=KINDS,
        tolerance=LOOSE,
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "cumprod",
        gg.cumprod,
        samples=[
            Sample(In(5), 0),
            Sample(In(3, 4, 2), 1),
            Sample(In(values=[[1.5, 0.0, 2.0, 3.0], [0.0, 1.0, 0.0, 2.0], [2.0, 1.5, 0.5, 0.0]]), 1),
            Sample(In(), 0),
            Sample(In(0, 3), 1),
        ],
        reference=_cumulative(np.cumprod),
        dtypes=(*FLOATS, "int64"),
        tolerance=LOOSE,
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "linear_recurrence",
        recurrence_op,
        samples=[
            Sample(In(6), In(6), dim=0, reverse=False),
            Sample(In(2, 5, 3), In(2, 5, 3), dim=1, reverse=True),
            Sample(In(2, 0), In(2, 0), dim=1, reverse=False),
        ],
        reference=_recurrence,
        tolerance=LOOSE,
        errors=[Bad(In(2), 1.0, dim=0, reverse=False, raises=TypeError, match="expected a Tensor")],
    ),
]
