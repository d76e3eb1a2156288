"""Means, variances, products, norms and log-sum-exp over any dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..cuda.reduction import reduce_cuda
from ..tensor import Tensor
from . import pointwise as _pw
from .extrema import amax, amin
from .reduce import (
    broadcast_op,
    keep,
    reduced_dims,
    require_floating,
    require_tensor,
    spread,
    sum_dtype,
    sum_op,
)
from .registry import Op, method
from .sums import float_sum, in_range

__all__ = ["logsumexp", "mean", "norm", "prod", "std", "std_mean", "var", "var_mean"]


def _wide(x: Any) -> Any:
    """Half types as float32, in which reductions of them are computed."""
    return x if x.dtype.itemsize > 2 else x.astype(np.float32)


def _count(shape: tuple[int, ...], dims: tuple[int, ...]) -> int:
    return math.prod([shape[d] for d in dims])


def _axis(x: Any, dims: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if len(dims) == x.ndim else dims


# ---- mean ----
def _mean_cpu(x, *, dims, keepdim):
    n = x.size if len(dims) == x.ndim else _count(x.shape, dims)
    if x.dtype.itemsize > 2:
        total = float_sum(x, dims, keepdim)
        return total / n if n else total * np.nan
    total = np.add.reduce(x, axis=_axis(x, dims), keepdims=keepdim, dtype=np.float32)
    return (total / n if n else total * np.float32(np.nan)).astype(x.dtype)


def _mean_cuda(x, *, dims, keepdim):
    n = _count(x.shape, dims)
    return reduce_cuda("mean", x, dims, keepdim, (x.dtype,), 1 / n if n else math.nan)


mean_op = Op(
    "mean",
    cpu=_mean_cpu,
    cuda=_mean_cuda,
    grad={
        "x": lambda g, x_shape, *, dims, keepdim: spread(
            g / max(_count(x_shape, dims), 1), x_shape, dims, keepdim
        )
    },
)


@method
def mean(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: dt.dtype | None = None,
) -> Tensor:
    """The mean over `dim` (an int, a tuple of ints, or None for all dimensions) of a floating-point tensor.

    With `dtype` the input is converted first.

    >>> import gradgpu as gg
    >>> gg.mean(gg.tensor([[1., 2.], [3., 4.]]), dim=1)
    tensor([1.5000, 3.5000])
    """
    require_tensor("mean", input)
    if dtype is not None and input.dtype is not dtype:
        input = input.to(dtype)
    if input._a.dtype.kind not in "fVc":
        raise RuntimeError(
            "mean: could not infer output dtype. Input dtype must be a floating point dtype. "
            f"Got: {input.dtype}; pass dtype=gradgpu.float32 or convert with x.float()"
        )
    return mean_op(input, dims=reduced_dims("mean", dim, input.ndim), keepdim=keepdim)


# ---- variance and standard deviation ----
def _var_mean_cpu(x, *, dims, keepdim, correction):
    axis, d = _axis(x, dims), x.dtype
    x = _wide(x)
    n = _count(x.shape, dims)
    if not n:
        nan = np.add.reduce(x, axis=axis, keepdims=keepdim) * x.dtype.type(np.nan)
        return nan.astype(d), nan.astype(d)
    m = float_sum(x, dims, True) / n
    centred = x - m
    free = n - correction
    v = float_sum(centred * centred, dims, keepdim)
    v = v / free if free > 0 else v * x.dtype.type(np.inf)
    return v.astype(d, copy=False), (m if keepdim else m.reshape(v.shape)).astype(d, copy=False)


def _var_mean_cuda(x, *, dims, keepdim, correction):
    return reduce_cuda("variance", x, dims, keepdim, (x.dtype, x.dtype), correction)


def _std_mean_cpu(x, *, dims, keepdim, correction):
    v, m = _var_mean_cpu(_wide(x), dims=dims, keepdim=keepdim, correction=correction)
    return np.sqrt(v).astype(x.dtype, copy=False), m.astype(x.dtype, copy=False)


def _std_mean_cuda(x, *, dims, keepdim, correction):
    v, m = _var_mean_cuda(x, dims=dims, keepdim=keepdim, correction=correction)
    return _pw.sqrt(v), m


def _moments_grad(x, weight, g1, y1, dims, keepdim):
    """weight · (x − mean) + g1 / n, where either gradient may be missing."""
    shape = x.shape
    made = None
    if weight is not None:
        made = (x - keep(y1, shape, dims, keepdim)) * keep(weight, shape, dims, keepdim)
    if g1 is not None:
        of_mean = spread(g1 / max(_count(shape, dims), 1), shape, dims, keepdim)
        made = of_mean if made is None else made + of_mean
    return made


def _free(shape, dims, correction):
    free = _count(shape, dims) - correction
    return free if free > 0 else 0.0


def _divided(g, y):
    """g / y, and 0 where y is 0, in further derivatives, too."""
    zero = _pw.eq(y, 0.0)
    return _pw.where_op(zero, 0.0, g / _pw.where_op(zero, 1.0, y))


def _var_mean_rule(g0, g1, x, y1, *, dims, keepdim, correction):
    free = _free(x.shape, dims, correction)
    weight = None if g0 is None else g0 * (2.0 / free if free else math.nan)
    return _moments_grad(x, weight, g1, y1, dims, keepdim)


def _std_mean_rule(g0, g1, x, y0, y1, *, dims, keepdim, correction):
    free = _free(x.shape, dims, correction)
    weight = None
    if g0 is not None:  # a deviation of 0 has no derivative: 0, as in PyTorch
        weight = _divided(g0 * (1.0 / free if free else math.nan), y0)
    return _moments_grad(x, weight, g1, y1, dims, keepdim)


var_mean_op = Op("var_mean", cpu=_var_mean_cpu, cuda=_var_mean_cuda, grad={"x": _var_mean_rule})
std_mean_op = Op("std_mean", cpu=_std_mean_cpu, cuda=_std_mean_cuda, grad={"x": _std_mean_rule})


def _moments(
    name: str, op: Op, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> Any:
    require_floating(name, input)
    if isinstance(dim, bool):  # var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None:
            raise TypeError(f"{name}: pass 'correction' or 'unbiased', not both")
        correction = int(unbiased)
    dims = reduced_dims(name, dim, input.ndim)
    return op(input, dims=dims, keepdim=keepdim, correction=1 if correction is None else correction)


@method
def var(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over `dim`: the sum of squared deviations divided by n − `correction` (1 by default).

    `unbiased=False` is the older way to say `correction=0`.

    >>> import gradgpu as gg
    >>> gg.var(gg.tensor([1., 2., 3., 4.]), correction=0)
    tensor(1.2500)
    """
    return _moments("var", var_mean_op, input, dim, unbiased, correction, keepdim)[0]


