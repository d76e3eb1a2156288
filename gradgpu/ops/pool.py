"""Pooling: means over windows of the last dimensions, and the public functions; max_pool.py has the maxima."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..autograd.modes import MODES, state
from ..cuda.array import contiguous, empty
from ..dtypes import int64
from ..tensor import Tensor
from .conv import Pair, fixed, pair
from .index import index_select
from .max_pool import launch, max_pool2d_indices_op, max_pool2d_op, maxima, walk_of, windows_of
from .registry import Op, refuse_others
from .sums import FLOATS, float_sum

# Those without torch's top-level names are nn.functional's.
__all__ = ["adaptive_avg_pool1d", "adaptive_max_pool1d", "avg_pool1d", "max_pool1d", "max_pool2d"]


# ---- means ----
@lru_cache(maxsize=256)
def _window_sizes(size, out, kernel, stride, padding, include_pad, divisor):
    """What each sum is divided by: a number, or an array that broadcasts to the output."""
    if divisor:
        return divisor
    lengths = []
    for n, o, k, s, p in zip(size, out, kernel, stride, padding):
        start = np.arange(o) * s - p
        end = np.minimum(start + k, n + p if include_pad else n)
        lengths.append(end - (start if include_pad else np.maximum(start, 0)))
    sizes = lengths[0][:, None] * lengths[1]
    return int(sizes.flat[0]) if sizes.size and (sizes == sizes.flat[0]).all() else sizes


def _tiled(size, out, kernel, stride, padding):
    """Whether windows lie side by side and cover the image."""
    return stride == kernel and not any(padding) and all(o * k == n for o, k, n in zip(out, kernel, size))


@lru_cache(maxsize=64)
def _window_matrix(
    size: int, out: int, kernel: int, stride: int, padding: int, dtype: np.dtype
) -> np.ndarray:
    """(size, out): ones where a window has an element."""
    from_start = np.arange(size)[:, None] - (np.arange(out) * stride - padding)
    return ((from_start >= 0) & (from_start < kernel)).astype(dtype)


@lru_cache(maxsize=64)
def _plane_matrix(size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dtype: np.dtype) -> np.ndarray:  # fmt: skip
    """The same of planes, (H · W, out_h · out_w)."""
    rows, columns = (_window_matrix(*each, dtype) for each in zip(size, out, kernel, stride, padding))
    return np.kron(rows, columns)


_FEW_PRODUCTS, _SHORT_ROW = (
    4096,
    64,
)  # where a product with a matrix, most of it zeros, takes less than the taps one by one


def _finite(x: np.ndarray) -> bool:
    """Whether no element is infinite, NaN or near to that: zeros of a matrix would make NaNs of them."""
    flat = x.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(flat, flat)))


def _window_sums(x, out, kernel, stride, padding):
    """The sums over windows of (..., H, W) in float32 or float64."""
    lead, size = x.shape[:-2], x.shape[-2:]
    if x.size and prod(size) * prod(out) <= _FEW_PRODUCTS and _finite(x):
        matrix = _plane_matrix(size, out, kernel, stride, padding, x.dtype)
        return np.dot(x.reshape(-1, len(matrix)), matrix).reshape(*lead, *out)
    if x.size and size[1] <= _SHORT_ROW and kernel[1] > 1 and _finite(x):
        matrix = _window_matrix(size[1], out[1], kernel[1], stride[1], padding[1], x.dtype)
        x = np.dot(x.reshape(-1, size[1]), matrix).reshape(*lead, size[0], out[1])
        size, kernel, stride, padding = x.shape[-2:], (kernel[0], 1), (stride[0], 1), (padding[0], 0)
    y = np.zeros((*lead, *out), x.dtype)
    for _, window, at in walk_of(size, out, kernel, stride, padding, (1, 1)):
        target = y[window]
        target += x[at]
    return y


def _spread_sums(g, size, kernel, stride, padding):
    """What `_window_sums` adds up, from what that has made: the sum over the windows that have an element."""
    lead, out = g.shape[:-2], g.shape[-2:]
    if g.size and prod(size) * prod(out) <= _FEW_PRODUCTS and _finite(g):
        planes = _plane_matrix(size, out, kernel, stride, padding, g.dtype)
        return np.dot(g.reshape(-1, prod(out)), planes.T).reshape(*lead, *size)
    matrix: Any = None
    width = size[1]
    if g.size and width <= _SHORT_ROW and kernel[1] > 1 and _finite(g):
        matrix = _window_matrix(width, out[1], kernel[1], stride[1], padding[1], g.dtype)
        size, kernel, stride, padding = (size[0], out[1]), (kernel[0], 1), (stride[0], 1), (padding[0], 0)
    x = np.zeros((*lead, *size), g.dtype)
    for _, window, at in walk_of(size, out, kernel, stride, padding, (1, 1)):
        target = x[at]
        target += g[window]
    return x if matrix is None else np.dot(x.reshape(-1, out[1]), matrix.T).reshape(*lead, size[0], width)


def _avg_pool2d_cpu(x, *, out, kernel, stride, padding, include_pad, divisor):
    dtype, size = x.dtype, x.shape[-2:]
    wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    if _tiled(size, out, kernel, stride, padding):
        lead, n = x.shape[:-2], x.ndim - 2
        x = x.astype(wide, copy=False)
        if out == (1, 1):
            y = float_sum(x.reshape(*lead, prod(size)), (n,))
        else:
            rows = float_sum(x.reshape(*lead, size[0], out[1], kernel[1]), (n + 2,))
            y = float_sum(rows.reshape(*lead, out[0], kernel[0], out[1]), (n + 1,))
        return (y.reshape(*lead, *out) / wide.type(divisor or prod(kernel))).astype(dtype, copy=False)
    y = _window_sums(x.astype(wide, copy=False), out, kernel, stride, padding)
    y /= _window_sizes(size, out, kernel, stride, padding, include_pad, divisor)
    return y.astype(dtype, copy=False)


def _avg_pool2d_cuda(x, *, out, kernel, stride, padding, include_pad, divisor):
    x = contiguous(x)
    y = empty((*x.shape[:-2], *out), x.dtype)
    launch("avg_pool2d", x, y, None, x.shape[-2:], out, kernel, stride, padding, (1, 1), include_pad, divisor)
    return y


def _avg_pool2d_backward_cpu(g, *, size, kernel, stride, padding, include_pad, divisor):
    dtype, out = g.dtype, g.shape[-2:]
    wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    sizes = _window_sizes(size, out, kernel, stride, padding, include_pad, divisor)
    g = np.divide(g.astype(wide, copy=False), sizes, dtype=wide)
    if _tiled(size, out, kernel, stride, padding):
        x = np.empty((*g.shape[:-2], out[0], kernel[0], out[1], kernel[1]), dtype)
        x[...] = g[..., :, None, :, None]
        return x.reshape(*g.shape[:-2], *size)
    return _spread_sums(g, tuple(size), kernel, stride, padding).astype(dtype, copy=False)


def _avg_pool2d_backward_cuda(g, *, size, kernel, stride, padding, include_pad, divisor):
    g = contiguous(g)
    x = empty((*g.shape[:-2], *size), g.dtype)
    launch(
        "avg_pool2d_backward",
        g,
        x,
        None,
        size,
        g.shape[-2:],
        kernel,
        stride,
        padding,
        (1, 1),
        include_pad,
        divisor,
    )
    return x


def _avg_windows(kernel, stride, padding, include_pad, divisor):
    return {
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "include_pad": include_pad,
        "divisor": divisor,
    }


avg_pool2d_op: Op = Op(
    "avg_pool2d",
    cpu=_avg_pool2d_cpu,
    cuda=_avg_pool2d_cuda,
    grad={
        "x": lambda g, x_shape, *, kernel, stride, padding, include_pad, divisor: avg_pool2d_backward_op(
            g, size=x_shape[-2:], **_avg_windows(kernel, stride, padding, include_pad, divisor)
        )
    },
)

avg_pool2d_op.zero_second = True

avg_pool2d_backward_op: Op = Op(
    "avg_pool2d_backward",
    cpu=_avg_pool2d_backward_cpu,
    cuda=_avg_pool2d_backward_cuda,
    grad={
        "g": lambda g0, g_shape, *, kernel, stride, padding, include_pad, divisor: avg_pool2d_op(
            g0, out=g_shape[-2:], **_avg_windows(kernel, stride, padding, include_pad, divisor)
        )
    },
)


# ---- public functions ----
def _pooled(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Windows along one dimension; with ceil_mode the last may reach beyond the image, but must start in it."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    n = -(-span // stride) + 1
    return n - 1 if (n - 1) * stride >= size + padding else n


@lru_cache(maxsize=4096)
def _checked(
    name: str, shape: tuple, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, dims: int
) -> tuple:
    """(out, kernel, stride, padding, dilation) of an input of this shape; `dims` of each."""
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{name}: Expected {dims + 1}-D or {dims + 2}-D input, got {len(shape)}-D of shape {shape}"
        )
    kernel = pair(name, "kernel_size", kernel, 1, dims)
    stride = (
        kernel
        if stride is None or isinstance(stride, tuple) and not stride
        else pair(name, "stride", stride, 1, dims)
    )
    padding, dilation = pair(name, "padding", padding, 0, dims), pair(name, "dilation", dilation, 1, dims)
    for p, k, d in zip(padding, kernel, dilation):
        if 2 * p > d * (k - 1) + 1:
            raise RuntimeError(
                f"{name}: pad should be at most half of effective kernel size, but got padding {padding}, "
                f"kernel_size {kernel} and dilation {dilation}"
            )
    out = tuple(_pooled(*each, ceil_mode) for each in zip(shape[-dims:], kernel, stride, padding, dilation))
    if min(out) < 1:
        raise RuntimeError(
            f"{name}: output size {out} is too small for input {shape} and kernel_size {kernel}"
        )
    return out, kernel, stride, padding, dilation


def _arguments(
    name: str, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, dims: int
) -> tuple:
    """(out, kernel, stride, padding, dilation), checked; `dims` of each."""
    if not isinstance(x, Tensor):
        refuse_others(name, input=x)
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: not implemented for {x.dtype}; convert with .float()")
    return _checked(
        name,
        tuple(x._a.shape),
        fixed(kernel),
        fixed(stride),
        fixed(padding),
        fixed(dilation),
        bool(ceil_mode),
        dims,
    )


def max_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima over windows of the last two dimensions.

    Args:
        input: (N, C, H, W) or (C, H, W), floating point.
        kernel_size: of the window, an int or (height, width).
        stride: of the windows; that of kernel_size if None.
        padding: -inf on either side, at most half of the window.
        dilation: distance between the elements of a window.
        ceil_mode: whether windows that lie only partly in the image count.
        return_indices: whether to return the flat indices of the maxima in their planes (int64) too.

    Raises:
        RuntimeError: shapes or arguments do not fit, or the dtype is no floating-point one.

    >>> import gradgpu as gg
    >>> gg.max_pool2d(gg.arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    out, *windows = _arguments("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode, 2)
    return _max_pool(input, out, windows_of(*windows), return_indices)


def _max_pool(input: Tensor, out: tuple, windows: dict, return_indices: bool) -> Any:
    x = input._a
    unrecorded = not return_indices and (input._edge is None or MODES and not state.grad)
    if unrecorded and type(x) is np.ndarray and x.dtype in FLOATS:
        return maxima(x, out, windows)
    y, taps = max_pool2d_op(input, out=out, **windows)
    if not return_indices:
        return y
    return y, max_pool2d_indices_op(taps, size=tuple(input.shape[-2:]), **windows)


def max_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima over windows of the last dimension of (N, C, L) or (C, L); the arguments are those of `max_pool2d`.

    >>> import gradgpu as gg
    >>> gg.max_pool1d(gg.tensor([[1., 3., 2., 4.]]), 2)
    tensor([[3., 4.]])
    """
    out, *rest = _arguments("max_pool1d", input, kernel_size, stride, padding, dilation, ceil_mode, 1)
    windows = windows_of((1, *rest[0]), (1, *rest[1]), (0, *rest[2]), (1, *rest[3]))
    made = _max_pool(input.unsqueeze(-2), (1, *out), windows, return_indices)
    return (made[0].squeeze(-2), made[1].squeeze(-2)) if return_indices else made.squeeze(-2)


