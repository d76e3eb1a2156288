"""PyTorch's place of windows for signals."""

from . import windows

__all__ = ["windows"]
