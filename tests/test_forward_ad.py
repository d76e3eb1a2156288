"""Forward mode: the derivative of every sample against double backward, `forward_ad`, `func.jvp` and what is made of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.autograd import forward_ad as fwAD
from gradgpu.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap
from tests import samples
from tests.samples import FLOATS, OpSamples, Sample
from tests.vmap_samples import draws, dtype_of, function_of, gradient_function

ALL = [
    op
    for family in samples.families()
    for op in samples.load(family)
    if op.differentiable and dtype_of(op) in FLOATS
]
# Here the derivative and the gradient differ on purpose, as in PyTorch: the gradient of the padding row, or one divided by how
# often a row is looked up, belongs to training; the derivative is that of the function.
NOT_ADJOINT = {"embedding.embedding with padding", "embedding.embedding scaled by frequency"}


def close(got: Any, want: Any) -> None:
    assert tuple(got.shape) == tuple(want.shape)
    assert got.dtype is want.dtype
    wide = {gg.float64: (1e-6, 1e-8)}.get(got.dtype, (2e-4, 1e-5))
    np.testing.assert_allclose(got.detach().cpu().numpy(), want.detach().cpu().numpy(), *wide)


def check(op: OpSamples, sample: Sample, device: str) -> None:
    dtype = dtype_of(op)
    wanted = [k for k, part in enumerate(sample.inputs()) if part.grad and part.is_floating(dtype)]
    if not wanted:
        return
    arrays = draws(sample, dtype)
    inputs = [gg.tensor(a[0], device=device) for a in arrays]
    primals = tuple(inputs[k] for k in wanted)
    tangents = tuple(gg.tensor(arrays[k][1], device=device) * 0.5 + 0.25 for k in wanted)
    function, gradients = function_of(op, sample), gradient_function(function_of(op, sample), wanted)
    kept: list[int] = []

    def of(whole: Callable, *some: Any) -> tuple:
        gg.manual_seed(0)
        given = list(inputs)
        for k, t in zip(wanted, some):
            given[k] = t
        return tuple(y for y in whole(*given) if y.is_floating_point() or y.is_complex())

    def recorded(*some: Any) -> tuple:
        outputs = of(function, *some)
        kept[:] = [k for k, y in enumerate(outputs) if y.requires_grad]
        return tuple(outputs[k] for k in kept)

    values, want = gg.autograd.functional.jvp(recorded, primals, tangents)
    got_values, got = jvp(lambda *some: of(function, *some), primals, tangents)
    for k, value, derivative in zip(kept, values, want, strict=True):
        close(got_values[k], value)
        close(got[k], derivative)
    rows = vmap(lambda *some: jvp(lambda *xs: of(function, *xs), primals, some)[1], randomness="same")(
        *[gg.stack([t, 2 * t]) for t in tangents]
    )
    for row, derivative in zip(rows, got, strict=True):
        close(row[1], 2 * derivative)
    if op.second_order:  # forward over reverse
        want = gg.autograd.functional.jvp(lambda *some: of(gradients, *some), primals, tangents)[1]
        got = jvp(lambda *some: of(gradients, *some), primals, tangents)[1]
        for a, b in zip(got, want, strict=True):
            close(a, b)


def check_all(op: OpSamples, device: str, calls: list) -> None:
    problems = []
    for sample in calls:
        if op.name == "mean" and any(0 in part.shape for part in sample.inputs()):
            continue  # NaN: the mean of nothing, also of its tangent
        try:
            check(op, sample, device)
        except Exception as error:
            problems.append(f"{sample!r}: {type(error).__name__}: {error}")
    if op.id in NOT_ADJOINT:
        assert problems
    else:
        assert not problems, "\n".join(problems)


@pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL])
def test_samples(op: OpSamples) -> None:
    check_all(op, "cpu", list(op.samples))


@pytest.mark.cuda
@pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL if op.id not in NOT_ADJOINT])
def test_samples_on_cuda(op: OpSamples) -> None:
    check_all(op, "cuda", list(op.samples)[:1])


def test_embedding_is_linear_in_its_table(device: str) -> None:
    index, table = gg.tensor([0, 2, 2], device=device), gg.randn(3, 2, device=device)
    along = gg.randn(3, 2, device=device)
    for more in ({"padding_idx": 2}, {"scale_grad_by_freq": True}):
        made = jvp(lambda w, more=more: gg.nn.functional.embedding(index, w, **more), (table,), (along,))[1]
        close(made, along[index])


# ---- forward_ad ----
def test_dual_numbers(device: str) -> None:
    x, t = gg.randn(3, device=device), gg.randn(3, device=device)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, t)
        assert tuple(dual.shape) == (3,) and dual.dtype is x.dtype and dual.device == x.device
        assert dual.tolist() == x.tolist()
        primal, tangent = fwAD.unpack_dual(dual)
        assert primal is x and tangent is t
        y = fwAD.unpack_dual(dual.sin() * x)
        close(y.primal, x.sin() * x)
        close(y.tangent, x.cos() * x * t)
        assert fwAD.unpack_dual(x * 2).tangent is None
        assert fwAD.unpack_dual(dual.detach() * 2).tangent is None
        assert fwAD.unpack_dual(dual > 0).tangent is None
        if dual[0] > -100:  # values are there
            close(fwAD.unpack_dual(dual[0] * 3).tangent, 3 * t[0])
        assert "tangent" in repr(dual)
    assert fwAD.unpack_dual(x) == (x, None)
    with pytest.raises(RuntimeError, match="after that has returned"), fwAD.dual_level():
        dual + 1


def test_levels() -> None:
    x = gg.ones(2)
    for function, match in [
        (lambda: fwAD.make_dual(x, x), "no level exists"),
        (fwAD.exit_dual_level, "none was entered"),
    ]:
        with pytest.raises(RuntimeError, match=match):
            function()
    level = fwAD.enter_dual_level()
    with pytest.raises(RuntimeError, match="Nested forward mode AD"):
        fwAD.enter_dual_level()
    with pytest.raises(RuntimeError, match="not the last one"):
        fwAD.exit_dual_level(level=level + 1)
    with pytest.raises(RuntimeError, match="different size"):
        fwAD.make_dual(x, gg.ones(3))
    assert fwAD.unpack_dual(fwAD.make_dual(x, x.double())).tangent.dtype is x.dtype
    with pytest.raises(ValueError, match="floating point"):
        fwAD.make_dual(x.long(), x)
    with pytest.raises(ValueError, match="floating point"):
        fwAD.make_dual(x, x.long())
    seen: list[Any] = []

    def other() -> None:  # another thread has levels of its own
        try:
            fwAD.make_dual(x, x)
        except RuntimeError as error:
            seen.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    fwAD.exit_dual_level()
    assert len(seen) == 1 and "no level exists" in seen[0]


def test_backward_of_dual_tensors(device: str) -> None:
    x = gg.randn(3, device=device, dtype=gg.float64).requires_grad_()
    t = gg.randn(3, device=device, dtype=gg.float64)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, t)
        assert dual.requires_grad
        y = (dual.exp() * dual).sum()
        y.backward()
        close(x.grad, (x.exp() * (1 + x)).detach())
        assert not isinstance(x.grad._a, type(dual._a))
        primal, tangent = fwAD.unpack_dual((dual.exp() * dual).sum())
        close(gg.autograd.grad(primal, x, retain_graph=True)[0], x.grad)
        close(gg.autograd.grad(tangent, x)[0], (x.exp() * (2 + x) * t).detach())


def test_in_place(device: str) -> None:
    x, t = gg.randn(4, device=device), gg.randn(4, device=device)

    def f(a: Any) -> Any:
        out = gg.zeros(4, device=device)
        out.copy_(a * 2)
        out[1:3] *= a[1:3]
        out.add_(1)
        y = a * 1
        y[0] = 5.0
        y[1] = out[2]
        return out + y

    want = gg.autograd.functional.jvp(f, x, t)
    got = jvp(f, (x,), (t,))
    close(got[0], want[0])
    close(got[1], want[1])
    y, along = x.clone(), t.clone()
    with fwAD.dual_level():  # the tensor and its tangent change both
        fwAD.make_dual(y, along).mul_(3)
    close(y, 3 * x)
    close(along, 3 * t)


# ---- func ----
def f(x: Any) -> Any:
    return (x.sin() * x.sum()).exp()


def test_jvp(device: str) -> None:
    x, t = gg.randn(3, device=device), gg.randn(3, device=device)
    value, derivative = jvp(f, (x,), (t,))
    close(value, f(x))
    close(derivative, jacrev(f)(x) @ t)
    value, derivative, aux = jvp(lambda a: (f(a), {"twice": a * 2}), (x,), (t,), has_aux=True)
    close(aux["twice"], 2 * x)
    values, derivatives = jvp(
        lambda a, b: {"s": a["x"] + b, "p": (a["x"] * b,)}, ({"x": x}, t), ({"x": t}, t)
    )
    close(derivatives["s"], 2 * t)
    close(derivatives["p"][0], t * t + x * t)
    close(values["s"], x + t)
    close(jvp(lambda a: gg.ones(2, device=device), (x,), (t,))[1], gg.zeros(2, device=device))
    assert not value.requires_grad
    for function, match in [
        (lambda: jvp(f, x, t), "to be tuples"),
        (lambda: jvp(f, (x,), (t, t)), "same python structure"),
        (lambda: jvp(f, (x,), (t[:2],)), "must agree"),
        (lambda: jvp(f, (x,), (t.double(),)), "must agree"),
        (lambda: jvp(lambda a: 1.0, (x,), (t,)), "Tensors"),
        (lambda: jvp(lambda a: gg.ones(2), (x,), (t,), strict=True), "strict"),
        (lambda: jvp(f, (x,), (t,), has_aux=True), "has_aux"),
        (lambda: jvp(f, (1.0,), (1.0,)), "Tensors"),
    ]:
        with pytest.raises(RuntimeError, match=match):
            function()


def test_orders_of_every_kind_agree(device: str) -> None:
    x = gg.randn(3, device=device, dtype=gg.float64)

    def g(a: Any) -> Any:
        return (a.softmax(0) * a.exp()).sum() * a.norm()

    want = gg.autograd.functional.hessian(g, x)
    one = gg.ones_like(x)
    for made in (
        hessian(g)(x),
        jacfwd(jacfwd(g))(x),
        jacrev(jacrev(g))(x),
        jacrev(jacfwd(g))(x),
        jacfwd(jacrev(g), chunk_size=2)(x),
        gg.autograd.functional.hessian(g, x, vectorize=True),
        gg.autograd.functional.hessian(g, x, vectorize=True, outer_jacobian_strategy="forward-mode"),
        gg.autograd.functional.jacobian(grad(g), x, vectorize=True, strategy="forward-mode"),
    ):
        close(made, want)
    along = want @ one
    close(jvp(grad(g), (x,), (one,))[1], along)
    close(grad(lambda a: jvp(g, (a,), (one,))[1])(x), along)
    close(vjp(grad(g), x)[1](one)[0], along)
    close(jvp(lambda a: jvp(g, (a,), (one,))[1], (x,), (one,))[1], along.sum())
    close(linearize(grad(g), x)[1](one), along)
    third = jacfwd(hessian(g))(x)
    close(jacrev(jacrev(jacrev(g)))(x), third)


def test_no_confusion_of_perturbations(device: str) -> None:
    """Siskind and Pearlmutter, "Perturbation confusion and referential transparency" (2005)."""
    one = gg.tensor(1.0, device=device)

    def inner(x: Any) -> Any:
        return x * jvp(lambda y: x + y, (one,), (one,))[1]

    close(jvp(inner, (one,), (one,))[1], one)
    close(grad(inner)(one), one)
    close(grad(lambda x: x * grad(lambda y: x * y)(x))(one * 3), one * 6)
    close(
        vmap(lambda x: x * jvp(lambda y: x + y, (one,), (one,))[1])(gg.arange(3.0, device=device)),
        gg.arange(3.0, device=device),
    )


def test_jacobians_of_several_arguments(device: str) -> None:
    x, y = gg.randn(2, device=device), gg.randn(3, device=device)

    def g(a: Any, b: Any, scale: float = 1.0) -> dict:
        return {"outer": a.unsqueeze(1) * b * scale, "sum": a.sum() + b.sum()}

    for transform in (jacrev, jacfwd):
        made = transform(g, argnums=(0, 1))(x, y, scale=2.0)
        close(made["outer"][0], 2 * gg.einsum("ik,j->ijk", gg.eye(2, device=device), y))
        close(made["outer"][1], 2 * gg.einsum("i,jk->ijk", x, gg.eye(3, device=device)))
        close(made["sum"][1], gg.ones(3, device=device))
        close(transform(g, argnums=-1)(x, y)["sum"], gg.ones(3, device=device))
        jacobian, aux = transform(lambda a: (a * a, {"kept": a * 3}), has_aux=True)(x)
        close(jacobian, 2 * gg.diag(x))
        close(aux["kept"], 3 * x)
        tree = transform(lambda p: p["w"] * p["b"])({"w": x, "b": x * 2})
        close(tree["b"], gg.diag(x))
        for chunk in (1, 2, 5):
            close(transform(lambda a: a * a, chunk_size=chunk)(x), 2 * gg.diag(x))
        with pytest.raises(RuntimeError, match="argnum"):
            transform(g, argnums=2)(x, y)
        with pytest.raises(RuntimeError, match="unique"):
            transform(g, argnums=(0, 0))(x, y)
    close(hessian(lambda a, b: (a * b[:2]).sum(), argnums=(0, 1))(x, y)[0][1], gg.eye(2, 3, device=device))


def test_linearize(device: str) -> None:
    x, t = gg.randn(3, device=device), gg.randn(3, device=device)
    calls = []

    def g(a: Any, b: dict) -> tuple:
        calls.append(1)
        return a * b["s"], (a + b["s"]).sum()

    values, along = linearize(g, x, {"s": x * 2})
    for _ in range(2):
        first, second = along(t, {"s": t})
        close(first, t * x * 2 + x * t)
        close(second, 2 * t.sum())
    assert len(calls) == 1
    close(values[0], x * x * 2)
    rows = vmap(along)(gg.eye(3, device=device), {"s": gg.zeros(3, 3, device=device)})[0]
    close(rows, gg.diag(2 * x))
    with pytest.raises(RuntimeError, match="must agree"):
        along(t[:2], {"s": t})


def test_functional_jacobian_arguments() -> None:
    x, y = gg.randn(2), gg.randn(3)

    def two(a: Any, b: Any) -> tuple:
        return a.sum() * b, a * 2

    functional = gg.autograd.functional
    want = functional.jacobian(two, (x, y))
    for more in ({}, {"strategy": "forward-mode"}):
        made = functional.jacobian(two, (x, y), vectorize=True, **more)
        for row, wanted in zip(made, want, strict=True):
            for a, b in zip(row, wanted, strict=True):
                close(a, b)
    leaf = x.clone().requires_grad_()
    made = functional.jacobian(lambda a: a**3, leaf, create_graph=True, vectorize=True)
    made.sum().backward()
    close(leaf.grad, 6 * x)
    with pytest.raises(RuntimeError, match="not supported together"):
        functional.jacobian(two, (x, y), strict=True, vectorize=True)
    with pytest.raises(NotImplementedError, match="vectorize=True"):
        functional.jacobian(two, (x, y), strategy="forward-mode")
    with pytest.raises(ValueError, match="strategy"):
        functional.jacobian(two, (x, y), strategy="sideways")


# ---- Functions of one's own ----
class Cube(gg.autograd.Function):
    """Counts what is asked of it, and lies a little in each: so that a test sees which rule was used."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any, scale: float) -> Any:
        return x**3 * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        x, ctx.scale = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> tuple:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x * ctx.scale, None

    @staticmethod
    def jvp(ctx: Any, t: Any, _: None) -> Any:
        (x,) = ctx.saved_tensors
        return t * 3 * x * x * ctx.scale * 10


