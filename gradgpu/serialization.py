"""Saving and loading tensors and plain structures: no code runs on load.

`save` writes one safetensors file (Hugging Face's format: a JSON header and raw bytes): the tensors under readable
names, the structure around them (dicts, lists, numbers, strings) as JSON in the header's metadata. So
a saved state dict is also a plain safetensors file for every other program. `load` reads those, safetensors
files of others, numpy's `.npz`, and PyTorch's `.pt` restricted to tensors and plain containers.
"""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import tempfile
import zipfile
from typing import Any

import numpy as np

from . import dtypes as dt
from .devices import device as Device
from .ops.creation import array_on
from .tensor import Size, Tensor, wrap

_KEY = "gradgpu"  # of the metadata entry that holds the structure
_NAMES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "int16": "I16", "int32": "I32",
          "int64": "I64", "uint8": "U8", "bool": "BOOL"}  # fmt: skip
_DTYPES = {short: getattr(dt, name) for name, short in _NAMES.items()}


def _safetensors() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            "saving and loading need the package safetensors: pip install gradgpu[io]"
        ) from None
    return safetensors


# ---- structure ----
class _Encoder:
    """Plain structures as JSON, with tensors by name beside it."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.names: dict[int, str] = {}  # id of a tensor -> its name: shared tensors are stored once
        self.alive: list[Any] = []

    def encode(self, x: Any, path: str) -> Any:
        if x is None or isinstance(x, (bool, str)) or type(x) in (int, float):
            return x
        if isinstance(x, Tensor):
            kind = type(x).__name__ if type(x).__name__ in ("Parameter", "Buffer") else "tensor"
            entry = {"name": self._store(x, np.asarray(x.detach()._host()), path), "device": str(x.device)}
            return {kind: entry, "requires_grad": True} if x.requires_grad else {kind: entry}
        if isinstance(x, np.ndarray):
            return {"ndarray": self._store(x, x, path)}
        if isinstance(x, np.generic):
            return x.item()
        if isinstance(x, Size):
            return {"Size": list(x)}
        if isinstance(x, dict):
            kind = "OrderedDict" if isinstance(x, collections.OrderedDict) else "dict"
            pairs = []
            for key, value in x.items():
                if key is not None and not isinstance(key, (str, int, float, bool)):
                    raise TypeError(
                        f"save: keys of dicts must be strings or numbers, {path or 'the object'} has {key!r}"
                    )
                pairs.append([key, self.encode(value, f"{path}.{key}" if path else str(key))])
            return {kind: pairs}
        if isinstance(x, (list, tuple, set)):
            items = [self.encode(value, f"{path}.{i}" if path else str(i)) for i, value in enumerate(x)]
            return items if type(x) is list else {"set" if isinstance(x, set) else "tuple": items}
        if isinstance(x, dt.dtype):
            return {"dtype": x.name}
        if isinstance(x, Device):
            return {"device": str(x)}
        raise TypeError(
            f"save: cannot store {path or 'the object'}, a {type(x).__module__}.{type(x).__name__}; tensors, arrays, dicts, lists, tuples, "
            "numbers and strings can be stored: save module.state_dict(), not the module"
        )

    def _store(self, key: Any, array: np.ndarray, path: str) -> str:
        name = self.names.get(id(key))
        if name is None:
            name = base = path or "tensor"
            number = 1
            while name in self.arrays:
                number += 1
                name = f"{base}#{number}"
            self.names[id(key)] = name
            self.arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
            self.alive.append(key)
        return name


class _Decoder:
    def __init__(self, arrays: dict[str, np.ndarray], place: Any):
        self.arrays, self.place = arrays, place
        self.made: dict[str, Any] = {}

    def decode(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self.decode(v) for v in x]
        if not isinstance(x, dict):
            return x
        kind = next(iter(x), "")
        value: Any = x.get(kind)
        if kind in ("tensor", "Parameter", "Buffer"):
            return self._tensor(kind, value, bool(x.get("requires_grad")))
        if kind == "ndarray":
            return self._array(value)
        if kind in ("dict", "OrderedDict"):
            pairs = [(k, self.decode(v)) for k, v in value]
            return collections.OrderedDict(pairs) if kind == "OrderedDict" else dict(pairs)
        if kind == "tuple":
            return tuple(self.decode(v) for v in value)
        if kind == "set":
            return {self.decode(v) for v in value}
        if kind == "Size":
            return Size(value)
        if kind == "dtype" and value in _NAMES:
            return getattr(dt, value)
        if kind == "device":
            return Device(value)
        raise ValueError(f"unknown entry {kind!r}")

    def _array(self, name: Any) -> np.ndarray:
        if name not in self.arrays:
            raise ValueError(f"it names the tensor {name!r}, which the file does not have")
        return self.arrays[name]

    def _tensor(self, kind: str, entry: Any, requires_grad: bool) -> Tensor:
        name = entry["name"]
        if name not in self.made:
            t = placed(self._array(name), entry.get("device", "cpu"), self.place)
            if kind != "tensor":
                from . import nn

                t = nn.Parameter(t, requires_grad) if kind == "Parameter" else nn.Buffer(t)
            elif requires_grad:
                t.requires_grad = True
            self.made[name] = t
        return self.made[name]


def placed(array: np.ndarray, saved_on: str, place: Any) -> Tensor:
    """A tensor on the device that `map_location` gives for one saved on `saved_on`."""
    where: Any = saved_on
    if callable(place):
        moved = place(wrap(array), saved_on)
        return wrap(array) if moved is None else moved
    if isinstance(place, dict):
        where = place.get(saved_on, saved_on)
    elif place is not None:
        where = place
    where = Device(where)
    if where.type == "cuda":
        from .cuda import is_available

        if not is_available():
            raise RuntimeError(
                f"load: a tensor was saved on {saved_on!r}, and there is no CUDA device here; use map_location='cpu'"
            )
    return wrap(array_on(array, where))


# ---- writing ----
def save(obj: Any, f: Any, **ignored: Any) -> None:
    """Writes tensors, or dicts, lists and tuples of tensors, arrays, numbers and strings, to `f`.

    Args:
        obj: for example `module.state_dict()`, or {'model': …, 'optimizer': …, 'epoch': 3}.
        f: a path (written to a temporary file beside it first, so that a crash leaves the old file) or a binary file.

    Raises:
        TypeError: something that is neither a tensor nor plain. ImportError: safetensors is not installed.

    >>> import gradgpu as gg, io
    >>> buffer = io.BytesIO()
    >>> gg.save({"w": gg.ones(2), "epoch": 3}, buffer)
    >>> _ = buffer.seek(0)
    >>> gg.load(buffer)
    {'w': tensor([1., 1.]), 'epoch': 3}
    """
    unknown = set(ignored) - {"pickle_module", "pickle_protocol", "_use_new_zipfile_serialization"}
    if unknown:
        raise TypeError(f"save() got unexpected keyword arguments {sorted(unknown)}")
    encoder = _Encoder()
    structure = encoder.encode(obj, "")
    _safetensors()
    from safetensors.numpy import save as serialize

    _write(f, serialize(encoder.arrays, {_KEY: json.dumps(structure)}))


def _write(f: Any, data: bytes) -> None:
    if hasattr(f, "write"):
        f.write(data)
        return
    path = os.fspath(f)
    handle, temporary = tempfile.mkstemp(
        dir=os.path.dirname(os.path.abspath(path)), prefix=os.path.basename(path) + "."
    )
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes the file private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ---- reading ----
def load(f: Any, map_location: Any = None, *, weights_only: bool = True, **ignored: Any) -> Any:
    """Reads what `save` wrote; also safetensors files of other programs, `.npz`, and PyTorch's `.pt` / `.pth`.

    Args:
        f: a path or a binary file.
        map_location: the device to load to: a device, a dict {saved: wanted}, or a function (tensor, saved) → tensor.
            By default each tensor goes to the device it was saved on.
        weights_only: must be True: only tensors and plain containers are read, code is never executed.

    Raises:
        RuntimeError: the file is damaged, of an unknown format, or holds more than tensors and plain containers.
    """
    if not weights_only:
        raise ValueError(
            "load: weights_only=False would run code from the file; only tensors and plain containers can be loaded"
        )
    unknown = set(ignored) - {"mmap", "pickle_module", "encoding"}
    if unknown:
        raise TypeError(f"load() got unexpected keyword arguments {sorted(unknown)}")
    if hasattr(f, "read"):
        name, data = getattr(f, "name", "the file"), f.read()
    else:
        name = os.fspath(f)
        with open(name, "rb") as opened:
            data = opened.read()
    try:
        if data[:4] == b"PK\x03\x04":
            return _load_zip(data, map_location)
        return _load_safetensors(data, map_location)
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        IndexError,
        AttributeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise RuntimeError(f"load: {name} cannot be read: {error}") from error


def _load_safetensors(data: bytes, place: Any) -> Any:
    safetensors = _safetensors()
    if len(data) < 8 or int.from_bytes(data[:8], "little") > len(data) - 8:
        raise ValueError("it is neither a safetensors nor a zip file, or it is cut off")
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    arrays = {}
    for name, entry in found:
        d = _DTYPES.get(entry["dtype"])
        if d is None:
            raise ValueError(
                f"the tensor {name!r} has dtype {entry['dtype']}; supported are {sorted(_DTYPES)}"
            )
        arrays[name] = np.frombuffer(bytearray(entry["data"]), d.np).reshape(entry["shape"])
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    structure = header.get("__metadata__", {}).get(_KEY)
    if structure is None:
        return {name: placed(a, "cpu", place) for name, a in arrays.items()}
    return _Decoder(arrays, place).decode(json.loads(structure))


def _load_zip(data: bytes, place: Any) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        pickled = next((n for n in names if n == "data.pkl" or n.endswith("/data.pkl")), None)
        if pickled is not None:
            return _TorchUnpickler(archive, pickled, place).load()
    if all(n.endswith(".npy") for n in names):
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: placed(arrays[name], "cpu", place) for name in arrays.files}
    raise ValueError("the zip file holds neither PyTorch's data.pkl nor numpy arrays")


_STORAGES = {
    "FloatStorage": dt.float32, "DoubleStorage": dt.float64, "HalfStorage": dt.float16, "BFloat16Storage": dt.bfloat16,
    "LongStorage": dt.int64, "IntStorage": dt.int32, "ShortStorage": dt.int16, "CharStorage": dt.int8, "ByteStorage": dt.uint8,
    "BoolStorage": dt.bool,
}  # fmt: skip


class _TorchUnpickler(pickle.Unpickler):
    """Reads the pickle inside a PyTorch zip file; knows tensors and plain containers and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, name: str, place: Any):
        super().__init__(io.BytesIO(archive.read(name)))
        self.archive, self.folder, self.place = archive, name[: -len("data.pkl")], place
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch", "Size"):
            return Size
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and name in _NAMES:
            return getattr(dt, name)
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return self._tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return self._parameter
        raise pickle.UnpicklingError(
            f"it refers to {module}.{name}; only tensors and plain containers are loaded. Save a state_dict() instead"
        )

    def persistent_load(self, pid: Any) -> Any:
        kind, d, key, location, count = pid
        if kind != "storage" or not isinstance(d, dt.dtype):
            raise pickle.UnpicklingError(f"it holds a persistent object of kind {kind!r}")
        if key not in self.storages:
            raw = self.archive.read(f"{self.folder}data/{key}")
            if len(raw) < count * d.itemsize:
                raise pickle.UnpicklingError(
                    f"storage {key} is cut off: {len(raw)} bytes instead of {count * d.itemsize}"
                )
            self.storages[key] = np.frombuffer(bytearray(raw), d.np)
        return self.storages[key], location

    def _tensor(
        self, storage: Any, offset: int, shape: tuple, strides: tuple, requires_grad: bool = False, *rest: Any
    ) -> Tensor:
        flat, location = storage
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides)) if all(shape) else offset
        if (
            offset < 0
            or any(s < 0 for s in strides)
            or any(n < 0 for n in shape)
            or last >= max(flat.size, 1)
            and all(shape)
        ):
            raise pickle.UnpicklingError(
                f"a tensor of shape {tuple(shape)} lies outside its storage of {flat.size} elements"
            )
        view = np.lib.stride_tricks.as_strided(flat[offset:], shape, [s * flat.itemsize for s in strides])
        t = placed(np.ascontiguousarray(view).reshape(shape), location, self.place)
        t.requires_grad = bool(requires_grad)
        return t

    def _parameter(self, data: Tensor, requires_grad: bool, hooks: Any) -> Any:
        from . import nn

        return nn.Parameter(data.detach(), requires_grad)


__all__ = ["load", "save"]
