"""Samples of ops/softmax.py."""

import math

import numpy as np

import gradgpu as gg
from gradgpu.ops.softmax import softmin
from tests.samples import INTS, Bad, In, OpSamples, Sample

SAMPLES = [
    Sample(In(3, 5), dim=1),
    Sample(In(3, 5), 0),
    Sample(In(2, 3, 4), dim=-2),
    Sample(In(7), dim=-1),
    Sample(In(1, 1), dim=0),
    Sample(In(3, 40), dim=1),
    Sample(In(2, 300), dim=1),
    Sample(In(2, 1500), dim=1),
    Sample(In(2, 50, 3), dim=1),
    Sample(In(2, 5, 40), dim=1),
    Sample(In(), dim=0),
    Sample(In(), dim=-1),
    Sample(In(0, 4), dim=1),
    Sample(In(4, 0), dim=1),
]
EXTREME = [
    Sample(In(values=[[500.0, 499.0], [-500.0, -501.0]]), dim=1),
    Sample(In(values=[[-math.inf, 1.0, 0.0], [0.5, -math.inf, 2.0]], grad=False), dim=1),
    Sample(In(values=[[math.nan, 1.0], [2.0, 3.0]], grad=False), dim=1),
    Sample(In(values=[[math.nan, 1.0], [2.0, -math.inf]], grad=False), dim=0),
]
ERRORS = [
    Bad(In(3), dim=1, raises=IndexError, match="out of range"),
    Bad(In(3, 4), dim=-3, raises=IndexError, match="out of range"),
    Bad(In(3, dtype="int64"), dim=0, raises=RuntimeError, match="dtype=gradgpu.float32"),
    Bad([1.0], dim=0, raises=TypeError, match="expected a Tensor"),
]


def softmax(x, dim, dtype=None):
    x = np.asarray(x, np.float64)
    axis = dim if x.ndim else None
    if not x.size:
        return np.zeros(x.shape)
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x, dim, dtype=None):
    x = np.asarray(x, np.float64)
    axis = dim if x.ndim else None
    if not x.size:
        return np.zeros(x.shape)
    x = x - np.max(x, axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


OPS = [
    OpSamples("softmax", gg.softmax, samples=SAMPLES + EXTREME, reference=softmax, errors=ERRORS),
    OpSamples(
        "softmax",
        gg.softmax,
        samples=[Sample(In(3, 4), dim=1, dtype=gg.float64)],
        reference=softmax,
        dtypes=("float32", *INTS),
        same_dtype=False,
    ),
    OpSamples("log_softmax", gg.log_softmax, samples=SAMPLES + EXTREME, reference=log_softmax, errors=ERRORS),
    OpSamples(
        "log_softmax",
        gg.log_softmax,
        samples=[Sample(In(3, 4), dim=1, dtype=gg.float64)],
        reference=log_softmax,
        dtypes=("float32", *INTS),
        same_dtype=False,
    ),
    OpSamples(
        "softmin",
        softmin,
        samples=[*SAMPLES[:4], Sample(In(0, 3), dim=1)],
        reference=lambda x, dim: softmax(-x, dim),
        errors=ERRORS[:2],
    ),
]
