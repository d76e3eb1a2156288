"""Sparse tensors in coordinate format: the positions of the entries and their values.

`sparse_coo_tensor(indices, values, size)` makes one, `x.to_sparse()` takes the elements of a dense tensor that are not zero. They are
for the adjacency matrices of graph nets and the like: products with dense matrices run in a kernel of their own
(kernels/sparse.cu) in time and memory of the entries alone, and gradients go to the dense factor and to the values.

>>> import gradgpu as gg
>>> a = gg.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], [3., 4., 5.], (2, 3))
>>> a @ gg.ones(3, 1)
tensor([[3.],
        [9.]])
>>> a.to_dense()
tensor([[0., 0., 3.],
        [4., 0., 5.]])

A `SparseTensor` is a Tensor whose values are a tensor of their own, with a history of its own. Operations that know sparse
tensors are in `RULES`; all others raise NotImplementedError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes as dt
from .devices import device as Device
from .layouts import sparse_coo, sparse_csr
from .meta import HANDLERS, SparseArray
from .ops.convert import clone_op, move_op
from .ops.creation import arange, tensor, zeros
from .ops.index import index_add_op, take_op
from .ops.join import cat, repeat_interleave, stack
from .ops.masks import nonzero
from .ops.reduce import reduced_dims
from .ops.registry import continued, method
from .ops.shape import permute
from .ops.sort import sort
from .ops.sparse import Pattern, spmm_op
from .tensor import Tensor


def _rows(x: Tensor, index: Tensor) -> Tensor:
    return take_op(x, index, dim=0, negative=False, op="sparse")


def _added(index: Tensor, source: Tensor, size: int) -> Tensor:
    """Rows of `source` added up by index, into `size` rows."""
    return index_add_op(None, index, source, dim=0, negative=False, op="sparse", size=size)


class SparseTensor(Tensor):
    """A tensor of which only some entries are stored; made by `sparse_coo_tensor` and `to_sparse`.

    Entries whose position occurs more than once count as their sum; `coalesce` adds them up and sorts them.
    """

    # _pattern   the positions, int64 (sparse_dim, entries), with the orders in which products visit them
    # _entries   the values (entries, *dense sizes), a tensor with its own history
    # _own       whether that tensor belongs to this one alone: then this one is a leaf, with its grad
    # _unique    whether positions are sorted and occur once
    __slots__ = ("_pattern", "_entries", "_own", "_unique")
    is_sparse = True
    layout = sparse_coo

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("SparseTensor: make one with gradgpu.sparse_coo_tensor(indices, values, size)")

    # ---- what it is ----
    @property
    def device(self) -> Device:
        return self._entries.device

    @property
    def is_cuda(self) -> bool:
        return self._entries.is_cuda

    @property
    def is_cpu(self) -> bool:
        return self._entries.is_cpu

    @property
    def is_meta(self) -> bool:
        return self._entries.is_meta

    def stride(self, dim: int | None = None) -> Any:
        """RuntimeError: entries are not at strides."""
        raise RuntimeError("sparse tensors do not have strides")

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """False: the elements are not in memory one after another."""
        return False

    def data_ptr(self) -> int:
        """RuntimeError: the elements are in no one place."""
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def _host(self) -> Any:
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def numpy(self, *, force: bool = False) -> Any:
        """TypeError: use to_dense() first."""
        return self._host()

    def sparse_dim(self) -> int:
        """How many of the first dimensions have positions."""
        return self._pattern.at.shape[0]

    def dense_dim(self) -> int:
        """How many dimensions each entry has."""
        return self._entries.ndim - 1

    def _nnz(self) -> int:
        return self._entries.shape[0]

    def is_coalesced(self) -> bool:
        """Whether positions are sorted and occur once."""
        return self._unique

    def _indices(self) -> Tensor:
        return self._pattern.at

    def _values(self) -> Tensor:
        return self._entries.detach()

    def indices(self) -> Tensor:
        """The positions (sparse_dim, entries), of a coalesced tensor."""
        self._need_unique("indices")
        return self._pattern.at

    def values(self) -> Tensor:
        """The values (entries, …), of a coalesced tensor; gradients flow through."""
        self._need_unique("values")
        return self._entries

    def _need_unique(self, what: str) -> None:
        if not self._unique:
            raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first")

    # ---- the tape: that of the values ----
    @property
    def requires_grad(self) -> bool:
        return self._entries.requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if flag and not self._entries.requires_grad:
            self._entries, self._own = self._entries.detach(), True
        self._entries.requires_grad = flag

    @property
    def is_leaf(self) -> bool:
        return self._own or not self._entries.requires_grad

    @property
    def grad_fn(self) -> Any:
        return None if self.is_leaf else self._entries.grad_fn

    @property
    def grad(self) -> Tensor | None:
        g = self._entries._grad if self._own else None
        return None if g is None else _like(self, g)

    @grad.setter
    def grad(self, g: Tensor | None) -> None:
        if g is not None:
            if not isinstance(g, SparseTensor) or g._pattern is not self._pattern:
                raise RuntimeError(
                    "grad of a sparse tensor: assign None, or a tensor with the same positions"
                )
            g = g._entries
        self._entries.grad = g

    def detach(self) -> Tensor:
        """A tensor with the same entries that does not require grad."""
        return _like(self, self._entries.detach())

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, SparseTensor):
            raise RuntimeError("data of a sparse tensor: expected a sparse tensor")
        self._a, self._pattern, self._unique = value._a, value._pattern, value._unique
        needs = self.requires_grad
        self._entries, self._own = value._entries.detach(), True
        self._entries.requires_grad = needs

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Backward of the values; `gradient` is a sparse tensor with the same positions."""
        if not isinstance(gradient, SparseTensor) or gradient._entries.shape != self._entries.shape:
            raise RuntimeError(
                "backward of a sparse tensor: gradient must be a sparse tensor with the same entries"
            )
        self._entries.backward(gradient._entries, retain_graph, create_graph, inputs)

    # ---- other forms ----
    def coalesce(self) -> SparseTensor:
        """The same tensor with sorted positions, each once: entries of one position are added up. The host waits for
        their number."""
        if self._unique:
            return self
        at, entries = self._pattern.at, self._entries
        sizes = tuple(self.shape[: at.shape[0]])
        if at.shape[1] < 2:
            return _made(at, entries, tuple(self.shape), True)
        keys, order = sort(_flat(at, sizes), stable=True)
        new = cat([keys.new_ones(1), (keys[1:] != keys[:-1]).long()])
        first = nonzero(new).squeeze(1)
        made = _rows(entries, order)
        if first.shape[0] < keys.shape[0]:
            made = _added(new.cumsum(0) - 1, made, first.shape[0])
        return _made(at[:, _rows(order, first)], made, tuple(self.shape), True)

    def to_dense(self, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
        """The dense tensor with these entries, zero elsewhere."""
        at, entries = self._pattern.at, self._entries
        sizes = tuple(self.shape[: at.shape[0]])
        added = entries.to(dt.uint8) if entries.dtype is dt.bool else entries
        made = _added(_flat(at, sizes), added, math.prod(sizes)).reshape(tuple(self.shape))
        return made.to(entries.dtype if dtype is None else dtype)

    def to_sparse(self, sparse_dim: Any = None, *, layout: Any = None) -> Tensor:
        """The tensor itself, or in the form that `layout` names."""
        if layout is sparse_csr:
            return self.to_sparse_csr()
        _only_coo("to_sparse", layout)
        return self.to_sparse_coo()

    def to_sparse_coo(self) -> SparseTensor:
        """The tensor itself, or what it is in coordinates."""
        return self

    def to_sparse_csr(self, dense_dim: int | None = None) -> CSRTensor:
        """A matrix with its entries in rows; entries of one position are added up."""
        if self.sparse_dim() != 2 or self.dense_dim():
            raise RuntimeError(
                f"to_sparse_csr: expected a matrix of single entries, got shape {tuple(self.shape)}"
            )
        x = self.coalesce()
        return _made(x._pattern, x._entries, tuple(x.shape), True, x._own, CSRTensor)  # type: ignore[return-value]

    def sparse_mask(self, mask: Tensor) -> SparseTensor:
        """The entries at the positions of the sparse `mask`."""
        return self.to_dense().sparse_mask(mask)

    def _become(self, name: str, result: Tensor) -> SparseTensor:
        """Takes over what an in-place operation gives, with its history."""
        if not isinstance(result, SparseTensor) or result.shape != self.shape:
            raise RuntimeError(
                f"{name}: the result for a sparse tensor of shape {tuple(self.shape)} is not one"
            )
        if self._own and self.requires_grad:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        result = result.to(self.dtype)
        self._pattern, self._entries, self._unique, self._own = (
            result._pattern,
            result._entries,
            result._unique,
            result._own,
        )
        self._bump()
        return self

    def copy_(self, src: Tensor, non_blocking: bool = False) -> SparseTensor:
        """Takes over the entries of a sparse `src` of the same shape."""
        if not isinstance(src, SparseTensor) or src.shape != self.shape:
            raise RuntimeError(
                "copy_() between dense and sparse Tensors is not implemented! Found self type = SparseTensor and src type = "
                f"{type(src).__name__} of shape {tuple(src.shape)}, expected {tuple(self.shape)}"
            )
        self.data = src.to(self.device, self.dtype)
        return self

    def _parts(self) -> list[tuple[str, Tensor]]:
        return [("indices", self._pattern.at), ("values", self._values())]

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        parts = ",\n       ".join([f"{name}={_part_text(name, x)}" for name, x in self._parts()])
        tail = [f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        if self.is_cuda:
            tail.insert(0, f"device='{self.device}'")
        if self.dtype is not dt.get_default_dtype() and self.dtype not in (dt.int64, dt.bool):
            tail.append(f"dtype={self.dtype}")
        tail.append(f"layout={self.layout}")
        if not self.is_leaf:
            tail.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            tail.append("requires_grad=True")
        return f"tensor({parts},\n       {', '.join(tail)})"

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise RuntimeError("Boolean value of a sparse tensor is ambiguous; use x.to_dense()")

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol"
            )
        made = _made(
            self._pattern.at.clone(),
            self._entries.detach().clone(),
            tuple(self.shape),
            self._unique,
            True,
            type(self),
        )
        made._entries.requires_grad = self.requires_grad
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        shape = tuple(self.shape)
        return _rebuild, (
            self._pattern.at,
            self._values(),
            shape,
            self._unique,
            self.requires_grad,
            type(self),
        )


class CSRTensor(SparseTensor):
    """A sparse matrix in compressed rows; made by `sparse_csr_tensor` and `to_sparse_csr`.

    Arithmetic and products are those of `SparseTensor`. What is done to its entries alone gives such a matrix again; its
    transpose, sums and selections are in coordinates.
    """

    __slots__ = ()
    is_sparse = False
    is_sparse_csr = True
    layout = sparse_csr

    def crow_indices(self) -> Tensor:
        """Where each row begins in the entries, and the end: (rows + 1,)."""
        return self._pattern.by(False)[0]

    def col_indices(self) -> Tensor:
        """The column of each entry."""
        return self._pattern.at[1]

    def indices(self) -> Tensor:
        """RuntimeError: see crow_indices and col_indices."""
        raise RuntimeError("indices expected sparse coordinate tensor layout but got SparseCsr")

    def to_sparse_coo(self) -> SparseTensor:
        """The same matrix in coordinates."""
        return _made(self._pattern, self._entries, tuple(self.shape), True, self._own)

    def to_sparse_csr(self, dense_dim: int | None = None) -> CSRTensor:
        """The tensor itself."""
        return self

    def _parts(self) -> list[tuple[str, Tensor]]:
        return [
            ("crow_indices", self.crow_indices()),
            ("col_indices", self.col_indices()),
            ("values", self._values()),
        ]


def _part_text(name: str, x: Tensor) -> str:
    """The text of indices or values: without dtype and device, which are the tensor's."""
    text = re.sub(r",\s+(dtype|device|size)=('[^']*'|\([^)]*\)|[\w.]+)", "", repr(x))
    if not x.numel():
        text = f"{text[:-1]}, size={tuple(x.shape)})"
    return text.replace("\n", "\n" + " " * len(f"       {name}="))


def _rebuild(
    at: Tensor, entries: Tensor, shape: tuple, unique: bool, requires_grad: bool, kind: type
) -> SparseTensor:
    """Unpickles a sparse tensor."""
    made = _made(at, entries, shape, unique, True, kind)
    made._entries.requires_grad = requires_grad
    return made


def _made(
    at: Any, entries: Tensor, shape: tuple, unique: bool, own: bool = False, kind: type | None = None
) -> SparseTensor:
    """A sparse tensor of its parts; `at` is a tensor, or the pattern of another one. `kind`: its class."""
    t: SparseTensor = object.__new__(SparseTensor if kind is None else kind)
    t._a = SparseArray(shape, entries._a.dtype)
    t._edge = t._grad = t._cell = None
    t._pattern = at if isinstance(at, Pattern) else Pattern(at, shape[: at.shape[0]], unique)
    t._entries, t._unique, t._own = entries, unique, own
    return t


def _like(t: SparseTensor, entries: Tensor) -> SparseTensor:
    """Other values in the same places."""
    return _made(t._pattern, entries, tuple(t.shape), t._unique, kind=type(t))


def _flat(at: Tensor, sizes: Sequence[int]) -> Tensor:
    """Positions as numbers of elements in row-major order."""
    if not at.shape[0]:
        return at.new_zeros(at.shape[1])
    made = at[0]
    for d in range(1, at.shape[0]):
        made = made * sizes[d] + at[d]
    return made


def _unflat(flat: Tensor, sizes: Sequence[int]) -> Tensor:
    """Numbers of elements as positions (dimensions, entries)."""
    parts = []
    for n in reversed([max(n, 1) for n in sizes]):  # without elements there is no number to divide
        parts.append(flat % n)
        flat = flat // n
    return stack(parts[::-1])


def _check_positions(at: Tensor, sizes: Sequence[int]) -> None:
    """Raises for a position outside the sizes, at once on the CPU, on cuda when the host next waits for the device."""
    if not at.shape[1]:
        return
    if at.is_cuda:
        from .cuda.indexing import note_outside

        for d, n in enumerate(sizes):
            note_outside("sparse_coo_tensor", at._a, d, n)
        return
    for d, n in enumerate(sizes):
        low, high = int(at._a[d].min()), int(at._a[d].max())
        if low < 0:
            raise RuntimeError(f"found negative index {low} for dim {d}")
        if high >= n:
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {d}, size is {n} but found index {high}"
            )


