"""Changing a tensor in place: memory, version, and the history of the tensor, its base and its views."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LAYERS, LayerArray, write_into
from ..autograd.modes import INFERENCE, enable_grad, state
from ..autograd.node import LEAF, Node, new_node
from ..meta import MetaArray, SparseArray
from ..tensor import Tensor, _edge_of, wrap
from .registry import method
from .saved import Packed, unflatten

ndarray, generic = np.ndarray, np.generic


def check_history(name: str, target: Tensor, result: Tensor | None = None) -> None:
    """Raises where PyTorch refuses to change the history of a tensor (to that of `result`)."""
    if target._cell is INFERENCE and not state.inference:
        raise RuntimeError(
            f"{name}: Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get "
            "a normal tensor before doing inplace update."
        )
    if state.grad:
        if target._origin is not None:
            _refuse_view(name, target, result)
        if target._edge is LEAF:
            raise RuntimeError(
                f"{name}: a leaf Variable that requires grad is being used in an in-place operation. "
                "Do it under gradgpu.no_grad(), or on a copy (x.clone())."
            )
        if target._base is not None and target._base._edge is LEAF:
            raise RuntimeError(
                f"{name}: a view of a leaf Variable that requires grad is being used in an in-place operation."
            )


def check_writable(name: str, target: Tensor, result: Tensor | None = None) -> None:
    """Raises where PyTorch refuses to change a tensor in place (to hold `result`)."""
    check_history(name, target, result)
    a = target._a
    if (
        not isinstance(a, generic)
        and a.size
        and 0 in a.strides
        and any(n > 1 and s == 0 for n, s in zip(a.shape, a.strides))
    ):
        raise RuntimeError(
            f"{name}: unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )
    if isinstance(a, ndarray) and not a.flags.writeable:
        try:
            a.flags.writeable = True  # a part of an expanded view: numpy makes those read-only
        except ValueError:
            target._a = np.asarray(_Writable(a))  # … and lets no view by strides of one be anything else
    if state.mutations is not None:
        state.mutations.before_write(target)


def unrecorded(target: Tensor, source: Tensor | None = None) -> bool:
    """Whether `target` changes by no more than a write to its memory: `source` (None: a number) has no place on the tape or
    nothing is recorded, the two are not parts of one memory, no transform is on, and nobody wants the old values kept."""
    if LAYERS or target._cell is INFERENCE or state.mutations is not None:
        return False
    edge = None
    if source is not None:
        edge = source._edge
        if source._cell is not None and source._cell is target._cell and source is not target:
            return False
    if edge is None and target._edge is None:
        shared = target._shared
        if type(shared) is not tuple or shared[0]._edge is None:
            return True
    return not state.grad


def assign(x: Tensor, index: tuple, step: Any, value: Any, source: Tensor | None) -> bool:
    """`x[index] = value` with a history, without making the view, which `step` would: where x is no view, and the value has
    the shape of the place and no part of the memory of x. Whether that was so. `value` is a number or the array of `source`."""
    old = x._edge
    if LAYERS or not state.grad or state.mutations is not None:
        return False
    if old is LEAF or x._cell is INFERENCE or type(x._shared) is tuple:
        return False
    place, edge = x._a[index], None
    if not isinstance(place, ndarray):
        place = x._a[(*index, Ellipsis)]
    if source is not None:
        cell = source._cell
        if (
            source is x
            or cell is INFERENCE
            or cell is not None
            and cell is x._cell
            or value.shape != place.shape
        ):
            return False
        edge = _edge_of(source)
        if type(edge) is Node:
            keep_original(x, edge)
    place[...] = value
    x._bump()
    follow(x, new_node(OVERWRITE, (old, edge), ((None, step, {"index": index}), None)))
    if x._views:
        refresh_views(x)
    return True


class _Writable:
    """Tells numpy of the memory of a read-only array that it may be written."""

    def __init__(self, a: np.ndarray):
        self.array = a  # keeps the memory alive
        self.__array_interface__ = {**a.__array_interface__, "data": (a.ctypes.data, False)}


_MODES = (
    "{name}: A view was created in {mode} mode and is being modified inplace {where}. Given that this use case is ambiguous "
    "and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both "
    "inside the {mode} block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be "
    "tracked)."
)
_CUSTOM = (
    "Output {number} of {function} is a view and {change}. This view was created inside a custom Function (or because an input "
    "was returned as-is) and the autograd logic to handle view+inplace would override the custom backward associated with "
    "the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output "
    "of the custom Function."
)
_MANY = (
    "{name}: Output {number} of {function} is a view and is being modified inplace. This view is the output of a function "
    "that returns multiple views. Such functions do not allow the output views to be modified inplace. You should replace "
    "the inplace operation by an out-of-place one."
)


def _refuse_view(name: str, target: Tensor, result: Tensor | None) -> None:
    """Raises if a gradient would have to follow the change of a view to its base, and cannot."""
    if target._edge is None and target._base._edge is None and (result is None or result._edge is None):  # type: ignore[union-attr]
        return
    origin = target._origin
    if type(origin) is tuple:
        if len(origin) == 3:
            text = _CUSTOM.format(function=origin[0], number=origin[1], change="is being modified inplace")
            raise RuntimeError(f"{name}: {text}")
        raise RuntimeError(_MANY.format(name=name, function=origin[0], number=origin[1]))
    where = "with grad mode enabled" if origin == "no_grad" else "in normal mode"
    raise RuntimeError(_MODES.format(name=name, mode=origin.removesuffix("_mode"), where=where))


def inplace(name: str, target: Tensor, result: Tensor) -> Tensor:
    """Makes `target` hold `result` (with its history); returns `target`."""
    if type(target._a) is SparseArray:
        return target._become(name, result)
    check_writable(name, target, result)
    if result._a.shape != target._a.shape:
        raise RuntimeError(
            f"{name}: output with shape {list(target._a.shape)} doesn't match the broadcast shape {list(result._a.shape)}"
        )
    if result._a.dtype != target._a.dtype:
        if not dt.can_cast(result.dtype, target.dtype):
            raise RuntimeError(
                f"{name}: result type {result.dtype} can't be cast to the desired output type {target.dtype}; "
                f"use the out-of-place operation, or convert the tensor first"
            )
        result = result.to(target.dtype)
    if type(result._edge) is Node:
        keep_original(target, result._edge)
    if result._cell is target._cell and result._cell is not None:
        check_overlap(name, target._a, result._a)
    if not LAYERS or not write_into(name, target, result):
        write(target, result._a)
    target._bump()
    if state.grad:
        rebase(target, _edge_of(result))
    return target


def keep_original(target: Tensor, node: Node) -> None:
    """Copies what the new node saved of the target's memory, which is about to change: its rule wants the old values."""
    if node.checks is None or node.saved is None:
        return
    cell = target._version_cell()
    unflatten(node)
    if all(c is not cell for c in node.checks[::2]):
        return
    a, saved = target._a, node.saved
    if type(saved) is Packed:
        saved.keep_from(lambda v: _shares(v, a))
    else:
        node.saved = tuple([v.copy() if _shares(v, a) else v for v in saved])
    pairs = zip(node.checks[::2], node.checks[1::2])
    node.checks = tuple([part for pair in pairs if pair[0] is not cell for part in pair])


