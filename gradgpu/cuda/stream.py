"""Streams and events: queues of work on a device, and marks in them. Names and semantics are PyTorch's."""

from __future__ import annotations

import threading
from typing import Any

from . import in_flight
from .array import after_wait, run_after_wait
from .backend import backend
from .stream_log import switch

__all__ = [
    "Event", "ExternalStream", "Stream", "StreamContext", "current_stream", "default_stream", "set_stream", "stream",
    "synchronize",
]  # fmt: skip


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
        """Waits until all work of the stream is done. Raises IndexError if a kernel met an index out of bounds."""
        self._raw.synchronize()
        in_flight.release()
        if after_wait:
            with StreamContext(self):  # what this looks at is read on the stream that is done
                run_after_wait()

    def query(self) -> bool:
        """True if all work of the stream is done."""
        return bool(self._raw.done)

    def wait_event(self, event: Event) -> None:
        """Later work of this stream waits for `event`, as it is recorded now; the host does not."""
        if event._raw is not None:
            self._raw.wait_event(event._raw)

    def wait_stream(self, stream: Stream) -> None:
        """Later work of this stream waits for the work that `stream` has now; the host does not.

        >>> side = gg.cuda.Stream()
        >>> x = gg.ones(2, device="cuda")
        >>> side.wait_stream(gg.cuda.current_stream())
        >>> with gg.cuda.stream(side):
        ...     y = x * 2
        >>> gg.cuda.current_stream().wait_stream(side)
        >>> y + x
        tensor([3., 3.], device='cuda:0')
        """
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """Puts a mark (a new one if `event` is None) after the work that the stream has now."""
        if event is None:
            event = Event()
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        StreamContext(self).__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        StreamContext(self).__exit__(*exc)

    def __cuda_stream__(self) -> tuple[int, int]:
        """(version, handle) for other libraries: the CUDA stream protocol."""
        return 0, self.cuda_stream

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


class ExternalStream(Stream):
    """A stream that another library made, and keeps alive.

    Args:
        stream_ptr: its handle, a ``cudaStream_t`` as an int.
        device: the device that it belongs to; None is the current one.

    >>> other = gg.cuda.Stream()
    >>> gg.cuda.ExternalStream(other.cuda_stream) == other
    True
    """

    __slots__ = ()

    def __init__(self, stream_ptr: int, device: Any = None):
        self._device = _index(device)
        self._raw = backend().external_stream(_Handle(int(stream_ptr)))


class _Handle:
    """A handle as an object that has a stream."""

    def __init__(self, stream_ptr: int):
        self.stream_ptr = stream_ptr

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.stream_ptr


class StreamContext:
    """What `stream` returns: within the block a stream, and its device, are the current ones. None changes nothing."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            b = backend()
            before = b.get_device()
            b.set_device(self.stream._device)
            if not hasattr(_entered, "before"):
                _entered.before = []
            _entered.before.append((before, b.current_stream()))
            switch(self.stream._raw)

    def __exit__(self, *exc: Any) -> None:
        if self.stream is not None:
            b = backend()
            device, raw = _entered.before.pop()
            b.set_device(self.stream._device)
            switch(raw)
            b.set_device(device)


_entered = (
    threading.local()
)  # .before: devices and streams as they were before the blocks that this thread is in


class Event:
    """A mark in a stream: to wait for, or to measure time with. Before it is recorded it counts as reached.

    Args:
        enable_timing: the event notes the time, for `elapsed_time`.
        blocking: `synchronize` lets the processor do something else meanwhile, and returns a little later.

    >>> start, end = gg.cuda.Event(enable_timing=True), gg.cuda.Event(enable_timing=True)
    >>> start.record()
    >>> y = gg.ones(3, device="cuda") * 2
    >>> end.record()
    >>> end.synchronize()
    >>> start.elapsed_time(end) >= 0
    True
    """

    __slots__ = ("_blocking", "_device", "_raw", "_timing")

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        if interprocess:
            raise NotImplementedError("Event: events cannot be shared between processes (interprocess=True)")
        self._timing, self._blocking = enable_timing, blocking
        self._raw: Any = None  # made when it is recorded, on the device of that stream
        self._device = -1

    @property
    def device(self) -> Any:
        """The device of the streams that record it; None before the first."""
        from ..devices import device as Device

        return None if self._raw is None else Device("cuda", self._device)

    @property
    def cuda_event(self) -> int:
        """The handle of the driver (a ``cudaEvent_t``), 0 before it is recorded."""
        return 0 if self._raw is None else self._raw.ptr

    def record(self, stream: Stream | None = None) -> None:
        """Puts the mark after the work that `stream` (the current one if None) has now.

        Raises:
            RuntimeError: it was recorded on a stream of another device.
        """
        if stream is None:
            stream = current_stream()
        with on_device(stream._device):
            if self._raw is None:
                self._raw = backend().Event(self._timing, self._blocking)
                self._device = stream._device
            elif self._device != stream._device:
                raise RuntimeError(
                    f"Event device {self._device} does not match recording stream's device {stream._device}."
                )
            self._raw.record(stream._raw)

    def wait(self, stream: Stream | None = None) -> None:
        """Later work of `stream` (the current one if None) waits for the mark."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """True if the work before the mark is done."""
        return self._raw is None or bool(self._raw.done)

    def synchronize(self) -> None:
        """Waits until the work before the mark is done."""
        if self._raw is not None:
            self._raw.synchronize()
            in_flight.release()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this mark to `end_event`.

        Raises:
            ValueError: one of them was not recorded, or made without ``enable_timing=True``.
            RuntimeError: the work before one of them is not done.
        """
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._raw is None or end_event._raw is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return float(backend().elapsed_time(self._raw, end_event._raw))

    def __repr__(self) -> str:
        return f"<gradgpu.cuda.Event {hex(self.cuda_event) if self.cuda_event else 'uninitialized'}>"


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


def stream(stream: Stream | None) -> StreamContext:
    """``with gg.cuda.stream(s):`` makes `s` the current stream, and its device the current one; None changes nothing."""
    return StreamContext(stream)


def set_stream(stream: Stream | None) -> None:
    """Makes a stream, and its device, the current ones from here on; None changes nothing. Prefer `stream`."""
    if stream is not None:
        backend().set_device(stream._device)
        switch(stream._raw)


def synchronize(device: Any = None) -> None:
    """Waits until all work of the device (None: the current one) is done. Raises IndexError if a kernel met an index
    out of bounds."""
    with on_device(device):
        backend().synchronize()
    in_flight.release()
    if after_wait:
        run_after_wait()
