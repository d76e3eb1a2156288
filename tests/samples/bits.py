"""Samples of ops/bits.py."""

from __future__ import annotations

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample


def _frexp(x: np.ndarray) -> tuple:
    mantissa, exponent = np.frexp(x)
    return mantissa, exponent.astype(np.int32)


OPS = [
    OpSamples(
        "frexp",
        gg.frexp,
        samples=[
            Sample(In(3, 4, low=-30, high=30)),
            Sample(In(5, low=1e-3, high=1e-2)),
            Sample(In(low=1, high=2)),
            Sample(In(0)),
            Sample(In(values=[0.75, -1.5, 6.0, 100.0, -0.375, 1e4])),
        ],
        reference=_frexp,
        errors=[
            Bad(In(3, dtype="int64"), raises=RuntimeError, match="floating-point"),
            Bad([1.0], raises=TypeError, match="Tensor"),
        ],
    ),
]
