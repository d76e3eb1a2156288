"""Optimisers against the formulas of their papers, written plainly in float64, on both devices; schedules; state."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import optim
from gradgpu.optim import lr_scheduler

SHAPES = [(3, 4), (4,), (2, 3, 2), ()]


def sgd(w, g, s, t, lr, momentum=0.0, dampening=0.0, nesterov=False, **_):
    if momentum == 0:
        return w - lr * g
    b = s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return w - lr * (g + momentum * b if nesterov else b)


def adam(w, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, **_):
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    if amsgrad:
        v = s["top"] = np.maximum(s.get("top", 0), v)
    return w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def rmsprop(w, g, s, t, lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, **_):
    v = s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    if centered:
        s["m"] = alpha * s.get("m", 0) + (1 - alpha) * g
        v = v - s["m"] ** 2
    d = g / (np.sqrt(v) + eps)
    if momentum:
        d = s["b"] = momentum * s.get("b", 0) + d
    return w - lr * d


def adagrad(w, g, s, t, lr, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, **_):
    v = s["v"] = s.get("v", initial_accumulator_value) + g**2
    return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(v) + eps)


def adadelta(w, g, s, t, lr, rho=0.9, eps=1e-6, **_):
    v = s["v"] = rho * s.get("v", 0) + (1 - rho) * g**2
    d = np.sqrt(s.get("u", 0) + eps) / np.sqrt(v + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * d**2
    return w - lr * d


def adamax(w, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, **_):
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    u = s["u"] = np.maximum(betas[1] * s.get("u", 0), np.abs(g) + eps)
    return w - lr / (1 - betas[0] ** t) * m / u


def nadam(w, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, **_):
    mu, following = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    product = s["p"] = s.get("p", 1) * mu
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    mean = following * m / (1 - product * following) + (1 - mu) * g / (1 - product)
    return w - lr * mean / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def radam(w, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, **_):
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    top = 2 / (1 - betas[1]) - 1
    length = top - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    mean = m / (1 - betas[0] ** t)
    if length <= 5:
        return w - lr * mean
    r = math.sqrt((length - 4) * (length - 2) * top / ((top - 4) * (top - 2) * length))
    return w - lr * r * mean * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)


def rprop(w, g, s, t, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50), **_):
    agree = np.sign(g * s.get("g", 0))
    size = s["size"] = np.clip(
        s.get("size", lr) * np.where(agree > 0, etas[1], np.where(agree < 0, etas[0], 1)), *step_sizes
    )
    g = s["g"] = np.where(agree < 0, 0, g)
    return w - np.sign(g) * size


CASES = [
    (optim.SGD, sgd, dict(lr=0.1)),
    (optim.SGD, sgd, dict(lr=0.1, momentum=0.9)),
    (optim.SGD, sgd, dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.1)),
    (optim.SGD, sgd, dict(lr=0.1, momentum=0.9, nesterov=True, maximize=True)),
    (optim.SGD, sgd, dict(lr=0.1, maximize=True, weight_decay=0.1)),
    (optim.Adam, adam, dict(lr=0.01)),
    (optim.Adam, adam, dict(lr=0.01, weight_decay=0.1, amsgrad=True, betas=(0.8, 0.95))),
    (optim.AdamW, adam, dict(lr=0.01, maximize=True)),
    (optim.RMSprop, rmsprop, dict(lr=0.01)),
    (optim.RMSprop, rmsprop, dict(lr=0.01, momentum=0.9, centered=True, weight_decay=0.1)),
    (optim.RMSprop, rmsprop, dict(lr=0.01, centered=True)),
    (optim.Adagrad, adagrad, dict(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1)),
    (optim.Adadelta, adadelta, dict(lr=0.5)),
    (optim.Adamax, adamax, dict(lr=0.01, maximize=True)),
    (optim.NAdam, nadam, dict(lr=0.01, weight_decay=0.1)),
    (optim.RAdam, radam, dict(lr=0.01)),
    (optim.RAdam, radam, dict(lr=0.01, weight_decay=0.1, decoupled_weight_decay=True)),
    (optim.Rprop, rprop, dict(lr=0.01)),
]
NAMES = [f"{cls.__name__}-{'-'.join(options)}" for cls, _, options in CASES]


def parameters(arrays, dtype, device="cpu"):
    return [gg.nn.Parameter(gg.tensor(a, dtype=dtype).to(device)) for a in arrays]


def gradients(rng):
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


def set_gradients(params, grads):
    for p, g in zip(params, grads):
        p.grad = None if g is None else gg.tensor(g, dtype=p.dtype).to(p.device)


def values(params):
    return [p.detach().cpu().numpy() for p in params]


def reference(rule, options, start, history):
    """The parameters after all steps; a None gradient leaves a parameter and its age as they are."""
    cls_decay = options.get("weight_decay", 0)
    results = []
    for i, w in enumerate(start):
        state, t = {}, 0
        for grads in history:
            if grads[i] is None:
                continue
            t += 1
            g = -grads[i] if options.get("maximize") else grads[i]
            if options.get("decoupled_weight_decay"):
                w = w * (1 - options["lr"] * cls_decay)
            elif cls_decay:
                g = g + cls_decay * w
            w = rule(w, g, state, t, **{k: v for k, v in options.items() if k != "weight_decay"})
        results.append(w)
    return results


@pytest.mark.parametrize("cls, rule, options", CASES, ids=NAMES)
@pytest.mark.parametrize("dtype", [gg.float64, gg.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("gaps", [False, True], ids=["all", "some-without-gradient"])
def test_steps_follow_the_formula(cls, rule, options, device, dtype, gaps):
    rng = np.random.default_rng(0)
    start = [np.asarray(rng.standard_normal(shape)).astype(dtype.np) for shape in SHAPES]
    history = [gradients(rng) for _ in range(9)]
    if gaps:
        history = [
            [None if (t + i) % 3 == 0 else g for i, g in enumerate(grads)] for t, grads in enumerate(history)
        ]
    params = parameters(start, dtype, device)
    optimizer = cls(params, **options)
    for grads in history:
        set_gradients(params, grads)
        optimizer.step()
    if cls is optim.AdamW:
        options = dict(options, weight_decay=0.01, decoupled_weight_decay=True)
    tolerance = dict(rtol=1e-8, atol=1e-8) if dtype is gg.float64 else dict(rtol=2e-5, atol=5e-6)
    for got, expected in zip(values(params), reference(rule, options, start, history)):
        np.testing.assert_allclose(got, expected, **tolerance)


@pytest.mark.cuda
def test_more_parameters_than_one_launch_takes():
    params = [gg.nn.Parameter(gg.ones(n).to("cuda")) for n in (0, *range(1, 140), 5000)]
    set_gradients(params, [np.ones(p.shape) for p in params])
    optim.SGD(params, lr=0.5, momentum=0.9).step()
    for p in params:
        assert (p.detach().cpu().numpy() == 0.5).all()


@pytest.mark.parametrize("dtype", [gg.float16, gg.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision(dtype, device):
    params = parameters([np.ones(3000)], dtype, device)
    optimizer = optim.SGD(params, lr=0.25, momentum=0.5)
    for _ in range(2):
        set_gradients(params, [np.ones(3000)])
        optimizer.step()
    assert params[0].dtype is dtype
    assert (params[0].detach().cpu().float().numpy() == 1 - 0.25 - 0.25 * 1.5).all()


def test_groups_with_own_options():
    a, b = parameters([np.ones(2), np.ones(2)], gg.float32)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    set_gradients([a, b], [np.ones(2), np.ones(2)])
    optimizer.step()
    np.testing.assert_allclose(values([a, b]), [[0.9, 0.9], [0.5, 0.5]], rtol=1e-6)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]


def test_replaced_data_and_state_are_seen():
    rng = np.random.default_rng(1)
    start = [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]
    params = parameters(start, gg.float64)
    optimizer = optim.Adam(params, lr=0.01)
    first = gradients(rng)
    set_gradients(params, first)
    optimizer.step()
    fresh = np.full((4,), 7.0)
    params[1].data = gg.tensor(fresh, dtype=gg.float64)
    optimizer.state[params[0]]["exp_avg"] = gg.zeros(3, 4, dtype=gg.float64)
    set_gradients(params, [np.zeros(shape) for shape in SHAPES])
    before = values(params)[0].copy()
    optimizer.step()
    np.testing.assert_array_equal(values(params)[0], before)  # no gradient and no momentum: no step
    assert np.abs(values(params)[1] - fresh).max() > 1e-4  # its momentum moves the new data


def test_step_is_seen_by_the_tape():
    w = gg.nn.Parameter(gg.ones(2))
    y = (w * w).sum()
    w.grad = gg.ones(2)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_state_dict_round_trip_goes_on_identically():
    rng = np.random.default_rng(2)
    start = [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]
    history = [gradients(rng) for _ in range(6)]
    for cls, _, options in CASES:
        one, two = parameters(start, gg.float64), None
        first = cls(one, **options)
        for t, grads in enumerate(history):
            if t == 3:
                two = parameters(values(one), gg.float64)
                second = cls(two, lr=123.0)
                second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
                assert second.param_groups[0]["lr"] == options["lr"]
            set_gradients(one, grads)
            first.step()
            if two is not None:
                set_gradients(two, grads)
                second.step()
        for a, b in zip(values(one), values(two)):
            np.testing.assert_array_equal(a, b)


def test_state_dict_has_the_known_structure():
    params = parameters([np.ones(2), np.ones(3)], gg.float32)
    optimizer = optim.Adam(params)
    assert optimizer.state_dict()["state"] == {}
    set_gradients(params, [np.ones(2), np.ones(3)])
    optimizer.step()
    saved = optimizer.state_dict()
    assert list(saved["state"]) == [0, 1]
    assert list(saved["state"][0]) == ["step", "exp_avg", "exp_avg_sq"]
    assert saved["state"][1]["step"].item() == 1.0 and saved["state"][1]["exp_avg"].shape == (3,)
    assert saved["param_groups"][0]["params"] == [0, 1] and saved["param_groups"][0]["betas"] == (0.9, 0.999)


def test_copies_are_independent():
    params = parameters([np.ones(2)], gg.float32)
    optimizer = optim.Adam(params)
    set_gradients(params, [np.ones(2)])
    optimizer.step()
    other = copy.deepcopy(optimizer)
    other.param_groups[0]["params"][0].grad = gg.ones(2)
    other.step()
    assert optimizer.state_dict()["state"][0]["step"].item() == 1.0
    assert other.state_dict()["state"][0]["step"].item() == 2.0


def test_closure_runs_with_gradients_and_its_loss_returns():
    w = gg.nn.Parameter(gg.tensor([2.0]))
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert w.item() == 1.0


def test_zero_grad():
    w = gg.nn.Parameter(gg.ones(2))
    optimizer = optim.SGD([w], lr=0.1)
    w.grad = gg.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.tolist() == [1.0, 1.0]


def test_hooks_run_around_the_step():
    w = gg.nn.Parameter(gg.ones(1))
    optimizer = optim.SGD([w], lr=0.5)
    seen = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(w.item()))
    handle = optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(w.item()))
    w.grad = gg.ones(1)
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == [1.0, 0.5, 0.5]


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda w: optim.SGD([], lr=0.1), ValueError, "empty parameter list"),
        (lambda w: optim.SGD(w, lr=0.1), TypeError, "iterable of Tensors or dicts"),
        (lambda w: optim.SGD([w], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda w: optim.SGD([w], nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
        (
            lambda w: optim.SGD([{"params": [w]}, {"params": [w]}]),
            ValueError,
            "more than one parameter group",
        ),
        (lambda w: optim.SGD([w], lr=gg.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (lambda w: optim.SGD([w], differentiable=True), RuntimeError, "differentiable=True is not supported"),
        (lambda w: optim.Adam([w], fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
        (lambda w: optim.SGD([("w", w), w + 0]), ValueError, "Some param names are missing"),
        (
            lambda w: optim.SGD([{"params": [("w", w)]}, {"params": [gg.zeros(1)]}]),
            ValueError,
            "cannot add param group without names",
        ),
        (lambda w: optim.SGD([3.0]), TypeError, "one of the params is float"),
        (lambda w: optim.SGD([w * 2]), ValueError, "non-leaf"),
        (lambda w: optim.Adam([w], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda w: optim.LBFGS([w]).step(), RuntimeError, "needs a closure"),
    ],
)
def test_wrong_arguments(make, error, match):
    with pytest.raises(error, match=match):
        make(gg.nn.Parameter(gg.ones(2)))


def test_loading_forgets_what_the_saved_groups_have_not():
    optimizer = optim.SGD([gg.nn.Parameter(gg.ones(2))], lr=0.5)
    saved = optimizer.state_dict()
    optim.lr_scheduler.StepLR(optimizer, 1)
    assert optimizer.param_groups[0]["initial_lr"] == 0.5
    optimizer.load_state_dict(saved)
    assert optimizer.state_dict() == saved and "initial_lr" not in optimizer.param_groups[0]
    del saved["param_groups"][0]["nesterov"]  # an older file
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["nesterov"] is False


def test_a_schedule_that_lowers_the_rate_of_one_group():
    class First(optim.lr_scheduler.ReduceLROnPlateau):
        def _reduce_lr(self, epoch):
            self.optimizer.param_groups[0]["lr"] *= self.factor
            epochs.append(epoch)

    epochs: list[int] = []
    optimizer = optim.SGD(
        [{"params": [gg.nn.Parameter(gg.ones(1))]}, {"params": [gg.nn.Parameter(gg.ones(1))]}], lr=1.0
    )
    scheduler = First(optimizer, patience=0, factor=0.5)
    for loss in (1.0, 1.0, 1.0):
        scheduler.step(loss)
    assert [g["lr"] for g in optimizer.param_groups] == [0.25, 1.0] and epochs == [2, 3]


def test_a_parameter_given_twice_counts_once(device):
    w, v = (gg.nn.Parameter(gg.ones(2, device=device)) for _ in range(2))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = optim.SGD([("w", w), ("v", v), ("again", w)], lr=0.5, momentum=0.9)
    assert optimizer.param_groups[0]["param_names"] == ["w", "v"]
    (w.sum() + 2 * v.sum()).backward()
    optimizer.step()
    assert w.tolist() == [0.5, 0.5] and v.tolist() == [0.0, 0.0]


@pytest.mark.cuda
def test_net_moved_after_training_began_is_refused():
    net = gg.nn.Linear(2, 2)
    optimizer = optim.Adam(net.parameters())
    for device in ("cpu", "cuda"):
        net.to(device)
        set_gradients(list(net.parameters()), [np.ones((2, 2)), np.ones(2)])
        if device == "cpu":
            optimizer.step()
        else:
            with pytest.raises(RuntimeError, match="move the net to its device before making the optimiser"):
                optimizer.step()


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_minimum_of_rosenbrock(search):
    x = gg.nn.Parameter(gg.tensor([-1.2, 1.0], dtype=gg.float64))
    optimizer = optim.LBFGS([x], lr=1.0 if search else 0.1, max_iter=100, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        loss.backward()
        return loss

    for _ in range(5 if search else 20):
        optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), [1.0, 1.0], atol=1e-4)


def rates(make, steps):
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=1.0, momentum=0.9)
    schedule = make(optimizer)
    seen = schedule.get_last_lr()
    for _ in range(steps - 1):
        optimizer.step()
        schedule.step()
        seen = seen + schedule.get_last_lr()
        assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]]
    return seen


SCHEDULES = [
    (lambda o: lr_scheduler.StepLR(o, 3, 0.5), lambda t: 0.5 ** (t // 3)),
    (lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 5], 0.5), lambda t: 0.5 ** ((t >= 2) + 2 * (t >= 5))),
    (lambda o: lr_scheduler.ExponentialLR(o, 0.9), lambda t: 0.9**t),
    (lambda o: lr_scheduler.ConstantLR(o, 0.5, 4), lambda t: 0.5 if t < 4 else 1.0),
    (lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 6), lambda t: 0.25 + 0.75 * min(t, 6) / 6),
    (lambda o: lr_scheduler.PolynomialLR(o, 8, 2.0), lambda t: (1 - min(t, 8) / 8) ** 2),
    (lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: 1 / (1 + t)),
    (lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9), lambda t: 0.9**t),
    (
        lambda o: lr_scheduler.CosineAnnealingLR(o, 5, 0.1),
        lambda t: 0.1 + 0.45 * (1 + math.cos(math.pi * t / 5)),
    ),
    (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
        lambda t: 0.5 * (1 + math.cos(math.pi * (t % 4) / 4)),
    ),
    (lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, 3), lambda t: 0.1 + 0.4 * (1 - abs((t % 6) / 3 - 1))),
    (
        lambda o: lr_scheduler.OneCycleLR(o, 2.0, 11, pct_start=6 / 11, anneal_strategy="linear"),
        lambda t: 0.08 + (2 - 0.08) * t / 5 if t <= 5 else 2 + (0.08e-4 - 2) * (t - 5) / 5,
    ),
    (
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.ConstantLR(o, 0.5, 20), lr_scheduler.ExponentialLR(o, 0.9)], [4]
        ),
        lambda t: 0.5 if t < 4 else 0.9 ** (t - 4),
    ),
    (
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.ConstantLR(o, 0.5, 4), lr_scheduler.ExponentialLR(o, 0.9)]
        ),
        lambda t: (0.5 if t < 4 else 1.0) * 0.9**t,
    ),
]


@pytest.mark.parametrize("make, formula", SCHEDULES, ids=[str(i) for i in range(len(SCHEDULES))])
def test_schedules_follow_their_formula(make, formula):
    np.testing.assert_allclose(rates(make, 11), [formula(t) for t in range(11)], rtol=1e-9, atol=1e-12)


def test_one_cycle_moves_the_momentum_against_the_rate():
    optimizer = optim.Adam([gg.nn.Parameter(gg.zeros(1))])
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=2, steps_per_epoch=10)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    for _ in range(5):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["betas"][0] == pytest.approx(0.85)
    assert schedule.get_last_lr() == [pytest.approx(0.1)]


def test_plateau_waits_then_lowers_the_rate():
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.3)
    seen = []
    for loss in (1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9):
        schedule.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3]


def test_schedule_before_the_first_step_warns():
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()


def test_schedule_state_round_trip():
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    schedule.step()
    other = lr_scheduler.ExponentialLR(optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=1.0), 0.1)
    other.load_state_dict(pickle.loads(pickle.dumps(schedule.state_dict())))
    assert (other.gamma, other.last_epoch, other.get_last_lr()) == (0.5, 1, [0.5])


def test_parameters_whose_gradients_come_and_go(device: str) -> None:
    """Each step changes exactly the parameters that have a gradient, however often that set changes."""
    params = [gg.ones(2, device=device, requires_grad=True) for _ in range(4)]
    optimizer = gg.optim.SGD(params, lr=0.125, momentum=0.5)
    steps = [0] * 4
    for chosen in [(0, 1), (1, 2), (2, 3), (0, 3), (1, 3), (0, 1, 2, 3), (2,), (2,), (2,), (0, 2), (0, 2)]:
        optimizer.zero_grad()
        sum(params[k].sum() for k in chosen).backward()
        before = [p.detach().clone() for p in params]
        optimizer.step()
        for k, p in enumerate(params):
            steps[k] += k in chosen
            # Momentum of a constant gradient of one: 1, 1.5, 1.75, …
            expected = before[k] - 0.125 * (2 - 0.5 ** (steps[k] - 1)) * (k in chosen)
            assert gg.equal(p.detach(), expected), (chosen, k)


# ---- schedules beginning later, inside one another, and read by others ----


def rates_of(make, steps=12, **options):
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=0.1, momentum=0.9)
    optimizer.param_groups[0].update(options)
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    "make",
    [
        lambda o, e: lr_scheduler.ExponentialLR(o, 0.9, last_epoch=e),
        lambda o, e: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9, last_epoch=e),
        lambda o, e: lr_scheduler.LinearLR(o, 0.5, 1.0, 9, last_epoch=e),
        lambda o, e: lr_scheduler.PolynomialLR(o, 20, 1.5, last_epoch=e),
        lambda o, e: lr_scheduler.CosineAnnealingLR(o, 20, last_epoch=e),
        lambda o, e: lr_scheduler.StepLR(o, 4, last_epoch=e),
    ],
)
def test_a_schedule_that_goes_on_from_an_epoch(make):
    whole = rates_of(lambda o: make(o, -1), 12)
    rest = rates_of(lambda o: make(o, 5 - 1), 7, lr=whole[5], initial_lr=0.1)
    np.testing.assert_allclose(rest, whole[5:], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # as in PyTorch
def test_sequences_inside_sequences():
    def inner(o):
        return lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.5, 1.0, 2), lr_scheduler.ExponentialLR(o, 0.5)], [3]
        )

    rates = rates_of(
        lambda o: lr_scheduler.SequentialLR(o, [inner(o), lr_scheduler.ConstantLR(o, 0.1, 2)], [5]), 8
    )
    # As in PyTorch the inner sequence has counted one epoch when the outer one begins.
    np.testing.assert_allclose(rates, [0.05, 0.075, 0.1, 0.05, 0.025, 0.01, 0.01, 0.1], rtol=1e-12)
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`.*index 0"):
        rates_of(lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]))


def test_a_schedule_of_the_users_own():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            assert self._get_lr_called_within_step
            return [base / 2**self.last_epoch for base in self.base_lrs]

        def _get_closed_form_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]

    assert rates_of(Halving, 3) == [0.1, 0.05, 0.025]
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=0.1)
    schedule = Halving(optimizer)
    optimizer.step()
    schedule.step(3)
    assert optimizer.param_groups[0]["lr"] == 0.1 / 8


class Fading:
    """A scale function with a state."""

    def __init__(self, power):
        self.power = power

    def __call__(self, cycle):
        return cycle**-self.power


def test_states_of_cyclic_schedules_have_pytorchs_names():
    optimizer = optim.SGD([gg.nn.Parameter(gg.zeros(1))], lr=0.1, momentum=0.9)
    cyclic = lr_scheduler.CyclicLR(optimizer, 0.1, 1.0, 2, scale_fn=Fading(2.0))
    assert optimizer.param_groups[0]["momentum"] == optimizer.param_groups[0]["max_momentum"] == 0.9
    state = copy.deepcopy(cyclic.state_dict())
    assert state["_scale_fn_custom"] == {"power": 2.0} and not state["use_beta1"]
    other = lr_scheduler.CyclicLR(optimizer, 0.1, 1.0, 2, scale_fn=Fading(1.0))
    other.load_state_dict(state)
    assert other.scale_fn(2) == 0.25
    phases = lr_scheduler.OneCycleLR(optimizer, 1.0, 10).state_dict()["_schedule_phases"]
    assert phases[0] == {
        "end_step": 2.0, "start_lr": "initial_lr", "end_lr": "max_lr", "start_momentum": "max_momentum",
        "end_momentum": "base_momentum",
    }  # fmt: skip


def test_hooks_of_an_optimizers_state():
    optimizer = optim.Adam([gg.nn.Parameter(gg.ones(2))])
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": len(seen)})
    handle = optimizer.register_load_state_dict_pre_hook(lambda o, state: seen.append(state.pop("more")))
    optimizer.register_load_state_dict_pre_hook(lambda o, state: seen.append("first"), prepend=True)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(type(o)))
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    assert seen == ["save", "first", 1, optim.Adam] and state["more"] == 1
    handle.remove()
    optimizer.load_state_dict(state)
    assert seen[4:] == ["first", optim.Adam]
    assert copy.deepcopy(optimizer).state_dict().keys() == {"state", "param_groups"}


def test_adagrad_has_its_sums_before_the_first_step(device: str) -> None:
    p = gg.ones(3, device=device, requires_grad=True)
    optimizer = optim.Adagrad([p], lr=0.5, initial_accumulator_value=1.0)
    assert optimizer.state[p]["step"].item() == 0 and optimizer.state[p]["sum"].tolist() == [1.0] * 3
    assert optimizer.state[p]["sum"].device == p.device
    optimizer.share_memory()
    p.grad = gg.tensor([0.0, 1.0, 2.0], device=device)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 1 and optimizer.state[p]["sum"].tolist() == [1.0, 2.0, 5.0]
    np.testing.assert_allclose(p.tolist(), [1.0, 1 - 0.5 / 2**0.5, 1 - 1 / 5**0.5], rtol=1e-6)


def test_line_search_by_itself() -> None:
    from gradgpu.optim.lbfgs import _cubic_interpolate, _strong_wolfe

    def along(x, t, d):
        point = (x + t * d).detach().requires_grad_()
        loss = ((point - 3) ** 2).sum() + (point**4).sum() / 10
        (gradient,) = gg.autograd.grad(loss, point)
        return loss.item(), gradient

    x = gg.tensor([0.0, -1.0])
    f, g = along(x, 0.0, x)
    slope = -(g @ g).item()
    loss, gradient, t, evaluations = _strong_wolfe(along, x, 1.0, -g, f, g, slope)
    assert loss <= f + 1e-4 * t * slope and abs((gradient @ -g).item()) <= -0.9 * slope
    assert (loss, gradient.tolist()) == (along(x, t, -g)[0], along(x, t, -g)[1].tolist()) and evaluations >= 1
    assert _cubic_interpolate(0.0, 1.0, -2.0, 2.0, 1.0, 2.0) == 1.0
    assert _cubic_interpolate(0.0, 1.0, -2.0, 2.0, 1.0, 2.0, bounds=(1.5, 2.0)) == 1.5


class _Descent(optim.Optimizer):
    """An optimiser as programs write them: with a step of its own."""

    def __init__(self, params: Any, lr: float = 0.5) -> None:
        super().__init__(params, {"lr": lr})

    @gg.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else gg.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
        return loss


class _Clipped(_Descent):
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.data.clamp_(-1, 1)
        return loss


class _Wrapper(optim.Optimizer):
    """Another optimiser within, and no `Optimizer.__init__`, as some wrappers have it."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.param_groups, self.state, self.defaults = inner, inner.param_groups, inner.state, {}

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


