"""Modified Bessel functions, polygamma functions and the incomplete gamma function.

All are formulas of operations that differentiate, so gradients of any order follow; only the incomplete gamma function is
computed on the host.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import dtypes as dt
from ..tensor import Tensor
from .inplace import inplace
from .pointwise import abs, exp, floor, pow, where
from .reduce import require_tensor
from .registry import method
from .special import _trigamma, digamma


def _floats(name: str, x: Any) -> Tensor:
    require_tensor(name, x)
    if x.dtype.is_complex:
        raise RuntimeError(f"{name}: not implemented for {x.dtype} tensors")
    return x if x.dtype.is_floating_point else x.to(dt.get_default_dtype())


def _widely(function: Callable) -> Callable:
    """A function of the last argument that is computed in float32 where that has a half dtype, and rounded once."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Tensor:
        x = args[-1]
        if isinstance(x, Tensor) and x.dtype in (dt.float16, dt.bfloat16):
            return function(*args[:-1], x.to(dt.float32)).to(x.dtype)
        return function(*args)

    return wrapper


# ---- modified Bessel functions: series of Chebyshev polynomials, found by interpolation of I(x) e⁻ˣ (√x beyond 8) ----
_I0_NEAR = (
    0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764, 0.04930528423967071,
    -0.02373741480589947, 0.010546460394594998, -0.004324309995050576, 0.0016394756169413357, -0.0005763755745385824,
    0.00018850288509584165, -5.754195010082104e-05, 1.6448448070728896e-05, -4.4167383584587505e-06,
    1.1173875391201037e-06, -2.670793853940612e-07, 6.046995022541919e-08, -1.300025009986248e-08,
    2.6598237246823866e-09, -5.189795601635263e-10, 9.675809035373237e-11, -1.726826291441556e-11, 2.95505266312964e-12,
    -4.856446783111929e-13, 7.676185498604936e-14, -1.1685332877993451e-14, 1.715391285555133e-15,
    -2.431279846547955e-16, 3.3307945188222384e-17, -4.4153416464793395e-18,
)  # fmt: skip
_I0_FAR = (
    0.4022452055070544, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06, 2.0489185894690638e-07,
    2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10, 1.1889147107846439e-11,
    -3.1499165279632416e-11, -1.3215811840447713e-11, -1.7941785315068062e-12, 7.180124451383666e-13,
    3.8527783827421426e-13, 1.54008621752141e-14, -4.150569347287222e-14, -9.554846698828307e-15,
    3.8116806693526224e-15, 1.7725601330565263e-15, -3.425485619677219e-16, -2.8276239805165836e-16,
    3.461222867697461e-17, 4.46562142029676e-17, -4.830504485944182e-18, -7.233180487874754e-18,
)  # fmt: skip
_I1_NEAR = (
    0.12629359322181682, -0.17641651835783406, 0.1026436586898471, -0.05294598120809499, 0.024726449030626516,
    -0.010564084894626197, 0.004156422944312888, -0.0015135724506312532, 0.0005122859561685758, -0.00016176081582589674,
    4.781565107550054e-05, -1.3273163656039436e-05, 3.4702513081376785e-06, -8.568720264695455e-07,
    2.0032947535521353e-07, -4.445059128796328e-08, 9.381537386495773e-09, -1.8872497517228294e-09,
    3.625590281552117e-10, -6.663489723502027e-11, 1.1736186298890901e-11, -1.9839743977649436e-12,
    3.223793365945575e-13, -5.042185504727912e-14, 7.600684294735408e-15, -1.1055969477353862e-15,
    1.5536319577362005e-16, -2.111421214358166e-17, 2.7779141127610464e-18,
)  # fmt: skip
_I1_FAR = (
    0.38928811750914005, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06, -2.512236237870209e-07,
    -2.6314688468895196e-08, -3.835380385964237e-09, -5.589743462196584e-10, -1.8974958123505413e-11,
    3.2526035830154884e-11, 1.4125807436613782e-11, 2.0356285441470896e-12, -7.198551776245908e-13,
    -4.0835511110921974e-13, -2.1015418427726643e-14, 4.272440016711951e-14, 1.0420276984128802e-14,
    -3.8144030724370075e-15, -1.8803547755107825e-15, 3.3082023109209285e-16, 2.96262899764595e-16,
    -3.209525921993424e-17, -4.6503053684893586e-17, 4.414348323071708e-18, 7.517296310842105e-18,
)  # fmt: skip


