"""Recurrent layers: LSTM, GRU and RNN over whole sequences, one op for each layer and direction.

What does not depend on the step before, the product of all inputs with the input weights, is one product for all
steps; a step then is one product and a few fused elementwise operations. The backward pass is the same, with the
gradients of the weights as one product over all steps. A cell is a sequence of one step.

Sequences are (L, N, features), or packed (rows, features) with `sizes`, the sequences that are still going at each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..cuda import recurrent as _cuda
from ..tensor import Tensor
from .fused import Fused
from .join import cat, stack
from .linalg import linear
from .methods import apart
from .random import dropout as _dropout
from .registry import Op

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]


class Visit(NamedTuple):
    """One step: rows start … stop - 1; the first `take` of them go on from the rows at `origin`, those of the step visited
    before, the others start from the initial state; the sequences from number `keep` on end here."""

    start: int
    stop: int
    origin: int
    take: int
    keep: int


class Walk(NamedTuple):
    """In which order a direction visits the steps."""

    rows: int
    batch: int
    even: bool  # all steps have all sequences
    reverse: bool
    visits: tuple[Visit, ...]
    offsets: tuple[int, ...]  # rows visited before each


@lru_cache(maxsize=1024)
def _walk(sizes: tuple[int, ...], reverse: bool) -> Walk:
    ends = list(accumulate(sizes))
    order = list(range(len(sizes)))[:: -1 if reverse else 1]
    visits = []
    for k, t in enumerate(order):
        before = order[k - 1] if k else None
        n = sizes[t]
        origin, take = (0, 0) if before is None else (ends[before] - sizes[before], min(n, sizes[before]))
        keep = sizes[order[k + 1]] if k + 1 < len(order) else 0
        visits.append(Visit(ends[t] - n, ends[t], origin, take, min(keep, n)))
    offsets = accumulate([v.stop - v.start for v in visits], initial=0)
    return Walk(
        sum(sizes), sizes[0] if sizes else 0, len(set(sizes)) < 2, reverse, tuple(visits), tuple(offsets)
    )


def walk_of(x: Any, sizes: tuple[int, ...] | None, reverse: bool) -> Walk:
    """The walk over (L, N, features) or over packed rows."""
    return _walk((x.shape[1],) * x.shape[0] if sizes is None else sizes, reverse)


def _shaped(y: Any, x: Any) -> Any:
    """Rows in the shape that the input has."""
    return y if x.ndim == 2 else y.reshape((*x.shape[:2], y.shape[1]))


# ---- numpy: a step's values are (width, n), a sequence a column, so that every gate is one piece of memory ----
def _up(x: Any) -> Any:
    """Half types as float32; None stays."""
    return x if x is None or x.dtype.itemsize > 2 else x.astype(np.float32)


def _down(arrays: Sequence[Any], dtype: Any) -> tuple:
    return tuple([a if a.dtype is dtype else a.astype(dtype, copy=False) for a in arrays])


def _steps(base: Any, walk: Walk, width: int) -> list:
    """The steps of an array made by `_blocks`, in the order of the visits."""
    if walk.even:
        return list(base)
    return [
        base[width * at : width * (at + v.stop - v.start)].reshape(width, v.stop - v.start)
        for at, v in zip(walk.offsets, walk.visits)
    ]


def _blocks(walk: Walk, width: int, dtype: Any, more: int = 0) -> Any:
    """Memory for all steps one after the other, and `more` if all have all sequences."""
    if walk.even:
        return np.empty((len(walk.visits) + more, width, walk.batch), dtype)
    return np.empty(walk.rows * width, dtype)


def _forwards(base: Any, walk: Walk) -> Any:
    """The visited steps in the order of time, where all have all sequences."""
    return base[::-1] if walk.reverse else base


def _from_rows(x: Any, walk: Walk, width: int) -> list:
    """Rows (rows, width) as steps."""
    if walk.even:
        steps = x.reshape(len(walk.visits), walk.batch, width).transpose(0, 2, 1)
        return list(np.ascontiguousarray(_forwards(steps, walk)))
    return [np.ascontiguousarray(x[v.start : v.stop].T) for v in walk.visits]


def _columns(base: Any, walk: Walk, width: int) -> Any:
    """All steps as (width, rows)."""
    if walk.even:
        return _forwards(base, walk).transpose(1, 0, 2).reshape(width, walk.rows)
    y = np.empty((width, walk.rows), base.dtype)
    for v, step in zip(walk.visits, _steps(base, walk, width)):
        y[:, v.start : v.stop] = step
    return y


class _States:
    """The states before every step and after it. Where all steps have all sequences they share memory.

    `ones`: a further row of ones before each step, which the biases multiply. `x`: rows of input, which stand below.
    """

    __slots__ = ("after", "before", "base", "initial", "walk", "width")

    def __init__(self, walk: Walk, width: int, initial: Any, dtype: Any, ones: bool = False, x: Any = None):
        self.walk, self.width = walk, width
        self.initial = np.zeros((width, walk.batch), dtype) if initial is None else initial.T
        rows = width + ones + (0 if x is None else x.shape[1])
        self.base = _blocks(walk, rows, dtype, 1)
        self.before = _steps(self.base, walk, rows)
        if walk.even:
            if ones:
                self.base[:, width] = 1
            if x is not None:
                steps = x.reshape(len(walk.visits), walk.batch, x.shape[1])
                self.base[:-1, width + ones :] = _forwards(steps, walk).transpose(0, 2, 1)
            self.before[0][:width] = self.initial
            self.after = [s[:width] for s in self.before[1:]]
        else:
            for v, s in zip(walk.visits, self.before):
                if ones:
                    s[width] = 1
                if x is not None:
                    s[width + ones :] = x[v.start : v.stop].T
            self.after = _steps(_blocks(walk, width, dtype), walk, width)

    def enter(self, k: int) -> Any:
        """The states before the step that is visited as number k."""
        here = self.before[k]
        if not self.walk.even:
            take, width = self.walk.visits[k].take, self.width
            if take:
                here[:width, :take] = self.after[k - 1][:, :take]
            here[:width, take:] = self.initial[:, take : here.shape[1]]
        return here

    def steps(self) -> Any:
        """What is before each step."""
        return self.base[:-1] if self.walk.even else self.base

    def rows(self) -> Any:
        """The states after each step, as rows."""
        walk, width = self.walk, self.width
        y = np.empty((walk.rows, width), self.base.dtype)
        if walk.even:
            steps = y.reshape(len(walk.visits), walk.batch, width)
            steps[:] = _forwards(self.base[1:, :width], walk).transpose(0, 2, 1)
        else:
            for v, a in zip(walk.visits, self.after):
                y[v.start : v.stop] = a.T
        return y

    def final(self) -> Any:
        """Each sequence's last state, as rows."""
        y = np.empty((self.walk.batch, self.width), self.base.dtype)
        if self.walk.even:
            y[:] = self.after[-1].T
        else:
            for v, a in zip(self.walk.visits, self.after):
                y[v.keep : v.stop - v.start] = a[:, v.keep :].T
        return y


