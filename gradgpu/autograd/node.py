"""What the tape consists of: nodes, one an operation, and the ends of the graph at leaves.

A node holds its operation, its *edges* (one an input: the node that made the input, the leaf
`Tensor` itself, or None where no gradient is wanted) and the values its gradient rule asked for.
Tensors point at nodes and nodes at older nodes and leaves, so there are no reference cycles.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..locks import new_lock
from .modes import state

if TYPE_CHECKING:
    from .graph import SavedTensor

_lock = new_lock()  # taken to make what a node or leaf has one of, and what few have
next_sequence = count(0, -1).__next__  # counts down: the latest node has the smallest number


class _Leaf:
    """`Tensor._edge` of a leaf that requires grad. (The tensor itself would be a reference cycle.)"""

    def __repr__(self) -> str:
        return "LEAF"


LEAF = _Leaf()


class Extra:
    """What few nodes and leaves have: hooks, a tensor that retains its grad, what anomaly mode notes."""

    __slots__ = ("tensor_hooks", "pre_hooks", "post_hooks", "retain", "metadata")

    def __init__(self) -> None:
        self.tensor_hooks: dict[int, Any] = {}
        self.pre_hooks: dict[int, Any] = {}
        self.post_hooks: dict[int, Any] = {}
        self.retain: Any = None
        self.metadata: dict[
            Any, Any
        ] = {}  # 'traceback_': where the node was made; 'parent_': the node whose rule made it


class Node:
    """One operation on the tape; what `Tensor.grad_fn` returns.

    `saved` are the values for the gradient rule (None once freed), `checks` their version cells
    and versions in turn (None if no array was saved), `attrs` the operation's attributes. `cell` is the version of the
    result, None until somebody changes it or shares its memory.

    Pointwise operations make most nodes of a tape. Theirs have no tuples for edges and saved values but places for two
    of each, and leave unset what they do not need: whatever lives as long as the tape, Python's garbage collector walks
    again and again. `saved` is FLAT then, and the node has no `all_edges` and `attrs`.
    """

    __slots__ = (
        "op", "seq", "extra", "saved", "checks", "cell", "plan", "all_edges", "attrs",
        "edge0", "edge1", "saved0", "saved1", "unlisted", "__weakref__",
    )  # fmt: skip
    op: Any
    seq: int
    extra: Extra | None
    saved: Any
    checks: Any
    cell: list[int] | None
    plan: Any  # set and used by ops.registry; of a FLAT node with two inputs their shapes, where they differ
    all_edges: tuple
    attrs: Any
    # Of a FLAT node:
    edge0: Any
    edge1: Any  # None where there is one input
    saved0: Any  # what a unary operation saved of its input and of its result, or a binary one of its inputs
    saved1: Any
    unlisted: int  # if there are `checks`: which values have none of their own, 1 + 2: their version is the `cell` of the
    # node that made them, and was 0

    @property
    def edges(self) -> tuple:
        """One an input: the node that made it, the leaf itself, or None where no gradient is wanted."""
        if self.saved is FLAT:
            return (self.edge0,) if self.op.unary else (self.edge0, self.edge1)
        return self.all_edges

    def name(self) -> str:
        """The operation's name with `Backward` after it, as PyTorch's `grad_fn.name()`."""
        return self.op.node_name

    @property
    def next_functions(self) -> tuple:
        """((node, output number), …), one entry an input; (None, 0) where no gradient flows."""
        return tuple(_public_edge(edge) for edge in self.edges)

    @property
    def metadata(self) -> dict:
        """A dict for notes about the node. Anomaly detection puts 'traceback_' there, the stack of the forward call,
        and 'parent_', the node whose gradient rule made this one."""
        return self._with_extra().metadata

    def _with_extra(self) -> Extra:
        with _lock:
            if self.extra is None:
                self.extra = Extra()
            return self.extra

    def register_hook(self, hook: Any) -> RemovableHandle:
        """`hook(grad_inputs, grad_outputs)` after the node ran; may return new grad_inputs."""
        return RemovableHandle(self._with_extra().post_hooks, hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """`hook(grad_outputs)` before the node runs; may return new grad_outputs."""
        return RemovableHandle(self._with_extra().pre_hooks, hook)

    # Of a Function's node:
    @property
    def saved_tensors(self) -> tuple:
        """What a Function saved for backward."""
        return self._of_function("saved_tensors").saved_tensors

    @property
    def needs_input_grad(self) -> tuple:
        """Which arguments of a Function want a gradient."""
        return self._of_function("needs_input_grad").needs_input_grad

    @property
    def _raw_saved_tensors(self) -> tuple:
        from .graph import SavedTensor

        self._of_function("_raw_saved_tensors")
        return tuple([SavedTensor(self, k) for k in range(len(saved_of(self)))])

    def _of_function(self, name: str) -> Any:
        ctx = getattr(self.op, "ctx_of", None)
        if ctx is None:
            raise AttributeError(f"'{self.name()}' object has no attribute '{name}'")
        return ctx(self)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


def show_saved(name: str) -> None:
    """Gives nodes the attributes `_saved_{name}`, the tensor that one has saved under this name, and `_raw_saved_{name}`,
    on which hooks can be registered. (`__getattr__` would make every look at a node slower.)"""
    attribute, raw = f"_saved_{name}", f"_raw_saved_{name}"
    if hasattr(Node, attribute):
        return

    def position(node: Node) -> int:
        ask = getattr(node.op, "saved_names", None)
        names = {} if ask is None else ask(node)
        if name not in names:
            raise AttributeError(
                f"'{node.name()}' object has no attribute '{attribute}'; it saved {sorted(names)}"
            )
        return names[name]

    def saved(node: Node) -> SavedTensor:
        from .graph import SavedTensor

        return SavedTensor(node, position(node))

    setattr(Node, attribute, property(lambda node: node.op.saved_tensor(node, position(node))))
    setattr(Node, raw, property(saved))


for _name in ("self", "other", "result", "result0", "result1", "result2"):
    show_saved(_name)


class AccumulateGrad(Node):
    """The end of the graph at a leaf, as `next_functions` shows it. The tape itself points at the leaf."""

    __slots__ = ("variable",)
    variable: Any

    def name(self) -> str:
        return "AccumulateGrad"

    @property
    def next_functions(self) -> tuple:
        return ()

    def _with_extra(self) -> Extra:
        return leaf_extra(self.variable)


hooked_leaves: list[None] = []  # not empty once some leaf got a hook


def leaf_extra(leaf: Any) -> Extra:
    """The hooks of a leaf."""
    with _lock:
        if not hooked_leaves:
            hooked_leaves.append(None)
        if leaf._hooks is None:
            leaf._hooks = Extra()
        return leaf._hooks


_accumulators: WeakValueDictionary = WeakValueDictionary()  # by the id of their leaf, which they keep alive


def accumulator_of(leaf: Any) -> AccumulateGrad:
    """The node that stands for a leaf; the same one as long as somebody holds it."""
    with _lock:
        found = _accumulators.get(id(leaf))
        if found is None:
            found = object.__new__(AccumulateGrad)
            found.variable = leaf
            _accumulators[id(leaf)] = found
        return found


class _SelectOp:
    """Marks the node of one output of a many-output operation; its edge is the operation's node."""

    node_name = "SelectOutput"


