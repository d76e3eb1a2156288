"""`gradgpu.special` against formulas, and its derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import special


def array(x: gg.Tensor) -> np.ndarray:
    return x.detach().numpy(force=True)


def both(values: list, device: str) -> gg.Tensor:
    return gg.tensor(values, dtype=gg.float64, device=device, requires_grad=True)


def test_normal_distribution_and_its_quantile(device: str) -> None:
    x = both([-2.0, -0.5, 0.0, 1.5], device)
    p = special.ndtr(x)
    expected = [0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    np.testing.assert_allclose(p.tolist(), expected, 1e-12)
    np.testing.assert_allclose(special.ndtri(p).tolist(), x.tolist(), 1e-9, 1e-12)
    assert gg.autograd.gradcheck(special.ndtr, x) and gg.autograd.gradcheck(
        special.ndtri, p.detach().requires_grad_()
    )


def test_entr(device: str) -> None:
    x = both([0.5, 2.0, 0.0, -1.0], device)
    y = special.entr(x)
    assert y.tolist() == [-0.5 * math.log(0.5), -2 * math.log(2), 0, -math.inf]
    y[:2].sum().backward()
    np.testing.assert_allclose(x.grad[:2].tolist(), [-math.log(0.5) - 1, -math.log(2) - 1], 1e-12)


def test_xlog1py(device: str) -> None:
    x, y = both([0.0, 2.0, 0.0], device), both([-1.0, 0.5, math.nan], device)
    first, second, third = special.xlog1py(x, y).tolist()
    assert (first, math.isnan(third)) == (0, True) and second == pytest.approx(2 * math.log(1.5))
    assert special.xlog1py(x, 0.5).tolist() == pytest.approx([0, 2 * math.log(1.5), 0])


def test_multigammaln(device: str) -> None:
    x = both([3.0, 4.5], device)
    expected = [1.5 * math.log(math.pi) + sum(math.lgamma(v - j / 2) for j in range(3)) for v in x.tolist()]
    np.testing.assert_allclose(special.multigammaln(x, 3).tolist(), expected, 1e-12)
    assert gg.autograd.gradcheck(lambda t: special.multigammaln(t, 3), x)
    with pytest.raises(ValueError, match="got 0"):
        special.multigammaln(x, 0)


def test_names_of_other_functions() -> None:
    assert special.expit is gg.sigmoid and special.gammaln is gg.lgamma and special.psi is gg.digamma
    assert all(callable(getattr(special, name)) for name in special.__all__)


def test_erfinv_to_the_last_digits() -> None:
    y = np.concatenate([np.linspace(-5.5, 5.5, 999), np.logspace(-30, -1, 50)])
    x = np.array([math.erf(v) for v in y])
    got = array(gg.erfinv(gg.tensor(x)))
    inner = np.abs(y) < 2.5  # beyond, the digits of erf(y) close to 1 do not tell so much of y
    np.testing.assert_allclose(got[inner], y[inner], rtol=2e-13)
    tail = gg.erfinv(gg.tensor([1 - 2.0**-53, -1 + 2.0**-30], dtype=gg.float64)).tolist()
    np.testing.assert_allclose([math.erfc(tail[0]), math.erfc(-tail[1])], [2.0**-53, 2.0**-30], rtol=1e-13)
    ends = gg.erfinv(gg.tensor([1.0, -1.0, 1.5, math.nan, -0.0])).tolist()
    assert ends[:2] == [math.inf, -math.inf] and math.isnan(ends[2]) and math.isnan(ends[3])
    assert math.copysign(1, ends[4]) == -1
