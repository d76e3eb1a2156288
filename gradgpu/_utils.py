"""Lists of tensors as one flat tensor, as code for mixed precision and for several processes packs its gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .ops.join import cat
from .tensor import Tensor


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """All elements of the tensors, one after the other.

    >>> import gradgpu as gg
    >>> _flatten_dense_tensors([gg.ones(1, 2), gg.zeros(1)])
    tensor([1., 1., 0.])
    """
    return cat([t.reshape(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Views of `flat` in the shapes of `tensors`.

    >>> import gradgpu as gg
    >>> _unflatten_dense_tensors(gg.ones(3), [gg.ones(1, 2), gg.zeros(1)])
    (tensor([[1., 1.]]), tensor([1.]))
    """
    pieces = flat.split([t.numel() for t in tensors])
    return tuple([piece.view(t.shape) for piece, t in zip(pieces, tensors)])


def _take_tensors(tensors: Sequence[Tensor], size_limit: int) -> Iterator[list[Tensor]]:
    """The tensors in groups of one dtype and device, each of at most `size_limit` bytes (or one tensor).

    >>> import gradgpu as gg
    >>> [len(group) for group in _take_tensors([gg.ones(2), gg.ones(2), gg.ones(1)], 16)]
    [2, 1]
    """
    groups: dict[Any, tuple[list[Tensor], int]] = {}
    for t in tensors:
        kind, size = (t.dtype, t.device), t.numel() * t.element_size()
        group, total = groups.get(kind, ([], 0))
        if group and total + size > size_limit:
            yield group
            group, total = [], 0
        groups[kind] = [*group, t], total + size
    for group, _ in groups.values():
        yield group


def __getattr__(name: str) -> Any:
    if name == "_get_device_index":
        from .cuda.comm import get_device_index

        return get_device_index
    if name == "ExceptionWrapper":
        from .utils.data.worker import ExceptionWrapper

        return ExceptionWrapper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
