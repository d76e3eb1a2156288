"""The safetensors format (Hugging Face): a JSON header that names the tensors, then their bytes.

8 bytes: length of the header; the header {"name": {"dtype", "shape", "data_offsets": [from, to]}, "__metadata__": {…}};
the tensors one after the other, without gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import dtypes as dt

__all__ = ["DTYPES", "read", "write"]

NAMES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "int16": "I16", "int32": "I32",
         "int64": "I64", "uint8": "U8", "bool": "BOOL", "complex64": "C64", "complex128": "C128"}  # fmt: skip
DTYPES = {short: getattr(dt, name) for name, short in NAMES.items()}


def write(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file with these arrays."""
    # The widest elements first: each tensor then begins at a multiple of its element's size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name in order:
        a = arrays[name]
        header[name] = {
            "dtype": NAMES[dt.FROM_NUMPY[a.dtype].name],
            "shape": list(a.shape),
            "data_offsets": [at, at + a.nbytes],
        }
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(arrays[name].tobytes() for name in order)])


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header has a name twice")
    return found


def read(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file and its metadata.

    Raises:
        ValueError: it is no safetensors file, is cut off, or its header lies about the bytes.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or data[8:9] != b"{":
        raise ValueError("it is neither a safetensors nor a zip file, or it is cut off")
    header = json.loads(data[8 : 8 + length], object_pairs_hook=_no_doubles)
    metadata = header.pop("__metadata__", {})
    body = memoryview(data)[8 + length :]
    arrays: dict[str, np.ndarray] = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        d = DTYPES.get(entry["dtype"])
        if d is None:
            raise ValueError(
                f"the tensor {name!r} has dtype {entry['dtype']}; supported are {sorted(DTYPES)}"
            )
        shape, (first, last) = entry["shape"], entry["data_offsets"]
        if not all(type(n) is int and n >= 0 for n in (*shape, first, last)):
            raise ValueError(f"the tensor {name!r} has shape {shape} at {first} to {last}")
        if first != end or last - first != math.prod(shape) * d.itemsize or last > len(body):
            raise ValueError(
                f"the tensor {name!r} of shape {tuple(shape)} cannot be bytes {first} to {last} of {len(body)}, "
                f"where the one before it ends at {end}; the file is damaged or cut off"
            )
        end = last
        arrays[name] = np.frombuffer(bytearray(body[first:last]), d.np).reshape(shape)
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes at its end belong to no tensor")
    return arrays, metadata
