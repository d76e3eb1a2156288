"""New tensors: from data, filled, ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LAYERS, LayerArray, alike
from ..devices import as_device
from ..devices import device as Device
from ..layouts import strided_only
from ..meta import MetaArray
from ..tensor import Size, Tensor, wrap
from .registry import method, refuse_others


def array_on(values: np.ndarray, device: Device) -> Any:
    """A numpy array as an array of `device`: itself on the CPU, a copy on cuda."""
    if values.dtype.kind == "c":
        dt.note_complex()
    if device.type == "cpu":
        return values
    if device.type == "meta":
        return MetaArray(values.shape, values.dtype)
    from ..cuda.array import from_host

    return from_host(np.asarray(values), device.index)


def _finish(array: Any, requires_grad: bool, pin_memory: bool = False) -> Tensor:
    t = wrap(_pinned(array) if pin_memory else array)
    if requires_grad:
        t.requires_grad = True
    return t


def _pinned(array: Any) -> Any:
    """An array on the CPU in page-locked memory; on 'meta' there is none to choose."""
    if type(array) is MetaArray:
        return array
    if not isinstance(array, (np.ndarray, np.generic)):
        raise RuntimeError("pin_memory: Only dense CPU tensors can be pinned; leave out device='cuda'")
    from ..cuda.pinned import copy

    return copy(array)


def _first_leaf(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _depth(data: Any) -> int:
    """How many dimensions nested sequences have, along their first entries; a tensor in them counts as a number."""
    depth = 0
    while isinstance(data, (list, tuple)) and data:
        depth += 1
        data = data[0]
    return depth + (data.ndim if isinstance(data, np.ndarray) else 0)


def _plain(data: Any, depth: int) -> Any:
    """Nested sequences with tensors in them as nested sequences of numbers and arrays, of so many dimensions."""
    if isinstance(data, Tensor):
        array = data.detach().numpy(force=True)
        if depth:
            return array
        if array.size != 1:
            raise ValueError(
                f"tensor: only one element tensors can be converted to Python scalars, this one has shape {array.shape}: "
                "join tensors with stack or cat"
            )
        return array.reshape(())
    if isinstance(data, (list, tuple)):
        return [_plain(x, depth - 1) for x in data]
    return data


def _promoted(data: Any) -> dt.dtype | None:
    """The dtype of nested sequences of numbers, arrays and tensors, promoted; Python's floats have the default dtype."""
    if isinstance(data, (list, tuple)):
        kinds = {found for found in map(_promoted, data) if found is not None}
        return reduce(dt.promote_types, kinds) if kinds else None
    if isinstance(data, Tensor):
        return data.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        return dt.from_numpy_dtype(data.dtype)
    default = dt.get_default_dtype()
    if isinstance(data, int):
        return dt.bool if isinstance(data, bool) else dt.int64
    return default if isinstance(data, float) else default.to_complex()


_NUMBERS = {bool, int, float, complex}


def _of_python(data: Any) -> bool:
    """Whether nested sequences hold Python's numbers only: numpy's and tensors bring dtypes of their own."""
    for _ in range(64):  # dimensions, of which numpy has no more
        kinds = set(map(type, data))
        if kinds <= _NUMBERS:
            return True
        if not kinds <= {list, tuple}:
            break
        data = list(chain.from_iterable(data))
    return False


