"""For tests: `assert_close`, and its deprecated form `assert_allclose`.

>>> import gradgpu as gg
>>> gg.testing.assert_close(gg.ones(2), gg.tensor([1., 1.]))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes as dt
from .ops.compare import isclose
from .ops.creation import as_tensor
from .tensor import Tensor

# PyTorch's default tolerances (rtol, atol).
_TOLERANCES = {
    dt.float16: (1e-3, 1e-5),
    dt.bfloat16: (1.6e-2, 1e-5),
    dt.float32: (1.3e-6, 1e-5),
    dt.float64: (1e-7, 1e-7),
    dt.complex64: (1.3e-6, 1e-5),
    dt.complex128: (1e-7, 1e-7),
}

# Those of `assert_allclose`.
_WIDER = {dt.float16: (1e-3, 1e-3), dt.float32: (1e-4, 1e-5), dt.float64: (1e-5, 1e-8)}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raises AssertionError unless |actual - expected| ≤ atol + rtol · |expected| everywhere.

    Args:
        actual, expected: tensors, numpy arrays, numbers, or sequences or dicts of those.
        rtol, atol: both or neither; by default PyTorch's for the dtype (float32: 1.3e-6 and 1e-5).
        check_device, check_dtype, check_stride: whether these must agree as well.
        msg: the text of the error, or a function that makes it of the default text.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: rtol and atol must both be specified or both be unspecified")
    problem = _compare(actual, expected, rtol, atol, equal_nan, check_device, check_dtype, check_stride, "")
    if problem:
        raise AssertionError(msg(problem) if callable(msg) else msg or problem)


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """PyTorch's deprecated form of `assert_close`: NaN equals NaN, dtypes may differ, and the tolerances are wider."""
    if not isinstance(actual, Tensor):
        actual = as_tensor(actual)
    if not isinstance(expected, Tensor):
        expected = as_tensor(expected, dtype=actual.dtype, device=actual.device)
    if rtol is None and atol is None:
        wider = [_WIDER.get(t.dtype, (0.0, 0.0)) for t in (actual, expected)]
        rtol, atol = (max(both) for both in zip(*wider))
    assert_close(
        actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None
    )


def _compare(
    a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool, device: bool, dtype: bool, stride: bool, where: str
) -> str:
    """The first difference as text, or an empty string."""
    rest = (rtol, atol, equal_nan, device, dtype, stride)
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"The keys of the mappings do not match{where}: {sorted(map(str, a.keys() ^ b.keys()))} are in one only"
        found = (_compare(a[k], b[k], *rest, f"{where} at key {k!r}") for k in a)
        return next(filter(None, found), "")
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"The length of the sequences mismatch{where}: {len(a)} != {len(b)}"
        found = (_compare(x, y, *rest, f"{where} at index {i}") for i, (x, y) in enumerate(zip(a, b)))
        return next(filter(None, found), "")
    numbers = not isinstance(a, (Tensor, np.ndarray)) and not isinstance(b, (Tensor, np.ndarray))
    x, y = (
        as_tensor(a, dtype=dt.float64) if numbers else as_tensor(a),
        as_tensor(b, dtype=dt.float64) if numbers else as_tensor(b),
    )
    if x.shape != y.shape:
        return f"The values for attribute 'shape' do not match{where}: {tuple(x.shape)} != {tuple(y.shape)}."
    if device and x.device != y.device:
        return f"The values for attribute 'device' do not match{where}: {x.device} != {y.device}."
    if dtype and x.dtype is not y.dtype:
        return f"The values for attribute 'dtype' do not match{where}: {x.dtype} != {y.dtype}."
    if stride and x.stride() != y.stride():
        return f"The values for attribute 'stride()' do not match{where}: {x.stride()} != {y.stride()}."
    common = dt.promote_types(x.dtype, y.dtype)
    default = _TOLERANCES.get(common, (0.0, 0.0))
    r, t = (default[0], default[1]) if rtol is None else (rtol, atol)
    # Compared on the CPU in float64: the tolerances are not to be rounded.
    x64, y64 = (v.detach().cpu().to(dt.complex128 if common.is_complex else dt.float64) for v in (x, y))
    close = isclose(x64, y64, r, t, equal_nan)
    bad = x.numel() - int(close.sum().item())
    if not bad:
        return ""
    difference = np.abs(x64.numpy() - y64.numpy()).reshape(-1)
    worst = int(
        np.nanargmax(
            np.where(close.numpy().reshape(-1), -1.0, np.where(np.isnan(difference), np.inf, difference))
        )
    )
    place = tuple(int(i) for i in np.unravel_index(worst, tuple(x.shape))) if x.ndim else ()
    with np.errstate(all="ignore"):
        relative = float(difference[worst] / abs(y64.numpy().reshape(-1)[worst]))
    return (
        f"{'Tensor-likes' if x.ndim else 'Scalars'} are not close{where}!\n\nMismatched elements: {bad} / {x.numel()} "
        f"({100 * bad / x.numel():.1f}%)\nGreatest absolute difference: {float(difference[worst])} at index {place} "
        f"(up to {t} allowed)\nRelative difference there: {relative} (up to {r} allowed)"
    )


def make_tensor(
    *shape: Any,
    dtype: dt.dtype,
    device: Any = "cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Random values for tests: uniform in [low, high), by default of floating and complex numbers [-9, 9), of integers [-9, 10)
    (uint8: [0, 10)).

    Args:
        noncontiguous: the elements lie in memory with gaps.
        exclude_zero: zeros become the smallest number of the dtype (floating and complex) or 1.

    Raises:
        ValueError: high is not above low.

    >>> import gradgpu as gg
    >>> gg.testing.make_tensor((2, 3), dtype=gg.int64, low=3, high=4)
    tensor([[3, 3, 3],
            [3, 3, 3]])
    """
    from .ops.complex import complex as pair
    from .ops.creation import tensor
    from .ops.pointwise import where
    from .ops.random import rand, randint

    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    if low is not None and high is not None and low >= high:
        raise ValueError(f"make_tensor: `low` must be less than `high`, but got {low} >= {high}")
    whole = (*size[:-1], 2 * size[-1]) if noncontiguous and size else size
    if dtype is dt.bool:
        made = randint(0, 2, whole, device=device).to(dt.bool)
    elif dtype.category < dt.FLOAT:
        start = (0 if dtype is dt.uint8 else -9) if low is None else int(low)
        made = randint(start, 10 if high is None else int(high), whole, device=device, dtype=dtype)
    else:
        first, last = -9.0 if low is None else low, 9.0 if high is None else high
        kind = dtype.to_real() if dtype.is_complex else dtype
        parts = [
            rand(whole, device=device, dtype=kind) * (last - first) + first
            for _ in range(1 + dtype.is_complex)
        ]
        made = pair(*parts) if dtype.is_complex else parts[0]
    if noncontiguous and size:
        made = made[..., ::2]
    if exclude_zero:
        least = dt.finfo(dtype).tiny if dtype.category >= dt.FLOAT else 1
        made = where(made == 0, tensor(least, dtype=dtype, device=device), made)
    return made.detach().requires_grad_(requires_grad)


__all__ = ["assert_allclose", "assert_close", "make_tensor"]
