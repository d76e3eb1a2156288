"""Sliding blocks of images as columns, and columns added up to images: nn.functional's `unfold` and `fold`.

One strided view for each position of the kernel: differentiable to any order, and exact for infinities.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

from ..tensor import Tensor
from .join import stack
from .pad import pad
from .shape import basic_index_backward_op


def _pair(op: str, name: str, value: Any, least: int) -> tuple[int, int]:
    pair = (int(value),) * 2 if isinstance(value, Integral) else tuple(map(int, value))
    if len(pair) != 2 or min(pair) < least:
        raise RuntimeError(f"{op}: {name} must be an int or two ints of at least {least}, got {value!r}")
    return pair


def _geometry(op: str, height: int, width: int, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """(kernel, padding, padded size, blocks along each dimension, index of each kernel position)."""
    k, d = _pair(op, "kernel_size", kernel, 1), _pair(op, "dilation", dilation, 1)
    p, s = _pair(op, "padding", padding, 0), _pair(op, "stride", stride, 1)
    size = (height + 2 * p[0], width + 2 * p[1])
    blocks = [(n - dd * (kk - 1) - 1) // ss + 1 for n, kk, dd, ss in zip(size, k, d, s)]
    if min(blocks) < 1:
        raise RuntimeError(
            f"{op}: kernel_size {k} with dilation {d} does not fit into the padded image of size {size}"
        )

    def places() -> Iterator[tuple]:
        for i in range(k[0]):
            for j in range(k[1]):
                yield (
                    slice(None),
                    slice(None),
                    slice(i * d[0], i * d[0] + s[0] * (blocks[0] - 1) + 1, s[0]),
                    slice(j * d[1], j * d[1] + s[1] * (blocks[1] - 1) + 1, s[1]),
                )

    return k, p, size, blocks, places()


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The sliding blocks of images (N, C, H, W) or (C, H, W) as columns (N, C · ∏ kernel_size, L).

    Raises:
        RuntimeError: another number of dimensions, or a kernel larger than the padded image.

    >>> import gradgpu as gg
    >>> x = gg.arange(9.).reshape(1, 1, 3, 3)
    >>> gg.nn.functional.unfold(x, 2)[0, :, 0]
    tensor([0., 1., 3., 4.])
    """
    if input.ndim not in (3, 4):
        raise RuntimeError(f"unfold: expected a 3-D or 4-D input, got shape {tuple(input.shape)}")
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    n, channels, height, width = input.shape
    k, p, _, blocks, places = _geometry("unfold", height, width, kernel_size, dilation, padding, stride)
    x = pad(input, (p[1], p[1], p[0], p[0])) if any(p) else input
    return stack([x[place] for place in places], 2).reshape(
        (n, channels * k[0] * k[1], blocks[0] * blocks[1])
    )


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Columns (N, C · ∏ kernel_size, L) or (C · ∏ kernel_size, L) added up to images of `output_size`.

    The adjoint of :func:`unfold`: where blocks overlap, their values are summed.

    Raises:
        RuntimeError: columns whose number or length does not fit.

    >>> import gradgpu as gg
    >>> gg.nn.functional.fold(gg.ones(1, 4, 4), (3, 3), 2)[0, 0]
    tensor([[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]])
    """
    if input.ndim not in (2, 3):
        raise RuntimeError(f"fold: expected a 2-D or 3-D input, got shape {tuple(input.shape)}")
    if input.ndim == 2:
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    height, width = _pair("fold", "output_size", output_size, 1)
    k, p, size, blocks, places = _geometry("fold", height, width, kernel_size, dilation, padding, stride)
    n, rows, columns = input.shape
    if rows % (k[0] * k[1]) or columns != blocks[0] * blocks[1]:
        raise RuntimeError(
            f"fold: expected input of shape (N, a multiple of {k[0] * k[1]}, {blocks[0] * blocks[1]}) for "
            f"output_size {(height, width)}, got {tuple(input.shape)}"
        )
    channels = rows // (k[0] * k[1])
    x = input.reshape((n, channels, k[0] * k[1], *blocks))
    total: Any = None
    for i, place in enumerate(places):
        part = basic_index_backward_op(x[:, :, i], shape=(n, channels, *size), index=place)
        total = part if total is None else total + part
    return total[:, :, p[0] : p[0] + height, p[1] : p[1] + width]


__all__: list[str] = []  # they are functions of nn.functional
