"""What a program's log says of where it ran: versions, the processor, the GPU."""

from __future__ import annotations

import platform
import sys
from typing import NamedTuple

import numpy as np

__all__ = ["SystemEnv", "get_env_info", "get_pretty_env_info", "main", "pretty_str"]


class SystemEnv(NamedTuple):
    """The versions, as text; 'N/A' for what is not there."""

    torch_version: str
    python_version: str
    os: str
    cpu_info: str
    numpy_version: str
    is_cuda_available: str
    nvidia_gpu_models: str
    cuda_runtime_version: str


def get_env_info() -> SystemEnv:
    """What this process runs on."""
    from .. import __version__, cuda, version

    there = cuda.is_available()
    names = [f"GPU {i}: {cuda.get_device_name(i)}" for i in range(cuda.device_count())] if there else []
    return SystemEnv(
        str(__version__),
        f"{sys.version.split()[0]} ({platform.architecture()[0]} runtime)",
        platform.platform(),
        platform.processor() or platform.machine(),
        np.__version__,
        str(there),
        "\n".join(names) or "N/A",
        str(version.cuda or "N/A"),
    )


def pretty_str(envinfo: SystemEnv) -> str:
    """One line a version."""
    titles = (
        "gradgpu version", "Python version", "OS", "CPU", "numpy version", "Is CUDA available", "GPU models",
        "CUDA runtime version",
    )  # fmt: skip
    return "\n".join([f"{title}: {value}" for title, value in zip(titles, envinfo)])


def get_pretty_env_info() -> str:
    """`get_env_info` as text.

    >>> get_pretty_env_info().splitlines()[0].startswith("gradgpu version: ")
    True
    """
    return pretty_str(get_env_info())


def main() -> None:
    """Prints it."""
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
