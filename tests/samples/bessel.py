"""Samples of ops/bessel.py."""

import math

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample

WIDE = ("float32", "float64", "float16")
HALF = {"float16": (4e-3, 2e-3), "float32": (3e-6, 1e-6)}
THETA = (np.arange(400) + 0.5) * np.pi / 400


def bessel(order, scaled):
    """I_n(x) = 1/π ∫ exp(x cos θ) cos nθ dθ over [0, π], by the midpoint rule, which is exact to rounding here."""

    def reference(x):
        x = np.asarray(x, np.float64)[..., None]
        made = np.mean(np.exp(x * np.cos(THETA) - np.abs(x)) * np.cos(order * THETA), -1)
        return made if scaled else made * np.exp(np.abs(x[..., 0]))

    return reference


def hurwitz(x, q):
    """The first 4000 terms, and the integral of the others."""
    x, q = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(q, np.float64))
    k = np.arange(4000)
    w = q + 4000
    return (
        ((q[..., None] + k) ** -x[..., None]).sum(-1)
        + w ** (1 - x) / (x - 1)
        + 0.5 * w**-x
        + x / 12 * w ** (-x - 1)
    )


def polygamma(n, x):
    from math import factorial

    return (-1) ** (n + 1) * factorial(n) * hurwitz(np.full(np.shape(x), n + 1.0), x)


def mvlgamma(x, p):
    from math import lgamma, log, pi

    x = np.asarray(x, np.float64)
    return p * (p - 1) / 4 * log(pi) + sum(np.vectorize(lgamma, otypes=[float])(x - j / 2) for j in range(p))


AROUND = [
    Sample(In(3, 4, low=-7, high=7)),
    Sample(In(5, low=7, high=30)),
    Sample(In(low=-3, high=3)),
    Sample(In(0)),
]

OPS = [
    OpSamples(
        name,
        function,
        samples=samples,
        reference=bessel(order, scaled),
        dtypes=WIDE,
        tolerance=HALF,
        errors=[Bad([1.0], raises=TypeError, match="expected a Tensor")],
    )
    for name, function, samples, order, scaled in (
        ("i0e", gg.special.i0e, AROUND, 0, True),
        ("i1e", gg.special.i1e, AROUND, 1, True),
        (
            "i0",
            gg.special.i0,
            [Sample(In(3, 4, low=-7, high=7)), Sample(In(low=-3, high=3)), Sample(In(0))],
            0,
            False,
        ),
        (
            "i1",
            gg.special.i1,
            [Sample(In(3, 4, low=-7, high=7)), Sample(In(low=-3, high=3)), Sample(In(0))],
            1,
            False,
        ),
    )
]


def first_kind(order):
    """J_n(x) = 1/π ∫ cos(nθ - x sin θ) dθ over [0, π], by the midpoint rule, which is exact to rounding here."""
    return lambda x: np.mean(np.cos(order * THETA - np.asarray(x, np.float64)[..., None] * np.sin(THETA)), -1)


_erfc = np.vectorize(math.erfc, otypes=[float])

OPS += [
    OpSamples(
        name,
        function,
        samples=[
            Sample(In(3, 4, low=-7, high=7)),
            Sample(In(5, low=low, high=high)),
            Sample(In(low=-3, high=3)),
            Sample(In(values=[0.0, 8.0, -8.0, -1.0])),
            Sample(In(0)),
        ],
        reference=reference,
        dtypes=WIDE,
        tolerance=tolerance,
        errors=[Bad([1.0], raises=TypeError, match="expected a Tensor")],
    )
    for name, function, reference, low, high, tolerance in (
        ("bessel_j0", gg.special.bessel_j0, first_kind(0), 8, 60, {**HALF, "float32": (1e-5, 3e-6)}),
        ("bessel_j1", gg.special.bessel_j1, first_kind(1), -60, -8, {**HALF, "float32": (1e-5, 3e-6)}),
        ("log_ndtr", gg.special.log_ndtr, lambda x: np.log(0.5 * _erfc(-x / np.sqrt(2))), -30, -5, HALF),
    )
]
OPS += [
    OpSamples(
        "erfcx",
        gg.special.erfcx,
        samples=[
            Sample(In(3, 4, low=-1.5, high=4)),
            Sample(In(5, low=4, high=20)),
            Sample(In(low=0.1, high=3)),
            Sample(In(0)),
        ],
        reference=lambda x: np.exp(x * x) * _erfc(x),
        dtypes=WIDE,
        tolerance={"float16": (4e-3, 2e-3), "float32": (3e-6, 1e-6), "float64": (1e-12, 1e-12)},
        errors=[Bad([1.0], raises=TypeError, match="expected a Tensor")],
    ),
    OpSamples(
        "polygamma",
        gg.special.polygamma,
        samples=[Sample(n, In(3, 4, low=0.5, high=6)) for n in (1, 2, 3)]
        + [Sample(2, In(low=1, high=2)), Sample(2, In(0))],
        reference=polygamma,
        dtypes=("float32", "float64"),
        tolerance={"float32": (2e-5, 1e-5)},
        errors=[Bad(-1, In(3), raises=RuntimeError, match="negative n")],
    ),
    OpSamples(
        "zeta",
        gg.special.zeta,
        samples=[
            Sample(In(3, 4, low=1.5, high=6), In(4, low=0.5, high=6)),
            Sample(In(3, low=1.5, high=6), 1),
            Sample(In(0), In(0)),
        ],
        reference=hurwitz,
        dtypes=("float32", "float64"),
        tolerance={"float32": (2e-5, 1e-5)},
        errors=[Bad(2.0, 3.0, raises=TypeError, match="expected a Tensor")],
    ),
    OpSamples(
        "mvlgamma",
        gg.mvlgamma,
        samples=[Sample(In(3, 4, low=2, high=6), 3), Sample(In(low=2, high=3), 1), Sample(In(0), 2)],
        reference=mvlgamma,
        dtypes=("float32", "float64"),
        tolerance={"float32": (2e-5, 1e-5)},
        errors=[Bad(In(3), 0, raises=RuntimeError, match="greater than or equal to 1")],
    ),
]
