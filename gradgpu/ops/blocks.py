"""Large arrays on the CPU: a block at a time, which stays in the cache from one numpy call to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

BLOCK = 1 << 17  # numbers: enough to hide what the calls cost, few enough for the cache
_LONG = 512  # numbers a row from which on it costs less to begin each row than to copy rows together
_MANY = 1 << 15  # numbers in all, likewise


def pays(rows: int, n: int) -> bool:
    """Whether several operations on rows of n numbers take less block by block: of short rows only where they fill the cache."""
    return rows * n >= (2 if n >= _LONG else 8) * BLOCK


def row_blocks(rows: int, n: int) -> Iterator[slice]:
    """Slices of rows of n numbers, about `BLOCK` numbers each; multiples of 64 rows where they are many."""
    step = max(1, BLOCK // max(n, 1))
    if step > 64:
        step -= step % 64
    for start in range(0, rows, step):
        yield slice(start, start + step)


class LongRows:
    """Inside, numpy adds and multiplies matrices with rows and columns directly.

    It otherwise copies rows to a buffer of 8192 numbers to have fewer and longer ones, which takes longer than what it
    saves if they are long.
    """

    __slots__ = ("_old", "_pays")

    def __init__(self, n: int, size: int):
        self._pays = n >= _LONG and size >= _MANY

    def __enter__(self) -> None:
        if self._pays:
            self._old = np.setbufsize(16)

    def __exit__(self, *_: Any) -> None:
        if self._pays:
            np.setbufsize(self._old)
