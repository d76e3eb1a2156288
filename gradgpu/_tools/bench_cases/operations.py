"""Single operations for `bench --operations`: forward on few elements, as loops over small tensors meet them, and forward and
backward on many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["OPERATIONS", "SIZES", "calls"]

SIZES = {"few": (8, 4), "many": (256, 1024)}

# Of (the library, its nn.functional, x, y: float32 matrices of one shape, m: a mask of it, i: a row for each row).
OPERATIONS: dict[str, Callable[..., Any]] = {
    "x + y": lambda lib, F, x, y, m, i: x + y,
    "x * 2": lambda lib, F, x, y, m, i: x * 2,
    "1 - x": lambda lib, F, x, y, m, i: 1 - x,
    "x / (y * y + 1)": lambda lib, F, x, y, m, i: x / (y * y + 1),
    "x ** 2": lambda lib, F, x, y, m, i: x**2,
    "x % 0.3": lambda lib, F, x, y, m, i: x % 0.3,
    "exp": lambda lib, F, x, y, m, i: x.exp(),
    "log1p": lambda lib, F, x, y, m, i: x.abs().log1p(),
    "sqrt": lambda lib, F, x, y, m, i: (x * x + 1).sqrt(),
    "sin": lambda lib, F, x, y, m, i: x.sin(),
    "tanh": lambda lib, F, x, y, m, i: x.tanh(),
    "sigmoid": lambda lib, F, x, y, m, i: x.sigmoid(),
    "erf": lambda lib, F, x, y, m, i: x.erf(),
    "abs": lambda lib, F, x, y, m, i: x.abs(),
    "clamp": lambda lib, F, x, y, m, i: x.clamp(-1, 1),
    "where": lambda lib, F, x, y, m, i: lib.where(m, x, y),
    "masked_fill": lambda lib, F, x, y, m, i: x.masked_fill(m, -1e9),
    "maximum": lambda lib, F, x, y, m, i: lib.maximum(x, y),
    "logaddexp": lambda lib, F, x, y, m, i: lib.logaddexp(x, y),
    "lerp": lambda lib, F, x, y, m, i: lib.lerp(x, y, 0.3),
    "relu": lambda lib, F, x, y, m, i: F.relu(x),
    "leaky_relu": lambda lib, F, x, y, m, i: F.leaky_relu(x, 0.2),
    "elu": lambda lib, F, x, y, m, i: F.elu(x),
    "selu": lambda lib, F, x, y, m, i: F.selu(x),
    "gelu": lambda lib, F, x, y, m, i: F.gelu(x),
    "silu": lambda lib, F, x, y, m, i: F.silu(x),
    "softplus": lambda lib, F, x, y, m, i: F.softplus(x),
    "relu6": lambda lib, F, x, y, m, i: F.relu6(x),
    "hardswish": lambda lib, F, x, y, m, i: F.hardswish(x),
    "softmax": lambda lib, F, x, y, m, i: x.softmax(1),
    "log_softmax": lambda lib, F, x, y, m, i: x.log_softmax(1),
    "logsumexp": lambda lib, F, x, y, m, i: x.logsumexp(1),
    "sum": lambda lib, F, x, y, m, i: x.sum(),
    "sum(0)": lambda lib, F, x, y, m, i: x.sum(0),
    "mean(1)": lambda lib, F, x, y, m, i: x.mean(1),
    "var(1)": lambda lib, F, x, y, m, i: x.var(1),
    "norm": lambda lib, F, x, y, m, i: x.norm(dim=1),
    "max(1)": lambda lib, F, x, y, m, i: x.max(1)[0],
    "argmax": lambda lib, F, x, y, m, i: x.argmax(1),
    "prod": lambda lib, F, x, y, m, i: (x * 0.01 + 1).prod(1),
    "cumsum": lambda lib, F, x, y, m, i: x.cumsum(1),
    "sort": lambda lib, F, x, y, m, i: x.sort(1)[0],
    "topk": lambda lib, F, x, y, m, i: x.topk(3, 1)[0],
    "x @ y.T": lambda lib, F, x, y, m, i: x @ y.T,
    "einsum": lambda lib, F, x, y, m, i: lib.einsum("ij,kj->ik", x, y),
    "cdist": lambda lib, F, x, y, m, i: lib.cdist(x, y),
    "x[i]": lambda lib, F, x, y, m, i: x[i],
    "x[i, i]": lambda lib, F, x, y, m, i: x[i, i % 4],
    "x[m]": lambda lib, F, x, y, m, i: x[m],
    "x[1:, ::2]": lambda lib, F, x, y, m, i: x[1:, ::2],
    "gather": lambda lib, F, x, y, m, i: x.gather(1, (i % 4)[:, None]),
    "scatter_add": lambda lib, F, x, y, m, i: lib.zeros_like(x).scatter_add(1, (i % 4)[:, None], x[:, :1]),
    "index_add": lambda lib, F, x, y, m, i: lib.zeros_like(x).index_add(0, i, x),
    "embedding": lambda lib, F, x, y, m, i: F.embedding(i, x),
    "one_hot": lambda lib, F, x, y, m, i: F.one_hot(i % 4, 4),
    "cat": lambda lib, F, x, y, m, i: lib.cat([x, y], 1),
    "stack": lambda lib, F, x, y, m, i: lib.stack([x, y]),
    "chunk": lambda lib, F, x, y, m, i: sum(x.chunk(2, 1)),
    "T.contiguous": lambda lib, F, x, y, m, i: x.T.contiguous(),
    "flip": lambda lib, F, x, y, m, i: x.flip(1),
    "roll": lambda lib, F, x, y, m, i: x.roll(1, 0),
    "pad": lambda lib, F, x, y, m, i: F.pad(x, (1, 1)),
    "tril": lambda lib, F, x, y, m, i: x.tril(),
    "clone": lambda lib, F, x, y, m, i: x.clone(),
    "mse_loss": lambda lib, F, x, y, m, i: F.mse_loss(x, y),
    "l1_loss": lambda lib, F, x, y, m, i: F.l1_loss(x, y),
    "huber_loss": lambda lib, F, x, y, m, i: F.huber_loss(x, y),
    "cross_entropy": lambda lib, F, x, y, m, i: F.cross_entropy(x, i % 4),
    "bce with logits": lambda lib, F, x, y, m, i: F.binary_cross_entropy_with_logits(x, m.float()),
    "layer_norm": lambda lib, F, x, y, m, i: F.layer_norm(x, x.shape[1:]),
    "batch_norm": lambda lib, F, x, y, m, i: F.batch_norm(x, None, None, training=True),
    "normalize": lambda lib, F, x, y, m, i: F.normalize(x, dim=1),
    "cosine_similarity": lambda lib, F, x, y, m, i: F.cosine_similarity(x, y),
}  # fmt: skip


def calls(lib: Any, size: str) -> dict[str, Callable[[], list[Any]]]:
    """For each operation a function that runs it, and backward if there are many elements; it gives the result and the
    gradients of x and y."""
    rng = np.random.default_rng(0)
    shape = SIZES[size]
    arrays = [rng.standard_normal(shape, dtype=np.float32) for _ in range(2)]
    x, y = [lib.from_numpy(a) for a in arrays]
    mask, rows = lib.from_numpy(rng.random(shape) < 0.5), lib.from_numpy(rng.integers(0, shape[0], shape[0]))
    F = lib.nn.functional
    if size == "many":
        x.requires_grad_()
        y.requires_grad_()
    gradients: dict[str, Any] = {}

    def one(name: str) -> Callable[[], list[Any]]:
        operation = OPERATIONS[name]

        def call() -> list[Any]:
            x.grad = y.grad = None
            made = operation(lib, F, x, y, mask, rows)
            if made.requires_grad:
                if name not in gradients:
                    seed = np.random.default_rng(1).standard_normal(made.shape, dtype=np.float32)
                    gradients[name] = lib.from_numpy(np.asarray(seed))
                made.backward(gradients[name])
            return [made, x.grad, y.grad]

        return call

    return {name: one(name) for name in OPERATIONS}
