"""The simulated device: the names of `gradgpu.cuda.backend.PROTOCOL`, over the runtime in host/.

Launches, copies and fills happen at once, in the order in which they are called; streams only say
what a capture records.
"""

from __future__ import annotations

import bisect
import ctypes
import gc
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...locks import new_lock
from . import KernelError, compiler
from .report import Report, Row

simulated = True

_lib = compiler.runtime()
_int, _unsigned, _size, _address = ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t


def _function(name: str, result: Any, *arguments: Any) -> Any:
    f = getattr(_lib, name)
    f.restype, f.argtypes = result, arguments
    return f


class _Report(ctypes.Structure):
    _fields_ = [
        ("kind", _int),
        ("line", _int),
        ("pc", _size),
        ("block", _unsigned * 3),
        ("thread", _unsigned * 3),
        ("located", _int),
        ("message", ctypes.c_char * 1200),
    ]


_alloc = _function("sim_alloc", _address, _size, _int)
_free = _function("sim_free", _int, _address, ctypes.POINTER(ctypes.c_longlong))
_memory = _function("sim_memory", None, _int, *[ctypes.POINTER(_size)] * 4)
_reset_peak = _function("sim_reset_peak", None, _int)
_set_memory = _function("sim_set_memory", None, _size)
_check_range = _function("sim_check_range", _int, _address, _size, ctypes.c_char_p, _size)
_mark = _function("sim_mark", None, _address, _size)
_copy = _function("sim_copy", None, _address, _address, _size)
_open = _function("sim_open", _address, _address, ctypes.c_char_p)
_attach_checked = _function("sim_attach_checked", _int, _address, _address)
_set_shared = _function("sim_set_shared", None, _address, _unsigned)
_max_threads = _function("sim_max_threads", _unsigned, _address)
_static_shared = _function("sim_static_shared", _size, _address)
_argument_count = _function("sim_argument_count", _unsigned, _address)
_argument_sizes = _function("sim_argument_sizes", ctypes.POINTER(_unsigned), _address)
_report = _function("sim_report", ctypes.POINTER(_Report))
_printed = _function("sim_printed", ctypes.c_char_p)
_clear_printed = _function("sim_clear_printed", None)
_launch = _function("sim_launch", _int, _address, *[_unsigned] * 7, _address)
_configure = _function("sim_configure", None, _int, _int, ctypes.c_double)
_configuration = _function(
    "sim_configuration", None, ctypes.POINTER(_int), ctypes.POINTER(_int), ctypes.POINTER(ctypes.c_double)
)


# ---- devices ----
_lock = new_lock()
_devices = max(1, int(os.environ.get("GRADGPU_CUDASIM_DEVICES", "1")))
_local = threading.local()
_total = int(os.environ.get("GRADGPU_CUDASIM_MEMORY", "0")) or min(
    16 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
)
_set_memory(_total)
_LARGEST_SHARED = 227 * 1024


def device_count() -> int:
    return _devices


def get_device() -> int:
    return getattr(_local, "device", 0)


def set_device(device: int) -> None:
    _check_device(device)
    _local.device = device


def _check_device(device: int) -> None:
    if not 0 <= device < _devices:
        raise RuntimeError(
            f"there is no simulated device {device}; there are {_devices} (GRADGPU_CUDASIM_DEVICES sets how many)"
        )


def device_name(device: int) -> str:
    _check_device(device)
    return "gradgpu CUDA simulator (simulated on the CPU)"


def compute_capability(device: int) -> int:
    _check_device(device)
    return 90


def properties(device: int) -> dict[str, Any]:
    return {
        "name": device_name(device).encode(),
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 16,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "maxThreadsPerMultiProcessor": 2048,
        "maxThreadsDim": (1024, 1024, 64),
        "maxGridSize": (2147483647, 65535, 65535),
        "sharedMemPerBlock": 48 * 1024,
        "sharedMemPerBlockOptin": _LARGEST_SHARED,
        "sharedMemPerMultiprocessor": 228 * 1024,
        "regsPerBlock": 65536,
        "regsPerMultiprocessor": 65536,
        "totalGlobalMem": _total,
        "totalConstMem": 65536,
        "l2CacheSize": 50 << 20,
        "clockRate": 1980000,
        "memoryClockRate": 2619000,
        "memoryBusWidth": 5120,
    }


