"""Modules: registration, walking, state, hooks, text; layers against formulas written in numpy."""

from __future__ import annotations

import copy
import gc
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.nn import functional as F


def array(t: Any) -> np.ndarray:
    return t.detach().cpu().numpy()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False))
        self.scale = nn.Parameter(gg.ones(2))
        self.register_buffer("seen", gg.zeros(1))
        self.register_buffer("cache", gg.zeros(2), persistent=False)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return self.rest(self.first(x)) * self.scale


KEYS = ["scale", "seen", "first.weight", "first.bias", "rest.1.weight"]


# ---- registration and walking ----


def test_names_come_in_order_of_assignment():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["scale", "first.weight", "first.bias", "rest.1.weight"]
    assert [n for n, _ in net.named_buffers()] == ["seen", "cache"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert list(net.state_dict()) == KEYS
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_parameter("rest.1.weight") is net.rest[1].weight
    assert net.get_buffer("seen") is net.seen


def test_shared_parts_are_listed_once():
    net = nn.Module()
    net.a = nn.Linear(2, 2)
    net.b = net.a
    net.c = nn.Linear(2, 2)
    net.c.weight = net.a.weight
    assert [n for n, _ in net.named_parameters()] == ["a.weight", "a.bias", "c.bias"]
    assert [n for n, _ in net.named_modules()] == ["", "a", "c"]
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"]


def test_assignment_moves_a_name_between_tables():
    net = nn.Module()
    net.x = 3
    net.x = nn.Parameter(gg.ones(1))
    assert "x" not in net.__dict__ and list(net._parameters) == ["x"]
    net.x = nn.ReLU()
    assert not net._parameters and list(net._modules) == ["x"]
    net.x = None
    assert net.x is None
    del net.x
    assert not hasattr(net, "x")


def test_a_parameter_may_be_set_to_none_but_not_to_a_tensor():
    net = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'weight'"):
        net.weight = gg.ones(2, 2)
    net.bias = None
    assert list(net.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    "action, error, match",
    [
        (lambda m: m.missing, AttributeError, "'Net' object has no attribute 'missing'"),
        (lambda m: m.register_buffer("first", None), KeyError, "attribute 'first' already exists"),
        (lambda m: m.register_buffer("a.b", None), KeyError, "contain"),
        (lambda m: m.register_parameter("p", gg.ones(1)), TypeError, "nn.Parameter or None required"),
        (lambda m: m.register_parameter("p", nn.Parameter), TypeError, "cannot assign 'type'"),
        (lambda m: m.add_module("x", 3), TypeError, "int is not a Module subclass"),
        (lambda m: setattr(m, "first", 3), TypeError, "cannot assign 'int' as child module 'first'"),
        (lambda m: setattr(m, "seen", 3), TypeError, "cannot assign 'int' as buffer 'seen'"),
        (lambda m: m.get_submodule("rest.9"), AttributeError, "Sequential has no attribute `9`"),
        (lambda m: nn.Module()(1), NotImplementedError, 'missing the required "forward" function'),
        (lambda m: m.train(1), ValueError, "boolean"),
        (lambda m: m.to(gg.int64), TypeError, "floating point or complex dtypes"),
        (lambda m: m.load_state_dict([1]), TypeError, "dict-like"),
        (lambda m: nn.Parameter([1.0]), TypeError, "Parameter expects a Tensor, got list"),
    ],
)
def test_errors(action, error, match):
    with pytest.raises(error, match=match):
        action(Net())


def test_assignment_before_init_says_what_is_missing():
    class Forgot(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(
        AttributeError, match=r"before Module.__init__\(\) call: call super\(\).__init__\(\) first"
    ):
        Forgot()


# ---- mode, dtype, device ----


def test_train_eval_and_freezing_reach_every_module():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_apply_visits_children_first():
    seen: list[str] = []
    Net().apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


def test_casting_keeps_the_parameter_objects():
    net = Net()
    before = list(net.parameters())
    net(gg.ones(1, 4)).sum().backward()
    net.double()
    assert all(a is b for a, b in zip(net.parameters(), before))
    assert {p.dtype for p in net.parameters()} == {gg.float64} and net.seen.dtype is gg.float64
    assert {p.grad.dtype for p in net.parameters()} == {gg.float64}
    assert net.half().scale.dtype is gg.float16 and net.bfloat16().scale.dtype is gg.bfloat16
    assert net.float().scale.dtype is gg.float32 and net.to(gg.float64).scale.dtype is gg.float64
    assert net.to(gg.zeros(1)).scale.dtype is gg.float32


def test_integer_buffers_are_not_cast():
    net = nn.BatchNorm1d(2).half()
    assert net.num_batches_tracked.dtype is gg.int64 and net.running_mean.dtype is gg.float16


@pytest.mark.cuda
def test_a_net_moves_and_computes_the_same():
    net = Net()
    x = gg.randn(5, 4)
    here = net(x)
    (here * here).sum().backward()
    cpu_grads = [array(p.grad) for p in net.parameters()]
    before = list(net.parameters())
    net.cuda()
    assert all(a is b for a, b in zip(net.parameters(), before))
    assert {t.device.type for t in (*net.parameters(), *net.buffers())} == {"cuda"}
    assert {p.grad.device.type for p in net.parameters()} == {"cuda"}
    net.zero_grad()
    there = net(x.to("cuda"))
    (there * there).sum().backward()
    np.testing.assert_allclose(array(here), array(there), rtol=1e-5, atol=1e-6)
    for p, expected in zip(net.parameters(), cpu_grads):
        np.testing.assert_allclose(array(p.grad), expected, rtol=1e-4, atol=1e-5)
    assert {p.device.type for p in net.cpu().parameters()} == {"cpu"}


# ---- state ----


def test_state_dict_shares_memory_and_loading_copies():
    one, two = Net(), Net()
    state = one.state_dict()
    with gg.no_grad():
        one.scale.fill_(5.0)
    assert state["scale"].tolist() == [5.0, 5.0] and not state["scale"].requires_grad
    assert one.state_dict(keep_vars=True)["scale"] is one.scale
    result = two.load_state_dict(state)
    assert repr(result) == "<All keys matched successfully>"
    with gg.no_grad():
        one.scale.fill_(6.0)
    assert two.scale.tolist() == [5.0, 5.0]
    x = gg.ones(1, 4)
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(array(one(x)), array(two(x)))


def test_loading_names_every_wrong_key():
    state = Net().state_dict()
    del state["first.bias"]
    state["extra"] = gg.ones(1)
    state["rest.1.more"] = gg.ones(1)
    state["scale"] = gg.ones(3)
    with pytest.raises(RuntimeError) as error:
        Net().load_state_dict(state)
    text = str(error.value)
    assert text.startswith("Error(s) in loading state_dict for Net:")
    assert 'Missing key(s) in state_dict: "first.bias".' in text
    assert 'Unexpected key(s) in state_dict: "extra", "rest.1.more".' in text
    assert "size mismatch for scale: copying a param with shape" in text
    del state["scale"]
    result = Net().load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "first.bias"]
    assert result.unexpected_keys == ["extra", "rest.1.more"]
    with pytest.raises(RuntimeError, match="size mismatch"):
        Net().load_state_dict({**Net().state_dict(), "scale": gg.ones(3)}, strict=False)


def test_loading_may_assign():
    net, given = Net(), Net().state_dict()
    net.load_state_dict(given, assign=True)
    assert np.shares_memory(array(net.first.weight), array(given["first.weight"]))
    assert isinstance(net.first.weight, nn.Parameter) and net.first.weight.requires_grad


def test_copies_and_pickles():
    net = Net()
    net(gg.ones(1, 4)).sum().backward()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [n for n, _ in other.named_parameters()] == [n for n, _ in net.named_parameters()]
        for a, b in zip(net.parameters(), other.parameters()):
            np.testing.assert_array_equal(array(a), array(b))
            assert (
                isinstance(b, nn.Parameter) and b.requires_grad and not np.shares_memory(array(a), array(b))
            )


def test_tied_parameters_stay_tied_in_a_copy():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    other = copy.deepcopy(net)
    assert other[0].weight is other[1].weight and other[0].weight is not net[0].weight


def test_modules_are_freed_without_the_collector():
    import weakref

    gc.disable()
    try:
        net = Net()
        net(gg.ones(1, 4)).sum().backward()
        watch = weakref.ref(net.first.weight)
        del net
        assert watch() is None
    finally:
        gc.enable()


# ---- hooks ----


def test_forward_hooks_see_and_change():
    layer = nn.Identity()
    seen: list[Any] = []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    after = layer.register_forward_hook(lambda m, args, out: seen.append(out.item()) or out * 10)
    assert layer(gg.tensor(1.0)).item() == 20.0 and seen == [2.0]
    before.remove()
    assert layer(gg.tensor(1.0)).item() == 10.0
    after.remove()
    assert layer(gg.tensor(1.0)).item() == 1.0


def test_hooks_with_kwargs_and_order():
    class Add(nn.Module):
        def forward(self, x, *, y):
            return x + y

    layer, order = Add(), []
    layer.register_forward_pre_hook(lambda m, a, k: (a, {"y": k["y"] * 2}), with_kwargs=True)
    layer.register_forward_hook(
        lambda m, a, k, out: order.append(("second", k["y"].item())), with_kwargs=True
    )
    layer.register_forward_hook(lambda m, a, out: order.append("first"), prepend=True)
    assert layer(gg.tensor(1.0), y=gg.tensor(2.0)).item() == 5.0
    assert order == ["first", ("second", 4.0)]


def test_backward_hooks_see_both_ends():
    layer = nn.Linear(2, 1, bias=False)
    seen: list[Any] = []
    layer.register_full_backward_pre_hook(lambda m, grad_output: seen.append(grad_output[0].tolist()))
    layer.register_full_backward_hook(
        lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist())) or (gi[0] * 2,)
    )
    x = gg.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    weight = layer.weight.detach().tolist()
    assert seen == [[[1.0]], (weight, [[1.0]])]
    np.testing.assert_allclose(array(x.grad), 2 * np.array(weight))


