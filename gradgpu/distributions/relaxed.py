"""Continuous relaxations of discrete distributions, with differentiable draws (Maddison et al., 2017; Jang et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..dtypes import finfo
from ..ops.random import rand
from ..tensor import Tensor
from . import constraints
from .bernoulli import one_of
from .categorical import Categorical
from .counts import _ByProbs
from .distribution import Distribution
from .one_hot_categorical import OneHotCategorical
from .transformed_distribution import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_all


def _as_temperature(temperature: Any, like: Tensor) -> Tensor:
    return temperature if isinstance(temperature, Tensor) else like.new_tensor(float(temperature))


class LogitRelaxedBernoulli(_ByProbs):
    """The logits of `RelaxedBernoulli`: (logit(u) + logits) / temperature with uniform u."""

    has_rsample = True
    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        one_of("LogitRelaxedBernoulli", probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        self.temperature = _as_temperature(temperature, self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> LogitRelaxedBernoulli:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = super().expand(batch_shape, _instance)
        made.temperature = self.temperature
        return made

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Logits of relaxed draws."""
        like = self._param
        eps = finfo(like.dtype).eps
        u = rand(*self._extended_shape(sample_shape), dtype=like.dtype, device=like.device)
        u = u.clamp(min=eps, max=1 - eps)
        return (u.log() - (-u).log1p() + self.logits) / self.temperature

    def log_prob(self, value: Any) -> Tensor:
        """log t + d - 2 log(1 + exp d) with d = logits - t · value."""
        self._validate_sample(value)
        difference = self.logits - value * self.temperature
        softplus = difference.clamp(min=0) + (-difference.abs()).exp().log1p()
        return self.temperature.log() + difference - 2 * softplus


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that are near 0 or 1 at low temperatures, by `probs` or `logits`.

    >>> import gradgpu as gg
    >>> d = gg.distributions.RelaxedBernoulli(gg.tensor(0.5), gg.tensor([0.1, 0.9]))
    >>> d.rsample().shape
    gradgpu.Size([2])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """log(probs / (1 - probs))."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probability of a draw above ½."""
        return self.base_dist.probs


class ExpRelaxedCategorical(Distribution):
    """The logarithms of `RelaxedOneHotCategorical`."""

    has_rsample = True
    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        self._categorical = Categorical(probs, logits, validate_args)
        self.temperature = _as_temperature(temperature, self._categorical._param)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The log-probabilities."""
        return self._categorical.logits

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> ExpRelaxedCategorical:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = self._bare(_instance)
        made._categorical, made.temperature = self._categorical.expand(batch_shape), self.temperature
        return self._expanded(made, batch_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """log-softmax of (logits + Gumbel noise) / temperature."""
        like = self._categorical._param
        e = like.detach().new_empty(tuple(self._extended_shape(sample_shape))).exponential_()
        gumbel = -e.clamp(min=finfo(like.dtype).tiny).log()
        return ((self.logits + gumbel) / self.temperature).log_softmax(-1)

    def log_prob(self, value: Any) -> Tensor:
        """log Γ(K) + (K - 1) log t + Σ (s - logsumexp s) with s = logits - t · value."""
        k = self._event_shape[0]
        self._validate_sample(value)
        scores = self.logits - value * self.temperature
        total = (scores - scores.logsumexp(-1, keepdim=True)).sum(-1)
        return total + math.lgamma(k) + (k - 1) * self.temperature.log()


class RelaxedOneHotCategorical(TransformedDistribution):
    """Vectors on the simplex that are near its corners at low temperatures, by `probs` or `logits`.

    >>> import gradgpu as gg
    >>> d = gg.distributions.RelaxedOneHotCategorical(gg.tensor(0.5), gg.ones(3))
    >>> abs(d.rsample().sum().item() - 1) < 1e-5
    True
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log-probabilities."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities that a category's number is the largest."""
        return self.base_dist.probs


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose `rsample` has the gradient of the probabilities (Bengio et al., 2013).

    >>> import gradgpu as gg
    >>> gg.distributions.OneHotCategoricalStraightThrough(gg.tensor([0., 1.])).rsample()
    tensor([0., 1.])
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A draw, plus probs less their value."""
        probs = self.probs
        return self.sample(sample_shape) + (probs - probs.detach())
