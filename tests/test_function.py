"""autograd.Function: operations of one's own, as PyTorch defines them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.autograd import Function


def leaf(values: Any, device: str) -> Any:
    return gg.tensor(values, dtype=gg.float64, device=device, requires_grad=True)


def values(t: Any) -> Any:
    return t.detach().cpu().tolist()


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class Exp(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]


class Scale(Function):
    """setup_context, an attribute, and an input that is no tensor."""

    @staticmethod
    def forward(x: Any, factor: float, w: Any) -> Any:
        return x * factor * w

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        x, ctx.factor, w = inputs
        ctx.save_for_backward(x, w)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        gx = g * ctx.factor * w if ctx.needs_input_grad[0] else None
        gw = g * ctx.factor * x if ctx.needs_input_grad[2] else None
        return gx, None, gw


class SumAndProduct(Function):
    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        order = (a > b).to(gg.int64)
        ctx.mark_non_differentiable(order)
        return a + b, a * b, order

    @staticmethod
    def backward(ctx: Any, gs: Any, gp: Any, _: Any) -> Any:
        a, b = ctx.saved_tensors
        return gs + gp * b, gs + gp * a


class Triple(Function):
    """In place."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 3


def test_first_and_second_derivatives(device: str) -> None:
    x = leaf([0.5, -0.3], device)
    for function in (Cube.apply, Exp.apply):
        assert gg.autograd.gradcheck(function, x)
        assert gg.autograd.gradgradcheck(function, x)
    y = Cube.apply(x)
    assert y.requires_grad and "Cube" in y.grad_fn.name()
    y.sum().backward()
    np.testing.assert_allclose(values(x.grad), [0.75, 0.27])


def test_setup_context_and_needs_input_grad(device: str) -> None:
    x, w = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    Scale.apply(x, 2.0, w.detach()).sum().backward()
    assert values(x.grad) == [6, 8] and w.grad is None
    gg.autograd.gradgradcheck(lambda x, w: Scale.apply(x, 2.0, w), (x, w))


def test_many_outputs(device: str) -> None:
    a, b = leaf([1.0, 2.0], device), leaf([3.0, 1.0], device)
    s, p, order = SumAndProduct.apply(a, b)
    assert s.requires_grad and p.requires_grad and not order.requires_grad
    assert values(order) == [0, 1]
    p.sum().backward()  # the gradient of s is zeros
    assert values(a.grad) == [3, 1] and values(b.grad) == [1, 2]
    gg.autograd.gradgradcheck(lambda a, b: SumAndProduct.apply(a, b)[:2], (a, b))


def test_gradients_that_did_not_arrive_may_be_none(device: str) -> None:
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            seen.append((a is None, b is None))
            return b * 2

    Two.apply(leaf([1.0], device))[1].sum().backward()
    assert seen == [(True, False)]


