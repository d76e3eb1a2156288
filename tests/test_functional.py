"""Derivatives of functions, saved-tensor hooks: on every device."""

from __future__ import annotations

from typing import Any

import pytest

import gradgpu as gg
from gradgpu.autograd import functional as F


def close(a: Any, b: Any) -> None:
    gg.testing.assert_close(a.cpu(), gg.tensor(b, dtype=a.dtype), rtol=1e-5, atol=1e-5)


def cubic(x: Any) -> Any:
    return (x**3).sum() * x[0]


@pytest.fixture
def x(device: str) -> Any:
    return gg.tensor([1.0, 2.0], device=device)


def test_products(x: Any) -> None:
    value, found = F.vjp(lambda a: a * a, x, gg.ones_like(x))
    close(value, [1.0, 4.0])
    close(found, [2.0, 4.0])
    assert not found.requires_grad
    close(F.jvp(lambda a: a * a[0], x, gg.ones_like(x))[1], [2.0, 3.0])
    close(F.hvp(cubic, x, gg.ones_like(x))[1], [24.0, 24.0])
    close(F.vhp(cubic, x, gg.ones_like(x))[1], [24.0, 24.0])


def test_matrices(x: Any) -> None:
    close(F.jacobian(lambda a: a * a[0], x), [[2.0, 0.0], [2.0, 1.0]])
    close(F.hessian(cubic, x), [[12.0, 12.0], [12.0, 12.0]])
    table = F.jacobian(lambda a, b: (a * b, a + b), (x, x))
    assert len(table) == 2 and len(table[0]) == 2
    close(table[0][1], [[1.0, 0.0], [0.0, 2.0]])


def test_strict_and_wrong_vectors(x: Any) -> None:
    close(F.vjp(lambda a: gg.ones_like(a), x, gg.ones_like(x))[1], [0.0, 0.0])
    with pytest.raises(RuntimeError, match="does not depend on input 1"):
        F.vjp(lambda a, b: a, (x, x), gg.ones_like(x), strict=True)
    with pytest.raises(RuntimeError, match=r"v has shapes \[\(3,\)\]"):
        F.vjp(lambda a: a, x, gg.ones(3))
    with pytest.raises(RuntimeError, match="can only be None"):
        F.vjp(lambda a: a, x)
    with pytest.raises(TypeError, match="must be a Tensor"):
        F.jacobian(lambda a: 1.0, x)


def test_create_graph_reaches_the_inputs(x: Any) -> None:
    x.requires_grad_()
    found = F.jvp(lambda a: a * a, x, gg.ones_like(x), create_graph=True)[1]
    found.sum().backward()
    close(x.grad, [2.0, 2.0])


def test_transforms(x: Any) -> None:
    close(gg.func.grad(cubic)(x), [12.0, 12.0])
    close(gg.func.grad(gg.func.grad(lambda a: a**3))(x[1]), 12.0)
    value, gradient = gg.func.value_and_grad(cubic)(x)
    close(value, 9.0)
    close(gradient, [12.0, 12.0])
    close(gg.func.hessian(cubic)(x), [[12.0, 12.0], [12.0, 12.0]])
    close(gg.func.jacfwd(lambda a: a * a[0])(x), [[2.0, 0.0], [2.0, 1.0]])
    close(gg.func.jacrev(lambda a: a * a[0])(x), [[2.0, 0.0], [2.0, 1.0]])
    output, pull = gg.func.vjp(lambda a, b: a * b, x, x)
    close(output, [1.0, 4.0])
    close(pull(gg.ones_like(x))[1], [1.0, 2.0])
    tree = gg.func.grad(lambda p: (p["w"] * p["b"][0]).sum())(
        {"w": x, "b": [gg.tensor(3.0, device=x.device)]}
    )
    close(tree["w"], [3.0, 3.0])
    close(tree["b"][0], 3.0)
    gradient, aux = gg.func.grad(lambda a: (a.sum(), "aux"), has_aux=True)(x)
    assert aux == "aux"
    with pytest.raises(RuntimeError, match="scalar Tensor"):
        gg.func.grad(lambda a: a)(x)
    with pytest.raises(RuntimeError, match="argnums=2"):
        gg.func.grad(cubic, argnums=2)(x)


def test_functional_call(device: str) -> None:
    net = gg.nn.Linear(2, 1).to(device)
    before = net.weight
    w = gg.ones(1, 2, device=device, requires_grad=True)
    y = gg.func.functional_call(
        net, {"weight": w, "bias": gg.zeros(1, device=device)}, gg.ones(1, 2, device=device)
    )
    close(y.detach(), [[2.0]])
    y.sum().backward()
    close(w.grad, [[1.0, 1.0]])
    assert net.weight is before and before.grad is None
    with pytest.raises(KeyError, match="no parameters or buffers"):
        gg.func.functional_call(net, {"wieght": w}, gg.ones(1, 2))


