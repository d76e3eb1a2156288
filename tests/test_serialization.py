"""Saving and loading: every kind of content, other programs' files, damaged and hostile files."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as gg


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
    pytest.importorskip("safetensors", reason="another program that reads and writes the format")
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
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        gg.save({"a": lambda: 1}, path)
    assert gg.load(path).tolist() == [1.0]
    assert os.listdir(tmp_path) == ["kept"]


class Net(gg.nn.Module):
    """A net of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = gg.nn.Linear(3, 2)
        self.register_buffer("shift", gg.ones(2))
        self.again = self.layer.weight  # shared
        self.layer.register_forward_hook(double)

    def forward(self, x: Any) -> Any:
        return self.layer(x) + self.shift


def double(module: Any, args: Any, output: Any) -> Any:
    return output * 2


def test_a_whole_module_is_read_only_if_it_is_trusted(device: str) -> None:
    net, buffer = Net().to(device), io.BytesIO()
    gg.save({"net": net, "epoch": 3}, buffer)
    buffer.seek(0)
    with pytest.raises(RuntimeError, match=r"refers to .*Net.*weights_only=False if you trust.*run any code"):
        gg.load(buffer)
    buffer.seek(0)
    found = gg.load(buffer, weights_only=False)
    x = gg.randn(4, 3).to(device)
    assert found["epoch"] == 3 and type(found["net"]) is Net
    assert gg.equal(found["net"](x), net(x))
    assert found["net"].again is found["net"].layer.weight
    assert found["net"].layer.weight.device == net.layer.weight.device
    buffer.seek(0)
    assert gg.load(buffer, "cpu", weights_only=False)["net"].shift.is_cpu


Pair = collections.namedtuple("Pair", "a b")


def test_classes_that_are_declared_safe() -> None:
    assert gg.serialization.get_safe_globals() == []
    with pytest.raises(RuntimeError, match=r"add_safe_globals\(\[Pair\]\)"):
        through(Pair(gg.ones(1), 2))
    with gg.serialization.safe_globals([Pair]):
        found = through(Pair(gg.ones(1), 2))
        assert type(found) is Pair and found.a.tolist() == [1.0]
    assert gg.serialization.get_safe_globals() == []


def test_more_plain_things() -> None:
    obj = {
        "counter": collections.Counter("aab"), "deque": collections.deque([1, 2]), "frozen": frozenset({1}), "complex": 1 + 2j,
        "bytes": b"\x00a", "tuple keys": {(1, 2): 3}, "z": gg.tensor([1 + 2j]),
    }  # fmt: skip
    found = through(obj)
    z, w = found.pop("z"), obj.pop("z")
    assert found == obj and type(found["counter"]) is collections.Counter
    assert gg.equal(z, w) and z.dtype is gg.complex64
    endless: list = [gg.ones(1)]
    endless.append(endless)
    assert through(endless)[1][1][0].item() == 1.0
    assert not through({"b": gg.nn.Buffer(gg.ones(1), persistent=False)})["b"].persistent


def test_schedules_and_optimizers_go_on() -> None:
    def make() -> Any:
        optimizer = gg.optim.SGD([gg.nn.Parameter(gg.ones(2))], lr=0.1, momentum=0.9)
        return optimizer, gg.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])

    optimizer, schedule = make()
    optimizer.param_groups[0]["params"][0].grad = gg.ones(2)
    optimizer.step(), schedule.step()
    kept = through({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()})
    other, again = make()
    other.load_state_dict(kept["optimizer"]), again.load_state_dict(kept["schedule"])
    for _ in range(5):
        optimizer.step(), schedule.step(), other.step(), again.step()
        assert optimizer.param_groups[0]["lr"] == other.param_groups[0]["lr"]


