"""The names that annotations in scripts take from `torch.types`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .devices import device
from .dtypes import dtype
from .tensor import Size, Tensor

__all__ = ["Device", "FileLike", "Number", "Storage"]

Number = int | float | bool
Device = device | str | int | None
FileLike = Any
Storage = Any
_int, _float, _bool, _complex = int, float, bool, complex
_dtype, _device, _size = dtype, device, Size | list[int] | tuple[int, ...]
_TensorOrTensors = Tensor | Sequence[Tensor]
