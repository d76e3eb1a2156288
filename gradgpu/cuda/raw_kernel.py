"""Kernels of one's own: CUDA C++ written in the program, compiled while it runs, launched on tensors."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import state
from ..tensor import Tensor
from .array import Array
from .backend import backend
from .compile import KERNELS_DIR, module, with_headers
from .launch import three
from .stream import Stream, on_device

__all__ = ["RawKernel", "compile_kernel"]

# What a C type is in `struct`, and the dtypes of tensors whose elements it is.
_TYPES: dict[str, tuple[str, tuple[dt.dtype, ...]]] = {
    "float": ("f", (dt.float32,)),
    "double": ("d", (dt.float64,)),
    "__half": ("e", (dt.float16,)),
    "__nv_bfloat16": ("", (dt.bfloat16,)),
    "bool": ("?", (dt.bool,)),
    "char": ("b", (dt.int8, dt.uint8)),
    "signed char": ("b", (dt.int8,)),
    "unsigned char": ("B", (dt.uint8, dt.bool)),
    "short": ("h", (dt.int16,)),
    "unsigned short": ("H", (dt.int16, dt.float16, dt.bfloat16)),
    "int": ("i", (dt.int32,)),
    "unsigned int": ("I", (dt.int32,)),
    "long": ("l", (dt.int64,)),
    "unsigned long": ("L", (dt.int64,)),
    "long long": ("q", (dt.int64,)),
    "unsigned long long": ("Q", (dt.int64,)),
}
_SAME = {
    "half": "__half", "nv_bfloat16": "__nv_bfloat16", "unsigned": "unsigned int", "signed": "int", "signed int": "int",
    "short int": "short", "unsigned short int": "unsigned short", "long int": "long", "unsigned long int": "unsigned long",
    "long long int": "long long", "unsigned long long int": "unsigned long long", "int8_t": "signed char",
    "uint8_t": "unsigned char", "int16_t": "short", "uint16_t": "unsigned short", "int32_t": "int",
    "uint32_t": "unsigned int", "int64_t": "long long", "uint64_t": "unsigned long long", "size_t": "unsigned long long",
    "ptrdiff_t": "long long", "uchar": "unsigned char", "ushort": "unsigned short", "uint": "unsigned int",
    "ulong": "unsigned long", "int8": "signed char", "uint8": "unsigned char", "int16": "short", "int64": "long long",
    "uint32": "unsigned int", "uint64": "unsigned long long",
}  # fmt: skip
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_QUALIFIER = re.compile(r"\b(?:const|volatile|restrict|__restrict__|__restrict|__grid_constant__|struct)\b")


class Parameter(NamedTuple):
    """One parameter of a kernel, as its declaration says."""

    text: str
    type: str  # what it is, or points to, in the words of `_TYPES` where they have it
    pointer: bool
    written: bool  # a pointer to what is not const


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _aliases(source: str) -> dict[str, str]:
    """Names that the source gives to types: `typedef float real;`, `using real = float;`, `#define real float`."""
    found = {name: _spaced(kind) for kind, name in re.findall(r"\btypedef\s+([\w\s]+?)\s+(\w+)\s*;", source)}
    found |= {
        name: _spaced(kind) for name, kind in re.findall(r"\busing\s+(\w+)\s*=\s*([\w\s]+?)\s*;", source)
    }
    found |= {
        name: _spaced(kind) for name, kind in re.findall(r"#define[ \t]+(\w+)[ \t]+([\w \t]+)$", source, re.M)
    }
    return found


def _parameter(text: str, aliases: dict[str, str]) -> Parameter:
    declared = _spaced(text)
    pointer = "*" in declared or "[" in declared
    front = declared.split("*")[0].split("[")[0] if pointer else declared
    words = _QUALIFIER.sub(" ", front).split()
    named = (
        not pointer or "*" not in declared
    )  # the last word is then the parameter's name, unless it has none
    kind = " ".join(words)
    if named and len(words) > 1 and not (kind in _TYPES or kind in _SAME):
        kind = " ".join(words[:-1])
    for _ in range(8):  # aliases of aliases
        kind = _SAME.get(kind, kind)
        if kind not in aliases:
            break
        kind = aliases[kind]
    return Parameter(declared, kind, pointer, pointer and not re.search(r"\bconst\b", front))


def _split(parameters: str) -> list[str]:
    """The parameters of a list, at the commas that are in no brackets."""
    parts, depth = [""], 0
    for c in parameters:
        depth += (c in "<([") - (c in ">)]")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return [part for part in parts if part.strip() not in ("", "void")]


def _declared(source: str, name: str) -> tuple[int, list[Parameter]]:
    """Where the kernel's `__global__` stands, and its parameters."""
    # Comments become blanks of the same length, so that places stay.
    plain = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)
    found = re.search(rf"\b__global__\b[^;{{}}]*?\b{re.escape(name)}\s*\(", plain)
    if found is None:
        kernels = re.findall(
            r"\b__global__\b[^;{}]*?\bvoid\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(", plain
        )
        raise ValueError(
            f"compile_kernel: the source has no kernel {name!r}; it has {', '.join(kernels) or 'none'} "
            "(kernels are __global__ functions)"
        )
    if re.search(r"\btemplate\s*<[^;{}]*$", plain[: found.start()]):
        raise ValueError(
            f"compile_kernel: {name} is a template; call it from a kernel for the types that are wanted, or name them by a "
            "macro: nvcc_options=['-DT=float']"
        )
    depth, end = 1, found.end()
    while depth and end < len(plain):
        depth += (plain[end] == "(") - (plain[end] == ")")
        end += 1
    aliases = _aliases(plain)
    return found.start(), [_parameter(text, aliases) for text in _split(plain[found.end() : end - 1])]


