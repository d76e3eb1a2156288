"""Maxima over windows of the last two dimensions, and how windows are walked and launched, which means share.

A maximum remembers the *tap* of its window (row * kernel_w + column), from which PyTorch's flat indices,
the gradient, and the gradient's gradient (a gather) follow. On the CPU a window is walked tap by tap over the
whole image, with strided slices. Of equal values the first wins, of NaNs the last, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..cuda.array import Array, contiguous, empty
from ..cuda.launch import Kernel
from ..cuda.reduction import fast_division
from ..dtypes import FLOATS
from ..tensor import Tensor, wrap
from .blocks import BLOCK
from .conv import Pair
from .depthwise import overlap
from .registry import Op

_MANY_TAPS = 32

_KERNELS = {
    name: Kernel("pool.cu", name, "PPPP" + "i" * 15 + "I" * 6, T=FLOATS)
    for name in (
        *("max_pool2d", "max_pool2d_backward", "max_pool2d_gather", "max_pool2d_indices"),
        *("avg_pool2d", "avg_pool2d_backward"),
    )
}
_ONE_LAUNCH = 0x7FFFFFFF  # elements that 32-bit division can tell apart


@lru_cache(maxsize=64)
def walk_of(
    size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> list[tuple[int, tuple, tuple]]:
    """(tap, outputs that have it inside the image, where it is there) as indices of the last two dimensions."""
    taps = []
    for i in range(kernel[0]):
        rows, at_rows = overlap(out[0], size[0], stride[0], i * dilation[0] - padding[0])
        for j in range(kernel[1]):
            columns, at_columns = overlap(out[1], size[1], stride[1], j * dilation[1] - padding[1])
            taps.append((i * kernel[1] + j, (..., rows, columns), (..., at_rows, at_columns)))
    return taps


def _first_taps(out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """The first tap of each window that lies inside the image: an array that broadcasts to the output."""
    first = []
    for o, s, p, d in zip(out, stride, padding, dilation):
        start = p - np.arange(o) * s
        first.append(np.where(start > 0, -(-start // d), 0))
    return first[0][:, None] * kernel[1] + first[1]


def launch(name: str, read: Array, write: Array, taps: Array | None, size: Pair, out: Pair, kernel: Pair, stride: Pair,
            padding: Pair, dilation: Pair = (1, 1), include_pad: bool = False, divisor: int = 0) -> None:  # fmt: skip
    """Runs a kernel of pool.cu over all planes, in parts of less than 2^31 elements."""
    walked, other = write.shape[-2:], read.shape[-2:]
    if not write.size:
        return
    area, other_area = prod(walked), prod(other)
    if max(area, other_area) > _ONE_LAUNCH:
        raise ValueError(f"{name}: planes of {max(area, other_area)} elements are more than one launch takes")
    planes = write.size // area
    step = _ONE_LAUNCH // area
    taps_area = prod(out)
    values = (*size, *out, *kernel, *stride, *padding, *dilation, int(include_pad), divisor,
              *fast_division(area), *fast_division(walked[1]))  # fmt: skip
    launch = _KERNELS[name][read.dtype if read.dtype.kind != "i" else np.dtype(np.float32)]
    for first in range(0, planes, step):
        count = min(step, planes - first) * area
        taps_ptr = 0 if taps is None else taps.ptr + first * taps_area * 4
        to = write.ptr + first * area * write.dtype.itemsize
        indices = to if name == "max_pool2d_indices" else 0
        launch(min(-(-count // 256), 1 << 16), 256, read.ptr + first * other_area * read.dtype.itemsize,
               0 if indices else to, taps_ptr, indices, count, *values)  # fmt: skip


# ---- maxima ----
def _turns(planes: Sequence[int], out: Pair, kernel: Pair) -> bool:
    """Whether it pays to have the planes innermost in memory: many taps, and rows shorter than there are planes."""
    return kernel[0] * kernel[1] > 4 and 2 * out[1] < prod(planes)


def _turned(x: np.ndarray) -> np.ndarray:
    """An array as (planes, H, W), in memory of the order (H, W, planes)."""
    return np.ascontiguousarray(x.reshape(-1, *x.shape[-2:]).transpose(1, 2, 0)).transpose(2, 0, 1)


def _zeros(shape: tuple, dtype: Any, turned: bool) -> np.ndarray:
    """Zeros, in the same order."""
    return np.zeros((*shape[1:], shape[0]), dtype).transpose(2, 0, 1) if turned else np.zeros(shape, dtype)


def _large_and_apart(kernel, stride, padding, dilation):
    """Whether windows are better reduced one by one, as rows, than walked tap by tap over the whole image."""
    return prod(kernel) >= _MANY_TAPS and stride == kernel and not any(padding) and dilation == (1, 1)


def _max_pool2d_cpu(x, *, out, kernel, stride, padding, dilation):
    dtype, size = x.dtype, x.shape[-2:]
    if dtype.kind == "V":  # bfloat16: numpy compares it slowly
        y, taps = _max_pool2d_cpu(x.astype(np.float32), out=out, kernel=kernel, stride=stride, padding=padding,
                                  dilation=dilation)  # fmt: skip
        return y.astype(dtype), taps
    tap_dtype = np.uint8 if prod(kernel) <= 256 else np.int32
    if _large_and_apart(kernel, stride, padding, dilation) and all(
        o * k <= n for o, k, n in zip(out, kernel, size)
    ):
        x = x[..., : out[0] * kernel[0], : out[1] * kernel[1]]
        rows = x.reshape(*x.shape[:-2], out[0], kernel[0], out[1], kernel[1]).swapaxes(-3, -2)
        rows = rows.reshape(*x.shape[:-2], *out, prod(kernel))
        taps = rows.argmax(-1)
        y = np.take_along_axis(rows, taps[..., None], -1)[..., 0]
        if y.size and np.isnan(np.maximum.reduce(y, axis=None)):
            last = prod(kernel) - 1 - np.isnan(rows[..., ::-1]).argmax(-1)
            taps = np.where(np.isnan(y), last, taps)
        return y, taps.astype(tap_dtype)
    lead, x = x.shape[:-2], x.reshape(-1, *size)
    step = max(_PLANES, BLOCK // max(1, 2 * prod(size)))
    if len(x) <= step or prod(kernel) <= 4:
        y, taps = _max_of_planes(x, tap_dtype, size, out, kernel, stride, padding, dilation)
    else:  # some planes at a time, for the cache
        y, taps = np.empty((len(x), *out), dtype), np.empty((len(x), *out), tap_dtype)
        for first in range(0, len(x), step):
            part = slice(first, first + step)
            y[part], taps[part] = _max_of_planes(
                x[part], tap_dtype, size, out, kernel, stride, padding, dilation
            )
    return np.ascontiguousarray(y).reshape(*lead, *out), np.ascontiguousarray(taps).reshape(*lead, *out)


_PLANES = 512  # that many at least are treated at a time


def _max_of_planes(x, tap_dtype, size, *windows):
    """Maxima of windows of (planes, H, W) and their taps, in some order in memory."""
    out, kernel, stride, _, dilation = windows
    turned = _turns(x.shape[:1], out, kernel)
    if turned:
        x = _turned(x)
    if _by_dimensions(size, out, kernel, stride, dilation):
        y: Any = x
        taps: Any = None
        for axis, weight in ((-1, 1), (-2, kernel[1])):
            each = [v[axis] for v in (size, *windows)]
            y, taps = _max_along(y, taps, axis, weight, tap_dtype, turned, *each)
    else:
        y, taps = _max_of_taps(x, tap_dtype, turned, size, *windows)
    if y.size and np.isnan(np.maximum.reduce(y, axis=None)):
        for tap, window, at in walk_of(size, *windows):
            np.copyto(taps[window], tap, where=np.isnan(x[at]))
    return y, taps


def _max_of_taps(x, tap_dtype, turned, size, *windows):
    out = windows[0]
    shape = (len(x), *out)
    taps = _zeros(shape, tap_dtype, turned)
    walk = walk_of(size, *windows)
    inside = walk[0][1][1:]
    if inside == (slice(0, out[0]), slice(0, out[1])):  # the first tap is inside everywhere
        y = np.array(x[walk[0][2]], order="K" if turned else "C")
        walk = walk[1:]
    else:
        y = _zeros(shape, x.dtype, turned)
        y.fill(-np.inf)
        taps[...] = _first_taps(*windows)
    # Flags times the tap, and their maximum: later taps are larger. Ten times faster than a masked copy.
    better, number = np.empty_like(y, bool), np.empty_like(taps)
    for tap, window, at in walk:
        value, best, flag, which, now = x[at], y[window], better[window], number[window], taps[window]
        np.greater(value, best, out=flag)
        np.maximum(best, value, out=best)
        np.multiply(flag.view(np.uint8), taps.dtype.type(tap), out=which)
        np.maximum(now, which, out=now)
    return y, taps


def _by_dimensions(size: Pair, out: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> bool:
    """Whether the maxima of columns and then of rows cost less than those of all taps (a tap costs four or five passes)."""
    if min(kernel) == 1 or any(d > n for d, n in zip(dilation, size)):
        return False
    first = size[0] / out[0] * (4 * kernel[1] - 3)
    return first + 5 * kernel[0] - 4 < 4 * kernel[0] * kernel[1] - 3


def _max_along(x, before, axis, weight, tap_dtype, turned, size, out, kernel, stride, padding, dilation):
    """The first maxima of windows along one of the last two dimensions, and `before` + weight · tap where they are."""

    def at(places: Any) -> tuple:
        return (..., places) if axis == -1 else (..., places, slice(None))

    shape = list(x.shape)
    shape[axis] = out
    y, taps = _zeros(tuple(shape), x.dtype, turned), _zeros(tuple(shape), tap_dtype, turned)
    numbers = []  # the tap's number, of each element
    for tap in range(kernel):
        shift = tap * weight
        numbers.append(tap_dtype(shift) if before is None else before + tap_dtype(shift) if shift else before)
    # The first tap inside the image; beyond the first windows that is the very first.
    edge = min(out, -(-padding // stride))
    for o in range(edge):
        tap = -(-(padding - o * stride) // dilation)
        place = at(o * stride - padding + tap * dilation)
        y[at(o)] = x[place]
        taps[at(o)] = numbers[tap] if before is None else numbers[tap][place]
    start = edge * stride - padding
    window, place = at(slice(edge, out)), at(slice(start, start + (out - edge - 1) * stride + 1, stride))
    if edge < out:
        y[window] = x[place]
        if before is not None:
            taps[window] = before[place]
    better, which = np.empty_like(y, bool), np.empty_like(taps)
    for tap in range(1, kernel):
        outs, ins = overlap(out, size, stride, tap * dilation - padding)
        window, place = at(outs), at(ins)
        value, best, flag, number, now = x[place], y[window], better[window], which[window], taps[window]
        np.greater(value, best, out=flag)
        np.maximum(best, value, out=best)
        np.multiply(flag.view(np.uint8), numbers[tap] if before is None else numbers[tap][place], out=number)
        np.maximum(now, number, out=now)
    return y, taps


def _max_pool2d_cuda(x, *, out, kernel, stride, padding, dilation):
    x = contiguous(x)
    shape = (*x.shape[:-2], *out)
    y, taps = empty(shape, x.dtype), empty(shape, np.int32)
    launch("max_pool2d", x, y, taps, x.shape[-2:], out, kernel, stride, padding, dilation)
    return y, taps


def _max_pool2d_backward_cpu(g, taps, *, size, kernel, stride, padding, dilation):
    windows = windows_of(kernel, stride, padding, dilation)
    if any(d > n for d, n in zip(dilation, size)):  # windows may lie outside, with maxima of -inf there
        larger = tuple([n + d * k for n, d, k in zip(size, dilation, kernel)])
        made = _max_pool2d_backward_cpu(g, taps, size=larger, **windows)
        return np.ascontiguousarray(made[..., : size[0], : size[1]])
    dtype, lead, area, out = g.dtype, g.shape[:-2], prod(size), g.shape[-2:]
    if dtype.itemsize == 2:
        g = g.astype(np.float32)
    apart = all(s > d * (k - 1) for s, d, k in zip(stride, dilation, kernel))
    if apart and prod(kernel) <= 4 and g.size >= 8192:  # few taps that fill the image
        return _max_pool2d_backward_apart(g, taps, size, out, kernel, stride, padding, dilation).astype(
            dtype, copy=False
        )
    g, taps = g.reshape(-1, *out), taps.reshape(-1, *out)
    x = np.empty((len(g), area), dtype)
    # Each element is added where its maximum was, some planes at a time.
    step = max(1, BLOCK // max(area, prod(out)))
    for first in range(0, len(g), step):
        part = slice(first, first + step)
        at = _plane_indices(taps[part], size, **windows)
        at += np.arange(0, len(at) * area, area)[:, None, None]
        x[part] = np.bincount(at.reshape(-1), g[part].reshape(-1), len(at) * area).reshape(-1, area)
    return x.reshape(*lead, *size)


def _max_pool2d_backward_apart(g, taps, size, *windows):
    """The gradient where windows do not overlap, tap by tap."""
    # The bits of g times 0 or 1: as fast as the product of floats, and infinities leave no NaN where 0 belongs.
    bits = np.dtype(f"i{g.dtype.itemsize}")
    wide, g = g.dtype, np.ascontiguousarray(g).view(bits)
    x = np.zeros((*g.shape[:-2], *size), bits)
    for tap, window, at in walk_of(size, *windows):
        np.multiply(g[window], np.equal(taps[window], tap).view(np.int8), out=x[at])
    return x.view(wide)


def _max_pool2d_backward_cuda(g, taps, *, size, kernel, stride, padding, dilation):
    g, taps = contiguous(g), contiguous(taps)
    x = empty((*g.shape[:-2], *size), g.dtype)
    launch("max_pool2d_backward", g, x, taps, size, g.shape[-2:], kernel, stride, padding, dilation)
    return x


@lru_cache(maxsize=64)
def _offsets(size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> tuple:
    """Flat places in a plane: of each tap from the first of its window, and of the windows' firsts, which may lie in the padding."""

    def flat(rows: Any, columns: Any) -> np.ndarray:
        return rows * size[1] + columns

    rows, columns = np.divmod(np.arange(prod(kernel)), kernel[1])
    starts = [np.arange(o) * s - p for o, s, p in zip(out, stride, padding)]
    return flat(rows * dilation[0], columns * dilation[1]), flat(starts[0][:, None], starts[1])


