"""`make gpu-report`: what gradgpu does on the GPU that is here, as one Markdown page.

Runs the tests marked cuda, then measures: host cost of a launch; memory-bound kernels against a
device copy; matrix products against cuBLAS; training steps against PyTorch eager. A part that cannot
run says why in its place; a part that fails is shown as failed, and the command's exit code is 1.

    python -m gradgpu._tools.gpu_report [--quick] [--tests EXPRESSION] [--output docs/gpu-report.md]

On a device that executes kernels in software every part runs, on small sizes with --quick; the page
then opens with a line saying that its times mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import operator
import platform
import re
import shlex
import statistics
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gradgpu as gg
from gradgpu._tools.bench_cases import CASES, build
from gradgpu.cuda.backend import backend

__all__ = ["main"]

Lines = list[str]


class _Sizes:
    """How much is measured: for a GPU, or --quick for a device in software."""

    def __init__(self, quick: bool) -> None:
        self.rows, self.columns = (8, 64) if quick else (16384, 4096)
        self.vocabulary = 16 if quick else 32768
        self.launches, self.repeats = (20, 3) if quick else (2000, 20)
        self.products = (
            [(4, 8, 8)]
            if quick
            else [
                (32, 784, 128),
                (64, 64, 64),
                (256, 256, 256),
                (512,) * 3,
                (1024,) * 3,
                (2048,) * 3,
                (4096,) * 3,
            ]
        )
        self.steps = 2 if quick else 200
        # Those without a bar, whole nets, are too much for a device in software.
        self.cases = [name for name, case in CASES.items() if not quick or case.bar is not None]


def _host_us(step: Callable[[], Any], launches: int) -> float:
    """Microseconds that the host spends on one call; the queue is drained between rounds."""
    rounds = []
    step()
    for _ in range(7):
        backend().synchronize()
        start = time.perf_counter()
        for _ in range(launches):
            step()
        rounds.append((time.perf_counter() - start) / launches * 1e6)
    backend().synchronize()
    return statistics.median(rounds)


def _device_ms(step: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of one call on the device, between two events; the median of the repeats."""
    device = backend()
    step()
    times = []
    for _ in range(repeats):
        start, end = device.Event(), device.Event()
        start.record()
        step()
        end.record()
        end.synchronize()
        times.append(device.elapsed_time(start, end))
    return statistics.median(times)


def describe() -> Lines:
    """The machine: device, driver, libraries."""
    import cupy

    device = backend()
    found = device.properties(0)
    runtime, (major, minor) = cupy.cuda.runtime, cupy.cuda.nvrtc.getVersion()
    return [
        f"| device | {device.device_name(0)} |",
        "|---|---|",
        f"| compute capability | sm_{device.compute_capability(0)} |",
        f"| multiprocessors | {found['multiProcessorCount']} |",
        f"| memory | {found['totalGlobalMem'] / 2**30:.1f} GiB |",
        f"| driver serves CUDA | {runtime.driverGetVersion()} |",
        f"| NVRTC | {major}.{minor} |",
        f"| CuPy, numpy, Python | {cupy.__version__}, {np.__version__}, {platform.python_version()} |",
        f"| gradgpu | {gg.version.gradgpu} |",
    ]


def run_tests(expression: str | None) -> Lines:
    """The closing lines of the tests marked cuda."""
    tests = Path(__file__).resolve().parents[2] / "tests"
    if not tests.is_dir():
        return ["Skipped: an installed gradgpu has no tests beside it; run this in a clone."]
    if importlib.util.find_spec("pytest") is None:
        return ["Skipped: pytest is not installed here."]
    arguments = ["-q", "-m", "cuda", *(["-k", expression] if expression else [])]
    command = [sys.executable, "-m", "pytest", *arguments, str(tests)]
    result = subprocess.run(command, cwd=tests.parent, capture_output=True, text=True)
    tail = result.stdout.strip().splitlines()[-12:]
    if result.returncode:
        raise RuntimeError("pytest failed:\n" + "\n".join(tail) + result.stderr[-2000:])
    return [f"`pytest {shlex.join(arguments)}`", "", "```", *tail[-3:], "```"]


