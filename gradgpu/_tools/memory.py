"""Peak memory of forward + backward over a deep net, plain and checkpointed, beside PyTorch.

Each measurement is a process of its own: it imports the library, runs a small net once (code and
pools that load at first use are no part of the net's memory), notes its peak, trains the deep net
for some steps and reports by how much the peak grew. The kernel keeps that peak (`VmHWM`, else
`getrusage`), so buffers of BLAS and of either library's allocator count too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

BAR = 1.1
PAGE = Path("docs/memory.md")
CASES = {
    "plain": 0,
    "checkpointed": 14,
}  # segments of checkpoint_sequential; 14² is about the number of layers
LIBRARIES = ("torch", "gradgpu")


def peak() -> float:
    """The most memory this process has had, in MiB."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        text = ""
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def train(t: Any, layers: int, width: int, batch: int, segments: int, steps: int) -> float:
    """Forward + backward through Linear-ReLU layers with library `t`; the loss."""
    from importlib import import_module

    checkpoint = import_module(f"{t.__name__}.utils.checkpoint")
    t.manual_seed(0)
    net = t.nn.Sequential(*[part for _ in range(layers) for part in (t.nn.Linear(width, width), t.nn.ReLU())])
    x = t.randn(batch, width)
    loss = 0.0
    for _ in range(steps):
        for p in net.parameters():
            p.grad = None
        if segments:
            y = checkpoint.checkpoint_sequential(net, segments, x, use_reentrant=False)
        else:
            y = net(x)
        value = (y * y).mean()
        value.backward()
        loss = value.item()
    return loss


def measure(library: str, layers: int, width: int, batch: int, segments: int, steps: int) -> float:
    """MiB by which the peak of a fresh process grows. Runs in that process."""
    from importlib import import_module

    t: Any = import_module(library)
    if library == "torch":
        t.set_num_threads(1)
    train(t, 2, 8, 4, min(segments, 2), 1)
    before = peak()
    train(t, layers, width, batch, segments, steps)
    return peak() - before


def in_process(library: str, case: str, args: argparse.Namespace) -> float:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "gradgpu._tools.memory", "--measure", library, "--case", case]
    for name in ("layers", "width", "batch", "steps"):
        command += [f"--{name}", str(getattr(args, name))]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    made = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"the measurement of {library} failed:\n{made.stderr}")
    return float(made.stdout)


def page(rows: list[tuple[str, float, float]], args: argparse.Namespace) -> str:
    """The report as Markdown."""
    lines = [
        "# Peak memory",
        "",
        f"`make bench-memory`: forward + backward over a {args.layers}-layer MLP (Linear {args.width}×{args.width} and "
        f"ReLU, batch {args.batch}, float32), {args.steps} steps, each in a process of its own; the growth of the "
        "process's peak resident memory over that after the imports and a first small net. The checkpointed net runs "
        f"by `checkpoint_sequential` in {CASES['checkpointed']} segments.",
        "",
        "| net | PyTorch MiB | gradgpu MiB | gradgpu / PyTorch | bar |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {name} | {a:.0f} | {b:.0f} | {b / a:.2f} | {BAR} |" for name, a, b in rows]
    return "\n".join([*lines, ""])


def main() -> int:
    """Measures, prints and writes docs/memory.md; 1 if a ratio is over the bar."""
    parser = argparse.ArgumentParser(description="Peak memory of forward + backward beside PyTorch.")
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1024, help="large, so that activations dominate")
    parser.add_argument("--steps", type=int, default=2, help="the second step finds gradients to replace")
    parser.add_argument("--case", choices=list(CASES), help="this net only")
    parser.add_argument("--measure", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=None, help=f"write the page there, as {PAGE}")
    args = parser.parse_args()
    if args.measure:
        print(measure(args.measure, args.layers, args.width, args.batch, CASES[args.case], args.steps))
        return 0
    rows = []
    for case in CASES if args.case is None else (args.case,):
        theirs, ours = (in_process(library, case, args) for library in LIBRARIES)
        rows.append((case, theirs, ours))
    text = page(rows, args)
    print(text)
    if args.output is not None:
        args.output.write_text(text)
    return int(any(ours > BAR * theirs for _, theirs, ours in rows))


if __name__ == "__main__":
    raise SystemExit(main())
