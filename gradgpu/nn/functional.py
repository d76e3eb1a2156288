"""The functions behind the layers, under PyTorch's names (``torch.nn.functional``)."""

from __future__ import annotations

from typing import Any

from ..ops import pointwise as _pointwise
from ..ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from ..ops.inplace import inplace as _write_inplace
from ..ops.linalg import linear
from ..ops.pointwise import (
    celu, elu, gelu, hardsigmoid, hardswish, hardtanh, leaky_relu, logsigmoid, prelu, relu6, selu, sigmoid, softplus,
    softsign, tanh, tanhshrink, threshold,
)  # fmt: skip
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
