"""Collating: a list of samples becomes a batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ...ops.creation import from_numpy, tensor
from ...ops.join import stack
from ...tensor import Tensor

__all__ = ["default_collate", "default_convert"]


def _like(first: Any, items: dict | list) -> Any:
    """A mapping or sequence of the type of `first`, or a plain one where its type does not take the items."""
    try:
        if isinstance(first, (MutableMapping, MutableSequence)):
            clone = copy.copy(first)  # keeps what the type knows besides its items
            if isinstance(items, dict):
                clone.update(items)  # type: ignore[union-attr]
            else:
                clone[:] = items
            return clone
        return type(first)(items)
    except Exception:
        return items


def default_convert(data: Any) -> Any:
    """numpy arrays in data (nested as it likes) as tensors; for loaders without batches."""
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "SUO":
        return from_numpy(np.asarray(data))
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(x) for x in data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        items = [default_convert(x) for x in data]
        return items if isinstance(data, tuple) else _like(data, items)
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from a list of samples: tensors, arrays and numbers are stacked, containers collated inside.

    Example:
        >>> import gradgpu as gg
        >>> gg.utils.data.default_collate([{'x': 1.0, 'y': 'a'}, {'x': 2.0, 'y': 'b'}])
        {'x': tensor([1., 2.], dtype=gradgpu.float64), 'y': ['a', 'b']}
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(_message(first.dtype))
        if any(np.shape(sample) != first.shape for sample in batch):
            shapes = sorted({np.shape(sample) for sample in batch})
            raise RuntimeError(f"stack expects each array to be equal size, but got {shapes}")
        return from_numpy(np.stack(batch))
    if isinstance(first, np.generic):
        return from_numpy(np.asarray(batch))
    if isinstance(first, float):
        return from_numpy(np.asarray(batch, np.float64))
    if isinstance(first, (bool, int)):
        for sample in batch:
            if isinstance(sample, (str, bytes)):
                raise TypeError(_message(type(sample)))
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch  # as it came: a list of samples, a tuple where they are part of samples
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch)]
        return (
            columns if isinstance(first, tuple) else _like(first, columns)
        )  # of tuples too PyTorch makes a list
    raise TypeError(_message(type(first)))


def _message(found: Any) -> str:
    return (
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {found}; give the DataLoader a collate_fn of your own"
    )
