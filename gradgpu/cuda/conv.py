"""Tiles and parameters of the convolutions: the host side of kernels/conv.cu and kernels/depthwise.cu."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..dtypes import FLOATS
from .array import Array, contiguous, empty
from .gemm import DOUBLE_LARGE, ENOUGH_BLOCKS, TILES, add_parts, parts_of, sum_type
from .launch import Kernel
from .reduction import fast_division

_FORMAT = "PPPPP" + "i" * 20 + "I" * 18
_WIDE = (32, 128, 128)
_SHAPES = {**TILES, "wide": _WIDE}
_KERNELS = {
    (kind, tile): Kernel("conv.cu", f"{kind}_{tile}", _FORMAT, T=FLOATS)
    for kind, tiles in (
        ("conv2d", ("large", "wide", "small")),
        ("conv2d_input_grad", ("large", "wide", "small")),
        ("conv2d_weight_grad", ("medium", "small")),
    )
    for tile in tiles
}
_DEPTHWISE = {
    kind: Kernel("depthwise.cu", f"depthwise_{name}", "PPPPP" + "i" * 18 + "I" * 18, T=FLOATS)
    for kind, name in (
        ("conv2d", "forward"),
        ("conv2d_input_grad", "input_gradient"),
        ("conv2d_weight_grad", "weight_gradient"),
    )
}
_TAPS = 9  # of a block of depthwise_weight_gradient
_DEPTHWISE_THREADS = 128
_DEPTHWISE_OUTPUTS = 8  # output channels a group up to which it is better than a tile of 32
_DEPTHWISE_BLOCKS = (
    512  # of the weight gradient: below that the pixels are split, if each split keeps enough of them
)
_DEPTHWISE_PIXELS = 1024
_LIMIT = 0x7FFFFFFF

Pair = tuple[int, int]


def _choose(kind: str, dtype: np.dtype, m: int, n: int, groups: int) -> tuple[str, int, int, int]:
    """(tile, threads, row tiles, column tiles) of a product of (m, k) and (k, n)."""
    if kind == "conv2d_weight_grad":  # parts of k, the pixels, give work enough
        order: tuple[str, ...] = ("medium",) if m > 32 and n > 32 else ("small",)
    else:
        order = ("large", "small") if m > 32 else ("wide", "small")
    for tile in order:
        rows, columns, threads = DOUBLE_LARGE if tile == "large" and dtype.itemsize == 8 else _SHAPES[tile]
        tiles_m, tiles_n = -(-m // rows), -(-n // columns)
        if tiles_m * tiles_n * groups >= ENOUGH_BLOCKS:
            break
    return tile, threads, tiles_m, tiles_n


@lru_cache(maxsize=4096)
def _plan(kind: str, dtype: np.dtype, image: tuple, output: tuple, kernel: Pair, stride: Pair, padding: Pair,
          dilation: Pair, groups: int) -> tuple:  # fmt: skip
    """(tile, grid, block, parts, values of the parameters) for an image (N, C, H, W) and an output (N, O, OH, OW)."""
    batch, channels, height, width = image
    _, out_channels, out_height, out_width = output
    channels, out_channels = channels // groups, out_channels // groups
    area = prod(kernel)
    walked = image if kind == "conv2d_input_grad" else output
    pixels = prod(walked[2:])
    if kind == "conv2d":
        m, n, k = out_channels, batch * pixels, channels * area
    elif kind == "conv2d_input_grad":
        m, n, k = channels, batch * pixels, out_channels * area
    else:
        m, n, k = out_channels, channels * area, batch * pixels
    largest = max(m, n, k, channels * height * width, out_channels * out_height * out_width)
    if largest > _LIMIT:
        raise ValueError(
            f"{kind}: {largest} positions are more than one launch takes (2147483647); split the batch"
        )
    tile, threads, tiles_m, tiles_n = _choose(kind, dtype, m, n, groups)
    blocks = tiles_m * tiles_n * groups
    parts, part = parts_of(k, blocks) if kind == "conv2d_weight_grad" else (1, k)
    if blocks * parts > _LIMIT:
        raise ValueError(f"{kind}: {blocks * parts} tiles are more than one launch takes; split the batch")
    values = (
        m, n, k, part, parts, tiles_m, tiles_n, groups, channels, out_channels, height, width, out_height, out_width,
        *stride, *padding, *dilation,
        *fast_division(area), *fast_division(kernel[1]), *fast_division(max(pixels, 1)),
        *fast_division(max(walked[3], 1)), *fast_division(stride[0]), *fast_division(stride[1]),
    )  # fmt: skip
    return tile, blocks * parts, threads, parts, values


@lru_cache(maxsize=4096)
def _depthwise_plan(kind: str, image: tuple, output: tuple, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair,
                    groups: int) -> tuple | None:  # fmt: skip
    """(grid, parts, values of the parameters), or None if the groups are not of one channel or too large."""
    outputs, size = output[1] // groups, prod(image) if kind == "conv2d_input_grad" else prod(output)
    if image[1] != groups or groups == 1 or outputs > _DEPTHWISE_OUTPUTS or max(prod(image), size) > _LIMIT:
        return None
    walked = image if kind == "conv2d_input_grad" else output
    grid, part, parts, chunks = min(-(-size // _DEPTHWISE_THREADS), 1 << 16), 0, 1, 1
    if kind == "conv2d_weight_grad":
        size = size // output[1] if size else 0
        chunks = -(-prod(kernel) // _TAPS)
        blocks = output[1] * chunks
        part = -(-size // max(1, min(_DEPTHWISE_BLOCKS // blocks, size // _DEPTHWISE_PIXELS)))
        parts = max(1, -(-size // max(part, 1)))
        grid = blocks * parts
    values = (
        size, part, parts, chunks, groups, outputs, *image[2:], *output[2:], *kernel, *stride, *padding, *dilation,
        *fast_division(max(prod(walked[2:]), 1)), *fast_division(max(walked[3], 1)), *fast_division(outputs),
        *fast_division(walked[1]), *fast_division(stride[0]), *fast_division(stride[1]),
    )  # fmt: skip
    return grid, parts, values


def _depthwise(kind: str, plan: tuple, a: Array, b: Array, bias: Array | None, y: Array) -> Array:
    """One of the three of kernels/depthwise.cu into y."""
    grid, parts, values = plan
    partial = empty((parts * y.size,), sum_type(a.dtype)) if parts > 1 else None
    _DEPTHWISE[kind][a.dtype](grid, _DEPTHWISE_THREADS, b.ptr, a.ptr, 0 if bias is None else bias.ptr, y.ptr,
                              0 if partial is None else partial.ptr, *values)  # fmt: skip
    if partial is not None:
        add_parts(partial, 0, y, parts, 1)
    return y


def convolve(kind: str, a: Array, b: Array, bias: Array | None, result: tuple, image: tuple, output: tuple, kernel: Pair,
             **geometry: Any) -> Array:  # fmt: skip
    """One of the three products of kernels/conv.cu into a new array of shape `result`, or what kernels/depthwise.cu has."""
    a, b = contiguous(a), contiguous(b)
    bias = None if bias is None else contiguous(bias)
    y = empty(result, a.dtype)
    if not y.size:
        return y
    depthwise = _depthwise_plan(kind, image, output, kernel, **geometry)
    if depthwise is not None:
        return _depthwise(kind, depthwise, a, b, bias, y)
    tile, grid, block, parts, values = _plan(kind, a.dtype, image, output, kernel, **geometry)
    partial = empty((parts * y.size,), sum_type(a.dtype)) if parts > 1 else None
    launch = _KERNELS[kind, tile][a.dtype]
    launch(
        grid,
        block,
        a.ptr,
        b.ptr,
        0 if bias is None else bias.ptr,
        y.ptr,
        0 if partial is None else partial.ptr,
        *values,
    )
    if partial is not None:
        add_parts(partial, 0, y, parts, 1)
    return y
