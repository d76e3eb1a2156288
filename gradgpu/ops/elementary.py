"""Elementary functions made of others: each is a formula of ops that stand in pointwise.py, with their gradients.

Only `hypot` and `erfinv` are operations of their own, because a formula would overflow or does not exist.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..tensor import Tensor
from .doors import binary_door, unary_door
from .inplace import inplace
from .normal_quantile import erfinv_of
from .pointwise import abs, exp, isinf, isnan, log, logaddexp, maximum, minimum, pow, sign, sin, trunc, where
from .pointwise_op import Pointwise
from .reduce import require_tensor
from .registry import method

_F: dict[str, Any] = {"result": "float", "half": "float32"}


erfinv = unary_door(
    Pointwise(
        "erfinv",
        "erfinv(x)",
        erfinv_of,
        lambda g, y: g * exp(y * y) * (math.sqrt(math.pi) / 2),
        parameters="x",
        **_F,
    )
)
hypot = binary_door(
    Pointwise(
        "hypot",
        "hypot(a, b)",
        np.hypot,
        {"a": lambda g, a, y: g * (a / y), "b": lambda g, b, y: g * (b / y)},
        parameters="a, b",
        **_F,
    )
)


def _float_type(*operands: Any) -> dt.dtype:
    """The dtype of a function of these operands whose results are not whole."""
    d = dt.result_type(*operands)
    return d if d.category >= dt.FLOAT else dt.get_default_dtype()


def copysign(input: Any, other: Any) -> Any:
    """The magnitude of `input` with the sign of `other`.

    >>> import gradgpu as gg
    >>> gg.copysign(gg.tensor([1., -2.]), gg.tensor([-3., 4.]))
    tensor([-1.,  2.])
    """
    require_tensor("copysign", input)
    d = _float_type(input, other)
    if d.is_complex:
        raise NotImplementedError(f"copysign: not implemented for {d}")
    size = abs(input.to(d))
    negative = signbit(other) if isinstance(other, Tensor) else math.copysign(1, other) < 0
    return where(negative, -size, size) if isinstance(negative, Tensor) else -size if negative else size * 1


def signbit(input: Any) -> Any:
    """Whether the sign is set: of negative numbers, and of -0.

    >>> import gradgpu as gg
    >>> gg.signbit(gg.tensor([-1., 0., -0.]))
    tensor([ True, False,  True])
    """
    if not input.dtype.is_floating_point:
        return input < 0
    x = input.detach()
    return (x < 0) | ((x == 0) & (1.0 / x < 0))


def deg2rad(input: Any) -> Any:
    """Degrees as radians."""
    return input * (math.pi / 180)


def rad2deg(input: Any) -> Any:
    """Radians as degrees."""
    return input * (180 / math.pi)


def sinc(input: Any) -> Any:
    """sin(πx) / πx, 1 at 0.

    >>> import gradgpu as gg
    >>> gg.sinc(gg.tensor([0., 1.5]))
    tensor([ 1.0000, -0.2122])
    """
    zero = input == 0
    x = where(zero, 1.0, input.to(dt.get_default_dtype()) if input.dtype.category < dt.FLOAT else input)
    x = x * math.pi
    return where(zero, 1.0, sin(x) / x)


def xlogy(input: Any, other: Any) -> Any:
    """x · log(y), 0 where x is 0 (and y not NaN).

    >>> import gradgpu as gg
    >>> gg.xlogy(gg.tensor([0., 2.]), gg.tensor([0., 1.]))
    tensor([0., 0.])
    """
    like = input if isinstance(input, Tensor) else other
    require_tensor("xlogy", like)
    d = _float_type(input, other)
    y = other.to(d) if isinstance(other, Tensor) else like.new_tensor(other, dtype=d)
    input = input.to(d) if isinstance(input, Tensor) else input
    zero = (
        (input == 0) & ~isnan(y)
        if isinstance(input, Tensor)
        else ~isnan(y)
        if input == 0
        else isnan(y) & ~isnan(y)
    )
    return where(zero, 0.0, input * log(where(zero, 1.0, y)))


def logaddexp2(input: Any, other: Any) -> Any:
    """log2(2ˣ + 2ʸ), without overflow."""
    return logaddexp(input * math.log(2), other * math.log(2)) / math.log(2)


def heaviside(input: Any, values: Any) -> Any:
    """0 where `input` is negative, `values` where it is 0, 1 where it is positive; carries no gradient.

    >>> import gradgpu as gg
    >>> gg.heaviside(gg.tensor([-1., 0., 2.]), gg.tensor(0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """
    for t in (input, values):
        require_tensor("heaviside", t)
    if input.dtype is not values.dtype:
        raise RuntimeError(
            f"heaviside is not yet implemented for tensors with different dtypes: {input.dtype} and {values.dtype}"
        )
    x = input.detach()
    return where(x == 0, values.detach(), (x > 0).to(x.dtype))


def fmax(input: Any, other: Any) -> Any:
    """The greater of both, or the one that is not NaN."""
    return where(isnan(input), other, where(isnan(other), input, maximum(input, other)))


def fmin(input: Any, other: Any) -> Any:
    """The smaller of both, or the one that is not NaN."""
    return where(isnan(input), other, where(isnan(other), input, minimum(input, other)))


def float_power(input: Any, exponent: Any) -> Any:
    """`input` to the power of `exponent`, in float64 (complex128 if either is complex)."""
    d = dt.complex128 if dt.result_type(input, exponent).is_complex else dt.float64
    number = complex if d.is_complex else float
    return pow(*[t.to(d) if isinstance(t, Tensor) else number(t) for t in (input, exponent)])


def ldexp(input: Any, other: Any) -> Any:
    """`input` · 2^`other`."""
    require_tensor("ldexp", input)
    d = _float_type(input, other)
    exponent = other.to(d) if isinstance(other, Tensor) else input.new_tensor(other, dtype=d)
    return input.to(d) * pow(2.0, exponent)


def positive(input: Any) -> Any:
    """`input` itself; a bool tensor raises RuntimeError."""
    if input.dtype is dt.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def isposinf(input: Any) -> Any:
    """Where the elements are +infinity."""
    return isinf(input) & (input > 0)


def isneginf(input: Any) -> Any:
    """Where the elements are -infinity."""
    return isinf(input) & (input < 0)


def isreal(input: Any) -> Any:
    """Where the imaginary part is zero: everywhere in a tensor that is not complex."""
    if input.dtype.is_complex:
        return input.imag == 0
    return input == input if not input.dtype.is_floating_point else (input == input) | (input != input)


def fix(input: Any) -> Any:
    """`trunc`: towards zero."""
    return trunc(input)


def sgn(input: Any) -> Any:
    """`sign` of real numbers; z / |z| of complex ones (0 of 0)."""
    if input.dtype.is_complex:
        from .complex import sgn_op

        return sgn_op(input)
    return sign(input)


def rsub(input: Any, other: Any, alpha: float = 1) -> Any:
    """`other - alpha · input`."""
    return other - (input if alpha == 1 else input * alpha)


_IN_PLACE = ("copysign deg2rad rad2deg sinc xlogy heaviside float_power fix sgn erfinv hypot ldexp").split()


def _install() -> None:
    for name in __all__:
        method(globals()[name])
    for name in _IN_PLACE:
        setattr(Tensor, name + "_", _in_place(name, globals()[name]))


def _in_place(name: str, function: Any) -> Any:
    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        return inplace(name + "_", self, function(self, *args, **kwargs))

    changed.__name__ = changed.__qualname__ = name + "_"
    changed.__doc__ = f"In-place `{name}`: changes this tensor and returns it."
    return changed


def _document() -> None:
    example = "\n\n    >>> import gradgpu as gg\n    >>> gg.{}.shape\n    gradgpu.Size([2])\n    "
    erfinv.__doc__ = (
        "The inverse of the error function on (-1, 1), elementwise; ±infinity at ±1, NaN beyond."
        + example.format("erfinv(gg.tensor([0., 0.5]))")
    )
    hypot.__doc__ = "√(a² + b²) without overflow, elementwise with broadcasting." + example.format(
        "hypot(gg.tensor([3., 5.]), gg.tensor([4., 12.]))"
    )


__all__ = [
    "copysign", "deg2rad", "erfinv", "fix", "float_power", "fmax", "fmin", "heaviside", "hypot", "isneginf", "isposinf", "isreal",
    "ldexp", "logaddexp2", "positive", "rad2deg", "rsub", "sgn", "signbit", "sinc", "xlogy",
]  # fmt: skip

_document()
_install()
