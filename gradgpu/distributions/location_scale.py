"""Distributions of a location and a scale: Cauchy, Gumbel, Student's t; and halves of symmetric ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..dtypes import finfo
from ..ops.pointwise import where
from ..ops.random import rand, randn
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .draws import standard_gamma
from .normal import Normal
from .utils import broadcast_all

EULER = 0.5772156649015329


class _LocationScale(Distribution):
    has_rsample = True
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _uniform(self, sample_shape: Sequence[int]) -> Tensor:
        """Uniform numbers a rounding error away from 0 and 1."""
        eps = finfo(self.loc.dtype).eps
        u = rand(*self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return u.clamp(min=eps, max=1 - eps)


class Cauchy(_LocationScale):
    """The Cauchy (Lorentz) distribution: density 1 / (π scale (1 + ((x - loc) / scale)²)); no mean, no variance.

    >>> import gradgpu as gg
    >>> gg.distributions.Cauchy(0., 1.).cdf(gg.tensor(1.))
    tensor(0.7500)
    """

    @property
    def mean(self) -> Tensor:
        """NaN."""
        return self.loc.detach() * 0 + float("nan")

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Infinity."""
        return self.scale.detach() * 0 + float("inf")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The quantile function at a uniform number."""
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """-log π - log scale - log(1 + ((value - loc) / scale)²)."""
        self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - ((value - self.loc) / self.scale).square().log1p()

    def cdf(self, value: Any) -> Tensor:
        """arctan((value - loc) / scale) / π + ½."""
        self._validate_sample(value)
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Tensor:
        """loc + scale · tan(π (value - ½))."""
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Tensor:
        """log 4π + log scale."""
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(_LocationScale):
    """The Gumbel distribution of maxima: cdf exp(-exp(-(x - loc) / scale)).

    >>> import gradgpu as gg
    >>> gg.distributions.Gumbel(1., 2.).mean
    tensor(2.1544)
    """

    @property
    def mean(self) -> Tensor:
        """loc + γ scale."""
        return self.loc + self.scale * EULER

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """π / √6 · scale."""
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        """π² / 6 · scale²."""
        return self.stddev.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc - scale · log e with e of the exponential distribution."""
        e = self.loc.new_empty(tuple(self._extended_shape(sample_shape))).exponential_()
        return self.loc - self.scale * e.clamp(min=finfo(self.loc.dtype).tiny).log()

    def log_prob(self, value: Any) -> Tensor:
        """y - eʸ - log scale with y = (loc - value) / scale."""
        self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    def cdf(self, value: Any) -> Tensor:
        """exp(-exp(-(value - loc) / scale))."""
        self._validate_sample(value)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Any) -> Tensor:
        """loc - scale · log(-log value)."""
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        """log scale + 1 + γ."""
        return self.scale.log() + (1 + EULER)


class StudentT(Distribution):
    """Student's t-distribution of `df` degrees of freedom, moved to `loc` and stretched by `scale`.

    >>> import gradgpu as gg
    >>> gg.distributions.StudentT(4., 0., 1.).variance
    tensor(2.)
    """

    has_rsample = True
    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    df: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`; NaN for df ≤ 1."""
        return where(self.df > 1, self.loc, self.loc.new_full((), float("nan")))

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale² df / (df - 2) for df > 2, infinite for 1 < df ≤ 2, else NaN."""
        df = self.df
        rest = where(df > 1, df.new_full((), float("inf")), df.new_full((), float("nan")))
        return where(df > 2, self.scale.square() * df / (df - 2), rest)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale · z / √(c / df) with normal z and chi-squared c."""
        shape = tuple(self._extended_shape(sample_shape))
        z = randn(*shape, dtype=self.df.dtype, device=self.df.device)
        c = standard_gamma((self.df * 0.5).expand(shape)) * 2
        return self.loc + self.scale * z * (c / self.df).rsqrt()

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the density."""
        self._validate_sample(value)
        df, y = self.df, (value - self.loc) / self.scale
        norm = (
            self.scale.log()
            + 0.5 * df.log()
            + 0.5 * math.log(math.pi)
            + (0.5 * df).lgamma()
            - (0.5 * (df + 1)).lgamma()
        )
        return -0.5 * (df + 1) * (y.square() / df).log1p() - norm

    def entropy(self) -> Tensor:
        """log scale + (df + 1)/2 (ψ((df + 1)/2) - ψ(df/2)) + ½ log df + log B(df/2, ½)."""
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = half.lgamma() + math.lgamma(0.5) - more.lgamma()
        return self.scale.log() + more * (more.digamma() - half.digamma()) + 0.5 * self.df.log() + log_beta


class _Half(Distribution):
    """The absolute value of a draw of a distribution that is symmetric about 0."""

    has_rsample = True
    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    _whole: Any

    scale: Tensor

    def __init__(self, scale: Any, validate_args: bool | None = None):
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def base_dist(self) -> Any:
        """The symmetric distribution."""
        return self._whole(self.scale.detach() * 0, self.scale, validate_args=False)

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.scale.detach() * 0

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The absolute value of a draw."""
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Any) -> Tensor:
        """log 2 more than that of the whole; -infinity below 0."""
        self._validate_sample(value)
        found = self.base_dist.log_prob(value) + math.log(2)
        return where(value >= 0, found, found.new_full((), -math.inf))

    def cdf(self, value: Any) -> Tensor:
        """2 F(value) - 1."""
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Any) -> Tensor:
        """The whole's quantile of (value + 1) / 2."""
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """log 2 less than that of the whole."""
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The absolute value of a normal draw of mean 0.

    >>> import gradgpu as gg
    >>> gg.distributions.HalfNormal(1.).mean
    tensor(0.7979)
    """

    _whole = Normal

    @property
    def mean(self) -> Tensor:
        """√(2/π) · scale."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        """(1 - 2/π) · scale²."""
        return self.scale.square() * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The absolute value of a Cauchy draw about 0.

    >>> import gradgpu as gg
    >>> gg.distributions.HalfCauchy(1.).cdf(gg.tensor(1.))
    tensor(0.5000)
    """

    _whole = Cauchy

    @property
    def mean(self) -> Tensor:
        """Infinity."""
        return self.scale.detach() * 0 + float("inf")

    @property
    def variance(self) -> Tensor:
        """Infinity."""
        return self.mean
