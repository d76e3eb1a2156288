"""Looking at and into the graph: where a node was made, and hooks on what it saves."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .engine import Node, RemovableHandle
from .modes import note_special, state

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def forward_trace() -> str:
    """The stack of the caller outside gradgpu, as text."""
    import traceback

    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_HOME)]
    return "".join(traceback.format_list(frames))


class saved_tensors_hooks:
    """Within the block, what operations save for backward goes through `pack_hook(tensor)`, whose result is kept
    instead; backward calls `unpack_hook(result)`, which must give a tensor with the same values.

    >>> import gradgpu as gg
    >>> x = gg.tensor([1., 2.], requires_grad=True)
    >>> with gg.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().tolist(), lambda v: gg.tensor(v)):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Callable, unpack_hook: Callable):
        self.hooks = (pack_hook, unpack_hook)

    def __enter__(self) -> saved_tensors_hooks:
        state.saved_hooks = (*state.saved_hooks, self.hooks)
        note_special()
        return self

    def __exit__(self, *exc: Any) -> None:
        state.saved_hooks = state.saved_hooks[:-1]
        note_special()


class save_on_cpu(saved_tensors_hooks):
    """Within the block, what operations on cuda save for backward waits in host memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda kept: kept[1].to(kept[0]))


__all__ = ["Node", "RemovableHandle", "save_on_cpu", "saved_tensors_hooks"]