@lru_cache(maxsize=64)
def _factors(blocks: str, hidden: int, dtype: np.dtype) -> np.ndarray:
    """A factor for each row of the weights: σ(x) = 1 / (1 + exp(-x)) ("s"), and tanh(x) = 2 σ(2 x) - 1 ("t") or as it is."""
    each = {"s": -1.0, "t": -2.0, " ": 1.0}
    return np.repeat([each[b] for b in blocks], hidden).astype(dtype).reshape(-1, 1)


def _sigmoid(z: Any, one: Any) -> None:
    """1 / (1 + exp(z)), in place."""
    np.exp(z, z)
    np.add(z, one, z)
    np.divide(one, z, z)


_FEW = 4  # sequences: with fewer, one product of all inputs is faster than one a step


def _input_sums(x: Any, weight: Any, walk: Walk, out: Any, width: int) -> None:
    """W x of every step, into the first rows of the steps `out`."""
    rows = weight.shape[0]
    if not walk.even:
        for v, step in zip(walk.visits, _steps(out, walk, width)):
            step[:rows] = np.dot(weight, x[v.start : v.stop].T)
    elif walk.batch < _FEW:
        sums = np.dot(x, weight.T).reshape(len(walk.visits), walk.batch, rows)
        out[:, :rows] = _forwards(sums, walk).transpose(0, 2, 1)
    else:
        steps = _forwards(x.reshape(len(walk.visits), walk.batch, x.shape[1]), walk).transpose(0, 2, 1)
        np.matmul(weight, steps, out[:, :rows])


def _with_bias(weight: Any, bias: Any) -> Any:
    """A bias as a further column of a weight."""
    return weight if bias is None else np.concatenate([weight, bias.reshape(-1, 1)], 1)


class _Carry:
    """The gradient of the states on its way back: what arrives from the outputs and from the step after."""

    __slots__ = ("g", "carry", "walk")

    def __init__(self, walk: Walk, width: int, g: Any, final: Any, dtype: Any):
        self.walk = walk
        self.g = None if g is None else _from_rows(_up(g).reshape(walk.rows, width), walk, width)
        self.carry = (
            np.zeros((width, walk.batch), dtype) if final is None else np.array(final.T, dtype, order="C")
        )

    def arrive(self, k: int) -> Any:
        """The gradient of the states after the step visited as number k."""
        here = self.carry
        if not self.walk.even:
            here = here[:, : self.walk.visits[k].stop - self.walk.visits[k].start]
        if self.g is not None:
            here += self.g[k]
        return here

    def leave(self, weight: Any, sums: Any, past: Any = None) -> None:
        """Goes on with weight · sums (+ past)."""
        if self.walk.even:
            here = np.dot(weight, sums, self.carry)
        else:
            here = self.carry[:, : sums.shape[1]]
            here[:] = np.dot(weight, sums)
        if past is not None:
            here += past


def _of_weights(needs, sums, sums_h, x, before):
    """The gradients of w_ih, w_hh, b_ih and b_hh from those of the gates' sums (gates, rows)."""
    ones = np.ones(sums.shape[1], sums.dtype)
    of_b = np.dot(sums, ones) if needs[-3] or needs[-2] else None
    return (
        np.dot(sums, x.reshape(sums.shape[1], x.shape[-1])) if needs[-5] else None,
        np.dot(sums_h, before) if needs[-4] else None,
        of_b,
        of_b if sums_h is sums or not needs[-2] else np.dot(sums_h, ones),
    )


