"""The public functions of pointwise operations with one or two inputs, and their gradients, in few steps.

On small tensors the steps cost more than the arithmetic. A *door* does the common cases by itself, float arrays or
numpy scalars on the CPU and layouts that were met before on cuda, and leaves all others to the operation
(pointwise_op.py), which says the same in general.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from ..autograd.modes import INFERENCE, INFERRING, MODES, state
from ..autograd.node import FLAT, LEAF, Node, next_sequence
from ..cuda.array import Array
from ..cuda.elementwise import broadcast_shapes
from ..scalars import zero_dim
from ..tensor import Tensor
from .expr import Expr
from .inplace import unrecorded
from .pointwise_op import Pointwise, same
from .reduce import sum_to_size_op
from .registry import with_foreign
from .saved import unpack

ndarray, generic, float32, float64 = np.ndarray, np.generic, np.float32, np.float64
_new = object.__new__
_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)  # dtypes with numpy arithmetic of their own

_LARGE = 16384  # elements from which on it pays to reuse the memory of a gradient


def _passed_count() -> int:
    def vjp(node: Any, g: Any, edges: tuple, create_graph: bool) -> int:
        return getrefcount(g)

    g = object()
    return vjp(None, g, (), False)


_PASSED = _passed_count()  # references to a gradient that `engine.run` alone holds, seen in `vjp`


def unary_door(op: Pointwise) -> Callable:
    """The public function of a one-input op: the common case in few steps, all others through `op`."""
    cpu, runs, has_gradient = op.ufunc, op.runs, op.has_gradient and op.rules[0] is not None
    keep_in, keep_out = op.kept_for((True,)) if has_gradient else (False, False)
    saves = keep_in or keep_out
    checks_none: Any = () if saves else None
    unlisted = 2 if keep_out else 0
    unlisted_both = unlisted + 1
    if has_gradient:
        op.flat_vjp = _unary_vjp(op)
    if op.accepts == "integer":  # the short path is for floats, which the op must refuse
        return _named(lambda input, *, out=None: op(input, out=out), op)

    def door(input: Any, *, out: Any = None) -> Any:
        if type(input) is ndarray:  # inside a gradient rule
            return cpu(input)
        try:
            x = input._a
        except AttributeError:
            return op(input, out=out)
        if out is not None:
            return op(input, out=out)
        kind = type(x)
        if kind is ndarray or kind is float32 or kind is float64:
            d = x.dtype
            if d is not _F32 and d is not _F64:
                return op(input)
            y = cpu(x)
        else:
            run = runs.get(x.layout) if kind is Array else None
            if run is None:
                return op(input)
            y = run(x)
        t = _new(Tensor)
        t._a = y
        t._edge = t._grad = t._cell = t._shared = None
        edge = input._edge
        if MODES and (not (INFERRING or state.grad) or _by_mode(op, (input,), (x,), t)):
            return t
        if edge is None or not has_gradient:
            return t
        t._edge = node = Node()
        node.op, node.seq, node.saved = op, next_sequence(), FLAT
        node.extra = node.cell = node.edge1 = None
        node.edge0 = input if edge is LEAF else edge
        node.checks = checks_none
        if not saves:
            return t
        node.unlisted = unlisted
        if keep_out:
            node.saved1 = y
        if keep_in:
            node.saved0 = x
            cell = input._cell
            if cell is None and edge is not LEAF:
                node.unlisted = unlisted_both
            else:
                if cell is None:
                    cell = input._cell = [0]
                node.checks = cell, cell[0]
        return t

    return _named(door, op)


def _by_mode(op: Pointwise, inputs: tuple, values: tuple, output: Tensor) -> bool:
    """Does for `output` what a mode that its thread is in asks for; whether there is nothing left to record."""
    if state.inference:
        output._cell = INFERENCE
    if not state.grad:
        return True
    if state.special and op.has_gradient:
        op.record(inputs, values, output, None)
        return True
    return False


def _may_change(node: Node, g: Any) -> bool:
    """Whether a gradient that nobody else holds may be overwritten: it is no view, and no hook will see it."""
    return g.base is None and node.extra is None and g.flags.writeable


def _unary_vjp(op: Pointwise) -> Callable:
    """`Pointwise.vjp` of FLAT nodes of a one-input op, with the common case (numpy, first order) in few steps."""
    runner, overwrite = op.flat_runners[0], op.overwrite
    general, fused = op.vjp, op.fused_vjp

    def vjp(node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        if create_graph:
            return general(node, g, edges, create_graph)
        kind = type(g)
        if kind is Array:
            return fused(g, unpack(node), edges, None)
        if kind is not float32 and kind is not float64 and g.itemsize == 2:
            return general(node, g, edges, create_graph)
        checks = node.checks
        if checks is not None:
            unlisted = node.unlisted
            if unlisted:
                if unlisted != 2 and (cell := node.edge0.cell) is not None and cell[0]:
                    unpack(node)
                if unlisted != 1 and (cell := node.cell) is not None and cell[0]:
                    unpack(node)
            if checks and checks[0][0] != checks[1]:
                unpack(node)
        if overwrite is not None and g.size > _LARGE and getrefcount(g) == _PASSED and _may_change(node, g):
            return (overwrite(g, node.saved1),)
        return (runner(g, node),)  # type: ignore[misc]

    return vjp


# numpy's scalars do arithmetic by operators in a tenth of a ufunc's time.
_SCALAR: dict[Any, Callable] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.true_divide: operator.truediv,
}


def _known(x: Any) -> bool:
    return isinstance(x, (Tensor, ndarray, generic, float, int, complex, Expr)) or hasattr(x, "layout")


def binary_door(op: Pointwise) -> Callable:
    """The public function of a two-input op; see `unary_door`."""
    cpu, runs, has_gradient = op.ufunc, op.runs, op.has_gradient
    if has_gradient:
        op.flat_vjp = _binary_vjp(op)
    if op.accepts == "integer":
        return _named(lambda input, other, *, out=None: op(input, other, out=out), op)
    # Which operands a node saves if the first, the other or both want a gradient; an op that saves its result is left to
    # `record`.
    keep_one, keep_other, keep_both = (
        op.kept_for(needs)[:2] for needs in ((True, False), (False, True), (True, True))
    )
    saves_result, saves_none = op.kept_for((True, True))[2], not any(op.kept_for((True, True)))
    scalar = _SCALAR.get(cpu, cpu)
    arithmetic = cpu in _SCALAR

    def door(input: Any, other: Any, *, out: Any = None) -> Any:
        number = type(other)
        plain = number is float or number is int
        try:
            x = input._a
            if plain:
                y: Any = other
                other_edge = None
            else:
                y = other._a
                other_edge = other._edge
        except AttributeError:
            return op(input, other, out=out) if _known(other) else with_foreign(op, input, other)
        if out is not None:
            return op(input, other, out=out)
        kind = type(x)
        scalars = (kind is float32 or kind is float64) and (number is float or type(y) is kind)
        if scalars:
            r = scalar(x, y)
        elif kind is Array:
            run = runs.get((x.layout, number if plain else y.layout if type(y) is Array else None))
            if run is None:
                return op(input, other)
            r = run(x, y)
        else:
            d = x.dtype
            if (
                not plain
                and (
                    y.dtype is not d
                    or type(y) is not type(x)
                    and not (isinstance(x, (ndarray, generic)) and isinstance(y, (ndarray, generic)))
                )
                or d is not _F32
                and d is not _F64
            ):
                return op(input, other)
            try:
                if kind is ndarray:
                    if number is float and arithmetic:
                        y = zero_dim(y, d)
                    r = cpu(x, y)
                elif kind is float32 or kind is float64:
                    r = scalar(x, y)
                else:
                    return op(input, other)
            except ValueError:
                broadcast_shapes(op.name, x.shape, getattr(y, "shape", ()))
                raise
        t = _new(Tensor)
        t._a = r
        t._edge = t._grad = t._cell = t._shared = None
        edge = input._edge
        if MODES and (not (INFERRING or state.grad) or _by_mode(op, (input, other), (x, y), t)):
            return t
        if edge is None and other_edge is None or not has_gradient:
            return t
        if saves_result:
            op.record((input, other), (x, y), t, None)
            return t
        t._edge = node = Node()
        node.op, node.seq, node.saved = op, next_sequence(), FLAT
        node.extra = node.cell = node.plan = None
        node.edge0 = input if edge is LEAF else edge
        node.edge1 = other if other_edge is LEAF else other_edge
        if not scalars and not plain:
            shape, other_shape = x.shape, y.shape
            if shape != other_shape:
                node.plan = shape, other_shape
        if saves_none:
            node.checks = None
        else:
            checks: Any = None
            unlisted = 0
            keep_x, keep_y = keep_one if other_edge is None else keep_other if edge is None else keep_both
            if keep_x:
                node.saved0 = x
                cell = input._cell
                if cell is None and edge is not None and edge is not LEAF:
                    checks, unlisted = (), 1
                else:
                    if cell is None:
                        cell = input._cell = [0]
                    checks = cell, cell[0]
            if keep_y:
                node.saved1 = y
                if not plain:  # numbers need no check, and are not freed
                    cell = other._cell
                    if cell is None and other_edge is not None and other_edge is not LEAF:
                        unlisted |= 2
                        checks = checks or ()
                    else:
                        if cell is None:
                            cell = other._cell = [0]
                        checks = (*checks, cell, cell[0]) if checks else (cell, cell[0])
            node.checks, node.unlisted = checks, unlisted
        return t

    return _named(door, op)


def _binary_vjp(op: Pointwise) -> Callable:
    """`Pointwise.vjp` of FLAT nodes of a two-input op; see `_unary_vjp`."""
    first, second = op.flat_runners
    multiplies = op.ufunc is np.multiply
    if multiplies:  # the same rules with a call less
        first, second = (lambda g, node: g * node.saved1), (lambda g, node: g * node.saved0)
    elif op.ufunc is np.subtract:
        second = lambda g, node: -g
    passes = first is same and second is same
    overwrite = op.overwrite
    general, fused = op.vjp, op.fused_vjp

    def vjp(node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        shapes = node.plan
        if passes and shapes is None:
            return g, g
        if create_graph:
            return general(node, g, edges, create_graph)
        kind = type(g)
        a, b = edges
        if kind is Array:
            return fused(g, unpack(node), edges, None)
        checks = node.checks
        if checks is not None:
            unlisted = node.unlisted
            if unlisted:
                if unlisted != 2 and (cell := node.edge0.cell) is not None and cell[0]:
                    unpack(node)
                if unlisted != 1 and (cell := node.edge1.cell) is not None and cell[0]:
                    unpack(node)
            if checks and (checks[0][0] != checks[1] or len(checks) > 2 and checks[2][0] != checks[3]):
                unpack(node)
        if kind is float32 or kind is float64:
            if multiplies:
                return None if a is None else g * node.saved1, None if b is None else g * node.saved0
            return (
                None if a is None else first(g, node),  # type: ignore[misc]
                None if b is None else g if second is same else second(g, node),  # type: ignore[misc]
            )
        if g.itemsize == 2:
            return general(node, g, edges, create_graph)
        if b is not None:
            b = g if second is same else second(g, node)  # type: ignore[misc]
        if a is not None:
            if first is same:
                a = g
            elif (
                overwrite is not None
                and g.size > _LARGE
                and getrefcount(g) == _PASSED
                and _may_change(node, g)
            ):
                a = overwrite(g, node.saved1)
            else:
                a = first(g, node)  # type: ignore[misc]
        if shapes is not None:
            if a is not None and a.shape != shapes[0]:
                a = sum_to_size_op.cpu(a, shape=shapes[0])
            if b is not None and b.shape != shapes[1]:
                b = sum_to_size_op.cpu(b, shape=shapes[1])
        return a, b

    return vjp


def inplace_door(ufunc: Any, general: Callable) -> Callable:
    """The in-place method of `ufunc` on a float tensor on the CPU that is not on the tape, with one operand and maybe
    `alpha`, without an array between; all else by `general`."""
    scalable, divides = ufunc is np.add or ufunc is np.subtract, ufunc is np.true_divide

    def door(self: Any, *args: Any, **kwargs: Any) -> Any:
        a = self._a
        if type(a) is not ndarray or len(args) != 1 or kwargs and not (scalable and [*kwargs] == ["alpha"]):
            return general(self, *args, **kwargs)
        other, d = args[0], a.dtype
        number = type(other)
        floating = d is _F32 or d is _F64
        source = None
        if number is int or number is float and floating:
            y = other
            if not floating and (d.kind != "i" or divides):
                return general(self, *args, **kwargs)
        elif number is Tensor and floating:
            y, source = other._a, other
            if type(y) is not ndarray or y.dtype is not d:
                return general(self, *args, **kwargs)
        else:
            return general(self, *args, **kwargs)
        flags = a.flags
        if not (flags.c_contiguous and flags.writeable and unrecorded(self, source)):
            return general(self, *args, **kwargs)
        if kwargs:
            alpha = kwargs["alpha"]
            if type(alpha) is not float and type(alpha) is not int:
                return general(self, *args, **kwargs)
            if alpha != 1:
                y = y * alpha
        try:
            ufunc(a, y, a)
        except (ValueError, TypeError, OverflowError):  # what does not fit: nothing was written
            return general(self, *args, **kwargs)
        self._bump()
        return self

    door.__name__, door.__qualname__, door.__doc__ = general.__name__, general.__qualname__, general.__doc__
    return door


def _named(door: Any, op: Pointwise) -> Any:
    door.__name__ = door.__qualname__ = op.name
    door.op = op
    return door
