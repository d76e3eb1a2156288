"""Mixed precision: products in a half dtype, sums and losses in float32 (Micikevicius et al., 2018).

>>> import gradgpu as gg
>>> net = gg.nn.Linear(4, 2)
>>> with gg.autocast("cpu", gg.bfloat16):
...     y = net(gg.ones(3, 4))
>>> y.dtype, net.weight.dtype
(gradgpu.bfloat16, gradgpu.float32)
"""

from . import autocast_mode
from .autocast_mode import (
    autocast,
    clear_autocast_cache,
    custom_bwd,
    custom_fwd,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_dtype,
)
from .grad_scaler import GradScaler

__all__ = [
    "GradScaler",
    "autocast",
    "autocast_mode",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "set_autocast_dtype",
]
