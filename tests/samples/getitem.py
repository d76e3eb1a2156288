"""Samples of `x[index]` and of writing through an index."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "uint8", "bool")
ALL = slice(None)


def at(*shape: int, n: int) -> In:
    return In(*shape, low=-n, high=n, dtype="int64")


def mask(*shape: int) -> In:
    return In(values=np.random.default_rng(5).random(shape) < 0.5, dtype="bool")


def _get(x: Any, *index: Any) -> Any:
    return x[index]


def _get_reference(x: Any, *index: Any) -> Any:
    """numpy's rule with PyTorch's difference: an int is applied first, it does not count as an advanced index."""
    if any(isinstance(i, np.ndarray) for i in index) and any(type(i) is int for i in index):
        x = x[tuple(i if type(i) is int else ALL for i in index)]
        index = tuple(i for i in index if type(i) is not int)
    return np.asarray(x[index])


def _set(x: Any, value: Any, *index: Any) -> Any:
    y = x.clone() if isinstance(x, gg.Tensor) else x.copy()
    y[index] = value
    return y


def _put(x: Any, value: Any, *index: Any, accumulate: bool = False) -> Any:
    return gg.index_put(x, index, value, accumulate)


def _put_reference(x: Any, value: Any, *index: Any, accumulate: bool = False) -> Any:
    y = x.copy()
    if accumulate:
        np.add.at(y, index, value)
    else:
        y[index] = value
    return y


OPS = [
    OpSamples(
        "getitem",
        _get,
        samples=[
            Sample(In(4, 5, 6), 1),
            Sample(In(4, 5, 6), -1, slice(1, None, 2), None),
            Sample(In(4, 5, 6), Ellipsis, 0),
            Sample(In(4, 5, 6), slice(3, 1)),
            Sample(In(4, 5, 6), at(3, n=4)),
            Sample(In(4, 5, 6), ALL, at(3, 2, n=5)),
            Sample(In(4, 5, 6), at(3, n=4), at(3, n=5)),
            Sample(In(4, 5, 6), at(3, 1, n=4), ALL, at(2, n=6)),
            Sample(In(4, 5, 6), at(2, n=4), 0, at(2, n=6)),
            Sample(In(4, 5, 6), 1, ALL, at(2, n=6)),
            Sample(In(4, 5, 6), at(3, n=4), None, at(3, n=5)),
            Sample(In(4, 5, 6), Ellipsis, at(3, n=6)),
            Sample(In(4, 5, 6), mask(4)),
            Sample(In(4, 5, 6), mask(4, 5)),
            Sample(In(4, 5, 6), mask(4, 5, 6)),
            Sample(In(4, 5, 6), ALL, mask(5), slice(1, 4)),
            Sample(In(4, 5, 6), ALL, at(0, n=5)),
            Sample(In(9), at(700, n=9)),
            Sample(In(0, 3), ALL, at(2, n=3)),
            Sample(In(), Ellipsis, None),
        ],
        reference=_get_reference,
        dtypes=KINDS,
        errors=[
            Bad(In(4), 4, raises=IndexError, match="out of bounds for dimension 0 with size 4"),
            Bad(In(4), 0, 0, raises=IndexError, match="too many indices"),
            Bad(In(4), In(1, dtype="int64", low=4, high=5), raises=IndexError, match="out of bounds"),
            Bad(
                In(2, 2),
                In(1, dtype="int64", low=2, high=3),
                In(1, dtype="int64"),
                raises=IndexError,
                match="out of bounds",
            ),
            Bad(In(4), Ellipsis, Ellipsis, raises=IndexError, match="single ellipsis"),
            Bad(In(4), mask(3), raises=IndexError, match=r"mask \[3\]"),
            Bad(In(4, 4), at(3, n=4), at(2, n=4), raises=IndexError, match="shape mismatch"),
            Bad(In(4), slice(None, None, -1), raises=ValueError, match="step must be positive"),
            Bad(In(4), In(1, dtype="float32"), raises=IndexError, match="integer"),
            Bad(In(4), "a", raises=IndexError, match="valid indices"),
        ],
    ),
    OpSamples(
        "setitem",
        _set,
        samples=[
            Sample(In(4, 5), 2.0, 1),
            Sample(In(4, 5), In(5), 1),
            Sample(In(4, 5), In(2, 5), slice(None, None, 2)),
            Sample(In(4, 5), In(), ALL, 1),
            Sample(In(4, 5), In(1, 4), ALL, 1),
            Sample(In(4, 5), 3.0, In(values=[0, 2, 0], dtype="int64")),
            Sample(In(4, 5), In(2, 5), In(values=[3, 1], dtype="int64")),
            Sample(
                In(4, 5, 6), In(2, 5), In(values=[3, 1], dtype="int64"), ALL, In(values=[0, 5], dtype="int64")
            ),
            Sample(In(4, 5), 1.0, mask(4, 5)),
            Sample(In(4, 5), In(5), mask(4)),
            Sample(In(0, 5), 1.0, ALL, 0),
            Sample(In(), 4.0, Ellipsis),
        ],
        reference=_set,
        errors=[
            Bad(In(4), 1.0, 4, raises=IndexError, match="out of bounds"),
            Bad(In(4), In(3), slice(0, 2), raises=RuntimeError, match="shape mismatch"),
            Bad(In(4), "a", 0, raises=TypeError, match="can't assign"),
        ],
    ),
    OpSamples(
        "index_put",
        _put,
        samples=[
            Sample(In(4, 5), In(3, 5), In(values=[0, 3, 1], dtype="int64")),
            Sample(In(4, 5), In(3), In(values=[0, 3, 1], dtype="int64"), In(values=[4, 0, 0], dtype="int64")),
            Sample(In(4, 5), In(40, 5), at(40, n=4), accumulate=True),
            Sample(In(4, 5), In(30), at(30, n=4), at(30, n=5), accumulate=True),
            Sample(In(4, 5), In(), mask(4, 5)),
            Sample(In(4, 5), In(0, 5), at(0, n=4), accumulate=True),
        ],
        reference=_put_reference,
        errors=[
            Bad(In(4), In(2), at(3, n=4), raises=RuntimeError, match="shape mismatch"),
            Bad(In(4), In(1), In(1, dtype="int64", low=7, high=8), raises=IndexError, match="out of bounds"),
            Bad(In(4), In(1), raises=IndexError, match="at least one index"),
        ],
    ),
]
