"""Reparametrized layers: values against their formulas, gradients, state, removal; pruning and folding of batch norm."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.nn.utils import parametrizations, parametrize, prune

LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "conv": (lambda: nn.Conv2d(2, 3, 3), (1, 2, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3), (1, 2, 5, 5)),
}


def array(t) -> np.ndarray:
    return t.detach().cpu().numpy()


def close(a, b, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(
        a if isinstance(a, (np.ndarray, np.generic)) else array(a), b if isinstance(b, (np.ndarray, np.generic)) else array(b),
        rtol=tolerance, atol=tolerance,
    )  # fmt: skip


# ---- weight norm ----


@pytest.mark.parametrize("form", [nn.utils.weight_norm, parametrizations.weight_norm])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_changes_no_value_and_learns_size_and_direction(form, kind, dim):
    make, shape = LAYERS[kind]
    layer = make()
    x = gg.randn(*shape)
    before, weight = layer(x), array(layer.weight).copy()
    assert form(layer, dim=dim) is layer
    names = [n for n, _ in layer.named_parameters()]
    assert len(names) == 3 and "weight" not in names and "bias" in names
    close(layer(x), before)
    size, direction = [p for n, p in layer.named_parameters() if n != "bias"]
    axes = tuple(d for d in range(weight.ndim) if d != dim)
    norm = np.sqrt((weight**2).sum(axes if dim is not None else None, keepdims=dim is not None))
    close(size, norm.astype(np.float32))
    close(direction, weight)
    with gg.no_grad():
        size.mul_(2)
    bias = layer.bias.reshape((1, 3) + (1,) * (x.ndim - 2))
    close(layer(x) - bias, array(before - bias) * 2)
    layer(x).sum().backward()
    # The direction's gradient is orthogonal to it, slice by slice.
    assert (direction.grad * direction).sum().item() == pytest.approx(0, abs=1e-3)
    assert size.grad is not None and size.grad.shape == size.shape


def test_weight_norm_in_numbers():
    layer = nn.utils.weight_norm(nn.Linear(2, 1, bias=False))
    layer.weight_v.data, layer.weight_g.data = gg.tensor([[3.0, 4.0]]), gg.tensor([[10.0]])
    y = layer(gg.tensor([[1.0, 1.0]]))
    assert y.item() == pytest.approx(14)
    y.backward()
    close(layer.weight_g.grad, np.float32([[1.4]]))  # (3 + 4) / 5
    close(layer.weight_v.grad, np.float32([[2 - 14 * 3 / 25, 2 - 14 * 4 / 25]]))  # g/n (1 - v (v·x)/n²)
    assert list(layer.state_dict()) == ["weight_g", "weight_v"]
    assert nn.utils.remove_weight_norm(layer) is layer
    close(layer.weight, np.float32([[6, 8]]))
    assert isinstance(layer.weight, nn.Parameter) and list(layer.state_dict()) == ["weight"]
    assert not layer._forward_pre_hooks
    with pytest.raises(ValueError, match="weight_norm of 'weight' not found"):
        nn.utils.remove_weight_norm(layer)


def test_the_new_form_loads_a_state_of_the_old():
    old, new = nn.utils.weight_norm(nn.Linear(3, 2)), parametrizations.weight_norm(nn.Linear(3, 2))
    x = gg.randn(4, 3)
    assert not new.load_state_dict(old.state_dict()).missing_keys
    close(new(x), old(x))


@pytest.mark.parametrize("form", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_two_hooks_on_one_parameter_are_refused(form):
    with pytest.raises(RuntimeError, match="Cannot register two"):
        form(form(nn.Linear(2, 2)))


# ---- spectral norm ----


@pytest.mark.parametrize("form", [nn.utils.spectral_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm_divides_by_the_largest_singular_value(form, kind):
    make, shape = LAYERS[kind]
    layer = make()
    weight = array(layer.weight).copy()
    form(layer)
    x = gg.randn(*shape)
    for _ in range(60):
        layer(x)
    rows = weight.swapaxes(0, 1) if kind == "transposed" else weight
    sigma = np.linalg.svd(rows.reshape(3, -1), compute_uv=False)[0]
    close(layer.weight, weight / sigma, 1e-3)
    layer.eval()
    first = layer(x)
    close(layer(x), first, 0)  # no step of the power method in evaluation mode
    first.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_spectral_norm_state_and_removal():
    layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    layer(gg.randn(1, 3))
    shown = array(layer.weight).copy()
    nn.utils.remove_spectral_norm(layer)
    close(layer.weight, shown)
    assert list(layer.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_spectral_norm(layer)
    with pytest.raises(ValueError, match="n_power_iterations"):
        nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    with pytest.raises(IndexError, match="out of range"):
        parametrizations.spectral_norm(nn.Linear(2, 2), dim=2)
    layer = parametrizations.spectral_norm(nn.Linear(3, 2))
    assert list(layer.state_dict()) == [
        "bias", "parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v",
    ]  # fmt: skip


def test_two_forwards_of_a_spectral_normed_layer_before_backward():
    layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    (layer(gg.randn(1, 3)).sum() - layer(gg.randn(1, 3)).sum()).backward()
    assert layer.weight_orig.grad is not None


# ---- orthogonal ----


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal_stays_orthogonal_while_it_learns(shape, kind, trivial):
    gg.manual_seed(3)
    layer = nn.Module()
    layer.weight = nn.Parameter(gg.randn(*shape).double())
    if not trivial and kind != "householder":
        parametrizations.orthogonal(layer, "weight", kind, use_trivialization=False)
        with pytest.raises(NotImplementedError, match="use_trivialization=False"):
            layer.weight = gg.randn(*shape).double()
        parametrize.remove_parametrizations(layer, "weight")
    parametrizations.orthogonal(layer, "weight", kind, use_trivialization=trivial)
    target = gg.randn(*shape).double()
    optimizer = gg.optim.SGD(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        w = layer.weight
        q = w if shape[-2] >= shape[-1] else w.transpose(-2, -1)
        one = q.transpose(-2, -1) @ q
        close(one, np.broadcast_to(np.eye(one.shape[-1]), one.shape), 1e-10)
        optimizer.zero_grad()
        loss = (w - target).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_an_orthogonal_weight_can_be_assigned():
    for kind, trivial in (
        ("matrix_exp", True),
        ("cayley", True),
        ("householder", True),
        ("householder", False),
    ):
        layer = nn.Linear(3, 3).double()
        parametrizations.orthogonal(layer, "weight", kind, use_trivialization=trivial)
        q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
        layer.weight = gg.tensor(q)
        close(layer.weight, q, 1e-10)


def test_orthogonal_errors():
    with pytest.raises(ValueError, match="of 1 dimensions"):
        parametrizations.orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(ValueError, match="orthogonal_map has to be"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr")
    with pytest.raises(ValueError, match="no parameter or buffer"):
        parametrizations.orthogonal(nn.Linear(2, 2), "wieght")


# ---- parametrize ----


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-2, -1)


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


class Count(nn.Module):
    calls = 0

    def forward(self, x):
        Count.calls += 1
        return x * 1


def test_parametrizations_chain_and_are_undone():
    layer = nn.Linear(3, 3)
    weight = array(layer.weight).copy()
    original = layer.weight
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert layer.parametrizations.weight.original is original
    close(layer.weight, weight)
    close(original, weight / 2)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    wanted = np.triu(weight) + np.triu(weight, 1).T
    close(layer.weight, wanted)
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias") and not parametrize.is_parametrized(nn.ReLU())
    assert isinstance(layer, nn.Linear) and type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert [n for n, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    parametrize.register_parametrization(layer, "bias", Doubled())
    parametrize.remove_parametrizations(layer, "weight")
    close(layer.weight, wanted)
    assert layer.weight is original and parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "bias", leave_parametrized=False)
    assert type(layer) is nn.Linear and sorted(n for n, _ in layer.named_parameters()) == ["bias", "weight"]


def test_assignment_goes_through_right_inverse():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    layer.weight = gg.full((2, 2), 4.0)
    close(layer.parametrizations.weight.original, np.full((2, 2), 2.0, np.float32))
    layer.weight = nn.Parameter(gg.full((2, 2), 6.0))
    close(layer.weight, np.full((2, 2), 6.0, np.float32))
    symmetric = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        symmetric.weight = gg.zeros(2, 2)


def test_cached_computes_once():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Count())
    Count.calls = 0
    with parametrize.cached():
        layer(layer(gg.ones(1, 2))).sum().backward()
    assert Count.calls == 1 and layer.parametrizations.weight.original.grad is not None
    layer(layer(gg.ones(1, 2)))
    assert Count.calls == 3


def test_a_buffer_may_be_parametrized():
    net = nn.Module()
    net.register_buffer("table", gg.ones(2, 2))
    parametrize.register_parametrization(net, "table", Doubled())
    assert [n for n, _ in net.named_buffers()] == ["parametrizations.table.original"]
    parametrize.remove_parametrizations(net, "table")
    assert [n for n, _ in net.named_buffers()] == ["table"]


def test_copies_of_parametrized_modules():
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    twin = copy.deepcopy(layer)
    x = gg.randn(1, 3)
    close(twin(x), layer(x))
    assert twin.parametrizations.weight.original0 is not layer.parametrizations.weight.original0
    parametrize.remove_parametrizations(twin, "weight")
    assert type(twin) is nn.Linear
    close(twin(x), layer(x))
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(layer)
    other = parametrize.transfer_parametrizations_and_params(layer, nn.Linear(3, 2))
    close(other.weight, layer.weight)


@pytest.mark.parametrize(
    "action, error, match",
    [
        (lambda: parametrize.register_parametrization(nn.Linear(2, 3), "weight", Symmetric()), RuntimeError, "size|shape|broadcast"),
        (lambda: parametrize.register_parametrization(nn.Linear(2, 3), "wait", Doubled()), ValueError, "does not have"),
        (lambda: parametrize.register_parametrization(nn.Linear(2, 3), "weight", nn.Flatten(0)), ValueError, "may not change"),
        (lambda: parametrize.remove_parametrizations(nn.Linear(2, 3), "weight"), ValueError, "does not have a parametrization"),
        (
            lambda: parametrize.remove_parametrizations(
                parametrizations.weight_norm(nn.Linear(2, 3)), "weight", leave_parametrized=False
            ),
            ValueError,
            "Cannot leave unparametrized",
        ),
    ],
)  # fmt: skip
def test_parametrize_errors(action, error, match):
    with pytest.raises(error, match=match):
        action()


# ---- pruning ----


def test_l1_pruning_cuts_the_least_and_trains_the_rest():
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = gg.tensor([[4.0, -1.0, 2.0, -3.0]])
    prune.l1_unstructured(layer, "weight", 1)
    close(layer.weight, np.float32([[4, 0, 2, -3]]))
    prune.l1_unstructured(layer, "weight", 1)  # of what is left
    close(layer.weight, np.float32([[4, 0, 0, -3]]))
    assert len(layer._forward_pre_hooks) == 1 and list(layer.state_dict()) == ["weight_orig", "weight_mask"]
    layer(gg.ones(1, 4)).backward()
    close(layer.weight_orig.grad, np.float32([[1, 0, 0, 1]]))
    assert prune.is_pruned(layer)
    prune.remove(layer, "weight")
    close(layer.weight, np.float32([[4, 0, 0, -3]]))
    assert list(layer.state_dict()) == ["weight"] and not prune.is_pruned(layer)
    with pytest.raises(ValueError, match="has to be pruned before"):
        prune.remove(layer, "weight")


def test_pruning_again_collects_the_methods() -> None:
    layer = nn.Linear(4, 2)
    layer.weight.data = gg.arange(8.0).reshape(2, 4)
    first = prune.L1Unstructured.apply(layer, "weight", 2)
    assert list(layer._forward_pre_hooks.values()) == [first]
    for _ in range(2):
        container = prune.RandomStructured.apply(layer, "weight", 1, dim=0)
    assert isinstance(container, prune.PruningContainer) and list(layer._forward_pre_hooks.values()) == [
        container
    ]
    assert len(container) == 3 and container[0] is first and container.name == "weight"
    assert [type(m) for m in container] == [
        prune.L1Unstructured,
        prune.RandomStructured,
        prune.RandomStructured,
    ]
    assert float(layer(gg.ones(4)).sum()) == pytest.approx(float(layer.bias.sum()))  # both rows have gone
    left = prune.PruningContainer(first).prune(
        gg.tensor([5.0, 1.0, 3.0, 4.0]), gg.tensor([1.0, 1.0, 0.0, 1.0])
    )
    assert left.tolist() == [5.0, 0.0, 0.0, 0.0]
    prune.remove(layer, "weight")
    assert not prune.is_pruned(layer)
    with pytest.raises(TypeError, match="not a BasePruningMethod"):
        container.add_pruning_method("weight")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="named 'weight'"):
        container.add_pruning_method(prune.Identity.apply(nn.Linear(1, 1), "bias"))


def test_other_prunings():
    layer = nn.Linear(10, 4)
    prune.random_unstructured(layer, "weight", 0.25)
    assert int(layer.weight_mask.sum()) == 30
    prune.random_structured(layer, "weight", 2, dim=0)
    assert int(layer.weight_mask.any(1).sum()) == 2
    conv = nn.Conv2d(2, 3, 1, bias=False)
    conv.weight.data = gg.tensor([[1.0, 1.0], [0.1, 0.2], [3.0, 0.0]]).reshape(3, 2, 1, 1)
    prune.ln_structured(conv, "weight", 1, n=2, dim=0)
    close(conv.weight_mask.reshape(3, 2), np.float32([[1, 1], [0, 0], [1, 1]]))
    a, b = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    a.weight.data, b.weight.data = gg.tensor([[0.1, 5.0]]), gg.tensor([[0.2, 4.0]])
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=0.5)
    close(a.weight, np.float32([[0, 5]]))
    close(b.weight, np.float32([[0, 4]]))
    prune.identity(a, "weight")
    close(a.weight, np.float32([[0, 5]]))
    prune.custom_from_mask(b, "weight", gg.tensor([[1.0, 0.0]]))
    close(b.weight, np.float32([[0, 0]]))
    for amount, error in ((-1, ValueError), (1.5, ValueError), ("1", TypeError), (21, ValueError)):
        with pytest.raises(error, match="amount"):
            prune.random_unstructured(nn.Linear(10, 2), "weight", amount)


# ---- folding of batch norm ----


@pytest.mark.parametrize("kind", LAYERS)
def test_a_batch_norm_is_folded_into_the_layer_before(kind):
    make, shape = LAYERS[kind]
    layer = make().double()
    bn = (nn.BatchNorm1d if kind == "linear" else nn.BatchNorm2d)(3).double()
    for t in (bn.weight, bn.bias, bn.running_mean):
        t.data = gg.randn(3).double()
    bn.running_var = gg.rand(3).double() + 0.5
    x = gg.randn(*shape).double()
    with pytest.raises(AssertionError, match="Fusion only for eval"):
        nn.utils.fuse_conv_bn_eval(layer, bn)
    layer.eval(), bn.eval()
    if kind == "linear":
        fused = nn.utils.fuse_linear_bn_eval(layer, bn)
    else:
        fused = nn.utils.fuse_conv_bn_eval(layer, bn, transpose=kind == "transposed")
    close(fused(x), bn(layer(x)), 1e-10)


def test_skip_init():
    layer = nn.utils.skip_init(nn.Linear, 3, 2)
    assert layer.weight.shape == (2, 3)
    with pytest.raises(RuntimeError, match="Expected a Module"):
        nn.utils.skip_init(int)


@pytest.mark.cuda
@pytest.mark.parametrize("form", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrized_layers_on_cuda_compute_the_same(form):
    layer = getattr(parametrizations, form)(nn.Linear(4, 3)).eval()
    x = gg.randn(2, 4)
    here = layer(x)
    here.sum().backward()
    grads = [array(p.grad).copy() for p in layer.parameters()]
    layer.zero_grad()
    there = layer.to("cuda")(x.to("cuda"))
    close(there, here)
    there.sum().backward()
    for p, g in zip(layer.parameters(), grads):
        close(p.grad, g)


def test_functional_call_under_its_old_name():
    layer = gg.nn.Linear(1, 1)
    called = gg.nn.utils.stateless.functional_call(
        layer, {"weight": gg.ones(1, 1), "bias": gg.ones(1)}, gg.ones(1, 1)
    )
    assert called.item() == 2.0
