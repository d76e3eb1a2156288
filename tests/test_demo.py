"""The demo does what it says: it learns, draws, and computes the same on both devices."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

for module in ("sklearn", "matplotlib", "tqdm"):
    pytest.importorskip(module, reason="the demo needs gradgpu[demo]")

from gradgpu import demo

STEPS = 4


def run(device: str, tmp_path: Path) -> dict[str, dict[str, list[float]]]:
    picture = tmp_path / f"{device}.png"
    histories = demo.main(["--device", device, "--steps", str(STEPS), "--out", str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    return histories


@pytest.mark.cuda
def test_same_losses_on_cuda_as_on_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_cpu, on_cuda = run("cpu", tmp_path), run("cuda", tmp_path)
    assert set(on_cpu) == {"MLP", "CNN"}
    for name in on_cpu:
        assert len(on_cuda[name]["loss"]) == STEPS
        np.testing.assert_allclose(on_cuda[name]["loss"], on_cpu[name]["loss"], atol=1e-4, err_msg=name)
    assert "359 of 359 predictions are the same" in capsys.readouterr().out


def test_same_seed_same_losses(tmp_path: Path) -> None:
    assert run("cpu", tmp_path)["CNN"]["loss"] == run("cpu", tmp_path)["CNN"]["loss"]


@pytest.mark.slow
def test_cnn_reaches_97_percent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradgpu.demo", "--device", "cpu", "--out", str(tmp_path / "demo.png")]
    result = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("CNN: test accuracy")]
    assert float(line.split()[3].rstrip("%,")) >= 97.0, line
