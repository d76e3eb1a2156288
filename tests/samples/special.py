"""Samples of special functions, statistics, and of unfold and fold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample
from tests.samples.pointwise import unary

F = gg.nn.functional
_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])


def _digamma(x: Any) -> Any:
    """The slope of lgamma, by Richardson's extrapolation of central differences."""

    def slope(h: float) -> Any:
        return (_lgamma(x + h) - _lgamma(x - h)) / (2 * h)

    return (64 * slope(0.0025) - 20 * slope(0.005) + slope(0.01)) / 45


def _unfold(x: Any, kernel: tuple, dilation: int, padding: int, stride: int) -> Any:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, cols = (range(0, n - dilation * (k - 1), stride) for n, k in zip(x.shape[2:], kernel))
    columns = [
        x[:, :, i : i + dilation * (kernel[0] - 1) + 1 : dilation, j : j + dilation * (kernel[1] - 1) + 1 : dilation]
        .reshape(len(x), x.shape[1] * kernel[0] * kernel[1])
        for i in rows
        for j in cols
    ]  # fmt: skip
    return np.stack(columns, -1)


def _fold(x: Any, size: tuple, kernel: tuple, dilation: int, padding: int, stride: int) -> Any:
    """The adjoint of `_unfold`: its matrix, transposed."""
    channels = x.shape[1] // (kernel[0] * kernel[1])
    n = channels * size[0] * size[1]
    basis = np.eye(n).reshape(n, channels, *size)
    matrix = _unfold(basis, kernel, dilation, padding, stride).reshape(n, -1)
    return (x.reshape(len(x), x.shape[1] * x.shape[2]) @ matrix.T).reshape(len(x), channels, *size)


def _histc(x: Any, bins: int, min: float, max: float) -> Any:
    return np.histogram(np.asarray(x), bins, (min, max))[0].astype(np.float64)


OPS = [
    unary("lgamma", _lgamma, 0.3, 5),
    unary("digamma", _digamma, 0.3, 5, tolerance={"float64": (1e-7, 1e-7)}),
    unary("logit", lambda x: np.log(x / (1 - x)), 0.1, 0.9),
    OpSamples(
        "logit_eps",
        lambda x, eps: gg.logit(x, eps),
        samples=[
            Sample(In(values=[0.25, 0.5, 0.75]), eps=0.125), Sample(In(0), eps=0.125),
            Sample(In(values=[0.0, 1.0], grad=False), eps=0.125),
            Sample(In(0), eps=0.125),
            Sample(In(low=0.3, high=0.7), eps=0.125),
        ],
        reference=lambda x, eps: np.log(np.clip(x, eps, 1 - eps) / (1 - np.clip(x, eps, 1 - eps))),
        errors=[Bad("text", eps=0.1, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|str")],
    ),
    OpSamples(
        "cov",
        gg.cov,
        samples=[Sample(In(3, 6)), Sample(In(5)), Sample(In(2, 4), correction=0), Sample(In(), correction=0)],
        reference=lambda x, correction=1: np.cov(x, ddof=correction) if x.ndim else np.zeros(()),
        errors=[Bad(In(2, 2, 2), raises=RuntimeError, match="two or fewer dimensions")],
    ),
    OpSamples(
        "dist",
        gg.dist,
        samples=[Sample(In(3, 4), In(3, 4)), Sample(In(3, 4), In(4), p=1), Sample(In(0), In(0)), Sample(In(5), In(5), p=3)],
        reference=lambda a, b, p=2: np.sum(np.abs(a - b) ** p) ** (1 / p),
        errors=[Bad(In(3), In(4), raises=(RuntimeError, ValueError), match="(?i)size|shape|broadcast")],
    ),
    OpSamples(
        "histc",
        gg.histc,
        samples=[
            Sample(In(40, grad=False), bins=5, min=-1, max=1),
            Sample(In(4, 6, grad=False), bins=3, min=-0.5, max=0.25),
            Sample(In(0, grad=False), bins=2, min=0, max=1),
        ],
        reference=_histc,
        dtypes=("float32", "float64"),
        differentiable=False,
        errors=[
            Bad(In(3), bins=0, raises=RuntimeError, match="bins must be > 0"),
            Bad(In(3), min=1, max=0, raises=RuntimeError, match="larger than min"),
            Bad(In(3, dtype="int64"), raises=RuntimeError, match="floating-point"),
        ],
    ),
    OpSamples(
        "unfold",
        F.unfold,
        samples=[
            Sample(In(2, 3, 4, 5), (2, 3), 1, 0, 1),
            Sample(In(1, 2, 5, 5), (2, 2), 2, 1, 2),
            Sample(In(0, 2, 3, 3), (2, 2), 1, 0, 1),
        ],
        reference=_unfold,
        errors=[
            Bad(In(3, 3), 2, raises=RuntimeError, match="3-D or 4-D"),
            Bad(In(1, 1, 3, 3), 4, raises=RuntimeError, match="does not fit"),
        ],
    ),
    OpSamples(
        "fold",
        F.fold,
        samples=[
            Sample(In(2, 8, 6), (3, 4), (2, 2), 1, 0, 1),
            Sample(In(1, 8, 9), (5, 5), (2, 2), 2, 1, 2),
            Sample(In(0, 4, 4), (3, 3), (2, 2), 1, 0, 1),
        ],
        reference=_fold,
        errors=[
            Bad(In(1, 4, 5), 3, 2, raises=RuntimeError, match="expected input of shape"),
            Bad(In(4), 3, 2, raises=RuntimeError, match="2-D or 3-D"),
        ],
    ),
]  # fmt: skip