def _plane_indices(taps, size, kernel, stride, padding, dilation):
    of_taps, starts = _offsets(tuple(size), taps.shape[-2:], kernel, stride, padding, dilation)
    places = of_taps.take(taps)
    places += starts
    return places


def _max_pool2d_gather_cpu(x, taps, *, kernel, stride, padding, dilation):
    size = x.shape[-2:]
    at = _plane_indices(taps, size, kernel, stride, padding, dilation)
    planes = x.shape[:-2]
    flat = np.take_along_axis(x.reshape(*planes, prod(size)), at.reshape(*planes, prod(at.shape[-2:])), -1)
    return flat.reshape(taps.shape)


def _max_pool2d_gather_cuda(x, taps, *, kernel, stride, padding, dilation):
    x, taps = contiguous(x), contiguous(taps)
    y = empty(taps.shape, x.dtype)
    launch("max_pool2d_gather", x, y, taps, x.shape[-2:], taps.shape[-2:], kernel, stride, padding, dilation)
    return y


def _max_pool2d_indices_cpu(taps, *, size, kernel, stride, padding, dilation):
    return _plane_indices(taps, size, kernel, stride, padding, dilation)


def _max_pool2d_indices_cuda(taps, *, size, kernel, stride, padding, dilation):
    taps = contiguous(taps)
    indices = empty(taps.shape, np.int64)
    launch(
        "max_pool2d_indices", taps, indices, taps, size, taps.shape[-2:], kernel, stride, padding, dilation
    )
    return indices


