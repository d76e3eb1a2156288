"""Schedules that move rate and momentum together, in cycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, per_group

__all__ = ["CyclicLR", "OneCycleLR"]


class _Momentum:
    """Where a group's momentum is: 'momentum' of SGD, betas[0] of Adam."""

    @staticmethod
    def check(optimizer: Optimizer, name: str) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"optimizer must support momentum or beta1 with `cycle_momentum` option enabled in {name}"
            )

    @staticmethod
    def get(group: dict[str, Any]) -> float:
        return group["betas"][0] if "betas" in group else group["momentum"]

    @staticmethod
    def set(group: dict[str, Any], value: float) -> None:
        if "betas" in group:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class OneCycleLR(LRScheduler):
    """The 1cycle policy (Smith & Topin, 2017): the rate rises to max_lr, then falls far below where it began.

    Args:
        optimizer: whose groups are changed.
        max_lr: the highest rate, one or one a group.
        total_steps: length of the cycle, or ``epochs`` and ``steps_per_epoch``.
        pct_start: fraction of the cycle that rises.
        anneal_strategy: 'cos' or 'linear'.
        cycle_momentum: move the momentum (or β₁) against the rate, between base_momentum and max_momentum.
        div_factor: max_lr / first rate.
        final_div_factor: first rate / last rate.
        three_phase: fall back to the first rate before the last fall.
        last_epoch: where to go on from.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
            total_steps = epochs * steps_per_epoch
        if total_steps <= 0 or not isinstance(total_steps, int):
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not isinstance(pct_start, (int, float)) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        # The names are PyTorch's, so that either reads the other's state_dict.
        self.total_steps, self._anneal_func_type, self.cycle_momentum = (
            total_steps,
            anneal_strategy,
            cycle_momentum,
        )
        top = float(pct_start * total_steps) - 1
        first, last, low, high = "initial_lr", "min_lr", "max_momentum", "base_momentum"
        phases = [(top, first, "max_lr", low, high)]
        if three_phase:
            phases.append((2 * top, "max_lr", first, high, low))
            phases.append((total_steps - 1, first, last, low, low))
        else:
            phases.append((total_steps - 1, "max_lr", last, high, low))
        names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
        self._schedule_phases: list[dict[str, Any]] = [dict(zip(names, phase)) for phase in phases]
        if last_epoch == -1:
            highest = per_group(max_lr, optimizer, "max_lr")
            for group, peak in zip(optimizer.param_groups, highest):
                group["initial_lr"] = peak / div_factor
                group["max_lr"], group["min_lr"] = peak, peak / div_factor / final_div_factor
        if cycle_momentum:
            _Momentum.check(optimizer, "OneCycleLR")
            self.use_beta1 = "betas" in optimizer.defaults
            if last_epoch == -1:
                values = zip(
                    optimizer.param_groups,
                    per_group(base_momentum, optimizer, "base_momentum"),
                    per_group(max_momentum, optimizer, "max_momentum"),
                )
                for group, base, most in values:
                    _Momentum.set(group, most)
                    group["base_momentum"], group["max_momentum"] = base, most
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, part: float) -> float:
        return (
            end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)
            if self._anneal_func_type == "cos"
            else start + (end - start) * part
        )

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}"
            )
        rates = []
        for group in self._groups:
            begin = 0.0
            for i, phase in enumerate(self._schedule_phases):
                end = phase["end_step"]
                if step <= end or i == len(self._schedule_phases) - 1:
                    part = (step - begin) / (end - begin) if end > begin else 1.0
                    rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], part))
                    if self.cycle_momentum:
                        start, stop = group[phase["start_momentum"]], group[phase["end_momentum"]]
                        _Momentum.set(group, self._anneal(start, stop, part))
                    break
                begin = end
        return rates


class CyclicLR(LRScheduler):
    """The rate goes up and down between base_lr and max_lr (Smith, 2017); mode: triangular, triangular2, exp_range."""

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        base_lrs = per_group(base_lr, optimizer, "base_lr")
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs):
                group["lr"] = rate
        self.max_lrs = per_group(max_lr, optimizer, "max_lr")
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size, self.step_ratio = float(step_size_up + down), step_size_up / (step_size_up + down)
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = (
            scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        )
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            _Momentum.check(optimizer, "CyclicLR")
            self.base_momentums = per_group(base_momentum, optimizer, "base_momentum")
            self.max_momentums = per_group(max_momentum, optimizer, "max_momentum")
            self.use_beta1 = "betas" in optimizer.defaults
            if last_epoch == -1:
                for group, base, most in zip(optimizer.param_groups, self.base_momentums, self.max_momentums):
                    _Momentum.set(group, most)
                    group["base_momentum"], group["max_momentum"] = base, most
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The factor of the height of cycle (or step) x."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return {"triangular": 1.0, "triangular2": 1 / 2.0 ** (x - 1), "exp_range": self.gamma**x}[self.mode]

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, base, most in zip(self._groups, self.base_momentums, self.max_momentums):
                _Momentum.set(group, most - (most - base) * height * scale)
        return [base + (top - base) * height * scale for base, top in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser; of ``scale_fn`` what it has as attributes, if it is no plain function."""
        function = self._scale_fn_custom
        kept = None if function is None or isinstance(function, FunctionType) else dict(vars(function))
        return {**super().state_dict(), "_scale_fn_custom": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        saved = state.pop("_scale_fn_custom", None)
        super().load_state_dict(state)
        if saved is not None:
            vars(self._scale_fn_custom).update(saved)
