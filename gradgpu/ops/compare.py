"""Whether tensors are equal, exactly or within a tolerance."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .pointwise import abs as _abs
from .pointwise import eq, isfinite, isnan, le, mul
from .registry import method


def _two_tensors(op: str, input: Any, other: Any) -> None:
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{op}: expected two Tensors, got {type(input).__name__} and {type(other).__name__}"
            )
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"{op}: {input.dtype} did not match {other.dtype}; convert one, e.g. with .to(x.dtype)"
        )


@method
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Where |input - other| ≤ atol + rtol · |other|, elementwise; a bool tensor of the broadcast shape.

    Both of one dtype, else RuntimeError. Infinities are close to themselves; NaN only with `equal_nan`.

    >>> import gradgpu as gg
    >>> gg.isclose(gg.tensor([1., 2.]), gg.tensor([1., 2.1]))
    tensor([ True, False])
    """
    _two_tensors("isclose", input, other)
    for name, limit in (("rtol", rtol), ("atol", atol)):
        if limit < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {limit}")
    input, other = input.detach(), other.detach()
    same = eq(input, other)
    if equal_nan:
        same = same | (isnan(input) & isnan(other))
    difference = input - other if input.dtype.category else (input != other).int()
    near = le(_abs(difference), atol + mul(_abs(other) if other.dtype.category else other, rtol))
    return same | (near & isfinite(difference))


@method
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere. Waits for the device.

    >>> import gradgpu as gg
    >>> gg.allclose(gg.ones(3), gg.ones(3) + 1e-9)
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@method
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and values. Waits for the device.

    >>> import gradgpu as gg
    >>> gg.equal(gg.tensor([1, 2]), gg.tensor([1, 2]))
    True
    """
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(f"equal(): expected two Tensors, got {type(x).__name__}")
    return input.shape == other.shape and bool(eq(input.detach(), other.detach()).all())


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of `input` is a floating-point one."""
    return input.is_floating_point()


__all__ = ["allclose", "equal", "is_floating_point", "isclose"]
