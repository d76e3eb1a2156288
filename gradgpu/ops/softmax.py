"""softmax, log_softmax and softmin."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.array import contiguous, empty
from ..cuda.launch import Kernel
from ..dtypes import FLOATS
from ..tensor import Tensor, wrap
from . import pointwise as _pw
from .reduce import require_tensor, sum_op
from .registry import Op, method
from .saved import Saving, from_saved, unpack
from .sums import float_max, float_sum, in_range

__all__ = ["log_softmax", "softmax"]

FUNCTIONAL = ["log_softmax", "softmax", "softmin"]

_PARAMS = "PPPqqqii"  # x, g, out, outer, n, inner, width, unused
_KERNELS = {
    (name, kind): Kernel("softmax.cu", f"{name}_{kind}", _PARAMS, T=FLOATS)
    for name in ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward")
    for kind in ("rows", "block", "columns")
}
_LONGEST_ROW = 1024  # that a warp holds in registers


def _launch(name: str, x: Any, g: Any, dim: int) -> Any:
    shape = x.shape
    x = contiguous(x)
    out = empty(shape, x.dtype)
    if not x.size:
        return out
    outer, n, inner = prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])
    width, gptr = 0, 0
    if g is not None:
        g = contiguous(g)
        gptr = g.ptr
    block: Any
    if inner > 1:
        kind, grid, block = "columns", -(-outer * inner // 32), (32, 8)
    elif n <= _LONGEST_ROW:
        width = min(32, 1 << (n - 1).bit_length())
        kind, grid, block = "rows", -(-outer // (128 // width)), 128
    else:
        kind, grid, block = "block", outer, 256 if n < 8192 else 1024
    _KERNELS[name, kind][x.dtype](grid, block, x.ptr, gptr, out.ptr, outer, n, inner, width, 0)
    return out


# ---- softmax ----
_MANY = 4096  # elements, from which on to find the largest of each row costs more than to find out that it is not needed


def _softmax_cpu(x, *, dim):
    d = x.dtype
    if not x.size:
        return x.copy()
    if d.itemsize == 2:
        return _softmax_cpu(x.astype(np.float32), dim=dim).astype(d)
    if x.size >= _MANY:
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.exp(x)
            total = float_sum(y, (dim,), True)
            if in_range(total):
                return np.divide(y, total, y)
    y = np.subtract(x, float_max(x, dim))
    np.exp(y, y)
    return np.divide(y, float_sum(y, (dim,), True), y)


def _softmax_backward_cpu(grad, out, *, dim):
    d = out.dtype
    if d.itemsize == 2:
        return _softmax_backward_cpu(grad.astype(np.float32), out.astype(np.float32), dim=dim).astype(d)
    made = np.multiply(grad, out)
    made -= float_sum(made, (dim,), True) * out
    return made


def _sum(x: Any, dim: int) -> Any:
    return sum_op(x, dims=(dim,), keepdim=True)


# y (g − Σ g y)
softmax_backward_op = Op(
    "softmax_backward",
    cpu=_softmax_backward_cpu,
    cuda=lambda grad, out, *, dim: _launch("softmax_backward", out, grad, dim),
    grad={
        "grad": lambda g, out, *, dim: softmax_backward_op(g, out, dim=dim),
        "out": lambda g, grad, out, *, dim: g * (grad - _sum(grad * out, dim)) - grad * _sum(g * out, dim),
    },
)
softmax_op = Op(
    "softmax",
    cpu=_softmax_cpu,
    cuda=lambda x, *, dim: _launch("softmax", x, None, dim),
    grad={"x": lambda g, y, *, dim: softmax_backward_op(g, y, dim=dim)},
)


# ---- log-softmax ----
def _log_softmax_cpu(x, *, dim):
    d = x.dtype
    if not x.size:
        return x.copy()
    if d.itemsize == 2:
        return _log_softmax_cpu(x.astype(np.float32), dim=dim).astype(d)
    if x.size >= _MANY:
        with np.errstate(over="ignore", invalid="ignore"):
            total = float_sum(np.exp(x), (dim,), True)
            if in_range(total, 1e4):  # its logarithm then adds no rounding error to speak of
                return np.subtract(x, np.log(total, total))
    y = np.subtract(x, float_max(x, dim))
    total = float_sum(np.exp(y), (dim,), True)
    return np.subtract(y, np.log(total, total), y)


def _log_softmax_backward_cpu(grad, out, *, dim):
    d = out.dtype
    if d.itemsize == 2:
        return _log_softmax_backward_cpu(grad.astype(np.float32), out.astype(np.float32), dim=dim).astype(d)
    made = np.exp(out)
    made *= float_sum(grad, (dim,), True)
    return np.subtract(grad, made, made)


# g − exp(y) Σ g
log_softmax_backward_op = Op(
    "log_softmax_backward",
    cpu=_log_softmax_backward_cpu,
    cuda=lambda grad, out, *, dim: _launch("log_softmax_backward", out, grad, dim),
    grad={
        "grad": lambda g, out, *, dim: g - _sum(g * _pw.exp(out), dim),
        "out": lambda g, grad, out, *, dim: -g * _pw.exp(out) * _sum(grad, dim),
    },
)
log_softmax_op = Op(
    "log_softmax",
    cpu=_log_softmax_cpu,
    cuda=lambda x, *, dim: _launch("log_softmax", x, None, dim),
    grad={"x": lambda g, y, *, dim: log_softmax_backward_op(g, y, dim=dim)},
)


class _Short(Saving):
    """`softmax` or `log_softmax` of a float32 or float64 array on the CPU, in few steps."""

    inputs = ("x",)

    def __init__(self, op: Op, back: Op):
        self.node_name, self.cpu, self.back = op.node_name, op.cpu, back

    def of(self, input: Tensor, x: np.ndarray, dim: int) -> Tensor:
        """The result for a tensor whose array is `x`."""
        y = self.cpu(x, dim=dim)
        output = wrap(y)
        edge = input._edge
        if edge is not None and (not MODES or state.grad):
            cell = output._version_cell()
            edges = (input if edge is LEAF else edge,)
            output._edge = new_node(self, edges, (y,), (cell, cell[0]), {"dim": dim})
        return output

    def _saves(self, node: Node) -> list[tuple[str, int]]:
        return [("out", 0)]

    def saved_tensor(self, node: Node, position: int) -> Any:
        return from_saved(unpack(node)[position], node)

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        (y,) = unpack(node)
        return (self.back(g, from_saved(y, node) if create_graph else y, **node.attrs),)


_SHORT = {
    softmax_op: _Short(softmax_op, softmax_backward_op),
    log_softmax_op: _Short(log_softmax_op, log_softmax_backward_op),
}
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


# ---- public functions ----
def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=4,
    )
    return 0 if ndim in (0, 1, 3) else 1


def _along(name: str, op: Op, input: Tensor, dim: int | None, dtype: dt.dtype | None) -> Tensor:
    require_tensor(name, input)
    if dtype is not None and input.dtype is not dtype:
        input = input.to(dtype)
    if input._a.dtype.kind not in "fV":
        raise RuntimeError(
            f"{name}: not implemented for {input.dtype}; pass dtype=gradgpu.float32 or use x.float()"
        )
    ndim = input._a.ndim
    if dim is None:
        dim = _implicit_dim(name, ndim)
    n = ndim or 1
    if not -n <= dim < n:
        raise IndexError(
            f"{name}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    if not ndim:
        return op(input.reshape(1), dim=0).reshape(())
    x = input._a
    if type(x) is np.ndarray and x.dtype in _DIRECT and not (SPECIAL and state.special):
        return _SHORT[op].of(input, x, dim % n)
    return op(input, dim=dim % n)


@method
def softmax(input: Tensor, dim: int | None = None, dtype: dt.dtype | None = None) -> Tensor:
    """exp(input) divided by its sum along `dim`, computed without overflow. The result has the input's shape.

    With `dtype` the input is converted first.

    Raises:
        IndexError: `dim` is out of range.
        RuntimeError: the input is not floating point and no floating `dtype` is given.

    >>> import gradgpu as gg
    >>> gg.softmax(gg.tensor([0., 0.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _along("softmax", softmax_op, input, dim, dtype)


@method
def log_softmax(input: Tensor, dim: int | None = None, dtype: dt.dtype | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, more accurate than the two in turn; arguments as in `softmax`.

    >>> import gradgpu as gg
    >>> gg.log_softmax(gg.tensor([0., 0.]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return _along("log_softmax", log_softmax_op, input, dim, dtype)


def softmin(input: Tensor, dim: int | None = None, dtype: dt.dtype | None = None) -> Tensor:
    """softmax(-input) along `dim`.

    >>> import gradgpu as gg
    >>> gg.nn.functional.softmin(gg.tensor([0., 0.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _along("softmin", softmax_op, -input, dim, dtype)


def _softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of `softmax` from its result, as Functions of one's own with a softmax in them ask for it.

    >>> import gradgpu as gg
    >>> gg._softmax_backward_data(gg.tensor([1., 0.]), gg.tensor([0.5, 0.5]), -1, gg.float32)
    tensor([ 0.2500, -0.2500])
    """
    return softmax_backward_op(grad_output, output, dim=output._dim(dim, "softmax")).to(input_dtype)


def _log_softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of `log_softmax` from its result.

    >>> import gradgpu as gg
    >>> gg._log_softmax_backward_data(gg.tensor([1., 0.]), gg.tensor([0., 0.]), -1, gg.float32)
    tensor([ 0., -1.])
    """
    return log_softmax_backward_op(grad_output, output, dim=output._dim(dim, "log_softmax")).to(input_dtype)