@method
def std(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation over `dim`; arguments as in `var`.

    >>> import gradgpu as gg
    >>> gg.std(gg.tensor([1., 3.]), correction=0)
    tensor(1.)
    """
    return _moments("std", std_mean_op, input, dim, unbiased, correction, keepdim)[0]


def var_mean(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean over `dim` in one pass; arguments as in `var`.

    >>> import gradgpu as gg
    >>> gg.var_mean(gg.tensor([1., 3.]), correction=0)
    (tensor(1.), tensor(2.))
    """
    return _moments("var_mean", var_mean_op, input, dim, unbiased, correction, keepdim)


def std_mean(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over `dim` in one pass; arguments as in `var`.

    >>> import gradgpu as gg
    >>> gg.std_mean(gg.tensor([1., 3.]), correction=0)
    (tensor(1.), tensor(2.))
    """
    return _moments("std_mean", std_mean_op, input, dim, unbiased, correction, keepdim)


# ---- product ----
def _prod_cpu(x, *, dims, keepdim):
    axis, kind = _axis(x, dims), x.dtype.kind
    if kind in "biu":
        return np.multiply.reduce(x, axis=axis, keepdims=keepdim, dtype=np.int64)
    return np.multiply.reduce(_wide(x), axis=axis, keepdims=keepdim).astype(x.dtype, copy=False)


def _others(x: Any, nonzero: Any, zeros: Any, product: Any) -> Any:
    """The product of the others: by division where nothing is zero, the product itself at the only zero."""
    at_zero = _pw.where_op(_pw.eq(zeros, 1), product, 0.0)
    elsewhere = _pw.where_op(_pw.eq(zeros, 0), product / nonzero, 0.0)
    return _pw.where_op(_pw.eq(x, 0.0), at_zero, elsewhere)


def _prod_others_cpu(x, *, dims):
    wide = _wide(x)
    zero = wide == 0
    nonzero = np.where(zero, wide.dtype.type(1), wide)
    product = np.multiply.reduce(nonzero, axis=dims, keepdims=True)
    zeros = np.add.reduce(zero, axis=dims, keepdims=True, dtype=np.int64)
    return _others(wide, nonzero, zeros, product).astype(x.dtype, copy=False)


def _prod_others_cuda(x, *, dims):
    zero = _pw.eq(x, 0.0)
    nonzero = _pw.where_op(zero, 1.0, x)
    product = reduce_cuda("prod", nonzero, dims, True, (x.dtype,))
    zeros = reduce_cuda("sum", zero, dims, True, (np.dtype(np.int64),))
    at_zero = _pw.where_op(_pw.eq(zeros, 1), product, 0.0)
    elsewhere = _pw.where_op(_pw.eq(zeros, 0), _pw.div(product, nonzero), 0.0)
    return _pw.where_op(zero, at_zero, elsewhere)


def _off_diagonal_cpu(x, *, fill):
    made = x.copy()
    i = np.arange(x.shape[1])
    made[:, i, i] = fill
    return made


def _off_diagonal_cuda(x, *, fill):
    from ..cuda.elementwise import fill as write

    made = x.copy()
    outer, n, _, inner = x.shape
    write(made.as_strided((outer, n, inner), (n * n * inner, (n + 1) * inner, 1)), fill)
    return made


# x of shape (outer, n, n, inner) with `fill` on the diagonals of the middle dimensions.
off_diagonal_op = Op(
    "off_diagonal",
    cpu=_off_diagonal_cpu,
    cuda=_off_diagonal_cuda,
    grad={"x": lambda g: off_diagonal_op(g, fill=0.0)},
)


def _prod_others_rule(g, x, *, dims):
    # d others_i / d x_j is the product without i and j: an n × n table, for second derivatives only.
    shape = x.shape
    if not shape:
        return g * 0.0
    outer, n = math.prod(shape[: dims[0]]), _count(shape, dims)
    inner = math.prod(shape) // max(outer * n, 1)
    square = (outer, n, n, inner)
    table = off_diagonal_op(broadcast_op(x.reshape((outer, 1, n, inner)), shape=square), fill=1.0)
    h = broadcast_op(g.reshape((outer, n, 1, inner)), shape=square)
    parts = off_diagonal_op(h * prod_others_op(table, dims=(2,)), fill=0.0)
    return sum_op(parts, dims=(1,), keepdim=False).reshape(shape)


# The product over dims (all, or one) of all elements but the one at hand.
prod_others_op = Op(
    "prod_others", cpu=_prod_others_cpu, cuda=_prod_others_cuda, grad={"x": _prod_others_rule}
)
prod_op = Op(
    "prod",
    cpu=_prod_cpu,
    cuda=lambda x, *, dims, keepdim: reduce_cuda("prod", x, dims, keepdim, (sum_dtype(x.dtype),)),
    grad={
        "x": lambda g, x, *, dims, keepdim: spread(g, x.shape, dims, keepdim) * prod_others_op(x, dims=dims),
    },
)


@method
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dt.dtype | None = None
) -> Tensor:
    """The product of the elements along `dim`, or of all. Integers and bools give int64.

    The gradient is right where elements are zero, too.

    >>> import gradgpu as gg
    >>> gg.prod(gg.tensor([[1., 2.], [3., 4.]]), dim=0)
    tensor([3., 8.])
    """
    require_tensor("prod", input)
    if dtype is not None:
        dtype = dt.as_dtype(dtype)
        if input.dtype is not dtype:
            input = input.to(dtype)
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"prod: argument 'dim' must be an int, got {dim}; reduce one dimension after another")
    made = prod_op(input, dims=reduced_dims("prod", dim, input.ndim), keepdim=keepdim)
    return made if dtype is None or dtype.category >= dt.FLOAT else made.to(dtype)


# ---- log-sum-exp ----
def _logsumexp_cpu(x, *, dims, keepdim):
    axis, wide = _axis(x, dims), _wide(x)
    if not x.size:
        made = np.add.reduce(wide, axis=axis, keepdims=keepdim) - wide.dtype.type(np.inf)
        return made.astype(x.dtype, copy=False)
    if x.size >= 4096:  # see `in_range`
        with np.errstate(over="ignore", invalid="ignore"):
            total = float_sum(np.exp(wide), dims, keepdim)
            if in_range(total):
                return np.log(total).astype(x.dtype, copy=False)
    top = np.maximum.reduce(wide, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, wide.dtype.type(0))
    made = np.log(np.add.reduce(np.exp(wide - top), axis=axis, keepdims=True)) + top
    if not keepdim:
        made = made.reshape(tuple([n for i, n in enumerate(x.shape) if i not in dims]))
    return made.astype(x.dtype, copy=False)


def _logsumexp_rule(g, x, y, x_dtype, *, dims, keepdim):
    shape = x.shape
    y = keep(y, shape, dims, keepdim)
    y = _pw.where_op(_pw.eq(y, -math.inf), 0.0, y)  # an empty sum: exp(-inf - 0) = 0, not NaN
    share = _pw.exp(x - y)
    if x_dtype.itemsize == 2:  # y is rounded to far less than x - y needs
        share = _divided(share, sum_op(share, dims=dims, keepdim=True))
    return keep(g, shape, dims, keepdim) * share


logsumexp_op = Op(
    "logsumexp",
    cpu=_logsumexp_cpu,
    cuda=lambda x, *, dims, keepdim: reduce_cuda("logsumexp", x, dims, keepdim, (x.dtype,)),
    grad={"x": _logsumexp_rule},
)


@method
def logsumexp(input: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow.

    >>> import gradgpu as gg
    >>> gg.logsumexp(gg.tensor([1000., 1000.]), dim=0)
    tensor(1000.6932)
    """
    require_tensor("logsumexp", input)
    if input.dtype.category < dt.FLOAT:
        input = input.to(dt.get_default_dtype())
    return logsumexp_op(input, dims=reduced_dims("logsumexp", dim, input.ndim), keepdim=keepdim)


# ---- norms ----
def _norm2_cpu(x, *, dims, keepdim):
    wide = _wide(x)
    return np.sqrt(np.add.reduce(wide * wide, axis=_axis(x, dims), keepdims=keepdim)).astype(
        x.dtype, copy=False
    )


def _norm2_rule(g, x, y, *, dims, keepdim):
    shape = x.shape
    return x * keep(_divided(g, y), shape, dims, keepdim)  # subgradient 0 at the origin


norm2_op = Op(
    "norm2",
    cpu=_norm2_cpu,
    cuda=lambda x, *, dims, keepdim: reduce_cuda("norm2", x, dims, keepdim, (x.dtype,)),
    grad={"x": _norm2_rule},
)


@method
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: dt.dtype | None = None,
) -> Tensor:
    """The p-norm over `dim` (None: of the flattened tensor): (Σ |x|^p)^(1/p).

    `p` is a number, `inf` (greatest absolute value), `-inf` (least), 0 (count of non-zeros), "fro" (2) or, over two
    dimensions, "nuc" (the sum of the singular values).

    >>> import gradgpu as gg
    >>> gg.norm(gg.tensor([3., -4.])), gg.norm(gg.tensor([3., -4.]), p=1)
    (tensor(5.), tensor(7.))
    """
    require_tensor("norm", input)
    if dtype is not None and input.dtype is not dtype:
        input = input.to(dtype)
    if input.dtype.is_complex and p != "nuc":
        input = _pw.abs(input)
    require_floating("norm", input)
    if p is None or p == "fro":
        p = 2.0
    elif p == "nuc":
        from ..linalg import matrix_norm

        over: Any = tuple(range(input.ndim)) if dim is None else dim
        return matrix_norm(input, "nuc", dim=over, keepdim=keepdim)
    elif isinstance(p, str):
        raise RuntimeError(
            f"norm: p must be a number, 'fro' or 'nuc', got {p!r}; for matrix norms see gradgpu.linalg"
        )
    dims = reduced_dims("norm", dim, input.ndim)
    if p == 2:
        return norm2_op(input, dims=dims, keepdim=keepdim)
    size = _pw.abs(input)
    if p == 1:
        return sum_op(size, dims=dims, keepdim=keepdim)
    if p == math.inf:
        return amax(size, dims, keepdim)
    if p == -math.inf:
        return amin(size, dims, keepdim)
    if p == 0:
        return sum_op(_pw.ne(input, 0.0).to(input.dtype), dims=dims, keepdim=keepdim)
    wide = size.to(dt.float32) if size.itemsize == 2 else size
    if p < 1:  # the power has no slope at 0: a subgradient of 0
        zero = _pw.eq(wide, 0.0)
        powers = _pw.where_op(zero, 0.0 if p > 0 else math.inf, _pw.pow(_pw.where_op(zero, 1.0, wide), p))
    else:
        powers = _pw.pow(wide, p)
    total = sum_op(powers, dims=dims, keepdim=keepdim)
    none = _pw.eq(total, 0.0)
    made = _pw.where_op(none, 0.0 if p > 0 else math.inf, _pw.pow(_pw.where_op(none, 1.0, total), 1.0 / p))
    return made.to(size.dtype)
