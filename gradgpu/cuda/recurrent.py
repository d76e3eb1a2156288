"""Launches of rnn.cu: layers of LSTM, GRU and RNN, one product and one kernel a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import FLOATS
from .array import Array, contiguous, empty, layout_of, zeros
from .backend import backend
from .elementwise import cast
from .gemm import gemm, sum_type
from .launch import Kernel
from .reduction import reduce_cuda

_THREADS = 256
_STEPS = {
    name: Kernel("rnn.cu", name, "PPPPPPPPPPPPqii", T=FLOATS)
    for name in (
        "lstm_step",
        "lstm_step_backward",
        "gru_step",
        "gru_step_backward",
        "rnn_step",
        "rnn_step_backward",
    )
}


def _step(name: str, dtype: Any, n: int, hidden: int, relu: bool = False, **arrays: Array | None) -> None:
    """One launch for n states; the arrays are fields of StepParams."""
    fields = ("x", "h", "gates", "before", "out", "c_before", "c", "g", "dh", "carry", "dx", "dg")
    pointers = [0 if (a := arrays.get(field)) is None else a.ptr for field in fields]
    count = n * hidden
    if count:
        grid = min(-(-count // _THREADS), 1 << 16)
        _STEPS[name][dtype](grid, _THREADS, *pointers, count, hidden, int(relu))


def _rows(x: Array, start: int, stop: int) -> Array:
    """Rows of a contiguous matrix."""
    width, old = x.shape[1], x.layout
    layout = layout_of(old.device, old.dtype, (stop - start, width))
    return Array(x.mem, x.ptr + start * width * old.itemsize, layout)


def _put(target: Array, start: int, source: Array, first: int, count: int) -> None:
    """Copies `count` rows of a matrix into another of the same dtype."""
    if count > 0:
        b = backend()
        width = target.shape[1] * target.layout.itemsize
        b.copy(target.ptr + start * width, source.ptr + first * width, count * width, b.current_stream_ptr())


def _as(x: Array, dtype: np.dtype) -> Array:
    if x.dtype == dtype:
        return contiguous(x)
    return cast(x, dtype)


class _States:
    """The states after every step and before it; where all steps have all sequences they share memory."""

    __slots__ = ("after", "before", "initial", "walk")

    def __init__(self, walk: Any, width: int, initial: Array | None, dtype: np.dtype):
        self.walk = walk
        shape = (walk.batch, width)
        self.initial = zeros(shape, dtype) if initial is None else _as(initial, dtype)
        if walk.even:
            both = empty((walk.rows + walk.batch, width), dtype)
            first, second = _rows(both, 0, walk.rows), _rows(both, walk.batch, walk.rows + walk.batch)
            self.after, self.before = (first, second) if walk.reverse else (second, first)
            if walk.rows:
                _put(self.before, walk.visits[0].start, self.initial, 0, walk.batch)
        else:
            self.after, self.before = (empty((walk.rows, width), dtype) for _ in range(2))

    def enter(self, visit: Any) -> Array:
        """The states before a step."""
        start, stop, origin, take, _ = visit
        if not self.walk.even:
            _put(self.before, start, self.after, origin, take)
            _put(self.before, start + take, self.initial, take, stop - start - take)
        return _rows(self.before, start, stop)

    def leave(self, visit: Any) -> Array:
        """The states after a step."""
        return _rows(self.after, visit.start, visit.stop)

    def final(self) -> Array:
        """Each sequence's last state."""
        walk = self.walk
        if not walk.visits:
            return self.initial.copy()
        y = empty(self.initial.shape, self.initial.dtype)
        for start, stop, _, _, keep in walk.visits[-1:] if walk.even else walk.visits:
            _put(y, keep, self.after, start + keep, stop - start - keep)
        return y


def _enter(x: Array, sizes: Any, reverse: bool) -> tuple[Any, Array]:
    """The walk, and x as rows."""
    from ..ops.sequences import walk_of

    walk = walk_of(x, sizes, reverse)
    return walk, contiguous(x).reshape((walk.rows, x.shape[-1]))


