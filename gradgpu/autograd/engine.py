"""The tape. Operations leave `Node`s; `run` walks them backward.

A node holds its operation, its *edges* (one an input: the node that made the input, the leaf
`Tensor` itself, or None where no gradient is wanted) and the values its gradient rule asked for.
Tensors point at nodes and nodes at older nodes and leaves, so there are no reference cycles, and
the walk is a loop over nodes, the latest first, so depth does not matter. All state
of a pass is local to `run`: passes may nest and run in several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from sys import getrefcount
from typing import Any

from numpy import generic, ndarray

from .layers import LAYERS, LayerArray
from .modes import state

next_sequence = count(0, -1).__next__  # counts down: the latest node has the smallest number
_by_sequence = attrgetter("seq")
_deposit_lock = threading.Lock()  # two threads' backward may meet at one leaf


# tensor.py, which needs this file first, puts them here.
Tensor: Any = None
wrap: Any = None


class _Leaf:
    """`Tensor._edge` of a leaf that requires grad. (The tensor itself would be a reference cycle.)"""

    def __repr__(self) -> str:
        return "LEAF"


LEAF = _Leaf()


class Extra:
    """What few nodes have: hooks, a tensor that retains its grad, the place where the node was made."""

    __slots__ = ("tensor_hooks", "pre_hooks", "post_hooks", "retain", "trace")

    def __init__(self) -> None:
        self.tensor_hooks: dict[int, Any] = {}
        self.pre_hooks: dict[int, Any] = {}
        self.post_hooks: dict[int, Any] = {}
        self.retain: Any = None
        self.trace: str | None = None


class Node:
    """One operation on the tape; what `Tensor.grad_fn` returns.

    `saved` are the values for the gradient rule (None once freed), `checks` their version cells
    and versions in turn (None if no array was saved), `attrs` the operation's attributes.
    """

    __slots__ = ("op", "edges", "saved", "checks", "attrs", "extra", "seq", "plan", "__weakref__")
    plan: Any  # set and used by ops.registry
    op: Any
    edges: tuple
    saved: Any
    checks: Any
    attrs: Any
    extra: Extra | None
    seq: int

    def name(self) -> str:
        """The operation's name with `Backward` after it, as PyTorch's `grad_fn.name()`."""
        return self.op.node_name

    @property
    def next_functions(self) -> tuple:
        """((node, output number), …), one entry an input; (None, 0) where no gradient flows."""
        return tuple(_public_edge(edge) for edge in self.edges)

    @property
    def metadata(self) -> dict:
        """What anomaly detection keeps: {'traceback_': text} of the forward call."""
        return {"traceback_": self.extra.trace} if self.extra is not None and self.extra.trace else {}

    def _with_extra(self) -> Extra:
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def register_hook(self, hook: Any) -> RemovableHandle:
        """`hook(grad_inputs, grad_outputs)` after the node ran; may return new grad_inputs."""
        return RemovableHandle(self._with_extra().post_hooks, hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """`hook(grad_outputs)` before the node runs; may return new grad_outputs."""
        return RemovableHandle(self._with_extra().pre_hooks, hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad:
    """The end of the graph at a leaf, as `next_functions` shows it."""

    def __init__(self, variable: Any):
        self.variable = variable
        self.next_functions: tuple = ()

    def name(self) -> str:
        return "AccumulateGrad"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash((AccumulateGrad, id(self.variable)))


class _SelectOp:
    """Marks the node of one output of a many-output operation; its edge is the operation's node."""

    node_name = "SelectOutput"


SELECT = _SelectOp()


def select_node(node: Node, index: int) -> Node:
    """The node of output `index` of `node`."""
    return new_node(SELECT, (node,), index)


def new_node(op: Any, edges: tuple, saved: Any = (), checks: Any = None, attrs: Any = None) -> Node:
    node = Node()  # faster than object.__new__
    node.op, node.edges, node.saved, node.checks, node.attrs, node.extra = (
        op,
        edges,
        saved,
        checks,
        attrs,
        None,
    )
    node.seq = next_sequence()
    if state.anomaly:
        note_trace(node)
    return node


def note_trace(node: Node) -> None:
    """In anomaly mode, lets a node remember where it was made."""
    if state.anomaly:
        from .graph import forward_trace

        node._with_extra().trace = forward_trace()


def _public_edge(edge: Any) -> tuple:
    if edge is None:
        return None, 0
    if type(edge) is not Node:
        return AccumulateGrad(edge), 0
    return (edge.edges[0], edge.saved) if edge.op is SELECT else (edge, 0)


