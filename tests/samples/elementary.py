"""Samples of the elementary functions made of others."""

from __future__ import annotations

import math

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample
from tests.samples.pointwise import binary, unary

NO_TENSOR = [Bad("text", raises=(TypeError, AttributeError), match="(?i)tensor|str")]
SHAPES = [Bad(In(3), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")]
PLACES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.5, -2.0]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _erfinv(y: np.ndarray) -> np.ndarray:
    """By bisection of erf."""
    low, high = np.full(y.shape, -6.0), np.full(y.shape, 6.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = _erf(middle) < y
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _xlogy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(a == 0, 0.0, a * np.log(b))


def _two(name: str, reference, a: In, b: In, **more) -> OpSamples:
    return OpSamples(name, getattr(gg, name), samples=[Sample(a, b), Sample(In(2, 3), In(3)), Sample(In(0), In(0))],
                     reference=reference, errors=SHAPES, **more)  # fmt: skip


OPS = [
    unary("erfinv", _erfinv, -0.95, 0.95),
    binary("hypot", np.hypot, (0.2, 2), (0.2, 2)),
    unary("deg2rad", np.deg2rad),
    unary("rad2deg", np.rad2deg),
    unary("sinc", np.sinc, 0.1, 2, special=[0.0, 1.0, -0.5]),
    unary("signbit", np.signbit, special=PLACES[:4], differentiable=False),
    unary("isposinf", np.isposinf, special=PLACES, differentiable=False, errors=NO_TENSOR),
    unary("isneginf", np.isneginf, special=PLACES, differentiable=False, errors=NO_TENSOR),
    unary("isreal", np.isreal, special=PLACES, differentiable=False, errors=NO_TENSOR),
    unary("fix", np.trunc),
    unary("sgn", np.sign),
    unary("positive", np.positive, errors=[Bad(In(2, dtype="bool", grad=False), raises=RuntimeError, match="bool")]),
    _two("copysign", np.copysign, In(3, 4, low=0.5, high=2), In(3, 4, grad=False)),
    _two("fmax", np.fmax, In(values=[0.5, 2.0, -1.0, 4.0]), In(values=[1.5, 1.0, -3.0, 5.0])),
    _two("fmin", np.fmin, In(values=[0.5, 2.0, -1.0, 4.0]), In(values=[1.5, 1.0, -3.0, 5.0])),
    OpSamples("xlogy", gg.xlogy, samples=[Sample(In(0), In(0)), Sample(In(3, 4), In(3, 4, low=0.5, high=2)), Sample(In(2, 3), In(3, low=0.5, high=2))],
              reference=_xlogy, errors=SHAPES),
    OpSamples("logaddexp2", gg.logaddexp2, samples=[Sample(In(), In()), Sample(In(3, 4), In(3, 4)), Sample(In(2, 3), In(3))],
              reference=np.logaddexp2, errors=SHAPES),
    OpSamples("heaviside", gg.heaviside,
              samples=[Sample(In(0, grad=False), In(0, grad=False)), Sample(In(values=[-1.0, 0.0, 2.0], grad=False), In(values=[0.5, 0.25, 3.0], grad=False))],
              reference=np.heaviside,
              errors=[Bad(In(2), In(2, dtype="int64"), raises=RuntimeError, match="different dtypes")]),
    OpSamples("ldexp", gg.ldexp, samples=[Sample(In(), In()), Sample(In(3, 4), In(3, 4)), Sample(In(2, 3), In(3))], reference=lambda a, b: a * 2.0**b, errors=SHAPES),
    OpSamples("rsub", gg.rsub, samples=[Sample(In(), In()), Sample(In(3, 4), In(3, 4)), Sample(In(2, 3), In(3), alpha=2.0)],
              reference=lambda a, b, alpha=1: b - alpha * a, errors=SHAPES),
    OpSamples("float_power", gg.float_power, samples=[Sample(In(low=0.5, high=2), 2.0), Sample(In(3, low=0.5, high=2), 3.0)],
              reference=lambda a, b: a**b, dtypes=("float64",), errors=SHAPES),
]  # fmt: skip
