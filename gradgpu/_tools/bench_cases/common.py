"""Inputs that all implementations of a case share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = [
    "Step",
    "chain_data",
    "classifier_data",
    "graph_data",
    "indexing_data",
    "layer_shapes",
    "load",
    "on",
    "regression_data",
    "sequence_data",
    "trainer",
    "weights",
]

Step = Callable[[], Any]


def weights(shapes: Iterable[tuple[int, ...]]) -> list[np.ndarray]:
    """An array for every shape: U(-k, k), k = 1/√fan-in; vectors (biases, scales of normalisations) U(0, 1)/2."""
    rng = np.random.default_rng(0)
    arrays = []
    for shape in shapes:
        if len(shape) == 1:
            arrays.append(rng.random(shape, dtype=np.float32) / 2)
        else:
            bound = math.prod(shape[1:]) ** -0.5
            arrays.append(rng.uniform(-bound, bound, shape).astype(np.float32))
    return arrays


def layer_shapes(*sizes: int) -> list[tuple[int, ...]]:
    """The shapes of weight and bias of each Linear layer of an MLP, as PyTorch lays them out."""
    return [shape for i, o in itertools.pairwise(sizes) for shape in ((o, i), (o,))]


def classifier_data() -> tuple[np.ndarray, np.ndarray]:
    """32 images and their classes."""
    rng = np.random.default_rng(1)
    return rng.random((32, 784), dtype=np.float32), rng.integers(0, 10, 32)


def regression_data() -> tuple[np.ndarray, np.ndarray]:
    """16 rows of 64 features, one target each."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((16, 64), dtype=np.float32), rng.random((16, 1), dtype=np.float32)


def sequence_data(hidden: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """32 steps of 16 sequences: inputs of 32 features, targets of `hidden`."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((32, 16, 32), dtype=np.float32)
    return x, rng.random((32, 16, hidden), dtype=np.float32) - np.float32(0.5)


def graph_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A graph of 2708 nodes as an adjacency matrix (positions and values of its 13,000 entries, rows of sum 1), 64 features and a class
    for each node."""
    rng = np.random.default_rng(4)
    nodes = 2708
    edges = rng.integers(0, nodes, (2, 5200))
    both = np.concatenate([edges, edges[::-1], np.tile(np.arange(nodes), (2, 1))], 1)
    at = np.unique(both, axis=1)
    values = (1 / np.bincount(at[0], minlength=nodes)[at[0]]).astype(np.float32)
    return at, values, rng.standard_normal((nodes, 64), dtype=np.float32), rng.integers(0, 7, nodes)


def chain_data() -> np.ndarray:
    """A long vector with values of both signs."""
    return np.random.default_rng(2).random(10**6, dtype=np.float32) - np.float32(0.5)


def indexing_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table of 1000 rows of 64, 32×32 numbers of rows, and which 8 of 64 columns each of the 32×32 takes."""
    rng = np.random.default_rng(3)
    table = rng.standard_normal((1000, 64), dtype=np.float32)
    return table, rng.integers(0, 1000, (32, 32)), rng.integers(0, 64, (32, 31, 8))


def load(lib: Any, model: Any, device: str) -> Any:
    """`model` on `device` with the weights that every implementation starts from."""
    state = model.state_dict()
    arrays = weights([tuple(t.shape) for t in state.values()])
    model.load_state_dict({name: lib.from_numpy(a) for name, a in zip(state, arrays)})
    return model.to(device)


def trainer(optimizer: Any, loss_of: Callable[[], Any]) -> tuple[Step, Step]:
    """The step of an optimiser on a loss, and its first losses."""

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: [step().item() for _ in range(5)]


def on(lib: Any, device: str, *arrays: np.ndarray) -> list[Any]:
    """The arrays as tensors."""
    return [lib.from_numpy(a).to(device) for a in arrays]
