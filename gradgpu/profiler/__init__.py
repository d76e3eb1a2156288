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
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any

from .events import EventList, FunctionEvent, FunctionEventAvg
from .recorder import _active, _Recorder


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
    from .. import cuda

    return {ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda.is_available() else [])}


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
