"""PyTorch's place of the modes; and a flag that nothing here depends on."""

from __future__ import annotations

from typing import Any

from .modes import _Mode, enable_grad, inference_mode, no_grad, set_grad_enabled, state

__all__ = ["enable_grad", "inference_mode", "is_multithreading_enabled", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]  # fmt: skip


def is_multithreading_enabled() -> bool:
    """What `set_multithreading_enabled` was last told in this thread."""
    return state.multithreading


class set_multithreading_enabled(_Mode):
    """Remembers whether backward may use threads of its own. It never does: a pass runs in the thread that calls it.

    >>> import gradgpu as gg
    >>> with gg.autograd.set_multithreading_enabled(False):
    ...     gg.autograd.is_multithreading_enabled()
    False
    """

    def __init__(self, mode: bool):
        self.mode, self.before = bool(mode), state.multithreading
        state.multithreading = self.mode

    def __enter__(self) -> None:
        state.multithreading = self.mode

    def __exit__(self, *exc: Any) -> None:
        state.multithreading = self.before

    def clone(self) -> Any:
        return set_multithreading_enabled(self.mode)
