"""The multivariate normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import linalg
from ..ops.creation import eye
from ..ops.random import randn
from ..ops.shape import broadcast_shapes
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .utils import lazy_property


def mahalanobis(scale_tril: Tensor, difference: Tensor) -> Tensor:
    """|L⁻¹ d|² of the last dimension, batches broadcast."""
    shape = tuple(broadcast_shapes(scale_tril.shape[:-2], difference.shape[:-1]))
    n = difference.shape[-1]
    wide = difference.expand((*shape, n)).unsqueeze(-1)
    lower = scale_tril.expand((*shape, n, n))
    return linalg.solve_triangular(lower, wide, upper=False).squeeze(-1).square().sum(-1)


def half_log_det(scale_tril: Tensor) -> Tensor:
    """Σ log Lᵢᵢ."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def the_given(**matrices: Tensor | None) -> tuple[str, Tensor]:
    """Name and value of the one matrix by which a distribution is given."""
    found = {name: m for name, m in matrices.items() if m is not None}
    if len(found) != 1:
        raise ValueError(f"Exactly one of {' or '.join(matrices)} may be specified.")
    ((name, matrix),) = found.items()
    if matrix.ndim < 2:
        raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
    return name, matrix


def _batch_mv(bmat: Tensor, bvec: Tensor) -> Tensor:
    """Products of matrices (…, n, n) and vectors (…, n), batches broadcast."""
    return linalg.matmul(bmat, bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL: Tensor, bx: Tensor) -> Tensor:
    """|L⁻¹ x|², under the name that distributions of one's own import."""
    return mahalanobis(bL, bx)


class MultivariateNormal(Distribution):
    """The normal distribution of vectors, by its mean and one of three matrices.

    Args:
        loc: (…, n).
        covariance_matrix: (…, n, n), positive definite; or
        precision_matrix: its inverse; or
        scale_tril: its Cholesky factor, lower triangular with a positive diagonal: the cheapest.

    The other matrices are computed from the Cholesky factor when they are asked for. Triangular systems are solved on the host.

    >>> import gradgpu as gg
    >>> d = gg.distributions.MultivariateNormal(gg.zeros(2), gg.eye(2))
    >>> d.log_prob(gg.zeros(2))
    tensor(-1.8379)
    """

    has_rsample = True
    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector

    loc: Tensor

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = the_given(
            covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril
        )
        batch = tuple(broadcast_shapes(matrix.shape[:-2], loc.shape[:-1]))
        self.loc = loc.expand((*batch, loc.shape[-1]))
        vars(self)[name] = matrix.expand((*batch, *matrix.shape[-2:]))
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = vars(self)[name]
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = linalg.cholesky(vars(self)[name])
        else:  # of the inverse: flip, factor, flip back, so that it is lower triangular
            flipped = linalg.cholesky(matrix.flip((-2, -1)))
            upper = flipped.flip((-2, -1)).mT
            one = eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
            lower = linalg.solve_triangular(upper, one.expand(upper.shape), upper=False)
            self._unbroadcasted_scale_tril = lower.expand((*batch, *lower.shape[-2:]))

    # The matrices that were not given, made when they are asked for.
    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance matrix."""
        return self._unbroadcasted_scale_tril.expand(
            (*self._batch_shape, *self._event_shape, *self._event_shape)
        )

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """L Lᵀ."""
        lower = self._unbroadcasted_scale_tril
        return (lower @ lower.mT).expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        return linalg.inv(self.covariance_matrix)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MultivariateNormal:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = super().expand(batch_shape, _instance)
        made._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril.expand(
            (*batch_shape, *self._unbroadcasted_scale_tril.shape[-2:])
        )
        return made

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
        """The diagonal of the covariance matrix."""
        return (
            self._unbroadcasted_scale_tril.square().sum(-1).expand((*self._batch_shape, *self._event_shape))
        )

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + L z with standard normal z."""
        z = randn(*self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self._unbroadcasted_scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Any) -> Tensor:
        """-½ |L⁻¹ (value - loc)|² - Σ log Lᵢᵢ - n/2 log 2π."""
        self._validate_sample(value)
        distance = mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - half_log_det(
            self._unbroadcasted_scale_tril
        )

    def entropy(self) -> Tensor:
        """n/2 (1 + log 2π) + Σ log Lᵢᵢ."""
        return half_log_det(self._unbroadcasted_scale_tril) + 0.5 * self._event_shape[0] * (
            1 + math.log(2 * math.pi)
        )