def test_saved_tensors_hooks(x: Any) -> None:
    x.requires_grad_()
    log = []

    def pack(t: Any) -> Any:
        log.append(tuple(t.shape))
        return t.cpu(), t.device

    with gg.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept[0].to(kept[1])):
        y = (x * x).exp() @ gg.ones_like(x).detach()
    assert log
    y.backward()
    close(x.grad, [2 * 2.718281828, 4 * 54.59815])
    count = len(log)
    (x * x).sum()
    assert len(log) == count  # outside the block nothing is packed


def test_save_on_cpu(x: Any) -> None:
    x.requires_grad_()
    with gg.autograd.graph.save_on_cpu():
        y = x.exp().sin().sum()
    y.backward()
    plain = x.detach().requires_grad_()
    plain.exp().sin().sum().backward()
    assert x.grad.tolist() == plain.grad.tolist()


def test_unpack_must_give_a_tensor(x: Any) -> None:
    x.requires_grad_()
    with gg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        y = x.exp().sum()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor"):
        y.backward()


def test_comparisons(x: Any) -> None:
    assert gg.allclose(x, x + 1e-9)
    assert gg.equal(x, x.clone())
    assert not gg.equal(x, x[:1])
    nan = gg.tensor([float("nan"), float("inf")], device=x.device)
    assert gg.isclose(nan, nan).tolist() == [False, True]
    assert gg.isclose(nan, nan, equal_nan=True).tolist() == [True, True]
    with pytest.raises(RuntimeError, match="did not match"):
        gg.allclose(x, x.double())


def test_assert_close() -> None:
    gg.testing.assert_close({"a": [1.0, 2]}, {"a": [1.0, 2]})
    with pytest.raises(AssertionError, match=r"1 / 3.*\n.*index \(2,\)"):
        gg.testing.assert_close(gg.ones(3), gg.tensor([1.0, 1.0, 2.0]))
    with pytest.raises(AssertionError, match="dtype"):
        gg.testing.assert_close(gg.ones(1), gg.ones(1).double())
    with pytest.raises(AssertionError, match="key 'a' at index 0"):
        gg.testing.assert_close({"a": [1.0]}, {"a": [2.0]})


def test_helpers_for_jacobians_of_ones_own() -> None:
    from gradgpu.autograd.functional import (
        _as_tuple,
        _construct_standard_basis_for,
        _grad_postprocess,
        _tuple_postprocess,
    )

    x, y = gg.tensor([1.0, 2.0], requires_grad=True), gg.tensor([[3.0]], requires_grad=True)
    several, inputs = _as_tuple((x, y), "inputs", "jacobian")
    alone, outputs = _as_tuple(x * y.sum(), "outputs", "jacobian")
    assert several and not alone and len(inputs) == 2 and len(outputs) == 1
    with pytest.raises(TypeError, match="jacobian: inputs"):
        _as_tuple("x", "inputs", "jacobian")
    (basis,) = _construct_standard_basis_for(outputs, (2,))
    rows = [gg.autograd.grad(outputs[0], inputs, row, create_graph=True) for row in basis]
    table = (tuple([gg.stack(column) for column in zip(*rows, strict=True)]),)
    found = _tuple_postprocess(_grad_postprocess(table, False), (alone, several))
    assert [f.tolist() for f in found] == [[[3.0, 0.0], [0.0, 3.0]], [[[1.0]], [[2.0]]]]
    assert not any(f.requires_grad for f in found) and _grad_postprocess(table, True)[0][0] is table[0][0]
    assert _tuple_postprocess((x,), False) is x and _tuple_postprocess((x, y), True) == (x, y)
    assert _tuple_postprocess(((x,), (y,)), (True, False)) == (x, y)


def test_a_module_with_other_parameters_for_a_while() -> None:
    from gradgpu.nn.utils.stateless import _reparametrize_module

    net = gg.nn.Linear(2, 1)
    weight, bias = net.weight, net.bias
    with _reparametrize_module(net, {"weight": gg.ones(1, 2), "bias": gg.zeros(1)}):
        assert net(gg.tensor([1.0, 2.0])).item() == 3
    assert net.weight is weight and net.bias is bias
    with pytest.raises(ZeroDivisionError), _reparametrize_module(net, {"weight": gg.ones(1, 2)}):
        raise ZeroDivisionError
    assert net.weight is weight
    with pytest.raises(KeyError, match="other"), _reparametrize_module(net, {"other": gg.ones(1)}):
        pass
    with (
        pytest.raises(RuntimeError, match="Missing"),
        _reparametrize_module(net, {"weight": weight}, strict=True),
    ):
        pass
