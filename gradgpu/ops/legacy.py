"""PyTorch's old ways: `LongTensor` and its kin, constructors of one dtype; `Tensor.new`; what asks for the storage."""

from __future__ import annotations

import mmap
from math import prod
from typing import Any, Union

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import outermost
from ..devices import device as Device
from ..tensor import Size, Tensor
from .creation import _shape, empty, legacy_shape, tensor, zeros
from .registry import method


class TensorType:
    """`LongTensor(data)` is a tensor of that dtype with a copy of data, `LongTensor(2, 3)` an uninitialised one.

    `isinstance(x, LongTensor)` tells whether x is a cpu tensor of that dtype.

    >>> import gradgpu as gg
    >>> gg.LongTensor([1, 2])
    tensor([1, 2])
    """

    def __init__(self, name: str, dtype: dt.dtype, device: str = "cpu"):
        self.__name__, self.dtype, self.device = name, dtype, device

    def __call__(self, *data: Any, size: Any = None, device: Any = None) -> Tensor:
        data = data if size is None else (Size(size),)
        device = Device(self.device if device is None else device)
        if not data:
            return empty(0, dtype=self.dtype, device=device)
        shape = legacy_shape(data, self.__name__)
        if shape is not None:
            return empty(shape, dtype=self.dtype, device=device)
        return tensor(data[0], dtype=self.dtype).to(device)

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype is self.dtype and x.device.type == self.device

    def __or__(self, other: Any) -> Any:  # in annotations: `LongTensor | None`
        return Union.__getitem__((self, other))

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<class 'gradgpu.{self.__name__}'>"


_NAMES = {
    "Float": dt.float32, "Double": dt.float64, "Half": dt.float16, "BFloat16": dt.bfloat16, "Long": dt.int64, "Int": dt.int32,
    "Short": dt.int16, "Char": dt.int8, "Byte": dt.uint8, "Bool": dt.bool,
}  # fmt: skip
TYPES = {
    prefix + name + "Tensor": TensorType(prefix + name + "Tensor", dtype, device)
    for name, dtype in _NAMES.items()
    for prefix, device in (("", "cpu"), ("cuda.", "cuda"))
}
FloatTensor, DoubleTensor, HalfTensor = TYPES["FloatTensor"], TYPES["DoubleTensor"], TYPES["HalfTensor"]
BFloat16Tensor, LongTensor, IntTensor = TYPES["BFloat16Tensor"], TYPES["LongTensor"], TYPES["IntTensor"]
ShortTensor, CharTensor, ByteTensor = TYPES["ShortTensor"], TYPES["CharTensor"], TYPES["ByteTensor"]
BoolTensor = TYPES["BoolTensor"]


class TypeName(str):
    """The name of a tensor's type: equal under PyTorch's name, too, which scripts compare it with.

    >>> import gradgpu as gg
    >>> gg.ones(1).type() == "torch.FloatTensor", gg.ones(1).type() == "torch.cuda.FloatTensor"
    (True, False)
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and _own(self) == _own(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash("torch." + _own(self))  # so that it is found in a dict with PyTorch's names


def _own(name: str) -> str:
    return str(name).removeprefix("gradgpu.").removeprefix("torch.")


@method("type")
def type_(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, or the tensor cast to `dtype`: a dtype, `LongTensor` or its name.

    Raises:
        ValueError: a name that is none of a tensor type.

    >>> import gradgpu as gg
    >>> gg.ones(1).type(), gg.ones(1).type("gradgpu.LongTensor")
    ('gradgpu.FloatTensor', tensor([1]))
    """
    if dtype is None:
        name = next(name for name, d in _NAMES.items() if d is self.dtype)
        return TypeName(f"gradgpu.{'cuda.' if self.is_cuda else ''}{name}Tensor")
    if isinstance(dtype, str):
        kind = TYPES.get(_own(dtype))
        if kind is None:
            raise ValueError(f"type: invalid type: {dtype!r}; use a dtype such as gradgpu.float32")
        dtype = kind
    if dtype is Tensor:  # PyTorch's class Tensor is its default type, too
        dtype = TensorType("Tensor", dt.get_default_dtype())
    if isinstance(dtype, TensorType):
        return self.to(device=Device(dtype.device), dtype=dtype.dtype, non_blocking=non_blocking)
    return self.to(dt.as_dtype(dtype), non_blocking=non_blocking)


