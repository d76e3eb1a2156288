"""What nodes save for backward: as arrays with checks of their versions, in the form that hooks keep, as the Tensors they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LayerArray
from ..autograd.modes import set_recording, state
from ..autograd.node import FLAT, LEAF, Node, check_version, new_node, saved_of, select_node
from ..devices import device
from ..tensor import Tensor, wrap

ndarray, generic = np.ndarray, np.generic


class Saving:
    """What an operation tells of the values that its nodes save."""

    inputs: Sequence[str]

    def n_outputs_of(self, node: Node) -> int:
        """How many outputs the operation had."""
        return 1

    def saved_names(self, node: Node) -> dict[str, int]:
        """What a node's attributes `_saved_…` are called, and where it keeps them: 'self' or the name of an input, and
        'result' or 'result0', … for outputs."""
        names: dict[str, int] = {}
        for position, (kind, which) in enumerate(self._saves(node)):
            if kind == "in":
                names[self.inputs[which]] = position
                if not which:
                    names["self"] = position
            elif kind == "out":
                names[f"result{which}" if self.n_outputs_of(node) > 1 else "result"] = position
        return names

    def hook_saved(self, node: Node, position: int, hooks: tuple) -> None:
        """Lets hooks keep one value that a node has saved."""
        saved = saved_of(node)
        unflatten(node)
        values = list(saved.values if type(saved) is Packed else saved)
        value = values[position]
        if type(value) is Hooked:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set.")
        if not _is_array(value):
            raise RuntimeError(f"Calling register_hooks on a saved tensor with value {value} is forbidden")
        values[position] = Hooked(value, None, hooks)
        node.saved = Packed(tuple(values), bool(_arrays_in(tuple(values))))

    def saved_tensor(self, node: Node, position: int) -> Any:
        """One saved value as the Tensor it was."""
        return lift(node, self._saves(node)[position], unpack(node)[position])

    def _saves(self, node: Node) -> Sequence[tuple[str, int]]:
        plan = getattr(node, "plan", None)
        if plan is not None:
            return plan.saves
        return [("in" if v is not None else "", k) for k, v in enumerate(saved_of(node))]  # one slot an input


def lift(node: Node, want: tuple[str, int], value: Any) -> Any:
    """A saved array as the Tensor it was, with its place on the tape."""
    kind, which = want
    if value is None or kind in ("shape", "dtype", "shapes", "dtypes"):
        return value
    if kind == "in":
        return from_saved(value, node.edges[which])
    if kind == "ins":
        return tuple([from_saved(a, e) for a, e in zip(value, node.edges)])
    return from_saved(value, select_node(node, which) if node.plan.outputs > 1 else node)


def from_saved(array: Any, edge: Any) -> Tensor:
    """A Tensor for a saved array: the leaf itself, or a tensor with that history."""
    if edge is not None and type(edge) is not Node and edge._a is array:
        return edge
    t = wrap(array)
    # A leaf whose .data was replaced since: what was saved is not its array, but its gradient is the leaf's.
    t._edge = edge if edge is None or type(edge) is Node else new_node(PASS, (edge,))
    if type(edge) is Node and edge.cell is not None and edge.cell[0]:
        t._cell = [0]  # what was saved is unchanged: these are values of before a change
    return t


# ---- what hooks keep ----
class Hooked:
    """A saved array in the form that a pack hook gave it."""

    __slots__ = ("kept", "hooks")

    def __init__(self, array: Any, cell: Any, hooks: tuple):
        self.hooks = hooks
        store = hooks[0]
        t = wrap(array)
        t._cell = cell
        version = t._version
        recording, hooks_before = state.grad, state.saved_hooks
        set_recording(False)
        state.saved_hooks = ()
        try:
            self.kept = store(t)
        finally:
            state.saved_hooks = hooks_before
            set_recording(recording)
        if t._version != version:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook can not "
                "be modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if "
                "you need to perform in-place operations on the input to a pack hook."
            )

    def array(self) -> Any:
        """The array, of the tensor that the unpack hook makes."""
        t = self.hooks[1](self.kept)
        if not isinstance(t, Tensor):
            raise TypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(t).__name__}"
            )
        return t._a

    def without(self, shares: Callable) -> Hooked:
        """The same value, but of a copy if the hook kept the memory itself."""
        from ..utils._pytree import tree_leaves

        for x in tree_leaves(self.kept):
            if isinstance(x, Tensor):
                x = x._a
            elif not _is_array(x):
                if x is None or isinstance(x, (bool, int, float, str, bytes, dt.dtype, device)):
                    continue
                x = self.array()  # only the unpack hook knows what this object holds
            if shares(x):
                return Hooked(self.array().copy(), None, self.hooks)
        return self


class Packed:
    """Saved values of which hooks hold some in their own form. `checked`: whether versions still matter."""

    __slots__ = ("values", "checked")

    def __init__(self, values: tuple, checked: bool):
        self.values, self.checked = values, checked

    def unpack(self) -> tuple:
        """The values as they were saved."""
        return tuple([_unhooked(v) for v in self.values])

    def keep_from(self, shares: Callable) -> None:
        """Copies what lies in memory that is about to change; `shares(array)` tells."""
        self.values = tuple([_kept_from(v, shares) for v in self.values])


def _kept_from(v: Any, shares: Callable) -> Any:
    if type(v) is tuple:
        return tuple([_kept_from(part, shares) for part in v])
    if type(v) is Hooked:
        return v.without(shares)
    return v.copy() if _is_array(v) and shares(v) else v


def _unhooked(v: Any) -> Any:
    return v.array() if type(v) is Hooked else tuple(map(_unhooked, v)) if type(v) is tuple else v


def _is_array(v: Any) -> bool:
    return isinstance(v, (ndarray, generic, LayerArray)) or hasattr(v, "layout")


def _arrays_in(saved: tuple) -> list:
    return [v for part in saved for v in (part if type(part) is tuple else (part,)) if _is_array(v)]


def pack(saved: tuple, checks: Any) -> Any:
    """Saved values as the innermost `saved_tensors_hooks` wants to keep them."""
    if not state.saved_hooks:
        return saved
    hooks = state.saved_hooks[-1]
    arrays = _arrays_in(saved)
    cells = iter(checks[::2] if checks and len(checks) == 2 * len(arrays) else [None] * len(arrays))
    return Packed(tuple([_packed(v, cells, hooks) for v in saved]), False)


def _packed(v: Any, cells: Iterator, hooks: tuple) -> Any:
    if type(v) is tuple:
        return tuple([_packed(part, cells, hooks) for part in v])
    return Hooked(v, next(cells), hooks) if _is_array(v) else v


def unpack(node: Node) -> tuple:
    """The saved values of a node, after checking that they are still there and unchanged."""
    saved = node.saved
    packed = False
    if type(saved) is not tuple:
        saved = saved_of(node)  # raises if they are freed
        packed = type(saved) is Packed
    checks = node.checks
    if checks is not None and (not packed or saved.checked):
        for k in range(0, len(checks), 2):
            cell, version = checks[k], checks[k + 1]
            if cell[0] != version:
                _refuse_changed(node, saved.values if packed else saved)
        if node.saved is FLAT:
            for maker, value in _unlisted(node):
                if maker.cell is not None:
                    check_version(maker.cell, 0, node.name(), _described([value]))
    return saved.unpack() if packed else saved


def _unlisted(node: Node) -> list[tuple[Node, Any]]:
    """The values that a FLAT node has saved without a check, each after the node that made it."""
    makers = node.edge0, node if node.op.unary else node.edge1
    values = saved_of(node)
    return [(makers[k], values[k]) for k in range(2) if node.unlisted >> k & 1]


def unflatten(node: Node) -> None:
    """Gives a FLAT node its edges and values as tuples, and a check of each saved array: it is FLAT no more."""
    if node.saved is FLAT:
        if node.checks is not None:
            for maker, _ in _unlisted(node):
                if maker.cell is None:
                    maker.cell = [0]
                node.checks = (*node.checks, maker.cell, 0)
        node.all_edges, node.attrs, node.saved = node.edges, None, saved_of(node)


def _refuse_changed(node: Node, values: tuple) -> None:
    """Raises what `check_version` does for a node some of whose saved values were changed in place."""
    arrays = _arrays_in(values)
    cells, versions = node.checks[::2], node.checks[1::2]
    for k, (cell, version) in enumerate(zip(cells, versions)):
        if cell[0] != version:
            if len(arrays) == len(cells):
                arrays = arrays[k : k + 1]
            check_version(cell, version, node.name(), _described(arrays))


def _described(arrays: Sequence[Any]) -> str:
    return " or ".join(f"a tensor of shape {tuple(a.shape)}, {dt.from_numpy_dtype(a.dtype)}" for a in arrays)


# ---- nodes that compute nothing ----
class _PassOp:
    """Hands the gradient on unchanged."""

    def __init__(self, node_name: str):
        self.node_name = node_name

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        return (g,)


PASS = _PassOp("PassBackward0")


def continued(t: Tensor, node_name: str) -> Tensor:
    """A tensor with the array of `t`, which requires grad, and a node of its own that leads to t."""
    made = wrap(t._a)
    made._cell = t._version_cell()
    if state.grad:
        made._edge = new_node(_PassOp(node_name), (t if t._edge is LEAF else t._edge,))
    return made


class _ZerosOp:
    """Hands the gradient on, and zeros to what it does not depend on."""

    node_name = "ZerosBackward0"

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        from .creation import zeros_like

        zeros = zeros_like(g.detach() if create_graph else wrap(g))
        return g, zeros if create_graph else zeros._a


_ZEROS = _ZerosOp()


def with_zeros(grads: Sequence[Any], edges: tuple) -> list:
    """The gradients of an operation with `zero_second`: that of the first input leads to the input too, with zeros."""
    h, *others = grads
    if h is not None:
        t = wrap(h._a)
        t._edge = new_node(_ZEROS, (h if h._edge is LEAF else h._edge, edges[0]))
        h = t
    return [h, *others]
