"""gradcheck and gradgradcheck: they pass what is right and name what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.autograd.gradcheck import GradcheckError
from gradgpu.ops.registry import OPS, Op

gradcheck, gradgradcheck = gg.autograd.gradcheck, gg.autograd.gradgradcheck
both_modes = pytest.mark.parametrize("fast", [False, True])


def leaf(*shape: int) -> Any:
    values = np.random.default_rng(0).uniform(0.3, 1, shape)
    return gg.tensor(values, requires_grad=True)


@pytest.fixture
def broken() -> Iterator[Callable[[Callable], Op]]:
    """Makes the op x³ with a given gradient rule."""

    def make(rule: Callable) -> Op:
        return Op("broken_for_a_test", cpu=lambda x: x * x * x, cuda=lambda x: x, grad={"x": rule})

    yield make
    OPS.pop("broken_for_a_test", None)


@both_modes
def test_right_gradients_pass(fast: bool) -> None:
    a, b = leaf(2, 3), leaf(3)
    assert gradcheck(lambda a, b: (a * b).sin().sum(1), (a, b), fast_mode=fast)
    assert gradgradcheck(lambda a, b: (a * b).sin().sum(1), (a, b), fast_mode=fast)
    assert gradcheck(lambda a: (a.exp(), [a * a, a > 0.5]), a, fast_mode=fast)
    assert gradcheck(lambda a, n, b: a * n + b, (a, 3, b), fast_mode=fast)
    assert gradcheck(gg.exp, leaf(), fast_mode=fast)
    assert gradcheck(gg.exp, leaf(0, 3), fast_mode=fast)


@both_modes
def test_a_wrong_gradient_is_named(fast: bool, broken: Any) -> None:
    op = broken(lambda g, x: g * x * x * 3.0 + g * 0.01 * (x > 0.9))
    x = gg.tensor([[0.5, 0.6], [0.7, 0.95]], dtype=gg.float64, requires_grad=True)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(op, x, fast_mode=fast)
    text = str(caught.value)
    assert "1 of 16 entries" in text and "output[1, 1]" in text and "input[1, 1]" in text
    assert "2.7175" in text and "2.7075" in text  # analytical, numerical
    assert gradcheck(op, x, fast_mode=fast, raise_exception=False) is False


@both_modes
def test_a_wrong_second_derivative_is_named(fast: bool, broken: Any) -> None:
    op = broken(lambda g, x: g * (x * x).detach() * 3.0 if isinstance(x, gg.Tensor) else g * x * x * 3.0)
    assert gradcheck(op, leaf(3), fast_mode=fast)
    with pytest.raises(GradcheckError, match="gradient of"):
        gradgradcheck(op, leaf(3), fast_mode=fast)


def test_a_cut_gradient_is_explained() -> None:
    with pytest.raises(GradcheckError, match="does not require grad"):
        gradcheck(lambda x: x.detach() * 2, leaf(2))
    with pytest.raises(GradcheckError, match="cut"):
        gradcheck(lambda x: x.detach() * 2 + x * 0, leaf(2))


def test_a_gradient_of_another_dtype_is_an_error(broken: Any) -> None:
    op = broken(lambda g, x: gg.ops.convert.cast_op(g * x * x * 3.0, dtype=np.dtype(np.float32)))
    with pytest.raises(GradcheckError, match="dtype"):
        gradcheck(op, leaf(2))


def test_a_backward_that_changes_is_an_error(broken: Any) -> None:
    calls = []

    def rule(g: Any, x: Any) -> Any:
        calls.append(1)
        return g * x * x * 3.0 * (1.0 + 1e-9 * len(calls))

    op = broken(rule)
    with pytest.raises(GradcheckError, match="not repeatable"):
        gradcheck(op, leaf(2))
    assert gradcheck(op, leaf(2), nondet_tol=1e-5)


def test_float32_inputs_are_hinted_at() -> None:
    x = gg.tensor([0.3, 0.4], requires_grad=True)
    with pytest.raises(GradcheckError, match="float64"):
        gradcheck(lambda x: x.exp(), x)


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="requires_grad"):
        gradcheck(gg.exp, gg.ones(2))
    with pytest.raises(ValueError, match="no tensor"):
        gradcheck(lambda x: 3.0, leaf(2))


def test_grad_outputs_of_gradgradcheck() -> None:
    x = leaf(2)
    assert gradgradcheck(gg.exp, x, gg.tensor([1.0, 2.0], dtype=gg.float64))
    assert gradgradcheck(gg.exp, x, (gg.tensor([1.0, 2.0], dtype=gg.float64, requires_grad=True),))


@pytest.mark.cuda
def test_gradcheck_on_cuda() -> None:
    x = gg.tensor([[0.5, 0.6]], dtype=gg.float64, device="cuda", requires_grad=True)
    assert gradcheck(lambda x: (x * x).exp(), x)
    assert gradgradcheck(lambda x: (x * x).exp(), x)


@both_modes
def test_forward_mode_and_batches(fast: bool, device: str) -> None:
    x = gg.tensor([0.3, 0.7, -0.2], dtype=gg.float64, device=device, requires_grad=True)
    w = gg.tensor([[1.0, 2.0, 0.5], [-1.0, 0.3, 0.2]], dtype=gg.float64, device=device, requires_grad=True)

    def function(x: Any, w: Any) -> tuple:
        return (w @ x).tanh(), x.exp(), w.sum(1) > 0

    everything = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert gradcheck(function, (x, w), fast_mode=fast, **everything)
    assert gradcheck(function, (x, w), fast_mode=fast, check_forward_ad=True, check_backward_ad=False)
    more = {"check_fwd_over_rev": True, "check_batched_grad": True}
    assert gradgradcheck(lambda x, w: (w @ x).tanh(), (x, w), fast_mode=fast, **more)
    with pytest.raises(ValueError, match="at least one"):
        gradcheck(function, (x, w), check_backward_ad=False)


class _Wrong(gg.autograd.Function):
    """Right backward; wrong in forward mode, or under vmap."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x * (1 + ("Batched" in repr(g)))

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        (x,) = ctx.saved_tensors
        return t * 4 * x * x


