"""In-place forms and other names of methods that few programs call; methods that go through Python or look at memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..cuda import in_flight, pinned
from ..cuda.array import Array
from ..devices import device as Device
from ..tensor import Tensor, wrap
from .activations import prelu
from .inplace import check_writable, inplace
from .join import chunk, split
from .masks import nonzero
from .pad import pad
from .pointwise import _inplace_method, where
from .reduce import require_tensor
from .registry import method

_ALIASES = {
    "absolute_": "abs_", "arccos": "acos", "arccos_": "acos_", "arccosh": "acosh", "arcsin": "asin", "arcsin_": "asin_",
    "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2", "arctan_": "atan_", "arctanh": "atanh", "greater_": "gt_",
    "greater_equal_": "ge_", "less_": "lt_", "less_equal_": "le_", "negative_": "neg_", "not_equal_": "ne_", "true_divide_": "div_",
}  # fmt: skip
for (
    _name
) in "acosh asinh atan2 atanh bitwise_left_shift bitwise_not bitwise_right_shift erfc logical_xor".split():
    method(_name + "_")(_inplace_method(_name, getattr(Tensor, _name)))
_ALIASES |= {"arccosh_": "acosh_", "arcsinh_": "asinh_", "arctan2_": "atan2_", "arctanh_": "atanh_"}
for _alias, _name in _ALIASES.items():
    setattr(Tensor, _alias, getattr(Tensor, _name))

method("prelu")(prelu)


@method("where")
def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The elements of this tensor where `condition` holds, else those of `other`.

    >>> import gradgpu as gg
    >>> gg.tensor([1., 2.]).where(gg.tensor([True, False]), 0.)
    tensor([1., 0.])
    """
    return where(condition, self, other)


# ---- through Python, one element after another ----
def _through_python(name: str, self: Tensor, others: Sequence[Tensor], function: Callable) -> Tensor:
    if not all(t.is_cpu for t in (self, *others)):
        raise TypeError(f"{name} is only implemented on CPU tensors; use .cpu(), or operations on tensors")
    check_writable(name, self)
    values = [t.detach().expand(tuple(self.shape)) if t is not self else t for t in (self, *others)]
    flat = [np.asarray(t._a).reshape(-1).tolist() for t in values]
    made = np.array([function(*row) for row in zip(*flat)], self.dtype.np).reshape(self._a.shape)
    return inplace(name, self, wrap(made))


@method
def apply_(self: Tensor, callable: Callable) -> Tensor:
    """Replaces each element of a cpu tensor by `callable` of it: slow, one Python call an element.

    >>> import gradgpu as gg
    >>> gg.tensor([1., 2.]).apply_(lambda x: x + 1)
    tensor([2., 3.])
    """
    return _through_python("apply_", self, (), callable)


@method
def map_(self: Tensor, tensor: Tensor, callable: Callable) -> Tensor:
    """Replaces each element a of a cpu tensor by `callable(a, b)`, b from another tensor."""
    return _through_python("map_", self, (tensor,), callable)


@method
def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable) -> Tensor:
    """Replaces each element a of a cpu tensor by `callable(a, b, c)`, b and c from other tensors."""
    return _through_python("map2_", self, (x, y), callable)


# ---- memory ----
@method
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both tensors are the same view of the same memory."""
    return (
        self.data_ptr() == tensor.data_ptr()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


@method
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of `the_template`."""
    return self.resize_(tuple(the_template.shape))


@method
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether the tensor lies in page-locked memory, as `pin_memory` makes it; so do the views of such a tensor.

    >>> import gradgpu as gg
    >>> gg.ones(2).is_pinned()
    False
    """
    _refuse_device("is_pinned", device)
    self._materialise()
    return isinstance(self._a, np.ndarray) and pinned.is_pinned(self._a)


@method
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor in page-locked host memory, which a GPU reads and writes by itself: self if it lies there, else a copy.

    Copies between such a tensor and cuda are faster, and with `non_blocking=True` the host does not wait for them:
    `x.pin_memory().to('cuda', non_blocking=True)`. The memory comes from a pool, and goes back to it when the tensor is
    gone and no copy needs it. The gradient flows through.

    Raises:
        RuntimeError: the tensor is not on the CPU, or there is no CUDA device.

    >>> import gradgpu as gg
    >>> x = gg.arange(3.).pin_memory()
    >>> x.is_pinned(), x[1:].is_pinned(), x.pin_memory() is x
    (True, True, True)
    >>> x.to("cuda", non_blocking=True)
    tensor([0., 1., 2.], device='cuda:0')
    """
    _refuse_device("pin_memory", device)
    if not self.is_cpu:
        kind = "gradgpu.MetaTensor" if self.is_meta else self.type()
        raise RuntimeError(f"cannot pin '{kind}' only dense CPU tensors can be pinned")
    if self.is_pinned():
        return self
    return wrap(pinned.empty(self.shape, self.dtype.np)).copy_(self)


def _refuse_device(name: str, device: Any) -> None:
    if device is not None:
        warnings.warn(
            f"The argument 'device' of Tensor.{name}() is deprecated. Please do not pass this argument.",
            DeprecationWarning,
            stacklevel=3,
        )
        if Device(device).type != "cuda":
            raise RuntimeError(f"{name}: page-locked memory is for a CUDA device, not for {device!r}")


