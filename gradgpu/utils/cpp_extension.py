"""What scripts import from `torch.utils.cpp_extension`: gradgpu has no C++ interface, and says so when an extension is asked for.

Many packages import these names and go on without their extension if it cannot be built. CUDA kernels of one's own are
run by `gradgpu.cuda.RawKernel`, from their text, without a build.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

__all__ = [
    "BuildExtension", "CUDAExtension", "CppExtension", "get_default_build_root", "include_paths", "is_ninja_available",
    "library_paths", "load", "load_inline", "verify_ninja_availability",
]  # fmt: skip

CUDA_HOME = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
ROCM_HOME = CUDNN_HOME = None
IS_WINDOWS = os.name == "nt"
IS_HIP_EXTENSION = False


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"utils.cpp_extension.{name}: gradgpu has no C++ interface for extensions; write the operation in Python "
        "(autograd.Function), or run a CUDA kernel's text with cuda.RawKernel"
    )


def load(name: str, sources: Any, *args: Any, **options: Any) -> NoReturn:
    """Raises RuntimeError: gradgpu builds no C++ extensions."""
    _refuse("load")


def load_inline(name: str, cpp_sources: Any, *args: Any, **options: Any) -> NoReturn:
    """Raises RuntimeError: gradgpu builds no C++ extensions."""
    _refuse("load_inline")


def CppExtension(name: str, sources: Any, *args: Any, **options: Any) -> NoReturn:
    """Raises RuntimeError: gradgpu builds no C++ extensions."""
    _refuse("CppExtension")


def CUDAExtension(name: str, sources: Any, *args: Any, **options: Any) -> NoReturn:
    """Raises RuntimeError: gradgpu builds no C++ extensions."""
    _refuse("CUDAExtension")


class BuildExtension:
    """Raises RuntimeError when a build begins: gradgpu builds no C++ extensions."""

    def __init__(self, *args: Any, **options: Any) -> None:
        _refuse("BuildExtension")

    @classmethod
    def with_options(cls, **options: Any) -> type[BuildExtension]:
        """The class, for a `setup.py`."""
        return cls


def include_paths(device_type: str = "cpu", torch_include_dirs: bool = True) -> list[str]:
    """No folders: there are no C++ headers.

    >>> include_paths()
    []
    """
    return []


def library_paths(
    device_type: str = "cpu", torch_include_dirs: bool = True, cross_target_platform: str | None = None
) -> list[str]:
    """No folders: there are no libraries to link.

    >>> library_paths()
    []
    """
    return []


def get_default_build_root() -> str:
    """The folder in which PyTorch builds: a place below the temporary files.

    >>> get_default_build_root().endswith("torch_extensions")
    True
    """
    import tempfile

    return os.path.realpath(os.path.join(tempfile.gettempdir(), "torch_extensions"))


def is_ninja_available() -> bool:
    """Whether the program ninja is there."""
    import shutil

    return shutil.which("ninja") is not None


def verify_ninja_availability() -> None:
    """Raises RuntimeError if the program ninja is not there."""
    if not is_ninja_available():
        raise RuntimeError("Ninja is required to load C++ extensions (pip install ninja to get it)")
