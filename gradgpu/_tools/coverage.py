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
    "torch.Tensor.storage": "deprecated in PyTorch: memory is a numpy array or an Array here",
    "torch.Tensor.record_stream": "not written yet: keep the tensor until the other stream has been waited for",
    "torch.cuda.memory_summary": "the pool's figures: cuda.memory_allocated, cuda.memory_reserved",
    "torch.linalg.eig": "complex results; linalg.eigh has the eigenvalues of symmetric matrices",
    "torch.distributions": "rarely used, and not written yet",
    "torch.fft": "no complex numbers",
    "torch.real": "no complex numbers",
    "torch.histogram": "histc counts over equal bins",
    "torch.range": "deprecated in PyTorch; arange",
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

    >>> has("torch.nn.Linear"), has("torch.optim.Optimizer.param_groups"), has("torch.jit.script")
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