def test_backward_hook_without_an_input_that_needs_gradients():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(gg.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]


# ---- text ----


def test_repr():
    assert repr(nn.Linear(2, 3, bias=False)) == "Linear(in_features=2, out_features=3, bias=False)"
    assert repr(nn.Conv2d(1, 2, 3, padding=1, groups=1, bias=False)) == (
        "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"
    )
    assert repr(nn.ConvTranspose2d(4, 2, 4, 2, 1, output_padding=1, dilation=2)) == (
        "ConvTranspose2d(4, 2, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1), dilation=(2, 2), output_padding=(1, 1))"
    )
    assert repr(
        nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Sequential(nn.LeakyReLU(0.2, inplace=True))))
    ) == (
        "Sequential(\n  (a): ReLU()\n  (b): Sequential(\n    (0): LeakyReLU(negative_slope=0.2, inplace=True)\n  )\n)"
    )
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    )
    assert repr(nn.ReLU()) == "ReLU()" and repr(nn.GELU()) == "GELU(approximate='none')"
    assert (
        repr(nn.BatchNorm2d(3))
        == "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
    )
    assert repr(nn.Dropout(0.1)) == "Dropout(p=0.1, inplace=False)"
    assert (
        repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.Embedding(5, 2, padding_idx=0)) == "Embedding(5, 2, padding_idx=0)"
    assert repr(nn.LayerNorm(4)) == "LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)"
    assert (
        repr(nn.GroupNorm(2, 4, bias=False)) == "GroupNorm(2, 4, eps=1e-05, affine=True, bias=False)"
    )  # as PyTorch
    assert repr(nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
    assert repr(nn.AvgPool2d(2)) == "AvgPool2d(kernel_size=2, stride=2, padding=0)"
    assert repr(nn.RNNCell(2, 3, nonlinearity="relu")) == "RNNCell(2, 3, nonlinearity=relu)"
    assert "(out_proj): NonDynamicallyQuantizableLinear(" in repr(nn.MultiheadAttention(4, 2))
    assert repr(nn.Parameter(gg.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


# ---- containers ----


def test_sequential():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3 and isinstance(net[-1], nn.Linear) and len(net[:2]) == 2
    assert net[0] is net[:2][0]
    net.append(nn.Tanh())
    net.insert(1, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Linear", "Identity", "ReLU", "Linear", "Tanh"]
    assert isinstance(net.pop(1), nn.Identity)
    net[0] = nn.Identity()
    del net[-1]
    assert list(net.state_dict()) == ["2.weight", "2.bias"]
    with pytest.raises(IndexError, match="out of range"):
        net[7]


def test_module_list_and_dict():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    layers += [nn.ReLU()]
    layers.extend([nn.Tanh()])
    assert len(layers) == 5 and isinstance(layers[-1], nn.Tanh) and len(layers[1:3]) == 2
    layers[0] = nn.Identity()
    assert list(layers.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    named = nn.ModuleDict({"a": nn.Linear(1, 1)})
    named["b"] = nn.ReLU()
    named.update([("c", nn.Tanh())])
    assert list(named) == ["a", "b", "c"] and "b" in named and isinstance(named.pop("c"), nn.Tanh)
    assert [k for k, _ in named.items()] == ["a", "b"] and len(list(named.parameters())) == 2


def test_parameter_list_and_dict():
    values = nn.ParameterList([gg.ones(1), nn.Parameter(gg.zeros(2))])
    values.append(gg.ones(3))
    assert [n for n, _ in values.named_parameters()] == ["0", "1", "2"] and len(values) == 3
    assert all(isinstance(p, nn.Parameter) for p in values) and values[-1].shape == (3,)
    named = nn.ParameterDict({"w": gg.ones(2)})
    named["b"] = nn.Parameter(gg.zeros(1))
    assert [n for n, _ in named.named_parameters()] == ["w", "b"] and "w" in named and named.get("z") is None
    del named["w"]
    assert list(named.keys()) == ["b"]


# ---- layers ----


def test_default_initialisation_has_the_documented_bounds():
    gg.manual_seed(0)
    layer = nn.Linear(64, 500)
    bound = 1 / 8
    for p in layer.parameters():
        assert float(p.abs().max()) <= bound and float(p.abs().max()) > 0.9 * bound
    conv = nn.Conv2d(4, 64, 3)
    assert 0.9 / 6 < float(conv.weight.abs().max()) <= 1 / 6 and float(conv.bias.abs().max()) <= 1 / 6
    table = nn.Embedding(1000, 20, padding_idx=3)
    assert abs(float(table.weight.mean())) < 0.05 and abs(float(table.weight.std()) - 1) < 0.05
    assert table.weight[3].tolist() == [0.0] * 20


def test_initialisers_with_another_default_device(device: str) -> None:
    def filled(**generator: Any) -> list:
        tensors = []
        for fill in (
            nn.init.orthogonal_,
            nn.init.trunc_normal_,
            lambda w, **g: nn.init.sparse_(w, 0.5, **g),
            nn.init.eye_,
        ):
            w = gg.empty(6, 4)
            assert w.device.type == device
            tensors.append(fill(w, **generator if fill is not nn.init.eye_ else {}))
        return [array(w) for w in tensors]

    with gg.device(device):
        gg.manual_seed(0)
        orthogonal, cut, sparse, eye = filled()
        np.testing.assert_allclose(orthogonal.T @ orthogonal, np.eye(4), atol=1e-5)
        assert np.abs(cut).max() <= 2 and (sparse == 0).sum(0).tolist() == [3] * 4 and eye.trace() == 4
        own = [filled(generator=gg.Generator(device).manual_seed(3)) for _ in range(2)]
        assert all((a == b).all() for a, b in zip(*own, strict=True))


def test_initialisers():
    gg.manual_seed(0)
    init, w = nn.init, gg.empty(200, 100)
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert float(init.xavier_uniform_(w).abs().max()) <= np.sqrt(6 / 300)
    assert float(init.xavier_normal_(w).std()) == pytest.approx(np.sqrt(2 / 300), rel=0.05)
    assert float(init.kaiming_normal_(w, nonlinearity="relu").std()) == pytest.approx(
        np.sqrt(2 / 100), rel=0.05
    )
    assert float(init.kaiming_uniform_(w, mode="fan_out").abs().max()) <= np.sqrt(6 / 200)
    q = array(init.orthogonal_(w))
    np.testing.assert_allclose(q.T @ q, np.eye(100), atol=1e-5)
    cut = init.trunc_normal_(w, std=2.0, a=-1.0, b=1.0)
    assert -1 <= float(cut.min()) and float(cut.max()) <= 1 and float(cut.std()) > 0.5
    assert (array(init.sparse_(w, 0.25)) == 0).sum(0).tolist() == [50] * 100
    assert array(init.eye_(gg.empty(2, 3))).tolist() == [[1, 0, 0], [0, 1, 0]]
    x = gg.randn(1, 3, 5, 5)
    np.testing.assert_allclose(
        array(F.conv2d(x, init.dirac_(gg.empty(3, 3, 3, 3)), padding=1)), array(x), atol=1e-6
    )
    p = nn.Parameter(gg.empty(3))
    assert init.ones_(p) is p and p.tolist() == [1.0] * 3 and init.constant_(p, 2).tolist() == [2.0] * 3
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_uniform_(gg.empty(3))
    with pytest.raises(ValueError, match="Mode fan_both not supported"):
        init.kaiming_uniform_(w, mode="fan_both")


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    (nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    (nn.CELU(1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x / 1.5))),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.LogSigmoid(), lambda x: -np.log1p(np.exp(-x))),
    (nn.Tanh(), np.tanh),
    (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    (nn.Softsign(), lambda x: x / (1 + np.abs(x))),
    (nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    (nn.Hardtanh(-0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7)),
    (nn.Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (nn.Hardsigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6),
    (nn.Threshold(0.2, 9.0), lambda x: np.where(x > 0.2, x, 9.0)),
    (nn.PReLU(3), lambda x: np.where(x > 0, x, 0.25 * x)),
    (nn.GLU(), lambda x: x[..., :2] / (1 + np.exp(-x[..., 2:]))),
    (nn.Softmax(1), lambda x: softmax(x, 1)),
    (nn.LogSoftmax(-1), lambda x: np.log(softmax(x, -1))),
    (nn.Softmin(1), lambda x: softmax(-x, 1)),
    (nn.Flatten(), lambda x: x.reshape(2, 12)),
    (nn.Unflatten(-1, (2, 2)), lambda x: x.reshape(2, 3, 2, 2)),
    (nn.Identity(1, unused=2), lambda x: x),
]


@pytest.mark.parametrize(
    "layer, formula", ACTIVATIONS, ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else ""
)
def test_activations(layer, formula, device):
    x = np.random.default_rng(0).standard_normal((2, 3, 4)) * 2
    layer = copy.deepcopy(layer).to(device).double()
    np.testing.assert_allclose(array(layer(gg.tensor(x, device=device))), formula(x), rtol=1e-6, atol=1e-7)


def test_inplace_activation_writes_into_its_input():
    x = gg.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0.0, 2.0]


def test_losses(device):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    classes, weight = np.array([0, 2, 1, 2]), np.array([1.0, 2.0, 0.5])
    p, q = softmax(x, 1), softmax(t, 1)
    log_p, sigmoid = np.log(p), 1 / (1 + np.exp(-x))
    pick = log_p[np.arange(4), classes]
    d = np.abs(x - t)
    bce = -(q * np.log(sigmoid) + (1 - q) * np.log(1 - sigmoid))
    cases = [
        (nn.MSELoss(), x, t, np.mean(d**2)),
        (nn.MSELoss(reduction="sum"), x, t, np.sum(d**2)),
        (nn.L1Loss(reduction="none"), x, t, d),
        (nn.SmoothL1Loss(beta=0.5), x, t, np.mean(np.where(d < 0.5, d**2, d - 0.25))),
        (nn.HuberLoss(delta=0.5), x, t, np.mean(np.where(d < 0.5, d**2 / 2, 0.5 * (d - 0.25)))),
        (nn.KLDivLoss(reduction="batchmean"), log_p, q, np.sum(q * (np.log(q) - log_p)) / 4),
        (nn.NLLLoss(), log_p, classes, -np.mean(pick)),
        (nn.CrossEntropyLoss(), x, classes, -np.mean(pick)),
        (
            nn.CrossEntropyLoss(gg.tensor(weight)),
            x,
            classes,
            -np.sum(pick * weight[classes]) / weight[classes].sum(),
        ),
        (nn.CrossEntropyLoss(ignore_index=2), x, classes, -np.mean(pick[classes != 2])),
        (nn.CrossEntropyLoss(label_smoothing=0.1), x, classes, -0.9 * np.mean(pick) - 0.1 * np.mean(log_p)),
        (nn.CrossEntropyLoss(), x, q, -np.mean(np.sum(q * log_p, 1))),
        (nn.BCELoss(), sigmoid, q, np.mean(bce)),
        (nn.BCEWithLogitsLoss(), x, q, np.mean(bce)),
        (nn.GaussianNLLLoss(), x, t, None),
    ]
    for loss, a, b, expected in cases:
        loss = loss.to(device)
        a, b = gg.tensor(a, device=device, requires_grad=True), gg.tensor(b, device=device)
        if expected is None:
            got = loss(a, b, gg.full((4, 3), 2.0, dtype=gg.float64, device=device))
            expected = np.mean(0.5 * (np.log(2) + d**2 / 2))
        else:
            got = loss(a, b)
        np.testing.assert_allclose(array(got), expected, rtol=1e-6, atol=1e-9, err_msg=repr(loss))
        got.sum().backward()
        assert a.grad is not None


def test_old_reduction_flags():
    assert nn.MSELoss(size_average=False).reduction == "sum" and nn.MSELoss(reduce=False).reduction == "none"
    for reduction in ("max", None):
        loss = nn.MSELoss(reduction=reduction)  # losses with a forward of their own keep what they like
        with pytest.raises(ValueError, match="reduction must be"):
            loss(gg.ones(1), gg.ones(1))


def test_padding_from_a_generator(device):
    conv = nn.Conv2d(1, 1, (1, 3), padding=(k // 2 for k in (1, 3))).to(device)
    assert conv.padding == (0, 1) and conv(gg.ones(1, 1, 4, 4, device=device)).shape == (1, 1, 4, 4)


def test_normalisations(device):
    x = np.random.default_rng(0).standard_normal((4, 6, 5)) * 3 + 1
    t = gg.tensor(x, device=device)

    def standard(v: np.ndarray, axes: Any) -> np.ndarray:
        return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + 1e-5)

    for layer, expected in (
        (nn.LayerNorm(5), standard(x, 2)),
        (nn.LayerNorm((6, 5), elementwise_affine=False), standard(x, (1, 2))),
        (nn.RMSNorm(5, eps=1e-5), x / np.sqrt((x**2).mean(2, keepdims=True) + 1e-5)),
        (nn.GroupNorm(2, 6), standard(x.reshape(4, 2, 15), 2).reshape(x.shape)),
        (nn.BatchNorm1d(6), standard(x, (0, 2))),
        (nn.InstanceNorm1d(6), standard(x, 2)),
    ):
        layer = layer.to(device).double()
        np.testing.assert_allclose(array(layer(t)), expected, rtol=1e-6, atol=1e-8, err_msg=repr(layer))


def test_batch_norm_keeps_running_statistics(device):
    x = np.random.default_rng(0).standard_normal((8, 2, 3, 3)) * 2 + 1
    layer = nn.BatchNorm2d(2, momentum=0.25).to(device).double()
    layer(gg.tensor(x, device=device))
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(array(layer.running_mean), 0.25 * mean, rtol=1e-7)
    np.testing.assert_allclose(array(layer.running_var), 0.75 + 0.25 * var, rtol=1e-7)
    assert layer.num_batches_tracked.item() == 1
    expected = (x - 0.25 * mean.reshape(2, 1, 1)) / np.sqrt((0.75 + 0.25 * var).reshape(2, 1, 1) + 1e-5)
    np.testing.assert_allclose(array(layer.eval()(gg.tensor(x, device=device))), expected, rtol=1e-6)
    assert layer.num_batches_tracked.item() == 1
    average = nn.BatchNorm2d(2, momentum=None).to(device).double()
    for part in (x[:4], x[4:]):
        average(gg.tensor(part, device=device))
    np.testing.assert_allclose(
        array(average.running_mean), (x[:4].mean((0, 2, 3)) + x[4:].mean((0, 2, 3))) / 2, rtol=1e-7
    )
    with pytest.raises(ValueError, match="expected 4D input"):
        layer(gg.ones(2, 2, device=device))


def test_dropout_drops_in_training_only(device):
    x = gg.ones(200, 50, device=device)
    layer = nn.Dropout(0.25)
    y = array(layer(x))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)} and abs((y == 0).mean() - 0.25) < 0.02
    assert layer.eval()(x) is x or (array(layer(x)) == 1).all()
    y = array(nn.Dropout2d(0.5)(gg.ones(40, 20, 2, 2, device=device)))
    assert (y.reshape(800, 4) == y.reshape(800, 4)[:, :1]).all() and abs((y == 0).mean() - 0.5) < 0.06
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_embedding(device):
    layer = nn.Embedding(5, 3, padding_idx=-1).to(device)
    index = gg.tensor([[0, 4], [2, 0]], device=device)
    layer(index).sum().backward()
    assert array(layer.weight.grad).sum(1).tolist() == [6.0, 0.0, 3.0, 0.0, 0.0]
    frozen = nn.Embedding.from_pretrained(gg.eye(3))
    assert not frozen.weight.requires_grad and frozen(gg.tensor([1])).tolist() == [[0.0, 1.0, 0.0]]


def test_convolutions_and_pools_have_the_documented_shapes(device):
    x = gg.zeros(2, 4, 9, 8, device=device)
    for layer, shape in (
        (nn.Conv2d(4, 6, 3), (2, 6, 7, 6)),
        (nn.Conv2d(4, 6, (3, 1), stride=2, padding=(1, 0), dilation=1, groups=2), (2, 6, 5, 4)),
        (nn.Conv2d(4, 6, 3, padding="same"), (2, 6, 9, 8)),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 6, 9, 8)),
        (nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (2, 6, 18, 16)),
        (nn.MaxPool2d(2), (2, 4, 4, 4)),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 4, 5, 5)),
        (nn.AvgPool2d(2), (2, 4, 4, 4)),
        (nn.AdaptiveAvgPool2d((3, None)), (2, 4, 3, 8)),
        (nn.AdaptiveMaxPool2d(1), (2, 4, 1, 1)),
        (nn.ZeroPad2d((1, 2, 0, 1)), (2, 4, 10, 11)),
        (nn.ReflectionPad2d(1), (2, 4, 11, 10)),
    ):
        assert tuple(layer.to(device)(x).shape) == shape, layer
    line = gg.zeros(2, 4, 9, device=device)
    assert nn.Conv1d(4, 6, 3, padding=1).to(device)(line).shape == (2, 6, 9)
    assert nn.ConvTranspose1d(4, 6, 3, 2).to(device)(line).shape == (2, 6, 19)
    assert nn.MaxPool1d(3)(line).shape == (2, 4, 3) and nn.AvgPool1d(3)(line).shape == (2, 4, 3)
    up = nn.ConvTranspose2d(4, 4, 3, stride=2).to(device)
    assert up(x, output_size=(20, 18)).shape == (2, 4, 20, 18)
    with pytest.raises(ValueError, match="valid sizes in dimension 0 range from 19 to 20"):
        up(x, output_size=(25, 18))


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels must be divisible by groups"),
        (lambda: nn.Conv2d(2, 3, 3, groups=2), "out_channels must be divisible by groups"),
        (lambda: nn.Conv2d(2, 2, 3, padding="full"), "Invalid padding string"),
        (lambda: nn.Conv2d(2, 2, 3, padding="same", stride=2), "not supported for strided"),
        (lambda: nn.Conv2d(2, 2, 3, padding_mode="mirror"), "padding_mode must be one of"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, padding_mode="reflect"), 'Only "zeros" padding mode'),
        (lambda: nn.GroupNorm(2, 3), "divisible by num_groups"),
    ],
)
def test_layers_refuse_wrong_arguments(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_lazy_layers_take_their_sizes_from_the_first_input():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert isinstance(net[3].weight, nn.UninitializedParameter)
    kept = net[3].weight
    net(gg.zeros(2, 3, 5, 5))
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert net[0].weight.shape == (4, 3, 3, 3) and net[3].weight.shape == (2, 36) and net[3].weight is kept
    assert type(kept) is nn.Parameter and float(kept.abs().max()) <= 1 / 6


def test_bilinear():
    layer = nn.Bilinear(3, 2, 4).double()
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    expected = np.einsum("ni,oij,nj->no", a, array(layer.weight), b) + array(layer.bias)
    np.testing.assert_allclose(array(layer(gg.tensor(a), gg.tensor(b))), expected, rtol=1e-9)


def test_similarities():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    norm = np.linalg.norm
    np.testing.assert_allclose(array(F.normalize(gg.tensor(a))), a / norm(a, axis=1, keepdims=True))
    expected = (a * b).sum(1) / norm(a, axis=1) / norm(b, axis=1)
    np.testing.assert_allclose(array(F.cosine_similarity(gg.tensor(a), gg.tensor(b))), expected)
    np.testing.assert_allclose(
        array(F.pairwise_distance(gg.tensor(a), gg.tensor(b))), norm(a - b + 1e-6, axis=1)
    )


# ---- utilities ----


def test_clipping(device):
    params = [nn.Parameter(gg.zeros(n, device=device)) for n in (2, 3)]
    for p, g in zip(params, ([3.0, 0.0], [0.0, 4.0, 0.0])):
        p.grad = gg.tensor(g, device=device)
    frozen = nn.Parameter(gg.zeros(1, device=device))
    total = nn.utils.clip_grad_norm_([*params, frozen], 2.5)
    assert total.item() == 5.0
    np.testing.assert_allclose(array(params[1].grad), [0, 2, 0], rtol=1e-5)
    assert nn.utils.clip_grad_norm_(params, 10.0, float("inf")).item() == pytest.approx(2.0, rel=1e-5)
    nn.utils.clip_grad_value_(params, 1.0)
    assert params[0].grad.tolist() == [1.0, 0.0] and params[1].grad.tolist() == [0.0, 1.0, 0.0]
    params[0].grad = gg.tensor([np.inf, 0.0], device=device)
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_parameters_as_a_vector():
    net = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (6,) and vector.requires_grad
    nn.utils.vector_to_parameters(gg.arange(6.0), net.parameters())
    assert net.weight.tolist() == [[0.0, 1.0], [2.0, 3.0]] and net.bias.tolist() == [4.0, 5.0]


# ---- state dicts, closer ----


def small_net():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def test_state_dict_knows_the_versions():
    state = small_net().state_dict()
    assert state._metadata["1"] == {"version": 2} and list(state._metadata) == ["", "0", "1", "2"]
    old = OrderedDict((k, v) for k, v in state.items() if "num_batches" not in k)
    assert (
        str(small_net().load_state_dict(old)) == "<All keys matched successfully>"
    )  # of before there was a count
    given: OrderedDict = OrderedDict()
    assert small_net().state_dict(given, "p.") is given and "p.0.weight" in given


def test_load_state_dict_says_all_that_does_not_fit_in_pytorchs_order():
    net = small_net()
    state = net.state_dict()
    del state["0.weight"]
    state["odd"], state["1.weight"] = gg.zeros(1), gg.zeros(4)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        'Error(s) in loading state_dict for Sequential:\n\tMissing key(s) in state_dict: "0.weight". \n\t'
        'Unexpected key(s) in state_dict: "odd". \n\tsize mismatch for 1.weight: copying a param with shape '
        "gradgpu.Size([4]) from checkpoint, the shape in current model is gradgpu.Size([3])."
    )
    del state["1.weight"]
    keys = net.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["0.weight", "1.weight"] and keys.unexpected_keys == ["odd"]


