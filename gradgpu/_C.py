"""What scripts and packages import from PyTorch's C++ module, `torch._C`, by its names."""

from __future__ import annotations

from .devices import device
from .dtypes import dtype
from .random import Generator
from .tensor import Size, Tensor

__all__ = ["Generator", "Size", "TensorBase", "Value", "device", "dtype"]

TensorBase = Tensor


class Value:
    """A value in a graph of PyTorch's compiler; annotations name it, and nothing here makes one."""


def _log_api_usage_once(event: str) -> None:
    """Nothing: gradgpu counts no uses."""
