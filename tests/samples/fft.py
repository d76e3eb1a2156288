"""Samples of the Fourier transforms. Complex numbers go in and come out as pairs of real ones; see complex.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample
from tests.samples.complex import REAL, paired, parts

TOLERANCE = {"float32": (1e-4, 1e-4), "float64": (1e-9, 1e-9)}


def of_complex(name: str, reference: Callable, samples: list[Sample], errors: Any = ()) -> OpSamples:
    """A transform of complex numbers."""
    function = getattr(gg.fft, name)

    def called(x: Any, *args: Any, **kwargs: Any) -> Any:
        return parts(function(paired(x), *args, **kwargs))

    called.__name__ = name
    return OpSamples(
        name, called, samples, lambda x, *args, **kwargs: parts(reference(paired(x), *args, **kwargs)), dtypes=REAL,
        errors=errors, tolerance=TOLERANCE,
    )  # fmt: skip


def of_real(name: str, reference: Callable, samples: list[Sample], errors: Any = ()) -> OpSamples:
    """A transform of real numbers."""
    function = getattr(gg.fft, name)

    def called(x: Any, *args: Any, **kwargs: Any) -> Any:
        return parts(function(x, *args, **kwargs))

    called.__name__ = name
    return OpSamples(
        name, called, samples, lambda x, *args, **kwargs: parts(reference(x, *args, **kwargs)), dtypes=REAL,
        errors=errors, tolerance=TOLERANCE,
    )  # fmt: skip


def _axes(function: Callable) -> Callable:
    """numpy's function under PyTorch's names of arguments."""

    def called(x: Any, s: Any = None, dim: Any = None, norm: Any = None) -> Any:
        if s is not None and dim is None:
            dim = tuple(range(-len(s), 0))
        return function(x, s, dim, norm)

    return called


def _one(function: Callable) -> Callable:
    return lambda x, n=None, dim=-1, norm=None: function(x, n, dim, norm)


# Lengths with factors 2 and 3, odd ones, primes, one point; padded, cut off.
SHAPES: list[Any] = [
    Sample(In(3, 8, 2)), Sample(In(6, 2)), Sample(In(2, 7, 2), norm="ortho"), Sample(In(5, 3, 2), dim=0, norm="forward"),
    Sample(In(4, 5, 2), n=8), Sample(In(4, 5, 2), n=3, dim=0), Sample(In(1, 2)), Sample(In(0, 4, 2)),
]  # fmt: skip
REALS: list[Any] = [
    Sample(In(3, 8)), Sample(In(7)), Sample(In(6, 3), dim=0, norm="ortho"), Sample(In(4, 5), n=8, norm="forward"),
    Sample(In(4, 5), n=3), Sample(In(1)), Sample(In(0, 4)),
]  # fmt: skip
HALVES: list[Any] = [
    Sample(In(3, 5, 2)), Sample(In(5, 2), n=9), Sample(In(3, 4, 2), dim=0, norm="ortho"), Sample(In(4, 2), n=4, norm="forward"),
    Sample(In(2, 2)), Sample(In(0, 3, 2)),
]  # fmt: skip
MANY: list[Any] = [
    Sample(In(3, 4, 6, 2)), Sample(In(4, 6, 2), s=(5, 4)), Sample(In(3, 4, 5, 2), dim=(0, 2), norm="ortho"),
    Sample(In(0, 4, 4, 2), dim=(1, 2)),
]  # fmt: skip
BAD_DIM = Bad(In(3, 2), dim=1, raises=IndexError, match="out of range")
BAD_NORM = Bad(In(3, 2), norm="half", raises=RuntimeError, match="normalization mode")
BAD_NORM_2 = Bad(In(3, 3, 2), norm="half", raises=RuntimeError, match="normalization mode")
BAD_LENGTH = Bad(In(3, 2), n=0, raises=RuntimeError, match="Invalid number of data points")

OPS = [
    of_complex("fft", _one(np.fft.fft), SHAPES, [BAD_DIM, BAD_NORM, BAD_LENGTH]),
    of_complex("ifft", _one(np.fft.ifft), SHAPES, [BAD_DIM, BAD_NORM]),
    of_real("rfft", _one(np.fft.rfft), REALS, [Bad(In(3), norm="half", raises=RuntimeError, match="normalization mode")]),
    of_complex("irfft", _one(np.fft.irfft), HALVES, [BAD_NORM]),
    of_complex("hfft", _one(np.fft.hfft), HALVES, [BAD_NORM]),
    of_real("ihfft", _one(np.fft.ihfft), REALS, [Bad(In(3), dim=2, raises=IndexError, match="out of range")]),
    of_complex("fftn", _axes(np.fft.fftn), MANY, [Bad(In(3, 3, 2), dim=(0, 0), raises=RuntimeError, match="unique")]),
    of_complex("ifftn", _axes(np.fft.ifftn), MANY, [Bad(In(3, 3, 2), s=(2, 2), dim=0, raises=RuntimeError, match="same length")]),
    of_real(
        "rfftn", _axes(np.fft.rfftn),
        [Sample(In(3, 4, 6)), Sample(In(4, 6), s=(5, 4)), Sample(In(3, 4, 5), dim=(0, 2), norm="ortho"), Sample(In(0, 4, 4), dim=(1, 2))],
        [Bad(In(3, 3), norm="half", raises=RuntimeError, match="normalization mode")],
    ),
    of_complex(
        "irfftn", _axes(np.fft.irfftn),
        [Sample(In(3, 4, 3, 2)), Sample(In(4, 3, 2), s=(5, 4)), Sample(In(3, 4, 5, 2), dim=(0, 2), norm="ortho"), Sample(In(0, 4, 4, 2), dim=(1, 2))],
        [Bad(In(3, 3, 2), norm="half", raises=RuntimeError, match="normalization mode")],
    ),
    of_complex("fft2", lambda x, **how: np.fft.fft2(x, **how), [Sample(In(2, 3, 4, 2)), Sample(In(0, 3, 4, 2))], [BAD_NORM_2]),
    of_complex("ifft2", lambda x, **how: np.fft.ifft2(x, **how), [Sample(In(2, 3, 4, 2)), Sample(In(0, 3, 4, 2))], [BAD_NORM_2]),
    of_real(
        "rfft2", lambda x, **how: np.fft.rfft2(x, **how), [Sample(In(2, 3, 4)), Sample(In(0, 3, 4))],
        [Bad(In(3, 3), norm="half", raises=RuntimeError, match="normalization mode")],
    ),
    of_complex("irfft2", lambda x, **how: np.fft.irfft2(x, **how), [Sample(In(2, 3, 4, 2)), Sample(In(0, 3, 4, 2))], [BAD_NORM_2]),
    of_real(
        "fftshift", lambda x, dim=None: np.fft.fftshift(x, dim), [Sample(In(3, 4)), Sample(In(5), dim=0), Sample(In(0, 2))],
        [Bad(In(3), dim=1, raises=IndexError, match="out of range")],
    ),
    of_real(
        "ifftshift", lambda x, dim=None: np.fft.ifftshift(x, dim), [Sample(In(3, 4)), Sample(In(5), dim=0), Sample(In(0, 2))],
        [Bad(In(3), dim=1, raises=IndexError, match="out of range")],
    ),
]  # fmt: skip
