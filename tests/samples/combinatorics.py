"""Samples of combinations, block matrices, Kronecker products, membership and runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "bool")
NUMBERS = (*FLOATS, "int64")
LOOSE = {"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2)}


def whole(*values: int) -> In:
    return In(values=np.array(values), grad=False)


def _cartesian(*xs: Any) -> Any:
    grids = np.meshgrid(*xs, indexing="ij")
    return xs[0] if len(xs) == 1 else np.stack([g.reshape(-1) for g in grids], 1)


def _combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Any:
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array(list(choose(x, r)), x.dtype).reshape(-1, r) if r else np.empty(0, x.dtype)


def _block_diag(*xs: Any) -> Any:
    xs = tuple(np.atleast_2d(x) for x in xs)
    made = np.zeros(np.sum([x.shape for x in xs], 0), xs[0].dtype)
    row = column = 0
    for x in xs:
        made[row : row + x.shape[0], column : column + x.shape[1]] = x
        row, column = row + x.shape[0], column + x.shape[1]
    return made


def _isin(x: Any, tests: Any, invert: bool = False, **_: Any) -> Any:
    return np.isin(x, tests, invert=invert)


def _runs(x: Any, return_inverse: bool = False, return_counts: bool = False, dim: Any = None) -> Any:
    axis = 0 if dim is None else dim
    flat = x.reshape(-1) if dim is None or not x.ndim else x
    n = flat.shape[axis]
    rows = np.moveaxis(flat, axis, 0).reshape(n, -1 if n else 1)
    starts = [k for k in range(n) if k == 0 or (rows[k] != rows[k - 1]).any()]
    made = [flat.take(starts, axis)]
    if return_inverse:
        run = np.array([sum(s <= k for s in starts) - 1 for k in range(n)], np.int64)
        made.append(run.reshape(x.shape) if dim is None else run)
    if return_counts:
        made.append(np.diff([*starts, n]) if n else np.zeros(0, np.int64))
    return tuple(made)


OPS = [
    OpSamples(
        "cartesian_prod",
        gg.cartesian_prod,
        samples=[Sample(In(3), In(2)), Sample(In(2), In(3), In(2)), Sample(In(4)), Sample(In(0), In(2))],
        reference=_cartesian,
        dtypes=KINDS,
        errors=[Bad(In(2, 2), In(2), raises=RuntimeError, match="1D vector")],
    ),
    OpSamples(
        "combinations",
        gg.combinations,
        samples=[Sample(In(4)), Sample(In(4), 3), Sample(In(3), 2, True), Sample(In(2), 3), Sample(In(0)), Sample(In(3, grad=False), 0)],
        reference=_combinations,
        dtypes=KINDS,
        errors=[
            Bad(In(2, 2), raises=RuntimeError, match="1D vector"),
            Bad(In(3), -1, raises=RuntimeError, match="non-negative"),
        ],
    ),
    OpSamples(
        "block_diag",
        gg.block_diag,
        samples=[Sample(In(2, 3), In(1, 2)), Sample(In(2), In(), In(3, 1)), Sample(In(2, 0), In(1, 2)), Sample(In(3, 3))],
        reference=_block_diag,
        dtypes=KINDS,
        errors=[Bad(In(2, 2, 2), raises=RuntimeError, match="2 or fewer dimensions")],
    ),
    OpSamples(
        "kron",
        gg.kron,
        samples=[
            Sample(In(2, 3), In(3, 2)),
            Sample(In(3), In(2, 2)),
            Sample(In(2, 1, 2), In(2)),
            Sample(In(), In(3)),
            Sample(In(), In()),
            Sample(In(0, 2), In(2, 2)),
        ],
        reference=np.kron,
        dtypes=NUMBERS,
        errors=[Bad(In(2), 3.0, raises=TypeError, match="Tensor")],
    ),
    OpSamples(
        "vander",
        gg.vander,
        samples=[Sample(In(4)), Sample(In(3), 5), Sample(In(3), 2, True), Sample(In(3, grad=False), 0), Sample(In(3, grad=False), 1), Sample(In(0))],
        reference=lambda x, N=None, increasing=False: np.vander(x, N, increasing),
        dtypes=NUMBERS,
        tolerance=LOOSE,
        errors=[
            Bad(In(2, 2), raises=RuntimeError, match="one-dimensional"),
            Bad(In(2), -1, raises=RuntimeError, match="non-negative"),
        ],
    ),
    OpSamples(
        "isin",
        gg.isin,
        samples=[
            Sample(whole(1, 2, 3, -1), whole(3, 1)),
            Sample(In(values=np.arange(12).reshape(3, 4), grad=False), whole(3, 30, 7), invert=True),
            Sample(whole(1, 2), 2),
            Sample(2, whole(1, 2)),
            Sample(whole(1, 2), 2, invert=True),
            Sample(In(3, grad=False), In(0, grad=False)),
            Sample(In(0, grad=False), whole(1)),
        ],
        reference=_isin,
        dtypes=(*FLOATS, "int64", "int16"),
        differentiable=False,
        layouts=False,
        errors=[Bad(1, 2, raises=TypeError, match="Tensor")],
    ),
    OpSamples(
        "unique_consecutive",
        gg.unique_consecutive,
        samples=[
            Sample(whole(1, 1, 2, 2, 2, 1), True, True),
            Sample(In(values=[[1, 1, 2], [2, 2, 2]], grad=False), return_inverse=True),
            Sample(In(values=[[1, 2], [1, 2], [2, 2]], grad=False), True, True, 0),
            Sample(In(values=[[1, 1, 2], [3, 3, 3]], grad=False), True, True, dim=1),
            Sample(In(0, grad=False), True, True),
            Sample(In(grad=False), True, True),
        ],
        reference=_runs,
        dtypes=(*FLOATS, "int64", "uint8"),
        differentiable=False,
        layouts=False,
        errors=[Bad(In(3), dim=1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "unravel_index",
        gg.unravel_index,
        samples=[
            Sample(In(3, 4, low=0, high=24, dtype="int64"), (2, 3, 4)),
            Sample(In(low=0, high=6, dtype="int64"), (6,)),
            Sample(In(0, dtype="int64"), (2, 3)),
        ],
        reference=np.unravel_index,
        dtypes=("int64",),
        differentiable=False,
        errors=[
            Bad(In(2, dtype="float32"), (2,), raises=TypeError, match="integer dtype"),
            Bad(In(2, dtype="int64"), (-2,), raises=ValueError, match="negative values"),
        ],
    ),
]  # fmt: skip
