"""`make examples`: runs the example notebooks and keeps their outputs, their pictures, and the page docs/examples.md.

    python -m gradgpu._tools.examples

An example is a notebook with a cell tagged `parameters`. Its first heading is its title, its last picture stands for it, and
it ends with a line `result: …` and the assertion that the result must pass.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from ..version import gradgpu as __version__

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Result(NamedTuple):
    """What one example came to."""

    path: Path
    title: str
    figure: str
    bar: str
    seconds: float
    picture: bytes | None


def is_example(notebook: Any) -> bool:
    """True for a notebook with parameters that can be made small."""
    return any("parameters" in cell.metadata.get("tags", ()) for cell in notebook.cells)


def execute(path: Path, timeout: float = 600) -> tuple[Any, float]:
    """The notebook with its outputs, and the CPU time that its process took, in seconds."""
    import resource

    import nbformat
    from nbclient import NotebookClient

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    notebook = nbformat.read(path, as_version=4)
    before = used()
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", record_timing=False).execute(
        cwd=path.parent
    )
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook, used() - before


def summary(path: Path, notebook: Any, seconds: float) -> Result:
    """Title, figure, bar and picture of an executed example."""
    heading = re.search(
        r"^# (.+)", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.M
    )
    printed = "".join(
        o.text for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "stream"
    )
    figure = re.search(r"^result: (.+)", printed, re.M)
    bar = re.search(r"^assert (.+)", notebook.cells[-1].source, re.M)
    if not (heading and figure and bar):
        raise ValueError(f"{path}: an example has a heading, prints 'result: …' and ends with an assertion")
    pictures = [
        output.data["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    picture = base64.b64decode(pictures[-1]) if pictures else None
    return Result(path, heading[1], figure[1], bar[1], seconds, picture)


def page(results: list[Result], notebooks: str = "../notebooks") -> str:
    """docs/examples.md."""
    lines = [
        "# Examples",
        "",
        "Six notebooks, each a whole program as a PyTorch user would write it. Each ends with an assertion on its figure, which",
        "`make notebooks` checks; `make examples` writes this page, its pictures and the notebooks' outputs.",
        "",
        "| notebook | result | must be | CPU time |",
        "|---|---|---|---|",
    ]
    for r in results:
        bar = r.bar.replace("|", "\\|")
        lines.append(f"| [{r.title}]({notebooks}/{r.path.name}) | {r.figure} | `{bar}` | {r.seconds:.0f} s |")
    threads = os.environ.get("OMP_NUM_THREADS")
    lines += [
        "",
        f"CPU time is that of the whole notebook, imports and pictures included, on 'cpu' ({platform.machine()}, "
        f"{f'{threads} thread' + ('s' if threads != '1' else '') + ' for products' if threads else 'all threads'}; "
        f"gradgpu {__version__}, {date.today()}).",
        "The parameters of each notebook stand in one cell, tagged `parameters`: make them small for a quick look.",
    ]
    for r in results:
        if r.picture is not None:
            lines += ["", f"## {r.title}", f"![{r.title}](examples/{r.path.stem}.png)"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> list[Result]:
    """Run the examples and write what came out."""
    parser = argparse.ArgumentParser(
        prog="python -m gradgpu._tools.examples", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--notebooks", type=Path, default=Path("notebooks"), help="the folder of the notebooks"
    )
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), help="where examples.md and its pictures go"
    )
    options = parser.parse_args(arguments)

    import nbformat

    os.environ.pop("MPLBACKEND", None)  # the notebooks draw into their pages
    results = []
    for path in sorted(options.notebooks.glob("*.ipynb")):
        if not is_example(nbformat.read(path, as_version=4)):
            continue
        notebook, seconds = execute(path)
        results.append(summary(path, notebook, seconds))
        nbformat.write(notebook, path)
        print(f"{path.name}: {results[-1].figure}, {seconds:.0f} s")
        if results[-1].picture is not None:
            folder = options.docs / "examples"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{path.stem}.png").write_bytes(results[-1].picture)
    options.docs.mkdir(parents=True, exist_ok=True)
    (options.docs / "examples.md").write_text(page(results, os.path.relpath(options.notebooks, options.docs)))
    return results


if __name__ == "__main__":
    main()
