"""Launchers of index.cu, segment.cu, sort.cu and scan.cu, and the check of indices.

An index out of bounds cannot raise from a kernel, and waiting for every kernel would cost more than the
kernel. So kernels skip such an index and note it in four words of device memory; the host reads
them when it next waits for the device (`item`, `tolist`, `print`, `.cpu()`, `synchronize`) and raises there.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..locks import new_lock
from .array import Array, after_wait, constant, contiguous, empty, on_device, zeros
from .backend import backend
from .elementwise import copy_into
from .joining import element_type, grid, widest
from .launch import Kernel, Launcher

INT64 = np.dtype(np.int64)
_SIZES = (dt.uint8, dt.int16, dt.int32, dt.int64)
_LONG = (dt.int64,)
_AT = "5qPii"


class _CheckingLauncher(Launcher):
    """Of a kernel that notes an index out of bounds: once it is launched, the next wait for the device looks at that.

    Not before: another thread may wait, and look, between.
    """

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        super().__call__(*args, **kwargs)
        b = backend()
        stream = b.current_stream()
        with _lock:
            after_wait[b.get_device(), stream.ptr] = stream


class _CheckingKernel(Kernel):
    launcher = _CheckingLauncher


_take = _CheckingKernel("index.cu", "take", "PPP" + _AT, T=_SIZES)
_place = _CheckingKernel("index.cu", "place", "PPPPq" + _AT, T=_SIZES)
_mark = {
    name: _CheckingKernel("index.cu", name, "PPPq" + _AT, T=_LONG)
    for name in ("mark_clear", "mark_last", "find_last")
}
_index_keys = _CheckingKernel("index.cu", "index_keys", "PP" + _AT, T=_LONG)
_ravel_index = _CheckingKernel("index.cu", "ravel_index", "8P8qPqPii", T=_LONG)
_triangle = Kernel("index.cu", "triangle", "PP5q", T=_SIZES)
_diagonal_embed = Kernel("index.cu", "diagonal_embed", "PP6q", T=_SIZES)
_one_hot = _CheckingKernel("index.cu", "one_hot", "PPqqPii", T=_LONG)
_segment = {
    name: Kernel("segment.cu", f"segment_{name}", "PPPP4q", T=dt.FLOATS + dt.INTS)
    for name in ("sum", "prod", "amax", "amin")
}
_sort_tiles = Kernel("sort.cu", "sort_tiles", "PPP4q", T=dt.ALL)
_merge_runs = Kernel("sort.cu", "merge_runs", "PPPP4q", T=dt.ALL)
_search_sorted = Kernel("sort.cu", "search_sorted", "PPP5q", T=dt.FLOATS + dt.INTS)
_scan = {
    (name, shape): Kernel("scan.cu", f"{name}_{shape}", "PP4q", T=dt.FLOATS + dt.INTS)
    for name in ("cumsum", "cumprod")
    for shape in ("rows", "columns")
}
_linear_recurrence = Kernel("scan.cu", "linear_recurrence", "PPP4q", T=dt.FLOATS + dt.INTS)
_running_extremum = Kernel("scan.cu", "running_extremum", "PPP4q", T=dt.FLOATS + dt.INTS)
_nonzero_count = Kernel("scan.cu", "nonzero_count", "PPPq", T=dt.FLOATS + dt.INTS)
_nonzero_write = Kernel("scan.cu", "nonzero_write", "PPPq", T=dt.FLOATS + dt.INTS)
_unravel_index = Kernel("scan.cu", "unravel_index", "PP8qqq", T=_LONG)

_THREADS = 256
_SORT_TILE = 1024
_SCAN_TILE = 2048


# ---- the check ----
_lock = new_lock()  # taken to change `after_wait`
_flags: dict[int, Array] = {}
_names: list[str] = []
_codes: dict[str, int] = {}


def index_flag(op: str) -> tuple[int, int]:
    """Address of the current device's flag and the code of `op`, for kernels that are `_CheckingKernel`s."""
    device = backend().get_device()
    flag = _flags.get(device)
    if flag is None:
        flag = _flags.setdefault(device, constant(np.zeros(4, np.int64)))
    code = _codes.get(op)
    if code is None:
        _names.append(op)
        code = _codes[op] = _names.index(op)  # the first of them, if several threads have added it
    return flag.ptr, code


