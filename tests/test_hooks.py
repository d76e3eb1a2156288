"""Hooks: on tensors, on nodes, on leaves, on several gradients; edges of the graph; hooks on what is saved."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.autograd import Function, graph


def leaf(values: Any, device: str) -> Any:
    return gg.tensor(values, device=device, requires_grad=True)


def accumulator(x: Any) -> Any:
    """The node at which the graph ends in the leaf x."""
    return x.view_as(x).grad_fn.next_functions[0][0]


# ---- the order of hooks ----


def test_hooks_of_a_tensor_come_before_those_of_its_node(device: str) -> None:
    log = []
    x = leaf([1.0, 2.0], device)
    y = x * 3
    y.grad_fn.register_prehook(lambda gs: log.append(("node", gs[0].tolist())))
    y.register_hook(lambda g: log.append(("tensor", g.tolist())) or g * 2)
    y.grad_fn.register_hook(lambda ins, outs: log.append(("after", ins[0].tolist(), outs[0].tolist())))
    y.sum().backward()
    assert log == [("tensor", [1.0, 1.0]), ("node", [2.0, 2.0]), ("after", [6.0, 6.0], [2.0, 2.0])]
    assert x.grad.tolist() == [6.0, 6.0]


def test_retained_grads_see_all_tensor_hooks_and_no_node_hooks(device: str) -> None:
    x = leaf([1.0], device)
    y = x.clone()
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    y.grad_fn.register_prehook(lambda gs: (gs[0] * 5,))
    y.register_hook(lambda g: g * 3)
    y.sum().backward()
    assert y.grad.tolist() == [6.0] and x.grad.tolist() == [30.0]


def test_hooks_of_a_leaf_in_order(device: str) -> None:
    x = leaf([1.0, 1.0], device)
    log = []
    end = accumulator(x)
    end.register_hook(lambda ins, outs: log.append(("node after", ins, x.grad.tolist())))
    x.register_post_accumulate_grad_hook(lambda t: log.append(("accumulated", t.grad.tolist())))
    end.register_prehook(lambda gs: log.append("node") or (gs[0] * 2,))
    x.register_hook(lambda g: log.append("tensor") or g * 10)
    x.sum().backward()
    assert log == ["tensor", "node", ("accumulated", [20.0, 20.0]), ("node after", (), [20.0, 20.0])]


def test_the_end_node_of_a_leaf_is_one_object(device: str) -> None:
    x = leaf([1.0], device)
    end = accumulator(x)
    assert end is accumulator(x) and end.variable is x and end.name() == "AccumulateGrad"
    assert isinstance(end, graph.Node) and end.next_functions == ()
    count = []
    handle = end.register_prehook(lambda gs: count.append(1))
    del end
    x.sum().backward()  # the hook is the leaf's
    handle.remove()
    x.sum().backward()
    assert count == [1]


def test_grad_runs_tensor_hooks_but_not_those_of_nodes_it_ends_at(device: str) -> None:
    log = []
    x = leaf([1.0], device)
    y = x * 2
    y.register_hook(lambda g: log.append("y"))
    y.grad_fn.register_prehook(lambda gs: log.append("y node"))
    y.grad_fn.register_hook(lambda ins, outs: log.append("y node after"))
    x.register_hook(lambda g: log.append("x"))
    accumulator(x).register_prehook(lambda gs: log.append("x node"))
    z = (y * 3).sum()
    gg.autograd.grad(z, y, retain_graph=True)
    assert log == ["y"]
    log.clear()
    gg.autograd.grad(z, (x, y), retain_graph=True)
    assert log == ["y", "y node", "y node after", "x"]
    log.clear()
    z.backward(inputs=[y], retain_graph=True)  # … which backward does, as in PyTorch
    assert log == ["y", "y node", "y node after"]
    log.clear()
    z.backward()
    assert log == ["y", "y node", "y node after", "x", "x node"]


def test_hooks_that_return_the_wrong_thing(device: str) -> None:
    x = leaf([1.0], device)
    y = x * 2
    with (
        y.grad_fn.register_prehook(lambda gs: (gs[0], gs[0])),
        pytest.raises(RuntimeError, match="got 2, expected 1"),
    ):
        y.sum().backward(retain_graph=True)
    with y.grad_fn.register_hook(lambda ins, outs: (3, None)), pytest.raises(TypeError, match="got int"):
        y.sum().backward(retain_graph=True)
    with (
        x.register_post_accumulate_grad_hook(lambda t: t),
        pytest.raises(RuntimeError, match="should return None"),
    ):
        y.sum().backward(retain_graph=True)


def test_hooks_of_a_node_with_many_outputs(device: str) -> None:
    seen = []
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    a, b = x.unbind()
    assert a.grad_fn is b.grad_fn

    def hook(gs: Any) -> Any:
        seen.append([g is not None for g in gs])
        return tuple(g if g is None else g * 2 for g in gs)

    a.grad_fn.register_prehook(hook)
    a.sum().backward(retain_graph=True)
    (a.sum() + b.sum()).backward()
    assert seen == [[True, False], [True, True]]
    assert x.grad.tolist() == [[4.0, 4.0], [2.0, 2.0]]


# ---- hooks and changes in place ----


def test_hooks_stay_with_the_value_they_were_registered_on(device: str) -> None:
    x = leaf([1.0], device)
    y = x.clone()
    log = []
    y.register_hook(lambda g: log.append(("before", g.tolist())))
    y.mul_(5)
    y.register_hook(lambda g: log.append(("after", g.tolist())))
    y.sum().backward()
    assert log == [("after", [1.0]), ("before", [5.0])]


def test_retained_grads_move_on(device: str) -> None:
    y = leaf([1.0], device).clone()
    y.retain_grad()
    y.mul_(2)
    assert y.retains_grad
    y.mul_(3)
    y.sum().backward()
    assert y.grad.tolist() == [1.0]


def test_retained_grads_of_a_base_and_its_views_move_on(device: str) -> None:
    base = leaf([1.0, 1.0], device).clone()
    base.retain_grad()
    view, other = base[:1], base[1:]
    view.retain_grad()
    other.retain_grad()
    view.mul_(2)
    (view * 3 + other * 5 + base.sum()).sum().backward()
    assert (base.grad.tolist(), view.grad.tolist(), other.grad.tolist()) == ([4.0, 6.0], [3.0], [5.0])


def test_a_copy_in_place_has_hooks_of_its_own(device: str) -> None:
    x = leaf([1.0], device)
    y = x * 2
    y.retain_grad()
    z = gg.zeros(1, device=device)
    z.copy_(y)
    z.retain_grad()
    log = []
    z.register_hook(lambda g: log.append(g.tolist()))
    (z.sum() + 5 * y.sum()).backward()
    assert (z.grad.tolist(), y.grad.tolist(), log) == ([1.0], [6.0], [[1.0]])
    w = gg.zeros(1, device=device)
    w.copy_(x)
    assert not w.is_leaf and w.requires_grad


def test_one_of_many_outputs_changes_and_keeps_its_grad(device: str) -> None:
    x = leaf([[1.0], [2.0]], device)
    a, b = gg.var_mean(x, dim=0)
    a.retain_grad()
    b.retain_grad()
    a.mul_(2)
    (a * 3 + b).sum().backward()
    assert a.grad.tolist() == [3.0] and b.grad.tolist() == [1.0]


# ---- several gradients ----


def test_a_hook_on_several_gradients(device: str) -> None:
    a, b, c = (leaf([1.0], device) for _ in range(3))
    inner = a * b
    log = []
    handle = graph.register_multi_grad_hook(
        (a, inner, c), lambda gs: log.append([g and g.tolist() for g in gs])
    )
    (inner * 2).sum().backward(retain_graph=True)
    assert log == [[[2.0], [2.0], None]]  # c takes no part
    (inner + c).sum().backward(retain_graph=True)
    assert log[1] == [[1.0], [1.0], [1.0]]
    gg.autograd.grad((inner + c).sum(), b, retain_graph=True)
    assert log[2] == [None, [1.0], None]  # only what leads to b is walked
    handle.remove()
    (inner + c).sum().backward()
    assert len(log) == 3


def test_the_first_of_several_gradients(device: str) -> None:
    a, b = leaf([1.0], device), leaf([1.0], device)
    log = []
    with graph.register_multi_grad_hook([a, b], lambda g: log.append(g.tolist()), mode="any"):
        (a * 2 + b * 3).sum().backward()
        a.sum().backward()
    assert len(log) == 2 and log[1] == [1.0]
    with pytest.raises(ValueError, match="mode"):
        graph.register_multi_grad_hook([a], print, mode="some")
    with pytest.raises(RuntimeError, match="require gradients"):
        graph.register_multi_grad_hook([a, a.detach()], print)


def test_hooks_on_several_gradients_tell_threads_apart(device: str) -> None:
    a, b = leaf([1.0], device), leaf([1.0], device)
    log = []
    with graph.register_multi_grad_hook([a, b], lambda gs: log.append([g.item() for g in gs])):
        y = a + b

        def work(k: int) -> None:
            y.backward(gg.full((1,), float(k), device=device), retain_graph=True)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert sorted(log) == [[k, k] for k in range(8)]


def test_a_post_accumulate_hook_runs_while_backward_goes_on(device: str) -> None:
    """An optimiser step in backward: the gradient of the last layer is used and freed before the first layer has one."""
    log = []
    first, last = leaf([2.0], device), leaf([3.0], device)

    def step(p: Any) -> None:
        log.append((p is last, first.grad is None))
        with gg.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    x = (first * 1.0).exp()
    x.register_hook(lambda g: log.append("inner"))
    for p in (first, last):
        p.register_post_accumulate_grad_hook(step)
    (x * last).sum().backward()
    assert log == [(True, True), "inner", (False, False)]
    assert first.grad is None and last.grad is None
    np.testing.assert_allclose(last.item(), 3 - 0.1 * np.exp(2.0), rtol=1e-5)


# ---- edges ----


def test_gradients_at_edges(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 2
    edge = graph.get_gradient_edge(y)
    assert edge.node is y.grad_fn and edge.output_nr == 0
    y.mul_(3)
    old, new = gg.autograd.grad(y.sum(), (edge, y))
    assert old.tolist() == [3.0, 3.0] and new.tolist() == [1.0, 1.0]
    end = graph.get_gradient_edge(x)
    assert end.node is accumulator(x)
    (y.sum()).backward(inputs=[end])
    assert x.grad.tolist() == [6.0, 6.0]


def test_an_edge_made_by_hand_and_one_of_many_outputs(device: str) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    a, b = x.unbind()
    edge = graph.GradientEdge(b.grad_fn, b.output_nr)
    z = (a * 2 + b * 3).sum()
    (g,) = gg.autograd.grad(z, edge, retain_graph=True)
    assert g.tolist() == [3.0, 3.0]
    (g,) = gg.autograd.grad(edge, x, grad_outputs=gg.ones(2, device=device), retain_graph=True)
    assert g.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    gg.autograd.grad(graph.get_gradient_edge(z), x)
    with pytest.raises(RuntimeError, match="tells no shape"):
        gg.autograd.grad(edge, x)


def test_backward_in_two_steps(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    middle = x.exp()
    edge = graph.get_gradient_edge(middle)
    y = (middle * middle).sum()
    del middle
    (g,) = gg.autograd.grad(y, edge)
    gg.autograd.backward(edge, g)
    expected = x.detach().requires_grad_()
    (expected.exp() ** 2).sum().backward()
    gg.testing.assert_close(x.grad, expected.grad)


def test_bad_edges(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    with pytest.raises(RuntimeError, match="does not require gradients|do not require gradients"):
        graph.get_gradient_edge(x.detach())
    edge = graph.get_gradient_edge(x * 2)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        gg.autograd.grad(edge, x)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        gg.autograd.grad(edge, x, gg.ones(3, device=device))
    with pytest.raises(RuntimeError, match="same dtype"):
        gg.autograd.grad(edge, x, gg.ones(2, device=device, dtype=gg.complex64))
    y = (x * 3).sum()
    assert gg.autograd.grad(y, (x, edge), allow_unused=True)[1] is None
    y = (x * 3).sum()
    with pytest.raises(RuntimeError, match="cannot be used when the given input is a GradientEdge"):
        gg.autograd.grad(y, (x, edge), allow_unused=True, materialize_grads=True)


# ---- nodes and what they save ----


def test_nodes_show_what_they_saved(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * x
    assert y.grad_fn._saved_self is x and y.grad_fn._saved_other is x
    z = y.exp()
    saved = z.grad_fn._saved_result
    assert saved.tolist() == z.tolist() and saved.grad_fn is z.grad_fn
    with pytest.raises(AttributeError, match="it saved"):
        z.grad_fn._saved_self  # noqa: B018  (exp needs its result only)
    z.sum().backward()
    with pytest.raises(RuntimeError, match="already been freed"):
        z.grad_fn._saved_result  # noqa: B018
    a, b = leaf([[1.0]], device), leaf([[2.0]], device)
    assert (a @ b).grad_fn._saved_self is a and gg.nn.functional.linear(a, b).grad_fn._saved_weight is b
    s = gg.softmax(leaf([1.0, 2.0], device), 0)
    assert s.grad_fn._saved_result.tolist() == s.tolist()


def test_hooks_on_one_saved_tensor(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * x
    raw = y.grad_fn._raw_saved_self
    raw.register_hooks(lambda t: t.tolist(), lambda kept: gg.tensor(kept, device=device) * 10)
    with pytest.raises(RuntimeError, match="already been set"):
        raw.register_hooks(lambda t: t, lambda t: t)
    assert y.grad_fn._saved_self.tolist() == [10.0, 20.0]
    y.sum().backward()
    assert x.grad.tolist() == [11.0, 22.0]
    w = leaf([1.0], device)
    z = w.exp()
    with gg.no_grad():
        z.add_(1)
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
        z.sum().backward()  # the version of what has no hooks still counts
    with pytest.raises(TypeError, match="incompatible function arguments"):
        (w * w).grad_fn._raw_saved_self.register_hooks(1, 2)


def test_pack_hooks_must_not_change_their_input(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    with graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t):
        with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"):
            x.exp()


def test_pack_hooks_run_unrecorded_and_reach_every_kind_of_saved_value(device: str) -> None:
    x, y = leaf([[1.0, 2.0]], device), leaf([[3.0, 4.0]], device)
    seen = []

    class Square(Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            result = a * a
            ctx.save_for_backward(a, None, result)
            return result

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, nothing, result = ctx.saved_tensors
            assert nothing is None and result.tolist() == (a * a).tolist()
            return 2 * a * g

    def pack(t: Any) -> Any:
        seen.append(tuple(t.shape))
        assert not (t * 1).requires_grad and not gg.is_grad_enabled()
        return t.cpu()

    with graph.saved_tensors_hooks(pack, lambda t: t.to(device)):
        z = Square.apply(x)
        assert len(seen) == 2
        gg.linalg.multi_dot([z, y.mT, y]).sum()
        n = len(seen)
        y.softmax(1)
        assert len(seen) == n + 1
    z.sum().backward()
    assert x.grad.tolist() == [[2.0, 4.0]]


def test_saved_tensors_hooks_may_be_refused(device: str) -> None:
    x = leaf([1.0], device)
    with graph.disable_saved_tensors_hooks("not here"):
        x.exp().sum().backward()
        with pytest.raises(RuntimeError, match="not here"), graph.save_on_cpu():
            pass
        with graph.disable_saved_tensors_hooks("nor here"), pytest.raises(RuntimeError, match="nor here"):
            graph.saved_tensors_hooks(lambda t: t, lambda t: t).__enter__()
        with pytest.raises(RuntimeError, match="not here"), graph.save_on_cpu():
            pass
    with graph.save_on_cpu(), pytest.raises(RuntimeError, match="too late"):
        graph.disable_saved_tensors_hooks("too late").__enter__()
    with graph.save_on_cpu(pin_memory=True):
        y = x.exp()
    y.sum().backward()


def test_changes_of_saved_tensors_may_be_allowed(device: str) -> None:
    with graph.allow_mutation_on_saved_tensors():
        x = leaf([1.0, 2.0], device)
        y = x.clone()
        z = y**2
        y.sin_()
        w = y**3
        y[0] = 7.0  # through a view
        y.zero_()
        (z.sum() + w.sum()).backward()
    e = x.detach().requires_grad_()
    (e**2 + e.sin() ** 3).sum().backward()
    gg.testing.assert_close(x.grad, e.grad)


def test_allowed_changes_copy_only_what_is_still_needed(device: str) -> None:
    with graph.allow_mutation_on_saved_tensors() as context:
        y = leaf([1.0, 2.0], device).clone()
        z = (y**2).sum()
        z.backward()
        handles = [h for _, kept in context.kept.values() for h in kept]
        assert handles == []  # backward has freed them
        z = (y**2).sum()
        y.add_(1)
        with pytest.raises(RuntimeError, match="cannot be nested"), graph.allow_mutation_on_saved_tensors():
            pass
    with pytest.raises(RuntimeError, match="outside of the 'allow_mutation_on_saved_tensors' context"):
        z.backward()


def test_increment_version(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    y = x * 1
    z = (y * y).sum()
    graph.increment_version([y])
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
        z.backward()
    with gg.inference_mode():
        t = gg.ones(1, device=device)
    graph.increment_version(t)  # has no version


def test_metadata_and_its_lifetime(device: str) -> None:
    class Note:
        pass

    def build() -> tuple[Any, Any]:
        y = leaf([1.0], device).exp()
        note = Note()
        y.grad_fn.metadata["note"] = note
        return y, weakref.ref(note)

    gc.disable()
    try:
        y, ref = build()
        assert ref() is y.grad_fn.metadata["note"]
        del y
        assert ref() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("operation", ["exp", "neg", "relu"])
def test_hook_of_an_operation_with_one_input_sees_one_gradient(device: str, operation: str) -> None:
    x = gg.ones(2, device=device, requires_grad=True)
    y = getattr(x * 1, operation)()
    seen: list[Any] = []
    y.grad_fn.register_hook(
        lambda grad_inputs, grad_outputs: seen.append((len(grad_inputs), len(grad_outputs)))
    )
    assert len(y.grad_fn.next_functions) == 1
    y.sum().backward()
    assert seen == [(1, 1)]
    assert len(y.grad_fn.next_functions) == 1  # after its values are freed, too
