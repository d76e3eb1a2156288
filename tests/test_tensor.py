"""Tensors: creation, dtypes and promotion, values, printing, exchange with numpy, moves between devices."""

from __future__ import annotations

import copy
import math
import pickle
import signal
import warnings
from typing import Any

import numpy as np
import pytest

import gradgpu as gg

NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
DTYPES = {name: getattr(gg, name) for name in NAMES}


def array(t: Any) -> np.ndarray:
    return t.detach().cpu().numpy()


# ---- creation ----


@pytest.mark.parametrize(
    "data, dtype, shape",
    [
        (3, gg.int64, ()),
        (3.5, gg.float32, ()),
        (True, gg.bool, ()),
        ([1, 2], gg.int64, (2,)),
        ([1, 2.5], gg.float32, (2,)),
        ([True, 2], gg.int64, (2,)),
        ([[1.0], [2.0]], gg.float32, (2, 1)),
        ([], gg.float32, (0,)),
        ([[], []], gg.float32, (2, 0)),
        (((1, 2), (3, 4)), gg.int64, (2, 2)),
        (range(3), gg.int64, (3,)),
        (np.float64(1.5), gg.float64, ()),
        (np.ones((2, 3)), gg.float64, (2, 3)),
        (np.ones(2, np.float16), gg.float16, (2,)),
        (np.arange(3, dtype=np.int8), gg.int8, (3,)),
        ([np.float32(1), np.float32(2)], gg.float32, (2,)),
        ([np.ones(2, np.float32), np.zeros(2, np.float32)], gg.float32, (2, 2)),
    ],
)
def test_tensor_infers(data: Any, dtype: Any, shape: tuple, device: str) -> None:
    t = gg.tensor(data, device=device)
    assert t.dtype is dtype and tuple(t.shape) == shape and t.device.type == device
    np.testing.assert_array_equal(array(t), np.array(data if not isinstance(data, range) else list(data)))


def test_tensor_copies(device: str) -> None:
    a = np.ones(3, np.float32)
    t = gg.tensor(a, device=device)
    a[0] = 5
    assert t.tolist() == [1, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as PyTorch, which recommends clone().detach()
        assert gg.tensor(t).tolist() == [1, 1, 1]


def test_tensor_of_tensors(device: str) -> None:
    t = gg.tensor([gg.tensor(1.0, device=device), gg.tensor(2.0, device=device)], device=device)
    assert t.tolist() == [1, 2]


@pytest.mark.parametrize("name", NAMES)
def test_tensor_of_each_dtype(name: str, device: str) -> None:
    t = gg.tensor([0, 1, 2], dtype=DTYPES[name], device=device)
    assert t.dtype is DTYPES[name]
    assert t.itemsize == t.element_size() == DTYPES[name].itemsize
    assert t.tolist() == ([False, True, True] if name == "bool" else [0, 1, 2])
    assert array(t).dtype.name == name


def test_creation_errors(device: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)expected sequence|inhomogeneous|ragged"):
        gg.tensor([[1, 2], [3]], device=device)
    with pytest.raises(TypeError):
        gg.tensor("text", device=device)
    with pytest.raises(RuntimeError, match=r"(?i)negative"):
        gg.zeros(2, -1, device=device)
    with pytest.raises(RuntimeError, match="unknown device"):
        gg.zeros(2, device="tpu")
    with pytest.raises(TypeError, match="dtype"):
        gg.zeros(2, dtype="float32", device=device)


def test_filled(device: str) -> None:
    assert gg.zeros(2, 3, device=device).tolist() == [[0] * 3] * 2
    assert gg.zeros((2, 3), device=device).shape == (2, 3)
    assert gg.zeros(gg.Size([2]), dtype=gg.int32, device=device).dtype is gg.int32
    assert gg.zeros((), device=device).shape == () and gg.zeros(0, 3, device=device).shape == (0, 3)
    assert gg.ones(2, dtype=gg.bool, device=device).tolist() == [True, True]
    assert gg.full((2,), 7, device=device).dtype is gg.int64
    assert gg.full((2,), 7.0, device=device).dtype is gg.float32
    assert gg.full((2,), True, device=device).dtype is gg.bool
    assert gg.full((1,), 7, dtype=gg.float16, device=device).tolist() == [7]
    assert gg.empty(2, 0, 4, device=device).shape == (2, 0, 4)
    assert gg.eye(2, 3, device=device).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert gg.eye(2, dtype=gg.int64, device=device).tolist() == [[1, 0], [0, 1]]
    x = gg.zeros(2, 3, dtype=gg.float64, device=device)
    for like, value in ((gg.zeros_like(x), 0), (gg.ones_like(x), 1), (gg.full_like(x, 4), 4)):
        assert like.dtype is gg.float64 and like.device.type == device and like.tolist() == [[value] * 3] * 2
    assert gg.empty_like(x, dtype=gg.int8).dtype is gg.int8
    assert gg.ones_like(x, requires_grad=True).requires_grad
    assert x.new_zeros(2).dtype is gg.float64 and x.new_ones(2, dtype=gg.int32).tolist() == [1, 1]
    assert x.new_full((2,), 3.0).tolist() == [3, 3] and x.new_tensor([1, 2]).dtype is gg.float64


@pytest.mark.parametrize(
    "args, dtype, expected",
    [
        ((5,), gg.int64, [0, 1, 2, 3, 4]),
        ((2, 5), gg.int64, [2, 3, 4]),
        ((1, 10, 4), gg.int64, [1, 5, 9]),
        ((5, 0, -2), gg.int64, [5, 3, 1]),
        ((0, 1, 0.25), gg.float32, [0, 0.25, 0.5, 0.75]),
        ((3.0,), gg.float32, [0, 1, 2]),
        ((0,), gg.int64, []),
    ],
)
def test_arange(args: tuple, dtype: Any, expected: list, device: str) -> None:
    t = gg.arange(*args, device=device)
    assert t.dtype is dtype and t.tolist() == expected


def test_arange_of_a_dtype_and_its_errors(device: str) -> None:
    assert gg.arange(3, dtype=gg.float64, device=device).dtype is gg.float64
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)step|bound"):
        gg.arange(0, 5, 0, device=device)
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)step|bound|sign"):
        gg.arange(0, 5, -1, device=device)


