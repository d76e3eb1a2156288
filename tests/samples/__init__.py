"""The format of samples: what an op takes, what it must give, and what it must refuse.

One file a family (`tests/samples/<family>.py`) holds `OPS: list[OpSamples]`; tests/test_samples.py
expands every sample over device, dtype, memory layout and order of differentiation:

    OPS = [
        OpSamples(
            "softmax", gg.softmax,
            samples=[Sample(In(3, 5), dim=1), Sample(In(), dim=0), Sample(In(0, 4), dim=1)],
            reference=lambda x, dim: scipy_like_softmax(x, dim),
            errors=[Bad(In(3), dim=2, raises=IndexError, match="out of range")],
        ),
    ]
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("uint8", "int8", "int16", "int32", "int64")


class In:
    """An input tensor: uniform random values in [low, high), or exactly `values`.

    Args:
        shape: its shape; no argument means 0-dim.
        low, high: bounds of the values, -1 and 1 by default; of integers -4 and 5 (unsigned: 0 and 5).
        dtype: None for the dtype under test, or a fixed one: "int64", "bool", "float32"…
        grad: whether a gradient is checked for it (floating dtypes only).
        values: the values themselves, an array-like, instead of a shape.
    """

    def __init__(
        self,
        *shape: int,
        low: float | None = None,
        high: float | None = None,
        dtype: str | None = None,
        grad: bool = True,
        values: Any = None,
    ):
        self.values = None if values is None else np.asarray(values)
        self.shape = tuple(shape) if self.values is None else self.values.shape
        self.low, self.high, self.dtype, self.grad = low, high, dtype, grad

    def dtype_under(self, dtype: str) -> str:
        """The dtype that this input has when the op is tested in `dtype`."""
        return self.dtype or dtype

    def is_floating(self, dtype: str) -> bool:
        return self.dtype_under(dtype) in FLOATS

    def draw(self, rng: np.random.Generator, dtype: str) -> np.ndarray:
        """Values for one test, exactly representable in the input's dtype."""
        kind = self.dtype_under(dtype)
        if self.values is not None:
            return self.values.astype(numpy_dtype(kind))
        if kind in FLOATS:
            low, high = -1 if self.low is None else self.low, 1 if self.high is None else self.high
            return np.asarray(rng.uniform(low, high, self.shape)).astype(numpy_dtype(kind))
        if kind == "bool":
            return np.asarray(rng.integers(0, 2, self.shape)).astype(bool)
        low, high = (0 if kind == "uint8" else -4) if self.low is None else self.low, self.high
        return np.asarray(rng.integers(int(low), 5 if high is None else int(high), self.shape)).astype(kind)

    def __repr__(self) -> str:
        parts = [str(n) for n in self.shape]
        if self.dtype:
            parts.append(f"dtype={self.dtype!r}")
        return f"In({', '.join(parts)})"


class Sample:
    """One call: the arguments of the public function, each tensor described by an `In`.

    `In` may stand in lists and tuples at any depth, and among the keyword arguments.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.args, self.kwargs = args, kwargs

    def inputs(self) -> list[In]:
        """Every `In` of the call, in order."""
        found: list[In] = []
        self.build(found.append)
        return found

    def build(self, make: Callable[[In], Any]) -> tuple[tuple, dict[str, Any]]:
        """(args, kwargs) with each `In` replaced by `make(In)`, in order."""
        return tuple(_fill(a, make) for a in self.args), {k: _fill(v, make) for k, v in self.kwargs.items()}

    def __repr__(self) -> str:
        parts = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


class Bad(Sample):
    """A call that must raise `raises` with a message that matches `match` (a regular expression)."""

    def __init__(
        self, *args: Any, raises: type[Exception] | tuple[type[Exception], ...], match: str, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.raises, self.match = raises, match


@dataclass
class OpSamples:
    """A public function, its samples and what they are held against.

    Attributes:
        name: name of the op (that of its `Op` where there is one).
        function: the public function.
        samples: calls that must work on every device, dtype and layout.
        reference: the same computed by numpy in float64 (fixed dtypes stay): called with arrays in
            the places of tensors, returns an array or a tuple of arrays. None: the op has no
            closed form to hold against (random ops); devices are still compared with each other.
        dtypes: dtypes that `In`s without a fixed dtype take.
        errors: calls that must raise.
        differentiable: whether gradients are checked.
        second_order: whether gradients of gradients are checked; False only where documented.
        finite_differences: whether gradients are held against them; False where the function is not smooth
            at their step, or random.
        tolerance: {dtype: (rtol, atol)} where the op needs other than the default tolerances.
        same_dtype: whether floating results have the dtype under test (casts do not).
        layouts: whether inputs in other memory layouts are tried; False for functions that see no memory.
        ops: names of other `Op`s that these samples exercise (fused backward kernels are found by
            themselves; name what only an attribute or a shape reaches).
    """

    name: str
    function: Callable[..., Any]
    samples: Sequence[Sample]
    reference: Callable[..., Any] | None = None
    dtypes: Sequence[str] = FLOATS
    errors: Sequence[Bad] = ()
    differentiable: bool = True
    second_order: bool = True
    finite_differences: bool = True
    tolerance: dict[str, tuple[float, float]] = field(default_factory=dict)
    same_dtype: bool = True
    layouts: bool = True
    ops: Sequence[str] = ()
    family: str = ""

    def __post_init__(self) -> None:
        self.differentiable = self.differentiable and any(d in FLOATS for d in self.dtypes)

    @property
    def id(self) -> str:
        return f"{self.family}.{self.name}"


def numpy_dtype(name: str) -> np.dtype:
    """The numpy dtype of a dtype's name; "bfloat16" is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def families() -> Iterator[str]:
    """Names of the sample files."""
    return (module.name for module in pkgutil.iter_modules(__path__))


def load(family: str) -> list[OpSamples]:
    """The samples of one family."""
    ops = importlib.import_module(f"{__name__}.{family}").OPS
    for op in ops:
        op.family = family
    return ops


def _fill(value: Any, make: Callable[[In], Any]) -> Any:
    if isinstance(value, In):
        return make(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, (In, list, tuple)) for v in value):
        return type(value)(_fill(v, make) for v in value)
    return value
