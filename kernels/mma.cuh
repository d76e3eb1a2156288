// Tensor-core steps: a warp multiplies a 16 x 16 by a 16 x 8 matrix of half types and adds to float sums (mma.sync,
// PTX ISA, "Matrix Fragments for mma.m16n8k16"). GG_MMA is defined where the device has them for T.
#pragma once
#include "common.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && (defined(GG_USE_F16) || defined(GG_USE_BF16))
#define GG_MMA 1

// With group = lane / 4 and pair = lane % 4 a lane holds, two neighbouring elements to a register,
// of a: rows group and group + 8, columns 2 pair and 2 pair + 8 (a[0], a[1]: first columns; a[2], a[3]: second),
// of b: column group, rows 2 pair (b[0]) and 2 pair + 8 (b[1]),
// of the sums: row group (d0, d1) and group + 8 (d2, d3), columns 2 pair and 2 pair + 1.
#ifdef GG_SIMULATOR
template <class E> struct Mma {
    static void step(float& d0, float& d1, float& d2, float& d3, const uint32 (&a)[4], const uint32 (&b)[2]) {
        sim_mma_m16n8k16<E>(d0, d1, d2, d3, a, b);
    }
};
#else
template <class E> struct Mma;
#define GG_MMA_STEP(E, name)                                                                                         \
    template <> struct Mma<E> {                                                                                      \
        static __device__ __forceinline__ void step(float& d0, float& d1, float& d2, float& d3, const uint32 (&a)[4], \
                                                    const uint32 (&b)[2]) {                                          \
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                      \
                         ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                      \
                         : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)                                                    \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                        \
        }                                                                                                            \
    };
#ifdef GG_USE_F16
GG_MMA_STEP(__half, "f16")
#endif
#ifdef GG_USE_BF16
GG_MMA_STEP(__nv_bfloat16, "bf16")
#endif
#undef GG_MMA_STEP
#endif
#endif
