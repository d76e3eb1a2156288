"""Linear algebra under `torch.linalg`'s names: norms, products, inverses, equations and decompositions.

Norms, powers and products run on the tensor's device. Decompositions, inverses, determinants and solutions of equations are
LAPACK's, on the host: on cuda they copy there and back and wait (docs/host_ops.md). float32 and float64, inverses, equations, `cholesky`,
`eigh` and `eig` also of complex numbers; batches in front. Arguments have the names by which PyTorch takes them; in formulas A is
the matrix that comes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes as dt
from . import return_types as rt
from .autograd.layers import outermost
from .ops import decompositions as _ops
from .ops.complex import conj
from .ops.decompositions import LinAlgError
from .ops.join import cat
from .ops.linalg import matmul
from .ops.moments import norm as _norm
from .ops.moments import reduced_dims
from .ops.out import install as _install_out
from .ops.pointwise import abs as _abs
from .ops.pointwise import where
from .ops.shape import permute
from .tensor import Tensor


def _matrix(name: str, a: Any, square: bool = False, what: str = "A", or_complex: bool = False) -> None:
    if not isinstance(a, Tensor):
        raise TypeError(f"linalg.{name}: {what} must be a Tensor, got {type(a).__name__}")
    if a.ndim < 2:
        raise RuntimeError(
            f"linalg.{name}: The input tensor {what} must have at least 2 dimensions, got shape {tuple(a.shape)}"
        )
    if square and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(
            f"linalg.{name}: {what} must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices"
        )
    if a.dtype not in (dt.float32, dt.float64) and not (or_complex and a.dtype.is_complex):
        raise RuntimeError(
            f"linalg.{name}: expected a float32 or float64 tensor, got {a.dtype}; convert it first, e.g. {what}.float()"
        )


# ---- inverse, equations ----
def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices (…, n, n). Raises LinAlgError if one is singular.

    >>> import gradgpu as gg
    >>> gg.linalg.inv(gg.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    _matrix("inv", A, square=True, or_complex=True)
    return _ops.inv_op(A)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B (or X A = B if not `left`): A (…, n, n), B (…, n, k) or (…, n). Raises LinAlgError if A is singular.

    >>> import gradgpu as gg
    >>> gg.linalg.solve(gg.tensor([[2., 0.], [0., 4.]]), gg.tensor([2., 2.]))
    tensor([1.0000, 0.5000])
    """
    _matrix("solve", A, square=True, or_complex=True)
    if A.dtype.is_complex is not B.dtype.is_complex:
        d = dt.promote_types(A.dtype, B.dtype)
        A, B = A.to(d), B.to(d)
    vector = B.ndim == 1 or B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1])
    if vector:
        B = B.unsqueeze(-1)
    if not left:
        return solve(A.mT, B.mT).mT if not vector else solve(A.mT, B).squeeze(-1)
    if B.shape[-2] != A.shape[-1]:
        raise RuntimeError(
            f"linalg.solve: incompatible shapes of A {tuple(A.shape)} and B {tuple(B.shape)} for the equation AX = B"
        )
    A, B = _same_batch(A, B)
    x = _ops.solve_op(A, B)
    return x.squeeze(-1) if vector else x


def _same_batch(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    from .ops.shape import broadcast_shapes

    batch = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    return a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])


def solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with A X = B (X A = B if not `left`), of A's upper or lower triangle only; its diagonal counts as ones if
    `unitriangular`.

    >>> import gradgpu as gg
    >>> gg.linalg.solve_triangular(gg.tensor([[2., 9.], [0., 4.]]), gg.tensor([[2.], [4.]]), upper=False)
    tensor([[1.],
            [1.]])
    """
    _matrix("solve_triangular", input, square=True)
    from .ops.creation import eye

    kept = input.triu() if upper else input.tril()
    if unitriangular:
        one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
        kept = kept * (1 - one) + one
    return solve(kept, B) if left else solve(kept.mT, B.mT).mT


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with L Lᵀ X = B (Uᵀ U X = B if `upper`)."""
    lower = L.mT if upper else L
    return solve_triangular(lower.mT, solve_triangular(lower, B, upper=False), upper=True)


