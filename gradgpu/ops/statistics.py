"""Statistics of data that are compositions of other operations: covariance, distance, histogram."""

from __future__ import annotations

from typing import Any

from .. import dtypes as dt
from ..tensor import Tensor
from .complex import conj
from .linalg import matmul
from .moments import norm
from .pointwise import where
from .registry import method
from .sort import bincount


@method
def cov(input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """The covariance matrix of the rows of `input` (variables, observations); of a vector or a number, its variance.

    Args:
        correction: the divisor is the number of observations less this.
        fweights: how many times each observation counts, an integer vector.
        aweights: the weight of each observation, a vector.

    Raises:
        RuntimeError: more than two dimensions, weights of another length, or negative weights.

    >>> import gradgpu as gg
    >>> gg.cov(gg.tensor([[0., 1., 2.], [2., 1., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions, got {input.ndim}")
    x = input.reshape((1, -1)) if input.ndim < 2 else input
    if x.dtype.category < dt.FLOAT:
        x = x.to(dt.get_default_dtype())
    n = x.shape[1]
    weights = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        if given.ndim != 1 or given.shape[0] != n:
            raise RuntimeError(f"cov(): expected {name} of shape ({n},), got {tuple(given.shape)}")
        if name == "fweights" and given.is_floating_point():
            raise RuntimeError("cov(): expected fweights to have an integral dtype")
        if n and bool((given < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
        weights = given.to(x.dtype) if weights is None else weights * given.to(x.dtype)
    if weights is None:
        centred = x - x.mean(1, keepdim=True)
        scaled, divisor = centred, n - correction
    else:
        total = weights.sum()
        centred = x - (x * weights).sum(1, keepdim=True) / total
        scaled = centred * weights
        if correction and aweights is not None:
            divisor = total - correction * (weights * aweights).sum() / total
        else:
            divisor = total - correction
    made = matmul(scaled, conj(centred).t()) / (
        divisor.clamp(min=0) if isinstance(divisor, Tensor) else max(divisor, 0)
    )
    return made if made.numel() != 1 else made.reshape(())


@method
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of `input - other`, broadcast together.

    >>> import gradgpu as gg
    >>> gg.dist(gg.tensor([3., 0.]), gg.tensor([0., 4.]))
    tensor(5.)
    """
    return norm(input - other, p)


@method
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal bins over [min, max], in the dtype of `input`.

    Elements outside and NaN are left out. If `min` and `max` are equal, the least and the greatest element are taken
    (the host waits for them on cuda).

    Raises:
        RuntimeError: an integer tensor, no bins, max below min, or bounds that are not finite.

    >>> import gradgpu as gg
    >>> gg.histc(gg.tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if not input.is_floating_point():
        raise RuntimeError(f"histc: expected a floating-point tensor, got {input.dtype}; use input.float()")
    if bins <= 0:
        raise RuntimeError(f"histc(): bins must be > 0, but got {bins}")
    x = input.detach().reshape(-1)
    low, high = float(min), float(max)
    if low == high and x.numel():
        low, high = x.min().item(), x.max().item()
    if low == high:
        low, high = low - 1, high + 1
    if not low < high:
        raise RuntimeError(
            f"histc(): max must be larger than min, and both finite, but got min={low}, max={high}"
        )
    if not (-float("inf") < low and high < float("inf")):
        raise RuntimeError(f"histc(): range of [{low}, {high}] is not finite")
    inside = (x >= low) & (x <= high)
    place = ((where(inside, x, low) - low) * (bins / (high - low))).to(dt.int64).clamp(max=bins - 1)
    # what lies outside goes to a bin of its own, which is dropped
    return bincount(where(inside, place, bins), minlength=bins + 1)[:bins].to(input.dtype)


__all__ = ["cov", "dist", "histc"]
