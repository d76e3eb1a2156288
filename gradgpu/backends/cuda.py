"""How products run on cuda: float32 in float32, never in TF32."""

from types import SimpleNamespace
from typing import Any

matmul: Any = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=False,
    allow_bf16_reduced_precision_reduction=False,
)


def is_built() -> bool:
    """True: 'cuda' needs only CuPy and a driver (or the simulator); see `gradgpu.cuda.is_available`."""
    return True
