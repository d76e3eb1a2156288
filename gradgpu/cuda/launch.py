"""Launching: a `Kernel` is one function of a kernel file for a set of dtypes; a `Launcher` one compiled instance.

Every kernel takes one struct by value. Its bytes are written into a buffer that the driver reads
during the call, which costs a quarter of what boxing each argument does.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from .backend import backend
from .compile import dtype_macros, module, source

KERNELS: list[Kernel] = []  # every kernel of kernels/, for `make kernels`

_FORMAT = {"P": "Q", "q": "q", "i": "i", "I": "I", "d": "d", "f": "f", "Q": "Q"}


class Buffer:
    """The bytes of one parameter struct and the array of one pointer to it that a launch takes."""

    __slots__ = ("bytes", "pointers", "address")

    def __init__(self, size: int, content: bytes = b""):
        self.bytes = ctypes.create_string_buffer(content.ljust(size, b"\0"), size)
        self.pointers = (ctypes.c_void_p * 1)(ctypes.addressof(self.bytes))
        self.address = ctypes.addressof(self.pointers)


def three(size: Any) -> tuple[int, int, int]:
    """A grid or block as three numbers."""
    if isinstance(size, (int, np.integer)):
        return int(size), 1, 1
    return (*size, 1, 1)[:3]


class Launcher:
    """A compiled kernel. `launcher(grid, block, *values, shared=0)`: pointers are addresses (ints)."""

    __slots__ = ("name", "handle", "function", "pack", "size", "free", "shared_limit")

    def __init__(self, function: Any, name: str, fmt: str):
        self.name, self.function, self.handle = name, function, function.handle
        layout = struct.Struct("@" + "".join(_FORMAT.get(c, c) for c in fmt))
        self.pack, self.size = layout.pack_into, max(-(-layout.size // 8) * 8, 8)
        self.free: list[Buffer] = []
        self.shared_limit = 48 * 1024

    def __call__(self, grid: Any, block: Any, *values: Any, shared: int = 0) -> None:
        if shared > self.shared_limit:
            self.function.set_shared(shared)
            self.shared_limit = shared  # of several threads' the last one's: the function keeps the largest
        # A buffer of its own for each thread that is in the driver right now.
        try:
            buffer = self.free.pop()
        except IndexError:
            buffer = Buffer(self.size)
        self.pack(buffer.bytes, 0, *values)
        b = backend()
        stream = b.current_stream_ptr()
        if type(grid) is int and type(block) is int:
            b.launch(self.handle, grid, 1, 1, block, 1, 1, shared, stream, buffer.address, 0)
        else:
            b.launch(self.handle, *three(grid), *three(block), shared, stream, buffer.address, 0)
        self.free.append(buffer)


class Kernel:
    """A kernel of `kernels/<file>` for several dtypes.

    Args:
        file: its file in `kernels/`.
        name: its name inside KERNEL(…).
        fmt: its parameter struct: P pointer, q int64, i int32, I uint32, d double, f float, 24s packed bytes.
        **macros: dtype macros (`T=FLOATS`) with the dtypes they may take; other values are written as they are.

    `kernel[x.dtype]` (numpy or gradgpu dtypes; a tuple for several macros) is the Launcher.
    """

    launcher = Launcher

    def __init__(self, file: str, name: str, fmt: str, **macros: Any):
        self.file, self.name, self.fmt = file, name, fmt
        self.types: dict[str, tuple[dt.dtype, ...]] = {}
        self.constants: dict[str, str] = {}
        for key, value in macros.items():
            if isinstance(value, (tuple, list)):
                self.types[key] = tuple(value)
            else:
                self.constants[key] = str(value)
        self._launchers: dict[Any, Launcher] = {}
        KERNELS.append(self)

    def combinations(self) -> Iterator[tuple[dt.dtype, ...]]:
        """Every set of dtypes that this kernel is compiled for."""
        return itertools.product(*self.types.values())

    def source(self, dtypes: Sequence[dt.dtype]) -> str:
        """The text that is compiled for these dtypes."""
        macros = {**dtype_macros(**dict(zip(self.types, dtypes))), **self.constants}
        macros.setdefault("T_NAME", "f32")
        return source(self.file, macros)

    def entry(self, dtypes: Sequence[dt.dtype]) -> str:
        """The name of the compiled function."""
        suffix = dict(zip(self.types, dtypes)).get("T", dt.float32).suffix
        return f"{self.name}_{suffix}"

    def __getitem__(self, key: Any) -> Launcher:
        here = (backend().get_device(), key)
        found = self._launchers.get(here)
        return self._make(here, key) if found is None else found

    def _make(self, here: Any, key: Any) -> Launcher:
        dtypes = tuple(dt.as_dtype(d) for d in (key if isinstance(key, tuple) else (key,)))
        for macro, d in zip(self.types, dtypes, strict=True):
            if d not in self.types[macro]:
                names = ", ".join(str(x) for x in self.types[macro])
                raise TypeError(f"{self.name}: no kernel for {macro} = {d}; there is one for {names}")
        entry = self.entry(dtypes)
        function = module(self.source(dtypes), f"{self.file}[{','.join(d.suffix for d in dtypes)}]").function(
            entry
        )
        return self._launchers.setdefault(here, self.launcher(function, entry, self.fmt))
