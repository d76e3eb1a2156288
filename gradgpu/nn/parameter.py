"""Parameter: a tensor that a module trains; and parameters whose shape the first input decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd.modes import no_grad
from ..layouts import strided
from ..ops.creation import empty
from ..tensor import Tensor

__all__ = [
    "Buffer", "LazyModuleMixin", "Parameter", "UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin",
    "is_lazy",
]  # fmt: skip


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
        if data.layout is not strided:
            raise TypeError(
                "Parameter: a sparse tensor is none; register_buffer it, or make a Parameter of its values and build "
                "gradgpu.sparse_coo_tensor(indices, values, size) in forward"
            )
        data._materialise()
        self._a = data._a
        self._cell = data._version_cell()  # in-place changes through either are seen by both
        self.requires_grad = requires_grad


class UninitializedTensorMixin:
    """What parameters and buffers without a shape have in common."""

    __slots__ = ()
    cls_to_become: type

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Get this shape (values arbitrary) and become an ordinary parameter or buffer."""
        mine: Any = self
        with no_grad():
            mine.data = empty(
                *shape,
                device=mine.device if device is None else device,
                dtype=mine.dtype if dtype is None else dtype,
            )
        self.__class__ = self.cls_to_become  # the object stays: the module and the optimiser may hold it

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` "
            "when trying to load an uninitialized parameter into an initialized one. Call `forward` to initialize the "
            "parameters before accessing their attributes."
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter without a shape yet; lazy modules ``materialize`` it at their first call."""

    __slots__ = ()
    cls_to_become = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer without a shape yet."""

    __slots__ = ()
    cls_to_become = Tensor

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        self._a = empty(0, device=device, dtype=dtype)._a
        self.requires_grad = requires_grad


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class Buffer(Tensor):
    """A tensor that registers itself as a buffer when assigned to a module."""

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        data = empty(0) if data is None else data
        data._materialise()
        self._a = data._a
        self._cell = data._version_cell()
        self.persistent = persistent


class LazyModuleMixin:
    """Mixin of modules that read their input's size at the first call, then become the ordinary class.

    A subclass gives ``cls_to_become`` (None: it stays what it is) and ``initialize_parameters(*input)``, which
    materialises its :class:`UninitializedParameter` s. Those that were loaded from a state dict stay as they are.
    """

    cls_to_become: type | None = None
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Take the sizes from the first input and initialise."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether some parameter or buffer has no shape yet."""
        return any(map(is_lazy, (*self._parameters.values(), *self._buffers.values())))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with no_grad():
            self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise RuntimeError(
                f"module {type(self).__name__} has not been fully initialized: initialize_parameters left parameters or "
                "buffers without a shape"
            )
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become
            return self(*args, **kwargs)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]
