"""`make bench`: gradgpu's time per step and per op beside PyTorch's and hand-written numpy's.

Each implementation runs in a process of its own, all pinned to one core with one thread, and takes
its turn in every round; ratios are formed within a round and reported as median and quartiles, so
that a slow second of the machine touches all sides alike. Losses are compared before anything is timed.

    python -m gradgpu._tools.bench [--rounds 15] [--cases mlp-sgd,cnn] [--output docs/bench.md]
    python -m gradgpu._tools.bench --operations [--rounds 9] [--output docs/bench_operations.md]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gradgpu._tools.bench_cases import CASES, IMPLEMENTATIONS, build
from gradgpu._tools.bench_cases.operations import OPERATIONS, SIZES, calls

__all__ = ["main"]

_BLOCK_S = 0.1  # one turn of one implementation
_ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# This module cannot be imported without gradgpu, which sets how the process keeps freed memory (gradgpu/allocation.py)
# unless the environment says something of it. PyTorch is to run as its users run it, with the C library's own settings.
_OWN_ENV = {"torch": {"GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "")}}


def _worker(implementation: str, case: str) -> None:
    """Prints the first losses, then the seconds per step of a block for each line on stdin."""
    built = build(implementation, case)
    if built is None:
        print("null", flush=True)
        return
    step, losses = built
    print(json.dumps(losses()), flush=True)
    count, elapsed = 1, 0.0
    while elapsed < _BLOCK_S / 2:  # warms up, and finds how many steps fill a block
        count *= 2
        start = time.perf_counter()
        for _ in range(count):
            step()
        elapsed = time.perf_counter() - start
    count = max(1, round(count * _BLOCK_S / elapsed))
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(count):
            step()
        print((time.perf_counter() - start) / count, flush=True)


def _checksums(results: list[Any]) -> list[float]:
    """The sum and the sum of squares of each result."""
    found = []
    for t in results:
        if t is not None:
            t = t.detach().double()
            found += [t.sum().item(), (t * t).sum().item()]
    return found


def _operations_worker(implementation: str, size: str) -> None:
    """Prints checksums of every operation, then its seconds for each line on stdin."""
    lib: Any = importlib.import_module(implementation)
    lib.set_num_threads(1)
    every = calls(lib, size)
    print(json.dumps({name: _checksums(call()) for name, call in every.items()}), flush=True)
    repeats = 200 if size == "few" else 5
    for _ in sys.stdin:
        seconds = {}
        for name, call in every.items():
            call()
            start = time.process_time()
            for _ in range(repeats):
                call()
            seconds[name] = (time.process_time() - start) / repeats
        print(json.dumps(seconds), flush=True)


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


class _Process:
    """One implementation of one case, or of all operations of a size, waiting for its turn."""

    def __init__(self, implementation: str, case: str, worker: str = "--worker") -> None:
        command = [sys.executable, "-m", "gradgpu._tools.bench", worker, implementation, case]
        self.name = implementation
        env = {**os.environ, **_ENV, **_OWN_ENV.get(implementation, {})}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self.losses = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"bench: the {self.name} process ended early (exit {self.process.wait()})")
        return json.loads(line)

    def turn(self) -> Any:
        """The seconds that it took."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _compare(case: str, losses: dict[str, list[float]]) -> None:
    first = losses["gradgpu"]
    for name, other in losses.items():
        if any(abs(a - b) > 1e-4 * max(1.0, abs(b)) for a, b in zip(first, other, strict=True)):
            raise RuntimeError(f"bench: {case}: gradgpu computed {first}, {name} {other}; nothing was timed")


