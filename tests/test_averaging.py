"""ASGD, Muon, SparseAdam, and averages of weights, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn, optim
from gradgpu.optim import swa_utils

rng = np.random.default_rng(0)


def on(device: str, values: np.ndarray) -> gg.Tensor:
    return gg.tensor(values, device=device, requires_grad=True)


def host(x: gg.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


@pytest.mark.parametrize("t0", [1e6, 3])
def test_asgd_follows_its_formula(t0: float, device: str) -> None:
    start, target = rng.standard_normal((2, 3, 4))
    p = on(device, start)
    optimizer = optim.ASGD([p], lr=0.1, t0=t0, weight_decay=0.1)
    w, average, eta, mu = start.copy(), np.zeros_like(start), 0.1, 1.0
    for step in range(1, 9):
        optimizer.zero_grad()
        ((p - gg.tensor(target, device=device)) ** 2).sum().backward()
        optimizer.step()
        g = 2 * (w - target) + 0.1 * w
        w = w * (1 - 1e-4 * eta) - eta * g
        average = w if mu == 1 else average + (w - average) * mu
        eta, mu = 0.1 / (1 + 1e-4 * 0.1 * step) ** 0.75, 1 / max(1, step - t0)
    np.testing.assert_allclose(host(p), w, 1e-7)  # eta and mu are kept in float32
    np.testing.assert_allclose(host(optimizer.state[p]["ax"]), average, 1e-7)
    again = optim.ASGD([p], lr=0.1)
    again.load_state_dict(optimizer.state_dict())
    assert again.state[p]["step"].item() == 8


@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_muon_steps_along_an_orthogonal_matrix(shape: tuple, device: str) -> None:
    p = on(device, np.zeros(shape, np.float32))
    optimizer = optim.Muon([p], lr=0.5, weight_decay=0.0)
    (p * gg.tensor(rng.standard_normal(shape).astype(np.float32), device=device)).sum().backward()
    optimizer.step()
    s = np.linalg.svd(host(p), compute_uv=False) / (0.5 * math.sqrt(max(1, shape[0] / shape[1])))
    assert (s > 0.5).all() and (s < 1.35).all()


def test_muon_rounds_each_product_and_sum_once() -> None:
    gradient = rng.standard_normal((6, 4)).astype(np.float32)

    def rounded(x: np.ndarray) -> np.ndarray:
        return gg.tensor(x.astype(np.float32)).bfloat16().float().numpy()

    x = rounded(gradient).T
    x = rounded(x / rounded(np.linalg.norm(x)))
    for _ in range(5):
        gram = rounded(x @ x.T)
        x = rounded(3.4445 * x + rounded(-4.775 * gram + 2.0315 * (gram @ gram)) @ x)
    p = gg.zeros(6, 4, requires_grad=True)
    p.grad = gg.tensor(gradient)
    optim.Muon([p], lr=1.0, momentum=0.0).step()
    np.testing.assert_allclose(host(p), -np.sqrt(1.5) * x.T, rtol=1e-2, atol=1e-2)


def test_muon_refuses_what_is_no_matrix() -> None:
    with pytest.raises(ValueError, match=r"Muon only supports 2D parameters.*\(3,\)"):
        optim.Muon([gg.zeros(3, requires_grad=True)])
    with pytest.raises(ValueError, match="Adjust learning rate function other"):
        optim.Muon([gg.zeros(3, 3, requires_grad=True)], adjust_lr_fn="other")


def test_averaged_models(device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(device)
    mean = swa_utils.AveragedModel(model)
    moving = swa_utils.AveragedModel(
        model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.75), use_buffers=True
    )
    seen, expected = [], None
    for k in range(4):
        with gg.no_grad():
            for p in model.parameters():
                p.add_(k)
        seen.append(host(model[0].weight).copy())
        expected = seen[-1] if expected is None else 0.75 * expected + 0.25 * seen[-1]
        mean.update_parameters(model)
        moving.update_parameters(model)
    np.testing.assert_allclose(host(mean.module[0].weight), np.mean(seen, 0), 1e-5, 1e-6)
    np.testing.assert_allclose(host(moving.module[0].weight), expected, 1e-5, 1e-6)
    assert int(mean.n_averaged) == 4 and "n_averaged" in mean.state_dict()
    x = gg.ones(4, 3, device=device)
    assert mean.eval()(x).shape == (4, 2)
    with pytest.raises(ValueError, match="Invalid decay value 2"):
        swa_utils.get_ema_avg_fn(2)
    with pytest.raises(AssertionError, match="Only one of"):
        swa_utils.AveragedModel(
            model, avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn()
        )


def test_statistics_anew(device: str) -> None:
    data = rng.standard_normal((4, 8, 3)).astype(np.float32)
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.1)).to(device).eval()
    swa_utils.update_bn([(gg.tensor(batch),) for batch in data], model, device=device)
    np.testing.assert_allclose(host(model[0].running_mean), data.mean((0, 1)), 1e-4, 1e-5)
    assert model[0].momentum == 0.1 and not model.training


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_annealing_to_the_final_rate(strategy: str) -> None:
    p = gg.zeros(1, requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    schedule = swa_utils.SWALR(optimizer, 0.2, anneal_epochs=4, anneal_strategy=strategy)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(6):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    t = np.clip(np.arange(7) / 4, 0, 1)
    share = t if strategy == "linear" else (1 - np.cos(math.pi * t)) / 2
    np.testing.assert_allclose(rates, 1 + (0.2 - 1) * share, 1e-9)
    with pytest.raises(ValueError, match="one of 'cos' or 'linear'"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="other")


@pytest.mark.parametrize("shape", [(4, 3), (5,), (2, 3, 2), ()])
def test_adafactor_follows_its_formula(shape: tuple, device: str) -> None:
    w = rng.standard_normal(shape)
    p = on(device, w.astype(np.float32))
    options = {"lr": 0.3, "d": 1.1, "weight_decay": 0.1, "maximize": True}
    optimizer = optim.Adafactor([p], **options)
    rows, columns, squares = (0.0,) * 3
    for t in range(1, 6):
        g = rng.standard_normal(shape)
        p.grad = gg.tensor(g.astype(np.float32), device=device)
        optimizer.step()
        g = -g
        rate = max(1e-3, np.sqrt((w**2).mean())) * min(0.3, t**-0.5)
        w = w * (1 - 0.3 * 0.1)
        new = t**-0.8
        if len(shape) > 1:
            rows = (1 - new) * rows + new * (g**2).mean(-1, keepdims=True)
            columns = (1 - new) * columns + new * (g**2).mean(-2, keepdims=True)
            squares = rows * columns / rows.mean(-2, keepdims=True)
        else:
            squares = (1 - new) * squares + new * g**2
        update = g / np.sqrt(squares)
        w = w - update * rate / max(1.0, np.sqrt((update**2).mean()) / 1.1)
        np.testing.assert_allclose(host(p), w, rtol=1e-4, atol=1e-5)
    again = optim.Adafactor([p], **options)
    again.load_state_dict(optimizer.state_dict())
    assert set(again.state[p]) == ({"step", "row_var", "col_var"} if len(shape) > 1 else {"step", "variance"})


def test_adafactor_and_muon_refuse_what_they_cannot_do() -> None:
    p = gg.zeros(2, 2, requires_grad=True)
    for options, match in [
        ({"d": 0.5}, "d should be >= 1"),
        ({"beta2_decay": 0.1}, "should be <= 0"),
        ({"lr": -1}, "Invalid"),
    ]:
        with pytest.raises(ValueError, match=match):
            optim.Adafactor([p], **options)
    z = gg.zeros(2, 2, dtype=gg.complex64, requires_grad=True)
    z.grad = gg.zeros(2, 2, dtype=gg.complex64)
    with pytest.raises(RuntimeError, match="Adafactor does not support complex"):
        optim.Adafactor([z]).step()
    with pytest.raises(RuntimeError, match="Muon does not support complex"):
        optim.Muon([z])


def test_sparse_adam_leaves_rows_alone_that_were_not_looked_up(device: str) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(6, 3))
    table = nn.Embedding(6, 3, sparse=True, device=device, dtype=gg.float64)
    with gg.no_grad():
        table.weight.copy_(gg.tensor(start))
    optimizer = optim.SparseAdam(list(table.parameters()), lr=0.1, betas=(0.8, 0.9))
    w, m, v = start.copy(), np.zeros((6, 3)), np.zeros((6, 3))
    for step in range(1, 6):
        at = rng.integers(0, 5, 4)  # row 5 never
        optimizer.zero_grad()
        (table(gg.tensor(at, device=device)) ** 2).sum().backward()
        optimizer.step()
        g = np.zeros((6, 3))
        np.add.at(g, at, 2 * w[at])
        rows = np.unique(at)
        m[rows] += (g[rows] - m[rows]) * 0.2
        v[rows] += (g[rows] ** 2 - v[rows]) * 0.1
        w[rows] -= 0.1 * (1 - 0.9**step) ** 0.5 / (1 - 0.8**step) * m[rows] / (np.sqrt(v[rows]) + 1e-8)
    np.testing.assert_allclose(table.weight.detach().cpu().numpy(), w, rtol=1e-9)
    assert table.weight[5].tolist() == start[5].tolist()
    again = optim.SparseAdam(list(table.parameters()))
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["lr"] == 0.1 and again.state[table.weight]["step"] == 5


def test_sparse_adam_of_vectors_and_uphill() -> None:
    x = gg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x.grad = gg.tensor([0.0, 1.0, 0.0])
    optim.SparseAdam([x], lr=0.5, maximize=True).step()
    assert x.tolist() == pytest.approx([1.0, 2.5, 3.0])
    x.grad = gg.zeros(3)
    optim.SparseAdam([x]).step()
    assert x.tolist() == pytest.approx([1.0, 2.5, 3.0])
    for wrong in ({"lr": 0.0}, {"eps": 0.0}, {"betas": (1.0, 0.9)}):
        with pytest.raises(ValueError, match="Invalid"):
            optim.SparseAdam([x], **wrong)  # type: ignore[arg-type]
