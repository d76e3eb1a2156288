"""Which PyTorch names that real code uses gradgpu has: ``python -m gradgpu._tools.coverage``.

The counts lie beside this file (torch_names.tsv): how often each name is used in public teaching and small-net code.
A name counts as present if it can be looked up on gradgpu, a method or attribute also on an instance.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import gradgpu as gg

COUNTS = Path(__file__).with_name("torch_names.tsv")

# Why a name is left out: by the name, or by what it begins with.
LEFT_OUT = {
    "torch.Tensor.index": "a method of list and str, counted with them; PyTorch's tensors have none",
    "torch.Tensor.put": "a method of queues, counted with them; PyTorch's tensors have put_ only",
    "torch.Tensor.resize": "deprecated in PyTorch; most uses are those of images and of numpy. resize_ and reshape are there",
    "torch.Tensor.reinforce": "removed from PyTorch; see distributions.Categorical.log_prob",
}

# The same for public names of PyTorch's tensor functions that the counted code does not use.
LEFT_OUT_UNUSED = {
    "torch.Tensor.chalf": "there is no complex32, nor is numpy's half a part of complex numbers",
    "torch.Tensor.dequantize": "no quantised tensors",
    "torch.Tensor.to_mkldnn": "one memory layout",
    "torch.complex32": "numpy has no such numbers",
    "torch.embedding_bag": "returns what PyTorch's backward needs; nn.functional.embedding_bag is there",
    "torch.fake_quantize_per_channel_affine": "no quantised tensors",
    "torch.fake_quantize_per_tensor_affine": "no quantised tensors",
    "torch.float8_e4m3fn": "numpy and most GPUs have no such numbers",
    "torch.from_file": "from_numpy(numpy.memmap(...))",
    "torch.hash_tensor": "new in PyTorch, for comparing checkpoints",
    "torch.linalg.ldl_factor": "numpy has none; linalg.cholesky, linalg.solve",
    "torch.lobpcg": "for large sparse matrices; linalg.eigh, svd_lowrank",
    "torch.native_batch_norm": "what PyTorch's layers call inside; nn.functional.batch_norm",
    "torch.native_dropout": "what PyTorch's layers call inside; nn.functional.dropout",
    "torch.native_group_norm": "what PyTorch's layers call inside; nn.functional.group_norm",
    "torch.native_layer_norm": "what PyTorch's layers call inside; nn.functional.layer_norm",
    "torch.nextafter": "bits of floating-point numbers; finfo(dtype).eps",
    "torch.nn.functional.linear_cross_entropy": "new in PyTorch; linear, then cross_entropy",
    "torch.quantize_per_tensor": "no quantised tensors",
    "torch.special.airy_ai": "of mathematical physics; SciPy has it",
    "torch.special.chebyshev_polynomial_t": "orthogonal polynomials are recurrences of a line",
    "torch.uint16": "indices are int64, images uint8",
}


def counts() -> dict[str, int]:
    """{name: uses}, most used first."""
    lines = COUNTS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {name: int(uses) for name, uses in pairs}


def _instances() -> dict[str, Any]:
    """Instances of the classes whose attributes are made by __init__."""
    layer = gg.nn.Linear(1, 1)
    loader = gg.utils.data.DataLoader([0])
    return {
        "torch.Tensor": gg.zeros(1),
        "torch.nn.Module": layer,
        "torch.optim.Optimizer": gg.optim.SGD(layer.parameters(), lr=0.1),
        "torch.utils.data.DataLoader": loader,
    }


def has(name: str, instances: dict[str, Any] | None = None) -> bool:
    """Whether gradgpu has PyTorch's `name`, as 'torch.nn.Linear'.

    >>> has("torch.nn.Linear"), has("torch.optim.Optimizer.param_groups"), has("torch.fx.Graph")
    (True, True, False)
    """
    owner, _, attribute = name.rpartition(".")
    instances = _instances() if instances is None else instances
    if owner in instances and hasattr(instances[owner], attribute):
        return True
    found: Any = gg
    for part in name.split(".")[1:]:
        if hasattr(found, part):
            found = getattr(found, part)
        elif isinstance(found, ModuleType):
            try:
                found = importlib.import_module(f"{found.__name__}.{part}")
            except ModuleNotFoundError:
                return False
        else:
            return False
    return True


def missing() -> dict[str, int]:
    """{name: uses} of the names that gradgpu lacks."""
    instances = _instances()
    return {name: uses for name, uses in counts().items() if not has(name, instances)}


def share() -> float:
    """The share of all uses that are of names gradgpu has."""
    every = counts()
    return 1 - sum(missing().values()) / sum(every.values())


def reason(name: str) -> str | None:
    """Why a name is left out: the entry of `LEFT_OUT` for it, or for the nearest of its owners; None if there is none."""
    while name:
        if name in LEFT_OUT:
            return LEFT_OUT[name]
        name = name.rpartition(".")[0]
    return None


def main() -> None:
    """Prints the share, and each name left out with its uses and the reason."""
    every, absent = counts(), missing()
    print(
        f"{len(every) - len(absent)} of {len(every)} names, {100 * share():.2f} % of {sum(every.values())} uses"
    )
    print("Left out (uses, name, reason):")
    for name, uses in absent.items():
        print(f"{uses:5}  {name}: {reason(name) or 'no reason is given'}")


if __name__ == "__main__":
    main()
