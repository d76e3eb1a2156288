"""Products of vectors, matrices and batches of matrices.

Three ops make them all: `mm` (matrices, either of them transposed by a flag; leading dimensions count as
rows), `matmul` (batches, broadcast) and `linear` (x Wᵀ + b). Each is closed under differentiation: the
gradients of a product are products of the same factors with other flags, so nothing is copied.
Half types are summed in float32 and rounded once; integers wrap as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, next_sequence
from ..autograd.products import FEW, LARGE
from ..cuda.gemm import fold, gemm, unfold
from ..tensor import Tensor, wrap
from .reduce import sum_to_size_op
from .registry import Op, method, older_form, refuse_others, with_foreign
from .saved import Saving, from_saved, unpack
from .sums import float_sum, ones

# linear is nn.functional's.
__all__ = [
    "addmm",
    "addmv",
    "baddbmm",
    "bmm",
    "dot",
    "dsmm",
    "inner",
    "matmul",
    "mm",
    "mv",
    "outer",
    "spmm",
    "tensordot",
    "vdot",
]


def _check_types(name: str, *arrays: Any) -> None:
    """One dtype for all, and not bool."""
    dtype = arrays[0].dtype
    for x in arrays:
        if x is not None and x.dtype != dtype:
            seen = ", ".join(str(v.dtype) for v in arrays if v is not None)
            raise RuntimeError(
                f"{name}: expected all tensors to have the same dtype, but got {seen}; convert with .to(dtype)"
            )
    if dtype.kind == "b":
        raise RuntimeError(f"{name}: not implemented for bool; convert with .to(gradgpu.int64) or .float()")


def _mismatch(name: str, a: tuple, b: tuple, why: str = "") -> RuntimeError:
    shapes = f"{'x'.join(map(str, a))} and {'x'.join(map(str, b))}"
    return RuntimeError(f"{name}: mat1 and mat2 shapes cannot be multiplied ({shapes}){why}")


def _wide(x: Any) -> Any:
    """float32 for half types: what their products are summed in."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


# ---- matrices ----
_F32, _F64 = _DOT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))  # BLAS multiplies them as they are


def _mm_cpu(a, b, *, ta=False, tb=False):
    if a.ndim == 2 == b.ndim and a.dtype is b.dtype and a.dtype in _DOT_DTYPES:
        try:
            return np.dot(a.T if ta else a, b.T if tb else b)
        except ValueError:
            raise _mismatch(
                "mm", a.shape[::-1] if ta else a.shape, b.shape[::-1] if tb else b.shape
            ) from None
    if a.dtype != b.dtype or a.dtype.kind == "b":
        _check_types("mm", a, b)
    shape = None
    if a.ndim > 2:
        shape = a.shape[:-1]
        a = a.reshape(-1 if a.size else prod(shape), a.shape[-1])
    if b.ndim > 2:
        b = b.reshape(-1 if b.size else prod(b.shape[:-1]), b.shape[-1])
    left, right = a.T if ta else a, b.T if tb else b
    if left.shape[1] != right.shape[0]:
        raise _mismatch("mm", left.shape, right.shape)
    dtype = a.dtype
    if dtype.itemsize == 2:
        y = np.dot(_wide(left), _wide(right)).astype(dtype)
    else:
        y = np.dot(left, right)
    return y if shape is None or ta else y.reshape(*shape, y.shape[1])


def _mm_cuda(a, b, *, ta=False, tb=False):
    if a.dtype is not b.dtype or a.dtype.kind == "b":
        _check_types("mm", a, b)
    left, right = fold(a), fold(b)
    if left.shape[0 if ta else 1] != right.shape[1 if tb else 0]:
        raise _mismatch(
            "mm", left.shape[::-1] if ta else left.shape, right.shape[::-1] if tb else right.shape
        )
    y = gemm(left, right, ta, tb)
    return y if ta or a.ndim == 2 else unfold(y, (*a.shape[:-1], y.shape[1]))


