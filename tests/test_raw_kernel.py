"""Kernels of one's own: `cuda.compile_kernel`."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.cuda import compile_kernel
from gradgpu.cuda.raw_kernel import _declared

pytestmark = pytest.mark.cuda

SAXPY = """
// y += a x; a kernel named saxpy(int) is not declared here
__global__ void saxpy(float a, const float* __restrict__ x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}
"""


def filled(n: int, value: float = 1.0, **more: Any) -> gg.Tensor:
    return gg.full((n,), value, device="cuda", **more)


def test_launch() -> None:
    saxpy = compile_kernel(SAXPY, "saxpy")
    x, y = gg.arange(300.0, device="cuda"), filled(300)
    saxpy(grid=(3, 1, 1), block=(128, 1, 1), args=[2.0, x, y, y.numel()])
    assert (y == 2 * x + 1).all()
    saxpy(3, 128, (gg.tensor(1.0), x, y, np.int64(300)))  # as CuPy's RawKernel is called
    assert (y == 3 * x + 1).all()
    stream = gg.cuda.Stream()
    stream.wait_stream(gg.cuda.current_stream())
    saxpy(3, 128, [1, x, y, 300], stream=stream)
    stream.synchronize()
    assert (y == 4 * x + 1).all()
    assert saxpy.attributes["max_threads"] >= 128
    view = filled(10)[4:]
    saxpy(1, 32, [1.0, filled(6), view, 6])
    assert view.tolist() == [2.0] * 6


def test_shared_memory() -> None:
    reverse = compile_kernel(
        """extern "C" __global__ void reverse(double* x, unsigned n) {
            extern __shared__ double kept[];
            for (unsigned i = threadIdx.x; i < n; i += blockDim.x) kept[i] = x[i];
            __syncthreads();
            for (unsigned i = threadIdx.x; i < n; i += blockDim.x) x[i] = kept[n - 1 - i];
        }""",
        "reverse",
    )
    x = gg.arange(8000, dtype=gg.float64, device="cuda")
    reverse(1, 256, [x, 8000], shared_mem=64_000)  # more than 48 KiB
    assert x.tolist() == [*range(8000)][::-1]


def test_headers_macros_and_structs(tmp_path: Path) -> None:
    (tmp_path / "point.h").write_text("struct Point { float x; int n; };\n")
    kernel = compile_kernel(
        """
        #include "point.h"
        #include "common.cuh"
        using real = T;
        __global__ void put(real* out, Point p, real scale, bool more) {
            out[threadIdx.x] = store<T>(p.x * p.n * scale + OFFSET + more);
        }""",
        "put",
        cuda_include_dirs=[tmp_path],
        nvcc_options=["-DT=double", "-D OFFSET=10"],
    )

    class Point(ctypes.Structure):
        _fields_ = [("x", ctypes.c_float), ("n", ctypes.c_int)]

    out = gg.zeros(2, dtype=gg.float64, device="cuda")
    kernel(1, 2, [out, Point(0.5, 6), 2.0, True])
    assert out.tolist() == [17.0, 17.0]
    kernel(1, 2, [out, np.array((0.5, 6), "f4,i4")[()], 2.0, False])
    assert out.tolist() == [16.0, 16.0]


@pytest.mark.parametrize(
    ("c", "dtype"),
    [
        ("__half", gg.float16),
        ("__nv_bfloat16", gg.bfloat16),
        ("unsigned char", gg.uint8),
        ("long long", gg.int64),
    ],
)
def test_numbers_become_the_declared_type(c: str, dtype: gg.dtype) -> None:
    header = {"__half": "#include <cuda_fp16.h>", "__nv_bfloat16": "#include <cuda_bf16.h>"}.get(c, "")
    named = (
        "typedef long long int64_t; typedef unsigned char uint8_t;"  # without headers CUDA has no such names
    )
    kernel = compile_kernel(f"{header}\n{named}\n__global__ void put({c}* x, {c} v) {{ *x = v; }}", "put")
    x = gg.zeros(1, dtype=dtype, device="cuda")
    kernel(1, 1, [x, 7])
    assert x.item() == 7


def test_what_a_kernel_writes_counts_as_changed() -> None:
    saxpy = compile_kernel(SAXPY, "saxpy")
    leaf = filled(4, requires_grad=True)
    x, y = filled(4), filled(4)
    before = x._version, y._version
    product = leaf * y
    saxpy(1, 32, [1.0, x, y, 4])
    assert (x._version, y._version) == (before[0], before[1] + 1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    with pytest.raises(
        RuntimeError, match=r"argument 2 \(float \*y\): the tensor to be written requires grad"
    ):
        saxpy(1, 32, [1.0, x, leaf, 4])
    saxpy(1, 32, [1.0, leaf, x, 4])  # reading is allowed
    with gg.no_grad():
        saxpy(1, 32, [1.0, x, leaf, 4])
    assert leaf.tolist() == [3.0] * 4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({0: "a"}, TypeError, r"saxpy: argument 0 \(float a\): expected a number, got str"),
        (
            {1: gg.ones(4)},
            TypeError,
            r"argument 1 .*expected a Tensor on cuda, got one on cpu; use .cuda\(\)",
        ),
        ({1: np.ones(4)}, TypeError, "argument 1 .*expected a Tensor on cuda or an address, got ndarray"),
        ({3: 4.5}, TypeError, r"argument 3 \(int n\): expected an integer, got 4.5"),
        ({3: 2**31}, TypeError, r"argument 3 \(int n\): 2147483648 does not fit"),
        ({3: True}, TypeError, r"argument 3 \(int n\): expected a number, got bool"),
    ],
)
def test_arguments_that_do_not_fit(change: dict, error: type, message: str) -> None:
    args: list[Any] = [1.0, filled(4), filled(4), 4]
    for k, value in change.items():
        args[k] = value
    with pytest.raises(error, match=message):
        compile_kernel(SAXPY, "saxpy")(1, 32, args)


def test_calls_that_do_not_fit() -> None:
    saxpy = compile_kernel(SAXPY, "saxpy")
    with pytest.raises(ValueError, match="saxpy: 3 arguments for 4 parameters"):
        saxpy(1, 32, [1.0, filled(4), filled(4)])
    with pytest.raises(
        TypeError, match="argument 1 .*: expected a tensor of gradgpu.float32, got gradgpu.float64"
    ):
        saxpy(1, 32, [1.0, filled(4, dtype=gg.float64), filled(4), 4])
    with pytest.raises(ValueError, match="grid and block must be at least 1, got grid 0 and block 32"):
        saxpy(0, 32, [1.0, filled(4), filled(4), 4])
    unknown = compile_kernel("struct P { int n; }; __global__ void f(P p) {}", "f")
    with pytest.raises(TypeError, match="what 'P' is cannot be seen here"):
        unknown(1, 1, [3])


def test_sources_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="the source has no kernel 'other'; it has saxpy"):
        compile_kernel(SAXPY, "other")
    with pytest.raises(ValueError, match="f is a template"):
        compile_kernel("template <class T> __global__ void f(T* x) {}", "f")
    with pytest.raises(RuntimeError, match="nowhere"):
        compile_kernel("__global__ void f(int* x) { *x = nowhere; }", "f")
    with pytest.raises(ValueError, match="compiled for the current device"):
        compile_kernel(SAXPY, "saxpy", compute_capability="12")
    major, minor = gg.cuda.get_device_capability()
    for name in (f"{major}{minor}", f"sm_{major}{minor}", f"{major}.{minor}"):
        assert compile_kernel(SAXPY, "saxpy", name).name == "saxpy"


def test_declarations() -> None:
    text = """
    typedef unsigned int word;
    /* __global__ void f(int old) */
    extern "C" { __global__ void __launch_bounds__(256, 2)
    f(const word *a, word* const b, float const* c, double d[], Pair<int, float> e, const unsigned long long n, size_t) {} }
    __global__ void g(void) {}
    """
    start, parameters = _declared(text, "f")
    assert text[start:].startswith("__global__ void __launch_bounds__")
    assert [(p.type, p.pointer, p.written) for p in parameters] == [
        ("unsigned int", True, False),
        ("unsigned int", True, True),
        ("float", True, False),
        ("double", True, True),
        ("Pair<int, float>", False, False),
        ("unsigned long long", False, False),
        ("unsigned long long", False, False),
    ]
    assert _declared(text, "g")[1] == []


@pytest.mark.skipif(not gg.cuda.is_simulated(), reason="what the simulator finds")
def test_the_simulator_tells_what_is_wrong() -> None:
    from gradgpu.cuda.simulator import KernelError

    shift = compile_kernel(
        "__global__ void shift(const float* x, float* y) {\n    y[threadIdx.x] = x[threadIdx.x + 1];\n}",
        "shift",
    )
    with pytest.raises(
        KernelError,
        match=r"(?s)kernel 'shift', .*thread \(3,0,0\): out of bounds.*line 2: y\[threadIdx.x\] = ",
    ):
        shift(1, 4, [filled(4), filled(4)])
