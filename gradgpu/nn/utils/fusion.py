"""Batch normalisation folded into the layer before it, for evaluation."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ...ops.creation import ones_like, zeros_like
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

M = TypeVar("M", bound=Module)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution (or linear layer) that does what it and the batch norm after it did.

    Args:
        conv_w, conv_b: its weight and bias.
        bn_rm, bn_rv, bn_eps, bn_w, bn_b: running mean and variance, eps, weight and bias of the batch norm.
        transpose: a transposed convolution: outputs are counted by dimension 1 of the weight.
    """
    conv_b = zeros_like(bn_rm) if conv_b is None else conv_b
    bn_w = ones_like(bn_rm) if bn_w is None else bn_w
    bn_b = zeros_like(bn_rm) if bn_b is None else bn_b
    scale = bn_w * (bn_rv + bn_eps).rsqrt()
    shape = [1, -1] if transpose else [-1, 1]
    weight = conv_w * scale.reshape(shape + [1] * (conv_w.ndim - 2)).to(conv_w.dtype)
    bias = (conv_b - bn_rm) * scale + bn_b
    return (
        Parameter(weight.detach(), conv_w.requires_grad),
        Parameter(bias.detach().to(conv_w.dtype), conv_b.requires_grad),
    )


def _fused(layer: M, bn: Any, transpose: bool = False) -> M:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval: call eval() on the layer and on the batch norm first")
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("Only support fusing BatchNorm with tracked running statistics")
    made: Any = copy.deepcopy(layer)
    made.weight, made.bias = fuse_conv_bn_weights(
        made.weight, made.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return made


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A copy of the convolution that also does what the batch norm after it does; both in evaluation mode.

    >>> import gradgpu as gg
    >>> conv, bn = gg.nn.Conv2d(3, 4, 3).eval(), gg.nn.BatchNorm2d(4).eval()
    >>> x = gg.randn(1, 3, 5, 5)
    >>> gg.testing.assert_close(gg.nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)))
    """
    return _fused(conv, bn, transpose)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """:func:`fuse_conv_bn_weights` of a linear layer."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A copy of the linear layer that also does what the batch norm after it does; both in evaluation mode."""
    return _fused(linear, bn)