def _series(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Σ c_k T_k(x), by Clenshaw's recurrence."""
    twice = x + x
    first, second = x * 0.0 + coefficients[-1], x * 0.0
    for c in coefficients[-2:0:-1]:
        first, second = twice * first - second + c, first
    return x * first - second + coefficients[0]


def _scaled(size: Tensor, near: Sequence[float], far: Sequence[float]) -> Tensor:
    """e⁻ˣ I(x) for x = `size` ≥ 0."""
    low = size <= 8.0
    inside, outside = where(low, size, 0.0), where(low, 8.0, size)
    return where(low, _series(inside * 0.25 - 1.0, near), _series(16.0 / outside - 1.0, far) * outside**-0.5)


@_widely
def i0e(input: Tensor) -> Tensor:
    """e^-|x| I₀(x), the scaled modified Bessel function of the first kind of order 0.

    >>> import gradgpu as gg
    >>> gg.special.i0e(gg.tensor([0., 1.]))
    tensor([1.0000, 0.4658])
    """
    x = _floats("i0e", input)
    return _scaled(abs(x), _I0_NEAR, _I0_FAR)


@_widely
def i0(input: Tensor) -> Tensor:
    """I₀(x), the modified Bessel function of the first kind of order 0: Σ (x² / 4)ᵏ / (k!)².

    >>> import gradgpu as gg
    >>> gg.i0(gg.tensor([0., 1.]))
    tensor([1.0000, 1.2661])
    """
    x = _floats("i0", input)
    size = abs(x)
    return where(size < 1.0, _powers(x, 0), exp(size) * _scaled(size, _I0_NEAR, _I0_FAR))


@_widely
def i1e(input: Tensor) -> Tensor:
    """e^-|x| I₁(x), the scaled modified Bessel function of the first kind of order 1.

    >>> import gradgpu as gg
    >>> gg.special.i1e(gg.tensor([0., 1.]))
    tensor([0.0000, 0.2079])
    """
    x = _floats("i1e", input)
    return _ratio(x)


@_widely
def i1(input: Tensor) -> Tensor:
    """I₁(x), the modified Bessel function of the first kind of order 1.

    >>> import gradgpu as gg
    >>> gg.special.i1(gg.tensor([0., 1.]))
    tensor([0.0000, 0.5652])
    """
    x = _floats("i1", input)
    size = abs(x)
    return where(size < 1.0, 0.5 * x * _powers(x, 1), _ratio(x) * exp(size))


def _powers(x: Tensor, order: int) -> Tensor:
    """Σ (x² / 4)ᵏ order! / (k! (k + order)!) for |x| < 1, by Horner's rule: smooth at 0, where |x| is not."""
    z = where(abs(x) < 1.0, x, 0.0)
    z = z * z * 0.25
    total = z * 0.0 + 1.0
    for k in range(11, 0, -1):
        total = 1.0 + total * z / float(k * (k + order))
    return total


def _ratio(x: Tensor) -> Tensor:
    """e^-|x| I₁(x): x times an even function inside, where a gradient at 0 is wanted."""
    size = abs(x)
    low = size <= 8.0
    inside, outside = where(low, size, 0.0), where(low, 8.0, size)
    near = x * _series(inside * 0.25 - 1.0, _I1_NEAR)
    far = _series(16.0 / outside - 1.0, _I1_FAR) * outside**-0.5
    return where(low, near, where(x < 0.0, -far, far))


# ---- gamma ----
# B₂ₖ / (2k)!, of the Euler-Maclaurin formula
_EULER = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600, -3617 / 10670622842880000,
)  # fmt: skip
_TERMS = 10  # before the formula, which then has 16 digits


def _tail(s: Any, w: Tensor) -> Tensor:
    """Σ (k + w)^-s over k = 0, 1, … by the Euler-Maclaurin formula (Abramowitz & Stegun 23.1.30); w > 9."""
    first = pow(w, -s)
    total = w * first / (s - 1.0) + 0.5 * first
    factor = s * first / w
    for k, c in enumerate(_EULER):
        total = total + c * factor
        factor = factor * ((s + float(2 * k + 1)) * (s + float(2 * k + 2))) / (w * w)
    return total


