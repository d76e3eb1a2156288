"""What distributions, also those of other packages, are written with (PyTorch's ``torch.distributions.utils``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from ..autograd import enable_grad
from ..dtypes import finfo, get_default_dtype
from ..ops.creation import arange, tensor
from ..ops.shape import broadcast_tensors
from ..ops.softmax import softmax
from ..tensor import Tensor

__all__ = [
    "broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property", "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape; numbers take the dtype and device of the first tensor.

    Raises:
        ValueError: a value that is neither a number nor a Tensor.

    >>> import gradgpu as gg
    >>> broadcast_all(gg.zeros(2), 1.)
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    like = next((v for v in values if isinstance(v, Tensor)), None)
    for v in values:
        if not isinstance(v, (Tensor, int, float)):
            raise ValueError(
                f"a distribution's parameters must be numbers or Tensors, got {type(v).__name__}"
            )
    dtype = like.dtype if like is not None and like.is_floating_point() else get_default_dtype()
    device = None if like is None else like.device
    made = [v if isinstance(v, Tensor) else tensor(float(v), dtype=dtype, device=device) for v in values]
    return tuple(broadcast_tensors(*made))


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    from ..ops.random import randn

    return randn(*shape, dtype=dtype, device=device)


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last `dim` dimensions."""
    return value.sum(tuple(range(-dim, 0))) if dim else value


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities: the sigmoid of each log odds if `is_binary`, else the softmax over the last dimension.

    >>> import gradgpu as gg
    >>> logits_to_probs(gg.tensor([0., 0.]))
    tensor([0.5000, 0.5000])
    """
    return logits.sigmoid() if is_binary else softmax(logits, -1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities at least a rounding error away from 0 and 1: their logarithms are finite.

    >>> import gradgpu as gg
    >>> clamp_probs(gg.tensor([0., 0.5])).log()
    tensor([-15.9424,  -0.6931])
    """
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log odds of each probability if `is_binary`, else logarithms of probabilities.

    >>> import gradgpu as gg
    >>> probs_to_logits(gg.tensor([0.5, 0.75]), is_binary=True)
    tensor([0.0000, 1.0986])
    """
    probs = clamp_probs(probs)
    return probs.log() - (-probs).log1p() if is_binary else probs.log()


class lazy_property:
    """A decorator: a property that is computed, with gradients, when first asked for, and an attribute afterwards.

    >>> class Circle:
    ...     @lazy_property
    ...     def area(self):
    ...         return 3.0
    >>> circle = Circle()
    >>> circle.area, "area" in vars(circle)
    (3.0, True)
    """

    def __init__(self, wrapped: Callable) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def _tril_mask(n: int, diag: int, device: Any) -> Tensor:
    places = arange(n, device=device)
    return places < places.reshape(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements on and below diagonal `diag` of each (D, D) matrix, row by row: (…, D, D) to (…, count).

    Raises:
        ValueError: a diagonal outside the matrix.

    >>> import gradgpu as gg
    >>> tril_matrix_to_vec(gg.tensor([[1., 0.], [2., 3.]]))
    tensor([1., 2., 3.])
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _tril_mask(n, diag, mat.device)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The inverse of `tril_matrix_to_vec`: zeros elsewhere.

    Raises:
        ValueError: a last dimension that is not the number of elements of a triangle.

    >>> import gradgpu as gg
    >>> vec_to_tril_matrix(gg.tensor([1., 2., 3.]))
    tensor([[1., 0.],
            [2., 3.]])
    """
    # the positive root of D² + (1 + 2 diag) D - |diag| (diag + 1) - 2 count = 0
    linear = 1 + 2 * diag
    n = (-linear + (linear**2 + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if abs(round(n) - n) > 1e-9:
        raise ValueError(
            f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as "
            "the lower triangular part of a square D x D matrix."
        )
    size = round(n)
    mat = vec.new_zeros((*vec.shape[:-1], size, size))
    mat[..., _tril_mask(size, diag, vec.device)] = vec
    return mat
