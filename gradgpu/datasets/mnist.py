"""MNIST and sets in its format: IDX files, compressed or not."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..ops.creation import from_numpy
from .downloads import download
from .images import ImageSet, not_found

__all__ = ["MNIST", "FashionMNIST", "read_idx"]

# The third byte of a file is the type of its elements; all numbers are big-endian.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file, plain or gzip'ed, in the machine's byte order.

    The format: two zero bytes, the type, the number of dimensions, their sizes as big-endian 32-bit numbers, the
    elements in C order (http://yann.lecun.com/exdb/mnist/).

    Raises:
        ValueError: if the file is no IDX file, is cut short, or goes on after its last element.
    """
    try:
        with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
            return _read_idx(file, path)  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); use download=True to fetch it again") from None


def _read_idx(file: BinaryIO, path: str | Path) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES:
        raise ValueError(f"{path} is no IDX file: it starts with {head!r}")
    dtype, ndim = np.dtype(IDX_TYPES[head[2]]), head[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"{path} is damaged (it ends among its sizes)")
    shape = struct.unpack(f">{ndim}I", sizes)
    expected = dtype.itemsize
    for size in shape:
        expected *= size
    data = file.read(expected + 1)
    if len(data) != expected:
        what = "more" if len(data) > expected else f"only {len(data)}"
        raise ValueError(f"{path} is damaged: shape {shape} takes {expected} bytes, the file has {what}")
    return np.frombuffer(bytearray(data), dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


class MNIST(ImageSet):
    """The MNIST handwritten digits: 60 000 images to train on, 10 000 to test, of 28 × 28 pixels.

    Args:
        root: a folder; the files are in ``root/MNIST/raw``, as torchvision lays them out (compressed or not).
        train: the images to train on, else those to test on.
        transform: applied to each image, a numpy array (28, 28) of uint8; e.g. `transforms.ToTensor()`.
        target_transform: applied to each class, an int.
        download: fetch what is missing (12 MB), with checksums.

    `data` is a uint8 tensor (n, 28, 28), `targets` an int64 tensor (n,). Source: LeCun, Cortes, Burges,
    http://yann.lecun.com/exdb/mnist/.

    Raises:
        RuntimeError: the files are not there, or cannot be downloaded.
        ValueError: a file is damaged.

    Example:
        >>> from gradgpu.datasets import MNIST
        >>> MNIST("no such folder")
        Traceback (most recent call last):
            ...
        RuntimeError: MNIST: Dataset not found; looked for ... You can use download=True to download it
    """

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]

    @property
    def raw_folder(self) -> Path:
        """Where the files are."""
        return self.root / type(self).__name__ / "raw"

    def download(self) -> None:
        """Fetch the files that are missing or damaged; extracted ones that are there are enough."""
        for name, checksum in self.resources:
            if not (self.raw_folder / name.removesuffix(".gz")).exists():
                download(
                    [mirror + name for mirror in self.mirrors], self.raw_folder / name, checksum=checksum
                )

    def _find(self, kind: str) -> Path:
        plain = self.raw_folder / f"{'train' if self.train else 't10k'}-{kind}-ubyte"
        for path in (plain, plain.with_name(plain.name + ".gz")):
            if path.exists():
                return path
        raise not_found(type(self).__name__, plain, Path(plain.name + ".gz"))

    def _load(self) -> tuple[Any, Any]:
        image_file, label_file = self._find("images-idx3"), self._find("labels-idx1")
        images, labels = read_idx(image_file), read_idx(label_file)
        for array, path, ndim in ((images, image_file, 3), (labels, label_file, 1)):
            if array.dtype != np.uint8 or array.ndim != ndim:
                raise ValueError(
                    f"{path}: expected uint8 in {ndim} dimensions, got {array.dtype} {array.shape}"
                )
        if len(images) != len(labels):
            raise ValueError(
                f"{image_file} has {len(images)} images, {label_file.name} has {len(labels)} labels"
            )
        if len(labels) and labels.max() >= len(self.classes):
            raise ValueError(
                f"{label_file} has the label {labels.max()}; there are {len(self.classes)} classes"
            )
        return from_numpy(images), from_numpy(labels.astype(np.int64))

    def _image(self, index: int) -> np.ndarray:
        return self.data[index].numpy()


class FashionMNIST(MNIST):
    """Fashion-MNIST: pictures of clothes in ten classes, with the sizes and the format of `MNIST`.

    The files are in ``root/FashionMNIST/raw``; arguments, attributes and errors are `MNIST`'s. Source: Xiao, Rasul,
    Vollgraf, "Fashion-MNIST" (2017), https://github.com/zalandoresearch/fashion-mnist.

    Example:
        >>> from gradgpu.datasets import FashionMNIST
        >>> FashionMNIST.classes[:3]
        ['T-shirt/top', 'Trouser', 'Pullover']
    """

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
