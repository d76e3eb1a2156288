"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .elementwise import Bucket, ElementwiseOptimizer, step_kernel
from .optimizer import check_non_negative

__all__ = ["SGD"]


class SGD(ElementwiseOptimizer):
    """p ← p - lr · g, with momentum: b ← momentum · b + (1 - dampening) · g, p ← p - lr · b (Nesterov: g + momentum · b).

    Args:
        params: parameters or groups.
        lr: learning rate.
        momentum, dampening: of the running gradient b; the first b is g itself.
        weight_decay: adds weight_decay · p to the gradient.
        nesterov: Nesterov momentum (Sutskever et al., 2013); needs momentum and no dampening.
        maximize: go uphill.
        foreach, fused: accepted for compatibility; the step is always fused.
        differentiable: must be False.

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.Parameter(gg.tensor([1.0]))
        >>> optimizer = gg.optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.800000011920929]
    """

    _states = ("momentum_buffer",)
    _counters: dict[str, float] = {}
    _kernel = step_kernel("sgd")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_non_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize,
                foreach=foreach, differentiable=differentiable, fused=fused,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if group["momentum"] != 0 else {}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        keep = 1.0 if bucket.fresh else 1.0 - group["dampening"]
        return float(group["lr"]), float(group["momentum"]), keep, float(group["nesterov"])

    def _gradient_scale(self, numbers: Sequence[float]) -> float:
        lr, momentum, _, _ = numbers
        return lr if momentum == 0 else 1.0

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        lr, momentum, keep, nesterov = numbers
        b = states[0]
        if b is None:
            return  # g holds lr · g already
        np.multiply(b, momentum, b)
        if keep == 1.0:
            np.add(b, g, b)
        else:
            np.multiply(g, keep, scratch)
            np.add(b, scratch, b)
        if nesterov:
            np.multiply(b, momentum, scratch)
            np.add(g, scratch, g)
            np.multiply(g, lr, g)
        else:
            np.multiply(b, lr, g)
