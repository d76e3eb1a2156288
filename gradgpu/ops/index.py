"""Reading and writing through integer indices along one dimension, and what is made of that.

Two layouts of index (kernels/index.cu): *per row*, an index of any shape that replaces one dimension
(`take_op`, `index_add_op`, `index_put_op`), and *per element*, an index of the shape of the result (`gather_op`, `scatter_op`,
`scatter_add_op`). Sums through an index are made in the order of positions on every device, without
float atomics, so they are reproducible; of several values written to one place the last stays.

Indices out of bounds raise IndexError: on 'cpu' at once, on 'cuda' when the host next waits for the device.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.elementwise import broadcast_shapes
from ..tensor import Tensor, wrap
from .inplace import inplace
from .registry import Op, method
from .saved import Saving, unpack

ndarray = np.ndarray
_uint64 = np.uint64
_max = np.maximum.reduce
_min = np.minimum.reduce
_HALF = ("f", "V")


def all_below(index: Any, n: int) -> bool:
    """Whether all of these int64 numbers lie in [0, n)."""
    if not index.size:
        return True
    seen = index.view(_uint64)  # as which negative ones are huge
    return seen.item(seen.argmax()) < n  # in half the time of a maximum


def check_bounds(op: str, index: Any, n: int, negative: bool, dim: int) -> None:
    """Raises IndexError for an index outside [0, n), or [-n, n) where `negative` ones count from the end."""
    if all_below(index, n):
        return
    low, high = int(_min(index, axis=None)), int(_max(index, axis=None))
    if high >= n or low < (-n if negative else 0):
        raise IndexError(
            f"{op}: index {high if high >= n else low} is out of bounds for dimension {dim} with size {n}; "
            f"indices go from {-n if negative else 0} to {n - 1}"
        )


def _is_half(dtype: np.dtype) -> bool:
    return dtype.itemsize == 2 and dtype.kind in _HALF


# A complex number is a pair of floats, and adding one adds both at the cost of one.
_PAIRS = {np.dtype(np.float32): np.dtype(np.complex64), np.dtype(np.float64): np.dtype(np.complex128)}


def _add_flat(
    base: ndarray | None, shape: tuple, offsets: ndarray, values: ndarray, pairs: Any = None
) -> ndarray:
    """A copy of `base` (zeros if None) with `values` added at flat offsets, in their order; half types are rounded once.

    With `pairs`, the complex dtype of two values, offsets count pairs.
    """
    kind = values.dtype
    half = _is_half(kind)
    wide = np.dtype(np.float32) if half else kind
    y = np.zeros(shape, wide) if base is None else np.array(base, wide, order="C")
    # On flat arrays of one dtype np.add.at is a tight loop (unlike its general case): no sort is faster.
    target, added = y.reshape(-1), values.reshape(-1).astype(wide, copy=False)
    if pairs is not None:
        target, added = target.view(pairs), np.ascontiguousarray(added).view(pairs)
    np.add.at(target, offsets.reshape(-1), added)
    return y.astype(kind) if half else y


def count_from_start(index: Any, n: int) -> Any:
    """Indices with the negative ones, which count from the end, made positive."""
    return np.where(index < 0, index + n, index) if index.size and _min(index, axis=None) < 0 else index


# ---- per row ----
def _take_cpu(x, index, *, dim, negative, op):
    check_bounds(op, index, x.shape[dim], negative, dim)
    return x.take(index, dim, mode="wrap" if negative else "clip")


def _take_cuda(x, index, *, dim, negative, op):
    from ..cuda.indexing import take

    return take(op, x, index, dim, negative)


take_op = Op(
    "index_select",
    _take_cpu,
    _take_cuda,
    {
        "x": lambda g, index, x_shape, *, dim, negative, op: index_add_op(
            None, index, g, dim=dim, negative=negative, op=op, size=x_shape[dim]
        )
    },
)


def _index_add_cpu(x, index, source, *, dim, negative, op, size):
    check_bounds(op, index, size, negative, dim)
    if negative:
        index = count_from_start(index, size)
    return add_rows_cpu(x, index, source, dim, size)


def add_rows_cpu(x: Any, index: ndarray, source: ndarray, dim: int, size: int) -> ndarray:
    """`index_add_op` on the CPU for indices in [0, size)."""
    inner = source.shape[dim + index.ndim :]
    shape = (*source.shape[:dim], size, *inner)
    before, after = prod(source.shape[:dim]), prod(inner)
    offsets = index.reshape(-1)
    if before != 1:
        offsets = (np.arange(0, before * size, size or 1)[:, None] + offsets).reshape(-1)
    pairs = _PAIRS.get(source.dtype) if after % 2 == 0 else None
    if pairs is not None:
        after //= 2
    if after != 1:
        if 0 < before * size * after <= 1 << 16:
            offsets = _offsets_of_rows(before * size, after).take(offsets, 0)
        else:
            offsets = (offsets * after)[:, None] + np.arange(after)
    return _add_flat(x, shape, offsets, source, pairs)


@lru_cache(maxsize=4)
def _offsets_of_rows(rows: int, length: int) -> ndarray:
    """The flat offsets of all elements of a matrix. To take rows of it costs less than to compute them."""
    return np.arange(rows * length).reshape(rows, length)


def _index_add_cuda(x, index, source, *, dim, negative, op, size):
    from ..cuda.array import zeros
    from ..cuda.indexing import add_rows

    shape = (*source.shape[:dim], size, *source.shape[dim + index.ndim :])
    y = zeros(shape, source.dtype) if x is None else x.copy()
    return add_rows(op, y, index, source, dim, negative)


# y = x (zeros of length `size` along dim where x is None) with the rows of `source` added at `index`
index_add_op = Op(
    "index_add",
    _index_add_cpu,
    _index_add_cuda,
    {
        "x": lambda g: g,
        "source": lambda g, index, *, dim, negative, op: take_op(g, index, dim=dim, negative=negative, op=op),
    },
)


def _index_put_cpu(x, index, source, *, dim, negative, op, value):
    y = np.array(x)
    put_rows_into(y, index, source, dim=dim, negative=negative, op=op, value=value)
    return y


def _index_put_cuda(x, index, source, *, dim, negative, op, value):
    y = x.copy()
    put_rows_into(y, index, source, dim=dim, negative=negative, op=op, value=value)
    return y


def put_rows_into(
    y: Any, index: Any, source: Any, *, dim: int, negative: bool, op: str, value: Any = 0
) -> None:
    """What `index_put_op` does to a copy, to an array itself (on cuda a contiguous one)."""
    if isinstance(y, ndarray):
        check_bounds(op, index, y.shape[dim], negative, dim)
        y[(slice(None),) * dim + (index,)] = value if source is None else source
    else:
        from ..cuda.array import full
        from ..cuda.indexing import write_rows

        if source is None:
            source = full((), value, y.dtype, y.device)
        write_rows(op, y, index, source, dim, negative)


# y = x with the rows at `index` replaced by those of `source`, or by `value` where source is None
index_put_op = Op(
    "index_put",
    _index_put_cpu,
    _index_put_cuda,
    {
        "x": lambda g, index, *, dim, negative, op: index_put_op(
            g, index, None, dim=dim, negative=negative, op=op, value=0
        ),
        "source": lambda g, index, *, dim, negative, op: take_op(g, index, dim=dim, negative=negative, op=op),
    },
)


# ---- per element ----
def flat_offsets(index: ndarray, shape: tuple, dim: int) -> ndarray:
    """The flat offset in an array of this shape that each element of `index` addresses."""
    if not index.size:
        return index
    step = prod(shape[dim + 1 :])
    if index.size <= 1 << 15:
        others = _all_offsets_of_others(index.shape, shape, dim)
    else:
        few = index.size < 1 << 17  # what is kept for the next call stays below a megabyte
        others = (_offsets_of_others if few else _offsets_of_others.__wrapped__)(index.shape, shape, dim)
    return (index if step == 1 else index * step) + others


@lru_cache(maxsize=8)
def _all_offsets_of_others(counts: tuple, shape: tuple, dim: int) -> ndarray:
    """The same for each element: a sum with it runs through memory in order."""
    return np.ascontiguousarray(np.broadcast_to(_offsets_of_others.__wrapped__(counts, shape, dim), counts))


@lru_cache(maxsize=32)
def _offsets_of_others(counts: tuple, shape: tuple, dim: int) -> Any:
    """What the positions along all dimensions but `dim` contribute to the flat offsets."""
    flat: Any = np.zeros((1,) * len(counts), np.int64)
    for d, n in enumerate(counts):
        if d != dim and n != 1:
            step = prod(shape[d + 1 :])
            flat = flat + np.arange(0, n * step, step).reshape((n,) + (1,) * (len(counts) - 1 - d))
    return flat


def _gather_cpu(x, index, *, dim):
    check_bounds("gather", index, x.shape[dim], False, dim)
    if not index.size:
        return np.empty(index.shape, x.dtype)
    return x.reshape(-1).take(flat_offsets(index, x.shape, dim), mode="clip")


def _gather_cuda(x, index, *, dim):
    from ..cuda.indexing import gather

    return gather("gather", x, index, dim)


gather_op = Op(
    "gather",
    _gather_cpu,
    _gather_cuda,
    {"x": lambda g, index, x_shape, *, dim: scatter_add_op(None, index, g, dim=dim, shape=x_shape)},
)


def _corner(source: Any, index: Any) -> Any:
    return source if source.shape == index.shape else source[tuple([slice(n) for n in index.shape])]


def _scatter_add_cpu(x, index, source, *, dim, shape, unique=False):
    check_bounds("scatter_add", index, shape[dim], False, dim)
    return _added_elements(x, index, source, dim, shape, unique)


def _added_elements(x: Any, index: ndarray, source: ndarray, dim: int, shape: tuple, unique: bool) -> ndarray:
    """`scatter_add_op` on the CPU for indices in [0, shape[dim])."""
    offsets, source = flat_offsets(index, shape, dim), _corner(source, index)
    if x is None and (unique or index.shape[dim] == 1):
        y = np.zeros(shape, source.dtype)
        y.reshape(-1)[offsets] = source
        return y
    return _add_flat(x, shape, offsets, source)


def _scatter_add_cuda(x, index, source, *, dim, shape, unique=False):
    from ..cuda.array import zeros
    from ..cuda.indexing import scatter

    if x is None:  # one index a line, or different ones: nothing meets, so writing is adding
        unique = unique or index.shape[dim] == 1
        return scatter(
            "scatter_add", zeros(shape, source.dtype), index, source, dim, "" if unique else "sum", unique
        )
    return scatter("scatter_add", x, index, source, dim, "sum")


# `unique`: no two elements of the index address the same place
scatter_add_op = Op(
    "scatter_add",
    _scatter_add_cpu,
    _scatter_add_cuda,
    {
        "x": lambda g: g,
        "source": lambda g, index, source_shape, *, dim: _spread(gather_op(g, index, dim=dim), source_shape),
    },
)


def _spread(g: Any, shape: tuple) -> Any:
    """The gradient of a source of which only the corner of the index's shape was read."""
    if g.shape == shape:
        return g
    from .pad import constant_pad_op

    return constant_pad_op(g, pads=tuple([(0, m - n) for n, m in zip(g.shape, shape)]), value=0)