def sparse_coo_tensor(
    indices: Any,
    values: Any = None,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> SparseTensor:
    """A sparse tensor with `values` (entries, …) at `indices` (sparse dimensions, entries), zero elsewhere; also
    `sparse_coo_tensor(size)`, without entries. Gradients flow to `values` if that is a tensor.

    Args:
        size: the shape; by default as small as the indices allow (the host waits for them).
        requires_grad: whether the tensor itself, a leaf then, gets a gradient (a sparse one, with the same positions).
        check_invariants: accepted; indices are always checked.
        is_coalesced: whether indices are known to be sorted and different.

    Raises:
        RuntimeError: indices and values are not as many, an index lies outside `size` (on cuda an IndexError, when the host
            next waits for the device), or the sizes do not fit.

    >>> import gradgpu as gg
    >>> gg.sparse_coo_tensor([[0, 1], [1, 0]], [1., 2.], (2, 2))
    tensor(indices=tensor([[0, 1],
                           [1, 0]]),
           values=tensor([1., 2.]),
           size=(2, 2), nnz=2, layout=gradgpu.sparse_coo)
    """
    if values is None:
        shape = tuple(int(n) for n in (indices if size is None else size))
        at = zeros(len(shape), 0, dtype=dt.int64, device=device)
        made = _made(at, zeros(0, dtype=dtype, device=device), shape, True, own=True)
        made._entries.requires_grad = requires_grad
        return made
    if not isinstance(values, Tensor):
        values = tensor(values, dtype=dtype, device=device)
    where = values.device if device is None else Device(device)
    values = values.to(where) if dtype is None else values.to(where, dt.as_dtype(dtype))
    at = indices if isinstance(indices, Tensor) else tensor(indices, dtype=dt.int64)
    at = at.detach().to(where, dt.int64)
    if at.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}")
    if not values.ndim:
        values = values.unsqueeze(0)
    if values.shape[0] != at.shape[1]:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {at.shape[1]}, nnz from values: {values.shape[0]}"
        )
    if size is None:
        if not at.shape[1]:
            raise RuntimeError("sparse_coo_tensor: without entries there must be a size")
        shape = (*[n + 1 for n in at.amax(1).tolist()], *values.shape[1:])
    else:
        shape = tuple(int(n) for n in size)
    if len(shape) != at.shape[0] + values.ndim - 1:
        raise RuntimeError(
            f"number of dimensions must be sparse_dim ({at.shape[0]}) + dense_dim ({values.ndim - 1}), but got {len(shape)}"
        )
    if shape[at.shape[0] :] != tuple(values.shape[1:]):
        raise RuntimeError(
            f"values has incorrect size, expected {[values.shape[0], *shape[at.shape[0] :]]}, got {list(values.shape)}"
        )
    _check_positions(at, shape[: at.shape[0]])
    if requires_grad:
        made = _made(at, values.detach(), shape, bool(is_coalesced), own=True)
        made._entries.requires_grad = True
        return made
    if values.requires_grad:
        values = continued(values, "SparseCooTensorWithDimsAndTensorsBackward0")
    return _made(at, values, shape, bool(is_coalesced))


