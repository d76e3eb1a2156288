"""What packages ask of PyTorch's C++ module: whether TorchScript traces, and a few types by their place of origin.

>>> import gradgpu as gg
>>> gg._C._get_tracing_state() is None
True
"""

from __future__ import annotations

from typing import Any

from .autograd.modes import set_grad_enabled as _set_grad_enabled
from .devices import device
from .dtypes import dtype
from .linalg import LinAlgError as _LinAlgError
from .nn.module import parse_to
from .random import Generator
from .tensor import Size

__all__ = [
    "Generator",
    "Size",
    "Value",
    "_LinAlgError",
    "_add_docstr",
    "_get_tracing_state",
    "_infer_size",
    "_is_tracing",
    "_log_api_usage_once",
    "_set_grad_enabled",
    "_set_tracing_state",
    "device",
    "dtype",
    "is_grad_enabled",
]


def _log_api_usage_once(event: str) -> None:
    """Nothing: gradgpu counts no uses."""


def _add_docstr(obj: Any, doc: str) -> Any:
    """The object with a documentation.

    >>> _add_docstr(lambda x: x, "What it does.").__doc__
    'What it does.'
    """
    obj.__doc__ = doc
    return obj


def _infer_size(a: Size, b: Size) -> Size:
    """The shape that two shapes broadcast to.

    >>> _infer_size(Size((2, 1)), Size((3,)))
    gradgpu.Size([2, 3])
    """
    from .ops import broadcast_shapes

    return broadcast_shapes(a, b)


def _get_tracing_state() -> None:
    """None: nothing traces, the Python runs."""


def _is_tracing() -> bool:
    """False: nothing traces, the Python runs."""
    return False


def _set_tracing_state(state: Any) -> None:
    """Nothing: nothing traces."""


def is_grad_enabled() -> bool:
    """Whether operations are recorded."""
    from .autograd.modes import is_grad_enabled as enabled

    return enabled()


class _nn:
    """What modules of one's own call of PyTorch's functions in C++."""

    _parse_to = staticmethod(parse_to)


class Value:
    """A value of a TorchScript graph, in annotations. There are none.

    Raises:
        RuntimeError: always.
    """

    def __init__(self) -> None:
        raise RuntimeError("_C.Value: gradgpu has no TorchScript graphs")
