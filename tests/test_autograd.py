"""The tape: PyTorch's semantics of backward, grad, leaves, hooks and modes, on each device."""

from __future__ import annotations

import gc
import re
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.autograd.node import saved_of
from gradgpu.ops.registry import OPS, Op


def leaf(values: Any, device: str, dtype: Any = gg.float32) -> Any:
    return gg.tensor(values, dtype=dtype, device=device, requires_grad=True)


def values(t: Any) -> Any:
    return t.detach().cpu().tolist()


def share_memory(a: Any, b: Any) -> bool:
    if a.is_cpu:
        return np.shares_memory(a.detach().numpy(), b.detach().numpy())
    first, second = ((t.data_ptr(), t.data_ptr() + max(t.nbytes, 1)) for t in (a.detach(), b.detach()))
    return first[0] < second[1] and second[0] < first[1]


# ---- the tutorial ----


def test_tutorial(device: str) -> None:
    x = gg.tensor([2.0, 3.0, 4.0], requires_grad=True, device=device)
    y = 3 * x + 2
    y.backward(gg.tensor([1.0, 1.0, 1.0], device=device))
    assert values(x.grad) == [3, 3, 3]

    y = 3 * x + 2
    y.backward(gg.tensor([1.0, 1.0, 1.0], device=device))
    assert values(x.grad) == [6, 6, 6]  # gradients accumulate

    x.grad.zero_()
    assert values(x.grad) == [0, 0, 0]
    y = 3 * x + 2
    y.backward(gg.tensor([1.0, 2.0, 0.5], device=device))
    assert values(x.grad) == [3, 6, 1.5]

    cut = (3 * x).detach()
    assert not cut.requires_grad and cut.grad_fn is None
    x.grad = None
    (x * cut).sum().backward()
    assert values(x.grad) == values(cut)  # detach cuts: the factor counts as a constant

    z = 3 * x
    assert not z.is_leaf
    assert z.detach_() is z
    assert z.is_leaf and not z.requires_grad and z.grad_fn is None

    with gg.no_grad():
        w = 3 * x + 2
    assert not w.requires_grad and w.grad_fn is None


# ---- leaves and accumulation ----


def test_leaf_rules(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 2
    plain = gg.tensor([1.0], device=device)
    assert x.is_leaf and x.requires_grad and x.grad_fn is None and x.grad is None
    assert not y.is_leaf and y.requires_grad and y.grad_fn is not None
    assert plain.is_leaf and not plain.requires_grad
    assert not (plain * 2).requires_grad and (plain * 2).is_leaf
    assert (plain + x).requires_grad
    assert plain.requires_grad_() is plain and plain.requires_grad
    plain.requires_grad = False
    assert not plain.requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    with pytest.raises(RuntimeError, match="floating point"):
        gg.tensor([1, 2], device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="floating point"):
        gg.tensor([True], device=device).requires_grad_()
    assert not (x > 1).requires_grad
    assert not x.argmax().requires_grad
    assert not x.long().requires_grad


def test_only_leaves_get_grad(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 2
    y.sum().backward()
    assert values(x.grad) == [2, 2]
    with pytest.warns(UserWarning, match="not a leaf"):
        assert y.grad is None


def test_retain_grad(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad and not x.retains_grad
    (y * y).sum().backward()
    assert values(y.grad) == [4, 8]
    assert values(x.grad) == [8, 16]
    (x * 2).sum().backward()
    assert values(y.grad) == [4, 8]
    x.retain_grad()  # of a leaf: nothing to do
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        gg.tensor([1.0], device=device).retain_grad()


def test_retain_grad_sees_what_hooks_changed(device: str) -> None:
    x = leaf([1.0], device)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert values(y.grad) == [10]
    assert values(x.grad) == [20]


def test_one_tensor_used_many_times(device: str) -> None:
    x = leaf([3.0], device)
    (x * x + x + x * 2).backward(gg.tensor([1.0], device=device))
    assert values(x.grad) == [9]


def test_diamonds_are_walked_once(device: str) -> None:
    x = leaf([1.0], device, gg.float64)
    y = x
    for _ in range(60):
        y = y + y  # 2^60 paths
    y.backward(gg.ones(1, dtype=gg.float64, device=device))
    assert values(x.grad) == [2.0**60]


def test_grad_accumulates_in_place(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first
    assert values(first) == [5, 5]


def test_grad_of_several_outputs(device: str) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    a, b = x.unbind(0)
    (a * 2).sum().backward(retain_graph=True)
    assert values(x.grad) == [[2, 2], [0, 0]]
    (a * b).sum().backward()
    assert values(x.grad) == [[5, 6], [1, 2]]


def test_second_derivative_through_several_outputs(device: str) -> None:
    x = leaf([[1.0, -2.0], [3.0, 4.0]], device, gg.float64)
    mean_and_var = gg.var_mean(x, dim=1)
    first = gg.autograd.grad((mean_and_var[0] * mean_and_var[1]).sum(), x, create_graph=True)[0]
    gg.autograd.grad((first * first).sum(), x)
    gg.autograd.gradgradcheck(lambda t: gg.var_mean(t, dim=1), x.detach().cpu().requires_grad_())


def test_assigning_grad(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    x.grad = gg.tensor([5.0, 5.0], device=device)
    (x * 2).sum().backward()
    assert values(x.grad) == [7, 7]
    with pytest.raises(RuntimeError, match="shape"):
        x.grad = gg.tensor([1.0], device=device)
    with pytest.raises(RuntimeError, match="float64"):
        x.grad = gg.tensor([1.0, 1.0], dtype=gg.float64, device=device)
    with pytest.raises(TypeError, match="Tensor or None"):
        x.grad = 1.0
    with pytest.raises(RuntimeError, match="own grad"):
        x.grad = x
    x.grad = None
    assert x.grad is None


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: (a + b).reshape(4).reshape(2, 2),
        lambda a, b: a + b.t().t(),
        lambda a, b: gg.cat([a, b]),
        lambda a, b: gg.stack([a, b]),
        lambda a, b: (a + b).sum(),
        lambda a, b: (a + b).sum(0) + a.unsqueeze(0).expand(3, 2, 2).sum((0, 1)),
        lambda a, b: a.clone() + b.clone().view(2, 2),
        lambda a, b: gg.where(gg.ones(2, 2, dtype=gg.bool, device=a.device), a, b),
    ],
)
def test_grads_never_share_memory(function: Any, device: str) -> None:
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]], device), leaf([[5.0, 6.0], [7.0, 8.0]], device)
    y = function(a, b)
    seed = gg.ones(y.shape, device=device)
    y.backward(seed)
    for p, q in ((a.grad, b.grad), (a.grad, seed), (b.grad, seed), (a.grad, a), (b.grad, b)):
        assert not share_memory(p, q)
    before = values(b.grad)
    a.grad.add_(1)
    assert values(b.grad) == before and set(np.ravel(values(seed))) == {1.0}
    a.grad.mul_(2)  # writable, and not an expanded view of one number
    assert a.grad.is_contiguous()


