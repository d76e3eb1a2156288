"""What recurrent operations share: the order in which steps and sequences are visited, and numpy's side of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from .join import cat
from .linalg import linear


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


def shaped(y: Any, x: Any) -> Any:
    """Rows in the shape that the input has."""
    return y if x.ndim == 2 else y.reshape((*x.shape[:2], y.shape[1]))


# ---- numpy: a step's values are (width, n), a sequence a column, so that every gate is one piece of memory ----
def up(x: Any) -> Any:
    """Half types as float32; None stays."""
    return x if x is None or x.dtype.itemsize > 2 else x.astype(np.float32)


def down(arrays: Sequence[Any], dtype: Any) -> tuple:
    return tuple([a if a.dtype is dtype else a.astype(dtype, copy=False) for a in arrays])


def steps_of(base: Any, walk: Walk, width: int) -> list:
    """The steps of an array made by `blocks`, in the order of the visits."""
    if walk.even:
        return list(base)
    return [
        base[width * at : width * (at + v.stop - v.start)].reshape(width, v.stop - v.start)
        for at, v in zip(walk.offsets, walk.visits)
    ]


def blocks(walk: Walk, width: int, dtype: Any, more: int = 0) -> Any:
    """Memory for all steps one after the other, and `more` if all have all sequences."""
    if walk.even:
        return np.empty((len(walk.visits) + more, width, walk.batch), dtype)
    return np.empty(walk.rows * width, dtype)


def _forwards(base: Any, walk: Walk) -> Any:
    """The visited steps in the order of time, where all have all sequences."""
    return base[::-1] if walk.reverse else base


def from_rows(x: Any, walk: Walk, width: int) -> list:
    """Rows (rows, width) as steps."""
    if walk.even:
        steps = x.reshape(len(walk.visits), walk.batch, width).transpose(0, 2, 1)
        return list(np.ascontiguousarray(_forwards(steps, walk)))
    return [np.ascontiguousarray(x[v.start : v.stop].T) for v in walk.visits]


def columns(base: Any, walk: Walk, width: int) -> Any:
    """All steps as (width, rows)."""
    if walk.even:
        return _forwards(base, walk).transpose(1, 0, 2).reshape(width, walk.rows)
    y = np.empty((width, walk.rows), base.dtype)
    for v, step in zip(walk.visits, steps_of(base, walk, width)):
        y[:, v.start : v.stop] = step
    return y


class States:
    """The states before every step and after it. Where all steps have all sequences they share memory.

    `ones`: a further row of ones before each step, which the biases multiply. `x`: rows of input, which stand below.
    """

    __slots__ = ("after", "before", "base", "initial", "walk", "width")

    def __init__(self, walk: Walk, width: int, initial: Any, dtype: Any, ones: bool = False, x: Any = None):
        self.walk, self.width = walk, width
        self.initial = np.zeros((width, walk.batch), dtype) if initial is None else initial.T
        rows = width + ones + (0 if x is None else x.shape[1])
        self.base = blocks(walk, rows, dtype, 1)
        self.before = steps_of(self.base, walk, rows)
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
            self.after = steps_of(blocks(walk, width, dtype), walk, width)

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
def factors(blocks: str, hidden: int, dtype: np.dtype) -> np.ndarray:
    """A factor for each row of the weights: σ(x) = 1 / (1 + exp(-x)) ("s"), and tanh(x) = 2 σ(2 x) - 1 ("t") or as it is."""
    each = {"s": -1.0, "t": -2.0, " ": 1.0}
    return np.repeat([each[b] for b in blocks], hidden).astype(dtype).reshape(-1, 1)


def sigmoid_into(z: Any, one: Any) -> None:
    """1 / (1 + exp(z)), in place."""
    np.exp(z, z)
    np.add(z, one, z)
    np.divide(one, z, z)


FEW = 4  # sequences: with fewer, one product of all inputs is faster than one a step


def input_sums(x: Any, weight: Any, walk: Walk, out: Any, width: int) -> None:
    """W x of every step, into the first rows of the steps `out`."""
    rows = weight.shape[0]
    if not walk.even:
        for v, step in zip(walk.visits, steps_of(out, walk, width)):
            step[:rows] = np.dot(weight, x[v.start : v.stop].T)
    elif walk.batch < FEW:
        sums = np.dot(x, weight.T).reshape(len(walk.visits), walk.batch, rows)
        out[:, :rows] = _forwards(sums, walk).transpose(0, 2, 1)
    else:
        steps = _forwards(x.reshape(len(walk.visits), walk.batch, x.shape[1]), walk).transpose(0, 2, 1)
        np.matmul(weight, steps, out[:, :rows])


def with_bias(weight: Any, bias: Any) -> Any:
    """A bias as a further column of a weight."""
    return weight if bias is None else np.concatenate([weight, bias.reshape(-1, 1)], 1)


def few(walk: Walk) -> bool:
    """Whether there is so little to do that to scale, to turn or to extend the weights would take longer than the steps."""
    return walk.batch == 1 or walk.rows < 8


def turned(weight: Any, walk: Walk) -> Any:
    """The transpose of a weight for all steps back."""
    return weight.T if few(walk) else np.ascontiguousarray(weight.T)


class Carry:
    """The gradient of the states on its way back: what arrives from the outputs and from the step after."""

    __slots__ = ("g", "carry", "walk")

    def __init__(self, walk: Walk, width: int, g: Any, final: Any, dtype: Any):
        self.walk = walk
        self.g = None if g is None else from_rows(up(g).reshape(walk.rows, width), walk, width)
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


def of_weights(needs, sums, sums_h, x, before):
    """The gradients of w_ih, w_hh, b_ih and b_hh from those of the gates' sums (gates, rows)."""
    ones = np.ones(sums.shape[1], sums.dtype)
    of_b = np.dot(sums, ones) if needs[-3] or needs[-2] else None
    return (
        np.dot(sums, x.reshape(sums.shape[1], x.shape[-1])) if needs[-5] else None,
        np.dot(sums_h, before) if needs[-4] else None,
        of_b,
        of_b if sums_h is sums or not needs[-2] else np.dot(sums_h, ones),
    )


def wanted(needs, sums, x, w_ih, states, of_weights, of_hr, dtype):
    """The wanted gradients in the order x, states…, w_ih, w_hh, b_ih, b_hh, w_hr."""
    of_x = shaped(np.dot(sums.T, w_ih), x) if needs[0] else None
    made = (of_x, *[s.T for s in states], *of_weights, of_hr)
    return down([a for a, need in zip(made, needs) if need], dtype)


def width_of(base: Any, walk: Walk) -> int:
    """What a step has of each sequence."""
    return base.shape[1] if walk.even else base.size // max(walk.rows, 1)


def each(walk: Walk, *arrays: tuple) -> Any:
    """(array, width) pairs as they are to be worked on: whole where all steps have all sequences, else step by step."""
    if walk.even:
        return ([base for base, _ in arrays],)
    return zip(*[steps_of(base, walk, width) for base, width in arrays])


def gates_of(z: Any, count: int, hidden: int) -> list:
    return [z[..., k * hidden : (k + 1) * hidden, :] for k in range(count)]


def compose(step: Callable, x, states, w_ih, b_ih, sizes, reverse):
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
    return (shaped(outputs, x), *carry)


def initial(state: Any, x: Any, batch: int, width: int) -> Any:
    return x.new_zeros((batch, width)) if state is None else state


def spread(made: Sequence[Any], needs: Sequence[bool]) -> tuple:
    """The gradients that were made in the places of those that are wanted."""
    several = iter(made)
    return tuple([next(several) if need else None for need in needs])
