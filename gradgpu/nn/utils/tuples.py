"""One number for each dimension: what code copied from PyTorch's layers imports from `nn.modules.utils`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def _times(n: int) -> Callable[[Any], tuple]:
    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


_single, _pair, _triple, _quadruple = _times(1), _times(2), _times(3), _times(4)


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    parse = _times(n)
    parse.__name__ = name
    return parse
