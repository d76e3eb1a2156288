"""Samples of sparse matrices: products, sums, softmax, and the ways between sparse and dense."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample

rng = np.random.default_rng(0)
FEW = [[0, 1, 1, 3, 1], [2, 0, 2, 2, 0]]  # in a 4 by 3 matrix; row 2 is empty, (1, 0) occurs twice
SORTED = [[0, 1, 1, 3], [2, 0, 2, 2]]
MANY = rng.integers(0, (40, 30), (300, 2)).T.tolist()
HUB = [[5] * 90 + list(range(40)), [*rng.integers(0, 30, 90).tolist(), *range(30), *range(10)]]
NONE: list[list[int]] = [[], []]


def matrix(v: gg.Tensor, at: list, size: tuple) -> Any:
    return gg.sparse_coo_tensor(at, v, size, is_coalesced=at in (SORTED, NONE))


def dense(v: np.ndarray, at: list, size: tuple) -> np.ndarray:
    y = np.zeros((*size, *v.shape[1:]), v.dtype)
    np.add.at(y, tuple(np.array(row, int) for row in at), v)
    return y


def mm(v: gg.Tensor, x: gg.Tensor, at: list, size: tuple) -> gg.Tensor:
    return gg.sparse.mm(matrix(v, at, size), x)


def _softmax(v: np.ndarray, at: list, size: tuple, dim: int) -> np.ndarray:
    there = dense(np.ones(v.shape), at, size) > 0
    powers = np.where(there, np.exp(dense(v, at, size)), 0)
    return powers / np.maximum(powers.sum(dim, keepdims=True), 1e-300)


def _log_softmax(v: np.ndarray, at: list, size: tuple, dim: int) -> np.ndarray:
    return np.log(_softmax(v, at, size, dim))[tuple(np.array(row, int) for row in at)]


OPS = [
    OpSamples(
        "spmm",
        mm,
        samples=[
            Sample(In(5), In(3, 2), FEW, (4, 3)),
            Sample(In(4), In(3, 1), SORTED, (4, 3)),
            Sample(In(300), In(30, 5), MANY, (40, 30)),
            Sample(In(130), In(30, 3), HUB, (40, 30)),
            Sample(In(5), In(3, 70), FEW, (4, 3)),
            Sample(In(5), In(3, 0), FEW, (4, 3)),
            Sample(In(0), In(3, 2), NONE, (4, 3)),
            Sample(In(0), In(0, 2), NONE, (4, 0)),
        ],
        reference=lambda v, x, at, size: dense(v, at, size) @ x,
        tolerance={"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2), "float32": (1e-4, 1e-4)},
        errors=[
            Bad(
                In(5),
                In(4, 2),
                FEW,
                (4, 3),
                raises=RuntimeError,
                match=r"cannot be multiplied \(4x3 and 4x2\)",
            ),
            Bad(In(5), In(3, 2, dtype="int64"), FEW, (4, 3), raises=RuntimeError, match="of one dtype"),
            Bad(In(5), In(3), FEW, (4, 3), raises=RuntimeError, match="expected matrices"),
            Bad(In(5, 2), In(3, 2), FEW, (4, 3, 2), raises=RuntimeError, match="expected matrices"),
            Bad(In(4), In(3, 2), FEW, (4, 3), raises=RuntimeError, match="must have same nnz"),
            Bad(
                In(5),
                In(3, 2),
                FEW,
                (4,),
                raises=RuntimeError,
                match="number of dimensions must be sparse_dim",
            ),
            Bad(In(5), In(3, 2), [FEW], (4, 3), raises=RuntimeError, match="sparse_dim x nnz"),
        ],
    ),
    OpSamples(
        "sparse matrix from the right",
        lambda v, x, at, size: x @ matrix(v, at, size),
        samples=[
            Sample(In(5), In(2, 4), FEW, (4, 3)),
            Sample(In(300), In(5, 40), MANY, (40, 30)),
            Sample(In(0), In(2, 4), NONE, (4, 3)),
        ],
        reference=lambda v, x, at, size: x @ dense(v, at, size),
        tolerance={"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2), "float32": (1e-4, 1e-4)},
        ops=("sampled_product",),
        errors=[Bad(In(5), In(2, 3), FEW, (4, 3), raises=RuntimeError, match="cannot be multiplied")],
    ),
    OpSamples(
        "addmm",
        lambda v, m, x, at, size: gg.sparse.addmm(m, matrix(v, at, size), x, beta=0.5, alpha=2),
        samples=[
            Sample(In(5), In(4, 2), In(3, 2), FEW, (4, 3)),
            Sample(In(0), In(4, 2), In(3, 2), NONE, (4, 3)),
        ],
        reference=lambda v, m, x, at, size: 0.5 * m + 2 * dense(v, at, size) @ x,
        errors=[
            Bad(In(5), In(4, 2), In(4, 2), FEW, (4, 3), raises=RuntimeError, match="cannot be multiplied")
        ],
    ),
    OpSamples(
        "to_dense",
        lambda v, at, size: gg.sparse_coo_tensor(at, v, (*size, *v.shape[1:])).to_dense(),
        samples=[
            Sample(In(5), FEW, (4, 3)),
            Sample(In(5, 2), FEW, (4, 3)),
            Sample(In(300), MANY, (40, 30)),
            Sample(In(0), NONE, (4, 3)),
        ],
        reference=dense,
        dtypes=("float32", "float64", "float16", "bfloat16", "int64"),
        tolerance={"bfloat16": (6e-2, 6e-2)},
        errors=[
            Bad(In(5), FEW, (4, 2), raises=(RuntimeError, IndexError), match="index 2|out of bounds"),
            Bad(In(1), [[0], [-1]], (4, 2), raises=(RuntimeError, IndexError), match="index -"),
        ],
    ),
    OpSamples(
        "coalesce",
        lambda v, at, size: matrix(v, at, size).coalesce().values(),
        samples=[Sample(In(5), FEW, (4, 3)), Sample(In(0), NONE, (4, 3)), Sample(In(1), [[1], [1]], (4, 3))],
        reference=lambda v, at, size: dense(v, at, size)[dense(np.ones(v.shape), at, size) > 0],
        errors=[Bad(In(4), FEW, (4, 3), raises=RuntimeError, match="same nnz")],
    ),
    OpSamples(
        "sparse.sum",
        lambda v, at, size, dim: gg.sparse.sum(matrix(v, at, size), dim).to_dense(),
        samples=[
            Sample(In(5), FEW, (4, 3), 1),
            Sample(In(5), FEW, (4, 3), 0),
            Sample(In(5), FEW, (4, 3), None),
            Sample(In(5), FEW, (4, 3), (0, 1)),
            Sample(In(0), NONE, (4, 3), 1),
        ],
        reference=lambda v, at, size, dim: dense(v, at, size).sum(dim),
        errors=[Bad(In(5), FEW, (4, 3), 2, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "sparse.softmax",
        lambda v, at, size, dim: gg.sparse.softmax(matrix(v, at, size), dim).to_dense(),
        samples=[
            Sample(In(4), SORTED, (4, 3), 1),
            Sample(In(4), SORTED, (4, 3), 0),
            Sample(In(5), FEW, (4, 3), -1),
            Sample(In(0), NONE, (4, 3), 1),
        ],
        reference=_softmax,
        errors=[Bad(In(5), FEW, (4, 3), 2, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "sparse.log_softmax",
        lambda v, at, size, dim: gg.sparse.log_softmax(matrix(v, at, size), dim).values(),
        samples=[
            Sample(In(4), SORTED, (4, 3), 1),
            Sample(In(4), SORTED, (4, 3), 0),
            Sample(In(0), NONE, (4, 3), 1),
        ],
        reference=_log_softmax,
        errors=[Bad(In(5), FEW, (4, 3), 2, raises=IndexError, match="out of range")],
    ),
    OpSamples(
        "sparse by sparse",
        lambda v, w, at, size: gg.sparse.mm(matrix(v, at, size), matrix(w, at, size).t()).to_dense(),
        samples=[
            Sample(In(5), In(5), FEW, (4, 3)),
            Sample(In(130), In(130), HUB, (40, 30)),
            Sample(In(0), In(0), NONE, (4, 3)),
        ],
        reference=lambda v, w, at, size: dense(v, at, size) @ dense(w, at, size).T,
        tolerance={"float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1), "float32": (1e-4, 1e-4)},
        errors=[Bad(In(5), In(4), FEW, (4, 3), raises=RuntimeError, match="same nnz")],
    ),
    OpSamples(
        "sparse arithmetic",
        lambda v, w, x, at, size: (
            (matrix(v, at, size) * 2 - matrix(w, at, size).t().t() / 3) * x
            + matrix(v, at, size) * matrix(w, SORTED, size)
        ).to_dense(),
        samples=[Sample(In(4), In(4), In(4, 3), SORTED, (4, 3)), Sample(In(4), In(4), In(), SORTED, (4, 3))],
        reference=lambda v, w, x, at, size: (
            (dense(v, at, size) * 2 - dense(w, at, size) / 3) * x + dense(v, at, size) * dense(w, at, size)
        ),
        errors=[Bad(In(5), In(5), In(4, 3), FEW, (4, 3), raises=RuntimeError, match="same nnz")],
    ),
    OpSamples(
        "sparse_mask",
        lambda x, v, at, size: x.sparse_mask(matrix(v, at, size)).values(),
        samples=[
            Sample(In(4, 3), In(4, grad=False), SORTED, (4, 3)),
            Sample(In(4, 3), In(0, grad=False), NONE, (4, 3)),
        ],
        reference=lambda x, v, at, size: x[tuple(np.array(row, int) for row in at)],
        errors=[Bad(In(3, 3), In(4), SORTED, (4, 3), raises=RuntimeError, match="incompatible sizes")],
    ),
]
