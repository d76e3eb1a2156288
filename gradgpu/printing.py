"""How a tensor is shown: PyTorch's layout, with device, dtype and grad_fn where they matter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import dtypes as dt

_options = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed: digits after the point, elements before summarising, items at each edge,
    columns a line, and whether to use scientific notation (None: where it is shorter to read)."""
    if profile is not None:
        profiles = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}
        if profile not in profiles:
            raise ValueError(f"set_printoptions: profile must be one of {sorted(profiles)}, got {profile!r}")
        _options.update(zip(("precision", "threshold", "edgeitems", "linewidth"), profiles[profile]))  # type: ignore[arg-type]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({key: value for key, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


class _ComplexFormatter:
    """The real and the imaginary parts each have a format of their own, as in PyTorch."""

    def __init__(self, values: np.ndarray):
        self.real, self.imag = _Formatter(values.real), _Formatter(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value: complex, pad: bool = False) -> str:
        real, imag = self.real(value.real), self.imag(value.imag)
        if pad:
            real, imag = real.rjust(self.real.width), imag.rjust(self.imag.width)
        imag = imag.lstrip() + "j"
        return real + (imag if imag[0] in "+-" else "+" + imag)


class _Formatter:
    """Chooses one format for all shown numbers, as PyTorch does."""

    def __init__(self, values: np.ndarray):
        precision: Any = _options["precision"]
        self.width = 1
        self.spec = None
        flat = values.reshape(-1)
        if values.dtype.kind != "f":
            self.texts = str
            self.width = max([len(str(v)) for v in flat.tolist()], default=1)
            return
        numbers = [float(v) for v in flat if math.isfinite(v) and v != 0]
        whole = all(v == math.ceil(v) for v in numbers)
        largest, smallest = max(map(abs, numbers), default=0.0), min(map(abs, numbers), default=0.0)
        wide = bool(numbers) and (largest / smallest > 1000.0 or largest > 1e8 or smallest < 1e-4)
        if whole and bool(numbers):
            wide = largest / smallest > 1000.0 or largest > 1e8
        scientific = bool(numbers) and (wide if _options["sci_mode"] is None else _options["sci_mode"])
        if scientific:
            self.spec = f".{precision}e"
        elif whole:
            self.spec = ".0f."
        else:
            self.spec = f".{precision}f"
        self.width = max(
            [len(self(v)) for v in numbers], default=1
        )  # as PyTorch: nan, inf and 0 may be wider

    def __call__(self, value: Any) -> str:
        if self.spec is None:
            return str(value)
        if self.spec == ".0f.":
            return f"{value:.0f}." if math.isfinite(value) else f"{value}"
        return f"{value:{self.spec}}" if math.isfinite(value) else f"{value}"


def _summary(values: np.ndarray, edge: int) -> np.ndarray:
    """The corner items only, for choosing a format."""
    for axis in range(values.ndim):
        if values.shape[axis] > 2 * edge:
            keep = [*range(edge), *range(values.shape[axis] - edge, values.shape[axis])]
            values = np.take(values, keep, axis=axis)
    return values


def _padded(form: Any) -> Any:
    """Texts of one width; in complex numbers each part has its own."""
    if isinstance(form, _ComplexFormatter):
        return lambda v: form(v, pad=True)
    return lambda v: form(v).rjust(form.width)


def _text(values: np.ndarray, indent: int, form: Any, summarise: bool) -> str:
    edge: Any = _options["edgeitems"]
    if values.ndim == 0:
        return form(values.item())
    show = _padded(form)
    count = values.shape[0]
    cut = summarise and count > 2 * edge
    if values.ndim == 1:
        shown = [show(v) for v in (values[:edge].tolist() if cut else values.tolist())]
        if cut:
            shown += [" ..."] + [show(v) for v in values[-edge:].tolist()]
        per_line = max(1, (_options["linewidth"] - indent) // (form.width + 2))  # type: ignore[operator]
        lines = [", ".join(shown[i : i + per_line]) for i in range(0, len(shown), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = range(count) if not cut else [*range(edge), None, *range(count - edge, count)]
    parts = ["..." if r is None else _text(values[r], indent + 1, form, summarise) for r in rows]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def tensor_text(t: Any) -> str:
    """The text of `repr(tensor)`."""
    name = "Parameter containing:\ntensor" if type(t).__name__ == "Parameter" else "tensor"
    if t.is_meta:
        other = "" if t.dtype is dt.get_default_dtype() else f", dtype={t.dtype}"
        recorded = ", requires_grad=True" if t.requires_grad else ""
        return f"{name}(..., device='meta', size={tuple(t.shape)}{other}{recorded})"
    values = np.asarray(t._host())
    if values.dtype.kind == "V" or values.dtype == np.float16:
        values = values.astype(np.float32)
    tail = []
    if t.is_cuda:
        tail.append(f"device='{t.device}'")
    if values.size == 0 and values.ndim != 1:
        tail.append(f"size={tuple(t.shape)}")
    plain = {dt.get_default_dtype(), dt.get_default_dtype().to_complex(), dt.int64, dt.bool}
    if t.dtype not in plain or values.size == 0 and t.dtype is not dt.get_default_dtype():
        tail.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        tail.append(f"grad_fn=<{t.grad_fn.name()}>")
    elif t.requires_grad:
        tail.append("requires_grad=True")
    if values.size == 0:
        body = "[]"
    else:
        summarise = values.size > _options["threshold"]  # type: ignore[operator]
        kind = _ComplexFormatter if t.dtype.is_complex else _Formatter
        form = kind(_summary(values, _options["edgeitems"]) if summarise else values)  # type: ignore[arg-type]
        body = _text(values, len("tensor("), form, summarise)
    text = f"{name}({body}"
    last = len(text) - text.rfind("\n") + 1
    for piece in tail:
        if last + len(piece) + 2 > _options["linewidth"]:  # type: ignore[operator]
            text += ",\n       " + piece
            last = 7 + len(piece)
        else:
            text += ", " + piece
            last += len(piece) + 2
    return text + ")"
