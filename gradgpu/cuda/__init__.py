"""The CUDA device: what there is, its streams and its memory. Names and semantics are PyTorch's.

CuPy is imported at the first use of 'cuda', not before. With ``GRADGPU_CUDASIM=1``, or after
`use_simulator()`, the device is simulated on the CPU (`gradgpu.cuda.simulator`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .backend import backend, is_available, is_initialized, use_simulator
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
)
from .properties import DeviceProperties
from .random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from .stream import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    _index,
    current_stream,
    default_stream,
    on_device,
    set_stream,
    stream,
    synchronize,
)

if TYPE_CHECKING:
    from . import simulator
    from .raw_kernel import RawKernel, compile_kernel

# What an allocation that does not fit raises: CuPy's OutOfMemoryError is one too.
OutOfMemoryError = MemoryError

__all__ = [
    "Event",
    "ExternalStream",
    "OutOfMemoryError",
    "Stream",
    "RawKernel",
    "StreamContext",
    "compile_kernel",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "init",
    "is_available",
    "is_initialized",
    "is_simulated",
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
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
    "set_device",
    "set_stream",
    "simulator",
    "stream",
    "synchronize",
    "use_simulator",
]


def is_simulated() -> bool:
    """True if 'cuda' is the simulator. False too where there is no CUDA device at all."""
    return is_available() and backend().simulated


def init() -> None:
    """Chooses the backend now, rather than with the first tensor on 'cuda'.

    Raises:
        RuntimeError: there is no CUDA device and no simulator.
    """
    backend().get_device()


def get_arch_list() -> list[str]:
    """The architectures that kernels are compiled for: those of the devices here, when a kernel is first used."""
    found = {"sm_{}{}".format(*get_device_capability(k)) for k in range(device_count())}
    return sorted(found)


def device_count() -> int:
    """How many CUDA devices there are; 0 if 'cuda' cannot be used."""
    return backend().device_count() if is_available() else 0


def current_device() -> int:
    """The index of the device that 'cuda' without a number means."""
    return backend().get_device()


def set_device(device: Any) -> None:
    """Makes a device current in this thread. Prefer ``with gg.cuda.device(i):``."""
    backend().set_device(_index(device))


def get_device_name(device: Any = None) -> str:
    """The device's name; the simulator's says that it is simulated."""
    return backend().device_name(_index(device))


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, (9, 0) for sm_90."""
    return divmod(backend().compute_capability(_index(device)), 10)


def get_device_properties(device: Any = None) -> DeviceProperties:
    """The device's properties: attributes by PyTorch's names (``multi_processor_count``, ``total_memory`` …), entries by the CUDA
    runtime's (``["multiProcessorCount"]``)."""
    return DeviceProperties(backend().properties(_index(device)))


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the current device takes bfloat16: always (kernels compute in float32); natively from capability 8.0.

    >>> import gradgpu as gg
    >>> gg.cuda.is_bf16_supported() is gg.cuda.is_available()
    True
    """
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


class device(on_device):
    """``with gg.cuda.device(1):`` makes device 1 the current one for the block.

    Args:
        device: an index, 'cuda:1', or a `gg.device`; None changes nothing.
    """

    __slots__ = ()


class device_of(on_device):
    """Makes the device of a tensor the current one for a block; a tensor on the CPU changes nothing.

    >>> import gradgpu as gg
    >>> with gg.cuda.device_of(gg.ones(1)):
    ...     pass
    """

    __slots__ = ()

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.device if obj.is_cuda else None)


def __getattr__(name: str) -> Any:
    if name == "default_generators":
        from ..devices import device as Device
        from ..random import generator_of

        return tuple([generator_of(Device("cuda", i)) for i in range(device_count())])
    if name == "_initialized":  # scripts that save random states ask it
        return is_initialized()
    if name in ("compile_kernel", "_compile_kernel", "RawKernel"):
        from . import raw_kernel

        return getattr(raw_kernel, name.lstrip("_"))
    if name == "_lazy_call":  # what is to be done once the GPU is in use: at once, here
        return lambda call, **options: call()
    if name in ("_utils", "amp", "comm", "nvtx", "simulator"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    # cuda.FloatTensor and its kin: what old scripts call, and nothing else needs.
    if name.endswith("Tensor"):
        from ..ops.legacy import TYPES

        if f"cuda.{name}" in TYPES:
            return TYPES[f"cuda.{name}"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