class Doubled(gg.autograd.Function):
    """With backward alone, in the older form, two outputs, and a saved output."""

    generate_vmap_rule = True

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> tuple:
        y = (x * w).exp()
        ctx.save_for_backward(y, x, w)
        return y, x.detach() > 0

    @staticmethod
    def backward(ctx: Any, g: Any, _: Any) -> tuple:
        y, x, w = ctx.saved_tensors
        return 2 * g * y * w, 2 * g * y * x


def test_function_in_forward_mode(device: str) -> None:
    x, t = gg.randn(3, device=device), gg.randn(3, device=device)
    close(jvp(lambda a: Cube.apply(a, 2.0), (x,), (t,))[1], 60 * x * x * t)
    close(jacfwd(lambda a: Cube.apply(a, 1.0))(x), gg.diag(30 * x * x))
    # No jvp: from backward.
    close(jvp(lambda a: Doubled.apply(a, x)[0], (x,), (t,))[1], 2 * (x * x).exp() * x * t)
    # Reverse over forward goes through the jvp, forward over reverse through backward.
    close(grad(lambda a: jvp(lambda b: Cube.apply(b, 1.0).sum(), (a,), (t,))[1])(x), 60 * x * t)
    close(jvp(grad(lambda a: Cube.apply(a, 1.0).sum()), (x,), (t,))[1], 6 * x * t)

    class Wrong(Cube):
        @staticmethod
        def jvp(ctx: Any, t: Any, _: None) -> Any:
            return t.sum()

    with pytest.raises(RuntimeError, match="must agree"):
        jvp(lambda a: Wrong.apply(a, 2.0), (x,), (t,))


