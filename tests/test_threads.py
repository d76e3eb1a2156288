"""Several threads that compute at once: each gets what it would have got alone."""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
import gradgpu.nn.functional as F
from gradgpu import nn, random
from gradgpu.cuda import array, indexing
from gradgpu.nn.utils import parametrizations, parametrize
from gradgpu.ops.pointwise_op import Pointwise
from gradgpu.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from gradgpu.utils.data import DataLoader, dataloader

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


def test_threads_train_nets_with_the_same_memory(device: str) -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).to(device)

    shared, x = net(), gg.randn(32, 4).to(device)
    y = x.sum(1, keepdim=True)
    before = F.mse_loss(shared(x), y).item()

    def work(k: int) -> bool:
        own = net()
        for mine, common in zip(own.parameters(), shared.parameters()):
            mine.data = common.data  # gradients and versions stay each thread's own
        optimizer = [gg.optim.SGD, gg.optim.Adam][k % 2](own.parameters(), lr=1e-2)
        for _ in range(10):
            optimizer.zero_grad()
            F.mse_loss(own(x), y).backward()
            optimizer.step()
        return all(p.data_ptr() == q.data_ptr() for p, q in zip(own.parameters(), shared.parameters()))

    assert all(in_threads(work))
    assert F.mse_loss(shared(x), y).item() < before


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


@pytest.mark.cuda
def test_gradients_of_all_streams_arrive() -> None:
    weight = gg.zeros(100, device="cuda", requires_grad=True)
    x = gg.ones(100, device="cuda")
    gg.cuda.synchronize()
    streams = [gg.cuda.Stream() for _ in range(THREADS)]

    def work(k: int) -> None:
        with gg.cuda.stream(streams[k]):
            for _ in range(5):
                (weight * x).sum().backward()

    in_threads(work)
    for stream in streams:
        gg.cuda.current_stream().wait_stream(stream)
    assert weight.grad.tolist() == [5.0 * THREADS] * 100


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


# ---- autocast ----
def test_regions_of_one_thread_leave_others_alone(device: str) -> None:
    x, y = gg.ones(2, 2, device=device), gg.ones(2, 2, device=device, dtype=gg.bfloat16)

    def work(k: int) -> None:
        for _ in range(100):
            if k % 2:
                assert (x @ x).exp().dtype is gg.float32 and y.exp().dtype is gg.bfloat16
            else:
                with gg.autocast(device, dtype=gg.bfloat16):
                    z = x @ x
                    assert z.dtype is gg.bfloat16 and z.exp().dtype is gg.float32

    in_threads(work)


def test_a_call_outlasts_the_region_of_another_thread(device: str) -> None:
    op = gg.exp.op
    with gg.autocast(device, dtype=gg.bfloat16):
        call = type(op).__call__
    assert call(op, gg.zeros(2, device=device)).tolist() == [1, 1]


@pytest.mark.cuda
def test_no_launch_is_remembered_past_autocast() -> None:
    x = gg.ones(7, 3, device="cuda", dtype=gg.bfloat16)
    op = gg.exp.op
    with gg.autocast("cuda", dtype=gg.bfloat16):
        # A thread that began before the region was opened comes to the end of its call.
        Pointwise._remember(op, op.kernel([gg.bfloat16]), [x._a], [])
        assert x.exp().dtype is gg.float32


# ---- modules, loading, files ----
def test_hooks_are_registered_while_modules_run(device: str) -> None:
    net = nn.Linear(2, 2).to(device)
    x = gg.ones(1, 2, device=device)

    def nothing(module: nn.Module, args: tuple, y: gg.Tensor) -> None: ...

    registers = (net.register_forward_hook, nn.modules.module.register_module_forward_hook)
    stay = [register(nothing) for register in registers for _ in range(100)]

    def work(k: int) -> None:
        for _ in range(50):
            if k % 2:
                net(x)
            else:
                for handle in [register(nothing) for register in registers for _ in range(20)]:
                    handle.remove()

    try:
        in_threads(work)
    finally:
        for handle in stay:
            handle.remove()


def test_functional_calls_of_one_module(device: str) -> None:
    net = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 1)).to(device)
    own = [p.tolist() for p in net.parameters()]
    x = gg.ones(1, 2, device=device)

    def work(k: int) -> list[float]:
        values = {name: gg.full_like(p, float(k)) for name, p in net.named_parameters()}
        return [gg.func.functional_call(net, values, (x,)).item() for _ in range(20)]

    together = in_threads(work)
    assert together == [work(k) for k in range(THREADS)]
    assert [p.tolist() for p in net.parameters()] == own


