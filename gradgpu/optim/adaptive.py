"""Optimisers with a step size of its own for each element: RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam, Rprop."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from ..dtypes import float32
from ..ops.creation import tensor
from .elementwise import Bucket, ElementwiseOptimizer, step_kernel
from .optimizer import check_betas, check_non_negative

__all__ = ["Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"]


def _running_mean(mean: np.ndarray, value: np.ndarray, beta: float, scratch: np.ndarray) -> None:
    """mean ← beta · mean + (1 - beta) · value."""
    np.multiply(value, 1.0 - beta, scratch)
    np.multiply(mean, beta, mean)
    np.add(mean, scratch, mean)


def _running_square(mean: np.ndarray, value: np.ndarray, beta: float, scratch: np.ndarray) -> None:
    """mean ← beta · mean + (1 - beta) · value²."""
    np.multiply(value, value, scratch)
    np.multiply(scratch, 1.0 - beta, scratch)
    np.multiply(mean, beta, mean)
    np.add(mean, scratch, mean)


class RMSprop(ElementwiseOptimizer):
    """p ← p - lr · g / (√v + eps) with v the running mean of g² (Tieleman & Hinton, 2012).

    Args:
        params: parameters or groups.
        lr: learning rate.
        alpha: decay of the running mean.
        eps: added to the denominator.
        weight_decay: adds weight_decay · p to the gradient.
        momentum: of the step.
        centered: subtract the square of the running mean of g from v: its variance.
        maximize: go uphill.
        capturable, foreach: have no effect; differentiable must be False.
    """

    _states = ("square_avg", "momentum_buffer", "grad_avg")
    _kernel = step_kernel("rmsprop")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay,
                capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return dict.fromkeys(names, 0.0)

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        self._advance(bucket)
        return float(group["lr"]), group["alpha"], group["eps"], group["momentum"]

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        lr, alpha, eps, momentum = numbers
        v, b, mean = states
        _running_square(v, g, alpha, scratch)
        if mean is None:
            np.sqrt(v, scratch)
        else:
            _running_mean(mean, g, alpha, scratch)
            np.multiply(mean, mean, scratch)
            np.subtract(v, scratch, scratch)
            np.sqrt(scratch, scratch)
        np.add(scratch, eps, scratch)
        np.divide(g, scratch, g)
        if b is not None:
            np.multiply(b, momentum, b)
            np.add(b, g, b)
            g[...] = b
        np.multiply(g, lr, g)


class Adagrad(ElementwiseOptimizer):
    """p ← p - lr / (1 + (t - 1) · lr_decay) · g / (√(Σ g²) + eps) (Duchi et al., 2011)."""

    _states = ("sum",)
    _kernel = step_kernel("adagrad")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_non_negative(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=eps,
        )
        super().__init__(
            params,
            dict(
                lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value,
                foreach=foreach, maximize=maximize, differentiable=differentiable, fused=fused,
            ),
        )  # fmt: skip
        # As in PyTorch the sums exist before the first step: processes that train together may share them.
        for group in self.param_groups:
            for p in group["params"]:
                total = p.detach().new_full(p.shape, group["initial_accumulator_value"])
                self.state[p] = {"step": tensor(0.0, dtype=float32, device="cpu"), "sum": total}

    def share_memory(self) -> None:
        """Put the sums where other processes see them, as `Tensor.share_memory_` does."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        step = self._advance(bucket)
        return float(group["lr"]) / (1 + (step - 1) * group["lr_decay"]), group["eps"]

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        lr, eps = numbers
        total = states[0]
        np.multiply(g, g, scratch)
        np.add(total, scratch, total)
        np.sqrt(total, scratch)
        np.add(scratch, eps, scratch)
        np.divide(g, scratch, g)
        np.multiply(g, lr, g)


