"""Kullback-Leibler divergences in closed form, in a registry by the types of both distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from .. import linalg
from ..ops.pointwise import where
from ..ops.shape import broadcast_shapes
from ..special import multigammaln
from ..tensor import Tensor
from .bernoulli import Bernoulli
from .categorical import Categorical
from .continuous_bernoulli import ContinuousBernoulli
from .counts import Binomial, Geometric, Poisson
from .dirichlet import Beta, Dirichlet
from .distribution import Distribution
from .exponential import Exponential
from .gamma import Gamma
from .independent import Independent
from .laplace import Laplace
from .location_scale import EULER, Cauchy, Gumbel, HalfNormal
from .matrices import LowRankMultivariateNormal, Wishart, multidigamma
from .multivariate_normal import MultivariateNormal, half_log_det, mahalanobis
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .power_law import Pareto
from .transformed_distribution import LogNormal, TransformedDistribution
from .uniform import Uniform
from .utils import _sum_rightmost

Formula = TypeVar("Formula", bound=Callable[..., Tensor])
_formulas: dict[tuple[type, type], Callable[..., Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Formula], Formula]:
    """Registers the decorated function of (p, q) as `kl_divergence` for these types and their subclasses.

    >>> import gradgpu as gg
    >>> from gradgpu.distributions import Normal, kl_divergence, register_kl
    >>> class Mine(Normal):
    ...     pass
    >>> @register_kl(Mine, Mine)
    ... def mine(p, q):
    ...     return p.loc - q.loc
    >>> kl_divergence(Mine(3., 1.), Mine(1., 1.))
    tensor(2.)
    """
    for t in (type_p, type_q):
        if not isinstance(t, type):  # any class: other packages have bases of their own beside Distribution
            raise TypeError(f"register_kl: expected classes, got {t!r}")

    def register(function: Formula) -> Formula:
        _formulas[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q) = E_p[log p(x) - log q(x)], of the batch shapes broadcast together; differentiable.

    Raises:
        NotImplementedError: no formula is registered for the two types.

    >>> import gradgpu as gg
    >>> from gradgpu.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(1., 1.), Normal(0., 1.))
    tensor(0.5000)
    """
    for type_p in type(p).__mro__:  # the nearest registered ancestors, p's first
        for type_q in type(q).__mro__:
            formula = _formulas.get((type_p, type_q))
            if formula is not None:
                return formula(p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}; "
        "estimate it as (p.log_prob(x) - q.log_prob(x)).mean() over samples x of p, or use register_kl"
    )


@register_kl(Normal, Normal)
def _normal_normal(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    shift = (p.loc - q.loc) / q.scale
    return (ratio * ratio + shift * shift - 1) * 0.5 - ratio.log()


@register_kl(Categorical, Categorical)
def _categorical_categorical(p: Any, q: Any) -> Tensor:
    if p._num_events != q._num_events:
        raise ValueError(
            f"kl_divergence: expected equal numbers of categories, got {p._num_events} and {q._num_events}"
        )
    probs = p.probs
    terms = probs * (p.logits - q.logits)
    # Infinite where q has no chance and p has one; 0 where p has none.
    terms = where(q.probs.detach().eq(0), math.inf, terms)
    return where(probs.detach().eq(0), 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_one_hot(p: Any, q: Any) -> Tensor:
    return _categorical_categorical(p._categorical, q._categorical)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(p: Any, q: Any) -> Tensor:
    def part(a: Tensor, b: Tensor) -> Tensor:
        """a · log(a / b); 0 where a = 0."""
        is_zero = a.detach().eq(0)
        return where(is_zero, 0.0, a * (where(is_zero, 1.0, a) / b).log())

    return part(p.probs, q.probs) + part(1 - p.probs, 1 - q.probs)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Tensor:
    p_part = p.mean * (p.logits - q.logits) + p._log_norm() + (-p.probs).log1p()
    return p_part - q._log_norm() - (-q.probs).log1p()


@register_kl(Uniform, Uniform)
def _uniform_uniform(p: Any, q: Any) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return where(((q.low > p.low) | (q.high < p.high)).detach(), math.inf, result)


@register_kl(Exponential, Exponential)
def _exponential_exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Laplace, Laplace)
def _laplace_laplace(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    distance = (p.loc - q.loc).abs()
    return distance / q.scale + ratio * (-distance / p.scale).exp() - ratio.log() - 1


@register_kl(Uniform, Normal)
def _uniform_normal(p: Any, q: Any) -> Tensor:
    width = p.high - p.low
    shift = (p.high + p.low) * 0.5 - q.loc
    return (q.scale * math.sqrt(2 * math.pi) / width).log() + (width * width / 12 + shift * shift) / (
        q.scale * q.scale
    ) * 0.5


@register_kl(Beta, Beta)
def _beta_beta(p: Any, q: Any) -> Tensor:
    return _dirichlet_kl(p._pair(), q._pair())


@register_kl(Dirichlet, Dirichlet)
def _dirichlet_dirichlet(p: Any, q: Any) -> Tensor:
    return _dirichlet_kl(p.concentration, q.concentration)


def _dirichlet_kl(a: Tensor, b: Tensor) -> Tensor:
    total = a.sum(-1)
    expected = a.digamma() - total.digamma().unsqueeze(-1)  # of log x
    constants = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return constants + ((a - b) * expected).sum(-1)


@register_kl(Gamma, Gamma)
def _gamma_gamma(p: Any, q: Any) -> Tensor:
    a, b, ratio = p.concentration, q.concentration, p.rate / q.rate
    return b * ratio.log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + a * (1 / ratio - 1)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Tensor:
    ratio, b = q.rate / p.rate, q.concentration
    return ratio - b * ratio.log() + b.lgamma() + b * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Poisson, Poisson)
def _poisson_poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Geometric, Geometric)
def _geometric_geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Binomial, Binomial)
def _binomial_binomial(p: Any, q: Any) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return where(p.total_count > q.total_count, math.inf, p.total_count * each)


