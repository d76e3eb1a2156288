"""The GPU through CuPy: memory, streams, events, compilation and launch.  No CuPy mathematics.

The names are those of `backend.PROTOCOL`.  Where CuPy's own function already has the form that is
needed, it stands here bare: a Python wrapper would cost as much as the call.
"""

from __future__ import annotations

import threading
from typing import Any

import cupy
import numpy as np
from cupy.cuda import MemoryPool, Stream, compiler, memory_hook, runtime
from cupy_backends.cuda.api import driver

from ..locks import new_lock

simulated = False
_lock = new_lock()

# ---- devices ----
device_count = runtime.getDeviceCount
get_device = runtime.getDevice
set_device = runtime.setDevice
synchronize = runtime.deviceSynchronize


def properties(device: int) -> dict[str, Any]:
    return runtime.getDeviceProperties(device)


def device_name(device: int) -> str:
    return properties(device)["name"].decode()


def compute_capability(device: int) -> int:
    found = properties(device)
    return 10 * found["major"] + found["minor"]


# ---- memory ----
alloc = cupy.cuda.alloc


def using_pool(pool: MemoryPool) -> Any:
    return cupy.cuda.using_allocator(pool.malloc)


def memory_info() -> dict[str, int]:
    pool = cupy.get_default_memory_pool()
    free, total = runtime.memGetInfo()
    return {"used": pool.used_bytes(), "held": pool.total_bytes(), "free": free, "total": total}


class _PeakHook(memory_hook.MemoryHook):
    """CuPy keeps no peak; this hook, once installed, looks at the pool after each allocation (of other threads than the one
    that asked first: from their next launch on)."""

    name = "gradgpu peak memory"

    def __init__(self) -> None:
        self.used: dict[int, int] = {}
        self.held: dict[int, int] = {}

    def look(self, device: int) -> dict[str, int]:
        pool = cupy.get_default_memory_pool()
        with _lock:
            used = self.used[device] = max(self.used.get(device, 0), pool.used_bytes())
            held = self.held[device] = max(self.held.get(device, 0), pool.total_bytes())
        return {"used": used, "held": held}

    def malloc_postprocess(self, **event: Any) -> None:
        self.look(event["device_id"])


_peak_hook: _PeakHook | None = None


def _watch_peaks() -> _PeakHook:
    global _peak_hook, _thread
    with _lock:
        if _peak_hook is None:
            _peak_hook = _PeakHook()
            _thread = threading.local()  # hooks belong to threads: each enters again, with this one
            _enter_thread()
        return _peak_hook


def reset_peak_memory() -> None:
    hook, device = _watch_peaks(), get_device()
    with _lock:
        hook.used.pop(device, 0), hook.held.pop(device, 0)
        hook.look(device)


def peak_memory() -> dict[str, int]:
    return _watch_peaks().look(get_device())


def empty_cache() -> None:
    cupy.get_default_memory_pool().free_all_blocks()


def empty_pinned_cache() -> None:
    cupy.get_default_pinned_memory_pool().free_all_blocks()


# ---- streams and events ----
current_stream = cupy.cuda.get_current_stream
external_stream = Stream.from_external
elapsed_time = cupy.cuda.get_elapsed_time


_thread = threading.local()


def _enter_thread() -> None:
    """The driver's launch needs a context in the calling thread; only the runtime's calls give it one."""
    local = _thread
    runtime.setDevice(runtime.getDevice())
    runtime.free(0)
    if _peak_hook is not None:
        _peak_hook.__enter__()
    local.ready = True


def current_stream_ptr() -> int:
    try:
        _thread.ready  # noqa: B018
    except AttributeError:
        _enter_thread()
    return current_stream().ptr


def Event(timing: bool = True, blocking: bool = False) -> cupy.cuda.Event:
    return cupy.cuda.Event(block=blocking, disable_timing=not timing)


# ---- copies ----
def _host_address(array: np.ndarray, what: str) -> int:
    if not array.flags.c_contiguous:
        raise ValueError(f"{what}: the host array must be in C order; use numpy.ascontiguousarray first")
    return array.ctypes.data


