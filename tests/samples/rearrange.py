"""Samples of rot90, hsplit and its kin, diagonals, put and renorm."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "bool")
LOOSE = {"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2)}


def at(*values: int) -> In:
    return In(values=np.array(values, np.int64), dtype="int64")


def _put(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    y = np.array(x).reshape(-1)
    if accumulate:
        np.add.at(y, index.reshape(-1), source.reshape(-1))
    else:
        y[index.reshape(-1)] = source.reshape(-1)
    return y.reshape(np.shape(x))


def _put_(x: Any, *args: Any) -> Any:
    y = x.clone()
    assert y.put_(*args) is y
    return y


def _fill_diagonal(x: Any, value: float, wrap: bool = False) -> Any:
    y = np.array(x)
    np.fill_diagonal(y, value, wrap)
    return y


def _renorm(x: Any, p: float, dim: int, maxnorm: float) -> Any:
    axes = tuple(d for d in range(x.ndim) if d != dim % x.ndim)
    size = np.sum(np.abs(x) ** p, axes, keepdims=True) ** (1 / p)
    return x * np.where(size > maxnorm, maxnorm / np.where(size == 0, 1, size), 1.0)


def _split(name: str, samples: list[Sample], few: In) -> OpSamples:
    return OpSamples(
        name,
        getattr(gg, name),
        samples=samples,
        reference=lambda x, how: tuple(getattr(np, name)(x, how)),
        dtypes=KINDS,
        errors=[
            Bad(few, 2, raises=RuntimeError, match="at least"),
            Bad(In(3, 3, 3), 2, raises=RuntimeError, match="not divisible"),
        ],
    )


OPS = [
    OpSamples(
        "rot90",
        gg.rot90,
        samples=[
            *[Sample(In(2, 3), k) for k in (-1, 0, 1, 2, 3, 5)],
            Sample(In(2, 3, 4), 1, (0, 2)),
            Sample(In(2, 3, 4), 3, [-1, 1]),
            Sample(In(0, 2)),
        ],
        reference=lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
        dtypes=KINDS,
        errors=[
            Bad(In(3), raises=RuntimeError, match="total dims >= 2"),
            Bad(In(3, 3), 1, (0, 0), raises=RuntimeError, match="different"),
            Bad(In(3, 3), 1, (0,), raises=RuntimeError, match="dims == 2"),
            Bad(In(3, 3), 1, (0, 2), raises=IndexError, match="out of range"),
        ],
    ),
    _split("hsplit", [Sample(In(4), 2), Sample(In(2, 4), 2), Sample(In(2, 4, 2), [1, 3]), Sample(In(0, 2), 2)], In()),
    _split("vsplit", [Sample(In(4, 2), 2), Sample(In(4, 2, 2), [1]), Sample(In(0, 2), 2)], In(4)),
    _split("dsplit", [Sample(In(2, 2, 4), 2), Sample(In(1, 2, 4), [1, 2]), Sample(In(0, 2, 2), 2)], In(4, 4)),
    OpSamples(
        "atleast_3d",
        gg.atleast_3d,
        samples=[Sample(In()), Sample(In(2)), Sample(In(2, 3)), Sample(In(2, 3, 4, 1)), Sample([In(), In(2)]), Sample(In(0))],
        reference=lambda *x: np.atleast_3d(*x) if not isinstance(x[0], list) else tuple(np.atleast_3d(*x[0])),
        dtypes=KINDS,
        errors=[Bad(1.0, raises=TypeError, match="Tensor")],
    ),
    OpSamples(
        "diagflat",
        gg.diagflat,
        samples=[Sample(In(3)), Sample(In(2, 2), 1), Sample(In(2), -2), Sample(In()), Sample(In(0))],
        reference=np.diagflat,
        dtypes=KINDS,
        errors=[Bad([1.0], raises=TypeError, match="Tensor")],
    ),
    OpSamples(
        "fill_diagonal_",
        lambda x, *args: (x * 1).fill_diagonal_(*args),
        samples=[
            Sample(In(3, 4), 2.0),
            Sample(In(4, 3), 2.0),
            Sample(In(7, 3), 2.0, True),
            Sample(In(8, 3), 2.0, True),
            Sample(In(3, 3, 3), 1.0),
            Sample(In(0, 3), 1.0),
        ],
        reference=_fill_diagonal,
        errors=[
            Bad(In(3), 1.0, raises=RuntimeError, match="larger than 1"),
            Bad(In(2, 3, 3), 1.0, raises=RuntimeError, match="equal length"),
        ],
    ),
    OpSamples(
        "put",
        gg.put,
        samples=[
            Sample(In(2, 3), at(0, 5, -2), In(3)),
            Sample(In(2, 3), at(0, 5, 0), In(3), True),
            Sample(In(4), In(2, 2, low=0, high=4, dtype="int64"), In(2, 2), True),
            Sample(In(), at(0), In(1)),
            Sample(In(3), at(), In(0)),
        ],
        reference=_put,
        dtypes=(*FLOATS, "int64"),
        errors=[
            Bad(In(3), at(3), In(1), raises=IndexError, match="out of bounds"),
            Bad(In(3), at(0, 1), In(1), raises=IndexError, match="same number"),
            Bad(In(3), at(0), In(1, dtype="int16"), raises=RuntimeError, match="same dtype"),
        ],
    ),
    OpSamples(
        "put_",
        _put_,
        samples=[Sample(In(2, 3), at(0, 5, -2), In(3)), Sample(In(), at(0), In(1))],
        reference=_put,
        errors=[Bad(In(3), at(3), In(1), raises=IndexError, match="out of bounds")],
    ),
    OpSamples(
        "renorm",
        gg.renorm,
        samples=[
            Sample(In(3, 4), 2, 0, 0.5),
            Sample(In(3, 4), 1, -1, 1.0),
            Sample(In(2, 3, 4), 3, 1, 0.7),
            Sample(In(values=[[3.0, 4.0], [0.25, 0.5]]), 2.0, 0, 1.0),
            Sample(In(0, 3), 2, 0, 1.0),
        ],
        reference=_renorm,
        tolerance={**LOOSE, "float64": (1e-6, 1e-6)},
        errors=[
            Bad(In(3), 2, 0, 1.0, raises=RuntimeError, match="at least 2 dimensions"),
            Bad(In(3, 2), -1, 0, 1.0, raises=RuntimeError, match="non-positive norm"),
            Bad(In(3, 2), 2, 0, -1.0, raises=RuntimeError, match="maxnorm"),
        ],
    ),
]  # fmt: skip
