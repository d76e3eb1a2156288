"""Operations of one's own: `Function` with `forward` and `backward`."""

from __future__ import annotations

import functools
from typing import Any

from ..tensor import Tensor, wrap
from .engine import LEAF, Node, new_node, select_node
from .modes import no_grad, set_grad_enabled, state


class FunctionCtx:
    """What `forward` hands to `backward`."""

    def __init__(self, function: type, needs: tuple):
        self.function = function
        self.needs_input_grad = needs
        self._saved: tuple = ()
        self._dirty: tuple = ()
        self._plain: tuple = ()
        self._materialize = True
        self._node: Any = None
        self._unpacked: Any = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs for `backward`, where `saved_tensors` gives them."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(t).__name__}"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple:
        """The saved tensors; RuntimeError if they are freed or were changed in place since."""
        if self._unpacked is None:
            raise RuntimeError(f"{self.function.__name__}: saved_tensors can be used in backward only")
        return self._unpacked

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Says that `forward` changed these inputs in place; they must be returned too."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these outputs carry no gradient."""
        self._plain = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that did not arrive are zeros (the default) or None."""
        self._materialize = value


class Function:
    """A differentiable operation with its own gradient.

    Static methods `forward(ctx, *args)` and `backward(ctx, *grad_outputs)`; or `forward(*args)` with
    `setup_context(ctx, inputs, output)`. `vjp` may stand for `backward`. Used through `apply`.

    >>> import gradgpu as gg
    >>> class Exp(gg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         y = x.exp()
    ...         ctx.save_for_backward(y)
    ...         return y
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         y, = ctx.saved_tensors
    ...         return g * y
    >>> x = gg.tensor(0., requires_grad=True)
    >>> Exp.apply(x).backward()
    >>> x.grad
    tensor(1.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a Function must define the static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError(
            "to differentiate through a Function, define the static method backward(ctx, *grad_outputs)"
        )

    setup_context: Any = None
    vjp: Any = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs `forward` and links the outputs to the tape."""
        needs = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
        ctx = FunctionCtx(cls, needs)
        with no_grad():
            if cls.setup_context is None:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        several = isinstance(result, (tuple, list))
        outputs = list(result) if several else [result]
        for t in ctx._dirty:
            t._bump()
        if state.grad and any(needs):
            outputs = _link(cls, ctx, args, outputs)
        return tuple(outputs) if several else outputs[0]


class _FunctionOp:
    """The op of a Function's node."""

    def __init__(self, cls: type, count: int):
        self.function, self.count = cls, count
        self.node_name = cls.__name__ + "Backward"

    def n_outputs_of(self, node: Node) -> int:
        return self.count

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        ctx, shapes = node.attrs
        saved = node.saved
        if saved is None:
            raise RuntimeError(
                f"{node.name()}: Trying to backward through the graph a second time (or directly access saved tensors after they "
                "have already been freed). Specify retain_graph=True if you need to backward through the graph a second time."
            )
        checks = node.checks or ()
        for s, cell, version in zip([s for s in saved if s is not None], checks[::2], checks[1::2]):
            if cell[0] != version:
                t = s() if callable(s) else s
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[{t.dtype}, shape {tuple(t.shape)}] saved by {node.name()} is at version {cell[0]}; expected version {version}."
                )
        ctx._unpacked = tuple([s() if callable(s) else s for s in saved])
        parts = g if isinstance(g, list) else [g]
        grads: list = []
        for part, like in zip(parts, shapes):
            if part is None:
                grads.append(_zeros(like) if ctx._materialize and like is not None else None)
            else:
                grads.append(part if create_graph else wrap(part))
        rule = self.function.vjp or self.function.backward  # type: ignore[attr-defined]
        with set_grad_enabled(create_graph and state.grad):
            found = rule(ctx, *grads)
        ctx._unpacked = None
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        while len(found) > len(edges) and found[-1] is None:
            found = found[:-1]
        if len(found) != len(edges):
            raise RuntimeError(
                f"function {self.node_name} returned an incorrect number of gradients (expected {len(edges)}, got {len(found)})"
            )
        made: list[Any] = []
        for i, (edge, h, like) in enumerate(zip(edges, found, node.attrs[0].like)):
            if edge is None or h is None:
                made.append(None)
                continue
            if not isinstance(h, Tensor):
                raise TypeError(
                    f"function {self.node_name} returned a {type(h).__name__} as gradient {i}; expected a Tensor or None"
                )
            shape, dtype, device = like
            if h.shape != shape:
                if h.ndim < len(shape) or not _sums_to(tuple(h.shape), shape):
                    raise RuntimeError(
                        f"Function {self.node_name} returned an invalid gradient at index {i} - got {list(h.shape)} but expected "
                        f"shape compatible with {list(shape)}"
                    )
                from ..ops.reduce import sum_to_size_op

                h = sum_to_size_op(h, shape=tuple(shape))
            h = h.to(device, dtype)
            made.append(h if create_graph else h._a)
        return made


def _sums_to(shape: tuple, target: tuple) -> bool:
    pad = len(shape) - len(target)
    return all(n in (1, m) for n, m in zip(target, shape[pad:]))


def _zeros(like: tuple) -> Tensor:
    from ..ops.creation import filled

    shape, dtype, device = like
    return filled(shape, 0, dtype, device, False)


def _like(t: Any) -> Any:
    return (tuple(t.shape), t.dtype, t.device) if isinstance(t, Tensor) else None


def _link(cls: type, ctx: Any, args: tuple, outputs: list) -> list:
    from ..ops.inplace import rebase

    edges = tuple(
        [
            None if not need else a if a._edge is LEAF else a._edge
            for a, need in zip(args, ctx.needs_input_grad)
        ]
    )
    node = new_node(_FunctionOp(cls, len(outputs)), edges, (), None, None)
    inputs = {id(a): a for a in args if isinstance(a, Tensor)}
    dirty = {id(t) for t in ctx._dirty}
    plain = {id(t) for t in ctx._plain}
    made = []
    places: dict[int, int] = {}
    for k, out in enumerate(outputs):
        if not isinstance(out, Tensor):
            made.append(out)
            continue
        places[id(out)] = k
        if id(out) not in dirty and (id(out) in inputs or out._base is not None):
            out = out.detach()  # an input or a view: a new tensor, whose history is this Function alone
        if id(outputs[k]) not in plain and out.dtype.is_floating_point:
            if id(out) in dirty and out._edge is LEAF:
                raise RuntimeError(
                    "a leaf Variable that requires grad is being used in an in-place operation."
                )
            edge = node if len(outputs) == 1 else select_node(node, k)
            if id(out) in dirty:
                rebase(out, edge)
            else:
                out._edge = edge
        made.append(out)
    saved: list = []
    checks: list = []
    for t in ctx._saved:
        if t is None:
            saved.append(None)
            continue
        cell = t._version_cell()
        checks += (cell, cell[0])
        if id(t) in places and id(t) not in inputs:
            # An output holds its node: keeping the tensor here would be a cycle.
            saved.append(_SavedOutput(t._a, node, places[id(t)], len(outputs)))
        else:
            saved.append(t)
    ctx._saved = ()  # the node holds them, until backward has passed
    ctx.like = [_like(a) for a in args]
    node.saved, node.checks = tuple(saved), checks or None
    node.attrs = (ctx, [_like(o) for o in outputs])
    return made


class _SavedOutput:
    """An output that was saved: its array, and its place on the tape by weak reference."""

    def __init__(self, array: Any, node: Node, index: int, count: int):
        import weakref

        self.array, self.node, self.index, self.count = array, weakref.ref(node), index, count

    def __call__(self) -> Tensor:
        t = wrap(self.array)
        node = self.node()
        if node is not None and t.dtype.is_floating_point:
            t._edge = node if self.count == 1 else select_node(node, self.index)
        return t


def once_differentiable(function: Any) -> Any:
    """Decorator of `backward`: it runs unrecorded, and a second derivative through it raises."""

    @functools.wraps(function)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        recording = state.grad and any(isinstance(g, Tensor) and g.requires_grad for g in grads)
        with no_grad():
            found = function(ctx, *grads)
        if not recording:
            return found
        several = isinstance(found, tuple)
        outputs = [_refusing(h) for h in (found if several else (found,))]
        return tuple(outputs) if several else outputs[0]

    return wrapper


class _RefuseOp:
    node_name = "OnceDifferentiableBackward"

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def _refusing(h: Any) -> Any:
    if not isinstance(h, Tensor):
        return h
    h = h.detach()
    h._edge = new_node(_RefuseOp(), ())
    return h


__all__ = ["Function", "FunctionCtx", "once_differentiable"]