def test_nothing_is_recorded_inside_or_without_need(device: str) -> None:
    modes = []

    class Look(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            modes.append(gg.is_grad_enabled())
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            modes.append(gg.is_grad_enabled())
            return g * 2

    x = leaf([1.0], device)
    Look.apply(x).sum().backward()
    assert modes == [False, False]
    gg.autograd.grad(Look.apply(x).sum(), x, create_graph=True)
    assert modes[-1] is True
    assert not Look.apply(x.detach()).requires_grad
    with gg.no_grad():
        assert not Look.apply(x).requires_grad


def test_an_input_returned_as_it_is(device: str) -> None:
    class Identity(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 10

    x = leaf([1.0], device)
    y = Identity.apply(x)
    assert y is not x and x.is_leaf
    y.sum().backward()
    assert values(x.grad) == [10]


def test_a_view_returned(device: str) -> None:
    class Flat(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.view(-1)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.view(2, 2) * 3

    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    Flat.apply(x).sum().backward()
    assert values(x.grad) == [[3, 3], [3, 3]]


def test_in_place(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 2
    version = y._version
    z = Triple.apply(y)
    assert z is y and y._version > version and values(y) == [6, 12]
    y.sum().backward()
    assert values(x.grad) == [6, 6]
    with pytest.raises(RuntimeError, match="leaf"):
        Triple.apply(x)


def test_in_place_on_a_view_changes_the_base(device: str) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    base = x * 2
    Triple.apply(base[0])
    base.sum().backward()
    assert values(x.grad) == [[6, 6], [2, 2]]


def test_saved_tensors_are_checked_and_freed(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 1
    z = Cube.apply(y)
    y.mul_(2)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation.*Cube.*version 1; expected version 0"
    ):
        z.sum().backward()
    z = Cube.apply(x).sum()
    z.backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()


def test_saved_memory_goes_with_backward() -> None:
    x = leaf([1.0], "cpu")
    inner = x * 2
    z = Cube.apply(inner).sum()
    array = weakref.ref(inner._a)
    del inner
    assert array() is not None
    z.backward()
    assert array() is None


def test_no_reference_cycles(device: str) -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf([1.0], device)
        for function in (Cube.apply, Exp.apply, lambda t: SumAndProduct.apply(t, t)[1]):
            y = function(x)
            node, tensor = weakref.ref(y.grad_fn), weakref.ref(y)
            y.sum().backward()
            del y
            assert tensor() is None and node() is None
    finally:
        gc.enable()


def test_once_differentiable(device: str) -> None:
    class Once(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @gg.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * g * ctx.saved_tensors[0]

    x = leaf([3.0], device)
    y = Once.apply(x)
    (g,) = gg.autograd.grad((y * y).sum(), x, create_graph=True)
    assert values(g) == [108]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_wrong_gradients_are_named(device: str) -> None:
    def wrong(result: Any) -> Any:
        class Wrong(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return result(g)

        return Wrong.apply(leaf([1.0, 2.0], device)).sum()

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        wrong(lambda g: (g, g)).backward()
    with pytest.raises(RuntimeError, match="invalid gradient"):
        wrong(lambda g: gg.ones(3, dtype=gg.float64, device=device)).backward()
    with pytest.raises(TypeError, match="expected a Tensor"):
        wrong(lambda g: 1.0).backward()


def test_only_tensors_can_be_saved(device: str) -> None:
    class Bad(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(3.0)

            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    message = "save_for_backward can only save variables, but argument 0 is of type float"
    with pytest.raises(TypeError, match=message):
        Bad.apply(leaf([1.0], device))
    # where nothing is recorded nothing is kept, so that a Function serves numbers, too
    assert Bad.apply(leaf([1.0], device).detach()).tolist() == [2.0] and Bad.apply(3) == 6
    with gg.no_grad():
        assert Bad.apply(leaf([1.0], device)).tolist() == [2.0]


def test_the_old_base_of_functions_in_place(device: str) -> None:
    class Sign(gg.autograd.function.InplaceFunction):
        @staticmethod
        def forward(ctx: Any, x: Any, inplace: bool = False) -> Any:
            ctx.inplace = inplace
            if inplace:
                ctx.mark_dirty(x)
            y = x if inplace else x.clone()
            return y.sign_()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, None

    x = leaf([2.0, -3.0], device)
    Sign.apply(x * 1, True).sum().backward()
    Sign.apply(x, False).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and Sign.apply(x).tolist() == [1.0, -1.0]


def test_a_gradient_is_summed_to_its_input(device: str) -> None:
    class Spread(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.expand(3, 2) * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    x = leaf([1.0, 2.0], device)
    Spread.apply(x).sum().backward()
    assert values(x.grad) == [3, 3]


def test_views_that_a_function_returns_are_not_changed_in_place(device: str) -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    class First(Same):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x[0], x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            return h

    x = leaf([1.0, 2.0], device)
    y = Same.apply(x * 1)
    assert y._is_view()
    with pytest.raises(RuntimeError, match="Output 0 of Same is a view .* created inside a custom Function"):
        y.add_(1)
    with pytest.raises(RuntimeError, match="created inside a custom Function"):
        Same.apply(x.detach()).copy_(x)
    with pytest.raises(RuntimeError, match="Output 0 of First .* returns multiple views"):
        First.apply(x * 1)[0].add_(1)
    base = x * 1
    y = Same.apply(base)
    base.mul_(2)  # y shows the new values, and its gradient would be that of the old ones
    with pytest.raises(
        RuntimeError, match="Output 0 of Same .* its base or another view of its base has been modified"
    ):
        y.sum().backward()
    with gg.no_grad():
        y = Same.apply(base)
    with pytest.raises(RuntimeError, match="view was created in no_grad mode"):
        y.add_(1)


def test_mark_dirty_is_checked(device: str) -> None:
    class Forgets(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x.mul_(2))
            return x.clone()

    class Many(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x.mul_(2))
            return x, x + 1

    class Made(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * 2
            ctx.mark_dirty(y)
            return y

    x = leaf([1.0, 2.0], device)
    for refused, message in (
        (x, "Triple: a leaf Variable"),
        (x[:1], "Triple: a view of a leaf Variable"),
        ((x * 1).unbind()[0], "Triple: Output 0 of Unbind is a view"),
    ):
        with pytest.raises(RuntimeError, match=message):
            Triple.apply(refused)
    with pytest.raises(RuntimeError, match="were not returned as output"):
        Forgets.apply(x * 1)
    with pytest.raises(RuntimeError, match="cannot return more than one Tensor"):
        Many.apply((x * 1)[:1])
    with pytest.warns(UserWarning, match="Only input Tensors should be given to ctx.mark_dirty"):
        Made.apply(x)


def test_arguments_by_default_and_by_name(device: str) -> None:
    seen = []

    class Power(Function):
        @staticmethod
        def forward(x: Any, exponent: int = 2, *, scale: float = 1.0) -> Any:
            return x**exponent

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            seen.append(inputs[1:])
            ctx.save_for_backward(inputs[0])
            ctx.exponent = inputs[1]

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * ctx.exponent * x ** (ctx.exponent - 1), None

    x = leaf([2.0], device)
    Power.apply(x).backward()
    Power.apply(x, exponent=3).backward()
    assert seen == [(2,), (3,)] and values(x.grad) == [4 + 12]
    with pytest.raises(TypeError, match="no keyword arguments"):
        Cube.apply(x=x)


def test_outputs_that_are_no_tensors(device: str) -> None:
    class Mixed(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, text: str) -> Any:
            return text, x * 2, None, {"x": 1}

        @staticmethod
        def backward(ctx: Any, a: Any, g: Any, b: Any, c: Any) -> Any:
            assert a is b is c is None
            return g * 2, None

    x = leaf([1.0], device)
    text, y, nothing, table = Mixed.apply(x, "text")
    assert (text, nothing, table) == ("text", None, {"x": 1})
    y.backward()
    assert values(x.grad) == [2]


def test_needs_input_grad_follows_the_pass(device: str) -> None:
    seen = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            x, y = ctx.saved_tensors
            return g * y, g * x

    x, y = leaf([2.0], device), leaf([3.0], device)
    z = Product.apply(x, y)
    gg.autograd.grad(z, x, retain_graph=True)
    z.backward()
    assert seen == [(True, False), (True, True)]
    assert values(y.grad) == [2]


def test_the_node_shows_what_was_saved(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = Cube.apply(x)
    assert y.grad_fn.name() == "CubeBackward" and y.grad_fn.saved_tensors[0] is x
    assert y.grad_fn.needs_input_grad == (True,)
    (raw,) = y.grad_fn._raw_saved_tensors
    raw.register_hooks(lambda t: t * 2, lambda t: t)
    with pytest.raises(RuntimeError, match="already been set"):
        raw.register_hooks(lambda t: t, lambda t: t)
    y.sum().backward()
    assert values(x.grad) == [12, 48]
    with pytest.raises(RuntimeError, match="already been freed"):
        y.grad_fn.saved_tensors  # noqa: B018
    with pytest.raises(AttributeError, match="saved_tensors"):
        (x * 2).grad_fn.saved_tensors  # noqa: B018


def test_functions_are_not_instances(device: str) -> None:
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        cube = Cube()
    with pytest.raises(RuntimeError, match="non-static forward method is deprecated"):
        cube(leaf([1.0], device))

    class Nothing(Function):
        pass

    class Half(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    class Both(Half):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

        vjp = backward

    x = leaf([1.0], device)
    with pytest.raises(NotImplementedError, match="must implement the forward"):
        Nothing.apply(x)
    with pytest.raises(NotImplementedError, match="must implement either the backward or vjp"):
        Half.apply(x).backward()
    with pytest.raises(RuntimeError, match="Implementing both 'backward' and 'vjp'"):
        Both.apply(x).backward()
