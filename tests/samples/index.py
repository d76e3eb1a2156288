"""Samples of indexing along a dimension: gather, scatter, index_select, masks, nonzero."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "int32", "uint8", "bool")
NUMBERS = (*FLOATS, "int64", "int32")


def at(*shape: int, high: int, low: int = 0) -> In:
    """An index."""
    return In(*shape, low=low, high=high, dtype="int64")


def values(*numbers: int) -> In:
    return In(values=np.array(numbers), dtype="int64")


def permutation(n: int, rows: int) -> In:
    """Different indices in every row."""
    return In(values=np.stack([np.random.default_rng(k).permutation(n) for k in range(rows)]), dtype="int64")


def _places(x: np.ndarray, dim: int, index: np.ndarray) -> tuple:
    places = list(np.indices(index.shape))
    if places:
        places[dim] = index
    return tuple(places)


def _gather(x: Any, dim: int, index: Any) -> Any:
    return x[_places(x, dim, index)] if x.ndim else x


def _take_along_dim(x: Any, index: Any, dim: int | None = None) -> Any:
    if dim is None:
        return x.reshape(-1)[index.reshape(-1)]
    rows = np.broadcast_shapes(x.shape[:1], index.shape[:1])
    x, index = (np.broadcast_to(a, (*rows, a.shape[1])) for a in (x, index))
    return np.take_along_axis(x, index, 1)


def _scatter(x: Any, dim: int, index: Any, src: Any) -> Any:
    y = np.array(x)
    places = _places(x, dim, index)
    y[places] = src[tuple(slice(n) for n in index.shape)] if isinstance(src, np.ndarray) else src
    return y


def _scatter_add(x: Any, dim: int, index: Any, src: Any) -> Any:
    y = np.array(x)
    np.add.at(y, _places(x, dim, index), src[tuple(slice(n) for n in index.shape)])
    return y


def _rows(dim: int, index: Any) -> tuple:
    return (*(slice(None),) * dim, index)


def _index_add(x: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
    y = np.array(x)
    np.add.at(y, _rows(dim % x.ndim, index), alpha * source)
    return y


def _index_copy(x: Any, dim: int, index: Any, source: Any) -> Any:
    y = np.array(x)
    y[_rows(dim % x.ndim, index)] = source
    return y


def _masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    y = np.array(x)
    mask = np.broadcast_to(mask, y.shape)
    y[mask] = source.reshape(-1)[: mask.sum()]
    return y


MASK = In(values=np.array([[True, False, True], [False, False, True]]), dtype="bool")
OUT_OF_BOUNDS = {"raises": IndexError, "match": "out of bounds"}

OPS = [
    OpSamples(
        "gather",
        gg.gather,
        samples=[
            Sample(In(4, 5), 0, at(3, 5, high=4)),
            Sample(In(4, 5), -1, at(4, 7, high=5)),
            Sample(In(4, 5, 3), 1, at(2, 6, 2, high=5)),
            Sample(In(4, 5), 1, at(4, 1, high=5)),
            Sample(In(6), 0, at(300, high=6)),
            Sample(In(), 0, at(high=1)),
            Sample(In(4, 5), 0, at(0, 5, high=4)),
        ],
        reference=_gather,
        dtypes=KINDS,
        errors=[
            Bad(In(4, 5), 0, values(4), raises=RuntimeError, match="same number of dimensions"),
            Bad(In(3), 0, values(0, 3), **OUT_OF_BOUNDS),
            Bad(In(3), 0, values(0, -1), **OUT_OF_BOUNDS),
            Bad(In(3), 2, values(0), raises=IndexError, match="out of range"),
            Bad(In(3), 0, In(2, dtype="float32"), raises=RuntimeError, match="integer"),
            Bad(In(3, 2), 0, at(2, 3, high=2), raises=RuntimeError, match="no larger"),
        ],
    ),
    OpSamples(
        "take_along_dim",
        gg.take_along_dim,
        samples=[
            Sample(In(4, 5), at(4, 2, high=5), 1),
            Sample(In(4, 1), at(1, 3, high=1), 1),
            Sample(In(4, 5), at(3, 2, high=20)),
            Sample(In(0, 5), at(0, 2, high=5), 1),
        ],
        reference=_take_along_dim,
        errors=[Bad(In(4, 5), values(0), 1, raises=RuntimeError, match="same number of dimensions")],
    ),
    OpSamples(
        "scatter",
        gg.scatter,
        samples=[
            Sample(In(3, 6), 1, permutation(6, 3), In(3, 6)),
            Sample(In(6, 3), 0, at(1, 3, high=6), In(2, 3)),
            Sample(In(3, 6), 1, at(3, 2, high=6), 2),
            Sample(In(), 0, at(high=1), In()),
            Sample(In(3, 4), 1, at(3, 0, high=4), In(3, 0)),
        ],
        reference=_scatter,
        dtypes=(*FLOATS, "int64", "uint8"),
        errors=[
            Bad(In(3), 0, values(3), In(1), **OUT_OF_BOUNDS),
            Bad(In(3), 0, values(0), In(1, dtype="int32"), raises=RuntimeError, match="same dtype"),
            Bad(In(3), 0, values(0), raises=TypeError, match="missing the values"),
            Bad(In(3), 0, values(0, 1), In(1), raises=RuntimeError, match="no larger"),
            Bad(In(3), 0, values(0), 1.0, reduce="mean", raises=RuntimeError, match="add or multiply"),
        ],
    ),
    OpSamples(
        "scatter_last_wins",
        gg.scatter,
        samples=[
            Sample(In(5), 0, at(200, high=5), In(200)),
            Sample(In(4, 3), 0, at(50, 3, high=4), In(50, 3)),
            Sample(In(0), 0, values(), In(0)),
        ],
        reference=_scatter,
        differentiable=False,
        errors=[Bad(In(3), 0, values(-1), In(1), **OUT_OF_BOUNDS)],
    ),
    OpSamples(
        "scatter_add",
        gg.scatter_add,
        samples=[
            Sample(In(3, 6), 1, at(3, 9, high=6), In(3, 9)),
            Sample(In(4, 3), 0, at(5, 2, high=4), In(6, 3)),
            Sample(In(2), 0, at(1500, high=2), In(1500, low=0, high=2)),
            Sample(In(), 0, at(high=1), In()),
            Sample(In(3, 4), 1, at(3, 0, high=4), In(3, 0)),
        ],
        reference=_scatter_add,
        dtypes=NUMBERS,
        errors=[Bad(In(3), 0, values(3), In(1), **OUT_OF_BOUNDS)],
    ),
    OpSamples(
        "index_select",
        gg.index_select,
        samples=[
            Sample(In(4, 5), 0, at(7, high=4)),
            Sample(In(4, 5, 3), 1, at(2, high=5)),
            Sample(In(4, 8), -1, at(600, high=8)),
            Sample(In(4, 5), 1, values()),
            Sample(In(3), 0, at(high=3)),
        ],
        reference=lambda x, dim, i: x.take(i.reshape(-1), dim),
        dtypes=KINDS,
        errors=[
            Bad(In(4, 5), 0, at(2, 2, high=3), raises=IndexError, match="vector"),
            Bad(In(4, 5), 0, values(4), **OUT_OF_BOUNDS),
            Bad(In(4, 5), 0, values(-1), **OUT_OF_BOUNDS),
            Bad(In(0, 5), 0, values(0), **OUT_OF_BOUNDS),
        ],
    ),
    OpSamples(
        "index_add",
        gg.index_add,
        samples=[
            Sample(In(4, 5), 0, at(7, high=4), In(7, 5)),
            Sample(In(4, 5, 3), 1, at(6, high=5), In(4, 6, 3), alpha=2),
            Sample(In(4), -1, at(1100, high=4), In(1100, low=0, high=2)),
            Sample(In(4, 5), 0, values(), In(0, 5)),
        ],
        reference=_index_add,
        dtypes=NUMBERS,
        errors=[
            Bad(In(4, 5), 0, values(0), In(2, 5), raises=IndexError, match="source has shape"),
            Bad(In(4), 0, values(9), In(1), **OUT_OF_BOUNDS),
        ],
    ),
    OpSamples(
        "index_copy",
        gg.index_copy,
        samples=[
            Sample(In(4, 5), 0, values(3, 1), In(2, 5)),
            Sample(In(4, 5, 2), 1, values(0, 4, 2), In(4, 3, 2)),
            Sample(In(4, 5), 0, values(), In(0, 5)),
        ],
        reference=_index_copy,
        dtypes=KINDS,
        errors=[Bad(In(4), 0, values(4), In(1), **OUT_OF_BOUNDS)],
    ),
    OpSamples(
        "index_fill",
        gg.index_fill,
        samples=[Sample(In(4, 5), 0, values(3, 1, 3), 2), Sample(In(4, 5), 1, values(), 2)],
        reference=_index_copy,
        dtypes=(*FLOATS, "int64"),
        errors=[Bad(In(4), 0, values(4), 1, **OUT_OF_BOUNDS)],
    ),
    OpSamples(
        "take",
        gg.take,
        samples=[
            Sample(In(3, 4), at(2, 5, low=-12, high=12)),
            Sample(In(3), at(high=3)),
            Sample(In(3), values()),
        ],
        reference=lambda x, i: np.asarray(x.reshape(-1)[i]),
        dtypes=KINDS,
        errors=[Bad(In(3), values(3), **OUT_OF_BOUNDS)],
    ),
    OpSamples(
        "masked_fill",
        gg.masked_fill,
        samples=[
            Sample(In(2, 3), MASK, 2),
            Sample(In(2, 3), In(3, dtype="bool"), -1.0),
            Sample(In(2, 3), In(dtype="bool"), 1.0),
            Sample(In(0, 3), In(0, 3, dtype="bool"), 1.0),
        ],
        reference=lambda x, mask, value: np.where(mask, value, x),
        errors=[
            Bad(In(2), In(2, dtype="int64"), 1, raises=RuntimeError, match="bool"),
            Bad(In(2), In(2, dtype="bool"), In(2), raises=RuntimeError, match="0-dimensional"),
        ],
    ),
    OpSamples(
        "masked_select",
        gg.masked_select,
        samples=[
            Sample(In(2, 3), MASK),
            Sample(In(4, 2, 3), MASK),
            Sample(In(3), MASK),
            Sample(In(5000), In(5000, dtype="bool")),
            Sample(In(), In(values=np.array(True), dtype="bool")),
            Sample(In(0), In(0, dtype="bool")),
        ],
        reference=lambda x, mask: np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape))[
            np.broadcast_to(mask, np.broadcast_shapes(x.shape, mask.shape))
        ],
        dtypes=KINDS,
        errors=[Bad(In(2), In(2), raises=RuntimeError, match="bool")],
    ),
    OpSamples(
        "masked_scatter",
        gg.masked_scatter,
        samples=[
            Sample(In(2, 3), MASK, In(5)),
            Sample(In(2, 3), In(3, dtype="bool"), In(6)),
            Sample(In(0), In(0, dtype="bool"), In(0)),
        ],
        reference=_masked_scatter,
        errors=[Bad(In(2, 3), MASK, In(2), raises=RuntimeError, match="2 elements, the mask selects 3")],
    ),
    OpSamples(
        "nonzero",
        gg.nonzero,
        samples=[
            Sample(In(3, 4)),
            Sample(MASK),
            Sample(In(values=np.arange(6000) % 3), as_tuple=False),
            Sample(In(2, 3, 2), as_tuple=True),
            Sample(In()),
            Sample(In(0, 3)),
        ],
        reference=lambda x, as_tuple=False: np.nonzero(x) if as_tuple else np.argwhere(x),
        dtypes=("int64", "bool", "float32", "float16"),
        differentiable=False,
        errors=[Bad(In(*(1,) * 9), raises=ValueError, match="8 dimensions")],
    ),
]