def _refuse_capture(stream_ptr: int, what: str) -> None:
    if stream_ptr and runtime.streamIsCapturing(stream_ptr):
        raise RuntimeError(
            f"{what}: a copy between host and device cannot be captured in a graph; keep the value on the device, "
            "or copy before the capture begins"
        )


alloc_pinned = cupy.cuda.alloc_pinned_memory


def is_pinned(ptr: int) -> bool:
    return runtime.pointerGetAttributes(ptr).type == runtime.memoryTypeHost


def to_device(dst_ptr: int, src: np.ndarray, stream_ptr: int) -> None:
    # From pageable memory the driver returns once it has staged the data, so src may go at return.
    to_device_async(dst_ptr, src, stream_ptr)
    if is_pinned(src.ctypes.data):
        runtime.streamSynchronize(stream_ptr)


def to_device_async(dst_ptr: int, src: np.ndarray, stream_ptr: int) -> None:
    _refuse_capture(stream_ptr, "to_device")
    runtime.memcpyAsync(
        dst_ptr, _host_address(src, "to_device"), src.nbytes, runtime.memcpyHostToDevice, stream_ptr
    )


def to_host(dst: np.ndarray, src_ptr: int, stream_ptr: int) -> None:
    to_host_async(dst, src_ptr, stream_ptr)
    runtime.streamSynchronize(stream_ptr)


def to_host_async(dst: np.ndarray, src_ptr: int, stream_ptr: int) -> None:
    _refuse_capture(stream_ptr, "to_host")
    runtime.memcpyAsync(
        _host_address(dst, "to_host"), src_ptr, dst.nbytes, runtime.memcpyDeviceToHost, stream_ptr
    )


def copy(dst_ptr: int, src_ptr: int, nbytes: int, stream_ptr: int) -> None:
    runtime.memcpyAsync(dst_ptr, src_ptr, nbytes, runtime.memcpyDeviceToDevice, stream_ptr)


def copy_peer(
    dst_ptr: int, dst_device: int, src_ptr: int, src_device: int, nbytes: int, stream_ptr: int
) -> None:
    runtime.memcpyPeerAsync(dst_ptr, dst_device, src_ptr, src_device, nbytes, stream_ptr)


fill = runtime.memsetAsync


# ---- kernels ----
launch = driver.launchKernel


class Function:
    """A kernel of a module: `handle` is what `launch` takes."""

    __slots__ = ("_raw", "handle", "name")

    def __init__(self, raw: cupy.RawKernel, name: str) -> None:
        self._raw, self.name = raw, name
        self.handle: int = raw.kernel.ptr

    @property
    def attributes(self) -> dict[str, int]:
        """registers, shared, local (bytes), constant (bytes) and max_threads of the compiled kernel."""
        raw = self._raw
        return {
            "registers": raw.num_regs,
            "shared": raw.shared_size_bytes,
            "local": raw.local_size_bytes,
            "constant": raw.const_size_bytes,
            "max_threads": raw.max_threads_per_block,
        }

    def set_shared(self, nbytes: int) -> None:
        """Allows `nbytes` of dynamic shared memory a block (needed above 48 KB); never less than before."""
        with _lock:  # another thread may be about to launch with more
            if nbytes > self._raw.max_dynamic_shared_size_bytes:
                self._raw.max_dynamic_shared_size_bytes = nbytes


class Module:
    """One compiled source text; compiled again by itself on a device where it has not been used."""

    __slots__ = ("_raw", "name")

    def __init__(self, source: str, name: str, options: tuple[str, ...] = ()) -> None:
        standard = () if any(option.lstrip("-").startswith("std") for option in options) else ("-std=c++17",)
        self._raw, self.name = cupy.RawModule(code=source, options=(*standard, *options)), name
        try:
            self._raw.compile()
        except compiler.CompileException as error:
            raise RuntimeError(f"compiling the kernel module {name} failed:\n{error}") from error

    def function(self, name: str) -> Function:
        return Function(self._raw.get_function(name), name)


def compile(source: str, name: str, options: tuple[str, ...] = ()) -> Module:
    return Module(source, name, options)


def precompile(sources: list[tuple[str, str]]) -> None:
    """Compiles each (source, name) into CuPy's cache."""
    for source, name in sources:
        compile(source, name)
