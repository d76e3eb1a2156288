"""Python numbers as 0-dim arrays: beside an array, a numpy ufunc takes them at half the cost of a float."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class _Constants(dict):
    """0-dim arrays of one number by numpy dtype."""

    def __init__(self, value: float):
        self.value = value

    def __missing__(self, d: Any) -> Any:
        made = self[d] = np.full((), self.value, d)
        return made


ZERO, ONE, INFINITY = _Constants(0.0), _Constants(1.0), _Constants(math.inf)

_MOST = 4096
_known: dict[Any, dict[float, np.ndarray]] = {np.dtype(np.float32): {}, np.dtype(np.float64): {}}


def zero_dim(number: float, dtype: Any, keep: bool = True) -> Any:
    """A read-only 0-dim array of `number`, in float32 or float64; for other dtypes the number itself.

    `keep`: remember it, for a number that comes again.
    """
    known = _known.get(dtype)
    if known is None:
        return number
    found = known.get(number)
    if found is None:
        found = np.array(number, dtype)
        found.flags.writeable = False
        if keep and number and len(known) < _MOST:  # 0.0 and -0.0 are one key
            known[number] = found
    return found
