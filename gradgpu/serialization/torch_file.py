"""PyTorch's `.pt` files: the zip format (since 1.6) and the one before it."""

from __future__ import annotations

import io
import math
import pickle
import sys
import zipfile
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..tensor import Tensor
from .structure import placed
from .unpickle import unpickler

__all__ = ["is_legacy", "load_legacy", "load_zip"]

STORAGES = {
    "FloatStorage": dt.float32, "DoubleStorage": dt.float64, "HalfStorage": dt.float16, "BFloat16Storage": dt.bfloat16,
    "LongStorage": dt.int64, "IntStorage": dt.int32, "ShortStorage": dt.int16, "CharStorage": dt.int8, "ByteStorage": dt.uint8,
    "BoolStorage": dt.bool, "ComplexFloatStorage": dt.complex64, "ComplexDoubleStorage": dt.complex128,
    "UntypedStorage": dt.uint8,
}  # fmt: skip
_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # in the first pickle of the old format


class _Storage:
    """The memory of tensors, as a file names it."""

    def __init__(self, flat: np.ndarray, location: Any) -> None:
        self.flat, self.location = flat, location


class _Reader:
    """What the pickles of both formats have in common: how tensors are put together."""

    def __init__(self, place: Any) -> None:
        self.place = place
        self.known_functions = {
            "_rebuild_tensor": self._tensor,
            "_rebuild_tensor_v2": self._tensor,
            "_rebuild_tensor_v3": self._tensor_of_dtype,
            "_rebuild_sparse_tensor": self._sparse,
            "_rebuild_parameter": self._parameter,
            "_rebuild_parameter_with_state": self._parameter,
        }

    def known(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        if module == "torch._utils":
            return self.known_functions.get(name)
        if (module, name) == ("torch.serialization", "_get_layout"):
            return lambda text: str(text)
        return None

    def _tensor_of_dtype(
        self, storage: Any, offset: int, shape: tuple, strides: tuple, requires_grad: bool, hooks: Any, d: Any, *rest: Any
    ) -> Tensor:  # fmt: skip
        return self._tensor(
            _Storage(storage.flat.view(d.np), storage.location), offset, shape, strides, requires_grad
        )

    def _tensor(
        self, storage: Any, offset: int, shape: tuple, strides: tuple, requires_grad: bool = False, *rest: Any
    ) -> Tensor:
        flat = storage.flat
        if len(shape) != len(strides) or not all(type(n) is int for n in (offset, *shape, *strides)):
            raise pickle.UnpicklingError(
                f"a tensor has shape {shape!r}, strides {strides!r}, offset {offset!r}"
            )
        empty = 0 in shape
        last = offset if empty else offset + sum((n - 1) * s for n, s in zip(shape, strides))
        if min((offset, *shape, *strides)) < 0 or (last >= flat.size and not empty):
            raise pickle.UnpicklingError(
                f"a tensor of shape {tuple(shape)} lies outside its storage of {flat.size} elements"
            )
        if (
            not empty
            and math.prod(shape) > max(flat.size, 1)
            and math.prod(n for n, s in zip(shape, strides) if s) > flat.size
        ):
            raise pickle.UnpicklingError(
                f"a tensor of shape {tuple(shape)} overlaps itself in its storage of {flat.size} elements"
            )
        if empty:
            view = np.empty(shape, flat.dtype)
        else:
            view = np.lib.stride_tricks.as_strided(flat[offset:], shape, [s * flat.itemsize for s in strides])
        t = placed(np.ascontiguousarray(view).reshape(shape), storage.location, self.place)
        t.requires_grad = bool(requires_grad)
        return t

    def _sparse(self, kind: Any, parts: tuple) -> Tensor:
        from ..sparse import sparse_coo_tensor, sparse_csr_tensor

        if kind == "torch.sparse_csr":
            return sparse_csr_tensor(*parts)
        if kind != "torch.sparse_coo":
            raise pickle.UnpicklingError(
                f"a tensor has the layout {kind!r:.80}; there are sparse_coo and sparse_csr"
            )
        indices, values, size, *unique = parts
        return sparse_coo_tensor(indices, values, size, is_coalesced=bool(unique and unique[0]))

    def _parameter(self, data: Tensor, requires_grad: bool, *rest: Any) -> Any:
        from .. import nn

        return nn.Parameter(data.detach(), requires_grad)


def _check_pid(pid: Any) -> tuple[Any, ...]:
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], dt.dtype):
        raise pickle.UnpicklingError(f"it holds a persistent object {pid!r:.80}")
    if not isinstance(pid[4], int) or pid[4] < 0:
        raise pickle.UnpicklingError(f"a storage has the size {pid[4]!r}")
    return pid