def test_linspace(device: str) -> None:
    assert gg.linspace(0, 1, 5, device=device).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert gg.linspace(0, 1, 1, device=device).tolist() == [0]
    assert gg.linspace(1, 0, 0, device=device).shape == (0,)


def test_random_creation(device: str) -> None:
    gg.manual_seed(1)
    u = gg.rand(1000, device=device)
    assert 0 <= u.min().item() and u.max().item() < 1 and abs(u.mean().item() - 0.5) < 0.05
    n = gg.randn(1000, device=device)
    assert abs(n.mean().item()) < 0.15 and abs(n.std().item() - 1) < 0.1
    k = gg.randint(2, 7, (1000,), device=device)
    assert k.dtype is gg.int64 and set(k.tolist()) == {2, 3, 4, 5, 6}
    assert sorted(gg.randperm(10, device=device).tolist()) == list(range(10))
    gg.manual_seed(1)
    assert gg.rand(1000, device=device).tolist() == u.tolist()


@pytest.mark.cuda
def test_random_numbers_are_the_same_on_both_devices() -> None:
    for make in (lambda d: gg.rand(37, device=d), lambda d: gg.randint(0, 100, (37,), device=d)):
        gg.manual_seed(5)
        on_cpu = make("cpu").tolist()
        gg.manual_seed(5)
        assert make("cuda").tolist() == on_cpu


def test_default_dtype() -> None:
    assert gg.get_default_dtype() is gg.float32
    gg.set_default_dtype(gg.float64)
    try:
        assert gg.zeros(2).dtype is gg.float64 and gg.tensor(1.5).dtype is gg.float64
        assert (gg.tensor([1]) / 2).dtype is gg.float64
    finally:
        gg.set_default_dtype(gg.float32)
    with pytest.raises(TypeError, match="floating"):
        gg.set_default_dtype(gg.int32)


# ---- numpy ----


def test_from_numpy_shares_memory() -> None:
    a = np.zeros(3, np.float32)
    t = gg.from_numpy(a)
    a[1] = 5
    assert t.tolist() == [0, 5, 0]
    t += 1
    assert a.tolist() == [1, 6, 1]
    assert gg.from_numpy(a.reshape(3, 1)[::2]).tolist() == [[1], [1]]
    assert gg.asarray(a).data_ptr() == a.ctypes.data
    with pytest.raises(TypeError):
        gg.from_numpy([1, 2])


def test_as_tensor_copies_only_what_it_must(device: str) -> None:
    x = gg.ones(2, device=device)
    assert gg.as_tensor(x) is x
    assert gg.as_tensor(x, dtype=gg.float64).dtype is gg.float64
    assert gg.as_tensor([1.0], device=device).device.type == device


def test_numpy(device: str) -> None:
    t = gg.tensor([1.0, 2.0], device=device)
    if device == "cpu":
        a = t.numpy()
        a[0] = 9
        assert t.tolist() == [9, 2]
        assert np.asarray(t).tolist() == [9, 2] and np.asarray(t, np.float64).dtype == np.float64
        assert np.array(t).base is None
        assert np.sum(t.numpy()) == 11
    else:
        with pytest.raises(TypeError, match=r"cpu\(\)"):
            t.numpy()
    assert t.numpy(force=True).shape == (2,)
    r = t.requires_grad_()
    if device == "cpu":
        with pytest.raises(RuntimeError, match="detach"):
            r.numpy()
        with pytest.raises(RuntimeError, match="detach"):
            np.asarray(r)
    assert r.numpy(force=True).shape == (2,)


def test_numpy_of_a_result_is_an_array() -> None:
    s = gg.tensor([1.0, 2.0]).sum()
    a = s.numpy()
    assert isinstance(a, np.ndarray) and a.shape == ()
    a[...] = 7
    assert s.item() == 7


