"""Samples of distances between rows."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample

MM, NEVER = "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"
SAME = In(values=[[0.5, 1.0], [2.0, -1.0]])


def _cdist(a: Any, b: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    difference = np.abs(a[..., :, None, :] - b[..., None, :, :])
    if p == 0:
        return np.sum(difference != 0, -1).astype(a.dtype)
    if p == np.inf:
        return np.max(difference, -1)
    return np.sum(difference**p, -1) ** (1 / p)


def _pdist(x: Any, p: float = 2.0) -> Any:
    return _cdist(x, x, p)[np.triu_indices(len(x), 1)]


OPS = [
    OpSamples(
        "cdist",
        gg.cdist,
        samples=[
            Sample(In(3, 4), In(5, 4)),
            Sample(In(3, 4), In(5, 4), 2.0, MM),
            Sample(In(2, 3, 4), In(5, 4), compute_mode=MM),
            Sample(In(2, 1, 3, 4), In(3, 2, 4), 2, MM),
            Sample(In(30, 3), In(2, 3)),
            Sample(In(30, 3), In(2, 3), 2.0, NEVER),
            Sample(In(3, 4), In(5, 4), 1),
            Sample(In(2, 3, 4), In(2, 2, 4), 3.0),
            Sample(In(3, 4), In(5, 4), float("inf")),
            Sample(In(3, 4, grad=False), In(5, 4, grad=False), 0.0),
            Sample(In(0, 4), In(5, 4)),
            Sample(In(3, 4), In(0, 4), 2.0, MM),
        ],
        reference=_cdist,
        tolerance={"float32": (1e-4, 1e-4), "float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2)},
        layouts=False,  # expanded inputs have distances of 0
        errors=[
            Bad(In(4), In(5, 4), raises=RuntimeError, match="at least 2D"),
            Bad(In(3, 4), In(5, 3), raises=RuntimeError, match="number of columns"),
            Bad(In(3, 4), In(5, 4), -1.0, raises=RuntimeError, match="non-negative"),
            Bad(In(3, 4), In(5, 4, dtype="float64"), raises=RuntimeError, match="same dtype"),
            Bad(In(3, 4), In(5, 4), 2.0, "mm", raises=ValueError, match="compute_mode"),
            Bad(In(3, 4, dtype="int64"), In(5, 4, dtype="int64"), raises=RuntimeError, match="floating"),
        ],
        ops=("euclidean_distances",),
    ),
    OpSamples(
        "pdist",
        gg.pdist,
        samples=[
            Sample(In(5, 3)),
            Sample(In(5, 3), 1.0),
            Sample(In(5, 3), float("inf")),
            Sample(In(5, 3), 3.0),
            Sample(In(3, 7)),
            Sample(In(3, 7), 1.0),
            Sample(In(3, 7), float("inf")),
            Sample(In(1, 4)),
            Sample(In(0, 4)),
        ],
        reference=_pdist,
        tolerance={"float32": (1e-4, 1e-4), "float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2)},
        layouts=False,
        errors=[
            Bad(In(4), raises=RuntimeError, match="2D"),
            Bad(In(3, 4), -1.0, raises=RuntimeError, match="non-negative"),
        ],
    ),
    OpSamples(
        "cdist_zero",
        lambda x: gg.cdist(x, x.detach(), 2.0, MM),
        samples=[Sample(SAME), Sample(In(0, 2))],
        reference=lambda x: _cdist(x, x),
        finite_differences=False,  # the subgradient at 0 is 0
        second_order=False,
        layouts=False,
        tolerance={"float32": (1e-3, 2e-3), "float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2)},
        errors=[Bad(In(3), raises=RuntimeError, match="at least 2D")],
    ),
]
