"""`x[index]` and `x[index] = value`, with the rules of numpy and PyTorch.

An index is cut into a basic part (ints, slices, None, Ellipsis), which makes a view, and an advanced
part (integer tensors, lists, arrays, bool masks), which gathers. Several advanced indices are broadcast
together and folded into one index over the product of their dimensions.
"""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LayerArray
from ..autograd.modes import MODES, state
from ..cuda.array import Array
from ..cuda.elementwise import broadcast_shapes
from ..tensor import Tensor, wrap
from . import shape as _shape
from .creation import tensor
from .index import (
    check_bounds,
    count_from_start,
    index_add_op,
    index_put_op,
    index_tensor,
    put_rows_into,
    take_op,
)
from .inplace import assign, check_writable, inplace, unrecorded
from .masks import flat_nonzero, unravel_op
from .registry import Op, method

_int, _slice, _ndarray, _INT64, _BOOL = int, slice, np.ndarray, np.dtype(np.int64), np.dtype(np.bool_)
_ALL = slice(None)
_NAME = "index"


def _ravel_cpu(*indices, sizes):
    flat: Any = None
    for d, (index, n) in enumerate(zip(indices, sizes)):
        check_bounds(_NAME, index, n, True, d)
        index = count_from_start(index, n)
        flat = index if flat is None else flat * n + index
    return flat


def _ravel_cuda(*indices, sizes):
    from ..cuda.indexing import ravel_index

    return ravel_index(_NAME, indices, sizes)


# Several indices into dimensions of these sizes as one index into their product.
ravel_index_op = Op("ravel_index", _ravel_cpu, _ravel_cuda, differentiable=False)


def _is_number(i: Any) -> bool:
    """Whether an entry that is no Tensor stands for one int."""
    return hasattr(i, "__index__") and not (isinstance(i, _ndarray) and (i.ndim or i.dtype.kind == "b"))


def _whole(i: Any) -> int:
    """The int that an entry, or a bound of a slice, stands for."""
    if (
        type(i) is Tensor
        and isinstance(i._a, (np.ndarray, np.generic))
        and i._a.dtype is _INT64
        and not i._a.ndim
    ):
        return i._a.item()
    return i.__index__()


def _begins_dimension(i: Any) -> bool:
    """Whether an entry of a list makes the list an index of several dimensions."""
    return i is None or i is Ellipsis or isinstance(i, (_slice, Tensor, list, tuple, range, _ndarray))


def _parts(x: Any, index: Any) -> list[Any]:
    """The entries of an index, lists and arrays as tensors; a list of numbers at the top is an index of its own."""
    entries: list[Any] = []
    if isinstance(index, list) and len(index) < 32 and any(map(_begins_dimension, index)):
        # As PyTorch 2.13, which took this over from old numpy.
        warnings.warn(
            "index: a list with slices, sequences or tensors in it indexes several dimensions, as a tuple does; that is "
            "deprecated in PyTorch, write x[tuple(list)], or x[tensor(list)] for an index of one dimension",
            stacklevel=3,
        )
        index = tuple(index)
    for i in index if isinstance(index, tuple) else (index,):
        if type(i) is _int or i is None or i is Ellipsis:
            entries.append(i)
        elif isinstance(i, _slice):
            if i.step is not None and not isinstance(i.step, Tensor) and i.step <= 0:
                raise ValueError(
                    f"index: slice step must be positive, got {i.step}; use x.flip(dim) to reverse"
                )
            entries.append(
                _slice(*[b if b is None or type(b) is _int else _whole(b) for b in (i.start, i.stop, i.step)])
            )
        elif isinstance(i, (bool, np.bool_)):
            entries.append(tensor(bool(i), device=x.device))
        elif isinstance(i, Tensor):
            # a 0-dim integer tensor on the CPU is a number: no gather is needed
            number = i.ndim == 0 and i.dtype.category == dt.INTEGER and not i.is_cuda
            entries.append(_whole(i) if number and not isinstance(i._a, LayerArray) else i)
        elif _is_number(i):
            entries.append(i.__index__())
        elif isinstance(i, (list, tuple, range, _ndarray)):
            made = tensor(list(i) if isinstance(i, range) else i)
            entries.append(
                made.to(x.device, dt.int64)
                if made.numel() == 0 and not isinstance(i, _ndarray)
                else made.to(x.device)
            )
        else:
            raise IndexError(
                f"index: only integers, slices (`:`), ellipsis (`...`), None and integer or bool tensors are valid indices, got {type(i).__name__}"
            )
    if len(entries) > 1 and any(isinstance(i, Tensor) and (i.ndim or i.dtype is dt.bool) for i in entries):
        # Beside tensors with dimensions a 0-dim one on cuda is a number too (which waits): as an index of theirs it would
        # decide where the result has their dimensions.
        entries = [
            int(i)
            if isinstance(i, Tensor)
            and not i.ndim
            and i.dtype.category == dt.INTEGER
            and not isinstance(i._a, LayerArray)
            else i
            for i in entries
        ]
    return entries


