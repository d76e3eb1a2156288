"""Operations of one's own: `Function` with `forward` and `backward`."""

from __future__ import annotations

import functools
import inspect
import warnings
import weakref
from typing import Any

from ..dtypes import FLOAT
from ..tensor import Tensor, note_views, wrap
from .layers import LAYERS, top_level
from .modes import no_grad, set_grad_enabled, state
from .node import LEAF, Node, check_version, new_node, saved_of, select_node


class FunctionCtx:
    """What `forward` hands to `backward`; whatever else they have to share may be an attribute of it.

    `needs_input_grad` tells, for each argument of `forward`, whether its gradient is wanted; within `backward` it tells
    that for the pass that runs (`autograd.grad` may want fewer).
    """

    def __init__(self, function: type, needs: tuple):
        self.function = function
        self.needs_input_grad = needs
        self._saved: tuple = ()
        self._for_forward: tuple = ()
        self._dirty: tuple = ()
        self._plain: tuple = ()
        self._materialize = True
        self._node: Any = None  # once there is one, a weak reference to the node, which holds what was saved

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs for `backward`, where `saved_tensors` gives them."""
        self._saved = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs for `jvp`, where `saved_tensors` gives them."""
        self._for_forward = tensors

    @property
    def saved_tensors(self) -> tuple:
        """The saved tensors; RuntimeError if they are freed or were changed in place since."""
        if self._node is None:
            return self._saved
        node = self._node()
        if node is None:
            raise RuntimeError(f"{self.function.__name__}: the graph that held these saved tensors is gone")
        return tuple([s if s is None else s.tensor(node) for s in saved_of(node)])

    @property
    def saved_variables(self) -> tuple:
        """The old name of `saved_tensors`."""
        import warnings

        warnings.warn(
            "'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2
        )
        return self.saved_tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Says that `forward` changed these inputs in place; they must be returned too."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these outputs carry no gradient."""
        self._plain = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that did not arrive are zeros (the default) or None."""
        self._materialize = value


_ContextMethodMixin = FunctionCtx  # one class here


class Function:
    """A differentiable operation with its own gradient.

    Static methods `forward(ctx, *args)` and `backward(ctx, *grad_outputs)`; or `forward(*args)` with
    `setup_context(ctx, inputs, output)`. `vjp` may stand for `backward`. Used through `apply`.

    In forward mode `jvp(ctx, *tangents)` gives the tangents of the outputs (without it they come from `backward`). Under vmap
    `forward` and `backward` run on batches if `generate_vmap_rule` is True, or `vmap(info, in_dims, *args)`, which returns
    (outputs, out_dims), does the whole batch.

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

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(
            f"{type(self).__name__} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself: use its apply.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function "
            f"with static forward method, called with {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The operation: `forward(ctx, *args)`, or `forward(*args)` beside a `setup_context`."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments of `forward` from those of its results; None where there is none."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward "
            "mode AD."
        )

    setup_context: Any = None
    vjp: Any = None
    jvp: Any = None
    vmap: Any = None
    generate_vmap_rule = False

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs `forward` and links the outputs to the tape. Outputs that are no tensors are returned as they are."""
        if cls.setup_context is not None:
            args = _with_defaults(cls.forward, args, kwargs)
        elif kwargs:
            raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments")
        result, ctx = called(cls, args)
        ctx._for_forward = ()  # which may hold the outputs, and they the context
        return result


def called(cls: Any, args: tuple) -> tuple[Any, FunctionCtx]:
    """(outputs, context) of a call."""
    needs = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
    ctx = FunctionCtx(cls, needs)
    level = top_level([a._a for a in args if isinstance(a, Tensor)]) if LAYERS else None
    record = state.grad
    with no_grad():
        if level is not None:
            from ..ops.function_rules import run

            result = run(level, cls, ctx, args, record)
        elif cls.setup_context is None:
            result = cls.forward(ctx, *args)
        else:
            result = cls.forward(*args)
            cls.setup_context(ctx, args, result)
    several = isinstance(result, (tuple, list))
    outputs = list(result) if several else [result]
    _check_dirty(ctx, args, outputs)
    for t in ctx._dirty:
        t._bump()
    outputs = _link(cls, ctx, args, outputs, record and any(needs))
    return (tuple(outputs) if several else outputs[0]), ctx


def _with_defaults(forward: Any, args: tuple, kwargs: dict) -> tuple:
    """The arguments of `forward`, all positional."""
    if not kwargs and len(args) >= forward.__code__.co_argcount:
        return args
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


def _check_dirty(ctx: FunctionCtx, args: tuple, outputs: list) -> None:
    if not ctx._dirty:
        return
    returned = {id(out) for out in outputs}
    given = {id(a) for a in args}
    for t in ctx._dirty:
        if id(t) not in given:
            warnings.warn(
                "Only input Tensors should be given to ctx.mark_dirty(). If a Tensor is not an input, there is no need to "
                "pass it to mark_dirty().",
                stacklevel=3,
            )
        if id(t) not in returned:
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
                "modified inplace must all be outputs of the Function."
            )
        if t._base is not None and sum(isinstance(out, Tensor) for out in outputs) > 1:
            raise RuntimeError(
                "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return "
                "more than one Tensor: make sure that the input is not a view (with .clone(), for example), or split the "
                "Function in two."
            )


class _FunctionOp:
    """The op of a Function's node."""

    def __init__(self, cls: type, count: int):
        self.function, self.count = cls, count
        self.node_name = cls.__name__ + "Backward"

    def n_outputs_of(self, node: Node) -> int:
        return self.count

    def ctx_of(self, node: Node) -> FunctionCtx:
        """The ctx that a Function's node belongs to."""
        return node.attrs[0]

    def hook_saved(self, node: Node, position: int, hooks: tuple) -> None:
        """Lets hooks keep one saved tensor."""
        saved = saved_of(node)[position]
        if saved is None:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        saved.hook(hooks)

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        cls = self.function
        ctx, shapes = node.attrs
        parts = g if isinstance(g, list) else [g]
        grads: list = []
        for part, like in zip(parts, shapes):
            if part is None:
                grads.append(_zeros(like) if ctx._materialize and like is not None else None)
            else:
                grads.append(part if create_graph else wrap(part))
        if cls.vjp is not None:  # type: ignore[attr-defined]
            if cls.backward is not Function.backward:  # type: ignore[attr-defined]
                raise RuntimeError(
                    "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement "
                    "one of them."
                )
            rule = cls.vjp  # type: ignore[attr-defined]
        else:
            rule = cls.backward  # type: ignore[attr-defined]
        needs = ctx.needs_input_grad
        ctx.needs_input_grad = tuple([e is not None for e in edges])
        state.depth += 1
        try:
            with set_grad_enabled(create_graph and state.grad):
                found = rule(ctx, *grads)
        finally:
            state.depth -= 1
            ctx.needs_input_grad = needs
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        while len(found) > len(edges) and found[-1] is None:
            found = found[:-1]
        if len(found) != len(edges):
            raise RuntimeError(
                f"function {self.node_name} returned an incorrect number of gradients (expected {len(edges)}, got {len(found)})"
            )
        made: list[Any] = []
        for i, (edge, h, like) in enumerate(zip(edges, found, ctx.like)):
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


