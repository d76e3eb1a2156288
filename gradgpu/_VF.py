"""PyTorch's place of functions of the C++ module: here those of `gradgpu`."""

from typing import Any

import gradgpu


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(gradgpu, name)
