"""Streams and events: their order, what becomes current where, copies between devices.

Most tests look at the last device, too: the same one where there is only one.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.cuda.backend import backend

pytestmark = pytest.mark.cuda


@pytest.fixture(params=["first", "last"])
def place(request: pytest.FixtureRequest) -> int:
    """The index of a device."""
    return 0 if request.param == "first" else gg.cuda.device_count() - 1


def test_current_and_default_streams(place: int) -> None:
    here, where = gg.cuda.current_stream(), gg.cuda.current_device()
    assert here == gg.cuda.default_stream() and here.cuda_stream == 0
    s = gg.cuda.Stream(place)
    assert s.device == gg.device("cuda", place) and s.cuda_stream != 0 and s != gg.cuda.default_stream(place)
    with gg.cuda.stream(s) as nothing:
        assert nothing is None
        assert gg.cuda.current_stream() == s == gg.cuda.current_stream(place)
        assert gg.cuda.current_device() == place
        assert gg.ones(2, device="cuda").device == s.device
        with gg.cuda.stream(None):
            assert gg.cuda.current_stream() == s
        with gg.cuda.stream(gg.cuda.default_stream(place)):
            assert gg.cuda.current_stream() == gg.cuda.default_stream(place)
        with s as same:
            assert same is s and gg.cuda.current_stream() == s
        gg.cuda.set_device(where)
    assert gg.cuda.current_stream() == here and gg.cuda.current_device() == where
    assert gg.cuda.current_stream(place) == gg.cuda.default_stream(place)
    with pytest.raises(KeyError), s:
        raise KeyError
    assert gg.cuda.current_stream() == here and gg.cuda.current_device() == where


def test_streams_of_two_devices_are_current_side_by_side(place: int) -> None:
    s, t = gg.cuda.Stream(0), gg.cuda.Stream(place)
    with gg.cuda.stream(s), gg.cuda.stream(t):
        assert gg.cuda.current_stream() == t
        assert gg.cuda.current_stream(0) == (t if place == 0 else s)
        with gg.cuda.device(0):
            assert gg.cuda.current_stream() == (t if place == 0 else s)


def test_set_stream(place: int) -> None:
    s, where = gg.cuda.Stream(place), gg.cuda.current_device()
    try:
        gg.cuda.set_stream(s)
        gg.cuda.set_stream(None)
        assert gg.cuda.current_stream() == s and gg.cuda.current_device() == place
        with gg.cuda.stream(gg.cuda.Stream(place)):
            assert gg.cuda.current_stream() != s
        assert gg.cuda.current_stream() == s
    finally:
        gg.cuda.set_stream(gg.cuda.default_stream(place))
        gg.cuda.set_device(where)
    assert gg.cuda.current_stream() == gg.cuda.default_stream()


def test_each_thread_has_its_own_current_stream() -> None:
    seen = []
    with gg.cuda.stream(gg.cuda.Stream()):
        thread = threading.Thread(target=lambda: seen.append(gg.cuda.current_stream()))
        thread.start()
        thread.join()
    assert seen == [gg.cuda.default_stream()]


def test_external_streams() -> None:
    s = gg.cuda.Stream()
    same = gg.cuda.ExternalStream(s.cuda_stream)
    assert same == s and hash(same) == hash(s) and isinstance(same, gg.cuda.Stream)
    assert s.__cuda_stream__() == (0, s.cuda_stream)
    with gg.cuda.stream(same):
        assert gg.cuda.current_stream() == s
        y = gg.arange(4, device="cuda") + 1
    same.synchronize()
    assert same.query() and y.tolist() == [1, 2, 3, 4]


def test_work_of_one_stream_waits_for_that_of_another(place: int) -> None:
    first, second = gg.cuda.Stream(place), gg.cuda.Stream(place)
    with gg.cuda.stream(first):
        x = gg.full((5000,), 2.0, device="cuda") * 3
    second.wait_stream(first)
    with gg.cuda.stream(second):
        y = x + 1
        event = gg.cuda.Event()
        event.record()
    with gg.cuda.stream(first):
        event.wait()
        z = y * 2
    third = gg.cuda.Stream(place)
    third.wait_event(first.record_event())
    with gg.cuda.stream(third):
        total = (z + y).sum()
    third.synchronize()
    assert third.query() and total.item() == 5000 * 21


def test_events(place: int) -> None:
    event = gg.cuda.Event()
    assert event.query() and event.device is None and event.cuda_event == 0  # as if reached
    assert repr(event) == "<gradgpu.cuda.Event uninitialized>"
    event.synchronize()
    gg.cuda.current_stream().wait_event(event)
    event.wait()
    s = gg.cuda.Stream(place)
    with gg.cuda.stream(s):
        x = gg.full((1000,), 1.0, device="cuda") + 1
        assert s.record_event(event) is event
    assert event.device == gg.device("cuda", place) and event.cuda_event != 0
    assert repr(event) == f"<gradgpu.cuda.Event {event.cuda_event:#x}>"
    event.synchronize()
    assert event.query() and s.query() and x.sum().item() == 2000
    event.record(s)  # again: the mark moves
    event.synchronize()
    waiting = gg.cuda.Event(blocking=True)
    waiting.record(s)
    waiting.synchronize()
    assert waiting.query()


def test_an_event_belongs_to_one_device() -> None:
    last = gg.cuda.device_count() - 1
    event = gg.cuda.Stream(0).record_event()
    other = gg.cuda.Stream(last)
    if last:
        with pytest.raises(RuntimeError, match="Event device 0 does not match recording stream's device"):
            event.record(other)
    else:
        event.record(other)
    other.wait_event(event)  # that may be any stream
    other.synchronize()
    with pytest.raises(NotImplementedError, match="between processes"):
        gg.cuda.Event(interprocess=True)


def test_elapsed_time() -> None:
    start, end = (gg.cuda.Event(enable_timing=True) for _ in range(2))
    with pytest.raises(ValueError, match="must be created with argument 'enable_timing=True'"):
        start.elapsed_time(gg.cuda.Event())
    with pytest.raises(ValueError, match="must be recorded before"):
        start.elapsed_time(end)
    start.record()
    x = gg.ones(1000, device="cuda")
    for _ in range(20):
        x = x * 1.5
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 0 >= end.elapsed_time(start)


def test_elapsed_time_of_work_that_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = (gg.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    end.record()
    monkeypatch.setattr(type(end), "query", lambda self: False)
    with pytest.raises(RuntimeError, match="must be completed before calculating elapsed time"):
        start.elapsed_time(end)


def test_priorities() -> None:
    high = gg.cuda.Stream(priority=-1)
    with gg.cuda.stream(high):
        x = gg.ones(3, device="cuda") * 4
    high.synchronize()
    assert x.tolist() == [4, 4, 4]


def test_copies_between_devices_are_in_order(place: int) -> None:
    """Work on the source before, work on the target after, and work on the memory that the target had before."""
    here, there = gg.cuda.Stream(0), gg.cuda.Stream(place)
    with gg.cuda.stream(there):
        old = gg.full((5000,), 7.0, device="cuda")
        before = old * 2
        del old  # its memory serves the copy
    with gg.cuda.stream(there), gg.cuda.stream(here):
        x = gg.full((5000,), 2.0, device="cuda:0") * 3
        y = x.to(f"cuda:{place}", copy=True)
        del x
        again = gg.full((5000,), 9.0, device="cuda:0")
        with gg.cuda.stream(there):
            if place == 0:
                there.wait_stream(here)
            z = y + 1
        there.synchronize()
        assert z.min().item() == z.max().item() == 7 and z.device.index == place
        assert before.min().item() == before.max().item() == 14
        assert again.min().item() == 9


def test_what_streams_share_is_there_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants on the device are made on the stream that first needs them, and used on every stream."""
    from gradgpu.cuda import indexing

    gg.cuda.synchronize()
    monkeypatch.setattr(indexing, "_flags", {})
    signal = np.random.default_rng(0).normal(size=(53,)).astype(np.float32)

    def work() -> tuple[gg.Tensor, gg.Tensor]:
        on_cuda = gg.tensor(signal, device="cuda")
        return gg.fft.fft(on_cuda), on_cuda.index_select(0, gg.tensor([0, 2], device="cuda"))

    first, second = gg.cuda.Stream(), gg.cuda.Stream()
    with gg.cuda.stream(first):
        begun = work()
    with gg.cuda.stream(second):  # waits for nothing that the other one has still to do
        transformed, picked = work()
        assert np.allclose(transformed.cpu().numpy(), np.fft.fft(signal), atol=1e-4)
        assert picked.tolist() == signal[[0, 2]].tolist()
    with gg.cuda.stream(first):
        assert np.array_equal(begun[0].cpu().numpy(), transformed.cpu().numpy())