def run_case(case: str, rounds: int) -> dict[str, Any]:
    """Times one case; returns microseconds and ratios to PyTorch, each as (quartile, median, quartile)."""
    processes = [_Process(name, case) for name in IMPLEMENTATIONS]
    running = [p for p in processes if p.losses is not None]
    _compare(case, {p.name: p.losses for p in running})
    times: dict[str, list[float]] = {p.name: [] for p in running}
    for _ in range(rounds):
        for p in running:
            times[p.name].append(float(p.turn()))
    for p in processes:
        p.close()
    ratios = {name: [t / base for t, base in zip(times[name], times["torch"])] for name in times}
    return {
        "us": {name: statistics.median(values) * 1e6 for name, values in times.items()},
        "ratio": {name: _quartiles(values) for name, values in ratios.items()},
    }


def run_operations(size: str, rounds: int) -> dict[str, tuple[float, float, float]]:
    """For each operation the microseconds of PyTorch and gradgpu, and the ratio: medians over rounds."""
    torch, gradgpu = (_Process(name, size, "--operations-worker") for name in ("torch", "gradgpu"))
    for name in OPERATIONS:
        pairs = zip(gradgpu.losses[name], torch.losses[name], strict=True)
        if any(abs(a - b) > 1e-3 * max(1.0, abs(b)) for a, b in pairs):
            raise RuntimeError(
                f"bench: {name}: gradgpu computed {gradgpu.losses[name]}, PyTorch {torch.losses[name]}; nothing was timed"
            )
    times = [(torch.turn(), gradgpu.turn()) for _ in range(rounds)]
    torch.close()
    gradgpu.close()
    found = {}
    for name in OPERATIONS:
        theirs, ours = [t[name] for t, _ in times], [g[name] for _, g in times]
        ratio = statistics.median([b / a for a, b in zip(theirs, ours)])
        found[name] = statistics.median(theirs) * 1e6, statistics.median(ours) * 1e6, ratio
    return found


