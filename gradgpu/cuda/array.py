"""Array: memory on a CUDA device with a layout. What a numpy array is on the CPU, less the mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from . import in_flight, pinned
from .backend import backend


class Layout:
    """Device, dtype, shape and strides of an array. Interned, so that identity means equality
    and a launch plan is found by it in one dictionary look-up. Strides count elements."""

    __slots__ = ("device", "dtype", "shape", "strides", "ndim", "size", "itemsize", "nbytes", "contiguous")

    def __init__(self, device: int, dtype: np.dtype, shape: tuple, strides: tuple):
        self.device, self.dtype, self.shape, self.strides = device, dtype, shape, strides
        self.ndim, self.size, self.itemsize = len(shape), prod(shape), dtype.itemsize
        self.nbytes = self.size * self.itemsize
        self.contiguous = self.size == 0 or all(
            n == 1 or s == expected for n, s, expected in zip(shape, strides, row_major(shape))
        )


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous array."""
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


_layouts: dict[tuple, Layout] = {}


def layout_of(device: int, dtype: np.dtype, shape: tuple, strides: tuple | None = None) -> Layout:
    """The one Layout with these properties (contiguous if `strides` is None)."""
    key = (device, dtype, shape, strides)
    found = _layouts.get(key)
    if found is None:
        if strides is None:
            found = layout_of(device, dtype, shape, row_major(shape))
        else:
            found = Layout(device, dtype, shape, strides)
        if len(_layouts) > 100_000:  # shapes that never return; plans are then made anew
            _layouts.clear()
        found = _layouts.setdefault(key, found)  # another thread may have been quicker
    return found


class Array:
    """`mem` keeps the allocation alive, `ptr` is the address of the first element, `layout` the rest."""

    __slots__ = ("mem", "ptr", "layout", "__weakref__")

    def __init__(self, mem: Any, ptr: int, layout: Layout):
        self.mem, self.ptr, self.layout = mem, ptr, layout

    @property
    def shape(self) -> tuple:
        return self.layout.shape

    @property
    def strides(self) -> tuple:
        return self.layout.strides

    @property
    def dtype(self) -> np.dtype:
        return self.layout.dtype

    @property
    def ndim(self) -> int:
        return self.layout.ndim

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def device(self) -> int:
        return self.layout.device

    @property
    def nbytes(self) -> int:
        return self.layout.nbytes

    def as_strided(self, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Array:
        """A view with this geometry; `offset` counts elements from the first one of this array."""
        old = self.layout
        layout = layout_of(old.device, old.dtype, tuple(shape), tuple(strides))
        return Array(self.mem, self.ptr + offset * old.itemsize, layout)

    def view_as(self, shape: Sequence[int]) -> Array | None:
        """A view with another shape, or None if the elements do not lie so."""
        strides = reshape_strides(self.layout, tuple(shape))
        return None if strides is None else self.as_strided(shape, strides)

    def reshape(self, shape: Sequence[int]) -> Array:
        """The same elements in another shape: a view if it can be, else a copy."""
        view = self.view_as(shape)
        return contiguous(self).view_as(shape) if view is None else view  # type: ignore[return-value]

    def view_dtype(
        self, dtype: np.dtype, shape: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None
    ) -> Array:
        """The same bytes as another dtype; if it has another size, with the shape and strides given, in its elements."""
        shape, strides = shape or self.layout.shape, strides or self.layout.strides
        return Array(self.mem, self.ptr, layout_of(self.layout.device, dtype, shape, strides))

    def copy(self) -> Array:
        """A contiguous copy on the same device."""
        layout = self.layout
        if layout.contiguous:
            b = backend()
            if layout.device == b.get_device():
                mem = b.alloc(layout.nbytes)
                made = Array(mem, mem.ptr, layout)
            else:
                made = empty(layout.shape, layout.dtype, layout.device)
            if layout.size:
                b.copy(made.ptr, self.ptr, layout.nbytes, b.current_stream_ptr())
            return made
        from .elementwise import copy

        return copy(self)

    # The tape sums gradients with these two; everything else is an op.
    def __add__(self, other: Array) -> Array:
        from .elementwise import add

        return add(self, other)

    def __iadd__(self, other: Array) -> Array:
        from .elementwise import add_into

        return add_into(self, other)

    def get(self, out: np.ndarray | None = None, non_blocking: bool = False) -> np.ndarray:
        """The elements on the host, in `out` if given (in C order). Waits for the device.

        With `non_blocking` the host goes on if `out` is page-locked, as a new array then is; the values are there when
        the current stream has done its work.
        """
        dense = contiguous(self)
        if out is None:
            out = (pinned.empty if non_blocking else np.empty)(self.shape, self.dtype)
        if out.size:
            b = backend()
            with on_device(self.device):
                if non_blocking and b.is_pinned(out.ctypes.data):
                    b.to_host_async(out, dense.ptr, b.current_stream_ptr())
                    in_flight.keep(out)
                    return out
                b.to_host(out, dense.ptr, b.current_stream_ptr())
            in_flight.release()
            if after_wait:
                run_after_wait()
        return out

    def set(self, values: np.ndarray, non_blocking: bool = False) -> None:
        """Overwrites this contiguous array with host values of the same shape and dtype, which may change at return.

        With `non_blocking` page-locked values must stay until the current stream has done its work.
        """
        if self.size:
            b = backend()
            values = np.ascontiguousarray(values)
            with on_device(self.device):
                if non_blocking and b.is_pinned(values.ctypes.data):
                    b.to_device_async(self.ptr, values, b.current_stream_ptr())
                    in_flight.keep(values)
                else:
                    b.to_device(self.ptr, values, b.current_stream_ptr())
                    in_flight.release()

    def __dlpack__(self, **kwargs: Any) -> Any:
        from .interop import to_cupy

        return to_cupy(self).__dlpack__(**kwargs)

    @property
    def __cuda_array_interface__(self) -> dict:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str if self.dtype.kind != "V" else "<V2",
            "data": (self.ptr, False),
            "strides": None
            if self.layout.contiguous
            else tuple(s * self.layout.itemsize for s in self.strides),
            "version": 3,
            "stream": backend().current_stream_ptr() or 1,
        }

    def __repr__(self) -> str:
        return f"<Array {self.dtype} {self.shape} on cuda:{self.device}>"


