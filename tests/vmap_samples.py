"""Samples under vmap: a call of a batch, and the loop over its entries that it is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import gradgpu as gg
from gradgpu.utils._pytree import tree_flatten
from tests.samples import OpSamples, Sample

SIZE = 3


def dtype_of(op: OpSamples) -> str:
    """The dtype in which an op is tried."""
    return next((d for d in ("float64", "float32") if d in op.dtypes), op.dtypes[0])


def draws(sample: Sample, dtype: str) -> list[np.ndarray]:
    """For each input the values of SIZE entries."""
    rows = []
    for number in range(SIZE):
        rng = np.random.default_rng(number)
        rows.append([part.draw(rng, dtype) for part in sample.inputs()])
    return [np.stack(column) for column in zip(*rows)] if sample.inputs() else []


def function_of(op: OpSamples, sample: Sample) -> Callable:
    """The sample's call as a function of its tensors that returns a flat tuple of tensors."""

    def function(*tensors: Any) -> tuple:
        given = iter(tensors)
        args, kwargs = sample.build(lambda part: next(given))
        result = tree_flatten(op.function(*args, **kwargs))[0]
        return tuple(y for y in result if isinstance(y, gg.Tensor))

    return function


def choices(count: int) -> Iterator[tuple[bool, ...]]:
    """Which inputs have the batch: all, and each alone (of very many, the first and the last)."""
    yield (True,) * count
    if count > 1:
        for k in range(count) if count <= 4 else (0, count - 1):
            yield tuple(i == k for i in range(count))


def entries(arrays: Sequence[np.ndarray], chosen: Sequence[bool], place: Callable) -> tuple[list, list, list]:
    """(inputs of vmap, their in_dims, inputs of each entry); inputs without the batch are the first entry's."""
    inputs = [place(a if c else a[0]) for a, c in zip(arrays, chosen)]
    dims = [0 if c else None for c in chosen]
    rows = [[place(a[k] if c else a[0]) for a, c in zip(arrays, chosen)] for k in range(SIZE)]
    return inputs, dims, rows


def stacked(rows: Sequence[tuple]) -> list:
    return [gg.stack(list(column)) for column in zip(*rows)]


def floating(tensors: Sequence[Any]) -> list[int]:
    return [k for k, t in enumerate(tensors) if t.is_floating_point()]


def weights_for(outputs: Sequence[Any]) -> list[Any]:
    """A fixed cotangent for each output (of one entry)."""
    return [
        gg.tensor(np.random.default_rng(k).uniform(0.25, 1, tuple(y.shape)), dtype=y.dtype, device=y.device)
        for k, y in enumerate(outputs)
    ]


def gradient_function(function: Callable, wanted: Sequence[int]) -> Callable:
    """A function of the same tensors that returns the gradients for those at `wanted`."""

    def gradients(*tensors: Any) -> tuple:
        def partial(*some: Any) -> tuple:
            given = list(tensors)
            for k, t in zip(wanted, some):
                given[k] = t
            return tuple(y for y in function(*given) if y.requires_grad)

        outputs, pull = gg.func.vjp(partial, *[tensors[k] for k in wanted])
        return pull(tuple(weights_for(outputs))) if outputs else ()

    return gradients
