"""Spectral normalisation by a hook (Miyato et al., "Spectral normalization for GANs", 2018)."""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd.modes import no_grad
from ...ops.random import randn
from ...tensor import Tensor
from .. import functional as F
from ..layers.conv import ConvTranspose1d, ConvTranspose2d, _ConvNd
from ..module import Module
from ..parameter import Parameter
from .weight_norm import _hook_of

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]

M = TypeVar("M", bound=Module)


def output_dim(module: Module) -> int:
    """The dimension of a layer's weight that counts its outputs."""
    transposed = isinstance(module, (ConvTranspose1d, ConvTranspose2d)) or (
        isinstance(module, _ConvNd) and module.transposed
    )
    return 1 if transposed else 0


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix whose rows run over `dim`."""
    if dim:
        weight = weight.permute(dim, *[d for d in range(weight.ndim) if d != dim])
    return weight.reshape((weight.shape[0], -1))


def power_iteration(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float) -> tuple[Tensor, Tensor]:
    """Estimates of the first left and right singular vectors, improved by so many steps of the power method."""
    with no_grad():
        for _ in range(steps):
            u = F.normalize(matrix.mv(v), dim=0, eps=eps)
            v = F.normalize(matrix.t().mv(u), dim=0, eps=eps)
    return u, v


class SpectralNorm:
    """The hook that computes `name` from `name_orig` before each forward, and improves `name_u` and `name_v`."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight divided by the estimate uᵀ W v of its largest singular value."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                v_new = v
                u_new = u
                for _ in range(self.n_power_iterations):
                    v_new = F.normalize(matrix.t().mv(u_new), dim=0, eps=self.eps)
                    u_new = F.normalize(matrix.mv(v_new), dim=0, eps=self.eps)
                u.copy_(u_new)
                v.copy_(v_new)
            # The buffers may change before backward (a GAN calls its discriminator twice).
            u, v = u_new, v_new
        sigma = u.dot(matrix.mv(v))
        return weight / sigma

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divides a parameter by its spectral norm (largest singular value), estimated by the power method.

    In training mode each forward makes `n_power_iterations` steps. The old form;
    `nn.utils.parametrizations.spectral_norm` does the same by a parametrization.

    Args:
        module: the layer.
        name: its parameter; it becomes `name_orig`, with buffers `name_u` and `name_v`.
        n_power_iterations: steps a forward.
        eps: least norm to divide by.
        dim: the dimension of outputs: by default 0, and 1 for transposed convolutions.

    Raises:
        RuntimeError: the parameter is normalised already.

    >>> import gradgpu as gg
    >>> layer = gg.nn.utils.spectral_norm(gg.nn.Linear(20, 40))
    >>> layer.weight_u.shape
    gradgpu.Size([40])
    """
    if _hook_of(module, name, SpectralNorm) is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    with no_grad():
        rows, cols = as_matrix(weight, hook.dim).shape
        where: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        u = F.normalize(randn(rows, **where), dim=0, eps=eps)
        v = F.normalize(randn(cols, **where), dim=0, eps=eps)
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Makes `name` an ordinary parameter again, of the normalised value.

    Raises:
        ValueError: the parameter is not normalised.
    """
    found = _hook_of(module, name, SpectralNorm)
    if found is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    key, hook = found
    with no_grad():
        weight = hook.compute_weight(module, do_power_iteration=False)
    delattr(module, name)
    delattr(module, name + "_u")
    delattr(module, name + "_v")
    delattr(module, name + "_orig")
    module.register_parameter(name, Parameter(weight.detach()))
    del module._forward_pre_hooks[key]
    return module
