"""`SparseTensor` and `CSRTensor`: positions, and values that are a tensor of their own."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from .. import dtypes as dt
from ..devices import device as Device
from ..layouts import sparse_coo, sparse_csr
from ..meta import SparseArray
from ..ops.index import index_add_op, take_op
from ..ops.join import cat, stack
from ..ops.masks import nonzero
from ..ops.sort import sort
from ..ops.sparse import Pattern
from ..tensor import Tensor


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
    t._edge = t._grad = t._cell = t._shared = None
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
        from ..cuda.indexing import note_outside

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


def _only_coo(name: str, kind: Any) -> None:
    if kind is not None and kind is not sparse_coo:
        raise NotImplementedError(
            f"{name}: there are gradgpu.sparse_coo and gradgpu.sparse_csr, got layout {kind}"
        )