def test_npz_is_written_for_numpy(tmp_path: Path, device: str) -> None:
    gg.save({"w": gg.ones(2, 3, device=device), "n": np.arange(2)}, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as found:
        assert found["w"].tolist() == [[1.0] * 3] * 2 and found["n"].tolist() == [0, 1]
    with pytest.raises(TypeError, match="a .npz file holds a dict of tensors"):
        gg.save([gg.ones(1)], tmp_path / "b.npz")
    with pytest.raises(TypeError, match="cannot hold w, of bfloat16"):
        gg.save({"w": gg.ones(1).bfloat16()}, tmp_path / "b.npz")


def test_links_and_modes_stay(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    gg.save(gg.ones(1), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and gg.load(tmp_path / "real").tolist() == [1.0]
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    gg.save(gg.ones(1), os.devnull)
    assert not Path(os.devnull).is_file()


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


def test_pytorch_file_that_sets_attributes_is_refused() -> None:
    for target in (b"ctorch\nSize\n", b"ctorch\nfloat32\n", b"ctorch._utils\n_rebuild_tensor_v2\n"):
        with pytest.raises(RuntimeError, match="sets attributes of a"):
            gg.load(torch_file(b"\x80\x02" + target + b"N}X\x08\x00\x00\x00itemsizeK\x63s\x86b.", {}))
    assert gg.float32.itemsize == 4


def test_pytorch_file_of_a_whole_module() -> None:
    code = b"\x80\x02ctorch.nn.modules.activation\nLeakyReLU\n)\x81}(X\x08\x00\x00\x00trainingI01\nX\x07\x00\x00\x00inplaceI00\n"
    code += b"X\x0e\x00\x00\x00negative_slopeG?\xe0\x00\x00\x00\x00\x00\x00ub."
    with pytest.raises(RuntimeError, match="refers to torch.nn.modules.activation.LeakyReLU"):
        gg.load(torch_file(code, {}))
    found = gg.load(torch_file(code, {}), weights_only=False)
    assert type(found) is gg.nn.LeakyReLU and found(gg.tensor(-2.0)).item() == -1.0
    with pytest.raises(RuntimeError, match="torch.nn.modules.none.Such, which gradgpu does not have"):
        gg.load(torch_file(b"\x80\x02ctorch.nn.modules.none\nSuch\n.", {}), weights_only=False)


def legacy_file(content: bytes, storages: dict[str, bytes], protocol: int = 2) -> io.BytesIO:
    """What PyTorch's format before the zip files looks like."""
    parts = [
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
    ]
    data = b"".join(pickle.dumps(part, protocol) for part in parts) + content
    data += pickle.dumps(list(storages), protocol)
    for raw in storages.values():
        data += (len(raw) // 4).to_bytes(8, "little") + raw
    return io.BytesIO(data)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("trusted", [False, True])
def test_pytorch_file_in_the_old_format(protocol: int, trusted: bool) -> None:
    values = np.arange(6, dtype=np.float32)
    content = torch_tensor((3, 2), (1, 3)).replace(
        pickle.dumps(6, 2)[2:-1] + b"tQ", pickle.dumps(6, 2)[2:-1] + b"NtQ"
    )
    found = gg.load(legacy_file(content, {"0": values.tobytes()}, protocol), weights_only=not trusted)
    assert found["w"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    with pytest.raises(RuntimeError, match="storage 0 is cut off"):
        gg.load(legacy_file(content, {"0": values[:4].tobytes()}, protocol), weights_only=not trusted)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("made by a file",)


def test_old_pytorch_file_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="refers to posix.mkdir"):
        gg.load(legacy_file(pickle.dumps({"a": Evil()}, 2), {}))
    buffer = io.BytesIO()
    gg.save(Evil(), buffer)
    buffer.seek(0)
    with pytest.raises(RuntimeError, match="refers to posix.mkdir"):
        gg.load(buffer)
    assert os.listdir() == []


def safetensors_bytes(header: Any, body: bytes) -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize(
    "header, body, match",
    [
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(12), "damaged or cut off"),
        (
            {"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 16]}},
            bytes(16),
            "cannot be bytes 0 to 16",
        ),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4), r"has shape \[-1\]"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8), "4 bytes at its end"),
        ({"a": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}, bytes(1), "dtype F8; supported are"),
        (b'{"a": 1, "a": 2}', b"", "a name twice"),
        (b"[" * 100000, b"", "cannot be read"),
        (b'{"a":' * 100000, b"", "cannot be read"),
        ({"a": {"shape": [1]}}, b"", "cannot be read"),
        ({"__metadata__": {"gradgpu": '{"tensor": {"name": "b"}}'}}, b"", "names the tensor 'b'"),
    ],
)
def test_headers_that_lie(header: Any, body: bytes, match: str) -> None:
    with pytest.raises(RuntimeError, match=match):
        gg.load(safetensors_bytes(header, body))


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path, named in (("runs/net.pt", "runs"), (tmp_path / "runs" / "net.pt", str(tmp_path / "runs"))):
        with pytest.raises(RuntimeError, match=f"Parent directory {named} does not exist."):
            gg.save({"w": gg.ones(2)}, path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_of_any_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        gg.load(tmp_path / "absent")
    with pytest.raises(TypeError, match="opened as text"):
        gg.load(io.StringIO("text"))
    for content in (b"", b"PK\x03\x04", b"hello world, this is text", pickle.dumps(1)):
        with pytest.raises(RuntimeError, match="cannot be read"):
            gg.load(io.BytesIO(content))
    with pytest.raises(ValueError, match="only the standard pickle"):
        gg.save(1, io.BytesIO(), pickle_module=json)


def test_pytorchs_format_is_written_by_its_ending(tmp_path: Path, device: str) -> None:
    x = gg.arange(6.0, device=device).reshape(2, 3)
    obj = {
        "state": gg.nn.BatchNorm1d(2).to(device).state_dict(), "turned": x.t(), "number": gg.tensor(3), "none": gg.zeros(0, 2),
        "half": gg.ones(2).bfloat16(), "complex": gg.tensor([1 + 2j]), "weight": gg.nn.Parameter(x), "shape": x.shape,
        "dtype": gg.float16, "device": gg.device("cpu"), "list": [1, 2.5, "a", None, True, (1, 2)], "leaf": gg.ones(1, requires_grad=True),
        "shared": x, "same memory": x.detach(), 3: collections.Counter("aab"), "flags": gg.tensor([True]), "set": {1},
    }  # fmt: skip
    gg.save(obj, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        names = archive.namelist()
        pickled = archive.read("archive/data.pkl")
    assert "archive/version" in names and "archive/byteorder" in names
    named = {argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}
    assert {
        "torch._utils _rebuild_tensor_v2",
        "torch FloatStorage",
        "torch BFloat16Storage",
        "torch Size",
    } <= named
    assert not any("gradgpu" in name for name in named) and pickled[:2] == b"\x80\x02"
    found = gg.load(tmp_path / "a.pt")
    assert found["state"]._metadata[""] == {"version": 2} and type(found["weight"]) is gg.nn.Parameter
    for key in ("turned", "number", "none", "half", "complex", "weight", "shared", "flags"):
        assert found[key].dtype is obj[key].dtype and found[key].device == obj[key].device
        assert found[key].tolist() == obj[key].tolist() and found[key].shape == obj[key].shape
    for key in ("shape", "dtype", "device", "list", 3, "set"):
        assert found[key] == obj[key] and type(found[key]) is type(obj[key])
    assert found["leaf"].requires_grad and not found["shared"].requires_grad
    # Tensors over the same memory have one storage: the weight, "shared" and "same memory".
    assert len([n for n in names if n.startswith("archive/data/")]) == 5 + 8


@pytest.mark.parametrize("content", [{"a": np.ones(2)}, {"pair": Pair(1, 2)}])
def test_what_pytorch_would_not_read_is_written_in_the_other_format(tmp_path: Path, content: Any) -> None:
    gg.save(content, tmp_path / "a.pth")
    found = gg.load(tmp_path / "a.pth", weights_only=False)
    assert found.keys() == content.keys() and np.array_equal(
        *(next(iter(d.values())) for d in (found, content))
    )