def test_grad_of_a_leaf_root_is_not_the_seed(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    seed = gg.tensor([1.0, 1.0], device=device)
    x.backward(seed)
    assert not share_memory(x.grad, seed)
    seed.zero_()
    assert values(x.grad) == [1, 1]


def test_grads_of_autograd_grad_are_those_of_backward(device: str) -> None:
    a, b = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    g = gg.autograd.grad((a * b).sum() + a.sum(), (a, b))
    assert values(g[0]) == [4, 5] and values(g[1]) == [1, 2]
    assert a.grad is None and b.grad is None
    assert not g[0].requires_grad


# ---- errors ----


def test_backward_needs_a_gradient_for_many_elements(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="shape"):
        (x * 2).backward(gg.ones(3, device=device))


def test_backward_of_what_does_not_require_grad(device: str) -> None:
    x = gg.tensor([1.0], device=device)
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        (x * 2).sum().backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        gg.autograd.grad((x * 2).sum(), x)


def test_backward_twice(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert values(x.grad) == [4, 8]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()
    assert values(x.grad) == [4, 8]


def test_nothing_saved_nothing_freed(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = (x + 1).sum()
    y.backward()
    y.backward()  # as in PyTorch: a graph that saved nothing may be walked again
    assert values(x.grad) == [2, 2]


def test_retain_graph_is_per_pass(device: str) -> None:
    x = leaf([2.0], device)
    shared = x * x
    a, b = (shared * 3).sum(), (shared * 4).sum()
    a.backward(retain_graph=True)
    b.backward()
    assert values(x.grad) == [28]
    with pytest.raises(RuntimeError, match="second time"):
        a.backward()


def test_grad_of_what_was_not_used(device: str) -> None:
    x, unused = leaf([1.0], device), leaf([1.0], device)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        gg.autograd.grad((x * 2).sum(), [x, unused])
    g = gg.autograd.grad((x * 2).sum(), [x, unused], allow_unused=True)
    assert values(g[0]) == [2] and g[1] is None
    g = gg.autograd.grad((x * 2).sum(), [x, unused], materialize_grads=True)
    assert values(g[1]) == [0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        gg.autograd.grad((x * 2).sum(), [gg.tensor([1.0], device=device)])


# ---- grad and backward, the arguments ----


def test_grad_with_respect_to_inner_tensors(device: str) -> None:
    x = leaf([2.0], device)
    y = x * 3
    z = y * y
    gy, gz, gx = gg.autograd.grad(z.sum(), (y, z, x))
    assert values(gy) == [12] and values(gz) == [1] and values(gx) == [36]


def test_grad_of_a_tensor_with_respect_to_itself(device: str) -> None:
    x = leaf([2.0], device)
    y = x * 3
    assert values(gg.autograd.grad(y, y, gg.ones(1, device=device))[0]) == [1]
    assert values(gg.autograd.grad(x, x, gg.full((1,), 5.0, device=device))[0]) == [5]


def test_grad_of_many_outputs_sums(device: str) -> None:
    x = leaf([2.0], device)
    outputs = [(x * 3).sum(), x * x]
    g = gg.autograd.grad(outputs, x, [None, gg.tensor([10.0], device=device)])
    assert values(g[0]) == [43]


def test_backward_of_many_tensors(device: str) -> None:
    x = leaf([2.0], device)
    gg.autograd.backward([(x * 3).sum(), (x * x).sum()])
    assert values(x.grad) == [7]


def test_backward_into_given_inputs(device: str) -> None:
    a, b = leaf([2.0], device), leaf([3.0], device)
    (a * b).sum().backward(inputs=[a])
    assert values(a.grad) == [3] and b.grad is None
    with pytest.raises(RuntimeError, match="empty"):
        (a * b).sum().backward(inputs=[])


def test_higher_order(device: str) -> None:
    x = leaf([2.0, -1.0], device, gg.float64)
    y = (x**4).sum()
    expected = [
        4 * np.array([2.0, -1.0]) ** 3,
        12 * np.array([2.0, -1.0]) ** 2,
        24 * np.array([2.0, -1.0]),
        [24, 24],
    ]
    for derivative in expected:
        (g,) = gg.autograd.grad(y, x, create_graph=True)
        np.testing.assert_allclose(values(g), derivative)
        y = g.sum()


def test_create_graph_in_backward(device: str) -> None:
    x = leaf([3.0], device)
    (x * x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    assert values(x.grad) == [27]
    g = x.grad
    x.grad = None
    g.sum().backward()
    assert values(x.grad) == [18]
    x.grad = None


def test_gradient_penalty_reaches_the_weights(device: str) -> None:
    w, x = leaf([[1.0, 2.0], [3.0, -1.0]], device, gg.float64), leaf([[0.5, -0.3]], device, gg.float64)
    (g,) = gg.autograd.grad(gg.tanh(x @ w).sum(), x, create_graph=True)
    (g * g).sum().backward()
    eps = 1e-6
    base = w.detach().cpu().numpy()
    point = x.detach().cpu().numpy()

    def penalty(weight: np.ndarray) -> float:
        return float((((1 - np.tanh(point @ weight) ** 2) @ weight.T) ** 2).sum())

    for index in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[index] = eps
        numerical = (penalty(base + step) - penalty(base - step)) / (2 * eps)
        assert abs(values(w.grad)[index[0]][index[1]] - numerical) < 1e-6


# ---- modes ----


def test_no_grad_and_enable_grad(device: str) -> None:
    x = leaf([1.0], device)
    assert gg.is_grad_enabled()
    with gg.no_grad():
        assert not gg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with gg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        made = gg.tensor([1.0], requires_grad=True, device=device)
        assert made.requires_grad
    assert gg.is_grad_enabled() and (x * 2).requires_grad


def test_modes_as_decorators(device: str) -> None:
    x = leaf([1.0], device)

    @gg.no_grad()
    def frozen() -> Any:
        """A doc."""
        return x * 2

    @gg.no_grad
    def bare() -> Any:
        return x * 2

    @gg.enable_grad()
    def recorded() -> Any:
        return x * 2

    assert frozen.__name__ == "frozen" and frozen.__doc__ == "A doc."
    assert not frozen().requires_grad and not bare().requires_grad and gg.is_grad_enabled()
    with gg.no_grad():
        assert recorded().requires_grad

    @gg.set_grad_enabled(False)
    def off() -> Any:
        return x * 2

    assert gg.is_grad_enabled()
    assert not off().requires_grad and gg.is_grad_enabled()


def test_no_grad_generator_leaves_its_consumer_alone(device: str) -> None:
    x = leaf([1.0], device)

    @gg.no_grad()
    def generate() -> Iterator[Any]:
        for _ in range(3):
            yield x * 2

    for y in generate():
        assert not y.requires_grad
        assert (x * 2).requires_grad


def test_generators_under_a_mode_may_be_thrown_into_and_closed(device: str) -> None:
    x = leaf([1.0], device)
    log = []

    @gg.no_grad()
    def generate() -> Iterator[Any]:
        try:
            while True:
                try:
                    sent = yield (x * 2).requires_grad
                    log.append(sent)
                except KeyError:
                    log.append(gg.is_grad_enabled())
        finally:
            log.append(("closed", gg.is_grad_enabled()))

    running = generate()
    assert next(running) is False and running.send("sent") is False
    assert running.throw(KeyError()) is False and gg.is_grad_enabled()
    running.close()
    assert log == ["sent", False, ("closed", False)] and gg.is_grad_enabled()
    running = generate()
    next(running)
    with pytest.raises(ValueError, match="not handled"):
        running.throw(ValueError("not handled"))
    assert gg.is_grad_enabled()


def test_modes_do_not_decorate_classes() -> None:
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):

        @gg.no_grad()
        class Made:
            def __init__(self) -> None:
                self.recorded = gg.is_grad_enabled()

    assert Made().recorded is False


def test_the_multithreading_flag_is_remembered() -> None:
    from gradgpu.autograd.grad_mode import no_grad

    assert no_grad is gg.no_grad and gg.autograd.is_multithreading_enabled()
    with gg.autograd.set_multithreading_enabled(False):
        assert not gg.autograd.is_multithreading_enabled()
    gg.autograd.set_multithreading_enabled(False)
    assert not gg.autograd.is_multithreading_enabled()
    gg.autograd.set_multithreading_enabled(True)


def test_modes_survive_exceptions() -> None:
    with pytest.raises(KeyError), gg.no_grad():
        raise KeyError
    assert gg.is_grad_enabled()


def test_set_grad_enabled(device: str) -> None:
    x = leaf([1.0], device)
    try:
        gg.set_grad_enabled(False)
        assert not (x * 2).requires_grad
    finally:
        gg.set_grad_enabled(True)
    with gg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
        with gg.set_grad_enabled(True):
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_inference_mode(device: str) -> None:
    x = leaf([1.0], device)
    with gg.inference_mode():
        assert gg.is_inference_mode_enabled() and not gg.is_grad_enabled()
        assert not (x * 2).requires_grad
    assert not gg.is_inference_mode_enabled()
    with gg.inference_mode(False):
        assert (x * 2).requires_grad

    @gg.inference_mode()
    def predict() -> Any:
        return x * 2

    assert not predict().requires_grad and gg.is_grad_enabled()


def test_modes_are_thread_local(device: str) -> None:
    seen = {}

    def look() -> None:
        seen["inside"] = gg.is_grad_enabled()
        gg.set_grad_enabled(False)

    with gg.no_grad():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == {"inside": True}
    assert gg.is_grad_enabled()


def test_backward_does_not_record(device: str) -> None:
    x = leaf([1.0], device)
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append((gg.is_grad_enabled(), g.requires_grad)))
    y.sum().backward()
    y = x * 2
    y.register_hook(lambda g: seen.append((gg.is_grad_enabled(), g.requires_grad)))
    gg.autograd.grad((y * y).sum(), x, create_graph=True)
    assert seen == [(False, False), (True, True)]


# ---- hooks ----


def test_tensor_hooks(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    order = []
    y = x * 2
    y.register_hook(lambda g: order.append(("first", values(g))))
    second = y.register_hook(lambda g: g * 3)
    y.register_hook(lambda g: order.append(("third", values(g))))
    x.register_hook(lambda g: -g)
    y.sum().backward()
    assert order == [("first", [1, 1]), ("third", [3, 3])]
    assert values(x.grad) == [-6, -6]
    second.remove()
    second.remove()
    order.clear()
    x.grad = None
    y = x * 2
    y.sum().backward()
    assert order == [] and values(x.grad) == [-2, -2]
    with pytest.raises(RuntimeError, match="doesn't require grad"):
        gg.tensor([1.0], device=device).register_hook(print)
    x.register_hook(lambda g: 1.0)
    with pytest.raises(RuntimeError, match="hook"):
        (x * 2).sum().backward()


def test_a_leaf_hook_runs_once_with_the_sum(device: str) -> None:
    x = leaf([1.0], device)
    seen = []
    x.register_hook(lambda g: seen.append(values(g)))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5]]


def test_hooked_gradients_stay_as_they_were(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    kept = []
    x.register_hook(kept.append)
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert [values(g) for g in kept] == [[2, 2], [2, 2]]
    assert values(x.grad) == [4, 4]


def test_post_accumulate_grad_hook(device: str) -> None:
    x = leaf([1.0], device)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, values(t.grad))))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [(True, [2]), (True, [4])]
    handle.remove()
    (x * 2).sum().backward()
    assert len(seen) == 2
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_a_post_accumulate_hook_may_drop_the_grad(device: str) -> None:
    x = leaf([1.0], device)

    def step(t: Any) -> None:
        with gg.no_grad():
            t.sub_(t.grad, alpha=0.5)
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 2).sum().backward()
    assert x.grad is None and values(x) == [0]