@method
def new(self: Any, *data: Any) -> Tensor:
    """A tensor of this tensor's dtype and device: of a sequence's data, or uninitialised with the sizes given.

    >>> import gradgpu as gg
    >>> gg.tensor([1, 2]).new([3, 4])
    tensor([3, 4])
    """
    return TensorType("Tensor.new", self.dtype)(*data, device=self.device)


def _volatile(self: Any) -> bool:
    """False: scripts for a PyTorch before `no_grad` ask it."""
    return False


Tensor.volatile = property(_volatile)  # type: ignore[attr-defined]


@method
def storage_offset(self: Any) -> int:
    """How many elements lie between the start of the memory and the first element of this tensor.

    >>> import gradgpu as gg
    >>> gg.zeros(4)[1:].storage_offset()
    1
    """
    source = outermost(self)
    source._materialise()
    a = source._a
    if hasattr(a, "mem"):
        return (a.ptr - int(a.mem.ptr)) // a.dtype.itemsize
    base = a
    while isinstance(base.base, np.ndarray):
        base = base.base
    return (a.ctypes.data - base.ctypes.data) // a.dtype.itemsize


@method
def share_memory_(self: Any) -> Tensor:
    """Moves the tensor to memory that it shares with processes started by 'fork' from now on.

    They all see what any of them writes. On cuda nothing changes. Sending a tensor through a queue copies it still.

    Raises:
        RuntimeError: a view, which would part from its base.

    >>> import gradgpu as gg
    >>> gg.ones(2).share_memory_().is_shared()
    True
    """
    if self.is_cuda or is_shared(self):
        return self
    if self._base is not None:
        raise RuntimeError(
            "share_memory_: a view shares its base's memory: call it on the base, or on x.clone()"
        )
    self._materialise()
    old = self._a
    shared = np.ndarray(old.shape, old.dtype, buffer=mmap.mmap(-1, max(1, old.nbytes)))
    shared[...] = old
    self._a = shared
    return self


@method
def is_shared(self: Any) -> bool:
    """Whether the tensor lies in shared memory (`share_memory_`); always so on cuda.

    >>> import gradgpu as gg
    >>> gg.ones(2).is_shared()
    False
    """
    base = self._a
    while isinstance(base, np.ndarray):
        base = base.base
    return self.is_cuda or isinstance(base, mmap.mmap)


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
    if shape == tuple(self.shape):
        return self
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


@method
def as_subclass(self: Any, cls: type) -> Any:
    """This tensor, its memory and its history, as an object of a subclass of Tensor.

    Raises:
        TypeError: `cls` is no subclass of Tensor.

    >>> import gradgpu as gg
    >>> class Image(gg.Tensor):
    ...     pass
    >>> type(gg.ones(2).as_subclass(Image)).__name__
    'Image'
    """
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"as_subclass: cls must be a subclass of Tensor, got {cls!r}")
    shared, made = self.view_as(self), cls.__new__(cls)
    made._a, made._edge, made._grad, made._cell = shared._a, shared._edge, shared._grad, shared._cell
    made.__dict__.update(shared.__dict__)
    return made


def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:
    """The memory of `data` without its history as an object of a subclass of Tensor, for its `__new__`."""
    return as_subclass(data.detach(), cls).requires_grad_(require_grad)


Tensor._make_subclass = staticmethod(_make_subclass)  # type: ignore[attr-defined]


def _assert(condition: Any, message: str) -> None:
    """An assertion on a tensor or a bool."""
    if not condition:
        raise AssertionError(message)


def _dim_arange(like: Tensor, dim: int) -> Tensor:
    """The indices along a dimension."""
    from .creation import arange

    return arange(like.shape[dim], device=like.device)


def _masked_scale(self: Tensor, mask: Tensor, scale: float) -> Tensor:
    """What is let through by a dropout mask, scaled."""
    return self * mask.to(self.dtype) * scale


__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor",
]  # fmt: skip