def _mm_grad_a(g, b, *, ta=False, tb=False):
    return mm_op(b, g, ta=tb, tb=True) if ta else mm_op(g, b, ta=False, tb=not tb)


def _mm_grad_b(g, a, *, ta=False, tb=False):
    return mm_op(g, a, ta=True, tb=ta) if tb else mm_op(a, g, ta=not ta, tb=False)


mm_op = Op("mm", cpu=_mm_cpu, cuda=_mm_cuda, grad={"a": _mm_grad_a, "b": _mm_grad_b})


class _Product(Saving):
    """`mm` of two float matrices on the CPU in few steps: for small nets the steps cost more than the product."""

    node_name = "MmBackward0"
    inputs = ("self", "mat2")

    def of(self, input: Tensor, other: Tensor, x: np.ndarray, y: np.ndarray) -> Tensor:
        """The product of two tensors whose arrays are `x` and `y`."""
        try:
            output = wrap(np.dot(x, y))
        except ValueError:
            raise _mismatch("mm", x.shape, y.shape) from None
        a, b = input._edge, other._edge
        if (a is not None or b is not None) and (not MODES or state.grad):
            checks: tuple = ()
            if a is not None:
                cell = other._version_cell()
                checks = (cell, cell[0])
            if b is not None:
                cell = input._version_cell()
                checks += (cell, cell[0])
            edges = (input if a is LEAF else a, other if b is LEAF else b)
            output._edge = node = Node()
            node.op, node.seq, node.all_edges, node.checks = self, next_sequence(), edges, checks
            node.saved = None if b is None else x, None if a is None else y
            node.cell = node.attrs = node.extra = None
        return output

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, y = unpack(node)
        a, b = edges
        if create_graph:
            return (
                None if a is None else mm_op(g, from_saved(y, node.edges[1]), tb=True),
                None if b is None else mm_op(from_saved(x, node.edges[0]), g, ta=True),
            )
        of_y: Any = None
        if b is not None:
            waits = type(b) is not Node and b._a.size >= LARGE and len(x) <= FEW
            of_y = (x, g) if waits else np.dot(x.T, g)
        return None if a is None else np.dot(g, y.T), of_y


_product = _Product()


def _dot_cpu(a, b):
    _check_vectors(a, b)
    return np.dot(_wide(a), _wide(b)).astype(a.dtype)


def _dot_cuda(a, b):
    _check_vectors(a, b)
    n = a.shape[0]
    return unfold(gemm(a.as_strided((1, n), (0, *a.strides)), b.as_strided((n, 1), (*b.strides, 0))), ())


def _check_vectors(a: Any, b: Any) -> None:
    _check_types("dot", a, b)
    if a.shape != b.shape:
        raise RuntimeError(
            f"dot: inconsistent tensor size, expected vectors of one length, got {a.shape[0]} and {b.shape[0]}"
        )


dot_op = Op("dot", cpu=_dot_cpu, cuda=_dot_cuda, grad={"a": lambda g, b: g * b, "b": lambda g, a: g * a})


# ---- batches ----
def _check_batch(a: Any, b: Any, ta: bool, tb: bool) -> None:
    left = (*a.shape[:-2], a.shape[-1], a.shape[-2]) if ta else a.shape
    right = (*b.shape[:-2], b.shape[-1], b.shape[-2]) if tb else b.shape
    _check_types("matmul", a, b)
    if left[-1] != right[-2]:
        raise _mismatch(
            "matmul", left, right, ": the last of the first must equal the last but one of the second"
        )
    try:
        np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise _mismatch("matmul", left, right, ": the batch dimensions do not broadcast") from None


def _matmul_cpu(a, b, *, ta=False, tb=False):
    left, right = a.swapaxes(-1, -2) if ta else a, b.swapaxes(-1, -2) if tb else b
    dtype = a.dtype
    if dtype != b.dtype or dtype.kind == "b":
        _check_batch(a, b, ta, tb)
    try:
        if dtype.itemsize == 2:
            return np.matmul(_wide(left), _wide(right)).astype(dtype)
        return np.matmul(left, right)
    except ValueError:
        _check_batch(a, b, ta, tb)
        raise