def test_a_number_may_come_as_a_vector_of_one(device):
    module = nn.Module()
    module.register_buffer("scale", gg.tensor(1.0, device=device))
    module.load_state_dict({"scale": gg.tensor([3.0])})
    assert module.scale.item() == 3.0 and module.scale.shape == ()


def test_hooks_of_state_dicts():
    net, seen = small_net(), []
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: seen.append(("save", prefix, keep)))
    net[0].register_state_dict_post_hook(lambda m, state, prefix, meta: seen.append((len(state), meta)))
    net[0].register_load_state_dict_pre_hook(lambda m, state, prefix, *rest: seen.append(("load", prefix)))
    net._register_load_state_dict_pre_hook(lambda state, prefix, *rest: seen.append(("old", prefix)))
    net._register_load_state_dict_pre_hook(lambda m, state, *rest: seen.append(type(m)), with_module=True)
    net.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys.missing_keys))
    net.load_state_dict(net.state_dict())
    assert seen == [
        ("save", "0.", False), (2, {"version": 1}), ("old", ""), nn.Sequential, ("load", "0."), [],
    ]  # fmt: skip
    net[0].register_state_dict_post_hook(lambda *args: 3)
    with pytest.raises(RuntimeError, match="post-hook must return None"):
        net.state_dict()
    renamed = nn.Linear(1, 1)
    renamed._register_state_dict_hook(lambda m, state, prefix, meta: {"other": 1})
    assert renamed.state_dict() == {"other": 1}


