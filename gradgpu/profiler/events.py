"""What a profile has measured: events, their averages, tables and traces of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any


# ---- what was seen ----
class Interval:
    """Start and end in microseconds."""

    __slots__ = ("end", "start")

    def __init__(self, start: float, end: float):
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """The time between."""
        return self.end - self.start


def _text(us: float) -> str:
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


def _bytes_text(n: float) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(n) >= size:
            return f"{n / size:.2f} {unit}"
    return f"{int(n)} B"


class _Times:
    """Attributes that follow from the totals."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    device_time_total: float
    self_device_time_total: float
    device_memory_usage: int
    self_device_memory_usage: int

    @property
    def cpu_time(self) -> float:
        """Microseconds on the host, per call."""
        return self.cpu_time_total / self.count

    @property
    def device_time(self) -> float:
        """Microseconds on the device, per call."""
        return self.device_time_total / self.count

    cpu_time_str = property(lambda self: _text(self.cpu_time))
    cpu_time_total_str = property(lambda self: _text(self.cpu_time_total))
    self_cpu_time_total_str = property(lambda self: _text(self.self_cpu_time_total))
    device_time_str = property(lambda self: _text(self.device_time))
    device_time_total_str = property(lambda self: _text(self.device_time_total))
    self_device_time_total_str = property(lambda self: _text(self.self_device_time_total))
    cuda_time = property(lambda self: self.device_time)
    cuda_time_total = property(lambda self: self.device_time_total)
    self_cuda_time_total = property(lambda self: self.self_device_time_total)
    cuda_memory_usage = property(lambda self: self.device_memory_usage)
    self_cuda_memory_usage = property(lambda self: self.self_device_memory_usage)


class FunctionEvent(_Times):
    """One call: its name, when it ran, on which thread, what it called.

    Attributes:
        name, key: what was called. time_range: when. thread: its number. cpu_parent, cpu_children: calls around it and inside it.
        input_shapes: with `record_shapes`, a list of sizes for each argument ([] for what is no tensor).
        stack: with `with_stack`, the lines of the program that led here, the innermost first.
        is_user_annotation: whether it is a block of `record_function`.
    """

    count = 1

    def __init__(self, name: str, parent: FunctionEvent | None, annotation: bool, thread: int):
        self.name = self.key = name
        self.cpu_parent, self.is_user_annotation, self.thread = parent, annotation, thread
        self.cpu_children: list[FunctionEvent] = []
        self.time_range = Interval(0.0, 0.0)
        self.input_shapes: list = []
        self.stack: list[str] = []
        self.flops = 0
        self.device_time_total = 0.0
        self.device_memory_usage = 0
        self._on_device: Any = None  # the two marks on the stream
        self._device_start = 0.0

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """Microseconds from start to end."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """The same without the calls inside."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_device_time_total(self) -> float:  # type: ignore[override]
        """Microseconds on the device without the calls inside."""
        return self.device_time_total - sum(child.device_time_total for child in self.cpu_children)

    @property
    def self_device_memory_usage(self) -> int:  # type: ignore[override]
        """Bytes of the device taken without the calls inside."""
        return self.device_memory_usage - sum(child.device_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        return f"<FunctionEvent name={self.name} cpu_time={self.cpu_time_str} thread={self.thread} input_shapes={self.input_shapes}>"


class FunctionEventAvg(_Times):
    """All calls of one name: `count`, and sums of their times in microseconds."""

    def __init__(self, key: str):
        self.key = key
        self.count = 0
        self.input_shapes: list = []
        self.stack: list[str] = []
        self.flops = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.device_time_total = self.self_device_time_total = 0.0
        self.device_memory_usage = self.self_device_memory_usage = 0
        self.is_user_annotation = False

    def add(self, event: Any) -> FunctionEventAvg:
        """Counts an event, or others' average, too."""
        self.count += event.count
        self.flops += event.flops
        for name in (
            "cpu_time_total", "self_cpu_time_total", "device_time_total", "self_device_time_total", "device_memory_usage",
            "self_device_memory_usage",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(event, name))
        self.is_user_annotation = self.is_user_annotation or event.is_user_annotation
        return self

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} count={self.count} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str} self_device_time={self.self_device_time_total_str} device_time={self.device_time_str}>"
        )


_SORTS = (
    "cpu_time", "cpu_time_total", "self_cpu_time_total", "device_time", "device_time_total", "self_device_time_total",
    "device_memory_usage", "self_device_memory_usage", "cuda_time", "cuda_time_total", "self_cuda_time_total",
    "cuda_memory_usage", "self_cuda_memory_usage", "count", "flops",
)  # fmt: skip


