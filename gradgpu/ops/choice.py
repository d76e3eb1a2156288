"""Choices by a mask on the CPU, made of the arrays' bits.

`np.where` and `np.copyto` take a branch at each element, and the processor waits for those that it predicts wrongly:
for a mask without a pattern, half of them. Products of the bits with the mask, read as 0 and 1, cost a fifth of that, and
no NaN or infinity can spread by them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..copies import BITS

_FEW = 2048  # elements up to which numpy's own functions are quicker


def kept(g: np.ndarray, mask: Any) -> np.ndarray:
    """`g` where `mask` holds, zero elsewhere; the shape of `g`, to which the mask is broadcast."""
    bits = BITS.get(g.itemsize) if g.size > 512 else None
    if bits is None or g.itemsize <= 2 and g.size <= _FEW:
        h = g.copy()
        np.copyto(h, h.dtype.type(0), where=np.logical_not(mask))
        return h
    return np.multiply(g.view(bits), mask, dtype=bits).view(g.dtype)


def chosen(mask: Any, a: Any, b: Any, dtype: np.dtype) -> Any:
    """`np.where(mask, a, b)` of arrays and numbers of one dtype."""
    bits = BITS.get(dtype.itemsize)
    if bits is None or not isinstance(mask, np.ndarray) or mask.dtype.kind != "b" or mask.size <= _FEW:
        made = np.where(mask, a, b)
        return made if made.dtype == dtype else made.astype(dtype)
    one, other = np.asarray(a, dtype).view(bits), np.asarray(b, dtype).view(bits)
    if not other.ndim and not other:  # all bits are 0: not for -0.0
        return np.multiply(one, mask, dtype=bits).view(dtype)
    if not one.ndim and not one:
        return np.multiply(other, ~mask, dtype=bits).view(dtype)
    made = np.multiply(one ^ other, mask, dtype=bits)
    if made.shape == np.broadcast_shapes(made.shape, other.shape):
        return np.bitwise_xor(made, other, made).view(dtype)
    return (made ^ other).view(dtype)