def _scatter_cpu(x, index, source, *, dim, value):
    check_bounds("scatter", index, x.shape[dim], False, dim)
    y = x.copy()
    y.reshape(-1)[flat_offsets(index, x.shape, dim)] = value if source is None else _corner(source, index)
    return y


def _scatter_cuda(x, index, source, *, dim, value):
    from ..cuda.array import full
    from ..cuda.indexing import scatter

    if source is None:
        source = full((), value, x.dtype, x.device)
    return scatter("scatter", x, index, source, dim)


scatter_op = Op(
    "scatter",
    _scatter_cpu,
    _scatter_cuda,
    {
        "x": lambda g, index, *, dim: scatter_op(g, index, None, dim=dim, value=0),
        "source": lambda g, index, source_shape, *, dim: _spread(gather_op(g, index, dim=dim), source_shape),
    },
)


# ---- arguments ----
def index_tensor(op: str, index: Any, device: Any = None) -> Any:
    """An integer tensor as int64."""
    if not isinstance(index, Tensor):
        raise TypeError(
            f"{op}: index must be a Tensor of integers, got {type(index).__name__}; use gradgpu.tensor(index)"
        )
    d = index.dtype
    if d is dt.int64:
        return index
    if d.category != dt.INTEGER:
        kind = IndexError if op.startswith(("index_fill", "index_put")) or op == "index" else RuntimeError
        raise kind(
            f"{op}: tensors used as indices must be integer tensors, got {d}; convert with index.long()"
        )
    return index.long()


