"""LU decompositions with partial pivoting, on the host as the others (ops/decompositions.py), and equations solved with them."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import return_types as rt
from ..tensor import Tensor, wrap
from .decompositions import LinAlgError, _host, _lower, _t, solve_op
from .join import cat_op
from .matrix import triangle_op
from .registry import method
from .shape import basic_index_op

__all__ = ["factor", "lu", "lu_solve", "lu_unpack"]

_BLOCK = 48  # columns that are eliminated one by one; what is right of them then changes by one product


def _lu(x, *, pivot):
    """(L, U, P, pivots) with x = P L U; Golub & Van Loan, Matrix Computations, 3.2.11 (blocks) and 3.4 (pivots)."""
    (m, n), batch = x.shape[-2:], x.shape[:-2]
    k = min(m, n)
    a = np.array(x, order="C").reshape(math.prod(batch), m, n)
    order = np.tile(np.arange(m), (len(a), 1))
    pivots = np.tile(np.arange(1, k + 1, dtype=np.int32), (len(a), 1))
    each = np.arange(len(a))
    for start in range(0, k, _BLOCK):
        stop = min(start + _BLOCK, k)
        for j in range(start, stop):
            if pivot and len(a):
                p = j + np.abs(a[:, j:, j]).argmax(1)
                pivots[:, j] = p + 1
                for rows in (a, order):
                    rows[each, p], rows[:, j] = rows[:, j].copy(), rows[each, p]
            d = a[:, j, j]
            below = a[:, j + 1 :, j]
            below /= np.where(d == 0, 1, d)[:, None]  # a column of zeros stays as it is: U has a zero there
            a[:, j + 1 :, j + 1 : stop] -= below[:, :, None] * a[:, j, None, j + 1 : stop]
        if stop < n:
            unit = np.tril(a[:, start:stop, start:stop], -1) + np.eye(stop - start, dtype=a.dtype)
            right = a[:, start:stop, stop:] = np.linalg.solve(unit, a[:, start:stop, stop:])
            a[:, stop:, stop:] -= a[:, stop:, start:stop] @ right
    permutation = np.zeros((len(a), m, m), a.dtype)
    permutation[each[:, None], order, np.arange(m)] = 1
    lower = np.tril(a[:, :, :k], -1) + np.eye(m, k, dtype=a.dtype)
    made = (lower, np.triu(a[:, :k]), permutation, pivots)
    return tuple(part.reshape(*batch, *part.shape[1:]) for part in made)


def _part(x: Any, rows: slice, columns: slice) -> Any:
    return basic_index_op(x, index=(*[slice(None)] * (len(x.shape) - 2), rows, columns))


def _lu_grad(g0: Any, g1: Any, x_shape: tuple, y0: Any, y1: Any, y2: Any) -> Any:
    # From dL and dU of the square part: Pᵀ dA = dL U + L dU, so that L⁻¹ Pᵀ dA U⁻¹ = L⁻¹ dL (strictly lower) + dU U⁻¹ (upper).
    # What is right of it follows from U₂ = L⁻¹ A₂, what is below from L₂ = A₂ U⁻¹.
    m, n = x_shape[-2:]
    k, dim, everything = min(m, n), len(x_shape), slice(None)
    first, others = slice(0, k), slice(k, None)
    lower, upper = _part(y0, first, everything), _part(y1, everything, first)
    gl = y0 * 0 if g0 is None else g0
    gu = y1 * 0 if g1 is None else g1
    rest = None
    if n > k:
        rest = solve_op(_t(lower), _part(gu, everything, others))
        gl = gl - rest @ _t(_part(y1, everything, others))
        gu = _part(gu, everything, first)
    elif m > k:
        rest = _t(solve_op(upper, _t(_part(gl, others, everything))))
        gu = gu - _t(_part(y0, others, everything)) @ rest
        gl = _part(gl, first, everything)
    inner = _lower(_t(lower) @ gl, -1) + triangle_op(gu @ _t(upper), diagonal=0, lower=False)
    found = _t(solve_op(upper, _t(solve_op(_t(lower), inner))))
    if rest is not None:
        at, sizes = (dim - 1, (k, n - k)) if n > k else (dim - 2, (k, m - k))
        found = cat_op(found, rest, dim=at, sizes=sizes)
    return y2 @ found


lu_op = _host("lu", _lu, grad={"x": _lu_grad}, differentiable=(True, True, False, False))


def factor(name: str, A: Tensor, pivot: bool, check_errors: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(LU, pivots, info) of `linalg.lu_factor_ex`; with `check_errors` a zero in U's diagonal is an error of `name`."""
    lower, upper, _, pivots = lu_op(A, pivot=bool(pivot))
    m, n = A.shape[-2:]
    if m < n:
        lower = cat_op(lower, lower.new_zeros((*A.shape[:-2], m, n - m)), dim=A.ndim - 1, sizes=(m, n - m))
    elif m > n:
        upper = cat_op(upper, upper.new_zeros((*A.shape[:-2], m - n, n)), dim=A.ndim - 2, sizes=(n, m - n))
    made = lower.tril(-1) + upper
    zero = made.detach().diagonal(dim1=-2, dim2=-1) == 0
    k = min(m, n)
    first = zero.to(dt.int32).argmax(-1) + 1 if k else zero.new_zeros(A.shape[:-2], dtype=dt.int64)
    info = (first * zero.any(-1)).to(dt.int32)
    if check_errors and bool(info.any()):
        at = int(info.max())
        raise LinAlgError(
            f"{name}: U[{at},{at}] is zero and using it on lu_solve would result in a division by zero. If you still want "
            "the factorization, use linalg.lu(A) or linalg.lu_factor_ex(A)"
        )
    return made, pivots, info