def test_function_under_vmap(device: str) -> None:
    x = gg.randn(4, 3, device=device, dtype=gg.float64)
    w = gg.randn(3, device=device, dtype=gg.float64)
    close(vmap(lambda a: Cube.apply(a, 2.0))(x), 2 * x**3)
    close(vmap(grad(lambda a: Cube.apply(a, 2.0).sum()))(x), 6 * x * x)
    close(vmap(hessian(lambda a: Cube.apply(a, 2.0).sum()))(x)[1], gg.diag(12 * x[1]))
    leaf = x.clone().requires_grad_()
    vmap(lambda a: Cube.apply(a, 2.0))(leaf).sum().backward()
    close(leaf.grad, 6 * x * x)

    def of(a: Any, b: Any) -> Any:
        y, positive = Doubled.apply(a, b)
        return (y * positive).sum()

    want = gg.stack([grad(of, argnums=1)(row, w) for row in x])
    close(vmap(grad(of, argnums=1), (0, None))(x, w), want)
    shared = w.clone().requires_grad_()
    leaf.grad = None
    vmap(of, (0, None))(leaf, shared).sum().backward()
    close(shared.grad, want.sum(0))
    close(leaf.grad, gg.stack([grad(of)(row, w) for row in x]))
    # Gradients of gradients, through vmap and inside it.
    twice = gg.stack([grad(lambda a: grad(of)(a, w).sum())(row) for row in x])
    close(vmap(grad(lambda a: grad(of)(a, w).sum()))(x), twice)
    leaf.grad = None
    vmap(grad(of), (0, None))(leaf, w).sum().backward()
    close(leaf.grad, twice)


