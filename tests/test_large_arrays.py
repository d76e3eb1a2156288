"""What the CPU does another way once there are many elements, or where nobody asks for more than the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import philox
from gradgpu.nn import functional as F
from gradgpu.ops.blocks import BLOCK, LongRows


def gradients(function, x, *parameters):
    """The output of float32 tensors and the gradients of its product with fixed numbers."""
    tensors = [gg.tensor(v, requires_grad=True) for v in (x, *parameters)]
    y = function(*tensors)
    weights = np.cos(np.arange(y.numel(), dtype=np.float32) * 0.7).reshape(tuple(y.shape))
    y.backward(gg.tensor(weights))
    return [y.detach().numpy(), *[t.grad.numpy() for t in tensors]]


def wide(function, x, *parameters):
    """The same in float64, in parts of a hundred rows."""
    p = [gg.tensor(v.astype(np.float64), requires_grad=True) for v in parameters]
    weights = np.cos(np.arange(x.size, dtype=np.float32) * 0.7).reshape(x.shape)
    outputs, of_x = [], []
    for start in range(0, len(x), 100):
        part = gg.tensor(x[start : start + 100].astype(np.float64), requires_grad=True)
        y = function(part, *p)
        y.backward(gg.tensor(weights[start : start + 100].astype(np.float64)))
        outputs.append(y.detach().numpy())
        of_x.append(part.grad.numpy())
    return [np.concatenate(outputs), np.concatenate(of_x), *[t.grad.numpy() for t in p]]


@pytest.mark.parametrize("offset", [0.0, 50.0], ids=["centred", "far"])
@pytest.mark.parametrize("n", [600, 130])
@pytest.mark.parametrize("affine", [0, 1, 2])
def test_layer_norm(n, affine, offset):
    rng = np.random.default_rng(0)
    rows = -(-8 * BLOCK // n) + 3
    x = rng.standard_normal((rows, n), np.float32) + np.float32(offset)
    parameters = [rng.standard_normal(n, np.float32) for _ in range(affine)]

    def function(x, *p):
        return F.layer_norm(x, (n,), *p)

    size = 1 + 4 * offset
    for made, expected in zip(gradients(function, x, *parameters), wide(function, x, *parameters)):
        np.testing.assert_allclose(
            made, expected, rtol=2e-5 * size, atol=2e-5 * size * np.abs(expected).max()
        )


@pytest.mark.parametrize("affine", [0, 1])
def test_rms_norm(affine):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2 * BLOCK // 512 + 5, 512), np.float32)
    parameters = [rng.standard_normal(512, np.float32) for _ in range(affine)]

    def function(x, *p):
        return F.rms_norm(x, (512,), *p, eps=1e-5)

    for made, expected in zip(gradients(function, x, *parameters), wide(function, x, *parameters)):
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("function", [F.group_norm, F.batch_norm], ids=["group_norm", "batch_norm"])
def test_norms_of_large_maps(function):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 8, 40, 40), np.float32)
    weight, bias = rng.standard_normal((2, 8), np.float32)

    def apply(x, w, b):
        if function is F.group_norm:
            return function(x, 2, w, b)
        return function(x, None, None, w, b, True)

    for made, expected in zip(gradients(apply, x, weight, bias), wide(apply, x, weight, bias)):
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


def test_long_rows_leave_numpy_as_it_was():
    size = np.getbufsize()
    with LongRows(1 << 10, 1 << 20):
        assert np.getbufsize() < size
        with LongRows(1 << 10, 1 << 20):
            pass
    assert np.getbufsize() == size
    with pytest.raises(ZeroDivisionError), LongRows(1 << 10, 1 << 20):
        raise ZeroDivisionError
    assert np.getbufsize() == size


@pytest.mark.parametrize("largest", [True, False], ids=["largest", "smallest"])
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape, dim", [((20000,), 0), ((3, 1000, 2), 1), ((40, 300), 1)])
def test_few_of_many(shape, dim, kind, largest):
    """The first k, of equal ones the first, as a stable sort puts them."""
    rng = np.random.default_rng(3)
    values = np.round(rng.standard_normal(shape) * 20)
    for gaps in (0, 2):
        x = values.copy()
        if gaps:
            if not kind.startswith("float"):
                continue
            x.reshape(-1)[[5, x.size // 2]] = np.nan
            x.reshape(-1)[[7, 8]] = np.inf, -np.inf
        t = gg.tensor(x).to(getattr(gg, kind))
        ordered = t.sort(dim, descending=largest, stable=True)
        for k in (1, 4, 15):
            made = t.topk(k, dim, largest)
            assert (made.indices.numpy() == ordered.indices.narrow(dim, 0, k).numpy()).all()
            np.testing.assert_array_equal(made.values.numpy(), ordered.values.narrow(dim, 0, k).numpy())


WINDOWS = [(3, 1, 1, 1), (3, 2, 1, 1), (5, 1, 2, 1), (3, 3, 0, 1), (2, 1, 1, 2), ((3, 2), (2, 1), (1, 0), 1)]


def windows_of(x, kernel, stride, padding, dilation, fill):
    """(…, OH, OW, taps) of a padded image."""
    (kh, kw), (sh, sw), (ph, pw) = (v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding))
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    span = (dilation * (kh - 1) + 1, dilation * (kw - 1) + 1)
    seen = np.lib.stride_tricks.sliding_window_view(x, span, (2, 3))[:, :, ::sh, ::sw, ::dilation, ::dilation]
    return seen.reshape(*seen.shape[:4], -1)


@pytest.mark.parametrize("kernel, stride, padding, dilation", WINDOWS)
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (40, 8, 15, 70), (70, 4, 6, 5)])
def test_pools(shape, kernel, stride, padding, dilation):
    """Maxima and means of small and large maps, also with numbers that are not finite; gradients by their sums."""
    rng = np.random.default_rng(4)
    clean = np.round(rng.standard_normal(shape, np.float32) * 4)  # with equal ones
    dirty = clean.copy()
    dirty.reshape(-1)[[3, 40, 77]] = np.nan, np.inf, -np.inf
    for image in (clean, dirty):
        x = gg.tensor(image, requires_grad=True)
        y, at = F.max_pool2d(x, kernel, stride, padding, dilation, return_indices=True)
        np.testing.assert_array_equal(
            y.detach().numpy(), windows_of(image, kernel, stride, padding, dilation, -np.inf).max(-1)
        )
        planes = image.reshape(*shape[:2], -1)
        found = np.take_along_axis(planes, at.numpy().reshape(*shape[:2], -1), -1)
        np.testing.assert_array_equal(found.reshape(y.shape), y.detach().numpy())
        g = np.round(rng.standard_normal(tuple(y.shape), np.float32) * 8)
        y.backward(gg.tensor(g))
        expected = np.zeros(planes.shape, np.float32)
        rows = np.arange(planes.shape[0] * planes.shape[1]).repeat(g[0, 0].size)
        np.add.at(expected.reshape(-1, planes.shape[2]), (rows, at.numpy().reshape(-1)), g.reshape(-1))
        np.testing.assert_array_equal(x.grad.numpy(), expected.reshape(shape))
        if dilation == 1:
            x.grad = None
            means = F.avg_pool2d(x, kernel, stride, padding)
            seen = windows_of(image, kernel, stride, padding, 1, 0.0).astype(np.float64)
            with np.errstate(invalid="ignore"):
                expected = seen.mean(-1)
            np.testing.assert_allclose(means.detach().numpy(), expected, rtol=1e-5, atol=1e-5)
            g = rng.standard_normal(tuple(means.shape), np.float32)
            means.backward(gg.tensor(g))
            ones = F.avg_pool2d(gg.tensor(clean), kernel, stride, padding).numpy()
            np.testing.assert_allclose(np.vdot(x.grad.numpy(), clean), np.vdot(ones, g), rtol=1e-3, atol=0.5)


def test_pools_of_windows_outside_the_image():
    x = gg.zeros(2, 1, 1, 6, requires_grad=True)
    F.max_pool2d(x, 2, 1, 1, 2).sum().backward()
    assert float(x.grad.abs().sum()) == 0.0


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("draw", ["uniform", "normal", "exponential", "integers"])
@pytest.mark.parametrize("first", [0, 3, (1 << 32) - 9000], ids=["start", "on", "carry"])
def test_draws_of_any_size_are_of_one_stream(draw, kind, first):
    """The numbers of a block are the same wherever a draw begins and ends."""

    def drawn(first, n):
        if draw == "integers":
            return philox.integers(7, first, n, -5, 1000)
        return getattr(philox, draw)(7, first, n, np.dtype(kind))

    width = 2 if kind == "float64" or draw == "integers" else 4
    n, step = 150_000, 1000 * width
    parts = [drawn(first + start // width, min(step, n - start)) for start in range(0, n, step)]
    np.testing.assert_array_equal(drawn(first, n), np.concatenate(parts))


def _outside(function, x):
    """A function of Python floats, infinite where it has a pole or is too large."""
    try:
        return function(x)
    except (ValueError, OverflowError):
        return math.inf


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", ["erf", "erfc", "lgamma"])
def test_special_functions_of_many_numbers(name, kind):
    """As Python's functions one by one, over the whole range."""
    rng = np.random.default_rng(5)
    x = np.concatenate([
        rng.standard_normal(4000) * 3,
        rng.uniform(-40, 40, 4000),
        10.0 ** rng.uniform(-37, 37, 1000) * rng.choice([-1, 1], 1000),
        np.arange(-20.0, 20.0, 0.25),
        [0.0, -0.0, np.inf, -np.inf, np.nan],
        np.linspace(0.999, 1.001, 101),
        np.linspace(1.999, 2.001, 101),
    ]).astype(kind)  # fmt: skip
    made = getattr(gg, name)(gg.tensor(x)).numpy()
    expected = np.array([_outside(getattr(math, name), v) for v in x.tolist()])
    assert made.dtype == x.dtype
    single = kind == "float32"
    rtol = 2e-15 if not single else 7e-7 if name == "erf" else 1.3e-7
    # Python's lgamma has few digits near its zeros.
    near = 4e-15 if name == "lgamma" else 1e-45 if single else 1e-307
    np.testing.assert_allclose(made, expected.astype(kind), rtol=rtol, atol=near)


