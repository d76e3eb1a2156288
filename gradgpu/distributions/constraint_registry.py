"""Transforms from unconstrained numbers to those a constraint allows: `biject_to` and `transform_to`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints
from .constraints import Constraint
from .transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    SigmoidTransform,
    SoftmaxTransform,
    StickBreakingTransform,
    Transform,
    identity_transform,
)

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """From a constraint, by its kind, to a transform whose values it holds for.

    >>> import gradgpu as gg
    >>> from gradgpu.distributions import constraints, transform_to
    >>> transform_to(constraints.positive)(gg.tensor(0.))
    tensor(1.)
    """

    def __init__(self) -> None:
        self._factories: dict[str, Callable[[Constraint], Transform]] = {}

    def register(
        self, constraint: Constraint, factory: Callable[[Constraint], Transform] | None = None
    ) -> Any:
        """Registers a function of the constraint for its kind; also a decorator."""
        if factory is None:
            return lambda f: self.register(constraint, f)
        if not isinstance(constraint, Constraint):
            raise TypeError(f"Expected constraint to be a Constraint, but got {constraint!r}")
        self._factories[constraint.kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        """The transform.

        Raises:
            NotImplementedError: none is registered.
        """
        if constraint.kind == "independent":
            base = self(constraint.base)  # type: ignore[arg-type]
            return IndependentTransform(base, constraint.event_dim - constraint.base.event_dim)  # type: ignore[union-attr]
        factory = self._factories.get(constraint.kind)
        if factory is None:
            raise NotImplementedError(f"Cannot transform {constraint!r} constraints")
        return factory(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _above(constraint: Constraint) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.lower_bound, 1)])


def _below(constraint: Constraint) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1)])


def _between(constraint: Constraint) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, (int, float)) and (low, high) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


for _registry in (biject_to, transform_to):
    for _constraint in (constraints.real, constraints.real_vector):
        _registry.register(_constraint, lambda c: identity_transform)
    for _constraint in (constraints.positive, constraints.nonnegative):
        _registry.register(_constraint, lambda c: ExpTransform())
    for _constraint in (constraints.greater_than(0), constraints.greater_than_eq(0)):
        _registry.register(_constraint, _above)
    _registry.register(constraints.less_than(0), _below)
    for _constraint in (
        constraints.unit_interval,
        constraints.interval(0, 1),
        constraints.half_open_interval(0, 1),
    ):
        _registry.register(_constraint, _between)
biject_to.register(constraints.simplex, lambda c: StickBreakingTransform())
transform_to.register(constraints.lower_cholesky, lambda c: LowerCholeskyTransform())
transform_to.register(constraints.simplex, lambda c: SoftmaxTransform())
