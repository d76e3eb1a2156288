"""Samples of ops/reduce.py."""

import numpy as np

import gradgpu as gg
from gradgpu.ops.reduce import sum_to_size
from tests.samples import FLOATS, INTS, Bad, In, OpSamples, Sample

SUMS = {"float16": (5e-3, 5e-3), "bfloat16": (3e-2, 3e-2)}
EVERY = (*FLOATS, *INTS, "bool")


def axes(dim):
    """numpy's axis for PyTorch's dim: () means all dimensions."""
    return tuple(dim) or None if isinstance(dim, (tuple, list)) else dim


def over(function, **more):
    """A reference of arguments (x, dim, keepdim) for a numpy reduction."""

    def reference(x, dim=None, keepdim=False):
        return function(x, axis=axes(dim if x.ndim else None), keepdims=keepdim, **more)

    return reference


def summed(x, dim=None, keepdim=False, dtype=None):
    wide = np.int64 if x.dtype.kind in "biu" and dtype is None else np.float64
    return np.sum(x, axis=axes(dim if x.ndim else None), keepdims=keepdim, dtype=wide)


def broadcast_back(x, *size):
    lead = x.ndim - len(size)
    y = x.sum(tuple(range(lead)))
    return y.sum(tuple(i for i, n in enumerate(size) if n == 1), keepdims=True)


SHAPES = [
    Sample(In(3, 4)),
    Sample(In(3, 4), dim=0),
    Sample(In(3, 4), dim=-1, keepdim=True),
    Sample(In(2, 3, 4), dim=(0, 2)),
    Sample(In(2, 3, 4), dim=[1, -1], keepdim=True),
    Sample(In(2, 3, 4), dim=()),
    Sample(In(2, 3, 2, 2), dim=(1, 3)),
    Sample(In(70, 3), dim=0),
    Sample(In(3, 70), dim=1),
    Sample(In(9, 5, 33), dim=1),
    Sample(In()),
    Sample(In(), dim=0),
    Sample(In(), dim=-1, keepdim=True),
    Sample(In(1, 1), dim=0),
    Sample(In(0, 3), dim=0),
    Sample(In(0, 3), dim=1),
    Sample(In(0)),
]
LONG = [Sample(In(2, 9000), dim=1), Sample(In(700, 5), dim=0), Sample(In(20000))]
DIM_ERRORS = [
    Bad(In(3), dim=1, raises=IndexError, match="out of range"),
    Bad(In(3, 4), dim=(0, -3), raises=IndexError, match="out of range"),
    Bad(In(3, 4), dim=(1, -1), raises=RuntimeError, match="multiple times"),
    Bad(In(3), dim="rows", raises=TypeError, match="int or a tuple of ints"),
    Bad([1.0, 2.0], raises=TypeError, match="expected a Tensor"),
]
NAN = float("nan")

OPS = [
    OpSamples("sum", gg.sum, samples=SHAPES + LONG, reference=summed, errors=DIM_ERRORS, tolerance=SUMS),
    OpSamples("sum", gg.sum, samples=SHAPES, reference=summed, dtypes=(*INTS, "bool"), differentiable=False),
    OpSamples(
        "sum",
        gg.sum,
        samples=[
            Sample(In(3, 4), dim=0, dtype=gg.float64),
            Sample(In(3, 4, dtype="int32"), dtype=gg.float64),
        ],
        reference=summed,
        same_dtype=False,
    ),
    OpSamples(
        "nansum",
        gg.nansum,
        samples=[
            Sample(In(values=[[1.0, NAN, 2.0], [NAN, NAN, 3.0]]), dim=1),
            Sample(In(3, 4)),
            Sample(In(2, 3, dtype="int32"), dim=0, keepdim=True),
            Sample(In()),
            Sample(In(0, 3), dim=0),
        ],
        reference=over(np.nansum),
        errors=DIM_ERRORS[:1],
        finite_differences=False,
        tolerance=SUMS,
    ),
    OpSamples(
        "sum_to_size",
        sum_to_size,
        samples=[
            Sample(In(3, 4), 3, 4),
            Sample(In(3, 4), 4),
            Sample(In(3, 4), 3, 1),
            Sample(In(2, 3, 4), 3, 1),
            Sample(In(2, 3, 4), 1, 1, 1),
            Sample(In(0, 3), 3),
            Sample(In()),
        ],
        reference=broadcast_back,
        errors=[Bad(In(3, 4), 3, raises=RuntimeError, match="not expandable")],
        tolerance=SUMS,
    ),
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[*SHAPES, Sample(In(values=[[0, 1, 1], [1, 1, 1], [0, 0, 0]]), dim=1)],
            reference=lambda x, dim=None, keepdim=False, f=f: over(f)(x, dim, keepdim).astype(
                np.uint8 if x.dtype == np.uint8 else bool
            ),
            dtypes=EVERY,
            errors=DIM_ERRORS,
            differentiable=False,
            same_dtype=False,
        )
        for name, f in (("any", np.any), ("all", np.all))
    ],
    OpSamples(
        "count_nonzero",
        gg.count_nonzero,
        samples=[
            Sample(In(3, 4, dtype="int32")),
            Sample(In(3, 4, dtype="bool"), dim=0),
            Sample(In(2, 3, 4, dtype="uint8"), dim=(0, -1)),
            Sample(In(values=[[0.0, 2.0, NAN], [0.0, 0.0, 1.0]]), dim=1),
            Sample(In(0, 3), dim=0),
            Sample(In(5000)),
        ],
        reference=lambda x, dim=None: np.count_nonzero(x, axis=axes(dim)),
        errors=[Bad(In(3), dim=1, raises=IndexError, match="out of range")],
        differentiable=False,
        same_dtype=False,
    ),
]
