"""`gradgpu.special`: PyTorch's place of the special functions. Shapes broadcast; results have the operands' float dtype."""

from __future__ import annotations

import math
from typing import Any

from . import dtypes as dt
from .ops.bessel import (
    bessel_j0,
    bessel_j1,
    erfcx,
    i0,
    i0e,
    i1,
    i1e,
    igamma,
    igammac,
    log_ndtr,
    polygamma,
    zeta,
)
from .ops.creation import full_like
from .ops.elementary import erfinv, sinc, xlogy
from .ops.moments import logsumexp
from .ops.out import install as _install_out
from .ops.pointwise import erf, erfc, exp2, expm1, isnan, log1p, round, sigmoid, where
from .ops.softmax import log_softmax, softmax
from .ops.special import digamma, lgamma, logit
from .tensor import Tensor

__all__ = [
    "bessel_j0", "bessel_j1", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln", "i0", "i0e", "i1", "i1e",
    "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp",
    "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

expit, gammaln, psi, gammainc, gammaincc = sigmoid, lgamma, digamma, igamma, igammac


def entr(input: Tensor) -> Tensor:
    """-x log x, the entropy's term: 0 at 0, -inf below.

    >>> import gradgpu as gg
    >>> gg.special.entr(gg.tensor([0.5, -1.]))
    tensor([0.3466,   -inf])
    """
    if input.dtype.category < dt.FLOAT:
        input = input.to(dt.get_default_dtype())
    return where(input < 0, full_like(input.detach(), -math.inf), 0.0 - xlogy(input, input))


def ndtr(input: Tensor) -> Tensor:
    """The standard normal distribution function, erfc(-x / √2) / 2.

    >>> import gradgpu as gg
    >>> gg.special.ndtr(gg.tensor(0.))
    tensor(0.5000)
    """
    return 0.5 * erfc(input * -math.sqrt(0.5))


def ndtri(input: Tensor) -> Tensor:
    """The quantile of the standard normal distribution, √2 erf⁻¹(2p - 1).

    >>> import gradgpu as gg
    >>> gg.special.ndtri(gg.tensor(0.5))
    tensor(0.)
    """
    if input.dtype.category < dt.FLOAT:
        input = input.to(dt.get_default_dtype())
    return erfinv(2 * input - 1) * math.sqrt(2)


def xlog1py(input: Any, other: Any) -> Tensor:
    """x log(1 + y), 0 where x is 0 unless y is NaN.

    >>> import gradgpu as gg
    >>> gg.special.xlog1py(gg.tensor([0., 2.]), gg.tensor([-1., 0.]))
    tensor([0., 0.])
    """
    logarithm = log1p(other) if isinstance(other, Tensor) else math.log1p(other)
    product = input * logarithm
    zero = input == 0
    if isinstance(other, Tensor):
        zero = zero & ~isnan(other)
    return where(zero, 0.0, product)


def multigammaln(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p: p (p - 1) / 4 log π + Σ log Γ(x - j / 2).

    Raises:
        ValueError: p is not positive.

    >>> import gradgpu as gg
    >>> gg.special.multigammaln(gg.tensor(2.), 1)
    tensor(0.)
    """
    if p < 1:
        raise ValueError(f"multigammaln: p has to be greater than or equal to 1, got {p}")
    total = lgamma(input) + p * (p - 1) / 4 * math.log(math.pi)
    for j in range(1, p):
        total = total + lgamma(input - j / 2)
    return total


_install_out(globals(), __all__)
