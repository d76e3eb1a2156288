"""Kullback-Leibler divergences in closed form, in a registry by the types of both distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ..ops.pointwise import where
from ..tensor import Tensor
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import Distribution
from .exponential import Exponential
from .independent import Independent, sum_rightmost
from .laplace import Laplace
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .uniform import Uniform

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
        if not (isinstance(t, type) and issubclass(t, Distribution)):
            raise TypeError(f"register_kl: expected subclasses of Distribution, got {t!r}")

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


@register_kl(Independent, Independent)
def _independent_independent(p: Any, q: Any) -> Tensor:
    n = p.reinterpreted_batch_ndims
    if n != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"kl_divergence: two Independent distributions need the same reinterpreted_batch_ndims, "
            f"got {n} and {q.reinterpreted_batch_ndims}"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), n)