def avg_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Means over windows of the last two dimensions.

    Args:
        input: (N, C, H, W) or (C, H, W), floating point.
        kernel_size, stride, padding, ceil_mode: as in `max_pool2d`, the padding is zeros.
        count_include_pad: whether padding counts in the mean.
        divisor_override: what sums are divided by, instead of the number of elements.

    >>> import gradgpu as gg
    >>> avg_pool2d(gg.arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    out, kernel, stride, padding, _ = _arguments(
        "avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode, 2
    )
    if divisor_override is not None and divisor_override == 0:
        raise RuntimeError(
            "avg_pool2d: divisor must be not zero; leave divisor_override out to divide by the window's size"
        )
    divisor = 0 if divisor_override is None else int(divisor_override)
    return avg_pool2d_op(
        input, out=out, **_avg_windows(kernel, stride, padding, bool(count_include_pad), divisor)
    )


def avg_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Means over windows of the last dimension of (N, C, L) or (C, L); the arguments are those of `avg_pool2d`.

    >>> import gradgpu as gg
    >>> gg.avg_pool1d(gg.tensor([[1., 3., 2., 4.]]), 2)
    tensor([[2., 3.]])
    """
    out, *rest = _arguments("avg_pool1d", input, kernel_size, stride, padding, 1, ceil_mode, 1)
    kernel, stride, padding = ((1, *rest[0]), (1, *rest[1]), (0, *rest[2]))
    y = avg_pool2d_op(
        input.unsqueeze(-2),
        out=(1, *out),
        **_avg_windows(kernel, stride, padding, bool(count_include_pad), 0),
    )
    return y.squeeze(-2)


def _adaptive(name: str, x: Tensor, output_size: Any, dims: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(size, output size) of the last `dims` dimensions; None in an output size keeps the input's."""
    if not isinstance(x, Tensor):
        refuse_others(name, input=x)
    if x.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{name}: Expected {dims + 1}-D or {dims + 2}-D input, got {x.ndim}-D of shape {tuple(x.shape)}"
        )
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: not implemented for {x.dtype}; convert with .float()")
    size = tuple(x.shape)[-dims:]
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    out = tuple(n if o is None else o for n, o in zip(size, wanted))
    if len(wanted) != dims or not all(isinstance(o, (int, np.integer)) and o > 0 for o in out) or 0 in size:
        raise RuntimeError(f"{name}: output_size must be {dims} positive sizes (or None) for a non-empty input, got {output_size!r} "
                           f"for {tuple(x.shape)}")  # fmt: skip
    return size, tuple([int(o) for o in out])


