"""Writing PyTorch's zip format, without PyTorch: what `torch.load` reads back as its own tensors."""

from __future__ import annotations

import collections
import io
import pickle
import sys
import zipfile
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .. import dtypes as dt
from ..devices import device as Device
from ..layouts import layout
from ..tensor import Size, Tensor
from .safetensors_file import NAMES
from .structure import NotPlain
from .torch_file import STORAGES

__all__ = ["write"]

_STORAGE_OF = {d: name for name, d in reversed(STORAGES.items())}
# What PyTorch's reader of weights takes, besides tensors.
_PLAIN = (
    dict,
    collections.OrderedDict,
    collections.Counter,
    list,
    tuple,
    set,
    str,
    int,
    float,
    bool,
    complex,
    type(None),
)


class _Global:
    """A class or function of PyTorch, by name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> Any:
        """Pickling wants functions to be callable; this one is called by PyTorch."""
        raise TypeError(f"{self.module}.{self.name} is PyTorch's")


class _Storage:
    """The memory of a tensor, which the pickle only names."""

    def __init__(self, key: str, d: dt.dtype, location: str, size: int) -> None:
        self.pid = ("storage", _GLOBALS[_STORAGE_OF[d]], key, location, size)


_GLOBALS = {name: _Global("torch", name) for name in STORAGES}
_TENSOR, _PARAMETER = (
    _Global("torch._utils", "_rebuild_tensor_v2"),
    _Global("torch._utils", "_rebuild_parameter"),
)
_SPARSE, _LAYOUT = (
    _Global("torch._utils", "_rebuild_sparse_tensor"),
    _Global("torch.serialization", "_get_layout"),
)
_SIZE, _DEVICE = _Global("torch", "Size"), _Global("torch", "device")
_DTYPES = {getattr(dt, name): _Global("torch", name) for name in NAMES}


class _Pickler(pickle._Pickler):
    """Written in Python, so that it can name what is not there to be imported."""

    dispatch: ClassVar[dict[type, Callable]] = dict(pickle._Pickler.dispatch)

    def __init__(self, file: Any) -> None:
        super().__init__(file, 2)
        self.raw: dict[str, np.ndarray] = {}
        self.keys: dict[Any, str] = {}
        self.alive: list[Any] = []  # what ids and addresses in keys stand for

    def persistent_id(self, x: Any) -> Any:
        return x.pid if isinstance(x, _Storage) else None

    def save_named(self, x: _Global) -> None:
        self.write(pickle.GLOBAL + f"{x.module}\n{x.name}\n".encode())  # type: ignore[attr-defined]
        self.memoize(x)  # type: ignore[attr-defined]

    dispatch[_Global] = save_named

    def reducer_override(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return self._tensor(x)
        if isinstance(x, Size):
            return _SIZE, (tuple(x),)
        if type(x) is layout:
            return _LAYOUT, (f"torch.{x.name}",)
        if isinstance(x, Device):
            return _DEVICE, ((x.type,) if x.index is None else (x.type, x.index))
        return NotImplemented

    def _tensor(self, x: Tensor) -> Any:
        from .. import nn

        if x.is_sparse_csr:
            return _SPARSE, (x.layout, (x.crow_indices(), x.col_indices(), x._values(), x.shape))
        if x.is_sparse:
            return _SPARSE, (x.layout, (x._indices(), x._values(), x.shape, x.is_coalesced()))
        if type(x) is nn.Parameter:
            return _PARAMETER, (x.detach(), x.requires_grad, collections.OrderedDict())
        if type(x) not in (Tensor, nn.Buffer):
            raise NotPlain(f"a {type(x).__name__}")
        values = np.ascontiguousarray(x.detach()._host())
        place = (x.data_ptr(), x.dtype, x.numel()) if x.is_contiguous() else id(x)
        if place not in self.keys:
            key = self.keys[place] = str(len(self.keys))
            self.raw[key] = values
            self.alive.append(x)
        strides = tuple(s // values.itemsize for s in values.strides)
        storage = _Storage(self.keys[place], x.dtype, str(x.device), values.size)
        shape = tuple(x.shape)
        return _TENSOR, (
            storage,
            0,
            shape,
            strides if shape else (),
            x.requires_grad,
            collections.OrderedDict(),
        )


def _save_dtype(pickler: Any, x: dt.dtype) -> None:
    pickler.save_named(_DTYPES[x])


_Pickler.dispatch[dt.dtype] = _save_dtype


def _check(x: Any) -> None:
    """Raise NotPlain where PyTorch's reader of weights would refuse what is inside."""
    if isinstance(x, (Tensor, Size, Device, dt.dtype)):
        return
    if type(x) not in _PLAIN:
        raise NotPlain(f"a {type(x).__name__}")
    if isinstance(x, dict):
        for key, value in x.items():
            _check(key)
            _check(value)
    elif isinstance(x, (list, tuple, set)):
        for value in x:
            _check(value)


def write(obj: Any) -> bytes:
    """The bytes of a `.pt` file.

    Raises:
        NotPlain: something that is neither a tensor nor a plain container.
    """
    _check(obj)
    pickled, buffer = io.BytesIO(), io.BytesIO()
    pickler = _Pickler(pickled)
    pickler.dump(obj)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        archive.writestr("archive/byteorder", sys.byteorder)
        for key, values in pickler.raw.items():
            flat = values.reshape(-1).view(np.uint8)
            archive.writestr(f"archive/data/{key}", flat.data if flat.size else b"")
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()
