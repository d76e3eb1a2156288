"""The Laplace distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..dtypes import finfo
from ..ops.pointwise import expm1, log1p
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all


class Laplace(Distribution):
    """The Laplace distribution: density exp(-|x - loc| / scale) / (2 scale).

    Raises:
        ValueError: a scale that is not positive.

    >>> import gradgpu as gg
    >>> gg.distributions.Laplace(0., 1.).log_prob(gg.tensor(0.))
    tensor(-0.6931)
    """

    has_rsample = True
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2 scale²."""
        return self.scale * self.scale * 2

    @property
    def stddev(self) -> Tensor:
        """√2 · scale."""
        return self.scale * math.sqrt(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The quantile function at a uniform number."""
        shape = tuple(self._extended_shape(sample_shape))
        # ε - 1 as the lowest: log1p(-|u|) stays finite
        u = self.loc.new_empty(shape).uniform_(finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * log1p(-u.abs())

    def log_prob(self, value: Any) -> Tensor:
        """-|value - loc| / scale - log(2 scale)."""
        self._validate_sample(value)
        return -(self.scale * 2).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Any) -> Tensor:
        """½ exp((value - loc) / scale) below loc, one minus its mirror image above."""
        self._validate_sample(value)
        distance = value - self.loc
        return 0.5 - 0.5 * distance.sign() * expm1(-distance.abs() / self.scale)

    def icdf(self, value: Any) -> Tensor:
        """loc - scale · sign(value - ½) · log(1 - 2 |value - ½|)."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        """1 + log(2 scale)."""
        return (self.scale * 2).log() + 1
