"""Sizes, strides and offsets at which an elementwise launch takes another path, against numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from tests.samples import numpy_dtype

pytestmark = pytest.mark.cuda

SIZES = [1, 2, 3, 4, 5, 7, 8, 31, 33, 255, 256, 257, 1023, 1025, 4099, 70001]
PERMUTED = [
    ((5, 7), (1, 0)),
    ((300, 129), (1, 0)),
    ((66000, 3), (1, 0)),
    ((3, 4, 5), (2, 0, 1)),
    ((3, 4, 5), (0, 2, 1)),
    ((2, 3, 4, 5), (3, 1, 0, 2)),
    ((2, 3, 2, 3, 2, 3), (5, 0, 3, 2, 4, 1)),
    ((2, 1, 3, 1, 2, 2, 2, 2), (7, 6, 5, 4, 3, 2, 1, 0)),
]
BROADCAST = [
    ((7, 1), (1, 9)),
    ((1, 300, 1), (7, 1, 5)),
    ((4, 1, 3, 1), (1, 5, 1, 2)),
    ((66000, 1), (3,)),
    ((1,), (2, 3, 4)),
    ((2, 3, 1, 4, 1, 2), (3, 5, 1, 6, 1)),
    ((), (5, 5)),
]


def numbers(shape: tuple, dtype: str = "float32") -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 97).reshape(shape).astype(numpy_dtype(dtype))


def same(got: Any, want: np.ndarray) -> None:
    found = got.cpu().numpy()
    assert found.dtype == want.dtype
    np.testing.assert_array_equal(found.astype(np.float64), want.astype(np.float64))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "int64", "uint8"])
@pytest.mark.parametrize("size", SIZES)
def test_contiguous(size: int, dtype: str) -> None:
    a = numbers((size,), dtype)
    x = gg.tensor(a, device="cuda")
    same(x + x, a + a)
    same(x == 3, a == 3)


@pytest.mark.parametrize("size", [1, 3, 8, 257, 4099])
@pytest.mark.parametrize("offset", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_odd_addresses(size: int, offset: int, dtype: str) -> None:
    a = numbers((size + offset,), dtype)
    x = gg.tensor(a, device="cuda")
    same(x[offset:] * 2, a[offset:] * numpy_dtype(dtype).type(2))
    same(x[offset:] + x[:-offset], a[offset:] + a[:-offset])
    y = gg.zeros(size + offset, dtype=x.dtype, device="cuda")
    y[offset:].copy_(x[:-offset])
    same(y, np.concatenate([np.zeros(offset, a.dtype), a[:-offset]]))


@pytest.mark.parametrize("shape, order", PERMUTED)
def test_permuted(shape: tuple, order: tuple) -> None:
    a = numbers(shape)
    x = gg.tensor(a, device="cuda").permute(order)
    b = a.transpose(order)
    same(-x, -b)
    same(x + x.contiguous(), b + b)
    same(x.contiguous() * 2, b * 2)
    same(x.half(), b.astype(np.float16))
    y = gg.zeros(shape, device="cuda")
    y.permute(order).copy_(x)
    same(y, a)


@pytest.mark.parametrize("left, right", BROADCAST)
def test_broadcast(left: tuple, right: tuple) -> None:
    a, b = numbers(left), numbers(right)
    x, y = gg.tensor(a, device="cuda"), gg.tensor(b, device="cuda")
    same(x + y, a + b)
    same(y - x, b - a)
    same(gg.where(x > y, x, y), np.where(a > b, a, b))


@pytest.mark.parametrize("left, right", BROADCAST)
def test_broadcast_gradients(left: tuple, right: tuple) -> None:
    a, b = numbers(left) / 8, numbers(right) / 8
    grads = []
    for device in ("cpu", "cuda"):
        x = gg.tensor(a, dtype=gg.float64, device=device, requires_grad=True)
        y = gg.tensor(b, dtype=gg.float64, device=device, requires_grad=True)
        grads.append([g.cpu().numpy() for g in gg.autograd.grad(((x + 1) * y / (y + 1)).sum(), (x, y))])
    for g, w in zip(*grads, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("steps", [(2, 1), (1, 3), (5, 2)])
def test_sliced(steps: tuple) -> None:
    a = numbers((70, 90))
    x = gg.tensor(a, device="cuda")
    part, want = x[:: steps[0], 1 :: steps[1]], a[:: steps[0], 1 :: steps[1]]
    same(part * 2, want * 2)
    same(part.t() + 1, want.T + 1)
    part += 1
    a[:: steps[0], 1 :: steps[1]] += 1
    same(x, a)


def test_more_rows_than_a_grid_is_high() -> None:
    a = numbers((70_000, 2))
    x = gg.tensor(a, device="cuda")
    same(x[:, ::2] + 1, a[:, ::2] + 1)
    same(x.t()[:, None, :] * 2, (a.T)[:, None, :] * 2)
    same(x.view(70_000, 1, 2).expand(70_000, 2, 2) + 1, np.broadcast_to(a[:, None], (70_000, 2, 2)) + 1)


def test_arithmetic_of_numbers_alone() -> None:
    for found, expected in (
        (gg.add(7, 2), 9), (gg.sub(7, 2, alpha=2), 3), (gg.mul(2, 1.5), 3.0), (gg.div(7, 2), 3.5), (gg.floor_divide(7.0, 2), 3.0),
        (gg.div(-7, 2, rounding_mode="floor"), -4), (gg.div(-7, 2, rounding_mode="trunc"), -3),
        (gg.div(-7.0, 2, rounding_mode="trunc"), -3.0),
    ):  # fmt: skip
        assert isinstance(found, gg.Tensor) and found.shape == () and found.item() == expected
        assert found.dtype is (gg.int64 if isinstance(expected, int) else gg.float32)
    for function in (gg.fmod, gg.maximum, gg.atan2):
        with pytest.raises(TypeError, match="expected a Tensor, got int, int"):
            function(7, 2)
    with pytest.raises(TypeError, match="expected a Tensor, got str, int"):
        gg.mul("a", 2)


def test_gradients_at_limits_that_are_tensors(device: str) -> None:
    x = gg.tensor([-2.0, -1.0, 0.5, 1.0, 3.0], device=device, requires_grad=True)
    low, high = (gg.tensor(v, device=device, requires_grad=True) for v in (-1.0, 1.0))
    gg.clamp(x, low, high).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]  # at a limit the input has it
    assert low.grad.item() == 1.0 and high.grad.item() == 1.0
    x.grad = None
    gg.clamp_min(x, low.detach()).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]
    x.grad = None
    x.clamp(max=high.detach()).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    out = gg.empty(5, device=device)
    assert gg.clamp(x.detach(), min=low.detach(), out=out) is out and out.tolist() == [
        -1.0,
        -1.0,
        0.5,
        1.0,
        3.0,
    ]
    values = gg.tensor([math.nan, 0.0], device=device)
    assert values.clamp(gg.tensor([0.0, math.nan], device=device)).isnan().all()
    y = gg.tensor([3.0, -3.0], device=device)
    y.clamp_(gg.zeros(2, device=device), gg.ones(2, device=device))
    assert y.tolist() == [1.0, 0.0]
