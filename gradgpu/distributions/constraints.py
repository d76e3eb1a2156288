"""What the parameters and the values of a distribution may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..dtypes import finfo
from ..tensor import Tensor

__all__ = [
    "Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property", "greater_than", "greater_than_eq",
    "half_open_interval", "independent", "integer_interval", "interval", "is_dependent", "less_than", "lower_cholesky",
    "lower_triangular", "MixtureSameFamilyConstraint", "multinomial", "nonnegative", "nonnegative_integer", "one_hot", "positive",
    "positive_definite", "positive_integer", "positive_semidefinite", "real", "real_vector", "simplex", "square", "stack", "symmetric",
    "unit_interval",
]  # fmt: skip


class Constraint:
    """A set of values, and how to tell whether tensors lie in it. A subclass defines `check`.

    Attributes:
        event_dim: how many dimensions at the right make one value.
        is_discrete: whether it holds single points.

    >>> import gradgpu as gg
    >>> gg.distributions.constraints.positive.check(gg.tensor([1., -1.]))
    tensor([ True, False])
    """

    event_dim: Any = 0
    is_discrete: Any = False
    text = ""  # what an error message calls it

    def check(self, value: Any) -> Tensor:
        """A bool tensor of the shape of `value` without the last `event_dim` dimensions: whether each lies in the set."""
        raise NotImplementedError(f"{type(self).__name__} must define check")

    def __repr__(self) -> str:
        return self.text.format(**vars(self)) or f"{type(self).__name__.lstrip('_')}()"


class _Dependent(Constraint):
    """A constraint that depends on other parameters: `dependent`, or ``dependent(is_discrete=True, event_dim=1)``."""

    text = "dependent on other parameters"

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def _static(self, name: str) -> Any:
        value = getattr(self, "_" + name)
        if value is NotImplemented:
            raise NotImplementedError(f".{name} cannot be determined statically")
        return value

    @property
    def is_discrete(self) -> bool:
        return self._static("is_discrete")

    @property
    def event_dim(self) -> int:
        return self._static("event_dim")

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> Any:
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, value: Any) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


class dependent_property(property, _Dependent):
    """A property of a distribution that, asked of the class, is a `dependent` constraint.

    >>> from gradgpu.distributions import Distribution, constraints
    >>> class Below(Distribution):
    ...     @constraints.dependent_property(is_discrete=False, event_dim=0)
    ...     def support(self):
    ...         return constraints.less_than(self.high)
    >>> Below.support.event_dim
    0
    """

    def __init__(
        self,
        fn: Callable | None = None,
        *more: Any,
        is_discrete: Any = NotImplemented,
        event_dim: Any = NotImplemented,
    ) -> None:
        property.__init__(self, fn, *more)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn: Callable) -> Any:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether the constraint depends on other parameters.

    >>> is_dependent(dependent), is_dependent(real)
    (True, False)
    """
    return isinstance(constraint, _Dependent)


class independent(Constraint):
    """`base_constraint` for every element along the last `reinterpreted_batch_ndims` dimensions."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Any) -> Tensor:
        found, ndims = self.base_constraint.check(value), self.reinterpreted_batch_ndims
        if found.ndim < ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        return found.reshape((*found.shape[: found.ndim - ndims], -1)).all(-1) if ndims else found

    def __repr__(self) -> str:
        many = "" if self.reinterpreted_batch_ndims == 1 else f" {self.reinterpreted_batch_ndims}"
        return f"{self.base_constraint!r} all along the last{many} dimension{'s' if many else ''}"


class MixtureSameFamilyConstraint(Constraint):
    """`base_constraint`, of a mixture's components, for values of the mixture."""

    text = "{base_constraint}"

    def __init__(self, base_constraint: Constraint):
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        return self.base_constraint.event_dim

    def check(self, value: Any) -> Tensor:
        # The components are along the dimension before the event's: a value is one if it is one of each.
        return self.base_constraint.check(value.unsqueeze(-1 - self.event_dim)).all(-1)


def _is_whole(value: Tensor) -> Any:
    return value.eq(value.floor() if value.is_floating_point() else value)


class greater_than(Constraint):
    """Numbers above lower_bound."""

    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Tensor:
        return value > self.lower_bound

    def __repr__(self) -> str:
        return f"greater than {_plain(self.lower_bound)}"


class greater_than_eq(Constraint):
    """Numbers from lower_bound on."""

    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Tensor:
        return value >= self.lower_bound

    def __repr__(self) -> str:
        return f"at least {_plain(self.lower_bound)}"


class less_than(Constraint):
    """Numbers below upper_bound."""

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Tensor:
        return value < self.upper_bound

    def __repr__(self) -> str:
        return f"less than {_plain(self.upper_bound)}"


class interval(Constraint):
    """Numbers in [lower_bound, upper_bound]; the bounds are numbers or tensors."""

    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Tensor:
        return (value >= self.lower_bound) & (value <= self.upper_bound)

    def __repr__(self) -> str:
        return f"in the interval [{_plain(self.lower_bound)}, {_plain(self.upper_bound)}]"


class half_open_interval(Constraint):
    """Numbers in [lower_bound, upper_bound)."""

    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Tensor:
        return (value >= self.lower_bound) & (value < self.upper_bound)

    def __repr__(self) -> str:
        return f"in the interval [{_plain(self.lower_bound)}, {_plain(self.upper_bound)})"


class integer_interval(interval):
    """Whole numbers from lower_bound to upper_bound, both included."""

    is_discrete = True

    def check(self, value: Any) -> Tensor:
        found = super().check(value)
        return found & _is_whole(value) if value.is_floating_point() else found

    def __repr__(self) -> str:
        return f"a whole number from {_plain(self.lower_bound)} to {_plain(self.upper_bound)}"