def test_node_hooks(device: str) -> None:
    x = leaf([2.0], device)
    y = x * x
    seen = []
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 10,))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append((values(inputs[0]), values(outputs[0]))))
    y.sum().backward()
    assert values(x.grad) == [40]
    assert seen == [([20], [10])]


# ---- the graph ----


def test_graph_can_be_walked(device: str) -> None:
    x = leaf([2.0], device)
    y = (x * 3).exp()
    node = y.grad_fn
    assert "exp" in node.name().lower() and node.name().endswith("Backward0")
    ((inner, number),) = [pair for pair in node.next_functions if pair[0] is not None]
    assert number == 0 and "mul" in inner.name().lower()
    ends = [fn for fn, _ in inner.next_functions if fn is not None]
    assert ends[0].name() == "AccumulateGrad" and ends[0].variable is x
    assert "ExpBackward" in repr(node) and "grad_fn=<ExpBackward0>" in repr(y)


def test_a_long_chain(device: str) -> None:
    length = 100_000 if device == "cpu" else 3_000
    x = leaf(1.0, device)
    y = x
    for _ in range(length):
        y = y + 1.0
    y.backward()
    assert values(x.grad) == 1
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None
    # and one that is freed without backward, its values saved on the way
    y = x
    for _ in range(length):
        y = y * 1.0
    z = y.sin()
    del y
    del z