def _order(pivots: Tensor, rows: int) -> np.ndarray:
    """The order of rows that LAPACK's exchanges, pivots (…, k), lead to."""
    if pivots.dtype != dt.int32:
        raise RuntimeError(
            f"lu_unpack: LU_pivots is expected to be a tensor of int32 dtype, got {pivots.dtype}. "
            "Note: this function is intended to be used with the output produced by linalg.lu_factor"
        )
    swaps = pivots.detach().cpu().numpy()
    flat = swaps.reshape(math.prod(swaps.shape[:-1]), swaps.shape[-1]) - 1
    if flat.size and (flat.min() < 0 or flat.max() >= rows):
        raise RuntimeError(
            f"lu_unpack: pivots must lie between 1 and LU.size(-2), {rows}. Did you properly pass the result of lu_factor?"
        )
    order = np.tile(np.arange(rows), (len(flat), 1))
    each = np.arange(len(flat))
    for j in range(flat.shape[1]):
        order[each, flat[:, j]], order[:, j] = order[:, j].copy(), order[each, flat[:, j]]
    return order.reshape(*swaps.shape[:-1], rows)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> rt.lu_unpack:
    """(P, L, U) of what `linalg.lu_factor` returned: A = P L U. What is not unpacked is an empty tensor.

    The host waits for the pivots.

    Raises:
        RuntimeError: pivots of another dtype than int32, or out of range.

    >>> import gradgpu as gg
    >>> A = gg.tensor([[1., 2.], [4., 4.]])
    >>> P, L, U = gg.lu_unpack(*gg.linalg.lu_factor(A))
    >>> bool((P @ L @ U == A).all())
    True
    """
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    permutation = lower = upper = LU_data.new_empty((0,))
    if unpack_pivots:
        order = _order(LU_pivots, m)
        made = np.zeros((*order.shape, m), LU_data.dtype.np)
        np.put_along_axis(made, order[..., None, :], 1, -2)
        permutation = wrap(made).to(LU_data.device)
    if unpack_data:
        from .creation import eye

        unit = eye(m, k, dtype=LU_data.dtype, device=LU_data.device)
        lower = LU_data[..., :k].tril(-1) + unit
        upper = LU_data[..., :k, :].triu()
    return rt.lu_unpack(permutation, lower, upper)


@method
def lu(
    input: Tensor, pivot: bool = True, get_infos: bool = False
) -> rt.linalg_lu_factor | rt.linalg_lu_factor_ex:
    """The old form of `linalg.lu_factor`: (LU, pivots), and with `get_infos` what `linalg.lu_factor_ex` reports.

    >>> import warnings, gradgpu as gg
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     LU, pivots = gg.lu(gg.tensor([[1., 2.], [4., 4.]]))
    >>> LU
    tensor([[4.0000, 4.0000],
            [0.2500, 1.0000]])
    """
    from .. import linalg

    warnings.warn(
        "lu is deprecated in favor of linalg.lu_factor and linalg.lu_factor_ex", UserWarning, stacklevel=2
    )
    linalg._matrix("lu", input)
    made, pivots, info = factor("lu", input, pivot, not get_infos)
    return rt.linalg_lu_factor_ex(made, pivots, info) if get_infos else rt.linalg_lu_factor(made, pivots)


@method("lu_solve")
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """The old form of `linalg.lu_solve`: X with A X = `b`, from what `lu` returned of A.

    >>> import gradgpu as gg
    >>> LU, pivots = gg.linalg.lu_factor(gg.tensor([[1., 2.], [4., 4.]]))
    >>> gg.lu_solve(gg.tensor([[3.], [8.]]), LU, pivots)
    tensor([[1.],
            [1.]])
    """
    from .. import linalg

    return linalg.lu_solve(LU_data, LU_pivots, b)