def _shares(v: Any, a: Any) -> bool:
    if isinstance(v, ndarray):
        return isinstance(a, ndarray) and np.may_share_memory(v, a)
    if isinstance(v, LayerArray):
        return isinstance(a, LayerArray)  # maybe
    return hasattr(v, "mem") and v.mem is getattr(a, "mem", None)


def _memory_of(a: Any) -> tuple[int, int] | None:
    """(address of the first byte, of the byte after the last) of an array without gaps; None if there are some."""
    if isinstance(a, ndarray):
        return (a.ctypes.data, a.ctypes.data + a.nbytes) if a.flags.c_contiguous else None
    return (a.ptr, a.ptr + a.nbytes) if a.layout.contiguous else None


def check_overlap(name: str, a: Any, values: Any) -> None:
    """Raises if `values`, needed while the array `a` is written, are in part the same memory. As in PyTorch, arrays with
    gaps are not looked at."""
    if values is a or isinstance(a, LayerArray) or not _shares(values, a):
        return
    written, read = _memory_of(a), _memory_of(values)
    if written is None or read is None or written == read:
        return
    if written[0] < read[1] and read[0] < written[1]:
        raise RuntimeError(
            f"{name}: unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
            "memory location. Please clone() the tensor before performing the operation."
        )


def write(target: Tensor, values: Any) -> None:
    """Copies an array of the same shape and device into the tensor's memory."""
    target._materialise()
    if LAYERS and write_into("write", target, wrap(values)):
        return
    a = target._a
    if isinstance(a, ndarray):
        np.copyto(a, values, casting="unsafe")
    elif type(a) is not MetaArray:  # which has no memory to write
        from ..cuda.elementwise import copy_into

        copy_into(a, values.copy() if _shares(values, a) else values)


