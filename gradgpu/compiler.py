"""What scripts ask of `torch.compiler`: gradgpu has no compiler, each operation runs its kernel at once."""

from __future__ import annotations

from typing import Any

from .settings import compile

__all__ = ["allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling", "is_dynamo_compiling", "is_exporting", "reset"]  # fmt: skip


def is_compiling() -> bool:
    """False.

    >>> import gradgpu as gg
    >>> gg.compiler.is_compiling()
    False
    """
    return False


is_dynamo_compiling = is_exporting = is_compiling


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it is: nothing is compiled. Also a decorator, with or without options."""
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """The function as it is."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """The function as it is."""
    return fn


def reset() -> None:
    """Nothing: no compiled code is kept."""


def cudagraph_mark_step_begin() -> None:
    """Nothing: no graph is replayed."""
