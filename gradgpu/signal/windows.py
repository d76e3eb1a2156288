"""Windows of M points, by SciPy's names (Harris, "On the use of windows for harmonic analysis with the discrete Fourier
transform", 1978; Nuttall, "Some windows with very good sidelobe behavior", 1981). Symmetric by default; with `sym=False` the last
of M + 1 points is left out, for use with Fourier transforms. They are made on the host and then moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..layouts import strided_only
from ..ops.creation import tensor
from ..tensor import Tensor

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann", "kaiser",
    "nuttall",
]  # fmt: skip


def _window(name: str, M: int, sym: bool, values: Callable, options: dict[str, Any]) -> Tensor:
    """`values` of the distances 0, 1, … from the first point, and of the last distance."""
    unknown = set(options) - {"dtype", "layout", "device", "requires_grad"}
    if unknown:
        raise TypeError(f"{name}() got unexpected keyword arguments {sorted(unknown)}")
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if options.get("layout") is not None:
        strided_only(name, options["layout"])
    d = dt.get_default_dtype() if options.get("dtype") is None else dt.as_dtype(options["dtype"])
    if d not in (dt.float32, dt.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {d}")
    last = (M - 1 if sym else M) or 1
    made = np.ones(M) if M == 1 else values(np.arange(M, dtype=np.float64), float(last))
    return tensor(
        made, dtype=d, device=options.get("device"), requires_grad=bool(options.get("requires_grad", False))
    )


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """Σ (-1)ⁱ aᵢ cos(2πi k / (M - 1)). Options of all windows: dtype (float32 or float64), device, requires_grad.

    >>> import gradgpu as gg
    >>> gg.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """
    factors = list(a)
    if not factors:
        raise ValueError("Coefficients cannot be empty")

    def values(k: Any, last: float) -> Any:
        terms = [(-1) ** i * c * np.cos(2 * np.pi * i * k / last) for i, c in enumerate(factors)]
        return np.sum(terms, 0)

    return _window("general_cosine", M, sym, values, options)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """alpha - (1 - alpha) · cos(2πk / (M - 1))."""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, **options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """`general_hamming` with alpha = 0.54."""
    return general_hamming(M, sym=sym, **options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """`general_hamming` with alpha = 0.5."""
    return general_hamming(M, alpha=0.5, sym=sym, **options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """`general_cosine` with 0.42, 0.5 and 0.08."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, **options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """The window of four terms with the lowest side lobes."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, **options)


def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """The triangle 1 - |2k / (M - 1) - 1|.

    >>> import gradgpu as gg
    >>> gg.signal.windows.bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _window("bartlett", M, sym, lambda k, last: 1 - np.abs(2 * k / last - 1), options)


def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """sin(π (k + 1/2) / M)."""
    points = M if sym else M + 1
    return _window("cosine", M, sym, lambda k, last: np.sin(np.pi * (k + 0.5) / points), options)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """exp(-|k - center| / tau); the center is the middle by default, and with `sym` must be."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return _window(
        "exponential", M, sym, lambda k, last: np.exp(-np.abs(k - (last / 2 if center is None else center)) / tau), options
    )  # fmt: skip


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """exp(-(k - middle)² / (2 std²)).

    >>> import gradgpu as gg
    >>> gg.signal.windows.gaussian(3, std=0.5)
    tensor([0.1353, 1.0000, 0.1353])
    """
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window("gaussian", M, sym, lambda k, last: np.exp(-(((k - last / 2) / std) ** 2) / 2), options)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """I₀(beta √(1 - (2k / (M - 1) - 1)²)) / I₀(beta)."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")

    def values(k: Any, last: float) -> Any:
        inside = np.maximum(1 - (2 * k / last - 1) ** 2, 0)
        return np.i0(beta * np.sqrt(inside)) / np.i0(beta)

    return _window("kaiser", M, sym, values, options)
