"""Settings of the whole process, by PyTorch's names: threads, determinism, precision of float32 products."""

from __future__ import annotations

import ctypes
import os
import warnings
from numbers import Integral
from typing import Any

import numpy as np

_threads: int | None = None
_precision = "highest"


def _openblas() -> Any:
    """numpy's OpenBLAS, which holds its own count of threads; None if numpy was built with another BLAS."""
    from pathlib import Path  # a long import for a rare question

    home = Path(np.__file__).parent
    for folder in (home.parent / "numpy.libs", home / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            return ctypes.CDLL(str(path))  # loaded already: this finds it
    return None


def _blas_function(action: str) -> Any:
    library = _openblas()
    for name in (f"scipy_openblas_{action}_num_threads64_", f"openblas_{action}_num_threads64_",
                 f"scipy_openblas_{action}_num_threads", f"openblas_{action}_num_threads"):  # fmt: skip
        found = getattr(library, name, None)
        if found is not None:
            return found
    return None


def get_num_threads() -> int:
    """How many threads matrix products on the CPU may use: OpenBLAS's count, else the number of cores.

    >>> import gradgpu as gg
    >>> gg.get_num_threads() >= 1
    True
    """
    if _threads is not None:
        return _threads
    function = _blas_function("get")
    return int(function()) if function is not None else os.cpu_count() or 1


def set_num_threads(num_threads: int) -> None:
    """Sets how many threads numpy's OpenBLAS uses for matrix products on the CPU. All else there runs in one thread.

    With another BLAS it warns and changes nothing but what `get_num_threads` returns; set ``OMP_NUM_THREADS`` before
    Python starts instead.

    Raises:
        RuntimeError: not a positive int.

    >>> import gradgpu as gg
    >>> before = gg.get_num_threads()
    >>> gg.set_num_threads(1)
    >>> gg.get_num_threads()
    1
    >>> gg.set_num_threads(before)
    """
    global _threads
    if not isinstance(num_threads, Integral) or num_threads < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {num_threads!r}")
    num_threads = int(num_threads)
    function = _blas_function("set")
    if function is None:
        warnings.warn(
            "set_num_threads: numpy's BLAS is not OpenBLAS; set OMP_NUM_THREADS before Python starts",
            stacklevel=2,
        )
    else:
        function(num_threads)
    _threads = num_threads


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted for either `mode`, and changes nothing: every kernel of gradgpu gives the same bits in each run.

    >>> import gradgpu as gg
    >>> gg.use_deterministic_algorithms(True)
    """
    if not isinstance(mode, bool):
        raise TypeError(f"use_deterministic_algorithms expects a bool, got {type(mode).__name__}")


def are_deterministic_algorithms_enabled() -> bool:
    """True, always.

    >>> import gradgpu as gg
    >>> gg.are_deterministic_algorithms_enabled()
    True
    """
    return True


def set_float32_matmul_precision(precision: str) -> None:
    """Notes how precise products of float32 matrices must be: 'highest', 'high' or 'medium'.

    All three are lower bounds, and gradgpu computes in full float32 precision under each.

    Raises:
        RuntimeError: another word.

    >>> import gradgpu as gg
    >>> gg.set_float32_matmul_precision("high")
    >>> gg.get_float32_matmul_precision()
    'high'
    >>> gg.set_float32_matmul_precision("highest")
    """
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"set_float32_matmul_precision: expected 'highest', 'high' or 'medium', got {precision!r}"
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given last; 'highest' at first."""
    return _precision


def set_default_tensor_type(t: Any) -> None:
    """PyTorch's old setting: `FloatTensor` or 'torch.DoubleTensor' sets the default dtype, `cuda.FloatTensor` the device too.

    Raises:
        TypeError: not a floating-point tensor type.

    >>> import gradgpu as gg
    >>> gg.set_default_tensor_type(gg.FloatTensor)
    """
    from .devices import set_default_device
    from .dtypes import set_default_dtype
    from .ops.legacy import TYPES, TensorType

    kind = TYPES.get(t.removeprefix("gradgpu.").removeprefix("torch.")) if isinstance(t, str) else t
    if not isinstance(kind, TensorType) or not kind.dtype.is_floating_point:
        raise TypeError(f"set_default_tensor_type: only floating-point types are supported, got {t!r}")
    set_default_dtype(kind.dtype)
    set_default_device(kind.device)


def compile(model: Any = None, **options: Any) -> Any:
    """`model` as it is, with a warning: gradgpu has no compiler, each operation runs its kernel at once.

    What PyTorch's `compile(model, backend="eager", mode=None)` gives. Also a decorator, with or without options.

    >>> import warnings, gradgpu as gg
    >>> net = gg.nn.Linear(1, 1)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     print(gg.compile(net) is net)
    True
    """
    unknown = set(options) - {"fullgraph", "dynamic", "backend", "mode", "options", "disable", "name"}
    if unknown:
        raise TypeError(f"compile: got unexpected keyword arguments {sorted(unknown)}")
    if model is None:
        return lambda function: compile(function, **options)
    warnings.warn("compile: gradgpu has no compiler; what you gave runs as it is", stacklevel=2)
    return model


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False: there is nothing to warn of, every operation is deterministic."""
    return False


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Accepted ('default', 'warn', 'error' or 0, 1, 2), and changes nothing: every operation is deterministic.

    Raises:
        RuntimeError: another mode.
    """
    if debug_mode not in ("default", "warn", "error", 0, 1, 2):
        raise RuntimeError(
            f"invalid value of debug_mode, expected 'default', 'warn', 'error', 0, 1 or 2, got {debug_mode!r}"
        )


def get_deterministic_debug_mode() -> int:
    """2, 'error': operations that are not deterministic would raise; there are none."""
    return 2


def get_num_interop_threads() -> int:
    """1: operations run one after another."""
    return 1


def set_num_interop_threads(num_threads: int) -> None:
    """Accepted, and changes nothing: operations run one after another.

    Raises:
        RuntimeError: not a positive int.
    """
    if not isinstance(num_threads, Integral) or num_threads < 1:
        raise RuntimeError(f"set_num_interop_threads expects a positive integer, got {num_threads!r}")


def set_flush_denormal(mode: bool) -> bool:
    """False, which says that nothing was set: numpy leaves the processor's treatment of denormal numbers as it is.

    >>> import gradgpu as gg
    >>> gg.set_flush_denormal(True)
    False
    """
    return False


__all__ = [
    "are_deterministic_algorithms_enabled", "compile", "get_deterministic_debug_mode", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_deterministic_algorithms_warn_only_enabled", "set_default_tensor_type",
    "set_deterministic_debug_mode", "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads",
    "set_num_threads", "use_deterministic_algorithms",
]  # fmt: skip