def _wanted(needs, sums, x, w_ih, states, of_weights, of_hr, dtype):
    """The wanted gradients in the order x, states…, w_ih, w_hh, b_ih, b_hh, w_hr."""
    of_x = _shaped(np.dot(sums.T, w_ih), x) if needs[0] else None
    made = (of_x, *[s.T for s in states], *of_weights, of_hr)
    return _down([a for a, need in zip(made, needs) if need], dtype)


# ---- LSTM ----
def _lstm_steps(weight: Any, h: _States, c: _States, gates: Any, tanh_c: Any, joint: bool) -> None:
    """All steps of a walk on which every step has all sequences: what is done 32 times or more is said shortly."""
    dot, add, multiply, one = np.dot, np.add, np.multiply, np.ones((), gates.dtype)
    hidden = c.width
    sums, part = np.empty_like(gates[0]), np.empty((hidden, c.walk.batch), gates.dtype)
    for z, i, f, new, o, past, c_past, now, t, out in zip(
        gates, *_gates_of(gates, 4, hidden), h.before, c.before, c.after, tanh_c, h.after
    ):
        if joint:
            dot(weight, past, z)
        else:
            add(z, dot(weight, past, sums), z)
        _sigmoid(z, one)
        add(new, new, new)
        np.subtract(new, one, new)
        multiply(f, c_past, now)
        multiply(i, new, part)
        add(now, part, now)
        np.tanh(now, t)
        multiply(o, t, out)


def _lstm_cpu(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, sizes, reverse):
    d, walk = x.dtype, walk_of(x, sizes, reverse)
    wide, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr = map(_up, (x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr))
    kind, hidden = wide.dtype, w_hh.shape[0] // 4
    rows, joint = wide.reshape(walk.rows, x.shape[-1]), walk.batch >= _FEW
    factor, one = _factors("ssts", hidden, kind), np.ones((), kind)
    weight = _with_bias(w_hh, None if b_ih is None else b_ih + b_hh)
    weight = (np.concatenate([weight, w_ih], 1) if joint else weight) * factor
    gates, tanh_c = _blocks(walk, 4 * hidden, kind), _blocks(walk, hidden, kind)
    if not joint:
        _input_sums(rows, w_ih * factor, walk, gates, 4 * hidden)
    h = _States(walk, w_hh.shape[1], h0, kind, b_ih is not None, rows if joint else None)
    c = _States(walk, hidden, c0, kind)
    with np.errstate(over="ignore"):
        if walk.even and w_hr is None:
            _lstm_steps(weight, h, c, gates, tanh_c, joint)
        else:
            part = None
            for k, (z, t) in enumerate(zip(_steps(gates, walk, 4 * hidden), _steps(tanh_c, walk, hidden))):
                if joint:
                    np.dot(weight, h.enter(k), z)
                else:
                    z += np.dot(weight, h.enter(k))
                _sigmoid(z, one)
                new, now = z[2 * hidden : 3 * hidden], c.after[k]
                new += new
                np.subtract(new, one, new)
                np.multiply(z[hidden : 2 * hidden], c.enter(k), now)
                if part is None or part.shape != new.shape:
                    part = np.empty_like(new)
                now += np.multiply(z[:hidden], new, part)
                np.tanh(now, t)
                if w_hr is None:
                    np.multiply(z[3 * hidden :], t, h.after[k])
                else:
                    h.after[k][:] = np.dot(w_hr, np.multiply(z[3 * hidden :], t, part))
    y, h_n, c_n = _down((h.rows(), h.final(), c.final()), d)
    return _shaped(y, x), h_n, c_n, gates, h.steps(), c.steps(), tanh_c


def _width(base: Any, walk: Walk) -> int:
    """What a step has of each sequence."""
    return base.shape[1] if walk.even else base.size // max(walk.rows, 1)


def _each(walk: Walk, *arrays: tuple) -> Any:
    """(array, width) pairs as they are to be worked on: whole where all steps have all sequences, else step by step."""
    if walk.even:
        return ([base for base, _ in arrays],)
    return zip(*[_steps(base, walk, width) for base, width in arrays])


def _gates_of(z: Any, count: int, hidden: int) -> list:
    return [z[..., k * hidden : (k + 1) * hidden, :] for k in range(count)]


def _lstm_steps_back(weight: Any, h: _Carry, dc: Any, gates: Any, sums: Any, to_c: Any) -> None:
    """The way back over all steps where every step has all sequences, as `_lstm_steps`."""
    dot, add, multiply, dh = np.dot, np.add, np.multiply, h.carry
    steps, _, batch = sums.shape
    hidden = to_c.shape[1]
    arriving = itertools.repeat(None) if h.g is None else h.g[::-1]
    four = sums.reshape(steps, 4, hidden, batch)
    for g, f, p, first, last, q in zip(
        arriving, gates[::-1, hidden : 2 * hidden], sums[::-1], four[::-1, :3], four[::-1, 3], to_c[::-1]
    ):
        if g is not None:
            add(dh, g, dh)
        multiply(q, dh, q)
        add(dc, q, dc)
        multiply(first, dc, first)
        multiply(last, dh, last)
        multiply(dc, f, dc)
        dot(weight, p, dh)