def test_a_module_that_saves_and_loads_in_its_own_way():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(gg.ones(1))

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            destination[prefix + "half"] = self.w.detach() / 2

        def _load_from_state_dict(
            self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        ):
            with gg.no_grad():
                self.w.copy_(state_dict[prefix + "half"] * 2)

    net = nn.Sequential(Doubled())
    assert list(net.state_dict()) == ["0.half"]
    net.load_state_dict({"0.half": gg.tensor([2.0])}, assign=True)
    assert net[0].w.item() == 4.0


def test_sequential_times_a_number():
    net = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert len(net * 2) == len(2 * net) == 4 and (net * 2)[2] is net[0]
    net *= 3
    net += nn.Sequential(nn.ELU())
    assert len(net) == 7 and isinstance(net[6], nn.ELU)
    for action, error, match in [
        (lambda: net * 0, ValueError, "Non-positive multiplication factor 0"),
        (lambda: net * 1.5, TypeError, "unsupported operand"),
        (lambda: net.insert(9, nn.ReLU()), IndexError, "Index out of range: 9"),
        (lambda: net.insert(0, 3), TypeError, "int is not a Module subclass"),
        (lambda: nn.ModuleList().extend(3), TypeError, "with an iterable, but got int"),
    ]:
        with pytest.raises(error, match=match):
            action()


