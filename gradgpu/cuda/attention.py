"""Launches of attention.cu."""

from __future__ import annotations

import numpy as np

from ..dtypes import FLOATS
from .array import Array, contiguous, empty, layout_of
from .gemm import sum_type
from .launch import Kernel

LARGEST = 128  # features of a query, a key or a value
_PARAMS = "P" * 12 + "q" * 16 + "QQQddiiiiiiii"
_NAMES = ("attention", "attention_queries", "attention_keys")
_KERNELS = {
    (name, size): Kernel("attention.cu", f"{name}_{size}", _PARAMS, T=FLOATS)
    for name in _NAMES
    for size in (32, 64, 128)
}
_DELTA = Kernel("attention.cu", "attention_delta", _PARAMS, T=FLOATS)
_THREADS = 128
# Queries of a block, and keys where the gradients of keys are computed; doubles have half of both.
_QUERIES, _KEYS = 64, 32


def _rows_apart(x: Array) -> Array:
    """`x` if its features lie next to each other, else a copy."""
    return x if x.strides[-1] == 1 or x.shape[-1] == 1 else x.copy()


def _beside(shape: tuple, dtype: np.dtype) -> Array:
    """An array (batch, heads, rows, features) whose heads lie side by side in memory."""
    batch, heads, rows, features = shape
    made = empty((batch, rows, heads, features), dtype)
    strides = (rows * heads * features, features, heads * features, 1)
    return Array(made.mem, made.ptr, layout_of(made.device, dtype, shape, strides))


class _Call:
    """The parameters of a call, all but the addresses of results."""

    __slots__ = ("dtype", "size", "inputs", "rest", "q", "k", "v", "keep")

    def __init__(self, q, k, v, mask, g, causal, scale, drop):
        self.q, self.k, self.v = q, k, v = [_rows_apart(x) for x in (q, k, v)]
        self.keep = [mask, g]
        self.dtype = q.dtype
        batch, heads, rows, features = q.shape
        keys, values = k.shape[2], v.shape[3]
        self.size = 32 if max(features, values) <= 32 else 64 if max(features, values) <= 64 else 128
        add = allow = 0
        mask_at: tuple = (0, 0, 0, 0)
        if mask is not None:
            full = (batch, heads, rows, keys)
            mask_at = tuple([0 if n != m else s for n, m, s in zip(mask.shape, full, mask.strides)])
            if mask.dtype.kind == "b":
                allow = mask.ptr
            else:
                add = mask.ptr
        g_at = (0, 0, 0) if g is None else g.strides[:3]
        seed, first, threshold, kept = (0, 0, 1 << 32, 1.0) if drop is None else (drop.seed, drop.first, drop.threshold, drop.scale)  # fmt: skip
        self.inputs = (q.ptr, k.ptr, v.ptr, add, allow)
        self.rest = (
            *q.strides[:3], *k.strides[:3], *v.strides[:3], *g_at, *mask_at, seed, first, threshold, scale, kept,
            batch, heads, heads // max(k.shape[1], 1), rows, keys, features, values, int(causal),
        )  # fmt: skip

    def launch(self, kernel: Kernel, grid: int, *addresses: int) -> None:
        if grid:
            kernel[self.dtype](grid, _THREADS, *self.inputs, *addresses, *self.rest)

    def blocks(self, rows: int, tile: int) -> int:
        return -(-rows // (tile // 2 if self.dtype.itemsize == 8 else tile))


def attention(q, k, v, mask, *, causal, scale, drop):
    """Output and the logarithm of each query's sum."""
    call = _Call(q, k, v, mask, None, causal, scale, drop)
    batch, heads, rows, _ = q.shape
    out = _beside((batch, heads, rows, v.shape[3]), q.dtype)
    lse = empty((batch, heads, rows), sum_type(q.dtype))
    grid = call.blocks(rows, _QUERIES) * batch * heads
    call.launch(_KERNELS["attention", call.size], grid, out.ptr, lse.ptr, 0, 0, 0, 0, 0)
    return out, lse


def attention_backward(grad, q, k, v, mask, out, weights, *, causal, scale, drop):
    """Gradients of q, k and v; `weights` is what `attention` kept."""
    g = _rows_apart(grad)
    call = _Call(q, k, v, mask, g, causal, scale, drop)
    batch, heads, rows, _ = q.shape
    dq, dk, dv = (_beside(x.shape, x.dtype) for x in (q, k, v))
    delta = empty(weights.shape, weights.dtype)
    values = v.shape[3]
    b, h, r, f = out.strides
    out = contiguous(out.as_strided((batch, rows, heads, values), (b, r, h, f)))
    addresses = (out.ptr, weights.ptr, g.ptr, delta.ptr, dq.ptr, dk.ptr, dv.ptr)
    call.launch(_DELTA, -(-delta.size // (_THREADS // 32)), *addresses)
    call.launch(
        _KERNELS["attention_queries", call.size], call.blocks(rows, _QUERIES) * batch * heads, *addresses
    )
    grid = call.blocks(k.shape[2], _KEYS) * batch * k.shape[1]
    call.launch(_KERNELS["attention_keys", call.size], grid, *addresses)
    return dq, dk, dv
