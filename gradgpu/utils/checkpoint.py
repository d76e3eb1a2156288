"""Less memory for more time: what a function saves for backward is computed again when backward needs it.

Chen, Xu, Zhang, Guestrin, Training Deep Nets with Sublinear Memory Cost, 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd.graph import saved_tensors_hooks
from ..autograd.modes import enable_grad, state


class _Region:
    """One checkpointed call: enough to run it again, and what the second run saved."""

    def __init__(self, function: Callable, args: tuple, kwargs: dict, preserve_rng_state: bool):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.count = 0
        self.values: list | None = None
        self.left = 0
        self.rng = None
        if preserve_rng_state:
            from ..random import get_rng_state

            self.rng = get_rng_state()

    def pack(self, tensor: Any) -> int:
        self.count += 1
        return self.count - 1

    def unpack(self, number: int) -> Any:
        if self.values is None:
            self.recompute()
        values: Any = self.values
        tensor = values[number]
        self.left -= 1
        if self.left == 0:
            self.values = None  # all were used: backward may come again, with retain_graph, and recompute
        return tensor

    def recompute(self) -> None:
        values: list = []
        before = None
        if self.rng is not None:
            from ..random import get_rng_state, set_rng_state

            before = get_rng_state()
            set_rng_state(self.rng)
        try:
            with enable_grad(), saved_tensors_hooks(lambda t: values.append(t), _never):
                self.function(*self.args, **self.kwargs)
        finally:
            if before is not None:
                set_rng_state(before)
        if len(values) != self.count:
            raise RuntimeError(
                f"checkpoint: the function saved {self.count} tensors in forward and {len(values)} when it was run again; "
                "it must do the same both times (same inputs, no side effects)"
            )
        self.values, self.left = values, len(values)


def _never(value: Any) -> Any:
    raise RuntimeError("checkpoint: a graph made while recomputing cannot run backward")


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Calls `function(*args, **kwargs)` without keeping what it saves; backward runs it again.

    The random state is restored for the second run unless `preserve_rng_state=False`. `use_reentrant`
    is accepted for PyTorch's sake and makes no difference.

    >>> import gradgpu as gg
    >>> x = gg.tensor([1., 2.], requires_grad=True)
    >>> gg.utils.checkpoint.checkpoint(lambda x: x.exp().sin(), x).sum().backward()
    """
    if not state.grad:
        return function(*args, **kwargs)
    region = _Region(function, args, kwargs, preserve_rng_state)
    with saved_tensors_hooks(region.pack, region.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(functions: Sequence[Callable], segments: int, input: Any, **kwargs: Any) -> Any:
    """Runs a chain of functions (or a Sequential) in `segments` checkpointed pieces."""
    functions = list(functions)
    if not 1 <= segments <= len(functions):
        raise ValueError(
            f"checkpoint_sequential: segments must be between 1 and {len(functions)}, got {segments}"
        )
    size = -(-len(functions) // segments)

    def run(piece: list) -> Callable:
        def piecewise(x: Any) -> Any:
            for f in piece:
                x = f(x)
            return x

        return piecewise

    for start in range(0, len(functions), size):
        input = checkpoint(run(functions[start : start + size]), input, **kwargs)
    return input


__all__ = ["checkpoint", "checkpoint_sequential"]
