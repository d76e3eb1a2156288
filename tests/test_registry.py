"""Every op is whole: numpy code, cuda code, gradient, samples, error samples, a documented function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType

import pytest

import gradgpu as gg
from gradgpu.ops.registry import OPS, Op
from tests.samples import FLOATS, OpSamples
from tests.test_samples import ALL, draw, gradients, second_gradients

each_op = pytest.mark.parametrize("op", [pytest.param(op, id=name) for name, op in sorted(OPS.items())])


def function_of(op: OpSamples) -> str:
    """The public function that the samples call; their own name if they call a lambda."""
    name = getattr(op.function, "__name__", "<lambda>")
    return f"{op.family}.{op.name if name == '<lambda>' else name}"


each_function = pytest.mark.parametrize("name", sorted({function_of(op) for op in ALL}))


@each_op
def test_has_both_halves(op: Op) -> None:
    assert op.cpu is not None, f"{op.name} has no numpy code"
    assert op.cuda is not None, f"{op.name} has no cuda code"


@each_op
def test_has_a_gradient_or_says_that_it_has_none(op: Op) -> None:
    assert op.has_gradient or op.differentiable is False, (
        f"{op.name} has no gradient rule: add grad= or grads=, or differentiable=False if it has none"
    )


@each_op
def test_halves_agree_on_parameters(op: Op) -> None:
    """The cuda code takes what the numpy code takes."""
    cpu, cuda = (_parameters(f) for f in (op.cpu, op.cuda))
    if cpu is not None and cuda is not None:
        assert len(cpu[0]) == len(cuda[0]), f"{op.name}: cpu takes {cpu[0]}, cuda {cuda[0]}"
        assert cpu[1] == cuda[1], f"{op.name}: attributes of cpu {cpu[1]}, of cuda {cuda[1]}"


@pytest.fixture(scope="module")
def ran() -> tuple[set[CodeType], set[str]]:
    """(code of every function that the samples ran on the cpu, names of grad_fn nodes they made)."""
    codes: set[CodeType] = set()

    def note(frame, event, argument) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for op in ALL:
            dtype = "float64" if "float64" in op.dtypes else op.dtypes[0]
            for sample in op.samples:
                try:
                    gradients(op, sample, draw(sample, dtype), "cpu", dtype)
                    if op.differentiable and op.second_order and dtype in FLOATS:
                        second_gradients(op, sample, draw(sample, dtype), "cpu")
                except Exception:  # test_samples reports it
                    continue
    finally:
        sys.setprofile(before)
    return codes, {op.name for op in ALL} | {name for op in ALL for name in op.ops}


@each_op
def test_has_samples(op: Op, ran: tuple[set[CodeType], set[str]]) -> None:
    codes, names = ran
    code = getattr(op.cpu, "__code__", None)
    assert op.name in names or code in codes, (
        f"no sample reaches {op.name}: add one to tests/samples/<family>.py"
    )


@each_function
def test_has_samples_of_each_kind(name: str) -> None:
    """A public function has samples, error samples, and a sample at which launch code breaks: empty or 0-dim."""
    several = [op for op in ALL if function_of(op) == name]
    assert any(op.samples for op in several), f"{name} has no samples"
    assert any(op.errors for op in several), (
        f"{name} has no error samples: what must it refuse, in which words?"
    )
    shapes = [part.shape for op in several for sample in op.samples for part in sample.inputs()]
    assert any(0 in shape or not shape for shape in shapes), (
        f"{name}: no sample has an empty or a 0-dim input"
    )


def public_functions() -> Iterator[tuple[str, object]]:
    for where in (gg, getattr(gg.nn, "functional", None)):
        for name in getattr(where, "__all__", None) or dir(where):
            value = getattr(where, name)
            if (
                not name.startswith("_")
                and inspect.isfunction(value)
                and value.__module__.startswith("gradgpu")
            ):
                yield name, value


@pytest.mark.parametrize("name, function", sorted(public_functions(), key=lambda pair: pair[0]))
def test_public_functions_are_documented(name: str, function: object) -> None:
    text = inspect.getdoc(function)
    assert text, f"{name} has no docstring"


def _parameters(function: object) -> tuple[list[str], set[str]] | None:
    """(positional names, keyword-only names), None for builtins that tell neither, or *args."""
    try:
        found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
        return None
    return (
        [p.name for p in found if p.kind is not p.KEYWORD_ONLY],
        {p.name for p in found if p.kind is p.KEYWORD_ONLY},
    )
