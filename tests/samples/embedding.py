"""Samples of embedding tables and one-hot codes."""

from __future__ import annotations

import numpy as np

from gradgpu.ops.embedding import embedding, one_hot
from tests.samples import Bad, In, OpSamples, Sample


def at(*shape: int, n: int) -> In:
    return In(*shape, low=0, high=n, dtype="int64")


def _one_hot(index: np.ndarray, num_classes: int = -1) -> np.ndarray:
    classes = index.max() + 1 if num_classes == -1 else num_classes
    return (index[..., None] == np.arange(classes)).astype(np.int64)


OPS = [
    OpSamples(
        "embedding",
        lambda weight, index, padding_idx=None: embedding(index, weight, padding_idx),
        samples=[
            Sample(In(5, 3), at(4, n=5)),
            Sample(In(5, 4), at(2, 7, n=5)),
            Sample(In(4, 2), at(1500, n=4)),
            Sample(In(5, 1), at(n=5)),
            Sample(In(5, 3), at(0, n=5)),
            Sample(In(5, 0), at(2, n=5)),
        ],
        reference=lambda weight, index, padding_idx=None: weight[index],
        errors=[
            Bad(
                In(5, 3),
                In(values=[5], dtype="int64"),
                raises=IndexError,
                match="embedding: index 5 is out of bounds",
            ),
            Bad(In(5, 3), In(values=[-1], dtype="int64"), raises=IndexError, match="out of bounds"),
            Bad(In(5), at(2, n=5), raises=RuntimeError, match="2-D"),
            Bad(In(5, 3), In(2), raises=RuntimeError, match="integer"),
            Bad(In(5, 3), at(2, n=5), padding_idx=5, raises=ValueError, match="padding_idx"),
        ],
    ),
    OpSamples(
        "embedding with padding",
        lambda weight, index, padding_idx: embedding(index, weight, padding_idx),
        samples=[
            Sample(In(5, 4), at(60, n=5), padding_idx=2),
            Sample(In(5, 4), at(60, n=5), padding_idx=-1),
            Sample(In(5, 4), at(0, n=5), padding_idx=0),
        ],
        reference=lambda weight, index, padding_idx: weight[index],
        finite_differences=False,  # the padding row gets no gradient, although the output depends on it
        ops=("without_row",),
        errors=[Bad(In(5, 3), at(2, n=5), padding_idx=-6, raises=ValueError, match="padding_idx")],
    ),
    OpSamples(
        "embedding scaled by frequency",
        lambda weight, index: embedding(index, weight, scale_grad_by_freq=True),
        samples=[
            Sample(In(5, 4), at(60, n=5)),
            Sample(In(5, 4), at(2, 3, n=5)),
            Sample(In(5, 4), at(0, n=5)),
        ],
        reference=lambda weight, index: weight[index],
        finite_differences=False,  # its gradient is no derivative
        errors=[Bad(In(5), at(2, n=5), raises=RuntimeError, match="2-D")],
    ),
    OpSamples(
        "embedding with max_norm",
        lambda weight, index: embedding(index, weight * 1, max_norm=0.5, norm_type=1.0),
        samples=[Sample(In(5, 4, grad=False), at(7, n=5)), Sample(In(5, 4, grad=False), at(0, n=5))],
        reference=lambda weight, index: (weight * np.minimum(1, 0.5 / np.abs(weight).sum(1, keepdims=True)))[
            index
        ],
        differentiable=False,
        tolerance={"float64": (1e-6, 1e-6)},
        errors=[Bad(In(5), at(2, n=5), raises=RuntimeError, match="2-D")],
    ),
    OpSamples(
        "one_hot",
        one_hot,
        samples=[Sample(at(3, n=4), 4), Sample(at(2, 3, n=5)), Sample(at(n=3), 3), Sample(at(0, n=3), 3)],
        reference=_one_hot,
        dtypes=("int64",),
        errors=[
            Bad(In(values=[3], dtype="int64"), 3, raises=IndexError, match="out of bounds"),
            Bad(In(values=[-1], dtype="int64"), 3, raises=IndexError, match="out of bounds"),
            Bad(In(2, dtype="int32"), 3, raises=RuntimeError, match="int64"),
            Bad(at(0, n=3), raises=RuntimeError, match="infer"),
        ],
    ),
]
