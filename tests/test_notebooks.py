"""Every notebook runs from start to end; each holds its own assertions."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the notebooks need gradgpu[notebooks]")
nbclient = pytest.importorskip("nbclient", reason="the notebooks need gradgpu[notebooks]")
pytest.importorskip("ipykernel", reason="the notebooks need gradgpu[notebooks]")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_notebooks_are_found() -> None:
    assert len(NOTEBOOKS) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "assert" in source, "a notebook checks what it shows"
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=path.parent)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_executed_without_errors(path: Path) -> None:
    outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", ())]
    assert outputs
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.get("text")
