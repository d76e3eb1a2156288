"""The documentation tells the truth: every example in a docstring and in README.md runs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import gradgpu as gg

ROOT = Path(__file__).parent.parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# It imports CuPy, which is optional.
NOT_IMPORTED = re.compile(r"gradgpu\.cuda\.backend_cupy\b")


def modules():
    yield gg
    for info in pkgutil.walk_packages(gg.__path__, "gradgpu."):
        if not NOT_IMPORTED.match(info.name) and not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found: dict[str, doctest.DocTest] = {}
    for module in modules():
        for test in finder.find(module, extraglobs={"gg": gg}):
            if test.examples:
                found.setdefault(test.name, test)
    return list(found.values())


def run(test: doctest.DocTest) -> None:
    source = "".join(example.source for example in test.examples)
    if "cuda" in source and not gg.cuda.is_available():
        pytest.skip("this example uses 'cuda', and neither a GPU nor the simulator is in use")
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert result.failed == 0, "".join(report)


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_docstring_example(test: doctest.DocTest) -> None:
    run(test)


def public_functions() -> list[str]:
    return [
        name
        for name in sorted(vars(gg))
        if not name.startswith("_")
        and inspect.isfunction(getattr(gg, name))
        and getattr(gg, name).__module__.startswith("gradgpu.ops")
    ]


@pytest.mark.parametrize("name", public_functions())
def test_public_function_has_a_docstring(name: str) -> None:
    assert (getattr(gg, name).__doc__ or "").strip(), f"gg.{name} has no docstring"


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_page_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pycon` blocks must print what they show; `python` blocks must run. One namespace a page."""
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks(ROOT / name, "pycon")
    assert blocks or name != "README.md"
    if blocks:
        run(doctest.DocTestParser().get_doctest("\n".join(blocks), {"gg": gg}, name, name, 0))


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs/autograd.md",
        "docs/examples.md",
    ],
)
def test_links_point_to_files(name: str) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / name).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}"


def test_commands_in_the_readme_are_make_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def devices_of(name: str, functions: dict[str, ast.FunctionDef]) -> set[str]:
    """The devices that a test runs on: by the fixture `device`, also through others, by a mark, or by a parameter."""
    found = set()
    function = functions[name]
    for argument in (*function.args.args, *function.args.kwonlyargs):
        if argument.arg == "device":
            return {"cpu", "cuda"}
        if argument.arg in functions:  # a fixture of the file
            found |= devices_of(argument.arg, functions)
    marks = " ".join(map(ast.unparse, function.decorator_list))
    return found | ({"cuda"} if "mark.cuda" in marks else {"cpu"})


def behaviours() -> list[tuple[str, str]]:
    rows = re.findall(
        r"^\| (.+?) \| (`.+`) \| (.+?) \|$", (ROOT / "docs/autograd.md").read_text(), flags=re.MULTILINE
    )
    return [(test, devices) for _, tests, devices in rows for test in re.findall(r"`([^`]+)`", tests)]


@pytest.mark.parametrize("test, devices", behaviours())
def test_named_tests_show_what_autograd_promises(test: str, devices: str) -> None:
    """Every test that docs/autograd.md names exists, and runs on the devices that its row says."""
    file, name = test.split("::")
    functions = functions_of(ROOT / f"tests/test_{file}.py")
    assert name in functions, f"docs/autograd.md names {test}, which does not exist"
    wanted = set(devices.split(", "))
    seen = devices_of(name, functions)
    if seen == {"cuda"}:  # such a test compares the devices
        seen |= {"cpu"}
    assert wanted <= seen, f"{test} runs on {sorted(seen)}, docs/autograd.md says {devices}"


def test_all_sides_of_autograd_are_there() -> None:
    text = (ROOT / "docs/autograd.md").read_text()
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert len(parts) == 11 and len(behaviours()) > 120
