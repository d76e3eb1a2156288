"""`out=` for the functions that are no pointwise ops (those have it in their doors).

What the library calls inside, and most methods, are the plain functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from ..tensor import Tensor
from .inplace import write_out

NAMES = (
    "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "alias_copy", "all", "amax", "amin", "aminmax", "angle",
    "any", "argmax", "argmin", "argsort", "as_strided_copy", "baddbmm", "bernoulli", "bmm", "bucketize", "cat", "cholesky",
    "cholesky_inverse", "cholesky_solve", "clamp_max", "clamp_min", "column_stack", "complex", "concat", "conj_physical",
    "copysign", "cross", "cummax", "cummin", "cumprod", "cumsum", "deg2rad", "detach_copy", "diag", "diagonal_copy", "diff",
    "dot", "dstack", "expand_copy", "eye", "float_power", "fmax", "fmin", "gather", "gcd", "ger", "heaviside", "histc",
    "histogram", "hstack", "i0", "igamma", "igammac", "index_add", "index_copy", "index_reduce", "index_select", "inner",
    "isin", "isneginf", "isposinf", "kron", "kthvalue", "lcm", "ldexp", "log_softmax", "logaddexp2", "logcumsumexp",
    "logspace", "logsumexp", "masked_select", "matmul", "max", "mean", "median", "min", "mm", "mode", "msort",
    "multinomial", "mv", "mvlgamma", "nan_to_num", "nanmean", "nanquantile", "nansum", "narrow_copy", "nonzero", "norm",
    "outer", "permute_copy", "polar", "polygamma", "prod", "qr", "quantile", "rad2deg", "rand", "randint", "randn",
    "randperm", "renorm", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "sgn", "signbit", "sinc",
    "slice_copy", "slice_scatter", "softmax", "sort", "split_copy", "split_with_sizes_copy", "squeeze_copy", "stack", "std",
    "sum", "svd", "t_copy", "take", "take_along_dim", "tensordot", "topk", "transpose_copy", "triangular_solve", "tril",
    "triu", "unbind_copy", "unfold_copy", "unsqueeze_copy", "var", "vdot", "view_copy", "vstack", "xlogy",
)  # fmt: skip


def install(functions: dict[str, Any], names: Iterable[str] = NAMES) -> None:
    """Gives those of `functions` that are in `names`, and have no `out` of their own, the keyword `out`."""
    for name in names:
        function = functions.get(name)
        code = getattr(function, "__code__", None)
        if (
            function is not None
            and code is not None
            and "out" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        ):
            functions[name] = with_out(function)


def with_out(function: Callable) -> Callable:
    """The function with the keyword `out`; `axis` and `keepdims` are taken for `dim` and `keepdim`."""

    @functools.wraps(function)
    def wrapper(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        made = function(*args, **renamed(kwargs)) if kwargs else function(*args)
        return made if out is None else into(function.__name__, out, made)

    return wrapper


def renamed(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with numpy's names replaced by PyTorch's."""
    if "axis" in kwargs:
        kwargs["dim"] = kwargs.pop("axis")
    if "keepdims" in kwargs:
        kwargs["keepdim"] = kwargs.pop("keepdims")
    return kwargs


def into(name: str, out: Any, made: Any) -> Any:
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
