"""numpy's names of arguments, `axis` and `keepdims`, which PyTorch takes for `dim` and `keepdim`.

What programs call often gets a wrapper of its own signature, with `out`, which costs a call; the rest one for any
arguments. Functions and methods share it. Functions that are imported when asked for have it from `out.with_out`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from .out import into, renamed


def _reduction(f: Any) -> Callable:
    default = f.__defaults__[0]

    def wrapper(
        input: Any, dim: Any = default, keepdim: bool = False, *, axis: Any = None, keepdims: Any = None, out: Any = None
    ) -> Any:  # fmt: skip
        made = f(input, dim if axis is None else axis, keepdim if keepdims is None else keepdims)
        return made if out is None else into(f.__name__, out, made)

    return wrapper


def _sum(f: Any) -> Callable:
    def wrapper(
        input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: Any = None,
        out: Any = None,
    ) -> Any:  # fmt: skip
        made = f(input, dim if axis is None else axis, keepdim if keepdims is None else keepdims, dtype=dtype)
        return made if out is None else into(f.__name__, out, made)

    return wrapper


def _extremum(f: Any) -> Callable:
    def wrapper(
        input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, axis: Any = None, keepdims: Any = None,
        out: Any = None,
    ) -> Any:  # fmt: skip
        made = f(input, dim if axis is None else axis, keepdim if keepdims is None else keepdims, other=other)
        return made if out is None else into(f.__name__, out, made)

    return wrapper


def _softmax(f: Any) -> Callable:
    def wrapper(input: Any, dim: Any = None, dtype: Any = None, *, axis: Any = None, out: Any = None) -> Any:
        made = f(input, dim if axis is None else axis, dtype)
        return made if out is None else into(f.__name__, out, made)

    return wrapper


def _join(f: Any) -> Callable:
    def wrapper(tensors: Any, dim: Any = 0, *, axis: Any = None, out: Any = None) -> Any:
        return f(tensors, dim if axis is None else axis, out=out)

    return wrapper


def _any(f: Any) -> Callable:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **renamed(kwargs)) if kwargs else f(*args)

    return wrapper


_WRAPPERS = {
    _reduction: "all any argmax argmin amax amin",
    _sum: "sum mean prod",
    _extremum: "max min",
    _softmax: "softmax log_softmax",
    _join: "cat concat concatenate stack",
    _any: (
        "aminmax argsort chunk count_nonzero cumprod cumsum flatten gather index_add index_copy index_fill index_select kthvalue "
        "logsumexp median nansum norm scatter scatter_add select sort split squeeze std std_mean take_along_dim tensor_split topk "
        "unbind unsqueeze var var_mean"
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
