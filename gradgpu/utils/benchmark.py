"""Timing statements, and comparing the times in a table: PyTorch's `torch.utils.benchmark`.

>>> import gradgpu as gg
>>> from gradgpu.utils import benchmark
>>> x = gg.ones(8, 8)
>>> timer = benchmark.Timer("x @ x", globals={"x": x}, label="product", description="8 x 8")
>>> measured = timer.timeit(20)
>>> measured.number_per_run, measured.label, measured.median > 0
(20, 'product', True)
"""

from __future__ import annotations

import enum
import math
import statistics
import textwrap
import timeit
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..settings import get_num_threads, set_num_threads

# beyond these shares of the median, the middle half of the times is called wide, and far too wide
WIDE, FAR_TOO_WIDE = 0.1, 0.25
UNITS = {"ns": ("nanoseconds", 1e-9), "us": ("microseconds", 1e-6), "ms": ("milliseconds", 1e-3), "s": ("seconds", 1.0)}  # fmt: skip


def timer() -> float:
    """The seconds of a clock, read once the work of the CUDA devices is done: what `Timer` reads."""
    from .. import cuda

    if cuda.is_initialized():  # else nothing has run there, and waiting would start CUDA
        cuda.synchronize()
    return timeit.default_timer()


@dataclass(frozen=True)
class TaskSpec:
    """What a `Timer` measures, and what its results are called."""

    stmt: str
    setup: str = "pass"
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or else the statement, with the sub-label."""
        name = self.label if self.label is not None else self.stmt
        if self.label is None and "\n" in self.stmt:
            name = "stmt:\n" + textwrap.indent(self.stmt, "  ")
        return f"{name}: {self.sub_label}" if self.sub_label else name


@dataclass(repr=False)
class Measurement:
    """Times of a statement: `raw_times` are the seconds of runs of `number_per_run` calls each.

    `times`, `median`, `mean` and `iqr` (the distance between the quartiles) are seconds for one call. The fields of the
    `TaskSpec` (`label`, `stmt`, `num_threads`, …) are attributes here, too.

    >>> from gradgpu.utils.benchmark import Measurement, TaskSpec
    >>> m = Measurement(10, [4.8e-4, 5e-4, 5.2e-4, 5e-4], TaskSpec("f(x)", label="f", sub_label="small"))
    >>> print(m)
    Measurement: f: small
      Median: 50.00 us
      IQR:    1.00 us (49.50 to 50.50)
      4 measurements, 10 runs per measurement, 1 thread
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name in _SPEC:
            return getattr(self.task_spec, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def times(self) -> list[float]:
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.times)

    def _quartiles(self) -> tuple[float, float]:
        low, high = np.quantile(self.times, (0.25, 0.75))
        return float(low), float(high)

    @property
    def iqr(self) -> float:
        low, high = self._quartiles()
        return high - low

    @property
    def significant_figures(self) -> int:
        """How many digits of the median mean something (1 to 5): from a 90 % interval around the mean of the middle half."""
        ordered = sorted(self.times)
        n = len(ordered)
        middle = ordered[n // 4 : math.ceil(3 * n / 4)]
        interval = max(1.645 * statistics.pstdev(middle) / math.sqrt(len(middle)), 25e-9)
        return min(max(math.floor(math.log10(self.median / interval)), 1), 5)

    def meets_confidence(self, threshold: float = WIDE) -> bool:
        """True if the middle half of the times spans less than this share of the median."""
        return self.iqr / self.median < threshold

    @property
    def has_warnings(self) -> bool:
        return not self.meets_confidence()

    @property
    def title(self) -> str:
        return self.task_spec.title

    @property
    def as_row_name(self) -> str:
        return self.sub_label or self.stmt or "[Unknown]"

    def __repr__(self) -> str:
        unit, scale = select_unit(self.median)
        n, threads = len(self.raw_times), self.num_threads
        lines = [f"{type(self).__name__}: {self.title}"]
        if self.description:
            lines.append(self.description)
        if self.setup not in ("", "pass"):
            lines.append(f"setup: {self.setup}")
        lines.append(f"  {'Median: ' if n > 1 else ''}{self.median / scale:.2f} {unit}")
        if n >= 4:
            low, high = self._quartiles()
            lines.append(f"  IQR:    {self.iqr / scale:.2f} {unit} ({low / scale:.2f} to {high / scale:.2f})")
        of_each = f"{n} measurements, {self.number_per_run} runs per measurement" if n > 1 else f"1 measurement, {self.number_per_run} runs"  # fmt: skip
        lines.append(f"  {of_each}, {threads} thread{'s' if threads > 1 else ''}")
        if self.has_warnings:
            share = self.iqr / self.median
            cause = (
                "significant environmental influence"
                if share >= FAR_TOO_WIDE
                else "fluctuation of the system"
            )
            lines.append(
                f"  WARNING: the interquartile range is {100 * share:.1f}% of the median, a sign of {cause}."
            )
        return "\n".join(lines)

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One measurement for each task, with the times of all that measured it, for one call each."""
        groups: dict[TaskSpec, list[float]] = {}
        for m in measurements:
            groups.setdefault(m.task_spec, []).extend(m.times)
        return [Measurement(1, times, task) for task, times in groups.items()]


_SPEC = frozenset(field.name for field in fields(TaskSpec))


class Language(enum.Enum):
    """What a statement is written in. Only Python can be timed."""

    PYTHON = 0
    CPP = 1


class Timer:
    """Times a statement: like `timeit.Timer`, but it waits for the GPU, and runs with `num_threads` threads (one).

    Args:
        stmt, setup: Python code, as text. globals: the names that it uses; ``gradgpu``, ``gg`` and ``torch`` (a second
            name of gradgpu) are there already.
        timer: a function that returns seconds.
        label, sub_label, description, env: what `Compare` calls the table, the row, the column, and kinds of rows.

    Raises:
        ValueError: `stmt` is no text, or another language than Python is asked for.

    >>> from gradgpu.utils.benchmark import Timer
    >>> m = Timer("gg.ones(3).sum()").blocked_autorange(min_run_time=0.001)
    >>> len(m.times) >= 1 and m.mean > 0
    True
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Language | str = Language.PYTHON,
    ):
        import gradgpu

        if not isinstance(stmt, str):
            raise ValueError(f"Timer: stmt must be Python code as a str, got {type(stmt).__name__}")
        if language not in (Language.PYTHON, "python", "py") or global_setup:
            raise ValueError("Timer: only Python code can be timed (language='python', no global_setup)")
        stmt, setup = (textwrap.dedent(code).removeprefix("\n").rstrip() for code in (stmt, setup))
        names = {"gradgpu": gradgpu, "gg": gradgpu, "torch": gradgpu, **(globals or {})}
        self._timer = timeit.Timer(stmt, setup, timer, names)
        self._task_spec = TaskSpec(stmt, setup, label, sub_label, description, env, num_threads)

    def _time(self, number: int) -> float:
        return max(self._timer.timeit(number), 1e-9)  # a coarse clock may see no time pass

    @contextmanager
    def _threads(self) -> Iterator[None]:
        before = get_num_threads()
        try:
            if self._task_spec.num_threads != before:
                set_num_threads(self._task_spec.num_threads)
            yield
        finally:
            if get_num_threads() != before:
                set_num_threads(before)

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number, times, self._task_spec)

    def timeit(self, number: int = 1000000) -> Measurement:
        """Runs the statement `number` times, after a few runs that do not count, and returns one measurement."""
        with self._threads():
            self._time(max(number // 100, 2))
            return self._measured(number, [self._time(number)])

    def _block(self, enough: float) -> int:
        """The runs after which reading the clock does not matter (a power of ten); they warm everything up, too."""
        clock = statistics.median(self._time(0) for _ in range(5))
        number = 1
        while True:
            taken = self._time(number)
            if taken > enough or (clock <= 1e-4 * taken and taken >= enough / 1000):
                return number
            number *= 10

    def _repeat(
        self,
        number: int,
        at_least: float,
        at_most: float,
        enough: Callable[[list[float]], bool],
        callback: Callable[[int, float], Any] | None,
    ) -> Measurement:
        times: list[float] = []
        while not times or (sum(times) <= at_most and (sum(times) < at_least or not enough(times))):
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
        return self._measured(number, times)

    def blocked_autorange(
        self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Measures blocks of runs, long enough for the clock not to matter, until `min_run_time` seconds have passed.

        `callback(number, seconds)` is told of each block.
        """
        with self._threads():
            return self._repeat(self._block(min_run_time), min_run_time, math.inf, lambda _: True, callback)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Measurement:
        """Measures blocks of runs until the middle half of their times spans less than `threshold` of the median, or
        `max_run_time` seconds have passed."""
        with self._threads():
            number = self._block(0.05)

            def steady(times: list[float]) -> bool:
                return len(times) > 3 and self._measured(number, times).meets_confidence(threshold)

            return self._repeat(number, min_run_time, max_run_time, steady, callback)


class Compare:
    """A table of measurements: one for each label, a row for each sub-label (or statement) and number of threads, a column
    for each description.

    >>> from gradgpu.utils.benchmark import Compare, Measurement, TaskSpec
    >>> def took(us, row, column):
    ...     return Measurement(1, [us * 1e-6] * 4, TaskSpec("", label="sum", sub_label=row, description=column))
    >>> table = Compare([took(2, "small", "cpu"), took(9, "small", "cuda"), took(400.25, "large", "cpu")])
    >>> table.trim_significant_figures()
    >>> table.print()
    [----------- sum ------------]
                 |   cpu   |  cuda
    1 thread: --------------------
          small  |    2.0  |   9.0
          large  |  400.2  |
    <BLANKLINE>
    Times are in microseconds (us).
    <BLANKLINE>
    """

    def __init__(self, results: Sequence[Measurement]):
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trimmed = self._warned = False
        self._coloured: str | None = None

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """More measurements for the table. Raises ValueError for anything else."""
        for m in results:
            if not isinstance(m, Measurement):
                raise ValueError(f"Compare: expected a Measurement, got {type(m).__name__}")
            self._results.append(m)

    def trim_significant_figures(self) -> None:
        """Shows only as many digits as mean something."""
        self._trimmed = True

    def highlight_warnings(self) -> None:
        """Marks times that vary a lot with ``(! 30%)``, their interquartile range as a share of the median."""
        self._warned = True

    def colorize(self, rowwise: bool = False) -> None:
        """Colours (of a terminal) for the best times of each column, or row, and for those twice as long and more."""
        self._coloured = "row" if rowwise else "column"

    def print(self) -> None:
        print(str(self))

    def __str__(self) -> str:
        tables: dict[str | None, list[Measurement]] = {}
        for m in Measurement.merge(self._results):
            tables.setdefault(m.label, []).append(m)
        return "\n".join(self._table(label, found) for label, found in tables.items())

    def _table(self, label: str | None, found: list[Measurement]) -> str:
        unit, scale = select_unit(min(m.median for m in found))
        columns = list(dict.fromkeys(m.description for m in found))
        at = {((m.num_threads, m.env or "", m.as_row_name), m.description): m for m in found}
        rows = sorted(dict.fromkeys(row for row, _ in at), key=lambda row: row[:2])
        texts = {place: self._number(m, scale) for place, m in at.items()}
        names = [f"      ({env})  {name}" if env else f"      {name}" for _, env, name in rows]
        first = max(map(len, names))
        width = {
            c: max([len(c or "")] + [len(t) for (_, column), t in texts.items() if column == c])
            for c in columns
        }
        head = "  |  ".join([" " * first] + [(c or "").center(width[c]) for c in columns])
        lines = ["[" + f" {label or ''} ".center(len(head) - 2, "-") + "]", head.rstrip()]
        threads = None
        for row, name in zip(rows, names, strict=True):
            if row[0] != threads:
                threads = row[0]
                lines.append(f"{threads} thread{'s' if threads > 1 else ''}: ".ljust(len(head), "-"))
            cells = [name.ljust(first)]
            for c in columns:
                text = texts.get((row, c), "").rjust(width[c])
                cells.append(self._colour(text, at, row, c))
            lines.append("  |  ".join(cells).rstrip())
        lines += ["", f"Times are in {UNITS[unit][0]} ({unit}).", ""]
        if self._warned and any(m.has_warnings for m in found):
            lines.insert(-1, "(! XX%): the interquartile range is XX % of the median.")
        return "\n".join(lines)

    def _number(self, m: Measurement, scale: float) -> str:
        value = m.median / scale
        if self._trimmed:
            value = trim_sigfig(value, m.significant_figures)
        text = f"{value:.1f}"
        return f"(! {100 * m.iqr / m.median:.0f}%) {text}" if self._warned and m.has_warnings else text

    def _colour(self, text: str, at: dict[Any, Measurement], row: Any, column: Any) -> str:
        m = at.get((row, column))
        if m is None or self._coloured is None:
            return text
        peers = [
            other.median
            for (r, c), other in at.items()
            if (r == row if self._coloured == "row" else c == column and r[0] == row[0])
        ]
        share = m.median / min(peers)
        codes = ((1.01, "92"), (1.1, "34"), (2.0, ""), (5.0, "2;91"), (math.inf, "31"))
        code = next(code for limit, code in codes if share <= limit)
        return f"\033[{code}m{text}\033[0m" if code else text


def select_unit(t: float) -> tuple[str, float]:
    """The unit that suits a time in seconds, and its length in seconds.

    >>> from gradgpu.utils.benchmark import select_unit
    >>> select_unit(0.0025)
    ('ms', 0.001)
    """
    unit = {-3: "ns", -2: "us", -1: "ms"}.get(math.floor(math.log10(t) / 3), "s" if t >= 1 else "ns")
    return unit, UNITS[unit][1]


def trim_sigfig(x: float, n: int) -> float:
    """`x` with its first `n` digits, the others 0.

    >>> from gradgpu.utils.benchmark import trim_sigfig
    >>> trim_sigfig(31415.9, 2)
    31000.0
    """
    return float(f"{x:.{n - 1}e}")


__all__ = ["Compare", "Language", "Measurement", "TaskSpec", "Timer", "select_unit", "timer", "trim_sigfig"]
