"""Weight normalisation by a hook (Salimans & Kingma, "Weight normalization", 2016)."""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd.modes import no_grad
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter

__all__ = ["WeightNorm", "norm_except_dim", "remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def norm_except_dim(v: Tensor, dim: int | None = 0) -> Tensor:
    """The 2-norm of `v` over all dimensions but `dim`, which stay with size 1; dim None or -1: over all, 0-dim.

    >>> import gradgpu as gg
    >>> norm_except_dim(gg.tensor([[3., 4.], [6., 8.]]))
    tensor([[ 5.],
            [10.]])
    """
    if dim is None or dim == -1:
        return v.norm()
    dim %= v.ndim
    others = tuple(d for d in range(v.ndim) if d != dim)
    return v.norm(2, others, keepdim=True) if others else v.abs()


class WeightNorm:
    """The hook that computes `name` from `name_g` and `name_v` before each forward."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, dim

    def compute_weight(self, module: Module) -> Tensor:
        """v · (g / ‖v‖)."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / norm_except_dim(v, self.dim))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def _hook_of(module: Module, name: str, kind: type) -> tuple[int, Any] | None:
    """The forward pre-hook of this kind for this parameter, with its key."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and getattr(hook, "name", None) == name:
            return key, hook
    return None


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replaces the parameter `name` by a size `name_g` and a direction `name_v`: weight = g · v / ‖v‖.

    The old form; `nn.utils.parametrizations.weight_norm` does the same by a parametrization.

    Args:
        module: the layer.
        name: its parameter.
        dim: the dimension over which sizes differ, None for one size of the whole tensor.

    Raises:
        RuntimeError: the parameter is normalised already.

    >>> import gradgpu as gg
    >>> layer = gg.nn.utils.weight_norm(gg.nn.Linear(20, 40))
    >>> layer.weight_g.shape, layer.weight_v.shape
    (gradgpu.Size([40, 1]), gradgpu.Size([40, 20]))
    """
    if _hook_of(module, name, WeightNorm) is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, dim).detach()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Makes `name` an ordinary parameter again, of the value it has.

    Raises:
        ValueError: the parameter is not normalised.
    """
    found = _hook_of(module, name, WeightNorm)
    if found is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    key, hook = found
    with no_grad():
        weight = hook.compute_weight(module)
    delattr(module, name)
    del module._parameters[name + "_g"], module._parameters[name + "_v"]
    setattr(module, name, Parameter(weight))
    del module._forward_pre_hooks[key]
    return module
