"""Gradients of convolutions with respect to their input and their weight, by PyTorch's names: for `backward` of Functions.

Each is the gradient that autograd would compute, of which further derivatives may be taken.

>>> import gradgpu as gg
>>> x, w = gg.ones(1, 1, 3, 3), gg.ones(1, 1, 2, 2)
>>> gg.nn.grad.conv2d_weight(x, w.shape, gg.ones(1, 1, 2, 2))
tensor([[[[4., 4.],
          [4., 4.]]]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import enable_grad, grad, is_grad_enabled
from ..ops.creation import zeros
from ..tensor import Tensor
from . import functional as F

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _gradient(
    name: str, size: Sequence[int], convolution: Callable, like: Tensor, grad_output: Tensor
) -> Tensor:
    """The gradient with respect to the argument of shape `size`, in which `convolution` is linear."""
    recorded = is_grad_enabled()
    with enable_grad():
        x = zeros(tuple(size), dtype=like.dtype, device=like.device, requires_grad=True)
        y = convolution(x)
        if y.shape != grad_output.shape:
            raise RuntimeError(
                f"{name}: grad_output has shape {tuple(grad_output.shape)}, but the convolution's result {tuple(y.shape)}"
            )
        (found,) = grad(y, x, grad_output, create_graph=recorded)
    return found


def _pair(dims: int) -> tuple[Callable, Callable]:
    name, convolve = f"conv{dims}d", getattr(F, f"conv{dims}d")

    def of_input(
        input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:  # fmt: skip
        return _gradient(
            f"{name}_input",
            input_size,
            lambda x: convolve(x, weight, None, stride, padding, dilation, groups),
            weight,
            grad_output,
        )

    def of_weight(
        input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:  # fmt: skip
        return _gradient(
            f"{name}_weight",
            weight_size,
            lambda w: convolve(input, w, None, stride, padding, dilation, groups),
            input,
            grad_output,
        )

    of_input.__name__, of_weight.__name__ = f"{name}_input", f"{name}_weight"
    of_input.__doc__ = f"The gradient of `{name}` with respect to an input of shape `input_size`; the other arguments are those of `{name}`."
    of_weight.__doc__ = f"The gradient of `{name}` with respect to a weight of shape `weight_size`; the other arguments are those of `{name}`."
    return of_input, of_weight


conv1d_input, conv1d_weight = _pair(1)
conv2d_input, conv2d_weight = _pair(2)
conv3d_input, conv3d_weight = _pair(3)
