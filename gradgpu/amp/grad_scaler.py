"""`GradScaler`: losses are scaled up so that small gradients survive in float16 (Micikevicius et al., 2018)."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..autograd.modes import no_grad
from ..dtypes import float16
from ..ops.join import stack
from ..tensor import Tensor

__all__ = ["GradScaler"]


class GradScaler:
    """Scales losses, unscales gradients, leaves out steps with infinite or NaN gradients, and adapts the scale.

    The scale is halved (`backoff_factor`) after a step that was left out, and doubled (`growth_factor`) after
    `growth_interval` steps in a row that were not.

    Args:
        device: 'cuda' or 'cpu'; where the device is missing, the scaler warns and does nothing.
        init_scale, growth_factor, backoff_factor, growth_interval: as above.
        enabled: False makes every method do nothing, and `step` call the optimiser's.

    The host waits once a step, in `step` (or in `update`, if only `unscale_` was called): whether some gradient is not finite.

    >>> import gradgpu as gg
    >>> net = gg.nn.Linear(2, 1)
    >>> optimizer, scaler = gg.optim.SGD(net.parameters(), lr=0.1), gg.amp.GradScaler("cpu", init_scale=8.)
    >>> loss = net(gg.ones(1, 2)).sum()
    >>> scaler.scale(loss).backward()
    >>> net.bias.grad
    tensor([8.])
    >>> scaler.step(optimizer)
    >>> net.bias.grad, scaler.get_scale()
    (tensor([1.]), 8.0)
    >>> scaler.update()
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._device, self._enabled = str(device), enabled
        if self._device not in ("cpu", "cuda"):
            raise RuntimeError(f"GradScaler: device must be 'cpu' or 'cuda', got {device!r}")
        if enabled and self._device == "cuda":
            from ..cuda import is_available

            if not is_available():
                warnings.warn(
                    "GradScaler is enabled, but CUDA is not available; it is disabled. GradScaler('cpu') scales on the CPU",
                    stacklevel=2,
                )
                self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError(f"The growth factor must be > 1.0, got {growth_factor}")
            if backoff_factor >= 1.0:
                raise AssertionError(f"The backoff factor must be < 1.0, got {backoff_factor}")
        self._scale, self._growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor, self._growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        # Of each optimiser since the last update: 'unscaled' or 'stepped', and what tells whether all was finite.
        self._stages: dict[int, str] = {}
        self._checks: dict[int, Tensor | float] = {}

    def scale(self, outputs: Any) -> Any:
        """The outputs (a tensor, or any iterable of them) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            made = [self.scale(t) for t in outputs]
            if hasattr(outputs, "_fields"):
                return type(outputs)(*made)
            return type(outputs)(made)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of the optimiser's parameters by the scale: before `step`, if they are clipped or looked at.

        Raises:
            RuntimeError: a second call before `update`, a call after `step`, or parameters in float16.
        """
        if not self._enabled:
            return
        stage = self._stages.get(id(optimizer))
        if stage == "unscaled":
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if stage == "stepped":
            raise RuntimeError("unscale_() is being called after step().")
        inverse = 1.0 / self._scale
        sums: dict[Any, list[Tensor]] = {}
        with no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    grad = parameter.grad
                    if grad is None:
                        continue
                    if grad.dtype is float16:
                        raise RuntimeError(
                            "Attempting to unscale FP16 gradients: keep parameters in float32 and use autocast"
                        )
                    grad.mul_(inverse)
                    # 0 · x is 0 for each finite x and NaN for all others, and so is the sum.
                    sums.setdefault(grad.device, []).append((grad * 0.0).sum().float())
            if sums:
                found = [stack(parts).sum() for parts in sums.values()]
                self._checks[id(optimizer)] = found[0] if len(found) == 1 else sum(f.item() for f in found)
        self._stages[id(optimizer)] = "unscaled"

    def _all_finite(self, optimizer_id: int) -> bool:
        check = self._checks[optimizer_id]
        if isinstance(check, Tensor):
            check = self._checks[optimizer_id] = check.item()
        return math.isfinite(check)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(*args, **kwargs)` after `unscale_`, unless some gradient is infinite or NaN; gives what it gives.

        Raises:
            RuntimeError: a closure, or a second call before `update`.
            AssertionError: no parameter has a gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        stage = self._stages.get(id(optimizer))
        if stage == "stepped":
            raise RuntimeError("step() has already been called since the last update().")
        if stage is None:
            self.unscale_(optimizer)
        if id(optimizer) not in self._checks:
            raise AssertionError(
                "No inf checks were recorded for this optimizer: no parameter has a gradient."
            )
        result = optimizer.step(*args, **kwargs) if self._all_finite(id(optimizer)) else None
        self._stages[id(optimizer)] = "stepped"
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapts the scale, once an iteration and after all steps; or sets it to `new_scale`.

        Raises:
            AssertionError: neither `step` nor `unscale_` was called since the last one.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            if isinstance(new_scale, Tensor) and (new_scale.numel() != 1 or new_scale.requires_grad):
                raise AssertionError(
                    "new_scale should be a float or a 1-element tensor with requires_grad=False."
                )
            self._scale = float(new_scale.item() if isinstance(new_scale, Tensor) else new_scale)
        else:
            if not self._checks:
                raise AssertionError("No inf checks were recorded prior to update.")
            if all(self._all_finite(key) for key in list(self._checks)):
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    grown = self._scale * self._growth_factor
                    self._scale = grown if grown <= 3.4028234663852886e38 else self._scale  # float32's range
                    self._growth_tracker = 0
            else:
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
        self._stages.clear()
        self._checks.clear()

    def get_scale(self) -> float:
        """The scale; 1.0 if the scaler is disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By what the scale is multiplied after `growth_interval` good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets `get_growth_factor`."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale is multiplied after a step that was left out."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets `get_backoff_factor`."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets `get_growth_interval`."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale and what adapts it; empty if the scaler is disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the state of another scaler.

        Raises:
            RuntimeError: the state is empty, that of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._growth_tracker = (
            state_dict["growth_interval"],
            state_dict["_growth_tracker"],
        )