def test_numpy_operands_leave_the_work_to_tensors() -> None:
    t = gg.tensor([1.0, 2.0])
    for result in (np.float32(2) * t, t * np.float32(2), np.int64(2) * t):
        assert isinstance(result, gg.Tensor) and result.dtype is gg.float32 and result.tolist() == [2, 4]


def test_functions_of_numpy_give_tensors() -> None:
    x = gg.arange(3.0)
    assert (
        type(np.exp(x)) is gg.Tensor and np.exp(x).tolist() == np.exp(np.arange(3, dtype=np.float32)).tolist()
    )
    assert type(np.add(np.ones(3), x)) is gg.Tensor and np.isnan(x).dtype is gg.bool
    assert np.sqrt(gg.tensor(4.0)).item() == 2.0 and type(np.concatenate([x, x])) is np.ndarray
    np.add(x, 1, out=x.numpy())
    assert x.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(RuntimeError, match="requires grad"):
        np.exp(gg.ones(1, requires_grad=True))


@pytest.mark.parametrize(
    "values, dtype",
    [
        ([np.float32(1), 2.0], "float32"), ([np.float32(1), 2], "float32"), ([np.float64(1), 2.0], "float64"),
        ([gg.tensor(1), 2.5], "float32"), ([gg.tensor(1.5), 2], "float32"), ([[np.float64(1)], [2]], "float64"),
        ([np.float32(1), 1j], "complex64"), ([np.float16(1), True], "float16"), ([1, np.int32(2)], "int64"),
        ([gg.tensor(1.0).double(), 1.0], "float64"), ([np.ones(2), [1.0, 2.0]], "float64"), ([[1.0, 2.0], np.ones(2)], "float64"),
        ([1.5, np.float64(2)], "float64"), ([1, np.float64(2)], "float64"), ([1, np.float32(2)], "float32"),
        ([True, np.float64(2)], "float64"), ([1j, np.float64(2)], "complex128"), (([1.0], (np.float64(2),)), "float64"),
        ([signal.SIGINT, 1.5], "float32"), ([[1.0], [2]], "float32"), ([range(2)], "int64"),
    ],
)  # fmt: skip
def test_lists_of_numbers_of_several_kinds_are_promoted(values: Any, dtype: str) -> None:
    assert gg.tensor(values).dtype is getattr(gg, dtype)


def test_numpy_numbers_as_fill_values_and_bounds() -> None:
    for value, dtype in (
        (np.int32(1), gg.int64),
        (np.float64(1), gg.float32),
        (np.float16(1), gg.float32),
        (np.bool_(True), gg.bool),
    ):
        assert gg.full((2,), value).dtype is dtype
    for bound, dtype in ((np.int32(3), gg.int64), (np.float32(3), gg.float32), (np.float64(3), gg.float32)):
        assert gg.arange(bound).dtype is gg.arange(0, bound).dtype is dtype and gg.arange(bound).tolist() == [
            0,
            1,
            2,
        ]


def test_dlpack_capsules() -> None:
    from gradgpu.utils import dlpack

    x = gg.zeros(2)
    dlpack.from_dlpack(dlpack.to_dlpack(x))[0] = 3.0
    assert x.tolist() == [3.0, 0.0] and gg.from_dlpack(x.__dlpack__()).tolist() == [3.0, 0.0]
    with pytest.raises(TypeError, match="a list has no __dlpack__"):
        gg.from_dlpack([1])


def test_dlpack() -> None:
    t = gg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert t.__dlpack_device__() == (1, 0)
    a = np.from_dlpack(t)
    assert a.tolist() == t.tolist() and a.ctypes.data == t.data_ptr()
    back = gg.from_dlpack(np.arange(3.0))
    assert back.tolist() == [0, 1, 2]
    with pytest.raises(BufferError, match="detach"):
        t.requires_grad_().__dlpack__()


@pytest.mark.cuda
def test_cuda_array_interface() -> None:
    t = gg.ones(2, 3, device="cuda")
    described = t.t().__cuda_array_interface__
    assert described["shape"] == (3, 2) and described["data"][0] == t.data_ptr()
    assert described["strides"] == (4, 12) and described["typestr"] == "<f4"
    with pytest.raises(RuntimeError, match="detach"):
        t.requires_grad_().__cuda_array_interface__  # noqa: B018


@pytest.mark.cuda
def test_arrays_of_other_libraries_on_the_device() -> None:
    class Foreign:
        """What CuPy and others have."""

        def __init__(self, x: gg.Tensor) -> None:
            self.kept, self.dtype, self.__cuda_array_interface__ = x, x.dtype.np, x.__cuda_array_interface__

    x = gg.arange(3.0, device="cuda")
    shared, copied = gg.as_tensor(Foreign(x)), gg.tensor(Foreign(x), dtype=gg.float64, requires_grad=True)
    assert gg.as_tensor(Foreign(x), device="cuda").data_ptr() == x.data_ptr()
    x[0] = 5.0
    assert shared.device == x.device and shared.tolist() == [5.0, 1.0, 2.0]
    assert copied.device == x.device and copied.tolist() == [0.0, 1.0, 2.0]
    assert copied.requires_grad and copied.dtype is gg.float64
    assert gg.as_tensor(Foreign(x), device="cpu").tolist() == [5.0, 1.0, 2.0]
    assert gg.asarray(Foreign(x)).data_ptr() == gg.asarray(Foreign(x), copy=False).data_ptr() == x.data_ptr()
    assert gg.asarray(Foreign(x), copy=True).data_ptr() != x.data_ptr()