def raise_if_seen(device: int) -> None:
    """Raises if a kernel that is done has noted an index. Streams with work to do are looked at again when they have done it."""
    flag, b = _flags[device], backend()
    with _lock, on_device(device):
        for key, stream in [*after_wait.items()]:
            if key[0] == device and not (stream.ptr and stream.is_capturing()) and stream.done:
                del after_wait[key]
    words = np.empty(4, np.int64)
    with on_device(device):
        b.to_host(words, flag.ptr, b.current_stream_ptr())
        if words[0]:
            b.fill(flag.ptr, 0, flag.nbytes, b.current_stream_ptr())
            b.current_stream().synchronize()  # who looks next may do so on another stream
            raise IndexError(
                f"{_names[words[3]]}: index {words[1]} is out of bounds for a dimension of size {words[2]} "
                f"(found on cuda:{device} by a kernel that ran since the last synchronisation; run on 'cpu' to see where)"
            )


def _layout(op: str, total: int, n: int, count: int, after: int, negative: bool, per_element: bool) -> tuple:
    flag, code = index_flag(op)
    return total, n, count, after, -n if negative else 0, flag, code, per_element


def note_outside(op: str, index: Array, row: int, n: int) -> None:
    """Notes indices outside [0, n) in a row of a matrix of them."""
    index = contiguous(index)
    count = index.shape[1]
    keys = empty((count,), INT64)
    _index_keys[INT64](
        grid(count),
        _THREADS,
        index.ptr + row * count * 8,
        keys.ptr,
        *_layout(op, count, n, count, 1, False, False),
    )


def _no_rows(op: str, index: Array) -> None:
    raise IndexError(f"{op}: {index.size} indices into a dimension of size 0: every index is out of bounds")


# ---- rows ----
def take(op: str, x: Array, index: Array, dim: int, negative: bool) -> Array:
    """x[:, …, index, …]: the dimension `dim` replaced by the shape of `index`."""
    x, index = contiguous(x), contiguous(index)
    n, before, after = x.shape[dim], prod(x.shape[:dim]), prod(x.shape[dim + 1 :])
    y = empty((*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]), x.dtype)
    if y.size:
        if not n:
            _no_rows(op, index)
        step = widest(x.layout.itemsize, after * x.layout.itemsize, x.ptr, y.ptr)
        wide = after * x.layout.itemsize // step
        total = before * index.size * wide
        at = _layout(op, total, n, index.size, wide, negative, False)
        _take[element_type(step)](grid(total), _THREADS, x.ptr, index.ptr, y.ptr, *at)
    return y


def _last_writers(op: str, y: Array, index: Array, places: int, size: int, at: tuple) -> Array:
    """For every position whether it is the last that writes to its place: one of so many, of `size` bytes each, which lie one
    after the other from the first element of `y` on and are all going to be written."""
    if index.size >= 1 << 32:
        raise NotImplementedError(f"{op}: {index.size} indices at once; write with less than 2**32 of them")
    last = empty((index.size,), np.uint8)
    words, names = y, [*_mark]
    # A table where places have no words of their own, or where it is small: to clear it takes less than to clear those.
    if (y.ptr | size) % 4 or places <= 2 * index.size:
        words, size, names = zeros((places,), np.int32), 4, names[1:]
    for name in names:
        _mark[name][INT64](grid(index.size), _THREADS, index.ptr, words.ptr, last.ptr, size, *at)
    return last


def _same_for_all(source: Array, dims: range) -> bool:
    """Whether an array is broadcast along these dimensions."""
    return all(source.shape[d] == 1 or source.strides[d] == 0 for d in dims)


