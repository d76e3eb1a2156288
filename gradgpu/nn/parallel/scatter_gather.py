"""Nested arguments sent to devices, and results brought together: over one device, tensors go there whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...tensor import Tensor
from ._functions import Gather, Scatter

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _is_namedtuple(obj: Any) -> bool:
    return isinstance(obj, tuple) and hasattr(obj, "_asdict") and hasattr(obj, "_fields")


is_namedtuple = _is_namedtuple


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """`inputs`, tensors in tuples, lists and dicts or other objects, for each of the devices.

    Raises:
        NotImplementedError: several devices.
    """

    def each(obj: Any) -> list[Any]:
        if isinstance(obj, Tensor):
            return list(Scatter.apply(target_gpus, None, dim, obj))
        if _is_namedtuple(obj):
            return [type(obj)(*parts) for parts in zip(*map(each, obj))]
        if isinstance(obj, tuple) and obj:
            return list(zip(*map(each, obj)))
        if isinstance(obj, list) and obj:
            return [list(parts) for parts in zip(*map(each, obj))]
        if isinstance(obj, dict) and obj:
            return [type(obj)(parts) for parts in zip(*map(each, obj.items()))]
        return [obj for _ in target_gpus]

    return each(inputs)


def scatter_kwargs(
    inputs: tuple, kwargs: dict | None, target_gpus: Sequence[Any], dim: int = 0
) -> tuple[tuple, tuple]:
    """Arguments and named arguments for each of the devices, as many of one kind as of the other."""
    scattered = scatter(inputs, target_gpus, dim) if inputs else []
    named = scatter(kwargs, target_gpus, dim) if kwargs else []
    scattered += [() for _ in range(len(named) - len(scattered))]
    named += [{} for _ in range(len(scattered) - len(named))]
    return tuple(scattered), tuple(named)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """The results of all devices, nested alike, as one: tensors are joined along `dim` on `target_device`."""

    def join(parts: Any) -> Any:
        first = parts[0]
        if isinstance(first, Tensor):
            return Gather.apply(target_device, dim, *parts)
        if first is None:
            return None
        if isinstance(first, dict):
            if not all(len(first) == len(part) for part in parts):
                raise ValueError("All dicts must have the same number of keys")
            return type(first)((key, join([part[key] for part in parts])) for key in first)
        if _is_namedtuple(first):
            return type(first)._make(map(join, zip(*parts)))
        return type(first)(map(join, zip(*parts)))

    return join(outputs)