def _lstm_backward_cpu(
    x, g, g_h, g_c, w_ih, w_hh, w_hr, gates, h_before, c_before, tanh_c, *, sizes, reverse, needs
):
    d, walk = x.dtype, walk_of(x, sizes, reverse)
    wide, g_h, g_c, w_ih, w_hh, w_hr = map(_up, (x, g_h, g_c, w_ih, w_hh, w_hr))
    kind, hidden, width = wide.dtype, w_hh.shape[0] // 4, w_hh.shape[1]
    # The gates' derivatives, times what each multiplies: the loop is left with a product by the gradient.
    sums, to_c = np.empty_like(gates), np.empty_like(tanh_c)
    wide_4, wide_1 = 4 * hidden, hidden
    for z, p, c, t, q in _each(
        walk, (gates, wide_4), (sums, wide_4), (c_before, wide_1), (tanh_c, wide_1), (to_c, wide_1)
    ):
        i, _, new, o = _gates_of(z, 4, hidden)
        of_i, of_f, of_new, of_o = _gates_of(p, 4, hidden)
        np.multiply(z, z, p)
        np.subtract(z, p, p)
        of_i *= new
        of_f *= c
        np.multiply(new, new, of_new)
        np.subtract(1, of_new, of_new)
        of_new *= i
        of_o *= t
        np.multiply(t, t, q)
        np.subtract(1, q, q)
        q *= o
    h = _Carry(walk, width, g, g_h, kind)
    carry = _Carry(walk, hidden, None, g_c, kind)
    arrived: Any = None if w_hr is None else np.empty((walk.rows, width), kind)
    weight = np.ascontiguousarray(w_hh.T)
    all_z, all_p, all_q = _steps(gates, walk, wide_4), _steps(sums, walk, wide_4), _steps(to_c, walk, hidden)
    short = walk.even and w_hr is None
    if short:
        _lstm_steps_back(weight, h, carry.carry, gates, sums, to_c)
    for k in () if short else range(len(walk.visits) - 1, -1, -1):
        dh, dc, z, p = h.arrive(k), carry.arrive(k), all_z[k], all_p[k]
        if w_hr is not None:
            start, stop = walk.visits[k][:2]
            arrived[start:stop] = dh.T
            dh = np.dot(w_hr.T, dh)
        q = all_q[k]
        q *= dh
        dc += q
        first = p[: 3 * hidden].reshape(3, hidden, p.shape[1])
        first *= dc
        last = p[3 * hidden :]
        last *= dh
        dc *= z[hidden : 2 * hidden]
        h.leave(weight, p)
    of_hr = None
    if needs[-1]:
        outs = _blocks(walk, hidden, kind)
        for z, t, m in _each(walk, (gates, wide_4), (tanh_c, hidden), (outs, hidden)):
            np.multiply(z[..., 3 * hidden :, :], t, m)
        of_hr = np.dot(arrived.T, _columns(outs, walk, hidden).T)
    sums, before = _columns(sums, walk, wide_4), _columns(h_before, walk, _width(h_before, walk))
    if walk.batch >= _FEW:
        # One product for all weights: what the gates' sums were made of is (states, ones, inputs).
        inputs = before.shape[0] - x.shape[-1]
        joint = np.dot(sums, before.T)
        of_b = np.ascontiguousarray(joint[:, width]) if inputs > width else None
        of_weights = (
            np.ascontiguousarray(joint[:, inputs:]),
            np.ascontiguousarray(joint[:, :width]),
            of_b,
            of_b,
        )
    else:
        of_weights = _of_weights(needs, sums, sums, wide, before[:width].T)
    return _wanted(needs, sums, wide, w_ih, (h.carry, carry.carry), of_weights, of_hr, d)


def _compose(step: Callable, x, states, w_ih, b_ih, sizes, reverse):
    """A layer's outputs and final states by other ops; `step(sums of the input, states)` is one step."""
    walk = walk_of(x, sizes, reverse)
    parts: dict[int, Any] = {}
    sums = linear(x.reshape((walk.rows, x.shape[-1])), w_ih, b_ih)
    carry = list(states)
    for start, stop, *_ in walk.visits:
        n = stop - start
        before = [s if n == walk.batch else s[:n] for s in carry]
        after = step(sums[start:stop], *before)
        parts[start] = after[0]
        carry = [s if n == walk.batch else cat([s, old[n:]]) for s, old in zip(after, carry)]
    outputs = cat([parts[start] for start in sorted(parts)])
    return (_shaped(outputs, x), *carry)


def _initial(state: Any, x: Any, batch: int, width: int) -> Any:
    return x.new_zeros((batch, width)) if state is None else state


def _lstm_composed(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, sizes, reverse):
    """i, f, o = σ(…), g = tanh(…), c' = f c + i g, h' = o tanh(c')."""
    batch, hidden = walk_of(x, sizes, reverse).batch, w_hh.shape[0] // 4

    def step(sums: Any, h: Any, c: Any) -> tuple:
        i, f, g, o = (sums + linear(h, w_hh, b_hh)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h if w_hr is None else linear(h, w_hr)), c

    states = _initial(h0, x, batch, w_hh.shape[1]), _initial(c0, x, batch, hidden)
    return _compose(step, x, states, w_ih, b_ih, sizes, reverse)


def _spread(made: Sequence[Any], needs: Sequence[bool]) -> tuple:
    """The gradients that were made in the places of those that are wanted."""
    several = iter(made)
    return tuple([next(several) if need else None for need in needs])


lstm_backward_op = Op(
    "lstm_backward", _lstm_backward_cpu, _cuda.lstm_backward, differentiable=False
)  # differentiated through `composed`


