"""Operations of one's own: `library.custom_op` with its kernels, gradient, fake and rule for vmap; `library.pointwise`."""

from __future__ import annotations

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import library
from gradgpu.library import custom_op

SCALE = """
__global__ void scale(const float* x, float* y, float factor, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = factor * x[i];
}
"""


@pytest.fixture
def scaled() -> library.CustomOpDef:
    """x · factor: numpy on the CPU, a kernel of its own on cuda."""

    @custom_op("tests::scaled", mutates_args=(), device_types="cpu")
    def scaled(x: gg.Tensor, factor: float = 2.0) -> gg.Tensor:
        """Scaled."""
        return gg.from_numpy(x.numpy() * np.float32(factor))

    @scaled.register_kernel("cuda")
    def _(x: gg.Tensor, factor: float = 2.0) -> gg.Tensor:
        x = x.contiguous()
        y = gg.empty_like(x)
        gg.cuda.compile_kernel(SCALE, "scale")((x.numel() + 127) // 128, 128, [x, y, factor, x.numel()])
        return y

    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    scaled.register_autograd(lambda ctx, g: (scaled(g, ctx.factor), None), setup_context=setup_context)
    return scaled


def test_a_function_for_each_device(scaled, device: str) -> None:
    x = gg.arange(300.0, device=device, requires_grad=True)
    y = scaled(x, factor=3.0)
    assert y.device == x.device and y.tolist() == (3 * x).tolist()
    assert y.grad_fn.name() == "scaledBackward"
    (y * y).sum().backward(create_graph=True)
    assert (x.grad == 18 * x).all()
    (second,) = gg.autograd.grad(x.grad.sum(), x)
    assert (second == 18).all()
    assert scaled(gg.ones(2, device=device)).requires_grad is False
    assert scaled.__doc__ == "Scaled." and repr(scaled) == "<CustomOpDef(tests::scaled)>"


def test_gradcheck(device: str) -> None:
    cube = custom_op("tests::cube", lambda x: x * x * x, mutates_args=())
    library.register_autograd(
        "tests::cube",
        lambda ctx, g: 3 * g * ctx.saved_tensors[0] ** 2,
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    x = gg.randn(4, dtype=gg.float64, device=device, requires_grad=True)
    assert gg.autograd.gradcheck(cube, (x,)) and gg.autograd.gradgradcheck(cube, (x,))


def test_without_a_gradient() -> None:
    twice = custom_op("tests::twice", lambda x: x + x, mutates_args=())
    x = gg.ones(2, requires_grad=True)
    y = twice(x)
    assert y.requires_grad
    with pytest.raises(
        RuntimeError, match="Trying to backward through tests::twice but no autograd formula was registered"
    ):
        y.sum().backward()


def test_lists_keyword_only_arguments_and_several_outputs() -> None:
    seen = {}

    @custom_op("tests::mixed", mutates_args=())
    def mixed(tensors: list[gg.Tensor], weights: list[float], *, power: int = 1) -> list[gg.Tensor]:
        return [(t * w) ** power for t, w in zip(tensors, weights)]

    def setup_context(ctx, inputs, keyword_only_inputs, output):
        seen.update(keyword_only_inputs, outputs=len(output))
        ctx.save_for_backward(*inputs[0])
        ctx.weights, ctx.power = inputs[1], keyword_only_inputs["power"]

    def backward(ctx, grads):
        seen["needs"] = ctx.needs_input_grad
        p = ctx.power
        return [g * p * w**p * t ** (p - 1) for g, w, t in zip(grads, ctx.weights, ctx.saved_tensors)], None

    mixed.register_autograd(backward, setup_context=setup_context)
    a, b = gg.tensor([1.0, 2.0], requires_grad=True), gg.tensor([3.0])
    made = mixed([a, b], [0.5, 2.0], power=2)
    assert isinstance(made, list) and made[0].tolist() == [0.25, 1.0] and made[1].tolist() == [36.0]
    made[0].sum().backward()
    assert a.grad.tolist() == [0.5, 1.0]
    assert seen == {"power": 2, "outputs": 2, "needs": ([True, False], False)}

    both = custom_op("tests::both", lambda x: (x + 1, x * 2), mutates_args=())
    both.register_autograd(lambda ctx, g, h: g + 2 * h)
    x = gg.ones(2, requires_grad=True)
    y, z = both(x)
    (y.sum() + 3 * z.sum()).backward()
    assert x.grad.tolist() == [7.0, 7.0]


def test_operations_that_change_their_arguments(device: str) -> None:
    @custom_op("tests::fill_", mutates_args={"x"})
    def fill_(x: gg.Tensor, value: float) -> None:
        x.fill_(value)

    x = gg.zeros(3, device=device)
    before = x._version
    assert fill_(x, 2.0) is None
    assert x.tolist() == [2.0] * 3 and x._version > before
    leaf = gg.zeros(3, device=device, requires_grad=True)
    with pytest.raises(
        RuntimeError, match="tests::fill_: a tensor that requires grad is to be changed in place"
    ):
        fill_(leaf, 1.0)
    with gg.no_grad():
        fill_(leaf, 1.0)
    assert leaf.tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="non-functional operator tests::fill_"):
        fill_.register_autograd(lambda ctx, g: g)
    y = leaf * leaf
    fill_(leaf.detach(), 5.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_what_is_returned_is_new(device: str) -> None:
    for number, function in enumerate((lambda x: x, lambda x: x[1:], lambda x: [x + 1] * 2)):
        op = custom_op(f"tests::alias{number}", function, mutates_args=())
        with pytest.raises(
            RuntimeError, match="may not alias any inputs to this custom operator or other returns"
        ):
            op(gg.ones(3, device=device))


def test_fake_and_meta() -> None:
    rows = custom_op("tests::rows", lambda x: x.sum(1), mutates_args=())
    with pytest.raises(NotImplementedError, match="tests::rows: there is no fake implementation"):
        rows(gg.ones(2, 3, device="meta"))

    @library.register_fake("tests::rows")
    def _(x):
        return x.new_empty(x.shape[0])

    made = rows(gg.ones(2, 3, device="meta"))
    assert made.shape == (2,) and made.device.type == "meta"


def test_vmap() -> None:
    outer = custom_op("tests::outer", lambda x, y: x.unsqueeze(-1) * y.unsqueeze(-2), mutates_args=())
    with pytest.raises(RuntimeError, match="tests::outer, but it has no rule for that; use register_vmap"):
        gg.vmap(outer)(gg.ones(2, 3), gg.ones(2, 4))

    @outer.register_vmap
    def _(info, in_dims, x, y):
        assert info.batch_size == 2
        return outer(x.movedim(in_dims[0], 0), y.movedim(in_dims[1], 0)), 0

    assert gg.vmap(outer, in_dims=(0, 1))(gg.ones(2, 3), gg.ones(4, 2)).shape == (2, 3, 4)


def test_kernels_may_be_switched_off() -> None:
    f = custom_op("tests::f", lambda x: x + 0, mutates_args=())
    library.register_kernel("tests::f", "cpu")(lambda x: x + 1)
    x = gg.zeros(1)
    assert f(x).item() == 1
    with f.set_kernel_enabled("cpu", enabled=False):
        assert f(x).item() == 0
    assert f(x).item() == 1
    with (
        pytest.raises(ValueError, match="tests::f: no kernel was registered for 'cuda'"),
        f.set_kernel_enabled("cuda"),
    ):
        f(x)


def test_names() -> None:
    first = custom_op("tests::again", lambda x: x + 1, mutates_args=())
    assert gg.ops.tests.again is first
    second = custom_op("tests::again", lambda x: x + 2, mutates_args=())
    assert gg.ops.tests.again is second and second(gg.zeros(1)).item() == 2
    with pytest.raises(AttributeError, match="no operation was defined in the namespace 'nowhere'"):
        gg.ops.nowhere.f  # noqa: B018
    with pytest.raises(ValueError, match="two identifiers, as 'mylib::swish'; got 'swish'"):
        custom_op("swish", lambda x: x, mutates_args=())
    with pytest.raises(ValueError, match="mutates_args names \\['z'\\]"):
        custom_op("tests::bad", lambda x: x, mutates_args=("z",))
    with pytest.raises(ValueError, match=r"\*args and \*\*kwargs are not supported"):
        custom_op("tests::bad", lambda *x: x[0], mutates_args=())
    with pytest.raises(ValueError, match="no operation is named 'tests::unknown'"):
        library.register_fake("tests::unknown")


def test_a_device_without_a_function() -> None:
    op = custom_op("tests::only_cuda", lambda x: x + 1, mutates_args=(), device_types=["cuda"])
    with pytest.raises(
        NotImplementedError, match="tests::only_cuda: no implementation for device 'cpu'; there are: cuda"
    ):
        op(gg.ones(1))
    made = custom_op("tests::made", lambda n, device: gg.ones(n, device=device), mutates_args=())
    assert made(2, gg.device("cpu")).tolist() == [1.0, 1.0]


def test_opcheck() -> None:
    good = custom_op("tests::good", lambda x: x.sum(0), mutates_args=())
    x = gg.ones(2, 3, requires_grad=True)
    assert library.opcheck(good, (gg.ones(2, 3),)) == dict.fromkeys(
        ("test_schema", "test_autograd_registration"), "SUCCESS"
    )
    with pytest.raises(
        library.OpCheckError, match="tests::good got inputs that require grad, and has no gradient"
    ):
        library.opcheck(good, (x,))
    found = library.opcheck(good, (x,), test_utils="test_faketensor", raise_exception=False)
    assert "no fake implementation" in str(found["test_faketensor"])
    good.register_fake(lambda x: x.new_empty(x.shape))
    with pytest.raises(
        library.OpCheckError, match=r"output 0 is \(3,\) of gradgpu.float32, its fake \(2, 3\)"
    ):
        library.opcheck(good, (x,), test_utils="test_faketensor")
    sly = custom_op("tests::sly", lambda x: x.add_(1) * 2, mutates_args=())
    y = gg.zeros(2)
    with pytest.raises(library.OpCheckError, match="tests::sly changes its argument 'x'"):
        library.opcheck(sly, (y,))
    assert y.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="no test is named 'test_speed'"):
        library.opcheck(good, (x,), test_utils="test_speed")


# ---- pointwise ----
def distance(**more):
    return library.pointwise(
        "tests::distance",
        cuda="(a - b) * (a - b)",
        cpu=lambda a, b: (a - b) ** 2,
        grad={"a": lambda g, a, b: 2 * g * (a - b), "b": lambda g, a, b: 2 * g * (b - a)},
        **more,
    )


@pytest.mark.parametrize("dtype", [gg.float32, gg.float64, gg.float16, gg.bfloat16], ids=str)
def test_pointwise(dtype, device: str) -> None:
    op = distance()
    a = gg.randn(3, 4, device=device).to(dtype).requires_grad_()
    b = gg.randn(4, 1, 1, device=device).to(dtype).requires_grad_()
    y = op(a, b)
    assert y.shape == (4, 3, 4) and y.dtype is dtype
    gg.testing.assert_close(y, (a - b) * (a - b), rtol=2e-2 if dtype.itemsize == 2 else 1e-6, atol=1e-3)
    y.sum().backward()
    assert a.grad.dtype is dtype and b.grad.shape == b.shape
    want = (2 * (a.detach().double() - b.detach().double())).sum(0)
    gg.testing.assert_close(a.grad.double(), want, rtol=2e-2 if dtype.itemsize == 2 else 1e-5, atol=3e-2)
    assert gg.autograd.gradgradcheck(
        op, (a.detach().double().requires_grad_(), b.detach().double().requires_grad_())
    )
    assert op(a, 1).dtype is dtype and op(gg.arange(3, device=device), 1).tolist() == [1, 0, 1]
    assert gg.vmap(op, in_dims=(0, None))(a, b[0, 0]).shape == (3, 4)


def test_pointwise_again_and_attributes(device: str) -> None:
    leaky = library.pointwise(
        "tests::leaky",
        cuda="x > 0 ? x : slope * x",
        cpu=lambda x, *, slope: np.where(x > 0, x, slope * x),
        grad=lambda g, x, *, slope: gg.where(x > 0, g, g * slope),
    )
    x = gg.tensor([-1.0, 2.0], device=device, requires_grad=True)
    y = leaky(x, slope=0.5)
    y.sum().backward()
    assert y.tolist() == [-0.5, 2.0] and x.grad.tolist() == [0.5, 1.0]
    # A notebook's cell that is run again defines it again. A constant of numpy's own does not change the dtype.
    thrice = library.pointwise(
        "tests::leaky", cuda="x * 3", cpu=lambda x: x * np.float64(3), grad=lambda g: 3 * g
    )
    y = thrice(x.detach())
    assert y.tolist() == [-3.0, 6.0] and y.dtype is gg.float32


def test_pointwise_errors() -> None:
    with pytest.raises(TypeError, match="asks for 'z'"):
        library.pointwise("tests::wrong", cuda="x", cpu=lambda x: x, grad=lambda g, z: g)
    library.pointwise("tests::wrong", cuda="x", cpu=lambda x: x, grad=lambda g: g)  # nothing was left behind
    with pytest.raises(ValueError, match="gradgpu has an operation 'floor_divide' of its own"):
        library.pointwise("floor::divide", cuda="x", cpu=lambda x: x)
