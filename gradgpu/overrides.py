"""What packages import from `torch.overrides`: here a function looks at its tensors alone, and nothing is dispatched to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from .tensor import Tensor

__all__ = ["handle_torch_function", "has_torch_function", "is_tensor_like"]


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """False: no argument takes the call over.

    >>> import gradgpu as gg
    >>> has_torch_function((gg.ones(1),))
    False
    """
    return False


def handle_torch_function(
    public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> NoReturn:
    """Raises TypeError: no argument takes the call over."""
    raise TypeError(f"no implementation found for {public_api!r} on types that implement __torch_function__")


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor.

    >>> import gradgpu as gg
    >>> is_tensor_like(gg.ones(1)), is_tensor_like([1])
    (True, False)
    """
    return isinstance(inp, Tensor)
