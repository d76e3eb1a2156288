"""Batch norm, and the public functions of all normalisations; layer_norm.py has layer, group and RMS norm. The p-norms of a
tensor are in moments.py."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import SPECIAL, state
from ..cuda.array import contiguous, empty, zeros
from ..cuda.launch import Kernel
from ..cuda.reduction import fast_division, reduce_cuda
from ..dtypes import FLOATS
from ..tensor import Tensor
from . import pointwise as _pw
from .blocks import LongRows
from .layer_norm import (
    DIRECT,
    FAR,
    constant,
    down,
    layer_norm_of,
    layer_norm_op,
    normalised_groups,
    per_channel,
    pointer,
    second,
    up,
    wide_dtype,
)
from .reduce import require_floating, sum_op
from .registry import Op

FUNCTIONAL = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"]
__all__: list[str] = []

_CHANNELS = "PPPPPPPPPPPqqqqiiIIIIIIII"
_batch_norm = Kernel("norm.cu", "batch_norm", _CHANNELS, T=FLOATS)
_batch_norm_backward = Kernel("norm.cu", "batch_norm_backward", _CHANNELS, T=FLOATS)
_batch_norm_sums = Kernel("norm.cu", "batch_norm_sums", _CHANNELS, T=FLOATS)
_batch_norm_sums_finish = Kernel("norm.cu", "batch_norm_sums_finish", _CHANNELS, T=FLOATS)
_batch_norm_moments = Kernel("norm.cu", "batch_norm_moments", "PPPPPqddd", T=FLOATS)


# ---- batch norm: x as (outer, channels, inner) ----
def _channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], shape[1], prod(shape[2:])


def _channel_sum(x: Any, factor: float = 1.0) -> Any:
    """`factor` times the sum over each channel."""
    outer, channels, inner = x.shape
    if inner > 1:
        x = np.dot(x.reshape(outer * channels, inner), constant(inner, 1.0, x.dtype))
    return np.dot(constant(outer, factor, x.dtype), x.reshape(outer, channels))


def _channel_dot(x: Any, y: Any, factor: float = 1.0) -> Any:
    """`factor` times the sum of x · y over each channel."""
    if x.shape[2] < 32:  # as in row_dot
        return _channel_sum(np.multiply(x, y), factor)
    return np.dot(constant(x.shape[0], factor, x.dtype), np.vecdot(x, y))


def _batch_norm_cpu(x, weight, bias, running_mean, running_var, *, eps, momentum):
    d, view = x.dtype, _channels(x.shape)
    n = view[0] * view[2]
    values = up(x).reshape(view)
    if not values.size:
        return x.copy(), np.zeros(view[1], values.dtype), np.ones(view[1], values.dtype)
    mean = _channel_sum(values, 1 / n)
    square = _channel_dot(values, values, 1 / n)
    var = square - mean * mean
    middle = mean
    if not (var >= FAR * square).all():
        values, middle = np.subtract(values, mean.reshape(-1, 1)), np.zeros_like(mean)
        var = _channel_dot(values, values, 1 / n)
    if running_mean is not None:
        running_mean *= 1 - momentum
        running_mean += (momentum * mean).astype(running_mean.dtype, copy=False)
    if running_var is not None:
        running_var *= 1 - momentum
        running_var += (var * (momentum * n / max(n - 1, 1))).astype(running_var.dtype, copy=False)
    rstd = 1 / np.sqrt(var + eps)
    scale = rstd if weight is None else rstd * up(weight)
    shift = -middle * scale
    if bias is not None:
        shift += up(bias)
    with LongRows(view[2], values.size):
        y = np.multiply(values, scale.reshape(-1, 1))
        y += shift.reshape(-1, 1)
    return down(y.reshape(x.shape), d), mean, rstd


def _batch_norm_backward_cpu(grad, x, weight, mean, rstd, *, eps):
    d, view = x.dtype, _channels(x.shape)
    g, values = up(grad).reshape(view), up(x).reshape(view)
    if not g.size:
        nothing = np.zeros(x.shape, d)
        return nothing if weight is None else (nothing, np.zeros(weight.shape, d), np.zeros(weight.shape, d))
    n = view[0] * view[2]
    if not np.abs(mean * rstd).max() <= 3:  # FAR again
        values, mean = np.subtract(values, mean.reshape(-1, 1)), np.zeros_like(mean)
    plain = _channel_sum(g)
    along = (_channel_dot(g, values) - mean * plain) * rstd
    scale = rstd if weight is None else rstd * up(weight)
    share = scale * (-1 / n)
    of_values = share * rstd * along
    with LongRows(view[2], g.size):
        made = np.multiply(values, of_values.reshape(-1, 1))
        made += (share * plain - mean * of_values).reshape(-1, 1)
        made += np.multiply(g, scale.reshape(-1, 1))
    made = down(made.reshape(x.shape), d)
    return made if weight is None else (made, down(along, d), down(plain, d))


def _channel_launch(kernel: Kernel, grid: Any, dtype: Any, pointers: tuple, view: tuple, chunk: int, splits: int) -> None:  # fmt: skip
    outer, channels, inner = view
    wide = int(outer * channels * inner >= 1 << 31)
    words = (0,) * 6 if wide else (*fast_division(max(inner, 1)), *fast_division(max(channels, 1)))
    kernel[dtype](grid, 256, *pointers, outer, channels, inner, chunk, splits, 0, *words, wide, 0)


def _batch_norm_cuda(x, weight, bias, running_mean, running_var, *, eps, momentum):
    x = contiguous(x)
    weight, bias = (None if v is None else contiguous(v) for v in (weight, bias))
    view, wide = _channels(x.shape), wide_dtype(x.dtype)
    channels = view[1]
    if not x.size:
        return empty(x.shape, x.dtype), zeros((channels,), wide), zeros((channels,), wide)
    y, rstd = empty(x.shape, x.dtype), empty((channels,), wide)
    n = view[0] * view[2]
    name = "variance" if wide == x.dtype else "variance_wide"
    var, mean = reduce_cuda(name, x.reshape(view), (0, 2), False, (wide, wide), 0.0)
    pointers = (var.ptr, mean.ptr, rstd.ptr, pointer(running_mean), pointer(running_var))
    _batch_norm_moments[x.dtype](
        -(-channels // 128), 128, *pointers, channels, eps, momentum, n / max(n - 1, 1)
    )
    addresses = (x.ptr, 0, pointer(weight), pointer(bias), mean.ptr, rstd.ptr, 0, 0, y.ptr, 0, 0)
    _channel_launch(_batch_norm, min(-(-x.size // 256), 1 << 16), x.dtype, addresses, view, 0, 1)
    return y, mean, rstd


def _batch_norm_backward_cuda(grad, x, weight, saved, rstd, *, eps):
    x, grad = contiguous(x), contiguous(grad)
    view, wide = _channels(x.shape), wide_dtype(x.dtype)
    outer, channels, inner = view
    out = empty(x.shape, x.dtype)
    w = None if weight is None else contiguous(weight)
    of_weight = of_bias = None
    if w is not None:
        of_weight, of_bias = empty(weight.shape, x.dtype), empty(weight.shape, x.dtype)
    if channels:
        count = outer * inner
        splits = max(1, min(512 // channels, count // 4096))
        chunk = -(-count // splits)
        sums, partial = empty((2, channels), wide), empty((channels, splits, 2), wide)
        pointers = (
            *(x.ptr, grad.ptr, pointer(w), 0, saved.ptr, rstd.ptr, sums.ptr, partial.ptr),
            *(out.ptr, pointer(of_weight), pointer(of_bias)),
        )
        _channel_launch(_batch_norm_sums, (channels, splits), x.dtype, pointers, view, chunk, splits)
        _channel_launch(_batch_norm_sums_finish, -(-channels // 256), x.dtype, pointers, view, chunk, splits)
        if x.size:
            grid = min(-(-x.size // 256), 1 << 16)
            _channel_launch(_batch_norm_backward, grid, x.dtype, pointers, view, chunk, splits)
    return out if w is None else (out, of_weight, of_bias)


def _batch_norm_second(gs, grad, x, weight, *, eps):
    view = _channels(x.shape)
    made = second(gs, grad, x, weight, view, (0, 2), (1, view[1], 1), eps)
    return (*made, None, None)


batch_norm_backward_op = Op(
    "batch_norm_backward",
    cpu=_batch_norm_backward_cpu,
    cuda=_batch_norm_backward_cuda,
    grads=_batch_norm_second,
)


def _batch_norm_rule(g0, x, weight, bias_shape, y1, y2, *, eps):
    made = batch_norm_backward_op(g0, x, weight, y1, y2, eps=eps)
    if weight is not None:
        return (*made, None, None)
    of_bias = None
    if bias_shape is not None:
        of_bias = sum_op(g0.reshape(_channels(x.shape)), dims=(0, 2), keepdim=False)
    return made, None, of_bias, None, None


# Outputs: y; the mean and 1/deviation of each channel. The running statistics are updated in place.
batch_norm_op = Op(
    "batch_norm",
    cpu=_batch_norm_cpu,
    cuda=_batch_norm_cuda,
    grads=_batch_norm_rule,
    differentiable=(True, False, False),
)


# ---- public functions ----
def _same_dtype(op: str, input: Tensor, **others: Tensor | None) -> None:
    for name, v in others.items():
        if v is not None and v.dtype is not input.dtype and state.autocast is None:  # which converts both
            raise RuntimeError(
                f"{op}: {name} has {v.dtype}, input {input.dtype}; convert one, e.g. {name}.to(input.dtype)"
            )


def _normalized(op: str, input: Tensor, normalized_shape: Any, **affine: Tensor | None) -> int:
    """The number of elements that are normalised together, after checking the shapes."""
    require_floating(op, input)
    wanted = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not wanted:
        raise RuntimeError(
            f"{op}: normalized_shape must have at least one dimension, got {normalized_shape!r}"
        )
    shape = input._a.shape
    if shape[-len(wanted) :] != wanted or len(shape) < len(wanted):
        raise RuntimeError(
            f"{op}: Given normalized_shape={list(wanted)}, expected input with shape "
            f"[*, {', '.join(map(str, wanted))}], but got input of size {list(shape)}"
        )
    for name, v in affine.items():
        if v is not None and v._a.shape != wanted:
            raise RuntimeError(
                f"{op}: Expected {name} to be of same shape as normalized_shape, "
                f"but got {name} of shape {list(v._a.shape)} and normalized_shape = {list(wanted)}"
            )
    _same_dtype(op, input, **affine)
    return prod(wanted)


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(variance + eps) · weight + bias over the last dimensions (Ba, Kiros and Hinton, 2016).

    Args:
        input: (*, *normalized_shape), floating point.
        normalized_shape: the last sizes of the input.
        weight, bias: of shape `normalized_shape`, or None.
        eps: added to the variance.

    Raises:
        RuntimeError: shapes or dtypes do not fit.

    >>> import gradgpu as gg
    >>> gg.nn.functional.layer_norm(gg.tensor([[1., 3.]]), 2)
    tensor([[-1.0000,  1.0000]])
    """
    if (
        weight is not None
        and bias is not None
        and isinstance(input, Tensor)
        and not (SPECIAL and state.special)
    ):
        x, w, b = input._a, weight._a, bias._a
        if (
            type(x) is type(w) is type(b) is np.ndarray
            and x.dtype is w.dtype is b.dtype
            and x.dtype in DIRECT
        ):
            shape = w.shape
            given = normalized_shape if type(normalized_shape) is tuple else None
            if given == shape == b.shape and shape and x.shape[-len(shape) :] == shape:
                return layer_norm_of((input, weight, bias), x, w, b, float(eps))
    n = _normalized("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return layer_norm_op(input, weight, bias, n=n, eps=float(eps), centred=True)[0]


def rms_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / √(mean(x²) + eps) · weight over the last dimensions (Zhang and Sennrich, 2019).

    `eps` is the machine epsilon of the input's dtype by default.

    >>> import gradgpu as gg
    >>> gg.nn.functional.rms_norm(gg.tensor([[3., 3.]]), 2)
    tensor([[1., 1.]])
    """
    n = _normalized("rms_norm", input, normalized_shape, weight=weight)
    eps = float(dt.finfo(input.dtype).eps if eps is None else eps)
    return layer_norm_op(input, weight, None, n=n, eps=eps, centred=False)[0]


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises groups of channels of (N, C, …), each sample by itself (Wu and He, 2018).

    `weight` and `bias` have one entry a channel.

    >>> import gradgpu as gg
    >>> gg.nn.functional.group_norm(gg.tensor([[1., 3.]]), 1)
    tensor([[-1.0000,  1.0000]])
    """
    require_floating("group_norm", input)
    shape = input._a.shape
    if len(shape) < 2:
        raise RuntimeError(
            f"group_norm: Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    if num_groups <= 0 or shape[1] % num_groups:
        raise RuntimeError(
            f"group_norm: Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    _affine("group_norm", input, shape[1], weight=weight, bias=bias)
    return normalised_groups(input, num_groups, weight, bias, float(eps))


def _affine(op: str, input: Tensor, channels: int, **affine: Tensor | None) -> None:
    for name, v in affine.items():
        if v is not None and v._a.shape != (channels,):
            raise RuntimeError(
                f"{op}: Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(v._a.shape)} and input of shape {list(input._a.shape)}"
            )
    _same_dtype(op, input, **affine)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of (N, C, …) over all its values (Ioffe and Szegedy, 2015).

    In training the batch's mean and (biased) variance are used and the running statistics, where
    given, move towards them by `momentum` in place (the variance towards the unbiased one). Otherwise
    the running statistics are used. A half-precision input may come with float32 parameters.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or statistics are missing in evaluation.
        ValueError: training on one value a channel.

    >>> import gradgpu as gg
    >>> gg.nn.functional.batch_norm(gg.tensor([[1.], [3.]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    require_floating("batch_norm", input)
    shape = input._a.shape
    if len(shape) < 2:
        raise RuntimeError(
            f"batch_norm: expected input (N, C, …) of at least 2 dimensions, got shape {list(shape)}"
        )
    reference = weight if weight is not None else running_mean
    if reference is not None and input.dtype.itemsize == 2 and reference.dtype is dt.float32:
        wide = batch_norm(
            input.to(dt.float32), running_mean, running_var, weight, bias, training, momentum, eps
        )
        return wide.to(input.dtype)
    stats = {"running_mean": running_mean, "running_var": running_var}
    _affine("batch_norm", input, shape[1], weight=weight, bias=bias, **stats)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "batch_norm: expected running_mean and running_var to be defined when training=False"
            )
        scale = _pw.rsqrt(running_var + eps)
        if weight is not None:
            scale = scale * weight
        shift = -running_mean * scale
        return per_channel(input, scale, shift if bias is None else shift + bias)
    if shape[0] * prod(shape[2:]) == 1:
        raise ValueError(
            f"batch_norm: Expected more than 1 value per channel when training, got input size {list(shape)}"
        )
    for v in stats.values():
        if v is not None:
            v._materialise()
    y = batch_norm_op(
        input, weight, bias, running_mean, running_var, eps=float(eps), momentum=float(momentum)
    )[0]
    for v in stats.values():
        if v is not None and input._a.size:
            v._bump()
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of each sample of (N, C, …) over its positions (Ulyanov et al., 2016).

    With `use_input_stats=False` the running statistics are used; running statistics that are given are
    otherwise updated with the mean of the samples' statistics.

    >>> import gradgpu as gg
    >>> gg.nn.functional.instance_norm(gg.tensor([[[1., 3.]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    require_floating("instance_norm", input)
    shape = input._a.shape
    if len(shape) < 3:
        raise RuntimeError(
            f"instance_norm: expected input (N, C, …) of at least 3 dimensions, got {list(shape)}"
        )
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    samples, channels = shape[:2]
    _affine(
        "instance_norm",
        input,
        channels,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
    )
    if prod(shape[2:]) == 1:
        raise ValueError(
            f"instance_norm: Expected more than 1 spatial element when training, got input size {list(shape)}"
        )
    if running_mean is None and running_var is None:
        return normalised_groups(input, channels, weight, bias, float(eps))
    # As a batch of one sample with samples · channels channels, each with statistics of its own.
    each = [None if v is None else v.repeat(samples) for v in (running_mean, running_var)]
    flat = input.reshape((1, samples * channels, *shape[2:]))
    y = batch_norm(flat, each[0], each[1], None, None, True, momentum, eps).reshape(shape)
    for v, many in zip((running_mean, running_var), each):
        if v is not None and many is not None:
            v.copy_(many.reshape((samples, channels)).mean(0))
    return per_channel(y, weight, bias)
