"""Collectives that gradients flow through, in the group of one process: the value of one process is the result.

Each raises ValueError before `init_process_group`.
"""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .. import ReduceOp, _group, _one, _ours, _tensor

__all__ = [
    "all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce", "reduce_scatter", "scatter",
]  # fmt: skip


def _same(name: str, tensor: Any, rank: Any = 0) -> Tensor:
    _group(name)
    _ours(name, rank)
    return _tensor(name, tensor).clone()


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The tensor."""
    return _same("all_reduce", tensor)


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The tensor."""
    return _same("reduce", tensor, dst)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor."""
    return _same("broadcast", tensor, src)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensor, in a tuple of one."""
    return (_same("all_gather", tensor),)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensor, in a tuple of one."""
    return (_same("gather", tensor, dst),)


def scatter(tensors: Any, src: int = 0, group: Any = None) -> Tensor:
    """The one tensor of the list."""
    return _same("scatter", _one("scatter", tensors), src)


def reduce_scatter(output: Tensor, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The one tensor of the list."""
    return _same("reduce_scatter", _one("reduce_scatter", input_list))


def all_to_all(output_tensor_list: Any, input_tensor_list: Any, group: Any = None) -> tuple[Tensor, ...]:
    """The one tensor of the second list, in a tuple."""
    return (_same("all_to_all", _one("all_to_all", input_tensor_list)),)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Any = None,
    input_split_sizes: Any = None,
    group: Any = None,
) -> Tensor:
    """The input."""
    return _same("all_to_all_single", input)