def reshape_strides(layout: Layout, shape: tuple) -> tuple | None:
    """Strides that show the elements of `layout` as `shape`, or None if only a copy can.

    Groups of old dimensions that are contiguous among themselves may be cut anew.
    """
    if layout.contiguous:
        return row_major(shape)
    old = [(n, s) for n, s in zip(layout.shape, layout.strides) if n != 1]
    blocks: list[list[int]] = []  # [elements, innermost stride] of runs that can be seen as one dimension
    for n, s in old:
        if blocks and blocks[-1][1] == n * s:
            blocks[-1] = [blocks[-1][0] * n, s]
        else:
            blocks.append([n, s])
    strides = [1] * len(shape)
    d = len(shape) - 1
    for elements, step in reversed(blocks):
        left = elements
        while left > 1:
            while d >= 0 and shape[d] == 1:
                d -= 1
            if d < 0 or left % shape[d]:
                return None
            strides[d] = step
            step *= shape[d]
            left //= shape[d]
            d -= 1
    return tuple(strides)


# The streams, by device and handle, on which kernels ran that leave something to look at to the next wait for the device.
after_wait: dict[tuple[int, int], Any] = {}


def run_after_wait() -> None:
    """Looks at what kernels left to the next synchronisation: the check of indices, which may raise."""
    from .indexing import raise_if_seen

    for device in {device for device, _ in [*after_wait]}:
        raise_if_seen(device)


class on_device:
    """Makes a device current for a block."""

    __slots__ = ("device", "before")

    def __init__(self, device: int):
        self.device = device

    def __enter__(self) -> None:
        b = backend()
        self.before = b.get_device()
        if self.before != self.device:
            b.set_device(self.device)

    def __exit__(self, *exc: Any) -> None:
        if self.before != self.device:
            backend().set_device(self.before)


def empty(shape: Sequence[int], dtype: Any, device: int | None = None) -> Array:
    """An uninitialised contiguous array on the current (or the given) device."""
    b = backend()
    current = b.get_device()
    if device is not None and device != current:
        with on_device(device):
            return empty(shape, dtype, device)
    layout = layout_of(current, np.dtype(dtype), tuple(shape))
    mem = b.alloc(layout.nbytes)
    return Array(mem, mem.ptr, layout)


def full(shape: Sequence[int], value: Any, dtype: Any, device: int | None = None) -> Array:
    """A contiguous array of one value."""
    from .elementwise import fill

    made = empty(shape, dtype, device)
    fill(made, value)
    return made


def zeros(shape: Sequence[int], dtype: Any, device: int | None = None) -> Array:
    """A contiguous array of zeros."""
    made = empty(shape, dtype, device)
    if made.size:
        b = backend()
        with on_device(made.device):
            b.fill(made.ptr, 0, made.nbytes, b.current_stream_ptr())
    return made


def from_host(values: np.ndarray, device: int | None = None, non_blocking: bool = False) -> Array:
    """A copy of a numpy array on the current (or the given) device; `non_blocking` as for `Array.set`."""
    made = empty(values.shape, values.dtype, device)
    made.set(values, non_blocking)
    return made


def constant(values: np.ndarray, device: int | None = None) -> Array:
    """`from_host` for what is kept and used by every stream: the copy is done at return."""
    made = from_host(values, device)
    with on_device(made.device):
        backend().current_stream().synchronize()
    return made


def contiguous(x: Array) -> Array:
    """`x` itself if its elements lie in row-major order without gaps, else a copy that does."""
    return x if x.layout.contiguous else x.copy()
