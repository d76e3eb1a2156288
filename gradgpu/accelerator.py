"""The accelerator, whatever it is: here 'cuda' or none. For scripts that ask `accelerator.is_available()`.

>>> import gradgpu as gg
>>> device = gg.accelerator.current_accelerator() if gg.accelerator.is_available() else gg.device("cpu")
"""

from __future__ import annotations

from typing import Any

from . import cuda
from .cuda import current_device as current_device_index
from .cuda import (
    current_stream,
    device_count,
    empty_cache,
    is_available,
    max_memory_allocated,
    max_memory_reserved,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_peak_memory_stats,
    set_stream,
    synchronize,
)
from .cuda import mem_get_info as get_memory_info
from .cuda import set_device as set_device_index
from .cuda.memory import empty_host_cache
from .devices import device

__all__ = [
    "current_accelerator", "current_device_index", "current_stream", "device_count", "device_index", "empty_cache",
    "empty_host_cache",
    "get_device_capability", "get_memory_info", "is_available", "max_memory_allocated", "max_memory_reserved",
    "memory_allocated", "memory_reserved", "memory_stats", "reset_peak_memory_stats", "set_device_index", "set_stream",
    "synchronize",
]  # fmt: skip

get_device_capability = cuda.get_device_capability
device_index = cuda.device


def current_accelerator(check_available: bool = False) -> device | None:
    """`device('cuda')` where there is a CUDA device (or the simulator), else None.

    `check_available` is accepted: what is not available is never named here.

    >>> import gradgpu as gg
    >>> gg.accelerator.current_accelerator() in (None, gg.device("cuda"))
    True
    """
    return device("cuda") if is_available() else None


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'gradgpu.accelerator' has no attribute {name!r}; see gradgpu.cuda")
