"""Page-locked memory, copies that the host does not wait for, memory that several streams use."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.cuda import in_flight, pinned
from gradgpu.cuda.backend import backend

pytestmark = pytest.mark.cuda

N = 3000  # elements, so that a copy is more than a page


def page_locked(value: float, n: int = N) -> gg.Tensor:
    return gg.full((n,), value, pin_memory=True)


def wait() -> None:
    gg.cuda.synchronize()


# ---- what is page-locked ----
@pytest.mark.parametrize(
    "dtype", [gg.float32, gg.float64, gg.float16, gg.bfloat16, gg.int64, gg.uint8, gg.bool, gg.complex64]
)
def test_pin_memory_copies(dtype: gg.dtype) -> None:
    x = gg.arange(6).reshape(2, 3).T.to(dtype)
    y = x.pin_memory()
    assert y.is_pinned() and not x.is_pinned() and y.pin_memory() is y
    assert y.dtype is dtype and y.shape == (3, 2) and y.is_contiguous() and y.tolist() == x.tolist()
    y.fill_(1)
    assert x.tolist() == gg.arange(6).reshape(2, 3).T.to(dtype).tolist()
    assert y.to("cuda").tolist() == gg.ones(3, 2, dtype=dtype).tolist()


def test_views_of_pinned_memory_are_pinned() -> None:
    x = gg.arange(24.0).reshape(4, 6).pin_memory()
    for view in (x[1:], x[3, 5], x.T, x[:, ::2], x.view(-1), x.detach(), x.data, gg.from_numpy(x.numpy())):
        assert view.is_pinned()
    for other in (
        x + 1,
        x.clone(),
        gg.from_numpy(x.numpy().copy()),
        x.to("cuda"),
        gg.empty(3, device="meta"),
    ):
        assert not other.is_pinned()
    assert x[3, 5].pin_memory().item() == 23
    assert x[1:].untyped_storage().is_pinned() and not (x + 1).storage().is_pinned()


def test_small_and_empty_tensors() -> None:
    scalar = gg.tensor(2.5).pin_memory()
    assert scalar.is_pinned() and scalar.shape == () and scalar.item() == 2.5
    empty = gg.empty(0, 3).pin_memory()
    assert empty.shape == (0, 3) and empty.to("cuda", non_blocking=True).cpu().shape == (0, 3)


def test_the_gradient_flows_through_pinning_and_moving() -> None:
    x = gg.arange(3.0).requires_grad_()
    y = x.pin_memory().to("cuda", non_blocking=True)
    (y * y).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 2, 4]


def test_what_cannot_be_pinned() -> None:
    with pytest.raises(RuntimeError, match=r"cannot pin 'gradgpu.cuda.FloatTensor' only dense CPU tensors"):
        gg.ones(2, device="cuda").pin_memory()
    with pytest.raises(RuntimeError, match="cannot pin 'gradgpu.MetaTensor' only dense CPU tensors"):
        gg.empty(2, device="meta").pin_memory()
    with pytest.warns(DeprecationWarning, match=r"'device' of Tensor.pin_memory\(\) is deprecated"):
        assert gg.ones(2).pin_memory("cuda").is_pinned()
    with pytest.warns(DeprecationWarning, match=r"'device' of Tensor.is_pinned\(\) is deprecated"):
        assert not gg.ones(2).is_pinned("cuda")
    with pytest.warns(DeprecationWarning, match="device"), pytest.raises(RuntimeError, match="not for 'cpu'"):
        gg.ones(2).pin_memory("cpu")


def test_pinning_needs_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise RuntimeError("'cuda' finds no NVIDIA device.")

    monkeypatch.setattr(pinned, "backend", none)
    monkeypatch.setattr(pinned, "is_initialized", lambda: False)
    assert not gg.ones(2).is_pinned()
    for make in (gg.ones(2).pin_memory, lambda: gg.ones(2, pin_memory=True)):
        with pytest.raises(
            RuntimeError, match="page-locked memory needs a CUDA device, and none is available"
        ):
            make()


def test_looking_does_not_start_the_device() -> None:
    program = "import gradgpu as gg; assert not gg.ones(2).is_pinned() and not gg.cuda.is_initialized(); print('so')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "so\n", done.stderr


def test_factories() -> None:
    x = gg.ones(2, 2)
    makers = {
        "empty": lambda **k: gg.empty(2, **k),
        "zeros": lambda **k: gg.zeros(2, 3, **k),
        "ones": lambda **k: gg.ones(2, dtype=gg.int64, **k),
        "full": lambda **k: gg.full((2,), 3.0, **k),
        "tensor": lambda **k: gg.tensor([1.0, 2.0], **k),
        "tensor of a number": lambda **k: gg.tensor(1.5, **k),
        "tensor of a tensor": lambda **k: gg.tensor(x.T, **k),
        "scalar_tensor": lambda **k: gg.scalar_tensor(1.5, **k),
        "arange": lambda **k: gg.arange(4, **k),
        "linspace": lambda **k: gg.linspace(0, 1, 3, **k),
        "logspace": lambda **k: gg.logspace(0, 1, 3, **k),
        "eye": lambda **k: gg.eye(3, **k),
        "rand": lambda **k: gg.rand(3, **k),
        "randn": lambda **k: gg.randn(3, **k),
        "randint": lambda **k: gg.randint(0, 9, (3,), **k),
        "randperm": lambda **k: gg.randperm(3, **k),
        "normal": lambda **k: gg.normal(0.0, 1.0, (3,), **k),
        "zeros_like": lambda **k: gg.zeros_like(x, **k),
        "ones_like": lambda **k: gg.ones_like(x, **k),
        "empty_like": lambda **k: gg.empty_like(x, **k),
        "full_like": lambda **k: gg.full_like(x, 2, **k),
        "rand_like": lambda **k: gg.rand_like(x, **k),
        "randn_like": lambda **k: gg.randn_like(x, **k),
        "randint_like": lambda **k: gg.randint_like(x, 5, **k),
        "new_zeros": lambda **k: x.new_zeros(2, **k),
        "new_ones": lambda **k: x.new_ones(2, **k),
        "new_empty": lambda **k: x.new_empty(2, **k),
        "new_full": lambda **k: x.new_full((2,), 1, **k),
        "new_tensor": lambda **k: x.new_tensor([1.0], **k),
        "new_empty_strided": lambda **k: x.new_empty_strided((2, 2), (1, 2), **k),
        "empty_strided": lambda **k: gg.empty_strided((2, 2), (1, 2), **k),
        "empty_permuted": lambda **k: gg.empty_permuted((2, 3), (1, 0), **k),
    }
    for name, make in makers.items():
        gg.manual_seed(1)
        plain = make()
        gg.manual_seed(1)
        made = make(pin_memory=True)
        assert made.is_pinned() and not plain.is_pinned() and not make(pin_memory=False).is_pinned(), name
        assert made.dtype is plain.dtype and made.shape == plain.shape, name
        assert made.stride() == plain.stride(), name
        if "empty" not in name:
            assert made.tolist() == plain.tolist(), name
        with pytest.raises(RuntimeError, match="Only dense CPU tensors can be pinned"):
            make(pin_memory=True, device="cuda")
    leaf = gg.ones(2, requires_grad=True, pin_memory=True)
    assert leaf.is_leaf and leaf.requires_grad and leaf.is_pinned()
    assert gg.zeros(2, device="meta", pin_memory=True).is_meta


# ---- copies ----
def test_a_blocking_copy_is_done_with_its_source() -> None:
    for x in (page_locked(1.0), gg.full((N,), 1.0)):
        made = [x.to("cuda"), x.cuda(), gg.empty(N, device="cuda").copy_(x), gg.tensor(x, device="cuda")]
        made.append(x.to("cuda", gg.float64))
        x.fill_(2.0)
        for y in made:
            assert y.min().item() == y.max().item() == 1


def test_a_copy_from_pageable_memory_is_done_with_its_source() -> None:
    x = gg.full((N,), 1.0)
    made = [
        x.to("cuda", non_blocking=True),
        x.cuda(non_blocking=True),
        x.to("cuda", gg.int32, True),
        gg.empty(N, device="cuda").copy_(x, non_blocking=True),
        page_locked(1.0)[::2].to("cuda", non_blocking=True),  # has gaps: made contiguous in pageable memory
    ]
    x.fill_(2.0)
    for y in made:
        assert y.min().item() == y.max().item() == 1


@pytest.mark.parametrize(
    "way", ["to", "cuda", "copy_", "copy_ into a view", "to another dtype", "positional"]
)
def test_the_source_of_a_copy_stays_until_it_is_done(way: str) -> None:
    x = page_locked(1.0)
    if way == "to":
        y = x.to("cuda", non_blocking=True)
    elif way == "cuda":
        y = x.cuda(non_blocking=True)
    elif way == "copy_":
        y = gg.empty(N, device="cuda").copy_(x, non_blocking=True)
    elif way == "copy_ into a view":
        y = gg.empty(2, N, device="cuda")[1].copy_(x, True)
    elif way == "to another dtype":
        y = x.to(gg.float64, device="cuda", non_blocking=True)
    else:
        y = x.to("cuda", gg.float64, True)
    del x
    # Without an event behind the copy the pool would give out the same memory again.
    others = [page_locked(2.0) for _ in range(4)]
    assert y.min().item() == y.max().item() == 1
    assert all(other.min().item() == 2 for other in others)


def test_the_target_of_a_copy_stays_until_it_is_done() -> None:
    y = gg.full((N,), 1.0, device="cuda")
    host = y.to("cpu", non_blocking=True)
    assert host.is_pinned()
    del host
    others = [page_locked(2.0) for _ in range(4)]
    wait()
    assert all(other.min().item() == other.max().item() == 2 for other in others)


def test_a_copy_to_the_host_waits_only_for_its_stream() -> None:
    side = gg.cuda.Stream()
    with gg.cuda.stream(side):
        y = gg.full((N,), 3.0, device="cuda")
        host = (y * 2).to("cpu", non_blocking=True)
        done = side.record_event()
        blocking = y.to("cpu")
        assert blocking.max().item() == 3 and not blocking.is_pinned()
        assert y.cpu().max().item() == 3
    done.synchronize()
    assert host.is_pinned() and host.min().item() == host.max().item() == 6
    converted = y.to("cpu", gg.float64, non_blocking=True)
    side.synchronize()
    wait()
    assert converted.dtype is gg.float64 and converted.max().item() == 3


@pytest.mark.parametrize(
    "up, source_pinned, target_pinned, dtype, layout, non_blocking",
    [
        case
        for case in itertools.product(
            (True, False),
            (True, False),
            (True, False),
            (gg.float32, gg.float16),
            ("same", "transposed", "broadcast", "view"),
            (True, False),
        )
        if not (case[2] and case[0])  # memory on cuda is not page-locked
        and not (case[1] and not case[0])
    ],
)
def test_copy_between_devices(
    up: bool, source_pinned: bool, target_pinned: bool, dtype: gg.dtype, layout: str, non_blocking: bool
) -> None:
    values = gg.arange(12.0).reshape(3, 4) if layout != "broadcast" else gg.arange(4.0)
    source = values.pin_memory() if source_pinned else values.clone()
    source = source if up else source.to("cuda")
    target = gg.zeros(3, 4, dtype=dtype, pin_memory=target_pinned)
    if layout == "transposed":
        target = gg.zeros(4, 3, dtype=dtype, pin_memory=target_pinned)
    target = target.to("cuda") if up else target
    written = target.T if layout == "transposed" else target
    if layout == "view":
        written, values, source = target[1:], values[1:], source[1:]
    before = target._version
    assert written.copy_(source, non_blocking=non_blocking) is written
    if non_blocking:
        wait()
    expected = values.to(dtype).expand(written.shape)
    assert written.tolist() == expected.tolist()
    assert target._version == before + 1
    if layout == "view":
        assert target[0].tolist() == [0, 0, 0, 0]


def test_copy_between_devices_and_the_tape() -> None:
    x = gg.ones(3, requires_grad=True)
    y = gg.zeros(3, device="cuda")
    y.copy_(x, non_blocking=True)
    (2 * y).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 2, 2]
    weight = gg.zeros(3, device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        weight.copy_(gg.ones(3).pin_memory(), non_blocking=True)
    with gg.no_grad():
        weight.copy_(gg.ones(3).pin_memory(), non_blocking=True)
    assert weight.tolist() == [1, 1, 1] and weight.requires_grad and weight.is_leaf
    base = gg.ones(2, 3, device="cuda", requires_grad=True) * 1
    base[0].copy_(gg.full((3,), 5.0), non_blocking=True)
    base.sum().backward()
    assert base.tolist() == [[5, 5, 5], [1, 1, 1]]
    saved = gg.zeros(3, device="cuda")
    product = weight * saved
    saved.copy_(gg.ones(3))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    frozen = gg.zeros(1, device="cuda").expand(3)
    with pytest.raises(RuntimeError, match="more than one element"):
        frozen.copy_(gg.ones(3))


def test_modules_move_without_waiting() -> None:
    layer = gg.nn.Linear(40, 50)
    with gg.no_grad():
        for p in layer.parameters():
            p.data = p.data.pin_memory()
    before = [p.tolist() for p in layer.parameters()]
    pinned_weights = [p.data for p in layer.parameters()]
    layer.to("cuda", non_blocking=True)
    del pinned_weights
    others = [page_locked(9.0, n) for n in (2000, 50)]
    assert [p.tolist() for p in layer.parameters()] == before and len(others) == 2
    layer.to("cpu", gg.float64, True)
    wait()
    assert all(p.is_pinned() for p in layer.parameters()) and layer.weight.dtype is gg.float64
    assert [p.float().tolist() for p in layer.parameters()] == before


def test_saved_values_wait_in_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def empty(shape: tuple, dtype: np.dtype, make: Callable = pinned.empty) -> np.ndarray:
        shapes.append(tuple(shape))
        return make(shape, dtype)

    monkeypatch.setattr(pinned, "empty", empty)
    x = gg.arange(1.0, 5.0, device="cuda").requires_grad_()
    with gg.autograd.graph.save_on_cpu(pin_memory=True):
        y = (x * x).exp()
    assert shapes and set(shapes) == {(4,)}
    y.sum().backward()
    assert x.grad is not None
    expected = 2 * np.arange(1.0, 5.0) * np.exp(np.arange(1.0, 5.0) ** 2)
    assert np.allclose(x.grad.cpu().numpy(), expected, rtol=1e-5)


def test_pinned_memory_is_freed() -> None:
    for _ in range(3):
        page_locked(1.0).to("cuda", non_blocking=True)
    wait()
    assert not in_flight.pending()
    x = page_locked(1.0)
    address = x.data_ptr()
    assert backend().is_pinned(address) and backend().is_pinned(address + 4 * N - 1)
    assert not backend().is_pinned(np.zeros(1 << 20).ctypes.data)


def test_saving_pinned_tensors(tmp_path: object) -> None:
    path = f"{tmp_path}/x.pt"
    gg.save({"x": page_locked(1.0, 5)}, path)
    loaded = gg.load(path)["x"]
    assert loaded.tolist() == [1] * 5 and not loaded.is_pinned()


# ---- memory that several streams use ----
def test_memory_used_on_another_stream_is_not_given_out_before() -> None:
    side, here = gg.cuda.Stream(), gg.cuda.current_stream()
    x = gg.full((1 << 14,), 1.0, device="cuda")
    side.wait_stream(here)
    x.record_stream(side)
    view = x[5:]
    del x  # the view goes on using the memory
    with gg.cuda.stream(side):
        y = view * 2
    view.record_stream(side)
    del view
    others = [gg.full((1 << 14,), 5.0, device="cuda") for _ in range(3)]
    here.synchronize()  # the work of this stream is done, that of the other one need not be
    side.synchronize()
    assert y.min().item() == y.max().item() == 2
    assert all(other.min().item() == 5 for other in others)


def test_recorded_memory_comes_back() -> None:
    side = gg.cuda.Stream()
    wait()
    before = gg.cuda.memory_allocated()
    x = gg.zeros(1 << 16, device="cuda")
    x.record_stream(side)
    x.record_stream(side)
    x.record_stream(gg.cuda.current_stream())
    assert len(in_flight._shared) == 1
    kept = x.view(2, -1)
    del x
    wait()
    wait()
    assert gg.cuda.memory_allocated() == before + 4 * (1 << 16)  # the view is there
    del kept
    for _ in range(3):
        wait()
    assert gg.cuda.memory_allocated() == before
    assert not in_flight.pending()


def test_recorded_memory_is_free_when_memory_runs_out() -> None:
    side = gg.cuda.Stream()
    x = gg.zeros(1 << 16, device="cuda")
    x.record_stream(side)
    del x
    assert in_flight._shared
    gc.collect()  # as allocators do before they give up
    assert not in_flight.pending()


def test_record_stream_refuses() -> None:
    with pytest.raises(TypeError, match=r"expected a gradgpu.cuda.Stream, got int"):
        gg.zeros(2, device="cuda").record_stream(3)
    with pytest.raises(RuntimeError, match="this one is on cpu"):
        gg.zeros(2).record_stream(gg.cuda.Stream())


def test_a_prefetching_loop() -> None:
    """The usual loop: batches are copied on a stream of their own while the last one is worked on."""
    side, here = gg.cuda.Stream(), gg.cuda.current_stream()
    batches = [gg.full((N,), float(k)).pin_memory() for k in range(6)]

    def fetch(k: int) -> gg.Tensor:
        with gg.cuda.stream(side):
            return batches[k].to("cuda", non_blocking=True)

    sums, ahead = [], fetch(0)
    for k in range(len(batches)):
        here.wait_stream(side)
        x, ahead = ahead, fetch(k + 1) if k + 1 < len(batches) else None
        x.record_stream(here)
        sums.append((x * 2).sum())
        del x
    assert [s.item() for s in sums] == [2.0 * N * k for k in range(6)]


class Collected(gg.utils.data.Dataset):
    """Sample: how much memory of the parent's is noted here, after a collection of garbage."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        gc.collect()
        in_flight.release(wait=True)
        return len(in_flight._shared)


