"""Worker processes of a DataLoader: they fetch batches ahead of the training process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["WorkerInfo", "get_worker_info"]


@dataclass
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process its :class:`WorkerInfo`, else None; iterable datasets split their stream by it."""
    return _info


class _Failure:
    """An exception of a worker, as text: not every exception can be pickled."""

    def __init__(self, worker: int, error: BaseException) -> None:
        import traceback

        self.type, self.worker, self.text = type(error), worker, traceback.format_exc()

    def reraise(self) -> None:
        message = (
            f"Caught {self.type.__name__} in DataLoader worker process {self.worker}.\nOriginal {self.text}"
        )
        try:
            error = self.type(message)
        except TypeError:  # an exception that does not take one text
            error = RuntimeError(message)
        raise error


class _End:
    """A worker's stream is at its end."""


def _work(
    info: WorkerInfo,
    fetch: Callable[[Any], Any],
    init: Callable[[int], None] | None,
    tasks: Any,
    results: Any,
) -> None:
    """The life of a worker: fetch(task) for each task until None comes."""
    global _info
    _info = info
    import random

    from ...random import manual_seed

    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    manual_seed(info.seed)
    failure = None
    try:
        if init is not None:
            init(info.id)
    except Exception as error:
        failure = _Failure(info.id, error)
    while (item := tasks.get()) is not None:
        number, task = item
        try:
            result = failure if failure is not None else fetch(task)
        except StopIteration:
            result = _End()
        except Exception as error:
            result = _Failure(info.id, error)
        results.put((number, result))


def run_workers(
    dataset: Any,
    tasks: Iterator[Any],
    fetch: Callable[[Any], Any],
    *,
    workers: int,
    seed: int,
    ahead: int,
    timeout: float,
    init: Callable[[int], None] | None,
    context: Any,
) -> Iterator[Any]:
    """fetch(task) of every task, computed in worker processes and given in the order of the tasks.

    A task goes to worker (number mod workers). A worker whose stream ended gets no more tasks.
    """
    import multiprocessing  # imports slowly; only worker processes need it

    context = multiprocessing.get_context(context) if context is None or isinstance(context, str) else context
    results = context.Queue()
    inboxes = [context.Queue() for _ in range(workers)]
    processes = [
        context.Process(
            target=_work,
            args=(WorkerInfo(i, workers, seed + i, dataset), fetch, init, inboxes[i], results),
            daemon=True,
        )
        for i in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        active = list(range(workers))
        arrived: dict[int, Any] = {}
        owner: dict[int, int] = {}
        sent = taken = 0

        def send() -> None:
            nonlocal sent
            if not active:
                return
            for task in tasks:
                owner[sent] = active[sent % len(active)]
                inboxes[owner[sent]].put((sent, task))
                sent += 1
                return

        for _ in range(ahead * workers):
            send()
        while taken < sent:
            while taken not in arrived:
                number, result = _receive(results, processes, timeout)
                arrived[number] = result
            result = arrived.pop(taken)
            worker = owner.pop(taken)
            taken += 1
            if isinstance(result, _End):
                if worker in active:
                    active.remove(worker)
                send()
                continue
            if isinstance(result, _Failure):
                result.reraise()
            send()
            yield result
    finally:
        for inbox in inboxes:
            inbox.put(None)
        for process in processes:
            process.join(timeout=1.0)
            if process.is_alive():
                process.terminate()


def _receive(results: Any, processes: list[Any], timeout: float) -> Any:
    """The next result; raises where a worker died or took too long."""
    import queue

    waited = 0.0
    while True:
        try:
            return results.get(timeout=1.0)
        except queue.Empty:
            waited += 1.0
            for process in processes:
                if not process.is_alive():
                    raise RuntimeError(
                        f"DataLoader worker (pid {process.pid}) exited unexpectedly with code {process.exitcode}"
                    ) from None
            if timeout and waited >= timeout:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds") from None
