"""The base of learning-rate schedules."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ..optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base of the schedules: a subclass defines ``get_lr()`` from ``last_epoch``, ``base_lrs`` and the current rates.

    Args:
        optimizer: whose groups are changed.
        last_epoch: where to go on from; -1 starts anew.
    """

    _is_initial = False  # in the step that __init__ takes
    _get_lr_called_within_step = False  # schedules written for PyTorch warn where it is not

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch >= 0: "
                    "load the optimizer's state first, or leave last_epoch out to start anew"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._count_steps()
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _count_steps(self) -> None:
        """Let the optimiser note its steps, so that a schedule that runs first can warn."""
        optimizer: Any = self.optimizer
        if not hasattr(optimizer, "_steps_taken") and hasattr(optimizer, "_post_hooks"):
            optimizer._steps_taken = 0

            def count(optimizer: Any, args: Any, kwargs: Any) -> None:
                optimizer._steps_taken += 1

            optimizer.register_step_post_hook(count)

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    @property
    def _rates(self) -> list[float]:
        return [float(group["lr"]) for group in self._groups]

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that the last ``step()`` set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (or a given one) and set the rates."""
        step = type(self.optimizer).step
        counted = step is Optimizer.step or hasattr(step, "runs_hooks")
        if counted and self._step_count == 1 and self.optimizer.__dict__.get("_steps_taken", 1) == 0:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite "
                "order: `optimizer.step()` before `lr_scheduler.step()`; otherwise the first value of the schedule is skipped.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed: Any = getattr(self, "_get_closed_form_lr", self.get_lr)
                rates = closed()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _set(self, rates: Iterable[float]) -> None:
        for group, rate in zip(self._groups, rates):
            group["lr"] = rate
        self._last_lr = self._rates

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self.__dict__.update(state_dict)


def per_group(value: Any, optimizer: Optimizer, name: str) -> list[float]:
    """An option as one value a group."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"expected {count} values for {name}, got {len(value)}")
    return list(value)
