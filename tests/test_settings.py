"""Settings of the process, seeds of cuda, and PyTorch's old methods."""

from __future__ import annotations

import math

import pytest

import gradgpu as gg


def test_threads() -> None:
    before = gg.get_num_threads()
    try:
        gg.set_num_threads(2)
        assert gg.get_num_threads() == 2
    finally:
        gg.set_num_threads(before)
    for bad in (0, -1, 1.5):
        with pytest.raises(RuntimeError, match="positive integer"):
            gg.set_num_threads(bad)


def test_determinism_and_precision() -> None:
    for mode in (True, False):
        gg.use_deterministic_algorithms(mode, warn_only=True)
        assert gg.are_deterministic_algorithms_enabled()
    with pytest.raises(TypeError, match="expects a bool"):
        gg.use_deterministic_algorithms(1)
    assert gg.get_float32_matmul_precision() == "highest"
    with pytest.raises(RuntimeError, match="'low'"):
        gg.set_float32_matmul_precision("low")


@pytest.mark.cuda
@pytest.mark.parametrize("seed", [gg.cuda.manual_seed, gg.cuda.manual_seed_all])
def test_cuda_seeds(seed) -> None:
    seed(5)
    first, on_cpu = gg.rand(4, device="cuda"), gg.get_rng_state()
    seed(5)
    assert gg.equal(first, gg.rand(4, device="cuda"))
    assert gg.equal(on_cpu, gg.get_rng_state())


def test_resize(device: str) -> None:
    x = gg.arange(6.0, device=device)
    assert x.resize_(2, 3) is x and x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.resize_((2, 4)).tolist() == [[0, 1, 2, 3], [4, 5, 0, 0]]
    assert x.resize_(3).tolist() == [0, 1, 2]
    assert gg.empty(0, device=device).resize_(2).tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="require grad"):
        gg.ones(2, requires_grad=True, device=device).resize_(3)
    with pytest.raises(RuntimeError, match="new memory"):
        gg.ones(4, device=device)[1:].resize_(9)


def test_resize_keeps_the_memory_of_as_many_elements(device: str) -> None:
    x = gg.zeros(4, device=device)
    same = x.data
    x.resize_(2, 2)
    same.fill_(7)
    assert x.tolist() == [[7, 7], [7, 7]]


def test_new(device: str) -> None:
    x = gg.tensor([1, 2], device=device)
    assert x.new([3]).tolist() == [3] and x.new([3.0]).dtype is gg.int64 and x.new([3]).device == x.device
    assert x.new(2, 3).shape == (2, 3) and x.new().shape == (0,)
    assert x.new(x.size()).shape == (2,)


def test_storage_offset(device: str) -> None:
    x = gg.zeros(3, 4, device=device)
    assert x.storage_offset() == 0 and x[1, 2:].storage_offset() == 6 and x.t()[1].storage_offset() == 1


def test_lgamma_and_digamma_at_known_points(device: str) -> None:
    x = gg.tensor([1.0, 0.5, -0.5, 10.0, 1e-3, 1e5], dtype=gg.float64, device=device, requires_grad=True)
    gamma = 0.5772156649015329
    y = gg.digamma(x)
    wanted = [
        -gamma,
        -gamma - 2 * math.log(2),
        -gamma - 2 * math.log(2) + 2,
        -gamma + sum(1 / k for k in range(1, 10)),
        -1000.5755719318105,  # -1/x - γ + π²/6 x - ζ(3) x²
        math.log(1e5) - 0.5e-5 - 1e-10 / 12,
    ]
    gg.testing.assert_close(y.detach().cpu(), gg.tensor(wanted, dtype=gg.float64), rtol=1e-12, atol=1e-12)
    y.sum().backward()
    slope = x.grad.tolist()
    assert slope[0] == pytest.approx(math.pi**2 / 6, rel=1e-13)
    assert slope[1] == pytest.approx(math.pi**2 / 2, rel=1e-13)
    assert slope[2] == pytest.approx(math.pi**2 / 2 + 4, rel=1e-13)
    poles = gg.tensor([0.0, -1.0, -7.0], device=device)
    assert gg.lgamma(poles).tolist() == [math.inf] * 3
    ends = gg.digamma(poles).tolist()
    assert ends[0] == -math.inf and math.isnan(ends[1]) and math.isnan(ends[2])
    assert (x.detach().clone().lgamma_() == x.detach().lgamma()).all()


def test_weighted_covariance(device: str) -> None:
    """Integer weights repeat observations; equal float weights change nothing but the divisor's rule."""
    x = gg.tensor([[1.0, 2.0, 4.0], [0.0, 3.0, 1.0]], dtype=gg.float64, device=device)
    counts = gg.tensor([1, 2, 3], device=device)
    repeated = x[:, [0, 1, 1, 2, 2, 2]]
    gg.testing.assert_close(gg.cov(x, fweights=counts), gg.cov(repeated))
    even = gg.full((3,), 0.25, dtype=gg.float64, device=device)
    gg.testing.assert_close(gg.cov(x, aweights=even), gg.cov(x))
    with pytest.raises(RuntimeError, match="integral"):
        gg.cov(x, fweights=even)
    with pytest.raises(RuntimeError, match="shape"):
        gg.cov(x, aweights=even[:2])
    with pytest.raises(RuntimeError, match="negative"):
        gg.cov(x, aweights=-even)


def test_histc_over_its_own_range(device: str) -> None:
    x = gg.tensor([1.0, 5.0, 2.0, 5.0], device=device)
    assert x.histc(bins=4).tolist() == [1, 1, 0, 2]
    assert gg.histc(gg.tensor([3.0, 3.0], device=device), bins=2).tolist() == [0, 2]
    with pytest.raises(RuntimeError, match="finite"):
        gg.histc(x, max=math.inf)


def test_unfold_of_one_image(device: str) -> None:
    F = gg.nn.functional
    x = gg.arange(12.0, device=device).reshape(1, 3, 4)
    columns = F.unfold(x, 2)
    assert columns.shape == (4, 6)
    count = F.fold(F.unfold(gg.ones(1, 3, 4, device=device), 2), (3, 4), 2)
    gg.testing.assert_close(F.fold(columns, (3, 4), 2), x * count)
