"""The figures of the device's memory, and the table of them."""

from __future__ import annotations

import pytest

import gradgpu as gg

pytestmark = pytest.mark.cuda

MIB = 1 << 20


def test_figures_follow_the_arrays() -> None:
    gg.cuda.synchronize()
    gg.cuda.reset_peak_memory_stats()
    before = gg.cuda.memory_stats()
    assert before["allocated_bytes.all.current"] == before["allocated_bytes.all.peak"]
    x = gg.empty(3 * MIB, dtype=gg.uint8, device="cuda")
    y = gg.empty(2 * MIB, dtype=gg.uint8, device="cuda")
    del x
    stats = gg.cuda.memory_stats()
    allocated = stats["allocated_bytes.all.current"]
    assert allocated == gg.cuda.memory_allocated() == before["allocated_bytes.all.current"] + y.nbytes
    assert stats["allocated_bytes.all.peak"] == gg.cuda.max_memory_allocated() == allocated + 3 * MIB
    assert stats["reserved_bytes.all.current"] == gg.cuda.memory_reserved() >= allocated
    most = stats["reserved_bytes.all.peak"]
    assert most == gg.cuda.max_memory_reserved() >= stats["allocated_bytes.all.peak"]
    gg.cuda.reset_peak_memory_stats()
    assert gg.cuda.max_memory_allocated() == allocated
    gg.cuda.empty_cache()
    assert gg.cuda.max_memory_reserved() == gg.accelerator.max_memory_reserved() >= gg.cuda.memory_reserved()
    assert gg.accelerator.memory_stats() == gg.cuda.memory_stats("cuda:0") == gg.cuda.memory_stats(0)


def test_the_table_shows_them() -> None:
    x = gg.empty(5 * MIB // 4, dtype=gg.float32, device="cuda")
    whole, short = gg.cuda.memory_summary(), gg.cuda.memory_summary("cuda:0", abbreviated=True)
    lines = whole.splitlines()
    assert len({len(line) for line in lines}) == 1 and all(line[0] == line[-1] == "|" for line in lines)
    assert "CUDA memory summary, device ID 0" in lines[1]
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == ["Metric", "Cur Usage", "Peak Usage"]
    cells = {
        name.strip(): now.strip() for name, now, _ in (line.strip("|").split("|") for line in lines[5::2])
    }
    allocated, reserved = gg.cuda.memory_allocated(), gg.cuda.memory_reserved()
    free, total = gg.cuda.mem_get_info()
    for name, nbytes in {
        "Allocated memory": allocated,
        "GPU reserved memory": reserved,
        "Reserved and free": reserved - allocated,
        "GPU free memory": free,
        "GPU total memory": total,
    }.items():
        number, unit = cells[name].split()
        scale = {"B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
        assert abs(float(number) * scale - nbytes) <= 0.06 * scale, (name, cells[name], nbytes)
    assert "GPU total" not in short and short.count("\n") == whole.count("\n") - 4
    assert x.numel() == 5 * MIB // 4
