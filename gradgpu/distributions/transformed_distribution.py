"""Distributions of transformed draws, and two ready ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import no_grad
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .independent import Independent
from .normal import Normal
from .transforms import ComposeTransform, ExpTransform, StickBreakingTransform, Transform
from .utils import _sum_rightmost


class TransformedDistribution(Distribution):
    """Draws of a base distribution, sent through transforms.

    Args:
        base_distribution: where draws come from.
        transforms: a `Transform` or a list of them, applied in order.

    >>> import gradgpu as gg
    >>> from gradgpu.distributions import AffineTransform, SigmoidTransform, TransformedDistribution, Uniform
    >>> logistic = TransformedDistribution(Uniform(0., 1.), [SigmoidTransform().inv, AffineTransform(3., 2.)])
    >>> logistic.log_prob(gg.tensor(3.)).exp()
    tensor(0.1250)
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ):
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for t in self.transforms:
            if not isinstance(t, Transform):
                raise ValueError(f"transforms must be a Transform or a list of Transforms, got {t!r}")
        whole = ComposeTransform(self.transforms)
        domain, codomain = whole.domain, whole.codomain
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        if len(shape) < domain.event_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {domain.event_dim}, but got {shape}."
            )
        forward = whole.forward_shape(shape)
        wide = tuple(whole.inverse_shape(forward))
        base: Distribution = base_distribution
        if shape != wide:
            base = base.expand(wide[: len(wide) - len(base.event_shape)])
        more = domain.event_dim - len(base.event_shape)
        if more > 0:
            base = Independent(base, more)
        self.base_dist: Any = base
        event = max(codomain.event_dim, len(base.event_shape) + codomain.event_dim - domain.event_dim)
        cut = len(forward) - event
        super().__init__(forward[:cut], forward[cut:], validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base has it."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Constraint:
        """The values of the last transform."""
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self._event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TransformedDistribution:
        """The same distributions with the base expanded to `batch_shape`."""
        made = self._bare(_instance)
        made.transforms = self.transforms
        whole = ComposeTransform(self.transforms)
        shape = tuple(whole.inverse_shape((*batch_shape, *self._event_shape)))
        made.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return self._expanded(made, batch_shape)

    def _through(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Transformed draws of the base."""
        with no_grad():
            return self._through(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Transformed draws of the base, differentiable."""
        return self._through(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """That of the base at the value sent back, less the logarithms of the Jacobian determinants."""
        self._validate_sample(value)
        event, y, total = len(self._event_shape), value, None
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            event += transform.domain.event_dim - transform.codomain.event_dim
            term = _sum_rightmost(transform.log_abs_det_jacobian(x, y), event - transform.domain.event_dim)
            total = -term if total is None else total - term
            y = x
        found = _sum_rightmost(self.base_dist.log_prob(y), event - len(self.base_dist.event_shape))
        return found if total is None else found + total

    def _sign(self) -> Any:
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return sign

    def _monotone(self, value: Tensor) -> Tensor:
        """value where the transforms rise, 1 - value where they fall."""
        sign = self._sign()
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Any) -> Tensor:
        """That of the base at the value sent back."""
        self._validate_sample(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._monotone(self.base_dist.cdf(value))

    def icdf(self, value: Any) -> Tensor:
        """The base's quantile, transformed."""
        return self._through(self.base_dist.icdf(self._monotone(value)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist!r}, {self.transforms!r})"


class LogNormal(TransformedDistribution):
    """exp(x) for x of Normal(loc, scale).

    >>> import gradgpu as gg
    >>> gg.distributions.LogNormal(0., 1.).mean
    tensor(1.6487)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        super().__init__(Normal(loc, scale, validate_args=validate_args), ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """exp(loc + scale² / 2)."""
        return (self.loc + self.scale.square() / 2).exp()

    @property
    def mode(self) -> Tensor:
        """exp(loc - scale²)."""
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        """(exp(scale²) - 1) exp(2 loc + scale²)."""
        square = self.scale.square()
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        """That of the normal distribution, plus loc."""
        return self.base_dist.entropy() + self.loc


class LogisticNormal(TransformedDistribution):
    """Vectors on the simplex: normal vectors through `StickBreakingTransform`.

    >>> import gradgpu as gg
    >>> gg.distributions.LogisticNormal(gg.zeros(3), gg.ones(3)).sample().shape
    gradgpu.Size([4])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        base: Distribution = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of the normal vectors."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Their standard deviation."""
        return self.base_dist.base_dist.scale
