"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from ..scalars import zero_dim as scalar
from .elementwise import Bucket, ElementwiseOptimizer, step_kernel
from .optimizer import check_betas, check_non_negative

__all__ = ["Adam", "AdamW"]


class Adam(ElementwiseOptimizer):
    """Steps of the running mean of the gradient over the root of the running mean of its square (Kingma & Ba, 2014).

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², p ← p - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + eps).

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: (β₁, β₂).
        eps: added to the denominator.
        weight_decay: adds weight_decay · p to the gradient (``decoupled_weight_decay``: shrinks p by lr · weight_decay).
        amsgrad: use the largest v so far (Reddi et al., 2018).
        maximize: go uphill.
        foreach, capturable, fused: accepted for compatibility; the step is always fused.
        differentiable: must be False.

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.Parameter(gg.tensor([1.0]))
        >>> optimizer = gg.optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> round(w.item(), 4)
        0.9
    """

    _states = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _kernel = step_kernel("adam")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize, foreach=foreach,
                capturable=capturable, differentiable=differentiable, fused=fused,
                decoupled_weight_decay=decoupled_weight_decay,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return dict.fromkeys(self._states if group["amsgrad"] else self._states[:2], 0.0)

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        step = self._advance(bucket)
        beta1, beta2 = group["betas"]
        return beta1, beta2, group["eps"], float(group["lr"]) / (1.0 - beta1**step), sqrt(1.0 - beta2**step)

    def _gradient_scale(self, numbers: Sequence[float]) -> float:
        return 1.0 - numbers[0]

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        beta1, beta2, eps, step_size, root = numbers
        dtype = g.dtype
        m, v, largest = states
        np.multiply(m, scalar(beta1, dtype), m)
        np.add(m, g, m)  # g comes multiplied by 1 - beta1,
        np.multiply(g, g, scratch)
        np.multiply(
            scratch, scalar((1.0 - beta2) / (1.0 - beta1) ** 2, dtype), scratch
        )  # which is undone here
        np.multiply(v, scalar(beta2, dtype), v)
        np.add(v, scratch, v)
        if largest is not None:
            v = np.maximum(largest, v, out=largest)
        # m / (√v / root + eps) = m · root / (√v + eps · root): a division less
        np.sqrt(v, scratch)
        np.add(scratch, scalar(eps * root, dtype, False), scratch)
        np.divide(m, scratch, g)
        np.multiply(g, scalar(step_size * root, dtype, False), g)


class AdamW(Adam):
    """:class:`Adam` with decoupled weight decay: p ← p - lr · weight_decay · p before the step (Loshchilov & Hutter, 2017)."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip
