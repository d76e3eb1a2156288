"""The same steps by hand in numpy: what the arithmetic alone costs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .common import (
    Step,
    chain_data,
    classifier_data,
    indexing_data,
    layer_shapes,
    regression_data,
    sequence_data,
    weights,
)

__all__ = ["chain", "indexing", "lstm_of_ops", "mlp_classifier", "mlp_regression", "scalars"]


def mlp_classifier() -> tuple[Step, Step]:
    x, target = classifier_data()
    w1, b1, w2, b2 = weights(layer_shapes(784, 128, 10))
    rows, lr = np.arange(len(x)), np.float32(0.1)

    def step() -> Any:
        h = np.dot(x, w1.T)
        h += b1
        np.maximum(h, 0, out=h)
        z = np.dot(h, w2.T)
        z += b2
        z -= np.maximum.reduce(z, axis=1, keepdims=True)
        p = np.exp(z)
        total = np.add.reduce(p, axis=1, keepdims=True)
        loss = (np.add.reduce(np.log(total)) - np.add.reduce(z[rows, target])) / len(x)
        p /= total
        p[rows, target] -= 1
        p *= np.float32(1 / len(x))
        dh = np.dot(p, w2)
        dh *= h > 0
        for parameter, gradient in (
            (w2, np.dot(p.T, h)),
            (b2, np.add.reduce(p, axis=0)),
            (w1, np.dot(dh.T, x)),
            (b1, np.add.reduce(dh, axis=0)),
        ):
            gradient *= lr
            parameter -= gradient
        return loss

    return step, lambda: [float(step()[0]) for _ in range(5)]


def mlp_regression() -> tuple[Step, Step]:
    """Parameters and moments live in one flat buffer each, so that Adam is a dozen calls in all."""
    x, target = regression_data()
    arrays = weights(layer_shapes(64, 64, 64, 1))
    flat = np.concatenate([a.ravel() for a in arrays])
    grad, m, v, scratch = (np.zeros_like(flat) for _ in range(4))
    ends = np.cumsum([a.size for a in arrays])
    p = [part.reshape(a.shape) for part, a in zip(np.split(flat, ends[:-1]), arrays)]
    d = [part.reshape(a.shape) for part, a in zip(np.split(grad, ends[:-1]), arrays)]
    count = 0

    def step() -> Any:
        nonlocal count
        h1 = np.dot(x, p[0].T)
        h1 += p[1]
        np.maximum(h1, 0, out=h1)
        h2 = np.dot(h1, p[2].T)
        h2 += p[3]
        np.maximum(h2, 0, out=h2)
        error = np.dot(h2, p[4].T)
        error += p[5]
        error -= target
        loss = np.dot(error.ravel(), error.ravel()) / error.size
        error *= np.float32(2 / error.size)
        np.dot(error.T, h2, out=d[4])
        np.add.reduce(error, axis=0, out=d[5])
        d2 = np.dot(error, p[4])
        d2 *= h2 > 0
        np.dot(d2.T, h1, out=d[2])
        np.add.reduce(d2, axis=0, out=d[3])
        d1 = np.dot(d2, p[2])
        d1 *= h1 > 0
        np.dot(d1.T, x, out=d[0])
        np.add.reduce(d1, axis=0, out=d[1])
        count += 1
        np.multiply(m, np.float32(0.9), out=m)
        np.multiply(grad, np.float32(0.1), out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(v, np.float32(0.999), out=v)
        np.multiply(grad, grad, out=scratch)
        np.multiply(scratch, np.float32(0.001), out=scratch)
        np.add(v, scratch, out=v)
        np.sqrt(v, out=scratch)
        np.multiply(scratch, np.float32((1 - 0.999**count) ** -0.5), out=scratch)
        np.add(scratch, np.float32(1e-8), out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, np.float32(1e-3 / (1 - 0.9**count)), out=scratch)
        np.subtract(flat, scratch, out=flat)
        return loss

    return step, lambda: [float(step()) for _ in range(5)]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    y = np.negative(x)
    np.exp(y, y)
    np.add(y, np.float32(1), y)
    return np.reciprocal(y, y)


def _through_sigmoid(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    h = np.subtract(np.float32(1), y)
    np.multiply(h, g, h)
    return np.multiply(h, y, h)


def _through_tanh(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    h = np.multiply(y, y)
    np.subtract(np.float32(1), h, h)
    return np.multiply(h, g, h)


def lstm_of_ops() -> tuple[Step, Step]:
    """The calls that one operation after the other makes, forward and backward: nothing is joined over steps or gates."""
    x, target = sequence_data()
    w_x, w_h, bias = parameters = weights(((256, 32), (256, 64), (256,)))
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    count = 0

    def step() -> Any:
        nonlocal count
        h = c = np.zeros((16, 64), np.float32)
        tape, outputs = [], []
        for x_t in x:
            gates = np.dot(x_t, w_x.T)
            np.add(gates, bias, gates)
            gates = np.add(gates, np.dot(h, w_h.T))
            i, f, o = (_sigmoid(gates[:, k : k + 64]) for k in (0, 64, 192))
            g = np.tanh(gates[:, 128:192])
            new = f * c + i * g
            bent = np.tanh(new)
            tape.append((x_t, h, c, i, f, g, o, bent))
            h, c = o * bent, new
            outputs.append(h)
        error = np.concatenate(outputs).reshape(target.shape) - target
        loss = np.dot(error.reshape(-1), error.reshape(-1)) / error.size
        error *= np.float32(2 / error.size)
        of_h: Any = None
        of_c: Any = None
        grads: Any = None
        for of_output, (x_t, h, c, i, f, g, o, bent) in zip(error[::-1], tape[::-1]):
            total = of_output if of_h is None else of_output + of_h
            of_new = _through_tanh(total * o, bent)
            if of_c is not None:
                of_new = of_new + of_c
            parts = [
                _through_sigmoid(of_new * g, i),
                _through_sigmoid(of_new * c, f),
                _through_tanh(of_new * i, g),
            ]
            of_gates = np.concatenate([*parts, _through_sigmoid(total * bent, o)], 1)
            of_c, of_h = of_new * f, np.dot(of_gates, w_h)
            made = np.dot(of_gates.T, x_t), np.dot(of_gates.T, h), np.add.reduce(of_gates, 0)
            if grads is None:
                grads = made
            else:
                for all_steps, one in zip(grads, made):
                    np.add(all_steps, one, all_steps)
        count += 1
        for p, d, (m, v) in zip(parameters, grads, moments):
            m += np.float32(0.1) * (d - m)
            v += np.float32(0.001) * (d * d - v)
            root = np.sqrt(v) * np.float32((1 - 0.999**count) ** -0.5) + np.float32(1e-8)
            p -= m / root * np.float32(1e-3 / (1 - 0.9**count))
        return loss

    return step, lambda: [float(step()) for _ in range(5)]


def chain() -> tuple[Step, Step]:
    """Every array has its own memory, made once; what can be done in place is."""
    x = chain_data()
    outputs = np.empty((5, x.size), np.float32)  # of the rectifiers
    y, g, dx = (np.empty_like(x) for _ in range(3))
    mask = np.empty(x.size, np.bool_)
    factor, shift, zero, infinity = (np.float32(v) for v in (0.9, 0.1, 0, np.inf))

    def step() -> list[Any]:
        for k, out in enumerate(outputs):
            np.multiply(y if k else x, factor, y)
            np.add(y, x, y)
            np.clip(y, zero, infinity, out)
            np.subtract(out, shift, y)
        mean = np.add.reduce(y) / x.size
        g.fill(1 / x.size)
        dx.fill(0)
        for out in outputs[::-1]:
            np.not_equal(out, zero, mask)
            np.multiply(g, mask, g)
            np.add(dx, g, dx)
            np.multiply(g, factor, g)
        np.add(dx, g, dx)
        return [mean, np.add.reduce(dx) / dx.size]

    return step, lambda: [float(v) for v in step()]


def scalars() -> tuple[Step, Step]:
    a, b, half = np.float32(0.5), np.float32(0.25), np.float32(0.5)

    def step() -> list[Any]:
        y = a
        factors = []
        for _ in range(2500):
            factors.append(y)
            y = (y * a + b) * half - a
        g, da, db = np.float32(1), np.float32(0), np.float32(0)
        for factor in reversed(factors):
            da -= g
            g *= half
            db += g
            da += g * factor
            g *= a
        return [y, da + g, db]

    return step, lambda: [float(v) for v in step()]


def _cumulative(x: np.ndarray) -> np.ndarray:
    """Sums along dimension 1, row by row in memory that has it first."""
    y = np.array(x.swapaxes(0, 1), order="C")
    for before, row in itertools.pairwise(y):
        np.add(before, row, row)
    return np.ascontiguousarray(y.swapaxes(0, 1))


def indexing() -> tuple[Step, Step]:
    table, rows, columns = indexing_data()
    flat = rows.reshape(-1)
    n, m, _ = columns.shape
    places = (columns + np.arange(n * m).reshape(n, m, 1) * 64).reshape(-1)
    places_in_table = ((flat * 64)[:, None] + np.arange(64)).reshape(-1)
    ones_after = np.ones(m, np.float32)

    def step() -> list[Any]:
        x = table.take(flat, axis=0).reshape(32, 32, 64)
        total = _cumulative(x)
        steps = total[:, 1:] * x[:, :-1]
        even = np.matmul(ones_after, steps)[:, ::2]
        result = np.add.reduce(steps.reshape(-1).take(places)) + np.vdot(even, x[:, -1, :32])
        d = np.zeros_like(steps)
        np.add.at(d.reshape(-1), places, np.float32(1))
        d[..., ::2] += x[:, -1:, :32]
        dx = np.empty_like(x)
        np.multiply(d, total[:, 1:], out=dx[:, :-1])
        dx[:, -1] = 0
        dx[:, -1, :32] = even
        d *= x[:, :-1]
        after = _cumulative(d[:, ::-1])[:, ::-1]
        dx[:, 1:] += after
        dx[:, 0] += after[:, 0]
        gradient = np.zeros_like(table)
        np.add.at(gradient.reshape(-1), places_in_table, dx.reshape(-1))
        return [result, np.add.reduce(gradient, axis=None) / gradient.size]

    return step, lambda: [float(v) for v in step()]
