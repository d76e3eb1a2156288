"""Saving and loading tensors, plain structures and, where the caller trusts the file, whole objects.

`save` writes one safetensors file (Hugging Face's format: a JSON header and raw bytes): the tensors under readable
names, the structure around them (dicts, lists, numbers, strings) as JSON in the header's metadata. So
a saved state dict is also a plain safetensors file for every other program. What is more than that, such as a whole
module, becomes a pickle with its tensors beside it. `load` reads both, safetensors files of others, numpy's `.npz`, and
PyTorch's `.pt`; it runs no code from a file unless `weights_only=False` says that the file is trusted.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ..tensor import Tensor
from . import safetensors_file, torch_file
from .structure import Decoder, Encoder, NotPlain, placed
from .unpickle import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals, unpickler

# names of annotations in scripts
MAP_LOCATION = Any
FILE_LIKE = Any

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "default_restore_location",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

_KEY = "gradgpu"  # of the metadata entry that holds the structure
_OBJECT, _TENSORS = "gradgpu/object.pkl", "gradgpu/tensors"  # what the zip file of a whole object holds


# ---- writing ----
def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = pickle.DEFAULT_PROTOCOL,
    **ignored: Any,
) -> None:
    """Writes tensors, structures of them, or whole objects to `f`.

    Dicts, lists, tuples and sets of tensors, arrays, numbers and strings become a safetensors file, which :func:`load`
    reads without running anything. Other objects (a module, a namedtuple, a class of one's own) are pickled, and are
    loaded with ``weights_only=False``: save ``module.state_dict()`` where you can.

    Args:
        obj: for example `module.state_dict()`, or {'model': …, 'optimizer': …, 'epoch': 3}.
        f: a path (written to a temporary file beside it first, so that a crash leaves the old file) or a binary file.
            A path that ends in ``.npz`` gets numpy's format; `obj` must then be a dict of tensors and arrays. One that ends
            in ``.pt`` or ``.pth`` gets PyTorch's, which `torch.load` reads too, if `obj` is tensors and plain containers.
        pickle_module: must be `pickle`, if given. pickle_protocol: of whole objects.

    Raises:
        TypeError: for `.npz`, something that is no dict of tensors. Whole objects raise what `pickle` raises.

    >>> import gradgpu as gg, io
    >>> buffer = io.BytesIO()
    >>> gg.save({"w": gg.ones(2), "epoch": 3}, buffer)
    >>> _ = buffer.seek(0)
    >>> gg.load(buffer)
    {'w': tensor([1., 1.]), 'epoch': 3}
    """
    unknown = set(ignored) - {"_use_new_zipfile_serialization", "_disable_byteorder_record"}
    if unknown:
        raise TypeError(f"save() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    if pickle_module not in (None, pickle):
        raise ValueError(f"save: only the standard pickle can be used, not {pickle_module!r}")
    suffix = "" if hasattr(f, "write") else os.path.splitext(os.fspath(f))[1]
    if suffix == ".npz":
        _write(f, _npz(obj))
        return
    if suffix in (".pt", ".pth"):
        from .torch_writer import write

        with suppress(NotPlain, RecursionError):
            _write(f, write(obj))
            return
    encoder = Encoder()
    try:
        structure = json.dumps(encoder.encode(obj, ""))
    except (NotPlain, RecursionError):
        _write(f, _whole_object(obj, pickle_protocol))
        return
    _write(f, safetensors_file.write(encoder.arrays, {_KEY: structure}))


def _npz(obj: Any) -> bytes:
    if not isinstance(obj, Mapping) or not all(isinstance(v, (Tensor, np.ndarray)) for v in obj.values()):
        raise TypeError(
            "save: a .npz file holds a dict of tensors and arrays; give another name for other structures"
        )
    arrays = {k: np.asarray(v.detach()._host() if isinstance(v, Tensor) else v) for k, v in obj.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise TypeError(
                f"save: a .npz file cannot hold {name}, of {array.dtype}; use another format or .float()"
            )
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    """Puts the tensors of an object beside its pickle."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.encoder = Encoder()

    def persistent_id(self, x: Any) -> Any:
        if isinstance(x, Tensor) and type(x).__name__ in ("Tensor", "Parameter", "Buffer"):
            return json.dumps(self.encoder.encode(x, ""))
        return None


def _whole_object(obj: Any, protocol: int) -> bytes:
    pickled, buffer = io.BytesIO(), io.BytesIO()
    pickler = _Pickler(pickled, protocol)
    pickler.dump(obj)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_OBJECT, pickled.getvalue())
        archive.writestr(_TENSORS, safetensors_file.write(pickler.encoder.arrays, {}))
    return buffer.getvalue()


