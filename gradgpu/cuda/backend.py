"""The device below gradgpu's 'cuda': CuPy on a GPU, or the simulator on a CPU.

`backend()` returns a module with one fixed set of names (`PROTOCOL`), chosen at the first use of
'cuda': the simulator if the environment says ``GRADGPU_CUDASIM=1`` or `use_simulator()` was called
before, else CuPy.  Nobody is put on the simulator silently.

What a backend offers (addresses are ints, sizes are bytes, a stream is its handle as an int):

==========================================  ==========================================================
``simulated``                               bool
``device_count() get_device() set_device``  as cudaGetDeviceCount, cudaGetDevice, cudaSetDevice
``device_name(i) compute_capability(i)``    str; int (90 for sm_90)
``properties(i)``                           dict: multiProcessorCount, sharedMemPerBlockOptin, …
``alloc(nbytes)``                           object with ``.ptr``; the memory is freed with its last reference
``MemoryPool  using_pool(pool)``            a pool of its own (graph capture); a context that allocates from it
``current_stream_ptr() current_stream()``   the stream that work goes to in this thread
``Stream(non_blocking=False, priority=0)``  context manager; ``ptr synchronize() done wait_event(e) record(e)
                                            use() begin_capture() end_capture() is_capturing()``
``external_stream(obj)``                    a stream of another library: any object with ``__cuda_stream__()``
``Event(timing=True, blocking=False)``      ``ptr record(stream=None) synchronize() done``
``elapsed_time(start, end)``                milliseconds between two events
``synchronize()``                           waits for the current device
``alloc_pinned(nbytes)``                    page-locked host memory, as a writable buffer; freed with its last reference
``is_pinned(ptr)``                          whether a host address lies in page-locked memory, whoever made it
``to_device(dst, ndarray, stream)``         host to device; the ndarray (C order) may be reused at return
``to_device_async(dst, ndarray, stream)``   the same of page-locked memory: it is read when the stream gets there
``to_host(ndarray, src, stream)``           device to host; waits for the stream
``to_host_async(ndarray, src, stream)``     the same into page-locked memory: it is written when the stream gets there
``copy(dst, src, nbytes, stream)``          on one device
``copy_peer(dst, dst_device, src, src_device, nbytes, stream)``
``fill(ptr, byte, nbytes, stream)``         as cudaMemsetAsync
``compile(source, name, options=())``       Module; ``.function(name)`` → Function with ``.handle``,
                                            ``.attributes``, ``.set_shared(nbytes)``, which never allows less than
                                            before; options are NVRTC's, and mean
                                            nothing to the simulator
``precompile(sources)``                     compiles a list of (source, name), several at a time
``launch(handle, gx, gy, gz, bx, by, bz, shared, stream, params, 0)``
                                            params: address of an array of ``void*``, one an argument
``memory_info()``                           dict: used, held, free, total (bytes), of the current device
``peak_memory() reset_peak_memory()``       dict: the highest ``used`` and ``held`` since tracking began
``empty_cache()``                           returns cached memory to the device
``empty_pinned_cache()``                    returns cached page-locked memory to the system
==========================================  ==========================================================

A handle of a Function belongs to the device that was current when it was made.
"""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType

from ..locks import new_lock

__all__ = ["PROTOCOL", "backend", "is_available", "use_simulator"]

PROTOCOL = (
    "simulated", "device_count", "get_device", "set_device", "device_name", "compute_capability", "properties",
    "alloc", "MemoryPool", "using_pool", "current_stream_ptr", "current_stream", "Stream", "external_stream", "Event",
    "elapsed_time", "synchronize", "alloc_pinned", "is_pinned", "to_device", "to_device_async", "to_host",
    "to_host_async", "copy", "copy_peer", "fill", "compile", "precompile", "launch", "memory_info", "peak_memory",
    "reset_peak_memory", "empty_cache", "empty_pinned_cache",
)  # fmt: skip

_lock = new_lock()
_chosen: ModuleType | None = None
_want_simulator = os.environ.get("GRADGPU_CUDASIM", "") not in ("", "0")

_HELP = (
    "On a machine with an NVIDIA GPU: pip install gradgpu[cuda12] (or gradgpu[cuda13]); a driver is all that "
    "the machine must have. Without a GPU, the environment variable GRADGPU_CUDASIM=1 (or "
    "gg.cuda.use_simulator() before the first use of 'cuda') runs the same kernels on the CPU, slowly."
)


def backend() -> ModuleType:
    """The module that drives the device, chosen at the first call (see the top of this file).

    Raises:
        RuntimeError: CuPy is not installed, or there is no driver or device.
    """
    return _chosen if _chosen is not None else _choose()


def _choose() -> ModuleType:
    global _chosen
    with _lock:
        if _chosen is None:
            if _want_simulator:
                from .simulator import backend as module
            else:
                _need_cupy()
                try:
                    from . import backend_cupy as module  # type: ignore[no-redef]
                except ImportError as error:
                    raise RuntimeError(
                        f"'cuda' needs CuPy, which does not import here: {error}. {_HELP}"
                    ) from error
                try:
                    count = module.device_count()
                except Exception as error:
                    raise RuntimeError(
                        f"'cuda' finds no usable NVIDIA driver or device: {error}. {_HELP}"
                    ) from error
                if count == 0:
                    raise RuntimeError(f"'cuda' finds no NVIDIA device. {_HELP}")
            _chosen = module
        return _chosen


def _need_cupy() -> None:
    if importlib.util.find_spec("cupy") is None:
        raise RuntimeError(f"'cuda' needs CuPy, which is not installed. {_HELP}")


def is_available() -> bool:
    """True if 'cuda' can be used: a GPU with CuPy, or the simulator asked for.  Never raises; quick.

    Without a driver CuPy is not even imported (that takes half a second).
    """
    if _chosen is not None or _want_simulator:
        return True
    if importlib.util.find_spec("cupy") is None or not _driver_present():
        return False
    try:
        backend()
    except Exception:
        return False
    return True


def is_initialized() -> bool:
    """True once something ran on 'cuda', or asked about its devices.

    >>> import gradgpu as gg
    >>> gg.zeros(2, device="cuda").sum().item(), gg.cuda.is_initialized()
    (0.0, True)
    """
    return _chosen is not None


def _driver_present() -> bool:
    import ctypes
    import sys

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def use_simulator() -> None:
    """Run 'cuda' on the CPU in this process: the same kernels, compiled by the host's C++ compiler.

    Call it before the first use of 'cuda'; the environment variable ``GRADGPU_CUDASIM=1`` does the same.

    Raises:
        RuntimeError: 'cuda' is already in use on a GPU.
    """
    global _want_simulator
    with _lock:
        if _chosen is not None and not _chosen.simulated:
            raise RuntimeError(
                "use_simulator: 'cuda' is already in use on a GPU; call it before the first tensor goes to 'cuda', "
                "or start the program with GRADGPU_CUDASIM=1"
            )
        _want_simulator = True
