"""gradgpu.utils.benchmark, with a clock of our own: each call of it is a second later."""

from itertools import count

import pytest

import gradgpu as gg
from gradgpu.utils.benchmark import (
    Compare,
    Language,
    Measurement,
    TaskSpec,
    Timer,
    select_unit,
    timer,
    trim_sigfig,
)


class Clock:
    """Seconds that pass only in `work`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_timeit_counts_runs_after_a_warm_up() -> None:
    clock, runs = Clock(), count()
    m = Timer(
        "next(runs); clock.work(0.5)", timer=clock, globals={"runs": runs, "clock": clock}, label="half"
    ).timeit(10)
    assert m.times == [0.5] and m.number_per_run == 10 and m.median == m.mean == 0.5
    assert next(runs) == 12  # two runs first
    assert "half" in repr(m) and "500.00 ms" in repr(m) and "1 measurement, 10 runs" in repr(m)


def test_blocked_autorange_runs_long_enough() -> None:
    clock, told = Clock(), []
    m = Timer("clock.work(0.001)", timer=clock, globals={"clock": clock}).blocked_autorange(
        callback=lambda number, seconds: told.append((number, seconds)), min_run_time=0.2
    )
    assert sum(m.raw_times) >= 0.2 and m.median == pytest.approx(0.001)
    assert [n for n, _ in told] == [m.number_per_run] * len(m.raw_times)


def test_adaptive_autorange_waits_for_steady_times() -> None:
    clock = Clock()
    lengths = iter([1.0, 3.0, 1.0, 2.0, 4.0, 1.0] + [2.0] * 1000)
    m = Timer(
        "clock.work(next(lengths))", timer=clock, globals={"clock": clock, "lengths": lengths}
    ).adaptive_autorange(max_run_time=1e9)
    assert len(m.times) > 4 and m.meets_confidence(0.1) and not m.has_warnings
    short = Timer(
        "clock.work(next(wild))",
        timer=clock,
        globals={"clock": clock, "wild": (1.0 + i % 7 for i in count())},
    ).adaptive_autorange(max_run_time=50.0)
    assert short.has_warnings and 50.0 < sum(short.raw_times) < 60.0
    assert "WARNING" in repr(short) and "environmental" in repr(short)


def test_statements_see_gradgpu_and_run_with_their_threads() -> None:
    seen: list[int] = []
    before = gg.get_num_threads()
    Timer("seen.append(torch.get_num_threads())", setup="import math", globals={"seen": seen}).timeit(1)
    assert seen == [1, 1, 1] and gg.get_num_threads() == before
    code = """
        y = gg.ones(2)
        y.add_(1)
    """
    assert Timer(code).timeit(1).stmt == "y = gg.ones(2)\ny.add_(1)"


def test_the_clock_waits_for_the_device(device: str) -> None:
    start = timer()
    x = gg.ones(64, 64, device=device)
    m = Timer("x @ x", globals={"x": x}).timeit(2)
    assert m.mean > 0 and timer() > start


def test_statistics_of_a_measurement() -> None:
    m = Measurement(2, [2.0, 4.0, 6.0, 8.0, 10.0], TaskSpec("f()", sub_label="s", description="d", env="e"))
    assert (m.times, m.median, m.mean, m.iqr) == ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 3.0, 2.0)
    assert m.title == "f(): s" and m.description == "d" and m.env == "e" and m.as_row_name == "s"
    assert m.significant_figures == 1
    assert Measurement(1, [1.0] * 4, m.task_spec).significant_figures == 5
    both = Measurement.merge([m, Measurement(1, [3.0], m.task_spec), Measurement(1, [9.0], TaskSpec("g()"))])
    assert [b.times for b in both] == [[1.0, 2.0, 3.0, 4.0, 5.0, 3.0], [9.0]]
    with pytest.raises(AttributeError, match="nothing"):
        _ = m.nothing


def test_the_table_has_a_place_for_each_measurement() -> None:
    def took(seconds: float, row: str, column: str, threads: int = 1) -> Measurement:
        spec = TaskSpec("f()", label="f", sub_label=row, description=column, num_threads=threads)
        return Measurement(1, [seconds * 0.5, seconds, seconds, seconds * 2], spec)

    table = Compare([took(1e-3, "a", "x"), took(2.5e-3, "b", "x")])
    table.extend_results([took(8e-3, "a", "y", threads=2)])
    text = str(table)
    assert "1 thread: " in text and "2 threads: " in text and "milliseconds (ms)" in text
    assert [line.split() for line in text.splitlines() if line.strip().startswith(("a ", "b "))] == [
        ["a", "|", "1.0", "|"], ["b", "|", "2.5", "|"], ["a", "|", "|", "8.0"],
    ]  # fmt: skip
    table.highlight_warnings()
    assert "(! 38%) 2.5" in str(table) and "interquartile" in str(table)
    table.colorize()
    assert "\033[92m" in str(table) and "\033[2;91m" in str(
        table
    )  # the best, and one that takes 2.5 times as long
    table.colorize(rowwise=True)
    assert "\033[2;91m" not in str(table)


def test_numbers_for_people() -> None:
    assert [select_unit(t)[0] for t in (3e-10, 2e-8, 2e-5, 0.999, 1.0, 500.0)] == [
        "ns",
        "ns",
        "us",
        "ms",
        "s",
        "s",
    ]
    assert trim_sigfig(3.14159, 2) == 3.1


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="as a str"):
        Timer(print)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="only Python"):
        Timer("1;", language="c++")
    with pytest.raises(ValueError, match="only Python"):
        Timer("1;", language=Language.CPP)
    assert Timer("1", language=Language.PYTHON).timeit(1).number_per_run == 1
    with pytest.raises(ValueError, match="expected a Measurement, got float"):
        Compare([1.0])  # type: ignore[list-item]
