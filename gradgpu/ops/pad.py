"""Margins around a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tensor import Tensor
from . import shape as _shape
from .join import span
from .registry import Op, refuse_others


def _constant_pad_cpu(x, *, pads, value):
    x = np.asarray(x)
    y = np.full([n + a + b for n, (a, b) in zip(x.shape, pads)], value, x.dtype)
    y[_inside(pads)] = x[_inside([(-a, -b) for a, b in pads])]
    return y


def _inside(pads: Sequence[tuple]) -> tuple:
    """The index of what lies within positive margins."""
    return tuple([slice(max(a, 0), -b if b > 0 else None) for a, b in pads])


def _constant_pad_cuda(x, *, pads, value):
    from ..cuda.array import full, zeros
    from ..cuda.elementwise import copy_into

    shape = tuple([n + a + b for n, (a, b) in zip(x.shape, pads)])
    x = _shape.basic_index_op.cuda(x, index=_inside([(-a, -b) for a, b in pads]))
    if shape == x.shape:
        return x.copy()
    y = full(shape, value, x.dtype, x.device) if value else zeros(shape, x.dtype, x.device)
    copy_into(_shape.basic_index_op.cuda(y, index=_inside(pads)), x)
    return y


# pads: (before, behind) of every dimension; a negative number cuts off
constant_pad_op = Op(
    "constant_pad",
    _constant_pad_cpu,
    _constant_pad_cuda,
    {"x": lambda g, *, pads: constant_pad_op(g, pads=tuple([(-a, -b) for a, b in pads]), value=0)},
)

_MODES = {"reflect": 1, "replicate": 2, "circular": 3}


def _pad_map(n: int, left: int, right: int, mode: str) -> np.ndarray:
    """The element that each place of a padded dimension shows."""
    i = np.arange(-left, n + right)
    if mode == "reflect":
        i = np.abs(i)
        return np.where(i >= n, 2 * (n - 1) - i, i)
    return np.clip(i, 0, n - 1) if mode == "replicate" else i % n


def _mode_pad_cpu(x, *, dim, left, right, mode):
    return x.take(_pad_map(x.shape[dim], left, right, mode), dim)


def _mode_pad_cuda(x, *, dim, left, right, mode):
    from ..cuda.joining import pad

    return pad(x, dim, left, right, _MODES[mode])


def _mode_pad_backward_cpu(g, *, dim, left, right, mode):
    m = g.shape[dim]
    n = m - left - right
    half = g.dtype.itemsize == 2
    wide = g.astype(np.float32) if half else g
    dx = wide[span(dim, left, left + n)].copy()

    def add(target, source):
        view = dx[
            span(dim, target.start, target.stop) if target.step is None else (*(slice(None),) * dim, target)
        ]
        view += source

    before, behind = wide[span(dim, 0, left)], wide[span(dim, left + n, m)]
    if mode == "replicate":
        if left:
            add(slice(0, 1), np.add.reduce(before, axis=dim, keepdims=True))
        if right:
            add(slice(n - 1, n), np.add.reduce(behind, axis=dim, keepdims=True))
    elif mode == "reflect":
        if left:
            add(slice(left, 0, -1), before)
        if right:
            add(slice(n - 2, n - 2 - right if n - 2 - right >= 0 else None, -1), behind)
    else:
        if left:
            add(slice(n - left, n), before)
        if right:
            add(slice(0, right), behind)
    return dx.astype(g.dtype) if half else dx


def _mode_pad_backward_cuda(g, *, dim, left, right, mode):
    from ..cuda.joining import pad_backward

    return pad_backward(g, dim, left, right, _MODES[mode])


# One dimension at a time; 'reflect', 'replicate' or 'circular'.
mode_pad_op = Op(
    "pad",
    _mode_pad_cpu,
    _mode_pad_cuda,
    {
        "x": lambda g, *, dim, left, right, mode: mode_pad_backward_op(
            g, dim=dim, left=left, right=right, mode=mode
        )
    },
)
mode_pad_op.zero_second = True
mode_pad_backward_op = Op(
    "pad_backward",
    _mode_pad_backward_cpu,
    _mode_pad_backward_cuda,
    {"g": lambda g0, *, dim, left, right, mode: mode_pad_op(g0, dim=dim, left=left, right=right, mode=mode)},
)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Adds a margin: `pad` holds (before, behind) of the last dimension, then of the one before it, and so on.

    Args:
        mode: 'constant' (of `value`, 0 by default), 'reflect' (without repeating the
            edge; less than the dimension), 'replicate' (the edge) or 'circular' (at most the dimension). Negative numbers cut
            off.

    Raises:
        RuntimeError: `pad` has odd length or too many entries, or a margin is too wide for the mode. ValueError: an
            unknown mode.

    >>> import gradgpu as gg
    >>> from gradgpu.ops.pad import pad
    >>> pad(gg.tensor([1, 2, 3]), (2, 1), mode="reflect")
    tensor([3, 2, 1, 2, 3, 2])
    """
    amounts = [int(p) for p in pad]
    try:
        shape = input._a.shape
    except AttributeError:
        refuse_others("pad", input=input)
        raise
    if len(amounts) % 2:
        raise RuntimeError(f"pad: Padding length must be divisible by 2, got {len(amounts)} numbers")
    if len(amounts) > 2 * len(shape):
        raise RuntimeError(
            f"pad: Padding length {len(amounts)} is more than twice the number of dimensions of the input {tuple(shape)}"
        )
    pairs = [(0, 0)] * (len(shape) - len(amounts) // 2) + list(zip(amounts[-2::-2], amounts[::-2]))
    if mode == "constant":
        if any(n + a + b < 0 for n, (a, b) in zip(shape, pairs)):
            raise RuntimeError(
                f"pad: the padding {amounts} would make a dimension of {tuple(shape)} negative"
            )
        return constant_pad_op(input, pads=tuple(pairs), value=0 if value is None else value)
    if mode not in _MODES:
        raise ValueError(f"pad: unknown mode {mode!r}; use 'constant', 'reflect', 'replicate' or 'circular'")
    if value is not None and value != 0:
        raise ValueError(f"pad: mode {mode!r} takes no value, got {value}")
    for d, (left, right) in reversed(list(enumerate(pairs))):
        if left == right == 0:
            continue
        if left < 0 or right < 0:  # cut off first; what is left is padded
            cut = [(0, 0)] * len(shape)
            cut[d] = (min(left, 0), min(right, 0))
            input = constant_pad_op(input, pads=tuple(cut), value=0)
            left, right = max(left, 0), max(right, 0)
        n = input._a.shape[d]
        most = n - 1 if mode == "reflect" else n if mode == "circular" else None
        if n == 0 or most is not None and max(left, right) > most:
            raise RuntimeError(
                f"pad: Padding size {(left, right)} is too wide for dimension {d} of size {n}: mode {mode!r} takes at most {most}"
            )
        input = mode_pad_op(input, dim=d, left=left, right=right, mode=mode)
    return input


__all__: list[str] = []
