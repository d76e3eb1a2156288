"""Fourier transforms beyond the samples: frequencies, dtypes, and transforms that undo each other."""

from typing import Any

import numpy as np
import pytest

import gradgpu as gg


def test_frequencies(device: str) -> None:
    for n in (1, 4, 5):
        for name in ("fftfreq", "rfftfreq"):
            got = getattr(gg.fft, name)(n, 0.5, device=device)
            assert got.dtype is gg.float32
            assert got.device.type == device
            np.testing.assert_allclose(got.cpu().numpy(), getattr(np.fft, name)(n, 0.5), rtol=1e-6)
    with pytest.raises(TypeError, match="fftfreq"):
        gg.fft.fftfreq(2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "there, back", [("fft", "ifft"), ("rfft", "irfft"), ("fft2", "ifft2"), ("rfftn", "irfftn")]
)
def test_inverses(there: str, back: str, device: str) -> None:
    x = gg.randn(3, 4, 6, device=device)
    y = getattr(gg.fft, back)(getattr(gg.fft, there)(x))
    np.testing.assert_allclose(gg.real(y).cpu().numpy(), x.cpu().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "given, made", [(gg.float32, gg.complex64), (gg.float64, gg.complex128), (gg.int64, gg.complex64)]
)
def test_dtypes(given: Any, made: Any, device: str) -> None:
    assert gg.fft.fft(gg.ones(4, dtype=given, device=device)).dtype is made
    with pytest.raises(RuntimeError, match="Unsupported dtype"):
        gg.fft.fft(gg.ones(4, dtype=gg.float16, device=device))
    with pytest.raises(RuntimeError, match="real input"):
        gg.fft.rfft(gg.ones(4, dtype=gg.complex64, device=device))


def test_a_filter_learns_through_the_spectrum(device: str) -> None:
    """The gradient of a product of spectra: the convolution theorem, backward."""
    x, kernel = gg.randn(8, device=device), gg.randn(8, device=device, requires_grad=True)
    y = gg.fft.irfft(gg.fft.rfft(x) * gg.fft.rfft(kernel))
    y[0].backward()
    want = [x[-k % 8].item() for k in range(8)]  # y[0] = Σ kernel[k] · x[-k]
    np.testing.assert_allclose(kernel.grad.cpu().numpy(), want, atol=1e-5)


@pytest.mark.parametrize("n", [2, 17, 64, 100, 1000, 2048, 4096, 5000])
def test_every_method(n: int, device: str) -> None:
    """One pass, two passes, and Bluestein's method for lengths that are no power of two."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, n)) + 1j * rng.standard_normal((2, n))
    want = np.fft.fft(x)
    for kind, error in ((np.complex128, 1e-12), (np.complex64, 1e-5)):
        got = gg.fft.fft(gg.tensor(x.astype(kind), device=device)).cpu().numpy()
        assert np.abs(got - want).max() < error * np.abs(want).max() * np.log2(n)


@pytest.mark.cuda
def test_of_too_many_points() -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="fft"):
        gg.fft.fft(gg.empty(4_194_305, device="cuda"))
