"""Gradient clipping."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...autograd.modes import no_grad
from ...ops.join import stack
from ...tensor import Tensor

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
]  # fmt: skip


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of some tensors together, a 0-dim tensor; nothing waits for the device.

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.utils.get_total_norm([gg.tensor([3.0]), gg.tensor([4.0])])
        tensor(5.)
    """
    from ...ops.creation import tensor

    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return tensor(0.0)
    with no_grad():
        parts = [t.detach() for t in tensors]
        if norm_type == math.inf:
            total = stack([t.abs().max() for t in parts]).max()
        elif norm_type == 2.0:
            total = stack([(t * t).sum() for t in parts]).sum().sqrt()
        else:
            total = stack([(t.abs() ** norm_type).sum() for t in parts]).sum() ** (1.0 / norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped. "
            "To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients in place by max_norm / total_norm, if that is below one."""
    with no_grad():
        factor = float(max_norm) / (total_norm + 1e-6)
        if isinstance(factor._a, (np.ndarray, np.generic)):  # on the CPU a number, which takes fewer steps
            number = min(factor.item(), 1.0)
            for grad in _gradients(parameters):
                grad.detach().mul_(number)
            return
        factor = factor.clamp(max=1.0)
        for grad in _gradients(parameters):
            grad.detach().mul_(factor.to(grad.dtype))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients in place so that their norm, taken together, is at most max_norm.

    Args:
        parameters: a tensor or tensors; those without a gradient are left out.
        max_norm: the largest norm allowed.
        norm_type: 2 by default; ``inf`` for the largest absolute value.
        error_if_nonfinite: raise where the norm is infinite or NaN (waits for the device).
        foreach: accepted for compatibility; no effect.

    Returns:
        The norm before clipping, a 0-dim tensor.

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.Parameter(gg.zeros(2)); w.grad = gg.tensor([3.0, 4.0])
        >>> gg.nn.utils.clip_grad_norm_([w], 1.0)
        tensor(5.)
        >>> w.grad
        tensor([0.6000, 0.8000])
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Tensor:
    """The old name of :func:`clip_grad_norm_`."""
    warnings.warn("clip_grad_norm is deprecated; use clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp every gradient in place to [-clip_value, clip_value]."""
    with no_grad():
        for grad in _gradients(parameters):
            grad.detach().clamp_(-float(clip_value), float(clip_value))
