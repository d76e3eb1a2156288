"""Arrays that stand for more than themselves: how `vmap` and forward mode travel through the operations.

A `Batched` array is a tensor with a hidden first dimension that the code between `vmap` and the operations does not
see; a `Dual` array is a tensor with its tangent. Both look to functions like any array (`shape`, `dtype`, …), so
functions check and normalise their arguments as always; only the doors of the operations (`Op.__call__`,
`Pointwise.__call__`) look closer, and hand the call to the *level* that the array belongs to. Levels nest: an array's
`value` may hold an array of an outer level, and the innermost level goes first.

Each level has a tape of its own: the tensor around a `Batched` or `Dual` array has the edges of the derivatives taken
inside the transform, the tensors inside the array those taken outside.

The doors ask `LAYERS` first, which is empty unless some thread is inside a transform.
"""

from __future__ import annotations

from math import prod
from typing import Any

from numpy import dtype, generic, ndarray

from .modes import state

LAYERS: list[Any] = []  # the open levels of all threads


class Level:
    """One transform that is running; a context manager.

    Attributes:
        depth: greater than that of every level around it.
        recorded: whether a derivative outside wants what was computed here: then derivatives taken inside must be
            recorded too.
    """

    name = ""

    def __enter__(self) -> Any:
        self.depth = len(state.layers)
        self.recorded = False
        self.open = True
        state.layers = (*state.layers, self)
        LAYERS.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        self.open = False
        state.layers = state.layers[:-1]
        LAYERS.remove(self)

    def note(self, t: Any) -> None:
        """Looks at a tensor that was computed for this level: does a derivative outside want it?"""
        if not self.recorded and (t._edge is not None or outside_wants(t._a)):
            self.recorded = True

    def lift(self, t: Any) -> Any:
        """The array of a tensor from outside as one of this level: a tape of this level leads no further."""
        raise NotImplementedError

    def composite(self, op: Any, inputs: Any) -> Any:
        """A function of this level's tensors that does the operation by others, or None."""
        return getattr(op, "composed", None)

    def run(self, op: Any, inputs: Any, arrays: Any, attrs: dict) -> Any:
        """The arrays that the operation gives."""
        raise NotImplementedError


class LayerArray:
    """What `Batched` and `Dual` arrays share: they look like the array that a function works on."""

    __slots__ = ("level", "shape", "dtype", "size")
    level: Any
    shape: tuple[int, ...]
    dtype: dtype
    size: int

    def _look_like(self, shape: tuple, of: Any) -> None:
        self.shape, self.dtype, self.size = shape, of.dtype, prod(shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def inner(self) -> Any:
        """The tensor whose memory this is."""
        raise NotImplementedError

    @property
    def place(self) -> Any:
        """The device, as tensors show it."""
        return self.inner.device

    @property
    def device(self) -> Any:
        """The device, as arrays show it."""
        return self.inner._a.device

    @property
    def strides(self) -> tuple:
        """Steps between elements, in elements."""
        return self.inner.stride()

    def get(self) -> Any:
        """The values on the host."""
        raise NotImplementedError

    def detach(self) -> Any:
        """The array that no derivative of any level leads through."""
        raise NotImplementedError

    def copy(self) -> Any:
        """The array in memory of its own."""
        raise NotImplementedError

    def write(self, values: Any) -> None:
        """Copies a tensor into the memory."""
        raise NotImplementedError

    def alike(self, made: Any) -> Any:
        """A new tensor, which has the hidden dimensions of `inner`, with those of this array."""
        raise NotImplementedError

    def for_outside(self) -> Any:
        """The tensor that a leaf from outside of the level may keep as its gradient."""
        raise NotImplementedError

    def text(self) -> str:
        """What `repr` of a tensor shows."""
        raise NotImplementedError


def on_host(a: Any) -> bool:
    """Whether an array lies on the CPU."""
    while isinstance(a, LayerArray):
        a = a.inner._a
    return isinstance(a, (ndarray, generic))


def outside_wants(a: Any) -> bool:
    """Whether a derivative that is taken outside of an array's level leads to it."""
    return isinstance(a, LayerArray) and (
        a.level.recorded or a.inner._edge is not None or outside_wants(a.inner._a)
    )


def recorded() -> bool:
    """Whether a derivative outside of the running transforms wants what is computed in them."""
    return any(level.recorded for level in state.layers)


def top_level(arrays: Any) -> Any:
    """The innermost level that some array belongs to, or None."""
    top = None
    for a in arrays:
        if isinstance(a, LayerArray):
            level = a.level
            if not level.open:
                raise RuntimeError(
                    f"a tensor from inside {level.name} is used after that has returned; return it from the function "
                    "instead of storing it elsewhere"
                )
            if top is None or level.depth > top.depth:
                top = level
    return top


def outermost(t: Any) -> Any:
    """The tensor inside all levels: with the dimensions that vmap hides, without tangents."""
    while isinstance(t._a, LayerArray):
        t = t._a.inner
    return t


def alike(made: Any, a: Any) -> Any:
    """A new tensor with the hidden dimensions that an array has."""
    return a.alike(alike(made, a.inner._a)) if isinstance(a, LayerArray) else made


def write_into(name: str, target: Any, values: Any) -> bool:
    """Writes a tensor into another where one of them belongs to a level; whether that was so."""
    a = target._a
    top = top_level((a, values._a))
    if top is None:
        return False
    if isinstance(a, LayerArray) and a.level is top:
        a.write(values)
    else:
        top.adopt(name, target, values)
    return True
