"""Memory that streams still need though the program has let go of it.

* Host memory that a copy reads or writes while the host goes on: `keep`.
* Device memory that a stream works on other than the one it was allocated on (`Tensor.record_stream`): `use_on`. The
  allocator gives freed memory to later work of the stream it came from, which knows nothing of other streams.

Both are kept by a reference, until an event behind the work has happened. Events are looked at in passing: at copies
between host and device, at further calls of these functions, where the host waits, and before memory runs out.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import deque
from sys import getrefcount
from typing import Any

from .backend import backend

_waiting: dict[tuple[int, int], deque[tuple[Any, Any]]] = {}  # (event, memory) in order, by device and stream
_shared: dict[int, tuple[Any, dict[tuple[int, int], Any]]] = {}  # (memory, its streams), by id of the memory
_lock = threading.Lock()
_owner = os.getpid()  # a forked process cannot ask the driver about what it has inherited


def keep(memory: Any) -> None:
    """Keeps host memory until the current stream has done all the work that it has now."""
    b = backend()
    release()
    _mark(memory, (b.get_device(), b.current_stream_ptr()), None)


def use_on(memory: Any, device: int, stream: Any) -> None:
    """Notes that work of a stream (of the backend) uses device memory: its allocation is free again only after what the
    stream has to do when the last array on it is gone."""
    release()
    if _at_full_collection not in gc.callbacks:
        gc.callbacks.append(_at_full_collection)
    _shared.setdefault(id(memory), (memory, {}))[1][device, stream.ptr] = stream


def pending() -> bool:
    """Whether anything is kept."""
    return bool(_shared) or any(list(_waiting.values()))


def release(wait: bool = False) -> None:
    """Lets go of what no stream needs any more; `wait` waits for the streams first."""
    if not pending() or os.getpid() != _owner or not _lock.acquire(blocking=False):
        return  # nothing there, or already at it: letting go of memory may lead here again
    try:
        for key, entry in list(_shared.items()):
            # Nobody tells when the last array on this memory goes: the count of its references shows that it has. The
            # event may so come later than need be, never earlier.
            if _references(entry) == _ALONE and not any(s.is_capturing() for s in entry[1].values()):
                del _shared[key]
                for place, stream in entry[1].items():
                    _mark(entry[0], place, stream)
        for queue in list(_waiting.values()):  # they stay, empty: another thread may be about to append
            while queue and (wait or queue[0][0].done):
                if wait:
                    queue[0][0].synchronize()
                queue.popleft()
    finally:
        _lock.release()


def _references(entry: tuple[Any, Any]) -> int:
    return getrefcount(entry[0])


_ALONE = _references((object(), None))


def _mark(memory: Any, place: tuple[int, int], stream: Any) -> None:
    b = backend()
    here = b.get_device()
    if here != place[0]:
        b.set_device(place[0])
    event = b.Event(timing=False)
    event.record(stream)
    if here != place[0]:
        b.set_device(here)
    _waiting.setdefault(place, deque()).append((event, memory))


def _at_full_collection(phase: str, info: dict[str, int]) -> None:
    """An allocation that does not fit collects all garbage before it fails: then waiting is better."""
    if phase == "start" and info["generation"] == 2:
        release(wait=True)
