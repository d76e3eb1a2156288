"""Activation functions of nn.functional beyond `relu`, `sigmoid` and `tanh`: more of the table of pointwise operations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.modes import SPECIAL, state
from ..scalars import INFINITY, ONE, ZERO
from ..tensor import Tensor
from . import smooth as _smooth
from .choice import chosen, kept
from .gelu import SINGLE, gelu_cpu, gelu_of
from .inplace import inplace
from .pointwise import document, erf, erf_cpu, exp, only, sigmoid, sigmoid_cpu, tanh, unary, where_op
from .pointwise_op import Pointwise

FUNCTIONAL = [
    "gelu", "softplus", "leaky_relu", "elu", "celu", "selu", "hardtanh", "relu6", "hardsigmoid", "hardswish", "softsign",
    "tanhshrink", "threshold", "prelu", "logsigmoid", "silu", "mish",
]  # fmt: skip


# ---- the table ----
def _positive(x: Any) -> Any:
    """max(x, 0) of floats."""
    return x.clip(ZERO[x.dtype], INFINITY[x.dtype])  # a third of the time of `np.maximum` with a number


def _negative(x: Any) -> Any:
    """min(x, 0) of floats."""
    return x.clip(-INFINITY[x.dtype], ZERO[x.dtype])


def _softplus_cpu(x: Any) -> Any:
    return _positive(x) + _smooth.log1p_exp(x)


logsigmoid = unary(
    "logsigmoid",
    "-(Max::apply(-x, C(0)) + log1p(exp(-fabs(x))))",
    lambda x: -_softplus_cpu(-x),
    lambda g, x: g * sigmoid(-x),
    inputs="float",
    half="float32",
)
silu = unary(
    "silu",
    "x / (1 + exp(-x))",
    lambda x: x * sigmoid_cpu(x),
    lambda g, x: _silu_grad(g, x),
    inputs="float",
    half="float32",
)


def _silu_grad(g: Any, x: Any) -> Any:
    s = sigmoid(x)
    if type(g) is not np.ndarray or not g.ndim:
        return g * (s * (x * (1.0 - s) + 1.0))
    h = np.subtract(ONE[g.dtype], s)
    np.multiply(h, x, h)
    np.add(h, ONE[g.dtype], h)
    np.multiply(h, s, h)
    return np.multiply(h, g, h)


_SQRT_HALF, _INV_SQRT_2PI = math.sqrt(0.5), 1.0 / math.sqrt(2.0 * math.pi)


def gelu_slope(g: Any, x: Any) -> Any:
    """The gradient of gelu: g (Φ(x) + x Φ'(x))."""
    return g * ((erf(x * _SQRT_HALF) + 1.0) * 0.5 + x * exp(x * x * -0.5) * _INV_SQRT_2PI)


def _gelu_cpu(x: Any) -> Any:
    if x.dtype == SINGLE:
        return gelu_cpu(x)
    return 0.5 * x * (1 + erf_cpu(x * x.dtype.type(_SQRT_HALF)))


gelu_exact = unary(
    "gelu",
    f"0.5 * x * (1 + erf(x * {_SQRT_HALF!r}))",
    _gelu_cpu,
    gelu_slope,
    inputs="float",
    half="float32",
)
_K0, _K1 = math.sqrt(2.0 / math.pi), 0.044715


def _gelu_tanh_grad(g: Any, x: Any) -> Any:
    t = tanh((x + x * x * x * _K1) * _K0)
    return g * ((t + 1.0) * 0.5 + x * (1.0 - t * t) * (x * x * (3 * _K1) + 1.0) * (0.5 * _K0))


gelu_tanh = unary(
    "gelu_tanh",
    f"0.5 * x * (1 + tanh({_K0!r} * (x + {_K1!r} * x * x * x)))",
    lambda x: 0.5 * x * (1 + np.tanh(_K0 * (x + _K1 * x * x * x))),
    _gelu_tanh_grad,
    inputs="float",
    half="float32",
)
mish = unary(
    "mish",
    "x * tanh(Max::apply(x, C(0)) + log1p(exp(-fabs(x))))",
    lambda x: x * np.tanh(_softplus_cpu(x)),
    lambda g, x: _mish_grad(g, x),
    inputs="float",
    half="float32",
)


def _mish_grad(g: Any, x: Any) -> Any:
    s = sigmoid(x)
    t = tanh(-logsigmoid(-x))
    return g * (t + x * s * (1.0 - t * t))


# Above this the float32 nearest to softplus(x) is x, that to its slope 1.
_LINEAR = 18.0


def _scaled_softplus_cpu(x: Any, *, beta: float, threshold: float) -> Any:
    if beta == 1.0 and threshold >= _LINEAR and x.dtype == np.float32:
        return _softplus_cpu(x)
    return chosen(x * beta > threshold, x, _softplus_cpu(x * beta) / beta, x.dtype)


def _softplus_grad(g: Any, x: Any, *, beta: Any, threshold: Any) -> Any:
    if type(g) is np.ndarray and threshold >= _LINEAR and g.dtype == np.float32:
        return g * sigmoid(x * beta)
    return g * where_op(x * beta > threshold, 1.0, sigmoid(x * beta))


softplus_op = Pointwise(
    "softplus",
    "x * beta > threshold ? x : (Max::apply(x * beta, C(0)) + log1p(exp(-fabs(x * beta)))) / beta",
    _scaled_softplus_cpu,
    _softplus_grad,
    inputs="float",
    half="float32",
)


def _elu_cpu(x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    y = _negative(x)
    if input_scale != 1.0:
        y = y * input_scale
    y = _smooth.expm1(y) * (alpha * scale)
    y += _positive(x) if scale == 1.0 else _positive(x) * scale  # one of the two is 0
    return y


def _elu_grad(g: Any, x: Any, *, alpha: Any, scale: Any, input_scale: Any) -> Any:
    below = alpha * scale * input_scale
    if type(g) is not np.ndarray:
        return g * where_op(x <= 0.0, exp(where_op(x > 0.0, 0.0, x) * input_scale) * below, scale)
    slope = np.exp(_negative(x) * input_scale) * below
    return g * (slope if below == scale else chosen(x > 0, scale, slope, g.dtype))


elu_op = Pointwise(
    "elu",
    "x > C(0) ? x * scale : alpha * scale * expm1(x * input_scale)",
    _elu_cpu,
    _elu_grad,
    inputs="float",
    half="float32",
)


def _leaky_relu_cpu(x: Any, *, negative_slope: float) -> Any:
    scaled = x * negative_slope
    if 0 < negative_slope <= 1:
        return np.maximum(x, scaled).astype(x.dtype, copy=False)
    return chosen(x > 0, x, scaled, x.dtype)


def _leaky_relu_grad(g: Any, x: Any, *, negative_slope: Any) -> Any:
    if type(g) is np.ndarray:
        return g * chosen(x > 0, 1.0, negative_slope, g.dtype)
    return where_op(x > 0.0, g, g * negative_slope)


leaky_relu_op = Pointwise(
    "leaky_relu",
    "x > C(0) ? x : x * negative_slope",
    _leaky_relu_cpu,
    _leaky_relu_grad,
    inputs="number",
)
threshold_op = Pointwise(
    "threshold",
    "x <= threshold ? value : x",
    lambda x, *, threshold, value: chosen(x <= threshold, value, x, x.dtype),
    lambda g, x, *, threshold, value: where_op(x <= threshold, 0.0, g),
    inputs="number",
)
hardtanh_op = Pointwise(  # clamp whose gradient is 0 at the limits
    "hardtanh",
    "Min::apply(Max::apply(x, C(low)), C(high))",
    lambda x, *, low, high: x.clip(x.dtype.type(low), x.dtype.type(high)),
    lambda g, x, *, low, high: where_op((x <= low) | (x >= high), 0.0, g),
    inputs="number",
)
prelu_op = Pointwise(
    "prelu",
    "x > C(0) ? x : x * weight",
    lambda x, weight: chosen(x > 0, x, x * weight, x.dtype),
    {
        "x": lambda g, x, weight: where_op(x > 0.0, g, g * weight),
        "weight": lambda g, x: where_op(x > 0.0, 0.0, g * x),
    },
    inputs="float",
)
for _op in (leaky_relu_op, threshold_op, hardtanh_op, prelu_op):
    _op.zero_second = True

hardswish_op = Pointwise(
    "hardswish",
    "x * Min::apply(Max::apply(x + C(3), C(0)), C(6)) / C(6)",
    lambda x: x * np.clip(x + x.dtype.type(3), x.dtype.type(0), x.dtype.type(6)) / x.dtype.type(6),
    lambda g, x: _hardswish_grad(g, x),
    inputs="float",
    half="float32",
)


def _hardswish_grad(g: Any, x: Any) -> Any:
    if type(g) is np.ndarray and g.ndim:
        return g * (kept(x / 3.0 + 0.5, np.abs(x) < 3.0) + ~(x < 3.0))
    return where_op(x <= -3.0, 0.0, where_op(x < 3.0, g * (x / 3.0 + 0.5), g))


hardsigmoid_op = Pointwise(
    "hardsigmoid",
    "Min::apply(Max::apply(x + C(3), C(0)), C(6)) / C(6)",
    lambda x: np.clip(x + x.dtype.type(3), x.dtype.type(0), x.dtype.type(6)) / x.dtype.type(6),
    lambda g, x: only(g / 6.0, (x > -3.0) & (x < 3.0)),
    inputs="float",
    half="float32",
)


# ---- public functions ----
def gelu(input: Any, approximate: str = "none") -> Any:
    """x · Φ(x) (Hendrycks and Gimpel, 2016); `approximate='tanh'` uses their tanh formula."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")
    if approximate == "tanh":
        return gelu_tanh(input)
    if isinstance(input, Tensor):
        x = input._a
        if type(x) is np.ndarray and x.dtype is SINGLE and not (SPECIAL and state.special):
            return gelu_of(input, x)
    return gelu_exact(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta · x)) / beta; x itself where beta · x > threshold."""
    return softplus_op(input, beta=beta, threshold=threshold)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where positive, else negative_slope · x (Maas et al., 2013)."""
    return _maybe_inplace(input, leaky_relu_op(input, negative_slope=negative_slope), inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha · (exp(x) - 1) (Clevert et al., 2015)."""
    return _maybe_inplace(input, elu_op(input, alpha=alpha, scale=1.0, input_scale=1.0), inplace)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha · (exp(x / alpha) - 1) (Barron, 2017)."""
    return _maybe_inplace(input, elu_op(input, alpha=alpha, scale=1.0, input_scale=1.0 / alpha), inplace)


def selu(input: Any, inplace: bool = False) -> Any:
    """The self-normalising activation of Klambauer et al. (2017)."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return _maybe_inplace(input, elu_op(input, alpha=alpha, scale=scale, input_scale=1.0), inplace)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, got {min_val} and {max_val}")
    return _maybe_inplace(input, hardtanh_op(input, low=min_val, high=max_val), inplace)


def relu6(input: Any, inplace: bool = False) -> Any:
    """x limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """clamp(x + 3, 0, 6) / 6."""
    return _maybe_inplace(input, hardsigmoid_op(input), inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x · hardsigmoid(x) (Howard et al., 2019)."""
    return _maybe_inplace(input, hardswish_op(input), inplace)


def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return input / (abs(input) + 1.0)


def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - tanh(input)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else value."""
    return _maybe_inplace(input, threshold_op(input, threshold=threshold, value=value), inplace)


def prelu(input: Any, weight: Any) -> Any:
    """x where positive, else weight · x, one weight a channel (dimension 1) or one for all (He et al., 2015)."""
    if weight.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.numel() == 1:
        weight = weight.reshape(())
    elif input.ndim > 1:
        weight = weight.reshape((1, -1) + (1,) * (input.ndim - 2))
    elif input.ndim == 0 and weight.numel() == 1:
        weight = weight.reshape(())
    return prelu_op(input, weight)


def _maybe_inplace(input: Any, result: Any, flag: bool) -> Any:
    return inplace("activation", input, result) if flag else result


document(
    globals(),
    {
        "logsigmoid": "log sigmoid(x)",
        "silu": "x · sigmoid(x) (Elfwing et al., 2017)",
        "mish": "x · tanh(softplus(x)) (Misra, 2019)",
    },
    "gg.nn.functional",
)
