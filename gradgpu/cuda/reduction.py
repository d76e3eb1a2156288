"""How a reduction is laid over the grid: the host side of kernels/reduce.cuh.

The axes of the array are sorted into kept and reduced ones and merged where memory allows; what is left
decides which kernel reads neighbouring elements with neighbouring threads, and how far a long reduction is
split among blocks. The plan for a layout is made once.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..dtypes import ALL, FLOATS, bfloat16, float16
from .array import Array, Layout, empty
from .launch import Kernel

MAX_AXES = 12
BLOCK = 256
ENOUGH_BLOCKS = 512  # splits are added until about so many blocks are there: a few for each multiprocessor

_AXIS = struct.Struct("qqIIII")
_HEAD, _TAIL = struct.Struct("qqq"), struct.Struct("iiiiii")
_PLAN_BYTES = _HEAD.size + 2 * MAX_AXES * _AXIS.size + _TAIL.size
_FORMAT = f"PPPPd{_PLAN_BYTES}s"

_EVERY_DTYPE = {  # name: (struct in kernels/reduce.cu, bytes of its largest accumulator)
    "sum": ("SumOf", 8),
    "prod": ("ProductOf", 8),
    "count_nonzero": ("CountOf", 8),
    "any": ("AnyOf", 4),
    "all": ("AllOf", 4),
    "amax": ("MaxOf", 8),
    "amin": ("MinOf", 8),
    "max": ("Extremum<true>", 16),
    "min": ("Extremum<false>", 16),
}
_FLOATING = {  # the same in kernels/moments.cu
    "mean": ("MeanOf", 8),
    "variance": ("VarianceOf", 24),
    "logsumexp": ("LogSumExpOf", 16),
    "norm2": ("NormOf", 8),
}
_WIDE = {"variance_wide": ("VarianceOf", 24)}  # the same with results in float32
_ACCUMULATOR = {name: size for name, (_, size) in (_EVERY_DTYPE | _FLOATING | _WIDE).items()}
_KERNELS = {
    (name, kind): Kernel(file, f"{name}_{kind}", _FORMAT, T=dtypes, NAME=name, OP=op, **extra)
    for file, dtypes, table, extra in (
        ("reduce.cu", ALL, _EVERY_DTYPE, {}),
        ("moments.cu", FLOATS, _FLOATING, {}),
        ("moments.cu", (float16, bfloat16), _WIDE, {"WIDE": ""}),
    )
    for name, (op, _) in table.items()
    for kind in ("lanes", "columns", "finish")
}

Axes = list[tuple[int, int]]  # (size, stride), outermost first


def fast_division(divisor: int) -> tuple[int, int, int]:
    """The three words of a FastDiv (kernels/common.cuh)."""
    shift = (divisor - 1).bit_length()
    return divisor, ((1 << 32) * ((1 << shift) - divisor) // divisor + 1) & 0xFFFFFFFF, shift


def merge_axes(axes: Axes) -> Axes:
    """The same elements in the same order with as few axes as possible."""
    merged: Axes = []
    for size, stride in axes:
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return merged


def _pack_axes(axes: Axes) -> bytes:
    packed = b"".join(
        _AXIS.pack(stride, size, *(fast_division(max(size, 1)) if size < 1 << 31 else (0, 0, 0)), 0)
        for size, stride in axes
    )
    return packed.ljust(MAX_AXES * _AXIS.size, b"\0")


@lru_cache(maxsize=8192)
def _plan(layout: Layout, aligned: bool, dims: tuple[int, ...], keepdim: bool) -> tuple:
    """(shape of the result, kernel kind, grid, block, packed plan, outputs, splits)."""
    shape, strides, itemsize = layout.shape, layout.strides, layout.itemsize
    kept = merge_axes([(n, s) for i, (n, s) in enumerate(zip(shape, strides, strict=True)) if i not in dims])
    gone = merge_axes([(shape[i], strides[i]) for i in dims])
    if len(kept) > MAX_AXES or len(gone) > MAX_AXES:
        raise RuntimeError(
            f"{len(kept)} kept and {len(gone)} reduced dimensions cannot be merged into {MAX_AXES} each "
            f"(shape {shape}, dims {dims}); reduce some of them first"
        )
    outputs = prod(n for n, _ in kept)
    count = prod(n for n, _ in gone)
    per_load = 16 // itemsize
    vector = (
        aligned
        and len(gone) == 1
        and gone[0][1] == 1
        and count >= per_load > 1
        and not any(s % per_load for _, s in kept)
    )
    neighbours_kept = bool(kept and gone) and abs(kept[-1][1]) < abs(gone[-1][1])
    width, splits, chunk = 1, 1, count
    if neighbours_kept and count > 8:
        kind, block = "columns", (32, 8)
        blocks, least = -(-outputs // 32), 64
    else:
        kind, block = "lanes", (BLOCK, 1)
        if not neighbours_kept:
            steps = -(-count // (per_load if vector else 1))
            width = BLOCK if count > 2048 else min(32, 1 << max(steps - 1, 0).bit_length())
        blocks, least = -(-outputs // (BLOCK // width)), 4096
    if blocks < ENOUGH_BLOCKS // 2 and count >= 2 * least:
        splits = min(-(-ENOUGH_BLOCKS // blocks), count // least)
        chunk = (-(-count // splits) + 15) // 16 * 16
        splits = -(-count // chunk)
    packed = (
        _HEAD.pack(outputs, count, chunk)
        + _pack_axes(kept)
        + _pack_axes(gone)
        + _TAIL.pack(len(kept), len(gone), splits, width, vector, max(outputs, count) >= 1 << 31)
    )
    if keepdim:
        out_shape = tuple([1 if i in dims else n for i, n in enumerate(shape)])
    else:
        out_shape = tuple([n for i, n in enumerate(shape) if i not in dims])
    return out_shape, kind, (blocks, splits), block, packed, outputs, splits


def reduce_cuda(
    name: str, x: Array, dims: tuple[int, ...], keepdim: bool, dtypes: tuple, scalar: float = 0.0
) -> Any:
    """Reduces `x` over `dims` (ascending) with the operation `name` of kernels/reduce.cu or kernels/moments.cu.

    `dtypes` holds the numpy dtype of the result, or of the two results; returns an Array or a tuple of two.
    """
    plan = _plan(x.layout, not x.ptr & 15, dims, keepdim)
    shape, kind, grid, block, packed, outputs, splits = plan
    results = tuple([empty(shape, d) for d in dtypes])
    if outputs:
        y = results[0].ptr
        z = results[1].ptr if len(results) > 1 else 0
        if splits == 1:
            _KERNELS[name, kind][x.dtype](grid, block, x.ptr, y, z, 0, scalar, packed)
        else:
            partial = empty((outputs * splits * _ACCUMULATOR[name],), np.uint8)
            _KERNELS[name, kind][x.dtype](grid, block, x.ptr, y, z, partial.ptr, scalar, packed)
            _KERNELS[name, "finish"][x.dtype](
                -(-outputs // 8), BLOCK, x.ptr, y, z, partial.ptr, scalar, packed
            )
    return results if len(results) > 1 else results[0]
