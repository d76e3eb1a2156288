// CUDA's mathematics on the host. The names of libm come from the compiler's builtins, so that no header is read.
#pragma once

#define SIM_UNARY(name)                                                                       \
    extern "C" double name(double) noexcept; extern "C" float name##f(float) noexcept;        \
    SIM_INLINE float name(float x) { return __builtin_##name##f(x); }
SIM_UNARY(acos) SIM_UNARY(acosh) SIM_UNARY(asin) SIM_UNARY(asinh) SIM_UNARY(atan) SIM_UNARY(atanh)
SIM_UNARY(cbrt) SIM_UNARY(ceil) SIM_UNARY(cos) SIM_UNARY(cosh) SIM_UNARY(erf) SIM_UNARY(erfc)
SIM_UNARY(exp) SIM_UNARY(exp2) SIM_UNARY(expm1) SIM_UNARY(fabs) SIM_UNARY(floor) SIM_UNARY(lgamma)
SIM_UNARY(log) SIM_UNARY(log10) SIM_UNARY(log1p) SIM_UNARY(log2) SIM_UNARY(logb) SIM_UNARY(nearbyint)
SIM_UNARY(rint) SIM_UNARY(round) SIM_UNARY(sin) SIM_UNARY(sinh) SIM_UNARY(sqrt) SIM_UNARY(tan)
SIM_UNARY(tanh) SIM_UNARY(tgamma) SIM_UNARY(trunc) SIM_UNARY(j0) SIM_UNARY(j1) SIM_UNARY(y0) SIM_UNARY(y1)
#undef SIM_UNARY
#define SIM_BINARY(name)                                                                              \
    extern "C" double name(double, double) noexcept; extern "C" float name##f(float, float) noexcept; \
    SIM_INLINE float name(float x, float y) { return __builtin_##name##f(x, y); }                     \
    SIM_INLINE double name(float x, double y) { return __builtin_##name(x, y); }                      \
    SIM_INLINE double name(double x, float y) { return __builtin_##name(x, y); }                      \
    SIM_INLINE double name(double x, int y) { return __builtin_##name(x, y); }                        \
    SIM_INLINE double name(int x, double y) { return __builtin_##name(x, y); }                        \
    SIM_INLINE float name(float x, int y) { return __builtin_##name##f(x, y); }                       \
    SIM_INLINE float name(int x, float y) { return __builtin_##name##f(x, y); }
SIM_BINARY(atan2) SIM_BINARY(copysign) SIM_BINARY(fdim) SIM_BINARY(fmax) SIM_BINARY(fmin) SIM_BINARY(fmod)
SIM_BINARY(hypot) SIM_BINARY(nextafter) SIM_BINARY(pow) SIM_BINARY(remainder)
#undef SIM_BINARY
extern "C" {
double fma(double, double, double) noexcept; float fmaf(float, float, float) noexcept;
double ldexp(double, int) noexcept; float ldexpf(float, int) noexcept;
double scalbn(double, int) noexcept; float scalbnf(float, int) noexcept;
double frexp(double, int*) noexcept; float frexpf(float, int*) noexcept;
double modf(double, double*) noexcept; float modff(float, float*) noexcept;
int ilogb(double) noexcept; int ilogbf(float) noexcept;
int abs(int) noexcept; long labs(long) noexcept; long long llabs(long long) noexcept;
void sincos(double, double*, double*) noexcept; void sincosf(float, float*, float*) noexcept;
void* memcpy(void*, const void*, size_t) noexcept; void* memset(void*, int, size_t) noexcept;
long lround(double) noexcept; long lroundf(float) noexcept; long long llround(double) noexcept; long long llroundf(float) noexcept;
long lrint(double) noexcept; long lrintf(float) noexcept; long long llrint(double) noexcept; long long llrintf(float) noexcept;
}
SIM_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SIM_INLINE float ldexp(float x, int e) { return __builtin_ldexpf(x, e); }
SIM_INLINE float scalbn(float x, int e) { return __builtin_scalbnf(x, e); }
SIM_INLINE float frexp(float x, int* e) { return __builtin_frexpf(x, e); }
SIM_INLINE float modf(float x, float* i) { return __builtin_modff(x, i); }
SIM_INLINE int ilogb(float x) { return __builtin_ilogbf(x); }
SIM_INLINE long abs(long x) { return x < 0 ? -x : x; }
SIM_INLINE long long abs(long long x) { return x < 0 ? -x : x; }
SIM_INLINE float abs(float x) { return __builtin_fabsf(x); }
SIM_INLINE double abs(double x) { return __builtin_fabs(x); }
SIM_INLINE void sincos(float x, float* s, float* c) { sincosf(x, s, c); }
SIM_INLINE bool isnan(float x) { return x != x; }
SIM_INLINE bool isnan(double x) { return x != x; }
SIM_INLINE bool isinf(float x) { return __builtin_isinf(x); }
SIM_INLINE bool isinf(double x) { return __builtin_isinf(x); }
SIM_INLINE bool isfinite(float x) { return __builtin_isfinite(x); }
SIM_INLINE bool isfinite(double x) { return __builtin_isfinite(x); }
SIM_INLINE bool signbit(float x) { return __builtin_signbit(x); }
SIM_INLINE bool signbit(double x) { return __builtin_signbit(x); }

// What libm lacks. In float these go through double, hence are rounded once.
#define SIM_EXTRA(name, formula)                                                  \
    SIM_INLINE double name(double x) { return formula; }                          \
    SIM_INLINE float name(float y) { const double x = y; return float(formula); } \
    SIM_INLINE float name##f(float y) { return name(y); }
SIM_EXTRA(rsqrt, 1.0 / __builtin_sqrt(x))
SIM_EXTRA(rcbrt, 1.0 / __builtin_cbrt(x))
SIM_EXTRA(exp10, __builtin_pow(10.0, x))
SIM_EXTRA(sinpi, __builtin_sin(3.14159265358979323846 * __builtin_remainder(x, 2.0)))
SIM_EXTRA(cospi, __builtin_cos(3.14159265358979323846 * __builtin_remainder(x, 2.0)))
SIM_EXTRA(normcdf, 0.5 * __builtin_erfc(-0.70710678118654752440 * x))
SIM_EXTRA(erfcx, __builtin_exp(x * x) * __builtin_erfc(x))
// Winitzki's formula, then Newton steps on erf (near ±1 on erfc, which keeps its digits there).
static inline double sim_erfinv(double x) {
    if (!(x > -1 && x < 1)) return x == 1 ? __builtin_inf() : x == -1 ? -__builtin_inf() : __builtin_nan("");
    const double w = __builtin_log1p(-x * x), a = 4.3307467508 + 0.5 * w;
    double y = __builtin_copysign(__builtin_sqrt(__builtin_sqrt(a * a - w / 0.147) - a), x);
    for (int i = 0; i < 4; ++i) {
        const double slope = 1.12837916709551257390 * __builtin_exp(-y * y);
        const double error = x > 0.5    ? (1 - x) - __builtin_erfc(y)
                             : x < -0.5 ? __builtin_erfc(-y) - (1 + x)
                                        : __builtin_erf(y) - x;
        const double step = error / slope;
        y -= step / (1 + y * step);
    }
    return y;
}
SIM_EXTRA(erfinv, sim_erfinv(x))
SIM_EXTRA(erfcinv, sim_erfinv(1 - x))
SIM_EXTRA(normcdfinv, 1.41421356237309504880 * sim_erfinv(2 * x - 1))
#undef SIM_EXTRA

#define SIM_MINMAX(A, B, C)                                             \
    SIM_INLINE C min(A a, B b) { return (C)a < (C)b ? (C)a : (C)b; }    \
    SIM_INLINE C max(A a, B b) { return (C)a > (C)b ? (C)a : (C)b; }
SIM_MINMAX(int, int, int) SIM_MINMAX(unsigned, unsigned, unsigned) SIM_MINMAX(int, unsigned, unsigned)
SIM_MINMAX(unsigned, int, unsigned) SIM_MINMAX(long, long, long) SIM_MINMAX(unsigned long, unsigned long, unsigned long)
SIM_MINMAX(long long, long long, long long)
SIM_MINMAX(unsigned long long, unsigned long long, unsigned long long)
SIM_MINMAX(long long, unsigned long long, unsigned long long) SIM_MINMAX(unsigned long long, long long, unsigned long long)
SIM_MINMAX(long, unsigned long, unsigned long) SIM_MINMAX(unsigned long, long, unsigned long)
#undef SIM_MINMAX
#define SIM_FLOAT_MINMAX(A, B, C, suffix)                                         \
    SIM_INLINE C min(A a, B b) { return __builtin_fmin##suffix(C(a), C(b)); }     \
    SIM_INLINE C max(A a, B b) { return __builtin_fmax##suffix(C(a), C(b)); }
SIM_FLOAT_MINMAX(float, float, float, f) SIM_FLOAT_MINMAX(double, double, double, )
SIM_FLOAT_MINMAX(float, double, double, ) SIM_FLOAT_MINMAX(double, float, double, )
#undef SIM_FLOAT_MINMAX

// ---- bits ----
SIM_INLINE int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
SIM_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
SIM_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
SIM_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
SIM_INLINE int __ffs(int x) { return __builtin_ffs(x); }
SIM_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; ++i) r |= ((x >> i) & 1u) << (31 - i);
    return r;
}
static inline unsigned long long __brevll(unsigned long long x) {
    return (unsigned long long)__brev(unsigned(x)) << 32 | __brev(unsigned(x >> 32));
}
SIM_INLINE unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
SIM_INLINE int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
SIM_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)((unsigned __int128)a * b >> 64); }
SIM_INLINE long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
SIM_INLINE int __mul24(int a, int b) { return int(unsigned((a << 8) >> 8) * unsigned((b << 8) >> 8)); }
SIM_INLINE unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffffu) * (b & 0xffffffu); }
SIM_INLINE unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) { return unsigned(((unsigned long long)hi << 32 | lo) << (s & 31) >> 32); }
SIM_INLINE unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) { return unsigned(((unsigned long long)hi << 32 | lo) >> (s & 31)); }
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
    const unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned pick = s >> (4 * i), byte = unsigned(both >> (8 * (pick & 7))) & 255u;
        r |= ((pick & 8) ? (byte & 128 ? 255u : 0u) : byte) << (8 * i);
    }
    return r;
}
SIM_INLINE int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; ++i) c += int(int8_t(a >> (8 * i))) * int(int8_t(b >> (8 * i)));
    return c;
}
SIM_INLINE int __float_as_int(float x) { return sim_bits<int>(x); }
SIM_INLINE unsigned __float_as_uint(float x) { return sim_bits<unsigned>(x); }
SIM_INLINE float __int_as_float(int x) { return sim_bits<float>(x); }
SIM_INLINE float __uint_as_float(unsigned x) { return sim_bits<float>(x); }
SIM_INLINE long long __double_as_longlong(double x) { return sim_bits<long long>(x); }
SIM_INLINE double __longlong_as_double(long long x) { return sim_bits<double>(x); }
SIM_INLINE int __double2hiint(double x) { return int(sim_bits<long long>(x) >> 32); }
SIM_INLINE int __double2loint(double x) { return int(sim_bits<long long>(x)); }
SIM_INLINE double __hiloint2double(int hi, int lo) { return sim_bits<double>((long long)((unsigned long long)unsigned(hi) << 32 | unsigned(lo))); }

