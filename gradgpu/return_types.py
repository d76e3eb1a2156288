"""What functions of several results return: tuples whose entries have names, as in `gradgpu.max(x, 0).indices`.

>>> import gradgpu as gg
>>> gg.max(gg.tensor([[1., 5.], [7., 2.]]), dim=1)
gradgpu.return_types.max(
values=tensor([5., 7.]),
indices=tensor([1, 0]))
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, ClassVar

from .tensor import Tensor


class Result(tuple):
    """A tuple with a name for each entry, like those of `typing.NamedTuple`, whose making takes thirty times as long."""

    _fields: ClassVar[tuple[str, ...]] = ()
    __slots__ = ()

    def __new__(cls, *values: Any) -> Any:
        if len(values) != len(cls._fields):
            raise TypeError(f"{cls.__name__} has the entries {cls._fields}, but {len(values)} were given")
        return tuple.__new__(cls, values)

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        for k, name in enumerate(cls._fields):
            setattr(cls, name, property(itemgetter(k)))

    @classmethod
    def _make(cls, values: Iterable) -> Any:
        return cls(*values)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self))

    def __getnewargs__(self) -> tuple:
        return tuple(self)

    def __repr__(self) -> str:
        entries = [f"{name}={value!r}" for name, value in zip(self._fields, self)]
        return f"gradgpu.return_types.{type(self).__name__}(\n" + ",\n".join(entries) + ")"


class max(Result):
    values: Tensor
    indices: Tensor


class min(Result):
    values: Tensor
    indices: Tensor


class aminmax(Result):
    min: Tensor
    max: Tensor


class sort(Result):
    values: Tensor
    indices: Tensor


class topk(Result):
    values: Tensor
    indices: Tensor


class kthvalue(Result):
    values: Tensor
    indices: Tensor


class median(Result):
    values: Tensor
    indices: Tensor


class nanmedian(Result):
    values: Tensor
    indices: Tensor


class mode(Result):
    values: Tensor
    indices: Tensor


class cummax(Result):
    values: Tensor
    indices: Tensor


class cummin(Result):
    values: Tensor
    indices: Tensor


class frexp(Result):
    mantissa: Tensor
    exponent: Tensor


class histogram(Result):
    hist: Tensor
    bin_edges: Tensor


class histogramdd(Result):
    hist: Tensor
    bin_edges: tuple[Tensor, ...]


class qr(Result):
    Q: Tensor
    R: Tensor


class slogdet(Result):
    sign: Tensor
    logabsdet: Tensor


class svd(Result):
    U: Tensor
    S: Tensor
    V: Tensor


class triangular_solve(Result):
    solution: Tensor
    cloned_coefficient: Tensor


class linalg_cholesky_ex(Result):
    L: Tensor
    info: Tensor


class linalg_inv_ex(Result):
    inverse: Tensor
    info: Tensor


class linalg_eig(Result):
    eigenvalues: Tensor
    eigenvectors: Tensor


class linalg_eigh(Result):
    eigenvalues: Tensor
    eigenvectors: Tensor


class linalg_lstsq(Result):
    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class geqrf(Result):
    a: Tensor
    tau: Tensor


class linalg_lu(Result):
    P: Tensor
    L: Tensor
    U: Tensor


class linalg_lu_factor(Result):
    LU: Tensor
    pivots: Tensor


class linalg_lu_factor_ex(Result):
    LU: Tensor
    pivots: Tensor
    info: Tensor


class lu_unpack(Result):
    P: Tensor
    L: Tensor
    U: Tensor


class linalg_qr(Result):
    Q: Tensor
    R: Tensor


class linalg_slogdet(Result):
    sign: Tensor
    logabsdet: Tensor


class linalg_solve_ex(Result):
    result: Tensor
    info: Tensor


class linalg_svd(Result):
    U: Tensor
    S: Tensor
    Vh: Tensor