# ---- the zip format: data.pkl, and a file data/KEY for each storage ----
def load_zip(archive: zipfile.ZipFile, name: str, place: Any, trusted: bool) -> Any:
    """What the pickle `name` in a zip file holds."""
    folder = name[: -len("data.pkl")]
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order).decode() != sys.byteorder:
        raise ValueError("it was written on a machine with the other byte order")
    storages: dict[str, np.ndarray] = {}

    def storage(pid: Any) -> _Storage:
        _, d, key, location, count = _check_pid(pid)[:5]
        if key not in storages:
            raw = archive.read(f"{folder}data/{key}")
            if len(raw) < count * d.itemsize:
                raise pickle.UnpicklingError(
                    f"storage {key} is cut off: {len(raw)} bytes instead of {count * d.itemsize}"
                )
            storages[key] = np.frombuffer(bytearray(raw), np.uint8)[: count * d.itemsize].view(d.np)
        return _Storage(storages[key], location)

    return unpickler(io.BytesIO(archive.read(name)), trusted, _Reader(place).known, storage).load()


# ---- the format before: five pickles, then the storages one after the other ----
def is_legacy(data: bytes) -> bool:
    """Whether these are the first bytes of a file in the old format."""
    return data[:1] == pickle.PROTO and _MAGIC in data[:32]


def load_legacy(data: bytes, place: Any, trusted: bool) -> Any:
    """What a file in the old format holds."""
    file = io.BytesIO(data)

    def plain() -> Any:
        return unpickler(file, False, lambda module, name: None, _check_pid).load()

    _, version, system = plain(), plain(), plain()
    if version != 1001 or not isinstance(system, dict) or not system.get("little_endian", True):
        raise ValueError(f"it has version {version!r} of PyTorch's old format, written on {system!r:.80}")
    start = file.tell()
    kinds = _storages_of(file)
    storages: dict[str, np.ndarray] = {}
    for key in plain():
        d, count = kinds[key]
        size = int.from_bytes(file.read(8), "little", signed=True)
        raw = file.read(max(size, 0) * d.itemsize)
        if size < count or len(raw) < count * d.itemsize:
            raise pickle.UnpicklingError(f"storage {key} is cut off: {len(raw)} bytes for {count} elements")
        storages[key] = np.frombuffer(bytearray(raw), np.uint8).view(d.np)

    def storage(pid: Any) -> Any:
        if _is_class(pid):
            return pid[1]
        _, _, key, location, _, *views = _check_pid(pid)
        flat = storages[key]
        if views and views[0] is not None:  # a part of a storage
            _, offset, size = views[0]
            flat = flat[offset : offset + size]
        return _Storage(flat, location)

    file.seek(start)
    return unpickler(file, trusted, _Reader(place).known, storage).load()


def _is_class(pid: Any) -> bool:
    """Whether it stands for a module's class; its source text comes with it, and nobody needs that."""
    return isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module"


def _storages_of(file: io.BytesIO) -> dict[str, tuple[Any, int]]:
    """Dtype and size of each storage that the pickle refers to; reads to its end and makes nothing."""
    found: dict[str, tuple[Any, int]] = {}

    class Anything:
        """Stands for every object."""

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return object.__new__(cls)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()

        def _ignore(self, *args: Any) -> None:
            return None

        __setstate__ = append = extend = add = update = __setitem__ = _ignore

    class Looking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return STORAGES[name] if module in ("torch", "torch.storage") and name in STORAGES else Anything

        def persistent_load(self, pid: Any) -> Any:
            if _is_class(pid):
                return pid[1]
            _, d, key, _, count = _check_pid(pid)[:5]
            found[key] = d, count
            return Anything()

    Looking(file).load()
    return found
