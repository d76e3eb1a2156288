"""Samples of ops/loss.py and ops/cross_entropy.py."""

import numpy as np

from gradgpu.ops import loss
from tests.samples import Bad, In, OpSamples, Sample

WIDE = {"float16": (8e-3, 8e-3), "bfloat16": (6e-2, 6e-2)}
REDUCTIONS = ("mean", "sum", "none")


def classes(*shape, top):
    """Class indices below `top`."""
    return In(*shape, dtype="int64", low=0, high=top)


def reduced(losses, reduction, count=None):
    if reduction == "none":
        return losses
    total = np.sum(losses)
    return total if reduction == "sum" else total / (losses.size if count is None else count)


# ---- cross-entropy ----
def log_softmax(x, axis):
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def picked(logp, target, weight, ignore_index, smoothing):
    """(losses, weights) of each position from log-probabilities with the classes last."""
    n = logp.shape[-1]
    w = np.ones(n) if weight is None else weight
    valid = target != ignore_index
    safe = np.where(valid, target, 0)
    own = -np.take_along_axis(logp, safe[..., None], -1)[..., 0] * w[safe]
    losses = (1 - smoothing) * own - smoothing / n * (logp * w).sum(-1)
    return losses * valid, w[safe] * valid


def likelihood(x, target, weight, ignore_index, reduction, smoothing, logarithm):
    axis = 1 if x.ndim > 1 else 0
    logp = np.moveaxis(log_softmax(x, axis) if logarithm else x, axis, -1)
    losses, weights = picked(logp, target, weight, ignore_index, smoothing)
    return reduced(losses, reduction, weights.sum())


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    if target.dtype.kind == "f":
        axis = 1 if x.ndim > 1 else 0
        n = x.shape[axis]
        target = target * (1 - label_smoothing) + label_smoothing / n
        w = 1.0 if weight is None else weight.reshape((n, *(1,) * (x.ndim - 2)))
        losses = -(log_softmax(x, axis) * target * w).sum(axis)
        return reduced(losses, reduction)
    return likelihood(x, target, weight, ignore_index, reduction, label_smoothing, True)


def nll(x, target, weight=None, ignore_index=-100, reduction="mean"):
    return likelihood(x, target, weight, ignore_index, reduction, 0.0, False)


def weights(n):
    return In(n, low=0.2, high=1, grad=False)


INDICES = [
    *[Sample(In(6, 5), classes(6, top=5), reduction=r) for r in REDUCTIONS],
    *[Sample(In(2, 5, 3), classes(2, 3, top=5), reduction=r) for r in REDUCTIONS],
    Sample(In(2, 4, 2, 3), classes(2, 2, 3, top=4)),
    Sample(In(5), classes(top=5)),
    Sample(In(6, 5), classes(6, top=5), weight=weights(5)),
    Sample(In(2, 5, 3), classes(2, 3, top=5), weight=weights(5), reduction="none"),
    Sample(In(6, 5), In(values=[0, 4, -100, 2, -100, 1], dtype="int64")),
    Sample(In(6, 5), In(values=[0, 4, 1, 2, 1, 1], dtype="int64"), ignore_index=1),
    Sample(
        In(6, 5),
        In(values=[0, 4, 1, 2, 1, 1], dtype="int64"),
        weight=weights(5),
        ignore_index=1,
        reduction="sum",
    ),
    Sample(In(3, 3000), classes(3, top=3000)),
    Sample(In(6, 5), In(6, dtype="int32", low=0, high=5)),
    Sample(In(0, 5), classes(0, top=5), reduction="sum"),
    Sample(In(0, 5), classes(0, top=5), reduction="none"),
]
SMOOTHED = [
    Sample(In(6, 5), classes(6, top=5), label_smoothing=0.2),
    Sample(In(6, 5), classes(6, top=5), weight=weights(5), label_smoothing=0.1, reduction="none"),
    Sample(
        In(2, 5, 3),
        In(values=[[0, 4, 1], [2, 1, 1]], dtype="int64"),
        weight=weights(5),
        ignore_index=1,
        label_smoothing=0.1,
    ),
    Sample(In(5), classes(top=5), label_smoothing=0.3, reduction="sum"),
    Sample(In(4, 40), classes(4, top=40), label_smoothing=0.1),
]
PROBABILITIES = [
    *[Sample(In(4, 5), In(4, 5, low=0), reduction=r) for r in REDUCTIONS],
    Sample(In(2, 5, 3), In(2, 5, 3, low=0), weight=weights(5), label_smoothing=0.1),
    Sample(In(5), In(5, low=0)),
]
SHAPE_ERRORS = [
    Bad(In(6, 5), classes(5, top=5), raises=ValueError, match="Expected target of shape"),
    Bad(In(), classes(top=1), raises=RuntimeError, match="0-dim"),
    Bad(In(6, 5, dtype="int64"), classes(6, top=5), raises=RuntimeError, match="floating-point"),
    Bad(In(6, 5), In(6, dtype="bool"), raises=RuntimeError, match=r"target\.long\(\)"),
    Bad(In(6, 5), classes(6, top=5), weight=weights(4), raises=RuntimeError, match="all 5 classes"),
    Bad(In(6, 5), classes(6, top=5), reduction="median", raises=ValueError, match="'mean', 'sum' or 'none'"),
    Bad(In(6, 5), [0] * 6, raises=TypeError, match="expected a Tensor"),
]


