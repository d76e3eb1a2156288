"""The table of pointwise operations. One entry is one operation: numpy code, C++ expression, gradient rules.

A rule is a function of `g` (the gradient of the output) and of whatever it asks for by name: inputs,
the output `y`, attributes (keyword-only). It uses operators and the functions of this file, so it
runs on numpy arrays, on Tensors (for higher derivatives) and on `Expr`s, where it writes the body
of the fused backward kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..copies import BITS
from ..scalars import INFINITY, ONE, ZERO
from ..tensor import Tensor
from . import smooth as _smooth
from .choice import chosen, kept
from .doors import binary_door, inplace_door, unary_door
from .expr import Expr
from .inplace import check_overlap, inplace
from .pointwise_op import Pointwise
from .registry import older_form, refuse_others

_PI = math.pi
_LOG2, _LOG10 = math.log(2.0), math.log(10.0)


def unary(name: str, cuda: str, cpu: Any, grad: Any = None, **more: Any) -> Any:
    return unary_door(Pointwise(name, cuda, cpu, grad, parameters="x", **more))


def binary(
    name: str, cuda: str, cpu: Any, a: Any = None, b: Any = None, kind: Any = Pointwise, **more: Any
) -> Any:
    grad = {k: v for k, v in (("a", a), ("b", b)) if v is not None}
    return binary_door(kind(name, cuda, cpu, grad or None, parameters="a, b", **more))


# ---- zeros in gradients: 0 · ∞ would be NaN ----
def _flat(g: Any) -> Any:
    """The gradient of what is constant around almost every point: zeros."""
    if type(g) is np.ndarray:
        return np.zeros(g.shape, g.dtype)
    if type(g) is Expr:
        return Expr("C(0)")
    if isinstance(g, Tensor):
        return g.new_zeros(g.shape)
    return type(g)(0)


def only(g: Any, mask: Any) -> Any:
    """`g` where `mask` holds, zero elsewhere."""
    if type(g) is np.ndarray:
        return kept(g, mask)
    if isinstance(g, np.generic):
        return g if mask else type(g)(0)
    return where_op(mask, g, 0.0)


# ---- comparison, logic, bits ----
eq = binary("eq", "a == b", np.equal, result="bool")
ne = binary("ne", "a != b", np.not_equal, result="bool")
lt = binary("lt", "a < b", np.less, result="bool")
le = binary("le", "a <= b", np.less_equal, result="bool")
gt = binary("gt", "a > b", np.greater, result="bool")
ge = binary("ge", "a >= b", np.greater_equal, result="bool")
logical_and = binary("logical_and", "(a != C(0)) && (b != C(0))", np.logical_and, result="bool")
logical_or = binary("logical_or", "(a != C(0)) || (b != C(0))", np.logical_or, result="bool")
logical_xor = binary("logical_xor", "(a != C(0)) != (b != C(0))", np.logical_xor, result="bool")
logical_not = unary("logical_not", "x == C(0)", np.logical_not, result="bool")
isnan = unary("isnan", "x != x", np.isnan, result="bool", cuda_int="false")
isinf = unary("isinf", "fabs(x) == infinity<C>()", np.isinf, result="bool", cuda_int="false")
isfinite = unary("isfinite", "fabs(x) < infinity<C>()", np.isfinite, result="bool", cuda_int="true")
bitwise_and = binary("bitwise_and", "a & b", np.bitwise_and, inputs="integer")
bitwise_or = binary("bitwise_or", "a | b", np.bitwise_or, inputs="integer")
bitwise_xor = binary("bitwise_xor", "a ^ b", np.bitwise_xor, inputs="integer")
bitwise_not = unary("bitwise_not", "bitwise_not(x)", np.invert, inputs="integer")
bitwise_left_shift = binary("bitwise_left_shift", "a << b", np.left_shift, inputs="integer")
bitwise_right_shift = binary("bitwise_right_shift", "a >> b", np.right_shift, inputs="integer")

# ---- choice ----
where_op = Pointwise(
    "where",
    "cond ? a : b",
    np.where,
    {"a": lambda g, cond: where_op(cond, g, 0.0), "b": lambda g, cond: where_op(cond, 0.0, g)},
    conditions=("cond",),
    parameters="cond, a, b",
)


def _where_cpu(cond: Any, a: Any, b: Any) -> Any:
    # np.where would make float64 of a Python number beside a float32 array's scalar.
    d = next((v.dtype for v in (a, b) if isinstance(v, (np.ndarray, np.generic))), None)
    return np.where(cond, a, b) if d is None else chosen(cond, a, b, d)


where_op.cpu = where_op.ufunc = _where_cpu


# ---- arithmetic ----
class _Difference(Pointwise):
    """`-`, which PyTorch refuses to bool tensors."""

    def _operands(self, inputs: Any) -> list:
        bools = [
            x
            for x in inputs
            if isinstance(x, (bool, np.bool)) or isinstance(x, Tensor) and x.dtype is dt.bool
        ]
        if len(bools) == 2:
            raise RuntimeError(
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
                "operator instead."
            )
        if bools:
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use "
                "the `~` or `logical_not()` operator instead."
            )
        return super()._operands(inputs)


class _Negation(Pointwise):
    """Unary `-`; see `_Difference`."""

    def _accept(self, d: dt.dtype) -> None:
        if d is dt.bool:
            raise RuntimeError(
                "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the "
                "`~` or `logical_not()` operator instead."
            )


neg = unary_door(_Negation("neg", "-x", np.negative, lambda g: -g, parameters="x", inputs="number"))
add = binary("add", "a + b", np.add, lambda g: g, lambda g: g)
sub = binary("sub", "a - b", np.subtract, lambda g: g, lambda g: -g, kind=_Difference, inputs="number")
mul = binary(
    "mul",
    "a * b",
    np.multiply,
    lambda g, b: g * b,
    lambda g, a: g * a,
    overwrite=lambda g, b: np.multiply(g, b, g),
)


def _by_quotient(a: Any, b: Any) -> Any:
    """a, b and ⌊a / b⌋ in float64 for many float32 numbers, whose quotients are then on the right side of every integer;
    None where one may not be (2²² and more, by zero, NaN) or numpy's own functions, which treat one number at a time, are
    quicker."""
    if (
        type(a) is not np.ndarray
        or a.size <= 1024
        or a.dtype != np.float32
        or getattr(b, "dtype", a.dtype) != a.dtype
    ):
        return None
    wide, by = a.astype(np.float64), np.asarray(b, np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        quotient = np.floor(np.divide(wide, by))
    return (wide, by, quotient) if quotient.size and np.abs(quotient).max() < 2.0**22 else None


def _floor_divide_cpu(a: Any, b: Any) -> Any:
    found = _by_quotient(a, b)
    return np.floor_divide(a, b) if found is None else found[2].astype(np.float32)


def _remainder_cpu(a: Any, b: Any) -> Any:
    found = _by_quotient(a, b)
    if found is None:
        return np.remainder(a, b)
    wide, by, quotient = found
    np.multiply(quotient, by, quotient)
    return np.subtract(wide, quotient, quotient).astype(np.float32)


div = binary("div", "a / b", np.divide, lambda g, b: g / b, lambda g, a, b: -g * (a / b) / b, result="float")
floor_divide = binary("floor_divide", "floor_div(a, b)", _floor_divide_cpu, _flat, _flat, inputs="number")
remainder = binary(
    "remainder",
    "floor_mod(a, b)",
    _remainder_cpu,
    lambda g: g,
    lambda g, a, b: -g * floor(a / b),
    inputs="number",
)
fmod = binary(
    "fmod",
    "fmod(a, b)",
    np.fmod,
    lambda g: g,
    lambda g, a, b: -g * trunc(a / b),
    cuda_int="int_mod(a, b)",
    inputs="number",
)


def _refusing_zero(ufunc: Any) -> Any:
    """The numpy code for integers: on the CPU a divisor of zero raises, as in PyTorch (a GPU gives some number)."""

    def divide(a: Any, b: Any) -> Any:
        d = getattr(b, "dtype", None)
        zero = type(b) is int and b == 0 if d is None else d.kind in "iu" and not np.all(b)
        if zero:
            raise RuntimeError("ZeroDivisionError")
        return ufunc(a, b)

    return divide


for _door in (floor_divide, remainder, fmod):
    _door.op.cpu = _refusing_zero(_door.op.cpu)


def _log(a: Any) -> Any:
    """log of an input that may be a Python number."""
    if type(a) in (int, float, bool):
        return math.log(a) if a > 0 else -math.inf if a == 0 else math.nan
    return log(a)


def _pow_cpu(a: Any, b: Any) -> Any:
    # Small whole powers are products, many times faster than the power of floats.
    if type(b) is float or type(b) is int:
        if b == 2:
            return a * a
        if b == 3:
            return a * a * a
        if b == 4:
            square = a * a
            return square * square
    return np.power(a, b)


def _pow_grad(g: Any, a: Any, b: Any) -> Any:
    if type(b) is float:
        return g * (a * 2.0) if b == 2 else g * (b * pow_op(a, b - 1.0)) if b else _flat(g)
    return where_op(b == 0.0, 0.0, g * (b * pow_op(a, b - 1.0)))


pow_op = Pointwise(
    "pow",
    "pow(a, b)",
    _pow_cpu,
    {
        "a": _pow_grad,
        "b": lambda g, a, b, y: where_op((a == 0.0) & (b >= 0.0), 0.0, g * (y * _log(a))),
    },
    cuda_int="int_pow(a, b)",
    inputs="number",
    half="float32",
)
maximum = binary(
    "maximum",
    "Max::apply(a, b)",
    np.maximum,
    lambda g, a, b: where_op(a < b, 0.0, where_op(a == b, g * 0.5, g)),
    lambda g, a, b: where_op(a > b, 0.0, where_op(a == b, g * 0.5, g)),
)
minimum = binary(
    "minimum",
    "Min::apply(a, b)",
    np.minimum,
    lambda g, a, b: where_op(a > b, 0.0, where_op(a == b, g * 0.5, g)),
    lambda g, a, b: where_op(a < b, 0.0, where_op(a == b, g * 0.5, g)),
)
# The halves of `clamp` with tensors for its limits: at a limit the gradient is the input's.
at_least = binary(
    "at_least",
    "Max::apply(a, b)",
    np.maximum,
    lambda g, a, b: only(g, a >= b),
    lambda g, a, b: only(g, a < b),
)
at_most = binary(
    "at_most",
    "Min::apply(a, b)",
    np.minimum,
    lambda g, a, b: only(g, a <= b),
    lambda g, a, b: only(g, a > b),
)
atan2 = binary(
    "atan2",
    "atan2(a, b)",
    np.arctan2,
    lambda g, a, b: g * b / (a * a + b * b),
    lambda g, a, b: -g * a / (a * a + b * b),
    result="float",
    half="float32",
)
abs = unary("abs", "fabs(x)", np.abs, lambda g, x: g * sign(x), cuda_int="x < C(0) ? -x : x", inputs="number")


def _sign_cpu(x: Any) -> Any:
    if x.dtype.kind not in "fV":
        return np.sign(x)
    # The sign of NaN is 0.
    return np.subtract(x > 0, x < 0, dtype=np.int8).astype(x.dtype)


sign = unary(
    "sign",
    "C((x > C(0)) - (x < C(0)))",
    _sign_cpu,
    _flat,
    cuda_int="C((x > C(0)) - (x < C(0)))",
    inputs="number",
)
reciprocal = unary(
    "reciprocal", "1 / x", lambda x: 1 / x, lambda g, y: -g * y * y, result="float", half="float32"
)
square = unary("square", "x * x", np.square, lambda g, x: g * (x * 2.0), inputs="number")
lerp_op = Pointwise(
    "lerp",
    "a + w * (b - a)",
    lambda a, b, w: a + w * (b - a),
    {"a": lambda g, w: g * (1.0 - w), "b": lambda g, w: g * w, "w": lambda g, a, b: g * (b - a)},
    inputs="float",
)


# ---- rounding: flat almost everywhere ----
def _rounding(ufunc: Any) -> Any:
    """`ufunc`, but integers stay what they are: of them rint makes floats, and before numpy 2.1 all do."""
    if ufunc(np.int8(0)).dtype == np.int8:
        return ufunc
    return lambda x: np.positive(x) if x.dtype.kind in "iu" else ufunc(x)


floor = unary("floor", "floor(x)", _rounding(np.floor), _flat, cuda_int="x")
ceil = unary("ceil", "ceil(x)", _rounding(np.ceil), _flat, cuda_int="x")
trunc = unary("trunc", "trunc(x)", _rounding(np.trunc), _flat, cuda_int="x")
frac = unary("frac", "x - trunc(x)", lambda x: x - np.trunc(x), lambda g: g, inputs="float")
_round = unary("round", "rint(x)", _rounding(np.rint), _flat, cuda_int="x", inputs="number")

# ---- exponentials, logarithms, roots ----
_F = {"result": "float", "half": "float32"}
exp = unary("exp", "exp(x)", np.exp, lambda g, y: g * y, **_F)
exp2 = unary("exp2", "exp2(x)", np.exp2, lambda g, y: g * y * _LOG2, **_F)
expm1 = unary("expm1", "expm1(x)", _smooth.expm1, lambda g, y: g * (y + 1.0), **_F)
log = unary("log", "log(x)", np.log, lambda g, x: g / x, **_F)
log2 = unary("log2", "log2(x)", np.log2, lambda g, x: g / (x * _LOG2), **_F)
log10 = unary("log10", "log10(x)", np.log10, lambda g, x: g / (x * _LOG10), **_F)
log1p = unary("log1p", "log1p(x)", _smooth.log1p, lambda g, x: g / (x + 1.0), **_F)
sqrt = unary("sqrt", "sqrt(x)", np.sqrt, lambda g, y: g / (y * 2.0), **_F)
rsqrt = unary("rsqrt", "rsqrt(x)", lambda x: 1 / np.sqrt(x), lambda g, y: g * (y * y * y * -0.5), **_F)


def _logaddexp_cpu(a: Any, b: Any) -> Any:
    if type(a) is np.ndarray and a.size > 1024 and a.dtype == np.float32:
        with np.errstate(invalid="ignore"):
            made = np.maximum(a, b) + _smooth.log1p_exp(np.subtract(a, b))
        if np.isfinite(made).all():
            return made.astype(np.float32, copy=False)
    return np.logaddexp(a, b)


logaddexp = binary(
    "logaddexp",
    "isinf_equal(a, b) ? a : Max::apply(a, b) + log1p(exp(-fabs(a - b)))",
    _logaddexp_cpu,
    lambda g, a, y: g * exp(a - y),
    lambda g, b, y: g * exp(b - y),
    inputs="float",
    half="float32",
)

# ---- trigonometric and hyperbolic ----
sin = unary("sin", "sin(x)", np.sin, lambda g, x: g * cos(x), **_F)
cos = unary("cos", "cos(x)", np.cos, lambda g, x: -g * sin(x), **_F)
tan = unary("tan", "tan(x)", np.tan, lambda g, y: g * (y * y + 1.0), **_F)
asin = unary("asin", "asin(x)", np.arcsin, lambda g, x: g * rsqrt(1.0 - x * x), **_F)
acos = unary("acos", "acos(x)", np.arccos, lambda g, x: -g * rsqrt(1.0 - x * x), **_F)
atan = unary("atan", "atan(x)", np.arctan, lambda g, x: g / (x * x + 1.0), **_F)
sinh = unary("sinh", "sinh(x)", np.sinh, lambda g, x: g * cosh(x), **_F)
cosh = unary("cosh", "cosh(x)", np.cosh, lambda g, x: g * sinh(x), **_F)


def _tanh_grad(g: Any, y: Any) -> Any:
    if type(g) is not np.ndarray or not g.ndim:
        return g * (1.0 - y * y)
    h = np.multiply(y, y)
    np.subtract(ONE[g.dtype], h, h)
    return np.multiply(g, h, h)


tanh = unary("tanh", "tanh(x)", np.tanh, _tanh_grad, **_F)
asinh = unary("asinh", "asinh(x)", np.arcsinh, lambda g, x: g * rsqrt(x * x + 1.0), **_F)
acosh = unary("acosh", "acosh(x)", np.arccosh, lambda g, x: g * rsqrt(x * x - 1.0), **_F)
atanh = unary("atanh", "atanh(x)", np.arctanh, lambda g, x: g / (1.0 - x * x), **_F)

# ---- error function ----
# Rational approximation x * P(x²) / Q(x²) on [-4, 4], within 8 units in the last place of float32; the coefficients are those of
# Eigen's and XLA's `erf` for float.
_ERF_P = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
          -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
_ERF_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_FEW = 128  # numbers up to which Python's functions one by one take less than a formula
_MANY = 768  # numbers from which on host_special takes less than Python's functions one by one
_erf64 = np.frompyfunc(math.erf, 1, 1)
_erfc64 = np.frompyfunc(math.erfc, 1, 1)


def erf_cpu(x: Any) -> Any:
    if x.size <= _FEW:
        return np.asarray(_erf64(x)).astype(x.dtype)
    if x.dtype != np.float32:
        if x.size >= _MANY:
            from .host_special import erf_of

            return erf_of(x)
        return np.asarray(_erf64(x)).astype(x.dtype)
    x = np.minimum(np.maximum(x, np.float32(-4)), np.float32(4))
    x2 = x * x
    p = np.float32(_ERF_P[0])
    for c in _ERF_P[1:]:
        p = p * x2 + np.float32(c)
    q = np.float32(_ERF_Q[0])
    for c in _ERF_Q[1:]:
        q = q * x2 + np.float32(c)
    y = x * p / q
    # Rounding must not lead out of [-1, 1]: probabilities are made of it.
    low, high = np.float32(-1), np.float32(1)
    return y.clip(low, high, y) if isinstance(y, np.ndarray) else min(max(y, low), high)


def _erfc_cpu(x: Any) -> Any:
    if x.size >= _MANY:
        from .host_special import erfc_of

        return erfc_of(x)
    return np.asarray(_erfc64(x)).astype(x.dtype)


_2_SQRT_PI = 2.0 / math.sqrt(_PI)
erf = unary("erf", "erf(x)", erf_cpu, lambda g, x: g * exp(-x * x) * _2_SQRT_PI, **_F)
erfc = unary(
    "erfc",
    "erfc(x)",
    _erfc_cpu,
    lambda g, x: g * exp(-x * x) * -_2_SQRT_PI,
    **_F,
)


# ---- activations that are methods, too; the others: activations.py ----
def sigmoid_cpu(x: Any) -> Any:
    # exp(-x) overflows harmlessly: the result is then 0.
    y = np.negative(x)
    if not isinstance(y, np.ndarray):
        return 1 / (1 + np.exp(y))
    np.exp(y, y)
    np.add(y, ONE[x.dtype], y)
    return np.reciprocal(y, y)


def _sigmoid_grad(g: Any, y: Any) -> Any:
    if type(g) is not np.ndarray or not g.ndim:
        return g * (1.0 - y) * y
    h = np.subtract(ONE[g.dtype], y)
    np.multiply(h, g, h)
    return np.multiply(h, y, h)


sigmoid = unary("sigmoid", "1 / (1 + exp(-x))", sigmoid_cpu, _sigmoid_grad, **_F)


def _relu_cpu(x: Any) -> Any:
    # clip costs more to call and a third as much an element.
    d = x.dtype
    if x.size > 2048 and d.kind == "f":
        return x.clip(ZERO[d], INFINITY[d])
    return np.maximum(x, ZERO[d])


def _relu_grad(g: Any, y: Any) -> Any:
    if type(g) is np.ndarray and g.itemsize > 2:
        d = g.dtype
        if g.size > 512:
            bits, mask = BITS[d.itemsize], np.not_equal(y, ZERO[d])
            if g.size > 8192:
                return np.multiply(g.view(bits), mask).view(d)
            h = mask.astype(bits)  # a product that converts as it goes is slow to set up
            return np.multiply(h, g.view(bits), h).view(d)
        return np.where(y, g, ZERO[d])
    return only(g, y != 0.0)  # y is not negative; where it is NaN the gradient passes, as in PyTorch


def _relu_overwrite(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    bits = g.view(BITS[g.dtype.itemsize])
    np.multiply(bits, y != 0.0, bits)
    return g


relu = unary("relu", "x < C(0) ? C(0) : x", _relu_cpu, _relu_grad, inputs="number", overwrite=_relu_overwrite)
relu.op.zero_second = True


clamp_op = Pointwise(
    "clamp",
    "Min::apply(Max::apply(x, C(low)), C(high))",
    lambda x, *, low, high: x.clip(x.dtype.type(low), x.dtype.type(high)),
    lambda g, x, *, low, high: only(g, (x >= low) & (x <= high)),
    inputs="number",
)


# ---- public functions with arguments ----
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` (bool) holds, else `other`; broadcast together.

    With `condition` alone: the indices of its true elements, as `nonzero(as_tuple=True)`.

    >>> import gradgpu as gg
    >>> gg.where(gg.tensor([True, False]), gg.tensor([1., 2.]), 0.)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    arrays = (Tensor, np.ndarray, Expr)  # the last two in gradient rules
    if not isinstance(input, arrays) and not isinstance(other, arrays) and type(condition) is not Expr:
        from .creation import tensor

        input = tensor(input, device=condition.device)
    return where_op(condition, input, other, out=out)


def _scaled(name: str, base: Any) -> Any:
    def function(input: Any, other: Any, *older: Any, alpha: Any = 1, out: Any = None) -> Any:
        if older:
            return older_form(function, (input, other, *older), 2, ("alpha",))
        if alpha != 1:
            other = other * alpha
        return base(input, other, out=out)

    function.__name__ = function.__qualname__ = name
    return function


_div = div
add_alpha, sub_alpha = _scaled("add", add), _scaled("sub", sub)


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """`input` to the power of `exponent`, elementwise with broadcasting; either may be a number.

    >>> import gradgpu as gg
    >>> gg.pow(gg.tensor([1., 2., 3.]), 2)
    tensor([1., 4., 9.])
    """
    if isinstance(exponent, (int, float)) and isinstance(input, Tensor):
        if exponent == 2 and input.dtype is not dt.bool:
            return square(input, out=out)
        if exponent == 1 and out is None:
            return input * 1
        if exponent == 0.5 and input.dtype.is_floating_point:
            return sqrt(input, out=out)
        if exponent < 0 and input.dtype.category < dt.FLOAT and isinstance(exponent, int):
            raise RuntimeError("pow: Integers to negative integer powers are not allowed; use x.float()")
    return pow_op(input, exponent, out=out)


def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
    """Rounds to the nearest integer, halves to even; `decimals` digits after the point."""
    if decimals == 0:
        return _round(input, out=out)
    scale = 10.0**decimals
    return (
        mul(_round(mul(input, scale)), 1.0 / scale, out=out)
        if decimals < 0
        else div(_round(mul(input, scale)), scale, out=out)
    )


def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """Limits every element to [min, max]; either limit may be None, a number or a tensor.

    The gradient flows where the element is inside the limits, both included.

    >>> import gradgpu as gg
    >>> gg.clamp(gg.tensor([-2., 0.5, 3.]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min is None and max is None:
        raise ValueError("clamp: At least one of 'min' or 'max' must not be None")
    if not isinstance(input, Tensor):
        refuse_others("clamp", input=input)
    if input.dtype.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    if isinstance(min, complex) or isinstance(max, complex):
        raise RuntimeError("clamp: a complex number is no limit")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        if min is not None:
            input = at_least(input, min, out=out if max is None else None)
        return input if max is None else at_most(input, max, out=out)
    d = input.dtype
    if d.is_floating_point:
        low, high = -math.inf if min is None else min, math.inf if max is None else max
        return clamp_op(input, low=low, high=high, out=out)
    if d is dt.bool:
        input = input.to(dt.result_type(*[x for x in (input, min, max) if x is not None]))
        d = input.dtype
        if d is dt.bool:
            input, d = input.to(dt.uint8), dt.uint8
            return clamp_op(input, low=int(min or 0), high=int(True if max is None else max)).to(dt.bool)
    if isinstance(min, float) or isinstance(max, float):
        return clamp(input.to(dt.get_default_dtype()), min, max, out=out)
    info = dt.iinfo(d)
    low, high = info.min if min is None else min, info.max if max is None else max
    return clamp_op(input, low=low, high=high, out=out)


def clamp_min(input: Any, min: Any) -> Any:
    """`clamp(input, min=min)`."""
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Any:
    """`clamp(input, max=max)`."""
    return clamp(input, max=max)


def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:
    """`input + weight * (end - input)`."""
    return lerp_op(input, end, weight, out=out)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *older: Any, value: float = 1) -> Any:
    """`input + value * tensor1 * tensor2`."""
    if older:
        return older_form(addcmul, (input, tensor1, tensor2, *older), 3, ("value",))
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *older: Any, value: float = 1) -> Any:
    """`input + value * tensor1 / tensor2`."""
    if older:
        return older_form(addcdiv, (input, tensor1, tensor2, *older), 3, ("value",))
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)


