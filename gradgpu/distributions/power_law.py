"""Distributions of powers of exponential draws: Weibull and Pareto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.pointwise import expm1
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .location_scale import EULER
from .utils import broadcast_all


class Weibull(Distribution):
    """The Weibull distribution: cdf 1 - exp(-(x / scale)ᵏ), k being the concentration.

    >>> import gradgpu as gg
    >>> gg.distributions.Weibull(2., 1.).mean
    tensor(2.)
    """

    has_rsample = True
    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    scale: Tensor
    concentration: Tensor

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """scale · Γ(1 + 1/k)."""
        return self.scale * (1 + 1 / self.concentration).lgamma().exp()

    @property
    def mode(self) -> Tensor:
        """scale · ((k - 1) / k)^(1/k); 0 for k ≤ 1."""
        k = self.concentration
        return self.scale * ((k - 1) / k).clamp(min=0).pow(1 / k)

    @property
    def variance(self) -> Tensor:
        """scale² (Γ(1 + 2/k) - Γ(1 + 1/k)²)."""
        k = self.concentration
        return self.scale.square() * ((1 + 2 / k).lgamma().exp() - (2 * (1 + 1 / k).lgamma()).exp())

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """scale · e^(1/k) with e of the exponential distribution."""
        e = self.scale.new_empty(tuple(self._extended_shape(sample_shape))).exponential_()
        return self.scale * e.pow(1 / self.concentration)

    def log_prob(self, value: Any) -> Tensor:
        """log(k / scale) + (k - 1) log(value / scale) - (value / scale)ᵏ."""
        self._validate_sample(value)
        k, x = self.concentration, value / self.scale
        return (k / self.scale).log() + (k - 1) * x.log() - x.pow(k)

    def cdf(self, value: Any) -> Tensor:
        """1 - exp(-(value / scale)ᵏ)."""
        self._validate_sample(value)
        return -expm1(-(value / self.scale).pow(self.concentration))

    def icdf(self, value: Any) -> Tensor:
        """scale · (-log(1 - value))^(1/k)."""
        return self.scale * (-(-value).log1p()).pow(1 / self.concentration)

    def entropy(self) -> Tensor:
        """γ (1 - 1/k) + log(scale / k) + 1."""
        return EULER * (1 - 1 / self.concentration) + (self.scale / self.concentration).log() + 1


class Pareto(Distribution):
    """The Pareto distribution: density alpha scaleᵅ / x^(alpha + 1) at x ≥ scale.

    >>> import gradgpu as gg
    >>> gg.distributions.Pareto(1., 2.).mean
    tensor(2.)
    """

    has_rsample = True
    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    alpha: Tensor
    scale: Tensor

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """At least scale."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        """alpha scale / (alpha - 1); infinite for alpha ≤ 1."""
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        """`scale`."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale² alpha / ((alpha - 1)² (alpha - 2)); infinite for alpha ≤ 2."""
        a = self.alpha.clamp(min=2)
        return self.scale.square() * a / ((a - 1).square() * (a - 2))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """scale · exp(e / alpha) with e of the exponential distribution."""
        e = self.scale.new_empty(tuple(self._extended_shape(sample_shape))).exponential_()
        return self.scale * (e / self.alpha).exp()

    def log_prob(self, value: Any) -> Tensor:
        """log alpha + alpha log scale - (alpha + 1) log value."""
        self._validate_sample(value)
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Any) -> Tensor:
        """1 - (scale / value)^alpha."""
        self._validate_sample(value)
        return 1 - (self.scale / value).pow(self.alpha)

    def icdf(self, value: Any) -> Tensor:
        """scale · (1 - value)^(-1/alpha)."""
        return self.scale * (1 - value).pow(-1 / self.alpha)

    def entropy(self) -> Tensor:
        """log(scale / alpha) + 1 + 1/alpha."""
        return (self.scale / self.alpha).log() + (1 + 1 / self.alpha)
