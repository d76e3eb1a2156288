"""From positions and values, or a dense tensor, to a sparse one, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

from .. import dtypes as dt
from ..devices import device as Device
from ..layouts import sparse_csr
from ..ops.creation import arange, tensor, zeros
from ..ops.join import repeat_interleave, stack
from ..ops.masks import nonzero
from ..ops.registry import method
from ..ops.saved import continued
from ..tensor import Tensor
from .tensor import CSRTensor, SparseTensor, _check_positions, _flat, _like, _made, _only_coo, _rows, _unflat


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


# ---- the older constructors ----
def _constructor(name: str, d: dt.dtype) -> Callable:
    def make(*args: Any, device: Any = None) -> SparseTensor:
        if args and isinstance(args[0], Tensor) and len(args) > 1:
            return sparse_coo_tensor(*args, dtype=d, device=device)
        sizes = args[0] if len(args) == 1 and not isinstance(args[0], Integral) else args
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