def _split(x: Any, entries: list) -> tuple[tuple, list]:
    """The basic index, and the advanced indices into the view it makes: [(first dimension, how many, int64 tensor)].

    A mask stands for the positions where it is True, an index into the product of its dimensions; a 0-dim mask for a
    new dimension.
    """
    consumed = 0
    for i in entries:
        if isinstance(i, Tensor):
            consumed += i.ndim if i.dtype in (dt.bool, dt.uint8) else 1
        elif i is not None and i is not Ellipsis:
            consumed += 1
    shape = x._a.shape
    if consumed > len(shape):
        raise IndexError(
            f"index: too many indices for tensor of dimension {len(shape)} (shape {tuple(shape)}): {consumed} are given"
        )
    if sum(i is Ellipsis for i in entries) > 1:
        raise IndexError("index: an index can only have a single ellipsis ('...')")
    if not any(i is Ellipsis for i in entries):
        entries = [*entries, Ellipsis]
    basic: list = []
    advanced: list = []
    source = made = 0  # dimension of x, of the view
    for i in entries:
        if i is Ellipsis:
            skip = len(shape) - consumed
            basic += [_slice(None)] * skip
            source, made = source + skip, made + skip
        elif i is None:
            basic.append(None)
            made += 1
        elif isinstance(i, _slice):
            basic.append(i)
            source, made = source + 1, made + 1
        elif not isinstance(i, Tensor):
            n = shape[source]
            if not -n <= i < n:
                raise IndexError(f"index: index {i} is out of bounds for dimension {source} with size {n}")
            basic.append(i)
            source += 1
        elif i.dtype in (dt.bool, dt.uint8):
            if i.ndim == 0:  # x[True] is x[None], x[False] an empty one
                basic.append(None)
                advanced.append((made, 1, flat_nonzero(i.reshape((1,)))))
                made += 1
                continue
            for d in range(i.ndim):
                if i.shape[d] != shape[source + d]:
                    raise IndexError(
                        f"index: The shape of the mask {list(i.shape)} at index {d} does not match the shape of the indexed tensor "
                        f"{list(shape)} at index {source + d}"
                    )
            basic += [_slice(None)] * i.ndim
            advanced.append((made, i.ndim, flat_nonzero(i)))
            source, made = source + i.ndim, made + i.ndim
        else:
            basic.append(_slice(None))
            advanced.append((made, 1, index_tensor(_NAME, i)))
            source, made = source + 1, made + 1
    return tuple(basic), advanced


