"""Looking at and into the graph: its nodes and edges, hooks on gradients and on what nodes save."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from ..tensor import Tensor, wrap
from .engine import Part, watchers
from .modes import note_special, state
from .node import AccumulateGrad, Node, RemovableHandle, accumulator_of, check_version, select_node

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# ---- anomaly mode ----
def forward_trace() -> str:
    """The stack of the caller outside gradgpu, as text."""
    import traceback

    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_HOME)]
    return "".join(traceback.format_list(frames))


def warn_where(node: Node) -> None:
    """Warns of an error in a node's gradient rule, with the stack of its forward call, and that of the forward call whose
    gradient rule made the node, and so on."""
    notes = node.metadata
    if "traceback_" in notes:
        text = f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{notes['traceback_']}"
    else:
        text = (
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information."
        )
    parts = [text]
    while (parent := notes.get("parent_")) is not None:
        notes = parent.metadata
        where = notes.get("traceback_", "  (made outside anomaly mode)\n")
        parts.append(
            f"Previous calculation was induced by {parent.name()}. Traceback of forward call that induced the previous "
            f"calculation:\n{where}"
        )
    for part in parts:
        try:
            warnings.warn(part, stacklevel=4)
        except Warning as raised:  # where warnings are errors, the error in backward matters more
            import sys

            print(raised, file=sys.stderr)


# ---- edges ----
class GradientEdge(NamedTuple):
    """A place in the graph: output `output_nr` of `node`. `autograd.grad` and `backward` take one where they take a
    tensor: it stays what the tensor was when the edge was taken, also after a change in place.

    >>> import gradgpu as gg
    >>> x = gg.ones(2, requires_grad=True)
    >>> y = x * 2
    >>> edge = gg.autograd.graph.get_gradient_edge(y)
    >>> _ = y.mul_(3)
    >>> gg.autograd.grad(y.sum(), (edge, y))
    (tensor([3., 3.]), tensor([1., 1.]))
    """

    node: Node
    output_nr: int
    ownership_token: Any = (
        None  # the edge on the tape, and shape, dtype and device of the tensor it was taken of
    )


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge at which the gradient of a tensor arrives.

    Raises:
        RuntimeError: the tensor does not require grad.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"get_gradient_edge: expected a Tensor, got {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    like = (tensor.shape, tensor.dtype, tensor.device)
    if tensor.is_leaf:
        return GradientEdge(accumulator_of(tensor), 0, (tensor, *like))
    return GradientEdge(tensor.grad_fn, tensor.output_nr, (tensor._edge, *like))


def tape_edge(edge: GradientEdge, as_root: bool) -> Any:
    """What `engine.run` walks from (`as_root`) or towards."""
    node = edge.node
    if isinstance(node, AccumulateGrad):
        return node.variable
    if not isinstance(node, Node):
        raise TypeError(f"GradientEdge: node must be a graph.Node, got {type(node).__name__}")
    if not getattr(node.op, "n_outputs_of", None) or node.op.n_outputs_of(node) == 1:
        return node
    if as_root:
        return select_node(node, edge.output_nr)
    return Part(node, edge.output_nr)


# ---- hooks on several gradients ----
class _MultiHandle(RemovableHandle):
    """Takes the hooks of `register_multi_grad_hook` away."""

    def __init__(self, handles: Sequence[RemovableHandle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> RemovableHandle:
    """Calls `fn` once a backward pass, when gradients of `tensors` are there.

    With mode 'all', `fn(gradients)` is called when all of them that this pass computes have arrived: a list with None
    for the others. With 'any', `fn(gradient)` is called with the first that arrives.

    Args:
        tensors: tensors that require grad.

    >>> import gradgpu as gg
    >>> a, b = gg.ones(2, requires_grad=True), gg.ones(2, requires_grad=True)
    >>> handle = gg.autograd.graph.register_multi_grad_hook((a, b), lambda gs: print([g is not None for g in gs]))
    >>> (a * b).sum().backward()
    [True, True]
    >>> a.sum().backward()
    [True, False]
    >>> handle.remove()
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = tuple(tensors)
    if not all(isinstance(t, Tensor) and t.requires_grad for t in tensors):
        raise RuntimeError("register_multi_grad_hook: expected all tensors to require gradients")
    edges = [t if t.is_leaf else t._edge for t in tensors]
    seen: WeakKeyDictionary = (
        WeakKeyDictionary()
    )  # by pass: [how many will come, how many came, the gradients]
    lock = threading.Lock()
    watchers.append(None)  # stays: passes are watched from now on

    def arrived(index: int, gradient: Tensor) -> None:
        task = state.task
        with lock:
            found = seen.get(task)
            if found is None:
                coming = sum(task.will_reach(edge) for edge in edges) if mode == "all" else 1
                found = seen[task] = [coming, 0, [None] * len(edges)]
            found[1] += 1
            found[2][index] = gradient
            if found[1] != found[0]:
                return
        fn(found[2] if mode == "all" else gradient)

    return _MultiHandle([t.register_hook(functools.partial(arrived, i)) for i, t in enumerate(tensors)])


