"""Ready parametrizations: weight norm, spectral norm, orthogonal matrices."""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd.modes import no_grad
from ...ops.creation import eye, from_numpy, zeros
from ...ops.join import cat
from ...ops.random import randn
from ...tensor import Tensor
from .. import functional as F
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import as_matrix, output_dim, power_iteration
from .weight_norm import norm_except_dim

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class _WeightNorm(Module):
    """weight = original0 · original1 / ‖original1‖."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Parametrizes `name` by a size (`parametrizations.name.original0`) and a direction (`original1`).

    State dicts of the old form (`nn.utils.weight_norm`) load.

    Args:
        module: the layer.
        name: its parameter.
        dim: the dimension over which sizes differ, None for one size of the whole tensor.

    >>> import gradgpu as gg
    >>> layer = gg.nn.utils.parametrizations.weight_norm(gg.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    gradgpu.Size([40, 1])
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def old_names(module: Module, state_dict: Any, prefix: str, *others: Any) -> None:
        for old, new in (("_g", "original0"), ("_v", "original1")):
            if f"{prefix}{name}{old}" in state_dict:
                state_dict[f"{prefix}parametrizations.{name}.{new}"] = state_dict.pop(f"{prefix}{name}{old}")

    module.register_load_state_dict_pre_hook(old_names)
    return module


class _SpectralNorm(Module):
    """weight / (uᵀ W v), u and v improved by the power method at each reading in training mode."""

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            with no_grad():
                matrix = as_matrix(weight, self.dim)
                rows, cols = matrix.shape
                where: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
                u = F.normalize(randn(rows, **where), dim=0, eps=eps)
                v = F.normalize(randn(cols, **where), dim=0, eps=eps)
                u, v = power_iteration(matrix, u, v, 15, eps)  # a good start, as in PyTorch
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        u, v = self._u, self._v
        if self.training:
            u, v = power_iteration(matrix, u, v, self.n_power_iterations, self.eps)
            with no_grad():
                self._u.copy_(u)
                self._v.copy_(v)
        else:
            u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value  # assigned as it is; the next reading divides by its norm


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Parametrizes `name` as weight / σ(weight), σ being the largest singular value (Miyato et al., 2018).

    Args:
        module: the layer.
        name: its parameter.
        n_power_iterations: steps of the power method at each reading in training mode.
        eps: least norm to divide by.
        dim: the dimension of outputs: by default 0, and 1 for transposed convolutions.

    >>> import gradgpu as gg
    >>> layer = gg.nn.utils.parametrizations.spectral_norm(gg.nn.Linear(20, 40))
    >>> abs(gg.linalg.matrix_norm(layer.weight, 2).item() - 1) < 0.1
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = output_dim(module) if dim is None else dim
    register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


def _orthogonalized(matrix: Tensor) -> Tensor:
    """The Q of matrix = Q R with a positive diagonal of R."""
    from ...linalg import qr

    q, r = qr(matrix, mode="complete")
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


def _is_orthogonal(q: Tensor) -> bool:
    from ...dtypes import finfo

    k = q.shape[-1]
    error = q.transpose(-2, -1) @ q - eye(k, dtype=q.dtype, device=q.device)
    return bool((error.abs() <= 10 * k * finfo(q.dtype).eps).all())


def _reflections(a: Tensor) -> Tensor:
    """The first k columns of the product of the k Householder reflections I - τ v vᵀ, v the columns of the unit lower
    triangular `a` (whose diagonal and upper part are not read)."""
    n, k = a.shape[-2], a.shape[-1]
    strict = a.tril(-1)
    vectors = strict + eye(n, k, dtype=a.dtype, device=a.device)
    tau = 2.0 / (1.0 + (strict * strict).sum(-2))
    q = eye(n, k, dtype=a.dtype, device=a.device).expand(a.shape)
    for i in reversed(range(k)):
        v = vectors[..., i : i + 1]
        q = q - tau[..., i : i + 1].unsqueeze(-1) * (v @ (v.transpose(-2, -1) @ q))
    return q


def _geqrf_with_signs(q: Tensor) -> Tensor:
    """Householder vectors of q below the diagonal, and on it ±1: what `_Orthogonal` turns back into an orthogonal q."""
    import numpy as np

    values = q.detach().cpu().numpy()
    made = np.empty_like(values)
    for at in np.ndindex(*values.shape[:-2]):
        h, tau = np.linalg.qr(values[at], mode="raw")  # LAPACK's geqrf, transposed
        a = h.T.copy()
        diagonal = np.sign(np.diagonal(a))
        np.fill_diagonal(a, np.where(tau == 0, -diagonal, diagonal))
        made[at] = a
    return from_numpy(made).to(device=q.device)


class _Orthogonal(Module):
    """An orthogonal matrix from a matrix of free numbers (Lezcano-Casado, "Trivializations…", 2019)."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = tuple(weight.shape), orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        from ... import linalg

        n, k = x.shape[-2:]
        transposed = n < k
        if transposed:
            x, n, k = x.transpose(-2, -1), k, n
        if self.orthogonal_map == "householder":
            q = _reflections(x)
            # The diagonal holds signs, which are not learned.
            q = q * x.detach().diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        else:
            a = x.tril()
            if n != k:
                a = cat([a, zeros(*x.shape[:-1], n - k, dtype=x.dtype, device=x.device)], -1)
            a = a - a.transpose(-2, -1)
            if self.orthogonal_map == "matrix_exp":
                q = linalg.matrix_exp(a)
            else:
                one = eye(n, dtype=x.dtype, device=x.device)
                q = linalg.solve(one - a * 0.5, one + a * 0.5)
            if n != k:
                q = q[..., :k]
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.transpose(-2, -1) if transposed else q

    def right_inverse(self, q: Tensor) -> Tensor:
        if tuple(q.shape) != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {tuple(q.shape)}."
            )
        given = q
        n, k = q.shape[-2:]
        transposed = n < k
        if transposed:
            q, n, k = q.transpose(-2, -1), k, n
        if not self.use_trivialization:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            a = _geqrf_with_signs(q)
            return a.transpose(-2, -1).contiguous() if transposed else a
        with no_grad():
            if n != k:  # the other columns of a square orthogonal matrix
                more = randn(*q.shape[:-1], n - k, dtype=q.dtype, device=q.device)
                q = _orthogonalized(cat([q, more], -1))
            else:
                q = q.clone() if _is_orthogonal(q) else _orthogonalized(q)
            self.base = q
            # Each map gives the identity for -1 on the diagonal and 0 elsewhere.
            return (
                -eye(*given.shape[-2:], dtype=given.dtype, device=given.device)
                .expand(given.shape)
                .contiguous()
            )


def orthogonal(
    module: M, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> M:
    """Parametrizes a matrix (or a batch of them) so that it stays orthogonal, or has orthonormal rows or columns.

    Args:
        module: the layer.
        name: its parameter, of two dimensions or more.
        orthogonal_map: 'matrix_exp' or 'cayley' of a skew-symmetric matrix, or 'householder' reflections; by default the
            first for square matrices, else the last.
        use_trivialization: multiply by a fixed orthogonal matrix, so that the parametrization starts at the weight (made
            orthogonal) and `module.weight = q` works.

    Raises:
        ValueError: no such parameter, fewer than two dimensions, or an unknown map.

    >>> import gradgpu as gg
    >>> layer = gg.nn.utils.parametrizations.orthogonal(gg.nn.Linear(3, 2))
    >>> gg.testing.assert_close(layer.weight @ layer.weight.t(), gg.eye(2))
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    register_parametrization(
        module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True
    )
    return module
