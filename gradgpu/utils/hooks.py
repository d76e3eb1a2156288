"""PyTorch's place of the handle that `register_hook` and its kin return."""

from ..autograd.node import RemovableHandle

__all__ = ["RemovableHandle"]