def test_no_reference_cycles(device: str) -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
        refs = []
        y = x
        for function in (
            lambda t: t * 2,
            lambda t: t.exp(),
            lambda t: t.t(),
            lambda t: t[0],
            lambda t: t.reshape(2, 1),
            lambda t: t.softmax(0),
            lambda t: t.unbind(0)[0],
            lambda t: t.sum(),
        ):
            y = function(y)
            refs += [weakref.ref(y), weakref.ref(y.grad_fn)]
        y.retain_grad()
        y.register_hook(lambda g: g * 2)
        y.backward(retain_graph=True)
        (g,) = gg.autograd.grad(y, x, create_graph=True)
        refs += [weakref.ref(g), weakref.ref(g.grad_fn)]
        with pytest.raises(RuntimeError):
            y.backward(gg.ones(7, device=device))
        del y, g, function
        alive = [r() for r in refs if r() is not None]
        assert alive == []
        leaf_ref = weakref.ref(x)
        del x
        assert leaf_ref() is None
    finally:
        gc.enable()


def test_backward_frees_as_it_passes(device: str) -> None:
    """What a node saved is gone when the node has run, not when the graph dies."""
    x = leaf([1.0, 2.0], device)
    inner = x.exp()
    saved = weakref.ref(inner)
    y = inner.sin().sum()
    del inner
    assert saved() is None  # the node keeps the array, not the Tensor
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


