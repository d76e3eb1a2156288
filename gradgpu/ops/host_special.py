"""erf, erfc and log |Γ| of many numbers on the host: quotients of polynomials for a range each, block by block.

The ranges are those of Cody, "Rational Chebyshev approximations for the error function", 1969, and of fdlibm's `lgamma` (Sun
Microsystems, 1993). The coefficients interpolate at Chebyshev nodes, to a relative error below 1e-16, for float32 (`_SINGLE`)
below 1e-9; the arithmetic is that of float64 for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..philox import polynomial

__all__ = ["erf_of", "erfc_of", "lgamma_of"]

_CHUNK = 1 << 15  # numbers at a time: what is in between stays in the cache

# erf(x) / x - 1 of x² in [0, 1]
_ERF = (
    (-2.07802280765619e-05, -0.0004966403525373908, -0.008822336324816778, -0.048371274599796295, -0.3169891693395489,
     0.1283791670955126),
    (2.0866484101019162e-05, 0.0006937362332349159, 0.010705251871973175, 0.0938746087651241, 0.46064498648983654, 1.0),
)  # fmt: skip
# (1 + 2x) exp(x²) erfc(x) - 9/8 of x in [0, 4]: what is small, so that few of its roundings are left in the sum
_ERFC = (
    (1.653573529401409e-07, 3.1192073625985024e-05, 0.0006081020335284419, 0.005869937313427934, 0.03537566292154679,
     0.14427384865466844, 0.4067948933076401, 0.775182116641736, 0.909761466248228, 0.47900948403976806, -0.125),
    (4.89344252064207e-05, 0.0010605468753260132, 0.011056364328556768, 0.07226512715991351, 0.32558758111476654,
     1.0508957764329967, 2.4505324922372105, 4.062454169743386, 4.569168374419992, 3.1408907909177595, 1.0),
)  # fmt: skip
_ERFC_SINGLE = (
    (5.289610997631214e-05, 0.00935637549748195, 0.07771604609536176, 0.2967963194792117, 0.5922199900112373,
     0.5562767413227441, -0.12500000045744036),
    (0.015682384495725944, 0.14950184383474885, 0.6718845151939208, 1.7627224057836424, 2.7992426601878413,
     2.5227529984963635, 1.0),
)  # fmt: skip
# x exp(x²) erfc(x) of 1 / x² in [0, 1 / 16]
_ERFC_TAIL = (
    (17.678489644270066, 160.55561610317386, 205.01908426144377, 81.85299617671669, 12.041938335033644, 0.5641895835477562),
    (96.62756429059147, 415.78525300230837, 426.50530452725695, 155.25254826888155, 21.843779974296794, 1.0),
)  # fmt: skip
# log Γ(2 + y) / y of y in [-1/2, 1]
_LGAMMA = (
    (3.5015120332555835e-07, 0.0001572702384263331, 0.005398667070829362, 0.06236839008788551, 0.3237615985515839,
     0.8213194262463648, 0.9774688058735906, 0.42278433509846713),
    (4.0418625858531306e-05, 0.0021984860261740568, 0.0363613191550284, 0.2619806252908845, 0.9202972946916732, 1.5492574300249948, 1.0),
)  # fmt: skip
_LGAMMA_SINGLE = (
    (0.0024117266396955967, 0.0593053371984807, 0.3562232318662749, 0.7221137178624629, 0.4227843350989034),
    (0.0005946906378916544, 0.027940789244616442, 0.28089049560490553, 0.9452731598466009, 1.0),
)  # fmt: skip
# Stirling's series: B₂ₖ / 2k (2k - 1), the highest first
_STIRLING = (-3617 / 122400, 1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)


def _quotient(coefficients: tuple, z: Any) -> Any:
    y = polynomial(z, coefficients[0])
    y /= polynomial(z, coefficients[1])
    return y


def _by_chunks(function: Callable, x: Any) -> Any:
    """`function` of float64 numbers and of whether float32 is wanted, over x, in x's dtype."""
    made = np.empty(x.shape, x.dtype)
    flat, out = x.reshape(-1), made.reshape(-1)
    single = x.dtype.itemsize <= 4
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            out[part] = function(flat[part].astype(np.float64, copy=False), single)
    return made


def _fill(out: Any, where: Any, function: Callable, x: Any, *more: Any) -> None:
    """Writes `function` of those elements of x where the mask is set to the same places."""
    at = np.flatnonzero(where)
    if at.size:
        out[at] = function(x[at], *more)


# ---- the error functions ----
def _beyond_one(x: Any, _: bool = False) -> Any:
    """erf where |x| ≥ 1."""
    size = np.minimum(np.abs(x), 6.0)
    y = np.exp(-size * size)
    y *= _scaled(size, _ERFC)
    np.subtract(1.0, y, y)
    return np.copysign(y, x)


