"""Products of Householder reflections, the packed form in which LAPACK keeps the Q of a QR decomposition: column k of A below the
diagonal, under a one, is the vector v of H_k = 1 - τ_k v vᵀ, and Q = H_1 H_2 … (Golub & Van Loan, Matrix Computations, 5.1.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import return_types as rt
from ..tensor import Tensor
from .creation import eye
from .decompositions import _host
from .registry import method

__all__ = ["geqrf", "householder_product", "orgqr", "ormqr"]


def _geqrf(x):
    packed, tau = np.linalg.qr(x, "raw")
    return np.ascontiguousarray(packed.swapaxes(-1, -2)), tau


geqrf_op = _host("geqrf", _geqrf, differentiable=False)


@method
def geqrf(input: Tensor) -> rt.geqrf:
    """(a, tau): the QR decomposition of matrices (…, m, n) in packed form: R on and above the diagonal of `a`, reflections below it
    and in `tau` (…, min(m, n)). Not differentiable; `linalg.qr` is.

    >>> import gradgpu as gg
    >>> a = gg.tensor([[3., 1.], [4., 2.]])
    >>> packed, tau = gg.geqrf(a)
    >>> gg.allclose(gg.linalg.householder_product(packed, tau) @ packed.triu(), a)
    True
    """
    from .. import linalg

    linalg._matrix("geqrf", input, what="input")
    return rt.geqrf(*geqrf_op(input.detach()))


def _reflected(vectors: Tensor, tau: Tensor, other: Tensor, order: Iterable[int], left: bool) -> Tensor:
    """`other` after reflections in this order, from the left or from the right."""
    for k in order:
        v = vectors[..., k : k + 1]
        scale = tau[..., k, None, None]
        other = other - scale * (v @ (v.mT @ other)) if left else other - scale * ((other @ v) @ v.mT)
    return other


def _vectors(name: str, input: Any, tau: Any) -> Tensor:
    """The vectors of the reflections as columns (…, m, k)."""
    from .. import linalg

    linalg._matrix(name, input, what="input")
    m, n = input.shape[-2:]
    if m < n:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1], got {m} by {n}"
        )
    if not isinstance(tau, Tensor) or tau.ndim != input.ndim - 1 or tau.shape[:-1] != input.shape[:-2]:
        seen = tuple(tau.shape) if isinstance(tau, Tensor) else type(tau).__name__
        raise RuntimeError(
            f"{name}: tau must have one dimension less than input {tuple(input.shape)}, got {seen}"
        )
    k = tau.shape[-1]
    if k > n:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1], got {n} and {k}"
        )
    if tau.dtype is not input.dtype:
        raise RuntimeError(f"{name}: tau dtype {tau.dtype} does not match input dtype {input.dtype}")
    one = eye(m, k, dtype=input.dtype, device=input.device)
    return input[..., :k].tril(-1) + one


def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first n columns (…, m, n) of the product of the reflections in `input` (…, m, n) and `tau` (…, k), k ≤ n ≤ m.

    Raises:
        RuntimeError: more reflections than columns, or more columns than rows.

    >>> import gradgpu as gg
    >>> gg.linalg.householder_product(gg.tensor([[0.], [1.]]), gg.tensor([1.]))
    tensor([[ 0.],
            [-1.]])
    """
    vectors = _vectors("linalg.householder_product", input, tau)
    m, n = input.shape[-2:]
    start = eye(m, n, dtype=input.dtype, device=input.device)
    start = start.expand(*input.shape[:-2], m, n)
    return _reflected(vectors, tau, start, range(tau.shape[-1] - 1, -1, -1), True)


@method
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """`linalg.householder_product`."""
    return householder_product(input, input2)


@method
def ormqr(
    input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """The product of Q, the whole of it (m, m), whose reflections `input` (…, m, k) and `input2` (…, k) hold, with `input3`: Q input3;
    input3 Q if not `left`; Qᵀ for Q if `transpose`.

    >>> import gradgpu as gg
    >>> gg.ormqr(gg.tensor([[0.], [1.]]), gg.tensor([1.]), gg.eye(2))
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
    vectors = _vectors("ormqr", input, input2)
    m, k = vectors.shape[-2:]
    if input3.ndim != input.ndim or input3.shape[-2 if left else -1] != m:
        side = "rows" if left else "columns"
        raise RuntimeError(f"ormqr: input3 must have {m} {side}, got shape {tuple(input3.shape)}")
    forwards = left is transpose  # Qᵀ C = H_k … H_1 C, and C Q = C H_1 H_2 …
    return _reflected(vectors, input2, input3, range(k) if forwards else range(k - 1, -1, -1), left)
