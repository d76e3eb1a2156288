// __half and __nv_bfloat16: storage of two bytes, arithmetic in float, one rounding to nearest even.
#pragma once

// IEEE binary16 from any double or float, rounded once.
template <class F> static __attribute__((noinline)) uint16_t sim_to_half(F x) {
    const uint64_t b = sim_bits<uint64_t>(double(x));
    const unsigned sign = unsigned(b >> 48) & 0x8000u;
    const int exponent = int(b >> 52 & 0x7ff) - 1023;
    uint64_t mantissa = b & 0xfffffffffffffULL;
    if (exponent == 1024) return uint16_t(mantissa ? 0x7fffu : sign | 0x7c00u);
    if (exponent > 15) return uint16_t(sign | 0x7c00u);
    if (exponent < -25) return uint16_t(sign);
    mantissa |= 1ULL << 52;
    const int drop = exponent < -14 ? 42 - 14 - exponent : 42;  // bits that a (sub)normal half does not hold
    uint64_t kept = mantissa >> drop;
    const uint64_t rest = mantissa & ((1ULL << drop) - 1), half = 1ULL << (drop - 1);
    if (rest > half || (rest == half && (kept & 1))) ++kept;
    if (exponent < -14) return uint16_t(sign | unsigned(kept));
    return uint16_t(sign | unsigned((unsigned(exponent + 14) << 10) + kept));
}
static __attribute__((noinline)) float sim_from_half(uint16_t h) {
    const unsigned sign = unsigned(h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ffu;
    if (exponent == 31) return sim_bits<float>(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) {
        const float tiny = float(mantissa) * 5.9604644775390625e-8f;  // 2^-24
        return sign ? -tiny : tiny;
    }
    return sim_bits<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}
SIM_INLINE uint16_t sim_to_bfloat16(float x) {
    const unsigned b = sim_bits<unsigned>(x);
    return x != x ? uint16_t(0x7fff) : uint16_t((b + 0x7fffu + (b >> 16 & 1u)) >> 16);
}
// Rounding to odd keeps the second rounding, to bfloat16, right.
static __attribute__((noinline)) uint16_t sim_to_bfloat16(double x) {
    float f = float(x);
    if (double(f) != x && x == x && __builtin_isfinite(f)) {
        unsigned b = sim_bits<unsigned>(f);
        if (__builtin_fabs(double(f)) > __builtin_fabs(x)) --b;
        f = sim_bits<float>(b | 1u);
    }
    return sim_to_bfloat16(f);
}
SIM_INLINE float sim_from_bfloat16(uint16_t h) { return sim_bits<float>(unsigned(h) << 16); }

#define SIM_HALF(H, suffix, prefix)                                                                        \
    struct H##_raw { uint16_t x; };                                                                        \
    struct __attribute__((aligned(2))) H {                                                                 \
        uint16_t bits;                                                                                     \
        H() = default;                                                                                     \
        H(const H##_raw& r) : bits(r.x) {}                                                                 \
        H(float v) : bits(sim_to_##suffix(v)) {}                                                           \
        H(double v) : bits(sim_to_##suffix(v)) {}                                                          \
        H(int v) : bits(sim_to_##suffix(double(v))) {}                                                     \
        H(unsigned v) : bits(sim_to_##suffix(double(v))) {}                                                \
        H(short v) : bits(sim_to_##suffix(float(v))) {}                                                    \
        H(unsigned short v) : bits(sim_to_##suffix(float(v))) {}                                           \
        H(long long v) : bits(sim_to_##suffix(double(v))) {}                                               \
        H(unsigned long long v) : bits(sim_to_##suffix(double(v))) {}                                      \
        operator float() const { return sim_from_##suffix(bits); }                                         \
        operator H##_raw() const { return {bits}; }                                                        \
        H& operator+=(H o) { return *this = H(float(*this) + float(o)); }                                  \
        H& operator-=(H o) { return *this = H(float(*this) - float(o)); }                                  \
        H& operator*=(H o) { return *this = H(float(*this) * float(o)); }                                  \
        H& operator/=(H o) { return *this = H(float(*this) / float(o)); }                                  \
    };                                                                                                     \
    SIM_INLINE H operator+(H a, H b) { return H(float(a) + float(b)); }                                    \
    SIM_INLINE H operator-(H a, H b) { return H(float(a) - float(b)); }                                    \
    SIM_INLINE H operator*(H a, H b) { return H(float(a) * float(b)); }                                    \
    SIM_INLINE H operator/(H a, H b) { return H(float(a) / float(b)); }                                    \
    SIM_INLINE H operator-(H a) { return H(-float(a)); }                                                   \
    SIM_INLINE bool operator<(H a, H b) { return float(a) < float(b); }                                    \
    SIM_INLINE bool operator>(H a, H b) { return float(a) > float(b); }                                    \
    SIM_INLINE bool operator<=(H a, H b) { return float(a) <= float(b); }                                  \
    SIM_INLINE bool operator>=(H a, H b) { return float(a) >= float(b); }                                  \
    SIM_INLINE bool operator==(H a, H b) { return float(a) == float(b); }                                  \
    SIM_INLINE bool operator!=(H a, H b) { return float(a) != float(b); }                                  \
    SIM_INLINE H __float2##prefix(float x) { return H(x); }                                                \
    SIM_INLINE H __float2##prefix##_rn(float x) { return H(x); }                                           \
    SIM_INLINE H __double2##prefix(double x) { return H(x); }                                              \
    SIM_INLINE H __int2##prefix##_rn(int x) { return H(x); }                                               \
    SIM_INLINE float __##prefix##2float(H x) { return float(x); }                                          \
    SIM_INLINE unsigned short __##prefix##_as_ushort(H x) { return x.bits; }                               \
    SIM_INLINE short __##prefix##_as_short(H x) { return short(x.bits); }                                  \
    SIM_INLINE H __ushort_as_##prefix(unsigned short x) { return H(H##_raw{x}); }                          \
    SIM_INLINE H __short_as_##prefix(short x) { return H(H##_raw{uint16_t(x)}); }                          \
    SIM_INLINE H __hadd(H a, H b) { return a + b; }                                                        \
    SIM_INLINE H __hsub(H a, H b) { return a - b; }                                                        \
    SIM_INLINE H __hmul(H a, H b) { return a * b; }                                                        \
    SIM_INLINE H __hdiv(H a, H b) { return a / b; }                                                        \
    SIM_INLINE H __hfma(H a, H b, H c) { return H(double(float(a)) * double(float(b)) + double(float(c))); } \
    SIM_INLINE H __hneg(H a) { return -a; }                                                                \
    SIM_INLINE H __habs(H a) { return H(__builtin_fabsf(float(a))); }                                      \
    SIM_INLINE H __hmax(H a, H b) { return H(__builtin_fmaxf(float(a), float(b))); }                       \
    SIM_INLINE H __hmin(H a, H b) { return H(__builtin_fminf(float(a), float(b))); }                       \
    SIM_INLINE bool __hisnan(H a) { return float(a) != float(a); }                                         \
    SIM_INLINE bool __heq(H a, H b) { return a == b; }                                                     \
    SIM_INLINE bool __hne(H a, H b) { return a != b; }                                                     \
    SIM_INLINE bool __hlt(H a, H b) { return a < b; }                                                      \
    SIM_INLINE bool __hle(H a, H b) { return a <= b; }                                                     \
    SIM_INLINE bool __hgt(H a, H b) { return a > b; }                                                      \
    SIM_INLINE bool __hge(H a, H b) { return a >= b; }                                                     \
    SIM_INLINE H hexp(H a) { return H(__builtin_expf(float(a))); }                                         \
    SIM_INLINE H hlog(H a) { return H(__builtin_logf(float(a))); }                                         \
    SIM_INLINE H hsqrt(H a) { return H(__builtin_sqrtf(float(a))); }                                       \
    SIM_INLINE H hrsqrt(H a) { return H(1.0 / __builtin_sqrt(double(float(a)))); }
SIM_HALF(__half, half, half)
SIM_HALF(__nv_bfloat16, bfloat16, bfloat16)
#undef SIM_HALF
typedef __half half;
typedef __nv_bfloat16 nv_bfloat16;

#define SIM_HALF2(H2, H, prefix, lane)                                                            \
    struct __attribute__((aligned(4))) H2 {                                                       \
        H x, y;                                                                                   \
        H2() = default;                                                                           \
        H2(H a, H b) : x(a), y(b) {}                                                              \
    };                                                                                            \
    SIM_INLINE H2 operator+(H2 a, H2 b) { return {a.x + b.x, a.y + b.y}; }                        \
    SIM_INLINE H2 operator-(H2 a, H2 b) { return {a.x - b.x, a.y - b.y}; }                        \
    SIM_INLINE H2 operator*(H2 a, H2 b) { return {a.x * b.x, a.y * b.y}; }                        \
    SIM_INLINE H2 __hadd2(H2 a, H2 b) { return a + b; }                                           \
    SIM_INLINE H2 __hmul2(H2 a, H2 b) { return a * b; }                                           \
    SIM_INLINE H2 __hfma2(H2 a, H2 b, H2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; } \
    SIM_INLINE H2 __floats2##lane##_rn(float a, float b) { return {H(a), H(b)}; }                 \
    SIM_INLINE H2 __float22##lane##_rn(float2 a) { return {H(a.x), H(a.y)}; }                     \
    SIM_INLINE H2 __float2##lane##_rn(float a) { return {H(a), H(a)}; }                           \
    SIM_INLINE H2 __##prefix##2##lane(H a) { return {a, a}; }                                     \
    SIM_INLINE float2 __##lane##2float2(H2 a) { return {float(a.x), float(a.y)}; }                \
    SIM_INLINE float __low2float(H2 a) { return float(a.x); }                                     \
    SIM_INLINE float __high2float(H2 a) { return float(a.y); }                                    \
    SIM_INLINE H __low2##prefix(H2 a) { return a.x; }                                             \
    SIM_INLINE H __high2##prefix(H2 a) { return a.y; }
SIM_HALF2(__half2, __half, half, half2)
SIM_HALF2(__nv_bfloat162, __nv_bfloat16, bfloat16, bfloat162)
#undef SIM_HALF2
typedef __half2 half2;
typedef __nv_bfloat162 nv_bfloat162;
SIM_INLINE __half2 __halves2half2(__half a, __half b) { return {a, b}; }
SIM_INLINE __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
