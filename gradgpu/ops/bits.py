"""Floating-point numbers taken apart: `frexp`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import return_types as rt
from ..tensor import Tensor, wrap
from .convert import cast_op
from .pointwise import exp2, isfinite, where
from .reduce import require_tensor
from .registry import Op, method

__all__ = ["frexp"]

# dtype: (integers of its size, bits of the mantissa, of the exponent)
_FORMATS = {dt.float32: (dt.int32, 23, 8), dt.float64: (dt.int64, 52, 11)}


def _frexp_cpu(x):
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    mantissa, exponent = np.frexp(wide)
    return np.asarray(mantissa).astype(x.dtype, copy=False), np.asarray(exponent).astype(np.int32, copy=False)


def _frexp_cuda(x):
    given = wrap(x)
    t = given.to(dt.float32) if x.dtype.itemsize == 2 else given
    ints, digits, width = _FORMATS[t.dtype]
    ones, bias = (1 << width) - 1, (1 << (width - 1)) - 2
    # A number below the normal ones has no leading bit: it is made larger first.
    low = t.abs() < dt.finfo(t.dtype).tiny
    bits = where(low, t * 2.0 ** (digits + 1), t).contiguous().view(ints)
    exponent = ((bits >> digits) & ones) - bias - low.to(ints) * (digits + 1)
    mantissa = ((bits & ~(ones << digits)) | (bias << digits)).view(t.dtype)
    plain = isfinite(t) & (t != 0)
    made = where(plain, mantissa, t).to(given.dtype), where(plain, exponent, 0).to(dt.int32)
    return tuple([part._a for part in made])


def _frexp_grad(g0: Any, y1: Any, x_dtype: Any) -> Any:
    return None if g0 is None else g0 / exp2(cast_op(y1, dtype=x_dtype))  # the exponent is constant


frexp_op = Op(
    "frexp",
    _frexp_cpu,
    _frexp_cuda,
    {"x": _frexp_grad},
    differentiable=(True, False),
)


@method
def frexp(input: Any) -> rt.frexp:
    """(mantissa, exponent) with `input` = mantissa · 2^exponent, ½ ≤ |mantissa| < 1, exponent int32; of 0 and of what is not finite the
    number itself and 0. Exact. float32 on cuda takes numbers below 1.2e-38 for 0, as all operations there.

    Raises:
        RuntimeError: not floating-point.

    >>> import gradgpu as gg
    >>> gg.frexp(gg.tensor([6., -0.25])).mantissa
    tensor([ 0.7500, -0.5000])
    """
    require_tensor("frexp", input)
    if not isinstance(input, Tensor) or not input.dtype.is_floating_point:
        raise RuntimeError(f"torch.frexp() only supports floating-point dtypes, got {input.dtype}")
    return rt.frexp(*frexp_op(input))
