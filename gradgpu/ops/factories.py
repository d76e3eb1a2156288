"""Ways to make a tensor that few programs use: by strides, of foreign memory, of a closed range, the windows of signals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..devices import as_device
from ..layouts import strided_only
from ..tensor import Tensor, wrap
from .creation import _finish, array_on, empty
from .shape import permute_op
from .strided import strided_op


def range(
    start: float = 0, end: float | None = None, step: float = 1, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Numbers from `start` up to and with `end`, in the default dtype; deprecated, as in PyTorch: `arange` leaves the end out.

    >>> import gradgpu as gg
    >>> gg.range(1, 3)  # doctest: +SKIP
    tensor([1., 2., 3.])
    """
    if layout is not None:
        strided_only("range", layout)
    warnings.warn(
        "range is deprecated, because its behaviour is inconsistent with Python's range builtin. Instead, use arange, "
        "which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("range: step must be nonzero")
    if (end - start) / step < 0:
        raise RuntimeError(
            f"range: upper bound and lower bound inconsistent with step sign: {start}, {end}, step {step}"
        )
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    values = (start + step * np.arange(math.floor((end - start) / step) + 1)).astype(d.np)
    return _finish(array_on(values, as_device(device)), requires_grad)


def empty_strided(
    size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor with the sizes and strides given.

    Raises:
        RuntimeError: as many strides as sizes are needed, and none may be negative.

    >>> import gradgpu as gg
    >>> gg.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    if layout is not None:
        strided_only("empty_strided", layout)
    size, stride = tuple([int(n) for n in size]), tuple([int(s) for s in stride])
    if len(size) != len(stride):
        raise RuntimeError(
            f"empty_strided: dimensionality of sizes ({len(size)}) must match dimensionality of strides ({len(stride)})"
        )
    if any(n < 0 for n in (*size, *stride)):
        raise RuntimeError(
            f"empty_strided: sizes and strides must not be negative, got {list(size)}, {list(stride)}"
        )
    needed = sum([(n - 1) * s for n, s in zip(size, stride)]) + 1 if math.prod(size) else 0
    flat = empty(needed, dtype=dtype, device=device, pin_memory=pin_memory)
    made = wrap(strided_op(flat, size=size, stride=stride, offset=0)._a)
    return made.requires_grad_(requires_grad)


def empty_permuted(
    size: Sequence[int], physical_layout: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor whose memory has the dimensions in the order given, from the slowest to the fastest.

    >>> import gradgpu as gg
    >>> gg.empty_permuted((2, 3, 4), (0, 2, 1)).stride()
    (12, 1, 3)
    """
    if layout is not None:
        strided_only("empty_permuted", layout)
    order = tuple(physical_layout)
    if sorted(order) != [*np.arange(len(size))]:
        raise RuntimeError(
            f"empty_permuted: physical_layout must name each of the {len(size)} dimensions once, got {order}"
        )
    dense = empty([size[d] for d in order], dtype=dtype, device=device, pin_memory=pin_memory)
    inverse = tuple([order.index(d) for d in np.arange(len(order))])
    return wrap(permute_op(dense, dims=inverse)._a).requires_grad_(requires_grad)


def frombuffer(
    buffer: Any, *, dtype: dt.dtype, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector over the memory of a Python buffer (bytearray, array, memoryview), which it shares; of bytes a copy.

    Args:
        count: how many elements; all by default.
        offset: how many bytes to leave out at the start.

    Raises:
        ValueError: the buffer is empty or too small.

    >>> import gradgpu as gg
    >>> gg.frombuffer(bytearray([1, 2, 3]), dtype=gg.uint8, offset=1)
    tensor([2, 3], dtype=gradgpu.uint8)
    """
    d = dt.as_dtype(dtype)
    size = memoryview(buffer).nbytes
    if not size or count == 0:
        raise ValueError(
            f"both buffer length ({size}) and count ({count}) must not be 0, and count must be negative or positive"
        )
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({size} bytes) minus 1"
        )
    if count > 0 and offset + count * d.itemsize > size:
        raise ValueError(
            f"requested buffer length ({count} * {d.itemsize} bytes) after offset ({offset} bytes) must not be greater than "
            f"actual buffer length ({size} bytes)"
        )
    if count < 0 and (size - offset) % d.itemsize:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a multiple of element size "
            f"({d.itemsize})"
        )
    found = np.frombuffer(buffer, d.np, count, offset)
    return _finish(found if found.flags.writeable else found.copy(), requires_grad)


# ---- windows (Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", 1978) ----
def _window(
    name: str, length: int, periodic: bool, shape: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    """`shape` of the positions from 0 to 1 along the window."""
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    if not d.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {d}")
    if length < 2:
        values = np.ones(length)
    else:
        values = shape(np.arange(length) / (length if periodic else length - 1))
    return _finish(array_on(values.astype(d.np), as_device(device)), requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """The triangular window; `periodic` leaves out the last of length + 1 values, for use with Fourier transforms.

    >>> import gradgpu as gg
    >>> gg.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    if layout is not None:
        strided_only("bartlett_window", layout)
    return _window("bartlett_window", window_length, periodic, lambda t: 1 - np.abs(2 * t - 1), dtype, device, requires_grad)  # fmt: skip


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """Hann's window, sin²(πt).

    >>> import gradgpu as gg
    >>> gg.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    if layout is not None:
        strided_only("hann_window", layout)
    return _window("hann_window", window_length, periodic, lambda t: np.sin(np.pi * t) ** 2, dtype, device, requires_grad)  # fmt: skip


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Hamming's window, alpha - beta · cos(2πt).

    >>> import gradgpu as gg
    >>> gg.hamming_window(2)
    tensor([0.0800, 1.0000])
    """
    if layout is not None:
        strided_only("hamming_window", layout)
    return _window(
        "hamming_window", window_length, periodic, lambda t: alpha - beta * np.cos(2 * np.pi * t), dtype, device, requires_grad
    )  # fmt: skip


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """Blackman's window, 0.42 - 0.5 · cos(2πt) + 0.08 · cos(4πt).

    >>> import gradgpu as gg
    >>> gg.blackman_window(2)[1].item()
    1.0
    """
    if layout is not None:
        strided_only("blackman_window", layout)
    return _window(
        "blackman_window",
        window_length,
        periodic,
        lambda t: 0.42 - 0.5 * np.cos(2 * np.pi * t) + 0.08 * np.cos(4 * np.pi * t),
        dtype,
        device,
        requires_grad,
    )


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Kaiser's window, I₀(beta · √(1 - (2t - 1)²)) / I₀(beta).

    >>> import gradgpu as gg
    >>> gg.kaiser_window(2)[1].item()
    1.0
    """
    if layout is not None:
        strided_only("kaiser_window", layout)
    return _window(
        "kaiser_window",
        window_length,
        periodic,
        lambda t: np.i0(beta * np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))) / np.i0(beta),
        dtype,
        device,
        requires_grad,
    )


__all__ = [
    "bartlett_window", "blackman_window", "empty_permuted", "empty_strided", "frombuffer", "hamming_window", "hann_window",
    "kaiser_window", "range",
]  # fmt: skip
