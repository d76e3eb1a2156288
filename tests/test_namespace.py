"""Names of PyTorch that lead to other functions of gradgpu: aliases, in-place forms, what is imported when asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.nn import functional as F
from gradgpu.ops import lazy


@pytest.mark.parametrize("name", sorted(lazy.FUNCTIONS))
def test_functions_are_found(name: str) -> None:
    assert callable(getattr(gg, name))


@pytest.mark.parametrize("name", sorted(lazy.METHODS))
def test_methods_are_found(name: str) -> None:
    assert callable(getattr(gg.Tensor, name)) and not isinstance(vars(gg.Tensor)[name], lazy.Later)


def test_families_are_not_imported_with_gradgpu() -> None:
    code = "import sys, gradgpu; print(sorted(m for m in sys.modules if m.startswith('gradgpu.ops.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "gradgpu.ops.lazy" in loaded
    for family in lazy.FAMILIES:
        assert f"'gradgpu.ops.{family}'" not in loaded


def test_a_method_imports_its_family_once() -> None:
    code = "import gradgpu as g; x = g.arange(4.); print(x.quantile(0.5).item(), x.quantile(0.5).item(), x.rot90)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1.5 1.5 <bound method")


def x(*shape: int, seed: int = 0) -> Any:
    return gg.tensor(np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32))


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_normalisation_takes_the_weights_first() -> None:
    weight, bias, mean, var = x(3, seed=1), x(3, seed=2), x(3, seed=3), x(3, seed=4)
    same(gg.batch_norm(x(4, 3, 2), weight, bias, mean, var, False, 0.1, 1e-5, True),
         F.batch_norm(x(4, 3, 2), mean, var, weight, bias))  # fmt: skip
    same(gg.instance_norm(x(4, 3, 5), weight, bias, None, None, True, 0.1, 1e-5, True),
         F.instance_norm(x(4, 3, 5), weight=weight, bias=bias))  # fmt: skip
    same(gg.layer_norm(x(4, 3), (3,), weight, bias), F.layer_norm(x(4, 3), (3,), weight, bias))
    same(gg.group_norm(x(4, 6, 2), 3), F.group_norm(x(4, 6, 2), 3))
    same(gg.rms_norm(x(4, 3), (3,), weight), F.rms_norm(x(4, 3), (3,), weight))


def test_embedding_takes_the_table_first() -> None:
    same(gg.embedding(x(5, 2), gg.tensor([[1, 4]])), F.embedding(gg.tensor([[1, 4]]), x(5, 2)))
    table = x(5, 2).requires_grad_()
    gg.embedding(table, gg.tensor([1, 4]), 4).sum().backward()
    assert table.grad[4].tolist() == [0, 0] and table.grad[1].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"])
def test_dropout_has_no_defaults(name: str) -> None:
    with pytest.raises(TypeError):
        getattr(gg, name)(x(4, 3))
    gg.manual_seed(0)
    a = getattr(gg, name)(x(4, 3, 2), 0.5, True)
    gg.manual_seed(0)
    b, target = getattr(F, name)(x(4, 3, 2), 0.5, True), x(4, 3, 2)
    same(a, b)
    same(getattr(gg, name)(target, 0.5, False), x(4, 3, 2))
    gg.manual_seed(0)
    assert getattr(gg, name + "_")(target, 0.5, True) is target
    same(target, a)


def test_reductions_are_numbers() -> None:
    a, b, sign = x(4, 3), x(4, 3, seed=1), gg.tensor([1, -1, 1, 1])
    for number, word in enumerate(("none", "mean", "sum")):
        more = {"reduction": word}
        same(gg.kl_div(a.log(), b, number), F.kl_div(a.log(), b, **more))
        same(gg.kl_div(a.log(), b, word), F.kl_div(a.log(), b, **more))
        same(
            gg.binary_cross_entropy_with_logits(a, b, None, None, number),
            F.binary_cross_entropy_with_logits(a, b, **more),
        )
        same(
            gg.cosine_embedding_loss(a, b, sign, 0.1, number),
            F.cosine_embedding_loss(a, b, sign, 0.1, **more),
        )
        same(
            gg.hinge_embedding_loss(a[:, 0], sign, 1.0, number), F.hinge_embedding_loss(a[:, 0], sign, **more)
        )
        same(
            gg.margin_ranking_loss(a[:, 0], b[:, 0], sign, 0.5, number),
            F.margin_ranking_loss(a[:, 0], b[:, 0], sign, 0.5, **more),
        )
        same(gg.poisson_nll_loss(a, b, True, False, 1e-8, number), F.poisson_nll_loss(a, b, **more))
        same(
            gg.triplet_margin_loss(a, b, b.flip(0), reduction=number),
            F.triplet_margin_loss(a, b, b.flip(0), **more),
        )
    log_probs, targets = x(5, 2, 4).log_softmax(-1), gg.tensor([[1, 2], [3, 1]])
    same(gg.ctc_loss(log_probs, targets, [5, 5], [2, 2], 0, 2), F.ctc_loss(log_probs, targets, [5, 5], [2, 2], 0, "sum"))  # fmt: skip


def test_sampling_and_padding() -> None:
    theta = gg.tensor([[[1.0, 0.1, 0.0], [0.0, 0.9, 0.2]]])
    grid = gg.affine_grid_generator(theta, (1, 2, 3, 3), False)
    same(grid, F.affine_grid(theta, (1, 2, 3, 3), False))
    same(
        gg.grid_sampler(x(1, 2, 4, 4), grid, 1, 2, True),
        F.grid_sample(x(1, 2, 4, 4), grid, "nearest", "reflection", True),
    )
    same(gg.constant_pad_nd(x(2, 2), (1, 0), 3.0), F.pad(x(2, 2), (1, 0), value=3.0))
    same(gg.pixel_shuffle(x(1, 4, 2, 2), 2), F.pixel_shuffle(x(1, 4, 2, 2), 2))


ELEMENTARY = sorted(
    set(lazy.OF_METHODS)
    & {
        n + "_"
        for n in "abs acos asin atan ceil clamp cos cosh erf erfc exp expm1 floor log log1p neg round sqrt tanh".split()
    }
)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_in_place_functions(name: str) -> None:
    more = (0.2, 0.5) if name == "clamp_" else ()
    target = x(3)
    assert getattr(gg, name)(target, *more) is target
    same(target, getattr(gg, name[:-1])(x(3), *more))


@pytest.mark.parametrize(
    "name", "absolute acosh arccos arccosh arcsin arcsinh arctan arctanh asinh atanh erfc negative".split()
)
def test_in_place_methods_of_one_tensor(name: str) -> None:
    values = x(3) + 1 if "cosh" in name else x(3) * 0.9
    target = values.clone()
    assert getattr(target, name + "_")() is target
    same(target, getattr(values, name)())


@pytest.mark.parametrize(
    "name", "arctan2 atan2 greater greater_equal less less_equal not_equal true_divide".split()
)
def test_in_place_methods_of_two_tensors(name: str) -> None:
    target = x(3)
    assert getattr(target, name + "_")(x(3, seed=1)) is target
    same(target, getattr(x(3), name)(x(3, seed=1)).float())


def test_in_place_methods_of_integers() -> None:
    a, b = gg.tensor([1, 6, 3]), gg.tensor([1, 2, 0])
    assert a.clone().bitwise_left_shift_(b).tolist() == [2, 24, 3]
    assert a.clone().bitwise_right_shift_(b).tolist() == [0, 1, 3]
    assert a.clone().bitwise_not_().tolist() == [-2, -7, -4]
    assert gg.tensor([True, False]).logical_xor_(gg.tensor([True, True])).tolist() == [False, True]


def test_methods_through_python() -> None:
    a = gg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert a.apply_(lambda v: v * v) is a and a.tolist() == [[1, 4], [9, 16]]
    a.map_(gg.tensor([1.0, 2.0]), lambda v, w: v - w)
    assert a.tolist() == [[0, 2], [8, 14]]
    a.map2_(gg.tensor(1.0), gg.tensor(10.0), lambda v, w, z: v + w + z)
    assert a.tolist() == [[11, 13], [19, 25]]
    with pytest.raises(RuntimeError, match="leaf"):
        gg.ones(2, requires_grad=True).apply_(abs)


def test_memory() -> None:
    a = gg.arange(6.0)
    assert a.is_set_to(a.view(6)) and not a.is_set_to(a[1:]) and not a.is_set_to(a.view(2, 3))
    b = gg.zeros(2)
    assert b.set_(a) is b and b.shape == (6,)
    a[0] = 7
    assert b[0].item() == 7 and gg.zeros(3).set_().shape == (0,)
    with pytest.raises(RuntimeError, match="Could not set tensor"):
        gg.zeros(2).set_(gg.tensor([1]))
    assert gg.zeros(4).resize_as_(gg.zeros(2, 2)).shape == (2, 2)
    assert a.new_empty_strided((2, 2), (1, 2)).stride() == (1, 2)


def test_where_and_others() -> None:
    a = gg.tensor([1.0, 2.0])
    assert a.where(gg.tensor([True, False]), gg.tensor(5.0)).tolist() == [1, 5]
    assert gg.nonzero_static(gg.tensor([[1, 0], [2, 3]]), size=4, fill_value=9).tolist() == [
        [0, 0],
        [1, 0],
        [1, 1],
        [9, 9],
    ]
    assert gg.nonzero_static(gg.tensor([1, 1, 1]), size=2).tolist() == [[0], [1]]
    with pytest.raises(RuntimeError, match="non-negative"):
        gg.nonzero_static(a, size=-1)
    assert (
        [p.tolist() for p in gg.unsafe_chunk(a, 2)]
        == [[1], [2]]
        == [p.tolist() for p in gg.unsafe_split(a, 1)]
    )
    assert [p.tolist() for p in gg.unsafe_split_with_sizes(a, [2, 0])] == [[1, 2], []]
    assert gg.fill(a, 3).tolist() == [3, 3] and a.tolist() == [1, 2]
    assert (
        gg.numel(a) == 2 and gg.is_nonzero(gg.tensor(1)) and gg.get_device(a) == -1 and not gg.is_storage(a)
    )
    assert gg.detach(x(2).requires_grad_()).requires_grad is False


def test_factories() -> None:
    with pytest.warns(UserWarning, match="deprecated"):
        made = gg.range(1, 2, 0.5)
    assert made.tolist() == [1, 1.5, 2] and made.dtype is gg.float32
    with pytest.warns(UserWarning, match="deprecated"), pytest.raises(RuntimeError, match="inconsistent"):
        gg.range(2, 1)
    assert gg.empty_strided((0, 2), (1, 1)).shape == (0, 2)
    with pytest.raises(RuntimeError, match="must match"):
        gg.empty_strided((2,), (1, 1))
    with pytest.raises(RuntimeError, match="once"):
        gg.empty_permuted((2, 2), (0, 0))
    data = bytearray(np.arange(4, dtype=np.int32).tobytes())
    shared = gg.frombuffer(data, dtype=gg.int32, count=2, offset=4)
    shared[0] = 9
    assert shared.tolist() == [9, 2] and np.frombuffer(data, np.int32)[1] == 9
    assert gg.frombuffer(b"\x01\x02", dtype=gg.uint8).add_(1).tolist() == [2, 3]
    for bad, match in (
        ({"offset": 99}, "offset"),
        ({"count": 9}, "requested"),
        ({"offset": 1}, "multiple"),
        ({"count": 0}, "must not be 0"),
    ):
        with pytest.raises(ValueError, match=match):
            gg.frombuffer(data, dtype=gg.int32, **bad)


@pytest.mark.parametrize("name", ["bartlett", "hann", "hamming", "blackman", "kaiser"])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_windows(name: str, length: int) -> None:
    window = getattr(gg, f"{name}_window")
    function = {"hann": np.hanning}.get(name) or getattr(np, name)
    more = (12.0,) if name == "kaiser" else ()
    np.testing.assert_allclose(window(length, False).numpy(), function(length, *more), atol=1e-6)
    if length > 1:
        np.testing.assert_allclose(window(length).numpy(), function(length + 1, *more)[:-1], atol=1e-6)
    with pytest.raises(RuntimeError, match="non-negative"):
        window(-1)
    with pytest.raises(RuntimeError, match="floating"):
        window(3, dtype=gg.int64)


def test_embedding_options() -> None:
    table = gg.tensor([[3.0, 4.0], [6.0, 8.0], [0.1, 0.1]])
    F.embedding(gg.tensor([1, 1, 2]), table, max_norm=5.0)
    np.testing.assert_allclose(table.numpy(), [[3, 4], [3, 4], [0.1, 0.1]], rtol=1e-6)
    weight = gg.ones(3, 2, requires_grad=True)
    F.embedding(gg.tensor([1, 1, 2]), weight, scale_grad_by_freq=True).sum().backward()
    assert weight.grad.tolist() == [[0, 0], [1, 1], [1, 1]]


X = gg.ones(4, 4)
VECTOR = gg.arange(4)
BY_NAME = [
    lambda: gg.zeros(2, layout=gg.strided), lambda: gg.full((2,), 1.0, layout=gg.strided, pin_memory=False),
    lambda: gg.arange(3, layout=gg.strided), lambda: gg.eye(3, layout=gg.strided), lambda: gg.randn(2, layout=gg.strided),
    lambda: gg.randn_like(X, layout=gg.strided, generator=gg.Generator()), lambda: X.new_zeros(size=(2,), layout=gg.strided),
    lambda: X.new_full(size=(2,), fill_value=1), lambda: X.new_tensor(data=[1]), lambda: X.clone().copy_(other=X),
    lambda: X.is_contiguous(memory_format=gg.contiguous_format), lambda: X.view(dtype=gg.int32), lambda: X.view(size=(2, 8)),
    lambda: X.reshape(shape=(2, 8)), lambda: X.permute(dims=(1, 0)), lambda: X.expand(size=(4, 4)), lambda: X.repeat(repeats=(2, 2)),
    lambda: X.tile(dims=(2,)), lambda: X.sum_to_size(size=(1, 4)), lambda: X.split(split_size=2),
    lambda: gg.split(X, split_size_or_sections=[1, 3]), lambda: gg.tensor_split(X, sections=2), lambda: gg.tensor_split(X, indices=(1, 3)),
    lambda: gg.hsplit(X, sections=2), lambda: gg.vsplit(X, indices=[1]), lambda: gg.dsplit(gg.ones(1, 1, 4), sections=2),
    lambda: X.clone().random_(to=3), lambda: X.clone().random_(**{"from": 1, "to": 3}), lambda: gg.repeat_interleave(repeats=VECTOR),
    lambda: gg.result_type(tensor=X, other=1), lambda: gg.numel(input=X), lambda: gg.detach(input=X), lambda: gg.is_nonzero(input=gg.ones(1)),
    lambda: gg.relu_(input=X.clone()), lambda: gg.abs_(input=X.clone()), lambda: gg.rsub(X, 1, 2), lambda: X.clone().copysign_(other=X),
    lambda: X.clone().xlogy_(other=X), lambda: gg.isin(elements=VECTOR, test_element=2), lambda: gg.isin(element=2, test_elements=VECTOR),
    lambda: X.clone().resize_as_(the_template=gg.ones(2)), lambda: X.clone().swapaxes_(axis0=0, axis1=1),
    lambda: gg.linalg.eigh(input=X, UPLO="U"), lambda: gg.linalg.matrix_power(input=X, n=2), lambda: gg.linalg.norm(input=X, ord=2),
    lambda: gg.linalg.lstsq(input=X, b=X), lambda: gg.linalg.inv(A=X + gg.eye(4)), lambda: gg.from_dlpack(ext_tensor=np.ones(2), copy=True),
    lambda: gg.is_tensor(obj=X), lambda: gg.set_default_device(device="cpu"),
]  # fmt: skip


@pytest.mark.parametrize("call", [pytest.param(call, id=str(k)) for k, call in enumerate(BY_NAME)])
def test_arguments_may_be_named_as_in_pytorch(call: Any) -> None:
    call()


def test_what_names_mean() -> None:
    assert (
        gg.isin(element=2, test_elements=VECTOR).item()
        and gg.isin(elements=VECTOR, test_element=2).sum() == 1
    )
    assert [len(part) for part in gg.tensor_split(VECTOR, indices=(1, 3))] == [1, 2, 1]
    assert gg.rsub(X, 1, 2)[0, 0] == -1 and X.clone().random_(**{"from": 2, "to": 3}).unique().tolist() == [2]
    assert gg.repeat_interleave(repeats=gg.tensor([1, 2])).tolist() == [0, 1, 1] and X.expand(
        size=(2, 4, 4)
    ).shape == (2, 4, 4)
    shared = np.ones(2)
    gg.from_dlpack(shared)[0] = 2
    gg.from_dlpack(shared, copy=True)[0] = 3
    assert shared.tolist() == [2, 1]
    for wrong in (
        lambda: gg.zeros(2, layout=gg.sparse_coo), lambda: X.random_(upto=3), lambda: gg.result_type(X, number=3), lambda: gg.hsplit(X),
        lambda: gg.from_dlpack(shared, device="meta", copy=False),
    ):  # fmt: skip
        with pytest.raises((TypeError, RuntimeError, ValueError)):
            wrong()


def test_pinverse_cuts_off_where_pytorch_does() -> None:
    x = gg.tensor([[1.0, 0.0], [0.0, 1e-9]], dtype=gg.float64)
    assert gg.pinverse(x)[1, 1].item() == pytest.approx(1e9)
    assert gg.pinverse(x, 1e-3)[1, 1].item() == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_import_leaves_the_garbage_collector_as_it_was(enabled: bool) -> None:
    code = (
        f"import gc; {'' if enabled else 'gc.disable(); '}import gradgpu; assert gc.isenabled() is {enabled}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
