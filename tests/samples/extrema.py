"""Samples of ops/extrema.py."""

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, INTS, Bad, In, OpSamples, Sample
from tests.samples.reduce import SHAPES, over

NAN = float("nan")
FILLED = [s for s in SHAPES if 0 not in s.inputs()[0].shape] + [Sample(In(0, 3), dim=1)]
TIES = [
    Sample(In(values=[[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])),
    Sample(In(values=[[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]]), dim=1),
]
NANS = [Sample(In(values=[[1.0, NAN, 3.0], [NAN, 0.0, NAN]], grad=False), dim=1)]
INTEGERS = (*INTS, "bool")


def along(value, index):
    """A reference of max and min: one value of all, (values, indices) along a dimension."""

    def reference(x, dim=None, keepdim=False):
        if dim is None:
            return value(x)
        if x.ndim == 0:
            return x, np.int64(0)
        return value(x, axis=dim, keepdims=keepdim), index(x, axis=dim, keepdims=keepdim)

    return reference


def position(function):
    def reference(x, dim=None, keepdim=False):
        return function(x, axis=dim if x.ndim else None, keepdims=keepdim)

    return reference


OPS = [
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[s for s in FILLED if "dim" not in s.kwargs or s.kwargs["dim"] is not None],
            reference=lambda x, dim=(), keepdim=False, f=f: over(f)(x, dim, keepdim),
            errors=[
                Bad(In(3), dim=1, raises=IndexError, match="out of range"),
                Bad(In(0, 3), dim=0, raises=IndexError, match="non-zero size"),
                Bad(In(0), raises=RuntimeError, match="Specify the reduction dim"),
            ],
            ops=("tie_share",),
        )
        for name, f in (("amax", np.max), ("amin", np.min))
    ],
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[*TIES, *NANS, Sample(In(2, 9000), dim=1)],
            reference=lambda x, dim=(), keepdim=False, f=f: over(f)(x, dim, keepdim),
            finite_differences=False,
        )
        for name, f in (("amax", np.max), ("amin", np.min))
    ],
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=FILLED,
            reference=lambda x, dim=(), keepdim=False, f=f: over(f)(x, dim, keepdim),
            dtypes=INTEGERS,
        )
        for name, f in (("amax", np.max), ("amin", np.min))
    ],
    OpSamples(
        "aminmax",
        gg.aminmax,
        samples=[
            Sample(In(3, 4)),
            Sample(In(3, 4), dim=1, keepdim=True),
            Sample(In()),
            Sample(In(0, 3), dim=1),
        ],
        reference=lambda x, dim=None, keepdim=False: (
            x.min(axis=dim, keepdims=keepdim),
            x.max(axis=dim, keepdims=keepdim),
        ),
        errors=[Bad(In(3), dim=1, raises=IndexError, match="out of range")],
    ),
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[
                Sample(In(3, 4)),
                Sample(In(3, 4), 1),
                Sample(In(2, 3, 4), dim=0, keepdim=True),
                Sample(In(2, 3, 4), dim=-2),
                Sample(In(5), 0),
                Sample(In(5), dim=0, keepdim=True),
                Sample(In(2, 5000), dim=1),
                Sample(In(300, 4), dim=0),
                Sample(In()),
                Sample(In(), dim=0),
                Sample(In(0, 3), dim=1),
            ],
            reference=along(value, index),
            errors=[
                Bad(In(3), dim=1, raises=IndexError, match="out of range"),
                Bad(In(0, 3), dim=0, raises=IndexError, match="non-zero size"),
                Bad(In(0), raises=RuntimeError, match="Specify the reduction dim"),
                Bad(In(3), "rows", raises=TypeError, match="must be a Tensor or an int"),
                Bad([1.0], raises=TypeError, match="expected a Tensor"),
            ],
            same_dtype=False,
        )
        for name, value, index in (("max", np.max, np.argmax), ("min", np.min, np.argmin))
    ],
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[
                *NANS,
                Sample(In(3, 4, dtype="int64")),
                Sample(In(3, 4, dtype="uint8"), dim=1),
                Sample(In(3, 4, dtype="bool"), dim=0),
            ],
            reference=along(value, index),
            dtypes=("float32", "float64", "float16"),
            differentiable=False,
            same_dtype=False,
        )
        for name, value, index in (("max", np.max, np.argmax), ("min", np.min, np.argmin))
    ],
    *[
        OpSamples(
            name,
            getattr(gg, name),
            samples=[
                Sample(In(3, 4)),
                Sample(In(3, 4), keepdim=True),
                Sample(In(3, 4), dim=1),
                Sample(In(2, 3, 4), dim=-2, keepdim=True),
                Sample(In(values=[[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), dim=1),
                Sample(In()),
                Sample(In(), dim=0),
                Sample(In(0, 3), dim=1),
                Sample(In(40000)),
            ],
            reference=position(f),
            dtypes=(*FLOATS, *INTS),
            errors=[
                Bad(In(3), dim=1, raises=IndexError, match="out of range"),
                Bad(In(0, 3), dim=0, raises=IndexError, match="non-zero size"),
                Bad(In(0), raises=IndexError, match="reduction dim to be specified"),
                Bad(In(3, dtype="bool"), raises=RuntimeError, match="not implemented for bool"),
            ],
            differentiable=False,
            same_dtype=False,
        )
        for name, f in (("argmax", np.argmax), ("argmin", np.argmin))
    ],
]
