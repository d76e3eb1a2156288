"""Less memory for more time: what a function saves for backward is computed again when backward needs it.

Chen, Xu, Zhang, Guestrin, Training Deep Nets with Sublinear Memory Cost, 2016.

A checkpointed call keeps its arguments, and a number for each tensor that it would have saved. When backward first asks
for one of them, the function runs again and its saved tensors, in the same order, are the answer for that pass.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from ..autograd import backward
from ..autograd.engine import watchers
from ..autograd.function import Function
from ..autograd.graph import forward_trace, saved_tensors_hooks
from ..autograd.modes import enable_grad, no_grad, state
from ..tensor import Tensor
from ._pytree import tree_flatten, tree_unflatten

__all__ = [
    "CheckpointError", "CheckpointFunction", "checkpoint", "checkpoint_sequential", "detach_variable", "get_device_states", "noop_context_fn",
    "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states",
]  # fmt: skip


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did not do what the first one did."""


class _Wanted(threading.local):
    """What the blocks that this thread is in say about its checkpoints."""

    early_stop: bool | None = None
    debug: bool | None = None


_wanted = _Wanted()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether checkpoints made in the block stop running the function again once they have all they need.

    >>> from gradgpu.utils.checkpoint import checkpoint, set_checkpoint_early_stop
    >>> import gradgpu as gg
    >>> x = gg.ones(2, requires_grad=True)
    >>> with set_checkpoint_early_stop(False):
    ...     y = checkpoint(gg.exp, x, use_reentrant=False)
    """
    before, _wanted.early_stop = _wanted.early_stop, enable
    try:
        yield
    finally:
        _wanted.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Overrides the argument `debug` of checkpoints made in the block; None leaves it to them."""
    before, _wanted.debug = _wanted.debug, enabled
    try:
        yield
    finally:
        _wanted.debug = before


