"""CIFAR-10 in its python version: pickles in a tar.gz, read without letting them run anything."""

from __future__ import annotations

import gzip
import io
import math
import pickle
import re
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .downloads import download
from .images import ImageSet, not_found

__all__ = ["CIFAR10", "load_plain_pickle"]


class _DType:
    """Stands for numpy.dtype in a pickle; numbers only."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", code):
            raise pickle.UnpicklingError(f"an array of dtype {code!r} is not plain data")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"a dtype of byte order {order!r} is not plain data")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for numpy.ndarray: the state of an array, made one after loading."""

    array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        if (
            not isinstance(dtype, _DType)
            or not isinstance(data, (bytes, bytearray))
            or not all(type(n) is int and n >= 0 for n in shape)
            or math.prod(shape) * dtype.dtype.itemsize != len(data)
        ):
            raise pickle.UnpicklingError("an array whose shape, dtype and data do not fit together")
        array = np.frombuffer(bytearray(data), dtype.dtype)
        self.array = array.reshape(shape, order="F" if fortran else "C")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind != _NDARRAY:
        raise pickle.UnpicklingError(f"an array of class {kind!r} is not plain data")
    return _Array()


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"_codecs.encode with {encoding!r} is not plain data")
    return text.encode("latin1")


_NDARRAY = "numpy.ndarray"  # the class itself, which is an argument in a pickle
_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return _NDARRAY
        if (module, name) not in _FUNCTIONS:
            raise pickle.UnpicklingError(f"{module}.{name} is not plain data")
        # A new function each time: a pickle that sets attributes of what it names changes nothing that stays.
        return lambda *arguments: _FUNCTIONS[module, name](*arguments)


def load_plain_pickle(data: bytes) -> Any:
    """Unpickle numbers, strings, bytes, lists, tuples, dicts and numpy arrays of numbers, and refuse all else.

    No class and no function that the pickle names is imported or called: the four names with which numpy writes
    arrays have stand-ins here. Pickles of Python 2 are read with its strings as latin1.

    Raises:
        pickle.UnpicklingError: if the pickle names anything else, or is damaged.
    """
    try:
        found = _Unpickler(io.BytesIO(data), fix_imports=False, encoding="latin1").load()
        return _plain(found)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # damaged pickles raise nearly anything
        raise pickle.UnpicklingError(f"damaged pickle ({type(error).__name__}: {error})") from None


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        if value.array is None:
            raise pickle.UnpicklingError("an array without data")
        return value.array
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if value is None or isinstance(value, (bool, int, float, str, bytes, bytearray)):
        return value
    raise pickle.UnpicklingError(f"{type(value).__name__} is not plain data")


class CIFAR10(ImageSet):
    """CIFAR-10: small photographs in ten classes, 50 000 to train on, 10 000 to test, of 32 × 32 pixels in colour.

    Args:
        root: a folder with ``cifar-10-python.tar.gz``, or with the folder ``cifar-10-batches-py`` extracted from it.
        train: the images to train on, else those to test on.
        transform: applied to each image, a numpy array (32, 32, 3) of uint8; e.g. `transforms.ToTensor()`.
        target_transform: applied to each class, an int.
        download: fetch the archive if it is missing (170 MB), with a checksum.

    `data` is a numpy array (n, 32, 32, 3) of uint8, `targets` a list, as in torchvision. The pickles in the archive may hold
    plain data only. Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009),
    https://www.cs.toronto.edu/~kriz/cifar.html.

    Raises:
        RuntimeError: the files are not there, or cannot be downloaded.
        ValueError: a file is damaged, or is a pickle of something else.

    Example:
        >>> from gradgpu.datasets import CIFAR10
        >>> CIFAR10("no such folder", train=False)
        Traceback (most recent call last):
            ...
        RuntimeError: CIFAR10: Dataset not found; looked for ... You can use download=True to download it
    """

    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    checksum = "md5:c58f30108f718f92721af3b95e74349a"
    base_folder = "cifar-10-batches-py"
    train_list = [f"data_batch_{i}" for i in range(1, 6)]
    test_list = ["test_batch"]
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def download(self) -> None:
        """Fetch the archive if it is missing or damaged; the extracted folder is enough."""
        if not (self.root / self.base_folder).is_dir():
            download(self.url, self.root / self.filename, checksum=self.checksum)

    def _files(self) -> dict[str, bytes]:
        names = self.train_list if self.train else self.test_list
        folder, archive = self.root / self.base_folder, self.root / self.filename
        if folder.is_dir():
            missing = [folder / name for name in names if not (folder / name).exists()]
            if missing:
                raise not_found(type(self).__name__, *missing)
            return {name: (folder / name).read_bytes() for name in names}
        if not archive.exists():
            raise not_found(type(self).__name__, folder, archive)
        return self._from_archive(archive, names)

    def _from_archive(self, archive: Path, names: list[str]) -> dict[str, bytes]:
        found = {}
        try:
            with tarfile.open(archive, "r:gz") as tar:  # read member by member: nothing is extracted
                for member in tar:
                    folder, _, name = member.name.rpartition("/")
                    if folder == self.base_folder and name in names and (file := tar.extractfile(member)):
                        found[name] = file.read()
                        if len(found) == len(names):
                            break
        except (EOFError, gzip.BadGzipFile, tarfile.TarError, zlib.error) as error:
            raise ValueError(f"{archive} is damaged ({error}); use download=True to fetch it again") from None
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"{archive} lacks {', '.join(missing)}")
        return {name: found[name] for name in names}

    def _load(self) -> tuple[np.ndarray, list[int]]:
        images, targets = [], []
        for name, data in self._files().items():
            try:
                batch = load_plain_pickle(data)
            except pickle.UnpicklingError as error:
                raise ValueError(f"CIFAR10: {name} is refused: {error}") from None
            pixels, labels = (batch.get(k) if isinstance(batch, dict) else None for k in ("data", "labels"))
            if (
                not isinstance(pixels, np.ndarray)
                or pixels.dtype != np.uint8
                or pixels.shape[1:] != (3072,)
                or not isinstance(labels, list)
                or len(labels) != len(pixels)
                or not all(type(y) is int and 0 <= y < len(self.classes) for y in labels)
            ):
                raise ValueError(
                    f"CIFAR10: {name} does not hold rows of 3072 bytes in 'data' and their 'labels'"
                )
            images.append(pixels)
            targets.extend(labels)
        # Each row is red, green, blue, each of them 32 rows of 32: to (n, height, width, channels).
        pixels = np.concatenate(images).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(pixels), targets
