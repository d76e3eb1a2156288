"""Memory shared with other libraries as DLPack capsules, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from ..ops.creation import from_dlpack
from ..tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule over the tensor's memory, to be read once.

    Newer libraries take the tensor itself: ``numpy.from_dlpack(tensor)``.

    Example:
        >>> import gradgpu as gg
        >>> from gradgpu.utils.dlpack import from_dlpack, to_dlpack
        >>> x = gg.zeros(2)
        >>> from_dlpack(to_dlpack(x))[0] = 3.0
        >>> x
        tensor([3., 0.])
    """
    return tensor.__dlpack__()
