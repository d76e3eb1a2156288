"""From `kernels/*.cu` to modules: headers are inlined, macros written in front, one module per set of dtypes."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from typing import Any

from .. import dtypes as dt
from ..locks import new_lock
from .backend import backend

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# A checkout has kernels/ beside the package, a wheel inside it.
_PLACES = [os.path.join(os.path.dirname(_PACKAGE), "kernels"), os.path.join(_PACKAGE, "kernels")]
KERNELS_DIR = next((p for p in _PLACES if os.path.exists(os.path.join(p, "common.cuh"))), _PLACES[1])

_INCLUDE = re.compile(r'^[ \t]*#include[ \t]+"([^"]+)"[^\n]*$', re.MULTILINE)


@functools.cache
def inlined(file: str) -> str:
    """The text of a kernel file with its own headers in place.

    CuPy's disk cache does not look into headers found through -I, so a changed header would
    leave a stale kernel; and one text needs no include path.
    """
    return _inline(file, set())


def _inline(file: str, seen: set[str]) -> str:
    path = os.path.join(KERNELS_DIR, file)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no kernel file {file!r} in {KERNELS_DIR}")
    return with_headers(_text(path), [KERNELS_DIR], seen)


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as opened:
        return opened.read().replace("#pragma once\n", "")


def with_headers(text: str, folders: Sequence[str], seen: set[str]) -> str:
    """`text` with each header that it includes in quotes and that lies in one of the folders in place, once.

    Other headers are left to the compiler. `seen`: names that are in place already.
    """

    def replace(match: re.Match) -> str:
        header = match[1]
        if header in seen:
            return ""
        path = next((p for p in (os.path.join(f, header) for f in folders) if os.path.isfile(p)), None)
        if path is None:
            return match[0]
        seen.add(header)
        return with_headers(_text(path), [os.path.dirname(path), *folders], seen)

    return _INCLUDE.sub(replace, text)


def dtype_macros(**types: dt.dtype) -> dict[str, str]:
    """`T=float32` gives the macros T and T_NAME, and GG_USE_F16, GG_USE_BF16 and GG_USE_COMPLEX where
    headers are needed."""
    macros: dict[str, str] = {}
    for name, d in types.items():
        macros[name] = d.cname
        macros[f"{name}_NAME"] = d.suffix
        if d is dt.float16:
            macros["GG_USE_F16"] = "1"
        elif d is dt.bfloat16:
            macros["GG_USE_BF16"] = "1"
        elif d.is_complex:
            macros["GG_USE_COMPLEX"] = "1"
    return macros


def source(file: str, macros: dict[str, str], before: str = "") -> str:
    """The whole text handed to the compiler."""
    if "GG_USE_COMPLEX" in macros:
        before = f"{inlined('complex.cuh')}\n{before}"
    lines = "".join(f"#define {name} {value}\n" for name, value in macros.items())
    return f"{lines}{before}\n{inlined(file)}"


_modules: dict[tuple, Any] = {}
_lock = new_lock()


def module(text: str, name: str, options: tuple[str, ...] = ()) -> Any:
    """The compiled module of a text on the current device; `name` is for messages."""
    b = backend()
    key = (b.get_device(), text, options)
    found = _modules.get(key)
    if found is None:
        with _lock:
            found = _modules.get(key)
            if found is None:
                found = _modules[key] = b.compile(text, name, options)
    return found