def noop_context_fn() -> tuple:
    """The default `context_fn`: two contexts that do nothing."""
    return nullcontext(), nullcontext()


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The CUDA devices that tensors among `args` (and inside its containers) live on, and the states of their generators.

    Reversible layers that run again in backward keep them, to draw the same numbers: see `set_device_states`.

    >>> import gradgpu as gg
    >>> from gradgpu.utils.checkpoint import get_device_states
    >>> get_device_states(gg.ones(2))
    ([], [])
    """
    from ..random import get_rng_state

    where = {x.device for x in tree_flatten(args)[0] if isinstance(x, Tensor) and x.is_cuda}
    indices = sorted(device.index or 0 for device in where)
    return indices, [get_rng_state(f"cuda:{k}") for k in indices]


def set_device_states(
    devices: Sequence[int], states: Sequence[Tensor], *, device_type: str | None = None
) -> None:
    """Gives the generators of these CUDA devices the states that `get_device_states` returned.

    Raises:
        ValueError: `device_type` is something else than 'cuda'.
    """
    from ..random import set_rng_state

    if device_type not in (None, "cuda", "cpu"):
        raise ValueError(f"set_device_states: expected the device type 'cuda', got {device_type!r}")
    for k, rng in zip(devices, states):
        set_rng_state(rng, f"cuda:{k}")


class _Surroundings:
    """What a run of a function depends on beside its arguments: random state and autocast."""

    def __init__(self, tensors: Sequence[Tensor], preserve_rng_state: bool):
        self.autocast = dict(state.autocast.dtypes) if state.autocast is not None else {}
        self.rng: list[tuple[Any, Tensor]] = []
        if preserve_rng_state:
            from ..random import default_generator, generator_of

            generators = {id(g): g for g in [default_generator, *[generator_of(t.device) for t in tensors]]}
            self.rng = [(g, g.get_state()) for g in generators.values()]

    @contextmanager
    def again(self) -> Iterator[None]:
        """The same surroundings; afterwards those of before."""
        before = [(g, g.get_state()) for g, _ in self.rng]
        with ExitStack() as stack:
            if self.autocast:
                from ..amp import autocast

                for device, dtype in self.autocast.items():
                    stack.enter_context(autocast(device, dtype))
            for g, rng in self.rng:
                g.set_state(rng)
            try:
                yield
            finally:
                for g, rng in before:
                    g.set_state(rng)


# ---- without reentrance ----
class _Stop(Exception):
    """Ends a second run that has given all that was wanted."""


def _described(t: Tensor) -> str:
    return f"{t.dtype} of shape {tuple(t.shape)} on {t.device}"


class _Frame:
    """One checkpointed call."""

    def __init__(
        self, function: Callable, args: tuple, kwargs: dict, preserve_rng_state: bool, again: Any, check: bool, debug: bool,
        early_stop: bool,
    ):  # fmt: skip
        self.function, self.again, self.check, self.debug, self.early_stop = (
            function,
            again,
            check,
            debug,
            early_stop,
        )
        leaves, tree = tree_flatten((args, kwargs))
        self.tree = tree_flatten(tree_unflatten([0] * len(leaves), tree))[
            1
        ]  # a structure holds the containers it is of
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        self.surroundings = _Surroundings(tensors, preserve_rng_state)
        # Inside another checkpointed function (or save_on_cpu, …) the arguments are saved as it says.
        self.hooks = state.saved_hooks[-1] if state.saved_hooks else None
        self.leaves = [self._kept(x) if isinstance(x, Tensor) else x for x in leaves]
        self.saved: list[str] = []  # what each saved tensor was
        self.traces: list[str] = []
        self.complete = False
        self.found: WeakKeyDictionary = (
            WeakKeyDictionary()
        )  # by pass: {number: the tensor, until it is asked for}
        if not watchers:
            watchers.append(None)  # passes must be told apart from now on

    def _kept(self, t: Tensor) -> Any:
        if self.hooks is None:
            return t
        with no_grad():
            return _Argument(self.hooks[0](t.detach()), t.requires_grad)

    def _restored(self, x: Any) -> Any:
        if not isinstance(x, _Argument):
            return x
        return self.hooks[1](x.kept).detach().requires_grad_(x.requires_grad)  # type: ignore[index]

    # ---- the first run ----
    def pack(self, tensor: Tensor) -> int:
        self.saved.append(_described(tensor))
        if self.debug:
            self.traces.append(forward_trace())
        return len(self.saved) - 1

    def unpack(self, number: int) -> Tensor:
        task = state.task
        found = self.found.get(task) if task is not None else None
        if found is None or number not in found:
            found = self.run_again()
            if task is not None:
                self.found[task] = found
        return found.pop(number)

    # ---- the second run ----
    def run_again(self) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        traces: list[str] = []
        wanted = len(self.saved)

        def collect(tensor: Tensor) -> Tensor:
            number = len(found)
            if self.debug:
                traces.append(forward_trace())
            if number < wanted:
                if self.check and _described(tensor) != self.saved[number]:
                    self._differs(
                        f"Recomputed values for the following tensors have different metadata than during the forward pass: "
                        f"saved tensor {number} was {self.saved[number]}, now it is {_described(tensor)}",
                        traces,
                    )
                found[number] = tensor.detach()
                if len(found) == wanted and self.early_stop:
                    raise _Stop
            elif self.complete:
                found[number] = tensor.detach()
            return tensor

        args, kwargs = tree_unflatten([self._restored(x) for x in self.leaves], self.tree)
        try:
            with (
                self.surroundings.again(),
                self.again,
                enable_grad(),
                saved_tensors_hooks(collect, lambda t: t),
            ):
                self.function(*args, **kwargs)
        except _Stop:
            pass
        if len(found) != wanted:
            self._differs(
                "A different number of tensors was saved during the original forward and recomputation: "
                f"{wanted} in forward, {len(found)} when the function ran again",
                traces,
            )
        return found

    def _differs(self, what: str, traces: list[str]) -> None:
        text = f"checkpoint: {what}. The function must do the same both times: same inputs, no side effects."
        if self.debug:
            both = zip(("forward", "recomputation"), (self.traces, traces))
            text += "".join(
                f"\nThe tensors saved in {name}, by where:\n"
                + "".join(f"[{k}]\n{where}" for k, where in enumerate(lines))
                for name, lines in both
            )
        else:
            text += " checkpoint(..., debug=True) shows where tensors were saved."
        raise CheckpointError(text)


class _Argument:
    """A tensor among the arguments, as hooks around the checkpoint keep it."""

    __slots__ = ("kept", "requires_grad")

    def __init__(self, kept: Any, requires_grad: bool):
        self.kept, self.requires_grad = kept, requires_grad


# ---- with reentrance ----
def detach_variable(inputs: tuple) -> tuple:
    """The arguments with their tensors apart from the graph, requiring grad as before.

    Raises:
        RuntimeError: no tuple.

    >>> import gradgpu as gg
    >>> [x.is_leaf for x in detach_variable((gg.ones(1, requires_grad=True) * 2,))]
    [True]
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    return tuple([x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs])


