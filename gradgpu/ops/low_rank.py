"""Singular values of large matrices by random projections (Halko, Martinsson and Tropp, 2009)."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .linalg import matmul
from .random import randn
from .reduce import require_floating


def _svd(a: Tensor, q: int, niter: int) -> tuple[Tensor, Tensor, Tensor]:
    from .. import linalg

    trial = randn(a.shape[-1], q, dtype=a.dtype, device=a.device)
    basis = linalg.qr(matmul(a, trial)).Q
    for _ in range(niter):
        basis = linalg.qr(matmul(a.mT, basis)).Q
        basis = linalg.qr(matmul(a, basis)).Q
    u, s, vh = linalg.svd(matmul(basis.mT, a), full_matrices=False)
    return matmul(basis, u), s, vh.mT


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) with A ≈ U diag(S) Vᵀ of rank `q`, for matrices (…, m, n) of low rank.

    Args:
        q: somewhat more than the rank.
        niter: subspace iterations, each of two products with A.
        M: what is subtracted from A first, broadcast to its shape.

    The result depends on random numbers; the decompositions are made on the host.

    >>> import gradgpu as gg
    >>> u, s, v = gg.svd_lowrank(gg.tensor([[3., 0.], [0., 4.]]), q=2)
    >>> [round(x, 3) for x in s.tolist()]
    [4.0, 3.0]
    """
    require_floating("svd_lowrank", A)
    if A.ndim < 2:
        raise RuntimeError(f"svd_lowrank: expected a matrix or a batch of them, got shape {tuple(A.shape)}")
    a = A if M is None else A - M
    rank, steps = 6 if q is None else q, 2 if niter is None else niter
    if not 0 < rank <= min(a.shape[-2:]):
        raise ValueError(f"svd_lowrank: q must lie in [1, {min(a.shape[-2:])}], got {rank}")
    if a.shape[-2] < a.shape[-1]:
        u, s, v = _svd(a.mT, rank, steps)
        return v, s, u
    return _svd(a, rank, steps)


def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """The principal components of rows of data: `svd_lowrank` of A (…, m, n) less the mean of its rows.

    The columns of V are the principal directions, S² / (m - 1) the variances along them.

    Args:
        q: how many, min(6, m, n) by default.
        center: whether the mean is subtracted.

    >>> import gradgpu as gg
    >>> u, s, v = gg.pca_lowrank(gg.tensor([[1., 1.], [2., 2.], [3., 3.]]), q=1)
    >>> round(s.item(), 3)
    2.0
    """
    require_floating("pca_lowrank", A)
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A, q, niter, A.mean(-2, keepdim=True) if center else None)


__all__ = ["pca_lowrank", "svd_lowrank"]
