"""The demonstration, run as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import gradgpu as gg
from gradgpu import demo

for extra in ("sklearn", "matplotlib", "tqdm"):
    pytest.importorskip(extra, reason="the demo's extra is not installed")


def losses(output: str) -> list[float]:
    return [float(x) for x in re.findall(r"step \d+: loss ([\d.]+)", output)]


def test_the_cnn_reaches_97_percent_and_a_picture_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "deep" / "demo.png"
    histories = demo.main(["--device", "cpu", "--epochs", "12", "--out", str(out)])
    assert histories["CNN"]["accuracy"][-1] >= 0.97 and histories["MLP"]["accuracy"][-1] >= 0.9
    assert out.read_bytes().startswith(b"\x89PNG")
    text = capsys.readouterr().out
    assert re.search(r"CNN: test accuracy 9\d\.\d\d%, [\d.]+ ms per step", text) and "device: cpu" in text


def test_a_seed_gives_the_same_run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "picture", lambda *arguments: None)
    arguments = ["--device", "cpu", "--steps", "3"]
    first = demo.main([*arguments, "--seed", "5"])
    second = demo.main([*arguments, "--seed", "5"])
    other = demo.main([*arguments, "--seed", "6"])
    for name in demo.NETS:
        assert first[name]["loss"] == second[name]["loss"] != other[name]["loss"]
    assert len(losses(capsys.readouterr().out)) == 3 * 2 * 3


@pytest.mark.cuda
def test_both_devices_give_the_same_losses(tmp_path: Path, capsys: pytest.CaptureFixture):
    here, there = (
        demo.main(["--device", device, "--steps", "2", "--out", str(tmp_path / "p.png")])
        for device in ("cpu", "cuda")
    )
    for name in demo.NETS:
        assert here[name]["loss"] == pytest.approx(there[name]["loss"], abs=1e-4)
    text = capsys.readouterr().out
    assert "MLP: moved to cpu: 359 of 359 predictions are the same" in text
    assert re.search(r"CNN: moved to cuda\S*: 359 of 359 predictions are the same", text)


def test_as_a_command(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "gradgpu.demo",
        "--device",
        "cpu",
        "--steps",
        "1",
        "--out",
        str(tmp_path / "p.png"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert len(losses(result.stdout)) == 2


def test_a_missing_extra_is_named():
    with pytest.raises(
        SystemExit,
        match=r"The demo needs a-thing, which is not installed .*\n.*pip install 'gradgpu\[demo\]'",
    ):
        demo.need("no_such_module_at_all", "a-thing")


def test_cuda_is_not_replaced_in_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(gg.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="asked to run on 'cuda', but no CUDA device is available"):
        demo.choose_device("cuda")
    assert demo.choose_device("auto") == gg.device("cpu")
    assert "auto → cpu (no CUDA device found)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--epochs", "0"], ["--batch-size", "-1"], ["--steps", "-2"], ["--nonsense"]]
)
def test_wrong_arguments_end_with_a_message(arguments: list[str], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as error:
        demo.parse(arguments)
    assert error.value.code == 2 and "error:" in capsys.readouterr().err
