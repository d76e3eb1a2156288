"""CuPy and the simulator serve the same protocol, and every CuPy name and call form in use exists in the real CuPy."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradgpu
from gradgpu.cuda.backend import PROTOCOL

PACKAGE = Path(gradgpu.__file__).parent
FILE = PACKAGE / "cuda" / "backend_cupy.py"
# What the objects of a backend offer; `backend.py` lists them too.
MEMBERS = {
    "Stream": [
        "ptr",
        "synchronize",
        "done",
        "use",
        "wait_event",
        "record",
        "begin_capture",
        "end_capture",
        "is_capturing",
    ],
    "MemoryPool": ["malloc"],
    "Function": ["handle", "attributes", "set_shared"],
    "Module": ["function"],
}


@pytest.fixture(scope="module")
def cupy_backend() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("cupy", reason="CuPy is not installed")
        return importlib.import_module("gradgpu.cuda.backend_cupy")


@pytest.fixture(scope="module")
def simulator_backend() -> ModuleType:
    try:
        return importlib.import_module("gradgpu.cuda.simulator.backend")
    except RuntimeError as error:
        pytest.skip(str(error))


def parameters(function: Any) -> list[str] | None:
    """Names of the parameters of a Python or Cython function; None if they are not to be known."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        pass
    match = re.match(r"[\w.]+\((.*?)\)", (function.__doc__ or "").strip())
    if not match:
        return None
    names = [part.split("=")[0].split()[-1].lstrip("*") for part in match[1].split(",") if part.strip()]
    return [name for name in names if name and name != "self"]


@pytest.mark.parametrize("name", PROTOCOL)
def test_both_backends_have(name: str, cupy_backend: ModuleType, simulator_backend: ModuleType) -> None:
    real, simulated = getattr(cupy_backend, name), getattr(simulator_backend, name)
    assert callable(real) == callable(simulated)
    if not callable(real) or inspect.isclass(real) or name == "current_stream":  # CuPy's takes a device too
        return
    ours, theirs = parameters(simulated), parameters(real)
    assert ours is not None and theirs is not None
    assert len(ours) == len(theirs), f"{name}: simulator {ours}, CuPy {theirs}"


@pytest.mark.parametrize(
    "kind, member", [(kind, member) for kind, names in MEMBERS.items() for member in names]
)
def test_objects_have(
    kind: str, member: str, cupy_backend: ModuleType, simulator_backend: ModuleType
) -> None:
    real, simulated = getattr(cupy_backend, kind), getattr(simulator_backend, kind)
    if kind == "Stream" and member == "ptr":
        assert real(null=True).ptr == simulated(null=True).ptr == 0
        return
    assert hasattr(real, member)
    assert hasattr(simulated, member)


def test_events_graphs_and_memory(cupy_backend: ModuleType, simulator_backend: ModuleType) -> None:
    import cupy

    for member in ("record", "synchronize", "done"):
        assert hasattr(cupy.cuda.Event, member)
        assert hasattr(simulator_backend.Event(), member)
    assert hasattr(cupy.cuda.Graph, "launch") and hasattr(simulator_backend.Graph, "launch")
    assert hasattr(cupy.cuda.MemoryPointer, "ptr") and simulator_backend.alloc(8).ptr


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` of an attribute chain that begins with a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def names_of_cupy() -> tuple[list[str], list[tuple[str, ast.Call]]]:
    """Dotted names in backend_cupy.py that begin with something imported from CuPy, and the calls of such names."""
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.asname or alias.name for alias in node.names if alias.name.startswith("cupy")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cupy"):
            roots |= {alias.asname or alias.name for alias in node.names}
    names, calls = set(), []
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Attribute, ast.Name))
            and (name := dotted(node))
            and name.split(".")[0] in roots
        ):
            names.add(name)
        if isinstance(node, ast.Call) and (name := dotted(node.func)) and name.split(".")[0] in roots:
            calls.append((name, node))
    return sorted(names), calls


@pytest.mark.parametrize("name", names_of_cupy()[0])
def test_the_real_cupy_has(name: str, cupy_backend: ModuleType) -> None:
    first, *rest = name.split(".")
    found = getattr(cupy_backend, first)
    for part in rest:
        found = getattr(found, part)  # AttributeError: CuPy lacks it


@pytest.mark.parametrize("name, call", names_of_cupy()[1], ids=lambda v: v if isinstance(v, str) else "")
def test_the_real_cupy_takes_the_call(name: str, call: ast.Call, cupy_backend: ModuleType) -> None:
    first, *rest = name.split(".")
    function = getattr(cupy_backend, first)
    for part in rest:
        function = getattr(function, part)
    names = parameters(function)
    assert names is not None, f"the parameters of {name} are not documented by CuPy"
    assert len(call.args) <= len(names), f"{name} takes {names}"
    assert {keyword.arg for keyword in call.keywords} <= set(names) | {None}, f"{name} takes {names}"


def test_launch_has_the_drivers_form(cupy_backend: ModuleType, simulator_backend: ModuleType) -> None:
    assert len(parameters(cupy_backend.launch)) == len(parameters(simulator_backend.launch)) == 11


def test_one_file_imports_cupy() -> None:
    importing = re.compile(r"^\s*(?:import|from)\s+cupy", re.MULTILINE)
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if importing.search(path.read_text(encoding="utf-8")) and "_tools" not in path.parts
    }
    assert found <= {"cuda/backend_cupy.py", "cuda/interop.py"}