def _lstm_rule(gs, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, y0, y3, y4, y5, y6, needs, *, sizes, reverse):
    made = lstm_backward_op(
        x, *gs[:3], w_ih, w_hh, w_hr, y3, y4, y5, y6, sizes=sizes, reverse=reverse, needs=needs
    )
    return _spread(made, needs)


# Outputs: y, last h, last c; gates, what is before each step and c there, tanh(c) (cpu) or c (cuda).
lstm_op = Fused(
    "lstm", _lstm_cpu, _cuda.lstm, _lstm_rule, _lstm_composed, (True, True, True, False, False, False, False)
)


# ---- GRU ----
def _gru_cpu(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse):
    d, walk = x.dtype, walk_of(x, sizes, reverse)
    wide, h0, w_ih, w_hh, b_ih, b_hh = map(_up, (x, h0, w_ih, w_hh, b_ih, b_hh))
    kind, hidden = wide.dtype, w_hh.shape[1]
    factor, one = _factors("ss ", hidden, kind), np.ones((), kind)
    bias = None
    if b_ih is not None:
        bias = b_hh.copy()
        bias[: 2 * hidden] += b_ih[: 2 * hidden]
    weight = _with_bias(w_hh, bias) * factor
    # r, z, n and the state's part of n before r
    gates = _blocks(walk, 4 * hidden, kind)
    _input_sums(wide.reshape(walk.rows, x.shape[-1]), w_ih * factor, walk, gates, 4 * hidden)
    inner = None if b_ih is None else b_ih[2 * hidden :].reshape(-1, 1)
    h = _States(walk, hidden, h0, kind, b_ih is not None)
    with np.errstate(over="ignore"):
        for k, four in enumerate(_steps(gates, walk, 4 * hidden)):
            before = h.enter(k)
            q = np.dot(weight, before)
            both, new, inside = four[: 2 * hidden], four[2 * hidden : 3 * hidden], four[3 * hidden :]
            both += q[: 2 * hidden]
            _sigmoid(both, one)
            inside[:] = q[2 * hidden :]
            step = np.multiply(both[:hidden], inside)
            if inner is not None:
                step += inner
            new += step
            np.tanh(new, new)
            np.subtract(before[:hidden], new, step)
            step *= both[hidden:]
            np.add(new, step, h.after[k])
    y, h_n = _down((h.rows(), h.final()), d)
    return _shaped(y, x), h_n, gates, h.steps()


def _gru_backward_cpu(x, g, g_h, w_ih, w_hh, gates, h_before, *, sizes, reverse, needs):
    d, walk = x.dtype, walk_of(x, sizes, reverse)
    wide, g_h, w_ih, w_hh = map(_up, (x, g_h, w_ih, w_hh))
    kind, hidden = wide.dtype, w_hh.shape[1]
    # d r, d z, d n r (what reaches the state's part of n) and d n of a unit gradient; the loop multiplies by the gradient.
    sums, tall = np.empty_like(gates), _width(h_before, walk)
    for four, p, before in _each(walk, (gates, 4 * hidden), (sums, 4 * hidden), (h_before, tall)):
        r, z, new, inside = _gates_of(four, 4, hidden)
        of_r, of_z, of_inside, of_n = _gates_of(p, 4, hidden)
        rest = 1 - z
        np.multiply(new, new, of_n)
        np.subtract(1, of_n, of_n)
        of_n *= rest
        np.multiply(of_n, r, of_inside)
        np.subtract(1, r, of_r)
        of_r *= of_inside
        of_r *= inside
        np.subtract(before[..., :hidden, :], new, of_z)
        of_z *= z
        of_z *= rest
    h = _Carry(walk, hidden, g, g_h, kind)
    weight = np.ascontiguousarray(w_hh.T)
    all_z, all_p = _steps(gates, walk, 4 * hidden), _steps(sums, walk, 4 * hidden)
    for k in range(len(walk.visits) - 1, -1, -1):
        dh, p = h.arrive(k), all_p[k]
        four = p.reshape(4, hidden, p.shape[1])
        four *= dh
        h.leave(weight, p[: 3 * hidden], dh * all_z[k][hidden : 2 * hidden])
    sums = _columns(sums, walk, 4 * hidden)
    of_state = sums[: 3 * hidden]
    of_input = np.concatenate([sums[: 2 * hidden], sums[3 * hidden :]])
    before = _columns(h_before, walk, tall)[:hidden].T
    of_weights = _of_weights((*needs, False), of_input, of_state, wide, before)
    return _wanted((*needs, False), of_input, wide, w_ih, (h.carry,), of_weights, None, d)


def _gru_composed(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse):
    """r, z = σ(…), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h."""

    def step(sums: Any, h: Any) -> tuple:
        r_x, z_x, n_x = sums.chunk(3, -1)
        r_h, z_h, n_h = linear(h, w_hh, b_hh).chunk(3, -1)
        n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
        return (n + (z_x + z_h).sigmoid() * (h - n),)

    first = _initial(h0, x, walk_of(x, sizes, reverse).batch, w_hh.shape[1])
    return _compose(step, x, (first,), w_ih, b_ih, sizes, reverse)


gru_backward_op = Op("gru_backward", _gru_backward_cpu, _cuda.gru_backward, differentiable=False)


