"""Distributions against their formulas, written with math; samples by their moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Exponential,
    Independent,
    Laplace,
    Normal,
    OneHotCategorical,
    Uniform,
    constraints,
    kl_divergence,
    register_kl,
)

WIDE = gg.float64


def on(device: str, *values: float, **more) -> gg.Tensor:
    return gg.tensor(list(values), dtype=WIDE, device=device, **more)


def close(tensor: gg.Tensor, wanted, tolerance: float = 1e-9) -> None:
    gg.testing.assert_close(
        tensor.detach().cpu(), gg.tensor(wanted, dtype=tensor.dtype), rtol=tolerance, atol=tolerance
    )


def normal_density(x: float, loc: float, scale: float) -> float:
    return math.exp(-((x - loc) ** 2) / (2 * scale**2)) / (scale * math.sqrt(2 * math.pi))


# (make, values, log p of each, cdf of each or None, entropy, mean, variance)
CASES = {
    "normal": (
        lambda d: Normal(on(d, 0.0, 1.0), on(d, 0.5, 2.0)),
        [0.3, -2.0],
        [math.log(normal_density(0.3, 0, 0.5)), math.log(normal_density(-2, 1, 2))],
        [0.5 * (1 + math.erf(0.3 / 0.5 / math.sqrt(2))), 0.5 * (1 + math.erf(-3 / 2 / math.sqrt(2)))],
        [0.5 * math.log(2 * math.pi * math.e * s * s) for s in (0.5, 2.0)],
        [0.0, 1.0],
        [0.25, 4.0],
    ),
    "uniform": (
        lambda d: Uniform(on(d, 0.0, -1.0), on(d, 4.0, 1.0)),
        [1.0, 0.0],
        [-math.log(4), -math.log(2)],
        [0.25, 0.5],
        [math.log(4), math.log(2)],
        [2.0, 0.0],
        [16 / 12, 4 / 12],
    ),
    "exponential": (
        lambda d: Exponential(on(d, 0.5, 3.0)),
        [2.0, 0.1],
        [math.log(0.5) - 1, math.log(3) - 0.3],
        [1 - math.exp(-1), 1 - math.exp(-0.3)],
        [1 - math.log(0.5), 1 - math.log(3)],
        [2.0, 1 / 3],
        [4.0, 1 / 9],
    ),
    "laplace": (
        lambda d: Laplace(on(d, 0.0, 1.0), on(d, 1.0, 0.5)),
        [0.7, 0.2],
        [-0.7 - math.log(2), -0.8 / 0.5 - math.log(1)],
        [1 - 0.5 * math.exp(-0.7), 0.5 * math.exp(-1.6)],
        [1 + math.log(2), 1.0],
        [0.0, 1.0],
        [2.0, 0.5],
    ),
    "bernoulli": (
        lambda d: Bernoulli(on(d, 0.2, 0.7)),
        [1.0, 0.0],
        [math.log(0.2), math.log(0.3)],
        None,
        [-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (0.2, 0.7)],
        [0.2, 0.7],
        [0.16, 0.21],
    ),
}
each_case = pytest.mark.parametrize("name", CASES)


@each_case
def test_against_formulas(name: str, device: str) -> None:
    make, values, log_prob, cdf, entropy, mean, variance = CASES[name]
    d = make(device)
    x = on(device, *values)
    close(d.log_prob(x), log_prob)
    close(d.entropy(), entropy)
    close(d.perplexity(), [math.exp(h) for h in entropy])
    close(d.mean, mean)
    close(d.variance, variance)
    close(d.stddev, [math.sqrt(v) for v in variance])
    if cdf is not None:
        close(d.cdf(x), cdf)
    assert d.log_prob(x).device == x.device


@each_case
def test_moments_of_samples(name: str, device: str) -> None:
    make, *_, mean, variance = CASES[name]
    d = make(device)
    x = d.sample((4000,))
    assert x.shape == (4000, 2) and x.dtype is WIDE and not x.requires_grad
    spread = math.sqrt(max(variance) / 4000)
    close(x.mean(0), mean, 5 * spread)
    assert [abs(a / b - 1) < 0.2 for a, b in zip(x.var(0).tolist(), variance)] == [True, True]
    assert bool(d.support.check(x).all())


@each_case
def test_the_seed_decides(name: str, device: str) -> None:
    d = CASES[name][0](device)
    gg.manual_seed(3)
    first = d.sample((4,))
    gg.manual_seed(3)
    assert gg.equal(first, d.sample((4,)))
    assert not gg.equal(first, d.sample((4,)))


@each_case
def test_expand(name: str, device: str) -> None:
    d = CASES[name][0](device)
    wide = d.expand((3, 2))
    assert type(wide) is type(d) and wide.batch_shape == (3, 2) and wide.sample((5,)).shape == (5, 3, 2)
    close(wide.entropy(), [CASES[name][4]] * 3)


@pytest.mark.parametrize("name", ["uniform", "exponential", "laplace"])
def test_quantiles_invert_the_cdf(name: str, device: str) -> None:
    d = CASES[name][0](device)
    close(d.cdf(d.icdf(on(device, 0.3, 0.8))), [0.3, 0.8])


def test_normal_rsample_gradients(device: str) -> None:
    """x = loc + scale · z: the gradients are 1 and z."""
    loc, scale = on(device, 1.0, 2.0, requires_grad=True), on(device, 0.5, 3.0, requires_grad=True)
    x = Normal(loc, scale).rsample()
    x.sum().backward()
    close(loc.grad, [1.0, 1.0])
    close(scale.grad, ((x.detach() - loc.detach()) / scale.detach()).tolist())


def test_other_rsample_gradients(device: str) -> None:
    rate = on(device, 0.5, 3.0, requires_grad=True)
    x = Exponential(rate).rsample()  # e / rate
    x.sum().backward()
    close(rate.grad, (-x.detach() / rate.detach()).tolist())
    low, high = on(device, 0.0, requires_grad=True), on(device, 4.0, requires_grad=True)
    x = Uniform(low, high).rsample()  # low + u (high - low)
    x.sum().backward()
    u = x.item() / 4
    close(low.grad, [1 - u])
    close(high.grad, [u])
    loc, scale = on(device, 1.0, requires_grad=True), on(device, 2.0, requires_grad=True)
    x = Laplace(loc, scale).rsample()
    x.sum().backward()
    close(loc.grad, [1.0])
    close(scale.grad, [(x.item() - 1) / 2])


def test_log_prob_gradients(device: str) -> None:
    """The score of a normal distribution: (x - loc) / scale² and ((x - loc)² / scale² - 1) / scale."""
    loc, scale = on(device, 1.0, requires_grad=True), on(device, 2.0, requires_grad=True)
    Normal(loc, scale).log_prob(on(device, 4.0)).sum().backward()
    close(loc.grad, [3 / 4])
    close(scale.grad, [(9 / 4 - 1) / 2])
    logits = on(device, 0.0, 1.0, 2.0, requires_grad=True)
    Categorical(logits=logits).log_prob(gg.tensor(1, device=device)).backward()
    total = sum(math.exp(k) for k in range(3))
    close(logits.grad, [(k == 1) - math.exp(k) / total for k in range(3)])


def test_categorical(device: str) -> None:
    d = Categorical(on(device, 1.0, 3.0, 4.0))
    p = [1 / 8, 3 / 8, 4 / 8]
    close(d.probs, p)
    close(d.logits, [math.log(v) for v in p])
    close(d.log_prob(gg.tensor([2, 0, 1], device=device)), [math.log(p[i]) for i in (2, 0, 1)])
    close(d.entropy(), -sum(v * math.log(v) for v in p))
    assert d.mode.item() == 2 and d.batch_shape == () and d.event_shape == ()
    same = Categorical(logits=on(device, math.log(10), math.log(30), math.log(40)))
    close(same.probs, p)
    x = d.sample((2000,))
    assert x.dtype is gg.int64 and x.device.type == device
    close(gg.bincount(x.cpu(), minlength=3).to(WIDE) / 2000, p, 0.05)
    assert d.enumerate_support().tolist() == [0, 1, 2]


def test_categorical_batches(device: str) -> None:
    d = Categorical(gg.ones(2, 3, 4, device=device))
    assert d.batch_shape == (2, 3) and d.sample().shape == (2, 3) and d.sample((5, 6)).shape == (5, 6, 2, 3)
    assert d.sample((0,)).shape == (0, 2, 3)
    close(d.log_prob(gg.zeros(5, 2, 3, device=device)), [[[math.log(0.25)] * 3] * 2] * 5, 1e-6)
    sure = Categorical(gg.tensor([[1.0, 0.0], [0.0, 1.0]], device=device))
    assert sure.sample((3,)).tolist() == [[0, 1]] * 3
    assert sure.expand((4, 2)).sample().tolist() == [[0, 1]] * 4
    close(Categorical(logits=gg.tensor([0.0, -math.inf], device=device)).entropy(), 0.0)


def test_one_hot(device: str) -> None:
    d = OneHotCategorical(on(device, 0.25, 0.75))
    assert d.event_shape == (2,) and d.batch_shape == ()
    x = d.sample((7,))
    assert x.shape == (7, 2) and x.sum(-1).tolist() == [1.0] * 7
    close(d.log_prob(on(device, 0.0, 1.0)), math.log(0.75))
    assert d.mode.tolist() == [0.0, 1.0]
    assert d.expand((3,)).sample().shape == (3, 2)
    assert d.enumerate_support().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ValueError, match="single 1"):
        d.log_prob(on(device, 1.0, 1.0))


def test_bernoulli_by_logits(device: str) -> None:
    d = Bernoulli(logits=on(device, 0.0, math.log(3)))
    close(d.probs, [0.5, 0.75])
    close(d.log_prob(on(device, 1.0, 0.0)), [math.log(0.5), math.log(0.25)])
    close(Bernoulli(on(device, 0.5, 0.75)).logits, [0.0, math.log(3)])
    assert Bernoulli(on(device, 0.0, 1.0)).sample((3,)).tolist() == [[0.0, 1.0]] * 3
    assert d.enumerate_support().tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_independent(device: str) -> None:
    base = Normal(gg.zeros(3, 2, device=device), gg.ones(2, device=device))
    d = Independent(base, 1)
    assert d.batch_shape == (3,) and d.event_shape == (2,) and d.has_rsample
    x = d.rsample((4,))
    assert x.shape == (4, 3, 2)
    gg.testing.assert_close(d.log_prob(x), base.log_prob(x).sum(-1))
    gg.testing.assert_close(d.entropy(), base.entropy().sum(-1))
    assert d.expand((5, 3)).sample().shape == (5, 3, 2)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        Independent(base, 3)


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q) if a)


def test_kl_divergences(device: str) -> None:
    def t(*values: float) -> gg.Tensor:
        return on(device, *values)

    close(
        kl_divergence(Normal(t(1.0), t(2.0)), Normal(t(0.0), t(3.0))),
        [math.log(3 / 2) + (4 + 1) / 18 - 0.5],
    )
    p, q = [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]
    close(kl_divergence(Categorical(t(*p)), Categorical(t(*q))), kl(p, q))
    close(kl_divergence(OneHotCategorical(t(*p)), OneHotCategorical(t(*q))), kl(p, q))
    close(kl_divergence(Categorical(t(0.0, 1.0)), Categorical(t(0.5, 0.5))), math.log(2))
    assert kl_divergence(Categorical(t(0.5, 0.5)), Categorical(t(0.0, 1.0))).item() == math.inf
    close(
        kl_divergence(Bernoulli(t(0.2, 1.0, 0.0)), Bernoulli(t(0.5, 0.25, 0.5))),
        [kl([0.2, 0.8], [0.5, 0.5]), math.log(4), math.log(2)],
    )
    close(kl_divergence(Uniform(t(1.0), t(2.0)), Uniform(t(0.0), t(4.0))), [math.log(4)])
    assert kl_divergence(Uniform(t(0.0), t(4.0)), Uniform(t(1.0), t(2.0))).item() == math.inf
    close(kl_divergence(Exponential(t(2.0)), Exponential(t(5.0))), [5 / 2 - math.log(5 / 2) - 1])
    close(
        kl_divergence(Laplace(t(1.0), t(2.0)), Laplace(t(0.0), t(3.0))),
        [math.log(3 / 2) + (2 * math.exp(-0.5) + 1) / 3 - 1],
    )
    # the cross-entropy of a normal density less the entropy of the uniform one
    close(
        kl_divergence(Uniform(t(1.0), t(3.0)), Normal(t(0.0), t(2.0))),
        [0.5 * math.log(2 * math.pi * 4) + (4 / 12 + 4) / 8 - math.log(2)],
    )
    two = [Independent(Normal(t(*loc), t(1.0, 1.0)), 1) for loc in ([1.0, 2.0], [0.0, 0.0])]
    close(kl_divergence(*two), (1 + 4) / 2)


def test_kl_is_differentiable(device: str) -> None:
    p = on(device, 0.2, 0.8)
    logits = on(device, 0.0, 0.5, requires_grad=True)
    kl_divergence(Categorical(p), Categorical(logits=logits)).backward()
    total = 1 + math.exp(0.5)  # d/dlogits = softmax(logits) - p
    close(logits.grad, [1 / total - 0.2, math.exp(0.5) / total - 0.8])
    loc = on(device, 3.0, requires_grad=True)
    kl_divergence(Normal(loc, on(device, 1.0)), Normal(on(device, 0.0), on(device, 1.0))).sum().backward()
    close(loc.grad, [3.0])


def test_kl_registry() -> None:
    with pytest.raises(NotImplementedError, match="Normal and q type Categorical"):
        kl_divergence(Normal(0.0, 1.0), Categorical(gg.ones(2)))
    with pytest.raises(TypeError, match="subclasses of Distribution"):
        register_kl(int, Normal)
    with pytest.raises(ValueError, match="equal numbers of categories"):
        kl_divergence(Categorical(gg.ones(3)), Categorical(gg.ones(2)))


def test_bad_arguments(device: str) -> None:
    with pytest.raises(ValueError, match="parameter scale to be greater than 0"):
        Normal(on(device, 0.0), on(device, -1.0))
    with pytest.raises(ValueError, match="low >= high"):
        Uniform(on(device, 1.0), on(device, 1.0))
    with pytest.raises(ValueError, match="interval"):
        Bernoulli(on(device, 1.5))
    with pytest.raises(ValueError, match="not both"):
        Bernoulli(on(device, 0.5), on(device, 0.5))
    with pytest.raises(ValueError, match="not both"):
        Categorical()
    with pytest.raises(ValueError, match="at least one dimension"):
        Categorical(gg.tensor(1.0, device=device))
    with pytest.raises(ValueError, match="sum 1"):
        Categorical(on(device, -1.0, 3.0))
    with pytest.raises(ValueError, match="whole number from 0 to 1"):
        Categorical(on(device, 1.0, 1.0)).log_prob(gg.tensor(2, device=device))
    with pytest.raises(ValueError, match="support"):
        Exponential(on(device, 1.0)).log_prob(on(device, -1.0))
    with pytest.raises(ValueError, match="broadcastable"):
        Normal(on(device, 1.0, 2.0), 1.0).log_prob(on(device, 1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="must be a Tensor"):
        Normal(on(device, 1.0), 1.0).log_prob(1.0)
    with pytest.raises(NotImplementedError, match="no rsample"):
        Bernoulli(on(device, 0.5)).rsample()
    with pytest.raises(ValueError, match="numbers or Tensors, got str"):
        Normal("0", 1.0)


def test_checks_can_be_left_out(device: str) -> None:
    d = Uniform(on(device, 0.0), on(device, 1.0), validate_args=False)
    assert d.log_prob(on(device, 2.0)).item() == -math.inf
    Distribution.set_default_validate_args(False)
    try:
        Normal(0.0, -1.0)
    finally:
        Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="scale"):
        Normal(0.0, -1.0)


def test_numbers_as_parameters() -> None:
    d = Normal(0.0, gg.tensor([1.0, 2.0], dtype=gg.float64))
    assert d.loc.dtype is gg.float64 and d.batch_shape == (2,)
    assert Normal(0, 1).sample().dtype is gg.float32
    assert repr(Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(constraints.positive) == "greater than 0"


def test_lazy_and_by_module() -> None:
    from gradgpu.distributions.categorical import Categorical as Same

    assert gg.distributions.Categorical is Same


def test_single_counts(device: str) -> None:
    for made in (
        gg.distributions.Poisson(gg.tensor(3.0, device=device)), gg.distributions.Binomial(gg.tensor(5.0, device=device), gg.tensor(0.3, device=device)),
    ):  # fmt: skip
        drawn = made.sample()
        assert drawn.shape == () and drawn.device.type == device and drawn.item() == int(drawn.item()) >= 0


def test_utils_for_distributions_of_ones_own(device: str) -> None:
    from gradgpu.distributions.utils import (
        _standard_normal,
        _sum_rightmost,
        broadcast_all,
        clamp_probs,
        lazy_property,
        logits_to_probs,
        probs_to_logits,
        tril_matrix_to_vec,
        vec_to_tril_matrix,
    )  # fmt: skip

    x = gg.tensor([[0.25, 0.75], [1.0, 0.0]], device=device)
    a, b = broadcast_all(x, 2.0)
    assert b.shape == (2, 2) and b.device.type == device and a.dtype is b.dtype
    with pytest.raises(ValueError, match="str"):
        broadcast_all("x", 1.0)
    for binary in (True, False):
        back = logits_to_probs(probs_to_logits(x, binary), binary)
        np.testing.assert_allclose(back.numpy(force=True), x.numpy(force=True), atol=1e-6)
    assert float(clamp_probs(x).min()) == float(clamp_probs(1 - x).min()) == gg.finfo(gg.float32).eps
    assert _sum_rightmost(x, 1).tolist() == [1.0, 1.0] and _sum_rightmost(x, 0) is x
    assert _standard_normal((3, 2), gg.float64, x.device).shape == (3, 2)
    m = gg.arange(9.0, device=device).reshape(3, 3)
    for diag in (-2, -1, 0, 1, 2):
        vec = tril_matrix_to_vec(m, diag)
        assert vec.tolist() == m.numpy(force=True)[np.tril_indices(3, diag)].tolist()
        back = vec_to_tril_matrix(vec.expand(2, -1), diag)
        assert back.tolist() == [np.tril(m.numpy(force=True), diag).tolist()] * 2
    with pytest.raises(ValueError, match="diag"):
        tril_matrix_to_vec(m, 3)
    with pytest.raises(ValueError, match="square"):
        vec_to_tril_matrix(gg.zeros(5, device=device))

    class Scale:
        calls = 0

        def __init__(self, value: Any) -> None:
            self.value = value

        @lazy_property
        def squared(self) -> Any:
            """The square."""
            self.calls += 1
            return self.value**2

    with gg.no_grad():
        scale = Scale(x.clone().requires_grad_())
        first = scale.squared
    assert first is scale.squared and scale.calls == 1 and first.requires_grad
    assert isinstance(Scale.squared, lazy_property) and Scale.squared.__doc__ == "The square."
