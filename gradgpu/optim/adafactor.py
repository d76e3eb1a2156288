"""Adafactor: Adam's second moment from one number for each row and each column."""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import finfo
from ..ops.creation import tensor, zeros_like
from ..tensor import Tensor
from .optimizer import Optimizer, check_non_negative

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Steps of the gradient over the root of its mean square, which rows and columns share (Shazeer & Stern, 2018).

    Of a matrix it remembers r + c numbers, not r · c: the mean square of row i and column j is estimated as
    R_i C_j / mean(R). The rate is lr or 1 / √t, whichever is smaller, times the root mean square of the parameter.

    Args:
        params: parameters or groups.
        lr: the largest relative rate.
        beta2_decay: the new squares weigh t^beta2_decay.
        eps: (the smallest root of a mean square, by default the dtype's eps; the smallest size of a parameter).
        d: an update whose root mean square is larger is scaled down to it.
        weight_decay: p ← p (1 - lr · weight_decay).
        foreach: has no effect.
        maximize: go uphill.

    Raises:
        ValueError: an option is out of range. RuntimeError: a parameter is complex.

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.Parameter(gg.ones(2, 2)); w.grad = gg.ones(2, 2)
        >>> gg.optim.Adafactor([w], lr=0.1).step()
        >>> round(w[0, 0].item(), 4)
        0.9
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon1=eps[0] or 0.0, epsilon2=eps[1], weight_decay=weight_decay)
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if d < 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        super().__init__(
            params,
            dict(
                lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay, foreach=foreach,
                maximize=maximize,
            ),
        )  # fmt: skip

    def _new_state(self, p: Tensor, g: Tensor) -> dict[str, Any]:
        if p.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        state: dict[str, Any] = {"step": tensor(0.0)}  # on the host: no step waits for the device
        if g.ndim > 1:
            state["row_var"] = g.new_zeros((*g.shape[:-1], 1))
            state["col_var"] = g.new_zeros((*g.shape[:-2], 1, g.shape[-1]))
        else:
            state["variance"] = zeros_like(g)
        return state

    def _step_group(self, group: dict[str, Any]) -> None:
        lr, (eps1, eps2) = float(group["lr"]), group["eps"]
        for p in group["params"]:
            if p.grad is None:
                continue
            g = -p.grad if group["maximize"] else p.grad
            state = self.state[p]
            if not state:
                state.update(self._new_state(p, g))
            state["step"] += 1
            step = state["step"].item()
            least = finfo(p.dtype).eps if eps1 is None else eps1
            new = step ** group["beta2_decay"]
            rate = (p.norm() / math.sqrt(p.numel())).clamp(min=eps2) * min(lr, 1 / math.sqrt(step))
            if group["weight_decay"] != 0:
                p.mul_(1 - lr * group["weight_decay"])
            if g.ndim > 1:
                rows, columns = state["row_var"], state["col_var"]
                rows.lerp_(g.square().mean(-1, keepdim=True), new)
                columns.lerp_(g.square().mean(-2, keepdim=True), new)
                squares = (rows @ columns) / rows.mean(-2, keepdim=True).clamp(min=least)
            else:
                squares = state["variance"].lerp_(g.square(), new)
            update = squares.clamp(min=least * least).rsqrt() * g
            size = update.norm() / (math.sqrt(update.numel()) * group["d"])
            p.sub_(update * (rate / size.clamp(min=1.0)))
