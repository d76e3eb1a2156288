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
        is_discrete: whether it holds single points.
        kind: the family it belongs to, for `transform_to`.

    >>> import gradgpu as gg
    >>> gg.distributions.constraints.positive.check(gg.tensor([1., -1.]))
    tensor([ True, False])
    """

    lower_bound: Any = None
    upper_bound: Any = None
    base: Constraint | None = None

    def __init__(
        self,
        name: str,
        holds: Callable[[Tensor], Tensor],
        event_dim: int = 0,
        is_discrete: bool = False,
        kind: str | None = None,
        **bounds: Any,
    ):
        self.name, self.holds, self.event_dim, self.is_discrete = name, holds, event_dim, is_discrete
        self.kind = name if kind is None else kind
        vars(self).update(bounds)

    def check(self, value: Any) -> Tensor:
        """A bool tensor of the shape of `value` without the last `event_dim` dimensions: whether each lies in the set."""
        return self.holds(value)

    def __repr__(self) -> str:
        return self.name


def _is_whole(value: Tensor) -> Any:
    return value.eq(value.floor() if value.is_floating_point() else value)


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above lower_bound."""
    return Constraint(
        f"greater than {lower_bound}", lambda v: v > lower_bound, kind="greater_than", lower_bound=lower_bound
    )


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from lower_bound on."""
    return Constraint(
        f"at least {lower_bound}", lambda v: v >= lower_bound, kind="greater_than_eq", lower_bound=lower_bound
    )


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below upper_bound."""
    return Constraint(
        f"less than {upper_bound}", lambda v: v < upper_bound, kind="less_than", upper_bound=upper_bound
    )


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers in [lower_bound, upper_bound]; the bounds are numbers or tensors."""
    return Constraint(
        f"in the interval [{lower_bound}, {upper_bound}]",
        lambda v: (v >= lower_bound) & (v <= upper_bound),
        kind="interval",
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers in [lower_bound, upper_bound)."""
    return Constraint(
        f"in the interval [{lower_bound}, {upper_bound})",
        lambda v: (v >= lower_bound) & (v < upper_bound),
        kind="half_open_interval",
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def integer_interval(lower_bound: int, upper_bound: Any) -> Constraint:
    """Whole numbers from lower_bound to upper_bound, both included."""
    return Constraint(
        f"a whole number from {lower_bound} to {upper_bound}",
        lambda v: (v >= lower_bound) & (v <= upper_bound) & _is_whole(v),
        is_discrete=True,
        kind="integer_interval",
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def multinomial(upper_bound: int) -> Constraint:
    """Vectors of counts of sum upper_bound."""
    return Constraint(
        f"a vector of counts of sum {upper_bound}",
        lambda v: ((v >= 0) & _is_whole(v)).all(-1) & v.sum(-1).eq(upper_bound),
        1,
        True,
        kind="multinomial",
        upper_bound=upper_bound,
    )


def independent(base_constraint: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """`base_constraint` for every element along the last dimensions."""
    base, ndims = base_constraint, reinterpreted_batch_ndims

    def holds(value: Tensor) -> Tensor:
        found = base.check(value)
        return found.reshape((*found.shape[: found.ndim - ndims], -1)).all(-1) if ndims else found

    return Constraint(
        base.name, holds, base.event_dim + ndims, base.is_discrete, kind="independent", base=base
    )


def _is_lower(v: Tensor) -> Tensor:
    return v.tril().eq(v).flatten(-2).all(-1)


def _is_positive_definite(v: Tensor) -> Tensor:
    from .. import linalg

    symmetric = (v - v.mT).abs().flatten(-2).amax(-1) < 1e-6
    return symmetric & (linalg.eigvalsh(v) > 0).all(-1)


real = Constraint("real", lambda v: v.eq(v))
positive = Constraint("greater than 0", lambda v: v > 0, kind="positive", lower_bound=0)
nonnegative = Constraint("at least 0", lambda v: v >= 0, kind="nonnegative", lower_bound=0)
unit_interval = Constraint(
    "in the interval [0, 1]", lambda v: (v >= 0) & (v <= 1), kind="interval", lower_bound=0, upper_bound=1
)
boolean = Constraint("0 or 1", lambda v: v.eq(0) | v.eq(1), is_discrete=True)
nonnegative_integer = Constraint(
    "a whole number, at least 0", lambda v: (v >= 0) & _is_whole(v), is_discrete=True, lower_bound=0
)
positive_integer = Constraint(
    "a whole number, at least 1", lambda v: (v >= 1) & _is_whole(v), is_discrete=True, lower_bound=1
)
real_vector = Constraint("a vector of real numbers", lambda v: v.eq(v).all(-1), 1)
simplex = Constraint(
    "a vector of non-negative numbers of sum 1",
    lambda v: (v >= 0).all(-1) & ((v.sum(-1) - 1).abs() < 1e-6),
    1,
)
one_hot = Constraint(
    "a vector of zeros with a single 1", lambda v: (v.eq(0) | v.eq(1)).all(-1) & (v.sum(-1).eq(1)), 1, True
)
lower_triangular = Constraint("a lower triangular matrix", _is_lower, 2)
lower_cholesky = Constraint(
    "a lower triangular matrix with a positive diagonal",
    lambda v: _is_lower(v) & (v.diagonal(dim1=-2, dim2=-1) > 0).all(-1),
    2,
)
positive_definite = Constraint("a positive definite matrix", _is_positive_definite, 2)
symmetric = Constraint("a symmetric matrix", lambda v: (v - v.mT).abs().flatten(-2).amax(-1) < 1e-6, 2)
