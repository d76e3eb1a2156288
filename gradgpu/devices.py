"""Where a tensor's memory is: 'cpu', or 'cuda:i', the i-th CUDA device; or 'meta', if it has none."""

from __future__ import annotations

import threading
from typing import Any


class device:
    """A device. `device('cuda:1')`, `device('cuda', 1)` and `device(1)` are the same; 'cuda' alone
    means the current CUDA device; tensors of 'meta' have a shape and a dtype, but no memory. As a context manager it is the default device of new tensors.

    >>> import gradgpu as gg
    >>> gg.device("cuda:0").index
    0
    >>> with gg.device("cpu"):
    ...     gg.zeros(2).device
    device(type='cpu')
    """

    __slots__ = ("type", "index", "_before")

    def __init__(self, type: Any, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index if index is None else index
        elif isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(f"device: expected 'cpu', 'cuda', 'cuda:i' or an index, got {type!r}")
        name, colon, number = type.partition(":")
        if colon:
            if index is not None:
                raise RuntimeError(f"device: {type!r} has an index already, and index={index} was given too")
            if not number.isdigit():
                raise RuntimeError(f"device: invalid device string {type!r}; use 'cpu', 'cuda' or 'cuda:0'")
            index = int(number)
        if name not in ("cpu", "cuda", "meta"):
            raise RuntimeError(
                f"device: unknown device {type!r}; gradgpu has 'cpu' and 'cuda', and 'meta' for tensors without memory"
            )
        if name != "cuda" and index not in (None, 0) or index is not None and index < 0:
            raise RuntimeError(f"device: there is no device {name}:{index}")
        self.type: str = name
        self.index: int | None = index

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}')"
            if self.index is None
            else f"device(type='{self.type}', index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return device, (str(self),)

    def __enter__(self) -> device:
        _local.stack = (*_local.stack, self)
        return self

    def __exit__(self, *exc: Any) -> None:
        _local.stack = _local.stack[:-1]


CPU = device("cpu")
_default: device = CPU


class _Local(threading.local):
    stack: tuple[device, ...] = ()


_local = _Local()


def get_default_device() -> device:
    """The device of new tensors when none is named."""
    return _local.stack[-1] if _local.stack else _default


def set_default_device(device: Any) -> None:
    """Sets the device of new tensors when none is named."""
    global _default
    _default = CPU if device is None else as_device(device)


def as_device(d: Any) -> device:
    """A device from a device, a string or an index; None means the default device."""
    if d is None:
        return get_default_device()
    return d if type(d) is device else device(d)
