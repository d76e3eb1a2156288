"""Plain structures of tensors as JSON and arrays, and back."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..devices import device as Device
from ..layouts import strided
from ..ops.creation import array_on
from ..tensor import Size, Tensor, wrap
from .safetensors_file import NAMES

__all__ = ["Decoder", "Encoder", "NotPlain", "placed"]


class NotPlain(TypeError):
    """Something that is neither a tensor nor a plain container."""


class Encoder:
    """Plain structures as JSON, with tensors by name beside it."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.names: dict[int, str] = {}  # id of a tensor -> its name: shared tensors are stored once
        self.alive: list[Any] = []

    def encode(self, x: Any, path: str) -> Any:
        if x is None or isinstance(x, (bool, str)) or type(x) in (int, float):
            return x
        if isinstance(x, Tensor) and x.layout is not strided:
            parts = [
                self.encode(part, f"{path}.{name}")
                for name, part in (("indices", x._indices()), ("values", x._values()))
            ]
            rest = [list(x.shape), x.is_coalesced(), x.layout.name]
            return {"sparse": [*parts, *rest], "requires_grad": x.requires_grad}
        if isinstance(x, Tensor):
            kind = type(x).__name__ if type(x).__name__ in ("Parameter", "Buffer") else "tensor"
            entry: dict[str, Any] = {
                "name": self._store(x, np.asarray(x.detach()._host()), path),
                "device": str(x.device),
            }
            if kind == "Buffer" and not x.persistent:
                entry["persistent"] = False
            return {kind: entry, "requires_grad": True} if x.requires_grad else {kind: entry}
        if isinstance(x, np.ndarray):
            if x.dtype not in dt.FROM_NUMPY:
                raise NotPlain(f"an array of {x.dtype}")
            return {"ndarray": self._store(x, x, path)}
        if isinstance(x, np.generic) and x.dtype in dt.FROM_NUMPY:
            return self.encode(x.item(), path)
        if isinstance(x, Size):
            return {"Size": list(x)}
        if type(x) in _MAPPINGS:
            pairs = []
            for key, value in x.items():
                if key is not None and not isinstance(key, (str, int, float, bool)):
                    raise NotPlain(f"a key {key!r} in {path or 'a dict'}")
                pairs.append([key, self.encode(value, f"{path}.{key}" if path else str(key))])
            return {type(x).__name__: pairs}
        if type(x) is list or type(x) in _SEQUENCES:
            items = [self.encode(value, f"{path}.{i}" if path else str(i)) for i, value in enumerate(x)]
            return items if type(x) is list else {type(x).__name__: items}
        if type(x) is complex:
            return {"complex": [x.real, x.imag]}
        if type(x) is bytes:
            return {"bytes": x.hex()}
        if isinstance(x, dt.dtype):
            return {"dtype": x.name}
        if isinstance(x, Device):
            return {"device": str(x)}
        raise NotPlain(f"{path or 'the object'}, a {type(x).__module__}.{type(x).__qualname__}")

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


_MAPPINGS = {
    dict: dict,
    collections.OrderedDict: collections.OrderedDict,
    collections.Counter: collections.Counter,
}
_SEQUENCES = {tuple: tuple, set: set, frozenset: frozenset, collections.deque: collections.deque}
_KINDS: dict[str, Any] = {kind.__name__: make for kind, make in (*_MAPPINGS.items(), *_SEQUENCES.items())}


class Decoder:
    """What an :class:`Encoder` made, as it was."""

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
        if kind == "sparse":
            from ..sparse import sparse_coo_tensor

            indices, values = (self.decode(part) for part in value[:2])
            made = sparse_coo_tensor(
                indices, values, value[2], is_coalesced=value[3], requires_grad=bool(x.get("requires_grad"))
            )
            return made.to_sparse_csr() if value[4] == "sparse_csr" else made
        if kind == "ndarray":
            return self._array(value)
        if kind in ("dict", "OrderedDict", "Counter"):
            return _KINDS[kind]({k: self.decode(v) for k, v in value})
        if kind in _KINDS:
            return _KINDS[kind](self.decode(v) for v in value)
        if kind == "complex":
            return complex(*value)
        if kind == "bytes":
            return bytes.fromhex(value)
        if kind == "Size":
            return Size(value)
        if kind == "dtype" and value in NAMES:
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
                from .. import nn

                t = (
                    nn.Parameter(t, requires_grad)
                    if kind == "Parameter"
                    else nn.Buffer(t, persistent=entry.get("persistent", True))
                )
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
        from ..cuda import is_available

        if not is_available():
            raise RuntimeError(
                f"load: a tensor was saved on {saved_on!r}, and there is no CUDA device here; use map_location='cpu'"
            )
    return wrap(array_on(array, where))