class RawKernel:
    """A compiled kernel; made by :func:`compile_kernel`.

    Attributes:
        name: its name in the source.
        parameters: what its declaration says of each parameter.
    """

    def __init__(self, source: str, name: str, options: tuple[str, ...] = ()):
        start, self.parameters = _declared(source, name)
        if not re.search(r'extern\s+"C"\s*(?:\{[^}]*)?$', source[:start]):
            source = f'{source[:start]}extern "C" {source[start:]}'
        self.source, self.name, self.options = source, name, options
        self._functions: dict[int, Any] = {}  # by device
        self._shared: dict[int, int] = {}  # bytes of dynamic shared memory allowed beyond 48 KiB, by device
        self._function()  # errors in the source are told at once

    def _function(self) -> Any:
        """The compiled function on the current device."""
        device = backend().get_device()
        if device not in self._functions:
            self._functions[device] = module(self.source, self.name, self.options).function(self.name)
        return self._functions[device]

    @property
    def attributes(self) -> dict[str, int]:
        """`registers` a thread, `shared` (static, bytes a block), `local` and `constant` (bytes), `max_threads` a block; the
        simulator knows `shared` and `max_threads`."""
        return dict(self._function().attributes)

    def set_shared_memory_config(self, shared_mem_bytes: int) -> None:
        """Allows blocks so many bytes of dynamic shared memory. (A launch that asks for more than 48 KiB does it by itself.)"""
        device = backend().get_device()
        if shared_mem_bytes > self._shared.get(device, 48 * 1024):
            self._function().set_shared(shared_mem_bytes)
            self._shared[device] = shared_mem_bytes

    def __call__(
        self,
        grid: Any = (1, 1, 1),
        block: Any = (1, 1, 1),
        args: Sequence[Any] | None = None,
        shared_mem: int = 0,
        stream: Stream | None = None,
    ) -> None:
        """Launches the kernel on the stream, and returns at once.

        Args:
            grid: how many blocks, as an int or up to three.
            block: how many threads a block has, likewise.
            args: an argument for each parameter. For a pointer a Tensor on cuda, whose dtype must be what the pointer points
                to (the kernel gets the address of its first element: a view that is not contiguous needs its strides),
                or an address as an int. For a number a Python or numpy one, converted to the declared type; for a struct
                its bytes.
            shared_mem: bytes of dynamic shared memory a block.
            stream: where to (None: the current stream).

        Tensors given for pointers to what is not const count as changed in place.

        Raises:
            TypeError: an argument does not fit its parameter.
            ValueError: too many or too few arguments, or tensors of different devices.
            RuntimeError: a tensor to be written requires grad, and gradients are being recorded.
        """
        args = [] if args is None else [*args]
        if len(args) != len(self.parameters):
            declared = ", ".join(p.text for p in self.parameters)
            raise ValueError(
                f"{self.name}: {len(args)} arguments for {len(self.parameters)} parameters ({declared})"
            )
        sizes = (*three(grid), *three(block))
        if min(sizes) < 1:
            raise ValueError(
                f"{self.name}: grid and block must be at least 1, got grid {grid} and block {block}"
            )
        blobs = [
            ctypes.create_string_buffer(content, max(len(content), 1))
            for content in (self._bytes(k, p, x) for k, (p, x) in enumerate(zip(self.parameters, args)))
        ]
        tensors = [x for x in args if isinstance(x, Tensor) and isinstance(x._a, Array)]
        devices = {t._a.layout.device for t in tensors}
        if len(devices) > 1:
            seen = ", ".join(f"cuda:{d}" for d in sorted(devices))
            raise ValueError(f"{self.name}: expected all tensors to be on the same device, but found {seen}")
        pointers = (ctypes.c_void_p * max(len(blobs), 1))(*[ctypes.addressof(b) for b in blobs])
        with on_device(devices.pop() if devices else None):
            function = self._function()
            self.set_shared_memory_config(shared_mem)
            b = backend()
            current = b.current_stream_ptr()
            target = current if stream is None else stream.cuda_stream
            b.launch(function.handle, *sizes, shared_mem, target, ctypes.addressof(pointers), 0)
        for p, x in zip(self.parameters, args):
            if p.written and isinstance(x, Tensor):
                x._bump()

    def _bytes(self, number: int, p: Parameter, x: Any) -> bytes:
        """An argument as its parameter has it in memory."""
        if isinstance(x, Tensor) and x.ndim == 0 and not x.is_cuda and not p.pointer:
            x = x.item()
        where = f"{self.name}: argument {number} ({p.text})"
        if p.pointer:
            return struct.pack("P", self._address(where, p, x))
        if p.type in _TYPES:
            code, dtypes = _TYPES[p.type]
            if isinstance(x, (bool, np.bool)) or not isinstance(x, (int, float, np.number)):
                if not (isinstance(x, (bool, np.bool)) and p.type == "bool"):
                    raise TypeError(f"{where}: expected a number, got {type(x).__name__}")
            elif isinstance(x, (float, np.floating)) and not dtypes[0].is_floating_point:
                raise TypeError(f"{where}: expected an integer, got {x}")
            try:
                return struct.pack(code, x) if code else np.asarray(x, dtypes[0].np).tobytes()
            except (struct.error, OverflowError) as error:
                raise TypeError(f"{where}: {x} does not fit: {error}") from None
        if isinstance(x, (np.generic, np.ndarray)):
            return x.tobytes()
        if isinstance(x, (bytes, ctypes.Structure)):
            return bytes(x)
        raise TypeError(
            f"{where}: what {p.type!r} is cannot be seen here; give a numpy value of its size, as np.float32(…), or bytes"
        )

    def _address(self, where: str, p: Parameter, x: Any) -> int:
        if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
            return int(x)
        if not isinstance(x, Tensor):
            raise TypeError(f"{where}: expected a Tensor on cuda or an address, got {type(x).__name__}")
        if not isinstance(x._a, Array):
            raise TypeError(f"{where}: expected a Tensor on cuda, got one on {x.device}; use .cuda()")
        if p.type in _TYPES and x.dtype not in _TYPES[p.type][1]:
            fits = " or ".join(map(str, _TYPES[p.type][1]))
            raise TypeError(
                f"{where}: expected a tensor of {fits}, got {x.dtype}; use .to(...), or change the kernel"
            )
        if p.written and x.requires_grad and state.grad:
            raise RuntimeError(
                f"{where}: the tensor to be written requires grad, and what a kernel does to it is not recorded; write into "
                "x.detach(), or launch the kernel in the forward of an autograd.Function (see gradgpu.library.custom_op)"
            )
        return x._a.ptr


