"""Samples of ops/pool.py. The references walk window by window."""

import numpy as np

import gradgpu as gg
from gradgpu.ops.pool import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d
from tests.samples import Bad, In, OpSamples, Sample

SUMS = {"float16": (5e-3, 5e-3), "bfloat16": (3e-2, 3e-2)}


def two(value):
    return (value,) * 2 if isinstance(value, int) else tuple(value)


def windows(size, kernel, stride, padding, dilation, ceil_mode):
    """For each output along one dimension: the positions of its window, those in padding too."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return [[o * stride - padding + i * dilation for i in range(kernel)] for o in range(count)]


def pooled(x, rows, columns, function):
    """function(values inside, positions inside, row positions, column positions) for each pair of windows."""
    h, w = x.shape[-2:]
    cells = []
    for r in rows:
        for c in columns:
            inside = [(a, b) for a in r for b in c if 0 <= a < h and 0 <= b < w]
            values = np.stack([x[..., a, b] for a, b in inside], -1)
            cells.append(function(values, inside, r, c))
    return [np.stack(part, -1).reshape(*x.shape[:-2], len(rows), len(columns)) for part in zip(*cells)]


def maximum(values, inside, rows, columns, width):
    best = values.argmax(-1)
    return values.max(-1), np.array([a * width + b for a, b in inside])[best]


def max_reference(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    kernel, padding, dilation = two(kernel_size), two(padding), two(dilation)
    stride = kernel if stride is None else two(stride)
    rows, columns = (
        windows(*each, ceil_mode) for each in zip(x.shape[-2:], kernel, stride, padding, dilation)
    )
    y, indices = pooled(x, rows, columns, lambda *cell: maximum(*cell, x.shape[-1]))
    return (y, indices) if return_indices else y


def avg_reference(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    kernel, padding = two(kernel_size), two(padding)
    stride = kernel if stride is None else two(stride)
    rows, columns = (windows(*each, 1, ceil_mode) for each in zip(x.shape[-2:], kernel, stride, padding))

    def mean(values, inside, r, c):
        counted = [[a for a in each if a < n + p] for each, n, p in zip((r, c), x.shape[-2:], padding)]
        whole = len(counted[0]) * len(counted[1])
        return (values.sum(-1) / (divisor_override or (whole if count_include_pad else len(inside))),)

    return pooled(x, rows, columns, mean)[0]


def adaptive(function):
    def reference(x, output_size, return_indices=False):
        out = [
            n if o is None else o
            for n, o in zip(x.shape[-2:], two(output_size) if output_size else (None, None))
        ]
        spans = [
            [list(range(i * n // o, -(-(i + 1) * n // o))) for i in range(o)]
            for n, o in zip(x.shape[-2:], out)
        ]
        made = pooled(x, *spans, lambda *cell: function(*cell, x.shape[-1]))
        return tuple(made) if return_indices else made[0]

    return reference


def one_row(reference):
    """A 1-D reference from a 2-D one."""

    def row(x, size, *args, **kwargs):
        for name in ("stride", "padding", "dilation"):
            if name in kwargs:
                kwargs[name] = ({"padding": 0}.get(name, 1), kwargs[name])
        made = reference(x[..., None, :], (1, size), *args, **kwargs)
        return tuple(m[..., 0, :] for m in made) if isinstance(made, tuple) else made[..., 0, :]

    return row


def distinct(*shape):
    """Values far enough apart for differences: a maximum has no derivative where two are equal."""
    n = int(np.prod(shape))
    return In(values=((np.arange(n) * 7919 % n) / max(n, 1) * 2 - 1).reshape(shape))


OPS = [
    OpSamples(
        "max_pool2d",
        gg.max_pool2d,
        samples=[
            Sample(distinct(2, 2, 4, 6), 2),
            Sample(distinct(2, 5, 7), 3, stride=2, padding=1),
            Sample(distinct(1, 2, 6, 5), (3, 2), stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
            Sample(distinct(1, 1, 5, 6), 3, stride=2, ceil_mode=True),
            Sample(distinct(1, 1, 7, 7), 2, stride=3, padding=1, ceil_mode=True),
            Sample(distinct(1, 1, 5, 5), 5),
            Sample(distinct(2, 1, 5, 7), 3, stride=1, padding=1, return_indices=True),
            Sample(In(0, 2, 4, 4), 2),
            Sample(In(values=np.ones((1, 1, 4, 4)), grad=False), 2, return_indices=True),
        ],
        reference=max_reference,
        ops=["max_pool2d_backward", "max_pool2d_gather", "max_pool2d_indices"],
        errors=[
            Bad(In(4, 4), 2, raises=RuntimeError, match="Expected 3-D or 4-D"),
            Bad(In(1, 1, 4, 4), 2, padding=2, raises=RuntimeError, match="pad should be at most half"),
            Bad(In(1, 1, 2, 2), 3, raises=RuntimeError, match="too small"),
            Bad(In(1, 1, 4, 4), 0, raises=RuntimeError, match="kernel_size must be at least 1"),
            Bad(In(1, 1, 4, 4, dtype="int64"), 2, raises=RuntimeError, match="not implemented for"),
        ],
    ),
    OpSamples(
        "max_pool1d",
        gg.max_pool1d,
        samples=[
            Sample(distinct(2, 3, 8), 2),
            Sample(In(0, 3, 8), 2),
            Sample(distinct(2, 9), 3, stride=2, padding=1, return_indices=True),
        ],
        reference=one_row(max_reference),
        errors=[Bad(In(4), 2, raises=RuntimeError, match="Expected 2-D or 3-D")],
    ),
    OpSamples(
        "avg_pool2d",
        avg_pool2d,
        samples=[
            Sample(In(2, 2, 4, 6), 2),
            Sample(In(2, 5, 7), 3, stride=2, padding=1),
            Sample(In(1, 1, 5, 7), 3, stride=2, padding=1, count_include_pad=False),
            Sample(In(1, 1, 6, 6), (3, 2), stride=2, ceil_mode=True),
            Sample(In(1, 1, 7, 7), 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
            Sample(In(1, 1, 5, 5), 2, stride=1, divisor_override=3),
            Sample(In(0, 2, 4, 4), 2),
        ],
        reference=avg_reference,
        tolerance=SUMS,
        ops=["avg_pool2d_backward"],
        errors=[
            Bad(In(4, 4), 2, raises=RuntimeError, match="Expected 3-D or 4-D"),
            Bad(In(1, 4, 4), 2, padding=2, raises=RuntimeError, match="pad should be at most half"),
            Bad(In(1, 4, 4), 2, divisor_override=0, raises=RuntimeError, match="divisor must be not zero"),
        ],
    ),
    OpSamples(
        "avg_pool1d",
        gg.avg_pool1d,
        samples=[Sample(In(2, 3, 8), 2), Sample(In(2, 9), 3, stride=2, padding=1), Sample(In(0, 3, 8), 2)],
        reference=one_row(avg_reference),
        tolerance=SUMS,
        errors=[Bad(In(4), 2, raises=RuntimeError, match="Expected 2-D or 3-D")],
    ),
    OpSamples(
        "adaptive_avg_pool2d",
        adaptive_avg_pool2d,
        samples=[
            Sample(In(2, 2, 4, 6), 2),
            Sample(In(2, 2, 5, 4), 1),
            Sample(In(2, 5, 7), (3, 2)),
            Sample(In(1, 5, 4), (None, 3)),
            Sample(In(0, 2, 4, 4), 2),
        ],
        reference=adaptive(lambda values, *rest: (values.mean(-1),)),
        tolerance=SUMS,
        errors=[
            Bad(In(4, 4), 2, raises=RuntimeError, match="Expected 3-D or 4-D"),
            Bad(In(1, 4, 4), 0, raises=RuntimeError, match="output_size must be 2 positive sizes"),
        ],
    ),
    OpSamples(
        "adaptive_avg_pool1d",
        gg.adaptive_avg_pool1d,
        samples=[Sample(In(2, 8), 2), Sample(In(2, 2, 7), 3), Sample(In(0, 2, 6), 3)],
        reference=lambda x, o: adaptive(lambda values, *rest: (values.mean(-1),))(x[..., None, :], (1, o))[
            ..., 0, :
        ],
        tolerance=SUMS,
        errors=[Bad(In(4), 2, raises=RuntimeError, match="Expected 2-D or 3-D")],
    ),
    OpSamples(
        "adaptive_max_pool1d",
        gg.adaptive_max_pool1d,
        samples=[
            Sample(distinct(2, 8), 2),
            Sample(distinct(2, 2, 7), 3, return_indices=True),
            Sample(In(0, 2, 8), 2),
        ],
        reference=one_row(adaptive(maximum)),
        errors=[Bad(In(4), 2, raises=RuntimeError, match="Expected 2-D or 3-D")],
    ),
    OpSamples(
        "adaptive_max_pool2d",
        adaptive_max_pool2d,
        samples=[
            Sample(distinct(2, 4, 6), 2),
            Sample(distinct(2, 5, 7), (3, 2), return_indices=True),
            Sample(distinct(1, 2, 5, 4), 1),
            Sample(In(0, 2, 4, 4), 2),
        ],
        reference=adaptive(maximum),
        errors=[Bad(In(4, 4), 2, raises=RuntimeError, match="Expected 3-D or 4-D")],
    ),
]
