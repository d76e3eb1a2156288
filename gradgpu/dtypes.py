"""Element types, their names in numpy and in CUDA C++, and PyTorch's promotion rules.

>>> import gradgpu as gg
>>> gg.promote_types(gg.int64, gg.float16)
gradgpu.float16
>>> gg.result_type(gg.ones(3, dtype=gg.int32), 2.5)
gradgpu.float32
"""

from __future__ import annotations

import builtins
from functools import cache
from typing import Any

import numpy as np

# Categories of PyTorch's promotion lattice: a higher category wins over a lower one.
BOOL, INTEGER, FLOAT, COMPLEX = 0, 1, 2, 3


class dtype:
    """An element type. There is one object for each, so `is` compares them.

    `name` is PyTorch's, `np` numpy's dtype, `cname` the C++ type in kernels, `suffix` the
    ending of kernel names, `itemsize` the size in bytes.
    """

    __slots__ = ("name", "cname", "suffix", "itemsize", "category", "_np")

    def __init__(self, name: str, cname: str, suffix: str, itemsize: builtins.int, category: builtins.int):
        self.name, self.cname, self.suffix, self.itemsize, self.category = (
            name,
            cname,
            suffix,
            itemsize,
            category,
        )
        self._np: np.dtype | None = np.dtype(name) if name not in _LATE else None

    @property
    def np(self) -> np.dtype:
        if self._np is None:
            self._np = _numpy_of(self)
            FROM_NUMPY[self._np] = self
        return self._np

    @property
    def is_floating_point(self) -> builtins.bool:
        return self.category == FLOAT

    @property
    def is_complex(self) -> builtins.bool:
        return self.category == COMPLEX

    def to_real(self) -> dtype:
        """The dtype of the real part; itself if it is not complex."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex dtype with such a real part, complex64 for the half types."""
        if self.category < FLOAT:
            raise TypeError(f"to_complex: {self!r} is neither floating-point nor complex")
        return self if self.is_complex else complex128 if self is float64 else complex64

    @property
    def is_signed(self) -> builtins.bool:
        return self.name not in ("uint8", "bool")

    def __repr__(self) -> str:
        return f"gradgpu.{self.name}"

    def __reduce__(self) -> str:
        return self.name


# Known to numpy's dtypes when first used: bfloat16 because its import costs time, the complex ones so that
# no operation need look for complex numbers in a program that has none.
_LATE = ("bfloat16", "complex64", "complex128")
complex_seen = False  # whether this program has used a complex dtype