def test_waiting_for_a_stream_shows_a_wrong_index() -> None:
    s = gg.cuda.Stream()
    with gg.cuda.stream(s):
        gg.arange(3.0, device="cuda").index_select(0, gg.tensor([5], device="cuda"))
        with pytest.raises(IndexError, match="index 5 is out of bounds"):
            s.synchronize()
    gg.cuda.synchronize()


def test_the_backend_knows_the_stream_too() -> None:
    s = gg.cuda.Stream()
    with gg.cuda.stream(s):
        assert backend().current_stream_ptr() == s.cuda_stream == backend().current_stream().ptr
    assert backend().current_stream_ptr() == 0


# ---- backward ----
def net(x: gg.Tensor, weights: list[gg.Tensor]) -> gg.Tensor:
    for w in weights:
        x = (x @ w).tanh()
    return (x * x).sum()


def gradients(streams: bool, place: int) -> list:
    """Gradients of a net whose forward pass is on some streams or on one."""
    gg.manual_seed(3)
    weights = [gg.randn(40, 40, device=f"cuda:{place}").div_(6).requires_grad_() for _ in range(4)]
    x = gg.randn(64, 40, device=f"cuda:{place}")
    found = []
    s, t = (gg.cuda.Stream(place) for _ in range(2))
    for _ in range(3):
        if not streams:
            loss = net(net(x, weights[:2]) * x, weights[2:]) + net(x, weights)
            loss.backward()
        else:
            current = gg.cuda.current_stream(place)
            s.wait_stream(current)
            with gg.cuda.stream(s):
                first = net(x, weights[:2])
            t.wait_stream(s)
            with gg.cuda.stream(t):
                second = net(x, weights)
            with gg.cuda.stream(s):
                loss = net(first * x, weights[2:])
            current.wait_stream(s)
            current.wait_stream(t)
            (loss + second).backward()
        found.append([w.grad.clone() for w in weights])
        for w in weights:
            w.grad = None
    return [[g.tolist() for g in row] for row in found]


