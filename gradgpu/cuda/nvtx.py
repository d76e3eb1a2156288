"""Names for parts of a program, as PyTorch's `cuda.nvtx` gives them: here they are blocks of the profile (`gradgpu.profiler`).

>>> import gradgpu as gg
>>> with gg.profiler.profile() as prof:
...     with gg.cuda.nvtx.range("forward"):
...         y = gg.ones(2) * 2
>>> prof.events()[0].name
'forward'
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["mark", "range", "range_pop", "range_push"]

_open = threading.local()


def _blocks() -> list[Any]:
    if not hasattr(_open, "blocks"):
        _open.blocks = []
    return _open.blocks


def range_push(msg: str) -> int:
    """Opens a block; gives how many are open around it."""
    from ..profiler import record_function

    blocks = _blocks()
    blocks.append(record_function(msg).__enter__())
    return len(blocks) - 1


def range_pop() -> int:
    """Closes the block that was opened last; gives how many are open around it, -1 (and nothing happens) if there was none."""
    blocks = _blocks()
    if not blocks:
        return -1
    blocks.pop().__exit__(None, None, None)
    return len(blocks)


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A block; its name is `msg.format(*args, **kwargs)`. Also a decorator."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()


def mark(msg: str) -> None:
    """A block without length."""
    range_push(msg)
    range_pop()
