"""Samples of ops/short_time.py: as real and imaginary parts, which every device and dtype here has."""

import numpy as np

import gradgpu as gg
from tests.samples import Bad, In, OpSamples, Sample


def stft(x, n_fft, hop=None, win_length=None, window=None, center=True, onesided=True):
    """One transform after another, real and imaginary parts last."""
    x = np.asarray(x, np.float64)
    hop, length = hop or n_fft // 4, win_length or n_fft
    weights = np.zeros(n_fft)
    left = (n_fft - length) // 2
    weights[left : left + length] = 1 if window is None else window
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode="reflect")
    starts = range(0, x.shape[-1] - n_fft + 1, hop)
    transform = np.fft.rfft if onesided else np.fft.fft
    made = np.stack([transform(x[..., s : s + n_fft] * weights) for s in starts], -1)
    return np.stack([made.real, made.imag], -1)


def call(x, n_fft, hop=None, win_length=None, window=None, center=True, onesided=True):
    return gg.stft(x, n_fft, hop, win_length, window, center, onesided=onesided, return_complex=False)


OPS = [
    OpSamples(
        "stft",
        call,
        samples=[
            Sample(In(20), 8),
            Sample(In(2, 20), 8, hop=3, window=In(8, low=0.5, high=1)),
            Sample(In(2, 20), 8, win_length=5, window=In(5, low=0.5, high=1), center=False),
            Sample(In(18), 6, onesided=False),
            Sample(In(0, 20), 8),
        ],
        reference=stft,
        dtypes=("float32", "float64"),
        tolerance={"float32": (1e-4, 1e-5)},
        errors=[
            Bad(In(2, 2, 20), 8, raises=RuntimeError, match="1D or 2D"),
            Bad(In(20), 8, hop=-1, raises=RuntimeError, match="hop_length > 0"),
            Bad(In(20), 8, win_length=9, raises=RuntimeError, match="win_length"),
            Bad(In(20), 8, window=In(5), raises=RuntimeError, match="window tensor of size"),
            Bad(In(5), 8, center=False, raises=RuntimeError, match="0 < n_fft"),
        ],
    ),
]
