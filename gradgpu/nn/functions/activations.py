"""Activations that few nets use, random ones, and the in-place forms of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.choice import chosen
from ...ops.inplace import inplace as write_inplace
from ...ops.pointwise import where, where_op
from ...ops.pointwise_op import Pointwise
from ...tensor import Tensor
from .. import functional as F

__all__ = [
    "celu_", "elu_", "feature_alpha_dropout", "gumbel_softmax", "hardshrink", "hardtanh_", "leaky_relu_", "rrelu",
    "rrelu_", "selu_", "softshrink", "threshold_",
]  # fmt: skip


_hardshrink = Pointwise(
    "hardshrink",
    "fabs(x) <= lambd ? C(0) : x",
    lambda x, *, lambd: chosen(np.abs(x) <= lambd, 0, x, x.dtype),
    lambda g, x, *, lambd: where_op((x >= -lambd) & (x <= lambd), 0.0, g),
    inputs="float",
)
_softshrink = Pointwise(
    "softshrink",
    "x - Min::apply(Max::apply(x, C(-lambd)), C(lambd))",
    lambda x, *, lambd: x - x.clip(x.dtype.type(-lambd), x.dtype.type(lambd)),
    lambda g, x, *, lambd: where_op((x >= -lambd) & (x <= lambd), 0.0, g),
    inputs="float",
)
_hardshrink.zero_second = _softshrink.zero_second = True


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> import gradgpu as gg
    >>> gg.nn.functional.hardshrink(gg.tensor([-1., 0.3, 2.]))
    tensor([-1.,  0.,  2.])
    """
    return _hardshrink(input, lambd=lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x - lambd above lambd, x + lambd below -lambd, else 0.

    >>> import gradgpu as gg
    >>> gg.nn.functional.softshrink(gg.tensor([-1., 0.3, 2.]))
    tensor([-0.5000,  0.0000,  1.5000])
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return _softshrink(input, lambd=lambd)


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where x ≥ 0, else a · x; a is drawn from U(lower, upper) for each element in training, else their mean
    (Xu et al., 2015)."""
    if lower > upper:
        raise RuntimeError(
            f"Lower bound should be less than or equal to the upper bound, got {lower} and {upper}"
        )
    if training:
        slope = input.detach().new_empty(tuple(input.shape)).uniform_(lower, upper)
        result = where(input.detach() >= 0, input, input * slope)
    else:
        result = F.leaky_relu(input, (lower + upper) / 2)
    return write_inplace("rrelu_", input, result) if inplace else result


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """:func:`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return F.elu(input, alpha, True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return F.celu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return F.selu(input, True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return F.leaky_relu(input, negative_slope, True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return F.hardtanh(input, min_val, max_val, True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return F.threshold(input, threshold, value, True)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A draw from the Gumbel-softmax distribution (Jang et al., 2017; Maddison et al., 2017).

    Args:
        logits: unnormalised log-probabilities.
        tau: the temperature: towards 0 draws become one-hot.
        hard: give one-hot vectors whose gradient is that of the soft ones (straight-through).
        dim: the dimension of categories.

    >>> import gradgpu as gg
    >>> gg.nn.functional.gumbel_softmax(gg.zeros(2, 5), hard=True).sum(-1)
    tensor([1., 1.])
    """
    noise = -logits.detach().new_empty(tuple(logits.shape)).exponential_().log()
    soft = F.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(dim, keepdim=True)
    one_hot = soft.detach().new_zeros(tuple(soft.shape)).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Sets whole channels of (N, C, *) to SELU's saturation value, keeping mean and variance (Klambauer et al., 2017)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or not input.numel():
        return input
    if input.ndim < 2:
        raise RuntimeError(
            f"feature_alpha_dropout requires at least 2 dimensions, got shape {tuple(input.shape)}"
        )
    result: Any
    if p == 1:
        result = input * 0.0
    else:
        low = -1.7580993408473766  # -scale · alpha of SELU
        a = ((1 - p) * (1 + p * low * low)) ** -0.5
        keep = input.detach().new_empty((*input.shape[:2], *(1,) * (input.ndim - 2))).bernoulli_(1 - p)
        result = (input * keep + (1 - keep) * low) * a - a * low * p
    return write_inplace("feature_alpha_dropout_", input, result) if inplace else result
