"""What `get_device_properties` returns."""

from __future__ import annotations

from typing import Any

__all__ = ["DeviceProperties"]

# PyTorch's names of what the runtime calls otherwise.
_NAMES = {
    "total_memory": "totalGlobalMem",
    "multi_processor_count": "multiProcessorCount",
    "warp_size": "warpSize",
    "max_threads_per_block": "maxThreadsPerBlock",
    "max_threads_per_multi_processor": "maxThreadsPerMultiProcessor",
    "regs_per_multiprocessor": "regsPerMultiprocessor",
    "shared_memory_per_block": "sharedMemPerBlock",
    "shared_memory_per_block_optin": "sharedMemPerBlockOptin",
    "shared_memory_per_multiprocessor": "sharedMemPerMultiprocessor",
    "L2_cache_size": "l2CacheSize",
    "clock_rate": "clockRate",
    "memory_clock_rate": "memoryClockRate",
    "memory_bus_width": "memoryBusWidth",
    "is_integrated": "integrated",
    "is_multi_gpu_board": "isMultiGpuBoard",
    "pci_bus_id": "pciBusID",
    "pci_device_id": "pciDeviceID",
    "pci_domain_id": "pciDomainID",
}


class DeviceProperties(dict):
    """The properties of a CUDA device: by PyTorch's names as attributes (`total_memory`, `multi_processor_count`, …), by the
    CUDA runtime's as entries (``["totalGlobalMem"]``).

    >>> import gradgpu as gg
    >>> found = gg.cuda.get_device_properties()
    >>> found.total_memory == found["totalGlobalMem"], (found.major, found.minor) == gg.cuda.get_device_capability()
    (True, True)
    """

    def __getattr__(self, name: str) -> Any:
        try:
            found = self[_NAMES.get(name, name)]
        except KeyError:
            raise AttributeError(
                f"get_device_properties: the CUDA runtime does not report {name!r}"
            ) from None
        return found.decode() if isinstance(found, bytes) and name == "name" else found

    def __dir__(self) -> list[str]:
        return [
            *super().__dir__(),
            "name",
            "major",
            "minor",
            *[name for name, key in _NAMES.items() if key in self],
        ]

    def __repr__(self) -> str:
        return (
            f"DeviceProperties(name={self.name!r}, major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory // 2**20}MB, multi_processor_count={self.multi_processor_count})"
        )
