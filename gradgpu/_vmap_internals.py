"""PyTorch's older home of `vmap`, from which some packages still import it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ops.vectorize import vmap


def _vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, allow_none_pass_through: bool = False
) -> Callable:
    """`vmap` of `func`, which must return tensors.

    Raises:
        NotImplementedError: with `allow_none_pass_through`.
    """
    if allow_none_pass_through:
        raise NotImplementedError("_vmap: outputs that are None are not supported; return tensors only")
    return vmap(func, in_dims, out_dims)
