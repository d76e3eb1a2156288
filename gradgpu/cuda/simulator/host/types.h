// CUDA's vector types: float2, int4, uchar4 … with their alignment, and make_float2 …
#pragma once

#define SIM_VECTOR(name, E, a2, a4)                                                                   \
    struct name##1 { E x; };                                                                          \
    struct __attribute__((aligned(a2))) name##2 { E x, y; };                                          \
    struct name##3 { E x, y, z; };                                                                    \
    struct __attribute__((aligned(a4))) name##4 { E x, y, z, w; };                                    \
    static inline name##1 make_##name##1(E x) { return {x}; }                                         \
    static inline name##2 make_##name##2(E x, E y) { return {x, y}; }                                 \
    static inline name##3 make_##name##3(E x, E y, E z) { return {x, y, z}; }                         \
    static inline name##4 make_##name##4(E x, E y, E z, E w) { return {x, y, z, w}; }
SIM_VECTOR(char, signed char, 2, 4)
SIM_VECTOR(uchar, unsigned char, 2, 4)
SIM_VECTOR(short, short, 4, 8)
SIM_VECTOR(ushort, unsigned short, 4, 8)
SIM_VECTOR(int, int, 8, 16)
SIM_VECTOR(long, long, 16, 16)
SIM_VECTOR(ulong, unsigned long, 16, 16)
SIM_VECTOR(longlong, long long, 16, 16)
SIM_VECTOR(ulonglong, unsigned long long, 16, 16)
SIM_VECTOR(float, float, 8, 16)
SIM_VECTOR(double, double, 16, 16)
#undef SIM_VECTOR
struct uint1 { unsigned x; };
struct __attribute__((aligned(8))) uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
static inline uint1 make_uint1(unsigned x) { return {x}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#define SIM_INLINE static inline __attribute__((always_inline))

template <class To, class From> SIM_INLINE To sim_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps the size");
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
