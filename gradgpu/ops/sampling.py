"""Draws of distributions that few programs ask for by themselves; `gradgpu.distributions` has more."""

from __future__ import annotations

import math

from .. import dtypes as dt
from ..random import Generator
from ..tensor import Tensor
from .pointwise import ceil, exp, log1p, tan
from .random import _overwrite, normal_, rand_like
from .reduce import require_floating, require_tensor
from .registry import method


@method
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills the tensor with numbers whose logarithms are normal with this mean and standard deviation.

    Raises:
        RuntimeError: `std` is not positive, or the dtype is not a floating-point one.

    >>> import gradgpu as gg
    >>> bool((gg.empty(3).log_normal_() > 0).all())
    True
    """
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    require_floating("log_normal_", self)
    drawn = normal_(self.detach().clone(), mean, std, generator=generator)
    return _overwrite("log_normal_", self, exp(drawn)._a)


@method
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills the tensor with Cauchy numbers: median + sigma · tan(π (u - ½)), u uniform.

    Raises:
        RuntimeError: `sigma` is not positive, or the dtype is not a floating-point one.

    >>> import gradgpu as gg
    >>> gg.empty(3).cauchy_().shape
    gradgpu.Size([3])
    """
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    require_floating("cauchy_", self)
    u = rand_like(self, generator=generator)
    return _overwrite("cauchy_", self, (tan((u - 0.5) * math.pi) * sigma + median)._a)


@method
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fills the tensor with the number of trials, each a success with probability `p`, up to the first success: 1, 2, …

    Raises:
        RuntimeError: `p` lies outside (0, 1), or a bool tensor.

    >>> import gradgpu as gg
    >>> bool((gg.empty(3).geometric_(0.5) >= 1).all())
    True
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    if self.dtype is dt.bool:
        raise RuntimeError("geometric_: not implemented for bool tensors; use bernoulli_")
    kind = dt.float64 if self.itemsize == 8 else dt.float32
    u = rand_like(self, dtype=kind, generator=generator)
    # P(N > n) = (1 - p)ⁿ: N is the least n with (1 - p)ⁿ ≤ 1 - u
    drawn = ceil(log1p(-u) / math.log1p(-p)).clamp(min=1)
    return _overwrite("geometric_", self, drawn.to(self.dtype)._a)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers with the rates in `input`, in its dtype; drawn on the host, whatever the device.

    Raises:
        RuntimeError: a negative rate, or a dtype that is not a floating-point one.

    >>> import gradgpu as gg
    >>> gg.poisson(gg.zeros(3))
    tensor([0., 0., 0.])
    """
    from ..distributions import draws

    require_floating("poisson", input)
    if bool((input < 0).any()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return draws.poisson(input.detach(), generator)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Binomial numbers of `count` trials with probability `prob`, of one shape; drawn on the host, whatever the device.

    Raises:
        RuntimeError: dtypes that differ or are not floating-point, or a `prob` outside [0, 1].

    >>> import gradgpu as gg
    >>> gg.binomial(gg.tensor([5., 3.]), gg.tensor([1., 0.]))
    tensor([5., 0.])
    """
    from ..distributions import draws

    for t in (count, prob):
        require_tensor("binomial", t)
    require_floating("binomial", prob)
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"binomial: expected count and prob of one dtype, got {count.dtype} and {prob.dtype}"
        )
    if bool(((prob < 0) | (prob > 1)).any()):
        raise RuntimeError("binomial: prob must lie in [0, 1]")
    return draws.binomial(count.detach(), prob.detach(), generator)


__all__ = ["binomial", "poisson"]
