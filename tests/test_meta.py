"""Tensors on 'meta': a shape and a dtype, and no memory."""

import copy
import warnings
from typing import Any

import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.func import functional_call, stack_module_state, vmap


def test_what_a_meta_tensor_is() -> None:
    t = gg.empty(2, 3, device="meta")
    assert (
        t.device == gg.device("meta")
        and t.is_meta
        and not t.is_cpu
        and not t.is_cuda
        and t.get_device() == -1
    )
    assert tuple(t.shape) == (2, 3) and t.stride() == (3, 1) and t.is_contiguous() and t.nbytes == 24
    assert not gg.ones(2).is_meta
    assert repr(t) == "tensor(..., device='meta', size=(2, 3))"
    assert "dtype=gradgpu.int64" in repr(gg.arange(3, device="meta"))
    p = nn.Parameter(t)
    assert p.is_meta and "requires_grad=True" in repr(p) and copy.deepcopy(p).is_meta
    huge = gg.zeros(1 << 20, 1 << 20, device="meta")  # 4 TB
    assert huge.numel() == 1 << 40


@pytest.mark.parametrize(
    "make",
    [
        lambda: gg.tensor([1.0, 2.0, 3.0], device="meta"), lambda: gg.full((3,), 1.5, device="meta"),
        lambda: gg.linspace(0, 1, 3, device="meta"), lambda: gg.randn(3, device="meta"), lambda: gg.rand(3, device="meta"),
        lambda: gg.zeros_like(gg.ones(3, device="meta")), lambda: gg.ones(3).to("meta"),
        lambda: gg.ones(3, dtype=gg.float64).to("meta", gg.float32), lambda: gg.ones(3, device="meta").double().float(),
        lambda: gg.ones(3, device="meta").clone(), lambda: gg.ones(3, device="meta").detach(),
    ],
)  # fmt: skip
def test_ways_to_make_one(make: Any) -> None:
    t = make()
    assert t.is_meta and tuple(t.shape) == (3,) and t.dtype is gg.float32


def test_integers_and_places() -> None:
    assert gg.randint(5, (3,), device="meta").dtype is gg.int64
    assert gg.bernoulli(gg.ones(3, device="meta")).is_meta
    with gg.device("meta"):
        assert gg.zeros(2).is_meta and gg.tensor([1]).is_meta
    with pytest.raises(RuntimeError, match="there is no device meta:1"):
        gg.device("meta:1")


def test_from_a_device(device: str) -> None:
    x = gg.ones(2, device=device, requires_grad=True)
    assert x.to("meta").is_meta and x.to("meta").requires_grad


def test_filling_does_nothing() -> None:
    t = gg.empty(3, device="meta")
    for change in (
        lambda: t.fill_(1), t.zero_, t.uniform_, t.normal_, lambda: t.copy_(gg.ones(3)), lambda: nn.init.trunc_normal_(t),
    ):  # fmt: skip
        assert change() is t and t.is_meta
    w = gg.empty(4, 4, device="meta")
    before = gg.get_rng_state()
    for fill in (
        nn.init.orthogonal_,
        nn.init.eye_,
        nn.init.xavier_normal_,
        nn.init.kaiming_uniform_,
        nn.init.zeros_,
    ):
        assert fill(w) is w
    assert gg.equal(gg.get_rng_state(), before)  # no numbers were drawn


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t + 1, lambda t: 1 - t, lambda t: t * t, lambda t: gg.ones(2, 2) + t, lambda t: t.exp(), lambda t: t.relu(),
        lambda t: t == t, lambda t: t.mul_(2), lambda t: t.sum(), lambda t: t @ t, lambda t: t.softmax(0), lambda t: t[0],
        lambda t: gg.cat([t, t]), lambda t: nn.functional.linear(gg.ones(2), t), lambda t: gg.ones(2, 2).copy_(t),
        lambda t: t.cpu(), lambda t: t.tolist(), lambda t: t[0, 0].item(), lambda t: t.numpy(force=True),
        lambda t: nn.functional.conv1d(t[None], t[None]),
    ],
)  # fmt: skip
def test_computing_is_refused(use: Any) -> None:
    with pytest.raises(NotImplementedError, match="no data"):
        use(gg.ones(2, 2, device="meta"))


def test_modules_on_meta(device: str) -> None:
    def build(**where: Any) -> nn.Module:
        return nn.Sequential(
            nn.Embedding(5, 4, padding_idx=0, **where), nn.Linear(4, 3, **where), nn.LayerNorm(3, **where),
            nn.LSTM(3, 2, **where), nn.Conv2d(1, 2, 3, **where), nn.BatchNorm2d(2, **where),
            nn.TransformerEncoderLayer(4, 2, 8, **where),
        )  # fmt: skip

    with gg.device("meta"):
        skeletons = [build()]
    skeletons += [build(device="meta"), build().to("meta")]
    real = build(device=device)
    for skeleton in skeletons:
        assert all(t.is_meta for t in skeleton.state_dict().values())
        assert [(n, t.shape) for n, t in skeleton.state_dict().items()] == [
            (n, t.shape) for n, t in real.state_dict().items()
        ]
        with pytest.raises(NotImplementedError, match="to_empty"):
            skeleton.to("cpu")
    with pytest.warns(UserWarning, match="assign=True"):
        skeletons[0].load_state_dict(real.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skeletons[0].load_state_dict(real.state_dict(), assign=True)
        filled = skeletons[1].to_empty(device=device)
        filled.load_state_dict(real.state_dict())
    x = gg.ones(2, 3, device=device)
    for module in (skeletons[0], filled):
        gg.testing.assert_close(module[3](x)[0], real[3](x)[0])
        assert next(module.parameters()).device.type == device


def test_a_skeleton_runs_an_ensemble(device: str) -> None:
    models = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device) for _ in range(3)]
    params, buffers = stack_module_state(models)
    skeleton = copy.deepcopy(models[0]).to("meta")

    def call(params: Any, buffers: Any, x: Any) -> Any:
        return functional_call(skeleton, (params, buffers), (x,))

    x = gg.randn(5, 3, device=device)
    got = vmap(call, in_dims=(0, 0, None))(params, buffers, x)
    gg.testing.assert_close(got, gg.stack([m(x) for m in models]))
    assert next(skeleton.parameters()).is_meta