@pytest.mark.parametrize("kind", [_Descent, _Clipped])
def test_hooks_of_a_step_of_ones_own(kind: Any) -> None:
    w = gg.nn.Parameter(gg.tensor([1.0, 3.0]))
    w.grad = gg.tensor([1.0, -1.0])
    optimizer, seen = kind([w]), []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("before", w.tolist())))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("after", w.tolist())))
    assert optimizer.step(lambda: gg.tensor(7.0)).item() == 7.0
    end = [0.5, 3.5] if kind is _Descent else [0.5, 1.0]
    assert seen == [("before", [1.0, 3.0]), ("after", end)] and w.tolist() == end
    before.remove(), after.remove()
    optimizer.step()
    assert len(seen) == 2 and kind.step.__name__ == "step"


def test_a_schedule_before_a_step_of_ones_own() -> None:
    w = gg.nn.Parameter(gg.ones(1))
    w.grad = gg.ones(1)
    schedule = optim.lr_scheduler.StepLR(_Descent([w]), 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()
    optimizer = _Descent([w])
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step(), schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    wrapper = _Wrapper(optim.SGD([w], lr=1.0))
    schedule = optim.lr_scheduler.StepLR(wrapper, 1)
    wrapper.step(), schedule.step()
    assert wrapper.inner.param_groups[0]["lr"] == pytest.approx(0.1)