@pytest.mark.cuda
def test_backward_runs_on_the_streams_of_forward(place: int) -> None:
    assert gradients(True, place) == gradients(False, place)


@pytest.mark.cuda
def test_backward_of_work_that_this_stream_has_not_waited_for() -> None:
    s = gg.cuda.Stream()
    x = gg.ones(3000, device="cuda").requires_grad_()
    s.wait_stream(gg.cuda.current_stream())
    with gg.cuda.stream(s):
        y = (x * 2).exp().sum()
    y.backward()  # on the stream s; this one waits for it
    assert gg.cuda.current_stream() == gg.cuda.default_stream()
    assert np.allclose(x.grad.cpu().numpy(), 2 * np.exp(2.0), rtol=1e-5)
    with gg.cuda.stream(s):
        x.grad = None
        y = (x * 2).exp().sum()
        y.backward()
        assert np.allclose(x.grad.cpu().numpy(), 2 * np.exp(2.0), rtol=1e-5)
    (gradient,) = gg.autograd.grad((x * 3).sum(), x)
    assert gradient.max().item() == 3


def test_double_backward_follows_the_first(place: int) -> None:
    s = gg.cuda.Stream(place)
    x = gg.full((2000,), 2.0, device=f"cuda:{place}").requires_grad_()
    s.wait_stream(gg.cuda.current_stream(place))
    with gg.cuda.stream(s):
        y = (x**3).sum()
    (first,) = gg.autograd.grad(y, x, create_graph=True)
    (second,) = gg.autograd.grad(first.sum(), x)
    assert first.min().item() == first.max().item() == 12
    assert second.min().item() == second.max().item() == 12