def synchronize() -> None:
    _refuse_capture_anywhere("synchronize")


# ---- memory ----
_where = ctypes.c_longlong()


class Memory:
    """Bytes of the simulated device, from `ptr` on; given back with the last reference."""

    __slots__ = ("ptr", "pool", "size")

    def __init__(self, size: int, pool: MemoryPool | None = None):
        self.size, self.pool, self.ptr = size, pool, 0
        self.ptr = _alloc(size, getattr(_local, "device", 0))
        if not self.ptr and size:
            gc.collect()  # as CuPy does: memory that reference cycles hold is free after that
            self.ptr = _alloc(size, getattr(_local, "device", 0))
        if not self.ptr and size:
            info = memory_info()
            raise MemoryError(
                f"the simulated device is out of memory: {size:,} bytes wanted, {info['used']:,} of {info['total']:,} in use "
                "(GRADGPU_CUDASIM_MEMORY sets how many it has)"
            )

    def __del__(self, free: Callable = _free, where: Any = _where) -> None:
        if self.ptr and (self.pool is None or not self.pool.keep(self)):
            free(self.ptr, where)


class MemoryPool:
    """Memory of its own: what is freed stays with the pool, for the next allocation of the same size from it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], list[int]] = {}

    def malloc(self, size: int) -> Memory:
        try:
            ptr = self._kept[get_device(), size].pop()
        except LookupError:
            return Memory(size, self)
        memory = Memory.__new__(Memory)
        memory.ptr, memory.size, memory.pool = ptr, size, self
        return memory

    def keep(self, memory: Memory) -> bool:
        self._kept.setdefault((get_device(), memory.size), []).append(memory.ptr)
        return True

    def __del__(self, free: Callable = _free, where: Any = _where) -> None:
        for pointers in self._kept.values():
            for ptr in pointers:
                free(ptr, where)


def alloc(nbytes: int) -> Memory:
    pool = getattr(_local, "pool", None)
    return Memory(nbytes) if pool is None else pool.malloc(nbytes)


@contextmanager
def using_pool(pool: MemoryPool) -> Iterator[None]:
    before = getattr(_local, "pool", None)
    _local.pool = pool
    try:
        yield
    finally:
        _local.pool = before


def _numbers() -> list[int]:
    found = [_size() for _ in range(4)]
    _memory(get_device(), *[ctypes.byref(n) for n in found])
    return [n.value for n in found]


def memory_info() -> dict[str, int]:
    used, _, held, total = _numbers()
    return {"used": used, "held": held, "free": total - used, "total": total}


def peak_memory() -> dict[str, int]:
    _, peak, held, _ = _numbers()  # what is held is never given back
    return {"used": peak, "held": held}


def reset_peak_memory() -> None:
    _reset_peak(get_device())


def empty_cache() -> None:
    """Freed memory of the simulated device is reused at once; there is no cache to empty."""


def empty_pinned_cache() -> None:
    """Freed page-locked memory is the system's again at once."""


# ---- streams, events, graphs ----
_handles = itertools.count(0x5100, 0x10)
_capturing: dict[int, Graph] = {}  # by stream


