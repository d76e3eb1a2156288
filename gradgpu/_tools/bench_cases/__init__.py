"""What `make bench` times: training steps and small pieces of work, each written once for gradgpu and PyTorch.

The two libraries share names and semantics, so a case is a function of the library module; where there is a
hand-written numpy twin, it shows what the arithmetic alone costs. Every builder returns `(step, losses)`:
`step()` does the work once, `losses()` does it too and returns a few numbers that it computed, so that
what is timed is known to compute the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import by_hand, nets, pieces, training
from .common import Step

__all__ = ["CASES", "IMPLEMENTATIONS", "Case", "build"]

IMPLEMENTATIONS = ("gradgpu", "torch", "numpy")


class Case(NamedTuple):
    """One row of the table."""

    title: str
    bar: float | None  # for gradgpu's time / PyTorch's
    library: Callable[[Any, str], tuple[Step, Step]]  # of the library module and the device
    numpy: Callable[[], tuple[Step, Step]] | None = None  # written by hand


CASES: dict[str, Case] = {
    "mlp-sgd": Case("MLP 784-128-10, batch 32, SGD", 0.75, training.mlp_classifier, by_hand.mlp_classifier),
    "mlp-adam": Case("MLP 64-64-64-1, batch 16, Adam", 0.20, training.mlp_regression, by_hand.mlp_regression),
    "cnn": Case("CNN conv16-pool-conv32-pool-fc, 28×28, batch 32, Adam", 1.0, training.cnn),
    "lstm": Case("LSTM in 32 hidden 64, 32 steps, batch 16, Adam", 1.1, training.lstm),
    "lstm-ops": Case("the same LSTM from primitive ops", 0.6, training.lstm_of_ops, by_hand.lstm_of_ops),
    "lstm-ops-512": Case("the same with hidden 512", None, training.wide_lstm_of_ops),
    "gpt": Case("GPT 2 layers, d 64, 4 heads, 32 tokens, batch 8, AdamW", 0.8, training.gpt),
    "gcn": Case("graph net 64-16-7 of 2708 nodes and 13,000 sparse entries, Adam", 0.8, training.gcn),
    "chain": Case(
        "20 chained pointwise ops on 10⁶ floats, forward + backward", 0.6, pieces.chain, by_hand.chain
    ),
    "scalars": Case(
        "10,000 chained ops on scalars, forward + backward", 0.2, pieces.scalars, by_hand.scalars
    ),
    "indexing": Case(
        "embedding, gather, cumsum, slices, sums, forward + backward", 1.0, pieces.indexing, by_hand.indexing
    ),
    "depthwise-3": Case("depthwise convolution 3×3, 8×64×16×16, forward + backward", 2.0, pieces.depthwise_3),
    "depthwise-7": Case(
        "depthwise convolution 7×7, 8×192×14×14, forward + backward", 1.0, pieces.depthwise_7
    ),
    "add": Case("a + b on 4×4, forward + backward", 0.5, pieces.add),
    "mul": Case("a * b on 4×4, forward + backward", 0.5, pieces.mul),
    "matmul": Case("a @ b on 4×4, forward + backward", 0.5, pieces.matmul),
    "relu": Case("relu(a) on 4×4, forward + backward", 0.5, pieces.relu),
    **{name: Case(title, None, library) for name, (title, library) in nets.NETS.items()},
}


def build(implementation: str, case: str, device: str = "cpu") -> tuple[Step, Step] | None:
    """The step and the check of one case, or None where there is no such implementation.

    Args:
        implementation: one of `IMPLEMENTATIONS`.
        case: a key of `CASES`.
        device: where the tensors of gradgpu and PyTorch live; numpy's are on the CPU.
    """
    _, _, library, numpy = CASES[case]
    if implementation == "numpy":
        return None if numpy is None else numpy()
    if implementation == "torch":
        import torch as lib

        lib.set_num_threads(1)
    else:
        import gradgpu as lib
    return library(lib, device)
