"""Draws by rejection, which numpy makes on the host, and the gradients of gamma draws.

A sampler that rejects takes a number of steps that depends on the draw. Its parameters are copied to the host, the draws
back (docs/host_ops.md). The draws follow the device's generator: the same seed gives the same numbers on 'cpu' and 'cuda'.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.function import Function, once_differentiable
from ..ops.creation import from_numpy
from ..ops.special import digamma, lgamma
from ..random import Generator, generator_of
from ..tensor import Tensor


def _rng(like: Tensor, generator: Generator | None = None) -> np.random.Generator:
    """A numpy generator of its own for one call."""
    key = (generator_of(like.device) if generator is None else generator).take(1)
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))


def _host(t: Tensor) -> np.ndarray:
    return t.detach().cpu().double().numpy()


def _back(values: np.ndarray, like: Tensor) -> Tensor:
    values = np.ascontiguousarray(values).reshape(np.shape(values))  # which keeps a 0-dim array so
    return from_numpy(values).to(device=like.device, dtype=like.dtype)


def poisson(rate: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson draws of the rates, in their dtype."""
    return _back(np.asarray(_rng(rate, generator).poisson(_host(rate)), np.float64), rate)


def binomial(total_count: Tensor, probs: Tensor, generator: Generator | None = None) -> Tensor:
    """Binomial draws, in the dtype of probs."""
    counts = _rng(probs, generator).binomial(_host(total_count).astype(np.int64), _host(probs))
    return _back(np.asarray(counts, np.float64), probs)


def von_mises(loc: Tensor, concentration: Tensor) -> Tensor:
    """Von Mises draws in [-π, π)."""
    turned = _rng(loc).vonmises(np.zeros(()), _host(concentration)) + _host(loc)
    return _back((turned + np.pi) % (2 * np.pi) - np.pi, loc)


