"""Functions of complex numbers that are made of functions of their parts: against numpy, and by their gradients."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradgpu as gg

rng = np.random.default_rng(0)
Z = rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5))
W = rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5))

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "expm1": np.expm1, "exp2": np.exp2, "rsqrt": lambda z: 1 / np.sqrt(z),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "sinc": np.sinc,
}  # fmt: skip


def on(device: str, z: Any, dtype: Any = gg.complex128) -> Any:
    return gg.tensor(z, dtype=dtype, device=device)


def same(found: Any, true: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found.detach().numpy(force=True), true, rtol=tolerance, atol=tolerance)


def through_parts(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of complex numbers as one of pairs of real numbers."""

    def of_pairs(*pairs: Any) -> Any:
        made = function(*[gg.view_as_complex(p) for p in pairs])
        return gg.view_as_real(made) if made.is_complex() else made

    return of_pairs


def pairs(device: str, *arrays: Any) -> tuple:
    made = [np.stack([a.real, a.imag], -1) for a in arrays]
    return tuple(gg.tensor(a, device=device, requires_grad=True) for a in made)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, device: str) -> None:
    function = getattr(gg, name)
    same(function(on(device, Z)), FUNCTIONS[name](Z))
    same(function(on(device, Z, gg.complex64)), FUNCTIONS[name](Z), 2e-5)
    assert gg.autograd.gradcheck(through_parts(function), pairs(device, Z[:2, :2]))
    assert function(on(device, Z[:0])).shape == (0, 5)


@pytest.mark.parametrize("name", ["sin", "tanh", "asin", "acosh", "log1p", "sigmoid"])
def test_second_derivatives(name: str) -> None:
    assert gg.autograd.gradgradcheck(through_parts(getattr(gg, name)), pairs("cpu", Z[:1, :3]))


def test_inverse_functions_on_their_cuts() -> None:
    z = np.array([2.0 + 0j, -2.0 + 0j, 0.5 + 0j, -0.5 + 0j, 2j, -2j, 1e-9 + 1e-9j])
    for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh"):
        same(getattr(gg, name)(gg.tensor(z)), FUNCTIONS[name](z))


def test_far_from_zero() -> None:
    z = np.array([400.0 + 1j, -400 + 1j, 1 + 400j, 1 - 400j])
    same(gg.tanh(gg.tensor(z)), np.tanh(z))
    same(gg.tan(gg.tensor(z)), np.tan(z))


def test_powers(device: str) -> None:
    z, w = on(device, Z), on(device, W)
    same(z**w, Z**W)
    same(z**0.3, Z**0.3)
    same(z ** (1 + 2j), Z ** (1 + 2j))
    same(2**z, 2**Z)
    same(z.abs() ** w, np.abs(Z) ** W)
    same(z**w.real, Z**W.real)
    same(on(device, [0j, 0j]) ** on(device, [0j, 2 + 0j]), [1, 0])
    same(gg.float_power(on(device, Z, gg.complex64), 0.5), Z.astype(np.complex64) ** 0.5, 1e-6)
    assert gg.autograd.gradcheck(through_parts(gg.pow), pairs(device, Z[:2, :2], W[:2, :2]))


def test_logic(device: str) -> None:
    a, b = on(device, [0j, 1j, 1.0, 0]), on(device, [0j, 0, 2j, 1j])
    assert gg.logical_and(a, b).tolist() == [False, False, True, False]
    assert gg.logical_or(a, b).tolist() == [False, True, True, True]
    assert gg.logical_xor(a, b).tolist() == [False, True, False, True]
    assert gg.logical_not(a).tolist() == [True, False, False, True]
    same(gg.lerp(on(device, Z), on(device, W), 0.25), Z + 0.25 * (W - Z))


