"""Function transforms: derivatives as functions of functions, as in `torch.func`.

>>> import gradgpu as gg
>>> gg.func.grad(lambda x: x ** 3)(gg.tensor(2.))
tensor(12.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import autograd
from .autograd import functional
from .autograd.modes import enable_grad
from .tensor import Tensor


def _leaves(tree: Any) -> list[Tensor]:
    """The tensors of nested tuples, lists and dicts, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [t for value in tree.values() for t in _leaves(value)]
    if isinstance(tree, (tuple, list)):
        return [t for value in tree for t in _leaves(value)]
    return []


def _replaced(tree: Any, leaves: Any) -> Any:
    """The same nesting with the next tensors of an iterator."""
    if isinstance(tree, Tensor):
        return next(leaves)
    if isinstance(tree, dict):
        return {key: _replaced(value, leaves) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(_replaced(value, leaves) for value in tree)
    return tree


def _positions(argnums: Any, count: int, name: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in numbers:
        if not -count <= n < count:
            raise RuntimeError(
                f"{name}: argnums={argnums}, but the function was called with {count} positional arguments"
            )
    return tuple(n % count for n in numbers)


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (gradient, value) of a scalar function; with `has_aux`, (gradient, (value, aux)).

    Args:
        func: returns a tensor with one element, or (that, anything) with `has_aux`.
        argnums: the argument (int) or arguments (tuple) to differentiate; each may be nested tuples, lists and dicts.
    """

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        numbers = _positions(argnums, len(args), "grad")
        chosen = [args[n] for n in numbers]
        with enable_grad():
            inputs = [
                t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in _leaves(chosen)
            ]
            fresh = _replaced(chosen, iter(inputs))
            given = list(args)
            for n, value in zip(numbers, fresh):
                given[n] = value
            result = func(*given, **kwargs)
            value, aux = result if has_aux else (result, None)
            if not isinstance(value, Tensor) or value.numel() != 1:
                seen = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise RuntimeError(
                    f"grad: expected the function to return a tensor with one element, got {seen}"
                )
            outer = any(t.requires_grad for t in _leaves(list(args)))
            found = (
                autograd.grad(value.reshape(()), inputs, create_graph=outer, materialize_grads=True)
                if value.requires_grad
                else [t.detach() * 0 for t in inputs]
            )
        trees = _replaced(chosen, iter(found))
        gradient = trees[0] if isinstance(argnums, int) else tuple(trees)
        value = value if outer else value.detach()
        return gradient, ((value, aux) if has_aux else value)

    return transformed


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function, as a function of the same arguments. Nests for higher derivatives.

    >>> import gradgpu as gg
    >>> gg.func.grad(gg.func.grad(lambda x: x ** 3))(gg.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return transformed


def value_and_grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (value, gradient), the order that JAX has."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return transformed


def vjp(func: Callable, *primals: Tensor) -> tuple:
    """(outputs, function from cotangents to the tuple of gradients of `primals`)."""
    with enable_grad():
        fresh = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in primals]
        outputs = func(*fresh)

    def pull(*cotangents: Tensor) -> Any:
        several = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        weights = (
            cotangents[0] if len(cotangents) == 1 and isinstance(cotangents[0], (tuple, list)) else cotangents
        )
        found = autograd.grad(several, fresh, weights, retain_graph=True, materialize_grads=True)
        return tuple(found)

    closed = tuple(o.detach() for o in outputs) if isinstance(outputs, (tuple, list)) else outputs.detach()
    return closed, pull


def jvp(func: Callable, primals: tuple, tangents: tuple) -> tuple:
    """(outputs, their derivative along `tangents`), by two backward passes."""
    return functional.jvp(func, tuple(primals), tuple(tangents))


def jacrev(func: Callable, argnums: Any = 0) -> Callable:
    """The Jacobian of a function, a row at a time by backward passes."""

    @functools.wraps(func)
    def transformed(*args: Any) -> Any:
        numbers = _positions(argnums, len(args), "jacrev")

        def partial(*chosen: Tensor) -> Any:
            given = list(args)
            for n, value in zip(numbers, chosen):
                given[n] = value
            return func(*given)

        outer = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        table = functional.jacobian(partial, tuple(args[n] for n in numbers), create_graph=outer)
        return (
            table[0]
            if isinstance(argnums, int) and isinstance(table, tuple) and isinstance(table[0], Tensor)
            else table
        )

    return transformed


def jacfwd(func: Callable, argnums: int = 0) -> Callable:
    """The Jacobian of a function of one tensor, a column at a time by Jacobian-vector products."""

    @functools.wraps(func)
    def transformed(*args: Any) -> Any:
        from .ops.creation import zeros_like
        from .ops.join import stack

        (number,) = _positions(argnums, len(args), "jacfwd")

        def partial(x: Tensor) -> Any:
            return func(*args[:number], x, *args[number + 1 :])

        x = args[number]
        columns = []
        for i in range(x.numel()):
            unit = zeros_like(x).detach()
            unit.view(-1)[i] = 1
            columns.append(functional.jvp(partial, x, unit, create_graph=x.requires_grad)[1])
        made = stack(columns, -1)
        return made.reshape((*made.shape[:-1], *x.shape))

    return transformed


def hessian(func: Callable, argnums: int = 0) -> Callable:
    """The matrix of second derivatives of a scalar function."""
    return jacrev(grad(func, argnums), argnums)


def functional_call(
    module: Any, parameters_and_buffers: Any, args: Any = None, kwargs: dict | None = None
) -> Any:
    """Calls a module with other values for some of its parameters and buffers (a dict by name, or several dicts)."""
    values: dict[str, Tensor] = {}
    for part in (
        parameters_and_buffers
        if isinstance(parameters_and_buffers, (tuple, list))
        else (parameters_and_buffers,)
    ):
        values.update(part)
    known = {name for name, _ in module.named_parameters()} | {name for name, _ in module.named_buffers()}
    unknown = sorted(set(values) - known)
    if unknown:
        raise KeyError(f"functional_call: the module has no parameters or buffers named {unknown}")
    before: list[tuple[dict, str, Any]] = []
    try:
        for name, value in values.items():
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path) if path else module
            table = owner._parameters if last in owner._parameters else owner._buffers
            before.append((table, last, table[last]))
            table[last] = value
        arguments = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*arguments, **(kwargs or {}))
    finally:
        for table, last, value in reversed(before):
            table[last] = value


__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "value_and_grad", "vjp",
]  # fmt: skip