def write_rows(op: str, y: Array, index: Array, source: Array, dim: int, negative: bool) -> Array:
    """Writes the rows of `source`, or its one element, to the rows of the contiguous `y` at `index` (of dimension `dim`).

    Of several positions with the same index the last one writes."""
    if index.mem is y.mem:
        index = index.copy()
    same = not source.ndim or _same_for_all(source, range(dim, dim + index.ndim))
    index, source = contiguous(index), contiguous(source)
    n, before, after = y.shape[dim], prod(y.shape[:dim]), prod(y.shape[dim + 1 :])
    count = index.size
    total = before * count * after
    if total:
        if not n:
            _no_rows(op, index)
        at = _layout(op, total, n, count, after, negative, False)
        size = after * y.layout.itemsize
        last = None if same or count == 1 else _last_writers(op, y, index, n, size, at)
        _place[element_type(y.layout.itemsize)](
            grid(total), _THREADS, y.ptr, index.ptr, source.ptr, last.ptr if last else 0, not source.ndim, *at
        )
    return y


def add_rows(op: str, y: Array, index: Array, source: Array, dim: int, negative: bool) -> Array:
    """Adds the rows of `source` to the rows of the contiguous `y` at `index`, in place, in the order of positions."""
    index, source = contiguous(index), contiguous(source)
    n, before, after = y.shape[dim], prod(y.shape[:dim]), prod(y.shape[dim + 1 :])
    count = index.size
    total = before * count * after
    if total:
        if not n:
            _no_rows(op, index)
        keys = empty((count,), INT64)
        _index_keys[INT64](
            grid(count), _THREADS, index.ptr, keys.ptr, *_layout(op, total, n, count, after, negative, False)
        )
        _reduce_segments("sum", y, keys, source, before, n, after)
    return y


def _reduce_segments(
    name: str, y: Array, keys: Array, source: Array, before: int, n: int, after: int
) -> None:
    keys, order = sort(keys)
    total = before * keys.size * after
    _segment[name][y.dtype](
        grid(total), _THREADS, keys.ptr, order.ptr, source.ptr, y.ptr, total, keys.size, n, after
    )


# ---- elements ----
def _cut(x: Array, shape: tuple, dim: int) -> Array:
    """The corner of `x` that an index of this shape reaches."""
    want = tuple(m if d == dim else n for d, (m, n) in enumerate(zip(x.shape, shape)))
    return x if want == x.shape else x.as_strided(want, x.strides)


def gather(op: str, x: Array, index: Array, dim: int) -> Array:
    """y[…, j, …] = x[…, index[…, j, …], …]."""
    index = contiguous(index)
    y = empty(index.shape, x.dtype)
    if y.size:
        x = contiguous(_cut(x, index.shape, dim))
        if not x.shape[dim]:
            _no_rows(op, index)
        at = _layout(op, y.size, x.shape[dim], index.shape[dim], prod(index.shape[dim + 1 :]), False, True)
        _take[element_type(x.layout.itemsize)](grid(y.size), _THREADS, x.ptr, index.ptr, y.ptr, *at)
    return y


def scatter(
    op: str, x: Array, index: Array, source: Array, dim: int, reduce: str = "", unique: bool = False
) -> Array:
    """A copy of `x` in which `source` (an array, or one element) is written at `index`, or reduced into what is there:
    by 'sum', 'prod', 'amax' or 'amin'.

    `unique`: the caller knows that no place is addressed twice.
    """
    y = x.copy()
    if not index.size:
        return y
    index = contiguous(index)
    if source.ndim or reduce:
        source = contiguous(
            source if source.shape == index.shape else source.as_strided(index.shape, source.strides)
        )
    corner = _cut(y, index.shape, dim)
    part = contiguous(corner)
    n, count, after = part.shape[dim], index.shape[dim], prod(index.shape[dim + 1 :])
    if not n:
        _no_rows(op, index)
    at = _layout(op, index.size, n, count, after, False, True)
    kind = element_type(x.layout.itemsize)
    if not reduce:
        scalar = source.ndim == 0
        alone = unique or count == 1 or scalar
        last = None if alone else _last_writers(op, part, index, part.size, x.layout.itemsize, at)
        _place[kind](
            grid(index.size),
            _THREADS,
            part.ptr,
            index.ptr,
            source.ptr,
            last.ptr if last else 0,
            scalar,
            *at,
        )
    else:
        keys = empty((index.size,), INT64)
        _index_keys[INT64](grid(index.size), _THREADS, index.ptr, keys.ptr, *at)
        _reduce_segments(reduce, part, keys, source, 1, part.size, 1)
    if part is not y:
        copy_into(corner, part)
    return y


