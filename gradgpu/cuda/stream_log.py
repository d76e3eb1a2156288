"""Which streams were current when: backward runs each operation on the stream that its forward ran on.

Nodes of the tape are numbered in the order of their making, so it is enough to note the number at which the current stream
changed. A switch between whose beginning and end no node was made, as around copies of data, leaves nothing behind.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import Any

from ..autograd.engine import followers
from ..autograd.node import next_sequence
from .array import on_device
from .backend import backend

_MOST = 10_000  # switches that are kept; older nodes count as made on the first stream


class _Local(threading.local):
    def __init__(self) -> None:
        self.numbers: list[int] = []  # when the current stream changed, ascending
        self.states: list[dict[int, Any]] = []  # the streams (of the backend) from then on, by device
        self.first: dict[int, Any] = {}  # those before the first change

    def now(self) -> dict[int, Any]:
        """The streams after the latest change that is noted."""
        return {**self.first, **self.states[-1]} if self.states else self.first


_local = _Local()


def switch(stream: Any) -> None:
    """Makes a stream (of the backend) the current one of the current device."""
    b = backend()
    device, before = b.get_device(), b.current_stream()
    stream.use()
    local, number = _local, -next_sequence()
    numbers, states = local.numbers, local.states
    local.first.setdefault(device, before)
    state = {**local.now(), device: stream}
    if numbers and numbers[-1] == number - 1:  # no node since the latest change
        numbers.pop(), states.pop()
    if _pointers(local.now()) != _pointers(state):
        numbers.append(number)
        states.append(state)
        if len(numbers) > _MOST:
            del numbers[: _MOST // 2], states[: _MOST // 2]
        if not followers:
            followers.append(Follower)


def _pointers(state: dict[int, Any]) -> dict[int, int]:
    return {device: stream.ptr for device, stream in state.items()}


def _captures(stream: Any) -> bool:
    return stream.ptr != 0 and stream.is_capturing()


class Follower:
    """Follows the streams of forward through one backward pass.

    Its work is in one order, whatever the streams: each waits for the one before. The streams of the pass wait for its end,
    so that memory which it has freed is not written by later work of theirs before.
    """

    def __init__(self, active: dict[int, Any]) -> None:
        self.active, self.begun = active, dict(active)
        self.touched: dict[int, dict[int, Any]] = {}  # the streams gone to, by device and handle

    @classmethod
    def begin(cls) -> Follower | None:
        """None where this thread has made all nodes on one stream."""
        return cls(dict(_local.now())) if _local.numbers else None

    def go(self, number: int) -> None:
        """Continues on the streams that were current when a node was made."""
        local = _local
        at = bisect_right(local.numbers, -number) - 1
        wanted = local.states[at] if at >= 0 else local.first
        for device, stream in wanted.items():
            if stream.ptr != self.active[device].ptr:
                self._change(device, stream)

    def end(self) -> None:
        """Back to the streams of before the pass."""
        for device, streams in self.touched.items():
            last = self.begun[device]
            if last.ptr != self.active[device].ptr:
                self._change(device, last)
            with on_device(device):
                event = last.record()
                for pointer, stream in streams.items():
                    if pointer != last.ptr:
                        stream.wait_event(event)
        self.touched = {}

    def _change(self, device: int, stream: Any) -> None:
        with on_device(device):
            stream.wait_event(self.active[device].record())
            switch(stream)
        self.active[device] = stream
        self.touched.setdefault(device, {})[stream.ptr] = stream

    @staticmethod
    def take_turn(leaf: Any) -> None:
        """Lets what is about to be added to the gradient of a leaf wait for what was added to it on another stream, by
        another thread it may be."""
        layout = getattr(leaf._a, "layout", None)
        if layout is None:
            return
        with on_device(layout.device):
            here, last = backend().current_stream(), leaf._depositor
            if last is not None and last.ptr != here.ptr and not (_captures(here) or _captures(last)):
                here.wait_event(last.record())
        leaf._depositor = here

    @staticmethod
    def hand_over() -> Any:
        """What a thread that goes on with this one's work has to know; a function that tells it."""
        local, device = _local, backend().get_device()
        numbers, states, first = [*local.numbers], [*local.states], {**local.first}

        def take() -> None:
            local.numbers, local.states, local.first = numbers, states, first
            for place, stream in local.now().items():
                backend().set_device(place)
                stream.use()
            backend().set_device(device)

        return take
