"""PyTorch's old tensor types, `LongTensor` and its kin: constructors of one dtype."""

from __future__ import annotations

from typing import Any

from .. import dtypes as dt
from ..devices import device as Device
from ..tensor import Size, Tensor
from .creation import empty, tensor


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

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor",
]  # fmt: skip