def test_log_gamma_near_its_zeros():
    """log Γ(1 + d) = -γ d + ζ(2) d² / 2 - …, log Γ(2 + d) = (1 - γ) d + (ζ(2) - 1) d² / 2 - …"""
    d = np.linspace(-1e-8, 1e-8, 1000)
    gamma, zeta = 0.5772156649015329, math.pi**2 / 6
    for zero, slope, square in ((1.0, -gamma, zeta / 2), (2.0, 1 - gamma, (zeta - 1) / 2)):
        x = zero + d
        exact = x - zero
        np.testing.assert_allclose(
            gg.lgamma(gg.tensor(x)).numpy(), exact * (slope + square * exact), rtol=1e-14, atol=0
        )


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("shape", [(300, 20), (40, 600)], ids=["many", "long"])
def test_distances(shape, p):
    """As in float64 from all differences; near and equal rows, far from the origin, keep their digits."""
    rng = np.random.default_rng(6)
    x = (rng.standard_normal(shape) + 30).astype(np.float32)
    x[1] = x[0]
    x[2] = x[0] + rng.standard_normal(shape[1], np.float32) * np.float32(1e-4)
    for kind in (np.float32, np.float64):
        a = gg.tensor(x.astype(kind), requires_grad=True)
        made = gg.pdist(a, p)
        exact = np.abs(x[:, None].astype(np.float64) - x.astype(np.float64))
        full = np.max(exact, -1) if p == math.inf else np.sum(exact**p, -1) ** (1 / p)
        above = np.triu_indices(shape[0], 1)
        np.testing.assert_allclose(made.detach().numpy(), full[above], rtol=2e-6)
        all_pairs = gg.cdist(a.detach(), a.detach(), p, "donot_use_mm_for_euclid_dist")
        np.testing.assert_allclose(all_pairs.numpy(), full, rtol=2e-6)
        made[: 2 * shape[0]].square().sum().backward()
        b = gg.tensor(x.astype(np.float64), requires_grad=True)
        b[above[0]].sub(b[above[1]]).norm(p, -1)[: 2 * shape[0]].square().sum().backward()
        expected = b.grad.numpy()
        np.testing.assert_allclose(a.grad.numpy(), expected, rtol=1e-4, atol=2e-6 * np.abs(expected).max())


