"""Samples of the pointwise table, of the functions around it, and of casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, INTS, Bad, In, OpSamples, Sample

F = gg.nn.functional
SIGNED = ("int8", "int16", "int32", "int64")
NUMBERS = (*FLOATS, *INTS)
EVERY = (*NUMBERS, "bool")
_erf, _erfc = (np.vectorize(f, otypes=[np.float64]) for f in (math.erf, math.erfc))


def unary(
    name: str,
    reference: Callable[..., Any],
    low: float = -2,
    high: float = 2,
    *,
    function: Callable[..., Any] | None = None,
    dtypes: tuple[str, ...] = FLOATS,
    special: list[float] | None = None,
    errors: list[Bad] | None = None,
    **more: Any,
) -> OpSamples:
    """Samples of a one-input function on [low, high)."""
    function = function or getattr(gg, name, None) or getattr(F, name)
    samples = [
        Sample(In(*shape, low=low, high=high)) for shape in ((3, 5), (2, 1, 4), (), (0, 3), (1,), (37,))
    ]
    if special is not None:
        samples.append(Sample(In(values=special, grad=False)))
    return OpSamples(
        name,
        function,
        samples=samples,
        reference=reference,
        dtypes=dtypes,
        errors=errors
        or [Bad(None, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|operand")],
        **more,
    )


def binary(
    name: str,
    reference: Callable[..., Any],
    left: tuple[float, float] = (-2, 2),
    right: tuple[float, float] = (-2, 2),
    *,
    function: Callable[..., Any] | None = None,
    dtypes: tuple[str, ...] = FLOATS,
    special: bool = False,
    **more: Any,
) -> OpSamples:
    """Samples of a two-input function: same shapes, every kind of broadcasting, numbers on either side."""

    def a(*shape: int) -> In:
        return In(*shape, low=left[0], high=left[1])

    def b(*shape: int) -> In:
        return In(*shape, low=right[0], high=right[1])

    number = 2 if dtypes is INTS or dtypes == SIGNED else right[1] * 0.75
    samples = [
        Sample(a(3, 5), b(3, 5)),
        Sample(a(3, 5), b(5)),
        Sample(a(3, 1), b(1, 4)),
        Sample(a(2, 1, 3), b(4, 1)),
        Sample(a(4), b()),
        Sample(a(), b(4)),
        Sample(a(), b()),
        Sample(a(0, 3), b(3)),
        Sample(a(2, 3), b(1, 3)),
        Sample(a(33), number),
    ]
    if special:
        ends = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan]
        samples.append(
            Sample(In(values=np.repeat(ends, 7), grad=False), In(values=np.tile(ends, 7), grad=False))
        )
    return OpSamples(
        name,
        function or getattr(gg, name),
        samples=samples,
        reference=reference,
        dtypes=dtypes,
        errors=[
            Bad(In(3), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast"),
            Bad(In(3), "text", raises=TypeError, match="(?i)tensor|str"),
        ],
        **more,
    )


def compare(name: str, reference: Callable[..., Any]) -> OpSamples:
    return OpSamples(
        name,
        getattr(gg, name),
        samples=[
            Sample(In(3, 5, low=0, high=3), In(3, 5, low=0, high=3)),
            Sample(In(3, 1, low=0, high=3), In(1, 4, low=0, high=3)),
            Sample(In(17, low=0, high=3), 1),
            Sample(In(low=0, high=2), In(low=0, high=2)),
            Sample(In(0, 2), In(2)),
            Sample(In(values=[0, 1, 1, 2, 0]), In(values=[0, 1, 2, 1, 1])),
        ],
        reference=reference,
        dtypes=EVERY,
        differentiable=False,
        errors=[Bad(In(3), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")],
    )


def logical(name: str, reference: Callable[..., Any]) -> OpSamples:
    return OpSamples(
        name,
        getattr(gg, name),
        samples=[
            Sample(In(values=[0, 1, 0, 2]), In(values=[0, 0, 1, 3])),
            Sample(In(3, 1, low=0, high=2), In(4, low=0, high=2)),
            Sample(In(low=0, high=2), In(low=0, high=2)),
            Sample(In(0), In(0)),
        ],
        reference=reference,
        dtypes=EVERY,
        differentiable=False,
        errors=[Bad(In(3), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")],
    )


def bits(
    name: str, reference: Callable[..., Any], high: int = 100, dtypes: tuple[str, ...] = (*INTS, "bool")
) -> OpSamples:
    return OpSamples(
        name,
        getattr(gg, name),
        samples=[
            Sample(In(3, 5, low=0, high=100), In(3, 5, low=0, high=high)),
            Sample(In(3, 1, low=0, high=100), In(4, low=0, high=high)),
            Sample(In(low=0, high=100), In(low=0, high=high)),
            Sample(In(0, 2, low=0, high=100), In(2, low=0, high=high)),
        ],
        reference=reference,
        dtypes=dtypes,
        errors=[
            Bad(
                In(3, dtype="float32"),
                In(3, dtype="float32"),
                raises=(RuntimeError, TypeError),
                match="float32",
            ),
            Bad(In(3), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast"),
        ],
    )


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softplus(x: Any) -> Any:
    return np.logaddexp(x, 0)


ENDS = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0]
NO_BOOL = [
    Bad(In(2, dtype="bool"), raises=RuntimeError, match="bool"),
    Bad(None, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|operand"),
]
NO_INTEGER = [Bad(In(2, dtype="int64"), raises=RuntimeError, match="int64")]
SMOOTH = [
    unary("exp", np.exp, special=ENDS),
    unary("exp2", np.exp2, special=ENDS),
    unary("expm1", np.expm1, special=ENDS),
    unary("log", np.log, 0.1, 4, special=ENDS),
    unary("log2", np.log2, 0.1, 4, special=ENDS),
    unary("log10", np.log10, 0.1, 4, special=ENDS),
    unary("log1p", np.log1p, -0.8, 4, special=ENDS),
    unary("sqrt", np.sqrt, 0.1, 4, special=ENDS),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), 0.2, 4, special=[1.0, 0.0, math.inf, math.nan]),
    unary("sin", np.sin, -4, 4, special=ENDS),
    unary("cos", np.cos, -4, 4, special=ENDS),
    unary("tan", np.tan, -1.2, 1.2),
    unary("asin", np.arcsin, -0.9, 0.9, special=[1.0, -1.0, 2.0]),
    unary("acos", np.arccos, -0.9, 0.9, special=[1.0, -1.0, 2.0]),
    unary("atan", np.arctan, special=ENDS),
    unary("sinh", np.sinh, special=ENDS),
    unary("cosh", np.cosh, special=ENDS),
    unary("tanh", np.tanh, special=[*ENDS, 40.0, -40.0]),
    unary("asinh", np.arcsinh, special=ENDS),
    unary("acosh", np.arccosh, 1.2, 4, special=[1.0, 0.5]),
    unary("atanh", np.arctanh, -0.9, 0.9, special=[1.0, -1.0, 2.0]),
    unary("erf", _erf, special=[0.0, math.inf, -math.inf, math.nan, 5.0, -5.0]),
    unary("erfc", _erfc, special=[0.0, math.inf, -math.inf, math.nan]),
    unary("reciprocal", lambda x: 1 / x, 0.3, 3, special=ENDS),
    unary("square", np.square, special=[0.0, 1.0, 3.0], dtypes=NUMBERS, errors=NO_BOOL),
    unary("neg", np.negative, special=[0.0, 1.0, 3.0], dtypes=(*FLOATS, *SIGNED), errors=NO_BOOL),
]
ANGULAR = [
    unary("abs", np.abs, special=[0.0, 1.0, 3.0], dtypes=NUMBERS, errors=NO_BOOL),
    unary("sign", np.sign, special=[0.0, 1.0, 3.0], dtypes=NUMBERS, second_order=False),
    unary("floor", np.floor, special=ENDS, second_order=False),
    unary("ceil", np.ceil, special=ENDS, second_order=False),
    unary("trunc", np.trunc, special=ENDS, second_order=False),
    unary("frac", lambda x: x - np.trunc(x), errors=NO_INTEGER),
    OpSamples(
        "round",
        gg.round,
        samples=[
            Sample(In(3, 5, low=-5, high=5)),
            Sample(In()),
            Sample(In(0)),
            Sample(In(values=[0.5, 1.5, 2.5, -0.5, -1.5, 3.49], grad=False)),
            Sample(In(7, low=-5, high=5, grad=False), decimals=1),
            Sample(In(7, low=-500, high=500, grad=False), decimals=-2),
        ],
        reference=lambda x, decimals=0: np.round(x, decimals),
        tolerance={"bfloat16": (5e-2, 3e-2)},
        second_order=False,
        errors=[Bad(None, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|operand")],
    ),
]
QUESTIONS = [
    unary("isnan", np.isnan, special=ENDS, differentiable=False),
    unary("isinf", np.isinf, special=ENDS, differentiable=False),
    unary("isfinite", np.isfinite, special=ENDS, differentiable=False),
    unary("logical_not", np.logical_not, 0, 2, special=[0.0, 1.0], dtypes=EVERY, differentiable=False),
    unary(
        "bitwise_not",
        np.invert,
        0,
        100,
        dtypes=(*INTS, "bool"),
        errors=[Bad(In(3, dtype="float32"), raises=(RuntimeError, TypeError), match="float32")],
    ),
]
COMPARISONS = [
    compare("eq", np.equal),
    compare("ne", np.not_equal),
    compare("lt", np.less),
    compare("le", np.less_equal),
    compare("gt", np.greater),
    compare("ge", np.greater_equal),
    logical("logical_and", np.logical_and),
    logical("logical_or", np.logical_or),
    logical("logical_xor", np.logical_xor),
    bits("bitwise_and", np.bitwise_and),
    bits("bitwise_or", np.bitwise_or),
    bits("bitwise_xor", np.bitwise_xor),
    bits("bitwise_left_shift", np.left_shift, 3, SIGNED),
    bits("bitwise_right_shift", np.right_shift, 3, INTS),
]
ARITHMETIC = [
    binary("add", np.add, special=True),
    binary("sub", np.subtract, special=True),
    binary("mul", np.multiply, special=True),
    binary("div", np.divide, right=(0.5, 2), special=True),
    binary("atan2", np.arctan2, (0.2, 2), (0.2, 2), special=True),
    binary("maximum", np.maximum, special=True),
    binary("minimum", np.minimum, special=True),
    binary("logaddexp", np.logaddexp, special=True),
    binary("remainder", np.remainder, (-3, 3), (0.7, 1.3)),
    binary("fmod", np.fmod, (-3, 3), (0.7, 1.3)),
    binary("floor_divide", np.floor_divide, (-3, 3), (0.7, 1.3), second_order=False),
    binary("pow", np.power, (0.3, 2), (-2, 2)),
    binary("add.integers", np.add, (-9, 9), (-9, 9), function=gg.add, dtypes=SIGNED),
    binary("sub.integers", np.subtract, (-9, 9), (-9, 9), function=gg.sub, dtypes=SIGNED),
    binary("mul.integers", np.multiply, (-9, 9), (-9, 9), function=gg.mul, dtypes=SIGNED),
    binary("maximum.integers", np.maximum, (-9, 9), (-9, 9), function=gg.maximum, dtypes=SIGNED),
    binary("minimum.integers", np.minimum, (-9, 9), (-9, 9), function=gg.minimum, dtypes=SIGNED),
    binary(
        "floor_divide.integers", np.floor_divide, (-9, 9), (1, 5), function=gg.floor_divide, dtypes=SIGNED
    ),
    binary("remainder.integers", np.remainder, (-9, 9), (1, 5), function=gg.remainder, dtypes=SIGNED),
    binary("fmod.integers", np.fmod, (-9, 9), (1, 5), function=gg.fmod, dtypes=SIGNED),
    binary("pow.integers", np.power, (-3, 3), (0, 3), function=gg.pow, dtypes=SIGNED),
    binary(
        "div.integers",
        np.divide,
        (-9, 9),
        (1, 5),
        function=gg.div,
        dtypes=SIGNED,
        tolerance={"float32": (2e-6, 0)},
    ),
]
MORE = [
    OpSamples(
        "add.alpha",
        gg.add,
        samples=[
            Sample(In(3, 4), In(4), alpha=2),
            Sample(In(), In(), alpha=-0.5),
            Sample(In(0), 1.0, alpha=3),
        ],
        reference=lambda a, b, alpha: a + alpha * b,
        errors=[
            Bad(In(3), In(4), alpha=2, raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")
        ],
    ),
    OpSamples(
        "sub.alpha",
        gg.sub,
        samples=[
            Sample(In(3, 4), In(4), alpha=2),
            Sample(In(), In(), alpha=-0.5),
            Sample(In(0), 1.0, alpha=3),
        ],
        reference=lambda a, b, alpha: a - alpha * b,
        errors=[
            Bad(In(3), In(4), alpha=2, raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")
        ],
    ),
    OpSamples(
        "number on the left",
        lambda x: (2 - x, 3 / x, 2**x, 1.5 + x, 2 * x, 5 // x, 5 % x),
        samples=[Sample(In(3, 4, low=0.6, high=0.9)), Sample(In(low=0.6, high=0.9)), Sample(In(0))],
        reference=lambda x: (2 - x, 3 / x, 2**x, 1.5 + x, 2 * x, 5 // x, 5 % x),
        tolerance={"float16": (2e-2, 2e-2), "bfloat16": (0.1, 0.1)},
        second_order=False,
        errors=[Bad("text", raises=TypeError, match="unsupported|str")],
    ),
    OpSamples(
        "div.rounding",
        gg.div,
        samples=[
            Sample(
                In(3, 4, low=-5, high=5, grad=False),
                In(4, low=0.7, high=2, grad=False),
                rounding_mode="floor",
            ),
            Sample(
                In(3, 4, low=-5, high=5, grad=False),
                In(4, low=0.7, high=2, grad=False),
                rounding_mode="trunc",
            ),
            Sample(In(low=1, high=2, grad=False), 0.3, rounding_mode="floor"),
        ],
        reference=lambda a, b, rounding_mode: (
            np.floor(a / b) if rounding_mode == "floor" else np.trunc(a / b)
        ),
        dtypes=("float32", "float64"),
        errors=[
            Bad(In(3), In(3), rounding_mode="up", raises=(RuntimeError, ValueError), match="rounding_mode")
        ],
    ),
    OpSamples(
        "pow.number",
        gg.pow,
        samples=[
            *(Sample(In(3, 4, low=0.3, high=2), e) for e in (2, 3, 0.5, -1, -2.5, 0, 1)),
            Sample(In(5, low=-2, high=-0.5), 3),
            Sample(In(low=0.5, high=1), 2.0),
            Sample(In(0), 2),
            Sample(2.0, In(3, 4)),
            Sample(In(values=[0.0, 1.0, -1.0, 2.0], grad=False), 2),
        ],
        reference=np.power,
        errors=[Bad(In(3, dtype="int64"), -1, raises=RuntimeError, match="negative integer powers")],
    ),
    OpSamples(
        "clamp",
        gg.clamp,
        samples=[
            Sample(In(3, 5, low=-2, high=2), min=-1, max=1),
            Sample(In(3, 5, low=-2, high=2), min=-0.5),
            Sample(In(3, 5, low=-2, high=2), max=0.5),
            Sample(In(), min=0),
            Sample(In(0), max=0),
            Sample(In(3, 5, low=-2, high=2), min=1, max=-1),
            Sample(In(values=[math.nan, math.inf, -math.inf], grad=False), min=-1, max=1),
            Sample(In(3, 5, low=-2, high=2), min=In(5, low=-1, high=0), max=In(3, 1, low=0.1, high=1)),
            Sample(In(3, 5, low=-2, high=2), min=In(low=-1, high=0)),
            Sample(In(3, 5, low=-2, high=2), max=In(5, low=0, high=1)),
        ],
        ops=("at_least", "at_most"),
        reference=lambda x, min=None, max=None: _clip(x, min, max),
        errors=[Bad(In(3), raises=(ValueError, RuntimeError), match="(?i)at least one")],
    ),
    OpSamples(
        "clamp.integers",
        gg.clamp,
        samples=[
            Sample(In(3, 5, low=-9, high=9), min=-3, max=4),
            Sample(In(3, 5, low=-9, high=9), min=2),
            Sample(In(), max=0),
        ],
        reference=lambda x, min=None, max=None: _clip(x, min, max),
        dtypes=SIGNED,
        errors=[Bad(In(3), raises=(ValueError, RuntimeError), match="(?i)at least one")],
    ),
    OpSamples(
        "where",
        gg.where,
        samples=[
            Sample(In(3, 5, dtype="bool"), In(3, 5), In(3, 5)),
            Sample(In(5, dtype="bool"), In(3, 1), In()),
            Sample(In(3, 1, dtype="bool"), In(4), 0.5),
            Sample(In(4, dtype="bool"), 2.0, In(4)),
            Sample(In(dtype="bool"), In(), In()),
            Sample(In(0, 3, dtype="bool"), In(3), In(0, 3)),
            Sample(
                In(values=[True, False], dtype="bool"),
                In(values=[1.0, math.nan], grad=False),
                In(values=[math.nan, 2.0], grad=False),
            ),
        ],
        reference=np.where,
        errors=[
            Bad(In(3), In(3), In(3), raises=RuntimeError, match="(?i)bool"),
            Bad(
                In(3, dtype="bool"),
                In(4),
                In(3),
                raises=(RuntimeError, ValueError),
                match=r"(?i)size|shape|broadcast",
            ),
        ],
    ),
    OpSamples(
        "lerp",
        gg.lerp,
        samples=[
            Sample(In(3, 4), In(3, 4), In(3, 4)),
            Sample(In(3, 1), In(4), 0.25),
            Sample(In(), In(), In()),
            Sample(In(0), In(0), 0.5),
        ],
        reference=lambda a, b, w: a + w * (b - a),
        errors=[Bad(In(3), In(4), 0.5, raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")],
    ),
    OpSamples(
        "addcmul",
        gg.addcmul,
        samples=[
            Sample(In(3, 4), In(4), In(3, 1), value=0.5),
            Sample(In(), In(), In()),
            Sample(In(0), In(0), In(0)),
        ],
        reference=lambda x, a, b, value=1: x + value * a * b,
        errors=[
            Bad(In(3), In(4), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")
        ],
    ),
    OpSamples(
        "addcdiv",
        gg.addcdiv,
        samples=[
            Sample(In(3, 4), In(4), In(3, 1, low=0.5, high=2), value=0.5),
            Sample(In(), In(), In(low=0.5)),
            Sample(In(0), In(0), In(0)),
        ],
        reference=lambda x, a, b, value=1: x + value * a / b,
        errors=[
            Bad(In(3), In(4), In(4), raises=(RuntimeError, ValueError), match=r"(?i)size|shape|broadcast")
        ],
    ),
    OpSamples(
        "nan_to_num",
        gg.nan_to_num,
        samples=[
            Sample(
                In(values=[math.nan, math.inf, -math.inf, 1.0], grad=False), nan=2.0, posinf=3.0, neginf=-4.0
            ),
            Sample(In(3, 4), nan=1.0, posinf=3.0, neginf=-4.0),
            Sample(In(), posinf=3.0, neginf=-4.0),
            Sample(In(0), posinf=3.0, neginf=-4.0),
        ],
        reference=lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(
            x, nan=nan, posinf=posinf, neginf=neginf
        ),
        errors=[Bad(None, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|operand")],
    ),
]
_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805
ACTIVATIONS = [
    unary("sigmoid", sigmoid, -4, 4, function=gg.sigmoid, special=[*ENDS, 100.0, -100.0]),
    unary(
        "relu",
        lambda x: np.maximum(x, 0),
        function=gg.relu,
        special=[0.0, 1.0, 3.0],
        dtypes=(*FLOATS, *SIGNED),
        errors=NO_BOOL,
    ),
    unary("logsigmoid", lambda x: -softplus(-x), -4, 4, special=[100.0, -100.0, 0.0], errors=NO_INTEGER),
    unary("silu", lambda x: x * sigmoid(x), -4, 4, special=[100.0, -100.0, 0.0], errors=NO_INTEGER),
    unary("mish", lambda x: x * np.tanh(softplus(x)), -4, 4, special=[100.0, -100.0, 0.0], errors=NO_INTEGER),
    unary(
        "gelu",
        lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
        -4,
        4,
        special=[10.0, -10.0, 0.0],
        errors=NO_INTEGER,
    ),
    OpSamples(
        "gelu_tanh",
        F.gelu,
        samples=[Sample(In(3, 5, low=-4, high=4), approximate="tanh"), Sample(In(0), approximate="tanh")],
        reference=lambda x, approximate: (
            0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        ),
        errors=[Bad(In(3), approximate="fast", raises=(RuntimeError, ValueError), match="approximate")],
    ),
    OpSamples(
        "softplus",
        F.softplus,
        samples=[
            Sample(In(3, 5, low=-4, high=4)),
            Sample(In(3, 5, low=-4, high=4), beta=2.0),
            Sample(In(9, low=-4, high=4), beta=3.0, threshold=1.0),
            Sample(In()),
            Sample(In(0)),
            Sample(In(values=[100.0, -100.0, 0.0], grad=False)),
        ],
        reference=lambda x, beta=1.0, threshold=20.0: np.where(
            x * beta > threshold, x, softplus(x * beta) / beta
        ),
        errors=[Bad(In(3, dtype="int64"), raises=RuntimeError, match="int64")],
    ),
    OpSamples(
        "leaky_relu",
        F.leaky_relu,
        samples=[Sample(In(3, 5)), Sample(In(3, 5), negative_slope=0.3), Sample(In()), Sample(In(0))],
        reference=lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
        errors=[Bad(None, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|operand")],
    ),
    OpSamples(
        "elu",
        F.elu,
        samples=[Sample(In(3, 5)), Sample(In(3, 5), alpha=0.3), Sample(In()), Sample(In(0))],
        reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
        errors=[Bad(In(3, dtype="int64"), raises=RuntimeError, match="int64")],
    ),
    OpSamples(
        "celu",
        F.celu,
        samples=[Sample(In(3, 5)), Sample(In(3, 5), alpha=0.3), Sample(In()), Sample(In(0))],
        reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
        errors=[Bad(In(3, dtype="int64"), raises=RuntimeError, match="int64")],
    ),
    unary("selu", lambda x: _SCALE * np.where(x > 0, x, _ALPHA * np.expm1(x)), errors=NO_INTEGER),
    OpSamples(
        "hardtanh",
        F.hardtanh,
        samples=[
            Sample(In(3, 5, low=-2, high=2)),
            Sample(In(3, 5), min_val=-0.5, max_val=0.2),
            Sample(In()),
            Sample(In(0)),
        ],
        reference=lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
        errors=[Bad(None, raises=(TypeError, AttributeError), match="(?i)tensor|attribute|operand")],
    ),
    unary("relu6", lambda x: np.clip(x, 0, 6), -3, 9),
    unary("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, -5, 5),
    unary("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, -5, 5),
    unary("softsign", lambda x: x / (1 + np.abs(x))),
    unary("hardshrink", lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    unary("softshrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    unary("tanhshrink", lambda x: x - np.tanh(x)),
    OpSamples(
        "threshold",
        F.threshold,
        samples=[Sample(In(3, 5), 0.2, -3.0), Sample(In(), 0.0, 1.0), Sample(In(0), 0.0, 1.0)],
        reference=lambda x, threshold, value: np.where(x > threshold, x, value),
        errors=[Bad("text", 0.0, 1.0, raises=(TypeError, AttributeError), match="(?i)tensor|attribute")],
    ),
    OpSamples(
        "prelu",
        F.prelu,
        samples=[
            Sample(In(3, 4, 2), In(1)),
            Sample(In(3, 4, 2), In(4)),
            Sample(In(3, 4), In(4)),
            Sample(In(5), In(1)),
            Sample(In(0, 4), In(4)),
            Sample(In(), In(1)),
        ],
        reference=lambda x, w: np.where(
            x > 0, x, x * (w.reshape(()) if w.size == 1 else w.reshape(-1, *[1] * (x.ndim - 2)))
        ),
        errors=[
            Bad(In(3, 4), In(3), raises=(RuntimeError, ValueError), match="(?i)size|shape|broadcast|channel")
        ],
    ),
]
CASTS = [
    OpSamples(
        f"cast to {name}",
        lambda x, name=name: x.to(getattr(gg, name)),
        samples=[
            Sample(In(values=[[0, 1, 2], [3, 4, 5]])),
            Sample(In(values=1)),
            Sample(In(0, 3)),
            Sample(In(4, low=0, high=5)),
        ],
        reference=lambda x, name=name: _cast(x, name),
        dtypes=EVERY,
        same_dtype=False,
        differentiable=name in FLOATS,
        second_order=name == "float64",
        finite_differences=name == "float64",  # a narrower dtype rounds them away
        tolerance={"float64": (1e-15, 0)},
        ops=["cast"],
        errors=[Bad(1.5, raises=AttributeError, match="to")],
    )
    for name in ("float32", "float64", "float16", "bfloat16", "int8", "int64", "uint8", "bool")
]
COPIES = [
    OpSamples(
        "clone",
        gg.clone,
        samples=[Sample(In(3, 4)), Sample(In()), Sample(In(0))],
        reference=lambda x: x,
        errors=[Bad(raises=TypeError, match="argument")],
        dtypes=EVERY,
    ),
    OpSamples(
        "to_device",
        lambda x: x.to("cpu").to(x.device) if x.is_cuda else x.to("cpu", copy=True),
        samples=[Sample(In(3, 4)), Sample(In()), Sample(In(0))],
        reference=lambda x: x,
        errors=[Bad("text", raises=AttributeError, match="attribute")],
        dtypes=EVERY,
        ops=["to_device"],
    ),
    OpSamples(
        "fill",
        lambda x, value: (x * 1).fill_(value),
        samples=[Sample(In(3, 4), 2.0), Sample(In(), 1), Sample(In(0), 1)],
        reference=lambda x, value: np.full(x.shape, float(value)),
        errors=[Bad(In(3), In(2), raises=RuntimeError, match="0-dim")],
    ),
]


def _clip(x: Any, low: Any, high: Any) -> Any:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _cast(x: Any, name: str) -> Any:
    if name == "bfloat16":
        from tests.samples import numpy_dtype

        return np.asarray(x, np.float64).astype(numpy_dtype(name)).astype(np.float64)
    if name in ("int8", "int64", "uint8"):
        return np.trunc(np.asarray(x, np.float64)).astype(name)
    return x.astype(name)


OPS = [
    *SMOOTH,
    *ANGULAR,
    *QUESTIONS,
    *COMPARISONS,
    *ARITHMETIC,
    *MORE,
    *ACTIVATIONS,
    *CASTS,
    *COPIES,
]
