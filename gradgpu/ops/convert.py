"""Between dtypes and devices: casts, moves, copies. All are differentiable."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LAYERS, LayerArray
from ..autograd.node import Node
from ..copies import copied
from ..cuda.array import Array
from ..devices import device as Device
from ..meta import MetaArray
from ..tensor import Tensor
from .inplace import check_writable, inplace, keep_original, unrecorded
from .registry import Op, method
from .saved import continued


def _cast_cpu(x: Any, *, dtype: Any) -> Any:
    if dtype.kind in "iub" and x.dtype.kind == "V":  # bfloat16 has no direct way to some integers
        x = x.astype(np.float32)
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    return x.astype(dtype)


def _cast_cuda(x: Any, *, dtype: Any) -> Any:
    from ..cuda.elementwise import cast

    return cast(x, dtype)


cast_op = Op("cast", _cast_cpu, _cast_cuda, {"x": lambda g, x_dtype: cast_op(g, dtype=x_dtype)})
cast_op.node_name = "ToCopyBackward0"


def _move_from_cpu(x: Any, *, device: Device, source: Device, non_blocking: bool = False) -> Any:
    if device.type == "meta":
        return MetaArray(x.shape, x.dtype)
    from ..cuda.array import from_host

    return np.array(x) if device.type == "cpu" else from_host(np.asarray(x), device.index, non_blocking)


def _move_from_cuda(x: Any, *, device: Device, source: Device, non_blocking: bool = False) -> Any:
    if device.type == "meta":
        return MetaArray(x.shape, x.dtype)
    if device.type == "cpu":
        return x.get(non_blocking=non_blocking)
    if device.index in (None, x.device):
        return x.copy()
    from ..cuda.array import contiguous, empty
    from ..cuda.backend import backend
    from ..cuda.stream import current_stream

    dense = contiguous(x)
    made = empty(x.shape, x.dtype, device.index)
    # The new memory may have been another array's, on which its device is still at work; later work there reads the copy.
    here, there = current_stream(x.device), current_stream(made.device)
    here.wait_stream(there)
    backend().copy_peer(made.ptr, made.device, dense.ptr, dense.device, dense.nbytes, here.cuda_stream)
    there.wait_stream(here)
    return made


move_op = Op(
    "to_device",
    _move_from_cpu,
    _move_from_cuda,
    {"x": lambda g, *, device, source: move_op(g, device=source, source=device)},
)
clone_op = Op(
    "clone",
    lambda x: copied(x) if type(x) is np.ndarray else x if type(x) is MetaArray else np.array(x),
    lambda x: x.copy(),
    {"x": lambda g: g},
)
fill_op = Op(
    "fill",
    lambda x, *, value: np.full(x.shape, value, x.dtype) if type(x) is not MetaArray else x,
    lambda x, *, value: _full_cuda(x, value),
    {"x": lambda g: fill_op(g, value=0.0)},
)


def _full_cuda(x: Any, value: Any) -> Any:
    from ..cuda.array import full

    return full(x.shape, value, x.dtype, x.device)


def _target(args: tuple, kwargs: dict) -> tuple[Any, Any]:
    """The device and dtype that `.to(...)` asks for."""
    where = what = None
    for x in args:
        if isinstance(x, Tensor):
            where, what = x.device, x.dtype
        elif isinstance(x, dt.dtype) or x in (float, int, bool, complex):
            what = dt.as_dtype(x)
        elif isinstance(x, (str, Device, int)) and not isinstance(x, bool):
            where = Device(x)
    other = kwargs.get("other")
    if other is not None:
        where, what = other.device, other.dtype
    if kwargs.get("device") is not None:
        where = Device(kwargs["device"])
    if kwargs.get("dtype") is not None:
        what = dt.as_dtype(kwargs["dtype"])
    return where, what


@method
def to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """The tensor on another device and/or with another dtype: `to('cuda')`, `to(gg.float64)`, `to(other)`,
    `to(device, dtype, non_blocking=False, copy=False)`. Returns self if nothing changes and `copy` is False.
    The gradient travels back to the source.

    With `non_blocking=True` the host does not wait for a copy from page-locked memory (see `pin_memory`) to cuda, nor for
    one from cuda to the CPU, which makes page-locked memory: its values are there after `gg.cuda.synchronize()`, or an
    event recorded behind it. What is copied from must not be changed before.

    >>> import gradgpu as gg
    >>> gg.ones(2).to(gg.float64).dtype
    gradgpu.float64
    """
    if len(args) == 1 and not kwargs:  # what programs write most, in few steps
        x = args[0]
        kind = type(x)
        if kind is dt.dtype:
            return self if self.dtype is x else _as_dtype(self, x)
        on_cpu = x == "cpu" if kind is str else kind is Device and x.type == "cpu"
        if on_cpu and isinstance(self._a, (np.ndarray, np.generic)):
            return self
    unknown = set(kwargs) - {"device", "dtype", "non_blocking", "copy", "other", "memory_format"}
    if unknown:
        raise TypeError(f"to() got unexpected keyword arguments {sorted(unknown)}")
    for x in args:
        if not isinstance(x, (Tensor, dt.dtype, str, Device, int, type)) and x is not None:
            raise TypeError(f"to() expects a device, a dtype or a Tensor, got {type(x).__name__}")
    flags = [a for a in args if isinstance(a, bool)]
    where, what = _target(tuple(a for a in args if not isinstance(a, bool)) if flags else args, kwargs)
    non_blocking = bool(kwargs.get("non_blocking") or flags and flags[0])
    t = self
    # Page-locked memory is copied as it is and converted on the device: an array made by converting is not page-locked.
    late = non_blocking and where is not None and where.type == "cuda"
    if what is not None and t.dtype is not what and not late:
        t = _as_dtype(t, what)
    if where is not None:
        here = t.device
        if (
            where.type != here.type
            or where.index is not None
            and where.index != here.index
            and where.type == "cuda"
        ):
            if non_blocking:
                t = move_op(t, device=where, source=here, non_blocking=True)
            else:
                t = move_op(t, device=where, source=here)
    if what is not None and late and t.dtype is not what:
        t = _as_dtype(t, what)
    if t is self and (kwargs.get("copy") or len(flags) > 1 and flags[1]):
        t = clone_op(t)
    return t


def _as_dtype(t: Any, what: dt.dtype) -> Any:
    if t.dtype.is_complex and what.category in (dt.INTEGER, dt.FLOAT):
        import warnings

        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
    # No gradient flows through integers.
    return cast_op(t if what.category >= dt.FLOAT else t.detach(), dtype=what.np)


@method
def cpu(self: Any) -> Any:
    """The tensor on the CPU; self if it is there."""
    return to(self, "cpu")


@method
def cuda(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
    """The tensor on a CUDA device (the current one by default); self if it is there. `non_blocking` as for `to`."""
    return to(self, Device("cuda") if device is None else Device(device), non_blocking=non_blocking)


def _caster(name: str, d: dt.dtype) -> None:
    def cast(self: Any, memory_format: Any = None) -> Any:
        return self if self.dtype is d else _as_dtype(self, d)

    cast.__name__, cast.__doc__ = name, f"The tensor as {d.name}; self if it is that already."
    setattr(Tensor, name, cast)


for _name in ("float", "double", "half", "bfloat16", "short", "int", "long", "bool"):
    _caster(_name, getattr(dt, _name))
_caster("char", dt.int8)
_caster("byte", dt.uint8)
for _name in ("cfloat", "cdouble"):
    _caster(_name, getattr(dt, _name))


@method
def type_as(self: Any, other: Any) -> Any:
    """The tensor with the dtype of `other`, on its device."""
    return to(self, device=other.device, dtype=other.dtype)


@method
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy with its own memory; the gradient flows through.

    >>> import gradgpu as gg
    >>> gg.clone(gg.tensor([1., 2.]))
    tensor([1., 2.])
    """
    return clone_op(input)


