"""Arrays of the device 'meta': a shape and a dtype, and no memory.

A module on 'meta' is the skeleton that `func.functional_call` fills with other parameters, and can be built in no time; `to_empty`
gives it memory. Its tensors can be made, filled and passed on, and operations on them tell the shapes and dtypes of their results
(ops/inference.py); to read an element is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class Described(NDArrayOperatorsMixin):
    """Looks like an array, as far as shapes go; numpy's functions and operators refuse it."""

    __slots__ = ("shape", "dtype", "size", "strides")
    __hash__ = object.__hash__

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype, self.size = tuple(shape), np.dtype(dtype), prod(shape)
        self.strides = tuple(prod(shape[d + 1 :]) for d in range(len(shape)))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def itemsize(self) -> int:
        return int(self.dtype.itemsize)

    def refusal(self, what: str) -> Exception:
        """What an operation raises that would need the elements."""
        raise NotImplementedError

    def get(self) -> Any:
        raise self.refusal("reading the elements")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.get()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        raise self.refusal(ufunc.__name__)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        raise self.refusal(function.__name__)

    def __getitem__(self, index: Any) -> Any:
        raise self.refusal("indexing")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self.refusal("this operation" if name == "layout" else name)


class MetaArray(Described):
    """The array of a tensor on 'meta'."""

    __slots__ = ()

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        super().__init__(shape, dtype)
        if MetaArray not in HANDLERS:
            HANDLERS[MetaArray] = _infer

    def refusal(self, what: str) -> Exception:
        return NotImplementedError(
            f"{what}: a tensor on 'meta' has a shape and a dtype, but no data to compute with"
        )

    def copy(self) -> MetaArray:
        return self

    def astype(self, dtype: np.dtype) -> MetaArray:
        return MetaArray(self.shape, dtype)

    def get(self) -> Any:
        raise NotImplementedError(
            "Cannot copy out of meta tensor; no data! Please use gradgpu.nn.Module.to_empty() instead of "
            "gradgpu.nn.Module.to() when moving module from meta to a different device."
        )


class SparseArray(Described):
    """What stands for the array of a sparse tensor (gradgpu/sparse/), whose entries are tensors of their own."""

    __slots__ = ()

    def refusal(self, what: str) -> Exception:
        return NotImplementedError(
            f"{what}: not implemented for sparse tensors; use x.to_dense(), or work on x.coalesce().values()"
        )


# What operations on arrays of these types are handed to, as soon as there are any: (op, inputs, attributes) -> outputs.
HANDLERS: dict[type, Callable] = {}


def _infer(op: Any, inputs: tuple, attrs: dict) -> Any:
    from .ops.inference import infer  # imported with the first operation that needs it

    HANDLERS[MetaArray] = infer
    return infer(op, inputs, attrs)
