"""Joining and cutting tensors: cat, stack, split, unbind, repeat, meshgrid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any
from weakref import ref

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LAYERS
from ..autograd.modes import INFERRING, MODES, SPECIAL, state
from ..autograd.node import SELECT, Node, next_sequence
from ..tensor import Tensor, note_views, wrap
from . import shape as _shape
from .registry import Op, method, refuse_others

_ALL = slice(None)
_new, ndarray = object.__new__, np.ndarray


def span(dim: int, start: int, stop: int) -> tuple:
    """The basic index of entries start … stop - 1 of a dimension."""
    return (*(_ALL,) * dim, slice(start, stop))


@lru_cache(maxsize=4096)
def _parts(sizes: tuple[int, ...], dim: int) -> tuple[tuple, ...]:
    """The basic index of each part of a dimension that is cut into `sizes`."""
    ends = list(accumulate(sizes))
    return tuple([span(dim, end - size, end) for end, size in zip(ends, sizes)])


def _first(arrays: Sequence[Any]) -> Any:
    return next(a for a in arrays if a is not None)


class _Cut(Op):
    """An operation that makes many views of one tensor, and whose gradient joins theirs."""

    def __init__(self, name: str, cpu: Callable, cuda: Callable, join: Op, rule: Callable):
        super().__init__(name, cpu, cuda, {"x": rule})
        self.join = join

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        """As for any op; what is usual, arrays in first order, in few steps."""
        if create_graph or type(g) is not list:  # a single part
            return super().vjp(node, g, edges, create_graph)
        for part in g:
            if type(part) is not ndarray:
                return super().vjp(node, g, edges, create_graph)
        return (self.join.cpu(*g, **node.attrs),)


# ---- cat and split: each the gradient of the other. A missing input (None) of cat is zeros. ----
def _cat_cpu(*xs, dim, sizes):
    for x in xs:
        if x is None:
            break
    else:
        return np.concatenate(xs, dim)
    like = _first(xs)
    y = np.zeros((*like.shape[:dim], sum(sizes), *like.shape[dim + 1 :]), like.dtype)
    for x, at in zip(xs, _parts(sizes, dim)):
        if x is not None:
            y[at] = x
    return y


def _cat_cuda(*xs, dim, sizes):
    from ..cuda.joining import cat

    like = _first(xs)
    return cat(xs, sizes, (*like.shape[:dim], sum(sizes), *like.shape[dim + 1 :]), dim)


cat_op = Op(
    "cat",
    _cat_cpu,
    _cat_cuda,
    grads=lambda g, needs, *, dim, sizes: tuple(
        [_shape.basic_index_op(g, index=at) if need else None for need, at in zip(needs, _parts(sizes, dim))]
    ),
)


def _split_cpu(x, *, dim, sizes):
    x = np.asarray(x)
    return tuple([x[at] for at in _parts(sizes, dim)])


def _split_cuda(x, *, dim, sizes):
    return tuple([_shape.basic_index_op.cuda(x, index=at) for at in _parts(sizes, dim)])


split_op = _Cut(
    "split", _split_cpu, _split_cuda, cat_op, lambda gs, *, dim, sizes: cat_op(*gs, dim=dim, sizes=sizes)
)


# ---- stack and unbind, likewise ----
def _raised(xs: Sequence[Any], dim: int) -> tuple[list, tuple]:
    shape = _first(xs).shape
    shape = (*shape[:dim], 1, *shape[dim:])
    return [x if x is None else x.reshape(shape) for x in xs], (1,) * len(xs)


def _stack_cpu(*xs, dim):
    shape = _first(xs).shape
    if shape and not dim:  # one reshape is enough
        return _cat_cpu(*xs, dim=0, sizes=(shape[0],) * len(xs)).reshape(len(xs), *shape)
    arrays, sizes = _raised(xs, dim)
    return _cat_cpu(*arrays, dim=dim, sizes=sizes)


def _stack_cuda(*xs, dim):
    arrays, sizes = _raised(xs, dim)
    return _cat_cuda(*arrays, dim=dim, sizes=sizes)


stack_op = Op(
    "stack",
    _stack_cpu,
    _stack_cuda,
    grads=lambda g, needs, *, dim: tuple(
        [part if need else None for need, part in zip(needs, unbind_op(g, dim=dim))]
    ),
)


def _unbind_cpu(x, *, dim):
    x = np.asarray(x)
    if not dim and x.ndim > 1:
        return tuple(x)
    return tuple([x[(*(_ALL,) * dim, k, ...)] for k in range(x.shape[dim])])


def _unbind_cuda(x, *, dim):
    return tuple([_shape.basic_index_op.cuda(x, index=(*(_ALL,) * dim, k)) for k in range(x.shape[dim])])


unbind_op = _Cut("unbind", _unbind_cpu, _unbind_cuda, stack_op, lambda gs, *, dim: stack_op(*gs, dim=dim))


def _cuts(indices: Sequence[tuple], kept: str) -> tuple[tuple, ...]:
    """For each of many views: its basic index, the same for its `_chain`, and its `_origin`. `kept` is the name of a
    function whose views may not be changed in place where gradients are wanted."""
    return tuple([(at, {"index": at}, (kept, k) if kept else None) for k, at in enumerate(indices)])


@lru_cache(maxsize=1024)
def _part_cuts(sizes: tuple[int, ...], dim: int, kept: str) -> tuple[tuple, ...]:
    return _cuts(_parts(sizes, dim), kept)


@lru_cache(maxsize=1024)
def _slice_cuts(n: int, dim: int) -> tuple[tuple, ...]:
    return _cuts([(*(_ALL,) * dim, k, ...) for k in range(n)], "Unbind")


def _views(x: Any, op: _Cut, cuts: tuple, attrs: dict) -> tuple:
    """The views of `x` that `op` makes, with what autograd must know of them."""
    a = x._a
    index_op = _shape.basic_index_op
    if (
        type(a) is not ndarray
        or len(cuts) == 1
        or x._origin is not None
        or LAYERS
        or SPECIAL
        or INFERRING
        or a.dtype.kind == "c"
    ):
        views = op(x, **attrs)
        for view, (_, note, origin) in zip(views, cuts):
            view._view_of(x, index_op, note)
            if view._origin is None and origin is not None:
                view._shared = (*view._shared[:2], origin)
        return views
    # The same for an array on the CPU, in few steps.
    grad = not MODES or state.grad
    edges = None if x._edge is None or not grad else (op.node_without_values(x, attrs, len(cuts)),)
    cell, shared = x._cell or x._version_cell(), x._shared
    base, chain = shared[:2] if type(shared) is tuple else (x, None)
    made = []
    k = 0
    for at, note, origin in cuts:
        view = _new(Tensor)
        view._a = a[at]
        view._grad = None
        view._cell = cell
        view._shared = base, (chain, index_op, note), origin if grad else "no_grad"
        if edges is None:
            view._edge = None
        else:
            view._edge = node = Node()
            node.op = SELECT
            node.all_edges = edges
            node.saved = k
            node.checks = node.cell = node.attrs = node.extra = None
            node.seq = next_sequence()
        made.append(view)
        k += 1
    note_views(base, [ref(view) for view in made])
    return tuple(made)


# ---- public: joining ----
def _tensors(op: str, tensors: Any) -> list:
    """A non-empty sequence of tensors, promoted to one dtype."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{op}(): argument 'tensors' must be a list or tuple of Tensors, not {type(tensors).__name__}"
        )
    if not tensors:
        raise RuntimeError(f"{op}(): expected a non-empty list of Tensors")
    for k, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"{op}(): expected Tensor as element {k} in argument 0, but got {type(t).__name__}"
            )
    own = tensors[0]._a.dtype
    for t in tensors:
        if t._a.dtype is not own:
            break
    else:
        return list(tensors)
    d = tensors[0].dtype
    for t in tensors:
        d = dt.promote_types(d, t.dtype)
    return [t.to(d) for t in tensors]


