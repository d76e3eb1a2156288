"""Numbers beside PyTorch's: every layer, loss and activation, every optimiser and schedule (`make compare`).

The two libraries get the same weights and inputs. A difference is max |ours - theirs| / max(1, max |theirs|), in float32 on the
CPU; optimisers get the same gradients for some steps; schedules must agree exactly.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .compare_cases import ACTIVATIONS, MODULES, OPTIMIZERS, SCHEDULES, Case, Value

PAGE = Path("docs/compare.md")
BAR, OPTIMIZER_BAR = 1e-5, 1e-6
STEPS, EPOCHS = 50, 100
# Newton-Schulz steps amplify the rounding of bfloat16: another order of a sum moves a bit, and a bit is 2⁻⁸.
BARS = {"Muon": 1e-3}


class Difference(NamedTuple):
    """Of the outputs, of the gradients of the inputs, and of those of parameters (with buffers)."""

    forward: float
    inputs: float
    parameters: float


# ---- values in a library ----
def tensors_of(lib: Any, value: Any, grad: bool) -> Any:
    """Arrays, or tuples of them, as tensors; floating ones ask for a gradient if `grad`."""
    if isinstance(value, tuple):
        return tuple(tensors_of(lib, v, grad) for v in value)
    t = lib.tensor(np.array(value))
    return t.requires_grad_(True) if grad and t.is_floating_point() else t


def made(lib: Any, values: Any, rng: np.random.Generator, grad: bool = False) -> Any:
    """Arguments of a case with their :class:`Value` s as tensors."""
    if isinstance(values, Value):
        return tensors_of(lib, values(rng), grad and values.grad)
    if isinstance(values, dict):
        return {name: made(lib, value, rng, grad) for name, value in values.items()}
    return values


def flat(x: Any) -> Iterator[Any]:
    """The tensors of a result."""
    if hasattr(x, "detach"):
        yield x
    elif isinstance(x, (tuple, list)):
        for part in x:
            yield from flat(part)


def array(t: Any) -> np.ndarray:
    """A tensor's numbers, in float64."""
    return np.asarray(t.detach().numpy(), np.float64)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max |ours - theirs| / max(1, max |theirs|); infinite where shapes or what is not finite differ."""
    if ours.shape != theirs.shape:
        return math.inf
    finite = np.isfinite(theirs)
    if not np.array_equal(np.nan_to_num(ours[~finite]), np.nan_to_num(theirs[~finite])):
        return math.inf
    if not finite.any():
        return 0.0
    a, b = ours[finite], theirs[finite]
    return float(np.max(np.abs(a - b)) / max(1.0, float(np.max(np.abs(b)))))


def largest(values: Iterable[float]) -> float:
    """The largest difference; NaN counts as infinite."""
    return max((math.inf if math.isnan(v) else v for v in values), default=0.0)


# ---- modules ----
class Ran(NamedTuple):
    """What a case gave in one library."""

    outputs: list[np.ndarray]
    inputs: list[np.ndarray | None]
    parameters: dict[str, np.ndarray | None]
    state: dict[str, np.ndarray]
    text: str


def run(lib: Any, case: Case, seed: int, state: dict[str, np.ndarray] | None) -> Ran:
    """A case in one library; with the weights `state`, or its own.

    Raises:
        Whatever the library raises.
    """
    rng = np.random.default_rng(seed)
    kwargs = made(lib, case.kwargs, rng)
    inputs = [made(lib, value, rng, grad=True) for value in case.inputs]
    call = made(lib, case.call, rng, grad=True)
    module = getattr(lib.nn, case.module)(*case.args, **kwargs).train(case.training)
    if case.module.startswith("Lazy"):
        with lib.no_grad():
            module(*inputs)
        for buffer in module.buffers():
            buffer.zero_()
    if state is not None:
        module.load_state_dict({name: lib.tensor(value) for name, value in state.items()})
    before = {name: np.array(value.numpy()) for name, value in module.state_dict().items()}
    sent = [lib.nn.functional.log_softmax(inputs[0], -1), *inputs[1:]] if case.through else inputs
    outputs = list(flat(module(*sent, **call)))
    wanted = [y for y in outputs if y.requires_grad]
    if wanted:
        total = sum(
            (y * lib.tensor(rng.standard_normal(tuple(y.shape)).astype(np.float32))).sum() for y in wanted
        )
        total.backward()
    gradients = [t.grad for t in flat([inputs, list(call.values())])]
    parameters = {name: p.grad for name, p in module.named_parameters()}
    return Ran(
        [array(y) for y in outputs],
        [None if g is None else array(g) for g in gradients],
        {name: None if g is None else array(g) for name, g in parameters.items()}
        | {f"{name} (buffer)": array(b) for name, b in module.named_buffers()},
        before,
        repr(module).replace(lib.__name__, "lib"),
    )


def compared(ours: Ran, theirs: Ran) -> Difference:
    """The largest differences of two runs; infinite where one has what the other lacks."""
    if len(ours.outputs) != len(theirs.outputs) or ours.parameters.keys() != theirs.parameters.keys():
        return Difference(math.inf, math.inf, math.inf)

    def pairs(a: Iterable[np.ndarray | None], b: Iterable[np.ndarray | None]) -> float:
        return largest(
            0.0 if x is None and y is None else math.inf if x is None or y is None else difference(x, y)
            for x, y in zip(a, b)
        )

    return Difference(
        pairs(ours.outputs, theirs.outputs),
        pairs(ours.inputs, theirs.inputs),
        pairs(ours.parameters.values(), (theirs.parameters[name] for name in ours.parameters)),
    )


def compare_module(torch: Any, gg: Any, case: Case, seed: int) -> Difference:
    """A case in both libraries."""
    theirs = run(torch, case, seed, None)
    return compared(run(gg, case, seed, theirs.state), theirs)


def compare_activation(torch: Any, gg: Any, name: str, options: dict[str, Any], seed: int) -> Difference:
    """A function of nn.functional on one tensor."""
    found = []
    for lib in (torch, gg):
        rng = np.random.default_rng(seed)
        x = lib.tensor(rng.standard_normal((4, 6)).astype(np.float32)).requires_grad_(True)
        y = getattr(lib.nn.functional, name)(x, **options)
        (y * lib.tensor(rng.standard_normal(tuple(y.shape)).astype(np.float32))).sum().backward()
        found.append((array(y), array(x.grad)))
    (a, da), (b, db) = found
    return Difference(difference(b, a), difference(db, da), 0.0)


# ---- optimisers ----
def trained(lib: Any, name: str, options: dict[str, Any], seed: int, steps: int) -> list[np.ndarray]:
    """All parameters after each step along gradients that do not depend on them.

    Two groups, the second with a rate of its own; one parameter has no gradient every third step.
    """
    rng = np.random.default_rng(seed)
    shapes = [(4, 3), (6, 2), (3, 5)] if name == "Muon" else [(4, 3), (5,), (2, 3, 2)]
    parameters = [lib.nn.Parameter(lib.tensor(rng.standard_normal(s).astype(np.float32))) for s in shapes]
    rate = {"lr": 2 * options.get("lr", 0.01)}
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], **rate}]
    optimizer = getattr(lib.optim, name)(groups, **options)
    seen = []
    for step in range(steps):
        for i, p in enumerate(parameters):
            gradient = rng.standard_normal(tuple(p.shape)).astype(np.float32)
            p.grad = None if i == 1 and step % 3 == 2 else lib.tensor(gradient)
        optimizer.step()
        seen.append(np.concatenate([array(p).ravel() for p in parameters]))
    return seen


def minimised(lib: Any, options: dict[str, Any]) -> list[np.ndarray]:
    """Where LBFGS goes on a smooth function of two numbers."""
    p = lib.nn.Parameter(lib.tensor([-1.2, 1.0]))
    optimizer = lib.optim.LBFGS([p], **options)
    seen = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p[0] - 1) ** 2 + 4 * (p[1] + 0.5) ** 2 + (p[0] * p[1]).tanh()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        seen.append(array(p))
    return seen


def compare_optimizer(
    torch: Any, gg: Any, name: str, options: dict[str, Any], seed: int, steps: int = STEPS
) -> float:
    """The largest difference after any step, relative to the largest parameter."""
    theirs, ours = (trained(lib, name, options, seed, steps) for lib in (torch, gg))
    return largest(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in zip(ours, theirs))


# ---- schedules ----
def rates(lib: Any, name: str, epochs: int = EPOCHS) -> list[tuple[float, ...]]:
    """Rates and momenta of two groups at each epoch."""
    parameters = [lib.nn.Parameter(lib.zeros(1)) for _ in range(2)]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.5}]
    optimizer = lib.optim.SGD(groups, lr=0.1, momentum=0.9)
    schedule = SCHEDULES[name](lib.optim.lr_scheduler, optimizer)
    rng = np.random.default_rng(0)
    seen = []
    for epoch in range(epochs):
        numbers = [float(g[key]) for g in optimizer.param_groups for key in ("lr", "momentum")]
        seen.append((*numbers, *map(float, schedule.get_last_lr())))
        optimizer.step()
        metric = (float(rng.random()) / (1 + 0.1 * epoch),) if name.startswith("ReduceLROnPlateau") else ()
        schedule.step(*metric)
    return seen


def compare_schedule(torch: Any, gg: Any, name: str) -> float:
    """The largest difference of a rate or a momentum."""
    theirs, ours = (np.asarray(rates(lib, name)) for lib in (torch, gg))
    return float(np.max(np.abs(ours - theirs)))


# ---- the page ----
def number(x: float) -> str:
    """A difference as text."""
    return "0" if x == 0 else f"{x:.1e}"


def gathered(rows: Iterable[tuple[str, Difference]]) -> dict[str, list[Difference]]:
    """The differences of all configurations of each name."""
    found: dict[str, list[Difference]] = {}
    for name, d in rows:
        found.setdefault(name, []).append(d)
    return found


def table(rows: Iterable[tuple[str, Difference]], title: str) -> list[str]:
    """One line for each name: how many configurations, and the worst of each kind of difference."""
    lines = [
        f"| {title} | configurations | forward | gradients of inputs | gradients of parameters |",
        "|---|---|---|---|---|",
    ]
    for name, ds in gathered(rows).items():
        worst = Difference(*(largest(kind) for kind in zip(*ds)))
        lines.append(f"| {name} | {len(ds)} | {' | '.join(map(number, worst))} |")
    return lines


def page(torch: Any, gg: Any) -> tuple[str, list[str]]:
    """The report as Markdown, and a line for each thing that is over its bar."""
    failed: list[str] = []
    modules, activations, optimizers, schedules = [], [], [], []
    texts = 0
    for seed, case in enumerate(MODULES):
        d = compare_module(torch, gg, case, seed)
        modules.append((case.module, d))
        if largest(d) > BAR:
            failed.append(f"nn.{case.module}{case.args} {case.kwargs}: {d}")
        if run(torch, case, seed, None).text != run(gg, case, seed, None).text:
            texts += 1
            failed.append(f"nn.{case.module}{case.args} {case.kwargs}: another repr")
    for seed, (name, options) in enumerate(ACTIVATIONS):
        d = compare_activation(torch, gg, name, options, seed)
        activations.append((name, d))
        if largest(d) > BAR:
            failed.append(f"functional.{name} {options}: {d}")
    for seed, (name, options) in enumerate(OPTIMIZERS):
        x = compare_optimizer(torch, gg, name, options, seed)
        optimizers.append((name, x))
        if x > BARS.get(name, OPTIMIZER_BAR):
            failed.append(f"optim.{name} {options}: {x}")
    for options in ({}, {"line_search_fn": "strong_wolfe"}, {"history_size": 3, "lr": 0.5}):
        theirs, ours = minimised(torch, options), minimised(gg, options)
        x = largest(difference(a, b) for a, b in zip(ours, theirs))
        optimizers.append(("LBFGS", x))
        if x > 1e-4:
            failed.append(f"optim.LBFGS {options}: {x}")
    for name in SCHEDULES:
        x = compare_schedule(torch, gg, name)
        schedules.append((name, x))
        if x != 0:
            failed.append(f"lr_scheduler.{name}: {x}")
    by_optimizer: dict[str, list[float]] = {}
    for name, x in optimizers:
        by_optimizer.setdefault(name, []).append(x)
    lines = [
        "# Numbers beside PyTorch",
        "",
        f"`make compare`, PyTorch {torch.__version__}, float32 on the CPU: the same weights and inputs in both libraries. A "
        "difference is max |gradgpu - PyTorch| / max(1, max |PyTorch|), the worst over all configurations. "
        f"The bar is {BAR:.0e} for modules and functions. The text of each module (`repr`) is the same too"
        + (f", but for {texts} configurations." if texts else "."),
        "",
        *table(modules, "module"),
        "",
        *table(activations, "function"),
        "",
        f"Optimisers: {STEPS} steps along given gradients, two groups of parameters, one parameter without a gradient now and "
        f"then; relative to the largest parameter, bar {OPTIMIZER_BAR:.0e}. Muon rounds to bfloat16 inside ({BARS['Muon']:.0e}); "
        "LBFGS minimises a function of two numbers (1e-04).",
        "",
        "| optimiser | configurations | difference |",
        "|---|---|---|",
        *(f"| {name} | {len(xs)} | {number(largest(xs))} |" for name, xs in by_optimizer.items()),
        "",
        f"Schedules: rates and momenta over {EPOCHS} epochs, bar 0.",
        "",
        "| schedule | difference |",
        "|---|---|",
        *(f"| {name} | {number(x)} |" for name, x in schedules),
        "",
    ]  # fmt: skip
    return "\n".join(lines), failed


def main() -> int:
    """Compares, writes the page; 1 if something is over its bar."""
    parser = argparse.ArgumentParser(description="Layers, optimisers and schedules beside PyTorch's.")
    parser.add_argument("--output", type=Path, default=None, help=f"write the page there, as {PAGE}")
    args = parser.parse_args()
    torch, gg = import_module("torch"), import_module("gradgpu")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old arguments, which both libraries warn of
        text, failed = page(torch, gg)
    if args.output is not None:
        args.output.write_text(text)
    print(text if args.output is None else f"wrote {args.output}")
    for line in failed:
        print("over the bar:", line)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
