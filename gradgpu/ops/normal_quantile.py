"""The quantile function of the normal distribution for arrays on the host, which `erfinv` and `init.trunc_normal_` are made of.

Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", 1988: quotients of polynomials in each of three
ranges, to about 16 digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["erfinv_of", "quantile_of"]

_MIDDLE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip
_CHUNK = 1 << 15  # elements at a time: what is in between stays in the cache


def _quotient(coefficients: Any, r: Any) -> Any:
    over, under = coefficients
    num, den = r * over[0], r * under[0]
    for a, b in zip(over[1:-1], under[1:-1]):
        num += a
        num *= r
        den += b
        den *= r
    num += over[-1]
    den += under[-1]
    num /= den
    return num


def _quantile(q: Any, tail: Any) -> Any:
    """The quantile at 1/2 + q, where `tail` is the smaller of the probabilities on its two sides."""
    y = _quotient(_MIDDLE, 0.180625 - q * q)
    y *= q
    outside = np.flatnonzero(~(np.abs(q) <= 0.425))
    if outside.size:
        r = np.sqrt(-np.log(tail[outside]))
        found = _quotient(_TAIL, r - 1.6)
        far = np.flatnonzero(r > 5)
        if far.size:
            found[far] = _quotient(_FAR_TAIL, r[far] - 5)
            found[np.isposinf(r)] = np.inf
        y[outside] = np.copysign(found, q[outside])
    return y


def _by_chunks(function: Any, x: Any, dtype: Any) -> Any:
    made = np.empty(x.shape, dtype)
    flat, out = x.reshape(-1), made.reshape(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, flat.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            out[part] = function(flat[part].astype(np.float64))
    return made


def erfinv_of(x: Any) -> Any:
    """The inverse of the error function, in x's dtype; ±infinity at ±1 and NaN beyond."""
    x = np.asarray(x)
    # erfinv(x) is the quantile at (1 + x) / 2 over √2; halves are exact, so no digits are lost near 0 and ±1.
    return _by_chunks(
        lambda part: _quantile(part * 0.5, (1.0 - np.abs(part)) * 0.5) * 0.5**0.5,
        x,
        x.dtype,
    )


def quantile_of(p: Any) -> Any:
    """The quantiles of N(0, 1) at the probabilities p, in float64; ±infinity at 0 and 1.

    >>> quantile_of(np.array([0.5, 0.975])).round(6).tolist()
    [0.0, 1.959964]
    """
    return _by_chunks(
        lambda part: _quantile(part - 0.5, np.minimum(part, 1.0 - part)), np.asarray(p), np.float64
    )
