"""The memory below tensors, as PyTorch's storages show it: `x.storage()`, `x.untyped_storage()`.

A storage is the memory of one tensor and all its views, in one dimension. Scripts look at it to see which tensors share it, and how
large it is.

>>> import gradgpu as gg
>>> points = gg.tensor([[4., 1.], [5., 3.], [2., 1.]])
>>> points.storage()[1], len(points[1].storage()), points[1].storage().data_ptr() == points.storage().data_ptr()
(1.0, 6, True)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import dtypes as dt
from .autograd.layers import outermost
from .tensor import Tensor, wrap

__all__ = ["TypedStorage", "UntypedStorage"]


def _flat(x: Tensor) -> Tensor:
    """All of the memory that `x` lies in, in one dimension, as elements of its dtype."""
    source = outermost(x)
    source._materialise()
    a = source._a
    if isinstance(a, np.ndarray):
        base = a
        while isinstance(base.base, np.ndarray):
            base = base.base
        if not (base.flags.c_contiguous or base.flags.f_contiguous) or base.nbytes % a.dtype.itemsize:
            raise RuntimeError(
                f"storage: the memory of {tuple(x.shape)} is a part of foreign memory with gaps in it"
            )
        return wrap(base.reshape(-1, order="A").view(a.dtype))
    while source._base is not None:
        source = source._base
    # From the start of the allocation to the end of the tensor that it was made for (or of this one, which is all that is known
    # of memory whose first tensor is gone).
    a = source._a
    start = (a.ptr - int(a.mem.ptr)) // a.dtype.itemsize
    reach = sum((n - 1) * step for n, step in zip(a.shape, a.strides)) + 1 if a.size else 0
    return wrap(a.as_strided((start + reach,), (1,), -start))


class UntypedStorage:
    """The memory below a tensor, as bytes."""

    def __init__(self, memory: Tensor):
        self._memory = memory

    @property
    def device(self) -> Any:
        """Where it lies."""
        return self._memory.device

    @property
    def is_cuda(self) -> bool:
        """Whether it lies on a CUDA device."""
        return self._memory.is_cuda

    def data_ptr(self) -> int:
        """Its address: tensors with the same one share their memory."""
        return self._memory.data_ptr()

    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._memory.numel() * self._memory.element_size()

    size = nbytes
    __len__ = nbytes

    def element_size(self) -> int:
        """1."""
        return 1

    def is_shared(self) -> bool:
        """Whether processes share it (`Tensor.share_memory_`)."""
        return self._memory.is_shared()

    def is_pinned(self) -> bool:
        """Whether it is page-locked (`Tensor.pin_memory`)."""
        return self._memory.is_pinned()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (other.data_ptr(), other.nbytes()) == (
            self.data_ptr(),
            self.nbytes(),
        )

    def __hash__(self) -> int:
        return hash((self.data_ptr(), self.nbytes()))

    def __repr__(self) -> str:
        return f"[gradgpu.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


class TypedStorage:
    """The memory below a tensor, as elements of its dtype. Reading and writing entries reads and writes the tensors' memory; a
    change counts as none for backward."""

    def __init__(self, memory: Tensor):
        self._memory = memory

    @property
    def dtype(self) -> dt.dtype:
        """What the elements are."""
        return self._memory.dtype

    @property
    def device(self) -> Any:
        """Where it lies."""
        return self._memory.device

    @property
    def is_cuda(self) -> bool:
        """Whether it lies on a CUDA device."""
        return self._memory.is_cuda

    def untyped(self) -> UntypedStorage:
        """The same, as bytes."""
        return UntypedStorage(self._memory)

    def data_ptr(self) -> int:
        """Its address: tensors with the same one share their memory."""
        return self._memory.data_ptr()

    def element_size(self) -> int:
        """The size of an element in bytes."""
        return self._memory.element_size()

    def nbytes(self) -> int:
        """Its size in bytes."""
        return len(self) * self.element_size()

    def size(self) -> int:
        """How many elements it has."""
        return len(self)

    def is_shared(self) -> bool:
        """Whether processes share it (`Tensor.share_memory_`)."""
        return self._memory.is_shared()

    def is_pinned(self) -> bool:
        """Whether it is page-locked (`Tensor.pin_memory`)."""
        return self._memory.is_pinned()

    def tolist(self) -> list:
        """The elements in a list."""
        return self._memory.tolist()

    def fill_(self, value: Any) -> TypedStorage:
        """Makes every element `value`."""
        self._memory.fill_(value)
        return self

    def __len__(self) -> int:
        return self._memory.numel()

    def __getitem__(self, index: Any) -> Any:
        found = self._memory[index]
        return found.item() if found.ndim == 0 else TypedStorage(found)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._memory[index] = value._memory.clone() if isinstance(value, TypedStorage) else value

    def __iter__(self) -> Iterator:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.dtype is self.dtype and other.untyped() == self.untyped()

    def __hash__(self) -> int:
        return hash(self.untyped())

    def __repr__(self) -> str:
        lines = "".join(f" {v}\n" for v in self)
        return f"{lines}[gradgpu.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {len(self)}]"


def typed_storage(x: Tensor) -> TypedStorage:
    """`x.storage()`: the memory that `x` and all that it shares it with lie in."""
    return TypedStorage(_flat(x))


def untyped_storage(x: Tensor) -> UntypedStorage:
    """`x.untyped_storage()`: the same as bytes."""
    return UntypedStorage(_flat(x))
