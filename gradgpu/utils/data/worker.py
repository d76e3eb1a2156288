"""Worker processes of a DataLoader: they fetch batches ahead of the training process."""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from .pin_memory import pin_memory

__all__ = ["WorkerInfo", "get_worker_info"]

_SHARED = "/dev/shm"  # where large arrays of a result lie on their way, on Linux
_LARGE = 1 << 17  # bytes from which an array goes there, not through the queue
_POLL = 1.0  # seconds after which a waiting process looks whether the others are alive


class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed and its copy of the dataset."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any):
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, dataset={self.dataset!r})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process its :class:`WorkerInfo`, else None; iterable datasets split their stream by it."""
    return _info


class _Text(str):
    """A message that KeyError shows as it is, lines and all."""

    __repr__ = str.__str__


class ExceptionWrapper:
    """An exception of a worker, as text: not every exception can be pickled.

    Args:
        exc_info: the type, the exception and its traceback; those of the exception that is being handled.
        where: what the message says of the place.
    """

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        import sys
        import traceback

        kind, error, trace = exc_info or sys.exc_info()
        self.exc_type: Any = kind
        self.where = where
        self.exc_msg = "".join(traceback.format_exception(kind, error, trace))

    def __getstate__(self) -> dict[str, Any]:
        try:
            pickle.dumps(self.exc_type)
        except Exception:  # a class inside a function
            return {**self.__dict__, "exc_type": RuntimeError}
        return self.__dict__

    def reraise(self) -> None:
        """Raises the exception here."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        try:
            error = self.exc_type(_Text(message) if issubclass(self.exc_type, KeyError) else message)
        except Exception:  # one that does not take one text
            error = RuntimeError(message)
        raise error


class _End:
    """A worker's stream is at its end."""


# ---- results on their way ----
def _pack(result: Any) -> tuple[bytes, str | None, list[int]]:
    """A result as a pickle; and for its large arrays a file in shared memory, and their sizes."""
    buffers: list[Any] = []

    def apart(buffer: Any) -> bool:
        if buffer.raw().nbytes < _LARGE:
            return True  # into the pickle
        buffers.append(buffer.raw())
        return False

    data = pickle.dumps(result, 5, buffer_callback=apart)
    if not buffers:
        return data, None, []
    try:
        return data, _written(buffers), [b.nbytes for b in buffers]
    except OSError:  # no such place, or it is full
        return pickle.dumps(result, 5), None, []


def _written(buffers: list[Any]) -> str:
    import tempfile

    handle, name = tempfile.mkstemp(dir=_SHARED, prefix=_prefix(os.getpid()))
    try:
        # Written, not copied through a map: where memory is short this raises, a map would kill the process.
        for buffer in buffers:
            view = buffer.cast("B")
            while len(view):
                view = view[os.write(handle, view) :]
            os.write(handle, bytes(_room(buffer) - buffer.nbytes))
    except OSError:
        os.unlink(name)
        raise
    finally:
        os.close(handle)
    return name