// ---- arithmetic with a stated rounding; the approximate functions are exact ones here ----
SIM_INLINE float __fadd_rn(float a, float b) { return a + b; }
SIM_INLINE float __fsub_rn(float a, float b) { return a - b; }
SIM_INLINE float __fmul_rn(float a, float b) { return a * b; }
SIM_INLINE float __fdiv_rn(float a, float b) { return a / b; }
SIM_INLINE float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SIM_INLINE float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
SIM_INLINE float __frcp_rn(float a) { return 1.0f / a; }
SIM_INLINE float __frsqrt_rn(float a) { return float(1.0 / __builtin_sqrt(double(a))); }
SIM_INLINE double __dadd_rn(double a, double b) { return a + b; }
SIM_INLINE double __dsub_rn(double a, double b) { return a - b; }
SIM_INLINE double __dmul_rn(double a, double b) { return a * b; }
SIM_INLINE double __ddiv_rn(double a, double b) { return a / b; }
SIM_INLINE double __drcp_rn(double a) { return 1.0 / a; }
SIM_INLINE double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
SIM_INLINE double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
SIM_INLINE float __fdividef(float a, float b) { return a / b; }
SIM_INLINE float __saturatef(float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; }
SIM_INLINE float __expf(float x) { return __builtin_expf(x); }
SIM_INLINE float __exp10f(float x) { return exp10f(x); }
SIM_INLINE float __logf(float x) { return __builtin_logf(x); }
SIM_INLINE float __log2f(float x) { return __builtin_log2f(x); }
SIM_INLINE float __log10f(float x) { return __builtin_log10f(x); }
SIM_INLINE float __powf(float x, float y) { return __builtin_powf(x, y); }
SIM_INLINE float __sinf(float x) { return __builtin_sinf(x); }
SIM_INLINE float __cosf(float x) { return __builtin_cosf(x); }
SIM_INLINE float __tanf(float x) { return __builtin_tanf(x); }
SIM_INLINE void __sincosf(float x, float* s, float* c) { sincosf(x, s, c); }