@pytest.fixture
def counted() -> Iterator[tuple[Op, list[str]]]:
    """An op a*b + c whose gradient rules note that they ran."""
    calls: list[str] = []

    def rule(name: str, function: Any) -> Any:
        def run(g: Any, a: Any, b: Any) -> Any:
            calls.append(name)
            return function(g, a, b)

        return run

    op = Op(
        "counted_for_a_test",
        cpu=lambda a, b, c: a * b + c,
        cuda=lambda a, b, c: gg.mul(gg.tensor(a.get(), device="cuda"), gg.tensor(b.get(), device="cuda"))._a,
        grad={
            "a": rule("a", lambda g, a, b: g * b),
            "b": rule("b", lambda g, a, b: g * a),
            "c": rule("c", lambda g, a, b: g),
        },
    )
    yield op, calls
    del OPS["counted_for_a_test"]


def test_nothing_is_computed_that_nobody_asked_for(counted: tuple[Op, list[str]]) -> None:
    op, calls = counted
    a, b, c = (leaf([float(v)], "cpu") for v in (2, 3, 4))
    plain = gg.tensor([3.0])
    op(a, plain, plain).sum().backward()
    assert calls == ["a"]
    calls.clear()

    y = op(a, b, c).sum()
    gg.autograd.grad(y, b, retain_graph=True)
    assert calls == ["b"]
    calls.clear()
    y.backward(inputs=[c], retain_graph=True)
    assert calls == ["c"] and a.grad is not None and b.grad is None
    calls.clear()

    # A branch that leads to nothing wanted is not walked.
    z = op(a, plain, plain) * op(plain, b, plain)
    gg.autograd.grad(z.sum(), a)
    assert calls == ["a"]
    calls.clear()

    # A branch whose gradient never arrives is not walked.
    y = op(op(a, b, c), b, c)
    y.detach()
    assert calls == []
    with gg.no_grad():
        op(a, b, c)
    assert op(plain, plain, plain).grad_fn is None


