"""Pooling in three dimensions, powers, random windows, and the way back; normalisation over neighbouring channels.

A window in three dimensions is a window of images and then one in depth, so everything runs on the kernels of two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...ops.creation import arange
from ...ops.pad import pad
from ...ops.pointwise import floor
from ...ops.pool import (
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from ...ops.random import rand
from ...tensor import Tensor

__all__ = [
    "adaptive_avg_pool3d", "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices", "avg_pool3d", "fractional_max_pool2d", "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d", "fractional_max_pool3d_with_indices", "local_response_norm", "lp_pool1d", "lp_pool2d",
    "lp_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices",
    "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


def _several(name: str, argument: str, value: Any, dims: int) -> tuple[Any, ...]:
    made = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims
    if len(made) == 1:
        made = made * dims
    if len(made) != dims:
        raise RuntimeError(f"{name}: {argument} must be an int or {dims} of them, got {value!r}")
    return made


def _volume(name: str, x: Tensor) -> tuple[int, int, int]:
    if x.ndim not in (4, 5):
        raise RuntimeError(f"{name}: Expected 4-D or 5-D input, got {x.ndim}-D of shape {tuple(x.shape)}")
    return tuple(x.shape[-3:])


def _slices(x: Tensor) -> Tensor:
    """(*, D, H, W) as images (1, * · D, H, W)."""
    return x.reshape((1, math.prod(x.shape[:-2]), *x.shape[-2:]))


def _columns(images: Tensor, lead: Sequence[int], depth: int) -> Tensor:
    """Images as (1, *, D, H · W): a column in depth is a column of an image."""
    return images.reshape((1, math.prod(lead), depth, math.prod(images.shape[-2:])))


def _depth_of_maxima(
    index: Tensor, planes: Tensor, lead: Sequence[int], size: Sequence[int], out: tuple
) -> Tensor:
    """Flat indices into volumes, from those into columns and those into planes."""
    width = math.prod(out[1:])
    depth = index // width
    inner = planes.reshape((*index.shape[:2], -1)).gather(2, index.flatten(2)).reshape(index.shape)
    return (depth * (size[1] * size[2]) + inner).reshape((*lead, *out))


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima over windows of the last three dimensions of (N, C, D, H, W) or (C, D, H, W); as `max_pool2d`.

    >>> import gradgpu as gg
    >>> gg.nn.functional.max_pool3d(gg.arange(8.).reshape(1, 2, 2, 2), 2)
    tensor([[[[7.]]]])
    """
    name = "max_pool3d"
    size, lead = _volume(name, input), tuple(input.shape[:-3])
    kernel = _several(name, "kernel_size", kernel_size, 3)
    step = kernel if stride is None or stride == () else _several(name, "stride", stride, 3)
    edge, spread = _several(name, "padding", padding, 3), _several(name, "dilation", dilation, 3)
    y, planes = max_pool2d(_slices(input), kernel[1:], step[1:], edge[1:], spread[1:], ceil_mode, True)
    shape = tuple(y.shape[-2:])
    y, index = max_pool2d(
        _columns(y, lead, size[0]), (kernel[0], 1), (step[0], 1), (edge[0], 0), (spread[0], 1), ceil_mode, True
    )  # fmt: skip
    out = (y.shape[2], *shape)
    y = y.reshape((*lead, *out))
    return (y, _depth_of_maxima(index, planes, (1, math.prod(lead)), size, out).reshape(y.shape)) if return_indices else y  # fmt: skip


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Means over windows of the last three dimensions of (N, C, D, H, W) or (C, D, H, W); as `avg_pool2d`.

    >>> import gradgpu as gg
    >>> gg.nn.functional.avg_pool3d(gg.arange(8.).reshape(1, 2, 2, 2), 2)
    tensor([[[[3.5000]]]])
    """
    name = "avg_pool3d"
    size, lead = _volume(name, input), tuple(input.shape[:-3])
    kernel = _several(name, "kernel_size", kernel_size, 3)
    step = kernel if stride is None or stride == () else _several(name, "stride", stride, 3)
    edge = _several(name, "padding", padding, 3)
    if divisor_override is not None and not divisor_override:
        raise RuntimeError("avg_pool3d: divisor must be not zero")
    one = None if divisor_override is None else 1
    y = avg_pool2d(_slices(input), kernel[1:], step[1:], edge[1:], ceil_mode, count_include_pad, one)
    shape = tuple(y.shape[-2:])
    y = avg_pool2d(
        _columns(y, lead, size[0]), (kernel[0], 1), (step[0], 1), (edge[0], 0), ceil_mode, count_include_pad, one
    )  # fmt: skip
    y = y.reshape((*lead, y.shape[2], *shape))
    return y if divisor_override is None else y / divisor_override


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen so that the last three dimensions become `output_size` (ints, or None to keep one).

    >>> import gradgpu as gg
    >>> gg.nn.functional.adaptive_avg_pool3d(gg.ones(1, 2, 5, 4, 3), (2, None, 1)).shape
    gradgpu.Size([1, 2, 2, 4, 1])
    """
    size, lead = _volume("adaptive_avg_pool3d", input), tuple(input.shape[:-3])
    wanted = _several("adaptive_avg_pool3d", "output_size", output_size, 3)
    y = adaptive_avg_pool2d(_slices(input), wanted[1:])
    shape = tuple(y.shape[-2:])
    y = adaptive_avg_pool2d(_columns(y, lead, size[0]), (wanted[0], None))
    return y.reshape((*lead, y.shape[2], *shape))


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows chosen so that the last three dimensions become `output_size` (ints, or None to keep one)."""
    size, lead = _volume("adaptive_max_pool3d", input), tuple(input.shape[:-3])
    wanted = _several("adaptive_max_pool3d", "output_size", output_size, 3)
    y, planes = adaptive_max_pool2d(_slices(input), wanted[1:], True)
    shape = tuple(y.shape[-2:])
    y, index = adaptive_max_pool2d(_columns(y, lead, size[0]), (wanted[0], None), True)
    out = (y.shape[2], *shape)
    y = y.reshape((*lead, *out))
    return (y, _depth_of_maxima(index, planes, (1, math.prod(lead)), size, out).reshape(y.shape)) if return_indices else y  # fmt: skip


def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """`max_pool1d` and the indices of the maxima."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """`max_pool2d` and the indices of the maxima."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """`max_pool3d` and the indices of the maxima."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool1d` and the indices of the maxima."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d` and the indices of the maxima."""
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool3d` and the indices of the maxima."""
    return adaptive_max_pool3d(input, output_size, True)


# ---- powers ----
def _lp_pool(pool: Any, x: Tensor, p: float, kernel: tuple, stride: Any, ceil_mode: bool) -> Tensor:
    means = pool(x.pow(p), kernel, stride, 0, ceil_mode)
    return (means.sign() * means.abs().relu() * math.prod(kernel)).pow(1.0 / p)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ xᵖ)^(1/p) over windows of the last dimension of (N, C, L) or (C, L)."""
    return _lp_pool(avg_pool1d, input, norm_type, _several("lp_pool1d", "kernel_size", kernel_size, 1), stride, ceil_mode)  # fmt: skip


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ xᵖ)^(1/p) over windows of the last two dimensions of (N, C, H, W) or (C, H, W).

    >>> import gradgpu as gg
    >>> gg.nn.functional.lp_pool2d(gg.tensor([[[3., 0.], [0., 4.]]]), 2, 2)
    tensor([[[5.]]])
    """
    return _lp_pool(avg_pool2d, input, norm_type, _several("lp_pool2d", "kernel_size", kernel_size, 2), stride, ceil_mode)  # fmt: skip


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ xᵖ)^(1/p) over windows of the last three dimensions of (N, C, D, H, W) or (C, D, H, W)."""
    return _lp_pool(avg_pool3d, input, norm_type, _several("lp_pool3d", "kernel_size", kernel_size, 3), stride, ceil_mode)  # fmt: skip


