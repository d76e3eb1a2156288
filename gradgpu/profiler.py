"""How often each operation runs and how long it takes: `profile`, under PyTorch's names.

While a profile is active Python itself reports every call of a function (`sys.setprofile`), and those of operations, of gradient rules
(`MmBackward0`), of optimisers and data loaders are noted. When none is, nothing anywhere costs anything. The reports
take time: about 0.3 µs for each Python call inside an operation, which shows in small operations' times; counts are exact.

>>> import gradgpu as gg
>>> from gradgpu.profiler import profile, record_function
>>> x = gg.randn(8, 8, requires_grad=True)
>>> with profile(record_shapes=True) as prof:
...     with record_function("forward"):
...         y = (x @ x).relu().sum()
...     y.backward()
>>> [event.count for event in prof.key_averages() if event.key in ("aten::matmul", "forward", "SumBackward0")]
[1, 1, 1]
>>> text = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=5)
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from math import prod
from typing import Any

from .ops.pointwise_op import Pointwise
from .ops.registry import Op
from .optim.optimizer import Optimizer
from .tensor import Tensor

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_OPERATIONS = tuple(_HERE + part for part in ("ops" + os.sep, "nn" + os.sep + "functions" + os.sep, "linalg.py", "fft.py", "special.py", "sparse" + os.sep))  # fmt: skip


class ProfilerActivity(Enum):
    """What is measured: time on the host, and time on the stream of the device."""

    CPU = 0
    CUDA = 1


class ProfilerAction(Enum):
    """What a profile with a schedule does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The activities that can be measured here.

    >>> import gradgpu as gg
    >>> gg.profiler.ProfilerActivity.CPU in gg.profiler.supported_activities()
    True
    """
    from . import cuda

    return {ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda.is_available() else [])}


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


# ---- which calls are operations ----
def _values(frame: Any) -> dict[str, Any]:
    return frame.f_locals


def _of_op(frame: Any) -> str:
    return "aten::" + _values(frame)["self"].name


def _of_door(frame: Any) -> str:
    return "aten::" + _values(frame)["op"].name


def _of_short_way(frame: Any) -> str:
    way = _values(frame)["self"]
    if isinstance(way, Op):
        return "aten::" + way.name
    return "aten::" + re.sub(r"(?<!^)(?=[A-Z])", "_", way.node_name.removesuffix("Backward0")).lower()


def _of_in_place(frame: Any) -> str:
    return "aten::" + _values(frame)["name"].rstrip("_") + "_"


def _of_door_in_place(frame: Any) -> str:
    return "aten::" + _values(frame)["general"].__name__


def _of_rule(frame: Any) -> str:
    return _values(frame)["node"].name()


def _of_optimizer(frame: Any) -> str:
    kind, name = type(_values(frame)["self"]).__name__, frame.f_code.co_name
    return f"Optimizer.{name}#{kind}.{name}"


def _of_loader(frame: Any) -> str:
    return f"enumerate(DataLoader)#{type(_values(frame)['self']).__name__}.__next__"


_CALLS = {Op.__call__.__code__, Pointwise.__call__.__code__, Op._of_array.__code__}
_LOADER = _HERE + os.path.join("utils", "data", "dataloader.py")
_STEPS = {Optimizer.step.__code__, Optimizer.zero_grad.__code__}


def _kind(code: Any) -> Any:
    """The name under which calls of this code are noted, or what finds it in the frame; None: they are not."""
    file, name = code.co_filename, code.co_name
    if not file.startswith(_HERE):
        return None
    if code in _CALLS:
        return _of_op
    first = code.co_varnames[:1]
    if name == "vjp" and "node" in code.co_varnames[:2]:
        return _of_rule
    if code in _STEPS or first == ("self",) and name == "step" and file.startswith(_HERE + "optim" + os.sep):
        return _of_optimizer
    if file == _LOADER and first == ("self",) and code.co_flags & inspect.CO_GENERATOR:
        return _of_loader  # it returns with each batch
    if not file.startswith(_OPERATIONS):
        return None
    if name == "door" and "op" in code.co_freevars:
        return _of_door
    if name == "door" and "general" in code.co_freevars:
        return _of_door_in_place
    if name == "of" and first == ("self",):
        return _of_short_way
    if name in ("method", "changed", "change") and "name" in code.co_freevars:
        return _of_in_place
    return f"aten::{name}" if not name.startswith("_") and _is_public(code, name) else None


def _is_public(code: Any, name: str) -> bool:
    """Whether this is the code of a function that programs call by this name."""
    module = next(
        (m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == code.co_filename), None
    )
    found = inspect.unwrap(getattr(module, name, None)) if module is not None else None  # type: ignore[arg-type]
    if getattr(found, "__code__", None) is not code:
        return False
    return name in getattr(module, "__all__", ()) or name in vars(Tensor)


_kinds: dict[Any, Any] = {}  # what `_kind` found
_MISSING = object()


class _Recorder:
    """The calls of one thread between `start` and `stop`."""

    def __init__(self, shapes: bool, device: bool, memory: bool, stack: bool, flops: bool):
        self.shapes, self.device, self.memory, self.with_stack, self.flops = (
            shapes or flops,
            device,
            memory,
            stack,
            flops,
        )
        self.keep_shapes = shapes
        self.events: list[FunctionEvent] = []
        self.open: list[tuple[Any, FunctionEvent]] = []  # (frame or annotation, event), the innermost last
        self.thread = threading.get_ident()
        self.base: Any = None
        self.base_time = 0.0

    def start(self) -> None:
        self.before = sys.getprofile()
        sys.setprofile(self.note)

    def stop(self) -> None:
        sys.setprofile(self.before)
        while self.open:
            self.leave(self.open[-1][0], None)
        if self.base is not None:
            self.base.synchronize()
            for event in self.events:
                if event._on_device is not None:
                    begin, end = event._on_device
                    end.synchronize()
                    event.device_time_total = 1e3 * begin.elapsed_time(end)
                    event._device_start = self.base_time + 1e3 * self.base.elapsed_time(begin)

    def note(self, frame: Any, what: str, value: Any) -> None:
        """What Python calls at each call and return."""
        if what == "call":
            code = frame.f_code
            kind = _kinds.get(code, _MISSING)
            if kind is _MISSING:
                kind = _kinds[code] = _kind(code)
            if kind is None:
                return
            name = kind if type(kind) is str else kind(frame)
            if self.open and self.open[-1][1].name == name:
                return  # a function and the operation of its name
            event = self.enter(frame, name, False)
            if self.shapes:
                event.input_shapes = _shapes(frame)
            if self.with_stack:
                event.stack = _lines(frame)
            event.time_range.start = time.perf_counter() * 1e6
        elif what == "return" and self.open and self.open[-1][0] is frame:
            self.leave(frame, value)

    def enter(self, key: Any, name: str, annotation: bool) -> FunctionEvent:
        parent = self.open[-1][1] if self.open else None
        event = FunctionEvent(name, parent, annotation, self.thread)
        if parent is not None:
            parent.cpu_children.append(event)
        self.events.append(event)
        self.open.append((key, event))
        if self.device or self.memory:
            self.mark(event)
        event.time_range.start = time.perf_counter() * 1e6
        return event

    def mark(self, event: FunctionEvent) -> None:
        """Notes where the device is as an event begins, or ends."""
        from . import cuda

        if not cuda.is_initialized():
            return
        before = sys.getprofile()
        sys.setprofile(None)
        try:
            if self.memory:
                event.device_memory_usage = cuda.memory_allocated() - event.device_memory_usage
            if self.device:
                here = cuda.Event(enable_timing=True)
                here.record()
                if self.base is None:
                    self.base, self.base_time = here, time.perf_counter() * 1e6
                event._on_device = (here, here) if event._on_device is None else (event._on_device[0], here)
        finally:
            sys.setprofile(before)

    def leave(self, key: Any, value: Any) -> None:
        end = time.perf_counter() * 1e6
        while self.open:
            found, event = self.open.pop()
            event.time_range.end = end
            if self.device or self.memory:
                self.mark(event)
            if self.flops and isinstance(value, Tensor):
                event.flops = _flops(event.name, event.input_shapes, tuple(value.shape))
            if not self.keep_shapes:
                event.input_shapes = []
            if found is key:
                return


def _shapes(frame: Any) -> list:
    """The shapes of the arguments of a call, [] for what is no tensor."""
    code, values = frame.f_code, _values(frame)
    names = list(code.co_varnames[: code.co_argcount])
    given = [values[name] for name in names if name != "node"]
    if code.co_flags & inspect.CO_VARARGS:
        given += values[code.co_varnames[code.co_argcount + code.co_kwonlyargcount]]
    if given and isinstance(given[0], Op):
        given = given[1:]
    return [list(x.shape) if hasattr(x, "shape") else [] for x in given]


def _flops(name: str, shapes: list, out: tuple) -> int:
    """Floating-point operations of products (two for each multiplication and addition), and one an element of sums and
    products of tensors; 0 of what is not counted."""
    name = name.removeprefix("aten::")
    sizes = [tuple(s) for s in shapes if s]
    if name in ("mm", "matmul", "bmm", "linear") and len(sizes) >= 2:
        return 2 * prod(out) * sizes[0][-1]
    if name == "conv2d" and len(sizes) >= 2:
        return 2 * prod(out) * prod(sizes[1][1:])
    return prod(out) if name in ("add", "sub", "mul", "div") else 0


def _lines(frame: Any) -> list[str]:
    """The lines of the program around a call, the innermost first, without those of this library."""
    found: list[str] = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_HERE):
            found.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back
    return found


# The recorders that are active, one a thread.
_active: dict[int, _Recorder] = {}


class record_function:
    """A block of a program under a name of its own in the profile; also a decorator. Costs next to nothing outside of one.

    >>> import gradgpu as gg
    >>> with gg.profiler.profile() as prof:
    ...     with gg.profiler.record_function("my block"):
    ...         y = gg.ones(2) + 1
    >>> prof.events()[0].name, prof.events()[0].cpu_children[-1].name
    ('my block', 'aten::add')
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self._recorder: _Recorder | None = None

    def __enter__(self) -> record_function:
        self._recorder = _active.get(threading.get_ident()) if _active else None
        if self._recorder is not None:
            self._recorder.enter(self, self.name, True)
        return self

    def __exit__(self, *error: Any) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None and any(key is self for key, _ in recorder.open):
            recorder.leave(self, None)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return wrapper


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """What to do in which step: after `skip_first` steps, cycles of `wait` steps without, `warmup` steps, and `active` steps with
    records; `repeat` cycles, or no end if that is 0. With `skip_first_wait` the first cycle does not wait.

    >>> import gradgpu as gg
    >>> plan = gg.profiler.schedule(wait=1, warmup=1, active=2)
    >>> [plan(step).name for step in range(4)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ValueError(
            "Invalid profiler schedule arguments: active must be at least 1, the others not negative"
        )

    def plan(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        cycle, place = divmod(step, length)
        if repeat and cycle >= repeat or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return plan


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """For `on_trace_ready`: writes each trace into a folder, as TensorBoard's profiler plugin expects it."""

    def save(prof: profile) -> None:
        worker = f"{socket.gethostname()}_{os.getpid()}" if worker_name is None else worker_name
        name = f"{worker}.{time.time_ns()}.pt.trace.json"
        prof.export_chrome_trace(os.path.join(dir_name, name + (".gz" if use_gzip else "")))

    return save


