"""Muon: momentum whose matrix is made orthogonal before the step."""

from __future__ import annotations

import math
from typing import Any

from ..ops.creation import zeros_like
from ..ops.linalg import addmm
from ..tensor import Tensor
from .optimizer import Optimizer

__all__ = ["Muon"]


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """About U Vᵀ of the singular value decomposition U S Vᵀ by Newton-Schulz steps of fifth order.

    Every result is rounded to bfloat16, once: what a bfloat16 product with a sum in it computes.
    """

    def rounded(x: Tensor) -> Tensor:
        return x.bfloat16().float()

    a, b, c = coefficients
    x = rounded(matrix)
    tall = matrix.shape[0] > matrix.shape[1]
    if tall:
        x = x.transpose(0, 1)
    x = rounded(x / rounded(x.norm()).clamp(min=eps))  # no singular value above one
    for _ in range(steps):
        gram = rounded(x @ x.transpose(0, 1))
        update = rounded(addmm(gram, gram, gram, beta=b, alpha=c))
        x = rounded(addmm(x, update, x, beta=a))
    return x.transpose(0, 1) if tall else x


class Muon(Optimizer):
    """Momentum made orthogonal (Jordan, 2024, https://kellerjordan.github.io/posts/muon/), for weight matrices.

    Give biases, embeddings and other parameters to another optimiser, such as AdamW.

    Args:
        params: 2-D parameters or groups.
        lr: learning rate.
        weight_decay: p ← p (1 - lr · weight_decay).
        momentum: of the running mean of the gradient.
        nesterov: step from g + momentum · (mean - g).
        ns_coefficients, ns_steps: polynomial and number of the Newton-Schulz steps.
        eps: the smallest norm divided by.
        adjust_lr_fn: 'original' (the default): lr · √max(1, rows / columns); 'match_rms_adamw': lr · 0.2 · √max(rows,
            columns) (Liu et al., 2025).

    Raises:
        ValueError: a parameter is not 2-D, or an option is out of range.

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.Parameter(gg.eye(2)); w.grad = gg.eye(2)
        >>> gg.optim.Muon([w], lr=0.5, weight_decay=0.0).step()
        >>> bool(w[0, 0] < 0.8)
        True
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if ns_steps >= 100:
            raise ValueError(
                f"Number of steps must be less than 100 for computational efficiency, got {ns_steps}"
            )
        if len(ns_coefficients) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        super().__init__(
            params,
            dict(
                lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, ns_coefficients=ns_coefficients,
                eps=eps, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn,
            ),
        )  # fmt: skip

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if p.is_complex():
                self.param_groups.pop()
                raise RuntimeError("Muon does not support complex parameters")
            if p.ndim != 2:
                self.param_groups.pop()
                raise ValueError(
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {tuple(p.shape)}; give it to AdamW"
                )

    def _step_group(self, group: dict[str, Any]) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = zeros_like(p.grad)
            mean = state["momentum_buffer"]
            mean.lerp_(p.grad, 1 - momentum)
            update = p.grad.lerp(mean, momentum) if group["nesterov"] else mean
            update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
            rows, columns = p.shape
            if group["adjust_lr_fn"] == "match_rms_adamw":
                ratio = 0.2 * math.sqrt(max(rows, columns))
            else:
                ratio = math.sqrt(max(1, rows / columns))
            p.mul_(1 - lr * group["weight_decay"])
            p.add_(update.to(p.dtype), alpha=-lr * ratio)
