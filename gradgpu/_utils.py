"""Lists of tensors as one flat tensor, as code for mixed precision and for several processes packs its gradients."""

from __future__ import annotations

from collections.abc import Sequence

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
