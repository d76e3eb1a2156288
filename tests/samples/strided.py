"""Samples of views by strides, sliding windows, and copies with a part replaced."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, Bad, In, OpSamples, Sample

KINDS = (*FLOATS, "int64", "bool")


def _as_strided(x: Any, size: Any, stride: Any, offset: int = 0) -> Any:
    x = np.ascontiguousarray(x)
    return np.lib.stride_tricks.as_strided(
        x.reshape(-1)[offset:], size, [s * x.itemsize for s in stride]
    ).copy()


def _windows(x: Any, dim: int, size: int, step: int) -> Any:
    if not np.ndim(x):
        return np.reshape(x, (size,))
    found = np.lib.stride_tricks.sliding_window_view(x, size, dim)
    return np.moveaxis(np.moveaxis(found, dim, 0)[::step], 0, dim)


def _with(part: Any) -> Any:
    def replaced(x: Any, src: Any, *args: Any) -> Any:
        y = np.array(x)
        y[part(*args)] = src
        return y

    return replaced


def _diagonal_scatter(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    y = np.array(x)
    y = np.moveaxis(y, (dim1, dim2), (-2, -1)).copy()
    rows = np.arange(src.shape[-1])
    y[..., rows + max(-offset, 0), rows + max(offset, 0)] = src
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


def _in_place(name: str) -> Any:
    """The method on a tensor with history, twice, and a view of it that was there before."""

    def changed(x: Any, *args: Any) -> Any:
        y = x * 2
        view = y[:1] if y.ndim else y.reshape(())
        getattr(y, name)(*args)
        y.mul_(3)
        return y, view * 1

    return changed


def _in_place_reference(function: Any) -> Any:
    return lambda x, *args: (function(x * 6, *args), (x[:1] if np.ndim(x) else x) * 6)


def _copies(x: Any) -> tuple:
    return (
        gg.as_strided_copy(x, (2,), (2,)), gg.diagonal_copy(x), gg.expand_copy(x, (2, *x.shape)),
        gg.narrow_copy(x, 0, 0, 1), gg.permute_copy(x, (1, 0)), gg.select_copy(x, 0, 1), gg.slice_copy(x, 1, 0, None, 2),
        *gg.split_copy(x, 2, 1), gg.squeeze_copy(x), gg.t_copy(x), gg.transpose_copy(x, 0, 1), *gg.unbind_copy(x),
        gg.unfold_copy(x, 1, 2, 1), gg.unsqueeze_copy(x, 0), gg.view_copy(x, -1),
    )  # fmt: skip


def _copies_reference(x: Any) -> tuple:
    return (
        x.reshape(-1)[[0, 2]], np.diagonal(x), np.broadcast_to(x, (2, *x.shape)), x[:1], x.T, x[1], x[:, ::2],
        x[:, :2], x[:, 2:4], x, x.T, x.T, *x, _windows(x, 1, 2, 1), x[None], x.reshape(-1),
    )  # fmt: skip


OPS = [
    OpSamples(
        "as_strided",
        gg.as_strided,
        samples=[
            Sample(In(6), (3,), (2,)),
            Sample(In(6), (4, 3), (1, 1)),
            Sample(In(3, 4), (2, 2), (4, 2), 1),
            Sample(In(3, 4), (), (), 5),
            Sample(In(2, 3), (5,), (0,), 4),
            Sample(In(), (2,), (0,)),
            Sample(In(4), (0, 2), (1, 1)),
        ],
        reference=_as_strided,
        dtypes=KINDS,
        layouts=False,  # it reads memory, not elements
        errors=[
            Bad(In(4), (3,), (2,), raises=RuntimeError, match="out of bounds"),
            Bad(In(4), (3,), (2, 1), raises=RuntimeError, match="mismatch in length"),
            Bad(In(4), (3,), (-1,), raises=RuntimeError, match="Negative strides"),
        ],
        ops=("as_strided_backward",),
    ),
    OpSamples(
        "unfold",
        gg.Tensor.unfold,
        samples=[
            Sample(In(7), 0, 3, 1),
            Sample(In(7), 0, 2, 3),
            Sample(In(2, 6, 3), 1, 3, 2),
            Sample(In(3, 5), -1, 5, 1),
            Sample(In(3, 5), 0, 1, 2),
            Sample(In(0, 4), 1, 2, 1),
            Sample(In(), 0, 1, 1),
        ],
        reference=_windows,
        dtypes=KINDS,
        errors=[
            Bad(In(3), 0, 4, 1, raises=RuntimeError, match="maximum size"),
            Bad(In(3), 0, 2, 0, raises=RuntimeError, match="must be > 0"),
            Bad(In(3), 1, 2, 1, raises=IndexError, match="out of range"),
        ],
        ops=("windows", "windows_backward"),
    ),
    OpSamples(
        "select_scatter",
        gg.select_scatter,
        samples=[Sample(In(3, 4), In(4), 0, -1), Sample(In(2, 3, 4), In(2, 4), 1, 1), Sample(In(0, 2), In(0), 1, 0)],
        reference=_with(lambda dim, index: (*(slice(None),) * dim, index)),
        dtypes=KINDS,
        errors=[
            Bad(In(3, 4), In(3), 0, 0, raises=RuntimeError, match="size equal to the slice"),
            Bad(In(3, 4), In(4), 0, 3, raises=IndexError, match="out of range"),
        ],
    ),
    OpSamples(
        "slice_scatter",
        gg.slice_scatter,
        samples=[Sample(In(5, 2), In(2, 2), 0, 1, None, 2), Sample(In(2, 4), In(2, 2), 1, -2), Sample(In(0), In(0))],
        reference=_with(
            lambda dim=0, start=None, end=None, step=1: (*(slice(None),) * dim, slice(start, end, step))
        ),
        dtypes=KINDS,
        errors=[
            Bad(In(5), In(3), 0, 1, 2, raises=RuntimeError, match="size equal to the slice"),
            Bad(In(5), In(3), 0, 0, 3, -1, raises=RuntimeError, match="positive"),
        ],
    ),
    OpSamples(
        "diagonal_scatter",
        gg.diagonal_scatter,
        samples=[
            Sample(In(3, 4), In(3)),
            Sample(In(3, 4), In(2), -1),
            Sample(In(2, 3, 3), In(2, 2), 1, 1, 2),
            Sample(In(0, 3), In(0)),
        ],
        reference=_diagonal_scatter,
        dtypes=KINDS,
        errors=[Bad(In(3, 3), In(2), raises=RuntimeError, match="size equal to the slice")],
    ),
    OpSamples(
        "as_strided_scatter",
        gg.as_strided_scatter,
        samples=[Sample(In(6), In(2, 2), (2, 2), (3, 1), 1), Sample(In(), In(), (), ())],
        reference=lambda x, src, *at: _strided_scatter(x, src, *at),
        layouts=False,
        errors=[Bad(In(6), In(3), (2,), (1,), raises=RuntimeError, match="size equal to the slice")],
    ),
    *[
        OpSamples(
            name,
            _in_place(name),
            samples=samples,
            reference=_in_place_reference(reference),
            tolerance={"float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2)},
            errors=[bad],
        )
        for name, reference, samples, bad in (
            ("unsqueeze_", np.expand_dims, [Sample(In(3, 2), 1), Sample(In(), 0)],
             Bad(In(3), 3, raises=IndexError, match="out of range")),
            ("squeeze_", lambda x, *dim: np.squeeze(x, *dim), [Sample(In(3, 1, 2)), Sample(In(1, 3), 0), Sample(In(0, 1), 1)],
             Bad(In(3), 1, raises=IndexError, match="out of range")),
            ("t_", np.transpose, [Sample(In(3, 2)), Sample(In())],
             Bad(In(2, 2, 2), raises=RuntimeError, match="<= 2")),
            ("transpose_", np.swapaxes, [Sample(In(3, 2, 4), 0, -1), Sample(In(0, 2), 0, 1)],
             Bad(In(3), 0, 1, raises=IndexError, match="out of range")),
        )
    ],
    OpSamples(
        "view_copies",
        lambda x: (gg.squeeze_copy(x), gg.unsqueeze_copy(x, 0), gg.view_copy(x, -1)),
        samples=[Sample(In()), Sample(In(0))],
        reference=lambda x: (x, x[None], x.reshape(-1)),
        errors=[Bad("x", raises=(TypeError, AttributeError), match="str")],
    ),
    OpSamples(
        "view_copies",
        lambda x: _copies(x),
        samples=[Sample(In(3, 4))],
        reference=_copies_reference,
        layouts=False,  # view_copy needs contiguous memory
        errors=[Bad(In(3), raises=IndexError, match="diagonal")],
    ),
]  # fmt: skip


def _strided_scatter(x: Any, src: Any, size: Any, stride: Any, offset: int = 0) -> Any:
    y = np.array(x).reshape(-1)
    np.lib.stride_tricks.as_strided(y[offset:], size, [s * y.itemsize for s in stride])[...] = src
    return y.reshape(np.shape(x))
