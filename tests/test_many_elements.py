"""What the CPU does another way once there are many elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradgpu as gg


# ---- choices by a mask (ops/choice.py): many elements, so that they are made of bits ----
@pytest.mark.parametrize("dtype", [gg.float32, gg.float64, gg.float16, gg.bfloat16, gg.int8, gg.int64, gg.bool, gg.complex64])  # fmt: skip
def test_choice_of_many_elements(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    shape = (5, 7, 101)
    a, b = (gg.tensor(rng.integers(-3, 4, shape)).to(dtype) for _ in range(2))
    mask = rng.random(shape) < 0.5
    row = mask[:, :1]
    for m, x, y in [(mask, a, b), (mask, a, b[0]), (mask, a[:, :1], b), (row, a, b), (mask, a[0, 0], b[:1, :1]), (mask, a.mT.contiguous().mT, b)]:  # fmt: skip
        made = gg.where(gg.tensor(m), x, y)
        expected = np.where(m, x.to(gg.complex64).numpy(), y.to(gg.complex64).numpy())
        assert made.dtype is dtype
        np.testing.assert_array_equal(made.to(gg.complex64).numpy(), expected)
    for number in (0, 1):
        expected = np.where(mask, number, a.to(gg.complex64).numpy())
        np.testing.assert_array_equal(gg.where(gg.tensor(mask), number, a).to(gg.complex64).numpy(), expected)
        np.testing.assert_array_equal(a.masked_fill(gg.tensor(mask), number).to(gg.complex64).numpy(), expected)  # fmt: skip


def test_choice_keeps_bits() -> None:
    n = 5000
    mask = np.arange(n) % 3 == 0
    odd = np.resize(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32), n)
    t, m = gg.tensor(odd), gg.tensor(mask)
    for made, expected in [
        (gg.where(m, t, 1.0), np.where(mask, odd, np.float32(1))),
        (gg.where(m, 1.0, t), np.where(mask, np.float32(1), odd)),
        (gg.where(m, t, 0.0), np.where(mask, odd, np.float32(0))),
        (gg.where(m, t, -0.0), np.where(mask, odd, np.float32(-0.0))),
        (gg.where(m, 0.0, t), np.where(mask, np.float32(0), odd)),
        (t.masked_fill(m, -0.0), np.where(mask, np.float32(-0.0), odd)),
        (t.masked_fill(m, math.inf), np.where(mask, np.float32(np.inf), odd)),
    ]:
        np.testing.assert_array_equal(made.numpy().view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "selu", "celu", "hardtanh", "relu6", "hardswish", "hardsigmoid", "silu", "softplus"])  # fmt: skip
def test_activation_of_many_elements(name: str) -> None:
    # The long way, in pieces of few elements, says the same.
    x = np.linspace(-8, 8, 4800, dtype=np.float32)
    x[::97] = [np.nan, np.inf, -np.inf, 0.0, -3.0, 3.0, 6.0, -0.0, 1.0, -1.0] * 5
    g = np.random.default_rng(0).standard_normal(x.size).astype(np.float32)
    function = getattr(gg.nn.functional, name)

    def both(values: Any, grads: Any) -> tuple[Any, Any]:
        t = gg.tensor(values, requires_grad=True)
        y = function(t)
        y.backward(gg.tensor(grads))
        return y.detach().numpy(), t.grad.numpy()

    whole = both(x, g)
    pieces = [both(x[k : k + 48], g[k : k + 48]) for k in range(0, x.size, 48)]
    for made, parts in zip(whole, zip(*pieces)):
        np.testing.assert_allclose(made, np.concatenate(parts), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 80.0, -120.0, 3e4])
def test_log_softmax_of_many_elements(shift: float) -> None:
    x = np.random.default_rng(1).standard_normal((200, 40)) * 3 + shift
    exact = x - x.max(1, keepdims=True)
    exact = exact - np.log(np.exp(exact).sum(1, keepdims=True))
    t = gg.tensor(x, dtype=gg.float32)
    rounded = np.abs(x).max() * 2.0**-24
    np.testing.assert_allclose(t.log_softmax(1).numpy(), exact, atol=2e-6 + 2 * rounded)
    np.testing.assert_allclose(t.logsumexp(1).numpy(), (x - exact)[:, 0], rtol=3e-7, atol=2e-6 + rounded)


def _turned(x: Any) -> list[Any]:
    return [x[:32768].reshape(64, 512).T, x[:32768].reshape(4, 16, 512).mT] if x.numel() >= 32768 else []


@pytest.mark.parametrize("dtype", [gg.float32, gg.float64, gg.bfloat16, gg.int64, gg.int8, gg.bool, gg.complex128])  # fmt: skip
@pytest.mark.parametrize("size", [8, 5000, 40_000, 300_000])
def test_copies_have_the_same_bits_and_other_memory(dtype: Any, size: int) -> None:
    values = gg.tensor(np.resize([math.nan, -0.0, math.inf, 1.5, 0.0], size)).to(gg.float32)
    x = values.to(dtype)
    for t in (x, x[::2], x.reshape(2, -1).T, *_turned(x)):
        y = t.clone()
        assert y.is_contiguous() and not np.shares_memory(y._a, t._a)
        assert y._a.tobytes() == t._a.tobytes()


@pytest.mark.parametrize("shape", [(2000, 16), (300, 64), (10, 3, 1000), (3, 8191), (1, 40_000)])
def test_cumsum_of_many_elements(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x = gg.tensor(values, requires_grad=True)
    y = x.cumsum(-1)
    exact = np.cumsum(values.astype(np.float64), -1)
    np.testing.assert_allclose(y.detach().numpy(), exact, atol=1e-5 * shape[-1] ** 0.75)
    g = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    y.backward(gg.tensor(g))
    exact = np.cumsum(g.astype(np.float64)[..., ::-1], -1)[..., ::-1]
    np.testing.assert_allclose(x.grad.numpy(), exact, atol=1e-5 * shape[-1] ** 0.75)
    values[..., 5] = np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isinf(gg.tensor(values).cumsum(-1).numpy()), np.isinf(np.cumsum(values, -1)))  # fmt: skip


def test_remainder_and_floor_division_of_many_elements() -> None:
    rng = np.random.default_rng(2)
    a = (rng.standard_normal(6000) * 10.0 ** rng.integers(-3, 3, 6000)).astype(np.float32)
    b = (rng.standard_normal(6000) * 10.0 ** rng.integers(-2, 3, 6000)).astype(np.float32)
    a[::7] = np.round(a[::7])
    b[::7] = np.ceil(np.abs(b[::7]))
    a[::11], a[1::11] = 3 * b[::11], -3 * b[1::11]
    for other in (b, np.float32(0.1), np.float32(-2.0), np.float32(math.pi)):
        t = gg.tensor(other) if isinstance(other, np.ndarray) else float(other)
        expected = a.astype(np.float64) - np.floor(a.astype(np.float64) / other) * np.float64(other)
        np.testing.assert_array_equal((gg.tensor(a) % t).numpy(), np.remainder(a, other))
        np.testing.assert_allclose((gg.tensor(a) % t).numpy(), expected, rtol=1e-6, atol=1e-10)
        np.testing.assert_array_equal((gg.tensor(a) // t).numpy(), np.floor_divide(a, other))
    a[5], a[7], a[9], b[11], a[13] = np.nan, np.inf, -np.inf, 0.0, 1e30
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal((gg.tensor(a) % gg.tensor(b)).numpy(), np.remainder(a, b))
        np.testing.assert_array_equal((gg.tensor(a) // gg.tensor(b)).numpy(), np.floor_divide(a, b))


def test_logaddexp_of_many_elements() -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(3000) * 30 for _ in range(2))
    made = gg.logaddexp(gg.tensor(a, dtype=gg.float32), gg.tensor(b, dtype=gg.float32)).numpy()
    np.testing.assert_allclose(made, np.logaddexp(a, b), rtol=3e-7, atol=3e-7)
    a[:4], b[:4] = [-np.inf, -np.inf, np.inf, np.nan], [-np.inf, 1, np.inf, 0]
    made = gg.logaddexp(gg.tensor(a, dtype=gg.float32), gg.tensor(b, dtype=gg.float32)).numpy()
    np.testing.assert_array_equal(made[:4], [-np.inf, 1, np.inf, np.nan])


@pytest.mark.parametrize("size", [32_768, 40_001, 1_000_000])
def test_sum_of_all_of_many_elements(size: int) -> None:
    x = np.random.default_rng(0).random(size).astype(np.float32)
    exact = x.astype(np.float64).sum()
    assert abs(gg.tensor(x).sum().item() / exact - 1) < 3e-7
    assert abs(gg.tensor(x).reshape(1, -1).mean((0, 1), keepdim=True).item() * size / exact - 1) < 3e-7
    assert gg.tensor(x).reshape(1, -1).sum((0, 1), keepdim=True).shape == (1, 1)


@pytest.mark.parametrize("kernel, stride, padding", [(1, 1, 0), (2, 2, 0), (2, 1, 1), (3, 2, 1), (3, 3, 0)])
@pytest.mark.parametrize("dilation, ceil_mode", [(1, False), (2, True)])
def test_maxima_without_their_places(kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 11)).astype(np.float32)
    x[0, 0, 3, 3], x[1, 1, :3, :3] = np.nan, -np.inf
    windows = (kernel, stride, padding, dilation, ceil_mode)
    for pool, values in ((gg.nn.functional.max_pool2d, x), (gg.nn.functional.max_pool1d, x[0])):
        known = pool(gg.tensor(values, requires_grad=True), *windows).detach()
        np.testing.assert_array_equal(pool(gg.tensor(values), *windows), known)
