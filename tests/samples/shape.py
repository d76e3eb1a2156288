"""Samples of views: reshape, transpose, permute, expand, squeeze, slices."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "uint8", "bool")
OUT_OF_RANGE = {"raises": IndexError, "match": "(?i)out of range"}


def _index(x: Any, index: Any) -> Any:
    return x[index]


OPS = [
    OpSamples(
        "reshape",
        gg.reshape,
        samples=[
            Sample(In(2, 6), (3, 4)),
            Sample(In(2, 6), (-1,)),
            Sample(In(2, 3, 4), (4, -1)),
            Sample(In(), (1, 1)),
            Sample(In(1), ()),
            Sample(In(0, 3), (3, 0)),
            Sample(In(2, 3), (2, 3)),
        ],
        reference=np.reshape,
        dtypes=KINDS,
        errors=[
            Bad(In(6), (4,), raises=RuntimeError, match="invalid for input of size 6"),
            Bad(In(6), (-1, -1), raises=RuntimeError, match="one dimension"),
            Bad(In(6), (4, -1), raises=RuntimeError, match="invalid"),
            Bad(In(0), (0, -1), raises=RuntimeError, match="ambiguous|-1"),
        ],
    ),
    OpSamples(
        "view",
        lambda x, *shape: x.view(*shape),
        samples=[Sample(In(2, 6), 3, 4), Sample(In(2, 6), -1), Sample(In(), 1), Sample(In(0, 2), 2, 0)],
        reference=lambda x, *shape: x.reshape(shape),
        layouts=False,  # refuses what it would have to copy
        errors=[
            Bad(In(6), 4, raises=RuntimeError, match="invalid"),
            Bad(In(6), -1, 4, raises=RuntimeError, match="invalid"),
        ],
    ),
    OpSamples(
        "view of the transpose",
        lambda x: x.t().view(-1),
        samples=[Sample(In(1, 4)), Sample(In(0, 4))],
        reference=lambda x: x.T.reshape(-1),
        layouts=False,
        errors=[Bad(In(3, 4), raises=RuntimeError, match=r"reshape")],
    ),
    OpSamples(
        "flatten",
        gg.flatten,
        samples=[
            Sample(In(2, 3, 4)),
            Sample(In(2, 3, 4), 1),
            Sample(In(2, 3, 4), 0, -2),
            Sample(In(2, 3, 4), start_dim=1, end_dim=1),
            Sample(In()),
            Sample(In(2, 0, 3), 1),
        ],
        reference=lambda x, start_dim=0, end_dim=-1: _flatten(x, start_dim, end_dim),
        errors=[
            Bad(In(2, 3), 2, **OUT_OF_RANGE),
            Bad(In(2, 3), 1, 0, raises=RuntimeError, match="start_dim"),
        ],
    ),
    OpSamples(
        "unflatten",
        gg.unflatten,
        samples=[
            Sample(In(2, 6), 1, (2, 3)),
            Sample(In(6, 2), -2, (-1, 3)),
            Sample(In(4), 0, (4, 1)),
            Sample(In(0), 0, (0, 2)),
        ],
        reference=lambda x, dim, sizes: _unflatten(x, dim, sizes),
        errors=[
            Bad(In(6), 0, (4, 2), raises=RuntimeError, match="(?i)shape|size"),
            Bad(In(6), 1, (6,), **OUT_OF_RANGE),
        ],
    ),
    OpSamples(
        "ravel",
        gg.ravel,
        samples=[Sample(In(2, 3)), Sample(In()), Sample(In(0, 2)), Sample(In(4))],
        reference=np.ravel,
        errors=[Bad("text", raises=(TypeError, AttributeError), match="(?i)tensor|attribute")],
    ),
    OpSamples(
        "permute",
        gg.permute,
        samples=[
            Sample(In(2, 3, 4), (2, 0, 1)),
            Sample(In(2, 3, 4), (-1, 0, 1)),
            Sample(In(2, 3), (0, 1)),
            Sample(In(), ()),
            Sample(In(0, 2), (1, 0)),
        ],
        reference=np.transpose,
        dtypes=KINDS,
        errors=[
            Bad(In(2, 3), (0, 2), **OUT_OF_RANGE),
            Bad(In(2, 3), (0, 0), raises=RuntimeError, match="exactly once|repeated|duplicate"),
            Bad(In(2, 3), (0,), raises=RuntimeError, match="dimensions"),
        ],
    ),
    OpSamples(
        "transpose",
        gg.transpose,
        samples=[
            Sample(In(2, 3, 4), 0, 2),
            Sample(In(2, 3, 4), -1, -2),
            Sample(In(3), 0, 0),
            Sample(In(), 0, -1),
            Sample(In(0, 3), 0, 1),
        ],
        reference=lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
        errors=[Bad(In(2, 3), 0, 2, **OUT_OF_RANGE)],
    ),
    OpSamples(
        "t",
        gg.t,
        samples=[Sample(In(2, 3)), Sample(In(3)), Sample(In()), Sample(In(0, 3))],
        reference=lambda x: x.T,
        errors=[Bad(In(2, 3, 4), raises=RuntimeError, match="2 dimensions")],
    ),
    OpSamples(
        "T",
        lambda x: (x.T, x.mT) if x.ndim == 2 else x.T,
        samples=[Sample(In(2, 3)), Sample(In())],
        reference=lambda x: (x.T, x.T) if x.ndim == 2 else x.T,
        errors=[Bad(1.0, raises=AttributeError, match="attribute")],
    ),
    OpSamples(
        "movedim",
        gg.movedim,
        samples=[
            Sample(In(2, 3, 4), 0, 2),
            Sample(In(2, 3, 4), -1, 0),
            Sample(In(2, 3, 4), (0, 1), (-1, -2)),
            Sample(In(0, 2), 0, 1),
        ],
        reference=np.moveaxis,
        errors=[
            Bad(In(2, 3), 0, 2, **OUT_OF_RANGE),
            Bad(In(2, 3), (0, 1), (0,), raises=RuntimeError, match="(?i)source"),
        ],
    ),
    OpSamples(
        "expand",
        lambda x, *sizes: x.expand(*sizes),
        samples=[
            Sample(In(3, 1), 3, 4),
            Sample(In(3, 1), 2, -1, 4),
            Sample(In(), 2, 3),
            Sample(In(1, 3), 0, 3),
            Sample(In(3), 3),
            Sample(In(1), 5),
        ],
        reference=lambda x, *sizes: np.broadcast_to(x, _expanded(x, sizes)),
        dtypes=KINDS,
        errors=[
            Bad(In(3), 4, raises=RuntimeError, match="must match the existing size"),
            Bad(In(3), -1, 3, raises=RuntimeError, match="-1|leading"),
            Bad(In(2, 3), 3, raises=RuntimeError, match="number of sizes"),
        ],
    ),
    OpSamples(
        "broadcast_to",
        gg.broadcast_to,
        samples=[Sample(In(3, 1), (2, 3, 4)), Sample(In(), (2,)), Sample(In(1), (0,))],
        reference=np.broadcast_to,
        errors=[Bad(In(3), (4,), raises=RuntimeError, match="must match the existing size")],
    ),
    OpSamples(
        "broadcast_tensors",
        gg.broadcast_tensors,
        samples=[Sample(In(3, 1), In(4)), Sample(In(), In(2), In(3, 1)), Sample(In(0), In(1))],
        reference=lambda *xs: tuple(np.broadcast_arrays(*xs)),
        errors=[Bad(In(3), In(4), raises=(RuntimeError, ValueError), match="(?i)size|shape|broadcast")],
    ),
    OpSamples(
        "squeeze",
        gg.squeeze,
        samples=[
            Sample(In(1, 3, 1, 2)),
            Sample(In(1, 3, 1, 2), 0),
            Sample(In(1, 3, 1, 2), -2),
            Sample(In(1, 3), 1),
            Sample(In(1, 3, 1), (0, 2)),
            Sample(In(1, 3, 1), dim=(0, 1)),
            Sample(In()),
            Sample(In(), 0),
            Sample(In(1, 0)),
        ],
        reference=lambda x, dim=None: _squeeze(x, dim),
        errors=[
            Bad(In(1, 3), 2, **OUT_OF_RANGE),
            Bad(In(1, 3), (0, 0), raises=RuntimeError, match="multiple times"),
        ],
    ),
    OpSamples(
        "unsqueeze",
        gg.unsqueeze,
        samples=[
            Sample(In(2, 3), 0),
            Sample(In(2, 3), 1),
            Sample(In(2, 3), 2),
            Sample(In(2, 3), -1),
            Sample(In(2, 3), -3),
            Sample(In(), 0),
            Sample(In(0), 1),
        ],
        reference=np.expand_dims,
        errors=[Bad(In(2, 3), 3, **OUT_OF_RANGE), Bad(In(2, 3), -4, **OUT_OF_RANGE)],
    ),
    OpSamples(
        "narrow",
        gg.narrow,
        samples=[
            Sample(In(5, 3), 0, 1, 3),
            Sample(In(5, 3), 1, 0, 3),
            Sample(In(5, 3), -1, -2, 1),
            Sample(In(5, 3), 0, 2, 0),
            Sample(In(0, 3), 0, 0, 0),
        ],
        reference=lambda x, dim, start, length: np.take(
            x, range(start % max(x.shape[dim], 1), start % max(x.shape[dim], 1) + length), dim
        ),
        errors=[
            Bad(In(5), 0, 3, 3, raises=RuntimeError, match="exceeds"),
            Bad(In(5), 1, 0, 1, **OUT_OF_RANGE),
        ],
    ),
    OpSamples(
        "select",
        gg.select,
        samples=[
            Sample(In(3, 4), 0, 1),
            Sample(In(3, 4), -1, -1),
            Sample(In(3), 0, 2),
            Sample(In(2, 0, 3), 2, 1),
        ],
        reference=lambda x, dim, index: np.take(x, index, dim),
        errors=[
            Bad(In(3, 4), 0, 3, **OUT_OF_RANGE),
            Bad(In(3, 4), 2, 0, **OUT_OF_RANGE),
            Bad(In(), 0, 0, raises=IndexError, match="0-dim"),
        ],
    ),
    OpSamples(
        "slice",
        _index,
        samples=[
            Sample(In(5, 4), slice(1, 4)),
            Sample(In(5, 4), slice(None, None, 2)),
            Sample(In(5, 4), (slice(None), slice(3, 1))),
            Sample(In(5, 4), (slice(-3, -1), 2)),
            Sample(In(5, 4), (..., 1)),
            Sample(In(5, 4), (None, 1, slice(None), None)),
            Sample(In(5, 4), (2, -1)),
            Sample(In(2, 3, 4), (..., slice(0, 4, 3))),
            Sample(In(2, 3, 4), (1, ...)),
            Sample(In(), None),
            Sample(In(), ...),
            Sample(In(0, 3), (slice(None), 1)),
        ],
        reference=_index,
        dtypes=KINDS,
        ops=["slice_backward"],
        errors=[
            Bad(In(3), 3, raises=IndexError, match="(?i)out of (range|bounds)"),
            Bad(In(3), (0, 0), raises=IndexError, match="(?i)too many indices"),
            Bad(In(3), slice(None, None, -1), raises=ValueError, match="step must be positive"),
        ],
    ),
    OpSamples(
        "atleast_1d",
        gg.atleast_1d,
        samples=[Sample(In()), Sample(In(2, 3)), Sample(In(0))],
        reference=np.atleast_1d,
        errors=[Bad("text", raises=(TypeError, AttributeError), match="(?i)tensor|attribute")],
    ),
    OpSamples(
        "atleast_2d",
        gg.atleast_2d,
        samples=[Sample(In()), Sample(In(3)), Sample(In(2, 3)), Sample(In(0))],
        reference=np.atleast_2d,
        errors=[Bad("text", raises=(TypeError, AttributeError), match="(?i)tensor|attribute")],
    ),
    OpSamples(
        "contiguous",
        lambda x: x.transpose(0, -1).contiguous(),
        samples=[Sample(In(2, 3, 4)), Sample(In(40, 33)), Sample(In(0, 2)), Sample(In())],
        reference=lambda x: np.swapaxes(x, 0, -1) if x.ndim else x,
        dtypes=KINDS,
        errors=[Bad("text", raises=AttributeError, match="attribute")],
    ),
]


def _flatten(x: Any, start: int, end: int) -> Any:
    if not x.ndim:
        return x.reshape(1)
    start, end = start % x.ndim, end % x.ndim
    return x.reshape(*x.shape[:start], int(np.prod(x.shape[start : end + 1])), *x.shape[end + 1 :])


def _unflatten(x: Any, dim: int, sizes: tuple[int, ...]) -> Any:
    dim %= x.ndim
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def _expanded(x: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    pad = len(sizes) - x.ndim
    return tuple(x.shape[d - pad] if n == -1 else n for d, n in enumerate(sizes))


def _squeeze(x: Any, dim: Any) -> Any:
    if dim is None:
        return np.squeeze(x)
    dims = {d % max(x.ndim, 1) for d in (dim if isinstance(dim, tuple) else (dim,))}
    return x.reshape([n for d, n in enumerate(x.shape) if n != 1 or d not in dims])
