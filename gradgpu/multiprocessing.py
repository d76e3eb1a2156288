"""Python's `multiprocessing` under PyTorch's name, with `spawn`.

Tensors that go through a queue or a pipe are copied. Those that must be seen by all processes are moved to shared
memory first, with `Tensor.share_memory_()` or `Module.share_memory()`, and handed to processes started by 'fork'.
"""

from __future__ import annotations

import multiprocessing as _standard
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from typing import Any

_strategies = {"file_descriptor", "file_system"}


def spawn(
    fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, start_method: str = "spawn"
) -> Any:
    """Runs `fn(i, *args)` in `nprocs` new processes, i = 0 … nprocs - 1.

    Returns:
        None after all have ended, or with `join=False` the list of processes.

    Raises:
        RuntimeError: a process ended with an error; the others are terminated.
    """
    context = _standard.get_context(start_method)
    processes = [context.Process(target=fn, args=(i, *args)) for i in range(nprocs)]  # type: ignore[attr-defined]
    for process in processes:
        process.start()
    if not join:
        return processes
    failed = None
    for i, process in enumerate(processes):
        if failed is not None:
            process.terminate()
        process.join()
        if failed is None and process.exitcode:
            failed = i, process.exitcode
    if failed is not None:
        raise RuntimeError(f"spawn: process {failed[0]} terminated with exit code {failed[1]}")
    return None


def get_all_sharing_strategies() -> set[str]:
    """The strategies that PyTorch has on Linux; see `set_sharing_strategy`."""
    return set(_strategies)


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted and without effect: tensors in queues are copied.

    Raises:
        ValueError: an unknown strategy.
    """
    if new_strategy not in _strategies:
        raise ValueError(f"set_sharing_strategy: expected one of {sorted(_strategies)}, got {new_strategy!r}")


def get_sharing_strategy() -> str:
    """The strategy of PyTorch's on Linux: nothing depends on it here."""
    return "file_descriptor"