SELECT = _SelectOp()


def select_node(node: Node, index: int) -> Node:
    """The node of output `index` of `node`."""
    return new_node(SELECT, (node,), index)


def new_node(op: Any, edges: tuple, saved: Any = (), checks: Any = None, attrs: Any = None) -> Node:
    node = Node()  # faster than object.__new__
    node.op, node.seq, node.all_edges, node.saved = op, next_sequence(), edges, saved
    node.checks, node.attrs = checks, attrs
    node.extra = node.cell = None
    if state.anomaly:
        note_trace(node)
    return node


def note_trace(node: Node) -> None:
    """In anomaly mode, lets a node remember where it was made."""
    if state.anomaly:
        from .graph import forward_trace

        notes = node._with_extra().metadata
        notes["traceback_"] = forward_trace()
        if state.running is not None:
            notes["parent_"] = state.running


class _Flat:
    """`Node.saved` of a node that has what it saved in places of its own."""

    def __repr__(self) -> str:
        return "FLAT"


FLAT = _Flat()
FREED: Any = [1], 0  # the `checks` of a FLAT node whose values are freed: one that fails


def saved_of(node: Node) -> Any:
    """What a node saved, a tuple or `Packed`; raises if it is freed."""
    saved = node.saved
    if saved is FLAT and node.checks is not FREED:
        values = getattr(node, "saved0", None), getattr(node, "saved1", None)
        return (*values, None) if node.op.unary else (*values, None, node.plan)
    if saved is None or saved is FLAT:
        raise RuntimeError(
            f"{node.name()}: Trying to backward through the graph a second time (or directly access saved tensors after "
            "they have already been freed). Saved intermediate values of the graph are freed when you call .backward() "
            "or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if "
            "you need to access saved tensors after calling backward."
        )
    return saved


def check_version(cell: Any, version: int, name: str, what: str) -> None:
    """Raises if what was saved at `version` has changed since."""
    if cell[0] != version:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{name} saved {what}; it is at version {cell[0]}; expected version {version} instead. Hint: change a copy "
            "(x.clone()), or use the out-of-place operation; gradgpu.autograd.set_detect_anomaly(True) shows where the "
            "operation was made."
        )


def _public_edge(edge: Any) -> tuple:
    if edge is None:
        return None, 0
    if type(edge) is not Node:
        return accumulator_of(edge), 0
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
