"""`make examples` keeps what the example notebooks came to."""

from pathlib import Path

import pytest

from gradgpu._tools import examples


def notebook(*cells: str):
    """A notebook of code cells, the first one tagged `parameters`; text that starts with '#' is prose."""
    nbformat = pytest.importorskip("nbformat", reason="the notebooks need gradgpu[notebooks]")
    made = nbformat.v4.new_notebook()
    for text in cells:
        kind = nbformat.v4.new_markdown_cell if text.startswith("# ") else nbformat.v4.new_code_cell
        made.cells.append(kind(text))
    first = next(cell for cell in made.cells if cell.cell_type == "code")
    first.metadata["tags"] = ["parameters"]
    return made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_examples_keep_outputs_pictures_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for module in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(module, reason="the notebooks need gradgpu[notebooks]")
    import nbformat

    made = notebook(
        "# A figure\n\nand prose",
        "steps = 2",
        "import matplotlib.pyplot as plt\nplt.plot([1, steps])\nplt.show()",
        "print(f'result: {steps * 21} or so')\nassert steps < 3 or None",
    )
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(made, folder / "3_a.ipynb")
    other = notebook("# No example", "1 + 1")
    other.cells[1].metadata.clear()
    nbformat.write(other, folder / "1_b.ipynb")
    untouched = (folder / "1_b.ipynb").read_bytes()

    (result,) = examples.main(["--notebooks", str(folder), "--docs", str(tmp_path / "docs")])
    assert (result.title, result.figure, result.bar) == ("A figure", "42 or so", "steps < 3 or None")
    assert 0 < result.seconds < 600
    assert "3_a.ipynb: 42 or so" in capsys.readouterr().out
    assert (folder / "1_b.ipynb").read_bytes() == untouched
    kept = nbformat.read(folder / "3_a.ipynb", as_version=4)
    assert kept.metadata == examples.METADATA and kept.cells[3].outputs[0].text == "result: 42 or so\n"
    assert [cell.metadata for cell in kept.cells] == [{}, {"tags": ["parameters"]}, {}, {}]
    assert (tmp_path / "docs" / "examples" / "3_a.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "docs" / "examples.md").read_text()
    assert "| [A figure](../notebooks/3_a.ipynb) | 42 or so | `steps < 3 or None` |" in page
    assert "![A figure](examples/3_a.png)" in page


def test_an_example_without_a_figure_is_refused() -> None:
    for cells in (["# A title", "1", "assert 1"], ["print('result: 1')", "assert 1"], ["# A title", "1"]):
        with pytest.raises(ValueError, match=r"3_a.ipynb: an example has a heading, prints 'result: …'"):
            examples.summary(Path("3_a.ipynb"), notebook(*cells), 1.0)
