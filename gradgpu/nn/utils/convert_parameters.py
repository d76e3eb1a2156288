"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...autograd.modes import no_grad
from ...ops.join import cat
from ...tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one 1-D tensor, in order."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write a 1-D tensor back into parameters, in order."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected gradgpu.Tensor, but got: {type(vec).__name__}")
    at = 0
    with no_grad():
        for p in parameters:
            size = p.numel()
            p.copy_(vec[at : at + size].reshape(tuple(p.shape)))
            at += size
