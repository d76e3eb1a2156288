"""Utilities around training; :mod:`gradgpu.utils.data` feeds it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import data as data

_LATER = (
    "benchmark",
    "checkpoint",
    "collect_env",
    "cpp_extension",
    "data",
    "dlpack",
    "hooks",
    "model_zoo",
)  # modules that are imported when they are asked for


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
