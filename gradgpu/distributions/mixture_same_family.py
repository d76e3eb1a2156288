"""Mixtures of distributions of one family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import no_grad
from ..tensor import Tensor
from . import constraints
from .categorical import Categorical
from .constraints import Constraint
from .distribution import Distribution


class MixtureSameFamily(Distribution):
    """One of K components, chosen by a categorical distribution.

    Args:
        mixture_distribution: `Categorical` of K categories.
        component_distribution: its last batch dimension, of size K, runs over the components.

    >>> import gradgpu as gg
    >>> from gradgpu.distributions import Categorical, MixtureSameFamily, Normal
    >>> MixtureSameFamily(Categorical(gg.ones(2)), Normal(gg.tensor([-1., 3.]), 1.)).mean
    tensor(1.)
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an instance of distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of distributions.Distribution"
            )
        batch = component_distribution.batch_shape[:-1]
        for a, b in zip(reversed(mixture_distribution.batch_shape), reversed(batch)):
            if a != 1 and b != 1 and a != b:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({tuple(mixture_distribution.batch_shape)}) is not compatible with "
                    f"`component_distribution.batch_shape` ({tuple(component_distribution.batch_shape)})"
                )
        k = component_distribution.batch_shape[-1]
        if mixture_distribution._num_events != k:
            raise ValueError(
                f"`mixture_distribution component` ({mixture_distribution._num_events}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({k})"
            )
        self._mixture_distribution, self._component_distribution = (
            mixture_distribution,
            component_distribution,
        )
        self._num_component = k
        super().__init__(batch, component_distribution.event_shape, validate_args=validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """What chooses the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    @property
    def support(self) -> Constraint:
        """That of the components."""
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MixtureSameFamily:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = self._bare(_instance)
        made._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        made._component_distribution = self._component_distribution.expand(
            (*batch_shape, self._num_component)
        )
        made._num_component = self._num_component
        return self._expanded(made, batch_shape)

    def _weights(self) -> Tensor:
        """The probabilities of the components, with dimensions of size 1 for the event."""
        probs = self._mixture_distribution.probs
        return probs.reshape((*probs.shape, *(1,) * len(self._event_shape)))

    def _mix(self, values: Tensor) -> Tensor:
        return (self._weights() * values).sum(-1 - len(self._event_shape))

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the components' means."""
        return self._mix(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The weighted mean of the variances, and the variance of the means."""
        means = self._component_distribution.mean
        apart = means - self.mean.unsqueeze(-1 - len(self._event_shape))
        return self._mix(self._component_distribution.variance) + self._mix(apart.square())

    def _for_each(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - len(self._event_shape))

    def cdf(self, x: Any) -> Tensor:
        """The weighted mean of the components' (of numbers, not vectors)."""
        found = self._component_distribution.cdf(self._for_each(x))
        return (found * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Any) -> Tensor:
        """log Σ_k p_k p(x | k)."""
        self._validate_sample(x)
        found = self._component_distribution.log_prob(self._for_each(x))
        return (found + self._mixture_distribution.logits).logsumexp(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A draw of every component, of which one is taken."""
        with no_grad():
            event = len(self._event_shape)
            every = self._component_distribution.sample(sample_shape)
            chosen = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            index = chosen.reshape((*chosen.shape, 1, *(1,) * event))
            at = every.ndim - 1 - event
            index = index.expand((*every.shape[:at], 1, *every.shape[at + 1 :]))
            return every.gather(at, index).squeeze(at)
