"""The old names of `gradgpu.amp` for 'cuda'."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .. import amp
from ..amp import autocast_mode, grad_scaler
from ..dtypes import dtype as DType
from ..dtypes import float16

__all__ = ["GradScaler", "autocast", "autocast_mode", "custom_bwd", "custom_fwd", "grad_scaler"]


class autocast(amp.autocast):
    """``gradgpu.amp.autocast('cuda', …)``."""

    def __init__(self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True):
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """``gradgpu.amp.GradScaler('cuda', …)``."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable | None = None, *, cast_inputs: Any = None) -> Callable:
    """``gradgpu.amp.custom_fwd(device_type='cuda')``."""
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable | None = None) -> Callable:
    """``gradgpu.amp.custom_bwd(device_type='cuda')``."""
    return amp.custom_bwd(bwd, device_type="cuda")


def amp_definitely_not_available() -> bool:
    """Whether there is no CUDA device."""
    from . import is_available

    return not is_available()


# PyTorch has a file for each: `from gradgpu.cuda.amp.grad_scaler import GradScaler`.
sys.modules[f"{__name__}.autocast_mode"] = sys.modules[f"{__name__}.common"] = sys.modules[__name__]
sys.modules[f"{__name__}.grad_scaler"] = grad_scaler
