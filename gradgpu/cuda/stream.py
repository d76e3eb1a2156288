"""Streams and events: queues of work on a device, and marks in them. Names and semantics are PyTorch's."""

from __future__ import annotations

from typing import Any

from . import in_flight
from .array import after_wait, run_after_wait
from .backend import backend

__all__ = ["Event", "Stream", "current_stream", "default_stream", "stream", "synchronize"]


def _index(device: Any) -> int:
    """The index of a device given as None (the current one), an int, a string or a `gg.device`."""
    from ..devices import device as Device

    if device is None:
        return backend().get_device()
    if isinstance(device, int):
        return device
    where = Device(device)
    if where.type != "cuda":
        raise ValueError(f"cuda: expected a CUDA device, got {str(where)!r}")
    return backend().get_device() if where.index is None else where.index


class on_device:
    """Makes a device current for a block (None: leaves the current one)."""

    __slots__ = ("before", "index")

    def __init__(self, device: Any = None):
        self.index = -1 if device is None else _index(device)

    def __enter__(self) -> None:
        if self.index >= 0:
            b = backend()
            self.before = b.get_device()
            b.set_device(self.index)

    def __exit__(self, *exc: Any) -> None:
        if self.index >= 0:
            backend().set_device(self.before)


class Stream:
    """A queue of work on a device. Work of one stream runs in order; work of two may overlap.

    Args:
        device: the device; None is the current one.
        priority: lower numbers go first (0 is the default, -1 high).

    As a context manager it becomes the current stream:

    >>> s = gg.cuda.Stream()
    >>> with s:
    ...     y = gg.ones(3, device="cuda") * 2
    >>> s.synchronize()
    >>> y
    tensor([2., 2., 2.], device='cuda:0')
    """

    __slots__ = ("_device", "_raw")

    def __init__(self, device: Any = None, priority: int = 0):
        with on_device(device):
            b = backend()
            self._device = b.get_device()
            self._raw = b.Stream(non_blocking=True, priority=priority)

    @classmethod
    def _wrap(cls, raw: Any, device: int) -> Stream:
        self = cls.__new__(cls)
        self._raw, self._device = raw, device
        return self

    @property
    def device(self) -> Any:
        """The device that the stream belongs to."""
        from ..devices import device as Device

        return Device("cuda", self._device)

    @property
    def cuda_stream(self) -> int:
        """The handle of the driver (a ``cudaStream_t``)."""
        return self._raw.ptr

    def synchronize(self) -> None:
        """Waits until all work of the stream is done."""
        self._raw.synchronize()
        in_flight.release()

    def query(self) -> bool:
        """True if all work of the stream is done."""
        return bool(self._raw.done)

    def wait_event(self, event: Event) -> None:
        """Later work of this stream waits for `event`; the host does not."""
        self._raw.wait_event(event._raw)

    def wait_stream(self, stream: Stream) -> None:
        """Later work of this stream waits for the work that `stream` has now; the host does not."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """Puts a mark (a new one if `event` is None) after the work that the stream has now."""
        if event is None:
            event = Event()
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        self._raw.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._raw.__exit__(*exc)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Stream)
            and self.cuda_stream == other.cuda_stream
            and self._device == other._device
        )

    def __hash__(self) -> int:
        return hash((self.cuda_stream, self._device))

    def __repr__(self) -> str:
        return f"<gradgpu.cuda.Stream device=cuda:{self._device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A mark in a stream: to wait for, or to measure time with.

    Args:
        enable_timing: the event notes the time, for `elapsed_time`.
    """

    __slots__ = ("_raw", "_recorded")

    def __init__(self, enable_timing: bool = False):
        self._raw = backend().Event(timing=enable_timing)
        self._recorded = False

    def record(self, stream: Stream | None = None) -> None:
        """Puts the mark after the work that `stream` (the current one if None) has now."""
        self._raw.record(None if stream is None else stream._raw)
        self._recorded = True

    def wait(self, stream: Stream | None = None) -> None:
        """Later work of `stream` (the current one if None) waits for the mark."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """True if the work before the mark is done."""
        return bool(self._raw.done)

    def synchronize(self) -> None:
        """Waits until the work before the mark is done."""
        self._raw.synchronize()
        in_flight.release()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this mark to `end`.

        Raises:
            RuntimeError: one of them was not recorded, or made without ``enable_timing=True``.
        """
        if not (self._recorded and end._recorded):
            raise RuntimeError("Event.elapsed_time: both events must have been recorded before")
        return float(backend().elapsed_time(self._raw, end._raw))


def current_stream(device: Any = None) -> Stream:
    """The stream that work of this thread goes to."""
    with on_device(device):
        b = backend()
        return Stream._wrap(b.current_stream(), b.get_device())


def default_stream(device: Any = None) -> Stream:
    """The stream that is current where no other was chosen."""
    with on_device(device):
        b = backend()
        return Stream._wrap(b.Stream(null=True), b.get_device())


def stream(stream: Stream) -> Stream:
    """``with gg.cuda.stream(s):`` makes `s` the current stream, as ``with s:`` does."""
    return stream


def synchronize(device: Any = None) -> None:
    """Waits until all work of the device (None: the current one) is done. Raises IndexError if a kernel met an index
    out of bounds."""
    with on_device(device):
        backend().synchronize()
    in_flight.release()
    if after_wait:
        run_after_wait()
