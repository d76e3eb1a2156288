"""Samples of sums with products, vector products and norms of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

NUMBERS = (*FLOATS, "int64")
WIDE = ("float32", "float64")
LOOSE = {"float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1)}


def _in_place(name: str) -> Any:
    def changed(x: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(x * 1, name)(*args, **kwargs)

    changed.__name__ = name
    return changed


def _plus(product: Any) -> Any:
    return lambda x, a, b, beta=1, alpha=1: np.broadcast_to(
        beta * x + alpha * product(a, b), np.shape(product(a, b))
    )


def _norm(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    return np.sqrt(np.sum(x * x, axis=dim if dim != () else None, keepdims=keepdim))


OPS = [
    *[
        OpSamples(
            name,
            function,
            samples=[
                Sample(In(2, 4), In(3, 2, 5), In(3, 5, 4)),
                Sample(In(2, 4), In(3, 2, 5), In(3, 5, 4), beta=0.5, alpha=2.0),
                Sample(In(2, 4), In(0, 2, 5), In(0, 5, 4)),
            ],
            reference=_plus(lambda a, b: np.matmul(a, b).sum(0)),
            tolerance=LOOSE,
            errors=[Bad(In(2, 4), In(3, 2, 5), In(3, 4, 4), raises=RuntimeError, match="(?i)size|shape")],
        )
        for name, function in (("addbmm", gg.addbmm), ("addbmm_", _in_place("addbmm_")))
    ],
    *[
        OpSamples(
            name,
            function,
            samples=[
                Sample(In(2, 3), In(2), In(3)),
                Sample(In(2, 3), In(2), In(3), beta=2.0, alpha=0.5),
                Sample(In(0, 3), In(0), In(3)),
            ],
            reference=_plus(np.outer),
            tolerance=LOOSE,
            errors=[Bad(In(2, 3), In(2, 1), In(3), raises=RuntimeError, match="1-D")],
        )
        for name, function in (("addr", gg.addr), ("addr_", _in_place("addr_")))
    ],
    OpSamples(
        "addmm_",
        lambda x, a, b, v, c, d: ((x * 1).addmm_(a, b, beta=0.5), (v * 1).addmv_(a, d), (c * 1).baddbmm_(c, c)),
        samples=[Sample(In(2, 3), In(2, 4), In(4, 3), In(2), In(1, 2, 2), In(4)),
            Sample(In(0, 3), In(0, 4), In(4, 3), In(0), In(0, 2, 2), In(4))],
        reference=lambda x, a, b, v, c, d: (0.5 * x + a @ b, v + a @ d, c + c @ c),
        tolerance=LOOSE,
        errors=[Bad(In(2, 3), In(2, 4), In(3, 3), In(2), In(1, 2, 2), In(4), raises=RuntimeError, match="multiplied")],
    ),
    OpSamples(
        "ger",
        gg.ger,
        samples=[Sample(In(2), In(3)), Sample(In(0), In(3))],
        reference=np.outer,
        dtypes=NUMBERS,
        errors=[Bad(In(2, 2), In(3), raises=RuntimeError, match="(?i)1-?D|vector")],
    ),
    OpSamples(
        "adjoint",
        gg.adjoint,
        samples=[Sample(In(2, 3)), Sample(In(4, 2, 3)), Sample(In(0, 2))],
        reference=lambda x: np.swapaxes(x, -1, -2),
        dtypes=NUMBERS,
        errors=[Bad(In(3), raises=RuntimeError, match="matrices")],
    ),
    OpSamples(
        "cross",
        gg.cross,
        samples=[
            Sample(In(3), In(3)),
            Sample(In(4, 3), In(4, 3)),
            Sample(In(3, 4), In(3, 4)),
            Sample(In(2, 3, 3), In(2, 3, 3), -1),
            Sample(In(0, 3), In(0, 3)),
        ],
        reference=lambda a, b, dim=None: np.cross(a, b, axis=a.shape.index(3) if dim is None else dim),
        tolerance=LOOSE,
        errors=[
            Bad(In(2), In(2), raises=RuntimeError, match="size 3|length 3"),
            Bad(In(3), 1.0, raises=TypeError, match="Tensor"),
        ],
    ),
    OpSamples(
        "chain_matmul",
        gg.chain_matmul,
        samples=[Sample(In(2, 3), In(3, 4), In(4, 2)), Sample(In(2, 3)), Sample(In(0, 3), In(3, 2))],
        reference=lambda *ms: np.linalg.multi_dot(ms) if len(ms) > 1 else ms[0],
        dtypes=WIDE,
        errors=[Bad(raises=ValueError, match="one or more")],
    ),
    OpSamples(
        "frobenius_norm",
        gg.frobenius_norm,
        samples=[Sample(In(2, 3)), Sample(In(2, 3), 1), Sample(In(2, 3, 4), (0, 2), True), Sample(In(0))],
        reference=_norm,
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "nuclear_norm",
        gg.nuclear_norm,
        samples=[Sample(In(2, 3)), Sample(In(2, 3, 4), (2, 0)), Sample(In(0, 3, 2), (1, 2), True)],
        reference=lambda x, dim=(0, 1), keepdim=False: np.linalg.norm(x, "nuc", dim, keepdim),
        dtypes=WIDE,
        errors=[Bad(In(3), raises=RuntimeError, match="two dimensions")],
    ),
    OpSamples(
        "norm_except_dim",
        gg.norm_except_dim,
        samples=[Sample(In(3, 4)), Sample(In(2, 3, 4), 2, 1), Sample(In(2, 3), 2, -1), Sample(In(0, 3), 2, 1)],
        reference=lambda v, pow=2, dim=0: (
            _norm(v, tuple(d for d in range(v.ndim) if d != dim), True) if dim >= 0 else _norm(v)
        ),
        errors=[Bad(In(3, 4), 2, 2, raises=IndexError, match="dim must lie")],
    ),
]  # fmt: skip
