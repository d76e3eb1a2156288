"""Distributions of matrices, and of vectors by a covariance of low rank: LKJCholesky, Wishart, LowRankMultivariateNormal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import linalg
from ..dtypes import finfo
from ..ops.creation import arange, eye
from ..ops.random import randn
from ..ops.shape import broadcast_shapes
from ..special import multigammaln
from ..tensor import Tensor
from . import constraints
from .dirichlet import Beta
from .distribution import Distribution
from .gamma import Chi2
from .multivariate_normal import half_log_det, the_given
from .utils import broadcast_all


def multidigamma(x: Tensor, p: int) -> Tensor:
    """The derivative of log Γₚ: Σ digamma(x - i / 2) for i = 0 … p - 1."""
    return (x.unsqueeze(-1) - 0.5 * arange(p, dtype=x.dtype, device=x.device)).digamma().sum(-1)


class LKJCholesky(Distribution):
    """Cholesky factors of random correlation matrices: density of L Lᵀ ∝ det^(concentration - 1).

    All correlation matrices are as probable at concentration 1; larger ones favour the identity. Draws by the onion
    method (Lewandowski, Kurowicka & Joe, "Generating random correlation matrices based on vines and extended onion
    method", 2009).

    Args:
        dim: the matrices are (dim, dim), dim at least 2.
        concentration: positive; its shape is the batch's.

    Raises:
        ValueError: dim below 2, or a concentration that is not positive.

    >>> import gradgpu as gg
    >>> d = gg.distributions.LKJCholesky(2, gg.tensor(1.))
    >>> d.log_prob(gg.eye(2)).exp()
    tensor(0.5000)
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    concentration: Tensor

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)
        self._beta = self._lengths()

    def _lengths(self) -> Beta:
        """Of each row, the squared length of what lies below the diagonal."""
        c = self.concentration
        before = arange(self.dim, dtype=c.dtype, device=c.device) - 1
        before = before.clamp(min=0.0)
        rest = (c + 0.5 * (self.dim - 2)).unsqueeze(-1) - 0.5 * before
        return Beta(0.5 * before + 0.5, rest)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> LKJCholesky:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = self._bare(_instance)
        made.dim, made.concentration = self.dim, self.concentration.expand(batch_shape)
        made._beta = self._beta.expand((*batch_shape, self.dim))
        return self._expanded(made, batch_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Each row: a random direction below the diagonal, of random length; the diagonal makes it a unit vector."""
        y = self._beta.sample(sample_shape).detach().unsqueeze(-1)
        z = randn(*self._extended_shape(sample_shape), dtype=y.dtype, device=y.device).tril(-1)
        tiny = finfo(y.dtype).tiny
        length = z.square().sum(-1, keepdim=True).clamp(min=tiny).sqrt()  # of row 0, which is all zeros, too
        w = y.sqrt() * z / length
        diagonal = (1 - w.square().sum(-1)).clamp(min=tiny).sqrt()
        return w + diagonal.diag_embed()

    def log_prob(self, value: Any) -> Tensor:
        """Σ (2 (concentration - 1) + dim - i) log Lᵢᵢ for i = 2 … dim, less the logarithm of the normaliser."""
        self._validate_sample(value)
        c, n = self.concentration, self.dim
        diagonal = value.diagonal(dim1=-2, dim2=-1)[..., 1:]
        order = 2 * (c - 1).unsqueeze(-1) + n - arange(2, n + 1, dtype=c.dtype, device=c.device)
        alpha = c + 0.5 * (n - 1)
        normalizer = multigammaln(alpha - 0.5, n - 1) - alpha.lgamma() * (n - 1)
        return (order * diagonal.log()).sum(-1) - normalizer - 0.5 * (n - 1) * math.log(math.pi)


class Wishart(Distribution):
    """Positive definite matrices: Σ zᵢ zᵢᵀ of df normal vectors of covariance V, for real df > p - 1.

    Args:
        df: degrees of freedom.
        covariance_matrix: V, (…, p, p), positive definite; or
        precision_matrix: its inverse; or
        scale_tril: its Cholesky factor.

    Raises:
        ValueError: none or several of the matrices, a matrix that is none, df not above p - 1.

    >>> import gradgpu as gg
    >>> gg.distributions.Wishart(gg.tensor(3.), covariance_matrix=gg.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    has_rsample = True
    arg_constraints = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.greater_than(0),
    }
    support = constraints.positive_definite

    df: Tensor

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        name, matrix = the_given(
            covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril
        )
        if not isinstance(df, Tensor):
            df = matrix.new_tensor(float(df))
        p = matrix.shape[-1]
        batch = tuple(broadcast_shapes(matrix.shape[:-2], df.shape))
        self.df = df.expand(batch)
        if bool((self.df <= p - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {p - 1}.")
        vars(self)[name] = matrix = matrix.expand((*batch, p, p))
        super().__init__(batch, (p, p), validate_args)
        if name == "scale_tril":
            self._scale = matrix
        elif name == "covariance_matrix":
            self._scale = linalg.cholesky(matrix)
        else:
            self._scale = linalg.cholesky(linalg.inv(matrix))

    def __getattr__(self, name: str) -> Any:
        # the matrices that were not given, made when they are asked for
        if "_scale" in vars(self):
            lower = vars(self)["_scale"]
            if name == "scale_tril":
                return lower
            if name == "covariance_matrix":
                return lower @ lower.mT
            if name == "precision_matrix":
                return linalg.inv(lower @ lower.mT)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Wishart:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = super().expand(batch_shape, _instance)
        made._scale = self._scale.expand((*batch_shape, *self._event_shape))
        return made

    @property
    def _size(self) -> int:
        return self._event_shape[-1]

    @property
    def mean(self) -> Tensor:
        """df V."""
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """(df - p - 1) V; NaN where df < p + 1."""
        factor = self.df - self._size - 1
        factor = factor.masked_fill(factor <= 0, float("nan"))
        return factor[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        """df (Vᵢⱼ² + Vᵢᵢ Vⱼⱼ)."""
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v.square() + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Sequence[int] = (), max_try_correction: Any = None) -> Tensor:
        """L A Aᵀ Lᵀ with A by Bartlett (1933): normal below the diagonal, roots of χ² of df - i freedoms on it."""
        p, scale = self._size, self._scale
        freedoms = self.df.unsqueeze(-1) - arange(p, dtype=scale.dtype, device=scale.device)
        diagonal = Chi2(freedoms).rsample(sample_shape).clamp(min=finfo(scale.dtype).tiny).sqrt()
        z = randn(*self._extended_shape(sample_shape), dtype=scale.dtype, device=scale.device)
        factor = scale @ (z.tril(-1) + diagonal.diag_embed())
        return factor @ factor.mT

    def log_prob(self, value: Any) -> Tensor:
        """½ (df - p - 1) log |X| - ½ tr(V⁻¹ X) - ½ df log |2 V| - log Γₚ(df / 2)."""
        self._validate_sample(value)
        p, df = self._size, self.df
        trace = (self.precision_matrix @ value).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (
            0.5 * (df - p - 1) * linalg.slogdet(value).logabsdet
            - 0.5 * trace
            - df * (0.5 * p * math.log(2.0) + half_log_det(self._scale))
            - multigammaln(0.5 * df, p)
        )

    def entropy(self) -> Tensor:
        """(p + 1) Σ log Lᵢᵢ + ½ p (p + 1) log 2 + log Γₚ(df / 2) - ½ (df - p - 1) ψₚ(df / 2) + ½ df p."""
        p, df = self._size, self.df
        return (
            (p + 1) * (half_log_det(self._scale) + 0.5 * p * math.log(2.0))
            + multigammaln(0.5 * df, p)
            - 0.5 * (df - p - 1) * multidigamma(0.5 * df, p)
            + 0.5 * df * p
        )


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors with covariance W Wᵀ + D: (n, m) factors W, and a diagonal D.

    Densities cost O(n m²) by the matrix inversion and determinant lemmas, with the capacitance I + Wᵀ D⁻¹ W.

    Args:
        loc: (…, n). cov_factor: W, (…, n, m). cov_diag: the diagonal of D, (…, n), positive.

    Raises:
        ValueError: shapes that do not fit, a diagonal that is not positive.

    >>> import gradgpu as gg
    >>> d = gg.distributions.LowRankMultivariateNormal(gg.zeros(2), gg.tensor([[1.], [0.]]), gg.ones(2))
    >>> d.covariance_matrix
    tensor([[2., 0.],
            [0., 1.]])
    """

    has_rsample = True
    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector

    loc: Tensor
    cov_factor: Tensor
    cov_diag: Tensor

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None):
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = loc.shape[-1]
        if cov_factor.ndim < 2 or cov_factor.shape[-2] != n:
            raise ValueError(
                f"cov_factor must be a batch of matrices with shape (..., {n}, m), got {tuple(cov_factor.shape)}"
            )
        if cov_diag.ndim < 1 or cov_diag.shape[-1] != n:
            raise ValueError(
                f"cov_diag must be a batch of vectors with shape (..., {n}), got {tuple(cov_diag.shape)}"
            )
        batch = tuple(broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1]))
        self.loc = loc.expand((*batch, n))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        self.cov_diag = cov_diag.expand((*batch, n))
        super().__init__(batch, (n,), validate_args)

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
        return self.cov_factor.square().sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Tensor:
        """W Wᵀ + D."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance matrix."""
        return linalg.cholesky(self.covariance_matrix)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix, D⁻¹ - D⁻¹ W C⁻¹ Wᵀ D⁻¹."""
        weighted = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        part = linalg.solve_triangular(self._capacitance_tril, weighted, upper=False)
        return self.cov_diag.reciprocal().diag_embed() - part.mT @ part

    @property
    def _capacitance_tril(self) -> Tensor:
        w = self.cov_factor
        one = eye(w.shape[-1], dtype=w.dtype, device=w.device)
        return linalg.cholesky(one + w.mT @ (w / self.cov_diag.unsqueeze(-1)))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + W z + √D z' with standard normal z and z'."""
        shape, w = self._extended_shape(sample_shape), self.cov_factor
        few = randn(*shape[:-1], w.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        many = randn(*shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (w @ few.unsqueeze(-1)).squeeze(-1) + self.cov_diag.sqrt() * many

    def log_prob(self, value: Any) -> Tensor:
        """-½ (n log 2π + log |C| + log |D| + dᵀ D⁻¹ d - |C^-½ Wᵀ D⁻¹ d|²) with d = value - loc."""
        self._validate_sample(value)
        difference = value - self.loc
        weighted = difference / self.cov_diag
        lower = self._capacitance_tril
        inner = self.cov_factor.mT @ weighted.unsqueeze(-1)
        lower = lower.expand((*inner.shape[:-2], *lower.shape[-2:]))
        inner = linalg.solve_triangular(lower, inner, upper=False).squeeze(-1)
        distance = (difference * weighted).sum(-1) - inner.square().sum(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self._log_det() + distance)

    def _log_det(self) -> Tensor:
        return 2 * half_log_det(self._capacitance_tril) + self.cov_diag.log().sum(-1)

    def entropy(self) -> Tensor:
        """½ (n (1 + log 2π) + log |W Wᵀ + D|)."""
        return 0.5 * (self._event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_det())
