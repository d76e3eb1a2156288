"""How a tensor's elements are kept: `strided`, all of them at fixed steps, or some with their positions:
`sparse_coo`, a row and a column for each, or `sparse_csr`, a column for each and where each row begins."""

from __future__ import annotations


class layout:
    """A layout; `x.layout` tells a tensor's.

    >>> import gradgpu as gg
    >>> gg.ones(2).layout
    gradgpu.strided
    """

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"gradgpu.{self.name}"

    def __reduce__(self) -> str:
        return self.name


strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")


def strided_only(name: str, given: object) -> None:
    """Raises if a factory of dense tensors is asked for another layout."""
    if given is not strided:
        raise RuntimeError(
            f"{name}: makes tensors of the layout {strided} only, got {given!r}; see sparse_coo_tensor"
        )