def _series(a: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S = Σ_n c_n and T = Σ_n c_n h_n with c_n = xⁿ / ((a + 1) … (a + n)) and h_n = Σ_k≤n 1 / (a + k).

    The regularised incomplete gamma function is P(a, x) = xᵃ e⁻ˣ / Γ(a + 1) · S (Abramowitz & Stegun 6.5.29).
    """
    c, h = np.ones_like(x), np.zeros_like(x)
    s, t = np.ones_like(x), np.zeros_like(x)
    n = 0
    while True:
        n += 1
        c = c * (x / (a + n))
        h = h + 1 / (a + n)
        s, t = s + c, t + c * h
        if not np.any((c * (1 + h) > 1e-17 * s) | (x > a + n)):
            return s, t


def log_slope(a: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """d log x / da along draws x of Gamma(a, 1): how a draw moves with its parameter at a fixed quantile.

    Implicit reparameterization (Figurnov, Mohamed and Mnih, 2018): dx/da = -(∂P/∂a) / (∂P/∂x). With the series of
    `_series`, ∂P/∂a = xᵃ e⁻ˣ / Γ(a + 1) · (S (log x - ψ(a + 1)) - ... ) term by term, so that everything but S and T cancels.
    For a > 1000 the quantile's expansion in powers of 1/√a (Cornish & Fisher, 1938) is differentiated instead.
    """
    large = a > 1000
    small_a, small_log = np.where(large, 1.0, a), np.where(large, 0.0, log_x)
    s, t = _series(small_a, np.exp(small_log))
    slope = (t - s * (small_log - np.asarray(digamma(np.asarray(small_a + 1))))) / small_a
    if not large.any():
        return slope
    big = np.where(large, a, 2000.0)
    x = np.where(large, np.exp(log_x), 2000.0)
    root = np.sqrt(big)
    # The quantile's normal deviate, by Newton's method from that of Wilson and Hilferty.
    n = ((x / big) ** (1 / 3) - 1 + 1 / (9 * big)) * 3 * root
    for _ in range(3):
        at = (
            big
            + n * root
            + (n * n - 1) / 3
            + (n**3 - 7 * n) / (36 * root)
            - (3 * n**4 + 7 * n**2 - 16) / (810 * big)
        )
        n = n - (at - x) / (root + 2 * n / 3 + (3 * n * n - 7) / (36 * root))
    dx = (
        1
        + n / (2 * root)
        - (n**3 - 7 * n) / (72 * big * root)
        + (3 * n**4 + 7 * n**2 - 16) / (810 * big * big)
    )
    return np.where(large, dx / x, slope)


class _StandardGamma(Function):
    @staticmethod
    def forward(ctx: Any, alpha: Tensor, log: bool) -> Tensor:
        rng, a = _rng(alpha), _host(alpha)
        # Below 1, Gamma(a) is Gamma(a + 1) · U^(1/a): in logarithms, where nothing underflows.
        below = a < 1
        log_x = np.log(rng.standard_gamma(a + below)) + np.where(
            below, np.log1p(-rng.random(a.shape)) / a, 0.0
        )
        x = log_x if log else np.maximum(np.exp(log_x), np.finfo(np.float32).tiny)
        if ctx.needs_input_grad[0]:
            slope = log_slope(a, log_x)
            ctx.save_for_backward(_back(slope if log else slope * x, alpha))
        return _back(x, alpha)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        (slope,) = ctx.saved_tensors
        return g * slope, None


def standard_gamma(alpha: Tensor, log: bool = False) -> Tensor:
    """Draws of Gamma(alpha, 1), or their logarithms, differentiable in alpha."""
    return _StandardGamma.apply(alpha, log)


_standard_gamma = standard_gamma  # PyTorch's name, `torch._standard_gamma`


_STEPS = 8  # of a series or fraction before what has converged is left out


def _lower(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """S of `_series` where x < a + 1."""
    made = np.ones_like(x)
    at, a, c, s = np.arange(x.size), a.copy(), np.ones_like(x), np.ones_like(x)
    while at.size:
        for _ in range(_STEPS):
            a += 1.0
            c *= x
            c /= a
            s += c
        made[at] = s
        more = np.flatnonzero(c > 1e-17 * s)
        if more.size < at.size:
            at, a, x, c, s = at[more], a[more], x[more], c[more], s[more]
    return made


def _upper(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The continued fraction for Γ(a, x) / (xᵃ e⁻ˣ) where x ≥ a + 1, by Lentz's method (Numerical Recipes, 6.2)."""
    made = np.zeros_like(x)
    at, b = np.arange(x.size), x + 1.0 - a
    c, d = np.full_like(x, 1e300), 1.0 / b
    h, i = d.copy(), 0
    while at.size:
        for _ in range(_STEPS):
            i += 1
            over = (a - i) * i
            b += 2.0
            d *= over
            d += b
            np.divide(1.0, d, d)
            np.divide(over, c, c)
            c += b
            factor = d * c
            h *= factor
        made[at] = h
        more = np.flatnonzero(np.abs(factor - 1.0) > 1e-15) if i < 100000 else at[:0]
        if more.size < at.size:
            at, a, b, c, d, h = at[more], a[more], b[more], c[more], d[more], h[more]
    return made


def _incomplete(a: np.ndarray, x: np.ndarray, upper: bool) -> np.ndarray:
    """P(a, x), or 1 - P: the series below a + 1, the continued fraction of 1 - P above."""
    shape = x.shape
    a, x = (np.asarray(v, np.float64).reshape(-1) for v in (a, x))
    made = np.full(x.shape, np.nan)
    with np.errstate(all="ignore"):
        made[x <= 0] = float(upper)
        made[x == np.inf] = float(not upper)
        inside = (x > 0) & (x < np.inf)
        low = x < a + 1
        for at, mine in ((np.flatnonzero(inside & low), False), (np.flatnonzero(inside & ~low), True)):
            if at.size:
                b, y = a[at], x[at]
                front = np.exp(b * np.log(y) - y - np.asarray(lgamma(b)))
                part = front * _upper(b, y) if mine else front / b * _lower(b, y)
                made[at] = part if mine == upper else 1.0 - part
    return made.reshape(shape)


class _GammaInc(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor, upper: bool) -> Tensor:
        ctx.save_for_backward(a, x)
        ctx.upper = upper
        wide = np.broadcast_arrays(_host(a), _host(x))
        return _back(_incomplete(wide[0], wide[1], upper), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        if ctx.needs_input_grad[0]:
            raise NotImplementedError(
                "Gamma.cdf: no gradient with respect to the concentration; detach() it, or use log_prob"
            )
        a, x = ctx.saved_tensors
        slope = g * ((a - 1) * x.log() - x - a.lgamma()).exp()
        return None, -slope if ctx.upper else slope, None


def gammainc(a: Tensor, x: Tensor, upper: bool = False) -> Tensor:
    """The regularised lower (or upper) incomplete gamma function of one shape; computed on the host, differentiable in x."""
    return _GammaInc.apply(a, x, upper)
