"""How this was built, as `torch.__config__` tells it."""

__all__ = ["parallel_info", "show"]


def show() -> str:
    """The version, and what computes: numpy on the CPU, CUDA kernels on the GPU.

    >>> show().splitlines()[0].startswith("gradgpu built with:")
    True
    """
    import numpy as np

    from . import __version__, version

    return f"gradgpu built with:\n  - gradgpu {__version__}\n  - numpy {np.__version__}\n  - CUDA {version.cuda or 'none'}\n"


def parallel_info() -> str:
    """How many threads compute.

    >>> "get_num_threads()" in parallel_info()
    True
    """
    from .settings import get_num_interop_threads, get_num_threads

    return (
        f"parallel info:\n\tget_num_threads() : {get_num_threads()}\n"
        f"\tget_num_interop_threads() : {get_num_interop_threads()}\n"
    )