class _IntegerGreaterThan(greater_than_eq):
    is_discrete = True

    def check(self, value: Any) -> Tensor:
        return super().check(value) & _is_whole(value)

    def __repr__(self) -> str:
        return f"a whole number, at least {_plain(self.lower_bound)}"


class _IntegerLessThan(less_than):
    is_discrete = True

    def check(self, value: Any) -> Tensor:
        return (value <= self.upper_bound) & _is_whole(value)

    def __repr__(self) -> str:
        return f"a whole number, at most {_plain(self.upper_bound)}"


class multinomial(Constraint):
    """Vectors of counts of sum upper_bound."""

    is_discrete = True
    event_dim = 1
    text = "a vector of counts of sum {upper_bound}"

    def __init__(self, upper_bound: int):
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Tensor:
        return ((value >= 0) & _is_whole(value)).all(-1) & value.sum(-1).eq(self.upper_bound)


class _Real(Constraint):
    text = "real"

    def check(self, value: Any) -> Tensor:
        return value.eq(value)  # false for NaN


class _Boolean(Constraint):
    is_discrete = True
    text = "0 or 1"

    def check(self, value: Any) -> Tensor:
        return value.eq(0) | value.eq(1)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1
    text = "a vector of zeros with a single 1"

    def check(self, value: Any) -> Tensor:
        return (value.eq(0) | value.eq(1)).all(-1) & value.sum(-1).eq(1)


class _Simplex(Constraint):
    event_dim = 1
    text = "a vector of non-negative numbers of sum 1"

    def check(self, value: Any) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _LowerTriangular(Constraint):
    event_dim = 2
    text = "a lower triangular matrix"

    def check(self, value: Any) -> Tensor:
        return value.tril().eq(value).flatten(-2).all(-1)


class _LowerCholesky(_LowerTriangular):
    text = "a lower triangular matrix with a positive diagonal"

    def check(self, value: Any) -> Tensor:
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    text = "a lower triangular matrix with a positive diagonal and rows of length 1"

    def check(self, value: Any) -> Tensor:
        rounding = finfo(value.dtype).eps * value.shape[-1] * 10
        lengths = value.detach().square().sum(-1).sqrt()
        return super().check(value) & ((lengths - 1).abs() <= rounding).all(-1)


class _Square(Constraint):
    event_dim = 2
    text = "a square matrix"

    def check(self, value: Any) -> Tensor:
        from ..ops.creation import full

        same = value.shape[-2] == value.shape[-1]
        return full(value.shape[:-2], same, dtype=_bool(), device=value.device)


class _Symmetric(_Square):
    text = "a symmetric matrix"

    def check(self, value: Any) -> Tensor:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return (value - value.mT).abs().flatten(-2).amax(-1) < 1e-6


class _PositiveSemidefinite(_Symmetric):
    text = "a positive semidefinite matrix"

    def check(self, value: Any) -> Tensor:
        symmetric = super().check(value)
        return symmetric & self._fits(_eigenvalues(value)).all(-1) if symmetric.all() else symmetric

    @staticmethod
    def _fits(eigenvalues: Tensor) -> Tensor:
        return eigenvalues >= 0


class _PositiveDefinite(_PositiveSemidefinite):
    text = "a positive definite matrix"

    @staticmethod
    def _fits(eigenvalues: Tensor) -> Tensor:
        return eigenvalues > 0


class cat(Constraint):
    """Constraints `cseq` of pieces along `dim` of the sizes `lengths` (1 each by default), as `gradgpu.cat` joins them."""

    text = "pieces along dimension {dim}: {cseq}"

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None):
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise ValueError(f"cat: {len(self.cseq)} constraints, but {len(self.lengths)} lengths")

    @property
    def is_discrete(self) -> bool:
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        return max(c.event_dim for c in self.cseq)

    def check(self, value: Any) -> Tensor:
        from ..ops.join import cat as joined

        pieces = value.split(self.lengths, self.dim)
        return joined([c.check(v) for c, v in zip(self.cseq, pieces)], self.dim)


class stack(Constraint):
    """Constraints `cseq` of slices along `dim`, as `gradgpu.stack` joins them."""

    text = "slices along dimension {dim}: {cseq}"

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0):
        self.cseq, self.dim = list(cseq), dim

    @property
    def is_discrete(self) -> bool:
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        event = max(c.event_dim for c in self.cseq)
        return event + 1 if self.dim + event < 0 else event

    def check(self, value: Any) -> Tensor:
        from ..ops.join import stack as stacked

        return stacked([c.check(v) for c, v in zip(self.cseq, value.unbind(self.dim))], self.dim)


def _plain(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, (int, float)) else f"{bound}"


def _bool() -> Any:
    from ..dtypes import bool

    return bool


def _eigenvalues(matrix: Tensor) -> Tensor:
    from ..linalg import eigvalsh

    return eigvalsh(matrix)


dependent = _Dependent()
real = _Real()
real_vector = independent(real, 1)
positive, nonnegative = greater_than(0.0), greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
boolean, one_hot = _Boolean(), _OneHot()
integer_less_than, integer_greater_than = _IntegerLessThan, _IntegerGreaterThan
nonnegative_integer, positive_integer = integer_greater_than(0), integer_greater_than(1)
simplex = _Simplex()
square, symmetric = _Square(), _Symmetric()
lower_triangular, lower_cholesky, corr_cholesky = _LowerTriangular(), _LowerCholesky(), _CorrCholesky()
positive_semidefinite, positive_definite = _PositiveSemidefinite(), _PositiveDefinite()
