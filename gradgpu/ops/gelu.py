"""x · Φ(x) of float32 arrays on the CPU, and a node for it that keeps Φ(x) for the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.modes import state
from ..autograd.node import LEAF, Node, new_node
from ..tensor import Tensor, wrap
from .registry import Saving, from_saved, unpack

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


def _cdf(x: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Φ of a contiguous vector of float32; x Φ(x) goes into `product`."""
    add, multiply = np.add, np.multiply
    y = np.empty_like(x)
    scratch = np.empty(min(x.size, _CHUNK), SINGLE)
    with np.errstate(over="ignore"):
        for start in range(0, x.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            a, p = x[part], y[part]
            square = multiply(a, a, scratch[: a.size])
            multiply(square, _FIRST, p)
            for c in _BETWEEN:
                add(p, c, p)
                multiply(p, square, p)
            add(p, _LAST, p)
            multiply(p, a, p)
            np.exp(p, p)
            add(p, _ONE, p)
            np.divide(_ONE, p, p)
            multiply(a, p, product[part])
    return y


def gelu_cpu(x: np.ndarray) -> np.ndarray:
    """x Φ(x) of a float32 array."""
    flat = np.asarray(x).reshape(-1)
    made = np.empty_like(flat)
    _cdf(flat, made)
    return made.reshape(np.shape(x))


def _slope(g: np.ndarray, x: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """g (Φ(x) + x Φ'(x))."""
    multiply = np.multiply
    y = np.empty_like(x)
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        a, p = x[part], y[part]
        multiply(a, a, p)
        multiply(p, _MINUS_HALF, p)
        np.exp(p, p)
        multiply(p, a, p)
        multiply(p, _INV_SQRT_2PI, p)
        np.add(p, phi[part], p)
        multiply(p, g[part], p)
    return y


class _Gelu(Saving):
    """gelu of a float32 array in few steps."""

    node_name = "GeluBackward0"
    inputs = ("self",)

    def of(self, input: Tensor, x: np.ndarray) -> Tensor:
        """The output for a tensor whose array is `x`."""
        flat = x.reshape(-1)
        made = np.empty_like(flat)
        phi = _cdf(flat, made)
        output = wrap(made.reshape(x.shape))
        edge = input._edge
        if edge is None or not state.grad:
            return output
        cell = input._version_cell()
        edges = (input if edge is LEAF else edge,)
        output._edge = new_node(self, edges, (x, phi), (cell, cell[0]))
        return output

    def _saves(self, node: Node) -> Sequence[tuple[str, int]]:
        return [("in", 0), ("", 1)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, phi = unpack(node)
        if create_graph:
            from .pointwise import gelu_slope

            return (gelu_slope(g, from_saved(x, node.edges[0])),)
        return (_slope(g.reshape(-1), x.reshape(-1), phi).reshape(x.shape),)


gelu_of = _Gelu().of