@register_kl(Gumbel, Gumbel)
def _gumbel_gumbel(p: Any, q: Any) -> Tensor:
    ratio, mine, theirs = p.scale / q.scale, p.loc / q.scale, q.loc / q.scale
    moment = (theirs + (1 + ratio).lgamma() - mine).exp()
    return -ratio.log() - theirs + mine + ratio * EULER + moment - (1 + EULER)


@register_kl(Cauchy, Cauchy)
def _cauchy_cauchy(p: Any, q: Any) -> Tensor:
    apart = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return apart.log() - (4 * p.scale * q.scale).log()


@register_kl(HalfNormal, HalfNormal)
def _half_normal_half_normal(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    return (ratio * ratio - 1) * 0.5 - ratio.log()


@register_kl(Pareto, Pareto)
def _pareto_pareto(p: Any, q: Any) -> Tensor:
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where((p.scale < q.scale).detach(), math.inf, result)


@register_kl(Laplace, Normal)
def _laplace_normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return -0.5 * (2 * ratio / math.pi).log() + ratio + 0.5 * ((p.loc - q.loc) / q.scale).square() - 1


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_multivariate(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: KL-divergence between two Multivariate Normals with different event shapes cannot be computed: "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}"
        )
    n = p.event_shape[0]
    batch = tuple(broadcast_shapes(p.batch_shape, q.batch_shape))
    mine, theirs = [d._unbroadcasted_scale_tril.expand((*batch, n, n)) for d in (p, q)]
    trace = linalg.solve_triangular(theirs, mine, upper=False).square().sum((-2, -1))
    distance = mahalanobis(theirs, q.loc - p.loc)
    return half_log_det(theirs) - half_log_det(mine) + 0.5 * (trace + distance - n)


def _full(d: Any) -> MultivariateNormal:
    if isinstance(d, MultivariateNormal):
        return d
    return MultivariateNormal(d.loc, scale_tril=d.scale_tril, validate_args=False)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _low_rank_multivariate(p: Any, q: Any) -> Tensor:
    return _multivariate_multivariate(_full(p), _full(q))


@register_kl(Wishart, Wishart)
def _wishart_wishart(p: Any, q: Any) -> Tensor:
    n = p._event_shape[-1]
    shift = half_log_det(q._scale) - half_log_det(p._scale)
    trace = (q.precision_matrix @ p.covariance_matrix).diagonal(dim1=-2, dim2=-1).sum(-1)
    return (
        q.df * shift
        + multigammaln(0.5 * q.df, n)
        - multigammaln(0.5 * p.df, n)
        + 0.5 * (p.df - q.df) * multidigamma(0.5 * p.df, n)
        + 0.5 * p.df * (trace - n)
    )


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed_transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "kl_divergence: two transformed distributions need the same transforms and event shapes"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(LogNormal, LogNormal)
def _log_normal_log_normal(p: Any, q: Any) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent_independent(p: Any, q: Any) -> Tensor:
    n = p.reinterpreted_batch_ndims
    if n != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"kl_divergence: two Independent distributions need the same reinterpreted_batch_ndims, "
            f"got {n} and {q.reinterpreted_batch_ndims}"
        )
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), n)
