"""Discrete Fourier transforms under `torch.fft`'s names, with gradients of any order.

On the CPU they are numpy's (pocketfft). On cuda they are the project's own kernel: powers of two up to 2048 points (float64:
1024) in one pass over memory, up to 4 194 304 (1 048 576) in two; other lengths up to half of that by Bluestein's method.

Dtypes: float32 and float64 give complex64 and complex128; integers and bools count as the default dtype; the half types raise.
`norm` says which direction is scaled: "backward" (the default; the inverse by 1/n), "forward" (the forward one by 1/n),
"ortho" (both by 1/√n).

>>> import gradgpu as gg
>>> gg.fft.fft(gg.tensor([1., 2., 3., 4.]))
tensor([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j])
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes as dt
from .devices import device as Device
from .ops.complex import conj
from .ops.convert import cast_op
from .ops.creation import tensor
from .ops.fft import c2c_op, c2r_op, r2c_op
from .ops.matrix import roll
from .ops.out import install as _install_out
from .ops.reduce import require_tensor
from .ops.shape import basic_index_backward_op, basic_index_op, canonical_dim
from .tensor import Tensor

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn",
    "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

_Sizes = int | Sequence[int] | None

# The scale of a transform with - and with + in the exponent.
_FORWARD = {None: "none", "backward": "none", "forward": "n", "ortho": "sqrt"}
_INVERSE = {None: "n", "backward": "n", "forward": "none", "ortho": "sqrt"}


# ---- arguments ----
def _scale(op: str, norm: Any, inverse: bool) -> str:
    if norm not in _FORWARD:
        raise RuntimeError(
            f'{op}: Invalid normalization mode: {norm!r}; use "backward", "forward" or "ortho"'
        )
    return (_INVERSE if inverse else _FORWARD)[norm]


def _input(op: str, x: Any, kind: str) -> Any:
    """The input as a float or complex tensor: kind 'any', 'complex' (promoted to it) or 'real' (required)."""
    require_tensor(op, x)
    d = x.dtype
    if d.category < dt.FLOAT:
        x = x.to(dt.get_default_dtype())
        d = x.dtype
    if d in (dt.float16, dt.bfloat16):
        raise RuntimeError(f"{op}: Unsupported dtype {d}; convert it first, e.g. x.float()")
    if kind == "real" and d.is_complex:
        raise RuntimeError(f"{op} expects a real input tensor, but got {d}; use it on x.real, or take fft")
    if kind == "complex" and not d.is_complex:
        x = cast_op(x, dtype=d.to_complex().np)
    return x


def _length(op: str, n: int) -> int:
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"{op}(): the number of data points must be int, not {type(n).__name__}") from None
    if n < 1:
        raise RuntimeError(f"{op}: Invalid number of data points ({n}) specified; there must be at least one")
    return n


def _dim(op: str, x: Any, dim: int) -> int:
    if not x.ndim:
        raise IndexError(f"{op}: Dimension specified as {dim} but tensor has no dimensions")
    return canonical_dim(dim, x.ndim, op)


def _resized(x: Any, n: int, dim: int) -> Any:
    """Cut off, or continued with zeros, to n positions."""
    have = x.shape[dim]
    index = (*(slice(None),) * dim, slice(0, min(n, have)))
    if have > n:
        return basic_index_op(x, index=index)
    if have < n:
        shape = (*x.shape[:dim], n, *x.shape[dim + 1 :])
        return basic_index_backward_op(x, shape=shape, index=index)
    return x


def _dims(op: str, x: Any, s: _Sizes, dim: _Sizes) -> tuple[list[int], list[int | None]]:
    """The dimensions, and the size asked for in each (None: as it is)."""
    sizes = None if s is None else [s] if isinstance(s, (int, np.integer)) else list(s)
    if dim is not None:
        dims = [canonical_dim(d, x.ndim, op) for d in ([dim] if isinstance(dim, (int, np.integer)) else dim)]
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"{op}: FFT dims must be unique, got {dim}")
        if sizes is not None and len(sizes) != len(dims):
            raise RuntimeError(
                f"{op}: When given, dim and shape arguments must have the same length, got dim={dim} and s={s}"
            )
    elif sizes is None:
        dims = list(range(x.ndim))
    else:
        if len(sizes) > x.ndim:
            raise RuntimeError(
                f"{op}: Got shape with {len(sizes)} values but input tensor only has {x.ndim} dimensions."
            )
        dims = list(range(x.ndim - len(sizes), x.ndim))
    if sizes is None:
        return dims, [None] * len(dims)
    return dims, [None if n == -1 else n for n in sizes]


# ---- one dimension ----
def _one(op: str, input: Any, n: int | None, dim: int, norm: Any, inverse: bool) -> Tensor:
    x = _input(op, input, "any")
    dim = _dim(op, x, dim)
    x = _resized(x, _length(op, x.shape[dim] if n is None else n), dim)
    return c2c_op(x, dims=(dim,), inverse=inverse, norm=_scale(op, norm, inverse))


def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The transform X[k] = Σ x[j] exp(-2πi jk/n) along `dim`; of real input all n points of it too.

    Args:
        input: (…, m, …), real or complex.
        n: the length; the input is cut off, or continued with zeros. Default: m.
        norm: see the module.

    Raises:
        RuntimeError: n < 1, a half dtype, an unknown norm. IndexError: no such dimension.

    >>> import gradgpu as gg
    >>> gg.fft.fft(gg.tensor([1., 0., 0.]), n=2)
    tensor([1.+0.j, 1.+0.j])
    """
    return _one("fft", input, n, dim, norm, False)


