"""The names that annotations and decorators take from `torch._jit_internal` and `torch.jit.annotations`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .jit import export, ignore, is_scripting, unused
from .jit.annotations import (
    BroadcastingList1,
    BroadcastingList2,
    BroadcastingList3,
    Dict,
    Future,
    List,
    Optional,
    Tuple,
    Union,
)

__all__ = [
    "Any", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "Dict", "Final", "Future", "List", "Optional", "Tuple",
    "Union", "boolean_dispatch", "export", "ignore", "is_scripting", "unused",
]  # fmt: skip


def boolean_dispatch(
    arg_name: str,
    arg_index: int,
    default: bool,
    if_true: Callable,
    if_false: Callable,
    module_name: str,
    func_name: str,
) -> Callable:
    """A function that calls one of two, as an argument says.

    >>> f = boolean_dispatch("pair", 1, False, lambda x, pair: (x, x), lambda x, pair=False: x, "", "f")
    >>> f(1), f(1, True), f(1, pair=True)
    (1, (1, 1), (1, 1))
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        flag = (
            kwargs[arg_name] if arg_name in kwargs else args[arg_index] if arg_index < len(args) else default
        )
        return (if_true if flag else if_false)(*args, **kwargs)

    function.__name__ = func_name
    function.__doc__ = if_true.__doc__
    return function


def _overload(func: Any) -> Any:
    """The function as it is: signatures for a compiler."""
    return func


_overload_method = _overload
