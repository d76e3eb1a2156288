"""Page-locked ("pinned") host memory: the device copies from and to it by itself, while the host goes on."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from . import in_flight
from .backend import backend, is_initialized


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An uninitialised numpy array in page-locked memory. What is freed goes to a pool, when no copy needs it any more.

    Raises:
        RuntimeError: there is no CUDA device.
    """
    d = np.dtype(dtype)
    nbytes = prod(shape) * d.itemsize
    try:
        b = backend()
    except RuntimeError as error:
        raise RuntimeError(
            f"pin_memory: page-locked memory needs a CUDA device, and none is available: {error}"
        ) from error
    in_flight.release()
    return np.ndarray(shape, d, buffer=b.alloc_pinned(nbytes)) if nbytes else np.empty(shape, d)


def copy(values: Any) -> np.ndarray:
    """A copy of a numpy array (or scalar) in page-locked memory, in C order."""
    made = empty(values.shape, values.dtype)
    made[...] = values
    return made


def is_pinned(values: np.ndarray) -> bool:
    """Whether the array lies in page-locked memory."""
    return is_initialized() and bool(backend().is_pinned(values.ctypes.data))
