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


# Which of PyTorch's implementations of attention may be used. There is one here for each case, so they are noted only.
_attention = {"flash": True, "math": True, "mem_efficient": True, "cudnn": True}


def enable_flash_sdp(enabled: bool) -> None:
    """Noted, and without effect: gradgpu has one way to compute attention."""
    _attention["flash"] = bool(enabled)


def flash_sdp_enabled() -> bool:
    """What `enable_flash_sdp` was told last."""
    return _attention["flash"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Noted, and without effect: gradgpu has one way to compute attention."""
    _attention["mem_efficient"] = bool(enabled)


def mem_efficient_sdp_enabled() -> bool:
    """What `enable_mem_efficient_sdp` was told last."""
    return _attention["mem_efficient"]


def enable_math_sdp(enabled: bool) -> None:
    """Noted, and without effect: gradgpu has one way to compute attention."""
    _attention["math"] = bool(enabled)


def math_sdp_enabled() -> bool:
    """What `enable_math_sdp` was told last."""
    return _attention["math"]


def enable_cudnn_sdp(enabled: bool) -> None:
    """Noted, and without effect: gradgpu has one way to compute attention."""
    _attention["cudnn"] = bool(enabled)


def cudnn_sdp_enabled() -> bool:
    """What `enable_cudnn_sdp` was told last."""
    return _attention["cudnn"]


def is_flash_attention_available() -> bool:
    """True: attention never writes its matrix of weights to memory (kernels/attention.cu)."""
    return True


def preferred_linalg_library(backend: str | None = None) -> str:
    """'default': decompositions are LAPACK's, on the host; others are accepted, and without effect."""
    if backend not in (None, "default", "cusolver", "magma"):
        raise RuntimeError(f"Unknown input value {backend!r}. Choose from: default, cusolver, magma")
    return "default"
