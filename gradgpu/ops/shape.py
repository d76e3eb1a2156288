"""Other views of the same memory: reshape, transpose, permute, expand, squeeze, slices.

On the CPU a view is numpy's; on cuda it is new strides over the same memory. No number is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from operator import index
from typing import Any
from weakref import ref

import numpy as np

from ..autograd.layers import LAYERS, LayerArray
from ..autograd.modes import INFERRING, MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, next_sequence
from ..meta import MetaArray
from ..tensor import Tensor, note_views, wrap
from . import reduce as _reduce
from .registry import Op, Plan, method, refuse_others

ndarray = np.ndarray
_new = object.__new__
_ALL = slice(None)


# ---- ops ----
class View(Op):
    """An operation that shows the memory of its input in another way.

    Args:
        back: the gradient of arrays in first order, as `cpu` is the operation: of the gradient, the shape of the input (if
            the rule asks for it) and the attributes.
    """

    def __init__(self, name: str, cpu: Callable, cuda: Callable, rule: Callable, back: Callable):
        super().__init__(name, cpu, cuda, {"x": rule}, view=True)
        self.back = back
        self.plan = self._plans[True, 1] = Plan(self, (True,), 1)
        self.keeps_shape = bool(self.plan.shapes)

    def of(self, x: Tensor, a: ndarray, y: ndarray, attrs: dict) -> Tensor:
        """The view of a tensor for which `in_few_steps` holds; `a` and `y` are their arrays."""
        t = _new(Tensor)
        t._a = y
        t._edge = t._grad = None
        t._cell = x._cell or x._version_cell()
        shared = x._shared
        base, chain, origin = shared if type(shared) is tuple else (x, None, None)
        edge = x._edge
        if MODES and not state.grad:
            if origin != "inference_mode":
                origin = "no_grad"
        elif edge is not None:
            t._edge = self.node(x, edge, a, attrs)
        t._shared = base, (chain, self, attrs), origin
        note_views(base, [ref(t)])
        return t

    def node(self, x: Tensor, edge: Any, a: ndarray, attrs: dict) -> Node:
        """The node of the operation on `x`, whose edge is not None and whose array is `a`."""
        node = Node()
        node.op, node.plan, node.attrs, node.seq = self, self.plan, attrs, next_sequence()
        node.all_edges = (x if edge is LEAF else edge,)
        node.saved = (a.shape,) if self.keeps_shape else ()
        node.checks = node.cell = node.extra = None
        return node

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        """As for any op; what is usual in few steps."""
        saved = node.saved
        if create_graph or type(g) is not ndarray or type(saved) is not tuple:
            return super().vjp(node, g, edges, create_graph)
        return (self.back(g, *saved, **node.attrs),)


def in_few_steps(a: Any) -> bool:
    """Whether a view of a tensor is made by `View.of`: its array `a` is on the CPU, and nothing unusual goes on."""
    return type(a) is ndarray and not (LAYERS or SPECIAL or INFERRING)


reshape_op = View(
    "view",
    lambda x, *, shape: x.reshape(shape),
    lambda x, *, shape: x.reshape(shape),
    lambda g, x_shape: reshape_op(g, shape=x_shape),
    lambda g, x_shape, *, shape: g.reshape(x_shape),
)


def _permute_cuda(x: Any, *, dims: tuple) -> Any:
    layout = x.layout
    return x.as_strided([layout.shape[d] for d in dims], [layout.strides[d] for d in dims])


@lru_cache(maxsize=256)
def _inverse(dims: tuple) -> tuple:
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return tuple(inverse)


permute_op = View(
    "permute",
    lambda x, *, dims: np.asarray(x).transpose(dims),
    _permute_cuda,
    lambda g, *, dims: permute_op(g, dims=_inverse(dims)),
    lambda g, *, dims: g.transpose(_inverse(dims)),
)


def _expand_cuda(x: Any, *, shape: tuple) -> Any:
    from ..cuda.elementwise import expanded

    return x.as_strided(shape, expanded(x.layout, shape))


expand_op = View(
    "expand",
    lambda x, *, shape: np.broadcast_to(x, shape),
    _expand_cuda,
    lambda g, x_shape: _reduce.sum_to_size_op(g, shape=x_shape),
    lambda g, x_shape, *, shape: _reduce.sum_to_size_op.cpu(g, shape=x_shape),
)


def _index_cpu(x: Any, *, index: tuple) -> Any:
    return np.asarray(x)[(*index, ...)] if Ellipsis not in index else np.asarray(x)[index]


def _index_cuda(x: Any, *, index: tuple) -> Any:
    shape, strides, offset = basic_geometry(x.layout.shape, x.layout.strides, index)
    return x.as_strided(shape, strides, offset)


def basic_geometry(shape: Sequence[int], strides: Sequence[int], index: tuple) -> tuple[list, list, int]:
    """Shape, strides and offset after a basic index of ints, slices, None and one Ellipsis."""
    used = sum(1 for i in index if i is not None and i is not Ellipsis)
    rest = len(shape) - used
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    new_shape: list[int] = []
    new_strides: list[int] = []
    offset = d = 0
    for i in index:
        if i is None:
            new_shape.append(1)
            new_strides.append(0)
        elif i is Ellipsis:
            new_shape += shape[d : d + rest]
            new_strides += strides[d : d + rest]
            d += rest
        elif isinstance(i, slice):
            start, stop, step = i.indices(shape[d])
            count = len(range(start, stop, step))
            new_shape.append(count)
            new_strides.append(strides[d] * step)
            if count:
                offset += start * strides[d]
            d += 1
        else:
            offset += (i + shape[d] if i < 0 else i) * strides[d]
            d += 1
    if 0 in new_shape:
        offset = 0
    return new_shape, new_strides, offset


def _index_backward_cpu(g: Any, *, shape: tuple, index: tuple) -> Any:
    if g.size < 4096 or 2 * g.size < prod(shape):
        made = np.zeros(shape, g.dtype)
    else:
        made = _zeros_beside(shape, g.dtype, index)
    made[index] = g
    return made


def _zeros_beside(shape: tuple, dtype: Any, index: tuple) -> ndarray:
    """An array that is zero outside `index`, at least."""
    cut = [(d, i) for d, i in enumerate(index) if i != _ALL]
    if len(cut) != 1 or type(cut[0][1]) is not slice or cut[0][1].step not in (None, 1):
        return np.zeros(shape, dtype)
    ((d, part),) = cut
    start, stop, _ = part.indices(shape[d])
    made = np.empty(shape, dtype)
    made[(*(_ALL,) * d, slice(start))] = 0
    made[(*(_ALL,) * d, slice(max(start, stop), None))] = 0
    return made


def _index_backward_cuda(g: Any, *, shape: tuple, index: tuple) -> Any:
    from ..cuda.array import zeros
    from ..cuda.elementwise import copy_into

    made = zeros(shape, g.dtype, g.device)
    copy_into(_index_cuda(made, index=index), g)
    return made


basic_index_op = View(
    "slice",
    _index_cpu,
    _index_cuda,
    lambda g, x_shape, *, index: basic_index_backward_op(g, shape=x_shape, index=index),
    lambda g, x_shape, *, index: _index_backward_cpu(g, shape=x_shape, index=index),
)
basic_index_backward_op = Op(
    "slice_backward",
    _index_backward_cpu,
    _index_backward_cuda,
    {"g": lambda g0, *, index: basic_index_op(g0, index=index)},
)


def indexed(x: Tensor, index: tuple) -> Tensor:
    """The view of `x` at a valid index of ints, slices, None and one Ellipsis."""
    a = x._a
    if in_few_steps(a):
        y = a[index]
        if type(y) is not ndarray:
            y = a[(*index, ...)]  # a view, and no number
        return basic_index_op.of(x, a, y, {"index": index})
    return basic_index_op(x, index=index)


# ---- arguments ----
def canonical_dim(dim: Any, ndim: int, op: str) -> int:
    """A dimension as a non-negative int; IndexError if it is out of range."""
    try:
        dim = dim.__index__()
    except AttributeError:
        raise TypeError(f"{op}(): dim must be an int, got {type(dim).__name__}") from None
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(
            f"{op}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim + n if dim < 0 else dim


def canonical_dims(dims: Any, ndim: int, op: str) -> tuple[int, ...]:
    """Dimensions as an ascending tuple; None or an empty sequence means all."""
    if type(dims) is int:
        return (canonical_dim(dims, ndim, op),) if ndim else canonical_dims((dims,), ndim, op)
    if dims is None or isinstance(dims, (tuple, list)) and not dims:
        return tuple(range(ndim))
    found = [canonical_dim(d, ndim, op) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))]
    if len(set(found)) != len(found):
        raise RuntimeError(
            f"{op}: dim {next(d for d in found if found.count(d) > 1)} appears multiple times in the list of dims"
        )
    return tuple(sorted(found)) if ndim else ()


def _sizes(args: tuple) -> tuple:
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple([n if type(n) is int else index(n) for n in args])


def infer_shape(shape: tuple, size: int, old: tuple, op: str) -> tuple[int, ...]:
    """The shape with its one -1 filled in."""
    known = prod(n for n in shape if n != -1)
    if shape.count(-1) > 1:
        raise RuntimeError(f"{op}: only one dimension can be inferred, got {shape}")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"{op}: invalid shape dimension in {shape}")
    if -1 in shape and known and size % known == 0:
        return tuple(size // known if n == -1 else n for n in shape)
    if -1 in shape and known == 0 and size == 0:
        raise RuntimeError(
            f"{op}: cannot reshape tensor of 0 elements into shape {list(shape)} because -1 is ambiguous"
        )
    if -1 in shape or known != size:
        raise RuntimeError(
            f"{op}: shape {list(shape)} is invalid for input of size {size} (shape {tuple(old)})"
        )
    return shape


def _viewable(t: Any, shape: tuple) -> bool:
    a = t._a
    if not isinstance(a, ndarray):
        if LAYERS and isinstance(a, LayerArray):
            return _viewable(a.inner, (*a.inner.shape[: a.inner.ndim - a.ndim], *shape))
        from ..cuda.array import reshape_strides

        if type(a) is MetaArray:
            return True
        if hasattr(a, "layout"):
            return reshape_strides(a.layout, shape) is not None
        t._materialise()
        return True
    return a.flags.c_contiguous or bool(np.may_share_memory(a, a.reshape(shape)))


def _reshaped(x: Tensor, shape: tuple, copies: bool = False) -> Tensor | None:
    """The tensor in another shape in few steps, or None; the same memory, or if need be (and `copies`) a copy."""
    a = x._a
    if not in_few_steps(a):
        return None
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        y = a.reshape(shape)
    except (TypeError, ValueError):
        return None
    made = y.shape
    if made != shape and -1 not in shape:  # numpy takes other negative numbers, too
        return None
    base = y.base
    if base is a or base is not None and base is a.base:
        return reshape_op.of(x, a, y, {"shape": made})
    if not copies:
        return None
    t = wrap(y)  # numpy has copied
    edge = x._edge
    if edge is not None and (not MODES or state.grad):
        t._edge = reshape_op.node(x, edge, a, {"shape": made})
    return t


@method
def view(self: Any, *shape: Any, size: Any = None, dtype: Any = None) -> Any:
    """A view of another shape (one entry may be -1), or, given a dtype, the same bytes as elements of that type.

    Where the types differ in size the last dimension grows or shrinks with it.

    Raises RuntimeError if the elements do not lie so that no copy is needed; use `reshape` then.

    >>> import gradgpu as gg
    >>> gg.tensor([1.]).view(gg.int32), gg.tensor([1.]).view(gg.uint8)
    (tensor([1065353216], dtype=gradgpu.int32), tensor([  0,   0, 128,  63], dtype=gradgpu.uint8))
    """
    if size is not None:
        shape = (size,)
    elif dtype is not None:
        shape = (dtype,)
    made = _reshaped(self, shape)
    if made is not None:
        return made
    from ..dtypes import dtype as Dtype

    if len(shape) == 1 and isinstance(shape[0], Dtype):
        return _view_dtype(self, shape[0])
    a = self._a
    wanted = infer_shape(_sizes(shape), a.size, a.shape, "view")
    if not _viewable(self, wanted):
        raise RuntimeError(
            f"view: size {list(wanted)} is not compatible with input tensor's size {list(a.shape)} and stride {list(self.stride())} "
            "(at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return reshape_op(self, shape=wanted)


def _view_dtype(x: Any, d: Any) -> Any:
    from ..tensor import wrap

    x._materialise()
    shape, strides = tuple(x.shape), tuple(x.stride())
    old, new = x.itemsize, d.itemsize
    if old != new:
        if not shape:
            raise RuntimeError(
                f"view: a 0-dim tensor cannot be viewed as {d}, which differs from {x.dtype} in size"
            )
        if strides[-1] != 1:
            raise RuntimeError(f"view: stride(-1) must be 1 to view {x.dtype} as {d}, but got {strides[-1]}")
        if new < old:
            ratio = old // new
            shape, strides = (*shape[:-1], shape[-1] * ratio), (*[s * ratio for s in strides[:-1]], 1)
        else:
            ratio = new // old
            if any(n % ratio for n in (shape[-1], *strides[:-1], x.storage_offset())):
                raise RuntimeError(
                    f"view: size(-1), the strides of the other dimensions and storage_offset() must be divisible by {ratio} to "
                    f"view {x.dtype} as {d}, but got shape {shape}, strides {strides} and offset {x.storage_offset()}"
                )
            shape, strides = (*shape[:-1], shape[-1] // ratio), (*[s // ratio for s in strides[:-1]], 1)
    t = wrap(x._a.view(d.np) if isinstance(x._a, ndarray) else x._a.view_dtype(d.np, shape, strides))
    t._cell = x._version_cell()
    return t


@method
def reshape(input: Any, *sizes: Any, shape: Any = None) -> Any:
    """The same elements in another shape, in row-major order; a view where possible, else a copy. One entry may be -1.

    >>> import gradgpu as gg
    >>> gg.arange(4).reshape(2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    if shape is not None:
        sizes = (shape,)
    try:
        made = _reshaped(input, sizes, True)
    except AttributeError:
        refuse_others("reshape", input=input)
        raise
    if made is not None:
        return made
    a = input._a
    wanted = infer_shape(_sizes(sizes), a.size, a.shape, "reshape")
    if not _viewable(input, wanted):
        input = input.clone()
    return reshape_op(input, shape=wanted)


@method
def view_as(self: Any, other: Any) -> Any:
    """`self.view(other.shape)`."""
    return view(self, other.shape)


@method
def reshape_as(self: Any, other: Any) -> Any:
    """`self.reshape(other.shape)`."""
    return reshape(self, other.shape)


@method
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Joins dimensions `start_dim` to `end_dim` into one."""
    try:
        shape = input._a.shape
    except AttributeError:
        refuse_others("flatten", input=input)
        raise
    if not shape:
        return reshape(input, 1)
    start, end = (
        canonical_dim(start_dim, len(shape), "flatten"),
        canonical_dim(end_dim, len(shape), "flatten"),
    )
    if start > end:
        raise RuntimeError(
            f"flatten() has invalid args: start_dim {start_dim} cannot come after end_dim {end_dim}"
        )
    if start == end:
        return input
    return reshape(input, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


@method
def ravel(input: Any) -> Any:
    """The elements in one dimension."""
    return reshape(input, -1) if input.numel() else reshape(input, 0)


@method
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Splits dimension `dim` into `sizes` (one may be -1)."""
    shape = input._a.shape
    d = canonical_dim(dim, len(shape), "unflatten")
    parts = infer_shape(_sizes((sizes,)), shape[d], (shape[d],), "unflatten")
    return reshape(input, (*shape[:d], *parts, *shape[d + 1 :]))


@method
def permute(input: Any, *order: Any, dims: Any = None) -> Any:
    """The dimensions in another order.

    >>> import gradgpu as gg
    >>> gg.permute(gg.zeros(2, 3, 4), (2, 0, 1)).shape
    gradgpu.Size([4, 2, 3])
    """
    n = input._a.ndim
    given = _sizes(order if dims is None else (dims,))
    return _permuted(input, input._a, _permutation(given, n))


@lru_cache(maxsize=1024)
def _permutation(given: tuple[int, ...], n: int) -> tuple[int, ...]:
    found = tuple([canonical_dim(d, n, "permute") for d in given])
    if len(found) != n or len(set(found)) != n:
        raise RuntimeError(f"permute(dims={given}): needs every one of the {n} dimensions exactly once")
    return found


@method
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Swaps two dimensions."""
    try:
        a = input._a
    except AttributeError:
        refuse_others("transpose", input=input)
        raise
    order = (_swapped if type(dim0) is type(dim1) is int else _swapped.__wrapped__)(a.ndim, dim0, dim1)
    return _permuted(input, a, order)


@lru_cache(maxsize=256)
def _swapped(n: int, dim0: Any, dim1: Any) -> tuple[int, ...]:
    """The order of n dimensions of which two have changed places."""
    a, b = canonical_dim(dim0, n, "transpose"), canonical_dim(dim1, n, "transpose")
    order = list(range(n))
    if n:
        order[a], order[b] = b, a
    return tuple(order)


def _permuted(x: Tensor, a: Any, order: tuple[int, ...]) -> Tensor:
    if in_few_steps(a):
        return permute_op.of(x, a, a.transpose(order), {"dims": order})
    return permute_op(x, dims=order)


swapdims = transpose


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """`transpose`.

    >>> import gradgpu as gg
    >>> gg.swapaxes(gg.zeros(2, 3), 0, 1).shape
    gradgpu.Size([3, 2])
    """
    return transpose(input, axis0, axis1)


@method
def t(input: Any) -> Any:
    """The transpose of a matrix; a tensor of fewer dimensions as it is."""
    n = input._a.ndim
    if n > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {n}D; use .mT or .transpose(-2, -1)"
        )
    return _permuted(input, input._a, tuple(range(n))[::-1])


@method
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Moves dimensions from positions `source` to `destination`."""
    n = input._a.ndim
    src = [
        canonical_dim(d, n, "movedim") for d in (source if isinstance(source, (tuple, list)) else (source,))
    ]
    dst = [
        canonical_dim(d, n, "movedim")
        for d in (destination if isinstance(destination, (tuple, list)) else (destination,))
    ]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError(
            f"movedim: source {source} and destination {destination} must be as many different dimensions"
        )
    rest = iter([d for d in range(n) if d not in src])
    order = tuple([src[dst.index(d)] if d in dst else next(rest) for d in range(n)])
    return _permuted(input, input._a, order)


moveaxis = movedim


@method
def expand(self: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:
    """A view in which dimensions of size 1 are repeated without copying; -1 keeps a size."""
    shape, wanted = self._a.shape, _sizes(sizes if size is None else (size,))
    pad = len(wanted) - len(shape)
    if pad < 0:
        raise RuntimeError(
            f"expand({list(wanted)}): the number of sizes must be at least the {len(shape)} dimensions of the tensor"
        )
    target = []
    for d, n in enumerate(wanted):
        old = shape[d - pad] if d >= pad else 1
        if n == -1:
            if d < pad:
                raise RuntimeError(f"expand: -1 is not allowed for the new leading dimension {d}")
            n = old
        elif n != old and old != 1:
            raise RuntimeError(
                f"expand: The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton dimension {d}. "
                f"Target sizes: {list(wanted)}. Tensor sizes: {list(shape)}"
            )
        target.append(n)
    a, made = self._a, tuple(target)
    if in_few_steps(a):
        y = a.view() if made == a.shape else np.broadcast_to(a, made)
        return expand_op.of(self, a, y, {"shape": made})
    return expand_op(self, shape=made)


@method
def expand_as(self: Any, other: Any) -> Any:
    """`self.expand(other.shape)`."""
    return expand(self, other.shape)


@method
def broadcast_to(input: Any, size: Any) -> Any:
    """`input.expand(size)`."""
    return expand(input, size)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes broadcast to."""
    from ..cuda.elementwise import broadcast_shapes as joined
    from ..tensor import Size

    return Size(
        joined("broadcast_shapes", *[(s,) if isinstance(s, int) else tuple(s) for s in shapes])
        if shapes
        else ()
    )


def broadcast_tensors(*tensors: Any) -> tuple:
    """Every tensor expanded to their common shape; those that have it are returned as they are."""
    shape = tuple(broadcast_shapes(*[x.shape for x in tensors]))
    return tuple([x if tuple(x.shape) == shape else expand(x, shape) for x in tensors])


@method
def squeeze(input: Any, dim: Any = None) -> Any:
    """Drops dimensions of size 1: all, or those in `dim`."""
    try:
        shape = input._a.shape
    except AttributeError:
        refuse_others("squeeze", input=input)
        raise
    if dim is None:
        dims: Any = range(len(shape))
    else:
        dims = () if isinstance(dim, tuple) and not dim else canonical_dims(dim, len(shape), "squeeze")
    left = tuple([n for d, n in enumerate(shape) if n != 1 or d not in dims])
    made = _reshaped(input, left)
    if made is not None:
        return made
    if input.is_contiguous():
        return reshape_op(input, shape=left)
    index = tuple([0 if n == 1 and d in dims else slice(None) for d, n in enumerate(shape)])
    return basic_index_op(input, index=index)


@method
def unsqueeze(input: Any, dim: int) -> Any:
    """Inserts a dimension of size 1 at `dim`."""
    try:
        shape = input._a.shape
    except AttributeError:
        refuse_others("unsqueeze", input=input)
        raise
    d = canonical_dim(dim, len(shape) + 1, "unsqueeze")
    made = _reshaped(input, (*shape[:d], 1, *shape[d:]))
    if made is not None:
        return made
    if input.is_contiguous():
        return reshape_op(input, shape=(*shape[:d], 1, *shape[d:]))
    return basic_index_op(input, index=(*[slice(None)] * d, None))


@method
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` entries of dimension `dim` from `start` on, as a view."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = canonical_dim(dim, len(shape), "narrow")
    start = int(start)
    begin = start + shape[d] if start < 0 else start
    if not 0 <= begin <= shape[d]:
        raise IndexError(
            f"narrow: start out of range (expected to be in range of [{-shape[d]}, {shape[d]}], but got {start})"
        )
    if length < 0 or begin + length > shape[d]:
        raise RuntimeError(f"narrow: start ({start}) + length ({length}) exceeds dimension size ({shape[d]})")
    return indexed(input, (*[slice(None)] * d, slice(begin, begin + length)))


@method
def select(input: Any, dim: int, index: int) -> Any:
    """The slice at `index` of dimension `dim`, as a view with one dimension less."""
    shape = input._a.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = canonical_dim(dim, len(shape), "select")
    if not -shape[d] <= index < shape[d]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {d}"
        )
    return indexed(input, (*[slice(None)] * d, int(index)))


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dimension."""
    made = tuple([reshape(x, 1) if not x.ndim else x for x in _several(tensors)])
    return made if len(made) != 1 or isinstance(tensors[0], (tuple, list)) else made[0]


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions."""
    made = tuple(
        [reshape(x, (1,) * (2 - x.ndim) + tuple(x.shape)) if x.ndim < 2 else x for x in _several(tensors)]
    )
    return made if len(made) != 1 or isinstance(tensors[0], (tuple, list)) else made[0]


def _several(tensors: tuple) -> Sequence:
    return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors


def _reversed_dims(self: Any) -> Any:
    """All dimensions in reverse order."""
    return _permuted(self, self._a, tuple(range(self._a.ndim))[::-1])


def _matrix_transpose(self: Any) -> Any:
    """The last two dimensions swapped."""
    if self._a.ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {self._a.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


Tensor.T = Tensor.H = property(_reversed_dims)  # type: ignore[attr-defined]
Tensor.mT = Tensor.mH = property(_matrix_transpose)  # type: ignore[attr-defined]
for _alias, _function in {"swapaxes": swapaxes, "swapdims": transpose, "moveaxis": movedim}.items():
    setattr(Tensor, _alias, _function)

__all__ = [
    "atleast_1d", "atleast_2d", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "flatten", "moveaxis", "movedim", "narrow",
    "permute", "ravel", "reshape", "select", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unflatten", "unsqueeze",
]  # fmt: skip
