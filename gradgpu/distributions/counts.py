"""Distributions of counts: Poisson, binomial, multinomial, geometric, negative binomial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..autograd import no_grad
from ..dtypes import finfo
from ..nn.functional import binary_cross_entropy_with_logits, logsigmoid
from ..ops.creation import arange
from ..ops.elementary import xlogy
from ..ops.pointwise import where
from ..ops.random import rand
from ..tensor import Tensor
from . import constraints
from .bernoulli import one_of
from .categorical import Categorical
from .constraints import Constraint
from .distribution import Distribution, ExponentialFamily
from .draws import binomial, poisson, standard_gamma
from .utils import broadcast_all, probs_to_logits


class _ByProbs(Distribution):
    """What distributions by `probs` or `logits` = log(probs / (1 - probs)) share."""

    probs: Tensor
    logits: Tensor

    def __getattr__(self, name: str) -> Any:
        # the parameter that was not given, made when it is asked for
        if name == "probs" and "logits" in vars(self):
            return self.logits.sigmoid()
        if name == "logits" and "probs" in vars(self):
            return probs_to_logits(self.probs, is_binary=True)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _param(self) -> Tensor:
        return self.logits if "logits" in vars(self) else self.probs

    @property
    def param_shape(self) -> Any:
        """The shape of probs and logits."""
        return self._param.shape


class Poisson(ExponentialFamily):
    """The Poisson distribution of mean `rate`. Draws come from the host.

    >>> import gradgpu as gg
    >>> gg.distributions.Poisson(2.).log_prob(gg.tensor(0.))
    tensor(-2.)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    rate: Tensor

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`rate`."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The rate, rounded down."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        """`rate`."""
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Counts, in the dtype of the rate."""
        return poisson(self.rate.detach().expand(tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value: Any) -> Tensor:
        """value log rate - rate - log value!."""
        self._validate_sample(value)
        return xlogy(value, self.rate) - self.rate - (value + 1).lgamma()


class Geometric(_ByProbs):
    """Failures before the first success, each try succeeding with probability `probs`: (1 - p)ᵏ p for k = 0, 1, …

    >>> import gradgpu as gg
    >>> gg.distributions.Geometric(0.25).mean
    tensor(3.)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        one_of("Geometric", probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ValueError(f"Geometric: expected parameter probs to be greater than 0, got {self.probs}")

    @property
    def mean(self) -> Tensor:
        """1/p - 1."""
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.probs.detach() * 0

    @property
    def variance(self) -> Tensor:
        """(1/p - 1) / p."""
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """⌊log u / log(1 - p)⌋ with uniform u."""
        with no_grad():
            p = self.probs
            u = rand(*self._extended_shape(sample_shape), dtype=p.dtype, device=p.device)
            return (u.clamp(min=finfo(p.dtype).tiny).log() / (-p).log1p()).floor()

    def log_prob(self, value: Any) -> Tensor:
        """value log(1 - p) + log p."""
        self._validate_sample(value)
        p = self.probs
        return xlogy(value, 1 - p) + p.log()

    def entropy(self) -> Tensor:
        """That of one try, over p."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class Binomial(_ByProbs):
    """Successes in `total_count` tries, each of probability `probs`. Draws come from the host.

    >>> import gradgpu as gg
    >>> gg.distributions.Binomial(2, gg.tensor(0.5)).log_prob(gg.tensor(1.)).exp()
    tensor(0.5000)
    """

    has_enumerate_support = True
    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    total_count: Tensor

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        one_of("Binomial", probs, logits)
        given = logits if probs is None else probs
        total_count, given = broadcast_all(total_count, given)
        self.total_count = total_count.to(given.dtype)
        if probs is not None:
            self.probs = given
        else:
            self.logits = given
        super().__init__(given.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """0 … total_count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """(n + 1) p, rounded down, at most n."""
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        p = self.probs
        return self.total_count * p * (1 - p)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Counts, in the dtype of the parameters."""
        shape = tuple(self._extended_shape(sample_shape))
        return binomial(self.total_count.detach().expand(shape), self.probs.detach().expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of n! / (k! (n - k)!) pᵏ (1 - p)ⁿ⁻ᵏ."""
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        choose = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        # n log(1 + exp(logits)) without overflow
        return choose + value * logits - n * (logits.clamp(min=0) + (-logits.abs()).exp().log1p())

    def entropy(self) -> Tensor:
        """The sum over all counts; one total_count for all."""
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 … n along dimension 0.

        Raises:
            NotImplementedError: total_count differs within the batch.
        """
        n = int(self.total_count.max().item())
        if not bool(self.total_count.eq(n).all()):
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        like = self._param.detach()
        values = arange(n + 1, dtype=like.dtype, device=like.device).reshape((n + 1,) + (1,) * like.ndim)
        return values.expand((n + 1, *like.shape)) if expand else values


class NegativeBinomial(_ByProbs):
    """Successes (of probability `probs`) before `total_count` failures. Draws come from the host.

    >>> import gradgpu as gg
    >>> gg.distributions.NegativeBinomial(3., gg.tensor(0.25)).mean
    tensor(1.)
    """

    arg_constraints = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    total_count: Tensor

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        one_of("NegativeBinomial", probs, logits)
        given = logits if probs is None else probs
        total_count, given = broadcast_all(total_count, given)
        self.total_count = total_count.to(given.dtype)
        if probs is not None:
            self.probs = given
        else:
            self.logits = given
        super().__init__(given.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """r p / (1 - p)."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """(r - 1) p / (1 - p), rounded down, at least 0."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """r p / (1 - p)²."""
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Poisson draws whose rates are gamma draws."""
        with no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            return poisson(standard_gamma(self.total_count.expand(shape)) * self.logits.exp())

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of Γ(r + k) / (k! Γ(r)) (1 - p)ʳ pᵏ."""
        self._validate_sample(value)
        r, logits = self.total_count, self.logits
        weight = r * logsigmoid(-logits) + value * logsigmoid(logits)
        ways = (r + value).lgamma() - (value + 1).lgamma() - r.lgamma()
        return weight + where((r + value).eq(0), weight.new_zeros(()), ways)


class Multinomial(Distribution):
    """How often each of K categories comes up in `total_count` draws, by `probs` or `logits` as `Categorical`.

    >>> import gradgpu as gg
    >>> gg.distributions.Multinomial(4, gg.tensor([1., 1.])).mean
    tensor([2., 2.])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
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

    @property
    def param_shape(self) -> Any:
        """The shape of probs and logits."""
        return self._categorical.param_shape

    @property
    def support(self) -> Constraint:
        """Vectors of counts of sum total_count."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        p = self.probs
        return self.total_count * p * (1 - p)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Multinomial:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = self._bare(_instance)
        made.total_count, made._categorical = self.total_count, self._categorical.expand(batch_shape)
        return self._expanded(made, batch_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Counts, in the dtype of the parameters."""
        with no_grad():
            drawn = self._categorical.sample((*sample_shape, self.total_count))
            # The draws of one count along the last dimension.
            n = len(sample_shape)
            drawn = drawn.permute(*[d for d in range(drawn.ndim) if d != n], n)
            shape = tuple(self._extended_shape(sample_shape))
            like = self._categorical._param
            counts = like.new_zeros(shape)
            return (
                counts.scatter_add(-1, drawn, like.new_ones(tuple(drawn.shape)))
                if self.total_count
                else counts
            )

    def log_prob(self, value: Any) -> Tensor:
        """log n! - Σ log kᵢ! + Σ kᵢ log pᵢ."""
        self._validate_sample(value)
        logits = self.logits
        never = value.eq(0) & logits.detach().eq(-math.inf)
        terms = where(never, logits.new_zeros(()), logits) * value
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + terms.sum(-1)

    def entropy(self) -> Tensor:
        """n H(p) - log n! + Σᵢ Σ_k P(kᵢ = k) log k!."""
        n = self.total_count
        parts = Binomial(n, probs=self.probs, validate_args=False)
        counts = parts.enumerate_support(False)[1:]
        expected = (parts.log_prob(counts).exp() * (counts + 1).lgamma()).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + expected