def _gru_rule(gs, x, h0, w_ih, w_hh, b_ih, b_hh, y0, y2, y3, needs, *, sizes, reverse):
    made = gru_backward_op(x, *gs[:2], w_ih, w_hh, y2, y3, sizes=sizes, reverse=reverse, needs=needs)
    return _spread(made, needs)


# Outputs: y, last h; gates and the state's part of n, what is before each step.
gru_op = Fused("gru", _gru_cpu, _cuda.gru, _gru_rule, _gru_composed, (True, True, False, False))


# ---- RNN ----
def _rnn_cpu(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse, relu):
    d, walk = x.dtype, walk_of(x, sizes, reverse)
    wide, h0, w_ih, w_hh, b_ih, b_hh = map(_up, (x, h0, w_ih, w_hh, b_ih, b_hh))
    hidden = w_hh.shape[1]
    h = _States(walk, hidden, h0, wide.dtype, b_ih is not None)
    weight = _with_bias(w_hh, None if b_ih is None else b_ih + b_hh)
    sums = _blocks(walk, hidden, wide.dtype)
    _input_sums(wide.reshape(walk.rows, x.shape[-1]), w_ih, walk, sums, hidden)
    for k, z in enumerate(_steps(sums, walk, hidden)):
        z += np.dot(weight, h.enter(k))
        if relu:
            np.maximum(z, 0, out=h.after[k])
        else:
            np.tanh(z, h.after[k])
    y, h_n = _down((h.rows(), h.final()), d)
    return _shaped(y, x), h_n, h.steps()


def _rnn_backward_cpu(x, g, g_h, w_ih, w_hh, out, h_before, *, sizes, reverse, needs, relu):
    d, walk = x.dtype, walk_of(x, sizes, reverse)
    wide, g_h, w_ih, w_hh, out = map(_up, (x, g_h, w_ih, w_hh, out))
    kind, hidden = wide.dtype, w_hh.shape[1]
    out = out.reshape(walk.rows, hidden)
    slope = (out > 0).astype(kind) if relu else 1 - out * out
    sums = _blocks(walk, hidden, kind)
    all_p = _steps(sums, walk, hidden)
    h = _Carry(walk, hidden, g, g_h, kind)
    weight = np.ascontiguousarray(w_hh.T)
    slopes = _from_rows(slope, walk, hidden)
    for k in range(len(walk.visits) - 1, -1, -1):
        p = np.multiply(slopes[k], h.arrive(k), all_p[k])
        h.leave(weight, p)
    sums = _columns(sums, walk, hidden)
    before = _columns(h_before, walk, _width(h_before, walk))[:hidden].T
    of_weights = _of_weights((*needs, False), sums, sums, wide, before)
    return _wanted((*needs, False), sums, wide, w_ih, (h.carry,), of_weights, None, d)


def _rnn_composed(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse, relu):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def step(sums: Any, h: Any) -> tuple:
        z = sums + linear(h, w_hh, b_hh)
        return (z.relu() if relu else z.tanh(),)

    first = _initial(h0, x, walk_of(x, sizes, reverse).batch, w_hh.shape[1])
    return _compose(step, x, (first,), w_ih, b_ih, sizes, reverse)


rnn_backward_op = Op("rnn_backward", _rnn_backward_cpu, _cuda.rnn_backward, differentiable=False)


def _rnn_rule(gs, x, h0, w_ih, w_hh, b_ih, b_hh, y0, y2, needs, *, sizes, reverse, relu):
    made = rnn_backward_op(
        x, *gs[:2], w_ih, w_hh, y0, y2, sizes=sizes, reverse=reverse, needs=needs, relu=relu
    )
    return _spread(made, needs)


# Outputs: y, last h; what is before each step.
rnn_op = Fused("rnn", _rnn_cpu, _cuda.rnn, _rnn_rule, _rnn_composed, (True, True, False))


# ---- layers ----
class Kind(NamedTuple):
    """A kind of layer: its op and attributes, gates and states."""

    name: str
    op: Op
    attrs: dict
    gates: int
    states: int


KINDS = {
    kind.name: kind
    for kind in (
        Kind("lstm", lstm_op, {}, 4, 2),
        Kind("gru", gru_op, {}, 3, 1),
        Kind("rnn_tanh", rnn_op, {"relu": False}, 1, 1),
        Kind("rnn_relu", rnn_op, {"relu": True}, 1, 1),
    )
}


def layers(
    kind: Kind,
    x: Tensor,
    states: Sequence[Tensor] | None,
    groups: Sequence[Sequence[Any]],
    dropout: float,
    ways: int,
    sizes: tuple[int, ...] | None,
) -> tuple[Tensor, ...]:
    """Layers on top of each other: the output and the final states (layers · ways, N, size).

    Args:
        x: (L, N, features), or packed rows with `sizes`.
        states: initial ones, each (layers · ways, N, size), or None for zeros.
        groups: (w_ih, w_hh, b_ih, b_hh[, w_hr]) of each layer and way, None for what is not there.
        dropout: between layers.
        ways: 1, or 2 for both directions.
    """
    firsts = [(None,) * kind.states] * len(groups) if states is None else list(zip(*[s.unbind(0) for s in states]))  # fmt: skip
    lasts = []
    for layer in range(0, len(groups), ways):
        if layer and dropout:
            x = _dropout(x, dropout)
        made = []
        for way in range(ways):
            found = kind.op(
                x, *firsts[layer + way], *groups[layer + way], sizes=sizes, reverse=way == 1, **kind.attrs
            )
            made.append(found[0])
            lasts.append(found[1 : 1 + kind.states])
        x = made[0] if ways == 1 else cat(made, -1)
    if len(lasts) == 1:
        # No views, as joined ones are none: scripts cut them off with detach_().
        return (x, *apart(tuple([s.reshape((1, *s.shape)) for s in lasts[0]])))
    return (x, *[stack(column) for column in zip(*lasts)])


