"""PyTorch's place for choosing an attention kernel. gradgpu has one for each case and takes it by itself."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """The names that PyTorch gives to implementations of `scaled_dot_product_attention`."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """`with sdpa_kernel(SDPBackend.MATH):` runs the block. All choices give the same numbers, so none is made.

    Raises:
        TypeError: something that is no `SDPBackend`, or no sequence of them.

    >>> import gradgpu as gg
    >>> q = gg.ones(1, 2, 4)
    >>> with gg.nn.attention.sdpa_kernel(gg.nn.attention.SDPBackend.MATH):
    ...     gg.nn.functional.scaled_dot_product_attention(q, q, q).shape
    gradgpu.Size([1, 2, 4])
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    for each in chosen:
        if not isinstance(each, SDPBackend):
            raise TypeError(f"sdpa_kernel: expected SDPBackend members, got {type(each).__name__}")
    yield
