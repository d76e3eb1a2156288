"""Matrix decompositions, by LAPACK through numpy on the host, with gradients that run on the device.

Small nets decompose small matrices, for which the host is as fast as a kernel would be: on cuda the input is copied
to the host, the result back, and the host waits for both (`through_host`; docs/host_ops.md lists them).
Derivatives: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008);
Murray, "Differentiation of the Cholesky decomposition" (2016); Walter & Lehmann, "Algorithmic differentiation of linear
algebra functions with application in optimum experimental design" (2010); Golub & Pereyra (1973) for the pseudoinverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import return_types as rt
from ..tensor import Tensor
from .complex import complex_op, conj_op, real_op
from .matrix import triangle_op
from .reduce import sum_op
from .registry import Op, method
from .shape import permute_op


class LinAlgError(RuntimeError):
    """A matrix that has no such decomposition: singular, or not positive definite."""


def through_host(name: str, cpu: Callable) -> tuple[Callable, Callable]:
    """(cpu, cuda): the numpy code with numpy's errors turned into `LinAlgError`, and the same for cuda arrays by way of
    the host, which waits."""

    def checked(*arrays: Any, **attrs: Any) -> Any:
        try:
            return cpu(*arrays, **attrs)
        except np.linalg.LinAlgError as error:
            seen = ", ".join(str(tuple(a.shape)) for a in arrays)
            raise LinAlgError(f"linalg.{name}: {error} (input of shape {seen})") from None

    def cuda(*arrays: Any, **attrs: Any) -> Any:
        from ..cuda.array import from_host

        index = arrays[0].layout.device
        made = checked(*[a.get() for a in arrays], **attrs)
        if isinstance(made, tuple):
            return tuple([from_host(np.asarray(part), index) for part in made])
        return from_host(np.asarray(made), index)

    cuda.through_host = True  # type: ignore[attr-defined]
    return checked, cuda


# ---- what rules are written with; all of it runs on arrays and on Tensors ----
def _t(x: Any) -> Any:
    n = len(x.shape)
    return permute_op(x, dims=(*range(n - 2), n - 1, n - 2))


def _h(x: Any) -> Any:
    """The transpose, of complex matrices conjugated."""
    kind = x.dtype
    if kind.is_complex if isinstance(x, Tensor) else kind.kind == "c":
        return conj_op(_t(x))
    return _t(x)


def _row(v: Any) -> Any:
    """(…, k) as (…, 1, k): a product with it scales columns."""
    return v.reshape((*v.shape[:-1], 1, v.shape[-1]))


def _column(v: Any) -> Any:
    return v.reshape((*v.shape, 1))


def _scalar(v: Any) -> Any:
    """(…) as (…, 1, 1)."""
    return v.reshape((*v.shape, 1, 1))


def _lower(x: Any, diagonal: int = 0) -> Any:
    return triangle_op(x, diagonal=diagonal, lower=True)


def _diagonal(x: Any) -> Any:
    """The diagonal, zero elsewhere."""
    return triangle_op(_lower(x), diagonal=0, lower=False)


def _differences(w: Any) -> Any:
    """w_j - w_i, with ones on the diagonal."""
    d = _row(w) - _column(w)
    return d + _diagonal(d * 0.0 + 1.0)


def _host(name: str, cpu: Callable, **more: Any) -> Op:
    checked, cuda = through_host(name, cpu)
    op = Op(f"linalg_{name}", cpu, cuda, **more)
    op.cpu = checked
    return op


# ---- inverse, equations ----
inv_op = _host("inv", lambda x: np.linalg.inv(x), grad={"x": lambda g, y: -(_h(y) @ g @ _h(y))})
solve_op = _host(
    "solve",
    lambda a, b: np.linalg.solve(a, b),
    grad={
        "a": lambda g, a, y: -(solve_op(_h(a), g) @ _h(y)),
        "b": lambda g, a: solve_op(_h(a), g),
    },
)
for _op in (inv_op, solve_op):
    _op.complex = _op.cpu, _op.cuda


def _pinv_grad(g: Any, x: Any, y: Any) -> Any:
    yt, gt = _t(y), _t(g)
    first = gt @ y @ yt
    second = yt @ y @ gt
    return first - x @ (y @ first) + second - (second @ y) @ x - yt @ g @ yt


pinv_op = _host(
    "pinv", lambda x, *, rcond: np.linalg.pinv(x, rcond).astype(x.dtype, copy=False), grad={"x": _pinv_grad}
)


# ---- determinants ----
def _cofactor(x):
    # Through the singular values, so that it exists for singular matrices too: det(U) det(V) U diag(Π s_j, j ≠ i) Vᵀ.
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = [np.prod(np.delete(s, i, -1), -1) for i in range(n)]
    rest = np.stack(others, -1) if n else s
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return ((u * rest[..., None, :]) @ vh * sign[..., None, None]).astype(x.dtype, copy=False)


def _cofactor_grad(g: Any, x: Any, y: Any) -> Any:
    inverse = _t(inv_op(x))
    return (
        _scalar(sum_op(g * y, dims=(len(y.shape) - 2, len(y.shape) - 1), keepdim=False)) * inverse
        - y @ _t(g) @ inverse
    )


cofactor_op = _host("cofactor", _cofactor, grad={"x": _cofactor_grad})
det_op = _host("det", lambda x: np.linalg.det(x), grad={"x": lambda g, x: _scalar(g) * cofactor_op(x)})
slogdet_op = _host(
    "slogdet",
    lambda x: tuple(np.linalg.slogdet(x)),
    grad={"x": lambda g1, x: _scalar(g1) * _t(inv_op(x))},
    differentiable=(False, True),
)


# ---- decompositions ----
def _cholesky_grad(g: Any, y: Any) -> Any:
    p = _lower(_h(y) @ g)
    p = p - _diagonal(p) * 0.5
    inverse = inv_op(y)
    s = _h(inverse) @ p @ inverse
    return (s + _h(s)) * 0.5


cholesky_op = _host("cholesky", lambda x: np.linalg.cholesky(x), grad={"x": _cholesky_grad})


def _qr_grad(g0: Any, g1: Any, x_shape: tuple, y0: Any, y1: Any) -> Any:
    m, n = x_shape[-2:]
    if m < n:
        raise NotImplementedError(
            f"linalg.qr: the gradient of a matrix with fewer rows than columns ({m} by {n}) is not implemented; "
            "decompose its first columns"
        )
    if y0.shape[-1] != y1.shape[-1]:
        raise RuntimeError(
            "linalg.qr: the gradient of mode='complete' exists for square matrices only; use 'reduced'"
        )
    inner = None
    if g1 is not None:
        inner = y1 @ _t(g1)
    if g0 is not None:
        part = _t(g0) @ y0
        inner = -part if inner is None else inner - part
    symmetric = _lower(inner) + _t(_lower(inner, -1))
    total = y0 @ symmetric
    if g0 is not None:
        total = total + g0
    return _t(solve_op(y1, _t(total)))


qr_op = _host("qr", lambda x, *, mode: tuple(np.linalg.qr(x, mode)), grad={"x": _qr_grad})


def _eigh_grad(g0: Any, g1: Any, y0: Any, y1: Any) -> Any:
    total = None
    if g1 is not None:
        inner = _h(y1) @ g1
        total = y1 @ ((inner - _diagonal(inner)) / _differences(y0))
    if g0 is not None:
        part = y1 * _row(g0)
        total = part if total is None else total + part
    return total @ _h(y1)


def _eigh(x, *, upper):
    return tuple(np.linalg.eigh(x, "U" if upper else "L"))


eigh_op = _host("eigh", _eigh, grad={"x": _eigh_grad})
for _op in (cholesky_op, eigh_op):
    _op.complex = _op.cpu, _op.cuda


def _eig(x):
    w, v = np.linalg.eig(x)
    kind = np.result_type(x.dtype, np.complex64)
    return w.astype(kind, copy=False), v.astype(kind, copy=False)


def _eig_grad(g0: Any, g1: Any, x_dtype: Any, y0: Any, y1: Any) -> Any:
    # Boeddeker et al., "On the computation of complex-valued gradients with application to statistically optimum
    # beamforming", 2017, (4.77); the part of g1 along the eigenvectors, which have length 1, does not count.
    inner = None
    if g1 is not None:
        toward = _h(y1) @ g1
        length = real_op(_diagonal(toward)) * 1.0
        inner = (toward - _h(y1) @ y1 @ complex_op(length, length * 0.0)) / conj_op(_differences(y0))
        inner = inner - _diagonal(inner)
    if g0 is not None:
        part = _diagonal(_row(g0) + _column(g0 * 0.0))
        inner = part if inner is None else inner + part
    total = _h(inv_op(y1)) @ inner @ _h(y1)
    return total if x_dtype.kind == "c" else real_op(total)


eig_op = _host("eig", _eig, grad={"x": _eig_grad})
eig_op.complex = eig_op.cpu, eig_op.cuda


def _svd_grad(g0: Any, g1: Any, g2: Any, y0: Any, y1: Any, y2: Any) -> Any:
    u, s, vh = y0, y1, y2
    if u.shape[-1] != vh.shape[-2]:
        raise RuntimeError("linalg.svd: the gradient needs full_matrices=False")
    squares = _differences(s * s)
    inner = None if g1 is None else _diagonal(squares * 0.0 + 1.0) * _row(g1)
    total = None
    if g0 is not None:
        skew = _t(u) @ g0
        part = (skew - _t(skew)) / squares * _row(s)
        inner = part if inner is None else inner + part
        rest = g0 / _row(s)
        total = (rest - u @ (_t(u) @ rest)) @ vh
    if g2 is not None:
        skew = vh @ _t(g2)
        part = _column(s) * ((skew - _t(skew)) / squares)
        inner = part if inner is None else inner + part
        rest = g2 / _column(s)
        rest = u @ (rest - rest @ _t(vh) @ vh)
        total = rest if total is None else total + rest
    core = u @ inner @ vh  # one of the three gradients has arrived
    return core if total is None else total + core


svd_op = _host("svd", lambda x, *, full: tuple(np.linalg.svd(x, full)), grad={"x": _svd_grad})


# ---- the older names: functions of `gradgpu` and methods of Tensor; `gradgpu.linalg` does the work ----
@method
def det(input: Any) -> Any:
    """`linalg.det`: the determinant of square matrices."""
    from .. import linalg

    return linalg.det(input)


@method
def slogdet(input: Any) -> Any:
    """`linalg.slogdet`: sign and logarithm of the determinant."""
    from .. import linalg

    return rt.slogdet(*linalg.slogdet(input))


@method
def logdet(input: Any) -> Any:
    """The logarithm of the determinant, NaN where it is negative."""
    from .. import linalg

    return linalg.logdet(input)


@method
def inverse(input: Any) -> Any:
    """`linalg.inv`: the inverse of square matrices."""
    from .. import linalg

    return linalg.inv(input)


@method
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """`linalg.pinv`: the pseudoinverse; singular values of less than `rcond` times the greatest count as 0."""
    from .. import linalg

    return linalg.pinv(input, rtol=rcond)


@method
def cholesky(input: Any, upper: bool = False) -> Any:
    """`linalg.cholesky`: the triangular factor of a positive definite matrix."""
    from .. import linalg

    return linalg.cholesky(input, upper=upper)


@method
def qr(input: Any, some: bool = True) -> Any:
    """`linalg.qr`: orthonormal and triangular factor; `some=False` gives all columns of Q."""
    from .. import linalg

    return rt.qr(*linalg.qr(input, "reduced" if some else "complete"))


@method
def svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V) with `input` = U diag(S) Vᵀ: as `linalg.svd`, but V, not its transpose; with
    `compute_uv=False` U and V are zeros."""
    from .. import linalg

    if not compute_uv:
        s, (*batch, m, n) = linalg.svdvals(input), input.shape
        return rt.svd(input.new_zeros((*batch, m, m)), s, input.new_zeros((*batch, n, n)))
    u, s, vh = linalg.svd(input, not some)
    return rt.svd(u, s, vh.mT)