def _shaped(y: Array, x: Array) -> Array:
    return y if x.ndim == 2 else y.reshape((*x.shape[:2], y.shape[1]))


class _Carry:
    """The gradients of the states on their way back."""

    __slots__ = ("g", "h")

    def __init__(self, walk: Any, width: int, g: Array | None, final: Array | None, dtype: np.dtype):
        self.g = None if g is None else contiguous(g).reshape((walk.rows, width))
        self.h = zeros((walk.batch, width), dtype) if final is None else final.copy()

    def at(self, visit: Any) -> tuple[Array | None, Array]:
        """What arrives from a step's outputs, and from the step after it."""
        start, stop = visit[:2]
        return (None if self.g is None else _rows(self.g, start, stop)), _rows(self.h, 0, stop - start)


def _carry_of(walk: Any, width: int, final: Array | None, dtype: np.dtype) -> Array:
    """A gradient that is summed in the type of sums."""
    if final is None:
        return zeros((walk.batch, width), dtype)
    return final.copy() if final.dtype == dtype else _as(final, dtype)


def _column_sums(x: Array) -> Array:
    return reduce_cuda("sum", x, (0,), False, (x.dtype,))


def _weight_gradients(
    needs: Sequence[bool], sums: Array, sums_h: Array, rows: Array, x: Array, before: Array, w_ih: Array, states: list
) -> tuple:  # fmt: skip
    """The wanted gradients of x, states, w_ih, w_hh, b_ih and b_hh; `sums` are those of the gates' sums."""
    made: list[Any] = [_shaped(gemm(sums, w_ih), x) if needs[0] else None, *states]
    at = len(made)
    made.append(gemm(sums, rows, True) if needs[at] else None)
    made.append(gemm(sums_h, before, True) if needs[at + 1] else None)
    made.append(_column_sums(sums) if needs[at + 2] or needs[at + 3] else None)
    made.append(made[-1] if sums_h is sums or not needs[at + 3] else _column_sums(sums_h))
    return tuple([a for a, need in zip(made, needs) if need])


# ---- LSTM ----
def lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, sizes, reverse):
    walk, rows = _enter(x, sizes, reverse)
    d, hidden = x.dtype, w_hh.shape[0] // 4
    sums = gemm(rows, w_ih, False, True, b_ih)
    h, c = _States(walk, w_hh.shape[1], h0, d), _States(walk, hidden, c0, sum_type(d))
    gates = empty(sums.shape, d)
    for visit in walk.visits:
        start, stop = visit[:2]
        product = gemm(h.enter(visit), w_hh, False, True, b_hh)
        out = h.leave(visit) if w_hr is None else empty((stop - start, hidden), d)
        _step(
            "lstm_step", d, stop - start, hidden, x=_rows(sums, start, stop), h=product, out=out,
            gates=_rows(gates, start, stop), c_before=c.enter(visit), c=c.leave(visit),
        )  # fmt: skip
        if w_hr is not None:
            gemm(out, w_hr, False, True, into=h.leave(visit))
    return _shaped(h.after, x), h.final(), _as(c.final(), d), gates, h.before, c.before, c.after


def lstm_backward(
    x, g, g_h, g_c, w_ih, w_hh, w_hr, gates, h_before, c_before, tanh_c, *, sizes, reverse, needs
):
    from ..ops.pointwise import mul, tanh

    walk, rows = _enter(x, sizes, reverse)
    d, hidden, width = x.dtype, w_hh.shape[0] // 4, w_hh.shape[1]
    cells = tanh_c  # the cells themselves, here
    h = _Carry(walk, width, g, g_h, d)
    carry = _carry_of(walk, hidden, g_c, sum_type(d))
    sums = empty(gates.shape, d)
    arrived: Any = None if w_hr is None else empty((walk.rows, width), d)
    for visit in reversed(walk.visits):
        start, stop = visit[:2]
        of_y, dh = h.at(visit)
        if w_hr is not None:
            total = dh if of_y is None else dh + of_y
            _put(arrived, start, total, 0, stop - start)
            of_y, dh = None, gemm(total, w_hr)
        here = _rows(sums, start, stop)
        _step(
            "lstm_step_backward", d, stop - start, hidden, gates=_rows(gates, start, stop), g=of_y, dh=dh, carry=carry,
            c_before=_rows(c_before, start, stop), c=_rows(cells, start, stop), dx=here,
        )  # fmt: skip
        gemm(here, w_hh, into=_rows(h.h, 0, stop - start))
    made = _weight_gradients(needs[:-1], sums, sums, rows, x, h_before, w_ih, [h.h, _as(carry, d)])
    if not needs[-1]:
        return made
    o = gates.as_strided((walk.rows, hidden), (4 * hidden, 1), 3 * hidden)
    return (*made, gemm(arrived, mul(o, _as(tanh(cells), d)), True))


