"""Batches of distributions read as one distribution of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .utils import _sum_rightmost


class Independent(Distribution):
    """The last `reinterpreted_batch_ndims` batch dimensions of `base_distribution` as event dimensions.

    `log_prob` and `entropy` are sums over them.

    Raises:
        ValueError: the base has fewer batch dimensions.

    >>> import gradgpu as gg
    >>> from gradgpu.distributions import Independent, Normal
    >>> Independent(Normal(gg.zeros(3), 1.), 1).log_prob(gg.zeros(3))
    tensor(-2.7568)
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ):
        batch, n = base_distribution.batch_shape, reinterpreted_batch_ndims
        if not 0 <= n <= len(batch):
            raise ValueError(
                f"Independent: expected reinterpreted_batch_ndims between 0 and the base's number of batch dimensions "
                f"{len(batch)}, got {n}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        event = (*batch[len(batch) - n :], *base_distribution.event_shape)
        super().__init__(batch[: len(batch) - n], event, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base has it."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Constraint:
        """That of the base, in every element."""
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Tensor:
        """That of the base."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """That of the base."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """That of the base."""
        return self.base_dist.variance

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Independent:
        """The base expanded to `batch_shape` and its own event dimensions."""
        event = self._event_shape[: self.reinterpreted_batch_ndims]
        made = self._bare(_instance)
        made.base_dist = self.base_dist.expand((*batch_shape, *event))
        made.reinterpreted_batch_ndims = self.reinterpreted_batch_ndims
        return self._expanded(made, batch_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of the base."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of the base, differentiable."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        """The sum of the base's over the event."""
        self._validate_sample(value)
        return _sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """The sum of the base's over the event."""
        return _sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"
