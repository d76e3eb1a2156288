"""The Dirichlet and beta distributions, and Kumaraswamy's, which is like the latter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtypes import finfo
from ..nn.functional import one_hot
from ..ops.elementary import xlogy
from ..ops.join import stack
from ..ops.pointwise import where
from ..ops.random import rand
from ..ops.softmax import softmax
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .draws import standard_gamma
from .utils import broadcast_all

_EULER = 0.5772156649015329


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution of vectors of non-negative numbers that sum to 1.

    A draw is a vector of gamma draws over its sum, and differentiable as they are (Figurnov et al., 2018). They come from the
    host.

    Args:
        concentration: (…, K), positive.

    >>> import gradgpu as gg
    >>> gg.distributions.Dirichlet(gg.tensor([1., 3.])).mean
    tensor([0.2500, 0.7500])
    """

    has_rsample = True
    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex

    concentration: Tensor

    def __init__(self, concentration: Tensor, validate_args: bool | None = None):
        if not isinstance(concentration, Tensor) or concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """concentration over its sum."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """(concentration - 1) over its sum, entries below 0 as 0; a corner where all are below 1."""
        c = self.concentration.detach()
        less = (c - 1).clamp(min=0)
        inner = less / less.sum(-1, keepdim=True)
        corner = one_hot(c.argmax(-1), c.shape[-1]).to(c.dtype)
        return where((c < 1).all(-1, keepdim=True), corner, inner)

    @property
    def variance(self) -> Tensor:
        """m (1 - m) / (sum + 1), m being the mean."""
        total, mean = self.concentration.sum(-1, keepdim=True), self.mean
        return mean * (1 - mean) / (total + 1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Gamma draws over their sum."""
        shape = tuple(self._extended_shape(sample_shape))
        return _sample_dirichlet(self.concentration.expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """Σ (cᵢ - 1) log xᵢ + log Γ(Σ c) - Σ log Γ(cᵢ)."""
        self._validate_sample(value)
        c = self.concentration
        return xlogy(c - 1, value).sum(-1) + c.sum(-1).lgamma() - c.lgamma().sum(-1)

    def entropy(self) -> Tensor:
        """Σ log Γ(cᵢ) - log Γ(Σ c) - (K - Σ c) ψ(Σ c) - Σ (cᵢ - 1) ψ(cᵢ)."""
        c = self.concentration
        total = c.sum(-1)
        return (
            c.lgamma().sum(-1)
            - total.lgamma()
            - (c.shape[-1] - total) * total.digamma()
            - ((c - 1) * c.digamma()).sum(-1)
        )


class Beta(ExponentialFamily):
    """The beta distribution: density x^(a - 1) (1 - x)^(b - 1) / B(a, b), a being concentration1, b concentration0.

    >>> import gradgpu as gg
    >>> gg.distributions.Beta(1., 3.).mean
    tensor(0.2500)
    """

    has_rsample = True
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval

    concentration1: Tensor
    concentration0: Tensor

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """a / (a + b)."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        """As that of the Dirichlet distribution of (a, b)."""
        return Dirichlet(self._pair(), validate_args=False).mode[..., 0]

    @property
    def variance(self) -> Tensor:
        """a b / ((a + b)² (a + b + 1))."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))

    def _pair(self) -> Tensor:
        return stack([self.concentration1, self.concentration0], -1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The first of two gamma draws over their sum."""
        return Dirichlet(self._pair(), validate_args=False).rsample(sample_shape)[..., 0]

    def log_prob(self, value: Any) -> Tensor:
        """(a - 1) log x + (b - 1) log(1 - x) - log B(a, b)."""
        self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        return xlogy(a - 1, value) + xlogy(b - 1, 1 - value) + (a + b).lgamma() - a.lgamma() - b.lgamma()

    def entropy(self) -> Tensor:
        """log B(a, b) - (a - 1) ψ(a) - (b - 1) ψ(b) + (a + b - 2) ψ(a + b)."""
        return Dirichlet(self._pair(), validate_args=False).entropy()


class Kumaraswamy(Distribution):
    """Kumaraswamy's distribution on (0, 1): cdf 1 - (1 - xᵃ)ᵇ, a being concentration1, b concentration0.

    >>> import gradgpu as gg
    >>> gg.distributions.Kumaraswamy(1., 1.).mean
    tensor(0.5000)
    """

    has_rsample = True
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval

    concentration1: Tensor
    concentration0: Tensor

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        """b B(1 + n / a, b)."""
        a, b = self.concentration1, self.concentration0
        first = 1 + n / a
        return b * (first.lgamma() + b.lgamma() - (first + b).lgamma()).exp()

    @property
    def mean(self) -> Tensor:
        """b B(1 + 1 / a, b)."""
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """The second moment less the square of the first."""
        return self._moment(2) - self._moment(1).square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The quantile function at a uniform number."""
        like = self.concentration1
        eps = finfo(like.dtype).eps
        u = rand(*self._extended_shape(sample_shape), dtype=like.dtype, device=like.device)
        return self.icdf(u.clamp(min=eps, max=1 - eps))

    def log_prob(self, value: Any) -> Tensor:
        """log a b + (a - 1) log x + (b - 1) log(1 - xᵃ)."""
        self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        return (a * b).log() + xlogy(a - 1, value) + xlogy(b - 1, 1 - value.pow(a))

    def cdf(self, value: Any) -> Tensor:
        """1 - (1 - xᵃ)ᵇ."""
        self._validate_sample(value)
        return 1 - (1 - value.pow(self.concentration1)).pow(self.concentration0)

    def icdf(self, value: Any) -> Tensor:
        """(1 - (1 - u)^(1/b))^(1/a)."""
        return (1 - (1 - value).pow(1 / self.concentration0)).pow(1 / self.concentration1)

    def entropy(self) -> Tensor:
        """1 - 1/b + (1 - 1/a) (ψ(b + 1) + γ) - log a b."""
        a, b = self.concentration1, self.concentration0
        return 1 - 1 / b + (1 - 1 / a) * ((b + 1).digamma() + _EULER) - a.log() - b.log()


def _sample_dirichlet(concentration: Tensor) -> Tensor:
    """A draw for each vector of concentrations: scripts that mix samples call it.

    >>> import gradgpu as gg
    >>> gg._sample_dirichlet(gg.ones(4)).sum().round(decimals=4)
    tensor(1.)
    """
    # By logarithms: for small concentrations all draws may be too small for their dtype.
    return softmax(standard_gamma(concentration, log=True), -1)
