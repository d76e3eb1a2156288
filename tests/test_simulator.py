"""The CUDA simulator: kernels compute what CUDA says, and each kind of bug is found and named."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from gradgpu.cuda.simulator import KernelError, compiler

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not any(map(shutil.which, ("g++", "clang++", "c++"))),
    reason="the simulator needs Linux and a C++ compiler",
)


@pytest.fixture(scope="module")
def sim():
    from gradgpu.cuda.simulator import backend

    return backend


@pytest.fixture
def settings(sim):
    """Changes settings for one test."""
    before = sim.configure(None, None, None)
    yield lambda check=None, order=None, timeout=None: sim.configure(check, order, timeout)
    sim.configure(**before)


class Kernels:
    """Kernels of one source text, called with numpy arrays (copied there and back) and numbers."""

    def __init__(self, sim, source: str, name: str = "test.cu"):
        self.sim, self.module = sim, sim.compile(source, name)

    def __call__(self, kernel: str, grid, block, *args, shared: int = 0) -> list[np.ndarray]:
        sim, keep, values, outputs = self.sim, [], [], []
        for a in args:
            if isinstance(a, np.ndarray):
                memory = sim.alloc(a.nbytes)
                sim.to_device(memory.ptr, a, 0)
                keep.append(memory)
                outputs.append((a, memory))
                values.append(ctypes.c_void_p(memory.ptr))
            elif isinstance(a, (float, np.floating)):
                values.append(ctypes.c_float(a))
            else:
                values.append(a if isinstance(a, ctypes.Structure) else ctypes.c_int(a))
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        grid, block = ((*(size if isinstance(size, tuple) else (size,)), 1, 1)[:3] for size in (grid, block))
        function = self.module.function(kernel)
        sim.launch(function.handle, *grid, *block, shared, 0, ctypes.addressof(pointers), 0)
        results = []
        for a, memory in outputs:
            host = np.empty_like(a)
            sim.to_host(host, memory.ptr, 0)
            results.append(host)
        return results


@pytest.fixture(scope="module")
def kernels(sim):
    return lambda source, name="test.cu": Kernels(sim, source, name)


# ---- what kernels compute ----
INDICES = r"""
extern "C" __global__ void indices(int* out) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const int at = block * blockDim.x * blockDim.y * blockDim.z + thread;
    out[at] = threadIdx.x + 100 * threadIdx.y + 10000 * threadIdx.z + 1000000 * blockIdx.y;
}
"""


def test_launch_geometry(kernels):
    (out,) = kernels(INDICES)("indices", (2, 3, 2), (4, 3, 2), np.zeros(2 * 3 * 2 * 24, np.int32))
    z, y, x = np.meshgrid(range(2), range(3), range(4), indexing="ij")
    threads = (x + 100 * y + 10000 * z).reshape(-1)
    expected = [threads + 1000000 * (block // 2 % 3) for block in range(12)]
    np.testing.assert_array_equal(out, np.concatenate(expected))


BLOCK_SUM = r"""
template <class V> __device__ V warp_sum(V v) {
    for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}
