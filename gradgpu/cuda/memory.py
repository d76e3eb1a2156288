"""How much memory of the device is in use. Freed arrays go to a pool that serves later ones."""

from __future__ import annotations

from typing import Any

from . import in_flight
from .backend import backend, is_initialized
from .stream import _index, on_device

__all__ = [
    "empty_cache",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
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
        return backend().peak_memory()["used"]


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that the pool has held; counted as for `max_memory_allocated`."""
    with on_device(device):
        return backend().peak_memory()["held"]


def reset_peak_memory_stats(device: Any = None) -> None:
    """Lets `max_memory_allocated` and `max_memory_reserved` begin anew with what is in use now."""
    with on_device(device):
        backend().reset_peak_memory()


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds: those of live arrays and those kept for later ones."""
    with on_device(device):
        return backend().memory_info()["held"]


def memory_stats(device: Any = None) -> dict[str, int]:
    """The pool's figures by PyTorch's names, of those that there are: ``allocated_bytes.all.current``, ``.peak``, and
    ``reserved_bytes.all.current``, ``.peak``. The pool has no parts, and counts no allocations.

    >>> import gradgpu as gg
    >>> x = gg.zeros(1000, device="cuda")
    >>> gg.cuda.memory_stats()["allocated_bytes.all.current"] == gg.cuda.memory_allocated()
    True
    """
    figures = {
        "allocated_bytes": (memory_allocated(device), max_memory_allocated(device)),
        "reserved_bytes": (memory_reserved(device), max_memory_reserved(device)),
    }
    return {
        f"{name}.all.{which}": value
        for name, values in figures.items()
        for which, value in zip(("current", "peak"), values)
    }


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of what live arrays take, what the pool holds and what the device has, to print.

    Args:
        device: the device; None is the current one.
        abbreviated: without what the device has besides.

    >>> import gradgpu as gg
    >>> gg.cuda.memory_summary().splitlines()[1]
    '|              gradgpu CUDA memory summary, device ID 0               |'
    """
    stats, (free, total) = memory_stats(device), mem_get_info(device)
    allocated, most_allocated, reserved, most_reserved = stats.values()
    rows = [
        ("Allocated memory", allocated, most_allocated),
        ("GPU reserved memory", reserved, most_reserved),
        ("Reserved and free", reserved - allocated, None),
    ]
    if not abbreviated:
        rows += [("GPU free memory", free, None), ("GPU total memory", total, None)]
    width = 67
    title = f"gradgpu CUDA memory summary, device ID {_index(device)}"
    lines = ["=" * width, title.center(width), "=" * width]
    lines.append(f" {'Metric':<31} | {'Cur Usage':^14} | {'Peak Usage':^14} ")
    for name, now, most in rows:
        lines += ["-" * width, f" {name:<31} | {_size(now):>14} | {'' if most is None else _size(most):>14} "]
    return "".join(f"|{line}|\n" for line in [*lines, "=" * width])


def _size(nbytes: int) -> str:
    size, unit = float(nbytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 768:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}  " if unit == "B" else f"{size:.1f} {unit}"


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the device."""
    with on_device(device):
        info = backend().memory_info()
        return info["free"], info["total"]


def empty_cache() -> None:
    """Gives the memory that the pool keeps for later back to the device."""
    in_flight.release()
    backend().empty_cache()


def empty_host_cache() -> None:
    """Gives page-locked memory that its pool keeps for later (see `Tensor.pin_memory`) back to the system.

    >>> import gradgpu as gg
    >>> gg.accelerator.empty_host_cache()
    """
    if is_initialized():
        in_flight.release()
        backend().empty_pinned_cache()


# PyTorch's older names
memory_cached, max_memory_cached = memory_reserved, max_memory_reserved
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
