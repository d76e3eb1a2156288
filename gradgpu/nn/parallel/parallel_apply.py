"""Modules called each with its own arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...tensor import Tensor
from ..module import Module

__all__ = ["get_a_var", "parallel_apply"]


def get_a_var(obj: Any) -> Tensor | None:
    """The first tensor found in lists, tuples and dicts, or None.

    >>> import gradgpu as gg
    >>> get_a_var([1, {"x": gg.ones(2)}])
    tensor([1., 1.])
    """
    if isinstance(obj, Tensor):
        return obj
    parts = obj.values() if isinstance(obj, Mapping) else obj if isinstance(obj, (list, tuple)) else ()
    for found in map(get_a_var, parts):
        if found is not None:
            return found
    return None


def parallel_apply(
    modules: Sequence[Module],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """What each of `modules` gives for its entry of `inputs` (a tensor or a tuple of arguments), one after the other.

    Raises:
        ValueError: the lists differ in length.

    >>> import gradgpu as gg
    >>> parallel_apply([gg.nn.ReLU()], [gg.tensor([-1.0, 2.0])])
    [tensor([0., 2.])]
    """
    kwargs_tup = kwargs_tup if kwargs_tup is not None else [{}] * len(modules)
    if not len(modules) == len(inputs) == len(kwargs_tup):
        raise ValueError(
            f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}"
            f" and of kwargs {len(kwargs_tup)}"
        )
    return [
        module(*(given if isinstance(given, (list, tuple)) else (given,)), **options)
        for module, given, options in zip(modules, inputs, kwargs_tup)
    ]
