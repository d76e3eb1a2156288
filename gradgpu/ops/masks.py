"""Reading and writing through masks, and where a tensor is not zero.

How many elements a mask selects depends on its values: on cuda the host waits for that number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.elementwise import broadcast_shapes
from ..scalars import zero_dim
from ..tensor import Tensor, wrap
from .choice import chosen
from .index import check_same_dtype, index_put_op, install_in_place, take_op
from .pointwise import where_op
from .registry import Op, method
from .saved import Saving, unpack


def _mask(op: str, input: Any, mask: Any) -> Any:
    if not isinstance(mask, Tensor) or mask.dtype is not dt.bool:
        seen = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise RuntimeError(f"{op}: the mask must be a bool tensor, got {seen}; compare first, e.g. mask != 0")
    return mask


class _Fill(Saving):
    """`masked_fill` of a float32 or float64 array with a number on the CPU, in few steps."""

    node_name = "MaskedFillBackward0"
    inputs = ("self", "mask")

    def of(self, input: Tensor, mask: Tensor, x: np.ndarray, m: np.ndarray, value: float) -> Tensor:
        """The filled copy for two tensors whose arrays are `x` and `m`, which is no larger than it."""
        output = wrap(_filled(x, m, value))
        edge = input._edge
        if edge is not None and (not MODES or state.grad):
            cell = mask._version_cell()
            edges = (input if edge is LEAF else edge, None)
            output._edge = new_node(self, edges, (m,), (cell, cell[0]))
        return output

    def _saves(self, node: Node) -> list[tuple[str, int]]:
        return [("in", 1)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        (m,) = unpack(node)
        return (where_op(wrap(m), 0.0, g) if create_graph else _filled(g, m, 0.0)), None


def _filled(x: np.ndarray, mask: np.ndarray, value: float) -> np.ndarray:
    if x.size > 2048:
        return chosen(mask, value, x, x.dtype)
    y = np.array(x, order="C")
    np.copyto(y, zero_dim(value, x.dtype), where=mask)
    return y


_fill_of = _Fill().of
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`input` with `value` (a number or a 0-dim tensor) where `mask` is True; the two shapes are broadcast.

    >>> import gradgpu as gg
    >>> gg.masked_fill(gg.tensor([1., 2.]), gg.tensor([False, True]), -1)
    tensor([ 1., -1.])
    """
    _mask("masked_fill", input, mask)
    x, m = input._a, mask._a
    if (
        (type(value) is float or type(value) is int)
        and type(x) is type(m) is np.ndarray
        and x.dtype in _DIRECT
        and (m.shape == x.shape or broadcast_shapes("masked_fill", x.shape, m.shape) == x.shape)
        and not (SPECIAL and state.special)
    ):
        return _fill_of(input, mask, x, m, value)
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
            )
        value = value.to(input.device, input.dtype)
    elif input.dtype.category == dt.INTEGER and isinstance(value, float):
        if not math.isfinite(value):
            raise RuntimeError(
                f"masked_fill: value {value} cannot be stored in {input.dtype}; convert the input to float first"
            )
        value = int(value)
    elif input.dtype is dt.bool:
        value = bool(value)
    return where_op(mask, value, input)


@method
def masked_select(input: Any, mask: Any) -> Any:
    """The elements of `input` where `mask` is True, as a 1-D tensor. On cuda the host waits for their number.

    >>> import gradgpu as gg
    >>> x = gg.tensor([1., -2., 3.])
    >>> gg.masked_select(x, x > 0)
    tensor([1., 3.])
    """
    _mask("masked_select", input, mask)
    shape = broadcast_shapes("masked_select", tuple(input.shape), tuple(mask.shape))
    where = flat_nonzero(mask if mask.shape == shape else mask.expand(shape))
    x = input if input.shape == shape else input.expand(shape)
    return take_op(x.reshape((-1,)), where, dim=0, negative=False, op="masked_select")


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """A copy of `input` in which the places where `mask` is True hold the first elements of `source`, in order."""
    _mask("masked_scatter", input, mask)
    check_same_dtype("masked_scatter", input, source)
    shape = broadcast_shapes("masked_scatter", tuple(input.shape), tuple(mask.shape))
    input = input.expand(shape)
    where = flat_nonzero(mask.expand(shape))
    if source.numel() < where.numel():
        raise RuntimeError(
            f"masked_scatter: the source has {source.numel()} elements, the mask selects {where.numel()}"
        )
    values = source.reshape((-1,))[: where.numel()]
    y = index_put_op(input.reshape((-1,)), where, values, dim=0, negative=False, op="masked_scatter", value=0)
    return y.reshape(shape)


# ---- nonzero ----
def _flat_nonzero_cpu(x):
    if x.dtype.kind == "V":
        x = x.astype(np.float32)
    return np.flatnonzero(x)


def _flat_nonzero_cuda(x):
    from ..cuda.indexing import flat_nonzero

    return flat_nonzero(x)


flat_nonzero_op = Op("flat_nonzero", _flat_nonzero_cpu, _flat_nonzero_cuda, differentiable=False)


def flat_nonzero(x: Any) -> Any:
    """Flat positions of the elements that are not zero (int64, 1-D)."""
    return flat_nonzero_op(x)


def _unravel_cuda(flat, *, shape):
    from ..cuda.indexing import unravel_index

    return unravel_index(flat, shape)


unravel_op = Op(
    "unravel_index",
    lambda flat, *, shape: (
        np.stack(np.unravel_index(flat, shape), -1) if shape else np.empty((len(flat), 0), np.int64)
    ),
    _unravel_cuda,
    differentiable=False,
)


@method
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Positions of the elements that are not zero: int64 (count, ndim), or a tuple of ndim vectors with `as_tuple`.

    On cuda the host waits for the count.

    >>> import gradgpu as gg
    >>> gg.nonzero(gg.tensor([[1, 0], [0, 4]]))
    tensor([[0, 0],
            [1, 1]])
    """
    if as_tuple and input.ndim == 0:
        input = input.reshape((1,))
    shape = tuple(input.shape)
    if len(shape) > 8:
        raise ValueError(
            f"nonzero: at most 8 dimensions are supported, got {len(shape)}; reshape the tensor first"
        )
    at = unravel_op(flat_nonzero(input), shape=shape)
    return at.unbind(1) if as_tuple else at


@method
def argwhere(input: Any) -> Any:
    """`nonzero(input)`."""
    return nonzero(input)


for _function in (masked_fill, masked_scatter):
    install_in_place(_function)

__all__ = ["argwhere", "masked_fill", "masked_scatter", "masked_select", "nonzero"]