def host_array(data: Any, dtype: dt.dtype | None) -> np.ndarray:
    """Data of any kind as a new numpy array of a gradgpu dtype."""
    if dtype is dt.bfloat16:
        return host_array(data, dt.float32).astype(dtype.np)
    if isinstance(data, (list, tuple)):
        numeric = _of_python(data)
    else:
        numeric = not isinstance(data, (np.ndarray, np.generic, Tensor))
    plain: Any = data
    if not numeric:
        plain = _plain(data, _depth(data) if isinstance(data, (list, tuple)) else 1)
    try:
        a = np.array(plain, dtype=None if dtype is None else dtype.np)
    except ValueError as error:
        raise ValueError(f"tensor: the nested sequences do not form a rectangular array: {error}") from None
    except OverflowError as error:
        raise RuntimeError(
            f"tensor: value cannot be converted to {dtype} without overflow: {error}"
        ) from None
    if a.dtype.kind in "OUS":
        leaf = _first_leaf(data)
        if leaf is None:
            raise RuntimeError("tensor: Could not infer dtype of NoneType; give numbers")
        if isinstance(leaf, int):
            raise ValueError("tensor: Overflow when unpacking long: integers lie in [-2⁶³, 2⁶³)")
        raise TypeError(
            f"tensor: cannot make a tensor of {type(_first_leaf(data)).__name__} values; numbers and bools can be stored"
        )
    if dtype is None and numeric and a.dtype == np.float64:
        return a.astype(dt.get_default_dtype().np)
    if dtype is None and numeric and a.dtype == np.complex128:
        return a.astype(dt.get_default_dtype().to_complex().np)
    found = dt.from_numpy_dtype(a.dtype)
    if dtype is None and isinstance(data, (list, tuple)) and a.dtype.kind in "fc":
        found = _promoted(data) or found  # numpy takes Python's floats for float64
        return a.astype(found.np, copy=False)
    return a.astype(a.dtype.newbyteorder("="), copy=False)


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences, a numpy array or a tensor.

    Python floats become the default dtype (float32), ints int64, bools bool; numpy arrays keep their dtype.
    `pin_memory=True` puts a tensor on the CPU into page-locked memory, as `Tensor.pin_memory` does; other factories have it,
    too.

    Raises:
        ValueError: the sequences are ragged. TypeError: values that are no numbers.

    >>> import gradgpu as gg
    >>> gg.tensor([[1., 2.], [3., 4.]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    d = None if dtype is None else dt.as_dtype(dtype)
    if isinstance(data, Tensor):
        made = data.detach().clone().to(data.device if device is None else Device(device), d or data.dtype)
        return _finish(made._a, requires_grad, pin_memory)
    if hasattr(data, "__cuda_array_interface__"):
        return _finish(as_tensor(_foreign(data).clone(), d, device)._a, requires_grad, pin_memory)
    where = as_device(device)
    made = array_on(host_array(data, d), where)
    if type(data) is float and where.type == "cpu" and made.dtype != dt.bfloat16.np:
        made = made[()]  # a numpy scalar, whose arithmetic is fast
    return _finish(made, requires_grad, pin_memory)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory where it can (a tensor or array of that dtype and device).

    Arrays are numpy's, and on a GPU those of any library that has `__cuda_array_interface__`, as CuPy's.
    """
    if isinstance(data, Tensor):
        return data.to(
            data.device if device is None else Device(device),
            data.dtype if dtype is None else dt.as_dtype(dtype),
        )
    if hasattr(data, "__cuda_array_interface__"):
        return as_tensor(_foreign(data), dtype, device)
    where = as_device(device)
    if (
        isinstance(data, np.ndarray)
        and where.type == "cpu"
        and (dtype is None or data.dtype == dt.as_dtype(dtype).np)
    ):
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`obj` as a tensor; `copy=True` always copies, `copy=False` raises ValueError if it would have to.

    Of a tensor that requires grad the result is detached, unless `requires_grad`.
    """
    made = as_tensor(obj, dtype, device)
    if isinstance(obj, np.ndarray):
        shares = made.is_cpu and np.may_share_memory(made._a, obj)
    else:
        described = getattr(obj, "__cuda_array_interface__", None) if made.is_cuda else None
        shares = made is obj or described is not None and described["data"][0] == made.data_ptr()
    if copy and shares:
        made = made.detach().clone()
    elif copy is False and not shares:
        raise ValueError(
            "asarray: can't alias or view the data as the requested dtype or device without a copy"
        )
    if made.requires_grad is not requires_grad:
        made = made.detach()
        made.requires_grad = requires_grad
    return made


def from_numpy(array: np.ndarray) -> Tensor:
    """A cpu tensor that shares the memory of a numpy array.

    >>> import gradgpu as gg, numpy as np
    >>> a = np.zeros(2)
    >>> t = gg.from_numpy(a)
    >>> a[0] = 1
    >>> t
    tensor([1., 0.], dtype=gradgpu.float64)
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    dt.from_numpy_dtype(array.dtype)
    if not array.dtype.isnative:
        raise ValueError(
            f"from_numpy: byte order {array.dtype} is not this machine's; use array.astype(array.dtype.newbyteorder('='))"
        )
    return wrap(array)


def _foreign(x: Any) -> Tensor:
    """A tensor over another library's device memory."""
    from ..cuda.interop import from_cuda_array_interface

    return wrap(from_cuda_array_interface(x))


class _Capsule:
    """A DLPack capsule as an object that has it: numpy reads no others."""

    def __init__(self, capsule: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class _Writable:
    """The memory of an array, which it keeps alive, as one that may be written."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def _from_capsule(x: Any) -> Tensor:
    try:
        found = np.from_dlpack(_Capsule(x))
    except (RuntimeError, BufferError):  # device memory, which numpy leaves to others
        from ..cuda.interop import from_capsule

        return wrap(from_capsule(lambda device: _Capsule(x, device)))
    # Capsules do not say whether the memory may be written, and numpy then takes it for constant; it never is.
    return from_numpy(np.asarray(_Writable(found)))


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of another library's array, by DLPack (CPU), or by the CUDA array interface.

    Args:
        ext_tensor: an object with ``__dlpack__`` or ``__cuda_array_interface__``, or a DLPack capsule.
        device: where the tensor is to be; another device than the array's means a copy.
        copy: True: always a copy; False: ValueError if one is needed.

    Raises:
        TypeError: `ext_tensor` is none of them. BufferError: the memory cannot be shared.

    >>> import gradgpu as gg, numpy as np
    >>> a = np.zeros(2)
    >>> gg.from_dlpack(a)[0] = 3.0
    >>> a
    array([3., 0.])
    """
    made = _shared(ext_tensor)
    moved = made if device is None else made.to(device)
    if copy is False and moved is not made:
        raise ValueError(f"from_dlpack: a tensor on {moved.device} of an array on {made.device} is a copy")
    return moved.clone() if copy and moved is made else moved


def _shared(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x.detach()
    if hasattr(x, "__cuda_array_interface__"):
        return _foreign(x)
    if type(x).__name__ == "PyCapsule":
        return _from_capsule(x)
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: a {type(x).__name__} has no __dlpack__")
    return from_numpy(np.from_dlpack(x))


def _shape(size: tuple, name: str, keyword: Any = None) -> tuple[int, ...]:
    """`zeros(2, 3)`, `zeros((2, 3))` and `zeros(size=(2, 3))`."""
    if keyword is not None:
        if size:
            raise TypeError(f"{name}() got multiple values for argument 'size'")
        size = (keyword,)
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    for n in size:
        if type(n) is not int or n < 0:
            break
    else:
        return size
    try:
        shape = tuple([int(n.__index__()) for n in size])
    except AttributeError:
        raise TypeError(f"{name}(): the size must be integers, got {size!r}") from None
    if any(n < 0 for n in shape):
        raise RuntimeError(f"{name}: Trying to create tensor with negative dimension: {list(shape)}")
    return shape


def filled(
    shape: tuple, value: Any, dtype: Any, device: Any, requires_grad: bool, pin_memory: bool = False
) -> Tensor:
    """A tensor of one value (None: uninitialised)."""
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    where = as_device(device)
    if pin_memory and where.type == "cpu":
        from ..cuda import pinned

        made: Any = pinned.empty(shape, d.np)
        if value is not None:
            made.fill(value)
        pin_memory = False
    elif where.type == "cpu":
        made = (
            np.empty(shape, d.np)
            if value is None
            else np.zeros(shape, d.np)
            if value == 0
            else np.full(shape, value, d.np)
        )
    elif where.type == "meta":
        made = MetaArray(shape, d.np)
    else:
        from ..cuda import array

        if value is None:
            made = array.empty(shape, d.np, where.index)
        else:
            made = (
                array.zeros(shape, d.np, where.index)
                if value == 0
                else array.full(shape, value, d.np, where.index)
            )
    return _finish(made, requires_grad, pin_memory)


def zeros(
    *sizes: Any,
    size: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of zeros.

    >>> import gradgpu as gg
    >>> gg.zeros(2, 2)
    tensor([[0., 0.],
            [0., 0.]])
    """
    if layout is not None:
        strided_only("zeros", layout)
    made = filled(_shape(sizes, "zeros", size), 0, dtype, device, requires_grad, pin_memory)
    return made if out is None else _into("zeros", out, made)


def ones(
    *sizes: Any,
    size: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of ones."""
    if layout is not None:
        strided_only("ones", layout)
    made = filled(_shape(sizes, "ones", size), 1, dtype, device, requires_grad, pin_memory)
    return made if out is None else _into("ones", out, made)


def empty(
    *sizes: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor."""
    if layout is not None:
        strided_only("empty", layout)
    made = filled(_shape(sizes, "empty", size), None, dtype, device, requires_grad, pin_memory)
    return made if out is None else _into("empty", out, made)


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of `fill_value`; the dtype follows from it if not given."""
    if layout is not None:
        strided_only("full", layout)
    if isinstance(fill_value, (Tensor, np.generic)):
        fill_value = fill_value.item()
    if dtype is None:
        dtype = dt.result_type(fill_value)
    made = filled(
        _shape((size,) if isinstance(size, int) else tuple(size), "full"),
        fill_value,
        dtype,
        device,
        requires_grad,
        pin_memory,
    )
    return made if out is None else _into("full", out, made)


def _into(name: str, out: Any, made: Tensor) -> Tensor:
    from .inplace import write_out

    return write_out(name, out, made.to(out.dtype))


def _like(input: Any, value: Any, dtype: Any, device: Any, requires_grad: bool, pin_memory: bool) -> Tensor:
    if not isinstance(input, Tensor):
        refuse_others("a function of the kind zeros_like", input=input)
    where = input.device if device is None else device
    made = filled(tuple(input.shape), value, dtype or input.dtype, where, requires_grad, pin_memory)
    return _beside(input, made)


def _beside(input: Any, made: Tensor) -> Tensor:
    """A new tensor with the dimensions that vmap hides of `input`, so that it can be filled with values like those."""
    if not LAYERS or not isinstance(input._a, LayerArray):
        return made
    return alike(made.detach(), input._a).requires_grad_(made.requires_grad)


def zeros_like(
    input: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Zeros of the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("zeros_like", layout)
    return _like(input, 0, dtype, device, requires_grad, pin_memory)


def ones_like(
    input: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Ones of the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("ones_like", layout)
    return _like(input, 1, dtype, device, requires_grad, pin_memory)


def empty_like(
    input: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """An uninitialised tensor of the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("empty_like", layout)
    return _like(input, None, dtype, device, requires_grad, pin_memory)


def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`fill_value` in the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("full_like", layout)
    return _like(input, fill_value, dtype, device, requires_grad, pin_memory)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers from `start` (0 if only one bound is given) up to and without `end`, in steps of `step`.

    int64 if all are ints, else the default dtype.

    >>> import gradgpu as gg
    >>> gg.arange(1, 4)
    tensor([1, 2, 3])
    """
    if layout is not None:
        strided_only("arange", layout)
    if end is None:
        start, end = 0, start
    if dtype is None and type(start) is type(end) is type(step) is int and (end - start) * step > 0:
        values = np.arange(start, end, step, dtype=np.int64)
    else:
        values = _range(start, end, step, dtype)
    made = _finish(array_on(values, as_device(device)), requires_grad, pin_memory)
    return made if out is None else _into("arange", out, made)


def _range(start: Any, end: Any, step: Any, dtype: Any) -> np.ndarray:
    start, end, step = (x.item() if isinstance(x, (Tensor, np.generic)) else x for x in (start, end, step))
    if step == 0:
        raise RuntimeError("arange: step must be nonzero")
    if (end - start) / step < 0:
        raise RuntimeError(
            f"arange: upper bound and lower bound inconsistent with step sign: {start}, {end}, step {step}"
        )
    if dtype is None and any(isinstance(x, float) for x in (start, end, step)):
        dtype = dt.get_default_dtype()
    d = dt.int64 if dtype is None else dt.as_dtype(dtype)
    if not all(map(math.isfinite, (start, end, step))):
        raise RuntimeError(f"arange: unsupported range: {start} -> {end}")
    first, last, stride = start, end, step
    if (
        d.category < dt.FLOAT
    ):  # as PyTorch: the bounds lose their fractions, for the count those of int64 only
        start, step = int(start), int(step)
        if d is dt.int64:
            if step == 0:
                raise RuntimeError("arange: step must be nonzero")
            first, last, stride = start, int(end), step
    count = max(0, math.ceil((last - first) / stride))
    return (start + step * np.arange(count)).astype(d.np)


def _spaced(name: str, start: Any, end: Any, steps: int) -> np.ndarray:
    for which, x in (("start", start), ("end", end)):
        if isinstance(x, Tensor) and x.ndim:
            raise RuntimeError(
                f"{name} only supports 0-dimensional start and end tensors, but got {which} with {x.ndim} dimension(s)"
            )
    if steps < 0:
        raise RuntimeError(f"{name}: number of steps must be non-negative, got {steps}")
    start, end = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    return np.linspace(start, end, steps)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`steps` evenly spaced numbers from `start` to `end`, both included.

    >>> import gradgpu as gg
    >>> gg.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if layout is not None:
        strided_only("linspace", layout)
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    values = _spaced("linspace", start, end, steps).astype(d.np)
    made = _finish(array_on(values, as_device(device)), requires_grad, pin_memory)
    return made if out is None else _into("linspace", out, made)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`base` to the powers `linspace(start, end, steps)`.

    >>> import gradgpu as gg
    >>> gg.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    if layout is not None:
        strided_only("logspace", layout)
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    values = float(base) ** _spaced("logspace", start, end, steps)
    return _finish(array_on(values.astype(d.np), as_device(device)), requires_grad, pin_memory)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The n × m matrix with ones on the diagonal.

    >>> import gradgpu as gg
    >>> gg.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    if layout is not None:
        strided_only("eye", layout)
    for name, size in (("n", n), ("m", m)):
        if size is not None and size < 0:
            raise RuntimeError(f"eye: {name} must be greater or equal to 0, got {size}")
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    return _finish(array_on(np.eye(n, m).astype(d.np), as_device(device)), requires_grad, pin_memory)


def scalar_tensor(
    value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A 0-dim tensor of the default dtype."""
    if layout is not None:
        strided_only("scalar_tensor", layout)
    d = dtype or dt.get_default_dtype()
    return tensor(value, dtype=d, device=device, requires_grad=requires_grad, pin_memory=pin_memory)


def legacy_constructor(data: Sequence, device: Any) -> Any:
    """The array of `Tensor(2, 3)` or `Tensor([1., 2.])`."""
    where = as_device(device)
    d = dt.get_default_dtype()
    shape = legacy_shape(tuple(data) or (0,), "Tensor")
    if shape is None:
        return array_on(host_array(data[0], d), where)
    return filled(shape, None, d, where, False)._a


def legacy_shape(arguments: tuple, name: str) -> tuple[int, ...] | None:
    """The shape that `Tensor(2, 3)` names; None if `arguments` are data.

    Raises:
        TypeError: one number that is no size, or several arguments that are no sizes.
    """
    first = arguments[0]
    if len(arguments) > 1 or isinstance(first, (Size, int, np.integer)):
        return _shape(tuple(first) if isinstance(first, Size) else arguments, name)
    if isinstance(first, np.ndarray) and not first.ndim and first.dtype.kind in "iu":
        return _shape((int(first),), name)
    if first is None or isinstance(first, (float, complex, str, np.generic)):
        raise TypeError(
            f"{name}(): data must be a sequence (got {type(first).__name__}); use gradgpu.tensor({first!r})"
        )
    return None


def _new_method(name: str, function: Any) -> None:
    def make(
        self: Any, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
        **named: Any,
    ) -> Tensor:  # fmt: skip
        if dtype is None:
            dtype = self.dtype
        where = self.device if device is None else device
        made = function(
            *args, dtype=dtype, device=where, requires_grad=requires_grad, pin_memory=pin_memory, **named
        )
        return made if name == "new_tensor" else _beside(self, made)

    make.__name__ = name
    make.__doc__ = f"As `gradgpu.{name[4:]}`, with this tensor's dtype and device unless given."
    method(name)(make)


for _name, _function in {
    "new_zeros": zeros,
    "new_ones": ones,
    "new_empty": empty,
    "new_full": full,
    "new_tensor": tensor,
}.items():
    _new_method(_name, _function)

__all__ = [
    "arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace",
    "logspace", "ones", "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like",
]  # fmt: skip
