"""Every notebook runs from start to end; each holds its own assertions. The examples train alike on both devices."""

from pathlib import Path
from typing import Any

import pytest

import gradgpu as gg

nbformat = pytest.importorskip("nbformat", reason="the notebooks need gradgpu[notebooks]")
nbclient = pytest.importorskip("nbclient", reason="the notebooks need gradgpu[notebooks]")
pytest.importorskip("ipykernel", reason="the notebooks need gradgpu[notebooks]")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


# A few steps of each example, so small that the simulator does them in seconds.
SHORT = {
    "3_char_gpt": dict(steps=2, batch=2, context=8, width=16, layers=1, heads=2),
    "4_resnet": dict(epochs=1, batch=16, width=4, samples=40),
    "5_lstm_language_model": dict(epochs=1, batch=200, span=20, width=8, vocabulary=20, length=40_000),
    "6_vae": dict(epochs=1, batch=16, width=8, samples=40),
    "7_policy_gradient": dict(iterations=2, carts=2, longest=5),
    "8_pinn": dict(steps=2, points=16, width=8),
}


def test_notebooks_are_found() -> None:
    assert len(NOTEBOOKS) >= 8
    assert set(SHORT) <= {path.stem for path in NOTEBOOKS}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a GPU, or on the CPU: whole trainings in the simulator would take hours.
    monkeypatch.delenv("GRADGPU_CUDASIM", raising=False)
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


def train(stem: str, device: str) -> list[float]:
    """The losses of the short form of an example; the cells after its training are left out."""
    path = next(path for path in NOTEBOOKS if path.stem == stem)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{stem}:{cell.id}", "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", ()):
                assert set(SHORT[stem]) <= set(namespace)
                namespace.update(SHORT[stem], device=device)
            if "losses" in namespace:
                break
    assert all(p.device.type == device for p in namespace["optimizer"].param_groups[0]["params"])
    return namespace["losses"]


@pytest.mark.cuda
@pytest.mark.parametrize("stem", SHORT)
def test_examples_train_alike_on_both_devices(stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plt = pytest.importorskip("matplotlib.pyplot", reason="the notebooks need gradgpu[notebooks]")
    pytest.importorskip("sklearn", reason="the notebooks need gradgpu[notebooks]")
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    # Each device has a stream of its own; with one for both, what is drawn on the device is the same too.
    monkeypatch.setitem(gg.random._generators, "cuda:0", gg.default_generator)
    here, there = (train(stem, device) for device in ("cpu", "cuda"))
    assert len(here) >= 2 and here[0] != here[1]
    assert there == pytest.approx(here, rel=1e-3, abs=1e-3)