def _limit(A: Tensor, atol: Any, rtol: Any) -> Any:
    """The share of the greatest singular value, one a matrix, below which singular values count as 0."""
    if atol is None:
        share = max(A.shape[-2:]) * dt.finfo(A.dtype).eps if rtol is None else rtol
        return np.asarray(share._host()) if isinstance(share, Tensor) else float(share)
    greatest = np.asarray(svdvals(A.detach()).amax(-1)._host())
    absolute, relative = (
        np.asarray(v._host() if isinstance(v, Tensor) else v or 0, greatest.dtype) for v in (atol, rtol)
    )
    return np.maximum(relative, absolute / np.where(greatest > 0, greatest, 1))


def pinv(
    input: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """The Moore-Penrose pseudoinverse (…, n, m) of A (…, m, n).

    Args:
        rcond: the older name of `rtol`.
        hermitian: A is symmetric (the mean of A and its transpose is taken).
        atol, rtol: singular values below `atol`, or `rtol` (max(m, n) · eps) times the greatest, count as 0.

    >>> import gradgpu as gg
    >>> gg.linalg.pinv(gg.tensor([[2.], [0.]]))
    tensor([[0.5000, 0.0000]])
    """
    _matrix("pinv", input, square=hermitian)
    if hermitian:
        input = (input + input.mT) / 2
    return _ops.pinv_op(input, rcond=_limit(input, atol, rcond if rtol is None else rtol))


def lstsq(
    input: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> rt.linalg_lstsq:
    """The least-squares solution of A X = B, by the pseudoinverse: (solution, residuals, rank, singular_values).

    What the other results hold follows LAPACK's `driver` of that name ('gels', 'gelsy', which is the default, 'gelsd' or
    'gelss'): `residuals` are the sums of squares per column where A (…, m, n) has more rows than columns, but empty with
    'gelsy'; `rank` is empty with 'gels'; `singular_values` are empty with 'gels' and 'gelsy'.

    >>> import gradgpu as gg
    >>> gg.linalg.lstsq(gg.tensor([[1.], [1.]]), gg.tensor([[1.], [3.]])).solution.round()
    tensor([[2.]])
    """
    _matrix("lstsq", input)
    driver = "gelsy" if driver is None else driver
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            f"linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver!r}"
        )
    vector = b.ndim == input.ndim - 1
    columns = b.unsqueeze(-1) if vector else b
    if columns.shape[-2] != input.shape[-2]:
        raise RuntimeError(
            f"linalg.lstsq: A {tuple(input.shape)} and B {tuple(b.shape)} must have as many rows"
        )
    x = pinv(input, rtol=rcond) @ columns
    tall = input.shape[-2] > input.shape[-1] and driver != "gelsy"
    rest = ((input @ x - columns) ** 2).sum(-2) if tall else x.new_empty(0)
    rank, s = x.new_empty(0, dtype=dt.int64), x.new_empty(0)
    if driver != "gels":
        rank = matrix_rank(input.detach(), rtol=rcond)
        s = svdvals(input.detach()) if driver != "gelsy" else s
    return rt.linalg_lstsq(x.squeeze(-1) if vector else x, rest, rank, s)


# ---- determinants ----
def det(A: Tensor) -> Tensor:
    """The determinant of square matrices (…, n, n), of shape (…). Differentiates at singular matrices once.

    >>> import gradgpu as gg
    >>> gg.linalg.det(gg.tensor([[2., 0.], [1., 4.]]))
    tensor(8.)
    """
    _matrix("det", A, square=True)
    return _ops.det_op(A)


def slogdet(A: Tensor) -> rt.linalg_slogdet:
    """(sign, log of the absolute value) of the determinant: no overflow. The gradient needs invertible matrices.

    >>> import gradgpu as gg
    >>> gg.linalg.slogdet(gg.eye(3))
    gradgpu.return_types.linalg_slogdet(
    sign=tensor(1.),
    logabsdet=tensor(0.))
    """
    _matrix("slogdet", A, square=True)
    return rt.linalg_slogdet(*_ops.slogdet_op(A))


def logdet(A: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN if it is negative."""
    sign, value = slogdet(A)
    return where(sign < 0, math.nan, value)


# ---- decompositions ----
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """L (…, n, n), lower triangular, with L Lᵀ = A symmetric and positive definite (`upper`: Lᵀ). Raises LinAlgError if not.

    >>> import gradgpu as gg
    >>> gg.linalg.cholesky(gg.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    _matrix("cholesky", input, square=True, or_complex=True)
    lower = _ops.cholesky_op(input)
    return lower.mH if upper else lower


def lu(A: Tensor, *, pivot: bool = True) -> rt.linalg_lu:
    """(P, L, U) with A = P L U: a permutation (…, m, m), a lower triangle (…, m, k) with ones on its diagonal, an upper one
    (…, k, n), k = min(m, n), of matrices (…, m, n). Without `pivot` P is the identity, and large factors are not avoided.

    >>> import gradgpu as gg
    >>> P, L, U = gg.linalg.lu(gg.tensor([[1., 2.], [4., 4.]]))
    >>> L
    tensor([[1.0000, 0.0000],
            [0.2500, 1.0000]])
    >>> U
    tensor([[4., 4.],
            [0., 1.]])
    """
    from .ops.lu import lu_op

    _matrix("lu", A)
    lower, upper, permutation, _ = lu_op(A, pivot=bool(pivot))
    return rt.linalg_lu(permutation, lower, upper)


def lu_factor(A: Tensor, *, pivot: bool = True) -> rt.linalg_lu_factor:
    """(LU, pivots), as LAPACK keeps an LU decomposition: U and what is below L's diagonal in one matrix, and as int32 the rows,
    counted from 1, that were exchanged with rows 1, 2, …. For `lu_solve` and `lu_unpack`. The host waits, to see that there is one.

    Raises:
        LinAlgError: U has a zero on its diagonal.

    >>> import gradgpu as gg
    >>> gg.linalg.lu_factor(gg.tensor([[1., 2.], [4., 4.]])).pivots
    tensor([2, 2], dtype=gradgpu.int32)
    """
    from .ops.lu import factor

    _matrix("lu_factor", A)
    return rt.linalg_lu_factor(*factor("linalg.lu_factor", A, pivot, True)[:2])


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> rt.linalg_lu_factor_ex:
    """`lu_factor` with a report instead of an error: info is the first i with U[i, i] = 0, counted from 1, or 0.

    >>> import gradgpu as gg
    >>> gg.linalg.lu_factor_ex(gg.ones(2, 2)).info
    tensor(2, dtype=gradgpu.int32)
    """
    from .ops.lu import factor

    _matrix("lu_factor_ex", A)
    return rt.linalg_lu_factor_ex(*factor("linalg.lu_factor_ex", A, pivot, check_errors))


def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X with A X = B (X A = B if not `left`; Aᵀ for A if `adjoint`), A given by what `lu_factor` returned.

    >>> import gradgpu as gg
    >>> LU, pivots = gg.linalg.lu_factor(gg.tensor([[1., 2.], [4., 4.]]))
    >>> gg.linalg.lu_solve(LU, pivots, gg.tensor([[3.], [8.]]))
    tensor([[1.],
            [1.]])
    """
    from .ops.lu import lu_unpack

    _matrix("lu_solve", LU, square=True, what="LU")
    if B.ndim < 2:
        raise RuntimeError("linalg.lu_solve: The input tensor B must have at least 2 dimensions.")
    if not left:  # X A = B is Aᵀ Xᵀ = Bᵀ
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    if B.shape[-2] != LU.shape[-1]:
        raise RuntimeError(
            f"linalg.lu_solve: Incompatible shapes of A {tuple(LU.shape)} and B {tuple(B.shape)} for the equation AX = B"
        )
    permutation, lower, upper = lu_unpack(LU, pivots)
    if adjoint:
        found = solve_triangular(upper.mT, B, upper=False)
        return permutation @ solve_triangular(lower.mT, found, upper=True, unitriangular=True)
    found = solve_triangular(lower, permutation.mT @ B, upper=False, unitriangular=True)
    return solve_triangular(upper, found, upper=True)


def qr(A: Tensor, mode: str = "reduced") -> rt.linalg_qr:
    """Q with orthonormal columns and R upper triangular, A = Q R; `mode` 'reduced', 'complete', or 'r' (Q is empty).

    >>> import gradgpu as gg
    >>> Q, R = gg.linalg.qr(gg.randn(5, 3))
    >>> Q.shape, R.shape
    (gradgpu.Size([5, 3]), gradgpu.Size([3, 3]))
    """
    _matrix("qr", A)
    if mode == "r":  # numpy's sign convention is LAPACK's: the same R
        return rt.linalg_qr(A.new_empty(0), _ops.qr_op(A, mode="reduced")[1])
    if mode not in ("reduced", "complete"):
        raise RuntimeError(
            f"qr received unrecognized mode {mode!r} but expected one of 'reduced' (default) or 'complete'"
        )
    return rt.linalg_qr(*_ops.qr_op(A, mode=mode))


def eigh(input: Tensor, UPLO: str = "L") -> rt.linalg_eigh:
    """Eigenvalues (…, n), ascending, and orthonormal eigenvectors (columns of (…, n, n)) of symmetric matrices.

    Only one triangle is read. The gradient is finite only where the eigenvalues differ.

    >>> import gradgpu as gg
    >>> gg.linalg.eigh(gg.tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.])
    """
    _matrix("eigh", input, square=True, or_complex=True)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: expected UPLO to be 'L' or 'U', but got {UPLO}")
    return rt.linalg_eigh(*_ops.eigh_op(input, upper=UPLO.upper() == "U"))


def eigvalsh(input: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues (…, n) of symmetric matrices, ascending."""
    return eigh(input, UPLO).eigenvalues


def eig(input: Tensor) -> rt.linalg_eig:
    """Eigenvalues (…, n) and eigenvectors, columns of length 1 of (…, n, n), of square matrices; both complex, in no order.

    The gradient is finite only where the eigenvalues differ, and right only for a loss that does not depend on the phases
    of the eigenvectors.

    >>> import gradgpu as gg
    >>> gg.linalg.eig(gg.tensor([[0., 1.], [-1., 0.]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    _matrix("eig", input, square=True, or_complex=True)
    input.dtype.to_complex().np  # noqa: B018  (a complex dtype may come here for the first time)
    return rt.linalg_eig(*_ops.eig_op(input))


def eigvals(input: Tensor) -> Tensor:
    """The eigenvalues (…, n) of square matrices, complex, in no order.

    >>> import gradgpu as gg
    >>> gg.linalg.eigvals(gg.tensor([[2., 0.], [1., 3.]]))
    tensor([3.+0.j, 2.+0.j])
    """
    return eig(input).eigenvalues


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> rt.linalg_svd:
    """(U, S, Vh) with A = U diag(S) Vh, S descending. The gradient needs `full_matrices=False` (or a square A) and
    singular values that differ.

    PyTorch's `driver` names a routine of cuSOLVER, on cuda: there is none here, and RuntimeError if one is asked for.

    >>> import gradgpu as gg
    >>> gg.linalg.svd(gg.tensor([[3., 0.], [0., 2.]])).S
    tensor([3., 2.])
    """
    _matrix("svd", A)
    if driver is not None:
        raise RuntimeError(
            "linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )
    return rt.linalg_svd(*_ops.svd_op(A, full=bool(full_matrices)))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values (…, min(m, n)), descending; `driver` as in `svd`.

    >>> import gradgpu as gg
    >>> gg.linalg.svdvals(gg.tensor([[3., 0.], [0., 4.]]))
    tensor([4., 3.])
    """
    return svd(A, False, driver=driver).S


def matrix_rank(
    input: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values exceed both `atol` (0) and `rtol` (max(m, n) · eps, or 0 with `atol`) times the greatest; int64.

    `tol` is an older name of `atol`; of a `hermitian` A the lower triangle is read.

    >>> import gradgpu as gg
    >>> gg.linalg.matrix_rank(gg.tensor([[1., 2.], [2., 4.]]))
    tensor(1)
    """
    _matrix("matrix_rank", input, square=hermitian)
    if not input.numel():
        return input.new_zeros(tuple(input.shape[:-2]), dtype=dt.int64)
    s = _abs(eigvalsh(input.detach())) if hermitian else svdvals(input.detach())
    atol = tol if atol is None else atol
    if rtol is None:
        rtol = max(input.shape[-2:]) * dt.finfo(input.dtype).eps if atol is None else 0.0
    rtol, atol = (t.unsqueeze(-1) if isinstance(t, Tensor) else t for t in (rtol, atol))
    limit = s.amax(-1, keepdim=True) * rtol
    if atol is not None:
        limit = limit.clamp(min=atol)
    return (s > limit).sum(-1)


def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of reflections that `geqrf` packs; see `gradgpu.ops.householder`.

    Args:
        input: (…, m, n), n ≤ m; the vector of reflection k is column k below the diagonal, under a one.
        tau: (…, k), k ≤ n, factors of the reflections.

    Raises:
        RuntimeError: more reflections than columns, or more columns than rows.

    >>> import gradgpu as gg
    >>> gg.linalg.householder_product(gg.tensor([[0.], [1.]]), gg.tensor([1.]))
    tensor([[ 0.],
            [-1.]])
    """
    from .ops.householder import householder_product

    return householder_product(input, tau)


# ---- results with a report instead of an exception ----
def _reported(found: Any, A: Tensor, check_errors: bool) -> tuple[Tensor, Tensor]:
    """(result, info): info is 0, or 1 where there is none; with several matrices one that has none spoils all."""
    try:
        made, info = found(), 0
    except LinAlgError:
        if check_errors:
            raise
        made, info = A * math.nan, 1
    return made, A.new_full(tuple(A.shape[:-2]), info, dtype=dt.int32)


def cholesky_ex(input: Tensor, *, upper: bool = False, check_errors: bool = False) -> rt.linalg_cholesky_ex:
    """`cholesky` as (L, info): where a matrix is not positive definite info is 1 and L is NaN, and nothing is raised unless
    `check_errors`. If one matrix of a batch is not, this holds for all.

    >>> import gradgpu as gg
    >>> gg.linalg.cholesky_ex(gg.tensor([[-1.]])).info
    tensor(1, dtype=gradgpu.int32)
    """
    return rt.linalg_cholesky_ex(*_reported(lambda: cholesky(input, upper=upper), input, check_errors))


def inv_ex(A: Tensor, *, check_errors: bool = False) -> rt.linalg_inv_ex:
    """`inv` as (inverse, info): where a matrix is singular info is 1 and the inverse is NaN; see `cholesky_ex`.

    >>> import gradgpu as gg
    >>> gg.linalg.inv_ex(gg.tensor([[2.]])).inverse
    tensor([[0.5000]])
    """
    return rt.linalg_inv_ex(*_reported(lambda: inv(A), A, check_errors))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> rt.linalg_solve_ex:
    """`solve` as (result, info): where A is singular info is 1 and the result is NaN; see `cholesky_ex`.

    >>> import gradgpu as gg
    >>> gg.linalg.solve_ex(gg.tensor([[2.]]), gg.tensor([[4.]])).result
    tensor([[2.]])
    """
    made, info = _reported(lambda: solve(A, B, left=left), A, check_errors)
    return rt.linalg_solve_ex(made if not bool(info.any()) else B * math.nan, info)


# ---- tensors as matrices ----
def tensorinv(input: Tensor, ind: int = 2) -> Tensor:
    """The inverse for `tensordot`: the first `ind` dimensions are one side of a square matrix, the others its other side.

    >>> import gradgpu as gg
    >>> gg.linalg.tensorinv(gg.eye(6).reshape(2, 3, 6)).shape
    gradgpu.Size([6, 2, 3])
    """
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    front, back = tuple(input.shape[:ind]), tuple(input.shape[ind:])
    n, m = math.prod(front), math.prod(back)
    if n != m:
        raise RuntimeError(
            f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {m} != {n}"
        )
    return inv(input.reshape(n, n)).reshape(*back, *front)


def tensorsolve(input: Tensor, other: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B, after `dims` of A were moved behind the others.

    >>> import gradgpu as gg
    >>> gg.linalg.tensorsolve(gg.eye(6).reshape(2, 3, 6), gg.ones(2, 3)).shape
    gradgpu.Size([6])
    """
    if dims is not None:
        moved = [reduced_dims("linalg.tensorsolve", d, input.ndim)[0] for d in dims]
        input = permute(input, *[d for d in range(input.ndim) if d not in moved], *moved)
    shape = tuple(input.shape[other.ndim :])
    n = math.prod(shape)
    if n != other.numel() or n * n != input.numel():
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"shapes {tuple(input.shape)} and {tuple(other.shape)}"
        )
    return solve(input.reshape(n, n), other.reshape(n)).reshape(shape)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0, 1, …, N - 1 (as many as elements if None) of each element of `x`, along a new last dimension.

    >>> import gradgpu as gg
    >>> gg.linalg.vander(gg.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [1, 2, 4],
            [1, 3, 9]])
    """
    n = (x.shape[-1] if x.ndim else 1) if N is None else N
    if n <= 1:
        raise RuntimeError(f"N must be greater than 1, got {n}")
    rows = x.unsqueeze(-1).expand(*x.shape, n - 1).cumprod(-1)
    return cat([rows.new_ones((*x.shape, 1)), rows], -1)


# ---- norms ----
def vector_norm(
    input: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over `dim` (None: all elements).

    >>> import gradgpu as gg
    >>> gg.linalg.vector_norm(gg.tensor([3., 4.]))
    tensor(5.)
    """
    return _norm(input, ord, dim, keepdim, dtype=dtype)


def matrix_norm(
    input: Tensor,
    ord: Any = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """A norm of matrices: 'fro', 'nuc', 1, -1, inf, -inf (sums of rows or columns), 2, -2 (singular values).

    >>> import gradgpu as gg
    >>> gg.linalg.matrix_norm(gg.tensor([[1., -2.], [3., 4.]]), 1)
    tensor(6.)
    """
    if dtype is not None:
        input = input.to(dtype)
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple, got {dim}")
    rows, columns = (
        reduced_dims("linalg.matrix_norm", dim[0], input.ndim)[0],
        reduced_dims("linalg.matrix_norm", dim[1], input.ndim)[0],
    )
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different, got {tuple(dim)}")
    if ord == "fro":
        return _norm(input, 2, (rows, columns), keepdim)
    others = [d for d in range(input.ndim) if d not in (rows, columns)]
    matrix = permute(input, *others, rows, columns)
    if ord in (1, -1, math.inf, -math.inf):
        sums = _abs(matrix).sum(-2 if _one(ord) else -1)
        made = sums.amax(-1) if ord > 0 else sums.amin(-1)
    elif ord == "nuc":
        made = svdvals(matrix).sum(-1)
    elif ord in (2, -2):
        s = svdvals(matrix)
        made = s.amax(-1) if ord > 0 else s.amin(-1)
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported; use 'fro', 'nuc', ±1, ±2 or ±inf")
    if keepdim:
        for d in sorted((rows, columns)):
            made = made.unsqueeze(d)
    return made


def _one(ord: float) -> bool:
    return ord in (1, -1)


def norm(
    input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A vector norm, or with two dims (or a matrix and an `ord`) a matrix norm."""
    if ord is None:
        return vector_norm(input, 2, dim, keepdim, dtype=dtype)
    if (
        isinstance(ord, str)
        or (isinstance(dim, Sequence) and len(dim) == 2)
        or (dim is None and input.ndim == 2)
    ):
        return matrix_norm(input, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, ord, dim, keepdim, dtype=dtype)


def cond(input: Tensor, p: Any = None) -> Tensor:
    """The condition number: the ratio of the extreme singular values, or for another norm `p` ‖A‖ · ‖A⁻¹‖."""
    _matrix("cond", input)
    if p is None or p in (2, -2):
        s = svdvals(input)
        return s.amin(-1) / s.amax(-1) if p == -2 else s.amax(-1) / s.amin(-1)
    return matrix_norm(input, p) * matrix_norm(inv(input), p)


# ---- products ----
def matrix_power(input: Tensor, n: int) -> Tensor:
    """A multiplied with itself n times, by squaring; negative n: the inverse's power; 0: the identity.

    >>> import gradgpu as gg
    >>> gg.linalg.matrix_power(gg.tensor([[1., 1.], [0., 1.]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    if not isinstance(input, Tensor) or input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        _matrix("matrix_power", input, square=True)
    if n < 0:
        return matrix_power(inv(input), -n)
    if n == 0:
        from .ops.creation import eye

        return eye(input.shape[-1], dtype=input.dtype, device=input.device).expand(input.shape).clone()
    made, square = None, input
    while n:
        if n & 1:
            made = square if made is None else made @ square
        n >>= 1
        if n:
            square = square @ square
    return made.clone() if made is input else made  # type: ignore[return-value]


def matrix_exp(input: Tensor) -> Tensor:
    """e^A by scaling and squaring with Taylor's series of degree 18 (Higham, "The scaling and squaring method for the
    matrix exponential revisited", 2005, with a series for the Padé approximant). The host waits for the norm.

    >>> import gradgpu as gg
    >>> gg.linalg.matrix_exp(gg.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    _matrix("matrix_exp", input, square=True, or_complex=True)
    from .ops.creation import eye

    size = (
        float(_abs(outermost(input).detach()).sum(-1).max()) if input.numel() else 0.0
    )  # of all that vmap hides
    squarings = max(0, math.ceil(math.log2(size)) + 1) if size > 0.5 and math.isfinite(size) else 0
    x = input / 2**squarings
    one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
    made = one + x / 18
    for k in range(17, 0, -1):
        made = one + (x @ made) / k
    for _ in range(squarings):
        made = made @ made
    return made


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices (the first and last may be vectors) in the cheapest order (Cormen et al., ch. 15).

    >>> import gradgpu as gg
    >>> gg.linalg.multi_dot([gg.ones(2, 3), gg.ones(3, 4), gg.ones(4)])
    tensor([12., 12.])
    """
    given = list(tensors)
    if len(given) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(given)}")
    row, column = given[0].ndim == 1, given[-1].ndim == 1
    if row:
        given[0] = given[0].unsqueeze(0)
    if column:
        given[-1] = given[-1].unsqueeze(-1)
    sizes = [given[0].shape[0], *[t.shape[-1] for t in given]]
    cost: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(given))}
    for length in range(1, len(given)):
        for i in range(len(given) - length):
            j = i + length
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return given[i]
        k = cost[i, j][1]
        return product(i, k) @ product(k + 1, j)

    made = product(0, len(given) - 1)
    made = made.squeeze(0) if row else made
    return made.squeeze(-1) if column else made


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Σ x̄ · y along `dim`: of complex vectors the first one's conjugate is taken.

    >>> import gradgpu as gg
    >>> gg.linalg.vecdot(gg.tensor([[1., 2.], [3., 4.]]), gg.tensor([1., 1.]))
    tensor([3., 7.])
    """
    return (conj(x) * y).sum(dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """`gg.diagonal` of the last two dimensions."""
    return A.diagonal(offset, dim1, dim2)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of three elements along `dim`.

    >>> import gradgpu as gg
    >>> gg.linalg.cross(gg.tensor([1., 0., 0.]), gg.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}"
        )
    a, b = [input.narrow(dim, k, 1) for k in range(3)], [other.narrow(dim, k, 1) for k in range(3)]
    return cat([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], dim)


__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cholesky_solve", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "logdet", "lstsq",
    "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex",
    "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip

# those of PyTorch's functions that take `out`
_install_out(globals(), [name for name in __all__ if name not in ("LinAlgError", "diagonal", "lstsq")])
