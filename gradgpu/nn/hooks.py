"""Hooks of modules: functions that run before or after a module's forward or backward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..autograd.function import Function
from ..tensor import Tensor


class _Boundary(Function):
    """The identity, with a callback that sees, and may replace, the gradients passing through it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(ctx: Any, callback: Callable[[tuple], tuple], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.callback = callback
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.callback(grads))


def _through(callback: Callable[[tuple], tuple], values: Any) -> Any:
    """Send the tensors among values (a tensor, tuple, list or dict) through one _Boundary."""
    items = values if isinstance(values, (tuple, list)) else (values,)
    if isinstance(values, dict):
        items = tuple(values.values())
    at = [i for i, v in enumerate(items) if isinstance(v, Tensor) and v.requires_grad]
    if not at:
        return values
    passed = _Boundary.apply(callback, *(items[i] for i in at))
    passed = passed if isinstance(passed, tuple) else (passed,)
    result = list(items)
    for i, tensor in zip(at, passed):
        result[i] = tensor
    if isinstance(values, dict):
        return type(values)(zip(values.keys(), result))
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*result)
    return type(values)(result) if isinstance(values, (tuple, list)) else result[0]


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


# Hooks of all modules: {id: (hook, flags)} of each kind. They are gone through by copies: a hook, or another thread, may
# add and remove some meanwhile.
GLOBAL: dict[str, dict[int, Any]] = {"forward_pre": {}, "forward": {}, "backward_pre": {}, "backward": {}}


def _changed_arguments(module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """What the forward pre-hooks make of the arguments."""
    for hook, _ in list(GLOBAL["forward_pre"].values()):
        changed = hook(module, args)
        if changed is not None:
            args = _as_tuple(changed)
    for key, hook in list(module._forward_pre_hooks.items()):
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = _as_tuple(changed)
    return args, kwargs


def _forward_hooks(module: Any) -> list[tuple[Any, bool, bool]]:
    """(hook, with kwargs, always called) of each forward hook, those of all modules first."""
    common = [
        (hook, flags["with_kwargs"], flags["always_call"]) for hook, flags in list(GLOBAL["forward"].values())
    ]
    with_kwargs, always = module._forward_hooks_with_kwargs, module._forward_hooks_always_called
    return common + [
        (hook, key in with_kwargs, key in always) for key, hook in list(module._forward_hooks.items())
    ]


def _forward(module: Any, args: tuple, kwargs: dict) -> Any:
    """Forward and its hooks; where one raises, the hooks that are always called are called before the error goes on."""
    hooks = _forward_hooks(module)
    result = None
    called = 0
    try:
        result = module.forward(*args, **kwargs)
        for hook, with_kwargs, _ in hooks:
            called += 1
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if changed is not None:
                result = changed
    except Exception:
        for hook, with_kwargs, always in hooks[called:]:
            if always:
                with suppress(Exception):  # the first error is the one to show
                    hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        raise
    return result


def call_with_hooks(module: Any, args: tuple, kwargs: dict) -> Any:
    """``module(*args, **kwargs)`` for a module that has hooks, in PyTorch's order.

    Forward pre-hooks, forward, forward hooks; full backward pre-hooks see the gradients of the
    outputs, full backward hooks those of the inputs and of the outputs. Hooks of all modules come before a module's own.
    """
    args, kwargs = _changed_arguments(module, args, kwargs)
    before, after = (
        [hook for hook, _ in list(GLOBAL[kind].values())] + list(own.values())
        for kind, own in (("backward_pre", module._backward_pre_hooks), ("backward", module._backward_hooks))
    )
    if not before and not after:
        return _forward(module, args, kwargs)
    seen: dict[str, tuple] = {}  # the gradients of the outputs, for the hooks that run at the inputs

    def at_input(grads: tuple) -> tuple:
        grad_output = seen.pop("grad_output", None)
        if grad_output is None:  # the gradient came past the outputs, in a second derivative
            return grads
        for hook in after:
            changed = hook(module, grads, grad_output)
            if changed is not None:
                grads = _as_tuple(changed)
        return grads

    def at_output(grads: tuple) -> tuple:
        for hook in before:
            changed = hook(module, grads)
            if changed is not None:
                grads = _as_tuple(changed)
        seen["grad_output"] = grads
        if not reaches_input:
            for hook in after:
                hook(module, (None,) * len(args), grads)
        return grads

    reaches_input = any(isinstance(a, Tensor) and a.requires_grad for a in args)
    return _through(at_output, _forward(module, _through(at_input, args), kwargs))