def launch_overhead(sizes: _Sizes) -> Lines:
    """Host cost of a launch by number of arguments, and of whole ops on 4×4."""
    import cupy

    device = backend()
    rows = []
    memory = device.alloc(256)
    for count, packed in ((3, False), (6, False), (12, False), (12, True)):
        if packed:
            source = f'struct P {{ void* at[{count}]; }}; extern "C" __global__ void k(P p) {{}}'
            block = np.frombuffer(struct.pack(f"{count}P", *[memory.ptr] * count), dtype=f"V{8 * count}")[0]
            arguments: tuple[Any, ...] = (block,)
        else:
            parameters = ", ".join(f"void* a{i}" for i in range(count))
            source = f'extern "C" __global__ void k({parameters}) {{}}'
            arguments = (np.uintp(memory.ptr),) * count
        function = cupy.RawModule(code=source).get_function("k").kernel
        us = _host_us(partial(function, (1,), (32,), arguments), sizes.launches)
        shape = f"{count} pointers in one struct" if packed else f"{count} arguments"
        rows.append(f"| CuPy `Function`, {shape} | {us:.2f} |")
    a, c = gg.ones(4, 4, device="cuda"), cupy.ones((4, 4), cupy.float32)
    x = gg.ones(4, 4, device="cuda").requires_grad_()

    def forward_backward() -> None:
        x.grad = None
        (x + a).backward(a)

    for name, step in (
        ("CuPy `c + c`", lambda: c + c),
        ("`cupy.empty`", lambda: cupy.empty((4, 4), cupy.float32)),
        ("gradgpu `a + a`", lambda: a + a),
        ("gradgpu `a + a`, recorded", lambda: x + a),
        ("gradgpu `a + a`, forward + backward", forward_backward),
        ("gradgpu `a @ a`", lambda: a @ a),
        ("gradgpu `a.sum()`", lambda: a.sum()),
        ("gradgpu `a.reshape(16)`", lambda: a.reshape(16)),
    ):
        rows.append(f"| {name} | {_host_us(step, sizes.launches):.2f} |")
    return ["| call | µs on the host |", "|---|---|", *rows]


def bandwidth(sizes: _Sizes) -> Lines:
    """Bytes that each memory-bound op must move, over the time it took, against a device copy."""
    rows, columns = sizes.rows, sizes.columns
    F = gg.nn.functional
    x = gg.randn(rows, columns, device="cuda")
    y = gg.randn(rows, columns, device="cuda")
    row = gg.randn(columns, device="cuda")
    column = gg.randn(rows, 1, device="cuda")
    weight, bias = gg.ones(columns, device="cuda"), gg.zeros(columns, device="cuda")
    labels = gg.randint(0, columns, (rows,), device="cuda")
    table = gg.randn(sizes.vocabulary, columns, device="cuda")
    tokens = gg.randint(0, sizes.vocabulary, (rows,), device="cuda")
    parameter = gg.nn.Parameter(gg.randn(rows, columns, device="cuda"))
    parameter.grad = y
    adam, sgd = gg.optim.Adam([parameter]), gg.optim.SGD([parameter], lr=0.1, momentum=0.9)
    n, size = rows * columns, 4 * rows * columns
    target = backend().alloc(size)
    source = backend().alloc(size)

    def copy() -> None:
        backend().copy(target.ptr, source.ptr, size, backend().current_stream_ptr())

    def backward_of(
        forward: Callable[[gg.Tensor], gg.Tensor], gradient: gg.Tensor | None
    ) -> Callable[[], None]:
        leaf = x.detach().requires_grad_()
        out = forward(leaf)

        def step() -> None:
            leaf.grad = None
            out.backward(gradient, retain_graph=True)

        return step

    # name, bytes moved at least, call
    cases: list[tuple[str, float, Callable[[], Any]]] = [
        ("device copy", 2 * size, copy),
        ("exp(x)", 2 * size, lambda: x.exp()),
        ("x + y", 3 * size, lambda: x + y),
        ("x * 2", 2 * size, lambda: x * 2),
        ("x + row", 2 * size, lambda: x + row),
        ("x + column", 2 * size, lambda: x + column),
        ("x.t() + y.t() (strided)", 3 * size, lambda: x.t() + y.t()),
        ("x.t().contiguous()", 2 * size, lambda: x.t().contiguous()),
        ("x.to(float16)", 1.5 * size, lambda: x.to(gg.float16)),
        ("gelu, backward", 3 * size, backward_of(lambda t: F.gelu(t), y)),
        ("sum of all", size, lambda: x.sum()),
        ("sum of each row", size, lambda: x.sum(dim=1)),
        ("sum of each column", size, lambda: x.sum(dim=0)),
        ("argmax of each row", size, lambda: x.argmax(dim=1)),
        ("var of each row", size, lambda: x.var(dim=1)),
        ("softmax", 2 * size, lambda: F.softmax(x, dim=1)),
        ("softmax, backward", 3 * size, backward_of(lambda t: F.softmax(t, dim=1), y)),
        ("cross_entropy", size, lambda: F.cross_entropy(x, labels)),
        ("cross_entropy, backward", 2 * size, backward_of(lambda t: F.cross_entropy(t, labels), None)),
        ("layer_norm", 2 * size, lambda: F.layer_norm(x, (columns,), weight, bias)),
        (
            "layer_norm, backward",
            3 * size,
            backward_of(lambda t: F.layer_norm(t, (columns,), weight, bias), y),
        ),
        ("dropout", 2 * size, lambda: F.dropout(x, 0.5, training=True)),
        ("embedding", 2 * size, lambda: F.embedding(tokens, table)),
        ("cat", 4 * size, lambda: gg.cat([x, y])),
        ("randn", size, lambda: gg.randn(rows, columns, device="cuda")),
        ("SGD with momentum, one step", 20 * n, sgd.step),
        ("Adam, one step", 28 * n, adam.step),
    ]
    lines = [
        f"float32, {rows} × {columns}.",
        "",
        "| op | ms | GB/s | of a device copy |",
        "|---|---|---|---|",
    ]
    reference = 0.0
    for name, moved, step in cases:
        ms = _device_ms(step, sizes.repeats)
        rate = moved / ms / 1e6
        reference = reference or rate
        lines.append(f"| {name} | {ms:.3f} | {rate:.0f} | {rate / reference:.2f} |")
    return lines


