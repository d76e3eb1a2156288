"""Complex arrays on cuda: their parts as real arrays, and the pointwise kernels made of kernels/complex.cuh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes as dt
from .array import Array, contiguous, layout_of
from .elementwise import Elementwise, elementwise

# name: (its inputs, C real or R complex; what it gives; the C++ expression)
POINTWISE = {
    "complex_add": ("CC", "C", "in0 + in1"),
    "complex_sub": ("CC", "C", "in0 - in1"),
    "complex_mul": ("CC", "C", "in0 * in1"),
    "complex_div": ("CC", "C", "in0 / in1"),
    "complex_neg": ("C", "C", "-in0"),
    "conj": ("C", "C", "conjugate(in0)"),
    "complex_abs": ("C", "R", "modulus(in0)"),
    "complex_sgn": ("C", "C", "direction(in0)"),
    "complex_exp": ("C", "C", "exponential(in0)"),
    "complex_sqrt": ("C", "C", "square_root(in0)"),
    "complex": ("RR", "C", "{C}(in0, in1)"),
    "complex_imaginary": ("R", "C", "{C}(C(0), in0)"),
}


def _kernel(name: str, real: dt.dtype) -> Elementwise:
    inputs, output, expression = POINTWISE[name]
    types = {"C": real.to_complex(), "R": real}
    text = expression.replace("{C}", types["C"].cname)
    return elementwise(name, [types[k] for k in inputs], (types[output],), 0, f"out0 = {text};", real)


def pointwise(name: str, *arrays: Array) -> Array:
    """Runs a kernel of `POINTWISE` on arrays of one precision, broadcast together."""
    return _kernel(name, dt.from_numpy_dtype(arrays[0].dtype).to_real())(arrays)


def all_kernels() -> None:
    """Asks for every kernel of this file, for `make kernels`."""
    for name in POINTWISE:
        for real in (dt.float32, dt.float64):
            _kernel(name, real)


def _real_dtype(d: np.dtype) -> np.dtype:
    return dt.from_numpy_dtype(d).to_real().np


def part(x: Array, imaginary: bool) -> Array:
    """The real or the imaginary part, a view."""
    old, d = x.layout, _real_dtype(x.dtype)
    layout = layout_of(old.device, d, old.shape, tuple([2 * s for s in old.strides]))
    return Array(x.mem, x.ptr + (d.itemsize if imaginary else 0), layout)


def pairs(x: Array) -> Array:
    """A view as real numbers, with a last dimension for the two parts."""
    old = x.layout
    layout = layout_of(old.device, _real_dtype(x.dtype), (*old.shape, 2), (*[2 * s for s in old.strides], 1))
    return Array(x.mem, x.ptr, layout)


def from_pairs(x: Array) -> Array:
    """The complex array of which `x` is the view by `pairs`; a copy if its memory does not lie so."""
    d = dt.from_numpy_dtype(x.dtype).to_complex().np
    steps = x.strides[:-1]
    if x.strides[-1] != 1 or any(s % 2 for s in steps) or x.ptr % d.itemsize:
        x = x.copy() if x.layout.contiguous else contiguous(x)
        steps = x.strides[:-1]
    layout = layout_of(x.device, d, x.shape[:-1], tuple([s // 2 for s in steps]))
    return Array(x.mem, x.ptr, layout)


def by_pairs(code: Callable) -> Callable:
    """Cuda code of real arrays, that leaves the last dimension alone, as code of complex ones."""

    def run(*arrays: Any, **attrs: Any) -> Any:
        if "shape" in attrs:
            attrs["shape"] = (*attrs["shape"], 2)
        made = code(*[pairs(x) if x is not None and x.dtype.kind == "c" else x for x in arrays], **attrs)
        return from_pairs(made)

    return run
