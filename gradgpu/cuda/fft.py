"""Launches of fft.cu: which passes make the transform of a length.

A power of two up to 2048 (float64: 1024) is one launch, one read and one write. A longer one is two, by the four-step method
(Bailey, "FFTs in external or hierarchical memory", 1990): the positions as a matrix, its columns transformed, then its rows.
Any other length n is a convolution with a chirp (Bluestein, "A linear filtering approach to the computation of discrete
Fourier transform", 1970), made by two transforms of a power of two that is at least 2n - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np

from .. import dtypes as dt
from .array import Array, constant, contiguous, empty, on_device
from .launch import Kernel

_fft = Kernel("fft.cu", "fft", "PPPPP13q3d7i", T=(dt.float32, dt.float64))
_LOG_ROOTS = 11
_LOG_MOST = {4: 11, 8: 10}  # by the size of a real number: what fits into shared memory twice
_BLOCK_ELEMENTS = 1024  # a block takes several short rows


@dataclass(frozen=True)
class _Job:
    """A transform of power-of-two length of [outer, positions, columns]; see fft.cu for the other fields."""

    real: np.dtype
    outer: int
    columns: int
    n: int
    length: int
    inverse: bool
    scale: float
    in_count: int
    out_count: int
    in_real: bool = False
    out_real: bool = False
    in_weight: float = 1.0
    out_weight: float = 1.0
    in_factors: int = 0
    out_factors: int = 0


@lru_cache(maxsize=64)
def _roots(real: np.dtype, device: int) -> Array:
    count = 1 << _LOG_ROOTS
    return constant(_turns(np.arange(count) / count, False).astype(_complex(real)), device)


def _turns(part: np.ndarray, inverse: bool) -> np.ndarray:
    """exp(-2πi·part), or its conjugate."""
    return np.exp((2j if inverse else -2j) * np.pi * part)


def _complex(real: np.dtype) -> np.dtype:
    return dt.from_numpy_dtype(real).to_complex().np


@lru_cache(maxsize=64)
def _chirp(n: int, m: int, inverse: bool, real: np.dtype, device: int) -> tuple[Array, Array]:
    """The chirp of length n, and the transform of its conjugate, wrapped around in m places, over m."""
    k = np.arange(n, dtype=np.int64)
    chirp = _turns((k * k % (2 * n)) / (2 * n), inverse)
    wrapped = np.zeros(m, np.complex128)
    wrapped[:n] = np.conj(chirp)
    wrapped[m - n + 1 :] = np.conj(chirp[:0:-1])
    d = _complex(real)
    return constant(chirp.astype(d), device), constant((np.fft.fft(wrapped) / m).astype(d), device)


def transform(
    x: Array,
    dim: int,
    n: int,
    *,
    inverse: bool,
    scale: float,
    in_weight: float = 1.0,
    out_weight: float = 1.0,
    half: bool = False,
    out_real: bool = False,
) -> Array:
    """The discrete Fourier transform of length `n` along `dim`, times `scale`.

    Args:
        x: real or complex; where it has fewer than n positions, zeros follow.
        inverse: exponents with + instead of -.
        in_weight, out_weight: factors of all positions but 0 and n / 2.
        half: only the first n // 2 + 1 positions of the result.
        out_real: only the real parts of the result.
    """
    x = contiguous(x)
    real = dt.from_numpy_dtype(x.dtype).to_real().np
    kept = n // 2 + 1 if half else n
    y = empty((*x.shape[:dim], kept, *x.shape[dim + 1 :]), real if out_real else _complex(real), x.device)
    if not y.size:
        return y
    job = _Job(
        real, prod(x.shape[:dim]), prod(x.shape[dim + 1 :]), n, n, inverse, scale, x.shape[dim], kept,
        x.dtype.kind != "c", out_real, in_weight, out_weight,
    )  # fmt: skip
    most = 1 << 2 * _LOG_MOST[real.itemsize]
    m = n if n & (n - 1) == 0 else 1 << (2 * n - 2).bit_length()
    if m > most:
        raise NotImplementedError(
            f"fft: on cuda transforms of {real} numbers have up to {most} points, {most // 2} where the length is no power "
            f"of two; got {n}. Transform a copy on the host: x.cpu()"
        )
    with on_device(x.device):
        if m == n:
            _power_of_two(job, x.ptr, y.ptr, x.device)
        else:
            chirp, spectrum = _chirp(n, m, inverse, real, x.device)
            middle = empty((job.outer, m, job.columns), _complex(real), x.device)
            first = replace(
                job, n=m, inverse=False, scale=1.0, out_count=m, out_real=False, out_weight=1.0,
                in_factors=chirp.ptr, out_factors=spectrum.ptr,
            )  # fmt: skip
            second = replace(
                job, n=m, inverse=True, in_count=m, in_real=False, in_weight=1.0, out_factors=chirp.ptr
            )
            _power_of_two(first, x.ptr, middle.ptr, x.device)
            _power_of_two(second, middle.ptr, y.ptr, x.device)
    return y


def _power_of_two(job: _Job, source: int, target: int, device: int) -> None:
    log_n = job.n.bit_length() - 1
    if log_n <= _LOG_MOST[job.real.itemsize]:
        _launch(job, source, target, device, log_n, 1, (1, 0), (1, 0))
        return
    n1 = 1 << (log_n + 1) // 2
    n2 = job.n // n1
    between = empty((job.outer, job.n, job.columns), _complex(job.real), device)
    columns = replace(job, out_count=job.n, out_real=False, out_weight=1.0, out_factors=0, scale=1.0)
    rows = replace(job, in_count=job.n, in_real=False, in_weight=1.0, in_factors=0)
    _launch(columns, source, between.ptr, device, log_n - n2.bit_length() + 1, n2, (n2, 1), (n2, 1), job.n)
    _launch(rows, between.ptr, target, device, n2.bit_length() - 1, n1, (1, n2), (n1, 1))


def _launch(
    job: _Job,
    source: int,
    target: int,
    device: int,
    log_n: int,
    middle: int,
    steps_in: tuple[int, int],
    steps_out: tuple[int, int],
    twiddle: int = 0,
) -> None:
    """One launch: transforms of length 2^log_n of outer × middle × columns rows."""
    n, rows = 1 << log_n, job.outer * middle * job.columns
    # Rows lie side by side where columns do, or where the positions of neighbouring rows do.
    in_by_rows = job.columns > 1 or steps_in[0] > 1
    out_by_rows = job.columns > 1 or steps_out[0] > 1
    together = 1 << _LOG_MOST[job.real.itemsize] if in_by_rows or out_by_rows else _BLOCK_ELEMENTS
    log_rows = min(max(together >> log_n, 1), 64, 1 << (rows - 1).bit_length()).bit_length() - 1
    count = 1 << log_rows
    threads = min(256, max(32, count * n // 4))
    size = 2 * job.real.itemsize
    shared = 2 * count * (n + (count > 1)) * size + 24 * count
    _fft[job.real](
        min(-(-rows // count), 1 << 20), threads,
        source, target, _roots(job.real, device).ptr, job.in_factors, job.out_factors,
        rows, middle, job.columns,
        job.in_count * job.columns, *steps_in, job.in_count,
        job.out_count * job.columns, *steps_out, job.out_count,
        job.length, twiddle, job.scale, job.in_weight, job.out_weight,
        log_n, log_rows, job.inverse, job.in_real, job.out_real, in_by_rows, out_by_rows,
        shared=shared,
    )  # fmt: skip
