"""Samples of ops/moments.py."""

import math

import numpy as np

import gradgpu as gg
from tests.samples import INTS, Bad, In, OpSamples, Sample
from tests.samples.reduce import LONG, SHAPES, SUMS, axes

DIM_ERRORS = [
    Bad(In(3), dim=1, raises=IndexError, match="out of range"),
    Bad(In(3, 4), dim=(1, -1), raises=RuntimeError, match="multiple times"),
    Bad([1.0, 2.0], raises=TypeError, match="expected a Tensor"),
]
WIDE = {"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2)}
SPREAD = [
    Sample(In(3, 4)),
    Sample(In(3, 4), dim=0),
    Sample(In(3, 4), 1, False),
    Sample(In(3, 4), dim=-1, keepdim=True, correction=0),
    Sample(In(2, 3, 4), dim=(0, 2), correction=2),
    Sample(In(2, 3, 4), False),
    Sample(In(6), unbiased=True),
    Sample(In(0, 3), dim=1),
    Sample(In(70, 3), dim=0),
    Sample(In(3, 700), dim=1),
]
SPREAD_LONG = [Sample(In(2, 9000), dim=1), Sample(In(700, 5), dim=0)]
SPREAD_ERRORS = [
    *DIM_ERRORS,
    Bad(In(3), unbiased=True, correction=1, raises=TypeError, match="not both"),
    Bad(In(3, dtype="int64"), raises=RuntimeError, match=r"x\.float\(\)"),
]


def mean(x, dim=None, keepdim=False, dtype=None):
    total = np.sum(x, axis=axes(dim if x.ndim else None), keepdims=keepdim)
    n = x.size // max(total.size, 1)
    return total * (1 / n if n else math.nan)


def correction_of(dim, unbiased, correction):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return axes(dim), int(unbiased) if unbiased is not None else 1 if correction is None else correction


def variance(x, dim=None, unbiased=None, keepdim=False, correction=None):
    axis, ddof = correction_of(dim, unbiased, correction)
    return np.var(x, axis=axis, ddof=ddof, keepdims=keepdim)


def with_mean(f):
    def reference(x, dim=None, unbiased=None, keepdim=False, correction=None):
        axis, ddof = correction_of(dim, unbiased, correction)
        return f(np.var(x, axis=axis, ddof=ddof, keepdims=keepdim)), np.mean(x, axis=axis, keepdims=keepdim)

    return reference


def product(x, dim=None, keepdim=False, dtype=None):
    wide = np.int64 if x.dtype.kind in "biu" and dtype is None else np.float64
    return np.prod(x, axis=dim if x.ndim else None, keepdims=keepdim, dtype=wide)


def logsumexp(x, dim, keepdim=False):
    x = np.asarray(x, np.float64)
    return np.log(np.sum(np.exp(x), axis=axes(dim) if x.ndim else None, keepdims=keepdim))


def norm(x, p="fro", dim=None, keepdim=False, dtype=None):
    axis, size = axes(dim if x.ndim else None), np.abs(x)
    p = 2 if p in (None, "fro") else p
    if p in (math.inf, -math.inf):
        return (np.max if p > 0 else np.min)(size, axis=axis, keepdims=keepdim)
    if p == 0:
        return np.sum(size != 0, axis=axis, keepdims=keepdim).astype(np.float64)
    return np.sum(size**p, axis=axis, keepdims=keepdim) ** (1 / p)


OPS = [
    OpSamples(
        "mean",
        gg.mean,
        samples=SHAPES + LONG,
        reference=mean,
        errors=[*DIM_ERRORS, Bad(In(3, dtype="int64"), raises=RuntimeError, match=r"x\.float\(\)")],
        tolerance=SUMS,
    ),
    OpSamples(
        "mean",
        gg.mean,
        samples=[
            Sample(In(3, 4, dtype="int32"), dim=0, dtype=gg.float64),
            Sample(In(3, 4), dtype=gg.float64),
        ],
        reference=mean,
        same_dtype=False,
    ),
    OpSamples(
        "var_mean",
        gg.var_mean,
        samples=SPREAD + SPREAD_LONG,
        reference=with_mean(lambda v: v),
        errors=SPREAD_ERRORS,
        tolerance=WIDE,
    ),
    OpSamples(
        "std_mean",
        gg.std_mean,
        samples=SPREAD + SPREAD_LONG[:1],  # equal rows have a deviation of 0, where there is no gradient
        reference=with_mean(np.sqrt),
        errors=SPREAD_ERRORS,
        tolerance=WIDE,
    ),
    OpSamples("var", gg.var, samples=SPREAD, reference=variance, errors=SPREAD_ERRORS, tolerance=WIDE),
    OpSamples(
        "std",
        gg.std,
        samples=SPREAD,
        reference=lambda x, *a, **k: np.sqrt(variance(x, *a, **k)),
        errors=SPREAD_ERRORS,
        tolerance=WIDE,
    ),
    OpSamples(
        "prod",
        gg.prod,
        samples=[
            Sample(In(3, 4)),
            Sample(In(3, 4), dim=0),
            Sample(In(2, 3, 4), dim=-2, keepdim=True),
            Sample(In(values=[[0.0, 2.0, 3.0], [0.0, 0.0, 2.0], [1.0, 2.0, 3.0]]), dim=1),
            Sample(In(values=[3.0, 0.0, 2.0])),
            Sample(In()),
            Sample(In(), dim=0),
            Sample(In(0, 3), dim=0),
            Sample(In(0)),
        ],
        reference=product,
        errors=[
            Bad(In(3), dim=1, raises=IndexError, match="out of range"),
            Bad(In(3, 4), dim=(0, 1), raises=TypeError, match="must be an int"),
        ],
        tolerance=WIDE,
        ops=("prod_others", "off_diagonal"),
    ),
    OpSamples(
        "prod",
        gg.prod,
        samples=[Sample(In(3, 4)), Sample(In(3, 4), dim=1, keepdim=True), Sample(In(3, 4), dtype=gg.float64)],
        reference=product,
        dtypes=(*INTS, "bool"),
        same_dtype=False,
    ),
    OpSamples(
        "logsumexp",
        gg.logsumexp,
        samples=[
            Sample(In(3, 4), 0),
            Sample(In(3, 4), dim=-1, keepdim=True),
            Sample(In(2, 3, 4), dim=(0, 2)),
            Sample(In(3, 4, dtype="int64"), dim=1),
            Sample(In(), dim=0),
            Sample(In(70, 3), dim=0),
            Sample(In(2, 9000), dim=1),
            Sample(In(0, 3), dim=1),
        ],
        reference=logsumexp,
        errors=[Bad(In(3), 1, raises=IndexError, match="out of range")],
        tolerance=WIDE,
        same_dtype=False,
    ),
    OpSamples(
        "logsumexp",
        gg.logsumexp,
        samples=[
            Sample(In(values=[[600.0, 600.0], [-600.0, -601.0]]), dim=1),
            Sample(In(values=[[-math.inf, 1.0], [-math.inf, -math.inf]], grad=False), dim=1),
            Sample(In(values=[[math.inf, 1.0], [math.nan, 2.0]], grad=False), dim=1),
        ],
        reference=lambda x, dim: np.logaddexp.reduce(x, axis=dim),
        tolerance={"float16": (2e-3, 2e-3), "bfloat16": (2e-2, 2e-2)},
    ),
    OpSamples(
        "norm",
        gg.norm,
        samples=[
            Sample(In(3, 4)),
            Sample(In(3, 4), 2, 0),
            Sample(In(2, 3, 4), dim=(0, 2), keepdim=True),
            Sample(In(3, 4), p=1, dim=1),
            Sample(In(3, 4, low=0.2, high=2), p=3, dim=-1),
            Sample(In(3, 4), p=math.inf, dim=1),
            Sample(In(3, 4), p=-math.inf),
            Sample(In()),
            Sample(In(2, 9000), dim=1),
            Sample(In(0)),
        ],
        reference=norm,
        errors=[
            Bad(In(3), dim=1, raises=IndexError, match="out of range"),
            Bad(In(3, dtype="int64"), raises=RuntimeError, match="floating-point"),
            Bad(In(3, 4), "two", raises=RuntimeError, match="linalg"),
        ],
        tolerance=WIDE,
        ops=("norm2",),
    ),
    OpSamples(
        "norm",
        gg.norm,
        samples=[Sample(In(values=[[0.0, 2.0], [0.0, 0.0]]), p=0, dim=1), Sample(In(values=[0.0, 0.0]))],
        reference=norm,
        finite_differences=False,
    ),
]
