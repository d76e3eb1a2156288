"""Samples of sort, topk, unique, searchsorted and bincount."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "int16", "uint8", "bool")


def different(*shape: int) -> In:
    """Values that are all different, in every dtype, so that a gradient exists."""
    n = int(np.prod(shape))
    return In(values=(np.random.default_rng(n).permutation(n) - n // 2).reshape(shape) / 8)


def _order(x: Any, dim: int, descending: bool) -> Any:
    if descending:
        x = np.flip(x, dim)
        return np.flip(x.shape[dim] - 1 - np.argsort(x, dim, kind="stable"), dim)
    return np.argsort(x, dim, kind="stable")


def _sort(x: Any, dim: int = -1, descending: bool = False) -> tuple:
    if not x.ndim:
        return x, np.int64(0)
    order = _order(x, dim, descending)
    return np.take_along_axis(x, order, dim), order


def _topk(x: Any, k: int, dim: int = -1, largest: bool = True) -> tuple:
    if not x.ndim:
        return x, np.int64(0)
    values, order = _sort(x, dim, largest)
    return values.take(range(k), dim), order.take(range(k), dim)


def _nth(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple:
    found = [part.take([k - 1], dim) for part in _sort(x, dim)]
    return tuple(found if keepdim else [part.squeeze(dim) for part in found])


def _median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        return np.sort(x.reshape(-1))[(x.size - 1) // 2]
    return _nth(x, (x.shape[dim] - 1) // 2 + 1, dim, keepdim)


def _unique(x: Any, dim: int | None = None, **flags: Any) -> Any:
    return np.unique(x, axis=dim, **flags)


def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    return np.bincount(x, weights, minlength)


def _search(s: Any, v: Any, right: bool = False) -> Any:
    side = "right" if right else "left"
    if s.ndim == 1:
        return np.searchsorted(s, v, side)
    return np.stack([np.searchsorted(a, b, side) for a, b in zip(s, v)])


ASCENDING = In(values=[[-3.0, -1.0, -1.0, 0.5, 2.0], [0.0, 0.0, 0.0, 1.0, 4.0]])

OPS = [
    OpSamples(
        "sort",
        gg.sort,
        samples=[
            Sample(different(7)),
            Sample(different(3, 5), 0),
            Sample(different(2, 4, 3), 1, True),
            Sample(In(values=np.arange(3000) * 7 % 11, grad=False)),
            Sample(In(values=np.arange(2500) * 7 % 11, grad=False), 0, True),
            Sample(In()),
            Sample(In(0, 3)),
            Sample(In(2, 0)),
        ],
        reference=_sort,
        dtypes=KINDS,
        layouts=False,  # an expanded input has ties
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "argsort",
        lambda x, *args: (gg.argsort(x, *args), gg.msort(x)),
        samples=[Sample(In(5, 4), 0), Sample(In(4, 5), 1, True), Sample(In(0))],
        reference=lambda x, dim=-1, descending=False: (_order(x, dim, descending), np.sort(x, 0)),
        differentiable=False,
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "topk",
        gg.topk,
        samples=[
            Sample(different(6), 2),
            Sample(different(3, 5), 3, 0),
            Sample(different(3, 5), 2, 1, False),
            Sample(different(4), 0),
            Sample(In(), 1),
        ],
        reference=_topk,
        dtypes=(*FLOATS, "int64"),
        layouts=False,
        errors=[
            Bad(In(3), 4, raises=RuntimeError, match="out of range"),
            Bad(In(3), 1, 1, raises=IndexError, match="range"),
        ],
    ),
    OpSamples(
        "kthvalue",
        gg.kthvalue,
        samples=[Sample(different(6), 2), Sample(different(3, 5), 3, 0, True), Sample(In(0, 2), 1, 1)],
        reference=_nth,
        layouts=False,
        errors=[
            Bad(In(3), 4, raises=RuntimeError, match="out of range"),
            Bad(In(3), 0, raises=RuntimeError, match="out of"),
        ],
    ),
    OpSamples(
        "median",
        gg.median,
        samples=[
            Sample(different(6)),
            Sample(different(3, 5), 1),
            Sample(different(3, 4), 0, True),
            Sample(In(0, 3), 1),
        ],
        reference=_median,
        layouts=False,
        errors=[
            Bad(In(0), raises=RuntimeError, match="empty"),
            Bad(In(2, 0), 1, raises=IndexError, match="non-zero"),
        ],
    ),
    OpSamples(
        "unique",
        gg.unique,
        samples=[
            Sample(In(20)),
            Sample(In(4, 5), return_inverse=True, return_counts=True),
            Sample(In(values=[[1, 2], [1, 2], [0, 1]]), dim=0, return_counts=True),
            Sample(In(0)),
        ],
        reference=_unique,
        dtypes=("float32", "bfloat16", "int64", "bool"),
        differentiable=False,
        errors=[Bad(In(2, 2), dim=2, raises=(IndexError, ValueError), match="out of|axis")],
    ),
    OpSamples(
        "bincount",
        gg.bincount,
        samples=[
            Sample(In(50, low=0, high=7, dtype="int64")),
            Sample(In(9, low=0, high=3, dtype="int64"), minlength=6),
            Sample(In(9, low=0, high=3, dtype="int64"), In(9)),
            Sample(In(0, dtype="int64")),
        ],
        reference=_bincount,
        dtypes=("float32", "float64"),
        differentiable=False,
        errors=[
            Bad(In(2, 2, dtype="int64"), raises=RuntimeError, match="1-d"),
            Bad(In(values=[-1], dtype="int64"), raises=RuntimeError, match="negative"),
            Bad(In(values=[1], dtype="int64"), In(2), raises=RuntimeError, match="same length"),
        ],
    ),
    OpSamples(
        "searchsorted",
        gg.searchsorted,
        samples=[
            Sample(In(values=[-1.0, 0.0, 0.0, 2.0]), In(3, 4, low=-2, high=3)),
            Sample(In(values=[-1.0, 0.0, 0.0, 2.0]), In(values=[0.0, 2.0, -1.0, 5.0]), right=True),
            Sample(ASCENDING, In(2, 6, low=-4, high=5)),
            Sample(In(values=[1.0, 2.0]), In()),
            Sample(In(0), In(3)),
        ],
        reference=_search,
        dtypes=("float32", "float64", "float16", "int64"),
        differentiable=False,
        layouts=False,
        errors=[Bad(In(2, 3), In(3, 3), raises=RuntimeError, match="must match")],
    ),
    OpSamples(
        "bucketize",
        lambda x, boundaries: gg.bucketize(x, boundaries),
        samples=[Sample(In(3, 4), In(values=[-0.5, 0.0, 0.5])), Sample(In(), In(values=[0.0]))],
        reference=lambda x, boundaries: np.searchsorted(boundaries, x),
        dtypes=("float32", "float64"),
        differentiable=False,
        layouts=False,
        errors=[Bad(In(3), In(2, 2), raises=RuntimeError, match="1 dimension")],
    ),
]