def test_incomplete_gamma():
    """P(n, x) = 1 - e⁻ˣ Σ xᵏ / k! over k < n, and the rest of it with all its digits, also of what is left out early or late."""
    rng = np.random.default_rng(7)
    n = rng.integers(1, 30, 3000)
    x = np.where(rng.random(3000) < 0.1, n + 1.0, rng.uniform(0, 60, 3000))
    k = np.arange(30)
    terms = np.exp(k * np.log(x)[:, None] - x[:, None] - np.array([math.lgamma(j + 1) for j in k]))
    upper = np.where(k < n[:, None], terms, 0.0).sum(1)
    a, b = gg.tensor(n.astype(np.float64)), gg.tensor(x)
    np.testing.assert_allclose(gg.special.gammaincc(a, b).numpy(), upper, rtol=1e-12)
    np.testing.assert_allclose(gg.special.gammainc(a, b).numpy(), 1 - upper, rtol=1e-12, atol=1e-14)
    ends = gg.special.gammaincc(gg.tensor([2.0, 2.0, 0.0, -1.0]), gg.tensor([0.0, math.inf, 1.0, 1.0]))
    np.testing.assert_array_equal(ends.numpy(), np.array([1.0, 0.0, 0.0, math.nan], np.float32))


@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e", "erfcx", "log_ndtr", "bessel_j0", "bessel_j1"])
def test_formulas_on_arrays_and_on_the_tape(name):
    """What is not recorded is computed part by part: the same numbers."""
    x = np.linspace(-12, 12, 70_001)
    function = getattr(gg.special, name)
    recorded = function(gg.tensor(x, requires_grad=True))
    made = function(gg.tensor(x))
    assert recorded.requires_grad and not made.requires_grad
    np.testing.assert_allclose(made.numpy(), recorded.detach().numpy(), rtol=1e-12, atol=1e-15)
    with pytest.raises(TypeError):
        function(x)


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


def test_remainder_of_many_elements_by_none() -> None:
    x, y = gg.ones(3000, 1), gg.ones(0)
    assert (x % y).shape == (x // y).shape == (3000, 0)


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