# ---- what nodes save ----
class saved_tensors_hooks:
    """Within the block, what operations save for backward goes through `pack_hook(tensor)`, whose result is kept
    instead; backward calls `unpack_hook(result)`, which must give a tensor with the same values. The innermost block
    counts. `pack_hook` must not change its argument, and runs unrecorded.

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
        if state.no_saved_hooks is not None:
            raise RuntimeError(state.no_saved_hooks)
        state.saved_hooks = (*state.saved_hooks, self.hooks)
        note_special()
        return self

    def __exit__(self, *exc: Any) -> None:
        state.saved_hooks = state.saved_hooks[:-1]
        note_special()


class save_on_cpu(saved_tensors_hooks):
    """Within the block, what operations on cuda save for backward waits in host memory.

    Args:
        pin_memory: in page-locked memory, where there is a CUDA device: the host does not wait for the copies.
        device_type: the device whose tensors are moved.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(t: Tensor) -> tuple[Any, Tensor]:
            from ..cuda import is_available

            if not (pin_memory and is_available()):
                return t.device, t.cpu()
            from ..ops.creation import empty

            kept = empty(t.shape, dtype=t.dtype, pin_memory=True, device="cpu")
            return t.device, kept.copy_(t, non_blocking=True)

        super().__init__(pack, lambda kept: kept[1].to(kept[0], non_blocking=pin_memory))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within the block, entering `saved_tensors_hooks` raises a RuntimeError with this message.

    >>> import gradgpu as gg
    >>> with gg.autograd.graph.disable_saved_tensors_hooks("no hooks here"):
    ...     with gg.autograd.graph.save_on_cpu():
    ...         pass
    Traceback (most recent call last):
    ...
    RuntimeError: no hooks here
    """
    if state.saved_hooks:
        raise RuntimeError(error_message)
    before = state.no_saved_hooks
    state.no_saved_hooks = error_message
    try:
        yield
    finally:
        state.no_saved_hooks = before


class SavedTensor:
    """One value that a node saved, as its attributes `_raw_saved_…` show it."""

    def __init__(self, node: Node, position: int):
        self._node, self._position = node, position

    def register_hooks(self, pack_hook: Callable, unpack_hook: Callable) -> None:
        """Keeps `pack_hook(tensor)` instead of the tensor; backward calls `unpack_hook` of that.

        Raises:
            RuntimeError: the value is freed or None, has hooks already, or `pack_hook` changes it.
            TypeError: the hooks are not two callables.
        """
        if not callable(pack_hook) or not callable(unpack_hook):
            raise TypeError("register_hooks: incompatible function arguments: expected two callables")
        self._node.op.hook_saved(self._node, self._position, (pack_hook, unpack_hook))


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Counts a change of a tensor, or of several, as if an in-place operation had made it: what has saved it for backward
    will refuse. For memory that was written behind autograd's back.
    Tensors made in inference mode have no version and stay as they are.
    """
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        t._bump()


# ---- changes of what was saved ----
class _Kept:
    """A saved tensor that is copied before somebody changes its memory."""

    __slots__ = ("array", "copied", "cell", "version", "__weakref__")

    def __init__(self, array: Any, cell: Any):
        self.array, self.copied, self.cell, self.version = array, False, cell, cell[0]


class _MutationContext:
    """What one `allow_mutation_on_saved_tensors` block keeps: by version cell, the saved tensors with that memory."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Any, WeakSet]] = {}
        self.open = True

    def pack(self, tensor: Tensor) -> _Kept:
        cell = tensor._version_cell()
        handle = _Kept(tensor._a, cell)
        self.kept.setdefault(id(cell), (cell, WeakSet()))[1].add(handle)
        return handle

    def unpack(self, handle: _Kept) -> Tensor:
        if not self.open:
            raise RuntimeError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was "
                "originally recorded."
            )
        if not handle.copied:
            check_version(
                handle.cell, handle.version, "allow_mutation_on_saved_tensors", "a tensor, without being told"
            )
        return wrap(handle.array)

    def before_write(self, target: Tensor) -> None:
        """Copies what shares the memory that is about to change."""
        found = self.kept.pop(id(target._cell), None)
        for handle in found[1] if found is not None else ():
            if not handle.copied:
                handle.array, handle.copied = handle.array.copy(), True

    def clear(self) -> None:
        self.kept.clear()
        self.open = False


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_MutationContext]:
    """Within the block, tensors that were saved for backward may be changed in place: they are copied before.
    Backward must run in the block too.

    >>> import gradgpu as gg
    >>> with gg.autograd.graph.allow_mutation_on_saved_tensors():
    ...     x = gg.ones(2, requires_grad=True)
    ...     y = x.clone()
    ...     z = y * y
    ...     _ = y.mul_(5)
    ...     z.sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """
    if state.mutations is not None:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    context = _MutationContext()
    with saved_tensors_hooks(context.pack, context.unpack):
        state.mutations = context
        try:
            yield context
        finally:
            state.mutations = None
            context.clear()


__all__ = [
    "GradientEdge", "Node", "RemovableHandle", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks",
    "get_gradient_edge", "increment_version", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip
