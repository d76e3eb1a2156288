"""Versions, where scripts look for PyTorch's: `version.cuda` is the toolkit's that 'cuda' runs on, `version.gradgpu` gradgpu's own.

>>> import gradgpu as gg
>>> gg.__version__ == f"2.13.0+gradgpu.{gg.version.gradgpu}"      # PyTorch's version whose interface this is, and gradgpu's
True
>>> gg.__version__ >= "2.4", gg.__version__ >= (2, 0)
(True, True)
"""

from __future__ import annotations

from . import __version__

__all__ = ["__version__", "cuda", "debug", "git_version", "gradgpu", "hip"]  # noqa: F822 (cuda: see __getattr__)

debug = False
gradgpu = __version__.rpartition("gradgpu.")[2]
git_version = hip = None


def __getattr__(name: str) -> object:
    # Asked for, not kept: it imports CuPy.
    if name == "cuda":
        return _toolkit()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _toolkit() -> str | None:
    """The CUDA toolkit's version, as '12.9'; None without a GPU, and for the simulator."""
    from .cuda.backend import backend, is_available

    if not is_available() or backend().simulated:
        return None
    from .cuda.backend_cupy import runtime

    major, rest = divmod(runtime.runtimeGetVersion(), 1000)
    return f"{major}.{rest // 10}"
