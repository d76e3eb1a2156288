"""`make kernels`: compiles every kernel for every dtype and architecture, without a GPU, and tabulates the result.

Each text that gradgpu would hand to the compiler goes through NVRTC to machine code; ptxas reports
registers, shared memory, spills and stack frames of each kernel. The table is written to
docs/kernels.md. Spills and stack frames (arrays that went to slow local memory) fail the command.
Reports are kept in .cache/ by content, so that a second run compiles what has changed.

    python -m gradgpu._tools.kernels [--jobs 2] [--arch 75 90 …] [--sample] [--only NAME] [--output docs/kernels.md]

The whole product takes about half an hour of two cores; `--sample` compiles each kernel × dtype for one
architecture (another one for each) and float32 for three or all, in a few minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import pkgutil
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["ARCHITECTURES", "Report", "Unit", "compile_report", "main", "parse_log", "units"]

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
# CUDA's own sin, cos and tan reduce arguments above 105615 by a table walk with up to 40 bytes of stack, which
# only such arguments touch. digamma calls tan, of arguments below pi; lgamma's gradient is digamma; the exponential of a complex
# number is made of the sine and cosine of its imaginary part.
_LIBRARY_FRAME = re.compile(r"^(sin|cos|tan|digamma|lgamma_backward|complex_exp)(_|$)")
_LIBRARY_FRAME_BYTES = 40
_SUFFIXES = ("f32", "f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "b8", "–")
_BATCH = 16  # pointwise operations in one program
_ROOT = Path(__file__).resolve().parents[2]


class Unit(NamedTuple):
    """One text for the compiler."""

    file: str
    variant: str  # the dtypes, as in kernel names: f32, or f32,i64
    text: str
    entries: frozenset[str]  # functions that gradgpu launches from it


class Report(NamedTuple):
    """What ptxas says of one kernel; sizes in bytes."""

    name: str
    registers: int
    shared: int
    stack: int
    spills: int


def units() -> list[Unit]:
    """Every text that gradgpu compiles: each `Kernel` for each of its dtypes, and every pointwise operation."""
    import gradgpu.cuda
    import gradgpu.ops
    import gradgpu.optim

    # Kernels and operations register themselves; many of their files are imported only when somebody asks for them.
    for package in (gradgpu.cuda, gradgpu.ops, gradgpu.optim):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.name.endswith((".backend_cupy", ".simulator")):
                importlib.import_module(module.name)
    from gradgpu.cuda.elementwise import all_kernels
    from gradgpu.cuda.launch import KERNELS
    from gradgpu.ops.pointwise_op import Pointwise
    from gradgpu.ops.registry import OPS

    found: dict[str, Unit] = {}

    def add(file: str, variant: str, text: str, entries: Iterable[str]) -> None:
        before = found.get(text)
        known = before.entries if before else frozenset()
        found[text] = Unit(file, before.variant if before else variant, text, known | frozenset(entries))

    for kernel in KERNELS:
        for dtypes in kernel.combinations():
            variant = ",".join(d.suffix for d in dtypes) or "–"
            add(kernel.file, variant, kernel.source(dtypes), [kernel.entry(dtypes)])
    for op in OPS.values():
        if isinstance(op, Pointwise):
            op.all_kernels()
    for pointwise in all_kernels():
        entries = [pointwise.entry(shape) for shape in ("vector", "rows", "strided", "wide")]
        add("pointwise.cu", pointwise.suffix, pointwise.text(), entries)
    return list(found.values())


def parse_log(log: str) -> list[Report]:
    """Reads what `--ptxas-options=-v` prints.

    >>> parse_log('''ptxas info    : Compiling entry function 'k_f32' for 'sm_90'
    ... ptxas info    : Function properties for k_f32
    ... ptxas         .     16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
    ... ptxas info    : Used 30 registers, used 1 barriers, 256 bytes smem''')
    [Report(name='k_f32', registers=30, shared=256, stack=16, spills=12)]
    """
    reports = []
    for part in re.split(r"Compiling entry function '", log)[1:]:
        name = part.split("'", 1)[0]
        # Functions that were not inlined have property lines of their own: the largest frame counts.
        frames = re.findall(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
        )
        registers = re.search(r"Used (\d+) registers", part)
        if not frames or registers is None:
            raise ValueError(f"the compiler's report on {name} was not understood:\n{part}")
        shared = re.search(r"(\d+) bytes smem", part)
        stack = max(int(frame) for frame, _, _ in frames)
        spills = sum(int(stores) + int(loads) for _, stores, loads in frames)
        reports.append(Report(name, int(registers[1]), int(shared[1]) if shared else 0, stack, spills))
    return reports


def compile_report(text: str, arch: int) -> list[Report]:
    """Compiles a text to machine code of one architecture and returns what ptxas says of its kernels.

    Raises:
        RuntimeError: it does not compile; the message is the compiler's.
    """
    from cupy_backends.cuda.libs import nvrtc

    # As CuPy compiles it: -ftz is its choice for every kernel.
    options = ["-std=c++17", "-ftz=true", f"--gpu-architecture=sm_{arch}", "--ptxas-options=-v"]
    program = nvrtc.createProgram(text, "kernel.cu", [], [])
    try:
        nvrtc.compileProgram(program, [*options, *_include_options()])
    except nvrtc.NVRTCError as error:
        raise RuntimeError(f"sm_{arch}: {error}\n{nvrtc.getProgramLog(program)}") from error
    reports = parse_log(nvrtc.getProgramLog(program))
    nvrtc.destroyProgram(program)
    return reports


def combined(batch: Sequence[Unit]) -> str:
    """One program of several: the shared header once, each unit in a namespace of its own.

    A kernel's machine code does not depend on its neighbours; parsing the CUDA headers takes
    longer than compiling a small kernel, so this halves the time of the whole table.
    """
    from gradgpu.cuda.compile import inlined

    if len(batch) == 1:
        return batch[0].text
    common = inlined("common.cuh")
    parts = ["#define GG_USE_F16 1\n#define GG_USE_BF16 1", common]
    for k, unit in enumerate(batch):
        own = unit.text.replace(common, "")
        macros = dict.fromkeys(re.findall(r"^[ \t]*#define[ \t]+(\w+)", own, flags=re.MULTILINE))
        parts += [f"namespace unit_{k} {{", own, "}", *(f"#undef {name}" for name in macros)]
    return "\n".join(parts)


def batches(wanted: Iterable[Unit], size: int) -> Iterator[list[Unit]]:
    """Pointwise units in groups whose kernels' names differ; every other unit alone."""
    open_batches: list[list[Unit]] = []
    for unit in wanted:
        if unit.file != "pointwise.cu":
            yield [unit]
            continue
        for batch in open_batches:
            if not any(unit.entries & other.entries for other in batch):
                batch.append(unit)
                break
        else:
            open_batches.append(batch := [unit])
        if len(batch) == size:
            open_batches.remove(batch)
            yield batch
    yield from open_batches