def test_elements_are_moved(device: str) -> None:
    z = on(device, Z)
    at = rng.integers(0, 4, (3, 5))
    index = gg.tensor(at, device=device)
    same(z.gather(0, index), np.take_along_axis(Z, at, 0))
    added = np.zeros_like(Z)
    np.add.at(added, (at, np.arange(5)), W[:3])
    same(gg.zeros_like(z).scatter_add(0, index, on(device, W[:3])), added)
    unique = gg.tensor([[0, 1, 2, 3, 0]], device=device)
    true = Z.copy()
    true[[0, 1, 2, 3, 0], range(5)] = W[0]
    same(z.scatter(0, unique, on(device, W[:1])), true)
    true[[0, 1, 2, 3, 0], range(5)] = 2 - 1j
    same(z.scatter(0, unique, 2 - 1j), true)
    same(z.tril(-1), np.tril(Z, -1))
    same(z.triu(1), np.triu(Z, 1))
    same(z.cumsum(1), Z.cumsum(1))
    same(z.as_strided((2, 3), (1, 2), 1), Z.reshape(-1)[[[1, 3, 5], [2, 4, 6]]])
    same(z.unfold(1, 3, 2), np.stack([Z[:, :3], Z[:, 2:5]], 1))
    for function in (
        lambda x: x.gather(0, index),
        lambda x: x.scatter_add(0, index, x[:3]),
        lambda x: x.tril(),
        lambda x: x.cumsum(0),
        lambda x: x.as_strided((2, 3), (1, 1)),
        lambda x: x.unfold(1, 3, 1),
    ):
        assert gg.autograd.gradcheck(through_parts(function), pairs(device, Z))


def test_norms_and_linear_maps(device: str) -> None:
    same(on(device, Z).norm(), np.linalg.norm(Z))
    same(on(device, Z).norm(1, 0), np.abs(Z).sum(0))
    same(gg.dist(on(device, Z), on(device, W)), np.linalg.norm(Z - W))
    bias = W[:, 0]
    same(gg.nn.functional.linear(on(device, Z), on(device, W), on(device, bias)), Z @ W.T + bias)
    same(gg.nn.functional.linear(on(device, Z), on(device, W)), Z @ W.T)
    assert gg.autograd.gradcheck(
        through_parts(gg.nn.functional.linear), pairs(device, Z[:2], W[:3], bias[:3])
    )
    assert gg.autograd.gradcheck(through_parts(lambda x: x.norm(dim=1)), pairs(device, Z))


def test_what_has_no_order_is_refused() -> None:
    for call in (lambda: gg.clamp(gg.tensor(1j), 0), lambda: gg.copysign(gg.tensor(1j), 1.0)):
        with pytest.raises(NotImplementedError, match="complex"):
            call()
    with pytest.raises(RuntimeError, match="no limit"):
        gg.clamp(gg.tensor(1.0), 1j)


MAKERS = [
    "gg.view_as_complex(x.reshape(3, 2))",
    "gg.complex(x[:3], x[3:])",
    "gg.polar(x[:3].exp(), x[3:])",
    "gg.fft.rfft(x)[:3]",
    "gg.stft(x, 4, hop_length=2, window=gg.ones(4), return_complex=True).reshape(-1)[:3]",
    "gg.complex(x[:3], x[3:]) * pickle.loads(kept)",
]


@pytest.mark.parametrize("maker", MAKERS)
def test_a_program_that_names_no_complex_dtype(maker: str) -> None:
    # Operations look for complex numbers only once there are some. Here nothing but the maker tells them.
    code = f"""
import pickle, sys
import gradgpu as gg
kept = {pickle.dumps(gg.tensor([1j, 2.0, -1j]))!r}
x = gg.tensor([0.5, -1.0, 0.25, 2.0, -0.75, 1.5], requires_grad=True)
z = {maker}
found = z.reshape(1, 3) @ z.reshape(3, 1)
(gradient,) = gg.autograd.grad(gg.view_as_real(found).sum(), x)
print(gradient.tolist())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    x = gg.tensor([0.5, -1.0, 0.25, 2.0, -0.75, 1.5], requires_grad=True)
    kept = pickle.dumps(gg.tensor([1j, 2.0, -1j]))
    z = eval(maker, {"gg": gg, "x": x, "pickle": pickle, "kept": kept})
    real, imag = z.real, z.imag
    (want,) = gg.autograd.grad((real * real - imag * imag + 2 * real * imag).sum(), x)
    np.testing.assert_allclose(eval(run.stdout), want.tolist(), rtol=1e-4, atol=1e-5)
