"""The gamma distribution and those that are made of it: chi-squared, inverse gamma, Fisher-Snedecor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.elementary import xlogy
from ..ops.pointwise import where
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .draws import gammainc, standard_gamma
from .utils import broadcast_all


class Gamma(ExponentialFamily):
    """The gamma distribution: density rateᵃ xᵃ⁻¹ exp(-rate x) / Γ(a), a being the concentration.

    Draws come from the host; `rsample` is differentiable in both parameters (Figurnov et al., 2018).

    Raises:
        ValueError: a parameter that is not positive, a negative value.

    >>> import gradgpu as gg
    >>> gg.distributions.Gamma(3., 2.).mean
    tensor(1.5000)
    """

    has_rsample = True
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative

    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """a / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(a - 1) / rate, at least 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """a / rate²."""
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A draw of rate 1, divided by the rate."""
        shape = tuple(self._extended_shape(sample_shape))
        return standard_gamma(self.concentration.expand(shape)) / self.rate

    def log_prob(self, value: Any) -> Tensor:
        """a log rate + (a - 1) log value - rate · value - log Γ(a)."""
        self._validate_sample(value)
        a, rate = self.concentration, self.rate
        return xlogy(a, rate) + xlogy(a - 1, value) - rate * value - a.lgamma()

    def cdf(self, value: Any) -> Tensor:
        """The regularised incomplete gamma function P(a, rate · value); on the host, differentiable in value and rate."""
        self._validate_sample(value)
        a, x = broadcast_all(self.concentration, self.rate * value)
        return gammainc(a, x)

    def entropy(self) -> Tensor:
        """a - log rate + log Γ(a) + (1 - a) ψ(a)."""
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()


class Chi2(Gamma):
    """The chi-squared distribution of `df` degrees of freedom: Gamma(df / 2, ½).

    >>> import gradgpu as gg
    >>> gg.distributions.Chi2(3.).mean
    tensor(3.)
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None):
        (self.df,) = broadcast_all(df)
        self.concentration, self.rate = broadcast_all(self.df * 0.5, 0.5)
        Distribution.__init__(self, self.df.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Chi2:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = super().expand(batch_shape, _instance)
        made.concentration, made.rate = broadcast_all(made.df * 0.5, 0.5)
        return made


class InverseGamma(Distribution):
    """1 / x for x of Gamma(concentration, rate).

    >>> import gradgpu as gg
    >>> gg.distributions.InverseGamma(3., 2.).mean
    tensor(1.)
    """

    has_rsample = True
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive

    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """rate / (a - 1); infinite for a ≤ 1."""
        a = self.concentration
        return where(a > 1, self.rate / (a - 1), a.new_full((), float("inf")))

    @property
    def mode(self) -> Tensor:
        """rate / (a + 1)."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        """rate² / ((a - 1)² (a - 2)); infinite for a ≤ 2."""
        a = self.concentration
        return where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), a.new_full((), float("inf")))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """rate over a draw of rate 1."""
        shape = tuple(self._extended_shape(sample_shape))
        return self.rate / standard_gamma(self.concentration.expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """a log rate - (a + 1) log value - rate / value - log Γ(a)."""
        self._validate_sample(value)
        a = self.concentration
        return a * self.rate.log() - (a + 1) * value.log() - self.rate / value - a.lgamma()

    def cdf(self, value: Any) -> Tensor:
        """1 - P(a, rate / value); see `Gamma.cdf`."""
        self._validate_sample(value)
        a, x = broadcast_all(self.concentration, self.rate / value)
        return gammainc(a, x, upper=True)

    def entropy(self) -> Tensor:
        """a + log rate + log Γ(a) - (1 + a) ψ(a)."""
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class FisherSnedecor(Distribution):
    """The F-distribution: (x₁ / df1) / (x₂ / df2) for chi-squared x₁ and x₂.

    >>> import gradgpu as gg
    >>> gg.distributions.FisherSnedecor(1., 4.).mean
    tensor(2.)
    """

    has_rsample = True
    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive

    df1: Tensor
    df2: Tensor

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """df2 / (df2 - 2); NaN for df2 ≤ 2."""
        return where(self.df2 > 2, self.df2 / (self.df2 - 2), self.df2.new_full((), float("nan")))

    @property
    def mode(self) -> Tensor:
        """(df1 - 2) / df1 · df2 / (df2 + 2); NaN for df1 ≤ 2."""
        made = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 > 2, made, made.new_full((), float("nan")))

    @property
    def variance(self) -> Tensor:
        """2 df2² (df1 + df2 - 2) / (df1 (df2 - 2)² (df2 - 4)); NaN for df2 ≤ 4."""
        a, b = self.df1, self.df2
        made = 2 * b.square() * (a + b - 2) / (a * (b - 2).square() * (b - 4))
        return where(b > 4, made, made.new_full((), float("nan")))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The ratio of two gamma draws over their means."""
        shape = tuple(self._extended_shape(sample_shape))
        x1 = standard_gamma((self.df1 * 0.5).expand(shape)) / self.df1
        x2 = standard_gamma((self.df2 * 0.5).expand(shape)) / self.df2
        return x1 / x2

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the density."""
        self._validate_sample(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        t1 = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return t1 + a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()
