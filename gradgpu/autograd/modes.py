"""Whether operations are recorded: thread-local modes, as context managers and decorators."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any


class _State(threading.local):
    grad = True  # operations are recorded
    inference = False
    anomaly = False  # nodes remember where they were made; backward looks for NaN
    check_nan = True
    saved_hooks: tuple = ()  # (pack, unpack) pairs of saved_tensors_hooks, the innermost last
    no_saved_hooks: str | None = None  # why saved_tensors_hooks are refused here
    mutations: Any = None  # what `allow_mutation_on_saved_tensors` keeps
    autocast: Any = None  # what `amp.autocast` says here
    layers: tuple = ()  # the transforms that run in this thread (autograd/layers.py), the innermost last
    depth = 0  # gradient rules of Functions inside one another: each may run a pass of its own
    task: Any = None  # the pass that runs, if some hook may ask
    running: Any = None  # in anomaly mode, the node whose gradient rule runs
    multithreading = True  # what `set_multithreading_enabled` was told
    special = False  # anomaly mode, hooks on saved tensors or autocast: operations take the long way


state = _State()
# Not empty while some thread is in inference mode, or special: then `state.inference`, `state.special` tell. (A look at
# a list costs a fifth of a look at what belongs to a thread.)
INFERRING: list[None] = []
SPECIAL: list[None] = []
MODES: list[None] = []  # not empty while one of these is not, or some thread does not record: `state.grad`


def set_recording(mode: bool) -> None:
    """Sets `state.grad`."""
    if mode is not state.grad:
        if mode:
            MODES.pop()
        else:
            MODES.append(None)
        state.grad = mode


class _InferenceCell:
    """The version of tensors made in inference mode: they have none, so nothing can be saved with it."""

    def __getitem__(self, index: int) -> int:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
            "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use "
            "it in autograd, or use `gradgpu.no_grad()` instead of `gradgpu.inference_mode()`."
        )


INFERENCE: Any = _InferenceCell()


def note_special() -> None:
    """Sets `state.special` after a change of what it depends on."""
    special = state.anomaly or bool(state.saved_hooks) or state.autocast is not None
    if special and not state.special:
        MODES.append(None)
        SPECIAL.append(None)
    elif state.special and not special:
        SPECIAL.pop()
        MODES.pop()
    state.special = special


def is_grad_enabled() -> bool:
    """Whether operations in this thread are recorded for backward."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return state.inference


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on in this thread."""
    return state.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, where it is on, looks for NaN in this thread."""
    return state.check_nan


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Turns anomaly detection in this thread on or off; see `detect_anomaly`."""
    _set_anomaly(bool(mode), check_nan)


class _Mode:
    """A context manager that is also a decorator (of functions and generator functions)."""

    def __call__(self, function: Any) -> Any:
        if inspect.isclass(function):
            import warnings

            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
                "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
                "method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                # The mode holds while the generator runs, not while its consumer does.
                with self.clone():
                    inner = function(*args, **kwargs)
                go_on, value = inner.send, None
                while True:
                    try:
                        with self.clone():
                            item = go_on(value)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        go_on, value = inner.send, (yield item)
                    except GeneratorExit:
                        with self.clone():
                            inner.close()
                        raise
                    except BaseException as error:  # thrown in by the consumer: the generator may handle it
                        go_on, value = inner.throw, error

            return generator

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapper

    def clone(self) -> Any:
        return type(self)()


class no_grad(_Mode):
    """Nothing is recorded inside: results do not require grad.

    >>> import gradgpu as gg
    >>> x = gg.ones(2, requires_grad=True)
    >>> with gg.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    mode = False

    def __new__(cls, function: Any = None) -> Any:
        self = super().__new__(cls)
        if function is None:
            return self
        return self(function)  # used as @no_grad without parentheses

    def __enter__(self) -> None:
        self.before = state.grad
        set_recording(self.mode)

    def __exit__(self, *exc: Any) -> None:
        set_recording(self.before)


class enable_grad(no_grad):
    """Operations are recorded inside, also within a `no_grad` block."""

    mode = True


class set_grad_enabled(_Mode):
    """Turns recording on or off at once; as a context manager, until the block ends.

    >>> import gradgpu as gg
    >>> x = gg.ones(2, requires_grad=True)
    >>> with gg.set_grad_enabled(False):
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self, mode: bool):
        self.mode, self.before = bool(mode), state.grad
        set_recording(self.mode)

    def __enter__(self) -> None:
        set_recording(self.mode)

    def __exit__(self, *exc: Any) -> None:
        set_recording(self.before)

    def __call__(self, function: Any) -> Any:
        set_recording(self.before)  # as a decorator it acts in the calls, not here
        return super().__call__(function)

    def clone(self) -> Any:
        return set_grad_enabled(self.mode)


class inference_mode(_Mode):
    """Like `no_grad`, and what is made inside is marked: an inference tensor has no version, cannot be saved for
    backward and cannot be changed in place outside. `inference_mode(False)` is normal mode inside inference mode.

    >>> import gradgpu as gg
    >>> with gg.inference_mode():
    ...     x = gg.ones(2)
    >>> x.is_inference(), x.clone().is_inference()
    (True, False)
    """

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if callable(mode):
            self.mode = True
            return self(mode)
        return self

    def __init__(self, mode: bool = True):
        self.mode = bool(mode)

    def __enter__(self) -> None:
        self.before = state.grad, state.inference
        MODES.append(None)
        INFERRING.append(None)
        state.inference = self.mode
        set_recording(not self.mode)

    def __exit__(self, *exc: Any) -> None:
        recording, state.inference = self.before
        set_recording(recording)
        INFERRING.pop()
        MODES.pop()

    def clone(self) -> Any:
        return inference_mode(self.mode)


def _set_anomaly(mode: bool, check_nan: bool) -> None:
    state.anomaly, state.check_nan = mode, check_nan
    note_special()


class set_detect_anomaly(_Mode):
    """Backward raises where a gradient becomes NaN and shows the forward code that made the operation.

    Costs a stack trace an operation: for debugging only.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self.mode, self.nan = bool(mode), check_nan
        self.before = state.anomaly, state.check_nan
        _set_anomaly(self.mode, check_nan)

    def __enter__(self) -> None:
        _set_anomaly(self.mode, self.nan)

    def __exit__(self, *exc: Any) -> None:
        _set_anomaly(*self.before)

    def clone(self) -> Any:
        return set_detect_anomaly(self.mode, self.nan)


class detect_anomaly(set_detect_anomaly):
    """`set_detect_anomaly(True)` for a block."""

    def __init__(self, check_nan: bool = True):
        self.mode, self.nan = True, check_nan
        self.before = state.anomaly, state.check_nan

    def __enter__(self) -> None:
        self.before = state.anomaly, state.check_nan
        super().__enter__()

    def clone(self) -> Any:
        return detect_anomaly(self.nan)
