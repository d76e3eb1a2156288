"""Parameter: a tensor that a module trains; and parameters whose shape the first input decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd.modes import no_grad
from ..ops.creation import empty
from ..tensor import Tensor

__all__ = ["Buffer", "LazyModule", "Parameter", "UninitializedParameter"]


class Parameter(Tensor):
    """A leaf tensor that registers itself as a parameter when assigned to a module.

    Args:
        data: the values (shared, not copied); an empty tensor by default.
        requires_grad: whether it is trained.

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.Parameter(gg.tensor([1., 2.]))
        Parameter containing:
        tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter expects a Tensor, got {type(data).__name__}; write nn.Parameter(gradgpu.tensor(...))"
            )
        data._materialise()
        self._a = data._a
        self._cell = data._version_cell()  # in-place changes through either are seen by both
        self.requires_grad = requires_grad


class UninitializedParameter(Parameter):
    """A parameter without a shape yet; lazy modules ``materialize`` it at their first call."""

    __slots__ = ()

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(empty(0, device=device, dtype=dtype), requires_grad)

    def materialize(self, shape: Sequence[int]) -> None:
        """Get this shape (values arbitrary) and become an ordinary Parameter."""
        with no_grad():
            self.data = empty(*shape, device=self.device, dtype=self.dtype)
        self.__class__ = Parameter  # type: ignore[assignment]  # the object stays: the module and the optimiser may hold it

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return "<UninitializedParameter>"


class Buffer(Tensor):
    """A tensor that registers itself as a buffer when assigned to a module."""

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        data = empty(0) if data is None else data
        data._materialise()
        self._a = data._a
        self._cell = data._version_cell()
        self.persistent = persistent


class LazyModule:
    """Mixin of modules that read their input's size at the first call, then become the ordinary class.

    A subclass gives ``_becomes`` and ``infer(input)``, which materialises the parameters.
    """

    _becomes: type

    def infer(self, input: Tensor) -> None:
        """Take the sizes from the first input and initialise."""
        raise NotImplementedError(f"{type(self).__name__}.infer")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with no_grad():
            self.infer(args[0])
        self.__class__ = self._becomes
        return self(*args, **kwargs)
