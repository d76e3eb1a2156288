"""autocast: which dtype each operation chooses, and that nothing of it is left behind; GradScaler step by step."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import amp, nn
from gradgpu.autograd.modes import state
from gradgpu.nn import functional as F
from gradgpu.ops.registry import OPS, Op

HALVES = [gg.float16, gg.bfloat16]


def two(device: str, *shape: int) -> gg.Tensor:
    return gg.ones(*shape, device=device)


IN_HALF: dict[str, Any] = {
    "matmul": lambda d: two(d, 2, 3) @ two(d, 3, 2),
    "mm": lambda d: gg.mm(two(d, 2, 3), two(d, 3, 2)),
    "bmm": lambda d: gg.bmm(two(d, 1, 2, 3), two(d, 1, 3, 2)),
    "mv": lambda d: two(d, 2, 3) @ two(d, 3),
    "addmm": lambda d: gg.addmm(two(d, 2).half(), two(d, 2, 3), two(d, 3, 2)).to(gg.get_autocast_dtype(d)),
    "linear": lambda d: F.linear(two(d, 2, 3), two(d, 4, 3), two(d, 4)),
    "linear of a cube": lambda d: F.linear(two(d, 1, 2, 3), two(d, 4, 3)),
    "conv1d": lambda d: F.conv1d(two(d, 1, 1, 4), two(d, 1, 1, 2), two(d, 1)),
    "conv2d": lambda d: F.conv2d(two(d, 1, 1, 4, 4), two(d, 1, 1, 2, 2), two(d, 1)),
    "conv3d": lambda d: F.conv3d(two(d, 1, 1, 3, 3, 3), two(d, 1, 1, 2, 2, 2)),
    "conv_transpose2d": lambda d: F.conv_transpose2d(two(d, 1, 1, 2, 2), two(d, 1, 1, 2, 2)),
    "einsum": lambda d: gg.einsum("ij,kj->ik", two(d, 2, 3), two(d, 4, 3)),
    "attention": lambda d: F.scaled_dot_product_attention(two(d, 1, 2, 3), two(d, 1, 2, 3), two(d, 1, 2, 3)),
    "mixed inputs": lambda d: F.linear(two(d, 2, 3).half(), two(d, 4, 3), two(d, 4).bfloat16()),
    "relu after": lambda d: (two(d, 2, 3) @ two(d, 3, 2)).relu(),
}
IN_FLOAT32: dict[str, Any] = {
    "softmax": lambda h: h.softmax(-1),
    "log_softmax": lambda h: h.log_softmax(-1),
    "exp": lambda h: h.exp(),
    "log": lambda h: h.log(),
    "pow": lambda h: h**2.5,
    "sum": lambda h: h.sum(),
    "prod": lambda h: h.prod(),
    "cumsum": lambda h: h.cumsum(0),
    "norm": lambda h: h.norm(),
    "softplus": lambda h: F.softplus(h),
    "layer_norm": lambda h: F.layer_norm(h, (3,), gg.ones(3, device=h.device), gg.zeros(3, device=h.device)),
    "rms_norm": lambda h: F.rms_norm(h, (3,), gg.ones(3, device=h.device), 1e-6),
    "group_norm": lambda h: F.group_norm(h, 1, gg.ones(3, device=h.device), gg.zeros(3, device=h.device)),
    "cross_entropy": lambda h: F.cross_entropy(h, gg.zeros(2, device=h.device).long()),
    "weighted": lambda h: F.cross_entropy(
        h, gg.zeros(2, device=h.device).long(), gg.ones(3, device=h.device)
    ),
    "nll_loss": lambda h: F.nll_loss(h, gg.zeros(2, device=h.device).long()),
    "mse_loss": lambda h: F.mse_loss(h, h * 0),
    "mse_loss to float32": lambda h: F.mse_loss(h, h.float()),
    "l1_loss": lambda h: F.l1_loss(h, h * 0),
    "smooth_l1_loss": lambda h: F.smooth_l1_loss(h, h * 0),
    "huber_loss": lambda h: F.huber_loss(h, h * 0),
    "kl_div": lambda h: F.kl_div(h, h),
    "bce": lambda h: F.binary_cross_entropy(h, h),
    "bce with logits": lambda h: F.binary_cross_entropy_with_logits(h, h),
    "dot of two dtypes": lambda h: h[0].float().dot(h[0]),
}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", IN_HALF)
def test_products_compute_in_the_half_dtype(name: str, dtype: gg.dtype, device: str) -> None:
    with gg.autocast(device, dtype):
        y = IN_HALF[name](device)
    assert y.dtype is dtype


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", IN_FLOAT32)
def test_sums_and_losses_compute_in_float32(name: str, dtype: gg.dtype, device: str) -> None:
    h = gg.full((2, 3), 0.3, device=device).to(dtype)
    outside = IN_FLOAT32[name](h.float())
    with gg.autocast(device, dtype):
        y = IN_FLOAT32[name](h)
    assert y.dtype is gg.float32
    gg.testing.assert_close(y, outside)


def test_other_dtypes_stay(device: str) -> None:
    with gg.autocast(device, gg.bfloat16):
        wide = gg.ones(2, 2, device=device, dtype=gg.float64)
        assert (wide @ wide).dtype is gg.float64
        assert F.gelu(gg.ones(2, device=device)).dtype is gg.float32
        assert (gg.ones(2, device=device).half() * 2).dtype is gg.float16
        assert gg.ones(2, device=device, dtype=gg.int64).sum().dtype is gg.int64


def test_regions_nest_and_leave_nothing_behind(device: str) -> None:
    x = gg.ones(2, 2, device=device)
    with gg.autocast(device, gg.bfloat16):
        assert gg.is_autocast_enabled(device) and gg.get_autocast_dtype(device) is gg.bfloat16
        with gg.autocast(device, enabled=False):
            assert (x @ x).dtype is gg.float32 and not gg.is_autocast_enabled(device)
        with gg.autocast(device, gg.float16):
            assert (x @ x).dtype is gg.float16
        assert (x @ x).dtype is gg.bfloat16
        with pytest.raises(ZeroDivisionError), gg.autocast(device, gg.float16):
            raise ZeroDivisionError
    assert (x @ x).dtype is gg.float32 and x.exp().dtype is gg.float32
    assert x.half().exp().dtype is gg.float16
    assert state.autocast is None and not state.special
    assert not [name for name, op in OPS.items() if "Autocast" in type(op).__name__]
    assert type(OPS["mm"]) is Op


def test_other_devices_and_threads_are_left_alone() -> None:
    x = gg.ones(2, 2)
    found: list[gg.dtype] = []
    with gg.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append((x @ x).dtype))
        thread.start()
        thread.join()
        assert (x @ x).dtype is gg.bfloat16
        assert not gg.is_autocast_enabled("cuda")
    assert found == [gg.float32]


@pytest.mark.cuda
def test_a_region_of_the_cpu_leaves_cuda_alone() -> None:
    x = gg.ones(2, 2, device="cuda")
    with gg.autocast("cpu"):
        assert (x @ x).dtype is gg.float32 and x.half().exp().dtype is gg.float16
        with gg.cuda.amp.autocast():
            assert (x @ x).dtype is gg.float16 and (x.cpu() @ x.cpu()).dtype is gg.bfloat16


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.group = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4)
        self.first, self.scale, self.last = nn.Linear(16, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        x = F.max_pool2d(self.group(self.norm(self.conv(x)).relu()), 2)
        return self.last(F.gelu(self.scale(self.first(x.flatten(1)))))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_net_trains(dtype: gg.dtype, inside: bool, device: str) -> None:
    gg.manual_seed(0)
    net = Net().to(device)
    x, y = gg.randn(8, 1, 6, 6, device=device), gg.arange(8, device=device) % 3
    exact = F.cross_entropy(net(x), y)
    exact.backward()
    wanted = {n: p.grad for n, p in net.named_parameters()}
    net.zero_grad()
    with gg.autocast(device, dtype):
        out = net(x)
        loss = F.cross_entropy(out, y)
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    assert out.dtype is dtype and loss.dtype is gg.float32
    assert abs(loss.item() - exact.item()) < 0.05
    for name, p in net.named_parameters():
        assert p.grad.dtype is gg.float32
        error = (p.grad - wanted[name]).norm().item()
        assert error < 0.15 * wanted[name].norm().item() + 1e-2, name


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_nets_in_a_region(make: Any, device: str) -> None:
    net = make(3, 4, batch_first=True).to(device)
    x = gg.randn(2, 5, 3, device=device)
    exact = net(x)[0]
    with gg.autocast(device, gg.bfloat16):
        out = net(x)[0]
        out.float().square().mean().backward()
    assert abs((out.float() - exact).abs().max().item()) < 0.05
    assert all(p.grad is not None and p.grad.dtype is gg.float32 for p in net.parameters())


def test_a_transformer_layer_in_a_region(device: str) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).to(device)
    x = gg.randn(2, 5, 8, device=device)
    exact = layer(x)
    with gg.autocast(device, gg.bfloat16):
        out = layer(x)
        out.float().square().mean().backward()
    assert (out.float() - exact).abs().max().item() < 0.2
    assert all(p.grad is not None and p.grad.dtype is gg.float32 for p in layer.parameters())


def test_parameters_are_converted_once_a_region() -> None:
    layer = nn.Linear(3, 2)
    x = gg.ones(1, 3)
    with gg.autocast("cpu"):
        layer(x)
        cached = dict(state.autocast.cache)
        layer(x)
        assert len(cached) == 2 and all(state.autocast.cache[k][3] is v[3] for k, v in cached.items())
        a, b = layer(x).float().sum(), layer(x).float().sum()
        a.backward()  # two passes through one conversion
        b.backward()
        np.testing.assert_allclose(layer.bias.grad.tolist(), [2, 2])
        with gg.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
        assert layer(x).tolist() == [[0.0, 0.0]]  # a changed parameter is converted again
        gg.clear_autocast_cache()
        assert not state.autocast.cache
    with gg.autocast("cpu", cache_enabled=False):
        layer(x)
        assert not state.autocast.cache and not gg.is_autocast_cache_enabled()
    with gg.autocast("cpu"):
        with gg.no_grad():
            layer(x)
        layer(x).float().sum().backward()  # what was converted without grad is not used with it
    np.testing.assert_allclose(layer.bias.grad.tolist(), [3, 3])


def test_gradients_of_gradients_in_a_region() -> None:
    w = gg.tensor([[2.0]], requires_grad=True)
    with gg.autocast("cpu", gg.bfloat16):
        y = (w @ w).float() ** 3
        (g,) = gg.autograd.grad(y.sum(), w, create_graph=True)
    g.sum().backward()
    np.testing.assert_allclose([g.item(), w.grad.item()], [6 * 2**5, 30 * 2**4], rtol=2e-2)


def test_autocast_decorates() -> None:
    @gg.autocast("cpu", gg.float16)
    def product(x: gg.Tensor) -> gg.Tensor:
        """Says so."""
        return x @ x

    assert product(gg.ones(2, 2)).dtype is gg.float16 and product.__doc__ == "Says so."


def test_defaults_and_errors() -> None:
    assert amp.get_autocast_dtype("cpu") is gg.bfloat16 and amp.get_autocast_dtype("cuda") is gg.float16
    gg.set_autocast_dtype("cpu", gg.float16)
    try:
        with gg.autocast("cpu"):
            assert gg.get_autocast_dtype("cpu") is gg.float16
    finally:
        gg.set_autocast_dtype("cpu", gg.bfloat16)
    assert amp.is_autocast_available("cuda") and not amp.is_autocast_available("xpu")
    with pytest.raises(ValueError, match="Expected `device_type`"):
        gg.autocast(gg.float16)
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'tpu'"):
        gg.autocast("tpu")
    with pytest.raises(RuntimeError, match="float16 or bfloat16"):
        gg.set_autocast_dtype("cpu", gg.float32)
    with pytest.warns(UserWarning, match="autocast is disabled"):
        region = gg.autocast("cpu", gg.float32)
    with region:
        assert (gg.ones(1, 1) @ gg.ones(1, 1)).dtype is gg.float32


def test_custom_functions_in_regions() -> None:
    class Product(gg.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=gg.float32)
        def forward(ctx: Any, a: gg.Tensor, b: gg.Tensor) -> gg.Tensor:
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: gg.Tensor) -> tuple:
            a, b = ctx.saved_tensors
            assert not gg.is_autocast_enabled("cpu")
            return g @ b.t(), a.t() @ g

    a = gg.ones(2, 2, requires_grad=True)
    with gg.autocast("cpu"):
        y = Product.apply(a, a.bfloat16())
        assert y.dtype is gg.float32
    y.sum().backward()
    assert a.grad.dtype is gg.float32

    class Same(gg.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu")
        def forward(ctx: Any, a: gg.Tensor) -> gg.Tensor:
            return a @ a

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: gg.Tensor) -> Any:
            assert gg.is_autocast_enabled("cpu")
            return g

    with gg.autocast("cpu"):
        y = Same.apply(a)
    assert y.dtype is gg.bfloat16
    y.float().sum().backward()


# ---- GradScaler ----


def scaled_step(scaler: amp.GradScaler, p: nn.Parameter, optimizer: Any, factor: float = 1.0) -> None:
    optimizer.zero_grad()
    scaler.scale((p * factor).sum()).backward()
    scaler.step(optimizer)
    scaler.update()


def test_the_scale_grows_and_backs_off(device: str) -> None:
    p = nn.Parameter(gg.ones(2, device=device))
    optimizer = gg.optim.SGD([p], lr=0.5)
    scaler = amp.GradScaler(device, init_scale=4.0, growth_interval=2)
    scaled_step(scaler, p, optimizer)
    assert p.tolist() == [0.5, 0.5] and scaler.get_scale() == 4.0
    scaled_step(scaler, p, optimizer)
    assert p.tolist() == [0.0, 0.0] and scaler.get_scale() == 8.0
    for bad in (float("inf"), float("nan")):
        before = scaler.get_scale()
        scaled_step(scaler, p, optimizer, bad)
        assert p.tolist() == [0.0, 0.0] and scaler.get_scale() == before / 2
    scaled_step(scaler, p, optimizer)
    assert p.tolist() == [-0.5, -0.5] and scaler.get_scale() == 2.0
    assert scaler.state_dict() == {
        "scale": 2.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2, "_growth_tracker": 1,
    }  # fmt: skip
    other = amp.GradScaler(device)
    other.load_state_dict(scaler.state_dict())
    scaled_step(other, p, optimizer)
    assert other.get_scale() == 4.0
    other.update(new_scale=gg.tensor(16.0))
    assert other.get_scale() == 16.0


def test_unscaled_gradients_can_be_clipped() -> None:
    p = nn.Parameter(gg.ones(1))
    optimizer = gg.optim.SGD([p], lr=1.0)
    scaler = amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((p * 3).sum()).backward()
    assert p.grad.item() == 3072
    scaler.unscale_(optimizer)
    assert p.grad.item() == 3
    nn.utils.clip_grad_norm_([p], 1.0)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert p.item() == pytest.approx(0, abs=1e-5)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called since"):
        scaler.step(optimizer)
    scaler.update()
    with pytest.raises(AssertionError, match="prior to update"):
        scaler.update()


def test_two_optimisers_and_containers() -> None:
    p, q = nn.Parameter(gg.ones(1)), nn.Parameter(gg.ones(1))
    a, b = gg.optim.SGD([p], lr=1.0), gg.optim.SGD([q], lr=1.0)
    scaler = amp.GradScaler("cpu", init_scale=2.0)
    one, other = scaler.scale([p.sum(), q.sum() * float("inf")])
    one.backward()
    other.backward()
    scaler.step(a)
    scaler.step(b)
    scaler.update()
    assert p.item() == 0 and q.item() == 1 and scaler.get_scale() == 1.0
    assert isinstance(scaler.scale((p, q)), tuple)
    assert [t.item() for t in scaler.scale(iter([q]))] == [1.0]
    with pytest.raises(ValueError, match="iterable of Tensors"):
        scaler.scale(3)


def test_a_disabled_scaler_does_nothing() -> None:
    p = nn.Parameter(gg.ones(1))
    optimizer = gg.optim.SGD([p], lr=1.0)
    scaler = amp.GradScaler("cpu", enabled=False)
    loss = p.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (
        p.item() == 0 and scaler.get_scale() == 1.0 and scaler.state_dict() == {} and not scaler.is_enabled()
    )
    with pytest.raises(RuntimeError, match="state dict is empty"):
        amp.GradScaler("cpu").load_state_dict({})
    with pytest.raises(AssertionError, match="growth factor"):
        amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError, match="no parameter has a gradient"):
        amp.GradScaler("cpu").step(gg.optim.SGD([nn.Parameter(gg.ones(1))], lr=1.0))
    with pytest.raises(RuntimeError, match="Closure"):
        amp.GradScaler("cpu").step(optimizer, closure=lambda: loss)
    half = nn.Parameter(gg.ones(1).half())
    (half * 1.0).sum().backward()
    with pytest.raises(RuntimeError, match="FP16 gradients"):
        amp.GradScaler("cpu").unscale_(gg.optim.SGD([half], lr=1.0))