def _include_options() -> list[str]:
    """Where cuda_fp16.h lies: the headers that CuPy passes to the compiler."""
    from cupy._environment import get_cuda_path
    from cupy.cuda import compiler  # noqa: F401  (loads NVRTC as CuPy finds it)

    cuda = get_cuda_path()
    folders = [os.path.join(cuda, "include")] if cuda else []
    folders += [str(p) for base in sys.path for p in Path(base or ".").glob("nvidia/*/include")]
    return [f"-I{folder}" for folder in folders]


def _task(job: tuple[str, int]) -> list[Report] | str:
    """Compiles one program in a worker process; the reports, or the compiler's message."""
    try:
        return compile_report(*job)
    except (RuntimeError, ValueError) as error:
        return str(error)


def product(wanted: Iterable[Unit], archs: Sequence[int], sample: bool) -> list[tuple[Unit, int]]:
    """Which unit is compiled for which architecture: all for all, or each dtype for one (see --sample)."""
    if not sample:
        return [(unit, arch) for unit in wanted for arch in archs]
    chosen = []
    for k, unit in enumerate(wanted):
        some = [archs[k % len(archs)]]
        if unit.variant.startswith("f32"):
            some = (
                list(archs) if unit.file != "pointwise.cu" else [archs[0], archs[len(archs) // 2], archs[-1]]
            )
        chosen += [(unit, arch) for arch in dict.fromkeys(some)]
    return chosen


def compile_all(
    wanted: Iterable[tuple[Unit, int]], jobs: int, cache: Path
) -> Iterator[tuple[Unit, int, list[Report] | str]]:
    """Yields (unit, architecture, reports or error message), from the cache where the text is known."""
    from cupy_backends.cuda.libs import nvrtc

    version = ".".join(map(str, nvrtc.getVersion()))
    cache.mkdir(parents=True, exist_ok=True)

    def cached(unit: Unit, arch: int) -> Path:
        return cache / (hashlib.sha256(f"{version} {arch}\n{unit.text}".encode()).hexdigest()[:32] + ".json")

    unknown: dict[int, list[Unit]] = {}
    for unit, arch in wanted:
        if (path := cached(unit, arch)).exists():
            yield unit, arch, [Report(*r) for r in json.loads(path.read_text())]
        else:
            unknown.setdefault(arch, []).append(unit)
    todo = [(batch, arch) for arch, units in unknown.items() for batch in batches(units, _BATCH)]
    if not todo:
        return
    # The programs that take longest begin first, so that no process waits for the other at the end.
    todo.sort(key=lambda job: (job[0][0].file == "pointwise.cu", -len(job[0][0].text)))
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        results = pool.imap(_task, [(combined(batch), arch) for batch, arch in todo])
        for (batch, arch), result in zip(todo, results):
            for unit in batch:
                if isinstance(result, str):
                    yield unit, arch, result
                    continue
                own = [r for r in result if len(batch) == 1 or r.name in unit.entries]
                cached(unit, arch).write_text(json.dumps(own))
                yield unit, arch, own


def _span(values: list[int]) -> str:
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)}–{max(values)}"