def rebase(target: Tensor, edge: Any) -> None:
    """Gives a changed tensor its new history; a view's change is a change of its base and of all its views."""
    base = target._base
    if base is None:
        if edge is None and target._edge is not None:
            # Overwritten by a constant: it still requires grad, as in PyTorch, and passes zeros on.
            edge = new_node(OVERWRITE, (target._edge, None), (None, None))
        follow(target, edge)
        if target._views:
            refresh_views(target)
    elif edge is not None or base._edge is not None:
        follow(base, new_node(OVERWRITE, (base._edge, edge), (target._chain, _memory_order(base._a))))
        refresh_views(base)
        if target._edge is None or not base._views:
            follow(target, _view_edge(base, target._chain))


def follow(t: Tensor, edge: Any) -> None:
    """Gives a tensor another place on the tape; if it retains its grad, it will be the one of that place. Hooks stay:
    they belong to the old value."""
    old = t._edge
    t._edge = edge
    if type(old) is Node and old.extra is not None:
        retain = old.extra.retain
        if retain is not None and retain() is t:
            old.extra.retain = None
            t.retain_grad()


def _memory_order(a: Any) -> tuple | None:
    """The dimensions from the slowest to the fastest in memory; None if that is their order."""
    order = tuple(sorted(range(a.ndim), key=lambda d: -a.strides[d]))
    return None if order == tuple(range(a.ndim)) else order


def refresh_views(base: Tensor) -> None:
    """The views' histories follow from the base's."""
    for ref in base._views or ():
        view = ref()
        if view is not None:
            follow(view, None if base._edge is None else _view_edge(base, view._chain))


def _view_edge(base: Tensor, chain: tuple | None) -> Any:
    base._materialise()
    t = wrap(base._a)
    t._edge = base._edge
    with enable_grad():
        return _apply(chain, t)._edge


def _apply(chain: tuple | None, x: Any) -> Any:
    """The view that `chain` makes of `x`; None makes `x` itself."""
    steps = []
    while chain is not None:
        chain, *step = chain
        steps.append(step)
    for op, attrs in reversed(steps):
        x = op(x, **attrs)
    return x


class _LostOp:
    """The view that a Function returned, after a change of its base: its gradient is the Function's and would be wrong."""

    node_name = "LostViewBackward0"

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        raise RuntimeError(
            _CUSTOM.format(
                **node.attrs, change="its base or another view of its base has been modified inplace"
            )
        )


_LOST = _LostOp()


def lost_view(x: Tensor, *, array: Any, function: str, number: int) -> Tensor:
    """The step in the chain of a view that a Function returned; see `refresh_views`."""
    t = wrap(array)
    t._edge = new_node(_LOST, (), (), None, {"function": function, "number": number})
    return t