def _matmul_cuda(a, b, *, ta=False, tb=False):
    _check_batch(a, b, ta, tb)
    return gemm(a, b, ta, tb)


def _fit(g, shape):
    return g if g.shape == shape else sum_to_size_op(g, shape=shape)


def _matmul_grad_a(g, b, a_shape, *, ta=False, tb=False):
    return _fit(matmul_op(b, g, ta=tb, tb=True) if ta else matmul_op(g, b, ta=False, tb=not tb), a_shape)


def _matmul_grad_b(g, a, b_shape, *, ta=False, tb=False):
    return _fit(matmul_op(g, a, ta=True, tb=ta) if tb else matmul_op(a, g, ta=not ta, tb=False), b_shape)


matmul_op = Op("matmul", cpu=_matmul_cpu, cuda=_matmul_cuda, grad={"a": _matmul_grad_a, "b": _matmul_grad_b})


# ---- x Wᵀ + b ----
def _linear_cpu(x, weight, bias):
    dtype = x.dtype
    if dtype != weight.dtype or dtype.kind == "b" or bias is not None and bias.dtype != dtype:
        _check_types("linear", x, weight, bias)
    shape = x.shape
    if len(shape) != 2:
        x = x.reshape(-1 if x.size else prod(shape[:-1]), shape[-1])
    if dtype.itemsize == 2:
        y = np.dot(_wide(x), _wide(weight).T)
        if bias is not None:
            y += _wide(bias)
        y = y.astype(dtype)
    else:
        y = np.dot(x, weight.T)
        if bias is not None:
            y += bias
    return y if len(shape) == 2 else y.reshape(*shape[:-1], y.shape[1])


def _linear_cuda(x, weight, bias):
    _check_types("linear", x, weight, bias)
    y = gemm(fold(x), weight, False, True, bias)
    return y if x.ndim == 2 else unfold(y, (*x.shape[:-1], y.shape[1]))


def _linear_grad_x(g, weight, x_shape):
    return (
        mm_op(g, weight) if len(x_shape) != 1 else mm_op(g.reshape((1, g.shape[0])), weight).reshape(x_shape)
    )


def _linear_grad_weight(g, x):
    if x.ndim == 1:
        g, x = g.reshape((1, g.shape[0])), x.reshape((1, x.shape[0]))
    return mm_op(g, x, ta=True, tb=False)


linear_op = Op(
    "linear",
    cpu=_linear_cpu,
    cuda=_linear_cuda,
    grad={
        "x": _linear_grad_x,
        "weight": _linear_grad_weight,
        "bias": lambda g, bias_shape: sum_to_size_op(g, shape=bias_shape),
    },
)


