"""Utilities around training; :mod:`gradgpu.utils.data` feeds it."""

from typing import Any

from . import data

_LATER = (
    "benchmark",
    "checkpoint",
    "dlpack",
    "hooks",
)  # modules that few programs use, imported when they are asked for


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
