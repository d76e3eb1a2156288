"""Which tile and how many parts a matrix product gets: the host side of kernels/gemm.cu."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..dtypes import FLOATS, INTS
from .array import Array, Layout, contiguous, empty, layout_of
from .backend import backend
from .launch import Kernel

# Tiles of kernels/gemm_tile.cuh: rows, columns, threads, largest first. Doubles take a narrower large one.
BK = 16  # a multiple of every tile's step of k
TILES = {
    "large": (128, 128, 256),
    "medium": (64, 64, 128),
    "small": (32, 32, 64),
}
DOUBLE_LARGE = (128, 64, 256)
ENOUGH_BLOCKS = 128  # about one for each multiprocessor; below that, smaller tiles and then parts of k
SHORTEST_PART = 64  # of k: a shorter one costs more to add up than it gains

_STRIDES = "qqqqqqqqqq"
_GEMM = {name: Kernel("gemm.cu", f"gemm_{name}", f"PPPPP{_STRIDES}qiiiiiiiiiii", T=FLOATS) for name in TILES}
_REDUCE = Kernel("gemm.cu", "gemm_reduce", "PPPqii", T=FLOATS)
_OBVIOUS = Kernel("gemm_obvious.cu", "gemm_obvious", f"PPPP{_STRIDES}qiiiii", T=FLOATS + INTS)


def sum_type(dtype: np.dtype) -> np.dtype:
    """The dtype that products of `dtype` are summed in."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def tile_for(dtype: np.dtype, m: int, n: int, batch: int) -> tuple[str, int, int, int, int]:
    """(name, rows, columns, threads, blocks): the largest tile that still gives every multiprocessor work."""
    for name, (rows, columns, threads) in TILES.items():
        if name == "large" and dtype.itemsize == 8:
            rows, columns, threads = DOUBLE_LARGE
        blocks = -(-m // rows) * -(-n // columns) * batch
        if blocks >= ENOUGH_BLOCKS:
            break
    return name, rows, columns, threads, blocks


def parts_of(k: int, blocks: int) -> tuple[int, int]:
    """(parts, length of a part) of a sum over k of which there are `blocks` tiles."""
    wanted = min(2 * ENOUGH_BLOCKS // max(blocks, 1), k // SHORTEST_PART)
    if blocks >= ENOUGH_BLOCKS or wanted < 2:
        return 1, k
    length = -(-k // wanted)
    length = -(-length // BK) * BK
    return -(-k // length), length


def _batch(a: Layout, b: Layout) -> tuple[tuple[int, ...], list[tuple[int, int, int]]]:
    """The broadcast batch shape and its merged axes (size, stride in a, stride in b), outermost first."""
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    sides = []
    for x in (a, b):
        lead = len(shape) - (x.ndim - 2)
        sides.append([0] * lead + [0 if n == 1 else s for n, s in zip(x.shape[:-2], x.strides)])
    axes: list[tuple[int, int, int]] = []
    for n, s, t in zip(shape, *sides):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * s and axes[-1][2] == n * t:
            axes[-1] = (axes[-1][0] * n, s, t)
        else:
            axes.append((n, s, t))
    return shape, axes


class _Plan:
    """All that a product of two layouts needs but the addresses; `copies` says that the batch is too scattered."""

    __slots__ = (
        "layout",
        "size",
        "copies",
        "kernel",
        "launcher",
        "grid",
        "block",
        "constants",
        "splits",
        "partial",
        "n",
    )

    layout: Layout
    size: int
    copies: bool
    kernel: Any
    launcher: Any
    grid: Any
    block: int
    constants: tuple[Any, ...]
    splits: int
    partial: Any
    n: int


@lru_cache(maxsize=8192)
def _plan(a: Layout, b: Layout, ta: bool, tb: bool, a_aligned: bool, b_aligned: bool, obvious: bool) -> _Plan:
    m, k = a.shape[-2:]
    a_row, a_column = a.strides[-2:]
    if ta:
        m, k, a_row, a_column = k, m, a_column, a_row
    n = b.shape[-2 if tb else -1]
    b_row, b_column = b.strides[-2:]
    if tb:
        b_row, b_column = b_column, b_row
    # A dimension of one element has no stride to speak of; 1 where it makes reading along it a vector's business.
    if k == 1:
        a_column, b_row = (1 if a_row != 1 else a_column), (1 if b_column != 1 else b_row)
    batch_shape, axes = _batch(a, b)
    plan = _Plan()
    plan.copies = len(axes) > 3
    if plan.copies:
        return plan
    axes = [(1, 0, 0)] * (3 - len(axes)) + axes
    batch = prod(batch_shape)
    plan.layout, plan.n = layout_of(a.device, a.dtype, (*batch_shape, m, n)), n
    plan.launcher = None
    plan.size = batch * m * n
    plan.splits, plan.partial = 1, 0
    strides = (a_row, a_column, b_row, b_column, *(x[1] for x in axes), *(x[2] for x in axes))
    if max(m, n, k, batch) > 0x7FFFFFFF:
        raise ValueError(f"matmul: sizes up to 2147483647 are supported on cuda, got {a.shape} and {b.shape}")
    if obvious or a.dtype.kind in "iu":
        plan.kernel, plan.block = _OBVIOUS, 256
        plan.grid = min(-(-plan.size // 256), 1 << 20)
        plan.constants = (*strides, plan.size, m, n, k, axes[1][0], axes[2][0])
        return plan
    name, rows, columns, threads, blocks = tile_for(a.dtype, m, n, batch)
    plan.splits, part = parts_of(k, blocks)
    plan.kernel, plan.block, plan.grid = _GEMM[name], threads, blocks * plan.splits
    if plan.grid > 0x7FFFFFFF:
        raise ValueError(
            f"matmul: {plan.grid} tiles are more than one launch takes ({a.shape} and {b.shape}); split the batch"
        )
    if plan.splits > 1:
        plan.partial = plan.splits * plan.size
    width = 2 if a.dtype.itemsize == 8 else 4  # elements of a vector load
    vectors = []
    for aligned, along, across, which in ((a_aligned, a_column, a_row, 1), (b_aligned, b_column, b_row, 2)):
        other = across if along == 1 else along
        vectors.append(
            aligned
            and 1 in (along, across)
            and other % width == 0
            and all(x[which] % width == 0 for x in axes)
        )
    plan.constants = (*strides, batch, m, n, k, part, axes[1][0], axes[2][0], plan.splits,
                      -(-m // rows), -(-n // columns), *vectors)  # fmt: skip
    return plan


def gemm(
    a: Array,
    b: Array,
    ta: bool = False,
    tb: bool = False,
    bias: Array | None = None,
    obvious: bool = False,
    into: Array | None = None,
) -> Array:
    """The product of the last two dimensions, batch dimensions broadcast; `ta`, `tb` transpose, `bias` adds to each row.

    `obvious=True` computes floating-point products with the reference kernel too. `into`: a contiguous array of the
    result's shape to write, which is returned.
    """
    plan = _plan(a.layout, b.layout, ta, tb, a.ptr & 15 == 0, b.ptr & 15 == 0, obvious)
    if plan.copies:
        return gemm(_spread(a, b), _spread(b, a), ta, tb, bias, obvious, into)
    layout = plan.layout
    if into is None:
        mem = backend().alloc(layout.nbytes)
        c = Array(mem, mem.ptr, layout)
    else:
        c = into
    if not plan.size:
        return c
    bias_ptr = 0 if bias is None else (bias := contiguous(bias)).ptr
    launch = plan.launcher
    if launch is None:
        launch = plan.launcher = plan.kernel[a.dtype]
    if plan.kernel is _OBVIOUS:
        launch(plan.grid, plan.block, a.ptr, b.ptr, bias_ptr, c.ptr, *plan.constants)
    elif plan.splits == 1:
        launch(plan.grid, plan.block, a.ptr, b.ptr, bias_ptr, c.ptr, 0, *plan.constants)
    else:
        partial = empty((plan.partial,), sum_type(a.dtype))
        launch(plan.grid, plan.block, a.ptr, b.ptr, 0, c.ptr, partial.ptr, *plan.constants)
        add_parts(partial, bias_ptr, c, plan.splits, plan.n)
    return c


def add_parts(partial: Array, bias_ptr: int, c: Array, parts: int, n: int) -> None:
    """c = the sum of the parts of a split product (+ bias), in their order."""
    grid = min(-(-c.size // 256), 4096)
    _REDUCE[c.dtype](grid, 256, partial.ptr, bias_ptr, c.ptr, c.size, parts, n)


def _spread(x: Array, other: Array) -> Array:
    """`x` with the full batch shape, contiguous: for batches that no three strides describe."""
    batch = np.broadcast_shapes(x.shape[:-2], other.shape[:-2])
    lead = len(batch) - (x.ndim - 2)
    strides = [0] * lead + [0 if n == 1 else s for n, s in zip(x.shape[:-2], x.strides)]
    return contiguous(x.as_strided((*batch, *x.shape[-2:]), (*strides, *x.strides[-2:])))


def fold(x: Array) -> Array:
    """`x` as a matrix: leading dimensions become rows."""
    return x if x.ndim == 2 else x.reshape((prod(x.shape[:-1]), x.shape[-1]))


def unfold(x: Array, shape: Any) -> Array:
    """A contiguous result in its final shape."""
    return x if x.shape == shape else Array(x.mem, x.ptr, layout_of(x.layout.device, x.dtype, tuple(shape)))