@method
def contiguous(self: Any, memory_format: Any = None) -> Any:
    """The tensor with its elements in row-major order: self if they are, else a copy."""
    return self if self.is_contiguous() else clone_op(self)


@method
def copy_(self: Any, src: Any = None, non_blocking: bool = False, *, other: Any = None) -> Any:
    """Copies `src`, broadcast and converted, into this tensor; the gradient flows to `src`.

    With `non_blocking=True` the host does not wait for a copy between cuda and a contiguous tensor in page-locked memory
    (see `pin_memory`); both must stay as they are until the current stream has done its work.
    """
    src = other if src is None else src  # PyTorch's documentation has the one name, its code the other
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'src' must be Tensor, not {type(src).__name__}")
    if _copy_on_host(self, src) or _copy_across(self, src, non_blocking):
        return self
    # What comes to the CPU is read there at once, so that must be waited for.
    values = to(src, self.device, self.dtype, non_blocking=non_blocking and not self.is_cpu)
    if values is src and src._edge is not None:
        if type(src._edge) is Node:
            keep_original(self, src._edge)
        values = continued(src, "CopyBackwards")  # the copy gets a history, and hooks, of its own
    return inplace("copy_", self, values if values.shape == self.shape else values.expand(self.shape))


def _copy_on_host(target: Any, src: Any) -> bool:
    """Copies between float arrays on the CPU, where that needs no more than a write to memory; whether it does."""
    a, b = target._a, src._a
    if type(a) is not np.ndarray or type(b) is not np.ndarray or a.dtype.kind != "f" or b.dtype.kind != "f":
        return False
    if not (a.flags.c_contiguous and a.flags.writeable and unrecorded(target, src)):
        return False
    try:
        np.copyto(a, b, casting="unsafe")
    except ValueError:  # the shapes do not fit: nothing was written
        return False
    target._bump()
    return True


def _copy_across(target: Any, src: Any, non_blocking: bool) -> bool:
    """Copies between the host's memory and the device's, with no array between; whether that could be done."""
    a = target._a
    up = type(a) is Array and isinstance(src._a, np.ndarray)
    if not (up or type(src._a) is Array and isinstance(a, np.ndarray)):
        return False
    if (
        not target.is_contiguous()
        or src._a.shape != a.shape
        or src._edge is not None
        or target._edge is not None
    ):
        return False
    base = target._base
    if base is not None and base._edge is not None or (up and src.dtype is not target.dtype):
        return False
    check_writable("copy_", target, src)
    if up:
        a.set(src._a, non_blocking)
    else:
        to(src, target.dtype)._a.get(target._a, non_blocking)
    target._bump()
    return True


@method
def fill_(self: Any, value: Any) -> Any:
    """Sets every element to `value`, a number or a 0-dim tensor."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions."
            )
        return copy_(self, value)
    if self._edge is None and self._base is None and not (LAYERS and isinstance(self._a, LayerArray)):
        check_writable("fill_", self)
        self._materialise()
        a = self._a
        if isinstance(a, np.ndarray):
            a.fill(value)
        elif type(a) is not MetaArray:  # which has nothing to fill
            from ..cuda.elementwise import fill

            fill(a, value)
        self._bump()
        return self
    return inplace("fill_", self, fill_op(self, value=value))


@method
def zero_(self: Any) -> Any:
    """Sets every element to zero."""
    return fill_(self, 0)


__all__ = ["clone"]