def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> CSRTensor:
    """A sparse matrix in compressed rows: the entries crow_indices[r], …, crow_indices[r + 1] - 1 are those of row r, in ascending
    columns. Gradients flow to `values` if that is a tensor.

    Args:
        size: the shape; by default as few columns as the indices allow (the host waits for them).
        requires_grad, check_invariants: as in `sparse_coo_tensor`.

    Raises:
        RuntimeError: the rows do not hold as many entries as there are, or as for `sparse_coo_tensor`.

    >>> import gradgpu as gg
    >>> gg.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [3., 4., 5.], (2, 3)) @ gg.ones(3)
    tensor([3., 9.])
    """
    if not isinstance(values, Tensor):
        values = tensor(values, dtype=dtype, device=device)
    where = values.device if device is None else Device(device)
    begins, columns = (
        (x if isinstance(x, Tensor) else tensor(x, dtype=dt.int64)).detach().to(where, dt.int64)
        for x in (crow_indices, col_indices)
    )
    if begins.ndim != 1 or columns.ndim != 1 or not begins.shape[0]:
        raise RuntimeError(
            f"sparse_csr_tensor: expected two vectors of indices, got shapes {tuple(begins.shape)} and {tuple(columns.shape)}"
        )
    rows = begins.shape[0] - 1
    row = repeat_interleave(arange(rows, device=where), begins[1:] - begins[:-1])
    if row.shape[0] != columns.shape[0]:
        raise RuntimeError(
            f"sparse_csr_tensor: crow_indices end with {row.shape[0]} entries, but there are {columns.shape[0]} col_indices"
        )
    if size is None:
        size = (rows, int(columns.max()) + 1 if columns.shape[0] else 0)
    made = sparse_coo_tensor(
        stack([row, columns]),
        values,
        size,
        dtype=dtype,
        device=device,
        requires_grad=requires_grad,
        is_coalesced=True,
    )
    return made.to_sparse_csr()


