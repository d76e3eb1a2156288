"""Samples of complex numbers. Each goes in and comes out as pairs of real ones (the last dimension of an input), so that
gradients and finite differences are those of real functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample
from tests.samples.conv import convolution

REAL = ("float32", "float64")


def paired(x: Any) -> Any:
    """Pairs as complex numbers; what is no array of pairs stays."""
    if isinstance(x, gg.Tensor):
        return gg.complex(x[..., 0], x[..., 1])
    return x[..., 0] + 1j * x[..., 1] if isinstance(x, np.ndarray) else x


def parts(y: Any) -> Any:
    """Complex numbers as pairs; real ones stay."""
    if isinstance(y, gg.Tensor):
        return gg.view_as_real(y) if y.is_complex() else y
    y = np.asarray(y)
    return np.stack([y.real, y.imag], -1) if y.dtype.kind == "c" else y


def through(
    name: str, function: Callable, reference: Callable, samples: Sequence[Sample], **more: Any
) -> OpSamples:
    """Samples of a function of complex numbers."""

    def called(*args: Any, **kwargs: Any) -> Any:
        return parts(function(*[paired(x) for x in args], **kwargs))

    def wanted(*args: Any, **kwargs: Any) -> Any:
        return parts(reference(*[paired(x) for x in args], **kwargs))

    return OpSamples(name, called, samples, wanted, dtypes=REAL, **more)


def _sgn(x: Any) -> Any:
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size))


def _conv2d(x: Any, w: Any, b: Any, stride: int, padding: int) -> Any:
    """The convolution of complex images, from that of their parts."""
    real = lambda a, k: convolution(2)(a, k, None, stride, padding)
    made = real(x.real, w.real) - real(x.imag, w.imag) + 1j * (real(x.real, w.imag) + real(x.imag, w.real))
    return made + b.reshape(-1, 1, 1)


def _away(*shape: int) -> In:
    """Complex numbers away from 0 and from the cut of log and sqrt."""
    return In(*shape, 2, low=0.25, high=1.5)


ONE = [Sample(_away(3, 4)), Sample(_away()), Sample(_away(0))]
TWO = [
    Sample(_away(3, 4), _away(3, 4)), Sample(_away(2, 1, 4), _away(3, 1)), Sample(_away(), _away(3)),
    Sample(_away(), _away()), Sample(_away(0), _away(0)),
]  # fmt: skip
PLAIN = In(3, dtype="float64")

OPS = [
    OpSamples(
        "complex",
        lambda real, imag: gg.view_as_real(gg.complex(real, imag)),
        samples=[Sample(In(3, 4), In(3, 4)), Sample(In(3, 1), In(4)), Sample(In(), In()), Sample(In(0), In(1))],
        reference=lambda real, imag: np.stack(np.broadcast_arrays(real, imag), -1),
        dtypes=REAL,
        errors=[
            Bad(In(3, dtype="int64"), In(3, dtype="int64"), raises=RuntimeError, match="float32 or float64"),
            Bad(In(3, dtype="float32"), In(3, dtype="float64"), raises=RuntimeError, match="one dtype"),
            Bad(In(3), In(4), raises=RuntimeError, match="complex"),
        ],
    ),
    OpSamples(
        "polar",
        lambda size, angle: gg.view_as_real(gg.polar(size, angle)),
        samples=[Sample(In(3, 4, low=0.2), In(3, 4)), Sample(In(), In()), Sample(In(0), In(0))],
        reference=lambda size, angle: np.stack([size * np.cos(angle), size * np.sin(angle)], -1),
        dtypes=REAL,
        errors=[Bad(In(3, dtype="int64"), In(3), raises=(RuntimeError, TypeError), match="polar")],
    ),
    OpSamples(
        "view_as_complex",
        lambda x: gg.view_as_real(gg.view_as_complex(x)),
        samples=[Sample(In(3, 2)), Sample(In(2)), Sample(In(0, 2))],
        reference=lambda x: x,
        dtypes=REAL,
        layouts=False,  # a view needs pairs that are together
        errors=[
            Bad(In(3), raises=RuntimeError, match="last dimension of size 2"),
            Bad(In(3, 2, dtype="int64"), raises=RuntimeError, match="float32 and float64"),
        ],
    ),
    OpSamples(
        "view_as_real",
        lambda x: gg.view_as_real(paired(x)[::2] if x.shape[-1] == 2 else x),
        samples=[Sample(In(3, 4, 2)), Sample(In(0, 2))],
        reference=lambda x: x[::2],
        dtypes=REAL,
        errors=[Bad(In(3), raises=RuntimeError, match="view_as_real is only supported for complex")],
    ),
    through("real", gg.real, np.real, ONE),
    through("imag", gg.imag, np.imag, ONE),
    through("conj", gg.conj, np.conjugate, ONE),
    through("complex_add", lambda a, b: a + b, lambda a, b: a + b, TWO, ops=["complex_add"]),
    through("complex_sub", lambda a, b: a - b, lambda a, b: a - b, TWO, ops=["complex_sub"]),
    through("complex_mul", lambda a, b: a * b, lambda a, b: a * b, TWO, ops=["complex_mul"],
        errors=[Bad(In(3, 2), In(4, 2), raises=RuntimeError, match="mul: the shapes .* cannot be broadcast")],
    ),
    through("complex_div", lambda a, b: a / b, lambda a, b: a / b, TWO, ops=["complex_div"]),
    through("complex_neg", lambda x: -x, np.negative, ONE, ops=["complex_neg"]),
    through("complex_abs", gg.abs, np.abs, ONE, ops=["complex_abs"]),
    through("complex_sgn", gg.sgn, _sgn, ONE, ops=["complex_sgn"]),
    through("complex_exp", gg.exp, np.exp, ONE, ops=["complex_exp"]),
    through("complex_sqrt", gg.sqrt, np.sqrt, ONE, ops=["complex_sqrt"]),
    through("complex_log", gg.log, np.log, ONE),
    through("angle", gg.angle, np.angle, ONE),
    through("complex_power", lambda x: x**3 + x**-2, lambda x: x**3 + x**-2, ONE),
    through("complex_numbers", lambda x: (2 - 1j) * x + 3j - x / (1 + 1j), lambda x: (2 - 1j) * x + 3j - x / (1 + 1j), ONE),
    through(
        "complex_where",
        lambda a, b: gg.where(a.real > b.real, a, b),
        lambda a, b: np.where(a.real > b.real, a, b),
        [Sample(_away(3, 4), _away(4)), Sample(_away(), _away())],
    ),
    through("complex_eq", lambda a, b: (a == b) | (a != a), lambda a, b: a == b, TWO[:2], differentiable=False),
    through(
        "complex_matmul",
        lambda a, b: a @ b,
        lambda a, b: a @ b,
        [Sample(In(2, 3, 2), In(3, 4, 2)), Sample(In(2, 2, 3, 2), In(3, 4, 2)), Sample(In(3, 2), In(3, 2)), Sample(In(0, 3, 2), In(3, 4, 2))],
    ),
    through(
        "complex_conv2d",
        lambda x, w, b: gg.nn.functional.conv2d(x, w, b, stride=2, padding=1),
        lambda x, w, b: _conv2d(x, w, b, stride=2, padding=1),
        [Sample(In(2, 2, 4, 3, 2), In(3, 2, 2, 3, 2), In(3, 2)), Sample(In(0, 2, 4, 3, 2), In(3, 2, 2, 3, 2), In(3, 2))],
        tolerance={"float32": (1e-4, 1e-4)},
    ),
    through(
        "complex_conv_transpose1d",
        lambda x, w: gg.nn.functional.conv_transpose1d(x, w),
        lambda x, w: np.stack([sum(np.convolve(row[i], w[i, 0]) for i in range(len(row)))[None] for row in x]),
        [Sample(In(2, 2, 4, 2), In(2, 1, 3, 2))],
        tolerance={"float32": (1e-4, 1e-4)},
    ),
    through("complex_sum", lambda x: x.sum(dim=0), lambda x: x.sum(0), [Sample(In(3, 4, 2)), Sample(In(0, 2))]),
    through("complex_mean", lambda x: x.mean(), lambda x: x.mean(), [Sample(In(3, 4, 2))]),
    through("complex_cat", lambda a, b: gg.cat([a, b], 1), lambda a, b: np.concatenate([a, b], 1), [Sample(In(3, 1, 2), In(3, 4, 2))]),
    through("complex_stack", lambda a, b: gg.stack([a, b], -1), lambda a, b: np.stack([a, b], -1), [Sample(In(3, 2), In(3, 2))]),
    through("complex_shapes", lambda x: x.mH.flip(0)[1:].reshape(-1), lambda x: x.conj().T[::-1][1:].reshape(-1), [Sample(In(3, 4, 2))]),
    through("complex_rows", lambda x: x[gg.tensor([2, 0, 2], device=x.device)], lambda x: x[[2, 0, 2]], [Sample(In(3, 4, 2))]),
]  # fmt: skip
