"""Switches for warnings about what PyTorch 0.2 changed: `broadcast_warning.enabled` and `keepdim_warning.enabled`.

Scripts of that time set them. Here as there both are off; the operations are today's, so there is nothing to warn of, and
a switch that is set stays without effect.

>>> import gradgpu as gg
>>> gg.utils.backcompat.broadcast_warning.enabled
False
"""

from __future__ import annotations

__all__ = ["Warning", "broadcast_warning", "keepdim_warning"]


class Warning:  # PyTorch's name
    """A switch, `enabled`."""

    def __init__(self) -> None:
        self.enabled = False


broadcast_warning, keepdim_warning = Warning(), Warning()