def _joined(op: Op, tensors: Any, dim: Any) -> Tensor | None:
    """`cat` or `stack` of arrays of one dtype on the CPU, in few steps; None where the long way must look."""
    if (
        (type(tensors) is not list and type(tensors) is not tuple)
        or type(dim) is not int
        or LAYERS
        or SPECIAL
    ):
        return None
    recorded = False
    try:
        arrays = [t._a for t in tensors]
        d = arrays[0].dtype
        for t in tensors:
            a = t._a
            if type(a) is not ndarray or a.dtype is not d:
                return None
            if t._edge is not None:
                recorded = True
    except (AttributeError, IndexError):  # what is no tensor, or no tensors
        return None
    if not arrays[0].ndim:
        return None
    first = arrays[0].shape
    n = len(first)
    attrs: dict[str, Any]
    if op is cat_op:
        if not -n <= dim < n:
            return None
        attrs = {"dim": dim % n}
        try:
            made = np.concatenate(arrays, dim)
        except ValueError:  # shapes differ
            return None
    else:
        if not -n - 1 <= dim <= n:
            return None
        for a in arrays:
            if a.shape != first:
                return None
        attrs = {"dim": dim % (n + 1)}
        made = _stack_cpu(*arrays, **attrs)
    output = wrap(made)
    if recorded and state.grad:
        if op is cat_op:
            attrs["sizes"] = tuple([a.shape[dim] for a in arrays])
        op._link(tensors, arrays, (output,), attrs)
    return output


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Joins tensors along an existing dimension; all other dimensions must agree. One launch for up to 32 of them.

    Different dtypes are promoted. 1-D tensors of size 0 are skipped, as in PyTorch.

    Raises:
        RuntimeError: shapes do not fit, or no tensors. IndexError: no such dimension.

    >>> import gradgpu as gg
    >>> gg.cat([gg.ones(1, 2), gg.zeros(2, 2)])
    tensor([[1., 1.],
            [0., 0.],
            [0., 0.]])
    """
    quick = _joined(cat_op, tensors, dim) if out is None else None
    if quick is not None:
        return quick
    given = _tensors("cat", tensors)
    xs = [t for t in given if t._a.shape != (0,)] or given[:1]
    first = xs[0]._a.shape
    if not first:
        raise RuntimeError("cat: zero-dimensional tensor (at position 0) cannot be concatenated; use stack")
    dim = _shape.canonical_dim(dim, len(first), "cat")
    sizes = []
    for k, t in enumerate(xs):
        shape = t._a.shape
        if len(shape) != len(first):
            raise RuntimeError(
                f"cat: Tensors must have same number of dimensions: got {len(first)} and {len(shape)} (tensor {k})"
            )
        if shape != first and (shape[:dim] != first[:dim] or shape[dim + 1 :] != first[dim + 1 :]):
            raise RuntimeError(
                f"cat: Sizes of tensors must match except in dimension {dim}: tensor 0 is {list(first)}, tensor {k} is {list(shape)}"
            )
        sizes.append(shape[dim])
    made = cat_op(*xs, dim=dim, sizes=tuple(sizes))
    return made if out is None else _into("cat", out, made)


def _into(name: str, out: Tensor, made: Tensor) -> Tensor:
    from .inplace import write_out

    return write_out(name, out, made)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Joins tensors of one shape along a new dimension.

    >>> import gradgpu as gg
    >>> gg.stack([gg.zeros(2), gg.ones(2)], dim=1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    quick = _joined(stack_op, tensors, dim) if out is None else None
    if quick is not None:
        return quick
    xs = _tensors("stack", tensors)
    shape = xs[0]._a.shape
    for k, t in enumerate(xs):
        if t._a.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and {list(t._a.shape)} at entry {k}"
            )
    made = stack_op(*xs, dim=_shape.canonical_dim(dim, len(shape) + 1, "stack"))
    return made if out is None else _into("stack", out, made)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joins along the first dimension; vectors count as rows.

    >>> import gradgpu as gg
    >>> gg.vstack([gg.tensor([1, 2]), gg.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return cat([t if t.ndim >= 2 else t.reshape((1, t.numel())) for t in _tensors("vstack", tensors)], 0)


row_stack = vstack


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joins along the second dimension; vectors along their only one."""
    xs = [t if t.ndim else t.reshape((1,)) for t in _tensors("hstack", tensors)]
    return cat(xs, 0 if xs[0].ndim == 1 else 1)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joins along the third dimension; a vector (n) counts as (1, n, 1), a matrix (m, n) as (m, n, 1)."""
    xs = [t.reshape((1, t.numel(), 1)) if t.ndim < 2 else t for t in _tensors("dstack", tensors)]
    return cat([t if t.ndim > 2 else t.reshape((*t.shape, 1)) for t in xs], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joins vectors as the columns of a matrix; matrices along the second dimension."""
    return cat([t if t.ndim > 1 else t.reshape((t.numel(), 1)) for t in _tensors("column_stack", tensors)], 1)