extern "C" __global__ void __launch_bounds__(256, 2) block_sum(const float* x, float* y, int n) {
    __shared__ float partial[32];
    extern __shared__ __align__(16) float reversed[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    reversed[blockDim.x - 1 - threadIdx.x] = i < n ? x[i] : 0.0f;
    __syncthreads();
    const float v = warp_sum(reversed[threadIdx.x]);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        const float total = warp_sum(threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0.0f);
        if (threadIdx.x == 0) y[blockIdx.x] = total;
    }
}
"""


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled", "all"])
@pytest.mark.parametrize("check", [False, True])
def test_barriers_shuffles_and_shared_memory(kernels, settings, order, check):
    settings(check=check, order=order)
    x = np.arange(700, dtype=np.float32)
    _, y = kernels(BLOCK_SUM)("block_sum", 3, 256, x, np.zeros(3, np.float32), 700, shared=1024)
    np.testing.assert_array_equal(y, [x[:256].sum(), x[256:512].sum(), x[512:].sum()])


WARP = r"""
extern "C" __global__ void warp(int* up, int* down, int* direct, int* segment, unsigned* ballot, unsigned* match, int* sums) {
    const unsigned all = 0xffffffffu;
    const int t = threadIdx.x, v = 10 * t;
    up[t] = __shfl_up_sync(all, v, 3);
    down[t] = __shfl_down_sync(all, v, 5);
    direct[t] = __shfl_sync(all, v, 7);
    segment[t] = __shfl_down_sync(all, v, 1, 8);
    ballot[t] = __ballot_sync(all, t % 3 == 0) ^ (__any_sync(all, t == 40) ? 0u : 1u) ^ (__all_sync(all, t >= 0) ? 0u : 2u);
    match[t] = __match_any_sync(all, t / 4);
    if (t < 16) sums[t] = __reduce_add_sync(0xffffu, v); else sums[t] = __reduce_max_sync(0xffff0000u, v);
}
"""


def test_warp_functions(kernels):
    names = [np.zeros(32, kind) for kind in "iiiiIIi"]
    up, down, direct, segment, ballot, match, sums = kernels(WARP)("warp", 1, 32, *names)
    t = np.arange(32)
    np.testing.assert_array_equal(up, 10 * np.where(t < 3, t, t - 3))
    np.testing.assert_array_equal(down, 10 * np.where(t + 5 > 31, t, t + 5))
    np.testing.assert_array_equal(direct, np.full(32, 70))
    np.testing.assert_array_equal(segment, 10 * np.where(t % 8 == 7, t, t + 1))
    np.testing.assert_array_equal(ballot, np.full(32, sum(1 << i for i in range(0, 32, 3)) ^ 1))
    np.testing.assert_array_equal(match, [0xF << (i // 4 * 4) for i in range(32)])
    np.testing.assert_array_equal(sums, np.where(t < 16, 10 * t[:16].sum(), 310))


VOTES = r"""
extern "C" __global__ void votes(int* count, int* all, int* any) {
    const int t = threadIdx.x;
    count[t] = __syncthreads_count(t % 5 == 0);
    all[t] = __syncthreads_and(t < 99);
    any[t] = __syncthreads_or(t == 100);
}
"""


def test_block_votes(kernels):
    count, every, some = kernels(VOTES)("votes", 1, 100, *[np.full(100, -7, np.int32) for _ in range(3)])
    assert set(count) == {20}
    assert set(every) == {0}
    assert set(some) == {0}


ATOMICS = r"""
extern "C" __global__ void histogram(const int* x, int* counts, unsigned* last, unsigned* ticket, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(&counts[x[i]], 1);
    atomicMax(last, (unsigned)i);
    __syncthreads();
    __threadfence();
    if (threadIdx.x == 0) atomicInc(ticket, 100u);
}
extern "C" __global__ void locked(int* lock, int* total) {
    while (atomicCAS(lock, 0, 1) != 0) {}
    *(volatile int*)total = *(volatile int*)total + 1;
    __threadfence();
    atomicExch(lock, 0);
}
"""


@pytest.mark.parametrize("check", [False, True])
def test_atomics(kernels, settings, check):
    settings(check=check)
    x = np.random.default_rng(0).integers(0, 10, 300).astype(np.int32)
    run = kernels(ATOMICS)
    _, counts, last, ticket = run(
        "histogram", 3, 128, x, np.zeros(10, np.int32), np.zeros(1, np.uint32), np.zeros(1, np.uint32), 300
    )
    np.testing.assert_array_equal(counts, np.bincount(x, minlength=10))
    assert last[0] == 383
    assert ticket[0] == 3
    assert run("locked", 2, 64, np.zeros(1, np.int32), np.zeros(1, np.int32))[1][0] == 128


HALF = r"""
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void widen(const __half* h, const __nv_bfloat16* b, float* fh, float* fb, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { fh[i] = __half2float(h[i]); fb[i] = __bfloat162float(b[i]); }
}
extern "C" __global__ void narrow(const float* f, __half* h, __nv_bfloat16* b, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { h[i] = __float2half_rn(f[i]); b[i] = __float2bfloat16_rn(f[i]); }
}
"""


def test_half_types_are_bit_exact(kernels):
    run = kernels(HALF)
    bits = np.arange(65536, dtype=np.uint16)
    zeros = np.zeros(65536, np.float32)
    wide = run("widen", 256, 256, bits, bits, zeros, zeros, 65536)[2:]
    np.testing.assert_array_equal(wide[0], bits.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(wide[1], bits.view(ml_dtypes.bfloat16).astype(np.float32))
    # Every half, what lies between neighbours, the ties, and random bits (denormals, infinities and NaN among them).
    half = bits.view(np.float16)[np.isfinite(bits.view(np.float16))].astype(np.float32)
    bf = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    ties = [np.nextafter(half, np.float32(side)) for side in (-np.inf, np.inf)]
    middle = ((half.astype(np.float64) + np.roll(half, 1)) / 2).astype(np.float32)
    random = np.random.default_rng(1).integers(0, 2**32, 100000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([half, *ties, middle, bf, random])
    blank = np.zeros(len(values), np.uint16)
    _, h, b = run("narrow", -(-len(values) // 256), 256, values, blank, blank, len(values))
    with np.errstate(all="ignore"):
        expected_h, expected_b = values.astype(np.float16), values.astype(ml_dtypes.bfloat16)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(h[number], expected_h.view(np.uint16)[number])
    np.testing.assert_array_equal(b[number], expected_b.view(np.uint16)[number])
    assert set(h[~number]) == {0x7FFF}  # CUDA's NaN
    assert set(b[~number]) == {0x7FFF}


MATHS = r"""
extern "C" __global__ void maths(const double* x, double* y) {
    const double v = x[threadIdx.x];
    double* out = y + threadIdx.x * 8;
    out[0] = erf(erfinv(v)) - v;
    out[1] = normcdf(normcdfinv(0.5 + 0.5 * v)) - (0.5 + 0.5 * v);
    out[2] = rsqrt(v * v + 1) * sqrt(v * v + 1) - 1;
    out[3] = exp10(v) - pow(10.0, v);
    out[4] = sinpi(v) - sin(3.14159265358979323846 * v);
    out[5] = __umulhi(0xffffffffu, 0x80000000u) - 2147483647.0;
    out[6] = __float2int_rn(2.5f) + __float2int_rz(-1e30f) + 2147483646.0 + __popc(0xf0f0u) - 8;
    out[7] = max(1.5, 2.0) + min(3u, 7u) + abs(-4ll) + __clz(1) + __ffs(8) + __byte_perm(0x03020100, 0x07060504, 0x7410) - 0x07040100 - 44;
}
"""


def test_mathematics(kernels):
    x = np.array([-0.999999, -0.9, -0.5, -1e-9, 0.0, 0.3, 0.75, 0.999])
    _, y = kernels(MATHS)("maths", 1, len(x), x, np.full((len(x), 8), np.nan))
    np.testing.assert_allclose(y, 0, atol=2e-14)


def test_products_and_sums_are_rounded_one_by_one(kernels):
    source = (
        'extern "C" __global__ void f(float* x) { x[3] = x[0] * x[1] + x[2]; x[4] = fmaf(x[0], x[1], x[2]); }'
    )
    (x,) = kernels(source)("f", 1, 1, np.array([1 + 2**-12, 1 + 2**-12, -1 - 2**-11, 9, 9], np.float32))
    assert x[3] == 0
    assert x[4] == 2**-24


def test_struct_and_mixed_arguments(kernels):
    class Params(ctypes.Structure):
        _fields_ = [("scale", ctypes.c_double), ("n", ctypes.c_int), ("offset", ctypes.c_float)]

    source = r"""
    struct Params { double scale; int n; float offset; };
    extern "C" __global__ void f(float* y, const Params p, float z, int k) {
        if (threadIdx.x < p.n) y[threadIdx.x] = p.scale * threadIdx.x + p.offset + z * k;
    }"""
    (y,) = kernels(source)("f", 1, 8, np.zeros(8, np.float32), Params(2.0, 5, 0.5), 0.25, 4)
    np.testing.assert_array_equal(y, [1.5, 3.5, 5.5, 7.5, 9.5, 0, 0, 0])


def test_arguments_are_copies_for_each_thread(kernels):
    source = 'extern "C" __global__ void f(int* y, int n) { n += threadIdx.x; y[threadIdx.x] = n; }'
    np.testing.assert_array_equal(kernels(source)("f", 1, 4, np.zeros(4, np.int32), 10)[0], [10, 11, 12, 13])


def test_printf(kernels, capsys):
    source = 'extern "C" __global__ void f() { printf("thread %d of %s\\n", threadIdx.x, "two"); }'
    kernels(source)("f", 1, 2)
    assert capsys.readouterr().out == "thread 0 of two\nthread 1 of two\n"


def test_template_shared_memory_of_each_instance(kernels):
    source = r"""
    template <class V, int N> __device__ V swap(V v) {
        __shared__ V all[N];
        all[threadIdx.x] = v;
        __syncthreads();
        return all[N - 1 - threadIdx.x];
    }
    extern "C" __global__ void f(float* x, double* y) {
        x[threadIdx.x] = swap<float, 8>(x[threadIdx.x]);
        y[threadIdx.x] = swap<double, 8>(y[threadIdx.x]);
    }"""
    x, y = kernels(source)("f", 1, 8, np.arange(8, dtype=np.float32), np.arange(8.0) + 10)
    np.testing.assert_array_equal(x, np.arange(8)[::-1])
    np.testing.assert_array_equal(y, np.arange(8)[::-1] + 10)


# ---- planted bugs ----
BUGS = r"""
extern "C" __global__ void past_the_end(float* x, float* y, int n) {
    y[threadIdx.x] = x[threadIdx.x + n];
}
extern "C" __global__ void before_the_begin(float* x, float* y) {
    y[(int)threadIdx.x - 1] = x[threadIdx.x];
}
extern "C" __global__ void fixed_array(float* x, int n) {
    __shared__ float tile[8];
    tile[(int)threadIdx.x + n] = x[0];
    x[0] = tile[0];
}
extern "C" __global__ void dynamic_array(float* x, int n) {
    extern __shared__ float buffer[];
    buffer[threadIdx.x + n] = x[0];
}
extern "C" __global__ void null(float* x, float* y) {
    x[threadIdx.x] = reinterpret_cast<float*>(sizeof(y) - 8)[threadIdx.x];
}
extern "C" __global__ void misaligned(float* x, int n) {
    float4 v = reinterpret_cast<float4*>(x + n)[threadIdx.x];
    x[0] = v.y;
}
extern "C" __global__ void early_exit(float* x, int n) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}
extern "C" __global__ void divergent(float* x) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    x[threadIdx.x] = 1;
}
extern "C" __global__ void deadlock(float* x) {
    if (threadIdx.x == 3) __syncthreads();
    else __syncwarp();
    x[threadIdx.x] = 1;
}
extern "C" __global__ void not_in_mask(int* x) {
    x[threadIdx.x] = __shfl_sync(0x0000ffffu, x[threadIdx.x], 0);
}
extern "C" __global__ void other_operation(int* x) {
    if (threadIdx.x < 16) x[0] = __shfl_sync(0xffffffffu, 1, 0);
    else x[1] = __ballot_sync(0xffffffffu, 1);
}
extern "C" __global__ void polls(int* x) {
    while (atomicAdd(x, 0) == 0) {}
}
extern "C" __global__ void endless(volatile int* x) {
    while (*x == 0) {}
}
extern "C" __global__ void asserts(int* x) {
    assert(x[threadIdx.x] < 5);
}
extern "C" __global__ void divides(int* x, int n) {
    x[threadIdx.x] = 7 / (n - (int)threadIdx.x);
}
extern "C" __global__ void recursion(int* x, int n) {
    volatile char deep[1 << 20];
    for (int i = 0; i < (1 << 20); i += 512) deep[i] = n;
    x[0] = deep[n];
}
extern "C" __global__ void missing_barrier(float* x) {
    __shared__ float all[64];
    all[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = all[63 - threadIdx.x];
}
extern "C" __global__ void blocks_race(int* x) {
    x[0] = blockIdx.x;
}
extern "C" __global__ void shared_not_written(float* x) {
    __shared__ float all[64];
    if (threadIdx.x != 5) all[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = all[threadIdx.x];
}
extern "C" __global__ void __launch_bounds__(64) bounded(float* x) { x[threadIdx.x] = 1; }
"""


def ones(n: int, kind=np.float32) -> np.ndarray:
    return np.ones(n, kind)


# kernel, grid, block, arguments, and what the message must contain
FOUND_ALWAYS = [
    ("past_the_end", 1, 32, (ones(64), ones(32), 40), ["thread (24,0,0)", "reads", "0 bytes past the end", "argument 0", "x[threadIdx.x + n]"]),
    ("past_the_end", 2, 32, (ones(64), ones(16), 0), ["block (0,0,0)", "thread (16,0,0)", "writes", "argument 1", "line 3"]),
    ("before_the_begin", 1, 32, (ones(1024), ones(1024)), ["thread (0,0,0)", "writes", "4 bytes before the begin", "argument 1"]),
    ("before_the_begin", 1, 32, (ones(32), ones(33)), ["before the begin", "argument 1", "GRADGPU_CUDASIM_CHECK=1"]),
    ("past_the_end", 1, 1, (ones(64), ones(1), 63), []),
    ("fixed_array", 1, 8, (ones(4), 3), ["thread (5,0,0)", "index 8", "'float [8]'", "tile[(int)threadIdx.x + n]"]),
    ("fixed_array", 1, 8, (ones(4), -1), ["thread (0,0,0)", "index -1", "line 10"]),
    ("dynamic_array", 1, 8, (ones(4), 1), ["thread (7,0,0)", "writes", "buffer[threadIdx.x + n]"]),
    ("null", 1, 8, (ones(4), ones(4)), ["thread (0,0,0)", "reads", "null pointer"]),
    ("misaligned", 1, 4, (ones(32), 1), ["thread (0,0,0)", "misaligned", "multiple of 16", "byte 4 of the array of argument 0", "float4"]),
    ("early_exit", 1, 64, (ones(64), 40), ["not reached by all threads", "40 of 64", "24 have left", "line 26"]),
    ("divergent", 1, 64, (ones(64),), ["divergent barrier", "line 31", "line 33"]),
    ("deadlock", 1, 32, (ones(64),), ["deadlock", "thread (3,0,0)", "__syncthreads() in line 38", "line 39"]),
    ("not_in_mask", 1, 32, (ones(32, np.int32),), ["thread (16,0,0)", "lane 16", "0x0000ffff", "does not name"]),
    ("other_operation", 1, 32, (ones(32, np.int32),), ["different warp operations", "line 46", "line 47"]),
    ("polls", 1, 2, (np.zeros(1, np.int32),), ["deadlock", "polls", "thread ("]),
    ("endless", 1, 1, (np.zeros(1, np.int32),), ["more than 1 s", "thread (0,0,0)", "while (*x == 0)"]),
    ("asserts", 1, 8, (np.arange(8, dtype=np.int32),), ["thread (5,0,0)", "assertion failed: x[threadIdx.x] < 5", "line 56"]),
    ("divides", 1, 8, (ones(8, np.int32), 3), ["thread (3,0,0)", "division by zero"]),
    ("recursion", 1, 1, (ones(8, np.int32), 3), ["out of bounds", "thread (0,0,0)"]),
    ("bounded", 1, 65, (ones(65),), ["65 threads", "__launch_bounds__", "64"]),
    ("bounded", 1, (33, 32), (ones(65),), ["1056 threads", "1024"]),
    ("bounded", (1, 65536), 1, (ones(65),), ["grid (1,65536,1)", "65535"]),
    ("bounded", 0, 1, (ones(65),), ["grid (0,1,1) is empty"]),
    ("bounded", 1, (1, 1, 65), (ones(65),), ["block (1,1,65)"]),
]  # fmt: skip


@pytest.mark.parametrize("case", FOUND_ALWAYS, ids=lambda case: case[0])
def test_bug_is_found_and_named(kernels, settings, case):
    kernel, grid, block, args, words = case
    settings(timeout=1.0)
    shared = 32 if kernel == "dynamic_array" else 0
    run = kernels(BUGS, "bugs.cu")
    if not words:
        run(kernel, grid, block, *args, shared=shared)  # the last element: no bug
        return
    with pytest.raises(KernelError) as error:
        run(kernel, grid, block, *args, shared=shared)
    for word in ["CUDA simulator", f"kernel '{kernel}'", *words]:
        assert word in str(error.value)


FOUND_IN_CHECK_MODE = [
    ("before_the_begin", 1, 32, (ones(32), ones(33)), ["thread (0,0,0)", "writes 4 bytes", "4 bytes before the begin", "argument 1", "line 6"]),
    ("past_the_end", 1, 2, (ones(3), ones(3), 2), ["thread (1,0,0)", "reads 4 bytes", "0 bytes past the end", "argument 0"]),
    ("missing_barrier", 1, 64, (ones(64),), ["thread (0,0,0)", "shared memory", "line 69"]),
    ("blocks_race", 2, 1, (ones(1, np.int32),), ["block (1,0,0)", "race", "argument 0", "of block (0,0,0) writes", "line 72"]),
    ("shared_not_written", 1, 64, (ones(64),), ["thread (5,0,0)", "uninitialised", "shared memory", "line 78"]),
]  # fmt: skip


@pytest.mark.parametrize("case", FOUND_IN_CHECK_MODE, ids=lambda case: case[0])
def test_check_mode_names_thread_and_line(kernels, settings, case):
    kernel, grid, block, args, words = case
    settings(check=True)
    with pytest.raises(KernelError) as error:
        kernels(BUGS, "bugs.cu")(kernel, grid, block, *args)
    for word in [f"kernel '{kernel}'", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("kernel, grid, block, n", [("missing_barrier", 1, 64, 64), ("blocks_race", 4, 1, 1)])
def test_races_change_the_result_with_the_order(kernels, settings, kernel, grid, block, n):
    run = kernels(BUGS, "bugs.cu")
    run(kernel, grid, block, np.arange(n, dtype=np.float32))
    settings(order="all")
    with pytest.raises(KernelError, match="order in which threads run .*argument 0"):
        run(kernel, grid, block, np.arange(n, dtype=np.float32))


def test_check_mode_names_racing_threads(kernels, settings):
    settings(check=True)
    source = r"""extern "C" __global__ void f(int* x) {
        __shared__ int s;
        s = threadIdx.x;
        __syncthreads();
        x[threadIdx.x] = s;
    }"""
    with pytest.raises(
        KernelError, match=r"thread \(1,0,0\): race: it writes shared memory, which thread \(0,0,0\) .*writes"
    ):
        kernels(source)("f", 1, 64, np.zeros(64, np.int32))


def test_uninitialised_memory_holds_nan(sim):
    memory = sim.alloc(64)
    host = np.zeros(16, np.float32)
    sim.to_host(host, memory.ptr, 0)
    assert np.isnan(host).all()


def test_uninitialised_memory_is_named(sim, kernels, settings):
    settings(check=True)
    memory, out = sim.alloc(64), sim.alloc(64)
    sim.fill(memory.ptr, 0, 32, 0)
    function = kernels(
        'extern "C" __global__ void f(float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }'
    ).module.function("f")
    values = [ctypes.c_void_p(memory.ptr), ctypes.c_void_p(out.ptr)]
    pointers = (ctypes.c_void_p * 2)(*[ctypes.addressof(v) for v in values])
    with pytest.raises(
        KernelError, match=r"thread \(8,0,0\): uninitialised: it reads byte 32 of the array of argument 0"
    ):
        sim.launch(function.handle, 1, 1, 1, 16, 1, 1, 0, 0, ctypes.addressof(pointers), 0)


def test_freed_memory_is_named(sim, kernels, settings):
    settings(check=True)
    memory = sim.alloc(96)
    address = memory.ptr
    del memory
    function = kernels('extern "C" __global__ void f(float* x) { x[threadIdx.x] = 1; }').module.function("f")
    value = ctypes.c_void_p(address)
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(value))
    with pytest.raises(KernelError, match="freed"):
        sim.launch(function.handle, 1, 1, 1, 1, 1, 1, 0, 0, ctypes.addressof(pointers), 0)


def test_after_an_error_the_device_works(kernels):
    run = kernels(BUGS, "bugs.cu")
    for _ in range(3):
        with pytest.raises(KernelError):
            run("early_exit", 1, 64, ones(64), 40)
        np.testing.assert_array_equal(run("early_exit", 1, 64, np.zeros(64, np.float32), 64)[0], ones(64))


# ---- limits, copies, memory ----
def test_shared_memory_limits(sim, kernels):
    source = 'extern "C" __global__ void f(float* x) { extern __shared__ float s[]; s[0] = 1; x[0] = s[0]; }'
    run = kernels(source)
    with pytest.raises(KernelError, match="50000 bytes of dynamic shared memory.*set_shared"):
        run("f", 1, 1, ones(1), shared=50000)
    function = run.module.function("f")
    function.set_shared(100000)
    with pytest.raises(RuntimeError, match="232448"):
        function.set_shared(300000)


@pytest.mark.parametrize("extra", [-8, 4])
def test_copies_are_checked(sim, extra):
    memory = sim.alloc(64)
    with pytest.raises(KernelError, match="copy to the device of 64 bytes.*out of bounds"):
        sim.to_device(memory.ptr + extra, ones(16), 0)
    with pytest.raises(KernelError, match="fill"):
        sim.fill(memory.ptr + extra, 0, 64, 0)


def test_memory_is_counted(sim):
    before = sim.memory_info()["used"]
    sim.reset_peak_memory()
    a, b = sim.alloc(1000), sim.alloc(2000)
    assert sim.memory_info()["used"] == before + 3000
    del a, b
    assert sim.memory_info()["used"] == before
    assert sim.peak_memory() == before + 3000
    with pytest.raises(MemoryError, match="out of memory.*GRADGPU_CUDASIM_MEMORY"):
        sim.alloc(1 << 50)
    assert sim.alloc(0).ptr == 0


def test_many_arrays(sim):
    """More arrays than the operating system has guard pages for."""
    arrays = [sim.alloc(8) for _ in range(40000)]
    assert len({a.ptr for a in arrays}) == 40000
    assert all(a.ptr % 16 == 0 for a in arrays)


def test_capture_records_and_replays(sim, kernels):
    function = kernels(
        'extern "C" __global__ void f(float* x, float by) { x[threadIdx.x] += by; }'
    ).module.function("f")
    memory = sim.alloc(16)
    sim.fill(memory.ptr, 0, 16, 0)
    host = np.zeros(4, np.float32)
    with sim.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        x, by = ctypes.c_void_p(memory.ptr), ctypes.c_float(2.0)
        pointers = (ctypes.c_void_p * 2)(ctypes.addressof(x), ctypes.addressof(by))
        sim.launch(function.handle, 1, 1, 1, 4, 1, 1, 0, stream.ptr, ctypes.addressof(pointers), 0)
        by.value = 99.0  # the graph keeps its own copy
        with pytest.raises(RuntimeError, match="captured"):
            sim.to_host(host, memory.ptr, stream.ptr)
        assert stream.is_capturing()
        graph = stream.end_capture()
        graph.launch()
        graph.launch()
        sim.to_host(host, memory.ptr, stream.ptr)
    np.testing.assert_array_equal(host, np.full(4, 4.0))


def test_pool_keeps_its_memory(sim):
    pool = sim.MemoryPool()
    with sim.using_pool(pool):
        memory = sim.alloc(256)
    address, used = memory.ptr, sim.memory_info()["used"]
    del memory
    assert sim.memory_info()["used"] == used
    other = sim.alloc(256)
    assert other.ptr != address
    with sim.using_pool(pool):
        assert sim.alloc(256).ptr == address
    del pool
    assert sim.memory_info()["used"] == used


# ---- statistics ----
def test_report_counts_launches_threads_and_bytes(sim, kernels, settings):
    run = kernels(
        'extern "C" __global__ void twice(const float* x, double* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }'
    )
    sim.clear_statistics()
    run("twice", 1, 32, ones(32), np.zeros(32))
    row = sim.statistics()["twice"]
    assert (row.launches, row.blocks, row.threads, row.bytes_read) == (1, 1, 32, None)
    settings(check=True)
    run("twice", 1, 32, ones(32), np.zeros(32))
    reports = [row for row in sim.statistics() if row.bytes_read is not None]
    assert [(row.bytes_read, row.bytes_written) for row in reports] == [(128, 256)]
    assert "twice" in str(sim.statistics())
    assert "128 B" in str(sim.statistics())


# ---- compilation ----
def test_compile_errors_name_file_and_line(sim):
    with pytest.raises(RuntimeError, match=r"(?s)compiling mine\.cu .*mine\.cu:2:.*nonsense"):
        sim.compile('extern "C" __global__ void f(float* x) {\n  x[0] = nonsense;\n}', "mine.cu")


def test_unknown_kernel(sim):
    with pytest.raises(AttributeError, match=r"mine\.cu has no kernel 'g'; it has f"):
        sim.compile('extern "C" __global__ void f(float* x) { x[0] = 1; }', "mine.cu").function("g")


def test_kernels_are_cached_by_content(sim, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADGPU_CACHE_DIR", str(tmp_path))
    source = 'extern "C" __global__ void f(float* x) { x[0] = %d; }'
    first = compiler.build(compiler.unit(source % 1, "a.cu"), "f")
    made = first.stat().st_mtime_ns
    assert compiler.build(compiler.unit(source % 1, "a.cu"), "f") == first
    assert first.stat().st_mtime_ns == made
    assert compiler.build(compiler.unit(source % 2, "a.cu"), "f") != first


def test_precompile(sim, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADGPU_CACHE_DIR", str(tmp_path))
    sources = [(f'extern "C" __global__ void f(float* x) {{ x[0] = {i}; }}', "a.cu") for i in range(3)]
    sim.precompile(sources)
    assert len(list((tmp_path / "simulator").rglob("*.so"))) == 3


def in_a_new_process(code: str, **environment: str) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GRADGPU_CUDASIM")}
    return subprocess.run(
        [sys.executable, "-c", code], env={**env, **environment}, capture_output=True, text=True, check=False
    )


def test_without_a_compiler_the_message_says_what_to_install():
    code = "import gradgpu as gg; gg.cuda.use_simulator(); gg.ones(2, device='cuda')"
    done = in_a_new_process(code, PATH="", CXX="")
    assert done.returncode == 1
    assert "install g++" in done.stderr


def test_public_interface():
    code = """
import gradgpu as gg
assert gg.cuda.is_available() and gg.cuda.is_simulated() and gg.cuda.device_count() == 2
assert "simulated" in gg.cuda.get_device_name()
assert gg.cuda.get_device_capability() == (9, 0) and gg.cuda.current_device() == 0
with gg.cuda.device(1):
    assert gg.cuda.current_device() == 1
    x = gg.ones(3, device="cuda")
assert str(x.device) == "cuda:1" and gg.cuda.memory_allocated(1) >= 12
start, end = gg.cuda.Event(enable_timing=True), gg.cuda.Event(enable_timing=True)
with gg.cuda.Stream() as s:
    start.record()
    assert gg.cuda.current_stream() == s != gg.cuda.default_stream()
    end.record()
assert start.elapsed_time(end) >= 0 and s.query()
s.wait_stream(gg.cuda.default_stream())
gg.cuda.synchronize()
before = gg.cuda.simulator.configure(check=True)
assert before["check"] is False and before["order"] == "reverse"
assert "vector" in str(gg.cuda.simulator.report())
gg.cuda.simulator.reset_report()
assert gg.cuda.simulator.report() == []
print("done")
"""
    done = in_a_new_process(
        code, GRADGPU_CUDASIM="1", GRADGPU_CUDASIM_DEVICES="2", GRADGPU_CUDASIM_ORDER="reverse"
    )
    assert done.stdout == "done\n", done.stderr


def test_nobody_is_put_on_the_simulator_silently():
    code = "import gradgpu as gg; print(gg.cuda.is_available()); gg.ones(2, device='cuda')"
    done = in_a_new_process(code, CUDA_VISIBLE_DEVICES="-1")
    assert done.stdout == "False\n"
    assert "GRADGPU_CUDASIM=1" in done.stderr
    assert "pip install gradgpu[cuda12]" in done.stderr