def _bounds(n: int, out: int) -> list[tuple[int, int]]:
    """The windows of adaptive pooling: from ⌊i n / out⌋ to ⌈(i + 1) n / out⌉."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen so that the last two dimensions become `output_size` (an int, or two ints or None).

    >>> import gradgpu as gg
    >>> adaptive_avg_pool2d(gg.ones(2, 3, 7, 5), (2, None)).shape
    gradgpu.Size([2, 3, 2, 5])
    """
    size, out = _adaptive("adaptive_avg_pool2d", input, output_size, 2)
    if out == (1, 1):
        return input.mean((-2, -1), True)
    if all(n % o == 0 for n, o in zip(size, out)):
        kernel = (size[0] // out[0], size[1] // out[1])
        return avg_pool2d_op(input, out=out, **_avg_windows(kernel, kernel, (0, 0), True, 0))
    # Windows of several sizes: a product with the matrix of means on either side.
    rows, columns = (_mean_matrix(input, n, o) for n, o in zip(size, out))
    return rows @ input @ columns.mT


def _mean_matrix(like: Tensor, n: int, out: int) -> Tensor:
    matrix = np.zeros((out, n))
    for i, (start, end) in enumerate(_bounds(n, out)):
        matrix[i, start:end] = 1 / (end - start)
    return like.new_tensor(matrix, dtype=like.dtype)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen so that the last dimension of (N, C, L) or (C, L) becomes `output_size`.

    >>> import gradgpu as gg
    >>> gg.adaptive_avg_pool1d(gg.tensor([[1., 3., 2., 4.]]), 2)
    tensor([[2., 3.]])
    """
    _, (out,) = _adaptive("adaptive_avg_pool1d", input, output_size, 1)
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, out)).squeeze(-2)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows chosen so that the last two dimensions become `output_size` (an int, or two ints or None).

    >>> import gradgpu as gg
    >>> adaptive_max_pool2d(gg.arange(16.).reshape(1, 4, 4), 1)
    tensor([[[15.]]])
    """
    size, out = _adaptive("adaptive_max_pool2d", input, output_size, 2)
    if all(n % o == 0 for n, o in zip(size, out)):
        kernel = (size[0] // out[0], size[1] // out[1])
        return _max_pool(input, out, windows_of(kernel, kernel, (0, 0), (1, 1)), return_indices)
    # Windows of several sizes: their rows and columns side by side, the last of short ones twice, are windows of one size.
    rows, columns = (_spread(n, o) for n, o in zip(size, out))
    index = [input.new_tensor(at.reshape(-1), dtype=int64) for at in (rows, columns)]
    spread = index_select(index_select(input, -2, index[0]), -1, index[1])
    kernel = (rows.shape[1], columns.shape[1])
    made = _max_pool(spread, out, windows_of(kernel, kernel, (0, 0), (1, 1)), return_indices)
    if not return_indices:
        return made
    y, at = made
    width = columns.size
    return y, index[0][at // width] * size[1] + index[1][at % width]


def _spread(n: int, out: int) -> np.ndarray:
    """The positions of each window of adaptive pooling, as many for all: short ones have their last one twice."""
    bounds = _bounds(n, out)
    most = max([end - start for start, end in bounds])
    return np.array([[min(start + k, end - 1) for k in range(most)] for start, end in bounds])


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows chosen so that the last dimension of (N, C, L) or (C, L) becomes `output_size`.

    >>> import gradgpu as gg
    >>> gg.adaptive_max_pool1d(gg.tensor([[1., 3., 2., 4.]]), 2)
    tensor([[3., 4.]])
    """
    _, (out,) = _adaptive("adaptive_max_pool1d", input, output_size, 1)
    made = adaptive_max_pool2d(input.unsqueeze(-2), (1, out), return_indices)
    return (made[0].squeeze(-2), made[1].squeeze(-2)) if return_indices else made.squeeze(-2)
