"""Embedding tables and one-hot codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..tensor import Tensor, wrap
from .convert import cast_op
from .index import add_rows_cpu, check_bounds, index_add_op, index_put_op, index_tensor, take_op
from .pointwise import eq
from .registry import Op
from .saved import Saving, unpack


# ---- embedding ----
def _embedding_cpu(index, weight, *, padding, by_freq=False):
    check_bounds("embedding", index, weight.shape[0], False, 0)
    return weight.take(index, 0, mode="clip")


def _embedding_cuda(index, weight, *, padding, by_freq=False):
    return take_op.cuda(weight, index, dim=0, negative=False, op="embedding")


def _frequencies(index, size, dtype):
    """How often each position of `index` occurs in it, to divide gradients by."""
    flat = index.reshape((-1,))
    ones = cast_op(eq(flat, flat), dtype=dtype)
    counts = index_add_op(None, flat, ones, dim=0, negative=False, op="embedding", size=size)
    return take_op(counts, index, dim=0, negative=False, op="embedding").reshape((*index.shape, 1))


def _embedding_grad(g, index, weight_shape, weight_dtype, *, padding, by_freq):
    if by_freq:
        g = g / _frequencies(index, weight_shape[0], weight_dtype)
    made = index_add_op(None, index, g, dim=0, negative=False, op="embedding", size=weight_shape[0])
    return made if padding is None else _without_row_op(made, row=padding)


embedding_op = Op("embedding", _embedding_cpu, _embedding_cuda, {"weight": _embedding_grad})


def _without_row_cpu(x, *, row):
    y = x.copy()
    y[row] = 0
    return y


def _without_row_cuda(x, *, row):
    from ..cuda.array import from_host

    at = from_host(np.array([row]), x.device)
    return index_put_op.cuda(x, at, None, dim=0, negative=False, op="embedding", value=0)


# x with one row set to zero: the padding row of a table is not trained
_without_row_op = Op(
    "without_row", _without_row_cpu, _without_row_cuda, {"x": lambda g, *, row: _without_row_op(g, row=row)}
)


class _Lookup(Saving):
    """`embedding` of int64 positions in a float32 or float64 table on the CPU, in few steps."""

    node_name = "EmbeddingBackward0"
    inputs = ("index", "weight")

    def of(self, input: Tensor, weight: Tensor, index: np.ndarray, table: np.ndarray) -> Tensor:
        """The rows for two tensors whose arrays are `index` and `table`."""
        size = table.shape[0]
        check_bounds("embedding", index, size, False, 0)
        output = wrap(table.take(index, 0, mode="clip"))
        edge = weight._edge
        if edge is not None and (not MODES or state.grad):
            cell = input._version_cell()
            edges = (None, weight if edge is LEAF else edge)
            output._edge = new_node(self, edges, (index,), (cell, cell[0]), {"size": size})
        return output

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        (index,) = unpack(node)
        size = node.attrs["size"]
        if create_graph:
            return None, index_add_op(None, wrap(index), g, dim=0, negative=False, op="embedding", size=size)
        return None, add_rows_cpu(None, index, g, 0, size)


_lookup = _Lookup()
_INT64, _DIRECT = np.dtype(np.int64), (np.dtype(np.float32), np.dtype(np.float64))


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of a table `weight` (entries, features) at the integer positions in `input`: (*input.shape, features).

    The gradients of a row that is looked up more than once are added in the order of the positions, without
    atomics: reproducible. The row `padding_idx` gets none. With `scale_grad_by_freq` the gradient of a row is divided by how
    often it is looked up.

    Args:
        max_norm, norm_type: the rows looked up are first scaled, in place, to at most this norm.
        sparse: accepted; the gradient is dense, zero in rows that were not looked up.

    Raises:
        IndexError: a position outside [0, entries) (on cuda when the host next waits for the device).
        RuntimeError: `weight` is no matrix.

    >>> import gradgpu as gg
    >>> from gradgpu.ops.embedding import embedding
    >>> embedding(gg.tensor([1, 0]), gg.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if padding_idx is max_norm is None and not scale_grad_by_freq and isinstance(input, Tensor):
        i, table = input._a, weight._a
        if (
            type(i) is type(table) is np.ndarray
            and i.dtype is _INT64
            and table.dtype in _DIRECT
            and table.ndim == 2
            and not (SPECIAL and state.special)
        ):
            return _lookup.of(input, weight, i, table)
    index = index_tensor("embedding", input)
    if weight.ndim != 2:
        raise RuntimeError(
            f"embedding: 'weight' must be 2-D (entries, features), got shape {tuple(weight.shape)}"
        )
    padding = padding_idx
    if padding is not None:
        if not -weight.shape[0] <= padding < weight.shape[0]:
            raise ValueError(f"embedding: padding_idx {padding} must be within the {weight.shape[0]} entries")
        padding %= weight.shape[0]
    if max_norm is not None:
        embedding_renorm_(weight.detach(), index, max_norm, norm_type)
    if scale_grad_by_freq:
        return embedding_op(index, weight, padding=padding, by_freq=True)
    return embedding_op(index, weight, padding=padding)


def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Scales, in place, the rows of the table `input` at `indices` whose `norm_type`-norm exceeds `max_norm` down to it.

    >>> import gradgpu as gg
    >>> table = gg.tensor([[3., 4.], [6., 8.]])
    >>> gg.embedding_renorm_(table, gg.tensor([1]), 5.)
    tensor([[3., 4.],
            [3., 4.]])
    """
    from .rearrange import renorm

    flat = index_tensor("embedding_renorm_", indices).reshape((-1,))
    rows = take_op(input.detach(), flat, dim=0, negative=False, op="embedding")
    if rows.numel():
        input.index_copy_(0, flat, renorm(rows, norm_type, 0, max_norm))
    return input


# ---- one-hot ----
def _one_hot_cpu(index, *, classes):
    check_bounds("one_hot", index, classes, False, -1)
    y = np.zeros(index.size * classes, np.int64)
    if y.size:
        y[index.reshape(-1) + np.arange(0, y.size, classes)] = 1
    return y.reshape((*index.shape, classes))


def _one_hot_cuda(index, *, classes):
    from ..cuda.indexing import one_hot

    return one_hot("one_hot", index, classes)


one_hot_op = Op("one_hot", _one_hot_cpu, _one_hot_cuda, differentiable=False)


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """int64 (*shape, num_classes): 1 at each class number, 0 elsewhere. Without `num_classes` the host waits for the largest.

    >>> import gradgpu as gg
    >>> from gradgpu.ops.embedding import one_hot
    >>> one_hot(gg.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if not isinstance(tensor, Tensor) or tensor.dtype is not dt.int64:
        seen = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type int64, got {seen}; use .long()"
        )
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError("one_hot: Can not infer total number of classes from empty tensor.")
        num_classes = int(tensor.max()) + 1
    if num_classes < 1:
        raise RuntimeError(f"one_hot: num_classes must be positive, got {num_classes}")
    return one_hot_op(tensor, classes=int(num_classes))


__all__: list[str] = []
