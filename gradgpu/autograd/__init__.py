"""Automatic differentiation: `backward`, `grad`, modes, custom functions, checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..tensor import Size, Tensor, run_backward, wrap
from .engine import watchers
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
    state,
)


def _many(x: Any) -> tuple:
    if isinstance(x, (Tensor, graph.GradientEdge)) or not isinstance(x, Iterable):
        return (x,)
    return tuple(x)  # the values of a dict, a generator, ...


def _root_gradients(tensors: Sequence[Any], gradients: Sequence[Any]) -> list[Tensor]:
    """The gradients to start from, one a tensor or `GradientEdge`, made where they may be left out."""
    if len(gradients) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(gradients)} gradients")
    made = []
    for i, (t, g) in enumerate(zip(tensors, gradients)):
        if isinstance(t, graph.GradientEdge):
            if t.ownership_token is None:
                if g is None:
                    raise RuntimeError(
                        f"element {i} is a GradientEdge that tells no shape: pass its gradient, or take the edge with "
                        "get_gradient_edge(tensor)"
                    )
                made.append(g)
                continue
            _, shape, dtype, device = t.ownership_token
        elif not isinstance(t, Tensor):
            raise TypeError(
                f"element {i} of tensors must be a Tensor or GradientEdge, got {type(t).__name__}"
            )
        elif not t.requires_grad:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        else:
            shape, dtype, device = t._a.shape, t.dtype, t.device
        if g is None:
            if math.prod(shape) != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs; this one has shape {tuple(shape)}: "
                    "pass gradient=..., or reduce it first, e.g. with .sum()"
                )
            if dtype.is_complex:
                raise RuntimeError(
                    f"grad can be implicitly created only for real scalar outputs but got {dtype}: pass gradient=..., "
                    "or make a real number of it first, e.g. with .abs()"
                )
            g = _ones(shape, dtype, device)
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif tuple(g._a.shape) != tuple(shape):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of {Size(shape)}."
            )
        elif g.dtype.is_complex != dtype.is_complex:
            raise RuntimeError(
                "For complex Tensors, both grad_output and output are required to have the same dtype. "
                f"Mismatch in dtype: grad_output[{i}] has a dtype of {g.dtype} and output[{i}] has a dtype of {dtype}."
            )
        if g.device is not device:
            raise RuntimeError(
                f"gradient {i} is on {g.device}, its tensor on {device}; use gradient.to('{device}')"
            )
        made.append(g if g.dtype is dtype else g.to(dtype))
    return made


def _targets(inputs: Sequence[Any]) -> None:
    """Checks what gradients are asked for."""
    for t in inputs:
        if isinstance(t, graph.GradientEdge):
            continue
        if not isinstance(t, Tensor):
            raise TypeError(f"inputs must be Tensors or GradientEdges, got {type(t).__name__}")
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")


def _ones(shape: tuple, dtype: Any, device: Any) -> Tensor:
    if device.type == "cpu":
        return wrap(np.ones(shape, dtype.np))
    from ..ops.creation import filled

    return filled(tuple(shape), 1, dtype, device, False)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Adds the gradients of `tensors` (weighted by `grad_tensors`) to the `.grad` of the leaves they depend on.

    See `Tensor.backward` for the arguments; `tensors` and `inputs` may be `graph.GradientEdge`s too.
    """
    several = _many(tensors)
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use "
                "`grad_tensors`."
            )
        grad_tensors = grad_variables
    gradients = (None,) * len(several) if grad_tensors is None else _many(grad_tensors)
    roots = _root_gradients(several, gradients)
    targets = None if inputs is None else _many(inputs)
    if targets is not None and not targets:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    _targets(targets or ())
    for t in targets or ():
        if isinstance(t, Tensor):
            t.retain_grad()
    run_backward(
        several, roots, create_graph if retain_graph is None else retain_graph, create_graph, targets, True
    )


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; `.grad` of leaves stays as it is.

    Args:
        outputs, inputs: tensors, or places in the graph (`graph.GradientEdge`). The inputs may be a dict: so are the gradients then.
        grad_outputs: one weight tensor an output (may be None for scalars).
        retain_graph, create_graph: as in `Tensor.backward`.
        only_inputs: has no effect, as in PyTorch; `backward` gives the gradients of all leaves.
        allow_unused: give None for inputs that outputs do not depend on, instead of raising.
        is_grads_batched: `grad_outputs` have a leading batch dimension; one gradient an entry, stacked.
        materialize_grads: give zeros instead of None.

    >>> import gradgpu as gg
    >>> x = gg.tensor(3., requires_grad=True)
    >>> gg.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    if type(inputs) is dict:
        found = grad(
            outputs, tuple(inputs.values()), grad_outputs, retain_graph, create_graph, only_inputs, allow_unused,
            is_grads_batched, materialize_grads,
        )  # fmt: skip
        return dict(zip(inputs, found))
    if isinstance(inputs, Mapping):
        raise TypeError(
            f"`inputs` argument to `grad()` must be a dict, not {type(inputs).__name__}. Other Mapping types are not supported."
        )
    several, targets = _many(outputs), _many(inputs)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not targets:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    _targets(targets)
    keep = create_graph if retain_graph is None else retain_graph
    weights = (None,) * len(several) if grad_outputs is None else _many(grad_outputs)
    if is_grads_batched:
        return _batched_grad(several, targets, weights, keep, create_graph, allow_unused, materialize_grads)
    found = run_backward(several, _root_gradients(several, weights), keep, create_graph, targets)
    for i, (g, t) in enumerate(zip(found, targets)):
        if g is None:
            if materialize_grads:
                from ..ops.creation import zeros_like

                if isinstance(t, graph.GradientEdge):
                    raise RuntimeError(
                        "materialize_grads cannot be used when the given input is a GradientEdge"
                    )
                found[i] = zeros_like(t, requires_grad=create_graph)
            elif not allow_unused:
                raise RuntimeError(
                    "One of the differentiated Tensors appears to not have been used in the graph. "
                    "Set allow_unused=True if this is the desired behavior."
                )
    return tuple(found)