def _write(f: Any, data: bytes) -> None:
    if hasattr(f, "write"):
        f.write(data)
        return
    path = os.path.realpath(os.fspath(f))  # a link stays a link
    if not os.path.isdir(os.path.dirname(path)):
        folder = os.path.dirname(os.fsdecode(f)) or os.path.dirname(path)
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    mode = os.stat(path).st_mode if os.path.exists(path) else None
    if mode is not None and not stat.S_ISREG(mode):  # a pipe or a device has no other name
        with open(path, "wb") as out:
            out.write(data)
        return
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=os.path.basename(path) + ".")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if mode is None:
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        os.chmod(temporary, stat.S_IMODE(mode))  # mkstemp makes the file private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ---- reading ----
def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = True,
    **ignored: Any,
) -> Any:
    """Reads what `save` wrote; also safetensors files of other programs, `.npz`, and PyTorch's `.pt` / `.pth`.

    Args:
        f: a path or a binary file.
        map_location: the device to load to: a device, a dict {saved: wanted}, or a function (tensor, saved) → tensor.
            By default each tensor goes to the device it was saved on.
        pickle_module: must be `pickle`, if given.
        weights_only: True reads tensors and plain containers (and classes declared with
            :func:`~gradgpu.serialization.add_safe_globals`) and never runs code from the file. **False reads whole
            objects, and a file can then run any code: only for files that you trust.** In PyTorch's files the classes of
            ``torch`` become gradgpu's.

    Raises:
        RuntimeError: the file is damaged or of an unknown format, or holds more than `weights_only` allows.
    """
    unknown = set(ignored) - {"mmap", "encoding"}
    if unknown:
        raise TypeError(f"load() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    if pickle_module not in (None, pickle):
        raise ValueError(f"load: only the standard pickle can be used, not {pickle_module!r}")
    if hasattr(f, "read"):
        name, data = getattr(f, "name", "the file"), f.read()
        if isinstance(data, str):
            raise TypeError(f"load: {name} is opened as text; open it with 'rb'")
    else:
        name = os.fspath(f)
        with open(name, "rb") as opened:
            data = opened.read()
    trusted = weights_only is not None and not weights_only
    try:
        if data[:4] == b"PK\x03\x04":
            return _load_zip(data, map_location, trusted)
        if torch_file.is_legacy(data):
            return torch_file.load_legacy(data, map_location, trusted)
        return _load_safetensors(data, map_location)
    except _DAMAGE as error:
        raise RuntimeError(f"load: {name} cannot be read: {error or type(error).__name__}") from error


# What readers raise where a file is not what it says.
_DAMAGE = (
    ValueError, LookupError, TypeError, EOFError, AttributeError, AssertionError, MemoryError, OverflowError, RecursionError,
    NotImplementedError, struct.error, zlib.error, pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip


def _load_safetensors(data: bytes, place: Any) -> Any:
    arrays, metadata = safetensors_file.read(data)
    structure = metadata.get(_KEY)
    if structure is None:
        return {name: placed(a, "cpu", place) for name, a in arrays.items()}
    return Decoder(arrays, place).decode(json.loads(structure))


def _load_zip(data: bytes, place: Any, trusted: bool) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if _OBJECT in names:
            return _load_object(archive, place, trusted)
        pickled = next((n for n in names if n == "data.pkl" or n.endswith("/data.pkl")), None)
        if pickled is not None:
            return torch_file.load_zip(archive, pickled, place, trusted)
    if all(n.endswith(".npy") for n in names):
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: placed(arrays[name], "cpu", place) for name in arrays.files}
    raise ValueError("the zip file holds neither PyTorch's data.pkl nor numpy arrays")


def _load_object(archive: zipfile.ZipFile, place: Any, trusted: bool) -> Any:
    decoder = Decoder(safetensors_file.read(archive.read(_TENSORS))[0], place)
    file = io.BytesIO(archive.read(_OBJECT))
    return unpickler(
        file, trusted, lambda module, name: None, lambda pid: decoder.decode(json.loads(pid))
    ).load()


def default_restore_location(storage: Tensor, location: str) -> Tensor:
    """What `load` puts where `location` says, for a `map_location` of one's own: ``lambda s, _: default_restore_location(s, 'cpu')``.

    Raises:
        RuntimeError: there is no such device.

    >>> import gradgpu as gg
    >>> default_restore_location(gg.ones(2), "cpu")
    tensor([1., 1.])
    """
    return storage.to(location)
