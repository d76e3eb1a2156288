"""PyTorch's old ways: `LongTensor` and its kin, constructors of one dtype; `Tensor.new`; what asks for the storage."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..devices import device as Device
from ..tensor import Size, Tensor
from .creation import _shape, empty, tensor, zeros
from .registry import method


class TensorType:
    """`LongTensor(data)` is a tensor of that dtype with a copy of data, `LongTensor(2, 3)` an uninitialised one.

    `isinstance(x, LongTensor)` tells whether x is a cpu tensor of that dtype.

    >>> import gradgpu as gg
    >>> gg.LongTensor([1, 2])
    tensor([1, 2])
    """

    def __init__(self, name: str, dtype: dt.dtype):
        self.__name__, self.dtype = name, dtype

    def __call__(self, *data: Any, device: Any = None) -> Tensor:
        if not data:
            return empty(0, dtype=self.dtype, device=device)
        if isinstance(data[0], int) or len(data) == 1 and isinstance(data[0], Size):
            return empty(*data, dtype=self.dtype, device=device)
        if len(data) > 1:
            raise TypeError(
                f"{self.__name__}(): expected one sequence or several sizes, got {len(data)} arguments"
            )
        made = tensor(data[0], dtype=self.dtype)
        return made if device is None else made.to(Device(device))

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype is self.dtype and x.is_cpu

    def __repr__(self) -> str:
        return f"<class 'gradgpu.{self.__name__}'>"


FloatTensor = TensorType("FloatTensor", dt.float32)
DoubleTensor = TensorType("DoubleTensor", dt.float64)
HalfTensor = TensorType("HalfTensor", dt.float16)
BFloat16Tensor = TensorType("BFloat16Tensor", dt.bfloat16)
LongTensor = TensorType("LongTensor", dt.int64)
IntTensor = TensorType("IntTensor", dt.int32)
ShortTensor = TensorType("ShortTensor", dt.int16)
CharTensor = TensorType("CharTensor", dt.int8)
ByteTensor = TensorType("ByteTensor", dt.uint8)
BoolTensor = TensorType("BoolTensor", dt.bool)


@method
def new(self: Any, *data: Any) -> Tensor:
    """A tensor of this tensor's dtype and device: of a sequence's data, or uninitialised with the sizes given.

    >>> import gradgpu as gg
    >>> gg.tensor([1, 2]).new([3, 4])
    tensor([3, 4])
    """
    return TensorType("Tensor.new", self.dtype)(*data, device=self.device)


@method
def storage_offset(self: Any) -> int:
    """How many elements lie between the start of the memory and the first element of this tensor.

    >>> import gradgpu as gg
    >>> gg.zeros(4)[1:].storage_offset()
    1
    """
    self._materialise()
    a = self._a
    if hasattr(a, "mem"):
        return (a.ptr - int(a.mem.ptr)) // a.dtype.itemsize
    base = a
    while isinstance(base.base, np.ndarray):
        base = base.base
    return (a.ctypes.data - base.ctypes.data) // a.dtype.itemsize


@method
def resize_(self: Any, *size: Any) -> Tensor:
    """Gives the tensor another shape in place; new elements, if it grows, are zero.

    With as many elements as before the memory stays. Otherwise it is new memory, which views do not share.

    Raises:
        RuntimeError: a tensor that requires grad, or a view that would need new memory.

    >>> import gradgpu as gg
    >>> gg.tensor([1., 2.]).resize_(2, 2)
    tensor([[1., 2.],
            [0., 0.]])
    """
    if self.requires_grad:
        raise RuntimeError("resize_: cannot resize variables that require grad; use x.detach().resize_(...)")
    shape = tuple(_shape(size, "resize_"))
    wanted, numel = prod(shape), self.numel()
    if wanted == numel and self.is_contiguous():
        self.data = self.detach().reshape(shape)
    elif self._base is not None:
        raise RuntimeError(
            f"resize_: a view of shape {tuple(self.shape)} cannot become {shape}, which needs new memory; use x.clone()"
        )
    else:
        made = zeros(wanted, dtype=self.dtype, device=self.device)
        kept = min(wanted, numel)
        made[:kept] = self.detach().reshape(-1)[:kept]
        self.data = made.reshape(shape)
    self._bump()
    return self


__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor",
]  # fmt: skip