def zeta(input: Any, other: Any) -> Tensor:
    """Hurwitz' zeta function Σ (k + q)^-x over k = 0, 1, …, for x > 1 and q > 0.

    Infinity at x = 1 and, for x > 1, at q = 0, -1, …; NaN elsewhere.

    >>> import gradgpu as gg
    >>> gg.special.zeta(gg.tensor([2., 4.]), 1)
    tensor([1.6449, 1.0823])
    """
    like = input if isinstance(input, Tensor) else other
    d = _floats("zeta", like).dtype
    x, q = (
        _floats("zeta", t) if isinstance(t, Tensor) else like.new_tensor(float(t), dtype=d)
        for t in (input, other)
    )
    good = (x > 1.0) & (q > 0.0)
    s, a = where(good, x, 2.0), where(good, q, 1.0)
    total = _tail(s, a + float(_TERMS))
    for k in range(_TERMS):
        total = total + pow(a + float(k), -s)
    pole = (x == 1.0) | (x > 1.0) & (q == floor(q))
    return where(good, total, where(pole, math.inf, math.nan))


@_widely
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`: (-1)ⁿ⁺¹ n! Σ 1 / (x + k)ⁿ⁺¹ over k = 0, 1, …

    For n ≥ 2 of numbers above -10; NaN below.

    Raises:
        RuntimeError: n is negative.

    >>> import gradgpu as gg
    >>> gg.polygamma(1, gg.tensor([1., 0.5])), gg.polygamma(2, gg.tensor([1.]))
    (tensor([1.6449, 4.9348]), tensor([-2.4041]))
    """
    if not isinstance(n, int) or n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n, got {n!r}")
    x = _floats("polygamma", input)
    if n < 2:
        return digamma(x) if n == 0 else _trigamma(x)
    good = x > -10.0
    a, s = where(good, x, 1.0), float(n + 1)
    total = _tail(s, a + 2.0 * _TERMS)
    for k in range(2 * _TERMS):
        total = total + pow(a + float(k), -s)
    return where(good, total * float((-1) ** (n + 1) * math.factorial(n)), math.nan)


@method("polygamma")
def polygamma_method(self: Tensor, n: int) -> Tensor:
    """`polygamma(n, self)`."""
    return polygamma(n, self)


@method
def polygamma_(self: Tensor, n: int) -> Tensor:
    """`polygamma` in place."""
    return inplace("polygamma_", self, polygamma(n, self))


@method
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function: `special.multigammaln`.

    >>> import gradgpu as gg
    >>> gg.mvlgamma(gg.tensor([2.]), 1)
    tensor([0.])
    """
    from ..special import multigammaln

    if p < 1:
        raise RuntimeError(f"p has to be greater than or equal to 1, got {p}")
    return multigammaln(_floats("mvlgamma", input), p)


@method
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """The regularised lower incomplete gamma function P(a, x) = ∫₀ˣ tᵃ⁻¹ e⁻ᵗ dt / Γ(a), broadcast; a is `input`, x `other`.

    NaN for negative a or x. Computed on the host, whatever the device; differentiable in x only.

    >>> import gradgpu as gg
    >>> gg.igamma(gg.tensor([1.]), gg.tensor([2.]))
    tensor([0.8647])
    """
    from ..distributions.draws import gammainc
    from .shape import broadcast_tensors

    a, x = _floats("igamma", input), _floats("igamma", other)
    if a.dtype is not x.dtype:
        raise RuntimeError(f"igamma: expected both tensors of one dtype, got {a.dtype} and {x.dtype}")
    a, x = broadcast_tensors(a, x)
    good = (a > 0) & (x >= 0)
    made = gammainc(where(good, a, 1.0), where(good, x, 1.0))
    return where(good, made, where((a == 0) & (x > 0), 1.0, math.nan))


@method
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """1 - `igamma`: the regularised upper incomplete gamma function.

    >>> import gradgpu as gg
    >>> gg.igammac(gg.tensor([1.]), gg.tensor([2.]))
    tensor([0.1353])
    """
    return 1.0 - igamma(input, other)


def _change(function: Any) -> None:
    name = function.__name__ + "_"

    def changed(self: Tensor, *args: Any) -> Tensor:
        return inplace(name, self, function(self, *args))

    changed.__name__ = changed.__qualname__ = name
    changed.__doc__ = f"`{function.__name__}` in place."
    method(name)(changed)


method(i0)
for _function in (i0, igamma, igammac, mvlgamma):
    _change(_function)

__all__ = ["i0", "igamma", "igammac", "mvlgamma", "polygamma"]
