"""Profiles: which operations ran, how often, within what, and how it is shown."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)


def counts(prof: Any) -> dict[str, int]:
    return {event.key: event.count for event in prof.key_averages()}


def a_step(device: str) -> Any:
    gg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)).to(device)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1)
    x = gg.ones(5, 4, device=device)

    def step() -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    return step


def test_a_training_step(device: str) -> None:
    step = a_step(device)
    step()
    with profile() as prof:
        step()
        step()
    found = counts(prof)
    assert found["aten::linear"] == 4 and found["aten::relu"] == 2 and found["aten::sum"] == 2
    assert found["LinearBackward0"] == 4 and found["ReluBackward0"] == 2 and found["SumBackward0"] == 2
    assert found["Optimizer.step#SGD.step"] == 2 and found["Optimizer.zero_grad#SGD.zero_grad"] == 2
    assert sys.getprofile() is None  # nothing is left behind


def test_operations_in_few_steps_and_in_place_are_seen(device: str) -> None:
    x = gg.ones(4, 4, device=device, requires_grad=True)
    with profile() as prof:
        y = (x @ x).tanh() + x.reshape(4, 4) - 1
        y = y.softmax(1)
        with gg.no_grad():
            x.add_(1).mul_(2)
            x.copysign_(x)
        gg.linalg.norm(y)
        nn.functional.gelu(y)
    found = counts(prof)
    for name in "matmul tanh add reshape sub softmax add_ mul_ copysign_ norm gelu".split():
        assert found.get(f"aten::{name}", 0) >= 1, (name, found)


def test_batches_of_a_loader() -> None:
    loader = gg.utils.data.DataLoader(list(range(10)), batch_size=4)
    with profile() as prof:
        assert len(list(loader)) == 3
    assert counts(prof)["enumerate(DataLoader)#DataLoader.__next__"] == 4  # the last finds the end


def test_blocks_hold_what_runs_inside() -> None:
    @record_function("function")
    def double(x: Any) -> Any:
        return x * 2

    with profile() as prof:
        with record_function("outer"):
            with record_function("inner"):
                gg.ones(2)
            double(gg.zeros(2))
        gg.ones(3) - 1
    outer = prof.events()[0]
    assert [event.name for event in outer.cpu_children] == ["inner", "aten::zeros", "function"]
    assert outer.is_user_annotation and outer.cpu_parent is None and outer.cpu_children[0].cpu_parent is outer
    assert [event.name for event in outer.cpu_children[2].cpu_children] == ["aten::mul"]
    inside = sum(event.cpu_time_total for event in outer.cpu_children)
    assert (
        outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - inside)
        and outer.cpu_time_total >= inside
    )
    assert prof.events()[-1].name == "aten::sub" and prof.events()[-1].cpu_parent is None


def test_a_block_ends_with_an_exception() -> None:
    with profile() as prof:
        with pytest.raises(RuntimeError), record_function("fails"):
            gg.ones(2, 3) @ gg.ones(2, 3)
        gg.ones(1)
    names = [event.name for event in prof.events() if event.cpu_parent is None]
    assert names == ["fails", "aten::ones"] and all(event.cpu_time_total >= 0 for event in prof.events())


def test_outside_of_a_profile_blocks_do_nothing() -> None:
    with record_function("nothing"):
        assert sys.getprofile() is None


def test_shapes_and_operations_counted(device: str) -> None:
    a, b = gg.ones(4, 3, device=device), gg.ones(3, 2, device=device)
    with profile(record_shapes=True, with_flops=True) as prof:
        a @ b
        b.t() @ a.t()
        a + 1
        nn.functional.conv2d(gg.ones(1, 2, 5, 5, device=device), gg.ones(3, 2, 3, 3, device=device))
    by_shape = prof.key_averages(group_by_input_shape=True)
    products = [event for event in by_shape if event.key == "aten::matmul"]
    assert sorted(event.input_shapes for event in products) == [[[2, 3], [3, 4]], [[4, 3], [3, 2]]]
    assert [event.flops for event in products] == [48, 48]
    total = {event.key: event.flops for event in prof.key_averages()}
    assert total["aten::conv2d"] == 2 * 27 * 18 and total["aten::add"] == 12
    assert "[[4, 3], [3, 2]]" in by_shape.table() and "Total FLOPs" in by_shape.table()


def test_the_table() -> None:
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        for _ in range(3):
            gg.ones(2).exp()
        gg.zeros(2)
    averages = prof.key_averages()
    lines = averages.table(sort_by="count", row_limit=2, header="Three times").splitlines()
    assert lines[1] == "Three times" and lines[3].split() == (
        "Name Self CPU % Self CPU CPU total % CPU total CPU time avg # of Calls".split()
    )
    assert {line.split()[0] for line in lines[5:7]} == {"aten::ones", "aten::exp"} and len(lines) == 9
    assert lines[-1].startswith("Self CPU time total: ")
    assert averages.total_average().count == 7 and str(averages) == averages.table()
    assert averages.self_cpu_time_total == pytest.approx(sum(e.self_cpu_time_total for e in prof.events()))
    one = next(event for event in averages if event.key == "aten::ones")
    assert one.cpu_time == pytest.approx(one.cpu_time_total / 3) and "count=3" in repr(one)
    with pytest.raises(ValueError, match="sort_by must be one of"):
        averages.table(sort_by="name")


def test_time_and_memory_of_the_device() -> None:
    x = gg.ones(64, 64, device="cuda")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], profile_memory=True) as prof:
        with record_function("all"):
            y = x @ x
    product = next(event for event in prof.key_averages() if event.key == "aten::matmul")
    block = prof.events()[0]
    assert product.device_time_total >= 0 and block.device_time_total >= product.device_time_total
    assert product.device_memory_usage >= y.nbytes and block.cuda_memory_usage >= y.nbytes
    table = prof.key_averages().table(sort_by="cuda_time_total")
    assert "CUDA total" in table and "CUDA Mem" in table and "Self CUDA time total" in table


def test_schedule() -> None:
    plan = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    none, warmup, record, save = ProfilerAction
    assert [plan(k) for k in range(11)] == [
        none,
        none,
        warmup,
        record,
        save,
        none,
        warmup,
        record,
        save,
        none,
        none,
    ]
    assert schedule(wait=2, warmup=0, active=1, skip_first_wait=1)(0) is save
    with pytest.raises(ValueError, match="active"):
        schedule(wait=0, warmup=0, active=0)


def test_a_profile_with_a_schedule(tmp_path: Path) -> None:
    ready: list[list[str]] = []
    handler = tensorboard_trace_handler(str(tmp_path), "me")

    def note(prof: Any) -> None:
        ready.append([event.name for event in prof.events() if event.is_user_annotation])
        handler(prof)

    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=1), on_trace_ready=note) as prof:
        for _ in range(8):
            gg.ones(2) * 2
            prof.step()
    assert ready == [["ProfilerStep#2", "ProfilerStep#3"]] and prof.step_num == 8
    assert counts(prof)["aten::mul"] == 2
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("me.") and file.name.endswith(".pt.trace.json")


def test_traces(tmp_path: Path) -> None:
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_stack=True) as prof:
        with record_function("block"):
            gg.ones(2, 3).exp()
    plain, packed = tmp_path / "new" / "trace.json", tmp_path / "trace.json.gz"
    prof.export_chrome_trace(str(plain))
    prof.export_chrome_trace(str(packed))
    with gzip.open(packed) as file:
        assert json.load(file) == json.loads(plain.read_text(encoding="utf-8"))
    spans = {
        e["name"]: e for e in json.loads(plain.read_text(encoding="utf-8"))["traceEvents"] if e["ph"] == "X"
    }
    assert spans["block"]["cat"] == "user_annotation" and spans["aten::exp"]["args"]["Input Dims"] == [[2, 3]]
    inside, outside = spans["aten::exp"], spans["block"]
    assert (
        outside["ts"] <= inside["ts"]
        and inside["ts"] + inside["dur"] <= outside["ts"] + outside["dur"] + 1e-3
    )
    assert "test_traces" in spans["aten::exp"]["args"]["Call stack"]
    prof.export_stacks(str(tmp_path / "stacks"))
    assert any(
        line.split(" ")[0].endswith("aten::exp") for line in (tmp_path / "stacks").read_text().splitlines()
    )
    with pytest.raises(ValueError, match="metric"):
        prof.export_stacks(str(tmp_path / "stacks"), "count")


def test_the_older_door() -> None:
    with gg.autograd.profiler.profile(record_shapes=True) as prof:
        with gg.autograd.profiler.record_function("block"):
            gg.ones(2) * 2
    assert counts(prof) == {"block": 1, "aten::ones": 1, "aten::mul": 1} and "aten::mul" in prof.table()
    with gg.autograd.profiler.profile(enabled=False) as prof:
        gg.ones(2)
    assert not prof.events()


def test_one_profile_at_a_time() -> None:
    seen: list[int] = []
    with profile() as prof:
        with pytest.raises(RuntimeError, match="another profile is active"), profile():
            pass
        other = threading.Thread(
            target=lambda: seen.append(gg.ones(2).numel())
        )  # of another thread nothing is noted
        other.start()
        other.join()
    assert seen == [2] and "aten::ones" not in counts(prof)
    assert ProfilerActivity.CPU in supported_activities()
    with pytest.raises(ValueError, match="activities"):
        profile(activities=[])


def test_it_is_not_imported_with_gradgpu() -> None:
    code = "import sys, gradgpu; print('gradgpu.profiler' in sys.modules, gradgpu.profiler.profile.__name__)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False profile\n"
    )