@method
def cholesky_inverse(input: Any, upper: bool = False) -> Any:
    """The inverse of L Lᵀ, given the lower triangular L (of Uᵀ U, given U, if `upper`).

    >>> import gradgpu as gg
    >>> gg.cholesky_inverse(gg.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.2500, 0.0000],
            [0.0000, 0.0625]])
    """
    from .. import linalg
    from .creation import eye

    one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
    return linalg.cholesky_solve(one, input, upper)


@method
def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """(X, A) with A X = `input` (Aᵀ X if `transpose`), of A's upper or lower triangle; see `linalg.solve_triangular`.

    >>> import gradgpu as gg
    >>> gg.triangular_solve(gg.tensor([[2.], [4.]]), gg.tensor([[1., 0.], [9., 2.]])).solution
    tensor([[2.],
            [2.]])
    """
    from .. import linalg

    a = A.mT if transpose else A
    made = linalg.solve_triangular(a, input, upper=upper != transpose, unitriangular=unitriangular)
    return rt.triangular_solve(made, A.clone())


@method
def matrix_power(input: Any, n: int) -> Any:
    """`linalg.matrix_power`: a matrix multiplied with itself."""
    from .. import linalg

    return linalg.matrix_power(input, n)


@method
def matrix_exp(input: Any) -> Any:
    """`linalg.matrix_exp`: the exponential of a matrix."""
    from .. import linalg

    return linalg.matrix_exp(input)


@method
def cholesky_solve(input: Any, L: Any, upper: bool = False) -> Any:
    """`linalg.cholesky_solve`: X with L Lᵀ X = `input`."""
    from .. import linalg

    return linalg.cholesky_solve(input, L, upper)


__all__ = [
    "cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet", "matrix_exp", "matrix_power", "pinverse", "qr", "slogdet", "svd", "triangular_solve",
]  # fmt: skip
