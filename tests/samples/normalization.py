"""Samples of ops/normalization.py."""

import numpy as np

from gradgpu.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from tests.samples import Bad, In, OpSamples, Sample

WIDE = {"float16": (2e-2, 2e-2), "bfloat16": (1.5e-1, 1.5e-1), "float32": (1e-4, 1e-4)}


def normalised(x, axes, eps):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)


def scaled(y, weight, bias):
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def per_channel(y, weight, bias):
    shape = (-1, *(1,) * (y.ndim - 2))
    return scaled(
        y, None if weight is None else weight.reshape(shape), None if bias is None else bias.reshape(shape)
    )


def last(x, normalized_shape):
    n = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    return tuple(range(-n, 0))


def layer_reference(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    return (
        scaled(normalised(x, last(x, normalized_shape), eps), weight, bias) if x.size else np.zeros(x.shape)
    )


def rms_reference(x, normalized_shape, weight=None, eps=1e-5):
    return scaled(x / np.sqrt((x**2).mean(last(x, normalized_shape), keepdims=True) + eps), weight, None)


def batch_reference(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if training:
        axes = (0, *range(2, x.ndim))
        return per_channel(normalised(x, axes, eps), weight, bias) if x.size else np.zeros(x.shape)
    shape = (-1, *(1,) * (x.ndim - 2))
    return per_channel((x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps), weight, bias)


def group_reference(x, num_groups, weight=None, bias=None, eps=1e-5):
    groups = x.reshape(x.shape[0], num_groups, int(np.prod(x.shape[1:])) // num_groups)
    return per_channel(normalised(groups, -1, eps).reshape(x.shape), weight, bias)


def instance_reference(x, mean=None, var=None, weight=None, bias=None, eps=1e-5):
    return per_channel(normalised(x, tuple(range(2, x.ndim)), eps), weight, bias)


def statistics(c):
    """Running mean and variance, constants of evaluation."""
    return In(c, grad=False), In(c, low=0.5, high=1.5, grad=False)


BATCHES = [(6, 3), (4, 3, 5), (2, 3, 4, 2), (40, 3, 7)]

OPS = [
    OpSamples(
        "layer_norm",
        layer_norm,
        samples=[
            Sample(In(4, 6), 6),
            Sample(In(4, 6), (6,), In(6), In(6)),
            Sample(In(4, 6), [6], weight=In(6)),
            Sample(In(4, 6), (6,), bias=In(6), eps=1e-3),
            Sample(In(2, 3, 4), (3, 4), In(3, 4), In(3, 4)),
            Sample(In(5), 5, In(5), In(5)),
            Sample(In(150, 40), 40, In(40), In(40)),
            Sample(In(2, 1300), 1300, In(1300), In(1300)),
            Sample(In(0, 4), 4, In(4), In(4)),
        ],
        reference=layer_reference,
        errors=[
            Bad(In(4, 6), 5, raises=RuntimeError, match="expected input with shape"),
            Bad(In(4, 6), (2, 4, 6), raises=RuntimeError, match="expected input with shape"),
            Bad(In(4, 6), (), raises=RuntimeError, match="at least one dimension"),
            Bad(In(4, 6), 6, In(5), raises=RuntimeError, match="weight to be of same shape"),
            Bad(In(4, 6, dtype="int64"), 6, raises=RuntimeError, match="floating-point"),
            Bad(
                In(4, 6, dtype="float32"), 6, In(6, dtype="float64"), raises=RuntimeError, match="weight has"
            ),
        ],
        tolerance=WIDE,
    ),
    OpSamples(
        "rms_norm",
        rms_norm,
        samples=[
            Sample(In(4, 6), 6, eps=1e-5),
            Sample(In(0, 6), 6, In(6), eps=1e-5),
            Sample(In(4, 6), 6, In(6), eps=1e-5),
            Sample(In(2, 3, 4), (3, 4), In(3, 4), 1e-5),
            Sample(In(2, 1300), 1300, In(1300), 1e-5),
        ],
        reference=rms_reference,
        errors=[Bad(In(4, 6), 5, raises=RuntimeError, match="expected input with shape")],
        tolerance=WIDE,
        ops=("layer_norm",),
    ),
    OpSamples(
        "batch_norm",
        batch_norm,
        samples=[
            *[Sample(In(*shape), None, None, In(3), In(3), training=True) for shape in BATCHES],
            *[Sample(In(*shape), None, None, training=True) for shape in BATCHES[:2]],
            Sample(In(4, 3, 5), None, None, bias=In(3), training=True),
            Sample(In(4, 3, 5), *statistics(3), In(3), In(3)),
            Sample(In(4, 3), *statistics(3)),
            Sample(In(4, 3, 2, 2), *statistics(3), bias=In(3), eps=1e-3),
            Sample(In(0, 3, 2), None, None, In(3), In(3), training=True),
            Sample(In(4, 3, 40), None, None, In(3), In(3), training=True),  # long rows
            Sample(In(4, 3, 40, low=2.0, high=3.0), None, None, In(3), In(3), training=True),  # far from 0
            Sample(In(40, 3, low=2.0, high=3.0), None, None, training=True, eps=0.1),
        ],
        reference=batch_reference,
        errors=[
            Bad(In(3), None, None, training=True, raises=RuntimeError, match="at least 2 dimensions"),
            Bad(
                In(1, 3), None, None, training=True, raises=ValueError, match="more than 1 value per channel"
            ),
            Bad(
                In(4, 3), None, None, raises=RuntimeError, match="running_mean and running_var to be defined"
            ),
            Bad(
                In(4, 3), None, None, In(2), training=True, raises=RuntimeError, match="weight to be a vector"
            ),
            Bad(
                In(4, 3, dtype="int64"),
                None,
                None,
                training=True,
                raises=RuntimeError,
                match="floating-point",
            ),
        ],
        tolerance=WIDE,
    ),
    OpSamples(
        "group_norm",
        group_norm,
        samples=[
            Sample(In(2, 4, 3), 2, In(4), In(4)),
            Sample(In(3, 6), 2),
            Sample(In(0, 4, 3), 2, In(4), In(4)),
            Sample(In(2, 4, 2, 3), 1, In(4)),
            Sample(In(2, 4, 2, 3), 4, bias=In(4)),
            Sample(In(2, 6, 4), 3, In(6), In(6)),
            Sample(In(2, 6), 2, In(6), In(6)),
            Sample(In(2, 4, 5, 8), 2, In(4), In(4)),  # long rows
            Sample(In(2, 4, 40, low=2.0, high=3.0), 2, In(4), In(4)),  # far from 0
            Sample(In(2, 4, 3, low=20.0, high=22.0), 2, In(4), In(4), 1e-3),
        ],
        reference=group_reference,
        errors=[
            Bad(In(2, 4, 3), 3, raises=RuntimeError, match="divisible by num_groups"),
            Bad(In(4), 2, raises=RuntimeError, match="at least 2 dimensions"),
        ],
        tolerance=WIDE,
        ops=("layer_norm",),
    ),
    OpSamples(
        "instance_norm",
        instance_norm,
        samples=[Sample(In(2, 3, 5), None, None, In(3), In(3)), Sample(In(2, 3, 2, 4)), Sample(In(0, 3, 4))],
        reference=instance_reference,
        errors=[
            Bad(In(2, 3), raises=RuntimeError, match="at least 3 dimensions"),
            Bad(In(2, 3, 1), raises=ValueError, match="more than 1 spatial element"),
        ],
        tolerance=WIDE,
        ops=("layer_norm",),
    ),
]