class _Overwrite:
    """The base after one of its views was changed: outside the view the old base, inside the new values."""

    node_name = "CopySlices"

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        chain, order = node.saved
        old = new = None
        if edges[1] is not None:
            inside = _apply(chain, g)
            new = inside.clone() if create_graph else inside.copy()
        if edges[0] is not None:
            old = _copy_in_order(g, order, create_graph)
            hole = _apply(chain, old)
            if create_graph:
                hole.zero_()
            elif isinstance(hole, ndarray):
                if not hole.flags.writeable:  # part of an expanded view
                    hole.flags.writeable = True
                hole[...] = 0
            else:
                from ..cuda.elementwise import fill

                fill(hole, 0)
        return old, new


OVERWRITE = _Overwrite()


def _copy_in_order(g: Any, order: tuple | None, create_graph: bool) -> Any:
    """A copy of `g` with the base's order of dimensions in memory: then views of the base are views of it too."""
    from .shape import permute_op

    if order is not None:
        g = permute_op(g, dims=order)
    made = (
        g.clone()
        if create_graph
        else np.array(g, order="C")
        if isinstance(g, (ndarray, generic))
        else g.copy()
    )
    if order is not None:
        inverse = tuple(sorted(range(len(order)), key=order.__getitem__))
        made = permute_op(made, dims=inverse)
    return made


def write_out(name: str, out: Tensor, result: Tensor) -> Tensor:
    """`out=`: writes a result into `out`, which must have its shape (or be empty) and a dtype that can hold it."""
    if result._edge is not None or state.grad and out._edge is not None:
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )
    if out.device != result.device:
        raise RuntimeError(
            f"{name}: expected out tensor on {result.device}, got {out.device}; use out=out.to('{result.device}')"
        )
    if not dt.can_cast(result.dtype, out.dtype):
        raise RuntimeError(
            f"{name}: result type {result.dtype} can't be cast to the desired output type {out.dtype}"
        )
    if out._a.shape != result._a.shape:
        if out._a.size:
            raise RuntimeError(
                f"{name}: out has shape {tuple(out.shape)}, the result {tuple(result.shape)}; they must agree"
            )
        out._a = result.to(out.dtype)._a
    else:
        check_writable(name, out)
        write(out, result._a)
    out._bump()
    return out


class _SetOp:
    """A tensor that took over another one's memory: no gradient leads through it, as in PyTorch."""

    node_name = "NotImplemented"

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        raise RuntimeError("derivative for set_ is not implemented; use copy_, or x.data = y")


@method
def set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """Makes this tensor see the memory of `source`, with its shape; without `source`, an empty tensor.

    Raises:
        RuntimeError: this is a leaf that requires grad, or `source` has another dtype or device.

    >>> import gradgpu as gg
    >>> x, y = gg.zeros(3), gg.ones(2)
    >>> x.set_(y).add_(1)
    tensor([2., 2.])
    >>> y
    tensor([2., 2.])
    """
    if source is not None and not isinstance(source, Tensor):
        raise TypeError(f"set_: argument 'source' must be Tensor, not {type(source).__name__}")
    check_writable("set_", self, source)
    if source is None:
        from .creation import empty

        source = empty(0, dtype=self.dtype, device=self.device)
    if source.dtype is not self.dtype or source.device != self.device:
        raise RuntimeError(
            f"Could not set tensor of type {source.dtype} on {source.device} to a tensor of type {self.dtype} on {self.device}"
        )
    source._materialise()
    if self._views:
        # The views keep the old memory: a hidden tensor stays what this one was.
        old = wrap(self._a)
        old._edge, old._cell, old._shared = self._edge, self._cell, self._shared
        for ref in old._shared:
            view = ref()
            if view is not None:
                view._shared = (old, *view._shared[1:])
        self._cell = [old._version_cell()[0]]
    self._a, self._shared = source._a, None
    self._bump()
    if state.grad and (self._edge is not None or source._edge is not None):
        self._edge = new_node(_SetOp(), ())
    return self
