"""Averages of a net's weights: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from ..autograd.modes import no_grad
from ..nn.layers.normalization import BatchNorm1d
from ..nn.module import Module
from ..ops.creation import tensor
from ..tensor import Tensor
from .lr_scheduler.base import LRScheduler, per_group
from .optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

_BatchNorm = next(
    c for c in reversed(BatchNorm1d.__mro__) if issubclass(c, Module) and "BatchNorm" in c.__name__
)


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """averages ← decay · averages + (1 - decay) · values, in place, for lists of tensors."""
    _check_decay(decay)

    @no_grad()
    def ema_update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Any) -> None:
        for average, value in zip(averages, values):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(average * decay + value * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """averages ← averages + (values - averages) / (count + 1), in place, for lists of tensors."""
    one = get_swa_avg_fn()

    @no_grad()
    def swa_update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Any) -> None:
        for average, value in zip(averages, values):
            average.copy_(one(average, value, count))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """decay · average + (1 - decay) · value, for one tensor."""
    _check_decay(decay)

    @no_grad()
    def ema_update(average: Tensor, value: Tensor, count: Any) -> Tensor:
        return decay * average + (1 - decay) * value

    return ema_update


def get_swa_avg_fn() -> Callable:
    """average + (value - average) / (count + 1), for one tensor."""

    @no_grad()
    def swa_update(average: Tensor, value: Tensor, count: Any) -> Tensor:
        return average + (value - average) / (count + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a net whose weights are averages of the net's (Izmailov et al., 2018).

    Args:
        model: the net; it is copied.
        device: where the copy lives.
        avg_fn: (average, value, count) → new average; the equal average by default.
        multi_avg_fn: the same for lists of tensors, in place; instead of avg_fn.
        use_buffers: average the buffers as well; otherwise they are copied.

    Example:
        >>> import gradgpu as gg
        >>> net = gg.nn.Linear(1, 1)
        >>> ema = gg.optim.swa_utils.AveragedModel(net, multi_avg_fn=gg.optim.swa_utils.get_ema_multi_avg_fn(0.9))
        >>> ema.update_parameters(net); ema.n_averaged
        tensor(1)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights of ``model`` into the averages; the first time they are copied."""
        mine: Iterable[Tensor] = self.module.parameters()
        given: Iterable[Tensor] = model.parameters()
        if self.use_buffers:
            mine, given = chain(mine, self.module.buffers()), chain(given, model.buffers())
        averages = [p.detach() for p in mine]
        values = [p.detach().to(a.device) for p, a in zip(given, averages)]
        count = int(self.n_averaged.item())
        with no_grad():
            if count == 0:
                for average, value in zip(averages, values):
                    average.copy_(value)
            elif self.avg_fn is None:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(averages, values, count)
            else:
                for average, value in zip(averages, values):
                    average.copy_(self.avg_fn(average, value, count))
            if not self.use_buffers:
                for average, value in zip(self.module.buffers(), model.buffers()):
                    average.copy_(value.detach().to(average.device))
            self.n_averaged.add_(1)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of every batch norm to those of one pass over ``loader``.

    Args:
        loader: gives tensors, or lists or tuples whose first element is the input.
        model: run in training mode, without gradients; its mode is restored.
        device: where the inputs are moved to.
    """
    norms = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not norms:
        return
    training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    with no_grad():
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """From the current rate to ``swa_lr`` within ``anneal_epochs``, along a cosine or a line; then constant.

    Args:
        optimizer: whose groups are changed.
        swa_lr: the last rate, one or one a group.
        anneal_epochs: the length of the way.
        anneal_strategy: 'cos' or 'linear'.
        last_epoch: where to go on from.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(per_group(swa_lr, optimizer, "swa_lr"), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self._groups:
            rate, last = float(group["lr"]), group["swa_lr"]
            start = last if before == 1 else (rate - before * last) / (1 - before)
            rates.append(last * now + start * (1 - now))
        return rates
