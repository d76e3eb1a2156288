"""The CPU as `torch.cpu` shows it, beside `gradgpu.cuda`: one device, whose work is done when the call returns."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import ModuleType
from typing import Any

from .amp import autocast as _autocast
from .amp import autocast_mode
from .dtypes import bfloat16
from .dtypes import dtype as DType

__all__ = [
    "Stream", "StreamContext", "amp", "current_device", "current_stream", "device_count", "is_available", "set_device", "stream",
    "synchronize",
]  # fmt: skip


class Stream:
    """A stand-in for a stream: nothing queues on the CPU."""

    def __init__(self, priority: int = -1) -> None:
        pass

    def wait_stream(self, stream: Any) -> None:
        """Waits for nothing."""


StreamContext = nullcontext


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """'cpu'."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one."""


def synchronize(device: Any = None) -> None:
    """Nothing: all work is done."""


def current_stream(device: Any = None) -> Stream:
    """A stream that is always done."""
    return Stream()


def stream(stream: Any) -> Any:
    """A block like any other."""
    return nullcontext(stream)


class autocast(_autocast):
    """``gradgpu.amp.autocast('cpu', …)``."""

    def __init__(self, enabled: bool = True, dtype: DType = bfloat16, cache_enabled: bool = True) -> None:
        super().__init__("cpu", dtype, enabled, cache_enabled)


class _Amp(ModuleType):
    autocast = autocast
    autocast_mode = autocast_mode


amp = sys.modules[f"{__name__}.amp"] = _Amp(f"{__name__}.amp")