def _fold(view: Any, advanced: list) -> tuple[Any, Any, int, list | None]:
    """One index for all: (view with the indexed dimensions joined, index, its dimension, how the view was permuted).

    The dimensions of the index stay in place if the indexed ones stand side by side, else they go first.
    """
    device, shape = view.device, tuple(view.shape)
    if len(advanced) == 1:
        dim, count, index = advanced[0]
        if count > 1:
            view = view.reshape((*shape[:dim], prod(shape[dim : dim + count]), *shape[dim + count :]))
        return view, index if index.device == device else index.to(device), dim, None
    dims: list[int] = []
    indices: list[Any] = []
    for dim, count, index in advanced:
        dims += range(dim, dim + count)
        index = index if index.device == device else index.to(device)
        indices += [index] if count == 1 else unravel_op(index, shape=shape[dim : dim + count]).unbind(1)
    order = None
    if dims != list(range(dims[0], dims[0] + len(dims))):  # they do not stand side by side
        order = [*dims, *[d for d in range(view.ndim) if d not in dims]]
        view = _shape.permute_op(view, dims=tuple(order))
        dims = list(range(len(dims)))
    try:
        joint = broadcast_shapes(_NAME, *[tuple(i.shape) for i in indices])
    except RuntimeError as error:
        raise IndexError(
            f"index: shape mismatch: indexing tensors could not be broadcast together: {error}"
        ) from None
    indices = [i if i.shape == joint else i.expand(joint) for i in indices]
    shape = tuple(view.shape)
    sizes = shape[dims[0] : dims[-1] + 1]
    if len(sizes) > 8:
        raise IndexError(f"index: at most 8 tensor indices are supported, got {len(sizes)}")
    index = ravel_index_op(*indices, sizes=sizes)
    if prod(sizes) == 0 and index.numel():
        raise IndexError(
            f"index: {index.numel()} indices into dimensions of sizes {list(sizes)}: every index is out of bounds"
        )
    return view.reshape((*shape[: dims[0]], prod(sizes), *shape[dims[-1] + 1 :])), index, dims[0], order


def _basic(x: Any, index: Any) -> tuple | None:
    """The index as a tuple if it is made of valid ints, slices, None and one Ellipsis only, else None: the quick way."""
    shape = x._a.shape
    if type(index) is not tuple:
        index = (index,)
    d, n = 0, len(shape)
    gap = False
    for i in index:
        kind = type(i)
        if i is Ellipsis:
            skipped = n - sum([j is not None and j is not Ellipsis for j in index])
            if gap or skipped < 0:
                return None
            gap, d = True, d + skipped
        elif i is not None:
            if not 0 <= d < n:
                return None
            if kind is _int:
                if not -shape[d] <= i < shape[d]:
                    return None
            elif kind is _slice:
                start, stop, step = i.start, i.stop, i.step
                if (
                    start is not None
                    and type(start) is not _int
                    or stop is not None
                    and type(stop) is not _int
                    or step is not None
                    and (type(step) is not _int or step <= 0)
                ):
                    return None
            else:
                return None
            d += 1
    return index if d <= n else None


def _as_numpy_has_it(index: Any) -> tuple | None:
    """The index made of arrays if it means the same to numpy: tensors alone, or one of them among whole dimensions."""
    arrays: list[Any] = []
    tensors = 0
    for i in index if type(index) is tuple else (index,):
        if type(i) is Tensor:
            a = i._a
            if type(a) is not _ndarray or not a.ndim or a.dtype is not _INT64 and a.dtype is not _BOOL:
                return None
            tensors += 1
            arrays.append(a)
        elif type(i) is _slice and i == _ALL:
            arrays.append(_ALL)
        else:
            return None
    return tuple(arrays) if tensors == len(arrays) or tensors == 1 else None


class _Taken:
    """`x[index]` of an array, where nothing is recorded, by numpy."""

    name = "index"

    def of(self, a: np.ndarray, arrays: tuple) -> Tensor | None:
        """The entries; None if an index is out of bounds or does not fit, which the long way explains."""
        try:
            return wrap(a[arrays])
        except IndexError:
            return None


_taken = _Taken().of


def _all_basic(entries: list) -> bool:
    return not any(isinstance(i, Tensor) for i in entries)


@method
def __getitem__(self: Any, index: Any) -> Any:
    """`x[index]`: a view for ints, slices, None and Ellipsis; a copy for integer tensors, lists and masks.

    >>> import gradgpu as gg
    >>> x = gg.arange(6).reshape(2, 3)
    >>> x[1, ::2], x[:, [2, 0]]
    (tensor([3, 5]), tensor([[2, 0],
            [5, 3]]))
    """
    if type(index) is Tensor:
        a = index._a
        if (
            type(a) is _ndarray
            and a.ndim
            and a.dtype is _INT64
            and type(self._a) is _ndarray
            and self._a.ndim
        ):
            return take_op(self, index, dim=0, negative=True, op=_NAME)
    quick = _basic(self, index)
    if quick is not None:
        return _shape.indexed(self, quick)
    if type(self._a) is _ndarray and (self._edge is None or MODES and not state.grad):
        arrays = _as_numpy_has_it(index)
        taken = None if arrays is None else _taken(self._a, arrays)
        if taken is not None:
            return taken
    entries = _parts(self, index)
    quick = _basic(self, tuple(entries))  # tensors that stand for numbers are numbers by now
    if quick is not None:
        return _shape.indexed(self, quick)
    basic, advanced = _split(self, entries)
    if not advanced:
        return _shape.basic_index_op(self, index=basic)
    view, at, dim, _ = _fold(_viewed(self, basic), advanced)
    return take_op(view, at, dim=dim, negative=True, op=_NAME)


