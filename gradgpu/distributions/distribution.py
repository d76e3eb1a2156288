"""The base of all distributions: shapes, checks, and what follows from the other methods."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

from ..autograd import enable_grad, grad, no_grad
from ..autograd.layers import outermost
from ..tensor import Size, Tensor
from .constraints import Constraint, is_dependent

D = TypeVar("D", bound="Distribution")


class Distribution:
    """A family of distributions, one for each index of `batch_shape`; a draw from one has the shape `event_shape`.

    A subclass names its tensor parameters in `arg_constraints`. Each has the shape `batch_shape`, followed by the
    `event_dim` of its constraint.

    Args:
        validate_args: whether parameters and values are checked; None for the default
            (`set_default_validate_args`), which is True unless Python runs with ``-O``.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    arg_constraints: dict[str, Constraint] = {}

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                # Not in vars: the other one of probs and logits, which follows from this one.
                if name not in vars(self) or is_dependent(constraint):
                    continue
                value = getattr(self, name)
                if not bool(outermost(constraint.check(value.detach())).all()):
                    raise ValueError(
                        f"{type(self).__name__}: expected parameter {name} to be {constraint}, but found invalid values:\n{value}"
                    )
        super().__init__()  # of a class that is a Module, too

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check parameters and values where `validate_args` is not given."""
        Distribution._validate_args = bool(value)

    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of a single draw."""
        return self._event_shape

    @property
    def support(self) -> Constraint:
        """The values that can be drawn."""
        raise NotImplementedError(f"{type(self).__name__}: support is not defined")

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__}: mean is not defined")

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self).__name__}: mode is not defined")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__}: variance is not defined")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        """The shape of a sample: sample_shape + batch_shape + event_shape."""
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def expand(self: D, batch_shape: Sequence[int], _instance: Any = None) -> D:
        """The same distributions with parameters expanded to `batch_shape` (as `Tensor.expand`, without a copy).

        >>> import gradgpu as gg
        >>> gg.distributions.Normal(0., 1.).expand((2, 3)).batch_shape
        gradgpu.Size([2, 3])
        """
        made = self._bare(_instance)
        for name, constraint in self.arg_constraints.items():
            if name in vars(self):
                value = getattr(self, name)
                event = value.shape[value.ndim - constraint.event_dim :]
                setattr(made, name, value.expand((*batch_shape, *event)))
        return self._expanded(made, batch_shape)

    def _bare(self: D, _instance: Any = None) -> D:
        """What `expand` gives its parameters: one of this type, or the `_instance` of a subclass."""
        return object.__new__(type(self)) if _instance is None else _instance

    def _expanded(self: D, made: D, batch_shape: Sequence[int]) -> D:
        """`made`, which has its parameters, with the shapes of a distribution."""
        Distribution.__init__(made, batch_shape, self._event_shape, validate_args=False)
        made._validate_args = self._validate_args
        return made

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """What `expand` of a subclass fills: `_instance`, or an empty one of `cls`, which a further subclass must not inherit."""
        if _instance is None and type(self).__init__ != cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also define a "
                "custom .expand() method."
            )
        return object.__new__(type(self)) if _instance is None else _instance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of shape sample_shape + batch_shape + event_shape, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`, PyTorch's older way."""
        return self.sample((n,))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws as `sample`, as a differentiable function of the parameters."""
        raise NotImplementedError(
            f"{type(self).__name__} has no rsample: its draws are no differentiable function of its parameters; "
            "use sample() and the gradient of log_prob"
        )

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability, or of its density, at `value`; of shape `batch_shape`, broadcast."""
        raise NotImplementedError(f"{type(self).__name__}: log_prob is not defined")

    def cdf(self, value: Any) -> Tensor:
        """The probability of a draw of at most `value`."""
        raise NotImplementedError(f"{type(self).__name__}: cdf is not defined")

    def icdf(self, value: Any) -> Tensor:
        """The quantile: where `cdf` is `value`."""
        raise NotImplementedError(f"{type(self).__name__}: icdf is not defined")

    def entropy(self) -> Tensor:
        """The entropy in nats, of shape `batch_shape`."""
        raise NotImplementedError(f"{type(self).__name__}: entropy is not defined")

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along dimension 0."""
        raise NotImplementedError(f"{type(self).__name__}: enumerate_support is not defined")

    def _validate_sample(self, value: Any) -> None:
        """Raises ValueError unless `value` has a fitting shape and lies in the support."""
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{type(self).__name__}: the value argument must be a Tensor, got {type(value).__name__}"
            )
        event = len(self._event_shape)
        if value.shape[value.ndim - event :] != self._event_shape:
            raise ValueError(
                f"{type(self).__name__}: the right-most size of value must match event_shape: "
                f"{tuple(value.shape)} against {tuple(self._event_shape)}"
            )
        batch = value.shape[: value.ndim - event]
        for i, j in zip(reversed(batch), reversed(self._batch_shape)):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"{type(self).__name__}: value is not broadcastable with batch_shape+event_shape: "
                    f"{tuple(value.shape)} against {(*self._batch_shape, *self._event_shape)}"
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self).__name__} does not define `support` to enable sample validation; define it, or give "
                "validate_args=False",
                stacklevel=3,
            )
            return
        if not bool(outermost(support.check(value.detach())).all()):
            raise ValueError(
                f"{type(self).__name__}: expected value to be within the support ({support}), "
                f"but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            if name in vars(self):
                value = getattr(self, name)
                shown.append(f"{name}: {value.item() if value.numel() == 1 else tuple(value.shape)}")
        return f"{type(self).__name__}({', '.join(shown)})"


class ExponentialFamily(Distribution):
    """The base of the exponential family's distributions: densities exp(Σ θᵢ tᵢ(x) - A(θ) + h(x)).

    A subclass that defines `_natural_params` (the θᵢ), `_log_normalizer(*θ)` (A) and `_mean_carrier_measure` (the mean
    of h) has an `entropy`: A(θ) - Σ θᵢ ∂A/∂θᵢ - mean of h (Nielsen & Nock, 2010).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError(f"{type(self).__name__} does not define _natural_params")

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define _log_normalizer")

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _mean_carrier_measure")

    def entropy(self) -> Tensor:
        """The entropy by the derivatives of the log normaliser."""
        result = -self._mean_carrier_measure
        with enable_grad():
            params = [p.detach().requires_grad_() for p in self._natural_params]
            log_normalizer = self._log_normalizer(*params)
            gradients = grad(log_normalizer.sum(), params, create_graph=True)
        result = result + log_normalizer
        event = len(self._event_shape)
        for param, slope in zip(params, gradients):
            product = param * slope
            result = result - (product.flatten(product.ndim - event).sum(-1) if event else product)
        return result
