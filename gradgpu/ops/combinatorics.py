"""Combinations of vectors and matrices: products of sets, block matrices, Kronecker products; membership; runs."""

from __future__ import annotations

import itertools
from numbers import Integral
from typing import Any

from .. import dtypes as dt
from ..tensor import Tensor
from .creation import tensor, zeros
from .index import index_select
from .inplace import inplace
from .join import cat, meshgrid, stack
from .masks import flat_nonzero
from .pointwise import abs, eq, floor_divide, mul, ne, where
from .reduce import require_tensor
from .registry import method
from .scan import cumsum
from .shape import basic_index_backward_op, broadcast_tensors, canonical_dim, movedim
from .sort import searchsorted, sort


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, as rows; of one vector, the vector.

    Raises:
        RuntimeError: a tensor that is no vector.

    >>> import gradgpu as gg
    >>> gg.cartesian_prod(gg.tensor([1, 2]), gg.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    for t in tensors:
        require_tensor("cartesian_prod", t)
        if t.ndim > 1:
            raise RuntimeError(f"cartesian_prod: Expect a 1D vector, but got shape {tuple(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape((-1,)) for grid in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a vector, as rows, in the order of itertools.

    Raises:
        RuntimeError: a tensor that is no vector, or r < 0.

    >>> import gradgpu as gg
    >>> gg.combinations(gg.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    require_tensor("combinations", input)
    if input.ndim != 1:
        raise RuntimeError(f"combinations: Expect a 1D vector, but got shape {tuple(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: Expect a non-negative number, but got {r}")
    if not r:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    at = tensor(rows, dtype=dt.int64, device=input.device).reshape((-1,))
    return index_select(input, 0, at).reshape((len(rows), r))


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix of zeros with the tensors (of up to two dimensions; a vector counts as a row) along its diagonal.

    Raises:
        RuntimeError: a tensor of more dimensions.

    >>> import gradgpu as gg
    >>> gg.block_diag(gg.tensor([[1, 2]]), gg.tensor([[3], [4]]))
    tensor([[1, 2, 0],
            [0, 0, 3],
            [0, 0, 4]])
    """
    if not tensors:
        return zeros(1, 0)
    kind = tensors[0].dtype
    for k, t in enumerate(tensors):
        require_tensor("block_diag", t)
        if t.ndim > 2:
            raise RuntimeError(
                f"block_diag: Input tensors must have 2 or fewer dimensions. Input {k} has {t.ndim} dimensions"
            )
        kind = dt.promote_types(kind, t.dtype)
    blocks = [t.to(kind).reshape((1,) * (2 - t.ndim) + tuple(t.shape)) for t in tensors]
    columns = sum([t.shape[1] for t in blocks])
    rows, start = [], 0
    for t in blocks:
        height, width = t.shape
        at = (slice(None), slice(start, start + width))
        rows.append(basic_index_backward_op(t, shape=(height, columns), index=at))
        start += width
    return cat(rows, 0)


@method
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: blocks of `other`, each times an element of `input`. Fewer dimensions get leading ones.

    >>> import gradgpu as gg
    >>> gg.kron(gg.tensor([[1, 2]]), gg.tensor([[1, 1], [0, 1]]))
    tensor([[1, 1, 2, 2],
            [0, 1, 0, 2]])
    """
    require_tensor("kron", input)
    require_tensor("kron", other)
    n = max(input.ndim, other.ndim)
    a, b = ((1,) * (n - t.ndim) + tuple(t.shape) for t in (input, other))
    wide = input.reshape([k for size in a for k in (size, 1)])
    made = mul(wide, other.reshape([k for size in b for k in (1, size)]))
    return made.reshape([i * j for i, j in zip(a, b)])


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The Vandermonde matrix of a vector: its powers N - 1, …, 1, 0 as columns (0, 1, … if increasing).

    Raises:
        RuntimeError: a tensor that is no vector, or N < 0.

    >>> import gradgpu as gg
    >>> gg.vander(gg.tensor([2, 3]), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    require_tensor("vander", x)
    if x.ndim != 1:
        raise RuntimeError(f"vander: x must be a one-dimensional tensor, got {x.ndim} dimensions")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError(f"vander: N must be non-negative, got {n}")
    columns = [x.new_ones((x.shape[0],))]
    for _ in range(n - 1):
        columns.append(columns[-1] * x)
    if not n:
        return x.new_empty((x.shape[0], 0))
    return stack(columns if increasing else columns[::-1], 1)


# ---- membership and runs ----
def isin(
    elements: Any = None, test_elements: Any = None, *, assume_unique: bool = False, invert: bool = False, element: Any = None,
    test_element: Any = None,
) -> Tensor:  # fmt: skip
    """Which of `elements` occur in `test_elements` (do not, if `invert`); one of the two may be a number.

    `assume_unique` changes nothing but is accepted. A number may also be named as `element` or `test_element`.

    >>> import gradgpu as gg
    >>> gg.isin(gg.tensor([1, 2, 3]), gg.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    elements = element if elements is None else elements
    test_elements = test_element if test_elements is None else test_elements
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError(
            f"isin(): at least one of elements and test_elements must be a Tensor, got {type(elements).__name__} and "
            f"{type(test_elements).__name__}"
        )
    if not isinstance(test_elements, Tensor):
        return ne(elements.detach(), test_elements) if invert else eq(elements.detach(), test_elements)
    if not isinstance(elements, Tensor):
        elements = tensor(elements, device=test_elements.device)
    x, tests = elements.detach(), test_elements.detach().reshape((-1,))
    if not tests.numel():
        return eq(x, x) if invert else ne(x, x)
    kind = dt.promote_types(x.dtype, tests.dtype)
    x, ordered = x.to(kind), sort(tests.to(kind)).values
    at = searchsorted(ordered, x).clamp(max=ordered.shape[0] - 1)
    found = eq(index_select(ordered, 0, at.reshape((-1,))).reshape(tuple(x.shape)), x)
    return ~found if invert else found


@method
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or the slices along `dim`) without those that equal the one before; on request the run each went to, and
    how long the runs are.

    On cuda the host waits for the number of runs.

    >>> import gradgpu as gg
    >>> gg.unique_consecutive(gg.tensor([1, 1, 2, 1]), return_counts=True)
    (tensor([1, 2, 1]), tensor([2, 1, 1]))
    """
    require_tensor("unique_consecutive", input)
    x = input.detach()
    if dim is None:
        d, x = 0, x.reshape((-1,))
    else:
        d = canonical_dim(dim, input.ndim, "unique_consecutive")
        x = x if x.ndim else x.reshape((1,))
    n = x.shape[d]
    rows = movedim(x, d, 0).reshape((n, -1)) if x.numel() else x.new_zeros((n, 1))
    fresh = rows.new_ones((n,), dtype=dt.bool)
    if n > 1:
        fresh[1:] = (rows[1:] != rows[:-1]).any(1)
    starts = flat_nonzero(fresh)
    made = [index_select(x, d, starts)]
    if return_inverse:
        run = cumsum(fresh, 0) - 1
        made.append(run.reshape(tuple(input.shape)) if dim is None else run)
    if return_counts:
        ends = cat([starts[1:], starts.new_full((min(n, 1),), n)])
        made.append(ends - starts)
    return tuple(made) if len(made) > 1 else made[0]


@method
def gcd(input: Tensor, other: Tensor) -> Tensor:
    """The greatest common divisors of integers, elementwise with broadcasting; not negative. Euclid's algorithm: on cuda
    the host waits for each of its steps.

    >>> import gradgpu as gg
    >>> gg.gcd(gg.tensor([5, 10, 15]), gg.tensor([3, 4, 5]))
    tensor([1, 2, 5])
    """
    a, b = _whole("gcd", input, other)
    while True:
        left = b != 0
        if not bool(left.any()):
            return abs(a)
        a, b = where(left, b, a), where(left, a % where(left, b, 1), 0)


@method
def lcm(input: Tensor, other: Tensor) -> Tensor:
    """The least common multiples of integers, elementwise with broadcasting; not negative, 0 where one of them is 0.

    >>> import gradgpu as gg
    >>> gg.lcm(gg.tensor([5, 10, 0]), gg.tensor([3, 4, 5]))
    tensor([15, 20,  0])
    """
    a, b = _whole("lcm", input, other)
    divisor = gcd(a, b)
    return abs(floor_divide(a, where(divisor == 0, 1, divisor)) * b)


@method
def gcd_(self: Tensor, other: Tensor) -> Tensor:
    """`gcd` in place."""
    return inplace("gcd_", self, gcd(self, other))


@method
def lcm_(self: Tensor, other: Tensor) -> Tensor:
    """`lcm` in place."""
    return inplace("lcm_", self, lcm(self, other))


def _whole(name: str, *tensors: Any) -> tuple:
    """Integer tensors of one dtype and shape."""
    for t in tensors:
        require_tensor(name, t)
    d = dt.result_type(*tensors)
    if d.category != dt.INTEGER:
        raise NotImplementedError(f'"{name}" not implemented for {d}; use integers')
    return broadcast_tensors(*[t.to(d) for t in tensors])


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor for each dimension, of flat indices into an array of this shape.

    Raises:
        ValueError: an index that is negative or beyond the shape (checked on 'cpu'). TypeError: not integers.

    >>> import gradgpu as gg
    >>> gg.unravel_index(gg.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    require_tensor("unravel_index", indices)
    if indices.is_floating_point() or indices.dtype is dt.bool:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    indices = indices.to(dt.int64)
    sizes = (shape,) if isinstance(shape, Integral) else tuple(shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    total = 1
    for n in sizes:
        total *= n
    if indices.is_cpu and indices.numel() and not bool(((indices >= 0) & (indices < total)).all()):
        raise ValueError(f"unravel_index: indices must lie in [0, {total}) for shape {sizes}")
    made = []
    for n in reversed(sizes):
        made.append(indices % n if n else indices)
        indices = floor_divide(indices, n) if n else indices
    return tuple(made[::-1])


__all__ = [
    "block_diag", "cartesian_prod", "combinations", "gcd", "isin", "kron", "lcm", "unique_consecutive", "unravel_index", "vander",
]  # fmt: skip
