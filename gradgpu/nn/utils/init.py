"""Modules made without initialising their parameters."""

from __future__ import annotations

from typing import Any, TypeVar

from ..module import Module
from ..parameter import Parameter

__all__ = ["skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """`module_cls(*args, **kwargs)` whose parameters and buffers then hold arbitrary values: initialise them, or load a state.

    >>> import gradgpu as gg
    >>> gg.nn.utils.skip_init(gg.nn.Linear, 1, 5).weight.shape
    gradgpu.Size([5, 1])
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    device = kwargs.get("device")
    made: M = module_cls(*args, **kwargs)
    first: Parameter | None = next(made.parameters(), None)
    made.to_empty(device=device if device is not None else first.device if first is not None else "cpu")
    return made
