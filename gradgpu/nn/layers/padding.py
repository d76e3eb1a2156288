"""Padding of the last dimensions, as modules."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from ...tensor import Tensor
from .. import functional as F
from ..module import Module

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d",
    "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _Pad(Module):
    """padding: an int for every side, or (left, right[, top, bottom[, front, back]])."""

    _dims = 2
    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (int(padding),) * (2 * self._dims) if isinstance(padding, Integral) else tuple(padding)
        self.value = 0.0

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode, self.value if self._mode == "constant" else None)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """One value around the last dimension."""

    _dims = 1


class ConstantPad2d(_ConstantPadNd):
    """One value around the last two dimensions."""


class ConstantPad3d(_ConstantPadNd):
    """One value around the last three dimensions."""

    _dims = 3


class _ZeroPad(_ConstantPadNd):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Zeros around the last dimension."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Zeros around the last two dimensions."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Zeros around the last three dimensions."""


class ReflectionPad1d(_Pad):
    """The last dimension mirrored at its ends (the end itself once)."""

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last two dimensions mirrored at their ends (the end itself once)."""

    _mode = "reflect"


class ReflectionPad3d(_Pad):
    """The last three dimensions mirrored at their ends (the end itself once)."""

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The end of the last dimension repeated."""

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The ends of the last two dimensions repeated."""

    _mode = "replicate"


class ReplicationPad3d(_Pad):
    """The ends of the last three dimensions repeated."""

    _dims, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The last dimension continued from its other end."""

    _dims, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """The last two dimensions continued from their other ends."""

    _mode = "circular"


class CircularPad3d(_Pad):
    """The last three dimensions continued from their other ends."""

    _dims, _mode = 3, "circular"
