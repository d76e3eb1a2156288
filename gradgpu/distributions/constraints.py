"""What the parameters and the values of a distribution may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


class Constraint:
    """A set of values, and how to tell whether tensors lie in it.

    Args:
        name: what an error message calls it.
        holds: a function of a tensor; its result is a bool tensor.
        event_dim: how many dimensions at the right make one value.

    >>> import gradgpu as gg
    >>> gg.distributions.constraints.positive.check(gg.tensor([1., -1.]))
    tensor([ True, False])
    """

    def __init__(
        self, name: str, holds: Callable[[Tensor], Tensor], event_dim: int = 0, is_discrete: bool = False
    ):
        self.name, self.holds, self.event_dim, self.is_discrete = name, holds, event_dim, is_discrete

    def check(self, value: Any) -> Tensor:
        """A bool tensor of the shape of `value` without the last `event_dim` dimensions: whether each lies in the set."""
        return self.holds(value)

    def __repr__(self) -> str:
        return self.name


def _is_whole(value: Tensor) -> Any:
    return value.eq(value.floor() if value.is_floating_point() else value)


real = Constraint("real", lambda v: v.eq(v))
positive = Constraint("greater than 0", lambda v: v > 0)
nonnegative = Constraint("at least 0", lambda v: v >= 0)
unit_interval = Constraint("in the interval [0, 1]", lambda v: (v >= 0) & (v <= 1))
boolean = Constraint("0 or 1", lambda v: v.eq(0) | v.eq(1), is_discrete=True)
real_vector = Constraint("a vector of real numbers", lambda v: v.eq(v).all(-1), 1)
simplex = Constraint(
    "a vector of non-negative numbers of sum 1",
    lambda v: (v >= 0).all(-1) & ((v.sum(-1) - 1).abs() < 1e-6),
    1,
)
one_hot = Constraint(
    "a vector of zeros with a single 1", lambda v: (v.eq(0) | v.eq(1)).all(-1) & (v.sum(-1).eq(1)), 1, True
)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers in [lower_bound, upper_bound]; the bounds are numbers or tensors."""
    return Constraint(
        f"in the interval [{lower_bound}, {upper_bound}]", lambda v: (v >= lower_bound) & (v <= upper_bound)
    )


def integer_interval(lower_bound: int, upper_bound: int) -> Constraint:
    """Whole numbers from lower_bound to upper_bound, both included."""
    return Constraint(
        f"a whole number from {lower_bound} to {upper_bound}",
        lambda v: (v >= lower_bound) & (v <= upper_bound) & _is_whole(v),
        is_discrete=True,
    )


def independent(base: Constraint, ndims: int) -> Constraint:
    """`base` for every element along the last `ndims` dimensions."""

    def holds(value: Tensor) -> Tensor:
        found = base.check(value)
        return found.reshape((*found.shape[: found.ndim - ndims], -1)).all(-1) if ndims else found

    return Constraint(base.name, holds, base.event_dim + ndims, base.is_discrete)
