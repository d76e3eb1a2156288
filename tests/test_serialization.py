"""Saving and loading: every kind of content, other programs' files, damaged and hostile files."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as gg

pytest.importorskip("safetensors", reason="saving needs the extra io")


def through(obj: Any, **kwargs: Any) -> Any:
    buffer = io.BytesIO()
    gg.save(obj, buffer)
    buffer.seek(0)
    return gg.load(buffer, **kwargs)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]
)
def test_every_dtype(device: str, dtype: str) -> None:
    x = gg.tensor([[0, 1], [2, 3]]).to(getattr(gg, dtype)).to(device)
    found = through(x)
    assert found.dtype is x.dtype
    assert found.device == x.device
    assert found.tolist() == x.tolist()


def test_structures_come_back_as_they_were() -> None:
    shared = gg.tensor([1.0, 2.0], requires_grad=True)
    obj = {
        "a": [1, 2.5, None, True, "text", float("inf")],
        "b": (gg.float64, gg.Size([2, 3]), {"x"}),
        3: collections.OrderedDict(z=shared, y=shared),
        "empty": gg.zeros(0, 2),
        "scalar": gg.tensor(4),
        "array": np.arange(3),
    }
    found = through(obj)
    assert found["a"] == obj["a"]
    assert found["b"] == obj["b"]
    assert type(found["b"][1]) is gg.Size
    assert list(found[3]) == ["z", "y"]
    assert found[3]["z"] is found[3]["y"]  # shared then, shared now
    assert found[3]["z"].requires_grad
    assert found["empty"].shape == (0, 2)
    assert found["scalar"].item() == 4
    assert isinstance(found["array"], np.ndarray)


def test_training_goes_on(tmp_path: Path) -> None:
    def make() -> Any:
        net = gg.nn.Sequential(gg.nn.Linear(3, 4), gg.nn.BatchNorm1d(4), gg.nn.Linear(4, 1))
        return net, gg.optim.Adam(net.parameters(), lr=0.1)

    def step(net: Any, optimizer: Any) -> float:
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    x = gg.randn(8, 3)
    net, optimizer = make()
    step(net, optimizer)
    gg.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint")
    again, other = make()
    kept = gg.load(tmp_path / "checkpoint")
    again.load_state_dict(kept["net"])
    other.load_state_dict(kept["optimizer"])
    assert [step(net, optimizer) for _ in range(3)] == [step(again, other) for _ in range(3)]


def test_state_dict_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    net = gg.nn.Linear(2, 3)
    gg.save(net.state_dict(), tmp_path / "net.safetensors")
    found = load_file(tmp_path / "net.safetensors")
    assert sorted(found) == ["bias", "weight"]
    assert np.array_equal(found["weight"], net.weight.detach().numpy())
    save_file({"w": np.ones((2, 2), np.float32)}, tmp_path / "other.safetensors")
    assert gg.load(tmp_path / "other.safetensors")["w"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones((2, 2)))
    found = gg.load(tmp_path / "a.npz")
    assert found["x"].tolist() == [0, 1, 2]
    assert found["y"].dtype is gg.float64


def test_map_location() -> None:
    x = {"w": gg.ones(2)}
    assert through(x, map_location="cpu")["w"].is_cpu
    assert through(x, map_location={"cpu": "cpu"})["w"].is_cpu
    seen = []
    through(x, map_location=lambda t, where: seen.append(where))
    assert seen == ["cpu"]


def test_a_crash_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    gg.save(gg.ones(1), path)
    with pytest.raises(TypeError, match="cannot store a, a builtins.object"):
        gg.save({"a": object()}, path)
    assert gg.load(path).tolist() == [1.0]
    assert os.listdir(tmp_path) == ["kept"]


def test_modules_are_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match="state_dict"):
        gg.save({"net": gg.nn.Linear(1, 1)}, io.BytesIO())


@pytest.mark.parametrize("cut", [0, 4, 50, -1])
def test_damaged_files_are_refused(tmp_path: Path, cut: int) -> None:
    gg.save({"w": gg.ones(100)}, tmp_path / "whole")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:cut])
    with pytest.raises(RuntimeError, match="cannot be read"):
        gg.load(tmp_path / "cut")


def torch_file(content: bytes, storages: dict[str, bytes]) -> io.BytesIO:
    """What PyTorch's zip format looks like."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, raw in storages.items():
            archive.writestr(f"archive/data/{key}", raw)
    buffer.seek(0)
    return buffer


def torch_tensor(shape: tuple, strides: tuple, offset: int = 0, count: int = 6) -> bytes:
    """The pickle of {'w': tensor} over storage 0, written by hand: PyTorch is not here to do it."""

    def put(value: Any) -> bytes:
        return pickle.dumps(value, protocol=2)[2:-1]  # without PROTO and STOP

    storage = b"(" + put("storage") + b"ctorch\nFloatStorage\n" + put("0") + put("cpu") + put(count) + b"tQ"
    args = (
        b"("
        + storage
        + put(offset)
        + put(shape)
        + put(strides)
        + put(False)
        + b"ccollections\nOrderedDict\n)Rt"
    )
    return b"\x80\x02}" + put("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."


def test_pytorch_file() -> None:
    values = np.arange(6, dtype=np.float32)
    found = gg.load(torch_file(torch_tensor((3, 2), (1, 3)), {"0": values.tobytes()}))
    assert found["w"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((4, 2), (2, 1), 0), ((2,), (1,), 5), ((2,), (-1,), 3), ((2,), (1,), -1)]
)
def test_pytorch_file_that_reaches_outside_its_memory(shape: tuple, strides: tuple, offset: int) -> None:
    with pytest.raises(RuntimeError, match="outside its storage"):
        gg.load(torch_file(torch_tensor(shape, strides, offset), {"0": bytes(24)}))


def test_pytorch_file_with_code_is_refused() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("exit 1",)

    with pytest.raises(RuntimeError, match="only tensors and plain containers"):
        gg.load(torch_file(pickle.dumps({"a": Evil()}), {}))


def test_weights_only_is_the_only_way() -> None:
    with pytest.raises(ValueError, match="weights_only"):
        gg.load(io.BytesIO(), weights_only=False)
