"""Downloads of `gradgpu.hub`, here from files, and models of a local hubconf.py."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest

import gradgpu as gg
from gradgpu import hub
from gradgpu.utils import model_zoo


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub, "_dir", None)
    path = tmp_path / "net.pt"
    gg.save({"w": gg.tensor([1.0, 2.0])}, path)
    named = tmp_path / f"net-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pt"
    path.rename(named)
    return named


def test_a_state_dict_is_downloaded_once(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    url = weights.as_uri()
    for load in (hub.load_state_dict_from_url, model_zoo.load_url):
        assert load(url, check_hash=True)["w"].tolist() == [1.0, 2.0]
        weights.unlink(missing_ok=True)  # the second time it is there
    assert [p.name for p in (tmp_path / "home/hub/checkpoints").iterdir()] == [weights.name]
    assert capsys.readouterr().err.count(url) == 1


def test_folders_and_names(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.get_dir() == str(tmp_path / "home/hub")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert hub.get_dir() == str(tmp_path / "cache/torch/hub")
    hub.set_dir(tmp_path / "mine")
    hub.load_state_dict_from_url(weights.as_uri(), file_name="a.pt", progress=False)
    hub.load_state_dict_from_url(weights.as_uri(), model_dir=str(tmp_path / "here"), progress=False)
    assert (tmp_path / "mine/checkpoints/a.pt").exists() and (tmp_path / "here" / weights.name).exists()


def test_nothing_is_left_of_a_wrong_file(weights: Path, tmp_path: Path) -> None:
    wrong = weights.rename(tmp_path / "net-00000000.pt")
    with pytest.raises(RuntimeError, match='invalid hash value .expected "00000000"'):
        hub.load_state_dict_from_url(wrong.as_uri(), check_hash=True, progress=False)
    assert not list((tmp_path / "home/hub/checkpoints").iterdir())
    with pytest.raises(URLError):
        hub.download_url_to_file((tmp_path / "none.pt").as_uri(), str(tmp_path / "out.pt"))
    hub.download_url_to_file(wrong.as_uri(), str(tmp_path / "out.pt"), progress=False)
    assert (tmp_path / "out.pt").read_bytes() == wrong.read_bytes()


def test_models_of_a_hubconf(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text("width = 3\n")
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['numpy']\nfrom gradgpu import nn as _nn\nfrom layers import width as _width\n"
        "def net(inputs, bias=True):\n    'A layer.'\n    return _nn.Linear(inputs, _width, bias=bias)\n"
    )
    made = gg.hub.load(str(tmp_path), "net", 2, bias=False, source="local", trust_repo=True)
    assert made.weight.shape == (3, 2) and made.bias is None
    assert (
        hub.list(str(tmp_path), source="local") == ["net"]
        and hub.help(str(tmp_path), "net", source="local") == "A layer."
    )
    with pytest.raises(RuntimeError, match="Cannot find callable other"):
        hub.load(str(tmp_path), "other", source="local")
    with pytest.raises(RuntimeError, match="'owner/name' is code for PyTorch.*source='local'"):
        hub.load("owner/name", "net")
    (tmp_path / "hubconf.py").write_text("dependencies = ['no_such_package']\n")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package"):
        hub.load(str(tmp_path), "net", source="local")