def _table(file: str, rows: dict[str, dict[str, list[Report]]]) -> list[str]:
    """One file's table: a row a kernel, a column an element type, registers over all architectures."""
    variants = [v for v in _SUFFIXES if any(v in columns for columns in rows.values())]
    lines = [
        f"## {file}",
        "",
        f"| kernel | shared | {' | '.join(variants)} |",
        "|---" * (len(variants) + 2) + "|",
    ]
    for kernel, columns in sorted(rows.items()):
        shared = _span([r.shared for reports in columns.values() for r in reports])
        cells = [_span([r.registers for r in columns[v]]) if v in columns else "" for v in variants]
        lines.append(f"| {kernel} | {shared} | {' | '.join(cells)} |")
    return [*lines, ""]


def _row(file: str, name: str, variant: str) -> tuple[str, str]:
    """Kernel and element type, as the table shows them; the four shapes of a pointwise operation share a row."""
    element = variant.split(",")[0]
    name = name.removesuffix(f"_{element}")
    if file == "pointwise.cu":
        name = name.split("_", 1)[1]
    return name, element if element in _SUFFIXES else "–"


def _page(
    archs: Sequence[int], sample: bool, compiled: int, tables: dict[str, dict[str, dict[str, list[Report]]]]
) -> str:
    names = [f"sm_{arch}" for arch in archs]
    covered = f"for each of {', '.join(names)}"
    if sample:
        covered = (
            f"for one of {', '.join(names)}, taken in turn (float32 for all of them; float32 pointwise operations for "
            f"{names[0]}, {names[len(names) // 2]} and {names[-1]}): this is the `--sample` of the whole product"
        )
    lines = [
        "# Kernels",
        "",
        f"Written by `make kernels`: every kernel, compiled by NVRTC for every dtype that it takes and {covered}; "
        f"{compiled} kernels in all. Cells are registers a thread, the "
        "least and the most over architectures (and, for a pointwise operation, over its four shapes: vector, rows, "
        "strided, wide; for a kernel of several types, over the others). *shared* is static shared memory in bytes.",
        "",
        "No kernel spills registers, and none keeps a stack frame, but for the frame of up to "
        f"{_LIBRARY_FRAME_BYTES} bytes in CUDA's own sin, cos and tan (which digamma and complex exponentials call) that only arguments above 105615 use.",
        "",
        *(line for file in sorted(tables) for line in _table(file, tables[file])),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main(argv: list[str] | None = None) -> int:
    """The command; see the top of this file. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gradgpu._tools.kernels", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--arch", type=int, nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--sample", action="store_true", help="each kernel × dtype for one architecture")
    parser.add_argument("--only", metavar="NAME", help="files and kernels whose name contains this; no table")
    parser.add_argument("--output", type=Path, default=_ROOT / "docs" / "kernels.md")
    parser.add_argument("--cache", type=Path, default=_ROOT / ".cache" / "kernels")
    options = parser.parse_args(argv)
    wanted = units()
    if options.only:
        wanted = [u for u in wanted if options.only in u.file or any(options.only in e for e in u.entries)]
    jobs = product(wanted, options.arch, options.sample)
    print(f"kernels: {len(wanted)} programs, {len(jobs)} compilations for {options.arch}", flush=True)
    start, compiled = time.perf_counter(), 0
    problems: list[str] = []
    tables: dict[str, dict[str, dict[str, list[Report]]]] = {}
    for unit, arch, reports in compile_all(jobs, options.jobs, options.cache):
        where = f"{unit.file} [{unit.variant}] sm_{arch}"
        if isinstance(reports, str):
            problems.append(f"{where}: does not compile: {reports}")
            continue
        problems += [
            f"{where}: has no kernel {name}" for name in sorted(unit.entries - {r.name for r in reports})
        ]
        for r in reports:
            compiled += 1
            kernel, element = _row(unit.file, r.name, unit.variant)
            tables.setdefault(unit.file, {}).setdefault(kernel, {}).setdefault(element, []).append(r)
            allowed = _LIBRARY_FRAME_BYTES if _LIBRARY_FRAME.search(kernel) else 0
            if r.spills or r.stack > allowed:
                problems.append(f"{where}: {r.name}: {r.stack} bytes of stack, {r.spills} bytes spilled")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not (options.only or problems):
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(_page(options.arch, options.sample, compiled, tables))
        print(f"kernels: wrote {options.output}")
    print(f"kernels: {compiled} kernels in {time.perf_counter() - start:.0f} s, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
