"""Backward: `run` walks the nodes of the tape (node.py), the latest first.

The walk is a loop, so depth does not matter. All state of a pass is local to `run`: passes may nest and run in
several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from operator import attrgetter
from sys import getrefcount
from typing import Any, NamedTuple

from numpy import float32, generic, ndarray

from ..copies import SMALLEST, copied
from ..locks import new_lock
from .layers import LAYERS, LayerArray, outermost
from .modes import SPECIAL, set_recording, state
from .node import FLAT, FREED, SELECT, Extra, Node, hooked_leaves
from .products import Sum, product

_by_sequence = attrgetter("seq")
_deposit_lock = new_lock()  # two threads' backward may meet at one leaf


# tensor.py, which needs this file first, puts them here.
Tensor: Any = None
wrap: Any = None


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


class Part(NamedTuple):
    """One output of an operation with several, as a target: all gradients that reach it, whoever selected it."""

    node: Node
    output_nr: int


# Passes inside passes on one thread's stack; deeper ones get a thread, hence a stack, of their own.
_MAX_DEPTH = 60
early_leaves: list[None] = []  # not empty once a post-accumulate hook was registered
followers: list[Any] = []  # not empty once work went to more than one stream: cuda.stream_log.Follower
watchers: list[None] = []  # not empty once somebody must tell passes apart, or asks what a pass will reach


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
    every leaf that is reached gets its `.grad`. With `targets` (edges, or `Part`s) only what leads to them is
    computed; their gradients are returned (None where none arrived) and, if `deposit_targets`,
    added to leaves' `.grad`. `keep` leaves saved values in place for another pass.
    """
    if state.depth > _MAX_DEPTH:
        return _on_a_new_stack(roots, gradients, keep, create_graph, targets, deposit_targets)
    before = state.grad
    set_recording(create_graph)
    tensors = (
        create_graph if not LAYERS else create_graph or bool(state.layers)
    )  # no bare arrays in transforms
    task = running = autocast = follow = None
    watch = closely = False
    if SPECIAL:
        autocast = state.autocast
        if autocast is not None:
            state.autocast = None  # gradients have the dtypes of forward
        watch = state.anomaly
        if watch:
            closely, running = True, state.running
    if followers:
        follow = followers[0].begin()
        closely = closely or follow is not None
    try:
        waiting: dict[int, tuple[Node, Any]] = {}  # by number: a node and the sum of its gradients so far
        heap: list[int] = []  # the numbers in `waiting`, the latest node first
        front: Any = (
            None  # a node later than all in `waiting`, which it need not enter: most nodes have one user
        )
        front_g: Any = None  # the sum of its gradients so far
        leaves: dict[Any, Any] = {}
        sums: dict[Any, Sum] | None = None  # products that are still to be added to `leaves`
        owned: set[Any] = set()  # numbers and leaves whose sums were made here and may be added to in place
        k = 0
        for root in roots:
            g = gradients[k] if tensors else gradients[k]._a
            k += 1
            if type(root) is not Node:
                leaves[root] = leaves[root] + g if root in leaves else g
            elif root.seq in waiting:
                waiting[root.seq] = root, waiting[root.seq][1] + g
            else:
                waiting[root.seq] = root, g
                heappush(heap, root.seq)
        useful = parts_wanted = left = None
        if targets is not None:
            useful, parts_wanted = _leading_to(discover(roots), targets)
        elif early_leaves:
            left = _uses(discover(roots))
        if watchers:
            task = state.task
            state.task = Task(roots, useful)
        wanted: Any = () if targets is None else set(targets)
        captured: dict[Any, Any] = {}
        at, pop, at_leaf = waiting.get, waiting.pop, leaves.get
        # Every gradient of a node comes from later ones, so the latest node that waits has all of its gradient.
        while True:
            if front is not None:
                node, g = front, front_g
                front = front_g = None
            elif heap:
                node, g = pop(heappop(heap))
            else:
                break
            extra = node.extra
            flat = node.saved is FLAT
            if extra is not None:
                g = _output_hooks(extra, g, tensors)
                edges = node.edges
            elif flat:
                edges = node.edge0, node.edge1
            else:
                edges = node.all_edges
            if useful is not None:
                if node in wanted:
                    captured[node] = g
                elif parts_wanted and node in parts_wanted:
                    for part in parts_wanted[node]:
                        captured[part] = g[part.output_nr]
                edges = tuple([e if e in useful else None for e in edges])
                if not any(e is not None for e in edges):
                    if deposit_targets and node in wanted and extra is not None:
                        # As in PyTorch, `backward(inputs=…)` runs the hooks of the nodes that it ends at.
                        g = _pre_hooks(extra, g, tensors)
                        _post_hooks(extra, (None,) * len(edges), g, tensors)
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
            if closely or extra is not None:
                if follow is not None:
                    follow.go(node.seq)
                if watch or extra is not None:
                    grads = _hooked_vjp(node, g, edges, tensors, watch)
                else:
                    grads = op.vjp(node, g, edges, tensors)
            elif flat:
                rule = op.flat_vjp  # Python looks up what is called at once as a method, and finds it late
                grads = rule(node, g, edges, tensors)
            else:
                grads = op.vjp(node, g, edges, tensors)
            if not keep and node.checks is not None:
                if flat:
                    node.checks = FREED
                    node.saved0 = node.saved1 = None
                else:
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
                    if front is None:
                        if not heap or seq < heap[0]:
                            front, front_g = edge, h
                            continue
                    elif seq < front.seq:
                        waiting[front.seq] = front, front_g
                        heappush(heap, front.seq)
                        front, front_g = edge, h
                        continue
                    if edge is front:
                        c = front_g
                    else:
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
                        leaves[edge] = h if type(h) is not tuple else product(h)
                        continue
                    if type(h) is tuple:
                        if left is None:
                            sums = {} if sums is None else sums
                            _collect(sums, leaves, edge, h)
                            continue
                        h = product(h)
                kind = type(c)
                if kind is float32 or tensors:  # these are not changed in place
                    c = c + h
                elif seq in owned or kind is ndarray and c.base is None and getrefcount(c) == _PENDING:
                    c += h
                else:
                    c = c + h
                    if not isinstance(c, generic):
                        owned.add(seq)
                if seq is edge:
                    leaves[edge] = c
                elif edge is front:
                    front_g = c
                else:
                    waiting[seq] = edge, c
            # The memory of what is not needed any more is free for the next node.
            grads = h = c = known = None
            if left is not None:
                g = None
                for edge in edges:
                    if edge in left:
                        left[edge] -= 1
                        if not left[edge] and edge in leaves:
                            _arrive(edge, leaves.pop(edge), tensors, create_graph, None, True)
        if follow is not None:
            follow.end()
        g = None
        if sums is not None:
            for edge, products in sums.items():
                leaves[edge] = products.added_to(leaves[edge])
        while leaves:
            edge, g = leaves.popitem()
            if (
                targets is None
                and tensors is create_graph
                and not (hooked_leaves and edge._hooks is not None)
            ):
                alone = getrefcount(g) <= _ALONE  # nobody else holds g: .grad may have it
                _deposit(edge, g, create_graph, alone)
            else:
                keeps = captured if edge in wanted else None
                deposit = targets is None or deposit_targets and edge in wanted
                leaves[edge], g = g, None
                _arrive(edge, leaves.pop(edge), tensors, create_graph, keeps, deposit)
        return [] if targets is None else [_as_tensor(captured.get(t), tensors) for t in targets]
    finally:
        set_recording(before)
        if follow is not None:
            follow.end()
        if autocast is not None:
            state.autocast = autocast
        if watchers:
            state.task = task
        if watch:
            state.running = running