class RemovableHandle:
    """Returned by `register_hook`; `remove()` takes the hook away; also a context manager."""

    _next = count().__next__

    def __init__(self, hooks: dict[int, Any], hook: Any):
        self.hooks, self.id = hooks, RemovableHandle._next()
        hooks[self.id] = hook

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def discover(roots: Sequence[Any]) -> list[Node]:
    """Every node that the roots depend on, the latest first."""
    stack = [root for root in roots if type(root) is Node]
    seen = set(stack)
    order = []
    while stack:
        node = stack.pop()
        order.append(node)
        for edge in node.edges:
            if type(edge) is Node and edge not in seen:
                seen.add(edge)
                stack.append(edge)
    order.sort(key=_by_sequence)
    return order


def run(
    roots: Sequence[Any],
    gradients: Sequence[Any],
    *,
    keep: bool,
    create_graph: bool,
    targets: Sequence[Any] | None = None,
    deposit_targets: bool = False,
) -> list[Any]:
    """Sends `gradients` back from the edges `roots`.

    Gradients are Tensors; inside, they are bare arrays unless `create_graph`. Without `targets`
    every leaf that is reached gets its `.grad`. With `targets` (edges) only what leads to them is
    computed; their gradients are returned (None where none arrived) and, if `deposit_targets`,
    added to leaves' `.grad`. `keep` leaves saved values in place for another pass.
    """
    before = state.grad
    state.grad = create_graph
    tensors = (
        create_graph if not LAYERS else create_graph or bool(state.layers)
    )  # no bare arrays in transforms
    autocast = state.autocast
    if autocast is not None:
        state.autocast = None  # gradients have the dtypes of forward
    try:
        waiting: dict[int, tuple[Node, Any]] = {}  # by number: a node and the sum of its gradients so far
        heap: list[int] = []  # the numbers in `waiting`, the latest node first
        leaves: dict[Any, Any] = {}
        owned: set[Any] = set()  # numbers and leaves whose sums were made here and may be added to in place
        for root, gradient in zip(roots, gradients, strict=True):
            g = gradient if tensors else gradient._a
            if type(root) is not Node:
                leaves[root] = leaves[root] + g if root in leaves else g
            elif root.seq in waiting:
                waiting[root.seq] = root, waiting[root.seq][1] + g
            else:
                waiting[root.seq] = root, g
                heappush(heap, root.seq)
        useful = None if targets is None else _leading_to(discover(roots), targets)
        wanted = set(targets or ())
        captured: dict[Any, Any] = {}
        watch = state.anomaly
        at, pop, at_leaf = waiting.get, waiting.pop, leaves.get
        # Every gradient of a node comes from later ones, so the latest node that waits has all of its gradient.
        while heap:
            node, g = pop(heappop(heap))
            extra = node.extra
            if extra is not None:
                g = _output_hooks(node, extra, g, tensors)
            edges = node.edges
            if useful is not None:
                if node in wanted:
                    captured[node] = g
                edges = tuple([e if e in useful else None for e in edges])
                if not any(e is not None for e in edges):
                    continue
            op = node.op
            if op is SELECT:
                (edge,) = edges
                seq = edge.seq
                known = at(seq)
                if known is None:
                    known = waiting[seq] = edge, [None] * edge.op.n_outputs_of(edge)
                    heappush(heap, seq)
                parts = known[1]
                # Under create_graph a saved output comes back with a selecting node of its own: two may meet.
                c = parts[node.saved]
                parts[node.saved] = g if c is None else c + g
                continue
            grads = op.vjp(node, g, edges, tensors)
            if watch or extra is not None:
                grads = _input_hooks(node, grads, g, tensors)
            if not keep and node.checks is not None:
                node.saved = None
            k = -1
            for edge in edges:  # not zip: making one costs as much as the rest of a pass
                k += 1
                if edge is None:
                    continue
                h = grads[k]
                if h is None:
                    continue
                if type(edge) is Node:
                    seq = edge.seq
                    known = at(seq)
                    if known is None:
                        waiting[seq] = edge, h
                        heappush(heap, seq)
                        continue
                    c = known[1]
                else:
                    seq = edge
                    c = at_leaf(edge)
                    if c is None:
                        leaves[edge] = h
                        continue
                if tensors:
                    c = c + h
                elif seq in owned:
                    c += h
                else:
                    c = c + h
                    owned.add(seq)
                if seq is edge:
                    leaves[edge] = c
                else:
                    waiting[seq] = edge, c
            # The memory of what is not needed any more is free for the next node.
            grads = h = c = known = None
        g = None
        while leaves:
            leaf, g = leaves.popitem()
            hooks = leaf._hooks
            if hooks:
                g = _call_hooks(hooks, g, tensors)
            if leaf in wanted:
                captured[leaf] = g
            if targets is None or (deposit_targets and leaf in wanted):
                if tensors is not create_graph:
                    g = g._a
                alone = getrefcount(g) <= _ALONE  # nobody else holds g: .grad may have it
                _deposit(leaf, g, create_graph, alone)
        return [_as_tensor(captured.get(t), tensors) for t in targets or ()]
    finally:
        state.grad = before
        if autocast is not None:
            state.autocast = autocast


