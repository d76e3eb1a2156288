"""Bessel functions, the scaled error function, polygamma functions and the incomplete gamma function.

All are formulas of operations that differentiate, so gradients of any order follow; only the incomplete gamma function is
computed on the host.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import INFERRING, SPECIAL, state
from ..tensor import Tensor, wrap
from .inplace import inplace
from .pointwise import abs, cos, erfc, exp, floor, log, log1p, pow, sin, where
from .reduce import require_tensor
from .registry import method
from .special import _trigamma, digamma

_CHUNK = 1 << 15  # numbers at a time: what is in between stays in the cache
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


def _floats(name: str, x: Any) -> Any:
    if type(x) is np.ndarray:
        return x
    require_tensor(name, x)
    if x.dtype.is_complex:
        raise RuntimeError(f"{name}: not implemented for {x.dtype} tensors")
    return x if x.dtype.is_floating_point else x.to(dt.get_default_dtype())


def _widely(function: Callable) -> Callable:
    """A function of the last argument that is computed in float32 where that has a half dtype, and rounded once.

    Where nothing is recorded, the formula runs on arrays of the CPU, a part at a time.
    """

    @functools.wraps(function)
    def wrapper(*args: Any) -> Tensor:
        x = args[-1]
        if not isinstance(x, Tensor):
            require_tensor(function.__name__, x)
        if x.dtype in (dt.float16, dt.bfloat16):
            return wrapper(*args[:-1], x.to(dt.float32)).to(x.dtype)
        a = x._a
        if (
            type(a) is np.ndarray
            and a.dtype in _DIRECT
            and (x._edge is None or not state.grad)
            and not (INFERRING or SPECIAL and state.special)
        ):
            made = np.empty(a.shape, a.dtype)
            flat, out = a.reshape(-1), made.reshape(-1)
            with np.errstate(all="ignore"):
                for start in range(0, flat.size, _CHUNK):
                    part = slice(start, start + _CHUNK)
                    out[part] = function(*args[:-1], flat[part])
            return wrap(made)
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


def _series(x: Any, coefficients: Sequence[float]) -> Any:
    """Σ c_k T_k(x), by Clenshaw's recurrence."""
    twice = x + x
    if type(x) is np.ndarray:
        b1, b2, new = np.full_like(x, coefficients[-1]), np.zeros_like(x), np.empty_like(x)
        for c in coefficients[-2:0:-1]:
            np.multiply(twice, b1, new)
            new -= b2
            new += c
            b1, b2, new = new, b1, b2
        b1 *= x
        b1 -= b2
        b1 += coefficients[0]
        return b1
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


# ---- Bessel functions of the first kind: series up to 8; beyond, √(2 / πx) (P cos χ - Q sin χ), χ = x - (n/2 + 1/4) π, where P and
# xQ are series of (8 / x)² (Abramowitz & Stegun 9.2.5), found by interpolation like those above ----
_J0_NEAR = (
    0.15772797147489012, -0.008723442352852221, 0.2651786132033368, -0.37009499387264977, 0.15806710233209725,
    -0.034893769411408884, 0.004819180069467605, -0.00046062616620627504, 3.246032882100508e-05,
    -1.7619469077621507e-06, 7.608163592418782e-08, -2.679253530557673e-09, 7.848696314479465e-11,
    -1.9438346867370164e-12, 4.125320595634374e-14, -7.588508125447546e-16,
)  # fmt: skip
_J1_NEAR = (
    0.08104484632565812, -0.1489751450676521, 0.1609992623572097, -0.08268049176681791, 0.022213639654966037,
    -0.003646940600769276, 0.0004050337728354822, -3.255554866857259e-05, 1.9858774049915165e-06,
    -9.521984756750436e-08, 3.687133759097148e-09, -1.178026622695885e-10, 3.160154580348003e-12,
    -7.221755239651773e-14, 1.4232144003513942e-15, -2.4441972916190464e-17,
)  # fmt: skip
_P0 = (
    0.9994603493475187, -0.0005365220468132117, 3.0751847875194745e-06, -5.1705945376060975e-08,
    1.6306464635151382e-09, -7.86409137723707e-11, 5.168262387349193e-12, -4.3045788699253914e-13,
    4.3265957431549404e-14, -5.069034095935236e-15, 6.748072215733873e-16, -1.0011513723467786e-16,
)  # fmt: skip
_Q0 = (
    -0.015555854605337009, 6.838519942611649e-05, -7.414498411060647e-07, 1.7972457247968992e-08,
    -7.27191593686632e-10, 4.2201219046687385e-11, -3.206747420996635e-12, 3.006145125351706e-13,
    -3.336328185322427e-14, 4.255225040245461e-15, -6.09993013164005e-16, 9.662128970303257e-17,
)  # fmt: skip
_P1 = (
    1.0009030408600137, 0.0008989898330859408, -3.987284300488908e-06, 6.177633960644299e-08,
    -1.8718907491063067e-09, 8.816898659582339e-11, -5.704863640395645e-12, 4.699195515230542e-13,
    -4.6842237839904895e-14, 5.452674896044717e-15, -7.221180842274018e-16, 1.0667689114335412e-16,
)  # fmt: skip
_Q1 = (
    0.04677778706953532, -9.62772354915708e-05, 9.138615257955454e-07, -2.0959781384083424e-08,
    8.229193327650554e-10, -4.686363688176945e-11, 3.5152187949686082e-12, -3.2643156743279e-13,
    3.5967765829165294e-14, -4.5612523950772974e-15, 6.508282957783384e-16, -1.0269147531823243e-16,
)  # fmt: skip


