"""Settings of PyTorch's `torch._inductor`: kept and unused, as there is no compiler."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

__all__ = ["config"]

config: Any = SimpleNamespace(
    coordinate_descent_tuning=False,
    fx_graph_cache=False,
    triton=SimpleNamespace(unique_kernel_names=False, cudagraphs=False),
)
sys.modules[f"{__name__}.config"] = config
