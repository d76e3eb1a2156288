"""Generators and seeds. The state of a generator is (seed, offset): the offset counts Philox blocks used up.

Every device has a default generator. `manual_seed` sets them all to the same seed, so that a program
draws the same numbers on 'cpu' and on 'cuda', bit for bit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from .devices import as_device
from .devices import device as Device
from .locks import new_lock
from .tensor import Tensor, wrap

_DEFAULT_SEED = 67280421310721  # PyTorch's: an unseeded program is reproducible too
_MASK = (1 << 64) - 1
_lock = new_lock()  # taken to draw, and to change the state of a generator


class Generator:
    """A stream of random numbers for one device.

    >>> import gradgpu as gg
    >>> a, b = gg.Generator().manual_seed(1), gg.Generator().manual_seed(1)
    >>> bool((gg.rand(3, generator=a) == gg.rand(3, generator=b)).all())
    True
    """

    def __init__(self, device: Any = "cpu"):
        self.device = as_device(device)
        self._seed, self._offset = _DEFAULT_SEED, 0

    def __repr__(self) -> str:
        return f"Generator(device='{self.device}', seed={self._seed}, offset={self._offset})"

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed` (an int of up to 64 bits, may be negative) from its beginning; returns self."""
        if isinstance(seed, Tensor):
            seed = int(seed)
        if not -(1 << 63) <= seed <= _MASK:
            raise RuntimeError(f"manual_seed: expected a seed of at most 64 bits, got {seed}")
        with _lock:
            self._seed, self._offset = int(seed) & _MASK, 0
        return self

    def seed(self) -> int:
        """Takes a seed from the operating system and returns it."""
        seed = int.from_bytes(os.urandom(7), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state as a uint8 tensor of 16 bytes: seed and offset, little-endian."""
        with _lock:
            return wrap(np.array([self._seed, self._offset], "<u8").view(np.uint8))

    def set_state(self, state: Tensor) -> None:
        """Restores what `get_state` returned.

        Raises:
            RuntimeError: not a uint8 tensor of 16 bytes.
        """
        a = state.numpy() if isinstance(state, Tensor) and state.is_cpu else None
        if a is None or a.dtype != np.uint8 or a.shape != (16,):
            raise RuntimeError(
                f"set_state: expected the uint8 cpu tensor of 16 bytes that get_state returns, got {state!r}"
            )
        with _lock:
            self._seed, self._offset = (int(v) for v in np.ascontiguousarray(a).view("<u8"))

    def clone_state(self) -> Generator:
        """A new generator in the same state."""
        made = Generator(self.device)
        made.set_state(self.get_state())
        return made

    def take(self, blocks: int) -> tuple[int, int]:
        """(seed, first block) of `blocks` Philox blocks that nobody else will get."""
        with _lock:
            first = self._offset
            self._offset = first + blocks & _MASK
            return self._seed, first


_generators: dict[str, Generator] = {"cpu": Generator("cpu")}
default_generator = _generators["cpu"]
_last_seed = _DEFAULT_SEED


def generator_of(device: Device) -> Generator:
    """The default generator of a device."""
    name = device.type
    if name == "cuda":
        if device.index is None:
            from .cuda.backend import backend

            name = f"cuda:{backend().get_device()}"
        else:
            name = str(device)
    found = _generators.get(name)
    if found is None:
        with _lock:
            found = _generators.setdefault(name, Generator(name).manual_seed(_last_seed))
    return found


def manual_seed(seed: int) -> Generator:
    """Seeds the default generators of all devices; returns that of the CPU.

    >>> import gradgpu as gg
    >>> _ = gg.manual_seed(0)
    >>> a = gg.randn(2)
    >>> _ = gg.manual_seed(0)
    >>> bool((a == gg.randn(2)).all())
    True
    """
    global _last_seed
    default_generator.manual_seed(seed)
    with _lock:
        _last_seed = default_generator.initial_seed()
        for generator in _generators.values():
            generator.manual_seed(_last_seed)
    return default_generator


def seed() -> int:
    """Seeds all default generators from the operating system; returns the seed."""
    found = int.from_bytes(os.urandom(7), "little")
    manual_seed(found)
    return found


def initial_seed() -> int:
    """The seed of the CPU's default generator."""
    return default_generator.initial_seed()


def get_rng_state(device: Any = "cpu") -> Tensor:
    """The state of a device's default generator."""
    return generator_of(as_device(device)).get_state()


def set_rng_state(new_state: Tensor, device: Any = "cpu") -> None:
    """Restores the state of a device's default generator."""
    generator_of(as_device(device)).set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """What is drawn inside does not change the default generators outside.

    Args:
        devices: cuda devices whose generators are restored as well (default: all that were used).

    >>> import gradgpu as gg
    >>> before = gg.get_rng_state()
    >>> with gg.random.fork_rng():
    ...     _ = gg.randn(3)
    >>> bool((gg.get_rng_state() == before).all())
    True
    """
    if not enabled:
        yield
        return
    if devices is None:
        chosen = list(_generators.values())
    else:
        chosen = [
            default_generator,
            *[generator_of(Device("cuda", d) if isinstance(d, int) else as_device(d)) for d in devices],
        ]
    states = [(g, g.get_state()) for g in chosen]
    try:
        yield
    finally:
        for g, state in states:
            g.set_state(state)


__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state",
]  # fmt: skip