def test_backward_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradgpu.autograd import engine

    s = gg.cuda.Stream()
    x = gg.ones(3000, device="cuda").requires_grad_()
    s.wait_stream(gg.cuda.current_stream())
    with gg.cuda.stream(s):
        y = (x * 2).exp().sum()
        monkeypatch.setattr(engine.state, "depth", engine._MAX_DEPTH + 1)
        y.backward()
        monkeypatch.undo()
        assert gg.cuda.current_stream() == s
        assert np.allclose(x.grad.cpu().numpy(), 2 * np.exp(2.0), rtol=1e-5)


def test_an_error_in_backward_leaves_the_stream_as_it_was() -> None:
    s = gg.cuda.Stream()
    x = gg.ones(3, device="cuda").requires_grad_()
    with gg.cuda.stream(s):
        y = x * 2
        y.register_hook(lambda g: 1 / 0)
        z = (y * y).sum()
    with pytest.raises(ZeroDivisionError):
        z.backward()
    assert gg.cuda.current_stream() == gg.cuda.default_stream()


def test_hooks_see_gradients_that_are_there() -> None:
    s = gg.cuda.Stream()
    x = gg.ones(3000, device="cuda").requires_grad_()
    seen = []
    s.wait_stream(gg.cuda.current_stream())
    with gg.cuda.stream(s):
        y = x * 2
        y.register_hook(lambda g: seen.append(g.max().item()))
        z = (y * 3).sum()
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.max().item()))
    z.backward()
    assert seen == [3, 6]


def test_streams_of_copies_leave_nothing_to_follow() -> None:
    from gradgpu.cuda import stream_log

    s, log = gg.cuda.Stream(), stream_log._local
    x = gg.ones(3, device="cuda").requires_grad_()
    (x * 1).sum().backward()  # so that there are nodes before
    before = len(log.numbers)
    for _ in range(5):
        with gg.cuda.stream(s):
            data = gg.ones(3).pin_memory().to("cuda", non_blocking=True)
        gg.cuda.current_stream().wait_stream(s)
        (x * data).sum().backward()
    assert len(log.numbers) <= before + 1 and x.grad.tolist() == [6, 6, 6]


def test_the_log_of_streams_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradgpu.cuda import stream_log

    monkeypatch.setattr(stream_log, "_MOST", 50)
    s = gg.cuda.Stream()
    x = gg.ones(3, device="cuda").requires_grad_()
    s.wait_stream(gg.cuda.current_stream())
    total = x.sum()
    for _ in range(100):
        with gg.cuda.stream(s):
            total = total + (x * 2).sum()
        gg.cuda.current_stream().wait_stream(s)
    assert len(stream_log._local.numbers) <= 50
    total.backward()
    assert x.grad.tolist() == [201, 201, 201]


@pytest.mark.cuda
def test_memory_that_backward_has_freed_is_written_only_after_it() -> None:
    s, t = gg.cuda.Stream(), gg.cuda.Stream()
    x = gg.ones(3000, device="cuda").requires_grad_()
    t.wait_stream(gg.cuda.current_stream())
    with gg.cuda.stream(t):
        a = x.exp()
    s.wait_stream(t)
    with gg.cuda.stream(s):
        y = (a * 3).sum()
    y.backward()  # the gradient of a comes from s, and is read on t
    with gg.cuda.stream(s):
        later = [gg.full((3000,), 50.0, device="cuda") for _ in range(3)]
        s.synchronize()
    assert np.allclose(x.grad.cpu().numpy(), 3 * np.exp(1.0), rtol=1e-5)
    assert all(z.min().item() == 50 for z in later)