def true_divide(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """`input / other`; `rounding_mode` 'floor' or 'trunc' rounds the quotient."""
    if rounding_mode is None:
        return _div(input, other, out=out)
    if rounding_mode == "floor":
        return floor_divide(input, other, out=out)
    if rounding_mode == "trunc":
        if not isinstance(input, Tensor) and isinstance(other, (int, float)):
            from .creation import tensor

            input = tensor(input)
        if dt.result_type(input, other).category >= dt.FLOAT:
            return trunc(_div(input, other), out=out)
        return floor_divide(input - fmod(input, other), other, out=out)
    raise RuntimeError(
        f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
    )


def nan_to_num(input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replaces NaN and infinities by finite numbers (infinities by default by the dtype's limits)."""
    if not input.dtype.is_floating_point:
        return input.clone()
    info = dt.finfo(input.dtype)
    high, low = info.max if posinf is None else posinf, info.min if neginf is None else neginf
    made = where_op(isnan(input), nan, input)
    return where_op(eq(made, math.inf), high, where_op(eq(made, -math.inf), low, made))


_DOCS = {
    "eq": "a == b", "ne": "a != b", "lt": "a < b", "le": "a <= b", "gt": "a > b", "ge": "a >= b",
    "logical_and": "a and b, as truth values", "logical_or": "a or b, as truth values", "logical_xor": "exactly one of a, b",
    "logical_not": "not x", "isnan": "whether x is NaN", "isinf": "whether x is infinite", "isfinite": "whether x is finite",
    "bitwise_and": "a & b", "bitwise_or": "a | b", "bitwise_xor": "a ^ b", "bitwise_not": "~x",
    "bitwise_left_shift": "a << b", "bitwise_right_shift": "a >> b", "neg": "-x", "add": "a + alpha · b", "sub": "a - alpha · b",
    "mul": "a · b", "div": "a / b", "floor_divide": "⌊a / b⌋", "remainder": "a - b · ⌊a / b⌋ (sign of b)", "fmod": "a - b · trunc(a / b) (sign of a)",
    "maximum": "the larger of a and b; NaN wins", "minimum": "the smaller of a and b; NaN wins", "atan2": "the angle of the point (b, a)",
    "abs": "|x|", "sign": "-1, 0 or 1", "reciprocal": "1 / x", "square": "x²", "floor": "⌊x⌋", "ceil": "⌈x⌉", "trunc": "x rounded towards 0",
    "frac": "x - trunc(x)", "exp": "eˣ", "exp2": "2ˣ", "expm1": "eˣ - 1", "log": "the natural logarithm", "log2": "log₂ x", "log10": "log₁₀ x",
    "log1p": "log(1 + x)", "sqrt": "√x", "rsqrt": "1 / √x", "logaddexp": "log(eᵃ + eᵇ)", "sin": "sin x", "cos": "cos x", "tan": "tan x",
    "asin": "arcsin x", "acos": "arccos x", "atan": "arctan x", "sinh": "sinh x", "cosh": "cosh x", "tanh": "tanh x",
    "asinh": "arsinh x", "acosh": "arcosh x", "atanh": "artanh x", "erf": "the error function", "erfc": "1 - erf(x)",
    "sigmoid": "1 / (1 + e⁻ˣ)", "relu": "max(x, 0)",
}  # fmt: skip

_DOMAIN = {"acosh": (1.5, 2.0), "atanh": (0.25, 0.5)}


def document(functions: dict[str, Any], formulas: dict[str, str], module: str) -> None:
    """One docstring a table entry: formula, shapes, dtypes, errors, an example that runs, with the functions in `module`."""
    for name, formula in formulas.items():
        function = functions[name]
        op = function.op
        two = len(op.inputs) == 2
        kinds = {
            "all": "any dtype",
            "number": "any dtype but bool",
            "integer": "integers and bool",
            "float": "floating point",
        }
        result = {
            "same": "the promoted dtype",
            "float": "floating point (integers become the default dtype)",
            "bool": "bool",
        }
        values = "[6, 3]" if op.accepts == "integer" else str(list(_DOMAIN.get(name, (0.25, 0.5))))
        call = f"{module}.{name}(x, x)" if two else f"{module}.{name}(x)"
        names = "`input`, `other` (Tensors or numbers, broadcast together)" if two else "`input` (a Tensor)"
        function.__doc__ = (
            f"`{name}`: {formula}, elementwise.\n\n"
            f"    Takes {names} of {kinds[op.accepts]}; gives {result[op.result]}. `out=` writes into a tensor.\n"
            f"    Raises RuntimeError where shapes do not broadcast, devices differ or the dtype is not supported.\n\n"
            f"    >>> import gradgpu as gg\n    >>> x = gg.tensor({values})\n    >>> {call}.shape\n    gradgpu.Size([2])\n    "
        )


multiply, divide, subtract, negative, absolute, clip = mul, true_divide, sub_alpha, neg, abs, clamp
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
arcsin, arccos, arctan, arcsinh, arccosh, arctanh, arctan2 = asin, acos, atan, asinh, acosh, atanh, atan2

_METHODS = (
    *("eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan isinf isfinite bitwise_and bitwise_or "
      "bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift neg mul floor_divide remainder fmod pow maximum minimum "
      "atan2 abs sign reciprocal square floor ceil trunc frac round exp exp2 expm1 log log2 log10 log1p sqrt rsqrt logaddexp "
      "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc sigmoid relu clamp clamp_min clamp_max lerp addcmul addcdiv nan_to_num").split(),
)  # fmt: skip
_INPLACE = (
    "logical_and logical_or logical_not bitwise_and bitwise_or bitwise_xor neg mul floor_divide remainder fmod pow abs sign "
    "bitwise_left_shift bitwise_right_shift reciprocal square floor ceil trunc frac round exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan "
    "sinh cosh tanh erf sigmoid relu clamp clamp_min clamp_max lerp addcmul addcdiv nan_to_num add sub div eq ne lt le gt ge"
).split()


_DIRECT = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide}


def _install() -> None:
    """Methods, in-place methods and operators."""
    functions = {name: globals()[name] for name in _METHODS}
    functions |= {"add": add_alpha, "sub": sub_alpha, "div": true_divide}
    for name, function in functions.items():
        setattr(Tensor, name, function)
        if name in _INPLACE:
            method = _inplace_method(name, function)
            setattr(Tensor, name + "_", inplace_door(_DIRECT[name], method) if name in _DIRECT else method)
    for alias, name in {
        "multiply": "mul", "divide": "div", "true_divide": "div", "subtract": "sub", "negative": "neg", "absolute": "abs",
        "clip": "clamp", "greater": "gt", "less": "lt", "greater_equal": "ge", "less_equal": "le", "not_equal": "ne",
        "mul_": "mul_", "multiply_": "mul_", "div_": "div_", "divide_": "div_", "subtract_": "sub_", "clip_": "clamp_",
    }.items():  # fmt: skip
        setattr(Tensor, alias, getattr(Tensor, name))
    swapped = lambda f: lambda self, other: f(other, self)
    operators: dict[str, Any] = {
        "add": add, "sub": sub, "mul": mul, "truediv": div, "floordiv": floor_divide, "mod": remainder, "pow": pow,
        "and": bitwise_and, "or": bitwise_or, "xor": bitwise_xor, "lshift": bitwise_left_shift, "rshift": bitwise_right_shift,
    }  # fmt: skip
    for name, function in operators.items():
        setattr(Tensor, f"__{name}__", _operator(function))
        commutes = name in ("add", "mul", "and", "or", "xor")
        setattr(Tensor, f"__r{name}__", _operator(function if commutes else swapped(function)))
        inplace_name = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or",
                        "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}.get(name, name)  # fmt: skip
        if hasattr(Tensor, inplace_name + "_"):
            setattr(Tensor, f"__i{name}__", getattr(Tensor, inplace_name + "_"))
    for name, function in {"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}.items():
        setattr(Tensor, f"__{name}__", _comparison(function))
    Tensor.__neg__ = neg
    Tensor.__abs__ = abs
    Tensor.__invert__ = bitwise_not
    Tensor.__pos__ = lambda self: self  # type: ignore[operator]
    Tensor.__hash__ = object.__hash__  # type: ignore[method-assign]


def _operator(function: Any) -> Any:
    # The door itself is the operator: it sends what it does not know to Pointwise, which raises.
    return function if hasattr(function, "op") else _comparison(function)


def _comparison(function: Any) -> Any:
    """An operator that leaves foreign objects to them: `x == None` is False."""
    operands = (Tensor, int, float, complex, np.generic)

    def checked(self: Any, other: Any) -> Any:
        if isinstance(other, operands):
            return function(self, other)
        if isinstance(other, np.ndarray):
            from .creation import as_tensor

            return function(self, as_tensor(other))
        return NotImplemented

    return checked


def _inplace_method(name: str, function: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        for x in args:
            if x is not self and isinstance(x, Tensor) and x._cell is self._cell and x._cell is not None:
                check_overlap(name + "_", self._a, x._a)  # a view of this tensor, or its base
        made = function(self, *args, **kwargs)
        # What another package's object makes of `x += y` is no Tensor: x becomes that.
        return inplace(name + "_", self, made) if isinstance(made, Tensor) else made

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place `{name}`: changes this tensor and returns it."
    return method


__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2",
    "arctanh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "cos", "cosh", "div", "divide", "eq", "erf", "erfc", "exp", "exp2",
    "expm1", "floor", "floor_divide", "fmod", "frac", "ge", "greater", "greater_equal", "gt", "isfinite", "isinf", "isnan", "le", "lerp",
    "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "lt",
    "maximum", "minimum", "mul", "multiply", "nan_to_num", "ne", "neg", "negative", "not_equal", "pow", "reciprocal", "relu",
    "remainder", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "sub", "subtract", "tan", "tanh", "true_divide",
    "trunc", "where",
]  # fmt: skip

document(globals(), _DOCS, "gg")
for _function, _source in ((add_alpha, add), (sub_alpha, sub)):
    _function.__doc__, _function.op = _source.__doc__, _source.op

_install()
# The public functions take alpha and rounding_mode; the operators keep the shorter ones.
add, sub, div = add_alpha, sub_alpha, true_divide
