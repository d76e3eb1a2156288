"""Samples of ops/rnn.py and ops/recurrent.py."""

import numpy as np

import gradgpu as gg
from gradgpu.ops.rnn import (
    gru,
    gru_cell,
    lstm,
    lstm_cell,
    rnn_relu,
    rnn_relu_cell,
    rnn_tanh,
    rnn_tanh_cell,
)
from tests.samples import Bad, In, OpSamples, Sample

WIDE = {"float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1), "float32": (1e-4, 1e-4)}
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step_of(kind, x, states, w_ih, w_hh, b_ih, b_hh, w_hr=None):
    """One step of one sequence or of several: the new states."""
    h = states[0]
    a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if kind == "lstm":
        i, f, g, o = np.split(a + b, 4, -1)
        c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h if w_hr is None else h @ w_hr.T), c
    if kind == "gru":
        (ar, az, an), (br, bz, bn) = np.split(a, 3, -1), np.split(b, 3, -1)
        z = sigmoid(az + bz)
        return ((1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h,)
    return (np.tanh(a + b) if kind == "rnn_tanh" else np.maximum(a + b, 0),)


def run_layers(kind, sequences, states, params, has_biases, ways):
    """(outputs of each sequence, final states) of sequences (length, features), by the definition."""
    each = len(params) // len(states[0])
    groups = [params[k : k + each] for k in range(0, len(params), each)]
    finals = [np.array(s) for s in states]
    for layer in range(len(groups) // ways):
        made = []
        for n, x in enumerate(sequences):
            outputs = []
            for way in range(ways):
                k = layer * ways + way
                w = list(groups[k])
                if not has_biases:
                    w[2:2] = [0.0, 0.0]
                state = tuple(s[k, n] for s in states)
                outs = []
                for row in x[::-1] if way else x:
                    state = step_of(kind, row, state, *w)
                    outs.append(state[0])
                outputs.append(np.array(outs[::-1] if way else outs))
                for final, value in zip(finals, state):
                    final[k, n] = value
            made.append(np.concatenate(outputs, -1))
        sequences = made
    return sequences, finals


def reference_of(kind):
    def reference(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
        states = hx if isinstance(hx, tuple) else (hx,)
        rows = x if batch_first else x.swapaxes(0, 1)
        outputs, finals = run_layers(kind, list(rows), states, params, has_biases, 2 if bidirectional else 1)
        width = states[0].shape[-1] * (2 if bidirectional else 1)
        y = np.array(outputs) if outputs else np.zeros((0, rows.shape[1], width))
        return (y if batch_first else y.swapaxes(0, 1), *finals)

    return reference


def weights(kind, features, hidden, layers=1, ways=1, bias=True, proj=0):
    """`In`s for all weights, small enough that no gate saturates."""
    found = []
    size = proj or hidden
    for layer in range(layers):
        for _ in range(ways):
            rows, width = GATES[kind] * hidden, features if layer == 0 else size * ways
            shapes = [(rows, width), (rows, size), *([(rows,), (rows,)] if bias else []), *([(proj, hidden)] if proj else [])]  # fmt: skip
            found += [In(*shape, low=-0.6, high=0.6) for shape in shapes]
    return found


def sequence(kind, *, steps=3, batch=2, features=2, hidden=3, layers=1, ways=1, bias=True, proj=0, first=False):  # fmt: skip
    """A whole layer's sample."""
    x = In(batch, steps, features) if first else In(steps, batch, features)
    sizes = (proj or hidden, hidden) if kind == "lstm" else (hidden,)
    states = tuple(In(layers * ways, batch, size) for size in sizes)
    params = weights(kind, features, hidden, layers, ways, bias, proj)
    return x, states if kind == "lstm" else states[0], params, bias, layers, 0.0, False, ways == 2, first


SIZES = (3, 2, 2, 1)  # sequences of 4, 3 and 1 steps


def packed(function, kind):
    """The function of packed sequences, as one of the data alone."""

    def call(data, hx, params, bidirectional):
        sizes = gg.tensor(SIZES)
        return function(data, sizes, hx, params, True, 1, 0.0, False, bidirectional)

    def reference(data, hx, params, bidirectional):
        starts = np.cumsum((0, *SIZES))[:-1]
        lengths = [sum(s > n for s in SIZES) for n in range(SIZES[0])]
        rows = [[starts[t] + n for t in range(length)] for n, length in enumerate(lengths)]
        states = hx if isinstance(hx, tuple) else (hx,)
        ways = 2 if bidirectional else 1
        outputs, finals = run_layers(kind, [data[r] for r in rows], states, params, True, ways)
        y = np.zeros((data.shape[0], outputs[0].shape[1]))
        for r, out in zip(rows, outputs):
            y[r] = out
        return (y, *finals)

    call.__name__ = function.__name__

    def sample(ways):
        states = tuple(In(ways, SIZES[0], 3) for _ in range(2 if kind == "lstm" else 1))
        hx = states if kind == "lstm" else states[0]
        return Sample(In(sum(SIZES), 2), hx, weights(kind, 2, 3, 1, ways), ways == 2)

    return OpSamples(
        f"{kind} of packed sequences",
        call,
        samples=[sample(1), sample(2)],
        reference=reference,
        errors=[
            Bad(
                In(7, 2), sample(1).args[1], weights(kind, 2, 3), False,
                raises=RuntimeError, match="batch_sizes",
            ),
        ],
        tolerance=WIDE,
    )  # fmt: skip


def whole(function, kind):
    x, hx, params, *rest = sequence(kind)
    more = []
    if kind == "lstm":
        more = [Sample(*sequence(kind, proj=2)), Sample(*sequence(kind, proj=2, bias=False, batch=5, ways=2))]
    return OpSamples(
        kind,
        function,
        samples=[
            Sample(x, hx, params, *rest),
            Sample(*sequence(kind, layers=2, ways=2)),
            Sample(*sequence(kind, batch=5, steps=2, first=True)),
            Sample(*sequence(kind, bias=False, batch=1, steps=1)),
            Sample(*sequence(kind, batch=0)),
            *more,
        ],
        reference=reference_of(kind),
        errors=[
            Bad(In(2, 2), hx, params, *rest, raises=RuntimeError, match="expected input .L, N, features."),
            Bad(
                In(3, 2, 2, dtype="int64"), hx, params, *rest, raises=RuntimeError, match="expected a floating-point"
            ),
            Bad(In(0, 2, 2), hx, params, *rest, raises=RuntimeError, match="larger than 0"),
            Bad(In(3, 2, 4), hx, params, *rest, raises=RuntimeError, match="w_ih of layer 0 must have shape"),
            Bad(In(3, 4, 2), hx, params, *rest, raises=RuntimeError, match="Expected hidden size"),
            Bad(x, hx, params[:-1], *rest, raises=RuntimeError, match="expected 4 weights for each of 1"),
            Bad(
                x, (In(1, 2, 3),) * 3, params, *rest, raises=RuntimeError, match=r"hidden state\(s\), got 3"
            ),
        ],
        tolerance=WIDE,
        ops=(f"{kind.split('_')[0]}_backward",),
    )  # fmt: skip


def one_step(function, kind):
    several = kind == "lstm"

    def state(*shape):
        return (In(*shape), In(*shape)) if several else In(*shape)

    def reference(x, hx, w_ih, w_hh, b_ih=0.0, b_hh=0.0):
        made = step_of(kind, x, hx if several else (hx,), w_ih, w_hh, b_ih, b_hh)
        return made if several else made[0]

    w = weights(kind, 2, 3)
    return OpSamples(
        f"{kind}_cell",
        function,
        samples=[
            Sample(In(4, 2), state(4, 3), *w),
            Sample(In(2), state(3), *w[:2]),
            Sample(In(0, 2), state(0, 3), *w),
        ],
        reference=reference,
        errors=[
            Bad(In(4, 3), state(4, 3), *w, raises=RuntimeError, match="inconsistent input_size: got 3 expected 2"),
            Bad(In(4, 2), state(5, 3), *w, raises=RuntimeError, match="doesn't match hidden0 batch size 5"),
            Bad(In(4, 2), state(4, 2), *w, raises=RuntimeError, match="inconsistent hidden_size: got 2"),
        ],
        tolerance=WIDE,
    )  # fmt: skip


FUNCTIONS = {"lstm": lstm, "gru": gru, "rnn_tanh": rnn_tanh, "rnn_relu": rnn_relu}
CELLS = {"lstm": lstm_cell, "gru": gru_cell, "rnn_tanh": rnn_tanh_cell, "rnn_relu": rnn_relu_cell}

OPS = [
    *[whole(function, kind) for kind, function in FUNCTIONS.items()],
    *[packed(function, kind) for kind, function in FUNCTIONS.items()],
    *[one_step(function, kind) for kind, function in CELLS.items()],
]
