"""gradgpu.linalg beyond its samples: norms, orders of products, refusals, and the list of what goes through the host."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.ops import householder, lu  # noqa: F401  (whose ops are in the list)
from gradgpu.ops.registry import OPS

L = gg.linalg
rng = np.random.default_rng(0)
A, T = rng.standard_normal((2, 4, 4)), rng.standard_normal((5, 3))


def on(device: str, values: np.ndarray) -> gg.Tensor:
    return gg.tensor(values, device=device)


def same(found: gg.Tensor, true: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(found.detach().cpu().numpy(), true, tolerance, tolerance)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_matrix_norms(order: Any, device: str) -> None:
    same(L.matrix_norm(on(device, T), order), np.linalg.norm(T, order))
    same(L.matrix_norm(on(device, A), order), [np.linalg.norm(a, order) for a in A])
    kept = L.matrix_norm(on(device, A), order, dim=(0, 2), keepdim=True)
    assert kept.shape == (1, 4, 1)
    same(kept[0, :, 0], [np.linalg.norm(A[:, i], order) for i in range(4)])
    same(L.norm(on(device, T), order), np.linalg.norm(T, order))


@pytest.mark.parametrize("order", [0, 1, 2, 3.5, math.inf, -math.inf])
def test_vector_norms(order: float, device: str) -> None:
    same(L.vector_norm(on(device, T), order, dim=0), np.linalg.norm(T, order, 0))
    same(L.norm(on(device, T), order, dim=1, keepdim=True), np.linalg.norm(T, order, 1, True))


def test_condition_and_rank(device: str) -> None:
    for p in (None, 2, -2, 1, math.inf, "fro"):
        same(L.cond(on(device, A), p), np.linalg.cond(A, p), 1e-8)
    low = T[:, :1] * T[0]
    assert int(L.matrix_rank(on(device, low))) == 1 and L.matrix_rank(on(device, A)).tolist() == [4, 4]


def test_powers_and_products(device: str) -> None:
    a = on(device, A)
    for n in (0, 1, 2, 5, -1, -4):
        same(L.matrix_power(a, n), np.linalg.matrix_power(A, n), 1e-8)
    mats = [rng.standard_normal(s) for s in ((10, 30), (30, 5), (5, 60), (60,))]
    same(L.multi_dot([on(device, m) for m in mats]), np.linalg.multi_dot(mats))
    same(L.vecdot(a, a), (A * A).sum(-1))
    same(L.cross(on(device, T), on(device, T[::-1].copy())), np.cross(T, T[::-1]))


def test_least_squares(device: str) -> None:
    b = rng.standard_normal((5, 2))
    found, true = L.lstsq(on(device, T), on(device, b), driver="gelsd"), np.linalg.lstsq(T, b, rcond=None)
    for one, other in zip(found, true):
        same(one, other)
    same(L.lstsq(on(device, T), on(device, b[:, 0])).solution, true[0][:, 0])


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_equations(upper: bool, unit: bool, device: str) -> None:
    b = rng.standard_normal((2, 4, 3))
    kept = np.triu(A) if upper else np.tril(A)
    if unit:
        kept = kept - kept * np.eye(4) + np.eye(4)
    x = L.solve_triangular(on(device, A), on(device, b), upper=upper, unitriangular=unit)
    same(x, np.linalg.solve(kept, b))
    y = L.solve_triangular(
        on(device, A), on(device, b.swapaxes(1, 2)), upper=upper, left=False, unitriangular=unit
    )
    same(y, np.linalg.solve(kept.swapaxes(1, 2), b).swapaxes(1, 2))


def test_a_singular_matrix_has_a_determinant_with_a_gradient(device: str) -> None:
    x = gg.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=gg.float64, device=device, requires_grad=True)
    L.det(x).backward()
    same(x.grad, [[4, -2], [-2, 1]])


def test_refusals(device: str) -> None:
    zero = gg.zeros(2, 2, device=device)
    with pytest.raises(L.LinAlgError, match=r"linalg.inv.*[Ss]ingular.*\(2, 2\)"):
        L.inv(zero)
    with pytest.raises(L.LinAlgError, match=r"linalg.cholesky.*positive definite"):
        L.cholesky(zero - 1)
    with pytest.raises(
        RuntimeError, match="linalg.svd: expected a float32 or float64 tensor, got gradgpu.float16"
    ):
        L.svd(zero.half())
    with pytest.raises(TypeError, match="linalg.qr: A must be a Tensor, got list"):
        L.qr([[1.0]])
    with pytest.raises(RuntimeError, match="linalg.matrix_norm: Order 3 not supported"):
        L.matrix_norm(zero, 3)
    full = L.svd(gg.ones(3, 2, device=device, requires_grad=True))
    with pytest.raises(RuntimeError, match="full_matrices=False"):
        full.U.sum().backward()
    wide = L.qr(gg.ones(2, 3, device=device, requires_grad=True))
    with pytest.raises(NotImplementedError, match="fewer rows than columns"):
        wide.R.sum().backward()


def test_the_list_of_what_goes_through_the_host() -> None:
    page = (Path(__file__).parents[1] / "docs" / "host_ops.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert listed == {name for name, op in OPS.items() if getattr(op.cuda, "through_host", False)}


C = rng.standard_normal((2, 3, 3)) + 1j * rng.standard_normal((2, 3, 3))
H = C @ C.conj().swapaxes(-1, -2) + np.eye(3)


def _of_pairs(function: Any) -> Any:
    """A function of complex matrices as one of pairs of real numbers."""

    def of_pairs(*pairs: gg.Tensor) -> Any:
        made = function(*[gg.view_as_complex(p) for p in pairs])
        made = made if isinstance(made, tuple) else (made,)
        return tuple(gg.view_as_real(m) if m.is_complex() else m for m in made)

    return of_pairs


def _pairs(device: str, *arrays: Any) -> tuple:
    return tuple(on(device, np.stack([a.real, a.imag], -1)).requires_grad_() for a in arrays)


def test_eigenvalues_of_any_matrices(device: str) -> None:
    for a in (A, C):
        w, v = L.eig(on(device, a))
        assert w.dtype is gg.complex128 and v.dtype is gg.complex128
        same(on(device, a).to(gg.complex128) @ v, (v * w.unsqueeze(-2)).cpu().numpy())
        same(v.abs().square().sum(-2), np.ones(a.shape[:-1]))
        same(L.eigvals(on(device, a)), np.linalg.eigvals(a))
    assert L.eig(gg.zeros(0, 2, 2)).eigenvalues.shape == (0, 2)

    def loss(a: gg.Tensor) -> Any:
        w, v = L.eig(a)
        return w.real, w.imag, v.abs(), (v.abs() ** 2 * w.abs().unsqueeze(-2)).sum()

    assert gg.autograd.gradcheck(loss, (on(device, T[:3, :3]).requires_grad_(),))
    assert gg.autograd.gradcheck(_of_pairs(loss), _pairs(device, C[0]))
    assert gg.autograd.gradgradcheck(
        lambda a: L.eigvals(a).abs(), (gg.tensor(T[:3, :3], requires_grad=True),)
    )
    with pytest.raises(RuntimeError, match="square"):
        L.eig(gg.ones(2, 3))
    with pytest.raises(RuntimeError, match="float32 or float64"):
        L.eigvals(gg.ones(2, 2).long())


def test_complex_matrices(device: str) -> None:
    c, h, b = on(device, C), on(device, H), C[:, :, :2]
    same(L.inv(c), np.linalg.inv(C))
    same(L.solve(c, on(device, b)), np.linalg.solve(C, b))
    same(L.solve(c, on(device, b.real)), np.linalg.solve(C, b.real))
    same(L.cholesky(h), np.linalg.cholesky(H))
    same(L.cholesky(h, upper=True), np.linalg.cholesky(H).conj().swapaxes(-1, -2))
    same(L.eigvalsh(h), np.linalg.eigvalsh(H))
    w, v = L.eigh(h)
    same((v * w.unsqueeze(-2)) @ v.mH, H)
    for function, arrays in (
        (L.inv, (C[0],)),
        (L.solve, (C[0], b[0])),
        (lambda a: L.cholesky(a @ a.mH + gg.eye(3, dtype=gg.float64, device=device)), (C[0],)),
        (lambda a: L.eigh(a + a.mH).eigenvalues, (C[0],)),
        (lambda a: L.eigh(a + a.mH).eigenvectors.abs(), (C[0],)),
    ):
        assert gg.autograd.gradcheck(_of_pairs(function), _pairs(device, *arrays))


@pytest.mark.parametrize(
    "shape", [(3, 3), (2, 4, 4), (5, 3), (2, 3, 5), (60, 60), (70, 110), (0, 2, 2), (3, 0)]
)
def test_lu_factors_unpack_and_multiply_to_the_matrix(device: str, shape: tuple) -> None:
    rng = np.random.default_rng(0)
    A = gg.tensor(rng.standard_normal(shape), device=device)
    P, lower, upper = L.lu(A)
    assert np.allclose((P @ lower @ upper).cpu(), A.cpu()) and float(abs(lower.cpu()).sum()) <= lower.numel()
    made, pivots, info = L.lu_factor_ex(A)
    assert pivots.dtype == gg.int32 and info.dtype == gg.int32 and not info.any()
    for found, wanted in zip(gg.lu_unpack(made, pivots), (P, lower, upper), strict=True):
        assert found.device == A.device and found.tolist() == wanted.tolist()
    with pytest.warns(UserWarning, match="deprecated"):
        assert A.lu(get_infos=True).LU.tolist() == made.tolist()
    P, lower, upper = gg.lu_unpack(made, pivots, unpack_data=False)
    assert P.numel() == np.prod(shape[:-1]) * shape[-2] and lower.shape == upper.shape == (0,)


def test_lu_solves_equations(device: str) -> None:
    rng = np.random.default_rng(1)
    A = gg.tensor(rng.standard_normal((2, 4, 4)), device=device, requires_grad=True)
    B = gg.tensor(rng.standard_normal((2, 4, 3)), device=device, requires_grad=True)
    made, pivots = L.lu_factor(A)
    assert np.allclose((A @ L.lu_solve(made, pivots, B)).detach().cpu(), B.detach().cpu())
    assert np.allclose((A.mT @ L.lu_solve(made, pivots, B, adjoint=True)).detach().cpu(), B.detach().cpu())
    assert np.allclose((L.lu_solve(made, pivots, B.mT, left=False) @ A).detach().cpu(), B.mT.detach().cpu())
    assert gg.autograd.gradcheck(lambda a, b: L.lu_solve(*L.lu_factor(a), b), (A, B))
    assert gg.autograd.gradcheck(lambda a, b: b.lu_solve(*L.lu_factor(a)), (A, B))
    with pytest.raises(RuntimeError, match=r"Incompatible shapes of A \(2, 4, 4\) and B \(2, 3, 1\)"):
        L.lu_solve(made, pivots, gg.ones(2, 3, 1, device=device))
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        L.lu_solve(made, pivots, gg.ones(4, device=device))
    with pytest.raises(RuntimeError, match="between 1 and"):
        L.lu_solve(made, pivots + 4, B)
    with pytest.raises(RuntimeError, match="int32 dtype"):
        gg.lu_unpack(made, pivots.long())


def test_lu_of_a_singular_matrix(device: str) -> None:
    A = gg.tensor([[1.0, 2.0], [2.0, 4.0]], device=device)
    made, pivots, info = L.lu_factor_ex(A)
    assert made.tolist() == [[2, 4], [0.5, 0]] and pivots.tolist() == [2, 2] and info.tolist() == 2
    for function in (L.lu_factor, lambda a: L.lu_factor_ex(a, check_errors=True)):
        with pytest.raises(RuntimeError, match=r"linalg.lu_factor.*: U\[2,2\] is zero"):
            function(A)
    assert L.lu(A).U.tolist() == [[2, 4], [0, 0]]
    plain = L.lu(gg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device), pivot=False)
    assert plain.P.tolist() == [[1, 0], [0, 1]] and plain.L.tolist() == [[1, 0], [3, 1]]
    assert L.lu_factor_ex(gg.tensor([[[0.0]], [[2.0]]], device=device)).info.tolist() == [1, 0]
