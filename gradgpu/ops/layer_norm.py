"""Layer norm and RMS norm; group norm on the CPU, which shares their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..autograd.modes import SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.array import contiguous, empty
from ..cuda.launch import Kernel
from ..dtypes import FLOATS
from ..scalars import zero_dim
from ..tensor import Tensor, wrap
from . import pointwise as _pw
from .blocks import LongRows, pays, row_blocks
from .moments import mean_op
from .reduce import broadcast_op, sum_op
from .registry import Op
from .saved import Saving, from_saved, unpack

_ROWS, _COLUMNS = "PPPPPPPqqdii", "PPPPPPPqqqii"
_layer_norm = Kernel("norm.cu", "layer_norm", _ROWS, T=FLOATS)
_layer_norm_backward = Kernel("norm.cu", "layer_norm_backward", _ROWS, T=FLOATS)
_layer_norm_columns = Kernel("norm.cu", "layer_norm_columns", _COLUMNS, T=FLOATS)
_layer_norm_columns_finish = Kernel("norm.cu", "layer_norm_columns_finish", _COLUMNS, T=FLOATS)


def up(x: Any) -> Any:
    """Half types as float32; None stays."""
    return x if x is None or x.dtype.itemsize > 2 else x.astype(np.float32)


def wide_dtype(d: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if d.itemsize == 2 else d


def down(x: Any, d: np.dtype) -> Any:
    return x if x.dtype is d else x.astype(d, copy=False)


@lru_cache(maxsize=256)
def constant(n: int, value: float, dtype: np.dtype) -> np.ndarray:
    """A vector to take sums and means with: a product with it is several times faster than a reduction."""
    return np.full(n, value, dtype)


def pointer(x: Any) -> int:
    return 0 if x is None else x.ptr


# ---- layer norm: the last dimensions of x as n, the others as rows ----
def _layer_norm_cpu(x, weight, bias, *, n, eps, centred):
    d = x.dtype
    if d.itemsize == 2:
        y, xhat, rstd = _layer_norm_cpu(up(x), up(weight), up(bias), n=n, eps=eps, centred=centred)
        return y.astype(d), xhat, rstd
    rows = x.reshape(-1, n)
    if not rows.size:
        return x.copy(), rows, np.ones(rows.shape[0], d)
    if pays(*rows.shape):
        y, xhat, rstd = _large_layer_norm(rows, weight, bias, eps, centred)
        return y.reshape(x.shape), xhat, rstd
    mean = constant(n, 1.0 / n, d)
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
    share = constant(n, 1.0 / n, d)
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
                if (var >= FAR * square).all():
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
    share = constant(n, 1.0 / n, d)
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
                ones = constant(len(of_y), 1.0, d)
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
            up(grad), up(x), up(weight), saved, rstd, n=n, eps=eps, centred=centred
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
    share = constant(n, 1.0 / n, d)
    a = g
    if weight is not None:
        w = weight.reshape(-1)
        ones = constant(len(g), 1.0, d)
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
    mean, rstd = empty((rows,), wide_dtype(x.dtype)), empty((rows,), wide_dtype(x.dtype))
    if x.size:
        grid, block, width = _row_grid(rows, n)
        pointers = (x.ptr, 0, pointer(weight), pointer(bias), mean.ptr, rstd.ptr, y.ptr)
        _layer_norm[x.dtype](grid, block, *pointers, rows, n, eps, width, int(centred))
    return y, mean, rstd


def _layer_norm_backward_cuda(grad, x, weight, saved, rstd, *, n, eps, centred):
    x, grad = contiguous(x), contiguous(grad)
    out = empty(x.shape, x.dtype)
    rows = x.size // max(n, 1)
    w = None if weight is None else contiguous(weight)
    if x.size:
        grid, block, width = _row_grid(rows, n)
        pointers = (x.ptr, grad.ptr, pointer(w), 0, saved.ptr, rstd.ptr, out.ptr)
        _layer_norm_backward[x.dtype](grid, block, *pointers, rows, n, eps, width, int(centred))
    if w is None:
        return out
    of_weight, of_bias = empty(weight.shape, x.dtype), empty(weight.shape, x.dtype)
    if n:
        blocks = -(-n // 32)
        splits = max(1, min(512 // blocks, rows // 64))
        chunk = -(-rows // splits)
        partial = empty((2, splits, n), wide_dtype(x.dtype))
        pointers = (x.ptr, grad.ptr, saved.ptr, rstd.ptr, partial.ptr, of_weight.ptr, of_bias.ptr)
        _layer_norm_columns[x.dtype]((blocks, splits), (32, 8), *pointers, rows, n, chunk, splits, 0)
        _layer_norm_columns_finish[x.dtype](-(-n // 128), 128, *pointers, rows, n, chunk, splits, 0)
    return out, of_weight, of_bias


def second(gs, g, x, weight, view, dims, affine, eps, centred=True):
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
    return (*second(gs, grad, x, weight, (rows, n), (1,), (1, n), eps, centred), None, None)


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


layer_norm_of = _LayerNorm().of
DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


# The variance as the mean of squares less the squared mean saves a pass, and has lost a digit where it is less than this
# part of the former (or all of them, as inf - inf). Then the mean is taken away first.
FAR = 0.1


# ---- group norm on the CPU: x as (samples, groups, channels of a group, inner) ----
def row_dot(x: Any, y: Any) -> Any:
    """The product of each row of `x` with that of `y`, as a column."""
    n = x.shape[1]
    if n < 32:  # a call of BLAS a row costs more than the row
        return np.dot(np.multiply(x, y), constant(n, 1.0, x.dtype)).reshape(-1, 1)
    return np.vecdot(x, y).reshape(-1, 1)


def _group_norm_cpu(x, weight, bias, *, groups, eps):
    """y; the values as they are or, where their mean is large, less it; that mean and 1/deviation of each group.

    What differs from channel to channel and from sample to sample is multiplied first, while it is small.
    """
    samples, channels = x.shape[:2]
    values, each = x.reshape(samples * groups, -1), (samples, groups, 1)
    n = values.shape[1]
    mean = np.dot(values, constant(n, 1.0 / n, x.dtype)).reshape(-1, 1)
    square = row_dot(values, values) * (1.0 / n)
    var = square - mean * mean
    if not (var >= FAR * square).all():
        values = np.subtract(values, mean)
        mean = np.zeros_like(mean)
        var = row_dot(values, values) * (1.0 / n)
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
    plain = np.dot(g, constant(g.shape[1], 1.0, g.dtype)).reshape(each)  # sums over each channel: of g
    along = (row_dot(g, values).reshape(each) - mean * plain) * rstd  # and of g xhat
    share = rstd * (-1.0 / (each[2] * g.shape[1]))
    of_values = np.vecdot(along, w).reshape(rstd.shape) * share * rstd
    shift = np.vecdot(plain, w).reshape(rstd.shape) * share - mean * of_values
    with LongRows(g.shape[1], g.size):
        made = np.multiply(values.reshape(samples * groups, -1), of_values.reshape(-1, 1))
        made += shift.reshape(-1, 1)
        made = made.reshape(g.shape)
        made += np.multiply(g, (rstd * w).reshape(rows))
    ones = constant(samples, 1.0, g.dtype)
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


def normalised_groups(input: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:  # fmt: skip
    """Group norm after the checks."""
    x = input._a
    if weight is not None and bias is not None and not (SPECIAL and state.special):
        w, b = weight._a, bias._a
        if type(x) is type(w) is type(b) is np.ndarray and x.dtype is w.dtype is b.dtype and x.dtype in DIRECT:  # fmt: skip
            if x.size:
                return _group_norm_of((input, weight, bias), x, w, b, eps, groups)
    n = prod(x.shape[1:]) // groups
    y = layer_norm_op(input, None, None, n=n, eps=eps, centred=True)[0]
    return per_channel(y, weight, bias)


def per_channel(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """y · weight + bias with one entry a channel."""
    shape = (-1, *(1,) * (y._a.ndim - 2))
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)
