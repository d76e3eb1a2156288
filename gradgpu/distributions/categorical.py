"""The categorical distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import no_grad
from ..dtypes import finfo, int64
from ..ops.creation import arange
from ..ops.random import multinomial
from ..ops.shape import broadcast_shapes
from ..ops.softmax import softmax
from ..tensor import Tensor
from . import constraints
from .bernoulli import one_of
from .constraints import Constraint
from .distribution import Distribution
from .utils import probs_to_logits


class Categorical(Distribution):
    """A category 0 … K - 1 by `probs` (non-negative weights, divided by their sum) or by `logits` (unnormalised).

    The last dimension of the parameter, of size K, runs over the categories; the others are the batch. `logits`
    is afterwards normalised: log-probabilities.

    Raises:
        ValueError: both or neither parameter, a 0-dim parameter, negative probs, a value that is no category.

    >>> import gradgpu as gg
    >>> gg.distributions.Categorical(gg.tensor([1., 3.])).probs
    tensor([0.2500, 0.7500])
    """

    has_enumerate_support = True
    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    probs: Tensor
    logits: Tensor

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        name = type(self).__name__
        one_of(name, probs, logits)
        parameter = logits if probs is None else probs
        if not isinstance(parameter, Tensor) or parameter.ndim < 1:
            raise ValueError(
                f"{name}: `{'logits' if probs is None else 'probs'}` must be a Tensor of at least one dimension, got {parameter!r}"
            )
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        super().__init__(parameter.shape[:-1], validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        # the parameter that was not given, made when it is asked for
        if name == "probs" and "logits" in vars(self):
            return softmax(self.logits, -1)
        if name == "logits" and "probs" in vars(self):
            return probs_to_logits(self.probs)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _param(self) -> Tensor:
        return self.logits if "logits" in vars(self) else self.probs

    @property
    def param_shape(self) -> Any:
        """The shape of probs and logits."""
        return self._param.shape

    @property
    def _num_events(self) -> int:
        return self._param.shape[-1]

    @property
    def support(self) -> Constraint:
        """0 … K - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """NaN: categories have no mean."""
        return self._param.new_full(tuple(self.batch_shape), float("nan"))

    @property
    def variance(self) -> Tensor:
        """NaN: categories have no variance."""
        return self.mean

    @property
    def mode(self) -> Tensor:
        """The most probable category."""
        return self._param.argmax(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Categories, int64."""
        shape = (*sample_shape, *self.batch_shape)
        draws = 1
        for n in sample_shape:
            draws *= n
        with no_grad():
            rows = self.probs.reshape((-1, self._num_events))
            if not draws or not rows.shape[0]:
                return self._param.new_empty(shape, dtype=int64)
            return multinomial(rows, draws, True).t().reshape(shape)

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability of each category in `value` (whole numbers of any dtype)."""
        self._validate_sample(value)
        logits, index = self.logits, value.to(int64)
        if index.shape != self.batch_shape:
            shape = tuple(broadcast_shapes(index.shape, self.batch_shape))
            logits, index = logits.expand((*shape, self._num_events)), index.expand(shape)
        return logits.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """-Σ p log p, with 0 for categories of probability 0."""
        logits = self.logits
        return -(logits.clamp(min=finfo(logits.dtype).min) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 … K - 1 along dimension 0."""
        n = self._num_events
        values = arange(n, device=self._param.device).reshape((n,) + (1,) * len(self.batch_shape))
        return values.expand((n, *self.batch_shape)) if expand else values
