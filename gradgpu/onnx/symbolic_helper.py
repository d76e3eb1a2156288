"""The decorator that functions with a symbolic form of their own are written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["parse_args"]


def parse_args(*arg_descriptors: str) -> Callable[[Callable], Callable]:
    """Returns the function as it is: gradgpu writes no ONNX and calls no symbolic form.

    >>> parse_args("v", "i")(abs) is abs
    True
    """
    return lambda fn: fn


def _unimplemented(op: str, msg: str, value: Any = None) -> NoReturn:
    raise NotImplementedError(f"onnx: gradgpu writes no ONNX: {op}, {msg}")
