"""Dropout: in training, zero some elements or channels at random and scale the rest up."""

from __future__ import annotations

from ...tensor import Tensor
from .. import functional as F
from ..module import Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training each element is zero with probability p, else divided by 1 - p (Srivastava et al., 2014)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class _ChannelDropout(_Dropout):
    """Drops whole channels: one draw for each (sample, channel), expanded over the rest."""

    _dims = 2

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        if input.ndim not in (self._dims + 1, self._dims + 2):
            raise RuntimeError(
                f"{type(self).__name__}: expected {self._dims + 1}-D or {self._dims + 2}-D input (channels in dimension "
                f"{-self._dims - 1}), got shape {tuple(input.shape)}"
            )
        from ...ops.creation import ones

        channels = input.shape[: -self._dims]
        mask = ones(*channels, *(1,) * self._dims, dtype=input.dtype, device=input.device)
        return input * F.dropout(mask, self.p, True)


class Dropout1d(_ChannelDropout):
    """Drops whole channels of (N, C, L) or (C, L)."""

    _dims = 1


class Dropout2d(_ChannelDropout):
    """Drops whole channels of (N, C, H, W) or (C, H, W) (Tompson et al., 2015)."""

    _dims = 2


class Dropout3d(_ChannelDropout):
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W)."""

    _dims = 3
