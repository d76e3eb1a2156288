"""What functions of several results return: tuples whose entries have names, as in `gradgpu.max(x, 0).indices`.

>>> import gradgpu as gg
>>> gg.max(gg.tensor([[1., 5.], [7., 2.]]), dim=1)
gradgpu.return_types.max(
values=tensor([5., 7.]),
indices=tensor([1, 0]))
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .tensor import Tensor


class max(NamedTuple):
    values: Tensor
    indices: Tensor


class min(NamedTuple):
    values: Tensor
    indices: Tensor


class aminmax(NamedTuple):
    min: Tensor
    max: Tensor


class sort(NamedTuple):
    values: Tensor
    indices: Tensor


class topk(NamedTuple):
    values: Tensor
    indices: Tensor


class kthvalue(NamedTuple):
    values: Tensor
    indices: Tensor


class median(NamedTuple):
    values: Tensor
    indices: Tensor


class nanmedian(NamedTuple):
    values: Tensor
    indices: Tensor


class mode(NamedTuple):
    values: Tensor
    indices: Tensor


class cummax(NamedTuple):
    values: Tensor
    indices: Tensor


class cummin(NamedTuple):
    values: Tensor
    indices: Tensor


class frexp(NamedTuple):
    mantissa: Tensor
    exponent: Tensor


class histogram(NamedTuple):
    hist: Tensor
    bin_edges: Tensor


class histogramdd(NamedTuple):
    hist: Tensor
    bin_edges: tuple[Tensor, ...]


class qr(NamedTuple):
    Q: Tensor
    R: Tensor


class slogdet(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


class svd(NamedTuple):
    U: Tensor
    S: Tensor
    V: Tensor


class triangular_solve(NamedTuple):
    solution: Tensor
    cloned_coefficient: Tensor


class linalg_cholesky_ex(NamedTuple):
    L: Tensor
    info: Tensor


class linalg_inv_ex(NamedTuple):
    inverse: Tensor
    info: Tensor


class linalg_eig(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class linalg_eigh(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class linalg_lstsq(NamedTuple):
    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class linalg_qr(NamedTuple):
    Q: Tensor
    R: Tensor


class linalg_slogdet(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


class linalg_solve_ex(NamedTuple):
    result: Tensor
    info: Tensor


class linalg_svd(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor


def _shown(self: Any) -> str:
    """As PyTorch shows it: one result a line."""
    entries = [f"{name}={value!r}" for name, value in zip(self._fields, self)]
    return f"gradgpu.return_types.{type(self).__name__}(\n" + ",\n".join(entries) + ")"


for _type in list(globals().values()):
    if isinstance(_type, type) and issubclass(_type, tuple):
        _type.__repr__ = _shown  # type: ignore[method-assign]