// ---- float to integer: out-of-range values saturate and NaN gives 0, as on the device ----
template <class I, class F> SIM_INLINE I sim_to_integer(F x) {
    constexpr bool is_signed = I(-1) < I(0);
    constexpr int bits = int(sizeof(I)) * 8 - (is_signed ? 1 : 0);
    const F limit = F(2.0) * F(1ULL << (bits - 1));
    if (x != x) return sizeof(I) == 8 ? (is_signed ? I(1ULL << 63) : I(1ULL << 63)) : I(0);
    if (x >= limit) return I(~0ULL >> (64 - bits));
    if (is_signed ? x < -limit : x <= F(-1)) return is_signed ? I(-I(~0ULL >> (64 - bits)) - 1) : I(0);
    return I(x);
}
#define SIM_CONVERT(from, F, to, I)                                                                           \
    SIM_INLINE I __##from##2##to##_rn(F x) { return sim_to_integer<I>(F(__builtin_nearbyint(double(x)))); }   \
    SIM_INLINE I __##from##2##to##_rz(F x) { return sim_to_integer<I>(x); }                                   \
    SIM_INLINE I __##from##2##to##_rd(F x) { return sim_to_integer<I>(F(__builtin_floor(double(x)))); }       \
    SIM_INLINE I __##from##2##to##_ru(F x) { return sim_to_integer<I>(F(__builtin_ceil(double(x)))); }
SIM_CONVERT(float, float, int, int) SIM_CONVERT(float, float, uint, unsigned)
SIM_CONVERT(float, float, ll, long long) SIM_CONVERT(float, float, ull, unsigned long long)
SIM_CONVERT(double, double, int, int) SIM_CONVERT(double, double, uint, unsigned)
SIM_CONVERT(double, double, ll, long long) SIM_CONVERT(double, double, ull, unsigned long long)
#undef SIM_CONVERT
SIM_INLINE float __int2float_rn(int x) { return float(x); }
SIM_INLINE float __uint2float_rn(unsigned x) { return float(x); }
SIM_INLINE float __ll2float_rn(long long x) { return float(x); }
SIM_INLINE float __ull2float_rn(unsigned long long x) { return float(x); }
SIM_INLINE double __int2double_rn(int x) { return double(x); }
SIM_INLINE double __uint2double_rn(unsigned x) { return double(x); }
SIM_INLINE double __ll2double_rn(long long x) { return double(x); }
SIM_INLINE double __ull2double_rn(unsigned long long x) { return double(x); }
SIM_INLINE float __double2float_rn(double x) { return float(x); }