def test_no_cuda_array_interface_on_the_cpu() -> None:
    assert not hasattr(gg.ones(2), "__cuda_array_interface__")


# ---- values ----


def test_item(device: str) -> None:
    for data, kind in ((3, int), (3.5, float), (True, bool)):
        value = gg.tensor([[data]], device=device).item()
        assert value == data and type(value) is kind
    assert type(gg.tensor(2.0, device=device).sum().item()) is float
    assert gg.tensor(1.5, dtype=gg.bfloat16, device=device).item() == 1.5
    assert float(gg.tensor(2.5, device=device)) == 2.5 and int(gg.tensor(2.5, device=device)) == 2
    assert [10, 20, 30][gg.tensor(1, device=device)] == 20
    with pytest.raises(RuntimeError, match="2 elements cannot be converted to Scalar"):
        gg.ones(2, device=device).item()
    for data in ([1.0, 2.0], [1, 2], []):
        for kind in (float, int, complex, math.isfinite, math.floor):
            with pytest.raises(
                ValueError, match="only one element tensors can be converted to Python scalars"
            ):
                kind(gg.tensor(data, device=device))
    one = gg.tensor([2 + 0j], device=device)
    assert float(one) == 2.0 and int(one) == 2 and complex(gg.tensor(1 + 2j, device=device)) == 1 + 2j
    with pytest.raises(RuntimeError, match="imaginary part"):
        float(gg.tensor(1 + 2j, device=device))
    with pytest.raises(TypeError, match="integer tensors"):
        [1][gg.tensor(0.0, device=device)]


def test_tolist(device: str) -> None:
    assert gg.tensor([[1, 2], [3, 4]], device=device).tolist() == [[1, 2], [3, 4]]
    assert gg.tensor(1.5, device=device).tolist() == 1.5
    assert gg.tensor([1.5], dtype=gg.bfloat16, device=device).tolist() == [1.5]
    assert gg.tensor([[1, 2], [3, 4]], device=device).t().tolist() == [[1, 3], [2, 4]]
    assert gg.zeros(2, 0, device=device).tolist() == [[], []]


def test_truth(device: str) -> None:
    assert gg.tensor(1, device=device) and not gg.tensor([0.0], device=device)
    for n in (0, 2):
        with pytest.raises(RuntimeError, match="ambiguous"):
            bool(gg.ones(n, device=device))


def test_len_iteration_membership(device: str) -> None:
    t = gg.tensor([[1, 2], [3, 4], [5, 6]], device=device)
    assert len(t) == 3 and [row.tolist() for row in t] == [[1, 2], [3, 4], [5, 6]]
    assert 3 in t and 9 not in t
    a, b = gg.tensor([1.0, 2.0], device=device)
    assert a.item() == 1 and b.item() == 2
    with pytest.raises(TypeError, match="0-d"):
        len(gg.tensor(1, device=device))
    with pytest.raises(TypeError, match="0-d"):
        iter(gg.tensor(1, device=device))
    assert len({t, t, gg.ones(1, device=device)}) == 2  # hashed by identity


def test_shape_questions(device: str) -> None:
    t = gg.zeros(2, 3, 4, device=device)
    assert t.size() == (2, 3, 4) and t.size(-1) == 4 and t.dim() == t.ndim == t.ndimension() == 3
    assert t.numel() == t.nelement() == t.shape.numel() == 24 and t.nbytes == 96
    assert (
        isinstance(t.shape, gg.Size)
        and isinstance(t.shape[1:], gg.Size)
        and "Size([2, 3, 4])" in repr(t.shape)
    )
    assert t.stride() == (12, 4, 1) and t.stride(0) == 12 and t.is_contiguous()
    swapped = t.transpose(0, 2)
    assert (
        swapped.stride() == (1, 4, 12)
        and not swapped.is_contiguous()
        and swapped.contiguous().is_contiguous()
    )
    with pytest.raises(IndexError, match="out of range"):
        t.size(3)


# ---- dtypes ----