class EventList(list):
    """Events, or their averages, with ways to look at them."""

    def __init__(
        self, events: Iterable[Any] = (), *, device: bool = False, memory: bool = False, flops: bool = False
    ):
        super().__init__(events)
        self._device, self._memory, self._flops = device, memory, flops

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds on the host, of all events."""
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """One entry a name (and input shapes, and innermost lines of the program, if asked for), in the order of first calls."""
        groups: dict[Any, FunctionEventAvg] = {}
        for event in self:
            shapes = str(event.input_shapes) if group_by_input_shape else ""
            lines = tuple(event.stack[:group_by_stack_n])
            average = groups.get((event.key, shapes, lines))
            if average is None:
                average = groups[event.key, shapes, lines] = FunctionEventAvg(event.key)
                average.input_shapes = event.input_shapes if group_by_input_shape else []
                average.stack = list(lines)
            average.add(event)
        return EventList(groups.values(), device=self._device, memory=self._memory, flops=self._flops)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all."""
        total = FunctionEventAvg("Total")
        for event in self:
            total.add(event)
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """The events as a table.

        Args:
            sort_by: 'cpu_time_total', 'self_cpu_time_total', 'cpu_time', 'count', 'flops', or the same of 'device' or 'cuda' for 'cpu'
                and with 'memory_usage' for 'time_total'; by default the order of the list.
            row_limit: at most so many rows; -1: all.

        Raises:
            ValueError: no such order.
        """
        rows = list(self)
        if sort_by is not None:
            if sort_by not in _SORTS:
                raise ValueError(f"table: sort_by must be one of {', '.join(_SORTS)}, got {sort_by!r}")
            rows.sort(key=lambda event: getattr(event, sort_by), reverse=True)
        if top_level_events_only:
            rows = [event for event in rows if getattr(event, "cpu_parent", None) is None]
        host, on_device = self.self_cpu_time_total, sum(event.self_device_time_total for event in self)
        share = lambda part, whole: f"{100 * part / whole:.2f}%" if whole else "0.00%"
        columns: list[tuple[str, Callable]] = [
            ("Name", lambda e: _shortened(e.key, max_name_column_width)),
            ("Self CPU %", lambda e: share(e.self_cpu_time_total, host)),
            ("Self CPU", lambda e: e.self_cpu_time_total_str),
            ("CPU total %", lambda e: share(e.cpu_time_total, host)),
            ("CPU total", lambda e: e.cpu_time_total_str),
            ("CPU time avg", lambda e: e.cpu_time_str),
        ]
        if self._device:
            columns += [
                ("Self CUDA", lambda e: e.self_device_time_total_str),
                ("Self CUDA %", lambda e: share(e.self_device_time_total, on_device)),
                ("CUDA total", lambda e: e.device_time_total_str),
                ("CUDA time avg", lambda e: e.device_time_str),
            ]
        if self._memory:
            columns += [
                ("CUDA Mem", lambda e: _bytes_text(e.device_memory_usage)),
                ("Self CUDA Mem", lambda e: _bytes_text(e.self_device_memory_usage)),
            ]
        columns.append(("# of Calls", lambda e: str(e.count)))
        if any(event.input_shapes for event in rows):
            columns.append(
                ("Input Shapes", lambda e: _shortened(str(e.input_shapes), max_shapes_column_width))
            )
        if self._flops:
            columns.append(("Total FLOPs", lambda e: str(e.flops) if e.flops else "--"))
        if any(event.stack for event in rows):
            columns.append(
                ("Source Location", lambda e: _shortened(e.stack[0] if e.stack else "", max_src_column_width))
            )
        cells = [
            [show(event) for _, show in columns] for event in (rows if row_limit < 0 else rows[:row_limit])
        ]
        widths = [
            max(12, len(title), *[len(row[k]) for row in cells]) for k, (title, _) in enumerate(columns)
        ]
        line = "  ".join("-" * width for width in widths) + "  "
        show_row = lambda row: "  ".join(cell.rjust(width) for cell, width in zip(row, widths)) + "  "
        text = [] if header is None else ["=" * len(line), header]
        text += [line, show_row([title for title, _ in columns]), line, *map(show_row, cells), line]
        text.append(f"Self CPU time total: {_text(host)}")
        if self._device:
            text.append(f"Self CUDA time total: {_text(on_device)}")
        return "\n".join(text) + "\n"

    __str__ = table

    def export_chrome_trace(self, path: str) -> None:
        """Writes the events as a trace that chrome://tracing and Perfetto show."""
        _write_trace(self, path)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _write_trace(events: Iterable[FunctionEvent], path: str) -> None:
    process = os.getpid()
    entries: list[dict] = [
        {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": "python"}}
    ]
    for event in events:
        args: dict[str, Any] = {"Input Dims": event.input_shapes} if event.input_shapes else {}
        if event.stack:
            args["Call stack"] = ";".join(event.stack)
        kind = "user_annotation" if event.is_user_annotation else "cpu_op"
        span = {"ph": "X", "cat": kind, "name": event.name, "pid": process, "tid": event.thread, "args": args}
        entries.append({**span, "ts": event.time_range.start, "dur": event.cpu_time_total})
        if event._on_device is not None:
            entries.append(
                {
                    **span,
                    "cat": "gpu_op",
                    "tid": "stream",
                    "ts": event._device_start,
                    "dur": event.device_time_total,
                }
            )
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": entries}, file)
