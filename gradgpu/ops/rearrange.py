"""Other ways to turn, cut and fill: rot90, hsplit and its kin, diagonals, places of a flattened tensor, norms of slices."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from .. import dtypes as dt
from ..tensor import Tensor
from .creation import arange
from .index import check_same_dtype, index_add_op, index_put_op, index_tensor, install_in_place
from .inplace import check_writable
from .join import tensor_split
from .matrix import diag_embed, flip
from .moments import norm
from .pointwise import where
from .reduce import require_tensor
from .registry import method
from .shape import canonical_dim, reshape, transpose


@method
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The tensor turned by 90° k times in the plane of two dimensions, from the first towards the second.

    Raises:
        RuntimeError: not two different dimensions.

    >>> import gradgpu as gg
    >>> gg.rot90(gg.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    require_tensor("rot90", input)
    if len(dims) != 2:
        raise RuntimeError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"rot90: expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (canonical_dim(d, input.ndim, "rot90") for d in dims)
    if a == b:
        raise RuntimeError(
            f"rot90: expected rotation dims to be different, but got dim0 = {a} and dim1 = {b}"
        )
    k %= 4
    if k == 1:
        return transpose(flip(input, b), a, b)
    if k == 2:
        return flip(input, a, b)
    return flip(transpose(input, a, b), b) if k else input.clone()


# ---- cutting ----
def _cut(name: str, input: Tensor, ways: tuple, dim: int, least: int) -> tuple:
    require_tensor(name, input)
    how = next((way for way in ways if way is not None), None)
    if how is None:
        raise TypeError(f"{name}() needs indices or a number of sections")
    if input.ndim < least:
        raise RuntimeError(
            f"{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor with "
            f"{input.ndim} dimensions!"
        )
    n = input.shape[dim]
    if isinstance(how, Integral) and (how <= 0 or n % how):
        raise RuntimeError(
            f"{name} attempted to split along dimension {dim}, but the size of the dimension {n} is not divisible by the "
            f"split_size {how}!"
        )
    return tensor_split(input, how, dim)


@method
def hsplit(
    input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
) -> tuple:
    """Views of equal parts along the second dimension (of a vector the only one), or cut at the positions given.

    >>> import gradgpu as gg
    >>> gg.hsplit(gg.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    return _cut("hsplit", input, (indices_or_sections, indices, sections), 0 if input.ndim == 1 else 1, 1)


@method
def vsplit(
    input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
) -> tuple:
    """Views of equal parts along the first dimension of at least two, or cut at the positions given.

    >>> import gradgpu as gg
    >>> gg.vsplit(gg.tensor([[1], [2]]), 2)
    (tensor([[1]]), tensor([[2]]))
    """
    return _cut("vsplit", input, (indices_or_sections, indices, sections), 0, 2)


@method
def dsplit(
    input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
) -> tuple:
    """Views of equal parts along the third dimension, or cut at the positions given.

    >>> import gradgpu as gg
    >>> len(gg.dsplit(gg.zeros(2, 2, 4), 2))
    2
    """
    return _cut("dsplit", input, (indices_or_sections, indices, sections), 2, 3)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions: a vector (n) becomes (1, n, 1), a matrix (m, n) becomes (m, n, 1).

    >>> import gradgpu as gg
    >>> gg.atleast_3d(gg.zeros(2)).shape
    gradgpu.Size([1, 2, 1])
    """
    several = len(tensors) != 1 or isinstance(tensors[0], (tuple, list))
    given = tensors[0] if len(tensors) == 1 and several else tensors
    made = []
    for x in given:
        require_tensor("atleast_3d", x)
        shape = tuple(x.shape)
        if x.ndim < 3:
            x = reshape(x, ((1, 1, 1), (1, *shape, 1), (*shape, 1))[x.ndim])
        made.append(x)
    return tuple(made) if several else made[0]


# ---- diagonals and places ----
@method
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with the elements of the flattened tensor on a diagonal.

    >>> import gradgpu as gg
    >>> gg.diagflat(gg.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    require_tensor("diagflat", input)
    return diag_embed(reshape(input, -1) if input.numel() else reshape(input, 0), offset)


@method
def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Sets the main diagonal in place, of a matrix or of a tensor whose sizes are all equal.

    With `wrap` the diagonal of a tall matrix begins anew below, after a row that it leaves out.

    Raises:
        RuntimeError: fewer than two dimensions, or sizes that differ beyond a matrix.
    """
    if self.ndim < 2:
        raise RuntimeError(f"fill_diagonal_: dimensions must larger than 1, got {self.ndim}")
    shape = tuple(self.shape)
    if self.ndim > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"fill_diagonal_: all dimensions of input must be of equal length, got {shape}")
    check_writable("fill_diagonal_", self)
    n = min(shape)
    at = arange(n, device=self.device)
    if not n:
        return self
    if wrap and self.ndim == 2 and shape[0] > shape[1]:
        flat = arange(0, shape[0] * shape[1], shape[1] + 1, device=self.device)
        self[flat // shape[1], flat % shape[1]] = fill_value
    else:
        self[(at,) * self.ndim] = fill_value
    return self


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with the elements of `source` written (added, with `accumulate`) at flat positions `index`.

    Negative positions count from the end. Of several values written to one place the last stays.

    Raises:
        IndexError: a position out of bounds, or index and source of different sizes.

    >>> import gradgpu as gg
    >>> gg.zeros(2, 2).put_(gg.tensor([1, 3]), gg.tensor([5., 6.]))
    tensor([[0., 5.],
            [0., 6.]])
    """
    at = index_tensor("put_", index).reshape((-1,))
    check_same_dtype("put_", input, source)
    values = source.reshape((-1,))
    if at.shape != values.shape:
        raise IndexError(
            f"put_(): Expected source and index to have the same number of elements, but got {values.numel()} and {at.numel()}"
        )
    flat = reshape(input, -1) if input.numel() else reshape(input, 0)
    more: dict[str, Any] = {"dim": 0, "negative": True, "op": "put_"}
    if accumulate:
        made = index_add_op(flat, at, values, size=flat.shape[0], **more)
    else:
        made = index_put_op(flat, at, values, value=0, **more)
    return made.reshape(tuple(input.shape))


install_in_place(put)


# ---- norms of slices ----
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The tensor with each slice along `dim` whose p-norm exceeds `maxnorm` scaled down to it.

    Raises:
        RuntimeError: p ≤ 0, maxnorm < 0, or fewer than two dimensions.

    >>> import gradgpu as gg
    >>> gg.renorm(gg.tensor([[3., 4.], [0.5, 0.]]), 2, 0, 1.)
    tensor([[0.6000, 0.8000],
            [0.5000, 0.0000]])
    """
    require_tensor("renorm", input)
    if p <= 0:
        raise RuntimeError(f"renorm: non-positive norm not supported, got p={p}")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    d = canonical_dim(dim, input.ndim, "renorm")
    wide = input.float() if input.dtype in (dt.float16, dt.bfloat16) else input
    size = norm(wide, p, tuple([k for k in range(input.ndim) if k != d]), keepdim=True)
    # The small number keeps the result below maxnorm after rounding, as in PyTorch.
    factor = where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
    made = wide * factor
    return made.to(input.dtype) if made.dtype is not input.dtype else made


install_in_place(renorm)

__all__ = [
    "atleast_3d", "diagflat", "dsplit", "hsplit", "put", "renorm", "rot90", "vsplit",
]  # fmt: skip
