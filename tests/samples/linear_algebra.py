"""Samples of decompositions, determinants, inverses and matrix norms. Where a decomposition is not unique, a function of it is."""

from __future__ import annotations

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample

BOTH = ("float32", "float64")
LOOSE = {"float32": (2e-3, 2e-3), "float64": (1e-7, 1e-7)}
L = gg.linalg
NOT_SQUARE = [
    Bad(In(2, 3), raises=RuntimeError, match="square"),
    Bad(In(3), raises=RuntimeError, match="2 dimensions"),
]
NOT_A_MATRIX = [Bad(In(3), raises=RuntimeError, match="2 dimensions")]
SQUARE = [Sample(In(3, 3)), Sample(In(2, 4, 4)), Sample(In(0, 2, 2))]
ANY = [Sample(In(4, 3)), Sample(In(2, 3, 3)), Sample(In(0, 2, 2))]


def _well(x):
    """Matrices that are safely invertible, with singular values apart."""
    n = x.shape[-1]
    return x * 0.2 + (np.diag(np.arange(1.0, n + 1)) if isinstance(x, np.ndarray) else
                      gg.arange(1.0, n + 1, dtype=x.dtype, device=x.device).diag())  # fmt: skip


def _spd(x):
    x = _well(x)
    return x @ (np.swapaxes(x, -1, -2) if isinstance(x, np.ndarray) else x.mT)


def _op(name, function, reference, samples=SQUARE, errors=NOT_SQUARE, **more):
    return OpSamples(name, function, samples=samples, reference=reference, dtypes=BOTH, tolerance=LOOSE,
                     errors=errors, **more)  # fmt: skip


def _checked(function, prepare):
    """`function(prepare(x))` that still refuses what the function refuses."""

    def run(x):
        return function(prepare(x) if x.ndim >= 2 and x.shape[-1] == x.shape[-2] else x)

    return run


def _through_svd(x):
    u, s, vh = L.svd(x, full_matrices=False)
    return (u * s.exp().unsqueeze(-2)) @ vh


def _through_svd_numpy(x):
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return (u * np.exp(s)[..., None, :]) @ vh


def _through_eigh(x):
    w, v = L.eigh(x)
    return (v * w.exp().unsqueeze(-2)) @ v.mT


def _through_eigh_numpy(x):
    w, v = np.linalg.eigh(x)
    return (v * np.exp(w)[..., None, :]) @ np.swapaxes(v, -1, -2)


def _through_eig(x):
    w, v = L.eig(x)
    return ((v * w.exp().unsqueeze(-2)) @ L.inv(v)).real


def _through_eig_numpy(x):
    w, v = np.linalg.eig(x)
    return ((v * np.exp(w)[..., None, :]) @ np.linalg.inv(v)).real


def _projection(x):
    q, r = gg.qr(x)
    return (q * q) @ (r * r)


def _projection_numpy(x):
    q, r = np.linalg.qr(x)
    return (q * q) @ (r * r)


def _through_lu(x):
    permutation, lower, upper = L.lu(x)
    return (permutation @ (lower * lower)) @ (upper * upper)


def _through_lu_numpy(x):
    lower, upper, permutation = np.empty((*x.shape[:-1], min(x.shape[-2:]))), None, None
    permutation, upper = (
        np.empty((*x.shape[:-2], x.shape[-2], x.shape[-2])),
        np.empty((*x.shape[:-2], lower.shape[-1], x.shape[-1])),
    )
    for at in np.ndindex(*x.shape[:-2]):  # row by row
        a, order = np.array(x[at]), list(range(x.shape[-2]))
        for j in range(lower.shape[-1]):
            p = j + int(np.argmax(abs(a[j:, j])))
            a[[j, p]], order[j], order[p] = a[[p, j]], order[p], order[j]
            for i in range(j + 1, len(a)):
                a[i, j] /= a[j, j]
                a[i, j + 1 :] -= a[i, j] * a[j, j + 1 :]
        lower[at] = np.tril(a, -1)[:, : lower.shape[-1]] + np.eye(*lower.shape[-2:])
        upper[at], permutation[at] = np.triu(a)[: upper.shape[-2]], np.eye(len(a))[order].T
    return (permutation @ lower**2) @ upper**2


def _packed_numpy(x):
    packed, tau = np.linalg.qr(x, "raw")
    return np.swapaxes(packed, -1, -2), tau


def _reflections(x, tau):
    """The product of 1 - tau v vᵀ, in full."""
    m, k = x.shape[-2], tau.shape[-1]
    made = np.broadcast_to(np.eye(m), (*x.shape[:-2], m, m))
    for j in range(k):
        v = np.where(np.arange(m)[:, None] > j, x[..., j : j + 1], np.eye(m)[:, j : j + 1])
        made = made @ (np.eye(m) - tau[..., j, None, None] * v * np.swapaxes(v, -1, -2))
    return made


def _ormqr_numpy(x, tau, other, left=True, transpose=False):
    q = _reflections(x, tau)
    q = np.swapaxes(q, -1, -2) if transpose else q
    return q @ other if left else other @ q


def _old_svd(x):
    u, s, v = gg.svd(x)
    return (u * s) @ v.mT if x.ndim == 2 else (u * s.unsqueeze(-2)) @ v.mT


