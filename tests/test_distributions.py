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
    with pytest.raises(TypeError, match="expected classes"):
        register_kl(3, Normal)
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


# ---- constraints, and what is made of them ----
HALF = math.sqrt(0.5)
SETS: dict[str, tuple] = {  # constraint, values, whether each lies in it
    "greater_than": (constraints.greater_than(1.0), [1.0, 1.5], [False, True]),
    "greater_than_eq": (constraints.greater_than_eq(1.0), [1.0, 0.5], [True, False]),
    "less_than": (constraints.less_than(1.0), [1.0, 0.5], [False, True]),
    "interval": (constraints.interval(0, 2), [0.0, 2.0, 2.5], [True, True, False]),
    "half_open": (constraints.half_open_interval(0, 2), [0.0, 2.0], [True, False]),
    "whole": (constraints.integer_interval(1, 3), [1.0, 1.5, 4.0], [True, False, False]),
    "at_least": (constraints.integer_greater_than(1), [1.0, 0.0, 1.5], [True, False, False]),
    "at_most": (constraints.integer_less_than(1), [1.0, 2.0, 0.5], [True, False, False]),
    "counts": (constraints.multinomial(3), [[1.0, 2.0], [2.0, 2.0], [1.5, 1.5]], [True, False, False]),
    "real_vector": (constraints.real_vector, [[1.0, 2.0], [1.0, math.nan]], [True, False]),
    "corr_cholesky": (
        constraints.corr_cholesky,
        [[[1.0, 0.0], [HALF, HALF]], [[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [HALF, -HALF]], [[HALF, HALF], [0.0, 1.0]]],
        [True, False, False, False],
    ),
    "square": (constraints.square, [[[1.0, 2.0], [3.0, 4.0]]], [True]),
    "not_square": (constraints.square, [[[1.0, 2.0]]], [False]),
    "symmetric": (constraints.symmetric, [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0], [3.0, 1.0]]], [True, False]),
    "neither": (constraints.symmetric, [[[1.0, 2.0]]], [False]),
    "definite": (constraints.positive_definite, [[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 0.0]]], [True, False]),
    "semidefinite": (constraints.positive_semidefinite, [[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, -1.0]]], [True, False]),
    "cat": (constraints.cat([constraints.positive, constraints.boolean], -1, [2, 1]), [[1.0, -1.0, 1.0]], [[True, False, True]]),
    "stack": (constraints.stack([constraints.positive, constraints.boolean], -1), [[1.0, 2.0]], [[True, False]]),
    "independent": (constraints.independent(constraints.positive, 2), [[[1.0, 1.0]], [[1.0, -1.0]]], [True, False]),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_constraints_tell_what_lies_in_them(name: str, device: str) -> None:
    constraint, values, expected = SETS[name]
    assert constraint.check(gg.tensor(values, device=device)).tolist() == expected
    assert repr(constraint)


def test_constraints_are_types_and_users_make_more() -> None:
    assert (
        isinstance(constraints.real_vector, constraints.independent)
        and constraints.real_vector.event_dim == 1
    )
    assert isinstance(constraints.unit_interval, constraints.interval) and constraints.one_hot.is_discrete
    assert constraints.cat([constraints.real, constraints.simplex]).event_dim == 1
    assert constraints.stack([constraints.real, constraints.boolean], -1).event_dim == 1
    assert constraints.stack([constraints.real, constraints.boolean]).is_discrete
    with pytest.raises(ValueError, match="lengths"):
        constraints.cat([constraints.real], lengths=[1, 2])
    with pytest.raises(NotImplementedError, match="check"):
        constraints.Constraint().check(gg.zeros(1))
    with pytest.raises(ValueError, match="dim"):
        constraints.independent(constraints.real, 2).check(gg.zeros(1))

    class Even(constraints.Constraint):
        is_discrete = True

        def check(self, value: Any) -> Any:
            return value % 2 == 0

    assert (
        Even().event_dim == 0
        and Even().check(gg.tensor([2, 3])).tolist() == [True, False]
        and repr(Even()) == "Even()"
    )
    registry = type(gg.distributions.biject_to)()
    registry.register(Even, lambda c: gg.distributions.AffineTransform(0, 2))
    assert registry(Even())(gg.tensor(3)).item() == 6
    with pytest.raises(NotImplementedError, match="Cannot transform"):
        registry(constraints.real)
    with pytest.raises(TypeError, match="Constraint subclass or instance"):
        registry.register(int, lambda c: None)