def test_parameter_dict_is_a_dict():
    d = nn.ParameterDict({"a": gg.ones(2)})
    assert isinstance(d.setdefault("b", gg.zeros(1)), nn.Parameter) and d.setdefault("a").shape == (2,)
    assert list(reversed(d)) == ["b", "a"] and list(d | {"c": gg.ones(1)}) == ["a", "b", "c"]
    assert list({"c": gg.ones(1)} | d) == ["c", "a", "b"]
    other = d.copy()
    assert other["a"] is d["a"] and other.popitem()[0] == "b" and list(d) == ["a", "b"]
    d |= {"e": gg.ones(1)}
    assert [name for name, _ in d.named_parameters()] == ["a", "b", "e"]
    assert list(d.fromkeys(["x", "y"])) == ["x", "y"]


# ---- lazy modules, closer ----


def test_lazy_modules_keep_what_was_loaded():
    given = nn.Linear(5, 3)
    lazy = nn.LazyLinear(3)
    assert lazy.has_uninitialized_params() and repr(lazy.weight) == "<UninitializedParameter>"
    assert type(lazy.state_dict()["weight"]) is nn.UninitializedParameter
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        lazy.weight.shape  # noqa: B018
    lazy.load_state_dict(given.state_dict())
    x = gg.randn(2, 5)
    assert gg.equal(lazy(x), given(x)) and type(lazy) is nn.Linear and lazy.in_features == 5
    norm, trained = nn.LazyBatchNorm1d(), nn.BatchNorm1d(4)
    trained(gg.randn(8, 4))
    assert type(norm.running_mean) is nn.UninitializedBuffer
    norm.load_state_dict(trained.state_dict())
    y = gg.randn(3, 4)
    assert gg.equal(norm.eval()(y), trained.eval()(y)) and type(norm) is nn.BatchNorm1d
    fresh = nn.LazyBatchNorm1d(affine=False)
    fresh(y)
    assert fresh.num_features == 4 and fresh.running_var.shape == (4,)