class profile:
    """Notes each operation while its block runs.

    Args:
        activities: ProfilerActivity.CPU, .CUDA or both (by default what there is). For CUDA marks are put into the stream around each
            operation: the time between them, which includes the time for which the device waits for the host.
        schedule: what to do in each step (see `schedule`); call `step()` after each.
        on_trace_ready: called with this object when a trace is complete: at the end, or after each cycle of the schedule.
        record_shapes: whether to note the arguments' shapes.
        profile_memory: whether to note how much memory of the device each operation takes.
        with_stack: whether to note the program's lines around each operation.
        with_flops: whether to count floating-point operations of products, convolutions and sums.
        with_modules, experimental_config, execution_trace_observer, acc_events, use_cuda, custom_trace_id_callback: accepted.

    >>> import gradgpu as gg
    >>> with gg.profiler.profile() as prof:
    ...     y = gg.ones(3).exp().sum()
    >>> [event.name for event in prof.events()]
    ['aten::ones', 'aten::exp', 'aten::sum']
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Any = None,
    ):
        chosen = supported_activities() if activities is None else set(activities)
        if not chosen or not all(isinstance(a, ProfilerActivity) for a in chosen):
            raise ValueError(
                "profile: activities must be some of ProfilerActivity.CPU and ProfilerActivity.CUDA"
            )
        if use_cuda:
            chosen.add(ProfilerActivity.CUDA)
        self.activities = chosen
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops = with_stack, with_flops
        self.step_num = 0
        self.current_action = ProfilerAction.RECORD if schedule is None else schedule(0)
        self._recorder: _Recorder | None = None
        self._block: record_function | None = None
        self._found = EventList()

    # ---- from start to end ----
    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Begins; what a `with` block does at its start."""
        self._act(ProfilerAction.NONE, self.current_action)

    def stop(self) -> None:
        """Ends; what a `with` block does at its end."""
        if self._recorder is not None:
            self._finish()
        self.current_action = ProfilerAction.NONE

    def step(self) -> None:
        """Tells that the next step begins."""
        before = self.current_action
        self.step_num += 1
        if self.schedule is not None:
            self.current_action = self.schedule(self.step_num)
        self._act(before, self.current_action)

    def _act(self, before: ProfilerAction, now: ProfilerAction) -> None:
        records = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if self._block is not None:
            self._block.__exit__()
            self._block = None
        if self._recorder is not None and (before is ProfilerAction.RECORD_AND_SAVE or now not in records):
            self._finish()
        if now in records and self._recorder is None:
            thread = threading.get_ident()
            if thread in _active:
                raise RuntimeError("profile: another profile is active in this thread")
            cuda = ProfilerActivity.CUDA in self.activities
            self._recorder = _active[thread] = _Recorder(
                self.record_shapes, cuda, self.profile_memory, self.with_stack, self.with_flops
            )
            self._recorder.start()
        if self._recorder is not None and self.schedule is not None:
            self._block = record_function(f"ProfilerStep#{self.step_num}")
            self._block.__enter__()

    def _finish(self) -> None:
        recorder: Any = self._recorder
        self._recorder = self._block = None
        recorder.stop()
        _active.pop(recorder.thread, None)
        device = any(event._on_device is not None for event in recorder.events)
        self._found = EventList(
            recorder.events,
            device=device,
            memory=self.profile_memory and device or recorder.memory,
            flops=self.with_flops,
        )
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    # ---- what was found ----
    def events(self) -> EventList:
        """Every call, in the order of starts."""
        return self._found

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """Sums by name; see `EventList.key_averages` and `EventList.table`."""
        return self._found.key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str) -> None:
        """Writes a trace that chrome://tracing and Perfetto show; a path that ends in .gz is compressed."""
        if path.endswith(".gz"):
            import gzip

            plain = path[:-3]
            self._found.export_chrome_trace(plain)
            with open(plain, "rb") as source, gzip.open(path, "wb") as packed:
                packed.write(source.read())
            os.remove(plain)
            return
        self._found.export_chrome_trace(path)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Writes a line a stack of the program, with its time: what tools for flame graphs read. Needs `with_stack`."""
        if metric not in ("self_cpu_time_total", "self_cuda_time_total", "self_device_time_total"):
            raise ValueError(
                f"export_stacks: metric {metric!r} is none of self_cpu_time_total, self_cuda_time_total"
            )
        with open(path, "w", encoding="utf-8") as file:
            for event in self._found:
                spent = int(getattr(event, metric))
                if event.stack and spent > 0:
                    place = ";".join(re.sub(r"[ ;]", "_", line) for line in reversed(event.stack))
                    file.write(f"{place};{event.name} {spent}\n")

    # PyTorch's programs look here, too
    @property
    def profiler(self) -> profile:
        return self

    @property
    def self_cpu_time_total(self) -> float:
        return self._found.self_cpu_time_total

    def total_average(self) -> FunctionEventAvg:
        """The sum of all calls."""
        return self._found.total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """`EventList.table` of the calls themselves."""
        return self._found.table(*args, **kwargs)

    def __iter__(self) -> Iterator:
        return iter(self._found)


__all__ = [
    "ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule", "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip
