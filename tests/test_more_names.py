"""Smaller doors of PyTorch's: windows, random values for tests, blocks of nvtx, switches of backends and of autocast."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.signal import windows

# PyTorch's values (torch.signal.windows, float64), of 4 points: symmetric, and with sym=False.
WINDOWS: list[tuple[Any, dict, list, list]] = [
    (windows.hann, {}, [0, 0.75, 0.75, 0], [0, 0.5, 1, 0.5]),
    (windows.hamming, {}, [0.08, 0.77, 0.77, 0.08], [0.08, 0.54, 1, 0.54]),
    (windows.general_hamming, {"alpha": 0.6}, [0.2, 0.8, 0.8, 0.2], [0.2, 0.6, 1, 0.6]),
    (windows.bartlett, {}, [0, 2 / 3, 2 / 3, 0], [0, 0.5, 1, 0.5]),
    (windows.blackman, {}, [0, 0.63, 0.63, 0], [0, 0.34, 1, 0.34]),
    (windows.nuttall, {}, [0.0003628, 0.5292298, 0.5292298, 0.0003628], [0.0003628, 0.2269824, 1, 0.2269824]),
    (windows.cosine, {}, [0.38268343, 0.92387953, 0.92387953, 0.38268343], [0.30901699, 0.80901699, 1, 0.80901699]),
    (windows.exponential, {"tau": 2.0}, [0.47236655, 0.77880078, 0.77880078, 0.47236655], [0.36787944, 0.60653066, 1, 0.60653066]),
    (windows.gaussian, {"std": 1.5}, [0.60653066, 0.94595947, 0.94595947, 0.60653066], [0.41111229, 0.8007374, 1, 0.8007374]),
    (windows.kaiser, {"beta": 2.0}, [0.43867628, 0.92431388, 0.92431388, 0.43867628], [0.43867628, 0.83476143, 1.0, 0.83476143]),
    (windows.general_cosine, {"a": [0.7, 0.2, 0.1]}, [0.6, 0.75, 0.75, 0.6], [0.6, 0.6, 1, 0.6]),
]  # fmt: skip


@pytest.mark.parametrize(
    "window, options, symmetric, periodic", [pytest.param(*w, id=w[0].__name__) for w in WINDOWS]
)
def test_windows(window: Any, options: dict, symmetric: list, periodic: list, device: str) -> None:
    made = window(4, **options, dtype=gg.float64, device=device)
    assert made.device.type == device and made.dtype is gg.float64
    np.testing.assert_allclose(made.cpu().numpy(), symmetric, atol=2e-7)
    np.testing.assert_allclose(window(4, **options, sym=False, dtype=gg.float64).numpy(), periodic, atol=2e-7)
    assert window(1, **options).tolist() == [1.0] and window(0, **options).shape == (0,)
    assert window(3, **options, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="non-negative window length"):
        window(-1, **options)
    with pytest.raises(ValueError, match="float32 or float64"):
        window(3, **options, dtype=gg.float16)
    with pytest.raises(TypeError, match="unexpected keyword arguments"):
        window(3, **options, size=3)


def test_windows_refuse() -> None:
    for window, options in (
        (windows.exponential, {"tau": 0}), (windows.exponential, {"center": 1}), (windows.gaussian, {"std": 0}),
        (windows.kaiser, {"beta": -1}), (windows.general_cosine, {"a": []}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="must be|cannot be"):
            window(4, **options)
    assert windows.exponential(3, center=0, sym=False).tolist() == pytest.approx([1, np.exp(-1), np.exp(-2)])


@pytest.mark.parametrize("dtype", [gg.float32, gg.bfloat16, gg.complex64, gg.int16, gg.uint8, gg.bool])
def test_random_values_for_tests(dtype: Any, device: str) -> None:
    x = gg.testing.make_tensor(30, 40, dtype=dtype, device=device)
    assert x.shape == (30, 40) and x.dtype is dtype and x.device.type == device and x.is_contiguous()
    values = x.cpu().to(gg.complex64 if dtype.is_complex else gg.float32).numpy()
    assert len(np.unique(values)) > 1 and np.abs(values.real).max() <= 9
    assert not gg.testing.make_tensor(
        (30, 40), dtype=dtype, device=device, noncontiguous=True
    ).is_contiguous()
    assert not (gg.testing.make_tensor(200, dtype=dtype, device=device, exclude_zero=True) == 0).any()


def test_bounds_of_random_values() -> None:
    x = gg.testing.make_tensor((500,), dtype=gg.float64, low=2, high=3, requires_grad=True)
    assert x.requires_grad and x.is_leaf and 2 <= x.min() and x.max() < 3
    assert gg.testing.make_tensor((), dtype=gg.int64, low=4, high=5).item() == 4
    with pytest.raises(ValueError, match="must be less than"):
        gg.testing.make_tensor(2, dtype=gg.float32, low=1, high=1)


def test_blocks_of_nvtx() -> None:
    nvtx = gg.cuda.nvtx
    with gg.profiler.profile(activities=[gg.profiler.ProfilerActivity.CPU]) as prof:
        assert nvtx.range_push("outer") == 0 and nvtx.range_push("inner") == 1
        assert nvtx.range_pop() == 1 and nvtx.range_pop() == 0 and nvtx.range_pop() == -1
        with nvtx.range("{} of {}", 1, 2):
            nvtx.mark("here")
    names = [
        (event.name, event.cpu_parent and event.cpu_parent.name)
        for event in prof.events()
        if event.is_user_annotation
    ]
    assert names == [("outer", None), ("inner", "outer"), ("1 of 2", None), ("here", "1 of 2")]


def test_switches() -> None:
    cuda = gg.backends.cuda
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        getattr(cuda, f"enable_{name}_sdp")(False)
        assert getattr(cuda, f"{name}_sdp_enabled")() is False
        getattr(cuda, f"enable_{name}_sdp")(True)
        assert getattr(cuda, f"{name}_sdp_enabled")() is True
    assert cuda.is_flash_attention_available() and cuda.preferred_linalg_library("magma") == "default"
    with pytest.raises(RuntimeError, match="Unknown input value"):
        cuda.preferred_linalg_library("mine")
    assert not any(
        getattr(gg.backends, name).is_available() for name in ("mkl", "openmp", "nnpack", "opt_einsum")
    )
    assert (
        gg.backends.cpu.get_cpu_capability() == "DEFAULT" and gg.backends.mha.get_fastpath_enabled() is False
    )
    assert gg.get_num_interop_threads() == 1 and gg.set_flush_denormal(True) is False
    gg.set_num_interop_threads(2)
    gg.set_deterministic_debug_mode("warn")
    assert gg.get_deterministic_debug_mode() == 2 and not gg.is_deterministic_algorithms_warn_only_enabled()
    for wrong in (lambda: gg.set_num_interop_threads(0), lambda: gg.set_deterministic_debug_mode("x")):
        with pytest.raises(RuntimeError, match="expect"):
            wrong()


def test_older_names_of_modes() -> None:
    assert gg.get_autocast_gpu_dtype() is gg.float16 and gg.get_autocast_cpu_dtype() is gg.bfloat16
    with gg.autocast("cpu"):
        assert gg.is_autocast_cpu_enabled()
    gg.set_autocast_cpu_dtype(gg.float16)
    assert gg.get_autocast_dtype("cpu") is gg.float16
    gg.set_autocast_cpu_dtype(gg.bfloat16)
    gg.set_anomaly_enabled(True, check_nan=False)
    assert gg.is_anomaly_enabled() and not gg.is_anomaly_check_nan_enabled()
    gg.set_anomaly_enabled(False)
    assert not gg.is_anomaly_enabled() and gg.is_anomaly_check_nan_enabled()
    assert importlib.import_module("gradgpu.autograd.variable").Variable is gg.autograd.Variable


@pytest.mark.parametrize(
    "dims, size, kernel, options",
    [
        (1, (2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}), (2, (2, 3, 7, 6), (4, 3, 3, 2), {"stride": (2, 1), "dilation": 2}),
        (3, (1, 2, 4, 4, 3), (2, 2, 2, 3, 1), {"padding": 1}),
    ],
)  # fmt: skip
def test_gradients_of_convolutions(dims: int, size: tuple, kernel: tuple, options: dict, device: str) -> None:
    x, w = (gg.randn(s, dtype=gg.float64, device=device, requires_grad=True) for s in (size, kernel))
    convolve = getattr(gg.nn.functional, f"conv{dims}d")
    y = convolve(x, w, None, **options)
    g = gg.randn_like(y).requires_grad_()
    want = gg.autograd.grad(y, (x, w), g, create_graph=True)
    of_input, of_weight = (getattr(gg.nn.grad, f"conv{dims}d_{what}") for what in ("input", "weight"))
    got = of_input(x.shape, w, g, **options), of_weight(x, w.shape, g, **options)
    for a, b in zip(got, want):
        gg.testing.assert_close(a, b)
    gg.testing.assert_close(gg.autograd.grad(got[0].sum(), (w, g)), gg.autograd.grad(want[0].sum(), (w, g)))
    with gg.no_grad():
        assert not of_weight(x, w.shape, g, **options).requires_grad
    with pytest.raises(RuntimeError, match="grad_output has shape"):
        of_input(x.shape, w, g[..., :-1], **options)


def test_older_names_of_cuda() -> None:
    gg.cuda.init()
    assert gg.cuda.is_initialized() and all(name.startswith("sm_") for name in gg.cuda.get_arch_list())
    x = gg.ones(1000, device="cuda")
    assert gg.cuda.memory_cached() >= x.nbytes and gg.cuda.max_memory_cached() >= 0
    gg.cuda.reset_max_memory_allocated()
    gg.cuda.reset_max_memory_cached()


def test_methods_by_pytorch_s_names() -> None:
    nn, D = gg.nn, gg.distributions
    layers = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    assert isinstance(layers.pop(key=-1), nn.ReLU) and len(layers) == 1
    assert nn.RMSNorm(2)(x=gg.ones(1, 2)).shape == (1, 2)
    layer = nn.PReLU(init=0.5)
    with gg.no_grad():
        layer.weight.fill_(3)
    layer.reset_parameters()
    assert layer.weight.item() == 0.5
    mixture = D.MixtureSameFamily(D.Categorical(gg.ones(2)), D.Normal(gg.zeros(2), gg.ones(2)))
    assert mixture.log_prob(x=gg.tensor(0.0)).shape == () and mixture.cdf(
        x=gg.tensor(0.0)
    ).item() == pytest.approx(0.5)
    assert D.Bernoulli(gg.ones(3)).param_shape == D.OneHotCategorical(gg.ones(3)).param_shape == (3,)
    assert D.Bernoulli(logits=gg.ones(2)).param_shape == (2,)
    plan = gg.optim.lr_scheduler.ReduceLROnPlateau(
        gg.optim.SGD(layer.parameters(), lr=1.0), patience=0, cooldown=2
    )
    plan.step(1.0)
    assert not plan.in_cooldown
    plan.step(2.0)
    assert plan.in_cooldown
    assert gg.autograd.gradcheck(
        gg.sin, gg.ones(2, dtype=gg.float64, requires_grad=True), check_grad_dtypes=True, masked=False
    )


def test_frexp_of_unusual_numbers(device: str) -> None:
    inf, nan = float("inf"), float("nan")
    for dtype in (gg.float64, gg.float32):
        x = gg.tensor(
            [0.0, -0.0, inf, -inf, nan, 1.0, gg.finfo(dtype).max, gg.finfo(dtype).tiny],
            dtype=dtype,
            device=device,
        )
        mantissa, exponent = gg.frexp(x)
        want = np.frexp(x.cpu().numpy())
        np.testing.assert_array_equal(
            mantissa.cpu().numpy()[[0, 1, 2, 3, 5, 6, 7]], want[0][[0, 1, 2, 3, 5, 6, 7]]
        )
        assert (
            mantissa[4].isnan()
            and exponent.dtype is gg.int32
            and exponent.tolist()[5:] == want[1].tolist()[5:]
        )
    low = gg.tensor([5e-324, 3e-310], dtype=gg.float64, device=device)
    mantissa, exponent = low.frexp()
    assert mantissa.tolist() == np.frexp(low.cpu().numpy())[0].tolist() and exponent.tolist() == [
        -1073,
        -1028,
    ]
