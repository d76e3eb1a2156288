"""Measuring: which calls of Python functions are operations, and what of each is noted."""

from __future__ import annotations

import inspect
import os
import re
import sys
import threading
import time
from math import prod
from typing import Any

from ..ops.pointwise_op import Pointwise
from ..ops.registry import Op
from ..optim.optimizer import Optimizer
from ..tensor import Tensor
from .events import FunctionEvent

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OPERATIONS = tuple(_HERE + part for part in ("ops" + os.sep, "nn" + os.sep + "functions" + os.sep, "linalg.py", "fft.py", "special.py", "sparse" + os.sep))  # fmt: skip


# ---- which calls are operations ----
def _values(frame: Any) -> dict[str, Any]:
    return frame.f_locals


def _of_op(frame: Any) -> str:
    return "aten::" + _values(frame)["self"].name


def _of_door(frame: Any) -> str:
    return "aten::" + _values(frame)["op"].name


def _of_short_way(frame: Any) -> str:
    way = _values(frame)["self"]
    if hasattr(way, "name"):
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
        from .. import cuda

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
