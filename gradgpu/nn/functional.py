"""The functions behind the layers, under PyTorch's names (``torch.nn.functional``).

Most are operations of :mod:`gradgpu.ops`; those written here are short compositions of them.
"""

# ruff: noqa: F401 (what is imported here is exported)
from __future__ import annotations

from typing import Any

from ..ops import pointwise as _pointwise
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d
from ..ops.cross_entropy import cross_entropy, nll_loss
from ..ops.embedding import embedding, one_hot
from ..ops.inplace import inplace as _write_inplace
from ..ops.join import pad
from ..ops.linalg import linear
from ..ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)  # fmt: skip
from ..ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from ..ops.pointwise import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    prelu,
    relu6,
    selu,
    sigmoid,
    softplus,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)  # fmt: skip
from ..ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)  # fmt: skip
from ..ops.random import alpha_dropout, dropout, feature_dropout
from ..ops.softmax import log_softmax, softmax, softmin
from ..tensor import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.functional.relu(gg.tensor([-1., 2.]))
        tensor([0., 2.])
    """
    result = _pointwise.relu(input)
    return _write_inplace("relu_", input, result) if inplace else result


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x) (Elfwing et al., 2017)."""
    result = _pointwise.silu(input)
    return _write_inplace("silu_", input, result) if inplace else result


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x)) (Misra, 2019)."""
    result = _pointwise.mish(input)
    return _write_inplace("mish_", input, result) if inplace else result


def relu_(input: Tensor) -> Tensor:
    """:func:`relu` in place."""
    return relu(input, True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b), a and b being the halves of x along dim (Dauphin et al., 2017).

    Raises:
        RuntimeError: the size of dim is odd.
    """
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def _channel_dropout(input: Tensor, p: float, training: bool, inplace: bool, dims: int) -> Tensor:
    """Drops whole channels of (N, C, *) or (C, *), * being dims dimensions."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"dropout{dims}d: expected a {dims + 1}-D or {dims + 2}-D input, got shape {tuple(input.shape)}; for single "
            "elements use dropout"
        )
    x = input if input.ndim == dims + 2 else input.unsqueeze(0)
    result = feature_dropout(x, p, training)
    result = result if x is input else result.squeeze(0)
    return _write_inplace(f"dropout{dims}d_", input, result) if inplace else result


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, L) or (C, L)."""
    return _channel_dropout(input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, H, W) or (C, H, W) (Tompson et al., 2015)."""
    return _channel_dropout(input, p, training, inplace, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _channel_dropout(input, p, training, inplace, 3)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = x₁ᵀ A_k x₂ + b_k: (*, in1), (*, in2), weight (out, in1, in2) → (*, out)."""
    outer = input1.unsqueeze(-1) * input2.unsqueeze(-2)
    return linear(outer.flatten(-2), weight.flatten(1), bias)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x divided by its p-norm along dim, or by eps where that is smaller.

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.functional.normalize(gg.tensor([[3., 4.]]))
        tensor([[0.6000, 0.8000]])
    """
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁ · x₂ / (max(‖x₁‖, eps) · max(‖x₂‖, eps)) along dim, broadcasting."""
    norms = x1.norm(2, dim, keepdim=True).clamp(min=eps), x2.norm(2, dim, keepdim=True).clamp(min=eps)
    return ((x1 / norms[0]) * (x2 / norms[1])).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """‖x₁ - x₂ + eps‖ₚ along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log var + (input - target)² / var) / 2 with var clamped to at least eps, ``full`` adding log(2π) / 2.

    var: of input's shape, or that with the last dimension 1 or absent, or a number.
    """
    if not isinstance(var, Tensor):
        var = input.new_full(tuple(input.shape), float(var))
    elif tuple(var.shape) == tuple(input.shape[:-1]) and var.ndim != input.ndim:
        var = var.unsqueeze(-1)
    if bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    # The clamp changes what is divided by, not how the variance learns.
    var = var + (var.detach().clamp(min=eps) - var.detach())
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.9189385332046727
    return {"none": lambda x: x, "mean": lambda x: x.mean(), "sum": lambda x: x.sum()}[reduction](loss)