def windows_of(kernel, stride, padding, dilation):
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


max_pool2d_op: Op = Op(
    "max_pool2d",
    cpu=_max_pool2d_cpu,
    cuda=_max_pool2d_cuda,
    grad={
        "x": lambda g0, y1, x_shape, *, kernel, stride, padding, dilation: max_pool2d_backward_op(
            g0, y1, size=x_shape[-2:], **windows_of(kernel, stride, padding, dilation)
        )
    },
    differentiable=(True, False),
)

max_pool2d_op.zero_second = True

max_pool2d_backward_op: Op = Op(
    "max_pool2d_backward",
    cpu=_max_pool2d_backward_cpu,
    cuda=_max_pool2d_backward_cuda,
    grad={
        "g": lambda g0, taps, *, kernel, stride, padding, dilation: max_pool2d_gather_op(
            g0, taps, **windows_of(kernel, stride, padding, dilation)
        )
    },
)

max_pool2d_gather_op: Op = Op(
    "max_pool2d_gather",
    cpu=_max_pool2d_gather_cpu,
    cuda=_max_pool2d_gather_cuda,
    grad={
        "x": lambda g, taps, x_shape, *, kernel, stride, padding, dilation: max_pool2d_backward_op(
            g, taps, size=x_shape[-2:], **windows_of(kernel, stride, padding, dilation)
        )
    },
)

max_pool2d_indices_op = Op(
    "max_pool2d_indices", cpu=_max_pool2d_indices_cpu, cuda=_max_pool2d_indices_cuda, differentiable=False
)


class _Maxima:
    """`max_pool2d` of floats on the CPU where nobody wants to know where the maxima were."""

    name = "max_pool2d"

    def of(self, x: np.ndarray, out: Pair, windows: dict) -> Tensor:
        """The maxima for a tensor whose array is `x`."""
        (_, inside, at), *rest = walk_of(x.shape[-2:], out, **windows)
        if inside[1:] == (slice(0, out[0]), slice(0, out[1])):  # the first tap is inside everywhere
            y = np.array(x[at], order="C")
        else:
            y = np.full((*x.shape[:-2], *out), -np.inf, x.dtype)
            rest = walk_of(x.shape[-2:], out, **windows)
        for _, inside, at in rest:
            part = y[inside]
            np.maximum(part, x[at], out=part)
        return wrap(y)


maxima = _Maxima().of