def copies(sizes: _Sizes) -> Lines:
    """Copies between host and device: how long they take, and how soon the host goes on."""
    shape = (sizes.rows, sizes.columns)
    pageable, locked = gg.ones(shape), gg.ones(shape, pin_memory=True)
    x, target = gg.ones(shape, device="cuda"), gg.empty(shape, device="cuda")
    cases: list[tuple[str, Callable[[], Any]]] = [
        ("to cuda, from ordinary memory", lambda: target.copy_(pageable)),
        ("to cuda, from page-locked memory", lambda: target.copy_(locked)),
        ("the same, non_blocking", lambda: target.copy_(locked, non_blocking=True)),
        ("to the host, into ordinary memory", lambda: pageable.copy_(x)),
        ("to the host, into page-locked memory", lambda: locked.copy_(x)),
        ("the same, non_blocking", lambda: locked.copy_(x, non_blocking=True)),
        ("x.pin_memory()", pageable.pin_memory),
    ]
    lines = [
        f"{4 * sizes.rows * sizes.columns / 2**20:.1f} MiB.",
        "",
        "| copy | ms | GB/s | ms until the host goes on |",
        "|---|---|---|---|",
    ]
    for name, step in cases:
        step()
        rounds = []
        for _ in range(sizes.repeats):
            backend().synchronize()
            start = time.perf_counter()
            step()
            returned = time.perf_counter()
            backend().synchronize()
            rounds.append(((time.perf_counter() - start) * 1e3, (returned - start) * 1e3))
        whole, host = (statistics.median(column) for column in zip(*rounds))
        rate = 4 * sizes.rows * sizes.columns / whole / 1e6
        lines.append(f"| {name} | {whole:.3f} | {rate:.1f} | {host:.3f} |")
    return lines


