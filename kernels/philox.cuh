// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy
// as 1, 2, 3" (SC 2011), and numbers made from its words. gradgpu/philox.py is the same arithmetic in numpy:
// every function here gives the same bits there. So no product and sum may be contracted into an fma, and no
// logarithm, sine or root may come from a library that rounds differently.
#pragma once
#include "common.cuh"

struct PhiloxWords { uint32 word[4]; };

// Block `block` of the stream of `seed`: four independent words of 32 bits.
__device__ __forceinline__ PhiloxWords philox(uint64 seed, uint64 block) {
    uint32 c0 = static_cast<uint32>(block), c1 = static_cast<uint32>(block >> 32), c2 = 0, c3 = 0;
    uint32 k0 = static_cast<uint32>(seed), k1 = static_cast<uint32>(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint64 p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
        c0 = static_cast<uint32>(p1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<uint32>(p1);
        c2 = static_cast<uint32>(p0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<uint32>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    PhiloxWords out = {{c0, c1, c2, c3}};
    return out;
}
__device__ __forceinline__ uint64 word64(const PhiloxWords& words, int k) {
    // No index that only the run knows: the words stay in registers.
    const uint32 high = k ? words.word[3] : words.word[1], low = k ? words.word[2] : words.word[0];
    return static_cast<uint64>(high) << 32 | low;
}

// ---- uniform in [0, 1), as many bits as the type can hold, so that 1 is never reached by rounding ----
template <class E> struct UniformBits { enum { bits = 24 }; };
#ifdef GG_USE_F16
template <> struct UniformBits<__half> { enum { bits = 11 }; };
#endif
#ifdef GG_USE_BF16
template <> struct UniformBits<__nv_bfloat16> { enum { bits = 8 }; };
#endif
template <class E> __device__ __forceinline__ float uniform32(uint32 word) {
    const int bits = UniformBits<E>::bits;
    return static_cast<float>(word >> (32 - bits)) * (1.0f / static_cast<float>(1u << bits));
}
__device__ __forceinline__ double uniform64(uint64 word) { return static_cast<double>(word >> 11) * 0x1p-53; }

// ---- arithmetic that rounds after every step ----
__device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float divide(float a, float b) { return __fdiv_rn(a, b); }
__device__ __forceinline__ float root(float a) { return __fsqrt_rn(a); }
__device__ __forceinline__ double add(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ double mul(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ double divide(double a, double b) { return __ddiv_rn(a, b); }
__device__ __forceinline__ double root(double a) { return __dsqrt_rn(a); }

// ---- log of a positive normal number: x = 2^k (1 + f), s = f / (2 + f),
// log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)); coefficients of fdlibm (Sun Microsystems, 1993) ----
__device__ __forceinline__ float log_exactly(float x) {
    const int moved = __float_as_int(x) + (0x3f800000 - 0x3f3504f3);
    const float k = static_cast<float>((moved >> 23) - 127);
    const float f = add(__int_as_float((moved & 0x007fffff) + 0x3f3504f3), -1.0f);
    const float s = divide(f, add(2.0f, f)), z = mul(s, s), w = mul(z, z);
    const float even = mul(w, add(0.40000972151756287f, mul(w, 0.24279078841209412f)));
    const float odd = mul(z, add(0.6666666269302368f, mul(w, 0.2849878668785095f)));
    const float half_square = mul(mul(0.5f, f), f);
    float y = add(mul(s, add(half_square, add(odd, even))), mul(k, 9.058000082148274e-06f));
    y = add(add(y, -half_square), f);
    return add(y, mul(k, 0.693138062953949f));
}
__device__ __forceinline__ double log_exactly(double x) {
    const int64 moved = __double_as_longlong(x) + ((0x3ff00000LL - 0x3fe6a09eLL) << 32);
    const double k = static_cast<double>((moved >> 52) - 1023);
    const double f = add(__longlong_as_double((moved & 0x000fffffffffffffLL) + (0x3fe6a09eLL << 32)), -1.0);
    const double s = divide(f, add(2.0, f)), z = mul(s, s), w = mul(z, z);
    const double even = mul(w, add(3.999999999940941908e-01, mul(w, add(2.222219843214978396e-01, mul(w, 1.531383769920937332e-01)))));
    const double odd = mul(z, add(6.666666666666735130e-01, mul(w, add(2.857142874366239149e-01,
                           mul(w, add(1.818357216161805012e-01, mul(w, 1.479819860511658591e-01)))))));
    const double half_square = mul(mul(0.5, f), f);
    double y = add(mul(s, add(half_square, add(odd, even))), mul(k, 1.90821492927058770002e-10));
    y = add(add(y, -half_square), f);
    return add(y, mul(k, 6.93147180369123816490e-01));
}

// ---- sine and cosine of an angle in [-pi/4, pi/4] ----
__device__ __forceinline__ void sin_cos(float a, float& sine, float& cosine) {
    const float z = mul(a, a);
    const float s = add(-1.6666654611e-1f, mul(z, add(8.3321608736e-3f, mul(z, -1.9515295891e-4f))));
    sine = add(a, mul(mul(a, z), s));
    const float c = add(4.166664568298827e-2f, mul(z, add(-1.388731625493765e-3f, mul(z, 2.443315711809948e-5f))));
    cosine = add(add(1.0f, mul(-0.5f, z)), mul(mul(z, z), c));
}
__device__ __forceinline__ void sin_cos(double a, double& sine, double& cosine) {
    const double z = mul(a, a);
    double s = add(-2.50507602534068634195e-08, mul(z, 1.58969099521155010221e-10));
    s = add(2.75573137070700676789e-06, mul(z, s));
    s = add(-1.98412698298579493134e-04, mul(z, s));
    s = add(8.33333333332248946124e-03, mul(z, s));
    s = add(-1.66666666666666324348e-01, mul(z, s));
    sine = add(a, mul(mul(a, z), s));
    double c = add(2.08757232129817482790e-09, mul(z, -1.13596475577881948265e-11));
    c = add(-2.75573143513906633035e-07, mul(z, c));
    c = add(2.48015872894767294178e-05, mul(z, c));
    c = add(-1.38888888888741095749e-03, mul(z, c));
    c = add(4.16666666666666019037e-02, mul(z, c));
    cosine = add(add(1.0, mul(-0.5, z)), mul(mul(z, z), c));
}

// ---- two independent normal numbers: Box & Muller (1958). The two top bits of the angle's word choose the
// quadrant, the others an angle within an eighth of a turn of its middle. ----
template <class C> __device__ __forceinline__ void turn(C radius, int quadrant, C sine, C cosine, C& z0, C& z1) {
    const C x = quadrant & 1 ? -sine : cosine, y = quadrant & 1 ? cosine : sine;
    z0 = mul(radius, quadrant & 2 ? -x : x);
    z1 = mul(radius, quadrant & 2 ? -y : y);
}
__device__ __forceinline__ void normal_pair(uint32 radius_word, uint32 angle_word, float& z0, float& z1) {
    const float u = add(mul(static_cast<float>(radius_word), 2.3283064365386963e-10f), 1.1641532182693481e-10f);
    const float radius = root(mul(-2.0f, log_exactly(u)));
    const int within = static_cast<int>(angle_word & 0x3fffffffu) - (1 << 29);
    float sine, cosine;
    sin_cos(mul(static_cast<float>(within), 1.4629180792671596e-09f), sine, cosine);  // (pi / 2) / 2^30
    turn(radius, static_cast<int>(angle_word >> 30), sine, cosine, z0, z1);
}
__device__ __forceinline__ void normal_pair(uint64 radius_word, uint64 angle_word, double& z0, double& z1) {
    const double u = add(mul(static_cast<double>(static_cast<int64>(radius_word >> 11)), 0x1p-53), 0x1p-54);
    const double radius = root(mul(-2.0, log_exactly(u)));
    const int64 within = static_cast<int64>((angle_word & 0x3fffffffffffffffULL) >> 9) - (1LL << 52);
    double sine, cosine;
    sin_cos(mul(static_cast<double>(within), 1.743934249004316e-16), sine, cosine);  // (pi / 2) / 2^53
    turn(radius, static_cast<int>(angle_word >> 62), sine, cosine, z0, z1);
}