def test_only_what_rules_ask_for_is_saved() -> None:
    x, w = leaf([1.0, 2.0], "cpu"), gg.tensor([3.0, 4.0])
    big = x * w  # the gradient of x needs w alone
    held = [v for v in saved_of(big.grad_fn) if isinstance(v, np.ndarray)]
    assert len(held) == 1 and held[0] is w.numpy()
    assert not any(isinstance(v, np.ndarray) for v in saved_of((x + w).grad_fn))


def test_saved_arrays_die_with_backward() -> None:
    x = leaf(np.ones(1000, np.float32), "cpu")
    y = x * 2
    array = weakref.ref(y._a)
    z = (y * y).sum()
    del y
    assert array() is not None
    z.backward()
    assert array() is None


# ---- detach ----


def test_detach_shares_memory_and_version(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 1
    d = y.detach()
    assert share_memory(d, y) and not d.requires_grad and d.is_leaf
    z = y.exp().sum()
    w = (y * y).sum()
    d.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w.backward()
    z.backward()  # exp saved its result, which did not change
    assert values(y) == [0, 0]


def test_data_shares_memory_not_version(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = (x * x).sum()
    x.data.mul_(2)
    assert values(x) == [2, 4]
    y.backward()
    assert values(x.grad) == [4, 8]


# ---- threads ----


def test_backward_in_many_threads_loses_nothing(device: str) -> None:
    threads, times = 4, 50 if device == "cpu" else 10
    x = leaf([1.0, 2.0, 3.0], device)

    def work() -> None:
        for _ in range(times):
            (x * 2).sum().backward()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert values(x.grad) == [2.0 * threads * times] * 3


def test_backward_inside_backward(device: str) -> None:
    x, w = leaf([1.0], device), leaf([2.0], device)

    def hook(g: Any) -> Any:
        with gg.enable_grad():
            (w * w).sum().backward()
        return g

    y = x * 3
    y.register_hook(hook)
    y.sum().backward()
    assert values(x.grad) == [3] and values(w.grad) == [4]


def test_an_error_in_a_hook_leaves_the_engine_sound(device: str) -> None:
    x = leaf([1.0], device)
    y = x * 3

    def fail(g: Any) -> None:
        raise ValueError("from the hook")

    y.register_hook(fail)
    with pytest.raises(ValueError, match="from the hook"):
        y.sum().backward()
    assert gg.is_grad_enabled()
    (x * 2).sum().backward()
    assert values(x.grad) == [2]


# ---- anomaly mode ----


def test_anomaly_mode_shows_where(device: str) -> None:
    x = leaf([0.0], device)
    with gg.autograd.detect_anomaly():
        y = x.sqrt() * 0  # 0 · inf on the way back
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always", UserWarning)
            with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values in its 0th output"):
                y.sum().backward()
    assert re.search(
        r"(?s)Error detected in SqrtBackward0.*test_autograd.*x\.sqrt\(\) \* 0", str(seen[-1].message)
    )
    x.grad = None
    (x.sqrt() * 0).sum().backward()
    assert np.isnan(values(x.grad)[0])


def warned(call: Any) -> list[str]:
    """The warnings of a call that raises a RuntimeError."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        with pytest.raises(RuntimeError):
            call()
    return [str(w.message) for w in seen if w.category is UserWarning]


def test_anomaly_mode_shows_where_any_error_comes_from(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    with gg.autograd.set_detect_anomaly(True, check_nan=False):
        y = x * 1
        z = y.exp()
        z.add_(1)
        (text,) = warned(z.sum().backward)
        assert "Error detected in ExpBackward0" in text and "z = y.exp()" in text
        (x.sqrt() * float("nan")).sum().backward()  # NaN is not looked for
    (text,) = warned(lambda: gg.autograd.detect_anomaly().__enter__() or z.sum().backward())
    gg.autograd.set_detect_anomaly(False)
    assert "z = y.exp()" in text  # the node was made in anomaly mode
    w = x.exp()
    w.add_(1)
    with gg.autograd.detect_anomaly():
        (text,) = warned(w.sum().backward)
    assert "No forward pass information available" in text


def test_anomaly_mode_shows_what_induced_a_second_derivative(device: str) -> None:
    x = leaf([0.0], device)
    with gg.autograd.detect_anomaly():
        y = x**2.5  # its second derivative has a derivative of 0^-0.5
        (g,) = gg.autograd.grad(y.sum(), x, create_graph=True)
        (h,) = gg.autograd.grad(g.sum(), x, create_graph=True)
        texts = warned(lambda: gg.autograd.grad((h * gg.zeros_like(h)).sum(), x))
    assert texts[0].startswith("Error detected in ")
    assert any(
        "Previous calculation was induced by PowBackward0" in t and "y = x**2.5" in t for t in texts[1:]
    )


def test_deep_recursion_of_passes(device: str) -> None:
    class Deep(gg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.depth = int(x.item())
            return x.detach() - 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            if ctx.depth > 0:
                with gg.enable_grad():
                    y = leaf(float(ctx.depth - 1), device)
                    Deep.apply(y).sum().backward()
            return g

    x = leaf(300.0, device)
    Deep.apply(x).backward()
    assert x.grad.item() == 1


# ---- devices ----


@pytest.mark.cuda
def test_gradients_travel_back() -> None:
    x = leaf([1.0, 2.0], "cpu")
    y = x.to("cuda")
    assert y.is_cuda and not y.is_leaf
    w = leaf([3.0, 4.0], "cuda")
    loss = (y * w).sum()
    loss.cpu().backward()
    assert x.grad.is_cpu and values(x.grad) == [3, 4]
    assert w.grad.is_cuda and values(w.grad) == [1, 2]
    z = (x.cuda() * 2).cpu()
    z.sum().backward()
    assert values(x.grad) == [5, 6]
    with pytest.raises(RuntimeError, match="same device"):
        x * w


def test_dtype_moves_carry_gradients(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x.double() * 3
    assert y.dtype is gg.float64
    y.sum().backward()
    assert x.grad.dtype is gg.float32 and values(x.grad) == [3, 3]
    half = x.half()
    (half * half).sum().backward()
    assert x.grad.dtype is gg.float32 and values(x.grad) == [5, 7]


def test_grad_of_the_values_of_a_dict_and_of_a_dict(device: str) -> None:
    weights = {
        "w": gg.tensor(3.0, device=device, requires_grad=True),
        "b": gg.tensor(1.0, device=device, requires_grad=True),
    }
    y = weights["w"] ** 2 + weights["b"]
    by_position = gg.autograd.grad(y, weights.values(), retain_graph=True)
    assert [g.item() for g in by_position] == [6, 1]
    assert [g.item() for g in gg.autograd.grad(y, (p for p in weights.values()), retain_graph=True)] == [6, 1]
    by_name = gg.autograd.grad(y, weights)
    assert {name: g.item() for name, g in by_name.items()} == {"w": 6, "b": 1}
    with pytest.raises(TypeError, match="must be a dict, not OrderedDict"):
        gg.autograd.grad(y, OrderedDict(weights))
    with pytest.raises(RuntimeError, match="cannot be empty"):
        gg.autograd.grad(y, {})


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_leaves_are_contiguous(device: str, create_graph: bool) -> None:
    w = gg.rand(3, 4, 5, device=device, requires_grad=True)
    for loss in (
        (w.permute(2, 0, 1) ** 2).sum(),
        (w.transpose(0, 1).contiguous() @ gg.rand(5, 2, device=device)).sum(),
        (gg.rand(2, 15, device=device) @ w.transpose(1, 2).reshape(15, 4)).sum(),
        w.sum(),
    ):
        w.grad = None
        loss.backward(create_graph=create_graph)
        assert w.grad.is_contiguous() and w.grad.view(-1).shape == (60,)
        w.grad.detach().add_(1)  # its memory is its own
    w.grad = None


def _targets(x: Any) -> Any:
    return gg.tensor([3, 5], device=x.device)


PIECES = {
    "relu": gg.relu,
    "leaky_relu": gg.nn.functional.leaky_relu,
    "threshold": lambda x: gg.nn.functional.threshold(x, 0.1, 2.0),
    "hardtanh": gg.nn.functional.hardtanh,
    "relu6": gg.nn.functional.relu6,
    "prelu": lambda x: gg.nn.functional.prelu(x, x.new_full((1,), 0.25)),
    "hardshrink": gg.nn.functional.hardshrink,
    "softshrink": gg.nn.functional.softshrink,
    "nll_loss": lambda x: gg.nn.functional.nll_loss(x.reshape(2, 16), _targets(x)),
    "nll_loss of images": lambda x: gg.nn.functional.nll_loss(x, _targets(x).new_zeros((1, 4, 4))),
    "max_pool2d": lambda x: gg.nn.functional.max_pool2d(x, 2),
    "max_pool1d": lambda x: gg.nn.functional.max_pool1d(x[0], 2),
    "adaptive_max_pool2d": lambda x: gg.nn.functional.adaptive_max_pool2d(x, 2),
    "avg_pool2d": lambda x: gg.nn.functional.avg_pool2d(x, 2),
    "reflect": lambda x: gg.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"),
}


@pytest.mark.parametrize("name", PIECES)
def test_second_derivatives_of_linear_pieces_are_zeros(name: str, device: str) -> None:
    # A penalty on the gradient of a net of such layers asks for them; PyTorch, too, has zeros there and no error.
    x = gg.randn(1, 2, 4, 4, device=device).requires_grad_()
    w = gg.tensor(3.0, device=device, requires_grad=True)
    (g,) = gg.autograd.grad((PIECES[name](x) * w).sum(), x, create_graph=True)
    zeros, of_w = gg.autograd.grad(g.sum(), (x, w))
    assert zeros.shape == x.shape and not zeros.any()
    gg.testing.assert_close(of_w * w, g.sum())
    (alone,) = gg.autograd.grad(PIECES[name](x).sum(), x, create_graph=True)
    assert alone.requires_grad and not gg.autograd.grad(alone.sum(), x)[0].any()


# ---- weights that are used again and again (autograd/products.py) ----
def _uses(rows: int, device: str) -> tuple[list[Any], Any]:
    """Inputs of products with one weight of 2¹⁶ elements, and the sum of their outputs' gradients times the inputs."""
    rng = np.random.default_rng(rows)
    inputs = [rng.standard_normal((rows, 256)).astype(np.float32) for _ in range(min(40, 600 // rows + 3))]
    expected = sum(np.outer(np.full(256, k + 1.0), x.sum(0)) for k, x in enumerate(inputs))
    return [gg.tensor(x, device=device) for x in inputs], expected


@pytest.mark.parametrize("rows", [1, 16, 127, 200])
def test_gradient_of_a_weight_with_many_uses(device: str, rows: int) -> None:
    inputs, expected = _uses(rows, device)
    w = gg.zeros(256, 256, device=device, requires_grad=True)
    for _ in range(2):  # the second pass adds to .grad
        sum((k + 1) * gg.nn.functional.linear(x, w).sum() for k, x in enumerate(inputs)).backward()
    np.testing.assert_allclose(w.grad.cpu(), 2 * expected, rtol=1e-3, atol=1e-2 * rows)
    v = gg.zeros(256, 256, device=device, requires_grad=True)
    total = sum((k + 1) * (x @ v).sum() for k, x in enumerate(inputs)) + v.sum()
    (grad,) = gg.autograd.grad(total, v)
    np.testing.assert_allclose(grad.cpu(), expected.T + 1, rtol=1e-3, atol=1e-2 * rows)


def test_many_uses_do_not_look_at_inputs_later(device: str) -> None:
    # What a hook does to an input after its product's turn does not reach the weight's gradient.
    inputs, expected = _uses(4, device)
    w = gg.zeros(256, 256, device=device, requires_grad=True)
    start = gg.ones(4, 256, device=device, requires_grad=True)
    first = start * 1

    def spoil(g: Any) -> None:
        for x in inputs:
            x.zero_()

    first.register_hook(spoil)
    total = (gg.nn.functional.linear(first, w)).sum() + sum(
        (k + 1) * gg.nn.functional.linear(x, w).sum() for k, x in enumerate(inputs)
    )
    total.backward()
    np.testing.assert_allclose(w.grad.cpu(), expected + 4, rtol=1e-3, atol=4e-2)


def test_many_uses_before_hooks(device: str) -> None:
    inputs, expected = _uses(2, device)
    w = gg.zeros(256, 256, device=device, requires_grad=True)
    seen: list[Any] = []
    w.register_hook(lambda g: seen.append(values(g.sum())))
    w.register_post_accumulate_grad_hook(lambda p: seen.append(values(p.grad.sum())))
    outputs = [gg.nn.functional.linear(x, w) for x in inputs]
    outputs[3].grad_fn.register_hook(lambda grads, _: seen.append(tuple(grads[1].shape)))
    sum((k + 1) * y.sum() for k, y in enumerate(outputs)).backward()
    assert seen[0] == (256, 256)
    np.testing.assert_allclose(seen[1:], [expected.sum()] * 2, rtol=1e-2)
    np.testing.assert_allclose(w.grad.cpu(), expected, rtol=1e-3, atol=2e-2)


def test_many_uses_of_an_embedding_as_output_weight(device: str) -> None:
    table = gg.randn(256, 256, device=device).requires_grad_()
    at = gg.tensor([3, 1, 3], device=device)
    rows = gg.nn.functional.embedding(at, table)
    logits = [gg.nn.functional.linear(rows * k, table) for k in range(1, 4)]
    sum(y.sum() for y in logits).backward()
    known = table.detach().cpu().numpy().astype(np.float64)
    expected = 6 * np.outer(np.ones(256), known[[3, 1, 3]].sum(0))
    np.add.at(expected, [3, 1, 3], 6 * known.sum(0))
    np.testing.assert_allclose(table.grad.cpu(), expected, rtol=1e-3, atol=1e-2)
