"""Batches in page-locked memory, for a DataLoader with ``pin_memory=True``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .collate import _like


def pin_memory(data: Any, device: Any = None) -> Any:
    """What data holds (nested as it likes) with its tensors in page-locked memory.

    Tensors, and objects with a method ``pin_memory``, give the result of that method; mappings, tuples (named ones too)
    and sequences keep their types where these take the items; all else stays as it is.

    Args:
        data: a batch.
        device: accepted for compatibility: the memory is good for every CUDA device.

    Raises:
        RuntimeError: a tensor is not on the CPU, or there is no CUDA device.

    Example:
        >>> import gradgpu as gg
        >>> from gradgpu.utils.data._utils.pin_memory import pin_memory
        >>> batch = pin_memory({"x": gg.ones(2), "names": ["a", "b"]})
        >>> batch["x"].is_pinned(), batch["names"]
        (True, ['a', 'b'])
        >>> batch["x"].to("cuda", non_blocking=True)
        tensor([1., 1.], device='cuda:0')
    """
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _like(data, {key: pin_memory(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[pin_memory(x) for x in data])
    if isinstance(data, Sequence):
        return _like(data, [pin_memory(x) for x in data])
    return data
