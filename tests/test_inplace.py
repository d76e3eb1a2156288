"""Changes in place: histories of tensors, views and bases, versions, and what is refused, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradgpu as gg


def leaf(values: Any, device: str) -> Any:
    return gg.tensor(values, dtype=gg.float64, device=device, requires_grad=True)


def values(t: Any) -> Any:
    return t.detach().cpu().tolist()


A = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
B = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]]


def changed(name: str, *args: Any, **kwargs: Any) -> Callable:
    """A function that changes 1 * a in place by the method `name`."""

    def run(a: Any, b: Any) -> Any:
        y = a * 1
        filled = [b if arg is B else arg for arg in args]
        assert getattr(y, name)(*filled, **kwargs) is y
        return y

    run.__name__ = name
    return run


def view_of_row(a: Any, b: Any) -> Any:
    y = a * 1
    y[0].mul_(b[1])
    return y


def view_then_base(a: Any, b: Any) -> Any:
    y = a * 1
    v = y[:, 1]
    y.mul_(b)
    return v * v


def base_through_two_views(a: Any, b: Any) -> Any:
    y = a * 2
    y.t()[1:].add_(b.t()[1:] * 3)
    y.view(6)[::2].mul_(2)
    return y * y


def view_of_transposed_memory(a: Any, b: Any) -> Any:
    y = (a.t() * 2).t() + b.t().t()  # its memory may lie in another order than its dimensions
    y.t().reshape(-1)
    y.t()[0].mul_(b[:, 0])
    return y


def overwritten_half(a: Any, b: Any) -> Any:
    y = a * 1
    y[:, :2].copy_(b[:, :2])
    return y * a


def zeroed_part(a: Any, b: Any) -> Any:
    y = a * b
    y[1].zero_()
    return y * a


def same_tensor_twice(a: Any, b: Any) -> Any:
    y = a * b
    y.mul_(y)
    return y


def self_and_its_view(a: Any, b: Any) -> Any:
    y = a * b
    y.add_(y[0].clone())
    return y


def set_item(a: Any, b: Any) -> Any:
    y = a * 1
    y[0, 1:] = b[1, :2] * 2
    y[1] = 7.0
    return y * a


def masked(a: Any, b: Any) -> Any:
    y = a * 1
    y[a.detach() > 2] = 0.5
    return y * b


def by_index(a: Any, b: Any) -> Any:
    y = a * 1
    index = gg.tensor([2, 0], device=a.device)
    y[:, index] = b[:, :2]
    return y * a


def view_used_after(a: Any, b: Any) -> Any:
    y = a * 1
    v = y[0]
    v.mul_(3)
    w = v + b[0]
    y.add_(1)
    return w.sum() + (y * b).sum() + v.sum()


def operators(a: Any, b: Any) -> Any:
    y = a * 1
    y += b
    y *= 2
    y -= b * b
    y /= 4
    y **= 2
    return y


def chain_of_changes(a: Any, b: Any) -> Any:
    y = a * 1
    for k in range(5):
        y[k % 2].mul_(b[0]).add_(k)
    return y


PAIRS: list[tuple[Callable, Callable]] = [
    (changed("add_", B), lambda a, b: a + b),
    (changed("add_", B, alpha=3), lambda a, b: a + 3 * b),
    (changed("sub_", B), lambda a, b: a - b),
    (changed("mul_", B), lambda a, b: a * b),
    (changed("mul_", 2.5), lambda a, b: a * 2.5),
    (changed("div_", B), lambda a, b: a / b),
    (changed("pow_", 3), lambda a, b: a**3),
    (changed("neg_"), lambda a, b: -a),
    (changed("exp_"), lambda a, b: a.exp()),
    (changed("log_"), lambda a, b: a.log()),
    (changed("sqrt_"), lambda a, b: a.sqrt()),
    (changed("square_"), lambda a, b: a.square()),
    (changed("sin_"), lambda a, b: a.sin()),
    (changed("tanh_"), lambda a, b: a.tanh()),
    (changed("sigmoid_"), lambda a, b: a.sigmoid()),
    (changed("relu_"), lambda a, b: a.relu()),
    (changed("abs_"), lambda a, b: a.abs()),
    (changed("reciprocal_"), lambda a, b: 1 / a),
    (changed("clamp_", 2.5, 4.5), lambda a, b: a.clamp(2.5, 4.5)),
    (changed("lerp_", B, 0.25), lambda a, b: a + 0.25 * (b - a)),
    (changed("addcmul_", B, B, value=2), lambda a, b: a + 2 * b * b),
    (changed("copy_", B), lambda a, b: b * 1),
    (changed("fill_", 3.0), lambda a, b: a * 0 + 3),
    (changed("zero_"), lambda a, b: a * 0),
    (view_of_row, lambda a, b: gg.stack([a[0] * b[1], a[1]])),
    (view_then_base, lambda a, b: (a * b)[:, 1] ** 2),
    (
        base_through_two_views,
        lambda a, b: _doubled(gg.cat([a[:, :1] * 2, a[:, 1:] * 2 + b[:, 1:] * 3], 1)) ** 2,
    ),
    (
        view_of_transposed_memory,
        lambda a, b: gg.cat([(a * 2 + b)[:, :1] * b[:, :1], (a * 2 + b)[:, 1:]], 1),
    ),
    (overwritten_half, lambda a, b: gg.cat([b[:, :2], a[:, 2:]], 1) * a),
    (zeroed_part, lambda a, b: gg.cat([(a * b)[:1], (a * 0)[1:]]) * a),
    (same_tensor_twice, lambda a, b: (a * b) ** 2),
    (self_and_its_view, lambda a, b: a * b + (a * b)[0]),
    (set_item, lambda a, b: gg.stack([gg.cat([a[0, :1], b[1, :2] * 2]), a[1] * 0 + 7]) * a),
    (masked, lambda a, b: gg.where(a.detach() > 2, 0.5, a) * b),
    (by_index, lambda a, b: gg.stack([b[:, 1], a[:, 1], b[:, 0]], 1) * a),
    (
        view_used_after,
        lambda a, b: (
            (a[0] * 3 + b[0]).sum() + ((gg.stack([a[0] * 3, a[1]]) + 1) * b).sum() + (a[0] * 3 + 1).sum()
        ),
    ),
    (operators, lambda a, b: (((a + b) * 2 - b * b) / 4) ** 2),
    (
        chain_of_changes,
        lambda a, b: gg.stack([((a[0] * b[0]) * b[0] + 2) * b[0] + 4, (a[1] * b[0] + 1) * b[0] + 3]),
    ),
]


def _doubled(y: Any) -> Any:
    factor = gg.tensor([2.0, 1.0, 2.0, 1.0, 2.0, 1.0], dtype=y.dtype, device=y.device)
    return (y.reshape(6) * factor).reshape(2, 3)


each_pair = pytest.mark.parametrize(
    "inplace, pure", [pytest.param(*pair, id=pair[0].__name__) for pair in PAIRS]
)


@each_pair
def test_values_and_gradients_are_those_of_the_pure_form(
    inplace: Callable, pure: Callable, device: str
) -> None:
    results = []
    for function in (inplace, pure):
        a, b = leaf(A, device), leaf(B, device)
        y = function(a, b)
        weight = gg.arange(y.numel(), dtype=gg.float64, device=device).reshape(y.shape) + 1
        grads = gg.autograd.grad((y * weight).sum(), (a, b), allow_unused=True, materialize_grads=True)
        results.append([values(y), *map(values, grads)])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@each_pair
def test_derivatives_against_finite_differences(inplace: Callable, pure: Callable) -> None:
    def function(a: Any, b: Any) -> Any:
        return inplace(a, b)

    if inplace.__name__ not in ("clamp_", "masked", "abs_", "relu_"):  # they have kinks
        gg.autograd.gradcheck(function, (leaf(A, "cpu"), leaf(B, "cpu")))
        gg.autograd.gradgradcheck(function, (leaf(A, "cpu"), leaf(B, "cpu")))


# ---- what is refused ----


def test_a_leaf_is_refused(device: str) -> None:
    x = leaf(A, device)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.copy_(x.detach()), lambda: x.fill_(1.0)):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            change()
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0
    assert values(x) == A
    with gg.no_grad():
        x.add_(1)
    assert x.is_leaf and x.requires_grad and values(x)[0] == [2, 3, 4]


def test_a_view_of_a_leaf_is_refused(device: str) -> None:
    x = leaf(A, device)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x[0].add_(1)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x.t().mul_(2)
    assert values(x) == A
    with gg.no_grad():
        x[0].add_(1)
    assert values(x)[0] == [2, 3, 4]


def test_a_leaf_that_does_not_require_grad_joins_the_graph(device: str) -> None:
    w = leaf([1.0, 2.0], device)
    buffer = gg.zeros(3, 2, dtype=gg.float64, device=device)
    buffer[1] = w * 3
    assert buffer.requires_grad and not buffer.is_leaf
    (buffer * buffer).sum().backward()
    assert values(w.grad) == [18, 36]


def test_overlapping_memory_is_refused(device: str) -> None:
    x = gg.ones(3, 1, device=device)
    with pytest.raises(RuntimeError, match="more than one element"):
        x.expand(3, 4).add_(1)
    with pytest.raises(RuntimeError, match="more than one element"):
        x.expand(3, 4).zero_()


def test_part_of_an_expanded_view_may_change(device: str) -> None:
    x = gg.zeros(3, device=device)
    x.expand(2, 3)[1].add_(1)
    x.expand(2, 3)[0, 1] = 5
    assert values(x) == [1, 5, 1]
    y = gg.zeros(3, device=device)
    y.expand(3, 3).diagonal().add_(2)
    y.expand(2, 3)[0].view(3).mul_(2)
    assert values(y) == [4, 4, 4]


def test_shapes_must_fit(device: str) -> None:
    x = gg.ones(3, device=device)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(gg.ones(2, 3, device=device))
    with pytest.raises(RuntimeError, match=r"(?i)shape|size"):
        x.copy_(gg.ones(4, device=device))


def test_dtypes_must_fit(device: str) -> None:
    x = gg.ones(3, dtype=gg.int64, device=device)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.div_(2)
    y = gg.ones(3, device=device)
    y.add_(gg.ones(3, dtype=gg.float64, device=device))
    assert y.dtype is gg.float32
    y.copy_(x)
    assert y.dtype is gg.float32
    x.copy_(gg.tensor([1.7, -1.7, 0.2], device=device))
    assert values(x) == [1, -1, 0]


# ---- versions ----


def test_a_saved_tensor_that_changed_is_an_error(device: str) -> None:
    a, b = leaf(A, device), leaf(B, device)
    y = a * 1
    z = y * b
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation.*Mul.*2, 3.*version 1.*version 0"
    ):
        z.sum().backward()


def test_a_saved_result_that_changed_is_an_error(device: str) -> None:
    y = leaf(A, device).exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation.*Exp"):
        y.sum().backward()
    y = leaf(A, device).sin()  # saved its input
    y.mul_(2)
    y.sum().backward()


def test_a_change_of_a_view_counts_for_the_base(device: str) -> None:
    y = leaf(A, device) * 1
    z = y * y
    y[0, :1].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_change_of_the_base_counts_for_its_views(device: str) -> None:
    y = leaf(A, device) * 1
    v = y[0]
    z = v * v
    y.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_versions_count(device: str) -> None:
    x = gg.ones(2, 2, device=device)
    assert x._version == 0
    x.add_(1)
    x[0].mul_(2)
    x[1, 1] = 5
    x.t().zero_()
    assert x._version == 4 == x[0]._version == x.detach()._version
    assert x.clone()._version == 0
    x.data.add_(1)
    assert x._version == 4


def test_changing_what_nobody_saved_is_fine(device: str) -> None:
    a = leaf(A, device)
    y = a + 1
    z = y + 2
    y.mul_(3)
    (z + y).sum().backward()
    assert values(a.grad) == [[4] * 3] * 2


@each_pair
def test_saved_tensors_hooks_see_the_values_before_the_change(
    inplace: Callable, pure: Callable, device: str
) -> None:
    grads = []
    for function in (inplace, pure):
        a, b = leaf(A, device), leaf(B, device)
        with gg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            y = function(a, b).sum()
        found = gg.autograd.grad(y, (a, b), allow_unused=True, materialize_grads=True)
        grads.append([values(g) for g in found])
    np.testing.assert_allclose(grads[0][0], grads[1][0], rtol=1e-12)
    np.testing.assert_allclose(grads[0][1], grads[1][1], rtol=1e-12)


# ---- views ----


def test_views_share_memory_both_ways(device: str) -> None:
    x = gg.zeros(2, 3, device=device)
    views = [x[0], x.t(), x.view(6), x.reshape(3, 2), x.unsqueeze(0), x[:, 1:], x.permute(1, 0), x.flatten()]
    x[0, 1] = 5
    assert [v.sum().item() for v in views] == [5] * 8
    for k, v in enumerate(views):
        v.add_(1)
        assert x.sum().item() == 5 + sum(u.numel() for u in views[: k + 1])


def test_a_result_of_no_dimensions_has_views_too(device: str) -> None:
    s = gg.ones(3, device=device).sum()
    s.unsqueeze(0).add_(1)
    s.view(1, 1).mul_(2)
    assert s.item() == 8
    s.reshape(1)[0] = 3
    assert s.item() == 3


def test_views_of_a_changed_base_carry_its_gradient(device: str) -> None:
    w = leaf([2.0, 3.0], device)
    base = gg.zeros(4, dtype=gg.float64, device=device)
    early = base[:2]
    base[:2] = w
    late = base[1:3]
    assert early.requires_grad and late.requires_grad
    (early.sum() * 10 + late.sum()).backward()
    assert values(w.grad) == [10, 11]


def test_a_long_chain_of_views(device: str) -> None:
    length = 3000 if device == "cpu" else 300
    x = leaf([1.0] * (length + 1), device)
    y = x * 1
    v = y
    for _ in range(length):
        v = v[1:]
    v.mul_(3)
    y.sum().backward()
    assert values(x.grad) == [1] * length + [3]


def test_overwriting_cuts_the_old_history(device: str) -> None:
    a, b = leaf(A, device), leaf(B, device)
    y = a * 1
    y.copy_(b)
    (y * 2).sum().backward()
    assert a.grad is None or not any(np.ravel(values(a.grad)))
    assert values(b.grad) == [[2] * 3] * 2


def test_requires_grad_survives_overwriting_by_constants(device: str) -> None:
    a = leaf(A, device)
    y = a * 1
    y.zero_()
    assert y.requires_grad
    y.copy_(gg.ones(2, 3, dtype=gg.float64, device=device))
    y.sum().backward()
    assert values(a.grad) == [[0] * 3] * 2


def test_hooks_and_retained_grads_survive(device: str) -> None:
    a = leaf(A, device)
    y = a * 1
    seen: list[Any] = []
    y.register_hook(lambda g: seen.append(values(g)))
    y.mul_(2)
    y.sum().backward()
    assert len(seen) == 1 and values(a.grad) == [[2] * 3] * 2


def test_optimiser_style_update(device: str) -> None:
    w = leaf([1.0, 2.0], device)
    for _ in range(3):
        (w * w).sum().backward()
        with gg.no_grad():
            w -= 0.25 * w.grad
        w.grad.zero_()
    np.testing.assert_allclose(values(w), [0.125, 0.25])
    assert w.is_leaf and w.requires_grad


def test_setting_data(device: str) -> None:
    w = leaf([1.0, 2.0], device)
    w.data = gg.tensor([5.0, 6.0], dtype=gg.float64, device=device)
    (w * w).sum().backward()
    assert values(w.grad) == [10, 12] and w.is_leaf
    w.data[0] = 9
    assert values(w) == [9, 6]


# ---- out= ----


def test_out(device: str) -> None:
    a = gg.tensor([1.0, 2.0], device=device)
    out = gg.zeros(2, device=device)
    assert gg.add(a, a, out=out) is out and values(out) == [2, 4]
    assert gg.exp(a, out=out) is out
    np.testing.assert_allclose(values(out), np.exp([1.0, 2.0]), rtol=1e-6)
    assert values(gg.mul(a, 2, out=gg.empty(0, device=device))) == [2, 4]
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        gg.add(a.requires_grad_(), a, out=out)
    with pytest.raises(RuntimeError, match="can't be cast"):
        gg.add(a.detach(), a.detach(), out=gg.zeros(2, dtype=gg.int64, device=device))


def test_out_of_other_functions(device: str) -> None:
    a = gg.tensor(A, device=device)
    out = gg.empty(2, 3, device=device)
    assert gg.cumsum(a, 1, out=out) is out and values(out) == [[1, 3, 6], [4, 9, 15]]
    assert values(gg.matmul(a, a.T, out=gg.empty(0, device=device))) == [[14, 32], [32, 77]]
    largest, where = gg.empty(2, device=device), gg.empty(2, dtype=gg.int64, device=device)
    made = gg.max(a, dim=1, out=(largest, where))
    assert made.values is largest and made.indices is where
    assert values(largest) == [3, 6] and values(where) == [2, 2]
    with pytest.raises(TypeError, match="max.*tuple of 2 Tensors"):
        gg.max(a, dim=1, out=largest)
    with pytest.raises(TypeError, match="sum.*must be Tensor, not list"):
        gg.sum(a, out=[1.0])
    with pytest.raises(RuntimeError, match="cumsum.*out has shape"):
        gg.cumsum(a, 1, out=gg.ones(3, device=device))
    with pytest.raises(RuntimeError, match="sum.*automatic differentiation"):
        gg.sum(a.requires_grad_(), out=gg.empty((), device=device))


# ---- detach_, requires_grad_ ----


def test_detach_in_place(device: str) -> None:
    a = leaf(A, device)
    y = a * 2
    z = y * 3
    y.detach_()
    assert y.is_leaf and not y.requires_grad
    z.sum().backward()  # what was built before keeps its history
    assert values(a.grad) == [[6] * 3] * 2
    y.requires_grad_()
    (y * 2).sum().backward()
    assert values(y.grad) == [[2] * 3] * 2
    with pytest.raises(RuntimeError, match="detach views"):
        (a * 2)[0].detach_()


def test_change_of_a_detached_tensor_is_seen_by_its_source(device: str) -> None:
    a = leaf(A, device)
    y = a * 2
    y.detach()[0] = 0.0
    assert values(y)[0] == [0, 0, 0]
    y.sum().backward()
    assert values(a.grad) == [[2] * 3] * 2


# ---- modes, parts that are no views, versions ----


def test_inference_tensors_stay_as_they_are_outside(device: str) -> None:
    with gg.inference_mode():
        x = gg.ones(1, 2, device=device)
        x.add_(1)
        assert gg.is_inference(x) and gg.is_inference(x[0])
    for change in (lambda: x.add_(1), lambda: x.transpose_(0, 1), lambda: x.zero_(), lambda: x.unsqueeze_(0)):
        with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
            change()
    assert not gg.is_inference(x.clone().add_(1))
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        gg.ones(2, device=device, requires_grad=True) * x[0]


def test_a_tensor_that_becomes_a_view_of_itself_keeps_its_grad(device: str) -> None:
    y = leaf([[1.0, 2.0]], device) * 1
    y.retain_grad()
    y.t_()
    (y * 3).sum().backward()
    assert values(y.grad) == [[3], [3]]


def test_views_made_in_other_modes_are_refused(device: str) -> None:
    base = leaf([[1.0, 2.0]], device) * 1
    for mode, name in ((gg.no_grad, "no_grad"), (gg.inference_mode, "inference")):
        with mode():
            view = base.view(2)
        for change in (lambda v: v.mul_(2), lambda v: v.unsqueeze_(0)):
            with pytest.raises(
                RuntimeError, match=f"view was created in {name} mode and is being modified inplace"
            ):
                change(view)


def test_parts_for_changing_in_place(device: str) -> None:
    x = leaf([1.0, 2.0, 3.0, 4.0], device)
    for parts in (x * 2).split(2), (x * 2).chunk(2), (x * 2).unbind():
        with pytest.raises(RuntimeError, match="returns multiple views"):
            parts[0].mul_(3)
    for split in (
        lambda y: y.unsafe_split(2),
        lambda y: y.unsafe_chunk(2),
        lambda y: y.unsafe_split_with_sizes((2, 2)),
    ):
        first, second = split(x * 2)
        first.mul_(second)
        (g,) = gg.autograd.grad(first.sum(), x)
        assert values(g) == [12, 16, 4, 8]


def test_a_copy_of_what_saved_the_target(device: str) -> None:
    x = leaf([2.0, 3.0], device)
    y = x * 1
    y.copy_(y * y)
    y.sum().backward()
    assert values(x.grad) == [4, 6]


def test_resize_counts_only_changes(device: str) -> None:
    x = gg.ones(2, device=device)
    x.resize_(1, 2)
    assert x._version == 1
    x.resize_(1, 2)
    assert x._version == 1


def test_the_error_names_operation_shape_and_versions(device: str) -> None:
    x = leaf([[1.0, 2.0]], device)
    y, w = x * 1, x * 2
    z = y * w
    w.add_(1)
    w.add_(1)
    with pytest.raises(RuntimeError, match=r"MulBackward0 saved a tensor of shape \(1, 2\), gradgpu.float64; it is at version 2; expected version 0"):  # fmt: skip
        z.sum().backward()


def test_numpy_and_data_of_what_requires_grad(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    if device == "cpu":
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
            x.numpy()
        with gg.no_grad():
            assert x.numpy().tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="must be floating point or complex dtype"):
        x.data = gg.ones(2, dtype=gg.int64, device=device)


# ---- what a node has saved, and who may change it ----
def _under_no_grad(t: gg.Tensor) -> None:
    with gg.no_grad():
        t.add_(1)


def _cut_off(t: gg.Tensor) -> None:
    t.detach_().add_(1)


CHANGES = {
    "in place": lambda t: t.add_(1),
    "under no_grad": _under_no_grad,
    "through detach": lambda t: t.detach().add_(1),
    "through a view": lambda t: t[0].add_(1),
    "through a view of detach": lambda t: t.detach()[1:].add_(1),
    "one of many views": lambda t: t.detach().chunk(2)[0].add_(1),
    "cut off": _cut_off,
    "by assignment": lambda t: t.__setitem__(0, 5.0),
}
EARLIER = {
    "nothing": lambda t: None,
    "a view": lambda t: t[0],
    "detached": lambda t: t.detach(),
    "changed": lambda t: t.add_(0),
}


@pytest.mark.parametrize("earlier", EARLIER)
@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_saved_values_are_noticed(change: str, earlier: str, device: str) -> None:
    x = gg.tensor([0.3, 0.5, 0.7], device=device, requires_grad=True)
    w = gg.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)

    def differentiate(function: Callable, which: str) -> None:
        y = x * 1.5
        kept = EARLIER[earlier](y)
        z = function(y)
        CHANGES[change](y if which == "input" else z)
        (z.sum() if which == "input" else (z * 1).sum()).backward()
        del kept

    for function in (lambda y: y * w, lambda y: y * y, lambda y: w / y, lambda y: y.sin(), lambda y: y.log()):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            differentiate(function, "input")
    differentiate(lambda y: y + w, "input")  # whose gradients need no values
    differentiate(lambda y: y.exp(), "input")  # which keeps its result
    if change != "cut off":
        for function in (lambda y: y.exp(), lambda y: y.tanh(), lambda y: y.sigmoid()):
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                differentiate(function, "result")
        differentiate(lambda y: y.sin(), "result")


def test_parts_of_a_base_are_assigned(device: str) -> None:
    """Numbers, leaves and computed values of the shape of the part, one after the other: as the same by `where`."""
    w = gg.tensor([2.0, 3.0, 4.0], device=device, requires_grad=True)
    s = gg.tensor(5.0, device=device, requires_grad=True)
    x = w * w  # its gradient needs w, not x
    early = x[1:]
    x.retain_grad()
    x[0] = s
    x[-1:] = (w * s)[:1]
    x[1] = 7.0
    x[...] = x + s
    assert x.tolist() == [10.0, 12.0, 15.0] and early.tolist() == [12.0, 15.0] and early._version == 4
    (early[1] * x[0]).backward()  # (w0 s + s) (s + s)
    assert w.grad.tolist() == [50.0, 0.0, 0.0] and s.grad.tolist() == 60.0
    assert x.grad.tolist() == [15.0, 0.0, 10.0]


def test_an_assigned_part_counts_as_a_change(device: str) -> None:
    w = gg.ones(3, device=device, requires_grad=True)
    x = w * 2
    y = x * x
    x[0] = w[1]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        w[0] = x[0]
    with pytest.raises(RuntimeError, match="cannot be broadcast|shape mismatch"):
        x[0] = w
    z = gg.zeros(2, 2, device=device)
    z[0], z[:, 1] = w[:2], w[1:]
    z.sum().backward()
    assert z.requires_grad and w.grad.tolist() == [1.0, 1.0, 1.0]