class _Linear(Saving):
    """`linear` of float arrays on the CPU in few steps; see `_Product`. Leading dimensions count as rows."""

    node_name = "LinearBackward0"
    inputs = ("input", "weight")

    def of(self, tensors: tuple, x: np.ndarray, w: np.ndarray, bias: Any) -> Tensor:
        """The output for (input, weight, bias or None) whose arrays are `x`, `w` and `bias`."""
        y = np.dot(x if x.ndim == 2 else x.reshape(-1, x.shape[-1]), w.T)
        if bias is not None:
            np.add(y, bias, y)
        output = wrap(y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[1]))
        if not MODES or state.grad:
            input, weight, b = tensors
            to_x, to_w, to_bias = input._edge, weight._edge, None if b is None else b._edge
            if to_x is not None or to_w is not None or to_bias is not None:
                edges = (
                    input if to_x is LEAF else to_x,
                    weight if to_w is LEAF else to_w,
                    b if to_bias is LEAF else to_bias,
                )
                checks: tuple = ()
                if to_w is not None:
                    cell = input._cell or input._version_cell()
                    checks = (cell, cell[0])
                if to_x is not None:
                    cell = weight._cell or weight._version_cell()
                    checks += (cell, cell[0])
                output._edge = node = Node()
                node.op, node.seq, node.all_edges, node.checks = self, next_sequence(), edges, checks or None
                node.saved = None if to_w is None else x, None if to_x is None else w
                node.cell = node.attrs = node.extra = None
        return output

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, w = unpack(node)
        to_x, to_w, to_bias = edges
        if create_graph:
            return (
                None if to_x is None else mm_op(g, from_saved(w, node.edges[1])),
                None if to_w is None else mm_op(g, from_saved(x, node.edges[0]), ta=True),
                None if to_bias is None else sum_to_size_op(g, shape=g.shape[-1:]),
            )
        shape = g.shape
        if len(shape) != 2:
            g = g.reshape(-1, shape[-1])
            if x is not None:
                x = x.reshape(-1, x.shape[-1])
        of_x = None if to_x is None else np.dot(g, w)
        of_w: Any = None
        if to_w is not None:
            waits = type(to_w) is not Node and to_w._a.size >= LARGE and len(g) <= FEW
            of_w = (g, x) if waits else np.dot(g.T, x)
        return (
            of_x if of_x is None or len(shape) == 2 else of_x.reshape(*shape[:-1], of_x.shape[1]),
            of_w,
            None
            if to_bias is None
            else np.dot(ones(g.shape[0], g.dtype), g)
            if len(shape) == 2
            else float_sum(g, (0,)),  # of more rows, as a rule
        )