def _batched_grad(
    several: tuple,
    targets: tuple,
    weights: Any,
    keep: bool,
    create_graph: bool,
    unused: Any,
    materialize: bool,
) -> tuple:
    """`grad` for each entry of the weights' first dimension, in one pass."""
    from ..ops.vectorize import vmap

    found: list[Any] = []

    def one(*rows: Tensor) -> tuple:
        left = iter(rows)
        each = [None if w is None else next(left) for w in weights]
        found[:] = grad(several, targets, each, keep, create_graph, True, unused, False, materialize)
        return tuple([g for g in found if g is not None])

    made = iter(vmap(one)(*[w for w in weights if w is not None]))
    return tuple([None if g is None else next(made) for g in found])


class _VariableMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """PyTorch's historic wrapper: the tensor itself, with `requires_grad` set. Every tensor is a `Variable`.

    >>> import gradgpu as gg
    >>> x = gg.autograd.Variable(gg.ones(2), requires_grad=True)
    >>> type(x) is gg.Tensor, isinstance(x, gg.autograd.Variable)
    (True, True)
    """

    def __new__(cls, data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
        return data.detach().requires_grad_() if requires_grad else data


def _is_checkpoint_valid() -> bool:
    """Whether the backward pass that runs may meet checkpoints with reentrance: not `autograd.grad`, nor one with `inputs`.

    Passes that begin after the first call tell what they are (they do not before, which is quicker).

    >>> _is_checkpoint_valid()
    True
    """
    if not watchers:
        watchers.append(None)
    return state.task is None or state.task.useful is None


from . import forward_ad, functional, grad_mode, graph  # noqa: E402  (they need the names above)
from .function import Function  # noqa: E402
from .grad_mode import is_multithreading_enabled, set_multithreading_enabled  # noqa: E402
from .gradcheck import gradcheck, gradgradcheck  # noqa: E402

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "forward_ad", "functional", "grad", "gradcheck", "gradgradcheck", "graph", "inference_mode",
    "grad_mode", "is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled", "is_multithreading_enabled", "no_grad", "set_detect_anomaly",
    "set_grad_enabled", "set_multithreading_enabled",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in ("profiler", "variable"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