def check_same_dtype(op: str, x: Tensor, source: Tensor) -> None:
    if x.dtype is not source.dtype:
        raise RuntimeError(
            f"{op}(): self ({x.dtype}) and source ({source.dtype}) must have the same dtype; use source.to({x.dtype})"
        )


def _check_element_index(op: str, x: Any, index: Any, dim: int, source: Any = None) -> None:
    """`index` has the dimensions of x and reaches no further than it, except along dim."""
    counts, sizes = index._a.shape, x._a.shape
    if counts == sizes and (source is None or source._a.shape == sizes):
        return
    if index.ndim != x.ndim:
        raise RuntimeError(
            f"{op}: Index tensor must have the same number of dimensions as input tensor: {index.ndim} and {x.ndim}"
        )
    if source is not None and source.ndim != index.ndim:
        raise RuntimeError(
            f"{op}: Index tensor must have the same number of dimensions as src tensor: {index.ndim} and {source.ndim}"
        )
    limits = None if source is None else source._a.shape
    for d, n in enumerate(counts):
        if d != dim and n > sizes[d] or limits is not None and n > limits[d]:
            other = "" if source is None else f" and source {list(source.shape)}"
            raise RuntimeError(
                f"{op}: Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart from dimension {dim}{other}"
            )


# ---- public: per element ----
class _Gather(Saving):
    """`gather` from a float32 or float64 array by int64 indices on the CPU, in few steps."""

    node_name = gather_op.node_name
    inputs = ("x", "index")

    def of(self, input: Tensor, index: Tensor, x: ndarray, i: ndarray, dim: int) -> Tensor:
        """The elements for two tensors whose arrays are `x` and `i`."""
        output = wrap(_gather_cpu(x, i, dim=dim))
        edge = input._edge
        if edge is not None and (not MODES or state.grad):
            cell = index._version_cell()
            edges = (input if edge is LEAF else edge, None)
            output._edge = new_node(self, edges, (i,), (cell, cell[0]), {"dim": dim, "shape": x.shape})
        return output

    def _saves(self, node: Node) -> list[tuple[str, int]]:
        return [("in", 1)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        (index,) = unpack(node)
        if create_graph:
            return scatter_add_op(None, wrap(index), g, **node.attrs), None
        return _added_elements(None, index, g, unique=False, **node.attrs), None


_gather_of = _Gather().of
_INT64, _DIRECT = np.dtype(np.int64), (np.dtype(np.float32), np.dtype(np.float64))


@method
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """Picks elements along `dim`: out[i][j] = input[index[i][j]][j] for dim 0, input[i][index[i][j]] for dim 1, and so on.

    Args:
        index: int64, as many dimensions as `input`; no larger than it in the other dimensions. The result has its shape.

    Raises:
        IndexError: an index outside [0, input.shape[dim]). RuntimeError: shapes do not fit.

    >>> import gradgpu as gg
    >>> gg.gather(gg.tensor([[1, 2], [3, 4]]), 1, gg.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    index = index_tensor("gather", index)
    dim = input._dim(dim, "gather")
    if input.ndim == 0 or index.ndim == 0:
        flat = gather_op(input.reshape((-1,)) if input.ndim == 0 else input, index.reshape((-1,)), dim=0)
        return flat.reshape(tuple(index.shape))
    _check_element_index("gather", input, index, dim)
    x, i = input._a, index._a
    if (
        type(x) is type(i) is ndarray
        and i.dtype is _INT64
        and x.dtype in _DIRECT
        and not (SPECIAL and state.special)
    ):
        return _gather_of(input, index, x, i, dim)
    return gather_op(input, index, dim=dim)


@method
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """`gather` with broadcasting of the other dimensions, as numpy's take_along_axis; `dim=None` indexes the flat input.

    Negative indices count from the end.

    >>> import gradgpu as gg
    >>> x = gg.tensor([[10, 30, 20]])
    >>> gg.take_along_dim(x, gg.argsort(x, 1), 1)
    tensor([[10, 20, 30]])
    """
    if dim is None:
        return gather(input.reshape((-1,)), 0, indices.reshape((-1,)))
    dim = input._dim(dim, "take_along_dim")
    if input.ndim != indices.ndim:
        raise RuntimeError(
            f"take_along_dim(): input and indices should have the same number of dimensions, but got {input.ndim} and {indices.ndim}"
        )
    shape = list(
        broadcast_shapes(
            "take_along_dim",
            *(tuple(t.shape[:dim]) + (1,) + tuple(t.shape[dim + 1 :]) for t in (input, indices)),
        )
    )
    n = input.shape[dim]
    x = input.expand((*shape[:dim], n, *shape[dim + 1 :]))
    from .pointwise import where

    indices = where(indices < 0, indices + n, indices)
    return gather(x, dim, indices.expand((*shape[:dim], indices.shape[dim], *shape[dim + 1 :])))


def _scatter_arguments(op: str, x: Any, dim: int, index: Any, src: Any) -> tuple:
    index = index_tensor(op, index)
    dim = x._dim(dim, op)
    if isinstance(src, Tensor):
        check_same_dtype(op, x, src)
    else:
        src = None
    if x.ndim == 0 or index.ndim == 0:
        x, index, src = (t if t is None or t.ndim else t.reshape((1,)) for t in (x, index, src))
    _check_element_index(op, x, index, dim, src)
    return x, index, src, dim


def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Any:
    """A copy of `input` with the elements of `src` (a tensor or a number) written at `index` along `dim`.

    out[index[i][j]][j] = src[i][j] for dim 0. Where an index occurs twice the last value stays; the gradient of
    `src` is right only if none does (as in PyTorch). `reduce='add'` adds instead, 'multiply' multiplies.

    Raises:
        IndexError: an index outside [0, input.shape[dim]). RuntimeError: shapes or dtypes do not fit.

    >>> import gradgpu as gg
    >>> gg.scatter(gg.zeros(2, 3), 1, gg.tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    if src is None:
        src = value
    if src is None:
        raise TypeError("scatter(): missing the values to write: give src (a tensor) or value (a number)")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(
                f"scatter: reduce argument must be either add or multiply, got {reduce!r}; see also scatter_reduce"
            )
        values = src if isinstance(src, Tensor) else input.new_full(tuple(index.shape), src)
        if reduce == "add":
            return scatter_add(input, dim, index, values)
        from .scatter_reduce import scatter_reduce

        return scatter_reduce(input, dim, index, values, "prod")
    x, index, source, dim = _scatter_arguments("scatter", input, dim, index, src)
    y = scatter_op(x, index, source, dim=dim, value=src if source is None else 0)
    return y.reshape(tuple(input.shape)) if input.ndim == 0 else y


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of `input` with the elements of `src` added at `index` along `dim`; sums are made in a fixed order.

    >>> import gradgpu as gg
    >>> gg.scatter_add(gg.zeros(3), 0, gg.tensor([0, 2, 0]), gg.tensor([1., 2., 3.]))
    tensor([4., 0., 2.])
    """
    x, index, source, dim = _scatter_arguments("scatter_add", input, dim, index, src)
    y = scatter_add_op(x, index, source, dim=dim, shape=tuple(x.shape))
    return y.reshape(tuple(input.shape)) if input.ndim == 0 else y


# ---- public: per row ----
def _row_index(op: str, index: Any) -> Any:
    index = index_tensor(op, index)
    if index.ndim > 1:
        raise IndexError(f"{op}(): Index is supposed to be a vector, got shape {tuple(index.shape)}")
    return index if index.ndim else index.reshape((1,))


@method
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The entries of `input` along `dim` at the positions in the 1-D `index`.

    >>> import gradgpu as gg
    >>> gg.index_select(gg.tensor([[1, 2, 3], [4, 5, 6]]), 1, gg.tensor([2, 0]))
    tensor([[3, 1],
            [6, 4]])
    """
    index = _row_index("index_select", index)
    dim = input._dim(dim, "index_select")
    if input.ndim == 0:
        return take_op(input.reshape((1,)), index, dim=0, negative=False, op="index_select").reshape(())
    return take_op(input, index, dim=dim, negative=False, op="index_select")


def _index_rows(op: str, input: Any, dim: int, index: Any, source: Any) -> tuple:
    index = _row_index(op, index)
    dim = input._dim(dim, op)
    check_same_dtype(op, input, source)
    want = (*input.shape[:dim], index.shape[0], *input.shape[dim + 1 :])
    if tuple(source.shape) != want:
        raise IndexError(
            f"{op}(): source has shape {tuple(source.shape)}, but input {tuple(input.shape)} and the index need {want}"
        )
    return dim, index


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """A copy of `input` with `alpha` times the entries of `source` along `dim` added at `index`, in a fixed order.

    >>> import gradgpu as gg
    >>> gg.index_add(gg.zeros(3), 0, gg.tensor([1, 1]), gg.tensor([1., 2.]))
    tensor([0., 3., 0.])
    """
    if not input.ndim:
        return index_add(input.reshape((1,)), dim, index, source.reshape((-1,)), alpha=alpha).reshape(())
    dim, index = _index_rows("index_add", input, dim, index, source)
    if alpha != 1:
        source = source * alpha
    return index_add_op(input, index, source, dim=dim, negative=False, op="index_add", size=input.shape[dim])


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy of `input` with its entries along `dim` at `index` replaced by those of `source`."""
    if not input.ndim:
        return index_copy(input.reshape((1,)), dim, index, source.reshape((-1,))).reshape(())
    dim, index = _index_rows("index_copy", input, dim, index, source)
    return index_put_op(input, index, source, dim=dim, negative=False, op="index_copy", value=0)


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy of `input` with its entries along `dim` at `index` set to a number, or to a 0-dim tensor's value.

    >>> import gradgpu as gg
    >>> gg.index_fill(gg.tensor([1., 2., 3.]), 0, gg.tensor([0, 2]), -1)
    tensor([-1.,  2., -1.])
    """
    if not input.ndim:
        return index_fill(input.reshape((1,)), dim, index, value).reshape(())
    index, dim = _row_index("index_fill", index), input._dim(dim, "index_fill")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
            )
        from .pointwise import where

        none = input.new_zeros(tuple(input.shape), dtype=dt.bool)
        mask = index_put_op(none, index, None, dim=dim, negative=False, op="index_fill", value=True)
        return where(mask, value.to(input.device, input.dtype), input)
    return index_put_op(input, index, None, dim=dim, negative=False, op="index_fill", value=value)


@method
def take(input: Any, index: Any) -> Any:
    """The elements of the flattened `input` at `index`; the result has the shape of `index`.

    >>> import gradgpu as gg
    >>> gg.take(gg.tensor([[4, 3], [5, 2]]), gg.tensor([0, 3]))
    tensor([4, 2])
    """
    return take_op(input.reshape((-1,)), index_tensor("take", index), dim=0, negative=True, op="take")


# ---- in place ----
def install_in_place(function: Any) -> None:
    """Makes an out-of-place function a method, and its in-place form `name_` another."""
    name = function.__name__ + "_"

    def change(self: Any, *args: Any, **kwargs: Any) -> Any:
        return inplace(name, self, function(self, *args, **kwargs))

    change.__name__, change.__doc__ = name, f"`{function.__name__}` in place."
    method(function)
    method(name)(change)


for _function in (scatter, scatter_add, index_add, index_copy, index_fill):
    install_in_place(_function)


__all__ = [
    "gather", "index_add", "index_copy", "index_fill", "index_select", "scatter", "scatter_add", "take", "take_along_dim",
]  # fmt: skip
