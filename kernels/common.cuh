// What every kernel shares: element types, conversion, vectors, fast division, reductions.
// The compiler of gradgpu (gradgpu/cuda/compile.py) puts this text in front of each kernel file.
#pragma once

#ifdef GG_USE_F16
#include <cuda_fp16.h>
#endif
#ifdef GG_USE_BF16
#include <cuda_bf16.h>
#endif

typedef signed char int8;
typedef unsigned char uint8;
typedef short int16;
typedef long long int64;
typedef unsigned int uint32;
typedef unsigned long long uint64;

#define GG_CAT2(a, b) a##_##b
#define GG_CAT(a, b) GG_CAT2(a, b)
// KERNEL(softmax_forward)(Params p) { ... }  ->  extern "C" __global__ void softmax_forward_f32(Params p)
#define KERNEL(name) extern "C" __global__ void GG_CAT(name, T_NAME)
// Dynamic shared memory; one per kernel.
#ifndef SHARED_MEMORY
#define SHARED_MEMORY(type, name)                     \
    extern __shared__ __align__(16) char gg_shared[]; \
    type* name = reinterpret_cast<type*>(gg_shared)
#endif

// ---- element type -> type of the arithmetic (half types compute in float) ----
template <class E> struct ComputeOf { typedef E type; };
#ifdef GG_USE_F16
template <> struct ComputeOf<__half> { typedef float type; };
#endif
#ifdef GG_USE_BF16
template <> struct ComputeOf<__nv_bfloat16> { typedef float type; };
#endif
template <class E> using Compute = typename ComputeOf<E>::type;

template <class E> __device__ __forceinline__ Compute<E> load(const E& e) { return e; }
template <class E> struct Store {
    template <class C> static __device__ __forceinline__ E of(C c) { return static_cast<E>(c); }
};
#ifdef GG_USE_F16
template <> __device__ __forceinline__ float load<__half>(const __half& e) { return __half2float(e); }
template <> struct Store<__half> {
    static __device__ __forceinline__ __half of(float c) { return __float2half_rn(c); }
};
#endif
#ifdef GG_USE_BF16
template <> __device__ __forceinline__ float load<__nv_bfloat16>(const __nv_bfloat16& e) { return __bfloat162float(e); }
template <> struct Store<__nv_bfloat16> {
    static __device__ __forceinline__ __nv_bfloat16 of(float c) { return __float2bfloat16_rn(c); }
};
#endif
// store<T>(value): the value rounded to the element type.
template <class E, class C> __device__ __forceinline__ E store(C c) { return Store<E>::of(c); }

// ---- N elements moved as one aligned access ----
template <class E, int N> struct __align__(sizeof(E) * N) Vector { E at[N]; };

// ---- division by a number that is fixed for a launch: Granlund & Montgomery (1994), 32-bit, n < 2^31 ----
struct FastDiv {
    uint32 divisor, magic, shift;
    __device__ __forceinline__ uint32 div(uint32 n) const { return (__umulhi(n, magic) + n) >> shift; }
    __device__ __forceinline__ void divmod(uint32 n, uint32& quotient, uint32& rest) const {
        quotient = div(n);
        rest = n - quotient * divisor;
    }
};

// ---- limits ----
template <class C> __device__ __forceinline__ C infinity();
template <> __device__ __forceinline__ float infinity<float>() { return __int_as_float(0x7f800000); }
template <> __device__ __forceinline__ double infinity<double>() { return __longlong_as_double(0x7ff0000000000000LL); }

// ---- reductions over a warp and a block; every thread gets the result, in a fixed order ----
struct Sum { template <class C> static __device__ __forceinline__ C apply(C a, C b) { return a + b; } };
struct Max { template <class C> static __device__ __forceinline__ C apply(C a, C b) { return (a != a || a > b) ? a : b; } };  // NaN wins
struct Min { template <class C> static __device__ __forceinline__ C apply(C a, C b) { return (a != a || a < b) ? a : b; } };

template <class Op, class C> __device__ __forceinline__ C warp_reduce(C value) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) value = Op::apply(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

// All threads of the block must call it (blockDim.x a multiple of 32, one-dimensional block); scratch: 32 slots.
template <class Op, class C> __device__ __forceinline__ C block_reduce(C value, C identity, C* scratch) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    value = warp_reduce<Op>(value);
    if (warps == 1) return value;
    __syncthreads();  // scratch may still be read from the call before
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    value = lane < warps ? scratch[lane] : identity;
    return warp_reduce<Op>(value);
}

// ---- integer arithmetic with Python's rules ----
template <class C> __device__ __forceinline__ C floor_div(C a, C b) {
    const C q = a / b;
    return ((a % b != 0) && ((a < 0) != (b < 0))) ? q - 1 : q;
}
template <> __device__ __forceinline__ float floor_div<float>(float a, float b) { return floorf(a / b); }
template <> __device__ __forceinline__ double floor_div<double>(double a, double b) { return floor(a / b); }
// The sign of the divisor; fmod is exact where a - b * floor(a / b) would round.
template <class C> __device__ __forceinline__ C floor_mod(C a, C b) {
    const C r = a % b;
    return (r != 0 && ((r < 0) != (b < 0))) ? r + b : r;
}
template <> __device__ __forceinline__ float floor_mod<float>(float a, float b) {
    const float r = fmodf(a, b);
    return (r != 0.0f && ((r < 0.0f) != (b < 0.0f))) ? r + b : r;
}
template <> __device__ __forceinline__ double floor_mod<double>(double a, double b) {
    const double r = fmod(a, b);
    return (r != 0.0 && ((r < 0.0) != (b < 0.0))) ? r + b : r;
}
template <class C> __device__ __forceinline__ C int_mod(C a, C b) { return a % b; }
template <class C> __device__ __forceinline__ C int_pow(C a, C b) {
    C result = 1;
    for (; b > 0; b = static_cast<C>(b >> 1)) {
        if (b & 1) result = static_cast<C>(result * a);
        a = static_cast<C>(a * a);
    }
    return result;
}
template <class C> __device__ __forceinline__ C bitwise_not(C x) { return static_cast<C>(~x); }
template <> __device__ __forceinline__ bool bitwise_not<bool>(bool x) { return !x; }
template <class C> __device__ __forceinline__ bool isinf_equal(C a, C b) { return a == b && fabs(a) == infinity<C>(); }
