"""What scripts set of PyTorch's compiler, `torch._dynamo` and `torch._inductor`: gradgpu has none, so settings are kept and unused."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from .compiler import allow_in_graph, disable, is_compiling, reset

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "config",
    "disable",
    "is_compiling",
    "mark_dynamic",
    "optimize",
    "reset",
]

config: Any = SimpleNamespace(
    cache_size_limit=8,
    capture_scalar_outputs=False,
    dynamic_shapes=True,
    suppress_errors=False,
    verbose=False,
)
sys.modules[f"{__name__}.config"] = config  # `import torch._dynamo.config`


class OptimizedModule:
    """What PyTorch's `compile` makes of a module; here nothing makes one."""


def mark_dynamic(t: Any, index: Any, **options: Any) -> None:
    """Accepted and without effect."""


def optimize(*args: Any, **options: Any) -> Any:
    """A decorator that gives back the function, with the warning of `compile`."""
    from .settings import compile

    return lambda function: compile(function)