def _check_group(kind: Kind, group: Sequence[Any], width: int, layer: int) -> None:
    """The shapes of a layer's weights."""
    w_ih, w_hh = group[:2]
    rows = w_ih.shape[0] if w_ih.ndim == 2 else 0
    hidden, output = rows // kind.gates, w_hh.shape[-1] if w_hh.ndim == 2 else 0
    projected = len(group) > 4 and group[4] is not None
    wanted = [(rows, width), (rows, output), (rows,), (rows,), (output, hidden)]
    if not rows or rows % kind.gates or not projected and hidden != output:
        wanted = [(kind.gates * output, width), (kind.gates * output, output)]
    for name, weight, shape in zip(("w_ih", "w_hh", "b_ih", "b_hh", "w_hr"), group, wanted):
        if weight is not None and tuple(weight.shape) != shape:
            raise RuntimeError(
                f"{kind.name}: {name} of layer {layer} must have shape {shape}, got {tuple(weight.shape)}"
            )


def _groups(kind: Kind, params: Sequence[Tensor], has_biases: bool, layers: int) -> list[tuple]:
    """A flat list of weights by layers."""
    each = 4 if has_biases else 2
    extra = kind.states == 2 and layers and len(params) == layers * (each + 1)
    if len(params) != layers * (each + bool(extra)):
        raise RuntimeError(
            f"{kind.name}: expected {each} weights for each of {layers} layers and directions, got {len(params)} in all"
        )
    groups = []
    for k in range(0, len(params), each + bool(extra)):
        w = params[k : k + each + bool(extra)]
        biases = w[2:4] if has_biases else (None, None)
        groups.append((*w[:2], *biases, *([w[-1] if extra else None] if kind.states == 2 else [])))
    return groups


