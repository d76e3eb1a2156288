"""Tensors on 'meta': a shape and a dtype, and no memory."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.func import functional_call, stack_module_state, vmap
from gradgpu.utils._pytree import tree_flatten
from tests.samples import OpSamples
from tests.test_samples import ALL


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
        lambda t: t.cpu(), lambda t: t.tolist(), lambda t: t[0, 0].item(), lambda t: t.numpy(force=True), lambda t: bool(t[0, 0] > 0),
        lambda t: t.nonzero(), lambda t: t[t > 0], lambda t: t.unique(), lambda t: t.masked_select(t > 0),
        lambda t: t.requires_grad_().exp().sum().backward(),
        lambda t: t.requires_grad_().exp().backward(t), lambda t: (t.requires_grad_() * 1j).exp().backward(t * 1j),
    ],
)  # fmt: skip
def test_reading_is_refused(use: Any) -> None:
    with pytest.raises(NotImplementedError, match="no data"):
        use(gg.ones(2, 2, device="meta"))


# Whose results' shapes, or numbers that the host needs, depend on the elements; or that look at memory.
NEED_ELEMENTS = {
    "combinatorics.unique_consecutive", "embedding.one_hot", "getitem.getitem", "getitem.setitem", "getitem.index_put",
    "index.masked_select", "index.masked_scatter", "index.nonzero", "join.repeat_interleave", "linear_algebra.matrix_exp",
    "pointwise.to_device", "quantiles.histogram", "quantiles.histogramdd", "random.multinomial", "sort.unique", "sort.bincount",
    "special.histc", "strided.as_strided", "strided.as_strided_scatter", "strided.view_copies",
}  # fmt: skip


@pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL if op.family != "sparse"])
def test_operations_tell_shapes_and_dtypes(op: OpSamples) -> None:
    """Each sample on 'meta' beside the same on the CPU."""
    dtype = "float32" if "float32" in op.dtypes else op.dtypes[0]
    refused = 0
    for sample in op.samples:
        rng = np.random.default_rng(0)
        values = [part.draw(rng, dtype) for part in sample.inputs()]

        def run(place: str, sample: Any = sample, values: list = values) -> list:
            drawn = iter(values)

            def make(given: Any) -> gg.Tensor:
                t, learns = gg.tensor(next(drawn)).to(place), given.grad and given.is_floating(dtype)
                return t.requires_grad_() if op.differentiable and learns else t

            args, kwargs = sample.build(make)
            results = tree_flatten(op.function(*args, **kwargs))[0]
            return [
                (tuple(y.shape), y.dtype, y.requires_grad, y.device.type)
                for y in results
                if isinstance(y, gg.Tensor)
            ]

        want = [(*what, "meta") for *what, _ in run("cpu")]
        try:
            got = run("meta")
        except NotImplementedError:
            refused += 1
            assert op.id in NEED_ELEMENTS
        else:
            assert got == want, sample
    assert (
        refused or op.id not in NEED_ELEMENTS or op.id == "strided.view_copies"
    )  # which several samples have as their name


def test_large_tensors_cost_nothing() -> None:
    with gg.device("meta"):
        x = gg.empty(1 << 20, 1 << 16)  # 256 GB
        w = gg.empty(1 << 12, 1 << 16)
        assert (x @ w.t()).shape == (1 << 20, 1 << 12) and nn.functional.linear(x, w).relu().sum(0).shape == (
            1 << 12,
        )
        assert x.softmax(1).var(1).shape == (1 << 20,) and gg.cat([x, x], 1).shape[1] == 1 << 17
        assert (
            nn.functional.layer_norm(x, (1 << 16,)).shape == x.shape and x.reshape(-1, 2).shape[0] == 1 << 35
        )
        images = gg.empty(1 << 16, 3, 224, 224)
        y = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(64, 64, 3, groups=4), nn.AvgPool2d(2)
        )(images)
        assert y.shape == (1 << 16, 64, 27, 27)
        q = gg.empty(1 << 10, 16, 4096, 64)
        assert nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).shape == q.shape
        index = gg.empty(1 << 20, 100, dtype=gg.int64)
        assert nn.functional.embedding(index, w).shape == (1 << 20, 100, 1 << 16)
        with pytest.raises(NotImplementedError, match="not known"):
            x.sort()


def test_what_does_not_fit_is_refused_as_elsewhere() -> None:
    x, y = gg.empty(2, 3, device="meta"), gg.empty(4, 5, device="meta")
    for wrong, seen in (
        (lambda: x @ y, "cannot be multiplied"), (lambda: x + y, "broadcast"), (lambda: nn.functional.linear(x, y), "cannot be multiplied"),
        (lambda: gg.matmul(x[None, None], y[None, None]), "cannot be multiplied|match"), (lambda: gg.cat([x, y]), "must match|except"),
        (lambda: x @ gg.ones(3, 2), "same device"), (lambda: x + gg.ones(2, 3), "same device"), (lambda: x @ x.t().double(), "same dtype"),
        (lambda: nn.functional.conv1d(x[None], y[None]), "channels|weight"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=seen):
            wrong()
    assert (x + 1).is_meta and (x + gg.tensor(2.0)).is_meta  # a single number may come from elsewhere


def test_modules_tell_shapes() -> None:
    cases: list[tuple[Any, Any]] = [
        (nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.GELU()), gg.ones(3, 6)),
        (nn.LSTM(6, 5, 2, bidirectional=True), gg.ones(7, 3, 6)), (nn.GRU(6, 5), gg.ones(7, 3, 6)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), gg.ones(3, 5, 8)),
        (nn.MultiheadAttention(8, 2), (gg.ones(5, 3, 8),) * 3), (nn.GroupNorm(2, 4), gg.ones(2, 4, 3, 3)),
        (nn.ConvTranspose2d(4, 2, 3, 2), gg.ones(2, 4, 5, 5)), (nn.Upsample(scale_factor=2), gg.ones(1, 2, 3, 3)),
        (nn.AdaptiveAvgPool2d(2), gg.ones(1, 2, 5, 5)), (nn.Embedding(5, 3), gg.zeros(2, 4, dtype=gg.int64)),
        (nn.CrossEntropyLoss(), (gg.ones(4, 3), gg.zeros(4, dtype=gg.int64))), (nn.Conv1d(2, 3, 3, padding="same"), gg.ones(1, 2, 9)),
    ]  # fmt: skip
    for module, given in cases:
        inputs = given if isinstance(given, tuple) else (given,)
        want = tree_flatten(module(*inputs))[0]
        skeleton = copy.deepcopy(module).to("meta")
        got = tree_flatten(skeleton(*[x.to("meta") for x in inputs]))[0]
        assert [(y.shape, y.dtype, y.device.type) for y in got] == [
            (y.shape, y.dtype, "meta") for y in want
        ], module


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
