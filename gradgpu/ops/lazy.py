"""Families of operations that few programs use: imported when one of their names is first asked for.

`gradgpu.quantile` and `x.quantile` both import ops/quantiles.py. Until then the method is a descriptor that does so.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..tensor import Tensor
from . import out

# family: (functions of the gradgpu namespace, methods of Tensor)
FAMILIES = {
    "calculus": (
        "cumulative_trapezoid diff gradient trapezoid trapz",
        "diff",
    ),
    "combinatorics": (
        "block_diag cartesian_prod combinations isin kron unique_consecutive unravel_index vander",
        "kron unique_consecutive",
    ),
    "cumulative": (
        "cummax cummin logcumsumexp",
        "cummax cummin logcumsumexp",
    ),
    "quantiles": (
        "corrcoef histogram histogramdd mode nanmean nanmedian nanquantile quantile",
        "corrcoef histogram mode nanmean nanmedian nanquantile quantile",
    ),
    "rearrange": (
        "atleast_3d diagflat dsplit hsplit put renorm rot90 vsplit",
        "diagflat dsplit fill_diagonal_ hsplit put put_ renorm renorm_ rot90 vsplit",
    ),
    "scatter_reduce": (
        "index_reduce scatter_reduce",
        "index_reduce index_reduce_ scatter_reduce scatter_reduce_",
    ),
    "strided": (
        "as_strided as_strided_copy as_strided_scatter detach_copy diagonal_copy diagonal_scatter expand_copy narrow_copy "
        "permute_copy select_copy select_scatter slice_copy slice_scatter split_copy split_with_sizes_copy squeeze_copy t_copy "
        "transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy",
        "as_strided as_strided_ as_strided_scatter diagonal_scatter narrow_copy select_scatter slice_scatter squeeze_ "
        "swapaxes_ swapdims_ t_ transpose_ unfold unsqueeze_",
    ),
}

FUNCTIONS = {name: family for family, (functions, _) in FAMILIES.items() for name in functions.split()}
METHODS = {name: family for family, (_, methods) in FAMILIES.items() for name in methods.split()}


class Later:
    """A method whose family is not imported yet."""

    __slots__ = ("family", "name")

    def __init__(self, family: str, name: str):
        self.family, self.name = family, name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        import_module(f"{__package__}.{self.family}")  # its `@method`s take the places of these descriptors
        found = vars(Tensor)[self.name]
        if found is self:
            raise AttributeError(f"ops/{self.family}.py does not define the method {self.name!r}")
        return found.__get__(instance, owner)


def function(name: str) -> Any:
    """The function of that name, with `out=` where it has one."""
    found = getattr(import_module(f"{__package__}.{FUNCTIONS[name]}"), name)
    return out.with_out(found) if name in out.NAMES else found


for _name, _family in METHODS.items():
    if _name not in vars(Tensor):
        setattr(Tensor, _name, Later(_family, _name))
