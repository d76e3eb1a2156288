"""`Future`: a value that comes later, from another thread; `collect_all` and `wait_all` for many.

>>> import gradgpu as gg
>>> first = gg.futures.Future()
>>> second = first.then(lambda done: done.value() + 1)
>>> first.set_result(1)
>>> second.wait()
2
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value that is set once, which any thread may wait for.

    Args:
        devices: accepted; values on cuda are ordered by their stream.

    Raises:
        RuntimeError: a second result.

    >>> future = Future()
    >>> future.done()
    False
    >>> future.set_result(3)
    >>> future.done(), future.value()
    (True, 3)
    """

    def __init__(self, *, devices: Any = None):
        self._changed = threading.Condition()
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done

    def wait(self) -> T:
        """The result, once it is there; an exception that was set is raised."""
        with self._changed:
            self._changed.wait_for(self.done)
        return self.value()

    def value(self) -> T:
        """The result of a future that is done; an exception that was set is raised."""
        if not self._done:
            raise RuntimeError("Future.value(): there is no result yet; use wait()")
        if self._error is not None:
            raise self._error
        return self._result

    def _finish(self, result: Any, error: BaseException | None) -> None:
        with self._changed:
            if self._done:
                raise RuntimeError("Future: a result or an exception is set already")
            self._result, self._error, self._done = result, error, True
            waiting, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in waiting:
            callback(self)

    def set_result(self, result: T) -> None:
        """Sets the value, wakes those who wait, and runs the callbacks."""
        self._finish(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Sets an exception, which `wait` and `value` raise."""
        if not isinstance(result, BaseException):
            raise TypeError(f"set_exception: {result!r} is of type {type(result).__name__}, not an Exception")
        self._finish(None, result)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """`callback(future)` runs when the future is done, at once if it is."""
        with self._changed:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future[T]], Any]) -> Future:
        """A future with what `callback(future)` returns or raises."""
        made: Future = Future()

        def run(future: Future) -> None:
            try:
                result = callback(future)
            except Exception as error:
                made.set_exception(error)
            else:
                made.set_result(result)

        self.add_done_callback(run)
        return made


def collect_all(futures: list[Future]) -> Future:
    """A future with the list of `futures`, done when they all are.

    >>> one, two = Future(), Future()
    >>> both = collect_all([one, two])
    >>> one.set_result(1), two.set_result(2)
    (None, None)
    >>> [future.value() for future in both.wait()]
    [1, 2]
    """
    made: Future = Future()
    lock, missing = threading.Lock(), len(futures)
    if not futures:
        made.set_result([])

    def count(_: Future) -> None:
        nonlocal missing
        with lock:
            missing -= 1
            last = not missing
        if last:
            made.set_result(list(futures))

    for future in futures:
        future.add_done_callback(count)
    return made


def wait_all(futures: list[Future]) -> list:
    """The results of all `futures`, once they are there; the first exception is raised.

    >>> one = Future()
    >>> one.set_result(1)
    >>> wait_all([one])
    [1]
    """
    return [future.value() for future in collect_all(futures).wait()]