def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `fft`: (1/n) Σ X[k] exp(2πi jk/n); arguments as there.

    >>> import gradgpu as gg
    >>> gg.fft.ifft(gg.tensor([1 + 0j, 1 + 0j]))
    tensor([1.+0.j, 0.+0.j])
    """
    return _one("ifft", input, n, dim, norm, True)


def _half(op: str, input: Any, n: int | None, dim: int, scale: str) -> Tensor:
    x = _input(op, input, "real")
    dim = _dim(op, x, dim)
    x = _resized(x, _length(op, x.shape[dim] if n is None else n), dim)
    return r2c_op(x, dim=dim, norm=scale, weight=1.0)


def _whole(op: str, x: Any, n: int | None, dim: int, scale: str) -> Tensor:
    n = _length(op, 2 * (x.shape[dim] - 1) if n is None else n)
    return c2r_op(_resized(x, n // 2 + 1, dim), dim=dim, n=n, norm=scale, weight=2.0)


def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The first n // 2 + 1 points of the `fft` of real input: the others are their conjugates.

    Raises RuntimeError for complex input, and as `fft`.

    >>> import gradgpu as gg
    >>> gg.fft.rfft(gg.tensor([1., 2., 3., 4.]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j])
    """
    return _half("rfft", input, n, dim, _scale("rfft", norm, False))


def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `rfft`: n real numbers (by default an even number, 2 (m - 1)) of the m points of half a spectrum.

    The imaginary parts of the first point and, for even n, the last one do not count.

    >>> import gradgpu as gg
    >>> gg.fft.irfft(gg.fft.rfft(gg.tensor([1., 2., 3.])), n=3)
    tensor([1., 2., 3.])
    """
    x = _input("irfft", input, "complex")
    return _whole("irfft", x, n, _dim("irfft", x, dim), _scale("irfft", norm, True))


def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The `fft`, n real numbers, of a signal of which `input` is the first half and that is Hermitian: x[-j] = conj(x[j]).

    >>> import gradgpu as gg
    >>> gg.fft.hfft(gg.tensor([1 + 0j, 1 + 0j]))
    tensor([2., 0.])
    """
    x = conj(_input("hfft", input, "complex"))
    return _whole("hfft", x, n, _dim("hfft", x, dim), _scale("hfft", norm, False))