def _only_coo(name: str, kind: Any) -> None:
    if kind is not None and kind is not sparse_coo:
        raise NotImplementedError(
            f"{name}: there are gradgpu.sparse_coo and gradgpu.sparse_csr, got layout {kind}"
        )


@method("to_sparse", "to_sparse_coo")
def to_sparse(self: Tensor, sparse_dim: int | None = None, *, layout: Any = None) -> SparseTensor:
    """The elements that are not zero as a sparse tensor; with `sparse_dim` each entry is a block of the dimensions behind
    those. The host waits for their number.

    >>> import gradgpu as gg
    >>> gg.eye(2).to_sparse().values()
    tensor([1., 1.])
    """
    if layout is sparse_csr:
        return to_sparse(self).to_sparse_csr()
    _only_coo("to_sparse", layout)
    if not self.ndim:
        raise NotImplementedError("to_sparse: a 0-dim tensor has no sparse form here")
    n = self.ndim if sparse_dim is None else sparse_dim
    if not 0 < n <= self.ndim:
        raise RuntimeError(f"sparse_dim argument must be in >0 and <={self.ndim}, but got {n}")
    sizes = tuple(self.shape[:n])
    blocks = self.reshape((math.prod(sizes), *self.shape[n:]))
    filled = blocks.detach() != 0
    while filled.ndim > 1:
        filled = filled.any(-1)
    flat = nonzero(filled).squeeze(1)
    return _made(_unflat(flat, sizes), _rows(blocks, flat), tuple(self.shape), True)


@method
def to_sparse_csr(self: Tensor, dense_dim: int | None = None) -> CSRTensor:
    """The elements of a matrix that are not zero, in compressed rows. The host waits for their number.

    >>> import gradgpu as gg
    >>> gg.eye(2).to_sparse_csr().crow_indices()
    tensor([0, 1, 2])
    """
    return to_sparse(self).to_sparse_csr()


@method
def sparse_mask(self: Tensor, mask: SparseTensor) -> SparseTensor:
    """The elements of a dense tensor at the positions of a sparse one.

    >>> import gradgpu as gg
    >>> gg.ones(2, 2).sparse_mask(gg.eye(2).to_sparse()).values()
    tensor([1., 1.])
    """
    if not isinstance(mask, SparseTensor):
        raise RuntimeError("sparse_mask: expected mask to be sparse")
    if mask.shape != self.shape:
        raise RuntimeError(
            f"sparse_mask: operands have incompatible sizes; self has size {list(self.shape)} but mask has size {list(mask.shape)}"
        )
    return _like(mask, _picked(self, mask))


