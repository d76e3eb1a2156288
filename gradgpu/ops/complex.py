"""Complex numbers: their parts, arithmetic, and which of the other operations take them.

Gradients are PyTorch's: of a real number L with respect to z = a + bi the gradient is ∂L/∂a + i ∂L/∂b, so the rule of a
holomorphic function multiplies by the conjugate of its derivative, and a real input gets the real part. (Kreutz-Delgado,
"The complex gradient operator and the CR-calculus", 2009.)

Operations on real numbers never come here: `Pointwise` and `Op` send complex inputs, and refuse those for which nothing
below says what to do.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..cuda.array import full
from ..cuda.complex import by_pairs, from_pairs, pairs, part
from ..cuda.complex import pointwise as launch
from ..tensor import Tensor, wrap
from . import conv, index, join, linalg, matrix, moments, pad, scan  # noqa: F401  (whose ops are taught below)
from . import pointwise as _pw
from .convert import cast_op, copy_
from .reduce import require_floating, require_tensor, sum_to_size_op
from .registry import OPS, Op, complex_refused, method
from .shape import transpose

_FLOAT64 = np.dtype(np.float64)


# ---- the parts ----
def _pairs_cpu(x):
    x = np.asarray(x)
    real = x.real.dtype
    if x.flags.c_contiguous and x.ndim:
        return x.view(real).reshape((*x.shape, 2))
    return np.lib.stride_tricks.as_strided(x.real, (*x.shape, 2), (*x.strides, real.itemsize))


def _from_pairs_cpu(x):
    x = np.asarray(x)
    if x.strides[-1] != x.itemsize:
        x = np.ascontiguousarray(x)
    return x.view(np.complex128 if x.dtype == _FLOAT64 else np.complex64)[..., 0]


view_as_real_op = Op("view_as_real", _pairs_cpu, pairs, {"x": lambda g: from_pairs_op(g)}, view=True)
view_as_complex_op = Op(
    "view_as_complex", _from_pairs_cpu, from_pairs, {"x": lambda g: view_as_real_op(g)}, view=True
)
# The same of any memory: a copy where a view cannot be.
from_pairs_op = Op(
    "complex_from_pairs",
    lambda x: _from_pairs_cpu(x),
    lambda x: from_pairs(x),
    {"x": lambda g: view_as_real_op(g)},
)
real_op = Op(
    "real",
    lambda x: np.asarray(x).real,
    lambda x: part(x, False),
    {"x": lambda g, x_dtype: cast_op(g, dtype=x_dtype)},
    view=True,
)
imag_op = Op(
    "imag",
    lambda x: np.asarray(x).imag,
    lambda x: part(x, True),
    {"x": lambda g: imaginary_op(g)},
    view=True,
)


def _complex_cpu(real, imag):
    made = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real.dtype, np.complex64))
    made.real, made.imag = real, imag
    return made


complex_op = Op(
    "complex",
    _complex_cpu,
    lambda real, imag: launch("complex", real, imag),
    {
        "real": lambda g, real_shape: sum_to_size_op(real_op(g), shape=real_shape),
        "imag": lambda g, imag_shape: sum_to_size_op(imag_op(g), shape=imag_shape),
    },
)
# i·x of a real x
imaginary_op = Op(
    "complex_imaginary",
    lambda x: _complex_cpu(np.zeros((), x.dtype), x),
    lambda x: launch("complex_imaginary", x),
    {"x": lambda g: imag_op(g)},
)


# ---- arithmetic ----
def _arithmetic(name: str, cpu: Callable, grad: dict[str, Callable]) -> Op:
    op = Op(name, cpu, lambda *arrays: launch(name, *arrays), grad)
    if name.startswith("complex_"):
        op.node_name = op.node_name.removeprefix("Complex")
    return op


def _sgn_cpu(x):
    size = np.abs(x)
    return np.where(size == 0, x.dtype.type(0), x / np.where(size == 0, size.dtype.type(1), size))


def _sgn_rule(g, x, y):
    # The part of g across the direction y, over |x|; 0 at 0.
    size = abs_op(x)
    zero = size == 0
    return (g - real_op(g * conj_op(y)) * y) * ((size != 0) / (size + zero))


add_op = _arithmetic(
    "complex_add",
    lambda a, b: a + b,
    {
        "a": lambda g, a_shape: sum_to_size_op(g, shape=a_shape),
        "b": lambda g, b_shape: sum_to_size_op(g, shape=b_shape),
    },
)
sub_op = _arithmetic(
    "complex_sub",
    lambda a, b: a - b,
    {
        "a": lambda g, a_shape: sum_to_size_op(g, shape=a_shape),
        "b": lambda g, b_shape: sum_to_size_op(-g, shape=b_shape),
    },
)
mul_op = _arithmetic(
    "complex_mul",
    lambda a, b: a * b,
    {
        "a": lambda g, b, a_shape: sum_to_size_op(g * conj_op(b), shape=a_shape),
        "b": lambda g, a, b_shape: sum_to_size_op(g * conj_op(a), shape=b_shape),
    },
)
div_op = _arithmetic(
    "complex_div",
    lambda a, b: a / b,
    {
        "a": lambda g, b, a_shape: sum_to_size_op(g / conj_op(b), shape=a_shape),
        "b": lambda g, b, y, b_shape: sum_to_size_op(-g * conj_op(y / b), shape=b_shape),
    },
)
neg_op = _arithmetic("complex_neg", lambda x: -x, {"x": lambda g: -g})
conj_op = _arithmetic("conj", lambda x: np.conjugate(x), {"x": lambda g: conj_op(g)})
abs_op = _arithmetic("complex_abs", lambda x: np.abs(x), {"x": lambda g, x: g * sgn_op(x)})
sgn_op = _arithmetic("complex_sgn", _sgn_cpu, {"x": _sgn_rule})
exp_op = _arithmetic("complex_exp", lambda x: np.exp(x), {"x": lambda g, y: g * conj_op(y)})
sqrt_op = _arithmetic("complex_sqrt", lambda x: np.sqrt(x), {"x": lambda g, y: g / (conj_op(y) * 2.0)})


def _log(x):
    return complex_op(_pw.log(abs_op(x)), angle(x))


def _where(condition, a, b):
    chosen = _pw.where_op(condition.unsqueeze(-1), view_as_real_op(a), view_as_real_op(b))
    return from_pairs_op(chosen)


def _power(x, exponent):
    """Whole powers by products, the square root, and others as exp(exponent · log x)."""
    if isinstance(exponent, Tensor) or exponent != int(exponent.real) or builtins.abs(exponent) > 64:
        if not isinstance(exponent, Tensor) and exponent == 0.5:
            return sqrt_op(x)
        if not isinstance(exponent, Tensor):
            exponent = _constant(exponent, x)
        elif exponent.dtype is not x.dtype:
            exponent = exponent.to(x.dtype)
        zero, none = _zero(x), _zero(exponent)
        one = _constant(1, x)
        made = exp_op(mul_op(exponent, _log(_where(zero, one, x))))
        return _where(none, one, _where(zero & ~none, _constant(0, x), made))
    n = int(exponent.real)
    made = None
    for bit in bin(builtins.abs(n))[2:]:
        made = made if made is None else mul_op(made, made)
        if bit == "1":
            made = x if made is None else mul_op(made, x)
    if made is None:
        return x * 0 + 1
    return _reciprocal(made) if n < 0 else made


def _zero(x):
    return _pw.eq(real_op(x), 0.0) & _pw.eq(imag_op(x), 0.0)


def _reciprocal(x):
    return div_op(_constant(1, x), x)


# ---- functions of the parts (Abramowitz & Stegun, chapter 4; the inverse ones as Kahan, "Branch cuts for complex elementary
# functions", 1987, has them) ----
def _times_i(x):
    return complex_op(-imag_op(x), real_op(x))


def _sin(x):
    a, b = real_op(x), imag_op(x)
    return complex_op(_pw.sin(a) * _pw.cosh(b), _pw.cos(a) * _pw.sinh(b))


def _cos(x):
    a, b = real_op(x), imag_op(x)
    return complex_op(_pw.cos(a) * _pw.cosh(b), -(_pw.sin(a) * _pw.sinh(b)))


def _sinh(x):
    a, b = real_op(x), imag_op(x)
    return complex_op(_pw.sinh(a) * _pw.cos(b), _pw.cosh(a) * _pw.sin(b))


def _cosh(x):
    a, b = real_op(x), imag_op(x)
    return complex_op(_pw.cosh(a) * _pw.cos(b), _pw.sinh(a) * _pw.sin(b))


def _tanh(x):
    a, b = _pw.tanh(real_op(x)), _pw.tan(imag_op(x))
    return div_op(complex_op(a, b), complex_op(a * 0.0 + 1.0, a * b))


def _tan(x):
    return neg_op(_times_i(_tanh(_times_i(x))))


def _log1p(x):
    a, b = real_op(x), imag_op(x)
    return complex_op(_pw.log1p(a * (a + 2.0) + b * b) * 0.5, _pw.atan2(b, a + 1.0))


def _expm1(x):
    a, b = real_op(x), imag_op(x)
    half = _pw.sin(b * 0.5)
    return complex_op(_pw.expm1(a) * _pw.cos(b) - 2.0 * half * half, _pw.exp(a) * _pw.sin(b))


def _roots(x):
    """√(1 - x) and √(1 + x); the sign of a zero says on which side of a cut x lies."""
    a, b = real_op(x), imag_op(x)
    return sqrt_op(complex_op(1.0 - a, -b)), sqrt_op(complex_op(1.0 + a, b))


def _asin(x):
    low, high = _roots(x)
    return complex_op(
        _pw.atan2(real_op(x), real_op(mul_op(low, high))), _pw.asinh(imag_op(mul_op(conj_op(low), high)))
    )


def _acos(x):
    low, high = _roots(x)
    return complex_op(
        2.0 * _pw.atan2(real_op(low), real_op(high)), _pw.asinh(imag_op(mul_op(conj_op(high), low)))
    )


def _acosh(x):
    one = _constant(1, x)
    low, high = sqrt_op(x - one), sqrt_op(x + one)
    return complex_op(
        _pw.asinh(real_op(mul_op(conj_op(low), high))), 2.0 * _pw.atan2(imag_op(low), real_op(high))
    )


def _asinh(x):
    return neg_op(_times_i(_asin(_times_i(x))))


def _atanh(x):
    return mul_op(_log1p(x) - _log1p(neg_op(x)), _constant(0.5, x))


def _atan(x):
    return neg_op(_times_i(_atanh(_times_i(x))))


def _scaled(function, factor):
    return lambda x: mul_op(function(x), _constant(factor, x))


def _sigmoid(x):
    one = _constant(1, x)
    return div_op(one, one + exp_op(neg_op(x)))


# What a pointwise operation does with complex operands, which come as tensors of one dtype.
_POINTWISE: dict[str, Callable] = {
    "add": add_op,
    "sub": sub_op,
    "mul": mul_op,
    "div": div_op,
    "neg": neg_op,
    "abs": abs_op,
    "exp": exp_op,
    "sqrt": sqrt_op,
    "log": _log,
    "square": lambda x: mul_op(x, x),
    "reciprocal": _reciprocal,
    "where": _where,
    "pow": _power,
    "eq": lambda a, b: _pw.eq(real_op(a), real_op(b)) & _pw.eq(imag_op(a), imag_op(b)),
    "ne": lambda a, b: _pw.ne(real_op(a), real_op(b)) | _pw.ne(imag_op(a), imag_op(b)),
    "isnan": lambda x: _pw.isnan(real_op(x)) | _pw.isnan(imag_op(x)),
    "isinf": lambda x: _pw.isinf(real_op(x)) | _pw.isinf(imag_op(x)),
    "isfinite": lambda x: _pw.isfinite(real_op(x)) & _pw.isfinite(imag_op(x)),
    "logical_not": _zero,
    "logical_and": lambda a, b: ~(_zero(a) | _zero(b)),
    "logical_or": lambda a, b: ~(_zero(a) & _zero(b)),
    "logical_xor": lambda a, b: _zero(a) ^ _zero(b),
    "lerp": lambda a, b, w: a + w * (b - a),
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "log2": _scaled(_log, 1 / math.log(2)),
    "log10": _scaled(_log, 1 / math.log(10)),
    "log1p": _log1p,
    "expm1": _expm1,
    "exp2": lambda x: exp_op(mul_op(x, _constant(math.log(2), x))),
    "rsqrt": lambda x: _reciprocal(sqrt_op(x)),
    "sigmoid": _sigmoid,
    "silu": lambda x: mul_op(x, _sigmoid(x)),
}


def _constant(value: Any, like: Any) -> Tensor:
    """A number as a 0-dim tensor of the dtype and device of `like`."""
    a = like._a
    if like.is_cpu:
        return wrap(np.asarray(value, a.dtype))
    return wrap(full((), value, a.dtype, a.device))


def pointwise(op: Any, inputs: tuple, attrs: dict) -> Tensor:
    """A pointwise operation some of whose operands are complex."""
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    plain = [x.item() if isinstance(x, np.generic) else x for x in inputs]
    d = dt.result_type(*[x for k, x in enumerate(plain) if k not in op.conditions])
    function = _POINTWISE.get(op.name)
    if function is None or attrs:
        raise complex_refused(op.name, d)
    like = next((t for t in tensors if t.is_cuda), tensors[0])
    operands: list = []
    for k, x in enumerate(plain):
        if isinstance(x, Tensor) and x.device != like.device:
            if x.ndim:
                seen = ", ".join(str(t.device) for t in tensors)
                raise RuntimeError(
                    f"{op.name}: expected all tensors to be on the same device, but found {seen}; "
                    f"move them to one device, e.g. x.to('{like.device}')"
                )
            x = x.to(like.device)
        if k in op.conditions or op.name == "pow" and k == 1:
            operands.append(x)
        elif isinstance(x, Tensor):
            operands.append(x if x.dtype is d else x.to(d))
        else:
            operands.append(_constant(x, _constant(0, like) if like.dtype is d else like.detach().to(d)))
    if len(operands) > 1 and op.name != "pow":
        _pw_shapes(op.name, *[x.shape for x in operands])
    return function(*operands)


def _pw_shapes(name: str, *shapes: Any) -> None:
    """RuntimeError unless the shapes broadcast."""
    from ..cuda.elementwise import broadcast_shapes

    broadcast_shapes(name, *shapes)


# ---- the other operations ----
def _bilinear(name: str, op: Callable) -> Callable:
    """A product of complex operands by four of real ones."""

    def product(a: Any, b: Any, **attrs: Any) -> Tensor:
        if a.dtype is not b.dtype:
            raise RuntimeError(
                f"{name}: expected both tensors to have the same dtype, but got {a.dtype} and {b.dtype}; "
                "convert with .to(dtype)"
            )
        ar, ai, br, bi = real_op(a), imag_op(a), real_op(b), imag_op(b)
        real = op(ar, br, **attrs) - op(ai, bi, **attrs)
        return complex_op(real, op(ar, bi, **attrs) + op(ai, br, **attrs))

    return product


def _complex_dtype(x: Any) -> bool:
    return x is not None and (x._a if isinstance(x, Tensor) else x).dtype.kind == "c"


def by_parts(op: Op) -> Callable:
    """A linear operation on the real and on the imaginary parts; other inputs stay."""

    def composite(*inputs: Any, **attrs: Any) -> Any:
        made = []
        for part_op, part_of in ((real_op, "real"), (imag_op, "imag")):
            operands = [part_op(x) if _complex_dtype(x) else x for x in inputs]
            numbers = {
                name: getattr(value, part_of) if name == "value" else value for name, value in attrs.items()
            }
            made.append(op(*operands, **numbers))
        return complex_op(*made)

    return composite


def _conv2d(x: Any, weight: Any, bias: Any, **attrs: Any) -> Tensor:
    op = OPS["conv2d"]
    made = _bilinear(op.name, lambda a, b, **geometry: op(a, b, None, **geometry))(x, weight, **attrs)
    return made if bias is None else made + bias.reshape((-1, 1, 1))


def _linear(x: Any, weight: Any, bias: Any) -> Tensor:
    made = linalg.matmul(x, transpose(weight, -2, -1))
    return made if bias is None else made + bias


def _teach() -> None:
    """Says which operations take complex numbers, and with which code."""
    # Their code moves elements, or works on any dtype.
    for name in (
        "view", "permute", "expand", "broadcast", "slice", "slice_backward", "cast", "to_device", "clone", "fill", "split",
        "unbind", "diagonal", "diagonal_embed", "flip", "constant_pad",
    ):  # fmt: skip
        OPS[name].complex = OPS[name].cpu, OPS[name].cuda
    # On cuda they work on the parts as on a further dimension.
    for name in (
        "sum", "sum_to_size", "mean", "cat", "stack", "roll", "index_select", "index_add", "index_put",
    ):  # fmt: skip
        OPS[name].complex = OPS[name].cpu, by_pairs(OPS[name].cuda)
    for name in ("mm", "matmul", "dot", "conv2d_input_grad", "conv2d_weight_grad"):
        OPS[name].composite = _bilinear(name, OPS[name])
    OPS["conv2d"].composite = _conv2d
    for name in ("gather", "scatter", "scatter_add", "triangle", "cumsum"):
        OPS[name].composite = by_parts(OPS[name])
    OPS["linear"].composite = _linear
    own = (
        view_as_real_op,
        view_as_complex_op,
        real_op,
        imag_op,
        add_op,
        sub_op,
        mul_op,
        div_op,
        neg_op,
        conj_op,
    )
    for op in (*own, abs_op, sgn_op, exp_op, sqrt_op):
        op.complex = op.cpu, op.cuda


_teach()


# ---- public ----
def _no_parts(name: str, x: Any) -> RuntimeError:
    return RuntimeError(f"{name} is not implemented for tensors with non-complex dtypes, got {x.dtype}")


def is_complex(input: Tensor) -> bool:
    """Whether the dtype of `input` is complex64 or complex128."""
    require_tensor("is_complex", input)
    return input.is_complex()


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """real + i·imag, of two tensors of one dtype, float32 (gives complex64) or float64 (complex128), broadcast together.

    Raises:
        RuntimeError: other or different dtypes, or shapes that do not fit.

    >>> import gradgpu as gg
    >>> gg.complex(gg.tensor([1., 2.]), gg.tensor([3., -4.]))
    tensor([1.+3.j, 2.-4.j])
    """
    require_tensor("complex", real)
    require_tensor("complex", imag)
    for x in (real, imag):
        if x.dtype not in (dt.float32, dt.float64):
            raise RuntimeError(f"complex: expected both inputs to be float32 or float64, got {x.dtype}")
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"complex: expected two tensors of one dtype, got {real.dtype} and {imag.dtype}")
    _pw_shapes("complex", real.shape, imag.shape)
    dt.note_complex()
    return complex_op(real, imag)


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """The complex numbers of this modulus and argument: abs·cos(angle) + i·abs·sin(angle). Dtypes as in `complex`.

    >>> import gradgpu as gg
    >>> gg.polar(gg.tensor([2.]), gg.tensor([0.]))
    tensor([2.+0.j])
    """
    require_floating("polar", abs)
    require_floating("polar", angle)
    return complex(abs * _pw.cos(angle), abs * _pw.sin(angle))


@method
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real one of shape (…, 2), a view: x[..., 0] are the real parts, x[..., 1] the imaginary ones.

    >>> import gradgpu as gg
    >>> gg.view_as_real(gg.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    require_tensor("view_as_real", input)
    if not input.is_complex():
        raise RuntimeError(f"view_as_real is only supported for complex tensors, got {input.dtype}")
    return view_as_real_op(input)


@method
def view_as_complex(input: Tensor) -> Tensor:
    """A real tensor of shape (…, 2) as a complex one of shape (…), a view.

    Raises:
        RuntimeError: not float32 or float64; the last dimension is not of size 2 and stride 1; other strides are odd.

    >>> import gradgpu as gg
    >>> gg.view_as_complex(gg.tensor([[1., 2.]]))
    tensor([1.+2.j])
    """
    require_tensor("view_as_complex", input)
    if input.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"view_as_complex is only supported for float32 and float64 tensors, got {input.dtype}; use x.float()"
        )
    if not input.ndim or input.shape[-1] != 2:
        raise RuntimeError(
            f"view_as_complex: Tensor must have a last dimension of size 2, got shape {tuple(input.shape)}"
        )
    dt.note_complex()
    *steps, last = input.stride()
    if input.numel() and (last != 1 or any(s % 2 for s in steps)):
        raise RuntimeError(
            "view_as_complex: Tensor must have a last dimension with stride 1 and even strides elsewhere, got strides "
            f"{tuple(input.stride())}; use x.contiguous()"
        )
    return view_as_complex_op(input)


def real(input: Tensor) -> Tensor:
    """The real parts: a view of a complex tensor, a real tensor itself. Also `input.real`.

    >>> import gradgpu as gg
    >>> gg.real(gg.tensor([1 + 2j]))
    tensor([1.])
    """
    require_tensor("real", input)
    return real_op(input) if input.is_complex() else input


def imag(input: Tensor) -> Tensor:
    """The imaginary parts of a complex tensor, a view; RuntimeError for a real one. Also `input.imag`.

    >>> import gradgpu as gg
    >>> gg.imag(gg.tensor([1 + 2j]))
    tensor([2.])
    """
    require_tensor("imag", input)
    if not input.is_complex():
        raise _no_parts("imag", input)
    return imag_op(input)


@method
def conj(input: Tensor) -> Tensor:
    """The complex conjugates, in memory of their own; a real tensor itself.

    >>> import gradgpu as gg
    >>> gg.conj(gg.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    require_tensor("conj", input)
    return conj_op(input) if input.is_complex() else input


@method
def conj_physical(input: Tensor) -> Tensor:
    """`conj`, which here always computes."""
    return conj(input)


@method
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: `conj` leaves nothing to be done later."""
    return input


@method
def angle(input: Tensor) -> Tensor:
    """The argument of complex numbers, in radians from -π to π; of real ones π where they are negative, else 0.

    >>> import gradgpu as gg
    >>> gg.angle(gg.tensor([1 + 1j, -1 + 0j]))
    tensor([0.7854, 3.1416])
    """
    require_tensor("angle", input)
    if input.is_complex():
        return _pw.atan2(imag_op(input), real_op(input))
    x = input if input.dtype.is_floating_point else input.to(dt.get_default_dtype())
    return _pw.where_op(x < 0, np.pi, x * 0.0)


def _set_part(name: str) -> property:
    get = {"real": real, "imag": imag}[name]

    def change(self: Any, value: Any) -> None:
        view = get(self)
        copy_(view, value) if isinstance(value, Tensor) else view.fill_(value)

    return property(get, change, doc=f"`gradgpu.{name}` of this tensor; a view that can be assigned to.")


def _conjugate_transpose(self: Any) -> Tensor:
    """The last two dimensions swapped, of complex numbers conjugated."""
    if self.ndim < 2:
        raise RuntimeError(
            f"tensor.mH is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor."
        )
    return conj(transpose(self, -2, -1))


Tensor.real, Tensor.imag = _set_part("real"), _set_part("imag")  # type: ignore[attr-defined]
Tensor.mH = property(_conjugate_transpose)  # type: ignore[attr-defined]
Tensor.H = property(lambda self: conj(self.T))  # type: ignore[attr-defined]
Tensor.is_conj = lambda self: False  # type: ignore[attr-defined]

__all__ = [
    "angle", "complex", "conj", "conj_physical", "imag", "is_complex", "polar", "real", "resolve_conj", "view_as_complex",
    "view_as_real",
]  # fmt: skip