def _sequence(kind: Kind, args: tuple) -> tuple[Tensor, ...]:
    """The two forms of the functions below."""
    packed = isinstance(args[1], Tensor) and isinstance(args[3], (list, tuple))
    if packed:
        x, counts, hx, params, has_biases, num_layers, dropout, train, bidirectional = args
        batch_first, sizes, batch = False, tuple(counts.tolist()), None
        if x.ndim != 2 or sum(sizes) != x.shape[0] or any(a < b for a, b in pairwise(sizes)):
            raise RuntimeError(
                f"{kind.name}: batch_sizes {sizes} must not increase and add up to the rows of data, got {tuple(x.shape)}"
            )
        batch = sizes[0] if sizes else 0
    else:
        x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first = args
        sizes = None
        if x.ndim != 3:
            raise RuntimeError(
                f"{kind.name}: expected input (L, N, features), got shape {tuple(x.shape)}; "
                "add a batch dimension with x.unsqueeze(1)"
            )
        x = x.transpose(0, 1) if batch_first else x
        batch = x.shape[1]
    if not x.is_floating_point():
        raise RuntimeError(f"{kind.name}: expected a floating-point input, got {x.dtype}; use input.float()")
    if not x.shape[0]:
        raise RuntimeError(f"{kind.name}: Expected sequence length to be larger than 0 in RNN")
    ways = 2 if bidirectional else 1
    groups = _groups(kind, params, has_biases, num_layers * ways)
    for k, group in enumerate(groups):
        width = x.shape[-1] if k < ways else ways * groups[0][1].shape[-1]
        _check_group(kind, group, width, k // ways)
    states = tuple(hx) if isinstance(hx, (list, tuple)) else (hx,)
    if len(states) != kind.states:
        raise RuntimeError(f"{kind.name} expects {kind.states} hidden state(s), got {len(states)}")
    hidden = groups[0][0].shape[0] // kind.gates
    for state, size in zip(states, (groups[0][1].shape[1], hidden)):
        if tuple(state.shape) != (len(groups), batch, size):
            raise RuntimeError(f"Expected hidden size {(len(groups), batch, size)}, got {list(state.shape)}")
    y, *finals = layers(kind, x, states, groups, dropout if train else 0.0, ways, sizes)
    return (y.transpose(0, 1) if batch_first else y, *finals)


def lstm(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), what `nn.LSTM` computes, in PyTorch's two forms:

    `lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)` and
    `lstm(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)` for packed sequences.

    Args:
        input: (L, N, features), or (N, L, features) with `batch_first`.
        data, batch_sizes: those of a `PackedSequence`.
        hx: (h, c), each (layers · directions, N, size).
        params: w_ih (4 hidden, features), w_hh (4 hidden, hidden), and b_ih, b_hh (4 hidden) with `has_biases`, for each layer
            and direction in turn; a further w_hr (size, hidden) projects h.

    Returns:
        output (L, N, size · directions) or rows like data's, last h, last c.

    Raises:
        RuntimeError: shapes that do not fit.

    >>> import gradgpu as gg
    >>> w = [gg.zeros(8, 3), gg.zeros(8, 2)]
    >>> y, h, c = gg.lstm(gg.ones(5, 1, 3), (gg.zeros(1, 1, 2), gg.ones(1, 1, 2)), w, False, 1, 0.0, False, False, False)
    >>> y.shape, c
    (gradgpu.Size([5, 1, 2]), tensor([[[0.0312, 0.0312]]]))
    """
    return _sequence(KINDS["lstm"], args)  # type: ignore[return-value]


def gru(*args: Any) -> tuple[Tensor, Tensor]:
    """Gated recurrent units (Cho et al., 2014), what `nn.GRU` computes; the arguments are those of `lstm`, hx is h alone.

    Returns:
        output and last h.

    >>> import gradgpu as gg
    >>> w = [gg.zeros(6, 3), gg.zeros(6, 2)]
    >>> gg.gru(gg.ones(3, 1, 3), gg.ones(1, 1, 2), w, False, 1, 0.0, False, False, False)[1]
    tensor([[[0.1250, 0.1250]]])
    """
    return _sequence(KINDS["gru"], args)  # type: ignore[return-value]


def rnn_tanh(*args: Any) -> tuple[Tensor, Tensor]:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), what `nn.RNN` computes; the arguments are those of `lstm`, hx is h alone.

    >>> import gradgpu as gg
    >>> w = [gg.zeros(2, 3), gg.eye(2)]
    >>> gg.rnn_tanh(gg.ones(1, 1, 3), gg.ones(1, 1, 2), w, False, 1, 0.0, False, False, False)[0]
    tensor([[[0.7616, 0.7616]]])
    """
    return _sequence(KINDS["rnn_tanh"], args)  # type: ignore[return-value]


def rnn_relu(*args: Any) -> tuple[Tensor, Tensor]:
    """h' = max(0, W_ih x + b_ih + W_hh h + b_hh); the arguments are those of `lstm`, hx is h alone.

    >>> import gradgpu as gg
    >>> w = [gg.ones(2, 3), gg.eye(2)]
    >>> gg.rnn_relu(gg.ones(1, 1, 3), gg.ones(1, 1, 2), w, False, 1, 0.0, False, False, False)[0]
    tensor([[[4., 4.]]])
    """
    return _sequence(KINDS["rnn_relu"], args)  # type: ignore[return-value]


# ---- cells ----
def cell(kind: Kind, input: Tensor, states: Sequence[Any], group: Sequence[Any]) -> tuple[Tensor, ...]:
    """One step: the new states; input (N, features) or (features), states likewise, or None for zeros."""
    batched = input.ndim == 2
    x, before = input, tuple(states)
    if not batched:
        x, before = x.unsqueeze(0), tuple(None if s is None else s.unsqueeze(0) for s in before)
    width, size = group[0].shape[1], group[1].shape[1]
    if x.shape[1] != width:
        raise RuntimeError(f"input has inconsistent input_size: got {x.shape[1]} expected {width}")
    for name, state in zip(("0", "1"), before):
        if state is None:
            continue
        if state.ndim != 2 or state.shape[0] != x.shape[0]:
            raise RuntimeError(f"Input batch size {x.shape[0]} doesn't match hidden{name} batch size {state.shape[0]}")  # fmt: skip
        if state.shape[1] != size:
            raise RuntimeError(
                f"hidden{name} has inconsistent hidden_size: got {state.shape[1]}, expected {size}"
            )
    _check_group(kind, group, width, 0)
    extra = (None,) if kind.states == 2 else ()
    made = kind.op(x, *before, *group, *extra, sizes=(x.shape[0],), reverse=False, **kind.attrs)
    finals = made[1 : 1 + kind.states]
    return finals if batched else tuple(s.squeeze(0) for s in finals)


def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: input (N, features) and (h, c), each (N, hidden), to the new (h, c).

    >>> import gradgpu as gg
    >>> gg.lstm_cell(gg.ones(1, 3), (gg.zeros(1, 2), gg.ones(1, 2)), gg.zeros(8, 3), gg.zeros(8, 2))[1]
    tensor([[0.5000, 0.5000]])
    """
    return cell(KINDS["lstm"], input, hx, (w_ih, w_hh, b_ih, b_hh))  # type: ignore[return-value]


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> Tensor:
    """One step of `gru`: input (N, features) and h (N, hidden) to the new h.

    >>> import gradgpu as gg
    >>> gg.gru_cell(gg.ones(1, 3), gg.ones(1, 2), gg.zeros(6, 3), gg.zeros(6, 2))
    tensor([[0.5000, 0.5000]])
    """
    return cell(KINDS["gru"], input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> Tensor:
    """One step of `rnn_tanh`: input (N, features) and h (N, hidden) to the new h.

    >>> import gradgpu as gg
    >>> gg.rnn_tanh_cell(gg.ones(1, 3), gg.ones(1, 2), gg.zeros(2, 3), gg.eye(2))
    tensor([[0.7616, 0.7616]])
    """
    return cell(KINDS["rnn_tanh"], input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> Tensor:
    """One step of `rnn_relu`: input (N, features) and h (N, hidden) to the new h.

    >>> import gradgpu as gg
    >>> gg.rnn_relu_cell(gg.ones(1, 3), gg.ones(1, 2), gg.ones(2, 3), gg.eye(2))
    tensor([[4., 4.]])
    """
    return cell(KINDS["rnn_relu"], input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]
