"""Forward mode: a tensor with a tangent, and the tangents of what is computed from it, as in `torch.autograd.forward_ad`.

>>> import gradgpu as gg
>>> from gradgpu.autograd import forward_ad as fwAD
>>> with fwAD.dual_level():
...     x = fwAD.make_dual(gg.tensor(3.), gg.tensor(1.))
...     fwAD.unpack_dual(x * x)
UnpackedDualTensor(primal=tensor(9.), tangent=tensor(6.))
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..tensor import Tensor, wrap
from .modes import state


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns; `tangent` is None for a tensor without one."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Opens the level that `make_dual` needs, and returns its number. One may be open at a time."""
    from ..ops.tangents import Forward

    if _open() is not None:
        raise RuntimeError(
            "Nested forward mode AD is not supported at the moment; nest gradgpu.func.jvp instead"
        )
    Forward(public=True).__enter__()
    return 0


def _open() -> Any:
    """The level that was entered in this thread, or None."""
    return next((level for level in reversed(state.layers) if getattr(level, "public", False)), None)


def exit_dual_level(*, level: int | None = None) -> None:
    """Closes the level: tangents made in it can no longer be used."""
    inside = _open()
    if inside is None:
        raise RuntimeError(
            "Trying to exit a forward AD level but none was entered; call enter_dual_level first"
        )
    if level not in (None, 0):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    inside.__exit__()


class dual_level:
    """The level that `make_dual` needs, for a block.

    >>> import gradgpu as gg
    >>> from gradgpu.autograd import forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(gg.tensor([1., 2.]), gg.tensor([1., 0.]))
    ...     fwAD.unpack_dual(x.sum() * 3).tangent
    tensor(3.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: Any) -> None:
        exit_dual_level()


def _level(level: int | None, name: str) -> Any:
    inside = _open()
    if inside is None or level not in (None, 0):
        raise RuntimeError(
            f"Trying to {name} a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    return inside


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor with the values of `tensor` that carries `tangent` through what is computed from it.

    A tangent of another dtype is converted to the tensor's.

    Raises:
        RuntimeError: no level is open, or the tangent has another shape. ValueError: not of floating point.
    """
    inside = _level(level, "create")
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise ValueError(f"Expected primal to be floating point or complex, but got: {tensor.dtype}")
    if not (tangent.is_floating_point() or tangent.is_complex()):
        raise ValueError(f"Expected tangent to be floating point or complex, but got: {tangent.dtype}")
    _fits("make_dual", tensor, tangent)
    if inside.parts(tensor)[1] is not None:
        raise RuntimeError("make_dual: the tensor has a tangent already; unpack_dual it first")
    if tangent.dtype is not tensor.dtype:
        tangent = tangent.to(tensor.dtype)
    made = inside.wrap(tensor, tangent)
    if tensor.requires_grad:  # backward from what is computed leads to the tensor
        from ..ops.saved import PASS
        from .node import new_node

        made._edge = new_node(PASS, (tensor if tensor.is_leaf else tensor._edge,))
    return made


def _fits(name: str, primal: Tensor, tangent: Tensor) -> None:
    if primal.shape != tangent.shape:
        raise RuntimeError(
            f"{name}: Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(primal.shape)} while the given forward gradient is of size {list(tangent.shape)}."
        )


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(values, tangent) of a tensor; the tangent is None if it depends on no dual tensor (or no level is open)."""
    if _open() is None:
        return UnpackedDualTensor(tensor, None)
    primal, tangent = _level(level, "unpack").parts(tensor)
    if primal is tensor:
        return UnpackedDualTensor(tensor, None)
    if primal._edge is None and tensor._edge is not None:
        primal = wrap(primal._a)
        primal._edge = tensor._edge
    return UnpackedDualTensor(primal, tangent)


__all__ = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual",
]  # fmt: skip
