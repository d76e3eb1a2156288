"""Sums with products of vectors and matrices, and norms of matrices, under PyTorch's older names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor
from .complex import conj
from .index import install_in_place
from .inplace import inplace
from .linalg import _plus, addmm, addmv, baddbmm, bmm, outer
from .moments import norm
from .reduce import require_tensor
from .registry import method, older_form
from .shape import transpose


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *older: Any, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta · input + alpha · Σ batch1[i] @ batch2[i], the sum over the batch: (n, p) from (b, n, m) and (b, m, p).

    >>> import gradgpu as gg
    >>> gg.addbmm(gg.zeros(1, 1), gg.ones(2, 1, 3), gg.ones(2, 3, 1))
    tensor([[6.]])
    """
    if older:
        return older_form(addbmm, (input, batch1, batch2, *older), 3, ("beta", "alpha"))
    return _plus(input, bmm(batch1, batch2).sum(0, dtype=batch1.dtype), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *older: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta · input + alpha · the outer product of two vectors.

    >>> import gradgpu as gg
    >>> gg.addr(gg.zeros(1, 2), gg.tensor([2.]), gg.tensor([3., 4.]))
    tensor([[6., 8.]])
    """
    if older:
        return older_form(addr, (input, vec1, vec2, *older), 3, ("beta", "alpha"))
    for v in (vec1, vec2):
        require_tensor("addr", v)
        if v.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument vec1 and vec2, but got {v.ndim}-D")
    return _plus(input, outer(vec1, vec2), beta, alpha)


for _function in (addbmm, addr):
    install_in_place(_function)


def _in_place(function: Any) -> None:
    name = function.__name__ + "_"

    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return inplace(name, self, function(self, *args, **kwargs))

    changed.__name__ = changed.__qualname__ = name
    changed.__doc__ = f"`{function.__name__}` in place."
    method(name)(changed)


for _function in (addmm, addmv, baddbmm):
    _in_place(_function)


def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two vectors: `outer`.

    >>> import gradgpu as gg
    >>> gg.ger(gg.tensor([1, 2]), gg.tensor([3]))
    tensor([[3],
            [6]])
    """
    return outer(input, vec2)


@method
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions swapped and, of complex tensors, the numbers conjugated.

    >>> import gradgpu as gg
    >>> gg.adjoint(gg.zeros(2, 3)).shape
    gradgpu.Size([3, 2])
    """
    require_tensor("adjoint", input)
    if input.ndim < 2:
        raise RuntimeError(
            f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor."
        )
    return conj(transpose(input, -2, -1))


@method
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product of tensors of three entries along `dim` (the first dimension of size 3 if None).

    Raises:
        RuntimeError: the dimension has another size, or there is none of size 3.

    >>> import gradgpu as gg
    >>> gg.cross(gg.tensor([1., 0., 0.]), gg.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    require_tensor("cross", input)
    require_tensor("cross", other)
    if dim is None:
        sizes = [n if n == m else max(n, m) for n, m in zip(input.shape, other.shape)]
        if 3 not in sizes:
            raise RuntimeError(f"linalg.cross: no dimension of size 3 in input, got {tuple(input.shape)}")
        dim = sizes.index(3)
    from ..linalg import cross as product

    return product(input, other, dim=dim)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices in the order that takes the fewest multiplications: `linalg.multi_dot`.

    >>> import gradgpu as gg
    >>> gg.chain_matmul(gg.ones(1, 2), gg.ones(2, 3), gg.ones(3, 1))
    tensor([[6.]])
    """
    from ..linalg import multi_dot

    if not matrices:
        raise ValueError("chain_matmul: Expected one or more matrices")
    return multi_dot(matrices) if len(matrices) > 1 else matrices[0]


def frobenius_norm(input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
    """The root of the sum of squares over `dim` (all dimensions by default).

    >>> import gradgpu as gg
    >>> gg.frobenius_norm(gg.tensor([[3., 4.]]))
    tensor(5.)
    """
    return norm(input, "fro", dim, keepdim)


def nuclear_norm(input: Tensor, dim: Sequence[int] = (0, 1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values of matrices; by way of the host, as the singular values are.

    >>> import gradgpu as gg
    >>> round(gg.nuclear_norm(gg.tensor([[3., 0.], [0., 4.]])).item(), 4)
    7.0
    """
    from ..linalg import matrix_norm

    require_tensor("nuclear_norm", input)
    if input.ndim < 2:
        raise RuntimeError(f"nuclear_norm: expected at least two dimensions, got {input.ndim}")
    return matrix_norm(input, "nuc", dim=(dim[0], dim[1]), keepdim=keepdim)


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all dimensions but `dim`, which are kept with size 1; over all of them with dim -1.

    >>> import gradgpu as gg
    >>> gg.norm_except_dim(gg.tensor([[3., 4.], [0., 1.]]))
    tensor([[5.],
            [1.]])
    """
    require_tensor("norm_except_dim", v)
    if dim == -1:
        return norm(v, pow)
    if not 0 <= dim < v.ndim:
        raise IndexError(f"norm_except_dim: dim must lie in [0, {v.ndim - 1}] or be -1, got {dim}")
    return norm(v, pow, tuple([d for d in range(v.ndim) if d != dim]), keepdim=True)


__all__ = [
    "addbmm", "addr", "adjoint", "chain_matmul", "cross", "frobenius_norm", "ger", "norm_except_dim", "nuclear_norm",
]  # fmt: skip
