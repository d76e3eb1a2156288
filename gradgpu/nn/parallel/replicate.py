"""A module for each device: there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..module import Module

__all__ = ["replicate"]


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """A list of the module itself, for a list of one device.

    Raises:
        NotImplementedError: several devices.

    >>> import gradgpu as gg
    >>> layer = gg.nn.ReLU()
    >>> replicate(layer, [0]) == [layer]
    True
    """
    from ...cuda import comm

    comm.one_device(devices)
    return [network]
