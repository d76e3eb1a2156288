"""Convolutions in one and two dimensions, and transposed ones.

Three ops, each the gradient of the others: `conv2d` (output from image and weight), `conv2d_input_grad`
(image from output and weight: the transposed convolution) and `conv2d_weight_grad` (weight from output and
image). What is bilinear differentiates to any order within the three.

On the CPU a convolution is a matrix product with the patches of the image laid out as columns (im2col;
Chellapilla, Puri, Simard 2006). With stride 1 in height and enough channels only the columns along the
width are laid out, kernel_h times fewer: the patches of each kernel row are then a slice of them. A transposed convolution
with a stride is one convolution for each phase of its result. Depthwise convolutions go another way where it is faster
(depthwise.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..cuda.conv import convolve
from ..tensor import Tensor
from . import depthwise
from .depthwise import overlap
from .join import cat
from .linalg import _check_types
from .pad import constant_pad_op
from .reduce import sum_op
from .registry import Op, refuse_others

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"]

Pair = tuple[int, int]

_ROWS_FROM = 24  # channels * kernel_w from which the row form is faster
_FLIP_FROM = 8  # input channels from which the input gradient is best made as a convolution of g
_SHORT_ROW = 12  # places
_TOGETHER_BELOW = 256  # places of an output below which all images are one product


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Positions of a kernel along one dimension."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _output(image: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    h, w = (out_size(*each) for each in zip(image[-2:], kernel, stride, padding, dilation))
    return h, w


# ---- on the CPU ----
def _zeros(shape, dtype, inner):
    """Images of zeros; with `inner` the batch is innermost in memory, though first in the shape."""
    return np.zeros((*shape[1:], shape[0]), dtype).transpose(3, 0, 1, 2) if inner else np.zeros(shape, dtype)


def _padded(x, padding, inner):
    """Images with zeros around them."""
    ph, pw = padding
    if not (ph or pw or inner):
        return x
    n, c, h, w = x.shape
    y = _zeros((n, c, h + 2 * ph, w + 2 * pw), x.dtype, inner)
    y[:, :, ph : ph + h, pw : pw + w] = x
    return y


def _batches(n: int, bytes_each: int, most: int = 16 << 20, least: int = 1) -> Iterator[slice]:
    """Slices of a batch whose columns fit into the cache or nearly so: of at most so many bytes, if that is `least` images."""
    step = max(1, least, most // max(bytes_each, 1))
    return (slice(i, min(i + step, n)) for i in range(0, n, step))


class _Columns:
    """The patches of an image (N, C, H, W) as columns (N, groups, rows, places), a part of the batch at a time.

    Of small outputs the columns of all images stand together, (1, groups, rows, places), as one large product takes less time
    than many small ones: in the order (height, N, width), or (height, width, N) if that makes longer pieces of memory to copy.
    """

    def __init__(self, x, kernel, stride, padding, dilation, groups):
        (kh, kw), (dh, dw) = kernel, dilation
        self.oh, self.ow = oh, ow = _output(x.shape, kernel, stride, padding, dilation)
        self.groups, per_group = groups, x.shape[1] // groups
        self.together = len(x) > 1 and oh * ow < min(_TOGETHER_BELOW, 2 * per_group * kh * kw)
        inner = self.together and len(x) >= 2 * ow
        self.x = x = _padded(x, padding, inner)
        n, c, h, _ = x.shape
        self.by_rows = stride[0] == 1 and kh > 1 and per_group * kw >= _ROWS_FROM
        # Where the places of each factor of a matrix product begin: one of whole patches, or one for each kernel row.
        self.starts = [i * dh for i in range(kh)] if self.by_rows else [0]
        self.rows = per_group * kw * (1 if self.by_rows else kh)
        image, channel, row, place = x.strides
        sizes, steps = (
            [c, kw, h if self.by_rows else oh, ow],
            [channel, place * dw, row * stride[0], place * stride[1]],
        )
        if not self.by_rows:
            sizes.insert(1, kh)
            steps.insert(1, row * dh)
        self.batch_axis = (len(sizes) if inner else len(sizes) - 1) if self.together else 0
        # The dimensions (N, O, oh, ow) of the output in the order of the product of all images.
        self.order = (1, 2, 3, 0) if inner else (1, 2, 0, 3)
        sizes.insert(self.batch_axis, n)
        steps.insert(self.batch_axis, image)
        self.view_shape, self.view_strides = sizes, tuple(steps)

    def parts(self):
        """(slice of the batch, its columns as one factor for each start)."""
        n = len(self.x)
        for part in _batches(n, prod(self.view_shape) // max(n, 1) * self.x.itemsize):
            images, shape = self.x[part], self.view_shape.copy()
            shape[self.batch_axis] = count = len(images)
            columns = as_strided(images, shape, self.view_strides)
            columns = columns.reshape(1 if self.together else count, self.groups, self.rows, -1)
            step = self.ow * (count if self.together else 1)
            yield part, [columns[..., i * step : (i + self.oh) * step] for i in self.starts]

    def outputs(self, y):
        """A part of the output (N, O, oh, ow) as the product has it: (N or 1, groups, O / groups, places)."""
        n, o = y.shape[:2]
        if self.together:
            n, y = 1, y.transpose(self.order)
        return y.reshape(n, self.groups, o // self.groups, -1)

    def weights(self, weight):
        """The weight (O, C / groups, KH, KW) as one matrix a start: (groups, O / groups, rows)."""
        o, kh = weight.shape[0], len(self.starts)
        if self.by_rows:
            weight = weight.transpose(2, 0, 1, 3)
        return weight.reshape(kh, self.groups, o // self.groups, self.rows)


def _forward(x, weight, stride, padding, dilation, groups):
    n, o, kernel = x.shape[0], weight.shape[0], weight.shape[2:]
    if weight.shape[1] == 1 < groups:
        out = _output(x.shape, kernel, stride, padding, dilation)
        if depthwise.suits_forward(n, groups, o // groups, out, kernel, stride, dilation):
            y = depthwise.forward(x, weight, out, stride, padding, dilation)
            if y is not None:
                return y
    columns = _Columns(x, kernel, stride, padding, dilation, groups)
    oh, ow = columns.oh, columns.ow
    y = np.empty((n, o, oh, ow), x.dtype)
    weights = columns.weights(weight)
    for part, factors in columns.parts():
        target = None if columns.together else columns.outputs(y[part])
        target = np.matmul(weights[0], factors[0], out=target)
        for matrix, factor in zip(weights[1:], factors[1:]):
            target += np.matmul(matrix, factor)
        if columns.together:
            whole = y[part].transpose(columns.order)
            whole[...] = target.reshape(whole.shape)
    return y


def _weight_gradient(g, x, kernel, stride, padding, dilation, groups):
    n, o = g.shape[:2]
    c = x.shape[1] // groups
    if c == 1 < groups:
        if depthwise.suits_forward(n, groups, o // groups, g.shape[2:], kernel, stride, dilation):
            total = depthwise.weight_gradient(g, x, kernel, stride, padding, dilation)
            if total is not None:
                return total
    columns = _Columns(x, kernel, stride, padding, dilation, groups)
    total = np.zeros((len(columns.starts), groups, o // groups, columns.rows), x.dtype)
    for part, factors in columns.parts():
        part_g = columns.outputs(g[part])
        for i, factor in enumerate(factors):
            made = np.matmul(part_g, factor.swapaxes(-1, -2))
            total[i] += made[0] if len(made) == 1 else np.add.reduce(made, axis=0)
    if columns.by_rows:
        return np.ascontiguousarray(total.reshape(kernel[0], o, c, kernel[1]).transpose(1, 2, 0, 3))
    return total.reshape(o, c, *kernel)


def _input_gradient(g, weight, size, stride, padding, dilation, groups):
    n, o, oh, ow = g.shape
    _, c, kh, kw = weight.shape
    if c == 1 < groups:
        if depthwise.suits_input_gradient(o // groups, size, (kh, kw), stride, dilation):
            x = depthwise.input_gradient(g, weight, size, stride, padding, dilation, groups)
            if x is not None:
                return x
    # A convolution of g with the weight turned around, if its padding is not negative.
    back = (dilation[0] * (kh - 1) - padding[0], dilation[1] * (kw - 1) - padding[1])
    # … and g is not much smaller than the image, whose edges would be products with zeros.
    wide = size[0] * size[1] <= 2 * oh * ow * stride[0] * stride[1]
    if wide and stride == (1, 1) and c >= _FLIP_FROM and min(back) >= 0:
        turned = weight.reshape(groups, o // groups, c, kh, kw).swapaxes(1, 2)[..., ::-1, ::-1]
        return _forward(g, turned.reshape(groups * c, o // groups, kh, kw), stride, back, dilation, groups)
    if wide and groups == 1 and dilation == (1, 1) and c >= _FLIP_FROM:
        return _input_gradient_by_phases(g, weight, size, stride, padding)
    if oh * ow == 1 and groups == 1 and padding == (0, 0) and size == (kh, kw):
        return np.dot(g.reshape(n, o), weight.reshape(o, -1)).reshape(n, c, *size)
    return _input_gradient_by_taps(g, weight, size, stride, padding, dilation, groups)


def _input_gradient_by_taps(g, weight, size, stride, padding, dilation, groups):
    """What each tap of the kernel gives to the image, added up (col2im)."""
    n, o, oh, ow = g.shape
    _, c, kh, kw = weight.shape
    # Of short rows the batch stands innermost, so that there are longer pieces of memory to add.
    inner = ow <= _SHORT_ROW and n >= 2 * ow
    x = np.zeros((n, groups * c, *size), g.dtype)
    matrix = weight.reshape(groups, o // groups, c * kh * kw).swapaxes(-1, -2)
    for part in _batches(n, groups * c * kh * kw * oh * ow * g.itemsize):
        target, images = x[part], g[part]
        count = len(images)
        if inner:
            factor = images.transpose(1, 2, 3, 0).reshape(groups, o // groups, -1)
            columns = np.matmul(matrix, factor).reshape(-1, kh, kw, oh, ow, count).transpose(1, 2, 0, 3, 4, 5)
            target = np.zeros((groups * c, *size, count), g.dtype)
            span: tuple[slice, ...] = (slice(None),)
        else:
            columns = np.matmul(matrix, images.reshape(count, groups, o // groups, oh * ow))
            columns = columns.reshape(count, -1, kh, kw, oh, ow).transpose(2, 3, 0, 1, 4, 5)
            span = (slice(None), slice(None))
        for i in range(kh):
            rows, at_rows = overlap(oh, size[0], stride[0], i * dilation[0] - padding[0])
            for j in range(kw):
                places, at_places = overlap(ow, size[1], stride[1], j * dilation[1] - padding[1])
                target[(*span, at_rows, at_places)] += columns[(i, j, *span, rows, places)]
        if inner:
            x[part] = target.transpose(3, 0, 1, 2)
    return x


def _phases(kernel: int, stride: int, padding: int) -> tuple[list[list[int]], int, int]:
    """For each phase r the taps k that reach the places stride * q + r, from g[q - (k - padding - r) / stride]; the least
    and the greatest of these shifts."""
    taps = [[k for k in range(kernel) if (k - padding - r) % stride == 0] for r in range(stride)]
    return taps, -padding // stride, (kernel - 1 - padding) // stride


def _input_gradient_by_phases(g, weight, size, stride, padding):
    """With a stride the places of an image fall into phases, which different taps of the kernel reach: each phase is a
    convolution of g with its taps, whose result is written once."""
    n, o, oh, ow = g.shape
    _, c, kh, kw = weight.shape
    down, low, high = _phases(kh, stride[0], padding[0])
    right, left, far = _phases(kw, stride[1], padding[1])
    rows, width = -(-size[0] // stride[0]), -(-size[1] // stride[1])  # of the largest phase
    shifts = far - left + 1
    # Column t, h, w of image i is g[i, :, h - high, w + t - far].
    inner = n >= 2 * width  # as in `_Columns`
    around = _zeros((n, o, rows + high - low, width + far - left), g.dtype, inner)
    at_h, from_h = overlap(around.shape[2], oh, 1, -high)
    at_w, from_w = overlap(around.shape[3], ow, 1, -far)
    around[:, :, at_h, at_w] = g[:, :, from_h, from_w]
    image, channel, row, place = around.strides
    # The taps of each phase side by side, that of the greatest shift first, as in the columns.
    order = [k for across in right for k in reversed(across)]
    matrices = np.ascontiguousarray(weight.transpose(2, 3, 0, 1)).take(order, 1).reshape(kh, -1, c)
    x = (np.empty if min(map(len, down + right)) else np.zeros)((n, c, *size), g.dtype)
    each = shifts * o * around.shape[2] * width * g.itemsize
    for part in _batches(n, each, 2 << 20, 1024 // (rows * width)):
        count = len(around[part])
        ends, steps = (count, width), (image, place)
        if inner:
            ends, steps = ends[::-1], steps[::-1]
        shape = (shifts, o, around.shape[2], *ends)
        columns = as_strided(around[part], shape, (place, channel, row, *steps)).reshape(shifts * o, -1)
        step = count * width
        for r, taps in enumerate(down):
            done = 0
            for s, across in enumerate(right):
                first, done = done, done + len(across) * o
                if not taps or not across:
                    continue
                above = (far - (across[-1] - padding[1] - s) // stride[1]) * o
                factor = columns[above : above + len(across) * o]
                total: Any = None
                for k in taps:
                    start = (high - (k - padding[0] - r) // stride[0]) * step
                    made = np.dot(matrices[k, first:done].T, factor[:, start : start + rows * step])
                    total = made if total is None else np.add(total, made, total)
                target = x[part, :, r :: stride[0], s :: stride[1]]
                total = total.reshape(c, rows, *ends).transpose((3, 0, 1, 2) if inner else (2, 0, 1, 3))
                target[...] = total[:, :, : target.shape[2], : target.shape[3]]
    return x


def _in_float32(function, a, b, *args):
    if a.dtype.itemsize == 2:
        return function(a.astype(np.float32), b.astype(np.float32), *args).astype(a.dtype)
    return function(a, b, *args)


def _conv2d_cpu(x, weight, bias, *, stride, padding, dilation, groups):
    _check_types("conv2d", x, weight, bias)
    if x.dtype.itemsize == 2:
        bias = None if bias is None else bias.astype(np.float32)
        wide = _conv2d_cpu(x.astype(np.float32), weight.astype(np.float32), bias, stride=stride, padding=padding,
                           dilation=dilation, groups=groups)  # fmt: skip
        return wide.astype(x.dtype)
    y = _forward(x, weight, stride, padding, dilation, groups)
    if bias is not None:
        y += bias.reshape(-1, 1, 1)
    return y


def _conv2d_input_grad_cpu(g, weight, *, size, stride, padding, dilation, groups):
    _check_types("conv2d_input_grad", g, weight)
    return _in_float32(_input_gradient, g, weight, size, stride, padding, dilation, groups)


def _conv2d_weight_grad_cpu(g, x, *, kernel, stride, padding, dilation, groups):
    _check_types("conv2d_weight_grad", g, x)
    return _in_float32(_weight_gradient, g, x, kernel, stride, padding, dilation, groups)


# ---- on cuda ----
def _conv2d_cuda(x, weight, bias, *, stride, padding, dilation, groups):
    _check_types("conv2d", x, weight, bias)
    kernel = weight.shape[2:]
    shape = (x.shape[0], weight.shape[0], *_output(x.shape, kernel, stride, padding, dilation))
    return convolve("conv2d", weight, x, bias, shape, x.shape, shape, kernel, stride=stride, padding=padding,
                    dilation=dilation, groups=groups)  # fmt: skip


def _conv2d_input_grad_cuda(g, weight, *, size, stride, padding, dilation, groups):
    _check_types("conv2d_input_grad", g, weight)
    shape = (g.shape[0], weight.shape[1] * groups, *size)
    return convolve("conv2d_input_grad", weight, g, None, shape, shape, g.shape, weight.shape[2:], stride=stride,
                    padding=padding, dilation=dilation, groups=groups)  # fmt: skip


def _conv2d_weight_grad_cuda(g, x, *, kernel, stride, padding, dilation, groups):
    _check_types("conv2d_weight_grad", g, x)
    shape = (g.shape[1], x.shape[1] // groups, *kernel)
    return convolve("conv2d_weight_grad", g, x, None, shape, x.shape, g.shape, kernel, stride=stride, padding=padding,
                    dilation=dilation, groups=groups)  # fmt: skip


# ---- the three ops ----
def _bias_grad(g):
    return sum_op(g, dims=(0, 2, 3), keepdim=False)


def _geometry(stride, padding, dilation, groups):
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


conv2d_op: Op = Op(
    "conv2d",
    cpu=_conv2d_cpu,
    cuda=_conv2d_cuda,
    grad={
        "x": lambda g, weight, x_shape, *, stride, padding, dilation, groups: conv2d_input_grad_op(
            g, weight, size=x_shape[2:], **_geometry(stride, padding, dilation, groups)
        ),
        "weight": lambda g, x, weight_shape, *, stride, padding, dilation, groups: conv2d_weight_grad_op(
            g, x, kernel=weight_shape[2:], **_geometry(stride, padding, dilation, groups)
        ),
        "bias": _bias_grad,
    },
)

conv2d_input_grad_op: Op = Op(
    "conv2d_input_grad",
    cpu=_conv2d_input_grad_cpu,
    cuda=_conv2d_input_grad_cuda,
    grad={
        "g": lambda g0, weight, *, stride, padding, dilation, groups: conv2d_op(
            g0, weight, None, **_geometry(stride, padding, dilation, groups)
        ),
        "weight": lambda g0, g, weight_shape, *, stride, padding, dilation, groups: conv2d_weight_grad_op(
            g, g0, kernel=weight_shape[2:], **_geometry(stride, padding, dilation, groups)
        ),
    },
)

conv2d_weight_grad_op: Op = Op(
    "conv2d_weight_grad",
    cpu=_conv2d_weight_grad_cpu,
    cuda=_conv2d_weight_grad_cuda,
    grad={
        "g": lambda g0, x, *, stride, padding, dilation, groups: conv2d_op(
            x, g0, None, **_geometry(stride, padding, dilation, groups)
        ),
        "x": lambda g0, g, x_shape, *, stride, padding, dilation, groups: conv2d_input_grad_op(
            g, g0, size=x_shape[2:], **_geometry(stride, padding, dilation, groups)
        ),
    },
)


# ---- public functions ----
def pair(name: str, argument: str, value: Any, least: int, dims: int = 2) -> tuple[int, ...]:
    """One number or one a dimension, as a tuple of ints that are at least `least`."""
    values = (value,) * dims if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) == 1:
        values *= dims
    if len(values) != dims or any(not isinstance(v, (int, np.integer)) for v in values):
        raise RuntimeError(f"{name}: {argument} must be an int or {dims} ints, got {value!r}")
    if min(values) < least:
        raise RuntimeError(f"{name}: {argument} must be at least {least}, got {value!r}")
    return tuple(int(v) for v in values)


def _check_shapes(name: str, x: tuple, weight: tuple, bias: tuple | None, groups: int, dims: int) -> None:
    if len(weight) != dims + 2:
        raise RuntimeError(
            f"{name}: weight must be {dims + 2}-D (out_channels, in_channels / groups, kernel…), got shape {weight}"
        )
    if len(x) not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{name}: Expected {dims + 1}-D (unbatched) or {dims + 2}-D (batched) input, got shape {x}"
        )
    if groups < 1:
        raise RuntimeError(f"{name}: groups must be positive, got {groups}")
    channels, outputs = x[-dims - 1], weight[0]
    if outputs % groups or channels != weight[1] * groups:
        raise RuntimeError(
            f"{name}: given groups={groups} and weight of size {list(weight)}, expected input {list(x)} to have "
            f"{weight[1] * groups} channels, but got {channels} channels (out_channels must be divisible by groups)"
        )
    if bias is not None and bias != (outputs,):
        raise RuntimeError(f"{name}: bias must have shape ({outputs},), got {bias}")


def _shape(x: Tensor | None) -> Any:
    if x is None:
        return None
    if not isinstance(x, Tensor):
        refuse_others("convolution", input=x)
    return tuple(x._a.shape)


def fixed(value: Any) -> Any:
    """A list as a tuple: what a cache can look up."""
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=4096)
def _conv2d_geometry(
    x: tuple, weight: tuple, bias: tuple | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[dict, tuple]:
    """The checked attributes of a convolution of these shapes, and what to cut off in front."""
    _check_shapes("conv2d", x, weight, bias, groups, 2)
    stride, dilation = pair("conv2d", "stride", stride, 1), pair("conv2d", "dilation", dilation, 1)
    padding, crop = _pads("conv2d", padding, weight[2:], stride, dilation)
    _check_kernel("conv2d", x[-2:], weight[2:], padding, dilation)
    return _geometry(stride, padding, dilation, int(groups)), crop


def _check_kernel(
    name: str, image: Sequence[int], kernel: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> None:
    for size, k, p, d in zip(image, kernel, padding, dilation):
        if k < 1:
            raise RuntimeError(f"{name}: kernel size must be positive, got {tuple(kernel)}")
        if size + 2 * p < d * (k - 1) + 1:
            raise RuntimeError(
                f"{name}: kernel size can't be greater than actual input size: kernel {tuple(kernel)} with dilation "
                f"{tuple(dilation)} on an input of {tuple(image)} padded by {tuple(padding)}"
            )


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """The 2-D convolution (cross-correlation) of images with kernels.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (O, C / groups, KH, KW), of input's dtype.
        bias: (O,) or None.
        stride, dilation: an int or (height, width).
        padding: zeros on either side, an int or (height, width); 'valid' is 0; 'same' keeps the size (stride 1).
        groups: channels are divided into so many independent convolutions.

    Returns:
        (N, O, OH, OW) with OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, likewise OW.

    Raises:
        RuntimeError: shapes, dtypes or arguments do not fit.

    >>> import gradgpu as gg
    >>> gg.conv2d(gg.ones(1, 1, 3, 3), gg.ones(1, 1, 2, 2)).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    >>> gg.conv2d(gg.ones(8, 3, 28, 28), gg.ones(16, 3, 3, 3), padding="same").shape
    gradgpu.Size([8, 16, 28, 28])
    """
    attrs, crop = _conv2d_geometry(
        _shape(input), _shape(weight), _shape(bias), fixed(stride), fixed(padding), fixed(dilation), groups
    )
    batched = input._a.ndim == 4
    y = conv2d_op(input if batched else input.unsqueeze(0), weight, bias, **attrs)
    if any(crop):
        y = y[:, :, crop[0] :, crop[1] :].contiguous()
    return y if batched else y.squeeze(0)


def _pads(name: str, padding: Any, kernel: Sequence[int], stride: Any, dilation: Any) -> tuple[tuple, tuple]:
    """Padding as numbers, and what to cut off in front: 'same' pads one more at the end where the total is odd."""
    if not isinstance(padding, str):
        return pair(name, "padding", padding, 0, len(kernel)), ()
    if padding == "valid":
        return (0,) * len(kernel), ()
    if padding != "same":
        raise ValueError(f"{name}: padding must be 'valid', 'same' or numbers, got {padding!r}")
    if any(s != 1 for s in stride):
        raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions; give numbers")
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    return tuple((t + 1) // 2 for t in total), tuple(t % 2 for t in total)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """The 1-D convolution: input (N, C, L) or (C, L), weight (O, C / groups, K); the arguments are those of `conv2d`.

    >>> import gradgpu as gg
    >>> gg.conv1d(gg.tensor([[1., 2., 3.]]), gg.tensor([[[1., 1.]]]))
    tensor([[3., 5.]])
    """
    _check_shapes("conv1d", _shape(input), _shape(weight), _shape(bias), groups, 1)
    (stride,), (dilation,) = (
        pair("conv1d", "stride", stride, 1, 1),
        pair("conv1d", "dilation", dilation, 1, 1),
    )
    if not isinstance(padding, str):
        padding = (0, *pair("conv1d", "padding", padding, 0, 1))
        _check_kernel("conv1d", input.shape[-1:], weight.shape[2:], padding[1:], (dilation,))
    return conv2d(
        input.unsqueeze(-2), weight.unsqueeze(2), bias, (1, stride), padding, (1, dilation), groups
    ).squeeze(-2)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """The 2-D transposed convolution: the gradient of `conv2d` with respect to its input.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (C, O / groups, KH, KW), of input's dtype.
        bias: (O,) or None.
        stride, padding, dilation: of the convolution whose gradient this is.
        output_padding: added to one side of the output; must be smaller than stride or dilation.

    Returns:
        (N, O, OH, OW) with OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1, likewise OW.

    >>> import gradgpu as gg
    >>> gg.conv_transpose2d(gg.ones(1, 1, 2, 2), gg.ones(1, 1, 2, 2), stride=2).shape
    gradgpu.Size([1, 1, 4, 4])
    """
    name = "conv_transpose2d"
    if weight.ndim != 4 or input.ndim not in (3, 4):
        raise RuntimeError(f"{name}: expected input (N, C, H, W) or (C, H, W) and weight (C, O / groups, KH, KW), got "
                           f"{tuple(input.shape)} and {tuple(weight.shape)}")  # fmt: skip
    if groups < 1 or weight.shape[0] % groups or input.shape[-3] != weight.shape[0]:
        raise RuntimeError(
            f"{name}: given groups={groups} and weight of size {list(weight.shape)}, expected input {list(input.shape)} to "
            f"have {weight.shape[0]} channels (divisible by groups), but got {input.shape[-3]} channels"
        )
    stride, dilation = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
    padding, extra = pair(name, "padding", padding, 0), pair(name, "output_padding", output_padding, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise RuntimeError(
            f"{name}: output padding must be smaller than either stride or dilation, got {extra}"
        )
    outputs = weight.shape[1] * groups
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise RuntimeError(f"{name}: bias must have shape ({outputs},), got {tuple(bias.shape)}")
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(input.shape[-2:], stride, padding, dilation, weight.shape[2:], extra)
    )
    if min(size) < 1:
        raise RuntimeError(f"{name}: the output size {size} is too small; use less padding")
    if any(e >= s for e, s in zip(extra, stride)):
        # As many zeros behind the input: then the output has the size that its convolution takes back to the input's.
        input = constant_pad_op(
            input,
            pads=((0, 0),) * (input.ndim - 2) + tuple([(0, e // s) for e, s in zip(extra, stride)]),
            value=0,
        )
    batched = input.ndim == 4
    y = conv2d_input_grad_op(
        input if batched else input.unsqueeze(0),
        weight,
        size=size,
        **_geometry(stride, padding, dilation, int(groups)),
    )
    if bias is not None:
        y = y + bias.reshape(-1, 1, 1)
    return y if batched else y.squeeze(0)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """The 1-D transposed convolution: input (N, C, L) or (C, L), weight (C, O / groups, K); see `conv_transpose2d`.

    >>> import gradgpu as gg
    >>> gg.conv_transpose1d(gg.tensor([[1., 2.]]), gg.ones(1, 1, 2), stride=2)
    tensor([[1., 1., 2., 2.]])
    """
    name = "conv_transpose1d"
    if weight.ndim != 3 or input.ndim not in (2, 3):
        raise RuntimeError(f"{name}: expected input (N, C, L) or (C, L) and weight (C, O / groups, K), got "
                           f"{tuple(input.shape)} and {tuple(weight.shape)}")  # fmt: skip
    (stride,), (dilation,) = pair(name, "stride", stride, 1, 1), pair(name, "dilation", dilation, 1, 1)
    (padding,), (extra,) = (
        pair(name, "padding", padding, 0, 1),
        pair(name, "output_padding", output_padding, 0, 1),
    )
    y = conv_transpose2d(
        input.unsqueeze(-2),
        weight.unsqueeze(2),
        bias,
        (1, stride),
        (0, padding),
        (0, extra),
        groups,
        (1, dilation),
    )
    return y.squeeze(-2)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """The 3-D convolution: input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, KD, KH, KW); see `conv2d`.

    It is the sum of KD two-dimensional convolutions, one a depth of the kernel, each over all the slices it meets.

    >>> import gradgpu as gg
    >>> gg.conv3d(gg.ones(1, 1, 3, 3, 3), gg.ones(2, 1, 2, 2, 2)).shape
    gradgpu.Size([1, 2, 2, 2, 2])
    """
    _check_shapes("conv3d", _shape(input), _shape(weight), _shape(bias), groups, 3)
    if input.ndim == 4:
        return conv3d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    steps, spread = pair("conv3d", "stride", stride, 1, 3), pair("conv3d", "dilation", dilation, 1, 3)
    pads, crop = _pads("conv3d", padding, weight.shape[2:], steps, spread)
    _check_kernel("conv3d", input.shape[2:], weight.shape[2:], pads, spread)
    n, c, depth, h, w = input.shape
    out_depth = out_size(depth, weight.shape[2], steps[0], pads[0], spread[0])
    slices: Any = input.transpose(1, 2)  # (N, D, C, H, W): a slice in depth is an image
    if pads[0]:
        edge = input.new_zeros((n, pads[0], c, h, w))
        slices = cat((edge, slices, edge), 1)
    total: Any = None
    for i in range(weight.shape[2]):
        first = i * spread[0]
        images = slices[:, first : first + (out_depth - 1) * steps[0] + 1 : steps[0]].reshape(
            n * out_depth, c, h, w
        )
        part = conv2d(images, weight[:, :, i], None, steps[1:], pads[1:], spread[1:], groups)
        total = part if total is None else total + part
    total = total.reshape(n, out_depth, *total.shape[1:])
    y = total.transpose(1, 2)
    if any(crop):
        y = y[:, :, crop[0] :, crop[1] :, crop[2] :]
    return (y if bias is None else y + bias.reshape(-1, 1, 1, 1)).contiguous()
