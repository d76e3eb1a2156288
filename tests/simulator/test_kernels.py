"""The CUDA simulator: kernels compute what CUDA says; memory, capture, statistics and compilation."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from gradgpu.cuda.simulator import KernelError, compiler
from tests.simulator.conftest import needs_compiler, ones

pytestmark = needs_compiler


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


# ---- limits, copies, memory ----
def test_shared_memory_limits(sim, kernels):
    source = 'extern "C" __global__ void f(float* x) { extern __shared__ float s[]; s[0] = 1; x[0] = s[0]; }'
    run = kernels(source)
    with pytest.raises(KernelError, match="50000 bytes of dynamic shared memory.*set_shared"):
        run("f", 1, 1, ones(1), shared=50000)
    with pytest.raises(KernelError, match="65536 bytes of __shared__ variables"):
        kernels(
            'extern "C" __global__ void f(float* x) { __shared__ float s[16384]; s[threadIdx.x] = x[0]; __syncthreads(); x[0] = s[0]; }'
        )("f", 1, 1, ones(1))
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
    assert sim.peak_memory()["used"] == before + 3000
    with pytest.raises(MemoryError, match="out of memory.*GRADGPU_CUDASIM_MEMORY"):
        sim.alloc(1 << 50)
    assert sim.alloc(0).ptr == 0


def test_garbage_is_collected_before_memory_runs_out():
    """Memory that only a cycle of references holds, and memory that a stream has used and nobody else holds."""
    program = """
import gradgpu as gg
gg.cuda.use_simulator()
def make(n=700):
    return gg.empty(n, dtype=gg.uint8, device="cuda")

make().record_stream(gg.cuda.Stream())
make()
cycle = [make()]
cycle.append(cycle)
del cycle
make()
try:
    make(1001)
except MemoryError:
    print("so")
"""
    env = {**os.environ, "GRADGPU_CUDASIM_MEMORY": "1000"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.stdout == "so\n", done.stderr


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