def _numpy_of(d: dtype) -> np.dtype:
    """The numpy dtype of a dtype that is used for the first time."""
    global complex_seen
    if d.is_complex:
        complex_seen = True
        return np.dtype(d.name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


float32 = dtype("float32", "float", "f32", 4, FLOAT)
float64 = dtype("float64", "double", "f64", 8, FLOAT)
float16 = dtype("float16", "__half", "f16", 2, FLOAT)
bfloat16 = dtype("bfloat16", "__nv_bfloat16", "bf16", 2, FLOAT)
int8 = dtype("int8", "int8", "i8", 1, INTEGER)
int16 = dtype("int16", "int16", "i16", 2, INTEGER)
int32 = dtype("int32", "int", "i32", 4, INTEGER)
int64 = dtype("int64", "int64", "i64", 8, INTEGER)
uint8 = dtype("uint8", "uint8", "u8", 1, INTEGER)
bool = dtype("bool", "bool", "b8", 1, BOOL)
complex64 = dtype("complex64", "c64", "c64", 8, COMPLEX)
complex128 = dtype("complex128", "c128", "c128", 16, COMPLEX)
float, double, half = float32, float64, float16
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128

# Every dtype but the complex ones, which only the operations of ops/complex.py and ops/fft.py know.
ALL = (float32, float64, float16, bfloat16, int8, int16, int32, int64, uint8, bool)
FLOATS = (float32, float64, float16, bfloat16)
INTS = (int64, int32, int16, int8, uint8)
COMPLEXES = (complex64, complex128)
FROM_NUMPY: dict[np.dtype, dtype] = {d.np: d for d in ALL if d is not bfloat16}


def note_complex() -> None:
    """Lets operations look for complex numbers from now on, also where no program has named their dtypes."""
    _ = complex64.np


_default = float32


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors made from Python numbers (float32 unless changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Sets the dtype of new floating-point tensors; `d` must be a floating-point dtype."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype: only floating-point dtypes can be the default, got {d!r}")
    _default = d


def from_numpy_dtype(d: Any) -> dtype:
    """gradgpu's dtype for a numpy dtype; TypeError if there is none."""
    found = FROM_NUMPY.get(d)
    if found is None:
        try:
            d = np.dtype(d)
        except (TypeError, ValueError) as error:
            raise TypeError(f"expected a dtype such as gradgpu.float32, got {d!r}") from error
        late = next((x for x in (bfloat16, *COMPLEXES) if x.name == d.name and d.isnative), None)
        if late is not None:
            return FROM_NUMPY.setdefault(late.np, late)
        found = FROM_NUMPY.get(d.newbyteorder("="))
        if found is None:
            names = ", ".join(x.name for x in (*ALL, *COMPLEXES))
            raise TypeError(
                f"gradgpu has no dtype for numpy's {d}; convert the array first, e.g. "
                f"array.astype('float32'); supported: {names}"
            )
    return found


def as_dtype(d: Any) -> dtype:
    """Accepts a gradgpu dtype, a numpy dtype, or Python's float (float64, as in PyTorch), int, bool, complex (complex128)."""
    if isinstance(d, dtype):
        return d
    if d is _py_float:
        return float64
    if d is _py_int:
        return int64
    if d is _py_bool:
        return bool
    if d is builtins.complex:
        return complex128
    if isinstance(d, str):
        raise TypeError(f"dtype must be a gradgpu dtype such as gradgpu.{d}, got the string {d!r}")
    return from_numpy_dtype(d)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that both convert to, by PyTorch's lattice.

    >>> import gradgpu as gg
    >>> gg.promote_types(gg.uint8, gg.int8), gg.promote_types(gg.float16, gg.bfloat16)
    (gradgpu.int16, gradgpu.float32)
    """
    a, b = type1, type2
    if a is b:
        return a
    if a.category != b.category:
        high, low = (a, b) if a.category > b.category else (b, a)
        return complex128 if high is complex64 and low is float64 else high
    if a.category == FLOAT:
        return float32 if a.itemsize == b.itemsize else (a if a.itemsize > b.itemsize else b)
    if a is uint8 or b is uint8:
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return a if a.itemsize > b.itemsize else b


def _combine(high: dtype | None, low: dtype | None) -> dtype | None:
    """Joins a result of higher priority with one of lower, which counts only if its category is higher."""
    if high is None or low is None:
        return high or low
    if low.category == COMPLEX and high.category == FLOAT:
        return high.to_complex()  # which keeps the precision of the tensor with dimensions
    return promote_types(high, low) if low.category > high.category else high


def result_type(*operands: Any, **named: Any) -> dtype:
    """The dtype of arithmetic between tensors, dtypes and Python scalars, as PyTorch has it.

    Tensors with dimensions decide; a 0-dim tensor counts only if its category (bool < integer <
    floating point < complex) is higher, a Python scalar likewise after those.
    """
    if named:  # PyTorch names them tensor1 and tensor2, tensor and other, scalar and tensor, …
        unknown = set(named) - {"tensor1", "tensor2", "tensor", "other", "scalar", "scalar1", "scalar2"}
        if unknown:
            raise TypeError(f"result_type() got unexpected keyword arguments {sorted(unknown)}")
        operands = (*operands, *named.values())
    dims = zero = scalar = None
    for x in operands:
        if isinstance(x, dtype):
            dims = x if dims is None else promote_types(dims, x)
        elif isinstance(x, _py_bool):
            scalar = bool if scalar is None else promote_types(scalar, bool)
        elif isinstance(x, _py_int):
            scalar = int64 if scalar is None else promote_types(scalar, int64)
        elif isinstance(x, _py_float):
            scalar = _default if scalar is None else promote_types(scalar, _default)
        elif isinstance(x, builtins.complex):
            scalar = _default.to_complex()
        elif x.ndim:
            dims = x.dtype if dims is None else promote_types(dims, x.dtype)
        else:
            zero = x.dtype if zero is None else promote_types(zero, x.dtype)
    found = _combine(_combine(dims, zero), scalar)
    if found is None:
        raise TypeError("result_type: at least one operand is needed")
    return found


@cache
def _float_limits(d: dtype) -> tuple[Any, ...]:
    if d is bfloat16:
        import ml_dtypes

        info: Any = ml_dtypes.finfo(d.np)
    else:
        info = np.finfo(d.np)
    limits = (info.eps, info.max, info.min, info.tiny, info.resolution)
    return tuple([_py_float(v) for v in limits])


class finfo:
    """Machine limits of a floating-point dtype (of a complex one, those of its parts): `eps`, `max`, `min`, `tiny`, `smallest_normal`, `bits`, `resolution`.

    >>> import gradgpu as gg
    >>> gg.finfo(gg.float16).max
    65504.0
    """

    def __init__(self, d: Any = None):
        d = as_dtype(d or _default).to_real()
        if not d.is_floating_point:
            raise TypeError(f"finfo: needs a floating-point dtype, got {d!r}; use iinfo for integers")
        self.dtype, self.bits = d.name, d.itemsize * 8
        self.eps, self.max, self.min, self.tiny, self.resolution = _float_limits(d)
        self.smallest_normal = self.tiny

    def __repr__(self) -> str:
        return f"finfo(eps={self.eps:g}, max={self.max:g}, min={self.min:g}, tiny={self.tiny:g}, dtype={self.dtype})"


class iinfo:
    """Limits of an integer dtype: `max`, `min`, `bits`."""

    def __init__(self, d: Any):
        d = as_dtype(d)
        if d.category != INTEGER:
            raise TypeError(f"iinfo: needs an integer dtype, got {d!r}; use finfo for floating point")
        info = np.iinfo(d.np)
        self.dtype, self.bits, self.max, self.min = (
            d.name,
            d.itemsize * 8,
            _py_int(info.max),
            _py_int(info.min),
        )

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def can_cast(from_: dtype, to: dtype) -> Any:
    """Whether in-place arithmetic may write values of dtype `from_` into a tensor of dtype `to`."""
    return from_.category <= to.category


# The names float, int and bool mean dtypes in this module, as they do in the public API.
_py_float, _py_int, _py_bool = builtins.float, builtins.int, builtins.bool