def _leading_to(order: list[Node], targets: Sequence[Any]) -> set:
    """The nodes and leaves on a path to a target."""
    useful = set(targets)
    for node in reversed(order):
        if node not in useful and any(edge in useful for edge in node.edges if edge is not None):
            useful.add(node)
    return useful


def _as_tensor(g: Any, create_graph: bool) -> Any:
    return g if g is None or create_graph else wrap(g)


def _call_hooks(hooks: dict, g: Any, create_graph: bool) -> Any:
    """Runs tensor hooks in order; each may replace the gradient."""
    tensor = g if create_graph else wrap(g)
    for hook in list(hooks.values()):
        changed = hook(tensor)
        if changed is not None:
            if not isinstance(changed, Tensor) or changed.shape != tensor.shape:
                seen = changed.shape if isinstance(changed, Tensor) else type(changed).__name__
                raise RuntimeError(
                    f"a hook must return None or a Tensor of the gradient's shape {tuple(tensor.shape)}, got {seen}"
                )
            tensor = changed
    return tensor if create_graph else tensor._a


def _output_hooks(node: Node, extra: Extra, g: Any, create_graph: bool) -> Any:
    """Tensor hooks, retain_grad and pre-hooks of a node, before its gradient rule."""
    if extra.tensor_hooks:
        g = _call_hooks(extra.tensor_hooks, g, create_graph)
    tensor = extra.retain() if extra.retain is not None else None
    if tensor is not None:
        _deposit(tensor, g, create_graph, False)
    if extra.pre_hooks:
        parts = g if isinstance(g, list) else [g]
        outputs = tuple(p if p is None or create_graph else wrap(p) for p in parts)
        for hook in list(extra.pre_hooks.values()):
            changed = hook(outputs)
            if changed is not None:
                outputs = changed if isinstance(changed, tuple) else (changed,)
        parts = [p if p is None or create_graph else p._a for p in outputs]
        g = parts if isinstance(g, list) else parts[0]
    return g


def _input_hooks(node: Node, grads: Any, g: Any, create_graph: bool) -> Any:
    """Anomaly check and post-hooks of a node, after its gradient rule."""
    if state.anomaly and state.check_nan:
        for number, h in enumerate(grads):
            if h is not None and bool((wrap(h) if not create_graph else h.detach()).isnan().any()):
                where = (
                    node.extra.trace
                    if node.extra is not None and node.extra.trace
                    else "  (made outside anomaly mode)"
                )
                raise RuntimeError(
                    f"Function '{node.name()}' returned nan values in its {number}th output. The forward call was made at:\n{where}"
                )
    if node.extra is not None and node.extra.post_hooks:
        inputs = tuple(h if h is None or create_graph else wrap(h) for h in grads)
        parts = g if isinstance(g, list) else [g]
        outputs = tuple(p if p is None or create_graph else wrap(p) for p in parts)
        for hook in list(node.extra.post_hooks.values()):
            changed = hook(inputs, outputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        grads = tuple(h if h is None or create_graph else h._a for h in inputs)
    return grads


def _count_alone() -> int:
    value = object()
    return getrefcount(value)


_ALONE = _count_alone()  # of a value that one local name holds; how the interpreter counts differs by version


def _deposit(leaf: Any, g: Any, create_graph: bool, alone: bool) -> None:
    """Adds `g` to `leaf.grad`. The first gradient is adopted if nobody else can see its memory."""
    if LAYERS:
        g = _outside(leaf, g, create_graph)
    with _deposit_lock:
        current = leaf._grad
        if create_graph:
            leaf._grad = g if current is None else current + g
        elif current is None:
            leaf._grad = wrap(g if alone and _unshared(g) else g.copy())
        elif current._edge is not None or LAYERS and isinstance(g, LayerArray):
            leaf._grad = current + wrap(g)
        else:
            current._accumulate(g)
    hooks = leaf._post_hooks
    if hooks:
        for hook in list(hooks.values()):
            hook(leaf)


def _outside(leaf: Any, g: Any, create_graph: bool) -> Any:
    """What a leaf may keep of a gradient that was computed inside a transform."""
    a = g._a if create_graph else g
    while isinstance(a, LayerArray) and not (isinstance(leaf._a, LayerArray) and leaf._a.level is a.level):
        g = a.for_outside()
        a = g._a
        if not create_graph:
            g = a
    return g


def _unshared(g: Any) -> bool:
    """Whether no other array sees the memory of `g`."""
    # The attribute of g is one reference more than the local name.
    if isinstance(g, ndarray):
        base = g.base
        return base is None or getrefcount(base) <= _ALONE + 1 and 0 not in g.strides
    if isinstance(g, generic):
        return True
    if isinstance(g, LayerArray):
        return False
    mem = g.mem
    return getrefcount(mem) <= _ALONE + 1 and g.layout.contiguous