def ravel_index(op: str, indices: tuple[Array, ...], sizes: tuple[int, ...]) -> Array:
    """Several indices of one shape, into dimensions of these sizes, as one index into their product."""
    dense = [contiguous(i) for i in indices]
    out = empty(dense[0].shape, INT64)
    if out.size:
        flag, code = index_flag(op)
        pad = (0,) * (8 - len(dense))
        _ravel_index[INT64](
            grid(out.size),
            _THREADS,
            *[i.ptr for i in dense],
            *pad,
            *sizes,
            *pad,
            out.ptr,
            out.size,
            flag,
            len(dense),
            code,
        )
    return out


# ---- matrices ----
def triangle(x: Array, diagonal: int, lower: bool) -> Array:
    """The lower or upper triangle of the matrices in `x`."""
    x = contiguous(x)
    y = empty(x.shape, x.dtype)
    if y.size:
        kind = element_type(x.layout.itemsize)
        _triangle[kind](
            grid(y.size), _THREADS, x.ptr, y.ptr, y.size, x.shape[-2], x.shape[-1], diagonal, lower
        )
    return y


def diagonal_embed(x: Array, rows: int, cols: int, offset: int) -> Array:
    """Matrices [*, rows, cols] of zeros with the last dimension of `x` on a diagonal."""
    x = contiguous(x)
    y = empty((*x.shape[:-1], rows, cols), x.dtype)
    if y.size:
        row0, col0 = max(-offset, 0), max(offset, 0)
        kind = element_type(x.layout.itemsize)
        _diagonal_embed[kind](
            grid(y.size), _THREADS, x.ptr, y.ptr, y.size, rows, cols, row0, col0, x.shape[-1]
        )
    return y


def one_hot(op: str, index: Array, classes: int) -> Array:
    """int64 [*, classes]: 1 at the index, 0 elsewhere."""
    index = contiguous(index)
    y = empty((*index.shape, classes), INT64)
    if y.size:
        flag, code = index_flag(op)
        _one_hot[INT64](grid(y.size), _THREADS, index.ptr, y.ptr, y.size, classes, flag, code, 0)
    return y


# ---- order ----
def sort(x: Array, descending: bool = False) -> tuple[Array, Array]:
    """Values and positions of the last dimension in order; stable, NaN largest."""
    x = contiguous(x)
    keys, order = empty(x.shape, x.dtype), empty(x.shape, INT64)
    if x.size:
        n = x.shape[-1]
        rows, tiles = x.size // n, -(-n // _SORT_TILE)
        _sort_tiles[x.dtype](
            min(rows * tiles, 1 << 16),
            _THREADS,
            x.ptr,
            keys.ptr,
            order.ptr,
            n,
            tiles,
            rows * tiles,
            descending,
        )
        run = _SORT_TILE
        if run < n:
            spare_keys, spare_order = empty(x.shape, x.dtype), empty(x.shape, INT64)
        while run < n:
            _merge_runs[x.dtype](
                grid(x.size),
                _THREADS,
                keys.ptr,
                order.ptr,
                spare_keys.ptr,
                spare_order.ptr,
                x.size,
                n,
                run,
                descending,
            )
            keys, order, spare_keys, spare_order = spare_keys, spare_order, keys, order
            run *= 2
    return keys, order