# Results of torch.add between tensors with dimensions, in the order of NAMES.
PROMOTION = """
b8   u8   i8   i16  i32  i64  f16  bf16 f32  f64
u8   u8   i16  i16  i32  i64  f16  bf16 f32  f64
i8   i16  i8   i16  i32  i64  f16  bf16 f32  f64
i16  i16  i16  i16  i32  i64  f16  bf16 f32  f64
i32  i32  i32  i32  i32  i64  f16  bf16 f32  f64
i64  i64  i64  i64  i64  i64  f16  bf16 f32  f64
f16  f16  f16  f16  f16  f16  f16  f32  f32  f64
bf16 bf16 bf16 bf16 bf16 bf16 f32  bf16 f32  f64
f32  f32  f32  f32  f32  f32  f32  f32  f32  f64
f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
"""
# The same, the right one with no dimension.
PROMOTION_ZERO_DIM = """
b8   u8   i8   i16  i32  i64  f16  bf16 f32  f64
u8   u8   u8   u8   u8   u8   f16  bf16 f32  f64
i8   i8   i8   i8   i8   i8   f16  bf16 f32  f64
i16  i16  i16  i16  i16  i16  f16  bf16 f32  f64
i32  i32  i32  i32  i32  i32  f16  bf16 f32  f64
i64  i64  i64  i64  i64  i64  f16  bf16 f32  f64
f16  f16  f16  f16  f16  f16  f16  f16  f16  f16
bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16
f32  f32  f32  f32  f32  f32  f32  f32  f32  f32
f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
"""
# The right one True, 1, 1.0; and division by 1.
PROMOTION_SCALAR = """
b8   i64  f32  f32
u8   u8   f32  f32
i8   i8   f32  f32
i16  i16  f32  f32
i32  i32  f32  f32
i64  i64  f32  f32
f16  f16  f16  f16
bf16 bf16 bf16 bf16
f32  f32  f32  f32
f64  f64  f64  f64
"""
SHORT = {d.suffix: d for d in DTYPES.values()}


def rows(table: str) -> list[list[Any]]:
    return [[SHORT[cell] for cell in line.split()] for line in table.split("\n") if line]


def test_promotion_of_tensors(device: str) -> None:
    for left, row in zip(NAMES, rows(PROMOTION), strict=True):
        for right, expected in zip(NAMES, row, strict=True):
            a, b = (
                gg.ones(2, dtype=DTYPES[left], device=device),
                gg.ones(2, dtype=DTYPES[right], device=device),
            )
            assert gg.promote_types(DTYPES[left], DTYPES[right]) is expected
            assert gg.result_type(a, b) is expected
            y = a + b
            assert y.dtype is expected and array(y).dtype == expected.np, (left, right)
            assert y.tolist() == ([True] * 2 if expected is gg.bool else [2, 2])


def test_promotion_with_zero_dim_tensors(device: str) -> None:
    for left, row in zip(NAMES, rows(PROMOTION_ZERO_DIM), strict=True):
        for right, expected in zip(NAMES, row, strict=True):
            a, b = (
                gg.ones(2, dtype=DTYPES[left], device=device),
                gg.ones((), dtype=DTYPES[right], device=device),
            )
            assert (a + b).dtype is expected, (left, right)
            assert (b + a).dtype is expected, (right, left)


def test_promotion_with_python_scalars(device: str) -> None:
    for left, row in zip(NAMES, rows(PROMOTION_SCALAR), strict=True):
        a = gg.ones(2, dtype=DTYPES[left], device=device)
        found = [(a + True).dtype, (a + 1).dtype, (a + 1.0).dtype, (a / 1).dtype]
        assert found == row, left
        assert [(True + a).dtype, (1 + a).dtype, (1.0 + a).dtype, (1 / a).dtype] == row, left


def test_comparisons_are_bool(device: str) -> None:
    for name in NAMES:
        a = gg.ones(2, dtype=DTYPES[name], device=device)
        for y in (a == 1, a != a, a < 1, a <= a, a > 1, a >= 1):
            assert y.dtype is gg.bool
    assert (gg.tensor([1, 2], device=device) == gg.tensor([1.0, 2.5], device=device)).tolist() == [
        True,
        False,
    ]


def test_comparisons_with_other_objects(device: str) -> None:
    x = gg.ones(2, device=device)
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert (x == "text") is False
    with pytest.raises(TypeError, match="not supported"):
        x < "text"  # noqa: B015


def test_integers_wrap(device: str) -> None:
    x = gg.tensor([1, 2], dtype=gg.uint8, device=device)
    assert (x - 2).tolist() == [255, 0] and (x + (-1)).tolist() == [0, 1] and (x + 300).tolist() == [45, 46]
    y = gg.tensor([100, -100], dtype=gg.int8, device=device)
    assert (y + 100).tolist() == [-56, 0] and (y - 200).tolist() == [-100, -44]
    assert (y < 200).tolist() == [True, True]


def test_integer_functions_of_floats_promote(device: str) -> None:
    for name in ("bool", "uint8", "int32", "int64"):
        a = gg.ones(2, dtype=DTYPES[name], device=device)
        for function in (gg.exp, gg.sin, gg.sqrt, gg.sigmoid):
            assert function(a).dtype is gg.float32, (name, function)


def test_rounding_keeps_integers(device: str) -> None:
    for name in ("uint8", "int8", "int32", "int64"):
        a = gg.tensor([3, 0, 2], dtype=DTYPES[name], device=device)
        for function in (gg.round, gg.floor, gg.ceil, gg.trunc, gg.sign, gg.abs, gg.square):
            assert function(a).dtype is DTYPES[name], (name, function)
        assert gg.round(a).tolist() == [3, 0, 2]
    assert (gg.tensor([True, False], device=device) ** 2).tolist() == [1, 0]