def _series(x):
    made = term = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(1, 40):
        term = term @ x / k
        made = made + term
    return made


OPS = [
    _op("det", _checked(gg.det, _well), lambda x: np.linalg.det(_well(x)), ops=("linalg_cofactor",)),
    _op("slogdet", _checked(gg.slogdet, _well), lambda x: tuple(np.linalg.slogdet(_well(x)))),
    _op("logdet", _checked(gg.logdet, _spd), lambda x: np.linalg.slogdet(_spd(x))[1]),
    _op("inverse", _checked(gg.inverse, _well), lambda x: np.linalg.inv(_well(x))),
    _op("pinverse", gg.pinverse, np.linalg.pinv, samples=[Sample(In(4, 2)), Sample(In(2, 2, 3)), Sample(In(0, 2, 3))], errors=NOT_A_MATRIX),
    _op("cholesky", _checked(gg.cholesky, _spd), lambda x: np.linalg.cholesky(_spd(x))),
    _op("matrix_power", _checked(lambda x: gg.matrix_power(x, -3), _well),
        lambda x: np.linalg.matrix_power(_well(x), -3)),
    _op("matrix_exp", gg.matrix_exp, _series),
    _op("qr", _projection, _projection_numpy, samples=ANY, errors=NOT_A_MATRIX, layouts=False),
    _op("linalg_lu", _through_lu, _through_lu_numpy, samples=[*ANY, Sample(In(3, 5)), Sample(In(2, 0))], errors=NOT_A_MATRIX, layouts=False),
    OpSamples(
        "linalg_geqrf",
        gg.geqrf,
        samples=[Sample(In(4, 3)), Sample(In(3, 4)), Sample(In(2, 3, 3)), Sample(In(0, 3, 2))],
        reference=lambda x: _packed_numpy(x),
        dtypes=("float32", "float64"),
        differentiable=False,
        errors=NOT_A_MATRIX,
    ),
    OpSamples(
        "householder_product",
        L.householder_product,
        samples=[Sample(In(4, 3), In(2)), Sample(In(2, 3, 3), In(2, 3)), Sample(In(0, 3, 2), In(0, 2))],
        reference=lambda x, tau: _reflections(x, tau)[..., : x.shape[-1]],
        dtypes=("float32", "float64"),
        errors=[
            Bad(In(2, 3), In(2), raises=RuntimeError, match="greater than or equal to input.shape"),
            Bad(In(3, 2), In(3), raises=RuntimeError, match="greater than or equal to tau.shape"),
            Bad(In(3, 2), In(1, 2), raises=RuntimeError, match="one dimension less"),
            Bad(In(3, 2), In(2, dtype="int64"), raises=RuntimeError, match="does not match input dtype"),
            Bad(In(3), In(2), raises=RuntimeError, match="at least 2 dimensions"),
        ],
    ),
    OpSamples(
        "ormqr",
        gg.ormqr,
        samples=[
            Sample(In(4, 2), In(2), In(4, 3)), Sample(In(4, 2), In(2), In(4, 3), transpose=True), Sample(In(3, 3), In(3), In(2, 3), left=False),
            Sample(In(2, 3, 2), In(2, 2), In(2, 1, 3), False, True), Sample(In(0, 3, 2), In(0, 2), In(0, 3, 1)),
        ],
        reference=_ormqr_numpy,
        dtypes=("float32", "float64"),
        errors=[
            Bad(In(4, 2), In(2), In(3, 3), raises=RuntimeError, match="must have 4 rows"),
            Bad(In(4, 2), In(2), In(4, 3), left=False, raises=RuntimeError, match="must have 4 columns"),
        ],
    ),
    _op("svd", _old_svd, lambda x: x, samples=ANY, errors=NOT_A_MATRIX),
    _op("linalg_svd", _through_svd, _through_svd_numpy, samples=ANY, errors=NOT_A_MATRIX),
    _op("linalg_eigh", _checked(_through_eigh, _spd), lambda x: _through_eigh_numpy(_spd(x))),
    _op("linalg_eig", _checked(_through_eig, _well), lambda x: _through_eig_numpy(_well(x))),
    _op("linalg_solve", lambda a, b: L.solve(_well(a) if a.shape[-1] == a.shape[-2] else a, b),
        lambda a, b: np.linalg.solve(_well(a), b),
        samples=[Sample(In(3, 3), In(3, 2)), Sample(In(2, 3, 3), In(3, 1)), Sample(In(0, 2, 2), In(0, 2, 1))],
        errors=[Bad(In(2, 3), In(2, 1), raises=RuntimeError, match="square"),
                Bad(In(3, 3), In(2, 1), raises=RuntimeError, match="incompatible shapes")]),
    _op("cholesky_solve", lambda b, a: gg.cholesky_solve(b, L.cholesky(_spd(a))), lambda b, a: np.linalg.solve(_spd(a), b),
        samples=[Sample(In(3, 2), In(3, 3)), Sample(In(0, 2, 1), In(0, 2, 2))],
        errors=[Bad(In(2, 1), In(3, 3), raises=RuntimeError, match="incompatible shapes")]),
]  # fmt: skip
