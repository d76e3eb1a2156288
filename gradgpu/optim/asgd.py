"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from ..ops.creation import tensor, zeros_like
from ..tensor import Tensor
from .optimizer import Optimizer, check_non_negative

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Gradient descent with a falling rate whose iterates are averaged (Polyak & Juditsky, 1992).

    p ← p (1 - lambd · eta) - eta · g with eta = lr / (1 + lambd · lr · t)^alpha; ``state[p]['ax']`` holds the
    mean of p over the steps after t0.

    Args:
        params: parameters or groups.
        lr: learning rate.
        lambd: decay.
        alpha: power of the rate's fall.
        t0: the step at which averaging begins.
        weight_decay: adds weight_decay · p to the gradient.
        maximize: go uphill.
        foreach, capturable: have no effect; differentiable must be False.

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.Parameter(gg.ones(1)); w.grad = gg.ones(1)
        >>> gg.optim.ASGD([w], lr=0.5, lambd=0.0).step()
        >>> w.detach()
        tensor([0.5000])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_non_negative(lr=lr, weight_decay=weight_decay)
        super().__init__(
            params,
            dict(
                lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
                differentiable=differentiable, capturable=capturable,
            ),
        )  # fmt: skip

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():  # numbers of the host: a step must not wait for the device
            for name in ("eta", "mu"):
                if isinstance(state.get(name), Tensor):
                    state[name] = tensor(state[name].item())

    def _step_group(self, group: dict[str, Any]) -> None:
        lr, lambd, decay = float(group["lr"]), group["lambd"], group["weight_decay"]
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"], state["eta"], state["mu"] = tensor(0.0), tensor(lr), tensor(1.0)
                state["ax"] = zeros_like(p.detach())
            step, eta, mu, ax = state["step"].item() + 1, state["eta"].item(), state["mu"].item(), state["ax"]
            grad = -p.grad if group["maximize"] else p.grad
            if decay != 0:
                grad = grad.add(p, alpha=decay)
            p.mul_(1 - lambd * eta).add_(grad, alpha=-eta)
            if mu == 1:
                ax.copy_(p)
            else:
                ax.add_(p.sub(ax).mul_(mu))
            state["step"] = tensor(step)
            state["eta"] = tensor(lr / (1 + lambd * lr * step) ** group["alpha"])
            state["mu"] = tensor(1 / max(1, step - group["t0"]))