@method
def record_stream(self: Tensor, stream: Any) -> None:
    """Notes that `stream`, another than the one that was current when this cuda tensor was made, works on it.

    The memory of a tensor that is gone serves the next one made on the same stream; work of another stream may then still
    read or write it. After this call the memory is free only when the work is done that `stream` has at the time when the
    last tensor on the memory is gone.

    Raises:
        RuntimeError: the tensor is not on cuda. TypeError: `stream` is no `gg.cuda.Stream`.

    >>> import gradgpu as gg
    >>> x, side = gg.ones(3, device="cuda"), gg.cuda.Stream()
    >>> side.wait_stream(gg.cuda.current_stream())
    >>> with gg.cuda.stream(side):
    ...     y = x * 2
    >>> x.record_stream(side)
    >>> del x
    """
    from ..cuda.stream import Stream

    if not isinstance(stream, Stream):
        raise TypeError(f"record_stream: expected a gradgpu.cuda.Stream, got {type(stream).__name__}")
    if type(self._a) is not Array:
        raise RuntimeError(
            f"record_stream: only tensors on cuda are used by streams, this one is on {self.device}"
        )
    in_flight.use_on(self._a.mem, stream._device, stream._raw)


@method
def new_empty_strided(
    self: Tensor, size: Sequence[int], stride: Sequence[int], dtype: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """As `empty_strided`, with this tensor's dtype and device unless given."""
    from .factories import empty_strided

    return empty_strided(
        size,
        stride,
        dtype=self.dtype if dtype is None else dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
        pin_memory=pin_memory,
    )


# ---- functions ----
@method
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` cut or filled up to `size` rows, so that the shape of the result does not depend on the values.

    >>> import gradgpu as gg
    >>> gg.nonzero_static(gg.tensor([0, 5, 0]), size=2)
    tensor([[ 1],
            [-1]])
    """
    require_tensor("nonzero_static", input)
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    at = nonzero(input)[:size]
    return pad(at, (0, 0, 0, size - at.shape[0]), value=fill_value)


def apart(parts: tuple) -> tuple:
    """Views that forget what they are views of."""
    for part in parts:
        base = part._base
        base._shared = [ref for ref in base._shared if ref() is not part]
        part._shared = None
    return parts


@method
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """`chunk`; see `unsafe_split`."""
    return apart(chunk(input, chunks, dim))


@method
def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple:
    """`split` into parts that may be changed in place: to autograd they are no views, so `tensor` must not be used after."""
    return apart(split(tensor, split_size, dim))


@method
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple:
    """`split` by sizes; see `unsafe_split`."""
    return apart(split(input, split_sizes, dim))


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of the shape and dtype of `input` that holds one value.

    >>> import gradgpu as gg
    >>> gg.fill(gg.zeros(2), 3.)
    tensor([3., 3.])
    """
    require_tensor("fill", input)
    return input.clone().fill_(value)


def alias_copy(input: Tensor) -> Tensor:
    """A copy: `clone`."""
    require_tensor("alias_copy", input)
    return input.clone()


def is_conj(input: Tensor) -> bool:
    """Whether the numbers are yet to be conjugated: never, they are when `conj` is called."""
    require_tensor("is_conj", input)
    return False


@method
def is_neg(input: Tensor) -> bool:
    """Whether the numbers are yet to be negated: never."""
    require_tensor("is_neg", input)
    return False


@method
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: no negation is postponed."""
    require_tensor("resolve_neg", input)
    return input


@method
def conj_physical_(self: Tensor) -> Tensor:
    """`conj_physical` in place.

    >>> import gradgpu as gg
    >>> gg.tensor([1 + 2j]).conj_physical_()
    tensor([1.-2.j])
    """
    return inplace("conj_physical_", self, self.conj_physical())


@method
def dim_order(self: Tensor) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest in memory.

    >>> import gradgpu as gg
    >>> gg.zeros(2, 3).t().dim_order()
    (1, 0)
    """
    steps = self.stride()
    return tuple(sorted(range(self.ndim), key=lambda d: -steps[d]))


def typename(obj: Any) -> str:
    """The name of an object's type: 'gradgpu.FloatTensor' for a tensor of float32.

    >>> import gradgpu as gg
    >>> gg.typename(gg.zeros(1)), gg.typename(1)
    ('gradgpu.FloatTensor', 'int')
    """
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    module = "" if kind.__module__ == "builtins" else kind.__module__ + "."
    return module + kind.__qualname__


def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage, as `Tensor.storage` and `Tensor.untyped_storage` make them.

    >>> import gradgpu as gg
    >>> gg.is_storage(gg.ones(1).untyped_storage()), gg.is_storage(gg.ones(1))
    (True, False)
    """
    from ..storage import TypedStorage, UntypedStorage

    return isinstance(obj, (TypedStorage, UntypedStorage))


@method
def storage(self: Any) -> Any:
    """The memory that the tensor and its views lie in, in one dimension, as elements of its dtype: a `TypedStorage`.

    >>> import gradgpu as gg
    >>> x = gg.tensor([[4., 1.], [5., 3.]])
    >>> x[1].storage()[0], len(x.T.storage())
    (4.0, 4)
    """
    from ..storage import typed_storage

    return typed_storage(self)


@method
def untyped_storage(self: Any) -> Any:
    """The memory that the tensor and its views lie in, as bytes: an `UntypedStorage`.

    >>> import gradgpu as gg
    >>> x = gg.zeros(4)
    >>> x[2:].untyped_storage().data_ptr() == x.data_ptr(), x[2:].untyped_storage().nbytes()
    (True, 16)
    """
    from ..storage import untyped_storage as made

    return made(self)


__all__ = [
    "alias_copy", "fill", "is_conj", "is_neg", "is_storage", "resolve_neg", "nonzero_static", "typename", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes",
]  # fmt: skip