def operations_page(about: str, rounds: int) -> list[str]:
    """The lines of a page on single operations, those in which gradgpu is slowest first."""
    few, many = (run_operations(size, rounds) for size in SIZES)
    rows = [
        f"| `{name}` | {few[name][0]:.1f} | {few[name][1]:.1f} | {few[name][2]:.2f} "
        f"| {many[name][0]:.0f} | {many[name][1]:.0f} | {many[name][2]:.2f} |"
        for name in sorted(OPERATIONS, key=lambda name: -many[name][2])
    ]
    (a, b), (c, d) = SIZES.values()
    medians = [statistics.median(ratio for _, _, ratio in part.values()) for part in (few, many)]
    lines = [
        "# Operations",
        "",
        f"`make bench BENCH_ARGS=--operations` {about}",
        "",
        f"Median ratio: {medians[0]:.2f} on few elements without gradients, {medians[1]:.2f} on many with them.",
        "",
        f"| operation | forward on {a}×{b}: PyTorch µs | gradgpu µs | ratio "
        f"| forward and backward on {c}×{d}: PyTorch µs | gradgpu µs | ratio |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    print("\n".join(lines))
    return lines


def import_cost(rounds: int) -> tuple[float, float, float]:
    """Milliseconds of CPU time that `import gradgpu` adds to a process that has imported numpy."""
    code = (
        "import numpy, time; t = time.process_time(); import gradgpu; print((time.process_time() - t) * 1e3)"
    )
    # As an installed package is imported: with its bytecode, which the first run leaves in a folder of its own.
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, **_ENV, "PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)

        def run() -> float:
            command = [sys.executable, "-c", code]
            return float(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)

        run()
        return _quartiles([run() for _ in range(rounds)])


def host_cost() -> str:
    """Microseconds of an op on cuda beside CuPy's ufunc, on the device that there is."""
    import gradgpu as gg

    if not gg.cuda.is_available() or gg.cuda.is_simulated():
        return "No CUDA device here: the host cost of an op on cuda beside CuPy's ufunc was not measured."
    import cupy

    cell: dict[str, list[float]] = {}
    a = gg.ones(4, 4, device="cuda")
    x = gg.ones(4, 4, device="cuda").requires_grad_()
    b, ones = cupy.ones((4, 4), cupy.float32), gg.ones(4, 4, device="cuda")

    def both() -> None:
        x.grad = None
        (x + a).backward(ones)

    steps = {"cupy": lambda: b + b, "forward": lambda: a + a, "forward + backward": both}
    for _ in range(15):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(500):
                step()
            cell.setdefault(name, []).append((time.perf_counter() - start) / 500)
            gg.cuda.synchronize()
    ratio = {n: statistics.median([t / c for t, c in zip(cell[n], cell["cupy"])]) for n in cell}
    micro = {n: statistics.median(cell[n]) * 1e6 for n in cell}
    return (
        f"Host cost on {gg.cuda.get_device_name()}, 4×4 float32: CuPy's `b + b` {micro['cupy']:.1f} µs; "
        f"gradgpu's `a + a` {micro['forward']:.1f} µs, {ratio['forward']:.2f} of CuPy's (bar 0.6); forward + "
        f"backward {micro['forward + backward']:.1f} µs, {ratio['forward + backward']:.2f} (bar 1.5)."
    )


def cases_page(about: str, cases: list[str], rounds: int) -> list[str]:
    """The lines of a page on the cases, which are printed as they are measured."""
    lines = [
        "# Benchmarks",
        "",
        f"`make bench` {about} In brackets: quartiles.",
        "",
        "| case | PyTorch µs | gradgpu µs | gradgpu / PyTorch | bar | numpy by hand / PyTorch |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for case in cases:
        title, bar = CASES[case][:2]
        result = run_case(case, rounds)
        shown = {n: f"{m:.2f} ({lo:.2f}–{hi:.2f})" for n, (lo, m, hi) in result["ratio"].items()}
        row = (
            f"| {title} | {result['us']['torch']:.1f} | {result['us']['gradgpu']:.1f} | {shown['gradgpu']} "
            f"| {'–' if bar is None else bar} | {shown.get('numpy', '–')} |"
        )
        print(row, flush=True)
        lines.append(row)
    low, middle, high = import_cost(rounds)
    rest = [
        "",
        f"`import gradgpu` after numpy: {middle:.0f} ms of CPU time ({low:.0f}–{high:.0f}); bar 60 ms.",
        "",
        host_cost(),
    ]
    print("\n".join(rest))
    return lines + rest


def _cases(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no case is named {', '.join(unknown)}; there are {', '.join(CASES)}"
        )
    return names


def main(argv: list[str] | None = None) -> None:
    """The command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m gradgpu._tools.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cases", type=_cases, default=list(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--core", type=int, default=0, help="the core that every process is pinned to")
    parser.add_argument("--host", action="store_true", help="only the host cost of an op on cuda")
    parser.add_argument("--operations", action="store_true", help="single operations instead of the cases")
    parser.add_argument("--output", type=Path, help="also write the table to this Markdown file")
    parser.add_argument("--worker", nargs=2, metavar=("IMPLEMENTATION", "CASE"), help=argparse.SUPPRESS)
    parser.add_argument("--operations-worker", nargs=2, metavar=("LIBRARY", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker or options.operations_worker:
        run = _worker if options.worker else _operations_worker
        run(*(options.worker or options.operations_worker))
        return
    _pin(options.core)
    if options.host:
        print(host_cost())
        return
    import numpy
    import torch

    import gradgpu

    about = (
        f"on {platform.machine()}, Python {platform.python_version()}, gradgpu {gradgpu.version.gradgpu}, "
        f"PyTorch {torch.__version__}, numpy {numpy.__version__}: one thread, {options.rounds} interleaved rounds; "
        "ratios to PyTorch eager are medians. PyTorch's process has the C library's own memory settings, "
        "the others those of `import gradgpu`."
    )
    lines = (
        operations_page(about, options.rounds)
        if options.operations
        else cases_page(about, options.cases, options.rounds)
    )
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