class Task:
    """What a hook may ask about the pass that calls it."""

    def __init__(self, roots: Sequence[Any], useful: set | None):
        self.roots, self.useful = roots, useful
        self._reached: set | None = None

    def will_reach(self, edge: Any) -> bool:
        """Whether the pass computes the gradient of this edge (unless some rule gives none)."""
        if self._reached is None:
            order = discover(self.roots)
            self._reached = {*self.roots, *order, *[e for node in order for e in node.edges]}
        return edge in self._reached and (self.useful is None or edge in self.useful)


def _on_a_new_stack(
    roots: Any, gradients: Any, keep: bool, create_graph: bool, targets: Any, deposit_targets: bool
) -> list[Any]:
    """`run`, in a thread that is in the modes of this one."""
    modes = dict(state.__dict__, depth=0)
    take_streams = followers[0].hand_over() if followers else None
    outcome: list = []

    def work() -> None:
        state.__dict__.update(modes)
        if take_streams is not None:
            take_streams()
        try:
            found = run(
                roots, gradients, keep=keep, create_graph=create_graph, targets=targets, deposit_targets=deposit_targets
            )  # fmt: skip
            outcome.append((found, None))
        except BaseException as error:  # is raised again by the thread that waits
            outcome.append((None, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def _uses(order: list[Node]) -> dict[Any, int]:
    """How many edges lead to each leaf that has a post-accumulate hook: once they have all been walked, its gradient is
    complete, and the hook may free it while backward goes on."""
    left: dict[Any, int] = {}
    for node in order:
        for edge in node.edges:
            if edge is not None and type(edge) is not Node and edge._post_hooks:
                left[edge] = left.get(edge, 0) + 1
    return left


def _collect(sums: dict[Any, Sum], leaves: dict[Any, Any], leaf: Any, pair: tuple) -> None:
    """Notes a product that is to be added to the gradient of a leaf."""
    products = sums.get(leaf)
    if products is None:
        products = sums[leaf] = Sum(pair)
    elif not products.has_room(pair):
        leaves[leaf] = products.added_to(leaves[leaf])
    products.add(pair)


def _arrive(
    leaf: Any, g: Any, tensors: bool, create_graph: bool, captured: dict | None, deposit: bool
) -> None:
    """The end of the walk at a leaf: hooks, and the gradient is kept for the caller, added to `.grad`, or both."""
    hooks = leaf._hooks
    if hooks is not None and hooks.tensor_hooks:
        g = _call_hooks(hooks.tensor_hooks, g, tensors)
    if captured is not None:
        captured[leaf] = g
    if not deposit:
        return
    if hooks is not None:
        g = _pre_hooks(hooks, g, tensors)
    if tensors is not create_graph:
        g = g._a
    alone = getrefcount(g) <= _PASSED
    _deposit(leaf, g, create_graph, alone)
    if hooks is not None:
        _post_hooks(hooks, (), g, create_graph)


def _leading_to(order: list[Node], targets: Sequence[Any]) -> tuple[set, dict[Node, list[Part]]]:
    """The nodes and leaves on a path to a target; the targets that are parts, by their node."""
    parts: dict[Node, list[Part]] = {}
    for target in targets:
        if type(target) is Part:
            parts.setdefault(target.node, []).append(target)
    useful = {*parts, *targets}
    for node in reversed(order):
        if node not in useful and any(edge in useful for edge in node.edges if edge is not None):
            useful.add(node)
    return useful, parts


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


def _output_hooks(extra: Extra, g: Any, create_graph: bool) -> Any:
    """Tensor hooks and retain_grad of a node's output."""
    if extra.tensor_hooks:
        g = _call_hooks(extra.tensor_hooks, g, create_graph)
    tensor = extra.retain() if extra.retain is not None else None
    if tensor is not None:
        _deposit(tensor, g, create_graph, False)
    return g


def _tensors(parts: Sequence[Any], create_graph: bool) -> tuple:
    """Gradients as hooks see them."""
    return tuple([p if p is None or create_graph else wrap(p) for p in parts])


def _bare(tensors: Any, number: int, create_graph: bool, hook: str) -> list:
    """What a hook on a node returned, a tuple of gradients or one of them, as the walk has them."""
    found = tensors if isinstance(tensors, tuple) else (tensors,)
    if len(found) != number:
        raise RuntimeError(
            f"{hook} has returned an incorrect number of values: got {len(found)}, expected {number}"
        )
    for t in found:
        if t is not None and not isinstance(t, Tensor):
            raise TypeError(f"{hook} must return Tensors or None, got {type(t).__name__}")
    return [t if t is None or create_graph else t._a for t in found]


def _pre_hooks(extra: Extra, g: Any, create_graph: bool) -> Any:
    """Pre-hooks of a node or leaf, before its gradient rule."""
    if not extra.pre_hooks:
        return g
    parts = g if isinstance(g, list) else [g]
    for hook in list(extra.pre_hooks.values()):
        changed = hook(_tensors(parts, create_graph))
        if changed is not None:
            parts = _bare(changed, len(parts), create_graph, "a pre-hook of a node")
    return parts if isinstance(g, list) else parts[0]


def _post_hooks(extra: Extra, grads: Any, g: Any, create_graph: bool) -> Any:
    """Hooks of a node or leaf, after its gradient rule."""
    if not extra.post_hooks:
        return grads
    outputs = _tensors(g if isinstance(g, list) else [g], create_graph)
    for hook in list(extra.post_hooks.values()):
        changed = hook(_tensors(grads, create_graph), outputs)
        if changed is not None:
            grads = _bare(changed, len(grads), create_graph, "a hook of a node")
    return grads


def _hooked_vjp(node: Node, g: Any, edges: tuple, create_graph: bool, watch: bool) -> Any:
    """A node's gradient rule between its hooks."""
    extra = node._with_extra()
    g = _pre_hooks(extra, g, create_graph)
    grads = (_watched if watch else _vjp)(node, g, edges, create_graph)
    return _post_hooks(extra, grads, g, create_graph)


def _vjp(node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
    """A node's gradient rule, for who looks at its result."""
    return [product(h) if type(h) is tuple else h for h in node.op.vjp(node, g, edges, create_graph)]


def _watched(node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
    """A node's gradient rule in anomaly mode: an error, and a gradient that is NaN, come with the stacks of the forward
    calls that led to them."""
    state.running = node
    try:
        grads = _vjp(node, g, edges, create_graph)
        if state.check_nan:
            for number, h in enumerate(grads):
                if h is not None and bool(
                    outermost(wrap(h) if not create_graph else h).detach().isnan().any()
                ):
                    raise RuntimeError(
                        f"Function '{node.name()}' returned nan values in its {number}th output."
                    )
    except Exception:
        from .graph import warn_where

        warn_where(node)
        raise
    return grads


def _count_alone() -> int:
    value = object()
    return getrefcount(value)


def _count_passed(value: Any) -> int:
    return getrefcount(value)


# How the interpreter counts differs by version.
_ALONE = _count_alone()  # the count of a value that one local name holds
_PENDING = _ALONE + 1  # … that is also in a table
_PASSED = _count_passed(object())  # … of a value that was passed as an argument and that nobody else holds


def _deposit(leaf: Any, g: Any, create_graph: bool, alone: bool) -> None:
    """Adds `g` to `leaf.grad`. The first gradient is adopted if nobody else can see its memory. It is contiguous, so that
    optimisers of others may take `p.grad.view(-1)`."""
    if LAYERS:
        g = _outside(leaf, g, create_graph)
    with _deposit_lock:
        if followers:
            followers[0].take_turn(leaf)
        current = leaf._grad
        if create_graph:
            if current is not None:
                leaf._grad = current + g
            else:
                leaf._grad = g if LAYERS else g.contiguous()
        elif current is None:
            if not (alone and _unshared(g)):
                g = copied(g) if type(g) is ndarray and g.nbytes >= SMALLEST else g.copy()
            leaf._grad = wrap(g)
        elif current._edge is not None or LAYERS and isinstance(g, LayerArray):
            leaf._grad = current + wrap(g)
        else:
            current._accumulate(g)
    hooks = leaf._post_hooks if hooked_leaves else None
    if hooks:
        for hook in list(hooks.values()):
            if hook(leaf) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")


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
    """Whether no other array sees the memory of `g`, and it is contiguous."""
    # The attribute of g is one reference more than the local name.
    if isinstance(g, ndarray):
        base = g.base
        return (base is None or getrefcount(base) <= _ALONE + 1) and g.flags.carray
    if isinstance(g, generic):
        return True
    if isinstance(g, LayerArray):
        return False
    mem = g.mem
    return getrefcount(mem) <= _ALONE + 1 and g.layout.contiguous
