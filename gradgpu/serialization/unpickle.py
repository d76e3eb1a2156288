"""Reading pickles: restricted to tensors and plain containers, or, for files that the caller trusts, anything.

A pickle is a program. The restricted reader knows the few classes below and those that the caller declared safe
(:func:`add_safe_globals`); it calls nothing else and changes no object but those it made.
"""

from __future__ import annotations

import builtins
import collections
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, ClassVar

from .. import dtypes as dt
from ..devices import device as Device
from ..tensor import Size
from .safetensors_file import NAMES

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals", "unpickler"]

_safe: dict[tuple[str, str], Any] = {}
_blocks: list[
    dict[tuple[str, str], Any]
] = []  # the same, of each block of `safe_globals` that some thread is in


def _key(entry: Any) -> tuple[tuple[str, str], Any]:
    if isinstance(entry, tuple):  # (class, "module.name") where a file knows it by another name
        module, _, name = entry[1].rpartition(".")
        return (module, name), entry[0]
    return (entry.__module__, entry.__qualname__), entry


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let :func:`gradgpu.load` read objects of these classes: their ``__new__`` and ``__setstate__`` may then run.

    Args:
        safe_globals: classes or functions, or pairs of one and the name by which the file knows it.

    Example:
        >>> import argparse, gradgpu as gg, io
        >>> gg.serialization.add_safe_globals([argparse.Namespace])
        >>> buffer = io.BytesIO()
        >>> gg.save(argparse.Namespace(lr=0.1), buffer)
        >>> _ = buffer.seek(0)
        >>> gg.load(buffer)
        Namespace(lr=0.1)
        >>> gg.serialization.clear_safe_globals()
    """
    _safe.update(_key(entry) for entry in safe_globals)


def clear_safe_globals() -> None:
    """Forget what :func:`add_safe_globals` declared."""
    _safe.clear()


def get_safe_globals() -> list[Any]:
    """What :func:`add_safe_globals` declared."""
    return list(_all_safe().values())


def _all_safe() -> dict[tuple[str, str], Any]:
    found = dict(_safe)
    for block in (*_blocks,):
        found.update(block)
    return found


@contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """:func:`add_safe_globals` for the body of a ``with`` statement."""
    block = dict(_key(entry) for entry in safe_globals)
    _blocks.append(block)
    try:
        yield
    finally:
        _blocks.remove(block)  # or one of another thread that says the same


def _function(make: Callable) -> Callable:
    """A function of our own around a class: a file that sets attributes of what it names hits that, not the class."""
    return lambda *args: make(*args)


def _plain(module: str, name: str) -> Any:
    """What the restricted reader knows by itself, or None."""
    if module == "collections" and name in ("OrderedDict", "Counter", "deque"):
        return getattr(collections, name)
    if (module, name) == ("collections", "defaultdict"):
        return _function(_defaultdict)
    if module in ("builtins", "__builtin__") and name in (
        "set",
        "frozenset",
        "bytearray",
        "complex",
        "list",
        "dict",
        "int",
        "float",
    ):
        return getattr(builtins, name)
    if (module, name) == ("_codecs", "encode"):
        return _function(_encode)
    if module in ("torch", "gradgpu.tensor") and name == "Size":
        return _function(Size)
    if module in ("torch", "gradgpu.devices") and name == "device":
        return _function(Device)
    if module == "torch" and name in NAMES:
        return getattr(dt, name)
    return None


def _defaultdict(factory: Any = None, *args: Any) -> Any:
    if factory not in (None, list, dict, set, int, float):
        raise pickle.UnpicklingError(f"a defaultdict of {factory!r}")
    return collections.defaultdict(factory, *args)


def _encode(text: str, encoding: str) -> bytes:
    """How bytes are written by old protocols."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


class _Reader:
    """What both unpicklers share: where they ask for classes (`known`) and for what lies outside the pickle (`persistent`)."""

    def __init__(
        self, file: BinaryIO, known: Callable[[str, str], Any], persistent: Callable[[Any], Any]
    ) -> None:
        super().__init__(file)  # type: ignore[call-arg]
        self._known, self._persistent = known, persistent

    def persistent_load(self, pid: Any) -> Any:
        return self._persistent(pid)


class _Restricted(_Reader, pickle._Unpickler):
    """Written in Python, where the instruction that sets attributes can be looked at."""

    dispatch: ClassVar[dict[int, Callable]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        for found in (self._known(module, name), _plain(module, name), _all_safe().get((module, name))):
            if found is not None:
                return found
        raise pickle.UnpicklingError(
            f"it refers to {module}.{name}, and only tensors and plain containers are loaded. Load it with weights_only=False "
            "if you trust where the file comes from: it can then run any code; or declare what it refers to with "
            f"gradgpu.serialization.add_safe_globals([{name}])"
        )

    def load_build(self) -> None:
        target = self.stack[-2]  # type: ignore[attr-defined]
        if (
            type(target) in (collections.OrderedDict, collections.Counter)
            or type(target) in get_safe_globals()
        ):
            pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]
            return
        raise pickle.UnpicklingError(f"it sets attributes of a {type(target).__name__}")

    dispatch[pickle.BUILD[0]] = load_build


class _Trusting(_Reader, pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = self._known(module, name)
        if found is None:
            found = _plain(module, name)
        if found is not None:
            return found
        if module == "torch" or module.startswith("torch."):
            return _ours(module, name)
        return super().find_class(module, name)


def _ours(module: str, name: str) -> Any:
    """What gradgpu has under PyTorch's name: torch.optim.adam.Adam is gradgpu.optim.adam.Adam."""
    places = ["gradgpu" + module[len("torch") :]]
    if module.startswith("torch.nn.modules."):  # which layer is in which file differs
        places += ["gradgpu.nn", "gradgpu.nn.layers.attention"]
    elif module.startswith("torch._C"):
        places += ["gradgpu.nn.functional", "gradgpu"]
    for place in places:
        try:
            found: Any = import_module(place)
            for part in name.split("."):
                found = getattr(found, part)
            return found
        except (ImportError, AttributeError):
            continue
    raise pickle.UnpicklingError(f"it refers to {module}.{name}, which gradgpu does not have")


def unpickler(
    file: BinaryIO, trusted: bool, known: Callable[[str, str], Any], persistent: Callable[[Any], Any]
) -> Any:
    """A reader of one pickle after the other: ``known(module, name)`` comes before its own classes; ``.load()``."""
    return partial(_Trusting if trusted else _Restricted, known=known, persistent=persistent)(file)
