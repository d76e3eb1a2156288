"""Special functions: the gamma function's logarithm and its derivatives, logit.

`digamma` and `trigamma` are written once, in operators: the formulas run on numpy arrays, write the CUDA kernel
when they are called with an `Expr`, and differentiate to any order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..tensor import Tensor
from .doors import unary_door
from .expr import Expr
from .inplace import inplace
from .pointwise import _MANY, clamp, floor, log, tan, where_op
from .pointwise_op import Pointwise
from .registry import method

# B_2k / 2k and B_2k for k = 1 … 7, the Bernoulli numbers of the asymptotic series
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
_STEPS = 8  # the series is used at arguments of at least 8.5, where it holds to double precision


def _series(z: Any, coefficients: tuple) -> Any:
    """Σ c_k z^k for k = 1 …, by Horner's rule."""
    total = z * coefficients[-1]
    for c in coefficients[-2::-1]:
        total = (total + c) * z
    return total


def _fraction(x: Any) -> Any:
    """x - ⌊x⌋: tan has period π, and near a pole this keeps the digits that π · x would lose."""
    return x - floor(x)


def _digamma(x: Any) -> Any:
    # Bernardo, "Algorithm AS 103: Psi (digamma) function" (1976): ψ(x) = ψ(x + 1) - 1 / x, then the asymptotic series.
    low = x < 0.5
    u = where_op(low, 1.0 - x, x)
    w = u + float(_STEPS)
    y = log(w) - 0.5 / w - _series(1.0 / (w * w), _DIGAMMA)
    for k in range(_STEPS):
        y = y - 1.0 / (u + float(k))
    y = where_op(low, y - math.pi / tan(_fraction(where_op(low, x, 0.25)) * math.pi), y)
    return where_op((x < 0.0) & (_fraction(x) == 0.0), math.nan, y)  # the poles; ψ(0) = -infinity


def _trigamma(x: Any) -> Any:
    # The derivative of the above: ψ'(x) = ψ'(x + 1) + 1 / x², and ψ'(x) = π² (1 + cot² πx) - ψ'(1 - x).
    low = x < 0.5
    u = where_op(low, 1.0 - x, x)
    w = u + float(_STEPS)
    z = 1.0 / (w * w)
    y = (1.0 + 0.5 / w + _series(z, _TRIGAMMA)) / w
    for k in range(_STEPS):
        v = u + float(k)
        y = y + 1.0 / (v * v)
    cot = 1.0 / tan(_fraction(where_op(low, x, 0.25)) * math.pi)
    return where_op(low, (cot * cot + 1.0) * math.pi**2 - y, y)


def _lgamma_of(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # a pole, or a result beyond the largest double
        return math.inf


_lgamma64 = np.frompyfunc(_lgamma_of, 1, 1)


def _lgamma(x: Any) -> Any:
    if x.size >= _MANY:
        from .host_special import lgamma_of

        return lgamma_of(x)
    return np.asarray(_lgamma64(x)).astype(x.dtype)


def _special(name: str, cuda: str, cpu: Any, grad: Any) -> Any:
    return unary_door(
        Pointwise(name, f"({cuda})", cpu, {"x": grad}, parameters="x", result="float", half="float32")
    )


digamma = _special("digamma", _digamma(Expr("x")).text, _digamma, lambda g, x: g * _trigamma(x))
lgamma = _special("lgamma", "lgamma(x)", _lgamma, lambda g, x: g * digamma(x))
_logit = _special(
    "logit", "log(x / (1 - x))", lambda x: np.log(x / (1 - x)), lambda g, x: g / (x * (1.0 - x))
)

digamma.__doc__ = """The derivative of `lgamma`, elementwise (Bernardo, "Algorithm AS 103", 1976); integers give floats.

    -infinity at 0, NaN at the negative integers.

    >>> import gradgpu as gg
    >>> gg.digamma(gg.tensor([1., 0.5]))
    tensor([-0.5772, -1.9635])
    """
lgamma.__doc__ = """log |Γ(x)|, elementwise; infinity at 0 and the negative integers; integers give floats.

    >>> import gradgpu as gg
    >>> gg.lgamma(gg.tensor([0.5, 1., 5.]))
    tensor([0.5724, 0.0000, 3.1781])
    """


def logit(input: Tensor, eps: float | None = None, *, out: Any = None) -> Tensor:
    """log(x / (1 - x)), the inverse of `sigmoid`, elementwise; `eps` limits x to [eps, 1 - eps] first.

    NaN outside [0, 1].

    >>> import gradgpu as gg
    >>> gg.logit(gg.tensor([0.25, 0.5, 1.]), eps=1e-6)
    tensor([-1.0986,  0.0000, 13.8023])
    """
    return _logit(input if eps is None else clamp(input, min=eps, max=1 - eps), out=out)


def _install() -> None:
    for name, function in (("digamma", digamma), ("lgamma", lgamma), ("logit", logit)):
        method(name)(function)

        def change(self: Any, *args: Any, _name: str = name, _function: Any = function, **more: Any) -> Any:
            return inplace(_name + "_", self, _function(self, *args, **more))

        change.__doc__ = f"In-place `{name}`: changes this tensor and returns it."
        method(name + "_")(change)


_install()

__all__ = ["digamma", "lgamma", "logit"]