def _first_kind(
    x: Tensor, order: int, near: Sequence[float], p: Sequence[float], q: Sequence[float]
) -> Tensor:
    """J(x), of order 1 divided by x in the first place."""
    size = abs(x)
    low = size <= 8.0
    inside, outside = where(low, x, 0.0), where(low, 8.0, size)
    t = inside * inside * (2.0 / 64.0) - 1.0
    small = _series(t, near)
    if order:
        small = inside * small
    z = 8.0 / outside
    t = 2.0 * z * z - 1.0
    angle = outside - (0.5 * order + 0.25) * math.pi
    large = (_series(t, p) * cos(angle) - z * _series(t, q) * sin(angle)) * (0.5 * math.pi * outside) ** -0.5
    if order:
        large = where(x < 0.0, -large, large)
    return where(low, small, large)


@_widely
def bessel_j0(input: Tensor) -> Tensor:
    """J₀(x), the Bessel function of the first kind of order 0.

    >>> import gradgpu as gg
    >>> gg.special.bessel_j0(gg.tensor([0., 1.]))
    tensor([1.0000, 0.7652])
    """
    return _first_kind(_floats("bessel_j0", input), 0, _J0_NEAR, _P0, _Q0)


@_widely
def bessel_j1(input: Tensor) -> Tensor:
    """J₁(x), the Bessel function of the first kind of order 1.

    >>> import gradgpu as gg
    >>> gg.special.bessel_j1(gg.tensor([0., 1.]))
    tensor([0.0000, 0.4401])
    """
    return _first_kind(_floats("bessel_j1", input), 1, _J1_NEAR, _P1, _Q1)


# ---- the scaled error function: (1 + 2x) erfcx(x) as a series of (x - 3.75) / (x + 3.75) (Shepherd & Laframboise, "Chebyshev
# approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞", 1981) ----
_ERFCX = (
    1.1775789345674017, -0.004590054580646478, -0.08424913336651792, 0.05920993999819189, -0.026658668435305753,
    0.009074997670705265, -0.002413163540417608, 0.0004907758365258086, -6.916973302501207e-05,
    4.13902798607301e-06, 7.74038306619849e-07, -2.1886401049234397e-07, 1.076499946567091e-08,
    4.521959811218287e-09, -7.754400208831351e-10, -6.318088340886684e-11, 2.86879501093067e-11,
    1.9455868545777347e-13, -9.65469674843344e-13, 3.25254814814874e-14, 3.3478119482868056e-14,
    -1.864562880419313e-15, -1.2507950530688648e-15, 7.418235256624044e-17, 5.068148904796111e-17,
)  # fmt: skip


@_widely
def erfcx(input: Tensor) -> Tensor:
    """exp(x²) erfc(x), which neither vanishes nor overflows for x > 0.

    >>> import gradgpu as gg
    >>> gg.special.erfcx(gg.tensor([0., 10.]))
    tensor([1.0000, 0.0561])
    """
    return _scaled_erfc(_floats("erfcx", input))


def _scaled_erfc(x: Any) -> Any:
    positive = x >= 0.0
    size = where(positive, x, -x)
    scaled = _series(1.0 - 7.5 / (size + 3.75), _ERFCX) / (1.0 + 2.0 * size)
    below = where(positive, 0.0, x)
    return where(positive, scaled, 2.0 * exp(below * below) - scaled)


@_widely
def log_ndtr(input: Tensor) -> Tensor:
    """log Φ(x), of the standard normal distribution function, where that vanishes, too.

    >>> import gradgpu as gg
    >>> gg.special.log_ndtr(gg.tensor([0., -40.]))
    tensor([-6.9315e-01, -8.0461e+02])
    """
    x = _floats("log_ndtr", input)
    low = x < -1.0
    left, right = where(low, x, -1.0), where(low, 0.0, x)
    small = log(0.5 * _scaled_erfc(left * -math.sqrt(0.5))) - 0.5 * left * left
    return where(low, small, log1p(-0.5 * erfc(right * math.sqrt(0.5))))


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
    return _incomplete_gamma("igamma", input, other, False)


def _incomplete_gamma(name: str, input: Tensor, other: Tensor, upper: bool) -> Tensor:
    from ..distributions import draws
    from .shape import broadcast_tensors

    a, x = _floats(name, input), _floats(name, other)
    if a.dtype is not x.dtype:
        raise RuntimeError(f"{name}: expected both tensors of one dtype, got {a.dtype} and {x.dtype}")
    a, x = broadcast_tensors(a, x)
    good = (a > 0) & (x >= 0)
    made = draws.gammainc(where(good, a, 1.0), where(good, x, 1.0), upper)
    return where(good, made, where((a == 0) & (x > 0), 0.0 if upper else 1.0, math.nan))


@method
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """1 - `igamma`: the regularised upper incomplete gamma function, with its digits where it is small.

    >>> import gradgpu as gg
    >>> gg.igammac(gg.tensor([1.]), gg.tensor([2.]))
    tensor([0.1353])
    """
    return _incomplete_gamma("igammac", input, other, True)


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
