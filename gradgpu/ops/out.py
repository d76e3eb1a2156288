"""`out=` for the functions that are no pointwise ops (those have it in their doors).

Only functions of the `gradgpu` namespace take `out`, as in PyTorch; methods, and what the library calls inside,
are the plain functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from .inplace import write_out

NAMES = (
    "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "all", "amax", "amin", "aminmax", "any", "argmax", "argmin",
    "argsort", "baddbmm", "bernoulli", "bmm", "bucketize", "cat", "clamp_max", "clamp_min", "column_stack", "concat", "cross",
    "cummax", "cummin", "cumprod", "cumsum", "diag", "diff", "dot", "dstack", "gather", "ger", "histc", "hstack", "index_select",
    "inner", "kron", "kthvalue", "logcumsumexp", "logsumexp", "masked_select", "matmul", "max", "mean", "median", "min",
    "mm", "mode", "msort", "multinomial", "mv", "nan_to_num", "nanmean", "nansum", "nonzero", "norm", "outer", "prod", "quantile",
    "rand", "randint", "randn", "randperm", "scatter", "scatter_add", "searchsorted", "sort", "stack", "std", "sum", "take",
    "take_along_dim", "tensordot", "topk", "tril", "triu", "var", "vdot", "vstack",
)  # fmt: skip


def install(functions: dict[str, Any]) -> None:
    """Gives those of `functions` that are in `NAMES`, and have no `out` of their own, the keyword `out`."""
    for name in NAMES:
        function = functions.get(name)
        code = getattr(function, "__code__", None)
        if (
            function is not None
            and code is not None
            and "out" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        ):
            functions[name] = with_out(function)


def with_out(function: Callable) -> Callable:
    """The function with the keyword `out`."""

    @functools.wraps(function)
    def wrapper(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        return made if out is None else _written(function.__name__, out, made)

    return wrapper


def _written(name: str, out: Any, made: Any) -> Any:
    """Writes the result, one tensor or a tuple of them, into `out`; returns what the function would, of `out`'s tensors."""
    if isinstance(made, Tensor):
        if not isinstance(out, Tensor):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
        return write_out(name, out, made)
    if (
        not isinstance(out, (tuple, list))
        or len(out) != len(made)
        or not all(isinstance(t, Tensor) for t in out)
    ):
        raise TypeError(
            f"{name}(): argument 'out' must be a tuple of {len(made)} Tensors, got {type(out).__name__}"
        )
    written = [write_out(name, t, part) for t, part in zip(out, made)]
    return made._make(written) if hasattr(made, "_make") else type(made)(written)