def test_supports_that_depend_on_parameters(device: str) -> None:
    class Below(Distribution):
        arg_constraints = {"high": constraints.dependent(is_discrete=False, event_dim=0)}

        def __init__(self, high: Any) -> None:
            self.high = high
            super().__init__(high.shape)

        @constraints.dependent_property(is_discrete=False, event_dim=0)
        def support(self) -> Any:
            return constraints.less_than(self.high)

        def log_prob(self, value: Any) -> Any:
            self._validate_sample(value)
            return value - self.high

    assert (
        constraints.is_dependent(Below.support)
        and Below.support.event_dim == 0
        and not Below.support.is_discrete
    )
    assert Below.arg_constraints["high"].event_dim == 0 and constraints.is_dependent(constraints.dependent)
    d = Below(on(device, 1.0, 2.0))
    assert d.log_prob(on(device, 0.0, 1.0)).tolist() == [-1.0, -1.0]
    with pytest.raises(ValueError, match="support"):
        d.log_prob(on(device, 0.0, 2.0))
    for name in ("event_dim", "is_discrete"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(constraints.dependent, name)
    with pytest.raises(ValueError, match="dependent"):
        constraints.dependent.check(on(device, 1.0))


def test_distributions_of_ones_own(device: str) -> None:
    class Exponential2(gg.distributions.ExponentialFamily):
        """rate · exp(-rate · x), by its natural parameter."""

        arg_constraints = {"rate": constraints.positive}

        def __init__(self, rate: Any) -> None:
            self.rate = rate
            super().__init__(rate.shape)

        def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
            made = self._get_checked_instance(Exponential2, _instance)
            return super().expand(batch_shape, made)

        def rsample(self, sample_shape: Any = ()) -> Any:
            return self.rate.new_zeros(self._extended_shape(sample_shape))

        def log_prob(self, value: Any) -> Any:
            self._validate_sample(value)
            return self.rate.log() - self.rate * value

        @property
        def _natural_params(self) -> Any:
            return (-self.rate,)

        def _log_normalizer(self, x: Any) -> Any:
            return -(-x).log()

        @property
        def _mean_carrier_measure(self) -> Any:
            return 0

    class More(Exponential2):
        def __init__(self) -> None:
            super().__init__(gg.ones(1))

    rate = on(device, 0.5, 3.0)
    d = Exponential2(rate)
    close(d.entropy(), Exponential(rate).entropy().tolist())
    assert d.sample_n(3).shape == (3, 2) and d.expand((4, 2)).rate.shape == (4, 2)
    assert (
        type(d.expand((4, 2))) is Exponential2
        and not Distribution.has_enumerate_support
        and Categorical.has_enumerate_support
    )
    with pytest.raises(NotImplementedError, match="expand"):
        More().expand((2,))
    with pytest.warns(UserWarning, match="does not define `support`"):
        d.log_prob(on(device, 1.0, 1.0))
    with pytest.raises(NotImplementedError, match="_natural_params"):
        gg.distributions.ExponentialFamily()._natural_params  # noqa: B018


def test_cat_and_stack_transforms(device: str) -> None:
    from gradgpu.distributions import (
        CatTransform,
        ExpTransform,
        SigmoidTransform,
        StackTransform,
        biject_to,
        identity_transform,
    )

    x = gg.tensor([[0.5, 1.0, -1.0, 0.0], [1.5, 2.0, 3.0, -1.0]], dtype=WIDE, device=device)
    cut = CatTransform([ExpTransform(), identity_transform, SigmoidTransform()], -1, [1, 2, 1])
    y = cut(x)
    close(y[:, 0], x[:, 0].exp().tolist())
    close(y[:, 1:3], x[:, 1:3].tolist())
    close(y[:, 3], x[:, 3].sigmoid().tolist())
    close(cut.inv(y), x.tolist())
    jacobian = gg.stack([gg.autograd.functional.jacobian(cut, row).diagonal().log() for row in x])
    close(cut.log_abs_det_jacobian(x, y), jacobian.tolist())
    assert cut.domain.event_dim == 0 and cut.codomain.check(y).all() and cut.bijective and cut.length == 4
    for one in (x[0], x):  # a vector of two blocks, each an event: determinants add up
        blocks = CatTransform([gg.distributions.IndependentTransform(ExpTransform(), 1)] * 2, -1, [2, 2])
        close(blocks.log_abs_det_jacobian(one, blocks(one)), one.sum(-1).tolist())
    pair = StackTransform([ExpTransform(), SigmoidTransform()], 1)
    z = pair(x[:, :2])
    close(pair.inv(z), x[:, :2].tolist())
    close(pair.log_abs_det_jacobian(x[:, :2], z)[:, 0], x[:, 0].tolist())
    assert (
        pair.codomain.check(z).all()
        and pair.with_cache(1).with_cache(1).bijective
        and cut.with_cache(1) is not cut
    )
    for transform in (cut, pair):
        with pytest.raises(ValueError, match="must have size"):
            transform(x[:, :3])
    with pytest.raises(ValueError, match="lengths"):
        CatTransform([ExpTransform()], lengths=[1, 1])
    for wanted in (
        constraints.cat([constraints.positive, constraints.unit_interval], -1, [1, 3]),
        constraints.stack([constraints.positive, constraints.real, constraints.less_than(2.0), constraints.greater_than(1.0)], -1),
    ):  # fmt: skip
        assert wanted.check(biject_to(wanted)(x)).all()


def test_matrices_from_unconstrained_numbers(device: str) -> None:
    from gradgpu.distributions import CorrCholeskyTransform, transform_to

    x = gg.tensor([[0.3, -1.2, 0.8], [2.0, 0.1, -0.4]], dtype=WIDE, device=device)
    transform = CorrCholeskyTransform()
    y = transform(x)
    assert constraints.corr_cholesky.check(y).all() and y.shape == transform.forward_shape(x.shape) == (
        2,
        3,
        3,
    )
    close(transform.inv(y), x.tolist(), 1e-7)
    for k, row in enumerate(x):
        # the free entries of the factor are those below the diagonal
        jacobian = gg.autograd.functional.jacobian(
            lambda v: gg.distributions.utils.tril_matrix_to_vec(transform(v), -1), row
        )
        close(transform.log_abs_det_jacobian(x, y)[k], gg.linalg.slogdet(jacobian).logabsdet.item())
    assert transform.inverse_shape((2, 3, 3)) == (2, 3)
    for wrong in (lambda: transform.forward_shape((4,)), lambda: transform.inverse_shape((2, 3)), lambda: transform.inverse_shape((3,))):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()
    m = gg.tensor([[0.5, 9.0], [-1.0, 0.25]], dtype=WIDE, device=device)
    for wanted in (
        constraints.positive_definite,
        constraints.positive_semidefinite,
        constraints.lower_cholesky,
    ):
        made = transform_to(wanted)(m)
        assert wanted.check(made)
        close(transform_to(wanted).inv(made), m.tril().tolist())
    assert constraints.corr_cholesky.check(gg.distributions.biject_to(constraints.corr_cholesky)(x)).all()


def test_lkj_of_two_is_a_beta_distribution(device: str) -> None:
    from gradgpu.distributions import Beta, LKJCholesky

    c, r = on(device, 0.5, 1.0, 4.0), 0.3
    value = gg.tensor([[1.0, 0.0], [r, math.sqrt(1 - r * r)]], dtype=WIDE, device=device)
    d = LKJCholesky(2, c)
    close(d.log_prob(value), (Beta(c, c).log_prob(on(device, (r + 1) / 2)) - math.log(2)).tolist())
    assert d.expand((2, 3)).log_prob(value).shape == (2, 3)
    gg.manual_seed(0)
    drawn = LKJCholesky(3, gg.tensor(2.0, device=device)).sample((1500,))
    assert constraints.corr_cholesky.check(drawn).all()
    correlations = drawn @ drawn.mT
    for i, j in ((1, 0), (2, 0), (2, 1)):  # (r + 1) / 2 is Beta(2.5, 2.5)
        found = correlations[:, i, j]
        assert abs(found.mean().item()) < 0.05 and abs(found.var().item() - 1 / 6) < 0.03
    with pytest.raises(ValueError, match="dim"):
        LKJCholesky(1)
    with pytest.raises(ValueError, match="concentration"):
        LKJCholesky(2, gg.tensor(-1.0, device=device))


def test_wishart_of_one_is_a_gamma_distribution(device: str) -> None:
    from gradgpu.distributions import Gamma, Wishart

    df, v, x = on(device, 1.5, 4.0), on(device, 0.5, 2.0), on(device, 0.7, 3.0)
    d, same = Wishart(df, v[:, None, None]), Gamma(df / 2, 1 / (2 * v))
    close(d.log_prob(x[:, None, None]), same.log_prob(x).tolist())
    close(d.entropy(), same.entropy().tolist())
    close(d.mean.flatten(), same.mean.tolist())
    close(d.variance.flatten(), same.variance.tolist())
    close(d.mode.flatten()[1], same.mode[1].item())
    assert math.isnan(d.mode.flatten()[0].item())
    e, other = Wishart(df + 1, v[:, None, None] * 3), Gamma((df + 1) / 2, 1 / (6 * v))
    close(kl_divergence(d, e), kl_divergence(same, other).tolist())


def test_wishart(device: str) -> None:
    from gradgpu.distributions import Wishart

    v = gg.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=WIDE, device=device)
    x = gg.tensor([[3.0, 1.0], [1.0, 4.0]], dtype=WIDE, device=device)
    ways = [
        Wishart(4.5, v),
        Wishart(4.5, precision_matrix=gg.linalg.inv(v)),
        Wishart(4.5, scale_tril=gg.linalg.cholesky(v)),
    ]
    # scipy.stats.wishart(4.5, v): logpdf, entropy
    for d in ways:
        close(d.log_prob(x), -6.034447816897608, 1e-8)
        close(d.entropy(), 7.319307251102661, 1e-8)
        close(d.covariance_matrix, v.tolist())
        close(d.precision_matrix @ v, [[1, 0], [0, 1]])
        close(kl_divergence(d, ways[0]), 0.0)
        assert d.expand((3,)).log_prob(x).shape == (3,) and d.expand((3,)).scale_tril.shape == (3, 2, 2)
    gg.manual_seed(0)
    scale = gg.linalg.cholesky(v).requires_grad_()
    drawn = Wishart(6.0, scale_tril=scale).rsample((3000,))
    assert constraints.positive_definite.check(drawn).all()
    close(drawn.mean(0), (6 * v).tolist(), 0.08 * 12)
    (slope,) = gg.autograd.grad(drawn.mean(0)[0, 0], scale)
    close(slope[0, 0], 2 * 6 * scale[0, 0].item(), 1.0)
    for wrong, match in (
        (lambda: Wishart(1.0, v), "greater than ndim - 1"),
        (lambda: Wishart(3.0), "Exactly one"),
        (lambda: Wishart(3.0, v[0]), "two-dimensional"),
        (lambda: Wishart(3.0, -v), "covariance_matrix"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


def test_normal_of_low_rank_is_the_multivariate_one(device: str) -> None:
    from gradgpu.distributions import LowRankMultivariateNormal, MultivariateNormal

    gg.manual_seed(1)
    w, diagonal = gg.randn(2, 3, 1, dtype=WIDE, device=device), gg.rand(3, dtype=WIDE, device=device) + 0.5
    loc, x = gg.randn(3, dtype=WIDE, device=device), gg.randn(4, 2, 3, dtype=WIDE, device=device)
    d = LowRankMultivariateNormal(loc, w, diagonal)
    full = MultivariateNormal(loc, w @ w.mT + diagonal.diag_embed())
    other = MultivariateNormal(loc + 1, gg.eye(3, dtype=WIDE, device=device) * 2)
    for found, wanted in (
        (d.log_prob(x), full.log_prob(x)),
        (d.expand((4, 2)).log_prob(x), full.log_prob(x)),
        (d.entropy(), full.entropy()),
        (d.variance, full.variance),
        (d.scale_tril, full.scale_tril),
        (d.precision_matrix, full.precision_matrix),
        (d.mean, full.mean),
        (d.mode, full.mean),
        (kl_divergence(d, other), kl_divergence(full, other)),
        (kl_divergence(other, d), kl_divergence(other, full)),
        (kl_divergence(d, d), kl_divergence(full, full)),
    ):
        close(found, wanted.tolist(), 1e-8)
    drawn = LowRankMultivariateNormal(loc, w[0], diagonal).rsample((4000,))
    close(drawn.mean(0), loc.tolist(), 0.15)
    close(gg.cov(drawn.mT), (w[0] @ w[0].mT + diagonal.diag_embed()).tolist(), 0.25)
    for wrong, match in (
        (lambda: LowRankMultivariateNormal(loc[0], w, diagonal), "loc"),
        (lambda: LowRankMultivariateNormal(loc, w[:, :2], diagonal), "cov_factor"),
        (lambda: LowRankMultivariateNormal(loc, w, diagonal[:2]), "cov_diag"),
        (lambda: LowRankMultivariateNormal(loc, w, -diagonal), "cov_diag"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


def test_validation_of_a_mixture_looks_at_each_component(device: str) -> None:
    mixture = gg.distributions.MixtureSameFamily(
        Categorical(on(device, 1.0, 1.0)), Uniform(on(device, 0.0, 0.0), on(device, 1.0, 2.0))
    )
    close(mixture.log_prob(on(device, 0.5)), [math.log(0.75)])
    with pytest.raises(ValueError, match="support"):
        mixture.log_prob(on(device, 1.5))


def test_continuous_bernoulli(device: str) -> None:
    from gradgpu.distributions import ContinuousBernoulli

    p = on(device, 0.2, 0.4999, 0.5, 0.9, requires_grad=True)
    d = ContinuousBernoulli(p)
    grid = (gg.arange(20001, dtype=WIDE, device=device) / 20000).unsqueeze(-1)
    density = d.log_prob(grid).exp()
    close(gg.trapezoid(density, grid, dim=0), [1.0] * 4, 1e-7)
    close(gg.trapezoid(density * grid, grid, dim=0), d.mean.tolist(), 1e-7)
    close(gg.trapezoid(density * (grid - d.mean).square(), grid, dim=0), d.variance.tolist(), 1e-7)
    close(gg.trapezoid(-density * density.log(), grid, dim=0), d.entropy().tolist(), 1e-7)
    x = on(device, 0.1, 0.3, 0.7, 0.95)
    close(d.icdf(d.cdf(x)), x.tolist(), 1e-9)
    y = x.clone().requires_grad_()
    (slope,) = gg.autograd.grad(d.cdf(y).sum(), y)
    close(slope, d.log_prob(x).exp().tolist(), 1e-3)
    same = ContinuousBernoulli(logits=(p / (1 - p)).log())
    close(same.log_prob(x), d.log_prob(x).tolist())
    close(same.probs, p.tolist())
    q = ContinuousBernoulli(on(device, 0.3))
    difference = gg.trapezoid(density * (density.log() - q.log_prob(grid)), grid, dim=0)
    close(kl_divergence(d, q), difference.tolist(), 1e-7)
    assert d.expand((3, 4)).log_prob(x).shape == (3, 4) and d.param_shape == (4,)
    gg.manual_seed(0)
    drawn = d.rsample((4000,))
    close(drawn.mean(0), d.mean.tolist(), 0.03)
    drawn.sum().backward()
    assert (
        p.grad[[0, 3]] > 0
    ).all() and not d.sample().requires_grad  # near one half draws do not depend on p
    for wrong in (lambda: ContinuousBernoulli(1.5), lambda: ContinuousBernoulli(), lambda: d.log_prob(x + 1)):
        with pytest.raises(ValueError):
            wrong()


def test_validation_is_a_switch_of_the_class() -> None:
    assert Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        assert not Distribution._validate_args and not Normal(0.0, 1.0)._validate_args
    finally:
        Distribution.set_default_validate_args(True)
    d = Normal(0.0, 1.0, validate_args=False)
    assert not d._validate_args and not d.expand((2,))._validate_args and Normal(0.0, 1.0)._validate_args


def test_gamma_draws_by_pytorchs_private_name() -> None:
    gg.manual_seed(0)
    alpha = gg.tensor([0.5, 4.0], requires_grad=True)
    drawn = gg._standard_gamma(alpha.expand(3000, 2))
    close(drawn.mean(0), [0.5, 4.0], 0.15)
    drawn.mean(0).sum().backward()
    close(alpha.grad, [1.0, 1.0], 0.15)


def test_expanding_keeps_the_type() -> None:
    from gradgpu import distributions as D

    x = gg.tensor([0.5, 0.25])
    mixture = D.MixtureSameFamily(Categorical(gg.ones(2, 2)), Normal(gg.zeros(2, 2), 1.0))
    for made in (
        Independent(Normal(x, 1.0), 0), D.Chi2(x), mixture, D.Multinomial(3, x.expand(2, 2)), OneHotCategorical(x.expand(2, 2)),
        D.RelaxedBernoulli(gg.tensor(0.5), x), D.RelaxedOneHotCategorical(gg.tensor(0.5), x.expand(2, 2)), D.LogNormal(x, 1.0),
        D.LKJCholesky(2, x), D.ContinuousBernoulli(x), D.MultivariateNormal(gg.zeros(2, 2), gg.eye(2)), Normal(x, 1.0),
    ):  # fmt: skip
        mine = type(made).__name__

        class Mine(type(made)):  # type: ignore[misc]
            pass

        made.__class__ = Mine
        wide = made.expand((3, 2))
        assert type(wide) is Mine and wide.batch_shape == (3, 2), mine
        assert wide.sample().shape == (3, 2, *made.event_shape), mine
        filled = made.expand((4, 2), _instance=object.__new__(Mine))
        gg.manual_seed(0)
        value = wide.sample()
        assert filled.log_prob(value[:1].expand(4, *value.shape[1:])).shape == (4, 2), mine


def test_transforms_and_distributions_that_are_modules() -> None:
    class Shift(gg.distributions.Transform, gg.nn.Module):
        domain = codomain = constraints.real
        bijective = True

        def __init__(self) -> None:
            super().__init__(cache_size=1)
            self.loc = gg.nn.Parameter(gg.tensor(2.0))

        def _call(self, x: Any) -> Any:
            return x + self.loc

        def _inverse(self, y: Any) -> Any:
            return y - self.loc

        def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
            return gg.zeros_like(x)

    class Chain(gg.distributions.ComposeTransform, gg.nn.ModuleList):
        def __init__(self, parts: Any) -> None:
            super().__init__(parts)
            for part in parts:
                self.append(part)

    class Policy(Normal, gg.nn.Module):
        def __init__(self) -> None:
            super().__init__(gg.zeros(2), gg.ones(2))
            self.log_scale = gg.nn.Parameter(gg.zeros(2))

    shift = Shift()
    assert shift(gg.tensor(1.0)).item() == 3 and shift.inv(gg.tensor(1.0)).item() == -1
    chain = Chain([shift, Shift()])
    assert chain(gg.tensor(1.0)).item() == 5 and [n for n, _ in chain.named_parameters()] == [
        "0.loc",
        "1.loc",
    ]
    flow = gg.distributions.TransformedDistribution(Normal(0.0, 1.0), chain)
    flow.log_prob(gg.tensor(1.0)).backward()
    assert all(p.grad.item() == -3 for p in chain.parameters())
    assert [n for n, _ in Policy().named_parameters()] == ["log_scale"] and Policy().sample().shape == (2,)


def test_matrices_of_a_subclass_of_the_multivariate_normal() -> None:
    class Doubled(gg.distributions.MultivariateNormal):
        @property
        def twice(self) -> Any:
            return super().covariance_matrix * 2

        @property
        def broken(self) -> Any:
            return self.no_such_name

    class Given(gg.distributions.MultivariateNormal):
        pass

    lower = gg.tensor([[1.0, 0.0], [0.5, 2.0]])
    d = Given(gg.zeros(2), scale_tril=lower)
    assert d.covariance_matrix is d.covariance_matrix and d.scale_tril.tolist() == lower.tolist()
    close(d.precision_matrix @ (lower @ lower.mT), [[1.0, 0.0], [0.0, 1.0]], 1e-5)
    d = Doubled(gg.zeros(2), scale_tril=lower)
    close(d.twice, (2 * lower @ lower.mT).tolist(), 1e-6)
    with pytest.raises(AttributeError, match="no_such_name"):
        d.broken  # noqa: B018
