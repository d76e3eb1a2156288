"""Functions of one's own (`autograd.Function`) under vmap and in forward mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..autograd.function import Function, FunctionCtx
from ..autograd.modes import no_grad, set_grad_enabled, state
from ..tensor import Tensor, wrap
from ..utils._pytree import tree_flatten, tree_unflatten
from .batching import Batched, Shared, Vmap
from .creation import zeros_like
from .shape import expand_op, movedim
from .tangents import Forward, by_double_backward
from .vectorize import spread_tree


class VmapInfo(NamedTuple):
    """What the static method `vmap` of a Function learns of the batch."""

    batch_size: int
    randomness: str


def run(level: Any, cls: Any, ctx: FunctionCtx, args: tuple, record: bool) -> Any:
    """The outputs of a Function some of whose arguments belong to `level`; `ctx` is filled as ever."""
    rule = _in_vmap if isinstance(level, Vmap) else _in_forward_mode
    return rule(level, cls, ctx, args, record)


def _forward(cls: Any, ctx: FunctionCtx, args: Sequence[Any]) -> Any:
    with no_grad():
        if cls.setup_context is None:
            return cls.forward(ctx, *args)
        result = cls.forward(*args)
        cls.setup_context(ctx, tuple(args), result)
        return result


def _outside(level: Any, function: Any, record: bool) -> Any:
    """`function()` at the level around."""
    layers = state.layers
    state.layers = layers[: level.depth]
    try:
        with set_grad_enabled(record):
            return function()
    finally:
        state.layers = layers


# ---- vmap ----
def _in_vmap(level: Vmap, cls: Any, ctx: FunctionCtx, args: tuple, record: bool) -> Any:
    own, generate = cls.vmap is not None, cls.generate_vmap_rule
    if own and generate:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overriden vmap staticmethod. "
            "Please set generate_vmap_rule=False or delete the overriden vmap staticmethod to avoid ambiguity."
        )
    if not own and not generate:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and implement the vmap "
            "staticmethod or set generate_vmap_rule=True."
        )
    values, batched = [], []
    for a in args:
        inside = level.inside(a) if isinstance(a, Tensor) else None
        batched.append(inside is not None)
        values.append(
            level.shared(a) if isinstance(a, Tensor) and inside is None else a if inside is None else inside
        )
    if own:
        if cls.setup_context is None:
            raise RuntimeError(
                f"{cls.__name__}: In order to use an autograd.Function with a vmap staticmethod, it must override the "
                "setup_context staticmethod"
            )
        info, dims = VmapInfo(level.size, level.randomness), tuple([0 if b else None for b in batched])
        made, places = _outside(level, lambda: cls.vmap(info, dims, *values), record)
        leaves, spec = tree_flatten(made)
        result = tree_unflatten(
            [_array(level, t, d) for t, d in zip(leaves, spread_tree(places, spec, "out_dims", cls))], spec
        )
        with no_grad():
            cls.setup_context(ctx, args, result)
        return result
    result = _forward(cls, ctx, args)
    if record and any(isinstance(v, Tensor) and v.requires_grad for v in values):
        # Again, as one operation of the tensors inside, whose gradient is that of the Function.
        made = _outside(level, lambda: _OverBatch.apply(cls, level, batched, *values), record)
        outputs = [t for t in tree_flatten(result)[0] if isinstance(t, Tensor)]
        for t, value in zip(outputs, made):
            level.note(value)
            t._a = Batched(value, level)
    return result


def _array(level: Vmap, t: Any, dim: int | None) -> Any:
    if not isinstance(t, Tensor):
        return t
    level.note(t)
    return wrap(Shared(t, level)) if dim is None else level.wrap(movedim(t, dim, 0) if dim else t)


class _OverBatch(Function):
    """A Function on a batch: forward and backward under vmap."""

    @staticmethod
    def forward(ctx: Any, cls: Any, level: Vmap, batched: list, *values: Any) -> tuple:
        ctx.inner = inner = FunctionCtx(cls, ctx.needs_input_grad[3:])
        ctx.size, ctx.randomness, ctx.batched = level.size, level.randomness, batched
        with Vmap(ctx.size, ctx.randomness) as own:
            result = _forward(cls, inner, [_taken(own, v, b) for v, b in zip(values, batched)])
            outputs = [t for t in tree_flatten(result)[0] if isinstance(t, Tensor)]
            made = {id(t): _whole(own, t) for t in outputs}
            saved = [(None, False) if t is None else _given(own, t, made) for t in inner._saved]
            ctx.mark_non_differentiable(*[made[id(t)] for t in inner._plain if id(t) in made])
        inner._saved = ()
        ctx.kinds = [b for _, b in saved]
        ctx.save_for_backward(*[v for v, _ in saved])
        ctx.set_materialize_grads(inner._materialize)
        return tuple([made[id(t)] for t in outputs])

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> tuple:
        inner, cls = ctx.inner, ctx.inner.function
        with Vmap(ctx.size, ctx.randomness) as level:
            inner._saved = tuple(
                [None if t is None else _taken(level, t, b) for t, b in zip(ctx.saved_tensors, ctx.kinds)]
            )
            rule = cls.vjp or cls.backward
            found = rule(inner, *[None if g is None else level.wrap(g) for g in gs])
            inner._saved = ()
            found = found if isinstance(found, tuple) else (found,)
            grads = []
            for g, batched in zip(found, ctx.batched):
                value = None if g is None else _whole(level, g)
                grads.append(value if value is None or batched else value.sum(0))
        return None, None, None, *grads


def _taken(level: Vmap, value: Any, batched: bool) -> Any:
    if not isinstance(value, Tensor):
        return value
    return level.wrap(value) if batched else wrap(level.lift(value))


def _whole(level: Vmap, t: Tensor) -> Tensor:
    """A tensor of the level with the batch first, repeated if it has none."""
    value = level.inside(t)
    if value is not None:
        return value
    value = level.shared(t)
    return expand_op(value, shape=(level.size, *value._a.shape))


def _given(level: Vmap, t: Tensor, made: dict) -> tuple[Tensor, bool]:
    """(tensor, whether it has the batch) of what was saved."""
    if id(t) in made:
        return made[id(t)], True
    value = level.inside(t)
    return (level.shared(t), False) if value is None else (value, True)


# ---- forward mode ----
def _in_forward_mode(level: Forward, cls: Any, ctx: FunctionCtx, args: tuple, record: bool) -> Any:
    result = _forward(cls, ctx, args)
    primals = [level.parts(a)[0] if isinstance(a, Tensor) else a for a in args]
    tangents = [level.parts(a)[1] if isinstance(a, Tensor) else None for a in args]
    made, found = _outside(level, lambda: _derivative(cls, primals, tangents), record)
    outputs = [t for t in tree_flatten(result)[0] if isinstance(t, Tensor)]
    for t, value, tangent in zip(outputs, made, found):
        level.note(value)
        t._a = level.lift(value) if tangent is None else level.wrap(value, tangent)._a
    return result


def _derivative(cls: Any, primals: list, tangents: list) -> tuple[list, list]:
    """The outputs, and their tangents by the Function's `jvp`, or, if it has none, from its `backward`."""
    from ..autograd.function import called

    result, inner = called(cls, tuple(primals))
    outputs = [t for t in tree_flatten(result)[0] if isinstance(t, Tensor)]
    if cls.jvp is None:
        found = list(by_double_backward(lambda *given: cls.apply(*given), primals, tangents, {}))
        return outputs, found
    if inner._materialize:
        tangents = [
            zeros_like(x) if t is None and isinstance(x, Tensor) and x.is_floating_point() else t
            for x, t in zip(primals, tangents)
        ]
    kept = inner._node, inner._saved
    inner._node, inner._saved = None, inner._for_forward
    found = cls.jvp(inner, *tangents)
    inner._for_forward = ()
    inner._node, inner._saved = kept
    found = list(found) if isinstance(found, (tuple, list)) else [found]
    if len(found) != len(outputs):
        raise RuntimeError(
            f"{cls.__name__}.jvp: expected {len(outputs)} tangents, one an output, but got {len(found)}"
        )
    for y, t in zip(outputs, found):
        if t is not None and t.shape != y.shape:
            raise RuntimeError(
                f"{cls.__name__}.jvp: a tangent has shape {tuple(t.shape)}, its output {tuple(y.shape)}; they must agree"
            )
    return outputs, found