def _picked(x: Tensor, where: SparseTensor) -> Tensor:
    """The elements of a dense tensor at the positions of a sparse one."""
    n = where.sparse_dim()
    sizes = tuple(where.shape[:n])
    return _rows(x.reshape((math.prod(sizes), *x.shape[n:])), _flat(where._pattern.at, sizes))


def _dense_only(name: str) -> Callable:
    def refuse(self: Tensor) -> Any:
        raise RuntimeError(f"{name} expected sparse coordinate tensor layout but got Strided")

    refuse.__name__ = name
    refuse.__doc__ = f"`{name}` of a sparse tensor; RuntimeError on others."
    return method(refuse)


for _name in (
    "coalesce", "indices", "values", "is_coalesced", "_nnz", "_indices", "_values", "crow_indices", "col_indices",
):  # fmt: skip
    _dense_only(_name)


@method
def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """A dense tensor as it is; a sparse one with all its zeros.

    >>> import gradgpu as gg
    >>> gg.ones(2).to_dense()
    tensor([1., 1.])
    """
    return self if dtype is None else self.to(dtype)


@method
def sparse_dim(self: Tensor) -> int:
    """0: a dense tensor has no sparse dimensions."""
    return 0


@method
def dense_dim(self: Tensor) -> int:
    """How many dimensions are dense: all."""
    return self.ndim


# ---- products ----
def _matrix(name: str, a: Any) -> None:
    if a.sparse_dim() != 2 or a.dense_dim():
        raise RuntimeError(
            f"{name}: expected a sparse matrix with two sparse dimensions, got {a.sparse_dim()} and {a.dense_dim()} dense ones"
        )


def _fit(name: str, a: Tensor, b: Tensor, inner: tuple[int, int]) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: expected both of one dtype, got {a.dtype} and {b.dtype}; convert with .to(dtype)"
        )
    if a.device != b.device:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found {a.device}, {b.device}; "
            f"move them to one device, e.g. x.to('{a.device}')"
        )
    if not a.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name}: sparse products are of floating-point tensors, got {a.dtype}; use .float()"
        )
    if inner[0] != inner[1]:
        raise RuntimeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, a.shape))} and {'x'.join(map(str, b.shape))})"
        )


def _mm(a: Tensor, b: Tensor, ta: bool = False, tb: bool = False) -> Tensor:
    if ta:
        a = a.mT
    if tb:
        b = b.mT
    if a.ndim != 2 or b.ndim != 2:
        raise RuntimeError(
            f"mm: expected matrices, got {a.ndim}-D and {b.ndim}-D tensors, one of them sparse"
        )
    _fit("mm", a, b, (a.shape[1], b.shape[0]))
    if not isinstance(b, SparseTensor):
        _matrix("mm", a)
        return spmm_op(a._entries, b, pattern=a._pattern, columns=False)
    _matrix("mm", b)
    if not isinstance(a, SparseTensor):
        return spmm_op(b._entries, a.mT, pattern=b._pattern, columns=True).mT
    _matrix("mm", a)
    return _both_sparse(a, b)


def _both_sparse(a: Any, b: Any) -> SparseTensor:
    """The product of two sparse matrices, sparse: each entry (i, k) of `a` meets the entries of row k of `b` (Gustavson,
    "Two fast algorithms for sparse matrices", 1978)."""
    begin, order, columns = b._pattern.by(False)
    at = a._pattern.at
    meets = begin[1:][at[1]] - begin[:-1][at[1]]
    left = repeat_interleave(arange(a._nnz(), device=a.device), meets)
    place = arange(left.shape[0], device=a.device) - (meets.cumsum(0) - meets)[left]
    sorted_place = begin[:-1][at[1]][left] + place
    right = sorted_place if order is None else order[sorted_place]
    values = _rows(a._entries, left) * _rows(b._entries, right)
    return _made(
        stack([at[0][left], columns[sorted_place]]), values, (a.shape[0], b.shape[1]), False
    ).coalesce()


def mm(sparse: Tensor, dense: Tensor) -> Tensor:
    """The product of a sparse matrix (m, k) and a dense one (k, n), dense; of two sparse ones, sparse. Also `@`, `gg.mm` and
    `gg.matmul`. Gradients reach the values and the dense factor.

    On cuda a warp makes a row of the result, or 32 columns of it, in the order of the entries: reproducible. The order
    of the entries by rows, and by columns for the gradient, is found once for a tensor and kept with it.

    >>> import gradgpu as gg
    >>> a = gg.sparse_coo_tensor([[0, 1], [1, 0]], [2., 3.], (2, 2))
    >>> gg.sparse.mm(a, gg.tensor([[1.], [2.]]))
    tensor([[4.],
            [3.]])
    """
    for x in (sparse, dense):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"sparse.mm: expected two Tensors, got {type(sparse).__name__} and {type(dense).__name__}"
            )
    if not isinstance(sparse, SparseTensor) and not isinstance(dense, SparseTensor):
        raise RuntimeError("sparse.mm: one of the two must be sparse; use gradgpu.mm")
    return _mm(sparse, dense)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """`beta * mat + alpha * (mat1 @ mat2)` with a sparse `mat1`.

    >>> import gradgpu as gg
    >>> gg.sparse.addmm(gg.ones(2, 2), gg.eye(2).to_sparse(), gg.ones(2, 2))
    tensor([[2., 2.],
            [2., 2.]])
    """
    return mat * beta + mm(mat1, mat2) * alpha


