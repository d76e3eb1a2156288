"""The ops behind `gradgpu.fft`: numpy's pocketfft on the CPU, fft.cu on cuda.

Each is linear, and its gradient is its adjoint: that of a transform is the transform with the other sign in the exponent,
those of real-to-half-spectrum and back are each other with the weight of what the half spectrum stands for twice.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..cuda.fft import transform
from .convert import cast_op
from .registry import Op

dt.note_complex()  # a program that imports this has complex numbers

# What numpy calls a scale ('none': 1, 'n': 1 / n, 'sqrt': 1 / sqrt(n)) of a transform with - or + in the exponent.
_NUMPY_NAME: dict[bool, dict[str, Any]] = {
    False: {"none": "backward", "n": "forward", "sqrt": "ortho"},
    True: {"none": "forward", "n": "backward", "sqrt": "ortho"},
}


def scale_of(norm: str, n: int) -> float:
    """The factor that a norm of an op means for n points."""
    return 1.0 if norm == "none" else 1 / n if norm == "n" else 1 / sqrt(n)


# ---- complex to complex (or real to complex, all of it) ----
def _c2c_cpu(x, *, dims, inverse, norm):
    return (np.fft.ifftn if inverse else np.fft.fftn)(x, axes=dims, norm=_NUMPY_NAME[inverse][norm])


def _c2c_cuda(x, *, dims, inverse, norm):
    for d in dims:
        n = x.shape[d]
        x = transform(x, d, n, inverse=inverse, scale=scale_of(norm, n))
    return x


def _c2c_rule(g, x_dtype, *, dims, inverse, norm):
    h = c2c_op(g, dims=dims, inverse=not inverse, norm=norm)
    return h if x_dtype.kind == "c" else cast_op(h, dtype=x_dtype)


c2c_op = Op("fft_c2c", _c2c_cpu, _c2c_cuda, {"x": _c2c_rule})


# ---- real to half spectrum and back ----
def _inner(n: int, dim: int) -> tuple:
    """The index of the positions that stand for two of the whole spectrum."""
    return (*(slice(None),) * dim, slice(1, (n + 1) // 2))


def _r2c_cpu(x, *, dim, norm, weight):
    y = np.fft.rfft(x, axis=dim, norm=_NUMPY_NAME[False][norm])
    if weight != 1:
        y[_inner(x.shape[dim], dim)] *= weight
    return y


def _r2c_cuda(x, *, dim, norm, weight):
    n = x.shape[dim]
    return transform(x, dim, n, inverse=False, scale=scale_of(norm, n), out_weight=weight, half=True)


def _c2r_cpu(x, *, dim, n, norm, weight):
    if weight != 2:
        x = x.copy()
        x[_inner(n, dim)] *= weight / 2
    return np.fft.irfft(x, n, axis=dim, norm=_NUMPY_NAME[True][norm])


def _c2r_cuda(x, *, dim, n, norm, weight):
    # The real part of the sum over half a spectrum is the sum over all of it, if what stands for two counts twice.
    return transform(x, dim, n, inverse=True, scale=scale_of(norm, n), in_weight=weight, out_real=True)


# x real; positions 1 … (n - 1) // 2 are multiplied by `weight`
r2c_op = Op(
    "fft_r2c",
    _r2c_cpu,
    _r2c_cuda,
    {
        "x": lambda g, x_shape, *, dim, norm, weight: c2r_op(
            g, dim=dim, n=x_shape[dim], norm=norm, weight=weight
        )
    },
)
# x the first n // 2 + 1 positions of a spectrum; positions 1 … (n - 1) // 2 count `weight` times
c2r_op = Op(
    "fft_c2r",
    _c2r_cpu,
    _c2r_cuda,
    {"x": lambda g, *, dim, norm, weight: r2c_op(g, dim=dim, norm=norm, weight=weight)},
)
for _op, _name in ((c2c_op, "C2C"), (r2c_op, "R2C"), (c2r_op, "C2R")):
    _op.complex = _op.cpu, _op.cuda
    _op.node_name = f"Fft{_name}Backward0"
