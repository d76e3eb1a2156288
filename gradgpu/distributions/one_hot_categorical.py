"""The categorical distribution with values as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn.functional import one_hot
from ..tensor import Tensor
from . import constraints
from .categorical import Categorical
from .distribution import Distribution


class OneHotCategorical(Distribution):
    """As `Categorical`, but a draw is a vector of K zeros with a single 1, of the parameters' dtype.

    >>> import gradgpu as gg
    >>> gg.distributions.OneHotCategorical(gg.tensor([0., 1.])).sample()
    tensor([0., 1.])
    """

    has_enumerate_support = True
    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def param_shape(self) -> Any:
        """The shape of probs and logits."""
        return self._categorical.param_shape

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The log-probabilities."""
        return self._categorical.logits

    @property
    def mean(self) -> Tensor:
        """`probs`."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The most probable vector."""
        return self._vectors(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        """probs (1 - probs)."""
        probs = self.probs
        return probs * (1 - probs)

    def _vectors(self, categories: Tensor) -> Tensor:
        return one_hot(categories, self._event_shape[0]).to(self._categorical._param.dtype)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> OneHotCategorical:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = self._bare(_instance)
        made._categorical = self._categorical.expand(batch_shape)
        return self._expanded(made, batch_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Vectors with a single 1."""
        return self._vectors(self._categorical.sample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability of the vector."""
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        """-Σ p log p."""
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The K vectors along dimension 0."""
        return self._vectors(self._categorical.enumerate_support(expand))

    def __repr__(self) -> str:
        return f"OneHotCategorical({self._categorical!r})"