@pytest.mark.parametrize("source", NAMES)
def test_casts(source: str, device: str) -> None:
    a = gg.tensor([0, 1, 3], dtype=DTYPES[source], device=device)
    expected = a.tolist()
    for target in NAMES:
        b = a.to(DTYPES[target])
        assert b.dtype is DTYPES[target]
        assert b.tolist() == ([bool(v) for v in expected] if target == "bool" else expected), target
    assert a.to(a.dtype) is a
    assert a.to(a.dtype, copy=True) is not a
    for method, target in (
        ("float", "float32"),
        ("double", "float64"),
        ("half", "float16"),
        ("bfloat16", "bfloat16"),
        ("long", "int64"),
        ("int", "int32"),
        ("short", "int16"),
        ("bool", "bool"),
    ):
        assert getattr(a, method)().dtype is DTYPES[target]


def test_casts_truncate(device: str) -> None:
    assert gg.tensor([-1.7, 1.7, 0.5], device=device).int().tolist() == [-1, 1, 0]
    assert gg.tensor([0.5, 0.0, -3.0], device=device).bool().tolist() == [True, False, True]
    assert gg.tensor([300, -1], device=device).to(gg.uint8).tolist() == [44, 255]


def test_dtype_objects() -> None:
    assert gg.float is gg.float32 and gg.double is gg.float64 and gg.half is gg.float16
    assert gg.long is gg.int64 and gg.int is gg.int32 and gg.short is gg.int16
    assert repr(gg.float32) == "gradgpu.float32"
    assert gg.float16.is_floating_point and not gg.int8.is_floating_point and not gg.uint8.is_signed
    assert (
        gg.finfo(gg.bfloat16).bits == 16
        and gg.finfo(gg.float32).eps == 2**-23
        and gg.iinfo(gg.int8).max == 127
    )
    assert pickle.loads(pickle.dumps(gg.bfloat16)) is gg.bfloat16 and copy.deepcopy(gg.float32) is gg.float32
    assert gg.tensor([1.0]).type(gg.float64).dtype is gg.float64


# ---- devices ----


def test_device_objects() -> None:
    assert gg.device("cuda:1") == gg.device("cuda", 1) and gg.device("cpu") == gg.device("cpu")
    assert str(gg.device("cuda:1")) == "cuda:1" and gg.device("cuda").index is None
    assert len({gg.device("cpu"), gg.device("cpu"), gg.device("cuda:0")}) == 2
    with pytest.raises(RuntimeError):
        gg.device("cuda:x")
    assert pickle.loads(pickle.dumps(gg.device("cuda:1"))) == gg.device("cuda:1")
    assert repr(gg.device("cuda:0")) == "device(type='cuda', index=0)"


def test_to(device: str) -> None:
    x = gg.tensor([1.0, 2.0])
    y = x.to(device)
    assert y.device.type == device and y.tolist() == [1, 2]
    assert y.to(device) is y
    assert y.to(device, gg.float64).dtype is gg.float64
    assert y.to(dtype=gg.int32, device=device).dtype is gg.int32
    other = gg.zeros(1, dtype=gg.float16, device=device)
    assert x.to(other).dtype is gg.float16 and x.to(other).device == other.device
    assert y.cpu().tolist() == [1, 2]
    assert y.is_cuda == (device == "cuda") and y.is_cpu == (device == "cpu")
    with pytest.raises((TypeError, RuntimeError)):
        x.to(3.5)


@pytest.mark.cuda
def test_moves_between_devices() -> None:
    for name in NAMES:
        x = gg.tensor([[0, 1], [1, 3]], dtype=DTYPES[name])
        for source in (x, x.t(), x[:, 1], x[0, 0], x[:0]):
            there = source.to("cuda")
            assert there.is_cuda and there.dtype is x.dtype and there.tolist() == source.tolist()
            assert there.cpu().tolist() == source.tolist()
            assert there.t().cpu().tolist() == source.t().tolist() if source.ndim == 2 else True
    y = gg.ones(2).cuda()
    assert y.device == gg.device("cuda:0") and y.get_device() == 0 and y.cuda() is y
    assert (y + 1).is_cuda
    with pytest.raises(RuntimeError, match=r"same device.*\.to\("):
        y + gg.ones(2)
    assert (y + gg.tensor(1.0)).is_cuda  # a number on the cpu may meet a cuda tensor


