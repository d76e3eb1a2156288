"""Bugs planted in kernels: the simulator finds each kind, and its message names the place."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from gradgpu.cuda.simulator import KernelError
from tests.simulator.conftest import needs_compiler, ones

pytestmark = needs_compiler

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
