"""Ops with a fused backward pass that has no gradient rule of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd.modes import enable_grad, state
from ..autograd.node import Node, new_node
from ..tensor import run_backward, wrap
from .registry import Op
from .saved import PASS, unpack


class Fused(Op):
    """An op of many steps with fused code forward and backward, and the same made of other ops: `composed`.

    First derivatives come from `grads`. Under create_graph the result is computed again by `composed` (of Tensors), and
    its gradients are differentiated as any others, so that the op has derivatives of every order. `grads` must ask for
    all inputs by name.
    """

    def __init__(
        self,
        name: str,
        cpu: Callable,
        cuda: Callable,
        grads: Callable,
        composed: Callable,
        differentiable: Any = True,
    ):
        super().__init__(name, cpu, cuda, grads=grads, differentiable=differentiable)
        self.composed = composed

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        if not create_graph:
            return super().vjp(node, g, edges, False)
        saved = dict(zip(node.plan.saves, unpack(node)))
        return through_composed(
            self.composed, [saved["in", k] for k in range(len(self.inputs))], node, g, edges
        )


def through_composed(composed: Callable, arrays: Sequence[Any], node: Node, g: Any, edges: tuple) -> list:
    """The gradients, as Tensors to differentiate further, of an op on `arrays` that does what `composed` does.

    Args:
        g: the gradient of the output, or a list of those of the outputs.
    """
    inputs: list[Any] = [None if a is None else wrap(a) for a in arrays]
    # Nodes of their own: what is differentiated for are these places, though one tensor may stand in several.
    for x, edge in zip(inputs, node.edges):
        if edge is not None:
            x._edge = new_node(PASS, (edge,))
    record = state.grad  # no: what transforms work on is done by `composed`, too
    with enable_grad():
        outputs = composed(*inputs, **node.attrs)
    several = outputs if type(outputs) is tuple else (outputs,)
    pairs = [
        (y, h) for y, h in zip(several, g if type(g) is list else [g]) if h is not None and y.requires_grad
    ]
    wanted = [x for x, edge in zip(inputs, edges) if edge is not None]
    found = iter(run_backward([y for y, _ in pairs], [h for _, h in pairs], True, record, wanted))
    return [None if edge is None else next(found) for edge in edges]
