// Reductions of floating types: mean, variance, log-sum-exp, the Euclidean norm.
#include "reduce.cuh"

// Results are of the element type, or of the arithmetic's if WIDE is defined (statistics of half types).
#ifdef WIDE
typedef Value Stored;
#else
typedef T Stored;
#endif

__device__ __forceinline__ void put(const ReduceParams& p, int64 o, Value v) { static_cast<Stored*>(p.y)[o] = store<Stored>(v); }

// scalar: 1 / n.
struct MeanOf {
    typedef Value Acc;
    static __device__ __forceinline__ Acc identity() { return 0; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a += v; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a + b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { put(p, o, a * static_cast<Value>(p.scalar)); }
};

// Variance in one pass without cancellation: B. P. Welford (1962); partial results joined as in
// T. F. Chan, G. H. Golub and R. J. LeVeque (1979). y: variance, z: mean; scalar: the correction.
struct VarianceOf {
    struct Acc { Value n, mean, m2; };
    static __device__ __forceinline__ Acc identity() {
        Acc a;
        a.n = a.mean = a.m2 = 0;
        return a;
    }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) {
        a.n += 1;
        const Value delta = v - a.mean;
        a.mean += delta / a.n;
        a.m2 += delta * (v - a.mean);
    }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) {
        if (b.n == 0) return a;
        if (a.n == 0) return b;
        Acc r;
        const Value delta = b.mean - a.mean;
        r.n = a.n + b.n;
        r.mean = a.mean + delta * (b.n / r.n);
        r.m2 = a.m2 + b.m2 + delta * delta * (a.n * (b.n / r.n));
        return r;
    }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) {
        const Value free = static_cast<Value>(p.count) - static_cast<Value>(p.scalar);
        put(p, o, a.m2 / (free > 0 ? free : static_cast<Value>(0)));
        static_cast<Stored*>(p.z)[o] = store<Stored>(p.count ? a.mean : a.m2 / a.n);
    }
};

// log(sum(exp(x))) with a running maximum: M. Milakov and N. Gimelshein (2018), "Online normalizer calculation".
struct LogSumExpOf {
    struct Acc { Value max, sum; };
    static __device__ __forceinline__ Acc identity() {
        Acc a;
        a.max = -infinity<Value>();
        a.sum = 0;
        return a;
    }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) {
        const Value top = Max::apply(a.max, b.max);
        const Value shift = top - top == 0 ? top : 0;  // an infinite maximum must not make inf - inf
        Acc r;
        r.max = top;
        r.sum = a.sum * exp(a.max - shift) + b.sum * exp(b.max - shift);
        return r;
    }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) {
        if (v > a.max) {
            a.sum = a.sum * exp(a.max - v) + 1;
            a.max = v;
        } else if (v <= a.max) {
            if (v > -infinity<Value>()) a.sum += exp(v - a.max);
        } else if (v != v) {
            a.max = v;  // NaN stays: nothing compares with it
        }
    }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) {
        const bool finite = a.max - a.max == 0;
        put(p, o, finite ? a.max + log(a.sum) : a.max);
    }
};

// The Euclidean norm.
struct NormOf {
    typedef Value Acc;
    static __device__ __forceinline__ Acc identity() { return 0; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a += v * v; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a + b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { put(p, o, sqrt(a)); }
};

REDUCTION_KERNELS(NAME, OP)