def test_cached_parametrizations_belong_to_their_thread() -> None:
    layer = parametrizations.weight_norm(nn.Linear(2, 2))
    with parametrize.cached():
        assert layer.weight is layer.weight
        assert in_threads(lambda k: layer.weight is layer.weight) == [False] * THREADS
        assert in_threads(lambda k: _twice_cached(layer)) == [True] * THREADS
        assert layer.weight is layer.weight


def _twice_cached(layer: Any) -> bool:
    with parametrize.cached():
        return layer.weight is layer.weight


def test_checkpoints_stop_as_their_thread_says() -> None:
    def work(k: int) -> list[int]:
        runs: list[int] = []

        def function(x: gg.Tensor) -> gg.Tensor:
            y = x.exp()
            runs.append(1)
            return y

        for _ in range(30):
            with set_checkpoint_early_stop(k % 2 == 0):
                y = checkpoint(function, gg.ones(2, requires_grad=True), use_reentrant=False)
            y.sum().backward()
        return runs

    # Those that stop early do not come as far as to the second note.
    assert [len(runs) for runs in in_threads(work)] == [30, 60] * (THREADS // 2)


def test_safe_globals_of_all_threads() -> None:
    buffer = io.BytesIO()
    gg.save(argparse.Namespace(lr=0.1), buffer)

    def work(k: int) -> None:
        for _ in range(20):
            with gg.serialization.safe_globals([argparse.Namespace]):
                assert gg.load(io.BytesIO(buffer.getvalue())).lr == 0.1

    in_threads(work)
    assert gg.serialization.get_safe_globals() == []


class _Workers:
    """What a loader needs of its workers, without processes."""

    def __init__(self, dataset: Any, fetch: Any, **settings: Any) -> None:
        self.fetch, self.processes, self.busy = fetch, [], False

    def run(self, tasks: Iterator[Any], *settings: Any) -> Iterator[Any]:
        assert not self.busy
        self.busy = True
        yield from map(self.fetch, tasks)
        self.busy = False

    def close(self) -> None:
        assert not self.busy


def test_passes_over_a_loader_do_not_share_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataloader, "Workers", _Workers)
    for _ in range(10):
        loader = DataLoader(list(range(6)), batch_size=2, num_workers=1, persistent_workers=True)

        def work(k: int, loader: DataLoader = loader) -> list[int]:
            return [n for _ in range(10) for batch in loader for n in batch.tolist()]

        assert in_threads(work) == [[*range(6)] * 10] * THREADS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_random_numbers_in_a_process_that_is_forked_while_a_thread_draws() -> None:
    drawing, forked = threading.Event(), threading.Event()

    def draw() -> None:
        with random._lock:
            drawing.set()
            forked.wait(20)

    thread = threading.Thread(target=draw)
    thread.start()
    assert drawing.wait(20)
    pid = os.fork()
    if not pid:
        signal.alarm(20)  # ends the child if it waits for the lock
        os._exit(0 if 0 <= gg.rand(()).item() < 1 else 1)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_names_that_are_imported_late() -> None:
    code = """
import sys, threading
import gradgpu as gg
from gradgpu.ops import lazy

sys.setswitchinterval(1e-6)
packages = ["_sample_dirichlet", "_standard_gamma", "distributions"]
names = [*packages, *lazy.FUNCTIONS]
found, start = [], threading.Barrier(4)

def look(k):
    start.wait()
    found.append({name: getattr(gg, name) for name in packages[k % 3:] + names[k::4] + names})

threads = [threading.Thread(target=look, args=(k,)) for k in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 4 and all(f[name] is getattr(gg, name) for f in found for name in names)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- cuda ----
@pytest.mark.cuda
def test_an_index_is_looked_at_though_another_thread_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    x, bad = gg.arange(3.0, device="cuda"), gg.tensor([5], device="cuda")
    place = indexing.index_flag

    def meanwhile(op: str) -> tuple[int, int]:
        found = place(op)
        gg.ones((), device="cuda").item()  # as another thread might, before the kernel is launched
        return found

    monkeypatch.setattr(indexing, "index_flag", meanwhile)
    y = x.index_select(0, bad)
    with pytest.raises(IndexError, match="index_select: index 5 is out of bounds"):
        y.tolist()
    gg.cuda.synchronize()


@pytest.mark.cuda
def test_waiting_for_one_stream_does_not_hide_what_another_finds() -> None:
    x, bad, side = gg.arange(3.0, device="cuda"), gg.tensor([5], device="cuda"), gg.cuda.Stream()
    gg.cuda.synchronize()
    with gg.cuda.stream(side):
        x.index_select(0, bad)
    raised = []
    # The first raises where the other stream has done its work by then.
    for wait in (x.sum().item, side.synchronize):
        try:
            wait()
        except IndexError as error:
            raised.append(str(error))
    assert len(raised) == 1 and raised[0].startswith("index_select: index 5 is out of bounds")


@pytest.mark.cuda
def test_flags_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    gg.cuda.synchronize()
    for _ in range(20):
        monkeypatch.setattr(indexing, "_flags", {})
        places = in_threads(lambda k: indexing.index_flag("op")[0])
        assert places == [indexing._flags[0].ptr] * THREADS


@pytest.mark.cuda
def test_layouts_of_all_threads_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(50):
        monkeypatch.setattr(array, "_layouts", {})
        layouts = in_threads(lambda k: array.layout_of(0, np.dtype(np.float32), (3, 4)))
        assert all(layout is layouts[0] for layout in layouts)


@pytest.mark.cuda
def test_shared_memory_is_not_taken_away_from_another_thread() -> None:
    kernel = gg.cuda.compile_kernel(
        """#include "common.cuh"
        extern "C" __global__ void fill(float* y, int n) {
            SHARED_MEMORY(float, shared);
            shared[n - 1] = 3.0f;
            y[0] = shared[n - 1];
        }""",
        "fill",
    )
    y = gg.zeros(1, device="cuda")
    kernel.set_shared_memory_config(80_000)
    kernel._function().set_shared(60_000)  # as a thread does that wanted less and comes later
    kernel(1, 1, [y, 20_000], shared_mem=80_000)
    assert y.item() == 3


@pytest.mark.cuda
def test_page_locked_memory_of_all_threads() -> None:
    def work(k: int) -> None:
        for _ in range(50):
            pinned = [gg.full((50 + k,), float(n)).pin_memory() for n in range(4)]
            assert all(x.is_pinned() for x in pinned * 5) and not gg.zeros(50).is_pinned()
            copies = [x.to("cuda", non_blocking=True) for x in pinned]
            back = [x.to("cpu", non_blocking=True) for x in copies]
            gg.cuda.synchronize()
            assert [x.sum().item() for x in back] == [n * (50 + k) for n in range(4)]

    in_threads(work)


@pytest.mark.cuda
def test_peak_memory_of_other_threads() -> None:
    def work() -> None:
        gg.ones(1, device="cuda")
        gg.zeros(1 << 20, device="cuda")

    gg.cuda.reset_peak_memory_stats()
    before = gg.cuda.memory_allocated()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert gg.cuda.max_memory_allocated() - before >= 4 << 20


@pytest.mark.cuda
def test_what_kernels_print_and_report_goes_to_their_thread(capfd: pytest.CaptureFixture) -> None:
    kernel = gg.cuda.compile_kernel(
        r"""__global__ void say(int k) { printf("%d\n", k); }""",
        "say",
    )
    in_threads(lambda k: [kernel(1, 1, [10 * k + n]) for n in range(10)])
    gg.cuda.synchronize()
    said = [int(line) for line in capfd.readouterr().out.split()]
    assert sorted(said) == [10 * k + n for k in range(THREADS) for n in range(10)]


def test_futures() -> None:
    from gradgpu.futures import Future, collect_all, wait_all

    first: Future = Future()
    seen: list = []
    first.add_done_callback(lambda future: seen.append(future.value()))
    double = first.then(lambda future: future.value() * 2)
    broken = double.then(lambda future: future.value() / 0)
    assert not first.done() and not double.done()
    with pytest.raises(RuntimeError, match="no result yet"):
        first.value()
    setter = threading.Thread(target=first.set_result, args=(gg.ones(2),))
    setter.start()
    assert double.wait().tolist() == [2.0, 2.0] and first.wait().tolist() == [1.0, 1.0]
    setter.join()
    assert seen[0].tolist() == [1.0, 1.0] and broken.wait().isinf().all()
    with pytest.raises(RuntimeError, match="set already"):
        first.set_result(1)
    failed: Future = Future()
    after = failed.then(lambda future: future.value())
    failed.set_exception(ValueError("no"))
    for future in (failed, after):
        with pytest.raises(ValueError, match="no"):
            future.wait()
    with pytest.raises(TypeError, match="not an Exception"):
        Future().set_exception("no")  # type: ignore[arg-type]
    first.add_done_callback(lambda future: seen.append("at once"))
    assert seen[-1] == "at once" and collect_all([]).wait() == []
    late: Future = Future()
    both = collect_all([first, late])
    assert not both.done()
    late.set_result(3)
    assert both.done() and wait_all([late, late]) == [3, 3]
    with pytest.raises(ValueError, match="no"):
        wait_all([late, failed])
