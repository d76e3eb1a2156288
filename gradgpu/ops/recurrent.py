"""LSTM, GRU and RNN over whole sequences as operations: numpy code, gradients, and the same made of other operations.

What does not depend on the step before, the product of all inputs with the input weights, is one product for all
steps; a step then is one product and a few fused elementwise operations. The backward pass is the same, with the
gradients of the weights as one product over all steps. A cell is a sequence of one step.

Sequences are (L, N, features), or packed (rows, features) with `sizes`, the sequences that are still going at each step.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..cuda import recurrent as _cuda
from . import sequences as seq
from .fused import Fused
from .linalg import linear
from .registry import Op


# ---- LSTM ----
def _lstm_steps(
    weight: Any, h: seq.States, c: seq.States, gates: Any, tanh_c: Any, joint: bool, factor: Any
) -> None:
    """All steps of a walk on which every step has all sequences: what is done 32 times or more is said shortly."""
    dot, add, multiply, one = np.dot, np.add, np.multiply, np.ones((), gates.dtype)
    hidden = c.width
    sums, part = np.empty_like(gates[0]), np.empty((hidden, c.walk.batch), gates.dtype)
    for z, i, f, new, o, past, c_past, now, t, out in zip(
        gates, *seq.gates_of(gates, 4, hidden), h.before, c.before, c.after, tanh_c, h.after
    ):
        if joint:
            dot(weight, past, z)
        else:
            add(z, dot(weight, past, sums), z)
        if factor is not None:
            multiply(z, factor, z)
        seq.sigmoid_into(z, one)
        add(new, new, new)
        np.subtract(new, one, new)
        multiply(f, c_past, now)
        multiply(i, new, part)
        add(now, part, now)
        np.tanh(now, t)
        multiply(o, t, out)


def _lstm_cpu(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, sizes, reverse):
    d, walk = x.dtype, seq.walk_of(x, sizes, reverse)
    wide, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr = map(seq.up, (x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr))
    kind, hidden = wide.dtype, w_hh.shape[0] // 4
    rows, joint = wide.reshape(walk.rows, x.shape[-1]), walk.batch >= seq.FEW
    factor, one = seq.factors("ssts", hidden, kind), np.ones((), kind)
    bias = None if b_ih is None else b_ih + b_hh
    gates, tanh_c = seq.blocks(walk, 4 * hidden, kind), seq.blocks(walk, hidden, kind)
    late = seq.few(walk) and not joint and walk.even and w_hr is None  # the sums are scaled, not the weights
    if late:
        weight = w_hh
        seq.input_sums(rows, w_ih, walk, gates, 4 * hidden)
        if bias is not None:
            gates += bias.reshape(-1, 1)
    else:
        weight = seq.with_bias(w_hh, bias)
        weight = (np.concatenate([weight, w_ih], 1) if joint else weight) * factor
        if not joint:
            seq.input_sums(rows, w_ih * factor, walk, gates, 4 * hidden)
    ones = bias is not None and not late
    h = seq.States(walk, w_hh.shape[1], h0, kind, ones, rows if joint else None)
    c = seq.States(walk, hidden, c0, kind)
    with np.errstate(over="ignore"):
        if walk.even and w_hr is None:
            _lstm_steps(weight, h, c, gates, tanh_c, joint, factor if late else None)
        else:
            part = None
            for k, (z, t) in enumerate(
                zip(seq.steps_of(gates, walk, 4 * hidden), seq.steps_of(tanh_c, walk, hidden))
            ):
                if joint:
                    np.dot(weight, h.enter(k), z)
                else:
                    z += np.dot(weight, h.enter(k))
                seq.sigmoid_into(z, one)
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
    y, h_n, c_n = seq.down((h.rows(), h.final(), c.final()), d)
    return seq.shaped(y, x), h_n, c_n, gates, h.steps(), c.steps(), tanh_c


def _lstm_steps_back(weight: Any, h: seq.Carry, dc: Any, gates: Any, sums: Any, to_c: Any) -> None:
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
    d, walk = x.dtype, seq.walk_of(x, sizes, reverse)
    wide, g_h, g_c, w_ih, w_hh, w_hr = map(seq.up, (x, g_h, g_c, w_ih, w_hh, w_hr))
    kind, hidden, width = wide.dtype, w_hh.shape[0] // 4, w_hh.shape[1]
    # The gates' derivatives, times what each multiplies: the loop is left with a product by the gradient.
    sums, to_c = np.empty_like(gates), np.empty_like(tanh_c)
    wide_4, wide_1 = 4 * hidden, hidden
    for z, p, c, t, q in seq.each(
        walk, (gates, wide_4), (sums, wide_4), (c_before, wide_1), (tanh_c, wide_1), (to_c, wide_1)
    ):
        i, _, new, o = seq.gates_of(z, 4, hidden)
        of_i, of_f, of_new, of_o = seq.gates_of(p, 4, hidden)
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
    h = seq.Carry(walk, width, g, g_h, kind)
    carry = seq.Carry(walk, hidden, None, g_c, kind)
    arrived: Any = None if w_hr is None else np.empty((walk.rows, width), kind)
    weight = seq.turned(w_hh, walk)
    all_z, all_p, all_q = (
        seq.steps_of(gates, walk, wide_4),
        seq.steps_of(sums, walk, wide_4),
        seq.steps_of(to_c, walk, hidden),
    )
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
        outs = seq.blocks(walk, hidden, kind)
        for z, t, m in seq.each(walk, (gates, wide_4), (tanh_c, hidden), (outs, hidden)):
            np.multiply(z[..., 3 * hidden :, :], t, m)
        of_hr = np.dot(arrived.T, seq.columns(outs, walk, hidden).T)
    sums, before = seq.columns(sums, walk, wide_4), seq.columns(h_before, walk, seq.width_of(h_before, walk))
    if walk.batch >= seq.FEW:
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
        of_weights = seq.of_weights(needs, sums, sums, wide, before[:width].T)
    return seq.wanted(needs, sums, wide, w_ih, (h.carry, carry.carry), of_weights, of_hr, d)


def _lstm_composed(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, sizes, reverse):
    """i, f, o = σ(…), g = tanh(…), c' = f c + i g, h' = o tanh(c')."""
    batch, hidden = seq.walk_of(x, sizes, reverse).batch, w_hh.shape[0] // 4

    def step(sums: Any, h: Any, c: Any) -> tuple:
        i, f, g, o = (sums + linear(h, w_hh, b_hh)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h if w_hr is None else linear(h, w_hr)), c

    states = seq.initial(h0, x, batch, w_hh.shape[1]), seq.initial(c0, x, batch, hidden)
    return seq.compose(step, x, states, w_ih, b_ih, sizes, reverse)


lstm_backward_op = Op(
    "lstm_backward", _lstm_backward_cpu, _cuda.lstm_backward, differentiable=False
)  # differentiated through `composed`


def _lstm_rule(gs, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, y0, y3, y4, y5, y6, needs, *, sizes, reverse):
    made = lstm_backward_op(
        x, *gs[:3], w_ih, w_hh, w_hr, y3, y4, y5, y6, sizes=sizes, reverse=reverse, needs=needs
    )
    return seq.spread(made, needs)


# Outputs: y, last h, last c; gates, what is before each step and c there, tanh(c) (cpu) or c (cuda).
lstm_op = Fused(
    "lstm", _lstm_cpu, _cuda.lstm, _lstm_rule, _lstm_composed, (True, True, True, False, False, False, False)
)


# ---- GRU ----
def _gru_cpu(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse):
    d, walk = x.dtype, seq.walk_of(x, sizes, reverse)
    wide, h0, w_ih, w_hh, b_ih, b_hh = map(seq.up, (x, h0, w_ih, w_hh, b_ih, b_hh))
    kind, hidden = wide.dtype, w_hh.shape[1]
    factor, one = seq.factors("ss ", hidden, kind), np.ones((), kind)
    bias = None
    if b_ih is not None:
        bias = b_hh.copy()
        bias[: 2 * hidden] += b_ih[: 2 * hidden]
    late = seq.few(walk)  # the sums are scaled, not the weights
    weight = w_hh if late else seq.with_bias(w_hh, bias) * factor
    # r, z, n and the state's part of n before r
    gates = seq.blocks(walk, 4 * hidden, kind)
    rows = wide.reshape(walk.rows, x.shape[-1])
    seq.input_sums(rows, w_ih if late else w_ih * factor, walk, gates, 4 * hidden)
    inner = None if b_ih is None else b_ih[2 * hidden :].reshape(-1, 1)
    h = seq.States(walk, hidden, h0, kind, bias is not None and not late)
    with np.errstate(over="ignore"):
        for k, four in enumerate(seq.steps_of(gates, walk, 4 * hidden)):
            before = h.enter(k)
            q = np.dot(weight, before)
            if late and bias is not None:
                q += bias.reshape(-1, 1)
            both, new, inside = four[: 2 * hidden], four[2 * hidden : 3 * hidden], four[3 * hidden :]
            both += q[: 2 * hidden]
            if late:
                np.negative(both, both)
            seq.sigmoid_into(both, one)
            inside[:] = q[2 * hidden :]
            step = np.multiply(both[:hidden], inside)
            if inner is not None:
                step += inner
            new += step
            np.tanh(new, new)
            np.subtract(before[:hidden], new, step)
            step *= both[hidden:]
            np.add(new, step, h.after[k])
    y, h_n = seq.down((h.rows(), h.final()), d)
    return seq.shaped(y, x), h_n, gates, h.steps()


def _gru_backward_cpu(x, g, g_h, w_ih, w_hh, gates, h_before, *, sizes, reverse, needs):
    d, walk = x.dtype, seq.walk_of(x, sizes, reverse)
    wide, g_h, w_ih, w_hh = map(seq.up, (x, g_h, w_ih, w_hh))
    kind, hidden = wide.dtype, w_hh.shape[1]
    # d r, d z, d n r (what reaches the state's part of n) and d n of a unit gradient; the loop multiplies by the gradient.
    sums, tall = np.empty_like(gates), seq.width_of(h_before, walk)
    for four, p, before in seq.each(walk, (gates, 4 * hidden), (sums, 4 * hidden), (h_before, tall)):
        r, z, new, inside = seq.gates_of(four, 4, hidden)
        of_r, of_z, of_inside, of_n = seq.gates_of(p, 4, hidden)
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
    h = seq.Carry(walk, hidden, g, g_h, kind)
    weight = seq.turned(w_hh, walk)
    all_z, all_p = seq.steps_of(gates, walk, 4 * hidden), seq.steps_of(sums, walk, 4 * hidden)
    for k in range(len(walk.visits) - 1, -1, -1):
        dh, p = h.arrive(k), all_p[k]
        four = p.reshape(4, hidden, p.shape[1])
        four *= dh
        h.leave(weight, p[: 3 * hidden], dh * all_z[k][hidden : 2 * hidden])
    sums = seq.columns(sums, walk, 4 * hidden)
    of_state = sums[: 3 * hidden]
    of_input = np.concatenate([sums[: 2 * hidden], sums[3 * hidden :]])
    before = seq.columns(h_before, walk, tall)[:hidden].T
    of_weights = seq.of_weights((*needs, False), of_input, of_state, wide, before)
    return seq.wanted((*needs, False), of_input, wide, w_ih, (h.carry,), of_weights, None, d)


def _gru_composed(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse):
    """r, z = σ(…), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h."""

    def step(sums: Any, h: Any) -> tuple:
        r_x, z_x, n_x = sums.chunk(3, -1)
        r_h, z_h, n_h = linear(h, w_hh, b_hh).chunk(3, -1)
        n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
        return (n + (z_x + z_h).sigmoid() * (h - n),)

    first = seq.initial(h0, x, seq.walk_of(x, sizes, reverse).batch, w_hh.shape[1])
    return seq.compose(step, x, (first,), w_ih, b_ih, sizes, reverse)


gru_backward_op = Op("gru_backward", _gru_backward_cpu, _cuda.gru_backward, differentiable=False)


def _gru_rule(gs, x, h0, w_ih, w_hh, b_ih, b_hh, y0, y2, y3, needs, *, sizes, reverse):
    made = gru_backward_op(x, *gs[:2], w_ih, w_hh, y2, y3, sizes=sizes, reverse=reverse, needs=needs)
    return seq.spread(made, needs)


# Outputs: y, last h; gates and the state's part of n, what is before each step.
gru_op = Fused("gru", _gru_cpu, _cuda.gru, _gru_rule, _gru_composed, (True, True, False, False))


# ---- RNN ----
def _rnn_cpu(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse, relu):
    d, walk = x.dtype, seq.walk_of(x, sizes, reverse)
    wide, h0, w_ih, w_hh, b_ih, b_hh = map(seq.up, (x, h0, w_ih, w_hh, b_ih, b_hh))
    hidden = w_hh.shape[1]
    late = seq.few(walk)  # a bias is added to the sums, no column of the weights
    bias = None if b_ih is None else b_ih + b_hh
    h = seq.States(walk, hidden, h0, wide.dtype, bias is not None and not late)
    weight = w_hh if late else seq.with_bias(w_hh, bias)
    sums = seq.blocks(walk, hidden, wide.dtype)
    seq.input_sums(wide.reshape(walk.rows, x.shape[-1]), w_ih, walk, sums, hidden)
    for k, z in enumerate(seq.steps_of(sums, walk, hidden)):
        z += np.dot(weight, h.enter(k))
        if late and bias is not None:
            z += bias.reshape(-1, 1)
        if relu:
            np.maximum(z, 0, out=h.after[k])
        else:
            np.tanh(z, h.after[k])
    y, h_n = seq.down((h.rows(), h.final()), d)
    return seq.shaped(y, x), h_n, h.steps()


def _rnn_backward_cpu(x, g, g_h, w_ih, w_hh, out, h_before, *, sizes, reverse, needs, relu):
    d, walk = x.dtype, seq.walk_of(x, sizes, reverse)
    wide, g_h, w_ih, w_hh, out = map(seq.up, (x, g_h, w_ih, w_hh, out))
    kind, hidden = wide.dtype, w_hh.shape[1]
    out = out.reshape(walk.rows, hidden)
    slope = (out > 0).astype(kind) if relu else 1 - out * out
    sums = seq.blocks(walk, hidden, kind)
    all_p = seq.steps_of(sums, walk, hidden)
    h = seq.Carry(walk, hidden, g, g_h, kind)
    weight = seq.turned(w_hh, walk)
    slopes = seq.from_rows(slope, walk, hidden)
    for k in range(len(walk.visits) - 1, -1, -1):
        p = np.multiply(slopes[k], h.arrive(k), all_p[k])
        h.leave(weight, p)
    sums = seq.columns(sums, walk, hidden)
    before = seq.columns(h_before, walk, seq.width_of(h_before, walk))[:hidden].T
    of_weights = seq.of_weights((*needs, False), sums, sums, wide, before)
    return seq.wanted((*needs, False), sums, wide, w_ih, (h.carry,), of_weights, None, d)


def _rnn_composed(x, h0, w_ih, w_hh, b_ih, b_hh, *, sizes, reverse, relu):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def step(sums: Any, h: Any) -> tuple:
        z = sums + linear(h, w_hh, b_hh)
        return (z.relu() if relu else z.tanh(),)

    first = seq.initial(h0, x, seq.walk_of(x, sizes, reverse).batch, w_hh.shape[1])
    return seq.compose(step, x, (first,), w_ih, b_ih, sizes, reverse)


rnn_backward_op = Op("rnn_backward", _rnn_backward_cpu, _cuda.rnn_backward, differentiable=False)


def _rnn_rule(gs, x, h0, w_ih, w_hh, b_ih, b_hh, y0, y2, needs, *, sizes, reverse, relu):
    made = rnn_backward_op(
        x, *gs[:2], w_ih, w_hh, y0, y2, sizes=sizes, reverse=reverse, needs=needs, relu=relu
    )
    return seq.spread(made, needs)


# Outputs: y, last h; what is before each step.
rnn_op = Fused("rnn", _rnn_cpu, _cuda.rnn, _rnn_rule, _rnn_composed, (True, True, False))
