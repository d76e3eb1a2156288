"""PyTorch's place of what finds a GPU's number."""

from .comm import get_device_index as _get_device_index

__all__ = ["_get_device_index"]
