"""The von Mises distribution of angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..ops.pointwise import where
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution
from .draws import von_mises
from .utils import broadcast_all

# Abramowitz & Stegun 9.8.1 to 9.8.4: polynomials for I₀ and I₁ below 3.75 and above.
_SMALL = (
    (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.360768e-1, 0.45813e-2),
    (0.5, 0.87890594, 0.51498869, 0.15084934, 0.2658733e-1, 0.301532e-2, 0.32411e-3),
)
_LARGE = (
    (
        0.39894228, 0.1328592e-1, 0.225319e-2, -0.157565e-2, 0.916281e-2, -0.2057706e-1, 0.2635537e-1, -0.1647633e-1,
        0.392377e-2,
    ),
    (
        0.39894228, -0.3988024e-1, -0.362018e-2, 0.163801e-2, -0.1031555e-1, 0.2282967e-1, -0.2895312e-1, 0.1787654e-1,
        -0.420059e-2,
    ),
)  # fmt: skip


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    made: Any = coefficients[-1]
    for c in coefficients[-2::-1]:
        made = made * x + c
    return made


def _log_bessel(x: Tensor, order: int) -> Tensor:
    """The logarithm of the modified Bessel function I₀ or I₁ at x > 0."""
    low = x.clamp(max=3.75)
    small = _polynomial((low / 3.75).square(), _SMALL[order]).log()
    if order == 1:
        small = small + low.log()
    high = x.clamp(min=3.75)
    large = high - 0.5 * high.log() + _polynomial(3.75 / high, _LARGE[order]).log()
    return where(x.detach() < 3.75, small, large)


class VonMises(Distribution):
    """The von Mises distribution of angles in [-π, π): density exp(k cos(x - loc)) / (2π I₀(k)). Draws come from the host.

    >>> import gradgpu as gg
    >>> gg.distributions.VonMises(1., 4.).mean
    tensor(1.)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    loc: Tensor
    concentration: Tensor

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`, the circular mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """1 - I₁(k) / I₀(k), the circular variance."""
        k = self.concentration
        return 1 - (_log_bessel(k, 1) - _log_bessel(k, 0)).exp()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Angles in [-π, π)."""
        shape = tuple(self._extended_shape(sample_shape))
        return von_mises(self.loc.detach().expand(shape), self.concentration.detach().expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """k cos(value - loc) - log 2π - log I₀(k)."""
        self._validate_sample(value)
        k = self.concentration
        return k * (value - self.loc).cos() - math.log(2 * math.pi) - _log_bessel(k, 0)