def test_a_lazy_module_of_the_users_own():
    from gradgpu.nn.modules.lazy import LazyModuleMixin

    from gradgpu.nn.parameter import UninitializedParameter

    class Scale(LazyModuleMixin, nn.Module):
        def __init__(self, fill=True):
            super().__init__()
            self.w, self.fill = UninitializedParameter(), fill

        def initialize_parameters(self, x):
            if self.has_uninitialized_params() and self.fill:
                self.w.materialize((x.shape[-1],))
                nn.init.constant_(self.w, 2.0)

        def forward(self, x):
            return x * self.w

    scale = Scale()
    optimizer = gg.optim.SGD(scale.parameters(), lr=0.5)
    assert scale(gg.ones(3)).tolist() == [2.0, 2.0, 2.0] and type(scale) is Scale
    scale(gg.ones(3)).sum().backward()
    optimizer.step()
    assert scale(gg.ones(3)).tolist() == [1.5, 1.5, 1.5]
    with pytest.raises(RuntimeError, match="Scale has not been fully initialized"):
        Scale(fill=False)(gg.ones(3))


def test_members_that_a_subclass_chooses() -> None:
    class Meta(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1, bias=False))
            self.again = self.inner[0]

        def weights(self, prefix: str = "", recurse: bool = True):
            yield from self._named_members(
                lambda m: m._parameters.items() if isinstance(m, nn.Linear) else [],
                prefix=prefix,
                recurse=recurse,
            )

    net = Meta()
    assert [n for n, _ in net.weights()] == ["inner.0.weight", "inner.0.bias", "inner.1.weight"]
    assert [n for n, _ in net.weights("a")] == ["a.inner.0.weight", "a.inner.0.bias", "a.inner.1.weight"]
    assert list(net.weights(recurse=False)) == []
    assert len(list(net._named_members(lambda m: m._parameters.items(), remove_duplicate=False))) == 5