# ---- back ----
def _max_unpool(
    dims: int, x: Tensor, indices: Tensor, kernel: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    name = f"max_unpool{dims}d"
    if x.ndim not in (dims + 1, dims + 2) or x.shape != indices.shape:
        raise ValueError(
            f"{name}: expected input and indices of one shape of {dims + 1} or {dims + 2} dimensions, got "
            f"{tuple(x.shape)} and {tuple(indices.shape)}"
        )
    kernel = _several(name, "kernel_size", kernel, dims)
    step = kernel if stride is None else _several(name, "stride", stride, dims)
    edge = _several(name, "padding", padding, dims)
    usual = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(x.shape[-dims:], step, kernel, edge, strict=True)]
    size = usual
    if output_size is not None:
        size = list(output_size)[-dims:]
        for i, (n, s) in enumerate(zip(usual, step)):
            if len(size) != dims or not n - s < size[i] < n + s:
                raise ValueError(
                    f"invalid output_size {list(output_size)!r} (dim {i} must be between {n - s} and {n + s})"
                )
    lead = x.shape[:-dims]
    flat = x.new_zeros((*lead, math.prod(size))).scatter(
        -1, indices.reshape((*lead, -1)), x.reshape((*lead, -1))
    )
    return flat.reshape((*lead, *size))


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:  # fmt: skip
    """Puts the maxima of `max_pool1d` back where `indices` says they came from, zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:  # fmt: skip
    """Puts the maxima of `max_pool2d` back where `indices` says they came from, zeros elsewhere.

    >>> import gradgpu as gg
    >>> y, at = gg.nn.functional.max_pool2d(gg.tensor([[[1., 2.], [4., 3.]]]), 2, return_indices=True)
    >>> gg.nn.functional.max_unpool2d(y, at, 2)
    tensor([[[0., 0.],
             [4., 0.]]])
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:  # fmt: skip
    """Puts the maxima of `max_pool3d` back where `indices` says they came from, zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# ---- random windows ----
def _starts(samples: Tensor, size: int, out: int, kernel: int) -> Tensor:
    """(N, C, out): where the windows of one dimension begin, pseudo-randomly (Graham, 2014, section 2.1)."""
    if out > 1:
        alpha = (size - kernel) / (out - 1)
        steps = arange(out, dtype=samples.dtype, device=samples.device)
        u = samples.unsqueeze(-1)
        starts = (floor((steps + u) * alpha) - floor(u * alpha)).long()
    else:
        starts = samples.new_zeros((*samples.shape, out)).long()
    starts[..., out - 1] = size - kernel
    return starts


def _fractional(
    dims: int,
    x: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Tensor | None,
) -> Any:
    name = f"fractional_max_pool{dims}d"
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if x.ndim == dims + 1:
        samples = samples if samples is None else samples[:1]  # those of the first image, as in PyTorch
        made = _fractional(dims, x.unsqueeze(0), kernel_size, output_size, output_ratio, True, samples)
        return (made[0].squeeze(0), made[1].squeeze(0)) if return_indices else made[0].squeeze(0)
    if x.ndim != dims + 2:
        raise RuntimeError(f"{name}: Expected {dims + 1}-D or {dims + 2}-D input, got shape {tuple(x.shape)}")
    size = x.shape[2:]
    kernel = _several(name, "kernel_size", kernel_size, dims)
    if output_size is None:
        ratio = _several(name, "output_ratio", output_ratio, dims)
        if not all(0 < r < 1 for r in ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
        out = tuple(int(n * r) for n, r in zip(size, ratio))
    else:
        out = _several(name, "output_size", output_size, dims)
    for n, o, k in zip(size, out, kernel):
        if o + k - 1 > n or o < 1:
            raise RuntimeError(
                f"{name}: output size {out} and kernel_size {kernel} are too large for input {tuple(size)}"
            )
    if samples is None:
        samples = rand(x.shape[0], x.shape[1], dims, dtype=x.dtype, device=x.device)
    # PyTorch's samples are in the order (width, height) in two dimensions and (depth, height, width) in three.
    order = (1, 0) if dims == 2 else (0, 1, 2)
    flat: Any = None
    for d in range(dims):  # the position in the volume of each element of each window: (N, C, *out, *kernel)
        rows = _starts(samples[..., order[d]].to(x.dtype), size[d], out[d], kernel[d]).unsqueeze(-1)
        rows = rows + arange(kernel[d], device=x.device)
        shape = [*x.shape[:2], *[1] * (2 * dims)]
        shape[2 + d], shape[2 + dims + d] = out[d], kernel[d]
        rows = rows.reshape(shape)
        flat = rows if flat is None else flat * size[d] + rows
    windows = flat.reshape((*x.shape[:2], math.prod(out), math.prod(kernel)))
    values = x.flatten(2).gather(2, windows.flatten(2)).reshape(windows.shape)
    best = values.detach().argmax(-1, keepdim=True)
    y = values.gather(-1, best).reshape((*x.shape[:2], *out))
    if not return_indices:
        return y
    return y, windows.gather(-1, best).reshape(y.shape)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maxima over windows that begin at pseudo-random places (Graham, "Fractional max-pooling", 2014).

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: of the windows.
        output_size: the wanted (H, W), or
        output_ratio: its ratio to the input's, between 0 and 1.
        return_indices: also the flat indices of the maxima.
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """:func:`fractional_max_pool2d` of (N, C, D, H, W) or (C, D, H, W)."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool2d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """:func:`fractional_max_pool2d` and the indices of the maxima."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """:func:`fractional_max_pool3d` and the indices of the maxima."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, True, _random_samples)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha · the mean of x² over `size` neighbouring channels)^beta (Krizhevsky et al., 2012).

    Shapes: (N, C, *), at least 3-D; the same out.
    """
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if not input.numel():
        return input
    squares = (input * input).reshape((input.shape[0], 1, input.shape[1], -1))
    near = avg_pool2d(pad(squares, (0, 0, size // 2, (size - 1) // 2)), (size, 1), 1)
    return input / (near.reshape(tuple(input.shape)) * alpha + k).pow(beta)
