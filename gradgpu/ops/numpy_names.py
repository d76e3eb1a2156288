"""numpy's names of arguments, `axis` and `keepdims`, which PyTorch takes for `dim` and `keepdim`.

What programs call often gets a wrapper of its own signature, which costs a call; the rest one for any arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


def renamed(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with numpy's names replaced by PyTorch's."""
    if "axis" in kwargs:
        kwargs["dim"] = kwargs.pop("axis")
    if "keepdims" in kwargs:
        kwargs["keepdim"] = kwargs.pop("keepdims")
    return kwargs


def _reduction(f: Any) -> Callable:
    default = f.__defaults__[0]

    def wrapper(
        input: Any, dim: Any = default, keepdim: bool = False, *, axis: Any = None, keepdims: Any = None
    ) -> Any:
        return f(input, dim if axis is None else axis, keepdim if keepdims is None else keepdims)

    return wrapper


def _sum(f: Any) -> Callable:
    def wrapper(
        input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: Any = None
    ) -> Any:  # fmt: skip
        return f(input, dim if axis is None else axis, keepdim if keepdims is None else keepdims, dtype=dtype)

    return wrapper


def _extremum(f: Any) -> Callable:
    def wrapper(
        input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, axis: Any = None, keepdims: Any = None
    ) -> Any:  # fmt: skip
        return f(input, dim if axis is None else axis, keepdim if keepdims is None else keepdims, other=other)

    return wrapper


def _optional_dim(f: Any) -> Callable:
    def wrapper(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
        return f(input, dim if axis is None else axis)

    return wrapper


def _any(f: Any) -> Callable:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **renamed(kwargs)) if kwargs else f(*args)

    return wrapper


_WRAPPERS = {
    _reduction: "all any argmax argmin amax amin",
    _sum: "sum mean prod",
    _extremum: "max min",
    _optional_dim: "squeeze",
    _any: (
        "aminmax argsort chunk count_nonzero cumprod cumsum flatten gather index_select kthvalue log_softmax logsumexp median "
        "nansum norm select softmax sort split std std_mean tensor_split topk unbind unsqueeze var var_mean"
    ),
}


def install(functions: dict[str, Any]) -> None:
    """Lets those of `functions` that are listed, and the methods of their names, take numpy's names."""
    for kind, names in _WRAPPERS.items():
        for name in names.split():
            function = functions[name]
            wrapped = functools.update_wrapper(kind(function), function)
            if vars(Tensor).get(name) is function:
                setattr(Tensor, name, wrapped)
            functions[name] = wrapped