# ---- sums, softmax ----
def sum(input: SparseTensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum over `dim`: sparse if sparse dimensions are left, dense otherwise; of all elements by default, 0-dim.

    >>> import gradgpu as gg
    >>> gg.sparse.sum(gg.eye(2).to_sparse(), 1).to_dense()
    tensor([1., 1.])
    """
    _need_sparse("sum", input)
    entries = input._entries if dtype is None else input._entries.to(dtype)
    if dim is None:
        return entries.sum()
    dims = reduced_dims("sparse.sum", dim, input.ndim)
    n = input.sparse_dim()
    dense = [d - n + 1 for d in dims if d >= n]
    if dense:
        entries = entries.sum(dense)
    kept = [d for d in range(n) if d not in dims]
    if not kept:
        return entries.sum(0)
    shape = tuple(size for d, size in enumerate(input.shape) if d not in dims)
    if len(kept) == n:
        return _made(input._pattern, entries, shape, input._unique)
    return _made(stack([input._pattern.at[d] for d in kept]), entries, shape, False).coalesce()


def _need_sparse(name: str, input: Any) -> None:
    if not isinstance(input, SparseTensor):
        raise RuntimeError(f"sparse.{name}: expected a sparse tensor; make one with x.to_sparse()")


def softmax(input: SparseTensor, dim: int, *, dtype: Any = None) -> SparseTensor:
    """The softmax along `dim` of the entries that are there: the others count as -inf and stay zero.

    >>> import gradgpu as gg
    >>> gg.sparse.softmax(gg.sparse_coo_tensor([[0, 0, 1], [0, 2, 1]], [1., 1., 5.], (2, 3)), 1).values()
    tensor([0.5000, 0.5000, 1.0000])
    """
    _need_sparse("softmax", input)
    x = input.coalesce() if dtype is None else input.to(dtype).coalesce()
    groups = _groups("softmax", x, dim)
    if groups is None:
        return _like(x, x._entries.softmax(_entry_dim(x, dim)))
    index, count = groups
    powers = (x._entries - _rows(_largest(x._entries, index, count), index)).exp()
    return _like(x, powers / _rows(_added(index, powers, count), index))


def log_softmax(input: SparseTensor, dim: int, *, dtype: Any = None) -> SparseTensor:
    """The logarithm of `softmax`, computed without it.

    >>> import gradgpu as gg
    >>> gg.sparse.log_softmax(gg.sparse_coo_tensor([[0, 0], [0, 2]], [1., 1.], (1, 3)), 1).values()
    tensor([-0.6931, -0.6931])
    """
    _need_sparse("log_softmax", input)
    x = input.coalesce() if dtype is None else input.to(dtype).coalesce()
    groups = _groups("log_softmax", x, dim)
    if groups is None:
        return _like(x, x._entries.log_softmax(_entry_dim(x, dim)))
    index, count = groups
    shifted = x._entries - _rows(_largest(x._entries, index, count), index)
    return _like(x, shifted - _rows(_added(index, shifted.exp(), count).log(), index))


def _entry_dim(x: SparseTensor, dim: int) -> int:
    return dim % x.ndim - x.sparse_dim() + 1


def _groups(name: str, x: SparseTensor, dim: int) -> Any:
    """(for each entry the number of the line along `dim` in which it lies, how many lines there are); None of a dense
    dimension."""
    (d,) = reduced_dims(f"sparse.{name}", dim, x.ndim)
    n = x.sparse_dim()
    if d >= n:
        return None
    others = [k for k in range(n) if k != d]
    sizes = [x.shape[k] for k in others]
    if not others:
        return x._pattern.at[0] * 0, 1
    return _flat(stack([x._pattern.at[k] for k in others]), sizes), math.prod(sizes)


def _largest(entries: Tensor, index: Tensor, count: int) -> Tensor:
    """The largest entries of each line, without a gradient; entries of lines without any do not matter."""
    from .ops.scatter_reduce import index_reduce

    x = entries.detach()
    start = x.new_full((count, *x.shape[1:]), -math.inf)
    return index_reduce(start, 0, index, x, "amax")


# ---- what operations do to sparse tensors ----
def _cast(x: SparseTensor, *, dtype: Any) -> SparseTensor:
    return _like(x, x._entries.to(dt.from_numpy_dtype(np.dtype(dtype))))


def _move(x: SparseTensor, **where: Any) -> SparseTensor:
    at, entries = move_op(x._pattern.at, **where), move_op(x._entries, **where)
    return _made(at, entries, tuple(x.shape), x._unique, kind=type(x))


def _permuted(x: SparseTensor, *, dims: tuple) -> SparseTensor:
    n = x.sparse_dim()
    if any((d < n) is not (k < n) for k, d in enumerate(dims)):
        raise RuntimeError(
            f"transpose: cannot exchange sparse and dense dimensions ({n} sparse of {x.ndim}, dims {dims})"
        )
    shape = tuple(x.shape[d] for d in dims)
    entries = x._entries if x.dense_dim() < 2 else permute(x._entries, 0, *[d - n + 1 for d in dims[n:]])
    if dims[:n] == tuple(range(n)):
        return _made(x._pattern, entries, shape, x._unique)
    if n == 2:
        return _made(x._pattern.turned(), entries, shape, False)
    return _made(stack([x._pattern.at[d] for d in dims[:n]]), entries, shape, False)


def _sum(x: SparseTensor, *, dims: tuple, keepdim: bool) -> Tensor:
    made = sum(x, None if len(dims) == x.ndim else dims)
    if keepdim:
        raise NotImplementedError(
            "sum: keepdim=True is not implemented for sparse tensors; use sparse.sum(x, dim)"
        )
    return made


def _cat(*xs: Any, dim: int, sizes: Any) -> SparseTensor:
    if not all(isinstance(x, SparseTensor) for x in xs):
        raise RuntimeError("cat: sparse and dense tensors cannot be joined; use x.to_dense()")
    first = xs[0]
    n = first.sparse_dim()
    if any(x.sparse_dim() != n for x in xs) or dim >= n:
        raise NotImplementedError(
            "cat: sparse tensors are joined along sparse dimensions, and must have as many of them"
        )
    parts, offset = [], 0
    for x in xs:
        at = x._pattern.at
        shift = at.new_zeros(n, 1)
        shift[dim] = offset
        parts.append(at + shift)
        offset += x.shape[dim]
    shape = (*first.shape[:dim], offset, *first.shape[dim + 1 :])
    return _made(cat(parts, 1), cat([x._entries for x in xs]), shape, False)


def _selected(x: SparseTensor, index: Tensor, *, dim: int, negative: bool, op: str) -> SparseTensor:
    """Rows of a sparse tensor: `index_select`."""
    n = x.sparse_dim()
    if dim >= n or index.ndim != 1:
        raise NotImplementedError(f"{op}: of a sparse tensor, a 1-D index selects along a sparse dimension")
    chosen = _made(
        stack([arange(index.shape[0], device=x.device), index]),
        x._entries.new_ones(index.shape[0]), (index.shape[0], x.shape[dim]), False,
    )  # fmt: skip
    at = x._pattern.at
    # For each selected row the entries that lie in it, as in a product of sparse matrices.
    lines = _made(
        stack([at[dim], arange(x._nnz(), device=x.device)]),
        x._entries.new_ones(x._nnz()),
        (x.shape[dim], x._nnz()),
        False,
    )
    found = _both_sparse(chosen.detach(), lines.detach())._pattern.at
    rows = [found[0] if d == dim else at[d][found[1]] for d in range(n)]
    shape = (*x.shape[:dim], index.shape[0], *x.shape[dim + 1 :])
    return _made(stack(rows), _rows(x._entries, found[1]), shape, False).coalesce()


def _sliced(x: SparseTensor, *, index: tuple) -> Tensor:
    """Entries in the range of a basic index of ints, slices and None: a sparse tensor, or a number if nothing is left of
    its dimensions. The host waits for how many there are."""
    n = x.sparse_dim()
    steps = [i for i in index if i is not Ellipsis]
    used = len([i for i in steps if i is not None])
    where = index.index(Ellipsis) if Ellipsis in index else len(index)
    full = (*steps[:where], *[slice(None)] * (x.ndim - used), *steps[where:])
    at, keep = x._pattern.at, None
    rows: list[Any] = []
    shape: list[int] = []
    dense: list[Any] = [slice(None)]
    d = 0
    for i in full:
        if i is None:
            if d > n:
                raise NotImplementedError(
                    "indexing: new dimensions of a sparse tensor stand before its dense ones"
                )
            rows.append(at.new_zeros(at.shape[1]))
            shape.append(1)
            continue
        if d >= n:
            dense.append(i)
        elif isinstance(i, slice):
            start, stop, step = i.indices(x.shape[d])
            if step < 1:
                raise NotImplementedError("indexing: slices of a sparse tensor have positive steps")
            inside = None
            if (start, stop, step) != (0, x.shape[d], 1):
                inside = (at[d] >= start) & (at[d] < stop) & ((at[d] - start) % step == 0)
            rows.append((at[d] - start) // step)
            shape.append(len(range(start, stop, step)))
        else:
            inside = at[d] == i % x.shape[d]
        if d < n and inside is not None:
            keep = inside if keep is None else keep & inside
        d += 1
    entries = x._entries
    if keep is not None:
        chosen = nonzero(keep).squeeze(1)
        rows, entries = [_rows(r, chosen) for r in rows], _rows(entries, chosen)
    if len(dense) > 1:
        entries = entries[tuple(dense)]
    if not rows:
        return entries.sum(0)
    return _made(stack(rows), entries, (*shape, *entries.shape[1:]), x._unique)


def _stack(*xs: Any, dim: int) -> SparseTensor:
    return _cat(*[x.unsqueeze(dim) for x in xs], dim=dim, sizes=None)


def _clone(x: SparseTensor) -> SparseTensor:
    return _like(x, clone_op(x._entries))


RULES: dict[str, Callable] = {
    "cast": _cast, "to_device": _move, "permute": _permuted, "sum": _sum, "cat": _cat, "index_select": _selected, "clone": _clone, "mm": _mm,
    "slice": _sliced, "stack": _stack,
}  # fmt: skip

# Pointwise operations that leave zeros zero; those that are not linear want each position once.
_LINEAR = frozenset(["neg", "positive", "deg2rad", "rad2deg", "real", "imag", "conj"])
_FROM_ZERO = frozenset(
    "abs sqrt square sin sinh tan tanh asin asinh atan atanh expm1 log1p erf erfinv relu sign sgn floor ceil round trunc frac "
    "isnan isinf".split()
)  # fmt: skip


def _pointwise(op: Any, inputs: tuple, attrs: dict) -> Tensor:
    name = op.name
    first = inputs[0]
    if len(inputs) == 1:
        if name in _LINEAR:
            return _like(first, op(first._entries, **attrs))
        if name in _FROM_ZERO:
            x = first.coalesce()
            return _like(x, op(x._entries, **attrs))
    elif len(inputs) == 2:
        other = inputs[1]
        plain = not isinstance(other, Tensor) or not isinstance(other, SparseTensor) and not other.ndim
        if isinstance(first, SparseTensor) and plain:
            if name in ("mul", "div"):
                return _like(first, op(first._entries, other, **attrs))
            if name == "pow" and not isinstance(other, Tensor) and other > 0:
                x = first.coalesce()
                return _like(x, op(x._entries, other, **attrs))
        elif name == "mul" and (
            not isinstance(first, Tensor) or not isinstance(first, SparseTensor) and not first.ndim
        ):
            return _like(other, op(first, other._entries, **attrs))
        elif name in ("add", "sub"):
            return _combined(op, first, other, attrs)
        elif name in ("mul", "div"):
            return _scaled(op, first, other, attrs)
    raise SparseArray((), np.dtype(np.float32)).refusal(name)


def _combined(op: Any, a: Any, b: Any, attrs: dict) -> Tensor:
    """Sums and differences: sparse of two sparse tensors, dense if the first is."""
    if isinstance(a, SparseTensor) and isinstance(b, SparseTensor):
        if a.shape != b.shape or a.sparse_dim() != b.sparse_dim():
            raise RuntimeError(
                f"{op.name}: sparse tensors must have the same sizes, got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        d = dt.promote_types(a.dtype, b.dtype)
        x, y = a.to(d), b.to(d)
        at = x._pattern.at if x._pattern is y._pattern else None
        if at is not None:
            return _made(x._pattern, op(x._entries, y._entries, **attrs), tuple(a.shape), x._unique)
        minus = op(zeros(1, dtype=d, device=y.device), y._entries, **attrs)
        both = cat([x._pattern.at, y._pattern.at], 1)
        return _made(both, cat([x._entries, minus]), tuple(a.shape), False).coalesce()
    if isinstance(a, SparseTensor) and op.name == "add":
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if not isinstance(a, Tensor) or isinstance(a, SparseTensor):
        raise RuntimeError(
            f"{op.name}: a sparse tensor and a dense one, or a number, have no sparse {op.name}; use x.to_dense()"
        )
    return op(a, b.to_dense(), **attrs)


def _scaled(op: Any, a: Any, b: Any, attrs: dict) -> Tensor:
    """Products (and quotients by dense tensors), which are zero where the sparse factor is."""
    if isinstance(a, SparseTensor) and isinstance(b, SparseTensor):
        if op.name == "div":
            raise RuntimeError("Sparse division requires the divisor to be a scalar or a dense tensor")
        if a.shape != b.shape:
            raise RuntimeError(
                f"mul: sparse tensors must have the same sizes, got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        x, y = a.coalesce(), b.coalesce()
        if x._pattern is y._pattern:
            return _like(x, op(x._entries, y._entries))
        n = x.sparse_dim()
        keys = [_flat(t._pattern.at, tuple(t.shape[:n])) for t in (x, y)]
        both, order = sort(cat(keys), stable=True)
        twice = nonzero(both[1:] == both[:-1]).squeeze(1)
        left, right = order[twice], order[twice + 1] - x._nnz()
        return _made(
            x._pattern.at[:, left],
            op(_rows(x._entries, left), _rows(y._entries, right)),
            tuple(a.shape),
            True,
        )
    sparse, dense = (a, b) if isinstance(a, SparseTensor) else (b, a)
    if op.name == "div" and sparse is b:
        raise RuntimeError("div: a sparse tensor has zeros to divide by; use x.to_dense()")
    x = sparse.coalesce() if sparse.dense_dim() else sparse
    picked = _picked(dense.expand(sparse.shape), x)
    return _like(x, op(x._entries, picked, **attrs) if sparse is a else op(picked, x._entries, **attrs))


def dispatch(op: Any, inputs: tuple, attrs: dict) -> Any:
    """An operation that meets a sparse tensor."""
    from .ops.pointwise_op import Pointwise

    if isinstance(op, Pointwise):
        return _pointwise(op, inputs, attrs)
    rule = RULES.get(op.name)
    if rule is None:
        raise SparseArray((), np.dtype(np.float32)).refusal(op.name)
    return rule(*inputs, **attrs)


HANDLERS[SparseArray] = dispatch


# ---- the older constructors ----
def _constructor(name: str, d: dt.dtype) -> Callable:
    def make(*args: Any, device: Any = None) -> SparseTensor:
        if args and isinstance(args[0], Tensor) and len(args) > 1:
            return sparse_coo_tensor(*args, dtype=d, device=device)
        sizes = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        return sparse_coo_tensor(tuple(sizes), dtype=d, device=device)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`sparse.{name}(indices, values, size)`: the older form of `sparse_coo_tensor`, {d.name}; of sizes alone, no entries."
    return make


FloatTensor = _constructor("FloatTensor", dt.float32)
DoubleTensor = _constructor("DoubleTensor", dt.float64)
HalfTensor = _constructor("HalfTensor", dt.float16)
BFloat16Tensor = _constructor("BFloat16Tensor", dt.bfloat16)
ByteTensor = _constructor("ByteTensor", dt.uint8)
CharTensor = _constructor("CharTensor", dt.int8)
ShortTensor = _constructor("ShortTensor", dt.int16)
IntTensor = _constructor("IntTensor", dt.int32)
LongTensor = _constructor("LongTensor", dt.int64)

__all__ = [
    "CSRTensor",
    "SparseTensor",
    "addmm",
    "log_softmax",
    "mm",
    "softmax",
    "sparse_coo_tensor",
    "sparse_csr_tensor",
    "sum",
]