def _link(cls: type, ctx: Any, args: tuple, outputs: list, record: bool) -> list:
    """The outputs as `apply` returns them: aliases where they are inputs or views, and on the tape if `record`."""
    dirty = {id(t) for t in ctx._dirty}
    inputs = {id(a) for a in args if isinstance(a, Tensor)}
    plain = {id(t) for t in ctx._plain}
    node = None
    if record:
        edges = [a if a._edge is LEAF else a._edge for a in args if isinstance(a, Tensor)]
        links = iter(edges)
        made_edges = tuple([next(links) if isinstance(a, Tensor) else None for a in args])
        node = new_node(_FunctionOp(cls, len(outputs)), made_edges)
        source = next(a for a, need in zip(args, ctx.needs_input_grad) if need)
    made = []
    places: dict[int, int] = {}
    tensors = sum(isinstance(out, Tensor) for out in outputs)
    for k, out in enumerate(outputs):
        if not isinstance(out, Tensor):
            made.append(out)
            continue
        places[id(out)] = k
        if id(out) not in dirty and (id(out) in inputs or out._base is not None):
            out = _alias(
                out, cls, k, tensors > 1
            )  # an input or a view: a new tensor, whose history is this Function alone
        if node is not None and id(outputs[k]) not in plain and out.dtype.category >= FLOAT:
            edge = node if len(outputs) == 1 else select_node(node, k)
            if id(out) in dirty:
                from ..ops.inplace import check_history, rebase

                check_history(cls.__name__, out, source)
                rebase(out, edge)
            else:
                out._edge = edge
        made.append(out)
    if node is None:
        ctx._saved = ()
        return made
    for place, t in enumerate(ctx._saved):
        if t is not None and not isinstance(t, Tensor):
            raise TypeError(
                f"save_for_backward can only save variables, but argument {place} is of type {type(t).__name__}; "
                "keep other things as attributes of ctx"
            )
    saved = [
        None if t is None else _Saved(t, node, places[id(t)] if id(t) in places and id(t) not in inputs else None, len(outputs))
        for t in ctx._saved
    ]  # fmt: skip
    ctx._saved = ()  # the node holds them, until backward has passed
    ctx._node = weakref.ref(node)
    ctx.like = [_like(a) for a in args]
    node.saved, node.checks = tuple(saved), () if saved else None  # each has a check of its own
    node.attrs = (ctx, [_like(o) for o in outputs])
    return made


