"""Samples of ops/conv.py. The references are loops over taps in float64."""

import itertools

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample

SUMS = {"float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2), "float32": (1e-4, 1e-5)}


def several(value, dims):
    return (value,) * dims if isinstance(value, int) else tuple(value)


def convolution(dims):
    def reference(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if x.ndim == dims + 1:
            return reference(x[None], weight, bias, stride, padding, dilation, groups)[0]
        kernel = weight.shape[2:]
        stride, dilation = several(stride, dims), several(dilation, dims)
        if padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, kernel)]
            sides = [(t // 2, t - t // 2) for t in total]
        else:
            sides = [(p, p) for p in several(0 if padding == "valid" else padding, dims)]
        x = np.pad(x, [(0, 0), (0, 0), *sides])
        out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
        y = np.zeros((x.shape[0], weight.shape[0], *out))
        channels, outputs = weight.shape[1], weight.shape[0] // groups
        for g, tap in itertools.product(range(groups), itertools.product(*map(range, kernel))):
            at = tuple(
                slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, out, stride)
            )
            patch = x[(slice(None), slice(g * channels, (g + 1) * channels), *at)]
            w = weight[(slice(g * outputs, (g + 1) * outputs), slice(None), *tap)]
            y[:, g * outputs : (g + 1) * outputs] += np.einsum("nc...,oc->no...", patch, w)
        return y if bias is None else y + bias.reshape(-1, *(1,) * dims)

    return reference


def transposed(dims):
    def reference(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        if x.ndim == dims + 1:
            return reference(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
        kernel = weight.shape[2:]
        stride, padding, extra, dilation = (
            several(v, dims) for v in (stride, padding, output_padding, dilation)
        )
        channels, outputs = weight.shape[0] // groups, weight.shape[1]
        full = [
            (n - 1) * s + d * (k - 1) + e + 1
            for n, s, d, k, e in zip(x.shape[2:], stride, dilation, kernel, extra)
        ]
        y = np.zeros((x.shape[0], outputs * groups, *full))
        for g, tap in itertools.product(range(groups), itertools.product(*map(range, kernel))):
            at = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilation, x.shape[2:], stride)
            )
            w = weight[(slice(g * channels, (g + 1) * channels), slice(None), *tap)]
            y[(slice(None), slice(g * outputs, (g + 1) * outputs), *at)] += np.einsum(
                "nc...,co->no...", x[:, g * channels : (g + 1) * channels], w
            )
        y = y[(slice(None), slice(None), *(slice(p, f - p) for p, f in zip(padding, full)))]
        return y if bias is None else y + bias.reshape(-1, *(1,) * dims)

    return reference


OPS = [
    OpSamples(
        "conv2d",
        gg.conv2d,
        samples=[
            Sample(In(2, 3, 5, 6), In(4, 3, 3, 3), In(4)),
            Sample(In(2, 3, 5, 6), In(4, 3, 3, 3), padding=1),
            Sample(In(3, 5, 6), In(2, 3, 3, 2), In(2)),
            Sample(In(1, 2, 7, 6), In(3, 2, 3, 2), stride=(2, 1), padding=(1, 0)),
            Sample(In(1, 2, 7, 7), In(2, 2, 3, 3), padding=2, dilation=2),
            Sample(In(2, 4, 5, 5), In(6, 2, 3, 3), In(6), padding=1, groups=2),
            Sample(In(1, 3, 5, 5), In(3, 1, 3, 3), stride=2, padding=1, groups=3),
            Sample(In(1, 2, 4, 5), In(3, 2, 1, 1), In(3)),
            Sample(In(1, 2, 4, 5), In(3, 2, 4, 5)),
            Sample(In(1, 2, 5, 5), In(2, 2, 2, 4), padding="same"),
            Sample(In(1, 2, 5, 5), In(2, 2, 3, 3), padding="valid"),
            Sample(In(1, 9, 5, 5), In(10, 9, 3, 3), padding=1),
            Sample(In(1, 9, 5, 6), In(3, 9, 3, 3), dilation=(2, 1), stride=(1, 2)),
            Sample(In(1, 2, 3, 3), In(2, 2, 2, 2), padding=2),
            Sample(In(0, 2, 4, 4), In(3, 2, 3, 3)),
            # Depthwise, with kernels for which the CPU takes bands: a multiplier, strides, dilation, one pixel, no image.
            Sample(In(2, 2, 4, 5), In(2, 1, 5, 5), padding=2, groups=2),
            Sample(In(1, 2, 4, 5), In(4, 1, 5, 5), In(4), padding=2, groups=2),
            Sample(In(1, 2, 7, 6), In(2, 1, 5, 5), In(2), padding=(3, 1), stride=(3, 2), groups=2),
            Sample(In(1, 2, 4, 5), In(2, 1, 5, 5), padding=(5, 6), stride=(1, 2), dilation=(2, 3), groups=2),
            Sample(In(1, 2, 5, 5), In(2, 1, 5, 5), groups=2),
            Sample(In(0, 2, 5, 5), In(4, 1, 5, 5), In(4), groups=2),
        ],
        reference=convolution(2),
        tolerance=SUMS,
        ops=["conv2d_input_grad", "conv2d_weight_grad"],
        errors=[
            Bad(
                In(1, 2, 4, 4),
                In(3, 3, 3, 3),
                raises=RuntimeError,
                match="to have 3 channels, but got 2 channels",
            ),
            Bad(
                In(1, 2, 4, 4),
                In(3, 2, 5, 3),
                raises=RuntimeError,
                match="can't be greater than actual input size",
            ),
            Bad(In(4, 4), In(3, 2, 3, 3), raises=RuntimeError, match="Expected 3-D"),
            Bad(In(1, 2, 4, 4), In(3, 2, 3), raises=RuntimeError, match="weight must be 4-D"),
            Bad(In(1, 2, 4, 4), In(3, 2, 3, 3), In(2), raises=RuntimeError, match="bias must have shape"),
            Bad(
                In(1, 2, 4, 4),
                In(3, 2, 3, 3),
                stride=0,
                raises=RuntimeError,
                match="stride must be at least 1",
            ),
            Bad(
                In(1, 2, 4, 4),
                In(3, 2, 3, 3),
                padding=(1, 2, 3),
                raises=RuntimeError,
                match="must be an int or 2 ints",
            ),
            Bad(In(1, 2, 4, 4), In(3, 1, 3, 3), groups=2, raises=RuntimeError, match="divisible by groups"),
            Bad(
                In(1, 2, 4, 4), In(2, 2, 3, 3), groups=0, raises=RuntimeError, match="groups must be positive"
            ),
            Bad(
                In(1, 2, 4, 4), In(2, 2, 3, 3), padding="same", stride=2, raises=RuntimeError, match="strided"
            ),
            Bad(In(1, 2, 4, 4), In(2, 2, 3, 3), padding="full", raises=ValueError, match="'valid', 'same'"),
            Bad(In(1, 2, 4, 4), In(2, 2, 3, 3, dtype="int64"), raises=RuntimeError, match="same dtype"),
        ],
    ),
    OpSamples(
        "conv1d",
        gg.conv1d,
        samples=[
            Sample(In(2, 3, 7), In(4, 3, 3), In(4), padding=1),
            Sample(In(3, 7), In(4, 3, 3), stride=2),
            Sample(In(1, 4, 7), In(4, 2, 4), groups=2, padding="same"),
            Sample(In(1, 2, 9), In(3, 2, 3), dilation=2),
            Sample(In(2, 2, 9), In(4, 1, 3), In(4), padding=1, groups=2),
            Sample(In(1, 2, 37), In(2, 1, 25), padding=12, groups=2),
            Sample(In(0, 2, 5), In(3, 2, 3), In(3)),
        ],
        reference=convolution(1),
        tolerance=SUMS,
        errors=[
            Bad(In(2, 3, 7), In(4, 2, 3), raises=RuntimeError, match="conv1d: given groups=1"),
            Bad(In(2, 3, 2), In(4, 3, 3), raises=RuntimeError, match="conv1d: kernel size can't be greater"),
        ],
    ),
    OpSamples(
        "conv3d",
        gg.conv3d,
        samples=[
            Sample(In(1, 2, 3, 4, 3), In(2, 2, 2, 3, 2), In(2)),
            Sample(In(2, 3, 4, 3), In(2, 2, 2, 2, 2), padding=1, stride=(2, 1, 1)),
            Sample(In(1, 1, 4, 3, 3), In(2, 1, 2, 2, 2), padding="same"),
            Sample(In(0, 1, 2, 2, 2), In(2, 1, 2, 2, 2), In(2)),
        ],
        reference=convolution(3),
        tolerance=SUMS,
        errors=[Bad(In(1, 2, 4, 4), In(2, 2, 2, 2), raises=RuntimeError, match="weight must be 5-D")],
    ),
    OpSamples(
        "conv_transpose2d",
        gg.conv_transpose2d,
        samples=[
            Sample(In(2, 3, 3, 4), In(3, 2, 3, 3), In(2)),
            Sample(In(1, 3, 3, 3), In(3, 2, 4, 4), stride=2, padding=1),
            Sample(In(1, 4, 3, 3), In(4, 2, 3, 3), In(4), stride=2, padding=1, output_padding=1, groups=2),
            Sample(In(3, 3, 3), In(3, 2, 2, 2), dilation=2),
            Sample(In(1, 2, 3, 3), In(2, 1, 4, 4), In(2), stride=2, padding=1, groups=2),
            Sample(In(0, 3, 3, 3), In(3, 2, 2, 2), In(2)),
        ],
        reference=transposed(2),
        tolerance=SUMS,
        errors=[
            Bad(In(1, 2, 3, 3), In(3, 2, 3, 3), raises=RuntimeError, match="to have 3 channels"),
            Bad(
                In(1, 3, 3, 3),
                In(3, 2, 3, 3),
                output_padding=1,
                raises=RuntimeError,
                match="output padding must be smaller",
            ),
            Bad(In(1, 3, 1, 1), In(3, 2, 1, 1), padding=1, raises=RuntimeError, match="too small"),
            Bad(In(1, 3, 3, 3), In(3, 2, 3, 3), In(3), raises=RuntimeError, match="bias must have shape"),
            Bad(In(3, 3), In(3, 2, 3, 3), raises=RuntimeError, match="expected input"),
        ],
    ),
    OpSamples(
        "conv_transpose1d",
        gg.conv_transpose1d,
        samples=[
            Sample(In(1, 3, 4), In(3, 2, 3), In(2), stride=2, output_padding=1),
            Sample(In(3, 4), In(3, 2, 3), padding=1),
            Sample(In(0, 3, 4), In(3, 2, 3), In(2)),
        ],
        reference=transposed(1),
        tolerance=SUMS,
        errors=[Bad(In(1, 3, 4), In(3, 2, 3, 3), raises=RuntimeError, match="expected input")],
    ),
]
