"""Normalisation: layer, batch, group, instance and RMS norm. The p-norms of a tensor are in moments.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.array import contiguous, empty, zeros
from ..cuda.launch import Kernel
from ..cuda.reduction import fast_division, reduce_cuda
from ..dtypes import FLOATS
from ..scalars import zero_dim
from ..tensor import Tensor, wrap
from . import pointwise as _pw
from .blocks import LongRows, pays, row_blocks
from .moments import mean_op
from .reduce import broadcast_op, require_floating, sum_op
from .registry import Op
from .saved import Saving, from_saved, unpack

FUNCTIONAL = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"]
__all__: list[str] = []

_ROWS, _COLUMNS, _CHANNELS = "PPPPPPPqqdii", "PPPPPPPqqqii", "PPPPPPPPPPPqqqqiiIIIIIIII"
_layer_norm = Kernel("norm.cu", "layer_norm", _ROWS, T=FLOATS)
_layer_norm_backward = Kernel("norm.cu", "layer_norm_backward", _ROWS, T=FLOATS)
_layer_norm_columns = Kernel("norm.cu", "layer_norm_columns", _COLUMNS, T=FLOATS)
_layer_norm_columns_finish = Kernel("norm.cu", "layer_norm_columns_finish", _COLUMNS, T=FLOATS)
_batch_norm = Kernel("norm.cu", "batch_norm", _CHANNELS, T=FLOATS)
_batch_norm_backward = Kernel("norm.cu", "batch_norm_backward", _CHANNELS, T=FLOATS)
_batch_norm_sums = Kernel("norm.cu", "batch_norm_sums", _CHANNELS, T=FLOATS)
_batch_norm_sums_finish = Kernel("norm.cu", "batch_norm_sums_finish", _CHANNELS, T=FLOATS)
_batch_norm_moments = Kernel("norm.cu", "batch_norm_moments", "PPPPPqddd", T=FLOATS)


def _up(x: Any) -> Any:
    """Half types as float32; None stays."""
    return x if x is None or x.dtype.itemsize > 2 else x.astype(np.float32)


def _wide(d: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if d.itemsize == 2 else d


def _down(x: Any, d: np.dtype) -> Any:
    return x if x.dtype is d else x.astype(d, copy=False)


@lru_cache(maxsize=256)
def _constant(n: int, value: float, dtype: np.dtype) -> np.ndarray:
    """A vector to take sums and means with: a product with it is several times faster than a reduction."""
    return np.full(n, value, dtype)


def _pointer(x: Any) -> int:
    return 0 if x is None else x.ptr


# ---- layer norm: the last dimensions of x as n, the others as rows ----
def _layer_norm_cpu(x, weight, bias, *, n, eps, centred):
    d = x.dtype
    if d.itemsize == 2:
        y, xhat, rstd = _layer_norm_cpu(_up(x), _up(weight), _up(bias), n=n, eps=eps, centred=centred)
        return y.astype(d), xhat, rstd
    rows = x.reshape(-1, n)
    if not rows.size:
        return x.copy(), rows, np.ones(rows.shape[0], d)
    if pays(*rows.shape):
        y, xhat, rstd = _large_layer_norm(rows, weight, bias, eps, centred)
        return y.reshape(x.shape), xhat, rstd
    mean = _constant(n, 1.0 / n, d)
    xhat = np.subtract(rows, np.dot(rows, mean).reshape(-1, 1)) if centred else rows
    y = np.multiply(xhat, xhat)
    rstd = np.dot(y, mean)
    np.add(rstd, zero_dim(eps, d), rstd)
    np.sqrt(rstd, rstd)
    np.divide(1, rstd, rstd)
    xhat = np.multiply(xhat, rstd.reshape(-1, 1), xhat if centred else None)
    if weight is not None:
        _with_row(np.multiply, xhat, weight.reshape(-1), y)
    elif bias is None:
        y = xhat.copy()
    if bias is not None:
        _with_row(np.add, xhat if weight is None else y, bias.reshape(-1), y)
    return y.reshape(x.shape), xhat, rstd


def _with_row(function: Any, x: np.ndarray, row: np.ndarray, out: np.ndarray) -> np.ndarray:
    """function(x, row, out) for each row of x."""
    if x.size >= 1 << 17 and row.size < 1024:
        wide = _tiled(row, len(x))
        if wide.size >= 512:
            with LongRows(wide.size, x.size):
                function(x.reshape(-1, wide.size), wide, out.reshape(-1, wide.size))
            return out
    function(x, row, out)
    return out


def _tiled(row: Any, rows: int) -> Any:
    """The row, repeated to be long, which numpy is faster on; as often as divides `rows` and the rows of a block."""
    if row is None:
        return None
    row = row.reshape(-1)
    times = math.gcd(1 << (max(1, 2048 // row.size).bit_length() - 1), rows, 64)
    return np.tile(row, times) if times > 1 else row


def _large_layer_norm(rows, weight, bias, eps, centred):
    """y, xhat and rstd of many numbers, block by block."""
    n, d = rows.shape[1], rows.dtype
    share = _constant(n, 1.0 / n, d)
    y, xhat, rstd = np.empty_like(rows), np.empty_like(rows), np.empty(len(rows), d)
    affine = [
        (function, row, (-1, row.size))
        for function, v in ((np.multiply, weight), (np.add, bias))
        if (row := _tiled(v, len(rows))) is not None
    ]
    with LongRows(n, rows.size):
        for part in row_blocks(len(rows), n):
            x, out, made = rows[part], y[part], xhat[part]
            square = np.vecdot(x, x) * (1.0 / n)
            if centred:
                mean = np.dot(x, share)
                var = square - mean * mean
                if (var >= _FAR * square).all():
                    scale = 1.0 / np.sqrt(var + eps)
                    np.multiply(x, scale.reshape(-1, 1), made)
                    made -= (mean * scale).reshape(-1, 1)
                else:
                    np.subtract(x, mean.reshape(-1, 1), made)
                    scale = 1.0 / np.sqrt(np.vecdot(made, made) * (1.0 / n) + eps)
                    made *= scale.reshape(-1, 1)
            else:
                scale = 1.0 / np.sqrt(square + eps)
                np.multiply(x, scale.reshape(-1, 1), made)
            rstd[part] = scale
            last = made
            for function, row, wide in affine:
                function(last.reshape(wide), row, out.reshape(wide))
                last = out
            if last is made:
                out[...] = made
    return y, xhat, rstd


def _large_layer_norm_backward(g, weight, saved, rstd, centred):
    """The gradients of input (as rows), weight and bias of many numbers, block by block."""
    n, d = g.shape[1], g.dtype
    made, sums = np.empty_like(g), np.zeros((2, n), d)
    share = _constant(n, 1.0 / n, d)
    if weight is not None:
        share = share * weight.reshape(-1)
        row = _tiled(weight, len(g))
        wide = (-1, row.size)
    with LongRows(n, g.size):
        for part in row_blocks(len(g), n):
            of_y, xhat, out = g[part], saved[part], made[part]
            along = np.multiply(of_y, xhat)
            means = np.dot(along, share).reshape(-1, 1)
            if weight is None:
                np.multiply(xhat, means, along)
                np.subtract(of_y, along, out)
            else:
                ones = _constant(len(of_y), 1.0, d)
                sums[0] += np.dot(ones, along)
                sums[1] += np.dot(ones, of_y)
                np.multiply(of_y.reshape(wide), row, out.reshape(wide))
                out -= np.multiply(xhat, means, along)
            if centred:
                out -= np.dot(of_y, share).reshape(-1, 1)
            out *= rstd[part].reshape(-1, 1)
    return made, *sums


def _layer_norm_backward_cpu(grad, x, weight, saved, rstd, *, n, eps, centred):
    d = x.dtype
    if d.itemsize == 2:
        made = _layer_norm_backward_cpu(
            _up(grad), _up(x), _up(weight), saved, rstd, n=n, eps=eps, centred=centred
        )
        return made.astype(d) if weight is None else tuple([part.astype(d) for part in made])
    g = grad.reshape(-1, n)
    if not g.size:
        nothing = np.zeros(x.shape, d)
        return nothing if weight is None else (nothing, np.zeros(weight.shape, d), np.zeros(weight.shape, d))
    if pays(*g.shape):
        made, *sums = _large_layer_norm_backward(g, weight, saved, rstd, centred)
        made = made.reshape(x.shape)
        return made if weight is None else (made, *[v.reshape(weight.shape) for v in sums])
    along = np.multiply(g, saved)
    share = _constant(n, 1.0 / n, d)
    a = g
    if weight is not None:
        w = weight.reshape(-1)
        ones = _constant(len(g), 1.0, d)
        of_weight, of_bias = np.dot(ones, along), np.dot(ones, g)
        a = _with_row(np.multiply, g, w, np.empty_like(g))
        share = np.multiply(share, w)
    means = np.dot(along, share).reshape(-1, 1)
    made = np.multiply(saved, means, along)
    np.subtract(a, made, made)
    if centred:
        np.subtract(made, np.dot(g, share).reshape(-1, 1), made)
    made = np.multiply(made, rstd.reshape(-1, 1), made).reshape(x.shape)
    if weight is None:
        return made
    return made, of_weight.reshape(weight.shape), of_bias.reshape(weight.shape)


def _row_grid(rows: int, n: int) -> tuple[int, int, int]:
    """grid, block, threads of a row."""
    return (-(-rows // 4), 128, 32) if n <= 1024 else (rows, 256, 256)


def _layer_norm_cuda(x, weight, bias, *, n, eps, centred):
    x = contiguous(x)
    weight, bias = (None if v is None else contiguous(v) for v in (weight, bias))
    rows = x.size // max(n, 1)
    y = empty(x.shape, x.dtype)
    mean, rstd = empty((rows,), _wide(x.dtype)), empty((rows,), _wide(x.dtype))
    if x.size:
        grid, block, width = _row_grid(rows, n)
        pointers = (x.ptr, 0, _pointer(weight), _pointer(bias), mean.ptr, rstd.ptr, y.ptr)
        _layer_norm[x.dtype](grid, block, *pointers, rows, n, eps, width, int(centred))
    return y, mean, rstd


def _layer_norm_backward_cuda(grad, x, weight, saved, rstd, *, n, eps, centred):
    x, grad = contiguous(x), contiguous(grad)
    out = empty(x.shape, x.dtype)
    rows = x.size // max(n, 1)
    w = None if weight is None else contiguous(weight)
    if x.size:
        grid, block, width = _row_grid(rows, n)
        pointers = (x.ptr, grad.ptr, _pointer(w), 0, saved.ptr, rstd.ptr, out.ptr)
        _layer_norm_backward[x.dtype](grid, block, *pointers, rows, n, eps, width, int(centred))
    if w is None:
        return out
    of_weight, of_bias = empty(weight.shape, x.dtype), empty(weight.shape, x.dtype)
    if n:
        blocks = -(-n // 32)
        splits = max(1, min(512 // blocks, rows // 64))
        chunk = -(-rows // splits)
        partial = empty((2, splits, n), _wide(x.dtype))
        pointers = (x.ptr, grad.ptr, saved.ptr, rstd.ptr, partial.ptr, of_weight.ptr, of_bias.ptr)
        _layer_norm_columns[x.dtype]((blocks, splits), (32, 8), *pointers, rows, n, chunk, splits, 0)
        _layer_norm_columns_finish[x.dtype](-(-n // 128), 128, *pointers, rows, n, chunk, splits, 0)
    return out, of_weight, of_bias


def _second(gs, g, x, weight, view, dims, affine, eps, centred=True):
    """Gradients of the backward pass of any normalisation, from those of its results (one without a weight, else three).

    `view` is the shape in which `dims` are the normalised dimensions and `affine` is the weight's shape.
    With P(v) = rstd (v − mean(v) − xhat mean(v xhat)) the backward pass is dx = P(g weight); P is symmetric, and
    the derivative of xhat along any direction is P, so that the second pass is made of P, too.
    """
    h, of_w, of_b = gs if len(gs) == 3 else (*gs, None, None)
    x_shape = x.shape

    def mean(v: Any) -> Any:
        return mean_op(v, dims=dims, keepdim=True)

    x, g = x.reshape(view), g.reshape(view)
    if centred:
        x = x - mean(x)
    rstd = _pw.rsqrt(mean(x * x) + eps)
    xhat = x * rstd

    def project(v: Any) -> Any:
        inner = v - xhat * mean(v * xhat)
        return rstd * (inner - mean(v) if centred else inner)

    w = None if weight is None else weight.reshape(affine)
    along = None  # what the result wants of xhat
    of_g: Any = None
    of_x: Any = None
    of_weight: Any = None
    if h is not None:
        h = h.reshape(view)
        a = g if w is None else g * w
        ph = project(h)
        of_g = ph if w is None else ph * w
        of_weight = None if w is None else g * ph
        mean_a, mean_h = mean(a * xhat), mean(h * xhat)
        along = -rstd * (h * mean_a + a * mean_h)
        of_rstd = mean(h * a) - mean_h * mean_a
        if centred:
            of_rstd = of_rstd - mean(h) * mean(a)
        of_x = -of_rstd * rstd * rstd * xhat
    if of_w is not None:
        of_w = of_w.reshape(affine)
        part = xhat * of_w
        of_g = part if of_g is None else of_g + part
        part = g * of_w
        along = part if along is None else along + part
    if of_b is not None:
        part = broadcast_op(of_b.reshape(affine), shape=tuple(view))
        of_g = part if of_g is None else of_g + part
    if along is not None:
        part = project(along)
        of_x = part if of_x is None else of_x + part
    if of_weight is not None:
        over = tuple([i for i, m in enumerate(affine) if m == 1])
        of_weight = sum_op(of_weight, dims=over, keepdim=False).reshape(weight.shape)
    return of_g.reshape(x_shape), None if of_x is None else of_x.reshape(x_shape), of_weight


def _layer_norm_second(gs, grad, x, weight, *, n, eps, centred):
    rows = prod(x.shape) // max(n, 1)
    return (*_second(gs, grad, x, weight, (rows, n), (1,), (1, n), eps, centred), None, None)


layer_norm_backward_op = Op(
    "layer_norm_backward",
    cpu=_layer_norm_backward_cpu,
    cuda=_layer_norm_backward_cuda,
    grads=_layer_norm_second,
)


def _layer_norm_rule(g0, x, weight, bias_shape, y1, y2, *, n, eps, centred):
    made = layer_norm_backward_op(g0, x, weight, y1, y2, n=n, eps=eps, centred=centred)
    if weight is not None:
        return made
    if bias_shape is None:
        return made, None, None
    return made, None, sum_op(g0.reshape((-1, *bias_shape)), dims=(0,), keepdim=False)


# Outputs: y; xhat (cpu) or the means of the rows (cuda); 1/deviation of each row.
layer_norm_op = Op(
    "layer_norm",
    cpu=_layer_norm_cpu,
    cuda=_layer_norm_cuda,
    grads=_layer_norm_rule,
    differentiable=(True, False, False),
)


class _LayerNorm(Saving):
    """`layer_norm` with weight and bias on the CPU in few steps: for small nets the steps cost more than the arithmetic."""

    name, node_name = "layer_norm", "NativeLayerNormBackward0"
    inputs = ("input", "weight", "bias")

    def of(self, tensors: tuple, x: np.ndarray, w: np.ndarray, b: np.ndarray, eps: float) -> Tensor:
        """The output for (input, weight, bias) whose arrays are `x`, `w` and `b`."""
        n = w.size
        y, xhat, rstd = _layer_norm_cpu(x, w, b, n=n, eps=eps, centred=True)
        return self._record(tensors, y, (x, w, xhat, rstd), {"n": n, "eps": eps, "centred": True})

    def _record(self, tensors: tuple, y: np.ndarray, saved: tuple, attrs: dict) -> Tensor:
        output = wrap(y)
        if state.grad:
            input, weight, bias = tensors
            of_x, of_w, of_b = input._edge, weight._edge, bias._edge
            if of_x is not None or of_w is not None or of_b is not None:
                cell, other = input._version_cell(), weight._version_cell()
                edges = (
                    input if of_x is LEAF else of_x,
                    weight if of_w is LEAF else of_w,
                    bias if of_b is LEAF else of_b,
                )
                output._edge = new_node(self, edges, saved, (cell, cell[0], other, other[0]), attrs)
        return output

    def _saves(self, node: Node) -> Sequence[tuple[str, int]]:
        return [("in", 0), ("in", 1), ("", 2), ("", 3)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, w, xhat, rstd = unpack(node)
        if create_graph:
            x, w = from_saved(x, node.edges[0]), from_saved(w, node.edges[1])
            return layer_norm_backward_op(g, x, w, wrap(xhat), wrap(rstd), **node.attrs)
        return _layer_norm_backward_cpu(g, x, w, xhat, rstd, **node.attrs)


_layer_norm_of = _LayerNorm().of
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


# The variance as the mean of squares less the squared mean saves a pass, and has lost a digit where it is less than this
# part of the former (or all of them, as inf - inf). Then the mean is taken away first.
_FAR = 0.1


# ---- group norm on the CPU: x as (samples, groups, channels of a group, inner) ----
def _row_dot(x: Any, y: Any) -> Any:
    """The product of each row of `x` with that of `y`, as a column."""
    n = x.shape[1]
    if n < 32:  # a call of BLAS a row costs more than the row
        return np.dot(np.multiply(x, y), _constant(n, 1.0, x.dtype)).reshape(-1, 1)
    return np.vecdot(x, y).reshape(-1, 1)


def _group_norm_cpu(x, weight, bias, *, groups, eps):
    """y; the values as they are or, where their mean is large, less it; that mean and 1/deviation of each group.

    What differs from channel to channel and from sample to sample is multiplied first, while it is small.
    """
    samples, channels = x.shape[:2]
    values, each = x.reshape(samples * groups, -1), (samples, groups, 1)
    n = values.shape[1]
    mean = np.dot(values, _constant(n, 1.0 / n, x.dtype)).reshape(-1, 1)
    square = _row_dot(values, values) * (1.0 / n)
    var = square - mean * mean
    if not (var >= _FAR * square).all():
        values = np.subtract(values, mean)
        mean = np.zeros_like(mean)
        var = _row_dot(values, values) * (1.0 / n)
    mean, rstd = mean.reshape(each), (1.0 / np.sqrt(var + eps)).reshape(each)
    scale = rstd * weight.reshape(groups, -1)
    shift = bias.reshape(groups, -1) - mean * scale
    rows = values.reshape(samples * channels, -1)
    with LongRows(rows.shape[1], rows.size):
        y = np.multiply(rows, scale.reshape(-1, 1))
        y += shift.reshape(-1, 1)
    return y.reshape(x.shape), values, mean, rstd


def _group_norm_backward_cpu(g, x, weight, values, mean, rstd, *, groups, eps):
    """rstd (a − mean(a) − xhat mean(a xhat)) with a = g weight and means over groups, collected as g · c + x · c' + c''."""
    samples, channels = x.shape[:2]
    rows, each = (samples * channels, -1), (samples, groups, channels // groups)
    g, values, w = g.reshape(rows), values.reshape(rows), weight.reshape(groups, -1)
    plain = np.dot(g, _constant(g.shape[1], 1.0, g.dtype)).reshape(each)  # sums over each channel: of g
    along = (_row_dot(g, values).reshape(each) - mean * plain) * rstd  # and of g xhat
    share = rstd * (-1.0 / (each[2] * g.shape[1]))
    of_values = np.vecdot(along, w).reshape(rstd.shape) * share * rstd
    shift = np.vecdot(plain, w).reshape(rstd.shape) * share - mean * of_values
    with LongRows(g.shape[1], g.size):
        made = np.multiply(values.reshape(samples * groups, -1), of_values.reshape(-1, 1))
        made += shift.reshape(-1, 1)
        made = made.reshape(g.shape)
        made += np.multiply(g, (rstd * w).reshape(rows))
    ones = _constant(samples, 1.0, g.dtype)
    of_weight, of_bias = (np.dot(ones, v.reshape(samples, channels)) for v in (along, plain))
    return made.reshape(x.shape), of_weight, of_bias


class _GroupNorm(_LayerNorm):
    """Group norm with weight and bias on the CPU. In a derivative that is differentiated again it is layer norm and a product."""

    name, node_name = "group_norm", "NativeGroupNormBackward0"

    def of(self, tensors: tuple, x: np.ndarray, w: np.ndarray, b: np.ndarray, eps: float, groups: int = 1) -> Tensor:  # fmt: skip
        """The output for (input, weight, bias) whose arrays are `x`, `w` and `b`."""
        y, *saved = _group_norm_cpu(x, w, b, groups=groups, eps=eps)
        return self._record(tensors, y, (x, w, *saved), {"groups": groups, "eps": eps})

    def _saves(self, node: Node) -> Sequence[tuple[str, int]]:
        return [("in", 0), ("in", 1), ("", 2), ("", 3), ("", 4)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, w, *saved = unpack(node)
        groups, eps = node.attrs["groups"], node.attrs["eps"]
        if not create_graph:
            return _group_norm_backward_cpu(g, x, w, *saved, groups=groups, eps=eps)
        x, w = from_saved(x, node.edges[0]), from_saved(w, node.edges[1])
        n = prod(x.shape[1:]) // groups
        y, *saved = layer_norm_op(x, None, None, n=n, eps=eps, centred=True)
        a = g * w.reshape((-1, *(1,) * (x.ndim - 2)))
        made = layer_norm_backward_op(a, x, None, *saved, n=n, eps=eps, centred=True)
        over = (0, *range(2, x.ndim))
        return made, sum_op(g * y, dims=over, keepdim=False), sum_op(g, dims=over, keepdim=False)


_group_norm_of = _GroupNorm().of


def _normalised_groups(input: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:  # fmt: skip
    """Group norm after the checks."""
    x = input._a
    if weight is not None and bias is not None and not (SPECIAL and state.special):
        w, b = weight._a, bias._a
        if type(x) is type(w) is type(b) is np.ndarray and x.dtype is w.dtype is b.dtype and x.dtype in _DIRECT:  # fmt: skip
            if x.size:
                return _group_norm_of((input, weight, bias), x, w, b, eps, groups)
    n = prod(x.shape[1:]) // groups
    y = layer_norm_op(input, None, None, n=n, eps=eps, centred=True)[0]
    return _per_channel(y, weight, bias)


# ---- batch norm: x as (outer, channels, inner) ----
def _channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], shape[1], prod(shape[2:])


def _channel_sum(x: Any, factor: float = 1.0) -> Any:
    """`factor` times the sum over each channel."""
    outer, channels, inner = x.shape
    if inner > 1:
        x = np.dot(x.reshape(outer * channels, inner), _constant(inner, 1.0, x.dtype))
    return np.dot(_constant(outer, factor, x.dtype), x.reshape(outer, channels))


def _channel_dot(x: Any, y: Any, factor: float = 1.0) -> Any:
    """`factor` times the sum of x · y over each channel."""
    if x.shape[2] < 32:  # as in _row_dot
        return _channel_sum(np.multiply(x, y), factor)
    return np.dot(_constant(x.shape[0], factor, x.dtype), np.vecdot(x, y))


def _batch_norm_cpu(x, weight, bias, running_mean, running_var, *, eps, momentum):
    d, view = x.dtype, _channels(x.shape)
    n = view[0] * view[2]
    values = _up(x).reshape(view)
    if not values.size:
        return x.copy(), np.zeros(view[1], values.dtype), np.ones(view[1], values.dtype)
    mean = _channel_sum(values, 1 / n)
    square = _channel_dot(values, values, 1 / n)
    var = square - mean * mean
    middle = mean
    if not (var >= _FAR * square).all():
        values, middle = np.subtract(values, mean.reshape(-1, 1)), np.zeros_like(mean)
        var = _channel_dot(values, values, 1 / n)
    if running_mean is not None:
        running_mean *= 1 - momentum
        running_mean += (momentum * mean).astype(running_mean.dtype, copy=False)
    if running_var is not None:
        running_var *= 1 - momentum
        running_var += (var * (momentum * n / max(n - 1, 1))).astype(running_var.dtype, copy=False)
    rstd = 1 / np.sqrt(var + eps)
    scale = rstd if weight is None else rstd * _up(weight)
    shift = -middle * scale
    if bias is not None:
        shift += _up(bias)
    with LongRows(view[2], values.size):
        y = np.multiply(values, scale.reshape(-1, 1))
        y += shift.reshape(-1, 1)
    return _down(y.reshape(x.shape), d), mean, rstd


def _batch_norm_backward_cpu(grad, x, weight, mean, rstd, *, eps):
    d, view = x.dtype, _channels(x.shape)
    g, values = _up(grad).reshape(view), _up(x).reshape(view)
    if not g.size:
        nothing = np.zeros(x.shape, d)
        return nothing if weight is None else (nothing, np.zeros(weight.shape, d), np.zeros(weight.shape, d))
    n = view[0] * view[2]
    if not np.abs(mean * rstd).max() <= 3:  # _FAR again
        values, mean = np.subtract(values, mean.reshape(-1, 1)), np.zeros_like(mean)
    plain = _channel_sum(g)
    along = (_channel_dot(g, values) - mean * plain) * rstd
    scale = rstd if weight is None else rstd * _up(weight)
    share = scale * (-1 / n)
    of_values = share * rstd * along
    with LongRows(view[2], g.size):
        made = np.multiply(values, of_values.reshape(-1, 1))
        made += (share * plain - mean * of_values).reshape(-1, 1)
        made += np.multiply(g, scale.reshape(-1, 1))
    made = _down(made.reshape(x.shape), d)
    return made if weight is None else (made, _down(along, d), _down(plain, d))


def _channel_launch(kernel: Kernel, grid: Any, dtype: Any, pointers: tuple, view: tuple, chunk: int, splits: int) -> None:  # fmt: skip
    outer, channels, inner = view
    wide = int(outer * channels * inner >= 1 << 31)
    words = (0,) * 6 if wide else (*fast_division(max(inner, 1)), *fast_division(max(channels, 1)))
    kernel[dtype](grid, 256, *pointers, outer, channels, inner, chunk, splits, 0, *words, wide, 0)


def _batch_norm_cuda(x, weight, bias, running_mean, running_var, *, eps, momentum):
    x = contiguous(x)
    weight, bias = (None if v is None else contiguous(v) for v in (weight, bias))
    view, wide = _channels(x.shape), _wide(x.dtype)
    channels = view[1]
    if not x.size:
        return empty(x.shape, x.dtype), zeros((channels,), wide), zeros((channels,), wide)
    y, rstd = empty(x.shape, x.dtype), empty((channels,), wide)
    n = view[0] * view[2]
    name = "variance" if wide == x.dtype else "variance_wide"
    var, mean = reduce_cuda(name, x.reshape(view), (0, 2), False, (wide, wide), 0.0)
    pointers = (var.ptr, mean.ptr, rstd.ptr, _pointer(running_mean), _pointer(running_var))
    _batch_norm_moments[x.dtype](
        -(-channels // 128), 128, *pointers, channels, eps, momentum, n / max(n - 1, 1)
    )
    addresses = (x.ptr, 0, _pointer(weight), _pointer(bias), mean.ptr, rstd.ptr, 0, 0, y.ptr, 0, 0)
    _channel_launch(_batch_norm, min(-(-x.size // 256), 1 << 16), x.dtype, addresses, view, 0, 1)
    return y, mean, rstd


def _batch_norm_backward_cuda(grad, x, weight, saved, rstd, *, eps):
    x, grad = contiguous(x), contiguous(grad)
    view, wide = _channels(x.shape), _wide(x.dtype)
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
            *(x.ptr, grad.ptr, _pointer(w), 0, saved.ptr, rstd.ptr, sums.ptr, partial.ptr),
            *(out.ptr, _pointer(of_weight), _pointer(of_bias)),
        )
        _channel_launch(_batch_norm_sums, (channels, splits), x.dtype, pointers, view, chunk, splits)
        _channel_launch(_batch_norm_sums_finish, -(-channels // 256), x.dtype, pointers, view, chunk, splits)
        if x.size:
            grid = min(-(-x.size // 256), 1 << 16)
            _channel_launch(_batch_norm_backward, grid, x.dtype, pointers, view, chunk, splits)
    return out if w is None else (out, of_weight, of_bias)


def _batch_norm_second(gs, grad, x, weight, *, eps):
    view = _channels(x.shape)
    made = _second(gs, grad, x, weight, view, (0, 2), (1, view[1], 1), eps)
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
            and x.dtype in _DIRECT
        ):
            shape = w.shape
            given = normalized_shape if type(normalized_shape) is tuple else None
            if given == shape == b.shape and shape and x.shape[-len(shape) :] == shape:
                return _layer_norm_of((input, weight, bias), x, w, b, float(eps))
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
    return _normalised_groups(input, num_groups, weight, bias, float(eps))


def _affine(op: str, input: Tensor, channels: int, **affine: Tensor | None) -> None:
    for name, v in affine.items():
        if v is not None and v._a.shape != (channels,):
            raise RuntimeError(
                f"{op}: Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(v._a.shape)} and input of shape {list(input._a.shape)}"
            )
    _same_dtype(op, input, **affine)


def _per_channel(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """y · weight + bias with one entry a channel."""
    shape = (-1, *(1,) * (y._a.ndim - 2))
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


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
        return _per_channel(input, scale, shift if bias is None else shift + bias)
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
        return _normalised_groups(input, channels, weight, bias, float(eps))
    # As a batch of one sample with samples · channels channels, each with statistics of its own.
    each = [None if v is None else v.repeat(samples) for v in (running_mean, running_var)]
    flat = input.reshape((1, samples * channels, *shape[2:]))
    y = batch_norm(flat, each[0], each[1], None, None, True, momentum, eps).reshape(shape)
    for v, many in zip((running_mean, running_var), each):
        if v is not None and many is not None:
            v.copy_(many.reshape((samples, channels)).mean(0))
    return _per_channel(y, weight, bias)