def _alias(out: Tensor, cls: type, k: int, several: bool) -> Tensor:
    """A tensor with the memory of `out`, which is an input of a Function or a view: it may not be changed in place where
    that would have to change the history of its base."""
    from ..ops.inplace import lost_view

    if not state.grad:
        return out if out._base is not None else out.view_as(out)
    base = out if out._base is None else out._base
    out._materialise()
    alias = wrap(out._a)  # detach would cut off what transforms around this one want
    alias._cell = out._version_cell()
    name = cls.__name__
    chain = (None, lost_view, {"array": alias._a, "function": name, "number": k})
    alias._shared = base, chain, (name, k) if several else (name, k, True)
    note_views(base, [weakref.ref(alias)])
    return alias


class _Saved:
    """A tensor that was saved for backward, with its version: an input as it is; an output, which holds the node, as its
    array and its place on the tape; or what hooks keep."""

    __slots__ = ("value", "cell", "version", "edge", "place", "count")

    def __init__(self, t: Tensor, node: Node, place: int | None, count: int):
        self.value: Any = t if place is None else t._a
        self.cell = t._version_cell()
        self.version = self.cell[0]
        self.edge = t if t._edge is LEAF else t._edge
        self.place, self.count = place, count
        if place is not None:
            self.edge = None  # it would lead to the node: a reference cycle
        if state.saved_hooks:
            self.hook(state.saved_hooks[-1])

    def hook(self, hooks: tuple) -> None:
        from ..ops.saved import Hooked

        if type(self.value) is Hooked:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set.")
        array = self.value._a if isinstance(self.value, Tensor) else self.value
        self.value = Hooked(array, self.cell, hooks)

    def tensor(self, node: Node) -> Tensor:
        """The tensor as it was, after a check of its version."""
        from ..ops.saved import Hooked, from_saved

        value = self.value
        if type(value) is Hooked:
            value = value.array()
        else:
            if self.cell[0] != self.version:
                seen = f"a tensor of shape {tuple(value.shape)}, {_dtype_of(value)}"
                check_version(self.cell, self.version, node.name(), seen)
            if isinstance(value, Tensor):
                return value
        if self.place is None:
            return from_saved(value, self.edge)
        t = wrap(value)
        if t.dtype.category >= FLOAT:
            t._edge = node if self.count == 1 else select_node(node, self.place)
        return t


def _dtype_of(value: Any) -> Any:
    return value.dtype if isinstance(value, Tensor) else wrap(value).dtype


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


class InplaceFunction(Function):
    """The old base of operations that may work in place; `inplace` is kept, and nothing else differs from `Function`.

    >>> import gradgpu as gg
    >>> issubclass(gg.autograd.function.InplaceFunction, gg.autograd.Function)
    True
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace


__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]