@pytest.mark.skipif(gg.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_a_clear_error() -> None:
    with pytest.raises(RuntimeError, match=r"(?i)cuda"):
        gg.zeros(2, device="cuda")
    assert gg.cuda.device_count() == 0


def test_default_device() -> None:
    with gg.device("cpu"):
        assert gg.zeros(1).is_cpu
    gg.set_default_device("cpu")
    assert gg.get_default_device() == gg.device("cpu")


@pytest.mark.cuda
def test_default_device_cuda() -> None:
    with gg.device("cuda"):
        assert gg.zeros(1).is_cuda and gg.tensor([1.0]).is_cuda
    assert gg.zeros(1).is_cpu


# ---- printing ----


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: gg.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: gg.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: gg.tensor(3.5), "tensor(3.5000)"),
        (lambda: gg.tensor([True, False]), "tensor([ True, False])"),
        (lambda: gg.tensor([1e-8, 1.0]), "tensor([1.0000e-08, 1.0000e+00])"),
        (lambda: gg.tensor([1.0, 2, float("nan"), float("inf")]), "tensor([1., 2., nan, inf])"),
        (lambda: gg.tensor([-1.5, float("-inf")]), "tensor([-1.5000,    -inf])"),
        (lambda: gg.zeros(0), "tensor([])"),
        (lambda: gg.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: gg.zeros(0, dtype=gg.int64), "tensor([], dtype=gradgpu.int64)"),
        (
            lambda: gg.ones(2, dtype=gg.float64, requires_grad=True),
            "tensor([1., 1.], dtype=gradgpu.float64, requires_grad=True)",
        ),
        (lambda: gg.ones(2, requires_grad=True) * 2, "tensor([2., 2.], grad_fn=<MulBackward0>)"),
        (
            lambda: gg.tensor([[[1.0, 2], [3, 4]], [[5, 6], [7, 8]]]),
            "tensor([[[1., 2.],\n         [3., 4.]],\n\n        [[5., 6.],\n         [7., 8.]]])",
        ),
        (lambda: gg.tensor([1.0, -2.0]), "tensor([ 1., -2.])"),
        (lambda: gg.tensor([1, 2], dtype=gg.int8), "tensor([1, 2], dtype=gradgpu.int8)"),
        (lambda: gg.tensor([1.5], dtype=gg.bfloat16), "tensor([1.5000], dtype=gradgpu.bfloat16)"),
        (lambda: gg.zeros(1001), "tensor([0., 0., 0.,  ..., 0., 0., 0.])"),
        (lambda: gg.tensor(1e10), "tensor(1.0000e+10)"),
        (
            lambda: gg.arange(30.0),
            "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,\n"
            "        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27.,\n"
            "        28., 29.])",
        ),
    ],
)
def test_repr_is_that_of_pytorch(make: Any, expected: str) -> None:
    assert repr(make()) == expected == str(make())


@pytest.mark.cuda
def test_repr_names_the_device() -> None:
    assert repr(gg.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"


def test_format(device: str) -> None:
    assert f"{gg.tensor(1.23456, device=device):.2f}" == "1.23"
    assert f"{gg.tensor([1.0])}" == "tensor([1.])"
    loss = gg.tensor(2.5, device=device, requires_grad=True) * 2
    assert f"{loss} {gg.tensor(3)}" == "5.0 3" and str(gg.tensor(3)) == "tensor(3)"
    assert f"{gg.nn.Parameter(gg.tensor(1.0))}".startswith("Parameter containing")


def test_printoptions() -> None:
    gg.set_printoptions(precision=2)
    try:
        assert repr(gg.tensor([1.234])) == "tensor([1.23])"
    finally:
        gg.set_printoptions(profile="default")
    with pytest.raises(ValueError, match="profile"):
        gg.set_printoptions(profile="loud")


# ---- copying ----


def test_deepcopy_and_pickle(device: str) -> None:
    x = gg.tensor([1.0, 2.0], device=device, requires_grad=True)
    (x * x).sum().backward()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.tolist() == [1, 2] and y.requires_grad and y.device == x.device and y is not x
        assert y.data_ptr() != x.data_ptr()
    twin = copy.deepcopy(x)
    assert twin.grad.tolist() == [2, 4] and twin.grad is not x.grad
    with pytest.raises(RuntimeError, match="leaves"):
        copy.deepcopy(x * 2)


@pytest.mark.parametrize("recorded", [False, True])
def test_rows_of_a_long_tensor(device: str, recorded: bool) -> None:
    x = gg.arange(60.0, device=device).reshape(30, 2).clone().requires_grad_(recorded)
    rows = list(x)
    assert len(rows) == 30 and all(type(row) is gg.Tensor and row.shape == (2,) for row in rows)
    assert gg.equal(gg.stack(rows), x) and all(row._base is x for row in rows)
    assert all(row.requires_grad is recorded for row in rows)

    if not recorded:
        x[0].zero_()
    assert next(iter(x)).tolist() == ([0.0, 1.0] if recorded else [0.0, 0.0])
    if recorded:
        sum(row[0] for row in x).backward()
        assert x.grad.tolist() == [[1.0, 0.0]] * 30
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(gg.tensor(1.0, device=device))


def test_a_tensor_repeats_a_sequence(device: str) -> None:
    for n in (gg.tensor(2, device=device), gg.tensor([2], device=device)):
        assert [0] * n == n * [0] == [0, 0] and "ab" * n == "abab" and (1, 2) * n == (1, 2, 1, 2)
    for n in (gg.tensor(2.0, device=device), gg.tensor([1, 2], device=device)):
        with pytest.raises(TypeError):
            [0] * n
    with pytest.raises(TypeError):
        [0] + gg.tensor(2, device=device)


def test_matplotlib_takes_tensors() -> None:
    Figure = pytest.importorskip("matplotlib.figure", reason="the notebooks need gradgpu[notebooks]").Figure

    x = gg.linspace(-1, 1, 8)
    a, b = gg.meshgrid(x, x, indexing="ij")
    axes = Figure().add_subplot()
    height = gg.exp(-(a**2) - b**2)
    assert (
        axes.contourf(a, b, height).get_array().size and axes.pcolormesh(a, b, height).get_array().size == 64
    )
    assert axes.plot(x, x)[0].get_xdata().tolist() == x.tolist()
    assert len(axes.scatter(a, b, c=height).get_offsets()) == 64 and axes.imshow(
        height
    ).get_array().shape == (8, 8)
    assert axes.hist(x, bins=4)[0].sum() == 8 and axes.quiver(a, b, a, b).N == 64


def test_pickle_of_a_computed_tensor(device: str) -> None:
    x = gg.ones(2, device=device, requires_grad=True)
    y = pickle.loads(pickle.dumps(x * 2))
    assert y.tolist() == [2.0, 2.0] and y.is_leaf and y.requires_grad and y.device == x.device
    assert not pickle.loads(pickle.dumps((x * 2).detach())).requires_grad


def test_clone(device: str) -> None:
    x = gg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device, requires_grad=True)
    y = x.t().clone()
    assert y.tolist() == [[1, 3], [2, 4]] and y.requires_grad and y.data_ptr() != x.data_ptr()
    y.sum().backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]


