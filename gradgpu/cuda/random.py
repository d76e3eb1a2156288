"""Seeds and states of the generators of CUDA devices, under PyTorch's names in `torch.cuda`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..random import Generator
    from ..tensor import Tensor

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
    "set_rng_state_all",
]  # fmt: skip


def _generator(device: Any = "cuda") -> Generator:
    from ..devices import as_device
    from ..devices import device as Device
    from ..random import generator_of

    return generator_of(Device("cuda", device) if isinstance(device, int) else as_device(device))


def _count() -> int:
    from . import device_count

    return device_count()


def manual_seed(seed: int) -> None:
    """Seeds the generator of the current device; does nothing where there is no CUDA device, as in PyTorch.

    >>> import gradgpu as gg
    >>> gg.cuda.manual_seed(0)
    """
    if _count():
        _generator().manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seeds the generators of all CUDA devices; does nothing where there is none, as in PyTorch.

    >>> import gradgpu as gg
    >>> gg.cuda.manual_seed_all(0)
    """
    for i in range(_count()):
        _generator(i).manual_seed(seed)


def seed() -> None:
    """Seeds the generator of the current device from the operating system."""
    manual_seed(int.from_bytes(os.urandom(7), "little"))


def seed_all() -> None:
    """Seeds the generators of all CUDA devices from the operating system, all alike."""
    manual_seed_all(int.from_bytes(os.urandom(7), "little"))


def initial_seed() -> int:
    """The seed of the generator of the current device."""
    return _generator().initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a device's generator, as a uint8 tensor on the CPU.

    Args:
        device: 'cuda', 'cuda:1', an index, or a `gg.device`.
    """
    return _generator(device).get_state()


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Restores what `get_rng_state` returned."""
    _generator(device).set_state(new_state)


def get_rng_state_all() -> list[Tensor]:
    """The states of the generators of all CUDA devices."""
    return [get_rng_state(i) for i in range(_count())]


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Restores what `get_rng_state_all` returned."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
