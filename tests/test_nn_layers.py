"""Layers that few nets use, options of others, lazy layers, and hooks of all modules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.nn import functional as F
from gradgpu.nn.modules import module as module_api

# layer, shapes of its inputs, what it must be, PyTorch's text
SAME: list[tuple[nn.Module, list[tuple[int, ...]], Any, str]] = [
    (nn.Hardshrink(0.3), [(5,)], lambda x: F.hardshrink(x, 0.3), "Hardshrink(0.3)"),
    (nn.Softshrink(0.3), [(5,)], lambda x: F.softshrink(x, 0.3), "Softshrink(0.3)"),
    (nn.RReLU().eval(), [(5,)], F.rrelu, "RReLU(lower=0.125, upper=0.3333333333333333)"),
    (nn.LocalResponseNorm(2), [(1, 4, 3)], lambda x: F.local_response_norm(x, 2), "LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)"),
    (nn.MaxPool3d(2), [(1, 1, 4, 4, 4)], lambda x: F.max_pool3d(x, 2), "MaxPool3d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (nn.AvgPool3d(2), [(1, 1, 4, 4, 4)], lambda x: F.avg_pool3d(x, 2), "AvgPool3d(kernel_size=2, stride=2, padding=0)"),
    (nn.AdaptiveAvgPool3d(2), [(1, 1, 4, 4, 4)], lambda x: F.adaptive_avg_pool3d(x, 2), "AdaptiveAvgPool3d(output_size=2)"),
    (nn.AdaptiveMaxPool1d(2), [(1, 1, 4)], lambda x: F.adaptive_max_pool1d(x, 2), "AdaptiveMaxPool1d(output_size=2)"),
    (nn.AdaptiveMaxPool3d(2), [(1, 1, 4, 4, 4)], lambda x: F.adaptive_max_pool3d(x, 2), "AdaptiveMaxPool3d(output_size=2)"),
    (nn.LPPool1d(2, 2), [(1, 1, 4)], lambda x: F.lp_pool1d(x, 2.0, 2), "LPPool1d(norm_type=2, kernel_size=2, stride=None, ceil_mode=False)"),
    (nn.LPPool3d(2, 2), [(1, 1, 4, 4, 4)], lambda x: F.lp_pool3d(x, 2.0, 2), "LPPool3d(norm_type=2, kernel_size=2, stride=None, ceil_mode=False)"),
    (nn.ZeroPad3d(1), [(1, 1, 2, 2, 2)], lambda x: F.pad(x, (1,) * 6), "ZeroPad3d((1, 1, 1, 1, 1, 1))"),
    (nn.ConstantPad3d(1, 2.0), [(1, 1, 2, 2, 2)], lambda x: F.pad(x, (1,) * 6, value=2.0), "ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.0)"),
    (nn.ReflectionPad3d(1), [(1, 1, 2, 2, 2)], lambda x: F.pad(x, (1,) * 6, "reflect"), "ReflectionPad3d((1, 1, 1, 1, 1, 1))"),
    (nn.ReplicationPad3d(1), [(1, 1, 2, 2, 2)], lambda x: F.pad(x, (1,) * 6, "replicate"), "ReplicationPad3d((1, 1, 1, 1, 1, 1))"),
    (nn.CircularPad3d(1), [(1, 1, 2, 2, 2)], lambda x: F.pad(x, (1,) * 6, "circular"), "CircularPad3d((1, 1, 1, 1, 1, 1))"),
    (nn.Unfold(2), [(1, 2, 3, 3)], lambda x: F.unfold(x, 2), "Unfold(kernel_size=2, dilation=1, padding=0, stride=1)"),
    (nn.Fold((3, 3), 2), [(1, 8, 4)], lambda x: F.fold(x, (3, 3), 2), "Fold(output_size=(3, 3), kernel_size=2, dilation=1, padding=0, stride=1)"),
    (nn.CosineSimilarity(), [(2, 3), (2, 3)], F.cosine_similarity, "CosineSimilarity()"),
    (nn.PairwiseDistance(1.0), [(2, 3), (2, 3)], lambda a, b: F.pairwise_distance(a, b, 1.0), "PairwiseDistance()"),
    (nn.ChannelShuffle(2), [(1, 4, 2)], lambda x: F.channel_shuffle(x, 2), "ChannelShuffle(groups=2)"),
    (nn.TripletMarginLoss(swap=True), [(2, 3)] * 3, lambda a, p, n: F.triplet_margin_loss(a, p, n, swap=True), "TripletMarginLoss()"),
    (nn.TripletMarginWithDistanceLoss(margin=0.5), [(2, 3)] * 3, lambda a, p, n: F.triplet_margin_with_distance_loss(a, p, n, margin=0.5), "TripletMarginWithDistanceLoss(\n  (distance_function): PairwiseDistance()\n)"),
    (nn.MarginRankingLoss(0.2), [(3,)] * 3, lambda a, b, t: F.margin_ranking_loss(a, b, t, 0.2), "MarginRankingLoss()"),
    (nn.SoftMarginLoss(), [(3,)] * 2, F.soft_margin_loss, "SoftMarginLoss()"),
    (nn.HingeEmbeddingLoss(0.5), [(3,)] * 2, lambda a, t: F.hinge_embedding_loss(a, t, 0.5), "HingeEmbeddingLoss()"),
    (nn.PoissonNLLLoss(full=True), [(3,)] * 2, lambda a, t: F.poisson_nll_loss(a, t, full=True), "PoissonNLLLoss()"),
    (nn.MultiLabelSoftMarginLoss(), [(2, 3)] * 2, F.multilabel_soft_margin_loss, "MultiLabelSoftMarginLoss()"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SAME)), ids=lambda i: type(SAME[i][0]).__name__)
def test_a_layer_is_its_function(number: int) -> None:
    layer, shapes, function, text = SAME[number]
    inputs = [gg.randn(*shape) for shape in shapes]
    gg.testing.assert_close(layer(*inputs), function(*inputs))
    assert repr(layer) == text


def test_losses_with_classes_as_targets() -> None:
    x, y = gg.randn(3, 4), gg.tensor([1, 0, 3])
    gg.testing.assert_close(nn.MultiMarginLoss(2, 0.5)(x, y), F.multi_margin_loss(x, y, 2, 0.5))
    labels = gg.tensor([[1, 2, -1, 0]] * 3)
    gg.testing.assert_close(nn.MultiLabelMarginLoss()(x, labels), F.multilabel_margin_loss(x, labels))
    log_probs = gg.randn(5, 3, 4).log_softmax(-1)
    targets, used, long = gg.tensor([[1, 2], [3, 3], [2, 1]]), gg.tensor([5, 5, 4]), gg.tensor([2, 2, 1])
    gg.testing.assert_close(
        nn.CTCLoss(reduction="sum")(log_probs, targets, used, long),
        F.ctc_loss(log_probs, targets, used, long, reduction="sum"),
    )
    one = gg.tensor([1.0, -1.0, 1.0])
    gg.testing.assert_close(
        nn.CosineEmbeddingLoss(0.1)(x, x * 2, one), F.cosine_embedding_loss(x, x * 2, one, 0.1)
    )
    with pytest.raises(ValueError, match="margin"):
        nn.TripletMarginLoss(margin=0.0)


def test_unpooling_layers_undo_pooling_layers() -> None:
    x = gg.randn(1, 2, 4, 4, 4).abs() + 1
    for dims, pool, unpool in ((1, nn.MaxPool1d, nn.MaxUnpool1d), (2, nn.MaxPool2d, nn.MaxUnpool2d), (3, nn.MaxPool3d, nn.MaxUnpool3d)):  # fmt: skip
        part = x[(slice(None), slice(None), *[slice(None)] * dims, *[0] * (3 - dims))]
        y, at = pool(2, return_indices=True)(part)
        back = unpool(2)(y, at)
        assert back.shape == part.shape and back.ne(0).sum().item() == y.numel()
    assert repr(nn.MaxUnpool2d(2)) == "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"
    y, at = nn.AdaptiveMaxPool2d(2, return_indices=True)(x[0])
    gg.testing.assert_close(x[0].flatten(2).gather(2, at.flatten(2)).reshape(y.shape), y)
    y, at = nn.FractionalMaxPool2d(2, output_size=3, return_indices=True)(x[0])
    gg.testing.assert_close(x[0].flatten(2).gather(2, at.flatten(2)).reshape(y.shape), y)
    assert nn.FractionalMaxPool3d(2, output_ratio=0.5)(x).shape == (1, 2, 2, 2, 2)
    with pytest.raises(ValueError, match="requires one of"):
        nn.FractionalMaxPool2d(2)


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda **k: nn.BatchNorm1d(3, **k), (4, 3)),
        (lambda **k: nn.GroupNorm(1, 3, **k), (4, 3, 2)),
        (lambda **k: nn.InstanceNorm1d(3, affine=True, **k), (4, 3, 5)),
        (lambda **k: nn.LayerNorm(3, **k), (4, 3)),
        (lambda **k: nn.SyncBatchNorm(3, **k), (4, 3, 2)),
    ],
)
def test_norms_without_a_bias(make: Any, shape: tuple[int, ...]) -> None:
    with_bias, without = make(), make(bias=False)
    assert without.bias is None and [n for n, _ in without.named_parameters()] == ["weight"]
    x = gg.randn(*shape)
    gg.testing.assert_close(with_bias(x), without(x))  # biases start at zero
    without(x).square().sum().backward()
    without.reset_parameters()


def test_sync_batch_norm_takes_over_parameters() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    x = gg.randn(3, 1, 4, 4)
    wanted = net.eval()(x)
    made = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert [type(m).__name__ for m in made.modules()].count("SyncBatchNorm") == 2
    gg.testing.assert_close(made(x), wanted)


def test_hardtanh_takes_its_old_keywords() -> None:
    with pytest.warns(FutureWarning, match="renamed to `min_val`"):
        layer = nn.Hardtanh(min_value=-2.0)
    assert layer(gg.tensor([-3.0, 3.0])).tolist() == [-2.0, 1.0]
    with pytest.raises(AssertionError, match="above min_val"):
        nn.Hardtanh(1.0, 1.0)


LAZY = [
    (nn.LazyConv3d(4, 2), nn.Conv3d, (2, 3, 4, 4, 4)),
    (nn.LazyConvTranspose1d(4, 2, stride=2), nn.ConvTranspose1d, (2, 3, 4)),
    (nn.LazyConvTranspose3d(4, 2, output_padding=1, stride=2), nn.ConvTranspose3d, (2, 3, 2, 2, 2)),
    (nn.LazyBatchNorm3d(), nn.BatchNorm3d, (2, 3, 2, 2, 2)),
    (nn.LazyBatchNorm1d(bias=False), nn.BatchNorm1d, (2, 3)),
    (nn.LazyInstanceNorm1d(), nn.InstanceNorm1d, (3, 4)),
    (nn.LazyInstanceNorm2d(), nn.InstanceNorm2d, (2, 3, 4, 4)),
    (nn.LazyInstanceNorm3d(affine=False), nn.InstanceNorm3d, (2, 3, 2, 2, 2)),
]


@pytest.mark.parametrize("lazy, kind, shape", LAZY, ids=[type(row[0]).__name__ for row in LAZY])
def test_lazy_layers_become_the_ordinary_ones(lazy: nn.Module, kind: type, shape: tuple[int, ...]) -> None:
    assert all(isinstance(p, nn.UninitializedParameter) or n == "bias" for n, p in lazy.named_parameters())
    y = lazy(gg.randn(*shape))
    assert type(lazy) is kind and y.isfinite().all()
    assert not any(isinstance(p, nn.UninitializedParameter) for p in lazy.parameters())


def test_instance_norm_of_one_sample_moves_its_statistics(device: str) -> None:
    layer = nn.InstanceNorm1d(2, track_running_stats=True, momentum=0.5).to(device)
    layer(gg.tensor([[1.0, 3.0], [0.0, 0.0]], device=device))
    assert layer.running_mean.tolist() == [1.0, 0.0] and layer.running_var.tolist() == [1.5, 0.5]
    x = gg.zeros(3, device=device)
    x.repeat(1).add_(1)  # memory of its own
    assert x.tolist() == [0.0] * 3


def test_embedding_bag_layer() -> None:
    bags = nn.EmbeddingBag(5, 2, mode="max", padding_idx=0)
    assert repr(bags) == "EmbeddingBag(5, 2, mode='max', padding_idx=0)"
    assert bags.weight[0].tolist() == [0.0, 0.0]
    x = gg.tensor([[1, 2, 0]])
    gg.testing.assert_close(bags(x), bags.weight[1:3].amax(0, keepdim=True))
    fixed = nn.EmbeddingBag.from_pretrained(gg.tensor([[1.0, 2.0], [3.0, 4.0]]), mode="sum")
    assert fixed(gg.tensor([[0, 1]])).tolist() == [[4.0, 6.0]] and not fixed.weight.requires_grad
    sparse = nn.EmbeddingBag(2, 2, sparse=True)
    sparse(gg.tensor([[1, 1]])).sum().backward()
    assert sparse.weight.grad is not None and sparse.weight.grad.tolist() == [[0, 0], [1, 1]]


def test_adaptive_softmax_is_a_softmax(device: str) -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, head_bias=True).to(device)
    assert [tuple(p.shape) for p in layer.parameters()] == [(5, 8), (5,), (4, 8), (4, 4), (2, 8), (5, 2)]
    x, y = gg.randn(6, 8, device=device), gg.tensor([0, 2, 3, 6, 11, 7], device=device)
    log_probs = layer.log_prob(x)
    np.testing.assert_allclose(log_probs.exp().sum(1).tolist(), [1.0] * 6, rtol=1e-5)
    output, loss = layer(x, y)
    gg.testing.assert_close(output, log_probs.gather(1, y.unsqueeze(1)).squeeze(1))
    gg.testing.assert_close(loss, -output.mean())
    gg.testing.assert_close(layer.predict(x), log_probs.argmax(1))
    loss.backward()
    assert all(p.grad is not None for p in layer.parameters())
    assert layer(x[0], y[0]).output.shape == ()
    with pytest.raises(RuntimeError, match=r"should be in \[0, 11\]"):
        layer(x, y + 6)
    with pytest.raises(ValueError, match="cutoffs should be"):
        nn.AdaptiveLogSoftmaxWithLoss(4, 5, [3, 2])


# ---- Module ----


def test_hooks_of_all_modules() -> None:
    seen: list[str] = []
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    x = gg.randn(1, 2, requires_grad=True)
    handles = [
        module_api.register_module_forward_pre_hook(lambda m, a: seen.append(f"pre {type(m).__name__}")),
        module_api.register_module_forward_hook(lambda m, a, y: seen.append(f"post {type(m).__name__}")),
        module_api.register_module_full_backward_hook(
            lambda m, i, o: seen.append(f"back {type(m).__name__}")
        ),
    ]
    net(x).sum().backward()
    assert seen == [
        "pre Sequential", "pre Linear", "post Linear", "pre ReLU", "post ReLU", "post Sequential",
        "back ReLU", "back Linear", "back Sequential",
    ]  # fmt: skip
    for handle in handles:
        handle.remove()
    assert not nn.Module._has_hooks
    seen.clear()
    net(x)
    assert not seen


def test_a_hook_of_all_modules_may_change_values() -> None:
    with module_api.register_module_forward_hook(lambda m, a, y: y * 2):
        assert nn.ReLU()(gg.ones(1)).item() == 2
    with module_api.register_module_forward_pre_hook(lambda m, a: (a[0] + 1,)):
        assert nn.ReLU()(gg.ones(1)).item() == 2
    assert nn.ReLU()(gg.ones(1)).item() == 1


def test_hooks_that_are_always_called() -> None:
    class Fails(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("no")

    seen: list[Any] = []
    net = Fails()
    net.register_forward_hook(lambda m, a, y: seen.append(("usual", y)))
    net.register_forward_hook(lambda m, a, y: seen.append(("always", y)), always_call=True)
    with pytest.raises(ValueError, match="no"):
        net(gg.ones(1))
    assert seen == [("always", None)]


def test_set_submodule_and_state_dict_pre_hook() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2)))
    net.set_submodule("0.0", nn.Linear(2, 3))
    assert net[0][0].out_features == 3
    net.set_submodule("0.more", nn.ReLU())
    assert isinstance(net.get_submodule("0.more"), nn.ReLU)
    with pytest.raises(AttributeError, match="has no attribute `x`"):
        net.set_submodule("0.x", nn.ReLU(), strict=True)
    with pytest.raises(AttributeError, match="is not a Module"):
        net.set_submodule("0.0.weight", nn.ReLU())
    seen: list[tuple] = []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((prefix, keep)))
    net.state_dict(prefix="a.")
    assert seen == [("a.", False)]


def test_old_names_of_initialisers() -> None:
    assert nn.init.orthogonal(gg.empty(2, 2)).det().abs().item() == pytest.approx(1, abs=1e-5)
    assert nn.init.eye(gg.empty(2, 2)).tolist() == [[1, 0], [0, 1]]
    assert math.isclose(nn.init.sparse(gg.empty(4, 2), 0.5).eq(0).float().mean().item(), 0.5)
    assert nn.init.dirac(gg.empty(1, 1, 3)).tolist() == [[[0, 1, 0]]]


def test_alpha_dropout_in_place() -> None:
    x = gg.randn(10)
    assert F.alpha_dropout(x, 0.5, True, True) is x
    out = gg.empty(1, 2)
    F.normalize(gg.tensor([[3.0, 4.0]]), out=out)
    np.testing.assert_allclose(out.tolist(), [[0.6, 0.8]], rtol=1e-6)


def test_convolution_with_weights_made_from_its_own(device: str) -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: gg.Tensor) -> gg.Tensor:
            w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(x, w, self.bias)

    layer = Standardised(2, 3, 3, padding=1, padding_mode="circular").to(device)
    plain = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular").to(device)
    plain.load_state_dict(layer.state_dict())
    with gg.no_grad():
        plain.weight -= plain.weight.mean((1, 2, 3), keepdim=True)
    x = gg.randn(1, 2, 5, 5, device=device)
    gg.testing.assert_close(layer(x), plain(x))
    assert not layer.transposed and nn.ConvTranspose1d(1, 1, 1).transposed


def test_batch_norm_with_a_check_of_ones_own() -> None:
    class Any(nn.modules.batchnorm._BatchNorm):
        def _check_input_dim(self, input: gg.Tensor) -> None:
            if input.ndim == 3:
                raise ValueError("three dimensions")

    assert Any(2)(gg.randn(4, 2)).shape == (4, 2)
    with pytest.raises(ValueError, match="three dimensions"):
        Any(2)(gg.randn(4, 2, 3))


def test_poisson_loss_takes_arguments_in_pytorchs_order() -> None:
    x, t = gg.tensor([0.5]), gg.tensor([3.0])
    assert gg.equal(F.poisson_nll_loss(x, t, True, True), F.poisson_nll_loss(x, t, full=True))


def test_modules_with_and_without_repetition() -> None:
    shared = nn.ReLU()
    net = nn.Sequential(shared, shared)
    assert len(list(net.modules())) == 2 and len(list(net.modules(remove_duplicate=False))) == 3


def test_places_and_families_of_classes() -> None:
    from gradgpu.nn.modules.activation import MultiheadAttention
    from gradgpu.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd
    from gradgpu.optim.adamw import AdamW
    from gradgpu.optim.rmsprop import RMSprop
    from gradgpu.utils.data._utils.collate import default_collate

    from gradgpu.nn.parallel.distributed import DistributedDataParallel

    assert (MultiheadAttention, AdamW, RMSprop) == (nn.MultiheadAttention, gg.optim.AdamW, gg.optim.RMSprop)
    assert default_collate is gg.utils.data.default_collate
    assert DistributedDataParallel is nn.parallel.DistributedDataParallel
    assert isinstance(nn.MaxPool2d(2), _MaxPoolNd) and isinstance(nn.AvgPool2d(2), _AvgPoolNd)
    assert isinstance(nn.ReLU6(), nn.Hardtanh) and isinstance(nn.ZeroPad2d(1), nn.ConstantPad2d)
    others = [
        (nn.AvgPool2d, nn.AvgPool1d), (nn.Fold, nn.Unfold), (nn.Softshrink, nn.Hardshrink),
        (nn.MarginRankingLoss, nn.CosineEmbeddingLoss), (nn.CrossMapLRN2d, nn.LocalResponseNorm),
    ]  # fmt: skip
    assert not any(issubclass(a, b) for a, b in others)


def test_gaussian_loss_with_a_variance_that_some_share() -> None:
    x, t = gg.randn(4, 3, 2), gg.randn(4, 3, 2)
    for shape in ((1, 3, 2), (4, 1, 2), (4, 3, 1)):
        var = gg.rand(*shape) + 0.1
        expected = F.gaussian_nll_loss(x, t, var.expand(4, 3, 2), reduction="none")
        assert gg.equal(F.gaussian_nll_loss(x, t, var, reduction="none"), expected)
    for shape in ((1, 1, 2), (3, 2), (2, 3, 2)):
        with pytest.raises(ValueError, match="incorrect size"):
            F.gaussian_nll_loss(x, t, gg.ones(*shape))


@pytest.mark.parametrize("dims", [2, 3])
def test_fractional_pooling_of_one_image_takes_the_first_samples(dims: int) -> None:
    pool, x = getattr(F, f"fractional_max_pool{dims}d"), gg.randn(2, *(7, 6, 5)[:dims])
    samples = gg.rand(3, 2, dims)
    one = pool(x, 2, output_ratio=0.5, _random_samples=samples)
    assert gg.equal(one, pool(x.unsqueeze(0), 2, output_ratio=0.5, _random_samples=samples[:1])[0])


def test_sizes_are_numpy_integers(device: str) -> None:
    one, two, four = np.int64(1), np.int64(2), np.int32(4)
    image = gg.arange(16.0, device=device).reshape(1, 1, 4, 4)
    for layer, same in (
        (nn.MaxPool2d(two), nn.MaxPool2d(2)),
        (nn.MaxPool2d(two, one), nn.MaxPool2d(2, 1)),
        (nn.AvgPool2d(two, stride=two, padding=one), nn.AvgPool2d(2, 2, 1)),
        (nn.AdaptiveAvgPool2d((two, two)), nn.AdaptiveAvgPool2d(2)),
        (nn.AdaptiveMaxPool2d(two), nn.AdaptiveMaxPool2d(2)),
        (nn.Unfold(two, stride=two), nn.Unfold(2, stride=2)),
        (nn.Upsample(four), nn.Upsample(4)),
        (nn.ZeroPad2d(one), nn.ZeroPad2d(1)),
        (nn.ReflectionPad2d(one), nn.ReflectionPad2d(1)),
        (nn.LayerNorm(four, device=device), nn.LayerNorm(4, device=device)),
        (nn.RMSNorm(four, device=device), nn.RMSNorm(4, device=device)),
    ):
        made = layer(image)
        assert gg.equal(made, same(image)) and all(type(n) is int for n in made.shape), layer
    columns = nn.Unfold(2)(image)
    assert gg.equal(nn.Fold(four, two)(columns), nn.Fold(4, 2)(columns))
    block = nn.TransformerEncoderLayer(four, two, four, device=device)
    assert block(gg.ones(3, 1, 4, device=device)).shape == (3, 1, 4)
    for cell in (nn.LSTM, nn.GRU, nn.RNN):
        with pytest.raises(TypeError, match="hidden_size should be of type int, got: int64"):
            cell(2, two)


def test_refusals_of_pytorchs_kind() -> None:
    with pytest.raises(AssertionError, match="embed_dim must be divisible by num_heads"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(RuntimeError, match="Expected target of shape"):
        F.cross_entropy(gg.ones(2, 3), gg.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="Expected target of shape"):
        F.cross_entropy(gg.ones(2, 3), gg.tensor([0]))
    kept = nn.ParameterDict({"a": nn.Parameter(gg.ones(2))})
    assert repr(kept) == f"ParameterDict(  (a): Parameter containing: [{gg.ones(1).type()} of size 2])"