class Adadelta(ElementwiseOptimizer):
    """p ← p - lr · Δ, Δ = √(u + eps) / √(v + eps) · g with v, u the running means of g² and Δ² (Zeiler, 2012)."""

    _states = ("square_avg", "acc_delta")
    _kernel = step_kernel("adadelta")

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        super().__init__(
            params,
            dict(
                lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable, foreach=foreach,
                differentiable=differentiable,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        self._advance(bucket)
        return float(group["lr"]), group["rho"], group["eps"]

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        lr, rho, eps = numbers
        v, u = states
        _running_square(v, g, rho, scratch)
        # √(u + eps) / √(v + eps), with one more buffer avoided by the root of the quotient
        delta = np.add(u, eps)
        np.add(v, eps, scratch)
        np.divide(delta, scratch, delta)
        np.sqrt(delta, delta)
        np.multiply(g, delta, g)
        _running_square(u, g, rho, scratch)
        np.multiply(g, lr, g)


class Adamax(ElementwiseOptimizer):
    """p ← p - lr / (1 - β₁ᵗ) · m / u with m the running mean of g and u ← max(β₂ u, |g| + eps) (Kingma & Ba, 2014)."""

    _states = ("exp_avg", "exp_inf")
    _kernel = step_kernel("adamax")

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
                differentiable=differentiable, capturable=capturable,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        step = self._advance(bucket)
        beta1, beta2 = group["betas"]
        return beta1, beta2, group["eps"], float(group["lr"]) / (1.0 - beta1**step)

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        beta1, beta2, eps, step_size = numbers
        m, u = states
        _running_mean(m, g, beta1, scratch)
        np.absolute(g, scratch)
        np.add(scratch, eps, scratch)
        np.multiply(u, beta2, u)
        np.maximum(u, scratch, out=u)
        np.divide(m, u, g)
        np.multiply(g, step_size, g)


class NAdam(ElementwiseOptimizer):
    """:class:`Adam` with Nesterov momentum (Dozat, 2016); ``decoupled_weight_decay`` as in AdamW."""

    _states = ("exp_avg", "exp_avg_sq")
    _counters = {"step": 0.0, "mu_product": 1.0}
    _kernel = step_kernel("nadam")

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay,
                decoupled_weight_decay=decoupled_weight_decay, maximize=maximize, foreach=foreach, capturable=capturable,
                differentiable=differentiable,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        step = self._advance(bucket)
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        mu, mu_next = (beta1 * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
        counter = bucket.scalars["mu_product"]
        counter._a = np.float32(float(counter._a) * mu)
        product = float(counter._a)
        return (
            beta1,
            beta2,
            group["eps"],
            1 - beta2**step,
            lr * (1 - mu) / (1 - product),
            lr * mu_next / (1 - product * mu_next),
        )

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        beta1, beta2, eps, correction, of_g, of_m = numbers
        m, v = states
        _running_mean(m, g, beta1, scratch)
        _running_square(v, g, beta2, scratch)
        np.multiply(m, of_m, scratch)
        np.multiply(g, of_g, g)
        np.add(g, scratch, g)
        np.divide(v, correction, scratch)
        np.sqrt(scratch, scratch)
        np.add(scratch, eps, scratch)
        np.divide(g, scratch, g)


class RAdam(ElementwiseOptimizer):
    """:class:`Adam` whose adaptive step is rectified while few gradients were seen (Liu et al., 2019)."""

    _states = ("exp_avg", "exp_avg_sq")
    _kernel = step_kernel("radam")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(lr=lr, epsilon=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize, foreach=foreach,
                capturable=capturable, decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        step = self._advance(bucket)
        beta1, beta2 = group["betas"]
        correction2 = 1.0 - beta2**step
        limit = 2.0 / (1.0 - beta2) - 1.0
        length = limit - 2.0 * step * beta2**step / correction2
        adaptive = 0.0
        if length > 5.0:
            adaptive = sqrt(
                (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            ) * sqrt(correction2)
        return beta1, beta2, group["eps"], float(group["lr"]) / (1.0 - beta1**step), adaptive

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        beta1, beta2, eps, step_size, adaptive = numbers
        m, v = states
        _running_mean(m, g, beta1, scratch)
        _running_square(v, g, beta2, scratch)
        if adaptive == 0.0:
            np.multiply(m, step_size, g)
            return
        np.sqrt(v, scratch)
        np.add(scratch, eps, scratch)
        np.divide(m, scratch, g)
        np.multiply(g, step_size * adaptive, g)


class Rprop(ElementwiseOptimizer):
    """Steps whose size grows while the gradient keeps its sign and shrinks when it flips (Riedmiller & Braun, 1993).

    Args:
        params: parameters or groups.
        lr: the first step size.
        etas: (shrinking, growing) factor.
        step_sizes: (least, largest) step size.
        maximize: go uphill.
        capturable, foreach: have no effect; differentiable must be False.
    """

    _states = ("prev", "step_size")
    _kernel = step_kernel("rprop")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(
            params,
            dict(
                lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach, maximize=maximize, differentiable=differentiable,
                capturable=capturable,
            ),
        )  # fmt: skip

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"prev": 0.0, "step_size": float(group["lr"])}

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        self._advance(bucket)
        return (*group["etas"], *group["step_sizes"])

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        shrink, grow, least, largest = numbers
        before, size = states
        np.multiply(g, before, scratch)
        flipped = scratch < 0
        np.multiply(
            size, np.where(flipped, shrink, np.where(scratch > 0, grow, 1.0)), size, casting="same_kind"
        )
        np.clip(size, least, largest, out=size)
        g[flipped] = 0
        before[...] = g
        np.sign(g, g)
        np.multiply(g, size, g)