def _room(buffer: Any) -> int:
    """Bytes of an array with the gap behind it, so that each begins at a multiple of 64."""
    return -(-(buffer if isinstance(buffer, int) else buffer.nbytes) // 64) * 64


def _unpack(data: bytes, name: str | None, sizes: list[int]) -> Any:
    """The result again; its large arrays lie in the shared memory, which goes with the last of them."""
    if name is None:
        return pickle.loads(data)
    handle = os.open(name, os.O_RDWR)
    try:
        memory = memoryview(mmap.mmap(handle, 0))
    finally:
        os.close(handle)
        os.unlink(name)
    views, at = [], 0
    for size in sizes:
        views.append(memory[at : at + size])
        at += _room(size)
    return pickle.loads(data, buffers=views)


def _prefix(pid: int) -> str:
    return f"gradgpu-{pid}-"


def _forget(pid: int | None) -> None:
    """Remove what a worker wrote and nobody fetched."""
    if pid is not None:
        from glob import glob

        for name in glob(os.path.join(_SHARED, _prefix(pid) + "*")):
            with suppress(FileNotFoundError):
                os.unlink(name)


def _work(
    info: WorkerInfo,
    fetch: Any,
    init: Callable[[int], None] | None,
    tasks: Any,
    results: Any,
) -> None:
    """The life of a worker: fetch(task) for each task until None comes."""
    global _info
    _info = info
    import multiprocessing
    import queue
    import random

    from ...random import manual_seed

    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    manual_seed(info.seed)
    failure, here = None, f"in DataLoader worker process {info.id}"
    try:
        if init is not None:
            init(info.id)
    except Exception:
        failure = ExceptionWrapper(where=here)
    parent, current = multiprocessing.parent_process(), None
    while True:
        try:
            item = tasks.get(timeout=_POLL)
        except queue.Empty:
            if parent is None or parent.is_alive():
                continue
            item = None  # nobody is left to work for
        if item is None:
            results.cancel_join_thread()  # what is not sent yet, nobody waits for
            _forget(os.getpid())
            return
        epoch, number, task = item
        if epoch != current:
            current = epoch
            fetch.restart()
        try:
            result = failure if failure is not None else fetch(task)
        except StopIteration:
            result = _End()
        except Exception:
            result = ExceptionWrapper(where=here)
        try:
            # Here, not in the queue's own thread, which would print an error and let everybody wait.
            sent = _pack(result)
        except Exception:
            sent = _pack(ExceptionWrapper(where=here))
        results.put((epoch, number, sent))


class _PinThread:
    """Takes the results of workers, copies them to page-locked memory and hands them on, while the training goes on."""

    def __init__(self, results: Any) -> None:
        import multiprocessing
        import queue
        import threading

        from ...cuda import current_device

        self.pinned: queue.SimpleQueue = queue.SimpleQueue()
        ended, self._end = multiprocessing.Pipe(duplex=False)
        # A function of its own: a thread that held this object, or the workers, would keep them for ever.
        self._thread = threading.Thread(
            target=_pin_results, args=(results, self.pinned, ended, current_device()), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._end.send(None)
        self._thread.join()
        self._end.close()


def _pin_results(results: Any, pinned: Any, ended: Any, device: int) -> None:
    from multiprocessing.connection import wait

    from ...cuda import set_device

    set_device(device)

    def step() -> None:  # a function, so that no batch is held while the next one is waited for
        epoch, number, sent = results.get()
        try:
            result = _unpack(*sent)
            if not isinstance(result, (_End, ExceptionWrapper)):
                result = pin_memory(result)
        except Exception:
            result = ExceptionWrapper(where=f"in pin memory thread for device {device}")
        pinned.put((epoch, number, result))

    while ended not in wait([results._reader, ended]):
        step()
    ended.close()


class Workers:
    """Processes that compute ``fetch(task)``; several passes over the data may use them, one after the other."""

    def __init__(
        self, dataset: Any, fetch: Any, *, workers: int, seed: int, init: Callable[[int], None] | None, context: Any,
        pin: bool = False,
    ) -> None:  # fmt: skip
        import multiprocessing  # imports slowly; only worker processes need it

        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self.results = context.Queue()
        self.inboxes = [context.Queue() for _ in range(workers)]
        self.epoch = 0
        self.pinning: _PinThread | None = None
        self.processes = [
            context.Process(
                target=_work,
                args=(
                    WorkerInfo(i, workers, seed + i, dataset),
                    fetch,
                    init,
                    self.inboxes[i],
                    self.results,
                ),
                daemon=True,
            )
            for i in range(workers)
        ]
        try:
            for process in self.processes:
                process.start()
            if pin:  # not before: a thread makes the fork of a process unsafe
                self.pinning = _PinThread(self.results)
        except BaseException:  # for instance a dataset that 'spawn' cannot pickle
            self.processes = [process for process in self.processes if process.pid is not None]
            self.close()
            raise

    def run(self, tasks: Iterator[Any], ahead: int, timeout: float, in_order: bool = True) -> Iterator[Any]:
        """fetch(task) of every task, in the order of the tasks, or (``in_order=False``) of their arrival.

        Task i goes to worker i mod workers. A worker whose stream ended gets no more tasks.
        """
        self.epoch += 1
        active = list(range(len(self.inboxes)))
        arrived: dict[int, Any] = {}
        owner: dict[int, int] = {}
        sent = 0

        def send() -> None:
            nonlocal sent
            if active:
                for task in tasks:
                    owner[sent] = active[sent % len(active)]
                    self.inboxes[owner[sent]].put((self.epoch, sent, task))
                    sent += 1
                    return

        for _ in range(ahead * len(self.inboxes)):
            send()
        while owner:
            wanted = next(iter(owner))  # the oldest
            while wanted not in arrived:
                epoch, number, arriving = self._receive(timeout)
                if epoch == self.epoch:  # else it is of a pass that was left early
                    arrived[number] = arriving
                    if not in_order:
                        wanted = number
            result, worker = arrived.pop(wanted), owner.pop(wanted)
            if isinstance(result, _End):
                if worker in active:
                    active.remove(worker)
                send()
                continue
            if isinstance(result, ExceptionWrapper):
                result.reraise()
            send()
            yield result

    def _receive(self, timeout: float) -> Any:
        """The next result; raises where a worker died or took too long."""
        import queue
        from time import monotonic

        deadline = monotonic() + timeout
        while True:
            left = min(_POLL, max(deadline - monotonic(), 0.0)) if timeout else _POLL
            try:
                if self.pinning is not None:
                    return self.pinning.pinned.get(timeout=left)
                epoch, number, sent = self.results.get(timeout=left)
                return epoch, number, _unpack(*sent)
            except queue.Empty:
                for process in self.processes:
                    if not process.is_alive():
                        raise RuntimeError(
                            f"DataLoader worker (pid {process.pid}) exited unexpectedly with code {process.exitcode}"
                        ) from None
                if timeout and monotonic() >= deadline:
                    raise RuntimeError(f"DataLoader timed out after {timeout} seconds") from None

    def close(self) -> None:
        """End the processes; those that are in the middle of a long fetch are terminated."""
        if self.pinning is not None:
            self.pinning.close()
            self.pinning = None
        for inbox in self.inboxes:
            inbox.put(None)
            inbox.close()
        for process, inbox in zip(self.processes, self.inboxes):
            process.join(timeout=_POLL)
            if process.is_alive():
                inbox.cancel_join_thread()  # what it did not read, nobody will
                process.terminate()
                process.join()
            elif process.exitcode == 0:
                inbox.join_thread()  # a thread that is left makes the next fork unsafe
            _forget(process.pid)
        self.results.close()
        self.inboxes, self.processes = [], []

    def __del__(self) -> None:
        if self.processes:
            self.close()
