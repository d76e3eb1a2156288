"""Several threads that compute at once: each gets what it would have got alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gradgpu as gg
import gradgpu.nn.functional as F

THREADS = 4


@pytest.fixture(autouse=True)
def _frequent_switches() -> Iterator[None]:
    """Threads take turns every few bytecodes, so that what only goes wrong between two of them does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """What `work(0)`, `work(1)`, … return, each run by a thread of its own, all at once; raises what one of them raised."""
    found: dict[int, Any] = {}
    errors: list[Exception] = []
    start = threading.Barrier(THREADS)

    def run(k: int) -> None:
        start.wait()
        try:
            found[k] = work(k)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [found[k] for k in range(THREADS)]


def train(seed: int, device: str) -> list[float]:
    """The losses of a small net of every kind of kernel: convolution, pool, product, norm, pointwise, scan, index."""
    generator = gg.Generator().manual_seed(seed)

    def randn(*shape: int, scale: float = 1.0) -> gg.Tensor:
        return (scale * gg.randn(*shape, generator=generator)).to(device)

    x, y = randn(8, 3, 6, 6), gg.randint(0, 4, (8,), generator=generator).to(device)
    parameters = [
        p.requires_grad_()
        for p in (randn(4, 3, 3, 3, scale=0.3), randn(4), randn(36, 10, scale=0.2), randn(10), randn(10, 4))
    ]
    kernel, bias, hidden, gain, last = parameters
    optimizer = [gg.optim.Adam, gg.optim.SGD, gg.optim.RMSprop, gg.optim.AdamW][seed % 4](parameters, lr=1e-2)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        h = F.max_pool2d(F.relu(F.conv2d(x, kernel, bias, padding=1)), 2).flatten(1)
        h = F.layer_norm(F.gelu(h @ hidden), (10,), gain)
        h = gg.tanh(1.5 * h + seed).clamp(-0.9, 0.9)
        loss = F.cross_entropy(h / (1 + h.abs()) @ last, y) + 0.01 * (last**2).sum()
        loss.backward()
        gg.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with gg.no_grad():
            seen = x[y % 3].mean((1, 2, 3)).sort().values.cumsum(0) + (step * x).softmax(-1).std()
        losses += [loss.item(), seen.sum().item()]
    return losses


def test_each_thread_trains_as_if_alone(device: str) -> None:
    together = in_threads(lambda k: train(k, device))  # first, so that kernels are made by threads at once
    assert together == [train(k, device) for k in range(THREADS)]


def test_threads_share_parameters(device: str) -> None:
    weight = gg.ones(5, device=device, requires_grad=True)

    def work(k: int) -> list[float]:
        x = gg.full((5,), float(k), device=device)
        return [gg.autograd.grad((weight * x * n).sum(), weight)[0].sum().item() for n in range(10)]

    assert in_threads(work) == [[5.0 * k * n for n in range(10)] for k in range(THREADS)]
    assert weight.grad is None


@pytest.mark.cuda
def test_threads_on_streams_of_their_own() -> None:
    def work(k: int) -> list[float]:
        with gg.cuda.stream(gg.cuda.Stream()):
            found = train(k, "cuda")
            gg.cuda.current_stream().synchronize()
        return found

    assert in_threads(work) == [train(k, "cuda") for k in range(THREADS)]


def test_modes_belong_to_their_thread(device: str) -> None:
    def work(k: int) -> list[float]:
        found = []
        for _ in range(20):
            x = gg.ones(3, device=device, requires_grad=True)
            with gg.set_grad_enabled(k % 2 == 0), gg.autocast(device, dtype=gg.bfloat16, enabled=k > 1):
                y = x.reshape(1, 3) @ x
            found += [float(y.requires_grad), float(y.dtype is gg.bfloat16)]
        return found

    assert in_threads(work) == [[float(k % 2 == 0), float(k > 1)] * 20 for k in range(THREADS)]


# ---- the tape ----
def test_gradients_of_all_threads_arrive(device: str) -> None:
    weight = gg.zeros(100, device=device, requires_grad=True)
    x = gg.ones(100, device=device)

    def work(k: int) -> None:
        for _ in range(20):
            (weight * x).sum().backward()

    in_threads(work)
    assert weight.grad.tolist() == [20.0 * THREADS] * 100


def test_first_hooks_of_all_threads_are_called(device: str) -> None:
    for _ in range(50):
        leaf = gg.ones(2, device=device, requires_grad=True)
        y = leaf * 2
        called: list[int] = []

        def work(k: int, leaf: gg.Tensor = leaf, y: gg.Tensor = y, called: list[int] = called) -> None:
            y.register_hook(lambda g: called.append(k))
            leaf.register_hook(lambda g: called.append(THREADS + k))
            leaf.register_post_accumulate_grad_hook(lambda t: called.append(2 * THREADS + k))

        in_threads(work)
        y.sum().backward()
        assert sorted(called) == list(range(3 * THREADS))


def test_a_leaf_has_one_node(device: str) -> None:
    for _ in range(50):
        y = gg.ones(2, device=device, requires_grad=True) * 2
        nodes = in_threads(lambda k, y=y: y.grad_fn.next_functions[0][0])
        assert all(node is nodes[0] for node in nodes)


def test_views_of_all_threads_follow_their_base(device: str) -> None:
    scale = gg.full((3,), 2.0, device=device, requires_grad=True)
    for _ in range(20):
        base = gg.ones(4, 3, device=device)

        def work(k: int, base: gg.Tensor = base) -> list[gg.Tensor]:
            # Every second one is lost at once, so that now and then the list of views is cleared of such.
            return [(base[k], base[0])[0] for _ in range(70)]

        views = [view for found in in_threads(work) for view in found]
        base.mul_(scale)
        assert all(view.requires_grad for view in views)