# ---- element by element ----
def against(error, **more):
    """A reference that reduces error(x, t)."""
    return lambda x, t, reduction="mean", weight=None: reduced(error(x, t), reduction)


def smooth_l1(d, beta):
    return np.where(d < beta, d * d / (2 * beta) if beta else 0, d - beta / 2)


def huber(d, delta):
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def bce(x, t, weight=None, reduction="mean"):
    losses = -(t * np.log(x) + (1 - t) * np.log1p(-x))
    return reduced(losses if weight is None else losses * weight, reduction)


def bce_logits(x, t, weight=None, reduction="mean", pos_weight=None):
    positive = np.logaddexp(0, -x) * (1 if pos_weight is None else pos_weight)
    losses = t * positive + (1 - t) * np.logaddexp(0, x)
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(x, t, reduction="mean", log_target=False):
    if log_target:
        losses = np.exp(t) * (t - x)
    else:
        losses = np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0) - t * x
    return np.sum(losses) / x.shape[0] if reduction == "batchmean" else reduced(losses, reduction)


def pairs(**more):
    return [
        *[Sample(In(4, 5, low=-2, high=2), In(4, 5), reduction=r, **more) for r in REDUCTIONS],
        Sample(In(), In(), **more),
        Sample(In(0, 3), In(0, 3), reduction="sum", **more),
        Sample(In(70, 90), In(70, 90), **more),
    ]


def probabilities(r, **more):
    return Sample(In(4, 5, low=0.1, high=0.9), In(4, 5, low=0.1, high=0.9), reduction=r, **more)


FLOAT_ERRORS = [
    Bad(In(3, dtype="int64"), In(3, dtype="int64"), raises=RuntimeError, match="floating-point"),
    Bad(In(3), 1.0, raises=TypeError, match="expected a Tensor"),
    Bad(In(3), In(3), reduction="median", raises=ValueError, match="'mean', 'sum' or 'none'"),
]

