"""The Bernoulli distribution, and what it shares with the categorical one: probs and logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import no_grad
from ..nn.functional import binary_cross_entropy_with_logits
from ..ops.random import bernoulli
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, probs_to_logits


def one_of(name: str, probs: Any, logits: Any) -> None:
    """Raises unless exactly one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError(f"{name}: either `probs` or `logits` must be specified, but not both")


class Bernoulli(Distribution):
    """1 with probability `probs`, else 0; or by `logits` = log(probs / (1 - probs)). Exactly one of the two is given.

    Raises:
        ValueError: probabilities outside [0, 1], both or neither parameter, a value other than 0 and 1.

    >>> import gradgpu as gg
    >>> gg.distributions.Bernoulli(gg.tensor([0.25])).log_prob(gg.tensor([1.])).exp()
    tensor([0.2500])
    """

    has_enumerate_support = True
    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean

    probs: Tensor
    logits: Tensor

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        one_of("Bernoulli", probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__((self.logits if probs is None else self.probs).shape, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        # the parameter that was not given, made when it is asked for
        if name == "probs" and "logits" in vars(self):
            return self.logits.sigmoid()
        if name == "logits" and "probs" in vars(self):
            return probs_to_logits(self.probs, is_binary=True)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def param_shape(self) -> Any:
        """The shape of probs and logits."""
        return (self.logits if "logits" in vars(self) else self.probs).shape

    @property
    def mean(self) -> Tensor:
        """`probs`."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """1 where probs > ½, else 0 (NaN where both are as probable)."""
        probs = self.probs.detach()
        return (probs > 0.5).to(probs.dtype).masked_fill(probs.eq(0.5), float("nan"))

    @property
    def variance(self) -> Tensor:
        """probs (1 - probs)."""
        probs = self.probs
        return probs * (1 - probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Zeros and ones, in the dtype of the parameters."""
        with no_grad():
            return bernoulli(self.probs.expand(tuple(self._extended_shape(sample_shape))).contiguous())

    def log_prob(self, value: Any) -> Tensor:
        """value · log probs + (1 - value) · log(1 - probs)."""
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self) -> Tensor:
        """-Σ p log p over both values."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 and 1 along dimension 0."""
        like = self.probs.detach()
        values = like.new_tensor([0.0, 1.0]).reshape((2,) + (1,) * like.ndim)
        return values.expand((2, *like.shape)) if expand else values
