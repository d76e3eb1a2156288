"""In-place forms and other names of methods that few programs call; methods that go through Python or look at memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tensor import Tensor, wrap
from .inplace import check_writable, inplace
from .join import chunk, split
from .masks import nonzero
from .pad import pad
from .pointwise import _inplace_method, prelu, where
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
def resize_as_(self: Tensor, other: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of `other`."""
    return self.resize_(tuple(other.shape))


@method
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether the memory is page-locked: it never is, copies go through pageable memory."""
    return False


@method
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: copies to a GPU go through pageable memory."""
    if not self.is_cpu:
        raise RuntimeError(f"cannot pin 'gradgpu.{self.device}' only dense CPU tensors can be pinned")
    return self


@method
def new_empty_strided(
    self: Tensor, size: Sequence[int], stride: Sequence[int], dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """As `empty_strided`, with this tensor's dtype and device unless given."""
    from .factories import empty_strided

    return empty_strided(
        size,
        stride,
        dtype=self.dtype if dtype is None else dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
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


def _apart(parts: tuple) -> tuple:
    """Views that forget what they are views of."""
    for part in parts:
        base = part._base
        base._views = [ref for ref in base._views if ref() is not part]
        part._base = part._chain = part._origin = None
    return parts


@method
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """`chunk`; see `unsafe_split`."""
    return _apart(chunk(input, chunks, dim))


@method
def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple:
    """`split` into parts that may be changed in place: to autograd they are no views, so `tensor` must not be used after."""
    return _apart(split(tensor, split_size, dim))


@method
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple:
    """`split` by sizes; see `unsafe_split`."""
    return _apart(split(input, split_sizes, dim))


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
    """Whether `obj` is a storage: there are none, memory is a numpy array or an Array."""
    return False


__all__ = [
    "alias_copy", "fill", "is_conj", "is_neg", "is_storage", "resolve_neg", "nonzero_static", "typename", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes",
]  # fmt: skip