def test_function_with_its_own_vmap(device: str) -> None:
    seen: list[Any] = []

    class Sorted(gg.autograd.Function):
        @staticmethod
        def forward(x: Any, dim: int) -> tuple:
            return x.sort(dim)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            _, ctx.dim = inputs
            _, places = output
            ctx.mark_non_differentiable(places)
            ctx.save_for_backward(places)

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> tuple:
            (places,) = ctx.saved_tensors
            return gg.zeros_like(g).scatter(ctx.dim, places, g), None

        @staticmethod
        def vmap(info: Any, in_dims: tuple, x: Any, dim: int) -> tuple:
            seen.append((info.batch_size, info.randomness, in_dims))
            x = x.movedim(in_dims[0], 0)
            return Sorted.apply(x, dim + 1 if dim >= 0 else dim), (0, 0)

    x = gg.randn(4, 3, device=device)
    close(vmap(lambda a: Sorted.apply(a, 0)[0])(x), x.sort(1).values)
    assert seen == [(4, "error", (0, None))]
    weights = gg.arange(3.0, device=device)
    want = gg.stack([grad(lambda a: (a.sort(0).values * weights).sum())(row) for row in x])
    close(vmap(grad(lambda a: (Sorted.apply(a, 0)[0] * weights).sum()))(x), want)
    leaf = x.clone().requires_grad_()
    (vmap(lambda a: Sorted.apply(a, 0)[0])(leaf) * weights).sum().backward()
    close(leaf.grad, want)

    class Plain(Sorted):
        vmap = None

    with pytest.raises(RuntimeError, match="does not have vmap support"):
        vmap(lambda a: Plain.apply(a, 0)[0])(x)

    class Both(Sorted):
        generate_vmap_rule = True

    with pytest.raises(RuntimeError, match="avoid ambiguity"):
        vmap(lambda a: Both.apply(a, 0)[0])(x)


def test_backward_hooks_of_modules_under_vmap(device: str) -> None:
    net = gg.nn.Linear(3, 2).to(device)
    shapes = []
    net.register_full_backward_hook(lambda m, gi, go: shapes.append(tuple(go[0].shape)))
    x = gg.randn(4, 3, device=device)
    got = vmap(grad(lambda a: net(a).square().sum()))(x)
    assert shapes == [(2,)]
    close(got, gg.stack([grad(lambda a: net(a).square().sum())(row) for row in x]))
