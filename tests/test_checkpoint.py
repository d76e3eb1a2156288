"""utils.checkpoint: what a function saves for backward is computed again."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.autograd import Function, grad
from gradgpu.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

both_kinds = pytest.mark.parametrize("use_reentrant", [False, True])


@pytest.fixture
def x(device: str) -> Any:
    return gg.tensor([1.0, 2.0], device=device, requires_grad=True)


def twice(function: Callable, calls: list) -> Callable:
    """The function, counting its calls."""

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return function(*args, **kwargs)

    return counted


@both_kinds
def test_gradients_and_random_numbers_are_the_same(x: Any, use_reentrant: bool) -> None:
    w = gg.tensor([3.0, 0.5], device=x.device, requires_grad=True)
    calls: list = []
    block = twice(lambda a: nn.functional.dropout((a * w).exp().sin(), 0.5), calls)
    gg.manual_seed(3)
    block(x).sum().backward()
    expected = x.grad.tolist(), w.grad.tolist()
    x.grad = w.grad = None
    calls.clear()
    gg.manual_seed(3)
    y = checkpoint(block, x, use_reentrant=use_reentrant).sum()
    after = gg.get_rng_state(), gg.get_rng_state(x.device)
    assert len(calls) == 1
    y.backward()
    assert len(calls) == 2  # once more, for backward
    assert (x.grad.tolist(), w.grad.tolist()) == expected
    # The second run left no trace in the random numbers.
    assert (gg.get_rng_state() == after[0]).all() and (gg.get_rng_state(x.device) == after[1]).all()


@both_kinds
def test_random_state_is_not_kept_unless_wanted(x: Any, use_reentrant: bool) -> None:
    masks = []

    def block(a: Any) -> Any:
        masks.append(gg.rand(4, device=x.device).tolist())
        return a.exp()

    checkpoint(block, x, use_reentrant=use_reentrant).sum().backward()
    assert masks[0] == masks[1]
    checkpoint(block, x, use_reentrant=use_reentrant, preserve_rng_state=False).sum().backward()
    assert masks[2] != masks[3]


@both_kinds
def test_autocast_is_the_same_in_the_second_run(device: str, use_reentrant: bool) -> None:
    x = gg.ones(3, 3, device=device, requires_grad=True)
    dtypes = []

    def block(a: Any) -> Any:
        b = a @ a
        dtypes.append(b.dtype)
        return b.sin()

    with gg.autocast(device, dtype=gg.bfloat16):
        y = checkpoint(block, x, use_reentrant=use_reentrant).sum()
    y.backward()
    assert dtypes == [gg.bfloat16, gg.bfloat16] and x.grad.dtype is gg.float32


def test_only_places_are_kept(device: str) -> None:
    x = gg.ones(4, device=device, requires_grad=True)
    kept = []
    with gg.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        y = checkpoint(lambda a: a.exp().exp().exp(), x, use_reentrant=False)
    assert len(kept) == 1  # the argument, which is saved as the hooks around say
    y.sum().backward()


def test_keyword_and_nested_arguments(x: Any) -> None:
    def block(pair: dict, *, scale: Any) -> Any:
        return (pair["a"] * pair["b"][0]).exp() * scale, "text", 3

    s = gg.tensor(2.0, device=x.device, requires_grad=True)
    y, text, number = checkpoint(block, {"a": x, "b": [x]}, scale=s, use_reentrant=False)
    assert (text, number) == ("text", 3)
    expected = grad(block({"a": x, "b": [x]}, scale=s)[0].sum(), (x, s))
    for got, want in zip(grad(y.sum(), (x, s)), expected):
        gg.testing.assert_close(got, want)


def test_higher_derivatives_and_nesting(x: Any) -> None:
    def c(function: Callable) -> Callable:
        return lambda a: checkpoint(function, a, use_reentrant=False)

    def d(function: Callable) -> Callable:
        def derivative(a: Any) -> Any:
            with gg.enable_grad():
                return grad(function(a).sum(), a, create_graph=True)[0]

        return derivative

    def f(a: Any) -> Any:
        return (a.sin() * a).exp().sin()

    for want, gots in [
        (f, [c(f), c(c(f))]),
        (d(f), [d(c(f)), c(d(f)), d(c(c(f)))]),
        (d(d(f)), [d(c(d(f))), c(d(d(c(f)))), d(c(d(c(f))))]),
        (d(d(d(f))), [d(c(d(d(c(f))))), d(c(d(c(d(c(f))))))]),
    ]:
        for got in gots:
            for early in (True, False):
                with set_checkpoint_early_stop(early):
                    gg.testing.assert_close(got(x), want(x))


def test_backward_more_than_once(x: Any) -> None:
    calls: list = []
    y = checkpoint(twice(lambda a: a.exp().sin(), calls), x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    gg.testing.assert_close(x.grad, 2 * first)
    assert len(calls) == 3  # each pass has a second run of its own
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_saved_values_may_be_asked_for_twice(x: Any) -> None:
    class Cube(Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a, a * a)
            return a * a * a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            assert ctx.saved_tensors[0].tolist() == ctx.saved_tensors[0].tolist()
            return 3 * ctx.saved_tensors[1] * g

    checkpoint(lambda a: Cube.apply(a * 1), x, use_reentrant=False).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]


def test_early_stop(x: Any) -> None:
    log: list = []

    def block(a: Any) -> Any:
        y = a.exp()
        log.append("exp")
        y = y.sin()
        log.append("sin")
        return y + 1

    def passed(**options: Any) -> list:
        log.clear()
        y = checkpoint(block, x, use_reentrant=False, **options)
        log.clear()
        y.sum().backward()
        return list(log)

    assert passed() == ["exp"]  # sin has saved what it needs: its result is not wanted
    assert passed(early_stop=False) == ["exp", "sin"]
    with set_checkpoint_early_stop(False):
        assert passed() == ["exp", "sin"]


def test_a_function_that_saves_nothing_is_not_run_again(x: Any) -> None:
    calls: list = []
    checkpoint(twice(lambda a: a + 1, calls), x, use_reentrant=False).sum().backward()
    assert len(calls) == 1


def test_contexts(x: Any) -> None:
    log: list = []

    @contextlib.contextmanager
    def noted(name: str) -> Iterator[None]:
        log.append("enter " + name)
        yield
        log.append("leave " + name)

    y = checkpoint(
        lambda a: a.exp(),
        x,
        use_reentrant=False,
        context_fn=lambda: (noted("first"), noted("again")),
        early_stop=False,
    )
    assert log == ["enter first", "leave first"]
    y.sum().backward()
    assert log[2:] == ["enter again", "leave again"]


def test_functions_that_change_are_found(x: Any) -> None:
    calls: list = []

    def fewer(a: Any) -> Any:
        return a.exp() if len(calls) > 1 else a.exp().exp()

    y = checkpoint(twice(fewer, calls), x, use_reentrant=False).sum()
    with pytest.raises(CheckpointError, match="2 in forward, 1 when the function ran again"):
        y.backward()
    calls.clear()

    def smaller(a: Any) -> Any:
        return (a[:1] if len(calls) > 1 else a).exp()

    y = checkpoint(twice(smaller, calls), x, use_reentrant=False).sum()
    with pytest.raises(
        CheckpointError, match=r"saved tensor 0 was gradgpu.float32 of shape \(2,\).* now .*\(1,\)"
    ):
        y.backward()
    calls.clear()
    y = checkpoint(twice(smaller, calls), x, use_reentrant=False, debug=True).sum()
    with pytest.raises(
        CheckpointError, match=r"(?s)saved in forward, by where.*saved in recomputation.*test_checkpoint"
    ):
        y.backward()
    calls.clear()
    with set_checkpoint_debug_enabled(True):
        y = checkpoint(twice(smaller, calls), x, use_reentrant=False).sum()
    with pytest.raises(CheckpointError, match="saved in forward, by where"):
        y.backward()


def test_an_error_in_the_second_run_leaves_all_sound(x: Any) -> None:
    calls: list = []

    def fails(a: Any) -> Any:
        if len(calls) > 1:
            raise ValueError("second run")
        return a.exp()

    gg.manual_seed(1)
    state = gg.get_rng_state()
    y = checkpoint(twice(fails, calls), x, use_reentrant=False).sum()
    with pytest.raises(ValueError, match="second run"):
        y.backward()
    assert (gg.get_rng_state() == state).all()
    checkpoint(gg.exp, x, use_reentrant=False).sum().backward()
    gg.testing.assert_close(x.grad, x.detach().exp())


def test_nothing_is_kept_alive(device: str) -> None:
    gc.collect()
    gc.disable()
    try:
        for use_reentrant in (False, True):
            x = gg.ones(2, device=device, requires_grad=True)
            ref = weakref.ref(x)
            y = checkpoint(lambda a: a.exp().sin(), x, use_reentrant=use_reentrant).sum()
            y.backward()
            del x, y
            assert ref() is None
    finally:
        gc.enable()


def test_what_reentrant_checkpoints_refuse(x: Any) -> None:
    y = checkpoint(gg.exp, x, use_reentrant=True).sum()
    for call in (lambda: grad(y, x), lambda: y.backward(inputs=[x])):
        with pytest.raises(RuntimeError, match=r"incompatible with .grad\(\)"):
            call()
    checkpoint(gg.exp, x, use_reentrant=True).sum().backward()  # the engine is sound
    with pytest.raises(ValueError, match="Unexpected keyword arguments: b"):
        checkpoint(lambda a, b: a * b, x, b=x, use_reentrant=True)
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(gg.exp, x, use_reentrant=True, debug=True)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(gg.exp, x.detach(), use_reentrant=True)

    def unrecorded(a: Any) -> Any:
        with gg.no_grad():
            return a.exp()

    with pytest.raises(RuntimeError, match="none of output has requires_grad=True"):
        checkpoint(unrecorded, x, use_reentrant=True).sum().backward()
    (checkpoint(unrecorded, x, use_reentrant=False) * x).sum().backward()


def test_the_kind_should_be_said(x: Any) -> None:
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        y = checkpoint(gg.exp, x)
    with pytest.raises(RuntimeError, match="incompatible"):
        grad(y.sum(), x)
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(gg.exp, x, use_reentrant=False, determinism_check="all")


@both_kinds
def test_sequential(x: Any, use_reentrant: bool) -> None:
    calls: list = []
    functions = [twice(f, calls) for f in (gg.sin, gg.exp, gg.tanh, gg.sigmoid)]
    y = checkpoint_sequential(functions, 2, x, use_reentrant=use_reentrant)
    assert len(calls) == 4
    y.sum().backward()
    assert 5 <= len(calls) <= 6  # the last segment is not run again
    expected = x.detach().requires_grad_()
    gg.sigmoid(gg.tanh(gg.exp(gg.sin(expected)))).sum().backward()
    gg.testing.assert_close(x.grad, expected.grad)
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential(functions, 5, x, use_reentrant=use_reentrant)
    with pytest.raises(ValueError, match="Unexpected keyword"):
        checkpoint_sequential(functions, 2, x, use_reentrant=use_reentrant, debug=True)


@both_kinds
def test_a_net(device: str, use_reentrant: bool) -> None:
    net = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(4)]).to(device)
    x = gg.rand(3, 4, device=device, requires_grad=True)
    net(x).sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    checkpoint_sequential(net, 3, x, use_reentrant=use_reentrant).sum().backward()
    for p, want in zip(net.parameters(), expected):
        gg.testing.assert_close(p.grad, want)


def test_unrecorded_calls_are_just_calls(x: Any) -> None:
    calls: list = []
    with gg.no_grad():
        y = checkpoint(twice(gg.exp, calls), x, use_reentrant=False)
    assert not y.requires_grad and len(calls) == 1


def test_states_of_the_devices_of_arguments(device: str) -> None:
    from gradgpu.utils.checkpoint import get_device_states, set_device_states

    x = gg.ones(2, device=device)
    devices, states = get_device_states(gg.ones(1), {"a": [x, x]})
    assert devices == ([0] if x.is_cuda else []) and len(states) == len(devices)
    first = gg.rand(3, device=device)
    set_device_states(devices, states)
    assert (gg.rand(3, device=device).tolist() == first.tolist()) is x.is_cuda
    with pytest.raises(ValueError, match="'xpu'"):
        set_device_states(devices, states, device_type="xpu")