def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`: the first n // 2 + 1 points of the `ifft` of real input.

    >>> import gradgpu as gg
    >>> gg.fft.ihfft(gg.tensor([2., 0.]))
    tensor([1.-0.j, 1.-0.j])
    """
    return conj(_half("ihfft", input, n, dim, _scale("ihfft", norm, True)))


# ---- several dimensions ----
def _many(op: str, input: Any, s: _Sizes, dim: _Sizes, norm: Any, inverse: bool) -> Tensor:
    x = _input(op, input, "any")
    dims, sizes = _dims(op, x, s, dim)
    scale = _scale(op, norm, inverse)
    for d, n in zip(dims, sizes):
        x = _resized(x, _length(op, x.shape[d] if n is None else n), d)
    return c2c_op(x, dims=tuple(dims), inverse=inverse, norm=scale) if dims else _input(op, x, "complex")


def fftn(input: Tensor, s: _Sizes = None, dim: _Sizes = None, norm: str | None = None) -> Tensor:
    """`fft` along several dimensions: `dim`, by default all, or the last ones if only their sizes `s` are given.

    Args:
        s: the size in each dimension, -1 for what it is; the input is cut off or continued with zeros.

    >>> import gradgpu as gg
    >>> gg.fft.fftn(gg.ones(2, 2))
    tensor([[4.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    return _many("fftn", input, s, dim, norm, False)


def ifftn(input: Tensor, s: _Sizes = None, dim: _Sizes = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _many("ifftn", input, s, dim, norm, True)


def rfftn(input: Tensor, s: _Sizes = None, dim: _Sizes = None, norm: str | None = None) -> Tensor:
    """`fftn` of real input; of the last of the dimensions the first half, as in `rfft`.

    >>> import gradgpu as gg
    >>> gg.fft.rfftn(gg.ones(4, 4)).shape
    gradgpu.Size([4, 3])
    """
    x = _input("rfftn", input, "real")
    dims, sizes = _dims("rfftn", x, s, dim)
    if not dims:
        raise RuntimeError("rfftn must transform at least one axis")
    scale = _scale("rfftn", norm, False)
    for d, n in zip(dims, sizes):
        x = _resized(x, _length("rfftn", x.shape[d] if n is None else n), d)
    y = r2c_op(x, dim=dims[-1], norm=scale, weight=1.0)
    return c2c_op(y, dims=tuple(dims[:-1]), inverse=False, norm=scale) if len(dims) > 1 else y


def irfftn(input: Tensor, s: _Sizes = None, dim: _Sizes = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`; the size of the last of the dimensions is by default even, as in `irfft`."""
    x = _input("irfftn", input, "complex")
    dims, sizes = _dims("irfftn", x, s, dim)
    if not dims:
        raise RuntimeError("irfftn must transform at least one axis")
    scale = _scale("irfftn", norm, True)
    for d, n in zip(dims[:-1], sizes):
        x = _resized(x, _length("irfftn", x.shape[d] if n is None else n), d)
    if len(dims) > 1:
        x = c2c_op(x, dims=tuple(dims[:-1]), inverse=True, norm=scale)
    return _whole("irfftn", x, sizes[-1], dims[-1], scale)


def fft2(input: Tensor, s: _Sizes = None, dim: _Sizes = (-2, -1), norm: str | None = None) -> Tensor:
    """`fftn` along two dimensions, by default the last two."""
    return _many("fft2", input, s, dim, norm, False)


def ifft2(input: Tensor, s: _Sizes = None, dim: _Sizes = (-2, -1), norm: str | None = None) -> Tensor:
    """`ifftn` along two dimensions, by default the last two."""
    return _many("ifft2", input, s, dim, norm, True)


def rfft2(input: Tensor, s: _Sizes = None, dim: _Sizes = (-2, -1), norm: str | None = None) -> Tensor:
    """`rfftn` along two dimensions, by default the last two."""
    return rfftn(input, s, dim, norm)


def irfft2(input: Tensor, s: _Sizes = None, dim: _Sizes = (-2, -1), norm: str | None = None) -> Tensor:
    """`irfftn` along two dimensions, by default the last two."""
    return irfftn(input, s, dim, norm)


def hfftn(input: Tensor, s: _Sizes = None, dim: _Sizes = None, norm: str | None = None) -> Tensor:
    """`fftn` of a signal that is Hermitian along the last of the dimensions, of which the first half is given: real.

    >>> import gradgpu as gg
    >>> gg.fft.hfftn(gg.fft.ihfftn(gg.tensor([[1., 2.], [3., 4.]])), s=(2, 2))
    tensor([[1., 2.],
            [3., 4.]])
    """
    x = _input("hfftn", input, "complex")
    dims, sizes = _dims("hfftn", x, s, dim)
    if not dims:
        raise RuntimeError("hfftn must transform at least one axis")
    scale = _scale("hfftn", norm, False)
    for d, n in zip(dims[:-1], sizes):
        x = _resized(x, _length("hfftn", x.shape[d] if n is None else n), d)
    if len(dims) > 1:
        x = c2c_op(x, dims=tuple(dims[:-1]), inverse=False, norm=scale)
    return _whole("hfftn", conj(x), sizes[-1], dims[-1], scale)


def ihfftn(input: Tensor, s: _Sizes = None, dim: _Sizes = None, norm: str | None = None) -> Tensor:
    """`ifftn` of real input; of the last of the dimensions the first half.

    >>> import gradgpu as gg
    >>> gg.fft.ihfftn(gg.ones(4, 4)).shape
    gradgpu.Size([4, 3])
    """
    x = _input("ihfftn", input, "real")
    dims, sizes = _dims("ihfftn", x, s, dim)
    if not dims:
        raise RuntimeError("ihfftn must transform at least one axis")
    scale = _scale("ihfftn", norm, True)
    for d, n in zip(dims, sizes):
        x = _resized(x, _length("ihfftn", x.shape[d] if n is None else n), d)
    y = conj(r2c_op(x, dim=dims[-1], norm=scale, weight=1.0))
    return c2c_op(y, dims=tuple(dims[:-1]), inverse=True, norm=scale) if len(dims) > 1 else y


def hfft2(input: Tensor, s: _Sizes = None, dim: _Sizes = (-2, -1), norm: str | None = None) -> Tensor:
    """`hfftn` along two dimensions, by default the last two."""
    return hfftn(input, s, dim, norm)


def ihfft2(input: Tensor, s: _Sizes = None, dim: _Sizes = (-2, -1), norm: str | None = None) -> Tensor:
    """`ihfftn` along two dimensions, by default the last two."""
    return ihfftn(input, s, dim, norm)


# ---- frequencies ----
def _frequencies(op: str, k: np.ndarray, n: int, d: float, how: dict) -> Tensor:
    unknown = set(how) - {"dtype", "device", "requires_grad"}
    if unknown:
        raise TypeError(f"{op}() got unexpected keyword arguments {sorted(unknown)}")
    kind = dt.get_default_dtype() if how.get("dtype") is None else dt.as_dtype(how["dtype"])
    where = how.get("device")
    return tensor(
        (k / (n * d)).astype(kind.np),
        dtype=kind,
        device=None if where is None else Device(where),
        requires_grad=bool(how.get("requires_grad")),
    )


def fftfreq(n: int, d: float = 1.0, **how: Any) -> Tensor:
    """The frequencies of the n points of `fft`, in cycles by unit of the spacing `d`: 0, 1, …, -2, -1 over n·d.

    `how`: dtype, device, requires_grad.

    >>> import gradgpu as gg
    >>> gg.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    n = _length("fftfreq", n)
    return _frequencies("fftfreq", (np.arange(n) + n // 2) % n - n // 2, n, d, how)


def rfftfreq(n: int, d: float = 1.0, **how: Any) -> Tensor:
    """The frequencies of the n // 2 + 1 points of `rfft`; arguments as in `fftfreq`.

    >>> import gradgpu as gg
    >>> gg.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    n = _length("rfftfreq", n)
    return _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, how)


def _shifted(op: str, input: Any, dim: _Sizes, inverse: bool) -> Tensor:
    require_tensor(op, input)
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, (int, np.integer)) else dim
    dims = [canonical_dim(d, input.ndim, op) for d in dims]
    if not input.ndim:
        return input.clone()
    sizes = [input.shape[d] for d in dims]
    return roll(input, tuple([(n + 1) // 2 if inverse else n // 2 for n in sizes]), tuple(dims))


def fftshift(input: Tensor, dim: _Sizes = None) -> Tensor:
    """Puts the frequency zero into the middle of `dim` (by default of all dimensions).

    >>> import gradgpu as gg
    >>> gg.fft.fftshift(gg.tensor([0, 1, -2, -1]))
    tensor([-2, -1,  0,  1])
    """
    return _shifted("fftshift", input, dim, False)


def ifftshift(input: Tensor, dim: _Sizes = None) -> Tensor:
    """The inverse of `fftshift`.

    >>> import gradgpu as gg
    >>> gg.fft.ifftshift(gg.tensor([-2, -1,  0,  1]))
    tensor([ 0,  1, -2, -1])
    """
    return _shifted("ifftshift", input, dim, True)


_install_out(globals(), [name for name in __all__ if name not in ("fftshift", "ifftshift")])