def products(sizes: _Sizes) -> Lines:
    """Matrix products against cuBLAS through CuPy."""
    import cupy

    lines = [
        "| m × k × n | dtype | gradgpu ms | TFLOP/s | cuBLAS ms | of cuBLAS |",
        "|---|---|---|---|---|---|",
    ]
    note = ""
    for m, k, n in sizes.products:
        for dtype in ("float32", "float16"):
            a = gg.randn(m, k, device="cuda").to(getattr(gg, dtype))
            b = gg.randn(k, n, device="cuda").to(getattr(gg, dtype))
            ours = _device_ms(partial(operator.matmul, a, b), sizes.repeats)
            row = f"| {m} × {k} × {n} | {dtype} | {ours:.4f} | {2 * m * k * n / ours / 1e9:.2f} |"
            try:
                p, q = cupy.ones((m, k), dtype), cupy.ones((k, n), dtype)
                theirs = _device_ms(partial(cupy.matmul, p, q), sizes.repeats)
            except (ImportError, RuntimeError) as error:
                note = f"cuBLAS does not load here, so that column is empty: {str(error).splitlines()[0]}"
                lines.append(row + " – | – |")
            else:
                lines.append(row + f" {theirs:.4f} | {theirs / ours:.2f} |")
    return [*lines, "", note] if note else lines


def training(sizes: _Sizes) -> Lines:
    """Training steps and small ops against PyTorch eager, on this device."""
    with_torch = importlib.util.find_spec("torch") is not None
    note = "PyTorch is not installed, so it was not compared."
    if with_torch:
        import torch

        with_torch = torch.cuda.is_available()
        note = "PyTorch finds no CUDA device here, so it was not compared."
    lines = ["| case | gradgpu µs | PyTorch µs | gradgpu / PyTorch |", "|---|---|---|---|"]
    for case in sizes.cases:
        title = CASES[case].title
        mine = _timed_steps("gradgpu", case, sizes.steps)
        if not with_torch:
            lines.append(f"| {title} | {mine[0]:.1f} | – | – |")
            continue
        theirs = _timed_steps("torch", case, sizes.steps)
        if not np.allclose(mine[1], theirs[1], rtol=1e-3, atol=1e-3):
            raise RuntimeError(f"{case}: gradgpu computed {mine[1]}, PyTorch {theirs[1]}")
        lines.append(f"| {title} | {mine[0]:.1f} | {theirs[0]:.1f} | {mine[0] / theirs[0]:.2f} |")
    return lines if with_torch else [*lines, "", note]


def _timed_steps(implementation: str, case: str, count: int) -> tuple[float, list[float]]:
    built = build(implementation, case, "cuda")
    assert built is not None
    step, losses = built
    first = losses()
    rounds = []
    for _ in range(5):
        backend().synchronize()  # waits for the device, whoever gave it work
        start = time.perf_counter()
        for _ in range(count):
            step()
        backend().synchronize()
        rounds.append((time.perf_counter() - start) / count * 1e6)
    return statistics.median(rounds), first


def main(argv: list[str] | None = None) -> int:
    """The command; see the top of this file. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gradgpu._tools.gpu_report", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, for a device in software")
    parser.add_argument(
        "--tests", metavar="EXPRESSION", help="only the tests that pytest's -k selects; 'none' for none"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/gpu-report.md"))
    options = parser.parse_args(argv)
    if not gg.cuda.is_available() or backend().simulated:
        print(
            "gpu-report: CuPy finds no CUDA device here; this command measures one (see README.md)",
            file=sys.stderr,
        )
        return 2
    sizes = _Sizes(options.quick)
    name = backend().device_name(0)
    page = [f"# gradgpu on {name}", ""]
    if re.search(r"\bcpu\b|virtual|emulat|simulat", name, re.IGNORECASE):
        page += ["**This device executes kernels in software: the times below mean nothing.**", ""]
    page += [f"Made by `make gpu-report` on {time.strftime('%Y-%m-%d')}.", ""]
    parts: list[tuple[str, Callable[[], Lines]]] = [
        ("Machine", describe),
        ("Host cost of a launch", lambda: launch_overhead(sizes)),
        ("Memory-bound kernels", lambda: bandwidth(sizes)),
        ("Copies between host and device", lambda: copies(sizes)),
        ("Matrix products", lambda: products(sizes)),
        ("Training", lambda: training(sizes)),
    ]
    if options.tests != "none":
        parts.insert(1, ("Tests", lambda: run_tests(options.tests)))
    failed = []
    for title, part in parts:
        print(f"gpu-report: {title}", flush=True)
        try:
            lines = part()
        except Exception:  # the page shows every part that did run
            failed.append(title)
            lines = ["**Failed:**", "", "```", *traceback.format_exc().splitlines(), "```"]
        page += [f"## {title}", "", *lines, ""]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(page))
    print(f"gpu-report: wrote {options.output}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
