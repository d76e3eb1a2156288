"""Samples of scatter_reduce and index_reduce."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample
from tests.samples.index import _places, at, values
from tests.samples.sort import different

KINDS = (*FLOATS, "int64", "int32", "uint8", "bool")
KEPT = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    """One element after another, as the definition says."""
    y = np.array(x)
    if not y.ndim:
        return _scatter_reduce(x[None], 0, np.reshape(index, 1), np.reshape(src, 1), reduce, include_self)[0]
    dim %= y.ndim
    counts = np.full(y.shape, int(include_self))
    places = _places(y, dim, index)
    for k in np.ndindex(index.shape):
        place = tuple(p[k] for p in places)
        fresh = counts[place] == 0
        y[place] = src[k] if fresh else KEPT[reduce](y[place], src[k])
        counts[place] += 1
    if reduce == "mean" and y.dtype != bool:
        counts = np.maximum(counts, 1)
        y = (y / counts if y.dtype.kind == "f" else y // counts).astype(y.dtype)
    return y


def _index_reduce(x: Any, dim: int, index: Any, source: Any, reduce: str, include_self: bool = True) -> Any:
    if not np.ndim(x):
        return _scatter_reduce(x, 0, index, source, reduce, include_self)
    spread = np.moveaxis(
        np.broadcast_to(index, (*np.moveaxis(source, dim, -1).shape[:-1], len(index))), -1, dim
    )
    return _scatter_reduce(x, dim, spread, source, reduce, include_self)


def _samples(reduce: str, include_self: bool) -> list[Sample]:
    more = {"reduce": reduce, "include_self": include_self}
    numbers = {"low": 0.5, "high": 2.0} if reduce == "prod" else {}
    x, src = In(2, 9, **numbers), In(2, 6, **numbers)
    if "am" in reduce:  # no two elements are equal
        x, src = different(2, 9), In(values=different(2, 6).values + 1 / 16)
    return [
        Sample(x, 1, at(2, 6, high=4), src, **more),
        Sample(In(4, 5, **numbers), 0, at(3, 5, high=4), In(3, 6, **numbers), **more),
        Sample(In(3, 2, 4, **numbers), -2, at(2, 5, 3, high=2), In(2, 5, 3, **numbers), **more),
        Sample(In(**numbers), 0, at(high=1), In(**numbers), **more),
        Sample(In(3, 4, **numbers), 0, at(0, 4, high=3), In(0, 4, **numbers), **more),
    ]


ZEROS = In(values=[2.0, 0.0, 3.0, 0.0, 1.5])
OUT_OF_BOUNDS = {"raises": IndexError, "match": "out of bounds"}
LOOSE = {"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2)}

OPS = [
    *[
        OpSamples(
            f"scatter_reduce_{reduce}",
            gg.scatter_reduce,
            samples=_samples(reduce, True) + _samples(reduce, False),
            reference=_scatter_reduce,
            dtypes=KINDS,
            layouts="am" not in reduce,  # an expanded input has ties, and finite differences none
            tolerance=LOOSE,
            errors=[
                Bad(In(3), 0, values(0, 3), In(2), reduce, **OUT_OF_BOUNDS),
                Bad(In(3), 1, values(0), In(1), reduce, raises=IndexError, match="out of range"),
                Bad(In(3), 0, values(0), In(1), "max", raises=RuntimeError, match="must be either"),
                Bad(
                    In(3), 0, values(0), In(1, dtype="int16"), reduce, raises=RuntimeError, match="same dtype"
                ),
                Bad(In(3), 0, values(0), 1.0, reduce, raises=TypeError, match="Tensor"),
            ],
        )
        for reduce in ("sum", "mean", "prod", "amax", "amin")
    ],
    OpSamples(
        "scatter_reduce_zeros",
        lambda x, index, src: gg.scatter_reduce(x, 0, index, src, "prod"),
        samples=[
            Sample(ZEROS, values(0, 1, 2, 2, 3, 4, 4), In(values=[1.5, 2.0, 0.0, 4.0, 0.0, 0.0, 0.0])),
            Sample(In(3), values(), In(0)),
        ],
        reference=lambda x, index, src: _scatter_reduce(x, 0, index, src, "prod"),
        second_order=False,  # documented: exact where no element is zero
        errors=[Bad(In(3), values(3), In(1), **OUT_OF_BOUNDS)],
    ),
    OpSamples(
        "index_reduce",
        gg.index_reduce,
        samples=[
            Sample(In(4, 3, low=0.5, high=2), 0, values(0, 2, 2, 0, 0), In(5, 3, low=0.5, high=2), "prod"),
            Sample(In(3, 4, 2), 1, values(3, 3, 1), In(3, 3, 2), "mean"),
            Sample(In(3, 4, 2), -1, values(1, 1, 1), In(3, 4, 3), "mean", include_self=False),
            Sample(different(2, 4), 1, values(1, 2, 1), different(2, 3), "amax", include_self=False),
            Sample(different(4, 2), 0, values(1, 2, 1), different(3, 2), "amin"),
            Sample(In(), 0, values(0), In(), "amax"),
        ],
        reference=_index_reduce,
        dtypes=(*FLOATS, "int64"),
        layouts=False,
        tolerance=LOOSE,
        errors=[
            Bad(In(3), 0, values(0), In(1), "sum", raises=RuntimeError, match="one of prod, mean"),
            Bad(In(3), 0, values(3), In(1), "prod", **OUT_OF_BOUNDS),
            Bad(In(3), 0, values(0, 1), In(1), "prod", raises=IndexError, match="source has shape"),
        ],
    ),
]