_linear = _Linear()


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`, in one kernel.

    Args:
        input: (…, in_features).
        weight: (out_features, in_features), of input's dtype.
        bias: (out_features,) or None.

    Returns:
        (…, out_features).

    Raises:
        RuntimeError: the shapes do not fit or the dtypes differ.

    >>> import gradgpu as gg
    >>> linear(gg.ones(2, 3), gg.ones(4, 3), gg.zeros(4))
    tensor([[3., 3., 3., 3.],
            [3., 3., 3., 3.]])
    """
    try:
        a, b, c = input._a, weight._a, None if bias is None else bias._a
    except AttributeError:
        refuse_others("linear", input=input, weight=weight, bias=bias)
        raise
    d = a.dtype
    if (
        (d is _F32 or d is _F64)
        and type(a) is type(b) is np.ndarray
        and d is b.dtype
        and b.ndim == 2
        and (a.ndim == 2 or a.ndim > 2 and a.size and b.size)
        and (c is None or c.dtype is d and type(c) is np.ndarray and c.shape == b.shape[:1])
        and not (SPECIAL and state.special)
        and a.shape[-1] == b.shape[1]
    ):
        return _linear.of((input, weight, bias), a, b, c)
    x, w = a.shape, b.shape
    if len(w) != 2 or not x or x[-1] != w[1]:
        if len(w) == 1 and x and x[-1] == w[0] and (bias is None or bias.ndim == 0):
            y = matmul(input, weight)  # PyTorch's form for a single output
            return y if bias is None else y + bias
        raise RuntimeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied: input {tuple(x)} must end in the in_features of "
            f"weight (out_features, in_features), which is {tuple(w)}"
        )
    if bias is not None and bias._a.shape != (w[0],):
        if bias.ndim > 1 and bias._a.shape[-1] == w[0]:
            return linear_op(input, weight, None) + bias  # one for each row, as noisy layers have
        raise RuntimeError(
            f"linear: bias must have shape ({w[0]},) for weight {tuple(w)}, got {tuple(bias.shape)}"
        )
    return linear_op(input, weight, bias)


# ---- public products ----
@method("matmul", "__matmul__")
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product of two tensors; also `input @ other`.

    Two vectors give their dot product, a matrix and a vector a vector, two matrices a matrix. With more
    dimensions the last two are multiplied and the others broadcast.

    Args:
        input: (…, m, k) or (k,).
        other: (…, k, n) or (k,), of the same dtype (any but bool).

    Raises:
        RuntimeError: the shapes do not fit, a tensor is 0-dim, or the dtypes differ.

    >>> import gradgpu as gg
    >>> a = gg.tensor([[1., 2.], [3., 4.]])
    >>> a @ gg.tensor([1., 1.])
    tensor([3., 7.])
    """
    if not isinstance(other, Tensor) or not isinstance(input, Tensor):
        if isinstance(other, (Tensor, np.ndarray, int, float)) or not hasattr(type(other), "__rmatmul__"):
            raise TypeError(
                f"matmul: expected two Tensors, got {type(input).__name__} and {type(other).__name__}"
            )
        return with_foreign(matmul_op, input, other)
    x, y = input._a, other._a
    m, n = x.ndim, y.ndim
    if n == 2 and m >= 2:
        if (
            m == 2
            and type(x) is type(y) is np.ndarray
            and x.dtype is y.dtype
            and x.dtype in _DOT_DTYPES
            and not (SPECIAL and state.special)
        ):
            return _product.of(input, other, x, y)
        return mm_op(input, other)
    if m == 1 and n == 1:
        return dot_op(input, other)
    if m == 0 or n == 0:
        raise RuntimeError(
            f"matmul: both arguments need at least one dimension, got {m}-D and {n}-D; multiply scalars with *"
        )
    if n == 1:
        return mm_op(input, other.unsqueeze(1)).squeeze(-1)
    if m == 1:
        return (mm_op if n == 2 else matmul_op)(input.unsqueeze(0), other).squeeze(-2)
    return matmul_op(input, other)


def _dims(name: str, **tensors: tuple[Tensor, int]) -> None:
    """Each tensor must have so many dimensions."""
    for argument, (x, ndim) in tensors.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor for {argument}, got {type(x).__name__}")
        if x._a.ndim != ndim:
            raise RuntimeError(
                f"{name}: {argument} must be {ndim}-D, got {x._a.ndim}-D of shape {tuple(x.shape)}; matmul takes all shapes"
            )


@method
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (m, k) and (k, n); RuntimeError unless both are 2-D and fit.

    >>> import gradgpu as gg
    >>> gg.mm(gg.tensor([[1., 2.]]), gg.tensor([[3.], [4.]]))
    tensor([[11.]])
    """
    _dims("mm", input=(input, 2), mat2=(mat2, 2))
    return mm_op(input, mat2)


spmm = dsmm = mm  # of a sparse and a dense matrix; mm takes both


@method
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (b, m, k) and (b, k, n); RuntimeError unless both are 3-D and fit.

    >>> import gradgpu as gg
    >>> gg.bmm(gg.ones(2, 1, 3), gg.ones(2, 3, 1)).shape
    gradgpu.Size([2, 1, 1])
    """
    _dims("bmm", input=(input, 3), mat2=(mat2, 3))
    if input._a.shape[0] != mat2._a.shape[0]:
        raise _mismatch("bmm", input._a.shape, mat2._a.shape, ": batch sizes differ; matmul broadcasts")
    return matmul_op(input, mat2)


@method
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix (m, k) and a vector (k,): (m,).

    >>> import gradgpu as gg
    >>> gg.mv(gg.tensor([[1., 2.], [3., 4.]]), gg.tensor([1., 1.]))
    tensor([3., 7.])
    """
    _dims("mv", input=(input, 2), vec=(vec, 1))
    return matmul(input, vec)


@method
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors of one length; 0-dim.

    >>> import gradgpu as gg
    >>> gg.dot(gg.tensor([1., 2.]), gg.tensor([3., 4.]))
    tensor(11.)
    """
    _dims("dot", input=(input, 1), tensor=(tensor, 1))
    return dot_op(input, tensor)


@method
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` with the complex conjugate of `input`.

    >>> import gradgpu as gg
    >>> gg.vdot(gg.tensor([2.]), gg.tensor([3.]))
    tensor(6.)
    """
    from .complex import conj

    _dims("vdot", input=(input, 1), other=(other, 1))
    return dot_op(conj(input), other)


@method("outer", "ger")
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of the elements of two vectors, (n,) and (m,): (n, m).

    >>> import gradgpu as gg
    >>> gg.outer(gg.tensor([1., 2.]), gg.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    _dims("outer", input=(input, 1), vec2=(vec2, 1))
    return input.unsqueeze(1) * vec2


@method
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Dot products along the last dimensions: (…a, k) and (…b, k) give (…a, …b); a 0-dim tensor multiplies.

    >>> import gradgpu as gg
    >>> gg.inner(gg.tensor([[1., 2.], [3., 4.]]), gg.tensor([1., 1.]))
    tensor([3., 7.])
    """
    if not input._a.ndim or not other._a.ndim:
        return input * other
    return tensordot(input, other, dims=([-1], [-1]))


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence = 2) -> Tensor:
    """Sums products over several dimensions of both tensors.

    Args:
        dims: the last `dims` of a with the first of b, or two lists of dimensions that go together.

    >>> import gradgpu as gg
    >>> gg.tensordot(gg.ones(2, 3, 4), gg.ones(3, 4, 5)).shape
    gradgpu.Size([2, 5])
    """
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: dims must be between 0 and {min(a.ndim, b.ndim)}, got {dims}")
        over_a, over_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        over_a, over_b = ([d] if isinstance(d, int) else list(d) for d in dims)
        over_a, over_b = [a._dim(d, "tensordot") for d in over_a], [b._dim(d, "tensordot") for d in over_b]
    sizes_a, sizes_b = [a.shape[d] for d in over_a], [b.shape[d] for d in over_b]
    if sizes_a != sizes_b:
        raise RuntimeError(
            f"tensordot: contracted dimensions must have the same sizes, got {sizes_a} and {sizes_b}"
        )
    free_a = [d for d in range(a.ndim) if d not in over_a]
    free_b = [d for d in range(b.ndim) if d not in over_b]
    shape_a, shape_b = [a.shape[d] for d in free_a], [b.shape[d] for d in free_b]
    k = prod(sizes_a)
    left = a.permute(*free_a, *over_a).reshape(prod(shape_a), k)
    right = b.permute(*over_b, *free_b).reshape(k, prod(shape_b))
    return mm_op(left, right).reshape(*shape_a, *shape_b)