class Graph:
    """Recorded launches, copies and fills; `launch` does them again."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []

    def launch(self, stream: Stream | None = None) -> None:
        ptr = (stream or current_stream()).ptr
        if ptr in _capturing:
            _capturing[ptr].steps.append(self.launch)
            return
        for step in self.steps:
            step()


class Stream:
    """A queue of work. Here work is done when it is called, so that there is nothing to wait for."""

    def __init__(self, non_blocking: bool = False, priority: int = 0, null: bool = False):
        self.non_blocking, self.priority = non_blocking, priority
        self.ptr = 0 if null else next(_handles)

    def __enter__(self) -> Stream:
        _stack().append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        _stack().pop()

    def use(self) -> Stream:
        _stack()[-1] = self
        return self

    @property
    def done(self) -> bool:
        return True

    def synchronize(self) -> None:
        _refuse_capture(self.ptr, "synchronize")

    def wait_event(self, event: _Event) -> None:
        """Later work waits for the event, which has already happened."""

    def record(self, event: _Event | None = None) -> _Event:
        event = event or Event()
        event.record(self)
        return event

    def is_capturing(self) -> bool:
        return self.ptr in _capturing

    def begin_capture(self) -> None:
        if self.ptr == 0:
            raise RuntimeError(
                "begin_capture: the default stream cannot be captured; use Stream(non_blocking=True)"
            )
        if self.ptr in _capturing:
            raise RuntimeError("begin_capture: this stream is being captured already")
        _capturing[self.ptr] = Graph()

    def end_capture(self) -> Graph:
        if self.ptr not in _capturing:
            raise RuntimeError("end_capture: begin_capture was not called on this stream")
        return _capturing.pop(self.ptr)


def external_stream(obj: Any) -> Stream:
    made = Stream(null=True)
    _, made.ptr = obj.__cuda_stream__()
    return made


_null_stream = Stream(null=True)


def _stack() -> list[Stream]:
    """The streams that are current on the current device, one in the other."""
    try:
        stacks = _local.streams
    except AttributeError:
        stacks = _local.streams = [[_null_stream] for _ in range(_devices)]
    return stacks[get_device()]


def current_stream() -> Stream:
    return _stack()[-1]


def current_stream_ptr() -> int:
    return _stack()[-1].ptr


class _Event:
    def __init__(self, timing: bool, blocking: bool = False):
        self.timing, self.time = timing, 0.0
        self.ptr = next(_handles)

    def record(self, stream: Stream | None = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """The event has happened."""

    @property
    def done(self) -> bool:
        return True


def Event(timing: bool = True, blocking: bool = False) -> _Event:
    return _Event(timing, blocking)


def elapsed_time(start: _Event, end: _Event) -> float:
    for event in (start, end):
        if not event.timing:
            raise RuntimeError("elapsed_time: an event was made with timing=False")
    return (end.time - start.time) * 1e3


def _refuse_capture(stream_ptr: int, what: str) -> None:
    if stream_ptr in _capturing:
        raise RuntimeError(
            f"{what}: the stream is being captured; a graph can hold neither waiting nor copies between host and "
            "device: do them before the capture begins, or keep the value on the device"
        )


def _refuse_capture_anywhere(what: str) -> None:
    for ptr in [*_capturing]:
        _refuse_capture(ptr, what)


# ---- copies ----
def _check(ptr: int, nbytes: int, what: str) -> None:
    text = ctypes.create_string_buffer(600)
    if _check_range(ptr, nbytes, text, 600):
        raise KernelError(
            f"CUDA simulator: {what} of {nbytes} bytes at {ptr:#x} is out of bounds: {text.value.decode()}"
        )


_pinned: list[
    tuple[int, int]
] = []  # (address, bytes) of live page-locked memory, sorted; all threads change it


def alloc_pinned(nbytes: int) -> np.ndarray:
    """Ordinary memory, of which `is_pinned` knows: copies happen at once, wherever they come from."""
    made = np.empty(nbytes, np.uint8)
    place = (made.ctypes.data, nbytes)
    bisect.insort(_pinned, place)
    weakref.finalize(made, _pinned.remove, place).atexit = False
    return made


def is_pinned(ptr: int) -> bool:
    places = _pinned[:]
    at = bisect.bisect_right(places, (ptr, _total)) - 1
    return at >= 0 and ptr < sum(places[at])


def to_device(dst_ptr: int, src: np.ndarray, stream_ptr: int) -> None:
    if _capturing:
        _refuse_capture(stream_ptr, "to_device")
    if not src.flags.c_contiguous:
        raise ValueError("to_device: the host array must be in C order; use numpy.ascontiguousarray first")
    nbytes = src.nbytes
    _check(dst_ptr, nbytes, "a copy to the device")
    ctypes.memmove(dst_ptr, src.ctypes.data, nbytes)
    _mark(dst_ptr, nbytes)


to_device_async = to_device


def to_host(dst: np.ndarray, src_ptr: int, stream_ptr: int) -> None:
    if _capturing:
        _refuse_capture(stream_ptr, "to_host")
    if not dst.flags.c_contiguous:
        raise ValueError("to_host: the host array must be in C order; use numpy.ascontiguousarray first")
    nbytes = dst.nbytes
    _check(src_ptr, nbytes, "a copy to the host")
    ctypes.memmove(dst.ctypes.data, src_ptr, nbytes)


to_host_async = to_host


def copy(dst_ptr: int, src_ptr: int, nbytes: int, stream_ptr: int) -> None:
    if stream_ptr in _capturing:
        _capturing[stream_ptr].steps.append(lambda: copy(dst_ptr, src_ptr, nbytes, 0))
        return
    _check(src_ptr, nbytes, "the source of a copy")
    _check(dst_ptr, nbytes, "the target of a copy")
    _copy(dst_ptr, src_ptr, nbytes)


def copy_peer(
    dst_ptr: int, dst_device: int, src_ptr: int, src_device: int, nbytes: int, stream_ptr: int
) -> None:
    copy(dst_ptr, src_ptr, nbytes, stream_ptr)


def fill(ptr: int, byte: int, nbytes: int, stream_ptr: int) -> None:
    if stream_ptr in _capturing:
        _capturing[stream_ptr].steps.append(lambda: fill(ptr, byte, nbytes, 0))
        return
    _check(ptr, nbytes, "a fill")
    ctypes.memset(ptr, byte, nbytes)
    _mark(ptr, nbytes)


# ---- kernels ----
_functions: dict[int, Function] = {}  # by handle


class Function:
    """A kernel of a module: `handle` is what `launch` takes."""

    __slots__ = ("_shared", "_sizes", "handle", "module", "name")

    def __init__(self, module: Module, name: str) -> None:
        self.module, self.name, self._shared = module, name, 0
        if name not in module.unit.kernels:
            raise AttributeError(
                f"module {module.name} has no kernel {name!r}; it has {', '.join(module.unit.kernels) or 'none'} "
                '(kernels are extern "C" __global__ functions)'
            )
        self.handle: int = _open(module.table(name, False), name.encode())
        sizes = _argument_sizes(self.handle)
        self._sizes = [sizes[i] for i in range(_argument_count(self.handle))]
        _functions[self.handle] = self

    @property
    def attributes(self) -> dict[str, int]:
        """shared (static, bytes, of the whole module) and max_threads; registers and local are 0: not known here."""
        return {
            "registers": 0,
            "shared": _static_shared(self.handle),
            "local": 0,
            "constant": 0,
            "max_threads": _max_threads(self.handle),
        }

    def set_shared(self, nbytes: int) -> None:
        """Allows `nbytes` of dynamic shared memory a block (needed above 48 KB); never less than before."""
        if nbytes > _LARGEST_SHARED:
            raise RuntimeError(
                f"{self.name}: {nbytes} bytes of shared memory; a block can have {_LARGEST_SHARED} at most"
            )
        with _lock:  # another thread may be about to launch with more
            if nbytes > self._shared:
                self._shared = nbytes
                _set_shared(self.handle, nbytes)

    def parameters(self, address: int) -> tuple[Any, int]:
        """A copy of the arguments that `address` points to (kept alive by the first value), and its address."""
        pointers = (ctypes.c_void_p * len(self._sizes)).from_address(address)
        blobs = [
            ctypes.create_string_buffer(ctypes.string_at(p, n), n) for p, n in zip(pointers, self._sizes)
        ]
        mine = (ctypes.c_void_p * len(blobs))(*[ctypes.addressof(b) for b in blobs])
        return (blobs, mine), ctypes.addressof(mine)


class Module:
    """One source text. A text of few kernels is compiled at once, of others each kernel when it is first wanted."""

    __slots__ = ("_libraries", "name", "source", "unit")

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name
        self.unit = compiler.unit(source, name)
        self._libraries: dict[str, Any] = {}
        if self.unit.whole and self.unit.kernels:
            self.table(next(iter(self.unit.kernels)), False)

    def table(self, kernel: str, checked: bool) -> int:
        """The address of the table that describes the kernel, compiled for speed or with every access checked."""
        path = str(compiler.build(self.unit, kernel, checked))
        if path not in self._libraries:
            self._libraries[path] = ctypes.PyDLL(path)
        return ctypes.addressof(ctypes.c_char.in_dll(self._libraries[path], "sim_module"))

    def function(self, name: str) -> Function:
        return Function(self, name)


def compile(source: str, name: str, options: tuple[str, ...] = ()) -> Module:
    return Module(source, name)


def precompile(sources: list[tuple[str, str]]) -> None:
    """Compiles each (source, name) into the cache, several at a time."""
    compiler.build_all(sources)


def launch(
    handle: int,
    grid_x: int,
    grid_y: int,
    grid_z: int,
    block_x: int,
    block_y: int,
    block_z: int,
    shared_bytes: int,
    stream_ptr: int,
    params: int,
    extra: int,
) -> None:
    size = (grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes)
    if stream_ptr in _capturing:
        kept, address = _functions[handle].parameters(params)
        _capturing[stream_ptr].steps.append(lambda kept=kept: launch(handle, *size, 0, address, extra))  # type: ignore[misc]
        return
    with _lock:  # the runtime has one report and one text, of the last launch
        status = _launch(handle, *size, params)
        if status == 3:
            _attach_checked(handle, _functions[handle].module.table(_functions[handle].name, True))
            status = _launch(handle, *size, params)
        if status:
            _finish(handle, status)


def _finish(handle: int, status: int) -> None:
    """After a launch that printed or failed."""
    text = _printed()
    if text:
        print(text.decode(errors="replace"), end="")
        _clear_printed()
    if status == 1:
        raise KernelError(_message(handle, _report().contents))


def _message(handle: int, report: _Report) -> str:
    function = _functions[handle]
    where = f"kernel {function.name!r}"
    if report.located:
        where += f", block ({','.join(map(str, report.block))}), thread ({','.join(map(str, report.thread))})"
    text = f"CUDA simulator: {where}: {report.message.decode(errors='replace')}"
    line = report.line
    if not line and report.pc:
        found = compiler.source_line(report.pc)
        line = found[1] if found else 0
    lines = function.module.source.splitlines()
    if 0 < line <= len(lines):
        text += f"\n  {function.module.name}, line {line}: {lines[line - 1].strip()}"
    return text


# ---- settings and statistics ----
_ORDERS = ("forward", "reverse", "shuffled", "all")
_statistics = _function(
    "sim_statistics", None, _address, ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_double)
)
clear_statistics = _function("sim_clear_statistics", None)


def configure(check: bool | None, order: str | None, timeout: float | None) -> dict[str, Any]:
    """See `gradgpu.cuda.simulator.configure`."""
    if order is not None and order not in _ORDERS:
        raise ValueError(f"configure: order must be one of {', '.join(_ORDERS)}, got {order!r}")
    was_order, was_check, was_timeout = _int(), _int(), ctypes.c_double()
    _configuration(ctypes.byref(was_order), ctypes.byref(was_check), ctypes.byref(was_timeout))
    _configure(
        -1 if order is None else _ORDERS.index(order),
        -1 if check is None else int(check),
        -1.0 if timeout is None else float(timeout),
    )
    return {"check": bool(was_check.value), "order": _ORDERS[was_order.value], "timeout": was_timeout.value}


def statistics() -> Report:
    """See `gradgpu.cuda.simulator.report`."""
    rows = []
    for function in [*_functions.values()]:
        counts, seconds = (ctypes.c_uint64 * 6)(), ctypes.c_double()
        _statistics(function.handle, counts, ctypes.byref(seconds))
        launches, blocks, threads, read, written, counted = counts
        if launches:
            sizes: tuple[Any, Any] = (read, written) if counted else (None, None)
            rows.append(
                Row(function.name, function.module.name, launches, blocks, threads, *sizes, seconds.value)
            )
    return Report(sorted(rows, key=lambda row: -row.seconds))


configure(
    os.environ.get("GRADGPU_CUDASIM_CHECK", "") not in ("", "0"),
    os.environ.get("GRADGPU_CUDASIM_ORDER", "forward"),
    float(os.environ.get("GRADGPU_CUDASIM_TIMEOUT", "120")),
)
