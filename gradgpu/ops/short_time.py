"""Fourier transforms of the windows of a signal, and back."""

from __future__ import annotations

from typing import Any

from .. import dtypes as dt
from ..tensor import Tensor
from .creation import arange, ones
from .index import index_add
from .pad import pad
from .reduce import require_tensor
from .registry import method


def _window(name: str, n_fft: int, win_length: int | None, window: Tensor | None, like: Tensor) -> Tensor:
    """The window, centred in n_fft points."""
    length = n_fft if win_length is None else win_length
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={length}")
    real = like.dtype.to_real()
    if window is None:
        window = ones(length, dtype=real, device=like.device)
    elif tuple(window.shape) != (length,):
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{tuple(window.shape)}"
        )
    left = (n_fft - length) // 2
    return pad(window, (left, n_fft - length - left)) if length < n_fft else window


@method
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Tensor:
    """The short-time Fourier transform: the `fft` of each window of a signal, (…, frequencies, frames).

    Args:
        input: (L,) or (B, L).
        n_fft: points of a transform.
        hop_length: steps between windows, n_fft // 4 by default.
        win_length, window: the points that count (n_fft by default) and their weights (ones).
        center: whether the signal is continued by n_fft // 2 at both ends (`pad_mode`), so that frame t is centred at t · hop.
        normalized: whether the result is multiplied with n_fft^-½.
        onesided: only frequencies 0 … n_fft // 2 (the default for real signals).
        return_complex: must be given for real signals; False gives real and imaginary parts as a last dimension.

    Raises:
        RuntimeError: sizes that do not fit, or a missing `return_complex`.

    >>> import gradgpu as gg
    >>> gg.stft(gg.ones(8), 4, return_complex=True).shape
    gradgpu.Size([3, 9])
    """
    from .. import fft

    require_tensor("stft", input)
    hop = n_fft // 4 if hop_length is None else hop_length
    if input.ndim not in (1, 2) or input.dtype.category < dt.FLOAT:
        raise RuntimeError(
            f"stft: expected a 1D or 2D tensor of floating point or complex values, got {input.dtype}, shape {tuple(input.shape)}"
        )
    if hop <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop}")
    complex_input = input.is_complex() or window is not None and window.is_complex()
    if return_complex is None:
        if not complex_input:
            raise RuntimeError("stft requires the return_complex parameter be given for real inputs")
        return_complex = True
    onesided = not complex_input if onesided is None else onesided
    if onesided and complex_input:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    x = input.unsqueeze(0) if input.ndim == 1 else input
    if center:
        half = n_fft // 2
        x = pad(x.unsqueeze(1), (half, half), mode=pad_mode).squeeze(1)
    if not 0 < n_fft <= x.shape[1]:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {x.shape[1]}, but got n_fft={n_fft}")
    frames = x.unfold(-1, n_fft, hop) * _window("stft", n_fft, win_length, window, x)
    made = (fft.rfft if onesided else fft.fft)(frames, norm="ortho" if normalized else None).transpose(1, 2)
    made = made[0] if input.ndim == 1 else made
    from .complex import view_as_real

    return made if return_complex else view_as_real(made.contiguous())


@method
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The inverse of `stft` (Griffin and Lim, 1984): windows are added where they overlap, divided by the sum of squared weights.

    Args:
        input: (frequencies, frames) or (B, frequencies, frames), complex.
        length: how many points of the signal to give; what lies beyond the frames is zero.
        others: as in `stft`; `return_complex` for complex signals, whose spectra have all frequencies.

    Raises:
        RuntimeError: sizes that do not fit, or windows that leave a point without weight.

    >>> import gradgpu as gg
    >>> x, w = gg.arange(8.), gg.hann_window(4)
    >>> gg.istft(gg.stft(x, 4, window=w, return_complex=True), 4, window=w).round()
    tensor([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    from .. import fft

    require_tensor("istft", input)
    if not input.is_complex() or input.ndim not in (2, 3):
        raise RuntimeError(
            f"istft requires a complex-valued input tensor of 2 or 3 dimensions, got {input.dtype}, shape {tuple(input.shape)}"
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    spectra = input if input.ndim == 3 else input.unsqueeze(0)
    frames, rows = spectra.shape[2], spectra.shape[1]
    onesided = rows != n_fft if onesided is None else onesided
    if rows != (n_fft // 2 + 1 if onesided else n_fft):
        raise RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft={n_fft} with "
            f"onesided={onesided}, but got {rows}"
        )
    weights = _window("istft", n_fft, win_length, window, spectra)
    norm = "ortho" if normalized else None
    spectra = spectra.transpose(1, 2)
    if onesided and return_complex:
        raise RuntimeError("istft: cannot have onesided input with return_complex=True")
    if return_complex:
        pieces = fft.ifft(spectra, norm=norm)
    else:  # of all frequencies of a real signal the second half follows from the first
        pieces = fft.irfft(spectra[..., : n_fft // 2 + 1], n=n_fft, norm=norm)
    total = n_fft + hop * (frames - 1)
    start = arange(frames, device=input.device) * hop
    places = (start.unsqueeze(1) + arange(n_fft, device=input.device)).reshape(-1)

    def added(parts: Any) -> Tensor:
        return index_add(
            parts.new_zeros((parts.shape[0], total)), 1, places, parts.reshape(parts.shape[0], -1)
        )

    signal = added(pieces * weights)
    envelope = added((weights * weights).expand(1, frames, n_fft).contiguous())
    first = n_fft // 2 if center else 0
    last = total - first if length is None else min(first + length, total)
    signal, envelope = signal[:, first:last], envelope[:, first:last]
    if bool((envelope.abs() <= 1e-11).any()):
        raise RuntimeError(
            "istft: window overlap add min: some points have no weight; use another window or a shorter hop"
        )
    signal = signal / envelope
    if length is not None and signal.shape[1] < length:
        signal = pad(signal, (0, length - signal.shape[1]))
    return signal[0] if input.ndim == 2 else signal


__all__ = ["istft", "stft"]
