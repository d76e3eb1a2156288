"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..nn.functional import binary_cross_entropy_with_logits
from ..ops.pointwise import where
from ..ops.random import rand
from ..tensor import Tensor
from . import constraints
from .bernoulli import one_of
from .distribution import ExponentialFamily
from .utils import broadcast_all, clamp_probs, probs_to_logits


class ContinuousBernoulli(ExponentialFamily):
    """Numbers in [0, 1] of density C(p) pˣ (1 - p)¹⁻ˣ (Loaiza-Ganem & Cunningham, 2019), for instance pixels of a decoder.

    Args:
        probs: p, in (0, 1); or
        logits: log(p / (1 - p)).
        lims: between these values of p, where the formulas are 0 / 0 or near it, their Taylor series about ½ are used.

    Raises:
        ValueError: probabilities outside (0, 1), both or neither parameter, a value outside [0, 1].

    >>> import gradgpu as gg
    >>> gg.distributions.ContinuousBernoulli(gg.tensor([0.5, 0.9])).mean
    tensor([0.5000, 0.6699])
    """

    has_rsample = True
    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval

    probs: Tensor
    logits: Tensor

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ):
        one_of("ContinuousBernoulli", probs, logits)
        self._lims = lims
        if probs is not None:
            (probs,) = broadcast_all(probs)
            # Checked as given: clamping would hide what lies outside.
            if validate_args is not False and not bool(constraints.unit_interval.check(probs.detach()).all()):
                raise ValueError(
                    f"ContinuousBernoulli: expected parameter probs to be {constraints.unit_interval}"
                )
            self.probs = clamp_probs(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__((self.logits if probs is None else self.probs).shape, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        # the parameter that was not given, made when it is asked for
        if name == "probs" and "logits" in vars(self):
            return clamp_probs(self.logits.sigmoid())
        if name == "logits" and "probs" in vars(self):
            return probs_to_logits(self.probs, is_binary=True)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def param_shape(self) -> Any:
        """The shape of probs and logits."""
        return (self.logits if "logits" in vars(self) else self.probs).shape

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> ContinuousBernoulli:
        """The same distributions with parameters expanded to `batch_shape`."""
        made = super().expand(batch_shape, _instance)
        made._lims = self._lims
        return made

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Whether p is away from ½; p, where it is; and p - ½, where it is not."""
        p = self.probs
        apart = (p <= self._lims[0]) | (p > self._lims[1])
        return apart, where(apart, p, self._lims[0]), where(apart, 0.0, p - 0.5)

    @staticmethod
    def _twice_atanh(p: Tensor) -> Tensor:
        """2 atanh(1 - 2 p) = log((1 - p) / p)."""
        return (-p).log1p() - p.log()

    def _log_norm(self) -> Tensor:
        """log C(p), C = 2 atanh(1 - 2 p) / (1 - 2 p)."""
        apart, p, x = self._parts()
        exact = (self._twice_atanh(p) / (1 - 2 * p)).log()
        return where(apart, exact, math.log(2) + (4 / 3 + 104 / 45 * x * x) * x * x)

    @property
    def mean(self) -> Tensor:
        """p / (2 p - 1) + 1 / (2 atanh(1 - 2 p)); ½ at ½."""
        apart, p, x = self._parts()
        exact = p / (2 * p - 1) + 1 / self._twice_atanh(p)
        return where(apart, exact, 0.5 + (1 / 3 + 16 / 45 * x * x) * x)

    @property
    def variance(self) -> Tensor:
        """p (p - 1) / (1 - 2 p)² + 1 / (2 atanh(1 - 2 p))²; 1/12 at ½."""
        apart, p, x = self._parts()
        exact = p * (p - 1) / (1 - 2 * p).square() + 1 / self._twice_atanh(p).square()
        return where(apart, exact, 1 / 12 - (1 / 15 - 128 / 945 * x * x) * x * x)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws without a gradient."""
        return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The quantiles of uniform numbers."""
        p = self.probs
        return self.icdf(rand(*self._extended_shape(sample_shape), dtype=p.dtype, device=p.device))

    def log_prob(self, value: Any) -> Tensor:
        """value · log p + (1 - value) · log(1 - p) + log C(p)."""
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return self._log_norm() - binary_cross_entropy_with_logits(logits, value, reduction="none")

    def cdf(self, value: Any) -> Tensor:
        """(pˣ (1 - p)¹⁻ˣ + p - 1) / (2 p - 1); x at ½."""
        self._validate_sample(value)
        apart, p, _ = self._parts()
        found = (p**value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        return where(apart, found, value).clamp(0.0, 1.0)

    def icdf(self, value: Any) -> Tensor:
        """The inverse of `cdf`."""
        apart, p, _ = self._parts()
        low = (-p).log1p()
        return where(apart, ((-p + value * (2 * p - 1)).log1p() - low) / (p.log() - low), value)

    def entropy(self) -> Tensor:
        """-mean · log(p / (1 - p)) - log(1 - p) - log C(p)."""
        p = self.probs
        return self.mean * self._twice_atanh(p) - self._log_norm() - (-p).log1p()
