"""How much memory of the device is in use. Freed arrays go to a pool that serves later ones."""

from __future__ import annotations

from typing import Any

from . import in_flight
from .backend import backend
from .stream import on_device

__all__ = [
    "empty_cache",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
]


def memory_allocated(device: Any = None) -> int:
    """Bytes that live arrays take on the device (the current one if None)."""
    in_flight.release()
    with on_device(device):
        return backend().memory_info()["used"]


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that live arrays have taken.

    On a GPU the count begins with the first call of this function or of `reset_peak_memory_stats`: CuPy's pool
    keeps no peak by itself, and watching it costs a little at each allocation.
    """
    with on_device(device):
        return backend().peak_memory()


def reset_peak_memory_stats(device: Any = None) -> None:
    """Lets `max_memory_allocated` begin anew with what is in use now."""
    with on_device(device):
        backend().reset_peak_memory()


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds: those of live arrays and those kept for later ones."""
    with on_device(device):
        return backend().memory_info()["held"]


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the device."""
    with on_device(device):
        info = backend().memory_info()
        return info["free"], info["total"]


def empty_cache() -> None:
    """Gives the memory that the pool keeps for later back to the device."""
    in_flight.release()
    backend().empty_cache()