def _plus(input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta * input + alpha * product; beta 0 ignores what input holds, NaN too. Integers take whole numbers only."""
    category = product.dtype.category
    if category < dt.FLOAT:
        number = int if category else bool
        alpha, beta = number(alpha), number(beta)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@method
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *older: Any, beta: float = 1, alpha: float = 1
) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)` for matrices; input broadcasts.

    >>> import gradgpu as gg
    >>> gg.addmm(gg.ones(2), gg.ones(1, 3), gg.ones(3, 2), alpha=2)
    tensor([[7., 7.]])
    """
    if older:
        return older_form(addmm, (input, mat1, mat2, *older), 3, ("beta", "alpha"))
    _dims("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return _plus(input, mm_op(mat1, mat2), beta, alpha)


@method
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *older: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """`beta * input + alpha * (mat @ vec)`; input broadcasts.

    >>> import gradgpu as gg
    >>> gg.addmv(gg.ones(2), gg.ones(2, 3), gg.ones(3))
    tensor([4., 4.])
    """
    if older:
        return older_form(addmv, (input, mat, vec, *older), 3, ("beta", "alpha"))
    return _plus(input, mv(mat, vec), beta, alpha)


@method
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *older: Any, beta: float = 1, alpha: float = 1
) -> Tensor:
    """`beta * input + alpha * (batch1 @ batch2)` for batches of matrices; input broadcasts.

    >>> import gradgpu as gg
    >>> gg.baddbmm(gg.ones(1), gg.ones(2, 1, 3), gg.ones(2, 3, 1)).flatten()
    tensor([4., 4.])
    """
    if older:
        return older_form(baddbmm, (input, batch1, batch2, *older), 3, ("beta", "alpha"))
    return _plus(input, bmm(batch1, batch2), beta, alpha)
