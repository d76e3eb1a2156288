"""Device memory shared with other libraries, without a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import from_numpy_dtype
from .array import Array, layout_of
from .backend import backend


def from_cuda_array_interface(x: Any) -> Array:
    """An Array over the memory of any object with `__cuda_array_interface__` (version 2 or 3), which stays alive with it."""
    description = x.__cuda_array_interface__
    if description.get("mask") is not None:
        raise ValueError("from_dlpack: masked arrays are not supported")
    dtype = np.dtype(
        getattr(x, "dtype", None) if description["typestr"][1] == "V" else description["typestr"]
    )
    dtype = from_numpy_dtype(dtype).np
    shape = tuple(description["shape"])
    strides = description.get("strides")
    if strides is not None:
        if any(s % dtype.itemsize for s in strides):
            raise ValueError(
                f"from_dlpack: strides {strides} are not multiples of the item size {dtype.itemsize}"
            )
        strides = tuple(s // dtype.itemsize for s in strides)
    b = backend()
    producer = description.get("stream")
    if producer is not None and producer != (b.current_stream_ptr() or 1):
        b.synchronize()  # the producer's work must be done before this stream reads
    device = getattr(getattr(x, "device", None), "id", None)
    if device is None:
        device = getattr(getattr(x, "device", None), "index", None)
    return Array(
        x,
        description["data"][0],
        layout_of(b.get_device() if device is None else int(device), dtype, shape, strides),
    )


def from_capsule(holder: Callable[[tuple[int, int]], Any]) -> Array:
    """An Array over the device memory of a DLPack capsule: ``holder(device)`` is an object that gives it."""
    b = backend()
    if b.simulated:
        raise BufferError("from_dlpack: the simulator's device memory cannot be shared with other libraries")
    import cupy

    return from_cuda_array_interface(cupy.from_dlpack(holder((2, b.get_device()))))


def to_cupy(x: Array) -> Any:
    """A cupy.ndarray over the memory of `x`."""
    if backend().simulated:
        raise BufferError("the simulator's device memory cannot be shared with other libraries; use x.cpu()")
    import cupy

    memory = cupy.cuda.UnownedMemory(x.ptr, max(x.nbytes, 1), x.mem, x.device)
    strides = tuple(s * x.layout.itemsize for s in x.strides)
    return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0), strides)
