"""SparseAdam: Adam that leaves alone the rows of a table that were not looked up."""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..ops.creation import zeros_like
from ..ops.masks import nonzero
from .optimizer import Optimizer, check_betas

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """:class:`Adam` for tables of embeddings: a step changes the rows that have a gradient, and their running means, only.

    Gradients of embeddings are dense here, also with ``sparse=True``; a row has none if all of its gradient is zero. To find
    such rows the host waits for the device once for each parameter. What does not depend on the number of rows looked
    up costs the reading of the gradient.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: the decay of the running means of the gradient and its square.
        eps: added to the denominator.
        maximize: go uphill.

    Example:
        >>> import gradgpu as gg
        >>> table = gg.nn.Embedding(3, 2, sparse=True)
        >>> before = table.weight.detach().clone()
        >>> optimizer = gg.optim.SparseAdam(table.parameters(), lr=0.1)
        >>> table(gg.tensor([1])).sum().backward()
        >>> optimizer.step()
        >>> (table.weight != before).any(1)
        tensor([False,  True, False])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if not lr > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))

    def _step_group(self, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if "step" not in state:
                state.update(step=0, exp_avg=zeros_like(p), exp_avg_sq=zeros_like(p))
            state["step"] += 1
            grad = -p.grad if group["maximize"] else p.grad
            filled = grad != 0
            rows = nonzero(
                filled.reshape((filled.shape[0], -1)).any(1) if filled.ndim > 1 else filled
            ).squeeze(1)
            if not rows.shape[0]:
                continue
            g, m, v = grad[rows], state["exp_avg"][rows], state["exp_avg_sq"][rows]
            m = m.lerp(g, 1 - beta1)
            v = v.lerp(g * g, 1 - beta2)
            state["exp_avg"].index_copy_(0, rows, m)
            state["exp_avg_sq"].index_copy_(0, rows, v)
            step = float(group["lr"]) * sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
            p.index_add_(0, rows, m / (v.sqrt() + group["eps"]), alpha=-step)