# ---- GRU ----
def gru(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse):
    walk, rows = _enter(x, sizes, reverse)
    d, hidden = x.dtype, w_hh.shape[1]
    sums = gemm(rows, w_ih, False, True, b_ih)
    h, gates = _States(walk, hidden, h0, d), empty((walk.rows, 4 * hidden), d)
    for visit in walk.visits:
        start, stop = visit[:2]
        before = h.enter(visit)
        product = gemm(before, w_hh, False, True, b_hh)
        _step(
            "gru_step", d, stop - start, hidden, x=_rows(sums, start, stop), h=product, before=before, out=h.leave(visit),
            gates=_rows(gates, start, stop),
        )  # fmt: skip
    return _shaped(h.after, x), h.final(), gates, h.before


def gru_backward(x, g, g_h, w_ih, w_hh, gates, h_before, *, sizes, reverse, needs):
    walk, rows = _enter(x, sizes, reverse)
    d, hidden = x.dtype, w_hh.shape[1]
    h, past = _Carry(walk, hidden, g, g_h, d), zeros((walk.batch, hidden), sum_type(d))
    sums, of_state = empty((walk.rows, 3 * hidden), d), empty((walk.rows, 3 * hidden), d)
    for visit in reversed(walk.visits):
        start, stop = visit[:2]
        of_y, dh = h.at(visit)
        of_h = _rows(of_state, start, stop)
        _step(
            "gru_step_backward", d, stop - start, hidden, gates=_rows(gates, start, stop), g=of_y, dh=dh, carry=past,
            before=_rows(h_before, start, stop), dx=_rows(sums, start, stop), dg=of_h,
        )  # fmt: skip
        gemm(of_h, w_hh, into=dh)
    states = [h.h + _as(past, d)] if needs[1] else [None]
    return _weight_gradients(needs, sums, of_state, rows, x, h_before, w_ih, states)


# ---- RNN ----
def rnn(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse, relu):
    walk, rows = _enter(x, sizes, reverse)
    d, hidden = x.dtype, w_hh.shape[1]
    sums, h = gemm(rows, w_ih, False, True, b_ih), _States(walk, hidden, h0, d)
    for visit in walk.visits:
        start, stop = visit[:2]
        product = gemm(h.enter(visit), w_hh, False, True, b_hh)
        _step(
            "rnn_step",
            d,
            stop - start,
            hidden,
            relu,
            x=_rows(sums, start, stop),
            h=product,
            out=h.leave(visit),
        )
    return _shaped(h.after, x), h.final(), h.before


def rnn_backward(x, g, g_h, w_ih, w_hh, out, h_before, *, sizes, reverse, needs, relu):
    walk, rows = _enter(x, sizes, reverse)
    d, hidden = x.dtype, w_hh.shape[1]
    h, y = _Carry(walk, hidden, g, g_h, d), contiguous(out).reshape((walk.rows, hidden))
    sums = empty((walk.rows, hidden), d)
    for visit in reversed(walk.visits):
        start, stop = visit[:2]
        of_y, dh = h.at(visit)
        here = _rows(sums, start, stop)
        _step(
            "rnn_step_backward",
            d,
            stop - start,
            hidden,
            relu,
            out=_rows(y, start, stop),
            g=of_y,
            dh=dh,
            dx=here,
        )
        gemm(here, w_hh, into=dh)
    return _weight_gradients(needs, sums, sums, rows, x, h_before, w_ih, [h.h])
