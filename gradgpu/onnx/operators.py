"""Shapes as tensors, which nets meant for export compute with."""

from __future__ import annotations

from ..ops.creation import tensor
from ..tensor import Tensor

__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]


def shape_as_tensor(x: Tensor) -> Tensor:
    """The shape as an int64 tensor on the CPU.

    >>> import gradgpu as gg
    >>> shape_as_tensor(gg.ones(2, 3))
    tensor([2, 3])
    """
    from ..dtypes import int64

    return tensor(list(x.shape), dtype=int64, device="cpu")


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Tensor:
    """`x` in the shape that a tensor of ints tells.

    >>> import gradgpu as gg
    >>> reshape_from_tensor_shape(gg.arange(4), gg.tensor([2, -1]))
    tensor([[0, 1],
            [2, 3]])
    """
    return x.reshape(shape.tolist())


_shape_as_tensor, _reshape_from_tensor = shape_as_tensor, reshape_from_tensor_shape
