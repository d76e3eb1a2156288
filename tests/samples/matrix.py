"""Samples of triangles, diagonals, flip and roll."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "int8", "bool")
TRIANGLES = [
    Sample(In(4, 4)),
    Sample(In(3, 5), 1),
    Sample(In(5, 3), -2),
    Sample(In(2, 3, 3), 7),
    Sample(In(2, 3, 3), -7),
    Sample(In(0, 3)),
]
OFFSETS = (0, 2, -1, 5, -9)


def _zeros_like_embedding(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], n, n), x.dtype)
    k = np.arange(x.shape[-1])
    y[..., k + max(-offset, 0), k + max(offset, 0)] = x
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


OPS = [
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=TRIANGLES,
            reference=getattr(np, name),
            dtypes=KINDS,
            errors=[Bad(In(3), raises=RuntimeError, match="at least 2 dimensions")],
        )
        for name in ("tril", "triu")
    ],
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[Sample(In(2, 3, 4), k, 1, 2) for k in OFFSETS]
            + [Sample(In(4, 2, 3), 1, 2, 0), Sample(In(3, 3)), Sample(In(0, 3))],
            reference=np.diagonal,
            dtypes=KINDS,
            errors=[
                Bad(In(3), raises=IndexError, match="out of range"),
                Bad(In(3, 3), 0, 1, -1, raises=RuntimeError, match="identical"),
            ],
        )
        for name in ("diagonal",)
    ],
    OpSamples(
        "diag_embed",
        gg.diag_embed,
        samples=[Sample(In(3)), Sample(In(2, 3), 1), Sample(In(2, 3), -2, 0, 2), Sample(In(0))],
        reference=_zeros_like_embedding,
        dtypes=KINDS,
        errors=[Bad(In(3), 0, 1, 1, raises=RuntimeError, match="identical")],
    ),
    OpSamples(
        "diag",
        gg.diag,
        samples=[
            Sample(In(3)),
            Sample(In(3), -1),
            Sample(In(3, 4)),
            Sample(In(3, 4), 2),
            Sample(In(3, 4), 9),
            Sample(In(0)),
        ],
        reference=np.diag,
        errors=[Bad(In(2, 2, 2), raises=RuntimeError, match="1D or 2D")],
    ),
    OpSamples(
        "trace",
        gg.trace,
        samples=[Sample(In(3, 3)), Sample(In(2, 4)), Sample(In(0, 3))],
        reference=np.trace,
        errors=[Bad(In(3), raises=RuntimeError, match="matrix")],
    ),
    OpSamples(
        "tril_indices",
        lambda x, *args: (gg.tril_indices(*args, device=x.device), gg.triu_indices(*args, device=x.device)),
        samples=[Sample(In(), 3, 3), Sample(In(), 3, 5, 1), Sample(In(), 4, 2, -1), Sample(In(), 0, 0)],
        reference=lambda x, n, m, k=0: (
            np.stack(np.tril_indices(n, k, m)),
            np.stack(np.triu_indices(n, k, m)),
        ),
        dtypes=("float32",),
        differentiable=False,
        layouts=False,
        errors=[Bad(In(), -1, 2, raises=RuntimeError, match="non-negative")],
    ),
    OpSamples(
        "flip",
        gg.flip,
        samples=[
            Sample(In(5), 0),
            Sample(In(2, 3, 4), (0, -1)),
            Sample(In(2, 3), ()),
            Sample(In(1, 3), 0),
            Sample(In(0, 3), 1),
        ],
        reference=np.flip,
        dtypes=KINDS,
        errors=[
            Bad(In(3), 1, raises=IndexError, match="out of range"),
            Bad(In(3), (0, 0), raises=RuntimeError, match="multiple times"),
        ],
    ),
    OpSamples(
        "fliplr and flipud",
        lambda x: (gg.fliplr(x), gg.flipud(x)),
        samples=[Sample(In(3, 4)), Sample(In(0, 2))],
        reference=lambda x: (np.fliplr(x), np.flipud(x)),
        errors=[Bad(In(), raises=RuntimeError, match="2-d")],
    ),
    OpSamples(
        "roll",
        gg.roll,
        samples=[
            Sample(In(5), 2),
            Sample(In(2, 3), -1),
            Sample(In(3, 4), (1, -2), (0, 1)),
            Sample(In(3, 4), 9, 1),
            Sample(In(3), 0, 0),
            Sample(In(0, 3), 1, 0),
        ],
        reference=np.roll,
        dtypes=KINDS,
        errors=[
            Bad(In(3), (1, 2), 0, raises=RuntimeError, match="align"),
            Bad(In(3), 1, 1, raises=IndexError, match="range"),
        ],
    ),
]