def compile_kernel(
    kernel_source: str,
    kernel_name: str,
    compute_capability: str | None = None,
    cuda_include_dirs: Iterable[str | os.PathLike] | None = None,
    nvcc_options: Iterable[str] | None = None,
) -> RawKernel:
    """Compiles a kernel written in CUDA C++, by NVRTC on a GPU and by the host's compiler in the simulator, which checks
    every access: an index out of bounds or a race is told with its block, thread and line.

    Args:
        kernel_source: the text. ``#include "common.cuh"`` gives it what gradgpu's own kernels use (``kernels/common.cuh``):
            ``load``, ``store``, ``block_reduce`` and others.
        kernel_name: the name of its ``__global__`` function.
        compute_capability: what it is compiled for, as '90'; only the current device's can be asked for.
        cuda_include_dirs: folders of headers that the text includes in quotes.
        nvcc_options: ``-D`` macros, and others for NVRTC (as ``--use_fast_math``; the simulator computes as without).

    Returns:
        The kernel: ``kernel(grid, block, args, shared_mem=0, stream=None)``, see :class:`RawKernel`.

    Raises:
        ValueError: there is no such kernel in the text, or another compute capability is asked for.
        RuntimeError: it does not compile (the compiler's messages follow), or there is no 'cuda'.

    >>> import gradgpu as gg
    >>> saxpy = gg.cuda.compile_kernel('''
    ... __global__ void saxpy(float a, const float* x, float* y, int n) {
    ...     int i = blockIdx.x * blockDim.x + threadIdx.x;
    ...     if (i < n) y[i] += a * x[i];
    ... }''', "saxpy")
    >>> x, y = gg.arange(4.0, device="cuda"), gg.ones(4, device="cuda")
    >>> saxpy(grid=1, block=128, args=[2.0, x, y, y.numel()])
    >>> y
    tensor([1., 3., 5., 7.], device='cuda:0')
    """
    here = str(backend().compute_capability(backend().get_device()))
    if (
        compute_capability is not None
        and compute_capability.lower().removeprefix("sm_").replace(".", "") != here
    ):
        raise ValueError(
            f"compile_kernel: kernels are compiled for the current device (sm_{here}), not for {compute_capability!r}"
        )
    macros, options = "", []
    for option in nvcc_options or ():
        defined = re.fullmatch(r"-D\s*(\w+)(?:=(.*))?", option)
        if defined:
            macros += f"#define {defined[1]} {'1' if defined[2] is None else defined[2]}\n"
        else:
            options.append(option)
    folders = [*[os.fspath(folder) for folder in cuda_include_dirs or ()], KERNELS_DIR]
    return RawKernel(macros + with_headers(kernel_source, folders, set()), kernel_name, tuple(options))
