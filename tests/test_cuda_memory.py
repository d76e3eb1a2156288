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


def test_properties_by_both_names() -> None:
    found = gg.cuda.get_device_properties(0)
    assert found.total_memory == found["totalGlobalMem"] == gg.cuda.mem_get_info()[1]
    assert (
        found.major,
        found.minor,
    ) == gg.cuda.get_device_capability() and found.name == gg.cuda.get_device_name()
    assert (
        found.warp_size == 32
        and found.multi_processor_count >= 1
        and {"name", "total_memory"} <= set(dir(found))
    )
    assert repr(found).startswith(f"DeviceProperties(name={found.name!r}, major={found.major}")
    with pytest.raises(AttributeError, match="does not report 'no_such_name'"):
        found.no_such_name  # noqa: B018
    assert gg.cuda._initialized is gg.cuda.is_initialized() is True
