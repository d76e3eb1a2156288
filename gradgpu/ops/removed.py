"""Functions that PyTorch has had and has no more: they say what stands in their place."""

from __future__ import annotations

from typing import Any, NoReturn

from .registry import method


def _removed(name: str, instead: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"{name}: this function was deprecated and is removed, as in PyTorch; use {instead}"
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Raises RuntimeError: use {instead}."
    method(name)(function)
    return function


solve = _removed("solve", "linalg.solve(A, B), with the arguments the other way round")
lstsq = _removed("lstsq", "linalg.lstsq(A, B).solution, with the arguments the other way round")
symeig = _removed("symeig", "linalg.eigh(A) or linalg.eigvalsh(A)")
eig = _removed("eig", "linalg.eig(A) or linalg.eigvals(A)")
matrix_rank = _removed("matrix_rank", "linalg.matrix_rank(A)")

__all__ = ["eig", "lstsq", "matrix_rank", "solve", "symeig"]
