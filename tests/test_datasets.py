"""Data sets: files made here, served from this computer; downloads that break, lie, or are there already."""

from __future__ import annotations

import collections
import functools
import gzip
import hashlib
import http.server
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import datasets
from gradgpu.datasets import cifar, downloads, images, mnist, transforms
from gradgpu.utils.data import DataLoader

BODY = bytes(np.random.default_rng(0).integers(0, 256, 300_000, np.uint8))


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults` (one a request, in turn) say what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/body": BODY}
        self.faults: list[Any] = []
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        fault = self.server.faults.pop(0) if self.server.faults else None
        body = self.server.files.get(self.path)
        if isinstance(fault, int) or body is None:
            self.send_error(fault or 404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and fault != "no ranges" else 0
        if asked and fault != "no ranges" and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if asked and fault != "no ranges" else 200)
        if asked and fault != "no ranges":
            shown = 0 if fault == "other range" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        if fault != "no length":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if fault == "damaged":
            rest = bytes(len(rest))
        self.wfile.write(rest[: len(rest) // 2] if fault == "broken line" else rest)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


fetch = functools.partial(datasets.download, progress=False)


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("checksum", [None, md5(BODY), "sha256:" + hashlib.sha256(BODY).hexdigest().upper()])
def test_a_download_is_whole_and_happens_once(server: Server, tmp_path: Path, checksum: str | None):
    path = tmp_path / "deep" / "file"
    for _ in range(2):
        assert fetch(server.url + "/body", path, checksum=checksum) == path
        assert path.read_bytes() == BODY and left_over(path.parent) == ["file"]
    assert server.ranges == [None]


def test_without_a_length(server: Server, tmp_path: Path):
    server.faults = ["no length"]
    assert fetch(server.url + "/body", tmp_path / "file").read_bytes() == BODY


def test_a_broken_line_is_taken_up_where_it_broke(server: Server, tmp_path: Path):
    server.faults = ["broken line", "broken line"]
    assert fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY)).read_bytes() == BODY
    assert server.ranges == [None, "bytes=150000-", "bytes=225000-"]


def test_a_part_left_behind_is_continued(server: Server, tmp_path: Path):
    server.faults = ["broken line"]
    with pytest.raises(
        RuntimeError, match=r"(?s)download of file failed.*broke after 150000 of 300000 bytes"
    ):
        fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY), attempts=1)
    assert left_over(tmp_path) == ["file.part"]
    assert fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY)).read_bytes() == BODY
    assert server.ranges == [None, "bytes=150000-"] and left_over(tmp_path) == ["file"]


@pytest.mark.parametrize("part", [BODY[:1000], BODY, b"of another file", bytes(400_000)])
def test_any_part_ends_in_the_right_file(server: Server, tmp_path: Path, part: bytes):
    (tmp_path / "file.part").write_bytes(part)
    assert fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY)).read_bytes() == BODY
    assert left_over(tmp_path) == ["file"]
    again = [None] if not BODY.startswith(part) else []
    assert server.ranges == [f"bytes={len(part)}-", *again]


def test_without_a_checksum_an_old_part_is_not_trusted(server: Server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(b"of another file")
    assert fetch(server.url + "/body", tmp_path / "file").read_bytes() == BODY
    assert server.ranges == [None]


@pytest.mark.parametrize("fault", ["no ranges", "other range"])
def test_a_server_that_sends_other_bytes_than_asked(server: Server, tmp_path: Path, fault: str):
    server.faults = [fault]
    (tmp_path / "file.part").write_bytes(BODY[:1000])
    assert fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY)).read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing_under_the_name(server: Server, tmp_path: Path):
    server.faults = ["damaged"]
    wrong = hashlib.md5(bytes(len(BODY))).hexdigest()
    with pytest.raises(RuntimeError, match=f"md5 {wrong} instead of {md5(BODY)[4:]}"):
        fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY))
    assert not (tmp_path / "file").exists() and (tmp_path / "file.part").stat().st_size == 0


def test_a_file_that_is_there_but_wrong_is_replaced(server: Server, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"wrong")
    assert fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY)).read_bytes() == BODY


def test_mirrors_are_tried_in_turn_and_all_are_named(server: Server, tmp_path: Path):
    urls = [server.url + "/gone", server.url + "/body"]
    assert fetch(urls, tmp_path / "file", checksum=md5(BODY)).read_bytes() == BODY
    assert len(server.ranges) == 2  # 404 is final: it is not asked again
    with pytest.raises(RuntimeError, match=r"(?s)/gone: HTTP Error 404.*/lost: HTTP Error 404"):
        fetch([server.url + "/gone", server.url + "/lost"], tmp_path / "other")


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path):
    server.faults = [503, 429]
    assert fetch(server.url + "/body", tmp_path / "file").read_bytes() == BODY
    server.faults = [503, 503]
    with pytest.raises(RuntimeError, match="503"):
        fetch(server.url + "/body", tmp_path / "other", attempts=2)


def test_nobody_listens(tmp_path: Path):
    with Server() as closed:
        url = closed.url
    with pytest.raises(RuntimeError, match="refused"):
        fetch(url + "/body", tmp_path / "file")


def test_two_at_once(server: Server, tmp_path: Path):
    pytest.importorskip("fcntl", reason="files are locked on POSIX only")
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(fetch(server.url + "/body", tmp_path / "file", checksum=md5(BODY)))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and (tmp_path / "file").read_bytes() == BODY
    assert server.ranges == [None] and left_over(tmp_path) == ["file"]


def test_progress_is_shown_with_and_without_tqdm(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    datasets.download(server.url + "/body", tmp_path / "a")
    assert capsys.readouterr().err == f"downloading {server.url}/body (0.3 MB)\n"

    class Bar:
        def __init__(self, **options: Any) -> None:
            self.options, self.count = options, options["initial"]
            bars.append(self)

        def update(self, n: int) -> None:
            self.count += n

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: Any) -> None:
            self.closed = True

    bars: list[Any] = []
    monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
    monkeypatch.setattr(sys.modules["tqdm"], "tqdm", Bar, raising=False)
    datasets.download(server.url + "/body", tmp_path / "b")
    assert bars[0].options["total"] == bars[0].count == len(BODY) and bars[0].closed
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "urls, options, message",
    [
        ("ftp://a/b", {}, "expected an http or https URL, got 'ftp://a/b'"),
        ("file:///etc/passwd", {}, "expected an http or https URL"),
        ([], {}, "needs one URL"),
        ("http://a/b", {"attempts": 0}, "one attempt at least"),
        ("http://a/b", {"checksum": "0123"}, "a checksum is written like 'md5:<hex digits>'"),
        ("http://a/b", {"checksum": "crc:0123"}, "a checksum is written like"),
        ("http://a/b", {"checksum": "md5:xyz"}, "a checksum is written like"),
    ],
)
def test_download_refuses(tmp_path: Path, urls: Any, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        datasets.download(urls, tmp_path / "file", **options)
    assert left_over(tmp_path) == []


def test_checksum_of_a_file_that_is_not_there(tmp_path: Path):
    assert not datasets.checksum_matches(tmp_path / "none", "md5:00")


# IDX files


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    head = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(mnist.IDX_TYPES[code]).tobytes()


@pytest.mark.parametrize("code", mnist.IDX_TYPES)
@pytest.mark.parametrize("shape", [(), (0, 4), (3,), (2, 3, 4)])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path: Path, code: int, shape: tuple[int, ...], packed: bool):
    array = np.arange(math.prod(shape)).reshape(shape)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx(array, code)) if packed else idx(array, code))
    found = mnist.read_idx(path)
    assert found.dtype == np.dtype(mnist.IDX_TYPES[code]).newbyteorder("=") and found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


WHOLE = idx(np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a", b"", "is no IDX file"),
        ("a", b"\1" + WHOLE[1:], "is no IDX file: it starts with"),
        ("a", WHOLE[:2] + b"\7" + WHOLE[3:], "is no IDX file"),
        ("a", WHOLE[:9], "ends among its sizes"),
        ("a", WHOLE[:-1], r"shape \(2, 3\) takes 6 bytes, the file has only 5"),
        ("a", WHOLE + b"\0", "takes 6 bytes, the file has more"),
        ("a.gz", WHOLE, "is damaged"),
        ("a.gz", gzip.compress(WHOLE, mtime=0)[:-5], "is damaged"),
        ("a.gz", gzip.compress(WHOLE, mtime=0)[:12] + bytes(8), "is damaged"),
    ],
    ids=["empty", "start", "dtype", "sizes", "short", "long", "not gzip", "cut off", "no checksum"],
)
def test_damaged_idx_files(tmp_path: Path, name: str, data: bytes, message: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        mnist.read_idx(tmp_path / name)


def small_mnist(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count).astype(np.uint8)


@pytest.fixture
def small(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with sets of MNIST's form, and classes that know where they are."""
    sizes = {"train": 12, "t10k": 5}
    resources = []
    for which, count in sizes.items():
        arrays = small_mnist(count)
        for kind, array in zip(("images-idx3", "labels-idx1"), arrays):
            name = f"{which}-{kind}-ubyte.gz"
            server.files["/" + name] = gzip.compress(idx(array), mtime=0)
            resources.append((name, md5(server.files["/" + name])))
    for kind in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [server.url + "/"])
        monkeypatch.setattr(kind, "resources", resources)
    monkeypatch.setattr(downloads, "_bar", _quiet)
    return server


def _quiet(*_: Any) -> Any:
    import contextlib

    return contextlib.nullcontext(lambda n: None)


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST])
def test_mnist_is_downloaded_once_and_read(small: Server, tmp_path: Path, kind: type):
    for train, count in ((True, 12), (False, 5)):
        found = kind(tmp_path, train=train, download=True)
        expected_images, expected_labels = small_mnist(count)
        assert len(found) == count and found.data.dtype == gg.uint8 and found.targets.dtype == gg.int64
        np.testing.assert_array_equal(found.data.numpy(), expected_images)
        np.testing.assert_array_equal(found.targets.numpy(), expected_labels)
        image, label = found[-1]
        assert isinstance(image, np.ndarray) and image.shape == (28, 28) and type(label) is int
        assert repr(found).startswith(f"{kind.__name__}({count} samples, {'train' if train else 'test'}")
    assert len(small.ranges) == 4
    assert kind.classes[found[0][1]] in found.class_to_idx and len(found.class_to_idx) == 10
    assert (tmp_path / kind.__name__ / "raw" / "t10k-labels-idx1-ubyte.gz").exists()
    with pytest.raises(IndexError, match="index 5 is out of range of 5 samples"):
        found[5]


def test_mnist_with_transforms_in_a_loader(small: Server, tmp_path: Path):
    found = datasets.MNIST(
        str(tmp_path),
        transform=transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]),
        target_transform=lambda label: label + 100,
        download=True,
    )
    images, labels = next(iter(DataLoader(found, batch_size=12)))
    expected, classes = small_mnist(12)
    assert images.shape == (12, 1, 28, 28) and images.dtype == gg.float32
    np.testing.assert_allclose(images[:, 0].numpy(), expected / 127.5 - 1, atol=1e-6)
    assert labels.tolist() == [int(c) + 100 for c in classes]
    plain, _ = next(iter(DataLoader(datasets.MNIST(tmp_path), batch_size=3)))
    assert plain.dtype == gg.uint8 and plain.shape == (3, 28, 28)


def test_extracted_files_are_enough(tmp_path: Path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images, labels = small_mnist(3)
    (raw / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    assert len(datasets.MNIST(tmp_path, train=False)) == 3
    with pytest.raises(RuntimeError, match="MNIST: Dataset not found.*train-images.*download=True"):
        datasets.MNIST(tmp_path)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (np.zeros((2, 28, 28)), np.zeros(3), "has 2 images, .* has 3 labels"),
        (np.zeros((2, 28)), np.zeros(2), "expected uint8 in 3 dimensions"),
        (np.zeros((2, 28, 28)), np.array([0, 10]), "has the label 10; there are 10 classes"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, images: np.ndarray, labels: np.ndarray, message: str):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(idx(images))
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(ValueError, match=message):
        datasets.MNIST(tmp_path)


# CIFAR


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 wrote it: str for keys and bytes alike, protocol 2."""

    def text(value: bytes) -> bytes:
        return (
            b"U" + bytes([len(value)]) + value
            if len(value) < 256
            else b"T" + struct.pack("<i", len(value)) + value
        )

    out = b"\x80\x02}(" + text(b"data")
    out += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    out += (
        b"(K\x01"
        + b"J"
        + struct.pack("<i", data.shape[0])
        + b"M"
        + struct.pack("<H", data.shape[1])
        + b"\x86"
    )
    out += b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xff"
    out += b"J\xff\xff\xff\xffK\x00tb\x89" + text(data.tobytes()) + b"tb"
    out += text(b"labels") + b"](" + b"".join(b"K" + bytes([y]) for y in labels) + b"e"
    return out + text(b"batch_label") + text(b"a batch") + b"u."


def test_the_python2_pickle_of_this_test_is_one():
    data = np.arange(12, dtype=np.uint8).reshape(2, 6)
    with pytest.MonkeyPatch.context() as patch:  # numpy moved the module that the pickle names
        patch.setitem(sys.modules, "numpy.core.multiarray", np._core.multiarray)
        found = pickle.loads(python2_pickle(data, [1, 2]), encoding="latin1")
    np.testing.assert_array_equal(found["data"], data)
    assert found["labels"] == [1, 2]


def cifar_batch(count: int, seed: int) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 3072), np.uint8), random.integers(0, 10, count).tolist()


def write_cifar(folder: Path, write: Any = python2_pickle) -> Path:
    """A small archive of CIFAR-10's form."""
    path = folder / datasets.CIFAR10.filename
    with tarfile.open(path, "w:gz") as tar:
        for seed, name in enumerate(
            ["batches.meta", *datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]
        ):
            data = write(*cifar_batch(3, seed))
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_python3(data: np.ndarray, labels: list[int]) -> bytes:
    return pickle.dumps({"data": np.asfortranarray(data), "labels": labels}, protocol=2)


@pytest.mark.parametrize("write", [python2_pickle, write_python3])
@pytest.mark.parametrize("extracted", [False, True])
def test_cifar(tmp_path: Path, write: Any, extracted: bool):
    archive = write_cifar(tmp_path, write)
    if extracted:
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        archive.unlink()
    for train, seeds in ((True, range(1, 6)), (False, [6])):
        found = datasets.CIFAR10(tmp_path, train=train, transform=transforms.ToTensor())
        pixels = np.concatenate([cifar_batch(3, seed)[0] for seed in seeds]).reshape(-1, 3, 32, 32)
        assert found.targets == [y for seed in seeds for y in cifar_batch(3, seed)[1]]
        assert found.data.shape == (len(pixels), 32, 32, 3) and found.data.dtype == np.uint8
        image, label = found[1]
        np.testing.assert_allclose(image.numpy(), pixels[1] / 255, atol=1e-7)
        assert label == found.targets[1]
        found.data[:] = 0  # it owns its memory, and samples come from it
        assert float(found[1][0].sum()) == 0


def test_cifar_is_downloaded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "there").mkdir()
    server.files["/cifar"] = write_cifar(tmp_path / "there").read_bytes()
    monkeypatch.setattr(datasets.CIFAR10, "url", server.url + "/cifar")
    monkeypatch.setattr(datasets.CIFAR10, "checksum", md5(server.files["/cifar"]))
    monkeypatch.setattr(downloads, "_bar", _quiet)
    for _ in range(2):
        assert len(datasets.CIFAR10(tmp_path / "here", download=True)) == 15
    assert server.ranges == [None]
    assert datasets.CIFAR10.classes[0] == "airplane"


def test_cifar_that_is_not_there(tmp_path: Path):
    with pytest.raises(RuntimeError, match="CIFAR10: Dataset not found.*download=True"):
        datasets.CIFAR10(tmp_path)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(RuntimeError, match="CIFAR10: Dataset not found.*test_batch"):
        datasets.CIFAR10(tmp_path, train=False)


def test_damaged_archives(tmp_path: Path):
    archive = write_cifar(tmp_path)
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no archive"):
        archive.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            datasets.CIFAR10(tmp_path)
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(ValueError, match="lacks data_batch_1"):
        datasets.CIFAR10(tmp_path)


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {"data": np.zeros((2, 3072), np.uint8)},
        {"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]},
        {"data": np.zeros((2, 3071), np.uint8), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, "1"]},
    ],
)
def test_batches_of_another_form(tmp_path: Path, batch: Any):
    write_cifar(tmp_path, lambda *_: pickle.dumps(batch, protocol=2))
    with pytest.raises(ValueError, match="CIFAR10: data_batch_1 does not hold rows of 3072 bytes"):
        datasets.CIFAR10(tmp_path)


# Pickles


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, True, None], b"b": ("x", b"bytes", 10**30)},
        [
            np.arange(6).astype(dtype).reshape(2, 3)
            for dtype in ("u1", ">i4", "<i8", "f4", "f8", "bool", "f2")
        ],
        {
            "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "empty": np.zeros((0, 3)),
            "0-dim": np.array(3),
        },
    ],
)
def test_plain_pickles_are_read(value: Any):
    def same(a: Any, b: Any) -> None:
        assert type(a) is type(b)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_array_equal(a, b)
        elif isinstance(a, dict):
            assert list(a) == list(b)
            same(list(a.values()), list(b.values()))
        elif isinstance(a, (list, tuple)):
            assert len(a) == len(b)
            for x, y in zip(a, b):
                same(x, y)
        else:
            assert a == b

    same(cifar.load_plain_pickle(pickle.dumps(value, protocol=4)), value)


class Runs:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Derived(np.ndarray):
    pass


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "value",
    [
        Runs(os.mkdir, "made by a pickle"),
        Runs(eval, "1 + 1"),
        1j,
        bytearray(b"a"),
        {"deep": [Runs(os.getcwd)]},
        collections.OrderedDict(a=1),
        {1, 2},
        np.array([None, "objects"], object),
        np.array(["text"]),
        np.zeros(2, [("a", "i4")]),
        np.zeros(2, "M8[s]"),
        np.zeros(2).view(Derived),
        np.float32(1),
        slice(1),
    ],
)
def test_pickles_of_anything_else_are_refused(
    value: Any, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="not plain data|damaged pickle"):
        cifar.load_plain_pickle(pickle.dumps(value, protocol=protocol))
    assert not list(tmp_path.iterdir())


def test_damaged_pickles_are_refused():
    whole = python2_pickle(np.zeros((2, 300), np.uint8), [1, 2])
    for data in [whole[:n] for n in range(0, len(whole), 7)] + [b"", b"\x80\x02N"]:
        with pytest.raises(pickle.UnpicklingError):
            cifar.load_plain_pickle(data)
    for wrong in (whole.replace(b"M\x2c\x01", b"M\x2d\x01"), whole.replace(b"U\x01|", b"U\x01?")):
        assert wrong != whole
        with pytest.raises(pickle.UnpicklingError, match="do not fit together|byte order"):
            cifar.load_plain_pickle(wrong)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    with pytest.raises(pickle.UnpicklingError, match="an array without data"):
        cifar.load_plain_pickle(b"\x80\x02" + array + b".")


def test_a_pickle_changes_nothing_that_stays():
    before = {name: dict(vars(found)) for name, found in cifar._FUNCTIONS.items()}
    for name in ("numpy.core.multiarray\n_reconstruct", "numpy\ndtype", "_codecs\nencode"):
        sets = b"\x80\x02c" + name.encode() + b"\n}U\x0c__defaults__N\x85s}U\x01aK\x01s\x86b."
        with pytest.raises(pickle.UnpicklingError):
            cifar.load_plain_pickle(sets)
    assert before == {name: dict(vars(found)) for name, found in cifar._FUNCTIONS.items()}
    assert cifar._reconstruct.__defaults__ is None and cifar._encode.__defaults__ is None


# Sets that need no download


def test_digits():
    pytest.importorskip("sklearn", reason="the demo's extra is not installed")
    pixels, classes = datasets.load_digits()
    assert pixels.shape == (1797, 1, 8, 8) and pixels.dtype == gg.float32 and classes.dtype == gg.int64
    assert float(pixels.min()) == 0 and float(pixels.max()) == 1
    assert gg.bincount(classes).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"load_digits needs scikit-learn.*gradgpu\[demo\]"):
        datasets.load_digits()


def test_moons_lie_on_their_circles():
    points, classes = datasets.make_moons(101)
    assert points.shape == (101, 2) and points.dtype == gg.float32 and classes.dtype == gg.int64
    assert gg.bincount(classes).tolist() == [50, 51]
    for which, centre, sign in ((0, (0.0, 0.0), 1), (1, (1.0, 0.5), -1)):
        found = points[classes == which] - gg.tensor(centre)
        np.testing.assert_allclose((found**2).sum(1).numpy(), 1, rtol=1e-5)
        assert bool((sign * found[:, 1] >= -1e-6).all())
    assert datasets.make_moons(0)[0].shape == (0, 2)


@pytest.mark.parametrize("classes, turns", [(2, 1.5), (3, 1.0)])
def test_spirals_lie_on_their_arms(classes: int, turns: float):
    points, which = datasets.make_spirals(300, classes=classes, turns=turns)
    assert points.dtype == gg.float32 and which.dtype == gg.int64
    assert gg.bincount(which).tolist() == [300 // classes] * classes
    x, y = points.double().numpy().T
    radius = np.hypot(x, y)
    assert radius.max() <= 1 + 1e-6
    arm = (np.arctan2(y, x) / (2 * np.pi) - turns * radius) * classes
    far = radius > 0.01  # at the centre the angle is rounding
    distance = (arm - which.numpy() + classes / 2) % classes - classes / 2
    np.testing.assert_allclose(distance[far], 0, atol=1e-3)
    assert 0.4 < np.mean(radius**2) < 0.6  # even over the area


@pytest.mark.parametrize("make", [datasets.make_moons, datasets.make_spirals])
def test_noise_and_seeds(make: Any):
    def drawn(seed: int, noise: float = 0.1) -> Any:
        return make(400, noise=noise, generator=gg.Generator().manual_seed(seed))

    state = gg.get_rng_state()
    first, again, other = drawn(1), drawn(1), drawn(2)
    assert bool((gg.get_rng_state() == state).all())  # the default generator was left alone
    assert bool((first[0] == again[0]).all()) and bool((first[1] == again[1]).all())
    assert not bool((first[0] == other[0]).all())
    gg.manual_seed(3)
    assert bool((make(50)[1] == (gg.manual_seed(3), make(50)[1])[1]).all())
    with pytest.raises(ValueError, match="cannot be negative"):
        make(4, noise=-0.1)
    with pytest.raises(ValueError):
        make(-1)


def test_noise_has_its_size():
    points, classes = datasets.make_moons(4000, noise=0.05)
    found = points[classes == 0]
    radius = (found**2).sum(1).sqrt()
    assert float(radius.std()) == pytest.approx(0.05, rel=0.1)


def test_the_reference_is_text_for_a_model():
    text = datasets.python_reference()
    assert len(text) > 200_000 and 80 < len(set(text)) < 400
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 1000
    assert datasets.python_reference() == text


def test_without_the_reference(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ImportError, match="this Python comes without pydoc_data"):
        datasets.python_reference()


# Transforms


def test_to_tensor():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (4, 5, 3), np.uint8)
    found = transforms.ToTensor()(image)
    assert found.shape == (3, 4, 5) and found.dtype == gg.float32 and found.is_contiguous()
    np.testing.assert_allclose(found.numpy(), image.transpose(2, 0, 1) / 255, atol=1e-7)
    floats = random.random((4, 5))
    found = transforms.ToTensor()(floats)
    assert found.dtype == gg.float64 and found.shape == (1, 4, 5)
    found += 1
    assert floats.max() <= 1  # the image was copied
    with pytest.raises(ValueError, match="an image has 2 or 3 dimensions"):
        transforms.ToTensor()(np.zeros(3))


def test_normalize(device: str):
    image = gg.rand(2, 3, 4, 5, device=device)
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    found = transforms.Normalize(mean, std)(image)
    expected = (image.cpu().numpy() - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    assert found.device == image.device and found.dtype == image.dtype
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-5)
    for wrong in (np.zeros((1, 2, 2)), gg.zeros(1, 2, 2, dtype=gg.uint8), gg.zeros(2, 2)):
        with pytest.raises(TypeError, match="ToTensor comes first"):
            transforms.Normalize(0.0, 1.0)(wrong)
    with pytest.raises(ValueError, match="std has a zero"):
        transforms.Normalize(0.0, [1.0, 0.0, 1.0])(image)


def test_transforms_say_what_they_are():
    made = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(0.5, 0.25), transforms.Lambda(abs)]
    )
    assert repr(made) == "Compose([ToTensor(), Normalize(mean=0.5, std=0.25), Lambda()])"
    with pytest.raises(TypeError, match="Lambda: expected a function, got int"):
        transforms.Lambda(3)  # type: ignore[arg-type]


def test_a_set_of_ones_own(tmp_path: Path):
    class Own(images.ImageSet):
        classes = ["a", "b"]

        def _load(self) -> tuple[Any, Any]:
            return np.zeros((2, 4, 4), np.uint8), [0, 1]

    assert Own(tmp_path)[1][1] == 1 and Own(tmp_path).class_to_idx == {"a": 0, "b": 1}
    with pytest.raises(NotImplementedError):
        Own(tmp_path, download=True)
    with pytest.raises(NotImplementedError):
        images.ImageSet(tmp_path)


def test_datasets_are_imported_when_asked_for():
    code = "import sys, gradgpu as gg; a = 'gradgpu.datasets' in sys.modules; gg.datasets; print(a, 'gradgpu.datasets' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]
