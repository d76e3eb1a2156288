"""x · Φ(x) of float32 arrays on the CPU, and a node for it that keeps its derivative for the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.modes import MODES, state
from ..autograd.node import LEAF, Node, new_node
from ..tensor import Tensor, wrap
from .saved import Saving, from_saved, unpack

SINGLE = np.dtype(np.float32)


def _constant(value: float) -> np.ndarray:
    """A number as an array: beside a Python float a ufunc takes twice the time to begin."""
    return np.array(value, SINGLE)


# -log(Φ(x) / Φ(-x)) / x as a polynomial in x² on [0, 36], the highest power first. Least largest error of Φ (2.9e-8, by
# Lawson's algorithm): half of float32's last digit. Beyond, its product with |x| stays below -18, and Φ is 0 or 1.
_LOGIT = (
    -3.51234734e-09,
    2.64526870e-07,
    -7.92949099e-06,
    1.10612398e-04,
    6.51899291e-05,
    -7.26661691e-02,
    -1.59576988e00,
)
_FIRST, *_BETWEEN, _LAST = map(_constant, _LOGIT)
_ONE, _MINUS_HALF, _INV_SQRT_2PI = map(_constant, (1.0, -0.5, 0.3989422804014327))
_CHUNK = 1 << 16  # numbers, of which the second cache holds three times as many


def _gelu(x: np.ndarray, slope: bool) -> tuple[np.ndarray, np.ndarray]:
    """x Φ(x) of a contiguous vector of float32, and its derivative Φ(x) + x Φ'(x) if that is wanted."""
    add, multiply, exp = np.add, np.multiply, np.exp
    y, derivative = np.empty_like(x), np.empty_like(x)
    scratch = np.empty(min(x.size, _CHUNK), SINGLE)
    with np.errstate(over="ignore", invalid="ignore"):  # of infinities
        for start in range(0, x.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            a, p = x[part], derivative[part]
            square = multiply(a, a, scratch[: a.size])
            multiply(square, _FIRST, p)
            for c in _BETWEEN:
                add(p, c, p)
                multiply(p, square, p)
            add(p, _LAST, p)
            multiply(p, a, p)
            exp(p, p)
            add(p, _ONE, p)
            np.divide(_ONE, p, p)
            multiply(a, p, y[part])
            if slope:
                multiply(square, _MINUS_HALF, square)
                exp(square, square)
                multiply(square, a, square)
                multiply(square, _INV_SQRT_2PI, square)
                add(p, square, p)
    return y, derivative


def gelu_cpu(x: np.ndarray) -> np.ndarray:
    """x Φ(x) of a float32 array."""
    return _gelu(np.asarray(x).reshape(-1), False)[0].reshape(np.shape(x))


class _Gelu(Saving):
    """gelu of a float32 array in few steps. Its node keeps the derivative, which costs least where x is at hand."""

    node_name = "GeluBackward0"
    inputs = ("self",)

    def of(self, input: Tensor, x: np.ndarray) -> Tensor:
        """The output for a tensor whose array is `x`."""
        edge = input._edge
        if edge is None or (MODES and not state.grad):
            return wrap(gelu_cpu(x))
        y, derivative = _gelu(x.reshape(-1), True)
        output = wrap(y.reshape(x.shape))
        cell = input._version_cell()
        edges = (input if edge is LEAF else edge,)
        output._edge = new_node(self, edges, (x, derivative), (cell, cell[0]))
        return output

    def _saves(self, node: Node) -> Sequence[tuple[str, int]]:
        return [("in", 0), ("", 1)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, derivative = unpack(node)
        if create_graph:
            from .activations import gelu_slope

            return (gelu_slope(g, from_saved(x, node.edges[0])),)
        return (np.multiply(g, derivative.reshape(x.shape)),)


gelu_of = _Gelu().of
