"""Samples of differences, numerical derivatives and integrals."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

LOOSE = {"float16": (1e-2, 1e-2), "bfloat16": (8e-2, 8e-2)}
STEPS = In(values=[0.0, 0.5, 2.0, 2.5, 4.0], grad=False)


def _diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    more = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, dim, **more)


def _gradient(x: Any, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    axis = dim if dim is None or isinstance(dim, int) else tuple(dim)
    steps = spacing if isinstance(spacing, (list, tuple)) else [spacing]
    made = np.gradient(x, *steps, axis=axis, edge_order=edge_order)
    return tuple(made) if isinstance(made, (list, tuple)) else made


def _trapezoid(y: Any, x: Any = None, dx: Any = None, dim: int = -1) -> Any:
    return np.trapezoid(y, x, 1.0 if dx is None else dx, dim)


def _cumulative_trapezoid(y: Any, x: Any = None, dx: Any = None, dim: int = -1) -> Any:
    y = np.moveaxis(y, dim, -1)
    widths = (1.0 if dx is None else dx) if x is None else np.diff(x)
    return np.moveaxis(np.cumsum((y[..., 1:] + y[..., :-1]) / 2 * widths, -1), -1, dim)


OPS = [
    OpSamples(
        "diff",
        gg.diff,
        samples=[
            Sample(In(5)),
            Sample(In(3, 4), 2, 0),
            Sample(In(2, 3, 4), dim=1),
            Sample(In(3, 4), 1, -1, In(3, 1), In(3, 2)),
            Sample(In(3), n=0),
            Sample(In(0)),
            Sample(In(2, 3), n=5),
        ],
        reference=_diff,
        dtypes=(*FLOATS, "int64", "uint8", "bool"),
        tolerance=LOOSE,
        errors=[
            Bad(In(), raises=RuntimeError, match="at least one-dimensional"),
            Bad(In(3), n=-1, raises=RuntimeError, match="non-negative"),
            Bad(In(3), dim=1, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "gradient",
        gg.gradient,
        samples=[
            Sample(In(5)),
            Sample(In(4, 5)),
            Sample(In(4, 5), dim=1, edge_order=2),
            Sample(In(3, 3), spacing=0.5, edge_order=2),
            Sample(In(5, 2), spacing=[STEPS], dim=0),
            Sample(In(5, 3), spacing=(2.0, 0.5), dim=(0, 1)),
            Sample(In(0, 3), dim=1),
        ],
        reference=_gradient,
        tolerance={"float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1)},
        errors=[
            Bad(In(1), raises=RuntimeError, match="at least 2"),
            Bad(In(3), edge_order=3, raises=RuntimeError, match="edge_order"),
            Bad(In(3), spacing=[1.0, 2.0], raises=RuntimeError, match="spacing"),
            Bad(In(3), spacing=[In(2)], raises=RuntimeError, match="coordinates"),
            Bad(In(3, 3), dim=(0, 0), raises=RuntimeError, match="twice"),
        ],
    ),
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[
                Sample(In(5)),
                Sample(In(3, 5), dx=0.25, dim=0),
                Sample(In(3, 5), In(5)),
                Sample(In(3, 5), In(3, 5)),
                Sample(In(2, 0)),
                Sample(In(2, 1)),
            ],
            reference=reference,
            tolerance=LOOSE,
            errors=[
                Bad(In(), raises=RuntimeError, match="at least one dimension"),
                Bad(In(3), In(2), raises=RuntimeError, match="one `x` value"),
                Bad(In(3), In(3), dx=1.0, raises=TypeError, match="not both"),
            ],
        )
        for name, reference in (("trapezoid", _trapezoid), ("cumulative_trapezoid", _cumulative_trapezoid))
    ],
]
