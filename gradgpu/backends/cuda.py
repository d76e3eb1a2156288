"""How products run on cuda: float32 in float32, never in TF32."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """Accepted, and without effect: see `gradgpu.nn.attention.sdpa_kernel`."""
    yield