def search(sequence: Array, values: Array, right: bool) -> Array:
    """Ranks of values in sequences sorted along the last dimension (one for all, or one a row)."""
    sequence, values = contiguous(sequence), contiguous(values)
    y = empty(values.shape, INT64)
    if y.size:
        rows = sequence.ndim > 1
        columns = values.shape[-1] if rows else y.size
        length = sequence.shape[-1]
        _search_sorted[values.dtype](
            grid(y.size),
            _THREADS,
            sequence.ptr,
            values.ptr,
            y.ptr,
            y.size,
            columns,
            length,
            length if rows else 0,
            right,
        )
    return y


def scan(name: str, x: Array, dim: int, reverse: bool) -> Array:
    """'cumsum' or 'cumprod' along a dimension, from its end if `reverse`."""
    x = contiguous(x)
    y = empty(x.shape, x.dtype)
    if y.size:
        outer, n, inner = prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :])
        if inner == 1:
            _scan[name, "rows"][x.dtype](
                min(outer, 1 << 16), _THREADS, x.ptr, y.ptr, outer, n, inner, reverse
            )
        else:
            _scan[name, "columns"][x.dtype](
                grid(outer * inner), _THREADS, x.ptr, y.ptr, outer, n, inner, reverse
            )
    return y


def linear_recurrence(a: Array, b: Array, dim: int, reverse: bool) -> Array:
    """s[k] = b[k] + a[k] * s[k - 1] along a dimension, from its end if `reverse`."""
    a, b = contiguous(a), contiguous(b)
    s = empty(b.shape, b.dtype)
    if s.size:
        outer, n, inner = prod(b.shape[:dim]), b.shape[dim], prod(b.shape[dim + 1 :])
        _linear_recurrence[b.dtype](
            grid(outer * inner), _THREADS, a.ptr, b.ptr, s.ptr, outer, n, inner, reverse
        )
    return s


def running_extremum(x: Array, dim: int, smallest: bool) -> tuple[Array, Array]:
    """The greatest (or smallest) of the entries so far along a dimension, and the place of its last occurrence."""
    x = contiguous(x)
    kind = x.dtype
    if kind == np.bool_:
        x = x.view_dtype(np.dtype(np.uint8))
    y, places = empty(x.shape, x.dtype), empty(x.shape, INT64)
    if x.size:
        outer, n, inner = prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :])
        _running_extremum[x.dtype](
            grid(outer * inner), _THREADS, x.ptr, y.ptr, places.ptr, outer, n, inner, smallest
        )
    return (y.view_dtype(kind) if y.dtype != kind else y), places


def flat_nonzero(x: Array) -> Array:
    """Flat positions of the elements that are not zero. Waits for the device: the length depends on the values."""
    x = contiguous(x)
    if not x.size:
        return empty((0,), INT64)
    if x.dtype == np.bool_:
        x = x.view_dtype(np.dtype(np.uint8))
    tiles = -(-x.size // _SCAN_TILE)
    counts = empty((tiles,), INT64)
    _nonzero_count[x.dtype](tiles, _THREADS, x.ptr, 0, counts.ptr, x.size)
    ends = scan("cumsum", counts, 0, False)
    total = int(ends.as_strided((), (), tiles - 1).get())
    out = empty((total,), INT64)
    if total:
        _nonzero_write[x.dtype](tiles, _THREADS, x.ptr, ends.ptr, out.ptr, x.size)
    return out


def unravel_index(flat: Array, shape: tuple[int, ...]) -> Array:
    """Flat positions [count] as coordinates [count, dims]."""
    out = empty((flat.size, len(shape)), INT64)
    if out.size:
        sizes: tuple[Any, ...] = (*shape, *(1,) * (8 - len(shape)))
        _unravel_index[INT64](grid(flat.size), _THREADS, flat.ptr, out.ptr, *sizes, flat.size, len(shape))
    return out