def _value(self: Any, value: Any) -> Any:
    """The value to store, as a tensor of this tensor's dtype and device."""
    if not isinstance(value, Tensor):
        made = value if isinstance(value, _ndarray) else np.asarray(value)
        if made.dtype.kind not in "biufc":
            raise TypeError(f"index_put_: can't assign a {type(value).__name__} to a {self.dtype} tensor")
        return tensor(
            made.astype(np.float32) if self.dtype is dt.bfloat16 else made,
            dtype=self.dtype,
            device=self.device,
        )
    if value.device != self.device:
        if value.ndim:
            raise RuntimeError(
                f"index_put_: expected the value on {self.device}, got {value.device}; move it with value.to('{self.device}')"
            )
        value = value.to(self.device)
    return value if value.dtype is self.dtype else value.to(self.dtype)


def _fit(value: Any, shape: tuple) -> Any:
    """The value broadcast to the indexed places; leading dimensions of size 1 are dropped."""
    if tuple(value.shape) == shape:
        return value
    lead = value.ndim - len(shape)
    if lead > 0 and all(n == 1 for n in value.shape[:lead]):
        value = value.reshape(tuple(value.shape[lead:]))
    try:
        return value.expand(shape)
    except RuntimeError:
        raise RuntimeError(
            f"index_put_: shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of shape {list(shape)}"
        ) from None


@method
def __setitem__(self: Any, index: Any, value: Any) -> None:
    """`x[index] = value`: a number or a tensor that broadcasts to the indexed places; gradients flow to it."""
    quick = _basic(self, index)
    if quick is not None and _assign(self, quick, value):
        return
    if quick is None:
        arrays = _as_numpy_has_it(index)
        if arrays is not None and _assign(self, arrays, value, gathers=True):
            return
    entries = None if quick is not None else _parts(self, index)
    if entries is not None and len(entries) == 1 and _is_mask(self, entries[0], value):
        self.masked_fill_(entries[0], value)
        return
    if entries is None or _all_basic(entries):
        basic, advanced = (quick, []) if entries is None else _split(self, entries)
        view = _shape.basic_index_op(self, index=basic)
        if isinstance(value, (int, float)):
            view.fill_(value)
        else:
            view.copy_(_fit(_value(self, value), tuple(view.shape)))
        return
    basic, advanced = _split(self, entries)
    check_writable("index_put_", self)
    _put(_viewed(self, basic), advanced, value)


def _assign(x: Any, index: tuple, value: Any, gathers: bool = False) -> bool:
    """`x[index] = value` on the CPU where that needs no more than a write to memory and a node; whether it does. `gathers`:
    there are arrays in the index, and a value in the memory of x could change while it is written."""
    a, source = x._a, None
    if type(a) is not _ndarray or a.dtype.kind not in "fiub":
        return False
    if type(value) is Tensor:
        source, value = value, value._a
        if not isinstance(value, (_ndarray, np.generic)) or value.dtype is not a.dtype:
            return False
        if gathers and np.may_share_memory(a, value):
            return False
    elif type(value) is not float and type(value) is not _int:
        return False
    if not (a.flags.c_contiguous and a.flags.writeable):
        return False
    if not unrecorded(x, source):
        return not gathers and a.dtype.kind == "f" and assign(x, index, _shape.basic_index_op, value, source)
    try:
        a[index] = value
    except (ValueError, OverflowError, IndexError):  # what does not fit: nothing was written
        return False
    x._bump()
    return True