class CheckpointFunction(Function):
    """`checkpoint` as a Function: unrecorded in forward; backward runs the function again, and backward through that."""

    @staticmethod
    def forward(ctx: Any, function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=4)
        tensors = [a for a in args if isinstance(a, Tensor)]
        ctx.function = function
        ctx.surroundings = _Surroundings(tensors, preserve_rng_state)
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*tensors)
        if not watchers:
            watchers.append(None)
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        if state.task.useful is not None:
            raise RuntimeError(
                "gradgpu.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter to .backward(). To "
                "use it with those, you can set use_reentrant=False."
            )
        args = list(ctx.args)
        for k, t in zip(ctx.places, ctx.saved_tensors):
            args[k] = t.detach().requires_grad_(t.requires_grad)
        with ctx.surroundings.again(), enable_grad():
            made = ctx.function(*args)
        outputs = made if isinstance(made, (tuple, list)) else (made,)
        pairs = [(o, g) for o, g in zip(outputs, grads) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def _chosen(use_reentrant: bool | None, level: int) -> bool:
    if use_reentrant is None:
        warnings.warn(
            "gradgpu.utils.checkpoint: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended; without it, it is True, as in PyTorch.",
            stacklevel=level + 1,
        )
        return True
    return use_reentrant


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Calls `function(*args, **kwargs)` without keeping what it saves; backward runs it again.

    With `use_reentrant=False` (recommended) backward of any kind works, also `autograd.grad` and higher derivatives,
    arguments may be nested, and checkpoints may be nested. With True, forward is not recorded at all and backward runs a
    backward of its own, which knows neither `inputs=` nor `autograd.grad`; only tensors among `args` get gradients.

    Args:
        context_fn: gives two context managers, for the first run and the runs again.
        determinism_check: 'default' compares shapes, dtypes and devices of what both runs save, 'none' does not.
        debug: errors show where tensors were saved in both runs.
        early_stop: end the second run once it has given all that backward needs.
        preserve_rng_state: give the second run the random state of the first (on the CPU and the devices of the arguments).

    Raises:
        CheckpointError: the second run does not save what the first one did.

    >>> import gradgpu as gg
    >>> x = gg.tensor([1., 2.], requires_grad=True)
    >>> gg.utils.checkpoint.checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).sum().backward()
    """
    if _chosen(use_reentrant, 2):
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve_rng_state, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ('default', 'none') but got {determinism_check}"
        )
    first, again = context_fn()
    if not state.grad:
        with first:
            return function(*args, **kwargs)
    frame = _Frame(
        function, args, kwargs, preserve_rng_state, again, determinism_check == "default",
        debug if _wanted.debug is None else _wanted.debug, early_stop if _wanted.early_stop is None else _wanted.early_stop,
    )  # fmt: skip
    with first, saved_tensors_hooks(frame.pack, frame.unpack):
        made = function(*args, **kwargs)
    frame.complete = True
    return made


def checkpoint_sequential(
    functions: Sequence[Callable], segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Runs a chain of functions (or a Sequential) in `segments` pieces; all but the last are checkpointed.

    Args:
        kwargs: `preserve_rng_state`.
    """
    use_reentrant = _chosen(use_reentrant, 2)
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions)
    if not 1 <= segments <= len(functions):
        raise ValueError(
            f"checkpoint_sequential: segments must be between 1 and {len(functions)}, got {segments}"
        )
    size = len(functions) // segments

    def run(piece: list) -> Callable:
        def piecewise(x: Any) -> Any:
            for f in piece:
                x = f(x)
            return x

        return piecewise

    last = size * (segments - 1)
    for start in range(0, last, size):
        input = checkpoint(
            run(functions[start : start + size]),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve,
        )
    return run(functions[last:])(input)