@both_modes
def test_wrong_forward_mode_and_batches_are_named(fast: bool) -> None:
    assert gradcheck(_Wrong.apply, leaf(3), fast_mode=fast)
    with pytest.raises(GradcheckError, match="forward mode"):
        gradcheck(_Wrong.apply, leaf(3), fast_mode=fast, check_forward_ad=True)
    with pytest.raises(GradcheckError, match="under vmap and without it"):
        gradcheck(_Wrong.apply, leaf(3), fast_mode=fast, check_batched_grad=True)
    assert not gradcheck(_Wrong.apply, leaf(3), check_forward_ad=True, raise_exception=False)


def test_gradients_that_do_not_arrive() -> None:
    class Two(gg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> tuple:
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            if a is None or b is None:
                return b * 3 if a is None else a * 2
            return a * 2 + b * 3 + 1  # wrong only where both arrive

    with pytest.raises(GradcheckError, match="alone gets a gradient"):
        gradcheck(Two.apply, leaf(2))
    assert gradcheck(Two.apply, leaf(2), check_undefined_grad=False)


def test_complex_numbers(device: str) -> None:
    z = gg.tensor([1 + 2j, 0.5 - 1j], dtype=gg.complex128, device=device, requires_grad=True)
    x = gg.tensor([0.3, 0.7], dtype=gg.float64, device=device, requires_grad=True)
    for function in (
        lambda z, x: z * z.conj() * x,
        lambda z, x: z.abs() + x,
        lambda z, x: (z * x, z.real * x),
    ):
        assert gg.autograd.gradcheck(function, (z, x))
        assert gg.autograd.gradgradcheck(function, (z, x))

    class Broken(gg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            return z * (1 + 1j)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * (1 + 1j)  # without the conjugate

    with pytest.raises(GradcheckError, match="d output 0"):
        gg.autograd.gradcheck(Broken.apply, z)