OPS = [
    OpSamples(
        "cross_entropy",
        loss.cross_entropy,
        samples=INDICES + SMOOTHED,
        reference=cross_entropy,
        errors=[
            *SHAPE_ERRORS,
            Bad(
                In(6, 5),
                classes(6, top=5),
                label_smoothing=1.5,
                raises=RuntimeError,
                match="between 0.0 and 1.0",
            ),
            Bad(In(2, 5), In(2, 5), ignore_index=1, raises=RuntimeError, match="not supported"),
        ],
        tolerance=WIDE,
        ops=("target_weight",),
    ),
    OpSamples(
        "cross_entropy",
        loss.cross_entropy,
        samples=PROBABILITIES,
        reference=cross_entropy,
        tolerance=WIDE,
    ),
    OpSamples(
        "nll_loss",
        loss.nll_loss,
        samples=INDICES,
        reference=nll,
        errors=SHAPE_ERRORS,
        tolerance=WIDE,
    ),
    OpSamples(
        "mse_loss",
        loss.mse_loss,
        samples=pairs(),
        reference=against(lambda x, t: (x - t) ** 2),
        errors=FLOAT_ERRORS,
        tolerance=WIDE,
        ops=("squared_error",),
    ),
    OpSamples(
        "mse_loss",
        loss.mse_loss,
        samples=[
            Sample(In(3, 4), In(3, 4), weight=In(3, 4, low=0.5, high=1), reduction=r) for r in REDUCTIONS
        ],
        reference=lambda x, t, weight, reduction: reduced((x - t) ** 2 * weight, reduction, weight.sum()),
        tolerance=WIDE,
    ),
    OpSamples(
        "l1_loss",
        loss.l1_loss,
        samples=pairs(),
        reference=against(lambda x, t: np.abs(x - t)),
        errors=FLOAT_ERRORS,
        tolerance=WIDE,
        ops=("absolute_error",),
    ),
    OpSamples(
        "l1_loss",
        loss.l1_loss,
        samples=[
            Sample(In(3, 4), In(3, 4), weight=In(3, 4, low=0.5, high=1), reduction=r) for r in REDUCTIONS
        ],
        reference=lambda x, t, weight, reduction: reduced(np.abs(x - t) * weight, reduction, weight.sum()),
        errors=[Bad(In(3), In(3), weight=In(2), raises=ValueError, match="must have the same size")],
        tolerance=WIDE,
    ),
    OpSamples(
        "smooth_l1_loss",
        loss.smooth_l1_loss,
        samples=[*pairs(), *pairs(beta=0.5), Sample(In(4, 5), In(4, 5), beta=0.0)],
        reference=lambda x, t, reduction="mean", beta=1.0: reduced(smooth_l1(np.abs(x - t), beta), reduction),
        errors=[*FLOAT_ERRORS, Bad(In(3), In(3), beta=-1.0, raises=RuntimeError, match="negative")],
        tolerance=WIDE,
        ops=("smooth_l1_error",),
    ),
    OpSamples(
        "huber_loss",
        loss.huber_loss,
        samples=[*pairs(), *pairs(delta=0.5)],
        reference=lambda x, t, reduction="mean", delta=1.0: reduced(huber(np.abs(x - t), delta), reduction),
        errors=[*FLOAT_ERRORS, Bad(In(3), In(3), delta=0.0, raises=RuntimeError, match="non-positive")],
        tolerance=WIDE,
        ops=("huber_error",),
    ),
    OpSamples(
        "binary_cross_entropy",
        loss.binary_cross_entropy,
        samples=[
            *map(probabilities, REDUCTIONS),
            probabilities("mean", weight=In(5, low=0.5, high=1, grad=False)),
            Sample(In(0, 5, low=0.1, high=0.9), In(0, 5, low=0), reduction="sum"),
        ],
        reference=bce,
        errors=[
            *FLOAT_ERRORS,
            Bad(In(3, low=0), In(3, 1), raises=ValueError, match="must be the same as input size"),
        ],
        tolerance={"float16": (1e-2, 1e-2), "bfloat16": (8e-2, 8e-2)},
        ops=("bernoulli_error",),
    ),
    OpSamples(
        "binary_cross_entropy_with_logits",
        loss.binary_cross_entropy_with_logits,
        samples=[
            *[Sample(In(4, 5, low=-3, high=3), In(4, 5, low=0), reduction=r) for r in REDUCTIONS],
            Sample(In(4, 5), In(4, 5, low=0), weight=In(5, low=0.5, grad=False)),
            Sample(In(4, 5), In(4, 5, low=0), pos_weight=In(5, low=0.5, high=2, grad=False)),
            Sample(In(values=[90.0, -90.0]), In(values=[0.0, 1.0])),
            Sample(In(0, 5), In(0, 5, low=0), reduction="sum"),
        ],
        reference=bce_logits,
        errors=[
            *FLOAT_ERRORS,
            Bad(In(3), In(3, 1), raises=ValueError, match="must be the same as input size"),
        ],
        tolerance=WIDE,
        ops=("logit_error",),
    ),
    OpSamples(
        "kl_div",
        loss.kl_div,
        samples=[
            *[Sample(In(4, 5), In(4, 5, low=0.1), reduction=r) for r in (*REDUCTIONS, "batchmean")],
            *[Sample(In(4, 5), In(4, 5), reduction=r, log_target=True) for r in REDUCTIONS],
            Sample(In(2, 2), In(values=[[0.0, 1.0], [0.5, 0.5]], grad=False)),
            Sample(In(0, 5), In(0, 5, low=0.1), reduction="sum"),
        ],
        reference=kl_div,
        errors=FLOAT_ERRORS,
        tolerance=WIDE,
        ops=("divergence", "log_divergence"),
    ),
]
