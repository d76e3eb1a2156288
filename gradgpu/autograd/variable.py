"""PyTorch's historic place of `Variable`, which is the tensor itself."""

from . import Variable

__all__ = ["Variable"]
