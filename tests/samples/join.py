"""Samples of joining, cutting, padding and repeating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import gradgpu as gg
from gradgpu.ops.pad import pad
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "uint8", "bool")


def _cat(xs: Sequence[Any], dim: int = 0) -> Any:
    xs = [x for x in xs if x.shape != (0,)] or xs[:1]
    return np.concatenate(xs, dim)


def _pieces(x: Any, sizes: Sequence[int], dim: int) -> tuple:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], dim))


def _split(x: Any, size: int | Sequence[int], dim: int = 0) -> tuple:
    n = x.shape[dim]
    if isinstance(size, int):
        size = [min(size, n - k) for k in range(0, n, size)] if n else [0]
    return _pieces(x, size, dim)


def _chunk(x: Any, chunks: int, dim: int = 0) -> tuple:
    n = x.shape[dim]
    return _split(x, max(-(-n // chunks), 1), dim) if n else tuple([x] * chunks)


def _pad(x: Any, amounts: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    pairs = [(0, 0)] * (x.ndim - len(amounts) // 2) + list(zip(amounts[-2::-2], amounts[::-2]))
    if not pairs:
        return x
    if mode == "constant":
        x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pairs))]
        return np.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], constant_values=value or 0)
    return np.pad(x, pairs, {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])


OPS = [
    OpSamples(
        "cat",
        gg.cat,
        samples=[
            Sample([In(2, 3), In(4, 3)]),
            Sample([In(2, 3), In(2, 1), In(2, 0), In(2, 5)], -1),
            Sample([In(2, 3, 4), In(2, 2, 4)], 1),
            Sample([In(2, 1 + k % 3) for k in range(40)], 1),
            Sample([In(3)]),
            Sample([In(0, 3), In(0, 3)], 1),
        ],
        reference=_cat,
        dtypes=KINDS,
        errors=[
            Bad([], raises=RuntimeError, match="non-empty"),
            Bad([In(2, 3), In(2, 4)], raises=RuntimeError, match=r"tensor 1 is \[2, 4\]"),
            Bad([In(2, 3), In(2)], raises=RuntimeError, match="same number of dimensions"),
            Bad([In(), In()], raises=RuntimeError, match="use stack"),
            Bad([In(2)], 1, raises=IndexError, match="out of range"),
            Bad(In(2), raises=TypeError, match="list or tuple"),
        ],
    ),
    OpSamples(
        "cat of different dtypes",
        lambda a, b: gg.cat([a, b]),
        samples=[Sample(In(2), In(3, dtype="int64")), Sample(In(2, dtype="bool"), In(0))],
        reference=lambda a, b: np.concatenate([a, b]),
        dtypes=("float32", "float64"),
        differentiable=False,
        same_dtype=False,
        errors=[Bad(In(2, 2), In(2), raises=RuntimeError, match="dimensions")],
    ),
    OpSamples(
        "stack",
        gg.stack,
        samples=[
            Sample([In(2, 3), In(2, 3)]),
            Sample([In(2, 3), In(2, 3), In(2, 3)], 1),
            Sample([In(2, 3), In(2, 3)], -1),
            Sample([In(), In()]),
            Sample([In(0, 2), In(0, 2)], 1),
        ],
        reference=lambda xs, dim=0: np.stack(xs, dim),
        dtypes=KINDS,
        errors=[
            Bad([In(2), In(3)], raises=RuntimeError, match="equal size"),
            Bad([In(2)], 2, raises=IndexError, match="out of range"),
        ],
    ),
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[
                Sample([In(3), In(3)]),
                Sample([In(2, 3), In(2, 3)]),
                Sample([In(), In()]),
                Sample([In(2, 3, 2), In(2, 3, 2)]),
            ],
            reference=getattr(np, name),
            errors=[Bad([], raises=RuntimeError, match="non-empty")],
        )
        for name in ("hstack", "vstack", "dstack", "column_stack")
    ],
    OpSamples(
        "split",
        gg.split,
        samples=[
            Sample(In(5, 2), 2),
            Sample(In(2, 6), 3, dim=-1),
            Sample(In(2, 6), (1, 0, 5), dim=1),
            Sample(In(3), 4),
            Sample(In(0, 2), 2),
        ],
        reference=_split,
        dtypes=KINDS,
        errors=[
            Bad(In(), 1, raises=RuntimeError, match="1-dimensional"),
            Bad(In(3), 0, raises=RuntimeError, match="positive"),
            Bad(In(3), (1, 1), raises=RuntimeError, match="sum exactly to 3"),
            Bad(In(3), 1, dim=1, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "one part of a split",
        lambda x: gg.split(x, 2)[1],
        samples=[Sample(In(5, 2)), Sample(In(4, 0))],
        reference=lambda x: x[2:4],
        errors=[Bad(In(), raises=RuntimeError, match="1-dimensional")],
    ),
    OpSamples(
        "chunk",
        gg.chunk,
        samples=[Sample(In(5, 2), 2), Sample(In(2, 6), 4, dim=1), Sample(In(0, 2), 2)],
        reference=_chunk,
        errors=[
            Bad(In(3), 0, raises=RuntimeError, match="greater than 0"),
            Bad(In(), 2, raises=RuntimeError, match="1-dim"),
        ],
    ),
    OpSamples(
        "tensor_split",
        gg.tensor_split,
        samples=[
            Sample(In(7, 2), 3),
            Sample(In(2, 6), (1, 4), dim=1),
            Sample(In(3), (2, 1)),
            Sample(In(0, 2), 2),
        ],
        reference=lambda x, parts, dim=0: tuple(np.array_split(x, parts, dim)),
        errors=[
            Bad(In(3), 0, raises=RuntimeError, match="larger than 0"),
            Bad(In(), 1, raises=RuntimeError, match="1-dim"),
        ],
    ),
    OpSamples(
        "unbind",
        gg.unbind,
        samples=[Sample(In(3, 2)), Sample(In(3, 2, 4), -1), Sample(In(3)), Sample(In(2, 0))],
        reference=lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
        dtypes=KINDS,
        errors=[
            Bad(In(), raises=IndexError, match="no dimensions"),
            Bad(In(2), 1, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "pad",
        pad,
        samples=[
            Sample(In(2, 3), (1, 2)),
            Sample(In(2, 3), (1, 2, 0, 1), value=1.5),
            Sample(In(2, 5), (-1, 2, 1, -1)),
            Sample(In(0, 2), (1, 1), value=1.0),
            Sample(In(), ()),
            *[Sample(In(2, 4, 5), (2, 1, 3, 0), mode=mode) for mode in ("reflect", "replicate", "circular")],
            *[Sample(In(3, 4), (3, 2), mode=mode) for mode in ("reflect", "replicate", "circular")],
            Sample(In(2, 1), (3, 2), mode="replicate"),
            Sample(In(0, 4), (1, 2), mode="reflect"),
        ],
        reference=_pad,
        errors=[
            Bad(In(3), (1,), raises=RuntimeError, match="divisible by 2"),
            Bad(In(3), (1, 1, 1, 1), raises=RuntimeError, match="more than twice"),
            Bad(In(3), (3, 0), mode="reflect", raises=RuntimeError, match="too wide"),
            Bad(In(3), (1, 0), mode="mirror", raises=ValueError, match="unknown mode 'mirror'"),
            Bad(In(3), (-2, -2), raises=RuntimeError, match="negative"),
            Bad(In(3), (-3, 0), mode="circular", raises=RuntimeError, match="too wide"),
            Bad(In(3), (1, 0), mode="replicate", value=2, raises=ValueError, match="takes no value"),
        ],
    ),
    OpSamples(
        "repeat",
        lambda x, *times: x.repeat(*times),
        samples=[
            Sample(In(2, 3), 2, 1),
            Sample(In(3), 2, 2),
            Sample(In(), 3),
            Sample(In(2, 3), 0, 1),
            Sample(In(2), 1),
        ],
        reference=lambda x, *times: np.tile(x, times),
        dtypes=KINDS,
        errors=[
            Bad(In(2, 3), 2, raises=RuntimeError, match="can not be smaller"),
            Bad(In(2), -1, raises=RuntimeError, match="negative"),
        ],
    ),
    OpSamples(
        "tile",
        gg.tile,
        samples=[Sample(In(2, 3), (2,)), Sample(In(2), (2, 3)), Sample(In(), (2,))],
        reference=np.tile,
        errors=[Bad(In(2), (-1,), raises=RuntimeError, match="negative")],
    ),
    OpSamples(
        "repeat_interleave",
        gg.repeat_interleave,
        samples=[
            Sample(In(2, 3), 2),
            Sample(In(2, 3), 3, dim=1),
            Sample(In(3, 2), In(values=[2, 0, 1], dtype="int64"), dim=0),
            Sample(In(2, 3), 0, dim=0),
            Sample(In(0, 3), 2, dim=0),
        ],
        reference=lambda x, repeats, dim=None: np.repeat(x, repeats, dim),
        errors=[
            Bad(In(3), In(values=[1, 2], dtype="int64"), dim=0, raises=RuntimeError, match="same size"),
            Bad(In(2), In(values=[1, -2], dtype="int64"), dim=0, raises=RuntimeError, match="negative"),
            Bad(In(2), -1, raises=RuntimeError, match="negative"),
        ],
    ),
    OpSamples(
        "meshgrid",
        gg.meshgrid,
        samples=[
            Sample(In(3), In(4)),
            Sample(In(3), In(4), In(2), indexing="xy"),
            Sample(In(), In(2)),
            Sample([In(3), In(2)]),
        ],
        reference=lambda *xs, indexing="ij": tuple(
            np.meshgrid(*(xs[0] if isinstance(xs[0], list) else xs), indexing=indexing)
        ),
        errors=[
            Bad(In(2, 2), raises=RuntimeError, match="0D or 1D"),
            Bad(In(2), indexing="yx", raises=RuntimeError, match="indexing must be"),
        ],
    ),
]