def test_old_tensor_types() -> None:
    assert gg.LongTensor([1.9, 2]).tolist() == [1, 2]
    assert gg.FloatTensor(2, 3).shape == (2, 3)
    assert gg.FloatTensor([[1, 2]]).dtype is gg.float32
    assert gg.ByteTensor().numel() == 0
    assert isinstance(gg.zeros(1), gg.FloatTensor)
    assert not isinstance(gg.zeros(1), gg.LongTensor)
    # a size may be any integer: that of a numpy array, or gymnasium's env.action_space.n
    two = np.int64(2)
    assert gg.FloatTensor(two, 3).shape == gg.Tensor(two, 3).shape == gg.zeros(1).new(two, 3).shape == (2, 3)
    assert gg.FloatTensor(two).shape == gg.zeros(1).new(two).shape == gg.Tensor(np.array(2)).shape == (2,)
    assert gg.FloatTensor(gg.tensor(2), 3).shape == gg.FloatTensor(gg.Size([2, 3])).shape == (2, 3)
    assert gg.Tensor(gg.tensor(2.5)).tolist() == 2.5
    with pytest.raises(TypeError, match=r"LongTensor\(\): the size must be integers, got \(\[1\], \[2\]\)"):
        gg.LongTensor([1], [2])
    for number in (2.5, np.float32(2.5), "2", None):
        with pytest.raises(TypeError, match="data must be a sequence"):
            gg.FloatTensor(number)
        with pytest.raises(TypeError, match="data must be a sequence"):
            gg.Tensor(number)


def test_types_by_name(device: str) -> None:
    module, prefix = (gg, "") if device == "cpu" else (gg.cuda, "cuda.")
    x = module.FloatTensor([[1.5, -2]])
    assert x.device.type == device and x.type() == f"gradgpu.{prefix}FloatTensor"
    for kind in (module.LongTensor, f"torch.{prefix}LongTensor", gg.int64):
        assert x.type(kind).tolist() == [[1, -2]] and x.type(kind).device == x.device
    assert isinstance(x, module.FloatTensor) and not isinstance(x, module.LongTensor)
    with pytest.raises(ValueError, match="invalid type: 'torch.NoTensor'"):
        x.type("torch.NoTensor")
    with pytest.raises(TypeError, match="no dtype for numpy's object"):
        x.type(object)
    with pytest.raises(AttributeError, match="NoTensor"):
        gg.cuda.NoTensor  # noqa: B018


def test_size_as_keyword(device: str) -> None:
    for make in (gg.zeros, gg.ones, gg.empty, gg.rand, gg.randn):
        assert make(size=(2, 3), device=device).shape == make(2, 3, device=device).shape == (2, 3)
        with pytest.raises(TypeError, match="multiple values for argument 'size'"):
            make(2, size=(2, 3))


def test_arithmetic_with_numpy_arrays() -> None:
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    for y in (x * np.array([3.0, 4.0]), np.array([3.0, 4.0]) * x):
        assert y.dtype is gg.float64 and y.tolist() == [3, 8]
        (x.grad,) = gg.autograd.grad(y.sum(), x)
        assert x.grad.tolist() == [3, 4]
    assert (gg.ones(2, dtype=gg.int64) - np.array([1, 2], np.int32)).tolist() == [0, -1]
    assert (gg.ones(2) > np.zeros(2, np.float32)).tolist() == [True, True]
