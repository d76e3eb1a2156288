"""The gradient of a weight that is multiplied by again and again, as a recurrent net does at every step.

Each use adds a product gᵀ x, as large as the weight, of two matrices of few rows. A rule may leave such a product to the
engine, as the pair (g, x). The first is multiplied at once: most weights have one use. Of the others the rows are
copied, one under the other, and a single product of many rows makes the sum of all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# A rule leaves a product to the engine for a leaf of so many elements, if there are so few rows: else nothing is gained.
LARGE, FEW = 1 << 16, 128
_ROOM = 4 * FEW


def product(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """gᵀ x."""
    return np.dot(pair[0].T, pair[1])


class Sum:
    """The sum of products that are yet to be multiplied."""

    __slots__ = ("left", "right", "rows")

    def __init__(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        g, x = pair
        self.left = np.empty((_ROOM, g.shape[1]), g.dtype)
        self.right = np.empty((_ROOM, x.shape[1]), x.dtype)
        self.rows = 0

    def has_room(self, pair: tuple[np.ndarray, np.ndarray]) -> bool:
        """Whether the rows of another product fit in."""
        return self.rows + len(pair[0]) <= _ROOM

    def add(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        """Copies the rows of a product."""
        g, x = pair
        start = self.rows
        self.rows = stop = start + len(g)
        self.left[start:stop] = g
        self.right[start:stop] = x

    def added_to(self, gradient: Any) -> Any:
        """`gradient` and all the products, which are forgotten."""
        made = np.dot(self.left[: self.rows].T, self.right[: self.rows])
        self.rows = 0
        if type(gradient) is not np.ndarray:  # that of a sparse embedding, say
            return gradient + made
        made += gradient
        return made
