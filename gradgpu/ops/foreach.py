"""PyTorch's `_foreach_…`: one operation on each tensor of a list. Optimisers in scripts are written with them.

>>> import gradgpu as gg
>>> params = [gg.tensor([1., 2.]), gg.tensor([3.])]
>>> gg._foreach_mul_(params, 2.)
>>> gg._foreach_add(params, [gg.tensor([1., 1.]), gg.tensor([1.])], alpha=10)
[tensor([12., 14.]), tensor([16.])]
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

from ..tensor import Tensor

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round rsqrt sigmoid "
    "sign sin sinh sqrt tan tanh trunc"
).split()
_BINARY = "add addcdiv addcmul clamp_max clamp_min div lerp maximum minimum mul pow sub".split()
NAMES = {f"{name}{end}" for name in [*_UNARY, *_BINARY] for end in ("", "_")} | {
    "clone", "copy_", "max", "mm", "norm", "zero_",
}  # fmt: skip
_SCALAR = {"maximum": "clamp_min", "minimum": "clamp_max"}  # those with a number for their second operand


def _lists(name: str, lists: dict[str, Any]) -> int:
    """How many tensors there are; an error if the lists differ."""
    sizes = {key: len(x) for key, x in lists.items()}
    n = sizes["self"]
    if not n:
        raise RuntimeError(f"_foreach_{name}: Tensor list must have at least one tensor.")
    for key, size in sizes.items():
        if size != n:
            raise RuntimeError(
                f"_foreach_{name}: Tensor lists must have the same number of tensors, got {n} and {size} ({key})"
            )
    return n


def _made(name: str) -> Callable:
    plain = name.rstrip("_")
    end = name[len(plain) :]
    method = getattr(Tensor, name, None) or (lambda x, *args: x.copy_(getattr(Tensor, plain)(x, *args)))

    def foreach(self: Any, *args: Any, **named: Any) -> list[Tensor] | None:
        if "scalars" in named:
            args = (*args, named.pop("scalars"))
        if "ord" in named:  # of norm
            named["p"] = named.pop("ord")
        if plain in ("addcmul", "addcdiv") and len(args) == 3:
            value = named["value"] = args[2]
            args = args[:2]
            if isinstance(value, Tensor):
                named["value"] = value.tolist()
        if plain == "pow" and isinstance(self, Number):
            return [self**exponent for exponent in args[0]]
        given = {"self": self} | {f"argument {k + 1}": a for k, a in enumerate(args)} | named
        n = _lists(name, {key: x for key, x in given.items() if isinstance(x, (list, tuple))})
        made = []
        for k in range(n):
            ours = [a[k] if isinstance(a, (list, tuple)) else a for a in args]
            theirs = {key: a[k] if isinstance(a, (list, tuple)) else a for key, a in named.items()}
            number = plain in _SCALAR and not isinstance(ours[0], Tensor)
            f = getattr(Tensor, _SCALAR[plain] + end) if number else method
            made.append(f(self[k], *ours, **theirs))
        return None if end else made

    foreach.__name__ = foreach.__qualname__ = f"_foreach_{name}"
    foreach.__doc__ = (
        f"`Tensor.{name}` of each tensor of the list `self`; of the other arguments, lists (of tensors or numbers) are taken entry "
        "by entry. "
        + ("Returns None." if end else "Returns a list.")
        + " Raises RuntimeError if a list is empty or has another length."
    )
    return foreach


_functions: dict[str, Callable] = {}


def function(name: str) -> Callable | None:
    """`gradgpu._foreach_<name>`; None if there is no such function."""
    if name not in _functions and name in NAMES:
        _functions.setdefault(name, _made(name))
    return _functions.get(name)