def test_worker_processes_leave_the_parents_memory_alone() -> None:
    side = gg.cuda.Stream()
    gc.collect()
    assert not in_flight._shared
    gg.zeros(4, device="cuda").record_stream(side)
    (seen,) = gg.utils.data.DataLoader(Collected(), num_workers=1, multiprocessing_context="fork")
    assert seen.tolist() == [1]
    gc.collect()
    assert not in_flight._shared


def test_packed_sequences() -> None:
    packed = gg.nn.utils.rnn.pack_sequence([gg.ones(2), gg.ones(3) * 2], enforce_sorted=False)
    pinned_one = packed.pin_memory()
    assert pinned_one.is_pinned() and pinned_one.sorted_indices.is_pinned()
    assert not pinned_one.batch_sizes.is_pinned() and not packed.is_pinned()
    for moved in (
        pinned_one.cuda(non_blocking=True),
        pinned_one.to("cuda", non_blocking=True),
        packed.cuda(0),
    ):
        assert moved.is_cuda and moved.sorted_indices.is_cuda and not moved.batch_sizes.is_cuda
        assert moved.to("cuda") is moved
        padded, lengths = gg.nn.utils.rnn.pad_packed_sequence(moved)
        assert padded.T.tolist() == [[1, 1, 0], [2, 2, 2]] and lengths.tolist() == [2, 3]


def test_free_pinned_memory_goes_back_to_the_system() -> None:
    x = page_locked(1.0, 1 << 18)
    address = x.data_ptr()
    y = x.to("cuda", non_blocking=True)
    del x
    gg.cuda.synchronize()
    gg.accelerator.empty_host_cache()
    assert not backend().is_pinned(address) and y.min().item() == 1


def test_copies_in_many_threads() -> None:
    found: list[bool] = []

    def work(k: int) -> None:
        with gg.cuda.stream(gg.cuda.Stream()):
            for _ in range(20):
                x = page_locked(float(k)).to("cuda", non_blocking=True)
                x.record_stream(gg.cuda.default_stream())
                host = (x * 2).to("cpu", non_blocking=True)
                gg.cuda.current_stream().synchronize()
                found.append(bool((host == 2 * k).all()))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80 and all(found)
    for _ in range(3):
        wait()
    assert not in_flight.pending()