def _is_mask(x: Any, entry: Any, value: Any) -> bool:
    """Whether `x[entry] = value` fills a mask of the shape of x with one number: no positions are needed."""
    one = isinstance(value, (int, float)) or isinstance(value, Tensor) and value.ndim == 0
    return (
        one
        and isinstance(entry, Tensor)
        and entry.dtype is dt.bool
        and entry.shape == x.shape
        and entry.device == x.device
    )


def _put(view: Any, advanced: list, value: Any) -> None:
    """Writes through advanced indices into `view`, in place."""
    folded = _fold(view, advanced)
    if _may_write(view, folded[0], value):
        _write(view, folded, value)
    else:
        inplace("index_put_", view, _put_copy(view, folded, value, False))


def _may_write(view: Any, folded: Any, value: Any) -> bool:
    """Whether the value may be written to the memory of `view` as it is seen by `folded`: nothing is recorded, and the
    value is not part of that memory."""
    a, b = view._a, folded._a
    if not unrecorded(view, value if isinstance(value, Tensor) else None):
        return False
    if type(a) is _ndarray:
        return type(b) is _ndarray and np.may_share_memory(a, b)
    return type(a) is Array and b.mem is a.mem and b.layout.contiguous


def _source(view: Any, folded: tuple, value: Any) -> Any:
    """The value as a tensor of the shape of the indexed places."""
    seen, at, dim, _ = folded
    return _fit(_value(view, value), (*seen.shape[:dim], *at.shape, *seen.shape[dim + 1 :]))


def _is_plain(view: Any, value: Any) -> bool:
    """Whether the value is a number that needs no tensor."""
    return isinstance(value, (int, float)) and not view.dtype.is_complex


def _write(view: Any, folded: tuple, value: Any) -> None:
    """Writes the value to memory, unrecorded."""
    seen, at, dim, _ = folded
    if _is_plain(view, value):
        put_rows_into(seen._a, at._a, None, dim=dim, negative=True, op="index_put_", value=value)
    else:
        source = _source(view, folded, value)._a
        put_rows_into(seen._a, at._a, source, dim=dim, negative=True, op="index_put_")
    view._bump()


def _put_copy(view: Any, folded: tuple, value: Any, accumulate: bool) -> Any:
    """A copy of `view` with the value written, or added, through advanced indices."""
    shape = tuple(view.shape)
    seen, at, dim, order = folded
    if accumulate:
        made = index_add_op(
            seen,
            at,
            _source(view, folded, value),
            dim=dim,
            negative=True,
            op="index_put_",
            size=seen.shape[dim],
        )
    else:
        plain = _is_plain(view, value)
        source = None if plain else _source(view, folded, value)
        made = index_put_op(
            seen, at, source, dim=dim, negative=True, op="index_put_", value=value if plain else 0
        )
    if order is None:
        return made.reshape(shape)
    back = [order.index(d) for d in range(len(order))]
    return _shape.permute_op(made.reshape(tuple(shape[d] for d in order)), dims=tuple(back))


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy of `input` in which `input[indices]` holds `values`; with `accumulate` they are added, in a fixed order.

    Args:
        indices: a tuple of integer or bool tensors (None for a whole dimension), as in `input[indices]`.

    >>> import gradgpu as gg
    >>> gg.index_put(gg.zeros(3), (gg.tensor([0, 0]),), gg.tensor([1., 2.]), accumulate=True)
    tensor([3., 0., 0.])
    """
    view, advanced = _indexed(input, indices)
    return _put_copy(view, _fold(view, advanced), values, accumulate)


def _indexed(input: Any, indices: Any) -> tuple[Any, list]:
    """The view and the advanced indices into it that the indices of `index_put` stand for."""
    entries = [_slice(None) if i is None else i for i in _parts(input, tuple(indices))]
    basic, advanced = _split(input, entries)
    if not advanced:
        raise IndexError("index_put: at least one index must be a tensor; use x[...] = value for slices")
    return _viewed(input, basic), advanced


def _viewed(x: Any, basic: tuple) -> Any:
    return x if all(i == _slice(None) for i in basic) else _shape.basic_index_op(x, index=basic)


method(index_put)


@method
def index_put_(self: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """`index_put` in place."""
    if accumulate:
        return inplace("index_put_", self, index_put(self, indices, values, True))
    check_writable("index_put_", self)
    _put(*_indexed(self, indices), values)
    return self


__all__ = ["index_put"]