def _erf(x: Any, _: bool) -> Any:
    z = x * x
    far = ~(z <= 1.0)
    np.minimum(z, 1.0, out=z)
    y = _quotient(_ERF, z)
    y *= x
    y += x
    _fill(y, far, _beyond_one, x)
    return y


def _scaled(x: Any, coefficients: tuple) -> Any:
    """exp(x²) erfc(x) of x in [0, 4]."""
    y = _quotient(coefficients, x)
    y += 1.125
    y /= x + x + 1.0
    return y


def _tail(x: Any) -> Any:
    """exp(x²) erfc(x) where x > 4."""
    return _quotient(_ERFC_TAIL, 1.0 / (x * x)) / x


def _erfc(x: Any, single: bool) -> Any:
    size = np.minimum(np.abs(x), 28.0)
    y = _scaled(np.minimum(size, 4.0), _ERFC_SINGLE if single else _ERFC)
    _fill(y, size > 4.0, _tail, size)
    if single:
        square = size * size  # exact
    else:
        # exp(-x²) with the part of x² that a float64 has no place for: the square of x's upper 26 bits is exact.
        upper = (size.view(np.int64) & -(1 << 27)).view(np.float64)
        square = upper * upper
        rest = size + upper
        size -= upper
        rest *= size
        rest *= rest * (0.5 - rest * (1 / 6)) - 1.0
        rest *= y
        y += rest
    y *= np.exp(np.negative(square, square), square)
    side = np.copysign(1.0, x)  # y, or 2 - y where x is negative
    y *= side
    np.subtract(1.0, side, side)
    y += side
    return y


def erf_of(x: Any) -> Any:
    """The error function of float64 numbers.

    >>> erf_of(np.array([0.0, 0.5, -3.0])).round(6).tolist()
    [0.0, 0.5205, -0.999978]
    """
    return _by_chunks(_erf, x)


def erfc_of(x: Any) -> Any:
    """1 - erf(x), in x's dtype.

    >>> erfc_of(np.array([0.0, 2.0, -1.0])).round(6).tolist()
    [1.0, 0.004678, 1.842701]
    """
    return _by_chunks(_erfc, x)


# ---- log |Γ| ----
def _below_three(x: Any, coefficients: tuple) -> Any:
    low, middle = x < 0.5, x < 1.5
    y = x - np.where(low, 0.0, np.where(middle, 1.0, 2.0))  # exact; Γ(x) is Γ(2 + y) over w
    w = np.where(middle, x, 1.0)
    at = np.flatnonzero(low)
    if at.size:
        w[at] *= 1.0 + x[at]
    made = _quotient(coefficients, y)
    made *= y
    made -= np.log(w, w)
    return made


def _below_eight(x: Any, coefficients: tuple) -> Any:
    whole = np.floor(x)
    y = x - whole
    made = _quotient(coefficients, y)
    made *= y
    # Γ(x) = Γ(2 + y) (x - 1) (x - 2) … (2 + y): here each factor, or 1, over 2
    w = np.full_like(x, 1 / 32)
    for k in range(1, 6):
        w *= np.maximum(x - k, 2.0)
    made += np.log(w, w)
    whole -= 2.0
    whole *= math.log(2.0)
    made += whole
    return made


def _from_eight(x: Any) -> Any:
    over = 1.0 / x
    series = polynomial(over * over, _STIRLING)
    series *= over
    series += 0.5 * math.log(2 * math.pi) - 0.5
    made = np.log(x)
    made -= 1.0
    made *= x - 0.5
    made += series
    return made


def _positive(x: Any, single: bool) -> Any:
    coefficients = _LGAMMA_SINGLE if single else _LGAMMA
    made = np.empty_like(x)
    low, high = x < 3.0, ~(x < 8.0)
    _fill(made, low, _below_three, x, coefficients)
    _fill(made, ~(low | high), _below_eight, x, coefficients)
    _fill(made, high, _from_eight, x)
    return made


def _negative(x: Any, single: bool) -> Any:
    """By reflection: Γ(-a) Γ(a) = -π / (a sin πa)."""
    a = -x
    fraction = np.where(a < 2.0**52, a - np.rint(a), 0.0)
    sine = np.abs(np.sin(fraction * math.pi))
    made = -(np.log(sine / math.pi) + np.log(a) + _positive(a, single))
    made[fraction == 0.0] = math.inf
    return made


def _lgamma(x: Any, single: bool) -> Any:
    below = x < 0.0
    if not below.any():
        return _positive(x, single)
    made = _positive(np.abs(x), single)
    _fill(made, below, _negative, x, single)
    return made


def lgamma_of(x: Any) -> Any:
    """log |Γ(x)|, in x's dtype; infinity at 0 and the negative integers.

    >>> lgamma_of(np.array([0.5, 1.0, 5.0, -0.5])).round(6).tolist()
    [0.572365, 0.0, 3.178054, 1.265512]
    """
    return _by_chunks(_lgamma, x)
