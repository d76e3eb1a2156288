"""Samples of random numbers and dropout. Every call is seeded alike, so devices must agree bit for bit (test_random.py)."""

from __future__ import annotations

from typing import Any

import gradgpu as gg
from gradgpu.ops.random import alpha_dropout, dropout, feature_dropout
from tests.samples import FLOATS, Bad, In, OpSamples, Sample


def _like(function: Any) -> Any:
    """A factory called with the dtype and device of its first tensor."""

    def made(x: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, dtype=x.dtype, device=x.device, **kwargs)

    return made


def _in_place(name: str) -> Any:
    def changed(x: Any, *args: Any) -> Any:
        return getattr(x.clone(), name)(*args)

    return changed


RANDOM: dict[str, Any] = {"reference": None, "differentiable": False, "layouts": False}

OPS = [
    *[
        OpSamples(
            name,
            _like(getattr(gg, name)),
            samples=[Sample(In(), 3, 5), Sample(In(), (7,)), Sample(In(), 0, 2), Sample(In(), ())],
            errors=[
                Bad(In(), -1, raises=RuntimeError, match="negative dimension"),
                Bad(In(), 1.5, raises=TypeError, match="integers"),
            ],
            **RANDOM,
        )
        for name in ("rand", "randn")
    ],
    OpSamples(
        "randint",
        _like(gg.randint),
        samples=[
            Sample(In(), 10, (3, 5)),
            Sample(In(), 3, 7, (9,)),
            Sample(In(), 5, (0,)),
            Sample(In(), 2, ()),
        ],
        dtypes=("int64", "int32", "uint8", "float32"),
        errors=[
            Bad(In(), 3, 3, (2,), raises=RuntimeError, match="less than"),
            Bad(In(), 3, 2, raises=TypeError, match="size must be a tuple"),
            Bad(In(), 0, 1 << 64, (2,), raises=RuntimeError, match="int64"),
        ],
        **RANDOM,
    ),
    OpSamples(
        "randperm",
        _like(gg.randperm),
        samples=[Sample(In(), 7), Sample(In(), 0), Sample(In(), 2000)],
        dtypes=("int64", "int32"),
        errors=[Bad(In(), -1, raises=RuntimeError, match="non-negative")],
        **RANDOM,
    ),
    OpSamples(
        "like",
        lambda x: (gg.rand_like(x), gg.randn_like(x), gg.randint_like(x, 2, 5)),
        samples=[Sample(In(2, 3)), Sample(In()), Sample(In(0))],
        errors=[Bad(In(2, dtype="int64"), raises=RuntimeError, match="floating-point")],
        **RANDOM,
    ),
    OpSamples(
        "normal",
        gg.normal,
        samples=[
            Sample(In(2, 3), 2.0),
            Sample(1.0, In(3, low=0.1, high=1)),
            Sample(In(2, 1), In(3, low=0.1, high=1)),
            Sample(In(), 1.0),
        ],
        errors=[
            Bad(In(2), -1.0, raises=RuntimeError, match="std >= 0"),
            Bad(0.0, 1.0, raises=TypeError, match="size"),
        ],
        **RANDOM,
    ),
    OpSamples(
        "bernoulli",
        gg.bernoulli,
        samples=[
            Sample(In(4, 5, low=0, high=1)),
            Sample(In(9), 0.3),
            Sample(In(low=0, high=1)),
            Sample(In(0)),
        ],
        errors=[
            Bad(In(2, dtype="int64"), raises=RuntimeError, match="floating-point"),
            Bad(In(2), 1.5, raises=RuntimeError, match=r"p to be in \[0, 1\]"),
        ],
        **RANDOM,
    ),
    OpSamples(
        "multinomial",
        gg.multinomial,
        samples=[
            Sample(In(6, low=0.1, high=1), 20, True),
            Sample(In(3, 6, low=0.1, high=1), 4),
            Sample(In(3, 6, low=0.1, high=1), 6, True),
            Sample(In(0, 6), 2),
        ],
        errors=[
            Bad(In(values=[0.0, 1.0]), 2, raises=RuntimeError, match="without replacement"),
            Bad(In(values=[0.0, 0.0]), 1, raises=RuntimeError, match="sum of probabilities"),
            Bad(In(values=[-1.0, 2.0]), 1, raises=RuntimeError, match="< 0"),
            Bad(In(1, 1, 1), 1, raises=RuntimeError, match="1 or 2 dim"),
            Bad(In(2), 0, raises=RuntimeError, match="n_sample"),
        ],
        **RANDOM,
    ),
    *[
        OpSamples(
            name,
            _in_place(name),
            samples=[Sample(In(3, 5), *arguments), Sample(In(0)), Sample(In())],
            dtypes=(*FLOATS, "int64") if name in ("random_", "bernoulli_") else FLOATS,
            errors=[Bad(In(3), *wrong, raises=RuntimeError, match=message)],
            **RANDOM,
        )
        for name, arguments, wrong, message in (
            ("uniform_", (-2.0, 3.0), (1.0, 0.0), "from=1.0 > to=0.0"),
            ("normal_", (1.0, 2.0), (0.0, -1.0), "std >= 0"),
            ("exponential_", (2.0,), (0.0,), "lambda > 0"),
            ("bernoulli_", (0.3,), (2.0,), r"p to be in \[0, 1\]"),
            ("random_", (2, 9), (2, 2), "less than"),
        )
    ],
    *[
        OpSamples(
            name,
            function,
            samples=[
                Sample(In(4, 5, 2), 0.3, True),
                Sample(In(3, 3), 0.5, False),
                Sample(In(2, 3), 1.0, True),
                Sample(In(0, 2), 0.5, True),
            ],
            reference=None,
            layouts=False,
            errors=[Bad(In(2, 2), 1.5, True, raises=ValueError, match="between 0 and 1")],
        )
        for name, function in (
            ("dropout", dropout),
            ("feature_dropout", feature_dropout),
            ("alpha_dropout", alpha_dropout),
        )
    ],
]
