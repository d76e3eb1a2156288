"""Hooks of modules: functions that run before or after a module's forward or backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.function import Function
from ..tensor import Tensor


class _Boundary(Function):
    """The identity, with a callback that sees, and may replace, the gradients passing through it."""

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


def call_with_hooks(module: Any, args: tuple, kwargs: dict) -> Any:
    """``module(*args, **kwargs)`` for a module that has hooks, in PyTorch's order.

    Forward pre-hooks, forward, forward hooks; full backward pre-hooks see the gradients of the
    outputs, full backward hooks those of the inputs and of the outputs.
    """
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

    wants_backward = module._backward_hooks or module._backward_pre_hooks
    seen: dict[str, tuple] = {}  # the gradients of the outputs, for the hooks that run at the inputs

    def at_input(grads: tuple) -> tuple:
        for hook in list(module._backward_hooks.values()):
            changed = hook(module, grads, seen.get("grad_output", ()))
            if changed is not None:
                grads = _as_tuple(changed)
        return grads

    def at_output(grads: tuple) -> tuple:
        for hook in list(module._backward_pre_hooks.values()):
            changed = hook(module, grads)
            if changed is not None:
                grads = _as_tuple(changed)
        seen["grad_output"] = grads
        if not reaches_input:
            for hook in list(module._backward_hooks.values()):
                hook(module, (None,) * len(args), grads)
        return grads

    reaches_input = any(isinstance(a, Tensor) and a.requires_grad for a in args)
    if wants_backward:
        args = _through(at_input, args)
    result = module.forward(*args, **kwargs)
    for key, hook in list(module._forward_hooks.items()):
        changed = (
            hook(module, args, kwargs, result)
            if key in module._forward_hooks_with_kwargs
            else hook(module, args, result)
        )
        if changed is not None:
            result = changed
    if wants_backward:
        result = _through(at_output, result)
    return result