# ---- public: cutting ----
@lru_cache(maxsize=1024)
def _even_sizes(n: int, size: int) -> tuple[int, ...]:
    """The sizes of the parts of a dimension that is cut every `size` entries."""
    return tuple([min(size, n - k) for k in range(0, n, size)]) if n else (0,)


@method
def split(tensor: Any, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> tuple:
    """Cuts a dimension into views of a given size (the last may be smaller), or of the given sizes.

    The gradients of the parts are written into one buffer.

    Raises:
        RuntimeError: the sizes do not add up to the dimension.

    >>> import gradgpu as gg
    >>> gg.split(gg.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    shape = tensor._a.shape
    if not shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = _shape.canonical_dim(dim, len(shape), "split")
    n = shape[d]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or size == 0 and n:
            raise RuntimeError(
                f"split expects split_size be positive, but got split_size={size} for a dimension of size {n}"
            )
        sizes = _even_sizes(n, size)
    elif split_size is not None:  # the name that the method's argument has
        return split(tensor, split_size, dim)
    else:
        sizes = tuple([int(s) for s in split_size_or_sections])
        if sum(sizes) != n or any(s < 0 for s in sizes):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {d}), but got {list(sizes)}"
            )
    return _split(tensor, d, sizes)


def _split(x: Any, dim: int, sizes: tuple[int, ...]) -> tuple:
    return _views(x, split_op, _part_cuts(sizes, dim, "Split"), {"dim": dim, "sizes": sizes})


@method
def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple:
    """`split` by sizes.

    >>> import gradgpu as gg
    >>> gg.split_with_sizes(gg.arange(3), [1, 2])
    (tensor([0]), tensor([1, 2]))
    """
    return split(input, tuple(split_sizes), dim)


@method
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """Cuts a dimension into at most `chunks` views of equal size (the last may be smaller).

    >>> import gradgpu as gg
    >>> gg.chunk(gg.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    try:
        shape = input._a.shape
    except AttributeError:
        refuse_others("chunk", input=input)
        raise
    if not shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    d = _shape.canonical_dim(dim, len(shape), "chunk")
    n = shape[d]
    return _split(input, d, _even_sizes(n, max(-(-n // chunks), 1)) if n else (0,) * chunks)


@method
def tensor_split(
    input: Any, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple:
    """Cuts a dimension into so many views of nearly equal size, or at the given positions.

    >>> import gradgpu as gg
    >>> gg.tensor_split(gg.arange(5), (1, 3))
    (tensor([0]), tensor([1, 2]), tensor([3, 4]))
    """
    indices_or_sections = next((x for x in (indices_or_sections, indices, sections) if x is not None), None)
    if indices_or_sections is None:
        raise TypeError("tensor_split() needs indices or a number of sections")
    if not input.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor")
    d = _shape.canonical_dim(dim, input.ndim, "tensor_split")
    n = input._a.shape[d]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, (int, np.integer)):
        k = int(indices_or_sections)
        if k <= 0:
            raise RuntimeError(f"tensor_split: number of sections must be larger than 0, got {k}")
        sizes = tuple([n // k + (i < n % k) for i in range(k)])
        return _views(input, split_op, _part_cuts(sizes, d, ""), {"dim": d, "sizes": sizes})
    starts = [0, *[slice(None, i).indices(n)[1] for i in indices_or_sections]]
    stops = [*starts[1:], n]
    return tuple([input[span(d, a, max(a, b))] for a, b in zip(starts, stops)])


@method
def unbind(input: Any, dim: int = 0) -> tuple:
    """The slices along a dimension, which goes; views.

    >>> import gradgpu as gg
    >>> gg.unbind(gg.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    try:
        shape = input._a.shape
    except AttributeError:
        refuse_others("unbind", input=input)
        raise
    if not shape:
        raise IndexError("unbind: Dimension specified as 0 but tensor has no dimensions")
    d = _shape.canonical_dim(dim, len(shape), "unbind")
    if not shape[d]:
        return ()
    n = shape[d]
    cuts = _slice_cuts(n, d) if n <= 256 else _slice_cuts.__wrapped__(n, d)  # long ones are not kept
    return _views(input, unbind_op, cuts, {"dim": d})


# ---- repeating ----
def _ints(op: str, sizes: tuple) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    found = tuple([int(n) for n in sizes])
    if any(n < 0 for n in found):
        raise RuntimeError(f"{op}: repeats must not be negative, got {found}")
    return found


@method
def repeat(self: Any, *times: Any, repeats: Any = None) -> Tensor:
    """The tensor tiled `repeats` times along each dimension, with new leading dimensions if there are more of them.

    >>> import gradgpu as gg
    >>> gg.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times, shape = _ints("repeat", times if repeats is None else (repeats,)), self._a.shape
    lead = len(times) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"repeat: Number of dimensions of repeat dims ({len(times)}) can not be smaller than number of dimensions of tensor ({len(shape)})"
        )
    own = (1,) * lead + tuple(shape)
    between = tuple([k for n in own for k in (1, n)])
    wide = tuple([k for pair in zip(times, own) for k in pair])
    made = self.reshape(between).expand(wide).reshape(tuple([r * n for r, n in zip(times, own)]))
    return made.clone() if all(r == 1 for r in times) else made.contiguous()  # always memory of its own


@method
def tile(input: Any, *times: Any, dims: Any = None) -> Tensor:
    """As `repeat`, but a shorter `dims` is filled up with leading ones (numpy's tile)."""
    times = _ints("tile", times if dims is None else (dims,))
    return repeat(input, *(1,) * (input.ndim - len(times)), *times)


@method
def repeat_interleave(
    input: Any = None, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Repeats each entry along `dim` (of the flattened tensor if None), `repeats` times or as often as a 1-D tensor says.

    With one argument, the numbers of repetitions, it gives as often the position of each.

    >>> import gradgpu as gg
    >>> gg.repeat_interleave(gg.tensor([1, 2, 3]), gg.tensor([0, 2, 1]))
    tensor([2, 2, 3])
    """
    if repeats is None or input is None:
        from .creation import arange

        input = repeats if input is None else input
        input, repeats = arange(input.shape[0], device=input.device), input
    if dim is None:
        input, dim = input.reshape((-1,)), 0
    shape = input._a.shape
    d = _shape.canonical_dim(dim, len(shape), "repeat_interleave")
    if isinstance(repeats, Tensor) and repeats.numel() != 1:
        if repeats.ndim != 1 or repeats.shape[0] != shape[d]:
            raise RuntimeError(
                f"repeat_interleave: repeats must have the same size as input along dim: {list(repeats.shape)} and {shape[d]}"
            )
        from .creation import tensor
        from .index import index_select

        counts = np.asarray(repeats.tolist(), np.int64)
        if (counts < 0).any():
            raise RuntimeError("repeat_interleave: repeats can not be negative")
        return index_select(input, d, tensor(np.repeat(np.arange(shape[d]), counts), device=input.device))
    (times,) = _ints("repeat_interleave", (int(repeats),))
    wide = input.reshape((*shape[: d + 1], 1, *shape[d + 1 :])).expand(
        (*shape[: d + 1], times, *shape[d + 1 :])
    )
    return wide.reshape((*shape[:d], shape[d] * times, *shape[d + 1 :])).contiguous()


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """Coordinate grids of vectors, as views: output k varies along dimension k ('xy' swaps the first two).

    >>> import gradgpu as gg
    >>> gg.meshgrid(gg.tensor([1, 2]), gg.tensor([3, 4, 5]), indexing="ij")[0]
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    xs = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)
    if not xs:
        raise ValueError("meshgrid expects a non-empty list of tensors")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing!r}')
    for x in xs:
        if x.ndim > 1:
            raise RuntimeError(
                f"meshgrid: Expected 0D or 1D tensor in the tensor list but got shape {tuple(x.shape)}"
            )
    swap = indexing == "xy" and len(xs) >= 2
    if swap:
        xs[0], xs[1] = xs[1], xs[0]
    sizes = tuple([x.numel() for x in xs])
    grids = [
        x.reshape((1,) * k + (n,) + (1,) * (len(xs) - 1 - k)).expand(sizes)
        for k, (x, n) in enumerate(zip(xs, sizes))
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


__all__ = [
    "cat", "chunk", "column_stack", "concat", "concatenate", "dstack", "hstack", "meshgrid", "repeat_interleave", "row_stack",
    "split", "stack", "tensor_split", "tile", "unbind", "vstack",
]  # fmt: skip
